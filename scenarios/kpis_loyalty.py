"""Games, the loyalty programme and partners: their part of `kpis.json`.

It owns the definition of liability, of what a partner is billed, and of how well the check of
places finds those who were never there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.estimates import rounded, share

Totals = Mapping[str, np.ndarray]
Labels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class QuestInfo:
    """What the figures need to know of a quest besides its counts.

    Attributes
    ----------
    partner : under whose brand it runs; empty: our own
    partner_share : share of rewards and prizes that the partner pays
    partner_fee_minor : what the partner pays for each completion
    """

    partner: str = ""
    partner_share: float = 0.0
    partner_fee_minor: int = 0


def quests(totals: Totals, labels: Labels, infos: Mapping[str, QuestInfo]) -> dict[str, Any]:
    """Return the figures of each quest.

    `invoice_minor` is what the partner owes: fees of completions and its share of prizes and of
    rewards, less what was taken back of them.
    """
    out: dict[str, Any] = {}
    for i, name in enumerate(labels["quest"]):

        def told(metric: str, at: int = i) -> int:
            return int(totals[metric][at])

        joined, done = told("quests_joined"), told("quests_completed")
        rate = share(min(done, joined), joined)
        info = infos.get(name, QuestInfo())
        kept_minor = told("granted_minor") - told("quest_cancelled_minor")
        cost_minor = kept_minor + told("prizes_minor")
        out[name] = {
            "joined": joined,
            "steps": told("quest_steps"),
            "completed": done,
            "lapsed": told("quests_lapsed"),
            "open": joined - done - told("quests_lapsed"),
            "completion": rounded(rate.value),
            "completion_low": rounded(rate.low),
            "completion_high": rounded(rate.high),
            "completion_n": rate.n,
            "team_steps": told("team_steps"),
            "outings_caused": told("quest_outings"),
            "rewards_granted": told("claims_granted"),
            "rewards_refused": told("claims_refused"),
            "rewards_cancelled": told("rewards_cancelled"),
            "rewards_suspect": told("rewards_suspect"),
            "deeds_refused": told("deeds_refused"),
            "granted_minor": told("granted_minor"),
            "booked_minor": told("quest_reward_minor"),
            "cancelled_minor": told("quest_cancelled_minor"),
            "prizes": told("prizes_drawn"),
            "prizes_missing": told("prizes_gone"),
            "prizes_minor": told("prizes_minor"),
            "points": told("points"),
            "badges": told("badges"),
            "partner": info.partner or None,
            "invoice_minor": round(cost_minor * info.partner_share) + done * info.partner_fee_minor,
            "ours_minor": cost_minor - round(cost_minor * info.partner_share),
        }
    return out


def loyalty(
    totals: Totals, games: Mapping[str, Mapping[str, Any]], stocks: Mapping[str, int]
) -> dict[str, Any]:
    """Return points, tiers, the book of bonus money, and the invoice of each partner.

    Parameters
    ----------
    games : figures of each quest
    stocks : at the end: `points_open`, `tier_1` and so on, `bonus_minor`
    """

    def told(metric: str) -> int:
        return int(totals[metric].sum())

    partners: dict[str, dict[str, int]] = {}
    for game in games.values():
        if game["partner"] is None:
            continue
        bill = partners.setdefault(
            game["partner"], {"completed": 0, "invoice_minor": 0, "ours_minor": 0}
        )
        for key in bill:
            bill[key] += game[key]
    rewards = told("quest_reward_minor") + told("points_reward_minor") + told("reward_minor")
    return {
        "points": {
            "earned": told("points") + told("campaign_points"),
            "redeemed": told("points_redeemed"),
            "expired": told("points_expired"),
            "cancelled": told("points_cancelled"),
            "liability": stocks.get("points_open"),
        },
        "tiers": {k: n for k, n in sorted(stocks.items()) if k.startswith("tier_")},
        "bonus": {
            "rewards_minor": rewards,
            "with_recharges_minor": told("bonus_in_minor") - rewards,
            "used_minor": told("bonus_out_usage_minor"),
            "expired_minor": told("bonus_out_expired_minor"),
            "cancelled_minor": told("bonus_out_cancelled_minor"),
            "liability_minor": stocks.get("bonus_minor"),
        },
        "abuse": {
            "check_ins_false": told("check_ins"),
            "players_suspect": told("quest_suspects"),
            "rewards_taken_back": told("rewards_suspect"),
        },
        "partners": partners,
    }
