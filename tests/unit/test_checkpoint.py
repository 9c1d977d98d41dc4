"""Checkpoints: two phases, seals, older ones as a fall-back, and other cuts of the lines."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.core.errors import ScenarioError
from sim.core.partition import make_partitions
from sim.runtime import checkpoint
from sim.runtime.parts import flatten
from tests import checkpoints
from tests.factories import make_runtime, tiny_world

RUN = {"scenario": "abc", "seed": 7}
N = 12


def parts(tick: int, n_partitions: int = 3) -> list[dict[str, Any]]:
    """Return snapshots of partitions of 12 lines, whose numbers tell the line and the tick."""
    out = []
    for p in make_partitions(N, n_partitions):
        subs = np.arange(p.first, p.last, dtype=np.int64)
        some = subs[subs % 3 == 0]
        out.append({
            "first": p.first, "last": p.last,
            "roles": {"billing": {
                "state": {"money": subs * 10 + tick, "lanes": np.stack([subs, -subs], axis=1)},
                "pool": {"sub": some.astype(np.int32), "ts_ms": some * 7},
                "enabled": np.array(True),
            }},
            "waiting": {"Credit": {"sub": some, "amount": some * 2}} if len(some) else {},
        })  # fmt: skip
    return out


def save(folder: Path, tick: int) -> Path:
    """Save the snapshot of a tick."""
    rest = {"globals": {"cells": {"load": np.arange(4) + tick}, "none": {}}, "scattered": {}}
    return checkpoints.save(folder, tick=tick, run=RUN, partitions=parts(tick), rest=rest)


def strip(part: dict[str, Any]) -> dict[str, Any]:
    """Leave out what stands in the manifest, and tables that hold nothing."""
    return {k: v for k, v in part.items() if k in ("roles", "waiting") and v}


def flip(path: Path, at: int = 200) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(bytes(data))


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    """Every array, with dtype and shape, and empty tables too; nothing temporary is left."""
    save(tmp_path, 5)
    tick, saved, rest, warnings = checkpoints.load(tmp_path, run=RUN)
    assert (tick, warnings) == (5, [])
    wanted = parts(5)
    assert [int(p["first"]) for p in saved] == [p["first"] for p in wanted]
    for got, want in zip(saved, wanted):
        flat, told = dict(flatten(strip(got))), dict(flatten(strip(want)))
        assert flat.keys() == told.keys()
        for name in flat:
            assert flat[name].dtype == told[name].dtype and np.array_equal(flat[name], told[name])
    assert rest["globals"]["cells"]["load"].tolist() == [5, 6, 7, 8]
    assert rest["scattered"] == {} and rest["globals"]["none"] == {}
    assert [p.name for p in tmp_path.iterdir()] == ["tick-00000005"]
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.fault("C9")
def test_the_newest_three_are_kept(tmp_path: Path) -> None:
    """Older ones make room only after the new one is in place."""
    for tick in range(5):
        save(tmp_path, tick)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"tick-0000000{k}" for k in (2, 3, 4)]


@pytest.mark.fault("C2")
@pytest.mark.parametrize("victim", [4, -1, None])
def test_a_damaged_checkpoint_is_left_out_for_the_one_before(
    tmp_path: Path, victim: int | None
) -> None:
    """One flipped bit in any file is found, told, and the older checkpoint is taken."""
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    flip(path / checkpoint.MANIFEST if victim is None else checkpoints.part_of(path, victim))
    tick, saved, _, warnings = checkpoints.load(tmp_path, run=RUN)
    assert tick == 1 and saved[0]["roles"]["billing"]["state"]["money"][0] == 1
    assert len(warnings) == 1 and "tick-00000002" in warnings[0]


@pytest.mark.fault("C1", "C3")
@pytest.mark.parametrize("how", ["missing", "short", "manifest"])
def test_a_checkpoint_that_was_not_finished_is_left_out(tmp_path: Path, how: str) -> None:
    """A part that is missing or short, or a manifest that never came: not a checkpoint."""
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    part = checkpoints.part_of(path, 0)
    if how == "missing":
        part.unlink()
    elif how == "short":
        part.write_bytes(part.read_bytes()[:-1])
    else:
        (path / checkpoint.MANIFEST).write_text('{"seal": 3')
    tick, _, _, warnings = checkpoints.load(tmp_path, run=RUN)
    assert tick == 1 and len(warnings) == 1


@pytest.mark.fault("C3")
def test_every_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    """A byte of the manifest flipped anywhere is noticed, or changes nothing that is read."""
    path = save(tmp_path, 2) / checkpoint.MANIFEST
    text = path.read_bytes()
    for at in range(0, len(text), 7):
        path.write_bytes(text)
        flip(path, at)
        try:
            tick, *_ = checkpoints.load(tmp_path, run=RUN)
        except ScenarioError:
            continue
        assert tick == 2 and json.loads(path.read_text())["content"] == json.loads(text)["content"]


@pytest.mark.fault("C4")
def test_where_all_are_damaged_the_error_tells_why(tmp_path: Path) -> None:
    """`ScenarioError` with the defect of each, and what to do."""
    for tick in (1, 2):
        flip(checkpoints.part_of(save(tmp_path, tick), -1))
    with pytest.raises(ScenarioError, match="no checkpoint can be used") as caught:
        checkpoints.load(tmp_path, run=RUN)
    assert str(caught.value).count(" is damaged") == 2 and "rest-00000002" in str(caught.value)
    assert "start the run afresh" in str(caught.value)
    with pytest.raises(ScenarioError, match="no checkpoint can be used"):
        checkpoints.load(tmp_path / "nowhere", run=RUN)


@pytest.mark.fault("C10")
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    """The error names what differs; nothing older is tried in its place."""
    save(tmp_path, 1)
    with pytest.raises(ScenarioError, match="another run; it differs in seed") as caught:
        checkpoints.load(tmp_path, run={**RUN, "seed": 8})
    assert "found {'seed': 7}; expected {'seed': 8}" in str(caught.value)


@given(st.integers(1, 12), st.integers(1, 12))
def test_recutting_gives_each_line_to_its_new_partition(before: int, after: int) -> None:
    """From any cut to any other, the parts are those that the other cut would have saved."""
    cut = checkpoints.recut(parts(4, before)[::-1], make_partitions(N, after))
    for got, want in zip(cut, parts(4, after), strict=True):
        flat, told = dict(flatten(strip(got))), dict(flatten(strip(want)))
        assert flat.keys() == told.keys()
        assert all(np.array_equal(flat[name], told[name]) for name in flat)


def test_a_run_that_fills_the_memory_can_be_saved_and_restored(tmp_path: Path) -> None:
    """Partitions pass one by one: neither way holds a quarter of the state a second time."""
    lines, n = 60_000, 30
    world = tiny_world(subscribers=lines)
    runtime = make_runtime(world, partitions=n, hosts=2)
    state, before = runtime.state_bytes(), runtime.digest()

    def peak(work: Callable[[], object]) -> int:
        tracemalloc.start()
        work()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    def save_all() -> None:
        draft = checkpoint.Draft(tmp_path, 1, 1).open()
        parts, rest = runtime.save_to(draft)
        draft.commit(run=RUN, parts=parts, rest=rest)

    def restore_all() -> None:
        checkpoint.restore(tmp_path, run=RUN, apply=runtime.load_from)

    save_all()
    restore_all()
    assert runtime.digest() == before
    for work in (save_all, restore_all):
        most = peak(work)
        assert most < state / 4, f"{work.__name__}: {most:,} of {state:,} bytes"
