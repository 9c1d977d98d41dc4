"""Who calls the contact centre: the same people, however the lines are cut."""

import numpy as np

from actors import messages as m
from actors.contact_centre.params import CallCauses
from actors.profile import M2M
from actors.subscribers.calling import compile_calling, who_calls, who_complains
from actors.subscribers.state import LIFE_HERE, LIFE_LEFT
from sim.core.columns import Block, empty_rows, take_rows

N = 3_000
CERTAIN = CallCauses(suspended=1, fee_failed=1, allowance_used=1, refused_use=1, confused=1)
SILENT = {"suspended": 0, "fee_failed": 0, "allowance_used": 0, "zero_balance": 0, "confused": 0}
TEXT, AGENT = 0, 1
HEARD = np.array([0, 1], np.uint8)
SERVICE = np.array([0, 1], np.uint8)
START_MS = 900_000


def account(kind, *, n=N):
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.ACCOUNT_EVENT).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["ts_ms"] = np.arange(n, dtype=np.int64) * 100
    rows["kind"][:] = kind
    return rows


def truth(*, n=N, seen=1, need_q=0, use_case=0, channel=TEXT):
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.TRUTH).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["ts_ms"] = np.arange(n, dtype=np.int64) * 100
    rows["seen"][:], rows["need_q"][:], rows["use_case"][:] = seen, need_q, use_case
    rows["channel"][:] = channel
    return rows


def calls(causes, *, life=LIFE_HERE, flags=0, first=0, rows=None, heard=None):
    lines = (np.full(N, life, np.uint8), np.full(N, flags, np.uint8), first)
    return who_calls(
        compile_calling(causes, seed=5), lines, SERVICE, HEARD, account=rows,
        truth=empty_rows(m.TRUTH) if heard is None else heard, start_ms=START_MS,
    )  # fmt: skip


def test_calls_follow_the_share_of_their_cause():
    """One in ten of the suspended calls, nobody whose pack was bought; none before the tick."""
    made = calls(CallCauses(), rows=account(m.SUSPENDED))
    n = len(made["sub"])
    assert abs(n - 0.1 * N) < 5 * (0.09 * N) ** 0.5
    assert (made["reason"] == m.BILL_SHOCK).all()
    assert (made["ts_ms"] > START_MS).all()
    assert len(np.unique(made["key"])) == n
    assert len(calls(CERTAIN, rows=account(m.PACK_BOUGHT))["sub"]) == 0


def test_only_people_who_are_here_call():
    """Machines and lines that have left do not."""
    assert len(calls(CERTAIN, rows=account(m.FEE_FAILED))["sub"]) == N
    assert len(calls(CERTAIN, rows=account(m.FEE_FAILED), flags=M2M)["sub"]) == 0
    assert len(calls(CERTAIN, rows=account(m.FEE_FAILED), life=LIFE_LEFT)["sub"]) == 0


def test_only_a_message_beside_the_point_confuses():
    """Seen, no need for it alive, and no service message."""
    assert len(calls(CERTAIN, heard=truth())["sub"]) == N
    assert (calls(CERTAIN, heard=truth())["reason"] == m.CONFUSED).all()
    assert len(calls(CERTAIN, heard=truth(seen=0))["sub"]) == 0
    quiet = CallCauses(confused=1, about_offer=0)
    assert len(calls(quiet, heard=truth(need_q=200))["sub"]) == 0
    assert len(calls(CERTAIN, heard=truth(use_case=1))["sub"]) == 0


def test_a_cut_of_the_lines_changes_nobody():
    """Two partitions make the calls of one."""
    rows = account(m.SUSPENDED)
    whole = calls(CallCauses(), rows=rows)
    low = calls(CallCauses(), rows=take_rows(rows, np.arange(1_000)))
    high = calls(CallCauses(), rows=take_rows(rows, np.arange(1_000, N)), first=1_000)
    for name in whole:
        both = np.concatenate([low[name], high[name]])
        assert sorted(both.tolist()) == sorted(whole[name].tolist())


def test_one_cause_makes_one_call():
    """The same event told twice is the same call."""
    rows = account(m.SUSPENDED)
    twice = take_rows(rows, np.repeat(np.arange(N), 2))
    assert len(calls(CERTAIN, rows=twice)["sub"]) == N


def used(kind, *, n=N):
    """Return a slice of activity in which every line has one row of a kind."""
    block = Block(m.ACTIVITY, n + 5)
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.ACTIVITY).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["ts_ms"] = START_MS + np.arange(n, dtype=np.int64) * 100
    rows["kind"][:] = kind
    return block.fill(rows)


def test_refused_uses_make_people_call_about_service():
    """A refused use, not any other row, nor what an earlier slice left behind in its place."""
    lines = (np.full(N, LIFE_HERE, np.uint8), np.zeros(N, np.uint8), 0)
    made = who_complains(compile_calling(CERTAIN, seed=5), lines, used(m.BLOCKED))
    assert len(made["sub"]) == N
    assert (made["reason"] == m.NO_SERVICE).all()
    assert (made["ts_ms"] >= START_MS).all()
    assert len(who_complains(compile_calling(CERTAIN, seed=5), lines, used(m.USAGE))["sub"]) == 0
    short = used(m.BLOCKED)
    short.n = 7
    assert len(who_complains(compile_calling(CERTAIN, seed=5), lines, short)["sub"]) == 7
    rare = compile_calling(CallCauses(refused_use=0.1), seed=5)
    n = len(who_complains(rare, lines, used(m.BLOCKED))["sub"])
    assert abs(n - 0.1 * N) < 5 * (0.09 * N) ** 0.5
    none = compile_calling(CallCauses(refused_use=0), seed=5)
    assert len(who_complains(none, lines, used(m.BLOCKED))["sub"]) == 0


def test_outbound_makes_inbound_at_its_planted_rate():
    """B19: 2.5 % of seen messages bring a question, whatever their need; agents' own bring none."""
    causes = CallCauses(**SILENT, about_offer=0.025)
    rows = truth(n=N, need_q=200)
    n = len(calls(causes, heard=rows)["sub"])
    assert abs(n - 0.025 * N) < 5 * (0.025 * 0.975 * N) ** 0.5
    assert (calls(causes, heard=rows)["reason"] == m.ABOUT_OFFER).all()
    assert len(calls(causes, heard=truth(channel=AGENT))["sub"]) == 0
    assert len(calls(causes, heard=truth(seen=0))["sub"]) == 0
    assert len(calls(CallCauses(**SILENT, about_offer=0), heard=rows)["sub"]) == 0
