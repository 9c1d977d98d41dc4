"""The equilibrium of the start: a pilot run whose lines lend their state to the first day.

It owns the pilot (a few thousand lines over several weeks), the rebasing of its moments, and the
cache of its result.  It must not know how a run is recorded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm.state import ANSWERED, CHANNEL_MASK, NO_CASE
from actors.subscribers import state as people
from actors.subscribers.tables import N_ACTIVITY
from geo.geography import Geography
from scenarios.loader import load_source, overrides_of
from scenarios.placing import line_roles
from scenarios.population import Donors
from scenarios.world import World, build_world, cache_dir
from sim.control.timeline import Timeline
from sim.core.partition import assign_hosts, make_partitions
from sim.core.rng import name_id
from sim.runtime.coordinator import Loop
from sim.runtime.embedded import EmbeddedRuntime, TickOutcome

PILOT_TICK_S = 3600
WEEK_MS = 7 * 86_400_000
SNAPSHOTS = 3
"""The pilot's last weeks lend their state at the weekday and hour of the start."""
GROUPS = ("subscribers", "billing", "rtm", "contacts")
"""Tables of donors in a cached pilot."""
FORGET = 200_000_000
"""Moments further away than this, s, are marks such as `never`, and are not rebased."""

_PEOPLE = (
    "need_kind", "need_born_s", "silent_s", "recharge_s", "travel_s", "fatigue_q", "fatigue_h",
    "trust_q", "satisfaction_q", "life", "trip_slot",
)  # fmt: skip
_MONEY = (
    "balance_minor", "bonus_minor", "bonus_day", "data_left_kb", "pack_left_kb", "pack_s",
    "voice_left_s", "sms_left", "cycle_s", "debt_minor", "active_day", "life", "marks",
)  # fmt: skip
_ENGINE = (
    "seen_s", "day", "data_norm_mb", "data_today_kb", "recent_case", "recent_channel",
    "recent_day", "owned_day",
)  # fmt: skip


def pilot_of(loaded: Any) -> Any:
    """Return the pilot's scenario: the same world, a few lines, no timeline, no congestion.

    Sections under `population.pilot` stand in the place of the scenario's own.
    """
    pop = loaded.model.population
    before = load_source(loaded.source, loaded.overrides + overrides_of(pop.pilot))
    return before.with_(
        subscribers=pop.donors,
        days=float(pop.donor_days),
        tick_s=PILOT_TICK_S,
        **{
            "population.pilot": {},
            "seed": name_id("pilot"),
            "timeline": [],
            "catalog.campaigns": [],
            "population.represents": 1,
            "rtm.withhold": [],
            "contact_centre.enabled": False,
            "rtm.enabled": True,
            "rtm.learning.enabled": False,
            "rtm.arbitration": "propensity",
            "placement.partitions": 0,
            "record.watch": [],
            "record.sample": 0.0,
        },
    )


def cache_key(loaded: Any, pilot: Any) -> str:
    """Return the key of a pilot: what it is made of, and the code that makes it."""
    digest = hashlib.sha256()
    model = pilot.model.model_dump(
        mode="json",
        exclude={
            **dict.fromkeys(("placement", "record", "title", "question", "scenario"), True),
            "money": {"costs"},
        },
    )
    represents = loaded.model.population.represents or loaded.model.population.subscribers
    digest.update(json.dumps([model, represents], sort_keys=True).encode())
    root = Path(__file__).parent.parent
    for folder in ("actors", "sim/core", "sim/runtime", "geo", "scenarios"):
        for path in sorted((root / folder).rglob("*.py")):
            if "report" not in path.parts and not path.name.startswith(("cli", "kpis")):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def equilibrium(
    loaded: Any, geo: Geography, *, hosts: int, done: Callable[[int, int], None] | None = None
) -> Donors | None:
    """Return the donors of a scenario, from the cache or by running the pilot.

    Parameters
    ----------
    hosts : threads that the pilot may use; changes nothing but the time it takes
    done : called after each hour of the pilot with (1, hours in all)
    """
    if loaded.model.population.donor_days == 0:
        return None
    pilot = pilot_of(loaded)
    path = cache_dir() / f"pilot-{cache_key(loaded, pilot)}.npz"
    if path.is_file():
        try:
            return _renamed(_read(path), pilot, loaded)
        except (OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)
    donors = run_pilot(pilot, geo, hosts=hosts, done=done)
    _write(path, donors)
    return _renamed(donors, pilot, loaded)


def _renamed(donors: Donors, pilot: Any, loaded: Any) -> Donors:
    """Return donors whose remembered use cases have the numbers that the scenario gives them.

    A contact for a use case that the scenario does not know is forgotten.
    """
    before, now = pilot.catalogue, loaded.catalogue
    if list(before.offers) == list(now.offers) and list(before.channels) == list(now.channels):
        return donors
    case = _numbers(list(before.offers), list(now.offers), 1 << 16)
    way = _numbers(list(before.channels), list(now.channels), 128)

    def renamed(cases: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        told, bit = way[channels & CHANNEL_MASK], channels & ANSWERED
        known = case[cases] != NO_CASE
        # A channel that is no more counts for no cap; its number is that of one who asks himself.
        told = np.where(told < 128, told, len(now.channels))
        return case[cases], np.where(known, told | bit, 255).astype(np.uint8)

    cases, channels = renamed(donors.rtm["recent_case"], donors.rtm["recent_channel"])
    days = donors.rtm["recent_day"]
    # Contacts that name none leave no gap before older ones.
    order = np.argsort(cases == NO_CASE, axis=1, kind="stable")
    recent = {
        name: np.take_along_axis(array, order, axis=1)
        for name, array in (
            ("recent_case", cases), ("recent_channel", channels), ("recent_day", days),
        )
    }  # fmt: skip
    more = donors.contacts
    cases, channels = renamed(more["case"], more["channel"])
    kept = cases != NO_CASE
    contacts = {**more, "case": cases, "channel": channels}
    return dataclasses.replace(
        donors,
        rtm={**donors.rtm, **recent},
        contacts={name: array[kept] for name, array in contacts.items()},
    )


def _numbers(before: list[str], now: list[str], room: int) -> np.ndarray:
    """Return (room,) uint16: the number that each entry has now, `NO_CASE` where it has none."""
    number = np.full(room, NO_CASE, np.uint16)
    for i, name in enumerate(before):
        if name in now:
            number[i] = now.index(name)
    return number


def run_pilot(
    pilot: Any, geo: Geography, *, hosts: int, done: Callable[[int, int], None] | None = None
) -> Donors:
    """Run the pilot and return the state of its lines in its last weeks."""
    world = build_world(pilot, geo, sampled=np.zeros(0, np.int64))
    partitions = make_partitions(world.n_lines, max(hosts, 1))
    runtime = EmbeddedRuntime(
        world.plan, assign_hosts(partitions, hosts), world.build, world.make_globals()
    )
    # Each simulated line stands for one real line in a network built for many: no congestion.
    kept: list[dict[str, dict[str, np.ndarray]]] = []
    wanted = {world.clock.end_ms - k * WEEK_MS for k in range(SNAPSHOTS)}
    wanted = {ms for ms in wanted if ms > 0} or {world.clock.end_ms}
    n_hours = -(-world.clock.end_ms // world.clock.tick_ms)

    def look(index: int, _: TickOutcome) -> None:
        now_ms = min((index + 1) * world.clock.tick_ms, world.clock.end_ms)
        if now_ms in wanted:
            kept.append(_look(runtime, now_ms))
        if done is not None:
            done(1, n_hours)

    loop = Loop(
        runtime, world.clock, Timeline([]), (), _Nothing(), digest_stride=1 << 40, on_tick=look
    )
    loop.run()
    runtime.close()
    return _sorted_donors(world, kept)


class _Nothing:
    """Takes the record of the pilot, which nobody needs."""

    def on_tick(
        self, tick: int, start_ms: int, tally: Any, samples: Any, digests: Any, audit: Any
    ) -> None:
        """Forget it."""


def _look(runtime: EmbeddedRuntime, now_ms: int) -> dict[str, dict[str, np.ndarray]]:
    """Return the lines that may lend their state, with moments relative to now."""
    now_s, now_day, now_h = now_ms // 1000, now_ms // 86_400_000, now_ms // 3_600_000
    parts: list[dict[str, dict[str, np.ndarray]]] = []
    for host in runtime.hosts:
        for subscribers, billing, engine in map(line_roles, host.roles):
            life = billing.columns["life"]
            fit = (subscribers.columns["life"] & people.LIFE_MASK) == people.LIFE_HERE
            fit &= (life == m.ACTIVE) | (life == m.SUSPENDED_LINE)
            part = {
                "people": {n: subscribers.columns[n][fit].copy() for n in _PEOPLE},
                "money": {n: billing.columns[n][fit].copy() for n in _MONEY},
                "engine": {n: engine.columns[n][fit].copy() for n in _ENGINE},
                "contacts": _contacts(engine, fit, sum(len(p["key"]["tariff"]) for p in parts)),
                "key": {
                    "tariff": subscribers.profile["tariff"][fit].copy(),
                    "activity": subscribers.columns["activity"][fit].copy(),
                    "volume": subscribers.columns["volume"][fit].copy(),
                },
            }
            parts.append(part)
    joined = {
        group: {n: np.concatenate([p[group][n] for p in parts]) for n in parts[0][group]}
        for group in parts[0]
    }
    _rebase(joined["people"], ("need_born_s", "silent_s", "recharge_s", "travel_s"), now_s)
    _rebase(joined["people"], ("fatigue_h",), now_h)
    _rebase(joined["money"], ("pack_s", "cycle_s"), now_s)
    _rebase(joined["money"], ("active_day",), now_day)
    bonus = joined["money"]["bonus_day"]
    bonus[bonus < 32_000] -= np.int16(now_day)
    _rebase(joined["engine"], ("seen_s",), now_s)
    _rebase(joined["engine"], ("day", "owned_day"), now_day)
    recent = joined["engine"]["recent_day"].astype(np.int64) - now_day
    joined["engine"]["recent_day"] = (recent & 255).astype(np.uint8)
    then = joined["contacts"]["day"].astype(np.int64) - now_day
    joined["contacts"]["day"] = (then & 255).astype(np.uint8)
    return joined


def _contacts(engine: Any, fit: np.ndarray, before: int) -> dict[str, np.ndarray]:
    """Return the further contacts of fit lines; `row` counts these, after `before` others."""
    rows = engine.contacts.sorted_rows()
    line = (rows.pop("key") >> 32) - engine.first
    kept = fit[line]
    number = np.cumsum(fit) - 1 + before
    return {"row": number[line[kept]], **{name: a[kept] for name, a in rows.items()}}


def _rebase(columns: dict[str, np.ndarray], names: tuple[str, ...], now: int) -> None:
    for name in names:
        column = columns[name]
        wide = column.astype(np.int64)
        near = np.abs(wide) < FORGET
        columns[name] = np.where(near, wide - now, wide).astype(column.dtype)


def _sorted_donors(world: World, kept: list[dict[str, dict[str, np.ndarray]]]) -> Donors:
    """Return all kept lines sorted by stratum and volume."""
    before = 0
    for part in kept:
        part["contacts"]["row"] += before
        before += len(part["key"]["tariff"])
    joined = {
        group: {n: np.concatenate([k[group][n] for k in kept]) for n in kept[0][group]}
        for group in kept[0]
    }
    key = joined["key"]
    stratum = key["tariff"].astype(np.int64) * (N_ACTIVITY + 1) + key["activity"]
    order = np.lexsort((key["volume"], stratum))
    n_strata = len(world.billing.tables.fee_minor) * (N_ACTIVITY + 1)
    start = np.searchsorted(stratum[order], np.arange(n_strata + 1))

    def sort(group: str) -> dict[str, np.ndarray]:
        return {name: column[order] for name, column in joined[group].items()}

    contacts = joined["contacts"]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row = place[contacts["row"]]
    by_row = np.argsort(row, kind="stable")
    return Donors(
        start, sort("people"), sort("money"), sort("engine"),
        {name: a[by_row] for name, a in {**contacts, "row": row}.items()}, key["volume"][order],
    )  # fmt: skip


def _write(path: Path, donors: Donors) -> None:
    flat: dict[str, Any] = {"stratum_start": donors.stratum_start, "volume": donors.volume}
    for group in GROUPS:
        flat |= {f"{group}.{n}": a for n, a in getattr(donors, group).items()}
    temporary = path.with_suffix(f".{np.random.SeedSequence().entropy:x}.tmp")
    with temporary.open("wb") as handle:
        np.savez_compressed(handle, **flat)
    temporary.rename(path)


def _read(path: Path) -> Donors:
    groups: dict[str, dict[str, np.ndarray]] = {name: {} for name in GROUPS}
    with np.load(path, allow_pickle=False) as data:
        for name in data.files:
            if "." in name:
                group, column = name.split(".", 1)
                groups[group][column] = data[name]
        return Donors(data["stratum_start"], **groups, volume=data["volume"])


__all__ = ["equilibrium", "pilot_of", "run_pilot"]
