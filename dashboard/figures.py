"""Figures that only the dashboard has: one line's day in lanes, one cell's day.

Functions from data frames to Plotly figures in the look of the report.  They never query and
never show; they must not know the theme of the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scenarios.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    nothing,
    style,
)
from scenarios.report.words import MINOR, label, size

Frame = Any
LANES = ("messages", "decisions", "account", "usage", "location")
"""From the bottom of the picture upwards this is read in reverse: location on top."""
USAGE = {
    "voice": (BLUE, ("voice_onnet", "voice_offnet", "voice_international", "roaming_voice")),
    "SMS": (ORANGE, ("sms", "roaming_sms")),
    "data": (SKY, ("data_general", "data_video", "data_social", "data_messaging", "roaming_data")),
}
OUTCOMES = {"intended": GREEN, "holdout": ORANGE}
STATUS = {"delivered": BLUE, "failed": RED, "expired": GREY, "dropped": PINK}
SPOT = 11


def cell_day(rows: Frame) -> go.Figure:
    """Show the load of one cell hour by hour; `rows` has `at`, `util` and `bytes`."""
    if rows.empty:
        return nothing("this run kept no load of this cell")
    figure = go.Figure(go.Bar(
        x=rows["at"], y=rows["util"] * 100, marker={"color": BLUE},
        customdata=[[size(b), n, k] for b, n, k in
                    zip(rows["bytes"], rows["attempts"], rows["blocked"], strict=True)],
        hovertemplate="%{y:.1f} % in use, %{customdata[0]}, %{customdata[1]:,} uses, "
        "%{customdata[2]:,} refused or starved<extra></extra>",
    ))  # fmt: skip
    figure.add_hline(y=80, line={"color": RED, "width": 1.5, "dash": "dot"},
                     annotation={"text": "congested", "font": {"color": RED}})  # fmt: skip
    figure.update_xaxes(title="local time of the scenario")
    figure.update_yaxes(title="resource blocks in use, busiest tick, %", rangemode="tozero")
    return style(figure, height=280)


def lanes(tables: Mapping[str, Frame], currency: str) -> go.Figure:
    """Show the life of one line: lanes of what happened above the balance.

    Parameters
    ----------
    tables : `activity`, `account_events`, `decisions`, `contacts`; each with `at`, may be empty
    """
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.04
    )
    activity = tables["activity"]
    if not activity.empty:
        _location(figure, activity)
        _usage(figure, activity)
    _account(figure, activity, tables["account_events"])
    _decisions(figure, tables["decisions"])
    _messages(figure, tables["contacts"])
    _balance(figure, activity, tables["account_events"])
    if not figure.to_dict()["data"]:
        return nothing("nothing was recorded of this line")
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(LANES), range=[-0.6, len(LANES) - 0.4], row=1
    )
    figure.update_yaxes(title=f"main balance, {currency}", row=2)
    figure.update_xaxes(title="local time of the scenario", row=2)
    return style(figure, height=520, left=90)


def _location(figure: go.Figure, activity: Frame) -> None:
    """Draw each stay at a cell as a bar; neighbours differ in shade."""
    known = activity[activity["cell"].notna() & (activity["cell"] >= 0)]
    if known.empty:
        return
    cells = known["cell"].to_numpy(int)
    moments = list(known["at"])
    starts = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(cells)]
    for shade, colour in enumerate((GREY, "#c3c8ce")):
        x: list[Any] = []
        texts: list[str] = []
        for first, after in list(zip(starts, starts[1:]))[shade::2]:
            x += [moments[first], moments[min(after, len(cells) - 1)], None]
            texts += [f"cell {cells[first]}"] * 2 + [""]
        figure.add_scatter(
            x=x, y=["location"] * len(x), mode="lines", showlegend=False, text=texts,
            line={"width": 14, "color": colour}, hovertemplate="%{text}<br>%{x}<extra></extra>",
            row=1, col=1,
        )  # fmt: skip


def _usage(figure: go.Figure, activity: Frame) -> None:
    used = activity[activity["kind"] == "usage"]
    for name, (colour, codes) in USAGE.items():
        part = used[used["code"].isin(codes)]
        if part.empty:
            continue
        _spots(
            figure, part, "usage", name=name, colour=colour, symbol="line-ns-open",
            texts=[f"{label(str(r['code']))}, {_amount(str(r['code']), r['units'])}, "
                   f"{r['result']}, charged {r['charged_minor'] / MINOR:.2f}"
                   for r in part.to_dict("records")],
        )  # fmt: skip
    refused = activity[activity["kind"] == "blocked"]
    if not refused.empty:
        _spots(figure, refused, "usage", name="refused by the cell", colour=RED, symbol="x",
               texts=[label(str(c)) for c in refused["code"]])  # fmt: skip


def _amount(code: str, units: float) -> str:
    if "voice" in code:
        return f"{units:.0f} s"
    return f"{units:.0f} SMS" if "sms" in code else size(units)


def _account(figure: go.Figure, activity: Frame, events: Frame) -> None:
    if not activity.empty:
        for kind, colour, symbol in (
            ("recharge", GREEN, "triangle-up"), ("purchase", PINK, "star"),
        ):  # fmt: skip
            part = activity[activity["kind"] == kind]
            if not part.empty:
                _spots(figure, part, "account", name=kind, colour=colour, symbol=symbol,
                       texts=[f"{u / MINOR:,.0f}" for u in part["units"]])  # fmt: skip
    if not events.empty:
        texts = [f"{label(str(r['kind']))}, balance {r['balance_after_minor'] / MINOR:,.0f}"
                 for r in events.to_dict("records")]  # fmt: skip
        _spots(figure, events, "account", name="account event", colour=GREY, symbol="diamond-open",
               texts=texts)  # fmt: skip


def _decisions(figure: go.Figure, decisions: Frame) -> None:
    if decisions.empty:
        return
    groups = {"message intended": "intended", "withheld as control": "holdout"}
    for name, reason in groups.items():
        part = decisions[decisions["reason"] == reason]
        if not part.empty:
            _spots(figure, part, "decisions", name=name, colour=OUTCOMES[reason], symbol="circle",
                   texts=_decided(part))  # fmt: skip
    rest = decisions[~decisions["reason"].isin(list(groups.values()))]
    if not rest.empty:
        _spots(figure, rest, "decisions", name="ended without a message", colour=GREY,
               symbol="circle-open", texts=_decided(rest))  # fmt: skip


def _decided(rows: Frame) -> list[str]:
    return [f"{label(str(r['trigger']))}: {label(str(r['reason']))}"
            for r in rows.to_dict("records")]  # fmt: skip


def _messages(figure: go.Figure, contacts: Frame) -> None:
    if contacts.empty:
        return
    for status, part in contacts.groupby("status", sort=True):
        _spots(
            figure, part, "messages", name=f"message {status}",
            colour=STATUS.get(str(status), GREY), symbol="square",
            texts=[f"{label(str(r['use_case']))} by {r['channel']}" for r in
                   part.to_dict("records")],
        )  # fmt: skip


def _spots(
    figure: go.Figure, rows: Frame, lane: str, *, name: str, colour: str, symbol: str,
    texts: list[str],
) -> None:  # fmt: skip
    figure.add_scatter(
        x=list(rows["at"]), y=[lane] * len(rows), mode="markers", name=name, text=texts,
        marker={"color": colour, "symbol": symbol, "size": SPOT, "line": {"width": 2}
                if symbol.endswith("open") else {"width": 0}},
        hovertemplate="%{x}<br>%{text}<extra>" + name + "</extra>", row=1, col=1,
    )  # fmt: skip


def _balance(figure: go.Figure, activity: Frame, events: Frame) -> None:
    moments: list[tuple[Any, float]] = []
    for rows in (activity, events):
        if rows.empty:
            continue
        if "kind" in rows:
            rows = rows[~rows["kind"].isin(["visit", "recharge_start"])]
        moments += list(zip(rows["at"], rows["balance_after_minor"] / MINOR, strict=True))
    if not moments:
        return
    moments.sort(key=lambda pair: pair[0])
    figure.add_scatter(
        x=[at for at, _ in moments], y=[b for _, b in moments], mode="lines", name="main balance",
        line={"shape": "hv", "color": BLUE, "width": 2}, showlegend=False,
        hovertemplate="%{x}<br>%{y:,.2f}<extra>main balance</extra>", row=2, col=1,
    )  # fmt: skip
    lower: Any = 2  # the stubs say text, the code compares numbers
    figure.add_hline(
        y=0, line={"color": GREY, "width": 1, "dash": "dot"}, row=lower, col=lower - 1
    )  # fmt: skip
