"""Digests of lines: of all of them, or of the share that is looked at in a tick.

It owns which lines a digest takes.  It must not know what a role holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sim.core.actor import Actor
from sim.core.partition import Partition

DIGEST_RUN = 256
"""Lines that are digested side by side: where a tick digests few lines, most partitions have none,
and their many columns are not called for a handful each."""


def digested(partition: Partition, stride: int, phase: int) -> Iterator[tuple[int, int]]:
    """Give (first, behind the last) of the lines of a partition that a digest takes."""
    if stride == 1:
        yield partition.first, partition.last
        return
    run = partition.first // DIGEST_RUN
    run += (phase - run) % stride
    while run * DIGEST_RUN < partition.last:
        first = max(run * DIGEST_RUN, partition.first)
        last = min((run + 1) * DIGEST_RUN, partition.last)
        if first < last:
            yield first, last
        run += stride


def digest_lines(
    partitions: Sequence[Partition], roles: Sequence[Sequence[Actor]], stride: int, phase: int
) -> dict[str, int]:
    """Return the order-free digest of the columns of roles, modulo 2**64, by schema.

    Pools are digested where every line is: with a `stride` of 1.

    Parameters
    ----------
    roles : of each partition
    stride, phase : of the runs of `DIGEST_RUN` lines, those whose number is `phase` modulo `stride`
    """
    total: dict[str, int] = {}

    def add(values: Mapping[str, int]) -> None:
        for name, value in values.items():
            total[name] = (total.get(name, 0) + value) & 0xFFFFFFFFFFFFFFFF

    for partition, mine in zip(partitions, roles, strict=True):
        if stride == 1:
            for role in mine:
                add(role.pool_digests())
        for first, last in digested(partition, stride, phase):
            keys = np.arange(first, last, dtype=np.int64)
            rows = slice(first - partition.first, last - partition.first)
            for role in mine:
                add({n: c.digest(keys, rows=rows) for n, c in role.state().items()})
    return total
