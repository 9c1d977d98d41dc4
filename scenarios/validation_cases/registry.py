"""Which model is computed by what: formulas, simulations, schedules.

It owns three tables from the words of a case file to functions, and the reading of parameters.
It must not judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scenarios.validation_cases.table import Value
from sim.core import rng
from sim.queueing.laws import Law

SERVERS_MAX = 20_000
"""Largest pool of a case."""


class Unsupported(ValueError):
    """A parameter set that no method here covers; the row is inconclusive, with this reason."""


class Values:
    """The parameters of a set; what is missing or of a wrong kind is `Unsupported`."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.told = told

    def number(self, name: str, default: float | None = None, *, least: float = 0.0) -> float:
        """Return a number of at least `least`."""
        value = self.told.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            raise Unsupported(f"parameter {name}: a number of at least {least:g} is needed")
        return float(value)

    def rate(self, name: str) -> float:
        """Return a number above 0."""
        value = self.number(name)
        if value <= 0:
            raise Unsupported(f"parameter {name}: must be above 0")
        return value

    def count(self, name: str, default: int | None = None, *, most: int = SERVERS_MAX) -> int:
        """Return a whole number from 0 to `most`."""
        value = self.number(name, default)
        if value != int(value) or value > most:
            raise Unsupported(f"parameter {name}: a whole number up to {most:,} is needed")
        return int(value)

    def numbers(self, name: str, *, most: int = 10_000) -> list[float]:
        """Return a list of numbers."""
        value = self.told.get(name)
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise Unsupported(f"parameter {name}: a list of numbers is needed")
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
            raise Unsupported(f"parameter {name}: a list of numbers is needed")
        return [float(x) for x in value]

    def law(self, name: str) -> Law:
        """Return a law."""
        value = self.told.get(name)
        if not isinstance(value, Mapping):
            raise Unsupported(f"parameter {name}: a law is needed")
        try:
            return Law.of(value)
        except (ValueError, TypeError) as error:
            raise Unsupported(f"parameter {name}: {error}") from None


class Draws:
    """Uniform numbers of one replication of one set, keyed by its name.

    Sets do not share a stream: with one stream for all, unrelated rows would err together.
    """

    def __init__(self, set_id: str, replication: int) -> None:
        self.set_id = set_id
        self.replication = replication

    def uniform(self, purpose: str, n: int) -> np.ndarray:
        """Return (n, 4) float64 in (0, 1)."""
        name = f"case {self.set_id}: {purpose}"
        words = rng.draws(self.replication, name, np.arange(n))
        return (words + 0.5) / 4294967296.0


Formula = Callable[[Values, Sequence[str]], Mapping[str, Value]]
"""(parameters, wanted metrics) -> value by metric; more than wanted does not hurt."""
Replication = Callable[[Values, Sequence[str], Draws], Mapping[str, float]]
"""(parameters, wanted metrics, draws) -> estimate of one replication by metric."""

FORMULAS: dict[str, Formula] = {}
SCHEDULES: dict[str, Formula] = {}
SIMULATIONS: dict[str, Replication] = {}


def formula(model: str) -> Callable[[Formula], Formula]:
    """Enter a closed form under the words of a model."""
    return lambda function: FORMULAS.setdefault(model, function)


def schedule(model: str) -> Callable[[Formula], Formula]:
    """Enter a deterministic schedule under the words of a model."""
    return lambda function: SCHEDULES.setdefault(model, function)


def simulation(model: str) -> Callable[[Replication], Replication]:
    """Enter a simulation under the words of a model."""
    return lambda function: SIMULATIONS.setdefault(model, function)


def tail_of(metric: str, prefix: str) -> float | None:
    """Return the number that a metric such as `P_Wq_gt_2.5` ends with, or None."""
    if not metric.startswith(prefix):
        return None
    try:
        return float(metric[len(prefix) :])
    except ValueError:
        return None


def quantile_of(metric: str) -> float | None:
    """Return the share of a metric such as `p95_T`, `p99_Wq`, `p999_T`, or None."""
    digits = metric[1:].split("_")[0]
    if not metric.startswith("p") or not digits.isdigit():
        return None
    return int(digits) / 10 ** len(digits)
