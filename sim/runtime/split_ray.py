"""Groups as Ray actors: every group of every host in a process of its own.

It owns the pipeline of a tick: pieces go from group to group as object references, with a bounded
number of them on their way, so that a group works on one piece while the group before it makes
the next.  It must not know roles, nor how a piece is made.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from sim.core.actor import Rows
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.checkpoint import Saved
from sim.runtime.embedded import rows_for
from sim.runtime.globals import Command
from sim.runtime.host import HostResult
from sim.runtime.ray_actors import Fence, LinesActor
from sim.runtime.ray_cluster import OBJECT_STORE_BYTES
from sim.runtime.ray_runtime import RayRuntime
from sim.runtime.split import (
    PIECE_ROWS,
    Feedback,
    Group,
    GroupHost,
    Piece,
    merge_groups,
)

IN_FLIGHT = 3
"""Pieces of a host that are on their way at most: one in each of three groups."""
PIPES_SHARE = 0.5
"""Share of the object store that pieces on their way may fill."""


class GroupActor(LinesActor):
    """A group of roles in a process of its own."""

    def __init__(
        self, world: Any, group: Group, share: Sequence[Partition], piece_rows: int, fence: Fence
    ) -> None:
        super().__init__(GroupHost(group, share, world.build, piece_rows=piece_rows), fence)

    def open(
        self,
        fence: Fence,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        *feedback: Feedback,
    ) -> None:
        """Take in what arrived for a tick: the next one of this attempt, and no other."""
        self.admit(fence, tick.index)
        self.back_to(tick.index)
        # What comes through the object store is read-only, for which kernels would be compiled
        # once more; these are few rows.
        back = [[{n: _copy(rows) for n, rows in part.items()} for part in f] for f in feedback]
        heard = {n: _copy(rows) for n, rows in scattered.items()}
        self.host.open(tick, heard, arrays, commands, back)

    def produce(self) -> Piece:
        """Return the next piece of the first group."""
        return self.host.produce()

    def work(self, *pieces: Piece) -> Piece:
        """Treat a piece and return what the next groups need of ours."""
        return self.host.work(*pieces)

    def end(self, *pieces: Piece) -> tuple[bool, int]:
        """Treat a piece as the last group; return (no more in this tick, bytes that came)."""
        done = self.host.work(*pieces)
        return done.last, sum(piece.nbytes for piece in pieces)

    def close(self, digest_at: tuple[int, int] | None) -> tuple[HostResult, Feedback]:
        """End the tick; return its sums, and apart from them the rows for other groups."""
        return self.host.close(digest_at), self.host.waiting

    def feedback(self) -> Feedback:
        """Return the rows that the roles send back in the next tick."""
        return self.host.waiting


def _copy(rows: Rows) -> Rows:
    return {name: array.copy() for name, array in rows.items()}


@dataclass
class Pipe:
    """The groups of one host within a tick, and the pieces on their way through them.

    Attributes
    ----------
    actors : one for each group, in forward order
    expected : pieces that the tick will take, by the one before it
    flying : reference to the end of a piece's way -> the pieces themselves, kept until then
    sent, done : pieces asked for, and pieces at the end of their way with more to come
    n_bytes : bytes of the pieces that reached the end
    """

    actors: Sequence[Any]
    expected: int
    flying: dict[Any, list[Any]] = field(default_factory=dict)
    sent: int = 0
    done: int = 0
    n_bytes: int = 0
    last: bool = False

    def send(self) -> None:
        """Ask for as many pieces as may be on their way.

        Beyond the expected number only one at a time is asked for: at the end of a tick a piece
        too many is a call to every group for nothing.
        """
        while not self.last and len(self.flying) < IN_FLIGHT:
            if self.sent >= self.expected and self.flying:
                return
            refs = [self.actors[0].produce.remote()]
            for actor in self.actors[1:-1]:
                refs.append(actor.work.remote(*refs))
            self.flying[self.actors[-1].end.remote(*refs)] = refs
            self.sent += 1

    def arrived(self, ref: Any, last: bool, n_bytes: int) -> None:
        """Let go of a piece that every group has treated."""
        del self.flying[ref]
        if last:
            self.last = True
        else:
            self.done += 1
        self.n_bytes += n_bytes


class SplitRayRuntime(RayRuntime):
    """Groups of hosts, and the global roles, as Ray actors.

    `hosts` holds the actors of all groups, those of one host side by side.
    """

    def __init__(
        self,
        world: Any,
        shares: Sequence[Sequence[Partition]],
        *,
        groups: Sequence[Group],
        address: str = "",
        timeout_s: float = 600.0,
        fence: Fence | None = None,
        piece_rows: int = PIECE_ROWS,
    ) -> None:
        """Start or join a cluster, and let every group build its own lines.

        Parameters
        ----------
        groups : of `plan_groups`, two or more
        piece_rows : rows of the source in a piece; fewer where many hosts share the object store
        """
        self.groups = tuple(groups)
        row = sum(schema.row_bytes() for schema in world.plan.forward)
        room = int(OBJECT_STORE_BYTES * PIPES_SHARE) // (len(shares) * IN_FLIGHT * row)
        self.piece_rows = max(1, min(piece_rows, room))
        self.pieces = self.piece_bytes = 0
        super().__init__(world, shares, address=address, timeout_s=timeout_s, fence=fence)

    def _actors_of(self, share: tuple[Partition, ...]) -> list[tuple[type, tuple[Any, ...]]]:
        """Return one actor for each group of the lines of a host."""
        return [(GroupActor, (group, share, self.piece_rows)) for group in self.groups]

    def _make_actors(self) -> None:
        """Make groups and global roles afresh; every group builds its own lines."""
        super()._make_actors()
        self.feedback: list[list[Any]] = [[] for _ in self.shares]
        self._expected = [1] * len(self.shares)

    def _run_hosts(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        commands: tuple[Command, ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run a tick in every host: pieces through its groups."""
        arrays = ray.put(self.arrays)
        opened: list[Any] = []
        pipes = [Pipe(self._of_host(h), self._expected[h]) for h in range(len(self.shares))]
        for h, (pipe, share) in enumerate(zip(pipes, self.shares, strict=True)):
            rows = rows_for(scattered, share)
            for group, actor in zip(self.groups, pipe.actors, strict=True):
                mine = {name: table for name, table in rows.items() if name in group.hears}
                sent = [ref for k, ref in enumerate(self.feedback[h]) if k != group.index]
                opened.append(actor.open.remote(self.fence, tick, mine, arrays, commands, *sent))
            pipe.send()
        self._get(opened, self._deadline_s())
        self._flow(pipes)
        closed = [
            actor.close.options(num_returns=2).remote(digest_at)
            for pipe in pipes
            for actor in pipe.actors
        ]
        results: list[HostResult] = self._get([result for result, _ in closed], self._deadline_s())
        for h, pipe in enumerate(pipes):
            first = h * len(self.groups)
            self.feedback[h] = [ref for _, ref in closed[first : first + len(self.groups)]]
            self._expected[h] = pipe.done + 1
            self.pieces += pipe.done + 1
            self.piece_bytes += pipe.n_bytes
        return merge_groups(results, self.plan.gather)

    def load_from(self, saved: Saved) -> None:
        """Go back to a checkpoint; raises `Damaged`, and then wants `rebuild` first."""
        super().load_from(saved)
        self.feedback = [
            [actor.feedback.remote() for actor in self._of_host(h)] for h in range(len(self.shares))
        ]

    # --- inside -------------------------------------------------------------------------------

    def _of_host(self, h: int) -> list[Any]:
        n = len(self.groups)
        return self.hosts[h * n : (h + 1) * n]

    def _flow(self, pipes: Sequence[Pipe]) -> None:
        """Keep pieces on their way until every host has treated its last one."""
        until = time.monotonic() + self._deadline_s()
        while True:
            owner = {ref: pipe for pipe in pipes for ref in pipe.flying}
            if not owner:
                return
            for ref, (last, n_bytes) in self._some(list(owner), until).items():
                owner[ref].arrived(ref, last, n_bytes)
                owner[ref].send()
