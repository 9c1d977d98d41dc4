"""Damaged recordings: refused in words, or every applied row is what a plain reader says."""

import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scenarios.replay.feed import open_feed
from scenarios.replay.mapping import load_mapping
from sim.core.errors import LimitError, ScenarioError
from sim.record.source import Source
from sim.record.source_time import zone_of
from tests import event_oracle
from tests.event_cases import Case, bases, case

SHORT, LONG, LONG_PARTS = 120, 500, 20
"""Cases of each short part, of each long one, and how many long ones there are."""
SECONDS_MAX = 5.0
"""Longest time of one recording, s of this process: others may share the machine."""


def applied(spool) -> Counter:
    """Return the rows of a spool as the oracle tells them."""
    rows = spool.rows_for(-(1 << 60), 1 << 60)
    cells = spool.cells()
    places = [None] + [
        (key, None, None) if lat != lat else (key, round(lat, 9), round(lon, 9))
        for key, lat, lon in zip(cells["key"].tolist(), cells["lat"].tolist(),
                                 cells["lon"].tolist(), strict=True)
    ]  # fmt: skip
    where = [places[i + 1] for i in rows["cell"].tolist()]
    columns = [rows[c].tolist() for c in ("source_sub", "ts_ms", "type", "direction", "flags",
                                          "units", "amount_minor")]  # fmt: skip
    return Counter(zip(*columns, where, rows["peer"].tolist(), strict=True))


def expected(mapping, root: Path, share: float) -> event_oracle.Told | str:
    """Return what the oracle says, or why it refuses."""
    try:
        return event_oracle.read(mapping, root, share)
    except event_oracle.Refused as refused:
        return str(refused)


def outcome(number: int, folder: Path) -> str:
    """Read a case as `twin replay` does, hold it to the oracle, and return how it ended."""
    made = case(number)
    note = f"case {number} ({made.name}, {made.share}): {'; '.join(made.blows)}"
    path, root = made.write(folder)
    try:
        mapping = load_mapping(path)
    except ScenarioError as error:
        assert all(p.message and p.file for p in error.problems), note
        return "mapping refused"
    told = expected(mapping, root, made.share)
    begin = time.process_time()
    try:
        feed = open_feed(root, path, bad_share_max=made.share)
        feed.account()
        zone_of(feed.mapping.zone or "UTC")
    except (ScenarioError, LimitError) as error:
        assert str(error).strip(), note
        fair = isinstance(told, str) or told.unsure or isinstance(error, LimitError)
        assert fair, f"{note}: refused wrongly: {error}"
        return "refused"
    finally:
        taken = time.process_time() - begin
        assert taken < SECONDS_MAX, f"{note}: {taken:.1f} s"
    assert not isinstance(told, str), f"{note}: accepted, although: {told}"
    held(feed.spool, told, note)
    return "damaged rows" if told.faults or told.copies else "whole"


def held(spool, told: event_oracle.Told, note: str) -> None:
    """Hold the account and the rows of a spool to the oracle's."""
    counts = spool.counts
    assert counts["rows_read"] == told.read, note
    assert counts["rows_read"] == counts["applied"] + counts["quarantined"], note
    assert sum(counts["reasons"].values()) == counts["quarantined"], note
    copies = sum(counts["reasons"].get(name, 0) for name in ("duplicate", "not_replayed"))
    assert (counts["quarantined"] - copies, copies) == (told.faults, told.copies), (
        f"{note}: {counts} against {told.faults} faults, {told.copies} copies"
    )
    assert counts["derived"] == told.derived, note
    assert spool.n_subscribers == told.subscribers, note
    found = applied(spool)
    assert found == told.applied, (
        f"{note}: not told {list((found - told.applied).items())[:2]}, "
        f"missing {list((told.applied - found).items())[:2]}"
    )
    assert pq.read_metadata(spool.folder / "quarantine.parquet").num_rows == counts["quarantined"]


def test_the_recordings_are_whole_before_they_are_struck(tmp_path: Path):
    """Each base is applied as the oracle tells it, so that what is found later is the blows'."""
    for number, (name, (mapping, files)) in enumerate(bases().items()):
        made = Case(name, mapping, dict(files), 0.01, [])
        path, root = made.write(tmp_path / str(number))
        told = expected(load_mapping(path), root, 0.01)
        assert not isinstance(told, str), f"{name}: {told}"
        spool = Source(load_mapping(path).recording(), root).spool(
            tmp_path / str(number) / "spool", secret=b"a secret of the test suite"
        )
        held(spool, told, name)
        assert told.faults == 0 and len(told.applied) > 20, name


def warm(folder: Path) -> None:
    """Read every base once: what compiles the first time is not the time of a case."""
    for number, (name, (mapping, files)) in enumerate(bases().items()):
        path, root = Case(name, mapping, dict(files), 0.01, []).write(folder / str(number))
        spool = Source(load_mapping(path).recording(), root).spool(
            folder / str(number) / "spool", secret=b"a secret of the test suite"
        )
        spool.rows_for(0, spool.end_ms)


def outcomes(numbers: range, tmp_path: Path, monkeypatch) -> Counter:
    """Return how many cases ended how; each has a folder and a cache of its own."""
    found = Counter()
    warm(tmp_path / "warm")
    for number in numbers:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            monkeypatch.setenv("TWIN_CACHE", f"{folder}/cache")
            found[outcome(number, Path(folder))] += 1
    return found


def judged(found: Counter, n: int) -> None:
    """Hold a suite to its size, and to having met every kind of end."""
    assert found.total() == n
    for name in ("refused", "mapping refused", "damaged rows", "whole"):
        assert found[name] * 100 >= n, f"{name}: {found[name]} of {n}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_damaged_recordings_are_refused_or_right(part: int, tmp_path: Path, monkeypatch):
    """The first cases of the long suite; two parts, so that two workers share them."""
    judged(outcomes(range(part * SHORT, (part + 1) * SHORT), tmp_path, monkeypatch), SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(LONG_PARTS))
def test_ten_thousand_damaged_recordings(part: int, tmp_path: Path, monkeypatch, capsys):
    """No crash, no hang, nothing accepted wrongly; a case is named by its number."""
    numbers = range(part * LONG, (part + 1) * LONG)
    found = outcomes(numbers, tmp_path, monkeypatch)
    with capsys.disabled():
        print(
            f"\nhandled {found.total()}/{LONG} damaged recordings from {numbers[0]}: {dict(found)}"
        )
    judged(found, LONG)
