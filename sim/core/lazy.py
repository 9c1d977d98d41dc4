"""A sequence whose items are made when they are asked for, and never kept.

It owns nothing but the number of items and how one is made: the partitions of a checkpoint pass
one by one, so that a run whose state fills the memory can still be saved and restored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class LazyList(Sequence[T], Generic[T]):
    """Items `make(0)` to `make(n - 1)`; each look makes a new one."""

    def __init__(self, n: int, make: Callable[[int], T]) -> None:
        self._n = n
        self._make = make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> LazyList[T]: ...
    def __getitem__(self, index: int | slice) -> T | LazyList[T]:
        if isinstance(index, slice):
            rows = range(self._n)[index]
            return LazyList(len(rows), lambda k: self._make(rows[k]))
        return self._make(range(self._n)[index])


def joined(lists: Sequence[Sequence[T]]) -> LazyList[T]:
    """Return the items of several sequences, one after the other."""
    places = [(a, k) for a, items in enumerate(lists) for k in range(len(items))]
    return LazyList(len(places), lambda i: lists[places[i][0]][places[i][1]])
