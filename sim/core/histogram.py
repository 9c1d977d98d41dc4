"""Histograms of integer counts in logarithmic buckets.

Merging adds counts, so the result depends on no order; a bucket bounds the relative error of a
value.  It owns the buckets and the quantiles read from them, and must not know what is measured.
"""

from __future__ import annotations

import math

import numpy as np

from sim.core.kernel import kernel

GAMMA = 1.02
"""Ratio of neighbouring bucket borders: values are known to about 1 %."""
N_BUCKETS = 1100
"""Buckets of one histogram: 1 to about 2.9e9 units; bucket 0 counts values below 1."""

_BORDERS = np.unique(np.array([math.ceil(GAMMA**i) for i in range(N_BUCKETS + 200)], np.int64))[
    :N_BUCKETS
]
BORDERS = np.concatenate([np.zeros(1, np.int64), _BORDERS])[:N_BUCKETS]
"""(N_BUCKETS,) int64, the smallest value of each bucket."""


@kernel
def bucket_of(borders, value):
    """Return the bucket of a non-negative integer value."""
    low = 0
    high = borders.shape[0]
    while high - low > 1:
        middle = (low + high) >> 1
        if borders[middle] <= value:
            low = middle
        else:
            high = middle
    return low


def add(counts: np.ndarray, values: np.ndarray) -> None:
    """Count values in place.

    Parameters
    ----------
    counts : (N_BUCKETS,) int64, mutated
    values : (n,) integers >= 0
    """
    index = np.clip(np.searchsorted(BORDERS, values, side="right") - 1, 0, N_BUCKETS - 1)
    counts += np.bincount(index, minlength=N_BUCKETS).astype(np.int64)


def quantiles(counts: np.ndarray, shares: tuple[float, ...]) -> list[float | None]:
    """Return the value at each share (nearest rank), or None where nothing was counted."""
    total = int(counts.sum())
    if total == 0:
        return [None for _ in shares]
    running = np.cumsum(counts)
    out: list[float | None] = []
    for share in shares:
        rank = max(1, math.ceil(share * total))
        i = int(np.searchsorted(running, rank))
        upper = BORDERS[i + 1] - 1 if i + 1 < len(BORDERS) else BORDERS[i]
        out.append(float(BORDERS[i] + max(upper - BORDERS[i], 0) / 2))
    return out


def share_below(counts: np.ndarray, limit: int) -> float | None:
    """Return the share of values below `limit` (a bucket border, else rounded to one)."""
    total = int(counts.sum())
    if total == 0:
        return None
    i = int(np.searchsorted(BORDERS, limit, side="left"))
    return float(counts[:i].sum() / total)
