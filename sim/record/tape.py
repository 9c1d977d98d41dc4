"""The tape of a run: every row that can be replayed, written where it is made.

It owns the files of a tape: one Parquet part for each host and tick, in row groups that never
leave a partition, and the index that names every part with its checksum.  It must not know what a
kind of row means.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.columns import Block, Schema, empty_rows
from sim.core.errors import ScenarioError
from sim.record.files import read_json
from sim.record.tables import damaged, read_parquet

TAPE = "tape"
"""Folder of the tape within a run, and the table of its parts while the run goes on."""
FACTS_FILE = "tape.json"
INDEX_FILE = "index.parquet"
VERSION = 1
GROUP_ROWS = 1 << 20
"""Rows of a row group at most: 30 MB before it is packed."""
DELTAS = {"sub": "DELTA_BINARY_PACKED", "ts_ms": "DELTA_BINARY_PACKED"}
"""Lines are sorted and moments nearly so: differences are small, and quick to write and to read."""
FEW_VALUES = ["kind", "code", "ref"]


@dataclass(frozen=True)
class TapePart:
    """One file: what a host had in a tick.

    Attributes
    ----------
    tick : index of the tick
    first, last : lines of the host, half-open
    rows, n_bytes, sha256 : of the file
    """

    tick: int
    first: int
    last: int
    rows: int
    n_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return part_name(self.tick, self.first, self.last)


@dataclass(frozen=True)
class TapeTarget:
    """Where hosts write their parts.

    Attributes
    ----------
    folder : the tape, absolute: hosts may live in other processes
    schema : message whose rows are kept
    kinds : values of its column `kind` that are kept
    """

    folder: Path
    schema: Schema
    kinds: tuple[int, ...]


@dataclass(frozen=True)
class TapeSource:
    """Where hosts read the rows that their lines replay.

    Attributes
    ----------
    folder : the tape, absolute
    schema : message as which the rows reach their lines, of the same columns as were written
    parts : every part, sorted by (tick, first line)
    """

    folder: Path
    schema: Schema
    parts: tuple[TapePart, ...]


@dataclass(frozen=True)
class Tape:
    """A tape that is whole as far as its index and the sizes of its files tell.

    Attributes
    ----------
    facts : what its run was: see `facts_of` in `scenarios.replay.tape`
    parts : every part, sorted by (tick, first line)
    """

    folder: Path
    facts: dict[str, Any]
    parts: tuple[TapePart, ...]

    @property
    def digest(self) -> str:
        """Return the digest of all parts, hex."""
        text = "".join(f"{p.name} {p.rows} {p.sha256}\n" for p in self.parts)
        return hashlib.sha256(text.encode()).hexdigest()


def part_name(tick: int, first: int, last: int) -> str:
    """Return the name of a part."""
    return f"tick-{tick:06d}-{first:09d}-{last:09d}.parquet"


def metadata_of(schema: Schema) -> dict[str, str]:
    """Return what the head of a part says of its rows: version and hash of the columns."""
    columns = repr([(f.name, f.dtype, f.unit) for f in schema.fields])
    return {
        "twin.tape": str(VERSION),
        "twin.columns": hashlib.sha256(columns.encode()).hexdigest()[:16],
    }


def arrow_of(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a part."""
    fields = [
        pa.field(f.name, pa.from_numpy_dtype(np.dtype(f.dtype)), nullable=False)
        for f in schema.fields
    ]
    return pa.schema(fields, metadata=metadata_of(schema))


class TapeWriter:
    """Writes the parts of one host, a tick at a time.

    Rows wait until their partition is done, or fill a row group; nothing is kept longer.
    """

    def __init__(self, target: TapeTarget, first: int, last: int) -> None:
        self.target = target
        self.first, self.last = first, last
        self._wanted = np.zeros(256, bool)
        self._wanted[list(target.kinds)] = True
        self._arrow = arrow_of(target.schema)
        self._rows = empty_rows(target.schema)
        self._n = 0
        self._total = 0
        self._tick = -1
        self._writer: pq.ParquetWriter | None = None

    def open(self, tick: int) -> None:
        """Begin the part of a tick; one that was not ended is written anew."""
        if self._writer is not None:
            self._writer.close()
        self._tick, self._n, self._total = tick, 0, 0
        self.target.folder.mkdir(parents=True, exist_ok=True)
        # Moments are packed by their encoding; nothing is left in them to compress.
        packing: dict[str, Any] = {
            "compression": {name: "zstd" for name in self._arrow.names} | {"ts_ms": "none"},
            "write_statistics": ["sub"],
            "use_dictionary": FEW_VALUES,
            "column_encoding": DELTAS,
        }
        self._writer = pq.ParquetWriter(self._temp, self._arrow, **packing)

    def add(self, block: Block) -> None:
        """Take the rows of a slice that are kept."""
        source = block.columns.arrays
        wanted = np.flatnonzero(self._wanted[source["kind"][: block.n]])
        n = len(wanted)
        if self._n + n > GROUP_ROWS:
            self.end()
        whole = n == block.n
        for name, array in source.items():
            target = self._room(name, self._n + n)[self._n : self._n + n]
            if whole:
                target[:] = array[:n]
            else:
                np.take(array, wanted, out=target, mode="clip")
        self._n += n

    def end(self) -> None:
        """Write what waits as a row group: a partition is done."""
        if self._n:
            assert self._writer is not None
            columns = [pa.array(self._rows[name][: self._n]) for name in self._arrow.names]
            table = pa.Table.from_arrays(columns, schema=self._arrow)
            self._writer.write_table(table, row_group_size=GROUP_ROWS)
            self._total += self._n
            self._n = 0

    def close(self) -> dict[str, np.ndarray]:
        """End the part and return its row of the index."""
        self.end()
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        with self._temp.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        n_bytes = self._temp.stat().st_size
        os.replace(self._temp, self.target.folder / part_name(self._tick, self.first, self.last))
        return {
            "first": np.array([self.first], np.int64), "last": np.array([self.last], np.int64),
            "rows": np.array([self._total], np.int64), "bytes": np.array([n_bytes], np.int64),
            "sha256": np.array([digest], object),
        }  # fmt: skip

    @property
    def _temp(self) -> Path:
        name = part_name(self._tick, self.first, self.last)
        return self.target.folder / f".{name}.{os.getpid()}.tmp"

    def _room(self, name: str, n: int) -> np.ndarray:
        array = self._rows[name]
        if len(array) < n:
            grown = np.zeros(max(n, len(array) + len(array) // 2), array.dtype)
            grown[: self._n] = array[: self._n]
            self._rows[name] = array = grown
        return array


def seal(folder: Path) -> None:
    """Remove the parts that the index does not name: those of an attempt that was taken back."""
    known = {part.name for part in _index(folder / INDEX_FILE)}
    for path in folder.glob("tick-*.parquet"):
        if path.name not in known:
            path.unlink()


def tape_folder(events: Path) -> Path | None:
    """Return the tape that a path names: a run, its `events/` or its `tape/`; None where none."""
    for folder in (events / TAPE, events, events.parent / TAPE):
        if folder.name == TAPE and (folder / FACTS_FILE).is_file():
            return folder
    return None


def open_tape(folder: Path, schema: Schema) -> Tape:
    """Open a tape and hold its index against its facts and its files.

    Parameters
    ----------
    schema : message whose rows are wanted

    Raises
    ------
    ScenarioError : another version, a part missing or of another size, lines or ticks not covered
    """
    facts = read_json(folder / FACTS_FILE)
    wanted = metadata_of(schema)
    found = {"twin.tape": str(facts.get("version")), "twin.columns": str(facts.get("columns"))}
    if found != wanted:
        raise ScenarioError(
            "the tape belongs to another version", file=folder / FACTS_FILE, found=found,
            expected=f"{wanted}; make the recording anew with this version",
        )  # fmt: skip
    if not (folder / INDEX_FILE).is_file():
        raise ScenarioError(
            "the tape has no index: its run is not complete", file=folder / INDEX_FILE,
            expected="the tape of a complete run; go on with it by --resume",
        )  # fmt: skip
    parts = _index(folder / INDEX_FILE)
    _check_covered(folder, parts, n_ticks=int(facts["n_ticks"]), n_lines=int(facts["lines"]))
    for part in parts:
        path = folder / part.name
        size = path.stat().st_size if path.is_file() else None
        if size != part.n_bytes:
            raise ScenarioError(
                "a part of the tape is missing" if size is None else
                "a part of the tape is damaged",
                file=path, found="no file" if size is None else f"{size} bytes",
                expected=f"{part.n_bytes} bytes; restore it, or make the recording anew",
            )  # fmt: skip
    return Tape(folder, facts, parts)


def _index(path: Path) -> tuple[TapePart, ...]:
    table = read_parquet(path)
    names = ("tick", "first", "last", "rows", "bytes", "sha256")
    if not set(names) <= set(table.column_names):
        raise damaged(path, f"columns {', '.join(table.column_names)}")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return tuple(sorted((TapePart(*row) for row in rows), key=lambda p: (p.tick, p.first)))


def _check_covered(folder: Path, parts: Sequence[TapePart], *, n_ticks: int, n_lines: int) -> None:
    """Refuse an index that does not have every line once in every tick."""
    tick, line = 0, 0
    for part in parts:
        if (part.tick, part.first) != (tick, line) or part.last <= part.first:
            break
        line = part.last
        if line == n_lines:
            tick, line = tick + 1, 0
    if (tick, line) != (n_ticks, 0):
        raise ScenarioError(
            "the index of the tape has gaps", file=folder / INDEX_FILE,
            found=f"nothing for tick {tick} from line {line} on, or more than one part",
            expected=f"{n_ticks} ticks of {n_lines} lines, each line once",
        )  # fmt: skip
