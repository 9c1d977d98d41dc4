"""Learning and arbitration of a world: what is believed at the start, and who is shown the truth.

It owns which settings fit together, and the one place where the truth meets a decision: the
oracle.  It must not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.learner.actor import LearnerTables, compile_tables, first_beliefs
from actors.rtm.beliefs import BeliefTables, compile_beliefs
from actors.rtm.params import Offer
from actors.subscribers.foresight import Foresight


def compile_learning(
    scenario: Any, offers: Sequence[Offer], channels: Sequence[str]
) -> tuple[LearnerTables, BeliefTables]:
    """Return the tables of the learner, and what the engine believes at the start."""
    learning = scenario.rtm.learning
    tables = compile_tables(learning, offers, channels, scenario.money.price_level)
    start = first_beliefs(tables)
    return tables, compile_beliefs(learning, scenario.rtm.arbitration, offers, start)


def with_truth(scenario: Any, roles: Any) -> Any:
    """Return the roles of a partition, the engine shown the truth where the oracle asks for it."""
    people, _, engine = roles
    if scenario.rtm.arbitration == "oracle":
        engine.foresight = Foresight(people)
    return roles
