"""The 21 initiatives in a small nation: each fires, at a rate, in three weeks of 12,000 lines."""

from typing import Any

import pytest

from scenarios import load
from scenarios.backlog import backlog
from scenarios.coverage import coverage
from scenarios.world import build_world, load_geography
from sim.core.partition import Partition

LINES, DAYS = 12_000, 14.0

FACTOR = 3.0
"""A believed rate that is a sensible anchor is met within this factor."""
ANCHORED = ("B1", "B4", "B6", "B7", "B8", "R5", "T2")
"""Initiatives whose rate follows from what people and accounts do, and not from how a workshop
counted: B2 and B5 count each top-up and each fall, G1 and G2 each passer-by, R1 and R2 hang on the
load of cells, T1 and R3 on shares of pages."""


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, Any]]:
    """Give the use cases of a run of the national scenario, by name."""
    run = load("megafon_2019").with_(subscribers=LINES, days=DAYS).run()
    return run.kpis["use_cases"]


def rates(cases: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return fires in the audience per 1,000 lines and 30 days, by initiative (first branch)."""
    out: dict[str, float] = {}
    for case in cases.values():
        if case["branch"] != "visited categories":
            out[case["initiative"]] = case["eligible"] / LINES / DAYS * 30_000
    return out


def test_all_21_fire(cases: dict[str, dict[str, Any]]) -> None:
    """Every use case and every branch has hits in its audience."""
    quiet = [name for name, case in cases.items() if not case["eligible"]]
    assert not quiet and len(cases) == 22


def test_rates_are_near_those_that_the_workshop_believed(cases: dict[str, dict[str, Any]]) -> None:
    """Within a factor of three where the belief is an anchor."""
    believed = {idea.initiative: idea.fires for idea in backlog() if idea.initiative}
    found = rates(cases)
    off = {
        code: (found[code], believed[code])
        for code in ANCHORED
        if not believed[code] / FACTOR <= found[code] <= believed[code] * FACTOR
    }
    assert not off


def test_98_percent_of_people_have_a_relevant_offer() -> None:
    """Suitable, and worth more than it costs and than they would do alone (S0.11, S0.16)."""
    loaded = load("megafon_2019").with_(subscribers=LINES)
    world = build_world(loaded, load_geography(loaded))
    found = coverage(world, Partition(0, 0, LINES))
    print(f"{found.share:.4f} of {found.people} people have a relevant offer")
    assert found.share >= 0.98
    relevant = dict(zip(world.labels["use_case"], found.by_case.tolist(), strict=True))
    assert all(n > 0 for name, n in relevant.items() if name not in LOSERS), relevant


LOSERS = ("mall_coupon", "quest_prize", "return_gift", "rival_save", "service_apology")
"""Given away or planted: no acceptance of them earns anything at once."""
