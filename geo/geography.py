"""Hold everything a run needs to know about places, as NumPy arrays built once.

This module owns the `Geography` record (its columns, units and row orders) and how it is stored
in and read from an `.npz` file. It is made by `geo.territory.build_geography`, is never changed
afterwards, and is handed to actors as plain arrays. It must not know subscribers, ticks, messages
or how any of its arrays were computed.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.core import rng

SITE_REAL_MAST = 0
SITE_ANCHORED = 1
SITE_SYNTHETIC = 2
SITE_INDOOR = 3
SITE_KIND_NAMES = ("real mast", "anchored on recorded towers", "synthetic", "indoor of a fence")

FENCE_MALL = 0
FENCE_AIRPORT = 1
FENCE_SHOP = 2
FENCE_KIND_NAMES = ("mall", "airport", "shop")
MALLS_WITH_OWN_SHOP = 0.5
"""Share of malls in which the operator has a shop of its own (A)."""

N_WORK = 16
N_LEISURE = 8
N_MALL = 4
N_SERVING = 4


@dataclasses.dataclass(frozen=True)
class Geography:
    """Places, people, fences, sites, cells and who is served by what.

    Row numbers are the keys: `hex_ix`, `cell_ix`, `site_ix`, `fence_ix`, `place_ix`, `region_ix`.
    A *spot* is where a phone can be: spots `0 .. n_hex-1` are the hexes (outside every fence),
    spot `n_hex + f` is "inside fence f". All arrays are read-only.

    Attributes
    ----------
    name : folder name of the geography (`astana`, `russia`, ...)
    resolution : H3 resolution of the hexes, 5..10

    hex_id : (n_hex,) uint64, H3 cell, sorted ascending, unique
    hex_lat, hex_lon : (n_hex,) float64, degrees WGS84, centre of the hex
    hex_people : (n_hex,) int64, residents >= 0; sums exactly to the folder's population, or to
        `residents_total` where that is given
    hex_lines : (n_hex,) int64, weight by which lines live there, >= 0: residents times the
        operator's share of the region, rounded
    hex_jobs : (n_hex,) int64, jobs >= 0
    hex_region : (n_hex,) uint16, row of `region_names`
    hex_place : (n_hex,) int32, row of `place_names`: the town that most residents belong to, or
        the nearest one
    hex_village : (n_hex,) bool, True where only made-up villages stand
    region_names : n_region names; a region with several clocks appears once per UTC offset
    region_tz_q : (n_region,) int16, UTC offset in quarter hours (20 = UTC+5), -48..56
    place_names : n_place names, in order of `places.csv`
    place_people : (n_place,) int64, residents of the place in `places.csv`
    place_lat, place_lon : (n_place,) float64, degrees

    hex_work : (n_hex, 16) int32, hexes to work in, equal probability, repeats carry weight
    hex_leisure : (n_hex, 8) int32, hexes for leisure and errands, equal probability
    hex_mall : (n_hex, 4) int32, mall fences (row of fence_*), equal probability; all four are -1
        where no mall lies within 30 km
    hex_airport : (n_hex,) int32, nearest airport fence within 300 km, or -1

    site_lat, site_lon : (n_site,) float64, degrees
    site_kind : (n_site,) uint8, 0 real mast | 1 anchored on a tower pixel or estimate
        | 2 synthetic by density | 3 indoor of a fence
    cell_site : (n_cell,) int32, row of site_*; non-decreasing
    cell_azimuth_deg : (n_cell,) int16, 0..359 clockwise from north, -1 omni or indoor
    cell_rat : (n_cell,) uint8, main technology 2 | 3 | 4 | 5
    cell_capacity_kbps : (n_cell,) int32, sum of user throughput at 100 % load, > 0
    cell_voice_erlang_q : (n_cell,) int32, voice channels (servers of the Erlang group), > 0
    cell_fence : (n_cell,) int32, fence whose inside it serves (`indoor_of`), -1 for a macro cell
    cell_lat, cell_lon : (n_cell,) float64, degrees, centroid of the footprint weighted by people
    cell_region : (n_cell,) uint16, row of `region_names`

    spot_cells : (n_spot, 4) int32, serving cells, most likely first; unused slots repeat the first
    spot_cum : (n_spot, 4) uint16, cumulative probability x 65535, non-decreasing, last = 65535:
        slot k serves when a uniform u16 is <= spot_cum[k] and > spot_cum[k-1]
    spot_lat, spot_lon : (n_spot,) float64, degrees (fence spots: a point inside the polygon)
    spot_hex : (n_spot,) int32, hex of the spot (of itself for a hex)

    fence_name : n_fence names
    fence_kind : (n_fence,) uint8, 0 mall | 1 airport | 2 shop
    fence_iata : n_fence strings, "" where none
    fence_lat, fence_lon : (n_fence,) float64, degrees, inside the polygon
    fence_area_m2 : (n_fence,) float64, ground area of the polygon
    fence_floor_m2 : (n_fence,) float64, area x levels for malls and shops, area for airports
    fence_synthetic : (n_fence,) bool, True where made up at build time
    fence_polygons : n_fence GeoJSON geometry dicts (Polygon or MultiPolygon), for drawing
    fence_hex_start : (n_fence + 1,) int32, CSR offsets into fence_hex_ids
    fence_hex_ids : (m,) uint64, H3 cells overlapping the fence, at `fence_hex_res` each
    fence_hex_res : (n_fence,) uint8, H3 resolution of the cover of each fence, 5..12
    fence_people_prior : (n_fence,) float64, people expected inside, averaged over the day

    cell_fence_start : (n_cell + 1,) int32, CSR offsets into cell_fence_ix / cell_fence_p
    cell_fence_ix : (m,) int32, fence; sorted by p descending within a cell
    cell_fence_p : (m,) uint16, P(inside fence | served by cell) x 65535, >= the threshold

    data_used : tuple of {name, file, licence, attribution, sha256}
    warnings : sentences for the run's log (for instance fences smaller than a hex)
    """

    name: str
    resolution: int

    hex_id: NDArray[np.uint64]
    hex_lat: NDArray[np.float64]
    hex_lon: NDArray[np.float64]
    hex_people: NDArray[np.int64]
    hex_lines: NDArray[np.int64]
    hex_jobs: NDArray[np.int64]
    hex_region: NDArray[np.uint16]
    hex_place: NDArray[np.int32]
    hex_village: NDArray[np.bool_]
    region_names: tuple[str, ...]
    region_tz_q: NDArray[np.int16]
    place_names: tuple[str, ...]
    place_people: NDArray[np.int64]
    place_lat: NDArray[np.float64]
    place_lon: NDArray[np.float64]

    hex_work: NDArray[np.int32]
    hex_leisure: NDArray[np.int32]
    hex_mall: NDArray[np.int32]
    hex_airport: NDArray[np.int32]

    site_lat: NDArray[np.float64]
    site_lon: NDArray[np.float64]
    site_kind: NDArray[np.uint8]
    cell_site: NDArray[np.int32]
    cell_azimuth_deg: NDArray[np.int16]
    cell_rat: NDArray[np.uint8]
    cell_capacity_kbps: NDArray[np.int32]
    cell_voice_erlang_q: NDArray[np.int32]
    cell_fence: NDArray[np.int32]
    cell_lat: NDArray[np.float64]
    cell_lon: NDArray[np.float64]
    cell_region: NDArray[np.uint16]

    spot_cells: NDArray[np.int32]
    spot_cum: NDArray[np.uint16]
    spot_lat: NDArray[np.float64]
    spot_lon: NDArray[np.float64]
    spot_hex: NDArray[np.int32]

    fence_name: tuple[str, ...]
    fence_kind: NDArray[np.uint8]
    fence_iata: tuple[str, ...]
    fence_lat: NDArray[np.float64]
    fence_lon: NDArray[np.float64]
    fence_area_m2: NDArray[np.float64]
    fence_floor_m2: NDArray[np.float64]
    fence_synthetic: NDArray[np.bool_]
    fence_polygons: tuple[dict[str, Any], ...]
    fence_hex_start: NDArray[np.int32]
    fence_hex_ids: NDArray[np.uint64]
    fence_hex_res: NDArray[np.uint8]
    fence_people_prior: NDArray[np.float64]

    cell_fence_start: NDArray[np.int32]
    cell_fence_ix: NDArray[np.int32]
    cell_fence_p: NDArray[np.uint16]

    data_used: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def n_hex(self) -> int:
        """Number of hexes."""
        return len(self.hex_id)

    @property
    def n_site(self) -> int:
        """Number of sites, indoor ones included."""
        return len(self.site_lat)

    @property
    def n_cell(self) -> int:
        """Number of radio cells, indoor ones included."""
        return len(self.cell_site)

    @property
    def n_fence(self) -> int:
        """Number of geofences."""
        return len(self.fence_kind)

    @property
    def n_spot(self) -> int:
        """Number of spots: hexes, then insides of fences."""
        return len(self.spot_hex)

    @property
    def n_region(self) -> int:
        """Number of regions."""
        return len(self.region_names)

    @property
    def clock_tz_q(self) -> int:
        """UTC offset, quarter hours, of the largest region: the clock of the scenario."""
        residents = np.bincount(self.hex_region, weights=self.hex_people)
        return int(self.region_tz_q[int(np.argmax(residents))])

    @property
    def people(self) -> int:
        """Residents of the whole folder."""
        return int(self.hex_people.sum())


def own_shops(geography: Geography) -> NDArray[np.uint8]:
    """Return (n_fence,) 1 for shops of ours and for malls that hold one, chosen by their names."""
    share = rng.threshold(MALLS_WITH_OWN_SHOP)
    holds = [
        kind == FENCE_SHOP or (kind == FENCE_MALL and rng.name_id("own shop:" + name) < share)
        for name, kind in zip(geography.fence_name, geography.fence_kind, strict=True)
    ]
    return np.array(holds or [False], dtype=np.uint8)


def save_geography(geography: Geography, path: Path) -> None:
    """Write `geography` to an `.npz` file without pickle, atomically.

    Texts and dicts travel as UTF-8 JSON in one uint8 array.
    """
    arrays: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for field in dataclasses.fields(geography):
        value = getattr(geography, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        else:
            texts[field.name] = value
    blob = json.dumps(texts, ensure_ascii=False).encode("utf-8")
    arrays["texts"] = np.frombuffer(blob, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{_process_tag()}.part.npz")
    with part.open("wb") as handle:
        np.savez(handle, **arrays)
    part.replace(path)


def load_geography(path: Path) -> Geography:
    """Read what `save_geography` wrote; raises `KeyError`, `ValueError` or `OSError` if damaged."""
    with np.load(path, allow_pickle=False) as stored:
        texts = json.loads(stored["texts"].tobytes().decode("utf-8"))
        values: dict[str, Any] = {}
        for field in dataclasses.fields(Geography):
            if field.name in texts:
                value = texts[field.name]
                values[field.name] = tuple(value) if isinstance(value, list) else value
            else:
                values[field.name] = stored[field.name]
    return Geography(**values)


def _process_tag() -> str:
    """Tell apart two processes that write the same cache file at once."""
    import os

    return str(os.getpid())
