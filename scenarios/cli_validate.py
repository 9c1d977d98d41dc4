"""`twin validate --cases FILE`: the verdict of every row of a queueing-case file.

It owns the options and what a person reads.  It must not know any model.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios.cli_common import AS_JSON, QUIET, out, out_json, table

EXAMPLE = "Example: twin validate --cases cases.csv --only CCEA --json"
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate", epilog=EXAMPLE)(validate)


def validate(
    scenario: Annotated[str, typer.Argument(help="Not yet: see --cases.", hidden=True)] = "",
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE.csv", help="File of queueing cases.")
    ] = None,
    only: Annotated[
        str, typer.Option("--only", metavar="PREFIX", help="Only rows whose case_id begins so.")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with exit code 4 unless every row passes.")
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Hold the queues of the twin to a file of exact numbers: pass, fail or inconclusive.

    Each row is computed by formula, by simulation, or both; where there are both, both must pass.
    A row that nothing here covers is inconclusive, with the reason.
    """
    from sim.core.errors import LimitError, ScenarioError

    if cases is None:
        raise ScenarioError(
            "a validity report of scenarios is not there yet", file="twin validate",
            found=repr(scenario) if scenario else None, expected="--cases FILE.csv",
        )  # fmt: skip
    from scenarios.validation_cases.run import counts, validate_cases
    from scenarios.validation_cases.table import read_cases

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
