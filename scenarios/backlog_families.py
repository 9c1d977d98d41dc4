"""Families of ideas: moments, products and audiences out of which the backlog is combined.

It owns their words and their believed figures, all of them assumptions of a workshop.  It must not
draw anything, nor know which combinations become ideas.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A family of moments: words, believed fires, how fast it must be, what it needs."""

    words: str
    trigger: str
    options: dict[str, int]
    fires: float
    freshness_s: int
    feeds: tuple[str, ...]
    legal: tuple[str, ...]
    conflicts: str


class Thing(NamedTuple):
    """A family of products: words, need, product, believed chance and margin, truth."""

    words: str
    need: str
    product: dict[str, Any]
    propensity: float
    margin_minor: int
    b0: float
    wow: float


CHARGE = ("charging",)
PLACE = ("location",)
TRAFFIC = ("traffic",)


def _billing() -> list[Rule]:
    rules = [
        Rule(f"{p} % of the data used", "allowance_used", {"percent": p}, 300 - p, 900, CHARGE, (),
             "allowance")
        for p in (50, 60, 70, 90, 95, 100)
    ]  # fmt: skip
    rules += [
        Rule(f"a top-up below {s // 100} RUB", "topup_start", {"below_minor": s}, s / 100, 600,
             ("payments",), (), "money")
        for s in (10_000, 20_000, 50_000)
    ]  # fmt: skip
    rules += [
        Rule(f"data charges at {f // 100} times the norm", "bill_shock",
             {"factor_percent": f, "mb_min": 200}, 8_000 / f, 3600, CHARGE, (), "money")
        for f in (200, 400, 600)
    ]  # fmt: skip
    rules += [
        Rule(f"back after {d} silent days", "return_after_silence", {"days": d}, 360 / d, 86_400,
             ("signalling",), (), "return")
        for d in (7, 14, 60)
    ]  # fmt: skip
    rules += [
        Rule(f"the balance under {f // 100} RUB", "low_balance", {"floor_minor": f}, 300, 7200,
             CHARGE, (), "money")
        for f in (1_000, 3_000, 10_000)
    ]  # fmt: skip
    rules += [
        Rule(f"{low} to {high} % of the data about to expire", "allowance_expiring",
             {"left_percent_min": low, "left_percent_max": high}, 150, 86_400, CHARGE, (),
             "allowance")
        for low, high in ((0, 20), (20, 40), (70, 100))
    ]  # fmt: skip
    rules += [
        Rule(f"more than {s // 100} RUB missing for the fee", "fee_will_fail", {"missing_minor": s},
             100 - s / 400, 86_400, CHARGE, (), "money")
        for s in (10_000, 25_000)
    ]  # fmt: skip
    rules += [
        Rule(f"a first charge abroad over {s // 100} RUB", "roaming_charge", {"charged_minor": s},
             5 - s / 5_000, 3600, CHARGE, (), "roaming")
        for s in (1_000, 10_000)
    ]  # fmt: skip
    return rules


def _geo() -> list[Rule]:
    rules = [
        Rule("ten minutes in a mall", "mall_dwell", {}, 120, 1800, PLACE, ("location",), "mall"),
        Rule("an airport before a flight", "airport_outbound", {}, 8, 5400, PLACE, ("location",),
             "journey"),
        Rule("home again at the airport", "airport_return", {}, 8, 1800, PLACE, ("location",),
             "journey"),
        Rule("the first cell in another region", "another_region", {}, 25, 14_400, PLACE,
             ("location",), "journey"),
        Rule("a place of the game", "quest_place", {"kind": 0}, 30, 7200, PLACE, ("location",),
             "mall"),
    ]  # fmt: skip
    rules += [
        Rule(f"our shop, a device due within {d} days", "own_shop_dwell", {"due_days": d}, d / 2,
             3600, PLACE, ("location",), "mall")
        for d in (30, 60, 240)
    ]  # fmt: skip
    return rules


def _traffic() -> list[Rule]:
    rules = [
        Rule(f"data at {f / 100:g} times the norm", "usage_trend",
             {"factor_percent": f, "mb_min": 400}, 20_000 / f, 14_400, TRAFFIC, (), "allowance")
        for f in (150, 300, 400)
    ]  # fmt: skip
    rules += [
        Rule(f"{n} pages about {word}", "category_visit", {"kind": kind, "pages_min": n}, 800 / n,
             14_400, TRAFFIC, ("traffic", "consent"), "web")
        for kind, word in ((0, "films and music"), (1, "goods"), (4, "money"), (5, "travel"))
        for n in (5, 20)
    ]  # fmt: skip
    rules += [
        Rule(f"a visit to {word}", "cart_visit", {"kind": kind}, 60, 3600, ("web",), ("consent",),
             "web")
        for kind, word in ((1, "our web shop"), (5, "a travel page"))
    ]  # fmt: skip
    return rules


def _retention() -> list[Rule]:
    rules = [
        Rule(f"{n} refused uses in an hour", "service_failures", {"count": n}, 100 / n, 7200,
             ("network quality",), (), "quality")
        for n in (2, 5, 8)
    ]  # fmt: skip
    rules += [
        Rule(f"{n} slow slices of data in an hour", "slow_data", {"count": n}, 120 / n, 14_400,
             ("network quality",), (), "quality")
        for n in (2, 6, 10)
    ]  # fmt: skip
    rules += [
        Rule(f"{n} pages of a rival", "rival_signal", {"pages_min": n}, 150 / n, 28_800, TRAFFIC,
             ("traffic", "consent"), "leaving")
        for n in (5, 20)
    ]  # fmt: skip
    rules += [
        Rule(f"a call about {word}", "call_reason", {"first": k, "last": k}, 20, 14_400,
             ("contact centre",), (), "care")
        for k, word in ((1, "a fault"), (2, "a bill"), (4, "a message"))
    ]  # fmt: skip
    rules += [
        Rule("a call that nobody answered", "call_reason", {"unhappy": 1}, 8, 7200,
             ("contact centre",), (), "care"),
        Rule("the last month after a year with us", "contract_end", {"tenure_days_min": 365}, 9,
             86_400, CHARGE, (), "leaving"),
        Rule("the last month after three years", "contract_end", {"tenure_days_min": 1095}, 5,
             86_400, CHARGE, (), "leaving"),
    ]  # fmt: skip
    return rules


RULES = {"billing": _billing, "geo": _geo, "traffic": _traffic, "retention": _retention}


def _pack(kind: str, price: int, mb: int, days: int, cost: int) -> dict[str, Any]:
    return {
        "kind": kind, "price_minor": price, "list_price_minor": round(price * 1.3), "data_mb": mb,
        "valid_days": days, "unit_cost_minor": cost,
    }  # fmt: skip


def _coupon(price: int, share: float, days: int, cost: int) -> dict[str, Any]:
    return {
        "kind": "coupon", "price_minor": price, "list_price_minor": round(price * 1.2),
        "partner_share": share, "valid_days": days, "unit_cost_minor": cost,
    }  # fmt: skip


def _gift(bonus: int) -> dict[str, Any]:
    return {"kind": "gift", "bonus_minor": bonus, "valid_days": 30}


def _switch(saved: int, cost: int) -> dict[str, Any]:
    return {"kind": "switch", "saved_minor": saved, "unit_cost_minor": cost, "valid_days": 30}


SMALL = Thing("a gigabyte for a day", "data", _pack("data_pack", 4900, 1024, 1, 300), 0.07, 3700,
              -2.0, 3)  # fmt: skip
LARGE = Thing("ten gigabytes", "data", _pack("data_pack", 24_900, 10_240, 30, 3000), 0.04, 17_700,
              -2.6, 3)  # fmt: skip
NIGHT = Thing("free nights", "data", _pack("data_pack", 9900, 5120, 30, 900), 0.05, 7300, -2.4, 4)
NEXT_PLAN = Thing("the next plan", "data", _switch(6000, 500), 0.03, 5500, -3.0, 2)
AUTOPAY = Thing("autopay", "money", _switch(2500, 500), 0.05, 2000, -3.2, 2)
LOAN = Thing("a trust payment", "money", {"kind": "credit", "credit_minor": 20_000,
             "unit_cost_minor": 700, "valid_days": 7}, 0.10, 900, -2.2, 4)  # fmt: skip
TOPUP = Thing("a reminder to top up", "money", {"kind": "topup", "topup_minor": 30_000,
              "saved_minor": 1500, "valid_days": 7}, 0.08, 1500, -2.6, 2)  # fmt: skip
CAP = Thing("a cap on charges", "loyalty", _switch(1600, 0), 0.15, 1600, -1.8, 5)
WEEK_ABROAD = Thing("a week abroad", "roaming", _pack("roaming_pack", 49_000, 3072, 7, 20_000),
                    0.12, 20_800, -0.6, 4)  # fmt: skip
MONTH_ABROAD = Thing("a month abroad", "roaming", _pack("roaming_pack", 99_000, 8192, 30, 45_000),
                     0.04, 37_500, -1.6, 4)  # fmt: skip
THANKS = Thing("ten roubles of thanks", "loyalty", _gift(1000), 0.40, 1500, 0.2, 4)
PRESENT = Thing("a hundred roubles", "loyalty", _gift(10_000), 0.60, 3000, 0.6, 4)
PRIZE = Thing("points of a partner", "shopping", _gift(300), 0.30, 700, -0.8, 4)
COFFEE = Thing("a coffee for half", "shopping", _coupon(15_000, 0.06, 1, 50), 0.05, 850, -3.4, 3)
FASHION = Thing("a fifth off clothes", "shopping", _coupon(200_000, 0.05, 3, 200), 0.01, 9800,
                -4.2, 3)  # fmt: skip
TAXI = Thing("a taxi for less", "partner", _coupon(50_000, 0.03, 1, 100), 0.05, 1400, -3.0, 3)
CARD = Thing("a bank's card", "partner", _coupon(100_000, 0.35, 14, 12_000), 0.008, 23_000, -4.8,
             2)  # fmt: skip
INSURANCE = Thing("travel insurance", "partner", _coupon(90_000, 0.2, 14, 1000), 0.02, 17_000,
                  -3.8, 3)  # fmt: skip
PHONE = Thing("a new phone", "device", _coupon(900_000, 0.12, 7, 15_000), 0.004, 75_000, -3.0, 2)
HEADSET = Thing("a headset", "device", _coupon(200_000, 0.25, 7, 5000), 0.01, 45_000, -3.2, 2)
FAST_SIM = Thing("a 4G SIM", "device", _switch(12_000, 2500), 0.02, 9500, -4.0, 4)
RENEW = Thing("a renewal with a present", "renewal", {"kind": "renewal", "saved_minor": 50_000,
              "unit_cost_minor": 20_000, "valid_days": 30}, 0.10, 30_000, -1.9, 3)  # fmt: skip
SORRY = Thing("words of apology", "loyalty", {"kind": "care"}, 0.5, 300, -20.0, 4)

THINGS = {
    "billing": (SMALL, LARGE, NIGHT, NEXT_PLAN, AUTOPAY, LOAN, TOPUP, CAP, THANKS, PHONE),
    "geo": (COFFEE, FASHION, TAXI, PHONE, HEADSET, WEEK_ABROAD, INSURANCE, PRIZE, SMALL, CARD),
    "traffic": (SMALL, LARGE, CARD, INSURANCE, HEADSET, PHONE, TAXI),
    "retention": (THANKS, PRESENT, SORRY, FAST_SIM, NEXT_PLAN, RENEW, SMALL, CAP),
}
FITS = {
    "roaming_charge": (WEEK_ABROAD, MONTH_ABROAD, CAP, SORRY),
    "return_after_silence": (SMALL, NIGHT, THANKS, NEXT_PLAN, PHONE),
    "airport_outbound": (WEEK_ABROAD, MONTH_ABROAD, INSURANCE, COFFEE),
    "airport_return": (TAXI, SMALL, COFFEE, CARD),
    "contract_end": (RENEW, PHONE, PRESENT, NEXT_PLAN),
}
"""Products of rules whose moment is about one thing only; other rules take those of their group."""

AUDIENCES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    (" for the young", {"segment": ["youth"]}),
    (" for prepaid lines", {"prepaid": True}),
    (" for the best customers", {"segment": ["premium", "business"]}),
    (" for those without our app", {"app": False}),
)
CHANNELS = (("push", "sms"), ("push",), ("inapp", "push"), ("sms",), ("push", "call"), ("call",))
