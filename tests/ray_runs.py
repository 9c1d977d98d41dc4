"""Small runs on Ray for tests, and hosts that fail on purpose inside their own process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scenarios import load
from scenarios.runner import run
from sim.runtime.ray_actors import HostActor

SMALL = {"population.donor_days": 0, "record.sample": 0.1}


def scenario(**options: Any) -> Any:
    """Return the small half day that every run here is about, in 48 ticks."""
    return load("city_day").with_(
        **{"subscribers": 2_000, "days": 0.5, "seed": 5} | SMALL | options
    )


def digest_of(path: Path, *, on_tick: Any = None, resume: bool = False, **options: Any) -> Any:
    """Run it and return the manifest."""
    return run(scenario(**options), out=path, on_tick=on_tick, resume=resume).manifest


def kill_after_calls(function: str, n: int) -> None:
    """Let this process die inside the n-th call of a function that reads or writes arrays."""
    real = getattr(np.lib.format, function)
    left = [n]

    def deadly(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(np.lib.format, function, deadly)


def first_time(mark: Path) -> bool:
    """Return True for the first process that asks, whatever becomes of it."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def failing_host(
    *,
    on_save: Callable[[], None] | None = None,
    on_load: Callable[[], None] | None = None,
    on_tick: Callable[[Any, int], None] | None = None,
) -> type[HostActor]:
    """Return a host that calls something before it saves, loads or runs a tick."""

    class FailingHost(HostActor):
        def save_to(self, draft: Any) -> Any:
            if on_save is not None:
                on_save()
            return super().save_to(draft)

        def load_from(self, saved: Any) -> None:
            if on_load is not None:
                on_load()
            super().load_from(saved)

        def tick(self, fence: Any, tick: Any, *rest: Any) -> Any:
            if on_tick is not None:
                on_tick(self.host, tick.index)
            return super().tick(fence, tick, *rest)

    return FailingHost
