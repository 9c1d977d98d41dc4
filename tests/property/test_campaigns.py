"""Campaigns agree with a slow twin in plain Python: rules, slots, participation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.metrics import RTM_METRICS
from actors.profile import M2M, PREPAID, PROFILE
from actors.rtm import state as rtm
from actors.rtm.actor import RtmCounters
from actors.rtm.campaign_params import WEEKDAYS, Campaign
from actors.rtm.campaign_rules import NO, WORDS, YES, compile_rule, fact, resolver
from actors.rtm.campaign_tables import BLOCK_LINES, compile_campaigns
from actors.rtm.campaigns import CampaignDesk, shuffled
from actors.rtm.outcomes import note_acceptance
from actors.rtm.params import SEGMENTS
from sim.core.columns import Columns
from sim.core.kernel import Direct, kernel
from sim.core.metrics import new_tally
from sim.core.rng import below, mix64
from sim.core.sparse import Sparse
from sim.core.ticks import Tick
from tests.factories import default_world
from tests.property.campaign_twin import Twin, fits

LINES, FIRST, SEED = 12, BLOCK_LINES - 5, 77
"""The lines lie in two blocks."""
DAY_MS, QUARTER_MS = 86_400_000, 900_000
START_Q = 30
SHIFTS_Q = np.array([0, 8], np.int64)
"""Two regions with clocks of their own."""
FEES = (5_000, 30_000)
WEEKDAY = 4

numbers = {
    "tenure_days": (0, 400), "worth_minor": (0, 40_000), "data_norm_mb": (0, 900),
    "silent_days": (0, 9), "margin_minor": (-500, 500),
}  # fmt: skip
flags = ("prepaid", "smartphone", "lte", "app", "owns_data", "abroad", "plays")


def comparisons() -> st.SearchStrategy[str]:
    """Return texts of single conditions."""
    number = st.sampled_from(sorted(numbers)).flatmap(
        lambda word: st.tuples(
            st.just(word), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
            st.integers(*numbers[word]), st.booleans(),
        )
    )  # fmt: skip
    return st.one_of(
        st.sampled_from(flags),
        number.map(lambda x: f"{x[0]} {x[1]} {x[2]}" if x[3] else f"{x[2]} {x[1]} {x[0]}"),
        st.tuples(st.integers(0, 300), st.integers(0, 300)).map(
            lambda x: f"{x[0]} <= tenure_days < {x[1]}"
        ),
        st.tuples(
            st.sampled_from(["in", "not in"]),
            st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3),
        ).map(lambda x: f"segment {x[0]} [{', '.join(x[1])}]"),
        st.sampled_from(SEGMENTS).map(lambda name: f"segment != {name}"),
    )


rules = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda x: f"({x[0]}) and ({x[1]})"),
        st.tuples(inner, inner, inner).map(lambda x: f"({x[0]}) or ({x[1]}) or ({x[2]})"),
        inner.map(lambda x: f"not ({x})"),
    ),
    max_leaves=8,
)

schedules = st.fixed_dictionaries(
    {
        "from_day": st.integers(0, 3),
        "days": st.integers(1, 3),
        "weekdays": st.lists(st.sampled_from(WEEKDAYS), min_size=3, max_size=7, unique=True),
        "from_h": st.sampled_from([0, 8.5, 10]),
        "to_h": st.sampled_from([11, 17.25, 24]),
        "rounds": st.integers(1, 3),
        "every_days": st.integers(3, 5),
    }
)


@st.composite
def campaign_lists(draw: Any) -> list[Campaign]:
    """Return up to four campaigns that may exclude each other."""
    n = draw(st.integers(1, 4))
    out = []
    for k in range(n):
        others = [f"c{j}" for j in range(n) if j != k]
        groups = [
            {"group": "high", "when": draw(rules), "offer": "x"}, {"group": "rest", "offer": "x"},
        ]  # fmt: skip
        out.append(
            Campaign.model_validate(
                {
                    "campaign": f"c{k}",
                    "title": "t",
                    "audience": draw(st.one_of(st.just(""), rules)),
                    "groups": groups[draw(st.integers(0, 1)) :],
                    "waves": [
                        {"after_h": hours}
                        for hours in draw(st.lists(st.sampled_from([0.3, 5, 40]), max_size=2))
                    ],
                    "schedule": draw(schedules),
                    "participation": {
                        "again_after_days": draw(st.sampled_from([0, 1, 4])),
                        "after_acceptance": draw(st.booleans()),
                        "not_with": draw(
                            st.lists(st.sampled_from(others), max_size=1) if others else st.just([])
                        ),
                    },
                }
            )
        )
    return out


def open_ms(campaign: Campaign, turn: int) -> int:
    """Return the open time of a round."""
    plan = campaign.schedule
    first = plan.from_day + turn * plan.every_days
    days = sum(
        WEEKDAYS[(day + WEEKDAY) % 7] in plan.weekdays for day in range(first, first + plan.days)
    )
    return days * (round(plan.to_h * 3_600_000) - round(plan.from_h * 3_600_000))


@kernel
def whole_order(key, out):
    """Write the place of every rank of a block."""
    for rank in range(out.shape[0]):
        out[rank] = shuffled(rank, key)


FACT = Direct(fact)


class Bench:
    """A partition of a few lines whose profiles the tests choose."""

    def __init__(self, tables: Any, campaigns: list[Campaign], pass_ms: dict[str, int]) -> None:
        self.r = compile_campaigns(
            campaigns, n_offers=2, rule=5, resolve=resolver({}), price_level=1.0, weekday=WEEKDAY,
            n_lines=FIRST + LINES, shift_q=SHIFTS_Q + START_Q, pass_ms=pass_ms,
        )  # fmt: skip
        contact = tables.contact._replace(
            tariff_minor=np.array(FEES, np.int64), high_more=0, low_fewer=0
        )
        self.t = tables._replace(
            seed=np.uint64(SEED),
            contact=contact,
            campaign=self.r,
            case_service=np.zeros(64, np.bool_),
        )
        self.profile, self.state = Columns(PROFILE, LINES), Columns(rtm.STATE, LINES)
        self.state["flags"][:] = rtm.ALIVE | rtm.CONSENT
        self.state["recent_case"][:] = rtm.NO_CASE
        self.state["owned_day"][:] = -1000
        i = np.arange(LINES)
        self.profile["region"][:] = i % 2
        self.profile["segment"][:] = i % len(SEGMENTS)
        self.profile["tariff"][:] = (i // 2) % 2
        self.profile["device"][:] = i % 4
        self.profile["tenure_days"][:] = (i * 53) % 390
        self.profile["flags"][:] = np.where(i % 3 == 0, PREPAID, 0)
        self.profile["flags"][7] |= M2M
        self.state["flags"][i % 2 == 0] |= np.uint8(rtm.APP)
        self.state["data_norm_mb"][:] = (i * 131) % 900
        self.desk = CampaignDesk(self.r, FIRST, self.profile, np.arange(1 << 16, dtype=np.uint64))
        labels = {"campaign": tuple(c.campaign for c in campaigns)}
        declared = [x for x in RTM_METRICS if x.name.startswith("campaign_")]
        tally = new_tally(declared, labels)
        self.c = SimpleNamespace(**tally)

    @property
    def view(self) -> Any:
        """Return what the kernels see."""
        empty = (Sparse(x) for x in (rtm.CONTACTS, rtm.TAKEN, rtm.HELD, rtm.TRIAL))
        return rtm.engine_view(self.state, (*empty, self.desk.joined), FIRST)

    def shift_ms(self, i: int) -> int:
        """Return the local time of a line at moment 0."""
        return int(SHIFTS_Q[self.profile["region"][i]] + START_Q) * QUARTER_MS

    def facts(self, line: int, now_ms: int) -> dict[str, Any]:
        """Return what the engine knows of a line, from its columns, in words."""
        p, s, i = self.profile, self.state, line - FIRST
        day = (now_ms + self.shift_ms(i)) // DAY_MS
        running = int(s["margin_minor"][i]) * 30 // max(day + 1, 7)
        return {
            "segment": SEGMENTS[p["segment"][i]],
            "prepaid": bool(p["flags"][i] & PREPAID),
            "smartphone": p["device"][i] > 0,
            "lte": p["device"][i] > 1,
            "app": bool(s["flags"][i] & rtm.APP),
            "tenure_days": int(p["tenure_days"][i]) + max(day, 0),
            "worth_minor": FEES[p["tariff"][i]] + running,
            "margin_minor": int(s["margin_minor"][i]),
            "data_norm_mb": int(s["data_norm_mb"][i]),
            "owns_data": int(s["owned_day"][i]) >= day,
            "abroad": s["cell"][i] == rtm.NO_CELL,
            "silent_days": max(now_ms // 1000 - int(s["seen_s"][i]), 0) // 86_400,
            "plays": bool(s["plays"][i]),
            "consent": bool(s["flags"][i] & rtm.CONSENT),
            "alive": bool(s["flags"][i] & rtm.ALIVE),
            "machine": bool(p["flags"][i] & M2M),
        }

    def slots(self, campaigns: list[Campaign]) -> dict[tuple[int, int, int], int]:
        """Return the open time of every slot: the lottery that engine and twin share."""
        out = {}
        for k, campaign in enumerate(campaigns):
            for turn in range(campaign.schedule.rounds):
                whole = int(self.r.pass_ms[k]) or max(open_ms(campaign, turn), 1)
                seed = mix64(
                    np.uint64(SEED)
                    ^ (np.uint64(self.r.campaign_id[k]) << np.uint64(16))
                    ^ np.uint64(turn)
                )
                for block in (0, 1):
                    step = np.uint64(block * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
                    key = np.uint64(mix64(np.uint64(seed) ^ step))
                    order = np.zeros(BLOCK_LINES, np.int64)
                    whole_order(key, order)
                    place = {int(line): rank for rank, line in enumerate(order)}
                    for line in range(FIRST, FIRST + LINES):
                        if line // BLOCK_LINES != block:
                            continue
                        rank = place[line % BLOCK_LINES]
                        begin = rank * whole // BLOCK_LINES
                        width = (rank + 1) * whole // BLOCK_LINES - begin
                        word = np.uint32(int(mix64(key ^ np.uint64(line))) >> 32)
                        out[k, line, turn] = begin + (int(below(word, width)) if width > 1 else 0)
        return out


@pytest.fixture(scope="module")
def tables() -> Any:
    """Tables of a real world, whose campaigns the tests replace."""
    return default_world().rtm.tables


SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=150, **SLOW)
@given(text=rules, level=st.sampled_from([1.0, 1.0, 2.0]), data=st.data())
def test_a_rule_means_what_python_takes_it_for(
    text: str, level: float, data: Any, tables: Any
) -> None:
    """Jumps from test to test end where `eval` of the same text ends, for every line."""
    bench = Bench(tables, [Campaign.model_validate(PLAIN)], {})
    for i in range(LINES):
        bench.state["margin_minor"][i] = data.draw(st.integers(-600, 600))
        bench.state["owned_day"][i] = data.draw(st.sampled_from([-1000, 2, 9]))
        bench.state["cell"][i] = data.draw(st.sampled_from([rtm.NO_CELL, 4]))
        bench.state["plays"][i] = data.draw(st.integers(0, 1))
    now_ms = 5 * DAY_MS
    tests, first = compile_rule(text, resolver({}), level)
    view = bench.view
    for i in range(LINES):
        facts = bench.facts(FIRST + i, now_ms)
        day = (now_ms + bench.shift_ms(i)) // DAY_MS
        at = first
        while at not in (YES, NO):
            one = tests[at]
            value = FACT(bench.profile.view, view, bench.t, i, one.fact, day, now_ms // 1000)
            at = one.yes if one.low <= value <= one.high else one.no
        if level == 1.0 or "_minor" not in text:
            assert (at == YES) == fits(text, facts)


PLAIN = {"campaign": "c0", "title": "t", "groups": [{"group": "all", "offer": "x"}]}


@settings(max_examples=40, **SLOW)
@given(
    campaigns=campaign_lists(),
    cuts=st.lists(st.sampled_from([7, 12, 48, 61]), min_size=1, max_size=20),
    fates=st.lists(st.integers(0, 4), min_size=1, max_size=30),
    rate=st.sampled_from([0, 0, 3_600_000]),
    forget=st.booleans(),
)
def test_who_is_asked_is_said_by_the_book(
    campaigns: list[Campaign], cuts: list[int], fates: list[int], rate: int, forget: bool,
    tables: Any,
) -> None:  # fmt: skip
    """Over ten days, tick by tick: line, moment, campaign and sub-group of every opening.

    Some of the asked lose, are withheld, or accept; the memory of the engine is forgotten daily.
    """
    bench = Bench(tables, campaigns, {"c0": rate * 4} if rate else {})
    twin = Twin(
        campaigns, bench.slots(campaigns), WEEKDAY,
        {FIRST + i: bench.shift_ms(i) for i in range(LINES)},
    )  # fmt: skip
    now_ms, k, n_asked = 0, 0, 0
    while now_ms < 10 * DAY_MS:
        end_ms = now_ms + cuts[k % len(cuts)] * QUARTER_MS
        hits, n = bench.desk.open(tick(now_ms, end_ms), bench.view,
                                  bench.t, bench.c)  # fmt: skip
        got = [
            (int(hits["sub"][j]), int(hits["ts_ms"][j]), *named(bench, campaigns, hits, j))
            for j in range(n)
        ]
        wanted = twin.asked(now_ms, end_ms, bench.facts)
        assert got == wanted
        log = Columns(m.DECISION, n)
        for name in ("sub", "ts_ms"):
            log[name][:] = hits[name][:n]
        log["use_case"][:] = hits["value"][:n] + bench.r.first_case
        log["reason"][:] = m.CAP
        for j, (line, ts_ms, number, group, wave) in enumerate(got):
            fate = ("lost", "sent", "sent", "withheld", "sent")[fates[n_asked % len(fates)]]
            n_asked += 1
            fate = "sent" if wave and fate == "withheld" else fate
            log["reason"][j] = {"lost": m.CAP, "sent": m.INTENDED, "withheld": m.HOLDOUT}[fate]
            twin.decided(number, line, group, wave, ts_ms, fate)
        bench.desk.note(bench.view, bench.t, log)
        for j, (line, _, number, _, _) in enumerate(got):
            if log["reason"][j] == m.INTENDED and (line + j + n_asked) % 3 == 0:
                note_acceptance(bench.t, bench.view, line, number)
                twin.accept(number, line)
            elif (line + n_asked) % 7 == 0:
                bench.state["flags"][line - FIRST] &= ~np.uint8(rtm.CONSENT)
        if forget:
            bench.desk.forget(
                np.array([(end_ms + bench.shift_ms(i)) // DAY_MS for i in range(LINES)])
            )
        now_ms, k = end_ms, k + 1


def tick(start_ms: int, end_ms: int) -> Tick:
    """Return a tick without a calendar, which campaigns do not look at."""
    none = np.zeros((0, 0), np.uint8)
    return Tick(0, start_ms, end_ms, none, none, ())


def named(bench: Bench, campaigns: list[Campaign], hits: Columns, j: int) -> tuple[int, str, int]:
    """Return campaign, sub-group and wave of a hit."""
    case = int(hits["value"][j]) + bench.r.first_case
    number, wave = int(bench.r.case_campaign[case]), int(bench.r.case_wave[case])
    first = int(bench.r.group_start[number])
    cases = bench.r.group_case[first : int(bench.r.group_start[number + 1])].tolist()
    return number, campaigns[number].groups[cases.index(case - wave)].group, wave


def test_counters_fit_the_metrics() -> None:
    """The bench counts what the engine declares."""
    names = {x.name for x in RTM_METRICS if x.name.startswith("campaign_")}
    assert names <= set(RtmCounters._fields)
    assert len(WORDS) == len(set(WORDS))
