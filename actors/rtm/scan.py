"""The engine's eyes: one compiled loop over the rows it is shown, in time order.

It owns the live profile, believed geofence visits, quest progress and the calls to the triggers.
It must not decide anything, and knows of people only what rows say.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm import triggers as tr
from actors.rtm.dispatch import make_dispatch
from actors.rtm.outcomes import take_answer, take_purchase
from actors.rtm.quests import advance_quest
from actors.rtm.state import ALIVE, DWELT, LANDED, Q_JOINED
from sim.core.kernel import hot, kernel
from sim.core.rng import mix64, stream

S_LOSS = stream("a row is lost in capture")

NO_FENCE = -1


dispatch = make_dispatch(())
"""The dispatcher of no rules; `make_scan` puts that of a run in its place."""


@hot
def lost(t, sub, ts_ms, kind):
    """Return whether a row never reaches the engine: a keyed choice, the same in every run."""
    if t.loss == 0:
        return False
    key = mix64(t.seed ^ np.uint64(ts_ms) ^ (np.uint64(sub) << np.uint64(29)) ^ np.uint64(kind))
    return np.uint32(key >> np.uint64(32)) < t.loss


@hot
def new_day(s, i, day, c):
    """Close the sums of the last day: the norm moves by an eighth of the difference."""
    if s.day[i] == day:
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
def locate(t, s, i, cell, abroad, now_s, quarter, c):
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
        s.flags[i] &= ~np.uint8(DWELT | LANDED)
        if abroad:
            s.flags[i] |= LANDED
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
def see_row(s, p, t, i, sub, a, r, k, hits, n, found, nf, credits, nc, c):
    """Take in one row of `Activity` with its rating; return the new fills (hits, found, credits).

    The function reads like the list of what the engine learns from a row.
    """
    kind = a.kind[k]
    ts_ms = a.ts_ms[k]
    c.rows_seen[0] += 1
    if lost(t, sub, ts_ms, kind) and kind <= m.BLOCKED:
        c.rows_lost[0] += 1
        return n, nf, nc
    now_s = ts_ms // 1000
    quarters = ts_ms // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
    day = quarters // 96
    new_day(s, i, day, c)
    silent = (now_s - np.int64(s.seen_s[i])) // 86_400
    s.seen_s[i] = now_s
    before_kb = np.int64(s.data_today_kb[i])
    units = a.units[k]
    code = np.int64(a.code[k])
    charged = r.charged_minor[k]
    is_data = (
        kind == m.USAGE and code >= m.DATA_GENERAL and code != m.ROAM_VOICE and code != m.ROAM_SMS
    )
    if is_data:
        s.data_today_kb[i] = min(before_kb + units // 1000, 2_000_000_000)
    if kind == m.BLOCKED:
        if now_s - np.int64(s.failures_s[i]) > 3600 or s.failures[i] == 0:
            s.failures[i] = 0
            s.failures_s[i] = now_s
        s.failures[i] = min(np.int64(s.failures[i]) + 1, 255)
    dwelt = 0
    if kind <= m.BLOCKED:
        abroad = s.cell[i] < 0
        s.cell[i] = a.cell[k]
        dwelt = locate(t, s, i, np.int64(a.cell[k]), abroad, now_s, quarters % 96, c)
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
        np.int64(s.failures[i]),
        now_s - np.int64(s.failures_s[i]),
        fence if dwelt else np.int64(r.balance_after_minor[k]),
    )
    if silent >= 1:
        n = dispatch(tr.FIRST, row, sub, ts_ms, t.options, hits, n)
    if dwelt:
        found.sub[nf] = sub
        found.ts_ms[nf] = ts_ms
        found.fence[nf] = fence
        found.satisfied_ms[nf] = ts_ms
        nf += 1
        n = dispatch(tr.DWELL, row, sub, ts_ms, t.options, hits, n)
        nc = advance_quest(t, s, i, sub, ts_ms, fence, 0, credits, nc, c)
    if kind == m.USAGE:
        if charged > 0:
            s.margin_minor[i] += charged * t.group_net_q[code] // 1024
        n = dispatch(tr.USAGE, row, sub, ts_ms, t.options, hits, n)
        if is_data and s.quest[i] & 3 == Q_JOINED:
            nc = advance_quest(t, s, i, sub, ts_ms, -1, units // 1_000_000, credits, nc, c)
    elif kind == m.BLOCKED:
        n = dispatch(tr.FAILURE, row, sub, ts_ms, t.options, hits, n)
    elif kind == m.VISIT:
        n = dispatch(tr.VISIT, row, sub, ts_ms, t.options, hits, n)
    elif kind == m.RECHARGE_START:
        n = dispatch(tr.RECHARGE, row, sub, ts_ms, t.options, hits, n)
    elif kind == m.PURCHASE:
        take_purchase(t, s, i, day, code, np.int64(a.ref[k]), charged)
    elif kind == m.RESPONSE:
        nc = take_answer(t, s, i, sub, ts_ms, day, code, np.int64(a.ref[k]), credits, nc)
    return n, nf, nc


@kernel
def see_account(s, p, t, i, ev, k):
    """Take in one account event: who is alive, and who has gone."""
    kind = ev.kind[k]
    if kind == m.CHURNED or kind == m.SUSPENDED:
        s.flags[i] &= ~np.uint8(ALIVE)
    elif kind == m.JOINED or kind == m.RESUMED:
        s.flags[i] |= ALIVE
    if kind == m.JOINED:
        # Days before a line joined were nobody's days without data: its norm starts here.
        quarters = ev.ts_ms[k] // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
        s.day[i] = quarters // 96
        s.data_today_kb[i] = 0
        s.seen_s[i] = ev.ts_ms[k] // 1000


def _scan(s, p, t, lo, a, n_rows, r, ev, n_events, hits, n, found, nf, credits, nc, c):
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

    Returns
    -------
    n, nf, nc : new fills; -1 in the first where there was no room
    """
    e = 0
    room = hits.sub.shape[0] - 64
    for k in range(n_rows):
        sub = np.int64(a.sub[k])
        i = sub - lo
        while e < n_events and (
            ev.sub[e] < sub or (ev.sub[e] == sub and ev.ts_ms[e] <= a.ts_ms[k])
        ):
            see_account(s, p, t, np.int64(ev.sub[e]) - lo, ev, e)
            e += 1
        if n > room or nf > room or nc > room:
            return -1, nf, nc
        n, nf, nc = see_row(s, p, t, i, sub, a, r, k, hits, n, found, nf, credits, nc, c)
    while e < n_events:
        see_account(s, p, t, np.int64(ev.sub[e]) - lo, ev, e)
        e += 1
    return n, nf, nc


def make_scan(dispatcher: Any) -> Any:
    """Return the scan kernel with the triggers of a run compiled into it."""
    row = types.FunctionType(
        see_row.py_func.__code__,
        {**see_row.py_func.__globals__, "dispatch": dispatcher},
        "see_row",
    )
    row.__module__ = __name__
    whole = types.FunctionType(_scan.__code__, {**globals(), "see_row": hot(row)}, "scan")
    whole.__module__ = __name__
    whole.__qualname__ = "scan"
    return kernel(whole)
