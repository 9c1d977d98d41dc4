"""Games: joining, steps, completion, and the end of a window.

It owns the progress of lines in quests: rows of a sparse table, one for each game that a line has
joined, one for each step that it has begun and one for each place that it was in.  It must not
know how a stay is believed or a reward is paid.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.quest_tables import (
    BUY,
    DATA,
    ENTER,
    PAGE,
    PLACE_ROW,
    POINTS_ROW,
    RECHARGE,
    SLACK_M,
    TALK,
    TEXT,
    VISIT_PLACE,
    plays,
    window_at,
)  # fmt: skip
from actors.rtm.dispatch import add_hit
from actors.rtm.state import ALIVE, APP, BLACK, CONSENT, CONTROL
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, mix64, stream
from sim.core.sparse import drop, find, key_of, put

S_TEAM = stream("team in a quest")

JOINED, DONE = 1, 2
"""Low bits of the value of a game's row (0: between rounds); the bits above tell the steps that
are done, and `run` the rounds that were joined."""
MOST = 2_000_000_000
"""Where a step stops counting."""
NO_QUEST = 255
"""`quest` of the row of a line's last place, which is of no one game; `run` is 1 once a check
found that the line cannot have been where it was."""


@kernel
def deed_amount(q, step, d, k):
    """Return how much of a step one deed does: kB, s, pieces, visits, purchases or top-ups."""
    do = q.step_do[step]
    kind = d.kind[k]
    if do == ENTER or do == VISIT_PLACE:
        place = d.place[k]
        return np.int64(place >= 0 and q.fence_kind[place] == q.step_kind[step])
    code = d.code[k]
    if kind == m.USAGE:
        if do == DATA and (m.DATA_GENERAL <= code <= m.DATA_MESSAGING or code == m.ROAM_DATA):
            return d.units[k] // 1000
        if do == TALK and (code <= m.VOICE_INTL or code == m.ROAM_VOICE):
            return d.units[k]
        if do == TEXT and (code == m.SMS or code == m.ROAM_SMS):
            return d.units[k]
        return np.int64(0)
    if do == BUY and kind == m.PURCHASE and d.units[k] > 0:
        category = q.step_category[step]
        need = q.case_need[d.ref[k]] if code == m.OFFERED else np.int64(d.ref[k])
        fits = category < 0 or category == need
        return np.int64(fits and (q.step_cause[step] < 0 or q.step_cause[step] == code))
    return np.int64((do == RECHARGE and kind == m.RECHARGE) or (do == PAGE and kind == m.VISIT))


@kernel
def mark_of(q, step, day, place):
    """Return the id of a place that counts once for a step; once a day where days must follow."""
    on = np.int64(day) if q.step_days[step] > 1 else np.int64(0)
    what = (np.uint64(q.step_id[step]) << np.uint64(32)) | np.uint64(on * 65_536 + place)
    return np.uint32(mix64(what) >> np.uint64(32))


@kernel
def add_row(g, key, quest, value):
    """Take a new row of the table of games."""
    row = put(g, key)
    g.value[row] = value
    g.day[row] = -1
    g.run[row] = 0
    g.quest[row] = quest
    return row


@kernel
def new_place(g, q, sub, quest, step, day, place):
    """Return whether a place counts for a step, and remember it."""
    mark = key_of(sub, mark_of(q, step, day, place))
    if find(g, mark) >= 0:
        return False
    add_row(g, mark, quest, place)
    return True


@kernel
def advance_step(g, q, sub, quest, step, amount, day):
    """Move a step on; return whether it is done now.

    A step of several days in a row counts a day once enough was done on it, and begins again
    after a day on which it was not.
    """
    key = key_of(sub, q.step_id[step])
    row = find(g, key)
    if row < 0:
        row = add_row(g, key, quest, 0)
    days = q.step_days[step]
    wanted = q.step_at_least[step]
    if days > 1 and g.day[row] != day:
        if g.day[row] != day - 1 or g.value[row] < wanted:
            g.run[row] = 0
        g.value[row] = 0
    was = np.int64(g.value[row])
    g.value[row] = min(was + amount, MOST)
    g.day[row] = day
    if days == 1:
        return g.value[row] >= wanted
    if was < wanted <= g.value[row]:
        g.run[row] += 1
    return g.run[row] >= days


@kernel
def too_many(g, q, sub, quest, step, day):
    """Return whether a step was done as often today as may count, and count this time."""
    if q.step_per_day[step] == 0:
        return False
    key = key_of(sub, np.uint32(q.step_id[step] ^ np.uint32(0x5A5A5A5A)))
    row = find(g, key)
    if row < 0:
        row = add_row(g, key, quest, 0)
    if g.day[row] != day:
        g.value[row] = 0
        g.day[row] = day
    if g.value[row] >= q.step_per_day[step]:
        return True
    g.value[row] += 1
    return False


@kernel
def check_speed(g, q, sub, ts_ms, place, c):
    """Compare a place with the last one of the line: nobody is faster than a car."""
    key = key_of(sub, PLACE_ROW)
    row = find(g, key)
    ts_s = ts_ms // 1000
    if row < 0:
        row = add_row(g, key, NO_QUEST, ts_s)
        g.day[row] = place
        return
    before = np.int64(g.day[row])
    if before != place and g.run[row] == 0:
        dx = q.fence_x_m[place] - q.fence_x_m[before]
        dy = q.fence_y_m[place] - q.fence_y_m[before]
        most = max(ts_s - np.int64(g.value[row]), 0) * q.speed_mm_s // 1000 + SLACK_M
        if dx * dx + dy * dy > most * most:
            g.run[row] = 1
            c.quest_suspects[0] += 1
    g.value[row] = ts_s
    g.day[row] = place


@kernel
def needed(g, q, d, n):
    """Return how many new rows and claims `play` may take for n deeds, at most."""
    rows = np.int64(0)
    claims = np.int64(0)
    for k in range(n):
        sub = np.int64(d.sub[k])
        rows += d.place[k] >= 0 and find(g, key_of(sub, PLACE_ROW)) < 0
        for j in range(q.quest_id.shape[0]):
            if find(g, key_of(sub, q.quest_id[j])) < 0:
                continue
            for step in range(q.step_start[j], q.step_start[j + 1]):
                if deed_amount(q, step, d, k) <= 0:
                    continue
                claims += 2
                rows += find(g, key_of(sub, q.step_id[step])) < 0
                rows += q.step_per_day[step] > 0
                if q.step_do[step] == ENTER:
                    rows += find(g, key_of(sub, mark_of(q, step, d.day[k], d.place[k]))) < 0
    return rows, claims


@kernel
def still_plays(g, q, sub):
    """Return whether a line is in any game that it has not finished."""
    for j in range(q.quest_id.shape[0]):
        row = find(g, key_of(sub, q.quest_id[j]))
        if row >= 0 and g.value[row] & 3 == JOINED:
            return True
    return False


@kernel
def team_of(q, sub, quest):
    """Return the team of a line in a quest, -1 where everybody plays alone."""
    if q.team[quest] == 0:
        return np.int64(-1)
    a, _, _, _ = draw_cause(q.seed, S_TEAM, sub, q.quest_id[quest], 0, 0)
    return np.int64(a) % q.team[quest]


@kernel
def claim(out, n, q, sub, ts_ms, quest, kind, step, units, suspect):
    """Write one `Claim` row and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.quest[n] = quest
    out.kind[n] = kind
    out.step[n] = step
    out.team[n] = team_of(q, sub, quest)
    out.units[n] = units
    out.suspect[n] = suspect
    what = (np.uint64(sub) << np.uint64(32)) ^ np.uint64(q.quest_id[quest])
    out.key[n] = mix64(
        mix64(what) ^ (np.uint64(ts_ms) << np.uint64(12)) ^ np.uint64(step * 4 + kind)
    )
    return n + 1


@kernel
def complete(g, s, q, lo, row, sub, ts_ms, quest, paid, claims, nc, c):
    """End a game whose steps are all done, and ask for its reward."""
    g.value[row] += DONE - JOINED
    c.quests_completed[quest] += 1
    at = find(g, key_of(sub, PLACE_ROW))
    suspect = np.int64(g.run[at]) if at >= 0 else np.int64(0)
    amount = q.reward_minor[quest] + paid * q.cashback_q[quest] // 1024
    c.claims_made[quest] += 1
    if not still_plays(g, q, sub):
        s.plays[sub - lo] = 0
    return claim(claims, nc, q, sub, ts_ms, quest, m.ASK_REWARD, 0, amount, suspect)


@kernel
def all_done(q, quest, value):
    """Return whether the value of a game's row tells that every step is done."""
    n_steps = q.step_start[quest + 1] - q.step_start[quest]
    return value >> 2 == (1 << n_steps) - 1


@kernel
def play_deed(g, s, q, lo, d, k, j, row, claims, nc, hits, nh, c):
    """Move one game on by one deed; return the new fills of claims and hits."""
    sub = np.int64(d.sub[k])
    first = q.step_start[j]
    for step in range(first, q.step_start[j + 1]):
        bit = np.int64(4) << (step - first)
        if g.value[row] & bit:
            continue
        amount = deed_amount(q, step, d, k)
        if amount > 0 and too_many(g, q, sub, j, step, d.day[k]):
            c.deeds_refused[j] += 1
            amount = np.int64(0)
        if amount > 0 and q.step_do[step] == ENTER:
            amount = np.int64(new_place(g, q, sub, j, step, d.day[k], d.place[k]))
        if amount > 0 and q.team[j] > 0:
            nc = claim(claims, nc, q, sub, d.ts_ms[k], j, m.TEAM_STEP, step - first, amount, 0)
        elif amount > 0 and advance_step(g, q, sub, j, step, amount, d.day[k]):
            g.value[row] |= bit
            c.quest_steps[j] += 1
            if q.step_rule[step] >= 0:
                nh = add_hit(hits, nh, sub, d.ts_ms[k], q.step_rule[step], step - first)
        if q.ordered[j]:
            # One deed does one step of an ordered game at most.
            break
    if all_done(q, j, g.value[row]):
        paid = d.units[k] if d.kind[k] == m.PURCHASE else np.int64(0)
        nc = complete(g, s, q, lo, row, sub, d.ts_ms[k], j, paid, claims, nc, c)
    return nc, nh


@kernel
def play(g, s, q, lo, d, n, now_ms, claims, hits, nh, c):
    """Move games on by what lines did, in the order of time.

    Parameters
    ----------
    g : table of games, with room for `needed`; mutated
    s : state of the engine, mutated
    q : `QuestTables`
    lo : global id of the partition's first line
    d, n : `Deed` columns and their rows, sorted by (sub, ts_ms)
    now_ms : start of the tick
    claims : `Claim` columns with room for `needed`, written
    hits, nh : rules satisfied by steps and their fill

    Returns
    -------
    nc, nh : claims written, new fill of the hits
    """
    nc = 0
    for k in range(n):
        sub = np.int64(d.sub[k])
        if d.place[k] >= 0:
            check_speed(g, q, sub, d.ts_ms[k], np.int64(d.place[k]), c)
        for j in range(q.quest_id.shape[0]):
            # A late row may be of a window that has ended, while the line plays in the next one.
            if window_at(q, j, d.ts_ms[k]) < max(window_at(q, j, now_ms), 0):
                continue
            row = find(g, key_of(sub, q.quest_id[j]))
            if row >= 0 and g.value[row] & 3 == JOINED:
                nc, nh = play_deed(g, s, q, lo, d, k, j, row, claims, nc, hits, nh, c)
    return nc, nh


@kernel
def may_join(g, b, s, p, q, i, sub, quest, window, day):
    """Return whether a line is asked to play a round, and wants to."""
    wanted = CONSENT | ALIVE | (APP if q.app[quest] else 0)
    if s.flags[i] & wanted != wanted or s.flags[i] & (CONTROL | BLACK):
        return False
    tenure = np.int64(p.tenure_days[i]) + day
    if tenure < q.tenure_min[quest] or tenure > q.tenure_max[quest]:
        return False
    if not plays(q, sub, quest, window):
        return False
    if q.tier_min[quest] > 0:
        at = find(b, key_of(sub, POINTS_ROW))
        if at < 0 or b.tier[at] < q.tier_min[quest]:
            return False
    row = find(g, key_of(sub, q.quest_id[quest]))
    return row < 0 or (g.value[row] & 3 == 0 and g.run[row] < q.times[quest])


@kernel
def join(g, b, s, p, q, lo, quest, ts_ms, claims, write, c):
    """Let those begin a round who are asked and want to; return how many.

    Parameters
    ----------
    b : table of points
    claims : `Claim` columns, written where the quest is played in teams
    write : False counts them alone
    """
    n = 0
    window = window_at(q, quest, ts_ms)
    for i in range(s.flags.shape[0]):
        sub = lo + i
        if not may_join(g, b, s, p, q, i, sub, quest, window, ts_ms // 86_400_000):
            continue
        if write:
            key = key_of(sub, q.quest_id[quest])
            row = find(g, key)
            if row < 0:
                row = add_row(g, key, quest, 0)
            g.value[row] = JOINED
            g.run[row] += 1
            s.plays[i] = 1
            c.quests_joined[quest] += 1
            if q.team[quest] > 0:
                claim(claims, n, q, sub, ts_ms, quest, m.JOIN_TEAM, 0, 0, 0)
        n += 1
    return n


@kernel
def lapse(g, s, q, lo, quest, again, c):
    """End a window: who has not finished lapses, and progress is forgotten.

    Parameters
    ----------
    again : whether another window follows, for which rounds are remembered
    """
    for row in range(g.key.shape[0]):
        if g.key[row] < 0 or g.quest[row] != quest:
            continue
        sub = g.key[row] >> np.int64(32)
        if g.key[row] != key_of(sub, q.quest_id[quest]):
            drop(g, row)
            continue
        if g.value[row] & 3 == JOINED:
            g.value[row] = 0
            c.quests_lapsed[quest] += 1
            if not still_plays(g, q, sub):
                s.plays[sub - lo] = 0
        g.value[row] = 0
        if not again:
            drop(g, row)
    for row in range(g.key.shape[0]):
        if g.key[row] >= 0 and g.quest[row] == NO_QUEST:
            if not still_plays(g, q, g.key[row] >> np.int64(32)):
                drop(g, row)


@kernel
def quests_open(g, q):
    """Return how many games are being played."""
    n = np.int64(0)
    for row in range(g.key.shape[0]):
        if g.key[row] >= 0 and g.quest[row] != NO_QUEST and g.value[row] & 3 == JOINED:
            sub = g.key[row] >> np.int64(32)
            n += g.key[row] == key_of(sub, q.quest_id[g.quest[row]])
    return n
