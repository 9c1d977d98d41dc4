"""Believed stays at fences against true ones.

It owns the score of each `Detection` and the exact moment at which a person came in.  It must not
change any state: the score is of the engine, and nobody hears of it.
"""

from __future__ import annotations

import numpy as np

from actors.subscribers.place import is_trip, local_quarter, switch_ms, travel_back, true_spot
from actors.subscribers.state import NEVER_S
from sim.core.kernel import kernel


@kernel
def score_visits(s, p, t, seed, lo, d, n, c):
    """Compare believed visits with true places and forget them.

    Parameters
    ----------
    d : `Detection` columns, n rows of this partition
    """
    for k in range(n):
        sub = np.int64(d.sub[k])
        i = sub - lo
        fence = d.fence[k]
        c.fence_detections[fence] += 1
        ts = d.ts_ms[k]
        spot = true_spot(s, t, i, sub, seed, p.region[i], ts)
        if spot == t.n_hex + fence:
            c.fence_true_detections[fence] += 1
            inside_s = (ts - entered_ms(s, p, t, seed, i, sub, fence, ts)) // 1000
            c.fence_delay_s[fence] += max(inside_s - np.int64(t.dwell_s[fence]), 0)


@kernel
def entered_ms(s, p, t, seed, i, sub, fence, ts_ms):
    """Return when a person who is inside a fence came in: exact, from the diary or the flight."""
    start = s.travel_s[i]
    if start != NEVER_S and t.fence_kind[fence] == 1 and not is_trip(t, seed, sub, start):
        back = travel_back(t, seed, sub, s.travel_s[i])
        return (back if ts_ms >= back * 1000 else np.int64(s.travel_s[i])) * 1000
    region = p.region[i]
    epoch = ts_ms // 900_000
    quarter = local_quarter(t, region, epoch)
    start_epoch = epoch - (quarter - np.int64(s.trip_from[i]))
    return start_epoch * 900_000 + switch_ms(seed, sub, start_epoch)
