"""Law 5 of truth.md section 6: each slow mechanism turns the sign of its planted case only.

Five groups of people get one planted offer each.  At once (direct truth, three hours) every one of
them earns; over eight days, against the same people without it, each still does, unless the one
mechanism that undoes it is on.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from actors.profile import build_profile
from actors.rtm.params import NEEDS, SEGMENTS
from actors.subscribers.params import CAUSES
from scenarios.entries import shipped_names
from scenarios.population import homes
from tests.factories import MYOPIC, SLACK, Run, run_world, tiny_world

LINES, DAYS, VAT = 800, 8.0, 0.20
GROUPS = ("fatigue", "trust", "deals", "pull_forward", "cannibalisation")
WHO: dict[str, dict[str, Any]] = {
    "fatigue": {"segment": ["youth"]},
    "trust": {"segment": ["premium"]},
    "deals": {"segment": ["business"]},
    "pull_forward": {"segment": ["mass"], "smartphone": False},
    "cannibalisation": {"segment": ["mass"], "smartphone": True},
}
SEEN = {"cart_visit": {"kind": 1}}


def offer(group: str, *, price: int, b0: float, daily: int, annoy: float = 0.0, **more: Any) -> Any:
    """Return an offer of a group: a small pack, shown on visits of the shop by text."""
    product = {"kind": "data_pack", "price_minor": price, "list_price_minor": price,
               "data_mb": 1, "valid_days": 1} | more.pop("product", {})  # fmt: skip
    return {
        "title": group, "group": "traffic", "when": SEEN, "eligible": WHO[group],
        "product": product, "margin_minor": price, "propensity": more.pop("propensity", 0.1),
        "truth": {"category": more.pop("category", "loyalty"), "b0": b0, "match": 1.0,
                  "annoy": annoy, "place": False},
        "treatments": [{"channel": "sms"}],
        "policy": {"cap": {"contacts": daily, "per_days": 1}, "expires_min": 600},
        "control": {"local_percent": 0}, **more,
    }  # fmt: skip


PLANTED = {
    # Pushed often, cheap, and read by people who then stop answering what matters (`main_*`).
    "push_fatigue": offer("fatigue", price=5_000, b0=-2.0, daily=2, annoy=4.0),
    "push_trust": offer("trust", price=200, b0=-2.5, daily=8),
    # A third off, again and again, to people who would have paid the list price next week.
    "deal": offer("deals", price=100, b0=-1.0, daily=4, category="shopping",
                  product={"list_price_minor": 150}),
    "early": offer("pull_forward", price=1_000, b0=-5.0, daily=2, category="device",
                   product={"list_price_minor": 4_000}),
    "flood": offer("cannibalisation", price=500, b0=0.5, daily=1, category="data",
                   product={"data_mb": 100_000, "valid_days": 7}),
}  # fmt: skip
ALWAYS = {
    "main_fatigue": offer("fatigue", price=5_000, b0=-0.5, daily=1, propensity=0.9),
    "main_trust": offer("trust", price=5_000, b0=-0.5, daily=1, propensity=0.9),
    # Nobody is shown these: they are what people buy by themselves, at list price.
    "own_partner": offer("deals", price=6_000, b0=-9, daily=0, category="partner"),
    "own_device": offer("pull_forward", price=4_000, b0=-9, daily=0, category="device"),
}
BASE: dict[str, Any] = {
    **MYOPIC,
    "subscribers.usage.voice_per_day": 0.01, "subscribers.usage.sms_per_day": 0.01,
    "subscribers.usage.location_per_day": 0.01, "subscribers.usage.data_per_day": 3,
    "subscribers.usage.data_gb_month": 3, "subscribers.usage.visit_per_day": 30,
    "subscribers.answers.seen_share": 0.9, "subscribers.answers.price_weight": 0,
    "subscribers.answers.taste_weight": 0, "subscribers.answers.need_weight": 7,
    "subscribers.answers.horizon_days": 0.125, "subscribers.answers.delay_median_min": 5,
    "subscribers.answers.delay_sigma": 0.5,
    "subscribers.means.wallet_weight": 0, "subscribers.means.deal_learning": 0,
    "subscribers.means.deal_wait": 1, "subscribers.means.deal_days": 365,
    "subscribers.answers.fatigue_per_contact": 0,
    "subscribers.needs.woken_by": dict.fromkeys(CAUSES, 0.0),
    "subscribers.needs.organic_share": dict.fromkeys(NEEDS, 0.0) | {"partner": 0.9},
    "subscribers.needs.organic_delay_h.device": 24,
    "subscribers.needs.organic_delay_h.partner": 2,
    "subscribers.needs.spontaneous_per_day": dict.fromkeys(NEEDS, 0.0)
    | {"device": 0.1, "partner": 0.1},
    "clock.tick_s": 3600,
    "catalog.quests": [],
    "catalog.offers": ["*"],
}  # fmt: skip
SWITCHES: dict[str, dict[str, Any]] = {
    "none": {},
    "fatigue": {
        "subscribers.answers.fatigue_per_contact": 2,
        "subscribers.answers.fatigue_weight": 4,
    },
    "trust": {"subscribers.answers.trust_weight": 3},
    "deals": {"subscribers.means.deal_learning": 1},
    "pull_forward": {"subscribers.needs.organic_share.device": 0.95},
    "cannibalisation": {},
}


def catalogue(planted: bool, charge: bool) -> dict[str, Any]:
    """Return what the scenario defines: planted offers or not, and data charged or not."""
    nobody = {name: {"eligible": {"nobody": True}} for name in shipped_names("offers")}
    own = {
        name: {"offer": name, **what} | ({} if planted or name in ALWAYS
                                         else {"eligible": {"nobody": True}})
        for name, what in (PLANTED | ALWAYS).items()
    }  # fmt: skip
    tariffs = {
        f"{segment}_open": {
            "tariff": f"{segment}_open", "title": segment, "prepaid": False, "share": share,
            "segment": segment, "fee_minor": 0, "period_days": 30, "data_mb": 0, "voice_min": 0,
            "sms": 0, "credit_limit_minor": 1_000_000_000,
            "after_limit": "charge" if charge and segment == "mass" else "throttle",
            "over": {"voice_minor_per_min": 0, "sms_minor": 0, "data_minor_per_mb": 12},
        }
        for segment, share in (("mass", 40), ("youth", 20), ("premium", 20), ("business", 20))
    }  # fmt: skip
    free = {"sms": SLACK["sms"] | {"cost_minor": 0}}
    return {"channels": SLACK | free, "offers": nobody | own, "tariffs": tariffs}


@functools.cache
def week(mechanism: str, planted: bool) -> Run:
    """Run eight days with one slow mechanism on, and the planted offers or none of them."""
    define = catalogue(planted, charge=mechanism == "cannibalisation")
    options = BASE | SWITCHES[mechanism] | {
        "catalog.define": define, "catalog.tariffs": sorted(define["tariffs"]),
    }  # fmt: skip
    return run_world(tiny_world(subscribers=LINES, days=DAYS, **options), partitions=1)


def members(run: Run) -> dict[str, np.ndarray]:
    """Return the lines of each group."""
    world = run.world
    subs = np.arange(LINES, dtype=np.int64)
    tables = world.population
    profile = build_profile(world.seed, subs, homes(world.seed, subs, tables), tables.profile)
    segment = np.array(SEGMENTS)[profile["segment"]]
    smart = profile["device"] > 0
    return {
        group: np.flatnonzero(
            (segment == who["segment"][0]) & (smart == who.get("smartphone", smart))
        )
        for group, who in WHO.items()
    }


def gains(mechanism: str) -> dict[str, tuple[float, float]]:
    """Return by group the gain at once and over the eight days, minor units a line."""
    on, off = week(mechanism, True), week(mechanism, False)
    money = []
    for run in (on, off):
        rows = run.rows("activity")
        by_line = np.zeros(run.world.n_lines)
        np.add.at(by_line, rows["sub"], rows["charged_minor"] * (1 - VAT))
        money.append(by_line)
    truth = on.rows("truth")
    level = np.array(on.world.labels["use_case"])
    planted = np.isin(level[truth["use_case"]], list(PLANTED))
    direct = np.zeros(on.world.n_lines)
    np.add.at(direct, truth["sub"], np.where(planted, truth["y1_minor"] - truth["y0_minor"], 0))
    return {
        group: (float(direct[mine].mean()), float((money[0] - money[1])[mine].mean()))
        for group, mine in members(on).items()
    }


@pytest.mark.parametrize("mechanism", SWITCHES)
def test_a_slow_mechanism_turns_its_own_case_alone(mechanism: str) -> None:
    """At once every planted offer earns; in eight days the one whose mechanism is
    on loses, and with none on short and long agree."""
    found = gains(mechanism)
    print(mechanism, {group: (round(a), round(b)) for group, (a, b) in found.items()})
    for group, (short, long) in found.items():
        assert short > 0, group
        if mechanism == "none":
            assert long == pytest.approx(short, rel=0.05), group
        assert (long < 0) == (group == mechanism), (group, short, long)
