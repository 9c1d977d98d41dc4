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
from actors.channels.shelf import Shelf
from actors.metrics import CHANNEL_METRICS
from sim.core import histogram, quantiles, rng
from sim.core.actor import Rows
from sim.core.columns import Columns, Schema, concat_rows, empty_rows, take_rows
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick

ChannelCounters = namedtuple("ChannelCounters", [metric.name for metric in CHANNEL_METRICS])  # type: ignore[misc]  # names are data


class ChannelTables(NamedTuple):
    """What the kernels of the channels read, one row for each channel.

    Attributes
    ----------
    step_us : time of the sender for one message; 0 where servers are busy for a contact
    servers : servers that the simulated lines may use, at least one
    stretch_q : 1/1024, how much longer than the contact each of them is busy, so that a share of a
        server serves its share of contacts
    session : whether a message waits for the person
    """

    seed: np.uint64
    step_us: np.ndarray
    servers: np.ndarray
    stretch_q: np.ndarray
    duration_ms: np.ndarray
    failed_ms: np.ndarray
    session: np.ndarray
    patience_ms: np.ndarray
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

    def column(values: Any, dtype: type = np.int64) -> np.ndarray:
        return np.array(list(values) or [0], dtype)

    def whole(c: Channel) -> int:
        return max(int(c.servers * scale), 1)

    none = [np.zeros(quantiles.SIZE, np.int64)]
    return ChannelTables(
        seed=rng.seed64(seed),
        step_us=column(
            max(round(1e6 / (c.per_second * scale)), 1) if c.per_second else 0 for c in channels
        ),
        servers=column(whole(c) for c in channels),
        stretch_q=column(
            max(round(1024 * whole(c) / (c.servers * scale)), 1) if c.servers else 1024
            for c in channels
        ),
        duration_ms=np.stack(
            [quantiles.lognormal(c.duration_s * 1000, c.duration_sigma) for c in channels] or none
        ),
        failed_ms=column(round(c.failed_s * 1000) for c in channels),
        session=column((c.kind == "session" for c in channels), np.bool_),
        patience_ms=column(round(c.patience_s * 1000) for c in channels),
        queue_max=column(c.queue_max for c in channels),
        latency_ms=np.stack(
            [quantiles.lognormal(max(c.latency_median_ms, 1), c.latency_sigma) for c in channels]
            or none
        ),
        failure=column((rng.threshold(c.failure) for c in channels), np.uint32),
        cost_minor=column(round(c.cost_minor * price_level) for c in channels),
        borders=histogram.BORDERS,
    )


class ChannelActor:
    """Queues and senders of all channels, and the messages that wait for a person.

    Attributes
    ----------
    placed : `Placed` rows of the tick, sorted by line
    """

    role: ClassVar[str] = "channels"
    consumes: ClassVar[tuple[Schema, ...]] = (m.INTENT, m.TOUCH)
    produces: ClassVar[tuple[Schema, ...]] = (m.DELIVERY, m.PLACED)

    def __init__(self, tables: ChannelTables, labels: dict[str, tuple[str, ...]]) -> None:
        self.tables = tables
        self.n_channels = len(labels["channel"])
        self.waiting: Rows = empty_rows(m.INTENT)
        self.shelf = Shelf(tables.session, tables.queue_max, tables.patience_ms)
        self.placed: Rows = empty_rows(m.PLACED)
        self.first = np.concatenate([np.zeros(1, np.int64), np.cumsum(tables.servers)])
        self.free_us = np.zeros(int(self.first[-1]), np.int64)
        self.dark = np.full((max(self.n_channels, 1), 2), -1, np.int64)
        self._tally = new_tally(CHANNEL_METRICS, labels)
        self._counters = ChannelCounters(**self._tally)

    def on_tick(
        self,
        tick: Tick,
        intents: Rows,
        commands: Sequence[tuple[str, int, int]] = (),
        touches: Rows | None = None,
    ) -> Rows:
        """Take the intents of a tick in any order and return the deliveries, sorted by (sub, time).

        Parameters
        ----------
        commands : (verb, channel, until_ms) of outages that begin in this tick
        touches : `Touch` rows, in any order
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
        visitors = self.shelf.visit(touches or empty_rows(m.TOUCH), self._counters)
        waits = self.tables.session[intents["channel"]]
        self.placed, told = self.shelf.put(
            take_rows(intents, np.flatnonzero(waits)), tick.end_ms, self._counters
        )
        sent = self._serve(
            tick, [self.waiting, visitors, take_rows(intents, np.flatnonzero(~waits))]
        )
        rows = concat_rows(m.DELIVERY, [sent, *told])
        order = np.lexsort((rows["trigger_ms"], rows["use_case"], rows["ts_ms"], rows["sub"]))
        return take_rows(rows, order)

    def _serve(self, tick: Tick, arrivals: list[Rows]) -> Rows:
        """Let every queue work up to the end of a tick; return what became of its messages."""
        rows = concat_rows(m.INTENT, arrivals)
        n = len(rows["sub"])
        if n == 0:
            self.waiting = rows
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
            made, n_wait = serve(
                self.tables,
                channel,
                view,
                mine,
                len(mine),
                heap,
                self.free_us[self.first[channel] : self.first[channel + 1]],
                tick.end_ms,
                self.dark[channel, 0],
                self.dark[channel, 1],
                out.view,
                made,
                self._counters,
            )
            left.append(heap[:n_wait].copy())
        self.waiting = take_rows(rows, np.concatenate(left)) if left else empty_rows(m.INTENT)
        return {name: a[:made] for name, a in out.arrays.items()}

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def ledger(self) -> dict[str, int]:
        """Return the messages that wait, for their turn or for a person."""
        return {"channel_waiting": len(self.waiting["sub"]) + len(self.shelf.rows["sub"])}

    def digest(self) -> int:
        """Return the order-free digest of waiting messages and of the clocks of servers."""
        waiting = Columns(m.INTENT, len(self.waiting["sub"]) + len(self.shelf.rows["sub"]))
        for name, array in waiting.arrays.items():
            array[...] = np.concatenate([self.waiting[name], self.shelf.rows[name]])
        channel = np.repeat(np.arange(len(self.tables.servers)), self.tables.servers)
        clocks = int((self.free_us * (channel + 1)).sum())
        return (waiting.digest(waiting["key"].view(np.int64)) + clocks) & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return waiting messages, clocks and outages."""
        return {
            "waiting": {name: a.copy() for name, a in self.waiting.items()},
            "shelf": {name: a.copy() for name, a in self.shelf.rows.items()},
            "free_us": self.free_us.copy(),
            "dark": self.dark.copy(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.waiting = {name: a.copy() for name, a in saved["waiting"].items()}
        self.shelf.rows = {name: a.copy() for name, a in saved["shelf"].items()}
        self.free_us[:] = saved["free_us"]
        self.dark[:] = saved["dark"]
