"""Mappings: shipped ones, their problems with file and line, and what they tell the reader."""

import datetime as dt
import re
import zoneinfo

import pytest

from scenarios.replay.mapping import Mapping, load_mapping, shipped_mappings
from sim.core.errors import ScenarioError
from sim.record.source import Source
from sim.record.source_time import local_ms, midnight_ms, template
from tests.recordings import SECRET, mapping

GOOD = """\
mapping: mine
zone: Asia/Almaty
sources:
  calls:
    files: [calls.csv]
    event_type: {constant: voice}
    event_time: {column: at}
    subscriber_id: {column: who}
    duration_s: {column: length}
"""


def load(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_mapping(path)


def test_every_shipped_mapping_loads():
    """Each has a title and makes a recording; its hash follows its content."""
    assert shipped_mappings() == ("copenhagen", "flowkit", "standard")
    hashes = {load_mapping(name).recording().digest for name in shipped_mappings()}
    assert len(hashes) == 3 and all(load_mapping(n).title for n in shipped_mappings())
    with pytest.raises(ScenarioError, match="did you mean 'flowkit'"):
        load_mapping("flowkitt")


def test_every_option_is_described():
    """A reference can be made from the models: no field without a description."""
    seen, todo = set(), [Mapping]
    while todo:
        model = todo.pop()
        seen.add(model)
        for name, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{name}"
            for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
                if isinstance(kind, type) and hasattr(kind, "model_fields") and kind not in seen:
                    todo.append(kind)
    assert len(seen) > 8


WRONG = {
    "unknown_key": (("duration_s:", "durations:"), r"mine\.yaml:9: .*did you mean 'duration_s'"),
    "no_zone": (("zone: Asia/Almaty\n", ""), r"mine\.yaml:6: .*local times without a zone"),
    "bad_zone": (("Asia/Almaty", "Asia/Nowhere"), r"mine\.yaml:2: zone: no such zone"),
    "escape": (("calls.csv", "../calls.csv"), r"mine\.yaml:5: .*leaves the folder"),
    "type": (("constant: voice", "constant: fax"), r"mine\.yaml:6: sources\.calls\.event_type"),
    "no_type": (("constant: voice", "column: kind"), r"mine\.yaml:6: .*without the meaning"),
    "pattern": (("column: at", "column: at, format: '%A %d'"), r"mine\.yaml:7: .*%A"),
    "pattern_day": (("column: at", "column: at, format: '%H:%M'"), r"mine\.yaml:7: .*without year"),
    "since": (("column: at", "column: at, format: since"), r"mine\.yaml:7: .*not a moment"),
    "no_who": (("{column: who}", "{}"), r"mine\.yaml:8: .*column and file_name"),
    "file_name": (("{column: who}", "{file_name: u.csv}"), r"mine\.yaml:8: .*no place for the id"),
    "unit": (("duration_s: {column: length", "bytes_up: {column: length"), "without their unit"),
    "money": (("duration_s: {column: length", "amount: {column: length"), "without its unit"),
    "balance": (
        ("duration_s: {column: length", "balance_after: {unit: minor, column: length"),
        "one balance alone",
    ),
    "window": (("mapping: mine", "mapping: mine\nwindow: {days: 3}"), "length without a start"),
    "encoding": (("files:", "encoding: klingon\n    files:"), "no such encoding"),
    "delimiter": (("files:", 'delimiter: "\\n"\n    files:'), "cannot separate"),
    "thousands": (("files:", 'thousands: "."\n    files:'), "same sign"),
    "two_sided": (("files:", "derive: two_sided\n    files:"), "need the other one"),
    "cell": (("files:", "cell: {lat: a}\n    files:"), "neither a key nor a position"),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_wrong_mapping_is_refused_with_its_place(tmp_path, what):
    """File, line, key, and what would be right."""
    (old, new), message = WRONG[what]
    assert load(tmp_path, GOOD).mapping == "mine"
    assert old in GOOD
    with pytest.raises(ScenarioError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert "expected" in str(caught.value)


def test_all_problems_come_at_once(tmp_path):
    """Three mistakes, three problems."""
    text = GOOD.replace("calls.csv", "/calls.csv").replace("Asia/Almaty", "Mars")
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text.replace("{column: who}", "{}"))
    assert len(caught.value.problems) == 3


def test_units_become_whole_numbers():
    """Scale, factor and divisor of each unit."""
    for unit, scale, factor, divide in (
        ("B", 0, 1, 1), ("kB", 3, 1, 1), ("MB", 6, 1, 1), ("KiB", 3, 1_024, 1_000),
        ("MiB", 6, 1_048_576, 1_000_000),
    ):  # fmt: skip
        rule = mapping(bytes_down={"column": "bytes", "unit": unit}).recording().sources[0]
        found = rule.bytes_down
        assert (found.scale, found.factor, found.divide) == (scale, factor, divide)


def test_moments_of_zones():
    """Local moments against the standard library, offsets, and midnights over summer time."""
    for text, zone in (
        ("2024-03-04", "Asia/Almaty"), ("2024-02-28T12:00:00", "Asia/Almaty"),
        ("2016-01-01", "Asia/Kathmandu"), ("2024-07-01T03:04:05", "Europe/Berlin"),
    ):  # fmt: skip
        told = dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
        assert local_ms(text, zone) == told.timestamp() * 1_000
    assert local_ms("2016-01-01", "+05:45") == local_ms("2016-01-01", "Asia/Kathmandu")
    assert local_ms("nonsense", "UTC") is None
    noon = local_ms("2024-03-31T12:00:00", "Europe/Berlin")
    assert midnight_ms(noon, "Europe/Berlin") == local_ms("2024-03-31", "Europe/Berlin")
    assert template("%d.%m.%Y %H:%M:%S")[1] == ""


def test_the_howto_works(tmp_path, root):
    """The CSV and the mapping of the page give four events of two subscribers."""
    page = (root / "docs" / "howto" / "replay-your-own-cdrs.md").read_text("utf-8")
    blocks = dict(re.findall(r"```(csv|yaml)\n(.*?)```", page, re.S))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(blocks["csv"])
    (tmp_path / "mine.yaml").write_text(blocks["yaml"])
    recording = load_mapping(tmp_path / "mine.yaml").recording()
    spool = Source(recording, folder).spool(tmp_path / "spool", secret=SECRET)
    rows = spool.rows_for(0, spool.end_ms)
    assert spool.n_subscribers == 2 and spool.counts["applied"] == 4
    assert rows["source_sub"].tolist() == [0, 0, 1, 1]
    assert rows["units"].tolist() == [61, 1_536_500, 61, 50_000]
    assert rows["peer"].tolist() == [1, -1, 0, -1]
    assert rows["ts_ms"][0] == (9 * 60 + 15) * 60_000
