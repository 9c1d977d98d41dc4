"""Serve hexes that are larger than the cells in them.

This module owns what changes on coarse grids (H3 r8 and coarser), where a hex of a big town holds
more cells than the four of the serving table: several points are looked at per hex, four cells are
drawn so that each keeps its share on average, and cells that no hex uses lend their capacity to
the nearest used one. It must not know people or fences.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geo import bands, hexgrid, randomness, serving
from geo.geography import N_SERVING
from geo.params import GeoParams
from geo.sites import Network
from sim.core.kernel import kernel

COARSE_HEX_M2 = 300_000.0
"""Hex area above which it is coarse: r8 (737,000 m2) is, r9 (105,000 m2) is not."""

N_POINTS = 7
RING_SHARE = 0.6
"""Points looked at: the centre and six at 0.6 of the in-radius."""

CLEAR_SHARE = 0.9
"""Where four cells hold this share of a hex, they are taken as they are."""

POOL_KM = 1.0
"""An unused cell lends its capacity to a used one at most so far away: same street, same crowd."""


def is_coarse(resolution: int) -> bool:
    """Return whether hexes of a resolution are larger than urban cells."""
    return hexgrid.hex_area_m2(resolution) > COARSE_HEX_M2


@kernel
def _merge(cells, chances, u, out_cell, out_p, names, shares):
    """Merge the cells of the points of each hex into four.

    Parameters
    ----------
    cells : (n, m) int64, cells of all points, -1 unused; chances : (n, m) float64
    u : (n,) float64 in [0, 1), start of the systematic draw
    out_cell : (n, 4) int64, written, -1 unused; out_p : (n, 4) float64, written, rows sum to 1
    names, shares : (m,) int64 and float64, scratch
    """
    m = cells.shape[1]
    for i in range(cells.shape[0]):
        n = 0
        total = 0.0
        for j in range(m):
            if cells[i, j] < 0:
                continue
            total += chances[i, j]
            at = 0
            while at < n and names[at] != cells[i, j]:
                at += 1
            if at == n:
                names[n] = cells[i, j]
                shares[n] = 0.0
                n += 1
            shares[at] += chances[i, j]
        for a in range(1, n):  # insertion sort, largest share first
            name, share = names[a], shares[a]
            b = a
            while b > 0 and shares[b - 1] < share:
                names[b], shares[b] = names[b - 1], shares[b - 1]
                b -= 1
            names[b], shares[b] = name, share
        top = 0.0
        for c in range(4):
            out_cell[i, c] = -1
            out_p[i, c] = 0.0
            if c < n:
                top += shares[c]
        if top >= CLEAR_SHARE * total:
            for c in range(min(n, 4)):
                out_cell[i, c] = names[c]
                out_p[i, c] = shares[c] / top
            continue
        at = 0
        so_far = shares[0]
        used = -1
        for c in range(4):
            while so_far < (c + u[i]) * total / 4.0 and at < n - 1:
                at += 1
                so_far += shares[at]
            if used < 0 or out_cell[i, used] != names[at]:
                used += 1
                out_cell[i, used] = names[at]
            out_p[i, used] += 0.25


def hex_serving(
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    ids: NDArray[np.uint64],
    network: Network,
    params: GeoParams,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (n, 4) macro cells and chances of coarse hexes, from seven points in each.

    Parameters
    ----------
    lat, lon : (n,) degrees, centres; ids : (n,) H3 cells
    """
    radius_km = RING_SHARE * np.sqrt(hexgrid.hex_area_m2(params.resolution) / 1e6 / np.pi)
    cells = np.empty((len(lat), N_POINTS * N_SERVING), dtype=np.int64)
    chances = np.empty((len(lat), N_POINTS * N_SERVING))
    for point in range(N_POINTS):
        reach = 0.0 if point == 0 else radius_km / bands.KM_PER_DEG
        angle = 2 * np.pi * point / (N_POINTS - 1)
        at_lat = lat + reach * np.cos(angle)
        at_lon = lon + reach * np.sin(angle) / np.cos(np.radians(lat))
        # The low 21 bits of an r8 id are all ones, so changing three of them gives new keys.
        key = ids ^ np.uint64(point << 10)
        columns = slice(point * N_SERVING, (point + 1) * N_SERVING)
        cells[:, columns], chances[:, columns] = serving.macro_serving(
            at_lat, at_lon, key, network, params, seed
        )
    u = randomness.generator(seed, "geo:coarse").random(len(lat))
    out_cell = np.empty((len(lat), N_SERVING), dtype=np.int64)
    out_p = np.empty((len(lat), N_SERVING))
    width = cells.shape[1]
    _merge(cells, chances, u, out_cell, out_p, np.empty(width, dtype=np.int64), np.empty(width))
    return out_cell, out_p


def pool_capacity(
    network: Network, people: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return capacity (kbit/s) and voice channels with unused cells lent to used neighbours.

    The unused cell keeps a token capacity of 1, so that no total is lost and none is zero.

    Parameters
    ----------
    people : (n_cell,) people served by each cell
    """
    capacity = network.cell_capacity_kbps.astype(np.int64)
    voice = network.cell_voice_channels.astype(np.int64)
    n_macro = network.n_macro * network.sectors
    idle = np.flatnonzero(people[:n_macro] < 1.0)
    busy = np.flatnonzero(people[:n_macro] >= 1.0)
    site = network.cell_site
    # Each used cell stands 50 m ahead of its mast, so that sectors share what is lent.
    ahead = 0.05 / bands.KM_PER_DEG
    azimuth = np.radians(network.cell_azimuth_deg.astype(np.float64))
    lat = network.site_lat[site] + ahead * np.cos(azimuth)
    lon = network.site_lon[site] + ahead * np.sin(azimuth)
    near, _ = bands.nearest(
        lat[idle], lon[idle], bands.make_bands(lat[busy], lon[busy]), k=1, radii_km=(POOL_KM,)
    )
    lent = near[:, 0] >= 0
    giver, taker = idle[lent], busy[near[lent, 0]]
    np.add.at(capacity, taker, capacity[giver] - 1)
    np.add.at(voice, taker, voice[giver] - 1)
    capacity[giver] = 1
    voice[giver] = 1
    top = np.iinfo(np.int32).max
    return np.minimum(capacity, top).astype(np.int32), np.minimum(voice, top).astype(np.int32)
