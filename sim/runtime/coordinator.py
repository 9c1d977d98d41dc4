"""The tick loop: control, hosts, global roles, audit, record, checkpoint.

It owns the order of a tick and the reasons for which a run ends.  It must not know any role, nor
how a runtime places hosts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sim.control.timeline import Timeline
from sim.core.checks import Check
from sim.core.ticks import Calendar, Tick, make_tick
from sim.record.audit import Auditor, Result
from sim.runtime.embedded import Runtime, TickOutcome


class Sink(Protocol):
    """What takes the record of a tick."""

    def on_tick(
        self, tick: int, start_ms: int, tally: Any, samples: Any, digests: Any, audit: Any
    ) -> None:
        """Take the counts, sampled rows, digests and audit results of a tick."""
        ...


@dataclass(frozen=True)
class Clock:
    """The span of a run.

    Attributes
    ----------
    tick_ms : length of a tick
    end_ms : end of the run
    """

    tick_ms: int
    end_ms: int
    calendar: Calendar

    @property
    def n_ticks(self) -> int:
        """Return the number of ticks; the last one may be short."""
        return -(-self.end_ms // self.tick_ms)


def due_at(began: float, spent_s: float, next_s: float, share: float) -> float:
    """Return the moment from which one more checkpoint keeps the share of all of them.

    Parameters
    ----------
    began : start of the run, s of the monotonic clock
    spent_s : wall time of the checkpoints so far, s
    next_s : expected for the next one, s
    share : largest share of the wall time, above 0
    """
    return began + (spent_s + next_s) / share - next_s


@dataclass
class Loop:
    """One run from some tick to the end, or to a reason to stop.

    Attributes
    ----------
    on_tick : called after each tick with (index, outcome), before the audit: hooks of tests
    watch : called after each tick with (ticks done, simulated ms, events so far)
    stop : returns True where the run should stop at the next tick border
    save : writes a checkpoint after a tick
    save_every_s : wall seconds between checkpoints; 0 never
    save_share : largest share of the wall time that checkpoints may take: the next one comes when
        all of them together, itself included, take no more
    digest_stride : one line in so many is digested in each tick
    source : returns the recorded rows of a tick, sorted by `sub`, for lines that replay them
    speed : simulated over wall seconds; 0 as fast as it can
    """

    runtime: Runtime
    clock: Clock
    timeline: Timeline
    checks: Sequence[Check]
    sink: Sink
    digest_stride: int = 1
    save: Callable[[int], None] | None = None
    save_every_s: float = 0.0
    save_share: float = 1.0
    stop: Callable[[], bool] = lambda: False
    stop_at_ms: int | None = None
    watch: Callable[[int, int, int], None] | None = None
    on_tick: Callable[[int, TickOutcome], None] | None = None
    source: Callable[[Tick], dict[str, Any]] | None = None
    speed: float = 0.0
    events: int = 0
    n_checks: int = field(default=0, init=False)
    _saving_s: float = field(default=0.0, init=False)

    def run(self, first_tick: int = 0) -> bool:
        """Run ticks from `first_tick`; return True when complete, False when stopped."""
        auditor = Auditor(self.checks, self.runtime.ledger())
        if first_tick:
            self.timeline.advance(first_tick * self.clock.tick_ms)
        began = time.monotonic()
        save_at = began + self.save_every_s
        for index in range(first_tick, self.clock.n_ticks):
            finished = self._step(index, auditor)
            self._pace(index - first_tick + 1, began)
            if finished:
                return True
            late = self.stop_at_ms is not None and (
                (index + 1) * self.clock.tick_ms >= self.stop_at_ms
            )
            if (self.stop() or late) and index + 1 < self.clock.n_ticks:
                if self.save is not None:
                    self.save(index)
                return False
            if self.save and self.save_every_s and time.monotonic() > save_at:
                save_at = self._saved(index, began)
        return True

    def _step(self, index: int, auditor: Auditor) -> bool:
        """Run one tick; return True where the timeline ends the run."""
        tick = make_tick(
            index,
            tick_ms=self.clock.tick_ms,
            end_ms=self.clock.end_ms,
            calendar=self.clock.calendar,
        )
        commands = self.timeline.advance(tick.end_ms)
        stride = self.digest_stride
        extra = self.source(tick) if self.source is not None else None
        outcome = self.runtime.tick(tick, commands, (stride, index % stride), extra)
        if self.on_tick is not None:
            self.on_tick(index, outcome)
        results: list[Result] = auditor.run(index, outcome.tally, outcome.ledger)
        self.n_checks = auditor.n_checks
        self.events += int(np.sum(outcome.tally["events"]))
        self.sink.on_tick(
            index, tick.start_ms, outcome.tally, outcome.samples, outcome.digests, results
        )
        auditor.require(index, results)
        if self.watch is not None:
            self.watch(index + 1, tick.end_ms, self.events)
        return any(verb == "stop" for verb, _, _ in commands)

    def _saved(self, index: int, began: float) -> float:
        """Write a checkpoint; return when the next one is due, s of the monotonic clock."""
        assert self.save is not None
        before = time.monotonic()
        self.save(index)
        now = time.monotonic()
        took = now - before
        self._saving_s += took
        return max(now + self.save_every_s, due_at(began, self._saving_s, took, self.save_share))

    def _pace(self, done: int, began: float) -> None:
        if self.speed > 0:
            due = began + done * self.clock.tick_ms / 1000 / self.speed
            time.sleep(max(0.0, due - time.monotonic()))
