"""Campaigns in the engine: which line is asked when, and who may take part.

It owns the slots of the schedule and the hits of campaigns, those of due waves among them; the
ordinary path decides on them.  It must not decide, nor know why somebody accepts.

A campaign passes the base once a round.  Each block of lines has an order of its own, drawn by the
campaign, the round and the block; the place of a line in it is its slot in the open hours.  So a
line is looked at once a round, in the tick of its slot and in no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from actors import messages as m
from actors.profile import M2M
from actors.rtm.campaign_rules import holds
from actors.rtm.campaign_tables import BLOCK_LINES, CampaignTables
from actors.rtm.campaign_waves import count_due, open_waves, take_part
from actors.rtm.state import ALIVE, HIT, JOINED_ACCEPTED, PARTICIPATION
from sim.core.columns import Columns
from sim.core.kernel import kernel
from sim.core.rng import below, mix64
from sim.core.sparse import Sparse, find, key_of
from sim.core.ticks import DAY_MS, Tick

LOOKED, FITS, BARRED, CLASHED = range(4)
"""Columns of what a tick has counted of each campaign."""
ROOM_AT_START = 1_024
_MASK = BLOCK_LINES - 1


@kernel
def shuffled(rank, key):
    """Return the place in its block of the line with a rank: a permutation for each key."""
    x = (np.int64(rank) * np.int64((key & np.uint64(0xFFF)) | np.uint64(1))) & _MASK
    x = (x + np.int64((key >> np.uint64(12)) & np.uint64(0xFFF))) & _MASK
    x ^= x >> 6
    x = (x * np.int64(((key >> np.uint64(24)) & np.uint64(0xFFF)) | np.uint64(1))) & _MASK
    x ^= x >> 5
    return (x + np.int64((key >> np.uint64(36)) & np.uint64(0xFFF))) & _MASK


@kernel
def asks_on(r, campaign, day):
    """Return the round in which a campaign asks on a local day, or -1."""
    since = day - r.from_day[campaign]
    if since < 0:
        return np.int64(-1)
    turn = since // r.every_days[campaign] if r.rounds[campaign] > 1 else np.int64(0)
    if turn >= r.rounds[campaign] or since - turn * r.every_days[campaign] >= r.days[campaign]:
        return np.int64(-1)
    weekday = np.int64(2) if r.weekday < 0 else (day + r.weekday) % 7
    return turn if (r.weekdays[campaign] >> weekday) & 1 else np.int64(-1)


@kernel
def days_before(r, campaign, turn, day):
    """Return on how many days of its round a campaign has asked before a day."""
    n = np.int64(0)
    for d in range(r.from_day[campaign] + turn * r.every_days[campaign], day):
        n += asks_on(r, campaign, d) >= 0
    return n


@kernel
def pass_of(r, campaign, turn):
    """Return in which open time a round passes the base, ms: all of its hours, or by the rate."""
    if r.pass_ms[campaign] > 0:
        return r.pass_ms[campaign]
    first = r.from_day[campaign] + turn * r.every_days[campaign]
    days = days_before(r, campaign, turn, first + r.days[campaign])
    return max(days * r.day_ms[campaign], 1)


@kernel
def bar_of(joined, r, sub, campaign, day):
    """Return whether the rules of participation keep a line from a campaign."""
    row = find(joined, key_of(sub, r.campaign_id[campaign]))
    if row >= 0:
        if joined.state[row] & JOINED_ACCEPTED and not r.after_acceptance[campaign]:
            return True
        again = r.again_days[campaign]
        if again == 0 or day - np.int64(joined.day[row]) < again:
            return True
    for k in range(r.bar_start[campaign], r.bar_start[campaign + 1]):
        if find(joined, key_of(sub, r.campaign_id[r.bar[k]])) >= 0:
            return True
    return False


@kernel
def group_of(p, s, t, r, i, campaign, day, now_s):
    """Return the first use case of the sub-group of a line, or -1 outside the audience."""
    if not s.flags[i] & ALIVE or p.flags[i] & M2M:
        return np.int64(-1)
    if not holds(p, s, t, i, r, r.audience[campaign], day, now_s):
        return np.int64(-1)
    for g in range(r.group_start[campaign], r.group_start[campaign + 1]):
        if holds(p, s, t, i, r, r.group_test[g], day, now_s):
            return np.int64(r.group_case[g])
    return np.int64(-1)


@kernel
def count_audience(p, s, t, r, lo, found):
    """Count the lines of each sub-group as they are at the start of each campaign.

    Parameters
    ----------
    t, r : `RtmTables` and `CampaignTables`
    found : (n_groups,) int64, mutated
    """
    for campaign in range(r.campaign_id.shape[0]):
        for i in range(s.flags.shape[0]):
            day = r.from_day[campaign]
            now_s = (day * DAY_MS - r.shift_ms[r.shift_of[p.region[i]]]) // 1000
            case = group_of(p, s, t, r, i, campaign, day, max(now_s, 0))
            for g in range(r.group_start[campaign], r.group_start[campaign + 1]):
                found[g] += r.group_case[g] == case


@kernel
def walk(
    p, s, t, r, lo, campaign, z, turn, day, whole, a0, a1, base_ms, clocks, hits, n, counts
):  # fmt: skip
    """Look at the lines whose slot lies in a span of the open time; return the new fill.

    Parameters
    ----------
    z : row of `shift_ms`: lines of that clock alone
    turn, day : round and local day
    whole : open time in which the round passes the base, ms
    a0, a1 : span of open time of the round, ms
    base_ms : moment at which the open time would be 0 if the day's hours reached back so far
    clocks : (n_blocks,) int64 bits, clocks that occur in each block of the partition
    hits, n : `Hit` columns and their fill; beyond their room the fill alone grows
    counts : (n_campaigns, 4) int64, mutated
    """
    first = a0 * BLOCK_LINES // whole
    last = min((a1 * BLOCK_LINES - 1) // whole, BLOCK_LINES - 1)
    n_here = s.flags.shape[0]
    seed = mix64(t.seed ^ (np.uint64(r.campaign_id[campaign]) << np.uint64(16)) ^ np.uint64(turn))
    block0 = lo // BLOCK_LINES
    for b in range(clocks.shape[0]):
        if not (clocks[b] >> z) & 1:
            continue
        key = mix64(seed ^ np.uint64(block0 + b) * np.uint64(0x9E3779B97F4A7C15))
        for rank in range(first, last + 1):
            i = (block0 + b) * BLOCK_LINES + shuffled(rank, key) - lo
            if i < 0 or i >= n_here or r.shift_of[p.region[i]] != z:
                continue
            begin = rank * whole // BLOCK_LINES
            width = (rank + 1) * whole // BLOCK_LINES - begin
            at = begin
            if width > 1:
                at += below(np.uint32(mix64(key ^ np.uint64(i + lo)) >> np.uint64(32)), width)
            if at < a0 or at >= a1:
                continue
            counts[campaign, LOOKED] += 1
            ts_ms = base_ms + at
            case = group_of(p, s, t, r, i, campaign, day, ts_ms // 1000)
            if case < 0:
                continue
            counts[campaign, FITS] += 1
            if bar_of(s.joined, r, i + lo, campaign, day):
                counts[campaign, BARRED] += 1
                continue
            if n < hits.sub.shape[0]:
                hits.sub[n] = i + lo
                hits.ts_ms[n] = ts_ms
                hits.trigger[n] = r.rule
                hits.value[n] = case - r.first_case
                hits.levers[n] = 0
            n += 1
    return n


@kernel
def open_slots(p, s, t, r, lo, clocks, start_ms, end_ms, hits, counts):
    """Write the hits of all slots of a tick, in no particular order; return how many there are.

    Where they are more than there is room for, those beyond are counted and not written.
    """
    n = np.int64(0)
    for campaign in range(r.campaign_id.shape[0]):
        hours = r.day_ms[campaign]
        for z in range(r.shift_ms.shape[0]):
            x = start_ms + r.shift_ms[z]
            x_end = end_ms + r.shift_ms[z]
            while x < x_end:
                day = x // DAY_MS
                y = min(x_end, (day + 1) * DAY_MS)
                opens = day * DAY_MS + r.from_ms[campaign]
                low = min(max(x - opens, 0), hours)
                high = min(max(y - opens, 0), hours)
                if high > low:
                    turn = asks_on(r, campaign, day)
                    if turn >= 0:
                        before = days_before(r, campaign, turn, day) * hours
                        whole = pass_of(r, campaign, turn)
                        if before + low < whole:
                            n = walk(
                                p,
                                s,
                                t,
                                r,
                                lo,
                                campaign,
                                z,
                                turn,
                                day,
                                whole,
                                before + low,
                                min(before + high, whole),
                                opens - before - r.shift_ms[z],
                                clocks,
                                hits,
                                n,
                                counts,
                            )
                x = y
    return n


@kernel
def drop_clashes(r, hits, n, counts):
    """Of hits of one line in one tick, drop those that an earlier one excludes; return the rest.

    Parameters
    ----------
    hits, n : `Hit` columns sorted by (sub, ts_ms), and their rows
    """
    kept = np.int64(0)
    for k in range(n):
        campaign = r.case_campaign[r.first_case + hits.value[k]]
        clash = False
        back = kept - 1
        while back >= 0 and hits.sub[back] == hits.sub[k]:
            other = r.case_campaign[r.first_case + hits.value[back]]
            clash |= other == campaign
            for b in range(r.bar_start[campaign], r.bar_start[campaign + 1]):
                clash |= r.bar[b] == other
            back -= 1
        if clash:
            counts[campaign, CLASHED] += 1
            continue
        hits.sub[kept] = hits.sub[k]
        hits.ts_ms[kept] = hits.ts_ms[k]
        hits.trigger[kept] = hits.trigger[k]
        hits.value[kept] = hits.value[k]
        hits.levers[kept] = 0
        kept += 1
    return kept


@kernel
def block_clocks(region, shift_of, lo, clocks):
    """Note the clocks that occur in each block of lines of a partition."""
    block0 = lo // BLOCK_LINES
    for i in range(region.shape[0]):
        clocks[(lo + i) // BLOCK_LINES - block0] |= np.int64(1) << shift_of[region[i]]


class Engine(Protocol):
    """What a desk needs of its engine: its tables, and what kernels see of the lines now."""

    world: Any

    @property
    def view(self) -> Any:
        """Return what kernels of decisions see of the lines."""


Decide = Callable[[Columns, int, Any], Columns]


class CampaignDesk:
    """Campaigns of the lines of a partition.

    Parameters
    ----------
    tables : `CampaignTables` of the run
    first : global id of the partition's first line
    profile : of the partition
    case_ids : (65536,) uint64, name ids of use cases, for digests
    """

    def __init__(
        self, tables: CampaignTables, first: int, profile: Columns, case_ids: np.ndarray
    ) -> None:
        self.tables = tables
        self.first = first
        self.profile = profile
        self.joined = Sparse(PARTICIPATION, {"case": case_ids})
        self._hits = Columns(HIT, ROOM_AT_START)
        self._counts = np.zeros((len(tables.campaign_id), 4), np.int64)
        n_blocks = (first + max(profile.n, 1) - 1) // BLOCK_LINES - first // BLOCK_LINES + 1
        self._clocks = np.zeros(n_blocks, np.int64)
        self._waves = bool((tables.case_wave > 0).any())
        if self.used:
            block_clocks(profile["region"], tables.shift_of, first, self._clocks)

    @property
    def used(self) -> bool:
        """Return whether the run has campaigns."""
        return self.tables.rule >= 0

    @property
    def kept(self) -> tuple[Sparse, ...]:
        """Return the table of participation where the run has campaigns."""
        return (self.joined,) if self.used else ()

    def ask(self, engine: Engine, tick: Tick, decide: Decide, counters: Any) -> None:
        """Open the slots of a tick, have them decided, and remember who takes part."""
        if not self.used:
            return
        tables = engine.world.tables
        hits, n = self.open(tick, engine.view, tables, counters)
        if n:
            log = decide(hits, n, tables)
            self.note(engine.view, tables, log)

    def open(self, tick: Tick, view: Any, tables: Any, counters: Any) -> tuple[Columns, int]:
        """Return the hits of a tick in canonical order, and how many there are.

        Parameters
        ----------
        view, tables : `EngineView` and `RtmTables` of the partition
        """
        r = self.tables
        n_due = int(count_due(self.joined.view, tick.end_ms)) if self._waves else 0
        while True:
            self._counts[:] = 0
            n = int(
                open_slots(
                    self.profile.view, view, tables, r, self.first, self._clocks, tick.start_ms,
                    tick.end_ms, self._hits.view, self._counts,
                )
            )  # fmt: skip
            if n + n_due <= self._hits.n:
                break
            self._hits = Columns(HIT, 2 * (n + n_due))
        if n_due:
            n = int(
                open_waves(
                    view, tables, r, self.first, tick.start_ms, tick.end_ms, self._hits.view, n
                )
            )
        rows = {name: array[:n] for name, array in self._hits.arrays.items()}
        order = np.lexsort((rows["value"], rows["ts_ms"], rows["sub"]))
        for array in rows.values():
            array[:] = array[order]
        n = int(drop_clashes(r, self._hits.view, n, self._counts))
        for k, name in enumerate(("looked", "audience", "barred", "clashed")):
            getattr(counters, f"campaign_{name}")[:] += self._counts[:, k]
        self.joined.reserve(n)
        return self._hits, n

    def note(self, view: Any, tables: Any, log: Columns) -> None:
        """Remember the winners among the decisions on hits of campaigns, and plan next waves.

        Parameters
        ----------
        log : `Decision` columns; what a hit told there was a dense number, and is taken out
        """
        log["value"][:] = 0
        reason = log["reason"]
        won = (reason == m.INTENDED).astype(np.uint8) + 2 * (reason == m.HOLDOUT)
        take_part(
            self.profile.view, view, tables, self.tables, self.first,
            log["sub"].astype(np.int64), log["ts_ms"], log["use_case"].astype(np.int64),
            won.astype(np.uint8),
        )  # fmt: skip

    def forget(self, days: np.ndarray) -> None:
        """Once a day, forget participations that no rule counts any more.

        Parameters
        ----------
        days : (n,) int64, local day of each line
        """
        if not len(self.joined):
            return
        columns = self.joined.columns
        taken = columns["key"] >= 0
        line = np.where(taken, (columns["key"] >> 32) - self.first, 0)
        campaign = self.tables.case_campaign[np.where(taken, columns["case"], 0)]
        self.joined.keep(self.tables.keep_day[campaign] >= days[line])


__all__ = ["CampaignDesk"]
