"""Values of recorded files against slow Python twins: numbers, moments, zones, lateness."""

import datetime as dt
import statistics
import zoneinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.record.source_columns import from_strings
from sim.record.source_ids import Names, normalised
from sim.record.source_kernels import WINDOW, late
from sim.record.source_spec import IdRule
from sim.record.source_time import ISO, MISSING, REPEATED, to_utc
from sim.record.source_values import BAD, EMPTY, OK, OVERFLOW, decimals, moments

UTC = dt.UTC
NUMBERS = st.one_of(
    st.from_regex(r"[-+]?[0-9]{1,9}(\.[0-9]{0,8})?", fullmatch=True),
    st.from_regex(r"-?[0-9]\.[0-9]{1,6}[eE][-+]?[0-9]", fullmatch=True),
    st.text("0123456789.,-+e x", max_size=8),
)


def read_decimals(values, scale):
    texts = from_strings(values)
    out, status = np.zeros(len(values), np.int64), np.zeros(len(values), np.uint8)
    decimals(texts.data, texts.begin, texts.end, scale, ord("."), 0, out, status)
    return out.tolist(), status.tolist()


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.integers(0, 6))
@example(["1.5", "2.5", "-0.5", "0.49", "7.24", "1e3", "1.5e-1", ".5", "5."], 0)
def test_decimals_are_exact(values, scale):
    """Every number that Decimal reads, rounded half away from zero; nothing else is a number."""
    for text, out, status in zip(values, *read_decimals(values, scale), strict=True):
        try:
            told = Decimal(text) if not set(text) & {" ", "_"} else None
        except InvalidOperation:
            told = None
        if text == "":
            assert status == EMPTY
        elif told is None:
            assert status == BAD, text
        elif abs(told.scaleb(scale)) >= 9 * 10**17:
            assert status == OVERFLOW, text
        else:
            whole = (told.scaleb(scale)).quantize(Decimal(1), ROUND_HALF_UP)
            assert (out, status) == (int(whole), OK), text


@given(
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2300, 1, 1)),
    st.sampled_from(["T", " "]),
    st.sampled_from(["", "Z", "+05:45", "-0330", "+06"]),
    st.sampled_from(["seconds", "milliseconds", "microseconds", "minutes"]),
)
def test_iso_moments_are_those_of_the_library(moment, sep, zone, spec):
    """Date, time, fraction and offset as `datetime.fromisoformat` reads them."""
    text = moment.isoformat(sep=sep, timespec=spec) + zone
    texts = from_strings([text, text + "x", "x" + text])
    out, off, status = np.zeros(3, np.int64), np.zeros(3, np.int32), np.zeros(3, np.uint8)
    moments(texts.data, texts.begin, texts.end, ISO, 1, out, off, status)
    told = dt.datetime.fromisoformat(text)
    wall = (told.replace(tzinfo=UTC) - dt.datetime(1970, 1, 1, tzinfo=UTC)) // dt.timedelta(
        milliseconds=1
    )
    assert status.tolist() == [OK, BAD, BAD] and out[0] == wall
    offset = told.utcoffset()
    assert off[0] == (-32768 if offset is None else offset.total_seconds() // 60)


ZONES = [
    "Europe/Berlin",
    "Asia/Almaty",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
]


@pytest.mark.fault("E5")
@given(
    st.sampled_from(ZONES),
    st.one_of(
        st.datetimes(dt.datetime(1991, 1, 1), dt.datetime(2037, 1, 1)),
        st.builds(
            lambda year, month, day, minute: dt.datetime(year, month, day)
            + dt.timedelta(minutes=minute),
            st.integers(1995, 2030), st.sampled_from([3, 4, 10, 11]), st.integers(1, 30),
            st.integers(0, 240),
        ),
    ),
    st.booleans(),
)  # fmt: skip
def test_local_times_are_those_of_the_zone(zone, wall, later):
    """Moments against `zoneinfo`; times that come twice, or never, are marked."""
    wall = wall.replace(microsecond=0)
    info = zoneinfo.ZoneInfo(zone)
    ms = int(wall.replace(tzinfo=UTC).timestamp()) * 1_000
    utc, marks = to_utc(np.array([ms]), zone, later=later)
    both = [wall.replace(tzinfo=info, fold=fold) for fold in (0, 1)]
    real = [m for m in both if m.astimezone(UTC).astimezone(info).replace(tzinfo=None) == wall]
    stamps = sorted({m.timestamp() for m in real})
    assert marks[0] == {0: MISSING, 1: 0, 2: REPEATED}[len(stamps)]
    if stamps:
        assert utc[0] == (stamps[-1] if later else stamps[0]) * 1_000


@pytest.mark.fault("E4")
@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=80),
    st.integers(0, 1_000),
    st.integers(1, 80),
)
def test_lateness_is_the_same_however_rows_are_cut(rows, bound, cut):
    """The kernel against its definition, in one call and in many."""
    ts = np.array([t for t, _ in rows], np.int64)
    good = np.array([g for _, g in rows], np.uint8)
    window, state = np.zeros(WINDOW, np.int64), np.array([0, -(1 << 62)], np.int64)
    out = np.zeros(len(ts), np.uint8)
    for i in range(0, len(ts), cut):
        late(ts[i : i + cut], good[i : i + cut], bound, window, state, out[i : i + cut])
    clock, seen = -(1 << 62), []
    for i in range(len(ts)):
        told = bool(good[i]) and ts[i] < clock - bound
        assert out[i] == told
        if good[i]:
            seen.append(int(ts[i]))
            if len(seen) >= WINDOW:
                clock = max(clock, statistics.median(seen[-WINDOW:]))


@given(st.lists(st.text(max_size=12), max_size=60), st.integers(1, 20))
def test_names_are_kept_once_and_ranked_by_bytes(names, cut):
    """However names come, the table is the sorted set of them."""
    table = Names("names", 1_000, b"x" * 16)
    for i in range(0, len(names), cut):
        part = from_strings(names[i : i + cut])
        hashes = table.add(part, np.ones(len(part), bool))
        assert ((hashes == 0) == [n == "" for n in names[i : i + cut]]).all()
    known, rank, ranked = table.ranked()
    assert ranked == sorted(set(names) - {""}, key=str.encode)
    hashes = table.hashes(from_strings(ranked))
    assert rank[np.searchsorted(known, hashes)].tolist() == list(range(len(ranked)))


@pytest.mark.fault("F7")
@given(st.from_regex(r"[0-9]{10}", fullmatch=True))
def test_spellings_of_a_number_are_one(national):
    """International, with a trunk prefix, with signs, national: one form, reached at once."""
    rule = IdRule(country_code="7", trunk="8")
    grouped = f"({national[:3]}) {national[3:6]}-{national[6:8]}-{national[8:]}"
    spellings = [f"+7{national}", f"007{national}", f"8{national}", f"7{national}",
                 f"+7 {grouped}", f"8 {grouped}"]  # fmt: skip
    assert {normalised(s, rule) for s in spellings} == {f"7{national}"}
    assert normalised(f"0{national}", IdRule()) == f"0{national}"
