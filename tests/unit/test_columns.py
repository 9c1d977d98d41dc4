"""Columns: digests without order, snapshots, rows and schemas."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.core.columns import Block, Columns, Field, Schema, concat_rows, empty_rows, take_rows

WHO = Field("sub", "i4", "1", "line")
STATE = Schema(
    "TestState",
    (
        Field("money", "i8", "minor", "money"),
        Field("flag", "u1", "bits", "flags"),
        Field("share", "f8", "1", "a float"),
        Field("lane", "i2", "1", "two lanes", ("a", "b")),
        Field("scratch", "i4", "1", "scratch", transient=True),
    ),
)


def filled(n: int, seed: int = 0) -> Columns:
    """Return columns of arbitrary values."""
    columns = Columns(STATE, n)
    words = np.random.default_rng(seed)
    for array in columns.arrays.values():
        array[...] = words.integers(0, 100, array.shape).astype(array.dtype)
    return columns


def part(columns: Columns, index: np.ndarray) -> Columns:
    """Return columns with the chosen rows."""
    out = Columns(columns.schema, len(index))
    for name, array in columns.arrays.items():
        out[name][...] = array[index]
    return out


@given(st.integers(1, 40), st.integers(0, 10), st.data())
def test_a_digest_knows_no_order_and_adds_over_parts(
    n: int, seed: int, data: st.DataObject
) -> None:
    """Any permutation has the same digest; any cut has parts that add up to it, modulo 2**64."""
    columns = filled(n, seed)
    keys = np.arange(n, dtype=np.int64) + 1_000
    whole = columns.digest(keys)
    order = np.array(data.draw(st.permutations(range(n))))
    assert part(columns, order).digest(keys[order]) == whole
    cut = data.draw(st.integers(0, n))
    first, second = np.arange(cut), np.arange(cut, n)
    total = part(columns, first).digest(keys[first]) + part(columns, second).digest(keys[second])
    assert total % 2**64 == whole


def test_digests_of_the_phases_of_a_stride_add_up() -> None:
    """Rows are chosen by their global key, so that phases are disjoint and whole."""
    columns, keys = filled(50), np.arange(7, 57, dtype=np.int64)
    parts = [columns.digest(keys[p::4], rows=slice(p, None, 4)) for p in range(4)]
    assert sum(parts) % 2**64 == columns.digest(keys)
    assert len(set(parts)) == 4


@pytest.mark.parametrize("name", ["money", "flag", "share", "lane"])
def test_a_digest_sees_every_lasting_value(name: str) -> None:
    """One cell changed by one changes the digest, and so does a swap between two lines."""
    columns, keys = filled(9), np.arange(9, dtype=np.int64)
    before = columns.digest(keys)
    columns[name].reshape(9, -1)[4, 0] += 1
    assert columns.digest(keys) != before
    columns[name].reshape(9, -1)[4, 0] -= 1
    assert columns.digest(keys) == before
    lane = columns[name].reshape(9, -1)
    lane[0, 0], lane[1, 0] = 3, 4
    one = columns.digest(keys)
    lane[0, 0], lane[1, 0] = 4, 3
    assert columns.digest(keys) != one


def test_zeros_and_scratch_are_invisible_to_a_digest() -> None:
    """A lane or line of zeros, such as a use case without contacts, moves no digest."""
    keys = np.arange(9, dtype=np.int64)
    assert Columns(STATE, 9).digest(keys) == 0
    columns = filled(9)
    before = columns.digest(keys)
    columns["scratch"][:] = 77
    assert columns.digest(keys) == before
    wide = Schema("TestState", (*STATE.fields[:3], Field("lane", "i2", "1", "", ("new", "a", "b"))))
    wider = Columns(wide, 9)
    for name in ("money", "flag", "share"):
        wider[name][:] = columns[name]
    wider["lane"][:, 1:] = columns["lane"]
    assert wider.digest(keys) == before


def test_a_snapshot_is_a_copy_and_restores_in_place() -> None:
    """Later changes do not reach a snapshot; restoring keeps the arrays that kernels hold."""
    columns = filled(9)
    held, saved = columns["money"], columns.snapshot()
    assert "scratch" not in saved
    keys = np.arange(9, dtype=np.int64)
    before = columns.digest(keys)
    columns["money"][:] = -1
    columns.restore(saved)
    assert columns["money"] is held and columns.digest(keys) == before


@pytest.mark.parametrize("change", ["shape", "dtype"])
def test_a_snapshot_of_another_shape_is_refused(change: str) -> None:
    """Nothing is stretched or cast in silence."""
    columns = filled(9)
    saved = columns.snapshot()
    saved["money"] = saved["money"][:8] if change == "shape" else saved["money"].astype(np.int32)
    with pytest.raises(ValueError, match="TestState.money"):
        columns.restore(saved)


def test_a_schema_names_each_column_once() -> None:
    """A column declared twice is an error, not the later of the two."""
    with pytest.raises(ValueError, match="twice"):
        Schema("Bad", (WHO, WHO))


def test_a_schema_survives_a_process_border_and_hashes_its_contract() -> None:
    """The hash moves with names, dtypes and units, not with words of explanation."""
    again = pickle.loads(pickle.dumps(STATE))
    assert again == STATE and again.hash() == STATE.hash()
    told = Schema("S", (Field("a", "i4", "s", "one"),))
    assert told.hash() == Schema("S", (Field("a", "i4", "s", "other"),)).hash()
    assert told.hash() != Schema("S", (Field("a", "i8", "s", "one"),)).hash()
    assert told.hash() != Schema("S", (Field("a", "i4", "ms", "one"),)).hash()
    assert STATE.row_bytes() == 8 + 1 + 8 + 4 + 4


def test_a_block_gives_its_filled_rows_and_grows_when_refilled() -> None:
    """`rows` are views of the filled part; `copy_rows` outlive the tick; `fill` makes room."""
    schema = Schema("TestRow", (WHO, Field("ts_ms", "i8", "ms", "moment")))
    block = Block(schema, 2)
    block.columns["sub"][0] = 5
    block.n = 1
    kept = block.copy_rows()
    block.columns["sub"][0] = 6
    assert kept["sub"].tolist() == [5] and block.rows()["sub"].tolist() == [6]
    rows = {"sub": np.arange(5, dtype=np.int32), "ts_ms": np.arange(5)}
    assert block.fill(rows).n == 5 and block.capacity == 5
    assert block.rows()["sub"].tolist() == [0, 1, 2, 3, 4]


def test_tables_join_in_their_order() -> None:
    """Empty tables add nothing; the order of rows is the order of tables."""
    schema = Schema("TestRow", (WHO, Field("lane", "i2", "1", "", ("a", "b"))))
    one = {"sub": np.array([3, 1], np.int32), "lane": np.ones((2, 2), np.int16)}
    two = {"sub": np.array([2], np.int32), "lane": np.zeros((1, 2), np.int16)}
    joined = concat_rows(schema, [empty_rows(schema), one, two])
    assert joined["sub"].tolist() == [3, 1, 2] and joined["lane"].shape == (3, 2)
    assert concat_rows(schema, [])["lane"].shape == (0, 2)
    assert take_rows(joined, np.array([2, 0]))["sub"].tolist() == [2, 3]
