"""Answered offer: a person has said yes to one, and the next step is decided at once."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class OfferAnswered(Params):
    """Options of `offer_answered`."""

    answer: int = Field(default=2, ge=2, le=3, description="answer: 2 accepted, 3 opted out")


@trigger("offer_answered", on="answer", params=OfferAnswered)
def fires(row, p):
    """Fire on each answer of that kind, to whatever offer; `ref` of the row is the use case."""
    return row.code == p.answer
