"""The base of every configuration model.

It owns the rules that all of them share: frozen, unknown keys refused, every field described.
It must not know a file format.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """A frozen set of options with units in their names."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
