"""`BillingActor`: rating, balances and allowances of one partition.

It owns the order of steps in a tick: credits, silent lines once a day, then the rows of each
slice.  It must not know who is told of what, nor why a line uses.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from actors import messages as m
from actors.billing.accounts import STOCK, count_stock, credit_all, end_silent
from actors.billing.rating import rate
from actors.billing.state import DUE
from actors.billing.tables import BillingTables
from actors.metrics import BILLING_METRICS
from sim.core.actor import Inbox, Rows, Slice
from sim.core.columns import Block, Columns, Schema, concat_rows, take_rows
from sim.core.errors import LimitError
from sim.core.metrics import Tally, new_tally
from sim.core.ticks import DAY_MS, Tick

BillingCounters = namedtuple("BillingCounters", [metric.name for metric in BILLING_METRICS])  # type: ignore[misc]  # names are data


@dataclass(frozen=True)
class BillingWorld:
    """What every partition of the role shares: tables and the labels of metric dimensions."""

    tables: BillingTables
    labels: dict[str, tuple[str, ...]]


class BillingActor:
    """Rating and balance management of one partition (OCS, CHF)."""

    role: ClassVar[str] = "billing"
    consumes: ClassVar[tuple[Schema, ...]] = (m.ACTIVITY, m.CREDIT)
    produces: ClassVar[tuple[Schema, ...]] = (m.RATED, m.ACCOUNT_EVENT)

    def __init__(self, world: BillingWorld, first: int, profile: Columns, state: Columns) -> None:
        self.world = world
        self.first = first
        self.profile = profile
        self.columns = state
        self._tally = new_tally(BILLING_METRICS, world.labels)
        self._counters = BillingCounters(**self._tally)
        self._events: list[Rows] = []
        self._early: list[Rows] = []

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Apply credits, and once a day end the lines that were silent for too long."""
        self._events = []
        self._early = []
        day = tick.start_ms // DAY_MS
        credits = inbox.rows.get("Credit")
        if credits is not None and len(credits["sub"]):
            made = Columns(m.ACCOUNT_EVENT, len(credits["sub"]))
            n = credit_all(
                self.columns.view,
                self.profile.view,
                self.world.tables,
                self.first,
                m.CREDIT.tuple_type(**credits),
                len(credits["sub"]),
                day,
                made.view,
                self._counters,
            )
            self._events.append({name: a[:n] for name, a in made.arrays.items()})
            self._early = self._events[:]
        if tick.start_ms % DAY_MS == 0 and tick.index > 0:
            self._end_silent(tick, day)

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Rate the rows of a slice and add the account events of its lines."""
        activity, rated = part.blocks["Activity"], part.blocks["Rated"]
        events = part.blocks["AccountEvent"]
        due = part.blocks.get("DueLines")
        if due is None or due.capacity <= part.last - part.first:
            due = part.blocks["DueLines"] = Block(DUE, max(part.last - part.first, 1 << 16) + 1)
        n = rate(
            self.columns.view,
            self.profile.view,
            self.world.tables,
            self.first,
            part.first,
            part.last,
            tick.start_ms // DAY_MS,
            tick.start_ms // 1000,
            tick.end_ms // 1000,
            activity.view,
            activity.n,
            rated.view,
            events.view,
            events.capacity,
            due.view,
            self._counters,
        )
        if n < 0:
            raise LimitError(f"account events of one slice exceed their room of {events.capacity}")
        rated.n = activity.n
        events.n = n
        if n:
            self._events.append(events.copy_rows())
        self._add_early(part, events)

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Return the account events of the tick, for the people they concern."""
        return {"AccountEvent": concat_rows(m.ACCOUNT_EVENT, self._events)}

    def tally(self) -> Tally:
        """Return the counters; whoever runs the role resets them before a tick."""
        return self._tally

    def share_tally(self, tally: Tally) -> None:
        """Count into arrays that the partitions of a host share."""
        self._tally = tally
        self._counters = BillingCounters(**tally)

    def ledger(self) -> dict[str, int]:
        """Return money, debts, allowances and lines by state of life, now."""
        stock = count_stock(self.columns.view)
        return {**dict(zip(STOCK, stock, strict=True)), "accounts": self.columns.n}

    def state(self) -> dict[str, Columns]:
        """Return the columns that the role owns."""
        return {"BillingState": self.columns}

    def pool_digests(self) -> dict[str, int]:
        """Return nothing: the role holds no pool."""
        return {}

    def nbytes(self) -> int:
        """Return the bytes of the state."""
        return self.columns.nbytes

    def snapshot(self) -> dict[str, Any]:
        """Return the state."""
        return {"state": self.columns.snapshot()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.columns.restore(saved["state"])

    def _add_early(self, part: Slice, events: Block) -> None:
        """Put what happened before the rows of the tick into the slice of its lines."""
        first, last = self.first + part.first, self.first + part.last
        early = concat_rows(m.ACCOUNT_EVENT, self._early)
        mine = np.flatnonzero((early["sub"] >= first) & (early["sub"] < last))
        if len(mine) == 0:
            return
        rows = concat_rows(m.ACCOUNT_EVENT, [take_rows(early, mine), events.copy_rows()])
        events.fill(take_rows(rows, np.lexsort((rows["ts_ms"], rows["sub"]))))

    def _end_silent(self, tick: Tick, day: int) -> None:
        step = 65_536
        for first in range(0, self.columns.n, step):
            last = min(first + step, self.columns.n)
            made = Columns(m.ACCOUNT_EVENT, last - first)
            n = end_silent(
                self.columns.view,
                self.world.tables,
                self.first,
                day,
                tick.start_ms,
                first,
                last,
                made.view,
                self._counters,
            )
            if n:
                self._events.append({name: a[:n].copy() for name, a in made.arrays.items()})
                self._early.append(self._events[-1])
