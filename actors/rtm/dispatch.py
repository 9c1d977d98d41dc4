"""One compiled dispatcher out of the triggers of a run.

It owns the chaining of scalar triggers into a single function that the scan kernel inlines.  It
must not know what any trigger looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.rtm.triggers import Trigger
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
    hits.value[n] = value
    return n + 1


def _nothing(signal, row, sub, ts_ms, options, hits, n):  # the end of the chain
    return n


def _link(rule: Rule, index: int, tail: Any) -> Any:
    """Return a dispatcher that asks one rule after asking those before it."""
    fires, pack, wanted = rule.trigger.fires, rule.trigger.options, rule.trigger.signal

    def dispatch(signal, row, sub, ts_ms, options, hits, n):
        n = tail(signal, row, sub, ts_ms, options, hits, n)
        if signal == wanted and fires(
            row,
            pack(options[index, 0], options[index, 1], options[index, 2], options[index, 3]),
        ):
            n = add_hit(hits, n, sub, ts_ms, index, row.value)
        return n

    return hot(dispatch)


def make_dispatch(rules: Sequence[Rule]) -> Any:
    """Return `dispatch(signal, row, sub, ts_ms, options, hits, n) -> n` for the rules in order."""
    chain = hot(_nothing)
    for index, rule in enumerate(rules):
        chain = _link(rule, index, chain)
    return chain


def options_table(rules: Sequence[Rule]) -> np.ndarray:
    """Return (n_rules, 4) int64, the options that `dispatch` takes."""
    return np.array([rule.options for rule in rules] or [(0, 0, 0, 0)], np.int64)
