"""The last pass: hours become pieces of a spool, hashes become indices, side tables are written.

It owns the order of subscribers and cells, the start of the recording and its digest.  It must not
know the files the rows came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim.core.errors import ScenarioError
from sim.core.ticks import DAY_MS
from sim.record.source_cells import position_of
from sim.record.source_fields import Context
from sim.record.source_ids import look_up, pseudonyms
from sim.record.source_kernels import vote
from sim.record.source_sides import Sides
from sim.record.source_sort import Pool, ordered
from sim.record.source_spec import DERIVED, TYPES
from sim.record.source_spool import CELLS, SUBSCRIBERS, Digest, write_piece, write_side
from sim.record.source_time import midnight_ms, shown_ms


class _Namer:
    """Gives the indices of raw rows."""

    def __init__(self, context: Context) -> None:
        self.hashes, self.rank, self.names = context.subscribers.ranked()
        self.versions = context.versions
        self.cell_hashes, self.cell_rank, self.cell_names = context.cells.ranked()
        self.n_versions = 0 if self.versions is None else len(self.versions)

    def __call__(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (`source_sub`, `peer`, `cell`), (n,) int32 each."""
        sub = look_up(raw["sub"], self.hashes, self.rank)
        peer = look_up(raw["peer"], self.hashes, self.rank)
        peer[raw["peer"] == 0] = -1
        cell = np.full(len(raw), -1, np.int32)
        told = raw["cell"] != 0
        if told.any():
            cell[told] = look_up(raw["cell"][told], self.cell_hashes, self.cell_rank)
            cell[cell >= 0] += self.n_versions
        if self.versions is not None:
            from_file = self.versions.index(raw["cell"], raw["ts"])
            cell = np.where(told & (from_file >= 0), from_file, cell)
        return sub, peer, cell

    def cells(self) -> dict[str, Any]:
        """Return the table of cells: those of the side file, then those seen in rows alone."""
        places = [position_of(name) for name in self.cell_names]
        lat, lon = [p[0] for p in places], [p[1] for p in places]
        keys = list(self.cell_names)
        if self.versions is not None:
            keys = self.versions.keys + keys
            lat = [*self.versions.lat.tolist(), *lat]
            lon = [*self.versions.lon.tolist(), *lon]
        return {"key": keys, "lat": np.array(lat, "f8"), "lon": np.array(lon, "f8")}


def _too_long(start_ms: int, last_ms: int, days_max: int) -> ScenarioError:
    return ScenarioError(
        "the recording is too long: is a moment wrong?", path="event_time",
        found=f"{shown_ms(start_ms)} to {shown_ms(last_ms)}",
        expected=f"at most {days_max} days; a window in the mapping leaves out what lies outside",
    )  # fmt: skip


def finish(
    part: Path, pool: Pool, drop: np.ndarray, context: Context, secret: bytes, *, days_max: int
) -> dict[str, Any]:
    """Write the pieces and side tables of a spool; return what its manifest says of them."""
    namer = _Namer(context)
    n_subs = len(namer.names)
    candidate, lead = np.full(n_subs, -1, np.int32), np.zeros(n_subs, np.int32)
    rows_of = np.zeros(n_subs, np.int64)
    digest, sides = Digest(), Sides()
    pieces: list[dict[str, Any]] = []
    start_ms = context.recording.start_ms
    first_ms, end_ms, n_rows, derived, placeless = 0, 0, 0, 0, 0
    types = np.zeros(len(TYPES), np.int64)
    for hour in pool.hours():
        for begin, end, raw in pool.pieces(hour, drop):
            if not len(raw):
                continue
            if start_ms is None:
                start_ms = midnight_ms(int(raw["ts"].min()), context.recording.zone)
            if int(raw["ts"].max()) - start_ms >= days_max * DAY_MS:
                raise _too_long(start_ms, int(raw["ts"].max()), days_max)
            rows = ordered(raw, begin, start_ms, namer)
            name, sha = write_piece(part, len(pieces), rows)
            pieces.append({"file": name, "from_ms": begin - start_ms, "to_ms": end - start_ms,
                           "rows": len(rows), "sha256": sha})  # fmt: skip
            digest.feed(rows)
            sides.add(rows, end - start_ms)
            vote(
                np.ascontiguousarray(rows["source_sub"]), np.ascontiguousarray(rows["cell"]),
                candidate, lead, rows_of,
            )  # fmt: skip
            if not n_rows:
                first_ms = int(rows["ts_ms"].min())
            n_rows += len(rows)
            types += np.bincount(rows["type"], minlength=len(TYPES))
            made = (rows["flags"] & DERIVED) != 0
            derived += int(made.sum())
            placeless += int((~made & (rows["cell"] < 0)).sum())
            end_ms = int(rows["ts_ms"].max()) + 1
    cells = namer.cells()
    names = pseudonyms(namer.names, secret)
    subscribers = {"pseudonym": names, "rows": rows_of, "home_cell": candidate}
    side = {CELLS: write_side(part, CELLS, cells),
            SUBSCRIBERS: write_side(part, SUBSCRIBERS, subscribers)}  # fmt: skip
    return {
        "start_ms": start_ms or 0, "first_ms": first_ms, "end_ms": end_ms, "rows": n_rows,
        "derived": derived, "placeless": placeless, "subscribers": n_subs,
        "cells": len(cells["key"]),
        "types": {name: int(n) for name, n in zip(TYPES, types, strict=True)},
        "digest": digest.hexdigest(cells["key"]), "two_sides": sides.found(),
        "pieces": pieces, "side_files": side,
    }  # fmt: skip
