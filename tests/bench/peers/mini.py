"""The mini loop, stated once: event -> billing -> trigger -> decision -> answer, for every peer.

It holds the numbers of the loop, its tables, its starting state and the arbitration of a quarter of
an hour, as plain integers and NumPy arrays.  It must not know any engine: each peer brings its own
clock, its own draws and its own way to visit lines, and all have the same distributions.

The loop.  A line has one of eight classes; its events are a Poisson process.  An event is a call,
a text, a data session or a change of place.  Uses are paid from money or taken from an allowance,
both integers; empty money is topped up, a used allowance renewed for a price.  Four triggers look
at each event: money falls below `LOW`, the allowance passes four fifths, a cell with a geofence is
entered, the first event after a week of silence.  A trigger asks for a decision unless an earlier
request is pending, the last contact is less than four hours ago, or four were made.  The best of
the eligible of 20 offers (8 features, logistic propensity x value) becomes a request.  At the end
of each quarter of an hour the requests of every minute are ordered by score and line, the first
`capacity` are sent, and answers act from the next quarter on.
"""

from __future__ import annotations

import numpy as np

MINUTES = 60
QUARTER_MIN = 15
EVENTS_A_DAY = 100
HOUR_FACTOR = 1.3
CLASS_FACTOR = (0.1, 0.3, 0.5, 0.8, 1.0, 1.3, 1.7, 2.3)
RATES = tuple(EVENTS_A_DAY / 1440 * HOUR_FACTOR * f for f in CLASS_FACTOR)
"""Events a minute of each class, from 09:00 to 10:00."""

VOICE, TEXT, DATA, PLACE = 0, 1, 2, 3
KIND_CUM = (0.15, 0.25, 0.75)
"""Shares of calls, texts and data, added up; the rest are changes of place."""
VOICE_PRICE, TEXT_PRICE, RENEWAL = 2, 5, 150
CALL_MAX, DATA_MAX = 60, 40
LOW, TOPUP = 200, 1_300
ALLOWANCE, ALLOWANCE_NEAR = 2_000, 1_600

N_CELLS, FENCE_EVERY, NEARBY = 20_000, 40, 256
HOME_SHARE = 0.5
SILENCE_MIN = 7 * 1440
SILENT_EVERY = 200

T_NONE, T_LOW, T_ALLOWANCE, T_FENCE, T_SILENCE = 0, 1, 2, 3, 4
GAP_MIN, CONTACTS_MAX = 240, 4
N_OFFERS, N_FEATURES = 20, 8
CAPACITY_SHARE = 0.0012
"""Messages a minute that the channel carries, for each line."""
ANSWER_SHARE = 0.3
REWARD = 500
SIGMOID_SIZE = 1_024

_TABLES = np.random.Generator(np.random.Philox(20_190_401))
WEIGHTS = _TABLES.integers(-20, 21, (N_OFFERS, N_FEATURES)).astype(np.int32)
VALUES = _TABLES.integers(10, 101, N_OFFERS).astype(np.int32)
ELIGIBLE = (_TABLES.random((5, len(CLASS_FACTOR), N_OFFERS)) < 0.5).astype(np.uint8)
ELIGIBLE[:, :, 0] = 1
"""(trigger, class, offer): which offers may be made; the first one always."""
SIGMOID = np.round(
    65_535 / (1 + np.exp(-(np.arange(SIGMOID_SIZE) - SIGMOID_SIZE / 2) / 64))
).astype(np.int32)


def capacity(lines: int) -> int:
    """Return the messages a minute that the channel carries."""
    return max(1, round(lines * CAPACITY_SHARE))


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def start(lines: int, seed: int) -> dict[str, np.ndarray]:
    """Return the starting state: (lines,) arrays `kind` `home` `balance` `used` `last` `contact`.

    `kind` is the class; `last` and `contact` are minutes before 09:00, hence negative.
    """
    gid = np.arange(lines, dtype=np.uint64)
    words = [_mix(gid * np.uint64(8) + np.uint64(k) + np.uint64(seed << 40)) for k in range(4)]
    return {
        "kind": (gid % np.uint64(len(CLASS_FACTOR))).astype(np.uint8),
        "home": (words[0] % np.uint64(N_CELLS)).astype(np.uint16),
        "balance": (LOW + words[1] % np.uint64(TOPUP)).astype(np.int32),
        "used": (words[2] % np.uint64(ALLOWANCE)).astype(np.int32),
        "last": np.where(words[3] % np.uint64(SILENT_EVERY) == 0, -SILENCE_MIN - 60, -1).astype(
            np.int32
        ),
        "contact": np.full(lines, -GAP_MIN - 60, np.int32),
    }


def grant(minute: np.ndarray, score: np.ndarray, gid: np.ndarray, cap: int) -> np.ndarray:
    """Return the rows of a quarter's requests that are sent: the first `cap` of each minute.

    The order is (minute, score descending, line), whatever the order of the rows.
    """
    if len(minute) == 0:
        return np.zeros(0, np.int64)
    key = (
        (minute.astype(np.int64) << 54)
        | ((np.int64((1 << 23) - 1) - score.astype(np.int64)) << 31)
        | gid.astype(np.int64)
    )
    order = np.argsort(key)
    sorted_minute = minute[order]
    first = np.searchsorted(sorted_minute, sorted_minute, side="left")
    return order[np.arange(len(order)) - first < cap]
