"""The contact centre's part of `kpis.json`.

It owns the definition of its figures: who counts against the service level, and whose wait is
meant.  All are at the scale of the lines that the run stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scenarios.estimates import ratio, rounded, share
from sim.core.histogram import quantiles

MS = 1000.0


def contact_centre(
    totals: Mapping[str, np.ndarray], labels: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return the figures of all centres, and of each.

    A call that was abandoned or turned away counts against the service level.  `wait_s` is the
    wait of those who were answered, called-back ones included.  `advice` and
    `satisfaction_moved` speak of the simulated lines alone, whose calls have a person behind them.
    """
    names = labels["centre"]
    if not names:
        return {"available": False}
    calls = totals["centre_calls"]
    told = int(totals["advice_told"].sum())
    return {
        "available": True,
        "scale": "represented",
        **_figures(totals, slice(None)),
        "calls_by_reason": {
            reason: int(calls[:, i].sum()) for i, reason in enumerate(labels["call_reason"])
        },
        "caused_by_reason": {
            reason: int(totals["calls_made"][i].sum())
            for i, reason in enumerate(labels["call_reason"])
        },
        "advice": {
            "scale": "sample",
            "told": told,
            **{
                name: _share(int(totals[f"advice_{name}"].sum()), told)
                for name in ("useful", "fits", "taken")
            },
            "relevance": rounded(ratio(int(totals["advice_relevance_q"].sum()) / 1024, told)),
        },
        "satisfaction_moved": rounded(int(totals["call_mood_q"].sum()) / 65_535),
        "centres": {name: _figures(totals, slice(i, i + 1)) for i, name in enumerate(names)},
    }


def _share(part: int, whole: int) -> dict[str, Any]:
    """Return a share with its interval and n."""
    found = share(part, whole)
    return {
        "value": rounded(found.value), "low": rounded(found.low), "high": rounded(found.high),
        "n": found.n,
    }  # fmt: skip


def _figures(totals: Mapping[str, np.ndarray], sites: slice) -> dict[str, Any]:
    def all_of(name: str) -> int:
        return int(totals[f"centre_{name}"][sites].sum())

    calls, answered = all_of("calls"), all_of("answered")
    abandoned, turned_away = all_of("abandoned"), all_of("turned_away")
    decided = answered + abandoned + turned_away
    waits = totals["centre_wait_ms"][sites].sum(axis=0)
    marks = [None if v is None else rounded(v / MS, 3) for v in quantiles(waits, (0.5, 0.9, 0.99))]
    mean = ratio(all_of("wait_sum_ms"), answered)
    return {
        "calls": calls,
        "answered": answered,
        "abandoned": abandoned,
        "turned_away": turned_away,
        "waiting": calls - decided,
        "retries": all_of("retries"),
        "called_back": all_of("called_back"),
        "wait_s": {
            "mean": None if mean is None else rounded(mean / MS, 3),
            **dict(zip(("p50", "p90", "p99"), marks, strict=True)),
            "n": answered,
        },
        "service_level_20s": rounded(ratio(all_of("answered_20s"), decided)),
        "service_level_20s_n": decided,
        "abandoned_share": rounded(ratio(abandoned, decided)),
        "occupancy": rounded(ratio(all_of("busy_ms"), all_of("duty_ms"))),
    }
