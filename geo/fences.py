"""Gather the fences of a geography: real ones from the folder, made-up ones by town size.

This module owns the fence table, the law by which malls and shops are invented where no data set
has them, and the cover and leak ring of each fence. Invented fences are marked as synthetic and
sized from the footprints of real malls. It must not know cells or who is inside.
"""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geo import bands, hexgrid, people, randomness
from geo.fence_file import Fence, cut_at_180
from geo.geography import FENCE_AIRPORT, FENCE_MALL, FENCE_SHOP
from geo.io import DATA_DIR, Folder
from geo.params import GeoParams

FOOTPRINTS_CSV = DATA_DIR / "reference" / "mall_footprints.csv"
SMALL_TOWN = 100_000
SMALL_TOWN_QUANTILE = 0.75
"""Towns under 100,000 draw malls from the lower three quarters of footprints (A)."""

SHOP_SIDE_M = 15.0
"""Side of an invented shop, m (A)."""


@dataclasses.dataclass(frozen=True)
class FenceTable:
    """Fences in row order; columns as in `geo.geography.Geography`, polygons as shapely."""

    name: tuple[str, ...]
    kind: NDArray[np.uint8]
    iata: tuple[str, ...]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    floor_m2: NDArray[np.float64]
    synthetic: NDArray[np.bool_]
    polygons: tuple[BaseGeometry, ...]

    def __len__(self) -> int:
        return len(self.name)


def local_metres(polygon: BaseGeometry, lat: float, lon: float) -> BaseGeometry:
    """Return a polygon in metres east and north of a position."""
    scale = bands.KM_PER_DEG * 1000.0 * np.array([np.cos(np.radians(lat)), 1.0])

    def metres(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        off = xy - np.array([lon, lat])
        off[:, 0] -= 360.0 * np.sign(off[:, 0]) * (np.abs(off[:, 0]) > 180.0)
        return off * scale

    moved = shapely.transform(polygon, metres)
    # What is cut in two at 180 degrees is one piece again.
    across = polygon.bounds[2] - polygon.bounds[0] > 180.0
    return shapely.union_all(shapely.get_parts(moved)) if across else moved


def from_metres(polygon: BaseGeometry, lat: float, lon: float) -> BaseGeometry:
    """Return a polygon in degrees from metres east and north of a position."""
    scale = bands.KM_PER_DEG * 1000.0 * np.array([np.cos(np.radians(lat)), 1.0])
    return shapely.transform(polygon, lambda xy: xy / scale + np.array([lon, lat]))


def make_table(fences: list[Fence]) -> FenceTable:
    """Return the columns of a list of fences."""
    inner = [fence.polygon.representative_point() for fence in fences]
    lat = np.array([point.y for point in inner], dtype=np.float64)
    lon = np.array([point.x for point in inner], dtype=np.float64)
    area = np.array(
        [
            local_metres(f.polygon, a, o).area
            for f, a, o in zip(fences, lat.tolist(), lon.tolist(), strict=True)
        ],
        dtype=np.float64,
    )
    kind = np.array([fence.kind for fence in fences], dtype=np.uint8)
    levels = np.array([fence.levels for fence in fences], dtype=np.float64)
    return FenceTable(
        name=tuple(fence.name for fence in fences),
        kind=kind,
        iata=tuple(fence.iata for fence in fences),
        lat=lat,
        lon=lon,
        area_m2=area,
        floor_m2=np.where(kind == FENCE_AIRPORT, area, area * levels),
        synthetic=np.array([fence.synthetic for fence in fences], dtype=np.bool_),
        polygons=tuple(fence.polygon for fence in fences),
    )


def read_footprints() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return footprints (m2, ascending) and storeys of the real malls."""
    with FOOTPRINTS_CSV.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    area = np.array([float(row["footprint_m2"]) for row in rows])
    return area, np.array([int(row["levels"]) for row in rows], dtype=np.int64)


def invent_malls(folder: Folder, hexes: people.Hexes, params: GeoParams, seed: int) -> list[Fence]:
    """Return synthetic malls: `malls_per_100k` in every town, less the real ones it has."""
    if params.malls_per_100k == 0:
        return []
    rng = randomness.generator(seed, "geo:malls")
    area, levels = read_footprints()
    spread = hexgrid.hex_area_m2(params.resolution) ** 0.5 * 0.25
    wanted = folder.place_people * params.malls_per_100k / 1e5
    wanted = np.where(folder.place_people >= params.mall_town_min, wanted, 0.0)
    wanted -= _real_malls(folder)
    number = np.floor(np.maximum(wanted, 0.0) + rng.random(len(wanted))).astype(int)
    number[wanted <= 0] = 0
    weight = np.where(hexes.in_airport | hexes.village, 0, hexes.jobs)
    order = np.argsort(hexes.place, kind="stable")
    start = np.searchsorted(hexes.place[order], np.arange(len(wanted) + 1))
    labels = _labels(folder)
    malls: list[Fence] = []
    for p in np.flatnonzero(number):
        rows = order[start[p] : start[p + 1]]
        rows = rows[weight[rows] > 0]
        if not len(rows):
            continue
        n = int(number[p])
        top = 1.0 if folder.place_people[p] >= SMALL_TOWN else SMALL_TOWN_QUANTILE
        quantile = (np.arange(n) + rng.random(n)) / n * top
        chosen = rng.choice(rows, size=n, p=weight[rows] / weight[rows].sum())
        for i in range(n):
            size = min(int(quantile[i] * len(area)), len(area) - 1)
            polygon = _rectangle(
                area_m2=float(area[size]),
                aspect=float(rng.uniform(1.0, 2.0)),
                turn_deg=float(rng.uniform(0.0, 180.0)),
                east_m=float(rng.uniform(-spread, spread)),
                north_m=float(rng.uniform(-spread, spread)),
                lat=float(hexes.lat[chosen[i]]),
                lon=float(hexes.lon[chosen[i]]),
            )
            name = f"{labels[p]} mall {i + 1}"
            malls.append(Fence(name, FENCE_MALL, polygon, "", int(levels[size]), True))
    return malls


def _labels(folder: Folder) -> list[str]:
    """Return a name for each place that no other place has, so that fence names are unique."""
    seen: dict[str, int] = {}
    labels = []
    for name, region in zip(folder.place_names, folder.place_regions, strict=True):
        label = name if name not in seen else f"{name}, {region}"
        while label in seen:
            seen[label] += 1
            label = f"{name}, {region} {seen[label]}"
        seen[label] = 1
        labels.append(label)
    return labels


def _real_malls(folder: Folder) -> NDArray[np.int64]:
    """Return how many malls of the folder are nearest to each place."""
    malls = [fence for fence in folder.fences if fence.kind == FENCE_MALL]
    points = [fence.polygon.centroid for fence in malls]
    near, _ = bands.nearest(
        np.array([point.y for point in points], dtype=np.float64),
        np.array([point.x for point in points], dtype=np.float64),
        bands.make_bands(folder.place_lat, folder.place_lon),
        k=1,
        radii_km=(50.0,),
    )
    return np.bincount(near[near >= 0], minlength=len(folder.place_names))


def invent_shops(folder: Folder, hexes: people.Hexes, params: GeoParams, seed: int) -> list[Fence]:
    """Return `shops` synthetic shops, placed by people and jobs, times the operator's share."""
    if params.shops == 0:
        return []
    rng = randomness.generator(seed, "geo:shops")
    weight = np.where(hexes.in_airport, 0.0, (hexes.people + hexes.jobs) * hexes.share)
    chosen = rng.choice(len(hexes.ids), size=params.shops, p=weight / weight.sum())
    spread = hexgrid.hex_area_m2(params.resolution) ** 0.5 * 0.25
    labels = _labels(folder)
    shops = []
    for i, row in enumerate(chosen):
        polygon = _rectangle(
            area_m2=SHOP_SIDE_M**2,
            aspect=1.0,
            turn_deg=0.0,
            east_m=float(rng.uniform(-spread, spread)),
            north_m=float(rng.uniform(-spread, spread)),
            lat=float(hexes.lat[row]),
            lon=float(hexes.lon[row]),
        )
        town = labels[hexes.place[row]]
        shops.append(Fence(f"{town} shop {i + 1}", FENCE_SHOP, polygon, "", 1, True))
    return shops


def _rectangle(
    *,
    area_m2: float,
    aspect: float,
    turn_deg: float,
    east_m: float,
    north_m: float,
    lat: float,
    lon: float,
) -> BaseGeometry:
    """Return a turned rectangle, in degrees, `east_m` and `north_m` from a position."""
    half_x, half_y = (area_m2 * aspect) ** 0.5 / 2, (area_m2 / aspect) ** 0.5 / 2
    corners = np.array([[-half_x, -half_y], [half_x, -half_y], [half_x, half_y], [-half_x, half_y]])
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ring = corners @ turn + np.array([east_m, north_m])
    degrees = from_metres(shapely.Polygon(ring), lat, lon)
    return shapely.set_precision(degrees, 1e-7)


def covers(
    table: FenceTable,
) -> tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.uint8]]:
    """Return CSR offsets, cells and resolution of the cover of each fence."""
    found, resolutions = [], []
    for polygon, area in zip(table.polygons, table.area_m2.tolist(), strict=True):
        resolution = hexgrid.cover_resolution(area)
        found.append(hexgrid.cover(polygon, resolution))
        resolutions.append(resolution)
    start = np.zeros(len(table) + 1, dtype=np.int32)
    np.cumsum([len(cells) for cells in found], out=start[1:])
    ids = np.concatenate(found) if found else np.empty(0, dtype=np.uint64)
    return start, ids, np.array(resolutions, dtype=np.uint8)


def leak_shares(
    table: FenceTable,
    fence_rows: NDArray[np.int64],
    hex_ids: NDArray[np.uint64],
    *,
    resolution: int,
    leak_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (hex, fence, share of the hex outside the fence that lies within `leak_m` of it).

    Parameters
    ----------
    fence_rows : fences with indoor cells
    hex_ids : (n_hex,) sorted cells of the grid at `resolution`
    """
    at_hex, at_fence, share = [], [], []
    for f in fence_rows.tolist() if leak_m > 0 else []:
        lat, lon = float(table.lat[f]), float(table.lon[f])
        fence = local_metres(table.polygons[f], lat, lon)
        grown = fence.buffer(leak_m, quad_segs=4)
        cells = hexgrid.cover(cut_at_180(from_metres(grown, lat, lon)), resolution)
        rows = np.searchsorted(hex_ids, cells)
        rows = np.minimum(rows, len(hex_ids) - 1)
        for row in rows[hex_ids[rows] == cells].tolist():
            hexagon = local_metres(hexgrid.outline(np.uint64(hex_ids[row])), lat, lon)
            outside = hexagon.difference(fence)
            if outside.area <= 0:
                continue
            near = outside.intersection(grown).area / outside.area
            if near > 0:
                at_hex.append(row)
                at_fence.append(f)
                share.append(near)
    return (
        np.array(at_hex, dtype=np.int64),
        np.array(at_fence, dtype=np.int64),
        np.array(share, dtype=np.float64),
    )
