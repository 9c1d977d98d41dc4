"""What holds up the Ray runtime and needs no cluster: fences, placing, the supervisor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.core.errors import HostLost, InvariantError, LimitError, ScenarioError
from sim.core.partition import make_partitions
from sim.runtime import checkpoint, ray_supervisor
from sim.runtime.coordinator import due_at
from sim.runtime.host import Blame, RoleFailed
from sim.runtime.parts import flatten
from sim.runtime.ray_actors import Fence, HostActor, LinesActor
from tests import checkpoints
from tests.factories import ticks_of, tiny_world

FENCE = Fence("run", 2)


@pytest.mark.fault("A8")
def test_a_host_answers_each_tick_of_its_attempt_once() -> None:
    """The same tick again gives the same answer and moves nothing; all others are errors."""
    world = tiny_world(subscribers=60)
    actor = HostActor(world, make_partitions(world.n_lines, 1), FENCE)
    arrays = world.make_globals().arrays()
    first, second, third = ticks_of(world, 3)

    def call(tick: Any, fence: Fence = FENCE) -> Any:
        return actor.tick(fence, tick, {}, arrays, (), None)

    answer, digest = call(first), actor.digest()
    assert call(first) is answer and actor.digest() == digest
    call(second)
    for tick, fence in (
        (first, FENCE), (third, Fence("run", 1)), (third, Fence("run", 3)), (third, Fence("a", 2)),
    ):  # fmt: skip
        with pytest.raises(InvariantError):
            call(tick, fence)
    call(third)


def test_a_host_that_went_back_does_the_next_tick_and_no_other() -> None:
    """After a checkpoint of tick 4 nobody may ask for tick 4 again: its answer is not there."""
    actor = LinesActor(None, FENCE)
    actor.back_to(4)
    with pytest.raises(InvariantError, match="out of turn"):
        actor.admit(FENCE, 4)
    assert actor.admit(FENCE, 5)


@pytest.mark.fault("A2", "A8")
def test_what_an_earlier_attempt_still_writes_changes_no_checkpoint(tmp_path: Path) -> None:
    """A ghost writes the same partition of the same tick before, while and after the living."""
    lines: Any = {"roles": {"a": {"state": {"x": np.arange(4)}}}}
    wrong: Any = {"roles": {"a": {"state": {"x": -np.arange(4)}}}}
    ghost = checkpoint.Draft(tmp_path, 7, 1).open()
    ghost.write_lines([(0, 4, flatten(wrong))])
    draft = checkpoint.Draft(tmp_path, 7, 2).open()
    with pytest.raises(ScenarioError, match="storage that every machine"):
        ghost.write_lines([(0, 4, flatten(wrong))])
    parts = draft.write_lines([(0, 4, flatten(lines))])
    ghost.path.mkdir()
    ghost.write_lines([(0, 4, flatten(wrong))])
    draft.commit(run={}, parts=parts, rest={})
    ghost.write_lines([(0, 4, flatten(wrong))])
    _, (found,), _, warnings = checkpoints.load(tmp_path, run={})
    assert warnings == []
    assert found["roles"]["a"]["state"]["x"].tolist() == [0, 1, 2, 3]
    checkpoint.Draft(tmp_path, 8, 2).open()
    assert not ghost.path.exists(), "the next checkpoint clears what ghosts left"


def test_a_part_that_the_coordinator_does_not_see_is_no_part(tmp_path: Path) -> None:
    """Hosts on other machines must write to common storage: the message says so."""
    draft = checkpoint.Draft(tmp_path, 7, 1).open()
    (part,) = draft.write_lines([(0, 1, flatten({"roles": {}}))])
    (draft.path / part.file).unlink()
    with pytest.raises(ScenarioError, match="storage that every machine sees"):
        draft.commit(run={}, parts=[part], rest={})
    assert not draft.final.exists()


def test_an_attempt_never_gets_a_number_twice(tmp_path: Path) -> None:
    """Numbers rise over processes; a damaged file begins again rather than fail."""
    path = tmp_path / ".epoch"
    assert [checkpoint.claim_epoch(path) for _ in range(3)] == [1, 2, 3]
    path.write_text("x")
    assert checkpoint.claim_epoch(path) == 1


def test_an_exception_of_a_role_is_named_and_the_twins_own_are_not() -> None:
    """Role, partition, tick and error; a broken invariant stays what it is."""
    with pytest.raises(RoleFailed, match="role rtm failed in partition 3 at tick 7: KeyError"):
        with Blame(7, 3, "role rtm"):
            raise KeyError("x")
    with pytest.raises(InvariantError), Blame(7, 3, "role rtm"):
        raise InvariantError("broken")


@settings(max_examples=200)
@given(took=st.lists(st.floats(0.01, 300), min_size=2, max_size=8), share=st.floats(0.01, 1))
def test_checkpoints_keep_their_share_of_the_time(took: list[float], share: float) -> None:
    """From the second one on, all checkpoints together never take more than their share, where the
    next one takes as long as was expected."""
    spent, now = took[0], 1_000.0 + took[0]
    for next_s in took[1:]:
        due = max(now, due_at(1_000.0, spent, next_s, share))
        spent, now = spent + next_s, due + next_s
        assert spent / (now - 1_000.0) <= share + 1e-9


@pytest.mark.parametrize("where", ["loop", "back"])
@pytest.mark.fault("A13")
def test_a_tick_that_loses_hosts_for_ever_ends_the_run(where: str) -> None:
    """In the tick itself, or on the way back to it: after the limit of attempts, with the tick."""
    from scenarios.recovery import ATTEMPTS_MAX, Recovery

    calls: list[str] = []

    def lose(*_: Any) -> Any:
        calls.append("lost")
        raise HostLost("host 1")

    def fine(*_: Any) -> int:
        return 0

    recorder = SimpleNamespace(tick=6, state=dict, restore=fine)
    saver: Any = SimpleNamespace(
        recorder=recorder, saved=lambda: True, new_epoch=lambda: 1, events=0,
        runtime=SimpleNamespace(rebuild=fine), go_back=lose if where == "back" else fine,
    )  # fmt: skip
    loop: Any = SimpleNamespace(run=lose)
    with pytest.raises(LimitError, match=r"tick 7 lost a host 4 times.*host 1"):
        Recovery(loop, saver, lambda: SimpleNamespace()).run(0)  # type: ignore[arg-type,return-value]  # stands in
    assert len(calls) == ATTEMPTS_MAX + 1


def test_hosts_fill_nodes_by_their_cores_and_avoid_the_silent() -> None:
    """Twice the cores, twice the hosts; neighbours side by side; a silent node only at need."""
    pytest.importorskip("ray")
    from sim.runtime.ray_cluster import place

    nodes = [("a", 4.0), ("b", 2.0)]
    assert place(6, nodes, set()) == ["a", "a", "a", "a", "b", "b"]
    assert place(2, nodes, {"a"}) == ["b", "b"]
    assert place(1, nodes, {"a", "b"}) == ["a"]
    assert place(2, [("head", 0.0)], set()) == ["head", "head"]


SLEEPER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; " \
    "time.sleep(300)']); print('ready', flush=True); time.sleep(300)"  # fmt: skip


def sleeper(*words: str) -> subprocess.Popen[str]:
    """Start a process with a child."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.fault("B7", "C11")
def test_the_supervisor_ends_what_is_left_and_removes_the_folder() -> None:
    """What has the folder on its line, and what is below it; nothing else."""
    other = sleeper()
    supervisor = ray_supervisor.Supervisor()
    mine = sleeper(str(supervisor.folder))
    below = [ray_supervisor.identity(p) for p in psutil.Process(mine.pid).children()]
    (supervisor.folder / "session").mkdir()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        note = supervisor.folder / ray_supervisor.NOTE
        if note.exists() and len(json.loads(note.read_text())["processes"]) == 2:
            break
        time.sleep(0.1)
    supervisor.close()
    assert mine.wait(5) == -9 and below and not any(map(ray_supervisor.find, below))
    assert not supervisor.folder.exists()
    assert other.poll() is None
    ray_supervisor.end([ray_supervisor.identity(psutil.Process(other.pid))])
    assert other.wait(5) == -9


@pytest.mark.fault("B7")
def test_the_next_start_clears_what_a_dead_supervisor_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note of dead owners: its processes end, by id and start time; a number used again lives."""
    monkeypatch.setattr(ray_supervisor, "_base", lambda: tmp_path)
    left, innocent = sleeper(), sleeper()
    who = ray_supervisor.identity(psutil.Process(left.pid))
    again = (innocent.pid, psutil.Process(innocent.pid).create_time() - 5)
    live = ray_supervisor.identity(psutil.Process())
    for name, owners in (("dead", [(os.getpid(), 1.0)]), ("live", [live])):
        folder = tmp_path / f"{ray_supervisor.PREFIX}{name}"
        folder.mkdir()
        note = {"owners": owners, "processes": [who, again]}
        (folder / ray_supervisor.NOTE).write_text(json.dumps(note))
    (tmp_path / f"{ray_supervisor.PREFIX}odd").mkdir()
    ray_supervisor.sweep()
    assert left.wait(5) == -9 and innocent.poll() is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["twin-ray-live", "twin-ray-odd"]
    ray_supervisor.end([ray_supervisor.identity(psutil.Process(innocent.pid))])
