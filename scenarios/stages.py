"""The words for one decision: its stages, the message that followed, and what was true of it.

It owns these words for every place that tells a decision (`twin explain`, the dashboard).  It must
not know where rows come from, nor how they are shown.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from scenarios.report.words import MINOR, count, label, milliseconds

Row = Mapping[str, Any]
Clock = Callable[[int], str]
NEED_FULL, FATIGUE_FULL = 255, 1024
"""Values of the recorded fixed-point columns that mean 1."""
PRIORITY_FULL = 64
"""`priority_q` of one minor unit of believed margin."""


def text(value: Any) -> str:
    """Return a recorded value as text; nothing for none and NaN."""
    return "" if value is None or value != value else str(value)


def money(minor: int, currency: str) -> str:
    """Return minor units as money to the last of them."""
    return f"{minor / MINOR:,.2f} {currency}".strip()


@functools.cache
def _signals() -> dict[str, str]:
    """Return trigger -> kind of rows that it listens to."""
    from actors.rtm.triggers import SIGNALS, registry  # compiles: only when a decision is told

    return {name: SIGNALS[entry.signal] for name, entry in registry().items()}


def _about(reason: int) -> str:
    """Return what a call was about."""
    from actors.messages import CALL_REASONS  # pages that tell no decision do without the roles

    named = 0 <= reason < len(CALL_REASONS)
    return f"a call about {CALL_REASONS[reason].replace('_', ' ') if named else 'something else'}"


def saw(row: Row, currency: str) -> str:
    """Return what the rule of a decision saw, with its unit.

    A rule reports the balance after the row that satisfied it; one on stays, steps, calls or
    account events the place, step, reason or amount that it is about.
    """
    name, value = text(row["trigger"]).partition("#")[0], int(row["value"])
    signal = "call" if name == "inbound" else _signals().get(name, "")
    if name == "allowance_expiring":
        return f"the rule saw {value} % of the plan's data left"
    if name == "fee_will_fail":
        return f"the rule saw {money(value, currency)} missing for the fee"
    if name == "contract_end":
        return f"the rule saw {value} days left of the contract"
    if signal == "call":
        return _about(value)
    if signal == "dwell":
        return f"the rule saw a stay in place {value} of the geography, counted from 0"
    if signal == "quest":
        return f"the rule saw step {value} done"
    if signal in ("account", ""):
        return f"the rule saw {count(value)} (minor units of money, percent or days, by the event)"
    return f"the rule saw a balance of {money(value, currency)} after the event"


def stages(
    row: Row, message: Row | None, *, currency: str, words: Callable[[str], str] = label
) -> list[tuple[str, str, str]]:
    """Return the way of a decision as (stage, result, what it means).

    Parameters
    ----------
    row : the recorded decision
    message : the recorded message that it led to, or None
    currency : in which money is told
    words : writes a recorded name; `str` leaves it as it is
    """
    out = [
        ("trigger", words(text(row["trigger"])), saw(row, currency)),
        ("candidates", count(row["n_candidates"]), "use cases bound to the rule"),
        ("eligible", count(row["n_eligible"]), "of these with the line in their audience"),
        ("policy", count(row["n_allowed"]), "of these allowed by contact policy"),
        ("arbitration", words(text(row["use_case"])) or "nobody won",
         _priority(int(row["priority_q"]), currency)),
        ("decision", words(text(row["reason"])),
         f"{milliseconds(row['latency_ms'])} after the rule was satisfied"),
    ]  # fmt: skip
    if message is not None:
        waited = milliseconds(int(message["sent_ms"]) - int(row["ts_ms"]))
        out.append((
            "channel", words(text(message["channel"])),
            f"{words(text(message['status']))}, sent {waited} after the rule was satisfied",
        ))  # fmt: skip
    return out


def _priority(priority_q: int, currency: str) -> str:
    if priority_q < 0:
        return "no priority"
    worth = money(round(priority_q / PRIORITY_FULL), currency)
    return f"priority {worth}: propensity x margin as believed, x context x lever"


def message_of(decision: Row, messages: Any) -> dict[str, Any] | None:
    """Return the message that a decision led to, or None.

    Parameters
    ----------
    messages : data frame of the recorded messages of the line
    """
    if messages.empty:
        return None
    same = messages[
        (messages["trigger_ms"] == decision["ts_ms"])
        & (messages["use_case"] == decision["use_case"])
    ]
    return None if same.empty else same.iloc[0].to_dict()


def truth(message: Row | None, clock: Clock, currency: str) -> list[tuple[str, str]]:
    """Return what only the twin knows of a message, or nothing where no truth was kept.

    Parameters
    ----------
    clock : writes a moment, ms since the start
    """
    if message is None or not text(message.get("seen")):
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
