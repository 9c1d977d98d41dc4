"""One row for every line at the end of a run: what tells two runs apart, subscriber by subscriber.

It owns the content of `lines.parquet` (`record.line_digests`).  It must not know how two runs are
compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.profile import build_profile
from actors.rtm.params import SEGMENTS
from scenarios.placing import line_roles
from scenarios.population import homes
from scenarios.world import LINES_AT_ONCE, World
from sim.core.columns import Columns, Ids
from sim.core.errors import InvariantError
from sim.core.partition import Partition
from sim.core.sparse import Sparse
from sim.runtime.embedded import EmbeddedRuntime, Runtime


def line_table(world: World, runtime: Runtime) -> dict[str, np.ndarray]:
    """Return the columns of `lines.parquet`, one row for each line in the order of `sub`.

    `digest` (uint64) is the sum of hash(column name, key, value) over the state and the pools of
    all roles of the line: summed over all lines it is the digest of these roles.  `margin_minor`
    (int32) is what the line earned us in the run, `satisfaction_q` (uint16, 65535 is all) how
    content it is at the end, `region` (uint16) a row of the geography's regions, `segment` (uint8)
    a row of the segments.
    """
    if not isinstance(runtime, EmbeddedRuntime):
        raise InvariantError("the state of the lines is in other processes")
    n = world.n_lines
    out = {
        "digest": np.zeros(n, np.uint64),
        "margin_minor": np.zeros(n, np.int32),
        "satisfaction_q": np.zeros(n, np.uint16),
        "region": np.zeros(n, np.uint16),
        "segment": np.zeros(n, np.uint8),
    }
    like = _columns_by_role(world)
    for part in runtime.snapshot()["partitions"]:
        first, last = int(part["first"]), int(part["last"])
        mine = out["digest"][first:last]
        for role, saved in part["roles"].items():
            _add_role(mine, first, last, saved, like[role])
        out["margin_minor"][first:last] = part["roles"]["rtm"]["state"]["margin_minor"]
        people = part["roles"]["subscribers"]["state"]
        out["satisfaction_q"][first:last] = people["satisfaction_q"]
    for first in range(0, n, LINES_AT_ONCE):
        subs = np.arange(first, min(first + LINES_AT_ONCE, n), dtype=np.int64)
        tables = world.population
        profile = build_profile(world.seed, subs, homes(world.seed, subs, tables), tables.profile)
        out["region"][subs] = profile["region"]
        out["segment"][subs] = profile["segment"]
    return out


def margins_now(runtime: Runtime) -> np.ndarray:
    """Return the (n_lines,) int32 margin that each line has made so far, minor units."""
    if not isinstance(runtime, EmbeddedRuntime):
        raise InvariantError("the state of the lines is in other processes")
    parts = sorted(runtime.snapshot()["partitions"], key=lambda part: int(part["first"]))
    return np.concatenate([part["roles"]["rtm"]["state"]["margin_minor"] for part in parts])


def _columns_by_role(world: World) -> dict[str, Any]:
    """Return a role of one line by name: its columns tell schemas and ids."""
    return {role.role: role for role in line_roles(world.build(Partition(0, 0, 1)))}


def _add_role(out: np.ndarray, first: int, last: int, saved: dict[str, Any], like: Any) -> None:
    """Add the digests of one role of a partition to those of its lines."""
    (state,) = like.state().values()
    keys = np.arange(first, last, dtype=np.int64)
    _filled(state, saved["state"], state.ids).add_digests(out, keys - first, keys)
    for table in like.tables() if like.role == "rtm" else ():
        rows = saved[table.schema.name]
        at = (rows["key"] >> 32) - first
        _filled(table, rows, table.ids).add_digests(out, at, rows["key"])
    if like.role == "rtm":
        for columns, subs, keys in like.pooled(saved):
            columns.add_digests(out, subs - first, keys)
    rows = saved.get("pool")
    if rows is not None and len(rows["sub"]):
        at = rows["sub"].astype(np.int64) - first
        _filled(like.pool, rows, like.world.case_ids).add_digests(out, at, Columns.row_keys(rows))


def _filled(like: Columns | Sparse, arrays: dict[str, np.ndarray], ids: Ids | None) -> Columns:
    made = Columns(like.schema, 0)
    made.arrays, made.ids = dict(arrays), ids
    return made


def segment_names() -> tuple[str, ...]:
    """Return the names behind `segment`."""
    return tuple(SEGMENTS)
