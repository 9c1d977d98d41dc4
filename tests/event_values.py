"""The values of recorded files, read slowly and plainly for the oracle of `tests/event_oracle.py`.

Numbers are `Decimal`, moments `datetime` and `zoneinfo`, Parquet is what `pyarrow` gives as Python
values.  Nothing of the real reader is used.
"""

from __future__ import annotations

import decimal
import gzip
import re
import zlib
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_EXACT = decimal.Context(
    prec=5_000, Emax=99_999_999, Emin=-99_999_999, traps=[decimal.InvalidOperation]
)
_UNITS = {
    "": (0, 1, 1), "s": (0, 1, 1), "ms": (0, 1, 1_000), "min": (3, 60, 1_000), "B": (0, 1, 1),
    "kB": (3, 1, 1), "MB": (6, 1, 1), "GB": (9, 1, 1), "KiB": (3, 1_024, 1_000),
    "MiB": (6, 1_048_576, 1_000_000), "minor": (0, 1, 1),
}  # fmt: skip
"""Unit -> decimal digits that are read, what one is in the stored unit, over what."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unreadable(Exception):
    """A file that cannot be taken."""


def wanted(source: Any) -> list[str]:
    """Return the columns that a source reads."""
    time = source.event_time.column
    names = [
        source.subscriber_id.column, *([time] if isinstance(time, str) else time),
        source.event_type.column, source.direction.column if source.direction else "",
        source.counterpart, *source.event_id, source.record_seq if source.event_id else "",
    ]  # fmt: skip
    if source.cell is not None:
        names += [source.cell.column, source.cell.lat, source.cell.lon]
    for key in ("duration_s", "pieces", "bytes_up", "bytes_down", "amount", "balance_before",
                "balance_after"):  # fmt: skip
        number = getattr(source, key)
        names += [number.column] if number is not None else []
    return list(dict.fromkeys(name for name in names if name))


def glob(root: Path, pattern: str) -> Iterator[Path]:
    """Give the files below a folder that fit a pattern; a pattern that is none fits nothing."""
    try:
        yield from root.glob(pattern)
    except (ValueError, NotImplementedError, OSError):
        return


def one_slip(a: str, b: str) -> bool:
    """Return whether two words differ by at most one letter put in, left out or changed."""
    if abs(len(a) - len(b)) > 1:
        return False
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if at is None:
        return True
    return a[at + 1 :] == b[at + 1 :] or a[at + 1 :] == b[at:] or a[at:] == b[at + 1 :]


def decimal_of(value: Any, point: str, thousands: str) -> Decimal | None:
    """Return the number that a field says, or None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        told = Decimal(repr(value) if isinstance(value, float) else value)
        return told if told.is_finite() else None
    if not isinstance(value, str):
        return None
    whole = r"[0-9]+"
    if thousands:
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+)"
    dot = re.escape(point)
    shape = rf"[-+]?(?:{whole}(?:{dot}[0-9]*)?|{dot}[0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?"
    if not re.fullmatch(shape, value):
        return None
    if thousands:
        value = value.replace(thousands, "")
    return _EXACT.create_decimal(value.replace(point, "."))


def scaled(told: Decimal, digits: int) -> int | None:
    """Return a number in units of 10**-digits, rounded half away from zero; None: too large."""
    moved = _EXACT.scaleb(told, digits)
    if abs(moved) >= Decimal(9 * 10**17):
        return None
    return int(moved.quantize(Decimal(1), rounding=decimal.ROUND_HALF_UP, context=_EXACT))


def number(value: Any, rule: Any, source: Any, mapping: Any) -> tuple[int, bool] | None:
    """Return (number in the stored unit, whether it means a call that nobody answered)."""
    if value == "":
        return None if rule.empty is None else (rule.empty, False)
    told = decimal_of(value, source.decimal, source.thousands)
    if told is None:
        return None
    digits, times, over = (
        (mapping.minor_digits, 1, 1) if rule.unit == "major" else _UNITS[rule.unit]
    )
    count = scaled(told, digits)
    if count is None:
        return None
    if rule.missed and count in [m * 10**digits for m in rule.missed]:
        return 0, True
    return (count * times + over // 2) // over if over > 1 else count * times, False


def position(lat: Any, lon: Any, source: Any) -> str | None:
    """Return the key of a position: five digits each; empty where none is told, None if bad."""
    if lat == "" and lon == "":
        return ""
    both = []
    for value, most in ((lat, 90), (lon, 180)):
        told = decimal_of(value, source.decimal, "")
        count = None if told is None else scaled(told, 5)
        if count is None or abs(count) > most * 10**5:
            return None
        both.append(f"{count / 10**5:.5f}")
    return ",".join(both).replace("-0.00000", "0.00000")


def normal(value: Any, rule: Any) -> str:
    """Return a subscriber id in its one form."""
    name = value if isinstance(value, str) else plain(value)
    if not rule.country_code:
        return name
    digits = re.sub(r"[\s().-]", "", name)
    shape = re.fullmatch(r"(\+?)([0-9]+)", digits, re.ASCII)
    if shape is None:
        return name
    abroad, told = bool(shape[1]), shape[2]
    if not abroad and told.startswith("00"):
        abroad, told = True, told[2:]
    n, trunk = rule.national_digits, rule.trunk
    if not abroad and trunk and told.startswith(trunk) and len(told) == n + len(trunk):
        return rule.country_code + told[len(trunk) :]
    return rule.country_code + told if not abroad and len(told) == n else told


def plain(value: Any) -> str:
    """Return a value of a typed column as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value)


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name or its offset."""
    fixed = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})", name)
    if fixed is None:
        return UTC if name in ("UTC", "Z") else zoneinfo.ZoneInfo(name)
    shift = timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
    return timezone(-shift if fixed[1] == "-" else shift)


def instants(wall_ms: int, zone: str) -> list[int]:
    """Return the moments at which a wall clock shows this, epoch ms: none, one or two."""
    try:
        wall = (EPOCH + timedelta(milliseconds=wall_ms)).replace(tzinfo=None)
        info = zone_of(zone)
        both = [wall.replace(tzinfo=info, fold=fold) for fold in (0, 1)]
        real = {m.astimezone(UTC) for m in both
                if m.astimezone(UTC).astimezone(info).replace(tzinfo=None) == wall}  # fmt: skip
    except OverflowError:
        return [wall_ms]  # far outside of any range: the range decides
    return sorted((m - EPOCH) // timedelta(milliseconds=1) for m in real)


def midnight(ms: int, zone: str) -> int:
    """Return the last local midnight at or before a moment, epoch ms."""
    local = (EPOCH + timedelta(milliseconds=ms)).astimezone(zone_of(zone))
    naive = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    found = instants((naive.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1), zone)
    return found[0] if found else (naive.replace(tzinfo=zone_of(zone)) - EPOCH) // timedelta(
        milliseconds=1)  # fmt: skip


def local(text: str, zone: str) -> int:
    """Return a local ISO date or moment as epoch ms."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return (moment - EPOCH) // timedelta(milliseconds=1)
    return instants((moment.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1), zone)[0]


def window(mapping: Any) -> tuple[int | None, int | None]:
    """Return the declared begin and end of a recording, epoch ms."""
    if not mapping.window.start:
        return None, None
    begin = local(mapping.window.start, mapping.zone or "UTC")
    days = mapping.window.days
    return begin, begin + days * 86_400_000 if days else None


ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})"
    r"(?:(Z|[+-]\d{2}(?::?\d{2})?)|:(\d{2})(?:[.,](\d{1,9}))?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?)?)?",
    re.ASCII,
)
# As many digits as there are: `2024111` is 2024-11-1 and never 2024-1-11.
PARTS = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{1,2}+)", "m": r"(?P<m>\d{1,2}+)", "d": r"(?P<d>\d{1,2}+)",
    "H": r"(?P<H>\d{1,2}+)", "M": r"(?P<M>\d{1,2}+)", "S": r"(?P<S>\d{1,2}+)",
    "f": r"(?P<f>\d{1,6}+)",
    "z": r"(?P<z>Z|[+-]\d{2}(?::?\d{2})?)",
}  # fmt: skip


def moment(row: dict[str, Any], names: list[str], rule: Any, zone: str) -> tuple[int | None, bool]:
    """Return (epoch ms or wall ms, whether it is a wall clock); None: no moment."""
    first = row[names[0]]
    if len(names) == 1 and isinstance(first, Typed):
        return first.ms, not first.zoned
    text = " ".join(plain(row[name]) for name in names)
    if rule.format in ("epoch_s", "epoch_ms", "since"):
        told = decimal_of(text, ".", "")
        count = None if told is None else scaled(told, 0 if rule.format == "epoch_ms" else 3)
        since = local(rule.since, zone) if rule.format == "since" else 0
        return (None, False) if count is None else (count + since, False)
    if rule.format == "iso":
        found = ISO.fullmatch(text)
        if found is None:
            return None, False
        y, mo, d, h, mi, early, s, f, late = found.groups()
        parts = {"Y": y, "m": mo, "d": d, "H": h, "M": mi, "S": s, "f": f, "z": early or late}
    else:
        pattern = rule.format.replace("%T", "%H:%M:%S")
        shape = "".join(
            PARTS[piece[1]] if piece[0] == "%" else re.escape(piece)
            for piece in re.findall(r"%.|[^%]", pattern, re.S)
        )
        found = re.fullmatch(shape, text, re.ASCII)
        if found is None:
            return None, False
        parts = found.groupdict()
    return stamped(parts)


def stamped(parts: dict[str, str | None]) -> tuple[int | None, bool]:
    """Return the moment that the parts of a date say."""
    number = {k: int(v or 0) for k, v in parts.items() if k not in ("z", "f")}
    year = number.get("Y", 0)
    if "y" in number:
        year = number["y"] + (1900 if number["y"] >= 69 else 2000)
    ms = int(((parts.get("f") or "") + "000")[:3])
    try:
        wall = datetime(year, number["m"], number["d"], number.get("H", 0), number.get("M", 0),
                        number.get("S", 0), ms * 1_000, UTC)  # fmt: skip
    except ValueError:
        return None, False
    told = (wall - EPOCH) // timedelta(milliseconds=1)
    offset = parts.get("z")
    if not offset:
        return told, True
    if offset == "Z":
        return told, False
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if minutes > 900 or int(digits[2:]) > 59:
        return None, False
    return told - (-minutes if offset[0] == "-" else minutes) * 60_000, False


class Typed:
    """A moment of a typed column."""

    def __init__(self, ms: int | None, zoned: bool, text: str) -> None:
        self.ms, self.zoned, self.text = ms, zoned, text

    def __str__(self) -> str:
        return self.text


def parquet(path: Path, names: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns of a Parquet file and the rows of those that are asked for."""
    with path.open("rb") as handle:
        if handle.read(4) != b"PAR1":
            raise Unreadable("no Parquet")
    try:
        opened = pq.ParquetFile(path, page_checksum_verification=True)
        told = list(opened.schema_arrow.names)
        table = opened.read([n for n in dict.fromkeys(told) if n in names], use_threads=False)
        table.validate(full=True)
        columns = {field.name: _values(field.type, table[field.name]) for field in table.schema}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise Unreadable(str(error)) from None
    return told, [{k: v[i] for k, v in columns.items()} for i in range(table.num_rows)]


def _values(kind: pa.DataType, column: Any) -> list[Any]:
    if pa.types.is_dictionary(kind):
        return _values(kind.value_type, column.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        per_ms = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        if pa.types.is_date32(kind):
            days = column.cast(pa.int32()).to_pylist()
            return ["" if d is None else Typed(d * 86_400_000, False, str(d)) for d in days]
        unit = per_ms[kind.unit] if pa.types.is_timestamp(kind) else 1
        counts = column.cast(pa.int64()).to_pylist()
        return [
            Typed(None, zoned, "") if n is None
            else Typed(n * 1_000 if unit < 1 else n // int(unit), zoned, f"{n:025}")
            for n in counts
        ]  # fmt: skip
    plain_kind = (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )  # fmt: skip
    if not plain_kind or pa.types.is_float16(kind):
        raise Unreadable(f"the type {kind}")
    return ["" if v is None else v for v in column.to_pylist()]


def cells(
    mapping: Any, root: Path, split: Callable[[str, str, str], list[str] | None]
) -> dict[str, list[tuple[int, float, float]]]:
    """Return the versions of each cell of the side file of a mapping, the first first."""
    table = mapping.cells
    if table is None:
        return {}
    path = root / table.file
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        raise Unreadable("no cells")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        lines = data.decode("utf-8").removeprefix("\ufeff").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise Unreadable("cells: another encoding, or damaged") from None
    if not lines[0].strip():
        raise Unreadable("cells: no header")
    if lines[-1].strip() or any(len(line.encode()) > 1 << 20 for line in lines):
        raise Unreadable("cells: cut, or a line that is too long")
    rows = [split(line.removesuffix("\r"), table.delimiter, '"') for line in lines
            if line.removesuffix("\r")]  # fmt: skip
    if not rows or any(row is None or len(row) != len(rows[0] or ()) for row in rows):
        raise Unreadable("cells: a broken line")
    names = [name.strip() for name in rows[0] or ()]
    needed = [n for n in (table.key, table.lat, table.lon, table.valid_from) if n]
    if len(names) > 1_024 or len(set(names)) < len(names) or not set(needed) <= set(names):
        raise Unreadable("cells: columns")
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows[1:]:
        told = {k: v.strip(" \t") for k, v in zip(names, row or (), strict=True)}
        both = [decimal_of(told[k], ".", "") for k in (table.lat, table.lon)]
        if both[0] is None or both[1] is None or abs(both[0]) > 90 or abs(both[1]) > 180:
            raise Unreadable("cells: no position")
        key = told[table.key]
        since = -(1 << 62)
        if table.valid_from and told[table.valid_from]:
            try:
                since = local(told[table.valid_from], mapping.zone or "UTC")
            except (ValueError, IndexError):
                raise Unreadable("cells: no date") from None
        versions = found.setdefault(key, [])
        if not key or any(v[0] == since for v in versions):
            raise Unreadable("cells: no key, or twice")
        versions.append((since, float(both[0]), float(both[1])))
    if not found:
        raise Unreadable("cells: none")
    return {key: sorted(versions) for key, versions in found.items()}


def place(key: str, ms: int, table: dict[str, list[tuple[int, float, float]]]) -> Any:
    """Return what a cell is at a moment: its key, and its position where one is known."""
    if not key:
        return None
    if not isinstance(key, str):
        key = plain(key)
    versions = table.get(key)
    if versions:
        valid = [v for v in versions if v[0] <= ms] or versions[:1]
        return key, round(valid[-1][1], 9), round(valid[-1][2], 9)
    if re.fullmatch(r"-?\d+\.\d{5},-?\d+\.\d{5}", key):
        lat, lon = (float(part) for part in key.split(","))
        return (key, lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 else (key, None, None)
    return key, None, None
