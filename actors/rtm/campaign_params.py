"""Options of campaigns: audience, sub-groups, schedule, participation, waves.

It owns the catalogue model of a campaign.  It must not know how an audience is compiled, nor how a
campaign finds its lines.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from actors.rtm.params import Control
from sim.core.params import Params

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GROUPS_MAX, WAVES_MAX = 16, 8
MARK = ":"
"""Stands between campaign, sub-group and wave in the name of a use case; no offer's name has it."""


class Schedule(Params):
    """When a campaign asks: local time of the line."""

    from_day: int = Field(default=0, ge=0, le=400, description="first day; 0 is that of the start")
    days: int = Field(default=7, ge=1, le=400, description="days of a round, the first among them")
    weekdays: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=WEEKDAYS, min_length=1, description="days of the week on which it asks"
    )
    from_h: float = Field(default=10.0, ge=0, le=24, description="first hour of a day")
    to_h: float = Field(default=20.0, ge=0, le=24, description="end of a day's hours")
    rate_per_hour: int = Field(
        default=0, ge=0, le=1_000_000_000,
        description="lines of the audience asked an hour, in the mean, for the whole base (a "
        "sample has its share); 0: evenly over all hours of the round",
    )  # fmt: skip
    rounds: int = Field(default=1, ge=1, le=400, description="times that it passes its audience")
    every_days: int = Field(
        default=30, ge=1, le=400, description="from the start of a round to that of the next, days"
    )


class Participation(Params):
    """Who may take part again: counted from contacts, and from winners withheld."""

    again_after_days: int = Field(
        default=0, ge=0, le=400, description="days until a line may take part again; 0: only once"
    )
    after_acceptance: bool = Field(
        default=False, description="a line that accepted may take part again"
    )
    not_with: tuple[str, ...] = Field(
        default=(),
        description="campaigns that exclude each other: who takes part in one is not asked by the "
        "other, as long as either of them runs",
    )


class Group(Params):
    """A part of the audience with an offer of its own; a line is in the first that fits."""

    group: str = Field(description="name", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    when: str = Field(
        default="", max_length=500, description="rule, as of `audience`; empty: all that are left"
    )
    offer: str = Field(description="offer of the catalogue: product, policy, believed worth")
    discount: float = Field(default=0.0, ge=0, le=1, description="share taken off its price")
    channels: tuple[str, ...] = Field(
        default=(), max_length=8, description="channels in order; empty: those of the offer"
    )
    points: int = Field(
        default=0, ge=0, le=1_000_000, description="loyalty points for an acceptance"
    )
    valid_days: int = Field(
        default=0, ge=0, le=365, description="life of what it gives, days; 0: as the offer says"
    )


class Wave(Params):
    """A further contact for those who have not accepted."""

    after_h: float = Field(
        gt=0, le=2_400,
        description="hours after the wave before; where that is outside the hours of the campaign, "
        "when they begin next",
    )  # fmt: skip
    channels: tuple[str, ...] = Field(
        default=(), max_length=8, description="channels in order; empty: those of the sub-group"
    )
    offer: str = Field(
        default="", description="another offer at its own price; empty: that of the sub-group"
    )


class Answer(Params):
    """One answer to a question, and what it leads to."""

    answer: str = Field(description="name", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    category: Literal[
        "data", "roaming", "shopping", "money", "loyalty", "device", "renewal", "partner"
    ] = Field(description="what a person likes who chooses it (truth; the engine sees the answer)")
    offer: str = Field(description="offer that is sent then, at its own price")
    channels: tuple[str, ...] = Field(
        default=(), max_length=8, description="channels in order; empty: those of the offer"
    )


class Survey(Params):
    """A question in place of an offer; the answer decides what is offered next."""

    answers: tuple[Answer, ...] = Field(min_length=2, max_length=8)
    replies: float = Field(
        default=0.068, ge=0, le=1,
        description="of those who see the question, so many answer it (truth; published: 6.8 %)",
    )  # fmt: skip
    after_min: float = Field(
        default=2, ge=0, le=10_080, description="minutes from the answer to the offer"
    )


class Campaign(Params):
    """Who is asked what, when and how often."""

    campaign: str = Field(description="name")
    title: str = Field(description="what a person reads")
    audience: str = Field(
        default="", max_length=500,
        description="rule over what the engine knows of a line, such as `prepaid and not abroad "
        "and tenure_days >= 90 and segment in [mass, youth]`; empty: everybody",
    )  # fmt: skip
    groups: tuple[Group, ...] = Field(min_length=1, max_length=GROUPS_MAX)
    waves: tuple[Wave, ...] = Field(
        default=(), max_length=WAVES_MAX,
        description="further contacts, one after another, until a line accepts or withdraws its "
        "consent; withheld lines get none",
    )  # fmt: skip
    survey: Survey | None = Field(
        default=None,
        description="asks first, under the policy of the sub-group's offer, and offers what the "
        "answer says; in place of waves",
    )
    schedule: Schedule = Schedule()
    participation: Participation = Participation()
    control: Control = Control()
