"""The mini loop on the twin's own core: one window kernel with keyed Philox draws.

A kernel takes each line through a whole quarter of an hour while its columns are in cache: how many
events, when, and each of them through billing, triggers and decision.  It stands on `sim.core`
alone (kernels, columns, draws); results depend on the seed and the line, never on the order of
lines or on how they are shared out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import mini
import numpy as np
from told import options, resident_bytes, tell

from sim.core import rng
from sim.core.columns import Columns, Field, Schema
from sim.core.kernel import hot, kernel
from sim.core.rng import draw, stream

S_LINE = stream("mini: events of a quarter, and the first one")
S_MORE = stream("mini: further events")
S_ANSWER = stream("mini: the answer to a message")

STATE = Schema("MiniLine", (
    Field("balance", np.dtype(np.int32), "minor units", "main money"),
    Field("last", np.dtype(np.int32), "min", "last event, from 09:00"),
    Field("contact", np.dtype(np.int32), "min", "last contact, from 09:00"),
    Field("used", np.dtype(np.uint16), "MB", "allowance used"),
    Field("cell", np.dtype(np.uint16), "cell", "where the line is"),
    Field("home", np.dtype(np.uint16), "cell", "where it lives"),
    Field("kind", np.dtype(np.uint8), "class", "how often it uses the network"),
    Field("made", np.dtype(np.uint8), "contacts", "made so far"),
    Field("pending", np.dtype(np.uint8), "flag", "a request waits"),
))  # fmt: skip
REQUEST = Schema("MiniRequest", (
    Field("gid", np.dtype(np.int64), "line", "who"),
    Field("minute", np.dtype(np.int32), "min", "when, from 09:00"),
    Field("score", np.dtype(np.int32), "score", "propensity x value"),
    Field("chance", np.dtype(np.int32), "1/65536", "propensity"),
))  # fmt: skip

DEEP = 24
"""Events of a line in a quarter are cut there: at 3.1 a quarter met once in 1e14."""
BATCH = 1_024
EVENT_BITS = np.uint64(0xFF_FFFF_FFFF)
"""Place, kind and amount of an event."""
VOICE, TEXT, DATA = (np.int32(round(share * 65_536)) for share in mini.KIND_CUM)
# Plain constants: a module cannot be frozen into a kernel's cached code with its values.
VOICE_PRICE, TEXT_PRICE, RENEWAL = mini.VOICE_PRICE, mini.TEXT_PRICE, mini.RENEWAL
CALL_MAX, DATA_MAX, NEARBY = mini.CALL_MAX, mini.DATA_MAX, mini.NEARBY
LOW, TOPUP = mini.LOW, mini.TOPUP
ALLOWANCE, ALLOWANCE_NEAR = mini.ALLOWANCE, mini.ALLOWANCE_NEAR
N_CELLS, FENCE_EVERY, SILENCE_MIN = mini.N_CELLS, mini.FENCE_EVERY, mini.SILENCE_MIN
QUARTER_MIN = mini.QUARTER_MIN
GAP_MIN, CONTACTS_MAX, REWARD = mini.GAP_MIN, mini.CONTACTS_MAX, mini.REWARD
N_OFFERS, N_FEATURES, SIGMOID_SIZE = mini.N_OFFERS, mini.N_FEATURES, mini.SIGMOID_SIZE
T_LOW, T_ALLOWANCE, T_FENCE, T_SILENCE = (
    mini.T_LOW, mini.T_ALLOWANCE, mini.T_FENCE, mini.T_SILENCE,
)  # fmt: skip
ANSWER = round(mini.ANSWER_SHARE * 65_536)


class Tables(NamedTuple):
    """What the kernels read.

    Attributes
    ----------
    count : (8, DEEP) uint32, inverse Poisson: a draw not below `count[kind, k]` has over k events
    guide : (8, 4096) uint8, fewest events that a draw with these upper 12 bits may mean
    """

    seed: np.uint64
    count: np.ndarray
    guide: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    eligible: np.ndarray
    sigmoid: np.ndarray


class Batch(NamedTuple):
    """Scratch of a batch of lines.

    Attributes
    ----------
    count, first, events : (BATCH,) draw, word of the first event, number of events of each line
    gid, part : blocks of draws still to make: line and number
    owner, full : row of the line within the batch; whether the second event is wanted too
    more : words of those blocks, two of each
    fill : (15,) events of each minute, then where the next one goes
    loose, what : events as they are drawn, and by minute
    """

    count: np.ndarray
    first: np.ndarray
    events: np.ndarray
    gid: np.ndarray
    part: np.ndarray
    owner: np.ndarray
    full: np.ndarray
    more: np.ndarray
    fill: np.ndarray
    loose: np.ndarray
    what: np.ndarray


def batch() -> Batch:
    """Return scratch with room for the worst batch."""
    n, most = BATCH, BATCH * DEEP
    return Batch(
        np.empty(n, np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint8),
        np.empty(most, np.int64), np.empty(most, np.int32), np.empty(most, np.uint16),
        np.empty(most, np.bool_), np.empty(2 * most, np.uint64),
        np.empty(mini.QUARTER_MIN, np.int64), np.empty(most, np.uint64), np.empty(most, np.uint64),
    )  # fmt: skip


class Counters(NamedTuple):
    """What the kernels count: (1,) int64 each, and the load of the cells."""

    events: np.ndarray
    triggers: np.ndarray
    load: np.ndarray


def tables(seed: int) -> Tables:
    """Return the tables of a quarter."""
    count = np.empty((len(mini.RATES), DEEP), np.uint32)
    for kind, rate in enumerate(mini.RATES):
        mean = rate * mini.QUARTER_MIN
        term, total = math.exp(-mean), 0.0
        for k in range(DEEP):
            total += term
            term *= mean / (k + 1)
            count[kind, k] = rng.threshold(total)
    low = np.arange(1 << 12, dtype=np.uint64) << np.uint64(20)
    guide = np.stack([np.searchsorted(row, low, side="right") for row in count.astype(np.uint64)])
    return Tables(
        rng.seed64(seed),
        count,
        guide.astype(np.uint8),
        mini.WEIGHTS,
        mini.VALUES,
        mini.ELIGIBLE,
        mini.SIGMOID,
    )


@kernel
def decide(t, s, i, gid, minute, trigger, q, n):
    """Write the request for the best eligible offer and return the new fill of `q`."""
    best, chance = np.int64(-1), np.int64(0)
    kind = s.kind[i]
    x0, x1 = np.int32(s.balance[i]) >> 3, np.int32(s.used[i]) >> 3
    x2, x3, x4 = np.int32(kind) * 32, np.int32(trigger) * 64, (np.int32(minute) & 63) * 4
    x5, x6 = np.int32(s.made[i]) * 64, np.int32(s.cell[i]) & 255
    for offer in range(N_OFFERS):
        if t.eligible[trigger, kind, offer] == 0:
            continue
        w = t.weights[offer]
        z = w[0] * x0 + w[1] * x1 + w[2] * x2 + w[3] * x3 + w[4] * x4 + w[5] * x5 + w[6] * x6
        z = ((z + w[7] * 256) >> 5) + SIGMOID_SIZE // 2
        p = np.int64(t.sigmoid[min(max(z, 0), SIGMOID_SIZE - 1)])
        score = p * t.values[offer]
        if score > best:
            best, chance = score, p
    s.pending[i] = 1
    q.gid[n] = gid
    q.minute[n] = minute
    q.score[n] = best
    q.chance[n] = chance
    return n + 1


@kernel
def draw_lines(seed, first, n, quarter, count, word):
    """Draw for `n` lines: a number that decides the count of events, and a first event's word."""
    for i in range(n):
        a, b, c, _ = draw(seed, S_LINE, first + i, quarter, 0)
        count[i] = a
        word[i] = (np.uint64(b) << np.uint64(32)) | np.uint64(c)


@kernel
def draw_more(seed, gid, part, n, quarter, word):
    """Draw `n` further blocks, each for two events: `word[2 * k]` and `word[2 * k + 1]`."""
    for k in range(n):
        a, b, c, d = draw(seed, S_MORE, gid[k], quarter, part[k])
        word[2 * k] = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
        word[2 * k + 1] = (np.uint64(c) << np.uint64(32)) | np.uint64(d)


@kernel
def count_events(t, s, row, first, n, b):
    """Turn draws into counts of events, and list the blocks that lines with more than one need.

    Parameters
    ----------
    row : first row of the batch

    Returns
    -------
    n_more : blocks listed in `b.gid`, `b.part`, `b.owner` and `b.full`
    """
    n_more = 0
    for i in range(n):
        kind = s.kind[row + i]
        u = b.count[i]
        k = np.int64(t.guide[kind, u >> np.uint32(20)])
        k += u >= t.count[kind, k]
        while u >= t.count[kind, k] and k < DEEP:  # a draw far out in the tail
            k += 1
        b.events[i] = k
        # The first block is written in any case and kept where the line needs one.
        b.gid[n_more] = first + row + i
        b.part[n_more] = 0
        b.owner[n_more] = i
        b.full[n_more] = k > 2
        n_more += k > 1
        for part in range(1, k >> 1):
            b.gid[n_more] = first + row + i
            b.part[n_more] = part
            b.owner[n_more] = i
            b.full[n_more] = k > 2 * part + 2
            n_more += 1
    return n_more


@hot
def packed(word, i, fill):
    """Return an event as one word (row, minute, place, kind, amount) and count its minute."""
    minute = ((word >> np.uint64(48)) * np.uint64(QUARTER_MIN)) >> np.uint64(16)
    fill[minute] += 1
    return (np.uint64(i) << np.uint64(48)) | (minute << np.uint64(40)) | (word & EVENT_BITS)


@kernel
def spread(n, n_more, b):
    """Write the events of a batch as one stream in order of their minute; return its length.

    A counting sort: minutes are the resolution of the loop, and events of one line within a minute
    keep the order of their numbers.
    """
    fill = b.fill
    for minute in range(QUARTER_MIN):
        fill[minute] = 0
    out = 0
    for i in range(n):
        some = b.events[i] > 0
        minute = ((b.first[i] >> np.uint64(48)) * np.uint64(QUARTER_MIN)) >> np.uint64(16)
        fill[minute] += some
        b.loose[out] = (
            (np.uint64(i) << np.uint64(48)) | (minute << np.uint64(40)) | (b.first[i] & EVENT_BITS)
        )
        out += some
    for k in range(n_more):
        b.loose[out] = packed(b.more[2 * k], b.owner[k], fill)
        out += 1
        if b.full[k]:
            b.loose[out] = packed(b.more[2 * k + 1], b.owner[k], fill)
            out += 1
    total = 0
    for minute in range(QUARTER_MIN):
        total += fill[minute]
        fill[minute] = total - fill[minute]
    for e in range(out):
        word = b.loose[e]
        minute = (word >> np.uint64(40)) & np.uint64(0xFF)
        b.what[fill[minute]] = word
        fill[minute] += 1
    return out


@kernel
def live(t, s, row, first, quarter, n_events, b, q, n, c):
    """Live the events of a batch one after another; return the new fill of `q`.

    Which kind an event is cannot be predicted, so all kinds are computed and the right one is
    taken: no branch but the one for a trigger, which is rare.
    """
    begin = quarter * QUARTER_MIN
    for e in range(n_events):
        word = b.what[e]
        i = row + np.int64(word >> np.uint64(48))
        minute = np.int32(begin + ((word >> np.uint64(40)) & np.uint64(0xFF)))
        u = np.int32((word >> np.uint64(16)) & np.uint64(0xFFFF))
        amount = np.int32(word & np.uint64(0xFFFF))
        nearby = np.int32((word >> np.uint64(32)) & np.uint64(0xFF))
        is_voice = u < VOICE
        is_place = u >= DATA
        is_data = (u >= TEXT) & (not is_place)
        # Place: home, or a cell near it.
        cell = np.int32(s.cell[i])
        place = np.int32(s.home[i]) + (nearby if amount >= 32_768 else np.int32(0))
        place = place - N_CELLS if place >= N_CELLS else place
        place = place if is_place else cell
        s.cell[i] = place
        entered = (place != cell) & (place % FENCE_EVERY == 0)
        # Allowance.
        before = np.int32(s.used[i])
        after = before + ((np.int32(1) + ((amount * DATA_MAX) >> 16)) if is_data else np.int32(0))
        near = (before < ALLOWANCE_NEAR) & (after >= ALLOWANCE_NEAR)
        full = after >= ALLOWANCE
        s.used[i] = after - ALLOWANCE if full else after
        # Money.
        price = VOICE_PRICE * (1 + ((amount * CALL_MAX) >> 16))
        charge = price if is_voice else (TEXT_PRICE if u < TEXT else (RENEWAL if full else 0))
        money = s.balance[i]
        left = np.int32(money - charge)
        low = (money >= LOW) & (left < LOW) & (left >= 0)
        s.balance[i] = left + TOPUP if left < 0 else left
        silent = minute - s.last[i] >= SILENCE_MIN
        s.last[i] = minute
        c.load[place] += 1
        if entered | near | low | silent:
            c.triggers[0] += 1
            if s.pending[i] == 0 and minute - s.contact[i] >= GAP_MIN and s.made[i] < CONTACTS_MAX:
                trigger = T_ALLOWANCE if near else T_FENCE
                trigger = T_LOW if low else trigger
                trigger = T_SILENCE if silent else trigger
                n = decide(t, s, i, first + i, minute, trigger, q, n)
    return n


@kernel
def window(t, s, first, n_lines, quarter, b, q, c):
    """Take every line through one quarter of an hour; return the number of requests.

    Lines go in batches whose draws, events and state stay in cache: draws and counts first, in
    loops that the compiler turns into vector code, then the events.

    Parameters
    ----------
    s : `STATE` columns, mutated
    first : global id of row 0
    b : `Batch`, scratch
    q : `REQUEST` columns with room for one request of each line, written
    c : counters, added to
    """
    n = 0
    for row in range(0, n_lines, BATCH):
        size = min(BATCH, n_lines - row)
        draw_lines(t.seed, first + row, size, quarter, b.count, b.first)
        n_more = count_events(t, s, row, first, size, b)
        draw_more(t.seed, b.gid, b.part, n_more, quarter, b.more)
        n_events = spread(size, n_more, b)
        c.events[0] += n_events
        n = live(t, s, row, first, quarter, n_events, b, q, n, c)
    return n


@kernel
def settle(t, s, first, q, n, sent):
    """Tell lines the outcome of their requests; return how many accepted.

    Parameters
    ----------
    sent : (n,) uint8, whether each request was sent
    """
    accepted = 0
    for k in range(n):
        i = q.gid[k] - first
        s.pending[i] = 0
        if sent[k] == 0:
            continue
        s.contact[i] = q.minute[k]
        s.made[i] += 1
        u, _, _, _ = draw(t.seed, S_ANSWER, q.gid[k], q.minute[k], 0)
        if np.int64(u >> np.uint32(16)) < (np.int64(q.chance[k]) * ANSWER) >> 16:
            s.balance[i] += np.int32(REWARD)
            accepted += 1
    return accepted


class Shard:
    """Lines `first` to `first + n` and the hour that they live."""

    def __init__(self, lines: int, seed: int) -> None:
        self.lines = lines
        self.tables = tables(seed)
        self.state = Columns(STATE, lines)
        start = mini.start(lines, seed)
        for name in ("balance", "last", "contact", "used", "home", "kind"):
            self.state[name][:] = start[name]
        self.state["cell"][:] = start["home"]
        self.requests = Columns(REQUEST, lines // 2 + 1_000)
        self.counters = Counters(
            np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(N_CELLS, np.int64)
        )
        self.requested = self.sent = self.accepted = 0
        self.batch = batch()

    def quarter(self, quarter: int) -> None:
        """Live one quarter of an hour: window, arbitration, answers."""
        n = window(
            self.tables, self.state.view, 0, self.lines, quarter, self.batch,
            self.requests.view, self.counters,
        )  # fmt: skip
        rows = {name: array[:n] for name, array in self.requests.arrays.items()}
        chosen = mini.grant(rows["minute"], rows["score"], rows["gid"], mini.capacity(self.lines))
        sent = np.zeros(n, np.uint8)
        sent[chosen] = 1
        self.requested += n
        self.sent += len(chosen)
        self.accepted += settle(self.tables, self.state.view, 0, self.requests.view, n, sent)

    def hour(self) -> dict[str, int]:
        """Live the hour and return what it counted."""
        for quarter in range(mini.MINUTES // mini.QUARTER_MIN):
            self.quarter(quarter)
        return {
            "events": int(self.counters.events[0]), "triggers": int(self.counters.triggers[0]),
            "requested": self.requested, "sent": self.sent, "accepted": self.accepted,
            "load": int(self.counters.load.sum()),
        }  # fmt: skip


def main() -> None:
    """Run one hour; the kernels are compiled, or read from their cache, before the clock starts."""
    told = options(lines=1_000_000)
    Shard(1_000, told.seed).hour()
    before = resident_bytes()
    shard = Shard(told.lines, told.seed)
    tell("ours", told.lines, shard.hour, packages=("numpy", "numba"), before_bytes=before)


if __name__ == "__main__":
    main()
