"""A spool: recorded rows cut by time, each piece sorted by subscriber, with checksums.

It owns the folder layout, the manifest and the reading of the rows of a tick.  It must not know
the files the rows came from, nor what the twin does with them.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.errors import ScenarioError
from sim.record.files import read_json
from sim.record.source_spec import ROW
from sim.record.tables import read_parquet

MANIFEST = "spool.json"
CELLS = "cells.parquet"
SUBSCRIBERS = "subscribers.parquet"
VERSION = 4
HELD = 2
"""Pieces that stay in memory."""
_ARROW = pa.schema([(name, pa.from_numpy_dtype(ROW[name])) for name in ROW.names or ()])


class Spool:
    """Recorded rows on disk, ready to be asked by time.  Reading holds two pieces in memory.

    Attributes
    ----------
    manifest : `{start_ms, first_ms, end_ms, subscribers, cells, rows, digest, counts, gaps, files,
        mapping, pieces}`; `counts` is `{rows_read, applied, derived, quarantined, reasons}`
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._pieces: list[dict[str, Any]] = manifest["pieces"]
        self._begins = [piece["from_ms"] for piece in self._pieces]
        self._held: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Spool:
        """Open a spool; a missing or damaged one is a `ScenarioError`."""
        manifest = read_json(Path(folder) / MANIFEST)
        if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
            raise ScenarioError("not a spool of this version", file=folder)
        return cls(Path(folder), manifest)

    @property
    def n_subscribers(self) -> int:
        """Return the number of subscribers; `source_sub` is 0..n-1, sorted by id."""
        return self.manifest["subscribers"]

    @property
    def start_ms(self) -> int:
        """Return the moment of ts 0, epoch ms UTC."""
        return self.manifest["start_ms"]

    @property
    def end_ms(self) -> int:
        """Return the moment after the last event, ms since the start."""
        return self.manifest["end_ms"]

    @property
    def counts(self) -> dict[str, Any]:
        """Return `{rows_read, applied, derived, quarantined, reasons}` for the manifest of a run.

        `rows_read = applied + quarantined`, in rows of the files; `derived` rows come on top.
        """
        return self.manifest["counts"]

    @property
    def two_sides(self) -> dict[str, int]:
        """Return `{agree, differ, one_side}` of the calls between two recorded subscribers."""
        return self.manifest["two_sides"]

    @property
    def placeless(self) -> int:
        """Return the rows of the files that are applied though they do not say where they were."""
        return self.manifest["placeless"]

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Return `{source, from_ms, to_ms, expected_rows}` of spans without rows, since start."""
        return self.manifest["gaps"]

    @property
    def digest(self) -> str:
        """Return the hash of all rows: equal for equal recordings however they are written."""
        return self.manifest["digest"]

    def rows_for(self, start_ms: int, end_ms: int) -> dict[str, np.ndarray]:
        """Return the rows of `[start_ms, end_ms)` as columns of `ROW`.

        They are sorted by `source_sub`, `ts_ms`, `type`, `direction`, then all other columns.

        Parameters
        ----------
        start_ms, end_ms : ms since the start; any cut, no state: a restart asks again
        """
        first = max(bisect.bisect_right(self._begins, start_ms) - 1, 0)
        found: list[dict[str, np.ndarray]] = []
        for i in range(first, len(self._pieces)):
            piece = self._pieces[i]
            if piece["from_ms"] >= end_ms:
                break
            if piece["to_ms"] <= start_ms:
                continue
            rows = self._piece(i)
            if start_ms <= piece["from_ms"] and piece["to_ms"] <= end_ms:
                found.append(rows)
                continue
            here = (rows["ts_ms"] >= start_ms) & (rows["ts_ms"] < end_ms)
            found.append({name: column[here] for name, column in rows.items()})
        if not found:
            return {name: np.zeros(0, ROW[name]) for name in ROW.names or ()}
        if len(found) == 1:
            return found[0]
        joined = {name: np.concatenate([f[name] for f in found]) for name in found[0]}
        # Pieces follow each other in time: a stable sort by subscriber keeps the order within.
        order = np.argsort(joined["source_sub"], kind="stable")
        return {name: column[order] for name, column in joined.items()}

    def _piece(self, i: int) -> dict[str, np.ndarray]:
        if i in self._held:
            self._held.move_to_end(i)
            return self._held[i]
        piece = self._pieces[i]
        path = self.folder / piece["file"]
        if not path.is_file() or file_hash(path) != piece["sha256"]:
            raise ScenarioError(
                "a piece of the spool is damaged", file=path, expected="its checksum; replay anew"
            )
        table = read_parquet(path)
        rows = {name: table[name].to_numpy() for name in ROW.names or ()}
        self._held[i] = rows
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        return rows

    def subscribers(self) -> dict[str, np.ndarray]:
        """Return `pseudonym` (n,) U16, `rows` (n,) int64, `home_cell` (n,) int32, per source_sub.

        `home_cell` is the cell that leads a majority vote over the rows, -1 where none is known.
        """
        table = read_parquet(self.folder / SUBSCRIBERS)
        return {
            "pseudonym": np.array(table["pseudonym"].to_pylist(), "U16"),
            "rows": table["rows"].to_numpy(),
            "home_cell": table["home_cell"].to_numpy(),
        }

    def cells(self) -> dict[str, np.ndarray]:
        """Return `key` (n,) text, `lat`, `lon` (n,) float64 (NaN unknown), one per `cell`."""
        table = read_parquet(self.folder / CELLS)
        return {
            "key": np.array(table["key"].to_pylist(), dtype=str),
            "lat": table["lat"].to_numpy(),
            "lon": table["lon"].to_numpy(),
        }

    def verify(self) -> list[str]:
        """Return the names of files whose checksum is wrong."""
        told = [(p["file"], p["sha256"]) for p in self._pieces]
        told += list(self.manifest["side_files"].items())
        return [
            name
            for name, sha in told
            if not (self.folder / name).is_file() or file_hash(self.folder / name) != sha
        ]


def write_piece(folder: Path, number: int, rows: np.ndarray) -> tuple[str, str]:
    """Write one piece; return its name and checksum."""
    name = f"rows-{number:06d}.parquet"
    columns = [pa.array(np.ascontiguousarray(rows[column])) for column in ROW.names or ()]
    table = pa.Table.from_arrays(columns, schema=_ARROW)
    pq.write_table(table, folder / name, compression="zstd", compression_level=1,
                   use_dictionary=False, write_statistics=False)  # fmt: skip
    return name, file_hash(folder / name)


def write_side(folder: Path, name: str, columns: dict[str, Any]) -> str:
    """Write a side table; return its checksum."""
    pq.write_table(pa.table(columns), folder / name, compression="zstd")
    return file_hash(folder / name)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Digest:
    """A hash of all rows: a sum over their keys, so that how pieces are cut leaves no trace."""

    def __init__(self) -> None:
        self._sums = [0, 0]
        self._n = 0

    def feed(self, rows: np.ndarray) -> None:
        """Add rows; their keys are hashes of all that they hold."""
        keys = rows["key"].astype(np.uint64)
        mixed = (keys ^ (keys >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        for i, part in enumerate((keys, mixed ^ (mixed >> np.uint64(32)))):
            self._sums[i] = (self._sums[i] + int(part.sum(dtype=np.uint64))) % (1 << 64)
        self._n += len(rows)

    def hexdigest(self, names: list[str]) -> str:
        """Return the hash of the rows, and of the names that their indices mean."""
        text = repr((self._sums, self._n, names))
        return hashlib.sha256(text.encode()).hexdigest()
