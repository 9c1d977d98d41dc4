"""Work out which cells serve a phone at every spot, and with what chance.

This module owns the radio model: path loss, antenna pattern, fixed shadowing, signal dominance and
the share of indoor cells inside and just outside a fence. It is the model of the R package mobloc
(M. Tennekes, Statistics Netherlands) with an idle-mode preference for the strongest cell added. It
must not know people, and it runs at build time only, so it may use floating-point functions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from geo import bands
from geo.geography import N_SERVING
from geo.params import GeoParams
from geo.sites import Network
from sim.core.kernel import kernel

POWER_DBM = 40.0
"""10 W at 1 m, macro cell (V mobloc)."""

HEIGHT_M, TILT_DEG, BEAM_H_DEG, BEAM_V_DEG, BACK_DB = 30.0, 5.0, 65.0, 9.0, 30.0
"""Antenna of a macro cell: height, down-tilt, 3 dB beam widths, back attenuation (V mobloc);
the shape between is the parabola of 3GPP TR 36.814 table A.2.1.1-2."""

DOMINANCE_PER_DB, DOMINANCE_MID_DBM = 0.2, -92.5
"""Signal dominance s = 1 / (1 + exp(-0.2 (dBm + 92.5))) (V mobloc)."""

CANDIDATE_SITES = 32
"""Nearest sites looked at: with 8 dB shadowing they hold the best cell of 99.8 % of residents of
Astana (C)."""

LEAK_SLOTS = 2
"""Indoor cells that may serve outside at one hex."""

U16 = 65535


@kernel
def _mix(x):
    """Return a well-mixed uint64 (splitmix64 finaliser, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _shadow(seed, spot_key, site):
    """Return a standard normal fixed by (seed, spot, site), by Box and Muller."""
    a = _mix(seed ^ _mix(spot_key + np.uint64(0x9E3779B97F4A7C15)) ^ _mix(np.uint64(site + 1)))
    b = _mix(a + np.uint64(0x9E3779B97F4A7C15))
    u = (np.float64(a >> np.uint64(11)) + 1.0) / 9007199254740993.0
    v = np.float64(b >> np.uint64(11)) / 9007199254740992.0
    return np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)


@kernel
def _received_dbm(km, bearing_deg, azimuth_deg, exponent):
    """Return the mean power at a distance and bearing from a sector, dBm; azimuth -1 is omni."""
    metres = max(km * 1000.0, 10.0)
    loss = 0.0
    if azimuth_deg >= 0:
        turn = abs(bearing_deg - azimuth_deg) % 360.0
        turn = min(turn, 360.0 - turn)
        loss = min(12.0 * (turn / BEAM_H_DEG) ** 2, BACK_DB)
    down = np.arctan(HEIGHT_M / metres) * 180.0 / np.pi - TILT_DEG
    loss = min(loss + min(12.0 * (down / BEAM_V_DEG) ** 2, BACK_DB), BACK_DB)
    return POWER_DBM - 10.0 * exponent * np.log10(metres) - loss


@kernel
def _serve(
    lat,
    lon,
    key,
    candidates,
    km,
    site_lat,
    site_lon,
    azimuth,
    exponent,
    shadowing_db,
    reselection_db,
    seed,
    out_cell,
    out_p,
):
    """Fill the four most likely cells of each spot with their chances.

    Parameters
    ----------
    lat, lon : (n,) float64, degrees; key : (n,) uint64, what shadowing is fixed to
    candidates : (n, k) int64, sites, -1 where none; km : (n, k) float64
    site_lat, site_lon : (n_macro,) float64; azimuth : (n_macro, sectors) int64
    seed : uint64
    out_cell : (n, 4) int64, written, -1 unused; out_p : (n, 4) float64, written, rows sum to 1
    """
    sectors = azimuth.shape[1]
    for i in range(lat.shape[0]):
        for c in range(4):
            out_cell[i, c] = -1
            out_p[i, c] = -1.0e9
        for j in range(candidates.shape[1]):
            site = candidates[i, j]
            if site < 0:
                break
            shade = shadowing_db * _shadow(seed, key[i], site)
            cosine = np.cos(site_lat[site] * np.pi / 180.0)
            east = (lon[i] - site_lon[site]) * cosine
            bearing = np.arctan2(east, lat[i] - site_lat[site]) * 180.0 / np.pi
            for s in range(sectors):
                dbm = shade + _received_dbm(km[i, j], bearing, azimuth[site, s], exponent)
                if dbm > out_p[i, 3]:
                    c = 3
                    while c > 0 and out_p[i, c - 1] < dbm:
                        out_p[i, c] = out_p[i, c - 1]
                        out_cell[i, c] = out_cell[i, c - 1]
                        c -= 1
                    out_p[i, c] = dbm
                    out_cell[i, c] = site * sectors + s
        best = out_p[i, 0]
        total = 0.0
        for c in range(4):
            dbm = out_p[i, c]
            chance = 0.0
            if out_cell[i, c] >= 0:
                # Divided by the best cell's dominance, so that it cannot underflow far away.
                chance = (1.0 + np.exp(-DOMINANCE_PER_DB * (best - DOMINANCE_MID_DBM))) / (
                    1.0 + np.exp(-DOMINANCE_PER_DB * (dbm - DOMINANCE_MID_DBM))
                )
                if reselection_db > 0.0:
                    chance *= np.exp((dbm - best) / reselection_db)
            out_p[i, c] = chance
            total += chance
        for c in range(4):
            out_p[i, c] /= total


def macro_serving(
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    key: NDArray[np.uint64],
    network: Network,
    params: GeoParams,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (n, 4) macro cells, most likely first, and their chances (rows sum to 1)."""
    n, sectors = network.n_macro, network.sectors
    points = bands.make_bands(network.site_lat[:n], network.site_lon[:n])
    reach = params.range_km
    found, km = bands.nearest(
        lat,
        lon,
        points,
        k=CANDIDATE_SITES,
        radii_km=(min(2.0, reach), reach, reach * 6, reach * 60, 20000.0),
    )
    # A short search is complete only where it filled all slots.
    thin = np.flatnonzero(found[:, -1] < 0)
    again, at = bands.nearest(lat[thin], lon[thin], points, k=CANDIDATE_SITES, radii_km=(reach,))
    better = again[:, 0] >= 0
    found[thin[better]], km[thin[better]] = again[better], at[better]
    azimuth = network.cell_azimuth_deg[: n * sectors].astype(np.int64).reshape(n, sectors)
    cell = np.empty((len(lat), N_SERVING), dtype=np.int64)
    chance = np.empty((len(lat), N_SERVING))
    _serve(
        lat,
        lon,
        key,
        found,
        km,
        network.site_lat[:n],
        network.site_lon[:n],
        azimuth,
        params.path_loss_exponent,
        params.shadowing_db,
        params.reselection_db,
        np.uint64(seed & (2**64 - 1)),
        cell,
        chance,
    )
    return cell, chance


def inside_fences(
    cell: NDArray[np.int64],
    chance: NDArray[np.float64],
    network: Network,
    *,
    indoor_share: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the serving cells and chances of the insides of fences.

    Indoor cells share `indoor_share` equally; the strongest macro cells of the street that still
    fit in four slots share the rest. Taking the street's cells means that every macro cell heard
    inside also serves people outside, so none of them can give a fence away by itself.

    Parameters
    ----------
    cell, chance : (n_fence, 4), the rows of the hexes around the fences
    """
    street = (cell >= 0) & (cell < network.n_macro * network.sectors)
    chance = np.where(street, chance, 0.0)
    order = np.argsort(-chance, axis=1, kind="stable")
    cell = np.take_along_axis(np.where(street, cell, -1), order, axis=1)
    chance = np.take_along_axis(chance, order, axis=1)
    chance /= chance.sum(axis=1, keepdims=True)
    for f in np.flatnonzero(network.fence_cells).tolist():
        n_in = int(network.fence_cells[f])
        keep = N_SERVING - n_in
        outer = chance[f, :keep] / chance[f, :keep].sum() * (1.0 - indoor_share)
        cell[f, n_in:] = cell[f, :keep].copy()
        chance[f, n_in:] = outer
        cell[f, :n_in] = network.fence_cell_first[f] + np.arange(n_in)
        chance[f, :n_in] = indoor_share / n_in
    return cell, chance


def add_leak(
    cell: NDArray[np.int64],
    chance: NDArray[np.float64],
    network: Network,
    leaks: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    *,
    leak_share: float,
) -> None:
    """Let indoor cells serve passers-by next to their fence; mutates `cell` and `chance`.

    Parameters
    ----------
    leaks : (hex, fence, share of the hex near the fence), each (m,)
    leak_share : share of the phones near a fence that its indoor cells serve
    """
    at_hex, at_fence, share = leaks
    order = np.lexsort((at_fence, -share, at_hex))
    start = np.searchsorted(at_hex[order], np.unique(at_hex))
    for hex_ix, first in zip(np.unique(at_hex).tolist(), start.tolist(), strict=True):
        rows = order[first : first + LEAK_SLOTS]
        rows = rows[at_hex[rows] == hex_ix]
        p = share[rows] * leak_share
        p *= min(1.0, leak_share / p.sum())
        keep = N_SERVING - len(rows)
        outer = chance[hex_ix, :keep] / chance[hex_ix, :keep].sum() * (1.0 - p.sum())
        chance[hex_ix, :keep] = outer
        chance[hex_ix, keep:] = p
        fence = at_fence[rows]
        turn = hex_ix % np.maximum(network.fence_cells[fence], 1)
        cell[hex_ix, keep:] = network.fence_cell_first[fence] + turn


def compile_table(
    cell: NDArray[np.int64], chance: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Return cells, most likely first, and cumulative thresholds x 65535 (last = 65535)."""
    chance = np.where(cell >= 0, chance, 0.0)
    order = np.argsort(-chance, axis=1, kind="stable")
    chance = np.take_along_axis(chance, order, axis=1)
    cell = np.take_along_axis(cell, order, axis=1)
    cumulative = np.rint(np.cumsum(chance, axis=1) / chance.sum(axis=1)[:, None] * U16)
    cumulative[:, -1] = U16
    unused = cell < 0
    cumulative = np.where(unused, U16, cumulative)
    # The last used slot takes what rounding left.
    last = np.maximum((~unused).sum(axis=1) - 1, 0)
    cumulative[np.arange(len(cell)), last] = U16
    cell = np.where(unused, cell[:, :1], cell)
    return cell.astype(np.int32), cumulative.astype(np.uint16)


def slot_chances(spot_cum: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the chance of each slot of a serving table, rows summing to 1."""
    wide = spot_cum.astype(np.int64) + 1
    return np.diff(wide, axis=1, prepend=0).astype(np.float64) / (U16 + 1)


@dataclasses.dataclass(frozen=True)
class Footprints:
    """Centroid of each cell, (n_cell,) float64 degrees, and people served, (n_cell,) float64."""

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    people: NDArray[np.float64]


def footprints(
    spot_cells: NDArray[np.int32],
    spot_cum: NDArray[np.uint16],
    spot_lat: NDArray[np.float64],
    spot_lon: NDArray[np.float64],
    presence: NDArray[np.float64],
    network: Network,
) -> Footprints:
    """Return where the phones of each cell are on average; unused cells point 150 m ahead."""
    n = len(network.cell_site)
    flat = spot_cells.ravel()
    share = slot_chances(spot_cum)
    weight = (share * (presence + 1e-3)[:, None]).ravel()
    total = np.bincount(flat, weights=weight, minlength=n)
    lat = np.bincount(flat, weights=weight * np.repeat(spot_lat, N_SERVING), minlength=n)
    lon = np.bincount(flat, weights=weight * np.repeat(spot_lon, N_SERVING), minlength=n)
    used = total > 0
    site = network.cell_site
    azimuth = np.radians(network.cell_azimuth_deg.astype(np.float64))
    ahead = np.where(network.cell_azimuth_deg >= 0, 0.15 / bands.KM_PER_DEG, 0.0)
    home_lat = network.site_lat[site]
    bare_lat = home_lat + ahead * np.cos(azimuth)
    bare_lon = network.site_lon[site] + ahead * np.sin(azimuth) / np.cos(np.radians(home_lat))
    safe = np.where(used, total, 1.0)
    people = np.bincount(flat, weights=(share * presence[:, None]).ravel(), minlength=n)
    return Footprints(
        lat=np.where(used, lat / safe, bare_lat),
        lon=np.where(used, lon / safe, bare_lon),
        people=people.astype(np.float64),
    )
