"""Rows of a recording or a tape in the place of drawn ones, slice by slice.

It owns which rows of the tick a slice takes, and how much room they want.  It must not know where
they come from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors import messages as m
from actors.subscribers.replay import count_tape, graft, thin, thin_all, weave
from actors.subscribers.taped_needs import wake_taped
from sim.core.actor import Rows, Slice
from sim.core.columns import Block, Columns
from sim.core.errors import LimitError, ScenarioError
from sim.core.ticks import Tick


class Replaying:
    """The part of `SubscriberActor` that puts recorded rows into a slice."""

    world: Any
    first: int
    profile: Columns
    columns: Columns
    load: np.ndarray
    seed: np.uint64
    _counters: Any
    _quality: Any
    _bound: np.ndarray | None
    _replays: bool
    _recorded: Rows

    def _put_recorded(self, tick: Tick, part: Slice, out: Block) -> None:
        """Put the recorded rows of the lines of a slice among its rows."""
        low, high = np.searchsorted(
            self._recorded["sub"],
            np.array((self.first + part.first, self.first + part.last), np.int32),
        )
        if self.world.taped:
            self._splice(tick, part, out, low, high)
        else:
            self._graft(out, low, high)

    def _reach(self, first: int, capacity: int) -> tuple[Any, int]:
        """Return the state up to the last line whose recorded rows fit, and the room they want.

        Recorded rows take half a slice at most, so that it needs room for its own lines alone.
        """
        view = self.columns.view
        if not self._replays:
            return view, 0
        # A recorded top-up makes two rows; those of a tape are taken as they are.
        each = 1 if self.world.taped else 2
        subs = self._recorded["sub"]
        low = int(np.searchsorted(subs, np.int32(self.first + first)))
        most = capacity // 2 // each
        if len(subs) - low <= most:
            return view, each * (len(subs) - low)
        last = int(subs[low + most]) - self.first
        if last <= first:
            raise LimitError(
                f"line {int(subs[low])} has more than {most} recorded rows in one tick; "
                "a shorter clock.tick_s cuts them"
            )
        return type(view)(*(array[:last] for array in view)), each * most

    def _splice(self, tick: Tick, part: Slice, out: Block, low: int, high: int) -> None:
        """Put the rows of the tape in the place of drawn ones, for every line of a slice."""
        rows = m.REPLAYED.tuple_type(**self._recorded)
        out.n = thin_all(out.view, out.n, self.load, self._counters)
        wrong = count_tape(
            self.columns.view,
            self.profile.view,
            self.world.tables,
            self.first,
            self.first + part.first,
            self.first + part.last,
            tick.start_ms,
            tick.end_ms,
            tick.quarters,
            rows,
            low,
            high,
            self.load,
            self._counters,
        )
        if wrong >= 0:
            raise ScenarioError(
                f"row {wrong} of the tape at tick {tick.index} cannot be in this world",
                found={name: int(array[wrong]) for name, array in self._recorded.items()},
                expected=f"a line, moment, kind, code and cell of it ({len(self.load)} cells)",
            )
        wake_taped(
            self.columns.view,
            self.world.tables,
            self.seed,
            self.first,
            rows,
            low,
            high,
            self._counters,
        )
        out.n = weave(out.view, out.n, rows, low, high, True)

    def _graft(self, out: Block, low: int, high: int) -> None:
        """Put recorded rows in the place of drawn ones, for the bound lines of a slice."""
        rows, load, counters = self._recorded, self.load, self._counters
        drawn = out.n = thin(
            out.view, out.n, self._bound, self.world.bound_mask, self.first, load, counters
        )
        end = graft(
            self.columns.view,
            self.profile.view,
            self.world.tables,
            self._quality,
            self.seed,
            self.first,
            m.RECORDED.tuple_type(**rows),
            low,
            high,
            out.view,
            out.n,
            load,
            counters,
        )
        tail = {name: array[drawn:end].copy() for name, array in out.columns.arrays.items()}
        more = m.ACTIVITY.tuple_type(**tail)
        out.n = weave(out.view, drawn, more, 0, end - drawn, False)
