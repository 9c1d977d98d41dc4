"""Quests and the loyalty programme as integer arrays, compiled once, for every role.

It owns the codes of what a step may ask for, windows, and the trait of who plays.  It must not
know what playing does to a person, nor how a game goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.loyalty.params import CATEGORIES, Quest
from actors.rtm.params import NEEDS, Offer, RtmParams
from geo.fence_file import FENCE_KINDS
from geo.geography import Geography
from sim.core import rng
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream

DEEDS = (
    "enter_geofence", "visit_geofence", "use_data_mb", "talk_min", "send_sms", "buy", "recharge",
    "open_page",
)  # fmt: skip
ENTER, VISIT_PLACE, DATA, TALK, TEXT, BUY, RECHARGE, PAGE = range(8)
UNITS = {"use_data_mb": 1000, "talk_min": 60}
"""How many units of the engine (kB, s) stand for one of a step."""
CAUSES = ("any", "own", "offer")
NEVER_MS = 1 << 60
S_QUEST = stream("joins a quest")
SLACK_M = 3_000
"""Distance that is no abuse, m: cells are coarse and fences wide (assumption)."""
POINTS_ROW, PLACE_ROW = rng.name_id("loyalty:points"), rng.name_id("loyalty:last place")


class QuestTables(NamedTuple):
    """One row per quest, and one per step: those of quest j are `step_start[j]` and on."""

    seed: np.uint64
    quest_id: np.ndarray
    open_ms: np.ndarray
    close_ms: np.ndarray
    every_ms: np.ndarray
    times: np.ndarray
    joins: np.ndarray
    app: np.ndarray
    tenure_min: np.ndarray
    tenure_max: np.ndarray
    tier_min: np.ndarray
    ordered: np.ndarray
    team: np.ndarray
    reward_minor: np.ndarray
    cashback_q: np.ndarray
    points: np.ndarray
    badge: np.ndarray
    ours_q: np.ndarray
    fee_minor: np.ndarray
    cancel: np.ndarray
    step_start: np.ndarray
    step_id: np.ndarray
    step_do: np.ndarray
    step_kind: np.ndarray
    step_at_least: np.ndarray
    step_days: np.ndarray
    step_per_day: np.ndarray
    step_category: np.ndarray
    step_cause: np.ndarray
    step_rule: np.ndarray
    case_need: np.ndarray
    fence_kind: np.ndarray
    fence_x_m: np.ndarray
    fence_y_m: np.ndarray
    tier_points: np.ndarray
    tier_factor_q: np.ndarray
    lot_points: int
    lot_minor: int
    redeems: np.uint32
    points_days: int
    speed_mm_s: int


@kernel
def plays(q, sub, quest, window):
    """Return whether a line that is asked wants to play a round: a trait of the person."""
    a, _, _, _ = draw_cause(q.seed, S_QUEST, sub, q.quest_id[quest], window, 0)
    return a < q.joins[quest]


@kernel
def window_at(q, quest, ts_ms):
    """Return the number of the window of a quest that contains a moment, or -1."""
    since = ts_ms - q.open_ms[quest]
    if since < 0:
        return np.int64(-1)
    window = since // q.every_ms[quest]
    inside = since - window * q.every_ms[quest] < q.close_ms[quest] - q.open_ms[quest]
    return window if inside else np.int64(-1)


def opening_in(q: QuestTables, quest: int, start_ms: int, end_ms: int) -> int:
    """Return the moment in a tick at which a quest opens, ms, or -1."""
    opens, every = int(q.open_ms[quest]), int(q.every_ms[quest])
    at_ms = opens + max(-(-(start_ms - opens) // every), 0) * every
    return at_ms if start_ms <= at_ms < end_ms else -1


def compile_quests(
    quests: Sequence[Quest],
    params: RtmParams,
    geo: Geography,
    *,
    seed: int,
    price_level: float,
    offers: Sequence[Offer],
    rules: Sequence[Any],
    n_lines: int,
) -> QuestTables:
    """Return the tables of the quests of a run.

    Parameters
    ----------
    rules : the rules of the run; those of `quest_step` are opened by steps
    n_lines : lines at the start
    """
    steps = [
        (rng.name_id(f"quest:{quest.quest}/step:{k}"), step)
        for quest in quests
        for k, step in enumerate(quest.steps)
    ]
    loyalty = params.loyalty
    tiers = ["", *(tier.tier for tier in loyalty.tiers)]
    opened = {r.options[0]: k for k, r in enumerate(rules) if r.trigger.name == "quest_step"}
    mean_lat = float(np.mean(geo.fence_lat)) if len(geo.fence_lat) else 0.0

    def column(values: Any, dtype: type = np.int64) -> np.ndarray:
        return np.array(list(values), dtype)

    def ms(hours: float) -> int:
        return round(hours * 3_600_000)

    def money(value: float) -> int:
        return round(value * price_level)

    return QuestTables(
        seed=np.uint64(rng.seed64(seed)),
        quest_id=column((rng.name_id("quest:" + q.quest) for q in quests), np.uint32),
        open_ms=column(ms(q.opens_h) for q in quests),
        close_ms=column(ms(q.closes_h) for q in quests),
        every_ms=column(ms(q.every_h) or NEVER_MS for q in quests),
        times=column(q.times_max for q in quests),
        joins=column((rng.threshold(q.joins) for q in quests), np.uint32),
        app=column(int(q.app) for q in quests),
        tenure_min=column(q.tenure_days_min for q in quests),
        tenure_max=column(q.tenure_days_max for q in quests),
        tier_min=column(tiers.index(q.tier_min) for q in quests),
        ordered=column(int(q.ordered) for q in quests),
        team=column(teams_of(q, params, n_lines) for q in quests),
        reward_minor=column(money(q.reward_minor) for q in quests),
        cashback_q=column(round(q.cashback * 1024) for q in quests),
        points=column(q.points for q in quests),
        badge=column(int(bool(q.badge)) for q in quests),
        ours_q=column(round((1 - q.partner_share) * 1024) for q in quests),
        fee_minor=column(money(q.partner_fee_minor) for q in quests),
        cancel=column((rng.threshold(q.cancel_share) for q in quests), np.uint32),
        step_start=column([0, *np.cumsum([len(q.steps) for q in quests]).tolist()]),
        step_id=column((name for name, _ in steps), np.uint32),
        step_do=column(DEEDS.index(step.do) for _, step in steps),
        step_kind=column(FENCE_KINDS.index(step.kind) for _, step in steps),
        step_at_least=column(step.at_least * UNITS.get(step.do, 1) for _, step in steps),
        step_days=column(step.days_in_row for _, step in steps),
        step_per_day=column(step.per_day_max for _, step in steps),
        step_category=column(CATEGORIES.index(step.category) - 1 for _, step in steps),
        step_cause=column(CAUSES.index(step.caused) - 1 for _, step in steps),
        step_rule=column(opened.get(step.opens, -1) if step.opens else -1 for _, step in steps),
        case_need=column([NEEDS.index(o.truth.category) for o in offers] or [0]),
        fence_kind=geo.fence_kind if len(geo.fence_kind) else np.zeros(1, np.uint8),
        fence_x_m=np.rint(
            np.asarray(geo.fence_lon) * 111_320 * np.cos(np.radians(mean_lat))
        ).astype(np.int64),
        fence_y_m=np.rint(np.asarray(geo.fence_lat) * 111_320).astype(np.int64),
        tier_points=column(tier.points for tier in loyalty.tiers),
        tier_factor_q=column([1024, *(round(tier.factor * 1024) for tier in loyalty.tiers)]),
        lot_points=loyalty.redeem_points,
        lot_minor=money(loyalty.lot_minor),
        redeems=rng.threshold(loyalty.redeem_share),
        points_days=loyalty.points_days,
        speed_mm_s=round(loyalty.speed_kmh_max / 3.6 * 1000),
    )


def teams_of(quest: Quest, params: RtmParams, n_lines: int) -> int:
    """Return how many teams a quest has, 0 where everybody plays alone."""
    if not quest.team_size:
        return 0
    asked = params.consent_share * (params.app_share if quest.app else 1.0)
    return max(1, round(n_lines * asked * quest.joins / quest.team_size))
