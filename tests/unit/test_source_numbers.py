"""Numbers of recorded files that are none, or have the wrong sign: rows H1 and H2."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geo.io import read_folder
from sim.core.errors import ScenarioError
from tests.recordings import HEADER, balanced, read, rows, write_csv, write_parquet

GOOD = rows()
COLUMN = {"call": 6, "net": 7, "pay": 8}
"""Where each kind of row has its number: seconds, kB, money."""


def with_number(kind: str, text: str) -> tuple[list[list[str]], int]:
    """Return the recording with one number of a kind of row replaced, and its line."""
    at = next(i for i, row in enumerate(GOOD) if row[4] == kind)
    other = list(GOOD[at])
    other[COLUMN[kind]] = text
    return [*GOOD[:at], other, *GOOD[at + 1 :]], at + 2


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the digest of the recording without the row that is changed, by kind."""
    out = {}
    for kind in COLUMN:
        table, line = with_number(kind, "1")
        folder = tmp_path_factory.mktemp(kind) / "in"
        out[kind] = read(write_csv(folder, [*table[: line - 2], *table[line - 1 :]])).digest
    return out


def left_out(folder: Path) -> list[tuple[int, str]]:
    """Return (line, reason) of every row of a quarantine."""
    table = pq.read_table(folder / "quarantine.parquet").to_pylist()
    return [(row["line"], row["reason"]) for row in table]


@pytest.mark.fault("H1")
@pytest.mark.parametrize(
    "text", ["nan", "NaN", "inf", "-inf", "Infinity", "1e309", "-1e309", "0x1F"]
)
@pytest.mark.parametrize("kind", list(COLUMN))
def test_what_is_not_a_number_is_left_out(
    tmp_path: Path, without: dict[str, str], kind: str, text: str
) -> None:
    """Seconds, bytes and money: the row alone, with its line; the others are as without it."""
    table, line = with_number(kind, text)
    spool = read(write_csv(tmp_path / "in", table))
    assert balanced(spool) and spool.digest == without[kind]
    ((where, reason),) = left_out(spool.folder)
    assert where == line and reason in ("bad_number", "out_of_range")


@pytest.mark.fault("H1")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_is_not_a_number_in_parquet_is_left_out(tmp_path: Path, value: float) -> None:
    """A column of floats holds all of them; none is applied."""
    folder = write_parquet(tmp_path / "in", GOOD, typed=True)
    table = pq.read_table(folder / "events.parquet")
    numbers = table["bytes"].to_pylist()
    at = next(i for i, row in enumerate(GOOD) if row[4] == "net")
    numbers[at] = value
    table = table.set_column(HEADER.index("bytes"), "bytes", pa.array(numbers, pa.float64()))
    pq.write_table(table, folder / "events.parquet")
    spool = read(folder, files=["*.parquet"], format="parquet")
    assert balanced(spool) and spool.counts["quarantined"] == 1
    assert spool.counts["applied"] == len(GOOD) - 1


@pytest.mark.fault("H1")
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e309"])
def test_what_is_not_a_number_in_json_is_refused(tmp_path: Path, value: str) -> None:
    """Python's reader takes all four; a fence with one of them is refused."""
    (tmp_path / "places.csv").write_text(
        "name,lat,lon,population,region,utc_offset_h\nAlfa,50,10,1000,North,1\n", "utf-8"
    )
    ring = [[10.0, 50.0], [10.01, 50.0], [10.01, 50.01], [10.0, 50.0]]
    feature = {
        "type": "Feature", "properties": {"name": "Mall", "kind": "mall"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }  # fmt: skip
    text = json.dumps({"features": [feature]}).replace("10.01, 50.0]", f"{value}, 50.0]")
    (tmp_path / "fences.geojson").write_text(text, "utf-8")
    with pytest.raises(ScenarioError, match="out of range"):
        read_folder(tmp_path)


@pytest.mark.fault("H2")
@pytest.mark.parametrize(
    ("kind", "text"),
    [("call", "-1"), ("call", "-9999999"), ("call", "-0.5"), ("net", "-1"), ("net", "-0.01"),
     ("pay", "-1"), ("pay", "-0.01"), ("pay", "-9999999")],
)  # fmt: skip
def test_a_negative_number_is_left_out(
    tmp_path: Path, without: dict[str, str], kind: str, text: str
) -> None:
    """A call of -1 s, a payment of -1 (a refund, and its charge is unknown): out of range.

    The rule looks at whole units: -0.5 s is -1 s, and -0.4 s is a call of no length.
    """
    table, line = with_number(kind, text)
    spool = read(write_csv(tmp_path / "in", table))
    assert balanced(spool) and spool.digest == without[kind]
    assert left_out(spool.folder) == [(line, "out_of_range")]
