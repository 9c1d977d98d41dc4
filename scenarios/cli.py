"""The command line `twin`: a thin shell over the Python API.

It owns the commands, the exit codes, and what a person reads when something goes wrong.  It must
not hold any logic that a notebook would miss, and imports nothing heavy before a command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from scenarios import (
    cli_bench,
    cli_compare,
    cli_dashboard,
    cli_inspect,
    cli_list,
    cli_new,
    cli_prioritize,
    cli_replay,
    cli_run,
    cli_serve,
    cli_validate,
    cli_watch,
)

ClickException: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)

RUNS_DIR = Path("runs")

app = typer.Typer(
    name="twin",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="A digital twin of a mobile operator: people, cells, billing and real-time marketing.",
    epilog="Example: twin run city_day --subscribers 50000",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback()
def _root() -> None:
    """Take no options: every one belongs to a command."""


cli_run.register(app)
cli_replay.register(app)
cli_inspect.register(app)
cli_list.register(app)
cli_new.register(app)
cli_dashboard.register(app)
cli_watch.register(app)
cli_bench.register(app)
cli_compare.register(app)
cli_prioritize.register(app)
cli_serve.register(app)
cli_validate.register(app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code, never a trace on the screen.

    0 done, 1 internal error, 2 wrong input, 3 broken invariant, 4 limit or gate, 130 interrupted.
    """
    from sim.core.errors import TwinError

    try:
        result = app(list(arguments), prog_name="twin", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) and not isinstance(result, bool) else 0
        if code == 130:  # the parser turns Ctrl-C into this code
            _say("twin: interrupted")
        return code
    except TwinError as error:
        return _told(error)
    except ClickException as error:
        error.show()
        _suggest(error)
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _say("twin: interrupted")
        return 130
    except BrokenPipeError:
        # The reader has gone (`twin list | head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _unexpected(error)


def _told(error: Any) -> int:
    problems = getattr(error, "problems", ())
    if len(problems) > 1:
        _say(f"twin: {len(problems)} problems")
        for problem in problems:
            _say(f"  {problem}")
    else:
        _say(f"twin: {error}")
    return int(error.exit_code)


def _suggest(error: Any) -> None:
    """Name the nearest option for a misspelt one; commands are named by the parser itself."""
    from sim.core.errors import nearest

    name = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    if name is None or context is None or getattr(error, "possibilities", None):
        return
    known = [option for parameter in context.command.params for option in parameter.opts]
    close = nearest(str(name), known)
    if close is not None:
        _say(f"Did you mean {close}?")


def _unexpected(error: Exception) -> int:
    import tempfile
    import time
    import traceback

    name = time.strftime("error-%Y%m%dT%H%M%S") + f"-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    told = getattr(error, "run_folder", None)
    folders = [Path(told)] if told else []
    for folder in [*folders, RUNS_DIR, Path(tempfile.gettempdir())]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        where = folder / name
        break
    else:
        where = None
    reason = str(error).strip().split("\n")[0][:200]
    what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    trace = f"the trace is in {where}" if where is not None else "no log could be written"
    _say(f"twin: internal error, {what}; {trace}")
    return 1


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
