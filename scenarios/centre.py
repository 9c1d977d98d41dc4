"""The contact centre of a world: queues, causes of calls, what they leave, the agent's screen.

It owns which part of the scenario each role gets for it: the centre its queues, people what makes
them call and how they take it, the engine the screen.  It must not run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actors.channels.params import Channel
from actors.contact_centre.tables import compile_tables
from actors.rtm.calls import Screen
from actors.rtm.inbound import RULE, inbound_tables, levers_of_calls
from actors.rtm.params import NEEDS, Offer
from actors.subscribers.after_calls import AfterCallTables, compile_after_calls
from actors.subscribers.calling import CallingTables, compile_calling
from sim.core import rng

HEARD_Q = 1 << 20
"""Attention, 1/1024, of somebody who has the agent on the line: past every fatigue."""


def queue_tables(scenario: Any) -> Any:
    """Return the tables of the queues, for all lines that the run stands for."""
    lines = scenario.population.subscribers
    return compile_tables(
        scenario.contact_centre,
        seed=scenario.seed,
        start=scenario.clock.start,
        days=scenario.clock.days,
        weekly=scenario.clock.weekly,
        lines=lines,
        lines_real=max(scenario.population.represents, lines),
    )


def heard(scenario: Any, channels: Sequence[Channel]) -> np.ndarray:
    """Return (n_channels,) uint8: 1 where the agent speaks who has the caller on the line."""
    centre = scenario.contact_centre
    named = [centre.enabled and c.channel == centre.screen.channel for c in channels]
    return np.array(named or [False], np.uint8)


def calling(scenario: Any) -> CallingTables | None:
    """Return who calls, or None where nobody can."""
    centre = scenario.contact_centre
    if not centre.enabled:
        return None
    effects = scenario.subscribers.answers.effects
    return compile_calling(centre.causes, seed=scenario.seed, effects=effects)


def after_calls(scenario: Any, channels: Sequence[Channel]) -> AfterCallTables | None:
    """Return what calls leave with people, or None where nobody can call."""
    centre = scenario.contact_centre
    if not centre.enabled:
        return None
    return compile_after_calls(
        centre.effects,
        centre.screen,
        seed=scenario.seed,
        scale=scenario.subscribers.answers.effects,
        channel_heard=heard(scenario, channels),
    )


def attend(tables: Any, scenario: Any, channels: Sequence[Channel]) -> Any:
    """Return the subscribers' tables: who has the agent on the line hears the offer for sure."""
    attention = np.where(heard(scenario, channels) > 0, HEARD_Q, tables.channel_attention_q)
    return tables._replace(channel_attention_q=attention.astype(tables.channel_attention_q.dtype))


def screen(
    scenario: Any, tables: Any, channels: Sequence[Channel], offers: Sequence[Offer]
) -> Screen | None:
    """Return the agent's screen, or None where there is no centre, channel or use of it.

    Parameters
    ----------
    tables : `RtmTables` of the run
    """
    centre = scenario.contact_centre
    names = [c.channel for c in channels]
    if not has_screen(scenario, channels, len(offers)):
        return None
    opened, rule = inbound_tables(tables, len(offers), channel=names.index(centre.screen.channel))
    levers = levers_of_calls(
        opened,
        given=gives_away(offers),
        factors=centre.screen.reasons,
        doubt=np.array([centre.screen.doubt.get(need, 1.0) for need in NEEDS]),
    )
    return Screen(
        opened._replace(levers_q=levers),
        rule,
        rng.threshold(centre.screen.share),
        rng.seed64(scenario.seed),
    )


def with_screen(world: Any, catalogue: Any) -> Any:
    """Return a world with the agent's screen: offers for those who ask, and no campaign."""
    found = screen(
        world.scenario,
        world.rtm.tables,
        list(catalogue.channels.values()),
        list(catalogue.offers.values()),
    )
    return replace(world, rtm=replace(world.rtm, screen=found))


def gives_away(offers: Sequence[Offer]) -> np.ndarray:
    """Return (n,) bool: offers that give something away, or are service messages."""
    kinds = ("gift", "credit", "care")
    return np.array([o.policy.service or o.product.kind in kinds for o in offers], np.bool_)


def has_screen(scenario: Any, channels: Sequence[Channel], n_cases: int) -> bool:
    """Return whether the agents of a scenario have a screen: a channel, and something to offer."""
    centre = scenario.contact_centre
    named = any(c.channel == centre.screen.channel for c in channels)
    return centre.enabled and named and n_cases > 0


def rule_labels(
    rules: Sequence[str], scenario: Any, channels: Sequence[Channel], n_cases: int
) -> tuple[str, ...]:
    """Return the labels of triggers: those of the rules, and that of the screen."""
    return (*rules, RULE) if has_screen(scenario, channels, n_cases) else tuple(rules)
