"""Roaming charge: the first charged use of a stay abroad (initiative B8)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class RoamingCharge(Params):
    """Options of `roaming_charge`."""

    charged_minor: int = Field(default=1, ge=0, description="least charge of that use, minor units")


@trigger("roaming_charge", on="roaming", params=RoamingCharge)
def fires(row, p):
    """Fire once a stay."""
    return row.charged_minor >= p.charged_minor
