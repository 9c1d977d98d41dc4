"""The people at the start: who lives where, and in which state the first day finds them.

It owns the keyed draws of the population and the hot-deck that copies a donor's state from the
equilibrium pilot.  It must not run ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors import messages as m
from actors.billing.state import NEVER_S as BILL_NEVER
from actors.billing.state import STATE as BILLING_STATE
from actors.profile import APP, BLACK, CONSENT, CONTROL, PROFILE, ProfileTables, build_profile
from actors.rtm import state as rtm
from actors.subscribers import state as people
from actors.subscribers.diary import plan_day
from actors.subscribers.place import ABROAD, flight_spot, is_trip
from actors.subscribers.tables import MACHINE_CLASS, N_ACTIVITY, N_VOLUME
from actors.subscribers.wants import FREE, organic_s
from sim.core import rng
from sim.core.columns import Columns
from sim.core.kernel import kernel
from sim.core.ticks import Calendar

BLOCK_LINES = 1 << 20
"""Lines among which homes are laid out once over the whole territory, at most."""
MIN_BLOCKS = 16
"""Blocks of any population: the fewest, so that few hosts share the territory evenly too."""


@dataclass(frozen=True)
class Donors:
    """Lines of the pilot whose state is copied, sorted by (stratum, volume).

    Attributes
    ----------
    stratum_start : (n_strata + 1,) int64, CSR over tariff x activity class
    subscribers, billing, rtm : columns of the donors, times relative to the snapshot
    contacts : further contacts of the donors, sorted by `row`, their number (int64): `case`,
        `channel`, `day` as in `CONTACTS`
    volume : (n,) uint8, the donors' own volume class
    """

    stratum_start: np.ndarray
    subscribers: dict[str, np.ndarray]
    billing: dict[str, np.ndarray]
    rtm: dict[str, np.ndarray]
    contacts: dict[str, np.ndarray]
    volume: np.ndarray


@dataclass(frozen=True)
class PopulationTables:
    """What the population draws from.

    Attributes
    ----------
    n_start : lines that are with us at the start
    n_later : lines that join later; their ids follow
    hex_cum : (n_hex,) int64, cumulative weight by which lines live in a hex
    join_ms : span over which reserved lines join, ms
    employed : uint32 threshold
    volume_q : (65,) int64, data factor of each volume class, 1/1024
    spot_fence : (n_spots,) int16, geofence of the cell that mostly serves a spot; -1 none
    hex_work : (n_hex, 16) int32
    daily_mb : mean data of a line and day, MB
    silent : uint32 threshold, share of lines that are in a long silence at any moment
    silence_s : (1024,) int64 quantiles of the length of a silence, s
    """

    n_start: int
    n_later: int
    hex_cum: np.ndarray
    join_ms: int
    employed: np.uint32
    volume_q: np.ndarray
    activity_factor: np.ndarray
    spot_fence: np.ndarray
    hex_work: np.ndarray
    daily_mb: float
    silent: np.uint32
    silence_s: np.ndarray
    profile: ProfileTables


def homes(seed: int, subs: np.ndarray, tables: PopulationTables) -> np.ndarray:
    """Return (n,) int32 home hexes, by residents and the operator's share of them.

    Ids are cut into blocks of at most `BLOCK_LINES`, lines that join later apart.  In each block
    the homes are a stratified sample of all residents in the order of the hexes, which is that of
    a space-filling curve: neighbours by number are neighbours on the map, so that kernels walk
    the tables of places instead of jumping about, and equal ranges of blocks carry equal work.
    """
    words = rng.draws(seed, "home", subs)
    jitter = words[:, 0].astype(np.uint64)
    later = subs >= tables.n_start
    n_lines = np.where(later, tables.n_later, tables.n_start).astype(np.uint64)
    n_blocks = np.maximum(n_lines // np.uint64(BLOCK_LINES) + np.uint64(1), np.uint64(MIN_BLOCKS))
    row = np.where(later, subs - tables.n_start, subs).astype(np.uint64)
    # (row + jitter) / n_lines * n_blocks in 32.32 fixed point; the fraction places it in a block.
    where = row * n_blocks
    step = (where % n_lines << np.uint64(32)) // n_lines + (jitter * n_blocks) // n_lines
    place = (step & np.uint64(0xFFFFFFFF)) * np.uint64(tables.hex_cum[-1]) >> np.uint64(32)
    return np.searchsorted(tables.hex_cum, place.astype(np.int64), side="right").astype(np.int32)


def build_people(
    seed: int, first: int, last: int, tables: PopulationTables
) -> tuple[Columns, Columns]:
    """Return (profile, subscriber state) of lines, before any state is copied."""
    subs = np.arange(first, last, dtype=np.int64)
    home = homes(seed, subs, tables)
    profile = build_profile(seed, subs, home, tables.profile)
    state = Columns(people.STATE, len(subs))
    words = rng.draws(seed, "traits of a line", subs)
    machine = profile["segment"] == tables.profile.m2m_segment
    state["home"][:] = home
    activity = (words[:, 0] >> np.uint32(28)).astype(np.uint8)
    state["activity"][:] = np.where(machine, MACHINE_CLASS, activity)
    volume = (words[:, 1] >> np.uint32(26)).astype(np.uint8)
    state["volume"][:] = np.where(machine, N_VOLUME, volume)
    adult = (profile["age_band"] >= 1) & (profile["age_band"] <= 5) & ~machine
    works = adult & (words[:, 2] < tables.employed)
    state["work_slot"][:] = np.where(works, words[:, 3] & np.uint32(15), 255)
    for name in ("work_from", "work_to", "trip_from", "trip_to"):
        state[name][:] = 255
    state["travel_s"][:] = people.NEVER_S
    state["recharge_s"][:] = people.NEVER_S
    state["need_kind"][:] = FREE
    state["need_born_s"][:] = people.LONG_AGO_S
    state["satisfaction_q"][:] = 40_000
    state["silent_s"][:] = people.LONG_AGO_S
    since, until = silences(seed, subs, tables)
    state["silent_s"][:] = np.where(until > 0, until, people.LONG_AGO_S)
    reserved = subs >= tables.n_start
    state["life"][:] = np.where(reserved, people.LIFE_RESERVED, people.LIFE_HERE)
    join = rng.draws(seed, "joining", subs)[:, 0].astype(np.int64)
    join_s = (join * max(tables.join_ms // 1000, 1)) >> 32
    state["silent_s"][reserved] = join_s[reserved]
    state["due_s"][:] = np.where(reserved, people.NEVER_S, 0)
    return profile, state


def silences(
    seed: int, subs: np.ndarray, tables: PopulationTables
) -> tuple[np.ndarray, np.ndarray]:
    """Return (last event, end) of the silence that lines are in at the start, s; 0, 0 if none.

    A silence met at a random moment is longer than the mean one (length bias); its age is uniform.
    """
    words = rng.draws(seed, "silence at the start", subs)
    in_it = words[:, 0] < tables.silent
    weight = np.cumsum(tables.silence_s.astype(np.float64))
    place = words[:, 1] / 4294967296.0 * weight[-1]
    length = tables.silence_s[np.searchsorted(weight, place)]
    age = (length * (words[:, 2] / 4294967296.0)).astype(np.int64)
    return np.where(in_it, -age, 0), np.where(in_it, np.maximum(length - age, 1), 0)


def rough_billing(
    seed: int,
    first: int,
    profile: Columns,
    tables: Any,
    month: np.ndarray,
    activity: np.ndarray,
    reserved: np.ndarray,
    population: PopulationTables,
) -> Columns:
    """Return a rough start of the accounts: phases uniform, balances between two recharges.

    The pilot begins here; the run itself begins from what the pilot makes of it.
    """
    n = profile.n
    subs = np.arange(first, first + n, dtype=np.int64)
    words = rng.draws(seed, "accounts", subs)
    share = words.astype(np.float64) / 4294967296.0
    tariff = profile["tariff"]
    state = Columns(BILLING_STATE, n)
    period = tables.period_s[tariff]
    left = share[:, 0]
    state["cycle_s"][:] = np.maximum((left * period).astype(np.int64), 1)
    spending = month[tariff, activity]
    prepaid = tables.prepaid[tariff]
    state["balance_minor"][:] = np.where(
        prepaid,
        tables.low_minor + (share[:, 1] * spending * 0.6).astype(np.int64),
        -(spending * (1 - left) * 0.5).astype(np.int64),
    )
    keep = np.clip(left + 0.3 * (share[:, 2] - 0.3), 0, 1)
    state["data_left_kb"][:] = (tables.plan_kb[tariff] * keep).astype(np.int64)
    state["voice_left_s"][:] = (tables.plan_voice_s[tariff] * keep).astype(np.int64)
    state["sms_left"][:] = (tables.plan_sms[tariff] * keep).astype(np.int64)
    state["pack_s"][:] = BILL_NEVER
    state["bonus_day"][:] = 32_000
    state["active_day"][:] = -1 + silences(seed, subs, population)[0] // 86_400
    state["life"][:] = m.ACTIVE
    for name in ("balance_minor", "data_left_kb", "voice_left_s", "sms_left", "life"):
        state[name][reserved] = 0
    state["cycle_s"][reserved] = BILL_NEVER
    return state


def fresh_rtm(
    seed: int,
    first: int,
    profile: Columns,
    state: Columns,
    tables: PopulationTables,
    reserved: np.ndarray,
) -> Columns:
    """Return the live profile as the engine had learned it before the start.

    Where people sleep and work is learned from where phones are seen at night and by day; it is
    set here as the geofence of the cell that mostly serves those places.
    """
    out = Columns(rtm.STATE, profile.n)
    flags = profile["flags"]
    own = np.zeros(profile.n, np.uint8)
    pairs = ((CONSENT, rtm.CONSENT), (APP, rtm.APP), (BLACK, rtm.BLACK), (CONTROL, rtm.CONTROL))
    for bit, mine in pairs:
        own |= np.where(flags & bit, mine, 0).astype(np.uint8)
    out["flags"][:] = own | np.where(reserved, 0, rtm.ALIVE).astype(np.uint8)
    home, slot = state["home"], state["work_slot"]
    work = np.where(slot == 255, home, tables.hex_work[home, np.minimum(slot, 15)])
    out["night_fence"][:] = tables.spot_fence[home]
    out["work_fence"][:] = tables.spot_fence[work]
    out["cell"][:] = rtm.UNKNOWN_CELL
    out["fence"][:] = -1
    out["day"][:] = -1
    subs = np.arange(first, first + profile.n, dtype=np.int64)
    out["seen_s"][:] = silences(seed, subs, tables)[0]
    out["recent_case"][:] = rtm.NO_CASE
    out["recent_channel"][:] = 255
    out["owned_day"][:] = -1000
    factor = np.append(tables.activity_factor, 0.02)[state["activity"]]
    norm = tables.daily_mb * factor * tables.volume_q[state["volume"]] / 1024
    out["data_norm_mb"][:] = np.minimum(norm, 65_000)
    out["data_today_kb"][:] = np.minimum(norm, 65_000) * 1000
    return out


def copy_donors(
    seed: int,
    first: int,
    profile: Columns,
    subscribers: Columns,
    billing: Columns,
    engine: Columns,
    donors: Donors,
    tables: PopulationTables,
    reserved: np.ndarray,
) -> dict[str, np.ndarray]:
    """Overwrite the changing columns of lines by those of donors of their stratum, in place.

    A line takes the donor whose data volume has the same rank in the stratum, so that allowance
    and balance fit what the line uses.

    Returns
    -------
    contacts : rows of `CONTACTS`, the further contacts that the lines take over
    """
    stratum = profile["tariff"].astype(np.int64) * (N_ACTIVITY + 1) + subscribers["activity"]
    start, stop = donors.stratum_start[stratum], donors.stratum_start[stratum + 1]
    size = stop - start
    has = (size > 0) & ~reserved
    words = rng.draws(seed, "donor", np.arange(first, first + profile.n, dtype=np.int64))
    share, volume = words[:, 0] / 4294967296.0, subscribers["volume"]
    rank = np.where(volume < N_VOLUME, (volume + share) / N_VOLUME, share)
    row = (start + np.minimum((rank * size).astype(np.int64), np.maximum(size - 1, 0)))[has]
    for target, source in (
        (subscribers, donors.subscribers), (billing, donors.billing), (engine, donors.rtm),
    ):  # fmt: skip
        for name, column in source.items():
            target[name][has] = column[row]
    own = tables.volume_q[subscribers["volume"][has]]
    other = np.maximum(tables.volume_q[donors.volume[row]], 1)
    for name, most in (("data_norm_mb", 65_000), ("data_today_kb", 2_000_000_000)):
        engine[name][has] = np.minimum(engine[name][has].astype(np.int64) * own // other, most)
    return _contacts_of(donors.contacts, first + np.flatnonzero(has), row)


def _contacts_of(
    contacts: dict[str, np.ndarray], subs: np.ndarray, row: np.ndarray
) -> dict[str, np.ndarray]:
    """Return rows of `CONTACTS` for lines that each take those of one donor."""
    begin = np.searchsorted(contacts["row"], row)
    n = np.searchsorted(contacts["row"], row, side="right") - begin
    number = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    source = np.repeat(begin, n) + number
    out = {name: contacts[name][source] for name in ("case", "channel", "day")}
    return {"key": (np.repeat(subs, n).astype(np.int64) << 32) | number, **out}


@kernel
def settle(s, e, t, seed, lo):
    """Free the needs that a line would have served before the start, and wake its plans.

    Who is abroad at the start has been charged there before, as far as the engine (`e`) knows.
    A journey abroad of a donor is dropped where the line lives far from every airport.
    """
    for i in range(s.home.shape[0]):
        if t.hex_airport[s.home[i]] < 0 and not is_trip(t, seed, lo + i, s.travel_s[i]):
            s.travel_s[i] = people.NEVER_S
        if flight_spot(s, t, i, lo + i, seed, 0) == ABROAD:
            e.cell[i] = rtm.NO_CELL
            e.flags[i] |= np.uint8(rtm.ROAMED)
        for k in range(s.need_kind.shape[1]):
            kind = s.need_kind[i, k]
            if kind != FREE and organic_s(t, seed, lo + i, kind, s.need_born_s[i, k]) < 0:
                s.need_kind[i, k] = FREE
                s.need_born_s[i, k] = people.LONG_AGO_S


def plan_first_day(
    seed: int,
    first: int,
    profile: Columns,
    state: Columns,
    tables: Any,
    calendar: Calendar,
    counters: Any,
) -> None:
    """Give every line the diary of the day that the start falls into, unless it dawns at once."""
    local = calendar.region_shift_q + calendar.start_quarter
    now = local % 96
    life = state["life"].copy()
    silent, travel = state["silent_s"].copy(), state["travel_s"].copy()
    for shift in sorted({int(x) for x in now if x != 0}):
        regions = (now == shift).astype(np.uint8)
        example = int(np.argmax(regions))
        day = int(calendar.weekdays(0, 1)[example, 0])
        plan_day(
            state.view, profile.view, tables, rng.seed64(seed), first, day, -shift, regions,
            counters,
        )  # fmt: skip
    state["life"][:], state["silent_s"][:], state["travel_s"][:] = life, silent, travel


__all__ = [
    "PROFILE", "Donors", "PopulationTables", "build_people", "copy_donors", "fresh_rtm",
    "plan_first_day", "rough_billing", "settle",
]  # fmt: skip
