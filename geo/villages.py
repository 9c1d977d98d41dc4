"""Scatter the residents that no list of places names: small villages between the towns.

This module owns where made-up villages stand: around the smallest listed places and around recorded
towers outside all places, never inside a town. How many people each one gets is a weight that
`geo.people` turns into whole residents. It must not know towns' densities, sites or subscribers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo import bands, hexgrid, randomness
from geo.io import Folder
from sim.core.errors import ScenarioError

VILLAGE_PEOPLE = 600
"""Residents of a made-up village in the mean (A): lists of places end at about 500, and a hex of
resolution 8 holds several hamlets."""

VILLAGE_SIGMA = 0.7
"""Sd of the logarithm of their sizes (A)."""

ANCHOR_PLACE_MAX = 5_000
"""Listed places up to this size have villages around them, in proportion to their residents (A)."""

PIXEL_SHARE = 0.5
"""Share of villages around tower pixels outside all places: networks follow people (A)."""

SPREAD_KM, SPREAD_KM_MAX = 4.0, 15.0
"""Distance of a village from its anchor: exponential with this mean, cut (A)."""

TRIES = 3
"""Positions drawn for each village wanted; those inside a town are left out."""


def scatter(
    folder: Folder, n: int, *, taken: NDArray[np.uint64], resolution: int, seed: int
) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    """Return the cells of about `n` villages and their sizes, > 0, in arbitrary unit.

    Parameters
    ----------
    n : villages wanted, >= 1
    taken : sorted cells of towns and airfields, in which none may stand

    Returns
    -------
    cells (m,) uint64, repeats allowed, and sizes (m,) float64, with 1 <= m <= n

    Raises
    ------
    ScenarioError : towns cover everything around the anchors
    """
    rng = randomness.generator(seed, "geo:villages")
    lat, lon, weight = _anchors(folder, taken, resolution)
    chosen = rng.choice(len(lat), size=n * TRIES, p=weight / weight.sum())
    km = np.minimum(rng.exponential(SPREAD_KM, size=len(chosen)), SPREAD_KM_MAX)
    angle = 2 * np.pi * rng.random(len(chosen))
    at_lat = np.clip(lat[chosen] + km * np.cos(angle) / bands.KM_PER_DEG, -89.0, 89.0)
    turn = km * np.sin(angle) / (bands.KM_PER_DEG * np.cos(np.radians(at_lat)))
    at_lon = (lon[chosen] + turn + 180.0) % 360.0 - 180.0
    cell = hexgrid.cells_at(at_lat, at_lon, resolution)
    free = np.flatnonzero(~np.isin(cell, taken))[:n]
    if not len(free):
        raise ScenarioError(
            "the towns leave no room for dispersed residents",
            path="geography.residents_total",
            found=f"{n:,} villages wanted",
            expected="0, or places with land between them",
        )
    return cell[free], rng.lognormal(sigma=VILLAGE_SIGMA, size=len(free))


def _anchors(
    folder: Folder, taken: NDArray[np.uint64], resolution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return positions and weights of what villages lie around."""
    small = (folder.place_people > 0) & (folder.place_people <= ANCHOR_PLACE_MAX)
    if not small.any():
        small = folder.place_people > 0
    cell = hexgrid.cells_at(folder.tower_lat, folder.tower_lon, resolution)
    pixel = ~np.isin(cell, taken)
    of_places = folder.place_people[small] / folder.place_people[small].sum()
    of_pixels = np.full(int(pixel.sum()), 1.0 / max(int(pixel.sum()), 1))
    return (
        np.concatenate([folder.place_lat[small], folder.tower_lat[pixel]]),
        np.concatenate([folder.place_lon[small], folder.tower_lon[pixel]]),
        np.concatenate([(1.0 - PIXEL_SHARE) * of_places, PIXEL_SHARE * of_pixels]),
    )
