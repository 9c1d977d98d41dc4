"""The backlog of 240 ideas: complete, distinct, compiled into offers, and the funnel out of it."""

from collections import Counter
from pathlib import Path

import pytest

from actors.rtm.params import NEEDS
from scenarios import load
from scenarios.backlog import (
    BACKLOG_DIR,
    N_IDEAS,
    QUOTA,
    backlog,
    compiled,
    funnel,
    identity,
    problems_of,
    rank,
    score,
)
from scenarios.backlog_make import SHARES, texts
from scenarios.catalogue import shipped_entries
from scenarios.yaml12 import dump_yaml, parse_yaml


def test_the_files_are_what_the_generator_writes() -> None:
    """Deterministic: made anew, every byte is the same."""
    for name, text in texts().items():
        assert (BACKLOG_DIR / f"{name}.yaml").read_text("utf-8") == text


def test_there_are_240_different_ideas_in_the_proportion_of_the_21() -> None:
    """Ids run from I001 to I240; no two have the same rule, audience, product and channels."""
    ideas = backlog()
    assert [idea.id for idea in ideas] == [f"I{k:03d}" for k in range(1, N_IDEAS + 1)]
    assert len({repr(identity(idea)) for idea in ideas}) == N_IDEAS
    assert Counter(idea.group for idea in ideas) == SHARES
    assert sum(SHARES.values()) == N_IDEAS
    assert all(idea.ratings.raters >= 3 and idea.need in NEEDS for idea in ideas)


def test_the_21_initiatives_are_among_them_and_are_the_shipped_offers() -> None:
    """Each of the 21 once, with every shipped offer of its code, and with its trigger."""
    chosen = [idea for idea in backlog() if idea.initiative is not None]
    offers = shipped_entries("offers")
    of_code: dict[str, set[str]] = {}
    for name, offer in offers.items():
        if offer.initiative is not None:
            of_code.setdefault(offer.initiative.code, set()).add(name)
    assert {str(idea.initiative): set(idea.offers) for idea in chosen} == of_code
    assert len(of_code) == sum(QUOTA.values()) == 21
    for idea in chosen:
        first = offers[idea.offers[0]]
        assert (idea.when, idea.product, idea.group) == (first.when, first.product, first.group)
        assert idea.hidden.truth == first.truth


def test_the_funnel_takes_8_6_2_5_and_launches_14() -> None:
    """By the workshop's scores and the quotas the 21 come out; seven fell to technical limits."""
    chosen, launched = funnel(backlog())
    assert Counter(idea.group for idea in chosen) == QUOTA
    assert all(idea.initiative is not None for idea in chosen) and len(launched) == 14
    dropped = {idea.initiative for idea in chosen} - {idea.initiative for idea in launched}
    assert dropped == {"B6", "B7", "B8", "G6", "R1", "R2", "R3"}
    order = [score(idea) for idea in rank(backlog())]
    assert order == sorted(order, reverse=True)


def test_every_idea_compiles_into_an_offer_that_a_scenario_can_run(tmp_path: Path) -> None:
    """240 offers in one scenario: each passes the checks of the catalogue, none stands twice."""
    offers = {offer.offer: offer for offer in map(compiled, backlog())}
    assert len(offers) == N_IDEAS
    define = {
        name: offer.model_dump(mode="json", exclude_defaults=True) for name, offer in offers.items()
    }
    scenario = {
        "scenario": "all_ideas",
        "extends": "city_day",
        "catalog": {"offers": sorted(offers), "define": {"offers": define}},
    }
    path = tmp_path / "all_ideas.yaml"
    path.write_text(dump_yaml(scenario), "utf-8")
    assert set(load(path).catalogue.offers) == set(offers)


def test_no_effect_is_typed_into_an_idea() -> None:
    """Margins come from runs: none is filled in, and beliefs are apart from what raters see not."""
    for idea in backlog():
        assert idea.outcome.margin_rub is None and idea.outcome.run == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("allowance_used: {percent: 80}", "allowance_usde: {percent: 80}", "no such trigger"),
        ("allowance_used: {percent: 80}", "allowance_used: {percent: 800}", "from 1 to 100"),
        ("channels: [push, sms]", "channels: [pigeon]", "no such channel"),
        ("offers: [plan_limit_pack]", "offers: [plan_limit]", "no such offer"),
        ("raters: ", "raters_: ", "raters"),
        ("need: data", "need: money", "differs"),
    ],
)
def test_what_is_wrong_in_an_idea_is_said(old: str, new: str, said: str, tmp_path: Path) -> None:
    """A file with one fault: the fault is named, with its line."""
    text = (BACKLOG_DIR / "billing.yaml").read_text("utf-8")
    lines = text.splitlines(keepends=True)[:4]
    text = "".join(lines)
    assert old in text
    node = parse_yaml(text.replace(old, new, 1).encode(), file="billing.yaml")
    _, problems = problems_of(node, "billing")
    assert problems and all(problem.line for problem in problems)
    assert any(said in str(problem) for problem in problems), problems


def test_two_ideas_that_are_the_same_are_refused() -> None:
    """The second of two with one rule, audience, product and channels is named with the first."""
    text = (BACKLOG_DIR / "billing.yaml").read_text("utf-8")
    lines = text.splitlines(keepends=True)[:4]
    twice = "".join(lines) + lines[3].replace("id: I001", "id: I002")
    _, problems = problems_of(parse_yaml(twice.encode(), file="billing.yaml"), "billing")
    assert any("same idea as I001" in str(problem) for problem in problems)
