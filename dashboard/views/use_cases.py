"""Use cases: which are worth it, how sure that is, and why so many people got nothing."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, frame, queries
from dashboard.charts import escaped
from dashboard.queries import RunKey
from scenarios.report import figures
from scenarios.report.words import MINOR, count, dig, label

ALL = "all use cases"


@frame.page("Use cases", "Which use cases are worth it, and how sure is that?")
def page(key: RunKey) -> None:
    """Show uplift and conversion against control, the funnel, and every figure as a table."""
    run = queries.opened(key)
    cases: dict[str, Any] = dig(run.kpis, "use_cases") or {}
    if not cases:
        st.info("Use cases are judged when the run is complete and has decided something.")
        return
    currency = dig(run.kpis, "charging", "currency") or ""
    section = queries.told(key, "use-cases")[0]
    for sentence in section.says:
        st.caption(escaped(sentence))
    _verdicts(cases)
    sizes = [c["uplift"]["n"] or 0 for c in cases.values()]
    left, right = st.columns(2)
    with left:
        charts.draw(
            figures.uplift(cases, currency),
            f"Uplift against control with 95 % intervals, n = {count(sum(sizes))} winners",
            key="cases-uplift",
        )
    with right:
        charts.draw(
            figures.conversion(cases),
            "Who buys within the horizon, 95 % (point at a mark for n)",
            key="cases-conversion",
        )
    charts.data_table(
        table(cases), "Every use case in figures", key="use-cases", columns=_columns(currency),
        note=f"Uplift, low, high and truth: margin in {currency} per 1,000 winners; low and high "
        "are the ends of the 95 % interval. Booked margin counts buyers that "
        "would have bought anyway; the truth is known to the twin alone.",
    )  # fmt: skip
    _funnel(key, cases)


def _verdicts(cases: dict[str, Any]) -> None:
    words: dict[str, list[str]] = {}
    for name, case in cases.items():
        words.setdefault(case["uplift"]["verdict"], []).append(name)
    shown = [
        f"**{figures.VERDICT_WORDS[word]}** ({len(words[word])}): "
        + ", ".join(escaped(label(name)) for name in words[word])
        for word in figures.VERDICT_WORDS
        if word in words
    ]
    st.markdown(" · ".join(shown))
    if len(words.get("unknown", [])) == len(cases):
        st.info(
            "No estimate yet: a use case needs winners in both arms whose horizon has ended. More "
            "lines or more days give one."
        )


def table(cases: dict[str, Any]) -> Any:
    """Return one row per use case: counts, uplift with interval, truth, conversion, money."""
    rows = []
    for name, case in cases.items():
        uplift, bought = case["uplift"], case["conversion"]
        rows.append({
            "use case": label(name), "verdict": figures.VERDICT_WORDS[uplift["verdict"]],
            "uplift": _major(uplift["value"]), "low": _major(uplift["low"]),
            "high": _major(uplift["high"]), "in truth": _major(case["true_uplift"]),
            "treated n": uplift["n_treated"], "withheld n": uplift["n_withheld"],
            "treated buy": _percent(bought["treated"]),
            "withheld buy": _percent(bought["control"]),
            "booked margin": _major(case["margin_minor"]), "wow": case["wow"],
            "rule satisfied": case.get("trigger_hits"), "winners": case["won"],
            "sent": case["sent"], "seen": case["seen"], "accepted": case["accepted"],
            "group": case["group"], "title": case.get("title"),
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.sort_values("uplift", ascending=False, na_position="last")


def _columns(currency: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    unit = f"{currency} per 1,000 winners"
    counts = ("rule satisfied", "winners", "sent", "seen", "accepted", "treated n", "withheld n")
    return {
        "use case": st.column_config.TextColumn(pinned=True, width=150),
        "uplift": number(format="%+,.0f", width=85, help=f"Margin, treated less withheld, {unit}."),
        "low": number(format="%+,.0f", width=85, help=f"Low end of the 95 % interval, {unit}."),
        "high": number(format="%+,.0f", width=85, help=f"High end of the 95 % interval, {unit}."),
        "in truth": number(format="%+,.0f", help=f"The same from both worlds, {unit}."),
        "treated buy": number("treated buy, %", format="%.1f"),
        "withheld buy": number("withheld buy, %", format="%.1f"),
        "booked margin": number(f"booked margin, {currency}", format="%+,.0f"),
        "wow": number(format="%+.2f", help="Change of satisfaction per 1,000 eligible."),
        **{name: number(format="localized") for name in counts},
    }


def _funnel(key: RunKey, cases: dict[str, Any]) -> None:
    section = queries.told(key, "funnel")[0]
    st.subheader(section.question, anchor=False)
    name = st.selectbox(
        "Funnel of", [ALL, *cases], format_func=lambda n: n if n == ALL else label(n),
        key="cases-funnel-of",
    )  # fmt: skip
    if name == ALL or name not in cases:
        charts.show(section, key="cases", heading=False)
        return
    case = cases[name]
    hits = count(case.get("trigger_hits"))
    left, right = st.columns(2)
    with left:
        charts.draw(
            figures.funnel(case), f"From the satisfied rule to the yes, n = {hits} decisions",
            key="cases-funnel",
        )  # fmt: skip
    with right:
        charts.draw(
            figures.suppression(case.get("suppressed") or {}),
            "Why decisions ended without a message (orange: withheld as control)",
            key="cases-suppressed",
        )


def _major(minor: float | None) -> float | None:
    return None if minor is None else minor / MINOR


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


if __name__ == "__main__":
    page()
