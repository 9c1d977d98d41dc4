"""The state of a server: profiles and engine state of every line, at the start or at a checkpoint.

It owns the two tables, the clock and the names of what stands in them.  It must not know how a
decision is asked for, nor keep anything latent: of a built world only the engine's part stays.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from actors.learner.actor import LearnerActor
from actors.metrics import RTM_METRICS
from actors.profile import PROFILE
from actors.rtm.actor import RtmCounters
from actors.rtm.beliefs import renewed
from actors.rtm.inbound import RULE, inbound_tables
from actors.rtm.state import (
    ALIVE,
    BLACK,
    CONSENT,
    CONTACTS,
    CONTROL,
    HELD,
    PARTICIPATION,
    STATE,
    TAKEN,
    TRIAL,
)
from scenarios.equilibrium import equilibrium
from scenarios.saving import identity_of
from scenarios.world import LINES_AT_ONCE, World, build_world, load_geography
from sim.core.actor import Rows
from sim.core.columns import Columns, concat_rows
from sim.core.errors import ScenarioError
from sim.core.metrics import new_tally
from sim.core.partition import Partition
from sim.core.sparse import Sparse
from sim.runtime import checkpoint

LOG = logging.getLogger(__name__)
_NO_RULES, _NO_TRIALS, _NO_CAMPAIGNS = Sparse(HELD), Sparse(TRIAL), Sparse(PARTICIPATION)


@dataclass(frozen=True)
class Clock:
    """Simulated time: wall time multiplied.

    Attributes
    ----------
    start : local time of the scenario's start
    first_ms : simulated ms at which the server stood at wall moment `began_s` (monotonic)
    speed : simulated over wall seconds
    """

    start: datetime
    first_ms: int
    began_s: float
    speed: float

    def now_ms(self) -> int:
        """Return simulated ms since the start of the scenario."""
        return self.first_ms + int((time.monotonic() - self.began_s) * self.speed * 1000)

    def text(self, ts_ms: int) -> str:
        """Return a moment as local time of the scenario, to the second."""
        return (self.start + timedelta(milliseconds=ts_ms)).isoformat(" ", "seconds")


@dataclass
class Serving:
    """Everything that decisions need.

    Attributes
    ----------
    profile, state : one row for each line; the last row stands in for an unknown customer
    contacts, taken : what only some lines have: further contacts, and acceptances
    tables : `RtmTables` with the inbound rule, whose index is `rule`
    n_lines : lines of the population, reserved ones not counted
    offers : (name, title, group) of each use case
    enabled : False decides nothing: every answer is empty
    identity : to what a journal belongs
    """

    profile: Columns
    state: Columns
    contacts: Sparse
    taken: Sparse
    tables: Any
    rule: int
    n_lines: int
    counters: Any
    clock: Clock
    offers: tuple[tuple[str, str, str], ...]
    tariffs: tuple[str, ...]
    regions: tuple[str, ...]
    enabled: bool
    identity: dict[str, str]

    def tables_of_lines(self) -> tuple[Sparse, ...]:
        """Return the sparse tables in the order of an `EngineView`; an answer satisfies no rule."""
        return self.contacts, self.taken, _NO_RULES, _NO_TRIALS, _NO_CAMPAIGNS

    @property
    def nobody(self) -> int:
        """Return the row that stands in for an unknown customer."""
        return self.state.n - 1


def build_serving(
    loaded: Any,
    *,
    run: Path | None = None,
    speed: float = 1.0,
    told: Callable[[str], None] = lambda _: None,
) -> Serving:
    """Build the world of a scenario and keep the engine's part of it.

    Parameters
    ----------
    run : folder of a run whose newest checkpoint is the state; None is the start
    speed : simulated over wall seconds
    told : called with what is being done

    Raises
    ------
    ScenarioError : the run belongs to another scenario, or has no checkpoint
    """
    if loaded.model.rtm.arbitration == "oracle":
        raise ScenarioError(
            "the oracle knows the truth of a run, and a server has none", path="rtm.arbitration",
            found="oracle", expected="propensity, uplift or random",
        )  # fmt: skip
    told("building the world")
    geo = load_geography(loaded)
    donors = equilibrium(loaded, geo, hosts=os.cpu_count() or 1)
    world = build_world(loaded, geo, donors=donors, sampled=np.zeros(0, np.int64))
    profile, state, contacts, taken = _columns(world)
    tick, enabled = -1, world.rtm.enabled
    learner = LearnerActor(world.learner_tables, world.labels)
    if run is not None:
        told("reading the checkpoint")
        tick, enabled = _take_checkpoint(run, loaded, state, (contacts, taken), learner)
    _stand_in(profile, state)
    # What was learned until then holds from then on: a server hears of no answer.  How long a
    # decision takes is here no draw.
    tables = world.rtm.tables
    tables = tables._replace(belief=renewed(tables.belief, learner.beliefs()), timeout_ms=0)
    inbound, rule = inbound_tables(tables, len(loaded.catalogue.offers))
    # What `decide` counts by rule and by channel has one more row than in a run.
    labels = {
        **world.labels,
        "trigger": (*(name for name in world.labels["trigger"] if name != RULE), RULE),
        "channel": (*world.labels["channel"], RULE),
    }
    first_ms = min((tick + 1) * world.clock.tick_ms, world.clock.end_ms)
    clock = Clock(
        datetime.fromisoformat(loaded.model.clock.start), first_ms, time.monotonic(), speed
    )
    identity = {key: str(value) for key, value in identity_of(loaded).items()}
    return Serving(
        profile, state, contacts, taken, inbound, rule, world.n_start,
        RtmCounters(**new_tally(RTM_METRICS, labels)), clock,
        tuple((o.offer, o.title, o.group) for o in loaded.catalogue.offers.values()),
        tuple(loaded.catalogue.tariffs), tuple(str(x) for x in geo.region_names), enabled,
        {**identity, "tick": str(tick)},
    )  # fmt: skip


def _take_checkpoint(
    run: Path, loaded: Any, state: Columns, tables: tuple[Sparse, ...], learner: LearnerActor
) -> tuple[int, bool]:
    """Put the engine's columns, sparse tables and beliefs of the newest checkpoint into a state.

    Returns
    -------
    tick, enabled : after which tick it was taken, and whether the engine was on
    """
    folder = run / "checkpoints"
    if not any(folder.glob("tick-*")):
        raise ScenarioError(
            "the run has no checkpoint to serve from", file=run,
            found="no folder checkpoints/tick-*",
            expected="a run that was stopped (--stop-at 18:00), or one with "
            "--set placement.checkpoint_s=60",
        )  # fmt: skip
    on: list[bool] = []
    rows: dict[int, Mapping[str, Rows]] = {}

    def take(saved: checkpoint.Saved) -> None:
        for part in saved.lines:
            # The roles of a range of lines may lie in several files.
            kept = saved.read(part)["roles"].get("rtm")
            if kept is not None:
                on.append(bool(kept["enabled"]))
                rows[part.first] = kept
                for name, array in kept["state"].items():
                    state[name][part.first : part.last] = array

    saved, warnings = checkpoint.restore(folder, run=identity_of(loaded), apply=take)
    for warning in warnings:
        LOG.warning(warning)
    _join(tables, list(rows.values()))
    learner.restore(saved.rest()["globals"]["learner"])
    return saved.tick, on[-1]


def _join(tables: tuple[Sparse, ...], parts: list[Mapping[str, Rows]]) -> None:
    """Put the rows of partitions into sparse tables of all lines."""
    for table in tables:
        name = table.schema.name
        table.restore(concat_rows(table.schema, [dict(part[name]) for part in parts]))


def _columns(world: World) -> tuple[Columns, Columns, Sparse, Sparse]:
    """Build every line in pieces, so that what belongs to other roles never lies there whole.

    Returns
    -------
    profile, state : one row for each line and one more
    contacts, taken : `CONTACTS` and `TAKEN`
    """
    parts: list[Mapping[str, Rows]] = []
    profile = Columns(PROFILE, world.n_lines + 1)
    state = Columns(STATE, world.n_lines + 1)
    for k, first in enumerate(range(0, world.n_lines, LINES_AT_ONCE)):
        last = min(first + LINES_AT_ONCE, world.n_lines)
        engine = world.build(Partition(k, first, last))[2]
        parts.append({table.schema.name: table.snapshot() for table in engine.tables()})
        for ours, theirs in ((profile, engine.profile), (state, engine.columns)):
            for name, array in theirs.arrays.items():
                ours[name][first:last] = array
    contacts, taken = Sparse(CONTACTS), Sparse(TAKEN)
    _join((contacts, taken), parts)
    return profile, state, contacts, taken


def _stand_in(profile: Columns, state: Columns) -> None:
    """Let the last row be a line for which everything is computed, as for any other."""
    flags = state["flags"][:-1]
    usual = (flags & (ALIVE | CONSENT | BLACK | CONTROL)) == (ALIVE | CONSENT)
    row = int(np.argmax(usual))
    for columns in (profile, state):
        for array in columns.arrays.values():
            array[-1] = array[row]
