"""The measurements of the product itself: one function for each group of rows.

It owns sizes, repetitions and what is noted beside each figure.  It must not know targets or how
anything is shown.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scenarios.bench.loops import Span, make_world, span
from scenarios.bench.rows import MILLION, Options
from scenarios.bench.table import Measured

HOUR_TICKS, LOOP_TICKS = 4, 24


def _rows(name: str, spans: list[Span], **more: Any) -> Measured:
    """Return spans as samples of CPU ns per event."""
    return Measured(
        name, [s.ns_per_event for s in spans], cpu_s=sum(s.cpu_s for s in spans),
        wall_s=sum(s.wall_s for s in spans), **more,
    )  # fmt: skip


def whole_loop(options: Options) -> list[Measured]:
    """Measure six hours around noon on one and on two threads."""
    lines = options.lines or (100_000 if options.quick else MILLION)
    repeats = options.repeats or (2 if options.quick else 5)
    world = make_world("city_day", lines)
    # Taken in turn, so that a change of the machine's load meets both.
    spans: dict[int, list[Span]] = {1: [], 2: []}
    for _ in range(repeats):
        for hosts, found in spans.items():
            found.append(span(world, hosts=hosts, ticks=LOOP_TICKS))
    one, two = spans[1], spans[2]
    detail = {
        "lines": lines, "events": two[0].events, "ticks": LOOP_TICKS, "tick_s": 900,
        "one_host_ns": [s.ns_per_event for s in one], "two_hosts_ns": [s.ns_per_event for s in two],
        "events_per_wall_s_one_host": statistics.median(s.events / s.wall_s for s in one),
        "events_per_wall_s_two_hosts": statistics.median(s.events / s.wall_s for s in two),
    }  # fmt: skip
    small = lines != MILLION
    note = f"{lines:,} lines, 10:00 to 16:00, 2 threads; {_ns(one)} ns on one thread"
    rate = Measured(
        "loop_wall", [s.events / s.wall_s for s in two], cpu_s=sum(s.cpu_s for s in two),
        wall_s=sum(s.wall_s for s in two), note="2 threads; wall time, hence the machine's",
    )  # fmt: skip
    return [_rows("loop", two, detail=detail, note=note, indicative=small), rate]


def _ns(spans: list[Span]) -> str:
    return f"{statistics.median(s.ns_per_event for s in spans):.0f}"


def by_role(options: Options) -> list[Measured]:
    """Measure the time inside each role, its bytes, and what admission to channels costs."""
    lines = options.lines or (100_000 if options.quick else MILLION)
    repeats = options.repeats or (2 if options.quick else 3)
    world = make_world("city_day", lines)
    spans = [span(world, hosts=1, ticks=LOOP_TICKS, kind="timed") for _ in range(repeats)]
    inside = [sum(role["cpu_s"] for role in s.roles.values()) for s in spans]
    cpu, wall = sum(s.cpu_s for s in spans), sum(s.wall_s for s in spans)
    ns: dict[str, float] = {
        role: statistics.median(s.roles[role]["cpu_s"] / s.events * 1e9 for s in spans)
        for role in spans[0].roles
        if role != "profile"
    }
    ns["hosts and driver"] = statistics.median(
        (s.cpu_s - used) / s.events * 1e9 for s, used in zip(spans, inside, strict=True)
    )
    last = spans[-1]
    size = {role: told["state_bytes"] / last.lines for role, told in last.roles.items()}
    size = {role: value for role, value in size.items() if value > 0}
    channel = [s.roles["channels"]["cpu_s"] for s in spans]
    small = lines != MILLION
    return [
        Measured(
            "roles", [u / s.events * 1e9 for s, u in zip(spans, inside, strict=True)],
            cpu_s=cpu, wall_s=wall,
            note=", ".join(f"{role} {value:.1f}" for role, value in ns.items())
            + " ns; clocks around each call of a role, one thread",
            detail={"ns_per_event": ns, "events": last.events, "lines": last.lines},
        ),
        Measured(
            "state", [s.state_bytes / s.lines for s in spans], cpu_s=cpu, wall_s=wall,
            indicative=small,
            note=", ".join(f"{role} {value:.1f}" for role, value in size.items()) + " bytes",
            detail={"bytes_per_line": size, "lines": last.lines},
        ),
        Measured(
            "arbitration",
            [c / s.intents * 1e9 for c, s in zip(channel, spans, strict=True) if s.intents],
            cpu_s=sum(channel), wall_s=wall, reason="" if last.intents else "no request was made",
            note=f"{last.intents:,} requests in {last.ticks} ticks; queues of all channels",
        ),
        Measured(
            "arbitration_share", [100 * c / s.cpu_s for c, s in zip(channel, spans, strict=True)],
            cpu_s=sum(channel), wall_s=wall,
        ),
    ]  # fmt: skip


def growth(options: Options) -> list[Measured]:
    """Measure the same hour of a country of 150,000 cells with more and more lines."""
    sizes = options.growth or (
        (250_000, MILLION, 2 * MILLION)
        if options.quick
        else (100_000, MILLION, 10 * MILLION, 78 * MILLION)
    )
    points, skipped, cpu, wall = [], [], 0.0, 0.0
    for lines in sorted(sizes):
        reason = _too_large(lines)
        if reason:
            skipped.append({"lines": lines, "reason": reason})
            continue
        # The contact centre is full-size however few the lines are: a cost that does not grow.
        world = make_world("megafon_2019", lines, **{"contact_centre.enabled": False})
        spans = [
            span(world, hosts=2, ticks=HOUR_TICKS)
            for _ in range(options.repeats or _growth_repeats(lines, quick=options.quick))
        ]
        cpu += sum(s.cpu_s for s in spans)
        wall += sum(s.wall_s for s in spans)
        points.append({
            "lines": lines, "events": spans[0].events,
            "ns": [s.ns_per_event for s in spans], "median_ns":
            statistics.median(s.ns_per_event for s in spans),
        })  # fmt: skip
        del world, spans
        gc.collect()  # the next size needs the memory
    return [_growth(points, skipped, cpu, wall)]


def _growth_repeats(lines: int, *, quick: bool) -> int:
    if lines >= 50 * MILLION or (quick and lines > MILLION):
        return 1
    return 2 if quick else 3


def _growth(
    points: list[dict[str, Any]], skipped: list[dict[str, Any]], cpu: float, wall: float
) -> Measured:
    """Return the growth row: each run of the largest size over the median of the base."""
    detail = {"points": points, "skipped": skipped, "window": "10:00 to 11:00"}
    told = [f"{p['lines']:,}: {p['median_ns']:.0f} ns" for p in points]
    told += [f"{s['lines']:,}: {s['reason']}" for s in skipped]
    note = "; ".join(told)
    base = next((p for p in points if p["lines"] >= MILLION), points[0] if points else None)
    if base is None or base is points[-1]:
        return Measured("growth", reason=f"only one size or none was measured: {note}",
                        detail=detail)  # fmt: skip
    exact = base["lines"] == MILLION and points[-1]["lines"] == 78 * MILLION
    return Measured(
        "growth", [x / base["median_ns"] for x in points[-1]["ns"]], cpu_s=cpu, wall_s=wall,
        indicative=not exact, detail=detail,
        note=f"{points[-1]['lines']:,} over {base['lines']:,} lines, one hour from 10:00; {note}",
    )  # fmt: skip


def _too_large(lines: int) -> str:
    """Return why a number of lines cannot be measured here, or nothing."""
    from scenarios import load
    from scenarios.placing import check_fits
    from sim.core.errors import ScenarioError

    try:
        check_fits(load("megafon_2019").with_(subscribers=lines).model)
    except ScenarioError as error:
        problem = error.problems[0]
        return f"skipped, {problem.expected}"
    return ""


def ray_ratio(options: Options) -> list[Measured]:
    """Measure the same hour under Ray and embedded, in turn, two hosts each."""
    lines = options.lines or (200_000 if options.quick else 10 * MILLION)
    try:
        import sim.runtime.ray_runtime  # noqa: F401  # the extra `ray` may be absent
    except ImportError:
        return [Measured("ray", reason="Ray is not installed (extra `ray`)")]
    world = make_world("city_day", lines)
    ratios, cpu, wall, pairs = [], 0.0, 0.0, []
    # A short hour of few lines would drown in the calls of its ticks.
    ticks = HOUR_TICKS if lines > MILLION else LOOP_TICKS
    for _ in range(options.repeats or (1 if options.quick else 3)):
        base = span(world, hosts=2, ticks=ticks)
        apart = span(world, hosts=2, ticks=ticks, kind="ray")
        if base.events != apart.events:
            return [Measured("ray", reason=f"events differ: {base.events} and {apart.events}")]
        ratios.append(apart.cpu_s / base.cpu_s)
        cpu, wall = cpu + base.cpu_s + apart.cpu_s, wall + base.wall_s + apart.wall_s
        pairs.append([base.ns_per_event, apart.ns_per_event])
    return [
        Measured(
            "ray", ratios, cpu_s=cpu, wall_s=wall, indicative=lines != 10 * MILLION,
            detail={"lines": lines, "hosts": 2, "ns_embedded_ray": pairs},
            note=f"{lines:,} lines, {ticks // 4} h from 10:00; CPU time of all processes, "
            "Ray's own included; "
            + "; ".join(f"{a:.0f} and {b:.0f} ns" for a, b in pairs),
        )
    ]  # fmt: skip


FIRST_TICK = """
import os, sys
import scenarios.cli
from pathlib import Path
from scenarios import load
class Watch:
    def phase(self, name): pass
    def part(self, **told): pass
    def update(self, **told):
        os.write(1, b"first tick")
        os._exit(0)
    def close(self): pass
load("city_day").with_(subscribers=int(sys.argv[2])).run(out=Path(sys.argv[1]), progress=Watch())
"""


def start(options: Options) -> list[Measured]:
    """Measure a fresh process from its start to the end of the first tick; caches are warm."""
    lines = options.lines or MILLION
    walls, cpus = [], []
    # The first one warms the caches and is thrown away.
    for _ in range(1 + (options.repeats or (1 if options.quick else 5))):
        folder = Path(tempfile.mkdtemp(prefix="twin-bench-"))
        before = os.times()
        began = time.perf_counter()
        try:
            done = subprocess.run(
                [sys.executable, "-c", FIRST_TICK, str(folder / "run"), str(lines)],
                capture_output=True, timeout=600, check=False,
            )  # fmt: skip
            walls.append(time.perf_counter() - began)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        after = os.times()
        cpus.append(after.children_user + after.children_system - before.children_user
                    - before.children_system)  # fmt: skip
        if done.stdout != b"first tick":
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            return [Measured("start", reason=f"the run did not reach a tick: {reason}")]
    return [
        Measured(
            "start", walls[1:], cpu_s=sum(cpus[1:]), wall_s=sum(walls[1:]),
            indicative=lines != MILLION, detail={"lines": lines, "first_s": walls[0]},
            note=f"{lines:,} lines, a fresh process, its first tick included",
        )
    ]  # fmt: skip


def checkpoint(options: Options) -> list[Measured]:
    """Measure what saving after every tick adds to a run, and what a checkpoint takes on disk."""
    from scenarios import load
    from sim.core.errors import Interrupted

    lines = options.lines or (100_000 if options.quick else MILLION)
    ticks, took, size = 4, [], 0
    cpu = wall = 0.0
    for _ in range(options.repeats or (1 if options.quick else 3)):
        walls = {}
        for every_s in (0.0, 1e-9):
            folder = Path(tempfile.mkdtemp(prefix="twin-bench-"))
            loaded = load("city_day").with_(
                subscribers=lines, **{"placement.checkpoint_s": every_s}
            )
            clocks = _TickClock()
            before = time.process_time()
            try:
                loaded.run(out=folder / "run", stop_at_ms=ticks * 900_000, progress=clocks)
            except Interrupted:
                saved = list(folder.glob("run.part/checkpoints/*"))
                size = max((_size(path) for path in saved), default=0)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            walls[every_s] = clocks.between_s()
            cpu, wall = cpu + time.process_time() - before, wall + walls[every_s]
        took.append((walls[1e-9] - walls[0.0]) / (ticks - 1))
    note = f"{lines:,} lines; wall time per tick with a checkpoint less that without"
    return [
        Measured("checkpoint", took, cpu_s=cpu, wall_s=wall, note=note,
                 detail={"lines": lines, "bytes": size}),
        Measured("checkpoint_bytes", [size / lines] if size else [],
                 reason="" if size else "no checkpoint was found"),
    ]  # fmt: skip


class _TickClock:
    """Notes when ticks end; the first one, which compiles and warms up, does not count."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def part(self, **_: object) -> None:
        """Take no note."""

    def phase(self, name: str) -> None:
        """Take no note."""

    def update(self, **_: int) -> None:
        """Note the end of a tick; a checkpoint follows it."""
        self.ends.append(time.perf_counter())

    def close(self) -> None:
        """Take no note."""

    def between_s(self) -> float:
        """Return the wall time from the end of the first tick to that of the last."""
        return self.ends[-1] - self.ends[0]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


def national(options: Options) -> list[Measured]:
    """Read a finished national day; it is run by hand, because it takes a quarter of an hour."""
    names = ("national_wall", "national_memory", "national_events")
    make = (
        "twin run megafon_2019 --subscribers 78000000 --days 1 --out runs/national, "
        "then twin bench --only national --national runs/national"
    )
    if not options.national:
        return [Measured(name, reason=f"not run here: {make}") for name in names]
    path = Path(options.national) / "manifest.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    if told.get("status") != "complete":
        return [Measured(n, reason=f"{path.parent} is {told.get('status')}") for n in names]
    full = (
        told["subscribers"] >= 78 * MILLION and told["cells"] >= 150_000
        and told["sim_seconds"] >= 86_400 and told["audit"]["failures"] == 0
    )  # fmt: skip
    note = (
        f"{told['subscribers']:,} lines, {told['cells']:,} cells, {told['sim_seconds'] / 3600:g} h,"
        f" {told['runtime']}, {told['hosts']} hosts, commit "
        f"{(told.get('git') or {}).get('commit', 'unknown')[:12]}"
    )
    values = (
        told["wall_seconds"] / 60, told["peak_rss_bytes"] / 2**30, told["events_total"] / 1e9,
    )  # fmt: skip
    detail = {key: told.get(key) for key in (
        "phases", "events_per_second", "sim_speed", "cpu_seconds", "state_bytes_per_subscriber",
        "state_digest", "audit", "versions", "git", "machine",
    )}  # fmt: skip
    return [
        Measured(name, [value], note=note, indicative=not full, cpu_s=told["cpu_seconds"],
                 wall_s=told["wall_seconds"], detail=detail)
        for name, value in zip(names, values, strict=True)
    ]  # fmt: skip


def replay(options: Options) -> list[Measured]:
    """Measure a made-up recording of a day: read from CSV, sorted, bound to lines and lived."""
    from scenarios.bench.recording import run_replay

    rows = options.lines or (100_000 if options.quick else MILLION)
    run_replay(1_000)  # reads the kernels from their cache, or compiles them
    found = [run_replay(rows) for _ in range(options.repeats or (1 if options.quick else 3))]
    cpu = sum(f.read_cpu_s + f.run_cpu_s for f in found)
    wall = sum(f.wall_s for f in found)
    last = found[-1]
    return [
        Measured(
            "replay", [(f.read_cpu_s + f.run_cpu_s) / f.applied * 1e9 for f in found],
            cpu_s=cpu, wall_s=wall,
            note=f"{rows:,} rows of {last.subscribers:,} subscribers, CSV; all that their day "
            "brings besides (visits, decisions, fees) included, build and report not",
            detail={"rows": rows, "applied": last.applied, "events": last.events},
        ),
        Measured(
            "replay_read", [f.read_cpu_s / rows * 1e9 for f in found],
            cpu_s=sum(f.read_cpu_s for f in found), wall_s=wall,
        ),
    ]  # fmt: skip
