"""What a runtime asks of the global roles: cells, channels, and whatever joins them later.

It owns the protocol only.  It must not know which global roles there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sim.core.actor import Rows
from sim.core.metrics import Tally
from sim.core.ticks import Tick

Command = tuple[str, int, int]


@dataclass
class GlobalResult:
    """What the global roles hand back after a tick.

    Attributes
    ----------
    scattered : rows for lines, sorted by `sub`, by schema name
    arrays : broadcasts for the next tick
    """

    scattered: dict[str, Rows]
    arrays: dict[str, Any]
    tally: Tally
    ledger: dict[str, int]
    tables: dict[str, Rows] = field(default_factory=dict)


class GlobalRoles(Protocol):
    """The global roles of a run, stepped together after the hosts."""

    def arrays(self) -> dict[str, Any]:
        """Return the broadcasts for the first tick."""
        ...

    def on_tick(
        self, tick: Tick, load: np.ndarray, gathered: dict[str, Rows], commands: Sequence[Command]
    ) -> GlobalResult:
        """Take the sums and rows of a tick in any order."""
        ...

    def ledger(self) -> dict[str, int]:
        """Return the stocks of the global roles, now."""
        ...

    def digest(self) -> dict[str, int]:
        """Return the digest of each global role."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return everything needed to go on: nested dicts of arrays."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        ...
