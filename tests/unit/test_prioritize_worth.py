"""Shares, orders, contacts and plans on games whose answers are known."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from actors.rtm.lots import compile_lots
from scenarios import load
from scenarios.prioritize import contacts, plan, worth
from scenarios.prioritize.design import alone_arms, last_arms, orders, prefix_arms

CASES = [
    # Capacity, contacts that each could make, value of one: optimum, price, shares, last in.
    (4_200_000, (1_500_000, 2_000_000, 1_200_000, 3_000_000), (12, 9, 7, 4), 40_900_000, 7,
     (14_733_333.33, 13_733_333.33, 5_733_333.333, 6_700_000),
     (10_500_000, 8_500_000, 2_100_000, 0)),
    (300, (100, 200, 400), (10, 8, 5), 2_600, 5, (750, 1_100, 750), (500, 600, 0)),
]  # fmt: skip
"""Rows SHAP-01 and SHAP-03 of the queueing cases: use cases that share a capacity of contacts."""


@pytest.mark.parametrize("case", CASES, ids=["SHAP-01", "SHAP-03"])
def test_use_cases_that_share_contacts(case: tuple) -> None:
    """Optimum, price of a contact, shares and last in come out as computed by hand."""
    capacity, most, values, optimum, price, shares, last = case
    assert contacts.best_spend(capacity, most, values)[0] == pytest.approx(optimum, abs=1e-3)
    assert contacts.next_contact(capacity, most, values) == pytest.approx(price, abs=1e-3)
    assert contacts.shares_of_contacts(capacity, most, values) == pytest.approx(shares, rel=1e-6)
    assert contacts.last_in(capacity, most, values) == pytest.approx(last, abs=1e-3)
    assert contacts.next_contact(sum(most), most, values) == 0


def test_subset_formula_is_the_mean_over_all_orders() -> None:
    """Both definitions of the Shapley value agree on a game without any structure."""
    rng = np.random.default_rng(3)
    n = 5
    table = {frozenset(c): Fraction(int(rng.integers(-50, 100)))
             for size in range(n + 1) for c in itertools.combinations(range(n), size)}  # fmt: skip
    table[frozenset()] = Fraction(0)
    want = [Fraction(0)] * n
    for order in itertools.permutations(range(n)):
        for k, j in enumerate(order):
            want[j] += table[frozenset(order[: k + 1])] - table[frozenset(order[:k])]
    found = contacts.by_subsets(n, lambda members: float(table[frozenset(members)]))
    assert found == pytest.approx([float(w / math.factorial(n)) for w in want])


def test_orders_come_in_pairs_and_all_where_they_fit() -> None:
    """A row and its reverse; every order equally often where they fit into the lots."""
    for n in (1, 2, 3, 4, 5):
        found = [tuple(row) for row in orders(n, 1)]
        assert set(found) == set(itertools.permutations(range(n)))
        assert len({found.count(row) for row in found}) == 1
    many = orders(21, 1)
    assert many.shape == (256, 21)
    assert np.array_equal(many[1::2], many[::2, ::-1])
    assert not np.array_equal(many, orders(21, 2))


def test_arms_have_live_what_their_names_say() -> None:
    """Run k has the first k of each order live; alone one, last all but one."""
    order = orders(3, 1)
    arms = prefix_arms(("a", "b", "c"), order)
    assert [arm.lots for arm in arms if len(arm.lots) == 1] == [((),), (("a", "b", "c"),)]
    for k in (1, 2):
        for row, lot in zip(order, arms[k].lots, strict=True):
            assert set(lot) == {"abc"[j] for j in row[:k]}
    assert [arm.lots for arm in alone_arms(("a", "b"))] == [(("a",),), (("b",),)]
    assert [arm.lots for arm in last_arms(("a", "b"))] == [(("b",),), (("a",),)]


def test_campaigns_are_live_in_every_lot() -> None:
    """A lot names offers or initiatives; what a campaign asks is no part of the experiment."""
    catalogue = load("city_day").catalogue.offers
    offers = [catalogue["traffic_data_pack"], catalogue["mall_coupon"]]
    asked = offers[1].model_copy(update={"offer": "spring:rest", "initiative": None})
    table = compile_lots([[], ["T2"], ["mall_coupon"]], [*offers, asked])
    assert table.tolist() == [[False, False, True], [True, False, True], [False, True, True]]


def lived(n: int, lines: int, worth_of, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return figures of the runs along the orders, and the lots, of lines with a known worth."""
    order = orders(n, seed)
    lot = np.random.default_rng(seed).integers(0, len(order), lines)
    figures = np.zeros((n + 1, lines), np.int64)
    for i in range(lines):
        for k in range(n + 1):
            figures[k, i] = worth_of(i, frozenset(order[lot[i], :k].tolist()))
    return figures, lot


def rivals(n: int, lines: int, seed: int):
    """Return the worth of lines that buy once at most, and some use cases annoy."""
    rng = np.random.default_rng(seed)
    gains = rng.integers(-40, 120, (lines, n))

    def worth_of(i: int, live: frozenset[int]) -> int:
        mine = [int(gains[i, j]) for j in live]
        # The best one is bought; every further contact costs patience.
        return max(mine, default=0) - 5 * max(len(mine) - 1, 0)

    return worth_of


def test_shares_sum_to_the_joint_value_to_the_last_unit() -> None:
    """What the orders give out is what all together made, line by line."""
    figures, lot = lived(8, 400, rivals(8, 400, 5))
    along = worth.contributions(figures, lot, orders(8, 1))
    assert along.totals.sum() == (figures[-1] - figures[0]).sum()
    found = worth.shares(along)
    joint = worth.paired(figures[0], figures[-1])
    assert joint.value is not None
    assert sum(e.value or 0 for e in found) == pytest.approx(joint.value, rel=1e-12)


def test_sampled_orders_agree_with_all_subsets() -> None:
    """With nine use cases the intervals hold the exact shares of the lines simulated."""
    n, lines = 9, 3_000
    worth_of = rivals(n, lines, 7)
    figures, lot = lived(n, lines, worth_of)
    found = worth.shares(worth.contributions(figures, lot, orders(n, 1)))
    exact = contacts.by_subsets(
        n, lambda live: sum(worth_of(i, frozenset(live)) for i in range(lines)) / lines
    )
    held = [e.low <= w <= e.high for e, w in zip(found, exact, strict=True)]  # type: ignore[operator]  # no interval would fail
    # Nine intervals at 95 %: eight of them at least, but for one study in seventy.
    assert sum(held) >= n - 1, (found, exact)


def test_null_and_twin_players() -> None:
    """One without effect gets exactly 0; two that are the same get equal shares."""

    def worth_of(i: int, live: frozenset[int]) -> int:
        # 0 and 1 sell the same thing, 2 does nothing, 3 sells another.
        return 100 * bool(live & {0, 1}) + (i % 7) * 10 * (3 in live)

    figures, lot = lived(4, 4_000, worth_of)
    along = worth.contributions(figures, lot, orders(4, 1))
    found = worth.shares(along)
    assert found[2].value == found[2].low == found[2].high == 0
    assert found[0].low < 50 < found[0].high and found[1].low < 50 < found[1].high  # type: ignore[operator]  # no interval would fail
    (pair,) = worth.interactions(along)
    assert (pair.one, pair.other) == (0, 1)
    assert pair.estimate.value == pytest.approx(-100)


def test_ranks_are_settled_where_values_lie_apart() -> None:
    """Values far apart leave no doubt of a rank; equal ones share their places."""

    def worth_of(i: int, live: frozenset[int]) -> int:
        noise = (i * 2654435761 >> 7) % 200 - 100
        return sum((1_000, 500, 100, 100)[j] for j in live) + (noise if live & {2, 3} else 0)

    figures, lot = lived(4, 2_000, worth_of)
    ranges = worth.rank_ranges(worth.contributions(figures, lot, orders(4, 1)), 1)
    assert ranges[:2] == [(1, 1), (2, 2)]
    assert all(low == 3 and high == 4 for low, high in ranges[2:])


def test_what_goes_on_and_what_was_only_earlier() -> None:
    """At 90 days one that adds every day is worth 90 of them, one that only moves purchases
    forward no more than it was."""
    days, half = 8.0, 4.0

    def daily(live: frozenset[int], until: float) -> float:
        steady, moved = 10 * until * (0 in live), 60 * min(until, 1.0) * (1 in live)
        return steady + moved + 2 * until * (2 in live)

    order = orders(3, 1)
    lot = np.random.default_rng(1).integers(0, len(order), 6_000)
    noise = np.random.default_rng(2).integers(-3, 4, 6_000)
    runs = []
    for until in (half, days):
        figures = np.zeros((4, 6_000), np.int64)
        for i in range(6_000):
            for k in range(4):
                live = frozenset(order[lot[i], :k].tolist())
                figures[k, i] = daily(live, until) + noise[i] * len(live) * until
        runs.append(worth.contributions(figures, lot, order))
    steady, moved, small = worth.carried_on(*runs, half_days=half, days=days, horizon=90.0, seed=1)
    assert steady.value == pytest.approx(900, rel=0.05)
    assert moved.value == pytest.approx(60, abs=40)
    assert small.value == pytest.approx(180, rel=0.25)
    assert steady.low < 900 < steady.high  # type: ignore[operator]  # no interval would fail
    now = worth.shares(runs[1])
    same = worth.carried_on(*runs, half_days=half, days=days, horizon=days, seed=1)
    assert [e.value for e in same] == pytest.approx([e.value for e in now])


WORKS = [
    plan.Work("quick", value_month=10.0, person_months=4, months=1, uses={"contacts": 50}),
    plan.Work("slow", value_month=30.0, person_months=12, months=4, uses={"contacts": 80}),
    plan.Work("poor", value_month=0.1, person_months=6, months=2, uses={"contacts": 10}),
    plan.Work("harmful", value_month=-5.0, person_months=1, months=1),
]
TERMS = plan.Terms(months=12, people=6, person_month=1.0, foundation=6, discount_year=0.0)


def by_hand(terms: plan.Terms) -> float:
    """Return the best value by trying every start of every use case."""
    best = 0.0
    starts = [None, *range(terms.foundation_months, terms.months)]
    for chosen in itertools.product(starts, repeat=len(WORKS)):
        load = [0.0] * (terms.months + 12)
        ground = terms.person_month * terms.factor(terms.foundation_months / 2)
        value, effort, used, fits = -terms.foundation * ground, terms.foundation, 0.0, True
        for work, begin in zip(WORKS, chosen, strict=True):
            if begin is None:
                continue
            length = math.ceil(work.months)
            fits &= begin + length < terms.months
            for k in range(length):
                load[begin + k] += work.person_months / length
            value += plan.npv_of(work, begin, terms)
            effort += work.person_months
            used += work.uses.get("contacts", 0)
        fits &= max(load) <= terms.people + 1e-9
        fits &= effort * terms.person_month <= terms.budget + 1e-9
        fits &= used <= terms.limits.get("contacts", math.inf)
        if fits and value > best:
            best = value
    return best


@pytest.mark.parametrize(
    "terms",
    [TERMS, plan.replace(TERMS, budget=11.0), plan.replace(TERMS, people=3.0),
     plan.replace(TERMS, limits={"contacts": 100.0}), plan.replace(TERMS, discount_year=0.3)],
    ids=["plain", "budget", "people", "contacts", "interest"],
)  # fmt: skip
def test_the_plan_is_the_best_of_all(terms: plan.Terms) -> None:
    """No other choice and order of launches is worth more, and what loses is never launched."""
    found = plan.best_plan(WORKS, terms)
    assert found.npv == pytest.approx(by_hand(terms))
    assert "harmful" not in found.names


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    """A slack limit costs nothing, a binding one something; where nothing pays nothing starts."""
    wide = plan.replace(TERMS, budget=1_000.0, limits={"contacts": 10_000.0})
    found = plan.prices(WORKS, wide, plan.best_plan(WORKS, wide))
    assert found["budget"] == 0 and found["contacts"] == 0
    tight = plan.replace(TERMS, limits={"contacts": 125.0})
    assert plan.prices(WORKS, tight, plan.best_plan(WORKS, tight))["contacts"] > 0
    nothing = plan.best_plan(WORKS, plan.replace(TERMS, person_month=1e6))
    assert nothing.names == () and nothing.npv == 0 and nothing.cost == 0


def test_the_frontier_rises() -> None:
    """More money for building is never worth less."""
    found = plan.frontier(WORKS, TERMS, 29.0)
    values = [p.npv for p in found]
    assert values == sorted(values) and values[0] == 0 and len(found) >= 3
