"""The RTM role's options, compiled once: rules, use cases, policy, geofence tables.

It owns what the engine believes and obeys, as integer arrays.  The `truth` part of an offer does
not enter, save the name of the category that its product belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.billing.params import BillingParams, Tariff
from actors.channels.params import Channel
from actors.rtm.beliefs import BeliefTables
from actors.rtm.campaign_tables import CampaignTables, no_campaigns
from actors.rtm.capture import CaptureTables, compile_capture
from actors.rtm.dispatch import Rule, options_table
from actors.rtm.hysteresis import KEY, Hysteresis, HysteresisTables, compile_hysteresis
from actors.rtm.lots import compile_lots
from actors.rtm.params import (
    NEEDS,
    SEGMENTS,
    Offer,
    RtmParams,
    organic_cost_minor,
    organic_product,
)
from actors.rtm.policy_tables import PolicyTables, compile_policy
from actors.rtm.things import ThingTables, compile_things
from actors.rtm.triggers import registry
from actors.rtm.variants import VariantTables, compile_variants
from geo.geography import Geography, own_shops
from sim.core import histogram, quantiles, rng


@dataclass(frozen=True)
class Bindings:
    """The rules of a run, the hysteresis of each, and which use cases each opens (CSR)."""

    rules: tuple[Rule, ...]
    hysteresis: tuple[tuple[int, int, int, int], ...]
    start: np.ndarray
    cases: np.ndarray

    def compiled(self) -> tuple[tuple[str, str, tuple[int, ...], bool], ...]:
        """Return (label, trigger, options, re-arms) of each rule."""
        return tuple(
            (rule.label, rule.trigger.name, rule.options, bool(held[3]))
            for rule, held in zip(self.rules, self.hysteresis, strict=True)
        )


def bind(offers: Sequence[Offer], price_level: float) -> Bindings:
    """Return one rule for each distinct (trigger, options, hysteresis) of live offers.

    Rules are ordered by trigger name and options; options in minor units of money follow the
    price level of the scenario.
    """
    known = registry()
    wanted: dict[tuple[str, tuple[int, ...], tuple[int, int, int, int]], list[int]] = {}
    for index, offer in enumerate(offers):
        for name, asked in offer.when.items():
            entry = known[name]
            options = dict(asked)
            held = Hysteresis.model_validate(options.pop(KEY, None) or {}).numbers()
            values = entry.params(**options)
            scaled = {
                key: round(value * price_level) if key.endswith("_minor") else value
                for key, value in values.model_dump().items()
            }
            numbers = entry.compile_options(entry.params.model_construct(**scaled))
            wanted.setdefault((name, numbers, held), []).append(index)
    rules: list[Rule] = []
    start = [0]
    cases: list[int] = []
    seen: dict[str, int] = {}
    for name, numbers, held in sorted(wanted):
        seen[name] = seen.get(name, 0) + 1
        label = name if seen[name] == 1 else f"{name}#{seen[name]}"
        rules.append(Rule(label, known[name], numbers))
        cases += wanted[name, numbers, held]
        start.append(len(cases))
    hysteresis = tuple(held for *_, held in sorted(wanted))
    return Bindings(
        tuple(rules), hysteresis, np.array(start, np.int64), np.array(cases or [0], np.int64)
    )


def _rule_needs(bindings: Bindings, offers: Sequence[Offer]) -> np.ndarray:
    """Return (n_rules,) uint8, the category of the first use case that each rule opens."""
    first = bindings.cases[bindings.start[:-1]]
    return np.array([NEEDS.index(offers[case].truth.category) for case in first] or [0], np.uint8)


def _ternary(value: bool | None) -> int:
    return -1 if value is None else int(value)


def _audience(offers: Sequence[Offer]) -> dict[str, np.ndarray]:
    def column(values: Any) -> np.ndarray:
        return np.array(list(values) or [0], np.int64)

    def bits(offer: Offer) -> int:
        return sum(1 << SEGMENTS.index(name) for name in offer.eligible.segment)

    return {
        "case_nobody": column(int(o.eligible.nobody) for o in offers),
        "case_segments": column(bits(o) for o in offers),
        "case_prepaid": column(_ternary(o.eligible.prepaid) for o in offers),
        "case_tenure": column(o.eligible.tenure_days_min for o in offers),
        "case_smart": column(_ternary(o.eligible.smartphone) for o in offers),
        "case_app": column(_ternary(o.eligible.app) for o in offers),
        "case_lte": column(_ternary(o.eligible.lte) for o in offers),
    }


def _products(
    offers: Sequence[Offer], billing: BillingParams, level: float
) -> dict[str, np.ndarray]:
    def column(values: Any) -> np.ndarray:
        return np.array(list(values) or [0], np.int64)

    def money(value: float) -> int:
        return round(value * level)

    net = round((1 - billing.vat) * 1024)
    gift = ("gift",)
    return {
        "case_need": column(NEEDS.index(o.truth.category) for o in offers),
        "case_net_q": column(1024 if o.product.kind == "coupon" else net for o in offers),
        "case_unit_cost_minor": column(
            money(o.product.unit_cost_minor - o.product.saved_minor) for o in offers
        ),
        "case_credit_minor": column(money(o.product.credit_minor) for o in offers),
        "case_fee_minor": column(
            money(o.product.credit_minor * billing.credit_fee_share * (1 - billing.vat)
                  + o.product.saved_minor - o.product.unit_cost_minor) for o in offers
        ),
        "case_topup": column(int(o.product.kind == "topup") for o in offers),
        "case_gift_minor": column(
            money(o.product.bonus_minor) if o.product.kind in gift else 0 for o in offers
        ),
        "case_care_minor": column(
            money(o.product.bonus_minor) if o.product.kind == "care" else 0 for o in offers
        ),
    }  # fmt: skip


def _rules_of_contact(
    offers: Sequence[Offer], channels: Sequence[Channel], level: float
) -> dict[str, np.ndarray]:
    def column(values: Any, dtype: type = np.int64) -> np.ndarray:
        return np.array(list(values) or [0], dtype)

    names = [c.channel for c in channels]
    width = max([len(o.treatments) for o in offers] or [1])
    reach = np.full((max(len(offers), 1), width), -1, np.int64)
    for row, offer in enumerate(offers):
        for k, treatment in enumerate(offer.treatments):
            reach[row, k] = names.index(treatment.channel)
    belief = np.array(
        [[round(o.propensity * 1024 * 64)] * len(SEGMENTS) for o in offers]
        or [[0] * len(SEGMENTS)], np.int64,
    )  # fmt: skip
    return {
        "case_id": column((rng.name_id("offer:" + o.offer) for o in offers), np.uint32),
        "case_service": column((o.policy.service for o in offers), np.bool_),
        "case_cap": column(o.policy.cap.contacts for o in offers),
        "case_cap_days": column(o.policy.cap.per_days for o in offers),
        "levers_q": column(round(o.policy.lever * 1024) for o in offers).reshape(1, -1),
        "case_expires_ms": column(o.policy.expires_min * 60_000 for o in offers),
        "case_holdout": column(
            (rng.threshold(o.control.local_percent / 100) for o in offers), np.uint32
        ),
        "case_value_minor": column(round(o.margin_minor * level) for o in offers),
        "case_propensity_q": belief,
        "case_channels": reach,
        "channel_id": column((rng.name_id("channel:" + c.channel) for c in channels), np.uint32),
        "channel_needs": column(c.needs_bits() for c in channels),
        "channel_reach": column((rng.threshold(c.reach) for c in channels), np.uint32),
        "channel_cost_minor": column(round(c.cost_minor * level) for c in channels),
    }


def _capture(params: RtmParams) -> dict[str, Any]:
    capture = params.capture
    return {
        "capture": compile_capture(capture),
        "capture_ms": quantiles.lognormal(capture.delay_median_ms, capture.delay_sigma),
        "profile_ms": quantiles.lognormal(capture.profile_ms, 0.5),
        "decide_ms": quantiles.lognormal(capture.decide_ms, 0.6),
        "borders": histogram.BORDERS,
    }


def _fences(params: RtmParams, geo: Geography) -> dict[str, Any]:
    return {
        "cell_fence_start": geo.cell_fence_start,
        "cell_fence_ix": geo.cell_fence_ix,
        "fence_kind": geo.fence_kind if len(geo.fence_kind) else np.zeros(1, np.uint8),
        "dwell_s": np.array([dwell_seconds(params)[k] for k in range(3)], np.int64),
        "cell_region": geo.cell_region,
        "fence_own_shop": own_shops(geo),
        "exit_s": round(params.dwell.exit_min * 60),
    }


def dwell_seconds(params: RtmParams) -> dict[int, int]:
    """Return the dwell time, s, by fence kind; shops follow the malls."""
    mall, airport = round(params.dwell.mall_min * 60), round(params.dwell.airport_min * 60)
    return {0: mall, 1: airport, 2: mall}


def _margins(billing: BillingParams, offers: Sequence[Offer], level: float) -> dict[str, Any]:
    net = 1 - billing.vat
    share = [
        net * (1 - (billing.roaming_wholesale_share if k >= m.ROAM_VOICE
                    else billing.interconnect_share if k in (m.VOICE_OFFNET, m.VOICE_INTL, m.SMS)
                    else 0.0))
        for k in range(len(m.RATING_GROUPS))
    ]  # fmt: skip
    cost = np.zeros(len(NEEDS), np.int64)
    for k, name in enumerate(NEEDS):
        own = organic_product(offers, name)
        if own is not None:
            cost[k] = round(organic_cost_minor(own) * level)
    return {
        "group_net_q": np.array([round(x * 1024) for x in share], np.int64),
        "net_q": round(net * 1024),
        "organic_cost_minor": cost,
    }


def _withheld(params: RtmParams, offers: Sequence[Offer]) -> dict[str, np.ndarray]:
    names = [o.offer for o in offers]
    pairs = [entry.split("/", 1) for entry in params.withhold]
    return {
        "off_sub": np.array([int(sub) for sub, _ in pairs], np.int64),
        "off_case": np.array([names.index(name) for _, name in pairs], np.int64),
    }


def compile_tables(
    params: RtmParams,
    geo: Geography,
    *,
    seed: int,
    offers: Sequence[Offer],
    channels: Sequence[Channel],
    tariffs: Sequence[Tariff],
    bindings: Bindings,
    billing: BillingParams,
    price_level: float,
    horizon_ms: int,
    belief: BeliefTables,
    region_shift_q: np.ndarray,
    start_quarter: int,
    context: Mapping[int, float] | None = None,
) -> Any:
    """Return the tables of the RTM kernels as one namedtuple.

    Parameters
    ----------
    context : factor of arbitration by local hour; 1 where not given
    """
    hours = [round((context or {}).get(h, 1.0) * 1024) for h in range(24)]
    parts: dict[str, Any] = {
        "seed": rng.seed64(seed),
        "options": options_table(bindings.rules),
        "hold": compile_hysteresis(
            [
                (rule.trigger.name, rule.options, held)
                for rule, held in zip(bindings.rules, bindings.hysteresis, strict=True)
            ]
        ),
        "rule_id": np.array(
            [rng.name_id("rule:" + rule.label) for rule in bindings.rules] or [0], np.uint32
        ),
        "rule_need": _rule_needs(bindings, offers),
        "rule_start": bindings.start,
        "rule_cases": bindings.cases,
        "region_shift_q": region_shift_q,
        "start_quarter": start_quarter,
        "contact": compile_policy(
            params,
            offers=offers,
            channels=channels,
            tariffs=tariffs,
            billing=billing,
            price_level=price_level,
        ),
        "things": compile_things(offers, billing),
        "variants": compile_variants([offer.eligible.variant for offer in offers]),
        "campaign": no_campaigns(len(offers)),
        "quiet_from_q": round(params.quiet.from_h * 4),
        "quiet_to_q": round(params.quiet.to_h * 4),
        "context_q": np.array(hours, np.int64),
        "horizon_ms": horizon_ms,
        "belief": belief,
        "timeout_ms": params.timeout.ms,
        "fallback": [o.offer for o in offers].index(params.timeout.fallback)
        if params.timeout.fallback
        else -1,
        **_audience(offers),
        **_products(offers, billing, price_level),
        **_rules_of_contact(offers, channels, price_level),
        **_capture(params),
        **_fences(params, geo),
        **_margins(billing, offers, price_level),
        **_withheld(params, offers),
        "lots": compile_lots(params.lots, offers),
    }
    return RtmTables(**parts)


class RtmTables(NamedTuple):
    """What the kernels of the engine read; the columns `case_*` have one row per use case."""

    seed: np.uint64
    options: np.ndarray
    hold: HysteresisTables
    rule_id: np.ndarray
    rule_need: np.ndarray
    rule_start: np.ndarray
    rule_cases: np.ndarray
    region_shift_q: np.ndarray
    start_quarter: int
    contact: PolicyTables
    campaign: CampaignTables
    things: ThingTables
    variants: VariantTables
    quiet_from_q: int
    quiet_to_q: int
    context_q: np.ndarray
    horizon_ms: int
    belief: BeliefTables
    timeout_ms: int
    fallback: int
    case_nobody: np.ndarray
    case_segments: np.ndarray
    case_prepaid: np.ndarray
    case_tenure: np.ndarray
    case_smart: np.ndarray
    case_app: np.ndarray
    case_lte: np.ndarray
    case_need: np.ndarray
    case_net_q: np.ndarray
    case_unit_cost_minor: np.ndarray
    case_credit_minor: np.ndarray
    case_fee_minor: np.ndarray
    case_topup: np.ndarray
    case_gift_minor: np.ndarray
    case_care_minor: np.ndarray
    case_id: np.ndarray
    case_service: np.ndarray
    case_cap: np.ndarray
    case_cap_days: np.ndarray
    levers_q: np.ndarray
    case_expires_ms: np.ndarray
    case_holdout: np.ndarray
    case_value_minor: np.ndarray
    case_propensity_q: np.ndarray
    case_channels: np.ndarray
    channel_id: np.ndarray
    channel_needs: np.ndarray
    channel_reach: np.ndarray
    channel_cost_minor: np.ndarray
    capture: CaptureTables
    capture_ms: np.ndarray
    profile_ms: np.ndarray
    decide_ms: np.ndarray
    borders: np.ndarray
    cell_fence_start: np.ndarray
    cell_fence_ix: np.ndarray
    fence_kind: np.ndarray
    dwell_s: np.ndarray
    cell_region: np.ndarray
    fence_own_shop: np.ndarray
    exit_s: int
    group_net_q: np.ndarray
    net_q: int
    organic_cost_minor: np.ndarray
    off_sub: np.ndarray
    off_case: np.ndarray
    lots: np.ndarray
