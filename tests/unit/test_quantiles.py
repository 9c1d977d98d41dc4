"""Distributions as integer tables, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sim.core import quantiles, rng
from sim.core.kernel import kernel


@kernel
def counts_into(thresholds, words, out):
    """Write the count of each draw."""
    for i in range(words.shape[0]):
        out[i] = quantiles.count(thresholds, 0, words[i])


@kernel
def categories_into(thresholds, words, out):
    """Write the category of each draw."""
    for i in range(words.shape[0]):
        out[i] = quantiles.category(thresholds, words[i])


@kernel
def quantiles_into(table, words, out):
    """Write the quantile of each draw."""
    for i in range(words.shape[0]):
        out[i] = quantiles.quantile(table, words[i])


def words(n: int) -> np.ndarray:
    """Return n uniform uint32."""
    return np.ascontiguousarray(rng.draws(11, "test", np.arange(n))[:, 0])


@pytest.mark.parametrize(("median", "sigma"), [(1560, 2.75), (27, 1.45), (120, 0.7), (90, 0.0)])
def test_a_lognormal_table_holds_the_midpoint_quantiles(median: float, sigma: float) -> None:
    """Each of 1,024 entries is scipy's quantile at its midpoint, rounded to an integer."""
    table = quantiles.lognormal(median, sigma)
    share = (np.arange(1024) + 0.5) / 1024
    wanted = median * np.exp(sigma * stats.norm.ppf(share))
    assert table.dtype == np.int64 and len(table) == 1024
    assert np.abs(table - wanted).max() <= 0.5 + 1e-9 * wanted.max()
    assert quantiles.lognormal(median, sigma, high=100).max() <= 100


@pytest.mark.parametrize("mean", [50.0, 12_345.0])
def test_a_lognormal_table_has_the_mean_that_was_asked_for(mean: float) -> None:
    """The table's own mean, not the law's, is the mean: the tail beyond 1,024 is in it."""
    table = quantiles.lognormal_mean(mean, 1.1)
    assert table.mean() == pytest.approx(mean, rel=0.01)


def test_normal_scores_are_symmetric_and_scaled() -> None:
    """Scores are scipy's normal quantiles times the scale; positive and negative cancel."""
    table = quantiles.normal_scores(1024)
    assert table.sum() == 0
    assert np.abs(table - 1024 * stats.norm.ppf((np.arange(1024) + 0.5) / 1024)).max() <= 0.5


@pytest.mark.parametrize("shape", [0.55, 1.0, 100.0])
@pytest.mark.parametrize("mean", [0.02, 0.4, 2.5])
def test_counts_follow_the_negative_binomial(mean: float, shape: float) -> None:
    """Thresholds are the distribution function of scipy's nbinom of the same shape.

    Where the table is long enough its mean is the law's, and so is its variance, which is
    mean + mean**2 / shape: more than a Poisson's.
    """
    n_max = 64
    thresholds = quantiles.count_thresholds(mean, shape, n_max=n_max)
    law = stats.nbinom(shape, shape / (shape + mean))
    wanted = law.cdf(np.arange(n_max))
    assert np.abs(thresholds / 2**32 - wanted).max() < 1e-6
    pmf = np.diff(np.concatenate([[0.0], thresholds / 2**32]))
    k = np.arange(n_max)
    assert (pmf * k).sum() == pytest.approx(mean, rel=1e-3)
    variance = (pmf * k * k).sum() - (pmf * k).sum() ** 2
    assert variance == pytest.approx(mean + mean**2 / shape, rel=0.01)


@pytest.mark.parametrize("mean", [1.0, 6.0, 12.0])
def test_a_short_table_of_counts_keeps_its_mean(mean: float) -> None:
    """Truncation at 24 is made good by bisection: the mean of the table is the one asked for."""
    thresholds = quantiles.count_thresholds(mean, 0.55, n_max=24)
    # A draw u gives the number of thresholds <= u: its mean is the sum of the upper tails.
    assert (1 - thresholds / 2**32).sum() == pytest.approx(mean, rel=1e-4)


def test_no_events_where_the_mean_is_zero() -> None:
    """A rate of 0 gives a table that no draw but the very last reaches."""
    thresholds = quantiles.count_thresholds(0.0, 0.55, n_max=24)
    out = np.zeros(4, np.int64)
    counts_into(thresholds[None, :], np.array([0, 1, 2**31, 2**32 - 2], np.uint32), out)
    assert out.tolist() == [0, 0, 0, 0]


def test_drawn_counts_follow_their_table() -> None:
    """100,000 draws through the kernel against scipy's nbinom: chi-square at 1e-6."""
    out = np.zeros(100_000, np.int64)
    counts_into(quantiles.count_thresholds(0.8, 0.55, n_max=24)[None, :], words(100_000), out)
    law = stats.nbinom(0.55, 0.55 / (0.55 + 0.8))
    found = np.bincount(np.minimum(out, 10), minlength=11)
    wanted = np.append(law.pmf(np.arange(10)), law.sf(9)) * 100_000
    assert stats.chisquare(found, wanted * found.sum() / wanted.sum()).pvalue > 1e-6


def test_drawn_categories_follow_their_weights() -> None:
    """Weights, zeros among them, are the shares of 100,000 draws: chi-square at 1e-6."""
    weights = np.array([0.36, 0.0, 0.2, 0.26, 0.18])
    thresholds = quantiles.cumulative(weights)
    assert thresholds[-1] == 2**32 - 1
    out = np.zeros(100_000, np.int64)
    categories_into(thresholds, words(100_000), out)
    found = np.bincount(out, minlength=5)
    assert found[1] == 0
    live = weights > 0
    assert stats.chisquare(found[live], weights[live] * 100_000).pvalue > 1e-6


def test_a_draw_picks_a_quantile_by_its_upper_bits() -> None:
    """The first and the last draw give the first and the last of 1,024 entries."""
    table = np.arange(1024, dtype=np.int64)
    out = np.zeros(4, np.int64)
    quantiles_into(table, np.array([0, 2**22 - 1, 2**22, 2**32 - 1], np.uint32), out)
    assert out.tolist() == [0, 0, 1, 1023]


def test_exponential_delays_have_their_mean() -> None:
    """A table of the exponential quantile function: mean within 1 %, as midpoints cut the tail."""
    table = quantiles.table(lambda p: -math.log1p(-p) * 25_200)
    assert table.mean() == pytest.approx(25_200, rel=0.01)
