"""What a run does when hosts are lost: all go back together, and not for ever.

It owns the attempts and their limit.  It must not know how a host is lost, nor what a checkpoint
holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scenarios.saving import Saver
from sim.control.timeline import Timeline
from sim.core.errors import HostLost, LimitError
from sim.runtime.coordinator import Loop

ATTEMPTS_MAX = 3
"""Times that the same tick may lose a host before the run stops."""


@dataclass
class Recovery:
    """Runs a loop to its end through the loss of hosts.

    Attributes
    ----------
    timeline : makes the timeline anew, for ticks that are run again
    recoveries : times that hosts were lost and all went back
    """

    loop: Loop
    saver: Saver
    timeline: Callable[[], Timeline]
    recoveries: int = 0

    def run(self, first: int) -> bool:
        """Run from a tick; return True when complete, False when stopped.

        Raises `LimitError` where the same tick loses hosts too often: what ends a host every time
        would do so for ever.
        """
        start = self.saver.recorder.state() if first == 0 else None
        failed_at, attempts, lost = -1, 0, False
        while True:
            try:
                if lost:
                    first = self._back(start)
                    lost = False
                return self.loop.run(first)
            except HostLost as error:
                # A host that is lost while all go back counts for the tick they go back for.
                tick = failed_at if lost else self.saver.recorder.tick + 1
                attempts = attempts + 1 if tick == failed_at else 1
                failed_at, lost = tick, True
                if attempts > ATTEMPTS_MAX:
                    raise LimitError(
                        f"tick {tick} lost a host {attempts} times in a row ({error}); the last "
                        "checkpoint is intact: go on with --resume once the cause is gone"
                    ) from error
                self.recoveries += 1

    def _back(self, start: dict[str, Any] | None) -> int:
        """Go back to the newest checkpoint, or to the start; return the first tick to run."""
        saver = self.saver
        saver.runtime.rebuild(saver.new_epoch())
        if saver.saved():
            first = saver.go_back()
        elif start is None:
            raise LimitError("a host was lost and there is no checkpoint to go back to")
        else:
            saver.recorder.restore(start, -1)
            saver.events = saver.checks = first = 0
        self.loop.events = saver.events
        self.loop.timeline = self.timeline()
        return first
