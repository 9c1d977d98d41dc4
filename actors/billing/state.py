"""State of the billing role: money, allowances, and the life of the account.

It owns the columns that `BillingActor` alone changes.  An account is one line in this version.
"""

from __future__ import annotations

from sim.core.columns import Field, Schema

NEVER_S = 2_000_000_000

STATE = Schema(
    "BillingState",
    (
        Field("balance_minor", "i8", "minor", "main money; below zero on postpaid"),
        Field("bonus_minor", "i4", "minor", "promotional money"),
        Field("bonus_day", "i2", "days", "day after which the bonus is gone"),
        Field("data_left_kb", "i4", "kB", "plan data left in the period"),
        Field("pack_left_kb", "i4", "kB", "bought data left"),
        Field("pack_s", "i4", "s", "moment at which the bought data expires"),
        Field("voice_left_s", "i4", "s", "plan voice left in the period"),
        Field("sms_left", "i2", "pieces", "plan texts left in the period"),
        Field("cycle_s", "i4", "s", "end of the period"),
        Field("debt_minor", "i4", "minor", "trust payment to be paid back"),
        Field("active_day", "i2", "days", "day of the last activity"),
        Field("life", "u1", "code", "reserved, active, suspended or churned"),
        Field("marks", "u1", "bits", "notices given in this period, and an unpaid fee"),
    ),
    doc="money and allowances of a line",
)

TOLD_LOW, TOLD_80, TOLD_100, FEE_DUE, TOLD_ZERO = 1, 2, 4, 8, 16
"""Bits of `marks`."""

DUE = Schema(
    "DueLines",
    (Field("line", "i4", "1", "local row of a line of which something ends in the tick"),),
    doc="scratch: lines of a slice whose period, bought data or bonus ends",
)
