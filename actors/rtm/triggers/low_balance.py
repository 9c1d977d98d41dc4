"""Low balance: the main balance falls through a floor (initiative B5)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class LowBalance(Params):
    """Options of `low_balance`."""

    floor_minor: int = Field(
        default=5_000, ge=0, description="floor of the main balance, minor units"
    )


def gone_back(row, p):
    """The balance after a use is at or above the floor again."""
    return row.balance_after_minor >= p.floor_minor


@trigger("low_balance", on="usage", params=LowBalance, back=gone_back)
def fires(row, p):
    """Fire on the use that takes the balance through the floor."""
    return (row.balance_before_minor >= p.floor_minor) & (row.balance_after_minor < p.floor_minor)
