"""Partitions: contiguous ranges of lines that never cut an account, and their hosts.

It owns the two maps line to partition and partition to host.  It must not know what runs there.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LINES = 65_536


@dataclass(frozen=True)
class Partition:
    """Lines `first` to `last - 1`, kept by one host."""

    index: int
    first: int
    last: int

    @property
    def n(self) -> int:
        """Return the number of lines."""
        return self.last - self.first


def make_partitions(n_lines: int, n_partitions: int) -> tuple[Partition, ...]:
    """Cut lines into ranges of nearly equal size; there are never more ranges than lines."""
    wanted = n_partitions or -(-n_lines // DEFAULT_LINES)
    wanted = max(1, min(wanted, n_lines))
    cuts = [n_lines * k // wanted for k in range(wanted + 1)]
    return tuple(Partition(k, cuts[k], cuts[k + 1]) for k in range(wanted))


def assign_hosts(partitions: tuple[Partition, ...], n_hosts: int) -> list[tuple[Partition, ...]]:
    """Give each host a contiguous run of partitions with about the same number of lines."""
    n_hosts = max(1, min(n_hosts, len(partitions)))
    total = sum(p.n for p in partitions)
    out: list[list[Partition]] = [[] for _ in range(n_hosts)]
    done = 0
    for partition in partitions:
        middle = 2 * done + partition.n
        out[min(n_hosts - 1, middle * n_hosts // max(2 * total, 1))].append(partition)
        done += partition.n
    return [tuple(group) for group in out if group]
