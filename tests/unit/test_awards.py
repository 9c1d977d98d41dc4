"""Awards that are taken back after a part of them was spent: row H9 of the fault list."""

from __future__ import annotations

import pytest

from actors import messages as m
from actors.billing.params import BillingParams, Rates, Tariff
from tests.property.billing_twin import Line
from tests.property.test_billing import FIRST, Driver

DAY_MS = 86_400_000


@pytest.mark.fault("H9")
@pytest.mark.parametrize(("texts", "spent"), [(0, 0), (2, 400), (5, 1_000), (7, 1_000)])
def test_an_award_that_is_taken_back_gives_back_what_is_left_of_it(texts: int, spent: int) -> None:
    """Of 1,000 in bonus money, texts of 200 take a part; the cancellation takes the rest alone.

    The event tells what came back, main money is untouched by it, nothing falls below zero, and the
    books of bonus money balance on each day.
    """
    tariff = Tariff(
        tariff="x", title="x", prepaid=True, share=1, fee_minor=0, period_days=30, data_mb=0,
        voice_min=0, sms=0, over=Rates(voice_minor_per_min=0, sms_minor=200, data_minor_per_mb=0),
        roaming=Rates(voice_minor_per_min=0, sms_minor=200, data_minor_per_mb=0),
        international_minor_per_min=0, after_limit="charge", zero_rated=(), credit_limit_minor=0,
    )  # fmt: skip
    start = [Line(FIRST + i, tariff, life=m.ACTIVE) for i in range(3)]
    for line in start:
        line.balance, line.cycle_s = 1_000, 29 * 86_400
    driver = Driver(start, BillingParams(bonus_share=1.0, bonus_days=30), [tariff])
    use = [(FIRST, 5_000 + k, m.USAGE, m.SMS, 0, 1) for k in range(texts)]
    driver.tick(0, use, [(FIRST, 1_000, m.REWARD, 1_000)])
    columns = driver.actor.columns.arrays
    assert int(columns["bonus_minor"][0]) == 1_000 - spent
    main = int(columns["balance_minor"][0])
    assert main == 1_000 - (texts * 200 - spent) >= 0
    _, events = driver.tick(1, [], [(FIRST, DAY_MS + 1_000, m.CANCEL, 1_000)])
    told = [row for row in events if m.CREDIT_CANCELLED in row]
    assert len(told) == 1 and 1_000 - spent in told[0]
    assert int(columns["bonus_minor"][0]) == 0 and int(columns["balance_minor"][0]) == main
