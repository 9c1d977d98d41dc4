"""Needs: how they are born, fade, and are served without any contact.

It owns the need slots of a line, what wakes a need, and the draws that say what would have
happened.  It must not know offers or the engine.
"""

from __future__ import annotations

import numpy as np

from actors.subscribers.params import CAUSES
from actors.subscribers.state import LONG_AGO_S, N_NEED_SLOTS, NEVER_S
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream

S_ORGANIC = stream("a need served by own doing")
S_WAKE = stream("a cause wakes a need")
(
    BY_ALLOWANCE_80, BY_ALLOWANCE_100, BY_ALLOWANCE_ENDS, BY_MONEY_LOW, BY_FEE_SHORT, BY_TOPUP,
    BY_BILL, BY_CONTRACT_ENDS, BY_MALL, BY_OWN_SHOP, BY_CART, BY_RIVAL, BY_CATEGORY, BY_LANDED,
    BY_ABROAD, BY_ELSEWHERE, BY_SLOW, BY_REFUSED, BY_RETURN,
) = range(len(CAUSES))  # fmt: skip
"""Rows of `CAUSES`, in its order."""
FREE = 255
LIFETIMES = 5
"""A need is forgotten after so many time constants."""


@kernel
def decay_q(t, age_s, tau_s):
    """Return exp(-age/tau) in 1/1024, from a table; 0 for a negative age or beyond the table."""
    if age_s < 0:
        return np.int64(0)
    k = age_s * 128 // tau_s
    return np.int64(0) if k >= t.decay.shape[0] else np.int64(t.decay[k])


@kernel
def organic_s(t, seed, sub, kind, born_s):
    """Return the moment, s, at which a person serves a need alone, or `NEVER_S`."""
    a, b, _, _ = draw_cause(seed, S_ORGANIC, sub, np.uint32(kind), born_s, 0)
    if a >= t.organic_share[kind]:
        return np.int64(NEVER_S)
    return np.int64(born_s) + 1 + np.int64(quantile(t.organic_delay_s[kind], b))


@kernel
def find_need(s, t, i, kind, now_s):
    """Return the slot of a need that is alive at a moment, or -1."""
    for k in range(N_NEED_SLOTS):
        if s.need_kind[i, k] == kind:
            age = now_s - np.int64(s.need_born_s[i, k])
            if 0 <= age < LIFETIMES * t.need_tau_s[kind]:
                return k
    return -1


@kernel
def bear_need(s, t, seed, i, sub, kind, born_s, c):
    """Let a need come alive, unless one of its kind is; a full line forgets its oldest.

    The moment of the organic purchase becomes a planned moment of the line.
    """
    if find_need(s, t, i, kind, born_s) >= 0:
        return
    slot = 0
    oldest = np.int64(NEVER_S)
    for k in range(N_NEED_SLOTS):
        born = np.int64(s.need_born_s[i, k])
        taken = s.need_kind[i, k]
        dead = taken == FREE or born_s - born >= LIFETIMES * t.need_tau_s[taken] or taken == kind
        if dead:
            born = np.int64(LONG_AGO_S)
        if born < oldest:
            oldest = born
            slot = k
    s.need_kind[i, slot] = kind
    s.need_born_s[i, slot] = born_s
    c.needs_born[kind] += 1
    at = organic_s(t, seed, sub, kind, born_s)
    if at < s.due_s[i]:
        s.due_s[i] = at


@kernel
def wake(s, t, seed, i, sub, cause, at_s, c):
    """Let a cause wake its need, or not, at a moment."""
    if t.cause_wakes[cause] == 0:
        return
    a, _, _, _ = draw_cause(seed, S_WAKE, sub, t.cause_id[cause], at_s, 0)
    if a < t.cause_wakes[cause]:
        bear_need(s, t, seed, i, sub, t.cause_need[cause], at_s, c)


@kernel
def meet_need(s, i, kind):
    """Free the slot of a need that was served."""
    for k in range(N_NEED_SLOTS):
        if s.need_kind[i, k] == kind:
            s.need_kind[i, k] = FREE
            s.need_born_s[i, k] = LONG_AGO_S


@kernel
def next_organic(s, t, seed, i, sub, after_s):
    """Return the earliest organic purchase of a line at or after a moment, or `NEVER_S`."""
    best = np.int64(NEVER_S)
    for k in range(N_NEED_SLOTS):
        kind = s.need_kind[i, k]
        if kind != FREE:
            at = organic_s(t, seed, sub, kind, s.need_born_s[i, k])
            if after_s <= at < best:
                best = at
    return best


@kernel
def judge_hits(s, t, lo, d, n, c):
    """Compare hits of the engine with the needs that they should stand for, and forget them.

    Parameters
    ----------
    d : `Triggered` columns, n rows of this partition
    """
    for k in range(n):
        i = d.sub[k] - lo
        rule = d.trigger[k]
        ts_s = d.ts_ms[k] // 1000
        c.rule_scored[rule] += 1
        slot = find_need(s, t, i, d.need[k], ts_s)
        if slot >= 0:
            c.rule_needed[rule] += 1
            c.rule_need_s[rule] += ts_s - np.int64(s.need_born_s[i, slot])
