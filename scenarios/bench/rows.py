"""The rows of the benchmark: what is measured, in which size, against which target.

It owns the list of rows and of the groups that are measured together in one process.  It must not
know how a group is measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from scenarios.bench.table import Row, Target

MILLION = 1_000_000


@dataclass
class Options:
    """What a benchmark is asked for.

    Attributes
    ----------
    growth : numbers of lines of the growth row; the first one not below a million is the base
    national : finished run of the national day; "" none
    """

    quick: bool = False
    growth: tuple[int, ...] = ()
    national: str = ""
    lines: int = 0
    repeats: int = 0

    def plain(self) -> dict[str, Any]:
        """Return them as plain data, for another process."""
        return asdict(self)


@dataclass(frozen=True)
class Group:
    """Rows that come out of one measurement.

    Attributes
    ----------
    function : `module:name` of `scenarios.bench`, called with `Options`
    quick_s, full_s : wall seconds that it is expected to take on two quiet cores
    """

    name: str
    function: str
    rows: tuple[Row, ...]
    quick_s: float = 10.0
    full_s: float = 60.0


GROUPS = (
    Group("loop", "measures:whole_loop", (
        Row("loop", "Whole loop, CPU time per event, full catalogue, tick 900 s", "ns",
            Target(110), "1 million lines"),
        Row("loop_wall", "Whole loop, events per second of wall time", "events/s"),
    ), 6, 40),
    Group("roles", "measures:by_role", (
        Row("roles", "CPU time per event inside the roles", "ns"),
        Row("state", "State per subscriber, all roles", "bytes", Target(160), "1 million lines"),
        Row("arbitration", "Admission to channels, CPU time per request", "ns"),
        Row("arbitration_share", "Admission to channels, share of a tick's CPU time", "%"),
    ), 6, 25),
    Group("growth", "measures:growth", (
        Row("growth", "CPU time per event, largest over 1 million lines", "times",
            Target(1.25), "78 million lines against 1 million"),
    ), 15, 600),
    Group("ray", "measures:ray_ratio", (
        Row("ray", "Ray against embedded, CPU time", "times", Target(1.15),
            "10 million lines, 2 hosts"),
    ), 25, 150),
    Group("start", "measures:start", (
        Row("start", "Start of city_day with warm caches to the first tick", "s", Target(10.0),
            "1 million lines"),
    ), 12, 30),
    Group("checkpoint", "measures:checkpoint", (
        Row("checkpoint", "Wall time of a checkpoint", "s"),
        Row("checkpoint_bytes", "A checkpoint on disk, per line", "bytes"),
    ), 12, 40),
    Group("replay", "measures:replay", (
        Row("replay", "Replay, CPU time per recorded event, reading included", "ns"),
        Row("replay_read", "of it: reading, sorting and keeping a row", "ns"),
    ), 10, 60),
    Group("mini", "peers:mini_loop", (
        Row("mini", "Mini loop on our core, CPU time per event", "ns", Target(60),
            "1 million lines"),
        Row("simpy", "Mini loop, events per CPU-second over SimPy's", "times",
            Target(100, most=False), "a SimPy process per subscriber"),
        Row("numpy", "Mini loop, events per CPU-second over vectorised NumPy's", "times",
            Target(5, most=False), "ticks of a minute"),
        Row("numpy_quarters", "the same, NumPy in windows of 15 minutes", "times"),
        Row("mesa", "Mini loop, events per CPU-second over Mesa's", "times"),
        Row("ray_naive", "Mini loop, events per CPU-second over a Ray actor per subscriber",
            "times"),
        Row("peers_agree", "Largest deviation of a peer's counts from ours", "sigma",
            Target(4.9)),
    ), 60, 120),
    Group("decision", "serving:decision", (
        Row("decision", "Single decision, 900 offers, in process, p99", "us", Target(50)),
    ), 6, 10),
    Group("serve", "serving:serve", (
        Row("serve_rate", "twin serve on one core, open load", "requests/s",
            Target(2_000, most=False)),
        Row("serve_p99", "twin serve at 2,000 requests/s, p99", "ms", Target(20)),
    ), 30, 90),
    Group("national", "measures:national", (
        Row("national_wall", "National day, wall time", "min", Target(15),
            "78 million lines, 150,000 cells, 24 hours"),
        Row("national_memory", "National day, peak memory of all processes", "GiB", Target(16),
            "78 million lines, 150,000 cells, 24 hours"),
        Row("national_events", "National day, network events", "billion",
            Target(7.8, most=False), "78 million lines, 150,000 cells, 24 hours"),
    ), 1, 1),
)  # fmt: skip

ROWS = {row.name: row for group in GROUPS for row in group.rows}


def chosen(only: tuple[str, ...]) -> tuple[Group, ...]:
    """Return the groups that hold the named rows or groups; all where none is named.

    Raises
    ------
    ScenarioError : a name is no row
    """
    from sim.core.errors import ScenarioError, nearest

    known = {group.name for group in GROUPS} | ROWS.keys()
    for name in only:
        if name not in known:
            close = nearest(name, sorted(known))
            hint = f", did you mean {close}?" if close else ""
            raise ScenarioError(
                f"no such row{hint}", file="--only", found=repr(name),
                expected=", ".join(sorted(known)),
            )  # fmt: skip
    if not only:
        return GROUPS
    return tuple(g for g in GROUPS if g.name in only or any(row.name in only for row in g.rows))
