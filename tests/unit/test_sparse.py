"""Sparse tables: the same as a dict of rows, whatever was put, dropped and made anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.core.columns import Field
from sim.core.sparse import Sparse, drop, find, key_of, put, sparse_schema

SCHEMA = sparse_schema("TestSparse", (Field("value", "i4", "1", "a value"),), "rows of a test")
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "drop", "reserve", "keep", "copy"]),
        st.integers(0, 40),
        st.sampled_from([0, 1, 0xFFFFFFFF]),
        st.integers(1, 10**6),
    ),
    max_size=200,
)


def filled(rows: dict[int, int]) -> Sparse:
    """Return a table of the given rows."""
    table = Sparse(SCHEMA)
    table.reserve(len(rows))
    for key, value in rows.items():
        table.view.value[put(table.view, key)] = value
    return table


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS)
def test_table_is_a_dict(actions: list[tuple[str, int, int, int]]) -> None:
    """Whatever is done, rows, length, digest and snapshot are those of a dict."""
    table, model = Sparse(SCHEMA), {}
    for what, sub, name, value in actions:
        key = int(key_of(sub, np.uint32(name)))
        if what == "put":
            table.reserve(1)
            table.view.value[put(table.view, key)] = value
            model[key] = value
        elif what == "drop" and key in model:
            drop(table.view, find(table.view, key))
            del model[key]
        elif what == "reserve":
            table.reserve(value % 300)
        elif what == "keep":
            table.keep(table.columns["value"] % 2 == 0)
            model = {k: v for k, v in model.items() if v % 2 == 0}
        elif what == "copy":
            saved = table.snapshot()
            table = Sparse(SCHEMA)
            table.restore(saved)
        assert (find(table.view, key) >= 0) == (key in model)
    rows = table.sorted_rows()
    assert dict(zip(rows["key"].tolist(), rows["value"].tolist(), strict=True)) == model
    assert list(rows["key"]) == sorted(model)
    assert len(table) == len(model)
    assert table.digest() == filled(dict(reversed(list(model.items())))).digest()


def test_keys_tell_lines_and_names_apart() -> None:
    """A key gives back its line, and no two pairs share one."""
    pairs = [(sub, name) for sub in (0, 1, 2**31 - 1) for name in (0, 1, 2**32 - 1)]
    keys = [int(key_of(sub, np.uint32(name))) for sub, name in pairs]
    assert len(set(keys)) == len(pairs)
    assert [key >> 32 for key in keys] == [sub for sub, _ in pairs]
    assert min(keys) >= 0


def test_room_follows_the_rows() -> None:
    """A table that was large and is emptied becomes small again when it is made anew."""
    table = filled({int(key_of(k, np.uint32(7))): 1 for k in range(10_000)})
    large = table.nbytes
    table.keep(np.zeros(table.columns.n, bool))
    table.reserve(10_000)
    assert len(table) == 0
    assert table.nbytes <= large
