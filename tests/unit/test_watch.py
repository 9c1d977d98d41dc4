"""A run is followed from another terminal until it ends, with the line and code of the run."""

import io
import time
from pathlib import Path

import pytest

from scenarios import cli, cli_watch
from scenarios.progress import Lines
from scenarios.telling import Teller
from sim.core.errors import LimitError, ScenarioError
from sim.record.files import read_json
from sim.record.folder import RunFolder


class Meter:
    """Memory that never changes."""

    now_bytes = 3 * 2**30


def teller(folder: RunFolder, progress: Lines | None = None) -> Teller:
    """Tell of a day that begins at midnight."""
    return Teller(
        folder, progress=progress, meter=Meter(), start="2026-03-04T00:00", end_ms=86_400_000
    )


def test_the_second_terminal_shows_the_line_of_the_first(tmp_path: Path) -> None:
    """Building counts lines, running shows the clock, rate, time left and memory: both alike."""
    folder = RunFolder.create(tmp_path, "r")
    stream = io.StringIO()
    told = teller(folder, Lines("2026-03-04T00:00", stream=stream, every_s=0))
    told.phase("build")
    told.part(50_000, 200_000, "lines")
    time.sleep(0.6)
    told.part(50_000, 200_000, "lines")
    build = cli_watch.now_of(read_json(folder.path / "status.json")).text()
    assert "100.00 k of 200.00 k lines   50 %  left 0:0" in build and "3.0 GiB" in build
    assert stream.getvalue().splitlines()[-1] == build
    told.phase("run")
    told.tick(sim_ms=900_000, events=100_000, done=1, recoveries=0)
    time.sleep(0.6)
    told.tick(sim_ms=43_200_000, events=6_000_000, done=48, recoveries=0)
    run = cli_watch.now_of(read_json(folder.path / "status.json")).text()
    assert run.startswith("run   Wed 03-04 12:00   50 %  ")
    assert stream.getvalue().splitlines()[-1][:24] == run[:24]
    assert "events/s  left 0:0" in run and run.endswith("3.0 GiB")
    told.phase("write")
    assert cli_watch.now_of(read_json(folder.path / "status.json")).text() == "write    0:00"
    folder.interrupted({})


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("complete", 0, "complete: "),
        ("interrupted", 130, "goes on with --resume"),
        ("limit", 4, "(pool is full)"),
        ("internal", 1, "(OSError: broken)"),
    ],
)
def test_watching_ends_with_the_run_and_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str, code: int, words: str
) -> None:
    """While the watcher sleeps the run ends, each time in another way."""
    folder = RunFolder.create(tmp_path, "r")
    teller(folder).phase("run")
    part = folder.path
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) < 2:
            return
        if end == "complete":
            folder.write_json("manifest.json", {"status": "complete"})
            for name in ("kpis.json", "scenario.yaml", "metrics.parquet", "digests.parquet",
                         "audit.parquet"):  # fmt: skip
                folder.write_text(name, "{}")
            folder.complete()
        elif end == "interrupted":
            folder.interrupted({})
        else:
            folder.failed(LimitError("pool is full") if end == "limit" else OSError("broken"), {})

    stream = io.StringIO()
    assert cli_watch.follow(part, stream=stream, sleep=nap) == code
    assert len(naps) == 2 and stream.getvalue().startswith("run ")
    assert words in capsys.readouterr().out


def test_a_killed_run_is_told_and_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its status still says `running`, but nobody holds its lock."""
    part = tmp_path / "r.part"
    part.mkdir()
    (part / "status.json").write_text('{"state": "running", "phase": "run"}')
    assert cli_watch.follow(part, quiet=True) == 1
    assert capsys.readouterr().out.startswith("killed: ")


def test_the_youngest_run_under_way_is_taken_or_its_lack_is_told(tmp_path: Path) -> None:
    """Without a name: the one that is being written; without any: exit code 2."""
    with pytest.raises(ScenarioError, match="no run is under way"):
        cli_watch.find(None, tmp_path)
    assert cli.run_cli(["watch", "--runs", str(tmp_path)]) == 2
    folder = RunFolder.create(tmp_path, "r")
    teller(folder).phase("build")
    assert cli_watch.find(None, tmp_path) == folder.path
    assert cli_watch.find("r", tmp_path) == folder.path
    folder.interrupted({})
    assert cli.run_cli(["watch", "r", "--runs", str(tmp_path), "--quiet"]) == 130


def test_a_missed_target_leaves_a_complete_run_and_exit_code_4(tmp_path: Path) -> None:
    """The gate fails the command, not the results: the folder is whole and can be reported."""
    from scenarios import load
    from sim.record.store import open_run

    wanted = {"population.donor_days": 0, "targets.decision_p99_ms": 1.0}
    loaded = load("city_day").with_(subscribers=2_000, days=0.1, **wanted)
    with pytest.raises(LimitError, match="target missed"):
        loaded.run(out=tmp_path / "day")
    with open_run(tmp_path / "day") as run:
        assert run.manifest["status"] == "complete"
    assert cli_watch.follow(tmp_path / "day.part", quiet=True) == 4


def test_the_live_page_shows_the_lines_that_are_built() -> None:
    """While a run is built its bar is the share of lines; later that of the simulated time."""
    live = pytest.importorskip("dashboard.live")
    part = {"done": 25_000, "total": 100_000, "of": "lines"}
    share, words = live.progress({"phase": "build", "phase_part": part, "sim_ms": 0})
    assert share == 0.25 and words.endswith(" lines")
    told = dict(live.figures({"phase_part": part, "eta_s": 5.0, "sim_end_ms": 86_400_000}))
    assert told["times real time"] == live.NONE and told["time left"] == "5 s"
    share, words = live.progress({"share": 0.5, "sim_ms": 43_200_000, "sim_end_ms": 86_400_000})
    assert share == 0.5 and words == "0.5 days of 1 day"
    assert live.progress({})[1] == "not begun"
