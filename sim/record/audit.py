"""The audit: books that must balance on every tick, or the run stops.

It owns the auditor, which runs declared checks and keeps the stocks of the tick before.  It
must not know which books a twin keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sim.core.checks import Check, Stock, Sum
from sim.core.errors import InvariantError

Result = tuple[str, int, int, bool]


def _value(tally: Mapping[str, np.ndarray], term: str | tuple[str, int]) -> int:
    if isinstance(term, tuple):
        return int(tally[term[0]][term[1]].sum())
    return int(tally[term].sum())


class Auditor:
    """Runs the checks of a run on every tick.

    Attributes
    ----------
    n_checks : checks made so far
    """

    def __init__(self, checks: Sequence[Check], opening: Mapping[str, int]) -> None:
        self.checks = tuple(checks)
        self.stocks = {c.stock: opening[c.stock] for c in checks if isinstance(c, Stock)}
        self.n_checks = 0

    def run(
        self, tick: int, tally: Mapping[str, np.ndarray], ledger: Mapping[str, int]
    ) -> list[Result]:
        """Check one tick and return every result; nothing is raised.

        Parameters
        ----------
        tally : counts of the tick
        ledger : stocks after the tick
        """
        results = [self._one(check, tally, ledger) for check in self.checks]
        self.n_checks += len(results)
        return results

    def require(self, tick: int, results: Sequence[Result]) -> None:
        """Stop the run on the first check that does not hold."""
        for name, left, right, ok in results:
            if not ok:
                raise InvariantError(
                    f"the books do not balance: {name}", tick=tick,
                    values={"expected": left, "found": right, "difference": right - left},
                )  # fmt: skip

    def _one(
        self, check: Check, tally: Mapping[str, np.ndarray], ledger: Mapping[str, int]
    ) -> Result:
        if isinstance(check, Stock):
            left = self.stocks[check.stock]
            left += sum(_value(tally, t) for t in check.plus)
            left -= sum(_value(tally, t) for t in check.minus)
            right = ledger[check.stock]
            self.stocks[check.stock] = right
            return check.name, left, right, left == right
        if isinstance(check, Sum):
            left = sum(ledger[key] for key in check.parts)
            return check.name, left, ledger[check.whole], left == ledger[check.whole]
        if check.lanes:
            lanes = [
                np.sum([tally[t] for t in side], axis=0)  # type: ignore[index]  # names only
                for side in (check.left, check.right)
            ]
            ok = bool(np.array_equal(lanes[0], lanes[1]))
            return check.name, int(lanes[0].sum()), int(lanes[1].sum()), ok
        left = sum(_value(tally, t) for t in check.left)
        right = sum(_value(tally, t) for t in check.right)
        return check.name, left, right, left == right
