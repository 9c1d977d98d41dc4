"""Say in which fence a position lies, exactly, without a geometry library.

This module owns `FenceIndex`: polygons as flat arrays of edges, a grid of boxes to find candidates,
and even-odd ray casting, compiled, for the coordinates of recorded data. Holes and multipolygons
are just more rings, and where fences overlap the smallest one wins. It must not know cells, people
or dwell times.

Exactness: every position off the border gets the answer of shapely's `contains`. Of the border, the
edges to the south and to the west belong to a fence, those to the north and to the east do not, so
that of two fences side by side each position has one; within rounding (1e-12 degree, 0.1
micrometre) of a slanted edge a position may get either. The H3 cover in
`Geography.fence_hex_ids` is coarser: a superset of the fence, too large by up to one cell diameter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.core.kernel import kernel

BOX_DEG = 0.05
BOX_COLUMNS = 7200
BOXES_MAX = 4_000_000
"""Boxes of 0.05 degree that all fences together may touch: 100 countries of fences."""


@kernel
def _inside(lat, lon, x, y, low, high):
    """Return whether a position is inside rings of edges low..high, by the even-odd rule.

    Edge e goes from (x[e], y[e]) to (x[e + 1], y[e + 1]); rings are parted by NaN rows.
    """
    odd = False
    for e in range(low, high - 1):
        y0, y1 = y[e], y[e + 1]
        # NaN compares false on both sides, so the gap between rings is never crossed.
        if (y0 <= lat and y1 > lat) or (y1 <= lat and y0 > lat):
            if lon < x[e] + (lat - y0) / (y1 - y0) * (x[e + 1] - x[e]):
                odd = not odd
    return odd


@kernel
def _locate(lat, lon, box, box_start, box_fence, bounds, x, y, start, out):
    """Write the fence of each position, -1 where none.

    Parameters
    ----------
    lat, lon : (n,) float64, degrees
    box : (n_boxes,) int64, sorted; box_start : (n_boxes + 1,) int64
    box_fence : int32, fences of a box, smallest area first
    bounds : (n_fence, 4) float64, lon and lat minimum, lon and lat maximum
    x, y : edges; start : (n_fence + 1,) int64
    out : (n,) int32, written
    """
    for i in range(lat.shape[0]):
        out[i] = -1
        if not (abs(lat[i]) <= 90.0 and abs(lon[i]) <= 180.0):
            continue
        row = np.int64(np.floor((lat[i] + 90.0) / BOX_DEG))
        wanted = row * BOX_COLUMNS + np.int64(np.floor((lon[i] + 180.0) / BOX_DEG))
        low = 0
        high = box.shape[0]
        while low < high:
            middle = (low + high) // 2
            if box[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        if low == box.shape[0] or box[low] != wanted:
            continue
        for j in range(box_start[low], box_start[low + 1]):
            f = box_fence[j]
            if lon[i] < bounds[f, 0] or lon[i] > bounds[f, 2]:
                continue
            if lat[i] < bounds[f, 1] or lat[i] > bounds[f, 3]:
                continue
            if _inside(lat[i], lon[i], x, y, start[f], start[f + 1]):
                out[i] = f
                break


@dataclasses.dataclass(frozen=True)
class FenceIndex:
    """Fences ready for `locate`; build with `FenceIndex.build`."""

    box: NDArray[np.int64]
    box_start: NDArray[np.int64]
    box_fence: NDArray[np.int32]
    bounds: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    start: NDArray[np.int64]

    @classmethod
    def build(cls, polygons: Sequence[dict[str, Any]]) -> FenceIndex:
        """Index GeoJSON geometry dicts (Polygon, MultiPolygon), in row order of the fences."""
        xs: list[NDArray[np.float64]] = []
        ys: list[NDArray[np.float64]] = []
        start = np.zeros(len(polygons) + 1, dtype=np.int64)
        bounds = np.zeros((len(polygons), 4))
        area = np.zeros(len(polygons))
        gap = np.array([np.nan])
        n = 0
        for f, geometry in enumerate(polygons):
            rings = _rings(geometry)
            for ring in rings:
                xs += [ring[:, 0], gap]
                ys += [ring[:, 1], gap]
                n += len(ring) + 1
            start[f + 1] = n
            every = np.concatenate(rings)
            bounds[f] = [*every.min(axis=0), *every.max(axis=0)]
            area[f] = abs(sum(_signed_area(ring) for ring in rings))
        box, box_start, box_fence = _boxes(bounds, area)
        return cls(
            box=box,
            box_start=box_start,
            box_fence=box_fence,
            bounds=bounds,
            x=np.concatenate(xs) if xs else np.empty(0),
            y=np.concatenate(ys) if ys else np.empty(0),
            start=start,
        )

    def locate(self, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the smallest fence around each of (n,) positions in degrees, -1 where none.

        Positions that are NaN or outside the globe get -1.
        """
        lat = np.ascontiguousarray(lat, dtype=np.float64)
        lon = np.ascontiguousarray(lon, dtype=np.float64)
        out = np.empty(len(lat), dtype=np.int32)
        _locate(
            lat,
            lon,
            self.box,
            self.box_start,
            self.box_fence,
            self.bounds,
            self.x,
            self.y,
            self.start,
            out,
        )
        return out


def _rings(geometry: dict[str, Any]) -> list[NDArray[np.float64]]:
    """Return all rings, holes included, as (n, 2) arrays of (lon, lat)."""
    parts = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        parts = [parts]
    return [np.asarray(ring, dtype=np.float64)[:, :2] for part in parts for ring in part]


def _signed_area(ring: NDArray[np.float64]) -> float:
    """Return the shoelace area of a closed ring, square degrees; positive anticlockwise."""
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _boxes(
    bounds: NDArray[np.float64], area: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return boxes touched by bounding boxes, CSR offsets, and their fences, smallest first."""
    keys, rows = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    n = 0
    for f in range(len(bounds)):
        low = np.floor((bounds[f, :2] + [180.0, 90.0]) / BOX_DEG).astype(np.int64)
        high = np.floor((bounds[f, 2:] + [180.0, 90.0]) / BOX_DEG).astype(np.int64)
        n += int(np.prod(high - low + 1))
        if n > BOXES_MAX:
            raise ValueError(f"fences touch more than {BOXES_MAX} boxes of {BOX_DEG} degree")
        row = np.arange(low[1], high[1] + 1)[:, None] * BOX_COLUMNS
        key = (row + np.arange(low[0], high[0] + 1)[None, :]).ravel()
        keys.append(key)
        rows.append(np.full(len(key), f, dtype=np.int64))
    key, fence = np.concatenate(keys), np.concatenate(rows)
    order = np.lexsort((fence, area[fence], key))
    box, start = np.unique(key[order], return_index=True)
    start = np.append(start, len(key)).astype(np.int64)
    return box, start, fence[order].astype(np.int32)
