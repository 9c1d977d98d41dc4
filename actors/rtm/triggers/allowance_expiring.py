"""Allowance expiring: two days before the period ends, much data is left (initiative B6)."""

from __future__ import annotations

from pydantic import Field

from actors import messages as m
from actors.rtm.triggers import trigger
from sim.core.params import Params


class AllowanceExpiring(Params):
    """Options of `allowance_expiring`; how long before is `billing.notice_h`."""

    left_percent_min: int = Field(
        default=40, ge=0, le=100, description="least data left of the plan's, percent"
    )
    left_percent_max: int = Field(
        default=100, ge=0, le=100, description="most data left of the plan's, percent"
    )


@trigger("allowance_expiring", on="account", params=AllowanceExpiring)
def fires(row, p):
    """Fire on the notice, where what is left lies between the limits."""
    ends = row.kind == m.ALLOWANCE_ENDS
    return ends & (row.units >= p.left_percent_min) & (row.units <= p.left_percent_max)
