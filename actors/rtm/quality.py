"""Quality of triggers: what the engine noticed, against the same rules on a perfect feed.

It owns a second engine of a few lines, chosen by hash, that sees every row at once, and the
matching of its hits with those of the real one.  Nothing of it reaches a decision.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from actors import messages as m
from actors.metrics import RTM_METRICS
from actors.profile import PROFILE
from actors.rtm.capture import CaptureTables
from actors.rtm.state import (
    CONTACTS,
    DEED,
    HELD,
    HIT,
    PARTICIPATION,
    SEEN,
    STATE,
    TAKEN,
    TRIAL,
    engine_view,
)
from actors.rtm.things import gives_nothing
from sim.core import rng
from sim.core.actor import Rows
from sim.core.columns import Block, Columns, take_rows
from sim.core.metrics import new_tally
from sim.core.sparse import Sparse

BLOCK_BITS, BLOCKS_MAX = 19, 64
MATCH_MS = 3_600_000
"""A hit stands for a true one of its rule and line at most so far from it."""


def watched_lines(seed: int, n_lines: int, share: float, first: int, last: int) -> np.ndarray:
    """Return the lines from `first` to `last` whose triggers are judged, as local rows, sorted.

    They lie in blocks of neighbours, one for each half a million lines and 64 at most, whose places
    are drawn: most partitions hold none, and run no second engine.
    """
    n_blocks = min(max(n_lines >> BLOCK_BITS, 1), BLOCKS_MAX)
    size = round(n_lines * share / n_blocks)
    if size == 0:
        return np.zeros(0, np.int64)
    words = rng.draws(seed, "blocks of judged lines", np.arange(n_blocks, dtype=np.int64))[:, 0]
    # One block in each part of the lines, so that they do not meet; they wrap at its end.
    part = n_lines // n_blocks
    begin = words.astype(np.int64) * part >> 32
    lines = np.arange(first, last, dtype=np.int64)
    block = np.minimum(lines // part, n_blocks - 1)
    return np.flatnonzero((lines - block * part - begin[block]) % part < size)


@functools.lru_cache(maxsize=4)
def unread_counters(make: Any, sizes: tuple[tuple[str, int], ...]) -> Any:
    """Return counters for what is counted and never read, one for all partitions of a process.

    Parameters
    ----------
    make : type of the role's counters
    sizes : dimensions of metrics and their lengths
    """
    labels = {name: tuple(map(str, range(n))) for name, n in sizes}
    return make(**new_tally(RTM_METRICS, labels))


def perfect(tables: Any) -> Any:
    """Return the tables of an engine that misses nothing and remembers no contact."""
    c: CaptureTables = tables.capture
    none = c._replace(
        loss=np.zeros_like(c.loss), late=np.zeros_like(c.late), twice=np.zeros_like(c.twice)
    )
    contact = tables.contact._replace(case_limits=np.zeros_like(tables.contact.case_limits))
    return tables._replace(capture=none, contact=contact, things=gives_nothing(tables.things))


def match(truth: Rows, real: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Match hits one to one, in the order of time, by rule and line within `MATCH_MS`.

    Returns
    -------
    of_truth, of_real : rows of the pairs
    """
    order_t = np.lexsort((truth["ts_ms"], truth["sub"], truth["trigger"]))
    order_r = np.lexsort((real["ts_ms"], real["sub"], real["trigger"]))
    of_truth: list[int] = []
    of_real: list[int] = []
    i = j = 0
    while i < len(order_t) and j < len(order_r):
        a, b = int(order_t[i]), int(order_r[j])
        one = (int(truth["trigger"][a]), int(truth["sub"][a]))
        two = (int(real["trigger"][b]), int(real["sub"][b]))
        gap = int(real["ts_ms"][b]) - int(truth["ts_ms"][a])
        if one == two and abs(gap) <= MATCH_MS:
            of_truth.append(a)
            of_real.append(b)
            i += 1
            j += 1
        elif one < two or (one == two and gap > 0):
            i += 1
        else:
            j += 1
    return np.array(of_truth, np.int64), np.array(of_real, np.int64)


class Judge:
    """The second engine of the watched lines of a partition, and what is not matched yet.

    Parameters
    ----------
    tables : `RtmTables` of the run
    lines : local rows of the watched lines
    keep_ms : how long a hit may wait for the other one
    counters : never read; the second engine counts into it
    """

    def __init__(
        self, tables: Any, first: int, profile: Columns, state: Columns, lines: np.ndarray,
        keep_ms: int, counters: Any,
    ) -> None:  # fmt: skip
        self.first = first
        self.lines = lines
        self.subs = (first + lines).astype(np.int32)
        self._is_watched = np.zeros(state.n, np.bool_)
        self._is_watched[lines] = True
        self.keep_ms = keep_ms
        self._tables = perfect(tables)
        self._counters = counters
        self.profile, self.state = Columns(PROFILE, len(lines)), Columns(STATE, len(lines))
        self.state.ids = state.ids
        for mine, theirs in ((self.profile, profile), (self.state, state)):
            for name, array in theirs.arrays.items():
                mine[name][:] = array[lines]
        empty = (CONTACTS, TAKEN, HELD, TRIAL, PARTICIPATION)
        self._empty = tuple(Sparse(schema) for schema in empty)
        self.open: dict[str, Rows] = {"truth": _none(), "real": _none()}

    def follow(self, plays: np.ndarray) -> None:
        """Take over who is in a game at the start of a tick: the real engine alone keeps games.

        Parameters
        ----------
        plays : (n_lines,) of every line of the partition
        """
        self.state["plays"][:] = plays[self.lines]

    def see(self, scan: Any, activity: Rows, rated: Rows, events: Rows) -> Rows:
        """Show the second engine the rows of a slice; return its hits as rows of `SEEN`."""
        rows, lines = _rows_of(activity["sub"], self.subs)
        if not len(rows):
            return _none()
        blocks = []
        for schema, table in ((m.ACTIVITY, activity), (m.RATED, rated)):
            blocks.append(Columns(schema, len(rows)))
            for name in schema.names:
                blocks[-1][name][:] = table[name][rows]
        blocks[0]["sub"][:] = self.first + lines
        told, who = _rows_of(events["sub"], self.subs)
        account = Columns(m.ACCOUNT_EVENT, len(told))
        for name in m.ACCOUNT_EVENT.names:
            account[name][:] = events[name][told]
        account["sub"][:] = self.first + who
        room = 4 * len(rows) + 256
        hits = Block(HIT, room)
        n = scan(
            engine_view(self.state, self._empty, self.first), self.profile.view, self._tables,
            self.first, blocks[0].view, len(rows), blocks[1].view, account.view, len(told),
            hits.view, 0, Block(m.DETECTION, room).view, 0, Block(m.CREDIT, room).view, 0,
            Block(DEED, len(rows)).view, 0, self._counters,
        )[0]  # fmt: skip
        found = {name: array[:n] for name, array in hits.columns.arrays.items()}
        found = take_rows(found, np.flatnonzero(found["trigger"] >= 0))
        return _seen(self.subs[found["sub"] - self.first], found, found["ts_ms"])

    def own(self, hits: Rows, start_ms: int) -> Rows:
        """Return the hits of the real engine that belong to watched lines, as rows of `SEEN`."""
        watched = self._is_watched[hits["sub"] - self.first]
        kept = np.flatnonzero(watched & (hits["trigger"] >= 0))
        mine = take_rows(hits, kept)
        return _seen(mine["sub"], mine, np.maximum(mine["ts_ms"], start_ms))

    def settle(self, truth: list[Rows], real: list[Rows], now_ms: int, counters: Any) -> None:
        """Count the hits of a tick and match what can be matched.

        Parameters
        ----------
        now_ms : end of the tick; what is older than `keep_ms` waits no longer
        """
        for name, new, counter in (
            ("truth", truth, counters.rule_truth), ("real", real, counters.rule_hits),
        ):  # fmt: skip
            for rows in new:
                np.add.at(counter, rows["trigger"], 1)
            self.open[name] = {
                key: np.concatenate([self.open[name][key], *(rows[key] for rows in new)])
                for key in SEEN.names
            }
        a, b = match(self.open["truth"], self.open["real"])
        rule = self.open["truth"]["trigger"][a]
        delay = self.open["real"]["acted_ms"][b] - self.open["truth"]["ts_ms"][a]
        np.add.at(counters.rule_matched, rule, 1)
        np.add.at(counters.rule_delay_ms, rule, delay)
        for name, done in (("truth", a), ("real", b)):
            rows = self.open[name]
            left = rows["ts_ms"] >= now_ms - self.keep_ms
            left[done] = False
            self.open[name] = take_rows(rows, np.flatnonzero(left))

    def digests(self, ids: np.ndarray) -> dict[str, int]:
        """Return the order-free digests of the second engine and of what is not matched.

        Parameters
        ----------
        ids : (n_rules,) uint64, name ids of the rules
        """
        names = ("Judge", *(f"Judge:{name}" for name in self.open))
        tables = self.keyed(self.snapshot(), ids)
        return {n: rows.digest(keys) for n, (rows, _, keys) in zip(names, tables, strict=True)}

    def keyed(
        self, saved: dict[str, Any], ids: np.ndarray
    ) -> list[tuple[Columns, np.ndarray, np.ndarray]]:
        """Return tables of a snapshot as columns, with the line and the key of each row."""
        out = []
        tables = [(STATE, "Judge", self.state.ids)]
        tables += [(SEEN, f"Judge_{name}", ids) for name in self.open]
        for schema, name, named in tables:
            rows = saved[name]
            filled = Columns(schema, len(rows["sub"]))
            filled.ids = named
            for column in schema.fields:
                if not column.transient:
                    filled[column.name][:] = rows[column.name]
            subs = rows["sub"].astype(np.int64)
            out.append((filled, subs, subs if schema is STATE else Columns.row_keys(rows)))
        return out

    def nbytes(self) -> int:
        """Return the bytes of the second engine."""
        return self.state.nbytes + self.profile.nbytes

    def snapshot(self) -> dict[str, Rows]:
        """Return the second engine and what is not matched, with the lines as `sub`."""
        open_hits = {
            f"Judge_{name}": {key: array.copy() for key, array in rows.items()}
            for name, rows in self.open.items()
        }
        return {"Judge": {"sub": self.subs.copy(), **self.state.snapshot()}, **open_hits}

    def restore(self, saved: dict[str, Rows]) -> None:
        """Go back to a snapshot."""
        self.state.restore(saved["Judge"])
        self.open = {
            name: {key: saved[f"Judge_{name}"][key].copy() for key in SEEN.names}
            for name in self.open
        }


def _none() -> Rows:
    return Columns(SEEN, 0).arrays


def _seen(subs: np.ndarray, hits: Rows, acted_ms: np.ndarray) -> Rows:
    return {
        "sub": subs.astype(np.int32),
        "ts_ms": hits["ts_ms"].copy(),
        "trigger": hits["trigger"].copy(),
        "acted_ms": acted_ms.copy(),
    }


def _rows_of(column: np.ndarray, subs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a sorted column that hold one of `subs`, and which of these each holds."""
    begin = np.searchsorted(column, subs)
    n = np.searchsorted(column, subs, side="right") - begin
    number = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(begin, n) + number, np.repeat(np.arange(len(subs)), n)
