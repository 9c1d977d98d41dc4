"""`twin validate`: a scenario against published ranges, or queues against a file of exact numbers.

It owns the options and what a person reads.  It must not know any model.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import AS_JSON, QUIET, out, out_json, table

EXAMPLE = "Example: twin validate city_day --subscribers 20000, or twin validate --cases cases.csv"
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate", epilog=EXAMPLE)(validate)


def validate(
    scenario: Annotated[
        str, typer.Argument(help="Scenario (name or YAML file), or a finished run folder.")
    ] = "",
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    response: Annotated[
        float,
        typer.Option("--response", metavar="SHARE", min=0.0, max=0.9, show_default=False,
                     help="Run twice more with people's response lower and higher by this share."),
    ] = 0.0,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE.csv", help="File of queueing cases.")
    ] = None,
    only: Annotated[
        str, typer.Option("--only", metavar="PREFIX", help="Only rows whose case_id begins so.")
    ] = "",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Leave with exit code 4 unless every row passes (--cases), "
                     "or if a row is outside its range."),
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:  # fmt: skip
    """Hold a scenario to published ranges, or queues to a file of exact numbers.

    A scenario is run and its figures are put beside the ranges of the field.  Rows say whether the
    model was given the number (input), fitted to it (calibrated) or neither (held-out): held-out
    rows alone are evidence.

    With --cases each row is computed by formula, by simulation, or both; where there are both,
    both must pass.  A row that nothing here covers is inconclusive, with the reason.
    """
    from sim.core.errors import ScenarioError

    if (cases is None) == (not scenario):
        raise ScenarioError(
            "nothing to validate" if cases is None else "two things to validate",
            file="twin validate", expected="a scenario, a run folder or --cases FILE.csv",
        )  # fmt: skip
    if cases is not None:
        _cases(cases, only, strict=strict, as_json=as_json, quiet=quiet)
        return
    if Path(scenario, "kpis.json").is_file():
        told = [common.read_json(Path(scenario) / "kpis.json")]
    else:
        loaded = common.load_with(
            scenario, settings=settings or (), subscribers=subscribers, days=days, seed=seed
        )
        told = _runs(loaded, response, quiet=quiet or as_json)
    _tell(told, strict=strict, as_json=as_json)


def _runs(loaded: Any, response: float, *, quiet: bool) -> list[Any]:
    """Return the figures of the scenario, and of two more with another response of people."""
    from scenarios.progress import make_progress
    from scenarios.validity import scaled

    factors = (1.0, 1 - response, 1 + response) if response else (1.0,)
    told = []
    for factor in factors:
        progress = make_progress(start=loaded.model.clock.start, quiet=quiet)
        try:
            changed = loaded.with_(**scaled(loaded.model, factor)) if factor != 1 else loaded
            told.append(changed.run(progress=progress).kpis)
        finally:
            progress.close()
    return told


def _tell(told: list[Any], *, strict: bool, as_json: bool) -> None:
    """Print the table of the first run, and the red flags of all."""
    from scenarios.validity import rank_flags, validity
    from sim.core.errors import LimitError, ScenarioError

    if told[0] is None or "use_cases" not in told[0]:
        raise ScenarioError("not the figures of a run", file="kpis.json")
    rows = validity(told[0])
    flags = [*told[0].get("red_flags", []), *(rank_flags(told) if len(told) > 1 else [])]
    if as_json:
        out_json({"rows": rows, "red_flags": flags})
    else:
        columns = ["figure", "value", "low", "high", "unit", "n", "kind", "verdict"]
        out(table([row | _short(row) for row in rows], columns))
        for flag in flags:
            out(f"RED FLAG: {flag}")
    outside = [row["figure"] for row in rows if row["verdict"] == "outside"]
    if strict and (outside or flags):
        raise LimitError(f"outside: {', '.join(outside) or 'none'}; red flags: {len(flags)}")


def _short(row: dict[str, Any]) -> dict[str, str]:
    """Return the numbers of a row with four digits that count."""
    return {k: "-" if row[k] is None else f"{row[k]:.4g}" for k in ("value", "low", "high")}


def _cases(cases: Path, only: str, *, strict: bool, as_json: bool, quiet: bool) -> None:
    from scenarios.validation_cases.run import counts, validate_cases
    from scenarios.validation_cases.table import read_cases
    from sim.core.errors import LimitError, ScenarioError

    rows = read_cases(cases)
    chosen = [case for case in rows if case.case_id.startswith(only)]
    if not chosen:
        raise ScenarioError(
            "no row begins so", file=str(cases), path="--only", found=repr(only),
            expected="a prefix such as " + repr(rows[0].set_id),
        )  # fmt: skip
    verdicts = validate_cases(chosen, told=_progress(quiet or as_json))
    by_model = counts(verdicts)
    total = {
        key: sum(n[key] for n in by_model.values()) for key in ("pass", "fail", "inconclusive")
    }
    if as_json:
        out_json({"rows": [verdict.row() for verdict in verdicts], "counts": total})
    else:
        _show(verdicts, by_model, total)
    if strict and total["pass"] < len(verdicts):
        raise LimitError(f"{len(verdicts) - total['pass']} of {len(verdicts)} rows did not pass")


def _progress(silent: bool) -> Any:
    if silent or not sys.stderr.isatty():
        return lambda done, total: None

    def told(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done} of {total} rows{end}")
        sys.stderr.flush()

    return told


def _show(verdicts: list[Any], by_model: dict[str, dict[str, int]], total: dict[str, int]) -> None:
    rows = [{"model": model, **n} for model, n in by_model.items()]
    out(table(rows, ["model", "pass", "fail", "inconclusive"]))
    out()
    wrong = [verdict for verdict in verdicts if verdict.verdict != "pass"]
    for verdict in wrong[:SHOWN]:
        out(f"{verdict.verdict}: {verdict.case.case_id}: {verdict.reason}")
    if len(wrong) > SHOWN:
        out(f"... and {len(wrong) - SHOWN} more; --json shows all")
    methods: dict[str, int] = {}
    for verdict in verdicts:
        methods[verdict.method] = methods.get(verdict.method, 0) + 1
    out("methods: " + ", ".join(f"{n} by {method}" for method, n in sorted(methods.items())))
    out(f"{total['pass']} pass, {total['fail']} fail, {total['inconclusive']} inconclusive")
