"""The attributes of the profile 360: every one by its name, with freshness and cost.

It owns the registry: measures, windows and statistics, of which the names are made.  It must not
know how a value is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from actors import messages as m


@dataclass(frozen=True)
class Measure:
    """What is counted: rows of `Activity` of some kind and codes, and which of their numbers.

    Attributes
    ----------
    kind : of the rows
    codes : codes that count; None: all
    refs : `ref` that counts; None: all
    number : `units`, `charged_minor`, or `rows` where each counts one
    per : units of the row for one of the measure
    """

    unit: str
    kind: int
    codes: tuple[int, ...] | None = None
    refs: tuple[int, ...] | None = None
    number: str = "rows"
    per: int = 1


_DATA = (m.DATA_GENERAL, m.DATA_VIDEO, m.DATA_SOCIAL, m.DATA_MESSAGING)
_VOICE = (m.VOICE_ONNET, m.VOICE_OFFNET, m.VOICE_INTL)
MEASURES: dict[str, Measure] = {
    "data_mb": Measure("MB", m.USAGE, _DATA, number="units", per=1_000_000),
    "video_mb": Measure("MB", m.USAGE, (m.DATA_VIDEO,), number="units", per=1_000_000),
    "social_mb": Measure("MB", m.USAGE, (m.DATA_SOCIAL,), number="units", per=1_000_000),
    "messaging_mb": Measure("MB", m.USAGE, (m.DATA_MESSAGING,), number="units", per=1_000_000),
    "voice_min": Measure("min", m.USAGE, _VOICE, number="units", per=60),
    "offnet_min": Measure("min", m.USAGE, (m.VOICE_OFFNET,), number="units", per=60),
    "international_min": Measure("min", m.USAGE, (m.VOICE_INTL,), number="units", per=60),
    "sms": Measure("pieces", m.USAGE, (m.SMS,), number="units"),
    "roaming_mb": Measure("MB", m.USAGE, (m.ROAM_DATA,), number="units", per=1_000_000),
    "roaming_min": Measure("min", m.USAGE, (m.ROAM_VOICE,), number="units", per=60),
    "charges": Measure("minor", m.USAGE, number="charged_minor"),
    "recharges": Measure("times", m.RECHARGE),
    "recharged": Measure("minor", m.RECHARGE, number="units"),
    "purchases": Measure("times", m.PURCHASE),
    "purchased": Measure("minor", m.PURCHASE, number="charged_minor"),
    "offers_bought": Measure("times", m.PURCHASE, (m.OFFERED,)),
    "pages": Measure("visits", m.VISIT),
    "shop_pages": Measure("visits", m.VISIT, refs=(m.VISIT_SHOP, m.VISIT_CART)),
    "rival_pages": Measure("visits", m.VISIT, refs=(m.VISIT_RIVAL,)),
    "blocked": Measure("uses", m.BLOCKED),
    "moves": Measure("rows", m.LOCATION),
    "accepted": Measure("answers", m.RESPONSE, (m.ACCEPT,)),
}
WINDOWS = {"today": 0, "24h": 1, "7d": 7, "30d": 30, "run": 36_500}
"""Days back from now; `today` begins at local midnight, `run` with the run."""
SHORT, LONG = ("sum", "count"), ("sum", "count", "mean", "max", "days", "trend")
"""Statistics of windows within a day, and of longer ones: over days for all but the first two.
`days` counts days with any, `trend` is the later half of the window less the earlier, per day."""
FRESHNESS_S = {"today": 0, "24h": 1, "7d": 900, "30d": 86_400, "run": 86_400, "since": 0}
"""How old a value may be that the engine looks at, s: classes 0 s, 1 s, 15 min and 1 day."""
BYTES = {"today": 4, "24h": 48, "7d": 28, "30d": 60, "run": 8, "since": 4}
"""What a line would need to keep one, B: hours of a day, days of a window, sums of a run."""


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes
    ----------
    statistic : one of `LONG`, or `since`: hours since the last
    freshness_s : age that its value may have, s
    bytes : what a line would need to keep it up to date
    """

    name: str
    measure: str
    window: str
    statistic: str
    unit: str
    freshness_s: int
    bytes: int


@lru_cache(maxsize=1)
def attributes() -> dict[str, Attribute]:
    """Return every attribute by name: `MEASURE_WINDOW_STATISTIC`, or `MEASURE_since`."""
    found: dict[str, Attribute] = {}
    for name, measure in MEASURES.items():
        for window, days in WINDOWS.items():
            for statistic in LONG if days > 1 else SHORT:
                unit = {"count": "rows", "days": "days"}.get(statistic, measure.unit)
                key = f"{name}_{window}_{statistic}"
                found[key] = Attribute(
                    key, name, window, statistic, unit, FRESHNESS_S[window], BYTES[window]
                )
        key = f"{name}_since"
        found[key] = Attribute(key, name, "since", "since", "h", 0, BYTES["since"])
    return found
