"""Hysteresis of rules agrees with a slow twin in plain Python: on any hits, and over whole runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.metrics import RTM_METRICS
from actors.profile import PROFILE
from actors.rtm.actor import RtmCounters
from actors.rtm.hysteresis import BACK, Hysteresis, compile_hysteresis, hold_back
from actors.rtm.state import HELD, HIT
from scenarios import load
from sim.core.columns import Columns
from sim.core.errors import ScenarioError
from sim.core.metrics import new_tally
from sim.core.sparse import Sparse
from tests.factories import EVENTFUL, default_world, run_world, tiny_world

LINES, FIRST = 4, 500
DEAF = {"rtm.capture.loss": 0, "rtm.capture.sources": {}, "rtm.capture.judged": 0}
DAY_S = 86_400


@dataclass
class Rule:
    """What happened to one rule of one line."""

    last_s: int | None = None
    hits: int = 0
    armed: bool = True


def oracle(
    rules: list[Hysteresis], rows: list[tuple[int, int, int, bool]], shift_s: int
) -> list[int]:
    """Return the numbers of the hits that count.

    Parameters
    ----------
    rows : (line, moment in s, rule, whether the value has gone back instead), in order
    shift_s : local time of the lines at moment 0, s
    """
    known: dict[tuple[int, int], Rule] = {}
    out = []
    for k, (line, ts_s, rule, back) in enumerate(rows):
        asked = rules[rule]
        mine = known.setdefault((line, rule), Rule())
        if back:
            mine.armed = True
            continue
        if mine.last_s is not None:
            local = (ts_s + shift_s) // DAY_S - (mine.last_s + shift_s) // DAY_S
            if (
                (asked.rearm and not mine.armed)
                or (asked.max_hits and mine.hits >= asked.max_hits)
                or (asked.cool_down_h and ts_s - mine.last_s < asked.cool_down_h * 3600)
                or (asked.once_per_days and local < asked.once_per_days)
            ):
                continue
        mine.last_s, mine.hits, mine.armed = ts_s, mine.hits + 1, False
        out.append(k)
    return out


options = st.builds(
    Hysteresis,
    once_per_days=st.sampled_from([0, 0, 1, 3]),
    cool_down_h=st.sampled_from([0, 0, 0.5, 30]),
    max_hits=st.sampled_from([0, 0, 1, 4]),
    rearm=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    rules=st.lists(options, min_size=1, max_size=4),
    steps=st.lists(
        st.tuples(
            st.integers(0, LINES - 1), st.integers(0, 40_000), st.integers(0, 3), st.booleans()
        ),
        max_size=60,
    ),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    start_quarter=st.integers(0, 95),
)
def test_the_hits_that_count_are_those_of_the_oracle(
    rules: list[Hysteresis], steps: list[tuple[int, int, int, bool]], cuts: list[int],
    start_quarter: int,
) -> None:  # fmt: skip
    """Any options, any rows, cut into slices anywhere: the same hits count, the rest is counted."""
    now = 0
    rows = []
    for line, gap, rule, back in steps:
        now += gap
        rows.append((line, now, rule % len(rules), back))
    world = default_world()
    numbers = [(f"rule_{k}", (k, 0, 0, 0), rule.numbers()) for k, rule in enumerate(rules)]
    t = world.rtm.tables._replace(
        hold=compile_hysteresis(numbers), start_quarter=start_quarter,
        region_shift_q=world.rtm.tables.region_shift_q * 0,
    )  # fmt: skip
    held, profile = Sparse(HELD), Columns(PROFILE, LINES)
    labels = {**world.labels, "trigger": tuple(f"rule_{k}" for k in range(len(rules)))}
    counters = RtmCounters(**new_tally(RTM_METRICS, labels))
    found: list[int] = []
    borders = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for low, high in zip(borders, borders[1:], strict=False):
        hits = Columns(HIT, high - low)
        for k in range(low, high):
            line, ts_s, rule, back = rows[k]
            hits["sub"][k - low] = FIRST + line
            hits["ts_ms"][k - low] = ts_s * 1000
            hits["trigger"][k - low] = BACK - rule if back else rule
            hits["value"][k - low] = k
        held.reserve(high - low)
        n = hold_back(profile.view, t, held.view, FIRST, hits.view, high - low, counters)
        found += hits["value"][:n].tolist()
    wanted = oracle(rules, rows, start_quarter * 900)
    assert found == wanted
    n_back = sum(back for *_, back in rows)
    assert counters.hits_held.sum() == len(rows) - n_back - len(wanted)


def world_with(trigger: str, when: dict[str, Any], lines: int = 600, **more: Any) -> Any:
    """Return a world in which one offer listens and nobody may get anything."""
    offer = {"when": {trigger: when}, "eligible": {"nobody": True}}
    options = {**EVENTFUL, **DEAF, "catalog.offers": ["mall_coupon"], "catalog.quests": []}
    options |= {"contact_centre.enabled": False, **more}
    options["catalog.define"] = {"offers": {"mall_coupon": offer}}
    return tiny_world(subscribers=lines, days=3.0, **options)


def hits_of(world: Any, **how: Any) -> list[tuple[int, int]]:
    """Return (line, moment in ms) of each decision on the one rule of a run."""
    return moments_of(run_world(world, **how).rows("decisions"), world)


def moments_of(rows: dict[str, Any], world: Any) -> list[tuple[int, int]]:
    """Return (line, moment in ms) of the decisions of the one rule, not of the agent's screen."""
    [index] = [k for k, label in enumerate(world.labels["trigger"]) if label != "inbound"]
    own = rows["trigger"] == index
    return list(zip(rows["sub"][own].tolist(), rows["ts_ms"][own].tolist(), strict=True))


def test_a_run_holds_back_what_the_oracle_holds_back() -> None:
    """The decisions of a run with hysteresis are those of a run without, less those held back."""
    free = hits_of(world_with("cart_visit", {"kind": 1}))
    for asked in (
        {"once_per_days": 1}, {"cool_down_h": 5}, {"max_hits": 2},
        {"once_per_days": 2, "max_hits": 1},
    ):  # fmt: skip
        world = world_with("cart_visit", {"kind": 1, "hysteresis": asked})
        t = world.rtm.tables
        assert set(t.region_shift_q.tolist()) == {0}
        rows = [(sub, ts // 1000, 0, False) for sub, ts in free]
        kept = oracle([Hysteresis(**asked)], rows, t.start_quarter * 900)
        assert 20 < len(kept) < len(free)
        assert hits_of(world, partitions=3) == [free[k] for k in kept], asked


def test_a_rule_waits_until_its_value_has_gone_back() -> None:
    """`rearm` on low balance: the next hit needs a use that left the balance above the floor."""
    when = {"floor_minor": 20_000, "hysteresis": {"rearm": True}}
    world = world_with("low_balance", when, lines=1_800)
    rule = world.labels["trigger"].index("low_balance")
    floor = int(world.rtm.tables.options[rule, 0])  # it follows the price level
    run = run_world(world, partitions=2)
    rows = run.rows("activity")
    usage = rows["kind"] == m.USAGE
    uses = [rows[name][usage].tolist() for name in
            ("sub", "ts_ms", "charged_minor", "balance_after_minor")]  # fmt: skip
    listed: list[tuple[int, int, int, bool]] = []
    moments: list[tuple[int, int]] = []
    for sub, ts, charged, after in zip(*uses, strict=True):
        if after + charged >= floor > after:
            listed.append((sub, ts // 1000, 0, False))
            moments.append((sub, ts))
        elif after >= floor:
            listed.append((sub, ts // 1000, 0, True))
            moments.append((sub, ts))
    kept = oracle([Hysteresis(rearm=True)], listed, 0)
    crossings = sum(not back for *_, back in listed)
    got = moments_of(run.rows("decisions"), world)
    assert got == [moments[k] for k in kept]
    assert len(kept) > 5
    assert run.totals["hits_held"].sum() == crossings - len(kept)


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"low_balance": {"hysteresis": {"once_per_day": 1}}}, "once_per_days"),
        ({"low_balance": {"hysteresis": {"cool_down_h": -1}}}, "cool_down_h"),
        ({"mall_dwell": {"hysteresis": {"rearm": True}}}, "no value of it can go back"),
        ({"low_balance": {"hysteresis": 3}}, "hysteresis"),
    ],
)
def test_wrong_hysteresis_is_one_message(when: dict[str, Any], words: str) -> None:
    """The message names the place in the offer."""
    with pytest.raises(ScenarioError, match=words):
        load("city_day").with_(
            **{"catalog.define": {"offers": {"mall_coupon": {"when": when}}}}
        )  # fmt: skip
