"""Figures of places and money: the map, geofences, quests, cells, where money comes and goes.

It owns the look of what is drawn over a territory without any map service.  It never queries; it
must not know where the data came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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
"""Cells drawn one by one; more are gathered in squares."""
HEX_PIXELS, CELL_PIXELS = 3.5, 6.0
"""Sides of such squares in the whole picture."""
FENCE_NAMES_MAX = 8
NAME_PIXELS = (6.4, 17)
"""Width of a letter and height of the name of a fence."""
MAP_HEIGHT, MAP_WIDTH = 640, 960
FULL, BUSY = 0.8, 0.7
"""Utilisation from which a cell is congested, and from which it is looked at."""


def territory(hexes: Frame, cells: Frame, fences: Mapping[str, Any] | None) -> go.Figure:
    """Show where people live, how full the cells are, and the outlines of geofences.

    Parameters
    ----------
    hexes : `lat`, `lon`, `people`
    cells : `cell`, `lat`, `lon`, `rat`, and `util` (share, busy hour; may be missing)
    fences : GeoJSON with properties `name`, `kind`
    """
    if hexes.empty and cells.empty:
        return nothing("this run kept no map")
    lat = np.concatenate([np.asarray(t["lat"], float) for t in (hexes, cells) if not t.empty])
    lon = np.concatenate([np.asarray(t["lon"], float) for t in (hexes, cells) if not t.empty])
    view = _View.of(lat, lon)
    figure = go.Figure()
    if not hexes.empty:
        _add_hexes(figure, hexes, view)
    if fences and fences.get("features"):
        _add_fences(figure, fences["features"], view)
    if not cells.empty:
        _add_cells(figure, cells, view)
    axis = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(axis, title="longitude, degrees", range=view.across)
    figure.update_yaxes(axis, title="latitude, degrees", range=view.up,
                        scaleanchor="x", scaleratio=1 / view.shrink)  # fmt: skip
    style(figure, height=max(340, min(MAP_HEIGHT, round(view.tall * view.pixels) + 150)))
    figure.update_layout(plot_bgcolor="#fbfbfa", dragmode="pan", meta={"zooms": True})
    return figure


@dataclass(frozen=True)
class _View:
    """The picture: its ranges, its scale, and where longitudes wrap.

    Attributes
    ----------
    up, across : ranges of latitude and longitude, degrees
    shrink : length of a degree of longitude over one of latitude
    pixels : pixels of a degree of latitude in the whole picture
    wraps : the territory crosses the date line, so that western longitudes are drawn past 180
    """

    up: tuple[float, float]
    across: tuple[float, float]
    shrink: float
    pixels: float
    wraps: bool

    @classmethod
    def of(cls, lat: np.ndarray, lon: np.ndarray) -> _View:
        wraps = bool(np.ptp(lon) > 180)
        lon = np.where(wraps & (lon < 0), lon + 360, lon)
        shrink = max(math.cos(math.radians(float(lat.mean()))), 0.05)
        margin = 0.03 * max(np.ptp(lat), np.ptp(lon) * shrink, 1e-3)
        up = (float(lat.min() - margin), float(lat.max() + margin))
        side = margin / shrink
        across = (float(lon.min() - side), float(lon.max() + side))
        pixels = min(
            (MAP_HEIGHT - 110) / (up[1] - up[0]), MAP_WIDTH / ((across[1] - across[0]) * shrink)
        )
        return cls(up, across, shrink, pixels, wraps)

    @property
    def tall(self) -> float:
        return self.up[1] - self.up[0]

    def east(self, lon: Any) -> np.ndarray:
        """Return longitudes as they are drawn."""
        lon = np.asarray(lon, float)
        return np.where(self.wraps & (lon < 0), lon + 360, lon)


def _gathered(rows: Frame, view: _View, *, at_most: int, pixels: float, **how: str) -> Frame:
    """Return the rows themselves or, where there are more than `at_most`, squares of them.

    Parameters
    ----------
    pixels : side of a square
    how : column -> how it is gathered; `lat` and `lon` become means
    """
    rows = rows.assign(lon=view.east(rows["lon"]))
    if len(rows) <= at_most:
        return rows
    step = pixels / view.pixels
    north = np.floor((np.asarray(rows["lat"], float) - view.up[0]) / step).astype(np.int64)
    east = np.floor((np.asarray(rows["lon"], float) - view.across[0]) * view.shrink / step)
    key = north * 1_000_000 + east.astype(np.int64)
    chosen = {"lat": ("lat", "mean"), "lon": ("lon", "mean")}
    return rows.groupby(key).agg(**chosen, **{c: (c, kind) for c, kind in how.items()})


def _add_hexes(figure: go.Figure, hexes: Frame, view: _View) -> None:
    hexes = _gathered(hexes, view, at_most=HEXES_MAX, pixels=HEX_PIXELS, people="sum")
    # Markers do not grow with the zoom: sized for the whole picture.
    size = _spacing(np.asarray(hexes["lat"], float), np.asarray(hexes["lon"], float) * view.shrink)
    people = np.log10(np.maximum(np.asarray(hexes["people"], float), 1))
    faint, strong = np.quantile(people, (0.1, 0.99))
    figure.add_trace(go.Scattergl(
        x=hexes["lon"], y=hexes["lat"], mode="markers", name="people (darker: more)",
        marker={"symbol": "hexagon", "size": min(max(size * view.pixels * 1.1, 2.5), 16),
                "color": people, "colorscale": [[0, "#eef0f3"], [1, "#78858f"]],
                "cmin": faint, "cmax": max(strong, faint + 1e-6)},
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


def _add_fences(figure: go.Figure, features: list[Mapping[str, Any]], view: _View) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    named: list[tuple[float, float, float, str]] = []
    for feature in features:
        area, place = 0.0, (0.0, 0.0)
        for ring in _rings(feature["geometry"]):
            points = np.asarray(ring, float)[:, :2]
            points[:, 0] = view.east(points[:, 0])
            xs += [*points[:, 0].tolist(), None]
            ys += [*points[:, 1].tolist(), None]
            extent = float(np.prod(np.ptp(points, axis=0)))
            if extent >= area:
                area, place = extent, (float(points[:, 0].mean()), float(points[:, 1].max()))
        named.append((area, *place, str(feature["properties"].get("name", ""))))
    figure.add_trace(go.Scattergl(
        x=xs, y=ys, mode="lines", name="geofences", line={"color": RED, "width": 1.6},
        hoverinfo="skip",
    ))  # fmt: skip
    for x, y, name in _apart(sorted(named, reverse=True), view):
        figure.add_annotation(
            x=x, y=y, text=name, showarrow=False, yanchor="bottom", borderpad=1,
            font={"color": RED, "size": 11}, bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip


def _apart(
    named: list[tuple[float, float, float, str]], view: _View
) -> list[tuple[float, float, str]]:
    """Return the largest fences whose names do not cover one another in the whole picture."""
    kept: list[tuple[float, float, str]] = []
    for _, x, y, name in named:
        clear = all(
            abs(y - other_y) * view.pixels > NAME_PIXELS[1]
            or abs(x - other_x) * view.shrink * view.pixels
            > NAME_PIXELS[0] * (len(name) + len(other)) / 2
            for other_x, other_y, other in kept
        )
        if name and clear:
            kept.append((x, y, label(name)))
        if len(kept) == FENCE_NAMES_MAX:
            break
    return kept


def _rings(geometry: Mapping[str, Any]) -> list[Any]:
    if geometry["type"] == "Polygon":
        return list(geometry["coordinates"])
    if geometry["type"] == "MultiPolygon":
        return [ring for polygon in geometry["coordinates"] for ring in polygon]
    return []


def _add_cells(figure: go.Figure, cells: Frame, view: _View) -> None:
    if "util" not in cells:
        cells = cells.assign(util=np.nan)
    few = len(cells) <= CELLS_MAX
    shown = _gathered(
        cells.assign(n=1), view, at_most=CELLS_MAX, pixels=CELL_PIXELS, util="mean", n="sum"
    )
    shown = shown.sort_values("util", na_position="first")
    told = [f"cell {c}, {r}G" for c, r in zip(shown["cell"], shown["rat"], strict=True)] if few \
        else [f"{n:,} cells, mean" for n in shown["n"]]  # fmt: skip
    figure.add_trace(go.Scattergl(
        x=shown["lon"], y=shown["lat"], mode="markers",
        name="cells" if few else f"{len(cells):,} cells, gathered in squares",
        marker={
            "size": 6 if len(shown) < 1_000 else 4.5 if few else 4, "color": shown["util"] * 100,
            "colorscale": "Viridis", "cmin": 0, "cmax": 100,
            "line": {"width": 0.4, "color": "#ffffff"},
            "colorbar": {"title": {"text": "resource blocks in use,<br>busy hour, %",
                                   "font": {"size": 12.5}}, "thickness": 12, "len": 0.8},
        },
        text=told, hovertemplate="%{text}: %{marker.color:.0f} %<extra></extra>",
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
            name=words[key], marker={"color": colour, "size": 9}, orientation="h", offsetgroup=key,
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
    # Side by side within a row: one interval must not hide the other.
    figure.update_layout(scattermode="group", scattergap=0.5)
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
        title=f"{currency}, VAT included", range=[low * 1.25 - top * 0.12, top * 1.18]
    )
    return style(figure, height=120 + 32 * len(known))
