"""Who calls the contact centre: people upset by their account, a message or a refused use.

It owns the draw of a call from rows that the role hears anyway, so that no line is looked at for
its sake.  It must not know queues, nor what the agent says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from actors import messages as m
from actors.contact_centre.params import CallCauses
from actors.profile import M2M
from actors.subscribers.state import LIFE_HERE, LIFE_MASK
from sim.core import quantiles, rng
from sim.core.actor import Rows
from sim.core.columns import Block, Columns, empty_rows, take_rows
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, mix64, stream

S_BILL = stream("a bill makes somebody call")
S_MESSAGE = stream("a message makes somebody call")
S_REFUSED = stream("a refused use makes somebody call")
IRRELEVANT_Q = 75
"""Strength of a need, 1/255, below which a message about it is beside the point."""


class CallingTables(NamedTuple):
    """What the draws of calls read.

    Attributes
    ----------
    bill : (n_account_kinds,) uint32, threshold of a call for each kind of account event
    refused : uint32, threshold of a call after a refused or starved use
    confused : uint32, threshold of a call after an irrelevant message
    about_offer : uint32, threshold of a question after any marketing message
    delay_ms : (1024,) int64, quantiles of the time until the call
    """

    seed: np.uint64
    bill: np.ndarray
    refused: np.uint32
    confused: np.uint32
    about_offer: np.uint32
    delay_ms: np.ndarray


def compile_calling(causes: CallCauses, *, seed: int, effects: float = 1.0) -> CallingTables:
    """Return the tables of a run.

    Parameters
    ----------
    effects : scale of every effect of a contact: without effects no message makes anybody call
    """
    bill = np.zeros(len(m.ACCOUNT_KINDS), np.uint32)
    bill[m.SUSPENDED] = rng.threshold(causes.suspended)
    bill[m.FEE_FAILED] = rng.threshold(causes.fee_failed)
    bill[m.ALLOWANCE_100] = rng.threshold(causes.allowance_used)
    bill[m.ZERO_BALANCE] = rng.threshold(causes.zero_balance)
    return CallingTables(
        seed=rng.seed64(seed),
        bill=bill,
        refused=rng.threshold(causes.refused_use),
        confused=rng.threshold(min(causes.confused * effects, 1.0)),
        about_offer=rng.threshold(min(causes.about_offer * effects, 1.0)),
        delay_ms=quantiles.lognormal(causes.delay_median_min * 60_000, causes.delay_sigma),
    )


@kernel
def may_call(life, flags, i):
    """Return whether a line is here and a person."""
    return life[i] & LIFE_MASK == LIFE_HERE and flags[i] & M2M == 0


@kernel
def write_call(out, n, sub, ts_ms, reason, cause):
    """Write one `Call` row and return the new fill; its key is that of the cause."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.reason[n] = reason
    where = (np.uint64(sub) << np.uint64(32)) | np.uint64(cause // 1000)
    out.key[n] = mix64(mix64(where) ^ np.uint64(reason))
    return n + 1


@kernel
def upset_by_bills(t, life, flags, first, a, start_ms, out, made):
    """Let people call about their account.

    Parameters
    ----------
    life, flags : of each line
    a : `AccountEvent` columns of this partition
    start_ms : start of the tick; nobody calls before it
    out, made : `Call` columns with room, and their fill
    """
    for k in range(a.sub.shape[0]):
        share = t.bill[a.kind[k]]
        if share == 0 or not may_call(life, flags, np.int64(a.sub[k]) - first):
            continue
        u, v, _, _ = draw_cause(
            t.seed, S_BILL, a.sub[k], np.uint32(a.kind[k]), a.ts_ms[k] // 1000, 0
        )
        if u < share:
            at = max(a.ts_ms[k], start_ms) + quantile(t.delay_ms, v)
            made = write_call(out, made, np.int64(a.sub[k]), at, m.BILL_SHOCK, a.ts_ms[k])
    return made


@kernel
def upset_by_messages(t, life, flags, first, case_service, channel_heard, q, start_ms, out, made):
    """Let people call about a message that was beside the point, or with a question about it.

    Parameters
    ----------
    case_service : 1 where a use case is a service message, which upsets nobody
    channel_heard : 1 where the message was told by an agent, who has answered already
    q : `Truth` columns: both worlds of the messages heard in this tick
    """
    for k in range(q.sub.shape[0]):
        if q.seen[k] == 0 or case_service[q.use_case[k]] or channel_heard[q.channel[k]]:
            continue
        if not may_call(life, flags, np.int64(q.sub[k]) - first):
            continue
        u, v, w, _ = draw_cause(t.seed, S_MESSAGE, q.sub[k], np.uint32(0), q.ts_ms[k] // 1000, 0)
        at = max(q.ts_ms[k], start_ms) + quantile(t.delay_ms, v)
        if q.need_q[k] < IRRELEVANT_Q and u < t.confused:
            made = write_call(out, made, np.int64(q.sub[k]), at, m.CONFUSED, q.ts_ms[k])
        elif w < t.about_offer:
            made = write_call(out, made, np.int64(q.sub[k]), at, m.ABOUT_OFFER, q.ts_ms[k])
    return made


@kernel
def upset_by_refusals(t, life, flags, first, a, rows, out):
    """Let people call about uses that the network refused or starved; return the calls written.

    Parameters
    ----------
    a : `Activity` columns
    rows : (n,) int64, rows of `a` that are `BLOCKED`
    """
    made = 0
    for j in range(rows.shape[0]):
        k = rows[j]
        if not may_call(life, flags, np.int64(a.sub[k]) - first):
            continue
        u, v, _, _ = draw_cause(
            t.seed, S_REFUSED, a.sub[k], np.uint32(a.code[k]), a.ts_ms[k] // 1000, 0
        )
        if u < t.refused:
            at = a.ts_ms[k] + quantile(t.delay_ms, v)
            made = write_call(out, made, np.int64(a.sub[k]), at, m.NO_SERVICE, a.ts_ms[k])
    return made


def who_calls(
    t: CallingTables | None,
    lines: tuple[np.ndarray, np.ndarray, int],
    case_service: np.ndarray,
    channel_heard: np.ndarray,
    *,
    account: Rows | None,
    truth: Rows,
    start_ms: int,
) -> Rows:
    """Return the `Call` rows of what was heard in a tick; two of one cause in a second are one.

    Parameters
    ----------
    lines : (life, flags, first line) of the partition
    case_service, channel_heard : see `upset_by_messages`
    """
    if t is None:
        return empty_rows(m.CALL)
    account = empty_rows(m.ACCOUNT_EVENT) if account is None else account
    room = len(account["sub"]) + len(truth["sub"])
    if room == 0:
        return empty_rows(m.CALL)
    out = Columns(m.CALL, room)
    life, flags, first = lines
    made = upset_by_bills(
        t, life, flags, first, m.ACCOUNT_EVENT.tuple_type(**account), start_ms, out.view, 0
    )
    made = upset_by_messages(
        t, life, flags, first, case_service, channel_heard, m.TRUTH.tuple_type(**truth), start_ms,
        out.view, made,
    )  # fmt: skip
    return _once(out, made)


def who_complains(
    t: CallingTables | None, lines: tuple[np.ndarray, np.ndarray, int], activity: Block
) -> Rows:
    """Return the `Call` rows of the uses that were refused in a slice.

    Parameters
    ----------
    lines : (life, flags, first line) of the partition
    activity : the slice's `Activity`
    """
    if t is None or t.refused == 0:
        return empty_rows(m.CALL)
    # One byte of each row is looked at, 0.2 ns; refusals are rare.
    rows = np.flatnonzero(activity.columns["kind"][: activity.n] == m.BLOCKED)
    if not len(rows):
        return empty_rows(m.CALL)
    out = Columns(m.CALL, len(rows))
    life, flags, first = lines
    return _once(out, upset_by_refusals(t, life, flags, first, activity.view, rows, out.view))


def _once(out: Columns, made: int) -> Rows:
    """Return the first `made` rows, those of one key once."""
    rows = {name: a[:made] for name, a in out.arrays.items()}
    return take_rows(rows, np.unique(rows["key"], return_index=True)[1])
