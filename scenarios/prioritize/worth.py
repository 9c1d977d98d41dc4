"""What each use case is worth, from what the same lines earned in the runs of the design.

It owns the estimators and their intervals: shares by marginal contributions along dealt orders,
first in and last in by paired differences, interactions, and the stability of ranks.  It must not
know where the figures of the lines come from.

Figures of a line are integers; sums over lines are exact, so that shares add up to the joint value
to the last unit.  Intervals of shares are over pairs of lots, which carry both the chance of people
and the chance of orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scenarios.estimates import Estimate, t_quantile

PAIRS_MIN = 8
"""Pairs of lots that must hold lines before an interval over them is given."""
FALSE_SHARE = 0.05
"""Share of false finds among the interactions that are named (Benjamini and Hochberg, 1995)."""
ERROR_LEAST = 1e-4
"""Part of the largest squared error that every other one has at least, as a weight."""
DRAWS = 2_000
"""Resamples behind the stability of ranks."""


@dataclass(frozen=True)
class Along:
    """Marginal contributions along the orders.

    Attributes
    ----------
    sums : (n_lots, n_players) int64, contributions summed over the lines of a lot
    lines : (n_lots,) int64
    order : (n_lots, n_players) int64, the player at each place
    """

    sums: np.ndarray
    lines: np.ndarray
    order: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        """Return (n_players,) int64: they sum to the joint value over all lines."""
        return self.sums.sum(axis=0)


def contributions(figures: np.ndarray, lot: np.ndarray, order: np.ndarray) -> Along:
    """Return the marginal contribution of every player, lot by lot.

    Parameters
    ----------
    figures : (n_players + 1, n_lines) int64, row k with the first k of each line's order live
    lot : (n_lines,) int64, rows of `order`
    order : (n_lots, n_players) int64
    """
    n_lots, n = order.shape
    if figures.shape[0] != n + 1:
        raise ValueError(f"{n} players need {n + 1} rows, not {figures.shape[0]}")
    sums = np.zeros((n_lots, n), np.int64)
    steps = np.diff(figures.astype(np.int64), axis=0)
    for k in range(n):
        gained = np.zeros(n_lots, np.int64)
        np.add.at(gained, lot, steps[k])
        sums[np.arange(n_lots), order[:, k]] += gained
    return Along(sums, np.bincount(lot, minlength=n_lots).astype(np.int64), order)


def _pairs(along: Along) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_pairs, n_players) sums and (n_pairs,) lines of the pairs that hold any line."""
    n = along.sums.shape[1]
    sums = along.sums.reshape(-1, 2, n).sum(axis=1)
    lines = along.lines.reshape(-1, 2).sum(axis=1)
    held = lines > 0
    return sums[held].astype(np.float64), lines[held].astype(np.float64)


def shares(along: Along) -> list[Estimate]:
    """Return each player's share of the joint value, a line, with its interval at 95 %."""
    sums, lines = _pairs(along)
    n_lines, n_pairs = float(lines.sum()), len(lines)
    out = []
    for j, total in enumerate(along.totals.tolist()):
        value = total / n_lines
        low = high = None
        if n_pairs >= PAIRS_MIN:
            rest = sums[:, j] - value * lines
            error = math.sqrt(n_pairs / (n_pairs - 1) * float(rest @ rest)) / n_lines
            half = t_quantile(n_pairs - 1) * error
            low, high = value - half, value + half
        out.append(Estimate(value, low, high, int(n_lines)))
    return out


def paired(without: np.ndarray, with_it: np.ndarray) -> Estimate:
    """Return the mean difference a line between two runs of the same lines, with its interval."""
    d = with_it.astype(np.float64) - without.astype(np.float64)
    n = len(d)
    value = float(d.mean())
    if n < 2:
        return Estimate(value, None, None, n)
    half = t_quantile(n - 1) * math.sqrt(float(d.var(ddof=1)) / n)
    return Estimate(value, value - half, value + half, n)


@dataclass(frozen=True)
class Interaction:
    """What two use cases add to each other, a line: below 0 they stand in each other's way."""

    one: int
    other: int
    estimate: Estimate


def interactions(along: Along) -> list[Interaction]:
    """Return the pairs of players that surely work on each other, the strongest first.

    The contribution of a player, lot by lot, is regressed on who was live before it.  What the
    presence of one changes in the contribution of the other is seen from both sides.
    """
    held = along.lines > 0
    n = along.order.shape[1]
    if held.sum() < 2 * n or held.sum() < PAIRS_MIN:
        return []
    place = np.argsort(along.order, axis=1)[held]
    lines = along.lines[held]
    mean = along.sums[held] / lines[:, None]
    change, error2 = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        before = (place[:, rest] < place[:, [i]]).astype(np.float64)
        change[i, rest], error2[i, rest] = _regressed(before, mean[:, i], lines)
    scale = float(np.abs(mean).max()) or 1.0
    found = []
    for i in range(n):
        for j in range(i + 1, n):
            value = float(change[i, j] + change[j, i]) / 2
            error = math.sqrt(float(error2[i, j] + error2[j, i])) / 2
            # What is left of an exact nothing after rounding is nothing.
            value, error = (0.0 if x < scale * 1e-9 else y for x, y in
                            ((abs(value), value), (error, error)))  # fmt: skip
            sure = abs(value) / error if error else math.inf if value else 0.0
            half = t_quantile(int(held.sum()) - n) * error
            estimate = Estimate(value, value - half, value + half, int(held.sum()))
            found.append((sure, Interaction(i, j, estimate)))
    found.sort(key=lambda row: -row[0])
    return [row for _, row in found[: _surely([sure for sure, _ in found])]]


def _regressed(
    before: np.ndarray, y: np.ndarray, lines: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (k,) coefficients of least squares weighted by lines, and their squared errors."""
    root = np.sqrt(lines.astype(np.float64))
    x = np.column_stack([np.ones(len(y)), before]) * root[:, None]
    inverse = np.linalg.pinv(x.T @ x)
    found = inverse @ (x.T @ (y * root))
    rest = y * root - x @ found
    variance = float(rest @ rest) / max(len(y) - x.shape[1], 1)
    return found[1:], variance * np.diag(inverse)[1:]


def _surely(sure: list[float]) -> int:
    """Return how many of the pairs may be named, from their distances from 0 in errors, sorted."""
    kept = 0
    for rank, distance in enumerate(sure, 1):
        if math.erfc(distance / math.sqrt(2)) <= FALSE_SHARE * rank / len(sure):
            kept = rank
    return kept


def rank_ranges(along: Along, seed: int) -> list[tuple[int, int]]:
    """Return for each player the ranks, 1 the best, that hold 90 % of resamples of the pairs."""
    sums, lines = _pairs(along)
    n_pairs, n = sums.shape
    rng = np.random.default_rng([seed, 1])
    picked = rng.multinomial(n_pairs, np.full(n_pairs, 1 / n_pairs), size=DRAWS)
    values = (picked @ sums) / (picked @ lines)[:, None]
    ranks = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1) + 1
    low, high = np.quantile(ranks, [0.05, 0.95], axis=0, method="nearest")
    return [(int(low[j]), int(high[j])) for j in range(n)]


def carried_on(
    half: Along, end: Along, *, half_days: float, days: float, horizon: float, seed: int
) -> list[Estimate]:
    """Return each player's share at a later horizon, a line, with its interval at 95 %.

    What is added a day in the second half of the runs goes on.  Where that is hardly known, it is
    drawn towards what the first half and the whole of the players tell: a player's second half is
    taken for `ratio` times its first, apart from a spread between players that is itself estimated
    (empirical Bayes; Morris, "Parametric empirical Bayes inference", JASA 1983).  Intervals are
    those of resampled pairs of lots, the whole procedure repeated on each.

    Parameters
    ----------
    half, end : contributions halfway and at the end of the same runs
    half_days, days : when they were taken
    horizon : days, at least `days`
    """
    first, lines = _pairs(half)
    whole, _ = _pairs(end)
    rng = np.random.default_rng([seed, 2])
    n_pairs, n_lines = len(lines), int(lines.sum())
    rest = (half_days, days, horizon)
    value = _carry(first, whole, lines, np.ones((1, n_pairs)), *rest)[0]
    if n_pairs < PAIRS_MIN:
        return [Estimate(float(v), None, None, n_lines) for v in value]
    picked = rng.multinomial(n_pairs, np.full(n_pairs, 1 / n_pairs), size=DRAWS).astype(float)
    drawn = _carry(first, whole, lines, picked, *rest)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [
        Estimate(float(v), float(a), float(b), n_lines)
        for v, a, b in zip(value, low, high, strict=True)
    ]


def _carry(
    first: np.ndarray,
    whole: np.ndarray,
    lines: np.ndarray,
    weights: np.ndarray,
    half_days: float,
    days: float,
    horizon: float,
) -> np.ndarray:
    """Return (n_draws, n_players) values at the horizon for weights of the pairs of lots."""
    n = (weights @ lines)[:, None]
    early = weights @ first / n / half_days
    late = weights @ (whole - first) / n / (days - half_days)
    # The error of the second half, a day and line, from the spread over pairs of lots.
    mean = late * (days - half_days)
    gained = whole - first
    spread = weights @ gained**2 - 2 * mean * (weights @ (gained * lines[:, None]))
    spread += mean**2 * (weights @ lines**2)[:, None]
    error2 = np.maximum(spread, 0) / (n * (days - half_days)) ** 2
    # One that does the same to everybody has no error, and must not outweigh all others.
    least = error2.max(axis=1, keepdims=True) * ERROR_LEAST
    weight = 1 / np.maximum(error2, np.where(least > 0, least, 1.0))
    whole_early = (weight * early**2).sum(axis=1)
    ratio = (weight * early * late).sum(axis=1) / np.where(whole_early > 0, whole_early, 1.0)
    told = ratio[:, None] * early
    between = np.maximum(((late - told) ** 2 - error2).mean(axis=1), 0)[:, None]
    both = between + error2
    trust = between / np.where(both > 0, both, 1.0)
    daily = trust * late + (1 - trust) * told
    return weights @ whole / n + daily * (horizon - days)
