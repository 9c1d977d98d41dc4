"""Services that begin at slots only, such as batches sent every quarter of an hour.

It owns which slot takes whom.  It must not draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def slotted(arrivals: Sequence[int], slots: Callable[[int], tuple[int, int]]) -> list[int]:
    """Return the start of each service where services begin at slots only.

    Parameters
    ----------
    arrivals : rising moments
    slots : number of a slot -> (its moment, how many may begin)
    """
    starts: list[int] = []
    slot, used = 0, 0
    for arrival in arrivals:
        while slots(slot)[0] < arrival or used >= slots(slot)[1]:
            slot, used = slot + 1, 0
        starts.append(slots(slot)[0])
        used += 1
    return starts
