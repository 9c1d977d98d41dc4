"""Laws of truth.md section 6, each shown by paired runs on common random numbers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.rtm.params import NEEDS as CATEGORIES
from scenarios import load
from scenarios.entries import shipped_names
from tests.factories import MYOPIC, SLACK, Run, run_world, same_rows, tiny_world

ACTIVITY = tuple(m.ACTIVITY.names)
OFTEN = {"unfinished_purchase": {"when": {"cart_visit": {"kind": 1}}}}
"""Visits of the shop, which are frequent, in place of its cart."""
PUSHY = {
    "rtm.quiet.from_h": 0,
    "rtm.quiet.to_h": 0,
    "rtm.universal_control_percent": 0,
    "subscribers.usage.visit_per_day": 20,
    "catalog.quests": [],
    "catalog.define": {"channels": SLACK, "offers": OFTEN},
}
"""Many messages and no quest: nothing but people's answers can change what they do.

The offers are those of the default scenario throughout, so that all runs share one scan kernel.
"""


def activity(run: Run) -> dict[str, np.ndarray]:
    """Return the `Activity` columns of every line, in canonical order."""
    rows = run.rows("activity")
    return {name: rows[name] for name in ACTIVITY}


@functools.cache
def pushy(effects: float, enabled: bool) -> Run:
    """Run 600 lines for a day with many messages."""
    return run_world(tiny_world(
        subscribers=600, **PUSHY, **{"subscribers.answers.effects": effects, "rtm.enabled": enabled}
    ))  # fmt: skip


def test_without_effects_treated_and_control_do_the_same_things() -> None:
    """Law 1: effects 0, some hundred messages seen, and every row of every line is equal, byte for
    byte, to that of a world in which the engine is off; balances and network end equal too.
    """
    on, off = pushy(0, True), pushy(0, False)
    assert on.totals["seen"].sum() > 100 and off.totals["seen"].sum() == 0
    assert same_rows(activity(on), activity(off))
    for name in ("BillingState", "Cells"):
        assert on.digest[name] == off.digest[name]


def test_with_effects_people_answer() -> None:
    """The law above is not empty: with effects 1 the same messages change what people do."""
    on, off = pushy(1, True), pushy(1, False)
    assert on.totals["accepted"].sum() > 0
    assert not same_rows(activity(on), activity(off))
    answers = np.isin(activity(on)["kind"], (m.RESPONSE,))
    assert answers.sum() >= on.totals["accepted"].sum()


def use_cases_by_name(run: Run) -> dict[str, np.ndarray]:
    """Return activity with the use case's name id in place of its dense index."""
    from sim.core.rng import name_id

    rows = activity(run)
    ids = np.array([name_id(name) for name in run.world.labels["use_case"]], np.int64)
    offered = (rows["kind"] == m.RESPONSE) | (
        (rows["kind"] == m.PURCHASE) & (rows["code"] == m.OFFERED)
    )
    ref = rows["ref"].astype(np.int64)
    ref[offered] = ids[rows["ref"][offered]]
    return {**rows, "ref": ref}


def inert(name: str, **product: Any) -> dict[str, Any]:
    """Return a whole offer that is eligible for nobody."""
    return {
        name: {
            "offer": name, "title": "nobody gets it", "group": "traffic",
            "when": {"cart_visit": {"kind": 1}}, "eligible": {"nobody": True}, "product": product,
            "truth": {"category": "data"}, "treatments": [{"channel": "sms"}],
        }
    }  # fmt: skip


COUPON = {"kind": "coupon", "price_minor": 100, "list_price_minor": 200}
CHEAP_PACK = {"kind": "data_pack", "price_minor": 100, "list_price_minor": 200, "data_mb": 10}


def with_inert(name: str, product: dict[str, Any]) -> Run:
    """Run the pushy world with one more offer."""
    options = {
        **PUSHY,
        "catalog.define": {"channels": SLACK, "offers": OFTEN | inert(name, **product)},
    }  # fmt: skip
    return run_world(tiny_world(subscribers=600, **options, **{"subscribers.answers.effects": 1}))


@pytest.mark.parametrize("name", ["aaa_first", "zzz_last"])
def test_an_inert_offer_moves_nobody(name: str) -> None:
    """An offer for nobody, first or last by name, leaves every row of every line byte-equal.

    Its rule does fire: decisions about it are made and end as not eligible.
    """
    other = with_inert(name, COUPON)
    assert same_rows(use_cases_by_name(other), use_cases_by_name(pushy(1, True)))
    index = other.world.labels["use_case"].index(name)
    assert other.totals["decisions"][index, m.NOT_ELIGIBLE] > 0
    assert (
        other.totals["decisions"][index].sum() == other.totals["decisions"][index, m.NOT_ELIGIBLE]
    )


def test_an_inert_offer_moves_no_price() -> None:
    """A cheap data pack for nobody leaves alone what people buy by themselves, and its price."""
    other = with_inert("zzz_pack", CHEAP_PACK)
    assert same_rows(use_cases_by_name(other), use_cases_by_name(pushy(1, True)))


LATENT = {
    "subscribers.answers.price_weight": 0.1,
    "subscribers.answers.need_weight": 9,
    "subscribers.answers.taste_weight": 5,
    "subscribers.answers.seen_share": 0.9,
    "subscribers.answers.fatigue_per_contact": 3,
    "subscribers.answers.delay_median_min": 500,
}
STILL = {f"subscribers.needs.organic_share.{name}": 0 for name in CATEGORIES}
NEEDS = {f"subscribers.needs.decay_h.{name}": 3 for name in ("data", "shopping", "money")} | {
    f"subscribers.needs.spontaneous_per_day.{name}": 0.15 for name in ("data", "money", "device")
}


@pytest.mark.parametrize("latent", [LATENT, NEEDS], ids=["answers", "needs"])
@pytest.mark.parametrize("engine", [False, True], ids=["engine off", "engine on"])
def test_what_the_engine_reads_does_not_depend_on_latents(latent: Any, engine: bool) -> None:
    """Law 6: latents change and no event does (effects 0, no organic purchases), so the engine's
    state, its decisions and its messages are the same, although the people differ.
    """
    base = {**PUSHY, **STILL, "subscribers.answers.effects": 0, "rtm.enabled": engine}
    plain = run_world(tiny_world(subscribers=300, **base))
    moved = run_world(tiny_world(subscribers=300, **base, **latent))
    assert same_rows(activity(plain), activity(moved))
    assert plain.digest["RtmState"] == moved.digest["RtmState"]
    assert plain.digest["Channels"] == moved.digest["Channels"]
    assert same_rows(plain.rows("decisions"), moved.rows("decisions"))
    assert engine == (plain.totals["intents"].sum() > 0)
    if latent is NEEDS:
        assert plain.digest["SubscriberState"] != moved.digest["SubscriberState"]
    elif engine:
        assert plain.totals["seen"].sum() != moved.totals["seen"].sum()


# --- law 2 --------------------------------------------------------------------------------------

VAT = 0.20
CASE = "unfinished_purchase"
PACK = {"price_minor": 4000, "list_price_minor": 5000, "unit_cost_minor": 300}
OTHERS = tuple(name for name in shipped_names("offers") if name != CASE)
PROOF = {
    "title": "a data pack for everyone", "when": {"cart_visit": {"kind": 1}},
    "eligible": {"tenure_days_min": 0},
    "product": {"kind": "data_pack", "data_mb": 100, "valid_days": 1, **PACK},
    "truth": {"category": "data", "b0": 0.0, "match": 1.0},
    "treatments": [{"channel": "sms"}],
    "policy": {"cap": {"contacts": 15, "per_days": 1}, "expires_min": 10_080},
    "control": {"local_percent": 0},
}  # fmt: skip
LAW_2 = {
    **MYOPIC,
    "population.smartphone_share": 1,
    "subscribers.usage.visit_per_day": 12,
    "subscribers.answers.seen_share": 1,
    "subscribers.answers.price_weight": 1,
    "subscribers.answers.delay_median_min": 90,
    "subscribers.answers.delay_sigma": 1.5,
    "subscribers.needs.spontaneous_per_day.data": 0.16,
    "subscribers.needs.organic_share.data": 0.9,
    "subscribers.needs.organic_delay_h.data": 4,
    "catalog.quests": [],
    "catalog.tariffs": ["mass_postpaid"],
    "catalog.define": {
        "channels": SLACK,
        "offers": {CASE: PROOF} | {name: {"eligible": {"nobody": True}} for name in OTHERS},
        # No allowance, no notices, money for everything: the account answers nothing back.
        "tariffs": {"mass_postpaid": {
            "credit_limit_minor": 100_000_000, "data_mb": 0, "fee_minor": 0,
            "after_limit": "charge",
        }},
    },
}  # fmt: skip


def bought(run: Run, sub: int, from_ms: int, to_ms: int, level: float) -> int:
    """Return the margin of what a line bought in a span, from its rated rows."""
    rows = run.rows("activity")
    mine = (
        (rows["sub"] == sub) & (rows["kind"] == m.PURCHASE) & (rows["charged_minor"] > 0)
        & (rows["ts_ms"] >= from_ms) & (rows["ts_ms"] < to_ms)
    )  # fmt: skip
    total = 0
    for code, charged in zip(rows["code"][mine], rows["charged_minor"][mine]):
        price = PACK["price_minor" if code == m.OFFERED else "list_price_minor"]
        assert charged == round(price * level)
        total += round(charged * (1 - VAT) - PACK["unit_cost_minor"] * level)
    return total


def test_the_direct_truth_is_the_paired_difference_of_two_runs() -> None:
    """Law 2, in the myopic world: for each line with one contact, `y1 - y0` is what the line bought
    within the horizon with the contact, less what it bought in a second run in which that contact
    alone was withheld, less the cost of the contact.

    All chosen lines are withheld at once: capacity is slack, so they do not affect one another.
    """
    world = tiny_world(subscribers=1_500, **LAW_2)
    first = run_world(world)
    truth = first.rows("truth")
    subs, counts = np.unique(truth["sub"], return_counts=True)
    once = np.isin(truth["sub"], subs[counts == 1])
    horizon_ms = round(world.scenario.subscribers.answers.horizon_days * 86_400_000)
    whole = truth["ts_ms"] + horizon_ms <= world.clock.end_ms
    chosen = np.flatnonzero(once & whole & (truth["y1_minor"] != truth["y0_minor"]))
    names = [f"{sub}/{CASE}" for sub in truth["sub"][chosen]]
    second = run_world(tiny_world(subscribers=1_500, **LAW_2, **{"rtm.withhold": names}))
    assert not np.isin(second.rows("truth")["sub"], truth["sub"][chosen]).any()

    level = world.scenario.money.price_level
    cost = round(load("city_day").catalogue.channels["sms"].cost_minor * level)
    kinds: dict[tuple[bool, bool], int] = {}
    for k in chosen:
        sub, at = int(truth["sub"][k]), int(truth["ts_ms"][k])
        with_it = bought(first, sub, at, at + horizon_ms, level)
        without = bought(second, sub, at, at + horizon_ms, level)
        direct = int(truth["y1_minor"][k]) - int(truth["y0_minor"][k])
        assert direct == with_it - without - cost, (sub, at, direct, with_it, without)
        kind = (with_it > 0, without > 0)
        kinds[kind] = kinds.get(kind, 0) + 1
    # Bought because of the contact, bought anyway (dearer or cheaper), and neither; who would have
    # bought anyway is never lost, as an answer in the horizon is all that displaces a purchase.
    assert sum(n for kind, n in kinds.items() if kind[0]) >= 30, kinds
    assert set(kinds) == {(True, False), (True, True), (False, False)}, kinds

    others = np.setdiff1d(np.arange(world.n_lines), truth["sub"][chosen])
    one, two = activity(first), activity(second)
    keep = [np.isin(rows["sub"], others) for rows in (one, two)]
    assert same_rows(
        {k: a[keep[0]] for k, a in one.items()}, {k: a[keep[1]] for k, a in two.items()}
    ), "withholding some lines moved others"
