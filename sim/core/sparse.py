"""Sparse tables: what only some lines have, found by key in a kernel.

It owns an open-addressing hash table over the columns of a schema: room, keys, digest, snapshot.
It must not know what a row means.

A key is a line and a 32-bit name id (`key_of`), so that neither a partition nor a new entry of the
catalogue moves any other row.  Where a row lies depends on the history of the table: nothing may
depend on it, and who passes all rows takes them in the order of their keys (`sorted_rows`).
Kernels never allocate: `reserve` makes room before a kernel that may add rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.core.columns import Columns, Field, Ids, Schema
from sim.core.kernel import kernel
from sim.core.rng import mix64

FREE, GONE = -1, -2
"""Keys of a row that was never taken, and of one that was taken and dropped."""
KEY = Field("key", "i8", "1", "line and name id: `key_of`; -1 free, -2 dropped")
FILL = Field("fill", "i8", "rows", "one number: rows that are not free")
ROOM_AT_START = 64
LOAD_PERCENT = 60
"""Share of the room that may be taken, percent: beyond it searches grow long."""


@kernel
def key_of(sub, name_id):
    """Return the key of a line and a 32-bit name id."""
    return (np.int64(sub) << np.int64(32)) | np.int64(np.uint32(name_id))


def line_of(keys: np.ndarray) -> np.ndarray:
    """Return the lines of (n,) keys."""
    return keys >> 32


@kernel
def find(table, key):
    """Return the row of a key, or -1."""
    mask = table.key.shape[0] - 1
    at = np.int64(mix64(np.uint64(key))) & mask
    while table.key[at] != FREE:
        if table.key[at] == key:
            return at
        at = (at + 1) & mask
    return np.int64(-1)


@kernel
def put(table, key):
    """Return the row of a key, taking a free one where it has none.

    A new row holds what was left in it: the caller writes every column.  Ask `find` first where it
    matters whether the key was there.
    """
    mask = table.key.shape[0] - 1
    at = np.int64(mix64(np.uint64(key))) & mask
    while table.key[at] != FREE:
        if table.key[at] == key:
            return at
        at = (at + 1) & mask
    table.key[at] = key
    table.fill[0] += 1
    return at


@kernel
def drop(table, row):
    """Take a row out; its room is won back when the table is next made anew."""
    table.key[row] = GONE


@kernel
def _place(keys, table_keys, rows):
    """Find a place for each of different keys in an empty table."""
    mask = table_keys.shape[0] - 1
    for k in range(keys.shape[0]):
        at = np.int64(mix64(np.uint64(keys[k]))) & mask
        while table_keys[at] != FREE:
            at = (at + 1) & mask
        table_keys[at] = keys[k]
        rows[k] = at


def sparse_schema(name: str, fields: tuple[Field, ...], doc: str) -> Schema:
    """Return the schema of a sparse table with the given columns beside its key."""
    return Schema(name, (KEY, *fields), doc=doc)


class Sparse:
    """A table of rows by key.

    Parameters
    ----------
    schema : made by `sparse_schema`
    ids : (n,) uint64, name ids of the entries behind `named` columns, for digests; or by column

    Attributes
    ----------
    view : columns and fill as a namedtuple, the form in which kernels take them; another one after
        `reserve` or `restore`
    """

    def __init__(self, schema: Schema, ids: Ids | None = None) -> None:
        self.schema = schema
        self.ids = ids
        self._view_type = Schema(schema.name + "Table", (*schema.fields, FILL)).tuple_type
        self._make(ROOM_AT_START)

    def _make(self, room: int) -> None:
        self.columns = Columns(self.schema, room)
        self.columns["key"][:] = FREE
        self.fill = np.zeros(1, np.int64)
        self.view: Any = self._view_type(*self.columns.view, self.fill)

    def __len__(self) -> int:
        return int((self.columns["key"] >= 0).sum())

    @property
    def nbytes(self) -> int:
        """Return the bytes of the room, taken or not."""
        return self.columns.nbytes

    def reserve(self, more: int) -> None:
        """Make room for `more` new keys; rows may move, dropped ones are forgotten."""
        taken = int(self.fill[0])
        if (taken + more) * 100 <= self.columns.n * LOAD_PERCENT:
            return
        kept = self.sorted_rows()
        need = (len(kept["key"]) + more) * 100 // LOAD_PERCENT + 1
        # A power of two, so that a table that grows is made anew only when it has doubled.
        self._fill(kept, max(ROOM_AT_START, 1 << (need - 1).bit_length()))

    def keep(self, mask: np.ndarray) -> None:
        """Forget the rows outside a (room,) mask of rows."""
        self.columns["key"][(self.columns["key"] >= 0) & ~mask] = GONE

    def sorted_rows(self) -> dict[str, np.ndarray]:
        """Return copies of the rows in the order of their keys."""
        keys = self.columns["key"]
        rows = np.flatnonzero(keys >= 0)
        rows = rows[np.argsort(keys[rows])]
        return {f.name: self.columns[f.name][rows] for f in self.schema.fields}

    def subs(self) -> np.ndarray:
        """Return the (n,) int64 lines of `sorted_rows`."""
        return line_of(self.sorted_rows()["key"])

    def digest(self) -> int:
        """Return the order-free digest of the rows."""
        rows = self.sorted_rows()
        filled = Columns(self.schema, len(rows["key"]))
        filled.ids = self.ids
        for name, array in rows.items():
            filled[name][...] = array
        return filled.digest(rows["key"])

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return the rows, sorted by key, with their lines as `sub`, by which they can be cut."""
        rows = self.sorted_rows()
        return {"sub": rows["key"] >> 32, **rows}

    def restore(self, saved: Mapping[str, np.ndarray]) -> None:
        """Go back to a snapshot."""
        n = len(saved["key"])
        self._fill(saved, max(ROOM_AT_START, 1 << (n * 100 // LOAD_PERCENT + 1).bit_length()))

    def _fill(self, rows: Mapping[str, np.ndarray], room: int) -> None:
        self._make(room)
        at = np.empty(len(rows["key"]), np.int64)
        _place(np.ascontiguousarray(rows["key"]), self.columns["key"], at)
        for f in self.schema.fields:
            if f.name != "key":
                self.columns[f.name][at] = rows[f.name]
        self.fill[0] = len(at)
