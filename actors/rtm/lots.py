"""Lots: lines dealt out by hash, each lot with use cases of its own live.

It owns which lot a line falls into, and what is live there.  It must not know what is learned from
it: a staged launch, a factorial test, or the value of each use case.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.rtm.params import Offer
from sim.core.kernel import kernel
from sim.core.rng import below, draw_cause, seed64, stream

S_LOT = stream("lot of a line")
OF_CAMPAIGN = ":"
"""Stands in the names of use cases of campaigns, and in no name of an offer."""


@kernel
def lot_of(seed, sub, n_lots):
    """Return the lot of a line, 0 to n_lots - 1; the same whatever is live in it."""
    a, _, _, _ = draw_cause(seed, S_LOT, sub, 0, 0, 0)
    return below(a, n_lots)


@kernel
def is_dealt(t, sub, case):
    """Return whether a use case is live for a line; those of campaigns are live for everybody."""
    n_lots = t.lots.shape[0]
    if n_lots == 0 or case >= t.lots.shape[1]:
        return True
    return t.lots[lot_of(t.seed, sub, n_lots), case]


@kernel
def _lots(seed, n_lots, out):
    for sub in range(out.shape[0]):
        out[sub] = lot_of(seed, sub, n_lots)


def lots_of_lines(seed: int, n_lines: int, n_lots: int) -> np.ndarray:
    """Return the (n_lines,) int64 lot of each line.

    Parameters
    ----------
    seed : of the scenario
    n_lots : at least 1
    """
    out = np.zeros(n_lines, np.int64)
    _lots(seed64(seed), n_lots, out)
    return out


def compile_lots(lots: Sequence[Sequence[str]], offers: Sequence[Offer]) -> np.ndarray:
    """Return the (n_lots, n_offers) bool table of what is live; no lots: everything is.

    Parameters
    ----------
    lots : names of offers or codes of initiatives that are live in each lot
    offers : use cases of the run; those of campaigns are live in every lot
    """
    table = np.zeros((len(lots), max(len(offers), 1)), np.bool_)
    for row, live in enumerate(lots):
        named = set(live)
        for case, offer in enumerate(offers):
            table[row, case] = OF_CAMPAIGN in offer.offer or not named.isdisjoint(offer.names())
    return table
