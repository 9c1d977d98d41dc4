"""Whether the two sides of a call agree: the caller's row held against the callee's.

It owns the pairing of the rows of one call and its counts.  It leaves no row out: which side is
wrong nobody can tell, and each row is right for its own subscriber.  It must not know files.
"""

from __future__ import annotations

import numpy as np

from sim.core.kernel import kernel
from sim.record.source_spec import DERIVED, MO, NONE, VOICE

NEAR_MS = 60_000
"""The other side of a call begins within this time, ms."""
SAME_MS = 2_000
"""Sides agree where beginnings differ by at most this, ms: clocks of two switches."""
SAME_S = 2
"""Sides agree where lengths differ by at most this, s."""
AGREE, DIFFER, ALONE = 0, 1, 2


class Sides:
    """The calls between two recorded subscribers, counted hour by hour."""

    def __init__(self) -> None:
        self._counts = np.zeros(3, np.int64)
        self._waiting: np.ndarray | None = None

    def add(self, rows: np.ndarray, end_ms: int) -> None:
        """Take the rows of the next piece of a spool.

        Parameters
        ----------
        rows : (n,) ROW
        end_ms : end of the piece, ms since the start; rows within `NEAR_MS` of it wait for the next
        """
        told = (rows["type"] == VOICE) & (rows["peer"] >= 0) & (rows["direction"] != NONE)
        self._judge(rows[told], end_ms)

    def found(self) -> dict[str, int]:
        """Return how many calls have sides that agree and that differ, and rows that are alone.

        `one_side` counts rows whose other party is a recorded subscriber without a row of the call.
        Where the other side was derived there is nothing to hold a row against: not counted.
        """
        none = self._waiting[:0] if self._waiting is not None else None
        if none is not None:
            self._judge(none, 1 << 62)
        agree, differ, alone = self._counts.tolist()
        return {"agree": agree, "differ": differ, "one_side": alone}

    def _judge(self, rows: np.ndarray, end_ms: int) -> None:
        if self._waiting is not None:
            rows = np.concatenate([self._waiting, rows])
        outgoing = (rows["direction"] == MO).astype(np.uint8)
        caller = np.where(outgoing == 1, rows["source_sub"], rows["peer"])
        callee = np.where(outgoing == 1, rows["peer"], rows["source_sub"])
        order = np.lexsort((outgoing, rows["ts_ms"], callee, caller))
        wait = np.zeros(len(rows), np.uint8)
        pair(
            caller[order], callee[order], rows["ts_ms"][order], outgoing[order],
            rows["units"][order], (rows["flags"][order] & DERIVED) != 0, end_ms - NEAR_MS, wait,
            self._counts,
        )  # fmt: skip
        self._waiting = rows[order][wait == 1]


@kernel
def pair(caller, callee, ts, outgoing, units, derived, wait_from_ms, wait, counts):
    """Count calls whose two rows stand one after the other, and rows that have no other side.

    Parameters
    ----------
    caller, callee : (n,) int32; rows are sorted by them, then by `ts` (ms)
    outgoing : (n,) uint8, 1 the caller's row, 0 the callee's
    units : (n,) int64, s
    derived : (n,) bool, made from the other side's row
    wait_from_ms : a row without another side from here on may still get one
    wait : (n,) uint8, written: 1 where the row is to be asked again
    counts : (3,) int64, mutated: sides that agree, that differ, rows that are alone
    """
    n = ts.shape[0]
    i = 0
    while i < n:
        wait[i] = 0
        j = i + 1
        both = j < n and caller[i] == caller[j] and callee[i] == callee[j]
        if both and outgoing[i] != outgoing[j] and ts[j] - ts[i] <= NEAR_MS:
            wait[j] = 0
            if not (derived[i] or derived[j]):
                same = ts[j] - ts[i] <= SAME_MS and abs(units[j] - units[i]) <= SAME_S
                counts[AGREE if same else DIFFER] += 1
            i += 2
            continue
        if ts[i] >= wait_from_ms:
            wait[i] = 1
        elif not derived[i]:
            counts[ALONE] += 1
        i += 1
