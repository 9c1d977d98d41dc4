"""Campaigns of a scenario: their use cases, the size of their audiences, their tables.

A sub-group of a campaign is a use case: its offer with a price, channels and a control group of
its own, opened by the schedule instead of a trigger.  This module owns that translation.  It must
not know how a line is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors.rtm.campaign_params import Campaign, Group
from actors.rtm.campaign_rules import resolver
from actors.rtm.campaign_tables import RULE, CampaignTables, case_names, compile_campaigns
from actors.rtm.campaigns import count_audience
from actors.rtm.params import NEEDS, Cap, Control, Offer, Product, TreatmentParams
from scenarios.estimates import Estimate, share
from sim.core import rng
from sim.core.errors import ScenarioError
from sim.core.partition import Partition

SAMPLE_LINES, SAMPLE_PARTS = 16_384, 16
"""Lines that are asked for the size of an audience, in so many pieces spread over all ids."""


def rule_labels(catalogue: Any) -> tuple[str, ...]:
    """Return the label of the rule of campaigns, where there are any."""
    return (RULE,) if catalogue.campaigns else ()


def campaign_offers(catalogue: Any) -> list[Offer]:
    """Return the use cases of the campaigns of a catalogue, in the order of their tables."""
    return [
        offer
        for campaign in catalogue.campaigns.values()
        for group, names in zip(campaign.groups, case_names(campaign), strict=True)
        for wave, name in enumerate(names)
        for offer in [_case(campaign, group, wave, name, catalogue.offers)]
    ]


def _case(
    campaign: Campaign, group: Group, wave: int, name: str, offers: Mapping[str, Offer]
) -> Offer:
    """Return the use case of a sub-group and wave.

    Who is withheld is said by the first wave; further ones are for those who were contacted.
    """
    if campaign.survey is not None:
        return _asked_case(campaign, group, wave, name, offers)
    told = campaign.waves[wave - 1] if wave else None
    own = told is None or not told.offer
    base = offers[group.offer if told is None or own else told.offer]
    price = base.product.price_minor
    off = round(price * group.discount) if own else 0
    product = base.product.model_copy(
        update={
            "price_minor": price - off,
            "valid_days": group.valid_days or base.product.valid_days,
            # A campaign changes the same thing as the offer that it takes.
            "thing": base.product.thing or base.offer,
        }
    )
    channels = (told.channels if told else ()) or (group.channels if own else ())
    treatments = tuple(TreatmentParams(channel=c) for c in channels) or base.treatments
    return base.model_copy(
        update={
            "offer": name,
            "title": campaign.title,
            "when": {},
            "product": product,
            "margin_minor": base.margin_minor - off,
            "treatments": treatments,
            # Who may be asked again, and when, is said by the rules of participation.
            "policy": base.policy.model_copy(update={"cap": Cap(contacts=1, per_days=1)}),
            "control": Control(local_percent=0) if wave else campaign.control,
            "initiative": None,
        }
    )


def _asked_case(
    campaign: Campaign, group: Group, wave: int, name: str, offers: Mapping[str, Offer]
) -> Offer:
    """Return the use case of a question (`wave` 0), or of what one of its answers leads to."""
    survey = campaign.survey
    assert survey is not None
    told = survey.answers[wave - 1] if wave else None
    base = offers[group.offer if told is None else told.offer]
    channels = group.channels if told is None else told.channels
    changes: dict[str, Any] = {
        "offer": name,
        "title": campaign.title,
        "when": {},
        "treatments": tuple(TreatmentParams(channel=c) for c in channels) or base.treatments,
        "policy": base.policy.model_copy(update={"cap": Cap(contacts=1, per_days=1)}),
        "control": Control(local_percent=0) if wave else campaign.control,
        "initiative": None,
    }
    if told is None:
        # There is nothing to accept: whoever likes something says so by an answer.
        changes |= {
            "product": Product(kind="care"),
            "truth": base.truth.model_copy(update={"b0": -20.0, "relief": 0.0, "place": False}),
        }
    return base.model_copy(update=changes)


def with_questions(tables: Any, catalogue: Any) -> Any:
    """Return the subscribers' tables with what people make of the questions of campaigns.

    Parameters
    ----------
    tables : of a run whose use cases are the offers and those of the campaigns
    """
    share = [0.0] * len(catalogue.offers)
    needs: list[list[int]] = [[] for _ in share]
    for campaign in catalogue.campaigns.values():
        survey = campaign.survey
        for names in case_names(campaign):
            asks = survey is not None
            share += [survey.replies if survey else 0.0] + [0.0] * (len(names) - 1)
            liked = [NEEDS.index(a.category) for a in survey.answers] if survey else []
            needs += [liked if asks else [], *([] for _ in names[1:])]
    if not any(needs):
        return tables
    return tables._replace(
        case_reply=np.array([rng.threshold(x) for x in share], np.uint32),
        reply_start=np.cumsum([0, *(len(x) for x in needs)]).astype(np.int64),
        reply_need=np.array([kind for x in needs for kind in x], np.int64),
    )


def _resolve(catalogue: Any, geo: Any) -> Any:
    return resolver({"tariff": tuple(catalogue.tariffs), "region": tuple(geo.region_names)})


def with_campaigns(world: Any, catalogue: Any) -> Any:
    """Return a world with its campaigns: one more rule, that opens their use cases.

    Parameters
    ----------
    world : built without campaigns, whose use cases are there already, after the offers
    """
    campaigns = list(catalogue.campaigns.values())
    if not campaigns:
        return world
    tables = world.rtm.tables
    n_offers = len(catalogue.offers)
    n_cases = len(world.labels["use_case"])
    bound = np.asarray(tables.rule_cases[: tables.rule_start[-1]], np.int64)
    n_rules = len(tables.rule_start) - 1
    compiled = compile_world_campaigns(world, catalogue, {})
    sizes = audience_sizes(world, compiled, campaigns)
    compiled = compile_world_campaigns(world, catalogue, _passes(world, campaigns, sizes))
    tables = tables._replace(
        campaign=compiled,
        rule_id=np.append(tables.rule_id[:n_rules], np.uint32(rng.name_id("rule:" + RULE))),
        rule_need=np.append(tables.rule_need[:n_rules], np.uint8(0)),
        rule_start=np.append(tables.rule_start, np.int64(len(bound) + n_cases - n_offers)),
        rule_cases=np.concatenate([bound, np.arange(n_offers, n_cases, dtype=np.int64)]),
    )
    people = with_questions(world.subscribers.tables, catalogue)
    return replace(
        world,
        rtm=replace(world.rtm, tables=tables),
        subscribers=replace(world.subscribers, tables=people),
        audiences=sizes,
    )


def compile_world_campaigns(
    world: Any, catalogue: Any, pass_ms: Mapping[str, int]
) -> CampaignTables:
    """Return the tables of the campaigns of a world."""
    calendar, tables = world.clock.calendar, world.rtm.tables
    campaigns = list(catalogue.campaigns.values())
    try:
        return compile_campaigns(
            campaigns,
            n_offers=len(catalogue.offers),
            rule=len(tables.rule_start) - 1,
            resolve=_resolve(catalogue, world.geo),
            price_level=world.scenario.money.price_level,
            weekday=calendar.start.weekday() if calendar.weekly else -1,
            n_lines=world.n_lines,
            shift_q=calendar.region_shift_q + calendar.start_quarter,
            pass_ms=pass_ms,
        )
    except ValueError as error:
        raise ScenarioError(
            "the rule of a campaign cannot be used here", path="catalog.campaigns",
            found=str(error), expected="tariffs and regions of this scenario",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How many lines an audience has, estimated from a sample before the run.

    Attributes
    ----------
    lines : of those at the start, with an interval at 95 %
    groups : the same of each sub-group
    """

    lines: Estimate
    groups: dict[str, Estimate]


def audience_sizes(
    world: Any, tables: CampaignTables, campaigns: Sequence[Campaign]
) -> dict[str, Size]:
    """Return the expected audience of each campaign, asked of a sample of lines.

    Of the live profile the sample shows what it is at the start of the run.
    """
    n_start = world.n_start
    part = max(SAMPLE_LINES // SAMPLE_PARTS, 1)
    n_parts = min(SAMPLE_PARTS, -(-n_start // part))
    found = np.zeros(len(tables.group_case), np.int64)
    asked = 0
    for k in range(n_parts):
        first = k * n_start // n_parts
        last = min(first + part, (k + 1) * n_start // n_parts)
        _, _, engine = world.build(Partition(k, first, last))
        count_audience(engine.profile.view, engine.view, world.rtm.tables, tables, first, found)
        asked += last - first
    sizes = {}
    for k, campaign in enumerate(campaigns):
        low, high = tables.group_start[k], tables.group_start[k + 1]
        groups = {
            group.group: _scaled(int(n), asked, n_start)
            for group, n in zip(campaign.groups, found[low:high], strict=True)
        }
        sizes[campaign.campaign] = Size(_scaled(int(found[low:high].sum()), asked, n_start), groups)
    return sizes


def _scaled(k: int, n: int, lines: int) -> Estimate:
    """Return an estimate of lines from k of n; exact where all were asked."""
    told = share(k, n)
    if n == lines:
        return Estimate(float(k), float(k), float(k), n)
    value, low, high = (None if x is None else x * lines for x in (told.value, told.low, told.high))
    return Estimate(value, low, high, n)


def _passes(world: Any, campaigns: Sequence[Campaign], sizes: Mapping[str, Size]) -> dict[str, int]:
    """Return in which open time each campaign with a rate passes the base, ms.

    That of a round at most where the rate is enough; longer where it is not, so that a part of the
    audience is not reached.
    """
    scenario = world.scenario
    lines = scenario.population.subscribers
    sample = lines / (scenario.population.represents or lines)
    out = {}
    for campaign in campaigns:
        rate = campaign.schedule.rate_per_hour * sample
        audience = sizes[campaign.campaign].lines.value
        if rate > 0 and audience:
            out[campaign.campaign] = max(round(audience / rate * 3_600_000), 1)
    return out


def sized_rows(loaded: Any) -> list[dict[str, Any]]:
    """Return the campaigns of a scenario with the size of their audiences, before any run.

    The live profile is that of lines of which nothing was seen yet; facts of the CRM are as in a
    run.
    """
    from scenarios.world import build_world, load_geography

    world = build_world(loaded, load_geography(loaded))
    weight = world.weight
    rows = []
    for name, size in world.audiences.items():
        lines = [None if x is None else round(x * weight)
                 for x in (size.lines.value, size.lines.low, size.lines.high)]  # fmt: skip
        groups = [f"{group}: {round((found.value or 0) * weight):,}"
                  for group, found in size.groups.items()]  # fmt: skip
        rows.append(
            {
                "name": name,
                "title": loaded.catalogue.campaigns[name].title,
                "expected": lines[0],
                "low": lines[1],
                "high": lines[2],
                "asked": size.lines.n,
                "sub_groups": groups,
            }
        )
    return rows
