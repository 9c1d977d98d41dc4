"""What a run tells while it runs: its progress and its status file, from the same numbers.

It owns the moments at which each phase began, rate and time left.  It must not know what a phase
does.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from sim.record.folder import RunFolder


class Teller:
    """Tells whoever watches: the terminal through its progress, others through `status.json`.

    Several threads may tell: hosts build their lines side by side.
    """

    def __init__(
        self, folder: RunFolder, *, progress: Any, meter: Any, start: str, end_ms: int
    ) -> None:
        """Prepare to tell.

        Parameters
        ----------
        progress : a `Progress`, or None
        meter : a `MemoryMeter`
        start : start of the scenario, local ISO time
        end_ms : its end, simulated ms
        """
        self.folder = folder
        self.progress = progress
        self.meter = meter
        self.start = start
        self.end_ms = end_ms
        self.sim_ms = 0
        self.events = 0
        self._lock = threading.Lock()
        self._phase = ""
        self._began = time.monotonic()
        self._first: tuple[float, int, int] | None = None
        self._done: dict[str, int] = {}

    def phase(self, name: str) -> None:
        """Say that a phase begins."""
        with self._lock:
            self._phase, self._began = name, time.monotonic()
            self._first, self._done = None, {}
            if self.progress is not None:
                self.progress.phase(name)
            self._status(force=True)

    def part(self, more: int, total: int, of: str) -> None:
        """Say that `more` of a total are done in this phase, besides those told before."""
        with self._lock:
            done = self._done[of] = self._done.get(of, 0) + more
            now = time.monotonic()
            if self._first is None:
                self._first = (now, done, 0)
            memory = self.meter.now_bytes
            if self.progress is not None:
                self.progress.part(done=done, total=total, of=of, memory_bytes=memory)
            took, fresh = now - self._first[0], done - self._first[1]
            left = took * (total - done) / fresh if fresh > 0 else None
            self._status(part=(done, total, of), eta_s=left)

    def tick(self, *, sim_ms: int, events: int, done: int, recoveries: int) -> None:
        """Say that a tick is done: simulated ms, events so far, ticks done, hosts restored."""
        with self._lock:
            self.sim_ms, self.events = sim_ms, events
            if self.progress is not None:
                self.progress.update(
                    sim_ms=sim_ms,
                    end_ms=self.end_ms,
                    events=events,
                    memory_bytes=self.meter.now_bytes,
                    tick=done,
                )
            now = time.monotonic()
            if self._first is None:
                # A resumed run begins in the middle: rate and time left count from there.
                fresh = sim_ms * 20 <= self.end_ms
                self._first = (self._began, 0, 0) if fresh else (now, sim_ms, events)
            took = max(now - self._first[0], 1e-9)
            speed = (sim_ms - self._first[1]) / took
            self._status(
                rate=(events - self._first[2]) / took,
                eta_s=(self.end_ms - sim_ms) / speed if speed > 0 else None,
                recoveries=recoveries,
            )

    def _status(self, **more: Any) -> None:
        self.folder.write_status(
            self._phase,
            sim_ms=self.sim_ms,
            sim_end_ms=self.end_ms,
            events=self.events,
            memory_bytes=self.meter.now_bytes,
            phase_s=round(time.monotonic() - self._began, 1),
            start=self.start,
            **more,
        )
