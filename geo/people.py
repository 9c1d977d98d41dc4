"""Place residents and jobs on hexes.

This module owns the density model of towns, the integer shares that conserve every resident, and
which hexes exist at all. Density falls off exponentially from the centre of a place with a
log-normal roughness, and jobs are nearer the centre and much rougher than homes. The operator's
share of each region is drawn here too. It must not know sites, cells, movement or lines.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from geo import bands, hexgrid, randomness, villages
from geo.io import Folder
from sim.core.errors import LimitError, ScenarioError

TOWN_RADIUS_KM = 0.6
TOWN_RADIUS_EXPONENT = 0.45
"""R = 0.6 km x (population / 1000)^0.45: 16 km for 1.5 million, 4.8 km for 100,000 (A)."""

PEOPLE_SCALE = 0.35
"""Residents fall off as exp(-d / (0.35 R)), cut at R (A)."""

JOBS_SCALE = 0.2
"""Jobs fall off as exp(-d / (0.2 R)): they concentrate much more than homes (C, Porto Alegre)."""

PEOPLE_ROUGHNESS = 0.4
JOBS_ROUGHNESS = 1.0
"""Sd of the log-normal roughness per hex; the top tenth of hexes then holds 44 % of residents
of Astana and 39 % of Russia, against 30 % in Porto Alegre (C)."""

JOBS_PER_RESIDENT = 0.416
"""337,921 jobs for 812,935 residents, Porto Alegre (C)."""

TOWER_PULL_KM = 1.5
TOWER_PULL_NEAREST = 16
"""Recorded towers raise density by sqrt(1 + sum of exp(-(d / 1.5 km)^2)) over the nearest 16:
networks are built where people are; 79 % of residents live within 2 km of a pixel (C)."""

HEXES_MAX = 4_000_000
"""Hexes of all places together: Russia has 1.3 million at resolution 9, 8.4 million at 10."""

AIRPORT_JOBS_PER_KM2 = 400.0
"""Staff per km2 of airfield: 1,200 at a 3 km2 airport (A)."""


@dataclasses.dataclass(frozen=True)
class Hexes:
    """Inhabited or needed hexes, sorted by id; columns as in `geo.geography.Geography`.

    `village` marks hexes outside every listed place in which made-up villages stand; `share` is the
    operator's share of the region against its share of the whole, 1.0 in the mean of residents.
    """

    ids: NDArray[np.uint64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    people: NDArray[np.int64]
    jobs: NDArray[np.int64]
    place: NDArray[np.int32]
    in_airport: NDArray[np.bool_]
    village: NDArray[np.bool_]
    share: NDArray[np.float64]


def town_radius_km(population: NDArray[np.int64] | float) -> NDArray[np.float64]:
    """Return the radius of a place of so many residents, km."""
    return TOWN_RADIUS_KM * (np.asarray(population, dtype=np.float64) / 1000.0) ** (
        TOWN_RADIUS_EXPONENT
    )


def check_size(folder: Folder, *, resolution: int, residents_total: int) -> None:
    """Refuse more hexes than can be built, and a total below that of the places."""
    _require_few(folder, resolution)
    listed = int(folder.place_people.sum())
    if 0 < residents_total < listed:
        raise ScenarioError(
            "fewer residents than the places have",
            path="geography.residents_total",
            found=residents_total,
            expected=f"0, or at least {listed}",
        )


def settle(
    folder: Folder,
    *,
    resolution: int,
    seed: int,
    airport_cells: NDArray[np.uint64],
    needed_cells: NDArray[np.uint64],
    residents_total: int = 0,
    market_share_sigma: float = 0.0,
) -> Hexes:
    """Return hexes with residents and jobs; residents of every place are conserved.

    Parameters
    ----------
    folder : places with positions and populations
    airport_cells : sorted unique cells in which nobody lives
    needed_cells : sorted unique cells that must exist even without people
    residents_total : residents of the territory; those that no place has live in villages
    market_share_sigma : sd of the logarithm of the operator's share by region
    """
    check_size(folder, resolution=resolution, residents_total=residents_total)
    cell, place, km = _disks(folder, resolution)
    ids, at = np.unique(cell, return_inverse=True)
    in_airport = np.isin(ids, airport_cells)
    radius = town_radius_km(folder.place_people)[place]
    radius = np.maximum(radius, 1e-3)
    rng = randomness.generator(seed, "geo:roughness")
    rough_people = np.exp(PEOPLE_ROUGHNESS * rng.standard_normal(len(ids)))
    rough_jobs = np.exp(JOBS_ROUGHNESS * rng.standard_normal(len(ids)))
    pull = _tower_pull(folder, ids)
    weight = np.exp(-km / (PEOPLE_SCALE * radius)) * (rough_people * pull)[at]
    # A place wholly inside an airport keeps its people: the factor cancels out.
    weight = np.where(in_airport[at], weight * 1e-9, weight)
    people = apportion(weight, place, folder.place_people)
    job_weight = np.exp(-km / (JOBS_SCALE * radius)) * (rough_jobs * pull)[at]
    jobs_wanted = np.rint(folder.place_people * JOBS_PER_RESIDENT).astype(np.int64)
    jobs = apportion(job_weight, place, jobs_wanted)

    far, far_people = _dispersed(
        folder, residents_total, np.union1d(ids, airport_cells), resolution, seed
    )

    all_ids = np.unique(np.concatenate([ids, needed_cells, airport_cells, far]))
    row = np.searchsorted(all_ids, ids)[at]
    far_row = np.searchsorted(all_ids, far)
    hex_people = _sum_at(row, people, len(all_ids)) + _sum_at(far_row, far_people, len(all_ids))
    hex_jobs = _sum_at(row, jobs, len(all_ids))
    far_jobs = np.rint(far_people * JOBS_PER_RESIDENT).astype(np.int64)
    hex_jobs += _sum_at(far_row, far_jobs, len(all_ids))
    airport = np.isin(all_ids, airport_cells)
    staff = AIRPORT_JOBS_PER_KM2 * hexgrid.hex_area_m2(resolution) / 1e6
    hex_jobs[airport] += round(staff)
    keep = (hex_people > 0) | (hex_jobs > 0) | np.isin(all_ids, needed_cells)
    lat, lon = hexgrid.centres(all_ids[keep])
    main = _main_place(folder, lat, lon, row, people + jobs, place, keep)
    return Hexes(
        ids=all_ids[keep],
        lat=lat,
        lon=lon,
        people=hex_people[keep],
        jobs=hex_jobs[keep],
        place=main,
        in_airport=airport[keep],
        village=np.isin(all_ids[keep], far),
        share=_shares(folder, main, hex_people[keep], market_share_sigma, seed),
    )


def _dispersed(
    folder: Folder, residents_total: int, taken: NDArray[np.uint64], resolution: int, seed: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return cells and residents of the villages that make up the total; none where it is 0."""
    listed = int(folder.place_people.sum())
    if residents_total == 0:
        return taken[:0], np.zeros(0, dtype=np.int64)
    missing = residents_total - listed
    if missing == 0:
        return taken[:0], np.zeros(0, dtype=np.int64)
    wanted = max(1, round(missing / villages.VILLAGE_PEOPLE))
    cell, size = villages.scatter(folder, wanted, taken=taken, resolution=resolution, seed=seed)
    group = np.zeros(len(cell), dtype=np.int64)
    return cell, apportion(size, group, np.array([missing], dtype=np.int64))


def _shares(
    folder: Folder, place: NDArray[np.int32], hex_people: NDArray[np.int64], sigma: float, seed: int
) -> NDArray[np.float64]:
    """Return (n_hex,) the operator's share of a hex's region over that of the whole."""
    if sigma == 0:
        return np.ones(len(place))
    draw = {
        name: float(randomness.generator(seed, f"geo:market share of {name}").standard_normal())
        for name in sorted(set(folder.place_regions))
    }
    share = np.exp(sigma * np.array([draw[name] for name in folder.place_regions]))[place]
    return share * (hex_people.sum() / (hex_people * share).sum())


def _tower_pull(folder: Folder, ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the factor, >= 1, by which recorded towers raise the density of (n,) cells."""
    lat, lon = hexgrid.centres(ids)
    towers = bands.make_bands(folder.tower_lat, folder.tower_lon)
    _, km = bands.nearest(lat, lon, towers, k=TOWER_PULL_NEAREST, radii_km=(2.5 * TOWER_PULL_KM,))
    return np.sqrt(1.0 + np.exp(-((km / TOWER_PULL_KM) ** 2)).sum(axis=1))


def _disks(
    folder: Folder, resolution: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (cell, place, distance in km) for every cell within R of every place."""
    cells, places, distances = [], [], []
    for i in range(len(folder.place_names)):
        if folder.place_people[i] <= 0:
            continue
        lat, lon = float(folder.place_lat[i]), float(folder.place_lon[i])
        radius_km = float(town_radius_km(float(folder.place_people[i])))
        found = hexgrid.disk(lat, lon, radius_km, resolution)
        cell_lat, cell_lon = hexgrid.centres(found)
        turn = (cell_lon - lon + 180.0) % 360.0 - 180.0
        dx = turn * np.cos(np.radians((cell_lat + lat) / 2))
        km = bands.KM_PER_DEG * np.hypot(dx, cell_lat - lat)
        inside = km <= radius_km
        inside[np.argmin(km)] = True
        cells.append(found[inside])
        places.append(np.full(int(inside.sum()), i))
        distances.append(km[inside])
    return np.concatenate(cells), np.concatenate(places), np.concatenate(distances)


def hexes_wanted(folder: Folder, resolution: int) -> int:
    """Return about how many hexes the disks of all places have."""
    radius = town_radius_km(folder.place_people[folder.place_people > 0])
    return int(hexgrid.disk_size(radius, resolution).sum())


def _require_few(folder: Folder, resolution: int) -> None:
    """Raise `LimitError` where the disks of all places have more hexes than can be built."""
    wanted = hexes_wanted(folder, resolution)
    if wanted > HEXES_MAX:
        raise LimitError(
            f"geography.resolution {resolution} makes about {wanted:,} hexes of {folder.path.name},"
            f" at most {HEXES_MAX:,} can be built: choose {resolution - 1} or less"
        )


def apportion(
    weight: NDArray[np.float64], group: NDArray[np.int64], totals: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Split whole `totals` over rows in proportion to weight, exactly (largest remainders).

    Parameters
    ----------
    weight : (n,) > 0; group : (n,) row of `totals`; totals : (n_groups,) int64 >= 0

    Returns
    -------
    (n,) int64, summing to `totals` within each group that has rows
    """
    sums = np.bincount(group, weights=weight, minlength=len(totals))
    exact = weight / sums[group] * totals[group]
    whole = np.floor(exact).astype(np.int64)
    left = totals - _sum_at(group, whole, len(totals))
    order = np.lexsort((-(exact - whole), group))
    start = np.searchsorted(group[order], np.arange(len(totals)))
    rank = np.arange(len(group)) - start[group[order]]
    whole[order] += rank < left[group[order]]
    return whole


def _sum_at(row: NDArray[np.int64], value: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the integer sum of values by row."""
    out = np.zeros(n, dtype=np.int64)
    np.add.at(out, row, value)
    return out


def _main_place(
    folder: Folder,
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    row: NDArray[np.int64],
    share: NDArray[np.int64],
    place: NDArray[np.int64],
    keep: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Return the place that gives a hex most residents and jobs, else the nearest place."""
    main = np.full(len(keep), -1, dtype=np.int64)
    order = np.lexsort((-place, share))
    main[row[order]] = np.where(share[order] > 0, place[order], -1)
    main = main[keep]
    bare = np.flatnonzero(main < 0)
    near, _ = bands.nearest(
        lat[bare],
        lon[bare],
        bands.make_bands(folder.place_lat, folder.place_lon),
        k=1,
        radii_km=(30.0, 300.0, 3000.0, 20000.0),
    )
    main[bare] = np.maximum(near[:, 0], 0)
    return main.astype(np.int32)


def regions_of(
    folder: Folder, hex_place: NDArray[np.int32]
) -> tuple[NDArray[np.uint16], tuple[str, ...], NDArray[np.int16]]:
    """Return region rows of hexes, region names, and offsets; one region per name and clock."""
    keys = sorted(set(zip(folder.place_regions, folder.place_tz_q.tolist(), strict=True)))
    names = []
    for name, tz_q in keys:
        clocks = [t for n, t in keys if n == name]
        names.append(name if len(clocks) == 1 else f"{name} (UTC{tz_q / 4:+g})")
    row_of = {key: i for i, key in enumerate(keys)}
    place_region = np.array(
        [row_of[key] for key in zip(folder.place_regions, folder.place_tz_q.tolist(), strict=True)],
        dtype=np.uint16,
    )
    tz_q = np.array([tz for _, tz in keys], dtype=np.int16)
    return place_region[hex_place], tuple(names), tz_q
