"""What a decision records of its rule: the balance after the row, and the place of a stay alone."""

from __future__ import annotations

import numpy as np

from actors.rtm.triggers import DWELL, SLOW, USAGE, VISIT, registry
from tests.factories import run_world, tiny_world

WORLD = {
    "rtm.capture.loss": 0,
    "rtm.dwell.mall_min": 0,
    "subscribers.usage.visit_per_day": 100,
    "subscribers.mobility.leisure_per_day": 1,
    "subscribers.mobility.mall_share_weekday": 1,
    "catalog.define": {
        "offers": {"unfinished_purchase": {"when": {"cart_visit": {"kind": 0}}}},
    },
}
"""Everybody goes to a mall and reads pages all day, so that many a stay is noticed on a page."""


def test_a_row_that_completes_a_stay_tells_each_rule_its_own() -> None:
    """On one row a rule on uses or pages saw the balance after it, one on stays saw the place."""
    world = tiny_world(subscribers=1_200, **WORLD)
    run = run_world(world)
    decided, rows, found = run.rows("decisions"), run.rows("activity"), run.rows("detections")
    known = registry()
    signals = {
        number: known[name.partition("#")[0]].signal
        for number, name in enumerate(world.labels["trigger"])
        if name != "inbound"
    }
    places = set(zip(*(found[k].tolist() for k in ("sub", "satisfied_ms", "fence")), strict=True))
    stays = {(sub, at) for sub, at, _ in places}
    balances: dict[tuple[int, int], set[int]] = {}
    for sub, at, left in zip(
        *(rows[k].tolist() for k in ("sub", "ts_ms", "balance_after_minor")), strict=True
    ):
        balances.setdefault((sub, at), set()).add(left)
    n_stays = n_both = 0
    for sub, at, trigger, value in zip(
        *(decided[k].tolist() for k in ("sub", "ts_ms", "trigger", "value")), strict=True
    ):
        signal = signals.get(trigger)
        if signal == DWELL and (sub, at) in stays:
            n_stays += 1
            assert (sub, at, value) in places
        elif signal in (USAGE, VISIT, SLOW):
            n_both += (sub, at) in stays
            assert value in balances[sub, at]
    assert n_stays > 100 and n_both > 5
    assert np.unique(found["fence"]).size > 1
