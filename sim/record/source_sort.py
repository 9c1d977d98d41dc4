"""The sort that is larger than memory: rows by hour, event ids by hash, each part small.

It owns the temporary files of a reading, the rule for rows of one id, and the order of the rows of
a piece.  It must not know files, mappings or names of subscribers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sim.core.errors import LimitError
from sim.record.source_fields import RAW
from sim.record.source_kernels import contents, ranked
from sim.record.source_spec import ROW, Limits

HOUR_MS = 3_600_000
SPLIT = 60
"""Parts that an hour with too many rows is cut into: minutes, seconds, then milliseconds."""
PARTS = 256
"""Parts of the event ids by the top bits of their hash."""
LATE_BIT = np.uint64(1 << 63)
IDS = np.dtype([("event", "u8"), ("content", "u8"), ("ord", "u8")])


class Pool:
    """Rows that wait in memory, then go to one file for each hour, and their ids to parts."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._rows: list[np.ndarray] = []
        self._ids: list[np.ndarray] = []
        self._n_rows, self._n_ids = 0, 0
        self._hours: set[int] = set()
        self._parts: set[int] = set()
        folder.mkdir()

    def add(self, raw: np.ndarray) -> None:
        """Take rows that may be applied."""
        self._rows.append(raw)
        self._n_rows += len(raw)
        if self._n_rows >= self._limits.buffer_rows:
            self.flush()

    def add_ids(self, raw: np.ndarray, event: np.ndarray, late: np.ndarray) -> None:
        """Take the ids of rows, late ones too."""
        ids = np.zeros(len(raw), IDS)
        ids["event"] = event
        ids["content"] = content_of(raw)
        ids["ord"] = raw["ord"] | np.where(late, LATE_BIT, np.uint64(0))
        self._ids.append(ids)
        self._n_ids += len(ids)
        if self._n_ids >= self._limits.buffer_rows:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._rows:
            raw = np.concatenate(self._rows)
            self._append("h", raw, raw["ts"] // HOUR_MS, self._hours)
        if self._ids:
            ids = np.concatenate(self._ids)
            part = (ids["event"] >> np.uint64(56)).astype(np.int64)
            self._append("i", ids, part, self._parts)
        self._rows, self._ids, self._n_rows, self._n_ids = [], [], 0, 0

    def _append(self, kind: str, rows: np.ndarray, bucket: np.ndarray, seen: set[int]) -> None:
        if len(bucket) > 1 and (np.diff(bucket) < 0).any():
            order = np.argsort(bucket, kind="stable")
            rows, bucket = rows[order], bucket[order]
        if not len(bucket):
            return
        borders = np.flatnonzero(np.diff(bucket)) + 1
        starts = [0, *borders.tolist()]
        for start, end in zip(starts, [*borders.tolist(), len(rows)], strict=True):
            name = int(bucket[start])
            seen.add(name)
            with (self._folder / f"{kind}{name}").open("ab") as handle:
                handle.write(rows[start:end].tobytes())

    def settle(self) -> Iterator[tuple[str, np.ndarray]]:
        """Decide the rows of one id; give (reason, `ord` of rows that are left out), sorted.

        The first row that is not late stays, in the order of files and lines.  The same content
        again is a `duplicate`; another content under the same id is a `conflict`; where all are
        late, the first is `late`.  The caller tells those of late rows by `LATE_BIT`.
        """
        for part in sorted(self._parts):
            ids = np.fromfile(self._folder / f"i{part}", IDS)
            ids = ids[np.argsort(ids["event"], kind="stable")]
            event = ids["event"]
            again = np.zeros(len(ids), bool)
            again[1:] = event[1:] == event[:-1]
            shared = again.copy()
            shared[:-1] |= again[1:]
            alone = ids[~shared]
            yield "late", alone["ord"][alone["ord"] >= LATE_BIT]
            several = ids[shared]
            several = several[np.lexsort((several["ord"], several["event"]))]
            if not len(several):
                continue
            first = np.ones(len(several), bool)
            first[1:] = several["event"][1:] != several["event"][:-1]
            group = np.cumsum(first) - 1
            same = several["content"] == several["content"][first][group]
            late = several["ord"] >= LATE_BIT
            yield "late", several["ord"][first & late]
            yield "duplicate", several["ord"][~first & same]
            yield "conflict", several["ord"][~first & ~same]

    def hours(self) -> list[int]:
        """Return the hours that have rows, hours since 1970, in order."""
        return sorted(self._hours)

    def pieces(self, hour: int, drop: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Give (begin, end, rows) of one hour in parts that fit; epoch ms, rows unsorted.

        Parameters
        ----------
        drop : (n,) uint64 sorted, `ord` of rows that are left out
        """
        path = self._folder / f"h{hour}"
        yield from self._split(path, hour * HOUR_MS, HOUR_MS, drop)

    def _split(
        self, path: Path, begin: int, width: int, drop: np.ndarray
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        n = path.stat().st_size // RAW.itemsize
        if n <= self._limits.piece_rows:
            raw = np.fromfile(path, RAW)
            path.unlink()
            if len(drop):
                at = np.minimum(np.searchsorted(drop, raw["ord"]), len(drop) - 1)
                raw = raw[drop[at] != raw["ord"]]
            yield begin, begin + width, raw
            return
        if width <= 1:
            raise LimitError(f"{n} rows of one millisecond, at most {self._limits.piece_rows}")
        step = max(width // SPLIT, 1)
        parts: set[int] = set()
        with path.open("rb") as handle:
            while len(raw := np.fromfile(handle, RAW, self._limits.buffer_rows)):
                part = (raw["ts"] - begin) // step
                for p in np.unique(part).tolist():
                    parts.add(p)
                    with path.with_name(f"{path.name}.{p}").open("ab") as out:
                        out.write(raw[part == p].tobytes())
        path.unlink()
        for p in sorted(parts):
            inner = path.with_name(f"{path.name}.{p}")
            yield from self._split(inner, begin + p * step, step, drop)


def content_of(raw: np.ndarray) -> np.ndarray:
    """Return a hash of what each raw row says, (n,) uint64."""
    out = np.zeros(len(raw), np.uint64)
    columns = [np.ascontiguousarray(raw[name]) for name in (
        "sub", "ts", "type", "direction", "flags", "units", "amount", "cell", "peer")]  # fmt: skip
    contents(*columns, out)
    return out


def ordered(
    raw: np.ndarray, begin: int, start_ms: int, name: Callable[[np.ndarray], tuple[np.ndarray, ...]]
) -> np.ndarray:
    """Return the rows of a piece as `ROW`, in an order that their content alone decides.

    Parameters
    ----------
    raw : (n,) RAW
    begin : start of the piece, epoch ms; at most an hour before its last row
    start_ms : moment of ts 0, epoch ms
    name : gives (`source_sub`, `peer`, `cell`) of raw rows, int32
    """
    sub, peer, cell = name(raw)
    # Subscriber, ms within the hour, type and direction fit into one number: one sort, not eight.
    head = sub.astype(np.uint64) << np.uint64(32)
    head |= (raw["ts"] - begin).astype(np.uint64) << np.uint64(8)
    head |= raw["type"].astype(np.uint64) << np.uint64(4) | raw["direction"].astype(np.uint64)
    order = np.argsort(head, kind="stable")
    same = head[order][1:] == head[order][:-1]
    if same.any():
        tied = np.zeros(len(order), bool)
        tied[1:] |= same
        tied[:-1] |= same
        rows = order[tied]
        fine = np.lexsort(
            (peer[rows], cell[rows], raw["amount"][rows], raw["units"][rows], raw["flags"][rows],
             head[rows])
        )  # fmt: skip
        order[tied] = rows[fine]
    out = np.zeros(len(raw), ROW)
    out["source_sub"], out["peer"], out["cell"] = sub[order], peer[order], cell[order]
    out["ts_ms"] = raw["ts"][order] - start_ms
    for column in ("type", "direction", "flags", "units"):
        out[column] = raw[column][order]
    out["amount_minor"] = raw["amount"][order]
    out["key"] = _keys(out)
    return out


def _keys(rows: np.ndarray) -> np.ndarray:
    names = (
        "source_sub", "ts_ms", "type", "direction", "flags", "units", "amount_minor", "cell",
        "peer",
    )  # fmt: skip
    columns = [np.ascontiguousarray(rows[name]) for name in names]
    content = np.zeros(len(rows), np.uint64)
    contents(*columns, content)
    same = np.zeros(len(rows), np.uint8)
    if len(rows) > 1:
        same[1:] = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    out = np.zeros(len(rows), np.uint64)
    ranked(content, same, out)
    return out
