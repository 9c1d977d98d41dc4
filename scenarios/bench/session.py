"""A benchmark from end to end: each group of rows in a process of its own, one after another.

It owns the order, the progress, the description of the machine and the files that are left.  A row
that fails is told and does not end the benchmark.  It must not know how anything is measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scenarios.bench.rows import Group, Options
from scenarios.bench.table import Measured, document, line

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "bench" / "results"
TIMEOUT_S = 3_600.0

Tell = Callable[[str, int, int, float], None]
"""Told before each group: its name, groups done, groups in all, seconds left."""


def load_average() -> float | None:
    """Return the load of the last minute, or None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge a speed: processor, memory, versions, commit."""
    from sim.record.manifest import git_state, machine, versions

    return {
        **machine(), "cpu": _cpu_model(), "kernel": f"{platform.system()} {platform.release()}",
        "versions": versions(), "git": git_state(ROOT),
    }  # fmt: skip


def _cpu_model() -> str:
    try:
        for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if text.startswith("model name"):
                return text.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def run(groups: Sequence[Group], options: Options, *, tell: Tell | None = None) -> dict[str, Any]:
    """Measure groups of rows one after another and return the document."""
    began, stamp, load = time.perf_counter(), datetime.now(UTC), load_average()
    rows: list[dict[str, Any]] = []
    expected = [g.quick_s if options.quick else g.full_s for g in groups]
    pace = 1.0
    for k, group in enumerate(groups):
        if tell is not None:
            tell(group.name, k, len(groups), pace * sum(expected[k:]))
        before = load_average()
        found = {m.row: m for m in measure(group, options)}
        after = load_average()
        both = None if before is None or after is None else (before, after)
        for row in group.rows:
            missing = Measured(row.name, reason="the measurement did not tell")
            rows.append(line(row, found.get(row.name, missing), both))
        # Where this machine is slower than the one that the estimates come from, so is the rest.
        pace = max((time.perf_counter() - began) / max(sum(expected[: k + 1]), 1.0), 0.2)
    return document(
        rows, quick=options.quick, machine=describe_machine(),
        began=stamp.isoformat(timespec="seconds"), wall_s=time.perf_counter() - began,
        load=(load, load_average()),
    )  # fmt: skip


def measure(group: Group, options: Options) -> list[Measured]:
    """Measure one group in a process of its own, so that memory and threads of one group never
    meet the next."""
    with _file() as path:
        command = [sys.executable, "-m", "scenarios.bench", group.function, str(path)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            _, complaint = process.communicate(json.dumps(options.plain()), timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return _failed(group, f"took over {TIMEOUT_S:.0f} s")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)
        if process.returncode == 0:
            return [Measured(**told) for told in json.loads(path.read_text(encoding="utf-8"))]
        last = (complaint.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return _failed(group, f"failed: {last[:300]}")


@contextmanager
def _file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twin-bench-") as folder:
        yield Path(folder) / "found.json"


def _failed(group: Group, reason: str) -> list[Measured]:
    return [Measured(row.name, reason=reason) for row in group.rows]


def results_folder(out: Path | None) -> Path | None:
    """Return where results go: `out`, or the repository's own folder inside it, or nowhere."""
    if out is not None:
        return out
    return RESULTS if (ROOT / "tests" / "bench").is_dir() else None


def write(told: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write the document and its page, and return their paths.

    They are called `bench`, with `-quick` where it was, and the rows where only some were asked
    for, so that a part never takes the place of the whole.
    """
    from scenarios.report.bench import page
    from sim.record.files import write_text

    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(["bench", *(["quick"] if told["quick"] else []), *told.get("only", ())])
    paths = folder / f"{name}.json", folder / f"{name}.html"
    text = json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(paths[0], text + "\n")
    write_text(paths[1], page(told))
    return paths
