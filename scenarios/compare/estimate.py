"""Paired differences with intervals, by replications or by lines.

It owns the flattening of `kpis.json`, the paired t interval, and what pairing saved.  It must not
know where the figures come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenarios.estimates import t_quantile

Values = Mapping[str, float | int]

BY_SEEDS = "replications"
BY_LINES = "lines"
BY_SAMPLE = "sampled lines"
BY_NOTHING = "no line differs"
CHANGED_MIN = 10
"""Lines that must differ before a normal interval over lines is given."""
PAIRS_MIN = 4
"""Replications before a target may stop the sequence: fewer know too little of their spread."""


@dataclass(frozen=True)
class Difference:
    """What a figure is on each side, and by how much B is above A.

    Attributes
    ----------
    a, b : means over the replications; None where a side does not have the figure
    low, high : interval of the difference at 95 %; None where nothing can be said
    n : pairs that the interval stands on: replications, or lines
    estimator : what was paired; empty without an interval
    reduction : variance of the unpaired difference over that of the paired one; None: not known
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    estimator: str = ""
    reduction: float | None = None

    @property
    def beyond_noise(self) -> bool:
        """Return whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def half_width(self) -> float | None:
        """Return half the length of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class LineSpread:
    """Spread of one figure over lines: what a single pair of runs knows of its own noise.

    Attributes
    ----------
    n : lines looked at
    n_lines : lines behind the figure
    changed : of those looked at, lines whose figure differs
    variance : of the paired difference of one line
    unpaired : variance of one line in A plus that in B
    mean : True where the figure is a mean over lines, not a sum
    """

    n: int
    n_lines: int
    changed: int
    variance: float
    unpaired: float
    mean: bool = False


def flat(kpis: Mapping[str, Any], prefix: str = "") -> dict[str, float | int]:
    """Return every number of a nested document by its dotted name; truth values are no numbers."""
    out: dict[str, float | int] = {}
    for key, value in kpis.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            out.update(flat(value, f"{name}."))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            out[name] = value
    return out


def differences(
    a: Sequence[Values],
    b: Sequence[Values],
    *,
    spreads: Mapping[str, LineSpread] | None = None,
    unchanged: bool = False,
) -> dict[str, Difference]:
    """Return the paired difference of every figure, in the order of A, then what B alone has.

    Parameters
    ----------
    a, b : figures by replication; the i-th of both have the same seed
    spreads : spread over lines of some figures, used where there is one replication
    unchanged : no line differs in any replication, so that equal figures are equal for certain
    """
    names = list(dict.fromkeys(name for values in (*a, *b) for name in values))
    found = {name: _one(name, a, b, spreads or {}) for name in names}
    if unchanged:
        found = {name: _certain(d) if d.difference == 0 else d for name, d in found.items()}
    return found


def _certain(d: Difference) -> Difference:
    if d.estimator:
        return d
    return Difference(d.a, d.b, 0, 0, 0, max(d.n, 1), BY_NOTHING)


def _one(
    name: str, a: Sequence[Values], b: Sequence[Values], spreads: Mapping[str, LineSpread]
) -> Difference:
    # A figure that some runs do not have (a share of nothing) is paired over those that do.
    pairs = [(x[name], y[name]) for x, y in zip(a, b, strict=True) if name in x and name in y]
    if not pairs:
        return Difference(_mean(a, name), _mean(b, name), None)
    if len(pairs) > 1:
        return by_replications(pairs)
    x, y = pairs[0]
    found = Difference(x, y, y - x, n=0 if len(a) == 1 else 1)
    return _by_lines(found, spreads[name]) if name in spreads and len(a) == 1 else found


def by_replications(pairs: Sequence[tuple[float, float]]) -> Difference:
    """Return the mean paired difference with its t interval; at least two pairs (a, b)."""
    n = len(pairs)
    a, b = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float)
    # Differences of the numbers themselves: exact for integers, so that equals give exactly 0.
    d = np.array([y - x for x, y in pairs], float)
    value, variance = math.fsum(d) / n, float(np.var(d, ddof=1))
    half = t_quantile(n - 1) * math.sqrt(variance / n)
    unpaired = float(np.var(a, ddof=1) + np.var(b, ddof=1))
    return Difference(
        math.fsum(a) / n, math.fsum(b) / n, value, value - half, value + half, n, BY_SEEDS,
        unpaired / variance if variance > 0 else None,
    )  # fmt: skip


def spread(
    a: np.ndarray, b: np.ndarray, *, n_lines: int | None = None, mean: bool = False
) -> LineSpread:
    """Return the spread of a figure from the values of the same lines on both sides.

    Parameters
    ----------
    a, b : (n,) values of one line each
    n_lines : lines behind the figure, where `a` and `b` are a sample of them
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    d = y - x
    n = len(d)
    if n < 2:
        return LineSpread(n, n_lines or n, int(np.count_nonzero(d)), 0.0, 0.0, mean)
    return LineSpread(
        n, n_lines or n, int(np.count_nonzero(d)), float(np.var(d, ddof=1)),
        float(np.var(x, ddof=1) + np.var(y, ddof=1)), mean,
    )  # fmt: skip


def _by_lines(found: Difference, of: LineSpread) -> Difference:
    """Return a difference with the interval that its spread over lines gives, if any."""
    if of.n < 2 or of.changed < CHANGED_MIN or found.difference is None:
        return found
    scale = math.sqrt(of.n_lines) if not of.mean else 1 / math.sqrt(of.n_lines)
    half = t_quantile(of.n - 1) * math.sqrt(of.variance) * scale
    return Difference(
        found.a, found.b, found.difference, found.difference - half, found.difference + half, of.n,
        BY_LINES if of.n == of.n_lines else BY_SAMPLE,
        of.unpaired / of.variance if of.variance > 0 else None,
    )  # fmt: skip


def enough(a: Sequence[Values], b: Sequence[Values], targets: Mapping[str, float], n: int) -> bool:
    """Return whether the first `n` replications reach every target half-width."""
    if n < PAIRS_MIN:
        return False
    return all(
        (half := _one(name, a[:n], b[:n], {}).half_width) is not None and half <= wanted
        for name, wanted in targets.items()
    )


def _mean(values: Iterable[Values], name: str) -> float | None:
    found = [v[name] for v in values if name in v]
    return math.fsum(found) / len(found) if found else None
