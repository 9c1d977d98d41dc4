"""State of the learner: the counts behind beliefs, and prices, as rows for its digest.

It owns the columns that `LearnerActor` alone changes.
"""

from __future__ import annotations

from sim.core.columns import Field, Schema

COUNT = Schema(
    "Belief",
    (
        Field("use_case", "i2", "1", "use case", named=True),
        Field("segment", "u1", "1", "segment of the line"),
        Field("channel", "u1", "1", "channel", named=True),
        Field("n", "i8", "1/2^20 messages", "messages whose window is over"),
        Field("yes", "i8", "1/2^20 messages", "of these, accepted"),
    ),
    doc="what was learned of a use case in a segment and a channel",
)


END = Schema(
    "Gain",
    (
        Field("use_case", "i2", "1", "use case", named=True),
        Field("segment", "u1", "1", "segment of the line"),
        Field("arm", "u1", "code", "0 treated, 1 withheld"),
        Field("n", "i8", "1/2^20 winners", "winners whose horizon is over"),
        Field("margin", "i8", "1/2^10 minor", "their margin within it"),
        Field("squares", "i8", "(minor/16)^2", "sum of squares of it, scaled"),
    ),
    doc="what was learned of the margin that a use case adds in a segment",
)

PRICE = Schema(
    "Price",
    (
        Field("channel", "i2", "1", "channel", named=True),
        Field("price_q", "i8", "1/64 minor", "price of a message"),
        Field("offered", "i8", "messages", "messages that came in this hour"),
        Field("lost", "i8", "messages", "of these, turned away or too old when their turn came"),
        Field("busy_us", "i8", "us", "time worked in this hour"),
    ),
    doc="shadow price of each channel",
)
