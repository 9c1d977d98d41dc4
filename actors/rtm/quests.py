"""Games: joining, steps, rewards and their cancellation.

It owns the progress of a line in a quest.  It must not know how a stay is believed or a reward is
paid.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.outcomes import add_credit
from actors.rtm.state import ALIVE, APP, BLACK, CONSENT, CONTROL, Q_DONE, Q_JOINED
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream

S_QUEST = stream("joins a quest")
S_CANCEL = stream("a reward is cancelled")


@kernel
def advance_quest(t, s, i, sub, ts_ms, place, mb, credits, nc, c):
    """Move a game on by a visited place or data used; return the next free credit row.

    Parameters
    ----------
    place : geofence of a believed stay, -1 none
    mb : data of the row, MB
    """
    if s.quest[i] & 3 != Q_JOINED or ts_ms >= t.quest_close_ms:
        return nc
    if place >= 0 and t.quest_places_min > 0 and t.fence_kind[place] == t.quest_kind:
        bit = np.uint16(1 << (place % 16))
        if not s.quest_places[i] & bit:
            s.quest_places[i] |= bit
            c.quest_steps[0] += 1
    if mb > 0 and t.quest_mb > 0:
        done = np.int64(s.quest[i] >> 2)
        step = max(t.quest_mb // 60, 1)
        more = min(done + (mb + step - 1) // step, 63)
        if done < 60 and more >= 60:
            c.quest_steps[0] += 1
        s.quest[i] = np.uint8((more << 2) | Q_JOINED)
    places = 0
    for k in range(16):
        places += (s.quest_places[i] >> k) & 1
    if places < t.quest_places_min or (t.quest_mb > 0 and (s.quest[i] >> 2) < 60):
        return nc
    s.quest[i] = Q_DONE
    c.quests_completed[0] += 1
    c.points[0] += t.quest_points
    nc = add_credit(credits, nc, sub, ts_ms, -1, m.REWARD, t.quest_reward_minor)
    s.margin_minor[i] -= t.quest_reward_minor
    a, _, _, _ = draw_cause(t.seed, S_CANCEL, sub, np.uint32(0), ts_ms // 1000, 0)
    if a < t.quest_cancel:
        c.rewards_cancelled[0] += 1
        s.margin_minor[i] += t.quest_reward_minor
        nc = add_credit(credits, nc, sub, ts_ms + 1, -1, m.CANCEL, t.quest_reward_minor)
    return nc


@kernel
def quests_open(s):
    """Return how many lines are in the game."""
    n = np.int64(0)
    for i in range(s.quest.shape[0]):
        n += s.quest[i] & 3 == Q_JOINED
    return n


@kernel
def run_quest(s, p, t, first, now_ms, joining, closing, c):
    """Open the game for those who join, and let it lapse for those who did not finish.

    Parameters
    ----------
    joining, closing : whether the window opens or ends in this tick
    """
    for i in range(s.quest.shape[0]):
        state = s.quest[i] & 3
        if joining and state == 0 and s.flags[i] & APP and s.flags[i] & CONSENT:
            if not s.flags[i] & (CONTROL | BLACK) and s.flags[i] & ALIVE:
                a, _, _, _ = draw_cause(t.seed, S_QUEST, first + i, t.quest_id, 0, 0)
                if a < t.quest_joins:
                    s.quest[i] = 1
                    s.quest_places[i] = 0
                    c.quests_joined[0] += 1
        elif closing and state == 1:
            s.quest[i] = 3
            c.quests_lapsed[0] += 1
