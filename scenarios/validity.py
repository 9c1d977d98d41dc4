"""Validity of a run: its figures beside the ranges that the field has published.

It owns the anchors: what is compared, with which range, from which kind of source, and whether the
model was given it (`input`), fitted to it (`calibrated`) or neither (`held-out`).  Only held-out
rows are evidence.  It must not know how a figure is made, nor change one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scenarios.estimates import ratio, rounded
from scenarios.kpis_flags import stubborn_ranks

Kpis = Mapping[str, Any]
Found = tuple[float | None, int]

TEXTS = ("regional_pack", "roaming_day_pack", "slow_data_upgrade")
"""Offers sold for money by text alone."""
NOTES = ("airport_return_taxi", "allowance_rollover", "shop_upgrade")
"""Offers shown as an app notification alone."""
TRIALS_MIN = 30
"""Winners of an arm below which a use case is not ranked."""
RESPONSE = ("seen_share", "need_weight", "price_weight", "taste_weight")
"""Parameters of `subscribers.answers` that a rank must not ignore."""


@dataclass(frozen=True)
class Anchor:
    """One row of the table.

    Attributes
    ----------
    name, unit : what it is
    kind : `input`, `calibrated` or `held-out`
    low, high : range of the field
    source : where the range comes from
    find : figure and its n, from the figures of a run
    n_min : units below which there is no verdict
    """

    name: str
    unit: str
    kind: str
    low: float
    high: float
    source: str
    find: Callable[[Kpis], Found]
    n_min: int = 200


def _of_cases(part: str, whole: str, names: Iterable[str] | None = None) -> Any:
    """Return a finder of sum(part) / sum(whole) over use cases of marketing."""

    def find(kpis: Kpis) -> Found:
        cases = kpis["use_cases"]
        chosen = [
            case for name, case in cases.items()
            if not case["service"] and (names is None or name in names)
        ]  # fmt: skip
        n = sum(case[whole] for case in chosen)
        return ratio(sum(case[part] for case in chosen), n), n

    return find


def _kind(pick: Callable[[Kpis], float]) -> Any:
    """Return a finder of a share of all winners of marketing, by both of their worlds."""

    def find(kpis: Kpis) -> Found:
        known = [
            case for case in kpis["use_cases"].values()
            if not case["service"] and case["true_conversion"]["n"]
        ]  # fmt: skip
        n = sum(case["true_conversion"]["n"] for case in known)
        return ratio(sum(pick(case) for case in known), n), n

    return find


def _both(case: Kpis, world: str) -> float:
    return case["true_conversion"][world] * case["true_conversion"]["n"]


def _one_case(name: str, world: str) -> Any:
    def find(kpis: Kpis) -> Found:
        told = kpis["use_cases"].get(name, {}).get("true_conversion", {"n": 0})
        return (told[world], told["n"]) if told["n"] else (None, 0)

    return find


def _recharge_days(kpis: Kpis) -> Found:
    n = kpis["charging"]["recharges"]
    days = kpis["population"]["days"]
    return ratio(kpis["population"]["subscribers"] * days, n), n


def _churn(kpis: Kpis) -> Found:
    return kpis["churn"]["left_per_month"], kpis["churn"]["left_per_month_n"]


def _joint(kpis: Kpis) -> Found:
    trials = kpis["experiments"]
    return trials["local_margin_share_of_revenue"], trials["local_margin_minor"]["n"]


def _true_joint(kpis: Kpis) -> Found:
    trials = kpis["experiments"]
    gained = trials["true_margin_minor"]
    revenue = kpis["charging"]["service_revenue_minor"]
    return (None if gained is None else ratio(gained, revenue)), trials["true_margin_n"]


def _losers(kpis: Kpis) -> Found:
    known = [c["true_uplift"] for c in kpis["use_cases"].values() if c["true_uplift"] is not None]
    return ratio(sum(value < 0 for value in known), len(known)), len(known)


ANCHORS = (
    Anchor("buys anyway", "of winners", "held-out", 0.0, 0.18,
           "MegaFon uplift set: 17.94 % without a contact, its campaign being a strong one",
           _kind(lambda case: _both(case, "without"))),
    Anchor("buys because of the contact", "of winners", "held-out", 0.0, 0.05,
           "MegaFon uplift set: 22.89 - 17.94 points",
           _kind(lambda case: _both(case, "with") - _both(case, "without"))),
    Anchor("never buys", "of winners", "held-out", 0.77, 1.0, "MegaFon uplift set: 1 - 22.89 %",
           _kind(lambda case: case["true_conversion"]["n"] - _both(case, "with"))),
    Anchor("driven away (opts out)", "of messages sent", "calibrated", 0.00002, 0.0005,
           "0.02-0.05 % per text (assumption); less in channels that annoy less",
           _of_cases("opted_out", "sent"), 20_000),
    Anchor("roaming pack, without contact", "of winners", "input", 0.10, 0.45,
           "a need that a third serve themselves (`needs.organic_share.roaming`)",
           _one_case("airport_roaming_pack", "without"), 100),
    Anchor("roaming pack, with contact", "of winners", "calibrated", 0.12, 0.50,
           "as above, and the uplift of a strong campaign",
           _one_case("airport_roaming_pack", "with"), 100),
    Anchor("purchases by text", "of texts sent", "held-out", 0.021, 0.043,
           "2.1-4.3 % in one campaign, rising with crowding",
           _of_cases("accepted", "sent", TEXTS)),
    Anchor("clicks of texts", "of texts delivered", "held-out", 0.04, 0.14, "SMS clicks, 4-14 %",
           _of_cases("clicked", "delivered", TEXTS)),
    Anchor("reactions to notifications", "of delivered", "held-out", 0.043, 0.131,
           "push reaction, 4.3-13.1 %", _of_cases("clicked", "delivered", NOTES)),
    Anchor("lines lost in a month", "of lines", "input", 0.01, 0.126,
           "2 % in a mature base, 3.8-12.6 % prepaid", _churn, 1_000),
    Anchor("days between recharges", "days", "held-out", 14, 105,
           "17 (rate of behaviour) to 63 (Australia) for prepaid, 60-97 % of lines",
           _recharge_days),
    Anchor("sum of local effects", "of service revenue", "held-out", 0.003, 0.03,
           "0.3-3 % (assumption)", _joint),
    Anchor("sum of direct truths", "of service revenue", "held-out", 0.003, 0.03,
           "0.3-3 % (assumption)", _true_joint),
    Anchor("use cases that lose", "of use cases", "held-out", 6 / 21, 15 / 21,
           "at least a third of tested ideas do not help; more than 15 of 21 winning is too good",
           _losers, 10),
)  # fmt: skip


def validity(kpis: Kpis) -> list[dict[str, Any]]:
    """Return one row for each anchor: figure, n, range, kind, verdict."""
    out = []
    for anchor in ANCHORS:
        value, n = anchor.find(kpis)
        if value is None or n < anchor.n_min:
            verdict = "too few"
        else:
            verdict = "inside" if anchor.low <= value <= anchor.high else "outside"
        out.append({
            "figure": anchor.name, "unit": anchor.unit, "kind": anchor.kind,
            "value": rounded(value), "n": n, "low": anchor.low, "high": anchor.high,
            "verdict": verdict, "source": anchor.source,
        })  # fmt: skip
    return out


def ranked(kpis: Kpis) -> dict[str, float]:
    """Return the direct truth of each use case with enough winners, per 1,000 of them."""
    return {
        name: case["true_uplift"]
        for name, case in kpis["use_cases"].items()
        if case["true_uplift"] is not None and case["true_uplift_n"] >= TRIALS_MIN
    }


def scaled(model: Any, factor: float) -> dict[str, float]:
    """Return the response parameters of a scenario times a factor, by dotted key."""
    out = {}
    for name in RESPONSE:
        value = getattr(model.subscribers.answers, name) * factor
        out[f"subscribers.answers.{name}"] = min(value, 1.0) if name == "seen_share" else value
    return out


def rank_flags(runs: Iterable[Kpis]) -> list[str]:
    """Return the red flag of an order of use cases that ignores people's response."""
    return stubborn_ranks([ranked(kpis) for kpis in runs])
