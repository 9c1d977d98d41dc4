"""The design: which use cases are live for whom in which run.

Shares of credit need every order in which use cases could have been launched.  Orders are dealt to
lines, not to runs: each line belongs to a lot, each lot has an order of its own, and run k has the
first k use cases of each line's order live.  Along its order a line yields the marginal
contribution of every use case, so that n + 1 runs hold as many orders as there are lots.

It owns the orders and the list of runs.  It must not know how a run is made, nor what it is worth.

Source: Castro, Gomez, Tejada, "Polynomial calculation of the Shapley value based on sampling",
Computers & Operations Research 36 (2009); antithetic pairs: Lomeli, Rowland, Gretton, Ghahramani,
"Antithetic and Monte Carlo kernel estimators for partial rankings" (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

Lots = tuple[tuple[str, ...], ...]

LOTS = 256
"""Orders in all: pairs of an order and its reverse."""
S_ORDERS = 0x0DE1
"""Mixed into the seed, so that orders and people are drawn apart."""


@dataclass(frozen=True)
class Arm:
    """One run of the design.

    Attributes
    ----------
    name : of its files
    lots : what is live in each lot, as `rtm.lots` takes it
    cap_change : contacts that everybody may get more
    """

    name: str
    lots: Lots
    cap_change: int = 0


def orders(n: int, seed: int, n_lots: int = LOTS) -> np.ndarray:
    """Return (n_lots, n) int64 orders of 0..n-1; row 2i + 1 is row 2i read backwards.

    Where all n! orders fit into the lots, each of them is there, equally often.
    """
    if n_lots % 2 or n_lots < 2:
        raise ValueError(f"lots come in pairs: {n_lots}")
    if math.factorial(min(n, 12)) <= n_lots and n <= 12:
        every = [p for p in permutations(range(n)) if p <= p[::-1]]
        rows = [row for p in every for row in (p, p[::-1])]
        whole = max(n_lots // len(rows), 1) if n > 1 else 1
        return np.array(rows * whole, np.int64)
    rng = np.random.default_rng([seed, S_ORDERS])
    rows = []
    for _ in range(n_lots // 2):
        one = rng.permutation(n)
        rows += [one, one[::-1]]
    return np.array(rows, np.int64)


def prefix_arms(names: Sequence[str], order: np.ndarray) -> list[Arm]:
    """Return the n + 1 runs in which the first k of each line's order are live."""
    n = len(names)
    arms = []
    for k in range(n + 1):
        lots = tuple(tuple(str(names[j]) for j in sorted(row[:k].tolist())) for row in order)
        # At both ends all lots are alike, and one will do.
        arms.append(Arm(f"first-{k:03d}", lots[:1] if k in (0, n) else lots))
    return arms


def alone_arms(names: Sequence[str]) -> list[Arm]:
    """Return the runs in which one use case is live for everybody."""
    return [Arm(f"alone-{name}", ((name,),)) for name in names]


def last_arms(names: Sequence[str]) -> list[Arm]:
    """Return the runs in which all but one are live for everybody."""
    return [Arm(f"without-{name}", (tuple(n for n in names if n != name),)) for name in names]


def cap_arms(names: Sequence[str]) -> list[Arm]:
    """Return the runs with everything live and a contact more, or fewer, for everybody."""
    return [
        Arm("cap-more", (tuple(names),), cap_change=1),
        Arm("cap-fewer", (tuple(names),), cap_change=-1),
    ]
