"""How prices weigh, and what purchases leave behind: income, sensitivity, wallet, deals."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.subscribers.means import (
    PURSE_STEPS,
    deals,
    fade_habits,
    learn_deal,
    month_spending,
    price_loss_q,
    purse,
    spend,
    waits,
)
from actors.subscribers.state import DEALS_MAX, LIFE_BITS, PURSE_MAX, TRIP_BITS
from sim.core.partition import Partition
from sim.core.rng import seed64
from tests.factories import tiny_world

LINES = 600
OFF = {
    "subscribers.means.income_sigma": 0, "subscribers.means.sensitivity_arpu": 0,
    "subscribers.means.wallet_weight": 0, "subscribers.means.deal_learning": 0,
}  # fmt: skip


class People:
    """Lines of a tiny world at its start, and shorthands for the kernels on them."""

    def __init__(self, **options: Any) -> None:
        world = tiny_world(subscribers=LINES, **options)
        people, _, _ = world.build(Partition(0, 0, LINES))
        self.columns, self.s, self.p = people.columns, people.columns.view, people.profile.view
        self.t, self.seed = people.world.tables, seed64(world.seed)
        self.case = int(np.argmax(self.t.case_price_minor * self.t.case_deal))
        self.persons = np.flatnonzero(self.columns["activity"] != self.t.machine_class)

    def loss(self, i: Any) -> int:
        return price_loss_q(self.s, self.p, self.t, self.seed, i, i, self.case)

    def spending(self, i: Any) -> int:
        return month_spending(self.p, self.t, i, self.columns["activity"][i])


def test_with_every_switch_off_a_price_counts_over_a_months_spending() -> None:
    """Loss = weight x price / spending x sensitivity, whatever was bought before; the geometric
    mean of sensitivity is 1."""
    world = People(**OFF)
    price = int(world.t.case_price_minor[world.case])
    ratios = []
    for i in world.persons:
        plain = world.t.price_w_q * price / world.spending(i)
        ratios.append(world.loss(i) / plain)
        spend(world.s, world.p, world.t, world.seed, i, i, price, 1_000)
        learn_deal(world.s, world.t, world.seed, i, i, 1_000)
        assert purse(world.s, i) == deals(world.s, i) == 0
    score = np.log(ratios)
    assert abs(score.mean()) < 5 * 0.5 / len(score) ** 0.5 and abs(score.std() - 0.5) < 0.05


def test_who_spends_little_minds_a_price_more() -> None:
    """Sensitivity is correlated with low activity as asked, and as wide as asked in each class."""
    t = People(**{"subscribers.means.sensitivity_arpu": 0.4}).t
    log = np.log(t.sensitivity_q[:16] / 1024)
    scores = np.repeat(np.arange(16.0), log.shape[1])
    found = np.corrcoef(scores, log.ravel())[0, 1]
    assert -0.42 < found < -0.37
    assert abs(log.std() - 0.5) < 0.01 and abs(log.mean()) < 0.01


def test_each_purchase_makes_the_next_one_dearer_until_the_month_has_passed() -> None:
    """The purse fills by price over wallet on average, never beyond its bits, and empties in about
    30 days; the other bits of `life` stay as they are."""
    world = People(**{"subscribers.means.wallet_weight": 5})
    life = world.columns["life"].copy()
    before = np.array([world.loss(i) for i in world.persons])
    part = 3
    for i in world.persons:
        price = world.spending(i) * part // PURSE_STEPS
        spend(world.s, world.p, world.t, world.seed, i, i, price, 5_000)
    level = np.array([purse(world.s, i) for i in world.persons])
    # The wallet is the usual month times 1.25 in the median, spread by 0.25.
    expected = part / 1.25 * np.exp(0.25**2 / 2)
    assert abs(level.mean() - expected) < 0.2
    after = np.array([world.loss(i) for i in world.persons])
    assert (after >= before).all() and (after > before).mean() > 0.5
    assert (world.columns["life"] & LIFE_BITS == life & LIFE_BITS).all()
    total = level.sum()
    for day in range(30):
        for i in world.persons:
            fade_habits(world.s, world.t, world.seed, i, i, day * 96)
    left = sum(purse(world.s, i) for i in world.persons) / total
    assert abs(left - np.exp(-1)) < 0.07
    for _ in range(20):
        spend(world.s, world.p, world.t, world.seed, 0, 0, 10**9, 1)
    assert purse(world.s, 0) == PURSE_MAX


def test_discounts_teach_to_wait_and_lists_lose() -> None:
    """Seven discounts teach all there is; then a line puts off the share of own purchases that was
    asked for, and today's outing is where it was."""
    world = People(**{"subscribers.means.deal_learning": 1, "subscribers.means.deal_wait": 0.5})
    slot = world.columns["trip_slot"].copy()
    world.t = world.t._replace(case_deal=np.zeros_like(world.t.case_deal))
    before = world.loss(int(world.persons[0]))
    for i in world.persons:
        assert not waits(world.s, world.t, world.seed, i, i, 0, 777)
        for k in range(DEALS_MAX + 2):
            learn_deal(world.s, world.t, world.seed, i, i, 1_000 + k)
        assert deals(world.s, i) == DEALS_MAX
    share = np.mean([waits(world.s, world.t, world.seed, i, i, 0, 777) for i in world.persons])
    assert abs(share - 0.5) < 5 * 0.5 / len(world.persons) ** 0.5
    assert (world.columns["trip_slot"] & TRIP_BITS == slot & TRIP_BITS).all()
    assert world.loss(int(world.persons[0])) - before == world.t.deal_w_q
