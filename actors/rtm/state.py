"""State of the RTM role: the live profile, contact history, games and open measurements.

It owns the columns that `RtmActor` alone changes.  All of it comes from events that the engine
was shown; nothing latent is here.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from actors import messages as m
from sim.core.columns import Columns, Field, Schema
from sim.core.sparse import Sparse, sparse_schema

RECENT = 2
"""Latest contacts that lie in the row of a line; older ones of which a cap still counts lie in
`CONTACTS`."""
LANES = ("0", "1")
NO_CASE = 65_535
ANSWERED = 128
"""Bit of a contact's channel: it was answered, or it was withheld and nobody could ignore it."""
CHANNEL_MASK = 127

CONSENT, APP, BLACK, CONTROL, ALIVE, DWELT, LANDED, ROAMED = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits of `flags`; `DWELT`: the dwell of the visit that is going on was noted; `LANDED`: the line
came home from abroad today; `ROAMED`: it was charged in the stay abroad that is going on."""
NO_CELL, UNKNOWN_CELL = -1, -2
"""What `cell` holds of a line that was last seen abroad, and of one that was never seen."""
JOINED_ACCEPTED, JOINED_WITHHELD = 1, 2
"""Bits of the state of a participation."""
SLOW_SHIFT, TROUBLE_MAX = 4, 15
"""`failures` holds two counts of four bits: refused uses below, slow data above."""

STATE = Schema(
    "RtmState",
    (
        Field("cell", "i4", "1", "cell last seen; -1 abroad, -2 unknown"),
        Field("seen_s", "i4", "s", "moment of the last event"),
        Field("day", "i2", "days", "day to which the daily sums belong"),
        Field("data_today_kb", "i4", "kB", "data used today"),
        Field("data_norm_mb", "u2", "MB", "own norm of daily data, slow moving average"),
        Field("margin_minor", "i4", "minor", "running margin: usage, products, rewards, contacts"),
        Field("fence", "i2", "1", "geofence believed to be in; -1 none"),
        Field("fence_s", "i4", "s", "believed entry"),
        Field("fence_seen_s", "i4", "s", "last event inside"),
        Field("night_fence", "i2", "1", "geofence seen at night: a resident; -1 none"),
        Field("work_fence", "i2", "1", "geofence of long daytime stays: staff; -1 none"),
        Field("failures", "u1", "1", "failed uses (low four bits), slow data (high) in the window"),
        Field("failures_s", "i4", "s", "first failure or slow data of the window"),
        Field(
            "recent_case",
            "u2",
            "1",
            "use cases of the latest contacts; 65535 none",
            LANES,
            named=True,
        ),
        Field(
            "recent_channel",
            "u1",
            "1",
            "their channels; upper bit: answered, or withheld",
            LANES,
            named=True,
        ),
        Field("recent_day", "u1", "days", "days of the latest contacts, modulo 256", LANES),
        Field("owned_day", "i2", "days", "day until which bought data lasts"),
        Field("flags", "u1", "bits", "consent, app, black, control, alive, dwelt, landed, roamed"),
        Field("plays", "u1", "flag", "1 while in a quest that is open"),
        Field("bought", "u1", "bits", "needs bought for in this tick", transient=True),
    ),
    doc="live profile of a line, as the engine believes it",
)

CONTACTS = sparse_schema(
    "Contacts",
    (
        Field("case", "u2", "1", "use case", named=True),
        Field("channel", "u1", "1", "channel; upper bit: answered, or withheld", named=True),
        Field("day", "u1", "days", "day, modulo 256"),
    ),
    doc="contacts before the latest two of which a cap still counts, by (line, number)",
)

TAKEN = sparse_schema(
    "Taken",
    (
        Field("times", "u2", "1", "offers accepted since `day`"),
        Field("day", "i2", "days", "first acceptance of the window; first day without a thing"),
    ),
    doc="acceptances of use cases with a limit on repeats, by (line, use case), and lasting "
    "things that were bought, by (line, thing)",
)

TRIAL = sparse_schema(
    "Trial",
    (
        Field("case", "u2", "1", "use case", named=True),
        Field("channel", "u1", "1", "channel", named=True),
        Field("due_s", "i4", "s", "end of the time for an answer"),
        Field("accepted", "u1", "flag", "1 once it was accepted"),
        Field("believed_q", "u2", "1/65536", "chance of acceptance believed at delivery"),
    ),
    doc="delivered messages from which is learned, by (line, use case)",
)

HELD = sparse_schema(
    "Held",
    (
        Field("last_s", "i4", "s", "moment of the last hit that counted"),
        Field("hits", "u2", "1", "hits that counted"),
        Field("armed", "u1", "flag", "0: the value has not gone back since the last hit"),
    ),
    doc="rules with hysteresis that a line has satisfied, by (line, rule)",
)

PARTICIPATION = sparse_schema(
    "Participation",
    (
        Field("day", "i2", "days", "local day of the latest participation"),
        Field("times", "u1", "1", "times that the line took part, 255 at most"),
        Field("case", "u2", "1", "use case of the latest contact", named=True),
        Field("state", "u1", "bits", "accepted; withheld by the local holdout"),
        Field("due_s", "i4", "s", "moment of the next wave; -1 none"),
    ),
    doc="lines that took part in a campaign, by (line, campaign)",
)

WAITING = Schema(
    "Waiting",
    (
        *m.ACTIVITY.fields,
        *m.RATED.fields,
        Field("due_ms", "i8", "ms", "moment at which it reaches the engine"),
        Field("identity", "u4", "hash", "what tells the row from others of its line"),
        Field("watched", "u1", "flag", "1: the row comes twice"),
    ),
    doc="rows and second copies of rows on their way to the engine",
)

ONCE = sparse_schema(
    "Once",
    (Field("due_ms", "i8", "ms", "moment at which the other one comes"),),
    doc="rows that have come and will come again, by (line, identity)",
)


SEEN = Schema(
    "SeenHit",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("ts_ms", "i8", "ms", "moment at which the rule was satisfied"),
        Field("trigger", "i2", "1", "which rule", named=True),
        Field("acted_ms", "i8", "ms", "moment from which a decision could follow"),
    ),
    doc="hits of watched lines that are not matched yet",
)

EngineView = namedtuple(
    "EngineView", (*STATE.names, "contacts", "taken", "held", "trials", "joined", "first")
)  # type: ignore[misc]  # names are data
"""What kernels of decisions see of lines: the columns, sparse tables, and the first line."""


def engine_view(columns: Columns, tables: Sequence[Sparse], first: int) -> Any:
    """Return the `EngineView` of a partition whose first line has the global id `first`.

    Parameters
    ----------
    tables : `CONTACTS`, `TAKEN`, `HELD`, `TRIAL` and `PARTICIPATION`
    """
    return EngineView(*columns.view, *(table.view for table in tables), first)


EXPERIMENT = Schema(
    "Experiment",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("use_case", "i2", "1", "use case that won", named=True),
        Field("arm", "u1", "code", "0 treated, 1 withheld"),
        Field("bought", "u1", "flag", "1 once the line bought in the category"),
        Field("margin_minor", "i4", "minor", "running margin at the decision"),
        Field("end_ms", "i8", "ms", "end of the horizon"),
    ),
    doc="winners whose horizon is running",
)

GAME = sparse_schema(
    "Game",
    (
        Field("value", "i4", "by key", "state and steps done of a game; progress of a step"),
        Field("day", "i2", "days", "local day of the last progress of a step"),
        Field("run", "u1", "days", "days in a row on which enough was done"),
        Field("quest", "u1", "1", "which quest", named=True),
    ),
    doc="lines in a quest: one row for the game, one for each step begun and each place visited",
)

POINTS = sparse_schema(
    "Points",
    (
        Field("points", "i4", "points", "what can be turned in"),
        Field("earned", "i4", "points", "all that was earned, which leads to tiers"),
        Field("until_day", "i2", "days", "day after which the points expire"),
        Field("tier", "u1", "1", "level of the loyalty programme; 0 the first"),
    ),
    doc="accounts of loyalty points, of lines that ever had any",
)

DEED = Schema(
    "Deed",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("ts_ms", "i8", "ms", "moment"),
        Field("day", "i2", "days", "local day"),
        Field("kind", "u1", "code", "what kind of row, one of `ACTIVITY_KINDS`"),
        Field("code", "u1", "code", "rating group, procedure, reason or answer, by kind"),
        Field("ref", "i4", "1", "content, visit kind, use case or need, by kind"),
        Field("units", "i8", "s, pieces, bytes or minor", "amount; of a purchase, what was paid"),
        Field("place", "i2", "1", "geofence in which a dwell was just noted; -1 none"),
    ),
    doc="what lines in a quest did, inside the role",
)

HIT = Schema(
    "Hit",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("ts_ms", "i8", "ms", "moment at which the rule was satisfied"),
        Field("trigger", "i2", "1", "which rule"),
        Field("value", "i8", "by trigger", "what the rule saw"),
        Field("levers", "u2", "1", "row of `RtmTables.levers_q`; 0 but for an agent's screen"),
    ),
    doc="rules satisfied in this tick, inside the role",
)

CALLERS = sparse_schema(
    "Caller",
    (
        Field("last_s", "i4", "s", "end of the latest call"),
        Field("n", "u1", "calls", "calls remembered, 255 at most"),
        Field("reason", "u1", "code", "reason of the latest call"),
    ),
    doc="who has called the contact centre of late",
)
