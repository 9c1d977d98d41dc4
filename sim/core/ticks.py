"""Simulated time: ticks, epochs, local days.

It owns the `Tick` that every actor is handed, with the calendar already looked up.  It must not
know time zones other than as numbers, nor the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from sim.core.rng import EPOCH_MS

QUARTER_MS = 900_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Calendar:
    """What turns simulated ms into local days and hours.

    Attributes
    ----------
    start : local time at the start of the region whose clock the scenario goes by, naive
    region_shift_q : (n_regions,) int64, quarter hours ahead of that region
    weekly : False makes every day a Wednesday
    """

    start: datetime
    region_shift_q: np.ndarray
    weekly: bool = True

    @property
    def start_quarter(self) -> int:
        """Return the quarter of the day at the start, by the clock of the scenario."""
        return (self.start.hour * 60 + self.start.minute) // 15

    def weekdays(self, first_epoch: int, n_epochs: int) -> np.ndarray:
        """Return (n_regions, n_epochs) uint8 local weekdays, 0 Monday to 6 Sunday."""
        if not self.weekly:
            return np.full((len(self.region_shift_q), n_epochs), 2, np.uint8)
        epochs = np.arange(first_epoch, first_epoch + n_epochs)
        local = epochs[None, :] + self.region_shift_q[:, None] + self.start_quarter
        return ((local // 96 + self.start.weekday()) % 7).astype(np.uint8)

    def quarters(self, first_epoch: int, n_epochs: int) -> np.ndarray:
        """Return (n_regions, n_epochs) uint8 quarters of the local day, 0 to 95."""
        epochs = np.arange(first_epoch, first_epoch + n_epochs)
        local = epochs[None, :] + self.region_shift_q[:, None] + self.start_quarter
        return (local % 96).astype(np.uint8)

    def midnights(self, epoch: int) -> np.ndarray:
        """Return (n_regions,) uint8, 1 where the local day begins in this epoch."""
        local = epoch + self.region_shift_q + self.start_quarter
        return (local % 96 == 0).astype(np.uint8)

    def clock(self, ms: int) -> str:
        """Return the time by the clock of the scenario, for people."""
        return (self.start + timedelta(milliseconds=ms)).strftime("%a %d %b %H:%M")


@dataclass(frozen=True)
class Tick:
    """One step of the run.

    Attributes
    ----------
    index : 0 is the first
    start_ms, end_ms : half-open span of simulated time
    weekdays : (n_regions, n_epochs) uint8
    quarters : (n_regions, n_epochs) uint8, quarter of the local day of each epoch
    dawns : pairs of (epoch, (n_regions,) uint8 flags) of local days that begin in the tick
    """

    index: int
    start_ms: int
    end_ms: int
    weekdays: np.ndarray
    quarters: np.ndarray
    dawns: tuple[tuple[int, np.ndarray], ...]

    @property
    def start_s(self) -> int:
        """Return the start, s."""
        return self.start_ms // 1000


def make_tick(index: int, *, tick_ms: int, end_ms: int, calendar: Calendar) -> Tick:
    """Return tick `index` of a run that ends at `end_ms`."""
    start = index * tick_ms
    end = min(start + tick_ms, end_ms)
    first = start // EPOCH_MS
    last = (end - 1) // EPOCH_MS
    dawns = []
    for epoch in range(first, last + 1):
        if epoch * EPOCH_MS < start:
            continue
        flags = calendar.midnights(epoch)
        if flags.any():
            dawns.append((epoch, flags))
    n = last - first + 1
    return Tick(
        index, start, end, calendar.weekdays(first, n), calendar.quarters(first, n), tuple(dawns)
    )
