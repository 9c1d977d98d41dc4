"""What happens to an account besides use: periods, fees, recharges, products, credits, endings.

It owns every movement of money and allowance that is not a charge for use.  Each movement is
counted on both of its sides, so that the auditor can balance the books.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.billing.state import FEE_DUE, NEVER_S, TOLD_80, TOLD_100, TOLD_LOW, TOLD_ZERO
from sim.core.kernel import hot, kernel


@kernel
def note(s, ev, ne, i, sub, ts_ms, kind, value, c):
    """Write one `AccountEvent` row and return the next free row."""
    ev.sub[ne] = sub
    ev.ts_ms[ne] = ts_ms
    ev.kind[ne] = kind
    ev.value[ne] = value
    ev.balance_after_minor[ne] = s.balance_minor[i]
    c.account_events[kind] += 1
    return ne + 1


@kernel
def set_life(s, i, life, c):
    """Move a line to a state of life."""
    s.life[i] = life
    c.lifecycle[life] += 1


@kernel
def drop_plan(s, i, c):
    """Let what is left of the plan's allowances expire."""
    c.bucket_out_expired[0] += np.int64(s.data_left_kb[i]) * 1000
    c.bucket_out_expired[2] += np.int64(s.voice_left_s[i])
    c.bucket_out_expired[3] += np.int64(s.sms_left[i])
    s.data_left_kb[i] = 0
    s.voice_left_s[i] = 0
    s.sms_left[i] = 0


@kernel
def grant_plan(s, t, i, tariff, c):
    """Replace the plan's allowances by full ones."""
    drop_plan(s, i, c)
    s.data_left_kb[i] = t.plan_kb[tariff]
    s.voice_left_s[i] = t.plan_voice_s[tariff]
    s.sms_left[i] = t.plan_sms[tariff]
    c.bucket_in[0] += t.plan_kb[tariff] * 1000
    c.bucket_in[2] += t.plan_voice_s[tariff]
    c.bucket_in[3] += t.plan_sms[tariff]
    s.marks[i] &= ~np.uint8(TOLD_80 | TOLD_100)


@kernel
def pay_fee(s, t, i, sub, tariff, at_s, ev, ne, c):
    """Take the fee where the money allows it, begin the period, and return the next event row."""
    fee = t.fee_minor[tariff]
    floor = fee if t.prepaid[tariff] else np.int64(fee - t.credit_limit_minor[tariff])
    if s.balance_minor[i] < floor:
        if not s.marks[i] & FEE_DUE:
            s.marks[i] |= FEE_DUE
            drop_plan(s, i, c)
            ne = note(s, ev, ne, i, sub, at_s * 1000, m.FEE_FAILED, fee, c)
        return ne
    s.balance_minor[i] -= fee
    c.main_out_fee_minor[0] += fee
    grant_plan(s, t, i, tariff, c)
    late = s.marks[i] & FEE_DUE
    s.marks[i] &= ~np.uint8(FEE_DUE)
    begin = at_s if late else np.int64(s.cycle_s[i])
    s.cycle_s[i] = begin + t.period_s[tariff]
    if s.life[i] == m.SUSPENDED_LINE:
        set_life(s, i, m.ACTIVE, c)
        ne = note(s, ev, ne, i, sub, at_s * 1000, m.RESUMED, 0, c)
    return note(s, ev, ne, i, sub, at_s * 1000, m.FEE_PAID, fee, c)


@kernel
def new_period(s, t, i, sub, tariff, until_s, ev, ne, c):
    """End every period that ends by `until_s`; return the next event row."""
    while s.cycle_s[i] <= until_s and s.life[i] != m.RESERVED and s.life[i] != m.CHURNED_LINE:
        at_s = np.int64(s.cycle_s[i])
        if s.marks[i] & FEE_DUE:
            if s.life[i] == m.ACTIVE and until_s >= at_s + t.grace_s:
                set_life(s, i, m.SUSPENDED_LINE, c)
                ne = note(s, ev, ne, i, sub, until_s * 1000, m.SUSPENDED, 0, c)
            break
        if not t.prepaid[tariff] and s.balance_minor[i] < 0:
            # The bill of the period that ends is paid by direct debit.
            c.main_bill_paid_minor[0] -= s.balance_minor[i]
            s.balance_minor[i] = 0
        ne = pay_fee(s, t, i, sub, tariff, at_s, ev, ne, c)
    return ne


@kernel
def expire(s, t, i, sub, tariff, day, until_s, ev, ne, c):
    """Let bought data and bonus money run out on time; return the next event row."""
    if s.pack_s[i] <= until_s:
        left = np.int64(s.pack_left_kb[i])
        if left > 0:
            c.bucket_out_expired[1] += left * 1000
            s.pack_left_kb[i] = 0
            ne = note(s, ev, ne, i, sub, np.int64(s.pack_s[i]) * 1000, m.PACK_EXPIRED, left, c)
        s.pack_s[i] = NEVER_S
    if s.bonus_day[i] < day:
        left = np.int64(s.bonus_minor[i])
        if left > 0:
            c.bonus_out_expired_minor[0] += left
            s.bonus_minor[i] = 0
            ne = note(s, ev, ne, i, sub, until_s * 1000, m.BONUS_EXPIRED, left, c)
        s.bonus_day[i] = 32_000
    return ne


@kernel
def recharge(s, t, i, sub, tariff, ts_ms, amount, ev, ne, c):
    """Put money in, pay back a trust payment, and pay a fee that is due; return the next row."""
    s.balance_minor[i] += amount
    c.main_in_recharge_minor[0] += amount
    c.recharges[0] += 1
    owed = min(np.int64(s.debt_minor[i]), s.balance_minor[i])
    if owed > 0:
        s.debt_minor[i] -= owed
        s.balance_minor[i] -= owed
        c.main_out_repaid_minor[0] += owed
        c.debt_out_minor[0] += owed
    if s.balance_minor[i] >= t.low_minor:
        s.marks[i] &= ~np.uint8(TOLD_LOW | TOLD_ZERO)
    if s.marks[i] & FEE_DUE:
        ne = pay_fee(s, t, i, sub, tariff, ts_ms // 1000, ev, ne, c)
    return ne


@kernel
def give_pack(s, i, sub, ts_ms, kb, valid_s, ev, ne, c):
    """Add bought data; its life is that of the newest pack."""
    if kb > 0:
        s.pack_left_kb[i] += kb
        s.pack_s[i] = ts_ms // 1000 + valid_s
        c.bucket_in[1] += kb * 1000
        ne = note(s, ev, ne, i, sub, ts_ms, m.PACK_BOUGHT, kb, c)
    return ne


@kernel
def buy(s, t, i, sub, tariff, ts_ms, code, ref, price, ev, ne, c):
    """Sell a product; return (revenue of ours in minor units, next event row); -1: refused.

    A coupon is paid at the partner's till: ours is the commission, and no money of the line moves.
    """
    if s.life[i] != m.ACTIVE:
        c.purchases_failed[0] += 1
        return np.int64(-1), note(s, ev, ne, i, sub, ts_ms, m.PURCHASE_FAILED, price, c)
    if code == m.OFFERED and t.case_external[ref]:
        ours = price * t.case_share_q[ref] // 1024
        c.purchases[ref] += 1
        c.purchase_minor[ref] += ours
        return ours, ne
    floor = np.int64(0) if t.prepaid[tariff] else -np.int64(t.credit_limit_minor[tariff])
    if s.balance_minor[i] - price < floor:
        c.purchases_failed[0] += 1
        return np.int64(-1), note(s, ev, ne, i, sub, ts_ms, m.PURCHASE_FAILED, price, c)
    s.balance_minor[i] -= price
    c.main_out_purchase_minor[0] += price
    if code == m.OFFERED:
        c.purchases[ref] += 1
        c.purchase_minor[ref] += price
        ne = give_pack(s, i, sub, ts_ms, t.case_kb[ref], t.case_valid_s[ref], ev, ne, c)
    else:
        c.purchases_organic[0] += 1
        c.organic_minor[0] += price
        ne = give_pack(s, i, sub, ts_ms, t.organic_kb[ref], t.organic_valid_s[ref], ev, ne, c)
    return price, ne


@kernel
def start_line(s, t, i, sub, tariff, ts_ms, ev, ne, c):
    """Activate a line that was reserved; its first fee is in the price of the SIM."""
    set_life(s, i, m.ACTIVE, c)
    s.cycle_s[i] = NEVER_S if t.period_s[tariff] == 0 else ts_ms // 1000 + t.period_s[tariff]
    grant_plan(s, t, i, tariff, c)
    return note(s, ev, ne, i, sub, ts_ms, m.JOINED, 0, c)


@kernel
def credit_all(s, p, t, lo, d, n, day, ev, c):
    """Apply rewards, gifts, trust payments and cancellations, in canonical order.

    Parameters
    ----------
    d : `Credit` columns, n rows of this partition
    ev : `AccountEvent` columns with room for n rows, written

    Returns
    -------
    ne : rows written
    """
    ne = 0
    for k in range(n):
        sub = np.int64(d.sub[k])
        i = sub - lo
        amount = d.amount_minor[k]
        kind = d.kind[k]
        if s.life[i] != m.ACTIVE and s.life[i] != m.SUSPENDED_LINE:
            continue
        if kind == m.CANCEL:
            back = min(np.int64(s.bonus_minor[i]), amount)
            s.bonus_minor[i] -= back
            c.bonus_out_cancelled_minor[0] += back
            if d.quest[k] >= 0:
                c.quest_cancelled_minor[d.quest[k]] += back
            ne = note(s, ev, ne, i, sub, d.ts_ms[k], m.CREDIT_CANCELLED, back, c)
        elif kind == m.TRUST_CREDIT:
            if s.debt_minor[i] > 0:
                continue
            fee = amount * t.credit_fee_q // 1024
            s.balance_minor[i] += amount - fee
            s.debt_minor[i] += amount
            c.main_in_credit_minor[0] += amount
            c.main_out_credit_fee_minor[0] += fee
            c.debt_in_minor[0] += amount
            ne = note(s, ev, ne, i, sub, d.ts_ms[k], m.CREDITED, amount, c)
        else:
            s.bonus_minor[i] += amount
            s.bonus_day[i] = day + t.bonus_days
            c.bonus_in_minor[0] += amount
            if d.use_case[k] >= 0:
                c.reward_minor[d.use_case[k]] += amount
            elif d.quest[k] >= 0:
                c.quest_reward_minor[d.quest[k]] += amount
            else:
                c.points_reward_minor[0] += amount
            ne = note(s, ev, ne, i, sub, d.ts_ms[k], m.CREDITED, amount, c)
    return ne


@kernel
def end_silent(s, t, lo, day, now_ms, first, last, ev, c):
    """Recognise lines that were silent for too long as churned; return event rows written."""
    ne = 0
    for i in range(first, last):
        gone = day - np.int64(s.active_day[i]) > t.inactive_days
        if gone and (s.life[i] == m.ACTIVE or s.life[i] == m.SUSPENDED_LINE):
            set_life(s, i, m.CHURNED_LINE, c)
            drop_plan(s, i, c)
            ne = note(s, ev, ne, i, lo + i, now_ms, m.CHURNED, 0, c)
    return ne


STOCK = (
    "main_minor", "bonus_minor", "debt_minor", "bucket_data", "bucket_pack", "bucket_voice",
    "bucket_sms", "accounts_reserved", "accounts_active", "accounts_suspended",
    "accounts_churned",
)  # fmt: skip
"""What `count_stock` returns: minor units, bytes, s, pieces and lines."""


@hot
def total(column):
    """Return the sum of a column as int64."""
    out = np.int64(0)
    for i in range(column.shape[0]):
        out += column[i]
    return out


@kernel
def count_stock(s):
    """Return the stocks named by `STOCK`; a loop for each column, which the compiler widens."""
    reserved = active = suspended = churned = np.int64(0)
    for i in range(s.life.shape[0]):
        reserved += s.life[i] == m.RESERVED
        active += s.life[i] == m.ACTIVE
        suspended += s.life[i] == m.SUSPENDED_LINE
        churned += s.life[i] == m.CHURNED_LINE
    return (
        total(s.balance_minor), total(s.bonus_minor), total(s.debt_minor),
        total(s.data_left_kb) * 1000, total(s.pack_left_kb) * 1000, total(s.voice_left_s),
        total(s.sms_left), reserved, active, suspended, churned,
    )  # fmt: skip
