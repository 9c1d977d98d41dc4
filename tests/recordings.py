"""A small recording, written in many ways, and the mapping that reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scenarios.replay.mapping import Mapping
from sim.record.source import Source
from sim.record.source_spec import Limits
from sim.record.source_spool import Spool

SECRET = b"a secret of the test suite"
HEADER = ["event_id", "msisdn", "peer", "start", "kind", "side", "seconds", "bytes", "sum", "cell"]
BEGIN = np.datetime64("2024-03-04T00:00:00")

SOURCE = {
    "files": ["*.csv", "*.csv.gz"],
    "event_type": {
        "column": "kind",
        "values": {"call": "voice", "text": "sms", "net": "data", "pay": "topup"},
    },
    "event_time": {"column": "start"},
    "subscriber_id": {"column": "msisdn"},
    "event_id": ["event_id"],
    "direction": {"column": "side", "values": {"out": "mo", "in": "mt", "": "none"}},
    "counterpart": "peer",
    "cell": {"column": "cell"},
    "duration_s": {"column": "seconds", "unit": "s", "empty": 0},
    "bytes_down": {"column": "bytes", "unit": "kB", "empty": 0},
    "amount": {"column": "sum", "unit": "major", "empty": 0},
}


def mapping(**changes) -> Mapping:
    """Give the mapping of the recording; changes go to its source, `top` to itself."""
    top = {"mapping": "test", "zone": "Asia/Almaty", **changes.pop("top", {})}
    return Mapping.model_validate({**top, "sources": {"events": {**SOURCE, **changes}}})


def rows(n=2_000, *, days=2, seed=1) -> list[list[str]]:
    """Give the rows of the recording, in order of time."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, days * 86_400, n))
    made = []
    for i, t in enumerate(at):
        kind = ("call", "text", "net", "pay")[rng.integers(4)]
        side = ("out", "in")[rng.integers(2)] if kind in ("call", "text") else ""
        a, b = rng.integers(0, 50, 2)
        made.append(
            [
                f"e{i:06d}", f"0077010{a:06d}", f"0077010{b:06d}",
                str(BEGIN + np.timedelta64(int(t), "s")).replace("T", " "), kind, side,
                str(rng.integers(0, 900)) if kind == "call" else "",
                f"{rng.integers(0, 10**6) / 100}" if kind == "net" else "",
                f"{rng.integers(1, 10**4) / 100:.2f}" if kind == "pay" else "",
                f"c{rng.integers(20)}",
            ]
        )  # fmt: skip
    return made


def text_of(table, *, header=HEADER, delimiter=",", end="\n") -> str:
    """Give a table as text."""
    return "".join(delimiter.join(row) + end for row in [header, *table])


def write_csv(folder: Path, table, name="events.csv", **how) -> Path:
    """Write a table as one CSV file of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text_of(table, **how).encode())
    return folder


def write_parquet(folder: Path, table, name="events.parquet", *, typed=False) -> Path:
    """Write a table as one Parquet file, all texts or with the types of a database."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {h: [row[j] for row in table] for j, h in enumerate(HEADER)}
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    if typed:
        moments = [np.datetime64(v.replace(" ", "T"), "us") for v in columns["start"]]
        arrays["start"] = pa.array(moments, pa.timestamp("us"))
        arrays["seconds"] = pa.array([int(v) if v else None for v in columns["seconds"]])
        arrays["bytes"] = pa.array([float(v) if v else None for v in columns["bytes"]])
        arrays["kind"] = arrays["kind"].dictionary_encode()
    pq.write_table(pa.table(arrays), folder / name, row_group_size=700)
    return folder


def read(folder: Path, *, bad_share_max=0.01, limits: Limits | None = None, known=None,
         on_progress=None, **changes) -> Spool:  # fmt: skip
    """Read a folder, or one file, into a spool beside it."""
    made = changes.pop("made", None) or mapping(**changes)
    source = Source(made.recording(bad_share_max=bad_share_max), folder, limits=limits)
    n = 0
    while (out := folder.parent / f"spool-{folder.name}-{n}").exists():
        n += 1
    return source.spool(out, secret=SECRET, known=known, on_progress=on_progress)


def balanced(spool: Spool) -> bool:
    """Tell whether every row that was read is accounted for."""
    counts = spool.counts
    whole = counts["rows_read"] == counts["applied"] + counts["quarantined"]
    return (
        whole
        and counts["quarantined"] == sum(counts["reasons"].values())
        and spool.manifest["rows"] == counts["applied"] + counts["derived"]
    )
