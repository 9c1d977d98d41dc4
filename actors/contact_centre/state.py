"""What the contact centre holds: one row for each call that is not over."""

from __future__ import annotations

from sim.core.columns import Field, Schema

HELD = Schema(
    "CallHeld",
    (
        Field("sub", "i4", "1", "line that calls; -1 one of those that are not simulated"),
        Field("skill", "i8", "1", "queue"),
        Field("phase", "i8", "code", "waiting, served or on its way"),
        Field("since", "i8", "ms", "moment at which it came"),
        Field("started", "i8", "ms", "moment at which it was answered; -1 not yet"),
        Field("ends", "i8", "ms", "end of the service, or moment at which it will come"),
        Field("work", "i8", "ms", "handling time"),
        Field("patience", "i8", "ms", "longest wait; -1 no end"),
        Field("attempt", "i8", "1", "number of the caller's tries before"),
    ),
    doc="calls that the contact centre holds",
)
