"""A slow, plain reader of recorded files, written from the stated rules alone.

It shares no code with `sim.record`: lines are split by hand and held against the module `csv`,
numbers are `Decimal`, zones come from `zoneinfo`.  What it returns, or refuses, is what the real
reader must return, or refuse.
"""

from __future__ import annotations

import csv
import gzip
import re
import statistics
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import event_values as values
from tests.event_account import KINDS, Refused, Row, Told, account

LINE_MAX = 1 << 20
COLUMNS_MAX = 1_024
MAGIC = (b"PAR1", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"\x93NUMPY")


def read(mapping: Any, root: Path, share: float) -> Told:
    """Return what a recording says under a mapping, or raise `Refused`."""
    told = Told()
    cells = cell_table(mapping, root)
    everything: list[tuple[Any, list[Row]]] = []
    for _, source in sorted(mapping.sources.items()):
        files = files_of(source, root)
        checked = [(path, *table_of(source, path, told)) for path in files]
        rows: list[Row] = []
        clock = Clock(source)
        for path, names, lines in checked:
            clock.next_file()
            batch = [Row(v) if isinstance(v, dict) else Row(None, v) for v in lines]
            Typed(mapping, source, path, cells, told, names).run(batch)
            clock.judge(batch)
            rows += batch
        if not rows:
            raise Refused("no rows")
        everything.append((source, rows))
    return account(mapping, everything, cells, told, share)


def files_of(source: Any, root: Path) -> list[Path]:
    """Return the files of a source in the order of people."""
    found = {
        path
        for pattern in source.files
        for path in values.glob(root, pattern)
        if not path.is_dir() and not path.name.startswith(".")
    }
    if not found:
        raise Refused("no file")
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()) or path.stat().st_size == 0:
            raise Refused("empty, or outside")

    def natural(path: Path) -> list[Any]:
        parts = re.split(r"([0-9]+)", path.relative_to(root).as_posix())
        return [(1, int(p), p) if p.isdigit() and p.isascii() else (0, 0, p) for p in parts]

    return sorted(found, key=natural)


def table_of(source: Any, path: Path, told: Told) -> tuple[list[str], list[Any]]:
    """Return the columns of a file, and for each row its values by column or its fault."""
    by_name = path.name.endswith((".parquet", ".pq"))
    if source.format == "parquet" or (source.format == "any" and by_name):
        try:
            names, rows = values.parquet(path, values.wanted(source))
        except values.Unreadable as error:
            raise Refused(str(error)) from None
        columns(source, names, told)
        for name in values.wanted(source):
            for row in rows:
                row.setdefault(name, "")
        return names, [stripped(source, row) for row in rows]
    lines, cut = text_lines(source, path, told)
    names = header(source, lines, told)
    out: list[Any] = []
    for line in lines:
        if not line:
            continue
        fields = split(line, source.delimiter, source.quote)
        if fields is None or len(fields) != len(names):
            out.append("broken")
            continue
        row = {n: v for n, v in zip(names, fields, strict=True) if n in values.wanted(source)}
        for name in values.wanted(source):
            row.setdefault(name, "")
        out.append(stripped(source, row))
    if cut and out and lines[-1]:
        out[-1] = "unterminated"
    return names, out if source.columns else out[1:]


def stripped(source: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without blanks around its texts, where the mapping says so."""
    if not source.skip_blank:
        return row
    return {k: v.strip(" \t") if isinstance(v, str) else v for k, v in row.items()}


def text_lines(source: Any, path: Path, told: Told) -> tuple[list[str], bool]:
    """Return the lines of a text file, and whether the last one has no end."""
    data = path.read_bytes()
    if data.startswith(MAGIC):
        raise Refused("no text")
    if data.startswith(b"\x1f\x8b"):
        try:
            whole = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise Refused("damaged gzip") from None
        told.unsure += "gzip with a tail; " if data.endswith(b"\0\0\0\0\0\0\0\0") else ""
        data = whole
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if utf16 and not source.encoding.lower().replace("_", "-").startswith("utf-16"):
        raise Refused("utf-16")
    try:
        text = data.decode(source.encoding).removeprefix("\ufeff")
        lines = text.split("\n")
        if any(len(line.encode()) > LINE_MAX for line in lines):
            raise Refused("a line that is too long")
    except UnicodeError:
        raise Refused("another encoding") from None
    cut = lines[-1] != ""
    return [line.removesuffix("\r") for line in (lines if cut else lines[:-1])], cut


def header(source: Any, lines: list[str], told: Told) -> list[str]:
    """Return the names of the columns of a text file."""
    if not lines or not lines[0].strip() or {"\0", "\r"} & set(lines[0]):
        raise Refused("no header")
    try:
        names = next(csv.reader([lines[0]], delimiter=source.delimiter, quotechar=source.quote))
    except csv.Error:
        raise Refused("no header") from None
    if source.columns:
        if len(names) != len(source.columns):
            raise Refused("another number of columns")
        names = list(source.columns)
        if not set(values.wanted(source)) <= set(names) | set(source.optional):
            raise Refused("a column is missing")
        return names
    if source.skip_blank:
        names = [name.strip() for name in names]
    columns(source, names, told)
    return names


def columns(source: Any, names: list[str], told: Told) -> None:
    """Refuse columns that are missing, twice or unknown; an optional one may be lacking."""
    needed = values.wanted(source)
    if len(names) > COLUMNS_MAX or len(set(names)) < len(names):
        raise Refused("columns")
    missing = [name for name in needed if name not in names]
    if set(missing) - set(source.optional):
        raise Refused("a column is missing")
    unknown = [n for n in names if n not in needed and n not in source.ignore]
    if unknown and "*" not in source.ignore:
        raise Refused("an unknown column")
    for name in missing:
        for other in unknown:
            if values.one_slip(name.casefold(), other.casefold().strip()):
                raise Refused("an optional column, misspelt")
        if unknown:
            told.unsure += f"{name} is missing and {unknown} unknown; "


def split(line: str, delimiter: str, quote: str) -> list[str] | None:
    """Return the fields of a line, or None where it is broken; a quoted field ends in its line."""
    fields, i, n = [], 0, len(line)
    while True:
        if i < n and line[i] == quote:
            end = i + 1
            while (end := line.find(quote, end)) >= 0 and line[end + 1 : end + 2] == quote:
                end += 2
            if end < 0 or (end + 1 < n and line[end + 1] != delimiter):
                return None
            fields.append(line[i + 1 : end].replace(quote + quote, quote))
            i = end + 1
        else:
            end = line.find(delimiter, i)
            end = n if end < 0 else end
            fields.append(line[i:end])
            if quote in fields[-1]:
                return None
            i = end
        if i >= n:
            break
        i += 1
    if "\0" in line or "\r" in line:
        return None
    if all(len(f) < csv.field_size_limit() for f in fields):
        told = next(csv.reader([line], delimiter=delimiter, quotechar=quote, strict=True))
        assert told == fields, (line, told, fields)
    return fields


class Typed:
    """The rows of one file under the rules of its source, step by step."""

    def __init__(self, mapping, source, path, cells, told, names) -> None:
        self.mapping, self.source, self.path = mapping, source, path
        self.cells, self.told, self.names = cells, told, names
        self.rows: list[Row] = []

    def run(self, rows: list[Row]) -> None:
        """Fill the rows; one that cannot be taken gets a fault."""
        self.rows = rows
        for step in (self.kinds, self.moments, self.ranges, self.sides, self.numbers,
                     self.places, self.events, self.people):  # fmt: skip
            step()

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if not row.fault]

    def _code(self, rule: Any, row: Row) -> str:
        if rule.constant is not None:
            return rule.constant
        text = values.plain(row.values[rule.column]) if row.values else ""
        folded = {k.casefold(): v for k, v in rule.values.items()}
        return folded.get(text.casefold(), "") if len(text.encode()) <= 64 else ""

    def kinds(self) -> None:
        for row in self.good:
            row.kind = self._code(self.source.event_type, row)
            row.fault = "" if row.kind else "kind"
            if row.kind == "skip":
                row.fault = "skip"

    def moments(self) -> None:
        rule = self.source.event_time
        zone = "" if rule.zone == "own" else rule.zone or self.mapping.zone
        names = [rule.column] if isinstance(rule.column, str) else list(rule.column)
        bare = []
        for row in self.good:
            ms, local = values.moment(row.values, names, rule, zone)
            if ms is None:
                row.fault = "time"
            elif local:
                bare.append((row, ms))
            row.ms = (ms or 0) + rule.offset_s * 1_000
        if bare and not zone:
            raise Refused("no zone")
        for row, wall in bare:
            found = values.instants(wall, zone)
            if not found and rule.missing_hour == "refuse":
                raise Refused("an hour that does not exist")
            if len(found) > 1 and rule.repeated_hour == "refuse":
                raise Refused("an hour that comes twice")
            if not found or (len(found) > 1 and rule.repeated_hour == "quarantine"):
                row.fault = "hour"
                continue
            row.ms = found[-1 if rule.repeated_hour == "later" else 0] + rule.offset_s * 1_000

    def ranges(self) -> None:
        low, high = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) * 1_000 for y in (1990, 2100))
        begin, end = values.window(self.mapping)
        good = self.good
        wrong = [
            row for row in good
            if not low <= row.ms < high or (begin is not None and row.ms < begin)
            or (end is not None and row.ms >= end)
        ]  # fmt: skip
        if len(wrong) * 2 > len(good):
            raise Refused("out of range")
        for row in wrong:
            row.fault = "range"

    def sides(self) -> None:
        if self.source.direction is None:
            return
        for row in self.good:
            row.side = self._code(self.source.direction, row)
            row.fault = "" if row.side else "side"

    def _number(self, rule: Any, rows: list[Row], low: int, high: int) -> dict[int, tuple]:
        """Return (value, missed) of rows by id; faults are told."""
        out = {}
        if rule is None:
            return out
        n_bad = 0
        for row in [r for r in rows if not r.fault]:
            told = values.number(row.values[rule.column], rule, self.source, self.mapping)
            if told is None or not low <= told[0] <= high:
                n_bad += told is None
                row.fault = "number"
            else:
                out[id(row)] = told
        if n_bad:
            self.told.unsure += f"{n_bad} bad {rule.column}; " if n_bad * 2 > len(rows) else ""
        return out

    def numbers(self) -> None:
        s, good = self.source, self.good
        by = {kind: [row for row in good if row.kind == kind] for kind in KINDS}
        seconds = self._number(s.duration_s, by["voice"], 0, 7 * 86_400)
        pieces = self._number(s.pieces, by["sms"], 1, 100_000)
        up = self._number(s.bytes_up, by["data"], 0, 1 << 50)
        down = self._number(s.bytes_down, by["data"], 0, 1 << 50)
        amount = self._number(s.amount, good, 0, 10**15)
        for row in self.good:
            key = id(row)
            row.amount = amount.get(key, (0, False))[0]
            if row.kind == "topup" and row.amount <= 0:
                row.fault = "sum"
            value, missed = seconds.get(key, (0, False))
            one = pieces[key][0] if key in pieces else 1
            data = up.get(key, (0,))[0] + down.get(key, (0,))[0]
            row.units = {
                "voice": value, "sms": one, "data": data, "topup": row.amount, "location": 0
            }[row.kind]  # fmt: skip
            row.flags = 2 if missed else 0
        if s.balance_before is None or s.balance_after is None:
            return
        sums = [row for row in self.good if row.kind == "topup"]
        before = self._number(s.balance_before, sums, -(10**15), 10**15)
        after = self._number(s.balance_after, sums, -(10**15), 10**15)
        for row in [r for r in sums if not r.fault]:
            off = before[id(row)][0] + row.amount - after[id(row)][0]
            row.fault = "balance" if abs(off) > s.balance_tolerance_minor else ""

    def places(self) -> None:
        rule = self.source.cell
        for row in self.good if rule is not None else ():
            if rule.column:
                row.cell = row.values[rule.column]
            else:
                place = values.position(row.values[rule.lat], row.values[rule.lon], self.source)
                row.fault = "position" if place is None else ""
                row.cell = place or ""
            required = self.mapping.cells is not None and self.mapping.cells.unknown != "admit"
            if row.cell and required and row.cell not in self.cells:
                row.fault = "cell"
        for row in self.good:
            row.fault = "nowhere" if row.kind == "location" and not row.cell else ""

    def events(self) -> None:
        s = self.source
        parts = (*s.event_id, *([s.record_seq] if s.record_seq else ())) if s.event_id else ()
        for row in self.good if parts else ():
            row.event = tuple(row.values[name] for name in parts)
            row.fault = "" if row.event[0] else "id"

    def people(self) -> None:
        s, rule = self.source, self.mapping.numbers
        told = None
        if s.subscriber_id.file_name:
            head, tail = s.subscriber_id.file_name.split("{id}")
            name = self.path.name
            if not (name.startswith(head) and name.endswith(tail)) or len(name) <= len(head + tail):
                raise Refused("no id in the name of the file")
            told = name[len(head) : len(name) - len(tail)]
        for row in self.good:
            row.sub = values.normal(row.values[s.subscriber_id.column] if told is None else told,
                                    rule)  # fmt: skip
            row.fault = "" if row.sub else "nobody"
            if rule.country_code and not re.fullmatch("[0-9]+", row.sub):
                row.fault = row.fault or "no number"
            if s.counterpart:
                row.peer = values.normal(row.values[s.counterpart], rule)
            if s.derive == "two_sided":
                row.side = "mo"
                named = rule.country_code and not re.fullmatch("[0-9]*", row.peer)
                row.peer = "" if named else row.peer


class Clock:
    """How far a source has come: the largest median of 15 neighbouring good rows."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.begin()

    def begin(self) -> None:
        self.now, self.seen = -(1 << 62), []

    def next_file(self) -> None:
        if self.source.order == "file":
            self.begin()

    def judge(self, rows: list[Row]) -> None:
        """Mark the good rows that are too late."""
        if self.source.order == "none":
            return
        for row in rows:
            if row.fault:
                continue
            row.late = row.ms < self.now - self.source.late_max_s * 1_000
            self.seen = [*self.seen[-14:], row.ms]
            if len(self.seen) == 15:
                self.now = max(self.now, statistics.median(self.seen))


def cell_table(mapping: Any, root: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Return the versions of each cell of the side file, the first first."""
    try:
        return values.cells(mapping, root, split)
    except values.Unreadable as error:
        raise Refused(str(error)) from None
