"""Who calls the contact centre: the same people, however the lines are cut."""

import numpy as np

from actors import messages as m
from actors.contact_centre.params import CallCauses
from actors.profile import M2M
from actors.subscribers.calling import compile_calling, who_calls
from actors.subscribers.state import LIFE_HERE, LIFE_LEFT
from sim.core.columns import empty_rows, take_rows

N = 3_000
CERTAIN = CallCauses(suspended=1, fee_failed=1, allowance_used=1, confused=1)
SERVICE = np.array([0, 1], np.uint8)
START_MS = 900_000


def account(kind, *, n=N):
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.ACCOUNT_EVENT).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["ts_ms"] = np.arange(n, dtype=np.int64) * 100
    rows["kind"][:] = kind
    return rows


def truth(*, n=N, seen=1, need_q=0, use_case=0):
    rows = {name: np.zeros(n, a.dtype) for name, a in empty_rows(m.TRUTH).items()}
    rows["sub"] = np.arange(n, dtype=np.int32)
    rows["ts_ms"] = np.arange(n, dtype=np.int64) * 100
    rows["seen"][:], rows["need_q"][:], rows["use_case"][:] = seen, need_q, use_case
    return rows


def calls(causes, *, life=LIFE_HERE, flags=0, first=0, rows=None, heard=None):
    lines = (np.full(N, life, np.uint8), np.full(N, flags, np.uint8), first)
    return who_calls(
        compile_calling(causes, seed=5), lines, SERVICE, account=rows,
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
    assert len(calls(CERTAIN, heard=truth(need_q=200))["sub"]) == 0
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
