"""Where a person truly is at a moment: a pure function of the diary, the flight and the clock.

It owns the place kernels and the serving-cell choice.  It must not change state.
"""

from __future__ import annotations

import numpy as np

from actors.subscribers.state import NEVER_S, TRIP_BITS
from sim.core.kernel import hot, kernel
from sim.core.quantiles import above, quantile
from sim.core.rng import below, draw_cause, mix64, stream

S_STAY = stream("length of a stay abroad")

AT_AIRPORT_S = 7_200
"""Time at the airport before a departure, s (1.5 to 3 h, behaviour 3.5)."""
FLIGHT_S = 14_400
"""Flight, or the way to another region, phone off or out of reach, s."""
INBOUND_S = 2_700
"""Time at the airport after the return, s (0.5 to 1 h)."""

ABROAD = -1
IN_FLIGHT = -2
MALL_SLOT = 16
NO_SLOT = 255


@kernel
def is_trip(t, seed, sub, travel_s):
    """Return whether a journey goes to another region, by rail or road, and not abroad."""
    _, b, _, _ = draw_cause(seed, S_STAY, sub, np.uint32(0), travel_s, 0)
    return b < t.trip_share


@kernel
def travel_back(t, seed, sub, travel_s):
    """Return the moment, s, at which a traveller is at the home airport, or at home, again."""
    a, b, _, _ = draw_cause(seed, S_STAY, sub, np.uint32(0), travel_s, 0)
    if b < t.trip_share:
        return travel_s + 2 * FLIGHT_S + np.int64(quantile(t.trip_s, a))
    return travel_s + AT_AIRPORT_S + 2 * FLIGHT_S + np.int64(quantile(t.abroad_s, a))


N_MOMENTS = 5
"""Moments of a journey."""


@kernel
def journey_moment(t, seed, sub, travel_s, k):
    """Return a moment of a journey, s, or `NEVER_S` where it has no such moment.

    0 at the airport, 1 take-off, 2 landed or back home, 3 left the airport again, 4 arrived.
    """
    trip = is_trip(t, seed, sub, travel_s)
    if k == 4:
        return np.int64(travel_s) + FLIGHT_S + (0 if trip else AT_AIRPORT_S)
    if trip and k != 2:
        return np.int64(NEVER_S)
    if k == 0:
        return np.int64(travel_s)
    if k == 1:
        return np.int64(travel_s) + AT_AIRPORT_S
    back = travel_back(t, seed, sub, travel_s)
    return back if k == 2 else back + INBOUND_S


@kernel
def away_spot(s, t, i, sub, seed):
    """Return the hex at which a journey to another region ends: the first of some drawn ones."""
    _, _, d, _ = draw_cause(seed, S_STAY, sub, np.uint32(0), s.travel_s[i], 0)
    home = s.home[i]
    n = t.away_hex.shape[0]
    at = below(d, n)
    for _ in range(n):
        if t.away_region[at] != t.hex_region[home]:
            break
        at = (at + 1) % n
    return np.int64(t.away_hex[at])


@hot
def work_hex(s, t, i):
    """Return the hex of a line's work place, or its home."""
    if s.work_slot[i] == NO_SLOT:
        return np.int64(s.home[i])
    return np.int64(t.hex_work[s.home[i], s.work_slot[i]])


@hot
def trip_spot(s, t, i):
    """Return the spot of today's outing."""
    slot = s.trip_slot[i] & np.uint8(TRIP_BITS)
    home = s.home[i]
    if slot >= MALL_SLOT:
        fence = t.hex_mall[home, slot - MALL_SLOT]
        return np.int64(home) if fence < 0 else np.int64(t.n_hex + fence)
    return np.int64(t.hex_leisure[home, slot])


@hot
def diary_spot(s, t, i, quarter):
    """Return the spot at a quarter of the local day, flights aside.

    `NO_SLOT` lies beyond every quarter, so that no span begins there.  Whether a line is at work
    cannot be guessed by a processor: both places are looked up and one is taken.
    """
    if quarter >= s.trip_from[i] and quarter < s.trip_to[i]:
        return trip_spot(s, t, i)
    home = np.int64(s.home[i])
    slot = np.int64(s.work_slot[i])
    works = (quarter >= s.work_from[i]) & (quarter < s.work_to[i]) & (slot != NO_SLOT)
    place = np.int64(t.hex_work[home, slot if works else 0])
    return place if works else home


@hot
def may_move(s, i, quarter):
    """Return whether the diary of a line has a border at the start of a quarter."""
    return quarter != 0 and (
        (quarter == s.trip_from[i]) | (quarter == s.trip_to[i])
        | (quarter == s.work_from[i]) | (quarter == s.work_to[i])
    )  # fmt: skip


@kernel
def flight_spot(s, t, i, sub, seed, now_s):
    """Return the spot of a traveller, or -3 when not travelling.

    An airport, `IN_FLIGHT`, `ABROAD`, or a hex of another region.
    """
    start = np.int64(s.travel_s[i])
    if start == NEVER_S or now_s < start:
        return np.int64(-3)
    if is_trip(t, seed, sub, start):
        back = travel_back(t, seed, sub, start)
        if now_s >= back:
            return np.int64(-3)
        if now_s < start + FLIGHT_S or now_s >= back - FLIGHT_S:
            return np.int64(IN_FLIGHT)
        return away_spot(s, t, i, sub, seed)
    airport = t.hex_airport[s.home[i]]
    if airport < 0:
        return np.int64(-3)
    if now_s < start + AT_AIRPORT_S:
        return np.int64(t.n_hex + airport)
    if now_s < start + AT_AIRPORT_S + FLIGHT_S:
        return np.int64(IN_FLIGHT)
    back = travel_back(t, seed, sub, start)
    if now_s < back - FLIGHT_S:
        return np.int64(ABROAD)
    if now_s < back:
        return np.int64(IN_FLIGHT)
    if now_s < back + INBOUND_S:
        return np.int64(t.n_hex + airport)
    return np.int64(-3)


@hot
def switch_ms(seed, sub, epoch):
    """Return the offset within an epoch, ms, at which a planned change of place happens."""
    key = mix64(np.uint64(sub) ^ (np.uint64(epoch) << np.uint64(32)) ^ mix64(seed))
    return np.int64(key % np.uint64(900_000))


@hot
def local_quarter(t, region, epoch):
    """Return the quarter of the local day (0 to 95) at a global epoch."""
    return (epoch + np.int64(t.region_shift_q[region]) + np.int64(t.start_quarter)) % 96


@kernel
def local_day(t, region, epoch):
    """Return the local day since the start (0 is the first), floor."""
    return (epoch + np.int64(t.region_shift_q[region]) + np.int64(t.start_quarter)) // 96


@kernel
def true_spot(s, t, i, sub, seed, region, ts_ms):
    """Return the true spot at a moment of the current local day."""
    flying = flight_spot(s, t, i, sub, seed, ts_ms // 1000)
    if flying != -3:
        return flying
    epoch = ts_ms // 900_000
    quarter = local_quarter(t, region, epoch)
    now = diary_spot(s, t, i, quarter)
    if quarter == 0:
        return now
    before = diary_spot(s, t, i, quarter - 1)
    if before != now and ts_ms - epoch * 900_000 < switch_ms(seed, sub, epoch):
        return before
    return now


@hot
def serving_cell(t, q, sub, spot, word):
    """Return the cell that serves a phone at a spot, or -1 where every candidate is down.

    A phone at rest keeps the cell of its own (line, spot) draw; a share of events is served by
    another candidate (ping-pong).

    Parameters
    ----------
    q : cell quality as broadcast, of the previous tick
    word : uint32, draw of the event
    """
    if (word & np.uint32(0xFF)) < np.uint32(t.ping_pong):
        u = np.int64(word >> np.uint32(16))
    else:
        key = mix64(np.uint64(sub) ^ (np.uint64(spot) << np.uint64(32)))
        u = np.int64(key >> np.uint64(48))
    k = above(t.spot_cum[spot, 0], t.spot_cum[spot, 1], t.spot_cum[spot, 2], u)
    cell = t.spot_cells[spot, k]
    if q.available[cell] == 0:
        for j in range(4):
            other = t.spot_cells[spot, j]
            if q.available[other] != 0:
                return np.int64(other)
        return np.int64(-1)
    return np.int64(cell)
