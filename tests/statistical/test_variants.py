"""Tests of variants: a fair lot, each arm its own offer alone, and the better one shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from actors.rtm.variants import arm_of
from scenarios import load
from scenarios.kpis_variants import variants
from scenarios.outputs import case_infos
from sim.core import rng
from sim.core.errors import ScenarioError
from tests.factories import MYOPIC, run_world, tiny_world

SEED = rng.seed64(4)


def dealt(test: str, of: int, n: int = 20_000) -> np.ndarray:
    """Return the arm of each of n lines."""
    name = np.uint32(rng.name_id("test:" + test))
    return np.array([arm_of(SEED, sub, name, of) for sub in range(n)])


def test_lines_are_dealt_evenly_and_one_test_says_nothing_of_another() -> None:
    """Sizes of three arms, and of the 3 x 2 cells of two tests, as of independent lots."""
    one, two = dealt("price", 3), dealt("words", 2)
    assert stats.chisquare(np.bincount(one, minlength=3)).pvalue > 1e-6
    cells = np.bincount(one * 2 + two, minlength=6)
    assert stats.chisquare(cells).pvalue > 1e-6
    assert (dealt("price", 3) == one).all()


BASE: dict[str, Any] = {
    "title": "More data", "group": "traffic", "when": {"cart_visit": {"kind": 0}},
    "product": {"kind": "coupon", "price_minor": 10_000, "list_price_minor": 10_000},
    "propensity": 0.2, "margin_minor": 5_000, "treatments": [{"channel": "push"}],
    "policy": {"cap": {"contacts": 1, "per_days": 1}}, "control": {"local_percent": 10},
}  # fmt: skip


def offer(name: str, arm: int, b0: float) -> dict[str, Any]:
    """Return a variant with a truth of its own, for its arm of the test."""
    return {
        **BASE, "offer": name, "truth": {"category": "shopping", "b0": b0},
        "eligible": {"app": True, "variant": {"test": "words", "of": 2, "arm": arm}},
    }  # fmt: skip


def ran(b0: float, *, lines: int = 3_000) -> tuple[Any, dict[str, Any]]:
    """Return a day of two variants, the first with b0 0, and the figures of their test."""
    plain, other = offer("plain", 0, 0.0), offer("other", 1, b0)
    options = {
        **MYOPIC,
        "rtm.app_share": 0.8,
        "subscribers.answers.delay_median_min": 5,
        "subscribers.answers.seen_share": 1,
        "catalog.offers": ["plain", "other"],
        "catalog.quests": [],
        "catalog.define": {"offers": {"plain": plain, "other": other}},
    }
    world = tiny_world(subscribers=lines, **options)
    run = run_world(world)
    infos = case_infos(load("city_day", overrides=options))
    return run, variants(run.totals, world.labels, infos)["words"]


@pytest.mark.parametrize("b0", [0.0, 1.0])
def test_each_arm_sees_its_own_offer_and_the_better_one_shows(b0: float) -> None:
    """No line is ever asked about the other variant; equal variants do not differ beyond five
    standard errors, one that people like more is told apart in purchases and in margin.
    """
    run, told = ran(b0)
    rows = run.rows("decisions")
    names = run.world.labels["use_case"]
    seed = run.world.rtm.tables.seed
    test = np.uint32(rng.name_id("test:words"))
    eligible = rows["n_eligible"] > 0
    for sub, case in set(
        zip(rows["sub"][eligible].tolist(), rows["use_case"][eligible].tolist(), strict=True)
    ):
        assert names[case] == ("plain", "other")[arm_of(seed, sub, test, 2)]
    assert (rows["n_eligible"] <= 1).all()
    first, second = told["arms"]["0"], told["arms"]["1"]
    assert first["use_cases"] == ["plain"] and second["use_cases"] == ["other"]
    assert min(first["n"], second["n"]) > 400
    gap = told["differences"]["1"]
    money, share = gap["margin"], gap["conversion"]
    assert share["value"] == pytest.approx(second["conversion"] - first["conversion"], abs=2e-6)
    assert money["value"] == pytest.approx(second["margin"] - first["margin"], abs=0.01)
    if b0:
        assert share["low"] > 0 and money["verdict"] == "above"
        return
    assert abs(share["value"]) < 5 / 1.96 * (share["high"] - share["low"]) / 2
    assert abs(money["value"]) < 5 / 1.96 * (money["high"] - money["low"]) / 2


@pytest.mark.parametrize(
    ("plain", "other", "words"),
    [
        ({"arm": 0, "of": 2}, {"arm": 1, "of": 3}, "different numbers of arms"),
        ({"arm": 0, "of": 2}, {"arm": 2, "of": 2}, "no such arm"),
        ({"arm": 1, "of": 2}, {"arm": 1, "of": 2}, "compares nothing"),
    ],
)
def test_a_test_that_compares_nothing_is_refused(
    plain: dict[str, int], other: dict[str, int], words: str
) -> None:
    """One message at the place of the arm, before anything is built."""
    offers = {
        name: {**offer(name, 0, 0.0), "eligible": {"variant": {"test": "words", **arm}}}
        for name, arm in (("plain", plain), ("other", other))
    }
    with pytest.raises(ScenarioError, match=words):
        load("city_day", overrides={
            "catalog.define": {"offers": offers}, "catalog.offers": ["plain", "other"],
        })  # fmt: skip
