"""The verdict of a row: `pass`, `fail` or `inconclusive`, from a formula, a run, or both.

It owns the rules.  A formula must give the number to 1e-6.  A simulation passes when its estimate
is within the row's tolerance, the half-width of its 99 % interval is at most the tolerance, and
the estimate is within four standard errors.  Every method that there is must pass.  It must not
know any model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.validation_cases.table import Case, Value

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
FORMULA_TOLERANCE = 1e-6
"""Largest relative error of a formula, whatever the row's tolerance says."""
LEVEL = 0.99
ERRORS_MAX = 4.0
"""Standard errors between an estimate and the number: finds a bias that the tolerance hides."""
REPLICATIONS_MIN = 10


@dataclass(frozen=True)
class Sample:
    """One estimate for each replication."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the point estimate."""
        return math.fsum(self.values) / len(self.values)

    @property
    def error(self) -> float:
        """Return its standard error."""
        n = len(self.values)
        if n < 2:
            return math.inf
        spread = math.fsum((x - self.mean) ** 2 for x in self.values) / (n - 1)
        return math.sqrt(spread / n)

    @property
    def half_width(self) -> float:
        """Return half of the 99 % t interval."""
        if len(self.values) < REPLICATIONS_MIN:
            return math.inf
        return t_quantile((1 + LEVEL) / 2, len(self.values) - 1) * self.error


def t_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t law, for shares above one half."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    scale /= math.sqrt(freedom * math.pi)

    def below(t: float) -> float:
        x = t / 2 * (1 + nodes)
        density = scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)
        return 0.5 + float((density * weights).sum()) * t / 2

    low, high = 0.0, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < share else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Verdict:
    """What became of a row.

    Attributes
    ----------
    estimate : the run's estimate where there is one, else the formula's or the schedule's value
    low, high : 99 % interval of a run; both the estimate where nothing is drawn
    method : `simulation`, `formula`, `formula and simulation`, `schedule` or `none`
    reason : why it is not a pass, or ""
    """

    case: Case
    verdict: str
    estimate: Value | None
    low: Value | None
    high: Value | None
    method: str
    reason: str
    formula: Value | None = None
    replications: int = 0

    def row(self) -> dict[str, Any]:
        """Return the row of the JSON document."""
        return {
            "case_id": self.case.case_id,
            "verdict": self.verdict,
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "expected": self.case.expected,
            "tolerance": self.case.tolerance,
            "method": self.method,
            "formula": self.formula,
            "replications": self.replications,
            "reason": self.reason,
        }


def unknown(case: Case, reason: str) -> Verdict:
    """Return the verdict of a row that nothing was computed for."""
    return Verdict(case, INCONCLUSIVE, None, None, None, "none", reason)


def distance(estimate: float, expected: float) -> float:
    """Return the relative error, or the absolute one where the number is 0."""
    return abs(estimate - expected) / (abs(expected) or 1.0)


def judge(
    case: Case, *, formula: Value | None, sample: Sample | None, schedule: bool = False
) -> Verdict:
    """Return the verdict of a row.

    Parameters
    ----------
    formula : value of a closed form, or of a schedule that holds no chance
    sample : estimates of a simulation
    schedule : `formula` is a schedule
    """
    if formula is None and sample is None:
        return unknown(case, "neither a formula nor a simulation of this number")
    right, why = (True, "") if formula is None else _exact(case, formula, schedule=schedule)
    if sample is None:
        method = "schedule" if schedule else "formula"
        verdict = PASS if right else FAIL
        return Verdict(case, verdict, formula, formula, formula, method, why, formula)
    state, why_run = _simulated(case, sample)
    method = "simulation" if formula is None else "formula and simulation"
    verdict = FAIL if not right else state
    half = sample.half_width
    wide = math.isinf(half)
    return Verdict(
        case, verdict, sample.mean, None if wide else sample.mean - half,
        None if wide else sample.mean + half, method,
        "; ".join(part for part in (why, why_run) if part), formula, len(sample.values),
    )  # fmt: skip


def _exact(case: Case, value: Value, *, schedule: bool) -> tuple[bool, str]:
    expected = case.expected
    tolerance = FORMULA_TOLERANCE if not schedule else min(case.tolerance, FORMULA_TOLERANCE)
    if case.tolerance == 0:
        tolerance = 0.0
    what = "schedule" if schedule else "formula"
    if isinstance(value, list) != isinstance(expected, list):
        return False, f"the {what} gives another form of number"
    if isinstance(value, list) and isinstance(expected, list):
        if len(value) != len(expected):
            return False, f"the {what} gives {len(value)} numbers, not {len(expected)}"
        errors = [distance(a, b) for a, b in zip(value, expected, strict=True)]
        worst = max(errors, default=0.0)
    else:
        assert not isinstance(value, list) and not isinstance(expected, list)
        worst = distance(value, expected)
    if worst <= tolerance:
        return True, ""
    return False, f"the {what} is off by {worst:.3g}, at most {tolerance:g}"


def _simulated(case: Case, sample: Sample) -> tuple[str, str]:
    if isinstance(case.expected, list):
        return FAIL, "a list is no estimate of a simulation"
    off = distance(sample.mean, case.expected)
    scale = abs(case.expected) or 1.0
    half = sample.half_width / scale
    errors = off * scale / sample.error if sample.error > 0 else (0.0 if off == 0 else math.inf)
    if errors > ERRORS_MAX:
        return FAIL, f"the simulation is off by {off:.3g}, {errors:.1f} standard errors"
    if half > case.tolerance:
        return INCONCLUSIVE, f"too short: half-width {half:.3g}, at most {case.tolerance:g}"
    if off > case.tolerance:
        return FAIL, f"the simulation is off by {off:.3g}, at most {case.tolerance:g}"
    return PASS, ""
