"""Fee will fail: two days before the fee, the balance is below it (initiative B7)."""

from __future__ import annotations

from pydantic import Field

from actors import messages as m
from actors.rtm.triggers import trigger
from sim.core.params import Params


class FeeWillFail(Params):
    """Options of `fee_will_fail`; how long before is `billing.notice_h`."""

    missing_minor: int = Field(
        default=0, ge=0, description="only where more than this is missing, minor units"
    )


@trigger("fee_will_fail", on="account", params=FeeWillFail)
def fires(row, p):
    """Fire on the notice of a prepaid line whose money does not reach."""
    return (row.kind == m.FEE_SHORT) & (row.units > p.missing_minor)
