"""The recordings and mappings that are shipped: read whole, with the counts that are published."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.replay.mapping import MAPPINGS_DIR, load_mapping
from sim.record.source import Source
from sim.record.source_spec import DERIVED, MISSED, MT, SMS, TOPUP, VOICE
from tests.recordings import SECRET, balanced

DATA = MAPPINGS_DIR.parent / "data"


def shipped(name, tmp_path):
    return Source(load_mapping(name).recording(), DATA / name).spool(tmp_path / name, secret=SECRET)


def test_copenhagen_is_read_whole(tmp_path):
    """3,600 calls and 24,333 texts, each with the derived row of the other side; 366 missed."""
    spool = shipped("copenhagen", tmp_path)
    assert spool.counts == {
        "rows_read": 27_933, "applied": 27_933, "derived": 27_933, "quarantined": 0,
        "reasons": {},
    }  # fmt: skip
    read = {f["file"]: f["rows"] for f in spool.manifest["files"]}
    assert read == {"calls.csv": 3_600, "sms.csv": 24_333}
    rows = spool.rows_for(0, 28 * 86_400_000)
    own = (rows["flags"] & DERIVED) == 0
    calls = rows["type"] == VOICE
    assert (own & calls).sum() == 3_600 and (own & (rows["type"] == SMS)).sum() == 24_333
    assert (calls & own & ((rows["flags"] & MISSED) != 0)).sum() == 366
    assert (rows["direction"][~own] == MT).all() and (rows["peer"] >= 0).all()
    assert spool.gaps == [] and balanced(spool)
    # The other sides are derived from these rows: there is nothing to compare.
    assert spool.two_sides == {"agree": 0, "differ": 0, "one_side": 0}
    # 21 texts are exact repeats without an id: different events, with keys of their own.
    assert len(np.unique(rows["key"])) == 2 * 27_933
    answered = rows["units"][own & calls & (rows["units"] > 0)]
    assert round(answered.mean()) == 77 and np.median(answered) == 27


def test_flowkit_is_read_whole(tmp_path):
    """31,168 rows of four kinds over seven days, every cell known, at the version of the day."""
    spool = shipped("flowkit", tmp_path)
    assert spool.counts["rows_read"] == spool.counts["applied"] == 31_168 and balanced(spool)
    read: dict[str, int] = {}
    for file in spool.manifest["files"]:
        kind = file["file"].split("/")[0]
        read[kind] = read.get(kind, 0) + file["rows"]
    assert read == {"calls": 10_080, "sms": 9_920, "mds": 5_654, "topups": 5_514}
    rows = spool.rows_for(0, spool.end_ms)
    cells = spool.cells()
    assert (rows["cell"] >= 0).all() and len(cells["key"]) == 62
    assert ((26 < cells["lat"]) & (cells["lat"] < 31)).all()
    assert ((80 < cells["lon"]) & (cells["lon"] < 89)).all()
    moved = np.flatnonzero(cells["key"] == "N0tfEoYN")
    days = [rows["ts_ms"][rows["cell"] == c] // 86_400_000 for c in moved]
    assert days[0].max() <= 4 and days[1].min() >= 5 and len(moved) == 2
    topups = rows["type"] == TOPUP
    assert (rows["amount_minor"][topups] == rows["units"][topups]).all()
    assert spool.gaps == []


def test_the_standard_table_in_csv_and_parquet(tmp_path):
    """Partitioned Parquet with types and CSV with texts are one recording; offsets count."""
    n = 400
    at = np.datetime64("2025-05-01T00:00:00", "us") + np.arange(n) * np.timedelta64(90, "s")
    kinds = [("voice", "sms", "data", "topup", "offer")[i % 5] for i in range(n)]
    table = pa.table(
        {
            "event_id": [f"e{i}" for i in range(n)],
            "source": ["a"] * n,
            "event_type": kinds,
            "event_time": pa.array(at, pa.timestamp("us", "UTC")),
            "subscriber_id": pa.array(np.arange(n) % 40, pa.uint64()),
            "duration_s": pa.array([-1.0 if i % 20 == 0 else 12.5 for i in range(n)]),
            "bytes_down": pa.array(np.arange(n) * 1_000),
            "amount": pa.array([f"{i}.5000" for i in range(n)]).cast(pa.decimal128(18, 4)),
        }
    )
    folder = tmp_path / "p" / "event_date=2025-05-01"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-0.parquet")
    lines = [",".join(table.column_names)]
    for row in table.to_pylist():
        row["event_time"] = row["event_time"].strftime("%Y-%m-%dT%H:%M:%S") + "Z"
        lines.append(",".join(str(v) for v in row.values()))
    for name, offset in (("c", "Z"), ("o", "+00:00")):
        (tmp_path / name).mkdir()
        text = "\n".join(lines).replace("Z,", f"{offset},") + "\n"
        (tmp_path / name / "events.csv").write_text(text)
    recording = load_mapping("standard").recording()
    spools = [
        Source(recording, tmp_path / name).spool(tmp_path / f"s{name}", secret=SECRET)
        for name in ("p", "c", "o")
    ]
    assert len({spool.digest for spool in spools}) == 1
    assert spools[0].counts["reasons"] == {"not_replayed": 80} and balanced(spools[0])
    rows = spools[0].rows_for(0, spools[0].end_ms)
    missed = (rows["flags"] & MISSED) != 0
    assert missed.sum() == 20 and set(rows["units"][rows["type"] == VOICE]) == {0, 13}


@pytest.mark.parametrize("name", ["copenhagen", "flowkit"])
def test_shipped_data_say_their_licence(name):
    """Origin and licence stand beside the files, which are small."""
    text = (DATA / name / "README.md").read_text()
    assert "Origin" in text and ("MIT" in text or "MPL-2.0" in text)
    assert sum(p.stat().st_size for p in (DATA / name).rglob("*") if p.is_file()) < 4 << 20
