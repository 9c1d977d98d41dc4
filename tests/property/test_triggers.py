"""The vectorised expression of each trigger, its oracle, agrees with the compiled scalar form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.rtm.dispatch import Rule, listening, make_all, options_table
from actors.rtm.state import HIT
from actors.rtm.triggers import SIGNALS, Row, registry
from sim.core.columns import Columns
from sim.core.kernel import kernel

N = 10_000
TRIGGERS = registry().items()
NAMES = [name for name, _ in TRIGGERS]


def random_rows() -> Row:
    """Return 10,000 rows of int64 whose values crowd around every border of the options."""
    draw = np.random.default_rng(2)

    def pick(*choices: int) -> np.ndarray:
        return draw.choice(np.array(choices, np.int64), N)

    def about(value: int, spread: int) -> np.ndarray:
        return draw.integers(value - spread, value + spread + 1, N)

    before_kb = draw.integers(0, 900_000, N)
    return Row(
        ts_s=draw.integers(0, 86_400, N), kind=draw.integers(0, len(m.ACCOUNT_KINDS), N),
        code=draw.integers(0, 11, N), ref=draw.integers(0, 6, N),
        units=pick(0, 1, 9, 10, 11, 39, 40, 41, 70, 71, 999, 1000, 1001),
        charged_minor=draw.integers(-500, 500, N),
        balance_before_minor=about(1000, 3) * pick(1, 1, 1, 0),
        balance_after_minor=about(1000, 3) * pick(1, 1, -1, 0),
        result=draw.integers(0, 6, N), used_before=pick(0, 78, 79, 80, 81, 99, 100, 255),
        used_after=pick(0, 78, 79, 80, 81, 99, 100, 255), silent_days=pick(0, 1, 29, 30, 31, 400),
        today_before_kb=before_kb, today_after_kb=before_kb + draw.integers(0, 500_000, N),
        norm_mb=pick(0, 1, 100, 160, 200, 300), fence=draw.integers(-1, 20, N),
        fence_kind=draw.integers(-1, 3, N), landed=draw.integers(0, 2, N),
        failures=draw.integers(0, 7, N),
        failures_s=draw.integers(0, 7_200, N), value=np.arange(N), slow=draw.integers(0, 7, N),
        away=draw.integers(0, 2, N), elsewhere=draw.integers(0, 2, N),
        game=draw.integers(0, 2, N), own_shop=draw.integers(0, 2, N),
        tenure_days=pick(0, 89, 90, 91, 609, 610, 611, 729, 730, 731, 1339, 1340),
        device=draw.integers(0, 4, N),
    )  # fmt: skip


OPTIONS: dict[str, dict[str, int]] = {
    "allowance_expiring": {"left_percent_min": 40, "left_percent_max": 70},
    "allowance_used": {"percent": 80}, "call_reason": {"first": 2, "last": 4, "unhappy": 1},
    "cart_visit": {"kind": 2}, "contract_end": {"tenure_days_min": 90},
    "fee_will_fail": {"missing_minor": 1000}, "low_balance": {"floor_minor": 1000},
    "roaming_charge": {"charged_minor": 100},
    "return_after_silence": {"days": 30}, "service_failures": {"count": 3},
    "topup_start": {"below_minor": 1000}, "usage_trend": {"factor_percent": 250, "mb_min": 400},
}  # fmt: skip
"""Options whose borders the random rows crowd around; a trigger not named here has its defaults."""


def rules() -> list[Rule]:
    """Return one rule for each trigger."""
    out = []
    for name, entry in TRIGGERS:
        values = entry.params(**OPTIONS.get(name, {}))
        out.append(Rule(name, entry, entry.compile_options(values)))
    return out


@pytest.fixture(scope="module")
def hits() -> dict[str, np.ndarray]:
    """Give the rows on which each trigger fired in the chains of all signals, compiled once."""
    chain = rules()
    asked = make_all(chain)
    (
        ask_usage, ask_account, ask_dwell, ask_first, ask_failure, ask_recharge, ask_visit,
        ask_attach, ask_roaming, ask_slow, ask_call, ask_quest, ask_answer,
    ) = (asked[f"ask_{signal}"] for signal in SIGNALS)  # fmt: skip

    def ask_all(rows: Any, o: Any, out: Any) -> int:
        n = 0
        for k in range(rows.ts_s.shape[0]):
            row = Row(
                rows.ts_s[k], rows.kind[k], rows.code[k], rows.ref[k], rows.units[k],
                rows.charged_minor[k], rows.balance_before_minor[k], rows.balance_after_minor[k],
                rows.result[k], rows.used_before[k], rows.used_after[k], rows.silent_days[k],
                rows.today_before_kb[k], rows.today_after_kb[k], rows.norm_mb[k], rows.fence[k],
                rows.fence_kind[k], rows.landed[k], rows.failures[k], rows.failures_s[k],
                rows.value[k], rows.slow[k], rows.away[k], rows.elsewhere[k], rows.game[k],
                rows.own_shop[k], rows.tenure_days[k], rows.device[k],
            )  # fmt: skip
            # The line of a hit is here the signal on which it was asked.
            n = ask_usage(row, 0, k, o, out, n)
            n = ask_account(row, 1, k, o, out, n)
            n = ask_dwell(row, 2, k, o, out, n)
            n = ask_first(row, 3, k, o, out, n)
            n = ask_failure(row, 4, k, o, out, n)
            n = ask_recharge(row, 5, k, o, out, n)
            n = ask_visit(row, 6, k, o, out, n)
            n = ask_attach(row, 7, k, o, out, n)
            n = ask_roaming(row, 8, k, o, out, n)
            n = ask_slow(row, 9, k, o, out, n)
            n = ask_call(row, 10, k, o, out, n)
            n = ask_quest(row, 11, k, o, out, n)
            n = ask_answer(row, 12, k, o, out, n)
        return n

    out = Columns(HIT, N * len(chain))
    n = kernel(ask_all, cache=False)(random_rows(), options_table(chain), out.view)
    table = {name: a[:n] for name, a in out.arrays.items()}
    for index, rule in enumerate(chain):
        mine = table["trigger"] == index
        assert (table["sub"][mine] == rule.trigger.signal).all(), "fired on a signal not its own"
        assert (table["value"][mine] == table["ts_ms"][mine]).all()
    return {
        rule.label: table["ts_ms"][table["trigger"] == index] for index, rule in enumerate(chain)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_trigger_fires_on_the_rows_that_its_expression_marks(name: str, hits: Any) -> None:
    """10,000 random rows: the mask over arrays and the compiled chain choose the same rows.

    The expression is asked with arrays and with the options as a namedtuple; at least one row in a
    thousand fires and one does not, else the rows test nothing.
    """
    [rule] = [rule for rule in rules() if rule.label == name]
    entry = rule.trigger
    mask = np.asarray(entry.expression(random_rows(), entry.options(*rule.options)))
    assert mask.shape == (N,) and mask.dtype == np.bool_
    assert N / 1000 <= mask.sum() < N, (
        f"{name} fires on {mask.sum():,} of {N:,} random rows, and {N // 1000} to {N - 1:,} are "
        "wanted: give it options in OPTIONS whose borders the values of random_rows cross"
    )
    assert np.array_equal(hits[name], np.flatnonzero(mask))


def test_a_rule_is_asked_on_its_signal_and_on_no_other() -> None:
    """The rules of all signals, taken together, are every rule once."""
    chain = rules()
    asked = [index for signal in range(len(SIGNALS)) for index in listening(chain, signal)]
    assert sorted(asked) == list(range(len(chain)))
    for signal in range(len(SIGNALS)):
        assert all(chain[index].trigger.signal == signal for index in listening(chain, signal))


def test_every_trigger_asks_for_a_signal_that_exists() -> None:
    """Names are unique, ids come from names, and options fit their four places."""
    for name, entry in TRIGGERS:
        assert entry.name == name and 0 <= entry.signal < len(SIGNALS)
        assert len(entry.compile_options(entry.params())) == 4
