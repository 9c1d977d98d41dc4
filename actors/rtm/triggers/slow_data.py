"""Slow data: several slices of data under 1 Mbit/s within a window (initiative R2)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class SlowData(Params):
    """Options of `slow_data`; the engine's window is one hour."""

    count: int = Field(default=3, ge=1, le=15, description="slow slices within an hour")


@trigger("slow_data", on="slow", params=SlowData)
def fires(row, p):
    """Fire on the slice that makes the number full."""
    return row.slow == p.count
