"""Check the parts of a scenario against each other, its catalogue and its geography.

It owns the rules that no single option can hold by itself.  It must not read any file but the
names of the fences of a geography.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import get_args

from actors.channels.params import Channel
from actors.loyalty.params import QUESTS_MAX
from actors.rtm.params import NEEDS
from scenarios.api import GEO_DATA_DIR, shipped_geographies
from scenarios.catalogue import Catalogue, Selection
from scenarios.models import Scenario, TimelineEntry
from scenarios.validation import Loc, look, problem_at
from scenarios.yaml12 import Node
from sim.core.errors import Problem, nearest

PARTITIONED_ROLES = ("subscribers", "billing", "rtm")
GLOBAL_ROLES = ("cells", "channels")
CELLS_LIMIT = 1_000_000
"""Radio cells of a network: the largest number that `geography.cells_max` may be."""
_FENCES_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class Context:
    """What a check looks at."""

    tree: Node
    model: Scenario
    catalogue: Catalogue
    selection: Selection | None
    folder: Path

    def problem(self, path: Loc, message: str, *, expected: str) -> Problem:
        """Return a problem at the nearest place that stands in the file."""
        node = look(self.tree, *path)
        for depth in range(len(path), -1, -1):
            place = look(self.tree, *path[:depth])
            if place is not None:
                found = None if node is not None else "the default"
                return problem_at(place, path, message, found=found, expected=expected)
        return problem_at(self.tree, path, message, expected=expected)


Check = Callable[[Context], list[Problem]]
CHECKS: list[tuple[tuple[str, ...], Check]] = []


def check_scenario(
    tree: Node,
    model: Scenario,
    catalogue: Catalogue,
    selection: Selection | None,
    folder: Path,
    failed: set[str],
) -> list[Problem]:
    """Return the problems of all checks whose sections are sound.

    Parameters
    ----------
    tree, model : the scenario as read, and its sound sections
    folder : folder from which its paths count
    failed : names of sections that have problems of their own; `*` a file that it extends
    """
    context = Context(tree, model, catalogue, selection, folder)
    found: list[Problem] = []
    for sections, check in CHECKS:
        given = set(sections) & failed
        if given or ("*" in failed and any(look(tree, name) is None for name in sections)):
            continue
        found.extend(check(context))
    return found


def needs(*sections: str) -> Callable[[Check], Check]:
    """Enter a check with the sections of the scenario that it reads."""

    def enter(check: Check) -> Check:
        CHECKS.append((sections, check))
        return check

    return enter


@needs("scenario")
def the_name_is_no_path(context: Context) -> list[Problem]:
    """A name does not begin like `..` or a hidden file: it becomes a folder."""
    if context.model.scenario[0].isalnum():
        return []
    return [context.problem(("scenario",), "not a name", expected="a letter or digit first")]


@needs("rtm", "catalog")
def caps_name_channels_that_exist(context: Context) -> list[Problem]:
    """A cap of `rtm.policy.channels` counts a channel of the catalogue or a kind of channel."""
    channels = context.catalogue.channels.values()
    known = {c.channel for c in channels} | set(get_args(Channel.model_fields["kind"].annotation))
    return [
        context.problem(
            ("rtm", "policy", "channels", name), "no such channel or kind of channel",
            expected=nearest(name, known) or "one of " + ", ".join(sorted(known)),
        )
        for name in context.model.rtm.policy.channels
        if name not in known
    ]  # fmt: skip


@needs("rtm", "catalog")
def the_fallback_is_an_offer(context: Context) -> list[Problem]:
    """`rtm.timeout.fallback` is a live offer of the catalogue, or empty."""
    name, known = context.model.rtm.timeout.fallback, context.catalogue.offers
    if not name or name in known:
        return []
    one = nearest(name, known) or "a name of `twin list offers`, or none"
    return [context.problem(("rtm", "timeout", "fallback"), "no such live offer", expected=one)]


@needs("rtm", "placement")
def arbitration_has_what_it_needs(context: Context) -> list[Problem]:
    """Uplift is learned; the oracle reads the state of the people beside it."""
    rtm, path = context.model.rtm, ("rtm", "arbitration")
    apart = any("rtm" in g and "subscribers" not in g for g in context.model.placement.groups)
    if rtm.arbitration == "uplift" and not rtm.learning.enabled:
        message, expected = "uplift has to be learned", "rtm.learning.enabled: true"
    elif rtm.arbitration == "oracle" and apart:
        message = "the oracle reads the state of the people beside it, and they are elsewhere"
        expected = "subscribers and rtm in one of placement.groups"
    else:
        return []
    return [context.problem(path, message, expected=expected)]


@needs("population", "geography")
def the_network_is_no_larger_than_its_limit(context: Context) -> list[Problem]:
    """Where `cells_max` is null, what is represented asks for no more cells than it may name."""
    geography, population = context.model.geography, context.model.population
    if geography.cells_max is not None:
        return []
    lines = population.represents or population.subscribers
    cells = round(lines / 1e6 * geography.sites_per_million) * geography.sectors
    if cells <= CELLS_LIMIT:
        return []
    most = CELLS_LIMIT * 1_000_000 // (geography.sites_per_million * geography.sectors)
    return [
        context.problem(
            ("geography", "cells_max"),
            f"the network does not fit: {cells:,} cells for {lines:,} lines",
            expected=f"at most {CELLS_LIMIT:,} cells: a cells_max, or at most {most:,} lines",
        )
    ]


@needs("clock")
def ticks_fit_epochs(context: Context) -> list[Problem]:
    """A tick divides the epoch of 900 s, or is a multiple of it; the start is a date."""
    clock = context.model.clock
    found = []
    if 900 % clock.tick_s and clock.tick_s % 900:
        below = max(t for t in range(1, clock.tick_s) if 900 % t == 0 or t % 900 == 0)
        found.append(
            context.problem(
                ("clock", "tick_s"), "a tick that does not fit epochs of 900 s",
                expected=f"seconds that divide 900 or are a multiple of it, such as {below}",
            )
        )  # fmt: skip
    try:
        datetime.fromisoformat(clock.start)
    except ValueError as error:
        found.append(
            context.problem(
                ("clock", "start"), f"not a date ({error})",
                expected="local time of the largest region, such as 2026-03-04T00:00",
            )
        )  # fmt: skip
    return found


@needs("catalog")
def somebody_has_a_tariff(context: Context) -> list[Problem]:
    """There is at least one tariff."""
    if context.selection is None or context.selection.problems or context.catalogue.tariffs:
        return []
    return [
        context.problem(("catalog", "tariffs"), "no tariff is selected",
                        expected="at least one name, or *")
    ]  # fmt: skip


@needs("subscribers")
def needs_are_known(context: Context) -> list[Problem]:
    """Mappings by need name known needs, with values in range."""
    found = []
    highest = {"organic_share": 1.0}
    params = context.model.subscribers.needs
    for field in ("organic_share", "organic_delay_h", "decay_h", "spontaneous_per_day"):
        for name, value in getattr(params, field).items():
            path = ("subscribers", "needs", field, name)
            if name not in NEEDS:
                close = nearest(name, NEEDS)
                message = f"unknown need {name!r}" + (f", did you mean {close!r}?" if close else "")
                found.append(
                    context.problem(path, message, expected=close or f"one of {', '.join(NEEDS)}")
                )
                continue
            high = highest.get(field, 10_000.0)
            positive = field in ("organic_delay_h", "decay_h")
            if not 0 <= value <= high or (positive and value == 0):
                unit = {"organic_share": "share", "spontaneous_per_day": "needs per line and day"}
                words = f"a number {'above' if positive else 'from'} 0 to {high:g} "
                words += f"({unit.get(field, 'hours')})"
                found.append(context.problem(path, "out of range", expected=words))
    return found


@needs("rtm", "population", "catalog")
def withheld_decisions_exist(context: Context) -> list[Problem]:
    """`rtm.withhold` lists `SUB/OFFER` with a line and an offer that exist."""
    found = []
    n, known = context.model.population.subscribers, context.catalogue.offers
    for i, text in enumerate(context.model.rtm.withhold):
        sub, sign, offer = text.partition("/")
        if not sign or not sub.isascii() or not sub.isdigit():
            told = "not a decision", "SUB/OFFER"
        elif len(sub) > 10 or int(sub) >= n:
            told = "no such line", f"SUB from 0 to {n - 1}, SUB/OFFER"
        elif offer not in known:
            one = nearest(offer, known) or f"one of {', '.join(known) or 'none'}"
            told = "no such offer is selected", one
        else:
            continue
        found.append(context.problem(("rtm", "withhold", i), told[0], expected=told[1]))
    return found


@needs("rtm", "catalog")
def lots_name_what_is_selected(context: Context) -> list[Problem]:
    """`rtm.lots` lists offers that are selected, or codes of their initiatives."""
    known = sorted({n for offer in context.catalogue.offers.values() for n in offer.names()})
    lots = enumerate(context.model.rtm.lots)
    return [
        context.problem(("rtm", "lots", i, k), "no such offer or initiative is selected",
                        expected=nearest(name, known) or f"one of {', '.join(known) or 'none'}")
        for i, lot in lots for k, name in enumerate(lot) if name not in known
    ]  # fmt: skip


@needs("geography")
def the_geography_exists(context: Context) -> list[Problem]:
    """The folder of the geography is a shipped one, or one beside the scenario."""
    if geography_folder(context) is not None:
        return []
    names = shipped_geographies()
    close = nearest(context.model.geography.folder, names)
    message = "no such geography folder" + (f", did you mean {close!r}?" if close else "")
    return [
        context.problem(("geography", "folder"), message,
                        expected=f"one of {', '.join(names)}, or a folder beside the scenario file")
    ]  # fmt: skip


def geography_folder(context: Context) -> Path | None:
    """Return the folder of the geography, or None."""
    name = context.model.geography.folder
    if name in shipped_geographies():
        return GEO_DATA_DIR / name
    try:
        path = (context.folder / name).resolve()
        return path if path.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


@lru_cache(maxsize=16)
def _fence_names(path: Path, mtime_ns: int) -> dict[str, str]:
    try:
        features = json.loads(path.read_bytes())["features"]
        return {str(f["properties"]["name"]): str(f["properties"]["kind"]) for f in features}
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}  # geo.io says what is wrong with the file


def fences(context: Context) -> dict[str, str] | None:
    """Return fence -> kind, or None where the names are not known before the build."""
    geography = context.model.geography
    if geography.malls_per_100k > 0 or geography.shops > 0:
        return None
    folder = geography_folder(context)
    if folder is None:
        return None
    path = folder / "fences.geojson"
    try:
        info = path.stat()
        return _fence_names(path, info.st_mtime_ns) if info.st_size < _FENCES_BYTES_MAX else None
    except OSError:
        return {}


@needs("timeline", "geography", "catalog")
def the_timeline_makes_sense(context: Context) -> list[Problem]:
    """Entries name fences, positions and channels that exist, where they need them."""
    found = []
    for i, entry in enumerate(context.model.timeline):
        path: Loc = ("timeline", i)
        if entry.do == "cell_outage":
            found.extend(_near(context, path + ("near",), entry))
        elif entry.near:
            found.append(
                context.problem(
                    path + ("near",),
                    f"{entry.do} has no place",
                    expected="no `near`, or `do: cell_outage`",
                )  # fmt: skip
            )
        if entry.do == "channel_outage":
            known = context.catalogue.channels
            if entry.target not in known:
                close = nearest(entry.target, known)
                found.append(
                    context.problem(
                        path + ("target",),
                        "no such channel is selected",
                        expected=close or f"one of {', '.join(known) or 'none'}",
                    )  # fmt: skip
                )
        elif entry.target:
            found.append(
                context.problem(
                    path + ("target",),
                    f"{entry.do} has no target",
                    expected="no `target`, or `do: channel_outage`",
                )  # fmt: skip
            )
    return found


def _near(context: Context, path: Loc, entry: TimelineEntry) -> list[Problem]:
    place = position_of(entry.near)
    if place is not None:
        lat, lon = place
        if -90 <= lat <= 90 and -180 <= lon <= 180:
            return []
        expected = "`lat,lon` in degrees, lat first"
        return [context.problem(path, "not a position", expected=expected)]
    known = fences(context)
    if known is None or entry.near in known:
        return []
    message, expected = no_such_fence(entry.near, known)
    return [context.problem(path, message, expected=expected)]


def position_of(near: str) -> tuple[float, float] | None:
    """Return the numbers of `lat,lon`, or None for a name, which may hold a comma too."""
    parts = near.split(",")
    try:
        lat, lon = (float(part) for part in parts)
    except ValueError:
        return None
    return lat, lon


def no_such_fence(near: str, known: Iterable[str]) -> tuple[str, str]:
    """Return what is wrong with the name of a fence that is not there, and what would be right."""
    close = nearest(near, known)
    message = "no such fence" + (f", did you mean {close!r}?" if close else "")
    some = close or ", ".join(sorted(known)[:6])
    return message, f"`lat,lon`, or a fence: {some}" if some else "`lat,lon`: there is no fence"


@needs("catalog")
def not_too_many_quests(context: Context) -> list[Problem]:
    """Each deed of a player is looked at for every quest: there is a limit."""
    quests = sorted(context.catalogue.quests)
    if len(quests) <= QUESTS_MAX:
        return []
    return [
        context.problem(
            ("catalog", "quests"),
            f"{len(quests)} quests",
            expected=f"at most {QUESTS_MAX} in a scenario",
        )
    ]


@needs("catalog", "geography")
def quest_steps_can_be_done(context: Context) -> list[Problem]:
    """The geography has as many different places of a kind as a quest asks for."""
    found = []
    known = fences(context)
    if known is None or context.selection is None:
        return []
    for name, quest in context.catalogue.quests.items():
        for i, step in enumerate(quest.steps):
            there = sum(kind == step.kind for kind in known.values())
            if step.do != "enter_geofence" or step.at_least <= there:
                continue
            node = context.selection.nodes["quests"][name]
            place = look(node, "steps", i, "at_least") or look(node, "steps", i) or node
            found.append(
                problem_at(
                    place, ("steps", i, "at_least"), "a step that nothing can fulfil here",
                    found=f"{step.at_least} different places of kind {step.kind}",
                    expected=f"at most {there}, as many as {context.model.geography.folder} has",
                )
            )  # fmt: skip
    return found


@needs("placement")
def placement_names_roles(context: Context) -> list[Problem]:
    """Groups of placement name every partitioned role once, in forward order."""
    found = []
    seen: set[str] = set()
    for i, group in enumerate(context.model.placement.groups):
        for j, role in enumerate(group):
            path = ("placement", "groups", i, j)
            if role not in PARTITIONED_ROLES:
                message = f"{role} is global" if role in GLOBAL_ROLES else "no such role"
                close = nearest(role, PARTITIONED_ROLES)
                expected = close or f"one of {', '.join(PARTITIONED_ROLES)}"
                found.append(context.problem(path, message, expected=expected))
            elif role in seen:
                found.append(context.problem(path, "the role stands twice", expected="once"))
            seen.add(role)
        if not group:
            message = "a group without roles"
            found.append(context.problem(("placement", "groups", i), message, expected="a role"))
    if found:
        return found
    path = ("placement", "groups")
    missing = [role for role in PARTITIONED_ROLES if role not in seen]
    if missing:
        message = f"nobody would run {', '.join(missing)}: in no group"
        found.append(context.problem(path, message, expected="every role in one group"))
    named = [role for group in context.model.placement.groups for role in group]
    if not found and tuple(named) != PARTITIONED_ROLES:
        message = "the order breaks the forward edges: rows go from each role to later ones"
        expected = f"{', '.join(PARTITIONED_ROLES)}, cut into one or more groups"
        found.append(context.problem(path, message, expected=expected))
    return found
