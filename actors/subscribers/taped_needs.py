"""Needs that the rows of a tape wake: the same, in the same order, as when the rows were drawn.

It owns the pass over a slice of a tape that stands for what `usage` does while it draws.  It must
not count or write rows.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.state import EVENT_KINDS
from actors.subscribers.usage import DATA, SMS, VISIT, VOICE, is_telling, row_wakes, want_seen
from actors.subscribers.wants import BY_REFUSED, BY_SLOW
from sim.core.kernel import hot, kernel

N_LANES = len(EVENT_KINDS)


@hot
def lane_of(kind, code):
    """Return the lane in which a row of use or a visit is drawn; see `usage`."""
    if kind == m.VISIT:
        return VISIT
    if code == m.SMS or code == m.ROAM_SMS:
        return SMS
    return DATA if code == m.ROAM_DATA or m.DATA_GENERAL <= code <= m.DATA_MESSAGING else VOICE


@kernel
def wake_line(s, t, seed, i, r, first, last, c):
    """Let the rows of one line wake needs, lane by lane, in the order in which they are drawn."""
    for lane in range(N_LANES):
        for k in range(first, last):
            kind = r.kind[k]
            if kind > m.BLOCKED or kind == m.LOCATION or lane_of(kind, r.code[k]) != lane:
                continue
            if kind == m.BLOCKED:
                row_wakes(s, t, seed, i, r, k, BY_REFUSED, c)
            elif kind == m.USAGE and r.ref[k] == 1:
                row_wakes(s, t, seed, i, r, k, BY_SLOW, c)
            elif kind == m.VISIT and is_telling(r.ref[k], r.units[k]):
                want_seen(s, t, seed, i, r, k, c)


@kernel
def wake_taped(s, t, seed, lo, r, first, last, c):
    """Let the rows `first` to `last - 1` of a tape wake the needs that they woke when drawn."""
    begin = first
    telling = False
    for k in range(first, last + 1):
        if k == last or r.sub[k] != r.sub[begin]:
            if telling:
                wake_line(s, t, seed, np.int64(r.sub[begin]) - lo, r, begin, k, c)
            begin = k
            telling = False
            if k == last:
                break
        kind = r.kind[k]
        telling |= (
            (kind == m.BLOCKED)
            | ((kind == m.USAGE) & (r.ref[k] == 1))
            | ((kind == m.VISIT) & is_telling(r.ref[k], r.units[k]))
        )
