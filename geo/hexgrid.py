"""Turn places into H3 cells and polygons into covers.

This module owns every call to h3: disks around places, centres, areas, covers of polygons and the
outlines of hexes. All results are NumPy arrays, so that nothing after the build calls h3. It must
not know people, jobs, sites or what a fence is for.
"""

from __future__ import annotations

import h3
import h3.api.numpy_int as h3n
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

FENCE_RES_MAX = 12
COVER_CELLS_MAX = 400
"""Cells in the cover of one fence: enough that the rim is under a tenth of a compact polygon."""


def hex_area_m2(resolution: int) -> float:
    """Return the mean area of a hex, m2."""
    return float(h3.average_hexagon_area(resolution, unit="m^2"))


def disk(lat: float, lon: float, radius_km: float, resolution: int) -> NDArray[np.uint64]:
    """Return the cells whose grid distance covers a circle; the centre cell comes always."""
    rings = int(_rings(np.float64(radius_km), resolution))
    centre = h3n.latlng_to_cell(lat, lon, resolution)
    return np.asarray(h3n.grid_disk(centre, rings), dtype=np.uint64)


def disk_size(radius_km: NDArray[np.float64], resolution: int) -> NDArray[np.int64]:
    """Return how many cells `disk` gives for each of (n,) radii, pentagons apart."""
    rings = _rings(radius_km, resolution).astype(np.int64)
    return 3 * rings * (rings + 1) + 1


def _rings(radius_km: NDArray[np.float64] | np.float64, resolution: int) -> NDArray[np.float64]:
    spacing_km = np.sqrt(hex_area_m2(resolution) * 2.0 / np.sqrt(3.0)) / 1000.0
    # Centres k rings away are at least k x 0.87 spacings off; H3 cells vary by up to 1.3 in size.
    return np.ceil(np.asarray(radius_km) / (spacing_km * 0.75))


def centres(cells: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitude and longitude, degrees, of (n,) cells."""
    points = [h3n.cell_to_latlng(cell) for cell in cells]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return np.ascontiguousarray(array[:, 0]), np.ascontiguousarray(array[:, 1])


def cells_at(
    lat: NDArray[np.float64], lon: NDArray[np.float64], resolution: int
) -> NDArray[np.uint64]:
    """Return the cell of each of (n,) positions in degrees."""
    return np.array(
        [h3n.latlng_to_cell(a, o, resolution) for a, o in zip(lat, lon, strict=True)],
        dtype=np.uint64,
    )


def cover(polygon: BaseGeometry, resolution: int) -> NDArray[np.uint64]:
    """Return the cells that overlap a polygon, sorted.

    The cover is a superset of the polygon: no point of it is missed, and points up to one cell
    diameter outside belong to it. Use `geo.geofences.FenceIndex` where the answer must be exact.
    """
    parts = shapely.get_parts(polygon)
    found = [
        np.asarray(
            h3n.h3shape_to_cells_experimental(h3.geo_to_h3shape(part), resolution, "overlap"),
            dtype=np.uint64,
        )
        for part in parts
    ]
    return np.unique(np.concatenate(found))


def cells_inside(polygon: BaseGeometry, resolution: int) -> NDArray[np.uint64]:
    """Return the cells whose centre lies in a polygon, sorted; may be empty."""
    parts = shapely.get_parts(polygon)
    found = [
        np.asarray(h3n.h3shape_to_cells(h3.geo_to_h3shape(part), resolution), dtype=np.uint64)
        for part in parts
    ]
    return np.unique(np.concatenate(found))


def cover_resolution(area_m2: float) -> int:
    """Return the finest resolution, 5..12, whose cover of `area_m2` stays under 400 cells."""
    for resolution in range(FENCE_RES_MAX, 5, -1):
        if area_m2 / hex_area_m2(resolution) <= COVER_CELLS_MAX:
            return resolution
    return 5


def outline(cell: np.uint64) -> BaseGeometry:
    """Return the hexagon of a cell as a polygon in degrees (lon, lat)."""
    return shapely.Polygon([(lon, lat) for lat, lon in h3n.cell_to_boundary(cell)])
