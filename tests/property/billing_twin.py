"""A slow twin of the billing role: one line as a Python object, one rule after another.

Written from the rules of tariffs and accounts (spec and docstrings), not from the kernels: it
knows integers, dictionaries and `if`, and no array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors import messages as m
from actors.billing.params import BillingParams, Tariff

NEVER_S = 2_000_000_000
NO_BONUS_DAY = 32_000
DATA = (m.DATA_GENERAL, m.DATA_VIDEO, m.DATA_SOCIAL, m.DATA_MESSAGING)
NO_PLAN = 255


@dataclass
class Line:
    """One account."""

    sub: int
    tariff: Tariff
    balance: int = 0
    bonus: int = 0
    bonus_day: int = NO_BONUS_DAY
    data_kb: int = 0
    pack_kb: int = 0
    pack_s: int = NEVER_S
    voice_s: int = 0
    sms: int = 0
    cycle_s: int = NEVER_S
    debt: int = 0
    active_day: int = 0
    life: int = m.ACTIVE
    tenure_days: int = 0
    dealt_s: int = 0
    """What came before it by the clock has been dealt with."""
    told: set[str] = field(default_factory=set)
    fee_due: bool = False


def micro(value: float, units: int) -> int:
    """Return the price of a unit, micro-minor."""
    return round(value * 1_000_000 / units)


def price_of(t: Tariff, group: int) -> int:
    """Return micro-minor per s, piece or kB."""
    if group in (m.VOICE_ONNET, m.VOICE_OFFNET):
        return micro(t.over.voice_minor_per_min, 60)
    if group == m.VOICE_INTL:
        return micro(t.international_minor_per_min, 60)
    if group == m.SMS:
        return micro(t.over.sms_minor, 1)
    if group == m.ROAM_VOICE:
        return micro(t.roaming.voice_minor_per_min, 60)
    if group == m.ROAM_SMS:
        return micro(t.roaming.sms_minor, 1)
    if group == m.ROAM_DATA:
        return micro(t.roaming.data_minor_per_mb, 1000)
    return micro(t.over.data_minor_per_mb, 1000)


class Twin:
    """Accounts of a few lines; `events` are the account events of a tick."""

    def __init__(self, lines: list[Line], params: BillingParams, offers: list[Any]) -> None:
        self.lines, self.p, self.offers = lines, params, offers
        self.events: list[tuple[int, int, int, int, int]] = []

    # --- small parts ------------------------------------------------------------------------

    def note(self, x: Line, ts_ms: int, kind: int, value: int) -> None:
        """Write an account event."""
        self.events.append((x.sub, ts_ms, kind, value, x.balance))

    def share(self, x: Line) -> int:
        """Return the used share of the plan's data."""
        total = x.tariff.data_mb * 1000
        return NO_PLAN if total == 0 else 100 - x.data_kb * 100 // total

    def floor(self, x: Line) -> int:
        """Return the lowest balance that use and purchases may reach."""
        return 0 if x.tariff.prepaid else -x.tariff.credit_limit_minor

    def grant(self, x: Line) -> None:
        """Replace the plan's allowances by full ones."""
        x.data_kb, x.voice_s, x.sms = x.tariff.data_mb * 1000, x.tariff.voice_min * 60, x.tariff.sms
        x.told -= {"80", "100"}

    # --- periods ------------------------------------------------------------------------------

    def pay_fee(self, x: Line, at_s: int) -> None:
        """Take the fee and begin a period, or note once that it is due."""
        fee = x.tariff.fee_minor
        if x.balance - fee < self.floor(x):
            if not x.fee_due:
                x.fee_due = True
                x.data_kb = x.voice_s = x.sms = 0
                self.note(x, at_s * 1000, m.FEE_FAILED, fee)
            return
        x.balance -= fee
        self.grant(x)
        x.cycle_s = (at_s if x.fee_due else x.cycle_s) + x.tariff.period_days * 86_400
        x.fee_due = False
        if x.life == m.SUSPENDED_LINE:
            x.life = m.ACTIVE
            self.note(x, at_s * 1000, m.RESUMED, 0)
        self.note(x, at_s * 1000, m.FEE_PAID, fee)

    def look_ahead(self, x: Line, until_s: int) -> None:
        """Say, some hours before a period ends, what is left in it and missing for the next fee."""
        notice_s = round(self.p.notice_h * 3600)
        at_s = x.cycle_s - notice_s
        told = x.dealt_s <= at_s <= until_s and x.tariff.period_days * 86_400 > notice_s
        if not told or x.life != m.ACTIVE or x.fee_due:
            return
        if x.tariff.data_mb:
            self.note(x, at_s * 1000, m.ALLOWANCE_ENDS, 100 - self.share(x))
        missing = x.tariff.fee_minor - x.balance
        if x.tariff.prepaid and missing > 0:
            self.note(x, at_s * 1000, m.FEE_SHORT, missing)

    def pass_time(self, x: Line, until_s: int, day: int) -> None:
        """Let what is due by the clock happen up to a moment, and tell of the end of a contract."""
        self.look_ahead(x, until_s)
        began_s = x.cycle_s
        self.end(x, until_s, day)
        x.dealt_s = until_s + 1
        n = self.p.contract_periods
        if x.cycle_s == began_s or n == 0 or x.tariff.prepaid:
            return
        if (x.tenure_days + day) // x.tariff.period_days % n == n - 1:
            self.note(x, began_s * 1000, m.CONTRACT_ENDS, x.tariff.period_days)

    def end(self, x: Line, until_s: int, day: int) -> None:
        """Let packs, bonus and periods end up to a moment."""
        if x.pack_s <= until_s:
            if x.pack_kb:
                left, x.pack_kb = x.pack_kb, 0
                self.note(x, x.pack_s * 1000, m.PACK_EXPIRED, left)
            x.pack_s = NEVER_S
        if x.bonus_day < day:
            if x.bonus:
                left, x.bonus = x.bonus, 0
                self.note(x, until_s * 1000, m.BONUS_EXPIRED, left)
            x.bonus_day = NO_BONUS_DAY
        while x.cycle_s <= until_s and x.life in (m.ACTIVE, m.SUSPENDED_LINE):
            if x.fee_due:
                late = until_s - x.cycle_s >= self.p.grace_days * 86_400
                if late and x.life == m.ACTIVE:
                    x.life = m.SUSPENDED_LINE
                    self.note(x, until_s * 1000, m.SUSPENDED, 0)
                return
            if not x.tariff.prepaid:
                x.balance = max(x.balance, 0)  # the bill is paid by direct debit
            self.pay_fee(x, x.cycle_s)

    # --- use ------------------------------------------------------------------------------------

    def charge(self, x: Line, group: int, units: int) -> tuple[int, int]:
        """Charge units beyond allowances: bonus up to its share, then main money to its floor."""
        cost = -(-units * price_of(x.tariff, group) // 1_000_000)
        if cost == 0:
            return 0, m.FREE
        bonus = min(x.bonus, cost * round(self.p.bonus_share * 1024) // 1024)
        main = min(max(x.balance - self.floor(x), 0), cost - bonus)
        x.bonus -= bonus
        x.balance -= main
        taken = bonus + main
        if taken == cost:
            return taken, m.CHARGED
        return taken, m.PARTIAL if units * taken // cost > 0 else m.DENIED

    def from_bucket(self, x: Line, name: str, units: int) -> int:
        """Take units from an allowance and return what it did not cover."""
        taken = min(getattr(x, name), units)
        setattr(x, name, getattr(x, name) - taken)
        return units - taken

    def use(self, x: Line, group: int, units: int) -> tuple[int, int]:
        """Rate one use; return (charged, result)."""
        if x.life != m.ACTIVE:
            return 0, m.DENIED
        if group in DATA or group == m.ROAM_DATA:
            return self.use_data(x, group, units // 1000)
        if group in (m.VOICE_ONNET, m.VOICE_OFFNET):
            units_left = self.from_bucket(x, "voice_s", units)
            if units == 0:
                return 0, m.FREE
        elif group == m.SMS:
            units_left = self.from_bucket(x, "sms", units)
        else:
            units_left = units
            if units == 0:
                return 0, m.FREE if group != m.ROAM_SMS else m.BUCKET
        return self.charge(x, group, units_left) if units_left else (0, m.BUCKET)

    def use_data(self, x: Line, group: int, kb: int) -> tuple[int, int]:
        """Rate data: zero-rated, pack, plan, then the tariff's rule for what is left."""
        t = x.tariff
        names = ("general", "video", "social", "messaging")
        if group != m.ROAM_DATA and names[group - m.DATA_GENERAL] in t.zero_rated:
            return 0, m.FREE
        left = self.from_bucket(x, "pack_kb", kb)
        if group == m.ROAM_DATA:
            return self.charge(x, group, left) if left else (0, m.BUCKET)
        left = self.from_bucket(x, "data_kb", left)
        if not left:
            return 0, m.BUCKET
        if t.after_limit == "throttle":
            return 0, m.PARTIAL
        if t.after_limit == "block" or x.fee_due:
            return 0, m.PARTIAL if left < kb else m.DENIED
        if t.data_mb:
            left = max(left // 10, 1)  # people mind what they pay for
        return self.charge(x, group, left)

    def notices(self, x: Line, ts_ms: int, before: int, after: int) -> None:
        """Tell once a period of a used allowance, and once per recharge of little money."""
        for percent, kind in ((80, m.ALLOWANCE_80), (100, m.ALLOWANCE_100)):
            crossed = after != NO_PLAN and before < percent <= after
            if crossed and str(percent) not in x.told:
                x.told.add(str(percent))
                self.note(x, ts_ms, kind, after)
        if x.tariff.prepaid:
            if x.balance < self.p.low_balance_minor and "low" not in x.told:
                x.told.add("low")
                self.note(x, ts_ms, m.LOW_BALANCE, x.balance)
            if x.balance <= 0 and "zero" not in x.told:
                x.told.add("zero")
                self.note(x, ts_ms, m.ZERO_BALANCE, x.balance)

    # --- rows -------------------------------------------------------------------------------------

    def recharge(self, x: Line, ts_ms: int, amount: int) -> None:
        """Put money in: a debt and a fee that is due are paid at once."""
        x.balance += amount
        owed = max(min(x.debt, x.balance), 0)
        x.debt -= owed
        x.balance -= owed
        if x.balance >= self.p.low_balance_minor:
            x.told -= {"low", "zero"}
        if x.fee_due:
            self.pay_fee(x, ts_ms // 1000)

    def buy(self, x: Line, ts_ms: int, code: int, ref: int, price: int) -> int:
        """Sell a product and return our revenue, or -1; a coupon is paid at the partner's till."""
        offer = self.offers[ref] if code == m.OFFERED else None
        coupon = offer is not None and offer.product.kind == "coupon"
        short = not coupon and x.balance - price < self.floor(x)
        if x.life != m.ACTIVE or short:
            self.note(x, ts_ms, m.PURCHASE_FAILED, price)
            return -1
        if coupon:
            return price * round(offer.product.partner_share * 1024) // 1024
        x.balance -= price
        product = offer.product if offer else self.listed(ref)
        if product is not None and product.data_mb:
            x.pack_kb += product.data_mb * 1000
            x.pack_s = ts_ms // 1000 + product.valid_days * 86_400
            self.note(x, ts_ms, m.PACK_BOUGHT, product.data_mb * 1000)
        return price

    def listed(self, need: int) -> Any:
        """Return the cheapest listed pack of a need's category, which people buy by themselves."""
        from actors.rtm.params import NEEDS

        packs = [
            o.product for o in self.offers
            if o.truth.category == NEEDS[need] and o.product.kind.endswith("_pack")
            and o.product.list_price_minor
        ]  # fmt: skip
        return min(packs, key=lambda p: p.list_price_minor) if packs else None

    def row(self, x: Line, day: int, ts_ms: int, kind: int, code: int, ref: int, units: int) -> Any:
        """Rate one row of `Activity`; return its row of `Rated`."""
        self.pass_time(x, ts_ms // 1000, day)
        x.active_day = day
        charged, result, before, after = 0, m.NOT_RATED, NO_PLAN, NO_PLAN
        if kind == m.USAGE:
            before = self.share(x)
            charged, result = self.use(x, code, units)
            after = self.share(x)
            if before != after or charged > 0 or result == m.DENIED:
                self.notices(x, ts_ms, before, after)
        elif kind == m.RECHARGE:
            self.recharge(x, ts_ms, units)
            charged = -units
        elif kind == m.PURCHASE:
            charged = self.buy(x, ts_ms, code, ref, units)
            result = m.CHARGED if charged > 0 else m.FREE if charged == 0 else m.DENIED
            charged = max(charged, 0)
        elif kind == m.LOCATION and x.life == m.RESERVED:
            x.life = m.ACTIVE
            x.cycle_s = ts_ms // 1000 + x.tariff.period_days * 86_400
            self.grant(x)
            self.note(x, ts_ms, m.JOINED, 0)
        return charged, x.balance, result, before, after

    def credit(self, x: Line, day: int, ts_ms: int, kind: int, amount: int) -> None:
        """Apply a reward, gift, trust payment or cancellation."""
        if x.life not in (m.ACTIVE, m.SUSPENDED_LINE):
            return
        if kind == m.CANCEL:
            back = min(x.bonus, amount)
            x.bonus -= back
            self.note(x, ts_ms, m.CREDIT_CANCELLED, back)
        elif kind == m.TRUST_CREDIT:
            if x.debt == 0:
                x.balance += amount - amount * round(self.p.credit_fee_share * 1024) // 1024
                x.debt += amount
                self.note(x, ts_ms, m.CREDITED, amount)
        else:
            x.bonus += amount
            x.bonus_day = day + self.p.bonus_days
            self.note(x, ts_ms, m.CREDITED, amount)

    def end_silent(self, x: Line, day: int, ts_ms: int) -> None:
        """Recognise a line that was silent for too long as churned."""
        gone = day - x.active_day > self.p.inactive_days
        if gone and x.life in (m.ACTIVE, m.SUSPENDED_LINE):
            x.life = m.CHURNED_LINE
            x.data_kb = x.voice_s = x.sms = 0
            self.note(x, ts_ms, m.CHURNED, 0)
