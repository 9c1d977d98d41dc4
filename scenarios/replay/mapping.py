"""A mapping: what the columns of somebody's files mean, in YAML.

It owns the options of a mapping, their checks, and their translation into the plain data that the
reader takes (`sim.record.source_spec`).  It must not know how files are read, nor what a row does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from scenarios.replay import compiling
from scenarios.validation import look, problem_at, validate
from scenarios.yaml12 import Node, read_yaml
from sim.core.errors import Problem, ScenarioError, nearest
from sim.core.params import Params
from sim.record.source_spec import Recording

MAPPINGS_DIR = Path(__file__).parent / "mappings"
SOURCES_MAX = 100
"""Most sources of one mapping."""

EventType = Literal["voice", "sms", "data", "topup", "location", "skip"]
Side = Literal["none", "mo", "mt"]


class TypeField(Params):
    """What kind of event a row is: one kind, or a column."""

    constant: EventType | None = Field(default=None, description="kind of every row of the source")
    column: str = Field(default="", max_length=200, description="column with the kind")
    values: dict[str, EventType] = Field(
        default={},
        description="value of the column (any case): kind; skip: not replayed, only counted",
    )


class DirectionField(Params):
    """Who began it: mo the subscriber, mt the other side."""

    constant: Side | None = Field(default=None, description="direction of every row of the source")
    column: str = Field(default="", max_length=200, description="column with the direction")
    values: dict[str, Side] = Field(
        default={}, description="value of the column (any case): mo, mt, none"
    )


class TimeField(Params):
    """When it began."""

    column: str | tuple[str, ...] = Field(
        description="column, or several that are joined by a blank (a date and a time)"
    )
    format: str = Field(
        default="iso", min_length=2, max_length=80,
        description="iso, epoch_s, epoch_ms, since, or a pattern like %d.%m.%Y %H:%M:%S",
    )  # fmt: skip
    zone: str = Field(
        default="", max_length=80,
        description="zone of local times: Asia/Almaty, UTC, +05:45; empty: the mapping's zone; "
        "own: every value has an offset of its own",
    )  # fmt: skip
    since: str = Field(default="", description="format since: local date and time of second zero")
    offset_s: int = Field(
        default=0,
        ge=-172_800,
        le=172_800,
        description="added to a clock that is known to be wrong, s",
    )
    repeated_hour: Literal["refuse", "earlier", "later", "quarantine"] = Field(
        default="refuse", description="local times that summer time gives twice"
    )
    missing_hour: Literal["refuse", "quarantine"] = Field(
        default="refuse", description="local times that summer time leaves out"
    )


class NumberField(Params):
    """A whole or decimal number; what is beyond the stored unit is rounded half up."""

    column: str = Field(min_length=1, max_length=200, description="column with the number")
    unit: Literal["", "B", "kB", "MB", "GB", "KiB", "MiB", "s", "ms", "min", "minor", "major"] = (
        Field(default="", description="unit of the number; must be told for bytes and money")
    )
    empty: int | None = Field(
        default=None,
        description="what an empty field means, in the unit that is stored; null: a fault",
    )
    missed: tuple[int, ...] = Field(
        default=(),
        max_length=10,
        description="durations that mean a call nobody answered, such as -1",
    )


class SubscriberField(Params):
    """Whose event it is: a column, or the name of the file."""

    column: str = Field(default="", max_length=200, description="column with the subscriber id")
    file_name: str = Field(
        default="",
        max_length=200,
        description="one file per subscriber: its name, like user_{id}.csv",
    )


class CellField(Params):
    """Where it was: the key of a cell, or a position."""

    column: str = Field(default="", max_length=200, description="column with the key of the cell")
    lat: str = Field(default="", max_length=200, description="column with the latitude, degrees")
    lon: str = Field(default="", max_length=200, description="column with the longitude, degrees")


class NumbersParams(Params):
    """The rule by which telephone numbers are normalised; without it ids are taken as they are."""

    country_code: str = Field(
        default="", pattern=r"^[0-9]{0,3}$", description="digits, such as 7; empty: no rule"
    )
    trunk: str = Field(default="", pattern=r"^[0-9]{0,2}$", description="trunk prefix, such as 8")
    national_digits: int = Field(default=10, ge=5, le=12, description="digits of a national number")


class WindowParams(Params):
    """When the recording runs; rows outside are quarantined."""

    start: str = Field(
        default="", description="local date or date and time of ts 0; empty: first midnight"
    )
    days: int = Field(default=0, ge=0, le=3_700, description="length, days; 0: not told")


class CellsParams(Params):
    """A side file with the positions of the cells; one key may come in versions."""

    file: str = Field(min_length=1, max_length=400, description="path below the recording")
    key: str = Field(min_length=1, description="column with the key")
    lat: str = Field(min_length=1, description="column with the latitude, degrees")
    lon: str = Field(min_length=1, description="column with the longitude, degrees")
    valid_from: str = Field(
        default="", description="column with the first day of a version (ISO date)"
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="between two fields"
    )
    unknown: Literal["quarantine", "admit"] = Field(
        default="quarantine", description="rows of a cell that is not in the file"
    )


class SourceField(Params):
    """One kind of file: calls, texts, top-ups."""

    files: tuple[str, ...] = Field(
        min_length=1, max_length=100, description="patterns below the recording, like calls/*.csv"
    )
    format: Literal["csv", "parquet", "any"] = Field(
        default="csv", description="csv (also .gz), parquet, or any: by the end of the file name"
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="between two fields"
    )
    quote: str = Field('"', min_length=1, max_length=1, description="around a quoted field")
    encoding: str = Field(
        default="utf-8", max_length=40, description="of the text: utf-8, cp1251, utf-16"
    )
    columns: tuple[str, ...] = Field(
        default=(),
        max_length=1_024,
        description="names of the columns of a file that has no header line",
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        max_length=1_024,
        description="columns that are not read; * for all that are not named",
    )
    optional: tuple[str, ...] = Field(
        default=(), max_length=1_024, description="columns that a file may lack; taken as empty"
    )
    skip_blank: bool = Field(default=False, description="blanks around a value do not count")
    decimal: Literal[".", ","] = Field(default=".", description="decimal sign of numbers")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field(
        default="", description="sign between thousands"
    )
    event_type: TypeField = Field(description="kind of event")
    event_time: TimeField = Field(description="moment of the event, its start")
    subscriber_id: SubscriberField = Field(description="whose event it is")
    event_id: tuple[str, ...] = Field(
        default=(), max_length=10,
        description="columns that together name an event; none: file and row number, and equal "
        "rows are different events",
    )  # fmt: skip
    record_seq: str = Field(default="", description="column with the number of a partial record")
    direction: DirectionField | None = Field(default=None, description="who began it; null: none")
    counterpart: str = Field(default="", description="column with the other side")
    cell: CellField | None = Field(default=None, description="where it was")
    duration_s: NumberField | None = Field(default=None, description="length of a call, s")
    pieces: NumberField | None = Field(default=None, description="texts in a row; null: one")
    bytes_up: NumberField | None = Field(default=None, description="data sent by the phone")
    bytes_down: NumberField | None = Field(
        default=None, description="data received by the phone, or the total"
    )
    amount: NumberField | None = Field(default=None, description="sum of a top-up or a charge")
    balance_before: NumberField | None = Field(default=None, description="main balance before")
    balance_after: NumberField | None = Field(
        default=None, description="main balance after; a top-up must give before + amount = after"
    )
    balance_tolerance_minor: int = Field(
        default=0, ge=0, le=1_000_000, description="how far off the balances may be, minor units"
    )
    derive: Literal["none", "two_sided"] = Field(
        default="none",
        description="two_sided: each row is the caller's, the callee's row is made from it",
    )
    late_max_s: int = Field(
        default=3_600, ge=0, le=366 * 86_400,
        description="a row may be so much older than those before it, s",
    )  # fmt: skip
    order: Literal["source", "file", "none"] = Field(
        default="source",
        description="what runs forward in time: all files by name, each file, or nothing",
    )


class Mapping(Params):
    """How to read one format of recordings."""

    mapping: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$", description="name")
    title: str = Field(default="", max_length=400, description="one line for people")
    zone: str = Field(
        default="", max_length=80, description="zone of the recording: Asia/Almaty, +05:45"
    )
    minor_digits: int = Field(default=2, ge=0, le=4, description="decimal digits of the currency")
    window: WindowParams = Field(default=WindowParams(), description="when the recording runs")
    numbers: NumbersParams = Field(
        default=NumbersParams(), description="how numbers are normalised"
    )
    cells: CellsParams | None = Field(default=None, description="positions of the cells")
    sources: dict[str, SourceField] = Field(
        min_length=1, max_length=SOURCES_MAX, description="kinds of files by name"
    )

    def recording(self, *, bad_share_max: float = 0.01) -> Recording:
        """Return what the reader takes (`sim.record.source.Source`).

        Parameters
        ----------
        bad_share_max : largest share of rows that may be left out for a fault
        """
        text = self.model_dump_json()
        digest = hashlib.sha256(text.encode()).hexdigest()
        return compiling.recording(self, bad_share_max=bad_share_max, digest=digest)


def shipped_mappings() -> tuple[str, ...]:
    """Return the names of the shipped mappings, sorted."""
    return tuple(sorted(path.stem for path in MAPPINGS_DIR.glob("*.yaml")))


def find_mapping(name_or_path: str | Path) -> Path:
    """Return the file of a mapping: the name of a shipped one, or a path."""
    text = str(name_or_path)
    if text in shipped_mappings():
        return MAPPINGS_DIR / f"{text}.yaml"
    try:
        if text and Path(text).is_file():
            return Path(text)
    except (OSError, ValueError):
        pass
    close = nearest(text, shipped_mappings())
    raise ScenarioError(
        "no such mapping" + (f", did you mean {close!r}?" if close else ""),
        found=repr(text[:200]),
        expected=f"one of {', '.join(shipped_mappings())}, or the path of a YAML file",
    )


def load_mapping(name_or_path: str | Path) -> Mapping:
    """Return the mapping of a name or a path; one `ScenarioError` has all its problems."""
    node = read_yaml(find_mapping(name_or_path))
    mapping, problems = validate(Mapping, node)
    if mapping is not None:
        problems = [
            _placed(node, path, message, expected) for path, message, expected in _wrong(mapping)
        ]
    if problems or mapping is None:
        raise ScenarioError.collect(problems)
    return mapping


def _placed(node: Node, path: tuple[str, ...], message: str, expected: str) -> Problem:
    """Return a problem at the nearest place that exists."""
    for depth in range(len(path), -1, -1):
        found = look(node, *path[:depth])
        if found is not None:
            return problem_at(found, path, message, expected=expected)
    return problem_at(node, path, message, expected=expected)


def _wrong(mapping: Mapping) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Give (path, what is wrong, what would be right) of rules that go across keys."""
    yield from compiling.problems(mapping)
