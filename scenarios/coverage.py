"""Who has something to be offered: the share of people with at least one relevant offer.

It owns the definition of relevant.  It knows the truth, so that it may judge a catalogue; nothing
of it may reach the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.profile import M2M
from actors.rtm.audience import eligible
from actors.subscribers.answers import utility_q
from sim.core import rng
from sim.core.kernel import kernel
from sim.core.partition import Partition

FULL_NEED_Q = 1024
MEDIAN_NOISE = np.uint32(1 << 31)


@dataclass(frozen=True)
class Coverage:
    """How many people have a relevant offer.

    Attributes
    ----------
    people : lines that are not machines
    covered : of these, with at least one relevant offer
    by_case : (n_cases,) people for whom each offer is relevant
    """

    people: int
    covered: int
    by_case: np.ndarray

    @property
    def share(self) -> float:
        """Share of people with at least one relevant offer."""
        return self.covered / self.people


@kernel
def _judge(p, e, s, rt, t, seed, first, n_cases, odds, best_cost, by_case):
    """Count the lines with a relevant offer, and the lines for whom each offer is relevant."""
    covered = 0
    for i in range(p.flags.shape[0]):
        found = False
        for case in range(n_cases):
            if not eligible(p, e, rt, i, case, 0):
                continue
            u = utility_q(s, p, t, seed, i, first + i, case, FULL_NEED_Q, 0, MEDIAN_NOISE)
            k = min(max((u + 8192) // 16, 0), odds.shape[0] - 1)
            # Who accepts and would have bought alone brings only the difference.
            kind = t.case_need[case]
            own = np.int64(t.organic_share[kind] >> np.uint32(22))
            more = t.case_margin_minor[case] - own * t.organic_margin_minor[kind] // 1024
            gain = odds[k] * more * t.seen_q // 65_536
            if gain > best_cost[case] * 1024:
                by_case[case] += 1
                found = True
        covered += found
    return covered


def coverage(world: Any, partition: Partition) -> Coverage:
    """Judge the catalogue of a world for the lines of a partition, at its start.

    An offer is relevant to a person who belongs to its audience and for whom, while the need that
    it answers is at full strength, a message is expected to bring more than it costs and more than
    the person would have brought alone.
    """
    people, _, engine = world.build(partition)
    profile, n_cases = people.profile, world.rtm.n_cases
    t = people.world.tables
    x = (np.arange(1024) * 16 - 8192) / 1024
    odds = np.rint(1024 / (1 + np.exp(-x))).astype(np.int64)
    reach = world.rtm.tables.case_channels[:n_cases]
    cost = np.where(reach >= 0, t.channel_cost_minor[np.maximum(reach, 0)], 0).max(axis=1)
    by_case = np.zeros(n_cases, np.int64)
    covered = _judge(
        profile.view, engine.view, people.columns.view, world.rtm.tables, t,
        rng.seed64(world.seed), partition.first, n_cases, odds, cost.astype(np.int64), by_case,
    )  # fmt: skip
    persons = int((profile["flags"] & M2M == 0).sum())
    return Coverage(persons, int(covered), by_case)
