"""From a spool to bound lines: which line replays which recorded subscriber, tick by tick.

It owns the binding of recorded subscribers to lines and of recorded cells to simulated ones.  It
must not know how files were read, nor what a line does with a row.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from actors.profile import build_profile
from actors.subscribers.replay import DATA, PLACE, TEXT, TOPUP, VOICE
from scenarios.population import homes
from scenarios.replay.mapping import Mapping, load_mapping
from scenarios.world import World, cache_dir, load_geography
from sim.core.errors import ScenarioError
from sim.core.ticks import DAY_MS, Tick
from sim.record.source import Source
from sim.record.source_spec import DERIVED
from sim.record.source_spool import Spool
from sim.record.source_time import zone_of

NEAR_KM = 30.0
"""A recorded cell stands for the nearest simulated one within this distance, km."""
CHUNK = 200_000
SLICE_ROWS_MAX = 1 << 20
"""Rows of a slice at most: 60 MB, whatever a recording has in a tick."""
DATA_DIR = Path(__file__).parent / "data"
KINDS = {"voice": VOICE, "sms": TEXT, "data": DATA, "topup": TOPUP, "location": PLACE}


def secret() -> bytes:
    """Return the key of the pseudonyms: made once, kept in the cache, readable to no other."""
    path = cache_dir() / "pseudonyms.key"
    if not path.is_file():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


@dataclass
class Feed:
    """A recording that drives bound lines.

    Attributes
    ----------
    spool : rows by time
    mapping : what the files meant
    line_of : (n_subscribers,) int64, line of each recorded subscriber; made by `bind`
    cell_of : (n_cells,) int32, simulated cell of each recorded one; -1 none
    mask : bits of the kinds that are replayed
    end_ms : end of a run that is shorter than the recording; None: it runs to the end
    """

    spool: Spool
    mapping: Mapping
    line_of: np.ndarray | None = None
    cell_of: np.ndarray | None = None
    mask: int = 0
    end_ms: int | None = None

    @property
    def source(self) -> Callable[[Tick], dict[str, Any]]:
        """Return what gives the loop its recorded rows."""
        return self.rows_for

    @property
    def digest(self) -> str:
        """Return the digest of the recorded rows."""
        return str(self.spool.manifest["digest"])

    def start(self, loaded: Any) -> datetime:
        """Return the local time at which the recording starts, naive.

        Where the mapping names no zone, because every time carries its own offset, the clock of the
        scenario's largest region counts.
        """
        moment = datetime.fromtimestamp(self.spool.start_ms / 1000, UTC)
        if self.mapping.zone:
            return moment.astimezone(zone_of(self.mapping.zone)).replace(tzinfo=None)
        quarters = load_geography(loaded).clock_tz_q
        return moment.replace(tzinfo=None) + timedelta(minutes=15 * quarters)

    @property
    def days(self) -> float:
        """Return the length of the recording, days, up to the next full hour."""
        hours = -(-self.spool.end_ms // 3_600_000)
        return hours * 3_600_000 / DAY_MS

    def account(self) -> dict[str, Any]:
        """Return what the manifest says of the replay: rows read = applied + quarantined.

        Rows after the end of a run that is shorter than its recording are left out for that reason.
        """
        counts = {**self.spool.counts, "reasons": dict(self.spool.counts["reasons"])}
        late = self._after(self.end_ms)
        if late:
            counts["applied"] -= late
            counts["quarantined"] += late
            counts["reasons"]["after_the_end"] = late
        return {
            "mapping": self.mapping.mapping,
            "digest": self.digest,
            "subscribers": self.spool.n_subscribers,
            **{k: counts[k] for k in ("rows_read", "applied", "derived", "quarantined", "reasons")},
            "placeless": self.spool.placeless,
            "two_sides": self.spool.two_sides,
            "gaps": self.spool.gaps,
            "mask": self.mask,
        }

    def scenario(self, loaded: Any, *, days: float | None) -> Any:
        """Return the scenario set to the time of the recording.

        The clock starts at the local time of the recording; without `days` it runs to its end.
        """
        start = self.start(loaded)
        if start.minute % 15 or start.second:
            start -= timedelta(minutes=start.minute % 15, seconds=start.second)
        if days is not None and days < self.days:
            self.end_ms = round(days * DAY_MS)
        return loaded.with_(
            days=min(days or self.days, self.days),
            **{"clock.start": start.strftime("%Y-%m-%dT%H:%M")},
        )

    def bind(self, world: World) -> World:
        """Bind every recorded subscriber to a line of a person, and return the world that knows it.

        Lines are taken evenly over all ids, and so evenly over the territory: ids follow space.
        """
        wanted = self.spool.n_subscribers
        step = max(world.n_start // max(wanted, 1), 1)
        people = _people(world, step)
        while len(people) < wanted and step > 1:
            step //= 2
            people = _people(world, step)
        if len(people) < wanted:
            raise ScenarioError(
                "the population is smaller than the recording", path="population.subscribers",
                found=f"{len(people)} people",
                expected=f"at least {wanted}; set --subscribers",
            )  # fmt: skip
        self.line_of = people[np.arange(wanted) * len(people) // max(wanted, 1)]
        self.cell_of = self._cells(world)
        self.mask = sum(1 << KINDS[kind] for kind in self.kinds())
        subscribers = dataclasses.replace(
            world.subscribers, bound=np.sort(self.line_of), bound_mask=self.mask
        )
        spans = merged((int(g["from_ms"]), int(g["to_ms"])) for g in self.spool.gaps)
        engine = dataclasses.replace(world.rtm, bound=np.sort(self.line_of), gaps_ms=spans)
        # A slice holds four rows for each recorded one: enough for a line that has all of a tick.
        room = min(4 * self._rows_in_a_tick(world.clock.tick_ms), SLICE_ROWS_MAX)
        rows = max(world.plan.slice_rows, room)
        plan = dataclasses.replace(world.plan, slice_rows=rows)
        return dataclasses.replace(world, subscribers=subscribers, rtm=engine, plan=plan)

    def _rows_in_a_tick(self, tick_ms: int) -> int:
        """Return a bound on the recorded rows of one tick: those of its busiest hours."""
        hours = np.zeros(self.spool.end_ms // 3_600_000 + 2, np.int64)
        for piece in self.spool.manifest["pieces"]:
            hours[max(int(piece["from_ms"]), 0) // 3_600_000] += int(piece["rows"])
        return int(hours.max()) * -(-tick_ms // 3_600_000)

    def _after(self, end_ms: int | None) -> int:
        """Return the rows of the files, derived ones aside, at or after a moment."""
        n = 0
        if end_ms is not None:
            for first in range(end_ms, self.spool.end_ms, DAY_MS):
                rows = self.spool.rows_for(first, min(first + DAY_MS, self.spool.end_ms))
                n += int(((rows["flags"] & DERIVED) == 0).sum())
        return n

    def kinds(self) -> list[str]:
        """Return the kinds of rows that the recording has: they replace the drawn ones."""
        return [k for k in KINDS if int(self.spool.manifest["types"].get(k, 0)) > 0]

    def rows_for(self, tick: Tick) -> dict[str, Any]:
        """Return the recorded rows of a tick as `Recorded`, sorted by (sub, time)."""
        assert self.line_of is not None and self.cell_of is not None
        rows = self.spool.rows_for(tick.start_ms, tick.end_ms)
        sub = self.line_of[rows["source_sub"]].astype(np.int32)
        cell = np.full(len(sub), -1, np.int32)
        known = rows["cell"] >= 0
        cell[known] = self.cell_of[rows["cell"][known]]
        table = {
            "sub": sub,
            "ts_ms": rows["ts_ms"].astype(np.int64),
            "type": rows["type"].astype(np.uint8),
            "direction": rows["direction"].astype(np.uint8),
            "units": rows["units"].astype(np.int64),
            "cell": cell,
            "amount_minor": rows["amount_minor"].astype(np.int64),
        }
        order = np.lexsort((rows["key"], table["type"], table["ts_ms"], table["sub"]))
        return {"Recorded": {name: array[order] for name, array in table.items()}}

    def _cells(self, world: World) -> np.ndarray:
        """Return the simulated cell nearest to each recorded one, -1 where none is near."""
        cells = self.spool.cells()
        out = np.full(len(cells["lat"]), -1, np.int32)
        geo = world.geo
        if geo is None:
            return out
        for k, (lat, lon) in enumerate(zip(cells["lat"], cells["lon"], strict=True)):
            if lat != lat or lon != lon:
                continue
            dx = (geo.cell_lon - lon) * np.cos(np.radians(lat)) * 111.32
            dy = (geo.cell_lat - lat) * 111.32
            far = dx * dx + dy * dy
            best = int(np.argmin(far))
            if far[best] <= NEAR_KM**2:
                out[k] = best
        return out


def _people(world: World, step: int) -> np.ndarray:
    """Return (n,) int64, every `step`-th line of the start that is no machine."""
    found = []
    for first in range(0, world.n_start, CHUNK * step):
        subs = np.arange(first, min(first + CHUNK * step, world.n_start), step, dtype=np.int64)
        home = homes(world.seed, subs, world.population)
        profile = build_profile(world.seed, subs, home, world.population.profile)
        found.append(subs[profile["segment"] != world.population.profile.m2m_segment])
    return np.concatenate(found)


def merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the union of spans as spans that do not touch, sorted."""
    out: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return tuple(out)


def open_feed(
    events: Path,
    mapping: str | Path,
    *,
    bad_share_max: float = 0.01,
    on_progress: Callable[[int, int], None] | None = None,
) -> Feed:
    """Read a recording into a spool in the cache, or open the one that is there already.

    Parameters
    ----------
    events : a file or a folder, or the name of a shipped recording (copenhagen, flowkit), whose
        mapping is then the default
    mapping : name of a shipped mapping, or the path of one
    bad_share_max : largest share of rows that may be left out for a fault
    """
    shipped = DATA_DIR / str(events)
    if not Path(events).exists() and str(events).isidentifier() and shipped.is_dir():
        events, mapping = shipped, str(events) if mapping == "standard" else mapping
    found = load_mapping(mapping)
    recording = found.recording(bad_share_max=bad_share_max)
    source = Source(recording, events)
    source.check()
    # Whatever a spool is made of is in its name: files that were edited are read anew.
    key = f"{Path(events).resolve()}|{source.fingerprint()}"
    folder = cache_dir() / "spools" / hashlib.sha256(key.encode()).hexdigest()[:24]
    folder.parent.mkdir(exist_ok=True)
    return Feed(source.spool(folder, secret=secret(), on_progress=on_progress), found)
