"""The Ray runtime: hosts as Ray actors, the global roles as one more, one call per host and tick.

Only sums, intents, deliveries and rows of sampled lines travel; lines live in the private memory
of their host.  This is the only module that imports Ray.  It must not know roles.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

# Names that Ray reads when it is imported: loopback only, no usage report, no upload of the
# working folder, a token of our own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(24))
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.exceptions

from sim.core.actor import Rows
from sim.core.errors import HostLost, TwinError
from sim.core.lazy import LazyList
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.embedded import TickOutcome, outcome, rows_for
from sim.runtime.globals import Command, GlobalResult
from sim.runtime.host import Host, HostResult, merge_results

OBJECT_STORE_BYTES = 512 << 20
SETTLE_S = 600.0
"""Time in which a host must have built or restored its lines, s."""


class HostActor:
    """A host in a process of its own."""

    def __init__(self, world: Any, share: Sequence[Partition]) -> None:
        self.world = world
        self.host = Host(world.plan, share, world.build)

    def tick(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run one tick."""
        return self.host.tick(tick, scattered, arrays, commands, digest_at)

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
        """Return the bytes of all lines."""
        return self.host.state_bytes()

    def snapshot_of(self, k: int) -> dict[str, Any]:
        """Return the snapshot of one partition."""
        return self.host.snapshot_of(k)

    def restore_one(self, k: int, saved: dict[str, Any]) -> None:
        """Go back to a snapshot; what came through the object store is read-only, so copy it."""
        self.host.restore_one(k, _own(saved))


class GlobalsActor:
    """The global roles in a process of their own."""

    def __init__(self, world: Any) -> None:
        self.roles = world.make_globals()

    def arrays(self) -> dict[str, Any]:
        """Return the broadcasts."""
        return self.roles.arrays()

    def on_tick(
        self,
        tick: Tick,
        load: np.ndarray,
        gathered: dict[str, Rows],
        commands: tuple[Command, ...],
    ) -> GlobalResult:
        """Step the global roles."""
        return self.roles.on_tick(tick, load, gathered, commands)

    def ledger(self) -> dict[str, int]:
        """Return the stocks of the global roles."""
        return self.roles.ledger()

    def digest(self) -> dict[str, int]:
        """Return the digest of each global role."""
        return self.roles.digest()

    def snapshot(self) -> dict[str, Any]:
        """Return their state."""
        return self.roles.snapshot()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.roles.restore(_own(saved))


def _own(value: Any) -> Any:
    """Return a nested value whose arrays belong to this process."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_own(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


class RayRuntime:
    """Hosts and global roles as Ray actors."""

    def __init__(
        self,
        world: Any,
        shares: Sequence[Sequence[Partition]],
        *,
        address: str = "",
        timeout_s: float = 600.0,
    ) -> None:
        """Start or join a cluster, and let every host build its own lines.

        Parameters
        ----------
        world : `World`: tables and the builder; the geography is not sent
        shares : the partitions of each host, contiguous
        address : of a running cluster; empty starts one of our own on loopback
        timeout_s : a host that has not answered by then is taken for dead
        """
        self.timeout_s = timeout_s
        self.shares = [tuple(share) for share in shares]
        self.plan = world.plan
        self._mine = not ray.is_initialized()
        if self._mine:
            self._start(address, n_actors=len(self.shares) + 1)
        self._world = ray.put(_without_geography(world))
        self.scattered: dict[str, Rows] = {}
        self._make_actors()

    def _make_actors(self) -> None:
        """Make hosts and global roles afresh; every host builds its own lines."""
        ref = self._world
        host_class = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(HostActor)
        globals_class = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(GlobalsActor)
        self.hosts = [host_class.remote(ref, share) for share in self.shares]
        self.roles = globals_class.remote(ref)
        self.scattered = {}
        self.arrays: dict[str, Any] = self._get(self.roles.arrays.remote(), SETTLE_S)

    def rebuild(self) -> None:
        """Throw every actor away and make new ones, at the start of the run.

        All go back together: a host that only seems dead is ended too, and nothing that it still
        computes can be read, because its references are gone.
        """
        self._end_actors()
        self._make_actors()

    def pids(self) -> list[int]:
        """Return the process ids of the hosts, for tests that kill them."""
        return self._get([host.pid.remote() for host in self.hosts])

    @staticmethod
    def _start(address: str, *, n_actors: int) -> None:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            return
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, n_actors),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Run one tick: one call to every host, then one to the global roles."""
        fixed = tuple(commands)
        scattered = {**self.scattered, **(extra or {})}
        arrays = ray.put(self.arrays)
        answers = [
            host.tick.remote(tick, rows_for(scattered, share), arrays, fixed, digest_at)
            for host, share in zip(self.hosts, self.shares, strict=True)
        ]
        results: list[HostResult] = self._get(answers)
        merged = merge_results(results, self.plan.gather)
        result: GlobalResult = self._get(
            self.roles.on_tick.remote(tick, merged.load, merged.gathered, fixed)
        )
        self.scattered, self.arrays = result.scattered, result.arrays
        merged.tally = {name: array.copy() for name, array in merged.tally.items()}
        return outcome(merged, result, sum(len(r["sub"]) for r in self.scattered.values()))

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role, now."""
        total: dict[str, int] = {}
        for part in self._get([host.ledger.remote() for host in self.hosts]):
            for key, value in part.items():
                total[key] = total.get(key, 0) + value
        flying = sum(len(rows["sub"]) for rows in self.scattered.values())
        return total | self._get(self.roles.ledger.remote()) | {"messages_in_flight": flying}

    def digest(self) -> dict[str, int]:
        """Return the digest of every role."""
        total: dict[str, int] = {}
        for part in self._get([host.digest.remote() for host in self.hosts]):
            for key, value in part.items():
                total[key] = (total.get(key, 0) + value) & 0xFFFFFFFFFFFFFFFF
        return total | self._get(self.roles.digest.remote())

    def state_bytes(self) -> int:
        """Return the bytes of all lines."""
        return sum(self._get([host.state_bytes.remote() for host in self.hosts]))

    def snapshot(self) -> dict[str, Any]:
        """Return partitions, each fetched when it is looked at, waiting rows and global roles."""
        return {
            "partitions": LazyList(len(self._places()), self._snapshot_of),
            "scattered": self.scattered,
            "globals": self._get(self.roles.snapshot.remote()),
        }

    def _places(self) -> list[tuple[int, int]]:
        """Return (host, partition of the host) of every partition."""
        return [(h, k) for h, share in enumerate(self.shares) for k in range(len(share))]

    def _snapshot_of(self, index: int) -> dict[str, Any]:
        host, k = self._places()[index]
        return self._get([self.hosts[host].snapshot_of.remote(k)])[0]

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot of the same partitions."""
        parts = saved["partitions"]
        at = 0
        for host, share in zip(self.hosts, self.shares, strict=True):
            # One partition at a time: all of them would lie in the object store together.
            for k in range(len(share)):
                self._get([host.restore_one.remote(k, parts[at])], SETTLE_S)
                at += 1
        self._get(self.roles.restore.remote(saved["globals"]))
        self.scattered = saved["scattered"]
        self.arrays = self._get(self.roles.arrays.remote())

    def close(self) -> None:
        """End our actors, and the cluster where it is ours."""
        self._end_actors()
        if self._mine:
            ray.shutdown()

    def _end_actors(self) -> None:
        handles: list[Any] = [*self.hosts, self.roles]
        for actor in handles:
            ray.kill(actor)

    def _get(self, refs: Any, timeout_s: float | None = None) -> Any:
        try:
            return ray.get(refs, timeout=timeout_s or self.timeout_s)
        except ray.exceptions.GetTimeoutError as error:
            raise HostLost(f"a host has not answered within {self.timeout_s:g} s") from error
        except (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError) as error:
            raise HostLost(f"a host is gone ({type(error).__name__})") from error
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TwinError):
                raise cause from error
            raise


def _without_geography(world: Any) -> Any:
    import dataclasses

    return dataclasses.replace(world, geo=None)
