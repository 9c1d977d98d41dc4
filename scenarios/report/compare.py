"""The page of a comparison: one file, no request to any host.

It owns how `compare.json` looks.  It must not know how anything was compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from scenarios.compare.words import is_headline
from scenarios.report.figures import GREEN, GREY, RED, config, nothing, style
from scenarios.report.html import TEMPLATES
from scenarios.report.words import NONE, count, label, short, signed

FOREST_MAX = 30
QUIET_MAX = 60
"""Figures within noise that are shown; the rest is counted."""
CASE_FIGURES = ("sent", "accepted", "revenue_minor", "cost_minor", "margin_minor")
CHANNEL_FIGURES = ("offered", "delivered", "expired", "cost_minor")


def page(document: Mapping[str, Any]) -> str:
    """Return a comparison as one HTML page.

    Parameters
    ----------
    document : content of `compare.json`
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    names = [name for name in document["kpis"] if is_headline(name)]
    beyond = [name for name in names if document["basis"][name]["beyond_noise"]]
    beyond.sort(key=lambda name: -_relative(document["kpis"][name]))
    quiet = [n for n in names if n not in set(beyond) and document["kpis"][n]["difference"]]
    return environment.get_template("compare.html.j2").render(
        plotly=get_plotlyjs(), told=document,
        beyond=[_row(document, name) for name in beyond],
        quiet=[_row(document, name) for name in quiet[:QUIET_MAX]],
        n_quiet=max(len(quiet) - QUIET_MAX, 0),
        n_equal=len(names) - len(beyond) - len(quiet),
        forest=_html(forest(document, beyond), "forest"),
        tables=_tables(document), groups=_groups(document), count=count, none=NONE,
    )  # fmt: skip


def _relative(kpi: Mapping[str, Any]) -> float:
    """Return how far 0 lies from the interval, in half-widths."""
    half = (kpi["high"] - kpi["low"]) / 2
    return abs(kpi["difference"]) / half if half > 0 else float("inf")


def _row(document: Mapping[str, Any], name: str) -> dict[str, str]:
    kpi, basis = document["kpis"][name], document["basis"][name]
    interval = NONE
    if kpi["low"] is not None:
        interval = f"{signed(kpi['low'])} to {signed(kpi['high'])}"
    gain = basis["variance_reduction"]
    return {
        "name": label(name), "a": short(kpi["a"]), "b": short(kpi["b"]),
        "difference": signed(kpi["difference"]), "interval": interval,
        "percent": _percent(kpi), "basis": basis["estimator"] or "no interval: one replication",
        "n": count(basis["n"]) if basis["n"] else NONE,
        "gain": NONE if gain is None else f"{gain:.3g}",
    }  # fmt: skip


def _percent(kpi: Mapping[str, Any]) -> str:
    if kpi["difference"] is None or not kpi["a"]:
        return NONE
    return f"{signed(kpi['difference'] / abs(kpi['a']) * 100, 3)} %"


def forest(document: Mapping[str, Any], names: Sequence[str]) -> go.Figure:
    """Show the differences beyond noise, in percent of A, with their intervals."""
    shown = [n for n in names if document["kpis"][n]["a"]][:FOREST_MAX]
    if not shown:
        return nothing("no figure differs beyond noise")
    figure = go.Figure()
    for name in shown:
        kpi = document["kpis"][name]
        scale = 100 / abs(kpi["a"])
        middle, low, high = (kpi[k] * scale for k in ("difference", "low", "high"))
        figure.add_scatter(
            x=[middle], y=[label(name)], mode="markers", showlegend=False,
            error_x={"type": "data", "symmetric": False, "array": [high - middle],
                     "arrayminus": [middle - low], "thickness": 2},
            marker={"size": 9, "color": GREEN if middle > 0 else RED},
            hovertemplate="%{y}: %{x:+.3g} % [" + f"{low:+.3g}, {high:+.3g}]<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(title="difference B - A, % of A, interval at 95 %")
    figure.update_yaxes(autorange="reversed")
    return style(figure, height=140 + 26 * len(shown))


def _tables(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a table of differences for each use case and each channel that differs."""
    out = []
    for title, prefix, columns in (
        ("By use case", "use_cases.", CASE_FIGURES), ("By channel", "channels.", CHANNEL_FIGURES),
    ):  # fmt: skip
        names = dict.fromkeys(
            name.removeprefix(prefix).split(".")[0]
            for name in document["kpis"]
            if name.startswith(prefix)
        )
        rows = [[label(name), *(_cell(document, f"{prefix}{name}.{c}") for c in columns)]
                for name in names]  # fmt: skip
        out.append({"title": title, "head": [label(c) for c in columns], "rows": rows})
    return out


def _cell(document: Mapping[str, Any], name: str) -> str:
    kpi = document["kpis"].get(name)
    if kpi is None:
        return NONE
    if kpi["difference"] is None:
        return "A alone" if kpi["b"] is None else "B alone" if kpi["a"] is None else NONE
    text = signed(kpi["difference"]) if kpi["difference"] else "0"
    if kpi["low"] is not None and kpi["low"] != kpi["high"]:
        text += f"\n{signed(kpi['low'])} to {signed(kpi['high'])}"
    return text


def _groups(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rows of segments and regions."""
    rows = []
    for group in document["subscribers"]["groups"]:
        name = f"lines.by_{group['kind']}.{group['name']}.margin_minor"
        share = group["changed"] / group["lines"] * 100 if group["lines"] else 0
        rows.append({
            "kind": group["kind"], "name": label(group["name"]), "lines": count(group["lines"]),
            "changed": count(group["changed"]), "share": f"{share:.3g} %",
            "margin": _cell(document, name),
        })  # fmt: skip
    return rows


def _html(figure: go.Figure, name: str) -> str:
    return plotly.io.to_html(
        figure, full_html=False, include_plotlyjs=False, config=config(figure), div_id=name,
        default_width="100%",
    )  # fmt: skip
