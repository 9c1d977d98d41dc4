"""Moments in texts: zones with their repeated and missing hours, patterns, and the year ranges.

It owns the way from local texts and numbers to epoch milliseconds.  It must not know which file or
column they come from.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

YEAR_MIN, YEAR_MAX = 1990, 2100
"""A recording of a mobile operator lies in these years; others are a wrong unit."""
EPOCH_MIN_MS = int(datetime(YEAR_MIN, 1, 1, tzinfo=UTC).timestamp() * 1_000)
EPOCH_MAX_MS = int(datetime(YEAR_MAX, 1, 1, tzinfo=UTC).timestamp() * 1_000)

_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_CODES = {"Y": 1, "m": 2, "d": 3, "H": 4, "M": 5, "S": 6, "f": 7, "y": 8, "z": 9}
REPEATED, MISSING = 1, 2
"""Marks of local times that come twice, and that do not exist."""


def zone_of(zone: str) -> tzinfo:
    """Return the zone of a name such as Asia/Almaty, or of an offset such as +05:45 or +0545."""
    fixed = _OFFSET.fullmatch(zone)
    if fixed is None:
        return UTC if zone in ("UTC", "Z") else ZoneInfo(zone)
    minutes = int(fixed[2]) * 60 + int(fixed[3])
    if minutes > 15 * 60 or int(fixed[3]) > 59:
        raise ValueError("no such offset")
    return timezone(timedelta(minutes=-minutes if fixed[1] == "-" else minutes))


def zone_known(zone: str) -> bool:
    """Return whether there is such a zone."""
    try:
        _transitions(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


def template(pattern: str) -> tuple[np.ndarray, str]:
    """Return a strptime pattern as codes, and what is wrong with it (empty: nothing).

    Returns
    -------
    codes : (k,) int16; 1..9 a part of the date, 256 + byte a character that must stand there
    """
    codes: list[int] = []
    i = 0
    while i < len(pattern):
        if pattern[i] == "%":
            part = pattern[i + 1 : i + 2]
            if part == "T":
                codes += [4, 256 + ord(":"), 5, 256 + ord(":"), 6]
            elif part in _CODES:
                codes.append(_CODES[part])
            else:
                return np.zeros(0, np.int16), f"%{part} is not a part of a date that is read here"
            i += 2
            continue
        if not pattern[i].isascii():
            return np.zeros(0, np.int16), "only ASCII characters in a pattern"
        codes.append(256 + ord(pattern[i]))
        i += 1
    found = set(codes)
    if not {2, 3} <= found or not found & {1, 8}:
        return np.zeros(0, np.int16), "a pattern without year, month or day"
    return np.array(codes, np.int16), ""


ISO = template("%Y-%m-%d %H:%M:%S")[0]


def local_ms(text: str, zone: str) -> int | None:
    """Return a local ISO date or moment as epoch ms, the earlier where it comes twice."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return int(moment.timestamp() * 1_000)
    wall = int(moment.replace(tzinfo=UTC).timestamp() * 1_000)
    return int(to_utc(np.array([wall], np.int64), zone)[0][0])


@functools.lru_cache(maxsize=64)
def _transitions(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments at which a zone changes (ms UTC), and its offsets (ms; one more)."""
    info = zone_of(zone)
    if _OFFSET.fullmatch(zone):
        shift = info.utcoffset(None) or timedelta()
        return np.zeros(0, np.int64), np.array([shift // timedelta(milliseconds=1)], np.int64)

    def offset(moment: datetime) -> int:
        return int((moment.astimezone(info).utcoffset() or timedelta()).total_seconds() * 1_000)

    step = timedelta(days=7)
    at, end = datetime(YEAR_MIN, 1, 1, tzinfo=UTC), datetime(YEAR_MAX, 1, 1, tzinfo=UTC)
    moments, offsets = [], [offset(at)]
    while at < end:
        after = at + step
        if offset(after) != offsets[-1]:
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
                low, high = (low, middle) if offset(middle) != offsets[-1] else (middle, high)
            moments.append(int(high.timestamp() * 1_000))
            offsets.append(offset(high))
        at = after
    return np.array(moments, np.int64), np.array(offsets, np.int64)


def to_utc(wall_ms: np.ndarray, zone: str, *, later: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return local wall times as epoch ms, and marks of those that are no single moment.

    Parameters
    ----------
    wall_ms : (n,) int64, the wall clock read as if it were UTC
    later : take the later of two moments

    Returns
    -------
    utc_ms : (n,) int64
    marks : (n,) uint8, 0, `REPEATED` or `MISSING`
    """
    moments, offsets = _transitions(zone)
    marks = np.zeros(len(wall_ms), np.uint8)
    if not len(moments):
        return wall_ms - offsets[0], marks
    before, after = offsets[:-1], offsets[1:]
    # From here on the wall shows the new offset alone; until `low` the old one alone.
    high = moments + np.maximum(before, after)
    low = moments + np.minimum(before, after)
    ix = np.searchsorted(high, wall_ms, side="right")
    utc = wall_ms - offsets[ix]
    near = np.minimum(ix, len(moments) - 1)
    between = (ix < len(moments)) & (wall_ms >= low[near])
    back = after[near] < before[near]
    marks[between & back] = REPEATED
    marks[between & ~back] = MISSING
    if later:
        second = between & back
        utc = np.where(second, wall_ms - after[near], utc)
    return utc, marks


def midnight_ms(utc_ms: int, zone: str) -> int:
    """Return the last local midnight at or before a moment, epoch ms."""
    moments, offsets = _transitions(zone)
    offset = int(offsets[np.searchsorted(moments, utc_ms, side="right")])
    wall = (utc_ms + offset) // 86_400_000 * 86_400_000
    return int(to_utc(np.array([wall], np.int64), zone)[0][0])


def shown_ms(utc_ms: int) -> str:
    """Return a moment as people read it; far years too."""
    days = utc_ms // 86_400_000
    if not -700_000 < days < 2_900_000:
        return f"year {1970 + days / 365.2425:.0f}"
    return str(np.datetime64(int(utc_ms), "ms").astype("datetime64[s]")) + "Z"
