"""Batches of rows as texts by column, the same from CSV and from Parquet; headers held to a spec.

It owns the shape of a batch and the check of a file's columns before any row is read.  It must not
know what a column means.
"""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.core.errors import Problem, ScenarioError
from sim.record.source_bytes import Block, blocks, texts, too_long
from sim.record.source_kernels import (
    CONTROL,
    ESCAPED,
    FEW,
    MANY,
    OPEN_QUOTE,
    STRAY_QUOTE,
    tokenize,
    trim,
)
from sim.record.source_spec import REASONS, InputFile, Limits, SourceSpec, is_parquet

DELIMITERS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
NO_REASON = 255
_REASON_OF = {
    FEW: "too_few_fields", MANY: "too_many_fields", OPEN_QUOTE: "open_quote",
    STRAY_QUOTE: "stray_quote", CONTROL: "control_character",
}  # fmt: skip


@dataclass(frozen=True)
class Texts:
    """A column of texts: where each begins and ends in some bytes."""

    data: NDArray[np.uint8]
    begin: np.ndarray
    """(n,) int32 or int64."""
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.begin)

    def at(self, i: int) -> str:
        """Return one text."""
        return bytes(self.data[self.begin[i] : self.end[i]]).decode("utf-8", "replace")

    def take(self, rows: np.ndarray) -> Texts:
        """Return some of the texts."""
        return Texts(self.data, self.begin[rows], self.end[rows])


def from_strings(values: list[str]) -> Texts:
    """Return Python texts as a column."""
    encoded = [value.encode("utf-8") for value in values]
    ends = np.cumsum([len(e) for e in encoded], dtype=np.int64) if encoded else np.zeros(0, "i8")
    data = np.frombuffer(b"".join(encoded) + b"\0", np.uint8)
    return Texts(data, np.concatenate([np.zeros(1, "i8"), ends])[:-1], ends)


def nothing(n: int) -> Texts:
    """Return a column of empty texts."""
    return Texts(np.zeros(1, np.uint8), np.zeros(n, np.int64), np.zeros(n, np.int64))


@dataclass
class Batch:
    """Some rows of one file."""

    file: InputFile
    line: np.ndarray
    """(n,) int64, line of a text file or row of a Parquet file, from 1."""
    reason: np.ndarray
    """(n,) uint8, index of `REASONS` or `NO_REASON`; other columns of a faulty row are empty."""
    columns: dict[str, Texts]
    moments: dict[str, tuple[np.ndarray, np.ndarray, bool]] = field(default_factory=dict)
    """Columns that are moments by type: (n,) int64 ms, (n,) bool null, whether they are UTC."""

    def __len__(self) -> int:
        return len(self.line)


def wanted(spec: SourceSpec) -> tuple[str, ...]:
    """Return the columns that a spec reads, each once."""
    names = [
        spec.subscriber.column, *spec.event_time.columns, spec.event_type.column,
        spec.direction.column, *spec.event_id,
    ]  # fmt: skip
    if spec.counterpart is not None:
        names.append(spec.counterpart.column)
    if spec.cell is not None:
        names += [spec.cell.column, spec.cell.lat, spec.cell.lon]
    numbers = (
        spec.duration, spec.pieces, spec.bytes_up, spec.bytes_down, spec.amount,
        spec.balance_before, spec.balance_after,
    )  # fmt: skip
    names += [number.column for number in numbers if number is not None]
    return tuple(dict.fromkeys(name for name in names if name))


def column_problems(spec: SourceSpec, file: InputFile, names: list[str]) -> list[Problem]:
    """Return what is wrong with the columns of a file: missing, twice, unknown, another case."""
    found: list[Problem] = []
    needed = wanted(spec)
    line = None if is_parquet(spec, file.path.name) else 1
    for name, n in Counter(names).items():
        if n > 1:
            found.append(
                Problem(f"the column {name!r} stands {n} times", file=file.shown, line=line,
                        expected="each column once")
            )  # fmt: skip
    for name in needed:
        if name in names or name in spec.optional:
            continue
        close = _close(name, [n for n in names if n not in needed])
        found.append(
            Problem(
                f"the column {name!r} is missing" + (f"; {close!r} is there" if close else ""),
                file=file.shown, line=line, path=f"sources.{spec.name}",
                found=", ".join(n[:40] for n in names[:20]),
                expected=f"{name!r}, or another name in the mapping",
            )
        )  # fmt: skip
    known = {*needed, *spec.ignore}
    if not found and "*" in known:
        found += _misspelt(spec, file, names, line)
    elif not found:
        for name in names:
            if name not in known:
                close = _close(name, list(known))
                found.append(
                    Problem(
                        f"the column {name[:60]!r} is unknown"
                        + (f", did you mean {close!r}?" if close else ""),
                        file=file.shown, line=line, path=f"sources.{spec.name}.ignore",
                        expected=f"`ignore: [{name[:60]}]`, or a key of the mapping that reads it",
                    )
                )  # fmt: skip
    return found


def _misspelt(
    spec: SourceSpec, file: InputFile, names: list[str], line: int | None
) -> list[Problem]:
    """Return optional columns that stand there under almost their name, where `*` is ignored."""
    unknown = [n for n in names if n not in wanted(spec) and n not in spec.ignore]
    near = [(name, _close(name, unknown, cutoff=0.85)) for name in spec.optional]
    return [
        Problem(
            f"the column {name!r} is missing; {close[:60]!r} is there", file=file.shown, line=line,
            path=f"sources.{spec.name}.optional",
            expected=f"{name!r}, or {close[:60]!r} under `ignore`",
        )
        for name, close in near if name not in names and close is not None
    ]  # fmt: skip


def _close(name: str, known: list[str], *, cutoff: float = 0.6) -> str | None:
    folded = {k.casefold().strip().replace(" ", "_"): k for k in known}
    hits = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[hits[0]] if hits else None


def header(spec: SourceSpec, file: InputFile, limits: Limits) -> tuple[list[str], list[Problem]]:
    """Return the names of the columns of a text file, and what is wrong with them."""
    head = b""
    for text in texts(file, spec, limits, None):
        head += text
        if b"\n" in head or len(head) > limits.line_bytes:
            break
    line, mark, _ = head.partition(b"\n")
    if len(line) > limits.line_bytes:
        raise too_long(file, 1, limits)
    line = line.removesuffix(b"\r")
    if not line.strip():
        return [], [Problem("the first line is empty", file=file.shown, line=1)]
    if b"\0" in line or b"\r" in line:
        hint = "lines that end in LF or CRLF" if b"\r" in line else "text; perhaps it is utf-16"
        return [], [Problem("the first line is no text", file=file.shown, line=1, expected=hint)]
    try:
        names = next(csv.reader([line.decode()], delimiter=spec.delimiter, quotechar=spec.quote))
    except csv.Error:
        return [], [Problem("the first line is no CSV", file=file.shown, line=1)]
    if len(names) > limits.columns:
        return [], [Problem("too many columns", file=file.shown, line=1, found=str(len(names)))]
    if spec.columns:
        if len(names) == len(spec.columns):
            missing = [p for p in column_problems(spec, file, list(spec.columns))
                       if "unknown" not in p.message]  # fmt: skip
            return list(spec.columns), missing
        problem = Problem(
            "another number of columns than the mapping names", file=file.shown, line=1,
            found=str(len(names)), expected=str(len(spec.columns)),
        )  # fmt: skip
        return [], [_with_dialect(problem, line, spec, list(spec.columns), names)]
    if spec.skip_blank:
        names = [name.strip() for name in names]
    problems = column_problems(spec, file, names)
    if problems:
        first = _with_dialect(problems[0], line, spec, list(wanted(spec)), names)
        problems = [first, *problems[1:]]
    return names, problems


def _with_dialect(
    problem: Problem, line: bytes, spec: SourceSpec, names: list[str], read: list[str]
) -> Problem:
    """Say which dialect the first line looks like, where another one explains it.

    A dialect that reads the same columns explains nothing; where a column is only unknown, it may
    be that the mapping does not name it.

    Parameters
    ----------
    names : columns that the mapping reads; read : columns as the first line was read
    """
    text = line.decode()
    for quote in dict.fromkeys((spec.quote, '"', "'")):
        for delimiter, word in DELIMITERS.items():
            if (delimiter, quote) == (spec.delimiter, spec.quote):
                continue
            try:
                parts = next(csv.reader([text], delimiter=delimiter, quotechar=quote), [])
            except csv.Error:  # a field longer than that module takes
                continue
            right = len(parts) == len(names) if spec.columns else set(names) <= set(parts)
            if right and len(parts) > 1 and parts != read:
                hint = f"delimiter {word}" + (f" and quote {quote}" if quote != spec.quote else "")
                told = f"it looks like {hint}: set it in the mapping"
                if "unknown" in problem.message:
                    told = f"{problem.expected}; or {told}"
                return Problem(
                    problem.message, file=problem.file, line=problem.line, path=problem.path,
                    found=problem.found, expected=told,
                )  # fmt: skip
    return problem


def text_batches(
    spec: SourceSpec,
    file: InputFile,
    limits: Limits,
    names: list[str],
    on_bytes: Callable[[bytes], None] | None,
) -> Iterator[Batch]:
    """Give the rows of a text file."""
    skip = 0 if spec.columns else 1
    for block in blocks(file, spec, limits, on_bytes):
        for batch in _cut(spec, file, limits, names, block):
            if skip and len(batch):
                batch = _rest(batch, skip)
                skip = 0
            if len(batch):
                yield batch


def _rest(batch: Batch, skip: int) -> Batch:
    rows = np.arange(skip, len(batch))
    columns = {name: column.take(rows) for name, column in batch.columns.items()}
    return Batch(batch.file, batch.line[rows], batch.reason[rows], columns)


def _cut(
    spec: SourceSpec, file: InputFile, limits: Limits, names: list[str], block: Block
) -> Iterator[Batch]:
    """Give the rows of a block, so many at a time that their borders stay small."""
    data = np.frombuffer(block.data, np.uint8)
    room = min(limits.batch_rows, max(limits.borders // len(names), 1), len(data))
    at, line = 0, block.first_line
    while at < len(data):
        begin = np.zeros((room, len(names)), np.int32)
        end = np.zeros((room, len(names)), np.int32)
        status = np.zeros(room, np.uint8)
        number = np.zeros(room, np.int64)
        out = np.zeros(4, np.int64)
        tokenize(
            data, at, len(data), ord(spec.delimiter), ord(spec.quote), limits.line_bytes,
            begin, end, status, number, line, out,
        )  # fmt: skip
        lines, n, long, at = (int(value) for value in out)
        if long >= 0:
            raise too_long(file, long, limits)
        line += lines
        fields = (begin[:n], end[:n], status[:n], number[:n])
        cut = block.cut and at >= len(data)
        yield _batch(spec, file, names, block, fields, cut=cut, last_line=line - 1)


def _batch(
    spec: SourceSpec,
    file: InputFile,
    names: list[str],
    block: Block,
    fields: tuple[np.ndarray, ...],
    *,
    cut: bool,
    last_line: int,
) -> Batch:
    begin, end, status, number = fields
    n = len(number)
    data = np.frombuffer(block.data, np.uint8)
    reason = np.full(n, NO_REASON, np.uint8)
    for code, word in _REASON_OF.items():
        reason[status == code] = REASONS.index(word)
    if cut and n and number[n - 1] == last_line:
        reason[n - 1] = REASONS.index("unterminated")
    bad = reason != NO_REASON
    if bad.any():
        begin[bad] = 0
        end[bad] = 0
    escaped = np.flatnonzero((status & ESCAPED) != 0)
    if len(escaped):
        data = _unescaped(block.data, data, begin, end, escaped, spec.quote)
    columns = {}
    for name in wanted(spec):
        if name not in names:
            columns[name] = nothing(n)
            continue
        j = names.index(name)
        column = Texts(data, np.ascontiguousarray(begin[:, j]), np.ascontiguousarray(end[:, j]))
        if spec.skip_blank:
            trim(data, column.begin, column.end)
        columns[name] = column
    return Batch(file, number, reason, columns)


def _unescaped(
    raw: bytes, data: np.ndarray, begin: np.ndarray, end: np.ndarray, rows: np.ndarray, quote: str
) -> np.ndarray:
    """Append the texts that hold doubled quotes, with single ones, and point to them."""
    mark = quote.encode()
    extra: list[bytes] = [raw]
    at = len(raw)
    for i in rows:
        for j in range(begin.shape[1]):
            text = raw[begin[i, j] : end[i, j]]
            if mark not in text:
                continue
            text = text.replace(mark + mark, mark)
            extra.append(text)
            begin[i, j], end[i, j] = at, at + len(text)
            at += len(text)
    return np.frombuffer(b"".join(extra), np.uint8)


def dialect_hint(spec: SourceSpec, sample: list[str]) -> str:
    """Return what the numbers of a column look like, where the decimal sign explains a failure."""
    other = "," if spec.decimal == "." else "."
    likely = [s for s in sample if s.count(other) == 1 and spec.decimal not in s]
    if sample and len(likely) * 2 > len(sample):
        return f"it looks like decimal: {other!r}"
    return ""


def refuse(problems: list[Problem]) -> None:
    """Raise all problems at once, where there are any."""
    if problems:
        raise ScenarioError.collect(problems)
