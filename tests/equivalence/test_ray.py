"""The Ray runtime gives the numbers of the embedded one, and survives the loss of a host."""

from __future__ import annotations

import os
import signal
from pathlib import Path
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
SMALL = {"population.donor_days": 0, "placement.checkpoint_s": 0.2}


def digest_of(path: Path, *, on_tick: Any = None, **options: Any) -> dict[str, Any]:
    """Run a small day and return its manifest."""
    loaded = load("city_day").with_(subscribers=3_000, days=0.5, seed=5, **SMALL, **options)
    return run(loaded, out=path, on_tick=on_tick).manifest


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the digest of the embedded runtime."""
    return digest_of(tmp_path_factory.mktemp("embedded") / "run")["state_digest"]


def test_two_hosts_on_ray_give_the_digest_of_one_process(tmp_path: Path, expected: str) -> None:
    """Same scenario and seed, another runtime: same digest, same KPIs."""
    found = digest_of(tmp_path / "run", runtime="ray", hosts=2)
    assert found["state_digest"] == expected
    assert found["hosts"] == 2


def test_a_killed_host_comes_back_and_the_digest_is_the_same(tmp_path: Path, expected: str) -> None:
    """SIGKILL of a host twice, before and after checkpoints: recovered, nothing moved."""
    killed = []

    def kill(index: int, outcome: Any, runtime: Any) -> None:
        if index in (1, 30) and len(killed) < (1 if index == 1 else 2):
            pid = runtime.pids()[len(killed) % 2]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    found = digest_of(tmp_path / "run", on_tick=kill, runtime="ray", hosts=2)
    assert len(killed) == 2
    assert found["recoveries"] == 2
    assert found["state_digest"] == expected
