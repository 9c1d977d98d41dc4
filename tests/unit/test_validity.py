"""The table of validity and the red flag of its ranks, from the command line on tiny runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scenarios.cli import run_cli
from scenarios.validity import ANCHORS, rank_flags, scaled, validity
from tests.unit.test_kpis import made


def test_a_figure_outside_its_range_says_so_and_one_without_cases_has_no_verdict() -> None:
    """Of the same figures: churn of 30 % a month is outside, 2 % inside, an empty run has none."""

    def churn(left: int) -> dict[str, Any]:
        def change(t: Any) -> None:
            t["left"][...] = left

        rows = {row["figure"]: row for row in validity(made(change=change))}
        return rows["lines lost in a month"]

    days = made()["population"]["days"]
    assert churn(round(50_000 * 0.02 * days / 30))["verdict"] == "inside"
    assert churn(round(50_000 * 0.3 * days / 30))["verdict"] == "outside"
    nothing = validity(made([]))
    assert len(nothing) == len(ANCHORS)
    assert {row["verdict"] for row in nothing if row["figure"] != "lines lost in a month"} == {
        "too few"
    }


def test_each_row_has_a_kind_a_source_and_a_range() -> None:
    """Rows are input, calibrated or held-out, and most that judge are held-out."""
    kinds = [anchor.kind for anchor in ANCHORS]
    assert set(kinds) == {"input", "calibrated", "held-out"}
    assert kinds.count("held-out") > len(kinds) / 2
    assert all(anchor.low < anchor.high and anchor.source for anchor in ANCHORS)


def test_the_command_reads_a_finished_run(tmp_path: Path, capsys: Any) -> None:
    """Rows of the run's figures as JSON; neither or both of scenario and file are refused."""
    (tmp_path / "kpis.json").write_text(json.dumps(made()), encoding="utf-8")
    assert run_cli(["validate", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["figure"] for row in told["rows"]] == [anchor.name for anchor in ANCHORS]
    assert run_cli(["validate", str(tmp_path), "--strict", "--quiet"]) == 4
    assert run_cli(["validate"]) == 2
    assert run_cli(["validate", str(tmp_path), "--cases", "x.csv"]) == 2
    capsys.readouterr()


def test_response_is_scaled_and_an_order_that_ignores_it_is_flagged() -> None:
    """Half of each response parameter; the same figures thrice are an order that ignores it."""
    from scenarios import load

    model = load("city_day").model
    half = scaled(model, 0.5)
    assert half["subscribers.answers.need_weight"] == model.subscribers.answers.need_weight / 2
    assert scaled(model, 5)["subscribers.answers.seen_share"] == 1
    assert len(rank_flags([made()] * 3)) == 1
