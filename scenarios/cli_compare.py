"""The command `twin compare`: two scenarios or runs on common random numbers.

It owns the options and what is printed.  It must not know how anything is compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

SHOWN_MAX = 12
"""Figures beyond noise that are printed; the rest is counted."""
PEOPLE_MAX = 5
SIDE = "Name of a scenario, path of a YAML file, or a finished run folder."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "compare",
        epilog="Example: twin compare city_day city_day --set-b rtm.cap.contacts=1 "
        "--subscribers 20000 --replications 8",
    )(compare)


def compare(
    a: Annotated[str, typer.Argument(help=SIDE)],
    b: Annotated[str, typer.Argument(help=SIDE)],
    replications: Annotated[
        int | None,
        typer.Option("--replications", min=1, show_default=False,
                     help="Pairs of runs, seeds SEED to SEED+N-1; 1 by default, 30 at most with "
                     "a target."),
    ] = None,
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    only_a: Annotated[
        list[str] | None,
        typer.Option("--set-a", metavar="PATH=VALUE", help="Set a key of A alone; repeat it.",
                     show_default=False),
    ] = None,
    only_b: Annotated[
        list[str] | None,
        typer.Option("--set-b", metavar="PATH=VALUE", help="Set a key of B alone; repeat it.",
                     show_default=False),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target-half-width", metavar="KPI=VALUE", show_default=False,
                     help="Stop once this figure's interval is +-VALUE; repeat it."),
    ] = None,
    changed: Annotated[
        int, typer.Option(min=0, max=1_000, help="Changed subscribers to look into.")
    ] = 20,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the comparison; must not exist.",
                     show_default=False),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
    quiet: Annotated[bool, common.QUIET] = False,
) -> None:  # fmt: skip
    """Compare two scenarios, person by person: paired differences with intervals.

    Both sides use the same random draws wherever their difference does not reach, so that what is
    left is the difference itself, not luck.
    """
    from scenarios.compare import Options
    from scenarios.compare import compare as study
    from scenarios.loader import set_option
    from scenarios.progress import make_progress
    from sim.core.errors import LimitError

    named = {"subscribers": subscribers, "days": days, "seed": seed}
    asked = Options(
        replications=replications,
        both=(*(set_option(text) for text in settings or ()), *common.named_overrides(named)),
        only_a=tuple(set_option(text, option="--set-a") for text in only_a or ()),
        only_b=tuple(set_option(text, option="--set-b") for text in only_b or ()),
        targets=_targets(targets or ()),
        changed=changed,
        out=out_dir,
    )
    done = study(a, b, asked, progress=lambda start: make_progress(start=start, quiet=quiet))
    if as_json:
        common.out_json({**done.document, "folder": os.fspath(done.path)})
    elif quiet:
        out(str(done.path))
    else:
        out(summary(done.document, done.path))
    if done.missed:
        raise LimitError("; ".join(done.missed) + f"; the comparison is complete: {done.path}")


def _targets(texts: Sequence[str]) -> dict[str, float]:
    from sim.core.errors import Problem, ScenarioError

    found: dict[str, float] = {}
    problems = []
    for text in texts:
        name, sign, value = text.partition("=")
        try:
            if not sign or not name.strip():
                raise ValueError(text)
            found[name.strip()] = float(value)
        except ValueError:
            problems.append(
                Problem("not a target", file="--target-half-width", found=repr(text),
                        expected="KPI=VALUE, such as charging.recharge_minor=50000")
            )  # fmt: skip
    if problems:
        raise ScenarioError.collect(problems)
    return found


def summary(document: Mapping[str, Any], path: Path) -> str:
    """Return a comparison in a screen."""
    lines = [document["headline"], ""]
    rows = []
    from scenarios.compare.words import is_headline

    beyond = [
        name for name, basis in document["basis"].items()
        if basis["beyond_noise"] and is_headline(name)
    ]  # fmt: skip
    for name in beyond[:SHOWN_MAX]:
        kpi, basis = document["kpis"][name], document["basis"][name]
        gain = basis["variance_reduction"]
        rows.append({
            "figure": name, "A": kpi["a"], "B": kpi["b"], "B - A": kpi["difference"],
            "low": kpi["low"], "high": kpi["high"], "n": basis["n"],
            "saved": "-" if gain is None else f"{gain:.3g}x",
        })  # fmt: skip
    if rows:
        columns = ("figure", "A", "B", "B - A", "low", "high", "n", "saved")
        lines.append(common.table(rows, columns, indent="  "))
        if len(beyond) > SHOWN_MAX:
            lines.append(f"  and {len(beyond) - SHOWN_MAX} more beyond noise")
        lines.append("  saved: variance of the unpaired difference over that of the paired one")
    else:
        lines.append("  no figure differs beyond its interval")
    for row in document["changed"][:PEOPLE_MAX]:
        lines.append(_person(row))
    for target in document["targets"]:
        lines.append(f"  target      {target['says']}")
    lines += [f"  note        {caveat}" for caveat in document["caveats"]]
    lines += [f"  folder      {path}", f"  page        {path / 'compare.html'}"]
    return "\n".join(lines)


def _person(row: Mapping[str, Any]) -> str:
    head = f"  subscriber  {row['sub']}: "
    if row["ts_ms"] is None:
        return head + "no event differs, only what is remembered or felt"
    return head + f"{row['time']}, A: {row['a'] or 'nothing'}; B: {row['b'] or 'nothing'}"
