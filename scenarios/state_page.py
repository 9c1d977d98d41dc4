"""The page `docs/explain/state.md`: every column of hot state, from the schemas themselves.

It owns the words around the tables and the sum against the limit.  It must not hold a number that
a schema or a role knows; `python -m scenarios.state_page` writes the page anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.billing import state as billing
from actors.profile import PROFILE
from actors.rtm import state as rtm
from actors.rtm.actor import EXPERIMENTS_AT_START
from actors.rtm.params import Capture
from actors.subscribers import state as people
from actors.subscribers.actor import pool_capacity
from sim.core.columns import Field, Schema
from sim.core.partition import DEFAULT_LINES
from sim.core.sparse import LOAD_PERCENT, ROOM_AT_START

PAGE = Path(__file__).parent.parent / "docs" / "explain" / "state.md"
LIMIT_BYTES = 160
"""Most bytes of hot state that a line may take, all roles together."""

LINE_SCHEMAS: tuple[tuple[str, str, Schema], ...] = (
    ("Profile", "nobody: built once, read by every role", PROFILE),
    ("People", "subscribers", people.STATE),
    ("Accounts", "billing", billing.STATE),
    ("Live profile", "rtm", rtm.STATE),
)
"""(title, role that alone changes it, schema) of the tables with one row for each line."""

HEAD = """\
# Hot state: what a line takes

Written by `python -m scenarios.state_page` from the schemas of the roles; a test fails where it is
not current.

A line (SIM) is one row of each table below, and nothing else of it is kept in memory: no object, no
text, no pointer. Every column is an array of its partition (about 65,536 lines), allocated once
when the partition is built and changed by its owner alone. Reserved lines, which join later, are
ordinary rows. `transient` columns are scratch of a tick: they take their bytes, but are neither
saved nor part of the digest.
"""

TAIL = """\
Memory of a run beyond its state hardly grows with the lines: the geography and the tables made from
it, compiled kernels and libraries, the rows of a slice and of a tick, and up to 64 MB of recorded
rows that wait to be written. Nothing is built for all lines at once: each partition draws its own
lines from their numbers, and what looks at every line (the recorded sample, the lines of each hex
on the map) does so {at_once:,} at a time.
"""


def lane_bytes(column: Field) -> int:
    """Return the bytes of one row of a column, all its lanes together."""
    return np.dtype(column.dtype).itemsize * max(len(column.labels), 1)


def pools() -> list[tuple[str, str, int, float, str]]:
    """Return (name, owner, bytes of a row, rows for each line, words) of what has no row a line."""
    lines = DEFAULT_LINES
    return [
        (
            "Exposure", "subscribers", people.EXPOSURE.row_bytes(), pool_capacity(lines) / lines,
            "answers to messages that are not yet given; fixed room",
        ),
        (
            "Experiment", "rtm", rtm.EXPERIMENT.row_bytes(), EXPERIMENTS_AT_START / lines,
            "winners and withheld whose horizon runs; grows by doubling with them, at most a row "
            "for each line, four with campaigns",
        ),
        *(
            (
                schema.name, "rtm", schema.row_bytes(), ROOM_AT_START / lines,
                f"{schema.doc}; grows by doubling, at most {LOAD_PERCENT} % of the room is taken",
            )
            for schema in (
                rtm.CONTACTS, rtm.TAKEN, rtm.TRIAL, rtm.HELD, rtm.PARTICIPATION, rtm.ONCE,
                rtm.CALLERS, rtm.GAME, rtm.POINTS,
            )
        ),
        (
            "Judge", "rtm", rtm.STATE.row_bytes() + PROFILE.row_bytes(), Capture().judged,
            "a second engine for a share of the lines (`rtm.capture.judged`)",
        ),
    ]  # fmt: skip


def bytes_per_line() -> float:
    """Return the bytes that a line takes at the start of a run, pools included."""
    columns = sum(schema.row_bytes() for _, _, schema in LINE_SCHEMAS)
    return columns + sum(size * rows for _, _, size, rows, _ in pools())


def state_page() -> str:
    """Return the text of the page."""
    from scenarios.world import LINES_AT_ONCE

    parts = [HEAD, _summary()]
    for title, owner, schema in LINE_SCHEMAS:
        size = f"{schema.row_bytes()} bytes a line"
        parts.append(f"## {title}\n\n`{schema.name}`, {size}: {schema.doc}. Owner: {owner}.\n")
        rows = ["| Column | Type | Bytes | Unit | Meaning |", "|---|---|---|---|---|"]
        rows += [_row(column) for column in schema.fields]
        parts.append("\n".join(rows) + "\n")
    parts.append(
        "## Pools\n\nRows that only some lines have, in room that a partition sets aside.\n"
    )
    rows = ["| Pool | Owner | Bytes a row | Rows a line | Bytes a line | Holds |"]
    rows.append("|---|---|---|---|---|---|")
    rows += [
        f"| `{name}` | {owner} | {size} | {share:.4f} | {size * share:.2f} | {words} |"
        for name, owner, size, share, words in pools()
    ]
    parts.append("\n".join(rows) + "\n")
    parts.append("## Beside the state\n\n" + TAIL.format(at_once=LINES_AT_ONCE))
    return "\n".join(parts)


def _summary() -> str:
    total = bytes_per_line()
    rows = ["| Table | Owner | Columns | Bytes a line |", "|---|---|---|---|"]
    rows += [
        f"| `{schema.name}` | {owner.split(':')[0]} | {len(schema.fields)} | {schema.row_bytes()} |"
        for _, owner, schema in LINE_SCHEMAS
    ]
    pooled = sum(size * share for _, _, size, share, _ in pools())
    rows.append(f"| pools | subscribers, rtm | | {pooled:.1f} |")
    rows.append(f"| **total** | | | **{total:.1f}** of at most {LIMIT_BYTES} |")
    nation = total * 78e6 / 2**30
    return "\n".join(rows) + f"\n\n78 million lines take {nation:.1f} GiB.\n"


def _row(column: Field) -> str:
    lanes = f" x {len(column.labels)}" if column.labels else ""
    meaning = column.doc + ("; transient" if column.transient else "")
    unit = "" if column.unit == "1" else column.unit
    return (
        f"| `{column.name}` | {np.dtype(column.dtype).name}{lanes} | {lane_bytes(column)} | {unit} "
        f"| {meaning} |"
    )


if __name__ == "__main__":
    PAGE.write_text(state_page(), encoding="utf-8")
