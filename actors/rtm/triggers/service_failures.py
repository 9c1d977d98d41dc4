"""Service failures: several refused or starved uses within a window (initiatives R1, R2)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class ServiceFailures(Params):
    """Options of `service_failures`; the engine's window is one hour."""

    count: int = Field(default=3, ge=1, le=15, description="failed uses within an hour")


def gone_back(row, p):
    """A new window has begun."""
    return row.failures < p.count


@trigger("service_failures", on="failure", params=ServiceFailures, back=gone_back)
def fires(row, p):
    """Fire on the failure that makes the number full."""
    return row.failures == p.count
