"""Who is valued: use cases, each an initiative with all its branches, or an offer of its own.

It owns how offers become players, and what is believed of each.  It must not know any result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.rtm.params import Offer
from sim.core.errors import Problem, ScenarioError, nearest

PLAYERS_MIN, PLAYERS_MAX = 2, 240


@dataclass(frozen=True)
class Player:
    """A use case to be valued.

    Attributes
    ----------
    name : code of the initiative, or the name of the offer
    offers : names of its offers, in the order of the catalogue
    person_months : believed effort; 0 where nobody has said any
    months : believed calendar time
    believed_rub : believed margin for 1,000 lines and month, RUB; None: nobody has said any
    wow : believed delight of customers, 1 to 5; None: nobody has said any
    feeds : data feeds that must exist first
    """

    name: str
    title: str
    group: str
    offers: tuple[str, ...]
    person_months: float
    months: float
    believed_rub: float | None
    wow: int | None
    feeds: tuple[str, ...]


def players_of(offers: Iterable[Offer]) -> tuple[Player, ...]:
    """Return the players of a catalogue, in the order of their first offers.

    Effort and belief of an initiative with branches are summed over them: each is built.
    """
    by_name: dict[str, list[Offer]] = {}
    for offer in offers:
        told = offer.initiative
        by_name.setdefault(offer.offer if told is None else told.code, []).append(offer)
    return tuple(_player(name, own) for name, own in by_name.items())


def _player(name: str, own: Sequence[Offer]) -> Player:
    told = [o.initiative.workshop for o in own if o.initiative is not None]
    nets = [w.net_rub for w in told if w.net_rub is not None]
    feeds = dict.fromkeys(f for o in own if o.initiative for f in o.initiative.feeds)
    return Player(
        name=name,
        title="; ".join(o.title for o in own),
        group=own[0].group,
        offers=tuple(o.offer for o in own),
        person_months=sum(w.person_months for w in told),
        months=max((w.months for w in told), default=0.0),
        believed_rub=sum(nets) if nets else None,
        wow=max((w.wow for w in told), default=None),
        feeds=tuple(feeds),
    )


def chosen(players: Sequence[Player], only: Sequence[str]) -> tuple[Player, ...]:
    """Return the players that were asked for, in the order of the catalogue; none: all of them.

    Raises
    ------
    ScenarioError : a name is unknown, or there are too few or too many
    """
    known = [player.name for player in players]
    problems = [
        Problem("no such use case is live", path="--only", found=name,
                expected=nearest(name, known) or "one of " + ", ".join(known))
        for name in only if name not in known
    ]  # fmt: skip
    kept = tuple(p for p in players if not only or p.name in set(only))
    if not problems and not PLAYERS_MIN <= len(kept) <= PLAYERS_MAX:
        problems.append(
            Problem("cannot be put in an order", path="--only", found=f"{len(kept)} use cases",
                    expected=f"{PLAYERS_MIN} to {PLAYERS_MAX} live use cases")
        )  # fmt: skip
    if problems:
        raise ScenarioError.collect(problems)
    return kept
