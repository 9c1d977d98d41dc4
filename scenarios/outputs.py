"""What a run hands to the recorder and the KPIs: tables, names of codes, geography, context.

It owns the mapping from the run's dense indices to names.  It must not compute a figure.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm.campaign_tables import case_names
from actors.rtm.params import BUYING_KINDS
from scenarios.api import shipped_geographies
from scenarios.campaigns import campaign_offers
from scenarios.kpis import HOUR_MS, PER_HOUR, PER_TICK, Context, kpis
from scenarios.kpis_campaigns import CampaignInfo
from scenarios.kpis_cases import CaseInfo
from scenarios.kpis_loyalty import QuestInfo
from scenarios.world import LINES_AT_ONCE, World
from sim.core.columns import Schema
from sim.record.recorder import Recorder
from sim.record.tables import ByColumn


def recorded_tables() -> dict[str, tuple[Schema, ...]]:
    """Return recorded table -> message schemas whose columns it joins."""
    return {
        "activity": (m.ACTIVITY, m.RATED),
        "account_events": (m.ACCOUNT_EVENT,),
        "decisions": (m.DECISION,),
        "truth": (m.TRUTH,),
        "deliveries": (m.DELIVERY,),
        "calls": (m.CALL_OUTCOME,),
        "credits": (m.CREDIT,),
        "grants": (m.GRANT,),
        "detections": (m.DETECTION,),
        "recorded": (m.RECORDED,),
        "replayed": (m.REPLAYED,),
    }


BOUND = "bound"
"""Table of the lines that replay a recording."""


def decode_map(labels: dict[str, tuple[str, ...]]) -> dict[tuple[str, str], Any]:
    """Return (table, column) -> names of its codes."""
    activity_code = ByColumn(
        "kind",
        {
            m.USAGE: m.RATING_GROUPS, m.BLOCKED: m.RATING_GROUPS, m.LOCATION: m.PROCEDURES,
            m.PURCHASE: ("organic", "offered"), m.RESPONSE: m.RESPONSES,
        },
    )  # fmt: skip
    cases, channels = labels["use_case"], labels["channel"]
    out: dict[tuple[str, str], Any] = {
        ("activity", "kind"): m.ACTIVITY_KINDS,
        ("activity", "code"): activity_code,
        ("activity", "result"): m.RESULTS,
        ("account_events", "kind"): m.ACCOUNT_KINDS,
        ("decisions", "trigger"): labels["trigger"],
        ("decisions", "use_case"): cases,
        ("decisions", "reason"): m.REASONS,
        ("decisions", "channel"): channels,
        ("credits", "kind"): ("reward", "trust_credit", "gift", "cancel"),
        ("credits", "use_case"): cases,
        ("credits", "quest"): labels["quest"],
        ("detections", "fence"): labels["fence"],
        ("calls", "reason"): m.CALL_REASONS,
        ("calls", "result"): m.CALL_RESULTS,
        ("calls", "centre"): labels["centre"],
        ("grants", "quest"): labels["quest"],
        ("grants", "kind"): m.GRANTS,
    }
    for table in ("truth", "deliveries"):
        out[table, "use_case"] = cases
        out[table, "channel"] = channels
        out[table, "status"] = m.STATUSES
    return out


def opening_tables(world: World, recorder: Recorder, folder: Any) -> None:
    """Write what is known at the start: the lines that replay a recording, and the map of the run,
    cells, hexes with the lines that live there, geofences.
    """
    from scenarios.population import homes

    if len(world.subscribers.bound):
        recorder.write_table(BOUND, {"sub": world.subscribers.bound})
    geo = world.geo
    if geo is None:
        return
    recorder.write_table("geo_cells", {
        "cell": np.arange(geo.n_cell, dtype=np.int32), "lat": geo.cell_lat, "lon": geo.cell_lon,
        "site": geo.cell_site, "azimuth": geo.cell_azimuth_deg, "rat": geo.cell_rat,
        "capacity_kbps": geo.cell_capacity_kbps, "fence": geo.cell_fence,
    })  # fmt: skip
    lines = np.zeros(geo.n_hex, np.int64)
    for first in range(0, world.n_start, LINES_AT_ONCE):
        subs = np.arange(first, min(first + LINES_AT_ONCE, world.n_start), dtype=np.int64)
        lines += np.bincount(homes(world.seed, subs, world.population), minlength=geo.n_hex)
    recorder.write_table("geo_hexes", {
        "hex_id": geo.hex_id, "lat": geo.hex_lat, "lon": geo.hex_lon, "people": geo.hex_people,
        "subscribers": lines,
    })  # fmt: skip
    kinds = ("mall", "airport", "shop")
    features = [
        {
            "type": "Feature",
            "geometry": shape,
            "properties": {"name": name, "kind": kinds[int(kind)], "synthetic": bool(made)},
        }
        for name, kind, made, shape in zip(
            geo.fence_name, geo.fence_kind, geo.fence_synthetic, geo.fence_polygons, strict=True
        )
    ]
    folder.write_text(
        "geo_fences.geojson", json.dumps({"type": "FeatureCollection", "features": features})
    )


def notes_of(world: World, geography: str) -> list[str]:
    """Return what a reader should know of a geography of their own; of shipped ones all is known.

    Parameters
    ----------
    geography : name or folder, as the scenario says
    """
    if world.geo is None or geography in shipped_geographies():
        return []
    return list(world.geo.warnings)


def case_infos(loaded: Any) -> dict[str, CaseInfo]:
    """Return what the KPIs need to know of each use case."""
    vat, level = loaded.model.billing.vat, loaded.model.money.price_level
    return {
        name: CaseInfo(
            group=offer.group,
            title=offer.title,
            service=offer.policy.service,
            # A coupon is counted as our commission already.
            revenue_share=1.0 if offer.product.kind == "coupon" else 1 - vat,
            unit_cost_minor=round(offer.product.unit_cost_minor * level),
            saved_minor=round(offer.product.saved_minor * level),
            buys=offer.product.kind in BUYING_KINDS,
            initiative=offer.initiative.code if offer.initiative else "",
            branch=offer.initiative.branch if offer.initiative else "",
            local_percent=offer.control.local_percent,
            person_months=offer.initiative.workshop.person_months if offer.initiative else None,
            test=offer.eligible.variant.test if offer.eligible.variant else "",
            arm=offer.eligible.variant.arm if offer.eligible.variant else 0,
        )
        for name, offer in (
            *loaded.catalogue.offers.items(),
            *((o.offer, o) for o in campaign_offers(loaded.catalogue)),
        )
    }


def campaign_infos(loaded: Any, world: World) -> dict[str, CampaignInfo]:
    """Return what the KPIs need to know of each campaign."""
    return {
        name: CampaignInfo(
            title=campaign.title,
            cases={
                group.group: cases
                for group, cases in zip(campaign.groups, case_names(campaign), strict=True)
            },
            expected=world.audiences[name].lines,
        )
        for name, campaign in loaded.catalogue.campaigns.items()
    }


def quest_infos(loaded: Any) -> dict[str, QuestInfo]:
    """Return what the KPIs need to know of each quest."""
    level = loaded.model.money.price_level
    return {
        name: QuestInfo(
            partner=quest.partner,
            partner_share=quest.partner_share,
            partner_fee_minor=round(quest.partner_fee_minor * level),
        )
        for name, quest in loaded.catalogue.quests.items()
    }


def run_context(
    world: World, loaded: Any, recorder: Recorder, ledger: dict[str, int], opening: dict[str, int]
) -> dict[str, Any]:
    """Return the content of `kpis.json` of a recorded run."""
    scenario = loaded.model
    hour, minute = scenario.clock.start.split("T")[1].split(":")
    context = Context(
        sim_ms=world.clock.end_ms,
        tick_s=scenario.clock.tick_s,
        start_hour=int(hour) + int(minute) / 60,
        subscribers=scenario.population.subscribers,
        cells=world.plan.n_cells,
        represents=scenario.population.represents,
        currency=scenario.money.currency,
        vat=scenario.billing.vat,
        horizon_days=scenario.subscribers.answers.horizon_days,
        universal_control_percent=scenario.rtm.universal_control_percent,
        a_a=not scenario.rtm.enabled or scenario.subscribers.answers.effects == 0,
        use_cases=case_infos(loaded),
        quests=quest_infos(loaded),
        campaigns=campaign_infos(loaded, world),
        prices=scenario.money.costs,
        price_level=scenario.money.price_level,
    )
    stocks = {
        **ledger,
        "active": ledger["accounts_active"],
        "active_start": opening["accounts_active"],
        "suspended": ledger["accounts_suspended"],
        "churned": ledger["accounts_churned"],
        "reserved": ledger["accounts_reserved"],
        "satisfaction_sum_q": ledger["satisfaction_q"]
        * ledger["accounts_active"]
        // max(ledger["lines"], 1),
    }
    return kpis(
        recorder.totals,
        world.labels,
        context=context,
        stocks=stocks,
        per_tick=recorder.series(PER_TICK),
        per_hour=recorder.series(PER_HOUR, every_ms=HOUR_MS),
    )
