"""Lots and shares on real runs: a line lives as if its lot were the whole world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.rtm.lots import lots_of_lines
from scenarios.kpis_cases import _lots
from scenarios.lines import margins_now
from scenarios.prioritize import Options, prioritize
from scenarios.prioritize.contacts import by_subsets
from tests.factories import MYOPIC, SLACK, run_world, tiny_world

pytestmark = pytest.mark.slow

LINES, SEED = 600, 20260304
EAGER = {
    "traffic_data_pack": {"truth": {"b0": 1}},
    "low_balance_credit": {"truth": {"b0": 3}, "eligible": {"tenure_days_min": 0}},
    "mall_coupon": {"truth": {"b0": 1}},
}
NAMES = tuple(sorted(EAGER))
APART: dict[str, Any] = {
    **MYOPIC,
    "catalog.offers": list(NAMES),
    "catalog.define": {"offers": EAGER, "channels": SLACK},
    "subscribers.usage.visit_per_day": 6,
    "rtm.capture.loss": 0,
}
"""Three offers that are taken often, and nothing that one line does to another."""


def margins(lots: list[list[str]], **more: Any) -> np.ndarray:
    """Return the margin of every line at the end of a day."""
    run = run_world(tiny_world(subscribers=LINES, **{**APART, "rtm.lots": lots, **more}))
    return margins_now(run.runtime).astype(np.int64)


def test_a_line_lives_as_if_its_lot_were_the_whole_world() -> None:
    """Each line of four lots earns what it earns where everybody has its lot."""
    lots: list[list[str]] = [[], [NAMES[0]], [NAMES[1], NAMES[2]], list(NAMES)]
    mixed = margins(lots)
    lot = lots_of_lines(SEED, len(mixed), len(lots))
    counts = np.bincount(lot, minlength=len(lots))
    assert counts.min() > LINES / len(lots) * 0.7
    differs = 0
    for k, live in enumerate(lots):
        alike = margins([live])
        assert np.array_equal(mixed[lot == k], alike[lot == k]), live
        differs += int((alike != mixed).sum())
    assert differs > 30


def test_lots_are_an_experiment_whose_figures_are_told() -> None:
    """Lines and margin of each lot are counted; more is earned where an offer is live."""
    lots: list[list[str]] = [[], list(NAMES)]
    world = tiny_world(subscribers=LINES, **{**APART, "rtm.lots": lots})
    run = run_world(world, partitions=3)
    mine = margins(lots)
    lot = lots_of_lines(SEED, len(mine), 2)
    for k in (0, 1):
        assert run.totals["lot_n"][k] == (lot == k).sum()
        assert run.totals["lot_y_minor"][k] == mine[lot == k].sum()
    told = _lots(run.totals, ("lot 0", "lot 1"))
    gap = (mine[lot == 1].mean() - mine[lot == 0].mean()) * 1_000
    assert told["lot 1"]["over_first"]["value"] == pytest.approx(gap, rel=1e-5)
    assert told["lot 1"]["over_first"]["n"] == len(mine)
    assert told["lot 0"]["over_first"]["value"] is None


def test_what_is_in_no_lot_asks_nobody() -> None:
    """Use cases that are live nowhere make no contact, and have no winner."""
    world = tiny_world(subscribers=LINES, **{**APART, "rtm.lots": [[NAMES[0]], []]})
    run = run_world(world)
    cases = list(world.labels["use_case"])
    sent = {name: int(run.totals["intended"][cases.index(name)]) for name in NAMES}
    assert sent[NAMES[0]] > 0 and sent[NAMES[1]] == sent[NAMES[2]] == 0
    lot = lots_of_lines(SEED, world.n_lines, 2)
    assert (lot[run.rows("decisions")["sub"]] == 0)[run.rows("decisions")["reason"] == 0].all()


SMALL = {
    "population.donor_days": 0, "population.donors": 500, "contact_centre.enabled": False,
    "subscribers": 1_200, "days": 1, "catalog.offers": list(NAMES),
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a study of three use cases with every further run."""
    patches = {"offers": EAGER, "channels": SLACK}
    told = {**SMALL, "catalog.define": patches, "rtm.cap.contacts": 1}
    told = {{"subscribers": "population.subscribers", "days": "clock.days"}.get(k, k): v
            for k, v in told.items()}  # fmt: skip
    out = tmp_path_factory.mktemp("study") / "found"
    overrides = tuple(f"{key}={json.dumps(value)}" for key, value in told.items())
    return prioritize("city_day", Options(overrides=overrides, out=out))


def test_shares_of_a_study_sum_to_the_joint_value(study: Any) -> None:
    """The rows give out what all together made, and the page says so."""
    told = study.document
    total = sum(row["share"]["value"] for row in told["use_cases"])
    assert total == pytest.approx(told["joint"]["value"], rel=1e-9)
    assert told["joint"]["value"] != 0
    assert {row["name"] for row in told["use_cases"]} == {"T2", "B5", "G2"}
    assert json.loads((study.path / "prioritize.json").read_text())["joint"] == told["joint"]
    page = (study.path / "prioritize.html").read_text()
    assert told["headline"].split(".")[0] in page and "http://" not in page.split("<body>")[1]


def test_sampled_shares_agree_with_runs_of_every_subset(study: Any, tmp_path: Path) -> None:
    """Eight worlds, one for each subset, give the shares that four runs of dealt lots estimate."""
    from scenarios.compare.pairs import Job, run_job
    from scenarios.compare.people import read_lines
    from scenarios.loader import load
    from scenarios.prioritize.design import Arm
    from scenarios.prioritize.runs import common_ground, overrides_for

    told = study.document
    loaded = load(study.path / "scenario.yaml")
    codes = [row["name"] for row in told["use_cases"]]
    ground = common_ground(loaded)

    def worth_of(members: tuple[int, ...]) -> float:
        live = tuple(codes[j] for j in members)
        arm = Arm("subset", (live,))
        out = tmp_path / "-".join(("s", *live))
        overrides = overrides_for(ground, arm)
        path = run_job(Job(ground.source, overrides, ground.model.seed, out, 2, sampled=False))
        lines = read_lines(path)
        assert lines is not None
        return float(lines.margin_minor.mean()) * 1_000

    exact = by_subsets(len(codes), worth_of)
    for row, want in zip(told["use_cases"], exact, strict=True):
        assert row["share"]["low"] <= want <= row["share"]["high"], (row["name"], want)
