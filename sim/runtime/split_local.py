"""Groups in one process: the proof that a cut by roles changes nothing, without Ray.

It owns the loop that carries pieces through the groups of a host one after another, and the
malice that pieces meet in tests.  It must not know roles.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Sequence
from typing import Any

from sim.core.actor import Rows
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.checkpoint import Draft, Saved
from sim.runtime.embedded import EmbeddedRuntime
from sim.runtime.globals import Command, GlobalRoles
from sim.runtime.host import Builder, HostPlan, HostResult
from sim.runtime.paranoid import ParanoidHost, ParanoidRuntime
from sim.runtime.parts import Part
from sim.runtime.split import (
    PIECE_ROWS,
    Group,
    GroupHost,
    Piece,
    join_snapshots,
    merge_groups,
)

PIECE_ROWS_OF_MALICE = (1, 97, 5_000)
"""Sizes of pieces in tests, rows: a slice each, a few, and all there is."""


class SplitHost:
    """All groups of a host in one process: a `Host` to those who hold it."""

    def __init__(
        self,
        groups: Sequence[Group],
        plan: HostPlan,
        partitions: Sequence[Partition],
        build: Builder,
        *,
        host_class: Callable[..., GroupHost] = GroupHost,
        piece_rows: int = PIECE_ROWS,
        carry: Callable[[Piece], Piece] = lambda piece: piece,
    ) -> None:
        """Build the groups; `carry` is what a piece goes through on its way."""
        self.plan = plan
        self.partitions = tuple(partitions)
        self.carry = carry
        self.parts = [host_class(g, partitions, build, piece_rows=piece_rows) for g in groups]

    def tick(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run one tick, piece by piece through every group."""
        sent = [part.waiting for part in self.parts]
        for k, part in enumerate(self.parts):
            part.open(tick, scattered, arrays, commands, [*sent[:k], *sent[k + 1 :]])
        done = False
        while not done:
            pieces = [self.carry(self.parts[0].produce())]
            for part in self.parts[1:]:
                pieces.append(self.carry(part.work(*pieces)))
            done = pieces[0].last
        return merge_groups([part.close(digest_at) for part in self.parts], self.plan.gather)

    def digest(self, stride: int = 1, phase: int = 0) -> dict[str, int]:
        """Return the digest of every role's columns and pools."""
        return {n: v for part in self.parts for n, v in part.digest(stride, phase).items()}

    def ledger(self) -> dict[str, int]:
        """Return the stocks of all roles, now."""
        return {key: value for part in self.parts for key, value in part.ledger().items()}

    def state_bytes(self) -> int:
        """Return the bytes of profile, state and pools; each group holds a profile of its own."""
        return sum(part.state_bytes() for part in self.parts)

    def save_to(self, draft: Draft) -> list[Part]:
        """Write the lines into a checkpoint, each group its own files."""
        return [part for group in self.parts for part in group.save_to(draft)]

    def load_from(self, saved: Saved) -> None:
        """Read the lines from a checkpoint."""
        for part in self.parts:
            part.load_from(saved)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return, for each partition, everything needed to go on."""
        return join_snapshots([part.snapshot() for part in self.parts])

    def restore(self, saved: Sequence[dict[str, Any]]) -> None:
        """Go back to a snapshot of the same partitions."""
        for part in self.parts:
            part.restore(saved)


class SplitRuntime(EmbeddedRuntime):
    """The embedded runtime with hosts cut into groups."""

    def __init__(
        self,
        plan: HostPlan,
        shares: Sequence[Sequence[Partition]],
        build: Builder,
        globals_: GlobalRoles,
        *,
        groups: Sequence[Group],
        piece_rows: int = PIECE_ROWS,
    ) -> None:
        """Build every group of every host."""
        self.groups = groups
        self.piece_rows = piece_rows
        super().__init__(plan, shares, build, globals_)

    def make_host(self, share: Sequence[Partition], build: Builder) -> Any:
        """Build one host."""
        return SplitHost(self.groups, self.plan, share, build, piece_rows=self.piece_rows)


class ParanoidGroupHost(GroupHost, ParanoidHost):
    """A group that trusts none of its roles."""


class ParanoidSplitRuntime(ParanoidRuntime):
    """Groups of malice: pieces of random size that go through bytes and come back read-only."""

    def __init__(
        self,
        plan: HostPlan,
        shares: Sequence[Sequence[Partition]],
        build: Builder,
        globals_: GlobalRoles,
        *,
        groups: Sequence[Group],
        malice_seed: int = 1,
    ) -> None:
        """Build every group of every host; `malice_seed` must not matter."""
        self.groups = groups
        self.malice_seed = malice_seed
        super().__init__(plan, shares, build, globals_, malice_seed=malice_seed)

    def make_host(self, share: Sequence[Partition], build: Builder) -> Any:
        """Build one host, whose pieces have a size of their own."""
        rng = random.Random(f"{self.malice_seed} {share[0].first}")
        return SplitHost(
            self.groups,
            self.plan,
            share,
            build,
            host_class=ParanoidGroupHost,
            piece_rows=rng.choice(PIECE_ROWS_OF_MALICE),
            carry=through_store,
        )


def through_store(piece: Piece) -> Piece:
    """Return a piece as a process border would: a copy that is read-only."""
    copy: Piece = pickle.loads(pickle.dumps(piece))
    for rows in copy.rows.values():
        for array in rows.values():
            array.flags.writeable = False
    return copy
