"""The history of contacts: the latest ones in the row of a line, older ones in a sparse table.

It owns how contacts are remembered, counted and forgotten.  A contact is remembered for as long as
any cap may count it; the latest two always are.  It must not know what a contact is counted for.
"""

from __future__ import annotations

import numpy as np

from actors.rtm.state import ANSWERED, CHANNEL_MASK, LANES, NO_CASE, RECENT
from sim.core.columns import Columns
from sim.core.kernel import kernel
from sim.core.sparse import Sparse, find, key_of, put

FADED_DAYS = 128
"""An age from which a contact of a line's row is forgotten: days are known modulo 256."""


@kernel
def days_since(day, then):
    """Return the days from a remembered day, modulo 256, to a day."""
    return (np.int64(day) - np.int64(then)) & 255


@kernel
def contact_at(s, i, k):
    """Return (use case, channel with its bit, day modulo 256) of contact k of a line.

    The latest ones come first; the use case is `NO_CASE` behind the last.
    """
    if k < RECENT:
        return (
            np.int64(s.recent_case[i, k]),
            np.int64(s.recent_channel[i, k]),
            np.int64(s.recent_day[i, k]),
        )
    row = find(s.contacts, key_of(s.first + i, k - RECENT))
    if row < 0:
        return np.int64(NO_CASE), np.int64(0), np.int64(0)
    return (
        np.int64(s.contacts.case[row]),
        np.int64(s.contacts.channel[row]),
        np.int64(s.contacts.day[row]),
    )


@kernel
def contacts_since(s, t, i, day, days, case, lane, marketing_only):
    """Return how many contacts lie within the last `days`, `day` among them.

    Parameters
    ----------
    case : of one use case alone, or -1
    lane : in the channels of one cap of channels alone (row of `lane_of`), or -1
    """
    found = 0
    k = 0
    while True:
        other, channel, then = contact_at(s, i, k)
        if other == NO_CASE:
            return found
        k += 1
        if days_since(day, then) >= days or (case >= 0 and other != case):
            continue
        if marketing_only and t.case_service[other]:
            continue
        if lane < 0 or t.contact.lane_of[lane, channel & CHANNEL_MASK]:
            found += 1


@kernel
def counts_still(t, case, channel, age):
    """Return whether any cap still counts a contact of an age, days."""
    if age < t.contact.case_keep_days[case]:
        return True
    return not t.case_service[case] and age < t.contact.channel_keep_days[channel & CHANNEL_MASK]


@kernel
def remember_contact(s, t, i, case, channel, day, held):
    """Remember a contact; the oldest of the row moves to the sparse table while it counts.

    Parameters
    ----------
    held : it was withheld: nobody can ignore it
    """
    last = RECENT - 1
    old = np.int64(s.recent_case[i, last])
    if old != NO_CASE and counts_still(
        t, old, np.int64(s.recent_channel[i, last]), days_since(day, s.recent_day[i, last])
    ):
        k = 0
        row = find(s.contacts, key_of(s.first + i, k))
        while row >= 0 and counts_still(
            t,
            np.int64(s.contacts.case[row]),
            np.int64(s.contacts.channel[row]),
            days_since(day, s.contacts.day[row]),
        ):
            k += 1
            row = find(s.contacts, key_of(s.first + i, k))
        row = put(s.contacts, key_of(s.first + i, k))
        s.contacts.case[row] = old
        s.contacts.channel[row] = s.recent_channel[i, last]
        s.contacts.day[row] = s.recent_day[i, last]
    for k in range(last, 0, -1):
        s.recent_case[i, k] = s.recent_case[i, k - 1]
        s.recent_channel[i, k] = s.recent_channel[i, k - 1]
        s.recent_day[i, k] = s.recent_day[i, k - 1]
    s.recent_case[i, 0] = case
    s.recent_channel[i, 0] = channel | (ANSWERED if held else 0)
    s.recent_day[i, 0] = day & 255


@kernel
def mark_answered(s, i, case):
    """Note that the latest contact of a use case was answered."""
    k = 0
    while True:
        other, channel, _ = contact_at(s, i, k)
        if other == NO_CASE:
            return
        if other == case:
            if k < RECENT:
                s.recent_channel[i, k] = channel | ANSWERED
            else:
                row = find(s.contacts, key_of(s.first + i, k - RECENT))
                s.contacts.channel[row] = channel | ANSWERED
            return
        k += 1


@kernel
def _mark_counting(t, days, key, first, case, channel, then, keep):
    """Mark the rows of which a cap still counts."""
    for row in range(key.shape[0]):
        if key[row] >= 0:
            i = (key[row] >> 32) - first
            age = days_since(days[i], then[row])
            keep[row] = counts_still(t, np.int64(case[row]), np.int64(channel[row]), age)


def forget_old(
    columns: Columns, contacts: Sparse, tables: object, first: int, days: np.ndarray
) -> None:
    """Forget what no cap counts any more, and number the rest of each line anew from 0.

    Parameters
    ----------
    first : global id of the first line
    days : (n,) int64, local day of each line
    """
    if len(contacts):
        view = contacts.view
        keep = np.zeros(len(view.key), np.bool_)
        _mark_counting(tables, days, view.key, first, view.case, view.channel, view.day, keep)
        if not keep[view.key >= 0].all():
            contacts.keep(keep)
            rows = contacts.sorted_rows()
            subs = rows["key"] >> 32
            begins = np.searchsorted(subs, subs)
            rows["key"] = (subs << 32) | (np.arange(len(subs)) - begins)
            contacts.restore(rows)
    for k in range(len(LANES)):
        faded = ((days - columns["recent_day"][:, k]) & 255) >= FADED_DAYS
        columns["recent_case"][faded, k] = NO_CASE
        columns["recent_channel"][faded, k] = 255
        columns["recent_day"][faded, k] = 0
