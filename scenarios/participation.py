"""The rules of participation, looked at once more in what a run has recorded.

It owns a check in plain Python over recorded decisions and answers, which asks nothing of the
engine but what it has written down.  It must not know how a campaign finds its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.rtm.campaign_params import WEEKDAYS, Campaign
from actors.rtm.campaign_tables import case_names
from sim.core.errors import InvariantError
from sim.core.ticks import DAY_MS
from sim.record.store import open_run

WON = ("intended", "holdout")


@dataclass(frozen=True)
class Asked:
    """A line that a campaign won: contacted, or withheld by the local holdout.

    Attributes
    ----------
    tick : in which it was decided
    local_ms : local time of the line since the midnight that began day 0
    case : name of the use case
    withheld : by the local holdout
    """

    sub: int
    tick: int
    local_ms: int
    case: str
    withheld: bool = False


def broken(
    asked: Iterable[Asked],
    accepted: Iterable[tuple[int, str, int]],
    campaigns: Mapping[str, Campaign],
    weekday: int,
) -> list[str]:
    """Return what was done against the rules of campaigns, in words; empty where all is right.

    Parameters
    ----------
    asked : in the order of time for each line
    accepted : (line, use case, tick) of each acceptance that the engine heard of
    weekday : of day 0, Monday 0; -1: every day is a Wednesday
    """
    of_case = {
        name: (campaign, wave)
        for campaign in campaigns.values()
        for names in case_names(campaign)
        for wave, name in enumerate(names)
    }
    barred = {
        name: set(campaign.participation.not_with)
        | {other.campaign for other in campaigns.values() if name in other.participation.not_with}
        for name, campaign in campaigns.items()
    }
    accepts: dict[tuple[int, str], list[int]] = {}
    for sub, case, tick in accepted:
        accepts.setdefault((sub, of_case[case][0].campaign), []).append(tick)
    before: dict[int, list[tuple[int, str]]] = {}
    first: dict[tuple[int, str], Asked] = {}
    found = []
    for one in asked:
        campaign, wave = of_case[one.case]
        name, day = campaign.campaign, one.local_ms // DAY_MS
        who = f"line {one.sub}, {one.case}, day {day}"
        # What is heard of in a tick is heard after what is decided by plan.
        heard = [tick for tick in accepts.get((one.sub, name), ()) if tick < one.tick]
        past = before.setdefault(one.sub, [])
        rules = campaign.participation
        if wave == 0:
            mine = [then for then, other in past if other == name]
            if mine and not rules.again_after_days:
                found.append(f"{who}: asked a second time")
            elif mine and day - mine[-1] < rules.again_after_days:
                found.append(f"{who}: asked again after {day - mine[-1]} days")
            if heard and not rules.after_acceptance:
                found.append(f"{who}: asked after an acceptance")
            if any(other in barred[name] for _, other in past):
                found.append(f"{who}: takes part in a campaign that excludes this one")
            if not _in_schedule(campaign, day, one.local_ms % DAY_MS, weekday):
                found.append(f"{who}: outside the schedule")
            past.append((day, name))
            first[one.sub, name] = one
            continue
        begun = first.get((one.sub, name))
        wait_h = sum(w.after_h for w in campaign.waves[:wave])
        if begun is None:
            found.append(f"{who}: a wave without a first contact")
        elif begun.withheld:
            found.append(f"{who}: a wave for a line that is withheld")
        elif one.local_ms - begun.local_ms < round(wait_h * 3_600_000) - 1_000:
            found.append(f"{who}: a wave before its time")
        if any(begun is None or tick >= begun.tick for tick in heard):
            found.append(f"{who}: a wave after the acceptance")
    return found


def _in_schedule(campaign: Campaign, day: int, ms: int, weekday: int) -> bool:
    """Return whether a campaign asks at a moment of a day."""
    plan = campaign.schedule
    name = WEEKDAYS[2 if weekday < 0 else (day + weekday) % 7]
    if name not in plan.weekdays:
        return False
    turn = min(max(day - plan.from_day, 0) // plan.every_days, plan.rounds - 1)
    first = plan.from_day + turn * plan.every_days
    return first <= day < first + plan.days and plan.from_h * 3_600_000 <= ms < (
        plan.to_h * 3_600_000
    )


def check_run(folder: Any, world: Any, campaigns: Mapping[str, Campaign]) -> int:
    """Check the recorded lines of a run; return how many participations were looked at.

    Raises
    ------
    InvariantError : a line was asked against the rules
    """
    if not campaigns:
        return 0
    cases = world.labels["use_case"]
    with open_run(folder) as run:
        rows = run.sql(
            "SELECT sub, tick, ts_ms, use_case, reason FROM decisions WHERE trigger = 'campaign' "
            "AND reason IN ('intended', 'holdout') ORDER BY sub, ts_ms, use_case"
        )
        heard = run.sql(
            "SELECT sub, ref, tick FROM activity WHERE kind = 'response' AND code = 'accept'"
        )
    local = local_shift_ms(world, rows["sub"].to_numpy())
    asked = [
        Asked(int(sub), int(tick), int(ts_ms) + int(shift), str(case), reason == "holdout")
        for sub, tick, ts_ms, case, reason, shift in zip(
            *(rows[name] for name in ("sub", "tick", "ts_ms", "use_case", "reason")),
            local,
            strict=True,
        )
    ]
    first_case = int(world.rtm.tables.campaign.first_case)
    accepted = [
        (int(sub), cases[int(ref)], int(tick))
        for sub, ref, tick in zip(heard["sub"], heard["ref"], heard["tick"], strict=True)
        if int(ref) >= first_case
    ]
    calendar = world.clock.calendar
    weekday = calendar.start.weekday() if calendar.weekly else -1
    wrong = broken(asked, accepted, campaigns, weekday)
    if wrong:
        raise InvariantError(
            f"rules of campaigns were broken {len(wrong)} times", values={"first": wrong[0]}
        )
    return len(asked)


def local_shift_ms(world: Any, subs: np.ndarray) -> np.ndarray:
    """Return (n,) int64, local time of each line at moment 0, since midnight, ms."""
    from scenarios.population import homes

    if not len(subs):
        return np.zeros(0, np.int64)
    tables = world.population
    region = tables.profile.hex_region[homes(world.seed, subs.astype(np.int64), tables)]
    calendar = world.clock.calendar
    return (calendar.region_shift_q[region] + calendar.start_quarter) * (DAY_MS // 96)
