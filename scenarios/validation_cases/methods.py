"""Methods around queues: scaling laws, value of limited contacts, budgets of runs, warm-up.

It owns their mathematics.  It must not know the form of a case file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from scenarios.validation_cases.table import Value


def usl(n: float, lam: float, sigma: float, kappa: float) -> float:
    """Return the throughput of the universal scalability law at `n` (Gunther 1993)."""
    return lam * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def usl_figures(lam: float, sigma: float, kappa: float) -> dict[str, Value]:
    """Return the parameters and the peak."""
    out: dict[str, Value] = {"sigma": sigma, "kappa": kappa, "lam": lam}
    if kappa > 0 and sigma < 1:
        peak = math.sqrt((1 - sigma) / kappa)
        out |= {"N_max": peak, "X_max": usl(peak, lam, sigma, kappa)}
    return out


def usl_fit(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return (lam, sigma, kappa) of unweighted least squares, by Gauss and Newton."""
    n = np.array([point[0] for point in points])
    x = np.array([point[1] for point in points])
    # A linear start: n/x = (1 + sigma(n-1) + kappa n(n-1)) / lam.
    basis = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)
    a, b, c = np.linalg.lstsq(basis, n / x, rcond=None)[0]
    at = np.array([1 / a, b / a, c / a])
    for _ in range(200):
        lam, sigma, kappa = at
        down = 1 + sigma * (n - 1) + kappa * n * (n - 1)
        model = lam * n / down
        slopes = np.stack([n / down, -model / down * (n - 1), -model / down * n * (n - 1)], axis=1)
        scale = np.abs(slopes).max(axis=0)
        step = np.linalg.lstsq(slopes / scale, x - model, rcond=None)[0] / scale
        at = at + step
        if float(np.abs(step / at).max()) < 1e-14:
            break
    return float(at[0]), float(at[1]), float(at[2])


def best_value(value: Sequence[float], most: Sequence[float], capacity: float) -> float:
    """Return the largest value of `capacity` contacts, each use case up to its own most."""
    total, left = 0.0, capacity
    for worth, n in sorted(zip(value, most, strict=True), reverse=True):
        used = min(n, left)
        total += worth * used
        left -= used
    return total


def contact_values(
    value: Sequence[float], most: Sequence[float], capacity: float
) -> dict[str, Value]:
    """Return optimum, value of one more contact, Shapley and last-in value of each use case."""
    n = len(value)

    def of(chosen: Sequence[int]) -> float:
        return best_value([value[i] for i in chosen], [most[i] for i in chosen], capacity)

    worth = {s: of(s) for size in range(n + 1) for s in combinations(range(n), size)}
    everyone = tuple(range(n))
    out: dict[str, Value] = {
        "optimal_value": worth[everyone],
        "shadow_price": best_value(value, most, capacity + 1) - worth[everyone],
    }
    for i in range(n):
        share = 0.0
        for s, v in worth.items():
            if i not in s:
                weight = math.factorial(len(s)) * math.factorial(n - len(s) - 1)
                share += weight / math.factorial(n) * (worth[tuple(sorted((*s, i)))] - v)
        out[f"shapley_{i + 1}"] = share
        out[f"last_in_{i + 1}"] = worth[everyone] - worth[tuple(k for k in everyone if k != i)]
    return out


def ocba(means: Sequence[float], sds: Sequence[float], total: float) -> list[float]:
    """Return the runs of each alternative, not rounded (Chen et al. 2000)."""
    best = max(range(len(means)), key=lambda i: means[i])
    others = [i for i in range(len(means)) if i != best]
    shares = {i: (sds[i] / (means[best] - means[i])) ** 2 for i in others}
    shares[best] = sds[best] * math.sqrt(sum((shares[i] / sds[i]) ** 2 for i in others))
    whole = sum(shares.values())
    return [total * shares[i] / whole for i in range(len(means))]


def mser(series: Sequence[float], batch: int) -> tuple[int, float]:
    """Return (batches cut off, mean of the rest) of MSER (White 1997), at most half cut off."""
    n = len(series) // batch
    means = np.array(series[: n * batch]).reshape(n, batch).mean(axis=1)
    tests = [
        float(((means[k:] - means[k:].mean()) ** 2).sum()) / (n - k) ** 2 for k in range(n // 2)
    ]
    cut = int(np.argmin(tests))
    return cut, float(means[cut:].mean())


def coordinated_omission(
    rate: float, service: float, healthy: float, stall: float, wanted: Sequence[str]
) -> dict[str, Value]:
    """Return what a caller that waits for each answer records, and latencies from the plan."""
    before = round(rate * healthy)
    naive = np.full(before + 1, service)
    naive[-1] = stall
    planned = np.arange(round(rate * (healthy + stall))) / rate
    true = np.where(planned < healthy, service, healthy + stall - planned)
    sorted_ = {"naive": np.sort(naive), "true": np.sort(true)}
    out: dict[str, Value] = {}
    for metric in wanted:
        who, _, what = metric.partition("_")
        values = sorted_.get(who)
        if values is None:
            continue
        if what == "mean":
            out[metric] = float(values.mean())
        elif what.startswith("p") and what[1:].isdigit():
            share = int(what[1:]) / 10 ** len(what[1:])
            out[metric] = float(values[max(math.ceil(share * len(values) - 1e-9), 1) - 1])
    return out
