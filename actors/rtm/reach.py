"""Reach: whether a channel can get to a line at all.

It owns what a channel needs of a line, and the addresses that the CRM holds.  It must not know
whether the line may be contacted.
"""

from __future__ import annotations

from actors.rtm.params import SEGMENTS
from actors.rtm.state import APP
from sim.core.kernel import kernel
from sim.core.rng import draw_cause, stream

S_ADDRESS = stream("the address of a line is known")
NEEDS_APP, NEEDS_SMARTPHONE, NEEDS_BUSINESS, NEEDS_PRIVATE = 1, 2, 4, 8
"""Bits of `channel_needs`, in the order of `NEEDS_OF_LINE`."""
EVERYBODY = 0xFFFFFFFF
BUSINESS = SEGMENTS.index("business")


@kernel
def can_reach(p, s, t, i, sub, channel):
    """Return whether a channel gets to a line: what it needs is there, and the address is known.

    An address (e-mail, fax) is a lasting trait: a draw keyed by line and channel.
    """
    needs = t.channel_needs[channel]
    if needs & NEEDS_APP and not s.flags[i] & APP:
        return False
    if needs & NEEDS_SMARTPHONE and p.device[i] == 0:
        return False
    if needs & NEEDS_BUSINESS and p.segment[i] != BUSINESS:
        return False
    if needs & NEEDS_PRIVATE and p.segment[i] == BUSINESS:
        return False
    if t.channel_reach[channel] == EVERYBODY:
        return True
    a, _, _, _ = draw_cause(t.seed, S_ADDRESS, sub, t.channel_id[channel], 0, 0)
    return a < t.channel_reach[channel]
