"""Every role a Ray actor of its own: the numbers of one process, and no row lost with a host."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scenarios import load
from scenarios.runner import run

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("ray"),
]
SMALL = {"population.donor_days": 0, "days": 0.25, "subscribers": 3_000, "seed": 5}
ALONE = (("subscribers",), ("billing",), ("rtm",))
PAIR = (("subscribers", "billing"), ("rtm",))


def done(path: Path, *, on_tick: Any = None, **options: Any) -> tuple[dict[str, Any], bytes]:
    """Run a quarter of a small day and return its manifest and the bytes of `kpis.json`."""
    made = run(load("city_day").with_(**SMALL, **options), out=path, on_tick=on_tick)
    return made.manifest, (made.path / "kpis.json").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Start Ray once for the module; a run that finds it running leaves it running."""
    from sim.runtime import ray_env

    ray_env.prepare("")
    from sim.runtime.ray_cluster import RayCluster

    own = RayCluster("", n_actors=8)
    yield
    own.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """Return digest and KPIs of all roles together in one process."""
    manifest, kpis = done(tmp_path_factory.mktemp("embedded") / "run")
    return manifest["state_digest"], kpis


class Caller:
    """Stands for an actor: notes the calls, answers each with a number of its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def remote(*args: Any) -> tuple[int, int]:
            self.calls.append((name, args))
            return id(self), len(self.calls)

        return SimpleNamespace(remote=remote)


@pytest.mark.parametrize(("expected_pieces", "n_pieces"), [(1, 5), (5, 5), (9, 5), (2, 1)])
def test_pieces_on_their_way_are_bounded_and_let_go(expected_pieces: int, n_pieces: int) -> None:
    """At most three at a time, each group gets those of all before it, none is kept when done."""
    from sim.runtime.split_ray import IN_FLIGHT, Pipe

    actors = [Caller(), Caller(), Caller()]
    pipe = Pipe(actors, expected_pieces)
    pipe.send()
    arrived = 0
    while pipe.flying:
        assert len(pipe.flying) <= IN_FLIGHT
        arrived += 1
        pipe.arrived(next(iter(pipe.flying)), arrived >= n_pieces, 10)
        pipe.send()
    assert pipe.done + 1 == n_pieces and pipe.n_bytes == 10 * arrived
    assert n_pieces <= arrived <= max(n_pieces, min(expected_pieces, n_pieces + IN_FLIGHT - 1))
    names = [[name for name, _ in actor.calls] for actor in actors]
    assert names == [["produce"] * arrived, ["work"] * arrived, ["end"] * arrived]
    for (_, one), (_, two) in zip(actors[1].calls, actors[2].calls, strict=True):
        assert len(one) == 1 and two[0] == one[0] and len(two) == 2


def test_two_groups_on_two_hosts_give_the_numbers_of_one_process(
    tmp_path: Path, expected: tuple[str, bytes]
) -> None:
    """Subscribers and billing together, the engine in processes of its own."""
    groups = {"placement.groups": PAIR}
    manifest, kpis = done(tmp_path / "run", runtime="ray", hosts=2, **groups)
    assert (manifest["state_digest"], kpis) == expected
    assert manifest["hosts"] == 2


@pytest.mark.parametrize(
    "lost", [("billing",), pytest.param(("subscribers", "rtm", "billing"), marks=pytest.mark.soak)]
)
def test_every_role_alone_survives_the_loss_of_one(
    tmp_path: Path, expected: tuple[str, bytes], lost: tuple[str, ...]
) -> None:
    """SIGKILL of the actor of a role between two ticks: back to a checkpoint, nothing moved."""
    killed: list[int] = []

    def kill(index: int, outcome: Any, runtime: Any) -> None:
        pids = runtime.pids()
        assert len(pids) == len(ALONE) + 1
        if len(killed) < len(lost) and index == 6 + 5 * len(killed):
            killed.append(pids[ALONE.index((lost[len(killed)],))])
            os.kill(killed[-1], signal.SIGKILL)

    options = {"placement.groups": ALONE, "placement.checkpoint_s": 0.05}
    manifest, kpis = done(tmp_path / "run", on_tick=kill, runtime="ray", hosts=1, **options)
    assert len(set(killed)) == manifest["recoveries"] == len(lost)
    assert (manifest["state_digest"], kpis) == expected
