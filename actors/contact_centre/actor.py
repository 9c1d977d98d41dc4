"""`ContactCentreActor`: every centre, one global role on the SimPy station.

It owns the calls that wait, that are answered and that will come again.  Within a tick it works
in exact time; what it tells the lines reaches them in the next.  It must not know why a line
calls, nor what it does with the outcome.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from actors import messages as m
from actors.contact_centre import calls as c
from actors.contact_centre.state import HELD
from actors.contact_centre.tables import EPOCH_MS, LINES, CentreTables
from actors.metrics import CONTACT_CENTRE_METRICS
from sim.core import histogram
from sim.core.actor import Rows
from sim.core.columns import Columns, Schema, empty_rows, take_rows
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick
from sim.queueing.processes import HUNG_UP, NEVER, SERVED, TURNED_AWAY, Job, Station

CentreCounters = namedtuple("CentreCounters", [metric.name for metric in CONTACT_CENTRE_METRICS])  # type: ignore[misc]  # names are data

SOON_MS = 20_000
"""The service level counts calls answered within so long, ms."""
_RESULTS = {SERVED: m.CALL_ANSWERED, HUNG_UP: m.CALL_ABANDONED, TURNED_AWAY: m.CALL_TURNED_AWAY}


class ContactCentreActor:
    """Queues, agents and callers of all centres."""

    role: ClassVar[str] = "contact_centre"
    consumes: ClassVar[tuple[Schema, ...]] = (m.CALL,)
    produces: ClassVar[tuple[Schema, ...]] = (m.CALL_OUTCOME,)

    def __init__(
        self, tables: CentreTables, labels: dict[str, tuple[str, ...]], *, enabled: bool = True
    ) -> None:
        self.tables = tables
        self.enabled = enabled
        self.n_sites = len(labels["centre"])
        self._tally = new_tally(CONTACT_CENTRE_METRICS, labels)
        self._counters: Any = CentreCounters(**self._tally)
        self._waits: list[list[int]] = [[] for _ in range(self.n_sites)]
        self._outcomes: list[tuple[int, ...]] = []
        self._skill_groups = [
            [g for g, group in enumerate(tables.groups) if skill in group.skills]
            for skill in range(tables.n_skills)
        ]
        self.station = Station(
            tables.groups,
            n_skills=tables.n_skills,
            on_end=self._ended,
            on_come=self._came,
            on_begin=self._begun,
            on_wait=self._will_wait,
            room=tables.lines_max or None,
        )

    def on_tick(
        self, tick: Tick, calls: Rows, commands: Sequence[tuple[str, int, int]] = ()
    ) -> Rows:
        """Take the caused calls of a tick in any order; return what became of calls of lines.

        Returns
        -------
        outcomes : `CallOutcome`, sorted by (sub, time, attempt)
        """
        reset(self._tally)
        self._outcomes = []
        if not self.enabled:
            return empty_rows(m.CALL_OUTCOME)
        if len(calls["sub"]):
            caused = np.bincount(calls["reason"], minlength=len(m.CALL_REASONS))
            self._counters.centre_caused[:] += caused
        for job, at in self._arriving(tick, calls):
            self.station.offer(job, max(at, self.station.now))
        before = [(crew.busy_time, crew.duty_time) for crew in self.station.crews]
        self.station.run(tick.end_ms)
        for g, crew in enumerate(self.station.crews):
            site = g // len(LINES)
            self._counters.centre_busy_ms[site] += crew.busy_time - before[g][0]
            self._counters.centre_duty_ms[site] += crew.duty_time - before[g][1]
        for site, waits in enumerate(self._waits):
            if waits:
                histogram.add(self._counters.centre_wait_ms[site], np.array(waits))
                waits.clear()
        return self._told()

    def _arriving(self, tick: Tick, rows: Rows) -> list[tuple[Job, int]]:
        parts = []
        for epoch in range(tick.start_ms // EPOCH_MS, -(-tick.end_ms // EPOCH_MS)):
            base = c.base_calls(self.tables, epoch)
            inside = (base[:, c.AT] >= tick.start_ms) & (base[:, c.AT] < tick.end_ms)
            parts.append(base[inside])
        parts.append(c.caused_calls(self.tables, rows))
        return c.to_jobs(self.tables, np.concatenate(parts))

    def _told(self) -> Rows:
        """Return the outcomes of the tick as rows."""
        if not self._outcomes:
            return empty_rows(m.CALL_OUTCOME)
        columns = zip(m.CALL_OUTCOME.fields, zip(*self._outcomes, strict=True), strict=True)
        rows = {f.name: np.array(values, np.dtype(f.dtype)) for f, values in columns}
        return take_rows(rows, np.lexsort((rows["attempt"], rows["ts_ms"], rows["sub"])))

    # --- what the station tells ---------------------------------------------------------------

    def _came(self, job: Job, _: int) -> None:
        site = job.tags[c.SITE]
        self._counters.centre_calls[site, job.tags[c.REASON]] += 1
        if job.tags[c.ATTEMPT]:
            self._counters.centre_retries[site] += 1

    def _will_wait(self, job: Job, n_before: int) -> None:
        """Offer a call-back where the queue is long: who accepts keeps the place and waits on."""
        t = self.tables
        agents = sum(self.station.crews[g].size for g in self._skill_groups[job.skill])
        if n_before * t.handling_ms < t.callback_ms * agents:
            return
        if c.fate_words(t, job)[2] < int(t.callback):
            job.patience = NEVER
            tags = list(job.tags)
            tags[c.CALLED_BACK] = 1
            job.tags = tuple(tags)

    def _begun(self, job: Job, now: int) -> None:
        site, wait = job.tags[c.SITE], now - job.since
        counters = self._counters
        counters.centre_answered[site] += 1
        counters.centre_called_back[site] += job.tags[c.CALLED_BACK]
        counters.centre_answered_20s[site] += wait <= SOON_MS
        counters.centre_wait_sum_ms[site] += wait
        self._waits[site].append(wait)

    def _ended(self, job: Job, how: int, now: int) -> None:
        site, counters, t = job.tags[c.SITE], self._counters, self.tables
        if how == SERVED:
            counters.centre_ended[site] += 1
        elif how == HUNG_UP:
            counters.centre_abandoned[site] += 1
        elif how == TURNED_AWAY:
            counters.centre_turned_away[site] += 1
        if how != SERVED:
            again = c.next_try(t, job, now)
            if again is not None:
                self.station.offer(*again)
        if job.tags[c.SUB] >= 0:
            wait = (job.started if how == SERVED else now) - job.since
            counters.centre_told[0] += 1
            self._outcomes.append(
                (
                    job.tags[c.SUB], now, job.tags[c.REASON], _RESULTS[how], site,
                    job.group if how == SERVED else -1, wait, job.tags[c.ATTEMPT],
                    job.tags[c.CALLED_BACK], job.key,
                )
            )  # fmt: skip

    # --- the role ------------------------------------------------------------------------------

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def ledger(self) -> dict[str, int]:
        """Return the calls that wait and those that are being answered."""
        return {
            "calls_waiting": len(self.station.waiting),
            "calls_served": self.station.n_serving,
        }

    def digest(self) -> int:
        """Return the order-free digest of every call that is not over."""
        jobs = self.station.jobs()
        held = Columns(HELD, len(jobs))
        for i, job in enumerate(jobs):
            held["sub"][i], held["attempt"][i] = job.tags[c.SUB], job.tags[c.ATTEMPT]
            for name in ("skill", "phase", "since", "started", "ends", "work", "patience"):
                held[name][i] = getattr(job, name)
        keys = np.array([job.key for job in jobs], np.uint64).view(np.int64)
        clocks = self.station.busy_time() + 3 * self.station.duty_time()
        return (held.digest(keys) + clocks) & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return every call and every group of agents as rows."""
        return {"station": self.station.snapshot()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.station.restore(saved["station"])
