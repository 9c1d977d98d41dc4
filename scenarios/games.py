"""Quests for each role: what the engine follows, what people do, and what is shared.

It owns who gets which part of a quest: what play does to people goes to the subscriber role alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.loyalty.actor import LoyaltyTables
from actors.loyalty.actor import compile_tables as loyalty_tables
from actors.quest_tables import QuestTables, compile_quests
from actors.subscribers.players import PlayTables, compile_play
from geo.geography import Geography
from scenarios.campaigns import campaign_offers


@dataclass(frozen=True)
class Games:
    """Tables of the quests of a run, by who reads them."""

    engine: QuestTables
    play: PlayTables | None
    loyalty: LoyaltyTables


def compile_games(loaded: Any, geo: Geography, rules: Sequence[Any]) -> Games:
    """Return the tables of the quests of a scenario.

    Parameters
    ----------
    rules : the rules of the run, of which steps may open those of `quest_step`
    """
    model, quests = loaded.model, list(loaded.catalogue.quests.values())
    level, lines = model.money.price_level, model.population.subscribers
    engine = compile_quests(
        quests,
        model.rtm,
        geo,
        seed=model.seed,
        price_level=level,
        offers=[*loaded.catalogue.offers.values(), *campaign_offers(loaded.catalogue)],
        rules=rules,
        n_lines=lines,
    )
    return Games(
        engine,
        compile_play(quests, engine),
        loyalty_tables(
            quests,
            seed=model.seed,
            share=lines / (model.population.represents or lines),
            price_level=level,
            engine=engine,
        ),
    )
