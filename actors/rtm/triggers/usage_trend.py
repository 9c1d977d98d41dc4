"""Usage trend: data of the day passes a multiple of the line's own norm (initiative T2a)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class UsageTrend(Params):
    """Options of `usage_trend`."""

    factor_percent: int = Field(
        default=250, ge=100, le=10_000, description="multiple of the norm, percent"
    )
    mb_min: int = Field(default=400, ge=1, description="least data of the day, MB")


def gone_back(row, p):
    """A new day, below either limit."""
    low = row.today_after_kb < row.norm_mb * 10 * p.factor_percent
    return low | (row.today_after_kb < p.mb_min * 1000)


@trigger("usage_trend", on="usage", params=UsageTrend, back=gone_back)
def fires(row, p):
    """Fire on the row that crosses both limits."""
    norm = row.norm_mb * 10 * p.factor_percent
    least = p.mb_min * 1000
    over = (row.today_after_kb >= norm) & (row.today_after_kb >= least)
    under = (row.today_before_kb < norm) | (row.today_before_kb < least)
    return over & under & (row.norm_mb > 0)
