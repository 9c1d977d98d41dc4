"""Calls as the engine sees them: who has called, and which rules a call satisfies.

It owns the memory of callers and the hits of a call: those of the rules that listen to calls, and
that of the agent's screen, which opens every use case.  It must not decide, nor know why somebody
called beyond the reason that was noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm import triggers as tr
from actors.rtm.dispatch import Rule
from actors.rtm.inbound import row_of_call, signs
from actors.rtm.state import HIT
from sim.core import rng
from sim.core.actor import Rows
from sim.core.columns import Columns, concat_rows, empty_rows
from sim.core.kernel import kernel
from sim.core.rng import draw, stream
from sim.core.sparse import Sparse, find, key_of, put

MEMORY_S = 30 * 86_400
"""A call is remembered for so long after the latest one, s."""
NAME = np.uint32(rng.name_id("calls of a line"))
TROUBLE_S = 86_400
"""Refused uses are a sign of trouble for so long, s."""
S_SCREEN = stream("the agent uses the screen")


@dataclass(frozen=True)
class Screen:
    """What the agent's screen of a run needs.

    Attributes
    ----------
    tables : `RtmTables` with the inbound rule and the levers of each kind of call; the agent is
        the channel
    rule : index of that rule
    share : uint32 threshold of the answered calls in which the screen is used
    seed : root of the draws
    """

    tables: Any
    rule: int
    share: np.uint32
    seed: np.uint64


@kernel
def remember_calls(callers, o, name_id, seed, share, n_calls, age_s, used):
    """Enter the ends of tries into the memory, in canonical order, and draw who uses the screen.

    A further try of one call is no further call.

    Parameters
    ----------
    callers : sparse table `CALLERS` with room for a row of each line, mutated
    o : `CallOutcome` columns, sorted by (sub, ts_ms)
    share : uint32 threshold of the answered calls in which the agent uses the screen
    n_calls, age_s : (n,) int64, written: calls remembered with this one, and the age of the one
        before, s (-1: none)
    used : (n,) bool, written: the agent voices what the screen shows first
    """
    for k in range(o.sub.shape[0]):
        key = key_of(o.sub[k], name_id)
        now_s = o.ts_ms[k] // 1000
        row = find(callers, key)
        age = np.int64(-1)
        if row >= 0:
            age = now_s - np.int64(callers.last_s[row])
            if age > MEMORY_S:
                age = np.int64(-1)
        else:
            row = put(callers, key)
        if age < 0:
            callers.n[row] = 0
        if o.attempt[k] == 0 or callers.n[row] == 0:
            callers.n[row] = min(np.int64(callers.n[row]) + 1, 255)
        callers.last_s[row] = now_s
        callers.reason[row] = o.reason[k]
        n_calls[k] = callers.n[row]
        age_s[k] = age
        low = np.uint32(o.key[k] & np.uint64(0xFFFFFFFF))
        high = np.uint32(o.key[k] >> np.uint64(32))
        u, _, _, _ = draw(seed, S_SCREEN, low, high, o.attempt[k])
        used[k] = o.result[k] == m.CALL_ANSWERED and u < share


def note_calls(
    callers: Sparse, screen: Screen | None, rows: Rows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Remember the calls of a tick; return calls remembered, age of the last, and screen used.

    Parameters
    ----------
    rows : `CallOutcome` rows of the partition, sorted by (sub, ts_ms)
    """
    n = len(rows["sub"])
    callers.reserve(n)
    n_calls, age_s, used = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
    remember_calls(
        callers.view,
        m.CALL_OUTCOME.tuple_type(**rows),
        NAME,
        np.uint64(0) if screen is None else screen.seed,
        np.uint32(0) if screen is None else screen.share,
        n_calls,
        age_s,
        used,
    )
    return n_calls, age_s, used


def signs_of(tables: Any, state: Columns, i: np.ndarray, now_s: np.ndarray) -> np.ndarray:
    """Return (n,) int64 bits of the needs of which the live profiles of some lines show a sign.

    Parameters
    ----------
    tables : `RtmTables`, for the kinds of places
    i : rows of `state`
    now_s : moment of each call, s
    """
    fence = state["fence"][i].astype(np.int64)
    in_trouble = (state["failures"][i] > 0) & (
        now_s - state["failures_s"][i].astype(np.int64) < TROUBLE_S
    )
    return signs(
        abroad=state["cell"][i] < 0,
        fence_kind=np.where(fence < 0, -1, np.asarray(tables.fence_kind, np.int64)[fence]),
        today_kb=state["data_today_kb"][i].astype(np.int64),
        norm_mb=state["data_norm_mb"][i].astype(np.int64),
        owns_pack=state["owned_day"][i] >= state["day"][i],
        in_trouble=in_trouble,
    )


def forget_calls(callers: Sparse, now_ms: int) -> None:
    """Drop the callers whose latest call is too long ago; called once a day."""
    callers.keep(callers.columns["last_s"].astype(np.int64) + MEMORY_S >= now_ms // 1000)


def rule_hits(
    rules: Sequence[tuple[int, Rule]], rows: Rows, n_calls: np.ndarray, age_s: np.ndarray,
    state: Columns, first: int,
) -> list[tuple[np.ndarray, int, np.ndarray]]:  # fmt: skip
    """Return (rows, rule, value) of the calls that satisfy each rule that listens to calls.

    Calls are few, so that the expression of a trigger is asked of all of them at once, as arrays.

    Parameters
    ----------
    rules : (index, rule) of those rules
    state : the live profile of the partition, which begins at line `first`
    """
    n = len(rows["sub"])
    i = rows["sub"].astype(np.int64) - first
    zero = np.zeros(n, np.int64)
    row = tr.Row(
        ts_s=rows["ts_ms"] // 1000, kind=rows["result"].astype(np.int64),
        code=rows["reason"].astype(np.int64), ref=rows["attempt"].astype(np.int64),
        units=rows["wait_ms"], charged_minor=zero, balance_before_minor=zero,
        balance_after_minor=zero, result=zero, used_before=zero + 255, used_after=zero + 255,
        silent_days=zero, today_before_kb=state["data_today_kb"][i].astype(np.int64),
        today_after_kb=state["data_today_kb"][i].astype(np.int64),
        norm_mb=state["data_norm_mb"][i].astype(np.int64),
        fence=state["fence"][i].astype(np.int64), fence_kind=zero - 1, landed=zero,
        failures=n_calls, failures_s=age_s, value=rows["reason"].astype(np.int64),
    )  # fmt: skip
    parts = []
    for index, rule in rules:
        fires = np.broadcast_to(
            rule.trigger.expression(row, rule.trigger.options(*rule.options)), n
        )
        parts.append((np.flatnonzero(fires), index, row.value))
    return parts


def hits_of_calls(
    screen: Screen | None, plain: Any, rules: Sequence[tuple[int, Rule]], rows: Rows,
    found: tuple[np.ndarray, np.ndarray, np.ndarray], state: Columns, first: int,
) -> list[tuple[Any, Columns]]:  # fmt: skip
    """Return (tables, hits) to decide on: those of the rules, then those of the screen.

    Where the agent uses the screen, every use case is open, with the levers of the reason and of
    what the live profile shows; after any other call the rules that listen to calls are asked, as
    after any other event.

    Parameters
    ----------
    plain : `RtmTables` of the run
    found : what `note_calls` returned
    """
    n_calls, age_s, used = found
    groups = []
    asked = [
        hits_at(rows, at[~used[at]], rule, value)
        for at, rule, value in rule_hits(rules, rows, n_calls, age_s, state, first)
    ]
    if sum(len(hits["sub"]) for hits in asked):
        groups.append((plain, sorted_hits(asked)))
    if screen is not None and used.any():
        at = np.flatnonzero(used)
        hits = hits_at(rows, at, screen.rule, rows["reason"].astype(np.int64))
        shown = signs_of(screen.tables, state, hits["sub"].astype(np.int64) - first,
                         hits["ts_ms"] // 1000)  # fmt: skip
        hits["levers"][:] = row_of_call(rows["reason"][at], shown)
        groups.append((screen.tables, sorted_hits([hits])))
    return groups


def hits_at(rows: Rows, at: np.ndarray, rule: int, value: np.ndarray) -> Rows:
    """Return hits of a rule at some rows of calls."""
    hits = {name: np.zeros(len(at), a.dtype) for name, a in empty_rows(HIT).items()}
    hits["sub"][:], hits["ts_ms"][:] = rows["sub"][at], rows["ts_ms"][at]
    hits["trigger"][:], hits["value"][:] = rule, value[at]
    return hits


def sorted_hits(parts: list[Rows]) -> Columns:
    """Return hits joined, in canonical order."""
    joined = concat_rows(HIT, parts)
    out = Columns(HIT, len(joined["sub"]))
    order = np.lexsort((joined["trigger"], joined["ts_ms"], joined["sub"]))
    for name, array in out.arrays.items():
        array[:] = joined[name][order]
    return out
