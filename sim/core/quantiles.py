"""Distributions as integer tables, built once by the driver and read by kernels.

It owns the making of inverse-distribution tables (log-normal, negative binomial, any quantile
function) and the one look-up that kernels use.  It must not know what the numbers mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from sim.core.kernel import hot

BITS = 10
FEW = 6
"""Entries of a table of counts that are compared at once."""
SIZE = 1 << BITS
"""Entries of a quantile table; a draw picks one by its upper bits."""


def table(quantile: Callable[[float], float]) -> np.ndarray:
    """Return the (1024,) int64 midpoint quantiles of a distribution, rounded to integers."""
    return np.array([round(quantile((i + 0.5) / SIZE)) for i in range(SIZE)], np.int64)


def lognormal(median: float, sigma: float, *, high: float = math.inf) -> np.ndarray:
    """Return the quantile table of a log-normal, cut at `high` (same unit as the median)."""
    normal = NormalDist()
    return table(lambda p: min(median * math.exp(sigma * normal.inv_cdf(p)), high))


def lognormal_mean(mean: float, sigma: float, *, high: float = math.inf) -> np.ndarray:
    """Return a log-normal quantile table scaled so that the table's own mean is `mean`."""
    shape = lognormal(1e9, sigma)
    scaled = shape / shape.mean() * mean
    return np.minimum(np.rint(scaled), high).astype(np.int64)


def normal_scores(scale: float) -> np.ndarray:
    """Return the quantile table of a normal law with sd `scale`, rounded to integers."""
    normal = NormalDist()
    return table(lambda p: scale * normal.inv_cdf(p))


def count_thresholds(mean: float, shape: float, *, n_max: int) -> np.ndarray:
    """Return (n_max,) uint32 thresholds of a negative-binomial count.

    Entry n is P(count <= n) as a share of 2**32; a draw `u` gives the number of entries <= u, at
    most `n_max`.  The law is a Poisson whose rate is gamma-distributed with the given shape: the
    bursts that a plain Poisson caller lacks.  The mean of the truncated table is brought back to
    `mean` by bisection.
    """
    if mean <= 0:
        return np.full(n_max, 0xFFFFFFFF, np.uint32)
    low, high = mean, mean * 4 + 1
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _nb_mean(middle, shape, n_max) < mean else (low, middle)
    cdf = np.cumsum(_nb_pmf(low, shape, n_max))
    return np.minimum(np.rint(cdf * 4294967296.0), 4294967295.0).astype(np.uint32)


def _nb_pmf(mean: float, shape: float, n: int) -> np.ndarray:
    p = shape / (shape + mean)
    log = [
        math.lgamma(shape + k)
        - math.lgamma(shape)
        - math.lgamma(k + 1)
        + shape * math.log(p)
        + k * math.log1p(-p)
        for k in range(n)
    ]
    return np.exp(np.array(log))


def _nb_mean(mean: float, shape: float, n_max: int) -> float:
    pmf = _nb_pmf(mean, shape, n_max)
    return float((pmf * np.arange(n_max)).sum() + n_max * max(0.0, 1.0 - pmf.sum()))


def cumulative(weights: np.ndarray) -> np.ndarray:
    """Return uint32 cumulative thresholds of non-negative weights; the last one is 2**32 - 1."""
    share = np.cumsum(np.asarray(weights, float)) / float(np.sum(weights))
    out = np.minimum(np.rint(share * 4294967296.0), 4294967295.0).astype(np.uint32)
    out[-1] = 0xFFFFFFFF
    return out


@hot
def quantile(values, u):
    """Return the entry of a (1024,) quantile table for a uint32 draw."""
    return values[np.int64(u >> np.uint32(32 - BITS))]


@hot
def category(thresholds, u):
    """Return the index of the first threshold that is not below a uint32 draw."""
    k = 0
    while k < thresholds.shape[0] - 1 and u > thresholds[k]:
        k += 1
    return k


@hot
def above(a, b, c, u):
    """Return how many of three rising thresholds lie below a draw.

    A category of a hot loop: no branch depends on the draw, because each guess of the processor
    that fails costs as much as twenty comparisons.
    """
    return np.int64(u > a) + np.int64(u > b) + np.int64(u > c)


@hot
def count(thresholds, row, u):
    """Return how many entries of row `row` of a threshold table, rising, a uint32 draw reaches.

    The first entries are compared without a branch: most counts are small, and which one it is
    cannot be guessed.
    """
    n = np.int64(0)
    if thresholds.shape[1] >= FEW:
        for k in range(FEW):
            n += u >= thresholds[row, k]
        if n < FEW:
            return n
    while n < thresholds.shape[1] and u >= thresholds[row, n]:
        n += 1
    return n
