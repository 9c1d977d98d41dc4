"""Cells of a recording: positions from a side file with versions, or from the rows themselves.

It owns which version of a cell is valid at a moment, and the key of a bare position.  It must not
know the cells of the simulated network.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from sim.core.errors import LimitError, Problem, ScenarioError
from sim.record.source_bytes import InputFile, blocks
from sim.record.source_columns import Texts, from_strings
from sim.record.source_ids import Names
from sim.record.source_spec import CellTable, CodeRule, Limits, SourceSpec, TimeRule
from sim.record.source_time import local_ms
from sim.record.source_values import OK, decimals

POSITION_DIGITS = 5
"""Digits of a position that make it one place: 5 are about a metre."""
_NEVER = -(1 << 62)


class CellVersions:
    """The cells of a side file, in order of key and first day."""

    def __init__(
        self, hashes: np.ndarray, rows: list[tuple[str, int, float, float]], required: bool
    ) -> None:
        order = sorted(range(len(rows)), key=lambda i: rows[i][:2])
        self.keys = [rows[i][0] for i in order]
        self.from_ms = np.array([rows[i][1] for i in order], np.int64)
        self.lat = np.array([rows[i][2] for i in order], np.float64)
        self.lon = np.array([rows[i][3] for i in order], np.float64)
        self.required = required
        self._hash = hashes[order]
        by_hash = np.lexsort((self.from_ms, self._hash))
        self._sorted = self._hash[by_hash]
        self._from = self.from_ms[by_hash]
        self._index = by_hash.astype(np.int32)

    def __len__(self) -> int:
        return len(self.keys)

    def known(self, hashes: np.ndarray) -> np.ndarray:
        """Return whether each hash is a cell of the file."""
        if not len(self._sorted):
            return np.zeros(len(hashes), bool)
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        return self._sorted[at] == hashes

    def index(self, hashes: np.ndarray, ts_ms: np.ndarray) -> np.ndarray:
        """Return the row of the version valid at each moment, the first before it begins; -1."""
        if not len(self._sorted):
            return np.full(len(hashes), -1, np.int32)
        last = len(self._sorted) - 1
        at = np.minimum(np.searchsorted(self._sorted, hashes), last)
        there = self._sorted[at] == hashes
        while True:
            after = np.minimum(at + 1, last)
            further = there & (after > at) & (self._sorted[after] == hashes)
            further &= self._from[after] <= ts_ms
            if not further.any():
                return np.where(there, self._index[at], -1).astype(np.int32)
            at = np.where(further, after, at)


def positions(lat: Texts, lon: Texts, decimal: str) -> Texts:
    """Return a key for each position; a bad one begins at -1, an empty one is empty."""
    parts = []
    for texts in (lat, lon):
        out, status = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.uint8)
        decimals(texts.data, texts.begin, texts.end, POSITION_DIGITS, ord(decimal), 0, out, status)
        parts.append((out, status))
    (la, ls), (lo, os_) = parts
    one = 10**POSITION_DIGITS
    bad = (ls != OK) | (os_ != OK) | (np.abs(la) > 90 * one) | (np.abs(lo) > 180 * one)
    empty = (lat.end <= lat.begin) & (lon.end <= lon.begin)
    packed = la * (1 << 32) + lo
    distinct, back = np.unique(packed, return_inverse=True)
    names = [f"{_degrees(p)}" for p in distinct.tolist()]
    texts = from_strings(names).take(back)
    texts.begin[empty] = texts.end[empty]
    texts.begin[bad & ~empty] = -1
    texts.end[bad & ~empty] = 0
    return texts


def _degrees(packed: int) -> str:
    lo = (packed + (1 << 31)) % (1 << 32) - (1 << 31)
    la = (packed - lo) >> 32
    one = 10**POSITION_DIGITS
    return f"{la / one:.{POSITION_DIGITS}f},{lo / one:.{POSITION_DIGITS}f}"


def position_of(key: str) -> tuple[float, float]:
    """Return the position that a key is made of, NaN where it is another kind of key."""
    try:
        lat, lon = (float(part) for part in key.split(","))
    except ValueError:
        return math.nan, math.nan
    inside = abs(lat) <= 90 and abs(lon) <= 180
    return (lat, lon) if inside else (math.nan, math.nan)


def read_cells(table: CellTable, base: Path, names: Names, limits: Limits) -> CellVersions:
    """Read the side file, whole; all its problems in one error."""
    path = base / table.file
    if not path.resolve().is_relative_to(base.resolve()) or not path.is_file():
        raise ScenarioError(
            "no such file of cells", file=table.file, path="cells.file",
            expected="a file below the recording",
        )  # fmt: skip
    info = path.stat()
    file = InputFile("cells", path, table.file, "", info.st_size, info.st_mtime_ns, info.st_ino)
    spec = SourceSpec(
        name="cells", files=(), event_type=CodeRule(constant=0),
        event_time=TimeRule(columns=()), delimiter=table.delimiter,
    )  # fmt: skip
    rows, problems = _cell_rows(table, file, spec, limits)
    if problems:
        raise ScenarioError.collect(problems)
    keys = from_strings([row[0] for row in rows])
    return CellVersions(names.hashes(keys), rows, table.required)


def _cell_rows(
    table: CellTable, file: InputFile, spec: SourceSpec, limits: Limits
) -> tuple[list[tuple[str, int, float, float]], list[Problem]]:
    names: list[str] = []
    rows: list[tuple[str, int, float, float]] = []
    problems: list[Problem] = []
    seen: set[tuple[str, int]] = set()
    for block in blocks(file, spec, limits):
        for i, fields in enumerate(
            csv.reader(block.data.decode().splitlines(), delimiter=spec.delimiter)
        ):
            line = block.first_line + i
            if not names:
                names = [name.strip() for name in fields]
                wanted = {table.key, table.lat, table.lon, table.valid_from} - {""}
                missing = sorted(wanted - set(names))
                if missing:
                    return [], [
                        Problem(f"the column {name!r} is missing", file=file.shown, line=line,
                                found=", ".join(names)[:200])
                        for name in missing
                    ]  # fmt: skip
                continue
            if not any(fields):
                continue
            row = _cell_row(table, dict(zip(names, fields, strict=False)))
            if row is None:
                problems.append(
                    Problem("not a cell", file=file.shown, line=line, path="cells",
                            expected="key, latitude, longitude, and an ISO date if told")
                )  # fmt: skip
            elif row[:2] in seen:
                problems.append(
                    Problem("the cell stands twice", file=file.shown, line=line, path="cells",
                            found=row[0][:60], expected="one row for each key and first day")
                )  # fmt: skip
            if len(problems) >= 100:
                return rows, problems
            if row is None or row[:2] in seen:
                continue
            seen.add(row[:2])
            rows.append(row)
            if len(rows) > limits.cells:
                raise LimitError(f"{file.shown}: more than {limits.cells} cells")
    if not rows and not problems:
        problems.append(Problem("the file has no cells", file=file.shown))
    return rows, problems


def _cell_row(table: CellTable, values: dict[str, str]) -> tuple[str, int, float, float] | None:
    try:
        lat, lon = float(values[table.lat]), float(values[table.lon])
    except (KeyError, ValueError):
        return None
    inside = abs(lat) <= 90 and abs(lon) <= 180
    told = values.get(table.valid_from, "").strip() if table.valid_from else ""
    from_ms = local_ms(told, table.zone) if told else _NEVER
    key = values.get(table.key, "").strip()
    if not inside or from_ms is None or not key:
        return None
    return key, from_ms, lat, lon
