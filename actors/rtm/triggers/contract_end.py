"""Contract end: the last period of a contract has begun (initiative R5)."""

from __future__ import annotations

from pydantic import Field

from actors import messages as m
from actors.rtm.triggers import trigger
from sim.core.params import Params


class ContractEnd(Params):
    """Options of `contract_end`."""

    tenure_days_min: int = Field(
        default=0, ge=0, description="only where the line is at least so long with us, days"
    )


@trigger("contract_end", on="account", params=ContractEnd)
def fires(row, p):
    """Fire on the notice, 30 days before the end."""
    return (row.kind == m.CONTRACT_ENDS) & (row.tenure_days >= p.tenure_days_min)
