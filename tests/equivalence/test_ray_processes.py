"""What a run on Ray does when its driver, its head, its terminal or a node of its cluster goes.

Rows A7 to A10, B2, B3, B7 and C11 of the fault list.

One run of the command line is stopped again and again, each time in another way, and gone on with;
it ends as one that nothing happened to.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sim.core.errors import ScenarioError
from sim.runtime.ray_supervisor import find
from tests.ray_runs import digest_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("ray"),
]
GONE_S = 75.0
"""Time after which nothing of a dead run may be left, s."""
STOPPED_S = 90.0
"""Time within which a run must have stopped once the head of its cluster is gone, s."""


class Twin:
    """One `twin run` on Ray in a process group of its own, slow enough to be stopped on the way.

    Attributes
    ----------
    below : every process that was seen below it
    """

    def __init__(self, folder: Path, *, resume: bool, **environment: str) -> None:
        self.folder = folder
        self.temp = folder / "tmp"
        self.temp.mkdir(exist_ok=True)
        settings = ["population.donor_days=0", "record.sample=0.1", "placement.checkpoint_s=0.5"]
        command = [
            sys.executable, "-c", "from scenarios.cli import main; main()", "run", "city_day",
            "--subscribers", "2000", "--days", "0.5", "--seed", "5", "--runtime", "ray",
            "--hosts", "2", "--out", str(folder / "run"), "--live", "1500", "--quiet",
            *(word for setting in settings for word in ("--set", setting)),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command + ["--resume"] * resume, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, cwd=Path(__file__).parents[2],
            env={**os.environ, "TMPDIR": str(self.temp), "HOME": str(folder), **environment},
        )  # fmt: skip
        self.below: set[psutil.Process] = set()

    def until_tick(self, tick: int) -> None:
        """Wait until some ticks have been run, or the run has ended."""
        wanted = tick * 15 * 60_000
        status = self.folder / "run.part" / "status.json"
        while self.process.poll() is None:
            self.below |= set(psutil.Process(self.process.pid).children(recursive=True))
            try:
                if json.loads(status.read_text())["sim_ms"] >= wanted:
                    return
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.1)
        raise AssertionError(self.process.communicate())

    def head(self) -> psutil.Process:
        """Return the head process of its cluster."""
        (head,) = [p for p in self.below if p.is_running() and p.name() == "gcs_server"]
        return head

    def end(self, timeout_s: float) -> tuple[int, str]:
        """Wait for its end; return exit code and what it said on standard error."""
        _, said = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, said

    def left(self, within_s: float = GONE_S) -> list[str]:
        """Return the processes, and the folders in the temporary folder, that stay."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            found = [f"{p.pid}" for p in self.below if find((p.pid, p.create_time()))]
            found += [str(path) for path in self.folders()]
            if not found:
                return []
            time.sleep(0.2)
        return found

    def folders(self) -> list[Path]:
        """Return the temporary folders of clusters of ours."""
        return list(self.temp.glob("twin-ray-*"))


@pytest.fixture
def started() -> Iterator[list[Twin]]:
    """Hold what was started, and end it whatever happens."""
    twins: list[Twin] = []
    yield twins
    for twin in twins:
        twin.process.kill()
        for process in twin.below:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a folder whose path is short enough for the sockets of Ray."""
    path = Path(tempfile.mkdtemp(prefix="tw", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def check_doors(twin: Twin) -> None:
    """Every listening socket is on loopback; folder and token are nobody else's."""
    addresses = []
    for process in twin.below:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        addresses += [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    assert len(addresses) > 3 and set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    (folder,) = twin.folders()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list(twin.folder.rglob("auth_token")), "no file holds the token"


QUICK = ("Ctrl-C twice", "SIGTERM to the group", "the head is killed")
WHOLE = ("SIGTERM to the group", "Ctrl-C twice", "the driver is killed", "the head is killed")


def stop(twin: Twin, how: str) -> None:
    """Stop a run and check what it says."""
    if how == "Ctrl-C twice":
        os.kill(twin.process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.kill(twin.process.pid, signal.SIGINT)
        assert twin.end(30)[0] == 130
    elif how == "SIGTERM to the group":
        os.killpg(twin.process.pid, signal.SIGTERM)
        code, said = twin.end(60)
        assert code == 130 and "--resume" in said
    elif how == "the driver is killed":
        twin.process.kill()
        assert twin.end(10)[0] == -signal.SIGKILL
    else:
        twin.head().kill()
        code, said = twin.end(STOPPED_S)
        assert code == 4 and "head process of Ray is gone" in said and "--resume" in said


@pytest.mark.fault("A9", "A10", "B2", "B3", "B7", "C11")
@pytest.mark.parametrize(
    "ways", [QUICK, pytest.param(WHOLE, marks=pytest.mark.soak)], ids=["quick", "whole"]
)
def test_a_run_is_stopped_in_every_way_and_goes_on_to_the_same_end(
    short_path: Path, started: list[Twin], ways: tuple[str, ...]
) -> None:
    """Stopped and resumed again and again, the next start at once: the digest is the same.

    Traces of another cluster that is dead lie about all the while.  In the end nothing of ours is
    left: no process, no file outside the run.
    """
    expected = digest_of(short_path / "embedded")["state_digest"]
    stale = short_path / "tmp" / "ray" / "ray_current_cluster"
    stale.parent.mkdir(parents=True)
    stale.write_text("127.0.0.1:1")
    for k, how in enumerate(ways):
        twin = Twin(
            short_path, resume=k > 0, RAY_ADDRESS="127.0.0.1:1", RAY_TMPDIR=str(short_path / "tmp")
        )
        started.append(twin)
        twin.until_tick(4 * (k + 1))
        if k == 0:
            check_doors(twin)
        stop(twin, how)
    assert [twin.left() for twin in started] == [[] for _ in ways]
    assert list((short_path / "tmp").iterdir()) == [stale.parent]
    assert list(stale.parent.iterdir()) == [stale], "what is another's stays as it was"
    assert digest_of(short_path / "run", resume=True)["state_digest"] == expected


@pytest.mark.fault("A10")
def test_a_cluster_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    """Exit 2 with the address and what is wanted; Ray itself would try for minutes."""
    pytest.importorskip("ray")
    with pytest.raises(ScenarioError, match=r"ray_address.*127\.0\.0\.1:1") as caught:
        digest_of(tmp_path / "run", runtime="ray", **{"placement.ray_address": "127.0.0.1:1"})
    assert caught.value.exit_code == 2


@pytest.mark.fault("A7", "A8")
def test_a_lost_node_and_a_node_that_is_cut_off_change_no_number(tmp_path: Path) -> None:
    """A raylet is killed, another is frozen and mended, on a cluster of three nodes and a head.

    Hosts go to other nodes; the processes of the frozen node run on meanwhile, of an attempt that
    is over; digests are those of a run that nothing happened to.
    """
    expected = digest_of(tmp_path / "embedded")["state_digest"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.ray_cluster_runs", str(tmp_path)],
        capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for name in ("killed", "cut off"):
        found = told[name]
        assert found["digest"] == expected, name
        assert found["recoveries"] >= 1 and found["attempts"] >= 2, name
        assert found["lost"] in found["nodes"][0] and found["lost"] not in found["nodes"][1], name
    assert told["cut off"]["ghost_ran_on"]
