"""A replay depends on what was recorded, not on how the files are written."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from scenarios import load
from scenarios.replay.feed import open_feed
from scenarios.runner import Run, run

COLUMNS = (
    "event_id",
    "source",
    "record_seq",
    "event_type",
    "event_time",
    "subscriber_id",
    "direction",
    "counterpart_id",
    "cell_key",
    "duration_s",
    "bytes_up",
    "bytes_down",
    "amount",
)
N_ROWS, N_SUBSCRIBERS = 1_500, 60


def recorded_rows() -> list[dict[str, Any]]:
    """Return made-up rows of half a day, sorted by time."""
    rng = random.Random(11)
    rows = []
    for k in range(N_ROWS):
        second = rng.randrange(11 * 3600)
        kind = rng.choice(("voice", "sms", "data", "data", "topup"))
        clock = f"{second // 3600:02d}:{second % 3600 // 60:02d}:{second % 60:02d}"
        rows.append(
            {
                "event_id": f"e{k}",
                "source": "t",
                "record_seq": "",
                "event_type": kind,
                "event_time": f"2026-03-04T{clock}+05:00",
                "subscriber_id": f"77{rng.randrange(N_SUBSCRIBERS):06d}",
                "direction": rng.choice(("mo", "mt")) if kind in ("voice", "sms") else "none",
                "counterpart_id": f"78{rng.randrange(99):06d}" if kind in ("voice", "sms") else "",
                "cell_key": "",
                "duration_s": rng.randrange(300) if kind == "voice" else "",
                "bytes_up": "",
                "bytes_down": rng.randrange(1, 9_000_000) if kind == "data" else "",
                "amount": rng.choice((100, 200, 500)) if kind == "topup" else "",
            }
        )
    return sorted(rows, key=lambda row: row["event_time"])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the twin's own event table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def replay(events: Path, out: Path, *, resume: bool = False, **options: Any) -> Run:
    """Replay a file on a small city."""
    loaded = load("city_day").with_(
        subscribers=1_000, seed=3, **{"population.donor_days": 0, "record.sample": 1.0, **options}
    )
    feed = open_feed(events, "standard")
    return run(feed.scenario(loaded, days=None), out=out, feed=feed, resume=resume)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the replay of the file as it was recorded."""
    folder = tmp_path_factory.mktemp("plain")
    return replay(write(folder / "events.csv", recorded_rows()), folder / "run")


def bound_lines(run: Run) -> list[int]:
    """Return the lines that replayed recorded subscribers."""
    return pq.read_table(run.path / "bound.parquet")["sub"].to_pylist()


def test_rows_read_are_rows_applied_and_left_out(plain: Run) -> None:
    """Every row of the file is accounted for, and reaches the loop as activity of bound lines."""
    told = plain.manifest["replay"]
    assert told["rows_read"] == N_ROWS == told["applied"] + told["quarantined"]
    assert told["applied"] == N_ROWS
    assert told["subscribers"] == N_SUBSCRIBERS == len(bound_lines(plain))
    assert plain.manifest["audit"]["failures"] == 0


def test_recorded_use_replaces_drawn_use_of_bound_lines(plain: Run) -> None:
    """A bound line has exactly its recorded texts, calls, data and top-ups, and nothing drawn."""
    from sim.record.store import open_run

    rows = recorded_rows()
    with open_run(plain.path) as found:
        lines = ",".join(str(n) for n in bound_lines(plain))
        table = found.sql(
            "select kind, code, count(*) as n, sum(units) as units from activity "
            f"where sub in ({lines}) group by kind, code"
        )
    n = {(str(k), str(c)): int(v) for k, c, v in zip(table.kind, table.code, table.n, strict=True)}
    units = {
        (str(k), str(c)): int(v)
        for k, c, v in zip(table.kind, table.code, table.units, strict=True)
    }
    outgoing = [r for r in rows if r["direction"] == "mo"]
    assert n["usage", "sms"] == sum(r["event_type"] == "sms" for r in outgoing)
    assert n["usage", "voice_onnet"] == sum(r["event_type"] == "voice" for r in outgoing)
    assert n["usage", "data_general"] == sum(r["event_type"] == "data" for r in rows)
    topups = [int(r["amount"]) * 100 for r in rows if r["event_type"] == "topup"]
    recharges = [v for (kind, _), v in units.items() if kind == "recharge"]
    assert sum(recharges) == sum(topups)
    assert not any(kind == "usage" and code == "voice_offnet" for kind, code in n)


@pytest.mark.fault("E1", "E3")
def test_duplicates_and_disorder_change_nothing(plain: Run, tmp_path: Path) -> None:
    """Shuffled within a minute and with 5 % of rows doubled, the run is the same run."""
    rng = random.Random(5)
    rows = recorded_rows()
    doubled = rows + rng.sample(rows, N_ROWS // 20)
    keyed = sorted(doubled, key=lambda row: (row["event_time"][:16], rng.random()))
    other = replay(write(tmp_path / "events.csv", keyed), tmp_path / "run")
    assert other.manifest["state_digest"] == plain.manifest["state_digest"]
    assert other.kpis["funnel"] == plain.kpis["funnel"]
    told = other.manifest["replay"]
    assert told["rows_read"] == len(doubled)
    assert told["reasons"]["duplicate"] == N_ROWS // 20
    assert told["applied"] == N_ROWS


KILLED = """
import os, signal, sys
from pathlib import Path
from scenarios import load
from scenarios.replay.feed import open_feed
from scenarios.runner import run
loaded = load("city_day").with_(subscribers=1_000, seed=3, **{
    "population.donor_days": 0, "record.sample": 1.0, "placement.checkpoint_s": 0.01})
feed = open_feed(Path(sys.argv[1]), "standard")
def kill(index, outcome, runtime):
    if index == 22:
        os.kill(os.getpid(), signal.SIGKILL)
run(feed.scenario(loaded, days=None), out=Path(sys.argv[2]), feed=feed, on_tick=kill)
"""


@pytest.mark.slow
@pytest.mark.fault("E12")
def test_a_killed_replay_goes_on_and_applies_every_row_once(
    plain: Run, tmp_path: Path, root: Path
) -> None:
    """SIGKILL at tick 22, after checkpoints; resumed, digest and counts are as without it."""
    events = write(tmp_path / "events.csv", recorded_rows())
    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(events), str(tmp_path / "run")], cwd=root, check=False
    ).returncode
    assert code == -signal.SIGKILL
    assert list((tmp_path / "run.part" / "checkpoints").glob("tick-*"))
    done = replay(events, tmp_path / "run", resume=True)
    assert done.manifest["state_digest"] == plain.manifest["state_digest"]
    assert done.kpis["funnel"] == plain.kpis["funnel"]
    assert done.manifest["replay"]["applied"] == N_ROWS


def test_partitions_and_interruption_change_nothing(plain: Run, tmp_path: Path) -> None:
    """Stopped in the middle, resumed on another cut and with every role apart: the same digest."""
    from sim.core.errors import Interrupted

    events = write(tmp_path / "events.csv", recorded_rows())
    loaded = load("city_day").with_(
        subscribers=1_000, seed=3, **{"population.donor_days": 0, "record.sample": 1.0}
    )
    feed = open_feed(events, "standard")
    scenario = feed.scenario(loaded, days=None)
    with pytest.raises(Interrupted):
        run(scenario, out=tmp_path / "run", feed=feed, stop_at_ms=5 * 3_600_000)
    apart = {"placement.groups": (("subscribers",), ("billing",), ("rtm",))}
    again = feed.scenario(loaded.with_(partitions=3, **apart), days=None)
    done = run(again, out=tmp_path / "run", feed=open_feed(events, "standard"), resume=True)
    assert done.manifest["state_digest"] == plain.manifest["state_digest"]
    assert np.isclose(done.manifest["events_total"], plain.manifest["events_total"])


def steady_rows(days: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return texts of 40 subscribers, one an hour, on the given days of three."""
    rows = []
    for day in days:
        for hour in range(24):
            for n in range(40):
                rows.append(
                    dict.fromkeys(COLUMNS, "")
                    | {
                        "event_id": f"{day}-{hour}-{n}",
                        "source": "t",
                        "event_type": "sms",
                        "event_time": f"2026-03-{4 + day:02d}T{hour:02d}:{n:02d}:07+05:00",
                        "subscriber_id": f"77{n:06d}",
                        "direction": "mo",
                        "counterpart_id": "78000001",
                    }
                )
    return rows


@pytest.mark.fault("E9")
def test_a_gap_of_the_recording_is_nobodys_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a day missing from the files no absence trigger fires; taken for silence, it would.

    Data, places and visits of the lines are drawn all the while, so they are switched off here.
    """
    events = write(tmp_path / "events.csv", steady_rows((0, 2)))
    quiet = {f"subscribers.usage.{k}_per_day": 0 for k in ("data", "location", "visit", "voice")}
    still = {
        "subscribers.mobility.leisure_per_day": 0,
        "subscribers.mobility.employed_share": 0,
        "subscribers.leaving.silences_per_1000_month": 0,
        "catalog.define.offers.return_gift.when": {"return_after_silence": {"days": 1}},
        "rtm.capture.loss": 0,
    }

    def hits(out: Path) -> int:
        loaded = load("city_day").with_(
            subscribers=200, seed=3, **{"population.donor_days": 0, **quiet, **still}
        )
        feed = open_feed(events, "standard")
        done = run(feed.scenario(loaded, days=None), out=out, feed=feed)
        lines = bound_lines(done)
        rows = done.decisions()
        return int(((rows["trigger"] == "return_after_silence") & rows["sub"].isin(lines)).sum())

    assert open_feed(events, "standard").spool.gaps
    assert hits(tmp_path / "bridged") == 0
    monkeypatch.setattr("scenarios.replay.feed.merged", lambda spans: ())
    assert hits(tmp_path / "taken") > 20


def test_hours_of_a_recording_are_local_hours(plain: Run) -> None:
    """Times with an offset of +05:00 are the clock of Astana: the day begins where it began."""
    from sim.record.store import open_run

    assert plain.manifest["start"] == "2026-03-03T05:00"
    with open_run(plain.path) as found:
        first = found.sql("select min(ts_ms) as t from recorded")
    assert int(first.t.iloc[0]) // 3_600_000 == 19
