"""What quests do to the people who play them: outings to malls, and false check-ins.

It owns the behaviour of players, in the latent world: the engine sees the visits and check-ins
alone.  Who plays is a keyed draw, the same that makes the engine's game begin.  With all effects
at 0 nothing is drawn and nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from actors import messages as m
from actors.loyalty.params import Quest
from actors.profile import APP, BLACK, CONSENT, CONTROL
from actors.quest_tables import QuestTables, plays, window_at
from actors.subscribers.state import LIFE_HERE, LIFE_MASK, LONG_AGO_S, TRIP_BITS
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream, threshold

S_OUTING = stream("an outing for a quest")
S_CHEAT = stream("checks in where nobody is")
NO_SLOT = 255
MALL_SLOT = 16
CHECK_INS = 6
"""False check-ins of one player: a minute apart, in places spread over the whole map."""


class PlayTables(NamedTuple):
    """What the subscriber role knows of quests.

    Attributes
    ----------
    quests : what is told to everybody: windows, who is asked, places
    outings, cheats : (n,) uint32 thresholds
    """

    quests: QuestTables
    outings: np.ndarray
    cheats: np.ndarray


def compile_play(quests: Sequence[Quest], tables: QuestTables) -> PlayTables | None:
    """Return what people do because of quests, or None where they do nothing."""
    if not any(q.play.outings or q.play.cheats for q in quests):
        return None
    return PlayTables(
        tables,
        np.array([threshold(q.play.outings) for q in quests], np.uint32),
        np.array([threshold(q.play.cheats) for q in quests], np.uint32),
    )


@kernel
def is_player(s, p, q, i, sub, quest, window):
    """Return whether a person is asked to play a round, and does."""
    wanted = CONSENT | (APP if q.app[quest] else 0)
    if p.flags[i] & wanted != wanted or p.flags[i] & (CONTROL | BLACK):
        return False
    if s.life[i] & LIFE_MASK != LIFE_HERE:
        return False
    tenure = np.int64(p.tenure_days[i])
    fits = q.tenure_min[quest] <= tenure <= q.tenure_max[quest]
    return fits and plays(q, sub, quest, window)


@kernel
def go_out(s, p, t, play, lo, quest, ts_ms, quarters, regions):
    """Send players to a mall today who would not have gone; return how many.

    Parameters
    ----------
    ts_ms : moment at which the day begins for the quest: its opening, or local midnight
    quarters : (n_regions,) quarter of the local day at that moment
    regions : (n_regions,) uint8, 1 where it is looked at now
    """
    n = np.int64(0)
    q = play.quests
    window = window_at(q, quest, ts_ms)
    for i in range(s.home.shape[0]):
        region = p.region[i]
        if regions[region] == 0 or s.activity[i] == t.machine_class:
            continue
        goes = s.trip_from[i] != NO_SLOT
        if t.hex_mall[s.home[i], 0] < 0 or (goes and s.trip_slot[i] & TRIP_BITS >= MALL_SLOT):
            continue
        sub = lo + i
        a, b, _, _ = draw_cause(q.seed, S_OUTING, sub, q.quest_id[quest], ts_ms // 86_400_000, 0)
        if a >= play.outings[quest] or not is_player(s, p, q, i, sub, quest, window):
            continue
        if not goes:
            after = np.int64(s.work_to[i]) if s.work_from[i] != NO_SLOT else np.int64(40)
            start = max(after, np.int64(quarters[region])) + 1 + np.int64(b % np.uint32(12))
            if start > 84:
                continue
            s.trip_from[i] = start
            s.trip_to[i] = min(start + 6, 95)
        elif s.trip_from[i] <= quarters[region]:
            continue
        mall = MALL_SLOT + ((b >> np.uint32(16)) & np.uint32(3))
        s.trip_slot[i] = (s.trip_slot[i] & ~np.uint8(TRIP_BITS)) | np.uint8(mall)
        n += 1
    return n


@kernel
def cheat(s, p, play, lo, quest, ts_ms, end_ms, due, n, write):
    """Write the false check-ins of players who cheat as answers that are due.

    Parameters
    ----------
    ts_ms, end_ms : opening of the quest, end of the tick
    due : `Exposure` columns with room, `use_case` is the geofence; n rows are filled
    write : False counts them alone

    Returns
    -------
    n : rows filled
    """
    q = play.quests
    window = window_at(q, quest, ts_ms)
    n_fences = q.fence_x_m.shape[0]
    for i in range(s.home.shape[0]):
        sub = lo + i
        a, b, _, _ = draw_cause(q.seed, S_CHEAT, sub, q.quest_id[quest], window, 0)
        if a >= play.cheats[quest] or not is_player(s, p, q, i, sub, quest, window):
            continue
        for k in range(CHECK_INS):
            at_ms = ts_ms + np.int64(k + 1) * 60_000
            if at_ms >= end_ms:
                break
            if write:
                due.sub[n] = sub
                due.use_case[n] = (np.int64(b) + k * 7919) % n_fences
                due.action[n] = m.CHECK_IN
                due.need_born_s[n] = LONG_AGO_S
                due.ts_ms[n] = at_ms
            n += 1
    return n
