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
from actors.profile import M2M
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
def find_due(s, t, first, last, day, start_s, end_s, due):
    """List the lines `first` to `last - 1` to which something happens by the clock of the tick.

    Something ends, or is about to: `notice_s` before the end of a period.  Returns how many.
    """
    n = 0
    soon_from, soon_to = start_s + t.notice_s, end_s + t.notice_s
    for i in range(first, last):
        due.line[n] = i
        cycle_s = np.int64(s.cycle_s[i])
        n += (
            (cycle_s < end_s) | (s.pack_s[i] < end_s) | (s.bonus_day[i] < day)
            | ((cycle_s >= soon_from) & (cycle_s < soon_to))
        )  # fmt: skip
    return n


@kernel
def give_notice(s, t, i, sub, tariff, from_s, until_s, ev, ne, c):
    """Say what is left and what is missing, if the moment for it lies in a span.

    Parameters
    ----------
    from_s, until_s : the span, s, both ends in it

    Returns
    -------
    ne : next event row
    """
    at_s = np.int64(s.cycle_s[i]) - t.notice_s
    if at_s < from_s or at_s > until_s or t.period_s[tariff] <= t.notice_s:
        return ne
    if s.life[i] != m.ACTIVE or s.marks[i] & FEE_DUE:
        return ne
    if t.plan_kb[tariff] > 0:
        left = 100 - used_share(s, t, i, tariff)
        ne = note(s, ev, ne, i, sub, at_s * 1000, m.ALLOWANCE_ENDS, left, c)
    missing = t.fee_minor[tariff] - s.balance_minor[i]
    if t.prepaid[tariff] and missing > 0:
        ne = note(s, ev, ne, i, sub, at_s * 1000, m.FEE_SHORT, missing, c)
    return ne


@kernel
def end_due(s, p, t, lo, i, day, from_s, at_s, ev, ne, c):
    """Let what ends by a moment end, for one line; return the next event row.

    Parameters
    ----------
    from_s : what came before it has been dealt with
    """
    tariff = p.tariff[i]
    ne = give_notice(s, t, i, lo + i, tariff, from_s, at_s, ev, ne, c)
    ne = expire(s, t, i, lo + i, tariff, day, at_s, ev, ne, c)
    began_s = np.int64(s.cycle_s[i])
    ne = new_period(s, t, i, lo + i, tariff, at_s, ev, ne, c)
    contract = t.contract_periods
    if s.cycle_s[i] == began_s or contract == 0 or t.prepaid[tariff] or p.flags[i] & M2M:
        return ne
    # Contracts began with the line, and periods have their length, so that each passes once.
    period = (np.int64(p.tenure_days[i]) + day) * 86_400 // t.period_s[tariff]
    if period % contract == contract - 1:
        left = t.period_s[tariff] // 86_400
        ne = note(s, ev, ne, i, lo + i, began_s * 1000, m.CONTRACT_ENDS, left, c)
    return ne


@kernel
def rate(s, p, t, lo, first, last, day, start_s, end_s, a, n, r, ev, capacity, due, c):
    """Rate the rows of lines `first` to `last - 1` and let their periods end on time.

    Parameters
    ----------
    s : state, mutated
    p : profile
    lo : global id of the partition's first line
    day : day of the tick since the start, may be any int
    start_s, end_s : span of the tick, s
    a, n : `Activity` columns and their rows, sorted by (sub, ts_ms)
    r : `Rated` columns, written row for row
    ev, capacity : `AccountEvent` columns, written, and their room
    due : scratch with room for every line

    Returns
    -------
    ne : rows written to `ev`; -1 where they did not fit
    """
    n_due = find_due(s, t, first, last, day, start_s, end_s, due)
    ne = 0
    d = 0
    ending = np.int64(due.line[0]) if n_due > 0 else last
    from_s = start_s
    for k in range(n + 1):
        i = np.int64(a.sub[k]) - lo if k < n else last
        while ending < i:
            if ne + ROOM > capacity:
                return -1
            ne = end_due(s, p, t, lo, ending, day, from_s, end_s - 1, ev, ne, c)
            d += 1
            from_s = start_s
            ending = np.int64(due.line[d]) if d < n_due else last
        if k == n:
            break
        if ne + ROOM > capacity:
            return -1
        if ending == i:
            at_s = a.ts_ms[k] // 1000
            ne = end_due(s, p, t, lo, i, day, from_s, at_s, ev, ne, c)
            from_s = at_s + 1
        s.active_day[i] = day
        ne = rate_row(s, t, i, lo + i, p.tariff[i], a, r, k, ev, ne, c)
    return ne
