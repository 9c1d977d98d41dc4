"""The first event in which the days of one subscriber differ between two runs.

It owns the order of a line's recorded rows and the search for the first that differs.  It must not
know why a line was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sim.record.store import open_run

TABLES = ("activity", "account_events", "decisions", "contacts", "credits")
"""What happened to a line, in the order in which rows of one moment are told."""
LEFT_OUT = ("sub", "tick")
HIDDEN = ("seen", "accepts", "need_q", "fatigue_q", "t1_ms", "t0_ms", "y1_minor", "y0_minor")
"""What a contact's row knows of people's minds: no event."""


@dataclass(frozen=True, order=True)
class Row:
    """One recorded row: its moment, its table, and what it says."""

    ts_ms: int
    table: int
    said: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class First:
    """The first difference of one line's day.

    Attributes
    ----------
    ts_ms : moment, ms since the start; -1 where no recorded row differs
    a, b : what happened then on each side, as a sentence; empty where nothing did
    """

    sub: int
    ts_ms: int
    a: str
    b: str


def first_differences(a: Path, b: Path, subs: Sequence[int]) -> list[First]:
    """Return the first difference of each line from the rows that both runs kept of it."""
    days = [rows_by_line(path, subs) for path in (a, b)]
    return [first_of(sub, days[0].get(sub, []), days[1].get(sub, [])) for sub in subs]


def rows_by_line(path: Path, subs: Sequence[int]) -> dict[int, list[Row]]:
    """Return the recorded rows of lines, each line's in the order of time."""
    out: dict[int, list[Row]] = {}
    wanted = ", ".join(str(int(sub)) for sub in subs) or "-1"
    with open_run(path) as run:
        for number, table in enumerate(TABLES):
            if table not in run.tables:
                continue
            frame = run.sql(f"select * from {table} where sub in ({wanted})")
            names = [c for c in frame.columns if c not in (*LEFT_OUT, *HIDDEN, "ts_ms")]
            for row in frame.to_dict("records"):
                said = tuple((name, _text(row[name])) for name in names)
                out.setdefault(int(row["sub"]), []).append(Row(int(row["ts_ms"]), number, said))
    for rows in out.values():
        rows.sort()
    return out


def first_of(sub: int, a: Sequence[Row], b: Sequence[Row]) -> First:
    """Return the first difference of two sorted lists of rows."""
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    ahead = [rows[same] if same < len(rows) else None for rows in (a, b)]
    moments = [row.ts_ms for row in ahead if row is not None]
    if not moments:
        return First(sub, -1, "", "")
    ts_ms = min(moments)
    told = [sentence(row) if row is not None and row.ts_ms == ts_ms else "" for row in ahead]
    return First(sub, ts_ms, told[0], told[1])


def sentence(row: Row) -> str:
    """Return what a row says, for people."""
    said = {name: value for name, value in row.said if value}
    table = TABLES[row.table]
    if table == "decisions":
        rest = [said.get("use_case", ""), said.get("reason", ""), said.get("channel", "")]
        return f"{said.get('trigger', 'a rule')} fired: " + ", ".join(r for r in rest if r)
    if table == "contacts":
        return f"message {said.get('use_case', '')} by {said.get('channel', '')}: " + said.get(
            "status", ""
        )
    words = [said.pop("kind", table), said.pop("code", "")]
    head = " ".join(w.replace("_", " ") for w in words if w)
    if table == "account_events":
        head = f"account: {head}"
    if table == "credits":
        head = f"credit: {head}"
    shown = ("units", "charged_minor", "amount_minor", "value", "balance_after_minor", "result",
             "use_case", "cell")  # fmt: skip
    rest = [f"{name.replace('_', ' ')} {said[name]}" for name in shown if name in said]
    return head + (f" ({', '.join(rest)})" if rest else "")


def clock(start: str, ts_ms: int) -> str:
    """Return a moment of the scenario as its local clock."""
    if ts_ms < 0:
        return ""
    at = datetime.fromisoformat(start) + timedelta(milliseconds=ts_ms)
    return at.strftime("%a %m-%d %H:%M:%S")


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
