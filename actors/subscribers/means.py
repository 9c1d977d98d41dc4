"""What people can and will pay: income, sensitivity to price, the wallet of a month, deals.

It owns how a price enters utility, and the two habits that purchases leave: how much of the wallet
is spent (high bits of `life`) and how far a line has learnt to wait for discounts (high bits of
`trip_slot`).  It must not know needs or messages.
"""

from __future__ import annotations

import numpy as np

from actors.subscribers.state import (
    DEALS_MAX,
    DEALS_SHIFT,
    LIFE_BITS,
    PURSE_MAX,
    PURSE_SHIFT,
    TRIP_BITS,
)
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw, draw_cause, stream

S_PERSON = stream("lasting traits")
S_SPEND = stream("share of the wallet that a purchase takes")
S_FADE = stream("habits of buying fade")
S_WAIT = stream("waits for a discount")
PURSE_STEPS = 8
"""A step of the purse is an eighth of a month's wallet."""


@kernel
def month_spending(p, t, i, activity):
    """Return what a line spends in 30 days, minor units: its fee and typical use beyond it."""
    return max(np.int64(t.month_minor[p.tariff[i], activity]), 1000)


@kernel
def purse(s, i):
    """Return what was bought beyond the usual month in the last one, eighths of the wallet."""
    return np.int64(s.life[i]) >> PURSE_SHIFT


@kernel
def deals(s, i):
    """Return how far a line has learnt to wait for discounts, 0 to `DEALS_MAX`."""
    return np.int64(s.trip_slot[i]) >> DEALS_SHIFT


@kernel
def price_loss_q(s, p, t, seed, i, sub, case):
    """Return the utility that the price of an offer takes away, 1/1024 logit units.

    The price counts over a month's means, as sensitive as the person is; what lies beyond the
    wallet of the month counts more; who waits for discounts minds a list price.
    """
    price = np.int64(t.case_price_minor[case])
    _, sens, income, wallet = draw(seed, S_PERSON, sub, 0, 0)
    spending = month_spending(p, t, i, s.activity[i])
    means = max(spending * np.int64(quantile(t.income_q, income)) // 1024, 1)
    sensitivity = np.int64(t.sensitivity_q[s.activity[i], sens >> np.uint32(22)])
    loss = np.int64(t.price_w_q) * (price * 1024 // means) // 1024 * sensitivity // 1024
    if price > 0 and t.wallet_w_q > 0:
        limit = max(spending * np.int64(quantile(t.wallet_q, wallet)) // 1024, 1)
        spent = spending + purse(s, i) * limit // PURSE_STEPS
        loss += np.int64(t.wallet_w_q) * max(spent + price - limit, 0) // limit
    if price > 0 and not t.case_deal[case]:
        loss += np.int64(t.deal_w_q) * deals(s, i) // DEALS_MAX
    return loss


@kernel
def spend(s, p, t, seed, i, sub, price, at_s):
    """Take a purchase from the wallet of the month: whole eighths, the rest by lot."""
    if t.wallet_w_q == 0 or price <= 0:
        return
    _, _, _, w = draw(seed, S_PERSON, sub, 0, 0)
    spending = month_spending(p, t, i, s.activity[i])
    limit = max(spending * np.int64(quantile(t.wallet_q, w)) // 1024, 1)
    u, _, _, _ = draw_cause(seed, S_SPEND, sub, np.uint32(0), at_s, 0)
    parts = (price * PURSE_STEPS * 65_536 // limit + np.int64(u >> np.uint32(16))) // 65_536
    level = min(purse(s, i) + parts, PURSE_MAX)
    s.life[i] = (s.life[i] & np.uint8(LIFE_BITS)) | np.uint8(level << PURSE_SHIFT)


@kernel
def learn_deal(s, t, seed, i, sub, at_s):
    """Let a purchase at a discount teach a line, perhaps, to wait for the next one."""
    if t.deal_learn == 0:
        return
    a, _, _, _ = draw_cause(seed, S_SPEND, sub, np.uint32(1), at_s, 0)
    if a < t.deal_learn:
        level = min(deals(s, i) + 1, DEALS_MAX)
        s.trip_slot[i] = (s.trip_slot[i] & np.uint8(TRIP_BITS)) | np.uint8(level << DEALS_SHIFT)


@kernel
def waits(s, t, seed, i, sub, kind, born_s):
    """Return whether a line that would buy by itself waits for a discount instead."""
    level = deals(s, i)
    if level == 0:
        return False
    a, _, _, _ = draw_cause(seed, S_WAIT, sub, np.uint32(kind), born_s, 0)
    return np.int64(a) < np.int64(t.deal_wait) * level // DEALS_MAX


@kernel
def fade_habits(s, t, seed, i, sub, epoch):
    """Let a day pass over both habits: each step is forgotten with the chance of its life."""
    spent, learnt = purse(s, i), deals(s, i)
    if spent == 0 and learnt == 0:
        return
    a, b, _, _ = draw(seed, S_FADE, sub, epoch, 0)
    if spent > 0 and np.int64(a) < np.int64(t.purse_day) * spent:
        s.life[i] = (s.life[i] & np.uint8(LIFE_BITS)) | np.uint8((spent - 1) << PURSE_SHIFT)
    if learnt > 0 and np.int64(b) < np.int64(t.deal_day) * learnt:
        kept = np.uint8((learnt - 1) << DEALS_SHIFT)
        s.trip_slot[i] = (s.trip_slot[i] & np.uint8(TRIP_BITS)) | kept
