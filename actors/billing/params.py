"""Options of the billing role: tariffs, products, and the rules of accounts.

It owns the catalogue models of tariffs and products with their units.  It must not know who
buys them, or why.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.core.params import Params


class Rates(Params):
    """Prices per unit of use, in minor units of money."""

    voice_minor_per_min: float = Field(
        default=200, ge=0, description="voice, minor units per minute"
    )
    sms_minor: float = Field(default=200, ge=0, description="one text, minor units")
    data_minor_per_mb: float = Field(
        default=150, ge=0, description="data, minor units per megabyte"
    )


class Tariff(Params):
    """One plan of the catalogue."""

    tariff: str = Field(description="name")
    title: str = Field(description="what a person reads")
    prepaid: bool = Field(default=True, description="prepaid, or postpaid with a credit limit")
    share: float = Field(gt=0, description="weight of the plan in the population")
    segment: Literal["mass", "youth", "premium", "business", "m2m"] = Field(
        default="mass", description="who it is for"
    )
    fee_minor: int = Field(ge=0, description="recurring fee per period, minor units")
    period_days: int = Field(default=30, ge=1, le=92, description="length of the period, days")
    data_mb: int = Field(default=0, ge=0, description="data in the fee, MB per period")
    voice_min: int = Field(default=0, ge=0, description="voice in the fee, minutes per period")
    sms: int = Field(default=0, ge=0, description="texts in the fee, per period")
    over: Rates = Rates()
    roaming: Rates = Rates(voice_minor_per_min=2500, sms_minor=900, data_minor_per_mb=900)
    international_minor_per_min: float = Field(
        default=1200, ge=0, description="calls to other countries, minor units per minute"
    )
    after_limit: Literal["charge", "throttle", "block"] = Field(
        default="charge", description="what happens to data when the allowance is used up"
    )
    zero_rated: tuple[Literal["video", "social", "messaging"], ...] = Field(
        default=(), description="kinds of data that are free of charge"
    )
    credit_limit_minor: int = Field(default=0, ge=0, description="postpaid: how far below zero")


class BillingParams(Params):
    """Rules of accounts."""

    low_balance_minor: int = Field(
        default=5_000,
        ge=0,
        description="balance at which the system notifies a prepaid line, minor",
    )
    bonus_days: int = Field(default=30, ge=1, le=365, description="life of bonus money, days")
    bonus_share: float = Field(
        default=0.5, ge=0, le=1, description="share of a charge that bonus money may pay"
    )
    credit_fee_share: float = Field(
        default=0.10, ge=0, le=1, description="fee of a trust payment, share of the sum"
    )
    inactive_days: int = Field(
        default=90, ge=7, le=365, description="silent days after which a line counts as churned"
    )
    grace_days: int = Field(
        default=10,
        ge=0,
        le=60,
        description="days a fee may stay unpaid before the line is suspended",
    )
    notice_h: float = Field(
        default=48.0,
        ge=0,
        le=600,
        description="hours before the end of a period at which the account says what is left in "
        "it and what is missing for the next fee",
    )
    contract_periods: int = Field(
        default=24,
        ge=0,
        le=120,
        description="periods of a postpaid contract; the last but one tells that it ends; 0: no "
        "contracts (24 months is the longest usual term, assumption)",
    )
    vat: float = Field(
        default=0.20, ge=0, le=0.5, description="value-added tax inside prices, share"
    )
    interconnect_share: float = Field(
        default=0.12,
        ge=0,
        le=1,
        description="interconnect and wholesale cost, share of usage revenue",
    )
    roaming_wholesale_share: float = Field(
        default=0.45, ge=0, le=1, description="wholesale cost of roaming, share of roaming revenue"
    )
