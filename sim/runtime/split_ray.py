"""Groups as Ray actors: every group of every host in a process of its own.

It owns the pipeline of a tick: pieces go from group to group as object references, with a bounded
number of them on their way, so that a group works on one piece while the group before it makes
the next.  It must not know roles, nor how a piece is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# First, because it sets the names that Ray reads when it is imported.
from sim.runtime.ray_runtime import OBJECT_STORE_BYTES, SETTLE_S, GlobalsActor, RayRuntime

import ray  # isort: skip
import ray.exceptions  # isort: skip

from sim.core.actor import Rows
from sim.core.errors import HostLost, TwinError
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.embedded import TickOutcome, outcome, rows_for
from sim.runtime.globals import Command, GlobalResult
from sim.runtime.host import HostResult
from sim.runtime.split import (
    PIECE_ROWS,
    Feedback,
    Group,
    GroupHost,
    Piece,
    join_snapshots,
    merge_groups,
)

IN_FLIGHT = 3
"""Pieces of a host that are on their way at most: one in each of three groups."""
PIPES_SHARE = 0.5
"""Share of the object store that pieces on their way may fill."""


class GroupActor:
    """A group of roles in a process of its own."""

    def __init__(
        self, world: Any, group: Group, share: Sequence[Partition], piece_rows: int
    ) -> None:
        self.host = GroupHost(group, share, world.build, piece_rows=piece_rows)

    def open(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        *feedback: Feedback,
    ) -> None:
        """Take in what arrived for a tick."""
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

    def digest(self) -> dict[str, int]:
        """Return the digest of every role."""
        return self.host.digest()

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role."""
        return self.host.ledger()

    def pid(self) -> int:
        """Return the process id."""
        return os.getpid()

    def state_bytes(self) -> int:
        """Return the bytes of profile, state and pools."""
        return self.host.state_bytes()

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the snapshot of every partition, of these roles."""
        return list(self.host.snapshot())

    def restore(self, saved: list[dict[str, Any]]) -> None:
        """Go back to a snapshot."""
        self.host.restore(_own(saved))


def _copy(rows: Rows) -> Rows:
    return {name: array.copy() for name, array in rows.items()}


def _own(value: Any) -> Any:
    """Return a nested value whose arrays belong to this process."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_own(item) for item in value]
    return value.copy() if hasattr(value, "copy") else value


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
        super().__init__(world, shares, address=address, timeout_s=timeout_s)

    def _make_actors(self) -> None:
        """Make groups and global roles afresh; every group builds its own lines."""
        ref, groups = self._world, [ray.put(group) for group in self.groups]
        group_class = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(GroupActor)
        globals_class = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(GlobalsActor)
        self.hosts = [
            group_class.remote(ref, group, share, self.piece_rows)
            for share in self.shares
            for group in groups
        ]
        self.roles = globals_class.remote(ref)
        self.scattered = {}
        self.feedback: list[list[Any]] = [[] for _ in self.shares]
        self._expected = [1] * len(self.shares)
        self.arrays = self._get(self.roles.arrays.remote(), SETTLE_S)

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Run one tick: pieces through the groups of every host, then the global roles."""
        fixed = tuple(commands)
        scattered = {**self.scattered, **(extra or {})}
        arrays = ray.put(self.arrays)
        opened: list[Any] = []
        pipes = [Pipe(self._of_host(h), self._expected[h]) for h in range(len(self.shares))]
        for h, (pipe, share) in enumerate(zip(pipes, self.shares, strict=True)):
            rows = rows_for(scattered, share)
            for group, actor in zip(self.groups, pipe.actors, strict=True):
                mine = {name: table for name, table in rows.items() if name in group.hears}
                sent = [ref for k, ref in enumerate(self.feedback[h]) if k != group.index]
                opened.append(actor.open.remote(tick, mine, arrays, fixed, *sent))
            pipe.send()
        self._get(opened)
        self._flow(pipes)
        closed = [
            actor.close.options(num_returns=2).remote(digest_at)
            for pipe in pipes
            for actor in pipe.actors
        ]
        results: list[HostResult] = self._get([result for result, _ in closed])
        for h, pipe in enumerate(pipes):
            first = h * len(self.groups)
            self.feedback[h] = [ref for _, ref in closed[first : first + len(self.groups)]]
            self._expected[h] = pipe.done + 1
            self.pieces += pipe.done + 1
            self.piece_bytes += pipe.n_bytes
        merged = merge_groups(results, self.plan.gather)
        result: GlobalResult = self._get(
            self.roles.on_tick.remote(tick, merged.load, merged.gathered, fixed)
        )
        self.scattered, self.arrays = result.scattered, result.arrays
        return outcome(merged, result, sum(len(r["sub"]) for r in self.scattered.values()))

    def snapshot(self) -> dict[str, Any]:
        """Return partitions, waiting rows and global roles, as one host for all roles would."""
        parts = self._get([actor.snapshot.remote() for actor in self.hosts])
        n = len(self.groups)
        return {
            "partitions": [
                part
                for h in range(len(self.shares))
                for part in join_snapshots(parts[h * n : (h + 1) * n])
            ],
            "scattered": self.scattered,
            "globals": self._get(self.roles.snapshot.remote()),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot of the same partitions."""
        parts = list(saved["partitions"])
        calls = []
        for h, share in enumerate(self.shares):
            for group, actor in zip(self.groups, self._of_host(h), strict=True):
                mine = [_part_of(part, group.roles) for part in parts[: len(share)]]
                calls.append(actor.restore.remote(mine))
            parts = parts[len(share) :]
        self._get(calls, SETTLE_S)
        self._get(self.roles.restore.remote(saved["globals"]))
        self.scattered = saved["scattered"]
        self.arrays = self._get(self.roles.arrays.remote())
        self.feedback = [
            [actor.feedback.remote() for actor in self._of_host(h)] for h in range(len(self.shares))
        ]

    # --- inside -------------------------------------------------------------------------------

    def _of_host(self, h: int) -> list[Any]:
        n = len(self.groups)
        return self.hosts[h * n : (h + 1) * n]

    def _flow(self, pipes: Sequence[Pipe]) -> None:
        """Keep pieces on their way until every host has treated its last one."""
        while True:
            owner = {ref: pipe for pipe in pipes for ref in pipe.flying}
            if not owner:
                return
            ready, _ = ray.wait(list(owner), num_returns=1, timeout=self.timeout_s)
            if not ready:
                raise HostLost(f"a group has not answered within {self.timeout_s:g} s")
            for ref in ready:
                last, n_bytes = self._get(ref)
                owner[ref].arrived(ref, last, n_bytes)
                owner[ref].send()

    def _get(self, refs: Any, timeout_s: float | None = None) -> Any:
        """Return values; the error of the group where a chain of calls broke, not of the last."""
        try:
            return super()._get(refs, timeout_s)
        except ray.exceptions.RayTaskError as error:
            cause: BaseException | None = error
            while isinstance(cause, ray.exceptions.RayTaskError) and cause.cause is not cause:
                cause = cause.cause
            if isinstance(cause, TwinError):
                raise cause from error
            if isinstance(cause, (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError)):
                raise HostLost(f"a group is gone ({type(cause).__name__})") from error
            raise
        except ray.exceptions.ObjectLostError as error:
            raise HostLost(f"rows of a group are gone ({type(error).__name__})") from error


def _part_of(part: dict[str, Any], roles: Sequence[str]) -> dict[str, Any]:
    """Return the part of a partition's snapshot that concerns some roles."""
    return {**part, "roles": {name: part["roles"][name] for name in roles}}
