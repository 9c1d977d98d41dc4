"""What people do about what their account told them: plan a top-up, want something, be cut off.

It owns which notice may wake which need, and when a top-up follows one.  It must not know the
messages of the engine.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.state import LIFE_HERE, LIFE_MASK, NEVER_S
from actors.subscribers.wants import (
    BY_ALLOWANCE_80,
    BY_ALLOWANCE_100,
    BY_ALLOWANCE_ENDS,
    BY_BILL,
    BY_CONTRACT_ENDS,
    BY_FEE_SHORT,
    BY_MONEY_LOW,
    wake,
)
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream

S_DELAY = stream("delay of a top-up")


def _notice_causes() -> np.ndarray:
    """Return (n_account_kinds, 2) int64, what a notice of each kind may wake; -1 nothing."""
    out = np.full((len(m.ACCOUNT_KINDS), 2), -1, np.int64)
    for kind in (m.LOW_BALANCE, m.ZERO_BALANCE, m.FEE_FAILED):
        out[kind, 0] = BY_MONEY_LOW
    for kind in (m.ZERO_BALANCE, m.FEE_FAILED, m.ALLOWANCE_100):
        out[kind, 1] = BY_BILL
    out[m.SUSPENDED, 0] = BY_BILL
    out[m.ALLOWANCE_80, 0] = BY_ALLOWANCE_80
    out[m.ALLOWANCE_100, 0] = BY_ALLOWANCE_100
    out[m.ALLOWANCE_ENDS, 0] = BY_ALLOWANCE_ENDS
    out[m.FEE_SHORT, 0] = BY_FEE_SHORT
    out[m.CONTRACT_ENDS, 0] = BY_CONTRACT_ENDS
    return out


NOTICE_CAUSES = _notice_causes()


@kernel
def heed_account(s, p, t, seed, lo, a, n, c):
    """Let people react to what their account told them (one tick ago).

    A low balance plans a top-up; what the account says may wake a need; a lost line is cut off.

    Parameters
    ----------
    a : `AccountEvent` columns, n rows of this partition, sorted by (sub, ts_ms)
    """
    for row in range(n):
        sub = np.int64(a.sub[row])
        i = sub - lo
        kind = a.kind[row]
        now_s = a.ts_ms[row] // 1000
        if s.life[i] & LIFE_MASK != LIFE_HERE:
            continue
        if kind == m.LOW_BALANCE or kind == m.ZERO_BALANCE or kind == m.FEE_FAILED:
            plan_recharge(s, t, seed, i, sub, kind, now_s)
        elif kind == m.CHURNED:
            s.life[i] = (s.life[i] & ~np.uint8(LIFE_MASK)) | np.uint8(3)
        for k in range(2):
            cause = NOTICE_CAUSES[kind, k]
            if cause >= 0:
                wake(s, t, seed, i, sub, cause, now_s, c)


@kernel
def plan_recharge(s, t, seed, i, sub, kind, now_s):
    """Plan a top-up after a notice, unless one is planned already."""
    if s.recharge_s[i] != NEVER_S:
        return
    a, _, _, _ = draw_cause(seed, S_DELAY, sub, np.uint32(kind), now_s, 0)
    delay = np.int64(quantile(t.recharge_delay_s, a))
    if kind != m.LOW_BALANCE:
        delay = delay // 3
    s.recharge_s[i] = now_s + 60 + delay
    if s.recharge_s[i] < s.due_s[i]:
        s.due_s[i] = s.recharge_s[i]
