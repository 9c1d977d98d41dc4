"""Numbers and sentences for people: grouping, units, money, and what a run says in words.

It owns how a number is written and which sentences open a report; each is made from the figures.
It must not know HTML or figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

THIN = "\u202f"
NONE = "\u2013"
MINOR = 100
"""Minor units of a unit of money."""

GLOSSARY = {
    "arbitration": "the choice of one use case where several are allowed for the same event: "
    "propensity × context × value × lever.",
    "audit": "checks after every tick that money, usage, messages and people add up.",
    "busy hour": "the clock hour of the run with most network events.",
    "control": "winners that are withheld by lot, so that the others can be compared with them; "
    "the universal control gets nothing at all.",
    "conversion": "share of winners that buy for the same need within the horizon, by any way.",
    "decision": "what the engine does with one satisfied rule: a message, or one reason for none.",
    "digest": "a number made from every value of the state; equal digests mean equal runs.",
    "dwell": "a stay inside a geofence of at least the time that its rule asks for.",
    "fatigue": "attention and patience lost to contacts; fades with a half-life of days.",
    "funnel": "how many decisions are left after each step, from the satisfied rule to the yes.",
    "geofence": "an area whose visitors the engine tries to notice from the cells that serve them.",
    "horizon": "time after the decision within which purchases count.",
    "incremental": "buyers that would not have bought without the contact, estimated from control.",
    "margin": "revenue without VAT less the cost of goods, rewards and contacts.",
    "p50, p99": "half, or 99 of 100, of the values are at most this large.",
    "PRB utilisation": "share of a cell's radio resource blocks in use.",
    "precision, recall": "share of believed stays that are real; share of real stays that are "
    "noticed.",
    "quest": "a game with steps in the real world and a reward.",
    "true uplift": "the same as uplift, from both worlds of every contact; only a twin knows it.",
    "trigger": "a rule over events that opens a decision once it is satisfied.",
    "uplift": "margin per 1,000 winners, treated less withheld, with the interval that holds the "
    "true value in 95 of 100 runs.",
    "withheld": "won, but held back as control.",
    "wow": "change of satisfaction per 1,000 eligible decisions; 1 is from worst to best.",
}


def count(value: float | None) -> str:
    """Return a whole number with thin groups of thousands."""
    return NONE if value is None else _minus(f"{round(value):,}".replace(",", THIN))


def counted(value: int, noun: str) -> str:
    """Return a whole number with its noun, in the plural but for one."""
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")


def signed(value: float | None, digits: int | None = None) -> str:
    """Return a shortened number with its sign; `digits` asks for so many significant ones."""
    if value is None:
        return NONE
    if digits is not None:
        return _minus(f"{value:+.{digits}g}")
    return f"+{short(value)}" if value > 0 else short(value)


def short(value: float | None) -> str:
    """Return a number with three digits and k, M, G."""
    if value is None:
        return NONE
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor:
            scaled = value / (1e3 if letter == "k" else factor)
            return _minus(f"{scaled:.{_digits(scaled)}f}{THIN}{letter}")
    whole = abs(value) >= 100 or value == round(value)
    return count(value) if whole else _minus(f"{value:.3g}")


def _digits(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return NONE if value is None else f"{value * 100:.{digits}f}{THIN}%"


def money(minor: float | None, currency: str, *, sign: bool = False) -> str:
    """Return minor units as money, shortened; `sign` writes a plus as well."""
    if minor is None:
        return NONE
    plus = "+" if sign and minor > 0 else ""
    return f"{plus}{short(minor / MINOR)}{THIN}{currency}"


def milliseconds(value: float | None) -> str:
    """Return a time in ms, s or min."""
    if value is None:
        return NONE
    if value < 1_000:
        return f"{value:.0f}{THIN}ms"
    if value < 120_000:
        return f"{value / 1_000:.3g}{THIN}s"
    return f"{value / 60_000:.3g}{THIN}min"


def size(n_bytes: float | None) -> str:
    """Return bytes in decimal units."""
    if n_bytes is None:
        return NONE
    for factor, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g}{THIN}{unit}"
    return f"{n_bytes:.0f}{THIN}B"


def label(name: str) -> str:
    """Return a code name as words."""
    return name.replace("_", " ")


def dig(document: Mapping[str, Any], *path: str) -> Any:
    """Return a value deep inside, or None where any step of the way is missing."""
    found: Any = document
    for step in path:
        if not isinstance(found, Mapping) or found.get(step) is None:
            return None
        found = found[step]
    return found


def sentences(manifest: Mapping[str, Any], kpis: Mapping[str, Any]) -> list[str]:
    """Return what happened, in a handful of sentences; what is not known is not said."""
    told = [
        _what(manifest, kpis), _engine(kpis), _value(kpis), _money(kpis), _fast(kpis),
        _where(kpis), _crowd(kpis),
    ]  # fmt: skip
    return [sentence for sentence in told if sentence]


def _what(manifest: Mapping[str, Any], kpis: Mapping[str, Any]) -> str:
    events, lines = dig(kpis, "funnel", "events"), dig(kpis, "population", "subscribers")
    days = dig(kpis, "population", "days")
    if not events or not lines or not days:
        return ""
    out = f"{count(lines)} simulated lines made {short(events)} network events in {days:g} day"
    out += "" if days == 1 else "s"
    hour, rate = dig(kpis, "network", "busy_hour"), dig(kpis, "network", "peak_events_per_second")
    if hour is not None:
        out += f"; the busy hour was {hour:02d}:00 to {(hour + 1) % 24:02d}:00"
        out += f", with up to {short(rate)} events a second"
    speed = dig(manifest, "sim_speed")
    return out + (f". It ran {short(speed)} times faster than real time." if speed else ".")


def _engine(kpis: Mapping[str, Any]) -> str:
    hits, intended = dig(kpis, "funnel", "trigger_hits"), dig(kpis, "funnel", "intended")
    if not hits:
        return ""
    out = f"Rules were satisfied {short(hits)} times; {percent((intended or 0) / hits)} of these "
    out += f"decisions became a message, {short(dig(kpis, 'funnel', 'seen'))} messages were seen "
    out += f"and {short(dig(kpis, 'funnel', 'accepted'))} offers accepted"
    reasons = sorted((dig(kpis, "funnel", "suppressed") or {}).items(), key=lambda r: -r[1])
    shown = [f"{label(name)} ({percent(n / hits, 0)})" for name, n in reasons[:2] if n]
    return out + (f"; most others ended at {' and '.join(shown)}." if shown else ".")


def _value(kpis: Mapping[str, Any]) -> str:
    words = dig(kpis, "experiments", "verdicts") or {}
    known = sum(n for word, n in words.items() if word != "unknown")
    if not known:
        return ""
    out = f"{words.get('above', 0)} of {known} use cases beat their control at 95 %, "
    out += f"{words.get('below', 0)} lose, {words.get('not significant', 0)} cannot be told from it"
    joint, currency = dig(kpis, "experiments", "local_margin_minor"), _currency(kpis)
    if joint and joint["value"] is not None:
        out += f"; summed up, contacts changed the margin by {money(joint['value'], currency)} "
        out += f"[{money(joint['low'], currency)} to {money(joint['high'], currency)}]"
        truth = dig(kpis, "experiments", "true_margin_minor")
        out += f", and by {money(truth, currency)} in truth" if truth is not None else ""
    return out + "."


def _money(kpis: Mapping[str, Any]) -> str:
    revenue = dig(kpis, "charging", "service_revenue_minor")
    if not revenue:
        return ""
    currency = _currency(kpis)
    out = f"Service revenue without VAT was {money(revenue, currency)}, "
    out += f"{money(dig(kpis, 'charging', 'arpu_minor_per_30_days'), currency)} a line and 30 days"
    cash = dig(kpis, "charging", "recharge_minor")
    n = dig(kpis, "charging", "recharges")
    return out + (f"; {count(n)} recharges brought {money(cash, currency)} of cash." if n else ".")


def _fast(kpis: Mapping[str, Any]) -> str:
    decision = dig(kpis, "latency_ms", "decision")
    if not decision or not decision["n"]:
        return ""
    out = f"{percent(decision['share_under_1s'], 2)} of decisions came within 1 s "
    out += f"(p50 {milliseconds(decision['p50'])}, p99 {milliseconds(decision['p99'])})"
    send = dig(kpis, "latency_ms", "event_to_send")
    if send and send["n"]:
        out += f"; from the event to the sending it took {milliseconds(send['p50'])} in half of the"
        out += f" cases and {milliseconds(send['p99'])} in 99 of 100"
    return out + "."


def _where(kpis: Mapping[str, Any]) -> str:
    fences = (dig(kpis, "geofences") or {}).values()
    found, true = sum(f["detected"] for f in fences), sum(f["detected_true"] for f in fences)
    dwells = sum(f["dwells"] for f in fences)
    if not found or not dwells:
        return ""
    return (
        f"Of {count(found)} stays that the engine believed to see in geofences, "
        f"{percent(true / found, 0)} were real; it noticed {percent(min(true / dwells, 1), 0)} of "
        f"the {count(dwells)} real ones."
    )


def _crowd(kpis: Mapping[str, Any]) -> str:
    cells, full = dig(kpis, "network", "cells"), dig(kpis, "network", "cells_congested")
    if not cells or full is None:
        return ""
    blocked = percent(dig(kpis, "network", "blocked_share"), 2)
    p95 = percent(dig(kpis, "network", "prb_util", "p95"), 0)
    return (
        f"In the busy hour {full:.3g} of {count(cells)} cells were congested (95 of 100 at most "
        f"{p95} used); {blocked} of all uses were refused or starved."
    )


def _currency(kpis: Mapping[str, Any]) -> str:
    return dig(kpis, "charging", "currency") or ""
