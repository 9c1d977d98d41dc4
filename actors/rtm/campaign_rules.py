"""Audience rules: a written condition, and the jumps into which it is compiled.

It owns the words that a rule may use, all of them facts of the CRM or of the live profile, the
parser, and the kernel that asks a line.  It must not know what a campaign offers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actors.profile import AGE_BANDS, DEVICES
from actors.profile import PREPAID as P_PREPAID
from actors.rtm.params import SEGMENTS
from actors.rtm.policy import worth_minor
from actors.rtm.state import APP, NO_CELL, TROUBLE_MAX
from sim.core.errors import nearest
from sim.core.kernel import kernel

WORDS = (
    "segment", "age_band", "device", "tariff", "region", "prepaid", "smartphone", "lte", "app",
    "tenure_days", "worth_minor", "margin_minor", "data_norm_mb", "data_today_mb", "owns_data",
    "abroad", "silent_days", "plays", "troubles",
)  # fmt: skip
"""What a rule may ask of a line, in the order of the codes in `fact`."""
NAMES: dict[str, tuple[str, ...]] = {
    "segment": SEGMENTS, "age_band": AGE_BANDS, "device": DEVICES,
}  # fmt: skip
"""Words whose values have names; those of `tariff` and `region` come with the scenario."""
OPEN_NAMES = ("tariff", "region")
YES, NO = -1, -2
TESTS_MAX = 64
FAR = 1 << 62
DAY_S = 86_400

Resolve = Callable[[str, str], int]


class RuleError(ValueError):
    """A rule that cannot be read; its text says why."""


@dataclass(frozen=True)
class Test:
    """One comparison: a fact within bounds, and where to go on.

    Attributes
    ----------
    fact : code of the word
    low, high : bounds, both included
    yes, no : number of the next test, or `YES` or `NO`
    """

    fact: int
    low: int
    high: int
    yes: int
    no: int


class _Maker:
    """Compiles one rule from its end to its beginning."""

    def __init__(self, resolve: Resolve, level: float) -> None:
        self.resolve = resolve
        self.level = level
        self.tests: list[Test] = []

    def test(self, word: str, low: int, high: int, yes: int, no: int) -> int:
        if len(self.tests) >= TESTS_MAX:
            raise RuleError(f"more than {TESTS_MAX} comparisons")
        self.tests.append(Test(WORDS.index(word), low, high, yes, no))
        return len(self.tests) - 1

    def enter(self, node: ast.expr, yes: int, no: int) -> int:
        """Return where a condition begins that goes on at `yes` or `no`."""
        if isinstance(node, ast.BoolOp):
            both = isinstance(node.op, ast.And)
            at = self.enter(node.values[-1], yes, no)
            for value in reversed(node.values[:-1]):
                at = self.enter(value, at, no) if both else self.enter(value, yes, at)
            return at
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.enter(node.operand, no, yes)
        if isinstance(node, ast.Name):
            word = _word(node)
            if word in NAMES or word in OPEN_NAMES:
                raise RuleError(f"{word!r} needs a comparison, such as {word} in [...]")
            return self.test(word, 1, FAR, yes, no)
        if isinstance(node, ast.Compare):
            return self._compare(node, yes, no)
        raise RuleError(f"cannot be read: {ast.unparse(node)[:60]!r}")

    def _compare(self, node: ast.Compare, yes: int, no: int) -> int:
        sides = [node.left, *node.comparators]
        at = yes
        for k in range(len(node.ops) - 1, -1, -1):
            at = self._pair(sides[k], node.ops[k], sides[k + 1], at, no)
        return at

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, yes: int, no: int) -> int:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                raise RuleError("`in` needs a list, such as [mass, youth]")
            word = _word(left)
            met, missed = (yes, no) if isinstance(op, ast.In) else (no, yes)
            at = missed
            for element in reversed(right.elts):
                value = self._value(word, element)
                at = self.test(word, value, value, met, at)
            return at
        if _is_word(right) and not _is_word(left):
            left, right, op = right, left, _MIRROR.get(type(op), type(op))()
        word = _word(left)
        value = self._value(word, right)
        if isinstance(op, ast.Eq):
            return self.test(word, value, value, yes, no)
        if isinstance(op, ast.NotEq):
            return self.test(word, value, value, no, yes)
        if word in NAMES or word in OPEN_NAMES:
            raise RuleError(f"the values of {word!r} have no order: use ==, != or in")
        bounds = {
            ast.Lt: (-FAR, value - 1), ast.LtE: (-FAR, value),
            ast.Gt: (value + 1, FAR), ast.GtE: (value, FAR),
        }.get(type(op))  # fmt: skip
        if bounds is None:
            raise RuleError("only <, <=, ==, !=, >=, > and in compare")
        return self.test(word, *bounds, yes, no)

    def _value(self, word: str, node: ast.expr) -> int:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(word, node.operand)
        told = node.id if isinstance(node, ast.Name) else getattr(node, "value", None)
        if word in NAMES or word in OPEN_NAMES:
            if not isinstance(told, str):
                raise RuleError(f"{word!r} compares with names")
            return self.resolve(word, told)
        if isinstance(told, bool) or not isinstance(told, int):
            raise RuleError(f"{word!r} compares with a whole number, found {ast.unparse(node)!r}")
        return round(told * self.level) if word.endswith("_minor") else told


_MIRROR = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}


def _is_word(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in WORDS


def _word(node: ast.expr) -> str:
    if isinstance(node, ast.Name) and node.id in WORDS:
        return node.id
    found = ast.unparse(node)[:60]
    close = nearest(found, WORDS)
    hint = f", did you mean {close!r}?" if close else ""
    raise RuleError(f"no such fact: {found!r}{hint}")


def resolver(open_names: Mapping[str, Sequence[str]]) -> Resolve:
    """Return what turns a name into its code.

    Parameters
    ----------
    open_names : names of tariffs and regions; a word that is missing takes any name
    """

    def resolve(word: str, name: str) -> int:
        names = NAMES.get(word) or open_names.get(word)
        if names is None:
            return 0
        if name in names:
            return list(names).index(name)
        close = nearest(name, names)
        expected = close or ", ".join(list(names)[:12])
        raise RuleError(f"no {word} is called {name!r}; it is one of: {expected}")

    return resolve


def compile_rule(text: str, resolve: Resolve, price_level: float) -> tuple[list[Test], int]:
    """Return the tests of a rule, and the number of the first one, `YES` where all fit.

    Raises
    ------
    RuleError : the rule cannot be read
    """
    if not text.strip():
        return [], YES
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RuleError(f"cannot be read: {getattr(error, 'msg', error)}") from error
    maker = _Maker(resolve, price_level)
    first = maker.enter(tree.body, YES, NO)
    return maker.tests, first


@kernel
def fact(p, s, t, i, word, day, now_s):
    """Return what the engine knows of a line for one word of a rule.

    Parameters
    ----------
    day : local day
    now_s : moment, s
    """
    if word == 0:
        return np.int64(p.segment[i])
    if word == 1:
        return np.int64(p.age_band[i])
    if word == 2:
        return np.int64(p.device[i])
    if word == 3:
        return np.int64(p.tariff[i])
    if word == 4:
        return np.int64(p.region[i])
    if word == 5:
        return np.int64(p.flags[i] & P_PREPAID != 0)
    if word == 6:
        return np.int64(p.device[i] > 0)
    if word == 7:
        return np.int64(p.device[i] > 1)
    if word == 8:
        return np.int64(s.flags[i] & APP != 0)
    if word == 9:
        return np.int64(p.tenure_days[i]) + max(day, 0)
    if word == 10:
        return np.int64(worth_minor(p, s, t, i, day))
    if word == 11:
        return np.int64(s.margin_minor[i])
    if word == 12:
        return np.int64(s.data_norm_mb[i])
    if word == 13:
        return np.int64(s.data_today_kb[i]) // 1000 if s.day[i] == day else np.int64(0)
    if word == 14:
        return np.int64(s.owned_day[i] >= day)
    if word == 15:
        return np.int64(s.cell[i] == NO_CELL)
    if word == 16:
        return max(now_s - np.int64(s.seen_s[i]), 0) // DAY_S
    if word == 17:
        return np.int64(s.plays[i])
    recent = now_s - np.int64(s.failures_s[i]) < DAY_S
    return np.int64(s.failures[i] & TROUBLE_MAX) if recent else np.int64(0)


@kernel
def holds(p, s, t, i, rules, first, day, now_s):
    """Return whether a line fits a rule that begins at a test.

    Parameters
    ----------
    rules : `CampaignTables`, for the columns `test_*`
    """
    at = first
    while at >= 0:
        value = fact(p, s, t, i, rules.test_fact[at], day, now_s)
        inside = rules.test_low[at] <= value <= rules.test_high[at]
        at = rules.test_yes[at] if inside else rules.test_no[at]
    return at == YES
