"""The page of a benchmark: its table and its charts in one file, no request to any host.

It owns how a benchmark document looks.  It must not know how anything was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from scenarios.bench.table import number
from scenarios.report.figures import BLUE, GREY, INK, ORANGE, config, style
from scenarios.report.html import TEMPLATES

PEER_NAMES = {
    "mini": "ours, on sim.core", "numpy_quarters": "NumPy, windows of 15 min",
    "numpy": "NumPy, ticks of 1 min", "mesa": "Mesa, agent each", "simpy": "SimPy, process each",
    "ray_naive": "Ray, actor each",
}  # fmt: skip


def page(told: Mapping[str, Any]) -> str:
    """Return a benchmark document as one HTML page.

    Parameters
    ----------
    told : document as `scenarios.bench.table.document` makes it
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    rows = {row["row"]: row for row in told["rows"]}
    charts = [
        {"title": title, "says": says, "html": _html(figure, f"chart-{k}")}
        for k, (title, says, figure) in enumerate(figures(rows))
    ]
    return environment.get_template("bench.html.j2").render(
        plotly=get_plotlyjs(), told=told, rows=[_cells(row) for row in told["rows"]],
        charts=charts, facts=_facts(told),
    )  # fmt: skip


def figures(rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, go.Figure]]:
    """Return (title, what it says, figure) of every chart for which there are figures."""
    out: list[tuple[str, str, go.Figure]] = []
    points = _detail(rows, "growth").get("points") or []
    if len(points) > 1:
        out.append((
            "Does the cost of an event grow with the number of lines?",
            "CPU time per network event, the same hour of a country of 150,000 cells; every run is "
            "a point, the line goes through the medians.",
            growth(points),
        ))  # fmt: skip
    roles = _detail(rows, "roles").get("ns_per_event")
    if roles:
        out.append((
            "Where does the time go?",
            f"CPU time per network event by role, n {number(_detail(rows, 'roles')['events'])} "
            "events, 10:00 to 16:00.",
            stacked(roles, unit="ns per event"),
        ))  # fmt: skip
    size = _detail(rows, "state").get("bytes_per_line")
    if size:
        out.append((
            "Where does the memory go?", "Bytes of state for each subscriber by role.",
            stacked(size, unit="bytes per subscriber"),
        ))  # fmt: skip
    peers = _detail(rows, "mini").get("peers")
    if peers:
        out.append((
            "The mini loop on other engines",
            "CPU time per event of the same small loop, medians of runs taken in turn; the axis is "
            "logarithmic.",
            peer_bars(peers),
        ))  # fmt: skip
    return out


def growth(points: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return CPU ns per event over the number of lines; every run a point."""
    figure = go.Figure()
    figure.add_scatter(
        x=[p["lines"] for p in points], y=[p["median_ns"] for p in points], mode="lines",
        name="median", line={"color": BLUE},
    )  # fmt: skip
    figure.add_scatter(
        x=[p["lines"] for p in points for _ in p["ns"]], y=[y for p in points for y in p["ns"]],
        mode="markers", name="a run", marker={"color": ORANGE, "size": 9},
        hovertemplate="%{x:,} lines: %{y:.1f} ns<extra></extra>",
    )  # fmt: skip
    sizes = [p["lines"] for p in points]
    figure.update_xaxes(
        type="log", title="subscribers", tickvals=sizes, ticktext=[number(n) for n in sizes]
    )
    figure.update_yaxes(rangemode="tozero", title="CPU ns per event")
    return style(figure)


def stacked(parts: Mapping[str, float], *, unit: str) -> go.Figure:
    """Return one bar, stacked by part."""
    figure = go.Figure()
    for name, value in parts.items():
        figure.add_bar(
            y=[""], x=[value], name=name, orientation="h", text=[f"{value:.0f}"],
            textposition="inside", insidetextanchor="middle",
            hovertemplate=f"{name}: %{{x:.1f}} {unit}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title=f"{unit}, {number(sum(parts.values()))} in all")
    return style(figure, height=230, left=20)


def peer_bars(peers: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Return CPU ns per event of each engine on a logarithmic axis."""
    order = sorted(peers, key=lambda name: -peers[name]["ns_per_event"])
    values = [peers[name]["ns_per_event"] for name in order]
    figure = go.Figure()
    figure.add_bar(
        y=[PEER_NAMES.get(name, name) for name in order], x=values, orientation="h",
        marker={"color": [BLUE if name == "mini" else GREY for name in order]},
        text=[f"{number(v)} ns" for v in values], textposition="outside", cliponaxis=False,
        textfont={"color": INK}, showlegend=False,
        customdata=[[peers[n]["lines"], peers[n]["events"]] for n in order],
        hovertemplate="%{y}: %{x:,.0f} ns, %{customdata[0]:,} lines, %{customdata[1]:,} events"
        "<extra></extra>",
    )  # fmt: skip
    # Room for the longest label: half a decade.
    low, high = math.floor(math.log10(min(values))), math.log10(max(values)) + 0.6
    figure.update_xaxes(
        type="log", title="CPU ns per event (logarithmic)", dtick=1, range=[low, high]
    )
    return style(figure, left=170)


def _detail(rows: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return (rows.get(name) or {}).get("detail") or {}


def _html(figure: go.Figure, name: str) -> str:
    return plotly.io.to_html(
        figure, include_plotlyjs=False, full_html=False, config=config(figure), div_id=name
    )


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    load = row["load_average"]
    spread = row["spread"]
    return {
        "title": row["title"], "needs": row["needs"], "target": row["target_text"] or "–",
        "found": "–" if row["median"] is None else f"{number(row['median'])} {row['unit']}",
        "verdict": row["verdict"], "n": str(row["n"]),
        "range": "–" if spread is None
        else f"{number(row['low'])} to {number(row['high'])} ({100 * spread:.0f} %)",
        "cpu": "–" if row["cpu_s"] is None else f"{row['cpu_s']:.1f}",
        "wall": "–" if row["wall_s"] is None else f"{row['wall_s']:.1f}",
        "load": "–" if load is None else f"{load['before']:.1f} – {load['after']:.1f}",
        "note": row["reason"] or row["note"],
    }  # fmt: skip


def _facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine = told["machine"]
    git = machine.get("git")
    versions = machine.get("versions") or {}
    load = told["load_average"]
    pairs = [
        ("processor", machine.get("cpu")),
        ("cores, memory", f"{machine.get('cores')}, {machine.get('memory_bytes', 0) / 2**30:.1f} "
         "GiB"),
        ("kernel", machine.get("kernel")),
        ("versions", ", ".join(f"{k} {versions[k]}" for k in ("python", "numpy", "numba", "ray")
                               if k in versions)),
        ("code", None if not git else git["commit"][:12] + (" with changes" if git["dirty"]
                                                            else "")),
        ("load average", None if None in load.values()
         else f"{load['before']:.2f} before, {load['after']:.2f} after"),
        ("taken", f"{told['began']}, {told['wall_s']:.0f} s"),
    ]  # fmt: skip
    return [(name, str(text)) for name, text in pairs if text]
