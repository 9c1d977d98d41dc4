"""Another region: the phone comes up in a region that is not its own (initiative G6)."""

from __future__ import annotations

from actors.rtm.triggers import trigger
from sim.core.params import Params


class AnotherRegion(Params):
    """`another_region` has no options."""


@trigger("another_region", on="attach", params=AnotherRegion)
def fires(row, p):
    """Fire on the first cell elsewhere; who comes from abroad has only landed there."""
    return (row.elsewhere == 1) & (row.away == 0)
