"""Cells of a recording: positions from a side file with versions, or from the rows themselves.

It owns which version of a cell is valid at a moment, and the key of a bare position.  It must not
know the cells of the simulated network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sim.core.errors import LimitError, Problem, ScenarioError
from sim.record.source_bytes import InputFile
from sim.record.source_columns import (
    NO_REASON,
    Batch,
    Texts,
    from_strings,
    header,
    text_batches,
)
from sim.record.source_ids import Names
from sim.record.source_spec import (
    REASONS,
    CellRule,
    CellTable,
    CodeRule,
    IdRule,
    Limits,
    SourceSpec,
    TimeRule,
)
from sim.record.source_time import local_ms
from sim.record.source_values import OK, decimals

POSITION_DIGITS = 5
"""Digits of a position that make it one place: 5 are about a metre."""
PROBLEMS_MAX = 100
_NEVER = -(1 << 62)
_POSITION = re.compile(rf"-?\d+\.\d{{{POSITION_DIGITS}}},-?\d+\.\d{{{POSITION_DIGITS}}}", re.ASCII)
_DEGREES = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)


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
    if not _POSITION.fullmatch(key):
        return math.nan, math.nan
    lat, lon = (float(part) for part in key.split(","))
    inside = abs(lat) <= 90 and abs(lon) <= 180
    return (lat, lon) if inside else (math.nan, math.nan)


def cell_file(table: CellTable, base: Path) -> InputFile:
    """Return the side file of cells below the folder of a recording, or refuse it."""
    path = base / table.file
    try:
        inside = path.resolve().is_relative_to(base.resolve()) and path.is_file()
    except OSError:  # a name that the system does not take
        inside = False
    if not inside:
        raise ScenarioError(
            "no such file of cells", file=table.file[:200], path="cells.file",
            expected="a file below the recording",
        )  # fmt: skip
    info = path.stat()
    return InputFile("cells", path, table.file, "", info.st_size, info.st_mtime_ns, info.st_ino)


def read_cells(table: CellTable, base: Path, names: Names, limits: Limits) -> CellVersions:
    """Read the side file, whole; all its problems in one error."""
    file = cell_file(table, base)
    valid = (table.valid_from,) if table.valid_from else ()
    spec = SourceSpec(
        name="cells", files=(), event_type=CodeRule(constant=0),
        event_time=TimeRule(columns=valid), subscriber=IdRule(column=table.key),
        cell=CellRule(lat=table.lat, lon=table.lon), delimiter=table.delimiter, ignore=("*",),
        skip_blank=True,
    )  # fmt: skip
    columns, problems = header(spec, file, limits)
    if problems:
        raise ScenarioError.collect(problems)
    rows = _cell_rows(table, text_batches(spec, file, limits, columns, None), limits)
    keys = from_strings([row[0] for row in rows])
    return CellVersions(names.hashes(keys), rows, table.required)


def _cell_rows(
    table: CellTable, batches: Iterable[Batch], limits: Limits
) -> list[tuple[str, int, float, float]]:
    """Return the rows of the side file; up to a hundred of its problems in one error."""
    rows: list[tuple[str, int, float, float]] = []
    problems: list[Problem] = []
    seen: set[tuple[str, int]] = set()
    for batch in batches:
        shown = batch.file.shown
        for i in range(len(batch)):
            line, reason = int(batch.line[i]), int(batch.reason[i])
            row = None
            if reason != NO_REASON:
                problems.append(
                    Problem(f"a broken line: {REASONS[reason]}", file=shown, line=line,
                            path="cells", expected="a whole line with its line end")
                )  # fmt: skip
            elif (row := _cell_row(table, batch, i)) is None:
                problems.append(
                    Problem("not a cell", file=shown, line=line, path="cells",
                            expected="key, latitude, longitude, and an ISO date if told")
                )  # fmt: skip
            elif row[:2] in seen:
                problems.append(
                    Problem("the cell stands twice", file=shown, line=line, path="cells",
                            found=row[0][:60], expected="one row for each key and first day")
                )  # fmt: skip
            if len(problems) >= PROBLEMS_MAX:
                raise ScenarioError.collect(problems)
            if row is not None and row[:2] not in seen:
                seen.add(row[:2])
                rows.append(row)
            if len(rows) > limits.cells:
                raise LimitError(f"{shown}: more than {limits.cells} cells")
    if not rows and not problems:
        problems.append(Problem("the file has no cells", file=table.file))
    if problems:
        raise ScenarioError.collect(problems)
    return rows


def _cell_row(table: CellTable, batch: Batch, i: int) -> tuple[str, int, float, float] | None:
    key, lat, lon = (batch.columns[name].at(i) for name in (table.key, table.lat, table.lon))
    if not key or not _DEGREES.fullmatch(lat) or not _DEGREES.fullmatch(lon):
        return None
    told = batch.columns[table.valid_from].at(i) if table.valid_from else ""
    from_ms = local_ms(told, table.zone) if told else _NEVER
    if abs(float(lat)) > 90 or abs(float(lon)) > 180 or from_ms is None:
        return None
    return key, from_ms, float(lat), float(lon)
