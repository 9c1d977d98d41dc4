"""Quest step: a step of a game was done that opens a decision."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class QuestStepDone(Params):
    """Options of `quest_step`."""

    number: int = Field(default=1, ge=1, le=255, description="`opens` of the step of the quest")


@trigger("quest_step", on="quest", params=QuestStepDone)
def fires(row, p):
    """Fire when a step with the number is done."""
    return row.ref == p.number
