"""A tape on its way to lines: the rows of one partition after another, read ahead.

It owns the order in which parts are read, their checksums, and the bound on what is held: the rows
of two partitions and one row group.  It must not know what a row means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.actor import Rows
from sim.core.columns import Block, concat_rows
from sim.core.errors import ScenarioError
from sim.core.partition import Partition
from sim.record.tables import damaged
from sim.record.tape import TAPE, TapePart, TapeSource, TapeTarget, TapeWriter, arrow_of


class TapeReader:
    """Reads what the partitions of one host replay, in order, one partition ahead in a thread."""

    def __init__(self, source: TapeSource, partitions: Sequence[Partition]) -> None:
        self.source = source
        self.partitions = tuple(partitions)
        self._wanted = arrow_of(source.schema)
        first, last = partitions[0].first, partitions[-1].last
        self._parts: dict[int, list[TapePart]] = {}
        for part in source.parts:
            if part.first < last and part.last > first:
                self._parts.setdefault(part.tick, []).append(part)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tape")
        self._ahead: tuple[tuple[int, int], Future[Rows]] | None = None
        self._open: dict[str, _Part] = {}

    def rows(self, tick: int, k: int) -> Rows:
        """Return the rows of a tick for partition number `k` of this host, sorted by (sub, ts_ms).

        The next partition is being read when this returns.

        Raises
        ------
        ScenarioError : a part is missing, damaged or not what its index says
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] != (tick, k):
            # A run that went back to a checkpoint: what was read for another tick is not wanted.
            ahead[1].cancel()
            ahead = None
        made = self._thread.submit(self._read, tick, k) if ahead is None else ahead[1]
        rows = made.result()
        at = (tick, k + 1) if k + 1 < len(self.partitions) else (tick + 1, 0)
        if at[0] in self._parts:
            self._ahead = (at, self._thread.submit(self._read, *at))
        return rows

    def _read(self, tick: int, k: int) -> Rows:
        first, last = self.partitions[k].first, self.partitions[k].last
        parts = [p for p in self._parts.get(tick, ()) if p.first < last and p.last > first]
        names = {p.name for p in parts}
        self._open = {name: part for name, part in self._open.items() if name in names}
        pieces: list[Rows] = []
        for part in parts:
            if part.name not in self._open:
                path = self.source.folder / part.name
                self._open[part.name] = _Part(path, part, self._wanted)
            pieces += self._open[part.name].rows(first, last)
        rows = concat_rows(self.source.schema, pieces)
        sub = rows["sub"]
        if len(sub) and bool((sub[1:] < sub[:-1]).any()):
            raise damaged(self.source.folder / parts[0].name, "rows that are not sorted by line")
        return rows


class _Part:
    """One file whose bytes are as its index says."""

    def __init__(self, path: Path, part: TapePart, wanted: pa.Schema) -> None:
        self.path = path
        try:
            with path.open("rb") as handle:
                found = hashlib.file_digest(handle, "sha256").hexdigest()
            if found != part.sha256:
                raise ScenarioError(
                    "a part of the tape is damaged", file=path, found=f"SHA-256 {found[:16]}...",
                    expected=f"{part.sha256[:16]}...; restore it, or make the recording anew",
                )  # fmt: skip
            self.file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise damaged(path, error) from None
        schema = self.file.schema_arrow
        same = schema.equals(wanted) and schema.metadata == wanted.metadata
        if not same or self.file.metadata.num_rows != part.rows:
            raise damaged(path, "other columns or rows than the index says")
        self.spans = [self._span(g) for g in range(self.file.metadata.num_row_groups)]
        self._held: tuple[int, Rows] | None = None

    def rows(self, first: int, last: int) -> list[Rows]:
        """Return the rows of lines `first` to `last - 1`, writable, in order."""
        out: list[Rows] = []
        for g, (low, high) in enumerate(self.spans):
            if low >= last or high < first:
                continue
            group = self._group(g)
            at, end = np.searchsorted(group["sub"], np.array([first, last], group["sub"].dtype))
            # Copies: what Arrow holds is read-only, for which kernels would be compiled anew.
            out.append({name: array[at:end].copy() for name, array in group.items()})
            if high >= last:
                break
            self._held = None
        return out

    def _group(self, g: int) -> Rows:
        """Return a row group; the last one is held, for a partition that begins within it."""
        if self._held is None or self._held[0] != g:
            try:
                table = self.file.read_row_group(g, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise damaged(self.path, error) from None
            rows = {
                name: column.to_numpy()
                for name, column in zip(table.column_names, table.columns, strict=True)
            }
            self._held = (g, rows)
        return self._held[1]

    def _span(self, g: int) -> tuple[int, int]:
        """Return first and last line of a row group."""
        found = self.file.metadata.row_group(g).column(0).statistics
        if found is None or not found.has_min_max:
            raise damaged(self.path, "a row group that does not say which lines it has")
        return int(found.min), int(found.max)


class Tapes:
    """The tape that a host writes and the one that it reads, each of which may be absent."""

    def __init__(
        self,
        target: TapeTarget | None,
        source: TapeSource | None,
        partitions: Sequence[Partition],
    ) -> None:
        first, last = partitions[0].first, partitions[-1].last
        self.writer = None if target is None else TapeWriter(target, first, last)
        self.reader = None if source is None else TapeReader(source, partitions)
        self._tick = -1

    def open(self, tick: int) -> None:
        """Begin a tick."""
        self._tick = tick
        if self.writer is not None:
            self.writer.open(tick)

    def arrive(self, k: int) -> dict[str, Rows]:
        """Return, by schema name, the rows that partition number `k` replays in this tick."""
        if self.reader is None:
            return {}
        return {self.reader.source.schema.name: self.reader.rows(self._tick, k)}

    def add(self, blocks: dict[str, Block]) -> None:
        """Keep the rows of a slice."""
        if self.writer is not None:
            self.writer.add(blocks[self.writer.target.schema.name])

    def end(self) -> None:
        """End a partition."""
        if self.writer is not None:
            self.writer.end()

    def close(self) -> dict[str, list[Rows]]:
        """End a tick; return the new row of the tape's index as a recorded table."""
        return {} if self.writer is None else {TAPE: [self.writer.close()]}
