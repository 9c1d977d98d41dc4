"""Shadow prices: what one more message in a channel costs the messages that it displaces.

It owns one price for each channel and one for the contact budget, moved once an hour by dual
ascent on what was lost and what was spent: integers from integer sums.  It must not know who
pays it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.learner.params import Prices
from actors.learner.state import PRICE
from sim.core import rng
from sim.core.columns import Columns

SHARE_ONE = 1 << 16
"""All messages of an hour; also the budget price at which a minor unit of cost counts twice."""
PRICE_ONE = 64
"""One minor unit of a price, as in the priorities of arbitration."""
HOURS = 24
HOUR_US = 3_600_000_000


class PriceTables(NamedTuple):
    """Options of prices.

    Attributes
    ----------
    step_q : rise of a price in an hour in which everything was lost, 1/64 minor
    budget_minor : cost of contacts that an hour may take, for the simulated lines; 0: any
    cost_minor : (n_channels,) cost of a message
    """

    enabled: bool
    step_q: int
    budget_minor: int
    cost_minor: np.ndarray
    channel_ids: np.ndarray


def compile_prices(
    params: Prices, channels: Sequence[Any], *, price_level: float, share: float
) -> PriceTables:
    """Return the tables of prices.

    Parameters
    ----------
    channels : entries of the catalogue
    share : simulated lines over the real ones, to which the budget belongs
    """
    ids = [rng.name_id("channel:" + c.channel) for c in channels]
    return PriceTables(
        enabled=params.enabled,
        step_q=round(params.step_minor * price_level * PRICE_ONE),
        budget_minor=round(params.budget_minor_day * price_level * share / HOURS),
        cost_minor=np.array([round(c.cost_minor * price_level) for c in channels] or [0], np.int64),
        channel_ids=np.array(ids or [0], np.uint64),
    )


class PriceBoard:
    """Prices and the sums of the hour from which they move."""

    def __init__(self, tables: PriceTables) -> None:
        self.tables = tables
        n = len(tables.cost_minor)
        self.price_q = np.zeros(n, np.int64)
        self.offered = np.zeros(n, np.int64)
        self.lost = np.zeros(n, np.int64)
        self.busy_us = np.zeros(n, np.int64)
        self.budget_q = 0
        self.spent_minor = 0

    def add(
        self, offered: np.ndarray, lost: np.ndarray, busy_us: np.ndarray, spent_minor: int
    ) -> None:
        """Add what channels took, lost, worked and spent in a tick."""
        self.offered += offered
        self.lost += lost
        self.busy_us += busy_us
        self.spent_minor += spent_minor

    def move(self) -> None:
        """Move every price at the end of an hour, and begin another one.

        A price moves by the step times the lost share less the idle share: it rests where the
        channel is busy and loses next to nothing.  The price of the budget moves by a quarter of
        itself where twice the budget was spent, and falls likewise.
        """
        t = self.tables
        lost_q = self.lost * SHARE_ONE // np.maximum(self.offered, 1)
        idle_q = np.maximum(HOUR_US - self.busy_us, 0) * SHARE_ONE // HOUR_US
        self.price_q = np.maximum(self.price_q + t.step_q * (lost_q - idle_q) // SHARE_ONE, 0)
        if t.budget_minor:
            over = (self.spent_minor - t.budget_minor) * SHARE_ONE // t.budget_minor
            self.budget_q = max(self.budget_q + min(over, SHARE_ONE) // 4, 0)
        self.offered[:] = 0
        self.lost[:] = 0
        self.busy_us[:] = 0
        self.spent_minor = 0

    def told(self) -> np.ndarray:
        """Return (n_channels + 1,) int64, 1/64 minor: what a message costs; the last one is 0."""
        own = self.price_q + self.tables.cost_minor * self.budget_q * PRICE_ONE // SHARE_ONE
        return np.append(own, np.int64(0))

    def digest(self) -> int:
        """Return the order-free digest of prices and sums."""
        held = Columns(PRICE, len(self.price_q))
        held.ids = self.tables.channel_ids
        held["channel"][:] = np.arange(len(self.price_q))
        for name in ("price_q", "offered", "lost", "busy_us"):
            held[name][:] = getattr(self, name)
        return held.digest(self.tables.channel_ids.astype(np.int64)) + self.budget_q * 3 + (
            self.spent_minor * 5
        )  # fmt: skip

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return prices and sums."""
        return {
            "price_q": self.price_q.copy(), "offered": self.offered.copy(),
            "lost": self.lost.copy(), "busy_us": self.busy_us.copy(),
            "budget": np.array([self.budget_q, self.spent_minor]),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name in ("price_q", "offered", "lost", "busy_us"):
            getattr(self, name)[:] = saved[name]
        self.budget_q, self.spent_minor = (int(x) for x in saved["budget"])
