"""Capture: what a perfect feed, losses, copies and delays do to triggers and decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.factories import EVENTFUL, Run, run_world, same_rows, tiny_world

SOURCES = ("usage", "location", "visit", "blocked", "recharge_start")
DEAF = {
    "rtm.capture.loss": 0,
    "rtm.capture.judged": 1,
    "rtm.capture.sources": {},
    "catalog.offers": ["unfinished_purchase", "low_balance_credit", "mall_coupon",
                       "service_apology", "traffic_data_pack"],
}  # fmt: skip


def world(lines: int = 500, days: float = 1.0, **options: Any) -> Any:
    """Return an eventful world whose triggers are all judged."""
    define = EVENTFUL["catalog.define"]
    offers = {name: patch for name, patch in define["offers"].items()}
    kept = {**define, "offers": {k: v for k, v in offers.items() if k in DEAF["catalog.offers"]}}
    return tiny_world(
        subscribers=lines, days=days, **{**EVENTFUL, **DEAF, "catalog.define": kept, **options}
    )


def sources(**values: float) -> dict[str, Any]:
    """Return options that give every source the same fate."""
    return {"rtm.capture.sources": {name: values for name in SOURCES}}


def figures(run: Run) -> dict[str, np.ndarray]:
    """Return the counts of judged hits by rule."""
    return {key: run.totals[f"rule_{key}"] for key in ("hits", "truth", "matched", "delay_ms")}


def test_a_perfect_feed_gives_precision_and_recall_of_one() -> None:
    """Nothing lost, late or twice: every hit is a true one, every true one a hit, at once."""
    built = world()
    run = run_world(built)
    found = figures(run)
    screen = built.labels["trigger"].index("inbound")
    assert found["hits"].sum() > 1_000 and (found["hits"] > 0).sum() >= 4
    assert (found["hits"] == found["truth"]).all() and (found["hits"] == found["matched"]).all()
    assert found["delay_ms"].sum() == 0
    told = np.delete(run.totals["trigger_hits"] + run.totals["hits_held"], screen)
    assert found["hits"].sum() == told.sum()


def test_a_tenth_of_events_lost_is_a_tenth_of_hits_of_single_events_lost() -> None:
    """Recall of a trigger on one independent row is 0.90 +- 0.01; precision stays one."""
    built = world(3_000, 2.0, **{"rtm.capture.loss": 0.1})
    run = run_world(built)
    rule = built.labels["trigger"].index("cart_visit")
    found = {key: int(array[rule]) for key, array in figures(run).items()}
    assert found["truth"] > 10_000
    assert found["matched"] == found["hits"]
    assert abs(found["matched"] / found["truth"] - 0.90) < 0.01


def test_rows_that_come_twice_change_nothing() -> None:
    """State of the engine, decisions and messages are those of a run without copies."""
    once, twice = (
        run_world(world(**sources(twice=share, late_median_s=1_800)), partitions=3)
        for share in (0.0, 0.3)
    )
    assert twice.totals["rows_twice"].sum() > 5_000
    for name in ("RtmState", "Contacts", "Taken", "Held", "Experiment", "SubscriberState"):
        assert once.digest[name] == twice.digest[name], name
    for table in ("decisions", "truth", "activity"):
        assert same_rows(once.rows(table), twice.rows(table)), table


def test_late_rows_are_seen_late_and_too_late_ones_never() -> None:
    """Every late row arrives or is dropped; hits lag behind; the books hold on any cut."""
    options = {**sources(late=0.2, late_median_s=3_600), "rtm.capture.late_limit_min": 180}
    run, other = (run_world(world(**options), partitions=n) for n in (1, 3))
    totals = run.totals
    assert all(holds for *_, holds in run.audit)
    assert totals["rows_late"].sum() > 5_000 and totals["rows_too_late"].sum() > 500
    assert totals["rows_arrived"].sum() > 0.9 * totals["rows_late"].sum()
    found = figures(run)
    assert found["delay_ms"].sum() > 0
    assert found["matched"].sum() < found["truth"].sum()
    assert run.digest == other.digest
    decided = run.rows("decisions")
    assert (decided["ts_ms"] >= 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_hits_are_scored_against_needs(share: float) -> None:
    """Each hit of a judged line is scored once; needs of the category are found alive at some."""
    run = run_world(world(**sources(late=share)))
    scored = run.totals["rule_scored"]
    assert 0 < scored.sum() <= run.totals["rule_hits"].sum()
    needed = run.totals["rule_needed"].sum()
    assert 0 < needed < scored.sum()
