"""Files from others: encodings, dialects, damage, hostility: rows F1 to F12 of the fault list."""

import gzip
import os
import pickle
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scenarios.replay.mapping import load_mapping
from sim.core.errors import LimitError, ScenarioError
from sim.record.source import Source
from sim.record.source_spec import Limits
from tests.recordings import (
    HEADER,
    SECRET,
    balanced,
    mapping,
    read,
    rows,
    text_of,
    write_csv,
    write_parquet,
)

GOOD = rows()
TEXT = text_of(GOOD)
PARQUET = {"files": ["*.parquet"], "format": "parquet"}


def put(folder, data: bytes, name="events.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """Give the digest of the good file."""
    return read(write_csv(tmp_path_factory.mktemp("good") / "in", GOOD)).digest


def quoted(table) -> str:
    return "".join(",".join(f'"{v}"' for v in row) + "\n" for row in [HEADER, *table])


F1 = {
    "bom": b"\xef\xbb\xbf" + TEXT.encode(),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "blank_lines": TEXT.encode() + b"\n\r\n\n",
    "blank_lines_within": TEXT.replace("\ne000700", "\n\ne000700").encode(),
    "quoted": quoted(GOOD).encode(),
    "all_of_it": b"\xef\xbb\xbf" + quoted(GOOD).replace("\n", "\r\n").encode() + b"\r\n",
}


@pytest.mark.fault("F1")
@pytest.mark.parametrize("how", list(F1))
def test_f1_a_good_file_written_otherwise(tmp_path, digest, how):
    """BOM, CRLF, blank lines, quoted fields: the same rows."""
    spool = read(put(tmp_path / "in", F1[how]))
    assert spool.digest == digest and spool.counts["quarantined"] == 0


@pytest.mark.fault("F1")
def test_f1_gzip_and_many_files(tmp_path, digest):
    """Packed, in two members, and cut into files whose numbers have no leading zeros."""
    half = len(GOOD) // 2
    head, tail = text_of(GOOD[:half]), text_of(GOOD[half:])[len(text_of([])) :]
    packed = gzip.compress(head.encode()) + gzip.compress(tail.encode())
    assert read(put(tmp_path / "z", packed, "events.csv.gz")).digest == digest
    for i in range(12):
        part = GOOD[i * 170 : (i + 1) * 170 if i < 11 else None]
        write_csv(tmp_path / "parts", part, f"part-{i}.csv")
    assert read(tmp_path / "parts").digest == digest


@pytest.mark.fault("F1")
def test_f1_doubled_quotes_are_one(tmp_path):
    """An id with a quote in it is the same id in CSV and in Parquet."""
    table = [[*row[:9], 'a "b", c'] for row in GOOD]
    csv = text_of(table).replace('a "b", c', '"a ""b"", c"')
    spool = read(put(tmp_path / "a", csv.encode()))
    assert spool.cells()["key"].tolist() == ['a "b", c']
    assert spool.digest == read(write_parquet(tmp_path / "b", table), **PARQUET).digest


CYRILLIC = TEXT.replace(",c7\n", ",Кызыл\n")


@pytest.mark.fault("F2")
def test_f2_another_encoding_is_refused_and_can_be_set(tmp_path):
    """cp1251 and UTF-16 name the byte and the key; with the key they are the same rows."""
    whole = read(put(tmp_path / "utf8", CYRILLIC.encode())).digest
    first = CYRILLIC.encode("cp1251").index("К".encode("cp1251"))
    for encoding, at in (("cp1251", first), ("utf-16", 0)):
        folder = put(tmp_path / encoding, CYRILLIC.encode(encoding))
        with pytest.raises(ScenarioError, match=rf"events\.csv: encoding: byte {at} is not utf-8"):
            read(folder)
        assert read(folder, encoding=encoding).digest == whole
    with pytest.raises(ScenarioError):
        read(put(tmp_path / "le", CYRILLIC.encode("utf-16-le")))
    with pytest.raises(ScenarioError, match="not utf-16; found"):
        read(tmp_path / "le", encoding="utf-16")


F3 = {
    "semicolon": (TEXT.replace(",", ";"), "delimiter ';'"),
    "tab": (TEXT.replace(",", "\t"), "delimiter a tab"),
    "quotes": (quoted(GOOD).replace('"', "'"), "quote '"),
    "both": (quoted(GOOD).replace('"', "'").replace(",", ";"), "delimiter ';' and quote '"),
}


@pytest.mark.fault("F3")
@pytest.mark.parametrize("how", list(F3))
def test_f3_another_dialect_is_refused_with_the_likely_one(tmp_path, how):
    """The message says what to set."""
    text, hint = F3[how]
    with pytest.raises(ScenarioError) as caught:
        read(put(tmp_path / "in", text.encode()))
    assert hint in str(caught.value)


@pytest.mark.fault("F3")
def test_f3_decimal_comma(tmp_path, digest):
    """Refused with the key to set; with it, the same rows."""
    table = [[*r[:7], r[7].replace(".", ","), r[8].replace(".", ","), r[9]] for r in GOOD]
    folder = write_csv(tmp_path / "in", table, delimiter=";")
    with pytest.raises(ScenarioError, match=r"decimal.*looks like decimal: ','"):
        read(folder, delimiter=";")
    assert read(folder, delimiter=";", decimal=",").digest == digest


F4 = {
    "too_few_fields": "e1,0077010000001",
    "too_many_fields": ",".join([*GOOD[0], "more"]),
    "open_quote": '"' + ",".join(GOOD[0]),
    "stray_quote": ",".join([*GOOD[0][:9], 'c"1']),
    "control_character": ",".join([*GOOD[0][:9], "c\0"]),
    "bad_number": ",".join(["x", *GOOD[0][1:4], "call", "out", "1e", "", "", "c1"]),
    "out_of_range": ",".join(["x", *GOOD[0][1:4], "call", "out", "-5", "", "", "c1"]),
    "bad_time": ",".join([*GOOD[0][:3], "2024-02-30 10:00:00", *GOOD[0][4:]]),
    "unknown_code": ",".join([*GOOD[0][:4], "fax", *GOOD[0][5:]]),
    "no_subscriber": ",".join(["x", "", *GOOD[0][2:]]),
    "no_event_id": ",".join(["", *GOOD[0][1:]]),
}


@pytest.mark.fault("F4")
@pytest.mark.parametrize("reason", list(F4))
def test_f4_a_broken_row_is_left_out_with_its_line(tmp_path, digest, reason):
    """The row alone; its line and reason are told, the other rows are the same."""
    lines = TEXT.splitlines(keepends=True)
    lines.insert(100, F4[reason] + "\n")
    spool = read(put(tmp_path / "in", "".join(lines).encode()), late_max_s=200_000)
    assert spool.counts["reasons"] == {reason: 1} and balanced(spool)
    assert spool.digest == digest
    (row,) = pq.read_table(spool.folder / "quarantine.parquet").to_pylist()
    assert (row["line"], row["reason"], row["file"]) == (101, reason, "events.csv")


@pytest.mark.fault("F4")
def test_f4_more_than_a_share_is_refused(tmp_path):
    """One row in a hundred passes, more end with exit 2 and the first of each reason."""
    lines = TEXT.splitlines(keepends=True)
    folder = put(tmp_path / "in", "".join([*lines, "x\n" * 20]).encode())
    assert read(folder).counts["reasons"] == {"too_few_fields": 20}
    folder = put(tmp_path / "more", "".join([*lines, "x\n" * 21]).encode())
    with pytest.raises(ScenarioError, match=r"events\.csv:2002: first row that is too_few"):
        read(folder)


F5 = {
    "missing": ([h for h in HEADER if h != "cell"], "'cell' is missing"),
    "twice": ([*HEADER[:9], "sum"], "'sum' stands 2 times"),
    "unknown": ([*HEADER, "colour"], "'colour' is unknown"),
    "case": (["Event_ID", *HEADER[1:]], "'Event_ID' is there"),
    "near": (["event_idd", *HEADER[1:]], "'event_idd' is there"),
}


@pytest.mark.fault("F5")
@pytest.mark.parametrize("how", list(F5))
def test_f5_columns(tmp_path, how):
    """Missing, twice, unknown, another case: refused with the nearest name."""
    header, message = F5[how]
    table = [(row + ["red"])[: len(header)] for row in GOOD[:50]]
    with pytest.raises(ScenarioError) as caught:
        read(write_csv(tmp_path / "in", table, header=header))
    assert message in str(caught.value) and "events.csv:1" in str(caught.value)


def test_f5_unknown_columns_can_be_declared(tmp_path):
    """A column under `ignore`, or `*`, is no problem."""
    table = [[*row, "red"] for row in GOOD]
    folder = write_csv(tmp_path / "in", table, header=[*HEADER, "colour"])
    assert read(folder, ignore=["colour"]).digest == read(folder, ignore=["*"]).digest


@pytest.mark.fault("F6")
@pytest.mark.parametrize("cut", [1, 2, 30], ids=["line_end", "in_a_value", "in_the_row"])
def test_f6_a_file_that_is_cut(tmp_path, cut):
    """A last line without its end is suspect, however whole it looks."""
    spool = read(put(tmp_path / "in", TEXT.encode()[:-cut]))
    assert spool.counts["reasons"] == {"unterminated": 1} and balanced(spool)
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD[:-1])).digest


@pytest.mark.fault("F7")
def test_f7_numbers_that_are_names(tmp_path):
    """Leading zeros stay; with the rule four spellings of a number are one subscriber."""
    spellings = ["007701{}", "+7701{}", "8701{}", "7701{}", "+7 (701) {}"]
    table = [[*r[:1], spellings[i % 5].format(f"{i % 10:07d}"), "", *r[3:]]
             for i, r in enumerate(GOOD)]  # fmt: skip
    folder = write_csv(tmp_path / "in", table)
    assert read(folder).n_subscribers == 10
    plain = [[r[0], f"000{i % 2}", "", *r[3:]] for i, r in enumerate(GOOD)]
    plain[0][1] = "0"
    assert read(write_csv(tmp_path / "zeros", plain)).n_subscribers == 3
    rule = {"numbers": {"country_code": "7", "trunk": "8"}}
    told = [[*r[:1], f"7701{i % 10:07d}", "", *r[3:]] for i, r in enumerate(GOOD)]
    one = read(folder, top=rule)
    assert one.n_subscribers == 10
    assert one.digest == read(write_csv(tmp_path / "told", told)).digest
    mixed = [[*r[:1], spellings[(i // 10) % 5].format(f"{i % 10:07d}"), "", *r[3:]]
             for i, r in enumerate(GOOD)]  # fmt: skip
    folder = write_csv(tmp_path / "mixed", mixed)
    assert read(folder).n_subscribers == 50
    assert read(folder, top=rule).digest == one.digest


@pytest.mark.fault("F8")
@pytest.mark.parametrize("what", ["ratio", "size", "cut", "damaged"])
def test_f8_gzip(tmp_path, what):
    """A bomb hits a limit by ratio or by size; a cut or damaged file is refused."""
    bomb = TEXT.encode() + b"\n" * (40 << 20)
    packed = gzip.compress(bomb if what == "ratio" else TEXT.encode())
    if what == "cut":
        packed = packed[: len(packed) // 2]
    if what == "damaged":
        packed = packed[:5_000] + b"\xff" * 20 + packed[5_020:]
    folder = put(tmp_path / "in", packed, "events.csv.gz")
    limits = Limits(text_bytes=50_000) if what == "size" else None
    error = LimitError if what in ("ratio", "size") else ScenarioError
    with pytest.raises(error) as caught:
        read(folder, limits=limits)
    assert caught.value.exit_code == (4 if error is LimitError else 2)
    assert "events.csv.gz" in str(caught.value)


@pytest.mark.fault("F9")
@pytest.mark.parametrize("what", ["truncated", "magic", "csv", "footer", "short"])
def test_f9_parquet_that_is_broken(tmp_path, what):
    """Refused with the name of the file, before any row."""
    folder = write_parquet(tmp_path / "in", GOOD)
    path = folder / "events.parquet"
    data = path.read_bytes()
    damaged = {
        "truncated": data[: len(data) // 2], "magic": b"XXXX" + data[4:], "csv": TEXT.encode(),
        "footer": data[:-40] + b"\xff" * 32 + data[-8:], "short": data[:6],
    }  # fmt: skip
    path.write_bytes(damaged[what])
    with pytest.raises(ScenarioError, match=r"events\.parquet"):
        read(folder, **PARQUET)


@pytest.mark.fault("F10")
@pytest.mark.parametrize("what", ["text", "less", "more"])
def test_f10_parquet_that_drifts(tmp_path, what):
    """A second file with another type, or other columns, is refused before the first row."""
    folder = write_parquet(tmp_path / "in", GOOD[:1_000], "a.parquet", typed=True)
    write_parquet(folder, GOOD[1_000:], "b.parquet", typed=what != "text")
    if what != "text":
        table = pq.read_table(folder / "b.parquet")
        table = table.drop_columns("cell") if what == "less" else table.append_column(
            "more", [range(1_000)])  # fmt: skip
        pq.write_table(table, folder / "b.parquet")
    with pytest.raises(ScenarioError, match=r"b\.parquet"):
        Source(mapping(**PARQUET).recording(), folder).check()


class _Opaque(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.string(), "test.opaque")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


@pytest.mark.fault("F11")
@pytest.mark.parametrize("what", ["pickle", "numpy", "extension", "binary", "list"])
def test_f11_code_in_data(tmp_path, what):
    """Pickles, object arrays, extension types: refused, nothing of it is ever run."""
    if what in ("pickle", "numpy"):
        data = pickle.dumps([Trap()]) if what == "pickle" else b"\x93NUMPY\x01\x00" + b"x" * 50
        for name, how in (("events.csv", {}), ("events.parquet", PARQUET)):
            with pytest.raises(ScenarioError):
                read(put(tmp_path / name, data, name), **how)
        assert not Trap.sprung
        return
    folder = write_parquet(tmp_path / "in", GOOD)
    table = pq.read_table(folder / "events.parquet")
    cells = table["cell"].combine_chunks()
    column = {
        "extension": lambda: pa.ExtensionArray.from_storage(_Opaque(), cells),
        "binary": lambda: cells.cast(pa.binary()),
        "list": lambda: pa.array([[c] for c in cells.to_pylist()]),
    }[what]()
    pa.register_extension_type(_Opaque())
    try:
        pq.write_table(table.set_column(9, "cell", column), folder / "events.parquet")
        with pytest.raises(ScenarioError, match="'cell' has the type"):
            read(folder, **PARQUET)
    finally:
        pa.unregister_extension_type("test.opaque")


class Trap:
    """Would tell if it were ever unpickled."""

    sprung = False

    def __setstate__(self, state):
        Trap.sprung = True

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.fault("F12")
@pytest.mark.parametrize(
    "pattern", ["../*.csv", "/etc/passwd", "a/../../*.csv", "~/x.csv", "C:/x.csv", "..\\x.csv"]
)
def test_f12_paths_that_leave(tmp_path, pattern):
    """A mapping whose pattern leads out of the recording is refused with its line."""
    write_csv(tmp_path / "in", GOOD)
    path = tmp_path / "m.yaml"
    path.write_text(
        "mapping: m\nzone: UTC\nsources:\n  a:\n"
        f"    files: ['{pattern}']\n"
        "    event_type: {constant: sms}\n    event_time: {column: start}\n"
        "    subscriber_id: {column: msisdn}\n"
    )
    with pytest.raises(ScenarioError, match=r"m\.yaml:5: sources\.a\.files.*leaves"):
        load_mapping(path)


@pytest.mark.fault("F12")
def test_f12_links_that_leave(tmp_path):
    """A link to a file outside is refused; one to a file inside is that file."""
    write_csv(tmp_path / "out", GOOD)
    folder = write_csv(tmp_path / "in", GOOD)
    os.symlink(tmp_path / "out" / "events.csv", folder / "more.csv")
    with pytest.raises(ScenarioError, match="leads out"):
        read(folder)
    os.unlink(folder / "more.csv")
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(ScenarioError, match="not a file"):
        read(folder)


def test_a_wide_header_over_short_lines(tmp_path):
    """A thousand columns and a million lines of one letter: refused, in little memory."""
    wide = ",".join([*HEADER, *(f"x{i}" for i in range(1_000))]) + "\n"
    folder = put(tmp_path / "in", wide.encode() + b"y\n" * 1_000_000)
    with pytest.raises(ScenarioError, match="too_few_fields"):
        read(folder, ignore=["*"])


def test_a_name_that_is_no_text(tmp_path):
    """Bytes that are not UTF-8 in a file name are shown as something else."""
    folder = write_csv(tmp_path / "in", GOOD)
    os.rename(folder / "events.csv", os.fsencode(folder) + b"/ev\xff.csv")
    spool = read(folder)
    assert spool.counts["applied"] == 2_000 and "ev?" in spool.manifest["files"][0]["file"]


def test_one_file_per_subscriber(tmp_path):
    """The id stands in the file name, which is masked wherever it is shown."""
    folder = tmp_path / "in"
    for who in sorted({row[1] for row in GOOD}):
        table = [row for row in GOOD if row[1] == who]
        write_csv(folder, table, f"user_{who}.csv")
    (folder / f"user_{GOOD[0][1]}.csv").open("a").write("x\n")
    spool = read(
        folder, subscriber_id={"file_name": "user_{id}.csv"}, ignore=["msisdn"],
        files=["user_*.csv"], order="file",
    )  # fmt: skip
    assert spool.digest == read(write_csv(tmp_path / "a", GOOD)).digest
    assert spool.counts["reasons"] == {"too_few_fields": 1}
    assert "77010000" not in str(spool.manifest)
    left_out = pq.read_table(spool.folder / "quarantine.parquet").to_pylist()
    assert left_out[0]["file"].startswith("user_*.csv")


def test_positions_become_cells(tmp_path):
    """Latitude and longitude make one cell for each place; out of range is a fault."""
    header = [*HEADER[:9], "lat", "lon"]
    table = [[*r[:9], f"51.{i % 3}", "-71.40000"] for i, r in enumerate(GOOD)]
    table[5][9] = "95"
    folder = write_csv(tmp_path / "in", table, header=header)
    spool = read(folder, cell={"lat": "lat", "lon": "lon"})
    cells = spool.cells()
    assert cells["key"].tolist() == [f"51.{i}0000,-71.40000" for i in range(3)]
    assert cells["lat"].tolist() == [51.0, 51.1, 51.2] and set(cells["lon"]) == {-71.4}
    assert spool.counts["reasons"] == {"bad_number": 1}


def test_surroundings_do_not_matter(tmp_path, digest, root):
    """Hash seed, locale and time zone of the process change nothing."""
    folder = write_csv(tmp_path / "in", GOOD)
    code = (
        "import pathlib, sys; from tests.recordings import read; "
        "print(read(pathlib.Path(sys.argv[1])).digest)"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Apia", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=root, env=env, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == digest
    assert SECRET not in (tmp_path / "spool-in-0" / "spool.json").read_bytes()
