"""Columns: the state of a role, and the rows of a message, as named NumPy arrays.

It owns the declaration of a column (dtype, unit, meaning), the arrays behind it, their byte
count, snapshot and order-free digest.  It must not know which role or message uses it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import mmap
from collections import namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.core.kernel import kernel
from sim.core.rng import mix64, name_id


@dataclass(frozen=True)
class Field:
    """One column: its name, dtype, unit and meaning.

    `labels` makes it a matrix with one named lane for each label (a use case, a need); digests
    use the label, so that a new lane moves no other number.  A transient column (scratch that a
    tick rebuilds) is neither saved nor part of a digest.  A `named` column holds dense indices of
    catalogue entries: a digest takes the entries' name ids, so that a new entry moves nothing.
    """

    name: str
    dtype: str
    unit: str
    doc: str
    labels: tuple[str, ...] = ()
    transient: bool = False
    named: bool = False


@dataclass(frozen=True)
class Schema:
    """A named list of columns, with an edge kind where it is a message."""

    name: str
    fields: tuple[Field, ...]
    edge: str = ""
    doc: str = ""
    tuple_type: type = field(init=False, compare=False, repr=False, default=tuple)

    def __post_init__(self) -> None:
        names = [f.name for f in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"schema {self.name}: a column is declared twice")
        object.__setattr__(self, "tuple_type", _tuple_type(self.name, tuple(names)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Schema, (self.name, self.fields, self.edge, self.doc))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names in their declared order."""
        return tuple(f.name for f in self.fields)

    def row_bytes(self) -> int:
        """Return the bytes that one row takes."""
        return sum(np.dtype(f.dtype).itemsize * max(len(f.labels), 1) for f in self.fields)

    def hash(self) -> str:
        """Return a short hash of names, dtypes and units, for manifests and checkpoints."""
        text = repr([(f.name, f.dtype, f.unit, f.labels) for f in self.fields])
        return hashlib.sha256(f"{self.name}{self.edge}{text}".encode()).hexdigest()[:12]


def _tuple_type(name: str, names: tuple[str, ...]) -> type:
    """Return one namedtuple type per schema, so that Numba compiles a kernel only once."""
    known = globals().get(f"{name}View")
    if known is None or known._fields != names:
        known = namedtuple(f"{name}View", names)  # type: ignore[misc]  # names are data
        # A compile cache stores the type by reference: it must be found under its own name.
        known.__module__ = __name__
        globals()[known.__name__] = known
    return known


Ids = np.ndarray | Mapping[str, np.ndarray]
"""Name ids behind the `named` columns of a schema: of all of them, or by column."""

LINE_BYTES = 64
STAGGER_BYTES = 5 * LINE_BYTES
"""Shift of each column against the one before, bytes: an odd number of cache lines."""
HUGE_FROM_BYTES = 4 << 20
"""Size from which the columns of a schema lie side by side in huge pages, where there are any."""


def _allocate(schema: Schema, n: int) -> dict[str, np.ndarray]:
    """Return zeroed arrays of `n` rows; large ones side by side in one piece of memory.

    Columns whose sizes are powers of two would all begin at the same place of a cache: one row of
    each would push the others out.  So each begins some cache lines further than the one before.
    Small and short-lived ones are left to the allocator, which has them at hand.
    """
    shapes = [(n, len(f.labels)) if f.labels else (n,) for f in schema.fields]
    if n * schema.row_bytes() < HUGE_FROM_BYTES:
        return {
            f.name: np.zeros(shape, np.dtype(f.dtype))
            for f, shape in zip(schema.fields, shapes, strict=True)
        }
    sizes = [
        int(np.prod(shape)) * np.dtype(f.dtype).itemsize
        for f, shape in zip(schema.fields, shapes, strict=True)
    ]
    steps = [-(-size // LINE_BYTES) * LINE_BYTES + STAGGER_BYTES for size in sizes]
    memory = _huge(sum(steps))
    arrays: dict[str, np.ndarray] = {}
    begin = 0
    for f, shape, size, step in zip(schema.fields, shapes, sizes, steps, strict=True):
        arrays[f.name] = memory[begin : begin + size].view(np.dtype(f.dtype)).reshape(shape)
        begin += step
    return arrays


def _huge(n_bytes: int) -> np.ndarray:
    """Return (n_bytes,) zeroed uint8 in huge pages: fewer are looked up, and fewer faulted in."""
    area = mmap.mmap(-1, n_bytes)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without huge pages refuses the advice; the memory is good all the same.
        with contextlib.suppress(OSError):
            area.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(area, np.uint8)


class Columns:
    """Arrays of one schema with a fixed number of rows, allocated once."""

    def __init__(self, schema: Schema, n: int) -> None:
        self.schema = schema
        self.n = n
        self.ids: Ids | None = None
        self.arrays = _allocate(schema, n)

    @functools.cached_property
    def view(self) -> Any:
        """Return the arrays as a namedtuple, the form in which kernels take them."""
        return self.schema.tuple_type(*(self.arrays[f.name] for f in self.schema.fields))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def nbytes(self) -> int:
        """Return the bytes of all columns."""
        return sum(array.nbytes for array in self.arrays.values())

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return a copy of every lasting column."""
        return {f.name: self.arrays[f.name].copy() for f in self.schema.fields if not f.transient}

    def restore(self, saved: Mapping[str, np.ndarray]) -> None:
        """Copy saved columns back in place; names, shapes and dtypes must agree."""
        for f in self.schema.fields:
            if f.transient:
                continue
            target, source = self.arrays[f.name], saved[f.name]
            if target.shape != source.shape or target.dtype != source.dtype:
                raise ValueError(f"{self.schema.name}.{f.name}: saved column has another shape")
            target[...] = source

    def digest(self, keys: np.ndarray, *, rows: slice = slice(None)) -> int:
        """Return the order-free sum of hash(column name, global key, value), modulo 2**64.

        Parameters
        ----------
        keys : (n,) int64, global key of each row that is summed
        rows : which rows these are
        """
        total = 0
        for code, lane in self._lanes(rows):
            total += int(_digest(code, keys, lane))
        return total & 0xFFFFFFFFFFFFFFFF

    def add_digests(self, out: np.ndarray, rows: np.ndarray, keys: np.ndarray) -> None:
        """Add the hashes of each row to its line: their sum over all lines is `digest(keys)`.

        Parameters
        ----------
        out : (n_lines,) uint64, mutated modulo 2**64
        rows : (n,) int64, place in `out` of the line of each row; repeats allowed
        keys : (n,) int64, global key of each row
        """
        for code, lane in self._lanes(slice(None)):
            _add_digests(code, keys, lane, rows, out)

    def _lanes(self, rows: slice) -> Iterator[tuple[np.uint64, np.ndarray]]:
        """Give the code and the integers of every lasting lane, of the wanted rows."""
        for f in self.schema.fields:
            if f.transient:
                continue
            array = self.arrays[f.name]
            lanes = (
                [(f.name, array)]
                if not f.labels
                else [(f"{f.name}:{label}", array[:, j]) for j, label in enumerate(f.labels)]
            )
            for name, lane in lanes:
                values = lane[rows]
                if f.named and self.ids is not None:
                    ids = self.ids[f.name] if isinstance(self.ids, Mapping) else self.ids
                    values = ids[values]
                yield np.uint64(name_id(f"{self.schema.name}.{name}")), _as_int(values)

    @staticmethod
    def row_keys(rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the (n,) int64 keys of rows of a pool with a `sub` column, for their digest."""
        time = rows["ts_ms"] if "ts_ms" in rows else rows["end_ms"]
        return rows["sub"].astype(np.int64) * 4_000_000_007 + time

    def digest_rows(self, n: int, ids: Ids) -> int:
        """Return the order-free digest of the first `n` rows of a pool with a `sub` column."""
        filled = Columns(self.schema, n)
        filled.ids = ids
        for name, array in filled.arrays.items():
            array[...] = self.arrays[name][:n]
        return filled.digest(self.row_keys(filled.arrays))


def _as_int(lane: np.ndarray) -> np.ndarray:
    return lane if lane.dtype.kind in "iu" else lane.view(f"i{lane.dtype.itemsize}")


@kernel
def _digest(code, keys, values):
    """Sum the row hashes of one column; zeros count nothing, so an empty lane is invisible."""
    total = np.uint64(0)
    salt = mix64(code)
    for i in range(keys.shape[0]):
        value = np.int64(values[i])
        if value != 0:
            total += mix64(mix64(np.uint64(keys[i]) ^ salt) ^ np.uint64(value))
    return total


@kernel
def _add_digests(code, keys, values, rows, out):
    """Add the hash of each row of one column to `out` at the row's line; zeros add nothing."""
    salt = mix64(code)
    for i in range(keys.shape[0]):
        value = np.int64(values[i])
        if value != 0:
            out[rows[i]] += mix64(mix64(np.uint64(keys[i]) ^ salt) ^ np.uint64(value))


class Block:
    """Rows of one message: preallocated columns of which the first `n` are filled."""

    def __init__(self, schema: Schema, capacity: int) -> None:
        self.columns = Columns(schema, capacity)
        self.schema = schema
        self.capacity = capacity
        self.n = 0

    @property
    def view(self) -> Any:
        """Return the full-capacity arrays as a namedtuple."""
        return self.columns.view

    def rows(self) -> dict[str, np.ndarray]:
        """Return the filled part of every column, as views."""
        return {name: array[: self.n] for name, array in self.columns.arrays.items()}

    def copy_rows(self) -> dict[str, np.ndarray]:
        """Return the filled part of every column, as copies that outlive the tick."""
        return {name: array[: self.n].copy() for name, array in self.columns.arrays.items()}

    def fill(self, rows: Mapping[str, np.ndarray]) -> Block:
        """Replace the content by the given rows and return the block itself."""
        n = len(next(iter(rows.values()))) if rows else 0
        if n > self.capacity:
            self.columns = Columns(self.schema, n)
            self.capacity = n
        for name, array in rows.items():
            self.columns.arrays[name][:n] = array
        self.n = n
        return self


def empty_rows(schema: Schema) -> dict[str, np.ndarray]:
    """Return a table of no rows."""
    return {
        f.name: np.zeros((0, len(f.labels)) if f.labels else 0, np.dtype(f.dtype))
        for f in schema.fields
    }


def concat_rows(schema: Schema, tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join tables of one schema; the order of the result is the order of the tables."""
    filled = [t for t in tables if len(t[schema.fields[0].name])]
    if not filled:
        return empty_rows(schema)
    if len(filled) == 1:
        return filled[0]
    return {name: np.concatenate([t[name] for t in filled]) for name in schema.names}


def take_rows(rows: Mapping[str, np.ndarray], index: np.ndarray) -> dict[str, np.ndarray]:
    """Return the chosen rows of a table."""
    return {name: array[index] for name, array in rows.items()}
