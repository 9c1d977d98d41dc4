"""An outage reaches the cells around its place, and one that reaches none is refused."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from scenarios.outages import cells_near, check_outages
from sim.core.errors import ScenarioError
from tests.factories import default_world


def entry(near: str, radius_m: float) -> SimpleNamespace:
    """Return an entry of a timeline."""
    return SimpleNamespace(do="cell_outage", near=near, radius_m=radius_m)


def away_m(lat: float, lon: float) -> np.ndarray:
    """Return the distance of every cell from a place along a great circle."""
    geo = default_world().geo
    assert geo is not None
    a, b = np.radians(geo.cell_lat), np.radians(lat)
    turn = np.radians(geo.cell_lon - lon)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return 2 * 6_371_009 * np.arcsin(np.sqrt(half))


@pytest.mark.parametrize("by_name", [False, True])
def test_the_cells_within_the_radius_are_out(by_name: bool) -> None:
    """By position and by the name of a fence, but for half a percent of error of the plane map."""
    geo = default_world().geo
    assert geo is not None
    lat, lon = float(geo.fence_lat[0]), float(geo.fence_lon[0])
    near = geo.fence_name[0] if by_name else f"{lat},{lon}"
    away = away_m(lat, lon)
    found = cells_near(geo, entry(near, 3_000), 0)
    assert (away[found] < 3_000 * 1.005).all() and 3 <= len(found) < geo.n_cell
    assert set(np.flatnonzero(away < 3_000 * 0.995)) <= set(found.tolist())


def test_an_outage_that_reaches_no_cell_is_refused_with_the_radius_that_would() -> None:
    """One message with place, radius and the least radius; with that one it reaches a cell."""
    geo = default_world().geo
    assert geo is not None
    nowhere = f"{geo.cell_lat.max() + 0.2:.4f},{geo.cell_lon[0]:.4f}"
    timeline = (SimpleNamespace(do="stop"), entry(nowhere, 500))
    with pytest.raises(ScenarioError) as caught:
        check_outages(geo, SimpleNamespace(timeline=timeline))
    told = str(caught.value)
    assert "timeline.1.radius_m: an outage that reaches no cell" in told and nowhere in told
    least = int(re.search(r"at least (\d+) m", told)[1])  # type: ignore[index]  # the message has it
    assert least > 10_000
    assert len(cells_near(geo, entry(nowhere, least), 1)) >= 1
    with pytest.raises(ScenarioError):
        cells_near(geo, entry(nowhere, least - 1), 1)
    with pytest.raises(ScenarioError, match=r"timeline.3.near: no such fence"):
        cells_near(geo, entry("Khan Shatir", 500), 3)
