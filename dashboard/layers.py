"""Layers of the map: hexes, cells and geofences as pydeck draws them, with no map service.

It owns colours, sizes and the view.  It must not know where the rows came from, and never asks
another host: `map_provider=None`, and no `map_style` at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pydeck as pdk
from plotly.colors import sample_colorscale
from pydeck.types import String

from scenarios.report.words import count, percent, size

Frame = Any
HEXES_MAX = 7_500
"""Hexes that are sent to the browser; where there are more, they are drawn coarser."""
CELLS_MAX = 12_000
"""Cells that are sent to the browser; where there are more, they are gathered in squares."""
SQUARES = 160
"""Such squares along a side of the territory."""
NAMES_MAX = 30
NAME_PIXELS = (6.6, 18)
"""Width of a letter and height of the name of a fence."""
WIDTH, HEIGHT = 920, 600
TILE = 512
"""Pixels of the whole world at zoom 0."""
ALPHA = 205
STEPS = np.linspace(0, 1, 9).tolist()
RATS = {2: "2G", 3: "3G", 4: "4G", 5: "5G"}
FENCE = (213, 94, 0)
UNKNOWN = (150, 156, 163, 150)


@dataclass(frozen=True)
class Scale:
    """What a colour means: ends of the scale as texts, and the colours between them."""

    title: str
    low: str
    high: str
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """A column that colours the map."""

    column: str
    title: str
    top: float | None = None
    """Value of the last colour; None: the 99th percentile."""

    def text(self, value: float) -> str:
        """Return a value as it is read."""
        if value != value:
            return "no load kept"
        if self.column in ("util", "refused"):
            return percent(value, 1 if self.column == "util" else 2)
        return size(value) if self.column == "bytes" else count(value)


HEX_MEASURES = {
    "residents": Measure("people", "residents"),
    "simulated lines": Measure("subscribers", "simulated lines that live there"),
}
CELL_MEASURES = {
    "load": Measure("util", "resource blocks in use, busiest tick", top=1.0),
    "data": Measure("bytes", "data carried in the hour"),
    "refused uses": Measure("refused", "uses refused or starved in the hour"),
}


def colourscale(name: str, *, dark: bool) -> tuple[str, ...]:
    """Return nine colours from low to high."""
    if name == "ground":
        ends = ["#1d252e", "#8793a0"] if dark else ["#edf0f3", "#7c8894"]
        return tuple(str(c) for c in sample_colorscale(ends, STEPS))
    return tuple(str(c) for c in sample_colorscale("Viridis", STEPS))


def _rgba(share: np.ndarray, colours: tuple[str, ...], alpha: int) -> list[list[int]]:
    table = np.array([[int(float(p)) for p in c[4:-1].split(",")] for c in colours], float)
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(table) - 1)
    low = np.minimum(place.astype(int), len(table) - 2)
    part = (place - low)[:, None]
    rgb = np.rint(table[low] * (1 - part) + table[low + 1] * part).astype(int)
    out = np.hstack([rgb, np.full((len(rgb), 1), alpha, int)])
    out[np.isnan(share)] = UNKNOWN
    return out.tolist()


def parents(hex_ids: np.ndarray, resolution: int) -> np.ndarray:
    """Return the H3 cells of a coarser resolution that hold these.

    The index is plain bits: resolution in bits 52 to 55, then three bits for each finer step,
    all ones below the resolution.  So the map needs no H3 library, which belongs to `geo` alone.

    Parameters
    ----------
    hex_ids : (n,) uint64
    resolution : not finer than that of the ids
    """
    unused = np.uint64((1 << 3 * (15 - resolution)) - 1)
    cleared = np.asarray(hex_ids, np.uint64) & ~np.uint64(0xF << 52)
    return cleared | np.uint64(resolution << 52) | unused


def resolution_of(hex_ids: np.ndarray) -> int:
    """Return the H3 resolution of the first id."""
    return int((int(hex_ids[0]) >> 52) & 0xF)


def coarsened(hexes: Frame, at_most: int = HEXES_MAX) -> tuple[Frame, int, int]:
    """Return the hexes, gathered until there are few enough, their resolution and the run's."""
    ids = hexes["hex_id"].to_numpy(np.uint64)
    own = resolution = resolution_of(ids)
    rows = hexes[["hex_id", "people", "subscribers"]]
    while len(rows) > at_most and resolution > 0:
        resolution -= 1
        keys = parents(ids, resolution)
        rows = hexes.assign(hex_id=keys).groupby("hex_id", as_index=False)[
            ["people", "subscribers"]
        ].sum()  # fmt: skip
    return rows, resolution, own


def hex_layer(hexes: Frame, measure: Measure, *, dark: bool) -> tuple[pdk.Layer, Scale]:
    """Return the hexes in shades of grey, on a logarithmic scale, and what the shades mean."""
    values = hexes[measure.column].to_numpy(float)
    low, top = (float(np.quantile(values, q)) for q in (0.05, 0.995))
    top = max(top, low + 1)
    share = (np.log1p(values) - math.log1p(low)) / (math.log1p(top) - math.log1p(low))
    colours = colourscale("ground", dark=dark)
    rows = pd.DataFrame({
        "hex": [f"{h:x}" for h in hexes["hex_id"].tolist()],
        "rgba": _rgba(share, colours, ALPHA),
        "tip": [f"{count(v)} {measure.title}" for v in values],
    })  # fmt: skip
    layer = pdk.Layer(
        "H3HexagonLayer", rows, id="hexes", get_hexagon="hex", get_fill_color="rgba",
        extruded=False, stroked=False, pickable=True, auto_highlight=True,
    )  # fmt: skip
    return layer, Scale(f"{measure.title} (logarithmic)", count(low), count(top), colours)


def gathered(cells: Frame) -> Frame:
    """Return the cells with `n` = 1 or, where there are too many, squares with means of them."""
    cells = cells.assign(n=1)
    if len(cells) <= CELLS_MAX:
        return cells
    north = _step(cells["lat"].to_numpy(float))
    east = _step(cells["lon"].to_numpy(float))
    means = {c: "mean" for c in ("lat", "lon", "util", "bytes", "refused") if c in cells}
    return cells.groupby(north * SQUARES + east).agg({**means, "n": "sum"})


def _step(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.minimum((values - low) / max(high - low, 1e-9) * SQUARES, SQUARES - 1).astype(int)


def cell_layer(cells: Frame, measure: Measure, *, dark: bool) -> tuple[pdk.Layer, Scale]:
    """Return the cells as dots, the fullest on top, and what their colours mean."""
    cells = cells.copy()
    if "attempts" in cells:
        cells["refused"] = cells["blocked"] / cells["attempts"].where(cells["attempts"] > 0)
    cells = gathered(cells)
    if measure.column not in cells:
        cells[measure.column] = np.nan
    cells = cells.sort_values(measure.column, na_position="first")
    values = cells[measure.column].to_numpy(float)
    known = values[~np.isnan(values)]
    top = measure.top or (float(np.quantile(known, 0.99)) if len(known) else 0.0)
    top = top or (0.01 if measure.column == "refused" else 1.0)
    colours = colourscale("viridis", dark=dark)
    rows = pd.DataFrame({
        "position": cells[["lon", "lat"]].to_numpy(float).round(6).tolist(),
        "rgba": _rgba(values / top, colours, 255), "tip": _tips(cells, measure, values),
        "cell": cells["cell"].tolist() if "cell" in cells else -1,
    })  # fmt: skip
    layer = pdk.Layer(
        "ScatterplotLayer", rows, id="cells", get_position="position", get_fill_color="rgba",
        get_radius=6 if len(rows) < 2_000 else 3.5, radius_units=String("pixels"),
        stroked=True, get_line_color=[15, 19, 24] if dark else [255, 255, 255],
        line_width_units=String("pixels"), get_line_width=1, pickable=True,
        auto_highlight=True,
    )  # fmt: skip
    high = measure.text(top) + ("" if measure.top else " or more")
    return layer, Scale(measure.title, measure.text(0.0), high, colours)


def _tips(cells: Frame, measure: Measure, values: np.ndarray) -> list[str]:
    texts = [f"{measure.title}: {measure.text(v)}" for v in values]
    if "cell" not in cells:
        return [f"{n:,} cells, mean\n{t}" for n, t in zip(cells["n"], texts, strict=True)]
    return [
        f"cell {c}, {RATS.get(int(r), r)}, {k / 1000:.0f} Mbit/s\n{t}"
        for c, r, k, t in zip(
            cells["cell"], cells["rat"], cells["capacity_kbps"], texts, strict=True
        )
    ]


def fence_layers(
    fences: Mapping[str, Any] | None, view: pdk.ViewState, *, dark: bool
) -> list[pdk.Layer]:
    """Return outlines and names of geofences."""
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for feature in (fences or {}).get("features") or []:
        facts = feature["properties"]
        made = ", made up" if facts.get("synthetic") else ""
        tip = f"{facts.get('name', '')}\n{facts.get('kind', 'geofence')}{made}"
        polygons = _polygons(feature["geometry"])
        shapes += [{"polygon": rings, "tip": tip} for rings in polygons]
        if polygons:
            ring = np.asarray(max((p[0] for p in polygons), key=len), float)
            names.append({"position": [float(ring[:, 0].mean()), float(ring[:, 1].max())],
                          "name": str(facts.get("name", "")), "tip": tip,
                          "size": float(np.prod(np.ptp(ring[:, :2], axis=0)))})  # fmt: skip
    names = _apart(sorted(names, key=lambda row: -row["size"]), view)
    return [
        pdk.Layer(
            "PolygonLayer", shapes, id="fences", get_polygon="polygon", filled=True,
            get_fill_color=[*FENCE, 35], get_line_color=list(FENCE), stroked=True, pickable=True,
            line_width_units=String("pixels"), get_line_width=2,
        ),
        pdk.Layer(
            "TextLayer", names, id="names", get_position="position", get_text="name", get_size=12,
            get_color=[255, 168, 120] if dark else [160, 60, 0], pickable=False,
            get_alignment_baseline=String("bottom"),
            character_set=String("auto"),
            font_family=String("Source Sans, sans-serif"),
            font_weight=600, background=True,
            get_background_color=[15, 19, 24, 190] if dark else [255, 255, 255, 205],
        ),
    ]  # fmt: skip


def _apart(names: list[dict[str, Any]], view: Any) -> list[dict[str, Any]]:
    """Return the names that do not cover one another in the first view; the largest win."""
    pixels = TILE * 2**view.zoom / 360
    tall = pixels / max(math.cos(math.radians(view.latitude)), 0.05)
    kept: list[dict[str, Any]] = []
    for row in names:
        x, y = row["position"]
        clear = all(
            abs(y - other["position"][1]) * tall > NAME_PIXELS[1]
            or abs(x - other["position"][0]) * pixels
            > NAME_PIXELS[0] * (len(row["name"]) + len(other["name"])) / 2
            for other in kept
        )
        if row["name"] and clear:
            kept.append(row)
        if len(kept) == NAMES_MAX:
            break
    return kept


def _polygons(geometry: Mapping[str, Any]) -> list[Any]:
    if geometry["type"] == "Polygon":
        return [geometry["coordinates"]]
    return list(geometry["coordinates"]) if geometry["type"] == "MultiPolygon" else []


def view_of(lat: np.ndarray, lon: np.ndarray) -> pdk.ViewState:
    """Return a view that holds nearly all places."""
    lon = np.where((np.ptp(lon) > 180) & (lon < 0), lon + 360, lon)
    (south, north), (west, east) = (np.quantile(v, (0.0005, 0.9995)) for v in (lat, lon))
    # Heights of the picture are those of Mercator: a large country would hang high otherwise.
    low, high = (math.degrees(math.asinh(math.tan(math.radians(v)))) for v in (south, north))
    middle = math.degrees(math.atan(math.sinh(math.radians((low + high) / 2))))
    wide, tall = max(float(east - west), 0.02), max(high - low, 0.02)
    zoom = math.log2(min(WIDTH * 360 / (TILE * wide), HEIGHT * 360 / (TILE * tall))) - 0.15
    return pdk.ViewState(
        latitude=middle, longitude=float(east + west) / 2, zoom=max(round(zoom, 2), 0.5),
        max_zoom=17,
    )  # fmt: skip


def deck(layers: list[pdk.Layer], view: pdk.ViewState) -> pdk.Deck:
    """Return the picture of the layers, over nothing."""
    nowhere: Any = None  # declared as str; None is what keeps it from asking a map service
    tooltip: Any = {"text": "{tip}"}
    return pdk.Deck(
        layers=layers, initial_view_state=view, tooltip=tooltip,
        map_provider=nowhere,
    )  # fmt: skip


def legend(scales: list[Scale], *, fences: bool) -> str:
    """Return the legend as HTML: a bar of colours with its ends for each scale."""
    parts = [
        f'<span style="white-space:nowrap">{scale.title}: {scale.low} '
        '<span style="display:inline-block;width:130px;height:11px;vertical-align:middle;'
        f"border-radius:2px;background:linear-gradient(to right,{','.join(scale.colours)})"
        f'"></span> {scale.high}</span>'
        for scale in scales
    ]
    if fences:
        parts.append(
            '<span style="white-space:nowrap"><span style="display:inline-block;width:13px;'
            "height:11px;vertical-align:middle;border:2px solid rgb(213,94,0);"
            'background:rgba(213,94,0,.15)"></span> geofence</span>'
        )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:4px 28px;font-size:0.85rem;opacity:.9">'
        + "".join(parts) + "</div>"
    )  # fmt: skip
