"""Geographies that are wrong in ways a map can be: rows I1 to I9 of the fault list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely.geometry import mapping

from geo.fence_file import CORNERS_MAX
from geo.geofences import FenceIndex
from geo.hexgrid import cover, cover_resolution
from geo.io import read_folder
from geo.params import GeoParams
from geo.territory import build_geography
from scenarios import load
from sim.core.errors import LimitError, Problem, ScenarioError
from sim.record.source import Source
from tests.recordings import SECRET, rows, write_csv
from tests.recordings import mapping as source_mapping

HEADER = "name,lat,lon,population,region,utc_offset_h\n"
TOWN = HEADER + "Alfa,51.0,71.0,60000,North,1\n"
Ring = list[list[float]]


def box(west: float, south: float, east: float, north: float) -> Ring:
    """Return the ring of a rectangle."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def folder(
    path: Path, *rings: Ring, places: str = TOWN, towers: str = "", **properties: Any
) -> Path:
    """Make a geography folder of a town and one fence."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "places.csv").write_text(places, "utf-8")
    if towers:
        (path / "towers.csv").write_text("lat,lon,position_kind\n" + towers, "utf-8")
    if rings:
        feature = {
            "type": "Feature",
            "properties": {"name": "Khan", "kind": "mall", **properties},
            "geometry": {"type": "Polygon", "coordinates": list(rings)},
        }
        document = {"type": "FeatureCollection", "features": [feature]}
        (path / "fences.geojson").write_text(json.dumps(document), "utf-8")
    return path


def problems(path: Path) -> list[Problem]:
    """Return what is wrong with a folder."""
    with pytest.raises(ScenarioError) as caught:
        read_folder(path)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def built(path: Path, **params: Any) -> Any:
    """Return the geography of a folder."""
    return build_geography(
        GeoParams(folder=path.name, **params), subscribers_represented=60_000, seed=1,
        cache_dir=None, base_dir=path.parent,
    )  # fmt: skip


@pytest.mark.fault("I1")
def test_a_bow_tie_is_refused_with_its_crossing_point(tmp_path: Path) -> None:
    """The point where the ring crosses itself stands in the message, and so does the fence."""
    bow = [[71.0, 51.0], [71.02, 51.02], [71.02, 51.0], [71.0, 51.02], [71.0, 51.0]]
    (problem,) = problems(folder(tmp_path, bow))
    assert "71.01 51.01" in str(problem) and "'Khan'" in str(problem)


NOT_POLYGONS: dict[str, list[Any]] = {
    "empty": [[]],
    "no rings": [],
    "one corner": [[[71.0, 51.0]]],
    "two corners": [[[71.0, 51.0], [71.1, 51.1]]],
    "two corners, closed": [[[71.0, 51.0], [71.1, 51.1], [71.0, 51.0]]],
    "one point four times": [[[71.0, 51.0]] * 4],
    "a line": [[[71.0, 51.0], [71.1, 51.0], [71.2, 51.0], [71.0, 51.0]]],
    "NaN first": [[[float("nan"), 51.0], [71.1, 51.0], [71.1, 51.1], [float("nan"), 51.0]]],
    "NaN within": [[[71.0, 51.0], [71.1, float("nan")], [71.1, 51.1], [71.0, 51.0]]],
    "infinite": [[[71.0, 51.0], [float("inf"), 51.0], [71.1, 51.1], [71.0, 51.0]]],
    "more than a float": [[[71.0, 51.0], [10**400, 51.0], [71.1, 51.1], [71.0, 51.0]]],
    "texts": [[["71", "x"], ["71", "51"], ["72", "51"], ["71", "x"]]],
    "null": [[None, None, None, None]],
}


@pytest.mark.fault("I2")
@pytest.mark.parametrize("what", list(NOT_POLYGONS))
def test_what_is_no_polygon_is_refused_with_the_name_of_its_fence(
    tmp_path: Path, what: str
) -> None:
    """Empty, flat, unfinished or without numbers: one problem, which names the fence."""
    path = folder(tmp_path, [])
    text = (path / "fences.geojson").read_text("utf-8")
    ring = json.dumps(NOT_POLYGONS[what])
    (path / "fences.geojson").write_text(text.replace("[[]]", ring), "utf-8")
    (problem,) = problems(path)
    assert "'Khan'" in problem.message and (problem.path or "").startswith("features[0]")


def test_numbers_of_thousands_of_digits_are_refused(tmp_path: Path) -> None:
    """Python's own limit on digits ends in words, in fences and in sources."""
    folder(tmp_path, box(71.0, 51.0, 71.01, 51.01))
    for name in ("fences.geojson", "sources.json"):
        (tmp_path / name).write_text("[" + "9" * 5_000 + "]", "utf-8")
    assert ["not JSON" in p.message for p in problems(tmp_path)] == [True, True]


@pytest.mark.fault("I3")
def test_the_inside_of_a_hole_is_outside_and_each_edge_belongs_to_one_side(tmp_path: Path) -> None:
    """South and west edges belong to a fence, north and east ones do not; of a hole the reverse."""
    hole = box(71.004, 51.004, 71.006, 51.006)
    (fence,) = read_folder(folder(tmp_path, box(71.0, 51.0, 71.01, 51.01), hole)).fences
    index = FenceIndex.build([mapping(fence.polygon)])
    points = {
        (51.002, 71.002): True, (51.005, 71.005): False, (51.02, 71.005): False,
        (51.002, 71.0): True, (51.0, 71.002): True, (51.002, 71.01): False, (51.01, 71.002): False,
        (51.005, 71.004): False, (51.004, 71.005): False, (51.005, 71.006): True,
        (51.006, 71.005): True,
    }  # fmt: skip
    lat, lon = (np.array(values) for values in zip(*points, strict=True))
    assert (index.locate(lat, lon) == 0).tolist() == list(points.values())
    left, right = shapely.box(71.0, 51.0, 71.01, 51.01), shapely.box(71.01, 51.0, 71.02, 51.01)
    side_by_side = FenceIndex.build([mapping(left), mapping(right)])
    assert side_by_side.locate(np.array([51.005]), np.array([71.01])).tolist() == [1]


@pytest.mark.fault("I4")
def test_a_fence_across_180_degrees_is_right_on_both_sides(tmp_path: Path) -> None:
    """Drawn through or cut in two: the same places are inside, longitude 0 is not, people fit."""
    town = HEADER + "Egvekinot,66.3,179.98,30000,Chukotka,12\n"
    through = folder(tmp_path / "a", box(179.95, 66.28, -179.95, 66.32), places=town)
    text = (through / "fences.geojson").read_text("utf-8")
    document = json.loads(text)
    document["features"][0]["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [[box(179.95, 66.28, 180.0, 66.32)], [box(-180.0, 66.28, -179.95, 66.32)]],
    }
    cut = folder(tmp_path / "b", places=town)
    (cut / "fences.geojson").write_text(json.dumps(document), "utf-8")
    lat = np.array([66.3, 66.3, 66.3, 66.3, 66.3, 66.33])
    lon = np.array([179.97, -179.97, 0.0, 179.94, -179.94, 179.97])
    for path in (through, cut):
        (fence,) = read_folder(path).fences
        index = FenceIndex.build([mapping(fence.polygon)])
        assert index.locate(lat, lon).tolist() == [0, 0, -1, -1, -1, -1]
        made = built(path)
        km2 = 0.1 * 0.04 * 111.195**2 * np.cos(np.radians(66.3))
        assert made.fence_area_m2[0] == pytest.approx(km2 * 1e6, rel=0.01)
        cells = cover(fence.polygon, cover_resolution(float(made.fence_area_m2[0])))
        np.testing.assert_array_equal(np.sort(made.fence_hex_ids), cells)
        assert made.people == 30_000


@pytest.mark.fault("I5")
@pytest.mark.parametrize("what", ["fence", "tower", "places"])
def test_swapped_coordinates_are_refused_with_the_question(tmp_path: Path, what: str) -> None:
    """A fence, a tower, or all places with latitude and longitude swapped: told, and asked."""
    ring, tower, places = box(71.0, 51.0, 71.01, 51.01), "51.01,71.01,mast\n", TOWN
    if what == "fence":
        ring = [[b, a] for a, b in ring]
    elif what == "tower":
        tower += "71.01,51.01,mast\n"
    else:
        places = TOWN.replace("51.0,71.0", "71.0,51.0")
    found = problems(folder(tmp_path, ring, places=places, towers=tower))
    assert all("outside the territory" in p.message and "swapped?" in p.message for p in found)
    assert len(found) == (2 if what == "places" else 1)
    if what == "tower":
        assert found[0].line == 3 and (found[0].file or "").endswith("towers.csv")


@pytest.mark.fault("I6")
@pytest.mark.parametrize("resolution", [-1, 4, 11, 16])
def test_a_resolution_out_of_range_is_refused(resolution: int) -> None:
    """H3 knows 0 to 15, towns need 5 to 10: the range is told."""
    with pytest.raises(ScenarioError, match="from 5 to 10"):
        load("city_day", overrides=[f"geography.resolution={resolution}"])


@pytest.mark.fault("I6", "I9", "H1")
@pytest.mark.parametrize("at", ["91,71", "-91,71", "51,455", "51,-181", "nan,71", "51,inf", ",71"])
def test_a_position_off_the_globe_or_missing_is_refused(tmp_path: Path, at: str) -> None:
    """Places and towers: both are told with their lines."""
    places = TOWN + f"Beta,{at},10,North,1\n"
    found = problems(folder(tmp_path, places=places, towers=f"51,71,mast\n{at},mast\n"))
    assert [((p.file or "").rsplit("/", 1)[1], p.line) for p in found] == [
        ("places.csv", 3), ("towers.csv", 3)
    ]  # fmt: skip
    near = at.replace("inf", "1e309")
    with pytest.raises(ScenarioError):
        load("city_day", overrides=[f"timeline=[{{at_h: 1, do: cell_outage, near: '{near}'}}]"])


@pytest.mark.fault("I7")
def test_a_fence_below_a_hex_or_above_the_territory_is_told(tmp_path: Path) -> None:
    """Below a hex, above all hexes: warnings with numbers; larger still: refused."""
    small = built(folder(tmp_path / "a", box(71.0, 51.0, 71.0003, 51.0003)))
    assert any("1 of 1 fences are smaller than a hex" in told for told in small.warnings)
    large = built(folder(tmp_path / "b", box(70.7, 50.8, 71.3, 51.2)))
    (told,) = [told for told in large.warnings if "spans about" in told]
    assert "'Khan'" in told and f"only {large.n_hex:,}" in told
    (problem,) = problems(folder(tmp_path / "c", box(66.0, 49.0, 76.0, 53.0)))
    assert "unlikely area" in problem.message and "km2" in (problem.found or "")


@pytest.mark.fault("I8")
def test_a_million_corners_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    """Exit 4 with the number found and the limit; the limit itself is read."""

    def circle(n: int) -> Ring:
        angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
        ring = np.stack([71 + 0.01 * np.cos(angle), 51 + 0.01 * np.sin(angle)], axis=1).tolist()
        return [*ring, ring[0]]

    with pytest.raises(LimitError, match="'Khan' has 1,000,001 corners") as caught:
        read_folder(folder(tmp_path, circle(1_000_000)))
    assert caught.value.exit_code == 4 and f"{CORNERS_MAX:,}" in str(caught.value)
    assert len(read_folder(folder(tmp_path, circle(CORNERS_MAX - 1))).fences) == 1


@pytest.mark.fault("I8")
def test_a_country_in_too_small_hexes_is_refused_with_the_estimate() -> None:
    """Russia at resolution 10: exit 4 with the hexes wanted, before one is made."""
    with pytest.raises(LimitError, match=r"8,\d{3},\d{3} hexes of russia") as caught:
        build_geography(
            GeoParams(folder="russia", resolution=10), subscribers_represented=1_000_000, seed=1,
            cache_dir=None,
        )  # fmt: skip
    assert caught.value.exit_code == 4 and "choose 9" in str(caught.value)


@pytest.mark.fault("I9")
def test_a_tower_in_the_sea_and_a_network_without_capacity_are_refused(tmp_path: Path) -> None:
    """A tower far from every place, and cells that carry nothing."""
    (problem,) = problems(folder(tmp_path, towers="51,71,mast\n0,0,mast\n"))
    assert "outside the territory" in problem.message and problem.line == 3
    with pytest.raises(ScenarioError, match="above 0"):
        load("city_day", overrides=["geography.cell_capacity_mbps=0"])


@pytest.mark.fault("I9")
@pytest.mark.parametrize(
    ("bad", "words"),
    [("c1,51.1,71.4", "stands twice"), ("c9,,71.4", "not a cell"), ("c9,nan,71.4", "not a cell"),
     (",51.1,71.4", "not a cell"), ("c9,91,71.4", "not a cell"), ("c9,51.1", "too_few_fields")],
)  # fmt: skip
def test_a_wrong_cell_of_a_recording_is_refused_with_its_line(
    tmp_path: Path, bad: str, words: str
) -> None:
    """The side file of cells: an id twice, no position, no id."""
    events = write_csv(tmp_path / "in", rows(100, days=1))
    (events / "cells.txt").write_text(f"id,lat,lon\nc0,51.0,71.0\nc1,51.1,71.1\n{bad}\n", "utf-8")
    recording = source_mapping(
        top={"cells": {"file": "cells.txt", "key": "id", "lat": "lat", "lon": "lon"}}
    ).recording()
    with pytest.raises(ScenarioError, match=rf"cells\.txt:4: .*{words}"):
        Source(recording, events).spool(tmp_path / "spool", secret=SECRET)
