"""Airport, return: the phone comes up at an airport after an absence (initiative G4)."""

from __future__ import annotations

from actors.rtm.triggers import trigger
from sim.core.params import Params


class AirportReturn(Params):
    """`airport_return` has no options."""


@trigger("airport_return", on="attach", params=AirportReturn)
def fires(row, p):
    """Fire on the attach: it needs no dwell."""
    return (row.fence_kind == 1) & (row.away == 1)
