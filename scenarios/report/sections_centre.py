"""The report's section about the contact centre: who called, how long they waited, what was said.

It owns the tables of that section.  It must not compute a figure that `kpis.json` does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.report.words import NONE, count, dig, label, percent, signed
from sim.record.store import Run


def seconds(value: float | None) -> str:
    """Return a wait: seconds below a minute and a half, else minutes."""
    if value is None:
        return NONE
    return f"{value:.1f} s" if value < 90 else f"{value / 60:.1f} min"


def interval(found: Mapping[str, Any]) -> str:
    """Return a share with its interval and n."""
    if found["low"] is None:
        return f"{percent(found['value'])} (n = {count(found['n'])})"
    low, high = percent(found["low"]), percent(found["high"])
    return f"{percent(found['value'])} [{low}; {high}] (n = {count(found['n'])})"


def centre_rows(run: Run) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return head and rows of all centres together and of each; no rows where nobody can call."""
    found = dig(run.kpis, "contact_centre") or {}
    head = (
        "centre", "calls", "answered", "hung up", "turned away", "called back", "mean wait",
        "wait p90", "wait p99", "within 20 s", "agents busy",
    )  # fmt: skip
    if not found.get("available"):
        return head, []
    sites = {"all centres": found, **found["centres"]}
    return head, [
        (
            label(name), count(c["calls"]), count(c["answered"]), count(c["abandoned"]),
            count(c["turned_away"]), count(c["called_back"]), seconds(c["wait_s"]["mean"]),
            seconds(c["wait_s"]["p90"]), seconds(c["wait_s"]["p99"]),
            percent(c["service_level_20s"]), percent(c["occupancy"]),
        )
        for name, c in sites.items()
    ]  # fmt: skip


def reason_rows(run: Run) -> list[tuple[str, ...]]:
    """Return calls by reason at full scale, and those that simulated lines were moved to make."""
    found = dig(run.kpis, "contact_centre") or {}
    if not found.get("available"):
        return []
    return [
        (label(reason), count(n), count(found["caused_by_reason"][reason]))
        for reason, n in found["calls_by_reason"].items()
    ]


def advice_rows(run: Run) -> list[tuple[str, ...]]:
    """Return what became of the suggestions of agents to simulated lines."""
    found = dig(run.kpis, "contact_centre") or {}
    if not found.get("available"):
        return []
    advice = found["advice"]
    mean = advice["relevance"]
    return [
        ("suggestions voiced", count(advice["told"])),
        ("found useful", interval(advice["useful"])),
        ("said to fit", interval(advice["fits"])),
        ("taken", interval(advice["taken"])),
        ("need alive times match, mean", NONE if mean is None else f"{mean:.3f}"),
        ("satisfaction moved by calls, lines times 0 to 1", signed(found["satisfaction_moved"], 2)),
    ]
