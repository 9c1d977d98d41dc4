"""A run that is recorded as a tape and replayed is the same run, and a damaged tape is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from actors import messages as m
from scenarios import explain as explaining
from scenarios import load, world
from scenarios.explain import explain
from scenarios.replay.tape import tape_feed
from scenarios.runner import Run, run
from sim.core.errors import Interrupted, InvariantError, ScenarioError
from sim.record.files import read_json
from sim.record.store import open_run
from sim.record.tables import write_parquet
from sim.record.tape import open_tape, tape_folder

LINES = 3_000
APART = {"placement.groups": (("subscribers",), ("billing",), ("rtm",))}
LIVELY = {
    "population.donor_days": 0,
    "record.sample": 1.0,
    "cells.slow_from": 0.05,
    "subscribers.leaving.churn_month": 0.3,
    "subscribers.leaving.silences_per_1000_month": 300,
    "subscribers.mobility.journeys_per_1000_month": 300,
}
"""People who join, fall silent and fly, and cells that are full: every kind of row occurs."""


def scenario(**options: Any) -> Any:
    """Return a small lively city."""
    return load("city_day").with_(**{"subscribers": LINES, "seed": 5, **LIVELY, **options})


def replay(tape: Path, out: Path, *, days: float | None = None, **options: Any) -> Run:
    """Replay a run on the city."""
    folder = tape_folder(tape)
    assert folder is not None
    resume = options.pop("resume", False)
    stop_at_ms = options.pop("stop_at_ms", None)
    feed = tape_feed(folder)
    loaded = feed.scenario(scenario(**options), days=days)
    return run(loaded, out=out, feed=feed, resume=resume, stop_at_ms=stop_at_ms)


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of a day that wrote a tape."""
    out = tmp_path_factory.mktemp("taped") / "run"
    return run(scenario(**{"record.tape": True}), out=out)


@pytest.fixture(scope="module")
def replayed(taped: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the replay of that run."""
    return replay(taped.path, tmp_path_factory.mktemp("replayed") / "run")


def copy_of(taped: Run, folder: Path) -> Path:
    """Return a copy of the tape that a test may damage."""
    return Path(shutil.copytree(taped.path / "tape", folder / "tape"))


def counted(done: Run) -> Any:
    """Return rows, units and money of a run by kind and code, from its recorded rows."""
    with open_run(done.path) as found:
        return found.sql(
            "select kind, code, count(*) as n, sum(units) as units, sum(charged_minor) as charged "
            "from activity group by kind, code order by kind, code"
        )


def metrics(done: Run) -> Any:
    """Return every count of a run but the epochs with an event, which a replay counts by rows."""
    with open_run(done.path) as found:
        return found.sql("select * from metrics where metric <> 'active_lines' order by all")


def test_a_replay_counts_what_the_recorded_run_counted(taped: Run, replayed: Run) -> None:
    """Events by kind, units by rating group, top-ups, every metric, and the state of all lines."""
    first, second = counted(taped), counted(replayed)
    assert first.equals(second)
    kinds = set(first["kind"].astype(str))
    assert {"usage", "location", "visit", "blocked", "recharge", "purchase", "response"} <= kinds
    assert metrics(taped).equals(metrics(replayed))
    assert replayed.manifest["events_total"] == taped.manifest["events_total"]
    assert replayed.manifest["state_digest"] == taped.manifest["state_digest"]
    assert replayed.kpis == taped.kpis


def test_every_row_of_the_tape_is_read_and_applied(taped: Run, replayed: Run) -> None:
    """Read = applied + left out, and a tape has the rows of its run save purchases and answers."""
    told = replayed.manifest["replay"]
    rows = counted(taped)
    kept = rows[~rows["kind"].astype(str).isin(["purchase", "response"])]
    assert told["rows_read"] == told["applied"] == int(kept["n"].sum())
    assert told["quarantined"] == 0
    assert told["subscribers"] == taped.manifest["lines"]


def test_drawn_events_are_not_there_beside_replayed_ones(taped: Run, tmp_path: Path) -> None:
    """With the engine switched off the day is the recorded one all the same: nothing is drawn."""
    off = {"timeline": [{"at_h": 0, "do": "rtm_off"}]}
    done = replay(taped.path, tmp_path / "run", **off)
    first, second = counted(taped), counted(done)
    what = ["usage", "location", "visit", "blocked", "recharge_start", "recharge"]
    for kind in what:
        a, b = first[first["kind"] == kind], second[second["kind"] == kind]
        assert a[["n", "units"]].values.tolist() == b[["n", "units"]].values.tolist()
    assert done.kpis["funnel"]["sent"] == 0 < taped.kpis["funnel"]["sent"]


@pytest.mark.parametrize("options", [{"partitions": 1, "hosts": 1}, {"partitions": 3, **APART}])
def test_how_a_replay_is_cut_changes_nothing(
    taped: Run, tmp_path: Path, options: dict[str, Any]
) -> None:
    """One host, three partitions with every role apart: the digest of the recorded run."""
    done = replay(taped.path, tmp_path / "run", **options)
    assert done.manifest["state_digest"] == taped.manifest["state_digest"]


def test_how_the_recorded_run_was_cut_changes_nothing(taped: Run, tmp_path: Path) -> None:
    """Seven partitions on three hosts, stopped and resumed on one: the tape replays the same."""
    cut = {"record.tape": True, "partitions": 7, "hosts": 3}
    with pytest.raises(Interrupted):
        run(scenario(**cut), out=tmp_path / "tape", stop_at_ms=7 * 3_600_000)
    stale = tmp_path / "tape.part" / "tape" / "tick-000030-000000000-000000500.parquet"
    stale.write_bytes(b"a part of an attempt that was taken back")
    done = run(scenario(**{**cut, "hosts": 1}), out=tmp_path / "tape", resume=True)
    again = replay(done.path, tmp_path / "run")
    assert again.manifest["state_digest"] == taped.manifest["state_digest"]
    files = {path.name for path in (done.path / "tape").glob("tick-*")}
    assert len(files) == 28 * 3 + 68
    assert stale.name not in files


def test_a_replay_that_is_stopped_goes_on_where_it_was(taped: Run, tmp_path: Path) -> None:
    """Stopped at five o'clock and resumed on another cut, the rest of the tape is replayed once."""
    with pytest.raises(Interrupted):
        replay(taped.path, tmp_path / "run", stop_at_ms=5 * 3_600_000)
    done = replay(taped.path, tmp_path / "run", resume=True, partitions=5)
    assert done.manifest["state_digest"] == taped.manifest["state_digest"]
    assert done.kpis["funnel"] == taped.kpis["funnel"]


def test_slices_are_cut_by_their_own_recorded_rows(
    taped: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice with room for a fraction of a tick's rows gives the same digest."""
    hours = {"clock.tick_s": 3_600, "partitions": 1}
    first = run(scenario(**hours, **{"record.tape": True}), out=tmp_path / "hours")
    parts = open_tape(first.path / "tape", m.ACTIVITY).parts
    monkeypatch.setattr(world, "SLICE_ROWS", 16_000)
    assert max(part.rows for part in parts) > 8_000, "recorded rows take half a slice"
    done = replay(first.path, tmp_path / "run", **hours)
    assert done.manifest["state_digest"] == first.manifest["state_digest"]


def test_a_shorter_replay_leaves_the_rest_out(taped: Run, tmp_path: Path) -> None:
    """Six hours of the day: rows read = applied + left out, and the counts are those of then."""
    done = replay(taped.path, tmp_path / "run", days=0.25)
    told = done.manifest["replay"]
    assert told["rows_read"] == told["applied"] + told["quarantined"]
    assert told["reasons"] == {"after_the_end": told["quarantined"]}
    assert done.manifest["sim_seconds"] == 6 * 3_600
    with open_run(done.path) as found:
        n = int(found.sql("select count(*) as n from replayed").n[0])
    assert n == told["applied"] > 0


def test_a_replayed_day_is_explained(replayed: Run) -> None:
    """A line of the sample is lived again alone on what it replayed, and proved."""
    told = explain(replayed.path, 7)
    assert told.recorded
    assert "every one as recorded" in told.note


def moments(done: Run) -> dict[str, int]:
    """Return kinds of two rows of one line and one moment -> the first line that has them."""
    with open_run(done.path) as found:
        pairs = found.sql(
            "select sub, string_agg(kind, '+' order by kind) as kinds from activity "
            "group by sub, ts_ms having count(*) > 1 order by sub"
        ).drop_duplicates("kinds")
    return dict(zip(pairs["kinds"], pairs["sub"].astype(int), strict=True))


def test_rows_of_one_moment_are_proved_in_any_order(taped: Run) -> None:
    """A top-up offer that is taken is a recharge and a response at once; the file has them by
    content.  So has it two slices of data, and a pack with the answer that bought it.
    """
    found = moments(taped)
    for kinds in ("recharge+response", "purchase+response", "usage+usage"):
        told = explain(taped.path, found[kinds])
        assert told.recorded and "every one as recorded" in told.note
        if kinds == "recharge+response":
            what = [row["what"] for row in told.day]
            assert what[what.index("response accept") + 1] == "recharge", "the answer comes first"


@pytest.mark.parametrize(
    ("table", "column"),
    [("activity", "units"), ("account_events", "value"), ("decisions", "priority_q")],
)
def test_a_recorded_row_that_was_changed_is_found(
    taped: Run, monkeypatch: pytest.MonkeyPatch, table: str, column: str
) -> None:
    """The proof names the table, the column and both values."""
    genuine = explaining._rows

    def changed(found: Any, name: str, sub: int) -> Any:
        rows = genuine(found, name, sub)
        if name == table:
            rows.loc[len(rows) - 1, column] += 1
        return rows

    monkeypatch.setattr(explaining, "_rows", changed)
    with pytest.raises(InvariantError) as error:
        explain(taped.path, moments(taped)["recharge+response"])
    told = error.value.details["values"]
    assert isinstance(told, dict) and (told["table"], told["column"]) == (table, column)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 6}, ["seed 6", "seed 5"]),
        ({"subscribers": 2_900}, ["subscribers 2900", "--subscribers"]),
        ({"clock.tick_s": 300}, ["tick_s 300", "tick_s 900"]),
        ({"geography.malls_per_100k": 9.0}, ["geography"]),
    ],
)
def test_another_population_is_refused(
    taped: Run, options: dict[str, Any], words: list[str]
) -> None:
    """Lines are taken by their number: what differs is named before anything is built."""
    feed = tape_feed(taped.path / "tape")
    with pytest.raises(ScenarioError) as error:
        feed.scenario(scenario(**options), days=None)
    assert all(word in str(error.value) for word in words)


@pytest.mark.fault("C8")
@pytest.mark.parametrize("blow", ["gone", "cut", "swapped", "unlisted"])
def test_a_part_that_is_missing_or_another_is_refused(
    taped: Run, tmp_path: Path, blow: str
) -> None:
    """A part lost, cut, or in the place of another: exit 2 with the file, before building."""
    tape = copy_of(taped, tmp_path)
    path, other = sorted(tape.glob("tick-*"))[40:42]
    if blow == "gone":
        path.unlink()
    elif blow == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif blow == "swapped":
        data = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    else:
        index = pq.read_table(tape / "index.parquet")
        write_parquet(tape / "index.parquet", index.slice(0, 40))
        path = tape / "index.parquet"
    with pytest.raises(ScenarioError) as error:
        tape_feed(tape)
    assert path.name in str(error.value) or other.name in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.fault("C8", "E10")
def test_a_part_that_changes_is_refused_when_it_is_read(taped: Run, tmp_path: Path) -> None:
    """One bit flipped after the tape was opened: the run ends with the file, exit 2."""
    tape = copy_of(taped, tmp_path)
    feed = tape_feed(tape)
    path = sorted(tape.glob("tick-*"))[30]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    loaded = feed.scenario(scenario(), days=None)
    with pytest.raises(ScenarioError) as error:
        run(loaded, out=tmp_path / "run", feed=feed)
    assert path.name in str(error.value)
    assert error.value.exit_code == 2


def test_the_order_of_the_index_does_not_matter(taped: Run, tmp_path: Path) -> None:
    """Parts are taken by tick and line, however the index lists them."""
    tape = copy_of(taped, tmp_path)
    index = pq.read_table(tape / "index.parquet")
    order = np.random.default_rng(3).permutation(index.num_rows)
    write_parquet(tape / "index.parquet", index.take(order))
    assert tape_feed(tape).digest == tape_feed(taped.path / "tape").digest


def test_a_tape_of_another_version_is_refused(taped: Run, tmp_path: Path) -> None:
    """Other columns than this version's: the file, what was found and what would be right."""
    tape = copy_of(taped, tmp_path)
    facts = read_json(tape / "tape.json")
    text = (tape / "tape.json").read_text("utf-8")
    (tape / "tape.json").write_text(text.replace(facts["columns"], "0" * 16), "utf-8")
    with pytest.raises(ScenarioError, match="another version"):
        tape_feed(tape)
