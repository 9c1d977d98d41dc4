"""The recorder: everything a run leaves, tick by tick, in bounded memory.

It owns the totals of a run, the rows that wait in memory, the part files they are flushed to, and
the final files made from them.  It must not know the roles: labels, metric declarations and
message schemas come as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.core.columns import Schema
from sim.core.errors import InvariantError, ScenarioError
from sim.core.metrics import Metric, Tally, add_into, new_tally
from sim.record.consolidate import consolidate
from sim.record.folder import PARTS
from sim.record.metrics import MetricLayout, Series, read_series
from sim.record.tables import (
    Decode,
    arrow_schema,
    canonical,
    read_parquet,
    to_arrow,
    write_parquet,
)

BUFFER_BYTES_MAX = 64 << 20
"""Bytes of rows that wait in memory before they are flushed to part files."""
BUFFER_CHUNKS_MAX = 4_096
"""Pieces (one for each table and tick) that wait before they are flushed."""
STATE_VERSION = 1
OWN_TABLES = ("metrics", "digests", "audit")
"""Tables that the recorder fills itself, in order already."""

Chunk = tuple[int, dict[str, np.ndarray]]


class Recorder:
    """Sums tallies, keeps sampled rows, digests and audits, and writes the files of a run.

    Usage: `on_tick` once for each tick, in order; `flush` at will; `state` at a checkpoint;
    `restore` on resume or recovery; `finish` once.

    Attributes
    ----------
    totals : metric name -> int64 array, summed over the run so far; read only
    tick : last recorded tick, -1 before the first
    """

    def __init__(
        self,
        folder: Path,
        *,
        metrics: Sequence[Metric],
        labels: Mapping[str, tuple[str, ...]],
        tables: Mapping[str, Sequence[Schema]],
        decode: Decode,
        tick_s: int,
    ) -> None:
        """Prepare to record into a folder (the `.part` of the run).

        Parameters
        ----------
        folder : where the run is written
        metrics : every declared metric of the run; at most two dimensions and a histogram
        labels : dimension name -> labels, for the metrics
        tables : table of sampled rows -> message schemas whose columns it joins, for units and
            for an empty file where no row ever comes, such as
            `{"activity": (ACTIVITY, RATED), "decisions": (DECISION,), "deliveries": (DELIVERY,),
            "truth": (TRUTH,), "account_events": (ACCOUNT_EVENT,)}`.  Tables that are not named
            here work too: their columns are those of their first rows.
        decode : (table, column) -> names of the codes, or `ByColumn`; -1 and 255 become null
        tick_s : tick, s
        """
        self.folder = Path(folder)
        self.tick = -1
        self.totals: Tally = new_tally(metrics, labels)
        self._layout = MetricLayout(metrics, labels)
        self._declared = {name: tuple(schemas) for name, schemas in tables.items()}
        self._decode = dict(decode)
        self._tick_s = tick_s
        self._schemas: dict[str, pa.Schema] = {}
        self._dtypes: dict[str, dict[str, np.dtype]] = {}
        self._chunks: dict[str, list[Chunk]] = {}
        self._n_chunks = 0
        self._bytes = 0
        self._rows: dict[str, int] = {}

    # --- while it runs ------------------------------------------------------------------------

    def on_tick(
        self,
        tick: int,
        start_ms: int,
        tally: Mapping[str, np.ndarray],
        samples: Mapping[str, Mapping[str, np.ndarray]],
        digests: Mapping[str, int],
        audit: Sequence[tuple[str, int, int, bool]],
    ) -> None:
        """Record one tick; everything that is kept is copied.

        Parameters
        ----------
        tick : index, larger than the last one
        start_ms : start of the tick, ms since the start of the scenario
        tally : metric name -> counts of this tick, shaped as declared; unnamed metrics count 0
        samples : table -> columns of equal length, codes as integers; order is free
        digests : name of a role or state -> order-free digest, modulo 2**64
        audit : (check, left side, right side, whether they agree)
        """
        if tick <= self.tick:
            raise InvariantError("a tick was recorded twice", tick=tick, values=self.tick)
        self.tick = tick
        add_into(self.totals, tally)
        place, value = self._layout.sparse(tally)
        self._keep("metrics", tick, {
            "ts_ms": np.full(len(place), start_ms, np.int64), "place": place, "value": value,
        })  # fmt: skip
        for table, rows in samples.items():
            self._keep(table, tick, rows)
        self._keep("digests", tick, {
            "name": np.array(sorted(digests), object),
            "digest": np.array([digests[n] & (2**64 - 1) for n in sorted(digests)], np.uint64),
        })  # fmt: skip
        self._keep("audit", tick, {
            "check": np.array([a[0] for a in audit], object),
            "left": np.array([a[1] for a in audit], np.int64),
            "right": np.array([a[2] for a in audit], np.int64),
            "ok": np.array([a[3] for a in audit], bool),
        })  # fmt: skip
        if self._bytes > BUFFER_BYTES_MAX or self._n_chunks > BUFFER_CHUNKS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait to `parts/<table>-<first tick>-<last tick>.parquet`."""
        for table, chunks in self._chunks.items():
            if chunks:
                path = self._part(table, chunks[0][0], chunks[-1][0])
                rows = self._joined(table, chunks)
                write_parquet(path, rows)
                self._rows[table] = self._rows.get(table, 0) + rows.num_rows
        self._chunks = {}
        self._bytes = 0
        self._n_chunks = 0

    def write_table(self, name: str, columns: Mapping[str, Any]) -> Path:
        """Write `<name>.parquet` at once: a table that does not grow, such as `geo_cells`.

        Parameters
        ----------
        columns : arrays or lists of equal length; texts as lists of `str`
        """
        arrays = {key: pa.array(values) for key, values in columns.items()}
        path = self.folder / f"{name}.parquet"
        write_parquet(path, pa.table(arrays))
        return path

    # --- checkpoints --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Flush, and return what `restore` needs; arrays are copies."""
        self.flush()
        return {
            "version": STATE_VERSION,
            "tick": self.tick,
            "layout": self._layout.hash,
            "rows": dict(self._rows),
            "totals": {name: array.copy() for name, array in self.totals.items()},
        }

    def restore(self, state: Mapping[str, Any], tick: int) -> None:
        """Go back to the end of `tick`: later rows, in memory and on disk, are dropped.

        The folder must be the one that wrote the state, with the parts up to then in place.
        """
        if state["version"] != STATE_VERSION or state["layout"] != self._layout.hash:
            raise ScenarioError(
                "the checkpoint belongs to another version or another catalogue",
                file=self.folder, found=state["layout"], expected=self._layout.hash,
            )  # fmt: skip
        if state["tick"] != tick:
            raise InvariantError("recorder and checkpoint differ", tick=tick, values=state["tick"])
        for name, array in state["totals"].items():
            self.totals[name] = np.array(array, np.int64)
        self.tick = tick
        self._chunks = {}
        self._bytes = 0
        self._n_chunks = 0
        self._rows = {table: 0 for table in state["rows"]}
        for path in sorted((self.folder / PARTS).glob("*.parquet")):
            self._cut(path, tick)
        for table, n in state["rows"].items():
            if self._rows.get(table, 0) != n:
                raise ScenarioError(
                    "part files of the run are missing", file=self.folder / PARTS,
                    path=table, found=f"{self._rows.get(table, 0)} rows", expected=f"{n} rows",
                )  # fmt: skip

    # --- the end ------------------------------------------------------------------------------

    def finish(self) -> dict[str, int]:
        """Write the final files from the parts; return file -> rows.

        Files: `metrics.parquet`, `digests.parquet`, `audit.parquet`, `decisions.parquet`,
        `contacts.parquet`, `cells.parquet`, and `events/<table>-NNNN.parquet` for every other
        table.  The parts stay until `RunFolder.complete` removes them, so that a crash in between
        loses nothing: a second call, or a resumed run, writes the same files again.
        """
        self.flush()
        empty = {
            table: self._schema_of_declared(table)
            for table in self._declared
            if table not in self._rows
        }
        return consolidate(self.folder, empty=empty)

    def series(self, names: Sequence[str], *, every_ms: int | None = None) -> Series:
        """Return sums over time of the named metrics; only after `finish`.

        Parameters
        ----------
        names : metrics; a histogram keeps its buckets, every other metric is summed over labels
        every_ms : length of a step, ms; None: a tick
        """
        step = self._tick_s * 1000 if every_ms is None else every_ms
        return read_series(self.folder / "metrics.parquet", self._layout, names, step)

    # --- inside -------------------------------------------------------------------------------

    def _keep(self, table: str, tick: int, rows: Mapping[str, np.ndarray]) -> None:
        if not rows:
            return
        self._check(table, tick, rows)
        if table not in OWN_TABLES:
            rows = canonical(rows)
        n = len(next(iter(rows.values())))
        if n == 0:
            return
        self._chunks.setdefault(table, []).append((tick, dict(rows)))
        self._n_chunks += 1
        self._bytes += sum(array.nbytes for array in rows.values())

    def _check(self, table: str, tick: int, rows: Mapping[str, np.ndarray]) -> None:
        dtypes = {name: array.dtype for name, array in rows.items()}
        known = self._dtypes.setdefault(table, dtypes)
        if known != dtypes:
            raise InvariantError(
                f"columns of recorded table {table} changed", tick=tick,
                values={"were": str(known), "are": str(dtypes)},
            )  # fmt: skip
        if len({len(array) for array in rows.values()}) != 1:
            raise InvariantError(f"recorded table {table} has columns of unequal length", tick=tick)

    def _joined(self, table: str, chunks: Sequence[Chunk]) -> pa.Table:
        names = list(chunks[0][1])
        rows = {name: np.concatenate([chunk[name] for _, chunk in chunks]) for name in names}
        sizes = [len(chunk[names[0]]) for _, chunk in chunks]
        ticks = np.repeat(np.array([tick for tick, _ in chunks], np.int32), sizes)
        if table == "metrics":
            return self._layout.to_arrow(ticks, rows)
        if table not in self._schemas:
            dtypes = {name: array.dtype for name, array in rows.items()}
            declared = self._declared.get(table, ())
            self._schemas[table] = arrow_schema(table, dtypes, declared, self._decode)
        return to_arrow(table, self._schemas[table], ticks, rows, self._decode)

    def _schema_of_declared(self, table: str) -> pa.Schema:
        fields = {f.name: np.dtype(f.dtype) for s in self._declared[table] for f in s.fields}
        return arrow_schema(table, fields, self._declared[table], self._decode)

    def _part(self, table: str, first: int, last: int) -> Path:
        return self.folder / PARTS / f"{table}-{first:08d}-{last:08d}.parquet"

    def _cut(self, path: Path, tick: int) -> None:
        """Drop the rows of a part that are later than a tick, and count the rest."""
        table, first, last = path.stem.rsplit("-", 2)
        if int(first) > tick:
            path.unlink()
            return
        rows = read_parquet(path)
        if int(last) > tick:
            rows = rows.filter(pa.array(rows["tick"].to_numpy() <= tick))
            write_parquet(self._part(table, int(first), tick), rows)
            path.unlink()
        self._rows[table] = self._rows.get(table, 0) + rows.num_rows
