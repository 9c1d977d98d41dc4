"""Participation in a campaign and its waves: who takes part, and when the next contact is due.

It owns the memory of a line's participation and the moments of further contacts; an acceptance,
a withdrawn consent or a lost line ends the sequence.  It must not know who is asked first.
"""

from __future__ import annotations

import numpy as np

from actors.rtm.state import ALIVE, CONSENT, JOINED_WITHHELD
from sim.core.kernel import kernel
from sim.core.sparse import find, key_of, put
from sim.core.ticks import DAY_MS


@kernel
def next_open(r, campaign, local_ms):
    """Return the first moment from a local one on that lies in the hours of a campaign."""
    day = local_ms // DAY_MS
    at = max(local_ms - day * DAY_MS, r.from_ms[campaign])
    if at >= r.from_ms[campaign] + r.day_ms[campaign]:
        day += 1
        at = r.from_ms[campaign]
    for _ in range(7):
        weekday = np.int64(2) if r.weekday < 0 else (day + r.weekday) % 7
        if (r.weekdays[campaign] >> weekday) & 1:
            break
        day += 1
        at = r.from_ms[campaign]
    return day * DAY_MS + at


@kernel
def plan_wave(r, joined, row, campaign, case, ts_ms, shift_ms):
    """Note when the wave after a use case is due, if there is one."""
    joined.due_s[row] = -1
    then = case + 1
    if then < r.case_after_s.shape[0] and r.case_after_s[then] >= 0:
        local = ts_ms + r.case_after_s[then] * 1000 + shift_ms
        joined.due_s[row] = -((shift_ms - next_open(r, campaign, local)) // 1000)


@kernel
def take_part(p, s, t, r, lo, subs, ts_ms, cases, won):
    """Remember who takes part, and when the next wave is due; the table has room for all of them.

    A wave goes by with its moment, whether policy let it through or not.

    Parameters
    ----------
    subs, ts_ms, cases : (n,) lines, moments and use cases of decisions, in canonical order
    won : (n,) uint8, 0 lost, 1 handed to a channel, 2 withheld by the local holdout
    """
    joined = s.joined
    for k in range(subs.shape[0]):
        case = cases[k]
        campaign = r.case_campaign[case]
        key = key_of(subs[k], r.campaign_id[campaign])
        row = find(joined, key)
        shift_ms = r.shift_ms[r.shift_of[p.region[subs[k] - lo]]]
        if r.case_wave[case] > 0:
            if won[k]:
                joined.times[row] = min(np.int64(joined.times[row]) + 1, 255)
            joined.case[row] = case
            plan_wave(r, joined, row, campaign, case, ts_ms[k], shift_ms)
            continue
        if not won[k]:
            continue
        if row < 0:
            row = put(joined, key)
            joined.times[row] = 0
            joined.state[row] = 0
        joined.day[row] = (ts_ms[k] + shift_ms) // DAY_MS
        joined.times[row] = min(np.int64(joined.times[row]) + 1, 255)
        joined.case[row] = case
        joined.state[row] = 0
        joined.due_s[row] = -1
        if won[k] == 2:
            joined.state[row] = JOINED_WITHHELD
        else:
            plan_wave(r, joined, row, campaign, case, ts_ms[k], shift_ms)


@kernel
def count_due(joined, end_ms):
    """Return how many waves are due before a moment."""
    n = np.int64(0)
    for row in range(joined.key.shape[0]):
        n += joined.key[row] >= 0 and 0 <= joined.due_s[row] * np.int64(1000) < end_ms
    return n


@kernel
def open_waves(s, t, r, lo, start_ms, end_ms, hits, n):
    """Write the hits of the waves that are due in a tick; return the new fill.

    A line that withdrew its consent, or is gone, gets no further wave.

    Parameters
    ----------
    hits, n : `Hit` columns with room for all that `count_due` has counted, and their fill
    """
    joined = s.joined
    for row in range(joined.key.shape[0]):
        due_ms = joined.due_s[row] * np.int64(1000)
        if joined.key[row] < 0 or not 0 <= due_ms < end_ms:
            continue
        i = (joined.key[row] >> np.int64(32)) - lo
        case = np.int64(joined.case[row]) + 1
        if not s.flags[i] & ALIVE or (not t.case_service[case] and not s.flags[i] & CONSENT):
            joined.due_s[row] = -1
            continue
        hits.sub[n] = i + lo
        hits.ts_ms[n] = max(due_ms, start_ms)
        hits.trigger[n] = r.rule
        hits.value[n] = case - r.first_case
        hits.levers[n] = 0
        n += 1
    return n
