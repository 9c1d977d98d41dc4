"""Exact location in fences agrees with shapely, whatever the polygons."""

import h3
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping

from geo.geofences import FenceIndex
from geo.hexgrid import cover, cover_resolution
from geo.io import DATA_DIR, read_folder

HOLED = shapely.Polygon(
    [(71.0, 51.0), (71.2, 51.0), (71.2, 51.2), (71.0, 51.2)],
    holes=[[(71.05, 51.05), (71.15, 51.05), (71.1, 51.15)]],
)
TWO = shapely.MultiPolygon(
    [shapely.box(71.3, 51.0, 71.35, 51.1), shapely.box(71.4, 51.02, 71.52, 51.04)]
)
STAR = shapely.Polygon(
    [
        (71.3 + r * np.cos(a), 51.3 + r * np.sin(a))
        for r, a in zip([0.1, 0.03] * 20, np.linspace(0, 2 * np.pi, 40, False), strict=True)
    ]
)


def by_shapely(polygons, lat, lon):
    """Return the smallest polygon that contains each point, -1 where none."""
    out = np.full(len(lat), -1)
    for f in sorted(range(len(polygons)), key=lambda f: -polygons[f].area):
        out[shapely.contains_xy(polygons[f], lon, lat)] = f
    return out


@pytest.mark.fault("I3")
def test_locate_agrees_with_shapely_on_twenty_thousand_points():
    """Holes, parts and spikes: every random point gets shapely's answer."""
    polygons = [HOLED, TWO, STAR]
    rng = np.random.default_rng(4)
    lat, lon = rng.uniform(50.95, 51.45, 20_000), rng.uniform(70.95, 71.55, 20_000)
    got = FenceIndex.build([mapping(p) for p in polygons]).locate(lat, lon)
    want = by_shapely(polygons, lat, lon)
    np.testing.assert_array_equal(got, want)
    assert {-1, 0, 1, 2} == set(got.tolist())


def test_locate_agrees_with_shapely_around_every_real_fence():
    """Malls and airports as shipped, points thrown close around each."""
    fences = [f for name in ("astana", "russia") for f in read_folder(DATA_DIR / name).fences]
    polygons = [f.polygon for f in fences]
    rng = np.random.default_rng(6)
    lat, lon = [], []
    for polygon in polygons:
        west, south, east, north = polygon.bounds
        lon.append(rng.uniform(west - 0.001, east + 0.001, 200))
        lat.append(rng.uniform(south - 0.001, north + 0.001, 200))
    lat, lon = np.concatenate(lat), np.concatenate(lon)
    got = FenceIndex.build([mapping(p) for p in polygons]).locate(lat, lon)
    np.testing.assert_array_equal(got, by_shapely(polygons, lat, lon))


@settings(max_examples=60, deadline=None)
@given(
    angles=st.lists(st.floats(0, 6.28), min_size=3, max_size=12, unique=True),
    radius=st.floats(1e-4, 0.3),
    lat=st.floats(-80, 80),
    lon=st.floats(-179, 179),
    seed=st.integers(0, 2**32 - 1),
)
def test_locate_agrees_with_shapely_on_any_star(angles, radius, lat, lon, seed):
    """Star-shaped polygons anywhere on the globe, with spikes of any width."""
    rng = np.random.default_rng(seed)
    reach = radius * rng.uniform(0.2, 1.0, len(angles))
    ring = [
        (lon + r * np.cos(a), lat + r * np.sin(a))
        for r, a in zip(reach, sorted(angles), strict=True)
    ]
    polygon = shapely.Polygon(ring)
    if not polygon.is_valid or polygon.area < 1e-12:
        return
    at_lat = rng.uniform(lat - radius, lat + radius, 300)
    at_lon = rng.uniform(lon - radius, lon + radius, 300)
    got = FenceIndex.build([mapping(polygon)]).locate(at_lat, at_lon)
    clear = shapely.distance(polygon.boundary, shapely.points(at_lon, at_lat)) > 1e-12
    np.testing.assert_array_equal(
        got[clear] == 0, shapely.contains_xy(polygon, at_lon, at_lat)[clear]
    )


@pytest.mark.fault("I6")
def test_overlaps_go_to_the_smallest_and_nonsense_to_nobody():
    """A shop in a mall wins over the mall; NaN and positions off the globe are outside."""
    mall, shop = shapely.box(10.0, 50.0, 10.1, 50.1), shapely.box(10.04, 50.04, 10.05, 50.05)
    index = FenceIndex.build([mapping(mall), mapping(shop)])
    lat = np.array([50.045, 50.01, np.nan, 95.0, 50.045, np.inf])
    lon = np.array([10.045, 10.01, 10.0, 10.0, 400.0, 10.0])
    assert index.locate(lat, lon).tolist() == [1, 0, -1, -1, -1, -1]
    assert FenceIndex.build([]).locate(lat, lon).tolist() == [-1] * 6


def test_a_cover_misses_no_point_of_its_fence():
    """Every point inside a polygon lies in a cell of the cover."""
    rng = np.random.default_rng(8)
    for polygon in (HOLED, TWO, STAR):
        area_m2 = polygon.area * 111_195**2 * np.cos(np.radians(51))
        resolution = cover_resolution(area_m2)
        cells = set(cover(polygon, resolution).tolist())
        west, south, east, north = polygon.bounds
        lat, lon = rng.uniform(south, north, 500), rng.uniform(west, east, 500)
        inside = shapely.contains_xy(polygon, lon, lat)
        for a, o in zip(lat[inside], lon[inside], strict=True):
            assert h3.str_to_int(h3.latlng_to_cell(a, o, resolution)) in cells
