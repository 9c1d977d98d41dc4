"""`SubscriberActor`: the people of one partition.

It owns the order of steps in a tick: hear messages, heed the account, plan the day, live.  It
must not rate or decide; nothing latent leaves it save by what people do.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from actors import messages as m
from actors.metrics import SUBSCRIBER_METRICS
from actors.quest_tables import opening_in, window_at
from actors.subscribers.account import heed_account
from actors.subscribers.acts import EXTRAS
from actors.subscribers.after_calls import AfterCallTables, hear_advice, hear_outcomes
from actors.subscribers.answers import hear_all, take_due
from actors.subscribers.calling import CallingTables, who_calls, who_complains
from actors.subscribers.chunk import scratch
from actors.subscribers.diary import count_lines, plan_day
from actors.subscribers.live import generate
from actors.subscribers.players import PlayTables, cheat, go_out
from actors.subscribers.replay import undrawn
from actors.subscribers.replaying import Replaying
from actors.subscribers.state import (
    EVENT_KINDS,
    EXPOSURE,
    LIFE_CUT,
    LIFE_HERE,
    LIFE_LEFT,
    LIFE_RESERVED,
)
from actors.subscribers.tables import SubscriberTables
from actors.subscribers.touch import TouchTables, who_comes
from actors.subscribers.visits import score_visits
from actors.subscribers.wants import judge_hits
from sim.core.actor import Inbox, Rows, Slice
from sim.core.columns import Block, Columns, Schema, concat_rows, empty_rows
from sim.core.errors import LimitError
from sim.core.metrics import Tally, new_tally
from sim.core.rng import seed64
from sim.core.ticks import Tick

SubscriberCounters = namedtuple(
    "SubscriberCounters", [metric.name for metric in SUBSCRIBER_METRICS]
)  # type: ignore[misc]  # names are data


class Quality(NamedTuple):
    """What the cells offer, one row per cell."""

    throughput_q: np.ndarray
    voice_block_q: np.ndarray
    available: np.ndarray


@dataclass(frozen=True)
class SubscriberWorld:
    """What every partition of the role shares.

    Attributes
    ----------
    seed : root of the draws
    tables : `SubscriberTables`
    labels : labels of metric dimensions
    n_cells : radio cells
    case_ids : (65536,) uint64, name id of each use case, for digests; 0 beyond
    bound : (n,) int64 sorted lines that replay recorded subscribers
    bound_mask : bits of the kinds of rows that are recorded
    taped : every line replays what the same line did in another run (`Replayed`)
    calling, after_calls : who calls the contact centre, and what a call leaves; None: nobody
    touch : who comes to a touch point; None: there is none
    play : what quests do to people; None: nothing
    """

    seed: int
    tables: SubscriberTables
    labels: dict[str, tuple[str, ...]]
    n_cells: int
    case_ids: np.ndarray
    bound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    bound_mask: int = 0
    taped: bool = False
    calling: CallingTables | None = None
    touch: TouchTables | None = None
    after_calls: AfterCallTables | None = None
    play: PlayTables | None = None


def pool_capacity(n_lines: int) -> int:
    """Return how many answers a partition may hold: one for 40 lines, at least 1,024."""
    return max(1024, n_lines // 40)


class SubscriberActor(Replaying):
    """The people of one partition: state, diary, use, wants and answers."""

    role: ClassVar[str] = "subscribers"
    consumes: ClassVar[tuple[Schema, ...]] = (
        m.DELIVERY,
        m.CALL_OUTCOME,
        m.ACCOUNT_EVENT,
        m.DETECTION,
        m.TRIGGERED,
        m.RECORDED,
        m.REPLAYED,
        m.PLACED,
    )
    produces: ClassVar[tuple[Schema, ...]] = (m.ACTIVITY, m.TRUTH, m.CALL, m.TOUCH)

    def __init__(
        self, world: SubscriberWorld, first: int, profile: Columns, state: Columns
    ) -> None:
        self.world = world
        self.first = first
        self.profile = profile
        self.columns = state
        self.pool = Columns(EXPOSURE, pool_capacity(state.n))
        self.n_pool = 0
        self.load = np.zeros((world.n_cells, 4), np.int64)
        self.seed = seed64(world.seed)
        self._tally = new_tally(SUBSCRIBER_METRICS, world.labels)
        self._counters = SubscriberCounters(**self._tally)
        self._due = Columns(EXPOSURE, 16)
        self._n_due = 0
        self._due_at = 0
        self._truth: Rows = empty_rows(m.TRUTH)
        self._calls: list[Rows] = []
        self._touches: Rows = empty_rows(m.TOUCH)
        self._extras = Block(m.ACTIVITY, EXTRAS)
        self._lanes = np.zeros(len(EVENT_KINDS), np.int64)
        self._quality: Any = None
        lines = np.arange(first, first + state.n, dtype=np.int64)
        self._bound = np.isin(lines, world.bound) if len(world.bound) else None
        # Lines that replay a tape, all of them, hear `Replayed`; bound ones hear `Recorded`.
        self._schema = m.REPLAYED if world.taped else m.RECORDED
        self._replays = world.taped or self._bound is not None
        self._recorded: Rows = empty_rows(self._schema)
        self._tables = undrawn(world.tables) if world.taped else world.tables

    def share_load(self, load: np.ndarray) -> None:
        """Let the partitions of a host add into one array of cell load."""
        self.load = load

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Heed the account, hear messages, score believed visits, plan the day.

        The account comes first: what happened to it may have woken the very need that a message
        about it answers.
        """
        self._quality = Quality(**inbox.arrays["CellQuality"])
        self._heed(inbox.rows.get("AccountEvent"))
        after, state = self.world.after_calls, self.columns.view
        hear_outcomes(after, state, self.first, inbox.rows.get("CallOutcome"), self._counters)
        self._hear(inbox.rows.get("Delivery"), tick)
        hear_advice(after, state, self.first, self.world.tables, self._truth, self._counters)
        self._score(inbox.rows.get("Detection"))
        self._judge(inbox.rows.get("Triggered"))
        self._call(inbox.rows.get("AccountEvent"), tick)
        self._come(inbox.rows.get("Placed"), tick)
        for epoch, regions in tick.dawns:
            weekday = int(tick.weekdays[int(np.argmax(regions)), epoch - tick.start_ms // 900_000])
            plan_day(
                self.columns.view,
                self.profile.view,
                self.world.tables,
                self.seed,
                self.first,
                weekday,
                epoch,
                regions,
                self._counters,
            )
        self._select_due(tick)
        if self.world.play is not None:
            self._play(self.world.play, tick)
        if self._replays:
            self._recorded = inbox.rows.get(self._schema.name, empty_rows(self._schema))

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """Fill `Activity` with the acts of as many lines as fit, and set `part.last`."""
        out = part.blocks["Activity"]
        state, room = self._reach(part.first, out.capacity)
        part.last, out.n, self._due_at = generate(
            state,
            self.profile.view,
            self._tables,
            self._quality,
            self._due.view,
            self._n_due,
            self._due_at,
            self.seed,
            self.first,
            part.first,
            tick.start_ms,
            tick.end_ms,
            tick.quarters,
            tick.weekdays,
            *scratch(part.blocks, tick.quarters.shape[1]),
            self._extras.view,
            self._lanes,
            out.view,
            out.capacity - room,
            self.load,
            self._counters,
        )
        if part.last == part.first:
            raise LimitError(f"a slice of {out.capacity} rows has no room for one line's rows")
        if self._replays:
            self._put_recorded(tick, part, out)
        self._add_calls(who_complains(self.world.calling, self._lines(), out))

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Return the truth of the messages heard in this tick, the calls and visits to come."""
        calls = concat_rows(m.CALL, self._calls)
        return {"Truth": self._truth, "Call": calls, "Touch": self._touches}

    def no_counters(self) -> Any:
        """Return counters of its own, to be forgotten, for what is only tried out."""
        return SubscriberCounters(**new_tally(SUBSCRIBER_METRICS, self.world.labels))

    def tally(self) -> Tally:
        """Return the counters; whoever runs the role resets them before a tick."""
        return self._tally

    def share_tally(self, tally: Tally) -> None:
        """Count into arrays that the partitions of a host share."""
        self._tally = tally
        self._counters = SubscriberCounters(**tally)

    def ledger(self) -> dict[str, int]:
        """Return open answers and lines by state of life."""
        *life, satisfaction = count_lines(self.columns.view)
        return {
            "exposures_open": self.n_pool,
            "lines_reserved": life[LIFE_RESERVED],
            "lines_here": life[LIFE_HERE],
            "lines_left": life[LIFE_LEFT],
            "lines_cut": life[LIFE_CUT],
            "lines": self.columns.n,
            "satisfaction_q": satisfaction,
        }

    def state(self) -> dict[str, Columns]:
        """Return the columns that the role owns."""
        return {"SubscriberState": self.columns}

    def nbytes(self) -> int:
        """Return the bytes of state and pools."""
        return self.columns.nbytes + self.pool.nbytes

    def snapshot(self) -> dict[str, Any]:
        """Return state and pool."""
        pool = {name: a[: self.n_pool].copy() for name, a in self.pool.arrays.items()}
        return {"state": self.columns.snapshot(), "pool": pool}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.columns.restore(saved["state"])
        self.n_pool = len(saved["pool"]["sub"])
        for name, array in saved["pool"].items():
            self.pool[name][: self.n_pool] = array

    def pool_digests(self) -> dict[str, int]:
        """Return the digest of the answers that are held."""
        return {"Exposure": self.pool.digest_rows(self.n_pool, self.world.case_ids)}

    def _hear(self, rows: Rows | None, tick: Tick) -> None:
        if rows is None or not len(rows["sub"]):
            self._truth = empty_rows(m.TRUTH)
            return
        n = len(rows["sub"])
        if self.n_pool + n > self.pool.n:
            raise LimitError(
                f"answers of partition at line {self.first}: pool of {self.pool.n} is full; "
                f"{n} messages arrived at once"
            )
        truth = Columns(m.TRUTH, n)
        held = self.n_pool
        made, self.n_pool = hear_all(
            self.columns.view,
            self.profile.view,
            self.world.tables,
            self.seed,
            self.first,
            m.DELIVERY.tuple_type(**rows),
            n,
            tick.start_ms,
            truth.view,
            self.pool.view,
            self.n_pool,
            self._counters,
        )
        self._truth = {name: a[:made] for name, a in truth.arrays.items()}
        if self.n_pool > held:
            self._sort_pool()

    def _sort_pool(self) -> None:
        """Sort the answers by line again: two sorted runs, which a stable sort merges."""
        pool, n = self.pool.arrays, self.n_pool
        order = np.argsort(pool["sub"][:n], kind="stable")
        for array in pool.values():
            array[:n] = array[:n][order]

    def _call(self, account: Rows | None, tick: Tick) -> None:
        """Let those call whom their account or a message has upset."""
        after = self.world.after_calls
        self._calls = []
        if after is None:
            return
        self._add_calls(
            who_calls(
                self.world.calling,
                self._lines(),
                self.world.tables.case_service,
                after.channel_heard,
                account=account,
                truth=self._truth,
                start_ms=tick.start_ms,
            )
        )

    def _add_calls(self, calls: Rows) -> None:
        if len(calls["sub"]):
            self._calls.append(calls)
            made = np.bincount(calls["reason"], minlength=len(m.CALL_REASONS))
            self._counters.calls_made[:] += made

    def _lines(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return what tells who may call: life, flags, and the first line."""
        return self.columns["life"], self.profile["flags"], self.first

    def _come(self, placed: Rows | None, tick: Tick) -> None:
        """Say who will come to a touch point where something lies ready."""
        if placed is None or self.world.touch is None:
            self._touches = empty_rows(m.TOUCH)
            return
        self._touches = who_comes(
            (self.columns.view, self.profile.view, self.first),
            self.world.tables,
            self.world.touch,
            seed=self.seed,
            placed=placed,
            start_ms=tick.start_ms,
        )
        self._counters.placed_heard[0] += len(placed["sub"])
        self._counters.touches_made[0] += len(self._touches["sub"])

    def _heed(self, rows: Rows | None) -> None:
        if rows is not None and len(rows["sub"]):
            heed_account(
                self.columns.view,
                self.profile.view,
                self.world.tables,
                self.seed,
                self.first,
                m.ACCOUNT_EVENT.tuple_type(**rows),
                len(rows["sub"]),
                self._counters,
            )

    def _score(self, rows: Rows | None) -> None:
        if rows is not None and len(rows["sub"]):
            score_visits(
                self.columns.view,
                self.profile.view,
                self.world.tables,
                self.seed,
                self.first,
                m.DETECTION.tuple_type(**rows),
                len(rows["sub"]),
                self._counters,
            )

    def _play(self, play: PlayTables, tick: Tick) -> None:
        """Let players go out for the quests that are open, and cheats check in."""
        lines = (self.columns.view, self.profile.view)
        everywhere = np.ones(len(self.world.tables.region_shift_q), np.uint8)
        added = 0
        for quest in range(len(play.outings)):
            at_ms = opening_in(play.quests, quest, tick.start_ms, tick.end_ms)
            moments = [(at_ms, everywhere)] if at_ms >= 0 else []
            moments += [
                (epoch * 900_000, regions) for epoch, regions in tick.dawns
                if epoch * 900_000 != at_ms and window_at(play.quests, quest, epoch * 900_000) >= 0
            ]  # fmt: skip
            for ts_ms, regions in moments if play.outings[quest] else []:
                quarters = tick.quarters[:, ts_ms // 900_000 - tick.start_ms // 900_000]
                gone = go_out(
                    *lines, self.world.tables, play, self.first, quest, ts_ms, quarters, regions
                )
                self._counters.quest_outings[quest] += gone
            if at_ms >= 0 and play.cheats[quest]:
                args = (*lines, play, self.first, quest, at_ms, tick.end_ms)
                n = self._n_due
                more = cheat(*args, self._due.view, n, False)
                if more > self._due.n:
                    grown = Columns(EXPOSURE, 2 * more)
                    for name, array in self._due.arrays.items():
                        grown[name][:n] = array[:n]
                    self._due = grown
                self._n_due = cheat(*args, self._due.view, n, True)
                added += self._n_due - n
        if added:
            self._sort_due()

    def _judge(self, rows: Rows | None) -> None:
        if rows is not None and len(rows["sub"]):
            judge_hits(
                self.columns.view,
                self.world.tables,
                self.first,
                m.TRIGGERED.tuple_type(**rows),
                len(rows["sub"]),
                self._counters,
            )

    def _select_due(self, tick: Tick) -> None:
        if self._due.n < self.n_pool:
            self._due = Columns(EXPOSURE, max(self.n_pool, 2 * self._due.n))
        self.n_pool, n = take_due(self.pool.view, self.n_pool, tick.end_ms, self._due.view)
        self._n_due, self._due_at = n, 0
        self._sort_due()

    def _sort_due(self) -> None:
        due, n = self._due.arrays, self._n_due
        order = np.lexsort((due["use_case"][:n], due["ts_ms"][:n], due["sub"][:n]))
        for array in due.values():
            array[:n] = array[:n][order]
