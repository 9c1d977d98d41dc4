"""Who comes by: visits of touch points, a lasting habit of each line.

It owns the moment at which a person comes to a menu, a site, a shop or a desk of their own accord.
It must not know what lies ready there, nor change state.

A line visits a touch point on a day with a chance of its own, once a day at most, at a moment
within opening hours; nobody comes while silent or gone, and to a place in person not from abroad.
The draw is keyed by line, touch point and day: two messages at one touch point meet one visit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.channels.params import Channel
from actors.subscribers.place import local_day, travel_back
from actors.subscribers.state import LIFE_HERE, LIFE_MASK, NEVER_S
from sim.core import quantiles, rng
from sim.core.actor import Rows
from sim.core.columns import Columns, empty_rows
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream

S_HABIT = stream("how often a line comes to a touch point")
S_VISIT = stream("a line comes to a touch point on a day")
DAYS_AHEAD = 400
"""A visit later than this is nobody's, days."""


class TouchTables(NamedTuple):
    """Habits by channel.

    Attributes
    ----------
    channel_id : name ids
    visit_day : (n_channels,) int64, mean chance of a visit on a day, 1/2**32
    habit_q : (n_channels, 1024) int64, quantiles of a line's factor on it, 1/1024
    open_ms, span_ms : opening after local midnight, and its length
    in_person : whether one has to be there
    """

    channel_id: np.ndarray
    visit_day: np.ndarray
    habit_q: np.ndarray
    open_ms: np.ndarray
    span_ms: np.ndarray
    in_person: np.ndarray


def compile_touch(channels: tuple[Channel, ...] | list[Channel]) -> TouchTables:
    """Return the habits of a run's channels."""

    def column(values: Any, dtype: type = np.int64) -> np.ndarray:
        return np.array(list(values) or [0], dtype)

    def hours(c: Channel) -> float:
        return (c.open_to_h - c.open_from_h) % 24 or 24.0

    return TouchTables(
        channel_id=column((rng.name_id("channel:" + c.channel) for c in channels), np.uint32),
        visit_day=column(round(c.visits_per_month / 30 * 4294967296) for c in channels),
        habit_q=np.stack(
            [quantiles.lognormal_mean(1024, c.habit_sigma) for c in channels]
            or [np.zeros(quantiles.SIZE, np.int64)]
        ),
        open_ms=column(round(c.open_from_h * 3_600_000) for c in channels),
        span_ms=column(round(hours(c) * 3_600_000) for c in channels),
        in_person=column((c.in_person for c in channels), np.bool_),
    )


@kernel
def comes_on(h, seed, sub, channel, day):
    """Return how long after local midnight, ms, a line comes on a day; -1 where it does not."""
    name = h.channel_id[channel]
    a, _, _, _ = draw_cause(seed, S_HABIT, sub, name, 0, 0)
    chance = h.visit_day[channel] * np.int64(quantile(h.habit_q[channel], a)) // 1024
    b, d, _, _ = draw_cause(seed, S_VISIT, sub, name, day, 0)
    if np.int64(b) >= chance:
        return np.int64(-1)
    return h.open_ms[channel] + (np.int64(d) * h.span_ms[channel] >> np.int64(32))


@kernel
def next_visit(s, p, t, h, seed, i, sub, channel, from_ms, to_ms):
    """Return the first moment, ms, in a span at which a line comes to a touch point, or -1.

    Parameters
    ----------
    s, p, t : state, profile and tables of the role
    h : `TouchTables`
    from_ms, to_ms : the span, both ends in it
    """
    region = p.region[i]
    if s.life[i] & LIFE_MASK != LIFE_HERE:
        return np.int64(-1)
    travel = np.int64(s.travel_s[i])
    back = travel if travel == NEVER_S else travel_back(t, seed, sub, travel)
    # The night before may hold the end of opening hours that go past midnight.
    first = local_day(t, region, from_ms // 900_000) - 1
    last = min(local_day(t, region, to_ms // 900_000), first + DAYS_AHEAD)
    for day in range(first, last + 1):
        after = comes_on(h, seed, sub, channel, day)
        if after < 0:
            continue
        midnight = day * 96 - np.int64(t.region_shift_q[region]) - np.int64(t.start_quarter)
        at = midnight * 900_000 + after
        if at < from_ms or at // 1000 < s.silent_s[i]:
            continue
        if at > to_ms:
            break
        if h.in_person[channel] and travel * 1000 <= at < back * 1000:
            continue
        return at
    return np.int64(-1)


@kernel
def all_visits(s, p, t, h, seed, lo, q, n, start_ms, out):
    """Ask the lines for which something lies ready when they come; return the rows written.

    Parameters
    ----------
    q, n : `Placed` columns of this partition and their rows
    start_ms : start of the tick; what is past is past
    out : `Touch` columns with room for n rows, written
    """
    made = 0
    for k in range(n):
        sub = np.int64(q.sub[k])
        channel = np.int64(q.channel[k])
        from_ms = max(q.ts_ms[k], start_ms)
        at = next_visit(s, p, t, h, seed, sub - lo, sub, channel, from_ms, q.expires_ms[k])
        if at < 0:
            continue
        out.sub[made] = sub
        out.ts_ms[made] = at
        out.channel[made] = channel
        out.key[made] = q.key[k]
        made += 1
    return made


def who_comes(
    lines: tuple[Any, Any, int], t: Any, h: TouchTables, *, seed: Any, placed: Rows | None,
    start_ms: int,
) -> Rows:  # fmt: skip
    """Return the `Touch` rows of a tick.

    Parameters
    ----------
    lines : (state, profile, first line) of the partition
    """
    if placed is None or not len(placed["sub"]):
        return empty_rows(m.TOUCH)
    n = len(placed["sub"])
    out = Columns(m.TOUCH, n)
    state, profile, first = lines
    made = all_visits(
        state, profile, t, h, seed, first, m.PLACED.tuple_type(**placed), n, start_ms, out.view
    )
    return {name: a[:made] for name, a in out.arrays.items()}
