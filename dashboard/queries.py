"""What the pages ask of a run folder: one cached function per question.

It owns the keys of the cache and the queries that the report does not need.  It reads through
`sim.record.store` alone and never writes into a run; it must not know how an answer is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from scenarios.report import data
from scenarios.report.sections import Section, sections
from scenarios.report.words import dig
from scenarios.yaml12 import plain, read_yaml
from sim.core.errors import ScenarioError
from sim.record.store import Run, RunInfo, list_runs, open_run

Frame = Any
"""A pandas data frame; its stubs make every column a union of types."""
RUNS_MAX = 200
"""Runs that the picker offers, youngest first."""
ROWS_MAX = 5_000
"""Rows of one line that are drawn and listed; a month of a heavy user has more."""
LINES_MAX = 500
"""Recorded lines that the picker offers, those with most decisions first."""
HOUR_MS = data.HOUR_MS


@dataclass(frozen=True)
class RunKey:
    """A run and the state of its files: whatever is cached under it is right for that state."""

    path: str
    stamp: str


@st.cache_data(ttl=1.0, max_entries=4, show_spinner=False)
def runs(folder: str) -> list[RunInfo]:
    """Return the runs of a folder, youngest first; looked up at most once a second."""
    return list_runs(folder)[:RUNS_MAX]


def key_of(info: RunInfo) -> RunKey:
    """Return the key of a run: its digest and the times of the files that change."""
    times = []
    for name in ("manifest.json", "kpis.json", "checksums.json", "parts", "events"):
        try:
            times.append(str((info.path / name).stat().st_mtime_ns))
        except OSError:
            times.append("-")
    digest = str(info.manifest.get("state_digest") or "")
    return RunKey(str(info.path), "/".join([digest, info.state, *times]))


@st.cache_resource(max_entries=8, show_spinner=False)
def opened(key: RunKey) -> Run:
    """Return the opened run; its files are never held, so that nothing can trip over it."""
    return open_run(key.path)


@st.cache_data(max_entries=48, show_spinner=False)
def told(key: RunKey, *names: str) -> list[Section]:
    """Return sections of the report in this order: the page shows the very figures of it."""
    found = {section.name: section for section in sections(opened(key), only=names)}
    return [found[name] for name in names]


@st.cache_data(max_entries=16, show_spinner=False)
def hexes(key: RunKey) -> Frame:
    """Return `hex_id lat lon people subscribers` of every hex."""
    return data.hexes(opened(key))


@st.cache_data(max_entries=16, show_spinner=False)
def fences(key: RunKey) -> dict[str, Any] | None:
    """Return the outlines of geofences as GeoJSON, or None."""
    return data.fences(opened(key))


@st.cache_data(max_entries=16, show_spinner=False)
def hours(key: RunKey) -> list[int]:
    """Return the hours since the start for which the load of cells was kept."""
    run = opened(key)
    if "cells" not in run.tables:
        return []
    return [int(h) for h in run.sql("SELECT DISTINCT hour FROM cells ORDER BY 1")["hour"]]


@st.cache_data(max_entries=48, show_spinner=False)
def cells(key: RunKey, hour: int | None) -> Frame:
    """Return `cell lat lon rat capacity_kbps` and, in an hour, `util bytes attempts blocked`."""
    run = opened(key)
    places = run.table("geo_cells")
    if hour is None or "cells" not in run.tables or places.empty:
        return places
    return places.merge(_load(run, "hour", "hour = ?", hour), on="cell", how="left")


@st.cache_data(max_entries=48, show_spinner=False)
def cell_day(key: RunKey, cell: int) -> Frame:
    """Return `at util bytes attempts blocked` of one cell, hour by hour."""
    run = opened(key)
    if "cells" not in run.tables:
        return pd.DataFrame()
    rows = _load(run, "hour", "cell = ?", cell)
    return rows.assign(at=data.at(run, rows["hour"] * HOUR_MS))


def _load(run: Run, order: str, where: str, value: int) -> Frame:
    return run.sql(
        "SELECT cell, hour, max(util_q) / 1000.0 AS util, sum(bytes)::BIGINT AS bytes, "
        "sum(attempts)::BIGINT AS attempts, sum(blocked)::BIGINT AS blocked "
        f"FROM cells WHERE {where} GROUP BY cell, hour ORDER BY {order}",
        [int(value)],
    )


def busy_hour(key: RunKey) -> int | None:
    """Return the busy hour as hours since the start, or None while it is not known."""
    start = dig(opened(key).kpis, "network", "busy_hour_start_ms")
    return None if start is None else int(start) // HOUR_MS


@st.cache_data(max_entries=16, show_spinner=False)
def lines(key: RunKey) -> Frame:
    """Return `sub decisions messages` of the recorded lines, most decisions first."""
    run = opened(key)
    parts = [
        f"SELECT sub, {int(table == 'decisions')} AS d, {int(table == 'contacts')} AS m "
        f"FROM {table}" + (" GROUP BY sub" if table == "activity" else "")
        for table in ("activity", "decisions", "contacts")
        if table in run.tables
    ]
    if not parts:
        return pd.DataFrame(columns=["sub", "decisions", "messages"])
    return run.sql(
        "SELECT sub::BIGINT AS sub, sum(d)::BIGINT AS decisions, sum(m)::BIGINT AS messages "
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY sub "
        "ORDER BY messages DESC, decisions DESC, sub"
    )


@st.cache_data(max_entries=64, show_spinner=False)
def rows_of(key: RunKey, table: str, sub: int) -> Frame:
    """Return the recorded rows of a line in a table, by time, with `at` as local time.

    Messages of an unfinished run get their truth from a table of its own, which a complete run
    has joined already.
    """
    run = opened(key)
    if table not in run.tables:
        return pd.DataFrame()
    source = f'"{table}" AS r'
    columns = "r.*"
    joined = table == "contacts" and "truth" in run.tables
    if joined:
        truth = ("seen", "accepts", "need_q", "fatigue_q", "t1_ms", "t0_ms", "y1_minor", "y0_minor")
        columns += "".join(f", t.{name}" for name in truth)
        source += (" LEFT JOIN truth AS t ON t.sub = r.sub AND t.use_case = r.use_case "
                   "AND t.ts_ms = r.sent_ms")  # fmt: skip
    rows = run.sql(
        f"SELECT {columns} FROM {source} WHERE r.sub = ? ORDER BY r.ts_ms LIMIT {ROWS_MAX}",
        [int(sub)],
    )
    return rows.assign(at=data.at(run, rows["ts_ms"]))


@st.cache_data(max_entries=16, show_spinner=False)
def currency(key: RunKey) -> str:
    """Return the currency of a run; of one that is not finished from its scenario."""
    run = opened(key)
    told = dig(run.kpis, "charging", "currency")
    try:
        told = told or plain(read_yaml(run.path / "scenario.yaml"))["money"]["currency"]
    except (ScenarioError, KeyError, TypeError):
        told = "units of money"
    return str(told)


@st.cache_data(max_entries=8, show_spinner=False)
def events(key: RunKey) -> Frame:
    """Return network events a second by kind, also of a run that is not finished."""
    return data.events(opened(key))


def moments(key: RunKey, ts_ms: Any) -> Any:
    """Return moments as local time of the scenario, or as hours where no start is known."""
    return data.at(opened(key), ts_ms)


@st.cache_data(max_entries=8, show_spinner=False)
def n_events(key: RunKey) -> int:
    """Return how many network events there are so far."""
    run = opened(key)
    if "metrics" not in run.tables:
        return 0
    rows = run.sql("SELECT sum(value)::BIGINT AS n FROM metrics WHERE metric = 'events'")
    return int(rows["n"].fillna(0).iloc[0])
