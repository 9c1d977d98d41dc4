"""The report's table of tests of variants: arm against arm.

It owns the columns of that table.  It must not compute a figure that `kpis.json` does not hold.
"""

from __future__ import annotations

from scenarios.report.figures import VERDICT_WORDS
from scenarios.report.parts import Table
from scenarios.report.words import MINOR, NONE, count, dig, percent, short, signed
from sim.record.store import Run

NOTE = (
    "Lines are dealt to arms by lot. Treated winners alone; margin per 1,000 of them within the "
    "horizon, and the difference to the first arm with its interval at 95 %."
)


def variant_tables(run: Run) -> list[tuple[str, Table]]:
    """Return the table of all tests, or nothing where the run has none."""
    rows = []
    for test, told in (dig(run.kpis, "variants") or {}).items():
        for number, arm in told["arms"].items():
            gap = dig(told, "differences", number, "margin")
            words = NONE if gap is None else "no estimate"
            if gap is not None and gap["low"] is not None:
                value, low, high = (gap[key] / MINOR for key in ("value", "low", "high"))
                words = f"{signed(value)} [{short(low)}; {short(high)}]\n"
                words += VERDICT_WORDS[gap["verdict"]].replace("control", "the first arm")
            margin = None if arm["margin"] is None else arm["margin"] / MINOR
            rows.append((
                f"{test}, arm {number}\n{', '.join(arm['use_cases'])}", count(arm["n"]),
                percent(arm["conversion"]), short(margin), words,
            ))  # fmt: skip
    head = ("variant", "treated winners", "bought", "margin per 1,000", "less the first arm")
    return [("Variants against each other", Table(head, rows, NOTE))] if rows else []
