"""What a message would add, told before it is sent: the channel of the oracle and of nobody else.

An operator cannot have this.  It exists so that a policy can be held against the best there is, and
opens where `rtm.arbitration: oracle` asks for it and nowhere else.  It owns the evaluation of both
worlds ahead of time; it must not change a line.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors import messages as m
from actors.subscribers.account import heed_account
from actors.subscribers.answers import both_worlds
from actors.subscribers.truth import margins
from sim.core.actor import Rows
from sim.core.kernel import kernel

NEEDS_OF_A_LINE = ("need_kind", "need_born_s", "due_s", "recharge_s")
"""Columns that hearing of the own account may change."""


@kernel
def foresee(
    s, p, t, seed, lo, subs, trigger_ms, sent_ms, ways, floor_ms, ex, n_ex, out
):  # fmt: skip
    """Write what each message would add to the margin of its line within the horizon, minor.

    Parameters
    ----------
    subs, trigger_ms, sent_ms : (n,) int64, one row for each decision
    ways : (n, n_cases) int64, channel of each candidate; -1: it is none
    floor_ms : start of the tick in which messages of this one are heard
    ex, n_ex : pool of answers to come, sorted by line, and its fill
    out : (n, n_cases) int64, written where there is a candidate
    """
    for k in range(subs.shape[0]):
        i = subs[k] - lo
        for case in range(ways.shape[1]):
            way = ways[k, case]
            if way < 0:
                continue
            _, accepts, t0_ms, own_minor, t1_ms, _, _, _, _, _ = both_worlds(
                s, p, t, seed, i, subs[k], case, way, m.DELIVERED, sent_ms[k], trigger_ms[k],
                floor_ms, ex, n_ex, n_ex,
            )  # fmt: skip
            _, _, y1, y0 = margins(
                t, case, way, m.DELIVERED, sent_ms[k], accepts, t0_ms, own_minor, t1_ms
            )
            out[k, case] = y1 - y0


class Foresight:
    """The truth about messages that are not sent yet, of one partition of subscribers.

    Parameters
    ----------
    people : `SubscriberActor` of the partition, whose state is read and never changed
    """

    def __init__(self, people: Any) -> None:
        self.people = people

    def __call__(
        self,
        events: Rows | None,
        subs: np.ndarray,
        *,
        trigger_ms: np.ndarray,
        sent_ms: np.ndarray,
        ways: np.ndarray,
        floor_ms: int,
    ) -> np.ndarray:
        """Return (n, n_cases) int64, minor: what each message would add.

        Parameters
        ----------
        events : `AccountEvent` rows of the lines in this tick, of which they will have heard
        """
        own = self.people
        state = own.columns.view
        if events is not None and len(events["sub"]):
            # What the account tells people may wake a need before the message comes.
            state = state._replace(**{n: getattr(state, n).copy() for n in NEEDS_OF_A_LINE})
            heed_account(
                state, own.profile.view, own.world.tables, own.seed, own.first,
                m.ACCOUNT_EVENT.tuple_type(**events), len(events["sub"]), own.no_counters(),
            )  # fmt: skip
        out = np.zeros(ways.shape, np.int64)
        foresee(
            state, own.profile.view, own.world.tables, own.seed, own.first, subs, trigger_ms,
            sent_ms, ways, floor_ms, own.pool.view, own.n_pool, out,
        )  # fmt: skip
        return out
