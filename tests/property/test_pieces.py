"""Pieces of slices between groups: any cut by lines, rows and roles gives the sums of one host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.core.actor import Inbox, Rows, Slice
from sim.core.columns import Columns, Field, Schema, concat_rows, empty_rows
from sim.core.errors import InvariantError, LimitError, ScenarioError
from sim.core.metrics import Tally
from sim.core.partition import Partition, make_partitions
from sim.core.ticks import Tick
from sim.runtime.host import Host, HostPlan, HostResult
from sim.runtime.split import GroupHost, PieceBuffer, plan_groups
from sim.runtime.split_local import SplitHost, through_store

SUB, TS = Field("sub", "i4", "1", "line"), Field("ts_ms", "i8", "ms", "moment")
MADE = Schema("Made", (SUB, TS, Field("x", "i8", "1", "number")), edge="forward")
PRICED = Schema("Priced", (Field("y", "i8", "1", "number made of x"),), edge="forward")
NOTE = Schema("Note", (SUB, TS, Field("z", "i8", "1", "number")), edge="forward+feedback")
WISH = Schema("Wish", (SUB, TS, Field("w", "i8", "1", "number")), edge="gather")
ANSWER = Schema("Answer", (SUB, TS, Field("v", "i8", "1", "number")), edge="scatter")
SEEN = Schema("Seen", (SUB, TS, Field("s", "i8", "1", "number")), edge="record")
STATE = {r: Schema(f"State{r}", (Field("total", "i8", "1", "sum"),)) for r in ("a", "b", "c")}
ROOM = 8


class Toy:
    """What three small roles share: a sum for each line, a count, and what they heard."""

    role: str
    consumes: tuple[Schema, ...] = ()
    produces: tuple[Schema, ...] = ()

    def __init__(self, partition: Partition) -> None:
        self.first = partition.first
        self.columns = Columns(STATE[self.role], partition.n)
        self._tally: Tally = {f"rows_{self.role}": np.zeros(1, np.int64)}
        self.out: dict[str, list[Rows]] = {}

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Add every number that arrived to the sums of its line, by its own name and place."""
        self.out = {schema.name: [] for schema in self.produces}
        for schema in self.consumes:
            rows = inbox.rows.get(schema.name)
            if rows is not None:
                self.add(rows, 1_000 + tick.index)

    def add(self, rows: Rows, factor: int) -> None:
        """Add the last column of rows to the sums of their lines."""
        value = rows[list(rows)[-1]] * factor
        np.add.at(self.columns["total"], rows["sub"] - self.first, value)
        self._tally[f"rows_{self.role}"] += len(value)

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Return the rows of the tick."""
        schemas = {schema.name: schema for schema in self.produces}
        return {name: concat_rows(schemas[name], kept) for name, kept in self.out.items()}

    def tally(self) -> Tally:
        """Return the counts."""
        return self._tally

    def share_tally(self, tally: Tally) -> None:
        """Count into arrays of the host."""
        self._tally = tally

    def ledger(self) -> dict[str, int]:
        """Return the sum over lines."""
        return {f"stock_{self.role}": int(self.columns["total"].sum())}

    def state(self) -> dict[str, Columns]:
        """Return the sums."""
        return {f"State{self.role}": self.columns}

    def pool_digests(self) -> dict[str, int]:
        """Return nothing."""
        return {}

    def snapshot(self) -> dict[str, Any]:
        """Return the sums."""
        return {"state": self.columns.snapshot()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back."""
        self.columns.restore(saved["state"])


class Source(Toy):
    """Makes as many rows for a line as a list says."""

    role, consumes, produces = "a", (NOTE, ANSWER), (MADE, SEEN)
    load: np.ndarray
    counts: tuple[int, ...] = ()

    def share_load(self, load: np.ndarray) -> None:
        """Add into the load of the host."""
        self.load = load

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Fill the block with whole lines."""
        out = part.blocks["Made"]
        out.n, part.last = 0, part.first
        while part.last < self.columns.n:
            line = part.last
            n = self.counts[(self.first + line + tick.index) % len(self.counts)]
            if out.n + n > out.capacity:
                break
            rows = slice(out.n, out.n + n)
            out.columns["sub"][rows] = self.first + line
            out.columns["ts_ms"][rows] = tick.start_ms + np.arange(n)
            out.columns["x"][rows] = self.columns["total"][line] % 1_009 + np.arange(n)
            self.load[0, 0] += n
            out.n += n
            part.last += 1
        self.add(out.rows(), 1)
        self.out["Seen"].append({**_copy(out.rows(), "x", "s")})


class Pricer(Toy):
    """Prices every row, and makes a note of some."""

    role, consumes, produces = "b", (MADE,), (PRICED, NOTE)

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Take nothing in: rows come by slices."""
        super().begin(tick, Inbox())

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Write one price for each row."""
        made, priced, note = (part.blocks[name] for name in ("Made", "Priced", "Note"))
        rows = made.rows()
        priced.n = made.n
        priced.columns["y"][: made.n] = (
            rows["x"] * 3 + self.columns["total"][rows["sub"] - self.first]
        )
        self.add(rows, 7)
        odd = np.flatnonzero(rows["x"] % 2)
        note.fill({"sub": rows["sub"][odd], "ts_ms": rows["ts_ms"][odd], "z": rows["x"][odd]})
        self.out["Note"].append(note.copy_rows())

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Return the notes."""
        return {"Note": super().finish(tick)["Note"]}


class Wisher(Toy):
    """Wishes for something where it sees a note."""

    role, consumes, produces = "c", (MADE, PRICED, NOTE, ANSWER), (WISH,)

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Hear answers alone: notes come by slices."""
        super().begin(tick, Inbox({k: v for k, v in inbox.rows.items() if k == "Answer"}))

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Add up prices, and wish."""
        made, priced, note = (part.blocks[name].rows() for name in ("Made", "Priced", "Note"))
        self.add({"sub": made["sub"], "y": priced["y"]}, 11)
        self.out["Wish"].append(_copy(note, "z", "w"))


def _copy(rows: Rows, name: str, as_name: str) -> Rows:
    return {
        "sub": rows["sub"].copy(),
        "ts_ms": rows["ts_ms"].copy(),
        as_name: rows[name].astype(np.int64),
    }


ROLES: Any = (Source, Pricer, Wisher)
PLAN = HostPlan(
    forward=(MADE, PRICED, NOTE),
    joined={"rows": ("Made", "Priced"), "notes": ("Note",)},
    feedback=(NOTE,),
    gather=(WISH,),
    record={"seen": "Seen"},
    inbox_tables={"Note": "heard", "Answer": "answers"},
    slice_rows=ROOM,
    n_cells=2,
    sampled=np.arange(0, 40, 3),
)
CUTS = (
    (("a", "b", "c"),), (("a",), ("b", "c")), (("a", "b"), ("c",)), (("a",), ("b",), ("c",)),
)  # fmt: skip


def build(counts: tuple[int, ...]) -> Any:
    """Return a builder of the three roles."""

    def of(partition: Partition) -> Any:
        source = Source(partition)
        source.counts = counts
        return source, Pricer(partition), Wisher(partition)

    return of


def tick_of(index: int) -> Any:
    """Return a tick as far as small roles look."""
    day = np.zeros((1, 1), np.uint8)
    return Tick(index, index * 1_000, (index + 1) * 1_000, day, day, ())


def life(host: Any, n_ticks: int, first: int = 0) -> list[Any]:
    """Run ticks, answer every wish in the next one, and return all that was handed back."""
    out = []
    scattered: dict[str, Rows] = {"Answer": empty_rows(ANSWER)}
    for index in range(first, first + n_ticks):
        result: HostResult = host.tick(tick_of(index), scattered, {}, (), (1, 0))
        wish = result.gathered["Wish"]
        order = np.argsort(wish["sub"], kind="stable")
        scattered = {"Answer": {k: v[order] for k, v in _copy(wish, "w", "v").items()}}
        out.append([
            result.load[:1].tolist(), {k: v.tolist() for k, v in sorted(result.tally.items())},
            dict(sorted(result.ledger.items())), dict(sorted(result.digests.items())),
            {t: {c: a.tolist() for c, a in r.items()} for t, r in sorted(result.samples.items())},
            {c: a.tolist() for c, a in wish.items()},
        ])  # fmt: skip
    return out


@given(
    lines=st.integers(1, 40),
    partitions=st.integers(1, 6),
    counts=st.lists(st.integers(0, ROOM), min_size=1, max_size=7).map(tuple),
    cut=st.sampled_from(CUTS[1:]),
    piece_rows=st.integers(1, 100),
    apart=st.booleans(),
)
def test_groups_hand_back_what_one_host_does(
    lines: int,
    partitions: int,
    counts: tuple[int, ...],
    cut: Any,
    piece_rows: int,
    apart: bool,
) -> None:
    """Loads, counts, stocks, digests, wishes and every recorded row, in order, for three ticks."""
    shares = make_partitions(lines, partitions)
    groups = plan_groups(PLAN, ROLES, cut)
    more: dict[str, Any] = {"carry": through_store} if apart else {}
    split = SplitHost(groups, PLAN, shares, build(counts), piece_rows=piece_rows, **more)
    whole = Host(PLAN, shares, build(counts))
    assert life(split, 3) == life(whole, 3)
    saved = split.snapshot()
    again = SplitHost(groups, PLAN, shares, build(counts))
    again.restore(saved)
    fused = Host(PLAN, shares, build(counts))
    fused.restore(whole.snapshot())
    assert life(again, 1, 3) == life(fused, 1, 3) == life(split, 1, 3)


def two(counts: tuple[int, ...] = (3, 0, 5)) -> tuple[GroupHost, GroupHost]:
    """Return two groups over nine lines, a piece for each slice, in an open tick."""
    shares = make_partitions(9, 2)
    groups = plan_groups(PLAN, ROLES, CUTS[1])
    made = [GroupHost(group, shares, build(counts), piece_rows=1) for group in groups]
    for host in made:
        host.open(tick_of(0), {}, {}, (), ())
    return made[0], made[1]


def test_a_piece_that_is_lost_repeated_or_missing_is_refused() -> None:
    """Order is checked where a piece arrives, whatever carried it."""
    source, rest = two()
    first, second = (through_store(source.produce()) for _ in range(2))
    with pytest.raises(InvariantError, match="wanted number 0"):
        rest.work(second)
    rest.work(first)
    with pytest.raises(InvariantError, match="wanted number 1"):
        rest.work(first)
    with pytest.raises(InvariantError, match="pieces do not fit"):
        rest.work()
    with pytest.raises(InvariantError, match="a slice begins at line"):
        rest.work(replace(second, cuts=second.cuts + np.array([0, 1, 0])))
    with pytest.raises(InvariantError, match="ends before partition"):
        rest.close(None)


def test_a_group_works_only_in_an_open_tick() -> None:
    """A call out of turn is an error with a name, not an empty answer."""
    source, _ = two()
    while not source.produce().last:
        pass
    empty = source.produce()
    assert empty.last and len(empty.cuts) == 0 and empty.nbytes == 0
    source.close(None)
    for call in (source.produce, lambda: source.close(None)):
        with pytest.raises(InvariantError, match="no tick is open"):
            call()


def test_a_piece_has_a_limit() -> None:
    """The buffer refuses the slice that would pass its bytes, and says how many."""
    source, _ = two()
    part = Slice(0, 0, source.blocks)
    part.blocks["Made"].n = 5
    buffer = PieceBuffer([MADE], bytes_max=2 * 5 * MADE.row_bytes())
    buffer.add(0, part)
    buffer.add(0, part)
    with pytest.raises(LimitError, match="at most 200"):
        buffer.add(0, part)


@settings(max_examples=200)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), max_size=4))
def test_only_the_forward_order_cut_into_runs_is_accepted(groups: list[list[str]]) -> None:
    """Every other list of lists of names is refused, with what was found."""
    if [role for group in groups for role in group] == list("abc") and all(groups):
        assert [g.roles for g in plan_groups(PLAN, ROLES, groups)] == [tuple(g) for g in groups]
    else:
        with pytest.raises(ScenarioError, match="forward order"):
            plan_groups(PLAN, ROLES, groups)
