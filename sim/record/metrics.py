"""Metrics on disk: the long form of tallies, and sums over time read back from it.

It owns the layout (which place of a flat vector is which metric, label and bucket) and the Arrow
schema of `metrics.parquet`.  It must not know which metrics there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.histogram import N_BUCKETS
from sim.core.metrics import Metric
from sim.record.tables import NAMES, damaged

Series = dict[str, np.ndarray]
"""`ts_ms` (n,) int64, starts of the steps; then one (n,) or (n, N_BUCKETS) int64 per metric."""

SCHEMA = pa.schema([
    pa.field("tick", pa.int32(), nullable=False),
    pa.field("ts_ms", pa.int64(), nullable=False, metadata={"unit": "ms"}),
    pa.field("metric", NAMES, nullable=False),
    pa.field("d1", NAMES, metadata={"doc": "label of the first dimension"}),
    pa.field("d2", NAMES, metadata={"doc": "label of the second dimension"}),
    pa.field("bucket", pa.int16(), metadata={"doc": "bucket of a histogram, else null"}),
    pa.field("value", pa.int64(), nullable=False, metadata={"unit": "of the metric"}),
])  # fmt: skip
DIMS_MAX = 2


class MetricLayout:
    """Where each count of a run stands in one flat vector."""

    def __init__(self, metrics: Sequence[Metric], labels: Mapping[str, tuple[str, ...]]) -> None:
        self.metrics = tuple(metrics)
        self.shapes = {m.name: m.shape(labels) for m in self.metrics}
        names = sorted({label for m in self.metrics for dim in m.dims for label in labels[dim]})
        place = {name: i for i, name in enumerate(names)}
        parts: list[np.ndarray] = []
        for ix, metric in enumerate(self.metrics):
            if len(metric.dims) > DIMS_MAX:
                raise ValueError(f"metric {metric.name} has more than {DIMS_MAX} dimensions")
            axes = [np.array([place[v] for v in labels[dim]], np.int32) for dim in metric.dims]
            axes += [np.array([-1], np.int32)] * (DIMS_MAX - len(axes))
            buckets = np.arange(N_BUCKETS) if metric.histogram else np.array([-1])
            grid = np.meshgrid(np.array([ix]), axes[0], axes[1], buckets, indexing="ij")
            parts.append(np.stack([g.ravel() for g in grid]).astype(np.int32))
        table = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), np.int32)
        self._metric, self._d1, self._d2, self._bucket = table
        self._names = pa.array(names, pa.string())
        self._metric_names = pa.array([m.name for m in self.metrics], pa.string())
        text = repr([(m.name, m.dims, m.histogram) for m in self.metrics]) + repr(names)
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:16]

    def sparse(self, tally: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return (place, value) of every count that is not zero.

        Parameters
        ----------
        tally : metric name -> int64 array of the declared shape; a name that is not declared, or
            another shape, is a `KeyError` or `ValueError`
        """
        unknown = tally.keys() - self.shapes.keys()
        if unknown:
            raise KeyError(f"metrics that are not declared: {sorted(unknown)}")
        flat = []
        for name, shape in self.shapes.items():
            array = tally.get(name)
            if array is None:
                flat.append(np.zeros(int(np.prod(shape)), np.int64))
            elif array.shape == shape:
                flat.append(array.ravel())
            else:
                raise ValueError(f"metric {name} has shape {array.shape}, declared {shape}")
        values = np.concatenate(flat) if flat else np.zeros(0, np.int64)
        place = np.flatnonzero(values)
        return place.astype(np.int32), values[place].astype(np.int64)

    def to_arrow(self, ticks: np.ndarray, rows: Mapping[str, np.ndarray]) -> pa.Table:
        """Return sparse rows (`ts_ms`, `place`, `value`) in the long form."""
        place = rows["place"]
        bucket = self._bucket[place]
        arrays = [
            pa.array(ticks, pa.int32()),
            pa.array(rows["ts_ms"], pa.int64()),
            pa.DictionaryArray.from_arrays(self._metric[place], self._metric_names),
            _names(self._d1[place], self._names),
            _names(self._d2[place], self._names),
            pa.array(bucket.astype(np.int16), pa.int16(), mask=bucket < 0),
            pa.array(rows["value"], pa.int64()),
        ]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _names(index: np.ndarray, names: pa.Array) -> pa.Array:
    none = index < 0
    return pa.DictionaryArray.from_arrays(
        pa.array(np.where(none, 0, index), pa.int32(), mask=none), names
    )


def read_series(path: Path, layout: MetricLayout, names: Sequence[str], step_ms: int) -> Series:
    """Sum metrics over steps of time, reading one row group after the other.

    Parameters
    ----------
    path : `metrics.parquet`
    names : declared metrics; a histogram keeps its buckets, others are summed over labels
    step_ms : length of a step, ms
    """
    kinds = {m.name: m.histogram for m in layout.metrics}
    n = _n_steps(path, step_ms)
    out: Series = {"ts_ms": np.arange(n, dtype=np.int64) * step_ms}
    for name in names:
        out[name] = np.zeros((n, N_BUCKETS) if kinds[name] else n, np.int64)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["ts_ms", "metric", "bucket", "value"]):
                _add_batch(out, batch, names, kinds, step_ms)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None
    return out


def _add_batch(
    out: Series, batch: pa.RecordBatch, names: Sequence[str], kinds: Mapping[str, bool], step: int
) -> None:
    labels = batch["metric"].dictionary.to_pylist()
    code = batch["metric"].indices.to_numpy(zero_copy_only=False)
    at = batch["ts_ms"].to_numpy() // step
    value = batch["value"].to_numpy()
    bucket = batch["bucket"].fill_null(0).to_numpy(zero_copy_only=False)
    for name in names:
        if name in labels:
            here = np.flatnonzero(code == labels.index(name))
            where = (at[here], bucket[here]) if kinds[name] else (at[here],)
            np.add.at(out[name], where, value[here])


def _n_steps(path: Path, step_ms: int) -> int:
    try:
        with pq.ParquetFile(path) as file:
            last = -1
            for i in range(file.metadata.num_row_groups):
                column = file.metadata.row_group(i).column(1)
                if column.statistics is not None and column.statistics.has_min_max:
                    last = max(last, column.statistics.max)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None
    return last // step_ms + 1 if last >= 0 else 0
