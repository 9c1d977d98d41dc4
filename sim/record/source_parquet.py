"""Recorded Parquet files as the same batches that text files give.

It owns the column types that are read and how each becomes a text or a moment.  It must not know
what a column means.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sim.core.errors import LimitError, Problem, ScenarioError
from sim.record.source_columns import NO_REASON, Batch, Texts, column_problems, nothing, wanted
from sim.record.source_kernels import trim
from sim.record.source_spec import InputFile, Limits, SourceSpec

MAGIC = b"PAR1"
GROUP_BYTES_MAX = 1 << 30
"""Largest row group, bytes unpacked: a reader must be able to hold one."""


def kind_of(kind: pa.DataType) -> str:
    """Return the kind of a column type: files of one source must agree in it; empty: not read."""
    if isinstance(kind, pa.BaseExtensionType):
        return ""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    checks = (
        ("text", (pa.types.is_string, pa.types.is_large_string)),
        ("truth", (pa.types.is_boolean,)),
        ("integer", (pa.types.is_integer,)),
        ("number", (pa.types.is_float32, pa.types.is_float64, pa.types.is_decimal)),
        ("moment", (pa.types.is_timestamp, pa.types.is_date)),
    )
    return next((name for name, tests in checks if any(t(kind) for t in tests)), "")


def schema_of(file: InputFile) -> pa.Schema:
    """Return the schema of a file; a damaged one is refused."""
    with file.path.open("rb") as handle:
        if handle.read(4) != MAGIC:
            raise ScenarioError(
                "not a Parquet file", file=file.shown, found="another beginning",
                expected="Parquet, or format: csv",
            )  # fmt: skip
    try:
        opened = pq.ParquetFile(file.path)
        meta = opened.metadata
        for g in range(meta.num_row_groups):
            if meta.row_group(g).total_byte_size > GROUP_BYTES_MAX:
                raise LimitError(
                    f"{file.shown}: row group {g} unpacks to {meta.row_group(g).total_byte_size} "
                    f"bytes, at most {GROUP_BYTES_MAX}; write smaller row groups"
                )
        return opened.schema_arrow
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(file, error) from None


def check(
    spec: SourceSpec, file: InputFile, first: dict[str, str]
) -> tuple[list[str], list[Problem]]:
    """Hold the schema of a file against the spec and against the first file of its source.

    Parameters
    ----------
    first : column -> kind of the first file; filled by it
    """
    schema = schema_of(file)
    problems = column_problems(spec, file, list(schema.names))
    if problems:
        return list(schema.names), problems
    for name in wanted(spec):
        if name not in schema.names:
            continue
        kind = kind_of(schema.field(name).type)
        told = f"{name!r} has the type {schema.field(name).type}"
        if not kind:
            problems.append(
                Problem(f"the column {told}", file=file.shown, expected="a plain type, no code")
            )
        elif first.setdefault(name, kind) != kind:
            problems.append(
                Problem(f"the column {told}", file=file.shown, found=kind,
                        expected=f"{first[name]}, as in the first file of this source")
            )  # fmt: skip
    return list(schema.names), problems


def batches(spec: SourceSpec, file: InputFile, limits: Limits) -> Iterator[Batch]:
    """Give the rows of a file; only the columns that are read."""
    first = 1
    try:
        opened = pq.ParquetFile(file.path, pre_buffer=False, page_checksum_verification=True)
        names = [name for name in wanted(spec) if name in opened.schema_arrow.names]
        for part in opened.iter_batches(limits.batch_rows, columns=names, use_threads=False):
            part.validate(full=True)  # damaged texts and offsets are found here, not used
            yield _batch(spec, file, part, first)
            first += part.num_rows
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(file, error) from None


def _batch(spec: SourceSpec, file: InputFile, part: pa.RecordBatch, first: int) -> Batch:
    n = part.num_rows
    columns: dict[str, Texts] = {}
    moments = {}
    for name in wanted(spec):
        if name not in part.schema.names:
            columns[name] = nothing(n)
            continue
        array = part.column(part.schema.get_field_index(name))
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if name in spec.event_time.columns and kind_of(array.type) == "moment":
            zoned = pa.types.is_timestamp(array.type) and array.type.tz is not None
            null = np.asarray(array.is_null())
            moments[name] = (_epoch_ms(array), null, zoned)
            if name not in spec.event_id and len(spec.event_time.columns) == 1:
                continue
        columns[name] = _texts(array)
        if spec.skip_blank:
            trim(columns[name].data, columns[name].begin, columns[name].end)
    line = np.arange(first, first + n, dtype=np.int64)
    return Batch(file, line, np.full(n, NO_REASON, np.uint8), columns, moments)


def _epoch_ms(array: pa.Array) -> np.ndarray:
    """Return moments or dates as ms, cut to whole ones; 0 where there is none."""
    if pa.types.is_date(array.type):
        array = array.cast(pa.date64())
    per_ms = {"ns": 1_000_000, "us": 1_000}.get(getattr(array.type, "unit", ""), 1)
    counts = array.cast(pa.int64()).fill_null(0).to_numpy()
    if getattr(array.type, "unit", "") == "s":
        # Far beyond any year that is taken, and without an overflow.
        return np.clip(counts, -(1 << 52), 1 << 52) * 1_000
    return counts // per_ms


def _texts(array: pa.Array) -> Texts:
    if not pa.types.is_large_string(array.type):
        array = pc.cast(array, pa.large_string())
    array = array.fill_null("")
    _, offsets, data = array.buffers()
    border = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1].copy()
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, "u1")
    return Texts(held, border[:-1].copy(), border[1:].copy())


def _damaged(file: InputFile, error: Exception) -> ScenarioError:
    text = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return ScenarioError(
        "the Parquet file is damaged", file=file.shown, found=text.replace(str(file.path), ""),
        expected="a whole Parquet file",
    )  # fmt: skip
