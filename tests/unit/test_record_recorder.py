"""The recorder: rows, names, canonical order, checkpoints, final files."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.core.columns import Field, Schema
from sim.core.errors import InvariantError, ScenarioError
from sim.core.histogram import N_BUCKETS
from sim.core.metrics import Metric
from sim.record.recorder import Recorder
from sim.record.tables import ByColumn

METRICS = (
    Metric("events", ("kind",), "rows", "events"),
    Metric("both", ("kind", "case"), "rows", "two dimensions"),
    Metric("plain", (), "rows", "no dimension"),
    Metric("wait_ms", ("case",), "ms", "waits", histogram=True),
)
LABELS = {"kind": ("usage", "visit"), "case": ("alpha", "beta", "gamma")}
THING = Schema("TestThing", (
    Field("sub", "i4", "1", "line"), Field("ts_ms", "i8", "ms", "moment"),
    Field("kind", "u1", "code", "kind"), Field("code", "u1", "code", "by kind"),
    Field("use_case", "i2", "1", "use case"),
))  # fmt: skip
SENT = Schema("TestSent", (
    Field("sub", "i4", "1", "line"), Field("ts_ms", "i8", "ms", "moment"),
    Field("use_case", "i2", "1", "use case"), Field("trigger_ms", "i8", "ms", "rule satisfied"),
))  # fmt: skip
BOTH_WORLDS = Schema("TestTruth", (
    Field("sub", "i4", "1", "line"), Field("use_case", "i2", "1", "use case"),
    Field("trigger_ms", "i8", "ms", "rule satisfied"), Field("y1_minor", "i8", "minor", "with"),
))  # fmt: skip
TABLES = {
    "activity": (THING,), "decisions": (THING,), "deliveries": (SENT,), "truth": (BOTH_WORLDS,),
}  # fmt: skip
DECODE = {
    ("activity", "kind"): LABELS["kind"],
    ("activity", "code"): ByColumn("kind", {0: ("sms", "data"), 1: ("shop",)}),
    ("activity", "use_case"): LABELS["case"],
    ("decisions", "use_case"): LABELS["case"],
    ("deliveries", "use_case"): LABELS["case"],
    ("truth", "use_case"): LABELS["case"],
}


def recorder(folder: Path) -> Recorder:
    return Recorder(
        folder, metrics=METRICS, labels=LABELS, tables=TABLES, decode=DECODE, tick_s=900
    )


def tally(tick: int) -> dict[str, np.ndarray]:
    wait = np.zeros((3, N_BUCKETS), np.int64)
    wait[tick % 3, 5 + tick] = 2
    return {
        "events": np.array([10 + tick, 0]),
        "both": np.array([[0, 1, 0], [tick, 0, -3]]),
        "plain": np.array([tick]),
        "wait_ms": wait,
    }


def samples(tick: int, *, turn: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Make rows of one tick; `turn=-1` gives the same rows in the opposite order."""
    n = 4
    sub = np.array([9, 3, 3, 7], np.int32)
    ts = (tick * 900_000 + np.array([5, 9, 2, 1])).astype(np.int64)
    activity = {
        "sub": sub, "ts_ms": ts,
        "kind": np.array([0, 1, 0, 0], np.uint8), "code": np.array([1, 0, 0, 255], np.uint8),
        "use_case": np.array([-1, 2, 0, -1], np.int16),
    }  # fmt: skip
    sent = {
        "sub": sub[:2], "ts_ms": ts[:2], "use_case": np.array([0, 1], np.int16),
        "trigger_ms": ts[:2] - 1,
    }  # fmt: skip
    truth = {
        "sub": sub[:1], "use_case": np.array([0], np.int16), "trigger_ms": ts[:1] - 1,
        "y1_minor": np.array([77 + tick]),
    }  # fmt: skip
    assert n == len(sub)
    tables = {"activity": activity, "deliveries": sent, "truth": truth}
    return {t: {c: a[::turn] for c, a in rows.items()} for t, rows in tables.items()}


def play(recorder: Recorder, ticks: range, *, turn: int = 1, flush: bool = False) -> None:
    for tick in ticks:
        recorder.on_tick(
            tick, tick * 900_000, tally(tick), samples(tick, turn=turn),
            {"rtm": -1 - tick, "billing": 5}, [("money", tick, tick, True)],
        )  # fmt: skip
        if flush:
            recorder.flush()


def files(folder: Path) -> dict[str, str]:
    """Return every final file with its hash."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*.parquet"))
        if p.parent.name != "parts"
    }


def finished(folder: Path, **how) -> dict[str, str]:
    folder.mkdir()
    made = recorder(folder)
    play(made, range(6), **how)
    made.finish()
    return files(folder)


def test_the_files_depend_neither_on_flushes_nor_on_the_order_of_rows(tmp_path):
    """Equal bytes whether flushed each tick or never, and for rows given backwards."""
    once = finished(tmp_path / "a")
    assert once == finished(tmp_path / "b", flush=True)
    assert once == finished(tmp_path / "c", turn=-1)
    roots = ("metrics", "decisions", "contacts", "cells", "digests", "audit")
    assert {*(f"{name}.parquet" for name in roots), "events/activity-0000.parquet"} == set(once)


def test_a_run_resumed_from_a_checkpoint_leaves_identical_files(tmp_path):
    """State at tick 2, then three more ticks that a kill takes away, then a new process."""
    straight = finished(tmp_path / "a")
    folder = tmp_path / "b"
    folder.mkdir()
    first = recorder(folder)
    play(first, range(3))
    state = first.state()
    play(first, range(3, 5), flush=True)
    again = recorder(folder)
    again.restore(state, 2)
    play(again, range(3, 6))
    again.finish()
    assert files(folder) == straight
    assert again.totals["plain"][0] == sum(range(6))


def test_a_restore_in_the_living_process_drops_what_waits_in_memory(tmp_path):
    """A host is lost: the same recorder goes back to its checkpoint."""
    straight = finished(tmp_path / "a")
    folder = tmp_path / "b"
    folder.mkdir()
    made = recorder(folder)
    play(made, range(2))
    state = made.state()
    play(made, range(2, 4))
    made.restore(state, 1)
    play(made, range(2, 6))
    made.finish()
    made.finish()
    assert files(folder) == straight


def test_a_restore_tells_that_parts_are_gone(tmp_path):
    """A checkpoint without its parts cannot give the same run."""
    made = recorder(tmp_path)
    play(made, range(3))
    state = made.state()
    next((tmp_path / "parts").glob("metrics-*")).unlink()
    with pytest.raises(ScenarioError, match="part files"):
        recorder(tmp_path).restore(state, 2)


def test_codes_become_names_and_none_becomes_null(tmp_path):
    """Names by column, names by kind, -1 and 255; and the tick stands beside each row."""
    finished(tmp_path / "a")
    rows = pq.read_table(tmp_path / "a/events/activity-0000.parquet").slice(0, 4).to_pydict()
    assert rows["sub"] == [3, 3, 7, 9]
    assert rows["kind"] == ["usage", "visit", "usage", "usage"]
    assert rows["code"] == ["sms", "shop", None, "data"]
    assert rows["use_case"] == ["alpha", "gamma", None, None]
    assert rows["tick"] == [0, 0, 0, 0]


def test_a_code_without_a_name_is_a_broken_invariant(tmp_path):
    """A wrong catalogue must not be written down as a null."""
    made = recorder(tmp_path)
    bad = samples(0)
    bad["activity"]["use_case"] = np.array([0, 3, 0, 0], np.int16)
    made.on_tick(0, 0, {}, bad, {}, [])
    with pytest.raises(InvariantError, match=r"activity\.use_case"):
        made.flush()


def test_metrics_are_long_named_and_without_zeros(tmp_path):
    """Each row is one count that is not zero; sums equal the totals."""
    folder = tmp_path / "a"
    finished(folder)
    table = pq.read_table(folder / "metrics.parquet").to_pandas()
    assert (table.value != 0).all()
    last = table[(table.tick == 5) & (table.metric == "both")]
    assert list(zip(last.d1, last.d2, last.value, strict=True)) == [
        ("usage", "beta", 1), ("visit", "alpha", 5), ("visit", "gamma", -3),
    ]  # fmt: skip
    waits = table[table.metric == "wait_ms"]
    assert waits.bucket.tolist() == [5, 6, 7, 8, 9, 10]
    assert table[table.metric == "plain"].bucket.isna().all()


def test_series_sum_metrics_over_steps_of_time(tmp_path):
    """Four ticks are an hour; histograms keep their buckets."""
    folder = tmp_path / "a"
    folder.mkdir()
    made = recorder(folder)
    play(made, range(6))
    made.finish()
    hours = made.series(["events", "wait_ms"], every_ms=3_600_000)
    assert hours["ts_ms"].tolist() == [0, 3_600_000]
    assert hours["events"].tolist() == [10 + 11 + 12 + 13, 14 + 15]
    assert hours["wait_ms"].sum(axis=1).tolist() == [8, 4]
    assert made.series(["plain"])["plain"].tolist() == [0, 1, 2, 3, 4, 5]


def test_contacts_are_deliveries_with_the_truth_beside_them(tmp_path):
    """Where no truth is known (not answered yet) its columns are null."""
    finished(tmp_path / "a")
    rows = pq.read_table(tmp_path / "a/contacts.parquet").to_pydict()
    assert len(rows["sub"]) == 12
    assert rows["use_case"][:2] == ["beta", "alpha"]
    assert rows["y1_minor"][:2] == [None, 77]


def test_a_repeated_truth_does_not_repeat_its_contact(tmp_path):
    """The join takes the first truth of a key."""
    made = recorder(tmp_path)
    rows = samples(0)
    made.on_tick(0, 0, {}, rows, {}, [])
    made.on_tick(1, 900_000, {}, {"truth": rows["truth"]}, {}, [])
    assert made.finish()["contacts.parquet"] == 2


def test_an_empty_run_has_every_file(tmp_path):
    """No tick at all: the files are there, with their columns and no rows."""
    written = recorder(tmp_path).finish()
    assert set(written.values()) == {0}
    assert pq.read_schema(tmp_path / "decisions.parquet").names[:3] == ["tick", "sub", "ts_ms"]
    assert "y1_minor" in pq.read_schema(tmp_path / "contacts.parquet").names


@pytest.mark.parametrize("change", ["dtype", "length", "again", "shape", "name"])
def test_a_batch_that_breaks_the_contract_is_refused(tmp_path, change):
    """Order of ticks, dtypes, lengths, shapes and names of metrics."""
    made = recorder(tmp_path)
    play(made, range(1))
    rows, counts, tick = samples(1), tally(1), 1
    if change == "dtype":
        rows["activity"]["sub"] = rows["activity"]["sub"].astype(np.int64)
    elif change == "length":
        rows["truth"]["y1_minor"] = np.zeros(0, np.int64)
    elif change == "again":
        tick = 0
    elif change == "shape":
        counts["events"] = np.zeros(3, np.int64)
    else:
        counts["unheard_of"] = np.zeros(1, np.int64)
    with pytest.raises((InvariantError, ValueError, KeyError, IndexError)):
        made.on_tick(tick, tick * 900_000, counts, rows, {}, [])


def test_memory_stays_bounded_by_flushing(tmp_path, monkeypatch):
    """Past the limit of bytes the rows go to part files by themselves."""
    monkeypatch.setattr("sim.record.recorder.BUFFER_BYTES_MAX", 1_000)
    made = recorder(tmp_path)
    play(made, range(8))
    assert len(list((tmp_path / "parts").glob("metrics-*"))) > 1
    assert made._bytes <= 1_000
