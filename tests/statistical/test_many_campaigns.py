"""Two thousand campaigns at one time, the rate of a month: each asks, and no rule is broken."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from actors import messages as m
from scenarios import load
from tests.factories import run_world, tiny_world

N, LINES = 2_000, 250
OFFERS = ("return_gift", "traffic_data_pack", "plan_limit_pack", "partner_finance")
SEGMENTS = ("mass", "youth", "premium", "business")


def campaign(k: int) -> dict[str, Any]:
    """Return one campaign of many: another audience, offer, channel, price and hour each."""
    return {
        "campaign": f"c{k:04d}", "title": f"Campaign {k}",
        "audience": f"segment != {SEGMENTS[k % 4]} and tenure_days >= {20 * (k % 40)}",
        "groups": [
            {"group": "app", "when": "app", "offer": OFFERS[k % 4], "channels": ["push"]},
            {"group": "rest", "offer": OFFERS[(k + 1) % 4], "discount": 0.1 * (k % 3),
             "channels": ["sms"]},
        ],
        "schedule": {"days": 1, "from_h": 9 + k % 8, "to_h": 12 + k % 8},
        "participation": {"again_after_days": 30},
    }  # fmt: skip


def test_two_thousand_campaigns_run_beside_each_other_within_the_rules() -> None:
    """Every campaign looks at every line once, in its hours; each line gets what the cap allows and
    takes part in a campaign once, counted from the decisions; the audit of every tick holds.
    """
    plans = {f"c{k:04d}": campaign(k) for k in range(N)}
    options = {"catalog.define": {"campaigns": plans}, "catalog.campaigns": list(plans)}
    world = tiny_world(subscribers=LINES, **options)
    run = run_world(world)
    assert all(holds for *_, holds in run.audit)
    totals = run.totals
    assert totals["campaign_breaches"].sum() == totals["cap_breaches"].sum() == 0
    assert (totals["campaign_looked"] == totals["campaign_looked"][0]).all()
    assert LINES <= totals["campaign_looked"][0] == world.n_lines
    rows = run.rows("decisions")
    names = world.labels["use_case"]
    offers = load("city_day").catalogue.offers
    won = np.flatnonzero((rows["reason"] == m.INTENDED) | (rows["reason"] == m.HOLDOUT))
    contacts: Counter[int] = Counter()
    taken: Counter[tuple[int, str]] = Counter()
    for sub, case, at in zip(
        *(rows[key][won].tolist() for key in ("sub", "use_case", "ts_ms")), strict=True
    ):
        plan, mark, _ = names[case].partition(":")
        if mark:
            hour = at / 3_600_000
            schedule = plans[plan]["schedule"]
            assert schedule["from_h"] <= hour < schedule["to_h"], names[case]
            taken[sub, plan] += 1
        contacts[sub] += not (not mark and offers[plan].policy.service)
    cap = world.scenario.rtm.cap
    assert cap.per_days >= 2 and max(contacts.values()) == cap.contacts
    assert max(taken.values()) == 1
    assert len({plan for _, plan in taken}) > 100 and len(taken) > LINES
