"""Contact policy: consent, lists, control, quiet hours, caps, ownership, reach.

It owns the order of precedence of the reasons for which an eligible candidate may not be sent, each
with exactly one reason, and the history of contacts.  It must not know what an offer is worth.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.reach import can_reach
from actors.rtm.state import ALIVE, BLACK, CONSENT, CONTROL, NO_CASE, RECENT
from sim.core.kernel import kernel


@kernel
def contacts_since(s, t, i, day, days, case, marketing_only):
    """Return how many remembered contacts lie within `days`, of one use case or of all."""
    found = 0
    for k in range(RECENT):
        other = s.recent_case[i, k]
        if other == NO_CASE:
            continue
        age = (np.int64(day) - np.int64(s.recent_day[i, k])) & 255
        if age >= days:
            continue
        if case >= 0:
            found += other == case
        elif not marketing_only or not t.case_service[other]:
            found += 1
    return found


@kernel
def remember_contact(s, i, case, day):
    """Remember a contact in place of the oldest one."""
    for k in range(RECENT - 1, 0, -1):
        s.recent_case[i, k] = s.recent_case[i, k - 1]
        s.recent_day[i, k] = s.recent_day[i, k - 1]
    s.recent_case[i, 0] = case
    s.recent_day[i, 0] = day & 255


@kernel
def is_quiet(t, quarter):
    """Return whether a local quarter of the day lies in the quiet hours."""
    if t.quiet_from_q <= t.quiet_to_q:
        return t.quiet_from_q <= quarter < t.quiet_to_q
    return quarter >= t.quiet_from_q or quarter < t.quiet_to_q


@kernel
def pick_channel(p, s, t, i, sub, case):
    """Return the first treatment's channel that can reach the line, or -1."""
    for k in range(t.case_channels.shape[1]):
        channel = np.int64(t.case_channels[case, k])
        if channel < 0:
            break
        if can_reach(p, s, t, i, sub, channel):
            return channel
    return np.int64(-1)


@kernel
def policy(p, s, t, i, sub, case, day, quarter):
    """Return the first reason of contact policy against a use case, or `INTENDED`."""
    service = t.case_service[case]
    if not s.flags[i] & ALIVE:
        return m.INACTIVE
    if not service and not s.flags[i] & CONSENT:
        return m.NO_CONSENT
    if s.flags[i] & BLACK:
        return m.BLACK_LIST
    if s.flags[i] & CONTROL:
        return m.UNIVERSAL_CONTROL
    if not service and is_quiet(t, quarter):
        return m.QUIET_HOURS
    if contacts_since(s, t, i, day, t.case_cap_days[case], case, False) >= t.case_cap[case]:
        return m.COOL_DOWN
    if not service and contacts_since(s, t, i, day, t.cap_days, -1, True) >= t.cap:
        return m.CAP
    if t.case_need[case] == 0 and t.case_owns[case] and s.owned_day[i] >= day:
        return m.OWNED
    if pick_channel(p, s, t, i, sub, case) < 0:
        return m.NO_CHANNEL
    return m.INTENDED
