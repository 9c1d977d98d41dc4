"""State of the subscriber role: where people are, what they want, how they feel.

It owns the columns that `SubscriberActor` alone changes.  Nothing here may reach a message that
the RTM engine reads, save through what people do.
"""

from __future__ import annotations

from sim.core.columns import Field, Schema

NEVER_S = 2_000_000_000
"""A moment that does not come, s."""
LONG_AGO_S = -2_000_000_000
"""A moment before everything, s."""

LIFE_RESERVED, LIFE_HERE, LIFE_LEFT, LIFE_CUT = 0, 1, 2, 3
"""Low bits of `life`: not yet joined, using, left for a rival, cut off by the operator."""
LIFE_MASK = 7
TOPUP_OPEN = 8
"""Bit of `life`: a top-up was begun and not yet completed."""
LIFE_BITS, PURSE_SHIFT, PURSE_MAX = 15, 4, 15
"""`life` above these bits: bought beyond the usual month, eighths of the wallet."""
TRIP_BITS, DEALS_SHIFT, DEALS_MAX = 31, 5, 7
"""`trip_slot` above these bits: how far a line has learnt to wait for discounts."""

N_NEED_SLOTS = 3
SLOTS = ("a", "b", "c")

STATE = Schema(
    "SubscriberState",
    (
        Field("home", "i4", "1", "home hex, row of the geography"),
        Field("work_slot", "u1", "1", "row of the home hex's work candidates; 255 none"),
        Field("activity", "u1", "class", "activity class; the last class is machines"),
        Field("volume", "u1", "class", "data volume class"),
        Field("work_from", "u1", "quarter h", "start of work today; 255 none"),
        Field("work_to", "u1", "quarter h", "end of work today"),
        Field("trip_from", "u1", "quarter h", "start of the outing today; 255 none"),
        Field("trip_to", "u1", "quarter h", "end of the outing today"),
        Field("trip_slot", "u1", "1", "place (0-7 leisure, 16-19 mall); 3 bits: waits for deals"),
        Field("travel_s", "i4", "s", "arrival at the airport for a flight; `NEVER_S` none"),
        Field("need_kind", "u1", "code", "want in each slot; 255 free", SLOTS),
        Field("need_born_s", "i4", "s", "birth of the want in each slot", SLOTS),
        Field("life", "u1", "bits", "state of life, an open top-up; 4 bits: part of wallet spent"),
        Field("silent_s", "i4", "s", "silent until; or the moment of joining, while reserved"),
        Field("recharge_s", "i4", "s", "moment of the planned top-up; `NEVER_S` none"),
        Field("due_s", "i4", "s", "earliest moment at which anything planned is due"),
        Field("fatigue_q", "u2", "1/1024", "fatigue at `fatigue_h`"),
        Field("fatigue_h", "i2", "h", "moment of `fatigue_q`"),
        Field("trust_q", "i1", "1/127", "trust in the operator"),
        Field("satisfaction_q", "u2", "1/65535", "satisfaction with the operator"),
    ),
    doc="latent state and diary of a line",
)

EXPOSURE = Schema(
    "Exposure",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("use_case", "i2", "1", "offer of the message", named=True),
        Field("action", "u1", "code", "accept, opt_out or reply"),
        Field(
            "need_born_s",
            "i4",
            "s",
            "birth of the want that it answers, `LONG_AGO_S` none; of a reply, its number",
        ),
        Field("ts_ms", "i8", "ms", "moment of the answer"),
    ),
    doc="answers that people will give to messages they hold",
)

EVENT_KINDS = ("voice", "sms", "data", "location", "visit")

CHUNK_LINES = Schema(
    "ChunkLines",
    (
        Field("word", "u4", "1", "draw of the count, by (epoch, line)"),
        Field("first", "i4", "1", "first event, by (line, epoch)"),
        Field("wake", "u1", "bool", "an answer is due"),
        Field("busy", "i4", "1", "lines of the chunk that do more than use where they are"),
        Field("two", "i4", "1", "first event, where an epoch of a line has two"),
        Field("many", "i4", "1", "row of `first`, where an epoch of a line has more"),
    ),
    doc="scratch: lines of a chunk",
)
CHUNK_DRAWS = Schema(
    "ChunkDraws",
    (
        Field("sub", "u4", "1", "global id of the line"),
        Field("epoch", "u4", "1", "epoch of the event"),
        Field("k", "u4", "1", "number of the event in its epoch"),
        Field("ts_ms", "i8", "ms", "moment"),
        Field("w1", "u4", "1", "word of the draw"),
        Field("w2", "u4", "1", "word of the draw"),
        Field("w3", "u4", "1", "word of the draw"),
        Field("order", "i4", "1", "rows in the order of line and moment"),
    ),
    doc="scratch: draws of the events of a chunk",
)
CHUNK_EVENTS = Schema(
    "ChunkEvents",
    (
        Field("row", "i4", "1", "row of the output"),
        Field("spot", "i4", "1", "true place"),
        Field("at", "i4", "1", "row of the draws"),
        Field("lane", "i4", "1", "events of each kind, in order", EVENT_KINDS),
    ),
    doc="scratch: events of a chunk that happen",
)
