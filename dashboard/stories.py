"""The day of one line and its decisions, as rows that a page shows.

It owns the rows of a day.  The words of stages and truth are those of `scenarios.stages`; it lives
no line again: `twin explain` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios import stages as way
from scenarios.report.words import MINOR, label
from scenarios.stages import Row, text

Frame = Any


def title(row: Row, at: str) -> str:
    """Return a decision as one line for a picker."""
    case = text(row.get("use_case"))
    told = f"{at} · {label(text(row['trigger']))} → {label(text(row['reason']))}"
    return told + (f" · {label(case)}" if case else "")


def stages(row: Row, message: Row | None, currency: str) -> list[dict[str, str]]:
    """Return the way of a decision, as rows of `stage`, `result` and `what it means`."""
    told = way.stages(row, message, currency=currency)
    return [{"stage": s, "result": r, "what it means": w} for s, r, w in told]


def day(tables: Mapping[str, Frame]) -> list[dict[str, Any]]:
    """Return everything that was recorded of a line, in the order of time."""
    rows: list[tuple[int, dict[str, Any]]] = []
    for row in _records(tables["activity"]):
        cell = row.get("cell")
        rows.append((int(row["ts_ms"]), {
            "time": row["at"], "what": label(str(row["kind"])), "kind": _words(row.get("code")),
            "cell": None if cell is None or cell != cell or cell < 0 else int(cell),
            "units": row.get("units"), "charged": _major(row.get("charged_minor")),
            "balance": _major(row.get("balance_after_minor")), "result": _words(row.get("result")),
        }))  # fmt: skip
    for row in _records(tables["account_events"]):
        rows.append((int(row["ts_ms"]), {
            "time": row["at"], "what": "account", "kind": _words(row["kind"]),
            "units": row["value"], "balance": _major(row["balance_after_minor"]),
        }))  # fmt: skip
    for row in _records(tables["decisions"]):
        rows.append((int(row["ts_ms"]), {
            "time": row["at"], "what": "decision", "kind": _words(row["trigger"]),
            "result": _words(row["reason"]),
        }))  # fmt: skip
    for row in _records(tables["contacts"]):
        rows.append((int(row["ts_ms"]), {
            "time": row["at"], "what": f"message by {text(row['channel'])}",
            "kind": _words(row["use_case"]), "result": _words(row["status"]),
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _records(frame: Frame) -> list[dict[str, Any]]:
    return frame.to_dict("records") if len(frame) else []


def _words(value: Any) -> str:
    return label(text(value))


def _major(value: Any) -> float | None:
    return None if value is None or value != value else int(value) / MINOR
