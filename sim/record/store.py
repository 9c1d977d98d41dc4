"""The read side: run folders as views of an in-memory DuckDB.

It owns how a folder is opened, checked and queried; it never writes one.  It must not know which
questions are asked, nor hold anything open that a writing run could trip over.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sim.core.errors import ScenarioError
from sim.record.files import read_json
from sim.record.folder import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    PAGES,
    PART,
    PARTS,
    STATUS_FILE,
    is_live,
)
from sim.record.tables import damaged

KPIS_FILE = "kpis.json"
EVENTS = "events"
REQUIRED = (MANIFEST_FILE, KPIS_FILE, "metrics.parquet", "digests.parquet", "audit.parquet")
"""Files without which a complete run is damaged."""
READING = ("SELECT", "EXPLAIN", "MULTI")
"""Kinds of statement that only read (MULTI is PIVOT)."""
THREADS_MAX = 2
MEMORY_MAX = "2GB"


class Run:
    """One run, opened for reading; also while it is still being written.

    Attributes
    ----------
    path : the folder
    name : its name, without `.part`
    manifest, kpis, status : the JSON files; empty dicts where an unfinished run has none yet
    tables : names that `sql` can read: `metrics`, `decisions`, `contacts`, `cells`, `digests`,
        `audit`, `geo_cells`, `geo_hexes`, and one for each table under `events/`
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(PART)
        self.complete = not path.name.endswith(PART)
        self._sums = _checksums(path) if self.complete else {}
        self._whole: set[str] = set()
        self.manifest: dict[str, Any] = self._json(MANIFEST_FILE)
        self.kpis: dict[str, Any] = self._json(KPIS_FILE)
        self.status: dict[str, Any] = self._json(STATUS_FILE, needed=False)
        self._files = _table_files(path)
        self.tables = tuple(sorted(self._files))
        self._base = _connect(path, self._files)
        self._lock = threading.Lock()

    def sql(self, query: str, parameters: list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of a query as a data frame; `?` stand for parameters."""
        with self._lock:
            return self._fetched(query, parameters, pandas=True)

    def arrow(self, query: str, parameters: list[Any] | None = None) -> pa.Table:
        """Return the rows of a query as an Arrow table."""
        with self._lock:
            return self._fetched(query, parameters, pandas=False)

    def table(self, name: str) -> pd.DataFrame:
        """Return a whole table; one that the run does not have is empty."""
        if name not in self._files:
            return pd.DataFrame()
        return self.sql(f'SELECT * FROM "{name}"')

    def metrics(self) -> pd.DataFrame:
        """Return the tallies: tick, ts_ms, metric, d1, d2, bucket, value."""
        return self.table("metrics")

    def decisions(self) -> pd.DataFrame:
        """Return the decisions of the sampled lines."""
        return self.table("decisions")

    def json(self, name: str) -> Any:
        """Return a further JSON file of the run, or None where it is missing."""
        path = self.path / name
        if not path.exists():
            return None
        self._require_whole(path)
        return read_json(path)

    def verify(self) -> list[str]:
        """Return the files whose size or checksum is not what the run wrote; slow."""
        wrong = []
        for name, entry in self._sums.items():
            path = self.path / name
            if not path.is_file() or path.stat().st_size != entry["bytes"]:
                wrong.append(name)
            elif _sha256(path) != entry["sha256"]:
                wrong.append(name)
        return wrong

    def close(self) -> None:
        """Close the data base; the files were never held."""
        self._base.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(self, name: str, *, needed: bool = True) -> dict[str, Any]:
        path = self.path / name
        if not path.exists() and not (needed and self.complete):
            return {}
        self._require_whole(path)
        found = read_json(path)
        if not isinstance(found, dict):
            raise ScenarioError("a file of the run is damaged", file=path, expected="a JSON object")
        return found

    def _require_whole(self, path: Path) -> None:
        """Refuse a file that is not what the run wrote; each is read through once.

        Parquet readers hand on most flipped bits without a word, so its checksum is asked before a
        number of it is shown.
        """
        name = path.relative_to(self.path).as_posix()
        entry = self._sums.get(name)
        if entry is None or name in self._whole:
            return
        if _sha256(path) != entry["sha256"]:
            raise ScenarioError(
                "a file of the run is damaged", file=path, found="other bytes than the run wrote",
                expected=f"SHA-256 {entry['sha256'][:16]}...; restore it, or run again",
            )  # fmt: skip
        self._whole.add(name)

    def _fetched(self, query: str, parameters: list[Any] | None, *, pandas: bool) -> Any:
        rows = self._run(query, parameters)
        try:
            return rows.df() if pandas else rows.to_arrow_table()
        except duckdb.Error as error:
            raise self._explain(error) from None

    def _run(self, query: str, parameters: list[Any] | None) -> duckdb.DuckDBPyRelation:
        # A folder is read, never written: COPY could write even where only this folder is open.
        try:
            kinds = [str(s.type) for s in self._base.extract_statements(query)]
            if len(kinds) != 1 or kinds[0].rsplit(".", 1)[-1] not in READING:
                raise ScenarioError(
                    "a query must be one statement that reads", found=query, expected="SELECT ..."
                )
            # Views are opened by their names, so a table that a query reads stands in its text.
            text = query.casefold()
            for table, files in self._files.items():
                if table.casefold() in text:
                    for path in files:
                        self._require_whole(path)
            return self._base.sql(query, params=parameters)
        except duckdb.Error as error:
            raise self._explain(error) from None

    def _explain(self, error: duckdb.Error) -> ScenarioError:
        for files in self._files.values():
            for path in files:
                if str(path) in str(error):
                    return damaged(path, error)
        return ScenarioError(
            "the query cannot be run", file=self.path, found=str(error).strip().splitlines()[0],
            expected=f"SQL over {', '.join(self.tables)}",
        )  # fmt: skip


@dataclass(frozen=True)
class RunInfo:
    """One line of a list of runs."""

    path: Path
    name: str
    state: str
    """`complete`, `running`, `interrupted`, `failed`, `killed` or `damaged`."""
    manifest: dict[str, Any]
    status: dict[str, Any]


def open_run(path: str | Path) -> Run:
    """Open a run folder; `<name>` finds `<name>.part` where the run is not complete.

    A folder that is no run, or lacks or has damaged files, is a `ScenarioError` naming the file.
    """
    path = Path(path)
    part = path.with_name(path.name + PART)
    if not path.is_dir() and part.is_dir():
        path = part
    if not path.is_dir():
        raise ScenarioError("there is no such run", file=path, expected="a run folder")
    if not path.name.endswith(PART):
        missing = [name for name in REQUIRED if not (path / name).is_file()]
        if missing:
            raise ScenarioError(
                "this folder is not a complete run", file=path / missing[0],
                found=f"{len(missing)} of {len(REQUIRED)} files missing",
                expected=", ".join(REQUIRED),
            )  # fmt: skip
        _check_sizes(path)
    elif not (path / STATUS_FILE).is_file() and not (path / MANIFEST_FILE).is_file():
        raise ScenarioError(
            "this folder is not a run", file=path / STATUS_FILE, expected="a run folder"
        )
    return Run(path.resolve())


def list_runs(folder: str | Path) -> list[RunInfo]:
    """Return every run under a folder, finished or not, youngest first; never an error."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found: list[tuple[int, RunInfo]] = []
    for path in folder.iterdir():
        try:
            if any((path / f).exists() for f in (MANIFEST_FILE, STATUS_FILE)):
                found.append((-path.stat().st_mtime_ns, run_info(path)))
        except OSError:  # renamed at this moment: the next look finds it
            continue
    return [info for _, info in sorted(found, key=lambda pair: (pair[0], pair[1].name))]


def run_info(path: Path) -> RunInfo:
    """Return what is known of one folder of a run, finished or not; never an error."""
    name = path.name.removesuffix(PART)
    try:
        manifest = read_json(path / MANIFEST_FILE) if (path / MANIFEST_FILE).exists() else {}
        status = read_json(path / STATUS_FILE) if (path / STATUS_FILE).exists() else {}
        state = str(manifest.get("status") or status.get("state") or "killed")
    except (ScenarioError, AttributeError):
        return RunInfo(path, name, "damaged", {}, {})
    if path.name.endswith(PART):
        if is_live(path):
            state = "running"
        elif "running" in (state, status.get("state")):
            state = "killed"
    elif not all((path / f).is_file() for f in REQUIRED):
        state = "damaged"
    return RunInfo(path, name, state, manifest, status)


def _check_sizes(path: Path) -> None:
    for name, entry in _checksums(path).items():
        file = path / name
        if not file.is_file():
            raise ScenarioError("a file of the run is missing", file=file)
        if file.stat().st_size != entry["bytes"]:
            raise ScenarioError(
                "a file of the run is damaged", file=file,
                found=f"{file.stat().st_size} bytes", expected=f"{entry['bytes']} bytes",
            )  # fmt: skip


def _checksums(path: Path) -> dict[str, Any]:
    """Return size and checksum by name of what must not change; empty where the run has none."""
    file = path / CHECKSUMS_FILE
    if not file.exists():
        return {}
    found = read_json(file)
    if not isinstance(found, dict) or not all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in found.values()
    ):
        raise ScenarioError(
            "a file of the run is damaged", file=file, expected="bytes and sha256 of each file"
        )
    return {name: entry for name, entry in found.items() if name not in PAGES}


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _table_files(path: Path) -> dict[str, list[Path]]:
    """Return table -> its files: final ones, or the parts of an unfinished run."""
    out: dict[str, list[Path]] = {p.stem: [p] for p in sorted(path.glob("*.parquet"))}
    for file in sorted((path / EVENTS).glob("*.parquet")):
        out.setdefault(file.stem.rsplit("-", 1)[0], []).append(file)
    parts: dict[str, list[Path]] = {}
    for file in sorted((path / PARTS).glob("*.parquet")):
        parts.setdefault(file.stem.rsplit("-", 2)[0], []).append(file)
    if parts and "contacts" not in out:
        parts["contacts"] = parts.pop("deliveries", [])
    for table, files in parts.items():
        if files:
            out.setdefault(table, files)
    return {table: [file for file in files if file.name[0] != "."] for table, files in out.items()}


def _connect(path: Path, tables: dict[str, list[Path]]) -> duckdb.DuckDBPyConnection:
    base = duckdb.connect(config={"threads": THREADS_MAX, "memory_limit": MEMORY_MAX})
    # The SQL of a page reads this run and nothing else of the machine.
    base.execute(f"SET allowed_directories = [{_text(path)}]")
    base.execute("SET enable_external_access = false")
    for table, files in tables.items():
        for file in files:
            _check_footer(file)
        names = ", ".join(_text(file) for file in files)
        try:
            base.execute(f'CREATE VIEW "{table}" AS SELECT * FROM read_parquet([{names}])')
        except duckdb.Error as error:  # it reads more of a footer than Arrow does
            raise damaged(files[0], error) from None
    base.execute("SET lock_configuration = true")
    return base


def _check_footer(path: Path) -> None:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
