"""Campaigns as integer arrays, compiled once: schedules, audiences, participation, cases.

It owns the form in which the engine reads them.  It must not know a line, nor how many lines an
audience has: what a rate asks for comes as a length of a pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from actors.rtm.campaign_params import WEEKDAYS, Campaign
from actors.rtm.campaign_rules import Resolve, compile_rule
from sim.core import rng
from sim.core.ticks import DAY_MS

RULE = "campaign"
"""Label of the one rule that opens all use cases of campaigns."""
BLOCK_LINES = 4_096
"""Lines that share one order of slots: a fixed cut of the ids, whatever the partitions."""


class CampaignTables(NamedTuple):
    """What the kernels read of campaigns; all of length 0 where a run has none.

    Attributes
    ----------
    rule : index of the rule of campaigns, -1 without any
    first_case : number of their first use case; those before it are offers
    case_campaign : (n_cases,) int64, campaign of a use case, -1 for offers
    case_wave : (n_cases,) int64, 0 for the first contact, 1 for what an answer leads to
    case_answers : (n_cases,) int64, answers that a question has; their use cases follow it
    case_reply_s : (n_cases,) int64, from an answer to what it leads to, s
    case_after_s : (n_cases,) int64, delay of a wave behind the one before, s; -1 for others
    case_points : (n_cases,) int64, loyalty points for an acceptance
    campaign_id : (n,) uint32, name ids
    from_day, days, rounds, every_days : (n,) int64
    weekdays : (n,) int64 bits, Monday lowest
    from_ms, day_ms : (n,) int64, first hour of a day, and length of its hours
    pass_ms : (n,) int64, open time in which the base is passed once; 0: that of the round
    weekday : weekday of local day 0; -1: every day is a Wednesday
    again_days : (n,) int64, 0: once
    after_acceptance : (n,) bool
    keep_day : (n,) int64, last day on which a participation may still matter
    bar_start, bar : CSR of the campaigns that exclude each one
    audience : (n,) int64, first test of the audience
    group_start : (n + 1,) int64, groups of each campaign
    group_test, group_case : (n_groups,) int64, first test and first use case of a group
    test_fact, test_low, test_high, test_yes, test_no : (n_tests,) int64
    n_lines : lines of the run
    shift_of : (n_regions,) int64, row of `shift_ms`
    shift_ms : (n_shifts,) int64, local time of day 0 at moment 0, of each clock
    """

    rule: int
    first_case: int
    case_campaign: np.ndarray
    case_wave: np.ndarray
    case_answers: np.ndarray
    case_reply_s: np.ndarray
    case_after_s: np.ndarray
    case_points: np.ndarray
    campaign_id: np.ndarray
    from_day: np.ndarray
    days: np.ndarray
    rounds: np.ndarray
    every_days: np.ndarray
    weekdays: np.ndarray
    from_ms: np.ndarray
    day_ms: np.ndarray
    pass_ms: np.ndarray
    weekday: int
    again_days: np.ndarray
    after_acceptance: np.ndarray
    keep_day: np.ndarray
    bar_start: np.ndarray
    bar: np.ndarray
    audience: np.ndarray
    group_start: np.ndarray
    group_test: np.ndarray
    group_case: np.ndarray
    test_fact: np.ndarray
    test_low: np.ndarray
    test_high: np.ndarray
    test_yes: np.ndarray
    test_no: np.ndarray
    n_lines: int
    shift_of: np.ndarray
    shift_ms: np.ndarray


def case_names(campaign: Campaign) -> list[list[str]]:
    """Return the names of the use cases of each sub-group: waves, or a question and answers."""
    later = [str(wave + 2) for wave in range(len(campaign.waves))]
    if campaign.survey is not None:
        later = [answer.answer for answer in campaign.survey.answers]
    names = (f"{campaign.campaign}:{group.group}" for group in campaign.groups)
    return [[name, *(f"{name}:{more}" for more in later)] for name in names]


def open_days(campaign: Campaign, weekday: int) -> int:
    """Return the days of the first round on which a campaign asks.

    Parameters
    ----------
    weekday : of local day 0; -1: every day is a Wednesday
    """
    plan = campaign.schedule
    days = range(plan.from_day, plan.from_day + plan.days)
    told = {WEEKDAYS.index(day) for day in plan.weekdays}
    return sum((2 if weekday < 0 else (day + weekday) % 7) in told for day in days)


def hours_ms(campaign: Campaign) -> tuple[int, int]:
    """Return the first hour of a day and the length of its hours, ms."""
    plan = campaign.schedule
    first = round(plan.from_h * 3_600_000)
    return first, round(plan.to_h * 3_600_000) - first


def last_day(campaign: Campaign) -> int:
    """Return the last day on which a campaign may ask for the first time."""
    plan = campaign.schedule
    return plan.from_day + (plan.rounds - 1) * plan.every_days + plan.days - 1


def tail_days(campaign: Campaign) -> int:
    """Return how many days the waves of a campaign may reach beyond the first contact."""
    if campaign.survey is not None:
        return math.ceil(campaign.survey.after_min / 1_440) + 30  # answers come days later
    # A wave outside the hours waits for the next day of the week on which the campaign asks.
    return sum(math.ceil(wave.after_h / 24) + 7 for wave in campaign.waves)


def barred_with(campaigns: Sequence[Campaign]) -> list[set[int]]:
    """Return for each campaign those that exclude it, from both sides."""
    number = {campaign.campaign: k for k, campaign in enumerate(campaigns)}
    out: list[set[int]] = [set() for _ in campaigns]
    for k, campaign in enumerate(campaigns):
        for name in campaign.participation.not_with:
            if name in number:  # one that this scenario has not selected excludes nobody
                out[k].add(number[name])
                out[number[name]].add(k)
    return out


def whole(values: Iterable[float], dtype: type = np.int64) -> np.ndarray:
    """Return numbers as an array."""
    return np.array(list(values), dtype)


def _case_columns(campaigns: Sequence[Campaign], n_offers: int) -> dict[str, list[int]]:
    """Return the columns of use cases, those of offers first, in the order of `case_names`."""
    out = {
        name: [nothing] * n_offers
        for name, nothing in (
            ("campaign", -1), ("wave", 0), ("answers", 0), ("reply_s", 0), ("after_s", -1),
            ("points", 0),
        )
    }  # fmt: skip
    for k, campaign in enumerate(campaigns):
        survey = campaign.survey
        n_answers = 0 if survey is None else len(survey.answers)
        after = [round(wave.after_h * 3_600) for wave in campaign.waves]
        for group in campaign.groups:
            n = 1 + n_answers + len(after)
            out["campaign"] += [k] * n
            out["wave"] += [0, *([1] * n_answers or range(1, n))]
            out["answers"] += [n_answers] + [0] * (n - 1)
            out["reply_s"] += [0 if survey is None else round(survey.after_min * 60)] * n
            out["after_s"] += [-1] * (n - len(after)) + after
            out["points"] += [group.points] * n
    return out


def compile_campaigns(
    campaigns: Sequence[Campaign],
    *,
    n_offers: int,
    rule: int,
    resolve: Resolve,
    price_level: float,
    weekday: int,
    n_lines: int,
    shift_q: np.ndarray,
    pass_ms: Mapping[str, int],
) -> CampaignTables:
    """Return the tables of the campaigns of a run.

    Parameters
    ----------
    n_offers : use cases that are offers; those of campaigns follow, in the order of `case_names`
    rule : index that the rule of campaigns has
    weekday : of local day 0; -1: every day is a Wednesday
    shift_q : (n_regions,) local time of each region at moment 0, quarters of an hour
    pass_ms : by campaign with a rate, open time in which the base is passed
    """
    tests: list[tuple[int, int, int, int, int]] = []

    def compiled(text: str) -> int:
        found, first = compile_rule(text, resolve, price_level)
        base = len(tests)

        def moved(at: int) -> int:
            return at if at < 0 else at + base

        tests.extend((t.fact, t.low, t.high, moved(t.yes), moved(t.no)) for t in found)
        return moved(first)

    audience, group_start, group_test, group_case = [], [0], [], []
    cases = _case_columns(campaigns, n_offers)
    for k, campaign in enumerate(campaigns):
        audience.append(compiled(campaign.audience))
        first = cases["campaign"].index(k)
        for group, names in zip(campaign.groups, case_names(campaign), strict=True):
            group_test.append(compiled(group.when))
            group_case.append(first)
            first += len(names)
        group_start.append(len(group_case))
    bars = barred_with(campaigns)
    plans = [c.schedule for c in campaigns]

    shifts, shift_of = np.unique(np.asarray(shift_q, np.int64), return_inverse=True)
    columns = np.array(tests, np.int64).reshape(-1, 5).T
    return CampaignTables(
        rule=rule if campaigns else -1,
        first_case=n_offers,
        case_campaign=whole(cases["campaign"] or [-1]),
        case_wave=whole(cases["wave"] or [0]),
        case_answers=whole(cases["answers"] or [0]),
        case_reply_s=whole(cases["reply_s"] or [0]),
        case_after_s=whole(cases["after_s"] or [-1]),
        case_points=whole(cases["points"] or [0]),
        campaign_id=whole((rng.name_id("campaign:" + c.campaign) for c in campaigns), np.uint32),
        from_day=whole(p.from_day for p in plans),
        days=whole(p.days for p in plans),
        rounds=whole(p.rounds for p in plans),
        every_days=whole(p.every_days for p in plans),
        weekdays=whole(sum(1 << WEEKDAYS.index(day) for day in set(p.weekdays)) for p in plans),
        from_ms=whole(hours_ms(c)[0] for c in campaigns),
        day_ms=whole(hours_ms(c)[1] for c in campaigns),
        pass_ms=whole(pass_ms.get(c.campaign, 0) for c in campaigns),
        weekday=weekday,
        again_days=whole(c.participation.again_after_days for c in campaigns),
        after_acceptance=whole((c.participation.after_acceptance for c in campaigns), np.bool_),
        keep_day=whole(
            max([last_day(c) + tail_days(c), *(last_day(campaigns[j]) for j in bars[k])])
            for k, c in enumerate(campaigns)
        ),
        bar_start=np.cumsum([0, *(len(b) for b in bars)]).astype(np.int64),
        bar=whole(j for b in bars for j in sorted(b)),
        audience=whole(audience),
        group_start=whole(group_start),
        group_test=whole(group_test),
        group_case=whole(group_case),
        test_fact=np.ascontiguousarray(columns[0]),
        test_low=np.ascontiguousarray(columns[1]),
        test_high=np.ascontiguousarray(columns[2]),
        test_yes=np.ascontiguousarray(columns[3]),
        test_no=np.ascontiguousarray(columns[4]),
        n_lines=n_lines,
        shift_of=shift_of.astype(np.int64),
        shift_ms=shifts * (DAY_MS // 96),
    )


def no_campaigns(n_offers: int) -> CampaignTables:
    """Return the tables of a run without campaigns."""
    return compile_campaigns(
        (), n_offers=n_offers, rule=-1, resolve=lambda word, name: 0, price_level=1.0, weekday=0,
        n_lines=0, shift_q=np.zeros(1, np.int64), pass_ms={},
    )  # fmt: skip
