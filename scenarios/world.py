"""From a scenario to a world: tables, routes, and the builder of a partition's roles.

It owns the composition: which role gets which part of the scenario.  The truth part of an offer
goes to the subscriber role and to no other.  It must not run ticks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from actors import messages as m
from actors.billing.actor import BillingActor, BillingWorld
from actors.billing.tables import compile_tables as billing_tables
from actors.cells.actor import CellActor
from actors.cells.actor import compile_tables as cell_tables
from actors.channels.actor import ChannelActor
from actors.channels.actor import compile_tables as channel_tables
from actors.contact_centre.actor import ContactCentreActor
from actors.learner.actor import LearnerActor
from actors.loyalty.actor import LoyaltyActor
from actors.metrics import ARMS, BUCKETS, SUBSCRIBER_METRICS
from actors.profile import ProfileTables
from actors.rtm.actor import RtmActor, RtmWorld
from actors.rtm.params import NEEDS, SEGMENTS
from actors.rtm.quality import watched_lines
from actors.rtm.state import ANSWERED
from actors.rtm.tables import bind, dwell_seconds
from actors.rtm.tables import compile_tables as rtm_tables
from actors.subscribers.actor import SubscriberActor, SubscriberCounters, SubscriberWorld
from actors.subscribers.tables import activity_factors
from actors.subscribers.tables import compile_tables as subscriber_tables
from actors.subscribers.touch import compile_touch
from geo.geography import Geography
from geo.territory import LAYOUT_SEED, build_geography
from scenarios import centre
from scenarios.campaigns import Size, campaign_offers, rule_labels, with_campaigns
from scenarios.games import compile_games
from scenarios.global_roles import TwinGlobals
from scenarios.learning import compile_learning, with_truth
from scenarios.population import (
    Donors,
    PopulationTables,
    build_people,
    copy_donors,
    fresh_rtm,
    plan_first_day,
    rough_billing,
    settle,
)
from scenarios.topology import TOPOLOGY
from sim.core import quantiles, rng
from sim.core.metrics import new_tally
from sim.core.partition import Partition
from sim.core.ticks import DAY_MS, Calendar
from sim.core.topology import check_contracts
from sim.runtime.coordinator import Clock
from sim.runtime.host import HostPlan

FULL_SCALE = 78_000_000
"""Lines for which the catalogue states the capacity of channels."""
SAMPLE_LINES = 1_500
DIGEST_LINES = 1_000
SLICE_ROWS = 1 << 16
LINES_AT_ONCE = 1 << 18
"""Lines looked at together where all of them are passed: no array grows with the population."""


def cache_dir() -> Path:
    """Return the folder for built geographies and pilots: `TWIN_CACHE`, or the user's cache."""
    chosen = os.environ.get("TWIN_CACHE")
    base = Path(chosen) if chosen else Path.home() / ".cache" / "operator-twin"
    base.mkdir(parents=True, exist_ok=True)
    return base


@dataclass(frozen=True)
class World:
    """Everything that a run shares between its partitions; it can be sent to another process.

    Attributes
    ----------
    n_lines : lines in all, those that join later included
    n_start : lines at the start
    weight : real lines for which one simulated line stands
    geo : the geography; not sent to other processes
    audiences : expected size of the audience of each campaign
    """

    scenario: Any
    n_lines: int
    n_start: int
    weight: float
    seed: int
    labels: dict[str, tuple[str, ...]]
    clock: Clock
    plan: HostPlan
    subscribers: SubscriberWorld
    billing: BillingWorld
    rtm: RtmWorld
    population: PopulationTables
    channel_tables: Any
    cell_tables: Any
    centre_tables: Any
    loyalty_tables: Any
    learner_tables: Any
    donors: Donors | None = None
    geo: Geography | None = None
    audiences: dict[str, Size] = field(default_factory=dict)

    def build(self, partition: Partition) -> tuple[SubscriberActor, BillingActor, RtmActor]:
        """Build the roles of a partition in forward order, a pure function of its lines."""
        first = partition.first
        profile, people = build_people(self.seed, first, partition.last, self.population)
        reserved = np.arange(first, partition.last) >= self.n_start
        money = rough_billing(
            self.seed,
            first,
            profile,
            self.billing.tables,
            self.subscribers.tables.month_minor,
            people["activity"],
            reserved,
            self.population,
        )
        engine = fresh_rtm(self.seed, first, profile, people, self.population, reserved)
        contacts = None
        if self.donors is not None:
            contacts = copy_donors(
                self.seed,
                first,
                profile,
                people,
                money,
                engine,
                self.donors,
                self.population,
                reserved,
            )
            settle(people.view, engine.view, self.subscribers.tables, rng.seed64(self.seed), first)
        counters = SubscriberCounters(**new_tally(SUBSCRIBER_METRICS, self.labels))
        plan_first_day(
            self.seed,
            first,
            profile,
            people,
            self.subscribers.tables,
            self.clock.calendar,
            counters,
        )
        roles = (
            SubscriberActor(self.subscribers, first, profile, people),
            BillingActor(self.billing, first, profile, money),
            RtmActor(self.rtm, first, profile, engine, contacts, self._judged(partition)),
        )
        return with_truth(self.scenario, roles)

    def _judged(self, partition: Partition) -> np.ndarray:
        """Return the local rows of the lines whose triggers are judged."""
        share = self.scenario.rtm.capture.judged
        return watched_lines(self.seed, self.n_lines, share, partition.first, partition.last)

    def make_globals(self) -> TwinGlobals:
        """Build the global roles."""
        return TwinGlobals(
            CellActor(self.cell_tables, self.labels),
            ChannelActor(self.channel_tables, self.labels),
            ContactCentreActor(
                self.centre_tables, self.labels, enabled=self.scenario.contact_centre.enabled
            ),
            LoyaltyActor(self.loyalty_tables, self.labels),
            LearnerActor(self.learner_tables, self.labels),
        )


def make_labels(
    scenario: Any, catalogue: Any, geo: Geography, rules: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the labels of every metric dimension of a run."""
    return {
        "activity_kind": m.ACTIVITY_KINDS,
        "rating_group": m.RATING_GROUPS,
        "need": NEEDS,
        "use_case": (*catalogue.offers, *(o.offer for o in campaign_offers(catalogue))),
        "campaign": tuple(catalogue.campaigns),
        "channel": tuple(catalogue.channels),
        "centre": tuple(s.name for s in scenario.contact_centre.sites)
        if scenario.contact_centre.enabled
        else (),
        "call_reason": m.CALL_REASONS,
        "call_result": m.CALL_RESULTS,
        "fence": tuple(geo.fence_name),
        "trigger": centre.rule_labels(
            (*rules, *rule_labels(catalogue)),
            scenario,
            list(catalogue.channels.values()),
            len(catalogue.offers),
        ),
        "reason": m.REASONS,
        "result": m.RESULTS,
        "account_kind": m.ACCOUNT_KINDS,
        "lifecycle": m.LIFECYCLES,
        "bucket": BUCKETS,
        "arm": ARMS,
        "lot": tuple(f"lot {k}" for k in range(len(scenario.rtm.lots) or 1)),
        "quest": tuple(catalogue.quests),
        "hour_of_day": tuple(f"{h:02d}" for h in range(24)),
    }


def n_joining(scenario: Any) -> int:
    """Return how many lines join in the run: as many as leave in the mean."""
    month = scenario.subscribers.leaving.churn_month
    share = month * scenario.clock.days / 30
    return math.ceil(scenario.population.subscribers * share)


def make_calendar(scenario: Any, geo: Geography) -> Calendar:
    """Return the calendar of a scenario."""
    shift = geo.region_tz_q.astype(np.int64) - geo.clock_tz_q
    return Calendar(datetime.fromisoformat(scenario.clock.start), shift, scenario.clock.weekly)


def _population_tables(
    scenario: Any, catalogue: Any, geo: Geography, sub_tables: Any
) -> PopulationTables:
    tariffs = list(catalogue.tariffs.values())
    pop, rtm = scenario.population, scenario.rtm
    start = geo.cell_fence_start
    best = np.full(len(start) - 1, -1, np.int16)
    has = np.diff(start) > 0
    best[has] = geo.cell_fence_ix[start[:-1][has]]
    spot_fence = best[geo.spot_cells[:, 0]]
    for k in range(1, geo.spot_cells.shape[1]):
        spot_fence = np.where(spot_fence < 0, best[geo.spot_cells[:, k]], spot_fence)
    profile = ProfileTables(
        tariff_cum=quantiles.cumulative(np.array([t.share for t in tariffs])),
        tariff_segment=np.array([SEGMENTS.index(t.segment) for t in tariffs], np.uint8),
        tariff_prepaid=np.array([t.prepaid for t in tariffs]),
        hex_region=geo.hex_region,
        consent=rng.threshold(rtm.consent_share),
        app=rng.threshold(min(rtm.app_share / max(pop.smartphone_share, 1e-9), 1.0)),
        black=rng.threshold(rtm.black_share),
        control=rng.threshold(rtm.universal_control_percent / 100),
        smartphone=rng.threshold(pop.smartphone_share),
        four_g=rng.threshold(pop.device_4g_share),
        m2m_segment=SEGMENTS.index("m2m"),
    )
    usage = scenario.subscribers.usage
    return PopulationTables(
        n_start=pop.subscribers,
        n_later=n_joining(scenario),
        hex_cum=np.cumsum(geo.hex_lines),
        join_ms=round(scenario.clock.days * DAY_MS),
        employed=rng.threshold(scenario.subscribers.mobility.employed_share),
        volume_q=sub_tables.volume_q,
        activity_factor=activity_factors(usage.activity_sigma),
        spot_fence=spot_fence,
        hex_work=geo.hex_work,
        daily_mb=usage.data_gb_month * 1000 / 30,
        silent=rng.threshold(
            scenario.subscribers.leaving.silences_per_1000_month
            / 30_000
            * float(sub_tables.silence_s.mean())
            / 86_400
        ),
        silence_s=sub_tables.silence_s,
        profile=profile,
    )


def _sampled(scenario: Any, n_lines: int) -> np.ndarray:
    """Return the sorted ids of the lines whose rows are kept: chosen by hash, and those watched."""
    share = scenario.record.sample
    if share < 0:
        share = min(1.0, SAMPLE_LINES / n_lines)
    limit = int(share * 4294967296)
    kept = []
    for first in range(0, n_lines, LINES_AT_ONCE):
        subs = np.arange(first, min(first + LINES_AT_ONCE, n_lines), dtype=np.int64)
        words = rng.draws(0, "recorded sample", subs)[:, 0].astype(np.int64)
        kept.append(subs[words < limit])
    watched = [sub for sub in scenario.record.watch if 0 <= sub < n_lines]
    return np.unique(np.concatenate([*kept, np.array(watched, np.int64)]))


def digest_stride(scenario: Any) -> int:
    """Return how sparse the digest of a tick is."""
    chosen = scenario.record.digest_stride
    return chosen or max(1, scenario.population.subscribers // DIGEST_LINES)


def _plan(scenario: Any, geo: Geography, n_lines: int, sampled: np.ndarray | None) -> HostPlan:
    epochs = max(1, -(-scenario.clock.tick_s // 900))
    return HostPlan(
        forward=(m.ACTIVITY, m.RATED, m.ACCOUNT_EVENT),
        joined={"activity": ("Activity", "Rated"), "account_events": ("AccountEvent",)},
        feedback=(m.ACCOUNT_EVENT, m.CREDIT, m.DETECTION, m.TRIGGERED),
        gather=(m.INTENT, m.CALL, m.TOUCH, m.CLAIM, m.LESSON),
        scatter=(m.DELIVERY, m.PLACED, m.CALL_OUTCOME, m.GRANT),
        record={"decisions": "Decision", "truth": "Truth"},
        inbox_tables={
            "Delivery": "deliveries",
            "CallOutcome": "calls",
            "Credit": "credits",
            "Grant": "grants",
            "Detection": "detections",
            "Recorded": "recorded",
            "Replayed": "replayed",
        },
        slice_rows=max(SLICE_ROWS, 64 * epochs * 8),
        n_cells=geo.n_cell,
        sampled=_sampled(scenario, n_lines) if sampled is None else sampled,
    )


def load_geography(loaded: Any) -> Geography:
    """Return the geography of a scenario, from the cache where it was built before."""
    model = loaded.model
    represents = model.population.represents or model.population.subscribers
    return build_geography(
        model.geography,
        subscribers_represented=represents,
        seed=LAYOUT_SEED,
        cache_dir=cache_dir(),
        base_dir=loaded.folder,
    )


def _check_roles() -> None:
    """Refuse roles that get or make other messages than the edges say."""
    check_contracts(
        TOPOLOGY.check(),
        {r.role: r.consumes for r in (SubscriberActor, BillingActor, RtmActor)},
        {r.role: r.produces for r in (SubscriberActor, BillingActor, RtmActor)},
    )


def _name_ids(offers: Sequence[Any], channels: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the name ids of use cases, and of channels without and with the bit of an answer."""
    ids = np.zeros(1 << 16, np.uint64)
    ids[: len(offers)] = [rng.name_id("offer:" + offer.offer) for offer in offers]
    ways = np.zeros(256, np.uint64)
    ways[: len(channels)] = [rng.name_id("channel:" + c.channel) for c in channels]
    ways[ANSWERED : ANSWERED + len(channels)] = [
        rng.name_id("answered:" + c.channel) for c in channels
    ]
    return ids, ways


def _channel_tables(scenario: Any, channels: Sequence[Any]) -> Any:
    """Return the tables of the channels, scaled down from the base that the catalogue states."""
    scale, level = scenario.population.subscribers / FULL_SCALE, scenario.money.price_level
    return channel_tables(channels, seed=scenario.seed, scale=scale, price_level=level)


def build_world(
    loaded: Any, geo: Geography, *, donors: Donors | None = None, sampled: np.ndarray | None = None
) -> World:
    """Return the world of a loaded scenario on a geography.

    Parameters
    ----------
    donors : equilibrium to start from; None starts from the rough state
    sampled : lines whose rows are kept, where the scenario's own choice is not wanted
    """
    scenario, catalogue = loaded.model, loaded.catalogue
    level = scenario.money.price_level
    tariffs = list(catalogue.tariffs.values())
    offers = [*catalogue.offers.values(), *campaign_offers(catalogue)]
    channels = list(catalogue.channels.values())
    calendar = make_calendar(scenario, geo)
    n_start = scenario.population.subscribers
    n_lines = n_start + n_joining(scenario)
    weight = (scenario.population.represents or n_start) / n_start
    bindings = bind(offers, level)
    labels = make_labels(scenario, catalogue, geo, [rule.label for rule in bindings.rules])
    sub_tables = subscriber_tables(
        scenario.subscribers,
        geo,
        tariffs=tariffs,
        offers=offers,
        channels=channels,
        billing=scenario.billing,
        price_level=level,
        dwell_s=dwell_seconds(scenario.rtm),
        start_quarter=calendar.start_quarter,
    )
    ids, ways = _name_ids(offers, channels)
    games = compile_games(loaded, geo, bindings.rules)
    learner, belief = compile_learning(scenario, offers, channels)
    engine = rtm_tables(
        scenario.rtm,
        geo,
        seed=scenario.seed,
        offers=offers,
        channels=channels,
        tariffs=tariffs,
        bindings=bindings,
        billing=scenario.billing,
        price_level=level,
        horizon_ms=sub_tables.horizon_ms,
        belief=belief,
        region_shift_q=calendar.region_shift_q,
        start_quarter=calendar.start_quarter,
    )
    _check_roles()
    world = World(
        scenario=scenario,
        n_lines=n_lines,
        n_start=n_start,
        weight=weight,
        seed=scenario.seed,
        labels=labels,
        clock=Clock(scenario.clock.tick_s * 1000, round(scenario.clock.days * DAY_MS), calendar),
        plan=_plan(scenario, geo, n_lines, sampled),
        subscribers=SubscriberWorld(
            *(scenario.seed, centre.attend(sub_tables, scenario, channels), labels),
            *(geo.n_cell, ids),
            calling=centre.calling(scenario),
            touch=compile_touch(channels),
            after_calls=centre.after_calls(scenario, channels),
            play=games.play,
        ),
        billing=BillingWorld(
            billing_tables(scenario.billing, tariffs=tariffs, offers=offers, price_level=level),
            labels,
        ),
        rtm=RtmWorld(
            *(engine, games.engine, bindings.compiled(), labels, scenario.rtm.enabled),
            *(len(offers), ids, ways),
            end_ms=round(scenario.clock.days * DAY_MS),
        ),
        population=_population_tables(scenario, catalogue, geo, sub_tables),
        channel_tables=_channel_tables(scenario, channels),
        cell_tables=cell_tables(scenario.cells, geo, weight=weight, n_lines=n_start),
        centre_tables=centre.queue_tables(scenario),
        loyalty_tables=games.loyalty,
        learner_tables=learner,
        donors=donors,
        geo=geo,
    )
    return centre.with_screen(with_campaigns(world, catalogue), catalogue)
