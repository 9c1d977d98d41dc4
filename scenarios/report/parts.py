"""What a report is made of: sections, tables, and the readers whom they are for.

It owns these forms alone.  It must not know a figure, nor HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import plotly.graph_objects as go

STRATEGIST, ENGINEER, VIEWER = "strategist", "engineer", "viewer"


@dataclass(frozen=True)
class Table:
    """A table of ready texts: the first column is text, the others are numbers."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""
    text_columns: int = 1


@dataclass(frozen=True)
class Section:
    """One question, and what answers it."""

    name: str
    question: str
    readers: tuple[str, ...]
    says: list[str] = field(default_factory=list)
    parts: list[tuple[str, go.Figure | Table]] = field(default_factory=list)
    """Captions and what stands below each."""
