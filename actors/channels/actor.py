"""`ChannelActor`: every outbound channel, one global role.

It owns the waiting messages and the sender's clock of each channel.  It must not know offers,
people or the engine: an intent comes in, a delivery goes out.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from actors import messages as m
from actors.channels.gateway import serve
from actors.channels.params import Channel
from actors.metrics import CHANNEL_METRICS
from sim.core import histogram, quantiles, rng
from sim.core.actor import Rows
from sim.core.columns import Columns, Schema, concat_rows, empty_rows, take_rows
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick

ChannelCounters = namedtuple("ChannelCounters", [metric.name for metric in CHANNEL_METRICS])  # type: ignore[misc]  # names are data


class ChannelTables(NamedTuple):
    """What the kernels of the channels read."""

    seed: np.uint64
    step_us: np.ndarray
    queue_max: np.ndarray
    latency_ms: np.ndarray
    failure: np.ndarray
    cost_minor: np.ndarray
    borders: np.ndarray


def compile_tables(
    channels: Sequence[Channel], *, seed: int, scale: float, price_level: float
) -> ChannelTables:
    """Return the tables of the queue kernel.

    Parameters
    ----------
    scale : share of the full-scale capacity that the simulated lines may use
    """
    return ChannelTables(
        seed=rng.seed64(seed),
        step_us=np.array(
            [max(round(1e6 / (c.per_second * scale)), 1) for c in channels] or [1], np.int64
        ),
        queue_max=np.array([c.queue_max for c in channels] or [1], np.int64),
        latency_ms=np.stack(
            [quantiles.lognormal(max(c.latency_median_ms, 1), c.latency_sigma) for c in channels]
            or [np.zeros(quantiles.SIZE, np.int64)]
        ),
        failure=np.array([rng.threshold(c.failure) for c in channels] or [0], np.uint32),
        cost_minor=np.array([round(c.cost_minor * price_level) for c in channels] or [0], np.int64),
        borders=histogram.BORDERS,
    )


class ChannelActor:
    """Queues and senders of all channels."""

    role: ClassVar[str] = "channels"
    consumes: ClassVar[tuple[Schema, ...]] = (m.INTENT,)
    produces: ClassVar[tuple[Schema, ...]] = (m.DELIVERY,)

    def __init__(self, tables: ChannelTables, labels: dict[str, tuple[str, ...]]) -> None:
        self.tables = tables
        self.n_channels = len(labels["channel"])
        self.waiting: Rows = empty_rows(m.INTENT)
        self.free_us = np.zeros(max(self.n_channels, 1), np.int64)
        self.dark = np.full((max(self.n_channels, 1), 2), -1, np.int64)
        self._tally = new_tally(CHANNEL_METRICS, labels)
        self._counters = ChannelCounters(**self._tally)

    def on_tick(
        self, tick: Tick, intents: Rows, commands: Sequence[tuple[str, int, int]] = ()
    ) -> Rows:
        """Take the intents of a tick in any order and return the deliveries, sorted by (sub, time).

        Parameters
        ----------
        commands : (verb, channel, until_ms) of outages that begin in this tick
        """
        reset(self._tally)
        for verb, channel, until_ms in commands:
            if verb == "channel_outage":
                going_on = self.dark[channel, 1] > tick.start_ms
                begin = self.dark[channel, 0] if going_on else tick.start_ms
                self.dark[channel] = (begin, max(until_ms, self.dark[channel, 1]))
        if len(intents["sub"]):
            offered = np.bincount(intents["channel"], minlength=self.n_channels)
            self._counters.channel_offered[: self.n_channels] += offered[: self.n_channels]
        rows = concat_rows(m.INTENT, [self.waiting, intents])
        n = len(rows["sub"])
        if n == 0:
            return empty_rows(m.DELIVERY)
        out = Columns(m.DELIVERY, n)
        heap = np.empty(n, np.int64)
        view = m.INTENT.tuple_type(**rows)
        made, left = 0, []
        order = np.lexsort((rows["key"], rows["ts_ms"], rows["channel"]))
        cuts = np.searchsorted(rows["channel"][order], np.arange(self.n_channels + 1))
        for channel in range(self.n_channels):
            mine = order[cuts[channel] : cuts[channel + 1]]
            if len(mine) == 0:
                continue
            self.free_us[channel], made, n_wait = serve(
                self.tables,
                channel,
                view,
                mine,
                len(mine),
                heap,
                self.free_us[channel],
                tick.end_ms,
                self.dark[channel, 0],
                self.dark[channel, 1],
                out.view,
                made,
                self._counters,
            )
            left.append(heap[:n_wait].copy())
        self.waiting = take_rows(rows, np.concatenate(left)) if left else empty_rows(m.INTENT)
        filled = {name: a[:made] for name, a in out.arrays.items()}
        return take_rows(
            filled,
            np.lexsort((filled["trigger_ms"], filled["use_case"], filled["ts_ms"], filled["sub"])),
        )

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def ledger(self) -> dict[str, int]:
        """Return the messages that wait."""
        return {"channel_waiting": len(self.waiting["sub"])}

    def digest(self) -> int:
        """Return the order-free digest of waiting messages and sender clocks."""
        waiting = Columns(m.INTENT, len(self.waiting["sub"]))
        for name, array in waiting.arrays.items():
            array[...] = self.waiting[name]
        clocks = int((self.free_us * np.arange(1, len(self.free_us) + 1)).sum())
        return (waiting.digest(waiting["key"].view(np.int64)) + clocks) & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return waiting messages, clocks and outages."""
        return {
            "waiting": {name: a.copy() for name, a in self.waiting.items()},
            "free_us": self.free_us.copy(),
            "dark": self.dark.copy(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.waiting = {name: a.copy() for name, a in saved["waiting"].items()}
        self.free_us[:] = saved["free_us"]
        self.dark[:] = saved["dark"]
