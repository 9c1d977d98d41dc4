"""The paranoid runtime: the embedded one with malice, for tests.

Blocks are serialised and read back between roles, a role that touches a block of another is
caught, rows arrive shuffled, and hosts are thrown away and rebuilt from a snapshot at random
ticks.  It owns the malice; its results must equal those of `embedded`, bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.core.actor import Actor, Rows, Slice
from sim.core.columns import take_rows
from sim.core.errors import InvariantError
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.embedded import EmbeddedRuntime, TickOutcome
from sim.runtime.globals import Command
from sim.runtime.host import Builder, Host

RESTART_SHARE = 0.05
"""Chance that a host is rebuilt from a snapshot before a tick."""


def through_bytes(value: Any) -> Any:
    """Return a nested value after a trip through bytes: nothing of the original is shared."""
    if isinstance(value, dict):
        return {key: through_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [through_bytes(item) for item in value]
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        buffer.seek(0)
        return np.load(buffer, allow_pickle=False)
    return value


def shuffled(rows: Rows, rng: random.Random) -> Rows:
    """Return the rows of a table in a random order."""
    n = len(rows["sub"])
    index = list(range(n))
    rng.shuffle(index)
    return take_rows(rows, np.array(index, np.int64))


class ParanoidHost(Host):
    """A host that trusts none of its roles."""

    def hand_over(self, role: Actor, tick: Tick, part: Slice) -> None:
        """Serialise the blocks, call the role, and catch it if it wrote where it may not."""
        own = {schema.name for schema in role.produces}
        for block in part.blocks.values():
            for name, array in block.columns.arrays.items():
                array[: block.n] = through_bytes(array[: block.n])
                if block.schema.name not in own:
                    # What lies behind the filled rows is nobody's: it must never matter.
                    array[block.n :] = array.dtype.type(113)
                _ = name
        seals = {
            name: self._seal(block.rows())
            for name, block in part.blocks.items()
            if name not in own and name in {s.name for s in self.plan.forward}
        }
        role.on_slice(tick, part)
        for name, seal in seals.items():
            if self._seal(part.blocks[name].rows()) != seal:
                raise InvariantError(
                    f"role {role.role} changed rows of {name}", tick=tick.index, role=role.role
                )

    @staticmethod
    def _seal(rows: Rows) -> str:
        digest = hashlib.sha256()
        for name in sorted(rows):
            digest.update(rows[name].tobytes())
        return digest.hexdigest()


class ParanoidRuntime(EmbeddedRuntime):
    """Hosts that are shuffled, serialised, and rebuilt at random."""

    def __init__(
        self,
        plan: Any,
        shares: Sequence[Sequence[Partition]],
        build: Builder,
        globals_: Any,
        *,
        malice_seed: int = 1,
    ) -> None:
        """Build the hosts; `malice_seed` chooses the malice, which must not matter."""
        self.rng = random.Random(malice_seed)
        super().__init__(plan, shares, build, globals_)

    def make_host(self, share: Sequence[Partition], build: Builder) -> Host:
        """Build one distrustful host."""
        return ParanoidHost(self.plan, share, build)

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Perhaps rebuild hosts and global roles, shuffle what waits, then run the tick."""
        for k, host in enumerate(self.hosts):
            if self.rng.random() < RESTART_SHARE:
                saved = through_bytes(list(host.snapshot()))
                fresh = self.make_host(self.shares[k], self.build)
                fresh.restore(saved)
                self.hosts[k] = fresh
        if self.rng.random() < RESTART_SHARE:
            self.globals.restore(through_bytes(self.globals.snapshot()))
            self.arrays = self.globals.arrays()
        self.scattered = through_bytes(self.scattered)
        return super().tick(tick, commands, digest_at, extra)

    def arrivals(self, gathered: dict[str, Rows]) -> dict[str, Rows]:
        """Return gathered rows in a random order of arrival."""
        return {name: shuffled(rows, self.rng) for name, rows in gathered.items()}


def random_shares(
    n_lines: int, rng: random.Random, make: Any, assign: Any
) -> list[tuple[Partition, ...]]:
    """Return a random number of partitions on a random number of hosts."""
    partitions = make(n_lines, rng.randint(1, min(9, n_lines)))
    return assign(partitions, rng.randint(1, 3))
