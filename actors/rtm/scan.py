"""The engine's eyes: one compiled loop over the rows it is shown, in time order.

It owns the live profile, believed geofence visits, the deeds of players and the calls to the
triggers.
It must not decide anything, and knows of people only what rows say.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm import triggers as tr
from actors.rtm.dispatch import Rule, make_all
from actors.rtm.hysteresis import make_back
from actors.rtm.outcomes import take_answer, take_purchase
from actors.rtm.state import (
    ALIVE,
    DWELT,
    LANDED,
    NO_CELL,
    ROAMED,
    SLOW_SHIFT,
    TROUBLE_MAX,
)
from sim.core.kernel import hot, kernel
from sim.core.rng import mix64, stream

S_LOSS = stream("a row is lost in capture")

NO_FENCE = -1


(
    ask_usage, ask_account, ask_dwell, ask_first, ask_failure, ask_recharge, ask_visit, ask_attach,
    ask_roaming, ask_slow, ask_call, ask_quest, ask_answer,
) = make_all(()).values()  # fmt: skip
"""Dispatchers of no rules; `make_scan` puts those of a run in their place."""
ask_back = make_back(())
"""Looks whether values have gone back; `make_scan` puts that of a run in its place."""


@hot
def lost(t, sub, ts_ms, kind):
    """Return whether a row never reaches the engine: a keyed choice, the same in every run."""
    loss = t.capture.loss[kind]
    if loss == 0:
        return False
    key = mix64(t.seed ^ np.uint64(ts_ms) ^ (np.uint64(sub) << np.uint64(29)) ^ np.uint64(kind))
    return np.uint32(key >> np.uint64(32)) < loss


@hot
def new_day(s, i, day, c):
    """Close the sums of the last day: the norm moves by an eighth of the difference."""
    if s.day[i] >= day:
        return
    mb = np.int64(s.data_today_kb[i]) // 1000
    norm = np.int64(s.data_norm_mb[i])
    # A day without data says nothing of a machine or a silent line, so it moves the norm less.
    gap = min(day - np.int64(s.day[i]), 30)
    for _ in range(gap):
        norm += (mb - norm) // 8
        mb = 0
    s.data_norm_mb[i] = min(max(norm, 0), 65_000)
    s.data_today_kb[i] = 0
    s.day[i] = day
    s.flags[i] &= ~np.uint8(LANDED)


@hot
def count_trouble(s, i, now_s, slow):
    """Count a refused use, or slow data, in the window of an hour."""
    if s.failures[i] == 0 or now_s - np.int64(s.failures_s[i]) > 3600:
        s.failures[i] = 0
        s.failures_s[i] = now_s
    step = 1 << (SLOW_SHIFT * slow)
    if (np.int64(s.failures[i]) // step) & TROUBLE_MAX < TROUBLE_MAX:
        s.failures[i] += step


@hot
def pick_fence(t, s, i, cell):
    """Return the geofence that a cell speaks for, preferring the one believed already; or -1."""
    start = t.cell_fence_start[cell]
    stop = t.cell_fence_start[cell + 1]
    if start == stop:
        return NO_FENCE
    for k in range(start, stop):
        if t.cell_fence_ix[k] == s.fence[i]:
            return np.int64(s.fence[i])
    return np.int64(t.cell_fence_ix[start])


@hot
def learn_anchor(t, s, i, fence, quarter, now_s):
    """Remember fences in which a line sleeps or works: residents and staff are no visitors."""
    if 8 <= quarter < 20:
        s.night_fence[i] = fence
    elif now_s - np.int64(s.fence_s[i]) > 18_000:
        s.work_fence[i] = fence


@hot
def locate(t, s, i, cell, now_s, quarter, c):
    """Move the believed geofence on; return 1 where a visit has just reached its dwell time."""
    here = pick_fence(t, s, i, cell) if cell >= 0 else NO_FENCE
    was = np.int64(s.fence[i])
    if was >= 0 and here != was:
        if now_s - np.int64(s.fence_seen_s[i]) < t.exit_s:
            return 0
        c.fence_believed_exits[was] += 1
        s.fence[i] = NO_FENCE
        was = np.int64(NO_FENCE)
    if here < 0:
        return 0
    if was < 0:
        s.fence[i] = here
        s.fence_s[i] = now_s
        s.fence_seen_s[i] = now_s
        s.flags[i] &= ~np.uint8(DWELT)
        c.fence_believed_enters[here] += 1
        return 0
    if now_s - np.int64(s.fence_seen_s[i]) > 4 * t.exit_s:
        # Too long without an event: a new visit, not one long stay.
        s.fence_s[i] = now_s
        s.flags[i] &= ~np.uint8(DWELT)
    s.fence_seen_s[i] = now_s
    learn_anchor(t, s, i, here, quarter, now_s)
    if s.flags[i] & DWELT or now_s - np.int64(s.fence_s[i]) < t.dwell_s[t.fence_kind[here]]:
        return 0
    s.flags[i] |= DWELT
    if here == s.night_fence[i] or here == s.work_fence[i]:
        return 0
    return 1


@hot
def told(row, p, s, t, i, day, away, cell, value):
    """Return a row with what the rare triggers on places and accounts look at besides.

    Parameters
    ----------
    away : 1 where the phone came from abroad or out of a silent day
    cell : cell of the row, -1 none
    value : what the trigger reports
    """
    elsewhere = cell >= 0 and t.cell_region[cell] != p.region[i]
    return tr.Row(
        row.ts_s, row.kind, row.code, row.ref, row.units, row.charged_minor,
        row.balance_before_minor, row.balance_after_minor, row.result, row.used_before,
        row.used_after, row.silent_days, row.today_before_kb, row.today_after_kb, row.norm_mb,
        row.fence, row.fence_kind, row.landed, row.failures, row.failures_s, value, row.slow,
        away, 1 if elsewhere else 0, np.int64(s.plays[i]),
        np.int64(t.fence_own_shop[row.fence]) if row.fence >= 0 else np.int64(0),
        np.int64(p.tenure_days[i]) + max(day, 0), np.int64(p.device[i]),
    )  # fmt: skip


@hot
def heed(s, p, t, i, sub, a, r, k, row, day, home, slow, dwelt, hits, n, found, nf, credits, nc, c):
    """Ask the rules about one row and book what it means; return the new fills.

    Parameters
    ----------
    row : the row as triggers see it
    home, slow, dwelt : it came home from abroad, it was slow data, its visit reached the dwell time
    """
    kind = a.kind[k]
    ts_ms = a.ts_ms[k]
    code = row.code
    silent = row.silent_days
    fence = row.fence
    charged = row.charged_minor
    if silent >= 1:
        n = ask_first(row, sub, ts_ms, t.options, hits, n)
    if dwelt:
        found.sub[nf] = sub
        found.ts_ms[nf] = ts_ms
        found.fence[nf] = fence
        found.satisfied_ms[nf] = ts_ms
        nf += 1
        landed = 1 if s.flags[i] & LANDED else 0
        stay = told(row, p, s, t, i, day, landed, np.int64(a.cell[k]), fence)
        n = ask_dwell(stay, sub, ts_ms, t.options, hits, n)
    if kind == m.USAGE:
        if charged > 0:
            s.margin_minor[i] += charged * t.group_net_q[code] // 1024
            if code >= m.ROAM_VOICE and not s.flags[i] & ROAMED:
                s.flags[i] |= np.uint8(ROAMED)
                n = ask_roaming(row, sub, ts_ms, t.options, hits, n)
        n = ask_usage(row, sub, ts_ms, t.options, hits, n)
        if slow:
            n = ask_slow(row, sub, ts_ms, t.options, hits, n)
    elif kind == m.LOCATION:
        if code >= m.ATTACH:
            away = 1 if home or silent >= 1 else 0
            came = told(row, p, s, t, i, day, away, np.int64(a.cell[k]), row.value)
            n = ask_attach(came, sub, ts_ms, t.options, hits, n)
    elif kind == m.BLOCKED:
        n = ask_failure(row, sub, ts_ms, t.options, hits, n)
    elif kind == m.VISIT:
        n = ask_visit(row, sub, ts_ms, t.options, hits, n)
    elif kind == m.RECHARGE_START:
        n = ask_recharge(row, sub, ts_ms, t.options, hits, n)
    elif kind == m.PURCHASE:
        take_purchase(t, s, i, sub, day, code, np.int64(a.ref[k]), charged, r.result[k])
    elif kind == m.RESPONSE:
        case, units = np.int64(a.ref[k]), np.int64(a.units[k])
        nc = take_answer(t, s, i, sub, ts_ms, day, code, case, units, credits, nc)
        n = ask_answer(row, sub, ts_ms, t.options, hits, n)
    n = ask_back(kind, row, s.held, sub, ts_ms, t, hits, n)
    return n, nf, nc


@hot
def note_deed(deeds, nd, a, k, day, charged, place):
    """Keep a row of a line that is in a quest; return the next free row."""
    kind = a.kind[k]
    if kind == m.RESPONSE and a.code[k] == m.CHECK_IN:
        place = np.int64(a.ref[k])
    deeds.sub[nd] = a.sub[k]
    deeds.ts_ms[nd] = a.ts_ms[k]
    deeds.day[nd] = day
    deeds.kind[nd] = kind
    deeds.code[nd] = a.code[k]
    deeds.ref[nd] = a.ref[k]
    deeds.units[nd] = charged if kind == m.PURCHASE else a.units[k]
    deeds.place[nd] = place
    return nd + 1


@hot
def see_row(s, p, t, i, sub, a, r, k, hits, n, found, nf, credits, nc, deeds, nd, c):
    """Take in one row of `Activity` with its rating; return the new fills.

    It reads like the list of what the engine learns from a row; a late one moves no place or day.
    """
    kind = a.kind[k]
    ts_ms = a.ts_ms[k]
    c.rows_seen[0] += 1
    if lost(t, sub, ts_ms, kind):
        c.rows_lost[0] += 1
        return n, nf, nc, nd
    now_s = ts_ms // 1000
    quarters = ts_ms // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
    day = quarters // 96
    new_day(s, i, day, c)
    silent = (now_s - np.int64(s.seen_s[i])) // 86_400
    newest = now_s >= s.seen_s[i]
    s.seen_s[i] = max(now_s, np.int64(s.seen_s[i]))
    before_kb = np.int64(s.data_today_kb[i])
    units = a.units[k]
    code = np.int64(a.code[k])
    charged = r.charged_minor[k]
    is_data = (
        kind == m.USAGE and code >= m.DATA_GENERAL and code != m.ROAM_VOICE and code != m.ROAM_SMS
    )
    if is_data and day == s.day[i]:
        s.data_today_kb[i] = min(before_kb + units // 1000, 2_000_000_000)
    slow = is_data and a.ref[k] == 1
    if (kind == m.BLOCKED or slow) and (s.failures[i] == 0 or now_s >= s.failures_s[i]):
        count_trouble(s, i, now_s, np.int64(slow))
    dwelt = 0
    home = False
    if kind <= m.BLOCKED and newest:
        home = s.cell[i] == NO_CELL and a.cell[k] >= 0
        if home:
            s.flags[i] = (s.flags[i] | np.uint8(LANDED)) & ~np.uint8(ROAMED)
        if a.cell[k] >= 0 or kind != m.BLOCKED:
            s.cell[i] = a.cell[k]
        dwelt = locate(t, s, i, np.int64(a.cell[k]), now_s, quarters % 96, c)
    fence = np.int64(s.fence[i])
    fence_kind = np.int64(t.fence_kind[fence]) if fence >= 0 else np.int64(-1)
    row = tr.Row(
        now_s,
        np.int64(kind),
        code,
        np.int64(a.ref[k]),
        units,
        charged,
        r.balance_after_minor[k] + charged,
        r.balance_after_minor[k],
        np.int64(r.result[k]),
        np.int64(r.used_before[k]),
        np.int64(r.used_after[k]),
        silent,
        before_kb,
        np.int64(s.data_today_kb[i]),
        np.int64(s.data_norm_mb[i]),
        fence,
        fence_kind,
        1 if s.flags[i] & LANDED else 0,
        np.int64(s.failures[i]) & TROUBLE_MAX,
        now_s - np.int64(s.failures_s[i]),
        np.int64(r.balance_after_minor[k]),
        np.int64(s.failures[i]) >> SLOW_SHIFT,
        0,
        0,
        0,
        0,
        0,
        0,
    )
    n, nf, nc = heed(
        s, p, t, i, sub, a, r, k, row, day, home, slow, dwelt, hits, n, found, nf, credits, nc, c
    )
    if s.plays[i]:
        nd = note_deed(deeds, nd, a, k, day, charged, fence if dwelt else NO_FENCE)
    return n, nf, nc, nd


@hot
def bare_row(p, s, i, day, ts_ms, kind, code, units, balance_minor):
    """Return a row of something that is no use of the network."""
    balance = np.int64(balance_minor)
    return tr.Row(
        ts_ms // 1000, np.int64(kind), np.int64(code), 0, np.int64(units), 0, balance, balance, 0,
        255, 255, 0, 0, 0, np.int64(s.data_norm_mb[i]), -1, -1, 0, 0, 0, np.int64(units), 0, 0, 0,
        0, 0, np.int64(p.tenure_days[i]) + max(day, 0), np.int64(p.device[i]),
    )  # fmt: skip


def _see_account(s, p, t, i, sub, ev, k, hits, n):
    """Take in one account event: who is alive, who has gone, what will be on a date.

    Returns
    -------
    n : next free hit
    """
    kind = ev.kind[k]
    if kind == m.CHURNED or kind == m.SUSPENDED:
        s.flags[i] &= ~np.uint8(ALIVE)
    elif kind == m.JOINED or kind == m.RESUMED:
        s.flags[i] |= ALIVE
    day = (ev.ts_ms[k] // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter) // 96
    if kind == m.JOINED:
        # Days before a line joined were nobody's days without data: its norm starts here.
        s.day[i] = day
        s.data_today_kb[i] = 0
        s.seen_s[i] = ev.ts_ms[k] // 1000
    row = bare_row(p, s, i, day, ev.ts_ms[k], kind, 0, ev.value[k], ev.balance_after_minor[k])
    return ask_account(row, sub, ev.ts_ms[k], t.options, hits, n)


see_account = kernel(_see_account)


def _scan(
    s, p, t, lo, a, n_rows, r, ev, n_events, hits, n, found, nf, credits, nc, deeds, nd, c
):  # fmt: skip
    """Take in the rows of a slice: activity with its rating, merged with account events.

    Parameters
    ----------
    s : state, mutated
    p : profile
    t : tables, `RtmTables`
    lo : global id of the partition's first line
    a, r, n_rows : `Activity` and `Rated` columns and their rows, sorted by (sub, ts_ms)
    ev, n_events : `AccountEvent` columns and their rows, sorted by sub
    hits, n : rules satisfied and their fill
    found, nf : believed visits and their fill
    credits, nc : money to give and its fill
    deeds, nd : what lines in a quest did and its fill, with room for every row

    Returns
    -------
    n, nf, nc, nd : new fills; -1 in the first where there was no room
    """
    e = 0
    room = hits.sub.shape[0] - 64
    for k in range(n_rows):
        sub = np.int64(a.sub[k])
        i = sub - lo
        while e < n_events and (
            ev.sub[e] < sub or (ev.sub[e] == sub and ev.ts_ms[e] <= a.ts_ms[k])
        ):
            if n > room:
                return -1, nf, nc, nd
            n = see_account(s, p, t, ev.sub[e] - lo, np.int64(ev.sub[e]), ev, e, hits, n)
            e += 1
        if n > room or nf > room or nc > room:
            return -1, nf, nc, nd
        n, nf, nc, nd = see_row(
            s, p, t, i, sub, a, r, k, hits, n, found, nf, credits, nc, deeds, nd, c
        )
    while e < n_events:
        if n > room:
            return -1, nf, nc, nd
        n = see_account(s, p, t, ev.sub[e] - lo, np.int64(ev.sub[e]), ev, e, hits, n)
        e += 1
    return n, nf, nc, nd


def _renamed(function: Any, name: str, names: dict[str, Any]) -> Any:
    """Return a copy of a function that finds other objects under some of its global names."""
    copy = types.FunctionType(function.__code__, {**globals(), **names}, name)
    copy.__module__ = __name__
    copy.__qualname__ = name
    return copy


def make_scan(rules: Sequence[Rule], back: Any) -> Any:
    """Return the scan kernel with the triggers of a run compiled into it, and their ways back."""
    asked = make_all(rules)
    names = {"heed": hot(_renamed(heed.py_func, "heed", {**asked, "ask_back": back}))}
    row = hot(_renamed(see_row.py_func, "see_row", names))
    account = kernel(_renamed(_see_account, "see_account", asked), cache=False)
    return kernel(_renamed(_scan, "scan", {"see_row": row, "see_account": account}))
