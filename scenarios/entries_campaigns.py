"""Checks of campaigns: what no single option can hold by itself.

It owns what a campaign asks of the other entries of a catalogue, and that its rules can be read.
It must not know how a rule is asked.
"""

from __future__ import annotations

from typing import Any

from actors.rtm.campaign_params import Campaign
from actors.rtm.campaign_rules import RuleError, compile_rule, resolver
from actors.rtm.campaign_tables import open_days
from scenarios.entries import Entries, Models, entry_check, shipped_names
from scenarios.validation import Loc, look, problem_at
from scenarios.yaml12 import Node
from sim.core.errors import Problem, nearest

CASES_MAX = 20_000
"""Use cases of campaigns in a scenario; with the offers they are numbered by 16 bits, signed."""


def _at(node: Node, path: Loc) -> Node:
    for depth in range(len(path), 0, -1):
        found = look(node, *path[:depth])
        if found is not None:
            return found
    return node


def _missing(node: Node, path: Loc, what: str, name: str, known: Any, more: Any = ()) -> Problem:
    close = nearest(name, known)
    message = f"the {what} is not selected" if name in more else f"no such {what}"
    hint = f", did you mean {close!r}?" if close and name not in more else ""
    return problem_at(
        _at(node, path), path, message + hint, found=name,
        expected=close or f"one of {', '.join(sorted(known)[:12]) or 'none'}",
    )  # fmt: skip


@entry_check
def campaigns_name_what_exists(nodes: Entries, models: Models) -> list[Problem]:
    """Offers, channels and other campaigns that a campaign names are selected."""
    found = []
    offers, channels = models["offers"], models["channels"]
    campaigns = set(models["campaigns"]) | set(shipped_names("campaigns"))
    for name, campaign in models["campaigns"].items():
        node = nodes["campaigns"][name]
        for i, group in enumerate(campaign.groups):
            if group.offer not in offers:
                path: Loc = ("groups", i, "offer")
                shipped = shipped_names("offers")
                found.append(_missing(node, path, "offer", group.offer, offers, shipped))
            for j, channel in enumerate(group.channels):
                if channel not in channels:
                    path = ("groups", i, "channels", j)
                    shipped = shipped_names("channels")
                    found.append(_missing(node, path, "channel", channel, channels, shipped))
        for i, wave in enumerate(campaign.waves):
            if wave.offer and wave.offer not in offers:
                path = ("waves", i, "offer")
                shipped = shipped_names("offers")
                found.append(_missing(node, path, "offer", wave.offer, offers, shipped))
            for j, channel in enumerate(wave.channels):
                if channel not in channels:
                    path = ("waves", i, "channels", j)
                    shipped = shipped_names("channels")
                    found.append(_missing(node, path, "channel", channel, channels, shipped))
        answers = campaign.survey.answers if campaign.survey else ()
        for i, answer in enumerate(answers):
            if answer.offer not in offers:
                path = ("survey", "answers", i, "offer")
                shipped = shipped_names("offers")
                found.append(_missing(node, path, "offer", answer.offer, offers, shipped))
            for j, channel in enumerate(answer.channels):
                if channel not in channels:
                    path = ("survey", "answers", i, "channels", j)
                    shipped = shipped_names("channels")
                    found.append(_missing(node, path, "channel", channel, channels, shipped))
        for i, other in enumerate(campaign.participation.not_with):
            if other not in campaigns or other == name:
                path = ("participation", "not_with", i)
                found.append(_missing(node, path, "campaign", other, campaigns - {name}))
    return found


@entry_check
def campaign_rules_can_be_read(nodes: Entries, models: Models) -> list[Problem]:
    """Audience and sub-groups are rules over what the engine knows of a line."""
    found = []
    resolve = resolver({"tariff": tuple(models["tariffs"])})
    for name, campaign in models["campaigns"].items():
        rules: list[tuple[Loc, str]] = [(("audience",), campaign.audience)]
        rules += [(("groups", i, "when"), g.when) for i, g in enumerate(campaign.groups)]
        for path, text in rules:
            try:
                compile_rule(text, resolve, 1.0)
            except RuleError as error:
                node = _at(nodes["campaigns"][name], path)
                expected = "a rule such as: prepaid and tenure_days >= 90 and segment in [mass]"
                found.append(problem_at(node, path, str(error), expected=expected))
    return found


@entry_check
def campaigns_can_ask(nodes: Entries, models: Models) -> list[Problem]:
    """There are hours in a day and days in a round; rounds do not overlap; groups differ."""
    found = []
    n_cases = 0
    for name, campaign in models["campaigns"].items():
        node = nodes["campaigns"][name]
        plan = campaign.schedule
        answers = campaign.survey.answers if campaign.survey else ()
        n_cases += len(campaign.groups) * (1 + len(campaign.waves) + len(answers))
        if answers and campaign.waves:
            path: Loc = ("waves",)
            found.append(problem_at(_at(node, path), path, "a survey has no waves",
                                    expected="`survey` or `waves`"))  # fmt: skip
        if len({a.answer for a in answers}) < len(answers):
            path = ("survey", "answers")
            found.append(problem_at(_at(node, path), path, "an answer stands twice",
                                    expected="each name once"))  # fmt: skip
        if plan.to_h <= plan.from_h:
            path: Loc = ("schedule", "to_h")
            expected = f"above from_h {plan.from_h:g}"
            found.append(problem_at(_at(node, path), path, "no hour is left", expected=expected))
        if plan.rounds > 1 and plan.every_days < plan.days:
            path = ("schedule", "every_days")
            expected = f"at least the {plan.days} days of a round"
            found.append(problem_at(_at(node, path), path, "rounds overlap", expected=expected))
        if not any(open_days(campaign, weekday) for weekday in range(-1, 7)):
            path = ("schedule", "weekdays")
            found.append(problem_at(_at(node, path), path, "no day is left", expected="a day"))
        found += _groups_differ(node, campaign)
    if n_cases > CASES_MAX:
        node = next(iter(nodes["campaigns"].values()))
        found.append(problem_at(node, (), "too many sub-groups and waves", found=f"{n_cases}",
                                expected=f"at most {CASES_MAX}"))  # fmt: skip
    return found


def _groups_differ(node: Node, campaign: Campaign) -> list[Problem]:
    """A name stands once, and no group stands behind one that takes all."""
    found = []
    seen: set[str] = set()
    for i, group in enumerate(campaign.groups):
        if group.group in seen:
            path: Loc = ("groups", i, "group")
            found.append(problem_at(_at(node, path), path, "the name stands twice",
                                    expected="another name"))  # fmt: skip
        seen.add(group.group)
        if not group.when and i < len(campaign.groups) - 1:
            path = ("groups", i)
            found.append(problem_at(_at(node, path), path, "nothing is left for groups below",
                                    found="no `when`", expected="`when`, or last"))  # fmt: skip
    return found
