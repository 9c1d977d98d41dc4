"""Rows that were left out: counted by reason, written with file, line and a masked value.

It owns the account of a reading (`rows_read = applied + quarantined`), the quarantine file, and
the rule that too many faults refuse the recording.  It must not know how a reason is found.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.errors import Problem, ScenarioError
from sim.record.source_columns import NO_REASON, Texts
from sim.record.source_spec import DECLARED, REASONS

FILE = "quarantine.parquet"
SCHEMA = pa.schema(
    [
        ("source", pa.string()), ("file", pa.string()), ("line", pa.int64()),
        ("reason", pa.string()), ("found", pa.string()),
    ]
)  # fmt: skip
SHOWN_MAX = 24
EARLY_ROWS = 10_000
"""From so many rows on, more than half of them at fault ends the reading at once."""
_LONG = re.compile(r"\d{5,}")


def masked(text: str) -> str:
    """Return the shape of a value and nothing of it: digits are 9, letters are x."""
    shape = "".join("9" if c.isdigit() else "x" if c.isalpha() else c for c in text[:SHOWN_MAX])
    return shape + ("..." if len(text) > SHOWN_MAX else "")


def without_numbers(text: str) -> str:
    """Return a text in which long numbers are masked."""
    return _LONG.sub(lambda match: "9" * len(match.group()), text)


class Quarantine:
    """The account of one reading, and its file."""

    def __init__(self, folder: Path, limit: int, bad_share_max: float) -> None:
        self.reasons: Counter[str] = Counter()
        self.rows_read = 0
        self.first: dict[str, Problem] = {}
        self._left = limit
        self._share = bad_share_max
        self._unterminated: Counter[str] = Counter()
        self._writer = pq.ParquetWriter(folder / FILE, SCHEMA, compression="zstd")

    def take(
        self,
        source: str,
        file: str,
        line: np.ndarray,
        reason: np.ndarray,
        found: dict[int, Texts] | None = None,
    ) -> None:
        """Count and write the rows that have a reason; all rows are of one file.

        Parameters
        ----------
        line : (n,) int64
        reason : (n,) uint8, index of `REASONS` or `NO_REASON`
        found : reason -> column whose value, masked, stands beside it
        """
        bad = np.flatnonzero(reason != NO_REASON)
        if not len(bad):
            return
        for code, n in zip(*np.unique(reason[bad], return_counts=True), strict=True):
            name = REASONS[code]
            self.reasons[name] += int(n)
            if name == "unterminated":
                self._unterminated[source] += int(n)
            if name not in self.first:
                at = bad[reason[bad] == code][0]
                texts = (found or {}).get(int(code))
                shape = masked(texts.at(int(at))) if texts is not None else None
                self.first[name] = Problem(
                    f"{n} rows here are {name}", file=file, line=int(line[at]), found=shape
                )
        kept = bad[: self._left]
        self._left -= len(kept)
        if len(kept):
            shapes = [
                masked(found[r].at(int(i))) if found and (r := int(reason[i])) in found else None
                for i in kept
            ]
            names = [REASONS[code] for code in reason[kept]]
            same = len(kept)
            columns = [[source] * same, [file] * same, line[kept], names, shapes]
            self._writer.write_table(pa.table(columns, schema=SCHEMA))

    @property
    def quarantined(self) -> int:
        """Return all rows that are left out."""
        return self.reasons.total()

    @property
    def faults(self) -> int:
        """Return the rows that count towards the share: one cut line for each source is free."""
        declared = sum(self.reasons[name] for name in DECLARED)
        return self.quarantined - declared - len(self._unterminated)

    def judge(self, *, last: bool) -> None:
        """Refuse the recording where too many rows are at fault."""
        faults, n = self.faults, self.rows_read
        share = self._share if last else max(self._share, 0.5)
        if faults <= share * n or (not last and n < EARLY_ROWS):
            return
        told = [(r, k) for r, k in self.reasons.most_common() if r not in DECLARED]
        problems = [
            Problem(
                f"{faults} of {n} rows cannot be taken ({100 * faults / n:.2f} %)",
                found=", ".join(f"{reason} {k}" for reason, k in told),
                expected=f"at most {100 * self._share:g} % (replay.bad_share_max)",
            )
        ]
        hints = {"late": "a larger late_max_s, or `order: file` or `none` in the mapping"}
        for reason, _ in told:
            at = self.first[reason]
            problems.append(
                Problem(f"first row that is {reason}", file=at.file, line=at.line, found=at.found,
                        expected=hints.get(reason))
            )  # fmt: skip
        raise ScenarioError.collect(problems)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def counts(self, derived: int) -> dict[str, Any]:
        """Return what the manifest of a run says of its replay."""
        return {
            "rows_read": self.rows_read,
            "applied": self.rows_read - self.quarantined,
            "derived": derived,
            "quarantined": self.quarantined,
            "reasons": dict(sorted(self.reasons.items())),
        }
