"""Options of quests and of the loyalty programme.

It owns the catalogue model of a quest.  What playing does to people is in `Play`, which is read by
the subscriber role and by no other; the engine sees what they do.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.core.params import Params

QUESTS_MAX = 16
"""Quests of a scenario: each deed of a player is looked at for every one."""
STEPS_MAX = 8
TIERS_MAX = 7
CATEGORIES = (
    "any", "data", "roaming", "shopping", "money", "loyalty", "device", "renewal",
    "partner",
)  # fmt: skip


class QuestStep(Params):
    """One thing to do."""

    do: Literal[
        "enter_geofence", "visit_geofence", "use_data_mb", "talk_min", "send_sms", "buy",
        "recharge", "open_page",
    ]  # fmt: skip
    kind: Literal["mall", "airport", "shop"] = "mall"
    at_least: int = Field(
        default=1, ge=1, le=1_000_000, description="different places, visits, MB, minutes, times"
    )
    days_in_row: int = Field(
        default=1, ge=1, le=60, description="days in a row on each of which it must be done; 1: any"
    )
    per_day_max: int = Field(
        default=0, ge=0, le=255, description="times that count on one day, beyond it none; 0: all"
    )
    category: Literal[
        "any", "data", "roaming", "shopping", "money", "loyalty", "device", "renewal", "partner"
    ] = Field(default="any", description="what must be bought (`buy` alone)")
    caused: Literal["any", "own", "offer"] = Field(
        default="any", description="bought of one's own accord, by an offer, or either (`buy`)"
    )
    opens: int = Field(
        default=0, ge=0, le=255,
        description="doing it opens a decision: number of a `quest_step` trigger; 0: none",
    )  # fmt: skip


class Prize(Params):
    """A thing that is drawn among those who complete a quest, while it lasts."""

    prize: str = Field(description="name")
    stock: int = Field(ge=1, le=100_000_000, description="pieces for the whole base")
    chance: float = Field(default=0.01, ge=0, le=1, description="chance at each completion")
    cost_minor: int = Field(default=0, ge=0, description="what one costs, minor units")


class Play(Params):
    """What a quest does to the people who play it: read by the subscriber role alone."""

    outings: float = Field(
        default=0.0, ge=0, le=1,
        description="chance per day that a player goes to a mall because of it (assumption)",
    )  # fmt: skip
    cheats: float = Field(
        default=0.0, ge=0, le=1,
        description="share of players who check in where they are not (assumption)",
    )  # fmt: skip


class Quest(Params):
    """A game: steps, a window, and a reward through billing."""

    quest: str
    title: str
    partner: str = Field(default="", description="under whose brand it runs; empty: our own")
    opens_h: float = Field(default=0.0, ge=0, description="opening, hours from the start")
    closes_h: float = Field(default=24.0, gt=0, description="end, hours from the start")
    every_h: float = Field(default=0.0, ge=0, description="opens again after so long, h; 0: once")
    times_max: int = Field(default=1, ge=1, le=200, description="rounds that one line may play")
    joins: float = Field(default=0.05, ge=0, le=1, description="share of those asked who join")
    app: bool = Field(default=True, description="only lines with our app are asked")
    tenure_days_min: int = Field(default=0, ge=0, description="shortest time with us, days")
    tenure_days_max: int = Field(
        default=100_000, ge=0, description="longest time with us, days: a gift for new ones"
    )
    tier_min: str = Field(default="", description="lowest loyalty tier asked; empty: everybody")
    steps: tuple[QuestStep, ...] = Field(min_length=1, max_length=STEPS_MAX)
    ordered: bool = Field(default=False, description="a step counts only after those before it")
    team_size: int = Field(
        default=0, ge=0, le=100, description="lines that play together, in the mean; 0: alone"
    )
    reward_minor: int = Field(
        default=5_000, ge=0, description="bonus for completing it, minor units"
    )
    cashback: float = Field(
        default=0.0, ge=0, le=1, description="share of the last purchase that comes back as bonus"
    )
    points: int = Field(
        default=100, ge=0, le=1_000_000, description="loyalty points for completing it"
    )
    badge: str = Field(default="", description="mark of completion; empty: none")
    prizes: tuple[Prize, ...] = Field(default=(), max_length=8, description="drawn at completion")
    budget_minor: int = Field(
        default=0, ge=0, description="bonus for the whole base at most, minor units; 0: no limit"
    )
    rewards_max: int = Field(
        default=0, ge=0, description="rewards for the whole base at most; 0: no limit"
    )
    partner_share: float = Field(
        default=0.0, ge=0, le=1, description="share of rewards and prizes that the partner pays"
    )
    partner_fee_minor: int = Field(
        default=0, ge=0, description="what the partner pays us for each completion, minor units"
    )
    cancel_share: float = Field(
        default=0.0, ge=0, le=1,
        description="rewards taken back for reasons that no event shows, share (assumption)",
    )  # fmt: skip
    play: Play = Play()


class Tier(Params):
    """A level of the loyalty programme."""

    tier: str = Field(description="name")
    points: int = Field(ge=1, le=100_000_000, description="points earned that lead to it")
    factor: float = Field(default=1.0, ge=0, le=10, description="factor on points earned in it")


class Loyalty(Params):
    """The points programme; every figure is an assumption."""

    tiers: tuple[Tier, ...] = Field(
        default=(
            Tier(tier="silver", points=500, factor=1.1),
            Tier(tier="gold", points=2_000, factor=1.25),
        ),
        max_length=TIERS_MAX,
        description="levels above the first, ascending",
    )
    redeem_points: int = Field(
        default=500, ge=1, le=1_000_000, description="points are turned into bonus in such lots"
    )
    lot_minor: int = Field(default=2_500, ge=0, description="bonus for a lot, minor units")
    redeem_share: float = Field(
        default=0.6, ge=0, le=1, description="lines that turn points in as soon as they have a lot"
    )
    points_days: int = Field(
        default=365, ge=1, le=3_650, description="life of points after the last were earned, days"
    )
    speed_kmh_max: float = Field(
        default=200.0, gt=0, le=2_000,
        description="faster between two places is taken for abuse: rewards are taken back",
    )  # fmt: skip
