"""Decisions: eligibility, contact policy, arbitration, holdout, intent.

It owns the order of precedence of the reasons for which a candidate drops out, each with exactly
one reason.  It must not know the truth, nor what a channel can carry.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.profile import M2M
from actors.profile import PREPAID as P_PREPAID
from actors.rtm.state import ALIVE, APP, BLACK, CONSENT, CONTROL, NO_CASE, Q_JOINED, RECENT
from sim.core.histogram import bucket_of
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, mix64, stream

S_LATENCY = stream("latency of capture, profile and decision")
S_HOLDOUT = stream("local holdout of a use case")


@kernel
def eligible(p, s, t, i, case, day):
    """Return whether a line belongs to the audience of a use case."""
    if t.case_nobody[case]:
        return False
    if not (t.case_segments[case] >> p.segment[i]) & 1 or p.flags[i] & M2M:
        return False
    prepaid = 1 if p.flags[i] & P_PREPAID else 0
    if t.case_prepaid[case] >= 0 and t.case_prepaid[case] != prepaid:
        return False
    if np.int64(p.tenure_days[i]) + max(day, 0) < t.case_tenure[case]:
        return False
    smart = 1 if p.device[i] > 0 else 0
    if t.case_smart[case] >= 0 and t.case_smart[case] != smart:
        return False
    has_app = 1 if s.flags[i] & APP else 0
    return not (t.case_app[case] >= 0 and t.case_app[case] != has_app)


@kernel
def contacts_since(s, t, i, day, days, case, marketing_only):
    """Return how many remembered contacts lie within `days`, of one use case or of all."""
    found = 0
    for k in range(RECENT):
        other = s.recent_case[i, k]
        if other == NO_CASE:
            continue
        age = (np.int64(day) - np.int64(s.recent_day[i, k])) & 255
        if age >= days:
            continue
        if case >= 0:
            found += other == case
        elif not marketing_only or not t.case_service[other]:
            found += 1
    return found


@kernel
def remember_contact(s, i, case, day):
    """Remember a contact in place of the oldest one."""
    for k in range(RECENT - 1, 0, -1):
        s.recent_case[i, k] = s.recent_case[i, k - 1]
        s.recent_day[i, k] = s.recent_day[i, k - 1]
    s.recent_case[i, 0] = case
    s.recent_day[i, 0] = day & 255


@kernel
def is_quiet(t, quarter):
    """Return whether a local quarter of the day lies in the quiet hours."""
    if t.quiet_from_q <= t.quiet_to_q:
        return t.quiet_from_q <= quarter < t.quiet_to_q
    return quarter >= t.quiet_from_q or quarter < t.quiet_to_q


@kernel
def pick_channel(s, t, i, case):
    """Return the first treatment's channel that can reach the line, or -1."""
    for k in range(t.case_channels.shape[1]):
        channel = t.case_channels[case, k]
        if channel < 0:
            break
        if t.channel_needs_app[channel] == 0 or s.flags[i] & APP:
            return np.int64(channel)
    return np.int64(-1)


@kernel
def policy(s, t, i, case, day, quarter):
    """Return the first reason of contact policy against a use case, or `INTENDED`."""
    service = t.case_service[case]
    if not s.flags[i] & ALIVE:
        return m.INACTIVE
    if not service and not s.flags[i] & CONSENT:
        return m.NO_CONSENT
    if s.flags[i] & BLACK:
        return m.BLACK_LIST
    if s.flags[i] & CONTROL:
        return m.UNIVERSAL_CONTROL
    if not service and is_quiet(t, quarter):
        return m.QUIET_HOURS
    if contacts_since(s, t, i, day, t.case_cap_days[case], case, False) >= t.case_cap[case]:
        return m.COOL_DOWN
    if not service and contacts_since(s, t, i, day, t.cap_days, -1, True) >= t.cap:
        return m.CAP
    if t.case_need[case] == 0 and t.case_owns[case] and s.owned_day[i] >= day:
        return m.OWNED
    if pick_channel(s, t, i, case) < 0:
        return m.NO_CHANNEL
    return m.INTENDED


@kernel
def priority(p, t, i, case, quarter):
    """Return propensity x context x value x lever as a fixed-point integer.

    Propensity is the belief for the segment, context the hour's factor, value the believed margin.
    """
    value = max(t.case_value_minor[case], 1)
    score = t.case_propensity_q[case, p.segment[i]] * value // 1024
    score = score * t.context_q[quarter // 4] // 1024
    return min(score * t.case_lever_q[case] // 1024, 2_000_000_000)


@kernel
def held_out(t, sub, case):
    """Return whether a winner is withheld: sticky by (line, use case)."""
    a, _, _, _ = draw_cause(t.seed, S_HOLDOUT, sub, t.case_id[case], 0, 0)
    return a < t.case_holdout[case]


@kernel
def latency(t, sub, rule_id, ts_ms, c):
    """Draw and count the latency of one decision, ms, stage by stage."""
    a, b, d, _ = draw_cause(t.seed, S_LATENCY, sub, rule_id, ts_ms // 1000, ts_ms % 1000)
    capture = np.int64(quantile(t.capture_ms, a))
    profile = np.int64(quantile(t.profile_ms, b))
    decide = np.int64(quantile(t.decide_ms, d))
    c.latency_capture_ms[bucket_of(t.borders, capture)] += 1
    c.latency_profile_ms[bucket_of(t.borders, profile)] += 1
    c.latency_decide_ms[bucket_of(t.borders, decide)] += 1
    c.latency_decision_ms[bucket_of(t.borders, capture + profile + decide)] += 1
    return capture + profile + decide


@kernel
def choose(p, s, t, i, rule, day, quarter, reasons, c):
    """Run the candidates of a rule through the funnel.

    Parameters
    ----------
    reasons : (n_cases,) uint8 scratch, written for the rule's candidates

    Returns
    -------
    best, best_score, n_eligible, n_allowed : the winner or -1, its priority, and two counts
    """
    best = np.int64(-1)
    best_score = np.int64(-1)
    n_eligible = 0
    n_allowed = 0
    for k in range(t.rule_start[rule], t.rule_start[rule + 1]):
        case = np.int64(t.rule_cases[k])
        if not eligible(p, s, t, i, case, day):
            reasons[case] = m.NOT_ELIGIBLE
            continue
        n_eligible += 1
        reason = policy(s, t, i, case, day, quarter)
        reasons[case] = reason
        if reason != m.INTENDED:
            continue
        n_allowed += 1
        score = priority(p, t, i, case, quarter)
        # Ties go to the use case with the smaller name id, never to the one that came first.
        if score > best_score or (score == best_score and t.case_id[case] < t.case_id[best]):
            if best >= 0:
                reasons[best] = m.LOST_ARBITRATION
            best = case
            best_score = score
        else:
            reasons[case] = m.LOST_ARBITRATION
    return best, best_score, n_eligible, n_allowed


@kernel
def furthest(t, rule, reasons):
    """Return the candidate that went furthest before it dropped out, or -1."""
    best = np.int64(-1)
    for k in range(t.rule_start[rule], t.rule_start[rule + 1]):
        case = np.int64(t.rule_cases[k])
        if best < 0 or reasons[case] > reasons[best]:
            best = case
    return best


@kernel
def switched_off(t, sub, case):
    """Return whether a proof has switched this line's use case off."""
    for k in range(t.off_sub.shape[0]):
        if t.off_sub[k] == sub and t.off_case[k] == case:
            return True
    return False


@kernel
def send_intent(s, t, i, sub, case, channel, ts_ms, decided_ms, score, out, n, c):
    """Write one `Intent` and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = decided_ms
    out.use_case[n] = case
    out.channel[n] = channel
    out.priority_q[n] = score
    out.trigger_ms[n] = ts_ms
    out.expires_ms[n] = decided_ms + t.case_expires_ms[case]
    out.key[n] = mix64(
        t.seed ^ (np.uint64(sub) << np.uint64(32)) ^ np.uint64(t.case_id[case]) ^ np.uint64(ts_ms)
    )
    c.intents[channel] += 1
    c.intended[case] += 1
    if s.flags[i] & CONTROL:
        c.control_contacts[0] += 1
    return n + 1


@kernel
def open_experiment(s, t, i, sub, case, arm, ts_ms, ex, n, c):
    """Begin the horizon of a winner and return the new fill of the pool."""
    ex.sub[n] = sub
    ex.use_case[n] = case
    ex.arm[n] = arm
    ex.bought[n] = 0
    ex.margin_minor[n] = s.margin_minor[i]
    ex.end_ms[n] = ts_ms + t.horizon_ms
    c.exp_opened[case, arm] += 1
    return n + 1


@kernel
def write_decision(out, n, sub, ts_ms, rule, case, reason, channel, score, counts, late, value):
    """Write one `Decision` row and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.trigger[n] = rule
    out.use_case[n] = case
    out.reason[n] = reason
    out.channel[n] = channel
    out.priority_q[n] = score
    out.n_candidates[n] = counts[0]
    out.n_eligible[n] = counts[1]
    out.n_allowed[n] = counts[2]
    out.latency_ms[n] = late
    out.value[n] = value
    return n + 1


@kernel
def decide(p, s, t, lo, hits, n_hits, reasons, intents, n_intents, ex, n_ex, log, c):
    """Decide on every hit of a slice, in canonical order.

    Parameters
    ----------
    hits, n_hits : rules satisfied, sorted by (sub, ts_ms)
    reasons : (n_cases,) uint8 scratch
    intents, n_intents : `Intent` columns and their fill, written
    ex, n_ex : pool of running horizons and its fill, written
    log : `Decision` columns with room for n_hits rows, written

    Returns
    -------
    n_intents, n_ex : new fills
    """
    for k in range(n_hits):
        sub = np.int64(hits.sub[k])
        i = sub - lo
        ts_ms = hits.ts_ms[k]
        rule = np.int64(hits.trigger[k])
        quarters = ts_ms // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
        day = quarters // 96
        c.trigger_hits[rule] += 1
        late = latency(t, sub, t.rule_id[rule], ts_ms, c)
        best, score, n_eligible, n_allowed = choose(
            p, s, t, i, rule, day, quarters % 96, reasons, c
        )
        c.eligible_decisions[rule] += n_eligible > 0
        c.allowed_decisions[rule] += n_allowed > 0
        channel = 255
        case = best
        reason = m.INTENDED
        if best < 0:
            case = furthest(t, rule, reasons)
            reason = reasons[case]
        else:
            if switched_off(t, sub, best):
                reason = m.SWITCHED_OFF
            elif held_out(t, sub, best):
                reason = m.HOLDOUT
                c.ghosts[best] += 1
            else:
                channel = pick_channel(s, t, i, best)
                n_intents = send_intent(
                    s, t, i, sub, best, channel, ts_ms, ts_ms + late, score, intents, n_intents, c
                )
            reasons[best] = reason
            if reason != m.SWITCHED_OFF:
                n_ex = open_experiment(
                    s, t, i, sub, best, 0 if reason == m.INTENDED else 1, ts_ms, ex, n_ex, c
                )
                # A withheld winner uses up its slot as a treated one does, so that the two
                # arms meet the same rules afterwards.
                remember_contact(s, i, best, day)
                if not t.case_service[best] and (
                    contacts_since(s, t, i, day, t.cap_days, -1, True) > t.cap
                ):
                    c.cap_breaches[0] += 1
        for j in range(t.rule_start[rule], t.rule_start[rule + 1]):
            c.decisions[t.rule_cases[j], reasons[t.rule_cases[j]]] += 1
        c.outcomes[rule, reason] += 1
        counts = (t.rule_start[rule + 1] - t.rule_start[rule], n_eligible, n_allowed)
        write_decision(
            log, k, sub, ts_ms, rule, case, reason, channel, score, counts, late, hits.value[k]
        )
    return n_intents, n_ex


@kernel
def mark_purchases(s, t, lo, ex, n_ex):
    """Mark the open horizons of lines that bought for a need in this tick."""
    for k in range(n_ex):
        i = ex.sub[k] - lo
        if (s.bought[i] >> t.case_need[ex.use_case[k]]) & 1:
            ex.bought[k] = 1


@kernel
def close_experiments(s, t, lo, ex, n_ex, now_ms, c):
    """Settle the horizons that have ended and return the new fill of the pool."""
    kept = 0
    for k in range(n_ex):
        if ex.end_ms[k] <= now_ms:
            i = ex.sub[k] - lo
            y = np.int64(s.margin_minor[i]) - np.int64(ex.margin_minor[k])
            case = ex.use_case[k]
            arm = ex.arm[k]
            c.exp_n[case, arm] += 1
            c.exp_y_minor[case, arm] += y
            c.exp_y2[case, arm] += (y // 16) * (y // 16)
            c.exp_bought[case, arm] += ex.bought[k]
        else:
            ex.sub[kept] = ex.sub[k]
            ex.use_case[kept] = ex.use_case[k]
            ex.arm[kept] = ex.arm[k]
            ex.bought[kept] = ex.bought[k]
            ex.margin_minor[kept] = ex.margin_minor[k]
            ex.end_ms[kept] = ex.end_ms[k]
            kept += 1
    return kept


@kernel
def take_deliveries(s, t, lo, d, n, credits, nc, c):
    """Book what became of messages: cost, counts, and gifts that come with a service message.

    Returns
    -------
    nc : rows written to `credits`
    """
    for k in range(n):
        i = d.sub[k] - lo
        case = d.use_case[k]
        if d.status[k] <= m.FAILED:
            cost = t.channel_cost_minor[d.channel[k]]
            s.margin_minor[i] -= cost
            c.contact_cost_minor[case] += cost
            c.sent_by_case[case] += 1
        if d.status[k] == m.DELIVERED:
            c.delivered_by_case[case] += 1
            if t.case_care_minor[case] > 0:
                credits.sub[nc] = d.sub[k]
                credits.ts_ms[nc] = d.ts_ms[k]
                credits.use_case[nc] = case
                credits.kind[nc] = m.GIFT
                credits.amount_minor[nc] = t.case_care_minor[case]
                s.margin_minor[i] -= t.case_care_minor[case]
                nc += 1
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


S_QUEST = stream("joins a quest")
