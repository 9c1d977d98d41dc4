"""The books balance on a day on which much happens, and no leak of one unit goes unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.books import CHECKS
from actors.quest_tables import POINTS_ROW
from actors.rtm.quests import JOINED
from sim.core.checks import Stock
from sim.core.errors import InvariantError
from sim.core.sparse import key_of, put
from sim.queueing.processes import Job
from tests.factories import eventful_world, run_world

AT = 8
"""Tick after which a leak is planted."""
LATER_MS = 10**12

Plant = Callable[[Any, Any], None]


def roles(runtime: Any) -> tuple[Any, Any, Any]:
    """Return the roles of the last partition."""
    return runtime.hosts[-1].roles[-1]


def column(role: int, name: str, change: int) -> Plant:
    """Change one cell of a state column by one unit."""

    def plant(runtime: Any, outcome: Any) -> None:
        array = roles(runtime)[role].columns[name]
        row = int(np.argmax(array > 1))
        array[row] += change

    return plant


def code(role: int, name: str, value: int) -> Plant:
    """Put a code that does not exist into a state column."""

    def plant(runtime: Any, outcome: Any) -> None:
        roles(runtime)[role].columns[name][0] = value

    return plant


def counts(**changes: int) -> Plant:
    """Change the first lane of counters of the tick."""

    def plant(runtime: Any, outcome: Any) -> None:
        for name, change in changes.items():
            outcome.tally[name].reshape(-1)[0] += change

    return plant


def row_of_pool(role: int, moment: str) -> Plant:
    """Put a row that nobody asked for into the pool of a role."""

    def plant(runtime: Any, outcome: Any) -> None:
        actor = roles(runtime)[role]
        actor.pool["sub"][actor.n_pool] = actor.first
        actor.pool[moment][actor.n_pool] = LATER_MS
        actor.n_pool += 1

    return plant


def game_nobody_joined(runtime: Any, outcome: Any) -> None:
    """Put a game that nobody joined into the table of games."""
    desk = roles(runtime)[RTM].desk
    desk.games.reserve(1)
    row = put(desk.games.view, key_of(desk.first, desk.quests.quest_id[0]))
    desk.games.columns["value"][row] = JOINED
    desk.games.columns["quest"][row] = 0


def trial_nobody_opened(runtime: Any, outcome: Any) -> None:
    """Wait for the answer to a message that was never sent."""
    engine = roles(runtime)[RTM]
    trials = engine.beliefs.trials
    trials.reserve(1)
    row = put(trials.view, key_of(engine.first, engine.world.tables.case_id[0]))
    trials.columns["due_s"][row] = LATER_MS // 1000


def points_nobody_earned(runtime: Any, outcome: Any) -> None:
    """Give a line loyalty points out of nothing."""
    desk = roles(runtime)[RTM].desk
    desk.points.reserve(1)
    row = put(desk.points.view, key_of(desk.first, POINTS_ROW))
    desk.points.columns["points"][row] = 1


def grant_in_flight(runtime: Any, outcome: Any) -> None:
    """Let a refusal appear on its way to a line that has asked for nothing."""
    rows = runtime.scattered["Grant"]
    runtime.scattered["Grant"] = {
        name: np.concatenate([np.full(1, name == "kind", a.dtype), a]) for name, a in rows.items()
    }


def message_in_queue(runtime: Any, outcome: Any) -> None:
    """Put a message that nobody sent into a channel's queue."""
    channels = runtime.globals.channels
    channels.waiting = {
        name: np.concatenate([a, np.full(1, LATER_MS if name.endswith("_ms") else 0, a.dtype)])
        for name, a in channels.waiting.items()
    }


def message_in_flight(runtime: Any, outcome: Any) -> None:
    """Let a message on its way to a line vanish, or appear where there is none."""
    rows = runtime.scattered["Delivery"]
    runtime.scattered["Delivery"] = {
        name: np.concatenate([np.zeros(1, a.dtype), a]) for name, a in rows.items()
    }


def news_of_a_message(runtime: Any, outcome: Any) -> None:
    """Tell a line of a message at a touch point that is not there."""
    rows = runtime.scattered["Placed"]
    runtime.scattered["Placed"] = {
        name: np.concatenate([np.zeros(1, a.dtype), a]) for name, a in rows.items()
    }


def end_of_a_call(runtime: Any, outcome: Any) -> None:
    """Tell a line how a call has ended that nobody made."""
    rows = runtime.scattered["CallOutcome"]
    runtime.scattered["CallOutcome"] = {
        name: np.concatenate([np.zeros(1, a.dtype), a]) for name, a in rows.items()
    }


def call_in_queue(runtime: Any, outcome: Any) -> None:
    """Put a call that nobody made into the queue of the contact centre."""
    runtime.globals.centre.station.waiting[1] = Job(1, 0, 1, tags=(-1, 0, 0, 0, 0, 0))


def call_in_service(runtime: Any, outcome: Any) -> None:
    """Let an agent answer a call that nobody made."""
    runtime.globals.centre.station.n_serving += 1


def row_under_way(runtime: Any, outcome: Any) -> None:
    """Let a row that is on its way to the engine vanish, or appear where there is none."""
    feed = roles(runtime)[RTM].feed
    feed.waiting = {
        name: np.concatenate([a, np.full(1, LATER_MS if name.endswith("_ms") else 0, a.dtype)])
        for name, a in feed.waiting.items()
    }


SUBSCRIBERS, BILLING, RTM = 0, 1, 2
PLANTS: dict[str, Plant] = {
    "main money": column(BILLING, "balance_minor", 1),
    "bonus money": code(BILLING, "bonus_minor", 1),
    "trust debt": code(BILLING, "debt_minor", 1),
    "allowance: data": column(BILLING, "data_left_kb", -1),
    "allowance: pack": code(BILLING, "pack_left_kb", 1),
    "allowance: voice": column(BILLING, "voice_left_s", -1),
    "allowance: sms": column(BILLING, "sms_left", -1),
    "use asked for = allowance + paid + free + denied": counts(asked_units=1),
    "allowances used, both sides": counts(bucket_units=1, asked_units=1),
    "usage charged = main + bonus": counts(charged_minor=1),
    "uses = rated rows": counts(rated=1),
    "rows made = rows seen by the engine": counts(rows_seen=-1),
    "rows under way": row_under_way,
    "recharges made = recharges booked": counts(recharges=1),
    "purchases = sold + refused": counts(purchases_failed=1),
    "people": code(SUBSCRIBERS, "life", 7),
    "accounts": code(BILLING, "life", 9),
    "answers held": row_of_pool(SUBSCRIBERS, "ts_ms"),
    "decisions = rules satisfied": counts(trigger_hits=1),
    "winners = intended + withheld": counts(ghosts=1),
    "intents handed over = messages offered": counts(intents=1, intended=1, ghosts=-1),
    "intents by channel = by use case": counts(intended=1, ghosts=-1),
    "messages waiting": message_in_queue,
    "visits announced = messages taken up": counts(touches_made=1),
    "sent = delivered + failed": counts(channel_failed=1),
    "messages on their way": message_in_flight,
    "open horizons": row_of_pool(RTM, "end_ms"),
    "news of what lies ready": news_of_a_message,
    "ends of calls on their way": end_of_a_call,
    "ends of calls, people and engine": counts(calls_seen=1),
    "games": game_nobody_joined,
    "games completed = rewards asked for": counts(claims_made=1, claims_granted=1),
    "rewards asked for = granted + refused": counts(claims_refused=1),
    "grants on their way": grant_in_flight,
    "loyalty points": points_nobody_earned,
    "no reward past a budget or stock": counts(limit_breaches=1),
    "trials": trial_nobody_opened,
    "trials settled = lessons heard": counts(lessons_heard=1),
    "calls made = calls handed over": counts(calls_made=1),
    "calls waiting": call_in_queue,
    "calls being answered": call_in_service,
    "no message to a control line": counts(control_contacts=1),
    "no message past a cap": counts(cap_breaches=1),
    "no message against consent or a list": counts(list_breaches=1),
    "no marketing in quiet hours": counts(quiet_breaches=1),
    "no message for what is owned": counts(owned_breaches=1),
    "no message past a limit on repeats": counts(repeat_breaches=1),
    "no message against rules of participation": counts(campaign_breaches=1),
}


def test_all_books_balance_on_an_eventful_day() -> None:
    """At least ten checks exist; each holds on each of the 96 ticks; each stock moves."""
    world = eventful_world()
    run = run_world(world, partitions=3)
    assert len(CHECKS) >= 10
    assert len(run.audit) == 96 * len(CHECKS)
    assert all(holds for *_, holds in run.audit)
    moved = {name for _, name, left, right, _ in run.audit if left or right}
    never = {
        "no message to a control line", "no message past a cap", "no marketing in quiet hours",
        "no message against consent or a list", "no message for what is owned",
        "no message past a limit on repeats",
        "no message against rules of participation",
        "no reward past a budget or stock",
    }  # fmt: skip
    assert {c.name for c in CHECKS} - moved == never
    rows = run.rows("decisions")
    on_screen = rows["trigger"] == world.labels["trigger"].index("inbound")
    opened = int(rows["n_candidates"][on_screen].sum())
    assert 0 < opened == run.totals["screen_candidates"].sum() < run.totals["decisions"].sum()


def test_every_check_has_a_leak_of_its_own() -> None:
    """A new check needs a planted leak here, or nobody knows that it can fail."""
    assert {check.name for check in CHECKS} == set(PLANTS)


@pytest.mark.fault("H6")
@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_leak_of_one_unit_stops_the_run(name: str) -> None:
    """Planted after tick 8, a leak stops the run at once or at the next tick, by its name."""
    seen = []

    def plant(runtime: Any, index: int, outcome: Any) -> None:
        seen.append(index)
        if index == AT:
            PLANTS[name](runtime, outcome)

    with pytest.raises(InvariantError) as caught:
        run_world(eventful_world(), partitions=3, on_tick=plant, stop_ticks=AT + 4)
    told = f"the books do not balance: {name} "
    assert str(caught.value).startswith(told)
    in_state = any(check.name == name and not isinstance(check, Stock) for check in CHECKS)
    assert caught.value.details["tick"] == seen[-1]
    assert seen[-1] in ((AT, AT + 1) if in_state else (AT + 1,))


@pytest.mark.fault("H7")
@pytest.mark.parametrize("copies", [0, 2], ids=["lost", "doubled"])
def test_a_message_that_is_lost_or_doubled_inside_stops_the_run(copies: int) -> None:
    """One real delivery of a tick is dropped, or repeated, on its way to its line."""
    struck = []

    def plant(runtime: Any, index: int, outcome: Any) -> None:
        rows = runtime.scattered.get("Delivery")
        if struck or rows is None or not len(rows["sub"]):
            return
        times = np.ones(len(rows["sub"]), np.int64)
        times[0] = copies
        runtime.scattered["Delivery"] = {name: a.repeat(times) for name, a in rows.items()}
        struck.append(index)

    with pytest.raises(InvariantError) as caught:
        run_world(eventful_world(), partitions=3, on_tick=plant, stop_ticks=40)
    assert caught.value.details["tick"] == struck[0] + 1
    assert str(caught.value).startswith("the books do not balance: messages on their way")


@pytest.mark.fault("H6")
@pytest.mark.parametrize("change", [-1, 1])
def test_a_leak_tells_the_difference(change: int) -> None:
    """The error says what was expected, what was found and by how much they differ."""

    def plant(runtime: Any, index: int, outcome: Any) -> None:
        if index == AT:
            column(BILLING, "balance_minor", change)(runtime, outcome)

    with pytest.raises(InvariantError) as caught:
        run_world(eventful_world(), partitions=3, on_tick=plant, stop_ticks=AT + 4)
    values = caught.value.details["values"]
    assert values["difference"] == change
    assert values["found"] - values["expected"] == change
