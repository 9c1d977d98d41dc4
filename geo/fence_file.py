"""Read fences from GeoJSON and say everything that is wrong with them.

This module owns the format of `fences.geojson`, the checks of its features, and the small helpers
by which all readers of a geography folder note problems. A polygon that passes is closed, valid,
in degrees and of a likely size. It must not know what fences are used for.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from sim.core.errors import LimitError, Problem, nearest

FENCE_KINDS = ("mall", "airport", "shop")

PROBLEMS_MAX = 100
"""Problems collected in one file before reading stops: a screenful is enough to see the cause."""

FILE_BYTES_MAX = 256 * 1024 * 1024
"""Largest file that is read, bytes: far above any country, far below memory."""

CORNERS_MAX = 200_000
"""Corners of one fence: forty times a detailed airfield; each is asked for every position."""

FENCE_AREA_KM2_MAX = 10_000.0
"""Largest fence, km2: anything larger is a region drawn by mistake, or swapped coordinates."""


@dataclasses.dataclass(frozen=True)
class Fence:
    """One feature of `fences.geojson`: degrees WGS84, `levels` >= 1 storeys."""

    name: str
    kind: int
    polygon: BaseGeometry
    iata: str = ""
    levels: int = 1
    synthetic: bool = False


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """Return a file as text, or None with a problem noted."""
    if path.stat().st_size > FILE_BYTES_MAX:
        problems.append(
            Problem("file is too large", file=str(path), expected=f"<= {FILE_BYTES_MAX} bytes")
        )
        return None
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(
            Problem(
                "not UTF-8",
                file=str(path),
                line=raw.count(b"\n", 0, error.start) + 1,
                found=f"byte 0x{raw[error.start]:02x} at offset {error.start}",
                expected="text saved as UTF-8",
            )
        )
        return None
    if not text.strip():
        problems.append(Problem("file is empty", file=str(path), expected="a header and rows"))
        return None
    return text


def note(problems: list[Problem], problem: Problem) -> None:
    """Add a problem unless that would flood the screen."""
    if len(problems) < PROBLEMS_MAX:
        problems.append(problem)


def one_of(found: str, known: tuple[str, ...]) -> str:
    close = nearest(found, known)
    return f"one of {', '.join(known)}" + (f" (nearest: {close})" if close else "")


def read_fences(path: Path, problems: list[Problem]) -> list[Fence]:
    """Return the fences of a GeoJSON file; an absent file means none."""
    if not path.is_file():
        return []
    text = read_text(path, problems)
    if text is None:
        return []
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(
            Problem(f"not JSON: {error.msg}", file=str(path), line=error.lineno, expected="GeoJSON")
        )
        return []
    except ValueError as error:  # a number of thousands of digits
        problems.append(Problem(f"not JSON: {error}", file=str(path), expected="GeoJSON"))
        return []
    except RecursionError:
        problems.append(Problem("nested too deeply", file=str(path), expected="GeoJSON"))
        return []
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        problems.append(
            Problem("not GeoJSON", file=str(path), expected="a FeatureCollection with features")
        )
        return []
    fences: dict[str, Fence] = {}
    for i, feature in enumerate(features):
        fence = _fence(path, i, feature, problems)
        if fence is not None and fence.name in fences:
            at = f"features[{i}].properties.name"
            note(
                problems,
                Problem(
                    "name appears twice", str(path), None, at, repr(fence.name), "one of a kind"
                ),
            )
        elif fence is not None:
            fences[fence.name] = fence
    return list(fences.values())


def _fence(path: Path, i: int, feature: Any, problems: list[Problem]) -> Fence | None:
    """Return one checked feature, or None with its problems noted."""
    where, title = f"features[{i}]", ""
    before = len(problems)

    def wrong(message: str, key: str, found: object, expected: str) -> None:
        at = f"{where}.{key}"
        told = f"fence {title!r}: {message}" if title else message
        note(problems, Problem(told, str(path), None, at, repr(found)[:120], expected))

    properties = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(properties, dict):
        wrong("not a feature", "properties", properties, "an object with name and kind")
        return None
    name, kind = properties.get("name"), properties.get("kind")
    iata, levels = properties.get("iata") or "", properties.get("levels", 1)
    if not isinstance(name, str) or not name.strip():
        close = nearest("name", [key for key in properties if key != "name"])
        wrong("missing name", "properties.name", close or name, "a text")
    else:
        title = name.strip()[:60]
    if kind not in FENCE_KINDS:
        wrong("unknown kind", "properties.kind", kind, one_of(str(kind), FENCE_KINDS))
    if not isinstance(iata, str) or len(iata) not in (0, 3):
        wrong("not an IATA code", "properties.iata", iata, "three letters")
    if not isinstance(levels, int) or isinstance(levels, bool) or not 1 <= levels <= 200:
        wrong("not a number of storeys", "properties.levels", levels, "a whole number, 1 to 200")
    polygon = _polygon(feature.get("geometry"), wrong, title or where)
    if polygon is None or len(problems) > before:
        return None
    return Fence(
        name=str(name).strip(),
        kind=FENCE_KINDS.index(str(kind)),
        polygon=polygon,
        iata=iata,
        levels=levels,
        synthetic=bool(properties.get("synthetic", False)),
    )


def _polygon(geometry: Any, wrong: Any, title: str) -> BaseGeometry | None:
    """Return a valid polygon in degrees, or None after calling `wrong`.

    Raises `LimitError` where there are more corners than a fence may have.
    """
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        wrong("not a polygon", "geometry.type", kind, "Polygon or MultiPolygon")
        return None
    parts: Any = geometry.get("coordinates")
    parts = [parts] if kind == "Polygon" else parts
    try:
        rings = [np.asarray(ring, dtype=np.float64)[:, :2] for part in parts for ring in part]
    except (TypeError, ValueError, IndexError, OverflowError):
        wrong("broken coordinates", "geometry.coordinates", parts, "rings of [lon, lat]")
        return None
    if not rings or any(len(ring) < 4 for ring in rings):
        wrong("ring too short", "geometry.coordinates", parts, "at least 4 positions in a ring")
        return None
    corners = sum(len(ring) for ring in rings)
    if corners > CORNERS_MAX:
        raise LimitError(
            f"the fence {title!r} has {corners:,} corners, at most {CORNERS_MAX:,}: simplify it"
        )
    for ring in rings:
        inside = (np.abs(ring[:, 0]) <= 180) & (np.abs(ring[:, 1]) <= 85)
        if not inside.all():
            bad = ring[~inside][0].tolist()
            wrong("position out of range", "geometry.coordinates", bad, "[lon, lat] in degrees")
            return None
        if not np.array_equal(ring[0], ring[-1]):
            wrong(
                "ring not closed",
                "geometry.coordinates",
                ring[-1].tolist(),
                f"the first position again, {ring[0].tolist()}",
            )
            return None
    drawn = shapely.force_2d(shape(geometry))
    polygon = drawn if drawn.is_valid and kind == "MultiPolygon" else _unwrapped(drawn)
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        wrong("polygon is not valid", "geometry", reason, "rings that do not cross themselves")
        return None
    lat = polygon.centroid.y
    area_km2 = polygon.area * 111.195**2 * float(np.cos(np.radians(lat)))
    if not 0 < area_km2 <= FENCE_AREA_KM2_MAX:
        wrong(
            "unlikely area",
            "geometry",
            f"{area_km2:g} km2",
            f"over 0 and at most {FENCE_AREA_KM2_MAX:g} km2",
        )
        return None
    return cut_at_180(polygon)


def _unwrapped(polygon: BaseGeometry) -> BaseGeometry:
    """Return a polygon that crosses 180 degrees with longitudes that go on past 180."""
    west, _, east, _ = polygon.bounds
    if east - west <= 180:
        return polygon
    return shapely.transform(polygon, lambda xy: xy + np.where(xy[:, :1] < 0, [360.0, 0.0], 0.0))


def cut_at_180(polygon: BaseGeometry) -> BaseGeometry:
    """Return a polygon cut in two at 180 degrees, as RFC 7946 asks, where it goes past it."""
    west, _, east, _ = polygon.bounds
    if west >= -180 and east <= 180:
        return polygon
    if west < -180:
        polygon = shapely.transform(polygon, lambda xy: xy + [360.0, 0.0])
    near = polygon.intersection(shapely.box(-180, -90, 180, 90))
    far = polygon.intersection(shapely.box(180, -90, 540, 90))
    far = shapely.transform(far, lambda xy: xy - [360.0, 0.0])
    parts = [part for side in (near, far) for part in shapely.get_parts(side)]
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])


def polygon_dict(polygon: BaseGeometry) -> dict[str, Any]:
    """Return a polygon as a GeoJSON geometry of plain lists."""
    return json.loads(json.dumps(mapping(polygon)))
