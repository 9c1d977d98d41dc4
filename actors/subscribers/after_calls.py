"""What a call leaves with the caller: mood, trust, and the verdict on the agent's suggestion.

It owns the satisfaction that waits, hang-ups and answers move, and whether a suggestion was found
useful and fitting, which grows with how well it met a need.  It must not know queues, nor how the
suggestion was chosen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.contact_centre.params import CallEffects, ScreenParams
from actors.subscribers.state import LIFE_HERE, LIFE_MASK
from sim.core import rng
from sim.core.actor import Rows
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream

S_VERDICT = stream("a suggestion of the agent is found useful")
RELEVANCE_STEPS = 64
"""Steps in which the verdict follows relevance from 0 to 1."""
FULL = 65_535


class AfterCallTables(NamedTuple):
    """What the kernels of this module read.

    Attributes
    ----------
    effects_q : scale of every effect, 1/1024
    free_ms, wait_ms_max : wait that annoys nobody; wait beyond it that counts, at most
    wait_cost_q, abandoned_q, turned_away_q : satisfaction lost, 1/65535, the first a minute
    answer_gain_q, useful_gain_q : share of the missing satisfaction that is restored, 1/1024
    channel_heard : (n_channels,) uint8, 1 where the agent who has the caller on the line speaks
    useful, fits : (65,) uint32, thresholds by relevance
    """

    seed: np.uint64
    effects_q: int
    free_ms: int
    wait_ms_max: int
    wait_cost_q: int
    abandoned_q: int
    turned_away_q: int
    answer_gain_q: int
    useful_gain_q: int
    channel_heard: np.ndarray
    useful: np.ndarray
    fits: np.ndarray


def verdicts(base: float, screen: ScreenParams) -> np.ndarray:
    """Return (65,) uint32 thresholds of a verdict by relevance: `base` at `screen.relevance`."""
    logit = math.log(base / (1 - base))
    at = [k / RELEVANCE_STEPS - screen.relevance for k in range(RELEVANCE_STEPS + 1)]
    shares = [1 / (1 + math.exp(-(logit + screen.relevance_gain * x))) for x in at]
    return np.array([rng.threshold(share) for share in shares], np.uint32)


def compile_after_calls(
    effects: CallEffects,
    screen: ScreenParams,
    *,
    seed: int,
    scale: float,
    channel_heard: np.ndarray,
) -> AfterCallTables:
    """Return the tables of a run.

    Parameters
    ----------
    scale : `subscribers.answers.effects`; 0: calls move nobody
    """
    return AfterCallTables(
        seed=rng.seed64(seed),
        effects_q=round(min(scale, 1.0) * 1024),
        free_ms=round(effects.free_wait_s * 1000),
        wait_ms_max=round(effects.wait_min_max * 60_000),
        wait_cost_q=round(effects.wait_cost_per_min * FULL),
        abandoned_q=round(effects.abandoned_cost * FULL),
        turned_away_q=round(effects.turned_away_cost * FULL),
        answer_gain_q=round(effects.answer_gain * 1024),
        useful_gain_q=round(effects.useful_gain * 1024),
        channel_heard=channel_heard,
        useful=verdicts(screen.useful, screen),
        fits=verdicts(screen.fits, screen),
    )


@kernel
def move_mood(t, s, i, change):
    """Move satisfaction by a change in 1/65535 at full effect; return what was moved."""
    old = np.int64(s.satisfaction_q[i])
    new = max(min(old + change * t.effects_q // 1024, FULL), 0)
    if new != old:
        s.satisfaction_q[i] = new
    return new - old


@kernel
def move_trust(t, s, i, step):
    """Move trust by one step, where anything moves at all."""
    if t.effects_q > 0:
        s.trust_q[i] = max(min(np.int64(s.trust_q[i]) + step, 127), -127)


@kernel
def take_outcomes(t, s, first, o, c):
    """Let the ends of tries move the mood of those who called.

    A wait beyond what is borne costs by the minute, whoever hangs up or finds no line loses more,
    and an answer restores a part of what is missing.  Whoever took a call-back did not wait.

    Parameters
    ----------
    s : state of the subscribers, mutated
    o : `CallOutcome` columns of this partition
    """
    for k in range(o.sub.shape[0]):
        i = np.int64(o.sub[k]) - first
        result = o.result[k]
        c.calls_heard[result] += 1
        if s.life[i] & LIFE_MASK != LIFE_HERE:
            continue
        over = np.int64(0)
        if o.called_back[k] == 0:
            over = min(max(o.wait_ms[k] - t.free_ms, 0), t.wait_ms_max)
        change = -(over * t.wait_cost_q // 60_000)
        if result == m.CALL_ANSWERED:
            change += (FULL - np.int64(s.satisfaction_q[i])) * t.answer_gain_q // 1024
            move_trust(t, s, i, 1 if over == 0 else 0)
        else:
            change -= t.abandoned_q if result == m.CALL_ABANDONED else t.turned_away_q
            move_trust(t, s, i, -1)
        c.call_mood_q[o.reason[k]] += move_mood(t, s, i, change)


@kernel
def judge_advice(t, s, first, case_id, case_match_q, q, c):
    """Draw the verdict on every suggestion that an agent has voiced.

    One draw for both: who finds a suggestion useful mostly says that it fits.

    Parameters
    ----------
    case_id, case_match_q : of each use case: name id, fit of the offer to its need in 1/1024
    q : `Truth` columns: both worlds of the messages heard in this tick
    """
    for k in range(q.sub.shape[0]):
        if t.channel_heard[q.channel[k]] == 0 or q.seen[k] == 0:
            continue
        i = np.int64(q.sub[k]) - first
        case = q.use_case[k]
        relevance = np.int64(q.need_q[k]) * np.int64(case_match_q[case]) // 255
        step = relevance * RELEVANCE_STEPS // 1024
        u, _, _, _ = draw_cause(t.seed, S_VERDICT, q.sub[k], case_id[case], q.ts_ms[k] // 1000, 0)
        c.advice_told[0] += 1
        c.advice_relevance_q[0] += relevance
        c.advice_taken[0] += q.accepts[k]
        c.advice_fits[0] += u < t.fits[step]
        if u < t.useful[step]:
            c.advice_useful[0] += 1
            change = (FULL - np.int64(s.satisfaction_q[i])) * t.useful_gain_q // 1024
            move_mood(t, s, i, change)
            move_trust(t, s, i, 1)


def hear_outcomes(
    t: AfterCallTables | None, state: Any, first: int, rows: Rows | None, counters: Any
) -> None:
    """Let the ends of calls move those who made them.

    Parameters
    ----------
    t : None: nobody can call
    state, first : columns of the subscribers, and their first line
    rows : `CallOutcome` rows of the partition, or None
    """
    if t is not None and rows is not None and len(rows["sub"]):
        take_outcomes(t, state, first, m.CALL_OUTCOME.tuple_type(**rows), counters)


def hear_advice(
    t: AfterCallTables | None, state: Any, first: int, tables: Any, truth: Rows, counters: Any
) -> None:
    """Let those whom an agent has advised say what they think of it.

    Parameters
    ----------
    t : None: nobody can call
    tables : `SubscriberTables`
    truth : `Truth` rows of the messages heard in this tick
    """
    if t is not None and t.channel_heard[truth["channel"]].any():
        heard = m.TRUTH.tuple_type(**truth)
        judge_advice(t, state, first, tables.case_id, tables.case_match_q, heard, counters)
