"""Sequences of waves, and surveys whose answer changes the offer, in whole runs."""

from __future__ import annotations

import numpy as np
import pytest

from actors import messages as m
from tests.campaigns import DAY_MS, HOUR_MS, STEPS, SURVEY, case_of, scenario
from tests.factories import Run, run_world, tiny_world


@pytest.fixture(scope="module")
def sequence() -> Run:
    """Two days with a sequence of three contacts, and calls without an end of capacity."""
    options = scenario(STEPS)
    options["catalog.define"]["channels"] = {"call": {"servers": 1e6, "failure": 0}}
    options |= {"subscribers.answers.opt_out_share": 1, "subscribers.answers.need_weight": 4}
    return run_world(tiny_world(subscribers=900, days=2, **options), partitions=3)


def test_a_sequence_goes_on_for_those_alone_who_have_not_accepted(sequence: Run) -> None:
    """By the recorded rows: wave after wave, in time and hours, until yes or an opt-out."""
    cases = [case_of(sequence, name) for name in ("steps:all", "steps:all:2", "steps:all:3")]
    rows, answers = sequence.rows("decisions"), sequence.rows("activity")
    ended: dict[int, int] = {}
    for sub, ts_ms, kind, code, ref in zip(
        *(answers[name] for name in ("sub", "ts_ms", "kind", "code", "ref")), strict=True
    ):
        over = code == m.OPT_OUT or (code == m.ACCEPT and ref in cases)
        if kind == m.RESPONSE and over:
            ended.setdefault(int(sub), int(ts_ms))
    opened: dict[int, list[tuple[int, int, int]]] = {}
    for sub, ts_ms, case, reason in zip(
        *(rows[name] for name in ("sub", "ts_ms", "use_case", "reason")), strict=True
    ):
        if case in cases:
            wave = cases.index(case)
            opened.setdefault(int(sub), []).append((wave, int(ts_ms), int(reason)))
    n_stopped = n_whole = 0
    for sub, told in opened.items():
        assert [wave for wave, _, _ in told] == list(range(len(told)))
        _, first_ms, reason = told[0]
        if reason != m.INTENDED:
            assert len(told) == 1
            continue
        due_ms = first_ms
        for wave, hours in enumerate((2, 1.5), 1):
            due_ms = hours_of_day(due_ms + round(hours * HOUR_MS))
            stop_ms = ended.get(sub, 1 << 60)
            if len(told) > wave:
                # Seconds are cut upwards; what is heard within the tick comes too late.
                assert due_ms <= told[wave][1] < due_ms + 1_000
                assert stop_ms >= told[wave][1] - told[wave][1] % (HOUR_MS // 4)
                due_ms = told[wave][1]
                n_whole += wave == 2
            else:
                gone = stop_ms < due_ms or due_ms >= sequence.world.clock.end_ms
                assert gone or sub in left(sequence)
                n_stopped += stop_ms < due_ms
                break
    assert n_stopped > 15 and n_whole > 100
    assert sequence.totals["campaign_breaches"].sum() == 0


def hours_of_day(ms: int) -> int:
    """Return the first moment from 9 to 21 h; the city keeps the clock of the scenario."""
    day, at = divmod(ms, DAY_MS)
    if at >= 21 * HOUR_MS:
        return (day + 1) * DAY_MS + 9 * HOUR_MS
    return day * DAY_MS + max(at, 9 * HOUR_MS)


def left(run: Run) -> set[int]:
    """Return the lines that were cut off or left in the run."""
    rows = run.rows("account_events")
    gone = np.isin(rows["kind"], (m.CHURNED, m.SUSPENDED))
    return set(rows["sub"][gone].tolist())


def test_waves_have_their_own_channels_offers_and_no_holdout(sequence: Run) -> None:
    """The first wave is withheld from a quarter, the others from nobody; the third is a gift."""
    t, tables = sequence.totals, sequence.world.rtm.tables
    first, call, gift = (
        case_of(sequence, name) for name in ("steps:all", "steps:all:2", "steps:all:3")
    )
    names = sequence.world.labels["channel"]
    ways = [names[tables.case_channels[k, 0]] for k in (first, call, gift)]
    assert ways == ["sms", "call", "push"]
    assert tables.case_gift_minor[gift] == tables.case_gift_minor[case_of(sequence, "return_gift")]
    assert t["ghosts"][first] > 50 and t["ghosts"][call] == t["ghosts"][gift] == 0
    assert t["intended"][first] > t["intended"][call] > t["intended"][gift] > 50


def test_no_cut_of_the_lines_changes_a_sequence(sequence: Run) -> None:
    """The memory of waves is that of the line."""
    again = run_world(sequence.world, partitions=1)
    assert again.digest == sequence.digest


@pytest.fixture(scope="module")
def poll() -> Run:
    """A day with a survey."""
    return run_world(tiny_world(subscribers=1_200, **scenario(SURVEY)), partitions=3)


def test_the_answer_to_a_survey_decides_what_is_offered(poll: Run) -> None:
    """Who replies is offered what was chosen, some minutes later; nobody else is."""
    question, data, gift = (
        case_of(poll, n) for n in ("poll:all", "poll:all:data", "poll:all:gift")
    )
    rows, decisions = poll.rows("activity"), poll.rows("decisions")
    mine = (rows["kind"] == m.RESPONSE) & (rows["code"] == m.REPLY)
    assert mine.sum() > 100 and (rows["ref"][mine] == question).all()
    told = {
        int(sub): (int(units), int(ts_ms))
        for sub, units, ts_ms in zip(
            *(rows[name][mine] for name in ("sub", "units", "ts_ms")), strict=True
        )
    }
    assert {units for units, _ in told.values()} == {0, 1}
    offered = np.isin(decisions["use_case"], (data, gift))
    seen = set()
    for sub, ts_ms, case in zip(
        *(decisions[name][offered] for name in ("sub", "ts_ms", "use_case")), strict=True
    ):
        units, at_ms = told[int(sub)]
        assert case == (data, gift)[units] and ts_ms >= at_ms + 180_000 and sub not in seen
        seen.add(int(sub))
    end_ms = poll.world.clock.end_ms
    missing = {sub for sub, (_, at_ms) in told.items() if at_ms < end_ms - HOUR_MS // 2} - seen
    optout = rows["sub"][(rows["kind"] == m.RESPONSE) & (rows["code"] == m.OPT_OUT)]
    assert missing <= set(optout.tolist()) | left(poll)
    t = poll.totals
    assert t["accepted"][question] == 0 < t["accepted"][data] + t["accepted"][gift]
    assert t["replied"][question] == mine.sum() and t["campaign_breaches"].sum() == 0
    assert t["ghosts"][question] > 50


def test_people_choose_what_they_like(poll: Run) -> None:
    """Those who chose data like it more than those who chose gifts do (the truth knows)."""
    from actors.rtm.params import NEEDS
    from actors.subscribers.answers import taste_q
    from sim.core.rng import seed64

    rows = poll.rows("activity")
    mine = (rows["kind"] == m.RESPONSE) & (rows["code"] == m.REPLY)
    tables, seed = poll.world.subscribers.tables, seed64(poll.world.seed)
    kinds = [NEEDS.index(name) for name in ("data", "loyalty")]
    liking = np.array(
        [taste_q(tables, seed, sub, kinds[0]) - taste_q(tables, seed, sub, kinds[1])
         for sub in rows["sub"][mine].tolist()]
    )  # fmt: skip
    chose_data = rows["units"][mine] == 0
    gap = liking[chose_data].mean() - liking[~chose_data].mean()
    assert gap > 5 * liking.std() * (1 / chose_data.sum() + 1 / (~chose_data).sum()) ** 0.5
