"""The Ray runtime gives the numbers of the embedded one, whatever process it loses.

Rows A1 to A6 and A11 to A13 of the fault list; nodes and heads are lost in `test_ray_cluster.py`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from sim.core.errors import Interrupted, LimitError
from sim.runtime import ray_env
from sim.runtime.checkpoint import Draft
from sim.runtime.host import RoleFailed
from tests.ray_runs import (
    digest_of,
    failing_host,
    first_time,
    kill_after_calls,
)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ray"),
]
RAY: dict[str, Any] = {"runtime": "ray", "hosts": 2, "placement.checkpoint_s": 0.05}
TICK_OF_KILL = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start one cluster for all runs of this module."""
    ray_env.prepare("")
    from sim.runtime.ray_cluster import RayCluster

    own = RayCluster("", n_actors=3)
    yield own
    own.close()
    assert not own.supervisor.folder.exists()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of the embedded runtime."""
    return digest_of(tmp_path_factory.mktemp("embedded") / "run")["state_digest"]


@pytest.fixture
def hosts_are(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the runtime make hosts of another class."""

    def put(**hooks: Any) -> None:
        from sim.runtime import ray_runtime

        monkeypatch.setattr(ray_runtime, "HostActor", failing_host(**hooks))

    return put


def test_two_hosts_on_ray_give_the_digest_of_one_process(
    tmp_path: Path, cluster: Any, expected: str
) -> None:
    """Same scenario and seed, another runtime, checkpoints on the way: same digest."""
    found = digest_of(tmp_path / "run", **RAY)
    assert found["state_digest"] == expected
    assert found["hosts"] == 2 and found["recoveries"] == 0
    assert found["checkpoints"]["n"] > 0 and found["checkpoints"]["bytes"] > 0


@pytest.mark.fault("A1", "A4", "A12")
@pytest.mark.parametrize("victims", [[0], [0, 1], [2]], ids=["host", "all hosts", "global roles"])
def test_a_killed_process_comes_back_and_the_digest_is_the_same(
    tmp_path: Path, cluster: Any, expected: str, victims: list[int]
) -> None:
    """SIGKILL of a host, of all hosts at once, of the global roles: recovered, nothing moved."""
    killed: list[int] = []

    def kill(index: int, outcome: Any, runtime: Any) -> None:
        if index == TICK_OF_KILL and not killed:
            pids = runtime.pids()
            for k in victims:
                os.kill(pids[k], signal.SIGKILL)
                killed.append(pids[k])

    found = digest_of(tmp_path / "run", on_tick=kill, **RAY)
    assert killed and found["recoveries"] == 1
    assert found["state_digest"] == expected


@pytest.mark.fault("A1")
def test_a_host_that_dies_before_any_checkpoint_begins_again(
    tmp_path: Path, cluster: Any, expected: str
) -> None:
    """Killed by a timer inside a tick, without a checkpoint: from the start, nothing moved."""
    killed: list[threading.Timer] = []

    def kill(index: int, outcome: Any, runtime: Any) -> None:
        if index == 3 and not killed:
            timer = threading.Timer(0.01, os.kill, (runtime.pids()[1], signal.SIGKILL))
            killed.append(timer)
            timer.start()

    options = {**RAY, "placement.checkpoint_s": 0}
    found = digest_of(tmp_path / "run", on_tick=kill, **options)
    assert found["recoveries"] == 1 and found["state_digest"] == expected


@pytest.mark.fault("A2")
def test_a_host_that_dies_while_it_writes_leaves_no_checkpoint(
    tmp_path: Path, cluster: Any, expected: str, hosts_are: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the midst of its part: the digest is the same, and no manifest names the part."""
    mark = tmp_path / "mark"
    committed: list[int] = []
    commit = Draft.commit

    def note(self: Draft, **options: Any) -> int:
        committed.append(self.epoch)
        return commit(self, **options)

    def die() -> None:
        if first_time(mark):
            kill_after_calls("write_array", 30)

    hosts_are(on_save=die)
    monkeypatch.setattr(Draft, "commit", note)
    found = digest_of(tmp_path / "run", **RAY)
    assert mark.exists() and found["recoveries"] == 1
    assert found["state_digest"] == expected
    assert committed and set(committed) == {2}, "the first attempt died before its first manifest"


@pytest.mark.fault("A3")
def test_a_host_that_dies_while_it_restores_restores_again(
    tmp_path: Path, cluster: Any, expected: str, hosts_are: Any
) -> None:
    """A host is killed; the one in its place dies inside its part: recovered twice, same digest."""
    mark = tmp_path / "mark"
    killed: list[int] = []

    def kill(index: int, outcome: Any, runtime: Any) -> None:
        if index == TICK_OF_KILL and not killed:
            killed.append(runtime.pids()[0])
            os.kill(killed[0], signal.SIGKILL)

    def die() -> None:
        if first_time(mark):
            kill_after_calls("read_array", 30)

    hosts_are(on_load=die)
    found = digest_of(tmp_path / "run", on_tick=kill, **RAY)
    assert mark.exists() and found["recoveries"] == 2
    assert found["state_digest"] == expected


@pytest.mark.fault("A5")
def test_a_frozen_host_is_found_by_its_deadline_and_ended(
    tmp_path: Path, cluster: Any, expected: str
) -> None:
    """SIGSTOP: nobody hears of it but who waits; the frozen process is gone afterwards."""
    frozen: list[psutil.Process] = []

    def freeze(index: int, outcome: Any, runtime: Any) -> None:
        if index == TICK_OF_KILL and not frozen:
            frozen.append(psutil.Process(runtime.pids()[1]))
            frozen[0].suspend()

    found = digest_of(tmp_path / "run", on_tick=freeze, **RAY, **{"placement.answer_s": 4})
    assert found["recoveries"] == 1 and found["state_digest"] == expected
    assert not frozen[0].is_running() or frozen[0].status() == psutil.STATUS_ZOMBIE


@pytest.mark.fault("A6")
@pytest.mark.parametrize("runtime", ["ray", "embedded"])
def test_a_role_that_raises_stops_the_run_and_is_not_tried_again(
    tmp_path: Path, cluster: Any, hosts_are: Any, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Division by zero at tick 7: failed, with role, partition, tick and error, at once."""
    from sim.runtime.host import Host

    mark = tmp_path / "ticks"

    def divide(host: Any, index: int) -> None:
        if index == 7:
            with mark.open("a") as handle:
                handle.write(f"{host.partitions[0].index}\n")
            role = host.roles[-1][-1]
            role.begin = lambda tick, inbox: 1 // 0

    if runtime == "ray":
        hosts_are(on_tick=divide)
    else:
        tick = Host.tick
        monkeypatch.setattr(
            Host, "tick", lambda self, at, *rest: (divide(self, at.index), tick(self, at, *rest))[1]
        )
    with pytest.raises(RoleFailed) as caught:
        digest_of(tmp_path / "run", **{**RAY, "runtime": runtime})
    told = str(caught.value)
    assert "role rtm failed in partition" in told and "at tick 7: ZeroDivisionError" in told
    # The run may end before the second host has begun the tick; a further try would be a double.
    ran = mark.read_text().split()
    assert ran and len(ran) == len(set(ran)), "no host ran the tick twice"
    assert '"failed"' in (tmp_path / "run.part" / "manifest.json").read_text()


@pytest.mark.fault("A11")
def test_a_run_goes_on_with_fewer_hosts_and_without_ray(
    tmp_path: Path, cluster: Any, expected: str
) -> None:
    """Stopped on four hosts, then on one, then finished embedded: same digest."""
    from scenarios.runner import run
    from tests.ray_runs import scenario

    with pytest.raises(Interrupted):
        run(scenario(**{**RAY, "hosts": 4, "partitions": 4}), out=tmp_path / "run",
            stop_at_ms=3 * 3_600_000)  # fmt: skip
    with pytest.raises(Interrupted):
        run(scenario(**{**RAY, "hosts": 1}), out=tmp_path / "run", resume=True,
            stop_at_ms=6 * 3_600_000)  # fmt: skip
    assert digest_of(tmp_path / "run", resume=True)["state_digest"] == expected


@pytest.mark.fault("A13")
def test_a_tick_that_kills_its_host_every_time_ends_the_run(
    tmp_path: Path, cluster: Any, expected: str, hosts_are: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4 after the limit of attempts, with tick and partitions; resumed in peace, the same."""

    def exit_at_seven(host: Any, index: int) -> None:
        if index == 7 and host.partitions[0].index == 0:
            os._exit(1)

    with monkeypatch.context():
        hosts_are(on_tick=exit_at_seven)
        with pytest.raises(LimitError, match="tick 7 lost a host 4 times in a row") as caught:
            digest_of(tmp_path / "run", **RAY)
    assert "host 0 with partitions 0 to 0" in str(caught.value) and caught.value.exit_code == 4
    assert digest_of(tmp_path / "run", resume=True)["state_digest"] == expected


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.fault("A1", "A4", "A12")
def test_twenty_five_runs_with_kills_at_any_moment(
    tmp_path: Path, cluster: Any, expected: str
) -> None:
    """One to three kills per run after seeded delays, of any process: 25 of 25 the same."""
    for seed in range(25):
        rng = Random(seed)
        left = [rng.randint(1, 3)]

        def kill(index: int, outcome: Any, runtime: Any, rng: Any = rng, left: Any = left) -> None:
            if left[0] and rng.random() < 0.1:
                left[0] -= 1
                pid = rng.choice(runtime.pids())
                threading.Timer(rng.random() / 10, _kill, (pid,)).start()

        found = digest_of(tmp_path / f"run{seed}", on_tick=kill, **RAY)
        assert found["state_digest"] == expected, seed


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
