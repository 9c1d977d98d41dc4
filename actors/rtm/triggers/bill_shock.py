"""Bill shock: data that costs money passes a multiple of the line's own norm (initiative B3).

The engine knows the norm of a line in megabytes, not in money; where data is charged by the unit
the two are the same multiple, so the trigger looks at charged data only.
"""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class BillShock(Params):
    """Options of `bill_shock`."""

    factor_percent: int = Field(
        default=300, ge=100, le=10_000, description="multiple of the norm, percent"
    )
    mb_min: int = Field(default=200, ge=1, description="least data of the day, MB")


def gone_back(row, p):
    """A new day, below either limit."""
    low = row.today_after_kb < row.norm_mb * 10 * p.factor_percent
    return low | (row.today_after_kb < p.mb_min * 1000)


@trigger("bill_shock", on="usage", params=BillShock, back=gone_back)
def fires(row, p):
    """Fire on the charged row that takes the day's data across both limits."""
    norm = row.norm_mb * 10 * p.factor_percent
    least = p.mb_min * 1000
    over = (row.today_after_kb >= norm) & (row.today_after_kb >= least)
    under = (row.today_before_kb < norm) | (row.today_before_kb < least)
    return over & under & (row.norm_mb > 0) & (row.charged_minor > 0)
