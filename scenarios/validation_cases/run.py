"""All rows of a case file: computed set by set, run until the intervals are narrow enough.

It owns the order of work and when to stop.  It must not know any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scenarios.validation_cases import (
    calculators,
    calculators_more,
    schedules,
    simulations,
    simulations_more,
)
from scenarios.validation_cases.registry import (
    FORMULAS,
    SCHEDULES,
    SIMULATIONS,
    Draws,
    Unsupported,
    Values,
)
from scenarios.validation_cases.table import Case, Value
from scenarios.validation_cases.verdicts import (
    INCONCLUSIVE,
    Sample,
    Verdict,
    judge,
    unknown,
)
from sim.queueing.erlang import Unstable

ROUND = 24
"""Replications between two looks at the intervals."""
ROUNDS_MAX = 6
MODELS = (calculators, calculators_more, schedules, simulations, simulations_more)
"""Modules whose import fills the registry."""

Told = Callable[[int, int], None]


def validate_cases(
    cases: Sequence[Case], *, told: Told = lambda done, total: None
) -> list[Verdict]:
    """Return the verdict of each row, in the order of the rows.

    Parameters
    ----------
    told : called with (rows done, rows) after each set
    """
    sets: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        key = (case.set_id, case.model, repr(sorted(case.parameters.items())))
        sets.setdefault(key, []).append(case)
    found: dict[str, Verdict] = {}
    for rows in sets.values():
        for verdict in validate_set(rows):
            found[verdict.case.case_id] = verdict
        told(len(found), len(cases))
    return [found[case.case_id] for case in cases]


def validate_set(rows: Sequence[Case]) -> list[Verdict]:
    """Return the verdicts of rows of one parameter set."""
    model = rows[0].model
    values = Values(rows[0].parameters)
    wanted = [case.metric for case in rows]
    compute = SCHEDULES.get(model) or FORMULAS.get(model)
    if compute is None and model not in SIMULATIONS:
        return [unknown(case, f"no method for the model {model!r}") for case in rows]
    try:
        exact = {} if compute is None else compute(values, wanted)
    except (Unsupported, Unstable, ValueError, ArithmeticError) as error:
        return [unknown(case, str(error)) for case in rows]
    samples, why = simulate(rows, values, wanted)
    verdicts = []
    for case in rows:
        value, sample = exact.get(case.metric), samples.get(case.metric)
        if value is None and sample is None:
            verdicts.append(unknown(case, why or f"no method for {case.metric!r} of {model!r}"))
        else:
            verdicts.append(judge(case, formula=value, sample=sample, schedule=model in SCHEDULES))
    return verdicts


def simulate(
    rows: Sequence[Case], values: Values, wanted: Sequence[str]
) -> tuple[Mapping[str, Sample], str]:
    """Return a sample of each simulated metric, and why there is none.

    Rounds of replications go on while any row is inconclusive, at most `ROUNDS_MAX`: a row that
    passes or fails is not run further, so that no verdict is picked by its result.
    """
    replicate = SIMULATIONS.get(rows[0].model)
    if replicate is None:
        return {}, ""
    numbers: dict[str, list[float]] = {}
    samples: dict[str, Sample] = {}
    for turn in range(ROUNDS_MAX):
        for k in range(turn * ROUND, (turn + 1) * ROUND):
            try:
                figures = replicate(values, wanted, Draws(rows[0].set_id, k))
            except Unsupported as error:
                return {}, str(error)
            for metric in wanted:
                if metric in figures:
                    numbers.setdefault(metric, []).append(float(figures[metric]))
        samples = {metric: Sample(tuple(found)) for metric, found in numbers.items()}
        if all(_narrow(case, samples) for case in rows):
            break
    return samples, ""


def _narrow(case: Case, samples: Mapping[str, Sample]) -> bool:
    sample = samples.get(case.metric)
    return sample is None or judge(case, formula=None, sample=sample).verdict != INCONCLUSIVE


def counts(verdicts: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """Return how many rows of each model passed, failed or stayed inconclusive."""
    out: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        of = out.setdefault(verdict.case.model, {"pass": 0, "fail": 0, "inconclusive": 0})
        of[verdict.verdict] += 1
    return out


__all__ = ["MODELS", "Value", "counts", "simulate", "validate_cases", "validate_set"]
