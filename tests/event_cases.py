"""Damaged recordings: valid ones in every shipped dialect, struck by seeded blows.

A case is a function of its number alone, so that a number names it for ever.
"""

from __future__ import annotations

import functools
import gzip
import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scenarios.replay.feed import DATA_DIR
from scenarios.replay.mapping import MAPPINGS_DIR
from scenarios.yaml12 import dump_yaml, parse_yaml, plain
from tests.event_blows import BYTES, MAPPING_BITS, MAPPING_VALUES, NUMBERS, TIMES, WORDS
from tests.event_rows import ROWS

Files = dict[str, bytes]
BEGIN = datetime(2024, 3, 4, 9, 0)

MINE = """\
mapping: mine
zone: Asia/Almaty
numbers: {country_code: "7", trunk: "8"}
sources:
  events:
    files: ["*.csv", "*.csv.gz"]
    delimiter: ";"
    decimal: ","
    thousands: " "
    event_type: {column: what, values: {CALL: voice, TEXT: sms, NET: data, PAY: topup, X: skip}}
    event_time: {column: time, format: "%d.%m.%Y %H:%M:%S"}
    subscriber_id: {column: number}
    event_id: [ref]
    direction: {column: dir, values: {O: mo, I: mt, "": none}}
    counterpart: other
    cell: {column: place}
    duration_s: {column: sec, unit: min, empty: 0, missed: [-1]}
    bytes_down: {column: kb, unit: KiB, empty: 0}
    amount: {column: sum, unit: major, empty: 0}
    late_max_s: 1800
"""
PLACES = """\
mapping: places
zone: Europe/Berlin
window: {start: "2024-03-31", days: 2}
sources:
  gps:
    files: ["user_*.tsv"]
    delimiter: "\\t"
    encoding: cp1251
    columns: [day, clock, lat, lon, up, down, note]
    ignore: [note]
    order: file
    event_type: {constant: data}
    event_time: {column: [day, clock], format: "%Y%m%d %H:%M:%S", repeated_hour: later,
      missing_hour: quarantine}
    subscriber_id: {file_name: "user_{id}.tsv"}
    cell: {lat: lat, lon: lon}
    bytes_up: {column: up, unit: MB, empty: 0}
    bytes_down: {column: down, unit: B}
"""


@dataclass
class Case:
    """A recording and its mapping, ready to be written."""

    name: str
    mapping: bytes
    files: Files
    share: float
    blows: list[str]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the case; return the mapping and the folder of the recording."""
        root = folder / "in"
        root.mkdir(parents=True)
        for name, data in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        path = folder / "mapping.yaml"
        path.write_bytes(self.mapping)
        return path, root


def _moments(rng: random.Random, n: int) -> list[datetime]:
    at = sorted(rng.randrange(0, 3 * 3_600) for _ in range(n))
    return [BEGIN + timedelta(seconds=s) for s in at]


def standard(n: int = 90) -> list[list[str]]:
    """Return a table of the native schema with its header."""
    rng = random.Random(1)
    table = [["event_id", "source", "event_type", "event_time", "subscriber_id", "direction",
              "counterpart_id", "cell_key", "duration_s", "bytes_up", "bytes_down", "amount",
              "record_seq", "extra"]]  # fmt: skip
    for i, at in enumerate(_moments(rng, n)):
        kind = rng.choice(["voice", "sms", "data", "topup", "location", "roam"])
        talk = kind in ("voice", "sms")
        zone = rng.choice(["Z", "+05:00", "+0500"])
        told = at - timedelta(hours=5) if zone == "Z" else at
        table.append([
            f"e{i}", "msc", kind, told.isoformat(sep=rng.choice("T ")) + zone,
            f"s{rng.randrange(12)}",
            rng.choice(["mo", "mt"]) if talk else "none", f"s{rng.randrange(15)}" if talk else "",
            f"250-1-{rng.randrange(9)}", str(rng.randrange(-1, 900)) if kind == "voice" else "",
            str(rng.randrange(10**6)) if kind == "data" else "",
            str(rng.randrange(10**8)) if kind == "data" else "",
            f"{rng.randrange(1, 10**5) / 100:.2f}" if kind == "topup" else "", str(i % 3), "ä, b",
        ])  # fmt: skip
    return table


def mine(n: int = 90) -> list[list[str]]:
    """Return a table of the mapping `MINE` with its header."""
    rng = random.Random(2)
    table = [["ref", "time", "number", "other", "what", "dir", "sec", "kb", "sum", "place"]]
    for i, at in enumerate(_moments(rng, n)):
        kind = rng.choice(["CALL", "TEXT", "NET", "PAY", "X"])
        a, b = (f"701000{rng.randrange(10):04d}" for _ in range(2))
        table.append([
            f"A{i}", at.strftime("%d.%m.%Y %H:%M:%S"), rng.choice(["8", "+7", "007", ""]) + a,
            "8" + b if kind in ("CALL", "TEXT") else "", kind, rng.choice("OI") if kind == "CALL"
            else "", rng.choice(["1,5", "-1", "0,25"]) if kind == "CALL" else "",
            f"{rng.randrange(10**6) / 100}".replace(".", ",") if kind == "NET" else "",
            rng.choice(["500,00", "1 500,25"]) if kind == "PAY" else "", f"217-{rng.randrange(5)}",
        ])  # fmt: skip
    return table


def text(table: list[list[str]], delimiter: str = ",") -> str:
    """Return a table as text, quoted where it must be."""

    def cell(v: str) -> str:
        return '"' + v.replace('"', '""') + '"' if set(v) & {delimiter, '"', "\n"} else v

    return "".join(delimiter.join(cell(v) for v in row) + "\n" for row in table)


def parquet(table: list[list[str]], *, typed: bool) -> bytes:
    """Return a table of the native schema as Parquet."""
    columns: dict[str, Any] = {h: [r[j] for r in table[1:]] for j, h in enumerate(table[0])}
    if typed:
        zoned = [datetime.fromisoformat(v) for v in columns["event_time"]]
        columns["event_time"] = pa.array(zoned, pa.timestamp("us", "UTC"))
        for name in ("duration_s", "bytes_up", "bytes_down", "record_seq"):
            columns[name] = pa.array([int(v) if v else None for v in columns[name]], pa.int64())
        columns["event_type"] = pa.array(columns["event_type"]).dictionary_encode()
        columns["amount"] = pa.array([float(v) if v else None for v in columns["amount"]])
    return packed(pa.table(columns))


def packed(table: pa.Table, **how: Any) -> bytes:
    """Return the bytes of a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, write_page_checksum=True, **how)
    return out.getvalue()


def _some(name: str, n: int) -> bytes:
    return b"".join((DATA_DIR / name).read_bytes().splitlines(keepends=True)[:n])


def _places() -> Files:
    rng = random.Random(3)
    out = {}
    for who in ("ab", "7701", "Ж"):
        rows = [
            "\t".join([
                at.strftime("20240331"), at.strftime("%H:%M:%S"), f"51.{i % 3}", "-71.40000",
                f"{rng.randrange(100) / 10}", str(rng.randrange(10**6)), "Кызыл",
            ]) for i, at in enumerate(_moments(rng, 30))
        ]  # fmt: skip
        out[f"user_{who}.tsv"] = ("\n".join(rows) + "\n").encode("cp1251")
    return out


@functools.cache
def bases() -> dict[str, tuple[bytes, Files]]:
    """Return valid recordings by name: mapping and files."""
    shipped = {n: (MAPPINGS_DIR / f"{n}.yaml").read_bytes() for n in ("standard", "copenhagen",
                                                                       "flowkit")}  # fmt: skip
    native = text(standard()).encode()
    flowkit = {"cells.csv": (DATA_DIR / "flowkit/cells.csv").read_bytes()}
    for kind in ("calls", "mds", "sms", "topups"):
        for path in sorted((DATA_DIR / "flowkit" / kind).glob("*.csv"))[:2]:
            name = path.relative_to(DATA_DIR / "flowkit").as_posix()
            flowkit[name] = _some(f"flowkit/{name}", 16)
    return {
        "standard": (shipped["standard"], {"a/events.csv": native}),
        "gzip": (shipped["standard"], {"events.csv.gz": gzip.compress(native, mtime=0)}),
        "parquet": (shipped["standard"], {"x.parquet": parquet(standard(), typed=False)}),
        "typed": (shipped["standard"], {"x.parquet": parquet(standard(), typed=True)}),
        "copenhagen": (shipped["copenhagen"], {n: _some(f"copenhagen/{n}", 60)
                                               for n in ("calls.csv", "sms.csv")}),
        "flowkit": (shipped["flowkit"], flowkit),
        "mine": (MINE.encode(), {"mine.csv": text(mine(), ";").encode()}),
        "places": (PLACES.encode(), _places()),
    }  # fmt: skip


DELIMITER = {"mine": ";", "places": "\t"}
ENCODING = {"places": "cp1251"}


def case(number: int) -> Case:
    """Return the case of a number."""
    rng = random.Random(f"events-{number}")
    name = rng.choice(list(bases()))
    mapping, files = bases()[name]
    made = Case(name, mapping, dict(files), rng.choice([0.01, 0.05, 0.3, 1.0]), [])
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if not made.files:
            break
        kind = rng.random()
        if kind < 0.15:
            blow: Callable[[random.Random, Case], str] = _strike_mapping
        elif kind < 0.45:
            blow = _strike_bytes
        elif name in ("parquet", "typed"):
            blow = _strike_columns if kind < 0.9 else _strike_files
        else:
            blow = _strike_rows if kind < 0.93 else _strike_files
        made.blows.append(blow(rng, made))
    return made


def _pick(rng: random.Random, case: Case) -> str:
    return rng.choice(sorted(case.files))


def struck(rng: random.Random, data: bytes, bits: list[bytes]) -> bytes:
    """Return bytes after one blow anywhere."""
    at, length = rng.randrange(len(data) + 1), rng.randrange(1, 40)
    how = rng.choice(["cut", "put", "flip", "double", "end", "zero", "swap"])
    if how == "cut":
        return data[:at] + data[at + length :]
    if how == "put":
        return data[:at] + rng.choice(bits) + data[at:]
    if how == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if how == "double":
        return data[:at] + data[at : at + length] + data[at:]
    if how == "zero":
        return data[:at] + b"\0" * len(data[at : at + length]) + data[at + length :]
    if how == "swap":
        return data[:at] + data[at : at + length][::-1] + data[at + length :]
    return data[: max(at, 1)]


def _strike_bytes(rng: random.Random, case: Case) -> str:
    name = _pick(rng, case)
    case.files[name] = struck(rng, case.files[name], BYTES)
    return f"bytes of {name}"


def _strike_mapping(rng: random.Random, case: Case) -> str:
    if rng.random() < 0.4:
        case.mapping = struck(rng, case.mapping, MAPPING_BITS)
        return "bytes of the mapping"
    try:
        tree = plain(parse_yaml(case.mapping, file="m"))
    except Exception:  # noqa: BLE001 - struck before: it is no YAML any more
        return "none"
    node, path = tree, []
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        path.append(str(key))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.1:
            if rng.random() < 0.1 and isinstance(node, dict):
                del node[key]
            else:
                node[key] = rng.choice(MAPPING_VALUES)
            break
        node = node[key]
    sources = tree.get("sources") if isinstance(tree, dict) else None
    for source in sources.values() if isinstance(sources, dict) else ():
        if isinstance(source, dict) and rng.random() < 0.3:
            key, value = rng.choice(OPTIONS)
            source[key] = value
            path.append(key)
    case.mapping = dump_yaml(tree).encode()
    return "mapping: " + ".".join(path)


OPTIONS: list[tuple[str, Any]] = [
    ("order", "file"), ("order", "none"), ("late_max_s", 0), ("thousands", ","), ("quote", "'"),
    ("skip_blank", True), ("encoding", "latin-1"), ("encoding", "utf-8-sig"), ("encoding", "hex"),
    ("encoding", "utf-7"), ("encoding", "idna"), ("encoding", "unicode_escape"), ("quote", "\n"),
    ("quote", "\r"), ("delimiter", " "), ("files", ["**.csv"]), ("files", ["[a-"]),
    ("files", ["**/*.csv", "*.csv"]), ("event_id", []), ("derive", "two_sided"),
    ("record_seq", "extra"), ("ignore", ["*"]), ("format", "any"), ("format", "parquet"),
    ("cell", None), ("direction", None), ("encoding", "utf-16"),
]  # fmt: skip


def _strike_rows(rng: random.Random, case: Case) -> str:
    """Strike the table of a text file; one that is no text any more is left."""
    name = _pick(rng, case)
    code, mark = ENCODING.get(case.name, "utf-8"), DELIMITER.get(case.name, ",")
    data = case.files[name]
    is_gz = data.startswith(b"\x1f\x8b")
    try:
        whole = (gzip.decompress(data) if is_gz else data).decode(code)
    except (OSError, EOFError, ValueError, zlib.error):
        return "none"
    table = [line.split(mark) for line in whole.split("\n")]
    if len(table) < 4 or not all(table[:-1]):
        return "none"
    how = rng.choice(list(ROWS))
    made = ROWS[how](rng, table, mark)
    out = made if isinstance(made, bytes) else "\n".join(mark.join(r) for r in made).encode(
        code, "replace")  # fmt: skip
    case.files[name] = gzip.compress(out, mtime=0) if is_gz and rng.random() < 0.9 else out
    return f"{how} of {name}"


def _strike_files(rng: random.Random, case: Case) -> str:
    name = _pick(rng, case)
    data = case.files[name]
    how = rng.choice(["empty", "header", "gzip", "cut gzip", "twice", "copied", "renamed", "gone",
                      "pickle", "tail", "other name"])  # fmt: skip
    if how == "empty":
        data = b""
    elif how == "header":
        data = data[: data.find(b"\n") + 1] or b"x"
    elif how == "gzip":
        data = gzip.compress(data, mtime=0)
    elif how == "cut gzip":
        data = gzip.compress(data, mtime=0)[: rng.randrange(3, 400)]
    elif how == "twice":
        data += data
    elif how == "pickle":
        data = rng.choice([b"\x80\x04\x95", b"\x93NUMPY\x01\0", b"PK\x03\x04", b"BZh9"]) + data
    elif how == "tail":
        data += rng.choice([b"\0" * 512, b"\n" * 5, b"x", b"\xff\xff", b"#end\n"])
    case.files[name] = data
    stem, dot, tail = name.partition(".")
    if how in ("copied", "renamed"):
        case.files[f"{stem}2{dot}{tail}"] = data
    if how == "other name":
        case.files[stem + rng.choice([".txt", ".parquet", ".csv.gz", ".CSV"])] = data
    if how in ("gone", "renamed", "other name"):
        del case.files[name]
    return f"{how}: {name}"


def _strike_columns(rng: random.Random, case: Case) -> str:
    """Strike the columns of a Parquet file; one that is none any more is left."""
    name = _pick(rng, case)
    try:
        table = pq.read_table(io.BytesIO(case.files[name]))
        if table.num_rows == 0 or table.num_columns < 2:
            return "none"
        how, made = _other_table(rng, table)
        case.files[name] = packed(made)
    except (OSError, ValueError, KeyError, OverflowError, pa.ArrowException):
        return "none"
    return f"{how} of {name}"


def _other_table(rng: random.Random, table: pa.Table) -> tuple[str, pa.Table]:
    j = rng.randrange(table.num_columns)
    field, column = table.field(j), table.column(j)
    how = rng.choice(["cast", "drop", "name", "twice", "null", "value", "order", "rows", "wrong"])
    if how == "drop":
        return how, table.remove_column(j)
    if how == "name":
        other = field.name.upper() if rng.random() < 0.5 else field.name[:-1]
        return how, table.rename_columns([other if i == j else n
                                          for i, n in enumerate(table.column_names)])  # fmt: skip
    if how == "twice":
        return how, table.append_column(rng.choice([field.name, "new"]), column)
    if how == "order":
        order = rng.sample(range(table.num_rows), table.num_rows)
        return how, table.take(order)
    if how == "rows":
        return how, pa.concat_tables([table, table.slice(rng.randrange(table.num_rows))])
    told = column.to_pylist()
    at = rng.randrange(len(told))
    if how == "null":
        told[at] = None
        kept = pa.string() if pa.types.is_dictionary(field.type) else field.type
        made = pa.array(told, kept)
    elif how == "value":
        told = [None if v is None else str(v) for v in told]
        told[at] = rng.choice([*NUMBERS, *TIMES, *WORDS, "a\nb", "call\0", "voice\0"])
        made = pa.array(told, pa.string())
    elif how == "wrong":
        made = rng.choice([
            lambda: pa.array([[1]] * len(told)), lambda: pa.array([b"x"] * len(told)),
            lambda: pa.nulls(len(told)), lambda: pa.array([True] * len(told)),
            lambda: pa.array([{"a": 1}] * len(told)), lambda: pa.array([1.5] * len(told)),
            lambda: pa.array([7] * len(told), pa.duration("s")),
        ])()  # fmt: skip
    else:
        kinds = [pa.string(), pa.large_string(), pa.float64(), pa.int32(), pa.uint64(),
                 pa.decimal128(18, 4), pa.date32(), pa.timestamp("ns", "UTC"), pa.timestamp("s"),
                 pa.timestamp("ms", "Asia/Almaty"), pa.bool_(), pa.binary()]  # fmt: skip
        made = column.cast(rng.choice(kinds), safe=False)
    return how, table.set_column(j, field.name, made)
