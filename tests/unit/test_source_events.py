"""Recorded events that are doubled, late, unknown, missing: rows E1 to E12 of the fault list."""

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from scenarios.replay.feed import open_feed
from scenarios.yaml12 import dump_yaml
from sim.core.errors import LimitError, ScenarioError
from sim.record.source import Source
from sim.record.source_spec import ROW, Limits
from sim.record.source_spool import Spool
from tests.recordings import (
    HEADER,
    SECRET,
    balanced,
    mapping,
    read,
    rows,
    text_of,
    write_csv,
    write_parquet,
)

GOOD = rows()


def test_the_recording_runs_forward():
    """What every other test changes is in order of time, with an id of its own in each row."""
    table = rows(300)
    assert [r[3] for r in table] == sorted(r[3] for r in table)
    assert len({r[0] for r in table}) == 300 and all(len(r) == len(HEADER) for r in table)


def test_e0_a_good_file_is_applied_whole(tmp_path):
    """All rows are there, sorted within any cut of time, whatever the cut."""
    spool = read(write_csv(tmp_path / "in", GOOD))
    assert spool.counts == {
        "rows_read": 2_000, "applied": 2_000, "derived": 0, "quarantined": 0, "reasons": {},
    }  # fmt: skip
    assert spool.verify() == [] and balanced(spool)
    whole = spool.rows_for(0, spool.end_ms)
    assert list(whole) == list(ROW.names) and len(whole["key"]) == 2_000
    assert len(np.unique(whole["key"])) == 2_000
    assert (np.diff(whole["source_sub"]) >= 0).all()
    parts = [spool.rows_for(t, t + 420_000) for t in range(0, spool.end_ms, 420_000)]
    keys = np.concatenate([p["key"] for p in parts])
    assert sorted(keys.tolist()) == sorted(whole["key"].tolist())
    first = GOOD[0]
    at = np.argmin(whole["ts_ms"])
    midnight = np.datetime64("2024-03-03T19:00:00")  # 00:00 at +05:00, since 1 March 2024
    assert spool.start_ms == midnight.astype("datetime64[ms]").astype(int)
    told = np.datetime64(first[3].replace(" ", "T")) - np.datetime64("2024-03-04T00:00:00")
    assert whole["ts_ms"][at] == told.astype("timedelta64[ms]").astype(int)


@pytest.mark.fault("E1")
@pytest.mark.parametrize("where", ["near", "far", "end"])
def test_e1_rows_that_come_twice_are_applied_once(tmp_path, where):
    """Five rows of a hundred doubled: the digest is that of the file without."""
    rng = np.random.default_rng(2)
    doubled = list(GOOD)
    for i in sorted(rng.choice(2_000, 100, replace=False), reverse=True):
        at = {"near": i + 1, "far": int(rng.integers(i, 2_000)), "end": len(doubled)}[where]
        doubled.insert(at, GOOD[i])
    spool = read(write_csv(tmp_path / "b", doubled))
    assert spool.counts["reasons"] == {"duplicate": 100} and balanced(spool)
    assert spool.counts["applied"] == 2_000
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD)).digest


@pytest.mark.fault("E2")
def test_e2_one_id_with_two_contents_is_a_conflict(tmp_path):
    """The first stays; the other, with its line, is in the quarantine."""
    i = next(i for i, row in enumerate(GOOD) if row[4] == "pay")
    other = [*GOOD[i][:8], "9999.99", GOOD[i][9]]
    folder = write_csv(tmp_path / "in", [*GOOD[: i + 1], other, *GOOD[i + 1 :]])
    spool = read(folder)
    assert spool.counts["reasons"] == {"conflict": 1} and balanced(spool)
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD)).digest
    left_out = pq.read_table(spool.folder / "quarantine.parquet").to_pylist()
    assert [(r["file"], r["line"], r["reason"]) for r in left_out] == [
        ("events.csv", i + 3, "conflict")
    ]


@pytest.mark.fault("E3")
def test_e3_order_within_the_bound_does_not_matter(tmp_path):
    """A shuffle by less than `late_max_s` gives the digest of the sorted file."""
    rng = np.random.default_rng(3)
    at = np.array([np.datetime64(r[3].replace(" ", "T")).astype(int) for r in GOOD])
    order = np.argsort(at + rng.integers(0, 3_500, len(at)), kind="stable")
    assert (np.diff(order) < 0).any()
    spool = read(write_csv(tmp_path / "b", [GOOD[i] for i in order]))
    assert spool.counts["quarantined"] == 0
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD)).digest


@pytest.mark.fault("E4")
@pytest.mark.parametrize("ids", [True, False], ids=["with_ids", "without_ids"])
def test_e4_later_than_the_bound_is_left_out(tmp_path, ids):
    """Ten rows that lie a day back are late; the others are untouched, even where one row lies
    in the future."""
    moved = [list(row) for row in GOOD]
    chosen = [i for i in range(1_200, 2_000, 80)]
    for i in chosen:
        moved[i][3] = str(np.datetime64(moved[i][3]) - np.timedelta64(1, "D")).replace("T", " ")
    future = [*moved[300]]
    moved[300][3] = str(np.datetime64(future[3]) + np.timedelta64(1, "D")).replace("T", " ")
    how = {} if ids else {"event_id": (), "ignore": ["event_id"]}
    spool = read(write_csv(tmp_path / "b", moved), **how)
    assert spool.counts["reasons"] == {"late": len(chosen)} and balanced(spool)
    kept = [row for i, row in enumerate(moved) if i not in chosen]
    assert spool.digest == read(write_csv(tmp_path / "a", kept), **how).digest


@pytest.mark.fault("E5")
def test_e5_no_zone_is_refused_with_the_first_row(tmp_path):
    """A value without an offset, where every value must have its own, is refused with its line."""
    folder = write_csv(tmp_path / "in", GOOD)
    with pytest.raises(ScenarioError, match=r"events\.csv:2: .*zone"):
        read(folder, event_time={"column": "start", "zone": "own"})


@pytest.mark.fault("E5")
@pytest.mark.parametrize(
    ("local", "rule", "word"),
    [("2024-10-27 02:30:00", "repeated_hour", "twice"),
     ("2024-03-31 02:30:00", "missing_hour", "does not exist")],
)  # fmt: skip
def test_e5_summer_time(tmp_path, local, rule, word):
    """The hour that comes twice, and the one that does not exist, need a rule."""
    table = [[*row[:3], local, *row[4:]] if i == 5 else row for i, row in enumerate(GOOD)]
    table = [[*row[:3], local[:10] + row[3][10:], *row[4:]] if row[3] != local else row
             for row in table if not row[3][11:].startswith("02") or row[3] == local]  # fmt: skip
    folder = write_csv(tmp_path / "in", table)
    time = {"column": "start", "zone": "Europe/Berlin"}
    with pytest.raises(ScenarioError, match=word):
        read(folder, event_time=time, late_max_s=172_800)
    spool = read(folder, event_time={**time, rule: "quarantine"}, late_max_s=172_800)
    assert spool.counts["reasons"] == {rule: 1} and balanced(spool)


@pytest.mark.fault("E5")
def test_e5_a_clock_two_hours_off_is_put_right(tmp_path):
    """`offset_s` moves a source to where the true one is."""
    off = [[*r[:3], str(np.datetime64(r[3]) - np.timedelta64(2, "h")), *r[4:]] for r in GOOD]
    spool = read(write_csv(tmp_path / "b", off), event_time={"column": "start", "offset_s": 7_200})
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD)).digest


@pytest.mark.fault("E6")
@pytest.mark.parametrize("unknown", ["quarantined", "refused", "admitted"])
def test_e6_unknown_numbers(tmp_path, unknown):
    """Ids outside the population are left out and counted, or admitted where nobody says who."""
    folder = write_csv(tmp_path / "in", GOOD)
    everyone = {row[1] for row in GOOD}
    stranger = sorted(everyone)[0]
    n = sum(row[1] == stranger for row in GOOD)
    if unknown == "admitted":
        assert read(folder).n_subscribers == len(everyone | {r[2] for r in GOOD} & everyone)
    elif unknown == "refused":
        with pytest.raises(ScenarioError, match="unknown_subscriber"):
            read(folder, known=everyone - {stranger})
    else:
        spool = read(folder, known=everyone - {stranger}, bad_share_max=0.2)
        assert spool.counts["reasons"] == {"unknown_subscriber": n} and balanced(spool)
        assert spool.n_subscribers == len(everyone) - 1


@pytest.mark.fault("E7")
@pytest.mark.parametrize(
    ("format", "factor", "found"),
    [("epoch_s", 1_000, "year"), ("epoch_ms", 1, "1970"), ("epoch_s", 10, "2511")],
)
def test_e7_a_wrong_unit_of_time_is_refused(tmp_path, format, factor, found):
    """Milliseconds read as seconds and the reverse: the range found, and the one expected."""
    table = [[*r[:3], str(np.datetime64(r[3], "s").astype(int) * factor), *r[4:]] for r in GOOD]
    folder = write_csv(tmp_path / "in", table)
    with pytest.raises(ScenarioError, match=rf"{found}.*expected 1990.*2100"):
        read(folder, event_time={"column": "start", "format": format})
    if factor == 1:
        right = read(folder, event_time={"column": "start", "format": "epoch_s"})
        assert right.counts["applied"] == 2_000


@pytest.mark.fault("E8")
@pytest.mark.parametrize("what", ["folder", "bytes", "header", "all_bad", "missing"])
def test_e8_nothing_there_is_refused(tmp_path, what):
    """An empty folder, an empty file, a header alone, rows that are all bad."""
    folder = tmp_path / "in"
    if what != "missing":
        folder.mkdir()
    if what == "bytes":
        (folder / "events.csv").write_bytes(b"")
    if what == "header":
        write_csv(folder, [])
    if what == "all_bad":
        write_csv(folder, [["x"] * 3] * 50)
    with pytest.raises(ScenarioError):
        read(folder)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("spool")] == []


@pytest.mark.parametrize("days", [2, 6])
def test_e9_a_gap_is_reported(tmp_path, days):
    """An hour without rows among busy ones is told; the recording without is told of none."""
    table = rows(6_000 * days // 2, days=days)
    gone = [row for row in table if not row[3].startswith("2024-03-05 10:")]
    assert read(write_csv(tmp_path / "a", table)).gaps == []
    (gap,) = read(write_csv(tmp_path / "b", gone)).gaps
    assert (gap["from_ms"], gap["to_ms"]) == (34 * 3_600_000, 35 * 3_600_000)
    assert gap["expected_rows"] > 50


@pytest.mark.fault("E9")
def test_e9_a_file_that_is_missing_from_a_folder_is_a_gap(tmp_path):
    """One file for each six hours; without one of them its hours are told, and nothing else."""
    table = rows(6_000)
    for day in (4, 5):
        for part in range(4):
            hours = [f"2024-03-0{day} {6 * part + h:02}" for h in range(6)]
            some = [row for row in table if row[3][:13] in hours]
            write_csv(tmp_path / "in", some, name=f"{day}-{part}.csv")
    assert read(tmp_path / "in").gaps == []
    (tmp_path / "in" / "5-1.csv").unlink()
    (gap,) = read(tmp_path / "in").gaps
    assert (gap["from_ms"], gap["to_ms"]) == (30 * 3_600_000, 36 * 3_600_000)


@pytest.mark.fault("E10")
@pytest.mark.parametrize("change", ["append", "truncate", "replace", "remove"])
def test_e10_a_file_that_changes_while_it_is_read(tmp_path, change):
    """Ends with exit 2, and no spool is left."""
    folder = write_csv(tmp_path / "in", GOOD)
    path = folder / "events.csv"

    def meddle(done: int, whole: int) -> None:
        if change == "append":
            with path.open("a") as handle:
                handle.write(",".join(GOOD[0]) + "\n")
        elif change == "truncate":
            os.truncate(path, 100)
        elif change == "remove":
            path.unlink()
        else:
            other = tmp_path / "other"
            other.write_text(text_of(GOOD))
            os.replace(other, path)

    with pytest.raises(ScenarioError) as caught:
        read(folder, on_progress=meddle)
    assert "while it was read" in str(caught.value) and caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.fault("E11")
def test_e11_a_line_without_end_is_refused(tmp_path):
    """A file without line ends is refused at the limit, and is not read whole."""
    folder = write_csv(tmp_path / "in", GOOD[:100])
    with (folder / "events.csv").open("a") as handle:
        handle.write("x" * (3 << 20))
    with pytest.raises(ScenarioError, match=r"events\.csv:102: the line is too long"):
        read(folder)


@pytest.mark.fault("E11")
def test_e11_an_hour_that_does_not_fit_is_split(tmp_path):
    """Small limits everywhere: many blocks, flushes and split hours give the same digest."""
    folder = write_csv(tmp_path / "in", GOOD)
    small = Limits(block_bytes=4_096, line_bytes=1_024, buffer_rows=64, piece_rows=16)
    assert read(folder, limits=small).digest == read(folder).digest
    one = write_csv(tmp_path / "one", [[f"i{i}", *GOOD[0][1:]] for i in range(40)])
    with pytest.raises(LimitError):
        read(one, limits=Limits(piece_rows=16))
    with pytest.raises(LimitError):
        read(folder, limits=Limits(subscribers=10))


CHILD = """
import pathlib, resource, sys
from tests.recordings import read, rows, write_csv
folder = pathlib.Path(sys.argv[1])
read(write_csv(folder / "warm", rows(500)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
spool = read(folder / "in", order="none")
print(spool.counts["applied"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.fault("E11")
@pytest.mark.slow
def test_e11_memory_does_not_follow_the_file(tmp_path, root):
    """80 MB of rows are read within 300 MiB above an idle process (1 GB: 260 MiB measured)."""
    folder = tmp_path / "in"
    folder.mkdir()
    with (folder / "events.csv").open("w") as handle:
        handle.write(",".join(HEADER) + "\n")
        for k in range(400):
            handle.writelines(f"e{k}-{','.join(r)[1:]}\n" for r in GOOD)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=root, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    n, kib = done.stdout.split()
    assert int(n) == 800_000 and int(kib) < 300 * 1_024


@pytest.mark.fault("E12")
def test_e12_a_killed_reading_leaves_nothing_that_counts(tmp_path):
    """A `.part` of a killed reading is made anew; a whole spool is opened and not made again."""
    folder = write_csv(tmp_path / "in", GOOD)
    out = tmp_path / "spool"
    part = tmp_path / "spool.part"
    (part / "pool").mkdir(parents=True)
    (part / "pool" / "h1").write_bytes(b"rest")
    source = Source(mapping().recording(), folder)
    first = source.spool(out, secret=SECRET)
    stamp = (out / "spool.json").stat().st_mtime_ns
    again = Source(mapping().recording(), folder).spool(out, secret=SECRET)
    assert again.digest == first.digest and not part.exists()
    assert (out / "spool.json").stat().st_mtime_ns == stamp
    with pytest.raises(ScenarioError, match="other files"):
        Source(mapping(late_max_s=5).recording(), folder).spool(out, secret=SECRET)


def test_a_damaged_piece_is_found(tmp_path):
    """One byte of one piece: `verify` names it, reading it is refused."""
    spool = read(write_csv(tmp_path / "in", GOOD))
    path = spool.folder / spool.manifest["pieces"][3]["file"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    opened = Spool.open(spool.folder)
    assert opened.verify() == [path.name]
    with pytest.raises(ScenarioError, match="damaged"):
        opened.rows_for(0, opened.end_ms)


def test_no_number_gets_out(tmp_path):
    """No id stands in any table of a spool, nor in an error; pseudonyms follow the secret."""
    table = [*GOOD, [*GOOD[-1][:3], "nonsense 77010000001", *GOOD[-1][4:]]]
    spool = read(write_csv(tmp_path / "in", table))
    text = (
        "".join(str(pq.read_table(path).to_pydict()) for path in spool.folder.glob("*.parquet"))
        + (spool.folder / "spool.json").read_text()
    )
    assert "77010000" not in text and spool.counts["reasons"] == {"bad_time": 1}
    other = Source(mapping().recording(), tmp_path / "in").spool(
        tmp_path / "other", secret=b"quite another secret"
    )
    assert other.digest == spool.digest
    names = spool.subscribers()["pseudonym"]
    assert len(set(names)) == spool.n_subscribers
    assert not set(names) & set(other.subscribers()["pseudonym"])
    headless = tmp_path / "headless"
    headless.mkdir()
    (headless / "events.csv").write_text(text_of(GOOD[1:], header=GOOD[0]))
    with pytest.raises(ScenarioError) as caught:
        read(headless)
    assert "77010000" not in str(caught.value)


def test_parquet_and_csv_give_one_digest(tmp_path):
    """Texts in Parquet, and the types of a database, read as the CSV does."""
    csv = read(write_csv(tmp_path / "a", GOOD))
    for typed in (False, True):
        folder = write_parquet(tmp_path / f"p{typed}", GOOD, typed=typed)
        spool = read(folder, files=["*.parquet"], format="parquet")
        assert spool.digest == csv.digest and balanced(spool)


def test_a_recording_that_was_edited_is_read_anew(tmp_path, monkeypatch):
    """The cache knows the files as they were: another content or another limit is another spool."""
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path / "cache"))
    folder = write_csv(tmp_path / "in", GOOD)
    path = tmp_path / "m.yaml"
    path.write_text(dump_yaml(mapping().model_dump(mode="json", exclude_defaults=True)))
    first = open_feed(folder, path)
    assert open_feed(folder, path).spool.folder == first.spool.folder
    assert open_feed(folder, path, bad_share_max=0.5).digest == first.digest
    write_csv(folder, GOOD[:-1])
    assert open_feed(folder, path).spool.counts["applied"] == 1_999


@pytest.mark.parametrize("hour", [9, 10], ids=["within_an_hour", "across_two"])
def test_the_two_sides_of_a_call_are_held_against_each_other(tmp_path, hour):
    """One call agrees, one differs in length, one in time, one has one side; all are applied."""
    begin = np.datetime64(f"2024-03-04T{hour:02}:00:00") - np.timedelta64(1, "s")

    def call(i, sub, peer, side, late_s, seconds):
        at = str(begin + np.timedelta64(late_s, "s")).replace("T", " ")
        return [f"e{i}", sub, peer, at, "call", side, str(seconds), "", "", "c1"]

    table = [
        call(0, "a", "b", "out", 0, 60), call(1, "b", "a", "in", 2, 61),
        call(2, "a", "c", "out", 0, 60), call(3, "c", "a", "in", 0, 90),
        call(4, "b", "c", "out", 0, 60), call(5, "c", "b", "in", 30, 60),
        call(6, "c", "a", "out", 0, 5), call(7, "a", "nobody", "out", 0, 5),
    ]  # fmt: skip
    spool = read(write_csv(tmp_path / "in", table))
    assert spool.two_sides == {"agree": 1, "differ": 2, "one_side": 1}
    assert spool.counts["applied"] == 8 and spool.counts["quarantined"] == 0


def test_a_recording_of_ten_years_is_a_wrong_moment(tmp_path):
    """One row far in the future would make a run of decades: refused with both ends."""
    table = [*GOOD, [*GOOD[-1][:3], "2094-03-04 10:00:00", *GOOD[-1][4:]]]
    table[-1][0] = "far"
    with pytest.raises(ScenarioError, match="too long.*2094"):
        read(write_csv(tmp_path / "in", table))
