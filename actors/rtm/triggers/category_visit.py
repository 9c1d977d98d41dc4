"""Visited category: many pages of one kind in one visit (initiative T2b)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class CategoryVisit(Params):
    """Options of `category_visit`."""

    kind: int = Field(default=4, ge=0, le=5, description="visit kind: 4 finance, 5 travel")
    pages_min: int = Field(default=10, ge=1, le=64, description="least pages of the visit")


@trigger("category_visit", on="visit", params=CategoryVisit)
def fires(row, p):
    """Fire on a visit that is deep enough to mean something."""
    return (row.ref == p.kind) & (row.units >= p.pages_min)
