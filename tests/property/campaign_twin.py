"""Campaigns by the book: dictionaries, dates and Python's own `eval`, no tables and no kernels.

It shares with the engine only the lottery of slots: which line has which rank in its block.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.rtm.campaign_params import WEEKDAYS, Campaign

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def fits(text: str, facts: dict[str, Any]) -> bool:
    """Return whether the facts of a line fit a rule, by the meaning that Python gives it."""
    names = {value: value for value in ("mass", "youth", "premium", "business", "m2m")}
    return not text.strip() or bool(eval(text, {"__builtins__": {}}, {**names, **facts}))


@dataclass
class Member:
    """What one campaign has had with one line."""

    day: int
    group: str = ""
    wave: int = 0
    due_ms: int | None = None
    accepted: bool = False


@dataclass
class Twin:
    """All campaigns and lines of a partition.

    Parameters
    ----------
    campaigns : in the order of the engine
    slots : (campaign, line, round) -> open time of the slot since the round began, ms
    weekday : of day 0, Monday 0
    shift_ms : local time of a line at moment 0
    """

    campaigns: list[Campaign]
    slots: dict[tuple[int, int, int], int]
    weekday: int
    shift_ms: dict[int, int]
    members: dict[tuple[int, int], Member] = field(default_factory=dict)

    def opens_at(self, number: int, turn: int, open_ms: int) -> int | None:
        """Return the local moment at which a round has been open for so long, or None."""
        plan = self.campaigns[number].schedule
        hours = round(plan.to_h * HOUR_MS) - round(plan.from_h * HOUR_MS)
        first = plan.from_day + turn * plan.every_days
        for day in range(first, first + plan.days):
            if WEEKDAYS[(day + self.weekday) % 7] not in plan.weekdays:
                continue
            if open_ms < hours:
                return day * DAY_MS + round(plan.from_h * HOUR_MS) + open_ms
            open_ms -= hours
        return None

    def asked(
        self, start_ms: int, end_ms: int, facts: Callable[[int, int], dict[str, Any]]
    ) -> list[tuple[int, int, int, str, int]]:
        """Return (line, moment, campaign, sub-group, wave) of a tick, in canonical order.

        Parameters
        ----------
        facts : what the engine knows of a line at a moment
        """
        found = []
        for (number, line, turn), open_ms in self.slots.items():
            local = self.opens_at(number, turn, open_ms)
            if local is None or not start_ms <= local - self.shift_ms[line] < end_ms:
                continue
            group = self.group(number, facts(line, local - self.shift_ms[line]))
            if group is not None and not self.barred(number, line, local // DAY_MS):
                found.append((line, local - self.shift_ms[line], number, group, 0))
        for (number, line), member in self.members.items():
            if member.due_ms is None or member.due_ms >= end_ms:
                continue
            at_ms = max(member.due_ms, start_ms)
            now = facts(line, at_ms)
            if now["alive"] and now["consent"]:
                found.append((line, at_ms, number, member.group, member.wave + 1))
            else:
                member.due_ms = None
        found.sort(key=lambda hit: (*hit[:3], self.place(hit[2], hit[3]), hit[4]))
        kept: list[tuple[int, int, int, str, int]] = []
        for hit in found:
            same = [other[2] for other in kept if other[0] == hit[0]]
            if not any(other == hit[2] or self.exclude(other, hit[2]) for other in same):
                kept.append(hit)
        return kept

    def group(self, number: int, facts: dict[str, Any]) -> str | None:
        """Return the sub-group of a line, or None outside the audience."""
        campaign = self.campaigns[number]
        if not facts["alive"] or facts["machine"] or not fits(campaign.audience, facts):
            return None
        return next((g.group for g in campaign.groups if fits(g.when, facts)), None)

    def exclude(self, one: int, other: int) -> bool:
        """Return whether two campaigns exclude each other."""
        a, b = self.campaigns[one], self.campaigns[other]
        return a.campaign in b.participation.not_with or b.campaign in a.participation.not_with

    def barred(self, number: int, line: int, day: int) -> bool:
        """Return whether a line may not take part today."""
        rules = self.campaigns[number].participation
        mine = self.members.get((number, line))
        if mine is not None:
            if mine.accepted and not rules.after_acceptance:
                return True
            if not rules.again_after_days or day - mine.day < rules.again_after_days:
                return True
        return any(
            self.exclude(number, other) and (other, line) in self.members
            for other in range(len(self.campaigns))
        )

    def place(self, number: int, group: str) -> int:
        """Return the number of a sub-group."""
        return [g.group for g in self.campaigns[number].groups].index(group)

    def decided(self, number: int, line: int, group: str, wave: int, ts_ms: int, fate: str) -> None:
        """Remember what became of an opening.

        Parameters
        ----------
        fate : `lost`, `sent` or `withheld`
        """
        if wave == 0:
            if fate == "lost":
                return
            day = (ts_ms + self.shift_ms[line]) // DAY_MS
            self.members[number, line] = Member(day, group)
        member = self.members[number, line]
        member.wave, member.due_ms = wave, None
        waves = self.campaigns[number].waves
        if wave < len(waves) and fate != "withheld":
            local = ts_ms + round(waves[wave].after_h * 3_600) * 1_000 + self.shift_ms[line]
            due = self.open_from(number, local) - self.shift_ms[line]
            member.due_ms = math.ceil(due / 1_000) * 1_000

    def open_from(self, number: int, local_ms: int) -> int:
        """Return the first moment from a local one on in the hours of a campaign."""
        plan = self.campaigns[number].schedule
        for day in range(local_ms // DAY_MS, local_ms // DAY_MS + 9):
            if WEEKDAYS[(day + self.weekday) % 7] not in plan.weekdays:
                continue
            at = max(local_ms, day * DAY_MS + round(plan.from_h * HOUR_MS))
            if at < day * DAY_MS + round(plan.to_h * HOUR_MS):
                return at
        raise AssertionError("no day of the week is open")

    def accept(self, number: int, line: int) -> None:
        """Remember an acceptance."""
        if (number, line) in self.members:
            self.members[number, line].accepted = True
            self.members[number, line].due_ms = None
