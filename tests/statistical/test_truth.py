"""Laws 2 to 4 of truth.md section 6 on policies and delays, in the myopic world."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from actors import messages as m
from actors.subscribers.state import EXPOSURE
from scenarios import load
from sim.core.columns import Columns
from sim.core.partition import Partition
from tests.factories import Run, run_world, ticks_of, tiny_world
from tests.statistical.test_laws import CASE, LAW_2, OTHERS, PACK, PROOF, VAT

LINES = 1_500
FAR = {"subscribers.answers.horizon_days": 0.5, "subscribers.needs.spontaneous_per_day.data": 0.08}
"""A long horizon, and needs seldom enough that a line rarely has two in a day."""
ONE_CONTACT = {**LAW_2, **FAR, "catalog.define": {
    **LAW_2["catalog.define"],
    "offers": {CASE: PROOF | {"policy": {"cap": {"contacts": 1, "per_days": 30},
                                         "expires_min": 10_080}}}
    | {name: {"eligible": {"nobody": True}} for name in OTHERS},
}}  # fmt: skip
MANY_CONTACTS = {
    **LAW_2, **FAR, "subscribers.answers.horizon_days": 0.35,
    "subscribers.answers.delay_median_min": 100,
}  # fmt: skip


def earned(run: Run) -> np.ndarray:
    """Return (n_lines,) the margin of a run by line, minor units: rated purchases less contacts."""
    level = run.world.scenario.money.price_level
    rows, sent = run.rows("activity"), run.rows("deliveries")
    paid = (rows["kind"] == m.PURCHASE) & (rows["charged_minor"] > 0)
    unit = PACK["unit_cost_minor"] * level
    margin = np.rint(rows["charged_minor"][paid] * (1 - VAT) - unit).astype(np.int64)
    out = np.zeros(run.world.n_lines, np.int64)
    np.add.at(out, rows["sub"][paid], margin)
    cost = round(load("city_day").catalogue.channels["sms"].cost_minor * level)
    if "status" in sent:
        np.subtract.at(out, sent["sub"][sent["status"] <= m.FAILED], cost)
    return out


def gains(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_lines,) the sum of the direct truths of a line, and whether both of its worlds end
    within the run and the horizon."""
    truth, n = run.rows("truth"), run.world.n_lines
    gain, whole = np.zeros(n, np.int64), np.ones(n, np.bool_)
    np.add.at(gain, truth["sub"], truth["y1_minor"] - truth["y0_minor"])
    horizon_ms = round(run.world.scenario.subscribers.answers.horizon_days * 86_400_000)
    end_ms = np.minimum(truth["ts_ms"] + horizon_ms, run.world.clock.end_ms)
    late = np.maximum(truth["t1_ms"], truth["t0_ms"]) >= end_ms
    whole[truth["sub"][late]] = False
    return gain, whole


@functools.cache
def myopic(policy: str, contacts: str) -> Run:
    """Run a day in which a policy says who is contacted: all, none, or by a list."""
    base: dict[str, Any] = ONE_CONTACT if contacts == "one" else MANY_CONTACTS
    if policy == "none":
        return run_world(tiny_world(subscribers=LINES, **base, **{"rtm.enabled": False}))
    world = functools.partial(tiny_world, subscribers=LINES, **base)
    if policy == "all":
        return run_world(world())
    gain, _ = gains(myopic("all", contacts))
    subs = np.arange(LINES)
    barred = {"oracle": subs[gain[:LINES] <= 0], "half": subs[::2],
              "perverse": subs[gain[:LINES] > 0]}[policy]  # fmt: skip
    return run_world(world(**{"rtm.withhold": [f"{sub}/{CASE}" for sub in barred]}))


def test_direct_truths_sum_to_the_paired_difference() -> None:
    """Law 2 for lines with many contacts: what a line gains by all of them is the sum of their
    direct truths, of which each takes the pending answers to earlier contacts as given.
    """
    on, off = myopic("all", "many"), myopic("none", "many")
    gain, whole = gains(on)
    paired = earned(on) - earned(off)
    subs, n = np.unique(on.rows("truth")["sub"], return_counts=True)
    several = np.zeros(len(gain), np.bool_)
    several[subs[n > 1]] = True
    same = gain == paired
    asked = whole & several
    rows = on.rows("truth")
    promised = {(s, t) for s, t in zip(rows["sub"], rows["t1_ms"], strict=True) if t >= 0}
    pairs = zip(rows["sub"], rows["t0_ms"], strict=True)
    pending = sum(pair in promised and bool(asked[pair[0]]) for pair in pairs)
    print(f"{same[asked].sum()} of {asked.sum()} lines, {pending} messages upon a pending answer; "
          f"{gain[asked].sum()} against {paired[asked].sum()}")  # fmt: skip
    assert asked.sum() > 300 and pending >= 3
    assert same[asked].all()


def test_the_oracle_has_no_regret_and_nobody_beats_it() -> None:
    """Law 3: who contacts those alone whose `y1 - y0` is positive earns what the direct truth says
    can be earned at most, and more than all, none, every second, or the others."""
    truth = myopic("all", "one")
    gain, whole = gains(truth)
    assert np.unique(truth.rows("truth")["sub"], return_counts=True)[1].max() == 1
    none = earned(myopic("none", "one"))
    value = {
        policy: (earned(myopic(policy, "one")) - none)[whole]
        for policy in ("oracle", "all", "half", "perverse")
    }
    best = np.maximum(gain, 0)[whole]
    print({policy: int(v.sum()) for policy, v in value.items()}, "best", int(best.sum()))
    regret = best - value["oracle"]
    assert (gain[whole] > 0).sum() > 30 and (gain[whole] < 0).sum() > 300
    assert np.count_nonzero(regret) <= 2, regret[regret != 0]
    for policy in ("all", "half", "perverse"):
        less = best - value[policy]
        assert less.sum() > 4 * less.std() * len(less) ** 0.5 > 0, policy


# --- law 4 --------------------------------------------------------------------------------------

LINEAR = {
    **LAW_2,
    "subscribers.answers.price_weight": 0, "subscribers.answers.taste_weight": 0,
    "subscribers.answers.need_weight": 0.5, "subscribers.answers.fatigue_per_contact": 0,
    "subscribers.answers.delay_median_min": 240,
    "subscribers.needs.organic_share.data": 0,
}  # fmt: skip
"""Utility is the need alone, and small: the chance to accept is linear in it, from 1/2 on."""


@functools.cache
def answers(need: bool, decay_h: float) -> tuple[np.ndarray, int, Any]:
    """Send each of 4,000 lines twenty messages at the birth of a need, or without one.

    Returns
    -------
    delay_s, n, tables : delays of those who accept, messages seen, tables of the role
    """
    lines = 4_000
    world = tiny_world(subscribers=lines, **LINEAR, **{"subscribers.needs.decay_h.data": decay_h})
    people, _, _ = world.build(Partition(0, 0, lines))
    case = world.labels["use_case"].index(CASE)
    kind = int(people.world.tables.case_need[case])
    people.pool = Columns(EXPOSURE, lines)
    ticks = ticks_of(world, world.clock.n_ticks)
    delays, seen = [], 0
    for at_s in range(3_600, 3_600 * 21, 3_600):
        people.columns["need_kind"][:] = 255
        if need:
            people.columns["need_kind"][:, 0] = kind
            people.columns["need_born_s"][:, 0] = at_s
        rows = {f.name: np.zeros(lines, f.dtype) for f in m.DELIVERY.fields}
        rows["sub"][:] = np.arange(lines)
        rows["use_case"][:] = case
        rows["status"][:] = m.DELIVERED
        rows["channel"][:] = world.labels["channel"].index("sms")
        for name in ("ts_ms", "sent_ms", "trigger_ms"):
            rows[name][:] = at_s * 1_000
        people._hear(rows, ticks[at_s * 1_000 // world.clock.tick_ms])
        truth = people._truth
        people.n_pool = 0
        seen += int(truth["seen"].sum())
        yes = truth["accepts"] == 1
        delays.append((truth["t1_ms"][yes] - truth["ts_ms"][yes]) // 1_000)
    return np.concatenate(delays), seen, people.world.tables


def test_without_decay_the_curve_of_delays_is_flat() -> None:
    """Law 4: where a need lasts, who answers late accepts as often as who answers at once: the
    delays of those who accept are distributed as all answers are, within the life of the offer."""
    delay_s, seen, tables = answers(True, 10_000)
    case_valid_s = int(tables.case_valid_ms.max()) // 1_000
    drawn = np.sort(tables.answer_ms // 1_000)
    drawn = drawn[drawn <= case_valid_s]
    found: Any = stats.ks_2samp(delay_s, np.repeat(drawn, 100), method="asymp")
    print(f"n {len(delay_s)} of {seen}, D {found.statistic:.4f}")
    assert len(delay_s) > 20_000 and found.pvalue > 1e-6
    fast, _, _ = answers(True, 3)
    found = stats.ks_2samp(fast, np.repeat(drawn, 100), method="asymp")
    assert found.pvalue < 1e-12


@pytest.mark.parametrize("decay_h", [1, 3, 12])
def test_decay_costs_the_mean_of_what_is_left_of_the_need(decay_h: float) -> None:
    """Law 4, linear range: what a need adds to conversion is what it adds at full strength times
    E[exp(-delay / decay)], over answers within the five time constants that a need lives."""
    span_s = min(5 * decay_h * 3_600, 72 * 3_600)
    (none, n, tables), (full, _, _) = answers(False, 10_000), answers(True, 10_000)
    decayed, seen, _ = answers(True, decay_h)
    assert n == seen
    base, most, found = ((d < span_s).sum() for d in (none, full, decayed))
    delay_s = tables.answer_ms // 1_000
    delay_s = delay_s[delay_s < span_s]
    expected = np.exp(-delay_s / (decay_h * 3_600)).mean()
    ratio = (found - base) / (most - base)
    # Common draws: only those between the two worlds' answers vary.
    error = np.sqrt(found - base + expected**2 * (most - base)) / (most - base)
    print(f"decay {decay_h} h: {ratio:.4f}, expected {expected:.4f} +- {error:.4f}, n {n}")
    assert abs(ratio - expected) < 5 * error + 0.01 and error < 0.03
