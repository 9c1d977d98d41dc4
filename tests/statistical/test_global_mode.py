"""Global mode: prices of scarce channels, decisions given up in time, the follow-up of an answer.

A world without fatigue in which a page opens one offer for each line: a dear one for those who
prepay, a cheap one for the others.  Everybody takes what is offered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.learner.params import Prices
from actors.learner.prices import HOUR_US, PRICE_ONE, PriceBoard, compile_prices
from scenarios import load
from sim.core.errors import ScenarioError
from tests.factories import Run, run_world, tiny_world
from tests.statistical.test_arbitration import ANYBODY, PLANTED, REST


def _offer(name: str, margin: int, category: str, **more: Any) -> dict[str, Any]:
    return {
        "offer": name, "title": f"An offer worth {margin}", **REST,
        "product": {"kind": "switch", "saved_minor": margin, "lasts_days": 1},
        "propensity": 0.5, "margin_minor": margin,
        "truth": {"category": category, "b0": 15, "match": 0},
        "control": {"local_percent": 0}, **more,
    }  # fmt: skip


OFFERS = {
    "cheap": _offer("cheap", 1_000, "loyalty", eligible={**ANYBODY, "prepaid": False}),
    "dear": _offer("dear", 12_000, "partner", eligible={**ANYBODY, "prepaid": True}),
    "next": _offer("next", 5_000, "renewal", when={"offer_answered": {}}),
}
SCARCE = {"sms": {"per_second": 250, "queue_max": 2, "failure": 0.0}}
LINES, DAYS = 400, 4


def lived(**options: Any) -> Run:
    """Return a run of the world with other options."""
    world = tiny_world(
        subscribers=LINES, days=DAYS,
        **{
            **PLANTED, "rtm.learning.enabled": False, "catalog.offers": list(OFFERS),
            "catalog.define": {"offers": OFFERS, "channels": SCARCE},
            "subscribers.answers.horizon_days": 0.25, **options,
        },
    )  # fmt: skip
    return run_world(world, partitions=2, stride=400)


def at(run: Run, name: str, case: str) -> int:
    """Return a count of a use case."""
    return int(run.totals[name][sorted(OFFERS).index(case)])


@pytest.fixture(scope="module")
def priced() -> Run:
    """Give the run in which a message costs what it displaces, and all its rows."""
    return lived(**{
        "rtm.prices.enabled": True, "rtm.prices.step_minor": 100, "record.sample": 1.0,
    })  # fmt: skip


def test_a_scarce_channel_grows_dear_and_carries_what_is_worth_most(priced: Run) -> None:
    """With prices fewer messages are lost and what is sent adds more, by at least a tenth each."""
    free = lived()

    def lost(run: Run) -> float:
        gone = run.totals["channel_dropped"].sum() + run.totals["channel_expired"].sum()
        return float(gone / run.totals["channel_offered"].sum())

    def gained(run: Run) -> int:
        return int(run.totals["truth_y1_minor"].sum() - run.totals["truth_y0_minor"].sum())

    assert lost(free) > 0.2 and lost(priced) < 0.9 * lost(free)
    assert at(priced, "sent_by_case", "dear") > at(free, "sent_by_case", "dear")
    assert at(priced, "sent_by_case", "cheap") < at(free, "sent_by_case", "cheap")
    assert gained(priced) > 1.1 * gained(free)
    reason = m.REASONS.index("priced_out")
    assert priced.totals["decisions"][:, reason].sum() > 0
    assert free.totals["decisions"][:, reason].sum() == 0


def test_an_answer_opens_the_follow_up_within_a_second(priced: Run) -> None:
    """Each acceptance is decided on, at its own moment, and all but a few within a second."""
    rule = priced.world.labels["trigger"].index("offer_answered")
    accepted = priced.totals["accepted"].sum()
    assert priced.totals["trigger_hits"][rule] == accepted > 100
    rows = priced.rows("decisions")
    mine = rows["trigger"] == rule
    answers = priced.rows("activity")
    said = (answers["kind"] == m.RESPONSE) & (answers["code"] == m.ACCEPT)
    assert (rows["ts_ms"][mine] == answers["ts_ms"][said]).all()
    assert np.mean(rows["latency_ms"][mine] < 1_000) > 0.99


@pytest.mark.parametrize("fallback", ["", "dear"])
def test_a_decision_that_takes_too_long_gives_the_fallback_or_nothing(fallback: str) -> None:
    """Nearly half of the decisions are given up; only the fallback is sent then, at that moment."""
    run = lived(**{
        "clock.days": 1.0, "rtm.capture.decide_ms": 800, "record.sample": 1.0,
        "rtm.timeout.ms": 900, "rtm.timeout.fallback": fallback,
    })  # fmt: skip
    rows = run.rows("decisions")
    assert rows["latency_ms"].max() == 900
    given_up = rows["latency_ms"] == 900
    assert run.totals["timeouts"].sum() > 100
    assert abs(given_up.sum() - run.totals["timeouts"].sum()) < 10
    sent = rows["use_case"][given_up & (rows["reason"] == m.INTENDED)]
    told = {sorted(OFFERS)[case] for case in sent.tolist()}
    # A decision that took exactly 900 ms was not given up.
    assert told >= {fallback} - {""} and len(sent) * (fallback == "") < 10


def test_a_fallback_that_does_not_exist_is_refused() -> None:
    """A wrong name is wrong input, with the nearest right one."""
    with pytest.raises(ScenarioError, match="no such live offer"):
        load("city_day").with_(**{"rtm.timeout.fallback": "mall_cupon"})


def board(**options: Any) -> PriceBoard:
    """Return prices of one channel whose messages cost 10."""
    channel = load("city_day").catalogue.channels["sms"].model_copy(update={"cost_minor": 10.0})
    params = Prices(enabled=True, **options)
    return PriceBoard(compile_prices(params, [channel], price_level=1.0, share=1.0))


def test_a_price_comes_to_where_what_is_left_fits() -> None:
    """Values spread over 0 to 1,000 and room for a quarter: the price rests near 750."""
    prices = board(step_minor=40)
    values = np.arange(1_000)
    for _ in range(2_000):
        offered = int((values * PRICE_ONE > prices.told()[0]).sum())
        worked = min(offered, 250) * HOUR_US // 250
        prices.add(np.array([offered]), np.array([max(offered - 250, 0)]), np.array([worked]), 0)
        prices.move()
    assert abs(prices.told()[0] / PRICE_ONE - 750) < 15
    again = board(step_minor=40)
    again.restore(prices.snapshot())
    assert again.digest() == prices.digest() != board().digest()
    for _ in range(2_000):
        prices.move()
    assert prices.told().tolist() == [0, 0]


def test_a_contact_budget_has_a_price_too() -> None:
    """Spending past the budget makes costly messages dear; spending below it sets them free."""
    prices = board(budget_minor_day=24 * 100)
    for _ in range(10):
        prices.add(np.array([50]), np.array([0]), np.array([0]), 500)
        prices.move()
    assert prices.told()[0] == 10 * PRICE_ONE * 10 // 4
    for _ in range(100):
        prices.add(np.array([1]), np.array([0]), np.array([0]), 10)
        prices.move()
    assert prices.told()[0] == 0
