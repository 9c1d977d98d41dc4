"""What runs inside a process of Ray: a host, or the global roles, behind a fence.

A call carries the run, the number of the attempt and the tick.  A process that has already done
this tick answers from its last result; any other tick but the next, and any other attempt, is an
error.  It owns the fence.  It must not import Ray, nor know any role.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from sim.core.actor import Rows
from sim.core.errors import InvariantError
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.checkpoint import Draft, Saved
from sim.runtime.globals import Command, GlobalResult
from sim.runtime.host import Blame, Host, HostResult
from sim.runtime.parts import Part, Tree


@dataclass(frozen=True)
class Fence:
    """The attempt at a run to which a call belongs.

    Attributes
    ----------
    run : name of the run
    epoch : number of the attempt, larger for a later one
    """

    run: str
    epoch: int


class Fenced:
    """Answers for one attempt, and each tick once."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.last = -1
        self.answer: Any = None

    def admit(self, fence: Fence, tick: int) -> bool:
        """Return True where a tick is the next one, False where it has been answered already.

        Raises `InvariantError` for every other tick, and for a call of another attempt.
        """
        if fence != self.fence:
            raise InvariantError(
                "a call of another attempt", tick=tick,
                values={"call": str(fence), "process": str(self.fence)},
            )  # fmt: skip
        if tick == self.last and self.answer is not None:
            return False
        if tick != self.last + 1:
            raise InvariantError("a tick out of turn", tick=tick, values={"last": self.last})
        return True

    def answered(self, tick: int, answer: Any) -> Any:
        """Keep the answer to a tick and return it."""
        self.last, self.answer = tick, answer
        return answer

    def back_to(self, tick: int) -> None:
        """Go on after a tick whose answer nobody will ask for again."""
        self.last, self.answer = tick, None

    @staticmethod
    def identity() -> tuple[int, float]:
        """Return process id and start time, s since the epoch of Unix."""
        return os.getpid(), psutil.Process().create_time()


class LinesActor(Fenced):
    """Lines in a process of their own: all roles of them, or some."""

    def __init__(self, host: Any, fence: Fence) -> None:
        super().__init__(fence)
        self.host = host

    def digest(self) -> dict[str, int]:
        """Return the digest of every role."""
        return self.host.digest()

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role."""
        return self.host.ledger()

    def state_bytes(self) -> int:
        """Return the bytes of all lines."""
        return self.host.state_bytes()

    def save_to(self, draft: Draft) -> list[Part]:
        """Write the lines into a checkpoint."""
        return self.host.save_to(draft)

    def load_from(self, saved: Saved) -> None:
        """Read the lines from a checkpoint."""
        self.host.load_from(saved)
        self.back_to(saved.tick)


class HostActor(LinesActor):
    """A host in a process of its own."""

    def __init__(self, world: Any, share: Sequence[Partition], fence: Fence) -> None:
        super().__init__(Host(world.plan, share, world.build), fence)

    def tick(
        self,
        fence: Fence,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run one tick, or repeat the answer to it."""
        if not self.admit(fence, tick.index):
            return self.answer
        result = self.host.tick(tick, scattered, arrays, commands, digest_at)
        return self.answered(tick.index, result)


class GlobalsActor(Fenced):
    """The global roles in a process of their own."""

    def __init__(self, world: Any, fence: Fence) -> None:
        super().__init__(fence)
        self.roles = world.make_globals()

    def arrays(self) -> dict[str, Any]:
        """Return the broadcasts."""
        return self.roles.arrays()

    def on_tick(
        self,
        fence: Fence,
        tick: Tick,
        load: np.ndarray,
        gathered: dict[str, Rows],
        commands: tuple[Command, ...],
    ) -> GlobalResult:
        """Step the global roles, or repeat their answer."""
        if not self.admit(fence, tick.index):
            return self.answer
        with Blame(tick.index, role="a global role"):
            result = self.roles.on_tick(tick, load, gathered, commands)
        return self.answered(tick.index, result)

    def ledger(self) -> dict[str, int]:
        """Return the stocks of the global roles."""
        return self.roles.ledger()

    def digest(self) -> dict[str, int]:
        """Return the digest of each global role."""
        return self.roles.digest()

    def snapshot(self) -> Tree:
        """Return their state."""
        return self.roles.snapshot()

    def load_from(self, saved: Saved) -> dict[str, Rows]:
        """Go back to a checkpoint; return the rows that were on their way to lines."""
        rest = saved.rest()
        self.roles.restore(rest["globals"])
        self.back_to(saved.tick)
        return rest["scattered"]
