"""The cost ledger: shares of the foundation, sums that add up, scale and prices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scenarios import load
from scenarios.kpis_costs import costs
from scenarios.models import CostParams
from scenarios.outputs import case_infos
from tests.unit.test_kpis import made
from tests.unit.test_report_fake import CASES

ZERO = {name: np.zeros(1, np.int64) for name in ("contact_cost_minor", "reward_minor")}


def of_catalogue(initiatives: str = "all_21", **prices: Any) -> dict:
    """Return the ledger of the shipped catalogue, of a run of 30 days in which nothing happened."""
    loaded = load("megafon_2019", overrides=[f"catalog.initiatives={initiatives}"])
    infos = case_infos(loaded)
    return costs(
        ZERO, prices=CostParams(**prices), price_level=1.0,
        cases={name: {"purchases": 0} for name in infos}, infos=infos, games={},
        added_minor=10_000, days=30.0, weight=2.0,
    )  # fmt: skip


@pytest.mark.parametrize(("initiatives", "low", "high"), [
    ("all_21", 0.45, 0.48), ("launched_14", 0.55, 0.60), ("[B3]", 0.95, 0.97),
])  # fmt: skip
def test_the_foundation_has_its_published_share(initiatives: str, low: float, high: float) -> None:
    """About 47 % with all 21, 57 % with the 14; one use case alone does not bear it."""
    told = of_catalogue(initiatives)
    share = told["cep_profile_share"]
    assert low <= share["value"] <= high
    assert share["inside"] == (initiatives != "[B3]")
    build = told["build"]
    parts = ("cep_minor", "profile_minor", "use_cases_minor")
    assert sum(build[key] for key in parts) == build["total_minor"]
    assert share["value"] == pytest.approx(
        (build["cep_minor"] + build["profile_minor"]) / build["total_minor"], abs=1e-6
    )


def test_the_work_of_the_workshop_is_priced_use_case_by_use_case() -> None:
    """Each person-month costs the same; 138 of the 21 beside 120; 36 months write it off."""
    told = of_catalogue(person_month_minor=1_000, run_per_person_month_minor=10)
    cases = told["use_cases"]
    assert sum(case["person_months"] for case in cases.values()) == 138
    assert told["build"]["person_months"] == 258 and told["build"]["total_minor"] == 258_000
    assert all(c["build_minor"] == 1_000 * c["person_months"] for c in cases.values())
    assert told["run"]["platform_minor"] == 2_580
    assert told["written_off_minor"] == round(258_000 / 36)
    assert told["added_minor"] == 20_000
    assert told["net_minor"] == 20_000 - 2_580 - round(258_000 / 36)


def test_what_a_run_spent_is_that_of_its_use_cases_at_full_scale() -> None:
    """Contacts, rewards and products are the cost of all use cases, at the scale of the base."""
    day = made(prices=CostParams(), represents=500_000)
    run, cases = day["costs"]["run"], day["use_cases"]
    spent = sum(run[f"{name}_minor"] for name in ("contacts", "rewards", "products"))
    assert spent == 10 * sum(case["cost_minor"] for case in cases.values()) > 0
    keys = ("contacts", "rewards", "products", "games", "platform")
    assert run["total_minor"] == sum(run[f"{name}_minor"] for name in keys)
    assert run["games_minor"] == 10 * sum(q["ours_minor"] for q in day["quests"].values())
    assert day["costs"]["build"]["unpriced"] == len(CASES)
    assert made()["costs"] is None
