"""From part files to the final files of a run.

It owns which table goes to which file and how deliveries and truths are joined to contacts.  The
result depends on the rows alone, never on when they were flushed.  It must not know what a row
means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.record.folder import PARTS
from sim.record.metrics import SCHEMA as METRICS_SCHEMA
from sim.record.tables import arrow_schema, damaged, read_schema, write_batches
from sim.record.tape import INDEX_FILE, TAPE

EVENTS = "events"
EVENT_FILE_ROWS = 16 * 131_072
"""Rows of one file of `events/`: about two million."""
ROOT_TABLES = {
    **{name: f"{name}.parquet" for name in ("metrics", "digests", "audit", "decisions", "cells")},
    TAPE: f"{TAPE}/{INDEX_FILE}",
}
"""Tables that are one file each, and its path."""
JOINED = ("deliveries", "truth")
CONTACT_TIMES = (("trigger_ms", "trigger_ms"), ("sent_ms", "ts_ms"), ("ts_ms", "ts_ms"))
"""Times (of a delivery, of its truth) that tie the two together, beside line and use case; the
first pair that both tables have is used."""

_EMPTY = {
    "metrics": METRICS_SCHEMA,
    "digests": pa.schema([
        pa.field("tick", pa.int32()), pa.field("name", pa.string()),
        pa.field("digest", pa.uint64()),
    ]),
    "audit": pa.schema([
        pa.field("tick", pa.int32()), pa.field("check", pa.string()),
        pa.field("left", pa.int64()), pa.field("right", pa.int64()), pa.field("ok", pa.bool_()),
    ]),
    "cells": arrow_schema("cells", {
        "hour": np.dtype("i4"), "cell": np.dtype("i4"), "bytes": np.dtype("i8"),
        "voice_s": np.dtype("i8"), "attempts": np.dtype("i8"), "blocked": np.dtype("i8"),
        "util_q": np.dtype("i4"),
    }, (), {}),
}  # fmt: skip


def consolidate(folder: Path, *, empty: Mapping[str, pa.Schema]) -> dict[str, int]:
    """Write every final file from the parts; return file name -> rows.

    Parameters
    ----------
    folder : the run, with its `parts/`
    empty : schemas of declared tables that never had a row
    """
    parts = _parts(folder)
    schemas = {**_EMPTY, **empty}
    for table, paths in parts.items():
        schemas[table] = read_schema(paths[0])
    written: dict[str, int] = {}
    for table, schema in sorted(schemas.items()):
        paths = parts.get(table, [])
        if table in ROOT_TABLES:
            name = ROOT_TABLES[table]
            written[name] = write_batches(folder / name, schema, _read(paths))
        elif table not in JOINED:
            written.update(_write_events(folder, table, schema, paths))
    if "deliveries" in schemas:
        keys, added = _contact_columns(schemas)
        schema = pa.schema([*schemas["deliveries"], *added])
        rows = _contacts(parts, schema, keys, [field.name for field in added])
        written["contacts.parquet"] = write_batches(folder / "contacts.parquet", schema, rows)
    return written


def _parts(folder: Path) -> dict[str, list[Path]]:
    """Return table -> its part files in order of time."""
    out: dict[str, list[Path]] = {}
    for path in sorted((folder / PARTS).glob("*.parquet")):
        table, _, _ = path.stem.rsplit("-", 2)
        out.setdefault(table, []).append(path)
    return out


def _read(paths: list[Path]) -> Iterator[pa.Table]:
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for i in range(file.metadata.num_row_groups):
                    yield file.read_row_group(i)
        except (OSError, pa.ArrowException) as error:
            raise damaged(path, error) from None


def _write_events(folder: Path, table: str, schema: pa.Schema, paths: list[Path]) -> dict[str, int]:
    """Write one table as files of at most `EVENT_FILE_ROWS` rows."""
    for old in (folder / EVENTS).glob(f"{table}-*.parquet"):
        old.unlink()
    written: dict[str, int] = {}
    for n, tables in enumerate(_cut(_read(paths), EVENT_FILE_ROWS)):
        name = f"{EVENTS}/{table}-{n:04d}.parquet"
        written[name] = write_batches(folder / name, schema, tables)
    return written


def _cut(tables: Iterator[pa.Table], size: int) -> Iterator[list[pa.Table]]:
    """Group tables into lists of exactly `size` rows; the last one is shorter, perhaps empty."""
    held: list[pa.Table] = []
    n = 0
    for table in tables:
        while n + table.num_rows >= size:
            head = size - n
            yield [*held, table.slice(0, head)]
            held, n, table = [], 0, table.slice(head)
        if table.num_rows:
            held.append(table)
            n += table.num_rows
    yield held


def _contact_columns(
    schemas: Mapping[str, pa.Schema],
) -> tuple[list[tuple[str, str]], list[pa.Field]]:
    """Return pairs of columns to join on, and the columns that the truth adds to a delivery."""
    left = schemas["deliveries"]
    right = schemas.get("truth", pa.schema([]))
    both = [(k, k) for k in ("sub", "use_case") if k in left.names and k in right.names]
    times = [pair for pair in CONTACT_TIMES if pair[0] in left.names and pair[1] in right.names]
    added = [f.with_nullable(True) for f in right if f.name not in left.names]
    return both + times[:1] if times else [], added


def _contacts(
    parts: Mapping[str, list[Path]],
    schema: pa.Schema,
    keys: list[tuple[str, str]],
    added: list[str],
) -> Iterator[pa.Table]:
    """Give the deliveries, in canonical order, with the truth of each beside it."""
    if not parts.get("deliveries"):
        return
    order = ", ".join(f'd."{name}"' for name in schema.names if name not in added)
    with duckdb.connect(config={"threads": 2}) as base:
        base.register("deliveries", _scan(parts["deliveries"]))
        if added and keys and parts.get("truth"):
            base.register("truth", _scan(parts["truth"]))
            query = _join(keys, added, order)
        else:
            nulls = "".join(f', NULL AS "{name}"' for name in added)
            query = f"SELECT d.*{nulls} FROM deliveries d ORDER BY {order}"
        for batch in base.sql(query).to_arrow_reader(131_072):
            yield pa.Table.from_batches([batch]).cast(schema)


def _join(keys: list[tuple[str, str]], added: list[str], order: str) -> str:
    by = ", ".join(f'"{right}"' for _, right in keys)
    first = f"SELECT * FROM truth QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY tick) = 1"
    on = " AND ".join(f'd."{left}" IS NOT DISTINCT FROM t."{right}"' for left, right in keys)
    more = ", ".join(f't."{name}"' for name in added)
    return f"SELECT d.*, {more} FROM deliveries d LEFT JOIN ({first}) t ON {on} ORDER BY {order}"


def _scan(paths: list[Path]) -> pa.Table:
    return pa.concat_tables(list(_read(paths)))
