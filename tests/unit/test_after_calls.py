"""What a call leaves: mood and trust by wait and end, and a verdict that grows with relevance."""

import itertools

import numpy as np
import pytest

from actors import messages as m
from actors.contact_centre.params import CallEffects, ScreenParams
from actors.metrics import SUBSCRIBER_METRICS
from actors.subscribers.actor import SubscriberCounters
from actors.subscribers.after_calls import (
    compile_after_calls,
    judge_advice,
    take_outcomes,
    verdicts,
)
from actors.subscribers.state import LIFE_HERE, LIFE_LEFT, STATE
from sim.core.columns import Columns, empty_rows
from sim.core.metrics import new_tally

MIDDLE = 40_000
LABELS = dict.fromkeys({d for metric in SUBSCRIBER_METRICS for d in metric.dims}, ("one",)) | {
    "call_reason": m.CALL_REASONS,
    "call_result": m.CALL_RESULTS,
}
TEXT, AGENT = 0, 1
HEARD = np.array([0, 1], np.uint8)


def people(n, *, life=LIFE_HERE):
    state = Columns(STATE, n)
    state["life"][:], state["satisfaction_q"][:] = life, MIDDLE
    return state


def counters():
    return SubscriberCounters(**new_tally(SUBSCRIBER_METRICS, LABELS))


def tables(*, scale=1.0, effects=CallEffects(), screen=ScreenParams()):  # noqa: B008  # frozen
    return compile_after_calls(effects, screen, seed=5, scale=scale, channel_heard=HEARD)


def ended(result, *, wait_s=0, called_back=0, n=1):
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.CALL_OUTCOME).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["result"][:], rows["wait_ms"][:] = result, wait_s * 1000
    rows["called_back"][:] = called_back
    return m.CALL_OUTCOME.tuple_type(**rows)


def moved(rows, *, t=None, state=None):
    """Return (change of satisfaction, change of trust) of line 0."""
    state = people(len(rows.sub)) if state is None else state
    before = int(state["satisfaction_q"][0]), int(state["trust_q"][0])
    c = counters()
    take_outcomes(tables() if t is None else t, state.view, 0, rows, c)
    change = int(state["satisfaction_q"][0]) - before[0]
    assert c.calls_heard.sum() == len(rows.sub)
    return change, int(state["trust_q"][0]) - before[1]


def test_each_end_moves_mood_by_its_figure():
    """Checked by hand: an answer restores 2 % of what is missing; a hang-up costs 0.02."""
    assert moved(ended(m.CALL_ANSWERED)) == ((65_535 - MIDDLE) * 20 // 1024, 1)
    assert moved(ended(m.CALL_ABANDONED)) == (-1311, -1)
    assert moved(ended(m.CALL_TURNED_AWAY)) == (-1311, -1)


def test_a_longer_wait_costs_more_up_to_a_limit():
    """A wait of a minute is free; each further minute costs 0.004, fifteen of them at most."""
    waits = [0, 60, 120, 300, 900, 1_000, 6_000]
    changes = [moved(ended(m.CALL_ANSWERED, wait_s=w))[0] for w in waits]
    assert changes[0] == changes[1]
    assert all(a >= b for a, b in itertools.pairwise(changes))
    assert changes[2] == changes[0] - 262
    assert changes[-1] == changes[-2] == changes[0] - 15 * 262
    assert moved(ended(m.CALL_ANSWERED, wait_s=120))[1] == 0
    back = moved(ended(m.CALL_ANSWERED, wait_s=900, called_back=1))
    assert back == moved(ended(m.CALL_ANSWERED))


def test_without_effects_nothing_moves():
    """Truth law 1: effects 0 leave every byte of the state as it was."""
    for result in range(3):
        state = people(3)
        marks = {name: a.tobytes() for name, a in state.arrays.items()}
        moved(ended(result, wait_s=900, n=3), t=tables(scale=0.0), state=state)
        judge(state, tables(scale=0.0), np.full(3, 255))
        assert {name: a.tobytes() for name, a in state.arrays.items()} == marks


def test_who_has_left_is_counted_and_not_moved():
    """The end of a call of a line that is gone is heard by nobody."""
    assert moved(ended(m.CALL_ABANDONED), state=people(1, life=LIFE_LEFT)) == (0, 0)


def test_mood_stays_within_its_range():
    """A hundred lost calls end at 0, a hundred answers below the top."""
    for result, end in ((m.CALL_ABANDONED, 0), (m.CALL_ANSWERED, 65_535)):
        state = people(1)
        for _ in range(500):
            moved(ended(result), state=state)
        assert abs(int(state["satisfaction_q"][0]) - end) < 60
        assert abs(int(state["trust_q"][0])) == 127


def judge(state, t, need_q, *, channel=AGENT, match_q=1024, accepts=0):
    n = len(need_q)
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.TRUTH).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["seen"][:], rows["channel"][:], rows["accepts"][:] = 1, channel, accepts
    rows["need_q"][:] = need_q
    c = counters()
    ids, match = np.array([77], np.uint32), np.array([match_q], np.int64)
    judge_advice(t, state.view, 0, ids, match, m.TRUTH.tuple_type(**rows), c)
    return c


def shares(relevance, *, n=20_000):
    need_q = np.full(n, round(relevance * 255))
    c = judge(people(n), tables(screen=ScreenParams(relevance=0.3)), need_q)
    assert int(c.advice_told[0]) == n
    return int(c.advice_useful[0]) / n, int(c.advice_fits[0]) / n


def test_the_published_shares_hold_at_the_stated_relevance():
    """65 % useful and 70 % fitting are inputs at one relevance, and move with it."""
    useful, fits = shares(0.3)
    assert useful == pytest.approx(0.65, abs=0.02)
    assert fits == pytest.approx(0.70, abs=0.02)
    low, high = shares(0.0), shares(1.0)
    assert low[0] < useful - 0.05 < useful + 0.05 < high[0]
    assert low[1] < fits - 0.05 < fits + 0.05 < high[1]


def test_a_need_counts_as_far_as_the_offer_matches():
    """A full need with half a match is as relevant as half a need with a full one."""
    n = 5_000
    half = judge(people(n), tables(), np.full(n, 128))
    match = judge(people(n), tables(), np.full(n, 255), match_q=514)
    assert int(half.advice_useful[0]) == int(match.advice_useful[0])
    assert int(match.advice_relevance_q[0]) / n == pytest.approx(514, abs=2)


def test_only_what_an_agent_says_is_judged():
    """A text of the same content gets no verdict, and moves nothing here."""
    state = people(50)
    c = judge(state, tables(), np.full(50, 255), channel=TEXT)
    assert c.advice_told[0] == 0
    assert (state["satisfaction_q"] == MIDDLE).all()


def test_a_verdict_never_falls_with_relevance():
    """Thresholds grow from step to step, for any base and gain; gain 0 is the base everywhere."""
    for base, gain in itertools.product((0.05, 0.65, 0.95), (0.0, 1.0, 12.0)):
        found = verdicts(base, ScreenParams(relevance_gain=gain)).astype(np.int64)
        assert (np.diff(found) >= 0).all()
        if gain == 0:
            assert (found == round(base * 2**32)).all()
