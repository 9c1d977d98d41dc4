"""A run of the twin as a recording: what a tape says of its run, and its replay line for line.

It owns the facts by which a tape and a scenario are told to be the same population, and the
account of what was replayed.  It must not know how parts are written or read.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors import messages as m
from scenarios.world import World, n_joining
from sim.core.errors import ScenarioError
from sim.core.ticks import DAY_MS
from sim.record.folder import RunFolder
from sim.record.tape import (
    FACTS_FILE,
    TAPE,
    VERSION,
    Tape,
    TapeSource,
    TapeTarget,
    metadata_of,
    open_tape,
)

SETTINGS = {
    "seed": "--seed",
    "subscribers": "--subscribers",
    "represents": "--set population.represents=",
    "lines": "the same clock.days and subscribers.leaving.churn_month",
    "tick_s": "--set clock.tick_s=",
    "geography": "the same geography",
    "cells": "the same geography",
    "data": "the same geography",
}
"""What must agree, because lines and cells are taken by their number, and how to set it."""


def facts_of(model: Any) -> dict[str, Any]:
    """Return what a scenario says of its population and clock, before anything is built."""
    geography = model.geography.model_dump_json()
    return {
        "seed": model.seed,
        "subscribers": model.population.subscribers,
        "represents": model.population.represents or model.population.subscribers,
        "lines": model.population.subscribers + n_joining(model),
        "tick_s": model.clock.tick_s,
        "geography": hashlib.sha256(geography.encode()).hexdigest()[:16],
    }


def ground_of(world: World) -> dict[str, Any]:
    """Return what a built geography says of its cells."""
    used = [] if world.geo is None else [dict(d) for d in world.geo.data_used]
    text = repr(sorted(sorted((k, str(v)) for k, v in d.items()) for d in used))
    return {
        "cells": world.plan.n_cells,
        "data": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def start_tape(world: World, loaded: Any, folder: RunFolder) -> World:
    """Write the facts of a new tape into a run; return the world whose hosts write its parts."""
    model = loaded.model
    path = folder.path.absolute() / TAPE
    path.mkdir(exist_ok=True)
    facts = {
        "version": VERSION,
        "columns": metadata_of(m.ACTIVITY)["twin.columns"],
        "kinds": [m.ACTIVITY_KINDS[k] for k in m.REPLAYED_KINDS],
        "scenario": model.scenario,
        "scenario_hash": loaded.hash(),
        "start": model.clock.start,
        "days": model.clock.days,
        "n_ticks": world.clock.n_ticks,
        **facts_of(model),
        **ground_of(world),
    }
    folder.write_json(f"{TAPE}/{FACTS_FILE}", facts)
    target = TapeTarget(path, m.ACTIVITY, m.REPLAYED_KINDS)
    return dataclasses.replace(world, plan=dataclasses.replace(world.plan, tape_to=target))


@dataclass
class TapeFeed:
    """A tape that drives every line of a scenario with the same population.

    Attributes
    ----------
    n_ticks : ticks that are replayed: all, or fewer where the run is to be shorter
    """

    tape: Tape
    n_ticks: int
    source: None = None
    """Hosts read their rows themselves: none pass through the loop."""

    @property
    def digest(self) -> str:
        """Return the digest of the rows that are replayed."""
        whole = self.n_ticks == self.tape.facts["n_ticks"]
        text = self.tape.digest + ("" if whole else f" {self.n_ticks}")
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def end_ms(self) -> int | None:
        """Return the end of a run that is shorter than the tape; None: it runs to the end."""
        facts = self.tape.facts
        whole = self.n_ticks == facts["n_ticks"]
        return None if whole else self.n_ticks * int(facts["tick_s"]) * 1000

    def scenario(self, loaded: Any, *, days: float | None) -> Any:
        """Return the scenario at the time of the tape, if it has the population of the tape.

        The population is that of the whole tape; `days` only ends the run earlier, at a tick.  A
        replay writes no tape: it would be a copy.

        Raises
        ------
        ScenarioError : seed, size, geography or tick differ; all that differs is named
        """
        facts = self.tape.facts
        loaded = loaded.with_(
            days=facts["days"], **{"clock.start": facts["start"], "record.tape": False}
        )
        self._require(facts_of(loaded.model))
        if days is not None:
            ticks = -(-round(days * DAY_MS) // (int(facts["tick_s"]) * 1000))
            self.n_ticks = min(ticks, int(facts["n_ticks"]))
        return loaded

    def bind(self, world: World) -> World:
        """Return the world in which every line replays what it did on the tape."""
        self._require(ground_of(world))
        parts = tuple(p for p in self.tape.parts if p.tick < self.n_ticks)
        source = TapeSource(self.tape.folder.absolute(), m.REPLAYED, parts)
        end_ms = self.end_ms or world.clock.end_ms
        return dataclasses.replace(
            world,
            subscribers=dataclasses.replace(world.subscribers, taped=True),
            plan=dataclasses.replace(world.plan, tape_from=source),
            clock=dataclasses.replace(world.clock, end_ms=end_ms),
        )

    def account(self) -> dict[str, Any]:
        """Return what the manifest says of the replay: rows read = applied + quarantined.

        Rows after the end of a run that is shorter than the tape are left out for that reason, and
        their parts are not opened.
        """
        facts = self.tape.facts
        rows = sum(part.rows for part in self.tape.parts)
        late = sum(part.rows for part in self.tape.parts if part.tick >= self.n_ticks)
        return {
            "mapping": TAPE,
            "digest": self.digest,
            "subscribers": facts["lines"],
            "rows_read": rows,
            "applied": rows - late,
            "derived": 0,
            "quarantined": late,
            "reasons": {"after_the_end": late} if late else {},
            "placeless": 0,
            "two_sides": {"agree": 0, "differ": 0, "one_side": 0},
            "gaps": [],
            "kinds": facts["kinds"],
        }

    def _require(self, found: dict[str, Any]) -> None:
        wrong = [key for key, value in found.items() if self.tape.facts[key] != value]
        if wrong:
            raise ScenarioError(
                "the tape was recorded from another population: its lines are not these",
                file=self.tape.folder / FACTS_FILE,
                found=", ".join(f"{key} {found[key]}" for key in wrong),
                expected=", ".join(
                    f"{key} {self.tape.facts[key]} ({SETTINGS[key]})" for key in wrong
                ),
            )


def tape_feed(folder: Path) -> TapeFeed:
    """Open a tape (`tape_folder`) as what drives a run."""
    tape = open_tape(folder, m.ACTIVITY)
    return TapeFeed(tape, int(tape.facts["n_ticks"]))
