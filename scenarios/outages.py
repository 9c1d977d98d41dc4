"""Outages of the timeline: which cells a place and a radius mean.

It owns that an outage reaches at least one cell.  It must not know what an outage does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geo.geography import Geography
from scenarios.crosscheck import no_such_fence, position_of
from sim.core.errors import ScenarioError


def cells_near(geo: Geography, item: Any, number: int) -> np.ndarray:
    """Return the cells within the radius of a fence or of `lat,lon`.

    Parameters
    ----------
    item, number : entry of the timeline, and its place in it

    Raises
    ------
    ScenarioError : there is no such fence, or no cell: an outage of nothing is a mistake
    """
    place = position_of(item.near)
    if item.near in geo.fence_name:
        k = geo.fence_name.index(item.near)
        lat, lon = geo.fence_lat[k], geo.fence_lon[k]
    elif place is not None:
        lat, lon = place
    else:
        message, expected = no_such_fence(item.near, geo.fence_name)
        raise ScenarioError(
            message, path=f"timeline.{number}.near", found=repr(item.near), expected=expected
        )
    scale = np.cos(np.radians(lat))
    dx = (geo.cell_lon - lon) * scale * 111_320
    dy = (geo.cell_lat - lat) * 111_320
    away_m = np.hypot(dx, dy)
    found = np.flatnonzero(away_m <= item.radius_m)
    if not len(found):
        raise ScenarioError(
            "an outage that reaches no cell", path=f"timeline.{number}.radius_m",
            found=f"{item.radius_m:g} m around {item.near}",
            expected=f"at least {np.ceil(away_m.min()):.0f} m, or a place nearer to a cell",
        )  # fmt: skip
    return found


def check_outages(geo: Geography, scenario: Any) -> None:
    """Raise `ScenarioError` where an outage of the timeline reaches no cell."""
    for number, item in enumerate(scenario.timeline):
        if item.do == "cell_outage":
            cells_near(geo, item, number)
