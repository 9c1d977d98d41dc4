"""The backlog: 240 ideas for real-time use cases, of which a workshop chose 21.

It owns the model of an idea, how it becomes offers of the catalogue, and the checks that hold
between ideas.  An idea is measured by paired runs: no effect stands in it, only beliefs of raters
and, apart from them, what raters cannot know.  It must not choose among ideas.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from actors.rtm.params import (
    Code,
    Control,
    Eligible,
    Initiative,
    Offer,
    OfferPolicy,
    Product,
    TreatmentParams,
    Truth,
    Workshop,
)
from scenarios.catalogue import read_entry
from scenarios.entries import CATALOG_DIR, shipped_names, triggers
from scenarios.validation import Loc, look, problem_at, validate
from scenarios.yaml12 import Node
from sim.core.errors import Problem, ScenarioError, nearest
from sim.core.params import Params

BACKLOG_DIR = CATALOG_DIR / "backlog"
N_IDEAS = 240
QUOTA = {"billing": 8, "geo": 6, "traffic": 2, "retention": 5}
"""Initiatives that the workshop took from each group (S0.22)."""
Group = Literal["billing", "geo", "traffic", "retention"]


class Score(Params):
    """What raters said, each on a scale from 1 to 10."""

    mean: float = Field(ge=1, le=10, description="mean of the raters, 1 to 10")
    sd: float = Field(ge=0, le=5, description="standard deviation between raters")


class Ratings(Params):
    """The workshop's view of an idea; high is much value, much wow, much cost, much time."""

    raters: int = Field(ge=3, le=60, description="people who rated it")
    value: Score
    wow: Score
    cost: Score
    time: Score


class Contact(Params):
    """How the idea speaks."""

    channels: tuple[str, ...] = Field(min_length=1, description="channels, first choice first")
    per_fire: float = Field(default=1.0, ge=0, le=10, description="contacts per fire, believed")


class Needs(Params):
    """What must be there first."""

    feeds: tuple[str, ...] = Field(description="data feeds")
    parts: tuple[str, ...] = Field(default=(), description="parts of the platform")
    legal: tuple[Literal["location", "traffic", "consent"], ...] = Field(
        default=(), description="legal bases that it needs"
    )


class Effort(Params):
    """What it takes, as planned."""

    person_months: float = Field(gt=0, description="work after the foundation")
    months: float = Field(gt=0, description="calendar time after the foundation")
    run_cost_rub_month: int = Field(ge=0, description="cost of running it, RUB a month")
    feasible: float = Field(ge=0, le=1, description="believed chance that it can be built")


class Relations(Params):
    """How it stands to other ideas."""

    conflicts: str = Field(description="name of the set that fights for the same moment")
    duplicate_of: str = Field(default="", description="id of the idea that it repeats in part")


class Hidden(Params):
    """What no rater knows: read by the twin alone, never by a ranking."""

    truth: Truth
    person_months: float = Field(gt=0, description="work that it really takes")
    feasible_draw: float = Field(
        ge=0, lt=1, description="it can be built where this lies below the true chance"
    )


class Outcome(Params):
    """What became of it."""

    stage: Literal["idea", "chosen", "launched"] = Field(description="how far it came")
    drop_reason: str = Field(default="", description="why it went no further")
    month: float | None = Field(default=None, description="month of the launch, from the start")
    margin_rub: float | None = Field(
        default=None, description="measured margin, RUB per 1,000 lines and month; none: no run"
    )
    run: str = Field(default="", description="run that measured it")


class Idea(Params):
    """One idea of the backlog."""

    id: str = Field(pattern=r"^I[0-9]{3}$", description="identity")
    title: str = Field(min_length=3, max_length=90, description="what a person reads")
    function: str = Field(description="business function that proposed it")
    group: Group
    source: str = Field(description="row of the sources that it comes from, or `workshop`")
    initiative: Code | None = Field(default=None, description="code, where it was chosen")
    offers: tuple[str, ...] = Field(
        default=(), description="shipped offers that are this idea; else it describes its own"
    )
    when: dict[str, dict[str, Any]] = Field(description="trigger and its options")
    freshness_s: int = Field(ge=1, description="age at which an event is worthless, s")
    fires: float = Field(ge=0, description="believed fires per 1,000 lines and month")
    eligible: Eligible = Eligible()
    need: str = Field(description="need that it answers, one of `NEEDS`")
    half_life_h: float = Field(gt=0, description="half-life of that need, h, believed")
    product: Product
    propensity: float = Field(ge=0, le=1, description="believed chance of an acceptance")
    margin_minor: int = Field(description="believed margin of an acceptance, minor units")
    contact: Contact
    prerequisites: Needs
    ratings: Ratings
    effort: Effort
    relations: Relations
    hidden: Hidden
    outcome: Outcome


class Ideas(Params):
    """One file of the backlog."""

    backlog: str = Field(description="name: that of the file")
    ideas: tuple[Idea, ...] = Field(min_length=1)


def compiled(idea: Idea) -> Offer:
    """Return the offer of the catalogue that an idea describes: trigger x offer x channels."""
    return Offer(
        offer=f"idea_{idea.id[1:]}",
        title=idea.title,
        group=idea.group,
        when=idea.when,
        eligible=idea.eligible,
        product=idea.product,
        propensity=idea.propensity,
        margin_minor=idea.margin_minor,
        truth=idea.hidden.truth,
        treatments=tuple(TreatmentParams(channel=name) for name in idea.contact.channels),
        policy=OfferPolicy(
            service=idea.product.kind == "care",
            expires_min=max(min(idea.freshness_s // 60, 10_080), 1),
        ),
        control=Control(),
        initiative=None
        if idea.initiative is None
        else Initiative(
            code=idea.initiative,
            workshop=Workshop(
                fires=idea.fires,
                person_months=idea.effort.person_months,
                months=idea.effort.months,
            ),
        ),
    )


def identity(idea: Idea) -> tuple[Any, ...]:
    """Return what makes an idea different from every other: rule, audience, product, channels."""
    [(name, options)] = idea.when.items()
    values = triggers()[name](**options)
    return (
        name, values, idea.eligible, idea.product, idea.need, frozenset(idea.contact.channels),
    )  # fmt: skip


def rank(ideas: Iterable[Idea]) -> list[Idea]:
    """Return ideas by the workshop's two axes, best first: value + wow against time + cost."""
    return sorted(ideas, key=lambda idea: (-score(idea), idea.id))


def score(idea: Idea) -> float:
    """Return value + wow less time + cost of an idea, as rated."""
    told = idea.ratings
    return told.value.mean + told.wow.mean - told.cost.mean - told.time.mean


def funnel(ideas: Iterable[Idea]) -> tuple[list[Idea], list[Idea]]:
    """Return the ideas that the quotas of the groups take by rank, and those that were launched."""
    ranked = rank(ideas)
    chosen = []
    for group, places in QUOTA.items():
        chosen += [idea for idea in ranked if idea.group == group][:places]
    return chosen, [idea for idea in chosen if idea.outcome.stage == "launched"]


def problems_of(node: Node, name: str) -> tuple[Ideas | None, list[Problem]]:
    """Return one file of the backlog, or None, and everything that is wrong with it."""
    model, problems = validate(Ideas, node)
    if model is None:
        return None, problems
    if model.backlog != name:
        place = look(node, "backlog") or node
        problems.append(
            problem_at(place, ("backlog",), "the name differs from that of the file", expected=name)
        )
    seen: dict[Any, str] = {}
    for row, idea in enumerate(model.ideas):
        place = look(node, "ideas", row) or node
        wrong = _trigger_problems(idea, place, row)
        problems += wrong or _idea_problems(idea, place, row, seen)
    return model, problems


def _trigger_problems(idea: Idea, node: Node, row: int) -> list[Problem]:
    path: Loc = ("ideas", row, "when")
    place = look(node, "when") or node
    known = triggers()
    if len(idea.when) != 1:
        return [problem_at(place, path, "an idea has one trigger", expected=", ".join(known))]
    [(name, _)] = idea.when.items()
    if name not in known:
        close = nearest(name, known)
        return [problem_at(place, path, "no such trigger", found=name, expected=close or "a name")]
    return validate(known[name], look(node, "when", name) or node, prefix=(*path, name))[1]


def _idea_problems(idea: Idea, node: Node, row: int, seen: dict[Any, str]) -> list[Problem]:
    found = []
    path: Loc = ("ideas", row)
    for channel in idea.contact.channels:
        if channel not in shipped_names("channels"):
            found.append(problem_at(node, (*path, "contact"), "no such channel", found=channel))
    for offer in idea.offers:
        if offer not in shipped_names("offers"):
            found.append(problem_at(node, (*path, "offers"), "no such offer", found=offer))
    if idea.need != idea.hidden.truth.category:
        found.append(problem_at(node, (*path, "need"), "the need differs from that of the truth",
                                found=idea.need, expected=idea.hidden.truth.category))  # fmt: skip
    mine = repr(identity(idea))
    if mine in seen:
        found.append(problem_at(node, path, f"the same idea as {seen[mine]}", found=idea.id))
    seen[mine] = idea.id
    return found


@functools.cache
def backlog(folder: Path = BACKLOG_DIR) -> tuple[Idea, ...]:
    """Return every idea of a folder, sorted by id; raise on any problem in them."""
    problems: list[Problem] = []
    ideas: list[Idea] = []
    for path in sorted(folder.glob("*.yaml")):
        model, wrong = problems_of(read_entry(path), path.stem)
        problems += wrong
        ideas += model.ideas if model is not None else ()
    if problems:
        raise ScenarioError.collect(problems)
    return tuple(sorted(ideas, key=lambda idea: idea.id))
