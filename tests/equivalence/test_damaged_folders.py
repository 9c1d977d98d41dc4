"""Damage to what a run keeps on disk: rows C1 to C10 of the fault list, on whole runs.

One tiny run goes through; a second is stopped on the way with three checkpoints. Copies of the
second are damaged in every way there is and resumed: each ends as the first, or says what is wrong.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios import load
from scenarios.cli import run_cli
from scenarios.runner import run
from sim.core.errors import Interrupted, LimitError, ScenarioError
from sim.record.folder import RunFolder, resumable
from sim.record.store import list_runs, open_run
from sim.runtime import checkpoint
from tests import checkpoints
from tests.checkpoints import part_of

HOUR = 3_600_000
MIB = 1 << 20
OPTIONS: dict[str, Any] = {
    "subscribers": 200, "days": 0.25, "partitions": 2, "population.donor_days": 0,
    "record.sample": 0.5, "placement.checkpoint_s": 0.01,
}  # fmt: skip
SAME = ("kpis.json", "metrics.parquet", "decisions.parquet", "contacts.parquet", "audit.parquet",
        "digests.parquet", "cells.parquet", "events/activity-0000.parquet")  # fmt: skip


def scenario() -> Any:
    """Return the tiny day that every test here runs."""
    return load("city_day").with_(**OPTIONS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the run that nothing happened to."""
    return run(scenario(), out=tmp_path_factory.mktemp("plain") / "run").path


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a run that was stopped half-way, with three checkpoints."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        run(scenario(), out=folder / "run", stop_at_ms=3 * HOUR)
    part = folder / "run.part"
    assert len(list((part / "checkpoints").iterdir())) == 3
    return part


def copy(stopped: Path, folder: Path) -> list[Path]:
    """Copy the stopped run; return its checkpoints, the newest first."""
    shutil.copytree(stopped, folder / "run.part")
    return sorted((folder / "run.part" / "checkpoints").iterdir(), reverse=True)


def resume(folder: Path, **more: Any) -> Path:
    """Go on with the run of a folder."""
    return run(scenario(), out=folder / "run", resume=True, **more).path


def assert_same(found: Path, plain: Path) -> None:
    """Compare digests, figures and every recorded byte."""
    manifests = [json.loads((p / "manifest.json").read_text("utf-8")) for p in (found, plain)]
    assert manifests[0]["state_digest"] == manifests[1]["state_digest"]
    assert manifests[0]["audit"] == manifests[1]["audit"]
    for name in SAME:
        assert (found / name).read_bytes() == (plain / name).read_bytes(), name


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flip one bit of a file in place."""
    with path.open("r+b") as handle:
        handle.seek(at)
        (value,) = handle.read(1)
        handle.seek(at)
        handle.write(bytes([value ^ (1 << bit)]))


def seal(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a manifest says, and seal it as if that were right."""
    content = json.loads(json.loads(path.read_text("utf-8"))["content"])
    change(content)
    text = json.dumps(content)
    sealed = {"seal": hashlib.sha256(text.encode()).hexdigest(), "content": text}
    path.write_text(json.dumps(sealed), "utf-8")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a part cut to a half": lambda p: os.truncate(
        part_of(p, -1), part_of(p, -1).stat().st_size // 2
    ),
    "a part of nothing": lambda p: os.truncate(part_of(p, 0), 0),
    "a bit of a part": lambda p: flip(part_of(p, 100), 20_000, 5),
    "no manifest": lambda p: (p / checkpoint.MANIFEST).unlink(),
    "an empty manifest": lambda p: os.truncate(p / checkpoint.MANIFEST, 0),
    "half a manifest": lambda p: os.truncate(p / checkpoint.MANIFEST, 300),
    "a list for a manifest": lambda p: (p / checkpoint.MANIFEST).write_text("[]") and None,
    "an object for a manifest": lambda p: (p / checkpoint.MANIFEST).write_text("{}") and None,
}


@pytest.mark.slow
@pytest.mark.fault("C1", "C2", "C3")
@pytest.mark.parametrize("what", list(DAMAGE))
def test_a_damaged_newest_checkpoint_is_replaced_by_the_one_before(
    tmp_path: Path, stopped: Path, plain: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """The run ends as the one that nothing happened to, and a warning names what is damaged."""
    newest = copy(stopped, tmp_path)[0]
    DAMAGE[what](newest)
    assert_same(resume(tmp_path), plain)
    (warning,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert newest.name in warning


@pytest.mark.fault("C2")
def test_no_flipped_bit_of_a_checkpoint_gets_through(tmp_path: Path, stopped: Path) -> None:
    """Fifty bits at seeded places of parts and manifest: each is found, or changes no value."""
    newest, before, _ = copy(stopped, tmp_path)
    told = json.loads(json.loads((before / checkpoint.MANIFEST).read_text())["content"])["run"]
    rng = random.Random(5)
    files = sorted(newest.iterdir())
    for _ in range(50):
        path = rng.choice(files)
        at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, at, bit)
        tick, *_, warnings = checkpoints.load(newest.parent, run=told)
        found = tick == int(before.name[-8:]) and len(warnings) == 1
        assert found or path.name == checkpoint.MANIFEST, (path.name, at, bit)
        flip(path, at, bit)
    assert checkpoints.load(newest.parent, run=told)[0] == int(newest.name[-8:])


SHAPES = [
    '{"seal": [], "content": "{}"}', '"x"', "null", "7", '{"seal": "", "content": 5}', "SEALED {}",
    "SEALED []", 'SEALED {"tick": 1, "run": {}, "parts": 5}',
    'SEALED {"tick": 1, "run": [], "parts": [{}]}',
]  # fmt: skip


@pytest.mark.fault("C3")
@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_a_manifest_of_another_shape_is_left_out(tmp_path: Path, stopped: Path, shape: str) -> None:
    """Valid JSON that is no manifest, under a right seal too, is a damaged manifest in words."""
    newest, before, _ = copy(stopped, tmp_path)
    told = json.loads(json.loads((before / checkpoint.MANIFEST).read_text())["content"])["run"]
    text = shape.removeprefix("SEALED ")
    if text != shape:
        digest = hashlib.sha256(text.encode()).hexdigest()
        shape = json.dumps({"seal": digest, "content": text})
    (newest / checkpoint.MANIFEST).write_text(shape, "utf-8")
    tick, _, _, warnings = checkpoints.load(newest.parent, run=told)
    assert tick == int(before.name[-8:]) and newest.name in warnings[0]


def test_a_manifest_of_brackets_is_left_out(tmp_path: Path, stopped: Path) -> None:
    """A hundred thousand open brackets are a damaged manifest, in words."""
    newest, before, _ = copy(stopped, tmp_path)
    told = json.loads(json.loads((before / checkpoint.MANIFEST).read_text())["content"])["run"]
    (newest / checkpoint.MANIFEST).write_text("[" * 100_000, "utf-8")
    assert checkpoints.load(newest.parent, run=told)[0] == int(before.name[-8:])


@pytest.mark.fault("C4")
def test_where_no_checkpoint_is_whole_the_run_stops_and_lists_them(
    tmp_path: Path, stopped: Path
) -> None:
    """Exit 2 with the defect of each of the three; nothing is started afresh by itself."""
    for path in copy(stopped, tmp_path):
        os.truncate(part_of(path, -1), 100)
    with pytest.raises(ScenarioError) as caught:
        resume(tmp_path)
    assert caught.value.exit_code == 2
    assert str(caught.value).count(" is damaged") == 3
    assert "start the run afresh" in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert len(list((tmp_path / "run.part" / "checkpoints").iterdir())) == 3


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow past a size, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.fault("C5")
@pytest.mark.parametrize("limit", [100_000, 500])
def test_a_disk_that_is_full_while_saving_stops_the_run_to_be_resumed(
    tmp_path: Path, plain: Path, limit: int
) -> None:
    """Exit 4 with the bytes that are free; the checkpoint before is whole; resumed, it is the same.

    The smaller limit leaves no room even for the word that the run was stopped.
    """
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(index: int, outcome: Any, runtime: Any) -> None:
        if index == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, whole[1]))

    try:
        with pytest.raises(LimitError, match=r"free.*--resume") as caught:
            run(scenario(), out=tmp_path / "run", on_tick=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    assert caught.value.exit_code == 4
    assert not (tmp_path / "run").exists()
    assert sorted((tmp_path / "run.part" / "checkpoints").glob("tick-*"))[-1].name < "tick-00000013"
    assert_same(resume(tmp_path), plain)


@pytest.mark.fault("C5")
def test_a_full_disk_while_saving_is_told_with_the_bytes_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes room must know how much: bytes wanted and bytes free."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    part = {"first": 0, "last": 4, "roles": {"a": {"state": {"x": np.arange(4)}}}, "waiting": {}}
    with pytest.raises(LimitError, match="wanted.*free"):
        checkpoints.save(tmp_path, tick=1, run={}, partitions=[part], rest={})


@pytest.mark.slow
@pytest.mark.fault("C6")
@pytest.mark.parametrize("limit", [3 * MIB, 100_000, 2_000, 0])
def test_a_disk_that_is_full_while_writing_leaves_nothing_that_looks_complete(
    tmp_path: Path, stopped: Path, plain: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report, a table, a manifest or no byte fits: exit 4, no run, and more room gives it."""
    from sim.record.recorder import Recorder

    copy(stopped, tmp_path)
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    finish = Recorder.finish

    def full(self: Recorder) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, whole[1]))
        return finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "finish", full)
        try:
            with pytest.raises(LimitError, match=r"disk is full.*free.*--resume") as caught:
                resume(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    assert caught.value.exit_code == 4
    assert [p.name for p in tmp_path.iterdir()] == ["run.part"]
    assert [info.state for info in list_runs(tmp_path)] in (["interrupted"], ["killed"])
    assert_same(resume(tmp_path), plain)


@pytest.mark.fault("C7")
@pytest.mark.parametrize("how", ["runs is a file", "out is a file", "part is a file", "no write"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_build(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 at once, with the path; the geography is not even read, and no file is changed."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the build began")

    monkeypatch.setattr("scenarios.runner.load_geography", never)
    target = tmp_path / "run"
    if how == "runs is a file":
        (tmp_path / "runs").write_text("mine")
        target = tmp_path / "runs" / "run"
    elif how == "out is a file":
        target.write_text("mine")
    elif how == "part is a file":
        (tmp_path / "run.part").write_text("mine")
    else:
        # Tests may run as root, whom no mode stops: the call that would fail is made to fail.
        def denied(self: Path, *_: Any, **__: Any) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

        monkeypatch.setattr(Path, "mkdir", denied)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ScenarioError) as caught:
        run(scenario(), out=target)
    assert caught.value.exit_code == 2 and str(tmp_path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert all(path.read_text() == "mine" for path in before)


@pytest.mark.fault("C7")
def test_a_folder_in_which_no_lock_can_be_made_is_refused(tmp_path: Path) -> None:
    """A folder stands where the lock of an interrupted run should be."""
    part = RunFolder.create(tmp_path, "run").interrupted()
    (part / ".lock").mkdir()
    with pytest.raises(ScenarioError, match="cannot be made or written"):
        RunFolder.resume(part)


@pytest.mark.fault("C8")
@pytest.mark.parametrize("name", ["metrics.parquet", "kpis.json", "manifest.json", "audit.parquet"])
def test_a_result_that_was_changed_later_is_told_wherever_it_is_read(
    tmp_path: Path, plain: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bit of a complete run: `twin report` ends with exit 2 and the name of the file.

    Markdown and JSON, which do not read every table, may also show what they show of a whole run.
    """
    path = tmp_path / "run"
    shutil.copytree(plain, path)
    whole = {}
    for form in ("md", "json"):
        assert run_cli(["report", str(path), "--format", form]) == 0
        whole[form] = capsys.readouterr().out
    rng = random.Random(name)
    page = (path / "report.html").read_bytes()
    for _ in range(5):
        at, bit = rng.randrange((path / name).stat().st_size), rng.randrange(8)
        flip(path / name, at, bit)
        for form in ("html", "md", "json"):
            code = run_cli(["report", str(path), "--format", form])
            told = capsys.readouterr()
            if code == 0 and form != "html":
                assert told.out == whole[form], (at, bit, form)  # it shows nothing of that file
            else:
                assert code == 2 and told.out == "", (at, bit, form)
                assert name in told.err and ("damaged" in told.err or "cannot be" in told.err)
        flip(path / name, at, bit)
    assert (path / "report.html").read_bytes() == page
    assert run_cli(["report", str(path)]) == 0
    capsys.readouterr()


@pytest.mark.fault("C8")
def test_a_query_over_a_changed_table_is_refused_and_over_others_answered(
    tmp_path: Path, plain: Path
) -> None:
    """Fifty flipped bits of `metrics.parquet`: none gives a number, `verify` names the file."""
    path = tmp_path / "run"
    shutil.copytree(plain, path)
    rng = random.Random(8)
    for _ in range(50):
        at, bit = rng.randrange(4, (path / "metrics.parquet").stat().st_size - 8), rng.randrange(8)
        flip(path / "metrics.parquet", at, bit)
        try:
            opened = open_run(path)
        except ScenarioError as error:  # the footer itself
            assert "metrics.parquet" in str(error)
        else:
            with opened as found:
                with pytest.raises(ScenarioError, match=r"metrics\.parquet"):
                    found.sql("SELECT sum(value) FROM METRICS")
                assert len(found.sql("SELECT * FROM audit"))
                assert found.verify() == ["metrics.parquet"]
        flip(path / "metrics.parquet", at, bit)
    with open_run(path) as found:
        assert found.verify() == [] and len(found.metrics())


def test_a_report_that_is_made_anew_is_no_damage(tmp_path: Path, plain: Path) -> None:
    """`twin report` may rewrite its page in a complete run: the run is whole all the same."""
    path = tmp_path / "run"
    shutil.copytree(plain, path)
    (path / "report.html").write_text("another page")
    with open_run(path) as found:
        assert found.verify() == []


@pytest.mark.fault("C9")
def test_five_hundred_checkpoints_take_the_room_of_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes on disk after 500 are those after the third, and nothing temporary is left."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    part = {"first": 0, "last": 4, "roles": {"a": {"state": {"x": np.arange(4)}}}, "waiting": {}}
    sizes = []
    for tick in range(500):
        checkpoints.save(
            tmp_path, tick=1_000 + tick, run={"seed": 1}, partitions=[part], rest={"globals": {}}
        )
        if tick in (2, 499):
            sizes.append(sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()))
    assert sizes[0] == sizes[1] and len(list(tmp_path.iterdir())) == 3


@pytest.mark.fault("C10")
def test_a_checkpoint_of_another_version_is_refused_by_name(tmp_path: Path, stopped: Path) -> None:
    """Another schema hash in a manifest that is sealed well: exit 2, with both hashes."""
    for path in copy(stopped, tmp_path):
        seal(path / checkpoint.MANIFEST, lambda told: told["run"].update(schema_hash="of old"))
    with pytest.raises(ScenarioError, match="schema_hash") as caught:
        resume(tmp_path)
    assert caught.value.exit_code == 2 and "of old" in str(caught.value)
    assert resumable(tmp_path, "run") == [tmp_path / "run.part"]
