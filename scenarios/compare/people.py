"""What two runs say of the same lines: who changed, and how figures spread over them.

It owns the reading of `lines.parquet` and of the recorded rows of sampled lines, line by line.  It
must not know how runs are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scenarios.compare.estimate import LineSpread, spread
from scenarios.lines import segment_names
from sim.core.errors import InvariantError
from sim.record.store import Run, open_run

SATISFACTION_ONE = 65_535
SUMS: tuple[tuple[str, str, str, str], ...] = (
    ("activity", "'funnel.events'", "count(*)", "true"),
    ("activity", "'network.events_by_kind.' || kind", "count(*)", "true"),
    ("activity", "'charging.usage_by_group_minor.' || code", "sum(charged_minor)",
     "kind = 'usage'"),
    ("activity", "'charging.recharges'", "count(*)", "kind = 'recharge'"),
    ("activity", "'charging.recharge_minor'", "sum(units)", "kind = 'recharge'"),
    ("activity", "'funnel.accepted'", "count(*)", "kind = 'response' and code = 'accept'"),
    ("activity", "'funnel.opted_out'", "count(*)", "kind = 'response' and code = 'opt_out'"),
    ("decisions", "'funnel.trigger_hits'", "count(*)", "true"),
    ("decisions", "'funnel.hits_by_trigger.' || trigger", "count(*)", "true"),
    ("decisions", "'funnel.eligible'", "count(*)", "n_eligible > 0"),
    ("decisions", "'funnel.allowed'", "count(*)", "n_allowed > 0"),
    ("decisions", "'funnel.won'", "count(*)",
     "reason in ('intended', 'holdout', 'switched_off')"),
    ("decisions", "'funnel.intended'", "count(*)", "reason = 'intended'"),
    ("decisions", "'funnel.suppressed.' || reason", "count(*)", "reason <> 'intended'"),
    ("decisions", "'use_cases.' || use_case || '.intended'", "count(*)", "reason = 'intended'"),
    ("decisions", "'use_cases.' || use_case || '.ghosts'", "count(*)", "reason = 'holdout'"),
    ("contacts", "'funnel.delivered'", "count(*)", "status = 'delivered'"),
    ("contacts", "'use_cases.' || use_case || '.delivered'", "count(*)", "status = 'delivered'"),
)  # fmt: skip
"""Figures that are sums over lines: table, name, value of one line, rows that count."""


@dataclass(frozen=True)
class Lines:
    """The lines of a run at its end.

    Attributes
    ----------
    digest : (n,) uint64
    margin_minor : (n,) int64
    satisfaction_q : (n,) int64, 65535 is all
    region, segment : (n,) int64, codes
    """

    digest: np.ndarray
    margin_minor: np.ndarray
    satisfaction_q: np.ndarray
    region: np.ndarray
    segment: np.ndarray

    def first(self, n: int) -> Lines:
        """Return the first `n` lines."""
        return Lines(*(column[:n] for column in vars(self).values()))


def read_lines(path: Path) -> Lines | None:
    """Return the lines of a run, or None where it did not write them (`record.line_digests`)."""
    with open_run(path) as run:
        if "lines" not in run.tables:
            return None
        frame = run.table("lines")
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    digest = columns.pop("digest").astype(np.uint64)
    return Lines(digest, **{name: column.astype(np.int64) for name, column in columns.items()})


def changed_lines(a: Lines, b: Lines) -> np.ndarray:
    """Return the (k,) int64 lines whose digests differ, among those that both runs have."""
    n = min(len(a.digest), len(b.digest))
    return np.flatnonzero(a.digest[:n] != b.digest[:n]).astype(np.int64)


def figures(lines: Lines, regions: Sequence[str]) -> dict[str, float | int]:
    """Return the figures of a run that only its lines tell, by dotted name.

    Parameters
    ----------
    regions : names of the regions; empty: they cannot be named
    """
    n = len(lines.digest)
    out: dict[str, float | int] = {
        "lines.margin_minor": int(lines.margin_minor.sum()),
        "lines.satisfaction": float(lines.satisfaction_q.sum() / n / SATISFACTION_ONE),
    }
    for kind, name, mine in _groups(lines, regions):
        out[f"lines.by_{kind}.{name}.margin_minor"] = int(lines.margin_minor[mine].sum())
    return out


def spreads(a: Lines, b: Lines, regions: Sequence[str]) -> dict[str, LineSpread]:
    """Return the spread over lines of the same figures."""
    n = min(len(a.digest), len(b.digest))
    a, b = a.first(n), b.first(n)
    out = {
        "lines.margin_minor": spread(a.margin_minor, b.margin_minor),
        "lines.satisfaction": spread(
            a.satisfaction_q / SATISFACTION_ONE, b.satisfaction_q / SATISFACTION_ONE, mean=True
        ),
    }
    for kind, name, mine in _groups(a, regions):
        found = spread(a.margin_minor[mine], b.margin_minor[mine])
        out[f"lines.by_{kind}.{name}.margin_minor"] = found
    return out


def _groups(lines: Lines, regions: Sequence[str]) -> list[tuple[str, str, np.ndarray]]:
    """Return (kind, name, mask) of every group of lines that has any."""
    out = []
    for kind, names, codes in (
        ("segment", segment_names(), lines.segment), ("region", tuple(regions), lines.region),
    ):  # fmt: skip
        for code, name in enumerate(names):
            mine = codes == code
            if mine.any():
                out.append((kind, name, mine))
    return out


def group_rows(a: Lines, changed: np.ndarray, regions: Sequence[str]) -> list[dict[str, str | int]]:
    """Return lines and changed lines of every segment and region."""
    flag = np.zeros(len(a.digest), bool)
    flag[changed] = True
    return [
        {"kind": kind, "name": name, "lines": int(mine.sum()), "changed": int(flag[mine].sum())}
        for kind, name, mine in _groups(a, regions)
    ]


def sampled_lines(run: Run, n_lines: int) -> np.ndarray:
    """Return the (n,) int64 lines whose rows the run kept, as far as their rows tell.

    A line that did nothing left no row: where every line was kept, all are returned.
    """
    if int(run.manifest.get("sampled_lines") or 0) >= int(run.manifest.get("lines") or n_lines):
        return np.arange(n_lines, dtype=np.int64)
    found = [
        run.sql(f"select distinct sub from {table}")["sub"].to_numpy(np.int64)
        for table in ("activity", "decisions", "contacts", "account_events")
        if table in run.tables
    ]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def sample_spreads(a: Path, b: Path, *, n_lines: int) -> dict[str, LineSpread]:
    """Return the spread over sampled lines of the figures that are sums over lines.

    Only lines that both runs kept count; a line without a row counts with 0.
    """
    with open_run(a) as one, open_run(b) as two:
        kept = int(min(r.manifest.get("sampled_lines") or 0 for r in (one, two)))
        theirs = [sampled_lines(run, n_lines) for run in (one, two)]
        # The sample is drawn by a hash of the line; watched lines alone are chosen by hand.
        if kept < 2 or one.manifest.get("sampled_lines") != two.manifest.get("sampled_lines"):
            return {}
        sums = [per_line(run) for run in (one, two)]
    subs = np.union1d(*theirs)
    if len(subs) > kept:
        raise InvariantError("more lines than were sampled", values=f"{len(subs)} of {kept}")
    silent = kept - len(subs)
    out = {}
    for name in sorted(sums[0].keys() | sums[1].keys()):
        columns = []
        for by_name in sums:
            found = by_name.get(name, pd.Series(dtype=float))
            values = found.reindex(subs, fill_value=0).to_numpy(np.float64)
            columns.append(np.concatenate([values, np.zeros(silent)]))
        out[name] = spread(*columns, n_lines=n_lines)
    return out


def per_line(run: Run) -> dict[str, pd.Series]:
    """Return, for each figure that is a sum over lines, its value by sampled line."""
    out: dict[str, pd.Series] = {}
    for table, name, value, where in SUMS:
        if table not in run.tables:
            continue
        frame = run.sql(
            f"select {name} as name, sub, {value} as value from {table} "
            f"where {where} group by name, sub having name is not null"
        )
        for key, part in frame.groupby("name"):
            out[str(key)] = pd.Series(
                part["value"].to_numpy(np.float64), index=part["sub"].to_numpy(np.int64)
            )
    return out


def describe(lines: Lines, sub: int, regions: Sequence[str]) -> Mapping[str, str]:
    """Return segment and region of a line; empty where the name is not known."""
    segment, region = int(lines.segment[sub]), int(lines.region[sub])
    return {
        "segment": segment_names()[segment],
        "region": regions[region] if region < len(regions) else "",
    }
