"""The decisions about one line, stage by stage, from its recorded rows.

It owns the words of the stages and of the truth.  It must not know where rows come from nor how
they are shown, and it lives no line again: `twin explain` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scenarios.report.words import MINOR, count, label, milliseconds

Frame = Any
Row = Mapping[str, Any]
Clock = Callable[[int], str]
NEED_FULL, FATIGUE_FULL = 255, 1024
"""Values of the recorded fixed-point columns that mean 1."""


def title(row: Row, at: str) -> str:
    """Return a decision as one line for a picker."""
    case = _text(row.get("use_case"))
    told = f"{at} · {label(_text(row['trigger']))} → {label(_text(row['reason']))}"
    return told + (f" · {label(case)}" if case else "")


def stages(row: Row, message: Row | None) -> list[dict[str, str]]:
    """Return the way of a decision, as rows of `stage`, `result` and `what it means`."""
    out = [
        ("trigger", label(_text(row["trigger"])), f"the rule saw {count(row['value'])}"),
        ("candidates", count(row["n_candidates"]), "use cases bound to the rule"),
        ("eligible", count(row["n_eligible"]), "of these with the line in their audience"),
        ("policy", count(row["n_allowed"]), "of these allowed by contact policy"),
        ("arbitration", label(_text(row["use_case"]) or "nobody won"),
         f"priority {count(row['priority_q'])}" if row["priority_q"] >= 0 else "no priority"),
        ("decision", label(_text(row["reason"])),
         f"{milliseconds(row['latency_ms'])} after the rule was satisfied"),
    ]  # fmt: skip
    if message is not None:
        waited = milliseconds(int(message["sent_ms"]) - int(row["ts_ms"]))
        out.append((
            "channel", label(_text(message["channel"])),
            f"{label(_text(message['status']))}, sent {waited} after the rule was satisfied",
        ))  # fmt: skip
    return [{"stage": s, "result": r, "what it means": w} for s, r, w in out]


def message_of(decision: Row, messages: Frame) -> Row | None:
    """Return the message that a decision led to, or None."""
    if messages.empty:
        return None
    same = messages[
        (messages["trigger_ms"] == decision["ts_ms"])
        & (messages["use_case"] == decision["use_case"])
    ]
    return None if same.empty else same.iloc[0].to_dict()


def truth(message: Row | None, clock: Clock, currency: str) -> list[tuple[str, str]]:
    """Return what only the twin knows of a message, or nothing where no truth was kept."""
    if message is None or not _text(message.get("seen")):
        return []
    alone, with_it = int(message["t0_ms"]), int(message["t1_ms"])
    effect = (int(message["y1_minor"]) - int(message["y0_minor"])) / MINOR
    return [
        ("Seen", "yes" if message["seen"] else "no"),
        ("Need, 0 to 1", f"{int(message['need_q']) / NEED_FULL:.2f}"),
        ("Fatigue, 0 is none", f"{int(message['fatigue_q']) / FATIGUE_FULL:.2f}"),
        ("With the message", f"buys {clock(with_it)}" if message["accepts"] and with_it >= 0
         else "accepts" if message["accepts"] else "does not accept"),
        ("Without it", f"would buy {clock(alone)}" if alone >= 0 else "would not buy"),
        ("Margin with / without", f"{int(message['y1_minor']) / MINOR:,.2f} / "
         f"{int(message['y0_minor']) / MINOR:,.2f} {currency}"),
        ("Effect of the contact", f"{effect:+,.2f} {currency}"),
    ]  # fmt: skip


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
            "time": row["at"], "what": f"message by {_text(row['channel'])}",
            "kind": _words(row["use_case"]), "result": _words(row["status"]),
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _records(frame: Frame) -> list[dict[str, Any]]:
    return frame.to_dict("records") if len(frame) else []


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _words(value: Any) -> str:
    return label(_text(value))


def _major(value: Any) -> float | None:
    return None if value is None or value != value else int(value) / MINOR
