"""The page of a study of use cases: what a director reads in five minutes.

It owns how `prioritize.json` looks.  It must not know how anything was valued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from scenarios.prioritize.words import amount, days_of, month_money, verdict
from scenarios.report.figures import BLUE, COLOURS, GREEN, GREY, ORANGE, RED, config, nothing, style
from scenarios.report.html import TEMPLATES
from scenarios.report.words import MINOR, NONE, count, short, signed

COLOUR_OF = {"gains": GREEN, "loses": RED, "not told apart from nothing": GREY}
GROUP_COLOURS = dict(zip(("billing", "geo", "traffic", "retention"), COLOURS, strict=False))
BUBBLE_MIN, BUBBLE_MAX = 14, 46


def page(told: Mapping[str, Any]) -> str:
    """Return a study as one HTML page.

    Parameters
    ----------
    told : content of `prioritize.json`
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("prioritize.html.j2").render(
        plotly=get_plotlyjs(), told=told, rows=[_row(told, row) for row in told["use_cases"]],
        joint=_interval(told["joint"]), plan=_plan(told), taken=_taken(told),
        pairs=[_pair(pair) for pair in told["interactions"]],
        ranking=_html(ranking(told), "ranking"), bubbles=_html(bubbles(told), "bubbles"),
        timeline=_html(timeline(told), "timeline"), frontier=_html(frontier(told), "frontier"),
        segments=_html(segments(told), "segments"),
        count=count, none=NONE, contacts=_contacts(told),
    )  # fmt: skip


def _interval(estimate: Mapping[str, Any] | None) -> str:
    """Return money of 1,000 lines with half of its interval."""
    if estimate is None:
        return NONE
    text = signed(estimate["value"] / MINOR)
    if estimate["low"] is None:
        return text
    return f"{text} ± {short((estimate['high'] - estimate['low']) / 2 / MINOR)}"


def _row(told: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    wow = row["wow"]
    return {
        "rank": str(row["rank"]), "ranks": f"{row['rank_low']} to {row['rank_high']}",
        "name": row["name"], "title": row["title"],
        "verdict": verdict(row["share"]), "share": _interval(row["share"]),
        "later": f"{_interval(row['later'])} ({row['rank_later']})",
        "first": NONE if row["first_in"] is None
        else f"{_interval(row['first_in'])} ({row['rank_alone']})",
        "last": _interval(row["last_in"]),
        "month": amount(month_money(told, row["share"]["value"]), told["currency"]),
        "contacts": count(row["contacts"]),
        "each": NONE if row["minor_per_contact"] is None
        else signed(row["minor_per_contact"] / MINOR),
        "pays": NONE if row["pays"] is None else "yes" if row["pays"] else "no",
        "wow": NONE if wow["value"] is None else signed(wow["value"], 2),
        "cost": f"{row['person_months']:g} / {row['months']:g}",
        "believed": NONE if row["believed_rub"] is None else signed(row["believed_rub"]),
    }  # fmt: skip


def _pair(pair: Mapping[str, Any]) -> dict[str, str]:
    words = "in each other's way" if pair["value"] < 0 else "better together"
    return {"pair": f"{pair['one']} and {pair['other']}", "value": _interval(pair), "words": words}


def _taken(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return, for each use case, whose contacts it takes, most first."""
    rows = []
    for row in told["displacement"]:
        taken = sorted(row["taken"].items(), key=lambda pair: -pair[1])
        lost = sum(n for _, n in taken)
        rows.append({
            "name": row["name"], "own": count(row["own"]), "lost": count(lost),
            "whose": ", ".join(f"{name} {count(n)}" for name, n in taken if n > 0) or NONE,
            "helped": ", ".join(f"{name} {count(-n)}" for name, n in taken[::-1] if n < 0) or NONE,
        })  # fmt: skip
    return rows


def _contacts(told: Mapping[str, Any]) -> dict[str, str]:
    found = told["contacts"]
    words = {"cap": f"{found['cap']} in {found['per_days']} days"}
    for name, verb in (("more", "brings"), ("fewer", "costs")):
        price = found[name] and found[name]["minor_per_contact"]
        words[name] = f"{verb} nothing: it changes no contact" if found[name] else "was not tried"
        if price:
            words[name] = f"{verb} {_interval(price)} {told['currency']} for each contact changed"
    return words


def _plan(told: Mapping[str, Any]) -> dict[str, Any]:
    plan, currency = told["plan"], told["currency"]
    units = {
        "people": "a person-month a month", "months": "a month of horizon",
        "budget": f"a {currency} of budget", "contacts": "a contact a month",
    }  # fmt: skip
    return {
        "npv": amount(plan["npv"], currency), "cost": amount(plan["cost"], currency),
        "starts": [
            {
                "name": start["name"], "begin": start["begin"] + 1, "live": start["live"] + 1,
                "npv": amount(start["npv"], currency),
                "payback": "never" if start["payback"] is None else start["payback"],
            }
            for start in plan["starts"]
        ],
        "left_out": plan["left_out"],
        "prices": [
            {"limit": units[name], "price": amount(price, currency) if price else "0: not binding"}
            for name, price in plan["prices"].items()
        ],
    }  # fmt: skip


def ranking(told: Mapping[str, Any]) -> go.Figure:
    """Show the share of every use case with its interval, first in and last in beside it."""
    rows = told["use_cases"]
    names = [row["name"] for row in rows]
    figure = go.Figure()
    for words, colour in COLOUR_OF.items():
        part = [row for row in rows if verdict(row["share"]) == words]
        if not part:
            continue
        middle = [row["share"]["value"] / MINOR for row in part]
        figure.add_scatter(
            y=[row["name"] for row in part], x=middle, mode="markers", name=f"share, {words}",
            marker={"size": 10, "color": colour},
            error_x={"type": "data", "symmetric": False, "thickness": 2,
                     "array": [_reach(row["share"], "high") for row in part],
                     "arrayminus": [_reach(row["share"], "low") for row in part]},
            customdata=[row["title"] for row in part],
            hovertemplate="%{y}: %{x:+,.3~r}<br>%{customdata}<extra></extra>",
        )  # fmt: skip
    for key, name, symbol in (
        ("first_in", "first in: alone", "triangle-right-open"),
        ("last_in", "last in: lost without it", "triangle-left-open"),
    ):
        part = [row for row in rows if row[key] is not None]
        if part:
            figure.add_scatter(
                y=[row["name"] for row in part], x=[row[key]["value"] / MINOR for row in part],
                mode="markers", name=name, marker={"symbol": symbol, "size": 10, "color": BLUE},
                hovertemplate="%{y}: %{x:+,.3~r}<extra></extra>",
            )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(title=f"margin for 1,000 lines over {days_of(told)}, {told['currency']}")
    return style(figure, height=150 + 27 * len(rows))


def _reach(estimate: Mapping[str, Any], end: str) -> float:
    if estimate[end] is None:
        return 0.0
    return abs(estimate[end] - estimate["value"]) / MINOR


def bubbles(told: Mapping[str, Any]) -> go.Figure:
    """Show value against effort; the bubble is the delight of customers (S0.21)."""
    rows = [row for row in told["use_cases"] if row["person_months"]]
    if not rows:
        return nothing("nobody has said what these use cases cost to build")
    most = max(abs(row["wow"]["value"]) for row in rows) or 1.0
    figure = go.Figure()
    for group, colour in GROUP_COLOURS.items():
        part = [row for row in rows if row["group"] == group]
        if not part:
            continue
        sizes = [
            BUBBLE_MIN + (BUBBLE_MAX - BUBBLE_MIN) * abs(row["wow"]["value"]) / most for row in part
        ]
        figure.add_scatter(
            x=[row["person_months"] for row in part],
            y=[month_money(told, row["share"]["value"]) for row in part],
            mode="markers+text", text=[row["name"] for row in part], name=group,
            textposition="middle center", textfont={"size": 11},
            marker={
                "size": sizes, "color": colour, "opacity": 0.75,
                "line": {"width": [2 if row["wow"]["value"] < 0 else 0 for row in part],
                         "color": RED},
            },
            customdata=[[row["title"], row["months"], row["wow"]["value"]] for row in part],
            hovertemplate="%{text}: %{customdata[0]}<br>%{y:,.3~s} a month, %{x:g} person-months, "
            "%{customdata[1]:g} months, wow %{customdata[2]:+.2~g}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(title="effort, person-months", rangemode="tozero")
    figure.update_yaxes(title=f"margin of all lines a month, {told['currency']}")
    return style(figure, height=460)


def timeline(told: Mapping[str, Any]) -> go.Figure:
    """Show the plan: the foundation, what is built when, and when it is live."""
    plan = told["plan"]
    if not plan["starts"]:
        return nothing("nothing pays for its building under these terms")
    horizon, first = plan["terms"]["months"], plan["terms"]["foundation_months"]
    bars = [("foundation", 0, first, horizon)] if first else []
    bars += [(s["name"], s["begin"], s["live"], horizon) for s in plan["starts"]]
    names = [bar[0] for bar in bars]
    figure = go.Figure()
    for name, colour, begin, length in (
        ("built", ORANGE, [bar[1] for bar in bars], [bar[2] - bar[1] for bar in bars]),
        ("live", GREEN, [bar[2] for bar in bars], [bar[3] - bar[2] for bar in bars]),
    ):
        figure.add_bar(
            y=names, x=length, base=begin, orientation="h", name=name, marker={"color": colour},
            hovertemplate="%{y}: %{base} to %{x} months<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(title="months from today", range=[0, horizon], dtick=3)
    return style(figure, height=130 + 26 * len(bars))


def frontier(told: Mapping[str, Any]) -> go.Figure:
    """Show the best plan for each budget: what it costs, what it is worth."""
    plans = told["plan"]["frontier"]
    if len(plans) < 2:
        return nothing("no budget makes a difference")
    figure = go.Figure(go.Scatter(
        x=[p["cost"] for p in plans], y=[p["npv"] for p in plans], mode="lines+markers",
        line={"color": BLUE, "shape": "hv"}, marker={"size": 9},
        customdata=[[", ".join(p["names"]) or "nothing", p["wow"]] for p in plans],
        hovertemplate="%{x:,.3~s} for building, worth %{y:,.3~s} today, wow %{customdata[1]:+.2~g}"
        "<br>%{customdata[0]}<extra></extra>",
    ))  # fmt: skip
    figure.add_scatter(
        x=[told["plan"]["cost"]],
        y=[told["plan"]["npv"]],
        mode="markers",
        name="the plan",
        marker={"size": 13, "color": GREEN, "symbol": "star"},
    )
    figure.data[0].name = "best for a budget"
    figure.update_xaxes(title=f"money for building, {told['currency']}", rangemode="tozero")
    figure.update_yaxes(title=f"value today, {told['currency']}")
    return style(figure, height=340)


def segments(told: Mapping[str, Any]) -> go.Figure:
    """Show the share of every use case in every segment, for 1,000 lines of it."""
    names = [row["name"] for row in told["use_cases"]]
    groups = told["segments"]
    values = [[group["shares"][name]["value"] / MINOR for name in names] for group in groups]
    most = max((abs(v) for row in values for v in row), default=0.0) or 1.0
    figure = go.Figure(go.Heatmap(
        z=values, x=names, y=[group["segment"] for group in groups], zmin=-most, zmax=most,
        colorscale=[[0, RED], [0.5, "#ffffff"], [1, GREEN]], xgap=1, ygap=1,
        text=[[signed(v) if v else "" for v in row] for row in values], texttemplate="%{text}",
        textfont={"size": 11}, colorbar={"title": {"text": told["currency"]}, "thickness": 12},
        hovertemplate="%{x} in %{y}: %{z:+,.3~r}<extra></extra>",
    ))  # fmt: skip
    return style(figure, height=110 + 44 * len(groups))


def _html(figure: go.Figure, name: str) -> str:
    return plotly.io.to_html(
        figure, full_html=False, include_plotlyjs=False, config=config(figure), div_id=name,
        default_width="100%",
    )  # fmt: skip
