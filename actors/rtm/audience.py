"""Audiences: who may get an offer at all.

It owns eligibility by facts of the CRM, and by the arm of a test.  It must not know contact policy,
nor what an offer is worth.
"""

from __future__ import annotations

import numpy as np

from actors.profile import M2M
from actors.profile import PREPAID as P_PREPAID
from actors.rtm.state import APP
from actors.rtm.variants import in_arm
from sim.core.kernel import kernel


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
    fast = 1 if p.device[i] > 1 else 0
    if t.case_lte[case] >= 0 and t.case_lte[case] != fast:
        return False
    has_app = 1 if s.flags[i] & APP else 0
    if t.case_app[case] >= 0 and t.case_app[case] != has_app:
        return False
    return in_arm(t, s.first + i, case)
