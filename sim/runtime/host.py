"""A host: the roles of some partitions, run tick by tick; the same class in every runtime.

It owns the hand-over along forward edges, the rows that wait for the next tick inside a
partition, the sums over its partitions and the rows of sampled lines.  It must not know which
process it lives in, nor any role beyond the `Actor` protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.core.actor import Actor, Inbox, Rows, SharesLoad, Slice
from sim.core.columns import Block, Schema, concat_rows, empty_rows, take_rows
from sim.core.errors import TwinError
from sim.core.lazy import LazyList
from sim.core.metrics import Tally, add_into, reset
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.record.tape import TapeSource, TapeTarget
from sim.record.tape_read import Tapes
from sim.runtime.checkpoint import Draft, Saved
from sim.runtime.digests import digest_lines
from sim.runtime.parts import Part, flatten

Builder = Callable[[Partition], Sequence[Actor]]
"""Builds the roles of a partition, in forward order; the first one is the source."""


@dataclass(frozen=True)
class HostPlan:
    """What a host needs to know of the world: schemas and routes, no roles.

    Attributes
    ----------
    forward : schemas of the blocks of a slice
    joined : recorded table -> schemas of `forward` whose columns it joins, row for row
    feedback : schemas that return to the same partition in the next tick
    gather : schemas that leave to global roles
    scatter : schemas that come from them
    record : finished schemas that are recorded for sampled lines: table -> schema name
    inbox_tables : schema that arrives -> table in which it is recorded
    slice_rows : room of the forward blocks
    n_cells : cells of the load array
    sampled : (n,) int64 sorted global ids of the lines whose rows are kept
    tape_to, tape_from : where every row is written, and from where lines replay; None: nowhere
    """

    forward: tuple[Schema, ...]
    joined: dict[str, tuple[str, ...]]
    feedback: tuple[Schema, ...]
    gather: tuple[Schema, ...]
    record: dict[str, str]
    inbox_tables: dict[str, str]
    slice_rows: int
    n_cells: int
    sampled: np.ndarray
    tape_to: TapeTarget | None = None
    tape_from: TapeSource | None = None
    scatter: tuple[Schema, ...] = ()


@dataclass
class HostResult:
    """What a host hands back after a tick."""

    load: np.ndarray
    gathered: dict[str, Rows]
    tally: Tally
    ledger: dict[str, int]
    samples: dict[str, Rows]
    digests: dict[str, int] = field(default_factory=dict)


@dataclass
class Harvest:
    """What a host gathers partition by partition within a tick.

    Attributes
    ----------
    gathered : tables for global roles, by schema name
    samples : tables of sampled lines, by recorded table
    ledger : stocks of the partitions that are finished
    """

    gathered: dict[str, list[Rows]]
    samples: dict[str, list[Rows]] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)


class RoleFailed(Exception):
    """The code of a role has raised: told with role, partition and tick, and never tried again."""


class Blame:
    """Says where an exception came from, on its way out of a `with` block.

    What the twin explains itself, such as a broken invariant, passes as it is.

    Attributes
    ----------
    role : at work right now
    """

    def __init__(self, tick: int, partition: int | None = None, role: str = "") -> None:
        self.tick = tick
        self.partition = partition
        self.role = role

    def __enter__(self) -> Blame:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, TwinError | MemoryError):
            where = "" if self.partition is None else f" in partition {self.partition}"
            what = f"{type(error).__name__}: {error}"
            raise RoleFailed(f"{self.role} failed{where} at tick {self.tick}: {what}") from error


def canonical_order(rows: Rows) -> np.ndarray:
    """Return the row order by (sub, time, remaining columns), whatever the order of arrival."""
    others = [name for name in sorted(rows) if name not in ("sub", "ts_ms")]
    return np.lexsort((*(rows[n] for n in reversed(others)), rows["ts_ms"], rows["sub"]))


class Host:
    """Runs the roles of its partitions.

    Attributes
    ----------
    label : what tells its part files from those of other hosts for the same lines
    """

    label = ""

    def __init__(self, plan: HostPlan, partitions: Sequence[Partition], build: Builder) -> None:
        self.plan = plan
        self.partitions = tuple(partitions)
        self.load = np.zeros((plan.n_cells, 4), np.int64)
        self.blocks = {s.name: Block(s, plan.slice_rows) for s in plan.forward}
        self.waiting: list[dict[str, Rows]] = [{} for _ in self.partitions]
        self._tally: Tally = {}
        self.tapes = Tapes(plan.tape_to, plan.tape_from, self.partitions)
        self.roles: list[tuple[Actor, ...]] = []
        for partition in self.partitions:
            roles = tuple(build(partition))
            # At once: a load array and tallies of its own for each of a thousand partitions would
            # take gigabytes while the host is built, and the allocator would keep them.
            self._share(roles)
            self.roles.append(roles)

    def tick(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[tuple[str, int, int], ...],
        digest_at: tuple[int, int] | None,
    ) -> HostResult:
        """Run one tick over every partition.

        Parameters
        ----------
        scattered : rows from global roles for the lines of this host, sorted by `sub`
        arrays : broadcasts
        digest_at : (stride, phase) of the lines to digest, or None

        Returns
        -------
        result : sums over the partitions and the rows of sampled lines
        """
        harvest = self._open(tick)
        for k, partition in enumerate(self.partitions):
            inbox = self._inbox(k, partition, scattered, arrays, commands)
            self._keep_inbox(inbox, partition, harvest.samples)
            self._run_partition(tick, k, partition, inbox, harvest)
        return self._close(harvest, digest_at)

    def digest(self, stride: int = 1, phase: int = 0) -> dict[str, int]:
        """Return the order-free digest of every role's columns, and of its pools where every
        line is digested.

        Parameters
        ----------
        stride, phase : of the runs of `DIGEST_RUN` lines, those whose number is `phase` modulo
            `stride`
        """
        return digest_lines(self.partitions, self.roles, stride, phase)

    def ledger(self) -> dict[str, int]:
        """Return the stocks of all roles, now."""
        total: dict[str, int] = {}
        for roles in self.roles:
            for role in roles:
                for key, value in role.ledger().items():
                    total[key] = total.get(key, 0) + value
        return total

    def state_bytes(self) -> int:
        """Return the bytes of profile, state and pools of every line."""
        return sum(
            role.nbytes() + (role.profile.nbytes if position == 0 else 0)  # type: ignore[attr-defined]  # roles of the twin have both
            for roles in self.roles
            for position, role in enumerate(roles)
        )

    def snapshot(self) -> Sequence[dict[str, Any]]:
        """Return, for each partition, everything needed to go on.

        Each is copied when it is looked at, so that all together never lie in memory twice: look
        before the next tick.
        """
        return LazyList(len(self.partitions), self.snapshot_of)

    def snapshot_of(self, k: int) -> dict[str, Any]:
        """Return a copy of one partition."""
        partition, waiting = self.partitions[k], self.waiting[k]
        return {
            "first": partition.first,
            "last": partition.last,
            "roles": {role.role: role.snapshot() for role in self.roles[k]},
            "waiting": {
                name: {c: a.copy() for c, a in rows.items()} for name, rows in waiting.items()
            },
        }

    def save_to(self, draft: Draft) -> list[Part]:
        """Write the lines of this host into a checkpoint; one role at a time is copied."""
        return draft.write_lines(
            (
                (partition.first, partition.last, self._arrays(k))
                for k, partition in enumerate(self.partitions)
            ),
            label=self.label,
        )

    def load_from(self, saved: Saved) -> None:
        """Read the lines of this host from a checkpoint, one partition after another.

        Raises `Damaged`, and then holds lines of two ticks: build the host anew.
        """
        self.restore(saved.cut(self.partitions))

    def restore(self, saved: Iterable[dict[str, Any]]) -> None:
        """Go back to a snapshot of the same partitions."""
        for k, part in enumerate(saved):
            self.restore_one(k, part)

    def restore_one(self, k: int, part: dict[str, Any]) -> None:
        """Go back to a snapshot of one partition."""
        for role in self.roles[k]:
            role.restore(part["roles"][role.role])
        self.waiting[k] = part["waiting"]

    # --- inside -------------------------------------------------------------------------------

    def _arrays(self, k: int) -> Iterator[tuple[str, np.ndarray]]:
        """Give the arrays of a partition, each role copied only when its turn comes."""
        for role in self.roles[k]:
            yield from flatten({"roles": {role.role: role.snapshot()}})
        if self.waiting[k]:
            yield from flatten({"waiting": self.waiting[k]})

    def _open(self, tick: Tick) -> Harvest:
        """Set every sum to zero, before a tick."""
        self.tapes.open(tick.index)
        self.load[:] = 0
        reset(self._tally)
        return Harvest({s.name: [] for s in self.plan.gather})

    def _close(self, harvest: Harvest, digest_at: tuple[int, int] | None) -> HostResult:
        """Return what the partitions of a tick gave, joined."""
        return HostResult(
            self.load,
            {s.name: concat_rows(s, harvest.gathered[s.name]) for s in self.plan.gather},
            self._tally,
            harvest.ledger,
            {
                name: {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
                for name, parts in (harvest.samples | self.tapes.close()).items()
            },
            {} if digest_at is None else self.digest(*digest_at),
        )

    def _share(self, roles: Sequence[Actor]) -> None:
        """Let the roles of a partition add into the host's load and tallies."""
        for role in roles:
            if not self._tally.keys() >= role.tally().keys():
                self._tally.update(role.tally())
            role.share_tally({name: self._tally[name] for name in role.tally()})
            if isinstance(role, SharesLoad):
                role.share_load(self.load)

    def _inbox(
        self,
        k: int,
        partition: Partition,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[tuple[str, int, int], ...],
    ) -> Inbox:
        rows = self.waiting[k] | self.tapes.arrive(k)
        for name, table in scattered.items():
            low, high = np.searchsorted(table["sub"], (partition.first, partition.last))
            if high > low:
                rows[name] = {c: a[low:high] for c, a in table.items()}
        return Inbox(rows=rows, arrays=arrays, commands=commands)

    def _keep_inbox(
        self, inbox: Inbox, partition: Partition, samples: dict[str, list[Rows]]
    ) -> None:
        for name, rows in inbox.rows.items():
            table = self.plan.inbox_tables.get(name)
            if table is None:
                continue
            # Sorted by line, and under a replay as many as there are acts: few are looked at.
            index = self._sampled_rows(rows["sub"], partition.first, partition.last)
            if len(index):
                samples.setdefault(table, []).append(take_rows(rows, index))

    def _run_partition(
        self,
        tick: Tick,
        k: int,
        partition: Partition,
        inbox: Inbox,
        harvest: Harvest,
    ) -> None:
        roles = self.roles[k]
        with Blame(tick.index, partition.index) as blame:
            for role in roles:
                blame.role = f"role {role.role}"
                role.begin(tick, inbox)
            part = Slice(0, 0, self.blocks)
            while part.first < partition.n:
                for role in roles:
                    blame.role = f"role {role.role}"
                    self.hand_over(role, tick, part)
                self._keep_slice(part, partition, harvest.samples)
                part.first = part.last
        self._finish(tick, k, partition, harvest)

    def _finish(self, tick: Tick, k: int, partition: Partition, harvest: Harvest) -> None:
        """Let the roles of a partition end their tick, and sort what leaves them."""
        finished: dict[str, Rows] = {}
        self.tapes.end()
        with Blame(tick.index, partition.index) as blame:
            for role in self.roles[k]:
                blame.role = f"role {role.role}"
                finished.update(role.finish(tick))
        self.waiting[k] = {}
        for schema in self.plan.feedback:
            rows = finished[schema.name]
            if len(rows["sub"]):
                self.waiting[k][schema.name] = take_rows(rows, canonical_order(rows))
        for schema in self.plan.gather:
            if len(finished[schema.name]["sub"]):
                harvest.gathered[schema.name].append(finished[schema.name])
        for table, name in self.plan.record.items():
            self._keep(table, finished[name], partition, harvest.samples)
        for role in self.roles[k]:
            for key, value in role.ledger().items():
                harvest.ledger[key] = harvest.ledger.get(key, 0) + value

    def hand_over(self, role: Actor, tick: Tick, part: Slice) -> None:
        """Hand a slice to a role; runtimes for tests hand over something harder."""
        role.on_slice(tick, part)

    def _keep_slice(
        self, part: Slice, partition: Partition, samples: dict[str, list[Rows]]
    ) -> None:
        self.tapes.add(part.blocks)
        for table, names in self.plan.joined.items():
            lead = part.blocks[names[0]]
            index = self._sampled_rows(
                lead.columns["sub"][: lead.n],
                partition.first + part.first,
                partition.first + part.last,
            )
            if len(index):
                rows: Rows = {}
                for name in names:
                    rows.update(take_rows(part.blocks[name].rows(), index))
                samples.setdefault(table, []).append(rows)

    def _keep(
        self, table: str, rows: Rows, partition: Partition, samples: dict[str, list[Rows]]
    ) -> None:
        if not len(rows["sub"]):
            return
        subs = self._sampled_of(partition.first, partition.last)
        if len(subs):
            # Few wanted lines, sorted: a search for each row beats the tables of `np.isin`.
            at = np.minimum(np.searchsorted(subs, rows["sub"]), len(subs) - 1)
            chosen = np.flatnonzero(subs[at] == rows["sub"])
            if len(chosen):
                samples.setdefault(table, []).append(take_rows(rows, chosen))

    def _sampled_of(self, first: int, last: int) -> np.ndarray:
        low, high = np.searchsorted(self.plan.sampled, (first, last))
        return self.plan.sampled[low:high]

    def _sampled_rows(self, subs: np.ndarray, first: int, last: int) -> np.ndarray:
        """Return the rows of sampled lines in a block sorted by line."""
        wanted = self._sampled_of(first, last)
        if len(wanted) == 0 or len(subs) == 0:
            return np.zeros(0, np.int64)
        if len(wanted) == last - first:
            return np.arange(len(subs))
        # Of one dtype, or the search would convert the whole block.
        wanted = wanted.astype(subs.dtype)
        low = np.searchsorted(subs, wanted, side="left")
        size = np.searchsorted(subs, wanted, side="right") - low
        ends = np.cumsum(size)
        return np.repeat(low - (ends - size), size) + np.arange(ends[-1] if len(ends) else 0)


def merge_results(results: Sequence[HostResult], gather: Sequence[Schema]) -> HostResult:
    """Return the sum of the results of several hosts; the order does not matter for sums."""
    total = HostResult(results[0].load.copy(), {}, {}, {}, {})
    for result in results[1:]:
        total.load += result.load
    for result in results:
        add_into(total.tally, result.tally)
        for key, value in result.ledger.items():
            total.ledger[key] = total.ledger.get(key, 0) + value
        for key, value in result.digests.items():
            total.digests[key] = (total.digests.get(key, 0) + value) & 0xFFFFFFFFFFFFFFFF
    tables = {name for result in results for name in result.samples}
    for name in sorted(tables):
        parts = [r.samples[name] for r in results if name in r.samples]
        total.samples[name] = {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
    for schema in gather:
        total.gathered[schema.name] = concat_rows(
            schema, [r.gathered.get(schema.name, empty_rows(schema)) for r in results]
        )
    return total
