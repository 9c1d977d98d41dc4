"""Attributes of the profile 360 against a twin that looks at one row after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.rtm.attributes import MEASURES, WINDOWS, Attribute, attributes
from scenarios.attributes import profile, value_of

DAY = 86_400_000
NAMES = ("ts_ms", "kind", "code", "ref", "units", "charged_minor")
ROW = st.tuples(
    st.integers(0, 40 * DAY), st.integers(0, 7), st.integers(0, 10), st.integers(0, 5),
    st.integers(0, 9_000_000), st.integers(0, 5_000),
)  # fmt: skip


def slow(one: Attribute, rows: list[tuple[int, ...]], now: int, midnight: int) -> float | None:
    """Return an attribute by going through the rows one by one."""
    what = MEASURES[one.measure]
    counted = []
    for ts, kind, code, ref, units, charged in rows:
        fits = what.codes is None or code in what.codes
        if kind == what.kind and fits and (what.refs is None or ref in what.refs) and ts <= now:
            number = {"units": units, "charged_minor": charged, "rows": 1}[what.number]
            counted.append((ts, number / what.per))
    if one.statistic == "since":
        return min(((now - ts) / 3_600_000 for ts, _ in counted), default=None)
    since = midnight if one.window == "today" else now - WINDOWS[one.window] * DAY
    since = max(since, 0)
    counted = [(ts, x) for ts, x in counted if ts >= since]
    if one.statistic in ("sum", "count"):
        return float(sum(x for _, x in counted) if one.statistic == "sum" else len(counted))
    n = -(-(now - since) // DAY)
    if n == 0:
        return None
    days: list[list[float]] = [[] for _ in range(n)]
    for ts, x in counted:
        days[min((now - ts) // DAY, n - 1)].append(x)
    sums = [sum(day) for day in days]
    if one.statistic == "mean":
        return sum(sums) / n
    if one.statistic == "max":
        return max(sums)
    if one.statistic == "days":
        return float(sum(bool(day) for day in days))
    half = n // 2
    return None if not half else sum(sums[:half]) / half - sum(sums[-half:]) / half


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=40), st.integers(0, 40 * DAY), st.integers(0, DAY - 1))
def test_every_attribute_is_what_its_name_says(
    rows: list[tuple[int, ...]], now: int, into_day: int
) -> None:
    """All of them, at any moment, on any rows."""
    table = {name: np.array([r[k] for r in rows], np.int64) for k, name in enumerate(NAMES)}
    midnight = now - into_day
    for one in attributes().values():
        found = value_of(one, table, now_ms=now, midnight_ms=midnight)
        wanted = slow(one, rows, now, midnight)
        assert found == (None if wanted is None else pytest.approx(wanted)), one.name


def test_there_are_more_than_four_hundred_of_four_classes() -> None:
    """Names are different; each class of freshness has some; each says what it would cost."""
    found = attributes()
    assert len(found) >= 400 and all(name == one.name for name, one in found.items())
    assert {one.freshness_s for one in found.values()} == {0, 1, 900, 86_400}
    assert all(one.bytes > 0 for one in found.values())


def test_a_stale_value_is_the_one_of_its_class() -> None:
    """A use 5 minutes ago is in today's sum, and not yet in that of a quarter of an hour."""
    now = 10 * DAY + 5 * 60_000
    row = (now - 60_000, m.USAGE, m.DATA_VIDEO, 0, 7_000_000, 0)
    table = {name: np.array([row[k]], np.int64) for k, name in enumerate(NAMES)}
    told = {one["name"]: one for one in profile(table, now_ms=now, midnight_ms=10 * DAY)}
    assert told["data_mb_today_sum"]["stale"] == told["data_mb_7d_sum"]["value"] == 7
    assert told["data_mb_7d_sum"]["stale"] == 0
