"""Rival signal: pages of a rival were read at length (initiative R3)."""

from __future__ import annotations

from pydantic import Field

from actors import messages as m
from actors.rtm.triggers import trigger
from sim.core.params import Params


class RivalSignal(Params):
    """Options of `rival_signal`."""

    pages_min: int = Field(default=10, ge=1, le=64, description="least pages of the visit")


@trigger("rival_signal", on="visit", params=RivalSignal)
def fires(row, p):
    """Fire on a visit of a rival's site that is deep enough to mean something."""
    return (row.ref == m.VISIT_RIVAL) & (row.units >= p.pages_min)
