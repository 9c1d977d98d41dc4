"""Event capture: what becomes of rows on their way to the engine.

It owns which rows are late or come twice, the rows that are under way between two ticks, and that
a row counts once however often it comes.  It must not know what a row says.

The fate of a row is a pure function of its line, moment and kind; rows that are lost are left to
the scan, which draws the same fate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.rtm.params import SOURCES, Capture
from actors.rtm.state import ONCE, WAITING
from sim.core import quantiles, rng
from sim.core.actor import Rows
from sim.core.columns import Block, Columns, take_rows
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import mix64
from sim.core.sparse import Sparse, drop, find, key_of, put
from sim.core.ticks import Tick

IN_TIME, LATE, TWICE = 0, 1, 2


class CaptureTables(NamedTuple):
    """The fates of rows by kind of `Activity`; kinds that are no source are always in time.

    Attributes
    ----------
    loss, late, twice : (8,) uint32 thresholds
    delay_ms : (8, 1024) int64 quantiles of the delay of late rows and second copies
    limit_ms : a row later than this is dropped
    defers : whether any row may be late or come twice
    judged : share of lines whose triggers are judged
    """

    loss: np.ndarray
    late: np.ndarray
    twice: np.ndarray
    delay_ms: np.ndarray
    limit_ms: int
    defers: bool
    judged: float


def compile_capture(capture: Capture) -> CaptureTables:
    """Return the tables of `rtm.capture`; a source without options of its own has the common loss.

    Top-ups that begin are told by our own system: they are lost only where the scenario says so.
    """
    n = len(m.ACTIVITY_KINDS)
    loss, late, twice = (np.zeros(n, np.uint32) for _ in range(3))
    delay = np.zeros((n, quantiles.SIZE), np.int64)
    for name in SOURCES:
        kind = m.ACTIVITY_KINDS.index(name)
        own = capture.sources.get(name)
        common = capture.loss if kind <= m.BLOCKED else 0.0
        loss[kind] = rng.threshold(common if own is None or own.loss is None else own.loss)
        if own is not None:
            late[kind] = rng.threshold(own.late)
            twice[kind] = rng.threshold(own.twice)
            delay[kind] = quantiles.lognormal(own.late_median_s * 1000, own.late_sigma)
    return CaptureTables(
        loss, late, twice, delay, round(capture.late_limit_min * 60_000),
        bool(late.any() or twice.any()), capture.judged,
    )  # fmt: skip


@kernel
def fates(seed, t, sub, ts_ms, kind, n, fate, due_ms, identity):
    """Write what becomes of each row, when it (or its copy) comes, and its identity.

    Parameters
    ----------
    t : `CaptureTables`
    sub, ts_ms, kind : columns of `Activity`, n rows
    """
    for k in range(n):
        key = mix64(
            seed ^ np.uint64(ts_ms[k]) ^ (np.uint64(sub[k]) << np.uint64(29)) ^ np.uint64(kind[k])
        )
        fate[k] = IN_TIME
        due_ms[k] = ts_ms[k]
        identity[k] = np.uint32(mix64(key ^ np.uint64(1)))
        if np.uint32(key >> np.uint64(32)) < t.loss[kind[k]]:
            continue
        low = np.uint32(key)
        delay = np.int64(quantile(t.delay_ms[kind[k]], np.uint32(mix64(key))))
        if low < t.late[kind[k]]:
            fate[k] = LATE
            due_ms[k] = ts_ms[k] + delay
        elif np.uint32(0xFFFFFFFF) - low < t.twice[kind[k]]:
            fate[k] = TWICE
            due_ms[k] = ts_ms[k] + delay


@kernel
def admit(once, sub, identity, watched, due_ms, n, new):
    """Mark the rows that come for the first time; a row that comes twice is remembered between.

    Parameters
    ----------
    watched : (n,) uint8, 1 for rows that come twice, both times
    new : (n,) bool, written
    """
    for k in range(n):
        new[k] = True
        if not watched[k]:
            continue
        key = key_of(sub[k], identity[k])
        row = find(once, key)
        if row >= 0:
            drop(once, row)
            new[k] = False
        else:
            once.due_ms[put(once, key)] = due_ms[k]


class Feed:
    """What the engine of a partition is shown, and what is still on its way to it.

    Attributes
    ----------
    waiting : rows under way, by column of `WAITING`
    once : identities of rows that have come and will come again
    """

    def __init__(self, tables: CaptureTables, seed: np.uint64) -> None:
        self.tables = tables
        self.seed = seed
        self.waiting: Rows = Columns(WAITING, 0).arrays
        self.once = Sparse(ONCE)

    def take(
        self, tick: Tick, low: int, high: int, activity: Rows, rated: Rows, counters: Any
    ) -> tuple[Columns, Columns, int]:
        """Return the rows that reach the engine of the lines from `low` to `high`, in their order.

        Rows of earlier ticks come first for their line, then those of this one.

        Parameters
        ----------
        activity, rated : rows of these lines made in this tick

        Returns
        -------
        activity, rated, n : columns and their rows
        """
        fresh = self._fresh(activity, rated)
        fate, due = fresh.pop("fate"), fresh["due_ms"]
        limit = self.tables.limit_ms
        too_late = (fate == LATE) & (due - fresh["ts_ms"] > limit)
        counters.rows_too_late[0] += int(too_late.sum())
        later = (fate == LATE) & (due >= tick.end_ms) & ~too_late
        counters.rows_late[0] += int(later.sum())
        copies = take_rows(fresh, np.flatnonzero((fate == TWICE) & (due - fresh["ts_ms"] <= limit)))
        copied = (fate == TWICE) & (due - fresh["ts_ms"] <= limit)
        fresh["watched"] = copied.astype(np.uint8)
        copies["watched"] = np.ones(len(copies["sub"]), np.uint8)
        mine = (self.waiting["sub"] >= low) & (self.waiting["sub"] < high)
        ripe = mine & (self.waiting["due_ms"] < tick.end_ms)
        now = take_rows(self.waiting, np.flatnonzero(ripe))
        soon = copies["due_ms"] < tick.end_ms
        kept = take_rows(fresh, np.flatnonzero(~(later | too_late)))
        parts = (now, kept, take_rows(copies, np.flatnonzero(soon)))
        self.waiting = _joined(
            take_rows(self.waiting, np.flatnonzero(~ripe)),
            take_rows(fresh, np.flatnonzero(later)),
            take_rows(copies, np.flatnonzero(~soon)),
        )
        age = np.concatenate([np.full(len(p["sub"]), k) for k, p in enumerate(parts)])
        rows = _joined(*parts)
        order = np.lexsort((rows["ts_ms"], age, rows["sub"]))
        rows = take_rows(rows, order)
        n_late = int((now["watched"] == 0).sum())
        return self._admitted(rows, n_late, counters)

    def _fresh(self, activity: Rows, rated: Rows) -> Rows:
        n = len(activity["sub"])
        fate, due = np.zeros(n, np.uint8), np.zeros(n, np.int64)
        identity = np.zeros(n, np.uint32)
        fates(
            self.seed, self.tables, activity["sub"], activity["ts_ms"], activity["kind"], n, fate,
            due, identity,
        )  # fmt: skip
        watched = np.zeros(n, np.uint8)
        more = {"due_ms": due, "identity": identity, "watched": watched, "fate": fate}
        return {**activity, **rated, **more}

    def _admitted(self, rows: Rows, n_late: int, counters: Any) -> tuple[Columns, Columns, int]:
        n = len(rows["sub"])
        self.once.reserve(int(rows["watched"].sum()))
        new = np.zeros(n, np.bool_)
        admit(
            self.once.view, rows["sub"], rows["identity"], rows["watched"], rows["due_ms"], n, new
        )
        counters.rows_twice[0] += int((~new).sum())
        counters.rows_arrived[0] += n_late
        rows = take_rows(rows, np.flatnonzero(new))
        made = []
        for schema in (m.ACTIVITY, m.RATED):
            columns = Columns(schema, len(rows["sub"]))
            for name in schema.names:
                columns[name][:] = rows[name]
            made.append(columns)
        return made[0], made[1], len(rows["sub"])

    def digests(self) -> dict[str, int]:
        """Return the order-free digests of what is under way and remembered."""
        (waiting, _, keys), _ = self.keyed(self.snapshot())
        return {"Waiting": waiting.digest(keys), "Once": self.once.digest()}

    @staticmethod
    def keyed(saved: dict[str, Rows]) -> list[tuple[Columns, np.ndarray, np.ndarray]]:
        """Return tables of a snapshot as columns, with the line and the key of each row."""
        out = []
        for schema in (WAITING, ONCE):
            rows = saved[schema.name]
            filled = Columns(schema, len(rows[schema.names[0]]))
            for name in schema.names:
                filled[name][:] = rows[name]
            if schema is WAITING:
                keys = Columns.row_keys(rows) ^ rows["due_ms"]
                out.append((filled, rows["sub"].astype(np.int64), keys))
            else:
                out.append((filled, rows["key"] >> 32, rows["key"]))
        return out

    def nbytes(self) -> int:
        """Return the bytes of what is under way and remembered."""
        return sum(a.nbytes for a in self.waiting.values()) + self.once.nbytes

    def snapshot(self) -> dict[str, Rows]:
        """Return what is under way and remembered, with the lines as `sub`."""
        rows = {name: array.copy() for name, array in self.waiting.items()}
        return {"Waiting": rows, "Once": self.once.snapshot()}

    def restore(self, saved: dict[str, Rows]) -> None:
        """Go back to a snapshot."""
        self.waiting = {name: saved["Waiting"][name].copy() for name in WAITING.names}
        self.once.restore(saved["Once"])


def _joined(*parts: Rows) -> Rows:
    return {name: np.concatenate([p[name] for p in parts]) for name in WAITING.names}


def filled(block: Block, n: int) -> Rows:
    """Return the first n rows of a block, as views."""
    return {name: array[:n] for name, array in block.columns.arrays.items()}


def put_late(hits: Block, n: int, start_ms: int) -> None:
    """Let nothing follow from a late row before the tick in which it came; put hits in order."""
    rows = filled(hits, n)
    np.maximum(rows["ts_ms"], start_ms, out=rows["ts_ms"])
    order = np.lexsort((rows["ts_ms"], rows["sub"]))
    for array in rows.values():
        array[:] = array[order]
