"""The manifest: what a run is, on what it ran, and what it cost.

It owns the keys of `manifest.json`, the wall time of phases, and the meter of memory and CPU time
over the whole process tree.  It must not know how a run is built or recorded.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PHASES = ("load", "build", "compile", "run", "write")
MANIFEST_VERSION = 1
PACKAGES = (
    "operator-twin", "numpy", "numba", "llvmlite", "simpy", "ray", "pydantic", "pyarrow", "duckdb",
    "pandas", "h3", "shapely", "geopandas", "plotly", "streamlit", "pydeck",
)  # fmt: skip
GIT_TIMEOUT_S = 10
SAMPLE_S = 1.0
"""Time between two looks at memory."""
PSS_DUTY = 0.02
"""Largest share of a core spent on reading proportional memory, which walks page tables."""


class Manifest:
    """Collects what is known when a run starts, and times its phases.

    Attributes
    ----------
    phases : wall seconds of each phase, all of `PHASES`
    """

    def __init__(
        self,
        *,
        scenario: str,
        scenario_hash: str,
        seed: int,
        runtime: str,
        partitions: int,
        hosts: int,
        subscribers: int,
        cells: int,
        tick_s: int,
        data: Sequence[Mapping[str, Any]] = (),
        code_root: Path | None = None,
        phases: Mapping[str, float] | None = None,
        cpu_seconds_before: float = 0.0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what is known when the run starts.

        Parameters
        ----------
        data : one entry for each data file used: `name`, `licence`, checksum, attribution
        code_root : folder whose git commit is noted, if it is a checkout
        phases, cpu_seconds_before : what an interrupted run had used already
        extra : further keys, for instance `represents` or `schema_hash`
        """
        self.phases = {name: 0.0 for name in PHASES} | dict(phases or {})
        self._cpu_before = cpu_seconds_before
        self._fixed = {
            "manifest_version": MANIFEST_VERSION,
            "scenario": scenario,
            "scenario_hash": scenario_hash,
            "seed": int(seed),
            "runtime": runtime,
            "partitions": int(partitions),
            "hosts": int(hosts),
            "subscribers": int(subscribers),
            "cells": int(cells),
            "tick_s": int(tick_s),
        }
        self._tail = {
            "data": [dict(entry) for entry in data],
            "versions": versions(),
            "machine": machine(),
            "git": None if code_root is None else git_state(code_root),
            **(extra or {}),
        }

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the wall time of a block to a phase; nested phases count in both."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add_phase(name, time.perf_counter() - start)

    def add_phase(self, name: str, seconds: float) -> None:
        """Add wall seconds to a phase."""
        self.phases[name] = self.phases.get(name, 0.0) + seconds

    def build(
        self,
        status: str,
        *,
        sim_seconds: float,
        events_total: int,
        cpu_seconds: float | None = None,
        peak_bytes: int | None = None,
        state_bytes_per_subscriber: float | None = None,
        state_digest: int | str | None = None,
        audit: Mapping[str, int] | None = None,
        recoveries: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the content of `manifest.json`.

        Parameters
        ----------
        status : `complete`, `interrupted` or `failed`
        sim_seconds : simulated time, s
        events_total : network events of the whole run
        cpu_seconds : CPU time of all processes in phase `run`, s; without what came before
        peak_bytes : largest summed proportional memory of all processes, bytes
        state_digest : order-free digest of the state; integers are written as 16 hex digits
        audit : `{"checks": n, "failures": n}`
        """
        run_s = self.phases["run"]
        digest = f"{state_digest:016x}" if isinstance(state_digest, int) else state_digest
        cpu = None if cpu_seconds is None else round(cpu_seconds + self._cpu_before, 3)
        return {
            "status": status,
            **self._fixed,
            "sim_seconds": sim_seconds,
            "phases": {name: round(s, 3) for name, s in self.phases.items()},
            "wall_seconds": round(sum(self.phases.values()), 3),
            "events_total": int(events_total),
            "events_per_second": round(events_total / run_s, 1) if run_s > 0 else None,
            "sim_speed": round(sim_seconds / run_s, 2) if run_s > 0 else None,
            "cpu_seconds": cpu,
            "peak_rss_bytes": peak_bytes,
            "state_bytes_per_subscriber": state_bytes_per_subscriber,
            "state_digest": digest,
            "audit": dict(audit) if audit is not None else None,
            "recoveries": int(recoveries),
            **self._tail,
            **(extra or {}),
        }


def versions() -> dict[str, str]:
    """Return the versions of Python and of every package that can move a number."""
    out = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a speed; no names of hosts or people."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }  # fmt: skip


def git_state(root: Path) -> dict[str, Any] | None:
    """Return `{"commit", "dirty"}` of a checkout, or None where there is none."""
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(dirty.strip())}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True,
    )  # fmt: skip
    return done.stdout


class MemoryMeter:
    """Watches memory and CPU time of this process and all its descendants.

    Memory is the sum of proportional set sizes: shared pages count once.  Reading it walks page
    tables, so it takes at most `PSS_DUTY` of a core; in between, plain memory is read once a
    second and scaled by the last ratio of the two.

    Attributes
    ----------
    peak_bytes : largest sum seen
    now_bytes : latest sum
    """

    def __init__(self, *, every_s: float = SAMPLE_S) -> None:
        self.peak_bytes = 0
        self.now_bytes = 0
        self._every_s = every_s
        self._root = psutil.Process()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_pss_s = 0.0
        self._ratio = 1.0
        self._cpu_start = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> MemoryMeter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        self._cpu_start = tree_cpu_seconds(self._root)
        self.sample()
        self._thread = threading.Thread(target=self._watch, name="memory-meter", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Look once more, stop watching and return the peak, bytes."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self.sample(exact=True)
        return self.peak_bytes

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process tree since `start`, s."""
        return tree_cpu_seconds(self._root) - self._cpu_start

    def sample(self, *, exact: bool = False) -> int:
        """Look at memory now and return it, bytes; `exact` reads proportional memory surely."""
        with self._lock:
            processes = _tree(self._root)
            rss = sum(_memory(p, exact=False) for p in processes)
            start = time.monotonic()
            if exact or start >= self._next_pss_s:
                pss = sum(_memory(p, exact=True) for p in processes)
                cost = time.monotonic() - start
                self._next_pss_s = start + max(self._every_s, cost / PSS_DUTY)
                self._ratio = pss / rss if rss else 1.0
            self.now_bytes = int(rss * self._ratio)
            self.peak_bytes = max(self.peak_bytes, self.now_bytes)
            return self.now_bytes

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.sample()


def tree_cpu_seconds(root: psutil.Process | None = None) -> float:
    """Return the CPU time of a process and its descendants, the ended ones included, s."""
    total = 0.0
    for process in _tree(root or psutil.Process()):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return [root]


def _memory(process: psutil.Process, *, exact: bool) -> int:
    try:
        if exact:
            full = process.memory_full_info()
            return int(getattr(full, "pss", 0) or full.uss)
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
