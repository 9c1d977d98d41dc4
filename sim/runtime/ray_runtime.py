"""The Ray runtime: hosts as Ray actors, the global roles as one more, one call per host and tick.

Only sums, intents, deliveries and rows of sampled lines travel; lines live in the private memory
of their host, which writes and reads its own part of a checkpoint.  It owns the attempts: actors
are made, called with a deadline, and thrown away together.  It must not know roles.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import ray
import ray.exceptions

from sim.core.actor import Rows
from sim.core.errors import HostLost, LimitError
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.runtime.checkpoint import Draft, Saved
from sim.runtime.embedded import TickOutcome, in_flight, outcome, rows_for
from sim.runtime.globals import Command, GlobalResult
from sim.runtime.host import HostResult, merge_results
from sim.runtime.parts import Part, Tree
from sim.runtime.ray_actors import Fence, GlobalsActor, HostActor
from sim.runtime.ray_cluster import RayCluster, on_node, place
from sim.runtime.ray_supervisor import Identity

SETTLE_S = 600.0
"""Time in which a host must have built or restored its lines, s."""
SLICE_S = 1.0
"""Time between two looks at the head process while waiting, s."""
PATIENCE = 30.0
"""A tick may take so many times as long as the slowest before it."""
PATIENCE_MIN_S = 60.0
"""A tick may take this long in any case, s, unless answers are wanted sooner."""

GONE = (
    ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError,
    ray.exceptions.ObjectLostError, ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
)  # fmt: skip
"""What Ray raises where a process or its node is lost."""


class RayRuntime:
    """Hosts and global roles as Ray actors."""

    def __init__(
        self,
        world: Any,
        shares: Sequence[Sequence[Partition]],
        *,
        address: str = "",
        timeout_s: float = 600.0,
        fence: Fence | None = None,
    ) -> None:
        """Start or join a cluster, and let every host build its own lines.

        Parameters
        ----------
        world : `World`: tables and the builder; the geography is not sent
        shares : the partitions of each host, contiguous
        address : of a running cluster; empty starts one of our own on loopback
        timeout_s : a host that has not answered a tick by then is taken for dead
        fence : the attempt at the run
        """
        self.timeout_s = timeout_s
        self.shares = [tuple(share) for share in shares]
        self.plan = world.plan
        self.fence = fence or Fence("", 1)
        self.scattered: dict[str, Rows] = {}
        self.arrays: dict[str, Any] = {}
        self.hosts: list[Any] = []
        self.roles: Any = None
        self._avoid: set[str] = set()
        self._identities: dict[int, Identity] = {}
        self._slowest_s = 0.0
        self.cluster = RayCluster(address, n_actors=len(self.shares) + 1)
        try:
            self._world = ray.put(dataclasses.replace(world, geo=None))
            self._make_actors()
        except BaseException:
            self.close()
            raise

    def _make_actors(self) -> None:
        """Make hosts and global roles afresh; every host builds its own lines."""
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        make_roles = ray.remote(GlobalsActor)
        chosen = place(len(self.shares), self.cluster.nodes(), self._avoid)
        planned = [
            (ray.remote(kind), what, node)
            for share, node in zip(self.shares, chosen, strict=True)
            for kind, what in self._actors_of(share)
        ]
        self.nodes = [node for _, _, node in planned]
        self.roles = make_roles.options(
            **options, scheduling_strategy=on_node(self.cluster.node)
        ).remote(self._world, self.fence)
        self.hosts = [
            kind.options(**options, scheduling_strategy=on_node(node)).remote(
                self._world, *what, self.fence
            )
            for kind, what, node in planned
        ]
        self.scattered = {}
        actors = [*self.hosts, self.roles]
        found = self._get([actor.identity.remote() for actor in actors], SETTLE_S)
        where = [*self.nodes, self.cluster.node]
        # Processes of other machines end with their node; those of this one can be named.
        self._identities = {
            k: found[k] for k, node in enumerate(where) if node == self.cluster.node
        }
        self.cluster.watch(self._identities.values())
        self.arrays = self._get([self.roles.arrays.remote()], SETTLE_S, self._roles_at)[0]

    def _actors_of(self, share: tuple[Partition, ...]) -> list[tuple[type, tuple[Any, ...]]]:
        """Return class and arguments of the actors that hold the lines of a host."""
        return [(HostActor, (share,))]

    def rebuild(self, epoch: int) -> None:
        """Throw every actor away and make new ones, at the start of the run.

        All go back together: a host that only seems dead is ended too, and nothing that it still
        computes can be read, because its references are gone and its attempt is over.
        """
        self._end_actors()
        self.fence = Fence(self.fence.run, epoch)
        self._make_actors()

    def pids(self) -> list[int]:
        """Return the process ids of the hosts, then that of the global roles; for tests."""
        return [
            pid
            for pid, _ in self._get(
                [actor.identity.remote() for actor in [*self.hosts, self.roles]], SETTLE_S
            )
        ]

    def tick(
        self,
        tick: Tick,
        commands: Sequence[Command],
        digest_at: tuple[int, int] | None,
        extra: dict[str, Rows] | None = None,
    ) -> TickOutcome:
        """Run one tick in every host, then in the global roles."""
        began = time.monotonic()
        fixed = tuple(commands)
        merged = self._run_hosts(tick, {**self.scattered, **(extra or {})}, fixed, digest_at)
        call = self.roles.on_tick.remote(self.fence, tick, merged.load, merged.gathered, fixed)
        result: GlobalResult = self._get([call], self._deadline_s(), self._roles_at)[0]
        self.scattered, self.arrays = result.scattered, result.arrays
        self._slowest_s = max(self._slowest_s, time.monotonic() - began)
        return outcome(merged, result, in_flight(self.scattered, self.plan))

    def _run_hosts(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        commands: tuple[Command, ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run a tick in every host: one call to each."""
        arrays = ray.put(self.arrays)
        answers = [
            host.tick.remote(
                self.fence, tick, rows_for(scattered, share), arrays, commands, digest_at
            )
            for host, share in zip(self.hosts, self.shares, strict=True)
        ]
        results: list[HostResult] = self._get(answers, self._deadline_s())
        merged = merge_results(results, self.plan.gather)
        # What comes through the object store is read-only; the recorder adds to the tallies.
        merged.tally = {name: array.copy() for name, array in merged.tally.items()}
        return merged

    def _deadline_s(self) -> float:
        """Return how long an answer to a tick may take: a frozen host is found by nothing else."""
        if not self._slowest_s:
            return self.timeout_s
        return min(self.timeout_s, max(PATIENCE_MIN_S, PATIENCE * self._slowest_s))

    def ledger(self) -> dict[str, int]:
        """Return the stocks of every role, now."""
        total: dict[str, int] = {}
        for part in self._get([host.ledger.remote() for host in self.hosts], self.timeout_s):
            for key, value in part.items():
                total[key] = total.get(key, 0) + value
        flying = in_flight(self.scattered, self.plan)
        roles = self._get([self.roles.ledger.remote()], self.timeout_s, self._roles_at)[0]
        return total | roles | flying

    def digest(self) -> dict[str, int]:
        """Return the digest of every role."""
        total: dict[str, int] = {}
        for part in self._get([host.digest.remote() for host in self.hosts], self.timeout_s):
            for key, value in part.items():
                total[key] = (total.get(key, 0) + value) & 0xFFFFFFFFFFFFFFFF
        return total | self._get([self.roles.digest.remote()], self.timeout_s, self._roles_at)[0]

    def state_bytes(self) -> int:
        """Return the bytes of all lines."""
        return sum(self._get([host.state_bytes.remote() for host in self.hosts], self.timeout_s))

    def save_to(self, draft: Draft) -> tuple[list[Part], Tree]:
        """Let every host write its lines; return their parts, and what belongs to no line."""
        parts = self._get([host.save_to.remote(draft) for host in self.hosts], self.timeout_s)
        roles = self._get([self.roles.snapshot.remote()], self.timeout_s, self._roles_at)[0]
        return [p for done in parts for p in done], {"scattered": self.scattered, "globals": roles}

    def load_from(self, saved: Saved) -> None:
        """Go back to a checkpoint; raises `Damaged`, and then wants `rebuild` first."""
        self._get([host.load_from.remote(saved) for host in self.hosts], SETTLE_S)
        self.scattered = self._get(
            [self.roles.load_from.remote(saved)], SETTLE_S, self._roles_at
        )[0]  # fmt: skip
        self.arrays = self._get([self.roles.arrays.remote()], SETTLE_S, self._roles_at)[0]

    def skip_to(self, tick: int) -> None:
        """Let a later tick be the next one: nothing happens in those between."""
        for actor in [*self.hosts, self.roles]:
            self._get([actor.back_to.remote(tick - 1)], self.timeout_s)

    def close(self) -> None:
        """End our actors, and the cluster where it is ours."""
        self._end_actors()
        self.cluster.close()

    # --- inside -------------------------------------------------------------------------------

    def _end_actors(self) -> None:
        for actor in [*self.hosts, self.roles]:
            if actor is not None:
                ray.kill(actor)
        self.hosts, self.roles = [], None
        # Ray asks a process to end, which a frozen one does not hear.
        self.cluster.end(self._identities.values())
        self._identities = {}

    @property
    def _roles_at(self) -> int:
        return len(self.hosts)

    def _get(self, calls: Sequence[Any], timeout_s: float, first: int = 0) -> list[Any]:
        """Return the answers to calls, or raise `HostLost` that names who does not answer.

        Parameters
        ----------
        calls : one for each actor from number `first` on: the hosts in order, then the global roles
        timeout_s : taken for dead after that
        """
        until = time.monotonic() + timeout_s
        place_of = {call: k for k, call in enumerate(calls)}
        answers: list[Any] = [None] * len(calls)
        waiting = list(calls)
        while waiting:
            if time.monotonic() > until:
                lost = [first + place_of[call] for call in waiting]
                self._avoid |= {self._node_of(k) for k in lost}
                names = ", ".join(self._name(k) for k in lost)
                raise HostLost(f"{names}: no answer within {timeout_s:.0f} s")
            ready, waiting = self._ready(waiting, until)
            for call in ready:
                answers[place_of[call]] = self._answer(call, first + place_of[call])
        return answers

    def _ready(self, calls: list[Any], until: float) -> tuple[list[Any], list[Any]]:
        """Return (calls that are answered, the others) after a moment, the head being alive."""
        self.cluster.check()
        left = max(until - time.monotonic(), 0.0)
        return ray.wait(calls, timeout=min(left, SLICE_S))

    def _some(self, calls: list[Any], until: float) -> dict[Any, Any]:
        """Return the answers to at least one of some calls of hosts, or raise `HostLost`."""
        while True:
            ready, _ = self._ready(calls, until)
            if ready:
                return {call: self._answer(call, 0) for call in ready}
            if time.monotonic() > until:
                raise HostLost("a host has not answered in time")

    def _answer(self, call: Any, actor: int) -> Any:
        try:
            return ray.get(call)
        except ray.exceptions.OutOfMemoryError as error:
            raise LimitError(
                f"{self._name(actor)}: memory ran out; take fewer lines or more machines and go "
                f"on with --resume: {_first_line(error)}"
            ) from error
        except GONE as error:
            if isinstance(error, ray.exceptions.ActorUnavailableError):
                self._avoid.add(self._node_of(actor))
            kind = type(error).__name__
            raise HostLost(f"{self._name(actor)} is gone ({kind})") from error
        except ray.exceptions.RayTaskError as error:
            # Where a chain of calls broke, the error of the first is wrapped in that of the last.
            cause: Any = error
            while isinstance(cause, ray.exceptions.RayTaskError) and cause.cause is not cause:
                cause = cause.cause
            if isinstance(cause, GONE):
                raise HostLost(f"a host is gone ({type(cause).__name__})") from error
            raise (cause if isinstance(cause, Exception) else error) from error

    def _node_of(self, actor: int) -> str:
        return self.nodes[actor] if actor < len(self.nodes) else self.cluster.node

    def _name(self, actor: int) -> str:
        if actor >= len(self.nodes):
            return "the global roles"
        host = actor * len(self.shares) // len(self.nodes)
        share = self.shares[host]
        return f"host {host} with partitions {share[0].index} to {share[-1].index}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
