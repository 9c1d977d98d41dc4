"""The diary of a day: work, an outing, a journey; and the daily hazards of leaving and silence.

It owns the kernel that runs once per line at its local midnight.  It must not emit messages.
"""

from __future__ import annotations

import numpy as np

from actors.subscribers.means import fade_habits
from actors.subscribers.place import (
    N_MOMENTS,
    NO_SLOT,
    is_trip,
    journey_moment,
    travel_back,
    work_hex,
)
from actors.subscribers.state import (
    LIFE_CUT,
    LIFE_HERE,
    LIFE_LEFT,
    LIFE_MASK,
    LIFE_RESERVED,
    NEVER_S,
    TRIP_BITS,
)
from actors.subscribers.wants import BY_RETURN, bear_need, next_organic, wake
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import below, draw, stream

S_DIARY = stream("diary of a day")
S_HAZARD = stream("daily hazards")
S_WANT = stream("spontaneous needs")

AIRPORT_FROM_Q, AIRPORT_SPAN_Q = 18, 68
"""Arrivals at the airport are spread over 4:30 to 21:30, quarters of the local day."""


@kernel
def plan_trip(s, t, i, weekend, u_go, u_when, u_where):
    """Write today's outing."""
    s.trip_from[i] = NO_SLOT
    s.trip_to[i] = NO_SLOT
    if u_go >= t.leisure:
        return
    length = 4 + below(u_when, 12)
    if s.work_from[i] != NO_SLOT:
        start = np.int64(s.work_to[i]) + 1 + below(np.uint32(u_when << np.uint32(8)), 4)
    else:
        start = 40 + below(np.uint32(u_when << np.uint32(8)), 36)
    if start > 90:
        return
    s.trip_from[i] = start
    s.trip_to[i] = min(start + length, 95)
    mall = t.mall_weekend if weekend else t.mall_weekday
    if u_where < mall and t.hex_mall[s.home[i], 0] >= 0:
        slot = 16 + (u_where & np.uint32(3))
    else:
        slot = u_where & np.uint32(7)
    s.trip_slot[i] = (s.trip_slot[i] & ~np.uint8(TRIP_BITS)) | np.uint8(slot)


@kernel
def plan_day(s, p, t, seed, lo, day_of_week, epoch, regions, c):
    """Plan the day that begins in this epoch for every line of the given regions.

    Parameters
    ----------
    s : state, mutated
    p : profile
    day_of_week : 0 Monday to 6, of the new local day
    epoch : global epoch in which the local midnight falls; it keys the draws
    regions : (n_regions,) uint8, 1 where the local day begins in this epoch
    """
    now_s = epoch * 900
    weekend = day_of_week >= 5
    for i in range(s.home.shape[0]):
        if regions[p.region[i]] == 0:
            continue
        life = s.life[i] & LIFE_MASK
        sub = lo + i
        if life != LIFE_HERE:
            continue
        a, b, d, e = draw(seed, S_DIARY, sub, epoch, 0)
        if s.activity[i] == t.machine_class:
            continue
        s.work_from[i] = NO_SLOT
        s.work_to[i] = NO_SLOT
        if s.work_slot[i] != NO_SLOT and not weekend and (a & np.uint32(0xFF)) < 236:
            start = t.work_start_q - 6 + below(a, 13)
            s.work_from[i] = start
            s.work_to[i] = min(start + t.work_q - 3 + below(np.uint32(a << np.uint32(12)), 7), 92)
        plan_trip(s, t, i, weekend, b, d, e)
        # Feelings drift back: a day takes a sixty-fourth of the way to the long-run level.
        s.satisfaction_q[i] += (t.satisfaction_rest_q - np.int64(s.satisfaction_q[i])) // 64
        s.trust_q[i] -= np.int64(s.trust_q[i]) // 16
        fade_habits(s, t, seed, i, sub, epoch)
        f, g, h, j = draw(seed, S_HAZARD, sub, epoch, 0)
        # The hazard falls from `factor` at satisfaction 0 over 1 in the middle to 0 at the top.
        sat = np.int64(s.satisfaction_q[i])
        if sat < 32768:
            factor = 1024 + (t.leave_factor_q - 1024) * (32768 - sat) // 32768
        else:
            factor = 1024 * (65535 - sat) // 32767
        if np.int64(f) < np.int64(t.leave_day) * factor // 1024:
            s.life[i] = LIFE_LEFT
            c.left[0] += 1
            continue
        if g < t.silence_day and s.silent_s[i] <= now_s:
            s.silent_s[i] = now_s + quantile(t.silence_s, h)
            c.fell_silent[0] += 1
            wake(s, t, seed, i, sub, BY_RETURN, np.int64(s.silent_s[i]), c)
        if s.travel_s[i] != NEVER_S and now_s > travel_back(t, seed, sub, s.travel_s[i]) + 7_200:
            s.travel_s[i] = NEVER_S
        if j < t.journey_day and s.travel_s[i] == NEVER_S and work_hex(s, t, i) >= 0:
            at = now_s + (AIRPORT_FROM_Q + below(h, AIRPORT_SPAN_Q)) * 900 + (g >> np.uint32(23))
            if t.hex_airport[s.home[i]] >= 0 or is_trip(t, seed, sub, at):
                s.travel_s[i] = at
                if s.travel_s[i] < s.due_s[i]:
                    s.due_s[i] = s.travel_s[i]
        k0, k1, k2, _ = draw(seed, S_WANT, sub, epoch, 0)
        kind = below(k1, t.spontaneous.shape[0])
        if k0 < t.spontaneous[kind]:
            bear_need(s, t, seed, i, sub, kind, now_s + below(k2, 86_400), c)


@kernel
def earliest_due(s, t, seed, i, sub, after_s):
    """Return the earliest planned moment of a line at or after a moment."""
    best = next_organic(s, t, seed, i, sub, after_s)
    if s.recharge_s[i] < best:
        best = np.int64(s.recharge_s[i])
    if s.travel_s[i] != NEVER_S:
        for k in range(N_MOMENTS):
            at = journey_moment(t, seed, sub, s.travel_s[i], k)
            if after_s <= at < best:
                best = at
    return best


@kernel
def count_lines(s):
    """Return the lines in each of the four states of life, and the sum of satisfaction."""
    reserved = here = left = cut = total = np.int64(0)
    for i in range(s.life.shape[0]):
        life = s.life[i] & LIFE_MASK
        reserved += life == LIFE_RESERVED
        here += life == LIFE_HERE
        left += life == LIFE_LEFT
        cut += life == LIFE_CUT
    for i in range(s.life.shape[0]):
        total += s.satisfaction_q[i]
    return reserved, here, left, cut, total
