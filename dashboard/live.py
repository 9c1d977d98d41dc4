"""Runs as processes: start `twin run`, ask `twin explain` and `twin list`, stop what was started.

It owns the processes that this dashboard started, and the words of `status.json`.  A run writes
its own folder; nothing here does.  It must not import what a run is made of.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from scenarios.report.words import NONE, percent, short, size
from sim.core.errors import ScenarioError
from sim.record.folder import PART

STARTED_MAX = 2
"""Runs that this dashboard lets go on at the same time: each takes every core."""
SUBSCRIBERS_MAX = 5_000_000
DAYS_MAX = 60.0
ANSWER_S = 300
"""Longest time that `twin explain` and `twin list` may take."""
LOG_LINES = 12
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PHASES = {
    "load": "reading the scenario", "build": "building the world",
    "compile": "compiling kernels and finding the equilibrium", "run": "simulating",
    "write": "writing the results",
}  # fmt: skip


@dataclass
class Started:
    """A run that this dashboard started."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    log: Path
    began_unix_s: float = field(default_factory=time.time)

    @property
    def code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.process.poll()


@st.cache_resource(show_spinner=False)
def started() -> list[Started]:
    """Return the runs that this server started, whoever looks."""
    return []


def twin(*arguments: str) -> list[str]:
    """Return the command line of `twin`, that of this very installation."""
    beside = shutil.which("twin", path=str(Path(sys.executable).parent))
    if beside is not None:
        return [beside, *arguments]
    return [sys.executable, "-c", "from scenarios.cli import main; main()", *arguments]


def free_name(folder: Path, wanted: str) -> str:
    """Return the name, or with `-2`, `-3` and so on where a run has it already."""
    taken = {path.name.removesuffix(PART) for path in folder.iterdir()} if folder.is_dir() else ()
    names = (wanted if n == 1 else f"{wanted}-{n}" for n in range(1, 10_000))
    return next(name for name in names if name not in taken)


def start(
    folder: Path, *, scenario: str, subscribers: int, days: float, seed: int | None, name: str
) -> Started:
    """Start `twin run` into a folder of runs and return it; what is wrong is a `ScenarioError`."""
    if not NAME.fullmatch(name) or name.endswith(PART):
        raise ScenarioError(
            "not a name for a run", found=repr(name),
            expected="up to 64 letters, digits, dots, dashes and underscores",
        )  # fmt: skip
    if sum(run.code is None for run in started()) >= STARTED_MAX:
        raise ScenarioError(
            "enough runs are under way", found=STARTED_MAX, expected="one that ends, or is stopped"
        )
    name = free_name(folder, name)
    command = twin(
        "run", scenario, "--subscribers", str(int(subscribers)), "--days", f"{days:g}",
        "--out", str(folder / name),
    )  # fmt: skip
    if seed is not None:
        command += ["--seed", str(int(seed))]
    with tempfile.NamedTemporaryFile(prefix="twin-run-", suffix=".log", delete=False) as log:
        # A session of its own: closing the dashboard does not stop a run that takes hours.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    run = Started(name, command, process, Path(log.name))
    started().append(run)
    return run


def stop(run: Started) -> None:
    """Stop a run as Ctrl-C does: it saves its state and can be resumed."""
    if run.code is None:
        run.process.send_signal(signal.SIGINT)


def last_words(run: Started) -> str:
    """Return the last lines that a run wrote on its screen."""
    try:
        lines = run.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_LINES:])


def ask(*arguments: str) -> Any:
    """Return the JSON that a command of `twin` prints; its refusal is a `ScenarioError`."""
    try:
        done = subprocess.run(
            twin(*arguments, "--json"), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=ANSWER_S, check=False, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ScenarioError(f"`twin {arguments[0]}` did not answer in {ANSWER_S} s") from None
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ScenarioError(told.removeprefix("twin: "))
    return json.loads(done.stdout)


@st.cache_data(max_entries=1, show_spinner=False)
def shipped() -> list[dict[str, Any]]:
    """Return the scenarios of the library: name, title, question, subscribers, days."""
    return ask("list", "scenarios")


def age_s(status: dict[str, Any]) -> float | None:
    """Return how long ago a status was written, s."""
    at = status.get("updated_unix_s")
    return None if at is None else max(time.time() - float(at), 0.0)


def progress(status: dict[str, Any]) -> tuple[float, str]:
    """Return the share of a bar and the words on it: of the phase where it is counted, else of the
    run."""
    part = status.get("phase_part")
    if part:
        share = part["done"] / max(part["total"], 1)
        words = f"{short(part['done'])} of {short(part['total'])} {part['of']}"
    else:
        share, ms = float(status.get("share") or 0.0), status.get("sim_ms")
        words = f"{days(ms)} of {days(status['sim_end_ms'])}" if ms else "not begun"
    return min(max(share, 0.0), 1.0), words


def figures(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a status says, as pairs of name and text."""
    eta = status.get("eta_s")
    left = (status.get("sim_end_ms") or 0) - (status.get("sim_ms") or 0)
    # While lines are built the time left is that of the phase, not of the simulated day.
    speed = left / 1000 / eta if eta and not status.get("phase_part") else None
    rate = status.get("events_per_second")
    return [
        ("simulated", percent(status.get("share"), 0)),
        ("network events", short(status.get("events"))),
        ("events a second", NONE if rate is None else short(rate)),
        ("times real time", NONE if speed is None else short(speed)),
        ("time left", span(eta)),
        ("memory, all processes", size(status.get("memory_bytes"))),
    ]


def days(ms: float | None) -> str:
    """Return a length in days."""
    if not ms:
        return NONE
    value = ms / 86_400_000
    return f"{value:.3g} day" + ("" if value == 1 else "s")


def span(seconds: float | None) -> str:
    """Return a time as a person says it."""
    if seconds is None:
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
