"""What the figures need from a run folder: each question one query, each answer one data frame.

It owns the queries.  It must not know how anything is drawn.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from scenarios.report.words import dig
from sim.core.histogram import BORDERS
from sim.record.store import Run

POINTS_MAX = 600
"""Steps of a curve over the run: more than a screen can show are summed."""
HOUR_MS = 3_600_000
Frame = Any
"""A pandas data frame; its stubs make every column a union of types."""
RATS = {2: "2G", 3: "3G", 4: "4G", 5: "5G"}


def step_ms(run: Run) -> int:
    """Return the step of curves over the run: a multiple of the tick, ms."""
    tick_ms = int(dig(run.manifest, "tick_s") or 900) * 1000
    length_ms = float(dig(run.manifest, "sim_seconds") or 0) * 1000
    return tick_ms * max(1, -int(-length_ms // (tick_ms * POINTS_MAX)))


def at(run: Run, ts_ms: Any) -> Any:
    """Return moments as local time of the scenario, or as hours where no start is known."""
    start = dig(run.manifest, "start")
    if start:
        begin = datetime.fromisoformat(str(start))
        return pd.Series([begin + timedelta(milliseconds=int(ms)) for ms in ts_ms], dtype="object")
    return ts_ms / HOUR_MS


def per_second(run: Run, metric: str, *, by: str = "NULL") -> Frame:
    """Return `at`, `kind`, `per_second` of a metric over the run; `by` is d1, d2 or NULL."""
    if "metrics" not in run.tables:
        return pd.DataFrame(columns=["at", "kind", "per_second"])
    step = step_ms(run)
    rows = run.sql(
        f"SELECT ts_ms // {step} * {step} AS ts, {by}::VARCHAR AS kind, sum(value)::DOUBLE AS n "
        "FROM metrics WHERE metric = ? GROUP BY 1, 2 ORDER BY 1, 2",
        [metric],
    )
    return pd.DataFrame({
        "at": at(run, rows["ts"]), "kind": rows["kind"], "per_second": rows["n"] / (step / 1000),
    })  # fmt: skip


def events(run: Run) -> Frame:
    """Return network events a second by kind."""
    return per_second(run, "events", by="d1")


def rates(run: Run) -> Frame:
    """Return decisions and messages a second."""
    parts = [
        per_second(run, metric).assign(what=what)
        for metric, what in (("outcomes", "decisions"), ("channel_sent", "messages sent"))
    ]
    return pd.concat([part for part in parts if not part.empty] or parts[:1])


def latency_curve(run: Run, metrics: dict[str, str]) -> Frame:
    """Return `what`, `ms`, `share`: how much of a histogram lies within a time."""
    empty = pd.DataFrame(columns=["what", "ms", "share"])
    if "metrics" not in run.tables:
        return empty
    parts = []
    for metric, what in metrics.items():
        rows = run.sql(
            "SELECT bucket, sum(value)::DOUBLE AS n FROM metrics WHERE metric = ? "
            "AND bucket IS NOT NULL GROUP BY 1 ORDER BY 1",
            [metric],
        )
        if len(rows):
            n = rows["n"].to_numpy()
            upper = BORDERS[np.minimum(rows["bucket"].to_numpy(int) + 1, len(BORDERS) - 1)]
            parts.append(pd.DataFrame({"what": what, "ms": upper, "share": n.cumsum() / n.sum()}))
    return pd.concat(parts) if parts else empty


def cells(run: Run) -> Frame:
    """Return every cell with its place and its load in the busy hour.

    Columns: `cell lat lon site azimuth rat capacity_kbps fence util bytes voice_s attempts
    blocked`; load is missing where the run kept none, `util` is a share.
    """
    places = run.table("geo_cells")
    start = dig(run.kpis, "network", "busy_hour_start_ms")
    if "cells" not in run.tables or start is None:
        return places
    load = run.sql(
        "SELECT cell, max(util_q) / 1000.0 AS util, sum(bytes)::BIGINT AS bytes, "
        "sum(voice_s)::BIGINT AS voice_s, sum(attempts)::BIGINT AS attempts, "
        "sum(blocked)::BIGINT AS blocked FROM cells WHERE hour = ? GROUP BY cell",
        [int(start) // HOUR_MS],
    )
    return load if places.empty else places.merge(load, on="cell", how="left")


def hexes(run: Run) -> Frame:
    """Return every hex with its centre and its people."""
    return run.table("geo_hexes")


def fences(run: Run) -> dict[str, Any] | None:
    """Return the outlines of geofences as GeoJSON, or None."""
    return run.json("geo_fences.geojson")


def fullest(table: Frame, n: int = 12) -> list[dict[str, Any]]:
    """Return the fullest cells of the busy hour as rows; `table` is that of `cells`."""
    if "util" not in table or table.empty:
        return []
    top = table[table["util"] > 0].sort_values(["util", "bytes"], ascending=False).head(n)
    return [
        {
            **row,
            "rat": RATS.get(int(row["rat"]), str(row["rat"])) if row.get("rat") else None,
            "blocked_share": row["blocked"] / row["attempts"] if row["attempts"] else None,
        }
        for row in top.to_dict("records")
    ]  # fmt: skip


def audit(run: Run) -> list[dict[str, Any]]:
    """Return each check of the audit: how often it was made, how often it failed."""
    if "audit" not in run.tables:
        return []
    rows = run.sql(
        'SELECT "check" AS name, count(*)::INT AS checks, sum((NOT ok)::INT)::INT AS failures, '
        'max(abs("left" - "right"))::BIGINT AS largest FROM audit GROUP BY 1 ORDER BY 3 DESC, 1'
    )
    return rows.to_dict("records")


def sampled(run: Run) -> dict[str, int]:
    """Return how many rows each table of sampled lines holds."""
    names = [t for t in run.tables if not t.startswith("geo_") and t not in ("metrics", "digests")]
    return {n: int(run.sql(f'SELECT count(*) AS n FROM "{n}"')["n"].iloc[0]) for n in names}
