"""Rating and charging: one compiled loop over the rows of lines, in time order.

It owns what a use costs and what it is taken from: free, pack, plan allowance, bonus, main money.
It must not know why a line uses, nor who is told.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.billing.accounts import (
    buy,
    expire,
    new_period,
    note,
    recharge,
    start_line,
)
from actors.billing.state import FEE_DUE, TOLD_80, TOLD_100, TOLD_LOW, TOLD_ZERO
from actors.billing.tables import MICRO
from sim.core.kernel import hot, kernel

NO_SHARE = 255
ROOM = 64
"""Account events that one row, or the end of one line's periods, may make at most."""


@hot
def used_share(s, t, i, tariff):
    """Return the used share of the plan's data, whole percent, or 255 where there is none."""
    total = t.plan_kb[tariff]
    if total <= 0:
        return np.int64(NO_SHARE)
    return 100 - np.int64(s.data_left_kb[i]) * 100 // total


@hot
def pay(s, t, i, tariff, cost, c):
    """Take up to `cost` from bonus and main money and return what was taken, minor units."""
    taken = np.int64(0)
    if s.bonus_minor[i] > 0:
        bonus = min(np.int64(s.bonus_minor[i]), cost * t.bonus_q // 1024)
        s.bonus_minor[i] -= bonus
        c.bonus_out_usage_minor[0] += bonus
        taken += bonus
    floor = np.int64(0) if t.prepaid[tariff] else -np.int64(t.credit_limit_minor[tariff])
    main = min(max(s.balance_minor[i] - floor, 0), cost - taken)
    s.balance_minor[i] -= main
    c.main_out_usage_minor[0] += main
    return taken + main


@hot
def charge(s, t, i, tariff, group, units, metered, c):
    """Charge units beyond every allowance.

    Parameters
    ----------
    units : s, pieces or kB
    metered : multiplier from units to what the tallies count (1000 for kB, else 1)

    Returns
    -------
    charged_minor, result
    """
    price = t.price_micro[tariff, group]
    cost = (units * price + MICRO - 1) // MICRO
    if cost == 0:
        c.free_units[group] += units * metered
        return np.int64(0), m.FREE
    taken = pay(s, t, i, tariff, cost, c)
    c.charged_minor[group] += taken
    if taken == cost:
        c.charged_units[group] += units * metered
        return taken, m.CHARGED
    granted = units * taken // cost
    c.charged_units[group] += granted * metered
    c.denied_units[group] += (units - granted) * metered
    return taken, (m.PARTIAL if granted > 0 else m.DENIED)


@hot
def rate_data(s, t, i, tariff, group, units, c):
    """Rate bytes: free, pack, plan, then by the tariff's rule; return (charged, result)."""
    kb = units // 1000
    if group != m.ROAM_DATA and t.zero_rated[tariff, group]:
        c.free_units[group] += units
        return np.int64(0), m.FREE
    if group == m.ROAM_DATA:
        return charge_pack_then(s, t, i, tariff, group, kb, c)
    result = m.BUCKET
    pack = min(np.int64(s.pack_left_kb[i]), kb)
    if pack > 0:
        s.pack_left_kb[i] -= pack
        c.bucket_out_used[1] += pack * 1000
        kb -= pack
    plan = min(np.int64(s.data_left_kb[i]), kb)
    if plan > 0:
        s.data_left_kb[i] -= plan
        c.bucket_out_used[0] += plan * 1000
        kb -= plan
    c.bucket_units[group] += (pack + plan) * 1000
    if kb == 0:
        return np.int64(0), result
    rule = t.after_limit[tariff]
    if rule == 1:
        # Throttled to a trickle: a twentieth passes, free of charge.
        passed = kb // 20
        c.free_units[group] += passed * 1000
        c.denied_units[group] += (kb - passed) * 1000
        return np.int64(0), m.PARTIAL
    if rule == 2 or s.marks[i] & FEE_DUE:
        c.denied_units[group] += kb * 1000
        return np.int64(0), (m.PARTIAL if pack + plan > 0 else m.DENIED)
    if t.plan_kb[tariff] > 0:
        # People on an allowance mind what they pay for: a tenth is used, the rest forgone.
        kept = max(kb // 10, 1)
        c.denied_units[group] += (kb - kept) * 1000
        kb = kept
    return charge(s, t, i, tariff, group, kb, 1000, c)


@kernel
def charge_pack_then(s, t, i, tariff, group, kb, c):
    """Rate roaming data: bought data first, then the roaming price."""
    pack = min(np.int64(s.pack_left_kb[i]), kb)
    if pack > 0:
        s.pack_left_kb[i] -= pack
        c.bucket_out_used[1] += pack * 1000
        c.bucket_units[group] += pack * 1000
        kb -= pack
    if kb == 0:
        return np.int64(0), m.BUCKET
    return charge(s, t, i, tariff, group, kb, 1000, c)


@hot
def rate_voice(s, t, i, tariff, group, units, c):
    """Rate seconds; return (charged, result)."""
    left = units
    if group <= m.VOICE_OFFNET:
        taken = min(np.int64(s.voice_left_s[i]), left)
        s.voice_left_s[i] -= taken
        c.bucket_out_used[2] += taken
        c.bucket_units[group] += taken
        left -= taken
    if left == 0:
        return np.int64(0), (m.BUCKET if units > 0 else m.FREE)
    return charge(s, t, i, tariff, group, left, 1, c)


@hot
def rate_sms(s, t, i, tariff, group, units, c):
    """Rate pieces; return (charged, result)."""
    left = units
    if group == m.SMS:
        taken = min(np.int64(s.sms_left[i]), left)
        s.sms_left[i] -= taken
        c.bucket_out_used[3] += taken
        c.bucket_units[group] += taken
        left -= taken
    if left == 0:
        return np.int64(0), m.BUCKET
    return charge(s, t, i, tariff, group, left, 1, c)


@hot
def rate_usage(s, t, i, tariff, group, units, c):
    """Rate one use; return (charged_minor, result).  A suspended line is denied everything."""
    if s.life[i] != m.ACTIVE:
        c.denied_units[group] += units
        return np.int64(0), m.DENIED
    if group >= m.DATA_GENERAL and group <= m.DATA_MESSAGING or group == m.ROAM_DATA:
        return rate_data(s, t, i, tariff, group, units, c)
    if group == m.SMS or group == m.ROAM_SMS:
        return rate_sms(s, t, i, tariff, group, units, c)
    return rate_voice(s, t, i, tariff, group, units, c)


@kernel
def notice(s, t, i, sub, tariff, ts_ms, before, after, ev, ne, c):
    """Tell the line, once a period, that its allowance or money runs low; return next row."""
    if after != NO_SHARE:
        if after >= 80 and before < 80 and not s.marks[i] & TOLD_80:
            s.marks[i] |= TOLD_80
            ne = note(s, ev, ne, i, sub, ts_ms, m.ALLOWANCE_80, after, c)
        if after >= 100 and before < 100 and not s.marks[i] & TOLD_100:
            s.marks[i] |= TOLD_100
            ne = note(s, ev, ne, i, sub, ts_ms, m.ALLOWANCE_100, after, c)
    if t.prepaid[tariff]:
        if s.balance_minor[i] < t.low_minor and not s.marks[i] & TOLD_LOW:
            s.marks[i] |= TOLD_LOW
            ne = note(s, ev, ne, i, sub, ts_ms, m.LOW_BALANCE, s.balance_minor[i], c)
        if s.balance_minor[i] <= 0 and not s.marks[i] & TOLD_ZERO:
            s.marks[i] |= TOLD_ZERO
            ne = note(s, ev, ne, i, sub, ts_ms, m.ZERO_BALANCE, s.balance_minor[i], c)
    return ne


@hot
def rate_row(s, t, i, sub, tariff, a, r, k, ev, ne, c):
    """Rate one row of `Activity`, write its row of `Rated`, and return the next event row."""
    kind = a.kind[k]
    ts_ms = a.ts_ms[k]
    charged = np.int64(0)
    result = m.NOT_RATED
    before = np.int64(NO_SHARE)
    after = np.int64(NO_SHARE)
    if kind == m.USAGE:
        before = used_share(s, t, i, tariff)
        left_kb = s.data_left_kb[i]
        charged, result = rate_usage(s, t, i, tariff, a.code[k], a.units[k], c)
        after = before if s.data_left_kb[i] == left_kb else used_share(s, t, i, tariff)
        c.rated[result] += 1
        if after != before or charged > 0 or result == m.DENIED:
            ne = notice(s, t, i, sub, tariff, ts_ms, before, after, ev, ne, c)
    elif kind == m.RECHARGE:
        charged = -a.units[k]
        ne = recharge(s, t, i, sub, tariff, ts_ms, a.units[k], ev, ne, c)
    elif kind == m.PURCHASE:
        charged, ne = buy(s, t, i, sub, tariff, ts_ms, a.code[k], a.ref[k], a.units[k], ev, ne, c)
        result = m.CHARGED if charged > 0 else (m.FREE if charged == 0 else m.DENIED)
        charged = max(charged, 0)
    elif kind == m.LOCATION and s.life[i] == m.RESERVED:
        ne = start_line(s, t, i, sub, tariff, ts_ms, ev, ne, c)
    r.charged_minor[k] = charged
    r.balance_after_minor[k] = s.balance_minor[i]
    r.result[k] = result
    r.used_before[k] = before
    r.used_after[k] = after
    return ne


@kernel
def find_due(s, first, last, day, end_s, due):
    """List the lines `first` to `last - 1` of which something ends in the tick; return how many."""
    n = 0
    for i in range(first, last):
        due.line[n] = i
        n += (s.cycle_s[i] < end_s) | (s.pack_s[i] < end_s) | (s.bonus_day[i] < day)
    return n


@kernel
def end_due(s, p, t, lo, i, day, at_s, ev, ne, c):
    """Let what ends by a moment end, for one line; return the next event row."""
    ne = expire(s, t, i, lo + i, p.tariff[i], day, at_s, ev, ne, c)
    return new_period(s, t, i, lo + i, p.tariff[i], at_s, ev, ne, c)


@kernel
def rate(s, p, t, lo, first, last, day, end_s, a, n, r, ev, capacity, due, c):
    """Rate the rows of lines `first` to `last - 1` and let their periods end on time.

    Parameters
    ----------
    s : state, mutated
    p : profile
    lo : global id of the partition's first line
    day : day of the tick since the start, may be any int
    a, n : `Activity` columns and their rows, sorted by (sub, ts_ms)
    r : `Rated` columns, written row for row
    ev, capacity : `AccountEvent` columns, written, and their room
    due : scratch with room for every line

    Returns
    -------
    ne : rows written to `ev`; -1 where they did not fit
    """
    n_due = find_due(s, first, last, day, end_s, due)
    ne = 0
    d = 0
    ending = np.int64(due.line[0]) if n_due > 0 else last
    for k in range(n + 1):
        i = np.int64(a.sub[k]) - lo if k < n else last
        while ending < i:
            if ne + ROOM > capacity:
                return -1
            ne = end_due(s, p, t, lo, ending, day, end_s - 1, ev, ne, c)
            d += 1
            ending = np.int64(due.line[d]) if d < n_due else last
        if k == n:
            break
        if ne + ROOM > capacity:
            return -1
        if ending == i:
            ne = end_due(s, p, t, lo, i, day, a.ts_ms[k] // 1000, ev, ne, c)
        s.active_day[i] = day
        ne = rate_row(s, t, i, lo + i, p.tariff[i], a, r, k, ev, ne, c)
    return ne
