"""The engine's desk for games and points: its tables, and when which kernel moves them.

It owns the sparse tables of games and of points of one partition.  It must not know a rule of
either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors import messages as m
from actors.quest_tables import NEVER_MS, QuestTables, opening_in
from actors.rtm.awards import expire_points, points_open, take_grants, thank
from actors.rtm.quests import join, lapse, needed, play, quests_open
from actors.rtm.state import GAME, POINTS
from sim.core.actor import Inbox, Rows
from sim.core.columns import Block, Columns
from sim.core.errors import LimitError
from sim.core.sparse import Sparse
from sim.core.ticks import DAY_MS, Tick


class LoyaltyDesk:
    """Games and points of the lines of a partition.

    Parameters
    ----------
    first : global id of the partition's first line
    profile, state : of the partition; `flags` of the state tells who plays
    """

    def __init__(self, quests: QuestTables, first: int, profile: Columns, state: Columns) -> None:
        self.quests = quests
        self.first = first
        self.profile = profile
        self.state = state
        ids = np.zeros(256, np.uint64)
        ids[: len(quests.quest_id)] = quests.quest_id
        self.games = Sparse(GAME, ids)
        self.points = Sparse(POINTS)

    def begin(self, tick: Tick, inbox: Inbox, enabled: bool, counters: Any) -> dict[str, Rows]:
        """Take in grants, let points expire, open windows; return claims and credits."""
        out: dict[str, list[Rows]] = {"Claim": [], "Credit": []}
        rows = inbox.rows.get("Grant")
        if rows is not None and len(rows["sub"]):
            self._take(rows, out, counters)
        if tick.start_ms // DAY_MS != (tick.start_ms - 1) // DAY_MS and len(self.points):
            expire_points(self.points.view, tick.start_ms // DAY_MS, counters)
        if enabled:
            for quest in range(len(self.quests.quest_id)):
                at_ms = opening_in(self.quests, quest, tick.start_ms, tick.end_ms)
                if at_ms >= 0:
                    self._open(quest, at_ms, out, counters)
        return {
            name: {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            for name, parts in out.items()
            if parts
        }

    def play(
        self, deeds: Block, n: int, hits: Block, n_hits: int, start_ms: int, counters: Any
    ) -> tuple[Rows, int]:
        """Move games on by the deeds of a slice; return claims and the new fill of the hits.

        Hits of steps are put among those of rows, in the order of line and time.  Nothing is
        claimed for a moment before the start of the tick, however late a row came.
        """
        d = deeds.view
        n_rows, n_claims = needed(self.games.view, self.quests, d, n)
        self.games.reserve(int(n_rows))
        if n_claims and (self.quests.step_rule >= 0).any() and n_hits + n_claims > hits.capacity:
            raise LimitError(f"hits of one slice exceed their room of {hits.capacity}")
        claims = Columns(m.CLAIM, max(int(n_claims), 1))
        made, filled = play(
            self.games.view, self.state.view, self.quests, self.first, d, n, start_ms,
            claims.view, hits.view, n_hits, counters,
        )  # fmt: skip
        if filled > n_hits:
            view = hits.columns.arrays
            order = np.lexsort((view["ts_ms"][:filled], view["sub"][:filled]))
            for array in view.values():
                array[:filled] = array[:filled][order]
        asked = _first(claims, made)
        np.maximum(asked["ts_ms"], start_ms, out=asked["ts_ms"])
        return asked, filled

    def thank(self, campaigns: Any, seen: Columns | Block, n: int, counters: Any) -> None:
        """Give the points of what was accepted of campaigns in a slice.

        Parameters
        ----------
        campaigns : `CampaignTables`
        seen, n : `Activity` columns and their rows
        """
        if (campaigns.case_points > 0).any():
            told = seen.view.kind[:n] == m.RESPONSE
            self.points.reserve(int((told & (seen.view.code[:n] == m.ACCEPT)).sum()))
            thank(self.points.view, self.quests, campaigns, seen.view, n, counters)

    def finish(self, tick: Tick, counters: Any) -> None:
        """Let games lapse whose window ends in this tick, after what was done in it."""
        q = self.quests
        for quest in range(len(q.quest_id)):
            since = tick.end_ms - int(q.close_ms[quest])
            every = int(q.every_ms[quest])
            if since >= 0 and since % every < tick.end_ms - tick.start_ms:
                lapse(
                    self.games.view, self.state.view, q, self.first, quest,
                    every < NEVER_MS, counters,
                )  # fmt: skip

    def ledger(self) -> dict[str, int]:
        """Return open games, points that can be turned in, and lines by tier."""
        tiers = np.zeros(8, np.int64)
        points = points_open(self.points.view, tiers)
        return {
            "quests_open": quests_open(self.games.view, self.quests),
            "points_open": points,
            **{f"tier_{k}": int(tiers[k]) for k in range(1, len(self.quests.tier_points) + 1)},
        }

    def _open(self, quest: int, at_ms: int, out: dict[str, list[Rows]], counters: Any) -> None:
        """Let lines join a round."""
        none = Columns(m.CLAIM, 1)

        def joining(claims: Columns, write: bool) -> int:
            return int(
                join(
                    self.games.view, self.points.view, self.state.view, self.profile.view,
                    self.quests, self.first, quest, at_ms, claims.view, write, counters,
                )
            )  # fmt: skip

        n = joining(none, False)
        self.games.reserve(n)
        claims = Columns(m.CLAIM, n) if self.quests.team[quest] and n else none
        joining(claims, True)
        if self.quests.team[quest] and n:
            out["Claim"].append(claims.arrays)

    def _take(self, rows: Rows, out: dict[str, list[Rows]], counters: Any) -> None:
        n = len(rows["sub"])
        self.points.reserve(n)
        claims, credits = Columns(m.CLAIM, n), Columns(m.CREDIT, 3 * n)
        n_claims, n_credits = take_grants(
            self.games.view, self.points.view, self.state.view, self.quests, self.first,
            m.GRANT.tuple_type(**rows), n, claims.view, credits.view, counters,
        )  # fmt: skip
        out["Claim"].append(_first(claims, n_claims))
        out["Credit"].append(_first(credits, n_credits))


def _first(table: Columns, n: int) -> Rows:
    """Return the first n rows of a table."""
    return {name: array[:n] for name, array in table.arrays.items()}
