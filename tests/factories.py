"""One way to build a tiny world and to run it: every option set in a test means something.

A tiny world is the shipped default scenario with few lines, no pilot, and all rows recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from actors.books import CHECKS
from scenarios import load
from scenarios.world import World, build_world, load_geography
from sim.control.timeline import Entry, Timeline
from sim.core.metrics import Tally, add_into
from sim.core.partition import assign_hosts, make_partitions
from sim.core.ticks import make_tick
from sim.runtime.coordinator import Loop
from sim.runtime.embedded import EmbeddedRuntime, TickOutcome

Rows = dict[str, np.ndarray]

TINY = {"population.donor_days": 0, "population.donors": 500, "record.sample": 1.0}

MYOPIC = {
    "contact_centre.enabled": False,
    "rtm.cap.contacts": 15,
    "rtm.cap.per_days": 1,
    "rtm.quiet.from_h": 0,
    "rtm.quiet.to_h": 0,
    "rtm.universal_control_percent": 0,
    "rtm.consent_share": 1,
    "rtm.black_share": 0,
    "rtm.policy.grey.share": 0,
    "rtm.policy.red.share": 0,
    "rtm.capture.loss": 0,
    "subscribers.answers.fatigue_weight": 0,
    "subscribers.answers.trust_weight": 0,
    "subscribers.answers.opt_out_share": 0,
    "subscribers.leaving.churn_month": 0,
    "subscribers.leaving.silences_per_1000_month": 0,
    "subscribers.mobility.journeys_per_1000_month": 0,
}
"""No fatigue, trust, caps, quiet hours, losses, leaving or journeys: what truth.md 6.2 asks for."""

SLACK = {
    **{name: {"per_second": 1e6, "failure": 0.0} for name in ("sms", "push", "inapp")},
    "call": {"servers": 1e6, "failure": 0.0},
}
"""Patches of the shipped channels: capacity that nobody can exhaust."""

EVENTFUL = {
    "contact_centre.calls_per_1000_day": 500,
    "contact_centre.agents_scale": 0.4,
    "contact_centre.causes.fee_failed": 1,
    "contact_centre.causes.allowance_used": 0.2,
    "rtm.cap.contacts": 15,
    "rtm.learning.enabled": True,
    "rtm.learning.answer_hours": 3,
    "rtm.learning.forget_days": 1,
    "rtm.prices.enabled": True,
    "rtm.prices.step_minor": 1,
    "rtm.quiet.from_h": 0,
    "rtm.quiet.to_h": 0,
    "rtm.capture.loss": 0.01,
    "rtm.capture.judged": 0.1,
    "rtm.capture.sources": {
        "visit": {"late": 0.05, "twice": 0.05, "late_median_s": 1_800},
    },
    "subscribers.answers.seen_share": 1,
    "subscribers.answers.need_weight": 6,
    "subscribers.answers.delay_median_min": 60,
    "subscribers.answers.opt_out_share": 1,
    "subscribers.leaving.churn_month": 0.3,
    "subscribers.leaving.silences_per_1000_month": 300,
    "subscribers.mobility.journeys_per_1000_month": 300,
    "subscribers.needs.organic_share": dict.fromkeys(
        ("data", "roaming", "shopping", "money", "loyalty", "device"), 0.5
    ),
    "subscribers.needs.spontaneous_per_day": dict.fromkeys(
        ("data", "roaming", "shopping", "money", "loyalty", "device"), 0.16
    ),
    "subscribers.usage.visit_per_day": 20,
    "cells.slow_from": 0.05,
    "catalog.define": {
        "channels": {
            "sms": {"per_second": 200, "queue_max": 2},
            "push": {"per_second": 4_000, "failure": 0.3},
            "inapp": {"per_second": 4_000},
            "call": {"servers": 160_000},
            "ussd": {"visits_per_month": 30, "habit_sigma": 0.3, "reach": 0.5},
        },
        "quests": {
            "mall_explorer": {
                "opens_h": 0.5,
                "joins": 0.9,
                "app": False,
                "steps": [{"do": "use_data_mb", "at_least": 5}],
                "every_h": 23,
                "closes_h": 23,
                "budget_minor": 20_000_000,
                "prizes": [{"prize": "cup", "stock": 200, "chance": 0.5, "cost_minor": 900}],
                "play": {"outings": 0.5, "cheats": 0.2},
            },
            "crew": {
                "quest": "crew",
                "title": "A crew",
                "opens_h": 0.25,
                "closes_h": 20,
                "joins": 0.9,
                "app": False,
                "team_size": 4,
                "steps": [{"do": "use_data_mb", "at_least": 300}],
            },
        },
        "offers": {
            "mall_coupon": {"truth": {"b0": 1}},
            "traffic_data_pack": {"truth": {"b0": 1}, "policy": {"expires_min": 30}},
            "unfinished_purchase": {
                "truth": {"b0": 1},
                "when": {"cart_visit": {"kind": 1}},
                "treatments": [{"channel": c} for c in ("push", "ussd", "call")],
                "policy": {
                    "cap": {"contacts": 15, "per_days": 1},
                    "repeat": {"times": 3, "per_days": 30},
                },
            },
            "service_apology": {
                "when": {"service_failures": {"count": 1, "hysteresis": {"max_hits": 2}}},
            },
            "low_balance_credit": {
                "truth": {"b0": 3},
                "eligible": {"tenure_days_min": 0},
                "policy": {"lever": 50},
                "control": {"local_percent": 0},
            },
        },
    },
    "catalog.quests": ["crew", "mall_explorer"],
    "population.represents": 40_000,
}
"""A day on which much happens: congestion, answers, opt-outs, journeys, full queues, leaving."""


@functools.cache
def _scenario() -> Any:
    return load("city_day")


_GEOGRAPHIES: dict[str, Any] = {}


def tiny_world(*, subscribers: int = 200, days: float = 1.0, **options: Any) -> World:
    """Return a small world; `options` are values by dotted key of the scenario."""
    loaded = _scenario().with_(subscribers=subscribers, days=days, **{**TINY, **options})
    model = loaded.model
    represents = model.population.represents or model.population.subscribers
    key = f"{model.geography.model_dump_json()} {represents}"
    if key not in _GEOGRAPHIES:
        _GEOGRAPHIES[key] = load_geography(loaded)
    return build_world(loaded, _GEOGRAPHIES[key])


@functools.cache
def default_world(subscribers: int = 200, days: float = 1.0) -> World:
    """Return the unchanged tiny world of a size, built once in a session."""
    return tiny_world(subscribers=subscribers, days=days)


@functools.cache
def eventful_world(subscribers: int = 300, days: float = 1.0) -> World:
    """Return a tiny world on which much happens, built once in a session."""
    return tiny_world(subscribers=subscribers, days=days, **EVENTFUL)


def make_runtime(
    world: World,
    *,
    partitions: int = 2,
    hosts: int = 1,
    kind: Callable[..., Any] = EmbeddedRuntime,
    **more: Any,
) -> Any:
    """Return a runtime that holds every line of a world."""
    cut = make_partitions(world.n_lines, partitions)
    return kind(world.plan, assign_hosts(cut, hosts), world.build, world.make_globals(), **more)


@dataclass
class Run:
    """What a run left behind.

    Attributes
    ----------
    digest : digest of each role over every line, after the last tick
    totals : counts summed over ticks
    audit : (tick, name, expected, found, holds) of every check
    digests : per tick, the digests of the tick's share of lines
    samples : rows by recorded table, in the order of recording
    """

    world: World
    runtime: Any
    totals: Tally = field(default_factory=dict)
    audit: list[tuple[int, str, int, int, bool]] = field(default_factory=list)
    digests: list[dict[str, int]] = field(default_factory=list)
    samples: dict[str, list[Rows]] = field(default_factory=dict)
    digest: dict[str, int] = field(default_factory=dict)
    _sorted: dict[str, Rows] = field(default_factory=dict)

    def on_tick(
        self,
        tick: int,
        start_ms: int,
        tally: Tally,
        samples: Mapping[str, Rows],
        digests: dict[str, int],
        audit: Sequence[Any],
    ) -> None:
        """Take the record of a tick."""
        add_into(self.totals, tally)
        self.digests.append(dict(digests))
        self.audit += [(tick, *result) for result in audit]
        self._sorted.clear()
        for name, rows in samples.items():
            self.samples.setdefault(name, []).append({k: a.copy() for k, a in rows.items()})

    def rows(self, table: str) -> Rows:
        """Return the rows of a table sorted by (line, time); equals stay as recorded."""
        if table not in self._sorted:
            none = {"sub": np.zeros(0, np.int32), "ts_ms": np.zeros(0, np.int64)}
            parts = self.samples.get(table) or [none]
            joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            order = np.lexsort((joined["ts_ms"], joined["sub"]))
            self._sorted[table] = {name: array[order] for name, array in joined.items()}
        return self._sorted[table]


def run_world(
    world: World,
    *,
    partitions: int = 2,
    hosts: int = 1,
    kind: Callable[..., Any] = EmbeddedRuntime,
    timeline: Iterable[Entry] = (),
    on_tick: Callable[[Any, int, TickOutcome], None] | None = None,
    stop_ticks: int = 0,
    stride: int = 1,
    runtime: Any = None,
    first_tick: int = 0,
    **more: Any,
) -> Run:
    """Run a world, audited on every tick, and return what it left.

    Parameters
    ----------
    on_tick : hook called after each tick and before the audit with (runtime, index, outcome)
    stop_ticks : ticks to run at most; 0 runs to the end
    stride : one line in so many is digested in each tick
    runtime : a runtime that goes on from `first_tick`, in place of a new one
    more : options of the runtime's class
    """
    own = runtime or make_runtime(world, partitions=partitions, hosts=hosts, kind=kind, **more)
    run = Run(world, own)
    hook = None if on_tick is None else functools.partial(on_tick, own)
    clock = world.clock
    if stop_ticks:
        clock = replace(clock, end_ms=min(clock.end_ms, stop_ticks * clock.tick_ms))
    try:
        Loop(own, clock, Timeline(timeline), CHECKS, run, digest_stride=stride, on_tick=hook).run(
            first_tick
        )
        run.digest = own.digest()
    finally:
        own.close()
    return run


def ticks_of(world: World, n: int) -> list[Any]:
    """Return the first ticks of a world."""
    clock = world.clock
    return [
        make_tick(k, tick_ms=clock.tick_ms, end_ms=clock.end_ms, calendar=clock.calendar)
        for k in range(n)
    ]


def same_rows(a: Rows, b: Rows) -> bool:
    """Return whether two tables hold the same rows, byte for byte."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a
    )
