"""The command `twin bench`: the table of speed and size.

It owns the options, the progress and what is printed.  It must not know how anything is measured.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", epilog="Example: twin bench --quick --only loop --only mini")(bench)


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller sizes, fewer runs: under 3 minutes.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Measure these rows alone; repeat it.",
                     show_default=False),
    ] = None,
    lines: Annotated[
        int, typer.Option(help="Lines, or recorded rows, in place of each row's own.",
                          show_default=False, min=0)
    ] = 0,
    repeats: Annotated[
        int, typer.Option(help="Runs in place of each row's own.", show_default=False, min=0)
    ] = 0,
    growth: Annotated[
        str, typer.Option(help="Millions of lines of the growth row, such as 0.1,1,10,78.",
                          show_default=False)
    ] = "",
    national: Annotated[
        str, typer.Option(metavar="RUN", help="Finished run of the national day to read.",
                          show_default=False)
    ] = "",
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results; tests/bench/results in a checkout.",
                     show_default=False),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:  # fmt: skip
    """Measure speed, memory and start time against their targets, beside other engines.

    The full benchmark takes about 20 minutes on two cores; let nothing else run.
    """
    from scenarios.bench import session
    from scenarios.bench.rows import Options, chosen
    from scenarios.bench.table import render
    from sim.core.errors import ScenarioError

    names = tuple(only or ())
    groups = chosen(names)
    told_of = str(common.find_run(national)) if national else ""
    options = Options(quick, _millions(growth), told_of, lines, repeats)
    told = session.run(groups, options, tell=None if quiet else _Progress())
    if names:
        told["only"] = list(names)
    folder = session.results_folder(out_dir)
    try:
        paths = session.write(told, folder) if folder is not None else ()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScenarioError(f"cannot be written: {reason}", file=error.filename) from error
    if as_json:
        common.out_json(told)
        return
    out(render(told))
    if paths:
        out("\n" + "\n".join(str(path) for path in paths))


def _millions(text: str) -> tuple[int, ...]:
    """Return numbers of lines from millions, comma by comma."""
    from sim.core.errors import ScenarioError

    try:
        sizes = tuple(round(float(part) * 1_000_000) for part in text.split(",") if part.strip())
    except (ValueError, OverflowError):
        sizes = (-1,)
    if any(not 1_000 <= size <= 1_000_000_000 for size in sizes):
        raise ScenarioError(
            "not numbers of lines", file="--growth", found=repr(text),
            expected="millions between 0.001 and 1000, such as 0.1,1,10,78",
        )  # fmt: skip
    return sizes


class _Progress:
    """Writes a line on standard error before each group."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, name: str, done: int, of: int, left_s: float) -> None:
        gone = time.monotonic() - self.began
        sys.stderr.write(
            f"bench {done + 1}/{of}  {name:<10}  {_span(gone)} gone, about {_span(left_s)} left\n"
        )
        sys.stderr.flush()


def _span(seconds: float) -> str:
    whole: Any = round(max(seconds, 0))
    return f"{whole // 60}:{whole % 60:02d}"
