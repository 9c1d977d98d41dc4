"""Point queries of the profile 360: any attribute of one line, from its rows.

It owns the arithmetic of windows and statistics, and what a stale value would have been.  It must
not change a run; a run that asks for no attribute pays nothing for those there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from actors.rtm.attributes import MEASURES, WINDOWS, Attribute, attributes

DAY_MS = 86_400_000
Rows = Mapping[str, np.ndarray]


def value_of(one: Attribute, rows: Rows, *, now_ms: int, midnight_ms: int) -> float | None:
    """Return an attribute of a line at a moment, or None where it does not exist.

    Parameters
    ----------
    rows : `ts_ms`, `kind`, `code`, `ref`, `units`, `charged_minor` of the line, as codes
    midnight_ms : beginning of the local day
    """
    what = MEASURES[one.measure]
    here = (rows["kind"] == what.kind) & (rows["ts_ms"] <= now_ms)
    if what.codes is not None:
        here &= np.isin(rows["code"], what.codes)
    if what.refs is not None:
        here &= np.isin(rows["ref"], what.refs)
    if one.statistic == "since":
        times = rows["ts_ms"][here]
        return None if not len(times) else (now_ms - int(times.max())) / 3_600_000
    since = midnight_ms if one.window == "today" else now_ms - WINDOWS[one.window] * DAY_MS
    # A window never reaches behind the start: the rows of before are nobody's.
    since = max(since, 0)
    here &= rows["ts_ms"] >= since
    amounts = np.ones(int(here.sum())) if what.number == "rows" else rows[what.number][here]
    amounts = amounts / what.per
    if one.statistic == "sum":
        return float(amounts.sum())
    if one.statistic == "count":
        return float(len(amounts))
    return _over_days(one.statistic, rows["ts_ms"][here], amounts, since, now_ms)


def _over_days(
    statistic: str, ts_ms: np.ndarray, amounts: np.ndarray, since: int, now_ms: int
) -> float | None:
    """Return a statistic of the sums of whole and broken days of a window, back from now."""
    n_days = -(-(now_ms - since) // DAY_MS)
    if n_days == 0:
        return None
    ago = np.minimum((now_ms - ts_ms) // DAY_MS, n_days - 1)
    sums = np.bincount(ago, weights=amounts, minlength=n_days)
    if statistic == "mean":
        return float(sums.mean())
    if statistic == "max":
        return float(sums.max())
    if statistic == "days":
        return float((np.bincount(ago, minlength=n_days) > 0).sum())
    half = n_days // 2
    return None if half == 0 else float(sums[:half].mean() - sums[-half:].mean())


def profile(rows: Rows, *, now_ms: int, midnight_ms: int) -> list[dict[str, Any]]:
    """Return every attribute of a line: its value, and the oldest that the engine may look at.

    `stale` is the value at the last moment at which its freshness class was brought up to date.
    """
    out = []
    for one in attributes().values():
        value = value_of(one, rows, now_ms=now_ms, midnight_ms=midnight_ms)
        step = max(one.freshness_s, 1) * 1000
        then = now_ms if one.freshness_s == 0 else now_ms // step * step
        stale = value_of(one, rows, now_ms=then, midnight_ms=min(midnight_ms, then))
        out.append({
            "name": one.name, "value": value, "unit": one.unit,
            "freshness_s": one.freshness_s, "stale": stale,
        })  # fmt: skip
    return out
