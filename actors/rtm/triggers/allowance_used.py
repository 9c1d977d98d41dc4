"""Allowance used: the plan's data passes a share of its size (initiative B1)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class AllowanceUsed(Params):
    """Options of `allowance_used`."""

    percent: int = Field(default=80, ge=1, le=100, description="share of the plan's data, percent")


def gone_back(row, p):
    """A new allowance, or none at all."""
    return (row.used_after == 255) | (row.used_after < p.percent)


@trigger("allowance_used", on="usage", params=AllowanceUsed, back=gone_back)
def fires(row, p):
    """Fire on the row that crosses the share; 255 means that there is no allowance."""
    return (row.used_after != 255) & (row.used_before < p.percent) & (row.used_after >= p.percent)
