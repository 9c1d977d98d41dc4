"""Figures of places and money: the map, geofences, quests, cells, where money comes and goes.

It owns the look of what is drawn over a territory without any map service.  It never queries; it
must not know where the data came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from scenarios.report.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    Frame,
    nothing,
    style,
)
from scenarios.report.words import MINOR, label, short

HEXES_MAX = 12_000
"""Hexes drawn one by one; more are gathered in squares."""
CELLS_MAX = 15_000
"""Cells drawn; of more, the busiest."""
GRID = 110
FENCE_NAMES_MAX = 8
MAP_HEIGHT, MAP_WIDTH = 620, 1_080
FULL, BUSY = 0.8, 0.7
"""Utilisation from which a cell is congested, and from which it is looked at."""


def territory(
    hexes: Frame, cells: Frame, fences: Mapping[str, Any] | None
) -> go.Figure:
    """Show where people live, how full the cells are, and the outlines of geofences.

    Parameters
    ----------
    hexes : `lat`, `lon`, `people`
    cells : `cell`, `lat`, `lon`, `rat`, and `util` (share, busy hour; may be missing)
    fences : GeoJSON with properties `name`, `kind`
    """
    if hexes.empty and cells.empty:
        return nothing("this run kept no map")
    figure = go.Figure()
    lat = np.concatenate([np.asarray(t["lat"], float) for t in (hexes, cells) if not t.empty])
    lon = np.concatenate([np.asarray(t["lon"], float) for t in (hexes, cells) if not t.empty])
    if not hexes.empty:
        _add_hexes(figure, _gathered(hexes), lat, lon)
    if fences and fences.get("features"):
        _add_fences(figure, fences["features"])
    if not cells.empty:
        _add_cells(figure, cells)
    stretch = 1 / max(math.cos(math.radians(float(lat.mean()))), 0.05)
    figure.update_xaxes(title="longitude, degrees", showgrid=False, zeroline=False)
    figure.update_yaxes(title="latitude, degrees", showgrid=False, zeroline=False,
                        scaleanchor="x", scaleratio=stretch)  # fmt: skip
    style(figure, height=MAP_HEIGHT)
    figure.update_layout(plot_bgcolor="#fbfbfa", dragmode="pan", meta={"zooms": True})
    return figure


def _gathered(hexes: Frame) -> Frame:
    if len(hexes) <= HEXES_MAX:
        return hexes[["lat", "lon", "people"]]
    # Squares of about equal sides, each at the mean place of its hexes.
    lat, lon = np.asarray(hexes["lat"], float), np.asarray(hexes["lon"], float)
    step = max(np.ptp(lat), 1e-9) / GRID
    row = np.floor((lat - lat.min()) / step).astype(np.int64)
    column = np.floor((lon - lon.min()) * math.cos(math.radians(lat.mean())) / step)
    key = row * 1_000_000 + column.astype(np.int64)
    return hexes.groupby(key).agg(
        lat=("lat", "mean"), lon=("lon", "mean"), people=("people", "sum")
    )


def _add_hexes(figure: go.Figure, hexes: Frame, lat: np.ndarray, lon: np.ndarray) -> None:
    # Markers do not grow with the zoom: sized for the whole picture.
    shrink = math.cos(math.radians(float(lat.mean())))
    pixels_per_degree = 0.85 * min(
        MAP_HEIGHT / max(np.ptp(lat), 1e-6), MAP_WIDTH / max(np.ptp(lon) * shrink, 1e-6)
    )
    size = _spacing(np.asarray(hexes["lat"], float), np.asarray(hexes["lon"], float) * shrink)
    people = np.log10(np.maximum(np.asarray(hexes["people"], float), 1))
    figure.add_trace(go.Scattergl(
        x=hexes["lon"], y=hexes["lat"], mode="markers", name="people (darker: more)",
        marker={"symbol": "hexagon", "size": min(max(size * pixels_per_degree * 1.1, 2.5), 16),
                "color": people, "colorscale": [[0, "#f0f2f5"], [1, "#87939f"]]},
        customdata=hexes["people"], hovertemplate="%{customdata:,} people<extra></extra>",
    ))  # fmt: skip


def _spacing(lat: np.ndarray, lon: np.ndarray) -> float:
    """Return the usual distance of a hex to its nearest neighbour, degrees of latitude."""
    some = np.linspace(0, len(lat) - 1, min(len(lat), 64)).astype(int)
    squares = (lat[some, None] - lat) ** 2 + (lon[some, None] - lon) ** 2
    squares[squares <= 1e-14] = np.inf
    nearest = np.sqrt(squares.min(axis=1))
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.01


def _add_fences(figure: go.Figure, features: list[Mapping[str, Any]]) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    named: list[tuple[float, float, float, str]] = []
    for feature in features:
        area, place = 0.0, (0.0, 0.0)
        for ring in _rings(feature["geometry"]):
            points = np.asarray(ring, float)[:, :2]
            xs += [*points[:, 0].tolist(), None]
            ys += [*points[:, 1].tolist(), None]
            span = float(np.prod(np.ptp(points, axis=0)))
            if span >= area:
                area, place = span, (float(points[:, 0].mean()), float(points[:, 1].max()))
        named.append((area, *place, str(feature["properties"].get("name", ""))))
    figure.add_trace(go.Scattergl(
        x=xs, y=ys, mode="lines", name="geofences", line={"color": RED, "width": 1.6},
        hoverinfo="skip",
    ))  # fmt: skip
    largest = sorted(named, reverse=True)[:FENCE_NAMES_MAX]
    figure.add_trace(go.Scatter(
        x=[x for _, x, _, _ in largest], y=[y for _, _, y, _ in largest], mode="text",
        text=[label(name) for *_, name in largest], textposition="top center", hoverinfo="skip",
        textfont={"color": RED, "size": 11}, showlegend=False,
    ))  # fmt: skip


def _rings(geometry: Mapping[str, Any]) -> list[Any]:
    if geometry["type"] == "Polygon":
        return list(geometry["coordinates"])
    if geometry["type"] == "MultiPolygon":
        return [ring for polygon in geometry["coordinates"] for ring in polygon]
    return []


def _add_cells(figure: go.Figure, cells: Frame) -> None:
    if "util" not in cells:
        cells = cells.assign(util=np.nan)
    shown = cells.sort_values("util", na_position="first").tail(CELLS_MAX)
    name = "cells" if len(shown) == len(cells) else f"the {len(shown):,} busiest cells"
    util = shown["util"] * 100
    figure.add_trace(go.Scattergl(
        x=shown["lon"], y=shown["lat"], mode="markers", name=name,
        marker={
            "size": 6 if len(shown) < 2_000 else 4.5, "color": util, "colorscale": "Viridis",
            "cmin": 0, "cmax": 100, "line": {"width": 0.4, "color": "#ffffff"},
            "colorbar": {"title": {"text": "resource blocks in use,<br>busy hour, %"},
                         "thickness": 12, "len": 0.7},
        },
        text=[f"cell {c}, {r}G" for c, r in zip(shown["cell"], shown["rat"], strict=True)],
        hovertemplate="%{text}: %{marker.color:.0f} %<extra></extra>",
    ))  # fmt: skip


def cell_load(util: Any) -> go.Figure:
    """Show how many cells are how full in the busy hour; `util` is a list of shares."""
    if not len(util):
        return nothing("this run kept no load of cells")
    counts, borders = np.histogram(np.clip(util, 0, 1), bins=20, range=(0, 1))
    middle = (borders[:-1] + borders[1:]) / 2
    colours = [RED if b >= FULL - 1e-9 else ORANGE if b >= BUSY - 1e-9 else BLUE
               for b in borders[:-1]]  # fmt: skip
    figure = go.Figure(go.Bar(
        x=middle * 100, y=counts, width=4.6, marker={"color": colours},
        hovertemplate="%{y:,} cells around %{x:.1f} %<extra></extra>",
    ))  # fmt: skip
    figure.update_xaxes(title="resource blocks in use in the busy hour, %", range=[0, 101])
    figure.update_yaxes(title="cells", rangemode="tozero")
    return style(figure, height=280)


def geofences(fences: Mapping[str, Mapping[str, Any]], *, at_most: int = 15) -> go.Figure:
    """Show precision and recall of the most visited geofences, with intervals."""
    rows = sorted(((n, f) for n, f in fences.items() if f["precision_n"] or f["recall_n"]),
                  key=lambda row: -row[1]["dwells"])[:at_most]  # fmt: skip
    if not rows:
        return nothing("nobody stayed in a geofence, and nobody was believed to")
    figure = go.Figure()
    words = {"precision": "precision: believed stays that are real",
             "recall": "recall: real stays that are noticed"}  # fmt: skip
    for key, colour in (("precision", BLUE), ("recall", GREEN)):
        known = [(n, f) for n, f in rows if f[key] is not None]
        figure.add_scatter(
            y=[label(n) for n, _ in known], x=[f[key] * 100 for _, f in known], mode="markers",
            name=words[key], marker={"color": colour, "size": 9},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.6,
                "array": [(f[f"{key}_high"] - f[key]) * 100 for _, f in known],
                "arrayminus": [(f[key] - f[f"{key}_low"]) * 100 for _, f in known],
            },
            customdata=[f[f"{key}_n"] for _, f in known],
            hovertemplate="%{y}: %{x:.1f} % of %{customdata:,}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="share of stays, %", range=[0, 101])
    figure.update_yaxes(autorange="reversed", categoryorder="array",
                        categoryarray=[label(n) for n, _ in rows])  # fmt: skip
    return style(figure, height=130 + 27 * len(rows))


def quests(games: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Show how many lines joined, completed and lapsed in each quest."""
    rows = {n: q for n, q in games.items() if q["joined"]}
    if not rows:
        return nothing("nobody joined a quest")
    figure = go.Figure()
    for key, colour in (("joined", BLUE), ("completed", GREEN), ("lapsed", GREY)):
        figure.add_bar(
            y=[label(n) for n in rows], x=[q[key] for q in rows.values()], name=key,
            orientation="h", marker={"color": colour}, text=[short(q[key]) for q in rows.values()],
            textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:,}<extra>" + key + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="lines", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return style(figure, height=150 + 60 * len(rows))


def money(charging: Mapping[str, Any], cost_minor: Mapping[str, int], currency: str) -> go.Figure:
    """Show what people paid, by what for, and what the programme spent (left of zero).

    Parameters
    ----------
    charging : `kpis["charging"]`
    cost_minor : what was spent, by what for
    """
    rows = {
        "usage": charging.get("usage_minor"), "recurring fees": charging.get("fees_minor"),
        "products": charging.get("purchases_minor"),
        "fees of trust payments": charging.get("credit_fee_minor"),
        **{name: -minor for name, minor in cost_minor.items()},
    }  # fmt: skip
    known = {name: minor / MINOR for name, minor in rows.items() if minor}
    if not known:
        return nothing("no money moved in this run")
    figure = go.Figure(go.Bar(
        y=list(known), x=list(known.values()), orientation="h", cliponaxis=False,
        marker={"color": [BLUE if v > 0 else RED for v in known.values()]},
        text=[short(v) for v in known.values()], textposition="outside",
        textfont={"color": INK}, hovertemplate="%{y}: %{x:,.0f}<extra></extra>",
    ))  # fmt: skip
    top, low = max([0, *known.values()]), min([0, *known.values()])
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(
        title=f"{currency}, VAT included", range=[low * 1.25 - top * 0.06, top * 1.18]
    )
    return style(figure, height=120 + 32 * len(known))
