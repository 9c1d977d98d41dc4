"""From the options of a mapping to the plain data that the reader takes.

It owns the rules that go across keys, and the arithmetic of units and zones.  It must not know how
a mapping is found or read.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sim.record.source_spec import (
    DIRECTIONS,
    NONE,
    SKIPPED,
    TYPES,
    CellRule,
    CellTable,
    CodeRule,
    IdRule,
    NumberRule,
    Recording,
    SourceSpec,
    TimeRule,
)
from sim.record.source_time import local_ms, template, zone_known

if TYPE_CHECKING:
    from scenarios.replay.mapping import (
        DirectionField,
        Mapping,
        NumberField,
        SourceField,
        TimeField,
        TypeField,
    )

Wrong = tuple[tuple[str, ...], str, str]

SECONDS_MAX = 7 * 86_400
"""Longest call, s."""
BYTES_MAX = 1 << 50
"""Most bytes of one row."""
MONEY_MAX = 10**15
"""Largest sum, minor units."""
PIECES_MAX = 100_000
"""Most texts in one row."""
_NOWHERE = Path("no folder of this name")
_NO_TEXTS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined")
FORMATS = ("iso", "epoch_s", "epoch_ms", "since")
OWN_ZONE = "own"
_BYTES = {
    "B": (0, 1), "kB": (3, 1), "MB": (6, 1), "GB": (9, 1), "KiB": (3, 1_024), "MiB": (6, 1_048_576),
}  # fmt: skip
"""Unit of data -> decimal digits that are kept, and the factor of a binary unit."""
_SECONDS = {"": (0, 1, 1), "s": (0, 1, 1), "ms": (0, 1, 1_000), "min": (3, 60, 1_000)}


def problems(mapping: Mapping) -> Iterator[Wrong]:
    """Give (path, what is wrong, what would be right)."""
    if mapping.zone and not zone_known(mapping.zone):
        yield ("zone",), "no such zone", "a name like Asia/Almaty, UTC, or an offset like +05:45"
    elif mapping.window.start and local_ms(mapping.window.start, mapping.zone or "UTC") is None:
        yield ("window", "start"), "not a moment", "a date, or a date and time: 2024-03-04"
    if mapping.window.start and not mapping.zone:
        yield ("window", "start"), "a start without a zone", "zone: beside mapping:"
    if mapping.window.days and not mapping.window.start:
        yield ("window", "days"), "a length without a start", "window.start as well"
    if mapping.cells is not None and not _below(mapping.cells.file):
        yield ("cells", "file"), "the path leaves the folder of the recording", "a path below it"
    if mapping.cells is not None and not _separates(mapping.cells.delimiter):
        yield ("cells", "delimiter"), "cannot separate fields", "one ASCII character"
    for name, source in mapping.sources.items():
        for path, message, expected in _source_problems(mapping, source):
            yield ("sources", name, *path), message, expected


def _source_problems(mapping: Mapping, source: SourceField) -> Iterator[Wrong]:
    for i, pattern in enumerate(source.files):
        if not _below(pattern):
            message = "the path leaves the folder of the recording"
            yield ("files", str(i)), message, "a pattern below it, without `..`"
        elif not _a_pattern(pattern):
            yield ("files", str(i)), "not a pattern of file names", "such as *.csv or calls/*.csv"
    if not _encodes(source.encoding):
        yield ("encoding",), "no such encoding", "utf-8, cp1251, utf-16"
    if not _separates(source.delimiter):
        yield ("delimiter",), "cannot separate fields", "one ASCII character, such as , ; | or \\t"
    if not source.quote.isascii() or source.quote in "\r\n\0" + source.delimiter:
        yield ("quote",), "cannot quote fields", "one ASCII character unlike the delimiter"
    if len(set(source.columns)) != len(source.columns):
        yield ("columns",), "a column stands twice", "a name of its own for each"
    yield from _time_problems(mapping, source.event_time)
    yield from _one_of("event_type", source.event_type, "voice")
    if source.direction is not None:
        yield from _one_of("direction", source.direction, "mo")
    subscriber = source.subscriber_id
    if bool(subscriber.column) == bool(subscriber.file_name):
        yield ("subscriber_id",), "one of column and file_name must be given", "column: msisdn"
    if subscriber.file_name and subscriber.file_name.count("{id}") != 1:
        yield ("subscriber_id", "file_name"), "no place for the id", "a name like user_{id}.csv"
    if source.cell is not None:
        both = bool(source.cell.lat) and bool(source.cell.lon)
        if bool(source.cell.column) == both or bool(source.cell.lat) != bool(source.cell.lon):
            yield ("cell",), "neither a key nor a position", "column, or lat and lon"
    if source.derive == "two_sided" and not source.counterpart:
        yield ("derive",), "two sides need the other one", "counterpart as well"
    if source.decimal == source.thousands:
        yield ("thousands",), "the same sign as the decimal sign", "another one"
    yield from _number_problems(source)


def _number_problems(source: SourceField) -> Iterator[Wrong]:
    for key in ("bytes_up", "bytes_down"):
        field = getattr(source, key)
        if field is not None and field.unit not in _BYTES:
            yield (key, "unit"), "bytes without their unit", "B, kB, MB, GB, KiB or MiB"
    for key in ("amount", "balance_before", "balance_after"):
        field = getattr(source, key)
        if field is not None and field.unit not in ("minor", "major"):
            yield (key, "unit"), "money without its unit", "major (24.50) or minor (2450)"
    if source.duration_s is not None and source.duration_s.unit not in _SECONDS:
        yield ("duration_s", "unit"), "not a unit of time", "s, ms or min"
    if (source.balance_before is None) != (source.balance_after is None):
        yield ("balance_after",), "one balance alone proves nothing", "balance_before and _after"


def _one_of(key: str, field: TypeField | DirectionField, example: str) -> Iterator[Wrong]:
    if (field.constant is None) == (not field.column):
        yield (key,), "one of constant and column must be given", f"constant: {example}"
    elif field.column and not field.values:
        yield (key, "values"), "a column without the meaning of its values", f"x: {example}"
    elif len({value.casefold() for value in field.values}) != len(field.values):
        yield (key, "values"), "a value stands twice", "each value once; case does not count"


def _time_problems(mapping: Mapping, time: TimeField) -> Iterator[Wrong]:
    path = ("event_time",)
    zone = time.zone or mapping.zone
    if time.zone not in ("", OWN_ZONE) and not zone_known(time.zone):
        yield (*path, "zone"), "no such zone", "a name like Asia/Almaty, UTC, +05:45, or own"
        return
    if time.format not in FORMATS:
        wrong = template(time.format)[1]
        if wrong:
            yield (*path, "format"), wrong, f"one of {', '.join(FORMATS)}, or %d.%m.%Y %H:%M:%S"
        if time.zone == OWN_ZONE and "%z" not in time.format:
            yield (*path, "zone"), "a pattern has no offset of its own", "the zone of the times"
    if not zone and not time.format.startswith("epoch"):
        message = "local times without a zone"
        yield (*path, "zone"), message, "zone: Asia/Almaty; or own where every value has an offset"
    if time.format == "since":
        known = zone and zone != OWN_ZONE and zone_known(zone)
        if not time.since or (known and local_ms(time.since, zone) is None):
            yield (*path, "since"), "not a moment", "local date and time: 2014-02-02T00:00:00"
        if zone == OWN_ZONE:
            yield (*path, "zone"), "seconds have no offset of their own", "the zone of since"


def _separates(delimiter: str) -> bool:
    return delimiter.isascii() and delimiter not in '\r\n\0"'


def _encodes(encoding: str) -> bool:
    """Return whether an encoding is one of texts: no packing, no escapes that programs write."""
    try:
        name = codecs.lookup(encoding).name
        return name not in _NO_TEXTS and "\n;,".encode(encoding).decode(encoding) == "\n;,"
    except (LookupError, UnicodeError, ValueError):
        return False


def _a_pattern(pattern: str) -> bool:
    """Return whether a pattern can be looked for; asked of a folder that is not there."""
    try:
        next(_NOWHERE.glob(pattern), None)
    except (ValueError, NotImplementedError, IndexError):
        return False
    except OSError:
        pass
    return True


def _below(pattern: str) -> bool:
    parts = pattern.replace("\\", "/").split("/")
    absolute = pattern.startswith(("/", "\\", "~")) or ":" in parts[0] or "\0" in pattern
    return bool(pattern) and not absolute and ".." not in parts


def recording(mapping: Mapping, *, bad_share_max: float, digest: str) -> Recording:
    """Return the plain form of a mapping that has no problems."""
    window = mapping.window
    zone = mapping.zone or "UTC"
    start_ms = local_ms(window.start, zone) if window.start else None
    end_ms = None
    if start_ms is not None and window.days:
        end_ms = start_ms + window.days * 86_400_000
    cells = mapping.cells
    return Recording(
        name=mapping.mapping,
        sources=tuple(_source(mapping, n, s) for n, s in sorted(mapping.sources.items())),
        cells=None
        if cells is None
        else CellTable(
            file=cells.file, key=cells.key, lat=cells.lat, lon=cells.lon,
            valid_from=cells.valid_from, delimiter=cells.delimiter, zone=zone,
            required=cells.unknown == "quarantine",
        ),
        zone=zone, start_ms=start_ms, end_ms=end_ms, bad_share_max=bad_share_max, digest=digest,
    )  # fmt: skip


def _source(mapping: Mapping, name: str, source: SourceField) -> SourceSpec:
    numbers = mapping.numbers

    def identity(column: str) -> IdRule:
        return IdRule(
            column=column, country_code=numbers.country_code, trunk=numbers.trunk,
            national_digits=numbers.national_digits,
        )  # fmt: skip

    # A balance may be below zero (postpaid); a sum that is taken or paid in may not.
    money = {key: _money(getattr(source, key), mapping.minor_digits, low=low)
             for key, low in (("amount", 0), ("balance_before", -MONEY_MAX),
                              ("balance_after", -MONEY_MAX))}  # fmt: skip
    cell = source.cell
    sequence = (source.record_seq,) if source.record_seq else ()
    return SourceSpec(
        name=name, files=source.files, format=source.format, delimiter=source.delimiter,
        quote=source.quote, encoding=source.encoding, columns=source.columns,
        ignore=source.ignore, optional=source.optional, skip_blank=source.skip_blank,
        decimal=source.decimal, thousands=source.thousands,
        event_type=_type(source.event_type), event_time=_time(mapping, source.event_time),
        subscriber=identity(source.subscriber_id.column),
        file_name=source.subscriber_id.file_name,
        event_id=source.event_id + sequence if source.event_id else (),
        direction=_direction(source.direction),
        counterpart=identity(source.counterpart) if source.counterpart else None,
        cell=None if cell is None else CellRule(column=cell.column, lat=cell.lat, lon=cell.lon),
        duration=_seconds(source.duration_s), pieces=_pieces(source.pieces),
        bytes_up=_bytes(source.bytes_up), bytes_down=_bytes(source.bytes_down),
        balance_tolerance_minor=source.balance_tolerance_minor,
        two_sided=source.derive == "two_sided", late_max_s=source.late_max_s, order=source.order,
        **money,
    )  # fmt: skip


def _type(field: TypeField) -> CodeRule:
    codes = {name: code for code, name in enumerate(TYPES)} | {"skip": SKIPPED}
    if field.constant is not None:
        return CodeRule(constant=codes[field.constant])
    values = {value.casefold(): codes[kind] for value, kind in field.values.items()}
    return CodeRule(column=field.column, values=MappingProxyType(values))


def _direction(field: DirectionField | None) -> CodeRule:
    if field is None:
        return CodeRule(constant=NONE)
    if field.constant is not None:
        return CodeRule(constant=DIRECTIONS.index(field.constant))
    values = {value.casefold(): DIRECTIONS.index(side) for value, side in field.values.items()}
    return CodeRule(column=field.column, values=MappingProxyType(values))


def _time(mapping: Mapping, time: TimeField) -> TimeRule:
    columns = (time.column,) if isinstance(time.column, str) else time.column
    zone = "" if time.zone == OWN_ZONE else time.zone or mapping.zone
    since_ms = (local_ms(time.since, zone) or 0) if time.format == "since" else 0
    return TimeRule(
        columns=columns, format=time.format, zone=zone, since_ms=since_ms,
        offset_s=time.offset_s, repeated_hour=time.repeated_hour, missing_hour=time.missing_hour,
    )  # fmt: skip


def _money(field: NumberField | None, minor_digits: int, *, low: int) -> NumberRule | None:
    if field is None:
        return None
    scale = minor_digits if field.unit == "major" else 0
    return NumberRule(
        column=field.column, scale=scale, missing=field.empty, low=low, high=MONEY_MAX
    )


def _bytes(field: NumberField | None) -> NumberRule | None:
    if field is None:
        return None
    scale, binary = _BYTES[field.unit]
    # 1.5 KiB: 1500 thousandths times 1024 over 1000; decimal units need no division at all.
    divide = 10**scale if binary > 1 else 1
    return NumberRule(
        column=field.column, scale=scale, factor=binary, divide=divide, missing=field.empty,
        high=BYTES_MAX,
    )  # fmt: skip


def _seconds(field: NumberField | None) -> NumberRule | None:
    if field is None:
        return None
    scale, factor, divide = _SECONDS[field.unit]
    return NumberRule(
        column=field.column, scale=scale, factor=factor, divide=divide, missing=field.empty,
        missed=tuple(value * 10**scale for value in field.missed), high=SECONDS_MAX,
    )  # fmt: skip


def _pieces(field: NumberField | None) -> NumberRule | None:
    if field is None:
        return None
    return NumberRule(column=field.column, missing=field.empty, low=1, high=PIECES_MAX)
