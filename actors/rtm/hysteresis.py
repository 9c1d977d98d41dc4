"""Hysteresis of rules: how often a satisfied rule may open a decision for one line.

It owns the options, the state of each line and rule that needs any, and which hits are held back.
It must not know what a rule looks at, nor what a hit leads to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field as Option

from actors import messages as m
from actors.rtm import triggers as tr
from sim.core import rng
from sim.core.kernel import hot, kernel
from sim.core.params import Params
from sim.core.sparse import find, key_of, put

KEY = "hysteresis"
"""Key of the options beside those of a trigger in `when`."""
BACK = -1
"""`Hit.trigger` of a row on which the condition of rule r does not hold: `BACK - r`."""


class Hysteresis(Params):
    """When a rule that was satisfied may open a decision again, for the same line."""

    once_per_days: int = Option(
        default=0, ge=0, le=400, description="one hit in so many local days; 0: no limit"
    )
    cool_down_h: float = Option(
        default=0.0, ge=0, le=9_600, description="hours from one hit to the next, at least"
    )
    max_hits: int = Option(default=0, ge=0, le=60_000, description="hits in the run; 0: no limit")
    rearm: bool = Option(
        default=False, description="the value must have gone back before the next hit"
    )

    def numbers(self) -> tuple[int, int, int, int]:
        """Return (days, s, hits, flag), all 0 where nothing is asked for."""
        return (
            self.once_per_days, round(self.cool_down_h * 3600), self.max_hits, int(self.rearm),
        )  # fmt: skip


NONE = Hysteresis().numbers()
KIND_OF = {
    tr.USAGE: m.USAGE, tr.FAILURE: m.BLOCKED, tr.VISIT: m.VISIT, tr.RECHARGE: m.RECHARGE_START,
}  # fmt: skip
"""Kinds of rows on which a value can be seen to go back, by the signal of the rule; other rules
fire on a change by themselves, once."""


class HysteresisTables(NamedTuple):
    """The hysteresis of the rules of a run.

    Attributes
    ----------
    used : whether any rule has some; `rearms` : whether any waits for the value to go back
    name_id : (n_rules,) uint32, by trigger, options and hysteresis: no other rule moves it
    once_days, cool_s, max_hits, rearm : (n_rules,) int64, 0 where not asked for
    """

    used: bool
    rearms: bool
    name_id: np.ndarray
    once_days: np.ndarray
    cool_s: np.ndarray
    max_hits: np.ndarray
    rearm: np.ndarray


def compile_hysteresis(
    rules: Sequence[tuple[str, tuple[int, ...], tuple[int, int, int, int]]],
) -> HysteresisTables:
    """Return the tables for rules as (trigger, options, `Hysteresis.numbers`)."""
    asked = np.array([numbers for *_, numbers in rules] or [NONE], np.int64)
    names = [rng.name_id("hysteresis:" + json.dumps(rule)) for rule in rules] or [0]
    columns = (np.ascontiguousarray(asked[:, k]) for k in range(asked.shape[1]))
    return HysteresisTables(
        bool(asked.any()), bool(asked[:, 3].any()), np.array(names, np.uint32), *columns
    )


@kernel
def _free(held, row, h, rule, ts_s, shift_s):
    """Return whether a hit of a rule counts, given what the line's row says of earlier ones."""
    last = np.int64(held.last_s[row])
    if h.rearm[rule] and not held.armed[row]:
        return False
    if h.max_hits[rule] > 0 and held.hits[row] >= h.max_hits[rule]:
        return False
    if ts_s - last < h.cool_s[rule]:
        return False
    if h.once_days[rule] > 0:
        days = (ts_s + shift_s) // 86_400 - (last + shift_s) // 86_400
        return days >= h.once_days[rule]
    return True


@kernel
def hold_back(p, t, held, lo, hits, n, c):
    """Drop the hits that hysteresis holds back, in order, and return how many are left.

    Parameters
    ----------
    held : `HELD` with room for n more rows, written
    lo : global id of the partition's first line
    hits, n : `Hit` columns in the order of (line, time) and their fill; those of rows on which a
        value has gone back are taken out
    """
    h = t.hold
    kept = 0
    for k in range(n):
        sub = np.int64(hits.sub[k])
        rule = np.int64(hits.trigger[k])
        if rule <= BACK:
            row = find(held, key_of(sub, h.name_id[BACK - rule]))
            if row >= 0:
                held.armed[row] = 1
            continue
        if h.once_days[rule] or h.cool_s[rule] or h.max_hits[rule] or h.rearm[rule]:
            ts_s = hits.ts_ms[k] // 1000
            shift_s = (t.region_shift_q[p.region[sub - lo]] + t.start_quarter) * 900
            key = key_of(sub, h.name_id[rule])
            row = find(held, key)
            if row >= 0 and not _free(held, row, h, rule, ts_s, shift_s):
                c.hits_held[rule] += 1
                continue
            if row < 0:
                row = put(held, key)
                held.hits[row] = 0
                held.last_s[row] = ts_s
            held.last_s[row] = max(ts_s, np.int64(held.last_s[row]))
            held.hits[row] = min(np.int64(held.hits[row]) + 1, 65_535)
            held.armed[row] = 0
        hits.sub[kept] = hits.sub[k]
        hits.ts_ms[kept] = hits.ts_ms[k]
        hits.trigger[kept] = hits.trigger[k]
        hits.levers[kept] = hits.levers[k]
        hits.value[kept] = hits.value[k]
        kept += 1
    return kept


@hot
def waits(held, name_id, hits, n, sub, rule):
    """Return whether a line's rule waits for its value to go back.

    What the slice holds of the line is newer than the table.
    """
    k = n - 1
    while k >= 0 and hits.sub[k] == sub:
        if hits.trigger[k] == rule:
            return True
        if hits.trigger[k] == BACK - rule:
            return False
        k -= 1
    row = find(held, key_of(sub, name_id))
    return row >= 0 and held.armed[row] == 0


def _nothing(kind, row, held, sub, ts_ms, t, hits, n):  # the end of the chain
    return n


def _link(trigger: tr.Trigger, index: int, tail: Any) -> Any:
    """Return a function that looks for the way back of one rule after those before it."""
    fires, pack, wanted = trigger.fires, trigger.options, KIND_OF[trigger.signal]
    gone = trigger.back
    if gone is None:

        def not_fires(row, p):
            return not fires(row, p)

        gone = hot(not_fires)

    def ask(kind, row, held, sub, ts_ms, t, hits, n):
        n = tail(kind, row, held, sub, ts_ms, t, hits, n)
        if kind == wanted and waits(held, t.hold.name_id[index], hits, n, sub, index):
            o = t.options
            if gone(row, pack(o[index, 0], o[index, 1], o[index, 2], o[index, 3])):
                hits.sub[n] = sub
                hits.ts_ms[n] = ts_ms
                hits.trigger[n] = BACK - index
                hits.value[n] = 0
                n += 1
        return n

    return hot(ask)


def make_back(rules: Sequence[tuple[tr.Trigger, bool]]) -> Any:
    """Return `ask_back(kind, row, held, sub, ts_ms, t, hits, n) -> n` for (trigger, re-arms)."""
    chain = hot(_nothing)
    for index, (trigger, rearms) in enumerate(rules):
        if rearms:
            chain = _link(trigger, index, chain)
    return chain
