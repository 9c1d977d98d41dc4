"""Awards: what the loyalty role has granted, points, tiers, and what is taken back.

It owns the accounts of loyalty points of a partition.  It must not know how a game was won.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.quest_tables import POINTS_ROW
from actors.rtm.outcomes import add_credit
from actors.rtm.quests import JOINED, all_done, complete
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream
from sim.core.sparse import find, key_of, put

S_CANCEL = stream("a reward is cancelled")
S_REDEEM = stream("turns points in")


@kernel
def account_of(b, sub):
    """Return the row of a line's points, taking one where it has none."""
    key = key_of(sub, POINTS_ROW)
    row = find(b, key)
    if row < 0:
        row = put(b, key)
        b.points[row] = 0
        b.earned[row] = 0
        b.until_day[row] = 0
        b.tier[row] = 0
    return row


@kernel
def earn(b, q, row, basic, day, c):
    """Book points at the factor of the tier; return them."""
    points = basic * q.tier_factor_q[b.tier[row]] // 1024
    b.points[row] += points
    b.earned[row] += points
    b.until_day[row] = min(day + q.points_days, 32_000)
    for k in range(q.tier_points.shape[0]):
        if b.tier[row] == k and b.earned[row] >= q.tier_points[k]:
            b.tier[row] = k + 1
            c.tier_steps[0] += 1
    return points


@kernel
def take_back(b, s, i, row, quest, points, money, ours, c):
    """Cancel the points and the reward of a game that failed the check."""
    back = min(np.int64(b.points[row]), points)
    b.points[row] -= back
    b.earned[row] -= points
    c.points_cancelled[0] += back
    c.rewards_cancelled[quest] += 1
    s.margin_minor[i] += ours


@kernel
def turn_in(b, s, q, i, row, sub, ts_ms, credits, nc, c):
    """Turn whole lots of points into bonus money, for lines that do so at once."""
    lots = np.int64(b.points[row]) // q.lot_points
    if lots == 0:
        return nc
    a, _, _, _ = draw_cause(q.seed, S_REDEEM, sub, np.uint32(0), 0, 0)
    if a >= q.redeems:
        return nc
    b.points[row] -= lots * q.lot_points
    c.points_redeemed[0] += lots * q.lot_points
    s.margin_minor[i] -= lots * q.lot_minor
    return add_credit(credits, nc, sub, ts_ms, -1, m.REWARD, lots * q.lot_minor)


@kernel
def award(b, s, q, i, d, k, credits, nc, c):
    """Give what was granted for one game, and take it back where a check says so."""
    sub = np.int64(d.sub[k])
    quest = np.int64(d.quest[k])
    ts_ms = d.ts_ms[k]
    money = d.units[k]
    prize = max(d.prize_minor[k], 0)
    ours = (money + prize) * q.ours_q[quest] // 1024
    row = account_of(b, sub)
    points = earn(b, q, row, q.points[quest], ts_ms // 86_400_000, c)
    c.points[quest] += points
    c.badges[quest] += q.badge[quest]
    s.margin_minor[i] += q.fee_minor[quest] - ours
    if money > 0:
        nc = add_credit(credits, nc, sub, ts_ms, -1, m.REWARD, money)
        credits.quest[nc - 1] = quest
    a, _, _, _ = draw_cause(q.seed, S_CANCEL, sub, q.quest_id[quest], ts_ms // 1000, 0)
    if d.suspect[k] or a < q.cancel[quest]:
        c.rewards_suspect[quest] += d.suspect[k]
        take_back(b, s, i, row, quest, points, money, money * q.ours_q[quest] // 1024, c)
        if money > 0:
            nc = add_credit(credits, nc, sub, ts_ms + 1, -1, m.CANCEL, money)
            credits.quest[nc - 1] = quest
        return nc
    return turn_in(b, s, q, i, row, sub, ts_ms, credits, nc, c)


@kernel
def take_grants(g, b, s, q, lo, d, n, claims, credits, c):
    """Take in what the loyalty role has granted: steps of teams, rewards, refusals.

    Parameters
    ----------
    g, b : tables of games and of points, the latter with room for n rows; mutated
    s : state of the engine, mutated
    d, n : `Grant` columns and their rows, in canonical order
    claims : `Claim` columns with room for n rows, written: games that teams have ended
    credits : `Credit` columns with room for 3 n rows, written

    Returns
    -------
    n_claims, n_credits : rows written
    """
    nc = 0
    ncr = 0
    for k in range(n):
        sub = np.int64(d.sub[k])
        quest = np.int64(d.quest[k])
        c.grants_taken[0] += 1
        if d.kind[k] != m.TEAM_DONE:
            ncr = award(b, s, q, sub - lo, d, k, credits, ncr, c)
            continue
        row = find(g, key_of(sub, q.quest_id[quest]))
        bit = np.int64(4) << np.int64(d.step[k])
        if row < 0 or g.value[row] & 3 != JOINED or g.value[row] & bit:
            continue
        g.value[row] |= bit
        c.quest_steps[quest] += 1
        if all_done(q, quest, g.value[row]):
            nc = complete(g, s, q, lo, row, sub, d.ts_ms[k], quest, np.int64(0), claims, nc, c)
    return nc, ncr


@kernel
def thank(b, q, r, a, n, c):
    """Book the points of accepted offers of campaigns.

    Parameters
    ----------
    b : table of points, with room for the lines that have none yet; mutated
    r : `CampaignTables`
    a, n : `Activity` columns and their rows
    """
    for k in range(n):
        if a.kind[k] != m.RESPONSE or a.code[k] != m.ACCEPT:
            continue
        case = np.int64(a.ref[k])
        if r.case_points[case] > 0:
            row = account_of(b, np.int64(a.sub[k]))
            points = earn(b, q, row, r.case_points[case], a.ts_ms[k] // 86_400_000, c)
            c.campaign_points[r.case_campaign[case]] += points


@kernel
def expire_points(b, day, c):
    """Let points go whose last day is over."""
    for row in range(b.key.shape[0]):
        if b.key[row] >= 0 and b.points[row] > 0 and b.until_day[row] < day:
            c.points_expired[0] += b.points[row]
            b.points[row] = 0


@kernel
def points_open(b, tiers):
    """Return all points that can be turned in; count the lines of each tier into `tiers`."""
    n = np.int64(0)
    for row in range(b.key.shape[0]):
        if b.key[row] >= 0:
            n += b.points[row]
            tiers[b.tier[row]] += 1
    return n
