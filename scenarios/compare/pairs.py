"""The runs behind a comparison: pairs on common seeds, side by side as far as the machine allows.

It owns how many runs go at once, what is kept of each, and that an interrupted comparison goes on
with what it has.  It must not know what is computed from them.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from scenarios import runner
from scenarios.api import Override
from scenarios.compare.estimate import flat
from scenarios.compare.people import changed_lines, figures, read_lines
from scenarios.compare.sides import Side
from scenarios.loader import load_source
from scenarios.placing import FIXED_BYTES, LINE_BYTES
from sim.core.errors import InvariantError
from sim.record.files import read_json, write_json
from sim.record.folder import PART, is_live
from sim.record.store import open_run

MEMORY_SHARE = 0.8
"""Part of the free memory that the runs of a comparison may take."""
RERUN_LINE_DAYS = 1_000_000
"""A finished run without `lines.parquet` is made again where it has at most so many line-days."""


@dataclass(frozen=True)
class Job:
    """One run to make, in a form that another process can take.

    Attributes
    ----------
    watch : lines whose rows alone are kept; None: what the scenario records
    """

    source: Path
    overrides: tuple[Override, ...]
    seed: int
    out: Path
    hosts: int
    watch: tuple[int, ...] | None = None
    sampled: bool = True


@dataclass
class Outcome:
    """What is kept of one run.

    Attributes
    ----------
    values : every number of `kpis.json`, and of the lines, by dotted name
    changed : lines that differ from the run of A with the same seed; on B alone; None: not known
    path : its folder, while it is kept
    """

    seed: int
    scenario_hash: str
    state_digest: int | str
    values: dict[str, float | int]
    changed: int | None = None
    lines: int = 0
    path: str = ""


def job(side: Side, seed: int, out: Path, *, hosts: int, **more: Any) -> Job:
    """Return the job that runs a side with a seed."""
    return Job(side.loaded.source, side.loaded.overrides, seed, out, hosts, **more)


def run_job(told: Job, progress: Any = None, *, on_tick: Any = None) -> Path:
    """Make a run, or go on with it, or find it complete; return its folder.

    Parameters
    ----------
    on_tick : called after each tick with (index, outcome, runtime); the run is then made from its
        beginning
    """
    # Placement changes no number, and the state of every line is wanted here at the end.
    changes: dict[str, Any] = {"seed": told.seed, "hosts": told.hosts, "runtime": "embedded"}
    record: dict[str, Any] = {"record.line_digests": told.watch is None}
    if told.watch is not None:
        record |= {"record.sample": 0, "record.watch": list(told.watch)}
    elif not told.sampled:
        record |= {"record.sample": 0, "record.watch": []}
    loaded = load_source(told.source, told.overrides).with_(**changes, **record)
    if told.out.is_dir():
        with open_run(told.out) as run:
            same = run.manifest.get("scenario_hash") == loaded.hash()
            if on_tick is None and same and not run.verify():
                return told.out
        shutil.rmtree(told.out)
    part = told.out.with_name(told.out.name + PART)
    saved = part / "checkpoints"
    resume = on_tick is None and saved.is_dir() and any(saved.iterdir())
    if part.is_dir() and not resume and not is_live(part):
        shutil.rmtree(part)
    return runner.run(loaded, out=told.out, resume=resume, progress=progress, on_tick=on_tick).path


class Runs:
    """The pairs of a comparison, in the order of their seeds.

    Usage: `pair(k)` for k = 0, 1, ...; `prepare(n)` before, so that runs go side by side.
    """

    def __init__(
        self,
        a: Side,
        b: Side,
        folder: Path,
        *,
        regions: Sequence[str],
        progress: Any,
        workers: int = 0,
    ) -> None:
        self.sides = (a, b)
        self.folder = folder
        self.regions = regions
        self.progress = progress
        self.seed = a.loaded.model.seed
        self.workers = workers or workers_for(a, b)
        self._pool: ProcessPoolExecutor | None = None
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        (folder / "pairs").mkdir(exist_ok=True)

    def pairs(self, n: int) -> Iterator[tuple[Outcome, Outcome]]:
        """Give up to `n` pairs in the order of their seeds; stop asking to stop running."""
        yield self._pair(0)
        at_once = max(self.workers // 2, 1)
        for first in range(1, n, at_once):
            block = range(first, min(first + at_once, n))
            self._prepare(block, total=n)
            for k in block:
                yield self._pair(k)

    def path(self, side: Side, k: int) -> Path:
        """Return the folder of the k-th run of a side."""
        if k == 0 and side.run is not None and self._serves(side):
            return side.run
        return self.folder / "runs" / f"{side.letter}-s{self.seed + k}"

    def _serves(self, side: Side) -> bool:
        """Return whether a finished run is taken as it is: it has lines, or is too dear again."""
        assert side.run is not None
        model = side.loaded.model
        dear = model.population.subscribers * model.clock.days > RERUN_LINE_DAYS
        return (side.run / "lines.parquet").is_file() or side.replayed or dear

    def _pair(self, k: int) -> tuple[Outcome, Outcome]:
        file = self.folder / "pairs" / f"s{self.seed + k}.json"
        kept = self._kept(file) if k else None
        if kept is not None:
            return kept
        for side in self.sides:
            path = self.path(side, k)
            if path != side.run:
                run_job(self._job(side, k, hosts=os.cpu_count() or 1), self.progress)
        pair = self._outcomes(k)
        write_json(file, [asdict(outcome) for outcome in pair])
        if k:
            for side in self.sides:
                shutil.rmtree(self.path(side, k), ignore_errors=True)
        return pair

    def _job(self, side: Side, k: int, *, hosts: int) -> Job:
        return job(side, self.seed + k, self.path(side, k), hosts=hosts, sampled=k == 0)

    def _kept(self, file: Path) -> tuple[Outcome, Outcome] | None:
        """Return a pair that an interrupted comparison had finished, of the same scenarios."""
        if not file.is_file():
            return None
        found = read_json(file)
        a, b = (Outcome(**told) for told in found)
        hashes = [
            side.loaded.with_(seed=outcome.seed).hash()
            for side, outcome in zip(self.sides, (a, b), strict=True)
        ]
        return (a, b) if hashes == [a.scenario_hash, b.scenario_hash] else None

    def _prepare(self, block: range, *, total: int) -> None:
        """Make the runs of some pairs side by side, where the machine has room for two."""
        files = {k: self.folder / "pairs" / f"s{self.seed + k}.json" for k in block}
        jobs = [
            self._job(side, k, hosts=max((os.cpu_count() or 1) // self.workers, 1))
            for k in block
            for side in self.sides
            if self._kept(files[k]) is None
        ]
        if self.workers < 2 or len(jobs) < 2:
            return
        # Spawned: a forked child would inherit locks of threads that do not exist in it.
        context = multiprocessing.get_context("spawn")
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context)
        self.progress.phase("run")
        try:
            for _ in self._pool.map(run_job, jobs):
                pass
        except BaseException:
            self.close()
            raise
        self.progress.part(done=block[-1] + 1, total=total, of="pairs", memory_bytes=0)

    def close(self) -> None:
        """End the processes; what waits in them is not begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _outcomes(self, k: int) -> tuple[Outcome, Outcome]:
        """Return what is kept of the k-th runs of both sides."""
        paths = [self.path(side, k) for side in self.sides]
        tables = [read_lines(path) for path in paths]
        found = []
        for path, table in zip(paths, tables, strict=True):
            with open_run(path) as run:
                manifest, kpis = dict(run.manifest), dict(run.kpis)
            values = flat(kpis)
            if all(t is not None for t in tables):
                assert table is not None
                values |= figures(table, self.regions)
            found.append(
                Outcome(
                    seed=self.seed + k,
                    scenario_hash=manifest["scenario_hash"],
                    state_digest=manifest["state_digest"],
                    values=values,
                    lines=int(manifest.get("lines") or 0),
                    path=str(path) if k == 0 else "",
                )  # fmt: skip
            )
        a, b = found
        one, two = tables
        if one is not None and two is not None:
            b.changed = len(changed_lines(one, two))
        elif a.state_digest == b.state_digest:
            b.changed = 0
        self._check_again(found)
        return a, b

    def _check_again(self, found: Sequence[Outcome]) -> None:
        """Refuse a finished run that does not come out the same when it is made again."""
        for side, outcome in zip(self.sides, found, strict=True):
            if side.manifest is None or outcome.seed != self.seed:
                continue
            recorded = side.manifest.get("state_digest")
            if outcome.state_digest != recorded:
                raise InvariantError(
                    "the run made again differs from the recorded one: other software made it",
                    values={"run": str(side.run), "recorded": recorded,
                            "again": outcome.state_digest},
                )  # fmt: skip


def workers_for(a: Side, b: Side) -> int:
    """Return how many runs of these sides may go at once: by cores and by free memory."""
    lines = max(side.loaded.model.population.subscribers for side in (a, b))
    room = int(psutil.virtual_memory().available * MEMORY_SHARE)
    return max(1, min(os.cpu_count() or 1, room // (FIXED_BYTES + lines * LINE_BYTES)))


def watched(
    sides: Sequence[Side],
    subs: np.ndarray,
    folder: Path,
    *,
    digests: Sequence[int | str],
    progress: Any,
) -> list[Path]:
    """Run both sides again with every row of some lines kept; return their folders.

    Parameters
    ----------
    digests : state digests of the first runs, which these must have as well
    """
    paths = []
    for side, digest in zip(sides, digests, strict=True):
        told = job(
            side, side.loaded.model.seed, folder / f"{side.letter}-watched",
            hosts=os.cpu_count() or 1, watch=tuple(int(sub) for sub in subs),
        )  # fmt: skip
        shutil.rmtree(told.out, ignore_errors=True)
        path = run_job(told, progress)
        with open_run(path) as run:
            if run.manifest["state_digest"] != digest:
                raise InvariantError(
                    "the run made again differs from the first one",
                    values={"first": digest, "again": run.manifest["state_digest"]},
                )
        paths.append(path)
    return paths
