"""`LoyaltyActor`: one global role for what games share: budgets, stocks, prizes, teams.

It owns the sums and the canonical order in which claims are granted, so that none ever goes past
a budget or a stock.  It must not know who claims, nor change a line.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from actors import messages as m
from actors.loyalty.params import Quest
from actors.loyalty.state import MEMBER, TEAM
from actors.metrics import LOYALTY_METRICS
from sim.core import rng
from sim.core.actor import Rows
from sim.core.columns import Columns, Schema, empty_rows, take_rows
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick

LoyaltyCounters = namedtuple(  # type: ignore[misc]  # names are data
    "LoyaltyCounters", [metric.name for metric in LOYALTY_METRICS]
)

NO_LIMIT = 1 << 60


class LoyaltyTables(NamedTuple):
    """Limits of each quest for the lines that are simulated, and its prizes.

    Attributes
    ----------
    quest_id : (n,) uint64, name ids, for digests
    budget_minor, rewards : (n,) int64, `NO_LIMIT` where there is none
    prize_start : (n + 1,) int64, prizes of quest j are `prize_start[j]` and on
    prize_cum : chance of a prize or one before it, as uint64 thresholds of a 32-bit draw
    steps : (n, 8) int64, what a team must do for each step
    closes : per quest, (open_ms, length_ms, every_ms)
    """

    seed: int
    quest_id: np.ndarray
    budget_minor: np.ndarray
    rewards: np.ndarray
    prize_start: np.ndarray
    prize_cum: np.ndarray
    prize_stock: np.ndarray
    prize_cost_minor: np.ndarray
    steps: np.ndarray
    closes: np.ndarray


def compile_tables(
    quests: Sequence[Quest], *, seed: int, share: float, price_level: float, engine: Any
) -> LoyaltyTables:
    """Return the tables of the loyalty role.

    Parameters
    ----------
    share : simulated lines over the real lines that they stand for: budgets and stocks are told
        for the whole base and cut down to it
    engine : `QuestTables` of the same quests
    """
    prizes = [(quest, prize) for quest in quests for prize in quest.prizes]
    cum: list[int] = []
    for quest in quests:
        chances = np.cumsum([prize.chance for prize in quest.prizes])
        cum += [min(round(float(x) * 4294967296), 4294967296) for x in chances]
    steps = np.zeros((len(quests), 8), np.int64)
    for j in range(len(quests)):
        first, last = int(engine.step_start[j]), int(engine.step_start[j + 1])
        steps[j, : last - first] = engine.step_at_least[first:last]
    ids = np.zeros(256, np.uint64)
    ids[: len(quests)] = engine.quest_id

    def limit(value: float) -> int:
        return int(value * share) if value else NO_LIMIT

    return LoyaltyTables(
        seed=seed,
        quest_id=ids,
        budget_minor=np.array([limit(q.budget_minor * price_level) for q in quests], np.int64),
        rewards=np.array([limit(q.rewards_max) for q in quests], np.int64),
        prize_start=np.array([0, *np.cumsum([len(q.prizes) for q in quests])], np.int64),
        prize_cum=np.array(cum, np.uint64),
        prize_stock=np.array([int(prize.stock * share) for _, prize in prizes], np.int64),
        prize_cost_minor=np.array(
            [round(prize.cost_minor * price_level) for _, prize in prizes], np.int64
        ),
        steps=steps,
        closes=np.stack(
            [engine.open_ms, engine.close_ms - engine.open_ms, engine.every_ms], axis=1
        ),
    )


class LoyaltyActor:
    """Budgets, stocks, prizes and teams of all quests."""

    role: ClassVar[str] = "loyalty"
    consumes: ClassVar[tuple[Schema, ...]] = (m.CLAIM,)
    produces: ClassVar[tuple[Schema, ...]] = (m.GRANT,)

    def __init__(self, tables: LoyaltyTables, labels: dict[str, tuple[str, ...]]) -> None:
        self.tables = tables
        self.spent_minor = np.zeros(len(tables.budget_minor), np.int64)
        self.given = np.zeros(len(tables.budget_minor), np.int64)
        self.drawn = np.zeros(len(tables.prize_stock), np.int64)
        self.members: Rows = empty_rows(MEMBER)
        self.teams: dict[tuple[int, int, int], int] = {}
        self._tally = new_tally(LOYALTY_METRICS, labels)
        self._counters = LoyaltyCounters(**self._tally)

    def on_tick(self, tick: Tick, claims: Rows) -> Rows:
        """Take the claims of a tick in any order and return the grants, sorted by (sub, time)."""
        reset(self._tally)
        claims = take_rows(claims, np.lexsort((claims["key"], claims["ts_ms"])))
        kind = claims["kind"]
        self._enlist(take_rows(claims, np.flatnonzero(kind == m.JOIN_TEAM)))
        out = self._advance(take_rows(claims, np.flatnonzero(kind == m.TEAM_STEP)))
        out += self._reward(take_rows(claims, np.flatnonzero(kind == m.ASK_REWARD)))
        self._close(tick)
        self._counters.grants_made[0] += len(out)
        past = np.maximum(self.spent_minor - self.tables.budget_minor, 0).sum()
        past += np.maximum(self.given - self.tables.rewards, 0).sum()
        self._counters.limit_breaches[0] += (
            past + np.maximum(self.drawn - self.tables.prize_stock, 0).sum()
        )
        return _to_rows(out)

    def _enlist(self, joined: Rows) -> None:
        if len(joined["sub"]):
            more = {f.name: joined[f.name] for f in MEMBER.fields}
            kept = {name: np.concatenate([self.members[name], more[name]]) for name in more}
            order = np.lexsort((kept["sub"], kept["team"], kept["quest"]))
            self.members = take_rows(kept, order)

    def _advance(self, steps: Rows) -> list[tuple[int, ...]]:
        """Add progress to teams; return a grant for each member of those that have done a step."""
        out: list[tuple[int, ...]] = []
        columns = (steps[n].tolist() for n in ("quest", "team", "step", "units", "ts_ms"))
        for quest, team, step, units, ts_ms in zip(*columns, strict=True):
            key = (quest, team, step)
            before = self.teams.get(key, 0)
            self.teams[key] = before + units
            if before < self.tables.steps[quest, step] <= before + units:
                here = (self.members["quest"] == quest) & (self.members["team"] == team)
                self._counters.team_steps[quest] += 1
                out += [
                    (sub, ts_ms, quest, m.TEAM_DONE, step, 0, -1, 0)
                    for sub in self.members["sub"][here].tolist()
                ]
        return out

    def _reward(self, asked: Rows) -> list[tuple[int, ...]]:
        """Grant rewards in order while budget and stock last, and draw prizes."""
        out: list[tuple[int, ...]] = []
        t, c = self.tables, self._counters
        luck = rng.draws(t.seed, "prize of a quest", asked["key"].view(np.int64))[:, 0]
        columns = (asked[n].tolist() for n in ("sub", "ts_ms", "quest", "units", "suspect"))
        for word, sub, ts_ms, quest, units, suspect in zip(luck.tolist(), *columns, strict=True):
            enough = self.spent_minor[quest] + units <= t.budget_minor[quest]
            if not (enough and self.given[quest] < t.rewards[quest]):
                c.claims_refused[quest] += 1
                out.append((sub, ts_ms, quest, m.REFUSE_REWARD, 0, 0, -1, suspect))
                continue
            self.spent_minor[quest] += units
            self.given[quest] += 1
            c.claims_granted[quest] += 1
            c.granted_minor[quest] += units
            prize = -1 if suspect else self._draw(word, quest)
            out.append((sub, ts_ms, quest, m.GIVE_REWARD, 0, units, prize, suspect))
        return out

    def _draw(self, word: int, quest: int) -> int:
        """Return the cost of the prize that a draw gives, or -1: none, or none left."""
        t, c = self.tables, self._counters
        first, last = int(t.prize_start[quest]), int(t.prize_start[quest + 1])
        k = first + int(np.searchsorted(t.prize_cum[first:last], np.uint64(word), side="right"))
        if k == last:
            return -1
        if self.drawn[k] >= t.prize_stock[k]:
            c.prizes_gone[quest] += 1
            return -1
        self.drawn[k] += 1
        c.prizes_drawn[quest] += 1
        c.prizes_minor[quest] += t.prize_cost_minor[k]
        return int(t.prize_cost_minor[k])

    def _close(self, tick: Tick) -> None:
        """Forget the teams of windows that end in this tick."""
        for quest, (opens, length, every) in enumerate(self.tables.closes.tolist()):
            since = tick.end_ms - opens - length
            if since >= 0 and since % every < tick.end_ms - tick.start_ms:
                stay = self.members["quest"] != quest
                self.members = take_rows(self.members, np.flatnonzero(stay))
                self.teams = {k: v for k, v in self.teams.items() if k[0] != quest}

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def ledger(self) -> dict[str, int]:
        """Return nothing: every claim is answered in its tick."""
        return {}

    def _team_rows(self) -> Rows:
        table = np.array(
            [(*key, units) for key, units in sorted(self.teams.items())], np.int64
        ).reshape(-1, 4)
        return {f.name: table[:, k].astype(np.dtype(f.dtype)) for k, f in enumerate(TEAM.fields)}

    def digest(self) -> int:
        """Return the order-free digest of sums, members and teams."""
        total = int((self.spent_minor * 3 + self.given * 5).sum()) + int((self.drawn * 7).sum())
        for schema, rows in ((MEMBER, self.members), (TEAM, self._team_rows())):
            held = Columns(schema, len(rows["quest"]))
            held.ids = self.tables.quest_id
            for name, array in rows.items():
                held[name][...] = array
            who = rows["sub"] if schema is MEMBER else rows["team"] * 8 + rows["step"]
            total += held.digest(who.astype(np.int64))
        return total & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return sums, members and teams."""
        return {
            "spent_minor": self.spent_minor.copy(), "given": self.given.copy(),
            "drawn": self.drawn.copy(), "teams": self._team_rows(),
            "members": {name: a.copy() for name, a in self.members.items()},
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name in ("spent_minor", "given", "drawn"):
            getattr(self, name)[:] = saved[name]
        self.members = {name: a.copy() for name, a in saved["members"].items()}
        columns = (saved["teams"][f.name].tolist() for f in TEAM.fields)
        self.teams = {(q, t, s): u for q, t, s, u in zip(*columns, strict=True)}


def _to_rows(grants: list[tuple[int, ...]]) -> Rows:
    """Return grants as columns, sorted by (sub, time, quest, kind, step)."""
    table = np.array(sorted(grants), np.int64).reshape(-1, len(m.GRANT.fields))
    return {f.name: table[:, k].astype(np.dtype(f.dtype)) for k, f in enumerate(m.GRANT.fields)}
