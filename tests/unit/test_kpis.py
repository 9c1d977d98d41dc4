"""Headline figures: identities of the funnel, intervals against NumPy, nulls, red flags."""

import json
from functools import partial

import numpy as np
import pytest
from scipy import stats

from actors.metrics import ALL_METRICS
from scenarios.compare.study import PARTS
from scenarios.estimates import (
    Sums,
    difference_of_means,
    difference_of_shares,
    share,
    t_quantile,
    two_sided_p,
)
from scenarios.kpis import HOUR_MS, PER_HOUR, PER_TICK, Context, kpis
from scenarios.kpis_flags import stubborn_ranks
from sim.core.errors import InvariantError
from sim.core.histogram import N_BUCKETS
from sim.core.metrics import add_into, new_tally
from tests.unit.test_report_fake import CASES, LABELS, N_CELLS, tally

TICKS = 32
KEYS = {
    "population", "network", "charging", "funnel", "latency_ms", "use_cases", "channels",
    "contact_centre", "quests", "loyalty", "geofences", "experiments", "satisfaction", "churn",
}  # fmt: skip


def series(ticks: list[dict], names, step: int) -> dict[str, np.ndarray]:
    """Sum tallies over steps of so many ticks, as the recorder does from its file."""
    n = -(-len(ticks) // step)
    out = {"ts_ms": np.arange(n) * step * 900_000}
    kinds = {m.name: m.histogram for m in ALL_METRICS}
    for name in names:
        out[name] = np.zeros((n, N_BUCKETS) if kinds[name] else n, np.int64)
        for i, one in enumerate(ticks):
            out[name][i // step] += one[name] if kinds[name] else one[name].sum()
    return out


def made(ticks: list[dict] | None = None, *, change=None, **more) -> dict:
    ticks = [tally(i) for i in range(TICKS)] if ticks is None else ticks
    totals = new_tally(ALL_METRICS, LABELS)
    for one in ticks:
        add_into(totals, one)
    if change:
        change(totals)
    context = Context(**{
        "sim_ms": len(ticks) * 900_000, "tick_s": 900, "subscribers": 50_000, "cells": N_CELLS,
        "vat": 0.2, "horizon_days": 0.25, "use_cases": CASES, "start_hour": 18.0, **more,
    })  # fmt: skip
    out = kpis(
        totals, LABELS, context=context, stocks={"active": 100, "satisfaction_sum_q": 100 * 65_535},
        per_tick=series(ticks, PER_TICK, 1), per_hour=series(ticks, PER_HOUR, 4),
    )  # fmt: skip
    json.dumps(out, allow_nan=False)
    return out


@pytest.fixture(scope="module")
def day() -> dict:
    return made()


def test_every_part_of_the_contract_is_there(day):
    """The top-level keys, and the keys of each part that scripts rely on."""
    assert set(day) == KEYS | {
        "red_flags",
        "triggers",
        "campaigns",
        "real_time",
        "costs",
        "variants",
    }
    assert set(day) - {"red_flags"} | {"lines"} == set(PARTS), "a part that no comparison knows"
    assert set(day["latency_ms"]) == {
        "decision", "event_to_send", "capture", "profile", "decide", "channel",
    }  # fmt: skip
    for stage in day["latency_ms"].values():
        assert set(stage) == {"p50", "p95", "p99", "p999", "share_under_1s", "n"}
    case = day["use_cases"]["data_80"]
    assert set(case["uplift"]) >= {"value", "low", "high", "n", "horizon_days"}
    assert set(case["conversion"]) >= {"treated", "control", "low", "high"}
    assert case["group"] == "billing"
    assert day["contact_centre"] == {"available": False}
    assert set(day["network"]["prb_util"]) == {"p50", "p95", "p99", "n"}
    assert day["satisfaction"]["mean"] == 1.0


def test_the_funnel_narrows_and_adds_up(day):
    """Suppressed + intended = rules satisfied; no step is wider than the one before."""
    steps = ("trigger_hits", "eligible", "allowed", "won", "intended", "sent", "delivered",
             "seen", "accepted")  # fmt: skip
    for part in (day["funnel"], *day["use_cases"].values()):
        counts = [part[step] for step in steps]
        assert counts == sorted(counts, reverse=True)
        assert part["intended"] + sum(part["suppressed"].values()) == part["trigger_hits"]
        assert counts[0] > 0
    for step in steps:
        assert sum(c[step] for c in day["use_cases"].values()) == day["funnel"][step]
    assert day["red_flags"] == [] or all("funnel" not in flag for flag in day["red_flags"])


def test_money_is_whole_and_margin_is_revenue_less_cost(day):
    """Every `_minor` figure is an integer or unknown."""

    def walk(node):
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value)
            elif key.endswith("_minor"):
                assert value is None or isinstance(value, int), key

    walk({k: v for k, v in day.items() if k != "red_flags"})
    for case in day["use_cases"].values():
        earned = case["revenue_minor"] + case["saved_minor"]
        assert case["margin_minor"] == earned - case["cost_minor"]
    charging = day["charging"]
    gross = sum(charging[k] for k in ("usage_minor", "fees_minor", "purchases_minor",
                                      "credit_fee_minor"))  # fmt: skip
    assert charging["service_revenue_minor"] == round(gross * 0.8)
    coupon = day["use_cases"]["mall_coupon"]
    assert coupon["revenue_minor"] == round(coupon["purchases"] * 9_900 * 0.1)


def test_uplift_is_welch_on_the_single_margins():
    """Sums of three ticks give what NumPy and SciPy give on the margins themselves."""
    rng = np.random.default_rng(5)
    y1 = rng.binomial(1, 0.2, 400) * 16 * 500 - 16 * 4
    y0 = rng.binomial(1, 0.1, 90) * 16 * 500

    def change(t):
        for arm, y in ((0, y1), (1, y0)):
            t["exp_n"][0, arm], t["exp_y_minor"][0, arm] = len(y), y.sum()
            t["exp_y2"][0, arm] = ((y // 16) ** 2).sum()
            t["exp_bought"][0, arm] = (y > 0).sum()

    found = made(change=change)["use_cases"]["data_80"]
    expected = stats.ttest_ind(y1, y0, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    up = found["uplift"]
    assert up["value"] == pytest.approx(1_000 * (y1.mean() - y0.mean()), abs=1e-3)
    assert up["low"] == pytest.approx(1_000 * low, rel=1e-4)
    assert up["high"] == pytest.approx(1_000 * high, rel=1e-4)
    assert (up["n"], up["n_treated"], up["n_withheld"]) == (490, 400, 90)
    assert found["conversion"]["treated"] == pytest.approx((y1 > 0).mean(), abs=1e-6)
    gap = found["conversion"]
    assert gap["low"] < gap["difference"] < gap["high"]


def test_squares_that_were_scaled_down_move_the_interval_by_little():
    """`exp_y2` drops the last 4 bits of each margin: the interval stays within 1 %."""
    rng = np.random.default_rng(6)
    y = [rng.integers(-100, 9_000, n) for n in (300, 60)]
    sums = [Sums(len(v), int(v.sum()), int(((v // 16) ** 2).sum()) * 256) for v in y]
    found = difference_of_means(*sums)
    low, high = stats.ttest_ind(*y, equal_var=False).confidence_interval(0.95)
    assert found.high - found.low == pytest.approx(high - low, rel=0.01)


def test_an_effect_of_the_detectable_size_shows_in_four_of_five_repetitions():
    """1,500 repetitions of two arms that differ by it; half as much shows far less often."""
    rng = np.random.default_rng(8)

    def shows(effect: float, n1: int = 900, n0: int = 100) -> tuple[float, float]:
        seen, sizes = 0, []
        for _ in range(1_500):
            a, b = rng.normal(5_000 + effect, 900, n1), rng.normal(5_000, 900, n0)
            sums = [Sums(len(y), int(y.sum()), int((y**2).sum())) for y in (a, b)]
            found = difference_of_means(*sums)
            seen += found.verdict != "not significant"
            sizes.append(found.detectable)
        return seen / 1_500, float(np.mean(sizes))

    _, size = shows(0.0)
    assert shows(size)[0] == pytest.approx(0.8, abs=0.05)
    assert shows(size / 2)[0] < 0.4
    assert difference_of_means(Sums(5, 0, 0), Sums(5, 0, 0)).detectable is None
    assert difference_of_means(Sums(5, 9, 9), Sums(1, 0, 0)).detectable is None


def test_intervals_of_shares_are_wilsons_and_newcombes():
    """Against SciPy, and against the example in Newcombe's paper (56/70 and 48/80)."""
    for part, whole in ((0, 10), (3, 10), (812, 4_000), (10, 10)):
        low, high = stats.binomtest(part, whole).proportion_ci(method="wilson")
        found = share(part, whole)
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    with pytest.raises(InvariantError, match="11 of 10"):
        share(11, 10)
    gap = difference_of_shares(56, 70, 48, 80)
    assert (gap.value, gap.low, gap.high) == (
        pytest.approx(0.2), pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4),
    )  # fmt: skip


def test_students_quantile_is_close_or_on_the_safe_side():
    """Within 1 % from 2 degrees of freedom on, and never too small by more below."""
    for v in (2, 2.5, 3, 4, 7, 12, 40, 1e6):
        assert t_quantile(v) == pytest.approx(stats.t.ppf(0.975, v), rel=0.01)
    for v in (1, 1.3, 1.8):
        assert t_quantile(v) > 0.99 * stats.t.ppf(0.975, v)


def test_true_uplift_is_the_mean_of_both_worlds(day):
    """1,000 x (sum y1 - sum y0) / n."""
    totals = new_tally(ALL_METRICS, LABELS)
    for i in range(TICKS):
        add_into(totals, tally(i))
    gained = int(totals["truth_y1_minor"][0] - totals["truth_y0_minor"][0])
    case = day["use_cases"]["data_80"]
    assert case["true_uplift"] == pytest.approx(1_000 * gained / totals["truth_n"][0], abs=1e-3)
    assert case["true_uplift_n"] == totals["truth_n"][0]
    assert case["wow"] == pytest.approx(totals["wow_q"][0] / case["eligible"], abs=1e-6)


def test_geofences_are_scored_against_true_stays(day):
    """Precision of believed stays, recall of real ones, each with its n and within 0..1."""
    for fence in day["geofences"].values():
        assert fence["precision"] == pytest.approx(
            fence["detected_true"] / fence["detected"], abs=1e-6
        )
        assert fence["recall_n"] == fence["dwells"]
        assert 0 <= fence["recall_low"] <= fence["recall"] <= fence["recall_high"] <= 1
        assert fence["delay_s"] == 210


def test_the_busy_hour_is_the_hour_with_most_events():
    """By hours from the start; its name follows the local time at which the run began."""
    ticks = [tally(0) for _ in range(12)]
    for tick in ticks[4:8]:
        tick["events"] = tick["events"] * 10
    day = made(ticks, start_hour=18.0)
    events = sum(int(t["events"].sum()) for t in ticks[4:8])
    network = day["network"]
    assert network["busy_hour"] == 19
    assert network["busy_hour_start_ms"] == HOUR_MS
    assert network["busy_hour_events"] == events
    assert network["busy_hour_events_per_second"] == pytest.approx(events / 3_600, abs=1e-3)
    assert network["prb_util"]["n"] == 4 * N_CELLS
    assert network["prb_util_whole_run"]["n"] == 12 * N_CELLS


def test_channels_say_how_busy_their_senders_were(day):
    """Busy time over elapsed time; what came is sent, expired, dropped or still waiting."""
    for channel in day["channels"].values():
        told = sum(channel[k] for k in ("admitted", "expired", "dropped", "waiting"))
        assert told == channel["offered"]
        assert 0 < channel["utilisation"] <= 1
        assert channel["queue_ms"]["n"] == channel["admitted"]


def test_what_does_not_exist_is_null_and_not_zero():
    """A run in which nothing happened has no rates, no percentiles and no uplift."""
    empty = made([])
    case = empty["use_cases"]["data_80"]
    assert case["uplift"]["value"] is None and case["uplift"]["low"] is None
    assert case["true_uplift"] is None and case["wow"] is None
    assert case["conversion"]["treated"] is None and case["incremental"] is None
    assert empty["latency_ms"]["decision"]["p99"] is None
    assert empty["latency_ms"]["decision"]["share_under_1s"] is None
    assert empty["network"]["busy_hour"] is None and empty["network"]["blocked_share"] is None
    assert empty["geofences"]["mall_mega"]["precision"] is None
    assert empty["channels"]["sms"]["utilisation"] is None
    assert empty["churn"]["left_per_month"] is None
    assert empty["charging"]["arpu_minor_per_30_days"] is None
    assert empty["experiments"]["local_margin_minor"]["value"] is None
    assert empty["funnel"]["incremental"] is None
    assert empty["funnel"]["trigger_hits"] == 0
    assert empty["red_flags"] == []


def test_one_winner_in_an_arm_gives_a_value_without_an_interval():
    """Two units are needed for a variance."""

    def change(t):
        t["exp_n"][0] = (1, 5)
        t["exp_y_minor"][0] = (800, 800)
        t["exp_bought"][0] = (1, 0)

    up = made(change=change)["use_cases"]["data_80"]["uplift"]
    assert up["value"] is not None and up["low"] is None
    assert up["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("field", "place", "value", "word"),
    [
        ("control_contacts", 0, 3, "universal control"),
        ("cap_breaches", 0, 2, "contact cap"),
        ("list_breaches", 0, 2, "black, grey or red list"),
        ("quiet_breaches", 0, 2, "quiet hours"),
        ("owned_breaches", 0, 2, "owned"),
        ("repeat_breaches", 0, 2, "repeats"),
        ("trigger_hits", 0, 1_000_000, "does not add up"),
        ("accepted", 0, 10**7, "widens"),
        ("exp_opened", (0, 1), 10**6, "split of its arms"),
        ("exp_y_minor", (0, 0), 10**9, "of service revenue"),
    ],
)
def test_a_run_raises_its_own_red_flags(field, place, value, word):
    """Each planted fault gives its sentence, with a number in it."""

    def change(t):
        t[field][place] = value

    flags = [flag for flag in made(change=change)["red_flags"] if word in flag]
    assert flags
    assert any(c.isdigit() for c in flags[0])


def test_a_trigger_that_never_fires_is_flagged_and_the_agents_screen_is_not():
    """Only where the engine saw something; what hysteresis held back did fire."""

    def change(t):
        t["trigger_hits"][:] = t["hits_held"][:] = 0
        t["rows_seen"] = t["rows_seen"] * 0 + 1_000

    names = [name for name in LABELS["trigger"] if name != "inbound"]
    [flag] = [f for f in made([], change=change)["red_flags"] if "did not fire once" in f]
    assert f"{len(names)} of {len(names)} triggers" in flag and flag.endswith(f"{names[-1]}.")

    def held(t):
        change(t)
        t["hits_held"][:] = 1

    assert not any("did not fire" in f for f in made([], change=held)["red_flags"])


def test_openings_of_the_agents_screen_are_told_apart():
    """The funnel of a use case begins with both; each is counted by itself."""

    def change(t):
        t["screen_candidates"][0] = 3

    case = made(change=change)["use_cases"]["data_80"]
    assert case["inbound_openings"] == 3 and case["own_hits"] == case["trigger_hits"] - 3


def test_a_world_in_which_everything_wins_is_flagged():
    """More than 15 of 21 use cases above control is too good to be true."""

    def change(t):
        t["exp_n"][:] = 1_000
        t["exp_y_minor"][:, 0], t["exp_y_minor"][:, 1] = 5_000_000, 1_000_000
        t["exp_y2"][:] = 200_000_000

    assert any("too good" in flag for flag in made(change=change)["red_flags"])


def plant_joint(t, gain: int, control: int = 2_500):
    """Let lines outside the universal control earn `gain` more, with little noise."""
    t["joint_n"][:] = 50_000 - control, control
    mean = np.array([100_000 + gain, 100_000])
    t["joint_y_minor"][:] = t["joint_n"] * mean
    t["joint_y2"][:] = t["joint_n"] * ((mean // 16) ** 2 + 50)


def flagged(word: str, change, **more) -> list[str]:
    told = made(change=change, universal_control_percent=5, **more)["red_flags"]
    return [flag for flag in told if word in flag]


def test_a_joint_margin_beyond_belief_is_flagged_and_a_sound_one_is_not():
    """Measured by the universal control: flagged only where the whole interval is outside."""
    revenue = made()["charging"]["service_revenue_minor"]
    for part, expected in ((0.01, 0), (0.2, 1), (-0.1, 1)):
        plant = partial(plant_joint, gain=round(revenue * part / 47_500))
        assert len(flagged("Against the universal control", plant)) == expected, part


def test_locals_that_sum_to_the_joint_are_flagged():
    """The joint value planted at the sum of the local ones, and at half of it."""

    def change(t):
        t["exp_n"][:] = 1_000
        t["exp_y_minor"][:, 0], t["exp_y_minor"][:, 1] = 5_000_000, 1_000_000
        t["exp_y2"][:] = 200_000_000

    local = made(change=change)["experiments"]["local_margin_minor"]["value"]
    n_cases = len(LABELS["use_case"])
    for factor in (1.0, 0.5):

        def planted(t, factor=factor):
            change(t)
            plant_joint(t, gain=round(local * factor / 47_500))

        found = flagged("sum to the joint one", planted)
        assert len(found) == (factor == 1.0 and n_cases >= 5)


def test_a_control_that_drifts_is_flagged_in_a_world_without_effects():
    """A/A: arms that differ in money or purchases are flagged; so is a control of another size."""

    def buys(t):
        t["exp_n"][0] = 4_000, 1_000
        t["exp_bought"][0] = 800, 320
        plant_joint(t, gain=0)

    def same(t):
        t["exp_n"][:] = 4_000, 1_000
        t["exp_bought"][:] = 800, 205
        t["contact_cost_minor"][:] = t["reward_minor"][:] = 0
        plant_joint(t, gain=0)

    def richer(t):
        same(t)
        plant_joint(t, gain=90)

    assert len(flagged("the control drifts", buys, a_a=True)) == 1
    assert len(flagged("the control drifts", richer, a_a=True)) == 1
    assert flagged("the control drifts", same, a_a=True) == []
    assert flagged("the control drifts", buys) == []
    assert flagged("in the universal control", lambda t: plant_joint(t, gain=0, control=1_500))


def test_an_order_that_ignores_peoples_response_is_flagged():
    """The same order in three runs is flagged, one exchange of two is not, nor are four cases."""
    base = {"a": 5.0, "b": 4.0, "c": 1.0, "d": -1.0, "e": -2.0}
    stronger = {name: value * 1.5 for name, value in base.items()}
    assert len(stubborn_ranks([base, stronger, base])) == 1
    assert stubborn_ranks([base, stronger | {"a": 0.5}]) == []
    few = {name: base[name] for name in "abcd"}
    assert stubborn_ranks([few, few]) == [] and stubborn_ranks([base]) == []


def test_a_fair_split_is_not_flagged():
    """100 of 1,000 where 10 % is asked for; and no verdict where there is nothing."""
    assert two_sided_p(100, 1_000, 0.1) == pytest.approx(1)
    assert two_sided_p(0, 0, 0.1) is None
    assert two_sided_p(1, 10, 0.0) is None
