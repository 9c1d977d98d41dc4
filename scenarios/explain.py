"""One subscriber's day, told stage by stage, and proved by living it again alone.

A line is run again by itself from the broadcasts and messages that the run recorded; what it does
then must equal what was recorded.  It owns that second life and the telling.  It must not change
a run folder.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actors import messages as m
from actors.cells.actor import FULL
from actors.profile import AGE_BANDS, APP, CONSENT, CONTROL, DEVICES, PREPAID
from actors.rtm.params import SEGMENTS
from scenarios.attributes import profile
from scenarios.equilibrium import equilibrium
from scenarios.outputs import BOUND, decode_map
from scenarios.placing import line_roles, timeline_entries
from scenarios.runner import run as run_scenario
from scenarios.stages import message_of, stages, text, truth
from scenarios.world import World, build_world, load_geography
from sim.control.timeline import Timeline
from sim.core.actor import Rows
from sim.core.columns import Schema
from sim.core.errors import InvariantError, ScenarioError
from sim.core.partition import Partition
from sim.core.ticks import make_tick
from sim.record.store import open_run
from sim.record.tables import Decode, arrow_schema, to_arrow
from sim.record.tape import TAPE
from sim.runtime.host import Host

PROVED = ("activity", "account_events", "decisions")
"""Tables whose rows, in every column, must be those of the recorded life."""


@dataclass
class Explanation:
    """What `twin explain` shows.

    Attributes
    ----------
    recorded : False where the line was outside the sample, so that the run was made again
    day : rows with `time` and `what`, and more
    decisions : rows with `time`, `trigger`, `outcome` and `stages`
    attributes : of the profile 360, where asked for
    """

    sub: int
    run: str
    recorded: bool
    note: str
    profile: dict[str, Any]
    day: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    attributes: list[dict[str, Any]] = field(default_factory=list)


def explain(run_path: Path, sub: int, *, attributes: bool = False) -> Explanation:
    """Tell the life of a line in a run, after living it again alone.

    Parameters
    ----------
    attributes : every attribute of the profile 360 too, at the end of the run

    Raises
    ------
    ScenarioError : no such line, or the run was not made by this catalogue
    InvariantError : the second life differs from the recorded one
    """
    from scenarios import load

    loaded = load(run_path)
    geo = load_geography(loaded)
    world = build_world(loaded, geo, donors=equilibrium(loaded, geo, hosts=2))
    if not 0 <= sub < world.n_lines:
        raise ScenarioError(
            "there is no such line", path="--sub", found=sub, expected=f"0 to {world.n_lines - 1}"
        )
    if sub in world.plan.sampled:
        return _tell(run_path, world, sub, recorded=True, attributes=attributes)
    with open_run(run_path) as first:
        if "replay" in first.manifest:
            raise ScenarioError(
                "the line is outside the recorded sample, and what it replayed is not in the run",
                path="--sub", found=sub,
                expected=f"a line of the sample; or replay again with --set record.watch=[{sub}]",
            )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="twin-explain-") as folder:
        again = run_scenario(loaded, out=Path(folder) / "again", watch=(sub,))
        with open_run(run_path) as first:
            if again.manifest["state_digest"] != first.manifest["state_digest"]:
                raise InvariantError(
                    "the run made again differs from the recorded one",
                    values={"recorded": first.manifest["state_digest"],
                            "again": again.manifest["state_digest"]},
                )  # fmt: skip
        return _tell(
            again.path, world, sub, recorded=False, name=Path(run_path).name, attributes=attributes
        )


def _tell(
    path: Path,
    world: World,
    sub: int,
    *,
    recorded: bool,
    name: str | None = None,
    attributes: bool = False,
) -> Explanation:
    with open_run(path) as run:
        tables = {table: _rows(run, table, sub) for table in (
            "activity", "account_events", "decisions", "contacts", "calls", "recorded", "replayed",
            "grants",
        )}  # fmt: skip
        quality = _quality(run)
        replay = run.manifest.get("replay")
        bound = BOUND in run.tables and len(run.sql(f"SELECT sub FROM {BOUND} WHERE sub = {sub}"))
    world = dataclasses.replace(
        world, plan=dataclasses.replace(world.plan, sampled=np.array([sub], np.int64))
    )
    if replay is not None and replay["mapping"] == TAPE:
        taped = dataclasses.replace(world.subscribers, taped=True)
        world = dataclasses.replace(world, subscribers=taped)
    elif replay is not None and bound:
        world = dataclasses.replace(
            world,
            subscribers=dataclasses.replace(
                world.subscribers, bound=np.array([sub], np.int64), bound_mask=replay["mask"]
            ),
        )
    host, lived = live_alone(world, sub, tables, quality)
    # What is told follows the second life: it knows which of two rows of one moment came first.
    tables |= {
        table: prove(table, lived.get(table, {}), tables[table], decode_map(world.labels))
        for table in PROVED
    }
    n = sum(len(tables[table]) for table in PROVED)
    who = _profile(host, world)
    return Explanation(
        sub,
        name or Path(path).name,
        recorded,
        f"lived again alone: {n} rows, every one as recorded",
        who,
        _day(world, tables),
        _decisions(world, tables),
        _attributes(host, world, lived.get("activity", {})) if attributes else [],
    )


def _attributes(host: Host, world: World, rows: Rows) -> list[dict[str, Any]]:
    """Return every attribute of the line at the end of the run, from its second life."""
    if not rows:
        rows = {f.name: np.zeros(0, np.int64) for s in (m.ACTIVITY, m.RATED) for f in s.fields}
    subscribers, _, _ = line_roles(host.roles[0])
    calendar, now_ms = world.clock.calendar, world.clock.end_ms
    region = int(subscribers.profile["region"][0])
    shift = int(calendar.region_shift_q[region]) + calendar.start_quarter
    since_midnight = (now_ms // 900_000 + shift) % 96 * 900_000 + now_ms % 900_000
    return profile(rows, now_ms=now_ms, midnight_ms=now_ms - since_midnight)


def _rows(run: Any, table: str, sub: int) -> Any:
    """Return the recorded rows of a line as a data frame, by time."""
    if table not in run.tables:
        import pandas as pd

        return pd.DataFrame()
    rows = run.sql(f"select * from {table} where sub = {int(sub)}")
    # Rows of one moment stay in the order of the file, which a database does not keep.
    return rows.sort_values("ts_ms", kind="stable", ignore_index=True)


def _quality(run: Any) -> dict[int, dict[str, np.ndarray]]:
    """Return, for each tick, the cells that offered less than everything after it."""
    if "quality" not in run.tables:
        return {}
    frame = run.sql("select * from quality order by tick, cell")
    return {
        int(tick): {name: part[name].to_numpy() for name in part.columns if name != "tick"}
        for tick, part in frame.groupby("tick")
    }


def _codes(world: World) -> dict[str, tuple[str, ...]]:
    """Return the names behind the codes of a delivery and of a call."""
    return {
        "use_case": world.labels["use_case"],
        "channel": world.labels["channel"],
        "status": m.STATUSES,
        "reason": m.CALL_REASONS,
        "result": m.CALL_RESULTS,
        "centre": world.labels["centre"],
    }


def _arrived(
    schema: Schema, frame: Any, tick: int, codes: dict[str, tuple[str, ...]]
) -> dict[str, Rows]:
    """Return the recorded rows that reached a line at the start of a tick, as codes."""
    part = frame[frame["tick"] == tick] if len(frame) else frame
    if not len(part):
        return {}
    rows: Rows = {}
    for column in schema.fields:
        values = part[column.name]
        if column.name in codes:
            values = [codes[column.name].index(str(v)) for v in values]
        rows[column.name] = np.array(values, np.dtype(column.dtype))
    return {schema.name: rows}


def live_alone(
    world: World,
    sub: int,
    tables: dict[str, Any],
    quality: dict[int, dict[str, np.ndarray]],
) -> tuple[Host, dict[str, dict[str, np.ndarray]]]:
    """Run one line by itself through the whole run and return its host and recorded rows.

    Parameters
    ----------
    tables : recorded rows of the line: its messages (`contacts`), and what it replayed
    quality : recorded cell quality, by the tick after which it was broadcast
    """
    host = Host(world.plan, [Partition(0, sub, sub + 1)], world.build)
    timeline = Timeline(timeline_entries(world, world.scenario))
    kept: dict[str, list[dict[str, np.ndarray]]] = {}
    grant_codes = {"quest": world.labels["quest"], "kind": m.GRANTS}
    for index in range(world.clock.n_ticks):
        tick = make_tick(
            index,
            tick_ms=world.clock.tick_ms,
            end_ms=world.clock.end_ms,
            calendar=world.clock.calendar,
        )
        commands = timeline.advance(tick.end_ms)
        arrays = {"CellQuality": broadcast(world.plan.n_cells, quality.get(index - 1))}
        arrived = _arrived(m.DELIVERY, tables["contacts"], index, _codes(world))
        arrived |= _arrived(m.CALL_OUTCOME, tables["calls"], index, _codes(world))
        arrived |= _arrived(m.GRANT, tables["grants"], index, grant_codes)
        arrived |= _arrived(m.RECORDED, tables["recorded"], index, {})
        arrived |= _arrived(m.REPLAYED, tables["replayed"], index, {})
        result = host.tick(tick, arrived, arrays, commands, None)
        for table, rows in result.samples.items():
            kept.setdefault(table, []).append(rows)
    return host, {
        table: {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
        for table, parts in kept.items()
    }


def broadcast(n_cells: int, rows: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return the cell quality of a tick from its recorded rows."""
    out = {
        "throughput_q": np.full(n_cells, FULL, np.uint16),
        "voice_block_q": np.zeros(n_cells, np.uint16),
        "available": np.ones(n_cells, np.uint8),
    }
    if rows is not None:
        for name, array in out.items():
            array[rows["cell"]] = rows[name]
    return out


def prove(table: str, lived: Rows, recorded: Any, decode: Decode) -> Any:
    """Compare a second life with the recorded one, row for row, and return it as a data frame.

    A file keeps no order among the rows of one moment, so both are put in the same order first.

    Parameters
    ----------
    lived : its rows as codes, without the column `tick`
    recorded : data frame of the recorded rows, as names
    decode : names of the codes
    """
    n = len(lived["ts_ms"]) if lived else 0
    if n != len(recorded):
        raise InvariantError(
            "the second life differs",
            values={"table": table, "rows": n, "recorded rows": len(recorded)},
        )
    if not n:
        return recorded
    schema = arrow_schema(table, {name: a.dtype for name, a in lived.items()}, (), decode)
    ticks = np.zeros(n, np.int32)
    frame = to_arrow(table, schema, ticks, lived, decode).to_pandas()
    mine = _ordered(frame)
    theirs = _ordered(recorded)
    for name in mine:
        wrong = np.flatnonzero(mine[name] != theirs[name])
        if len(wrong):
            row = int(wrong[0])
            raise InvariantError(
                "the second life differs",
                values={"table": table, "column": name, "row": row,
                        "recorded": theirs[name][row], "lived": mine[name][row]},
            )  # fmt: skip
    return frame


def _ordered(frame: Any) -> dict[str, np.ndarray]:
    """Return the columns of a data frame in an order that depends on what the rows say alone."""
    columns = {
        name: frame[name].to_numpy()
        if frame[name].dtype.kind in "iub"
        else np.array([text(value) for value in frame[name]])
        for name in frame.columns
        if name != "tick"
    }
    rest = sorted(name for name in columns if name != "ts_ms")
    order = np.lexsort([*(columns[name] for name in reversed(rest)), columns["ts_ms"]])
    return {name: array[order] for name, array in columns.items()}


def _profile(host: Host, world: World) -> dict[str, Any]:
    subscribers, billing, _ = line_roles(host.roles[0])
    profile = subscribers.profile
    flags = int(profile["flags"][0])
    satisfaction = int(subscribers.columns["satisfaction_q"][0]) / 65_535
    tariffs = list(world.scenario.catalog.tariffs)
    return {
        "tariff": tariffs[int(profile["tariff"][0])],
        "segment": SEGMENTS[int(profile["segment"][0])],
        "payment": "prepaid" if flags & PREPAID else "postpaid",
        "age": AGE_BANDS[int(profile["age_band"][0])],
        "device": DEVICES[int(profile["device"][0])],
        "tenure": f"{int(profile['tenure_days'][0])} days",
        "marketing consent": "yes" if flags & CONSENT else "no",
        "our app": "yes" if flags & APP else "no",
        "universal control": "yes" if flags & CONTROL else "no",
        "balance at the end": f"{int(billing.columns['balance_minor'][0]) / 100:.2f} "
        f"{world.scenario.money.currency}",
        "satisfaction at the end (latent)": f"{satisfaction:.2f}",
    }


def _day(world: World, tables: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what happened, in the order of time."""
    rows: list[tuple[int, dict[str, Any]]] = []
    clock = world.clock.calendar.clock
    for row in _records(tables["activity"]):
        rows.append((int(row["ts_ms"]), {
            "time": clock(int(row["ts_ms"])),
            "what": f"{row['kind']} {text(row.get('code'))}".strip(),
            "cell": text(row.get("cell")), "units": text(row.get("units")),
            "charged": _money(row.get("charged_minor")),
            "balance": _money(row.get("balance_after_minor")), "result": text(row.get("result")),
        }))  # fmt: skip
    for row in _records(tables["account_events"]):
        rows.append((int(row["ts_ms"]), {
            "time": clock(int(row["ts_ms"])), "what": f"account: {row['kind']}",
            "units": text(row["value"]), "balance": _money(row["balance_after_minor"]),
        }))  # fmt: skip
    for row in _records(tables["contacts"]):
        rows.append((int(row["ts_ms"]), {
            "time": clock(int(row["ts_ms"])),
            "what": f"message {row['use_case']} by {row['channel']}: {row['status']}",
        }))  # fmt: skip
    for row in _records(tables["calls"]):
        rows.append((int(row["ts_ms"]), {
            "time": clock(int(row["ts_ms"])),
            "what": f"call about {row['reason']}: {row['result']} after "
            f"{int(row['wait_ms']) / 1000:.0f} s",
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _decisions(world: World, tables: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every decision, stage by stage, with what became of it and what was true."""
    clock, currency = world.clock.calendar.clock, world.scenario.money.currency
    out = []
    for row in _records(tables["decisions"]):
        sent = message_of(row, tables["contacts"])
        told = stages(row, sent, currency=currency, words=str)
        told += [
            (f"truth: {name.lower()}", said, "") for name, said in truth(sent, clock, currency)
        ]
        out.append({
            "time": clock(int(row["ts_ms"])), "trigger": text(row["trigger"]),
            "outcome": text(row["reason"]), "stages": told,
        })  # fmt: skip
    return out


def _records(frame: Any) -> list[dict[str, Any]]:
    return frame.to_dict("records") if len(frame) else []


def _money(value: Any) -> str:
    return "" if value is None or value != value else f"{int(value) / 100:.2f}"
