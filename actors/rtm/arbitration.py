"""Arbitration: which of the allowed candidates is the next best action.

It owns priority and the choice of the winner.  It must not know how a winner is sent or measured.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.audience import eligible
from actors.rtm.policy import policy
from sim.core.kernel import kernel

SHUT, NOBODY = -1, -2
"""Levers of a use case that is no candidate at all, and of one that is, for nobody."""
NO_CANDIDATE = 255
"""What `choose` leaves as the reason of a use case that is shut."""


@kernel
def priority(p, t, i, case, quarter, levers):
    """Return propensity x context x value x lever as a fixed-point integer.

    Propensity is the belief for the segment, context the hour's factor, value the believed margin,
    `levers` the row of levers that holds for this hit.
    """
    value = max(t.case_value_minor[case], 1)
    score = t.case_propensity_q[case, p.segment[i]] * value // 1024
    score = score * t.context_q[quarter // 4] // 1024
    return min(score * t.levers_q[levers, case] // 1024, 2_000_000_000)


@kernel
def choose(p, s, t, i, sub, rule, levers, day, quarter, reasons, c):
    """Run the candidates of a rule through the funnel.

    Parameters
    ----------
    levers : row of the levers that hold for this hit
    reasons : (n_cases,) uint8 scratch, written for the rule's candidates

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
    for k in range(t.rule_start[rule], t.rule_start[rule + 1]):
        case = np.int64(t.rule_cases[k])
        lever = t.levers_q[levers, case]
        if lever == SHUT:
            reasons[case] = NO_CANDIDATE
            continue
        n_candidates += 1
        if lever == NOBODY or not eligible(p, s, t, i, case, day):
            reasons[case] = m.NOT_ELIGIBLE
            continue
        n_eligible += 1
        reason = policy(p, s, t, i, sub, case, day, quarter)
        reasons[case] = reason
        if reason != m.INTENDED:
            continue
        n_allowed += 1
        score = priority(p, t, i, case, quarter, levers)
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
def furthest(t, rule, reasons):
    """Return the candidate that went furthest before it dropped out, or -1."""
    best = np.int64(-1)
    for k in range(t.rule_start[rule], t.rule_start[rule + 1]):
        case = np.int64(t.rule_cases[k])
        if reasons[case] != NO_CANDIDATE and (best < 0 or reasons[case] > reasons[best]):
            best = case
    return best
