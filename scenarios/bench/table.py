"""The table of the benchmark: targets, verdicts, the JSON document and its text.

It owns what a measurement is and how it is judged: by the median of its runs.  It must not know
how anything is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Version of the document; raised where a reader of old files would be misled."""


@dataclass(frozen=True)
class Target:
    """What a row must reach.

    Attributes
    ----------
    most : True: at most `value`; False: at least
    """

    value: float
    most: bool = True

    def met(self, found: float) -> bool:
        """Return whether a value reaches the target; the target itself does."""
        return found <= self.value if self.most else found >= self.value

    def text(self, unit: str) -> str:
        """Return the target as words."""
        return f"at {'most' if self.most else 'least'} {number(self.value)} {unit}".strip()


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    name : what `--only` takes and the JSON holds
    title : what is measured, for a reader
    unit : of the samples
    target : None where the row is told and not judged
    needs : what the target asks of the measurement (lines, hosts); "" nothing
    """

    name: str
    title: str
    unit: str
    target: Target | None = None
    needs: str = ""


@dataclass
class Measured:
    """What was found for a row.

    Attributes
    ----------
    samples : one value for each run, in the unit of the row; empty: not measured
    reason : why there is no sample
    indicative : measured in other conditions than the target asks for
    cpu_s, wall_s : over all runs, the measured part alone
    detail : more that the page shows; plain data
    """

    row: str
    samples: list[float] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    indicative: bool = False
    cpu_s: float | None = None
    wall_s: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def median(samples: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return statistics.median(samples) if samples else None


def spread(samples: Sequence[float]) -> float | None:
    """Return the largest difference between runs over their median; None for fewer than two."""
    if len(samples) < 2:
        return None
    middle = statistics.median(samples)
    return (max(samples) - min(samples)) / abs(middle) if middle else None


def verdict(row: Row, found: Measured) -> str:
    """Return the verdict of a row.

    `met`, `missed`, `not judged` (no target) or `not measured`; with ` (indicative)` where the
    target asks for other conditions than those that were measured.
    """
    middle = median(found.samples)
    if middle is None:
        return "not measured"
    if row.target is None:
        return "not judged"
    word = "met" if row.target.met(middle) else "missed"
    return f"{word} (indicative)" if found.indicative else word


def line(row: Row, found: Measured, load: tuple[float, float] | None) -> dict[str, Any]:
    """Return a row as plain data, as it stands in the JSON document."""
    against = (
        sum(row.target.met(x) != row.target.met(median(found.samples) or 0) for x in found.samples)
        if row.target
        else 0
    )
    return {
        "row": row.name, "title": row.title, "unit": row.unit,
        "target": None if row.target is None
        else {"value": row.target.value, "sense": "at most" if row.target.most else "at least"},
        "target_text": "" if row.target is None else row.target.text(row.unit),
        "needs": row.needs, "verdict": verdict(row, found), "median": median(found.samples),
        "low": min(found.samples, default=None), "high": max(found.samples, default=None),
        "spread": spread(found.samples), "n": len(found.samples), "runs_against": against,
        "samples": list(found.samples), "cpu_s": found.cpu_s, "wall_s": found.wall_s,
        "load_average": None if load is None else {"before": load[0], "after": load[1]},
        "indicative": found.indicative, "reason": found.reason, "note": found.note,
        "detail": found.detail,
    }  # fmt: skip


def document(
    rows: Sequence[Mapping[str, Any]], *, quick: bool, machine: Mapping[str, Any], began: str,
    wall_s: float, load: tuple[float | None, float | None],
) -> dict[str, Any]:  # fmt: skip
    """Return the JSON document of a benchmark.

    Parameters
    ----------
    began : UTC time, ISO
    load : one-minute load average before and after
    """
    return {
        "schema": SCHEMA, "quick": quick, "began": began, "wall_s": round(wall_s, 1),
        "machine": dict(machine), "load_average": {"before": load[0], "after": load[1]},
        "rows": [dict(row) for row in rows],
    }  # fmt: skip


def number(value: float | None) -> str:
    """Return a number with three or more digits that mean something; `-` for None."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1_000_000_000:
        return f"{value / 1e9:,.2f} billion"
    if size >= 1_000_000:
        return f"{value / 1e6:,.2f} million"
    if size >= 1_000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def render(told: Mapping[str, Any]) -> str:
    """Return the table as aligned text, with what stands behind it below."""
    from scenarios.cli_common import table

    rows = [
        {
            "row": r["row"], "target": r["target_text"] or "-",
            "found": "-" if r["median"] is None else f"{number(r['median'])} {r['unit']}".strip(),
            "verdict": r["verdict"], "n": r["n"],
            "spread": "-" if r["spread"] is None else f"{100 * r['spread']:.0f} %",
            "CPU s": "-" if r["cpu_s"] is None else f"{r['cpu_s']:.1f}",
            "wall s": "-" if r["wall_s"] is None else f"{r['wall_s']:.1f}",
            "load": "-" if r["load_average"] is None
            else f"{r['load_average']['before']:.1f}-{r['load_average']['after']:.1f}",
        }
        for r in told["rows"]
    ]  # fmt: skip
    columns = list(rows[0]) if rows else []
    lines = [table(rows, columns)]
    notes = [(r["row"], r["reason"] or r["note"]) for r in told["rows"] if r["reason"] or r["note"]]
    if notes:
        width = max(len(name) for name, _ in notes)
        lines += ["", *(f"{name.ljust(width)}  {text}" for name, text in notes)]
    machine = told["machine"]
    lines += ["", "  ".join(str(machine[k]) for k in ("cpu", "kernel") if machine.get(k))]
    if told["quick"]:
        lines.append("--quick: smaller sizes and fewer runs; the figures are indicative.")
    return "\n".join(lines)
