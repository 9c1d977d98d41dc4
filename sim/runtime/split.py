"""Groups: the roles of a partition in hosts of their own, joined by pieces of slices.

It owns the cut of a host by roles, the pieces that carry the blocks of many slices from one group
to the next, and the rule by which arriving rows find the groups that listen.  It must not know in
which process a group lives, nor any role beyond the `Actor` protocol.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.core.actor import Actor, Rows, SharesLoad, Slice
from sim.core.columns import Schema
from sim.core.errors import InvariantError, LimitError, ScenarioError
from sim.core.partition import Partition
from sim.core.ticks import Tick
from sim.record.tape import TapeSource, TapeTarget
from sim.runtime.globals import Command
from sim.runtime.host import Blame, Builder, Harvest, Host, HostPlan, HostResult, merge_results

PIECE_ROWS = 1 << 17
"""Rows of the source after which a piece is handed on: some 7 MB with all that is added to it."""
PIECE_SLICES = 1_024
"""Slices after which a piece is handed on, however few rows they have."""
PIECE_BYTES_MAX = 64 << 20
"""Bytes of one piece, at most."""

Feedback = list[dict[str, Rows]]
"""For each partition of a host, the rows that return in the next tick, by schema name."""


@dataclass(frozen=True)
class Group:
    """Roles that share a host, and what they have to do with the other groups.

    Attributes
    ----------
    index, n : which group of how many, in forward order
    roles : names, in forward order
    hears : schemas that reach one of the roles from the tick before
    keeps : of these, the ones whose rows this group records
    makes : forward schemas that the roles fill
    plan : the part of the host's plan that concerns the roles
    """

    index: int
    n: int
    roles: tuple[str, ...]
    hears: frozenset[str]
    keeps: frozenset[str]
    makes: tuple[str, ...]
    plan: HostPlan


def check_groups(groups: Sequence[Sequence[str]], forward: Sequence[str]) -> None:
    """Refuse groups that are not the forward order of the roles, cut into runs.

    Raises `ScenarioError` where a role is unknown, missing or named twice, where a group is empty,
    or where a role would have to wait for rows of a later group.
    """
    named = [role for group in groups for role in group]
    if tuple(named) != tuple(forward) or not all(groups):
        raise ScenarioError(
            "groups must name every role once, in forward order, and none may be empty",
            path="placement.groups",
            found=[list(group) for group in groups],
            expected=f"{', '.join(forward)}, cut into one or more groups",
        )


def plan_groups(
    plan: HostPlan, roles: Sequence[type[Actor]], groups: Sequence[Sequence[str]]
) -> tuple[Group, ...]:
    """Return what each group hears, makes and records.

    Parameters
    ----------
    roles : classes of the roles, in forward order
    groups : names of the roles of each group

    Raises
    ------
    ScenarioError : the groups are not the forward order, cut into runs
    """
    check_groups(groups, [role.role for role in roles])
    by_name = {role.role: role for role in roles}
    out: list[Group] = []
    recorded: set[str] = set()
    for index, names in enumerate(groups):
        mine = [by_name[name] for name in names]
        hears = frozenset(s.name for role in mine for s in role.consumes)
        made = {s.name for role in mine for s in role.produces}
        keeps = hears - recorded
        recorded |= hears
        own = replace(
            plan,
            # Only the last group sees every block of a slice, so it keeps the joined tables.
            joined=plan.joined if index == len(groups) - 1 else {},
            feedback=_made(plan.feedback, made),
            gather=_made(plan.gather, made),
            record={table: name for table, name in plan.record.items() if name in made},
            inbox_tables={n: table for n, table in plan.inbox_tables.items() if n in keeps},
            tape_to=plan.tape_to if _has(plan.tape_to, made) else None,
            tape_from=plan.tape_from if _has(plan.tape_from, hears) else None,
        )
        makes = tuple(s.name for s in _made(plan.forward, made))
        out.append(Group(index, len(groups), tuple(names), hears, keeps, makes, own))
    return tuple(out)


def _has(tape: TapeSource | TapeTarget | None, names: Container[str]) -> bool:
    """Return whether the message of a tape is among those of a group."""
    return tape is not None and tape.schema.name in names


def _made(schemas: Iterable[Schema], names: set[str]) -> tuple[Schema, ...]:
    return tuple(s for s in schemas if s.name in names)


@dataclass
class Piece:
    """The blocks that one group made of many slices, ready to travel.

    Attributes
    ----------
    number : 0, 1, ... within a tick
    cuts : (n, 3) int64, partition of the host, first line, line behind the last one, by slice
    counts : schema -> (n,) int64, rows of each slice
    rows : schema -> rows of all slices, one after another; views of a buffer that the next piece
        of the same group overwrites
    last : no piece follows in this tick
    """

    number: int
    cuts: np.ndarray
    counts: dict[str, np.ndarray]
    rows: dict[str, Rows]
    last: bool

    @property
    def nbytes(self) -> int:
        """Return the bytes of all rows."""
        return sum(a.nbytes for rows in self.rows.values() for a in rows.values())


class PieceBuffer:
    """Room for one piece, reused by the next: nothing is allocated in a steady run."""

    def __init__(self, schemas: Sequence[Schema], *, bytes_max: int = PIECE_BYTES_MAX) -> None:
        self.schemas = tuple(schemas)
        self.bytes_max = bytes_max
        self._arrays = {
            s.name: {f.name: np.zeros(0, np.dtype(f.dtype)) for f in s.fields} for s in schemas
        }
        self.clear()

    def clear(self) -> None:
        """Begin a new piece."""
        self.n = {s.name: 0 for s in self.schemas}
        self.cuts: list[tuple[int, int, int]] = []
        self._counts: list[tuple[int, ...]] = []

    def add(self, k: int, part: Slice) -> None:
        """Copy the filled rows of a slice of partition `k` behind those that are there.

        Raises `LimitError` where the piece would exceed its bytes.
        """
        wanted = sum((self.n[s.name] + part.blocks[s.name].n) * s.row_bytes() for s in self.schemas)
        if wanted > self.bytes_max:
            raise LimitError(
                f"a piece of slices would have {wanted:,} bytes, at most {self.bytes_max:,}"
            )
        for schema in self.schemas:
            block, low = part.blocks[schema.name], self.n[schema.name]
            high = low + block.n
            for name, array in block.columns.arrays.items():
                self._room(schema.name, name, high)[low:high] = array[: block.n]
            self.n[schema.name] = high
        self.cuts.append((k, part.first, part.last))
        self._counts.append(tuple(part.blocks[s.name].n for s in self.schemas))

    def piece(self, number: int, *, last: bool) -> Piece:
        """Return what is there, as views that hold until the next `clear` and `add`."""
        counts = np.array(self._counts, np.int64).reshape(len(self.cuts), len(self.schemas))
        return Piece(
            number,
            np.array(self.cuts, np.int64).reshape(len(self.cuts), 3),
            {s.name: counts[:, j].copy() for j, s in enumerate(self.schemas)},
            {
                s.name: {c: a[: self.n[s.name]] for c, a in self._arrays[s.name].items()}
                for s in self.schemas
            },
            last,
        )

    def _room(self, schema: str, name: str, n: int) -> np.ndarray:
        """Return the array of a column with room for at least `n` rows."""
        array = self._arrays[schema][name]
        if len(array) < n:
            grown = np.zeros(max(n, 2 * len(array)), array.dtype)
            grown[: len(array)] = array
            self._arrays[schema][name] = array = grown
        return array


class GroupHost(Host):
    """The roles of one group, for the partitions of a host.

    A tick is `open`, then `produce` (first group) or `work` (later ones) piece by piece, then
    `close`.  Between ticks `waiting` holds the rows that its own roles send back.
    """

    def __init__(
        self,
        group: Group,
        partitions: Sequence[Partition],
        build: Builder,
        *,
        piece_rows: int = PIECE_ROWS,
    ) -> None:
        """Build every role of the partitions and keep those of the group.

        A role's state at the start comes from the same draws as that of its neighbours, so they
        are built together; the others are let go before the next partition is built.
        """

        def mine(partition: Partition) -> Sequence[Actor]:
            return [role for role in build(partition) if role.role in group.roles]

        super().__init__(group.plan, partitions, mine)
        self.group = group
        self.label = "." + ".".join(group.roles)
        self.piece_rows = piece_rows
        shares = any(isinstance(role, SharesLoad) for roles in self.roles for role in roles)
        if not shares:
            # One row of zeros adds nothing to the sums of the others, and does not travel far.
            self.load = np.zeros((1, self.load.shape[1]), np.int64)
        self._buffer = PieceBuffer([s for s in group.plan.forward if s.name in group.makes])
        self._at: _At | None = None

    def open(
        self,
        tick: Tick,
        scattered: dict[str, Rows],
        arrays: dict[str, Any],
        commands: tuple[Command, ...],
        feedback: Sequence[Feedback],
    ) -> None:
        """Take in what arrived for a tick: `feedback` is what other groups sent back."""
        hears = self.group.hears
        self.waiting = [
            {
                name: rows
                for part in (self.waiting, *feedback)
                for name, rows in part[k].items()
                if name in hears
            }
            for k in range(len(self.partitions))
        ]
        heard = {name: rows for name, rows in scattered.items() if name in hears}
        self._at = _At(tick, heard, arrays, commands, self._open(tick))

    def produce(self) -> Piece:
        """Return the next piece of the first group; past the end an empty one."""
        at = self._now()
        self._buffer.clear()
        lead = self._buffer.schemas[0].name
        while at.k < len(self.partitions) and self._buffer.n[lead] < self.piece_rows:
            self._step(Slice(at.line, at.line, self.blocks))
            if len(self._buffer.cuts) >= PIECE_SLICES:
                break
        return self._piece(last=at.k == len(self.partitions))

    def work(self, *pieces: Piece) -> Piece:
        """Treat a piece, given the part of it that each earlier group made, and return our own."""
        at = self._now()
        self._buffer.clear()
        if len(pieces) != self.group.index or any(
            p.number != at.piece
            or p.last != pieces[0].last
            or not np.array_equal(p.cuts, pieces[0].cuts)
            for p in pieces
        ):
            raise InvariantError(
                f"pieces do not fit: wanted number {at.piece} of {self.group.index} groups",
                tick=at.tick.index, role=self.group.roles[0], values=[p.number for p in pieces],
            )  # fmt: skip
        lead = pieces[0]
        ends = {n: np.cumsum(c) for p in pieces for n, c in p.counts.items()}
        for s, (k, first, last) in enumerate(lead.cuts.tolist()):
            if (k, first) != (at.k, at.line):
                raise InvariantError(
                    f"a slice begins at line {first} of partition {k}, wanted {at.line} of {at.k}",
                    tick=at.tick.index, role=self.group.roles[0],
                )  # fmt: skip
            for piece in pieces:
                for name, rows in piece.rows.items():
                    high = int(ends[name][s])
                    low = high - int(piece.counts[name][s])
                    self.blocks[name].fill({c: a[low:high] for c, a in rows.items()})
            self._step(Slice(first, last, self.blocks))
        return self._piece(last=lead.last)

    def close(self, digest_at: tuple[int, int] | None) -> HostResult:
        """End the tick and return the sums, intents and sampled rows of the group."""
        at = self._now()
        if at.k != len(self.partitions):
            raise InvariantError(
                f"the tick ends before partition {at.k} is done", tick=at.tick.index,
                role=self.group.roles[0],
            )  # fmt: skip
        self._at = None
        return self._close(at.harvest, digest_at)

    def restore(self, saved: Iterable[dict[str, Any]]) -> None:
        """Go back to a snapshot of the same partitions, of all roles or of ours."""
        super().restore(saved)
        mine = {s.name for s in self.plan.feedback}
        self.waiting = [
            {name: rows for name, rows in waiting.items() if name in mine}
            for waiting in self.waiting
        ]
        self._at = None

    # --- inside -------------------------------------------------------------------------------

    def _now(self) -> _At:
        if self._at is None:
            raise InvariantError("no tick is open", role=self.group.roles[0])
        return self._at

    def _step(self, part: Slice) -> None:
        """Run the roles over one slice; begin and end its partition where it is the edge."""
        at = self._now()
        partition = self.partitions[at.k]
        if at.line == 0:
            inbox = self._inbox(at.k, partition, at.scattered, at.arrays, at.commands)
            self._keep_inbox(inbox, partition, at.harvest.samples)
            with Blame(at.tick.index, partition.index) as blame:
                for role in self.roles[at.k]:
                    blame.role = f"role {role.role}"
                    role.begin(at.tick, inbox)
        with Blame(at.tick.index, partition.index) as blame:
            for role in self.roles[at.k]:
                blame.role = f"role {role.role}"
                self.hand_over(role, at.tick, part)
        self._keep_slice(part, partition, at.harvest.samples)
        self._buffer.add(at.k, part)
        at.line = part.last
        if part.last == partition.n:
            self._finish(at.tick, at.k, partition, at.harvest)
            at.k, at.line = at.k + 1, 0

    def _piece(self, *, last: bool) -> Piece:
        at = self._now()
        at.piece += 1
        return self._buffer.piece(at.piece - 1, last=last)


@dataclass
class _At:
    """Where a group stands within a tick: partition, line and piece that come next."""

    tick: Tick
    scattered: dict[str, Rows]
    arrays: dict[str, Any]
    commands: tuple[Command, ...]
    harvest: Harvest
    k: int = 0
    line: int = 0
    piece: int = 0


def merge_groups(results: Sequence[HostResult], gather: Sequence[Schema]) -> HostResult:
    """Return the sum of the results of groups; those without cell load add one row of zeros."""
    return merge_results(sorted(results, key=lambda result: -len(result.load)), gather)


def join_snapshots(groups: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return snapshots of the same partitions by group as those of whole hosts."""
    return [
        {
            "first": parts[0]["first"],
            "last": parts[0]["last"],
            "roles": {name: saved for part in parts for name, saved in part["roles"].items()},
            "waiting": {name: rows for part in parts for name, rows in part["waiting"].items()},
        }
        for parts in zip(*groups, strict=True)
    ]
