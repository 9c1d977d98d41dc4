"""Folders of runs that the pages are tried on: none, finished, interrupted, failed, running."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.record.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
TWIN = [sys.executable, "-c", "from scenarios.cli import main; main()"]
TINY = ["run", "city_day", "--subscribers", "2000", "--days", "0.25", "--quiet",
        "--set", "population.donor_days=0"]  # fmt: skip
REASON = "an invariant broke: main money, tick 4"


def twin(*arguments: str, cwd: Path, code: int = 0) -> None:
    """Run a command of `twin` as a person would, and hold it to its exit code."""
    done = subprocess.run(
        [*TWIN, *arguments], capture_output=True, text=True, timeout=600, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == code, done.stderr


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of runs with one that reached its end."""
    folder = tmp_path_factory.mktemp("finished")
    twin(*TINY, "--out", str(folder / "tiny"), cwd=folder)
    return folder


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of runs with one that was stopped half way."""
    folder = tmp_path_factory.mktemp("interrupted")
    twin(*TINY, "--out", str(folder / "half"), "--stop-at", "03:00", cwd=folder, code=130)
    return folder


@pytest.fixture(scope="session")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of runs with one that failed before it wrote anything but its manifest."""
    folder = tmp_path_factory.mktemp("failed")
    part = folder / "broken.part"
    part.mkdir()
    manifest = {"status": "failed", "scenario": "city_day", "seed": 7, "error": REASON}
    (part / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of runs with one whose files are gone but for its manifest."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "holes").mkdir()
    (folder / "holes" / "manifest.json").write_text(json.dumps({"status": "complete"}))
    return folder


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder of runs with one that this process is writing."""
    folder = tmp_path_factory.mktemp("running")
    run = RunFolder.create(folder, "going")
    run.write_status(
        "run", sim_ms=21_600_000, sim_end_ms=86_400_000, events=1_000_000, rate=2_000_000.0,
        eta_s=90.0, memory_bytes=500_000_000, force=True,
    )  # fmt: skip
    yield folder
    run.interrupted()


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder without runs."""
    return tmp_path_factory.mktemp("nothing")
