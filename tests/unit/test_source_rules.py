"""Small rules of recorded files, each of which a damaged recording once got past."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.replay.mapping import load_mapping
from sim.core.errors import ScenarioError
from sim.record.source_columns import from_strings
from sim.record.source_time import ISO, zone_known, zone_of
from sim.record.source_values import BAD, OK, decimals, moments
from tests.recordings import HEADER, balanced, mapping, read, rows, write_csv, write_parquet

GOOD = rows()
PARQUET = {"files": ["*.parquet"], "format": "parquet"}


def test_groups_of_thousands_have_three_digits():
    """`3,4` with a comma between thousands is no 34: it is a decimal comma that nobody declared."""
    texts = ["1,234", "1,234,567.5", "12,345", "1234", "3,4", "12,34", "1,,234", "1234,567", ",123"]
    column = from_strings(texts)
    out, status = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.uint8)
    decimals(column.data, column.begin, column.end, 0, ord("."), ord(","), out, status)
    assert status.tolist() == [OK] * 4 + [BAD] * 5
    assert out.tolist()[:4] == [1_234, 1_234_568, 12_345, 1_234]


@pytest.mark.parametrize("offset", ["+05:", "+05::45", "+5", "+05:4", "+054", "05:00", "+05:455"])
def test_an_offset_that_is_none_is_no_moment(offset):
    """Two digits, four, or two and two with one colon; nothing else."""
    column = from_strings(["2024-03-04 09:00:00" + offset])
    out, off, status = np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.uint8)
    moments(column.data, column.begin, column.end, ISO, 1, out, off, status)
    assert status[0] == BAD


def test_a_missed_call_is_one_in_every_unit(tmp_path):
    """-1 means a call nobody answered, in minutes as in seconds."""
    table = [[*r[:6], "-1" if r[4] == "call" else "", *r[7:]] for r in GOOD]
    n = sum(row[4] == "call" for row in table)
    for unit in ("s", "min", "ms"):
        rule = {"column": "seconds", "unit": unit, "missed": [-1]}
        spool = read(write_csv(tmp_path / unit, table), duration_s=rule)
        found = spool.rows_for(0, spool.end_ms)
        assert int((found["flags"] == 2).sum()) == n and balanced(spool)


@pytest.mark.fault("H2")
def test_a_sum_below_zero_is_a_fault(tmp_path):
    """A negative charge of a call is left out, as a negative top-up is."""
    i = next(i for i, row in enumerate(GOOD) if row[4] == "call")
    table = [*GOOD[:i], [*GOOD[i][:8], "-1.00", GOOD[i][9]], *GOOD[i + 1 :]]
    spool = read(write_csv(tmp_path / "in", table))
    assert spool.counts["reasons"] == {"out_of_range": 1} and balanced(spool)


@pytest.mark.fault("F4")
def test_a_code_with_a_zero_byte_is_another_code(tmp_path):
    """Parquet can hold zero bytes: `call` with one behind it is no call."""
    table = [list(row) for row in GOOD]
    table[3][4] = "call\0"
    spool = read(write_parquet(tmp_path / "in", table), **PARQUET)
    assert spool.counts["reasons"] == {"unknown_code": 1}


def test_moments_of_a_database_may_be_part_of_an_id_and_finer_than_a_microsecond(tmp_path):
    """A typed time column serves as time and as id; nanoseconds are cut to milliseconds."""
    folder = write_parquet(tmp_path / "in", GOOD, typed=True)
    how = {"event_id": ["event_id", "start"], **PARQUET}
    micro = read(folder, **how)
    table = pq.read_table(folder / "events.parquet")
    nano = pa.array(table["start"].cast(pa.int64()).to_numpy() * 1_000 + 1, pa.timestamp("ns"))
    pq.write_table(table.set_column(3, "start", nano), folder / "events.parquet")
    assert micro.counts["quarantined"] == 0
    assert read(folder, **how).digest == micro.digest


@pytest.mark.fault("F5")
def test_an_optional_column_under_almost_its_name_is_refused(tmp_path):
    """Where every unknown column is ignored, `seconds` under a slip would be silence."""
    how = {"ignore": ["*"], "optional": ["seconds"]}
    slip = [name.replace("seconds", "secconds") for name in HEADER]
    with pytest.raises(ScenarioError, match="'seconds' is missing; 'secconds' is there"):
        read(write_csv(tmp_path / "in", GOOD, header=slip), **how)
    told = {"ignore": ["*", "secconds"], "optional": ["seconds"]}
    assert read(write_csv(tmp_path / "told", GOOD, header=slip), **told).counts["applied"] == 2_000


CELLS = {"file": "cells.txt", "key": "id", "lat": "lat", "lon": "lon"}
SIDE = "id,lat,lon\n" + "".join(f"c{i},51.{i},-71.4\n" for i in range(20))
WRONG_SIDE = {
    "cut": (SIDE[:-1], "unterminated"), "quote": (SIDE.replace("c3", '"c3'), "open_quote"),
    "under": (SIDE.replace("51.1,", "5_1,"), "not a cell"), "nan": (
        SIDE.replace("51.1,", "nan,"), "not a cell"),
    "short": (SIDE.replace("c4,51.4,-71.4", "c4,51.4"), "too_few_fields"),
    "nul": (SIDE.replace("c5", "c\0"), "control_character"),
    "long": (SIDE + "x" * 200_000 + ",1,1\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("how", list(WRONG_SIDE))
def test_a_side_file_of_cells_is_read_as_strictly_as_events(tmp_path, how):
    """Cut lines, open quotes, numbers that are none: refused with the line."""
    text, word = WRONG_SIDE[how]
    folder = write_csv(tmp_path / "in", GOOD)
    (folder / "cells.txt").write_text(text)
    if not word:
        assert read(folder, top={"cells": CELLS}).counts["applied"] == 2_000
        return
    with pytest.raises(ScenarioError, match=rf"cells\.txt:\d+: .*{word}"):
        read(folder, top={"cells": CELLS})


def test_a_key_with_a_comma_is_no_position(tmp_path):
    """Only keys that were made of positions are places."""
    table = [[*row[:9], '"45,10"'] for row in GOOD]
    cells = read(write_csv(tmp_path / "in", table)).cells()
    assert cells["key"].tolist() == ["45,10"] and np.isnan(cells["lat"]).all()


def test_a_row_that_does_not_say_where_it_was_is_counted(tmp_path):
    """Of a call it is told, a location without a place is left out; half a position is a fault."""
    header = [*HEADER[:9], "lat", "lon"]
    table = [[*row[:9], "51.1", "-71.4"] for row in GOOD]
    table[3][9:] = ["", ""]
    table[4][4:6] = ["seen", ""]
    table[5][4:6], table[5][9:] = ["seen", ""], ["", ""]
    table[6][9:] = ["", "-71.4"]
    kinds = {"call": "voice", "text": "sms", "net": "data", "pay": "topup", "seen": "location"}
    spool = read(
        write_csv(tmp_path / "in", table, header=header), cell={"lat": "lat", "lon": "lon"},
        event_type={"column": "kind", "values": kinds},
    )  # fmt: skip
    assert spool.counts["reasons"] == {"no_place": 1, "bad_number": 1} and balanced(spool)
    assert spool.placeless == 1
    assert read(write_csv(tmp_path / "whole", GOOD)).placeless == 0


@pytest.mark.fault("F7")
def test_a_name_where_a_number_must_stand_is_left_out(tmp_path):
    """Under `numbers` a subscriber is digits alone; the other side may be a sender with a name.

    Without the rule ids are names, and all of them are taken.
    """
    table = [list(row) for row in GOOD]
    table[3][1], table[4][1], table[5][1] = "MegaFon", "0077010OOO0012", "+"
    at = next(i for i, row in enumerate(table) if i > 9 and row[4] == "text")
    table[at][2] = "BANK"
    folder = write_csv(tmp_path / "in", table)
    rule = {"top": {"numbers": {"country_code": "7"}}}
    spool = read(folder, **rule)
    assert spool.counts["reasons"] == {"not_a_number": 3} and balanced(spool)
    assert read(folder).counts["quarantined"] == 0
    sides = read(folder, derive="two_sided", **rule)
    assert sides.n_subscribers == spool.n_subscribers == 50
    people = sum(row[2] != "BANK" for i, row in enumerate(table) if i not in (3, 4, 5))
    assert sides.counts["derived"] == people


@pytest.mark.fault("F3")
@pytest.mark.fault("F5")
def test_only_a_dialect_that_reads_other_columns_is_to_blame(tmp_path):
    """A column that the mapping does not name is to be ignored: the header is read as it is.

    Where another quote would name it, either may be the cause, and both are told.
    """
    table = [[*row, "red"] for row in GOOD[:50]]
    folder = write_csv(tmp_path / "in", table, header=[*HEADER, "colour"])
    with pytest.raises(ScenarioError, match=r"'colour' is unknown.*`ignore: \[colour\]`") as caught:
        read(folder)
    assert "looks like" not in str(caught.value)
    folder = write_csv(tmp_path / "either", table, header=[*HEADER, "'colour'"])
    with pytest.raises(
        ScenarioError, match=r"`ignore: \['colour'\]`.*; or it looks like.* quote '"
    ):
        read(folder, ignore=["colour"])


WRONG_KEYS = (
    "encoding: hex", "encoding: utf-7", "encoding: idna", "encoding: undefined", 'quote: "\\n"',
    'files: ["**.csv"]',
)  # fmt: skip


@pytest.mark.parametrize("key", WRONG_KEYS)
def test_a_mapping_that_cannot_be_read_by_is_refused(tmp_path, key):
    """Encodings that are no text, quotes that are line ends, patterns that are none."""
    path = tmp_path / "m.yaml"
    files = "" if key.startswith("files") else "    files: [a.csv]\n"
    path.write_text(
        f"mapping: m\nzone: UTC\nsources:\n  a:\n{files}    {key}\n"
        "    event_type: {constant: sms}\n    event_time: {column: start}\n"
        "    subscriber_id: {column: msisdn}\n"
    )
    with pytest.raises(ScenarioError, match=rf"m\.yaml:\d: sources\.a\.{key.split(':')[0]}"):
        load_mapping(path)


def test_an_offset_is_a_zone_with_and_without_its_colon():
    """What a mapping may say is understood wherever the zone is used."""
    assert zone_of("+0545").utcoffset(None) == zone_of("+05:45").utcoffset(None)
    assert zone_known("Z") and zone_of("Z").utcoffset(None) is not None
    assert mapping(top={"zone": "+0545"}).zone == "+0545" and not zone_known("+99:00")
