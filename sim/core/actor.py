"""The contract of a role, and what a runtime hands it.

A role is plain state and behaviour over a range of lines: no process, no clock, no network.  It
owns the protocol and the in and out boxes.  It must not know which roles there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from sim.core.columns import Block, Columns, Schema
from sim.core.metrics import Tally
from sim.core.ticks import Tick

Rows = dict[str, np.ndarray]


@dataclass
class Inbox:
    """What reached a partition's role for this tick, from the tick before.

    Attributes
    ----------
    rows : by schema name, sorted in canonical order
    arrays : broadcasts by name, read-only
    commands : control verbs that fall into this tick
    """

    rows: dict[str, Rows] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    commands: tuple[tuple[str, int, int], ...] = ()


@dataclass
class Slice:
    """Rows of consecutive lines that are handed along the forward edges of a tick.

    Attributes
    ----------
    first, last : local rows of the lines, half-open
    blocks : by schema name; blocks are reused for the next slice
    """

    first: int
    last: int
    blocks: dict[str, Block]


class Actor(Protocol):
    """A role over one partition.

    Within a tick a runtime calls `begin`, then `on_slice` for consecutive slices of lines until
    the source role has treated every line, then `finish`.  A slice is cut by the source wherever
    its blocks are full: where the cuts fall changes nothing, because lines do not affect one
    another within a tick.
    """

    role: ClassVar[str]
    consumes: ClassVar[tuple[Schema, ...]]
    produces: ClassVar[tuple[Schema, ...]]

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Take in what arrived from the tick before."""
        ...

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Treat the rows of some lines; the source role fills `part` and sets `part.last`."""
        ...

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Return the rows that leave on next-tick edges, by schema name."""
        ...

    def tally(self) -> Tally:
        """Return the counters; whoever runs the role resets them before a tick."""
        ...

    def share_tally(self, tally: Tally) -> None:
        """Count into arrays that the partitions of a host share."""
        ...

    def ledger(self) -> dict[str, int]:
        """Return the stocks that the auditor balances, now."""
        ...

    def state(self) -> dict[str, Columns]:
        """Return the columns that the role owns, by name."""
        ...

    def pool_digests(self) -> dict[str, int]:
        """Return the order-free digest of each pool of rows that the role holds, by name."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return everything needed to go on from here: arrays and numbers only."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot of the same partition."""
        ...


@runtime_checkable
class SharesLoad(Protocol):
    """What a role may offer besides `Actor`: to add into the cell load of its host."""

    def share_load(self, load: np.ndarray) -> None:
        """Add into `load`, (n_cells, 4) int64, which the partitions of a host share."""
        ...
