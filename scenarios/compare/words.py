"""What a comparison says in sentences: the headline, and what a reader must know.

It owns the wording.  It must not compute a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADLINE = (
    ("lines.margin_minor", "margin"), ("charging.service_revenue_minor", "service revenue"),
)  # fmt: skip
MINOR = 100
MINOR_ENDS = ("_n", ".n", ".low", ".high", "_low", "_high", ".n_treated", ".n_control",
              ".n_withheld", ".detectable")  # fmt: skip
"""Ends of the names of figures that describe other figures."""


def is_headline(name: str) -> bool:
    """Return whether a figure stands for itself, not for the precision of another."""
    return not name.endswith(MINOR_ENDS) and not name.startswith("population.stocks.")


def headline(document: Mapping[str, Any]) -> str:
    """Return the answer in one or two sentences."""
    n, compared = document["subscribers_changed"], document["subscribers"]["compared"]
    if n == 0 and not _beyond(document):
        return f"B is A: not one of {compared:,} subscribers has another day."
    told = []
    for name, word in HEADLINE:
        kpi = document["kpis"].get(name)
        if kpi is None or kpi["difference"] is None:
            continue
        told.append(f"B makes {_money(kpi, document['currency'])} {word} than A")
        break
    if n is not None:
        share = f"{n / compared * 100:.3g} %" if compared else "0 %"
        told.append(f"{n:,} of {compared:,} subscribers ({share}) have another day")
    return "; ".join(told) + "." if told else "Nothing that both sides have can be compared."


def _money(kpi: Mapping[str, Any], currency: str) -> str:
    value = kpi["difference"]
    if value == 0:
        return "not a bit more or less"
    text = f"{abs(value) / MINOR:,.0f} {currency}"
    if kpi["low"] is not None:
        text += f" (95 %: {kpi['low'] / MINOR:+,.0f} to {kpi['high'] / MINOR:+,.0f})"
        if kpi["low"] <= 0 <= kpi["high"]:
            text += ", not told apart from 0,"
    return text + (" more" if value > 0 else " less")


def _beyond(document: Mapping[str, Any]) -> list[str]:
    return [name for name, basis in document["basis"].items() if basis["beyond_noise"]]


def caveats(document: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before believing the figures."""
    n = document["replications"]
    with_interval = sum(kpi["low"] is not None for kpi in document["kpis"].values())
    told = []
    if n == 1:
        told.append(
            "One replication: intervals, where there are any, are over subscribers and take them "
            "for independent. Coupling through cells, channels and circles is not in them; "
            "--replications measures it."
        )
    elif n < 5:
        told.append(f"{n} replications: the intervals stand on {n} paired differences alone.")
    if with_interval > 20:
        told.append(
            f"{with_interval:,} figures have an interval at 95 %: about {with_interval * 0.05:.0f} "
            "of them would leave out 0 by chance if nothing differed."
        )
    if document["targets"]:
        told.append("The sequence was watched while it ran, so its intervals are a little short.")
    if document["subscribers_changed"] is None:
        told.append(
            "Whose day changed is not known: a run without lines.parquet does not tell. Run it "
            "with --set record.line_digests=true."
        )
    else:
        told.append(
            "A subscriber counts as changed where the state of any role differs at the end of the "
            "run. What left no trace in it, as a decision that ended in nothing, does not count."
        )
    alone = [name for name, kpi in document["kpis"].items() if kpi["difference"] is None]
    if alone:
        told.append(
            f"{len(alone):,} figures have no difference: one side, or one replication, does not "
            "have them."
        )
    days = "one day" if document["days"] == 1 else f"{document['days']:g} days"
    told.append(f"The horizon is the {days} of the run, not a year.")
    return told
