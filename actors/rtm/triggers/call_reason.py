"""Call: somebody called the contact centre, for a reason that opens advice (initiative R4)."""

from __future__ import annotations

from pydantic import Field

from actors import messages as m
from actors.rtm.triggers import trigger
from sim.core.params import Params


class CallReason(Params):
    """Options of `call_reason`."""

    first: int = Field(default=0, ge=0, le=255, description="first reason, one of `CALL_REASONS`")
    last: int = Field(default=255, ge=0, le=255, description="last reason, one of `CALL_REASONS`")
    unhappy: int = Field(
        default=0, ge=0, le=1, description="1: only where nobody answered the call"
    )


@trigger("call_reason", on="call", params=CallReason)
def fires(row, p):
    """Fire when the call has ended."""
    reason = (row.code >= p.first) & (row.code <= p.last)
    return reason & ((p.unhappy == 0) | (row.kind != m.CALL_ANSWERED))
