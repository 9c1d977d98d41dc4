"""Contacts that use cases compete for: how best to spend them, and what one more is worth.

It owns the small exact games behind the intuition: value under a shared capacity, its price, and
shares by the subset formula.  It must not know runs: these games are closed forms.

Source: Shapley, "A value for n-person games" (1953); Dantzig (1957) for the fractional knapsack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linprog

SUBSETS_MAX = 16
"""Players for which all subsets are looked at."""


def best_spend(
    capacity: float, max_contacts: Sequence[float], value_per_contact: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Return the highest value of a capacity, and the (n,) contacts that each use case gets.

    Parameters
    ----------
    capacity : contacts in all
    max_contacts : contacts that each use case could make
    value_per_contact : margin of one of them, any unit
    """
    values = np.asarray(value_per_contact, np.float64)
    if len(values) == 0:
        return 0.0, np.zeros(0)
    found = linprog(
        -values, A_ub=np.ones((1, len(values))), b_ub=[max(capacity, 0.0)],
        bounds=[(0.0, float(most)) for most in max_contacts], method="highs",
    )  # fmt: skip
    if not found.success:
        raise ArithmeticError(found.message)
    return -float(found.fun), np.asarray(found.x, np.float64)


def next_contact(
    capacity: float, max_contacts: Sequence[float], value_per_contact: Sequence[float]
) -> float:
    """Return what one contact more is worth: the price of the capacity, 0 where it is slack."""
    more, _ = best_spend(capacity + 1, max_contacts, value_per_contact)
    now, _ = best_spend(capacity, max_contacts, value_per_contact)
    return more - now


def by_subsets(n: int, value: Callable[[tuple[int, ...]], float]) -> list[float]:
    """Return the share of each of `n` players by the subset formula.

    Parameters
    ----------
    value : worth of a coalition, players sorted; asked once for each of the 2^n

    Raises
    ------
    ValueError : more players than can be enumerated
    """
    if not 1 <= n <= SUBSETS_MAX:
        raise ValueError(f"1 to {SUBSETS_MAX} players can be enumerated, not {n}")
    worth = [
        value(tuple(j for j in range(n) if members >> j & 1)) for members in range(1 << n)
    ]  # fmt: skip
    weight = [1 / (n * math.comb(n - 1, size)) for size in range(n)]
    return [
        math.fsum(
            weight[members.bit_count()] * (worth[members | 1 << j] - worth[members])
            for members in range(1 << n)
            if not members >> j & 1
        )
        for j in range(n)
    ]


def shares_of_contacts(
    capacity: float, max_contacts: Sequence[float], value_per_contact: Sequence[float]
) -> list[float]:
    """Return the share of each use case in the value of a capacity spent at its best."""

    def value(members: tuple[int, ...]) -> float:
        most = [max_contacts[j] for j in members]
        return best_spend(capacity, most, [value_per_contact[j] for j in members])[0]

    return by_subsets(len(max_contacts), value)


def last_in(
    capacity: float, max_contacts: Sequence[float], value_per_contact: Sequence[float]
) -> list[float]:
    """Return what each use case adds when all others are there."""
    n = len(max_contacts)
    everything, _ = best_spend(capacity, max_contacts, value_per_contact)
    out = []
    for j in range(n):
        rest = [k for k in range(n) if k != j]
        without, _ = best_spend(
            capacity, [max_contacts[k] for k in rest], [value_per_contact[k] for k in rest]
        )
        out.append(everything - without)
    return out
