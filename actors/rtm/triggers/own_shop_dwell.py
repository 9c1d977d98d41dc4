"""Own shop: a stay where we have a shop, by a line that is due for a device (initiative G1)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class OwnShopDwell(Params):
    """Options of `own_shop_dwell`; the dwell time is that of the place, `rtm.dwell.mall_min`."""

    cycle_days: int = Field(
        default=730, ge=1, le=3650, description="usual time between two devices, days (assumption)"
    )
    due_days: int = Field(
        default=120, ge=1, le=3650, description="a device is due so many days before that time"
    )


@trigger("own_shop_dwell", on="dwell", params=OwnShopDwell)
def fires(row, p):
    """Fire once a visit; a phone older than 4G is always due."""
    due = row.tenure_days % p.cycle_days >= p.cycle_days - p.due_days
    return (row.own_shop == 1) & (due | (row.device == 1))
