"""Options of the channel role: what a channel can carry, how late, how surely, at what cost.

It owns the catalogue model of a channel.  It must not know what is sent.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.core.params import Params


class Channel(Params):
    """One channel of the catalogue, at full scale."""

    channel: str
    title: str
    kind: Literal["text", "push", "app", "call"] = Field(
        description="text: to any phone; push, app: need our app; call: a person or robot calls"
    )
    per_second: float = Field(gt=0, le=1e6, description="messages a second at full scale")
    latency_median_ms: float = Field(ge=0, description="median transit, ms")
    latency_sigma: float = Field(default=0.6, ge=0, le=4)
    failure: float = Field(default=0.02, ge=0, le=1, description="share of messages not delivered")
    cost_minor: int = Field(default=0, ge=0, description="cost of one message or call, minor units")
    attention: float = Field(
        default=1.0, ge=0, le=2, description="chance to be noticed, relative to a text"
    )
    answer_speed: float = Field(
        default=1.0, gt=0, le=100, description="median answer delay of texts over this channel's"
    )
    annoy: float = Field(
        default=1.0, ge=0, le=10, description="fatigue of a contact, relative to a text"
    )
    queue_max: int = Field(default=2_000_000, ge=1, description="messages that may wait")
