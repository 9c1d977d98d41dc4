"""Options of learning: what a belief starts from, how it is explored, when it is forgotten.

It owns the ranges.  It must not know how a belief is kept.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.core.params import Params


class Learning(Params):
    """Propensities that learn from outcomes.

    A belief is kept for each use case, segment and channel.  It starts at the offer's `propensity`
    and moves with the share of delivered messages that were accepted within `answer_hours`.
    """

    enabled: bool = Field(
        default=False, description="false: every propensity stays what its offer says"
    )
    prior_strength: float = Field(
        default=200.0,
        ge=1,
        le=1_000_000,
        description="messages for which the offer's `propensity` counts",
    )
    pooling: float = Field(
        default=100.0,
        ge=1,
        le=1_000_000,
        description="messages for which the share of the whole use case counts in one segment and "
        "channel",
    )
    exploration: Literal["thompson", "none"] = Field(
        default="thompson",
        description="thompson: each candidate competes with a draw from what is believed; none: "
        "with its mean",
    )
    answer_hours: float = Field(
        default=24.0,
        ge=1,
        le=336,
        description="a message not accepted within so many hours counts as refused, hours",
    )
    forget_days: float = Field(
        default=0.0,
        ge=0,
        le=3_650,
        description="half-life of what was learned, days; 0: nothing is forgotten",
    )


class Prices(Params):
    """Shadow prices: a candidate must add more than the messages that it displaces.

    A channel that loses messages (its queue is full, or they are too old when their turn comes)
    grows dearer every hour, and one that is idle grows cheaper; a contact budget likewise.  Service
    messages pay nothing.
    """

    enabled: bool = Field(default=False, description="false: priority alone decides")
    step_minor: float = Field(
        default=200.0,
        gt=0,
        le=10_000_000,
        description="rise of a price in an hour in which every message was lost, and fall in one "
        "in which the channel was idle, minor units",
    )
    budget_minor_day: float = Field(
        default=0.0,
        ge=0,
        le=1e15,
        description="cost of contacts a day, for all lines that the run stands for, minor units; "
        "0: any",
    )
