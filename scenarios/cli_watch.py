"""The command `twin watch`: follow a run of another terminal until it ends.

It owns what is shown and the exit code.  It reads the status file of the run and nothing else, and
must not touch the run: Ctrl-C ends the watching alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

EVERY_S = 0.5
"""Seconds between two looks: the status file is written at most twice a second."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", epilog="Example: twin watch --runs runs")(watch)


def watch(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Run folder, or its name; the youngest one under way without it.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs.")] = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress, only the end.")] = False,
) -> int:
    """Follow a run until it ends, from any terminal. Leaves with the exit code of the run.

    0 complete, 4 complete with a missed target, 130 interrupted, else the code with which it
    failed (1 where it was killed).
    """
    part = find(run, runs)
    return follow(part, quiet=quiet)


def find(run: str | None, runs: Path) -> Path:
    """Return the folder of a run, `.part` or complete.

    Raises
    ------
    ScenarioError : there is no such run, or none is under way
    """
    from sim.core.errors import ScenarioError
    from sim.record.store import list_runs

    if run is not None:
        return common.find_run(run, runs_dir=runs)
    live = [info for info in list_runs(runs) if info.state == "running"]
    if not live:
        names = ", ".join(common.run_names(runs)[-4:])
        raise ScenarioError(
            "no run is under way", file=runs, found=names or "no run",
            expected="a run that was started with `twin run`, or the name of one",
        )  # fmt: skip
    return live[0].path


def follow(
    path: Path,
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show a run until it ends; say how it ended; return its exit code."""
    from sim.record.store import run_info

    show = _Show(quiet=quiet, stream=stream)
    try:
        while True:
            final = path.with_name(path.name.removesuffix(".part"))
            here = path if path.is_dir() else final
            info = run_info(here)
            if info.state != "running":
                # A run is renamed when it is complete: what was read may have been half of it.
                if here != final and not here.is_dir():
                    continue
                break
            show.status(info.status)
            sleep(EVERY_S)
    finally:
        show.close()
    out(_end(here, info.state, info.status, info.manifest))
    code = int(info.status.get("exit_code") or 0)
    if info.state == "complete":
        return code
    if info.state == "interrupted":
        return 130
    return (code or 1) if info.state == "failed" else 1


def _end(path: Path, state: str, status: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    told = f"{state}: {path}"
    reason = manifest.get("error") or status.get("error")
    if state == "failed" and reason:
        return f"{told} ({str(reason).splitlines()[0]})"
    if state in ("interrupted", "killed"):
        return f"{told}; the command that started it goes on with --resume"
    return told


def now_of(status: Mapping[str, Any]) -> Any:
    """Return the `Now` of a status file; what it lacks is left out."""
    from scenarios.progress import Now, clock_text, part_text

    phase = str(status.get("phase") or "")
    spent = float(status.get("phase_s") or 0.0)
    part = status.get("phase_part")
    memory, left = status.get("memory_bytes"), status.get("eta_s")
    if part:
        share = min(part["done"] / max(part["total"], 1), 1.0)
        at = part_text(part["done"], part["total"], part["of"])
        return Now(phase, spent, share=share, at=at, left_s=left, memory_bytes=memory)
    start, rate = status.get("start"), status.get("events_per_second")
    if phase != "run" or not start or not status.get("sim_ms"):
        return Now(phase, spent)
    at = clock_text(datetime.fromisoformat(str(start)), int(status["sim_ms"]))
    return Now(
        phase, spent, share=status.get("share"), at=at, rate=rate, left_s=left,
        memory_bytes=memory,
    )  # fmt: skip


class _Show:
    """A bar on a terminal, a line every ten seconds elsewhere, or nothing."""

    def __init__(self, *, quiet: bool, stream: TextIO | None) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.quiet = quiet
        self.written: float | None = None
        self.live: Any = None
        if not quiet and stream is None and self.stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self.live.start()

    def status(self, status: Mapping[str, Any]) -> None:
        from scenarios.progress import LINE_EVERY_S, painted

        if self.quiet or not status:
            return
        now = now_of(status)
        if self.live is not None:
            from rich.text import Text

            line = Text(painted(now), no_wrap=True, overflow="ellipsis")
            self.live.update(line, refresh=True)
            return
        at = time.monotonic()
        if self.written is None or at - self.written >= LINE_EVERY_S:
            self.written = at
            self.stream.write(now.text() + "\n")
            self.stream.flush()

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()


__all__ = ["find", "follow", "now_of", "register", "watch"]
