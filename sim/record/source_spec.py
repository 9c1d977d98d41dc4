"""What a reader of recordings is told: where the files are and what their columns mean.

It owns the compiled form of a mapping (plain frozen data), the codes of a recorded row and the
named limits of reading.  It must not know how a mapping is written, nor how files are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

TYPES = ("voice", "sms", "data", "topup", "location")
VOICE, SMS, DATA, TOPUP, LOCATION = range(5)
SKIPPED = 254
"""Code of a type that the mapping declares as not replayed."""
UNKNOWN = 255
"""Code of a value that no value map names."""
DIRECTIONS = ("none", "mo", "mt")
NONE, MO, MT = range(3)

DERIVED, MISSED = 1, 2
"""Bits of `flags`: the other side of a two-sided row; a call that nobody answered."""

ROW = np.dtype(
    [
        ("source_sub", "i4"),
        ("ts_ms", "i8"),
        ("type", "u1"),
        ("direction", "u1"),
        ("flags", "u1"),
        ("units", "i8"),
        ("amount_minor", "i8"),
        ("cell", "i4"),
        ("peer", "i4"),
        ("key", "u8"),
    ]
)
"""One row of a spool.  `source_sub`: index by sorted subscriber id; `ts_ms`: since the declared
start; `type`, `direction`, `flags`: codes above; `units`: s, pieces, bytes or minor by type;
`amount_minor`: 0 where none is told; `cell`: row of `cells.parquet`, -1 unknown; `peer`: the other
side as an index of recorded subscribers, -1 where it is none; `key`: unlike for every row, equal
for equal recordings however they are written."""

REASONS = (
    "too_few_fields", "too_many_fields", "open_quote", "stray_quote", "control_character",
    "unterminated", "no_subscriber", "not_a_number", "no_event_id", "bad_time", "time_range",
    "outside_window", "missing_hour", "repeated_hour", "bad_number", "out_of_range", "unknown_code",
    "balance", "no_place", "unknown_cell", "unknown_subscriber", "late", "duplicate", "conflict",
    "not_replayed",
)  # fmt: skip
"""Why a row is left out.  A row has one reason: the first that applies, in the order of reading."""
DECLARED = ("duplicate", "not_replayed")
"""Reasons that are no fault of the file; they do not count towards `bad_share_max`."""


@dataclass(frozen=True)
class Limits:
    """Everything that could grow has a limit here; reaching one is a `LimitError` or a refusal."""

    line_bytes: int = 1 << 20
    """Longest line, bytes; a longer one is refused."""
    block_bytes: int = 4 << 20
    """Bytes of text that are parsed at a time."""
    batch_rows: int = 1 << 16
    """Rows that are parsed at a time."""
    borders: int = 1 << 22
    """Fields whose borders are held at a time: a wide header over short lines costs no memory."""
    files: int = 100_000
    """Most files of one source."""
    columns: int = 1_024
    """Most columns of a file."""
    text_bytes: int = 1 << 40
    """Most bytes that one compressed file may become."""
    ratio: int = 100
    """Most bytes of text for one compressed byte, once `ratio_from` bytes have come out."""
    ratio_from: int = 16 << 20
    """Below this size no ratio is judged, bytes."""
    subscribers: int = 5_000_000
    """Most subscriber ids; about 100 bytes of memory each."""
    cells: int = 2_000_000
    """Most cell keys."""
    days: int = 3_700
    """Longest recording, days."""
    buffer_rows: int = 1 << 20
    """Rows that wait in memory before they are put into their hour."""
    piece_rows: int = 1 << 21
    """Most rows of one piece of a spool; an hour that has more is split by time."""
    quarantine_rows: int = 1_000_000
    """Most rows written to the quarantine file; the counts go on."""


@dataclass(frozen=True, kw_only=True)
class TimeRule:
    """How a moment is written."""

    columns: tuple[str, ...]
    """Columns, joined by a blank."""
    format: str = "iso"
    """`iso`, `epoch_s`, `epoch_ms`, `since` (seconds since `since_ms`), or a strptime format."""
    zone: str = ""
    """IANA name, `UTC` or `+05:45`; empty only where every value has an offset of its own."""
    since_ms: int = 0
    """For `since`: the moment that is zero, epoch ms."""
    offset_s: int = 0
    """Added to every moment: a clock known to be wrong, s."""
    repeated_hour: str = "refuse"
    """Local times that come twice: `refuse`, `earlier`, `later`, `quarantine`."""
    missing_hour: str = "refuse"
    """Local times that do not exist: `refuse`, `quarantine`."""


@dataclass(frozen=True, kw_only=True)
class CodeRule:
    """A code: a constant, or a column with the meaning of its values."""

    column: str = ""
    constant: int = UNKNOWN
    values: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Value (compared without case) -> code; others are `unknown_code`."""


@dataclass(frozen=True, kw_only=True)
class NumberRule:
    """A number: its column and what one unit of it is in the unit that is stored."""

    column: str
    scale: int = 0
    """Decimal digits that are kept: 2 turns `7.24` into 724."""
    factor: int = 1
    """The scaled number times this; 1000 for kB with `scale` 0."""
    divide: int = 1
    """Then divided by this, rounded half up."""
    missing: int | None = None
    """Value of an empty field; None: the row is `bad_number`."""
    low: int = 0
    high: int = 1 << 50
    """Range of the stored number; outside is `out_of_range`."""
    missed: tuple[int, ...] = ()
    """Scaled numbers that mean a call nobody answered: stored as 0, `MISSED` set."""


@dataclass(frozen=True, kw_only=True)
class IdRule:
    """A number that is a name, and the one rule by which it is normalised."""

    column: str = ""
    country_code: str = ""
    """Empty: taken as it stands.  Else blanks, `-`, `(`, `)`, `.` and a leading `+` or `00` go, and
    a number of the trunk prefix and `national_digits` digits gets the country code instead."""
    trunk: str = ""
    national_digits: int = 10


@dataclass(frozen=True, kw_only=True)
class CellRule:
    """Where the row was: a key, or a position that becomes one."""

    column: str = ""
    lat: str = ""
    lon: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """One kind of file of a recording."""

    name: str
    files: tuple[str, ...]
    """Patterns below the root of the recording; no `..`, nothing absolute."""
    event_type: CodeRule
    event_time: TimeRule
    format: str = "csv"
    """`csv`, `parquet`, or `any`: by the end of the file name."""
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    """Names of the columns of a file that has no header; empty: the first line has them."""
    ignore: tuple[str, ...] = ()
    """Columns that may be there and are not read; `*` for any."""
    optional: tuple[str, ...] = ()
    """Columns that a file may lack; its rows then have nothing in them."""
    skip_blank: bool = False
    decimal: str = "."
    thousands: str = ""
    subscriber: IdRule = IdRule()
    file_name: str = ""
    """`user_{id}.csv`: the subscriber id stands in the file name."""
    event_id: tuple[str, ...] = ()
    """Columns that name an event; none: file and row number, nothing is ever dropped."""
    direction: CodeRule = CodeRule(constant=NONE)
    counterpart: IdRule | None = None
    cell: CellRule | None = None
    duration: NumberRule | None = None
    pieces: NumberRule | None = None
    bytes_up: NumberRule | None = None
    bytes_down: NumberRule | None = None
    amount: NumberRule | None = None
    balance_before: NumberRule | None = None
    balance_after: NumberRule | None = None
    balance_tolerance_minor: int = 0
    """Largest |before + amount - after| of a top-up, minor units."""
    two_sided: bool = False
    """Every row is the caller's; the callee's row is derived from it."""
    late_max_s: int = 3_600
    order: str = "source"
    """What runs forward in time: `source` (its files by name), `file`, or `none`."""


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """A side file with the cells of the recording, read whole; a key may come in versions."""

    file: str
    key: str
    lat: str
    lon: str
    valid_from: str = ""
    delimiter: str = ","
    zone: str = "UTC"
    required: bool = True
    """Rows of a cell that is not in the file are `unknown_cell`; else the key is admitted."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A whole recording: its sources, its side tables, its declared window."""

    name: str
    sources: tuple[SourceSpec, ...]
    cells: CellTable | None = None
    zone: str = "UTC"
    """Zone of the days of the recording: ts 0 is a local midnight where no start is declared."""
    start_ms: int | None = None
    """Declared start, epoch ms; None: local midnight of the first event."""
    end_ms: int | None = None
    """Declared end, epoch ms, excluded."""
    bad_share_max: float = 0.01
    """Largest share of rows that may be left out for a fault."""
    digest: str = ""
    """Hash of the mapping, so that a spool knows what it was made by."""


def is_parquet(spec: SourceSpec, name: str) -> bool:
    """Return whether a file of a source is read as Parquet."""
    by_name = name.endswith((".parquet", ".pq"))
    return spec.format == "parquet" or (spec.format == "any" and by_name)


@dataclass(frozen=True)
class InputFile:
    """One file of a recording, as it was when it was found."""

    source: str
    path: Path
    shown: str
    """Name for messages and files: below the root, ids of subscribers masked."""
    subscriber: str
    """Id taken from the file name; empty where it stands in a column."""
    size: int
    mtime_ns: int
    inode: int
