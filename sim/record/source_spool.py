"""A spool: recorded rows cut by time, each piece sorted by subscriber, with checksums.

It owns the folder layout, the manifest and the reading of the rows of a tick.  It must not know
the files the rows came from, nor what the twin does with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Spool:
    """Recorded rows on disk, ready to be asked by time.  Reading holds two pieces in memory.

    Attributes
    ----------
    manifest : `{start_ms, first_ms, end_ms, subscribers, cells, rows, digest, counts, gaps, files,
        mapping, pieces}`; `counts` is `{rows_read, applied, derived, quarantined, reasons}`
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Spool:
        """Open a spool; a missing or damaged one is a `ScenarioError`."""
        raise NotImplementedError

    @property
    def n_subscribers(self) -> int:
        """Return the number of subscribers; `source_sub` is 0..n-1, sorted by id."""
        raise NotImplementedError

    @property
    def start_ms(self) -> int:
        """Return the moment of ts 0, epoch ms UTC."""
        raise NotImplementedError

    @property
    def end_ms(self) -> int:
        """Return the end of the last event plus one, ms since the start."""
        raise NotImplementedError

    @property
    def counts(self) -> dict[str, Any]:
        """Return `{rows_read, applied, derived, quarantined, reasons}` for the manifest of a run.

        `rows_read = applied + quarantined`, in rows of the files; `derived` rows come on top.
        """
        raise NotImplementedError

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Return `{source, from_ms, to_ms, expected_rows}` of spans without rows, since start."""
        raise NotImplementedError

    def rows_for(self, start_ms: int, end_ms: int) -> dict[str, np.ndarray]:
        """Return the rows of `[start_ms, end_ms)`, columns of `ROW`, sorted by
        (source_sub, ts_ms, type, direction, ...): all columns.

        Parameters
        ----------
        start_ms, end_ms : ms since the start; any cut, no state: a restart asks again
        """
        raise NotImplementedError

    def subscribers(self) -> dict[str, np.ndarray]:
        """Return `pseudonym` (n,) U16, `rows` (n,) int64, `home_cell` (n,) int32, per source_sub.

        `home_cell` is the cell of most rows, the smaller index on a tie, -1 where none is known.
        """
        raise NotImplementedError

    def cells(self) -> dict[str, np.ndarray]:
        """Return `key` (n,) text, `lat`, `lon` (n,) float64 (NaN unknown), one per `cell`."""
        raise NotImplementedError

    def verify(self) -> list[str]:
        """Return the names of files whose checksum is wrong."""
        raise NotImplementedError
