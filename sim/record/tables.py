"""Rows on their way to Parquet: Arrow schemas, names for codes, canonical order, part files.

It owns how a table of NumPy columns becomes an Arrow table and a file.  It must not know which
tables a run has, nor what their rows mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.columns import Schema
from sim.core.errors import InvariantError, ScenarioError

Labels = tuple[str, ...]
COMPRESSION = "zstd"
ROW_GROUP_ROWS = 131_072
"""Rows of a row group of a final file: fixed, so that equal rows give equal bytes."""
NAMES = pa.dictionary(pa.int32(), pa.string())
_FIRST_KEYS = ("sub", "ts_ms", "hour", "cell")


@dataclass(frozen=True)
class ByColumn:
    """Labels of a code whose meaning depends on another code of the same row.

    Attributes
    ----------
    column : the other column, `kind` for instance
    labels : value of the other column -> labels of this one; other values give null
    """

    column: str
    labels: Mapping[int, Labels]


Decode = Mapping[tuple[str, str], Labels | ByColumn]


def canonical(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a copy of the rows in an order that depends on their content alone.

    Rows come from partitions in any order; sorted by line, time and then every other column, the
    file does not know how the run was cut.
    """
    if not rows:
        return {}
    names = [n for n in _FIRST_KEYS if n in rows] + [n for n in rows if n not in _FIRST_KEYS]
    order = np.lexsort([_sortable(rows[n]) for n in reversed(names)])
    return {name: np.asarray(array)[order] for name, array in rows.items()}


def _sortable(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(str) if array.dtype.kind == "O" else array


def arrow_schema(
    table: str, dtypes: Mapping[str, np.dtype], declared: Sequence[Schema], decode: Decode
) -> pa.Schema:
    """Return the Arrow schema of a table: column `tick`, then the columns, units as metadata."""
    notes = {f.name: f for schema in declared for f in schema.fields}
    fields = [pa.field("tick", pa.int32(), nullable=False, metadata={"unit": "1"})]
    for name, dtype in dtypes.items():
        named = (table, name) in decode
        note = notes.get(name)
        unit = "name" if named else (note.unit if note else "")
        metadata = {"unit": unit, "doc": note.doc if note else ""}
        kind = NAMES if named else _arrow_type(np.dtype(dtype))
        fields.append(pa.field(name, kind, nullable=named, metadata=metadata))
    return pa.schema(fields)


def _arrow_type(dtype: np.dtype) -> pa.DataType:
    if dtype.kind in "UO":
        return pa.string()
    return pa.from_numpy_dtype(dtype)


def to_arrow(
    table: str, schema: pa.Schema, ticks: np.ndarray, rows: Mapping[str, np.ndarray], decode: Decode
) -> pa.Table:
    """Return rows as an Arrow table; codes become names, -1 and 255 become null."""
    arrays: list[pa.Array] = [pa.array(ticks, pa.int32())]
    for field in list(schema)[1:]:
        values = rows[field.name]
        how = decode.get((table, field.name))
        if how is None:
            arrays.append(pa.array(values, field.type))
        elif isinstance(how, ByColumn):
            arrays.append(_named_by(table, field.name, values, rows[how.column], how))
        else:
            arrays.append(_named(table, field.name, values, how))
    return pa.Table.from_arrays(arrays, schema=schema)


def _named(table: str, column: str, values: np.ndarray, labels: Labels) -> pa.Array:
    index, none = _index(table, column, values, len(labels))
    return pa.DictionaryArray.from_arrays(
        pa.array(index, pa.int32(), mask=none), pa.array(labels, pa.string())
    )


def _named_by(
    table: str, column: str, values: np.ndarray, other: np.ndarray, how: ByColumn
) -> pa.Array:
    names = sorted({label for labels in how.labels.values() for label in labels})
    place = {name: i for i, name in enumerate(names)}
    index = np.zeros(len(values), np.int32)
    none = np.ones(len(values), bool)
    for kind, labels in how.labels.items():
        here = np.flatnonzero(other == kind)
        local, empty = _index(table, column, values[here], len(labels))
        lookup = np.array([place[label] for label in labels] or [0], np.int32)
        index[here] = lookup[local]
        none[here] = empty
    return pa.DictionaryArray.from_arrays(
        pa.array(index, pa.int32(), mask=none), pa.array(names, pa.string())
    )


def _index(
    table: str, column: str, values: np.ndarray, n_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    index = np.asarray(values).astype(np.int64)
    none = (index == -1) | ((index == 255) & (n_labels <= 255))
    wrong = ~none & ((index < 0) | (index >= n_labels))
    if wrong.any():
        raise InvariantError(
            f"recorded column {table}.{column} holds a code that has no name",
            values={"code": int(index[wrong][0]), "labels": n_labels},
        )
    return np.where(none, 0, index).astype(np.int32), none


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write one file, atomically."""
    write_batches(path, table.schema, [table])


def write_batches(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables as one file in row groups of a fixed size; return the rows.

    How the rows were cut on the way in leaves no trace in the file, which appears only when it
    is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    n_rows = 0
    with pq.ParquetWriter(temp, schema, compression=COMPRESSION) as writer:
        waiting: list[pa.Table] = []
        n_waiting = 0
        for table in tables:
            waiting.append(table)
            n_waiting += table.num_rows
            while n_waiting >= ROW_GROUP_ROWS:
                joined = pa.concat_tables(waiting)
                _write_group(writer, joined.slice(0, ROW_GROUP_ROWS))
                n_rows += ROW_GROUP_ROWS
                n_waiting -= ROW_GROUP_ROWS
                waiting = [joined.slice(ROW_GROUP_ROWS)]
        if n_waiting or n_rows == 0:
            joined = pa.concat_tables(waiting) if waiting else schema.empty_table()
            _write_group(writer, joined)
            n_rows += n_waiting
    os.replace(temp, path)
    return n_rows


def _write_group(writer: pq.ParquetWriter, table: pa.Table) -> None:
    # Chunks and their dictionaries follow the cut of the input: one chunk each, and a dictionary
    # that holds what occurs, in order of appearance.
    columns = []
    for column, field in zip(table.columns, table.schema, strict=True):
        if pa.types.is_dictionary(field.type):
            column = column.cast(pa.string()).combine_chunks().dictionary_encode()
            column = column.cast(field.type)
        else:
            column = column.combine_chunks()
        columns.append(column)
    writer.write_table(
        pa.Table.from_arrays(columns, schema=table.schema), row_group_size=ROW_GROUP_ROWS
    )


def read_parquet(path: Path) -> pa.Table:
    """Read one file; a damaged one is a `ScenarioError` that names it."""
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def read_schema(path: Path) -> pa.Schema:
    """Read the schema of one file; a damaged one is a `ScenarioError` that names it."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: object) -> ScenarioError:
    """Return the error that a file of a run cannot be read."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ScenarioError(
        "a file of the run is damaged", file=path, found=text, expected="a whole Parquet file"
    )
