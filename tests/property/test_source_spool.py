"""Spools of any recording: order, copies and format leave no trace; damage never passes as data."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.core.errors import TwinError
from sim.record.source_spec import ROW, Limits
from tests.recordings import (
    balanced,
    read,
    rows,
    text_of,
    write_csv,
    write_parquet,
)

SHUFFLE_S = 3_600
GOOD = rows(300, days=1, seed=9)
DATA = text_of(GOOD).encode()


@pytest.mark.fault("E1", "E3")
@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 30), st.booleans(), st.integers(16, 400)
)  # fmt: skip
def test_order_copies_and_format_leave_no_trace(seed, n_copies, parquet, piece_rows):
    """Shuffled within the bound, doubled, as CSV or Parquet, in small pieces: one digest."""
    rng = np.random.default_rng(seed)
    table = rows(300, days=1, seed=seed)
    at = np.array([np.datetime64(r[3].replace(" ", "T")).astype(int) for r in table])
    chosen = list(range(300)) + rng.integers(0, 300, n_copies).tolist()
    due = at[chosen] + rng.integers(0, SHUFFLE_S, len(chosen))
    mixed = [table[chosen[i]] for i in np.argsort(due, kind="stable")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = read(write_csv(folder / "a", table))
        if parquet:
            put = write_parquet(folder / "b", mixed, typed=bool(seed % 2))
            other = read(put, files=["*.parquet"], format="parquet")
        else:
            limits = Limits(piece_rows=piece_rows, buffer_rows=50, block_bytes=2_000)
            other = read(write_csv(folder / "b", mixed), limits=limits)
        assert other.digest == plain.digest and balanced(other)
        assert other.counts["applied"] == 300
        assert other.counts["reasons"] == ({"duplicate": n_copies} if n_copies else {})
        cuts = np.unique(np.append(rng.integers(0, 86_400_000, 5), [0, 86_400_000])).tolist()
        parts = [other.rows_for(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
        joined = {c: np.concatenate([p[c] for p in parts]) for c in ROW.names}
        whole = plain.rows_for(0, 86_400_000)
        order, told = np.argsort(joined["key"]), np.argsort(whole["key"])
        for column in ROW.names:
            assert (joined[column][order] == whole[column][told]).all()


@pytest.mark.fault("F4")
@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "drop", "insert", "cut", "double"]),
            st.integers(0, len(DATA) - 1),
            st.integers(0, 255),
            st.integers(1, 200),
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_damaged_files_are_refused_or_accounted_for(mutations):
    """Any bytes: one of the twin's own errors, or an account that is whole; never a crash."""
    data = bytearray(DATA)
    for how, at, value, n in mutations:
        if how == "set" and at < len(data):
            data[at] = value
        elif how == "drop":
            del data[at : at + n]
        elif how == "insert":
            data[at:at] = bytes([value]) * n
        elif how == "double":
            data[at:at] = data[at : at + n]
        else:
            del data[-n:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        (folder / "events.csv").write_bytes(bytes(data))
        try:
            spool = read(folder, bad_share_max=0.2)
        except TwinError as error:
            assert error.exit_code in (2, 4)
            return
        assert balanced(spool) and spool.verify() == []
        read_rows = spool.rows_for(0, max(spool.end_ms, 1))
        assert len(read_rows["key"]) == spool.counts["applied"]


@pytest.mark.fault("F9")
@settings(max_examples=40)
@given(st.integers(0, 2**16), st.integers(0, 255), st.booleans())
def test_damaged_parquet_is_refused_or_accounted_for(at, value, cut):
    """One byte of a Parquet file, or its end: refused, or an account that is whole."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_parquet(Path(name) / "in", GOOD, typed=True)
        path = folder / "events.parquet"
        data = bytearray(path.read_bytes())
        at %= len(data)
        if cut:
            del data[at:]
        else:
            data[at] = value
        path.write_bytes(bytes(data))
        try:
            spool = read(folder, files=["*.parquet"], format="parquet", bad_share_max=0.2)
        except TwinError as error:
            assert error.exit_code in (2, 4)
            return
        assert balanced(spool)
