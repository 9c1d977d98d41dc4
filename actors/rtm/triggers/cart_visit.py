"""Cart visit: a shop's cart was opened (initiative T1, first half)."""

from __future__ import annotations

from pydantic import Field

from actors.rtm.triggers import trigger
from sim.core.params import Params


class CartVisit(Params):
    """Options of `cart_visit`."""

    kind: int = Field(default=2, ge=0, le=5, description="visit kind: 2 cart, 3 rival, 5 travel")


@trigger("cart_visit", on="visit", params=CartVisit)
def fires(row, p):
    """Fire on each visit of the kind."""
    return row.ref == p.kind
