"""Map: where people live, how full the cells are, and what the geofences notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from dashboard import charts, figures, frame, layers, queries
from dashboard.queries import RunKey
from scenarios.report.words import count

NOTHING = "nothing"


@frame.page("Map", "Where was it busy, and where does the engine know who is there?")
def page(key: RunKey) -> None:
    """Show the territory in an hour, a chosen cell's day, and the geofences."""
    hexes = queries.hexes(key)
    hours = queries.hours(key)
    if hexes.empty and queries.cells(key, None).empty:
        st.info("This run kept no map.")
        return
    ground, load, fenced = _choices()
    hour = _hour(key, hours)
    cells = queries.cells(key, hour)
    chosen = _territory(key, hexes, cells, ground=ground, load=load, fenced=fenced)
    _cell(key, chosen)
    table = cells.drop(columns=["hour", "fence"], errors="ignore")
    if queries.opened(key).kpis:
        for section in queries.told(key, "geofences"):
            charts.show(section, key="map")
    with st.expander("Every cell in the chosen hour"):
        charts.data_table(
            table, f"{count(len(table))} cells, hour {hour if hour is not None else '-'}",
            key="map-cells",
            note="util: share of resource blocks in use in the busiest tick of the hour. rat: "
            "generation. attempts, blocked: uses, and uses refused or starved.",
        )  # fmt: skip


def _choices() -> tuple[str, str, bool]:
    one, two, three = st.columns([3, 3, 1], vertical_alignment="bottom")
    ground = one.segmented_control(
        "Hexes show", [*layers.HEX_MEASURES, NOTHING], default="residents", key="map-ground"
    )
    load = two.segmented_control(
        "Cells show", [*layers.CELL_MEASURES, NOTHING], default="load", key="map-load",
    )  # fmt: skip
    fenced = three.toggle("Geofences", value=True, key="map-fences")
    return ground or NOTHING, load or NOTHING, fenced


def _hour(key: RunKey, hours: list[int]) -> int | None:
    """Return the chosen hour since the start; the busy hour at first."""
    if len(hours) < 2:
        return hours[0] if hours else None
    busy = queries.busy_hour(key)
    first = busy if busy in hours else hours[-1]
    moments = list(queries.moments(key, [h * queries.HOUR_MS for h in hours]))
    texts = {
        h: (f"{m:%a %d %b, %H:%M}" if hasattr(m, "strftime") else f"hour {h}")
        + (" (busy hour)" if h == busy else "")
        for h, m in zip(hours, moments, strict=True)
    }  # fmt: skip
    return st.select_slider(
        "Load of cells in the hour from", hours, value=first, format_func=lambda h: texts[h],
        key=f"map-hour-{key.path}",
    )  # fmt: skip


def _territory(
    key: RunKey, hexes: Any, cells: Any, *, ground: str, load: str, fenced: bool
) -> int | None:
    """Draw the map and its legend, and return the cell that was clicked."""
    dark = charts.is_dark()
    drawn, scales, notes = [], [], []
    if ground in layers.HEX_MEASURES and not hexes.empty:
        rows, resolution, own = layers.coarsened(hexes)
        layer, scale = layers.hex_layer(rows, layers.HEX_MEASURES[ground], dark=dark)
        drawn.append(layer)
        scales.append(scale)
        notes.append(f"{count(len(rows))} hexes of H3 resolution {resolution}"
                     + (f", gathered from {count(len(hexes))} of {own}" if resolution < own
                        else ""))  # fmt: skip
    fences = queries.fences(key) if fenced else None
    lat, lon = (
        np.concatenate([np.asarray(t[name], float) for t in (hexes, cells) if not t.empty])
        for name in ("lat", "lon")
    )
    view = layers.view_of(lat, lon)
    outlines = layers.fence_layers(fences, view, dark=dark) if fences else []
    drawn += outlines[:1]
    if load in layers.CELL_MEASURES and not cells.empty:
        layer, scale = layers.cell_layer(cells, layers.CELL_MEASURES[load], dark=dark)
        drawn.append(layer)
        scales.append(scale)
        many = len(cells) > layers.CELLS_MAX
        notes.append(f"{count(len(cells))} cells" + (", gathered in squares" if many else ""))
    drawn += outlines[1:]
    if fences:
        notes.append(f"{count(len(fences['features']))} geofences")
    st.html(layers.legend(scales, fences=bool(fences)))
    told = ", ".join(notes) or "nothing chosen"
    event = st.pydeck_chart(
        layers.deck(drawn, view), height=layers.HEIGHT, key=f"map-{key.path}",
        on_select="rerun", selection_mode="single-object", alt=f"Map. {told}.",
    )  # fmt: skip
    st.caption(f"{told}. Drag to move, scroll to zoom, point for figures, click a cell for its "
               "day. No map service is asked: the hexes are the land.")  # fmt: skip
    return _clicked(event)


def _clicked(event: Any) -> int | None:
    selection = getattr(event, "selection", None)
    objects = (selection or {}).get("objects") or {}
    cells = objects.get("cells") or []
    cell = cells[0].get("cell") if cells else None
    return int(cell) if cell is not None and int(cell) >= 0 else None


def _cell(key: RunKey, cell: int | None) -> None:
    if cell is None:
        return
    rows = queries.cell_day(key, cell)
    attempts = int(rows["attempts"].sum()) if not rows.empty else 0
    charts.draw(
        figures.cell_day(rows), f"Cell {cell}, hour by hour, n = {count(attempts)} uses",
        key="map-cell",
    )  # fmt: skip


if __name__ == "__main__":
    page()
