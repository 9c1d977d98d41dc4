"""Outcomes: what became of messages, answers and purchases, as the engine sees it.

It owns the booking of cost, gifts, answers and ownership in the live profile.  It must not decide.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.beliefs import mark_taken
from actors.rtm.history import mark_answered
from actors.rtm.state import CONSENT, JOINED_ACCEPTED
from actors.rtm.things import note_thing
from sim.core.kernel import kernel
from sim.core.sparse import find, key_of, put


@kernel
def add_credit(credits, n, sub, ts_ms, case, kind, amount):
    """Write one `Credit` row and return the next free row."""
    credits.sub[n] = sub
    credits.ts_ms[n] = ts_ms
    credits.use_case[n] = case
    credits.quest[n] = -1
    credits.kind[n] = kind
    credits.amount_minor[n] = amount
    return n + 1


@kernel
def count_taken(t, s, sub, case, day):
    """Count an acceptance of a use case whose repeats are limited; its window begins with one."""
    key = key_of(sub, t.case_id[case])
    row = find(s.taken, key)
    if row < 0 or day - np.int64(s.taken.day[row]) >= t.contact.case_repeat_days[case]:
        row = put(s.taken, key)
        s.taken.times[row] = 0
        s.taken.day[row] = day
    s.taken.times[row] = min(np.int64(s.taken.times[row]) + 1, 65_535)


@kernel
def note_acceptance(t, s, sub, campaign):
    """Remember that a line has accepted what a campaign offered."""
    row = find(s.joined, key_of(sub, t.campaign.campaign_id[campaign]))
    if row >= 0:
        s.joined.state[row] |= np.uint8(JOINED_ACCEPTED)
        s.joined.due_s[row] = -1


@kernel
def note_reply(t, s, sub, case, answer, ts_ms):
    """Plan what an answer leads to, where its question was the last contact of the campaign."""
    if not 0 <= answer < t.campaign.case_answers[case]:
        return
    row = find(s.joined, key_of(sub, t.campaign.campaign_id[t.campaign.case_campaign[case]]))
    if row >= 0 and s.joined.case[row] == case and s.joined.due_s[row] < 0:
        s.joined.case[row] = case + answer
        s.joined.due_s[row] = -(-ts_ms // 1000) + t.campaign.case_reply_s[case]


@kernel
def take_answer(t, s, i, sub, ts_ms, day, code, case, units, credits, nc):
    """Close the loop on an answer: give what was accepted, respect what was refused."""
    if code == m.CLICK or code == m.ACCEPT or code == m.REPLY:
        mark_answered(s, i, case)
    if code == m.REPLY:
        note_reply(t, s, sub, case, units, ts_ms)
    if code == m.ACCEPT and t.belief.learns:
        mark_taken(t, s, sub, case)
    if code == m.ACCEPT and t.contact.case_limits[case]:
        count_taken(t, s, sub, case, day)
    if code == m.ACCEPT and t.campaign.case_campaign[case] >= 0:
        note_acceptance(t, s, sub, t.campaign.case_campaign[case])
    if code == m.OPT_OUT:
        s.flags[i] &= ~np.uint8(CONSENT)
    elif code == m.ACCEPT:
        if t.case_credit_minor[case] > 0:
            s.margin_minor[i] += t.case_fee_minor[case]
            nc = add_credit(
                credits, nc, sub, ts_ms, case, m.TRUST_CREDIT, t.case_credit_minor[case]
            )
            s.bought[i] |= np.uint8(1 << t.case_need[case])
        elif t.case_topup[case]:
            s.margin_minor[i] += t.case_fee_minor[case]
            s.bought[i] |= np.uint8(1 << t.case_need[case])
        elif t.case_gift_minor[case] > 0:
            s.margin_minor[i] -= t.case_gift_minor[case]
            nc = add_credit(credits, nc, sub, ts_ms, case, m.GIFT, t.case_gift_minor[case])
            s.bought[i] |= np.uint8(1 << t.case_need[case])
    return nc


@kernel
def take_purchase(t, s, i, sub, day, code, ref, charged, result):
    """Book a purchase that went through: margin, ownership, and the need it was for.

    The cost of a product in the tables is less what an acceptance saves us.
    """
    if result == m.DENIED:
        return
    if code == m.OFFERED:
        s.margin_minor[i] += charged * t.case_net_q[ref] // 1024 - t.case_unit_cost_minor[ref]
        need = t.case_need[ref]
        thing, lasts = t.things.case_gives[ref], t.things.case_days[ref]
    else:
        s.margin_minor[i] += charged * t.net_q // 1024 - t.organic_cost_minor[ref]
        need = np.int64(ref)
        thing, lasts = t.things.need_gives[need], t.things.need_days[need]
    s.bought[i] |= np.uint8(1 << need)
    if thing:
        note_thing(s, i, sub, thing, day, lasts)


@kernel
def take_deliveries(s, t, lo, d, n, credits, nc, c):
    """Book what became of messages: cost, counts, and gifts that come with a service message.

    Returns
    -------
    nc : rows written to `credits`
    """
    for k in range(n):
        i = d.sub[k] - lo
        case = d.use_case[k]
        if d.status[k] <= m.FAILED:
            cost = t.channel_cost_minor[d.channel[k]]
            s.margin_minor[i] -= cost
            c.contact_cost_minor[case] += cost
            c.sent_by_case[case] += 1
        if d.status[k] == m.DELIVERED:
            c.delivered_by_case[case] += 1
            if t.case_care_minor[case] > 0:
                credits.sub[nc] = d.sub[k]
                credits.ts_ms[nc] = d.ts_ms[k]
                credits.use_case[nc] = case
                credits.quest[nc] = -1
                credits.kind[nc] = m.GIFT
                credits.amount_minor[nc] = t.case_care_minor[case]
                s.margin_minor[i] -= t.case_care_minor[case]
                nc += 1
    return nc
