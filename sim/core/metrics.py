"""Declared counters: what a role counts in a tick, with dimensions, unit and merge rule.

It owns the declaration of a metric and the tally (one int64 array for each metric) that roles
fill and the recorder sums.  It must not know which metrics there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sim.core.histogram import N_BUCKETS

Tally = dict[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One declared counter or histogram.

    Attributes
    ----------
    name : unique name
    dims : names of dimensions; the labels of each are known when a run is built
    unit : unit of the sum
    doc : what is counted
    histogram : adds a last dimension of `N_BUCKETS` logarithmic buckets
    """

    name: str
    dims: tuple[str, ...]
    unit: str
    doc: str
    histogram: bool = False

    def shape(self, labels: Mapping[str, tuple[str, ...]]) -> tuple[int, ...]:
        """Return the shape of the metric's array for the labels of a run."""
        sizes = tuple(len(labels[d]) for d in self.dims)
        return (*sizes, N_BUCKETS) if self.histogram else sizes or (1,)


def new_tally(metrics: Iterable[Metric], labels: Mapping[str, tuple[str, ...]]) -> Tally:
    """Return zeroed arrays for the given metrics."""
    return {m.name: np.zeros(m.shape(labels), np.int64) for m in metrics}


def reset(tally: Tally) -> None:
    """Set every count to zero in place."""
    for array in tally.values():
        array[...] = 0


def add_into(total: Tally, part: Mapping[str, np.ndarray]) -> None:
    """Add counts; integer sums do not depend on the order of the parts."""
    for name, array in part.items():
        if name in total:
            total[name] += array
        else:
            total[name] = array.copy()
