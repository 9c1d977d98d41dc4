"""The shelf: messages that lie ready at a touch point until the person comes, or they expire.

It owns the rows that wait for a visit.  It must not know why somebody comes, nor how a touch point
serves who has come.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors import messages as m
from sim.core import histogram
from sim.core.actor import Rows
from sim.core.columns import Columns, concat_rows, empty_rows, take_rows


class Shelf:
    """Messages of every session channel that lie ready."""

    def __init__(self, session: np.ndarray, queue_max: np.ndarray, patience_ms: np.ndarray) -> None:
        """Make an empty shelf.

        Parameters
        ----------
        session : (n_channels,) bool, whether a channel waits for the person
        queue_max : (n_channels,) int64, messages that may lie ready or wait
        patience_ms : (n_channels,) int64, how long a person waits for a free server
        """
        self.session = session
        self.queue_max = queue_max
        self.patience_ms = patience_ms
        self.rows: Rows = empty_rows(m.INTENT)

    def visit(self, touches: Rows, c: Any) -> Rows:
        """Take up the messages whose person comes; return them as newcomers of the queues.

        Parameters
        ----------
        touches : `Touch` rows, in any order
        c : counters of the channels, mutated

        Returns
        -------
        rows : `Intent` rows; `ts_ms` is the visit, `expires_ms` the end of the person's patience
        """
        if not len(touches["sub"]):
            return empty_rows(m.INTENT)
        order = np.argsort(touches["key"], kind="stable")
        keys = touches["key"][order]
        at = np.minimum(np.searchsorted(keys, self.rows["key"]), len(keys) - 1)
        comes = keys[at] == self.rows["key"]
        taken = take_rows(self.rows, np.flatnonzero(comes))
        self.rows = take_rows(self.rows, np.flatnonzero(~comes))
        visit_ms = touches["ts_ms"][order][at[comes]]
        channels = taken["channel"]
        c.channel_visits[:] += np.bincount(channels, minlength=len(c.channel_visits))
        waited = np.maximum(visit_ms - taken["ts_ms"], 0)
        for channel in np.unique(channels):
            histogram.add(c.channel_presence_ms[channel], waited[channels == channel])
        taken["ts_ms"] = visit_ms
        taken["expires_ms"] = visit_ms + self.patience_ms[channels]
        return taken

    def put(self, rows: Rows, end_ms: int, c: Any) -> tuple[Rows, list[Rows]]:
        """Lay newcomers ready, and take away what has expired.

        Parameters
        ----------
        rows : `Intent` rows of session channels, in any order
        end_ms : end of the tick

        Returns
        -------
        placed, told : `Placed` rows sorted by line, and `Delivery` rows of what expired or found
            the shelf full
        """
        told: list[Rows] = []
        late = rows["expires_ms"] < end_ms
        told.append(_tell(take_rows(rows, np.flatnonzero(late)), m.EXPIRED, c.channel_expired))
        rows = take_rows(rows, np.flatnonzero(~late))
        rows = take_rows(rows, np.lexsort((rows["key"], rows["ts_ms"], rows["channel"])))
        lying = np.bincount(self.rows["channel"], minlength=len(self.session))
        first = np.searchsorted(rows["channel"], np.arange(len(self.session)))
        rank = np.arange(len(rows["sub"])) - first[rows["channel"]]
        full = lying[rows["channel"]] + rank >= self.queue_max[rows["channel"]]
        told.append(_tell(take_rows(rows, np.flatnonzero(full)), m.DROPPED, c.channel_dropped))
        laid = take_rows(rows, np.flatnonzero(~full))
        old = self.rows["expires_ms"] < end_ms
        expired = take_rows(self.rows, np.flatnonzero(old))
        told.append(_tell(expired, m.EXPIRED, c.channel_expired))
        kept = take_rows(self.rows, np.flatnonzero(~old))
        self.rows = concat_rows(m.INTENT, [kept, laid])
        c.channel_placed[:] += np.bincount(laid["channel"], minlength=len(c.channel_placed))
        placed = {name: laid[name] for name in m.PLACED.names}
        order = np.lexsort((placed["key"], placed["ts_ms"], placed["sub"]))
        return take_rows(placed, order), [rows for rows in told if len(rows["sub"])]


def _tell(rows: Rows, status: int, counter: np.ndarray) -> Rows:
    """Return the `Delivery` rows of messages that nobody will see, and count them."""
    counter[:] += np.bincount(rows["channel"], minlength=len(counter))
    out = Columns(m.DELIVERY, len(rows["sub"])).arrays
    for name in ("sub", "use_case", "channel", "trigger_ms"):
        out[name][:] = rows[name]
    moment = rows["ts_ms"] if status == m.DROPPED else rows["expires_ms"]
    out["ts_ms"][:] = out["sent_ms"][:] = np.maximum(moment, rows["ts_ms"])
    out["status"][:] = status
    return out
