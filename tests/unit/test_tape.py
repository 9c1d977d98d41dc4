"""Parts of a tape, and the weaving of recorded rows into drawn ones, on few rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors import messages as m
from actors.subscribers.replay import weave
from sim.core.columns import Block
from sim.core.errors import ScenarioError
from sim.core.partition import Partition
from sim.record import tape
from sim.record.tape import TapePart, TapeSource, TapeTarget, TapeWriter
from sim.record.tape_read import TapeReader

KINDS = m.REPLAYED_KINDS


def some_rows(seed: int, n: int, lines: int) -> dict[str, np.ndarray]:
    """Return sorted rows of any kind."""
    rng = np.random.default_rng(seed)
    rows = {
        "sub": rng.integers(0, lines, n).astype(np.int32),
        "ts_ms": rng.integers(0, 50, n).astype(np.int64),
        "kind": rng.integers(0, 8, n).astype(np.uint8),
        "code": rng.integers(0, 4, n).astype(np.uint8),
        "ref": rng.integers(-1, 9, n).astype(np.int32),
        "units": rng.integers(0, 1 << 40, n).astype(np.int64),
        "cell": rng.integers(-1, 99, n).astype(np.int32),
    }
    order = np.lexsort((rows["ts_ms"], rows["sub"]))
    return {name: array[order] for name, array in rows.items()}


def written(folder: Path, rows: dict[str, np.ndarray], cuts: list[int]) -> TapePart:
    """Write one part in slices and partitions that end at `cuts`; return its line of the index."""
    writer = TapeWriter(TapeTarget(folder, m.ACTIVITY, KINDS), 0, cuts[-1])
    writer.open(0)
    first = 0
    for last in cuts:
        for low, high in ((first, (first + last) // 2), ((first + last) // 2, last)):
            a, b = np.searchsorted(rows["sub"], (low, high))
            block = Block(m.ACTIVITY, max(int(b - a), 1))
            writer.add(block.fill({name: array[a:b] for name, array in rows.items()}))
        writer.end()
        first = last
    done = writer.close()
    first, last, n, size, digest = (done[name][0] for name in done)
    return TapePart(0, int(first), int(last), int(n), int(size), str(digest))


@pytest.mark.parametrize("cuts", [[100], [30, 60, 100], [1, 99, 100]])
def test_rows_come_back_whatever_the_partitions(
    tmp_path: Path, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in some partitions, read in others: the kept kinds, in order, and writable."""
    monkeypatch.setattr(tape, "GROUP_ROWS", 700)
    rows = some_rows(1, 2_000, 100)
    part = written(tmp_path, rows, cuts)
    kept = np.isin(rows["kind"], KINDS)
    assert part.rows == kept.sum()
    partitions = [Partition(0, 0, 45), Partition(1, 45, 46), Partition(2, 46, 100)]
    reader = TapeReader(TapeSource(tmp_path, m.REPLAYED, (part,)), partitions)
    found = [reader.rows(0, k) for k in range(3)]
    for name, array in rows.items():
        assert np.array_equal(np.concatenate([f[name] for f in found]), array[kept])
        assert all(f[name].flags.writeable for f in found)
    # A run that went back reads a tick again; a tick without a part has no rows.
    assert np.array_equal(reader.rows(0, 1)["sub"], found[1]["sub"])
    assert len(reader.rows(1, 0)["sub"]) == 0


def test_a_part_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """The checksum of the index decides, not what the file says of itself."""
    rows = some_rows(2, 500, 20)
    part = written(tmp_path, rows, [20])
    written(tmp_path, some_rows(3, 500, 20), [20])
    reader = TapeReader(TapeSource(tmp_path, m.REPLAYED, (part,)), [Partition(0, 0, 20)])
    with pytest.raises(ScenarioError, match="SHA-256"):
        reader.rows(0, 0)


@pytest.mark.parametrize("topups_first", [False, True])
def test_weaving_is_a_stable_sort(topups_first: bool) -> None:
    """Any two sorted tables woven are as sorted together, ties as the docstring says."""
    for seed in range(20):
        drawn, more = some_rows(seed, seed * 7, 9), some_rows(seed + 100, 140 - seed * 7, 9)
        if topups_first:
            # Each moment once, or a top-up would have to pass rows of its own table.
            key = more["sub"].astype(np.int64) * 1_000 + more["ts_ms"]
            once = np.unique(key, return_index=True)[1]
            more = {name: array[once] for name, array in more.items()}
        block = Block(m.ACTIVITY, 200).fill(drawn)
        n = weave(
            block.view, block.n, m.REPLAYED.tuple_type(**more), 0, len(more["sub"]), topups_first
        )
        both = {name: np.concatenate([drawn[name], more[name]]) for name in drawn}
        first = np.repeat([1, 2], [len(drawn["sub"]), len(more["sub"])])
        if topups_first:
            topup = np.isin(both["kind"], (m.RECHARGE_START, m.RECHARGE))
            first[(first == 2) & topup] = 0
        order = np.lexsort((first, both["ts_ms"], both["sub"]))
        assert n == len(order)
        for name, array in both.items():
            assert np.array_equal(block.columns.arrays[name][:n], array[order])
