"""`RtmActor`: the real-time marketing engine of one partition.

It owns the order of steps in a tick: what became of messages, the game, then the rows of each
slice: see, decide, intend.  It must not know the truth about anyone.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from actors import messages as m
from actors.metrics import RTM_METRICS
from actors.quest_tables import QuestTables
from actors.rtm.beliefs import Beliefs, open_trials
from actors.rtm.breaches import count_breaches
from actors.rtm.calls import Screen, forget_calls, hits_of_calls, note_calls
from actors.rtm.campaigns import CampaignDesk
from actors.rtm.capture import Feed, filled, put_late
from actors.rtm.compiled import Named, rules_of, scan_for
from actors.rtm.decide import decide
from actors.rtm.experiments import close_experiments, count_arms, mark_purchases
from actors.rtm.history import forget_old
from actors.rtm.hysteresis import hold_back
from actors.rtm.loyalty import LoyaltyDesk
from actors.rtm.outcomes import take_deliveries
from actors.rtm.outlook import Foresight, foreseen
from actors.rtm.quality import MATCH_MS, Judge, unread_counters
from actors.rtm.state import CALLERS, CONTACTS, DEED, EXPERIMENT, HELD, HIT, TAKEN, engine_view
from actors.rtm.tables import RtmTables
from actors.rtm.triggers import CALL
from sim.core.actor import Inbox, Rows, Slice
from sim.core.columns import Block, Columns, Schema, concat_rows
from sim.core.errors import LimitError
from sim.core.kernel import Direct
from sim.core.metrics import Tally, new_tally
from sim.core.sparse import Sparse
from sim.core.ticks import DAY_MS, Tick

RtmCounters = namedtuple("RtmCounters", [metric.name for metric in RTM_METRICS])  # type: ignore[misc]  # names are data
ROOM = 65_536
"""Hits, believed visits or credits of one slice, at most."""


@dataclass(frozen=True)
class RtmWorld:
    """What every partition of the role shares.

    Attributes
    ----------
    tables : `RtmTables`
    quests : `QuestTables`
    rules : the rules compiled into the scan kernel, as (label, trigger, options, re-arms)
    labels : labels of metric dimensions
    enabled : False sees everything and decides nothing
    n_cases : use cases of the run
    case_ids : (65536,) uint64, name id of each use case, for digests; 0 beyond
    channel_ids : (256,) uint64, of each channel, with and without the bit of an answer
    bound : (n,) int64 sorted lines that replay a recording
    gaps_ms : spans of the recording without rows, which are nobody's silence
    screen : the screen of the contact centre's agents; None: they have none
    end_ms : end of the run, at which the universal control is counted; 0: never
    """

    tables: RtmTables
    quests: QuestTables
    rules: Named
    labels: dict[str, tuple[str, ...]]
    enabled: bool
    n_cases: int
    case_ids: np.ndarray
    channel_ids: np.ndarray
    bound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    gaps_ms: tuple[tuple[int, int], ...] = ()
    screen: Screen | None = None
    end_ms: int = 0


EXPERIMENTS_AT_START = 1024
"""Horizons for which a partition has room before it grows."""


def experiment_capacity(n_lines: int, campaigns: bool) -> int:
    """Return how many horizons may be open: one per line, four with campaigns; at least 1,024."""
    return max(1024, n_lines * (4 if campaigns else 1))


class RtmActor:
    """Live profile, triggers, decisions and measurement of one partition."""

    role: ClassVar[str] = "rtm"
    consumes: ClassVar[tuple[Schema, ...]] = (
        m.ACTIVITY, m.RATED, m.ACCOUNT_EVENT, m.DELIVERY, m.CALL_OUTCOME, m.GRANT,
    )  # fmt: skip
    produces: ClassVar[tuple[Schema, ...]] = (
        m.INTENT, m.CREDIT, m.DETECTION, m.TRIGGERED, m.DECISION, m.CLAIM, m.LESSON,
    )  # fmt: skip

    def __init__(
        self,
        world: RtmWorld,
        first: int,
        profile: Columns,
        state: Columns,
        contacts: Rows | None = None,
        judged: np.ndarray | None = None,
    ) -> None:
        self.world = world
        self.first = first
        self.profile = profile
        self.columns = state
        by_column = {"case": world.case_ids, "channel": world.channel_ids}
        self.columns.ids = {f"recent_{name}": ids for name, ids in by_column.items()}
        self.contacts = Sparse(CONTACTS, by_column)
        self.taken = Sparse(TAKEN)
        self.held = Sparse(HELD)
        self.beliefs = Beliefs(world.tables.belief, by_column)
        self.foresight: Foresight | None = None
        self._events: Rows | None = None
        self._floor_ms = 0
        if contacts is not None:
            self.contacts.restore(contacts)
        self.enabled = world.enabled
        self.scan = scan_for(world.rules)
        self.pool = Columns(EXPERIMENT, EXPERIMENTS_AT_START)
        self.n_pool = 0
        self.callers = Sparse(CALLERS)
        self._call_rules = [
            (k, r) for k, r in enumerate(rules_of(world.rules)) if r.trigger.signal == CALL
        ]
        self.desk = LoyaltyDesk(world.quests, first, profile, state)
        self.campaigns = CampaignDesk(world.tables.campaign, first, profile, world.case_ids)
        self._tally = new_tally(RTM_METRICS, world.labels)
        self._counters = RtmCounters(**self._tally)
        self._choose, self._look = Direct(decide), Direct(count_breaches)
        self._mark, self._close = Direct(mark_purchases), Direct(close_experiments)
        self.feed = Feed(world.tables.capture, world.tables.seed)
        self.judge = self._make_judge(judged)
        self._truth: list[Rows] = []
        self._real: list[Rows] = []
        self._reasons = np.zeros(max(world.n_cases, 1), np.uint8)
        self._out: dict[str, list[Rows]] = {}

    def _make_judge(self, lines: np.ndarray | None) -> Judge | None:
        t = self.world.tables
        if lines is None or not t.capture.judged:
            return None
        return Judge(
            self.world.tables, self.first, self.profile, self.columns, lines,
            self.world.tables.capture.limit_ms + 2 * MATCH_MS,
            unread_counters(RtmCounters, tuple((k, len(v)) for k, v in self.world.labels.items())),
        )  # fmt: skip

    def begin(self, tick: Tick, inbox: Inbox) -> None:
        """Book what became of messages, and open games."""
        self._out = {schema.name: [] for schema in self.produces}
        self.columns["bought"][:] = 0
        for verb, _, _ in inbox.commands:
            if verb in ("rtm_on", "rtm_off"):
                self.enabled = verb == "rtm_on"
        self._floor_ms, self._events = tick.end_ms, None
        self.beliefs.listen(inbox.arrays.get("Beliefs"))
        rows = inbox.rows.get("Delivery")
        if rows is not None and len(rows["sub"]):
            made = Columns(m.CREDIT, len(rows["sub"]))
            heard = m.DELIVERY.tuple_type(**rows)
            n = take_deliveries(
                self.columns.view, self.world.tables, self.first, heard, len(rows["sub"]),
                made.view, 0, self._counters,
            )  # fmt: skip
            self._keep("Credit", {name: a[:n] for name, a in made.arrays.items()})
            if self.beliefs.reserve(len(rows["sub"])):
                open_trials(
                    self.profile.view, self.view, self.beliefs.within(self.world.tables),
                    self.first, heard, self._counters,
                )  # fmt: skip
        for name, rows in self.desk.begin(tick, inbox, self.enabled, self._counters).items():
            self._keep(name, rows)
        if self.judge is not None:
            self.judge.follow(self.columns["plays"])
        self._bridge_gaps(tick)
        self._take_calls(inbox.rows.get("CallOutcome"))
        if self.enabled:
            self.campaigns.ask(self, tick, self._decide, self._counters)
        if tick.start_ms // DAY_MS != (tick.start_ms - (tick.end_ms - tick.start_ms)) // DAY_MS:
            self._forget_contacts(tick.start_ms)

    @property
    def view(self) -> Any:
        """Return what kernels of decisions see of the lines."""
        own = (self.contacts, self.taken, self.held, self.beliefs.trials)
        return engine_view(self.columns, (*own, self.campaigns.joined), self.first)

    def _forget_contacts(self, now_ms: int) -> None:
        """Once a day, forget the contacts that no cap counts any more."""
        t = self.world.tables
        quarters = now_ms // 900_000 + t.start_quarter
        days = (quarters + t.region_shift_q[self.profile["region"]]) // 96
        forget_old(self.columns, self.contacts, t, self.first, days)
        self.campaigns.forget(days)

    def _take_calls(self, rows: Rows | None) -> None:
        """Remember who called, and decide on what the calls have satisfied."""
        if rows is None or not len(rows["sub"]):
            return
        seen = np.bincount(rows["result"], minlength=len(m.CALL_RESULTS))
        self._counters.calls_seen[:] += seen
        world = self.world
        found = note_calls(self.callers, world.screen, rows)
        if self.enabled:
            for tables, hits in hits_of_calls(
                world.screen, world.tables, self._call_rules, rows, found, self.columns, self.first
            ):
                n = self._hold_back(hits, hits.n) if tables is world.tables else hits.n
                if n:
                    self._decide(hits, n, tables)

    def _bridge_gaps(self, tick: Tick) -> None:
        """Let the clock of silence stand still over gaps of a recording that end in this tick."""
        for begin_ms, end_ms in self.world.gaps_ms:
            if not tick.start_ms <= end_ms < tick.end_ms:
                continue
            low, high = np.searchsorted(self.world.bound, (self.first, self.first + self.columns.n))
            rows = self.world.bound[low:high] - self.first
            seen = self.columns["seen_s"][rows].astype(np.int64)
            missed = np.maximum(end_ms // 1000 - np.maximum(seen, begin_ms // 1000), 0)
            self.columns["seen_s"][rows] = seen + missed

    def on_slice(self, tick: Tick, part: Slice) -> None:
        """See the rows of a slice, then decide on every rule that was satisfied."""
        activity, rated = part.blocks["Activity"], part.blocks["Rated"]
        events = part.blocks["AccountEvent"]
        if self.world.tables.contact.remembers:
            self.taken.reserve(int(np.count_nonzero(activity.rows()["kind"] >= m.PURCHASE)))
        rows, ratings = filled(activity, activity.n), filled(rated, activity.n)
        seen, told, n_rows = activity.columns, rated.columns, activity.n
        if self.feed.tables.defers:
            low, high = self.first + part.first, self.first + part.last
            seen, told, n_rows = self.feed.take(tick, low, high, rows, ratings, self._counters)
        hits, found, credits, deeds = self._scratch(part, max(activity.capacity, n_rows))
        n_hits, n_found, n_credits, n_deeds = self.scan(
            self.view, self.profile.view, self.world.tables, self.first, seen.view, n_rows,
            told.view, events.view, events.n, hits.view, 0, found.view, 0, credits.view, 0,
            deeds.view, 0, self._counters,
        )  # fmt: skip
        if n_hits < 0:
            raise LimitError(f"hits of one slice exceed their room of {ROOM}")
        if self.judge is not None and len(self.judge.lines):
            self._real.append(self._triggered(filled(hits, n_hits), tick))
            self._truth.append(self.judge.see(self.scan, rows, ratings, events.rows()))
        self.desk.thank(self.world.tables.campaign, seen, n_rows, self._counters)
        if n_deeds:
            claims, n_hits = self.desk.play(
                deeds, n_deeds, hits, n_hits, tick.start_ms, self._counters
            )
            self._keep("Claim", claims)
        if self.feed.tables.defers and n_hits:
            put_late(hits, n_hits, tick.start_ms)
        n_hits = self._hold_back(hits, n_hits)
        found.n, credits.n = n_found, n_credits
        self._keep("Detection", found.copy_rows())
        self._keep("Credit", credits.copy_rows())
        if self.enabled and n_hits:
            self._events = None if self.foresight is None else events.rows()
            self._decide(hits, n_hits, self.world.tables)

    def finish(self, tick: Tick) -> dict[str, Rows]:
        """Settle the horizons and games that ended, and return what leaves on next-tick edges."""
        self.desk.finish(tick, self._counters)
        if self.judge is not None and len(self.judge.lines):
            self.judge.settle(self._truth, self._real, tick.end_ms, self._counters)
            self._truth, self._real = [], []
        self._mark(self.columns.view, self.world.tables, self.first, self.pool.view, self.n_pool)
        self.n_pool = self._close(
            self.profile.view, self.columns.view, self.world.tables, self.first, self.pool.view,
            self.n_pool, tick.end_ms, self.beliefs.ends, self._counters,
        )  # fmt: skip
        if tick.end_ms == self.world.end_ms:
            count_arms(self.columns.view, self.world.tables, self.first, self._counters)
        if self.beliefs.tables.learns:
            profile = self.profile.view
            self._keep("Lesson", self.beliefs.lessons(profile, self.first, tick, self._counters))
        if tick.end_ms // DAY_MS != tick.start_ms // DAY_MS:
            forget_calls(self.callers, tick.end_ms)
        schemas = {s.name: s for s in self.produces}
        return {name: concat_rows(schemas[name], kept) for name, kept in self._out.items()}

    def tally(self) -> Tally:
        """Return the counters; whoever runs the role resets them before a tick."""
        return self._tally

    def share_tally(self, tally: Tally) -> None:
        """Count into arrays that the partitions of a host share."""
        self._tally = tally
        self._counters = RtmCounters(**tally)

    def ledger(self) -> dict[str, int]:
        """Return open horizons and games."""
        return {
            "rows_waiting": int((self.feed.waiting["watched"] == 0).sum()),
            "experiments_open": self.n_pool, "trials_open": len(self.beliefs.trials),
            **self.desk.ledger(),
        }  # fmt: skip

    def state(self) -> dict[str, Columns]:
        """Return the columns that the role owns."""
        return {"RtmState": self.columns}

    def pool_digests(self) -> dict[str, int]:
        """Return the digests of open horizons and of sparse tables."""
        return {
            "Experiment": self.pool.digest_rows(self.n_pool, self.world.case_ids),
            **{table.schema.name: table.digest() for table in self.tables()},
            **(self.feed.digests() if self.feed.tables.defers else {}),
            **({} if self.judge is None else self.judge.digests(self._rule_ids())),
        }

    def pooled(self, saved: dict[str, Any]) -> list[tuple[Columns, np.ndarray, np.ndarray]]:
        """Return (rows, line and key of each) of what a snapshot holds under way and judged."""
        out = self.feed.keyed(saved) if self.feed.tables.defers else []
        return out + ([] if self.judge is None else self.judge.keyed(saved, self._rule_ids()))

    def _rule_ids(self) -> np.ndarray:
        return self.world.tables.rule_id.astype(np.uint64)

    def tables(self) -> tuple[Sparse, ...]:
        """Return what only some lines have, by line and name."""
        desk = self.desk
        own = (self.contacts, self.taken, self.beliefs.trials, self.held, self.callers)
        return *own, desk.games, desk.points, *self.campaigns.kept

    def nbytes(self) -> int:
        """Return the bytes of state, pools and sparse tables."""
        judge = 0 if self.judge is None else self.judge.nbytes()
        tables = sum(table.nbytes for table in self.tables())
        return self.columns.nbytes + self.pool.nbytes + tables + self.feed.nbytes() + judge

    def snapshot(self) -> dict[str, Any]:
        """Return state, pool, sparse tables and whether the engine is on."""
        pool = {name: a[: self.n_pool].copy() for name, a in self.pool.arrays.items()}
        return {
            "state": self.columns.snapshot(),
            "pool": pool,
            **{table.schema.name: table.snapshot() for table in self.tables()},
            **self.feed.snapshot(),
            **({} if self.judge is None else self.judge.snapshot()),
            "enabled": np.array(self.enabled),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.columns.restore(saved["state"])
        self.n_pool = 0
        self._make_room(len(saved["pool"]["sub"]))
        self.n_pool = len(saved["pool"]["sub"])
        for name, array in saved["pool"].items():
            self.pool[name][: self.n_pool] = array
        for table in self.tables():
            table.restore(saved[table.schema.name])
        self.feed.restore(saved)
        if self.judge is not None:
            self.judge.restore(saved)
        self.enabled = bool(saved["enabled"])
        self.beliefs.hour = -1

    def _triggered(self, hits: Rows, tick: Tick) -> Rows:
        """Tell the subscribers of the hits of judged lines, to be scored and forgotten."""
        assert self.judge is not None
        own = self.judge.own(hits, tick.start_ms)
        need = self.world.tables.rule_need[own["trigger"]]
        self._keep("Triggered", {**{n: own[n] for n in ("sub", "ts_ms", "trigger")}, "need": need})
        return own

    def _hold_back(self, hits: Block | Columns, n: int) -> int:
        """Drop the hits that hysteresis holds back; return how many are left."""
        if not n or not self.world.tables.hold.used:
            return n
        self.held.reserve(n)
        return hold_back(
            self.profile.view, self.world.tables, self.held.view, self.first, hits.view, n,
            self._counters,
        )  # fmt: skip

    def _decide(self, hits: Block | Columns, n_hits: int, tables: Any) -> Columns:
        """Decide on hits, and return the `Decision` of each."""
        self._make_room(n_hits)
        intents = Columns(m.INTENT, n_hits)
        log = Columns(m.DECISION, n_hits)
        self.contacts.reserve(n_hits)
        view = self.view
        n_intents, self.n_pool = self._choose(
            self.profile.view,
            view,
            self.beliefs.within(tables),
            self.first,
            hits.view,
            n_hits,
            foreseen(
                self.foresight,
                self._events,
                self.profile.view,
                view,
                tables,
                self.first,
                hits.view,
                n_hits,
                self._floor_ms,
            ),
            self._reasons,
            intents.view,
            0,
            self.pool.view,
            self.n_pool,
            log.view,
            self._counters,
        )
        self._look(self.profile.view, view, tables, intents.view, 0, n_intents, self._counters)
        self._keep("Intent", {name: a[:n_intents] for name, a in intents.arrays.items()})
        self._keep("Decision", log.arrays)
        return log

    def _make_room(self, more: int) -> None:
        """Grow the pool of horizons in steps, up to its named limit."""
        need = self.n_pool + more
        if need <= self.pool.n:
            return
        limit = experiment_capacity(self.columns.n, self.campaigns.used) + more
        if need > limit:
            raise LimitError(f"open horizons of one partition exceed {limit}")
        grown = Columns(EXPERIMENT, min(max(2 * self.pool.n, need), max(limit, need)))
        for name, array in self.pool.arrays.items():
            grown[name][: self.n_pool] = array[: self.n_pool]
        self.pool = grown

    def _scratch(self, part: Slice, n_rows: int) -> tuple[Block, Block, Block, Block]:
        """Return the reused blocks of a slice for hits, visits, credits and deeds."""
        for name, schema in (("Hit", HIT), ("Detection", m.DETECTION), ("Credit", m.CREDIT)):
            if name not in part.blocks:
                part.blocks[name] = Block(schema, ROOM)
        blocks = part.blocks
        if "Deed" not in blocks or blocks["Deed"].capacity < n_rows:
            blocks["Deed"] = Block(DEED, n_rows)
        return blocks["Hit"], blocks["Detection"], blocks["Credit"], blocks["Deed"]

    def _keep(self, name: str, rows: Rows) -> None:
        if len(rows["sub"]):
            self._out[name].append(rows)
