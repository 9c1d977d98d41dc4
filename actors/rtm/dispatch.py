"""Compiled dispatchers out of the triggers of a run, one for each signal.

It owns the chaining of scalar triggers into functions that the scan kernel inlines: each asks the
rules that listen to its signal and no others, so that a rule on a rare row costs the common rows
nothing.  It must not know what any trigger looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.rtm.triggers import SIGNALS, Trigger
from sim.core.kernel import hot


@dataclass(frozen=True)
class Rule:
    """A trigger with the options that some use cases ask for.

    Attributes
    ----------
    label : name of the trigger, with a number where the run has several of its kind
    trigger : the registered trigger
    options : (4,) integers
    """

    label: str
    trigger: Trigger
    options: tuple[int, ...]


@hot
def add_hit(hits, n, sub, ts_ms, rule, value):
    """Write one hit and return the next free row."""
    hits.sub[n] = sub
    hits.ts_ms[n] = ts_ms
    hits.trigger[n] = rule
    hits.levers[n] = 0
    hits.value[n] = value
    return n + 1


def _nothing(row, sub, ts_ms, options, hits, n):  # the end of the chain
    return n


def _link(rule: Rule, index: int, tail: Any) -> Any:
    """Return a dispatcher that asks one rule after asking those before it."""
    fires, pack = rule.trigger.fires, rule.trigger.options

    def dispatch(row, sub, ts_ms, options, hits, n):
        n = tail(row, sub, ts_ms, options, hits, n)
        if fires(
            row,
            pack(options[index, 0], options[index, 1], options[index, 2], options[index, 3]),
        ):
            n = add_hit(hits, n, sub, ts_ms, index, row.value)
        return n

    return hot(dispatch)


def listening(rules: Sequence[Rule], signal: int) -> list[int]:
    """Return the indices of the rules that listen to a signal, ascending."""
    return [index for index, rule in enumerate(rules) if rule.trigger.signal == signal]


def make_dispatch(rules: Sequence[Rule], signal: int) -> Any:
    """Return `dispatch(row, sub, ts_ms, options, hits, n) -> n` for the rules on a signal.

    The rules are asked in order; hits carry their index among all of `rules`.
    """
    chain = hot(_nothing)
    for index in listening(rules, signal):
        chain = _link(rules[index], index, chain)
    return chain


def make_all(rules: Sequence[Rule]) -> dict[str, Any]:
    """Return the dispatcher of each signal, by the name under which the scan kernel calls it."""
    return {f"ask_{name}": make_dispatch(rules, k) for k, name in enumerate(SIGNALS)}


def options_table(rules: Sequence[Rule]) -> np.ndarray:
    """Return (n_rules, 4) int64, the options that `dispatch` takes."""
    return np.array([rule.options for rule in rules] or [(0, 0, 0, 0)], np.int64)
