"""Billing against its slow twin, row for row, for random tariffs and random lives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.billing.actor import BillingActor, BillingWorld
from actors.billing.params import BillingParams, Rates, Tariff
from actors.billing.state import FEE_DUE, STATE, TOLD_80, TOLD_100, TOLD_LOW, TOLD_ZERO
from actors.billing.tables import compile_tables
from actors.books import CHECKS
from actors.metrics import BILLING_METRICS
from actors.profile import PROFILE
from scenarios.catalogue import shipped_entries
from sim.core.actor import Inbox, Slice
from sim.core.checks import Equal, Stock
from sim.core.columns import Block, Columns
from sim.core.metrics import reset
from sim.core.ticks import DAY_MS, Tick
from sim.record.audit import Auditor
from tests.factories import default_world
from tests.property.billing_twin import NEVER_S, NO_BONUS_DAY, Line, Twin

FIRST = 100
LINES = 3
OFFERS = list(shipped_entries("offers").values())
BITS = {"low": TOLD_LOW, "80": TOLD_80, "100": TOLD_100, "zero": TOLD_ZERO}
COUNTED = {metric.name for metric in BILLING_METRICS} | {"asked_units", "events"}

money = st.one_of(st.just(0), st.integers(0, 60_000))
price = st.one_of(st.just(0.0), st.sampled_from([1.0, 33.3, 250.0]), st.floats(0, 3000))
rates = st.builds(
    Rates, voice_minor_per_min=price, sms_minor=st.integers(0, 900), data_minor_per_mb=price
)


@st.composite
def tariffs(draw: Any) -> Tariff:
    """Draw a tariff: prepaid or not, with or without allowances, with each rule after the limit."""
    prepaid = draw(st.booleans())
    return Tariff(
        tariff="x", title="x", prepaid=prepaid, share=1, fee_minor=draw(money),
        period_days=draw(st.integers(1, 4)), data_mb=draw(st.sampled_from([0, 1, 50, 3_000])),
        voice_min=draw(st.sampled_from([0, 1, 60])), sms=draw(st.sampled_from([0, 2, 50])),
        over=draw(rates), roaming=draw(rates), international_minor_per_min=draw(price),
        after_limit=draw(st.sampled_from(["charge", "throttle", "block"])),
        zero_rated=draw(st.sampled_from([(), ("video",), ("social", "messaging")])),
        credit_limit_minor=0 if prepaid else draw(money),
    )  # fmt: skip


params = st.builds(
    BillingParams,
    low_balance_minor=st.sampled_from([0, 5_000]), bonus_days=st.integers(1, 3),
    bonus_share=st.sampled_from([0.0, 0.3, 0.5, 1.0]), credit_fee_share=st.sampled_from([0.0, 0.1]),
    inactive_days=st.integers(7, 9), grace_days=st.integers(0, 2),
    notice_h=st.sampled_from([0, 1, 24, 48, 48]), contract_periods=st.sampled_from([0, 1, 3, 24]),
)  # fmt: skip


@st.composite
def lines(draw: Any, sub: int, tariff: Tariff) -> Line:
    """Draw the start of a line; what it holds fits its tariff."""
    life = draw(st.sampled_from([m.ACTIVE] * 6 + [m.SUSPENDED_LINE, m.CHURNED_LINE, m.RESERVED]))
    line = Line(sub, tariff, life=life, tenure_days=draw(st.integers(0, 90)))
    if life == m.RESERVED:
        return line
    line.balance = draw(st.integers(0 if tariff.prepaid else -tariff.credit_limit_minor, 80_000))
    line.data_kb = draw(st.integers(0, tariff.data_mb * 1000))
    line.voice_s = draw(st.integers(0, tariff.voice_min * 60))
    line.sms = draw(st.integers(0, tariff.sms))
    line.cycle_s = draw(st.integers(1, 4 * 86_400))
    line.active_day = draw(st.integers(-9, 0))
    line.debt = draw(st.sampled_from([0, 0, 7_000]))
    if draw(st.booleans()):
        line.bonus, line.bonus_day = draw(st.integers(1, 9_000)), draw(st.integers(0, 3))
    if draw(st.booleans()):
        line.pack_kb, line.pack_s = draw(st.integers(1, 90_000)), draw(st.integers(1, 3 * 86_400))
    line.fee_due = life == m.SUSPENDED_LINE
    line.told = set(draw(st.sets(st.sampled_from(sorted(BITS)))))
    return line


def _use(group: int, size: int) -> tuple[int, int, int, int]:
    data = m.DATA_GENERAL <= group <= m.DATA_MESSAGING or group == m.ROAM_DATA
    texts = group in (m.SMS, m.ROAM_SMS)
    units = max(size, 1) * 1000 if data else 1 + size % 3 if texts else size % 4_000
    return m.USAGE, group, 0, units


acts = st.one_of(
    st.builds(_use, st.integers(0, 10), st.integers(0, 40_000)),
    st.builds(_use, st.integers(0, 10), st.integers(0, 40_000)),
    st.builds(lambda x: (m.RECHARGE, 0, 0, x), st.integers(1, 50_000)),
    st.builds(
        lambda k, x: (m.PURCHASE, m.OFFERED, k, x), st.integers(0, 7), st.integers(0, 30_000)
    ),
    st.builds(
        lambda k, x: (m.PURCHASE, m.ORGANIC, k, x), st.integers(0, 5), st.integers(0, 30_000)
    ),
    st.sampled_from([(m.LOCATION, 0, 0, 0), (m.VISIT, 0, 2, 0), (m.RECHARGE_START, 0, 0, 500)]),
)
moments = st.one_of(st.integers(0, DAY_MS - 1), st.sampled_from([0, 999, 1000, DAY_MS - 1]))
act_rows = st.lists(st.tuples(st.integers(0, LINES - 1), moments, acts), max_size=14)
credit_rows = st.lists(
    st.tuples(st.integers(0, LINES - 1), moments, st.integers(0, 3), st.integers(1, 9_000)),
    max_size=3,
)


class Driver:
    """The real role over a few lines, and the books around it."""

    def __init__(self, start: list[Line], options: BillingParams, plans: list[Tariff]) -> None:
        tables = compile_tables(options, tariffs=plans, offers=OFFERS, price_level=1.0)
        profile, state = Columns(PROFILE, LINES), Columns(STATE, LINES)
        profile["tariff"][:] = [plans.index(line.tariff) for line in start]
        profile["tenure_days"][:] = [line.tenure_days for line in start]
        for i, line in enumerate(start):
            for name, value in self.columns_of(line).items():
                state[name][i] = value
        self.actor = BillingActor(
            BillingWorld(tables, default_world().labels), FIRST, profile, state
        )
        blocks = (m.ACTIVITY, m.RATED, m.ACCOUNT_EVENT)
        self.blocks = {schema.name: Block(schema, 1024) for schema in blocks}
        checks = [c for c in CHECKS if isinstance(c, (Stock, Equal)) and self.known(c)]
        assert len(checks) >= 10
        self.auditor = Auditor(checks, self.actor.ledger())

    @staticmethod
    def known(check: Any) -> bool:
        """Return whether a check needs no other role."""
        terms = (
            (*check.plus, *check.minus) if isinstance(check, Stock) else (*check.left, *check.right)
        )
        return {t[0] if isinstance(t, tuple) else t for t in terms} <= COUNTED

    @staticmethod
    def columns_of(line: Line) -> dict[str, int]:
        """Return what the state must hold for a line of the twin."""
        marks = sum(BITS[name] for name in line.told) + (FEE_DUE if line.fee_due else 0)
        return {
            "balance_minor": line.balance, "bonus_minor": line.bonus, "bonus_day": line.bonus_day,
            "data_left_kb": line.data_kb, "pack_left_kb": line.pack_kb, "pack_s": line.pack_s,
            "voice_left_s": line.voice_s, "sms_left": line.sms, "cycle_s": line.cycle_s,
            "debt_minor": line.debt, "active_day": line.active_day, "life": line.life,
            "marks": marks,
        }  # fmt: skip

    def tick(self, index: int, acts_: list[Any], credits: list[Any]) -> tuple[list[Any], list[Any]]:
        """Run one day; return the rows of `Rated` and of `AccountEvent`."""
        tick = Tick(
            index,
            index * DAY_MS,
            (index + 1) * DAY_MS,
            np.zeros((1, 1), np.uint8),
            np.zeros((1, 1), np.uint8),
            (),
        )
        reset(self.actor.tally())
        inbox = Inbox()
        if credits:
            inbox.rows["Credit"] = {
                "sub": np.array([c[0] for c in credits], np.int32),
                "ts_ms": np.array([c[1] for c in credits], np.int64),
                "use_case": np.array([-1 if c[3] % 2 else 3 for c in credits], np.int16),
                "quest": np.full(len(credits), -1, np.int16),
                "kind": np.array([c[2] for c in credits], np.uint8),
                "amount_minor": np.array([c[3] for c in credits], np.int64),
            }
        block = self.blocks["Activity"]
        names = ("sub", "ts_ms", "kind", "code", "ref", "units")
        for k, row in enumerate(acts_):
            for name, value in zip(names, row):
                block.columns[name][k] = value
        block.n = len(acts_)
        self.actor.begin(tick, inbox)
        self.actor.on_slice(tick, Slice(0, LINES, self.blocks))
        rated = self.blocks["Rated"].rows()
        events = self.actor.finish(tick)["AccountEvent"]
        self.audit(index, acts_)
        return list(zip(*(a.tolist() for a in rated.values()))), list(
            zip(*(a.tolist() for a in events.values()))
        )

    def audit(self, index: int, acts_: list[Any]) -> None:
        """Hold the tick to every identity of money and units that concerns billing alone."""
        tally = {name: array.copy() for name, array in self.actor.tally().items()}
        asked, kinds = np.zeros(11, np.int64), np.zeros(8, np.int64)
        for _, _, kind, code, _, units in acts_:
            kinds[kind] += 1
            asked[code] += units if kind == m.USAGE else 0
        tally |= {"asked_units": asked, "events": kinds}
        results = self.auditor.run(index, tally, self.actor.ledger())
        assert [r for r in results if not r[3]] == []


@pytest.mark.fault("H4", "H5", "H9")
@settings(max_examples=120)
@given(st.data())
def test_billing_does_what_its_slow_twin_does(data: st.DataObject) -> None:
    """Five days of use, recharges, purchases, credits and periods of three lines.

    Every row of `Rated` and `AccountEvent` and every column of state is equal, and the books of
    money, allowances and units balance on each day.
    """
    plans = [data.draw(tariffs()) for _ in range(2)]
    options = data.draw(params)
    start = [data.draw(lines(FIRST + i, plans[i % 2])) for i in range(LINES)]
    driver = Driver(start, options, plans)
    twin = Twin(start, options, OFFERS)
    assert (NEVER_S, NO_BONUS_DAY) == (2_000_000_000, 32_000)
    for day in range(5):
        base = day * DAY_MS
        acts_ = sorted(
            ((FIRST + i, base + ts, *act) for i, ts, act in data.draw(act_rows)),
            key=lambda row: row[:2],
        )
        credits = sorted((FIRST + i, base + ts, k, x) for i, ts, k, x in data.draw(credit_rows))
        twin.events = []
        for sub, ts, kind, amount in credits:
            twin.credit(start[sub - FIRST], day, ts, kind, amount)
        if day:
            for line in start:
                twin.end_silent(line, day, base)
        wanted = []
        for line in start:
            for sub, ts, kind, code, ref, units in acts_:
                if sub == line.sub:
                    wanted.append(twin.row(line, day, ts, kind, code, ref, units))
            twin.pass_time(line, (base + DAY_MS) // 1000 - 1, day)
        rated, events = driver.tick(day, acts_, credits)
        assert rated == wanted
        assert events == twin.events
        for i, line in enumerate(start):
            got = {name: int(a[i]) for name, a in driver.actor.columns.arrays.items()}
            assert got == Driver.columns_of(line)
