"""Mall dwell: a believed stay in a mall has reached the dwell time (initiative G2)."""

from __future__ import annotations

from actors.rtm.triggers import trigger
from sim.core.params import Params


class MallDwell(Params):
    """`mall_dwell` has no options: the dwell time is `rtm.dwell.mall_min`."""


@trigger("mall_dwell", on="dwell", params=MallDwell)
def fires(row, p):
    """Fire once a visit."""
    return row.fence_kind == 0
