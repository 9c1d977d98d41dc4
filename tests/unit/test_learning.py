"""Learning: the law of a belief, the learner's counts, trials, and what is refused."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from scipy import stats

from actors import messages as m
from actors.learner.actor import (
    COUNT_ONE,
    GAIN_ONE,
    HOUR_MS,
    SCALE_Q,
    LearnerActor,
    LearnerTables,
    compile_tables,
    faded,
    law_of,
)
from actors.learner.params import Learning
from actors.metrics import RTM_METRICS
from actors.profile import PROFILE
from actors.rtm import beliefs
from actors.rtm.state import PARTICIPATION, STATE, TRIAL, engine_view
from scenarios import load
from sim.core.actor import Rows
from sim.core.columns import Columns
from sim.core.errors import ScenarioError
from sim.core.metrics import new_tally
from sim.core.sparse import Sparse
from sim.core.ticks import Tick

CASES, SEGMENTS, CHANNELS = 2, 5, 3
LABELS = {"use_case": ("a", "b"), "channel": ("sms", "push", "call")}


def tables(**options: Any) -> LearnerTables:
    """Return tables of two use cases believed to be taken by 5 % and 30 %."""
    found = compile_tables(Learning(enabled=True, **options), (), ("sms", "push", "call"))
    return found._replace(
        prior=np.array([0.05, 0.3]), value=np.array([2_000.0, 100.0]),
        case_ids=np.array([11, 12], np.uint64)
    )  # fmt: skip


def lesson(case: int, segment: int, channel: int, n: int, yes: int) -> Rows:
    """Return one row of `Lesson`."""
    values = {"use_case": case, "segment": segment, "channel": channel, "n": n, "yes": yes}
    return {f.name: np.array([values.get(f.name, 0)], f.dtype) for f in m.LESSON.fields}


def joined(*parts: Rows) -> Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def span(start_ms: int, end_ms: int) -> Tick:
    """Return a tick whose calendar nobody reads."""
    none = np.zeros((0, 0), np.uint8)
    return Tick(start_ms // HOUR_MS, start_ms, end_ms, none, none, ())


def hour(k: int, learner: LearnerActor, rows: Rows | None = None) -> None:
    """Let a learner live through the tick that ends at a full hour."""
    tick = span(k * HOUR_MS, (k + 1) * HOUR_MS)
    learner.on_tick(tick, lesson(0, 0, 0, 0, 0) if rows is None else rows)


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("n", [100, 1_000, 100_000])
def test_the_law_of_a_belief_is_nearly_a_beta_law(mean: float, n: int) -> None:
    """The cube has the mean and the deviation of the beta law within 3 % and 5 % (1 message).

    Its distribution function is nowhere further than 0.06 from it; the worst is at one acceptance.
    """
    centre, spread = (int(x[0]) for x in law_of(np.array([mean]), np.array([n])))
    z = stats.norm.ppf((np.arange(4_000) + 0.5) / 4_000)
    drawn = mean * np.maximum(centre / SCALE_Q + spread / SCALE_Q * z, 0) ** 3
    law = stats.beta(mean * n, (1 - mean) * n)
    assert abs(drawn.mean() - mean) < 0.03 * mean
    assert abs(drawn.std() - law.std()) < 0.05 * law.std() + 1 / 65_536
    assert np.abs(law.cdf(np.sort(drawn)) - (np.arange(4_000) + 0.5) / 4_000).max() < 0.06


def test_beliefs_start_at_the_offer_and_go_to_what_was_observed() -> None:
    """No lesson: the offer's propensity. 20,000 lessons at 12 %: 12 % there, and near it beside."""
    learner = LearnerActor(tables(prior_strength=200, pooling=100), LABELS)
    start = learner.beliefs()["mean_q"] / 65_536
    assert np.allclose(start[0], 0.05, atol=1e-4) and np.allclose(start[1], 0.3, atol=1e-4)
    hour(0, learner, lesson(0, 2, 1, 20_000, 2_400))
    told = learner.beliefs()["mean_q"] / 65_536
    assert abs(told[0, 2, 1] - 0.12) < 0.001
    # Nothing was seen in other channels: they believe what the use case as a whole has shown.
    assert abs(told[0, 2, 0] - (200 * 0.05 + 2_400) / 20_200) < 0.001
    assert (told[1] == start[1]).all()
    # More was learned there, so a draw strays less.
    spread = learner.beliefs()["spread_q"]
    assert spread[0, 2, 1] < spread[0, 2, 0]


def test_neither_order_nor_cut_of_lessons_shows() -> None:
    """Rows shuffled, split and spread over ticks of an hour give one digest and one belief."""
    parts = [lesson(k % 2, k % 5, k % 3, 7 + k, k % 7) for k in range(30)]
    whole = LearnerActor(tables(), LABELS)
    hour(0, whole, joined(*parts))
    cut = LearnerActor(tables(), LABELS)
    cut.on_tick(span(0, HOUR_MS // 4), joined(*parts[17:][::-1]))
    assert (cut.beliefs()["mean_q"] == LearnerActor(tables(), LABELS).beliefs()["mean_q"]).all()
    hour(0, cut, joined(*parts[:17]))
    assert whole.digest() == cut.digest() != LearnerActor(tables(), LABELS).digest()
    for name, array in whole.beliefs().items():
        assert (array == cut.beliefs()[name]).all(), name
    again = LearnerActor(tables(), LABELS)
    again.restore(cut.snapshot())
    assert again.digest() == whole.digest()
    assert (again.beliefs()["mean_q"] == whole.beliefs()["mean_q"]).all()


def ended(kind: int, case: int, segment: int, margins: np.ndarray) -> Rows:
    """Return one row of `Lesson` about winners whose horizon is over."""
    row = lesson(case, segment, 0, len(margins), 0)
    row["kind"][0], row["margin_minor"][0] = kind, margins.sum()
    row["squares"][0] = ((margins // 16) ** 2).sum()
    return row


def test_a_gain_is_the_gap_of_the_arms_drawn_to_the_offer() -> None:
    """No horizon: propensity x margin. Many: the gap of the arms, and its deviation."""
    learner = LearnerActor(tables(prior_strength=100, pooling=50), LABELS)
    start = learner.beliefs()
    assert (start["gain_q"][0] == 100 * GAIN_ONE).all() and (start["gain_q"][1] == 30 * 64).all()
    rng = np.random.default_rng(5)
    treated = np.rint(rng.normal(900, 400, 40_000)).astype(np.int64)
    withheld = np.rint(rng.normal(1_200, 400, 10_000)).astype(np.int64)
    rows = (ended(m.LESSON_TREATED, 0, 3, treated), ended(m.LESSON_WITHHELD, 0, 3, withheld))
    hour(0, learner, joined(*rows))
    told = learner.beliefs()
    worth = 40_000 * 10_000 / 50_000
    assert abs(told["gain_q"][0, 3] / GAIN_ONE + 300) < 10
    assert abs(told["gain_sd_q"][0, 3] / GAIN_ONE - 400 / np.sqrt(worth + 50)) < 0.5
    # Another segment has seen nothing: the use case as a whole, and less sure.
    case = (100 * 100 + worth * (treated.mean() - withheld.mean())) / (100 + worth)
    assert abs(told["gain_q"][0, 0] / GAIN_ONE - case) < 0.1
    assert told["gain_sd_q"][0, 0] > 5 * told["gain_sd_q"][0, 3]
    assert (told["gain_q"][1] == start["gain_q"][1]).all()
    again = LearnerActor(tables(prior_strength=100, pooling=50), LABELS)
    again.restore(learner.snapshot())
    assert again.digest() == learner.digest() != LearnerActor(tables(), LABELS).digest()
    assert (again.beliefs()["gain_q"] == told["gain_q"]).all()


def test_one_arm_alone_teaches_nothing() -> None:
    """Winners without anybody withheld leave the gain where the offer put it."""
    learner = LearnerActor(tables(), LABELS)
    before = learner.beliefs()["gain_q"].copy()
    hour(0, learner, ended(m.LESSON_TREATED, 0, 0, np.full(5_000, 9_999)))
    assert (learner.beliefs()["gain_q"] == before).all()


@pytest.mark.parametrize("mode", ["uplift", "oracle"])
def test_a_policy_without_what_it_needs_is_refused(mode: str) -> None:
    """Uplift without learning, and the oracle apart from the people, are wrong input."""
    options: dict[str, Any] = {"rtm.arbitration": mode, "rtm.learning.enabled": mode == "oracle"}
    if mode == "oracle":
        options["placement.groups"] = [["subscribers", "billing"], ["rtm"]]
    with pytest.raises(ScenarioError, match="learned" if mode == "uplift" else "elsewhere"):
        load("city_day").with_(**options)


def test_counts_fade_to_a_half_in_their_half_life() -> None:
    """After `forget_days` half is left, within a thousandth; nothing is lost at 0 days."""
    for days, left in ((2.0, 0.5), (0.0, 1.0)):
        learner = LearnerActor(tables(forget_days=days), LABELS)
        hour(0, learner, lesson(1, 0, 0, 1_000, 400))
        for k in range(1, 49):
            hour(k, learner)
        assert abs(learner.counts[0, 1, 0, 0] / COUNT_ONE / 1_000 - left) < 0.001, days


def test_fading_is_exact_at_any_size() -> None:
    """The two parts give the floor of the product, beyond where it would overflow."""
    for count in (0, 1, 5 * COUNT_ONE + 3, 10**11 * COUNT_ONE // 16 + 12_345):
        assert faded(np.array([count]), 29_863)[0] == (count >> 20) * 29_863 + (
            (count & 0xFFFFF) * 29_863 >> 20
        )
        assert abs(int(faded(np.array([count]), 29_863)[0]) - count * 29_863 / 2**20) <= 1


Few = namedtuple("Few", "belief case_id")
FIRST = 100


def test_a_trial_is_settled_once_its_window_is_over() -> None:
    """Accepted or not counts at the end of the window; a second message is of the same trial.

    Messages that failed or ask for nothing open none.
    """
    shape = (CASES, SEGMENTS, CHANNELS + 1)
    belief = beliefs.BeliefTables(
        mode=beliefs.BY_PROPENSITY, learns=True, priced=False, explores=False,
        asks=np.array([True, False]), window_s=3_600,
        mean_q=np.full(shape, 6_554, np.int32), centre_q=np.zeros(shape, np.int32),
        spread_q=np.zeros(shape, np.int32), gain_q=np.zeros(shape[:2], np.int64),
        gain_sd_q=np.zeros(shape[:2], np.int64), price_q=np.zeros(shape[2], np.int64),
        normal_q=np.zeros(1024, np.int64),
    )  # fmt: skip
    t = Few(belief, np.array([11, 12], np.uint32))
    profile, state = Columns(PROFILE, 4), Columns(STATE, 4)
    profile["segment"][:] = (0, 1, 2, 1)
    own = beliefs.Beliefs(belief, {})
    assert own.reserve(8)
    none = (Sparse(TRIAL) for _ in range(3))
    s = engine_view(state, (*none, own.trials, Sparse(PARTICIPATION)), FIRST)
    tally = new_tally(RTM_METRICS, {**dict.fromkeys(_dims(), ("x",)), "use_case": ("a", "b")})
    c = namedtuple("Counters", tally)(**tally)
    sent = [
        (100, 0, 0, m.DELIVERED, 0), (100, 0, 1, m.DELIVERED, 900), (101, 0, 2, m.DELIVERED, 60),
        (102, 0, 1, m.FAILED, 0), (103, 1, 1, m.DELIVERED, 0),
    ]  # fmt: skip
    rows = {f.name: np.zeros(len(sent), f.dtype) for f in m.DELIVERY.fields}
    for k, (sub, case, channel, status, ts_s) in enumerate(sent):
        rows["sub"][k], rows["use_case"][k], rows["channel"][k] = sub, case, channel
        rows["status"][k], rows["ts_ms"][k] = status, ts_s * 1000
    beliefs.open_trials(profile.view, s, t, FIRST, m.DELIVERY.tuple_type(**rows), c)
    assert c.trials_opened.tolist() == [2, 0] and len(own.trials) == 2
    beliefs.mark_taken(t, s, 101, 0)
    beliefs.mark_taken(t, s, 102, 0)
    found = own.lessons(profile.view, FIRST, span(0, HOUR_MS), c)
    assert found["n"].tolist() == [1] and found["yes"].tolist() == [0]
    assert (found["segment"][0], found["channel"][0]) == (0, 0)
    found = own.lessons(profile.view, FIRST, span(HOUR_MS, 2 * HOUR_MS), c)
    assert (found["segment"][0], found["channel"][0], found["yes"][0]) == (1, 2, 1)
    assert len(own.trials) == 0 and c.trials_accepted.tolist() == [1, 0]
    assert c.trials_believed_q.tolist() == [2 * 6_554, 0]


def _dims() -> set[str]:
    return {dim for metric in RTM_METRICS for dim in metric.dims}
