"""The global roles of the twin, stepped together after the hosts.

It owns which rows reach which of them and what they hand back.  It must not know how they work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actors import messages as m
from actors.cells.actor import CellActor
from actors.channels.actor import ChannelActor
from actors.contact_centre.actor import ContactCentreActor
from actors.learner.actor import LearnerActor
from actors.loyalty.actor import LoyaltyActor
from sim.core.columns import empty_rows
from sim.runtime.globals import Command, GlobalResult


class TwinGlobals:
    """The global roles of the twin: cells, channels, the contact centre, loyalty, learner."""

    def __init__(
        self,
        cells: CellActor,
        channels: ChannelActor,
        centre: ContactCentreActor,
        loyalty: LoyaltyActor,
        learner: LearnerActor,
    ) -> None:
        self.cells = cells
        self.channels = channels
        self.centre = centre
        self.loyalty = loyalty
        self.learner = learner

    def arrays(self) -> dict[str, Any]:
        """Return what cells offer now, and what the engine is to believe where it learns."""
        told = {"CellQuality": {k: v.copy() for k, v in self.cells.quality().items()}}
        return told | ({"Beliefs": self.learner.beliefs()} if self.learner.moves else {})

    def on_tick(
        self, tick: Any, load: np.ndarray, gathered: dict[str, Any], commands: Sequence[Command]
    ) -> GlobalResult:
        """Step every global role."""
        hour = self.cells.on_tick(tick, load, commands)
        deliveries = self.channels.on_tick(
            tick, gathered["Intent"], commands, gathered.get("Touch")
        )
        outcomes = self.centre.on_tick(tick, gathered.get("Call", empty_rows(m.CALL)), commands)
        grants = self.loyalty.on_tick(tick, gathered.get("Claim", empty_rows(m.CLAIM)))
        lessons = gathered.get("Lesson", empty_rows(m.LESSON))
        self.learner.on_tick(tick, lessons, self.channels.tally())
        tables = {"quality": self.cells.quality_rows()}
        if hour is not None:
            tables["cells"] = hour
        return GlobalResult(
            {
                "Delivery": deliveries,
                "Placed": self.channels.placed,
                "CallOutcome": outcomes,
                "Grant": grants,
            },
            self.arrays(),
            {
                **self.cells.tally(),
                **self.channels.tally(),
                **self.centre.tally(),
                **self.loyalty.tally(),
                **self.learner.tally(),
            },
            self.ledger(),
            tables,
        )

    def ledger(self) -> dict[str, int]:
        """Return the messages that wait, and the calls."""
        return {**self.channels.ledger(), **self.centre.ledger()}

    def digest(self) -> dict[str, int]:
        """Return the digest of each global role."""
        return {
            "Cells": self.cells.digest(),
            "Channels": self.channels.digest(),
            "ContactCentre": self.centre.digest(),
            "Loyalty": self.loyalty.digest(),
            "Learner": self.learner.digest(),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the state of each."""
        return {
            "cells": self.cells.snapshot(),
            "channels": self.channels.snapshot(),
            "contact_centre": self.centre.snapshot(),
            "loyalty": self.loyalty.snapshot(),
            "learner": self.learner.snapshot(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.cells.restore(saved["cells"])
        self.channels.restore(saved["channels"])
        self.centre.restore(saved["contact_centre"])
        self.loyalty.restore(saved["loyalty"])
        self.learner.restore(saved["learner"])
