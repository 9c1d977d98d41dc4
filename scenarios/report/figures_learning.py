"""Figures about learning: what the engine believed of an offer, what came, and what was true.

It owns these figures.  It must not compute what `kpis.json` does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from scenarios.report.figures import BLUE, INK, ORANGE, interval_bars, style
from scenarios.report.words import NONE, percent

NOTE = (
    "Chance that a delivered message is accepted: believed at delivery, observed in time by the "
    "engine (95 %), true (the twin alone)"
)


def parts(cases: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, go.Figure]]:
    """Return caption and figure where the engine learned; nothing where it did not."""
    rows = [(n, c["acceptance"]) for n, c in cases.items() if c.get("acceptance", {}).get("n")]
    if not rows:
        return []
    n = sum(a["n"] for _, a in rows)
    return [(f"{NOTE}; n = {n:,}", acceptance(rows))]


def acceptance(rows: list[tuple[str, Mapping[str, Any]]]) -> go.Figure:
    """Show believed, observed and true chance of acceptance of each use case."""
    rows = sorted(rows, key=lambda row: row[1]["observed"])
    figure = go.Figure()
    for key, name, mark in (
        ("observed", "observed", {"color": BLUE, "size": 9}),
        ("believed", "believed", {"color": ORANGE, "size": 9, "symbol": "x"}),
        ("true", "truth", {"color": INK, "size": 11, "symbol": "diamond-open"}),
    ):
        known = [(n, a) for n, a in rows if a[key] is not None]
        figure.add_scatter(
            y=[n for n, _ in known],
            x=[a[key] * 100 for _, a in known],
            mode="markers",
            name=name,
            marker=mark,
            error_x=None if key != "observed" else interval_bars(
                [a[key] for _, a in known], [a["low"] for _, a in known],
                [a["high"] for _, a in known], 100,
            ),
            customdata=[a["true_n" if key == "true" else "n"] for _, a in known],
            hovertemplate="%{y}: %{x:.3g} % of %{customdata:,}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=[n for n, _ in rows])
    figure.update_xaxes(title="delivered messages accepted, %", rangemode="tozero")
    return style(figure, height=130 + 27 * len(rows))


def anyway(case: Mapping[str, Any]) -> str:
    """Return how many of those who accept would have bought without the message."""
    found = case.get("anyway") or {"n": 0, "of": 0}
    return percent(found["n"] / found["of"]) if found["of"] else NONE
