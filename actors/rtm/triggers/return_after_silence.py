"""Return after silence: the first event of a line after many silent days (initiative B4)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class ReturnAfterSilence(Params):
    """Options of `return_after_silence`."""

    days: int = Field(default=30, ge=1, le=365, description="silent days, whole")


@trigger("return_after_silence", on="first", params=ReturnAfterSilence)
def fires(row, p):
    """Fire on the first event."""
    return row.silent_days >= p.days
