"""What the oracle is shown before a decision: the channel of the truth, and nothing else reads it.

It owns the question, which candidates by which channel and when, and hands on the answer.  No
policy but `rtm.arbitration: oracle` opens it, and no operator can have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actors.rtm.arbitration import candidates
from actors.rtm.audience import eligible
from actors.rtm.decide import NOT_FORESEEN, stages
from actors.rtm.policy import pick_channel
from sim.core.actor import Rows
from sim.core.kernel import kernel

Foresight = Callable[..., np.ndarray]


@kernel
def outlook(p, s, t, lo, hits, n, ways, sent_ms):
    """Write by which channel each candidate of a hit would go, -1 none, and when.

    Parameters
    ----------
    ways : (n, n_cases) int64, written
    sent_ms : (n,) int64, written: the moment of the decision
    """
    for k in range(n):
        sub = np.int64(hits.sub[k])
        i = sub - lo
        rule = np.int64(hits.trigger[k])
        quarters = hits.ts_ms[k] // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
        capture, profile, decide = stages(t, sub, t.rule_id[rule], hits.ts_ms[k])
        sent_ms[k] = hits.ts_ms[k] + capture + profile + decide
        begin, end = candidates(t, rule, hits.value[k])
        for j in range(begin, end):
            case = np.int64(t.rule_cases[j])
            if eligible(p, s, t, i, case, quarters // 96):
                ways[k, case] = pick_channel(p, s, t, i, sub, case, quarters // 96)


def foreseen(
    foresight: Foresight | None, events: Rows | None, profile: Any, state: Any, tables: Any,
    first: int, hits: Any, n: int, floor_ms: int,
) -> np.ndarray:  # fmt: skip
    """Return what each candidate of each hit would add in truth, minor; nothing without an oracle.

    Parameters
    ----------
    profile, state, hits : views
    events : `AccountEvent` rows of the lines in this tick
    floor_ms : end of the tick
    """
    if foresight is None:
        return NOT_FORESEEN
    ways = np.full((n, len(tables.case_id)), -1, np.int64)
    sent_ms = np.zeros(n, np.int64)
    outlook(profile, state, tables, first, hits, n, ways, sent_ms)
    return foresight(
        events, hits.sub[:n].astype(np.int64), trigger_ms=hits.ts_ms[:n].copy(), sent_ms=sent_ms,
        ways=ways, floor_ms=floor_ms,
    )  # fmt: skip
