"""Arbitration: which of the allowed candidates is the next best action.

It owns priority and the choice of the winner.  It must not know how a winner is sent or measured.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.audience import eligible
from actors.rtm.beliefs import (
    AT_RANDOM,
    BY_ORACLE,
    BY_PROPENSITY,
    BY_UPLIFT,
    chance_q,
    gain_q,
    lot_q,
)
from actors.rtm.lots import is_dealt
from actors.rtm.policy import lists_of, pick_channel, policy
from sim.core.kernel import kernel

SHUT, NOBODY = -1, -2
"""Levers of a use case that is no candidate at all, and of one that is, for nobody."""
NO_CANDIDATE = 255
"""What `choose` leaves as the reason of a use case that is shut."""


@kernel
def priority(t, chance, case, quarter, levers):
    """Return propensity x context x value x lever as a fixed-point integer.

    Propensity is the believed chance of acceptance, 1/65536, context the hour's factor, value the
    believed margin, `levers` the row of levers that holds for this hit.
    """
    score = chance * max(t.case_value_minor[case], 1) // 1024
    score = score * t.context_q[quarter // 4] // 1024
    return min(score * t.levers_q[levers, case] // 1024, 2_000_000_000)


@kernel
def score_of(p, t, i, sub, case, way, ts_ms, quarter, levers, foreseen_minor):
    """Return the priority of an allowed candidate; with uplift or the oracle 0 is "no action".

    A service message is not for sale: it stays a candidate, whatever it adds.

    Parameters
    ----------
    foreseen_minor : what the message would add in truth; read by the oracle alone
    """
    mode = t.belief.mode
    if mode == BY_PROPENSITY:
        return priority(t, chance_q(t, p, i, sub, case, way, ts_ms), case, quarter, levers)
    if mode == AT_RANDOM:
        return lot_q(t, sub, case, ts_ms)
    gain = foreseen_minor * 64
    if mode == BY_UPLIFT:
        gain = gain_q(t, p, i, sub, case, ts_ms)
        gain = gain * t.context_q[quarter // 4] // 1024 * t.levers_q[levers, case] // 1024
    return min(max(gain, np.int64(t.case_service[case])), np.int64(2_000_000_000))


@kernel
def odds_q(t, n_allowed):
    """Return the probability with which the winner was chosen, 1/65535; 0 where it is not known.

    Thompson's draws have no closed form with more than one candidate.
    """
    b = t.belief
    if b.mode == AT_RANDOM:
        return 65_535 // max(n_allowed, 1)
    drawn = b.explores and b.learns and b.mode != BY_ORACLE
    if drawn and (n_allowed > 1 or b.mode == BY_UPLIFT):
        return 0
    return 65_535


@kernel
def way_of(p, s, t, i, sub, case, day):
    """Return the channel by which an allowed use case would go; -1 where nobody asks for it."""
    if t.belief.learns or t.belief.priced:
        return pick_channel(p, s, t, i, sub, case, day)
    return np.int64(-1)


@kernel
def candidates(t, rule, value):
    """Return where the candidates of a hit begin and end among `rule_cases`.

    The rule of campaigns holds the use cases of all; the value of a hit says which is meant.
    """
    first = np.int64(t.rule_start[rule])
    if rule == t.campaign.rule:
        return first + value, first + value + 1
    return first, np.int64(t.rule_start[rule + 1])


@kernel
def choose(
    p, s, t, i, sub, first, last, levers, ts_ms, day, quarter, late, foreseen, hit, reasons, c
):  # fmt: skip
    """Run the candidates of a hit through the funnel.

    Parameters
    ----------
    first, last : where they begin and end among `rule_cases`
    levers : row of the levers that hold for this hit
    late : the decision has taken too long, and the fallback alone is looked at
    foreseen : row `hit` is what each use case would add in truth, minor: read by the oracle alone
    reasons : (n_cases,) uint8 scratch, written for the candidates

    Returns
    -------
    best, best_score, n_candidates, n_eligible, n_allowed : the winner or -1, its priority, and
        three counts
    """
    best = np.int64(-1)
    best_score = np.int64(-1)
    n_candidates = 0
    n_eligible = 0
    n_allowed = 0
    red, grey = lists_of(t, sub)
    for k in range(first, last):
        case = np.int64(t.rule_cases[k])
        lever = t.levers_q[levers, case]
        if lever == SHUT:
            reasons[case] = NO_CANDIDATE
            continue
        n_candidates += 1
        live = lever != NOBODY and is_dealt(t, sub, case)
        if not live or not eligible(p, s, t, i, case, day):
            reasons[case] = m.NOT_ELIGIBLE
            continue
        n_eligible += 1
        if late and case != t.fallback:
            reasons[case] = m.TIMED_OUT
            continue
        reason = policy(p, s, t, i, sub, case, day, quarter, red, grey)
        reasons[case] = reason
        if reason != m.INTENDED:
            continue
        n_allowed += 1
        way = way_of(p, s, t, i, sub, case, day)
        truth = foreseen[hit, case] if t.belief.mode == BY_ORACLE else np.int64(0)
        score = score_of(p, t, i, sub, case, way, ts_ms, quarter, levers, truth)
        if t.belief.priced and not t.case_service[case]:
            score -= t.belief.price_q[min(way, t.belief.price_q.shape[0] - 1)]
            if score <= 0:
                reasons[case] = m.PRICED_OUT
                continue
        if score <= 0 and t.belief.mode != BY_PROPENSITY:
            reasons[case] = m.NO_GAIN
            continue
        # Ties go to the use case with the smaller name id, never to the one that came first.
        if score > best_score or (score == best_score and t.case_id[case] < t.case_id[best]):
            if best >= 0:
                reasons[best] = m.LOST_ARBITRATION
            best = case
            best_score = score
        else:
            reasons[case] = m.LOST_ARBITRATION
    return best, best_score, n_candidates, n_eligible, n_allowed


@kernel
def furthest(t, first, last, reasons):
    """Return the candidate that went furthest before it dropped out, or -1."""
    best = np.int64(-1)
    for k in range(first, last):
        case = np.int64(t.rule_cases[k])
        if reasons[case] != NO_CANDIDATE and (best < 0 or reasons[case] > reasons[best]):
            best = case
    return best
