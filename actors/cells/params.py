"""Options of the cell role: when a cell is congested, and what its users feel then.

It owns defaults and ranges.  It must not know the geography or the kernels.
"""

from __future__ import annotations

from pydantic import Field

from sim.core.params import Params


class CellParams(Params):
    """Congestion and blocking of radio cells."""

    congested_from: float = Field(
        default=0.80,
        gt=0,
        le=1,
        description="share of resource blocks from which a cell counts as full",
    )
    slow_from: float = Field(
        default=0.90,
        gt=0,
        le=1,
        description="utilisation from which sessions get less than they ask for",
    )
    overhead: float = Field(
        default=0.15, ge=0, lt=1, description="share of resource blocks taken by signalling"
    )
