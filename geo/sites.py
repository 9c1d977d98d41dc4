"""Lay out sites, sectors and radio cells.

This module owns how many sites there are, where they stand (recorded positions first, then a
hard-core sample of the density), and the technology, capacity and azimuth of every cell. Indoor
cells of airports and large malls are cells too; several installations in one building are merged
into at most three of them. It must not know who is served by what.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from geo import bands, hexgrid, randomness
from geo.fences import FenceTable
from geo.geography import (
    FENCE_AIRPORT,
    FENCE_MALL,
    SITE_ANCHORED,
    SITE_INDOOR,
    SITE_REAL_MAST,
    SITE_SYNTHETIC,
)
from geo.io import POSITION_KINDS, Folder
from geo.params import GeoParams
from geo.people import Hexes
from sim.core.errors import ScenarioError

PIXEL_JITTER_DEG = 0.005
"""Half a pixel of the 0.01 degree presence grid: positions are known no better."""

SITE_CLASSES = (
    (1_000_000, 1500.0),
    (250_000, 1400.0),
    (50_000, 1300.0),
    (5_000, 1100.0),
    (0, 1600.0),
)
"""(residents of the place from, subscribers per site): towns need more sites a head than the
biggest cities, villages fewer (C, from 78 M subscribers on 55,000 sites)."""

SPACING_ISD = 0.5
SPACING_KM_MAX = 4.0
"""Least distance of invented sites: half the local inter-site distance, at most 4 km."""

RAT_SHARES = ((5, 0.03), (4, 0.92), (3, 0.02), (2, 0.03))
RAT_5G_PLACE_MIN = 250_000
"""Main technology of a site: 4G on 95 % of sites, 5G 1-5 % and only in large towns (A)."""

RAT_CAPACITY = {2: 0.01, 3: 0.2, 4: 1.0, 5: 4.0}
"""Throughput at full load against an LTE cell of 80 MHz over three sectors (A)."""

RAT_VOICE_CHANNELS = {2: 30, 3: 60, 4: 120, 5: 160}
"""Simultaneous calls: 4 carriers of 7.5 GSM channels; 60 in 5 MHz WCDMA; VoLTE, VoNR (A)."""

INDOOR_CELLS_MAX = 3
"""Cell records of one fence: the serving table has four slots and the street keeps one."""

MALL_INSTALLATION_M2 = 7_500.0
"""Floor served by one indoor installation of a mall, m2: 5,000-10,000 (A)."""

AIRPORT_TERMINAL_SHARE = 0.25
AIRPORT_INSTALLATION_M2 = 500_000.0
"""A quarter of an airfield is terminal side, with one installation per 0.5 km2, at least two."""


SPACE_RESOLUTION = 9
"""H3 resolution along which sites are numbered."""

INT32_MAX = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Network:
    """Sites and cells; columns as in `geo.geography.Geography`.

    Macro sites come first and own the same number of consecutive cells each, then one indoor site
    per fence that has any. `fence_cell_first` and `fence_cells` (both (n_fence,) int64) say which
    cells serve the inside of a fence; `n_macro` counts macro sites.
    """

    site_lat: NDArray[np.float64]
    site_lon: NDArray[np.float64]
    site_kind: NDArray[np.uint8]
    cell_site: NDArray[np.int32]
    cell_azimuth_deg: NDArray[np.int16]
    cell_rat: NDArray[np.uint8]
    cell_capacity_kbps: NDArray[np.int32]
    cell_voice_channels: NDArray[np.int32]
    cell_fence: NDArray[np.int32]
    fence_cell_first: NDArray[np.int64]
    fence_cells: NDArray[np.int64]
    n_macro: int
    sectors: int


def indoor_plan(
    table: FenceTable, params: GeoParams
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (n_fence,) indoor cells and installations merged into them; 0 where none."""
    malls = (table.kind == FENCE_MALL) & (table.floor_m2 >= params.indoor_min_m2)
    airports = table.kind == FENCE_AIRPORT
    mall_n = np.maximum(np.rint(table.floor_m2 / MALL_INSTALLATION_M2), 1)
    airport_n = np.maximum(
        np.rint(table.area_m2 * AIRPORT_TERMINAL_SHARE / AIRPORT_INSTALLATION_M2), 2
    )
    installed = np.where(malls, mall_n, np.where(airports, airport_n, 0)).astype(np.int64)
    # Two installations make one cell record up to 15,000 m2, four make two, more make three.
    cells = np.where(malls, np.ceil(installed / 2), installed)
    return np.minimum(cells, INDOOR_CELLS_MAX).astype(np.int64), installed


def lay_out(
    folder: Folder,
    hexes: Hexes,
    table: FenceTable,
    params: GeoParams,
    *,
    subscribers_represented: int,
    seed: int,
) -> Network:
    """Return the network for so many subscribers."""
    indoor, installed = indoor_plan(table, params)
    n_sites = site_count(params, subscribers_represented, n_indoor=int(indoor.sum()))
    lat, lon, kind = _in_space_order(
        *_macro_sites(folder, hexes, params, n_sites=n_sites, seed=seed)
    )
    rat = _technology(folder, hexes, lat, lon, seed)
    rng = randomness.generator(seed, "geo:azimuths")
    first = rng.integers(0, 360, size=len(lat))
    azimuth = (first[:, None] + np.arange(params.sectors) * 360 // params.sectors) % 360
    if params.sectors == 1:
        azimuth[:] = -1
    inside = np.flatnonzero(indoor)
    fence_of = np.repeat(inside, indoor[inside])
    site_of = np.repeat(np.arange(len(inside)), indoor[inside])
    merged = np.repeat(np.ceil(installed[inside] / indoor[inside]), indoor[inside])
    cell_rat = np.concatenate([np.repeat(rat, params.sectors), np.full(len(fence_of), 4)])
    factor = np.concatenate([np.ones(len(lat) * params.sectors), merged])
    first_cell = np.zeros(len(table), dtype=np.int64)
    first_cell[inside] = len(lat) * params.sectors + np.cumsum(indoor[inside]) - indoor[inside]
    capacity = np.vectorize(RAT_CAPACITY.get)(cell_rat) * params.cell_capacity_mbps * 1000.0
    voice = np.vectorize(RAT_VOICE_CHANNELS.get)(cell_rat)
    return Network(
        site_lat=np.concatenate([lat, table.lat[inside]]),
        site_lon=np.concatenate([lon, table.lon[inside]]),
        site_kind=np.concatenate([kind, np.full(len(inside), SITE_INDOOR)]).astype(np.uint8),
        cell_site=np.concatenate(
            [np.repeat(np.arange(len(lat)), params.sectors), len(lat) + site_of]
        ).astype(np.int32),
        cell_azimuth_deg=np.concatenate([azimuth.ravel(), np.full(len(fence_of), -1)]).astype(
            np.int16
        ),
        cell_rat=cell_rat.astype(np.uint8),
        # A mall drawn as large as a town merges more installations than 32 bits hold kbit/s.
        cell_capacity_kbps=np.clip(np.rint(capacity * factor), 1, INT32_MAX).astype(np.int32),
        cell_voice_channels=np.minimum(np.rint(voice * factor), INT32_MAX).astype(np.int32),
        cell_fence=np.concatenate([np.full(len(lat) * params.sectors, -1), fence_of]).astype(
            np.int32
        ),
        fence_cell_first=first_cell,
        fence_cells=indoor,
        n_macro=len(lat),
        sectors=params.sectors,
    )


def _in_space_order(
    lat: NDArray[np.float64], lon: NDArray[np.float64], kind: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Return the sites along the curve of H3, in which near sites, hence near cells, are near rows.

    Lines are numbered along the same curve: the tables of cells are then walked, not jumped about.
    """
    order = np.lexsort((lon, lat, hexgrid.cells_at(lat, lon, SPACE_RESOLUTION)))
    return lat[order], lon[order], kind[order]


def site_count(params: GeoParams, subscribers_represented: int, *, n_indoor: int) -> int:
    """Return the number of macro sites, at least 1, within `cells_max`."""
    wanted = max(1, round(subscribers_represented / 1e6 * params.sites_per_million))
    if params.cells_max is None:
        return wanted
    room = (params.cells_max - n_indoor) // params.sectors
    if room < 1:
        raise ScenarioError(
            "no room for a macro site beside the indoor cells",
            path="geography.cells_max",
            found=params.cells_max,
            expected=f"at least {n_indoor + params.sectors}",
        )
    return min(wanted, room)


def _macro_sites(
    folder: Folder, hexes: Hexes, params: GeoParams, *, n_sites: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Return positions and kinds of macro sites: recorded towers first, then by density."""
    rng = randomness.generator(seed, "geo:sites")
    lat, lon, kind = _recorded_sites(folder, hexes, n_sites, rng)
    n_extra = n_sites - len(lat)
    if n_extra <= 0:
        return lat, lon, kind
    weight = site_weight(folder, hexes)
    share = weight / weight.sum()
    area_km2 = hexgrid.hex_area_m2(params.resolution) / 1e6
    # Hexagonal lattice: ISD = sqrt(2 / (sqrt(3) x density)).
    isd_km = np.sqrt(2 / np.sqrt(3) * area_km2 / np.maximum(n_sites * share, 1e-9))
    chosen = rng.choice(len(share), size=n_extra * 6 + 50, p=share)
    reach_km = np.sqrt(area_km2 / np.pi)
    distance = reach_km * np.sqrt(rng.random(len(chosen)))
    angle = 2 * np.pi * rng.random(len(chosen))
    new_lat = hexes.lat[chosen] + distance * np.cos(angle) / bands.KM_PER_DEG
    new_lon = hexes.lon[chosen] + distance * np.sin(angle) / (
        bands.KM_PER_DEG * np.cos(np.radians(hexes.lat[chosen]))
    )
    spacing = np.minimum(SPACING_ISD * isd_km, SPACING_KM_MAX)[chosen]
    all_lat = np.concatenate([lat, new_lat])
    all_lon = np.concatenate([lon, new_lon])
    kept = bands.hard_core(
        all_lat,
        all_lon,
        np.concatenate([np.zeros(len(lat)), spacing]),
        fixed=len(lat),
        n_want=n_sites,
    )
    kinds = np.concatenate([kind, np.full(len(chosen), SITE_SYNTHETIC, dtype=np.uint8)])
    return all_lat[kept], all_lon[kept], kinds[kept]


def _recorded_sites(
    folder: Folder, hexes: Hexes, n_sites: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Return sites at recorded towers; where there are too many, those with most people near."""
    n = len(folder.tower_lat)
    pixel = folder.tower_kind == POSITION_KINDS.index("pixel")
    jitter = np.where(pixel[:, None], rng.uniform(-1, 1, size=(n, 2)) * PIXEL_JITTER_DEG, 0.0)
    lat, lon = folder.tower_lat + jitter[:, 0], folder.tower_lon + jitter[:, 1]
    mast = folder.tower_kind == POSITION_KINDS.index("mast")
    kind = np.where(mast, SITE_REAL_MAST, SITE_ANCHORED).astype(np.uint8)
    gumbel = rng.gumbel(size=n)
    if n <= n_sites:
        return lat, lon, kind
    near, _ = bands.nearest(
        hexes.lat, hexes.lon, bands.make_bands(lat, lon), k=1, radii_km=(3.0, 30.0)
    )
    ok = near[:, 0] >= 0
    served = np.bincount(near[ok, 0], weights=hexes.people[ok], minlength=n)
    # Gumbel top-k: a draw without replacement in proportion to the people served.
    best = np.sort(np.argsort(-(np.log(served + 1.0) + gumbel), kind="stable")[:n_sites])
    return lat[best], lon[best], kind[best]


def site_weight(folder: Folder, hexes: Hexes) -> NDArray[np.float64]:
    """Return (n_hex,) sites wanted by the lines of a hex, in arbitrary unit, sum > 0."""
    size = np.where(hexes.village, 0, folder.place_people[hexes.place])
    per_site = np.select(
        [size >= low for low, _ in SITE_CLASSES], [subs for _, subs in SITE_CLASSES]
    )
    wanted = (0.7 * hexes.people + 0.3 * hexes.jobs / 0.416) * hexes.share
    return wanted / per_site + 1e-12


def _technology(
    folder: Folder,
    hexes: Hexes,
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    seed: int,
) -> NDArray[np.int64]:
    """Return the main technology, 2..5, of each macro site."""
    rng = randomness.generator(seed, "geo:technology")
    near, _ = bands.nearest(
        lat,
        lon,
        bands.make_bands(hexes.lat, hexes.lon),
        k=1,
        radii_km=(3.0, 30.0, 300.0, 20000.0),
    )
    town = folder.place_people[hexes.place[np.maximum(near[:, 0], 0)]]
    rats = np.array([rat for rat, _ in RAT_SHARES])
    edges = np.cumsum([share for _, share in RAT_SHARES])
    rat = rats[np.minimum(np.searchsorted(edges, rng.random(len(lat)), side="right"), 3)]
    return np.where((rat == 5) & (town < RAT_5G_PLACE_MIN), 4, rat)
