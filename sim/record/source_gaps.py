"""Gaps of a recording: spans in which a source says nothing although it should.

It owns the counts by quarter of an hour and the judgement that silence is a gap.  It must not know
what a row means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.record.source_time import midnight_ms

BIN_MS = 900_000
"""Width of a count, ms."""
DAY_BINS = 96
EXPECTED_MIN = 20
"""Rows that a silent span should have had: by chance it has none once in 500 million times."""


class Gaps:
    """Rows of each source by quarter of an hour."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._counts: dict[str, dict[int, int]] = {}

    def add(self, source: str, ts_ms: np.ndarray) -> None:
        """Count rows; epoch ms."""
        counts = self._counts.setdefault(source, {})
        bins, n = np.unique(ts_ms // BIN_MS, return_counts=True)
        for b, k in zip(bins.tolist(), n.tolist(), strict=True):
            counts[b] = counts.get(b, 0) + k

    def found(self, start_ms: int) -> list[dict[str, Any]]:
        """Return the gaps of all sources, ms since the start."""
        out: list[dict[str, Any]] = []
        everything = [b for counts in self._counts.values() for b in counts]
        if not everything:
            return out
        first, last = min(everything), max(everything)
        for source, counts in sorted(self._counts.items()):
            if not counts:
                continue
            line = np.zeros(last - first + 1, np.int64)
            line[np.array(list(counts)) - first] = list(counts.values())
            day = midnight_ms(first * BIN_MS, self._zone) // BIN_MS
            for begin, end, expected in _silent(line, (first - day) % DAY_BINS):
                out.append(
                    {
                        "source": source, "from_ms": (first + begin) * BIN_MS - start_ms,
                        "to_ms": (first + end) * BIN_MS - start_ms,
                        "expected_rows": round(expected),
                    }
                )  # fmt: skip
        return out


def _silent(line: np.ndarray, phase: int) -> list[tuple[int, int, float]]:
    """Return (begin, end, expected rows) of silent spans that should not be silent."""
    expected = _usual(line, phase)
    quiet = np.concatenate([[False], line == 0, [False]])
    borders = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    found = []
    for begin, end in zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True):
        usual = expected[begin:end]
        sides = [line[max(begin - 4, 0) : begin], line[end : end + 4]]
        near = min((float(side.mean()) for side in sides if len(side)), default=0.0)
        told = float(np.where(np.isnan(usual), near, usual).sum())
        if told >= EXPECTED_MIN:
            found.append((begin, end, told))
    return found


def _usual(line: np.ndarray, phase: int) -> np.ndarray:
    """Return what each quarter of an hour has on at least three days of four."""
    n_days = (phase + len(line) + DAY_BINS - 1) // DAY_BINS
    padded = np.full(n_days * DAY_BINS, np.nan)
    padded[phase : phase + len(line)] = line
    days = padded.reshape(n_days, DAY_BINS)
    # With fewer than three days the other ones are no yardstick (NaN); the neighbours are, above.
    seen = (~np.isnan(days)).sum(axis=0)
    usual = np.full(DAY_BINS, np.nan)
    for slot in np.flatnonzero(seen >= 3):
        told = days[~np.isnan(days[:, slot]), slot]
        usual[slot] = np.quantile(told, 0.25, method="higher")
    return np.tile(usual, n_days)[phase : phase + len(line)]
