"""The form of a check: a stock with its flows, or two sums that must be equal.

It owns how a book of the twin is declared, so that roles can state what must balance.  It must
not run a check, nor know which books there are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stock:
    """A stock: what it was, plus what came in, less what went out, is what it is.

    Attributes
    ----------
    name : name of the check
    stock : key of the ledger
    plus, minus : metrics, or `(metric, index)` of one lane
    """

    name: str
    stock: str
    plus: tuple[str | tuple[str, int], ...] = ()
    minus: tuple[str | tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Equal:
    """Two sums of metrics of one tick that must be equal, lane by lane where `lanes` is set."""

    name: str
    left: tuple[str | tuple[str, int], ...]
    right: tuple[str | tuple[str, int], ...] = ()
    lanes: bool = False


@dataclass(frozen=True)
class Sum:
    """Keys of the ledger whose sum must be another key of it."""

    name: str
    parts: tuple[str, ...]
    whole: str


Check = Stock | Equal | Sum
