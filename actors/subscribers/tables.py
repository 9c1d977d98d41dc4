"""The subscriber role's options, compiled once to integer tables that kernels read.

It owns the turning of `SubscriberParams`, the geography and the truth part of the catalogue into
arrays.  It must not hold state, nor hand anything to another role.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.billing.params import BillingParams, Tariff
from actors.channels.params import Channel
from actors.rtm.params import Offer
from actors.subscribers.params import SubscriberParams
from actors.subscribers.worth import case_tables, need_tables
from geo.geography import Geography, own_shops
from sim.core import quantiles, rng

N_ACTIVITY = 16
"""Activity classes of people; class 16 is machines."""
N_VOLUME = 64
"""Data volume classes of people; class 64 is machines, whose sessions carry a few kilobytes."""
MACHINE_CLASS = N_ACTIVITY
N_COUNT = 24
"""Events of one line in one epoch, at most."""
N_LEVELS = 250
N_AWAY = 1024
"""Places where journeys to another region may end."""

# Percent of daily events by local hour (behaviour 3.4, assumptions with the published shape).
VOICE = (
    (0.9, 0.5, 0.3, 0.2, 0.3, 0.6, 1.5, 3.0, 4.8, 6.2, 6.9, 7.1,
     6.8, 6.6, 6.5, 6.5, 6.7, 7.2, 7.5, 6.7, 5.3, 3.8, 2.5, 1.5),
    (1.6, 1.0, 0.6, 0.4, 0.3, 0.4, 0.8, 1.6, 3.1, 4.8, 6.1, 6.8,
     7.0, 6.9, 6.7, 6.6, 6.7, 7.0, 7.3, 7.0, 6.2, 5.0, 3.6, 2.2),
)  # fmt: skip
DATA = (
    (3.0, 2.0, 1.4, 1.1, 1.0, 1.2, 2.0, 3.3, 4.1, 4.4, 4.5, 4.7,
     4.9, 4.9, 4.8, 4.9, 5.1, 5.5, 5.9, 6.3, 6.7, 7.0, 6.7, 4.9),
    (3.8, 2.7, 1.9, 1.4, 1.1, 1.1, 1.4, 2.2, 3.2, 4.1, 4.7, 5.0,
     5.1, 5.1, 5.0, 5.1, 5.2, 5.4, 5.7, 6.0, 6.4, 6.7, 6.5, 5.2),
)  # fmt: skip
TEXT = (
    1.7, 1.1, 0.8, 0.7, 0.7, 0.9, 1.7, 3.0, 4.2, 4.9, 5.2, 5.5,
    5.7, 5.6, 5.5, 5.6, 5.9, 6.3, 6.6, 6.8, 6.7, 6.1, 4.9, 3.2,
)  # fmt: skip
DATA_GROUP_SHARE = (0.36, 0.20, 0.26, 0.18)
"""Share of data slices: general, video, social, messaging (assumption)."""
DATA_GROUP_SIZE = (0.6, 2.9, 0.8, 0.12)
"""Relative size of a slice of each kind (assumption; their share-weighted mean is near 1)."""
VISIT_SHARE = (0.6096, 0.20, 0.0004, 0.02, 0.10, 0.07)
"""Share of visits: content, shop, cart, rival, finance, travel (assumption)."""
PAGES_ALPHA, PAGES_MAX = 1.9, 64
"""Pages of a visit: a Pareto tail from 1, about one visit in 80 has ten or more (assumption)."""
SLOW_SERVED = 0.30
"""Data is slow where a cell serves less than this share of what is asked: 3 to 4 Mbit/s on average
in 4G of 2019 fall under 1 Mbit/s (assumption)."""
MACHINE_PER_DAY = (0.0, 0.2, 24.0, 5.0, 0.0)
"""Machines: voice, texts, data, location, visits a day (assumption)."""


def visit_pages() -> np.ndarray:
    """Return (1024,) int64 quantiles of the pages of a visit, at least 1."""
    pages = quantiles.table(lambda p: (1 - p) ** (-1 / PAGES_ALPHA))
    return np.clip(pages, 1, PAGES_MAX).astype(np.int64)


def activity_factors(sigma: float) -> np.ndarray:
    """Return (16,) float factors on the activity of people, log-normal, mean exactly 1."""
    shape = quantiles.lognormal(1e6, sigma).reshape(N_ACTIVITY, -1).mean(axis=1)
    return shape / shape.mean()


def _curves(kind: int, weekend: int) -> np.ndarray:
    curve = (VOICE[weekend], TEXT, DATA[weekend], TEXT, DATA[weekend])[kind]
    return np.array(curve) / sum(curve)


def rates(params: SubscriberParams) -> np.ndarray:
    """Return (17, 2, 24, 5) mean events per hour by class, day type, hour and kind."""
    use = params.usage
    per_day = (use.voice_per_day, use.sms_per_day, use.data_per_day, use.location_per_day,
               use.visit_per_day)  # fmt: skip
    factors = activity_factors(use.activity_sigma)
    out = np.zeros((N_ACTIVITY + 1, 2, 24, 5))
    for weekend in range(2):
        for kind in range(5):
            curve = _curves(kind, weekend)
            out[:N_ACTIVITY, weekend, :, kind] = np.outer(factors, curve * per_day[kind])
            out[MACHINE_CLASS, weekend, :, kind] = MACHINE_PER_DAY[kind] / 24
    return out


def _levels(params: SubscriberParams) -> dict[str, Any]:
    """Return the count tables, the level of each (class, weekday, quarter), and kind shares."""
    hourly = rates(params)
    per_epoch = hourly.sum(axis=3) / 4
    low, high = max(per_epoch.min(), 1e-4), max(per_epoch.max(), 2e-4)
    grid = np.geomspace(low, high, N_LEVELS)
    counts = np.stack(
        [
            quantiles.count_thresholds(float(r), params.usage.burst_shape, n_max=N_COUNT)
            for r in grid
        ]
    )
    step = math.log(high / low) / (N_LEVELS - 1)
    index = np.rint(np.log(np.maximum(per_epoch, low) / low) / step).astype(np.uint8)
    level = np.zeros((N_ACTIVITY + 1, 7, 96), np.uint8)
    for day in range(7):
        level[:, day, :] = np.repeat(index[:, 1 if day >= 5 else 0, :], 4, axis=1)
    kinds = np.zeros((2, 2, 24, 5), np.uint32)
    for machine in range(2):
        for weekend in range(2):
            for hour in range(24):
                share = hourly[MACHINE_CLASS if machine else 0, weekend, hour]
                kinds[machine, weekend, hour] = quantiles.cumulative(share + 1e-12)
    return {"counts": counts, "level": level, "kinds": kinds}


def month_spending(
    params: SubscriberParams, tariffs: Sequence[Tariff], price_level: float
) -> np.ndarray:
    """Return (n_tariffs, 17) int64 typical spending in 30 days, minor units.

    Fee plus mean use beyond the allowance at the tariff's rates, by activity class.
    """
    use = params.usage
    factors = np.append(activity_factors(use.activity_sigma), 0.05)
    call_min = quantiles.lognormal(use.call_median_s, use.call_sigma, high=7200).mean() / 60
    answered = 1 - use.missed_share
    out = np.zeros((len(tariffs), N_ACTIVITY + 1))
    for row, tariff in enumerate(tariffs):
        months = 30 / tariff.period_days
        voice = factors * use.voice_per_day * 30 * call_min * answered
        texts = factors * use.sms_per_day * 30
        data = factors * use.data_gb_month * 1000
        over = np.maximum(voice - tariff.voice_min * months, 0) * tariff.over.voice_minor_per_min
        over += np.maximum(texts - tariff.sms * months, 0) * tariff.over.sms_minor
        if tariff.after_limit == "charge":
            extra = np.maximum(data - tariff.data_mb * months, 0)
            # People mind their spending once an allowance is gone (assumption: a tenth is used).
            extra = extra * (0.1 if tariff.data_mb else 1.0)
            over += extra * tariff.over.data_minor_per_mb
        out[row] = tariff.fee_minor * months + over
    return np.rint(out * price_level).astype(np.int64)


def _money(
    params: SubscriberParams, tariffs: Sequence[Tariff], price_level: float
) -> dict[str, Any]:
    month = month_spending(params, tariffs, price_level)
    fee = np.array([[t.fee_minor * price_level] for t in tariffs])
    sums = np.maximum(month * params.recharge.days_covered / 30, fee * 1.02)
    step = max(round(5_000 * price_level), 1)
    return {
        "month_minor": month,
        "recharge_minor": np.maximum(np.rint(sums), step).astype(np.int64),
        "recharge_step_minor": step,
        "recharge_spread_q": quantiles.lognormal(1024, 0.35),
        "recharge_delay_s": quantiles.lognormal(
            params.recharge.delay_median_min * 60, params.recharge.delay_sigma, high=30 * 86_400
        ),
    }


def _usage(params: SubscriberParams) -> dict[str, Any]:
    use = params.usage
    between = math.sqrt(max(use.data_sigma**2 - use.activity_sigma**2, 0.0))
    volume = quantiles.lognormal(1e6, between).reshape(N_VOLUME, -1).mean(axis=1)
    weight = sum(a * b for a, b in zip(DATA_GROUP_SHARE, DATA_GROUP_SIZE, strict=True))
    slice_kb = use.data_gb_month * 1e6 / 30 / max(use.data_per_day, 1e-9) / weight
    return {
        "machine_class": MACHINE_CLASS,
        "volume_q": np.append(np.rint(volume / volume.mean() * 1024), 1).astype(np.int64),
        "slice_kb": quantiles.lognormal_mean(max(slice_kb, 1), 1.1, high=4_000_000),
        "group_q": np.rint(np.array(DATA_GROUP_SIZE) * 1024).astype(np.int64),
        "data_group": quantiles.cumulative(np.array(DATA_GROUP_SHARE)),
        "call_s": np.maximum(quantiles.lognormal(use.call_median_s, use.call_sigma, high=7200), 1),
        "missed": np.uint32(round(use.missed_share * 1024)),
        "visit_kind": quantiles.cumulative(np.array(VISIT_SHARE)),
        "visit_pages": visit_pages(),
        "slow_q": round(SLOW_SERVED * 65_535),
        "poor": rng.threshold(use.poor_hours),
    }


def _days(params: SubscriberParams, n_regions: int) -> dict[str, Any]:
    move, leave = params.mobility, params.leaving
    trips = move.trips_per_1000_month if n_regions > 1 else 0.0
    journeys = move.journeys_per_1000_month + trips
    return {
        "leisure": rng.threshold(move.leisure_per_day),
        "mall_weekday": rng.threshold(move.mall_share_weekday),
        "mall_weekend": rng.threshold(move.mall_share_weekend),
        "work_start_q": round(move.work_start_h * 4),
        "work_q": round(move.work_hours * 4),
        "journey_day": rng.threshold(journeys / 30_000),
        "trip_share": rng.threshold(trips / journeys if journeys > 0 else 0.0),
        "trip_s": quantiles.lognormal(move.trip_days * 86_400, 0.6, high=60 * 86_400),
        "abroad_s": quantiles.lognormal(move.abroad_days * 86_400, 0.6, high=60 * 86_400),
        "ping_pong": round(move.ping_pong * 256),
        "leave_day": int(rng.threshold(leave.churn_month / 30)),
        "leave_factor_q": round(leave.dissatisfied_factor * 1024),
        "silence_day": rng.threshold(leave.silences_per_1000_month / 30_000),
        "silence_s": quantiles.lognormal(leave.silence_days * 86_400, 0.5, high=200 * 86_400),
        "satisfaction_rest_q": 40_000,
        "blocked_cost_q": round(leave.blocked_cost * 65_535),
    }


def _answers(params: SubscriberParams) -> dict[str, Any]:
    a = params.answers
    x = np.arange(1024) / 128
    return {
        "effects_q": round(min(a.effects, 1.0) * 1024),
        "seen_q": round(a.seen_share * 65_536),
        "fatigue_add_q": round(a.fatigue_per_contact * 1024),
        "fatigue_tau_s": round(a.fatigue_half_life_days * 86_400 / math.log(2)),
        "fatigue_w_q": round(a.fatigue_weight * a.effects * 1024),
        "price_w_q": round(a.price_weight * 1024),
        "need_w_q": round(a.need_weight * 1024),
        "taste_w_q": round(a.taste_weight * 1024),
        "trust_w_q": round(a.trust_weight * 1024),
        "opt_out": round(a.opt_out_share * 4294967296),
        "horizon_ms": round(a.horizon_days * 86_400_000),
        "answer_ms": quantiles.lognormal(
            a.delay_median_min * 60_000, a.delay_sigma, high=30 * 86_400_000
        ),
        "logit_q": quantiles.table(lambda p: math.log(p / (1 - p)) * 1024),
        "normal_q": quantiles.normal_scores(1024),
        "decay": np.rint(np.exp(-x) * 1024).astype(np.int64),
    }


def _means(params: SubscriberParams) -> dict[str, Any]:
    """Return how prices weigh: by income, sensitivity, the wallet of a month, habits of buying."""
    m = params.means
    # Normal scores of the classes of activity, which tell spending; machines are in the middle.
    arpu = np.append(quantiles.normal_scores(1.0e6).reshape(N_ACTIVITY, -1).mean(axis=1) / 1e6, 0)
    arpu[:N_ACTIVITY] /= np.sqrt((arpu[:N_ACTIVITY] ** 2).mean())
    own = quantiles.normal_scores(1.0e6) / 1e6
    rho = m.sensitivity_arpu
    score = math.sqrt(1 - rho * rho) * own[None, :] - rho * arpu[:, None]
    sensitivity = np.exp(m.sensitivity_sigma * score) * 1024
    return {
        "sensitivity_q": np.rint(sensitivity).astype(np.int64),
        "income_q": quantiles.lognormal(1024, m.income_sigma),
        "wallet_q": quantiles.lognormal(1024 * (1 + m.wallet_headroom), m.wallet_sigma),
        "wallet_w_q": round(m.wallet_weight * 1024),
        "purse_day": int(rng.threshold(1 / 30)),
        "deal_learn": int(rng.threshold(m.deal_learning)),
        "deal_wait": int(rng.threshold(m.deal_wait)),
        "deal_w_q": round(m.deal_weight * 1024),
        "deal_day": int(rng.threshold(min(1 / m.deal_days, 1 / 7))),
    }


def _places(geo: Geography, dwell_s: Mapping[int, int], *, start_quarter: int) -> dict[str, Any]:
    shift = geo.region_tz_q.astype(np.int64) - geo.clock_tz_q
    return {
        "n_hex": len(geo.hex_id),
        "hex_work": geo.hex_work,
        "hex_leisure": geo.hex_leisure,
        "hex_mall": geo.hex_mall,
        "hex_airport": geo.hex_airport,
        "spot_cells": geo.spot_cells,
        "spot_cum": geo.spot_cum,
        "fence_kind": geo.fence_kind,
        "fence_own_shop": own_shops(geo),
        "hex_region": geo.hex_region,
        **_elsewhere(geo),
        "dwell_s": np.array([dwell_s[int(k)] for k in geo.fence_kind] or [0], np.int64),
        "region_shift_q": shift,
        "start_quarter": start_quarter,
    }


def _elsewhere(geo: Geography) -> dict[str, np.ndarray]:
    """Return places where journeys to other regions end: a sample of hexes by residents."""
    total = np.cumsum(geo.hex_people)
    at = (np.arange(N_AWAY) * 2 + 1) * total[-1] // (2 * N_AWAY)
    # Hexes lie in the order of space: mixed up, so that neighbours in the sample are far apart.
    places = np.searchsorted(total, at, side="right")[np.argsort(np.arange(N_AWAY) * 617 % N_AWAY)]
    return {"away_hex": places.astype(np.int32), "away_region": geo.hex_region[places]}


def compile_tables(
    params: SubscriberParams,
    geo: Geography,
    *,
    tariffs: Sequence[Tariff],
    offers: Sequence[Offer],
    channels: Sequence[Channel],
    billing: BillingParams,
    price_level: float,
    dwell_s: Mapping[int, int],
    start_quarter: int,
) -> Any:
    """Return the tables of the subscriber kernels as one namedtuple.

    Parameters
    ----------
    tariffs, offers, channels : entries of the run, in the order of their dense indices
    dwell_s : dwell time, s, by fence kind
    start_quarter : quarter of the day at the start, local time of the largest region
    """
    speed = np.array([round(c.answer_speed * 1024) for c in channels] or [1024], np.int64)
    parts: dict[str, Any] = {
        **_places(geo, dwell_s, start_quarter=start_quarter),
        **_levels(params),
        **_usage(params),
        **_days(params, len(np.unique(geo.hex_region))),
        **need_tables(params, offers, billing.vat, price_level),
        **_money(params, tariffs, price_level),
        **_answers(params),
        **_means(params),
        **case_tables(offers, billing, price_level),
        "channel_attention_q": np.array([round(c.attention * 1024) for c in channels] or [0]),
        "channel_speed_q": np.maximum(speed, 1),
        "channel_annoy_q": np.array([round(c.annoy * 1024) for c in channels] or [0]),
        "channel_cost_minor": np.array(
            [round(c.cost_minor * price_level) for c in channels] or [0], np.int64
        ),
    }
    return SubscriberTables(**parts)


class SubscriberTables(NamedTuple):
    """What the kernels of the subscribers read."""

    n_hex: int
    hex_work: np.ndarray
    hex_leisure: np.ndarray
    hex_mall: np.ndarray
    hex_airport: np.ndarray
    spot_cells: np.ndarray
    spot_cum: np.ndarray
    fence_kind: np.ndarray
    fence_own_shop: np.ndarray
    hex_region: np.ndarray
    away_hex: np.ndarray
    away_region: np.ndarray
    dwell_s: np.ndarray
    region_shift_q: np.ndarray
    start_quarter: int
    counts: np.ndarray
    level: np.ndarray
    kinds: np.ndarray
    machine_class: int
    volume_q: np.ndarray
    slice_kb: np.ndarray
    group_q: np.ndarray
    data_group: np.ndarray
    call_s: np.ndarray
    missed: np.uint32
    visit_kind: np.ndarray
    visit_pages: np.ndarray
    slow_q: int
    poor: np.uint32
    leisure: np.uint32
    mall_weekday: np.uint32
    mall_weekend: np.uint32
    work_start_q: int
    work_q: int
    journey_day: np.uint32
    trip_share: np.uint32
    trip_s: np.ndarray
    abroad_s: np.ndarray
    ping_pong: int
    leave_day: int
    leave_factor_q: int
    silence_day: np.uint32
    silence_s: np.ndarray
    satisfaction_rest_q: int
    blocked_cost_q: int
    organic_share: np.ndarray
    organic_delay_s: np.ndarray
    need_tau_s: np.ndarray
    spontaneous: np.ndarray
    organic_sold: np.ndarray
    organic_price_minor: np.ndarray
    organic_margin_minor: np.ndarray
    cause_wakes: np.ndarray
    cause_need: np.ndarray
    cause_id: np.ndarray
    month_minor: np.ndarray
    recharge_minor: np.ndarray
    recharge_step_minor: int
    recharge_spread_q: np.ndarray
    recharge_delay_s: np.ndarray
    effects_q: int
    seen_q: int
    fatigue_add_q: int
    fatigue_tau_s: int
    fatigue_w_q: int
    price_w_q: int
    need_w_q: int
    taste_w_q: int
    trust_w_q: int
    opt_out: int
    horizon_ms: int
    answer_ms: np.ndarray
    logit_q: np.ndarray
    normal_q: np.ndarray
    sensitivity_q: np.ndarray
    income_q: np.ndarray
    wallet_q: np.ndarray
    wallet_w_q: int
    purse_day: int
    deal_learn: int
    deal_wait: int
    deal_w_q: int
    deal_day: int
    decay: np.ndarray
    case_id: np.ndarray
    case_need: np.ndarray
    case_b0_q: np.ndarray
    case_match_q: np.ndarray
    case_relief_q: np.ndarray
    case_annoy_q: np.ndarray
    case_place: np.ndarray
    case_service: np.ndarray
    case_buys: np.ndarray
    case_topup_minor: np.ndarray
    case_price_minor: np.ndarray
    case_deal: np.ndarray
    case_margin_minor: np.ndarray
    case_valid_ms: np.ndarray
    case_reply: np.ndarray
    reply_start: np.ndarray
    reply_need: np.ndarray
    channel_attention_q: np.ndarray
    channel_speed_q: np.ndarray
    channel_annoy_q: np.ndarray
    channel_cost_minor: np.ndarray
