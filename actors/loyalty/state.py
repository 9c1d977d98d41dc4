"""State of the loyalty role: teams, their members, and what they have done together.

It owns the columns that `LoyaltyActor` alone changes.
"""

from __future__ import annotations

from sim.core.columns import Field, Schema

MEMBER = Schema(
    "TeamMember",
    (
        Field("sub", "i4", "1", "global id of the line"),
        Field("quest", "i2", "1", "which quest", named=True),
        Field("team", "i4", "1", "which team"),
    ),
    doc="lines in teams",
)
TEAM = Schema(
    "TeamStep",
    (
        Field("quest", "i2", "1", "which quest", named=True),
        Field("team", "i4", "1", "which team"),
        Field("step", "u1", "1", "which step"),
        Field("units", "i8", "by step", "progress of all members together"),
    ),
    doc="what teams have done",
)
