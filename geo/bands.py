"""Find neighbours among points on the globe without leaving NumPy and compiled loops.

This module owns the banded index (points sorted by latitude band, then longitude) and the three
searches that the build needs: nearest k, gravity draws and hard-core thinning. Distances are
equirectangular, which is within 0.1 % below 300 km and 70 degrees (C); the antimeridian is not
crossed. It must not know people, sites, malls or fences.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sim.core.kernel import kernel

KM_PER_DEG = 111.195
"""Length of a degree of latitude, km: pi x 6,371.0 / 180 (mean Earth radius, IUGG)."""

BAND_DEG = 0.05
N_BANDS = 3600
STEPS_PER_KM = 20
"""Resolution of distance tables, 1/km: 50 m is below the edge of an r9 hex (200 m)."""


@dataclasses.dataclass(frozen=True)
class Bands:
    """Points sorted for search: `order[j]` is the original row of sorted row j.

    Attributes
    ----------
    order : (n,) int64; lat, lon : (n,) float64, degrees, sorted by (band, lon)
    start : (3601,) int64, first sorted row of each band of 0.05 degree from the south pole
    """

    order: NDArray[np.int64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    start: NDArray[np.int64]


def make_bands(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Bands:
    """Index points of (n,) degrees."""
    band = np.clip(np.floor((lat + 90.0) / BAND_DEG), 0, N_BANDS - 1).astype(np.int64)
    order = np.lexsort((lon, band))
    start = np.searchsorted(band[order], np.arange(N_BANDS + 1))
    return Bands(order, lat[order], lon[order], start.astype(np.int64))


@kernel
def _distance_km(lat_a, lon_a, lat_b, lon_b):
    """Return the equirectangular distance of two positions in degrees, km."""
    dx = (lon_b - lon_a) * np.cos((lat_a + lat_b) * 0.5 * np.pi / 180.0)
    dy = lat_b - lat_a
    return KM_PER_DEG * np.sqrt(dx * dx + dy * dy)


@kernel
def _first_at(lon, low, high, value):
    """Return the first row in low..high of ascending `lon` with lon >= value."""
    while low < high:
        middle = (low + high) // 2
        if lon[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _half_width(lat, radius_km):
    """Return how many degrees of longitude cover `radius_km` around `lat`."""
    cosine = np.cos(min(89.0, abs(lat) + radius_km / KM_PER_DEG) * np.pi / 180.0)
    return radius_km / (KM_PER_DEG * cosine)


@kernel
def _nearest(q_lat, q_lon, lat, lon, start, radius_km, out_row, out_km):
    """Fill the k nearest sorted rows of each query within `radius_km`, nearest first.

    Parameters
    ----------
    q_lat, q_lon : (n,) float64, degrees
    lat, lon, start : columns of `Bands`
    radius_km : float
    out_row : (n, k) int64, written; -1 where fewer are found
    out_km : (n, k) float64, written; inf where fewer are found
    """
    k = out_row.shape[1]
    for i in range(q_lat.shape[0]):
        for c in range(k):
            out_row[i, c] = -1
            out_km[i, c] = np.inf
        reach = radius_km / KM_PER_DEG
        low_band = max(0, int(np.floor((q_lat[i] - reach + 90.0) / BAND_DEG)))
        high_band = min(N_BANDS - 1, int(np.floor((q_lat[i] + reach + 90.0) / BAND_DEG)))
        half = _half_width(q_lat[i], radius_km)
        for band in range(low_band, high_band + 1):
            j = _first_at(lon, start[band], start[band + 1], q_lon[i] - half)
            while j < start[band + 1] and lon[j] <= q_lon[i] + half:
                km = _distance_km(q_lat[i], q_lon[i], lat[j], lon[j])
                if km <= radius_km and km < out_km[i, k - 1]:
                    c = k - 1
                    while c > 0 and out_km[i, c - 1] > km:
                        out_km[i, c] = out_km[i, c - 1]
                        out_row[i, c] = out_row[i, c - 1]
                        c -= 1
                    out_km[i, c] = km
                    out_row[i, c] = j
                j += 1


def nearest(
    q_lat: NDArray[np.float64],
    q_lon: NDArray[np.float64],
    points: Bands,
    *,
    k: int,
    radii_km: tuple[float, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the k nearest points of each query, searching wider radii only for those with none.

    Parameters
    ----------
    q_lat, q_lon : (n,) degrees
    points : index of the points; an empty one gives -1 everywhere
    k : neighbours wanted; radii_km : ascending search radii

    Returns
    -------
    rows : (n, k) int64, original rows, nearest first, -1 where fewer lie within the radius
    km : (n, k) float64, inf where fewer
    """
    rows = np.full((len(q_lat), k), -1, dtype=np.int64)
    km = np.full((len(q_lat), k), np.inf)
    left = np.arange(len(q_lat))
    for radius_km in radii_km:
        if not len(left) or not len(points.order):
            break
        found = np.empty((len(left), k), dtype=np.int64)
        at = np.empty((len(left), k))
        _nearest(
            q_lat[left], q_lon[left], points.lat, points.lon, points.start, radius_km, found, at
        )
        rows[left] = np.where(found >= 0, points.order[found], -1)
        km[left] = at
        left = left[found[:, 0] < 0]
    return rows, km


@kernel
def _gravity(q_lat, q_lon, lat, lon, start, weight, table, radius_km, u, out_row):
    """Draw k rows per query with chance weight x table[distance], by systematic sampling.

    Parameters
    ----------
    q_lat, q_lon : (n,) float64, degrees
    lat, lon, start : columns of `Bands`; weight : (m,) float64 >= 0, in sorted order
    table : float64, deterrence by distance in steps of 50 m, up to `radius_km`
    u : (n,) float64 in [0, 1), one random start per query
    out_row : (n, k) int64, written; sorted rows, -1 where no weight lies within reach
    """
    k = out_row.shape[1]
    reach = radius_km / KM_PER_DEG
    last = table.shape[0] - 1
    for i in range(q_lat.shape[0]):
        low_band = max(0, int(np.floor((q_lat[i] - reach + 90.0) / BAND_DEG)))
        high_band = min(N_BANDS - 1, int(np.floor((q_lat[i] + reach + 90.0) / BAND_DEG)))
        half = _half_width(q_lat[i], radius_km)
        cosine = np.cos(q_lat[i] * np.pi / 180.0)
        total = 0.0
        step = 0.0
        drawn = 0
        for turn in range(2):
            sum_so_far = 0.0
            for band in range(low_band, high_band + 1):
                j = _first_at(lon, start[band], start[band + 1], q_lon[i] - half)
                while j < start[band + 1] and lon[j] <= q_lon[i] + half:
                    dx = (lon[j] - q_lon[i]) * cosine
                    dy = lat[j] - q_lat[i]
                    km = KM_PER_DEG * np.sqrt(dx * dx + dy * dy)
                    bin_ix = int(km * STEPS_PER_KM)
                    if bin_ix <= last:
                        sum_so_far += weight[j] * table[bin_ix]
                        if turn == 1:
                            while drawn < k and (drawn + u[i]) * step < sum_so_far:
                                out_row[i, drawn] = j
                                drawn += 1
                    j += 1
            if turn == 0:
                total = sum_so_far
                step = total / k
                for c in range(k):
                    out_row[i, c] = -1
                if total <= 0.0:
                    break


def gravity_draws(
    q_lat: NDArray[np.float64],
    q_lon: NDArray[np.float64],
    points: Bands,
    weight: NDArray[np.float64],
    *,
    k: int,
    radius_km: float,
    offset_km: float,
    exponent: float,
    u: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return (n, k) rows drawn with chance weight x (distance + offset)^-exponent.

    The k rows of a query are an equal-probability sample (systematic, so of low variance); a row
    may repeat, which carries its weight. All k are -1 where nothing with weight is in reach.

    Parameters
    ----------
    q_lat, q_lon : (n,) degrees
    points : (m,) index; weight : (m,) >= 0, in original order
    offset_km, exponent : deterrence; radius_km : reach
    u : (n,) in [0, 1)
    """
    middle = (np.arange(int(radius_km * STEPS_PER_KM)) + 0.5) / STEPS_PER_KM
    table = (middle + offset_km) ** -exponent
    out = np.full((len(q_lat), k), -1, dtype=np.int64)
    if len(points.order):
        sorted_weight = np.ascontiguousarray(weight[points.order], dtype=np.float64)
        _gravity(
            q_lat,
            q_lon,
            points.lat,
            points.lon,
            points.start,
            sorted_weight,
            table,
            radius_km,
            u,
            out,
        )
        out = np.where(out >= 0, points.order[out], -1)
    return out


@kernel
def _bucket(lat, lon, n_buckets):
    """Return the bucket of a position: cells of 0.02 degree hashed to `n_buckets`."""
    row = np.int64(np.floor((lat + 90.0) * 50.0))
    column = np.int64(np.floor((lon + 180.0) * 50.0))
    return (row * np.int64(1_000_003) + column) % n_buckets


@kernel
def _thin(lat, lon, spacing_km, factor, n_want, head, following, kept, n_kept, fixed):
    """Keep candidates in order unless one kept before is nearer than their spacing.

    Parameters
    ----------
    lat, lon : (n,) float64, degrees; the first `fixed` rows are kept unconditionally
    spacing_km : (n,) float64; factor : multiplies it
    n_want : kept rows at which to stop
    head : (n_buckets,) int64, -1 = empty; following : (n,) int64; both mutated
    kept : (n,) uint8, mutated, 1 where kept; rows already kept are skipped
    n_kept : rows kept so far

    Returns
    -------
    n_kept : rows kept now
    """
    n_buckets = head.shape[0]
    for i in range(lat.shape[0]):
        if n_kept >= n_want:
            break
        if kept[i] == 1:
            continue
        free = True
        if i >= fixed:
            limit = spacing_km[i] * factor
            rows = int(limit / KM_PER_DEG * 50.0) + 1
            columns = int(_half_width(lat[i], limit) * 50.0) + 1
            for a in range(-rows, rows + 1):
                for b in range(-columns, columns + 1):
                    j = head[_bucket(lat[i] + a * 0.02, lon[i] + b * 0.02, n_buckets)]
                    while j >= 0 and free:
                        if _distance_km(lat[i], lon[i], lat[j], lon[j]) < limit:
                            free = False
                        j = following[j]
        if free:
            slot = _bucket(lat[i], lon[i], n_buckets)
            following[i] = head[slot]
            head[slot] = i
            kept[i] = 1
            n_kept += 1
    return n_kept


def hard_core(
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    spacing_km: NDArray[np.float64],
    *,
    fixed: int,
    n_want: int,
) -> NDArray[np.int64]:
    """Return rows of a Matern-like hard-core sample: the first `fixed`, then up to `n_want`.

    Spacing is relaxed by 0.7 and at last to nothing where the wanted number does not fit.

    Parameters
    ----------
    lat, lon : (n,) degrees, candidates in order of preference
    spacing_km : (n,) >= 0, least distance to rows kept before
    fixed : rows kept whatever their distance; n_want : rows wanted, fixed ones included
    """
    head = np.full(1 << 17, -1, dtype=np.int64)
    following = np.full(len(lat), -1, dtype=np.int64)
    kept = np.zeros(len(lat), dtype=np.uint8)
    n_kept = 0
    for factor in (1.0, 0.7, 0.5, 0.25, 0.0):
        n_kept = _thin(lat, lon, spacing_km, factor, n_want, head, following, kept, n_kept, fixed)
    return np.flatnonzero(kept)
