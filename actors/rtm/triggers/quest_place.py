"""Quest: a line that is in a game is believed in one of the places (initiative G5)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class QuestPlace(Params):
    """Options of `quest_place`."""

    kind: int = Field(default=0, ge=0, le=2, description="place: 0 mall, 1 airport, 2 shop")


@trigger("quest_place", on="dwell", params=QuestPlace)
def fires(row, p):
    """Fire on each visit until the game is finished."""
    return (row.fence_kind == p.kind) & (row.game == 1)
