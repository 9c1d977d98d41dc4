"""Draw, once, where the people of a hex work, spend free time, shop and fly.

This module owns the gravity tables of the geography: work, leisure, mall and airport candidates of
every hex, each entry equally likely. They are the anchors among which actors choose by subscriber.
It must not know subscribers, hours or diaries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo import bands, randomness
from geo.fences import FenceTable
from geo.geography import FENCE_AIRPORT, FENCE_MALL, N_LEISURE, N_MALL, N_WORK
from geo.people import Hexes

WORK_OFFSET_KM, WORK_EXPONENT, WORK_RADIUS_KM = 1.5, 1.75, 40.0
"""Work: jobs x (d + 1.5 km)^-1.75, Gonzalez et al. 2008 (V); nobody commutes over 40 km (A)."""

LEISURE_OFFSET_KM, LEISURE_EXPONENT, LEISURE_RADIUS_KM = 0.5, 2.0, 15.0
LEISURE_PEOPLE_WEIGHT = 0.3
"""Leisure: (jobs + 0.3 people) x (d + 0.5 km)^-2 within 15 km: shorter than work (A)."""

MALL_OFFSET_KM, MALL_EXPONENT, MALL_RADIUS_KM = 1.0, 2.0, 30.0
"""Malls: floor x (d + 1 km)^-2, the retail gravity of Reilly and Huff (M), within 30 km."""

AIRPORT_RADIUS_KM = 300.0


def work_and_leisure(hexes: Hexes, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (n_hex, 16) work hexes and (n_hex, 8) leisure hexes; own hex where none is near."""
    rng = randomness.generator(seed, "geo:mobility")
    points = bands.make_bands(hexes.lat, hexes.lon)
    work = bands.gravity_draws(
        hexes.lat,
        hexes.lon,
        points,
        hexes.jobs.astype(np.float64),
        k=N_WORK,
        radius_km=WORK_RADIUS_KM,
        offset_km=WORK_OFFSET_KM,
        exponent=WORK_EXPONENT,
        u=rng.random(len(hexes.ids)),
    )
    leisure = bands.gravity_draws(
        hexes.lat,
        hexes.lon,
        points,
        hexes.jobs + LEISURE_PEOPLE_WEIGHT * hexes.people,
        k=N_LEISURE,
        radius_km=LEISURE_RADIUS_KM,
        offset_km=LEISURE_OFFSET_KM,
        exponent=LEISURE_EXPONENT,
        u=rng.random(len(hexes.ids)),
    )
    own = np.arange(len(hexes.ids))[:, None]
    return (
        np.where(work >= 0, work, own).astype(np.int32),
        np.where(leisure >= 0, leisure, own).astype(np.int32),
    )


def malls_and_airports(
    hexes: Hexes, table: FenceTable, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (n_hex, 4) mall fences and (n_hex,) nearest airport fence; -1 where none."""
    rng = randomness.generator(seed, "geo:malls-of-hex")
    malls = np.flatnonzero(table.kind == FENCE_MALL)
    drawn = bands.gravity_draws(
        hexes.lat,
        hexes.lon,
        bands.make_bands(table.lat[malls], table.lon[malls]),
        table.floor_m2[malls],
        k=N_MALL,
        radius_km=MALL_RADIUS_KM,
        offset_km=MALL_OFFSET_KM,
        exponent=MALL_EXPONENT,
        u=rng.random(len(hexes.ids)),
    )
    airports = np.flatnonzero(table.kind == FENCE_AIRPORT)
    near, _ = bands.nearest(
        hexes.lat,
        hexes.lon,
        bands.make_bands(table.lat[airports], table.lon[airports]),
        k=1,
        radii_km=(30.0, 100.0, AIRPORT_RADIUS_KM),
    )
    return _rows_of(malls, drawn), _rows_of(airports, near[:, 0])


def _rows_of(fences: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return fence rows of positions in `fences`, -1 kept."""
    if not len(fences):
        return np.full(found.shape, -1, dtype=np.int32)
    return np.where(found >= 0, fences[found], -1).astype(np.int32)
