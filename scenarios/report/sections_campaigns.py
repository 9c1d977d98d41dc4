"""The report's table of campaigns: whom they asked, what came of it, beside what is real time.

It owns the columns of that table.  It must not compute a figure that `kpis.json` does not hold.
"""

from __future__ import annotations

from typing import Any

from scenarios.report.words import MINOR, NONE, count, dig, percent, short, signed
from sim.record.store import Run

ROWS_MAX = 100
HEAD = (
    "campaign", "audience", "expected", "kept out", "contacted", "delivered", "seen", "accepted",
    "withheld", "cost", "uplift per 1,000", "in truth",
)  # fmt: skip
NOTE = (
    "Kept out: took part before, or takes part in a campaign that excludes this one. Uplift: "
    "margin within the horizon, winners of the first wave less winners withheld by lot."
)


def _major(minor: float | None) -> float | None:
    return None if minor is None else minor / MINOR


def _expected(found: dict[str, Any]) -> str:
    if found["expected"] is None:
        return NONE
    if found["low"] == found["high"]:
        return short(found["expected"])
    return f"{short(found['expected'])} [{short(found['low'])}; {short(found['high'])}]"


def campaign_rows(run: Run) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the rows of the largest campaigns, and what is to be said above them."""
    told = dig(run.kpis, "campaigns") or {}
    shown = sorted(told.items(), key=lambda item: -item[1]["intended"])[:ROWS_MAX]
    rows = []
    for name, c in shown:
        up = c["uplift"]
        told_up = signed(_major(up["value"]))
        if up["low"] is not None:
            told_up += f" [{short(_major(up['low']))}; {short(_major(up['high']))}]"
        rows.append(
            (f"{name}\n{c['title']}", count(c["fitting"]), _expected(c["audience"]),
             count(c["barred"] + c["clashed"]), count(c["intended"]), count(c["delivered"]),
             count(c["seen"]), count(c["accepted"]), count(c["ghosts"]),
             short(_major(c["cost_minor"])), told_up, signed(_major(c["true_uplift"])))
        )  # fmt: skip
    says = []
    share = dig(run.kpis, "real_time")
    if share and share["share_of_contacts"] is not None:
        says.append(
            f"{count(share['campaigns'])} campaigns ran beside {count(share['use_cases'])} use "
            f"cases opened by events: real time is {percent(share['share_of_campaigns'])} of what "
            f"ran and {percent(share['share_of_contacts'])} of the contacts."
        )
    if len(told) > len(shown):
        says.append(f"The {len(shown)} with most contacts of {len(told)}; all stand in "
                    "campaigns.csv.")  # fmt: skip
    return rows, says
