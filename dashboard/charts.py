"""How answers look on a page: figures in the theme of the reader, tables with a download.

It owns colours of the dark theme and the arrangement of a section.  It must not know which
question is asked, nor build a figure of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from scenarios.report.figures import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    ORANGE,
    PAPER,
    PINK,
    RED,
    SKY,
    SOFT,
    config,
)
from scenarios.report.sections import Section, Table
from scenarios.report.words import THIN

Frame = Any
CLEAR = "rgba(0,0,0,0)"
DARK = {
    PAPER: CLEAR, INK: "#e6e9ee", SOFT: "#a7b0bb", GRID: "#2a313a", "#9aa1a9": "#6d7680",
    BLUE: "#3f9be8", ORANGE: "#E69F00", GREEN: "#2bbf95", PINK: "#e39cc4", SKY: "#bfe4ff",
    RED: "#ff8a4c", GREY: "#9aa3ad", "#c3c8ce": "#5a626c",
}  # fmt: skip
"""What each colour of the report becomes on a dark page."""
LIGHT = {PAPER: CLEAR}
ROWS_SHOWN = 5_000
"""Rows of a table that are sent to the browser."""


def is_dark() -> bool:
    """Return whether the reader's page is dark."""
    return st.context.theme.type == "dark"


def in_theme(figure: go.Figure, *, dark: bool) -> go.Figure:
    """Return the figure with the colours of the report changed to those of the page."""
    colours = {name.lower(): new for name, new in (DARK if dark else LIGHT).items()}
    return go.Figure(_recoloured(figure.to_dict(), colours))


def _recoloured(part: Any, colours: Mapping[str, str]) -> Any:
    if isinstance(part, str):
        return colours.get(part.lower(), part) if part[:1] == "#" else part
    if isinstance(part, dict):
        return {name: _recoloured(value, colours) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_recoloured(value, colours) for value in part]
    return part


def draw(figure: go.Figure, caption: str, *, key: str) -> None:
    """Show a figure below its caption, which is its text for those who cannot see it."""
    st.markdown(f"**{escaped(caption)}**")
    st.plotly_chart(
        in_theme(figure, dark=is_dark()), theme=None, config=config(figure), key=key,
        alt=f"Chart. {caption}",
    )  # fmt: skip


def show(section: Section, *, key: str, heading: bool = True, in_a_row: int = 2) -> None:
    """Show a section of the report: question, sentences, figures in rows, tables."""
    if heading:
        st.subheader(section.question, anchor=False)
    for sentence in section.says:
        st.caption(escaped(sentence))
    waiting: list[tuple[str, go.Figure, str]] = []
    for number, (caption, part) in enumerate(section.parts):
        name = f"{key}-{section.name}-{number}"
        if isinstance(part, Table):
            _rows(waiting, in_a_row)
            waiting = []
            text_table(part, caption, key=name)
        else:
            waiting.append((caption, part, name))
    _rows(waiting, in_a_row)


def _rows(figures: Sequence[tuple[str, go.Figure, str]], in_a_row: int) -> None:
    for start in range(0, len(figures), in_a_row):
        row = figures[start : start + in_a_row]
        for column, (caption, figure, name) in zip(st.columns(len(row)), row, strict=True):
            with column:
                draw(figure, caption, key=name)


def text_table(table: Table, caption: str, *, key: str) -> None:
    """Show a table of ready texts with its download."""
    import pandas as pd

    rows = [[cell.replace("\n", " · ") for cell in row] for row in table.rows]
    frame = pd.DataFrame(rows, columns=list(table.head))
    right = {name: st.column_config.TextColumn(alignment="right")
             for name in table.head[table.text_columns :]}  # fmt: skip
    data_table(frame, caption, key=key, columns=right, note=table.note)


def data_table(
    frame: Frame, caption: str, *, key: str, columns: Mapping[str, Any] | None = None,
    note: str = "", height: int | None = None,
) -> None:  # fmt: skip
    """Show a table with its caption, note and download as CSV."""
    head, button = st.columns([5, 1], vertical_alignment="bottom")
    head.markdown(f"**{escaped(caption)}**")
    if frame.empty:
        st.caption("No rows in this run.")
        return
    button.download_button(
        "CSV", partial(csv, frame), file_name=f"{key}.csv", mime="text/csv", key=f"{key}-csv",
        on_click="ignore", icon=":material/download:", width="stretch",
        help=f"Download these {len(frame):,} rows.",
    )  # fmt: skip
    if len(frame) > ROWS_SHOWN:
        note = f"The first {ROWS_SHOWN:,} of {len(frame):,} rows; the download has all. {note}"
    st.dataframe(
        frame.head(ROWS_SHOWN), hide_index=True, column_config=dict(columns or {}), key=key,
        height=height or "auto", placeholder="–",
        alt=f"Table. {caption}",
    )  # fmt: skip
    if note:
        st.caption(escaped(note))


def csv(frame: Frame) -> bytes:
    """Return a frame as CSV that spreadsheets read: UTF-8 with mark, plain minus and spaces."""
    text = frame.to_csv(index=False).replace(THIN, " ").replace("\u2212", "-")
    return text.encode("utf-8-sig")


def escaped(text: str) -> str:
    """Return a text in which Markdown sees no marks, formulas or colours."""
    return re.sub(r"([\\`*_\[\]<>$:~#|])", r"\\\1", text)
