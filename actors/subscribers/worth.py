"""What needs and offers are to people, compiled once: causes, own purchases, truths of offers.

It owns the part of the role's tables that comes from the catalogue.  It must not hand anything to
another role.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.billing.params import BillingParams
from actors.rtm.params import BUYING_KINDS, NEEDS, Offer, organic_cost_minor, organic_product
from actors.subscribers.params import CAUSES, SubscriberParams
from sim.core import quantiles, rng

DEAL = 0.95
"""An offer below this share of the list price is a discount."""
ANSWER_WINDOW_H = 72
"""Offers may be answered for three days, those bound to a place for six hours (assumption)."""


def need_tables(
    params: SubscriberParams, offers: Sequence[Offer], vat: float, price_level: float
) -> dict[str, Any]:
    """Return what wakes needs, and how people serve them by themselves."""
    need = params.needs
    price = np.zeros(len(NEEDS), np.int64)
    margin = np.zeros(len(NEEDS), np.int64)
    sold = np.zeros(len(NEEDS), np.bool_)
    for k, name in enumerate(NEEDS):
        best = organic_product(offers, name)
        if best is not None:
            sold[k] = True
            price[k] = round(best.list_price_minor * price_level)
            margin[k] = round(price[k] * (1 - vat) - organic_cost_minor(best) * price_level)
    delay = [
        quantiles.table(lambda p, h=need.organic_delay_h[n]: -math.log1p(-p) * h * 3600)
        for n in NEEDS
    ]
    return {
        "organic_share": np.array([rng.threshold(need.organic_share[n]) for n in NEEDS], np.uint32),
        "organic_delay_s": np.stack(delay),
        "need_tau_s": np.array([max(need.decay_h[n] * 3600, 1) for n in NEEDS], np.int64),
        "spontaneous": np.array(
            [rng.threshold(need.spontaneous_per_day[n] * len(NEEDS)) for n in NEEDS], np.uint32
        ),
        "organic_sold": sold,
        "organic_price_minor": price,
        "organic_margin_minor": margin,
        "cause_wakes": np.array([rng.threshold(need.woken_by[n]) for n in CAUSES], np.uint32),
        "cause_need": np.array([NEEDS.index(kind) for kind, _ in CAUSES.values()], np.int64),
        "cause_id": np.array([rng.name_id("cause:" + n) for n in CAUSES], np.uint32),
    }


def case_margin_minor(
    offer: Offer, *, vat: float, credit_fee_share: float, price_level: float
) -> int:
    """Return what an acceptance is worth, minor units: revenue without VAT less its cost."""
    product = offer.product
    cost = product.unit_cost_minor
    if product.kind == "coupon":
        value = product.price_minor * product.partner_share - cost
    elif product.kind == "credit":
        value = product.credit_minor * credit_fee_share * (1 - vat) - cost
    elif product.kind in ("gift", "care"):
        value = -product.bonus_minor - cost
    else:
        value = product.price_minor * (1 - vat) + product.saved_minor - cost
    return round(value * price_level)


def no_questions(n_cases: int) -> dict[str, np.ndarray]:
    """Return the columns of questions of use cases that ask none."""
    return {
        "case_reply": np.zeros(max(n_cases, 1), np.uint32),
        "reply_start": np.zeros(max(n_cases, 1) + 1, np.int64),
        "reply_need": np.zeros(0, np.int64),
    }


def case_tables(
    offers: Sequence[Offer], billing: BillingParams, price_level: float
) -> dict[str, Any]:
    """Return what people make of each offer, one row per use case."""

    def column(values: Any, dtype: type) -> np.ndarray:
        return np.array(list(values) or [0], dtype)

    return {
        "case_id": column((rng.name_id("offer:" + o.offer) for o in offers), np.uint32),
        "case_need": column((NEEDS.index(o.truth.category) for o in offers), np.int64),
        "case_b0_q": column((round(o.truth.b0 * 1024) for o in offers), np.int64),
        "case_match_q": column((round(o.truth.match * 1024) for o in offers), np.int64),
        "case_relief_q": column((round(o.truth.relief * 1024) for o in offers), np.int64),
        "case_annoy_q": column((round(o.truth.annoy * 1024) for o in offers), np.int64),
        "case_place": column((o.truth.place for o in offers), np.bool_),
        "case_service": column((o.policy.service for o in offers), np.bool_),
        "case_buys": column(
            (o.product.kind in BUYING_KINDS
             or (o.product.kind == "gift" and o.product.data_mb > 0) for o in offers), np.bool_
        ),
        "case_topup_minor": column(
            (round(o.product.topup_minor * price_level) for o in offers), np.int64
        ),
        "case_price_minor": column(
            (round(o.product.price_minor * price_level) for o in offers), np.int64
        ),
        "case_deal": column(
            (o.product.price_minor < DEAL * o.product.list_price_minor for o in offers), np.bool_
        ),
        "case_margin_minor": column(
            (case_margin_minor(o, vat=billing.vat, credit_fee_share=billing.credit_fee_share,
                               price_level=price_level) for o in offers), np.int64
        ),
        **no_questions(len(offers)),
        "case_valid_ms": column(
            ((6 if o.truth.place else ANSWER_WINDOW_H) * 3_600_000 for o in offers), np.int64
        ),
    }  # fmt: skip
