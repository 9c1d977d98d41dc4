"""The direct truth of a message: what is bought and earned in both worlds (truth.md section 3).

It owns `y1` and `y0` and their sums.  It must not know how an answer comes about.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from sim.core.kernel import kernel


@kernel
def promised(t, ex, n_old, n_ex, sub, kind, born_s):
    """Return the earliest answer, among those to come, that serves a need already; -1 none.

    Parameters
    ----------
    ex, n_old, n_ex : pool of answers: sorted by line up to `n_old`, then those of this tick, of
        which those of the line stand at the end
    """
    low, high = 0, n_old
    while low < high:
        mid = (low + high) // 2
        if ex.sub[mid] < sub:
            low = mid + 1
        else:
            high = mid
    best = -1
    while low < n_old and ex.sub[low] == sub:
        best = _earlier(t, ex, low, best, kind, born_s)
        low += 1
    k = n_ex - 1
    while k >= n_old and ex.sub[k] == sub:
        best = _earlier(t, ex, k, best, kind, born_s)
        k -= 1
    return best


@kernel
def _earlier(t, ex, k, best, kind, born_s):
    """Return the earlier of two answers, of which the first counts only if it serves the need."""
    serves = (
        ex.action[k] == m.ACCEPT
        and t.case_need[ex.use_case[k]] == kind
        and ex.need_born_s[k] == born_s
    )
    if serves and (best < 0 or ex.ts_ms[k] < ex.ts_ms[best]):
        return k
    return best


@kernel
def margins(t, case, channel, status, sent_ms, accepts, t0_ms, own_minor, t1_ms):
    """Return what is bought and earned by the horizon, with the message and without it.

    Parameters
    ----------
    t0_ms : moment of the purchase without the message, or -1
    own_minor : its margin
    t1_ms : moment of the answer

    Returns
    -------
    bought1, bought0, y1, y0
    """
    end_ms = sent_ms + t.horizon_ms
    y0 = np.int64(0)
    bought0 = t0_ms >= 0 and t0_ms < end_ms
    if bought0:
        y0 = np.int64(own_minor)
    y1 = y0
    bought1 = bought0
    if accepts:
        bought1 = t1_ms < end_ms
        y1 = np.int64(t.case_margin_minor[case]) if bought1 else np.int64(0)
    if status <= m.FAILED:
        y1 -= np.int64(t.channel_cost_minor[channel])
    return bought1, bought0, y1, y0


@kernel
def tell_truth(t, case, channel, status, sent_ms, accepts, t0_ms, own_minor, t1_ms, truth, r, c):
    """Settle both worlds of one message: what was bought by the horizon, and the margin of each."""
    bought1, bought0, y1, y0 = margins(
        t, case, channel, status, sent_ms, accepts, t0_ms, own_minor, t1_ms
    )
    c.truth_n[case] += 1
    c.truth_told[case] += status == m.DELIVERED
    c.truth_yes[case] += accepts
    if accepts and bought0:
        c.truth_anyway[case] += 1
        c.truth_anyway_minor[case] += y1 - y0
    c.truth_y1_minor[case] += y1
    c.truth_y0_minor[case] += y0
    c.truth_bought1[case] += bought1
    c.truth_bought0[case] += bought0
    truth.ts_ms[r] = sent_ms
    truth.use_case[r] = case
    truth.channel[r] = channel
    truth.status[r] = status
    truth.accepts[r] = accepts
    truth.t1_ms[r] = t1_ms if accepts else -1
    truth.t0_ms[r] = t0_ms
    truth.y1_minor[r] = y1
    truth.y0_minor[r] = y0
