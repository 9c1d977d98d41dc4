"""Calls as the engine sees them: memory, rules, the agent's screen, and the loop that it closes."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from actors import messages as m
from actors.rtm.arbitration import NOBODY, SHUT
from actors.rtm.calls import (
    MEMORY_S,
    Screen,
    forget_calls,
    hits_of_calls,
    note_calls,
)
from actors.rtm.dispatch import Rule
from actors.rtm.inbound import RULE, levers_of_calls, row_of_call
from actors.rtm.params import NEEDS
from actors.rtm.state import CALLERS, STATE
from actors.rtm.triggers import CALL
from scenarios import load
from scenarios.centre import gives_away
from sim.core import rng
from sim.core.columns import Columns, empty_rows, take_rows
from sim.core.sparse import Sparse
from tests.factories import EVENTFUL, run_world, same_rows, tiny_world

HOUR_MS = 3_600_000


def ends(rows):
    """Return `CallOutcome` rows of (sub, hour, reason, result, attempt)."""
    out = {name: np.zeros(len(rows), a.dtype) for name, a in empty_rows(m.CALL_OUTCOME).items()}
    for i, (sub, hour, reason, result, attempt) in enumerate(rows):
        out["sub"][i], out["ts_ms"][i] = sub, hour * HOUR_MS
        out["reason"][i], out["result"][i], out["attempt"][i] = reason, result, attempt
        out["key"][i] = 1000 * sub + hour
    return out


Tables = namedtuple("Tables", "levers_q case_need fence_kind")
LEVERS = np.full((1, len(NEEDS)), 1_000, np.int64)
DOUBT = np.full(len(NEEDS), 0.1)
NOTHING_GIVEN = np.zeros(len(NEEDS), np.bool_)
MALL, AIRPORT, SHOP = 0, 1, 2


def screen(share=1.0, *, named=()):
    """Return a screen over one offer for each need; `named` needs are those of a bill shock."""
    kinds = np.array([MALL, AIRPORT, SHOP], np.uint8)
    tables = Tables(LEVERS, np.arange(len(NEEDS)), kinds)
    factors = {"bill_shock": dict.fromkeys(named, 1.0)}
    levers = levers_of_calls(tables, given=NOTHING_GIVEN, factors=factors, doubt=DOUBT)
    return Screen(tables._replace(levers_q=levers), 9, rng.threshold(share), rng.seed64(5))


def test_calls_are_remembered_for_thirty_days():
    """A second call within the memory is the second one; a further try of one call is none."""
    callers = Sparse(CALLERS)
    n, age, _ = note_calls(callers, None, ends([(3, 1, 0, 0, 0), (3, 5, 2, 1, 0), (4, 1, 0, 0, 0)]))
    assert n.tolist() == [1, 2, 1]
    assert age.tolist() == [-1, 4 * 3600, -1]
    n, _, _ = note_calls(callers, None, ends([(3, 6, 2, 0, 1)]))
    assert n.tolist() == [2]
    late = 6 + MEMORY_S // 3600 + 1
    n, age, _ = note_calls(callers, None, ends([(3, late, 1, 0, 0)]))
    assert (n.tolist(), age.tolist()) == ([1], [-1])


def test_forgetting_is_no_event():
    """Old callers are dropped, and the next call finds the same as if they had not been."""
    callers = Sparse(CALLERS)
    note_calls(callers, None, ends([(k, 1, 0, 0, 0) for k in range(500)]))
    now_ms = (MEMORY_S + 7200) * 1000
    note_calls(callers, None, ends([(7, MEMORY_S // 3600, 0, 0, 0)]))
    forget_calls(callers, now_ms)
    assert callers.subs().tolist() == [7]
    assert note_calls(callers, None, ends([(7, now_ms // HOUR_MS, 0, 0, 0)]))[0].tolist() == [3]


def test_the_memory_does_not_depend_on_its_history():
    """Rows saved and restored, or entered by another partition, have the same digest."""
    rows = ends([(k, k % 5, k % 6, k % 3, 0) for k in range(300)])
    whole, low, high = Sparse(CALLERS), Sparse(CALLERS), Sparse(CALLERS)
    note_calls(whole, None, rows)
    note_calls(low, None, take_rows(rows, np.arange(100)))
    note_calls(high, None, take_rows(rows, np.arange(100, 300)))
    assert (low.digest() + high.digest()) % 2**64 == whole.digest()
    again = Sparse(CALLERS)
    again.restore(whole.snapshot())
    assert again.digest() == whole.digest()


def test_the_screen_is_used_in_its_share_of_answered_calls():
    """Never in a lost call; the same calls, whatever else is in the table."""
    rows = ends([(k, 1, 0, k % 2, 0) for k in range(8_000)])
    used = note_calls(Sparse(CALLERS), screen(0.3), rows)[2]
    assert not used[1::2].any()
    assert abs(int(used.sum()) - 1_200) < 5 * (4_000 * 0.21) ** 0.5
    part = note_calls(Sparse(CALLERS), screen(0.3), take_rows(rows, np.arange(4_000, 8_000)))[2]
    assert (part == used[4_000:]).all()
    assert not note_calls(Sparse(CALLERS), None, rows)[2].any()


def repeated(row, p):
    """A trigger on calls: the reason, so many times."""
    return (row.code == p.reason) & (row.failures >= p.count)


def rule(reason, count):
    made = SimpleNamespace(
        signal=CALL,
        expression=repeated,
        options=lambda *o: SimpleNamespace(reason=o[0], count=o[1]),
    )
    return Rule("repeated", made, (reason, count, 0, 0))  # type: ignore[arg-type]  # what is read


def test_a_rule_hears_calls_and_the_screen_opens_the_rest():
    """Rules hear every call in which no screen is used; the screen takes the rest in one piece."""
    rows = ends([
        (0, 1, m.BILL_SHOCK, m.CALL_ABANDONED, 0), (1, 1, m.FAULT, m.CALL_ANSWERED, 0),
        (2, 1, m.BILL_SHOCK, m.CALL_ANSWERED, 0), (2, 2, m.FAULT, m.CALL_ANSWERED, 0),
    ])  # fmt: skip
    rules = [(4, rule(m.BILL_SHOCK, 1)), (6, rule(m.FAULT, 2))]
    state = Columns(STATE, 3)
    # Row 0 of the state is a line in fence 0, which is a mall: all three of them are.
    unseen = row_of_call(np.array([m.FAULT, m.BILL_SHOCK]), np.array([4, 4])).tolist()

    def found(s):
        noted = note_calls(Sparse(CALLERS), s, rows)
        groups = hits_of_calls(s, "plain", rules, rows, noted, state, 0)
        return [
            (
                "plain" if tables == "plain" else "screen",
                list(zip(*(hits[k].tolist() for k in ("sub", "trigger", "levers")), strict=True)),
            )
            for tables, hits in groups
        ]

    every = [("plain", [(0, 4, 0), (2, 4, 0), (2, 6, 0)])]
    assert found(None) == every
    assert found(screen(0.0)) == every
    fault, shock = unseen
    assert found(screen(1.0)) == [
        ("plain", [(0, 4, 0)]), ("screen", [(1, 9, fault), (2, 9, shock), (2, 9, fault)]),
    ]  # fmt: skip


def test_the_reason_of_a_call_moves_the_ranking():
    """Offers for a need that is named for the reason gain by its factor; others stay."""
    world = tiny_world()
    t = world.rtm.tables
    given = np.zeros(world.rtm.n_cases, np.bool_)
    factors = {"bill_shock": {"data": 2.0, "money": 0.5}}
    levers = levers_of_calls(t, given=given, factors=factors, doubt=np.ones(len(NEEDS)))
    nothing = np.zeros(1, np.int64)
    plain = t.levers_q[0]
    assert (levers[row_of_call(np.array([m.FAULT]), nothing)[0]] == plain).all()
    shock = levers[row_of_call(np.array([m.BILL_SHOCK]), nothing)[0]]
    for case, need in enumerate(t.case_need):
        factor = {"data": 2.0, "money": 0.5}.get(NEEDS[need], 1.0)
        assert shock[case] == plain[case] * factor


def test_offers_without_a_sign_of_a_need_lose_priority():
    """Signs are those of the live profile, column by column; what the reason names is believed."""
    state = Columns(STATE, 6)
    state["fence"][:], state["day"][:], state["owned_day"][:] = -1, 3, -1
    state["data_norm_mb"][:] = 100
    state["data_today_kb"][1], state["data_today_kb"][2] = 125_000, 124_999
    state["cell"][3], state["fence"][4], state["fence"][5] = -1, MALL, AIRPORT
    state["failures"][2], state["failures_s"][2] = 1, 0
    rows = ends([
        (k, 1, m.BILL_SHOCK if k == 0 else m.INBOUND, m.CALL_ANSWERED, 0) for k in range(6)
    ])  # fmt: skip

    def believed(named=()):
        s = screen(named=named)
        noted = note_calls(Sparse(CALLERS), s, rows)
        ((tables, hits),) = hits_of_calls(s, "plain", [], rows, noted, state, 0)
        out = {}
        for sub, row in zip(hits["sub"].tolist(), hits["levers"].tolist(), strict=True):
            levers = tables.levers_q[row]
            assert set(levers.tolist()) <= {100, 1_000}
            out[sub] = tuple(NEEDS[k] for k in np.flatnonzero(levers == 1_000))
        return out

    assert believed() == {
        0: (), 1: ("data",), 2: ("loyalty", "device"), 3: ("roaming",), 4: ("shopping",),
        5: ("roaming",),
    }  # fmt: skip
    assert believed(named=("money",))[0] == ("money",)
    state["owned_day"][1] = 3
    state["failures_s"][2] = 3600 - 86_400
    assert believed() == {
        0: (), 1: (), 2: (), 3: ("roaming",), 4: ("shopping",), 5: ("roaming",),
    }  # fmt: skip


def test_what_is_given_away_needs_a_reason():
    """Sales are open to every caller, a gift, a credit or an apology where the reason names it."""
    world = tiny_world()
    t, names = world.rtm.tables, np.array(world.labels["use_case"])
    offers = load("city_day").catalogue.offers.values()
    given = {
        o.offer: o.truth.category for o in offers
        if o.policy.service or o.product.kind in ("gift", "credit")
    }  # fmt: skip
    factors = {"no_service": {"loyalty": 3.0}, "bill_shock": {"money": 2.0}}

    def levers(given, factors, reason):
        found = levers_of_calls(t, given=given, factors=factors, doubt=np.ones(len(NEEDS)))
        assert (found[0] == t.levers_q[0]).all()
        return found[row_of_call(np.array([reason]), np.zeros(1, np.int64))[0]]

    for reason, need in ((m.INBOUND, ""), (m.NO_SERVICE, "loyalty"), (m.BILL_SHOCK, "money")):
        shut = {name for name, category in given.items() if category != need}
        assert shut
        found = levers(gives_away(list(offers)), factors, reason)
        assert set(names[found == SHUT]) == shut
        assert (found[found != SHUT] >= 0).all()
    assert (levers(np.ones(len(names), np.bool_), {}, m.INBOUND) == NOBODY).all()


def test_there_is_no_screen_without_a_centre_or_a_channel():
    """Neither a rule nor a label of it."""
    assert tiny_world().labels["trigger"][-1] == RULE
    for options in ({"contact_centre.enabled": False}, {"contact_centre.screen.channel": "nobody"}):
        world = tiny_world(**options)
        assert world.rtm.screen is None
        assert RULE not in world.labels["trigger"]


BUSY = {
    **EVENTFUL, "contact_centre.calls_per_1000_day": 1_000, "contact_centre.agents_scale": 2,
    "contact_centre.screen.share": 1, "population.represents": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def busy():
    """A day on which everybody calls and every agent looks at the screen."""
    return run_world(tiny_world(subscribers=300, days=0.5, **BUSY))


def test_the_loop_closes_on_the_line(busy):
    """Called, decided by the inbound rule, told by the agent, judged, bought and booked."""
    world, t = busy.world, busy.totals
    rule = world.labels["trigger"].index(RULE)
    agent = world.labels["channel"].index("agent")
    told = int(t["advice_told"].sum())
    assert t["trigger_hits"][rule] > 80
    assert t["channel_delivered"][agent] >= told > 20
    assert 0 < t["advice_useful"].sum() <= told
    assert 0 < t["advice_taken"].sum() < told
    heard = busy.rows("deliveries")
    mine = heard["channel"] == agent
    assert told <= mine.sum() <= t["channel_delivered"][agent]
    calls = busy.rows("calls")
    answered = calls["result"] == m.CALL_ANSWERED
    # The suggestion belongs to a call of the line that was answered at that very moment.
    ended = set(
        zip(calls["sub"][answered].tolist(), calls["ts_ms"][answered].tolist(), strict=True)
    )
    triggers = set(
        zip(heard["sub"][mine].tolist(), heard["trigger_ms"][mine].tolist(), strict=True)
    )
    assert triggers <= ended


def test_whoever_must_not_be_told_is_not(busy):
    """The black list, control lines and holdouts hold at the screen too; quiet hours do not."""
    rows = busy.rows("decisions")
    mine = rows["trigger"] == busy.world.labels["trigger"].index(RULE)
    reasons = set(rows["reason"][mine].tolist())
    assert m.QUIET_HOURS not in reasons
    assert {m.UNIVERSAL_CONTROL, m.HOLDOUT} <= reasons
    assert busy.totals["control_contacts"].sum() == 0


def test_without_effects_the_screen_moves_nobody():
    """Truth law 1: with effects 0 the same people do the same things, screen or not."""
    still = {**BUSY, "subscribers.answers.effects": 0, "contact_centre.causes.confused": 0,
             "contact_centre.causes.about_offer": 0}  # fmt: skip
    runs = [
        run_world(
            tiny_world(subscribers=120, days=0.25, **{**still, "contact_centre.screen.share": x})
        )
        for x in (0, 1)
    ]
    assert runs[1].totals["advice_told"].sum() > 0
    assert same_rows(runs[0].rows("activity"), runs[1].rows("activity"))
    assert runs[0].digest["SubscriberState"] == runs[1].digest["SubscriberState"]
