"""The embedded runtime: every host in this process, one thread for each.

Kernels release the interpreter lock, so hosts run side by side on the cores of the machine.  It
owns the threads and the rows between ticks.  It must not know roles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sim.core.actor import Rows
from sim.core.lazy import joined
from sim.core.metrics import Tally, add_into
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.checkpoint import Draft, Saved
from sim.runtime.globals import Command, GlobalResult, GlobalRoles
from sim.runtime.host import Blame, Builder, Host, HostPlan, HostResult, merge_results
from sim.runtime.parts import Part, Tree


@dataclass
class TickOutcome:
    """What a tick leaves for the coordinator: sums, sampled rows, digests."""

    tally: Tally
    ledger: dict[str, int]
    samples: dict[str, Rows]
    digests: dict[str, int]


class Runtime(Protocol):
    """Runs hosts and global roles; what the coordinator holds.

    Attributes
    ----------
    shares : partitions of each host
    """

    shares: list[tuple[Partition, ...]]

    def rebuild(self, epoch: int) -> None:
        """Make every host afresh, at the start of the run, for an attempt of this number."""
        ...

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Run one tick; `extra` rows, sorted by `sub`, reach the lines as scattered ones do."""
        ...

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role, now."""
        ...

    def digest(self) -> dict[str, int]:
        """Return the digest of every role, over every line."""
        ...

    def state_bytes(self) -> int:
        """Return the bytes of profile, state and pools of all lines."""
        ...

    def save_to(self, draft: Draft) -> tuple[list[Part], Tree]:
        """Let every host write its lines; return their parts, and what belongs to no line."""
        ...

    def load_from(self, saved: Saved) -> None:
        """Go back to a checkpoint; raises `Damaged`, and then wants `rebuild` first."""
        ...

    def close(self) -> None:
        """Release threads and processes."""
        ...


def in_flight(scattered: dict[str, Rows], plan: HostPlan) -> dict[str, int]:
    """Return the rows on their way to lines, by schema: stocks `in_flight_NAME` for the audit."""
    names = [schema.name for schema in plan.scatter]
    return {f"in_flight_{n}": len(scattered[n]["sub"]) if n in scattered else 0 for n in names}


def outcome(hosts: HostResult, globals_: GlobalResult, flying: dict[str, int]) -> TickOutcome:
    """Join what hosts and global roles counted in a tick."""
    tally: Tally = hosts.tally
    add_into(tally, globals_.tally)
    ledger = hosts.ledger | globals_.ledger | flying
    samples = dict(hosts.samples)
    samples.update(globals_.tables)
    return TickOutcome(tally, ledger, samples, hosts.digests)


def rows_for(scattered: dict[str, Rows], partitions: Sequence[Partition]) -> dict[str, Rows]:
    """Return the part of scattered rows that a host's contiguous partitions hold, as views."""
    first, last = partitions[0].first, partitions[-1].last
    out: dict[str, Rows] = {}
    for name, rows in scattered.items():
        low, high = np.searchsorted(rows["sub"], (first, last))
        out[name] = {c: a[low:high] for c, a in rows.items()}
    return out


class EmbeddedRuntime:
    """Hosts as objects of this process."""

    host_class: Callable[[HostPlan, Sequence[Partition], Builder], Host] = Host

    def __init__(
        self,
        plan: HostPlan,
        shares: Sequence[Sequence[Partition]],
        build: Builder,
        globals_: GlobalRoles,
    ) -> None:
        """Build every host, side by side.

        Parameters
        ----------
        shares : the partitions of each host, contiguous
        """
        self.plan = plan
        self.shares = [tuple(share) for share in shares]
        self.globals = globals_
        self.pool = ThreadPoolExecutor(max_workers=len(self.shares))
        self.hosts = list(self.pool.map(lambda share: self.make_host(share, build), self.shares))
        self.build = build
        self.scattered: dict[str, Rows] = {}
        self.arrays = globals_.arrays()

    def rebuild(self, epoch: int) -> None:
        """Make every host afresh; the number of the attempt fences nothing inside a process."""
        for k, share in enumerate(self.shares):
            self.hosts[k] = self.make_host(share, self.build)

    def make_host(self, share: Sequence[Partition], build: Builder) -> Host:
        """Build one host."""
        return Host(self.plan, share, build)

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Run one tick: every host, then the global roles."""
        arrays, fixed = self.arrays, tuple(commands)
        scattered = {**self.scattered, **(extra or {})}

        def run(host: Host) -> HostResult:
            mine = rows_for(scattered, host.partitions)
            return host.tick(tick, mine, arrays, fixed, digest_at)

        hosts = self.pool.map(run, self.hosts) if len(self.hosts) > 1 else map(run, self.hosts)
        merged = merge_results(list(hosts), self.plan.gather)
        gathered = self.arrivals(merged.gathered)
        with Blame(tick.index, role="a global role"):
            result = self.globals.on_tick(tick, merged.load, gathered, fixed)
        self.scattered, self.arrays = result.scattered, result.arrays
        return outcome(merged, result, in_flight(self.scattered, self.plan))

    def arrivals(self, gathered: dict[str, Rows]) -> dict[str, Rows]:
        """Return gathered rows as global roles get them; tests shuffle them."""
        return gathered

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role, now."""
        total: dict[str, int] = {}
        for host in self.hosts:
            for key, value in host.ledger().items():
                total[key] = total.get(key, 0) + value
        flying = in_flight(self.scattered, self.plan)
        return total | self.globals.ledger() | flying

    def digest(self) -> dict[str, int]:
        """Return the digest of every role."""
        total: dict[str, int] = {}
        for part in self.pool.map(lambda host: host.digest(), self.hosts):
            for key, value in part.items():
                total[key] = (total.get(key, 0) + value) & 0xFFFFFFFFFFFFFFFF
        return total | self.globals.digest()

    def state_bytes(self) -> int:
        """Return the bytes of profile, state and pools of all lines."""
        return sum(host.state_bytes() for host in self.hosts)

    def snapshot(self) -> dict[str, Any]:
        """Return partitions, each copied when it is looked at, waiting rows and global roles."""
        return {
            "partitions": joined([host.snapshot() for host in self.hosts]),
            "scattered": self.scattered,
            "globals": self.globals.snapshot(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot of the same partitions."""
        parts = saved["partitions"]
        for host in self.hosts:
            host.restore(parts[: len(host.partitions)])
            parts = parts[len(host.partitions) :]
        self.scattered = saved["scattered"]
        self.globals.restore(saved["globals"])
        self.arrays = self.globals.arrays()

    def save_to(self, draft: Draft) -> tuple[list[Part], Tree]:
        """Let every host write its lines; return their parts, and what belongs to no line."""
        parts = [p for done in self.pool.map(lambda h: h.save_to(draft), self.hosts) for p in done]
        return parts, {"scattered": self.scattered, "globals": self.globals.snapshot()}

    def load_from(self, saved: Saved) -> None:
        """Go back to a checkpoint; raises `Damaged`, and then wants `rebuild` first."""
        rest = saved.rest()
        list(self.pool.map(lambda host: host.load_from(saved), self.hosts))
        self.scattered = rest["scattered"]
        self.globals.restore(rest["globals"])
        self.arrays = self.globals.arrays()

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown()
