"""The compile cache notices changes in imported kernels, and kernels count no references."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.core import kernel as module
from sim.core.kernel import OPTIONS, counts_references, source_hash
from tests.factories import default_world, make_runtime

LOWER = """
import numpy as np
from sim.core.kernel import {decorator}
CONSTANT = {constant}
TABLE = np.array([{constant}, 1])

@{decorator}
def helper(x):
    return x * {factor} + CONSTANT + TABLE[0]
"""
UPPER = """
from sim.core.kernel import kernel
from lower import helper

@kernel
def run(x):
    return helper(x) + 1000
"""
PROGRAM = """
import upper
print(upper.run(7), sum(upper.run.stats.cache_hits.values()))
"""


def run(folder: Path) -> list[int]:
    """Run the two modules in a process of their own; return (result, hits of the cache)."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "TWIN_DEBUG")
    }
    root = str(Path(module.__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), root])
    environment["NUMBA_CACHE_DIR"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=folder, capture_output=True,
        text=True, check=True, timeout=100,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def write(folder: Path, *, decorator: str = "kernel", constant: int = 0, factor: int = 2) -> None:
    """Write the imported module anew."""
    text = LOWER.format(decorator=decorator, constant=constant, factor=factor)
    (folder / "lower.py").write_text(textwrap.dedent(text))


@pytest.mark.parametrize("decorator", ["kernel", pytest.param("hot", marks=pytest.mark.slow)])
def test_the_cache_notices_a_change_in_an_imported_kernel(tmp_path: Path, decorator: str) -> None:
    """An unchanged pair is taken from the cache; a new helper or constant gives the new result.

    The importing module does not change: Numba's own cache would go on with the old result.
    """
    (tmp_path / "upper.py").write_text(textwrap.dedent(UPPER))
    write(tmp_path, decorator=decorator)
    assert run(tmp_path) == [1014, 0]
    assert run(tmp_path) == [1014, 1]
    write(tmp_path, decorator=decorator, factor=3)
    assert run(tmp_path) == [1021, 0]
    write(tmp_path, decorator=decorator, factor=3, constant=5)
    assert run(tmp_path) == [1031, 0]
    write(tmp_path, decorator=decorator)
    assert run(tmp_path) == [1014, 1]


def test_a_source_hash_covers_what_a_kernel_reaches() -> None:
    """One text but other helpers, constants or arrays: another hash."""

    def make(**names: Any) -> Any:
        space = dict(names)
        code = compile("def f(x):\n    return g(x) + c", __file__, "exec")
        exec(code, space)
        return space["f"]

    def text(function: Any) -> str:
        return "def f(x): ..." if function.__name__ == "f" else function.__name__

    patch = pytest.MonkeyPatch()
    patch.setattr(module.inspect, "getsource", text)
    try:
        first = source_hash(make(g=np.add, c=1))
        assert source_hash(make(g=np.add, c=1)) == first
        assert source_hash(make(g=np.add, c=2)) != first
        assert source_hash(make(g=np.add, c=np.array([1, 2]))) != source_hash(
            make(g=np.add, c=np.array([1, 3]))
        )
        assert source_hash(make(g=run, c=1)) != source_hash(make(g=write, c=1))
    finally:
        patch.undo()


def entry_kernels() -> list[Any]:
    """Return the kernels that roles call, of a run that has used them."""
    from actors.billing import actor as billing
    from actors.cells import actor as cells
    from actors.channels import actor as channels
    from actors.rtm import actor as rtm
    from actors.subscribers import actor as subscribers

    world = default_world()
    runtime = make_runtime(world)
    found = [runtime.hosts[0].roles[0][2].scan]
    runtime.close()
    for place in (billing, cells, channels, rtm, subscribers):
        for name in dir(place):
            value = getattr(place, name)
            if hasattr(value, "py_func") and value.py_func.__module__.startswith("actors."):
                found.append(value)
    return found


def test_entry_kernels_are_compiled_without_reference_counting_or_fast_math() -> None:
    """Every kernel that a role calls has the project's options: nogil, no NRT, no fast-math."""
    kernels = entry_kernels()
    assert len(kernels) >= 15
    for one in kernels:
        options = one.targetoptions
        assert {k: options[k] for k in OPTIONS} == OPTIONS, one.py_func.__name__


def test_a_fresh_entry_kernel_holds_no_reference_counts(tmp_path: Path) -> None:
    """The queue kernel, compiled anew in an empty cache, calls no NRT function; a planted one does.

    A kernel taken from the cache cannot be inspected, hence the fresh process.
    """
    program = """
import numba, numpy as np
from actors.channels import actor
from actors.channels.actor import ChannelActor, compile_tables
from actors.channels.params import Channel
from actors import messages as m
from sim.core.columns import Columns
from sim.core.kernel import counts_references
from sim.core.ticks import Tick
channel = Channel(channel="sms", title="", kind="text", per_second=10, latency_median_ms=5)
tables = compile_tables([channel], seed=1, scale=1.0, price_level=1.0)
one = ChannelActor(tables, {"channel": ("sms",)})
day = np.zeros((1, 1), np.uint8)
one.on_tick(Tick(0, 0, 900_000, day, day, ()), Columns(m.INTENT, 3).arrays)
@numba.njit
def counted(a):
    b = [a, a]
    return b[0]
counted(np.zeros(3))
n = len(actor.serve.nopython_signatures)
print(n, counts_references(actor.serve), counts_references(counted))
"""
    environment = dict(os.environ)
    environment["NUMBA_CACHE_DIR"] = str(tmp_path)
    environment["PYTHONPATH"] = str(Path(module.__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        check=True, timeout=110,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "False", "True"]
    assert callable(counts_references)
