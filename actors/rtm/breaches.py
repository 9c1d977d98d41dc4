"""Breaches: what was handed to a channel against the rules of contact, counted from the facts.

It owns the second look at each intent: it starts from the intent, the CRM and the history, asks
none of the functions of contact policy, and counts what should never have been sent.  It must not
change or prevent anything.
"""

from __future__ import annotations

import numpy as np

from actors.profile import BLACK as P_BLACK
from actors.rtm.history import contact_at
from actors.rtm.state import CHANNEL_MASK, CONSENT, NO_CASE
from actors.rtm.things import DATA
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream
from sim.core.sparse import find, key_of

S_RED = stream("on the red list")
S_GREY = stream("on the grey list")
S_AVERSE = stream("averse to a channel or a topic")


@kernel
def _listed(p, t, i, sub, case, channel):
    """Return whether a line is on a list that bars the message."""
    marketing = not t.case_service[case]
    rules = t.contact
    if p.flags[i] & P_BLACK and (marketing or rules.black_all):
        return True
    red = draw_cause(t.seed, S_RED, sub, np.uint32(0), 0, 0)[0] < rules.red
    if red and (marketing or rules.red_all):
        return True
    if not marketing or draw_cause(t.seed, S_GREY, sub, np.uint32(0), 0, 0)[0] >= rules.grey:
        return False
    topic = rules.topic_id[t.case_need[case]]
    if draw_cause(t.seed, S_AVERSE, sub, topic, 0, 0)[0] < rules.grey_topic:
        return True
    kind = rules.channel_kind[channel]
    hated = draw_cause(t.seed, S_AVERSE, sub, kind, 0, 0)[0] < rules.grey_channel
    return kind != 0 and hated


@kernel
def _over(s, t, i, case, channel, day, extra):
    """Return whether the history holds more contacts in a window than a cap on them allows."""
    rules = t.contact
    n_caps = rules.cap_contacts.shape[0]
    n_lanes = rules.lane_contacts.shape[0]
    for w in range(-1, n_caps + n_lanes):
        if w < 0:
            most, days = t.case_cap[case], t.case_cap_days[case]
        elif w < n_caps:
            most, days = rules.cap_contacts[w] + extra, rules.cap_days[w]
        else:
            most, days = rules.lane_contacts[w - n_caps] + extra, rules.lane_days[w - n_caps]
        if w >= 0 and t.case_service[case]:
            continue
        if w >= n_caps and not rules.lane_of[w - n_caps, channel]:
            continue
        told = 0
        k = 0
        other, by, then = contact_at(s, i, k)
        while other != NO_CASE:
            same = other == case if w < 0 else not t.case_service[other]
            if w >= n_caps:
                same = same and rules.lane_of[w - n_caps, by & CHANNEL_MASK] != 0
            told += same and (day - then) % 256 < days
            k += 1
            other, by, then = contact_at(s, i, k)
        if told > max(most, 0) and told > 0:
            return True
    return False


@kernel
def _out_of_turn(s, t, sub, case, day):
    """Return whether a line must not be asked by a campaign: from its memory, before this time."""
    r = t.campaign
    campaign = r.case_campaign[case]
    row = find(s.joined, key_of(sub, r.campaign_id[campaign]))
    if r.case_wave[case] > 0:
        # A further wave is for those alone who were contacted before and have not accepted.
        return row < 0 or s.joined.state[row] != 0 or s.joined.case[row] + 1 != case
    if row >= 0:
        if s.joined.state[row] & 1 and not r.after_acceptance[campaign]:
            return True
        if r.again_days[campaign] == 0 or day < s.joined.day[row] + r.again_days[campaign]:
            return True
    for other in range(r.campaign_id.shape[0]):
        for k in range(r.bar_start[other], r.bar_start[other + 1]):
            if r.bar[k] == campaign and find(s.joined, key_of(sub, r.campaign_id[other])) >= 0:
                return True
    return False


@kernel
def _has(s, t, i, sub, case, day):
    """Return whether a line has what is offered, by the memory of its purchases."""
    thing = t.contact.case_barred_by[case]
    if thing == DATA:
        return day <= s.owned_day[i]
    row = find(s.taken, key_of(sub, thing)) if thing else np.int64(-1)
    return row >= 0 and s.taken.day[row] > day


@kernel
def count_breaches(p, s, t, intents, first, n, c):
    """Look at the intents of a slice once more and count those against the rules.

    Parameters
    ----------
    p, s, t : profile, `EngineView`, tables
    intents, first, n : `Intent` columns, and the rows from `first` to `n` to be looked at
    """
    extra = t.contact.high_more
    for k in range(first, n):
        sub = np.int64(intents.sub[k])
        i = sub - s.first
        case = np.int64(intents.use_case[k])
        channel = np.int64(intents.channel[k])
        marketing = not t.case_service[case]
        quarters = intents.trigger_ms[k] // 900_000 + t.region_shift_q[p.region[i]]
        quarters += t.start_quarter
        day = quarters // 96
        quarter = quarters % 96
        if _over(s, t, i, case, channel, day, extra):
            c.cap_breaches[0] += 1
        if _listed(p, t, i, sub, case, channel):
            c.list_breaches[0] += 1
        if marketing and not s.flags[i] & CONSENT:
            c.list_breaches[0] += 1
        night = quarter >= t.quiet_from_q or quarter < t.quiet_to_q
        if t.quiet_from_q <= t.quiet_to_q:
            night = quarter >= t.quiet_from_q and quarter < t.quiet_to_q
        if marketing and night:
            c.quiet_breaches[0] += 1
        if _has(s, t, i, sub, case, day):
            c.owned_breaches[0] += 1
        if t.campaign.case_campaign[case] >= 0 and _out_of_turn(s, t, sub, case, day):
            c.campaign_breaches[0] += 1
        most = t.contact.case_repeat[case, p.segment[i]]
        if most > 0:
            row = find(s.taken, key_of(sub, t.case_id[case]))
            if row >= 0 and s.taken.times[row] >= most:
                if day < s.taken.day[row] + t.contact.case_repeat_days[case]:
                    c.repeat_breaches[0] += 1
