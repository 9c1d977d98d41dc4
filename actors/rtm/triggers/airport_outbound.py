"""Airport, outbound: a believed stay at an airport by someone who did not just land (G3)."""

from __future__ import annotations

from actors.rtm.triggers import trigger
from sim.core.params import Params


class AirportOutbound(Params):
    """`airport_outbound` has no options: the dwell time is `rtm.dwell.airport_min`."""


@trigger("airport_outbound", on="dwell", params=AirportOutbound)
def fires(row, p):
    """Fire once a visit; a phone that comes from abroad or from silence has landed."""
    return (row.fence_kind == 1) & (row.landed == 0) & (row.silent_days < 1)
