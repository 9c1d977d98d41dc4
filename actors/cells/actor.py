"""`CellActor`: load, congestion and availability of every radio cell, one global role.

It owns what a cell can carry and what its users feel in the next tick.  It must not know lines.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from actors.cells.params import CellParams
from actors.metrics import CELL_METRICS
from geo.geography import Geography
from sim.core import histogram
from sim.core.columns import Schema
from sim.core.kernel import kernel
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick

CellCounters = namedtuple("CellCounters", [metric.name for metric in CELL_METRICS])  # type: ignore[misc]  # names are data


class CellTables(NamedTuple):
    """What the kernels of the cells read."""

    capacity_kbps: np.ndarray
    voice_channels: np.ndarray
    pool: np.ndarray
    n_pools: int
    slow_q: int
    congested_q: int
    overhead_q: int
    weight: int
    borders: np.ndarray


FULL = 65_535
POOL_LINES = 150
"""Simulated lines for which a cell, or a pool of cells, is judged: fewer are only noise."""


def pools(geo: Geography, n_lines: int) -> np.ndarray:
    """Return (n_cells,) int64, the pool in which each cell is judged.

    Where a sample of lines drives a full network, one line stands for many and a single cell sees
    a handful of them: its load is then read from neighbouring cells together.  Pools follow a
    Z-order curve, so that they are compact.  With enough lines every cell is a pool of its own.
    """
    n_cells = geo.n_cell
    size = -(-POOL_LINES * n_cells // max(n_lines, 1))
    if size <= 1:
        return np.arange(n_cells, dtype=np.int64)
    y = np.clip((geo.cell_lat + 90) / 180 * 65_535, 0, 65_535).astype(np.int64)
    x = np.clip((geo.cell_lon + 180) / 360 * 65_535, 0, 65_535).astype(np.int64)
    code = np.zeros(n_cells, np.int64)
    for bit in range(16):
        code |= ((x >> bit) & 1) << (2 * bit) | ((y >> bit) & 1) << (2 * bit + 1)
    order = np.argsort(code, kind="stable")
    pool = np.empty(n_cells, np.int64)
    pool[order] = np.arange(n_cells) // size
    return pool


def compile_tables(
    params: CellParams, geo: Geography, *, weight: float, n_lines: int
) -> CellTables:
    """Return the tables of the cell kernel.

    Parameters
    ----------
    weight : real lines for which one simulated line stands
    n_lines : simulated lines
    """
    pool = pools(geo, n_lines)
    return CellTables(
        pool=pool,
        n_pools=int(pool.max()) + 1,
        capacity_kbps=geo.cell_capacity_kbps.astype(np.int64),
        voice_channels=geo.cell_voice_erlang_q.astype(np.int64),
        slow_q=round(params.slow_from * 1000),
        congested_q=round(params.congested_from * 1000),
        overhead_q=round(params.overhead * 1000),
        weight=round(weight * 1024),
        borders=histogram.BORDERS,
    )


@kernel
def judge(t, load, shared, span_s, down, throughput_q, voice_block_q, available, util_q, c):
    """Turn the load of a tick into what the cells offer in the next one.

    Parameters
    ----------
    load : (n_cells, 4) int64: bytes, voice s, attempts, blocked, of simulated lines
    shared : (n_pools, 4) int64 scratch: bytes, voice s, capacity kbit/s, voice channels
    span_s : length of the tick, s
    down : (n_cells,) uint8, 1 out of service
    throughput_q, voice_block_q : (n_cells,) uint16, written: share of what is asked that a
        session gets, and chance that a call is refused, both of 65,535
    available : (n_cells,) uint8, written
    util_q : (n_cells,) int64, written: share of resource blocks in use, 1/1000

    A call is refused with the share by which the offered load exceeds the voice channels: the
    fluid limit of Erlang B, which is exact for large groups.
    """
    shared[:] = 0
    for cell in range(load.shape[0]):
        if down[cell]:
            continue
        pool = t.pool[cell]
        shared[pool, 0] += load[cell, 0]
        shared[pool, 1] += load[cell, 1]
        shared[pool, 2] += t.capacity_kbps[cell]
        shared[pool, 3] += t.voice_channels[cell]
    for cell in range(load.shape[0]):
        pool = t.pool[cell]
        kilobits = shared[pool, 0] * 8 // 1000 * t.weight // 1024
        busy = kilobits * 1000 // max(shared[pool, 2] * span_s, 1)
        util = min(busy * (1000 - t.overhead_q) // 1000 + (t.overhead_q if busy > 0 else 0), 5000)
        util_q[cell] = util
        c.cell_bytes[0] += load[cell, 0]
        c.cell_voice_s[0] += load[cell, 1]
        c.cell_attempts[0] += load[cell, 2]
        c.cell_blocked[0] += load[cell, 3]
        c.prb_util_q[bucket_of(t.borders, min(util, 1000))] += 1
        c.cells_congested[0] += util >= t.congested_q
        c.cells_down[0] += down[cell]
        throughput_q[cell] = FULL if util <= t.slow_q else max(FULL * t.slow_q // util, 2_000)
        erlangs = shared[pool, 1] * t.weight // 1024 // max(span_s, 1)
        over = max(erlangs - shared[pool, 3], 0)
        voice_block_q[cell] = 0 if over == 0 else FULL * over // max(erlangs, 1)
        available[cell] = 0 if down[cell] else 1


bucket_of = histogram.bucket_of


class CellActor:
    """Every radio cell."""

    role: ClassVar[str] = "cells"
    consumes: ClassVar[tuple[Schema, ...]] = ()
    produces: ClassVar[tuple[Schema, ...]] = ()

    def __init__(self, tables: CellTables, labels: dict[str, tuple[str, ...]]) -> None:
        n = len(tables.capacity_kbps)
        self.tables = tables
        self.throughput_q = np.full(n, FULL, np.uint16)
        self.voice_block_q = np.zeros(n, np.uint16)
        self.available = np.ones(n, np.uint8)
        self.down_until_ms = np.full(n, -1, np.int64)
        self.util_q = np.zeros(n, np.int64)
        self._shared = np.zeros((tables.n_pools, 4), np.int64)
        self.hour = np.zeros((n, 5), np.int64)
        self._tally = new_tally(CELL_METRICS, labels)
        self._counters = CellCounters(**self._tally)

    def quality(self) -> dict[str, np.ndarray]:
        """Return what cells offer now, to be broadcast."""
        return {
            "throughput_q": self.throughput_q,
            "voice_block_q": self.voice_block_q,
            "available": self.available,
        }

    def quality_rows(self) -> dict[str, np.ndarray]:
        """Return the broadcast as rows: the cells that offer less than everything."""
        full = (self.throughput_q == FULL) & (self.voice_block_q == 0) & (self.available == 1)
        cell = np.flatnonzero(~full).astype(np.int32)
        return {
            "cell": cell,
            "throughput_q": self.throughput_q[cell],
            "voice_block_q": self.voice_block_q[cell],
            "available": self.available[cell],
        }

    def on_tick(
        self, tick: Tick, load: np.ndarray, commands: Sequence[tuple[str, int, int]] = ()
    ) -> dict[str, np.ndarray] | None:
        """Take the summed load of a tick; return the hour's rows where an hour has ended.

        Parameters
        ----------
        load : (n_cells, 4) int64
        commands : (verb, cell, until_ms): outages that begin in this tick
        """
        reset(self._tally)
        for verb, cell, until_ms in commands:
            if verb == "cell_outage":
                self.down_until_ms[cell] = max(self.down_until_ms[cell], until_ms)
        down = (self.down_until_ms > tick.end_ms).astype(np.uint8)
        judge(
            self.tables,
            load,
            self._shared,
            (tick.end_ms - tick.start_ms) // 1000,
            down,
            self.throughput_q,
            self.voice_block_q,
            self.available,
            self.util_q,
            self._counters,
        )
        self.hour[:, :4] += load
        np.maximum(self.hour[:, 4], self.util_q, out=self.hour[:, 4])
        if tick.end_ms % 3_600_000:
            return None
        rows = self._hour_rows(tick.end_ms // 3_600_000 - 1)
        self.hour[:] = 0
        return rows

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def digest(self) -> int:
        """Return the order-free digest of the cells' state."""
        weight = np.arange(1, len(self.util_q) + 1, dtype=np.int64)
        total = (self.throughput_q * weight).sum() + (self.voice_block_q * weight).sum() * 3
        return int(total + (self.down_until_ms * weight).sum()) & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return quality, outages and the sums of the current hour."""
        return {
            name: getattr(self, name).copy()
            for name in ("throughput_q", "voice_block_q", "available", "down_until_ms", "hour")
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name, array in saved.items():
            getattr(self, name)[...] = array

    def _hour_rows(self, hour: int) -> dict[str, np.ndarray]:
        used = np.flatnonzero(self.hour[:, :4].any(axis=1))
        table = self.hour[used]
        return {
            "hour": np.full(len(used), hour, np.int32),
            "cell": used.astype(np.int32),
            "bytes": table[:, 0],
            "voice_s": table[:, 1],
            "attempts": table[:, 2],
            "blocked": table[:, 3],
            "util_q": table[:, 4].astype(np.int32),
        }
