"""The run folder: names, lock, status, completion; and the manifest."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sim.core.errors import ScenarioError
from sim.record.files import read_json, write_json
from sim.record.folder import RunFolder, is_live, resumable
from sim.record.manifest import MANIFEST_VERSION, Manifest, MemoryMeter, git_state, tree_cpu_seconds
from sim.record.store import list_runs

HOLD = """
import sys, time, os
from sim.record.folder import RunFolder
folder = RunFolder.create(sys.argv[1], "run")
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(60)
print(folder.path, flush=True)
time.sleep(60)
"""


def holder(parent: Path, how: str = "plain") -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent), how], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip().endswith(".part")
    return process


def test_a_run_is_complete_or_absent(tmp_path):
    """While it is written only the `.part` exists; afterwards only the folder itself."""
    folder = RunFolder.create(tmp_path, "day-1")
    assert folder.path == tmp_path / "day-1.part"
    assert folder.checkpoints.is_dir()
    assert not (tmp_path / "day-1").exists()
    (folder.path / "parts").mkdir()
    folder.write_json("manifest.json", {"status": "complete"})
    final = folder.complete()
    assert final == tmp_path / "day-1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["day-1"]
    assert {p.name for p in final.iterdir()} == {
        "manifest.json", "status.json", "checksums.json", "checkpoints",
    }  # fmt: skip
    assert read_json(final / "status.json")["state"] == "complete"


@pytest.mark.parametrize("asked", [False, True])
def test_checkpoints_stay_only_where_they_were_asked_for(tmp_path, asked):
    """A safety net is taken down when the run is whole; what somebody goes on from stays."""
    folder = RunFolder.create(tmp_path, "day")
    saved = folder.checkpoints / "tick-00000003"
    saved.mkdir()
    (saved / "part.npz").write_bytes(b"lines")
    final = folder.complete(keep_checkpoints=asked)
    assert [p.name for p in (final / "checkpoints").iterdir()] == ["tick-00000003"] * asked


def test_a_name_in_use_gets_a_number(tmp_path):
    """Complete, unfinished by us, unfinished and abandoned: none of them is touched."""
    RunFolder.create(tmp_path, "x").complete()
    mine = RunFolder.create(tmp_path, "x")
    assert mine.name == "x-2"
    assert RunFolder.create(tmp_path, "x").name == "x-3"
    mine.interrupted()
    assert RunFolder.create(tmp_path, "x").name == "x-4"


def test_an_explicit_name_in_use_is_an_error(tmp_path):
    """Exit code 2 for `--out` that exists, complete or not."""
    RunFolder.create(tmp_path, "x", exact=True)
    with pytest.raises(ScenarioError, match="unfinished") as error:
        RunFolder.create(tmp_path, "x", exact=True)
    assert error.value.exit_code == 2
    RunFolder.create(tmp_path, "y", exact=True).complete()
    with pytest.raises(ScenarioError, match="exists"):
        RunFolder.create(tmp_path, "y", exact=True)


@pytest.mark.fault("C7")
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    """A file stands where the folder of runs should be."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(ScenarioError, match="cannot be made"):
        RunFolder.create(tmp_path / "runs", "x")


def test_a_name_taken_meanwhile_loses_nothing(tmp_path):
    """Somebody makes the final folder by hand: the results stay in the `.part`."""
    folder = RunFolder.create(tmp_path, "x")
    (tmp_path / "x").mkdir()
    with pytest.raises(ScenarioError):
        folder.complete()
    assert (tmp_path / "x.part").is_dir()


def test_the_lock_is_seen_by_others_and_dies_with_its_process(tmp_path):
    """A run in another process is live; after kill -9 it can be resumed."""
    process = holder(tmp_path)
    part = tmp_path / "run.part"
    try:
        assert is_live(part)
        assert RunFolder.create(tmp_path, "run").name == "run-2"
        with pytest.raises(ScenarioError, match="another process"):
            RunFolder.resume(part)
        assert resumable(tmp_path, "run") == []
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not is_live(part)
    assert resumable(tmp_path, "run") == [part]
    again = RunFolder.resume(tmp_path / "run")
    assert is_live(part)
    with pytest.raises(ScenarioError):
        RunFolder.resume(part)
    again.complete()
    with pytest.raises(ScenarioError, match="complete"):
        RunFolder.resume(tmp_path / "run")


def test_a_forked_worker_does_not_keep_the_lock(tmp_path):
    """Only the process that made the folder owns it, not the children that outlive it."""
    process = holder(tmp_path, "fork")
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not is_live(tmp_path / "run.part")
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_the_status_is_written_at_most_twice_a_second(tmp_path):
    """The second call within half a second waits, unless it is forced or the run ends."""
    folder = RunFolder.create(tmp_path, "x")
    assert folder.write_status("run", sim_ms=1_000, sim_end_ms=4_000, events=7)
    assert not folder.write_status("run", sim_ms=2_000, sim_end_ms=4_000)
    assert read_json(folder.path / "status.json")["sim_ms"] == 1_000
    assert folder.write_status("run", sim_ms=3_000, sim_end_ms=4_000, rate=12.5, force=True)
    status = read_json(folder.path / "status.json")
    assert status["share"] == 0.75
    assert status["events_per_second"] == 12.5
    assert status["state"] == "running"
    folder.write_status("write", sim_ms=4_000)
    folder.interrupted({"seed": 1})
    assert read_json(folder.path / "status.json")["state"] == "interrupted"
    assert read_json(folder.path / "status.json")["phase"] == "write"
    assert read_json(folder.path / "manifest.json") == {"seed": 1, "status": "interrupted"}


def test_a_failure_leaves_its_reason(tmp_path):
    """The manifest keeps what it knew, and says what went wrong."""
    folder = RunFolder.create(tmp_path, "x")
    folder.write_json("manifest.json", {"seed": 1})
    part = folder.failed(ValueError("no more seats"))
    assert read_json(part / "manifest.json") == {
        "seed": 1, "status": "failed", "error": "ValueError: no more seats",
    }  # fmt: skip
    assert read_json(part / "status.json")["error"] == "ValueError: no more seats"
    assert not is_live(part)


def test_a_watcher_sees_which_run_it_is_and_a_kill_is_told_from_a_run(tmp_path):
    """The manifest stands from the first tick; without a live process the run was killed."""
    folder = RunFolder.create(tmp_path, "x")
    folder.started({"status": "running", "scenario": "city_day", "seed": 7})
    [info] = list_runs(tmp_path)
    assert (info.state, info.manifest["scenario"], info.manifest["seed"]) == (
        "running",
        "city_day",
        7,
    )
    folder._release()
    assert [i.state for i in list_runs(tmp_path)] == ["killed"]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    """A document that cannot be written leaves the old one, and no temporary file."""
    path = tmp_path / "k.json"
    write_json(path, {"a": np.int64(3), "b": np.array([1.5, np.nan]), "c": float("inf")})
    assert json.loads(path.read_text()) == {"a": 3, "b": [1.5, None], "c": None}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text())["a"] == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_json_file_is_named(tmp_path):
    """Half a document, and none."""
    (tmp_path / "a.json").write_text('{"a": ')
    for name in ("a.json", "b.json"):
        with pytest.raises(ScenarioError, match=name):
            read_json(tmp_path / name)


def manifest(**more) -> Manifest:
    return Manifest(
        scenario="day", scenario_hash="ab", seed=3, runtime="embedded", partitions=2, hosts=1,
        subscribers=10, cells=4, tick_s=900, **more,
    )  # fmt: skip


def test_a_manifest_has_every_key_of_the_contract():
    """Speeds follow from the run phase, also over an interruption."""
    made = manifest(phases={"run": 1.5}, cpu_seconds_before=2.0, extra={"represents": 7})
    made.add_phase("run", 0.5)
    with made.phase("write"):
        time.sleep(0.01)
    out = made.build(
        "complete", sim_seconds=86_400, events_total=1_000, cpu_seconds=1.0, peak_bytes=5,
        state_bytes_per_subscriber=99.5, state_digest=255, audit={"checks": 9, "failures": 0},
    )  # fmt: skip
    assert set(out) >= {
        "status", "scenario", "scenario_hash", "seed", "runtime", "partitions", "hosts",
        "subscribers", "cells", "tick_s", "sim_seconds", "phases", "wall_seconds",
        "events_total", "events_per_second", "sim_speed", "cpu_seconds", "peak_rss_bytes",
        "state_bytes_per_subscriber", "state_digest", "audit", "data", "versions", "git",
    }  # fmt: skip
    assert set(out["phases"]) == {"load", "build", "compile", "run", "write"}
    assert out["events_per_second"] == 500
    assert out["sim_speed"] == 43_200
    assert out["cpu_seconds"] == 3.0
    assert out["state_digest"] == "00000000000000ff"
    assert out["phases"]["write"] > 0
    assert out["represents"] == 7
    assert out["manifest_version"] == MANIFEST_VERSION
    assert {"python", "numpy", "numba"} <= set(out["versions"])


def test_a_folder_outside_git_has_no_commit(tmp_path):
    """Null, not an error, and not a made-up commit."""
    assert git_state(tmp_path / "nowhere") is None


def test_the_meter_sees_the_memory_of_children():
    """A child that holds 60 MB is in the sum, and stays in the peak when it is gone."""
    code = "import time; a = bytearray(60_000_000); a[::4096] = b'x' * len(a[::4096]); " \
           "print(1, flush=True); time.sleep(30)"  # fmt: skip
    with MemoryMeter(every_s=0.02) as meter:
        before = meter.sample(exact=True)
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        assert meter.sample(exact=True) - before > 55_000_000
        child.kill()
        child.wait()
        assert meter.sample(exact=True) - before < 55_000_000
        assert meter.peak_bytes - before > 55_000_000
        sum(range(300_000))
        assert meter.cpu_seconds() > 0
    assert tree_cpu_seconds() > 0
