"""Planned acts of a line: top-ups, purchases without any contact, answers that are due, joining.

It owns the rows of what was decided before the tick began.  It must not draw use, which is the
matter of `usage`.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.diary import earliest_due
from actors.subscribers.means import learn_deal, spend, waits
from actors.subscribers.place import (
    AT_AIRPORT_S,
    INBOUND_S,
    N_MOMENTS,
    away_spot,
    is_trip,
    journey_moment,
)
from actors.subscribers.state import (
    LIFE_HERE,
    LIFE_MASK,
    LONG_AGO_S,
    N_NEED_SLOTS,
    NEVER_S,
    TOPUP_OPEN,
)
from actors.subscribers.wants import (
    BY_ABROAD,
    BY_ELSEWHERE,
    BY_LANDED,
    BY_TOPUP,
    FREE,
    bear_need,
    find_need,
    meet_need,
    organic_s,
    wake,
)
from sim.core.kernel import hot, kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream

S_RECHARGE = stream("sum of a top-up")

NEED_ROAMING = 1
EXTRAS = 16
"""Planned acts of one line in one tick, at most."""


@hot
def put(out, n, sub, ts_ms, kind, code, ref, units, cell):
    """Write one row of `Activity` and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.kind[n] = kind
    out.code[n] = code
    out.ref[n] = ref
    out.units[n] = units
    out.cell[n] = cell
    return n + 1


@kernel
def recharge_sum(s, p, t, seed, i, sub, at_s):
    """Return the sum, minor units, of a top-up: some days of this line's spending, rounded."""
    a, _, _, _ = draw_cause(seed, S_RECHARGE, sub, np.uint32(0), at_s, 0)
    typical = np.int64(t.recharge_minor[p.tariff[i], s.activity[i]])
    sum_minor = typical * np.int64(quantile(t.recharge_spread_q, a)) // 1024
    step = np.int64(t.recharge_step_minor)
    return max((sum_minor + step // 2) // step, 1) * step


@kernel
def act_recharge(s, p, t, seed, i, sub, at_s, x, nx, c):
    """Begin a planned top-up, or complete one that was begun; return the next free extra."""
    if s.life[i] & TOPUP_OPEN:
        nx = put(
            x,
            nx,
            sub,
            at_s * 1000,
            m.RECHARGE,
            0,
            0,
            recharge_sum(s, p, t, seed, i, sub, at_s - 45),
            -1,
        )
        s.life[i] &= ~np.uint8(TOPUP_OPEN)
        s.recharge_s[i] = NEVER_S
    else:
        nx = put(
            x,
            nx,
            sub,
            at_s * 1000,
            m.RECHARGE_START,
            0,
            0,
            recharge_sum(s, p, t, seed, i, sub, at_s),
            -1,
        )
        s.life[i] |= TOPUP_OPEN
        s.recharge_s[i] = at_s + 45
        wake(s, t, seed, i, sub, BY_TOPUP, at_s, c)
    return nx


@kernel
def act_organic(s, p, t, seed, i, sub, start_s, end_s, x, nx, c):
    """Buy what people buy without any contact in this tick; return the next free extra."""
    for k in range(N_NEED_SLOTS):
        kind = s.need_kind[i, k]
        if kind == FREE:
            continue
        at = organic_s(t, seed, sub, kind, s.need_born_s[i, k])
        if start_s <= at < end_s:
            if waits(s, t, seed, i, sub, kind, s.need_born_s[i, k]):
                continue
            s.need_kind[i, k] = FREE
            s.need_born_s[i, k] = LONG_AGO_S
            c.organic_purchases[kind] += 1
            if t.organic_sold[kind]:
                spend(s, p, t, seed, i, sub, np.int64(t.organic_price_minor[kind]), at)
                nx = put(
                    x,
                    nx,
                    sub,
                    at * 1000,
                    m.PURCHASE,
                    m.ORGANIC,
                    kind,
                    t.organic_price_minor[kind],
                    -1,
                )
    return nx


@kernel
def act_arrival(s, t, seed, i, sub, at_s, fence, k, x, nx, c):
    """Let the phone of a traveller come up: abroad, in another region, or back at the airport."""
    code = m.ATTACH
    if k == 2:
        cell = t.spot_cells[t.n_hex + fence, 0]
        cause = BY_LANDED
    elif is_trip(t, seed, sub, s.travel_s[i]):
        cell = t.spot_cells[away_spot(s, t, i, sub, seed), 0]
        cause = BY_ELSEWHERE
    else:
        cell = np.int32(-1)
        code = m.ROAMING_ATTACH
        cause = BY_ABROAD
    if s.silent_s[i] <= at_s:
        nx = put(x, nx, sub, at_s * 1000, m.LOCATION, code, 0, 0, cell)
        wake(s, t, seed, i, sub, cause, at_s, c)
    return nx


@kernel
def act_journey(s, t, seed, i, sub, start_s, end_s, x, nx, c):
    """Live the moments of a journey that lie in this tick; return the next free extra.

    Stays at the airport, out and back, are counted; the roaming need wakes at the airport.
    """
    fence = t.hex_airport[s.home[i]]
    trip = is_trip(t, seed, sub, s.travel_s[i])
    for k in range(N_MOMENTS):
        at = journey_moment(t, seed, sub, s.travel_s[i], k)
        if not start_s <= at < end_s:
            continue
        if k == 4 or (k == 2 and not trip):
            nx = act_arrival(s, t, seed, i, sub, at, fence, k, x, nx, c)
        if trip or k == 4:
            continue
        if k == 0:
            bear_need(s, t, seed, i, sub, NEED_ROAMING, at, c)
        if k == 1 or k == 3:
            c.fence_exits[fence] += 1
            continue
        c.fence_enters[fence] += 1
        stay = AT_AIRPORT_S if k == 0 else INBOUND_S
        if stay >= t.dwell_s[fence]:
            c.fence_dwells[fence] += 1
    return nx


@kernel
def act_planned(s, p, t, seed, i, sub, start_s, end_s, x, nx, c):
    """Carry out everything of a line that is due in this tick; return the next free extra."""
    if s.life[i] & LIFE_MASK == LIFE_HERE:
        while s.recharge_s[i] < end_s and nx < EXTRAS - 4:
            nx = act_recharge(
                s, p, t, seed, i, sub, max(np.int64(s.recharge_s[i]), start_s), x, nx, c
            )
        nx = act_organic(s, p, t, seed, i, sub, start_s, end_s, x, nx, c)
        if s.travel_s[i] != NEVER_S:
            nx = act_journey(s, t, seed, i, sub, start_s, end_s, x, nx, c)
    s.due_s[i] = earliest_due(s, t, seed, i, sub, end_s)
    return nx


@kernel
def act_answer(s, p, seed, i, due, d, x, nx, sub, t, c):
    """Give one due answer, if what it answers is still wanted; return the next free extra."""
    case = due.use_case[d]
    action = due.action[d]
    ts_ms = due.ts_ms[d]
    if action == m.CHECK_IN:
        c.check_ins[0] += 1
        return put(x, nx, sub, ts_ms, m.RESPONSE, m.CHECK_IN, case, 0, -1)
    c.exposures_ended[0] += 1
    if s.life[i] & LIFE_MASK != LIFE_HERE:
        return nx
    if action == m.OPT_OUT:
        c.opted_out[case] += 1
        return put(x, nx, sub, ts_ms, m.RESPONSE, m.OPT_OUT, case, 0, -1)
    if action == m.REPLY:
        c.replied[case] += 1
        chosen = np.int64(due.need_born_s[d])
        return put(x, nx, sub, ts_ms, m.RESPONSE, m.REPLY, case, chosen, -1)
    born = due.need_born_s[d]
    kind = t.case_need[case]
    if born != LONG_AGO_S:
        slot = find_need(s, t, i, kind, ts_ms // 1000)
        if slot < 0 or s.need_born_s[i, slot] != born:
            return nx
        meet_need(s, i, kind)
    c.accepted[case] += 1
    nx = put(x, nx, sub, ts_ms, m.RESPONSE, m.ACCEPT, case, 0, -1)
    if t.case_deal[case] and t.case_price_minor[case] > 0:
        learn_deal(s, t, seed, i, sub, ts_ms // 1000)
    if t.case_buys[case]:
        spend(s, p, t, seed, i, sub, np.int64(t.case_price_minor[case]), ts_ms // 1000)
        nx = put(x, nx, sub, ts_ms, m.PURCHASE, m.OFFERED, case, t.case_price_minor[case], -1)
    elif t.case_topup_minor[case] > 0:
        nx = put(x, nx, sub, ts_ms, m.RECHARGE, 0, 0, t.case_topup_minor[case], -1)
    return nx


@hot
def copy_extra(x, k, out, n, c):
    """Copy planned act `k` into the output and return the next free row."""
    c.events[x.kind[k]] += 1
    return put(out, n, x.sub[k], x.ts_ms[k], x.kind[k], x.code[k], x.ref[k], x.units[k], x.cell[k])


@kernel
def sort_extras(x, nx):
    """Sort the planned acts of one line by time; equal times keep their order."""
    for a in range(1, nx):
        b = a
        while b > 0 and x.ts_ms[b - 1] > x.ts_ms[b]:
            x.ts_ms[b - 1], x.ts_ms[b] = x.ts_ms[b], x.ts_ms[b - 1]
            x.kind[b - 1], x.kind[b] = x.kind[b], x.kind[b - 1]
            x.code[b - 1], x.code[b] = x.code[b], x.code[b - 1]
            x.ref[b - 1], x.ref[b] = x.ref[b], x.ref[b - 1]
            x.units[b - 1], x.units[b] = x.units[b], x.units[b - 1]
            x.cell[b - 1], x.cell[b] = x.cell[b], x.cell[b - 1]
            b -= 1


@kernel
def join_or_wake(s, t, i, sub, start_s, end_s, x, nx):
    """Let a reserved line join when its moment has come; return the next free extra."""
    if start_s <= s.silent_s[i] < end_s:
        s.life[i] = LIFE_HERE
        cell = t.spot_cells[s.home[i], 0]
        nx = put(x, nx, sub, np.int64(s.silent_s[i]) * 1000, m.LOCATION, m.ATTACH, 0, 0, cell)
    return nx
