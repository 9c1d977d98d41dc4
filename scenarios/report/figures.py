"""Figures: pure functions from data frames and dicts to Plotly figures.

It owns the look of every chart, in the report and on the dashboard alike.  It never queries and
never shows; it must not know where the data came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from scenarios.report.words import MINOR, label, short

BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7f7f7f",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)
"""Okabe and Ito's palette, told apart by colour-blind readers as well."""
INK, SOFT, GRID, PAPER = "#22272e", "#5d6670", "#e4e7eb", "#ffffff"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
VERDICT_COLOURS = {"above": GREEN, "below": RED, "not significant": GREY, "unknown": "#c3c8ce"}
VERDICT_WORDS = {
    "above": "above control", "below": "below control", "not significant": "not significant",
    "unknown": "no estimate",
}  # fmt: skip
MIN_AXIS_MS = 1.0

Frame = Any
"""A pandas data frame.  Its stubs make every column a union of types, which helps nobody here."""


def config(figure: go.Figure) -> dict[str, Any]:
    """Return the Plotly configuration of a figure, for the report and the dashboard alike.

    Plotly offers by default to upload the chart to its own cloud: never here.  Only maps take the
    mouse wheel, since elsewhere it belongs to the page.
    """
    zooms = bool((figure.to_dict()["layout"].get("meta") or {}).get("zooms"))
    return {
        "displaylogo": False, "showSendToCloud": False, "plotlyServerURL": "", "responsive": True,
        "scrollZoom": zooms, "displayModeBar": "hover" if zooms else False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud"],
    }  # fmt: skip


def style(figure: go.Figure, *, height: int = 340, left: int | None = None) -> go.Figure:
    """Give a figure the one look of the project, and return it."""
    figure.update_layout(
        height=height, colorway=COLOURS, paper_bgcolor=PAPER, plot_bgcolor=PAPER,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": left if left is not None else 60, "r": 24, "t": 34, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None,
                "traceorder": "normal"},
        hoverlabel={"font": {"family": FONT}}, hovermode="closest", separators=".\u202f",
    )  # fmt: skip
    axis = {"gridcolor": GRID, "zerolinecolor": "#9aa1a9", "linecolor": GRID, "automargin": True,
            "title": {"font": {"size": 12.5, "color": SOFT}, "standoff": 8}}  # fmt: skip
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    return figure


def nothing(text: str = "nothing to show in this run", *, height: int = 140) -> go.Figure:
    """Return an empty figure that says why it is empty."""
    figure = go.Figure()
    figure.add_annotation(text=text, showarrow=False, font={"color": GREY, "size": 14})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return style(figure, height=height)


def day_curve(events: Frame) -> go.Figure:
    """Show network events a second over the run, stacked by kind.

    Parameters
    ----------
    events : `at` (datetime or hours), `kind`, `per_second`
    """
    if events.empty:
        return nothing("no network event in this run")
    order = events.groupby("kind")["per_second"].sum().sort_values(ascending=False).index
    shown = list(order[:4])
    table = events.assign(kind=events["kind"].where(events["kind"].isin(shown), "other"))
    table = table.groupby(["at", "kind"], sort=True)["per_second"].sum().unstack(fill_value=0)
    figure = go.Figure()
    for name in [*shown, "other"]:
        if name in table:
            figure.add_scatter(
                x=table.index, y=table[name], name=label(str(name)), stackgroup="one",
                mode="lines", line={"width": 0.8}, hovertemplate="%{y:,.4~g}/s",
            )  # fmt: skip
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="local time of the scenario")
    figure.update_yaxes(title="network events per second", rangemode="tozero")
    return style(figure)


def rates_over_time(rates: Frame) -> go.Figure:
    """Show decisions and messages a second over the run.

    Parameters
    ----------
    rates : `at`, `what`, `per_second`
    """
    if rates.empty:
        return nothing("no decision in this run")
    figure = go.Figure()
    for name, part in rates.groupby("what", sort=False):
        figure.add_scatter(x=part["at"], y=part["per_second"], name=str(name), mode="lines",
                           hovertemplate="%{y:,.4~g}/s")  # fmt: skip
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title="local time of the scenario")
    figure.update_yaxes(title="per second", rangemode="tozero")
    return style(figure, height=280)


FUNNEL_STEPS = {
    "trigger_hits": "rule satisfied", "eligible": "eligible", "allowed": "allowed by policy",
    "won": "won arbitration", "intended": "not withheld", "sent": "sent",
    "delivered": "delivered", "seen": "seen", "accepted": "accepted",
}  # fmt: skip


def funnel(counts: Mapping[str, Any]) -> go.Figure:
    """Show the decisions that are left after each step; `counts` is `kpis["funnel"]`."""
    values = [int(counts.get(key) or 0) for key in FUNNEL_STEPS]
    if not values[0]:
        return nothing("no rule was satisfied in this run")
    before = [values[0], *values[:-1]]
    text = [
        short(n) if i == 0 else f"{short(n)} ({n / b * 100:.3g} %)" if b else "0"
        for i, (n, b) in enumerate(zip(values, before, strict=True))
    ]
    figure = go.Figure(go.Bar(
        y=list(FUNNEL_STEPS.values()), x=values, orientation="h", text=text, cliponaxis=False,
        textposition="outside", marker={"color": BLUE}, hovertemplate="%{y}: %{x:,}<extra></extra>",
    ))  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="decisions (and % of the step before)",
                        range=[0, max(values) * 1.32])  # fmt: skip
    return style(figure, height=360)


def suppression(reasons: Mapping[str, int]) -> go.Figure:
    """Show how many decisions ended for each reason without a message."""
    known = sorted(((n, r) for r, n in reasons.items() if n), reverse=True)
    if not known:
        return nothing("no decision was suppressed")
    total = sum(n for n, _ in known)
    figure = go.Figure(go.Bar(
        y=[label(r) for _, r in known], x=[n for n, _ in known], orientation="h",
        text=[f"{short(n)} ({n / total * 100:.3g} %)" for n, _ in known], cliponaxis=False,
        textposition="outside", hovertemplate="%{y}: %{x:,}<extra></extra>",
        marker={"color": [ORANGE if r == "holdout" else GREY for _, r in known]},
    ))  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="decisions that ended without a message",
                        range=[0, known[0][0] * 1.32])  # fmt: skip
    return style(figure, height=110 + 26 * len(known))


def uplift(cases: Mapping[str, Mapping[str, Any]], currency: str) -> go.Figure:
    """Show margin per 1,000 winners against control, with intervals and the truth beside it."""
    rows = [(n, c) for n, c in cases.items() if c["uplift"]["value"] is not None]
    if not rows:
        return nothing("no horizon has ended with winners in both arms: run longer")
    rows.sort(key=lambda row: row[1]["uplift"]["value"])
    figure = go.Figure()
    for verdict, colour in VERDICT_COLOURS.items():
        part = [(n, c["uplift"]) for n, c in rows if c["uplift"]["verdict"] == verdict]
        if part:
            figure.add_scatter(
                y=[n for n, _ in part], x=[u["value"] / MINOR for _, u in part], mode="markers",
                name=VERDICT_WORDS[verdict], marker={"color": colour, "size": 9},
                error_x=interval_bars([u["value"] for _, u in part], [u["low"] for _, u in part],
                              [u["high"] for _, u in part], 1 / MINOR),
                customdata=[[u["n_treated"], u["n_withheld"]] for _, u in part],
                hovertemplate="%{y}: %{x:,.0f}<br>%{customdata[0]:,} treated, "
                "%{customdata[1]:,} withheld<extra></extra>",
            )  # fmt: skip
    known = [(n, c["true_uplift"]) for n, c in rows if c["true_uplift"] is not None]
    figure.add_scatter(
        y=[n for n, _ in known],
        x=[v / MINOR for _, v in known],
        mode="markers",
        name="truth",
        marker={"symbol": "diamond-open", "size": 11, "color": INK, "line": {"width": 2}},
        hovertemplate="%{y}: %{x:,.0f} in truth<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": "#9aa1a9", "width": 1})
    figure.update_yaxes(categoryorder="array", categoryarray=[n for n, _ in rows])
    figure.update_xaxes(title=f"margin per 1,000 winners, {currency}")
    return style(figure, height=130 + 27 * len(rows))


def conversion(cases: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Show the share of winners that buy, treated and withheld, each with its interval."""
    rows = [(n, c["conversion"]) for n, c in cases.items() if c["conversion"]["difference"]
            is not None]  # fmt: skip
    if not rows:
        return nothing("no horizon has ended with winners in both arms: run longer")
    rows.sort(key=lambda row: row[1]["difference"])
    figure = go.Figure()
    for key, name, colour in (("treated", "treated", BLUE), ("control", "withheld", ORANGE)):
        figure.add_scatter(
            y=[n for n, _ in rows], x=[c[key] * 100 for _, c in rows], mode="markers", name=name,
            marker={"color": colour, "size": 9},
            error_x=interval_bars([c[key] for _, c in rows], [c[f"{key}_low"] for _, c in rows],
                          [c[f"{key}_high"] for _, c in rows], 100),
            customdata=[c[f"n_{key}"] for _, c in rows],
            hovertemplate="%{y}: %{x:.3g} % of %{customdata:,}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=[n for n, _ in rows])
    figure.update_xaxes(title="winners that buy within the horizon, %", rangemode="tozero")
    return style(figure, height=130 + 27 * len(rows))


def interval_bars(
    values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None], by: float
) -> dict[str, Any]:
    """Return error bars from intervals; unknown ends draw none."""
    up = [0 if h is None else (h - v) * by for v, h in zip(values, highs, strict=True)]
    down = [0 if low is None else (v - low) * by for v, low in zip(values, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.6}


def channel_fate(channels: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Show what became of the messages of each channel, as shares of what was offered."""
    rows = {n: c for n, c in channels.items() if c["offered"]}
    if not rows:
        return nothing("no message was offered to a channel")
    figure = go.Figure()
    fates = {"delivered": BLUE, "failed": RED, "expired": ORANGE, "dropped": PINK, "waiting": GREY}
    for fate, colour in fates.items():
        figure.add_bar(
            y=list(rows), x=[c[fate] / c["offered"] * 100 for c in rows.values()], name=fate,
            orientation="h", marker={"color": colour}, customdata=[c[fate] for c in rows.values()],
            hovertemplate="%{y}: %{customdata:,} (%{x:.3g} %)<extra>" + fate + "</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="messages offered, %", range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    return style(figure, height=130 + 32 * len(rows))


def channel_wait(channels: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Show the wait in the queue of each channel from p50 to p99, on a logarithmic axis."""
    rows = [(n, c["queue_ms"]) for n, c in channels.items() if c["queue_ms"]["n"]]
    spans = [(n, q["p50"], None, q["p99"], f"n {q['n']:,}") for n, q in rows]
    return _spans(spans, "wait in the queue, p50 to p99", "no message waited")


def latency_stages(latency: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Show p50, p95 and p99 of each stage and of the whole way; percentiles do not add up."""
    names = {
        "capture": "captured", "profile": "profile read", "decide": "decided",
        "decision": "rule satisfied to decided", "channel": "handed over to sent",
        "event_to_send": "rule satisfied to sent",
    }  # fmt: skip
    rows = [(names[k], latency[k]) for k in names if k in latency and latency[k]["n"]]
    spans = [
        (n, v["p50"], v["p95"], v["p99"], f"{v['share_under_1s'] * 100:.2f} % under 1 s")
        for n, v in rows
    ]
    figure = _spans(spans, "p50, p95 and p99", "no decision in this run")
    if rows:
        figure.add_vline(x=1_000, line={"color": RED, "width": 1.5, "dash": "dot"},
                         annotation={"text": "1 s", "font": {"color": RED}})  # fmt: skip
    return figure


def _spans(
    rows: Sequence[tuple[str, float, float | None, float, str]], name: str, empty: str
) -> go.Figure:
    """Show a line from p50 to p99 for each row, marks at p50, p95, p99, on a log axis of ms."""
    if not rows:
        return nothing(empty)
    figure = go.Figure()
    for row, p50, p95, p99, note in rows:
        points = [max(p, MIN_AXIS_MS) for p in (p50, p95, p99) if p is not None]
        figure.add_scatter(
            x=points, y=[row] * len(points), mode="lines+markers+text", showlegend=False,
            line={"color": BLUE, "width": 3}, cliponaxis=False,
            marker={"size": [11, 8, 8][: len(points)], "color": BLUE,
                    "symbol": ["circle", "line-ns-open", "line-ns-open"][-len(points):]
                    if len(points) == 3 else ["circle", "line-ns-open"]},
            text=[""] * (len(points) - 1) + [f"  {note}"], textposition="middle right",
            hovertemplate="%{y}: %{x:,.0f} ms<extra></extra>",
        )  # fmt: skip
    top = max(max(p99, MIN_AXIS_MS) for _, _, _, p99, _ in rows)
    low = min(max(p50, MIN_AXIS_MS) for _, p50, _, _, _ in rows)
    span = [math.log10(low) - 0.15, math.log10(top) + 0.35 * (1 + math.log10(top / low)) / 2 + 0.4]
    figure.update_xaxes(type="log", title=f"{name}, ms (logarithmic)", range=span, dtick=1)
    figure.update_yaxes(autorange="reversed", categoryorder="array",
                        categoryarray=[row[0] for row in rows])  # fmt: skip
    return style(figure, height=120 + 34 * len(rows))


def latency_curves(curves: Frame) -> go.Figure:
    """Show the share of decisions that are through within a time.

    Parameters
    ----------
    curves : `what`, `ms`, `share` (0..1), rising
    """
    if curves.empty:
        return nothing("no decision in this run")
    figure = go.Figure()
    for name, part in curves.groupby("what", sort=False):
        figure.add_scatter(
            x=np.maximum(part["ms"], MIN_AXIS_MS),
            y=part["share"] * 100,
            name=str(name),
            mode="lines",
            line={"shape": "hv"},
            hovertemplate="%{y:.2f} % within %{x:,.0f} ms",
        )
    figure.add_vline(x=1_000, line={"color": RED, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(type="log", title="ms since the rule was satisfied (logarithmic)", dtick=1)
    figure.update_yaxes(title="through within this time, %", range=[0, 101])
    return style(figure, height=300)
