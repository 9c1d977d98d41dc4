"""The commands that look at a run: `twin report` and `twin explain`.

It owns how one subscriber's day is laid out on a terminal.  It must not know how a report is drawn
or how a line is run again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

ROWS_MAX = 400
"""Rows of a day that are printed; the rest is counted."""


class Format(StrEnum):
    """Formats of a report."""

    HTML = "html"
    MD = "md"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report", epilog="Example: twin report runs/my_run --format md")(report)
    app.command("explain", epilog="Example: twin explain runs/my_run --sub 4711")(explain)


def report(
    run: Annotated[str, common.RUN_ARGUMENT],
    form: Annotated[
        Format, typer.Option("--format", help="html writes a page; md and json are printed.")
    ] = Format.HTML,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write instead.", show_default=False),
    ] = None,
) -> None:
    """Tell a run as one self-contained page, as Markdown, or as JSON."""
    from sim.core.errors import ScenarioError

    try:
        _report(common.find_run(run), form, out_file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScenarioError(f"cannot be written: {reason}", file=error.filename) from error


def _report(folder: Path, form: Format, out_file: Path | None) -> None:
    from scenarios import report as pages

    if form is Format.HTML:
        out(str(pages.report(folder, out=out_file)))
        return
    if form is Format.MD:
        text = pages.markdown(folder)
    else:
        text = json.dumps(plain(pages.document(folder)), ensure_ascii=False, indent=2) + "\n"
    if out_file is None:
        out(text.rstrip("\n"))
    else:
        out_file.write_text(text, encoding="utf-8")
        out(str(out_file))


def explain(
    run: Annotated[str, common.RUN_ARGUMENT],
    sub: Annotated[int, typer.Option("--sub", help="Number of the line, from 0.", min=0)],
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Also every attribute of the profile 360.")
    ] = False,
    as_json: Annotated[bool, common.AS_JSON] = False,
) -> None:
    """Tell one subscriber's day, and every decision about it stage by stage."""
    folder = common.find_run(run)
    from scenarios.explain import explain as tell

    explanation = tell(folder, sub, attributes=attributes)
    if as_json:
        common.out_json(plain(explanation))
    else:
        out(render(explanation))


def plain(value: Any) -> Any:
    """Return an explanation as plain data: data frames and dataclasses become lists and dicts."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return [plain(row) for row in value.to_dict("records")]
    names = getattr(value, "__dataclass_fields__", None)
    if names is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and value != value:
        return None
    to_list = getattr(value, "tolist", None)
    if to_list is not None:
        return plain(to_list())  # numbers and arrays of NumPy
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def render(explanation: Any) -> str:
    """Return a day as text: who, what happened when, and each decision stage by stage.

    Parameters
    ----------
    explanation : object with `sub`, `run`, `recorded` (false: the line was run again), `note`,
        `profile` (mapping), `day` (rows with `time` and `what`, and more), `decisions` (rows with
        `time`, `trigger`, `outcome` and `stages`, each of `stage`, `verdict`, `detail`)
    """
    data = plain(explanation)
    lines = [f"line {data.get('sub')} of {data.get('run', 'the run')}"]
    if not data.get("recorded", True):
        lines.append("outside the recorded sample: this line was run again to tell its day")
    if data.get("note"):
        lines.append(str(data["note"]))
    profile = data.get("profile") or {}
    if profile:
        width = max(len(key) for key in profile)
        lines += ["", "who"]
        lines += [f"  {key.ljust(width)}  {_told(value)}" for key, value in profile.items()]
    lines += ["", *_day(data.get("day") or [])]
    lines += ["", *_decisions(data.get("decisions") or [])]
    return "\n".join([*lines, *_attributes(data.get("attributes") or [])])


def _attributes(rows: list[dict[str, Any]]) -> list[str]:
    """Return the attributes that are not empty as a table; `stale` is what the engine may see."""
    shown = [
        {**row, "value": _told(row["value"]), "stale": _told(row["stale"])}
        for row in rows
        if row["value"]
    ]
    if not rows:
        return []
    head = f"attributes, {len(rows)}, of which {len(shown)} are not empty or 0"
    columns = ["name", "value", "unit", "freshness_s", "stale"]
    return ["", head, common.table(shown, columns, indent="  ")]


def _day(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["the day", "  nothing was recorded"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    kept = [c for c in columns if any(row.get(c) not in (None, "") for row in rows)]
    shown = [{c: "" if row.get(c) is None else row[c] for c in kept} for row in rows[:ROWS_MAX]]
    lines = [f"the day, {len(rows)} rows", common.table(shown, kept, indent="  ")]
    if len(rows) > ROWS_MAX:
        lines.append(f"  and {len(rows) - ROWS_MAX} more; --json prints all")
    return lines


def _decisions(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["decisions", "  none: no trigger fired for this line"]
    lines = [f"decisions, {len(rows)}"]
    for row in rows:
        told = [str(row[key]) for key in ("time", "trigger") if row.get(key) not in (None, "")]
        outcome = row.get("outcome")
        lines.append("  " + "  ".join(told) + (f"  -> {outcome}" if outcome else ""))
        told = []
        for stage in row.get("stages") or []:
            parts = list(stage.values()) if isinstance(stage, dict) else list(stage)
            name, verdict, *detail = [_told(part) for part in parts] + ["", ""]
            told.append((name, verdict, "  ".join(part for part in detail if part)))
        first, second = (max((len(line[i]) for line in told), default=0) for i in (0, 1))
        lines += [f"    {a:<{first}}  {b:<{second}}  {c}".rstrip() for a, b, c in told]
    return lines


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3g}"
    if isinstance(value, list):
        return ", ".join(_told(part) for part in value)
    return "" if value is None else str(value)
