"""Experiments: the sticky holdout of an offer, the horizon of each winner, the universal control.

It owns who is withheld, the pool of running horizons, their settlement, and the final count of the
universal control and of lots.  It must not know why a candidate won.
"""

from __future__ import annotations

import numpy as np

from actors.rtm.lots import lot_of
from actors.rtm.state import CONTROL
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream

S_HOLDOUT = stream("local holdout of a use case")


@kernel
def held_out(t, sub, case):
    """Return whether a winner is withheld: sticky by (line, use case)."""
    a, _, _, _ = draw_cause(t.seed, S_HOLDOUT, sub, t.case_id[case], 0, 0)
    return a < t.case_holdout[case]


@kernel
def switched_off(t, sub, case):
    """Return whether a proof has switched this line's use case off."""
    for k in range(t.off_sub.shape[0]):
        if t.off_sub[k] == sub and t.off_case[k] == case:
            return True
    return False


@kernel
def open_experiment(s, t, i, sub, case, arm, ts_ms, ex, n, c):
    """Begin the horizon of a winner and return the new fill of the pool."""
    ex.sub[n] = sub
    ex.use_case[n] = case
    ex.arm[n] = arm
    ex.bought[n] = 0
    ex.margin_minor[n] = s.margin_minor[i]
    ex.end_ms[n] = ts_ms + t.horizon_ms
    c.exp_opened[case, arm] += 1
    return n + 1


@kernel
def mark_purchases(s, t, lo, ex, n_ex):
    """Mark the open horizons of lines that bought for a need in this tick."""
    for k in range(n_ex):
        i = ex.sub[k] - lo
        if (s.bought[i] >> t.case_need[ex.use_case[k]]) & 1:
            ex.bought[k] = 1


@kernel
def close_experiments(p, s, t, lo, ex, n_ex, now_ms, ends, c):
    """Settle the horizons that have ended and return the new fill of the pool.

    Parameters
    ----------
    ends : (3, 2, n_cases, n_segments) int64: winners, margin and scaled squares by arm; added to
        where the engine learns
    """
    kept = 0
    for k in range(n_ex):
        if ex.end_ms[k] <= now_ms:
            i = ex.sub[k] - lo
            y = np.int64(s.margin_minor[i]) - np.int64(ex.margin_minor[k])
            case = ex.use_case[k]
            arm = ex.arm[k]
            c.exp_n[case, arm] += 1
            c.exp_y_minor[case, arm] += y
            c.exp_y2[case, arm] += (y // 16) * (y // 16)
            c.exp_bought[case, arm] += ex.bought[k]
            if t.belief.learns:
                segment = p.segment[i]
                ends[0, arm, case, segment] += 1
                ends[1, arm, case, segment] += y
                ends[2, arm, case, segment] += (y // 16) * (y // 16)
        else:
            ex.sub[kept] = ex.sub[k]
            ex.use_case[kept] = ex.use_case[k]
            ex.arm[kept] = ex.arm[k]
            ex.bought[kept] = ex.bought[k]
            ex.margin_minor[kept] = ex.margin_minor[k]
            ex.end_ms[kept] = ex.end_ms[k]
            kept += 1
    return kept


@kernel
def count_arms(s, t, lo, c):
    """Count the margin of all lines by universal control and by lot, once the run ends."""
    n_lots = t.lots.shape[0]
    for i in range(s.flags.shape[0]):
        arm = 1 if s.flags[i] & CONTROL else 0
        y = np.int64(s.margin_minor[i])
        lot = lot_of(t.seed, lo + i, n_lots) if n_lots else np.int64(0)
        c.lot_n[lot] += 1
        c.lot_y_minor[lot] += y
        c.lot_y2[lot] += (y // 16) * (y // 16)
        c.joint_n[arm] += 1
        c.joint_y_minor[arm] += y
        c.joint_y2[arm] += (y // 16) * (y // 16)
