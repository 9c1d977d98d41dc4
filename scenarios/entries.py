"""What the entries of a catalogue are, and what makes one fit the others.

It owns the kinds of entries, their names and folders, and the checks of triggers, channels,
products and steps.  It must not know which entries a scenario selects.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.billing.params import Tariff
from actors.channels.params import Channel
from actors.loyalty.params import Quest
from actors.rtm.campaign_params import Campaign
from actors.rtm.params import Offer
from actors.rtm.variants import Arm
from scenarios.validation import Loc, look, problem_at, validate
from scenarios.yaml12 import Node
from sim.core.errors import Problem, nearest
from sim.core.params import Params

CATALOG_DIR = Path(__file__).parent / "catalog"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
NAME_WORDS = "lower-case letters, digits and _, beginning with a letter, at most 64"


@dataclass(frozen=True)
class Kind:
    """One kind of entry: its folder, the key that holds its name, its model."""

    folder: str
    key: str
    model: type[Params]


KINDS = {
    kind.folder: kind
    for kind in (
        Kind("tariffs", "tariff", Tariff),
        Kind("offers", "offer", Offer),
        Kind("channels", "channel", Channel),
        Kind("quests", "quest", Quest),
        Kind("campaigns", "campaign", Campaign),
    )
}


@functools.cache
def triggers() -> dict[str, type[Params]]:
    """Return every trigger that an offer may name, with the model of its options."""
    from actors.rtm.triggers import catalogue  # compiles: only when an offer is checked

    return dict(sorted(catalogue().items()))


def shipped_names(kind: str) -> tuple[str, ...]:
    """Return the names of the shipped entries of a kind, sorted."""
    return tuple(sorted(path.stem for path in (CATALOG_DIR / kind).glob("*.yaml")))


def name_problems(kind: Kind, node: Node, name: str) -> list[Problem]:
    """Say whether an entry is named like its file, and decently."""
    child = node.value.get(kind.key) if isinstance(node.value, dict) else None
    if child is None or not isinstance(child.value, str):
        return []
    if not NAME.fullmatch(child.value):
        return [problem_at(child, (kind.key,), "not a name", expected=NAME_WORDS)]
    if child.value != name:
        message = "the name differs from that of the file"
        return [problem_at(child, (kind.key,), message, expected=name)]
    return []


def trigger_options(node: Node) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return the options of an offer's trigger with their defaults, and what is wrong with it."""
    place = look(node, "when")
    if place is None or not isinstance(place.value, dict):
        return None, []  # the model of the offer has said so already
    known = triggers()
    if len(place.value) != 1:
        return None, [
            problem_at(
                place,
                ("when",),
                "an offer has one trigger",
                found=f"{len(place.value)}",
                expected="one of " + ", ".join(known),
            )  # fmt: skip
        ]
    [(name, child)] = place.value.items()
    if name not in known:
        close = nearest(name, known)
        hint = f", did you mean {close!r}?" if close else ""
        return None, [
            problem_at(
                child,
                ("when", name),
                f"no such trigger{hint}",
                found=name,
                expected=close or "one of " + ", ".join(known),
            )  # fmt: skip
        ]
    from actors.rtm.hysteresis import KEY

    held, more = _hysteresis(name, child)
    if isinstance(child.value, dict) and KEY in child.value:
        rest = {key: value for key, value in child.value.items() if key != KEY}
        child = Node(rest, child.file, child.line, child.key_line, child.text)
    options, problems = validate(known[name], child, prefix=("when", name))
    if options is None or more:
        return None, problems + more
    return {**options.model_dump(mode="json"), **held}, problems


def _hysteresis(name: str, node: Node) -> tuple[dict[str, Any], list[Problem]]:
    """Return the hysteresis of an offer's trigger, if any, and what is wrong with it."""
    from actors.rtm.hysteresis import KEY, KIND_OF, Hysteresis
    from actors.rtm.triggers import SIGNALS, registry

    place = look(node, KEY) if isinstance(node.value, dict) else None
    if place is None:
        return {}, []
    held, problems = validate(Hysteresis, place, prefix=("when", name, KEY))
    if held is None:
        return {}, problems
    if held.rearm and registry()[name].signal not in KIND_OF:
        return {}, [
            problem_at(
                look(place, "rearm") or place, ("when", name, KEY, "rearm"),
                "this trigger fires once by itself: no value of it can go back",
                expected="a trigger on " + ", ".join(SIGNALS[k] for k in KIND_OF),
            )
        ]  # fmt: skip
    return {KEY: held.model_dump(mode="json")}, problems


Entries = dict[str, dict[str, Node]]
Models = dict[str, dict[str, Any]]
EntryCheck = Callable[[Entries, Models], list[Problem]]
ENTRY_CHECKS: list[EntryCheck] = []


def _at(node: Node, *path: str | int) -> Node:
    return look(node, *path) or node


def entry_check(check: EntryCheck) -> EntryCheck:
    """Enter a check of entries against each other."""
    ENTRY_CHECKS.append(check)
    return check


@entry_check
def channels_exist(nodes: Entries, models: Models) -> list[Problem]:
    """Every treatment names a selected channel, and each channel once."""
    found = []
    known = nodes["channels"]
    for node in nodes["offers"].values():
        used: set[str] = set()
        treatments = look(node, "treatments")
        n = len(treatments.value) if treatments and isinstance(treatments.value, list) else 0
        for i in range(n):
            place = look(node, "treatments", i, "channel")
            if place is None or not isinstance(place.value, str):
                continue  # the model of the offer has said so already
            name, path = place.value, ("treatments", i, "channel")
            if name in used:
                found.append(problem_at(place, path, "the channel stands twice", expected="once"))
            elif name not in known:
                shipped = name in shipped_names("channels")
                message = "the channel is not selected" if shipped else "no such channel"
                close = nearest(name, known)
                message += f", did you mean {close!r}?" if close and not shipped else ""
                expected = close or f"one of {', '.join(sorted(known)) or 'none'}"
                found.append(problem_at(place, path, message, expected=expected))
            used.add(name)
    return found


@entry_check
def channels_can_send(nodes: Entries, models: Models) -> list[Problem]:
    """A channel has a rate or servers, not both; a session has people who come."""
    found = []
    for name, channel in models["channels"].items():
        node = nodes["channels"][name]
        if (channel.per_second > 0) == (channel.servers > 0):
            found.append(
                problem_at(
                    _at(node, "per_second"),
                    ("per_second",),
                    "a channel is limited by per_second or by servers",
                    found="both" if channel.servers else "neither",
                    expected="one of them above 0",
                )  # fmt: skip
            )
        if (channel.kind == "session") != (channel.visits_per_month > 0):
            found.append(
                problem_at(
                    _at(node, "visits_per_month"),
                    ("visits_per_month",),
                    "visits_per_month belongs to kind session, and each session has some",
                    found=f"{channel.visits_per_month:g} with kind {channel.kind}",
                    expected="kind session with visits_per_month above 0, or neither",
                )  # fmt: skip
            )
    return found


GIVES = {
    "data_pack": ("data_mb",),
    "roaming_pack": ("data_mb",),
    "credit": ("credit_minor",),
    "gift": ("data_mb", "bonus_minor"),
    "topup": ("topup_minor",),
}
"""Kind of product -> what it gives; one of these above 0, or its acceptance would do nothing."""
AMOUNTS = {
    "data_mb": ("data_pack", "roaming_pack", "gift", "renewal", "switch"),
    "bonus_minor": ("gift", "care"),
    "credit_minor": ("credit",),
    "topup_minor": ("topup",),
    "thing": ("switch",),
    "lasts_days": ("switch", "roaming_pack"),
}
"""Amount -> the kinds that hand it over; every other kind ignores it."""


@entry_check
def products_give(nodes: Entries, models: Models) -> list[Problem]:
    """A product gives what its kind promises, and is told nothing that its kind does not give."""
    found = []
    for name, offer in models["offers"].items():
        product, node = offer.product, nodes["offers"][name]
        keys = GIVES.get(product.kind, ())
        if keys and not any(getattr(product, key) for key in keys):
            found.append(
                problem_at(
                    _at(node, "product"), ("product",), f"a {product.kind} that gives nothing",
                    found="no " + " and no ".join(keys), expected=" or ".join(keys) + " above 0",
                )
            )  # fmt: skip
        found += [
            problem_at(
                _at(node, "product", key), ("product", key),
                f"a {product.kind} does not give this: it would be ignored",
                found=str(getattr(product, key)), expected="0, or kind " + " or ".join(kinds),
            )
            for key, kinds in AMOUNTS.items()
            if getattr(product, key) and product.kind not in kinds
        ]  # fmt: skip
    return found


@entry_check
def variants_are_compared(nodes: Entries, models: Models) -> list[Problem]:
    """The arms of a test have one number, lie within it, and are at least two."""
    tests: dict[str, dict[str, Arm]] = {}
    for name, offer in models["offers"].items():
        if offer.eligible.variant is not None:
            tests.setdefault(offer.eligible.variant.test, {})[name] = offer.eligible.variant
    found = []
    for test, arms in tests.items():
        first = next(iter(arms.values()))
        for name, arm in arms.items():
            told, expected = "", ""
            if arm.of != first.of:
                told, expected = (
                    "the offers of a test state different numbers of arms",
                    f"{first.of}",
                )
            elif arm.arm >= arm.of:
                told, expected = "no such arm", f"0 to {arm.of - 1}"
            elif len({a.arm for a in arms.values()}) == 1:
                told, expected = "a test with one arm compares nothing", "another offer of " + test
            if told:
                path: Loc = ("eligible", "variant")
                place = _at(nodes["offers"][name], *path)
                found.append(problem_at(place, path, told, found=f"{arm.arm} of {arm.of}",
                                        expected=expected))  # fmt: skip
    return found


@entry_check
def tariffs_make_sense(nodes: Entries, models: Models) -> list[Problem]:
    """A prepaid line has no credit limit."""
    return [
        problem_at(
            _at(nodes["tariffs"][name], "credit_limit_minor"), ("credit_limit_minor",),
            "a prepaid tariff has no credit limit", expected="0, or `prepaid: false`",
        )
        for name, tariff in models["tariffs"].items()
        if tariff.prepaid and tariff.credit_limit_minor > 0
    ]  # fmt: skip


@entry_check
def quests_can_be_done(nodes: Entries, models: Models) -> list[Problem]:
    """A quest closes after it opens and asks for each thing once."""
    found = []
    for name, quest in models["quests"].items():
        node = nodes["quests"][name]
        if quest.closes_h <= quest.opens_h:
            found.append(
                problem_at(
                    _at(node, "closes_h"),
                    ("closes_h",),
                    "closes before it opens",
                    expected=f"above opens_h {quest.opens_h:g} (hours from the start)",
                )  # fmt: skip
            )
        seen = set()
        for i, step in enumerate(quest.steps):
            place = step.kind if step.do.endswith("geofence") else ""
            what = (step.do, place, step.category, step.caused, step.days_in_row > 1)
            if what in seen:
                found.append(
                    problem_at(
                        _at(node, "steps", i),
                        ("steps", i),
                        "the same step stands twice",
                        found=step.do,
                        expected="one step with the larger at_least",
                    )  # fmt: skip
                )
            seen.add(what)
    return found
