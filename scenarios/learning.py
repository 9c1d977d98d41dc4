"""Learning and arbitration of a world: what is believed at the start, and who is shown the truth.

It owns which settings fit together, and the one place where the truth meets a decision: the
oracle.  It must not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.channels.params import Channel
from actors.learner.actor import LearnerTables, compile_tables, first_beliefs
from actors.learner.prices import compile_prices
from actors.rtm.beliefs import BeliefTables, compile_beliefs
from actors.rtm.params import Offer
from actors.subscribers.foresight import Foresight


def compile_learning(
    scenario: Any, offers: Sequence[Offer], channels: Sequence[Channel]
) -> tuple[LearnerTables, BeliefTables]:
    """Return the tables of the learner, prices among them, and what the engine believes first."""
    rtm, level = scenario.rtm, scenario.money.price_level
    names = [c.channel for c in channels]
    lines = scenario.population.subscribers
    share = lines / max(scenario.population.represents, lines)
    prices = compile_prices(rtm.prices, channels, price_level=level, share=share)
    tables = compile_tables(rtm.learning, offers, names, level)._replace(prices=prices)
    start = first_beliefs(tables)
    beliefs = compile_beliefs(rtm.learning, rtm.prices, rtm.arbitration, offers, start)
    return tables, beliefs


def with_truth(scenario: Any, roles: Any) -> Any:
    """Return the roles of a partition, the engine shown the truth where the oracle asks for it."""
    people, _, engine = roles
    if scenario.rtm.arbitration == "oracle":
        engine.foresight = Foresight(people)
    return roles
