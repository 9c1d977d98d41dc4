"""The runs of a design: side by side as far as the machine allows, each kept as a few columns.

It owns how an arm becomes a run, what is kept of it, and that an interrupted study goes on with
what it has.  It must not know what is estimated from them.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from scenarios.api import LoadedScenario, Override
from scenarios.compare.estimate import flat
from scenarios.compare.pairs import MEMORY_SHARE, Job, run_job
from scenarios.compare.people import read_lines
from scenarios.lines import margins_now
from scenarios.loader import overrides_of
from scenarios.placing import FIXED_BYTES, LINE_BYTES
from scenarios.prioritize.design import Arm
from sim.core.errors import InvariantError
from sim.record.files import read_json, write_json
from sim.record.store import open_run

DAY_S = 86_400
KEPT = ("use_cases.", "funnel.", "satisfaction.", "channels.")
"""Figures of `kpis.json` that are kept of each run."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a run.

    Attributes
    ----------
    margin_minor, satisfaction_q, region, segment : (n_lines,) int64
    half_minor : (n_lines,) int64, margin when half of the run was over
    values : figures of `kpis.json` by dotted name
    """

    margin_minor: np.ndarray
    satisfaction_q: np.ndarray
    region: np.ndarray
    segment: np.ndarray
    half_minor: np.ndarray
    values: Mapping[str, float]


def common_ground(loaded: LoadedScenario) -> LoadedScenario:
    """Return the scenario of all arms: nobody withheld, and a start without any use case.

    A holdout would take its part of each value away; it belongs to measuring, not to launching.
    The start is that of an operator who has none of the use cases yet.
    """
    free: dict[str, Any] = {
        f"catalog.define.offers.{name}.control.local_percent": 0.0
        for name in loaded.catalogue.offers
    }
    free |= {"rtm.universal_control_percent": 0.0, "rtm.withhold": []}
    open_to_all = loaded.with_(**free)
    if not open_to_all.model.population.donor_days:
        return open_to_all
    start = open_to_all.model.model_dump(mode="json", include={"rtm"})["rtm"]
    start["lots"] = [[]]
    return open_to_all.with_(**{"population.pilot": {"rtm": start}})


def overrides_for(ground: LoadedScenario, arm: Arm) -> tuple[Override, ...]:
    """Return what makes an arm of the common scenario."""
    told: dict[str, Any] = {"rtm.lots": [list(lot) for lot in arm.lots]}
    if arm.cap_change:
        most = ground.model.rtm.cap.contacts + arm.cap_change
        told["rtm.cap.contacts"] = min(max(most, 0), 15)
    return (*ground.overrides, *overrides_of(told))


class Halfway:
    """Takes the margin of every line when half of the ticks are over."""

    def __init__(self, n_ticks: int) -> None:
        self.last = max(n_ticks // 2, 1) - 1
        self.margins = np.zeros(0, np.int32)

    def __call__(self, index: int, outcome: Any, runtime: Any) -> None:
        """Look after the tick that is the last of the first half."""
        if index == self.last:
            self.margins = margins_now(runtime)


def half_days(loaded: LoadedScenario) -> float:
    """Return the days after which `Halfway` looks."""
    clock = loaded.model.clock
    return max(n_ticks(loaded) // 2, 1) * clock.tick_s / DAY_S


def n_ticks(loaded: LoadedScenario) -> int:
    """Return the ticks of a run; the last may be short."""
    clock = loaded.model.clock
    return math.ceil(round(clock.days * DAY_S * 1_000) / (clock.tick_s * 1_000))


def make(job: Job, ticks: int, progress: Any = None) -> tuple[Path, np.ndarray]:
    """Make a run from its beginning; return its folder and the margins of its lines halfway."""
    half = Halfway(ticks)
    return run_job(job, progress, on_tick=half), half.margins


class Runs:
    """The runs of a study in a folder; what is there already is not made again."""

    def __init__(self, ground: LoadedScenario, folder: Path, *, progress: Any) -> None:
        self.ground = ground
        self.folder = folder
        self.progress = progress
        self.workers = workers_for(ground)
        self.ticks = n_ticks(ground)
        (folder / "values").mkdir(parents=True, exist_ok=True)
        (folder / "runs").mkdir(exist_ok=True)

    def make(self, arms: Sequence[Arm]) -> None:
        """Make the runs of all arms."""
        wanted = [arm for arm in arms if not self._there(arm)]
        done = len(arms) - len(wanted)
        hosts = max((os.cpu_count() or 1) // self.workers, 1)
        # The first is made here: it shows at once what is wrong, and warms the caches of all.
        for arm in wanted[:1]:
            one = self._job(arm, os.cpu_count() or 1)
            self._keep(arm, *make(one, self.ticks, self.progress))
            done += 1
        self.progress.phase("run")
        jobs = [self._job(arm, hosts) for arm in wanted[1:]]
        for arm, (path, half) in zip(wanted[1:], self._made(jobs), strict=True):
            self._keep(arm, path, half)
            done += 1
            self.progress.part(done=done, total=len(arms), of="runs", memory_bytes=0)

    def _made(self, jobs: Sequence[Job]) -> Iterable[tuple[Path, np.ndarray]]:
        if self.workers < 2 or len(jobs) < 2:
            for job in jobs:
                yield make(job, self.ticks)
            return
        # Spawned: a forked child would inherit locks of threads that do not exist in it.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, mp_context=context)
        try:
            yield from pool.map(functools.partial(make, ticks=self.ticks), jobs)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def read(self, arm: Arm) -> Kept:
        """Return what was kept of an arm."""
        with np.load(self._file(arm, "npz")) as found:
            columns = {name: found[name].astype(np.int64) for name in found.files}
        return Kept(**columns, values=read_json(self._file(arm, "json"))["values"])

    def _job(self, arm: Arm, hosts: int) -> Job:
        told = overrides_for(self.ground, arm)
        out = self.folder / "runs" / arm.name
        return Job(self.ground.source, told, self.ground.model.seed, out, hosts, sampled=False)

    def _file(self, arm: Arm, kind: str) -> Path:
        return self.folder / "values" / f"{arm.name}.{kind}"

    def _mark(self, arm: Arm) -> str:
        """Return what tells an arm of this study from one of another that lay here before."""
        return f"{self.ground.hash()} {arm.lots} {arm.cap_change}"

    def _there(self, arm: Arm) -> bool:
        told = self._file(arm, "json")
        return told.is_file() and read_json(told).get("mark") == self._mark(arm)

    def _keep(self, arm: Arm, path: Path, half: np.ndarray) -> None:
        lines = read_lines(path)
        if lines is None:
            raise InvariantError("a run has not written its lines", values={"run": str(path)})
        with open_run(path) as run:
            found = {name: value for name, value in flat(run.kpis).items() if name.startswith(KEPT)}
        np.savez(
            self._file(arm, "npz"),
            margin_minor=lines.margin_minor.astype(np.int32),
            satisfaction_q=lines.satisfaction_q.astype(np.uint16),
            region=lines.region.astype(np.uint16),
            segment=lines.segment.astype(np.uint8),
            half_minor=half,
        )
        # Written last: an arm is there once this file is.
        write_json(self._file(arm, "json"), {"mark": self._mark(arm), "values": found})
        shutil.rmtree(path, ignore_errors=True)


def workers_for(loaded: LoadedScenario) -> int:
    """Return how many runs may go at once: by cores and by free memory."""
    room = int(psutil.virtual_memory().available * MEMORY_SHARE)
    need = FIXED_BYTES + loaded.model.population.subscribers * LINE_BYTES
    return max(1, min(os.cpu_count() or 1, room // need))
