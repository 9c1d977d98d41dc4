"""The account of a damaged recording: copies, lateness, shares, and the rows that must be applied.

The second half of the plain reader of `tests/event_oracle.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests import event_values as values

DAYS_MAX = 3_700
KINDS = ("voice", "sms", "data", "topup", "location")
SIDES = ("none", "mo", "mt")


class Refused(Exception):
    """The recording must be refused."""


@dataclass
class Told:
    """What must be applied of a recording."""

    read: int = 0
    faults: int = 0
    copies: int = 0
    derived: int = 0
    subscribers: int = 0
    applied: Counter = field(default_factory=Counter)
    """(subscriber, ms since the start, kind, side, flags, units, amount, cell, peer) -> rows"""
    unsure: str = ""
    """Why the reader may refuse all the same: a rule of likelihood, not of right."""


@dataclass
class Row:
    """One row of a file on its way."""

    values: dict[str, Any] | None
    fault: str = ""
    kind: str = ""
    ms: int = 0
    side: str = "none"
    units: int = 0
    amount: int = 0
    flags: int = 0
    cell: str = ""
    event: tuple[str, ...] = ()
    sub: str = ""
    peer: str = ""
    late: bool = False


def said(row: Row) -> tuple:
    """Return the content of a row, which a copy of it must have too."""
    return (row.sub, row.ms, row.kind, row.side, row.flags, row.units, row.amount, row.cell,
            row.peer)  # fmt: skip


def account(
    mapping: Any, everything: list[tuple[Any, list[Row]]], cells: dict, told: Told, share: float
) -> Told:
    """Settle ids and lateness, count, and make the rows that must be applied."""
    kept: list[tuple[Any, Row]] = []
    names: set[str] = set()
    free = 0
    for source, rows in everything:
        told.read += len(rows)
        first: dict[tuple[str, ...], Row] = {}
        good = [row for row in rows if not row.fault]
        names |= {row.sub for row in good}
        if source.derive == "two_sided":
            names |= {row.peer for row in good} - {""}
        for row in sorted(good, key=lambda row: row.late):  # a late row stays behind one in time
            if row.event and row.event in first:
                same = said(row) == said(first[row.event])
                row.fault = "copy" if same else "conflict"
                continue
            first[row.event] = row
            row.fault = "late" if row.late else ""
        told.copies += sum(row.fault in ("copy", "skip") for row in rows)
        told.faults += sum(row.fault not in ("", "copy", "skip") for row in rows)
        free += any(row.fault == "unterminated" for row in rows)
        kept += [(source, row) for row in rows if not row.fault]
    if told.faults - free > share * told.read:
        raise Refused("too many faults")
    if not kept:
        raise Refused("nothing is left")
    begin = values.window(mapping)[0]
    moments = [row.ms for _, row in kept]
    start = values.midnight(min(moments), mapping.zone or "UTC") if begin is None else begin
    if max(moments) - start >= DAYS_MAX * 86_400_000:
        raise Refused("too long")
    rank = {name: i for i, name in enumerate(sorted(names, key=str.encode))}
    told.subscribers = len(rank)

    def put(row: Row, sub: str, peer: str, side: str, flags: int, amount: int) -> None:
        place = values.place(row.cell, row.ms, cells)
        told.applied[(
            rank[sub], row.ms - start, KINDS.index(row.kind), SIDES.index(side), flags, row.units,
            amount, place, rank.get(peer, -1) if peer else -1,
        )] += 1  # fmt: skip

    for source, row in kept:
        put(row, row.sub, row.peer, row.side, row.flags, row.amount)
        if source.derive == "two_sided" and row.peer:
            put(row, row.peer, row.sub, "mt", row.flags | 1, 0)
            told.derived += 1
    return told
