"""The billing role's options, compiled once: tariffs, products and rules as integer arrays.

It owns prices per unit in micro-minor, so that a charge is one integer multiplication.  It must
not hold state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.billing.params import BillingParams, Tariff
from actors.rtm.params import NEEDS, Offer, organic_product

MICRO = 1_000_000
AFTER = {"charge": 0, "throttle": 1, "block": 2}
EXTERNAL, PACK, CREDIT_KIND, GIFT_KIND = 0, 1, 2, 3


def _prices(tariff: Tariff, price_level: float) -> list[int]:
    """Return micro-minor per s, piece or kB for each rating group."""
    over, roam = tariff.over, tariff.roaming

    def per(value: float, units: float) -> int:
        return round(value * price_level * MICRO / units)

    data = per(over.data_minor_per_mb, 1000)
    return [
        per(over.voice_minor_per_min, 60), per(over.voice_minor_per_min, 60),
        per(tariff.international_minor_per_min, 60), per(over.sms_minor, 1),
        data, data, data, data,
        per(roam.voice_minor_per_min, 60), per(roam.sms_minor, 1),
        per(roam.data_minor_per_mb, 1000),
    ]  # fmt: skip


def _free(tariff: Tariff) -> list[bool]:
    out = [False] * len(m.RATING_GROUPS)
    for kind in tariff.zero_rated:
        out[m.RATING_GROUPS.index(f"data_{kind}")] = True
    return out


def _organic(offers: Sequence[Offer], price_level: float) -> dict[str, np.ndarray]:
    kb = np.zeros(len(NEEDS), np.int64)
    valid = np.zeros(len(NEEDS), np.int64)
    for k, name in enumerate(NEEDS):
        best = organic_product(offers, name)
        if best is not None:
            kb[k] = best.data_mb * 1000
            valid[k] = best.valid_days * 86_400
    return {"organic_kb": kb, "organic_valid_s": valid}


def compile_tables(
    params: BillingParams, *, tariffs: Sequence[Tariff], offers: Sequence[Offer], price_level: float
) -> Any:
    """Return the tables of the billing kernels as one namedtuple."""

    def case(values: Any) -> np.ndarray:
        return np.array(list(values) or [0], np.int64)

    return BillingTables(
        price_micro=np.array([_prices(t, price_level) for t in tariffs], np.int64),
        zero_rated=np.array([_free(t) for t in tariffs]),
        fee_minor=np.array([round(t.fee_minor * price_level) for t in tariffs], np.int64),
        period_s=np.array([t.period_days * 86_400 for t in tariffs], np.int64),
        plan_kb=np.array([t.data_mb * 1000 for t in tariffs], np.int64),
        plan_voice_s=np.array([t.voice_min * 60 for t in tariffs], np.int64),
        plan_sms=np.array([min(t.sms, 30_000) for t in tariffs], np.int64),
        after_limit=np.array([AFTER[t.after_limit] for t in tariffs], np.int64),
        prepaid=np.array([t.prepaid for t in tariffs]),
        credit_limit_minor=np.array(
            [round(t.credit_limit_minor * price_level) for t in tariffs], np.int64
        ),
        low_minor=round(params.low_balance_minor * price_level),
        bonus_days=params.bonus_days,
        bonus_q=round(params.bonus_share * 1024),
        credit_fee_q=round(params.credit_fee_share * 1024),
        inactive_days=params.inactive_days,
        grace_s=params.grace_days * 86_400,
        notice_s=round(params.notice_h * 3600),
        contract_periods=params.contract_periods,
        case_external=case(o.product.kind == "coupon" for o in offers),
        case_share_q=case(round(o.product.partner_share * 1024) for o in offers),
        case_kb=case(o.product.data_mb * 1000 for o in offers),
        case_valid_s=case(o.product.valid_days * 86_400 for o in offers),
        **_organic(offers, price_level),
    )


class BillingTables(NamedTuple):
    """What the kernels of billing read."""

    price_micro: np.ndarray
    zero_rated: np.ndarray
    fee_minor: np.ndarray
    period_s: np.ndarray
    plan_kb: np.ndarray
    plan_voice_s: np.ndarray
    plan_sms: np.ndarray
    after_limit: np.ndarray
    prepaid: np.ndarray
    credit_limit_minor: np.ndarray
    low_minor: int
    bonus_days: int
    bonus_q: int
    credit_fee_q: int
    inactive_days: int
    grace_s: int
    notice_s: int
    contract_periods: int
    case_external: np.ndarray
    case_share_q: np.ndarray
    case_kb: np.ndarray
    case_valid_s: np.ndarray
    organic_kb: np.ndarray
    organic_valid_s: np.ndarray
