"""Estimates with intervals, from the integer sums that a run counts.

It owns the formulas: difference of means from n, sum and sum of squares, Wilson and Newcombe
intervals of shares.  It must not know which KPI they serve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from sim.core.errors import InvariantError

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
POWER = 0.8
"""Share of repetitions in which a true effect of the size `detectable` shows."""
SEEN = (Z + NormalDist().inv_cdf(POWER)) / Z
"""Half-widths of an interval that such an effect is away from 0."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at 95 % and the number of units behind it; None: not known."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def verdict(self) -> str:
        """Return where the interval lies: `above`, `below`, `not significant` or `unknown`."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "above"
        return "below" if self.high < 0 else "not significant"

    @property
    def detectable(self) -> float | None:
        """Return the smallest true effect that so many units show in `POWER` of all repetitions.

        An effect shows where the interval leaves out 0.  None where there is no interval, or one
        without width, which comes from arms in which nothing differs.
        """
        if self.low is None or self.high is None or self.high == self.low:
            return None
        return SEEN * (self.high - self.low) / 2


@dataclass(frozen=True)
class Sums:
    """Count, sum and sum of squares of one arm, exact integers."""

    n: int
    total: int
    squares: int

    @property
    def mean(self) -> float:
        """Return the mean; n must not be 0."""
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Return the sample variance; n must be at least 2.

        The numerator is exact; rounding of the squares may leave it below zero, which is cut.
        """
        return max(self.n * self.squares - self.total**2, 0) / (self.n * (self.n - 1))


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, or None where there is no whole."""
    return part / whole if whole else None


def rounded(value: float | None, digits: int = 6) -> float | None:
    """Return the value rounded for people, None where it is not known."""
    return None if value is None else round(value, digits)


def difference_of_means(a: Sums, b: Sums) -> Estimate:
    """Return mean(a) - mean(b) with Welch's interval.

    Without two units on each side the interval is None, without one on each the value is too.
    """
    n = a.n + b.n
    if not a.n or not b.n:
        return Estimate(None, None, None, n)
    value = a.mean - b.mean
    if a.n < 2 or b.n < 2:
        return Estimate(value, None, None, n)
    va, vb = a.variance / a.n, b.variance / b.n
    if va + vb == 0:
        return Estimate(value, value, value, n)
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    half = t_quantile(freedom) * math.sqrt(va + vb)
    return Estimate(value, value - half, value + half, n)


def t_quantile(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t, to 1 % from 2 degrees of freedom on.

    Below that a line joins the exact values at 1 and 2, which is on the safe side; further out it
    is Hill's expansion in 1 / freedom, exact to 1e-3 from 5 on.
    """
    v = max(freedom, 1.0)
    if v < 2:
        return 12.706 + (v - 1) * (4.303 - 12.706)
    z = Z
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160
    return z + g1 / v + g2 / v**2 + g3 / v**3 + g4 / v**4


def share(part: int, whole: int) -> Estimate:
    """Return a share with Wilson's interval."""
    if whole <= 0:
        return Estimate(None, None, None, max(whole, 0))
    if not 0 <= part <= whole:
        raise InvariantError("a part is larger than its whole", values=f"{part} of {whole}")
    p = part / whole
    z2 = Z * Z / whole
    middle = (p + z2 / 2) / (1 + z2)
    half = Z * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole)) / (1 + z2)
    return Estimate(p, max(middle - half, 0.0), min(middle + half, 1.0), whole)


def difference_of_shares(a_part: int, a_whole: int, b_part: int, b_whole: int) -> Estimate:
    """Return share(a) - share(b) with Newcombe's interval (his method 10)."""
    a, b = share(a_part, a_whole), share(b_part, b_whole)
    n = a.n + b.n
    if a.value is None or b.value is None:
        return Estimate(None, None, None, n)
    assert a.low is not None and a.high is not None and b.low is not None and b.high is not None
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, n)


def two_sided_p(part: int, whole: int, expected: float) -> float | None:
    """Return the normal two-sided p-value of a share against its expectation."""
    if not whole or not 0 < expected < 1:
        return None
    z = (part - whole * expected) / math.sqrt(whole * expected * (1 - expected))
    return math.erfc(abs(z) / math.sqrt(2))
