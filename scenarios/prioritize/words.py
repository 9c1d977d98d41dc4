"""What a study says in sentences: the headline, and what a reader must know.

It owns the wording.  It must not compute an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCALE = 1_000
MINOR = 100
MONTH_DAYS = 30.4375


def month_money(told: Mapping[str, Any], value: float) -> float:
    """Return money of all lines a month, from minor units for 1,000 lines over the horizon."""
    return value / MINOR / SCALE * told["represents"] * MONTH_DAYS / told["days"]


def amount(value: float, currency: str) -> str:
    """Return a sum of money with its sign where it is a loss, in thousands, millions, billions."""
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if abs(value) >= size:
            return f"{value / size:,.3g} {name} {currency}"
    return f"{value:,.0f} {currency}"


def days_of(told: Mapping[str, Any]) -> str:
    """Return how long the runs last."""
    return "one day" if told["days"] == 1 else f"{told['days']:g} days"


def verdict(estimate: Mapping[str, Any]) -> str:
    """Return where an interval lies: `gains`, `loses`, `not told apart from nothing`."""
    if estimate["low"] is not None and estimate["low"] > 0:
        return "gains"
    if estimate["high"] is not None and estimate["high"] < 0:
        return "loses"
    return "not told apart from nothing"


def headline(told: Mapping[str, Any]) -> str:
    """Return the answer in two or three sentences."""
    rows = told["use_cases"]
    surely = [row["name"] for row in rows if verdict(row["share"]) == "gains"]
    losing = [row["name"] for row in rows if verdict(row["share"]) == "loses"]
    joint = amount(month_money(told, told["joint"]["value"]), told["currency"])
    words = [f"All {len(rows)} use cases together make {joint} of margin a month."]
    if surely:
        words.append(f"{_list(surely)} surely gain, the most valuable first.")
    if losing:
        words.append(f"{_list(losing)} surely lose.")
    starts = told["plan"]["starts"]
    if starts:
        words.append(
            f"The plan launches {len(starts)} of them within {told['plan']['terms']['months']} "
            f"months for {amount(told['plan']['cost'], told['currency'])} and is worth "
            f"{amount(told['plan']['npv'], told['currency'])} today."
        )
    else:
        words.append("Under these terms nothing pays for its building.")
    return " ".join(words)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def caveats(told: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before believing the figures."""
    rows = told["use_cases"]
    out = [
        f"The runs last {days_of(told)}: what is bought earlier than it would have been is counted "
        "as gained there. Values at 90 days carry on what the second half of the runs added a day.",
        "A month of the plan is a third of the value at 90 days.",
        "Values are shares: each is what a use case adds on average over all orders of launching. "
        "They sum to the joint value, so that the plan of all is worth what all are; that of a few "
        "is worth about the sum of theirs.",
        "While shares are measured, the other lines have other use cases live: what they take of "
        "channels and cells is that of the average order.",
        "Nobody is withheld here: holdouts are for measuring, and would take their part of it.",
    ]
    unsure = [row["name"] for row in rows if row["rank_high"] - row["rank_low"] >= len(rows) / 3]
    if unsure:
        out.append(
            f"The rank of {_list(unsure)} is not settled: the places in which 90 % of resamples "
            "put it span a third of the list."
        )
    silent = [row["name"] for row in rows if not row["contacts"]]
    if silent:
        out.append(f"{_list(silent)} reached nobody in these days, and so show nothing.")
    unpriced = [row["name"] for row in rows if not row["person_months"]]
    if unpriced:
        out.append(f"Nobody has said what {_list(unpriced)} cost to build: taken as nothing.")
    if told["represents"] != told["subscribers"]:
        out.append(
            f"{told['subscribers']:,} lines stand for {told['represents']:,}: intervals are those "
            "of the lines simulated."
        )
    return out
