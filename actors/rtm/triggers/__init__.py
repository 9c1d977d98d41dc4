"""Triggers: one file for each condition that opens a decision.

A trigger is one expression over a row and its options, written with `&`, `|` and comparisons, so
that the same definition serves as a vectorised oracle in tests and as a compiled scalar kernel in
the loop.  This package owns the registry; it must not know offers.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sim.core.kernel import hot
from sim.core.params import Params
from sim.core.registry import Registry

Signal = Literal[
    "usage", "account", "dwell", "first", "failure", "recharge", "visit", "attach", "roaming",
    "slow", "call", "quest", "answer",
]  # fmt: skip
SIGNALS: tuple[Signal, ...] = (
    "usage", "account", "dwell", "first", "failure", "recharge", "visit", "attach", "roaming",
    "slow", "call", "quest", "answer",
)  # fmt: skip
"""Kinds of rows that a trigger may listen to.

usage: a rated use; account: what happened to the account, or will on a date; dwell: a believed stay
reached its dwell time; first: the first event after at least one silent day; failure: a refused
use; recharge: a top-up was begun; visit: a page or app was opened; attach: the phone came up in
another network or region, or came home; roaming: the first charged use of a stay abroad; slow: data
was slow; call: a call to the contact centre has ended; quest: a step of a game was done; answer: a
message was answered.
"""
(
    USAGE, ACCOUNT, DWELL, FIRST, FAILURE, RECHARGE, VISIT, ATTACH, ROAMING, SLOW, CALL, QUEST,
    ANSWER,
) = range(len(SIGNALS))  # fmt: skip
MAX_OPTIONS = 4


class Row(NamedTuple):
    """What a trigger may look at.

    Attributes
    ----------
    ts_s : moment, s
    kind, code, ref, units : as in `Activity`; of an `AccountEvent` its kind, and its value as
        `units`; of a call its result as `kind`, its reason as `code`, its wait, ms, as `units`
    charged_minor, balance_before_minor, balance_after_minor : money, minor units
    result : one of `RESULTS`
    used_before, used_after : used share of the plan's data, percent; 255 none
    silent_days : whole days since the event before this one
    today_before_kb, today_after_kb : data of the day without and with this row, kB
    norm_mb : the line's own norm of daily data, MB
    fence, fence_kind : geofence of a dwell, 0 mall, 1 airport, 2 shop
    landed : 1 where the visit began with the first event after being abroad
    failures, failures_s : failed uses in the window, and its age, s
    value : what the trigger reports
    slow : slow data in the same window
    away : dwell and attach: 1 where the phone came from abroad or out of a silent day
    elsewhere : attach: 1 where the cell lies outside the line's own region
    game : dwell: 1 where the line is in a game that is not finished
    own_shop : dwell: 1 where the place is, or holds, a shop of ours
    tenure_days, device : dwell, attach, account: time with us, days; one of `DEVICES`

    Of a call, `kind` is one of `CALL_RESULTS`, `code` of `CALL_REASONS`, `ref` the tries before,
    `units` the wait in ms, `failures` the calls remembered, this one included, and `failures_s` the
    age of the one before, s.
    """

    ts_s: Any
    kind: Any
    code: Any
    ref: Any
    units: Any
    charged_minor: Any
    balance_before_minor: Any
    balance_after_minor: Any
    result: Any
    used_before: Any
    used_after: Any
    silent_days: Any
    today_before_kb: Any
    today_after_kb: Any
    norm_mb: Any
    fence: Any
    fence_kind: Any
    landed: Any
    failures: Any
    failures_s: Any
    value: Any
    slow: Any = 0
    away: Any = 0
    elsewhere: Any = 0
    game: Any = 0
    own_shop: Any = 0
    tenure_days: Any = 0
    device: Any = 0


@dataclass(frozen=True)
class Trigger:
    """A registered trigger.

    Attributes
    ----------
    name : unique name; random streams and ids come from it
    signal : index into `SIGNALS`
    params : model of its options
    options : namedtuple type of the options, padded to `MAX_OPTIONS`
    expression : the definition, on scalars or arrays
    fires : the compiled scalar form
    back : whether the value has gone back, compiled; None: where `fires` is not true
    """

    name: str
    signal: int
    params: type[Params]
    options: type
    expression: Callable[[Any, Any], Any]
    fires: Any
    back: Any = None

    def compile_options(self, values: Params) -> tuple[int, ...]:
        """Return the options as integers, padded with zeros."""
        numbers = [int(getattr(values, name)) for name in type(values).model_fields]
        return (*numbers, *([0] * (MAX_OPTIONS - len(numbers))))


_registry: Registry[Trigger] = Registry("trigger")


def trigger(
    name: str,
    *,
    on: Signal,
    params: type[Params],
    back: Callable[[Any, Any], Any] | None = None,
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Register an expression `fires(row, p)` under a name.

    Parameters
    ----------
    back : expression that says whether the value has gone back, for `hysteresis: {rearm: true}`;
        a trigger that fires on a crossing needs one, for others it is where they do not fire
    """
    fields = list(params.model_fields)
    if len(fields) > MAX_OPTIONS:
        raise ValueError(f"trigger {name} has more than {MAX_OPTIONS} options")
    padded = fields + [f"unused_{k}" for k in range(MAX_OPTIONS - len(fields))]
    options = namedtuple("Options_" + name, padded)  # type: ignore[misc]  # names are data

    def register(expression: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        fires = hot(expression)
        gone = None if back is None else hot(back)
        entry = Trigger(name, SIGNALS.index(on), params, options, expression, fires, gone)
        _registry.add(name, entry)
        return expression

    return register


def registry() -> Registry[Trigger]:
    """Return the registry with every trigger of this package in it."""
    import actors.rtm.triggers as package

    _registry.scan(package)
    return _registry


def catalogue() -> dict[str, type[Params]]:
    """Return the option model of each trigger, by name."""
    return {name: entry.params for name, entry in registry().items()}
