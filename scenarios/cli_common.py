"""What the commands share: options of a scenario, moments of time, tables, JSON.

It owns the names of the common options.  It must not know any command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from scenarios.api import LoadedScenario, Override

SCENARIO_ARGUMENT = typer.Argument(help="Name in the library, or path of a YAML file.")
RUN_ARGUMENT = typer.Argument(help="Run folder, or its name below runs/.")
SUBSCRIBERS = typer.Option("--subscribers", help="Simulated lines.", show_default=False)
DAYS = typer.Option("--days", help="Length in days; may be fractional.", show_default=False)
SEED = typer.Option("--seed", help="Root of every random draw.", show_default=False)
SETTINGS = typer.Option(
    "--set", metavar="PATH=VALUE", show_default=False,
    help="Set a key of the scenario, such as rtm.enabled=false; repeat it.",
)  # fmt: skip
RUNTIME = typer.Option(help="embedded, ray or paranoid.", show_default=False)
PARTITIONS = typer.Option(help="Parts of the population.", show_default=False)
HOSTS = typer.Option(help="Workers; 0 is one per core.", show_default=False)
OUT_DIR = typer.Option("--out", help="The run folder itself; must not exist.", show_default=False)
RESUME = typer.Option("--resume", help="Go on with the newest interrupted run of it.")
STOP_AT = typer.Option(
    help="Stop there as Ctrl-C does: 18:00, 36h, or a date.", metavar="TIME", show_default=False
)
QUIET = typer.Option("--quiet", help="Show no progress.")
AS_JSON = typer.Option("--json", help="One JSON document on standard output, nothing else.")

_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?"
                   r"(?:(\d+(?:\.\d+)?)s)?")  # fmt: skip
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?")
_DAY_MS = 86_400_000


def load_with(scenario: str, *, settings: Sequence[str] = (), **options: Any) -> LoadedScenario:
    """Load a scenario with the options of the command line laid on it.

    Parameters
    ----------
    settings : texts `path=value` of `--set`
    **options : values by option name, as in `SHORT_KEYS`; None means not given. They win over
        `settings`
    """
    from scenarios.loader import load, set_option

    overrides: list[str | Override] = [set_option(text) for text in settings]
    return load(scenario, overrides=[*overrides, *named_overrides(options)])


def named_overrides(options: Mapping[str, Any]) -> list[Override]:
    """Return what the options of a scenario set, by option name; None means not given."""
    from scenarios.api import SHORT_KEYS

    return [
        _named(option, SHORT_KEYS[option], value)
        for option, value in options.items()
        if value is not None
    ]


def _named(option: str, key: str, value: Any) -> Override:
    from scenarios.api import Override
    from scenarios.yaml12 import make_node

    label = f"--{option.replace('_', '-')} {value}"
    return Override(tuple(key.split(".")), make_node(value, file=label))


def moment_ms(text: str, *, start: str, option: str = "--stop-at") -> int:
    """Return ms since the start of the scenario.

    Parameters
    ----------
    text : `36h`, `1d12h`, `90min`, hours as a number, a time of day (its first time after the
        start), or a date with time
    start : start of the scenario, local ISO time
    """
    from datetime import datetime, timedelta

    from sim.core.errors import ScenarioError

    begin = datetime.fromisoformat(start)
    told = text.strip()
    wrong = ScenarioError(
        "not a moment after the start", file=option, found=repr(text),
        expected=f"36h, 1d12h, 90min, 18:00 or a date such as {start}",
    )  # fmt: skip
    clock = _CLOCK.fullmatch(told)
    if clock is not None:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        wanted = begin.replace(hour=0, minute=0) + timedelta(
            hours=hours, minutes=minutes, seconds=seconds
        )
        return round(((wanted - begin) / timedelta(milliseconds=1)) % _DAY_MS) or _DAY_MS
    span = _SPAN.fullmatch(told)
    if told and span is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in span.groups())
        ms = round(days * _DAY_MS + hours * 3_600_000 + minutes * 60_000 + seconds * 1000)
    else:
        try:
            if re.fullmatch(r"\d+(\.\d+)?", told):
                ms = round(float(told) * 3_600_000)
            else:
                ms = round((datetime.fromisoformat(told) - begin) / timedelta(milliseconds=1))
        except (ValueError, TypeError, OverflowError):
            raise wrong from None
    if not 0 < ms <= 2**53:
        raise wrong
    return ms


def find_run(name: str | Path, *, runs_dir: Path = Path("runs")) -> Path:
    """Return the folder of a run, complete or not, from its path or its name below `runs/`."""
    from sim.core.errors import ScenarioError, nearest

    for path in (Path(name), runs_dir / str(name), runs_dir / f"{name}.part"):
        try:
            if (path / "manifest.json").is_file() or (path / "status.json").is_file():
                return path
        except (OSError, ValueError):
            continue
    known = run_names(runs_dir)
    close = nearest(Path(name).name, known)
    hint = f", did you mean {close}?" if close else ""
    raise ScenarioError(
        f"no such run{hint}", found=repr(str(name)),
        expected="a run folder: " + (", ".join(known[-4:]) or "`twin run city_day` makes one"),
    )  # fmt: skip


def run_names(runs_dir: Path) -> list[str]:
    """Return the names of the runs of a folder, sorted."""
    if not runs_dir.is_dir():
        return []
    marks = ("manifest.json", "status.json")
    folders = [path for path in runs_dir.iterdir() if path.is_dir()]
    return sorted(path.name for path in folders if any((path / m).is_file() for m in marks))


def read_json(path: Path, *, bytes_max: int = 64 * 1024 * 1024) -> dict[str, Any] | None:
    """Return a JSON object of a file of ours, or None where it is absent or damaged."""
    try:
        if path.stat().st_size > bytes_max:
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def out(text: str = "") -> None:
    """Write a line on standard output."""
    sys.stdout.write(text + "\n")


def out_json(data: Any) -> None:
    """Write one JSON document on standard output."""
    out(json.dumps(data, ensure_ascii=False, indent=2, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()  # numbers and arrays of NumPy
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, indent: str = "") -> str:
    """Return rows as aligned columns with a header; numbers to the right."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    right = [
        all(isinstance(row.get(c), int | float | None) for row in rows) and bool(rows)
        for c in columns
    ]
    widths = [
        max(len(column), *(len(line[i]) for line in cells)) if cells else len(column)
        for i, column in enumerate(columns)
    ]
    lines = []
    for line in [list(columns), *cells]:
        parts = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append((indent + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value) or "-"
    return str(value).replace("\n", " ")
