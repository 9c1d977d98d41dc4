"""What quests do to people, and the two stages of loyalty to ads, in small worlds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.quest_tables import plays
from scenarios import load
from tests.factories import MYOPIC, Run, run_world, tiny_world

GAME = {
    "quest": "walk", "title": "Walk", "opens_h": 0, "closes_h": 24, "joins": 0.5, "app": False,
    "steps": [{"do": "enter_geofence", "at_least": 1}],
}  # fmt: skip
PROMO = {
    "offer": "promo", "title": "More of the same", "group": "traffic",
    "when": {"quest_step": {"number": 1}},
    "product": {"kind": "data_pack", "price_minor": 100, "list_price_minor": 20_000,
                "data_mb": 500, "valid_days": 1},
    "propensity": 0.5, "margin_minor": 100,
    "truth": {"category": "device", "b0": 9}, "treatments": [{"channel": "push"}],
    "control": {"local_percent": 0}, "eligible": {"app": True},
}  # fmt: skip


def played(*, subscribers: int = 1_500, **play: float) -> Run:
    """Return a day with one quest that does this to its players."""
    world = tiny_world(
        subscribers=subscribers,
        **{
            "catalog.quests": ["walk"], "catalog.offers": [],
            "catalog.define": {"quests": {"walk": {**GAME, "play": play}}},
        },
    )  # fmt: skip
    return run_world(world)


def rows_of(run: Run) -> dict[int, list[tuple[int, ...]]]:
    """Return what each line did, by line."""
    rows = run.rows("activity")
    out: dict[int, list[tuple[int, ...]]] = {}
    names = ("sub", "ts_ms", "kind", "code", "ref", "units")
    for sub, *rest in zip(*(rows[name].tolist() for name in names), strict=True):
        out.setdefault(sub, []).append(tuple(rest))
    return out


@pytest.mark.slow
def test_outings_are_made_by_players_alone_and_finish_more_games() -> None:
    """With outings more games are completed, and who does not play does not do a thing otherwise.

    Cells are too wide to be full here, so that nothing else can carry the difference over.
    """
    still, gone = played(), played(outings=1.0)
    assert still.totals["quest_outings"].sum() == 0 < gone.totals["quest_outings"].sum()
    assert gone.totals["quests_completed"].sum() > still.totals["quests_completed"].sum()
    before, after = rows_of(still), rows_of(gone)
    changed = {sub for sub in before | after if before.get(sub) != after.get(sub)}
    quests = gone.runtime.hosts[0].roles[0][2].desk.quests
    assert changed and all(plays(quests, sub, 0, 0) for sub in changed)


@pytest.mark.slow
def test_false_check_ins_are_found_by_the_check_of_places() -> None:
    """Nobody honest is suspected; of those who cheat and win, most lose the reward again."""
    honest, cheats = played(), played(cheats=0.3)
    assert honest.totals["check_ins"][0] == 0 and honest.totals["rewards_suspect"].sum() == 0
    taken = int(cheats.totals["rewards_suspect"].sum())
    assert 0 < taken == int(cheats.totals["rewards_cancelled"].sum())
    made = cheats.rows("activity")
    wrong = (made["kind"] == m.RESPONSE) & (made["code"] == m.CHECK_IN)
    liars = np.unique(made["sub"][wrong])
    assert int(cheats.totals["quest_suspects"][0]) <= len(liars)


@pytest.mark.slow
def test_a_purchase_opens_a_promo_and_the_promo_brings_the_gift() -> None:
    """Stage 1: bought of one's own accord, a promo is sent.  Stage 2: bought by it, a gift.

    No gift without both, and each gift is booked by billing.
    """
    # What is bought without an offer is what the catalogue sells: its offers stay, for nobody.
    offers = list(load("city_day").catalogue.offers)
    options: dict[str, Any] = {
        **MYOPIC,
        "rtm.app_share": 1.0,
        "subscribers.answers.seen_share": 1,
        "subscribers.answers.delay_median_min": 5,
        "subscribers.needs.organic_share.device": 1,
        "subscribers.needs.spontaneous_per_day": dict.fromkeys(("data", "device"), 1.0),
        "catalog.quests": ["promo_then_gift"], "catalog.offers": [*offers, "promo"],
        "catalog.define": {
            "offers": {"promo": PROMO, **{o: {"eligible": {"nobody": True}} for o in offers}},
            "quests": {"promo_then_gift": {"joins": 1.0}},
        },
    }  # fmt: skip
    run = run_world(tiny_world(subscribers=1_500, days=2.0, **options))
    totals = run.totals
    rule = run.world.labels["trigger"].index("quest_step")
    hits, steps = int(totals["trigger_hits"][rule]), int(totals["quest_steps"].sum())
    done = int(totals["quests_completed"].sum())
    assert hits > 0 and 0 < done <= int(totals["purchases"].sum())
    assert steps == hits + done
    assert int(totals["granted_minor"].sum()) >= int(totals["quest_reward_minor"].sum()) > 0
