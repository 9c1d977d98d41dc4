"""The channel gateway against a slow twin of its rule, and one exact result of queueing theory."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.channels.actor import ChannelActor, compile_tables
from actors.channels.gateway import S_TRANSIT
from actors.channels.params import Channel
from sim.core.columns import take_rows
from sim.core.rng import draw_cause
from sim.core.ticks import Tick

TICK_MS = 10_000
LABELS = {"channel": ("a", "b")}
Rows = dict[str, np.ndarray]


def make_actor(
    *,
    per_second: float = 1.0,
    queue_max: int = 1_000,
    failure: float = 0.0,
    servers: float = 0.0,
    kind: str = "text",
    patience_s: float = 2.0,
    scale: float = 1.0,
) -> ChannelActor:
    """Return two channels of one kind, each with its own queue and senders."""
    rate = {"servers": servers, "duration_s": 1.5, "failed_s": 0.4} if servers else {}
    visits = {"visits_per_month": 1.0, "patience_s": patience_s} if kind == "session" else {}
    channels = [
        Channel.model_validate({
            "channel": name, "title": name, "kind": kind, "latency_median_ms": 40,
            "failure": failure, "queue_max": queue_max, **rate, **visits,
            "per_second": 0 if servers else per_second,
        })
        for name in LABELS["channel"]
    ]  # fmt: skip
    return ChannelActor(compile_tables(channels, seed=5, scale=scale, price_level=1.0), LABELS)


def make_rows(messages: list[dict[str, int]]) -> Rows:
    """Return `Intent` columns of messages."""
    return {
        f.name: np.array([message[f.name] for message in messages], np.dtype(f.dtype))
        for f in m.INTENT.fields
    }


def tick_of(index: int, *, ms: int = TICK_MS) -> Tick:
    """Return a tick without a calendar."""
    return Tick(
        index,
        index * ms,
        (index + 1) * ms,
        np.zeros((1, 1), np.uint8),
        np.zeros((1, 1), np.uint8),
        (),
    )


class Twin:
    """One channel as a discrete-event simulation of single arrivals.

    The server that is free first takes the most urgent message (priority, then time, then key) of
    those that came no later than that moment, works for a time that belongs to the message, and
    goes on; a message too old at its turn expires at no cost of time; a newcomer that finds the
    queue full is turned away; nothing is taken during an outage.
    """

    def __init__(
        self,
        work_us: Callable[[dict[str, int]], int],
        queue_max: int,
        outages: list[tuple[int, int]],
        n_servers: int = 1,
    ) -> None:
        self.work_us, self.queue_max, self.outages = work_us, queue_max, outages
        self.free = [0] * n_servers
        self.last_us = 0
        self.queue: list[tuple[int, int, int, int]] = []
        self.sent: dict[int, int] = {}
        self.expired: dict[int, int] = {}
        self.dropped: set[int] = set()
        self.messages: dict[int, dict[str, int]] = {}

    def start(self) -> int:
        """Return the moment at which a server may take the next message, us."""
        at = max(min(self.free), self.last_us)
        for dark_from, dark_to in sorted(self.outages):
            if dark_from <= at // 1000 < dark_to:
                at = dark_to * 1000
        return at

    def run_until(self, us: int) -> None:
        """Take messages whose turn comes before a moment."""
        while self.queue and self.start() < us:
            self.last_us = self.start()
            sub = self.queue.pop(0)[-1]
            now_ms = self.last_us // 1000
            if self.messages[sub]["expires_ms"] < now_ms:
                self.expired[sub] = now_ms
            else:
                self.sent[sub] = now_ms
                self.free.remove(min(self.free))
                self.free.append(self.last_us + self.work_us(self.messages[sub]))

    def arrive(self, message: dict[str, int]) -> None:
        """Let one message come."""
        at = message["ts_ms"] * 1000
        self.run_until(at)
        if len(self.queue) >= self.queue_max:
            self.dropped.add(message["sub"])
            return
        if not self.queue:
            self.last_us = max(self.last_us, at)
        self.messages[message["sub"]] = message
        place = (-message["priority_q"], message["ts_ms"], message["key"], message["sub"])
        bisect.insort(self.queue, place)


def check_twin(
    twin: Twin, mine: list[dict[str, int]], got: dict[int, tuple[int, int, int]], horizon_ms: int
) -> None:
    """Let the twin live through the messages of a channel, and compare what became of them."""
    for message in sorted(mine, key=lambda x: (x["ts_ms"], x["key"])):
        twin.arrive(message)
    twin.run_until(horizon_ms * 1000)
    for message in mine:
        sub = message["sub"]
        if sub in twin.dropped:
            assert got[sub][0] == m.DROPPED
        elif sub in twin.expired:
            assert got[sub][:2] == (m.EXPIRED, twin.expired[sub])
        elif sub in twin.sent:
            assert got[sub][0] in (m.DELIVERED, m.FAILED)
            assert got[sub][1] == twin.sent[sub]
            assert got[sub][2] >= got[sub][1] >= message["ts_ms"]
        else:
            assert sub not in got


def contact_us(actor: ChannelActor, message: dict[str, int]) -> int:
    """Return how long a server is busy with a message, from the draws of the gateway."""
    t = actor.tables
    _, b, d, _ = draw_cause(
        t.seed, S_TRANSIT, np.int32(message["sub"]),
        np.uint32(message["key"] & 0xFFFFFFFF), message["trigger_ms"] // 1000, 0,
    )  # fmt: skip
    channel = message["channel"]
    failed = b < t.failure[channel]
    ms = t.failed_ms[channel] if failed else t.duration_ms[channel][int(d) >> 22]
    return int(ms) * int(t.stretch_q[channel]) // 1024 * 1000


@st.composite
def traffic(draw: Any) -> list[dict[str, int]]:
    """Draw messages of five ticks, in bursts, with few priorities so that ties happen."""
    n = draw(st.integers(0, 40))
    bursts = draw(st.lists(st.integers(0, 5 * TICK_MS - 1), min_size=1, max_size=6))
    out = []
    for sub in range(n):
        near = draw(st.sampled_from(bursts)) + draw(st.sampled_from([0, 0, 1, 700, 4_000]))
        ts = min(near, 5 * TICK_MS - 1)
        out.append({
            "sub": sub, "ts_ms": ts, "use_case": sub % 3, "channel": draw(st.integers(0, 1)),
            "priority_q": draw(st.integers(0, 3)), "trigger_ms": max(ts - 150, 0),
            "expires_ms": ts + draw(st.sampled_from([0, 900, 5_000, 10**9])),
            "key": draw(st.integers(0, 3)) << 62 | sub,
        })  # fmt: skip
    return out


def run(
    actor: ChannelActor,
    messages: list[dict[str, int]],
    *,
    outage: tuple[int, int] | None,
    early: bool,
    order: np.random.Generator | None,
    n_ticks: int = 8,
) -> dict[int, tuple[int, int, int]]:
    """Run the role tick by tick; return (status, sent, arrived) by message.

    Parameters
    ----------
    outage : (tick, until ms) of channel 0
    early : hand messages over one tick before their moment, as late decisions are
    order : shuffles the rows of a tick
    """
    out: dict[int, tuple[int, int, int]] = {}
    offered = 0
    for k in range(n_ticks):
        mine = [x for x in messages if max(x["ts_ms"] // TICK_MS - early, 0) == k]
        rows = make_rows(mine)
        if order is not None:
            rows = take_rows(rows, order.permutation(len(mine)))
        commands = [("channel_outage", 0, outage[1])] if outage and outage[0] == k else []
        done = actor.on_tick(tick_of(k), rows, commands)
        keys = list(zip(done["sub"].tolist(), done["ts_ms"].tolist()))
        assert keys == sorted(keys)
        for sub, *what in zip(*(done[c].tolist() for c in ("sub", "status", "sent_ms", "ts_ms"))):
            assert sub not in out, "told twice"
            out[sub] = tuple(what)
        offered += len(mine)
        assert offered == len(out) + actor.ledger()["channel_waiting"]
        tally = actor.tally()
        told = sum(int(tally[f"channel_{name}"].sum()) for name in ("sent", "expired", "dropped"))
        assert told == len(done["sub"])
    return out


@settings(max_examples=150)
@given(
    traffic(), st.sampled_from([0.3, 1.0, 7.0, 500.0]), st.sampled_from([1, 2, 5, 1000]),
    st.one_of(st.none(), st.tuples(st.integers(0, 4), st.integers(0, 60_000))), st.booleans(),
)  # fmt: skip
def test_the_gateway_follows_its_rule_to_the_millisecond(
    messages: Any, per_second: float, queue_max: int, outage: Any, early: bool
) -> None:
    """Who is sent, when, who expires and who is turned away: as the twin says, each told once.

    The twin knows no ticks, so the cut into ticks cannot matter; a message that comes after a
    sending began cannot displace it; nothing is sent in an outage, and none is lost.
    """
    actor = make_actor(per_second=per_second, queue_max=queue_max)
    got = run(actor, messages, outage=outage, early=early, order=None)
    for channel in range(2):
        dark = [(outage[0] * TICK_MS, outage[1])] if outage and channel == 0 else []
        twin = Twin(lambda _: round(1e6 / per_second), queue_max, dark)
        check_twin(twin, [x for x in messages if x["channel"] == channel], got, 8 * TICK_MS)


@settings(max_examples=120)
@given(
    traffic(), st.sampled_from([1.0, 2.0, 3.7, 40.0]), st.sampled_from([1, 3, 1000]),
    st.one_of(st.none(), st.tuples(st.integers(0, 4), st.integers(0, 60_000))),
    st.sampled_from([0.0, 0.4]), st.sampled_from([1.0, 0.3]),
)  # fmt: skip
def test_agents_take_calls_in_the_order_of_urgency(
    messages: Any, servers: float, queue_max: int, outage: Any, failure: float, scale: float
) -> None:
    """Servers with drawn durations: who is taken by whom and when, as the twin says.

    A share of a server (0.3 of one) is a server that is busy for longer, with the same transit.
    """
    actor = make_actor(servers=servers, queue_max=queue_max, failure=failure, scale=scale)
    assert int(actor.tables.servers[0]) == max(int(servers * scale), 1)
    got = run(actor, messages, outage=outage, early=False, order=None)
    for channel in range(2):
        dark = [(outage[0] * TICK_MS, outage[1])] if outage and channel == 0 else []
        twin = Twin(
            lambda x: contact_us(actor, x), queue_max, dark, int(actor.tables.servers[channel])
        )
        check_twin(twin, [x for x in messages if x["channel"] == channel], got, 8 * TICK_MS)


@settings(max_examples=120)
@given(
    traffic(), st.sampled_from([2, 6, 1000]), st.lists(st.integers(0, 70_000), max_size=40),
    st.sampled_from([1, 3]), st.integers(0, 5),
)  # fmt: skip
def test_a_touch_point_shows_what_lies_ready_when_the_person_comes(
    messages: Any, queue_max: int, visits: list[int], servers: int, seed: int
) -> None:
    """Each message is told once: shown at the visit, expired without one, or turned away.

    A plain list of what lies ready says who is laid, who finds the shelf full and who expires;
    those visited go through the queue of the twin with the person's patience for an expiry.
    Restoring a snapshot half-way changes nothing, nor does the order of rows.
    """
    draws = np.random.default_rng(seed)
    actor = make_actor(servers=servers, queue_max=queue_max, kind="session")
    lying: dict[int, list[dict[str, int]]] = {0: [], 1: []}
    due: dict[int, int] = {}
    seen: list[dict[str, int]] = []
    wanted: dict[int, tuple[int, int]] = {}
    got: dict[int, tuple[int, int, int]] = {}
    for k in range(8):
        end = (k + 1) * TICK_MS
        touched = [x for lane in lying.values() for x in lane if k * TICK_MS <= due[x["sub"]]]
        touched = [x for x in touched if x["sub"] in due and x.pop("new", None)]
        for x in touched:
            lying[x["channel"]].remove(x)
            seen.append(x | {"ts_ms": due[x["sub"]], "expires_ms": due[x["sub"]] + 2_000})
        rows = [x for x in messages if x["ts_ms"] // TICK_MS == k]
        for x in sorted(rows, key=lambda x: (x["ts_ms"], x["key"])):
            if x["expires_ms"] < end:
                wanted[x["sub"]] = (m.EXPIRED, max(x["expires_ms"], x["ts_ms"]))
            elif len(lying[x["channel"]]) >= queue_max:
                wanted[x["sub"]] = (m.DROPPED, x["ts_ms"])
            else:
                visit = visits[x["sub"]] if x["sub"] < len(visits) else -1
                comes = max(x["ts_ms"], end) <= visit <= x["expires_ms"]
                due[x["sub"]] = visit if comes else -1
                lying[x["channel"]].append(x | {"new": comes})
        for lane in lying.values():
            for x in [x for x in lane if x["expires_ms"] < end]:
                lane.remove(x)
                wanted[x["sub"]] = (m.EXPIRED, x["expires_ms"])
        told = touch_rows(touched, due)
        done = actor.on_tick(
            tick_of(k),
            take_rows(make_rows(rows), draws.permutation(len(rows))),
            (),
            take_rows(told, draws.permutation(len(touched))),
        )
        for sub, *what in zip(*(done[c].tolist() for c in ("sub", "status", "sent_ms", "ts_ms"))):
            assert sub not in got, "told twice"
            got[sub] = tuple(what)
        laid = actor.placed
        assert len(laid["sub"]) == sum(x["ts_ms"] // TICK_MS == k for x in rows if x["sub"] in due)
        if k == 3:
            copy = make_actor(servers=servers, queue_max=queue_max, kind="session")
            copy.restore(actor.snapshot())
            assert copy.digest() == actor.digest()
            actor = copy
    for sub, what in wanted.items():
        assert got[sub][:2] == what
    for channel in range(2):
        twin = Twin(lambda x: contact_us(actor, x), queue_max, [], servers)
        check_twin(twin, [x for x in seen if x["channel"] == channel], got, 8 * TICK_MS)
    assert set(got) <= set(wanted) | {x["sub"] for x in seen}
    assert len(messages) == len(got) + actor.ledger()["channel_waiting"]


def touch_rows(touched: list[dict[str, int]], due: dict[int, int]) -> Rows:
    """Return `Touch` columns of the messages whose person comes."""
    rows = [x | {"ts_ms": due[x["sub"]]} for x in touched]
    return {
        f.name: np.array([row[f.name] for row in rows], np.dtype(f.dtype)) for f in m.TOUCH.fields
    }


@settings(max_examples=60)
@given(traffic(), st.integers(0, 10))
def test_the_order_of_arrival_of_rows_does_not_matter(messages: Any, seed: int) -> None:
    """Shuffled rows give the same deliveries, the same failures and the same digest."""
    kept = {"per_second": 1.0, "queue_max": 3, "failure": 0.4}
    one, two = make_actor(**kept), make_actor(**kept)
    plain = run(one, messages, outage=None, early=False, order=None, n_ticks=5)
    mixed = run(
        two, messages, outage=None, early=False, order=np.random.default_rng(seed), n_ticks=5
    )
    assert plain == mixed and one.digest() == two.digest()


@settings(max_examples=30)
@given(traffic(), st.integers(1, 4))
def test_a_restored_gateway_goes_on_as_if_nothing_had_happened(messages: Any, at: int) -> None:
    """A snapshot holds queue, sender's clock and outages."""
    whole = make_actor(per_second=0.5)
    outage = (0, 15_000)
    wanted = run(whole, messages, outage=outage, early=False, order=None)
    first = make_actor(per_second=0.5)
    early = [x for x in messages if x["ts_ms"] < at * TICK_MS]
    got = run(first, early, outage=outage, early=False, order=None, n_ticks=at)
    second = make_actor(per_second=0.5)
    second.restore(first.snapshot())
    assert second.digest() == first.digest()
    for k in range(at, 8):
        rows = make_rows([x for x in messages if x["ts_ms"] // TICK_MS == k])
        done = second.on_tick(tick_of(k), rows)
        for sub, *what in zip(*(done[c].tolist() for c in ("sub", "status", "sent_ms", "ts_ms"))):
            got[sub] = tuple(what)
    assert got == wanted and second.digest() == whole.digest()


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_mean_wait_is_that_of_an_m_d_1_queue(load: float) -> None:
    """Poisson arrivals, fixed service: mean wait rho / (2 mu (1 - rho)), within 5 standard errors.

    n = 200,000 messages at 10 a second; the error comes from 50 batches in sequence (rho = 0.5:
    0.05 s, rho = 0.8: 0.2 s), and is below 4 % of the mean.
    """
    n, per_second = 200_000, 10.0
    draws = np.random.default_rng(17)
    ts = np.cumsum(draws.exponential(1000 / (per_second * load), n)).astype(np.int64)
    actor = make_actor(per_second=per_second)
    rows = {f.name: np.zeros(n, np.dtype(f.dtype)) for f in m.INTENT.fields}
    rows |= {"sub": np.arange(n, dtype=np.int32), "ts_ms": ts, "trigger_ms": ts,
             "expires_ms": ts + 10**9, "key": np.arange(n, dtype=np.uint64)}  # fmt: skip
    ms = 1_000_000
    sent = np.zeros(n, np.int64)
    for k in range(int(ts[-1]) // ms + 2):
        index = np.arange(*np.searchsorted(ts, (k * ms, (k + 1) * ms)))
        done = actor.on_tick(tick_of(k, ms=ms), take_rows(rows, index))
        sent[done["sub"]] = done["sent_ms"]
    wait_s = (sent - ts) / 1000
    batches = wait_s.reshape(50, -1).mean(axis=1)
    error = batches.std(ddof=1) / np.sqrt(50)
    theory = load / (2 * per_second * (1 - load))
    assert error < 0.04 * theory
    assert abs(wait_s.mean() - theory) < 5 * error, (wait_s.mean(), theory, error)


def test_failures_and_transit_are_those_of_the_channel() -> None:
    """Of 20,000 sent messages a tenth fails, within 5 sd; the median transit is the stated one."""
    n = 20_000
    actor = make_actor(per_second=1e6, failure=0.1, queue_max=10**6)
    rows = {f.name: np.zeros(n, np.dtype(f.dtype)) for f in m.INTENT.fields}
    rows |= {"sub": np.arange(n, dtype=np.int32), "key": np.arange(n, dtype=np.uint64) * 7919,
             "expires_ms": np.full(n, 10**9)}  # fmt: skip
    done = actor.on_tick(tick_of(0), rows)
    failed = int((done["status"] == m.FAILED).sum())
    assert abs(failed - n / 10) < 5 * np.sqrt(n * 0.09)
    transit = np.median(done["ts_ms"] - done["sent_ms"])
    assert 37 <= transit <= 43
