"""Options of the channel role: what a channel can carry, how late, how surely, at what cost.

It owns the catalogue model of a channel.  It must not know what is sent.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sim.core.params import Params

KINDS = ("text", "app", "session", "call")
NEEDS_OF_LINE = ("app", "smartphone", "business", "private")
"""What a line may have to have or to be, in the order of the bits of `needs_bits`."""


class Channel(Params):
    """One channel of the catalogue, at full scale."""

    channel: str
    title: str
    kind: Literal["text", "app", "session", "call"] = Field(
        description="text: to any phone or address; app: to our app; session: lies ready until the "
        "person comes to the touch point; call: a person or robot calls"
    )
    per_second: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="messages a second at full scale; 0: `servers` limit it",
    )
    servers: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="agents, robots or desks at full scale, each busy for `duration_s` with one "
        "contact; 0: `per_second` limits it",
    )
    duration_s: float = Field(
        default=120.0, gt=0, le=100_000, description="median time of a contact, s, with `servers`"
    )
    duration_sigma: float = Field(default=0.6, ge=0, le=2, description="log-sd of that time")
    failed_s: float = Field(
        default=25.0,
        gt=0,
        le=100_000,
        description="time of a contact that does not come about, s: ringing, a closed door",
    )
    latency_median_ms: float = Field(
        default=0.0, ge=0, description="median transit, ms, before the time of a contact"
    )
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
    needs: tuple[Literal["app", "smartphone", "business", "private"], ...] = Field(
        default=(), description="what a line must have or be; kind app needs our app in any case"
    )
    reach: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of lines whose address we know, a lasting trait: e-mail, fax",
    )
    visits_per_month: float = Field(
        default=0.0,
        ge=0,
        le=30,
        description="session: visits of the touch point by a line in 30 days, mean; one a day at "
        "most",
    )
    habit_sigma: float = Field(
        default=0.8, ge=0, le=3, description="session: log-sd of that rate between lines"
    )
    open_from_h: float = Field(default=8.0, ge=0, le=24, description="session: opening, local hour")
    open_to_h: float = Field(default=22.0, ge=0, le=24, description="session: closing, local hour")
    in_person: bool = Field(
        default=False, description="session: one has to be there, so nobody comes from abroad"
    )
    patience_s: float = Field(
        default=600.0,
        ge=0,
        le=86_400,
        description="session: how long a person waits for a free server, s",
    )

    def needs_bits(self) -> int:
        """Return the needs of the channel as bits, in the order of `NEEDS_OF_LINE`."""
        needs = {*self.needs, *(("app",) if self.kind == "app" else ())}
        return sum(1 << k for k, name in enumerate(NEEDS_OF_LINE) if name in needs)
