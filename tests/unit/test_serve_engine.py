"""Inbound decisions in process: the run's own rules, the journal, and what is told of a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.rtm.arbitration import priority
from actors.rtm.audience import eligible
from actors.rtm.beliefs import chance_q
from actors.rtm.experiments import held_out
from actors.rtm.policy import lists_of, policy
from actors.rtm.state import ALIVE, BLACK, CONSENT, CONTROL, NO_CASE, engine_view
from scenarios import load
from scenarios.serve import journal
from scenarios.serve.engine import ASK, DONE, NO_KEY, TOLD, Engine
from scenarios.serve.journal import BODY, RANKS_MAX, RECORD
from scenarios.serve.state import Clock, Serving, build_serving
from sim.core.errors import ScenarioError
from sim.core.sparse import Sparse
from tests.factories import TINY

NOON_MS = 12 * 3_600_000
NIGHT_MS = 3 * 3_600_000


@pytest.fixture(scope="module")
def built() -> Serving:
    """A small world at its start, with a clock that stands still; never changed."""
    loaded = load("city_day").with_(subscribers=400, **TINY)
    made = build_serving(loaded)
    return dataclasses.replace(made, clock=Clock(made.clock.start, NOON_MS, 0.0, 0.0))


@pytest.fixture
def fresh(built: Serving) -> Callable[[], Serving]:
    """Give copies of the state, each to be changed at will."""

    def copy() -> Serving:
        columns = []
        for old in (built.profile, built.state):
            new = type(old)(old.schema, old.n)
            for name, array in old.arrays.items():
                new[name][...] = array
            columns.append(new)
        tables = []
        for kept in (built.contacts, built.taken):
            tables.append(Sparse(kept.schema))
            tables[-1].restore(kept.snapshot())
        return dataclasses.replace(
            built, profile=columns[0], state=columns[1], contacts=tables[0], taken=tables[1]
        )

    return copy


def record(data: bytes) -> np.void:
    """Return a record's fields."""
    return np.frombuffer(data, RECORD)[0]


def expected(serving: Serving, sub: int, ts_ms: int) -> tuple[list[int], int]:
    """Rank a line's offers in plain Python over the kernels of a run, and tell the winner."""
    p, t = serving.profile.view, serving.tables
    s = engine_view(serving.state, serving.tables_of_lines(), 0)
    quarters = ts_ms // 900_000 + int(t.region_shift_q[p.region[sub]]) + t.start_quarter
    day, quarter = int(quarters // 96), int(quarters % 96)

    def chance(case: int) -> np.int64:
        return chance_q(t, p, sub, sub, case, 0, ts_ms)

    allowed = [
        (-int(priority(t, chance(case), case, quarter, 0)), int(t.case_id[case]), case)
        for case in range(len(serving.offers))
        if eligible(p, s, t, sub, case, day)
        and policy(p, s, t, sub, sub, case, day, quarter, *lists_of(t, sub)) == m.INTENDED
    ]
    ranked = [case for *_, case in sorted(allowed)]
    if not ranked or held_out(t, sub, ranked[0]):
        return [], ranked[0] if ranked else -1
    return [c for c in ranked if c == ranked[0] or not held_out(t, sub, c)], ranked[0]


def test_an_inbound_decision_follows_the_rules_of_a_run(fresh: Callable[[], Serving]) -> None:
    """For every line, ranking, winner and holdout agree with the kernels called one by one."""
    serving = fresh()
    engine = Engine(serving)
    seen = withheld = 0
    for sub in range(400):
        wanted, winner = expected(serving, sub, NOON_MS)
        found = record(engine.decide(sub, NOON_MS, channel=0, limit=RANKS_MAX))
        assert found["ranked"][: found["n_ranked"]].tolist() == wanted[:RANKS_MAX]
        assert found["contact"] == winner
        assert (found["ranked"][found["n_ranked"] :] == -1).all()
        seen += len(wanted) > 1
        withheld += winner >= 0 and not wanted
    assert seen > 50 and withheld > 5


def test_quiet_hours_do_not_hold_for_one_who_asks(fresh: Callable[[], Serving]) -> None:
    """In the middle of the night as many get offers as at noon: whoever asks is awake."""
    counts = []
    for ts_ms in (NOON_MS, NIGHT_MS):
        engine = Engine(fresh())
        counts.append(
            sum(
                int(record(engine.decide(k, ts_ms, channel=0, limit=1))["n_ranked"])
                for k in range(400)
            )
        )
    assert counts[0] == counts[1] > 100


def test_those_who_must_not_be_asked_are_offered_nothing(fresh: Callable[[], Serving]) -> None:
    """Black list, universal control, lines that are gone: never an offer, whatever is allowed."""
    serving = fresh()
    engine = Engine(serving)
    flags = serving.state["flags"]
    for bit, wanted in ((BLACK, 1), (CONTROL, 1), (ALIVE, 0)):
        flags[:400] = ALIVE | CONSENT
        flags[:400] = flags[:400] | bit if wanted else flags[:400] & (255 - bit)
        for sub in range(100):
            found = record(engine.decide(sub, NOON_MS, channel=0, limit=3))
            assert found["n_ranked"] == 0 and found["contact"] == -1


def test_caps_hold_for_one_who_asks_again_and_again(fresh: Callable[[], Serving]) -> None:
    """Marketing contacts remembered of a line stay within the cap, however often it asks."""
    serving = fresh()
    engine = Engine(serving)
    t = serving.tables
    for sub in range(60):
        contacts = [
            int(record(engine.decide(sub, NOON_MS, channel=0, limit=3))["contact"])
            for _ in range(12)
        ]
        told = [case for case in contacts if case >= 0]
        assert sum(not t.case_service[case] for case in told) <= t.contact.cap_contacts[0]
        assert all(told.count(case) <= t.case_cap[case] for case in told)
        assert contacts[-1] == -1


def test_a_limit_cuts_the_ranking_and_changes_nothing_else(fresh: Callable[[], Serving]) -> None:
    """The first offers of a long list are those of a short one."""
    long, short = Engine(fresh()), Engine(fresh())
    for sub in range(100):
        a = record(long.decide(sub, NOON_MS, channel=0, limit=RANKS_MAX))
        b = record(short.decide(sub, NOON_MS, channel=0, limit=2))
        n = int(b["n_ranked"])
        assert n == min(2, a["n_ranked"]) and (a["ranked"][:n] == b["ranked"][:n]).all()


@pytest.mark.fault("K8")
def test_an_unknown_customer_changes_nothing(fresh: Callable[[], Serving]) -> None:
    """The record says unknown and empty; no line's state moves, and none remembers a contact."""
    serving = fresh()
    engine = Engine(serving)
    engine.decide(-1, NOON_MS, channel=0, limit=3)
    after = serving.state.digest(np.arange(serving.state.n))
    for sub in (-1, serving.n_lines, 10**12):
        found = record(engine.decide(sub, NOON_MS, channel=0, limit=3))
        assert (found["known"], found["n_ranked"], found["contact"], found["sub"]) == (0, 0, -1, -1)
    rows = {k: a[:-1] for k, a in serving.state.arrays.items()}
    assert all((rows[k] == a[:-1]).all() for k, a in fresh().state.arrays.items())
    assert serving.state.digest(np.arange(serving.state.n)) == after
    assert (serving.state["recent_case"][serving.nobody] == NO_CASE).any()


def asked(*rows: tuple[Any, ...]) -> Any:
    """Give requests as the wire does."""
    return iter([ASK.unpack(ASK.pack(*row)) for row in rows])


def replies(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return (number, status, body) of each reply."""
    found, at = [], 0
    while at < len(data):
        number, n, status = TOLD.unpack_from(data, at)
        at += TOLD.size
        found.append((number, status, data[at : at + n]))
        at += n
    return found


def test_a_journal_brings_a_new_engine_to_the_same_state(
    fresh: Callable[[], Serving], tmp_path: Path
) -> None:
    """Contacts, numbers and keys of an engine are those of one that read its journal."""
    path = tmp_path / journal.NAME
    one = fresh()
    journal.create(path, one.identity)
    kept = journal.Journal(path, always=True)
    engine = Engine(one, kept)
    key, content = b"k" * 16, b"c" * 16
    rows = [(k + 1, k % 50, 0, 0, 3, NO_KEY, NO_KEY) for k in range(120)]
    answers = replies(engine.batch(asked(*rows, (200, 7, 0, 0, 3, key, content))))
    kept.close()
    records = journal.read(path, one.identity)
    assert [r.tobytes() for r in records] == [body for *_, body in answers]
    two = fresh()
    other = Engine(two)
    other.restore(records)
    assert other.seq == engine.seq == 121 and other.known == engine.known
    keys = np.arange(one.state.n - 1)
    for name in ("recent_case", "recent_channel", "recent_day"):
        assert (one.state[name][keys] == two.state[name][keys]).all()
    assert one.contacts.digest() == two.contacts.digest()
    again = replies(other.batch(asked((1, 7, 0, 0, 3, key, content))))
    assert again == [(1, DONE, answers[-1][2])]


def test_a_torn_end_is_cut_and_damage_is_refused(
    fresh: Callable[[], Serving], tmp_path: Path
) -> None:
    """A part of a record and a broken last one go; a flipped bit before sound records is told."""
    serving = fresh()
    engine = Engine(serving)
    path = tmp_path / journal.NAME
    data = b"".join(engine.decide(k, NOON_MS, channel=0, limit=3) for k in range(5))

    def written(content: bytes) -> None:
        path.unlink(missing_ok=True)
        journal.create(path, serving.identity)
        with path.open("ab") as file:
            file.write(content)

    size = RECORD.itemsize
    for k in (1, size - 1):
        written(data[: 4 * size + k])
        assert len(journal.read(path)) == 4
        assert path.stat().st_size == journal.HEAD_BYTES + 4 * size
    written(data[:-1] + b"\x00" if data[-1] else data[:-1] + b"\x01")
    assert len(journal.read(path)) == 4
    for at in range(3, 4 * size, 61):
        damaged = bytearray(data)
        damaged[at] ^= 4
        written(bytes(damaged))
        with pytest.raises(ScenarioError, match="damaged"):
            journal.read(path)
    written(data)
    with pytest.raises(ScenarioError, match="another world"):
        journal.read(path, {**serving.identity, "seed": "2"})
    for content in (b"", b"{}", b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(ScenarioError, match="journal"):
            journal.read(path)


def test_a_disk_that_is_full_answers_nothing(
    fresh: Callable[[], Serving], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the journal cannot be written the batch is not answered: the engine ends."""
    serving = fresh()
    path = tmp_path / journal.NAME
    journal.create(path, serving.identity)
    engine = Engine(serving, journal.Journal(path, always=False))

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(OSError, match="space"):
        engine.batch(asked((1, 3, 0, 0, 3, NO_KEY, NO_KEY)))


def test_a_profile_is_what_the_engine_believes(fresh: Callable[[], Serving]) -> None:
    """Facts of the profile, the contacts of a line, and the groups whose audience it is."""
    serving = fresh()
    engine = Engine(serving)
    sub = next(
        k for k in range(400)
        if record(engine.decide(k, NOON_MS, channel=0, limit=1))["contact"] >= 0
    )  # fmt: skip
    told = replies(engine.batch(asked((1, sub, 1, 0, 1, NO_KEY, NO_KEY), (2, sub, 2, 0, 1, NO_KEY,
                                                                          NO_KEY))))  # fmt: skip
    profile, groups = (json.loads(body) for *_, body in told)
    won = int(record(engine.decide(sub, NOON_MS, channel=0, limit=1))["seq"])
    assert won > 0 and profile["contacts"][0]["days_ago"] == 0
    assert profile["contacts"][0]["offer"] in {name for name, *_ in serving.offers}
    assert profile["tenure_days"] == serving.profile["tenure_days"][sub]
    p, t = serving.profile.view, serving.tables
    s = engine_view(serving.state, serving.tables_of_lines(), 0)
    day = engine.local_day(sub, NOON_MS)
    assert groups == [
        name for case, (name, *_) in enumerate(serving.offers) if eligible(p, s, t, sub, case, day)
    ]


def test_an_engine_that_is_off_decides_nothing(fresh: Callable[[], Serving]) -> None:
    """With `rtm.enabled` false every answer is empty and nothing is remembered."""
    engine = Engine(dataclasses.replace(fresh(), enabled=False))
    values = BODY.unpack_from(engine.decide(3, NOON_MS, channel=0, limit=3))
    assert values[6] == 0 and values[8] == -1


def test_a_checkpoint_of_a_run_is_a_state_to_serve_from(tmp_path: Path) -> None:
    """Columns and beliefs are those that the stopped run saved; another seed is refused."""
    from sim.core.errors import Interrupted
    from sim.runtime import checkpoint

    learning = {"rtm.learning.enabled": True, "rtm.learning.answer_hours": 1}
    loaded = load("city_day").with_(subscribers=300, **TINY, **learning)
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        loaded.run(out=out, stop_at_ms=14 * 3_600_000)
    part = out.with_name("run.part")
    serving = build_serving(loaded, run=part)
    assert serving.clock.now_ms() >= 14 * 3_600_000
    began = build_serving(loaded)
    assert (serving.tables.belief.mean_q != began.tables.belief.mean_q).any()
    from scenarios.saving import identity_of

    def compare(saved: checkpoint.Saved) -> None:
        for lines in saved.lines:
            kept = saved.read(lines)["roles"]["rtm"]["state"]
            for name, array in kept.items():
                assert (serving.state[name][lines.first : lines.last] == array).all(), name
            kept = saved.read(lines)["roles"]["rtm"]["Contacts"]
            mine = np.isin(serving.contacts.sorted_rows()["key"], kept["key"])
            assert mine.sum() == len(kept["key"])

    checkpoint.restore(part / "checkpoints", run=identity_of(loaded), apply=compare)
    assert (serving.state["seen_s"] != began.state["seen_s"]).any()
    with pytest.raises(ScenarioError, match="a server has none"):
        build_serving(loaded.with_(**{"rtm.arbitration": "oracle"}))
    with pytest.raises(ScenarioError, match="another run"):
        build_serving(loaded.with_(seed=2), run=part)
    with pytest.raises(ScenarioError, match="no checkpoint"):
        build_serving(loaded, run=tmp_path)
