"""Contact policy: consent, lists, control, quiet hours, caps, repeats, ownership, reach.

It owns the order of precedence of the reasons for which an eligible candidate may not be sent, each
with exactly one reason.  It must not know what an offer is worth, nor how contacts are remembered.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.history import contact_at, contacts_since, days_since
from actors.rtm.reach import can_reach
from actors.rtm.state import ALIVE, ANSWERED, BLACK, CONSENT, CONTROL, NO_CASE
from actors.rtm.things import has_thing
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream
from sim.core.sparse import find, key_of

S_RED = stream("on the red list")
S_GREY = stream("on the grey list")
S_AVERSE = stream("averse to a channel or a topic")


@kernel
def is_quiet(t, quarter):
    """Return whether a local quarter of the day lies in the quiet hours."""
    if t.quiet_from_q <= t.quiet_to_q:
        return t.quiet_from_q <= quarter < t.quiet_to_q
    return quarter >= t.quiet_from_q or quarter < t.quiet_to_q


@kernel
def is_red(t, sub):
    """Return whether a line is on the red list: a lasting trait, drawn by its number."""
    a, _, _, _ = draw_cause(t.seed, S_RED, sub, np.uint32(0), 0, 0)
    return a < t.contact.red


@kernel
def is_grey(t, sub):
    """Return whether a line is on the grey list: averse to some channels or topics."""
    a, _, _, _ = draw_cause(t.seed, S_GREY, sub, np.uint32(0), 0, 0)
    return a < t.contact.grey


@kernel
def lists_of(t, sub):
    """Return whether a line is on the red list, and on the grey one: asked once for a hit."""
    return t.contact.red > 0 and is_red(t, sub), t.contact.grey > 0 and is_grey(t, sub)


@kernel
def averse(t, sub, name_id, share):
    """Return whether a grey line is averse to the thing of a name."""
    a, _, _, _ = draw_cause(t.seed, S_AVERSE, sub, name_id, 0, 0)
    return a < share


@kernel
def worth_minor(p, s, t, i, day):
    """Return what a line is worth a month, as the engine believes: fee and running margin."""
    running = np.int64(s.margin_minor[i]) * 30 // max(day + 1, 7)
    return t.contact.tariff_minor[p.tariff[i]] + running


@kernel
def ignored(s, t, i, day):
    """Return how many marketing contacts of the last days, today's aside, were not answered."""
    found = 0
    k = 0
    while True:
        case, channel, then = contact_at(s, i, k)
        if case == NO_CASE:
            return found
        age = days_since(day, then)
        if 1 <= age < t.contact.tired_days and not channel & ANSWERED:
            found += not t.case_service[case]
        k += 1


@kernel
def cap_shift(p, s, t, i, case, day):
    """Return by how many contacts the caps of marketing move for a line and a use case."""
    c = t.contact
    shift = np.int64(0)
    if c.high_more or c.low_fewer:
        worth = worth_minor(p, s, t, i, day)
        if worth >= c.high_minor:
            shift += c.high_more
        elif worth < c.low_minor:
            shift -= c.low_fewer
    if c.tired_fewer and ignored(s, t, i, day) >= c.tired_from:
        shift -= c.tired_fewer
    if c.case_priority[case] < c.reserve_priority:
        shift -= c.reserve
    return shift


@kernel
def capped(s, t, i, day, shift):
    """Return whether one more marketing contact is past a cap on all of them."""
    for w in range(t.contact.cap_contacts.shape[0]):
        most = max(t.contact.cap_contacts[w] + shift, 0)
        if contacts_since(s, t, i, day, t.contact.cap_days[w], -1, -1, True) >= most:
            return True
    return False


@kernel
def channel_capped(s, t, i, channel, day, shift):
    """Return whether one more marketing contact is past a cap of the channel or of its kind."""
    for w in range(t.contact.lane_contacts.shape[0]):
        if t.contact.lane_of[w, channel]:
            most = max(t.contact.lane_contacts[w] + shift, 0)
            if contacts_since(s, t, i, day, t.contact.lane_days[w], -1, w, True) >= most:
                return True
    return False


@kernel
def repeated(p, s, t, i, sub, case, day):
    """Return whether a line has taken part in an offer as often as it may."""
    most = t.contact.case_repeat[case, p.segment[i]]
    if most == 0:
        return False
    row = find(s.taken, key_of(sub, t.case_id[case]))
    if row < 0 or day - np.int64(s.taken.day[row]) >= t.contact.case_repeat_days[case]:
        return False
    return s.taken.times[row] >= most


@kernel
def route(p, s, t, i, sub, case, day, shift, grey):
    """Return the channel of the first treatment that may be used, and else the reason against it.

    Parameters
    ----------
    grey : whether the line is on the grey list

    Returns
    -------
    channel, reason : -1 and the reason at which the last hope ended, or a channel and `INTENDED`
    """
    marketing = not t.case_service[case]
    reason = m.NO_CHANNEL
    for k in range(t.case_channels.shape[1]):
        channel = np.int64(t.case_channels[case, k])
        if channel < 0:
            break
        if not can_reach(p, s, t, i, sub, channel):
            continue
        kind = t.contact.channel_kind[channel]
        if grey and marketing and kind and averse(t, sub, kind, t.contact.grey_channel):
            reason = m.GREY_LIST if reason == m.NO_CHANNEL else reason
            continue
        if marketing and channel_capped(s, t, i, channel, day, shift):
            reason = m.CHANNEL_CAP
            continue
        return channel, m.INTENDED
    return np.int64(-1), reason


@kernel
def pick_channel(p, s, t, i, sub, case, day):
    """Return the channel of the first treatment that may be used for an allowed case, or -1."""
    shift = np.int64(0) if t.case_service[case] else cap_shift(p, s, t, i, case, day)
    return route(p, s, t, i, sub, case, day, shift, lists_of(t, sub)[1])[0]


@kernel
def policy(p, s, t, i, sub, case, day, quarter, red, grey):
    """Return the first reason of contact policy against a use case, or `INTENDED`.

    First in the order of `messages.REASONS`.

    Parameters
    ----------
    red, grey : whether the line is on these lists, from `lists_of`
    """
    service = t.case_service[case]
    marketing = not service
    if not s.flags[i] & ALIVE:
        return m.INACTIVE
    if marketing and not s.flags[i] & CONSENT:
        return m.NO_CONSENT
    if s.flags[i] & BLACK and (marketing or t.contact.black_all):
        return m.BLACK_LIST
    if red and (marketing or t.contact.red_all):
        return m.RED_LIST
    if s.flags[i] & CONTROL:
        return m.UNIVERSAL_CONTROL
    if marketing and is_quiet(t, quarter):
        return m.QUIET_HOURS
    if repeated(p, s, t, i, sub, case, day):
        return m.REPEAT
    if contacts_since(s, t, i, day, t.case_cap_days[case], case, -1, False) >= t.case_cap[case]:
        return m.COOL_DOWN
    shift = np.int64(0)
    if marketing:
        shift = cap_shift(p, s, t, i, case, day)
        if capped(s, t, i, day, shift):
            return m.CAP
    if has_thing(s, i, sub, t.contact.case_barred_by[case], day):
        return m.OWNED
    if marketing and grey:
        topic = t.contact.topic_id[t.case_need[case]]
        if averse(t, sub, topic, t.contact.grey_topic):
            return m.GREY_LIST
    return route(p, s, t, i, sub, case, day, shift, grey)[1]
