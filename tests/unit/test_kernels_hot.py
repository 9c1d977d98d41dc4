"""The kernels that every event passes: no reference counts, views behind pointers, few branches."""

from __future__ import annotations

import warnings
from collections import namedtuple
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest

from actors.billing import actor as billing
from actors.rtm import actor as rtm
from actors.rtm import loyalty
from actors.subscribers import actor as subscribers
from sim.core.kernel import counts_references, hot, kernel
from sim.core.quantiles import above, category, count, count_thresholds
from sim.core.views import ViewType
from tests.factories import make_runtime, ticks_of, tiny_world

HOT = (
    (subscribers, ("generate", "plan_day", "count_lines")),
    (billing, ("rate", "count_stock")),
    (rtm, ("decide",)),
    (loyalty, ("play", "quests_open")),
)


@pytest.fixture(scope="module")
def runtime() -> Any:
    """A tiny world that has lived half a day, so that every hot kernel is compiled."""
    world = tiny_world(subscribers=400)
    made = make_runtime(world)
    for tick in ticks_of(world, 48):
        made.tick(tick, (), None)
    made.hosts[0].ledger()
    return made


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in HOT for name in names]
)
def test_hot_kernels_do_not_count_references(runtime: Any, module: ModuleType, name: str) -> None:
    """The compiled kernels of every event name no counting function of Numba.

    Counting would put an atomic increment for every array on every event: 3.4 times the cost.
    """
    one = getattr(module, name)
    assert one.overloads
    assert not counts_references(one)


def test_the_scan_of_a_rule_set_does_not_count_references(runtime: Any) -> None:
    """The same for the scan kernel, into which the triggers of the run are compiled."""
    scans = [role.scan for host in runtime.hosts for roles in host.roles for role in roles
             if role.role == "rtm"]  # fmt: skip
    assert scans[0].overloads
    assert not counts_references(scans[0])


def test_the_search_finds_a_kernel_that_counts() -> None:
    """A planted kernel with reference counting is caught."""

    @numba.njit
    def counted(a: np.ndarray) -> np.ndarray:
        b = [a, a]
        return b[0]

    counted(np.zeros(3))
    assert counts_references(counted)


Pair = namedtuple("Pair", "values marks scale flag")


@hot
def scaled(v, i):
    """Return one value of a view, scaled."""
    return v.values[i] * v.scale + v.marks[i, 1]


def _sum_up(v, out):
    total = np.int64(0)
    for i in range(v.values.shape[0]):
        out[i] = scaled(v, i)
        if v.flag:
            v.values[i] += 1
        total += v.values[i]
    return total


sum_up = kernel(_sum_up, cache=False)


def test_a_namedtuple_enters_a_kernel_as_one_pointer_and_is_read_and_written_there() -> None:
    """Scalars, flags, strided and matrix columns of a view arrive; writes reach the caller."""
    wide = np.arange(20, dtype=np.int32)
    marks = np.arange(30, dtype=np.uint8).reshape(10, 3)
    out = np.zeros(10, np.int64)
    view = Pair(wide[::2], marks, 7, True)
    expected = wide[::2].astype(np.int64) * 7 + marks[:, 1]
    assert sum_up(view, out) == wide[::2].sum()
    assert out.tolist() == expected.tolist()
    assert wide[1::2].tolist() == list(range(1, 20, 2))
    assert isinstance(sum_up.signatures[0][0], ViewType)


def test_a_view_of_other_dtypes_compiles_anew() -> None:
    """Two views of one class with other columns are two types; a missing field is an error."""
    out = np.zeros(4, np.int64)
    for dtype in (np.int8, np.int64):
        values = np.full(4, 3, dtype)
        sum_up(Pair(values, np.zeros((4, 2), np.uint8), 2, False), out)
        assert out.tolist() == [6] * 4
    assert len({sig[0] for sig in sum_up.signatures}) >= 2

    @kernel
    def wrong(v: Pair) -> int:
        return v.nothing

    with pytest.raises(numba.TypingError):
        wrong(Pair(np.zeros(1), np.zeros((1, 2)), 1, False))


def test_a_plain_tuple_is_left_to_numba() -> None:
    """Only namedtuples become views."""

    @numba.njit
    def second(pair: tuple[int, int]) -> int:
        return pair[1]

    assert second((1, 2)) == 2


def test_branchless_choices_are_the_plain_ones() -> None:
    """`above` is `category` of four, and `count` is the number of entries reached, also at ties."""

    @kernel
    def choose(thresholds, words, out):
        for i in range(words.shape[0]):
            out[i, 0] = category(thresholds, words[i])
            out[i, 1] = above(thresholds[0], thresholds[1], thresholds[2], words[i])

    thresholds = np.array([5, 100, 100, 2**32 - 1], np.uint32)
    words = np.array([0, 4, 5, 6, 99, 100, 101, 2**31, 2**32 - 1], np.uint32)
    out = np.zeros((len(words), 2), np.int64)
    choose(thresholds, words, out)
    assert out[:, 0].tolist() == out[:, 1].tolist()

    @kernel
    def counts(table, words, out):
        for i in range(words.shape[0]):
            out[i] = count(table, 0, words[i])

    for n_max in (3, 8, 24):
        table = count_thresholds(1.3, 0.8, n_max=n_max)[None, :]
        draws = np.concatenate([table[0], table[0] - 1, np.array([0, 2**32 - 1], np.uint32)])
        found = np.zeros(len(draws), np.int64)
        counts(table, draws, found)
        assert found.tolist() == [int((u >= table[0]).sum()) for u in draws]


def test_the_search_works_on_kernels_out_of_the_cache(runtime: Any) -> None:
    """It reads what the cache keeps, and does not warn as Numba's own inspection would."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts_references(billing.rate)
