"""Top-up start: a recharge was begun (initiative B2)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class TopupStart(Params):
    """Options of `topup_start`."""

    below_minor: int = Field(
        default=1_000_000_000,
        ge=0,
        description="only where the intended sum is below this, minor units",
    )


@trigger("topup_start", on="recharge", params=TopupStart)
def fires(row, p):
    """Fire when the top-up session opens."""
    return row.units < p.below_minor
