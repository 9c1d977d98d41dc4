"""Read a geography folder and say everything that is wrong with it.

This module owns the table formats (`places.csv`, `towers.csv`, `sources.json`), their checks and
the search for a folder by name. Every defect of every file becomes one `Problem`
with file, line or feature, what was found and what would be right, and all are raised together.
It must not know hexes, cells or what is built from the rows.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geo.fence_file import Fence, note, one_of, read_fences, read_text
from sim.core.errors import Problem, ScenarioError, nearest

DATA_DIR = Path(__file__).parent / "data"
POSITION_KINDS = ("mast", "pixel", "estimate")
PLACE_COLUMNS = ("name", "lat", "lon", "population", "region", "utc_offset_h")
TERRITORY_MARGIN_DEG = 3.0
"""Latitude around the places in which towers and fences may stand, degrees: 330 km."""
TOWER_COLUMNS = ("lat", "lon", "position_kind")


@dataclasses.dataclass(frozen=True)
class Folder:
    """A geography folder as read.

    Attributes
    ----------
    place_lat, place_lon : (n_place,) float64, degrees; place_people : (n_place,) int64
    place_tz_q : (n_place,) int64, quarter hours east of UTC
    tower_lat, tower_lon : (n_tower,) float64, degrees
    tower_kind : (n_tower,) uint8, index of POSITION_KINDS
    """

    path: Path
    place_names: tuple[str, ...]
    place_regions: tuple[str, ...]
    place_lat: NDArray[np.float64]
    place_lon: NDArray[np.float64]
    place_people: NDArray[np.int64]
    place_tz_q: NDArray[np.int64]
    tower_lat: NDArray[np.float64]
    tower_lon: NDArray[np.float64]
    tower_kind: NDArray[np.uint8]
    fences: tuple[Fence, ...]
    sources: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]


def shipped_folders() -> tuple[str, ...]:
    """Return the names of the geography folders that come with the package, sorted."""
    return tuple(sorted(p.parent.name for p in DATA_DIR.glob("*/places.csv")))


def find_folder(folder: str, base_dir: Path | None = None) -> Path:
    """Return the path of a geography folder: a shipped name, or a path from `base_dir`."""
    if folder in shipped_folders():
        return DATA_DIR / folder
    try:
        path = ((base_dir or Path.cwd()) / folder).resolve()
        there = path.is_dir()
    except (OSError, ValueError):  # a NUL, a loop of links, a name too long
        there = False
    if not there:
        close = nearest(folder, shipped_folders())
        hint = f" (nearest shipped name: {close})" if close else ""
        raise ScenarioError(
            "no such geography folder" + hint,
            path="geography.folder",
            found=repr(folder),
            expected=f"one of {', '.join(shipped_folders())}, or a folder beside the scenario file",
        )
    return path


def read_folder(path: Path) -> Folder:
    """Read and check all files of a geography folder; raise one error with all problems."""
    problems: list[Problem] = []
    places = _read_table(path / "places.csv", PLACE_COLUMNS, problems, required=True)
    towers = _read_table(path / "towers.csv", TOWER_COLUMNS, problems, required=False)
    place_rows = [row for raw in places if (row := _place(path, raw, problems)) is not None]
    tower_rows = [row for raw in towers if (row := _tower(path, raw, problems)) is not None]
    if not problems and place_rows and sum(row[3] for row in place_rows) == 0:
        problems.append(
            Problem(
                "nobody lives here",
                file=str(path / "places.csv"),
                path="population",
                found="0 in every row",
                expected="at least one place with residents",
            )
        )
    fences = read_fences(path / "fences.geojson", problems)
    if place_rows:
        _check_inside(path, place_rows, towers, fences, problems)
    sources = _read_sources(path, problems)
    if problems:
        raise ScenarioError.collect(problems)
    columns = list(zip(*place_rows, strict=True))
    tower_columns = list(zip(*tower_rows, strict=True)) or [(), (), ()]
    return Folder(
        path=path,
        place_names=tuple(columns[0]),
        place_regions=tuple(columns[4]),
        place_lat=np.array(columns[1], dtype=np.float64),
        place_lon=np.array(columns[2], dtype=np.float64),
        place_people=np.array(columns[3], dtype=np.int64),
        place_tz_q=np.array(columns[5], dtype=np.int64),
        tower_lat=np.array(tower_columns[0], dtype=np.float64),
        tower_lon=np.array(tower_columns[1], dtype=np.float64),
        tower_kind=np.array(tower_columns[2], dtype=np.uint8),
        fences=tuple(fences),
        sources=tuple(sources),
        warnings=tuple(_unstated(path, sources)),
    )


def _check_inside(
    folder: Path,
    places: list[tuple[str, float, float, int, str, int]],
    towers: list[tuple[int, dict[str, str]]],
    fences: list[Fence],
    problems: list[Problem],
) -> None:
    """Note towers and fences that lie outside the rectangle of the places and its surroundings."""
    lats, lons = [row[1] for row in places], [row[2] for row in places]
    south, north = min(lats) - TERRITORY_MARGIN_DEG, max(lats) + TERRITORY_MARGIN_DEG
    # A degree of longitude is short in the north; 4 is its factor at 75 degrees.
    west, east = min(lons) - 4 * TERRITORY_MARGIN_DEG, max(lons) + 4 * TERRITORY_MARGIN_DEG

    def inside(lat: float, lon: float) -> bool:
        return south <= lat <= north and any(west <= lon + k <= east for k in (-360, 0, 360))

    def outside(file: str, line: int | None, path: str, lat: float, lon: float) -> None:
        hint = "; are latitude and longitude swapped?" if inside(lon, lat) else ""
        note(
            problems,
            Problem(
                f"outside the territory{hint}",
                file=str(folder / file),
                line=line,
                path=path,
                found=f"latitude {lat:g}, longitude {lon:g}",
                expected=f"latitude {south:.1f} to {north:.1f}, longitude {west:.1f} to {east:.1f},"
                " around the places",
            ),
        )

    for line, row in towers:
        try:
            lat, lon = float(row["lat"]), float(row["lon"])
        except ValueError:
            continue
        if abs(lat) <= 85 and abs(lon) <= 180 and not inside(lat, lon):
            outside("towers.csv", line, "lat", lat, lon)
    for fence in fences:
        point = fence.polygon.representative_point()
        if not inside(point.y, point.x):
            outside("fences.geojson", None, f"fence {fence.name!r}", point.y, point.x)


def _read_table(
    path: Path, columns: tuple[str, ...], problems: list[Problem], *, required: bool
) -> list[tuple[int, dict[str, str]]]:
    """Return (line, row) for every data row of a CSV file with at least `columns`."""
    if not path.is_file():
        if required:
            problems.append(
                Problem(
                    "file is missing",
                    file=str(path),
                    expected=f"a CSV file with columns {', '.join(columns)}",
                )
            )
        return []
    text = read_text(path, problems)
    if text is None:
        return []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(reader)]
        if not _header_ok(path, header, columns, problems):
            return []
        for cells in reader:
            if not cells or all(not cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                note(
                    problems,
                    Problem(
                        "wrong number of columns",
                        file=str(path),
                        line=reader.line_num,
                        found=str(len(cells)),
                        expected=str(len(header)),
                    ),
                )
                continue
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            rows.append((reader.line_num, row))
    except csv.Error as error:
        problems.append(
            Problem(f"not CSV: {error}", file=str(path), line=reader.line_num, expected="RFC 4180")
        )
        return []
    if not rows and required:
        problems.append(
            Problem("no rows", file=str(path), line=1, expected="at least one row below the header")
        )
    return rows


def _header_ok(
    path: Path, header: list[str], columns: tuple[str, ...], problems: list[Problem]
) -> bool:
    """Note missing and repeated columns; return whether rows can be read."""
    missing = [name for name in columns if name not in header]
    for name in missing:
        close = nearest(name, [h for h in header if h not in columns])
        problems.append(
            Problem(
                "missing column",
                file=str(path),
                line=1,
                path=name,
                found=f"{close!r}, the nearest name" if close else ", ".join(header),
                expected=f"a column named {name!r}",
            )
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    for name in repeated:
        problems.append(
            Problem("column appears twice", file=str(path), line=1, path=name, expected="once")
        )
    return not missing and not repeated


def _number(
    path: Path,
    line: int,
    row: dict[str, str],
    column: str,
    low: float,
    high: float,
    problems: list[Problem],
) -> float | None:
    """Return a finite number in low..high, or None with a problem noted."""
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if low <= value <= high:
        return value
    note(
        problems,
        Problem(
            "out of range" if value == value else "not a number",
            file=str(path),
            line=line,
            path=column,
            found=repr(row[column]),
            expected=f"a number from {low:g} to {high:g}",
        ),
    )
    return None


def _place(
    folder: Path, raw: tuple[int, dict[str, str]], problems: list[Problem]
) -> tuple[str, float, float, int, str, int] | None:
    line, row = raw
    path = folder / "places.csv"
    lat = _number(path, line, row, "lat", -85, 85, problems)
    lon = _number(path, line, row, "lon", -180, 180, problems)
    people = _number(path, line, row, "population", 0, 2e8, problems)
    offset = _number(path, line, row, "utc_offset_h", -12, 14, problems)
    for column in ("name", "region"):
        if not row[column]:
            note(
                problems,
                Problem("empty", file=str(path), line=line, path=column, expected="a name"),
            )
    if offset is not None and offset * 4 != round(offset * 4):
        note(
            problems,
            Problem(
                "not a UTC offset",
                file=str(path),
                line=line,
                path="utc_offset_h",
                found=row["utc_offset_h"],
                expected="hours in steps of 0.25",
            ),
        )
    if lat is None or lon is None or people is None or offset is None:
        return None
    return row["name"], lat, lon, round(people), row["region"], round(offset * 4)


def _tower(
    folder: Path, raw: tuple[int, dict[str, str]], problems: list[Problem]
) -> tuple[float, float, int] | None:
    line, row = raw
    path = folder / "towers.csv"
    lat = _number(path, line, row, "lat", -85, 85, problems)
    lon = _number(path, line, row, "lon", -180, 180, problems)
    kind = row["position_kind"]
    if kind not in POSITION_KINDS:
        note(
            problems,
            Problem(
                "unknown kind",
                file=str(path),
                line=line,
                path="position_kind",
                found=repr(kind),
                expected=one_of(kind, POSITION_KINDS),
            ),
        )
        return None
    if lat is None or lon is None:
        return None
    return lat, lon, POSITION_KINDS.index(kind)


def _unstated(folder: Path, sources: list[dict[str, str]]) -> list[str]:
    """Return a warning about files of which nobody says whose they are."""
    stated = {entry["file"] for entry in sources}
    names = [
        name
        for name in ("places.csv", "towers.csv", "fences.geojson")
        if (folder / name).is_file() and name not in stated
    ]
    if not names:
        return []
    return [
        f"{folder.name}: sources.json does not say whose {', '.join(names)} are: manifest and "
        "report call their licence `not stated`"
    ]


def _read_sources(folder: Path, problems: list[Problem]) -> list[dict[str, str]]:
    """Return the provenance of the files; none where the file is absent."""
    path = folder / "sources.json"
    if not path.is_file():
        return []
    text = read_text(path, problems)
    if text is None:
        return []
    keys = ("file", "name", "origin", "licence", "attribution", "note")
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(Problem(f"not JSON: {error.msg}", file=str(path), line=error.lineno))
        return []
    except (ValueError, RecursionError) as error:  # thousands of digits, thousands of brackets
        problems.append(Problem(f"not JSON: {error}", file=str(path)))
        return []
    good: list[dict[str, str]] = []
    for i, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            note(
                problems,
                Problem(
                    "not a source",
                    file=str(path),
                    path=f"[{i}]",
                    found=repr(entry)[:120],
                    expected=f"an object with {', '.join(keys)}",
                ),
            )
            continue
        good.append({key: str(entry.get(key, "")) for key in keys})
    return good
