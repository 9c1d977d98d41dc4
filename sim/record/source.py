"""The replay reader: from recorded files to ordered, typed, deduplicated rows, in bounded memory.

It owns the passes of reading: find and check every file, read each once into typed rows, settle
duplicates, sort by subscriber and time into a spool, and account for every row.  It must not know
how a mapping is written, nor what the twin does with a row.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from sim.core.errors import Problem, ScenarioError
from sim.record import source_parquet
from sim.record.files import write_json
from sim.record.source_bytes import find_files, unchanged
from sim.record.source_cells import cell_file, read_cells
from sim.record.source_columns import Batch, from_strings, header, text_batches
from sim.record.source_fields import CODE, Context, Rows, other_sides, typed
from sim.record.source_finish import finish
from sim.record.source_gaps import Gaps
from sim.record.source_ids import SECRET_BYTES_MIN, Names
from sim.record.source_kernels import WINDOW, late
from sim.record.source_quarantine import Quarantine, without_numbers
from sim.record.source_sort import LATE_BIT, Pool
from sim.record.source_spec import InputFile, Limits, Recording, SourceSpec, is_parquet
from sim.record.source_spool import MANIFEST, VERSION, Spool

PROBLEMS_MAX = 100
_NEVER = -(1 << 62)
Progress = Callable[[int, int], None]


class Source:
    """The files of one recording.

    Usage: `Source(recording, root).spool(folder, secret=...)`; `check()` alone refuses bad files
    before anything is built or written.
    """

    def __init__(self, recording: Recording, root: Path, *, limits: Limits | None = None) -> None:
        """Take a recording and where its files are.

        Parameters
        ----------
        recording : what the files mean (`scenarios.replay.mapping.Mapping.recording()`)
        root : folder that the patterns of the recording start from, or the only file
        limits : for tests
        """
        self.recording = recording
        self.root = Path(root)
        self.limits = limits or Limits()
        self._names: dict[Path, list[str]] = {}
        self._files: tuple[InputFile, ...] = ()

    def check(self) -> tuple[InputFile, ...]:
        """Find all files, hold every header or schema against the recording; read no row.

        Raises one `ScenarioError` with all problems.
        """
        if not self.root.exists():
            raise ScenarioError(
                "no such file or folder", file=self.root.name, path="events",
                expected="a recording: a file, or a folder of files",
            )  # fmt: skip
        problems: list[Problem] = []
        files: list[InputFile] = []
        for spec in self._specs():
            try:
                found = find_files(spec, self.root, self.limits)
            except ScenarioError as error:
                problems.extend(error.problems)
                continue
            files += found
            problems += self._check_columns(spec, found)
        if self.recording.cells is not None:
            try:
                cell_file(self.recording.cells, self._base())
            except ScenarioError as error:
                problems.extend(error.problems)
        if problems:
            raise ScenarioError.collect([_clean(p) for p in problems[:PROBLEMS_MAX]])
        self._files = tuple(files)
        return self._files

    def _base(self) -> Path:
        return self.root.parent if self.root.is_file() else self.root

    def _specs(self) -> tuple[SourceSpec, ...]:
        """Return the sources; of a single file those whose pattern fits it."""
        specs = self.recording.sources
        if not self.root.is_file() or len(specs) == 1:
            return specs
        name = self.root.name
        fitting = tuple(
            s for s in specs if any(Path(name).match(f.split("/")[-1]) for f in s.files)
        )
        return fitting or specs

    def _check_columns(self, spec: SourceSpec, files: list[InputFile]) -> list[Problem]:
        problems: list[Problem] = []
        first: dict[str, str] = {}
        for file in files:
            try:
                if is_parquet(spec, file.path.name):
                    names, wrong = source_parquet.check(spec, file, first)
                else:
                    names, wrong = header(spec, file, self.limits)
            except ScenarioError as error:
                names, wrong = [], list(error.problems)
            self._names[file.path] = names
            problems += wrong
            if len(problems) >= PROBLEMS_MAX:
                break
        return problems

    def spool(
        self,
        folder: Path,
        *,
        secret: bytes,
        known: Iterable[str] | None = None,
        on_progress: Progress | None = None,
    ) -> Spool:
        """Read everything once and write a spool; complete or absent.

        A spool of the same files and recording that is there already is opened and not made again.

        Parameters
        ----------
        folder : of the spool; `<folder>.part` while it is made
        secret : at least 16 bytes, kept outside any run folder: the key of the pseudonyms
        known : ids (as they stand in the recording) that may be applied; others are quarantined as
            `unknown_subscriber`.  None admits all.
        on_progress : called with (bytes read, bytes in all)
        """
        if len(secret) < SECRET_BYTES_MIN:
            raise ScenarioError("the secret is too short", expected=f"{SECRET_BYTES_MIN} bytes")
        known = None if known is None else sorted(set(known))
        print_ = self.fingerprint(known)
        folder = Path(folder)
        if (folder / MANIFEST).is_file():
            there = Spool.open(folder)
            if there.manifest["fingerprint"] == print_:
                return there
            raise ScenarioError(
                "a spool of other files is in the way", file=folder, expected="another folder"
            )
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            manifest = _Reading(self, part, secret, known, on_progress).run()
            write_json(part / MANIFEST, {**manifest, "version": VERSION, "fingerprint": print_})
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        os.rename(part, folder)
        return Spool.open(folder)

    def fingerprint(self, known: Iterable[str] | None = None) -> str:
        """Return a hash of all that a spool is made of: files as they are, and what they mean."""
        files = self._files or self.check()
        known = None if known is None else sorted(set(known))
        told = [(f.shown, f.size, f.mtime_ns) for f in files]
        text = f"{VERSION}{told!r}{self.recording!r}"
        if self.recording.cells is not None:
            side = cell_file(self.recording.cells, self._base())
            text += f"{side.size} {side.mtime_ns}"
        if known is not None:
            text += hashlib.sha256(repr(known).encode()).hexdigest()
        return hashlib.sha256(text.encode()).hexdigest()

    def batches(
        self, spec: SourceSpec, file: InputFile, on_bytes: Callable[[bytes], None] | None
    ) -> Iterator[Batch]:
        """Give the rows of a file as texts."""
        if is_parquet(spec, file.path.name):
            return source_parquet.batches(spec, file, self.limits)
        return text_batches(spec, file, self.limits, self._names[file.path], on_bytes)


def _clean(problem: Problem) -> Problem:
    """Return a problem without long numbers: a file without a header has them in its first line."""
    return Problem(
        without_numbers(problem.message), file=problem.file, line=problem.line, path=problem.path,
        found=None if problem.found is None else without_numbers(problem.found),
        expected=problem.expected,
    )  # fmt: skip


class _Clock:
    """How far the rows of a source have come in time."""

    def __init__(self, spec: SourceSpec) -> None:
        self.bound_ms = spec.late_max_s * 1_000
        self.order = spec.order
        self.restart()

    def restart(self) -> None:
        """Begin anew, as each file does where only files are in order."""
        self._window = np.zeros(WINDOW, np.int64)
        self._state = np.array([0, _NEVER], np.int64)

    def late(self, rows: Rows) -> np.ndarray:
        """Return the mask of rows that are older than the bound allows."""
        out = np.zeros(len(rows.raw), np.uint8)
        if self.order == "none":
            return out.astype(bool)
        ts = np.ascontiguousarray(rows.raw["ts"])
        good = rows.good.astype(np.uint8)
        late(ts, good, self.bound_ms, self._window, self._state, out)
        return out.astype(bool)


class _Reading:
    """One reading of all files into a folder."""

    def __init__(
        self, source: Source, part: Path, secret: bytes, known: list[str] | None,
        on_progress: Progress | None,
    ) -> None:  # fmt: skip
        self.source, self.part, self.secret = source, part, secret
        recording, limits = source.recording, source.limits
        self.files = source._files
        subscribers = Names("subscribers", limits.subscribers, secret)
        cells = Names("cells", limits.cells, secret)
        versions = None
        if recording.cells is not None:
            versions = read_cells(recording.cells, source._base(), cells, limits)
        rule = recording.sources[0].subscriber
        some = None
        if known is not None:
            some = np.unique(subscribers.hashes(from_strings(known), rule))
        self.context = Context(recording, subscribers, cells, versions, some)
        self.pool = Pool(part / "pool", limits)
        self.quarantine = Quarantine(part, limits.quarantine_rows, recording.bad_share_max)
        self.gaps = Gaps(recording.zone)
        self.base = [0]
        self.derived = 0
        self._done, self._all = 0, sum(f.size for f in self.files)
        self._progress = on_progress

    def run(self) -> dict:
        """Read, settle, sort; return the manifest."""
        specs = {spec.name: (i, spec) for i, spec in enumerate(self.source.recording.sources)}
        clocks = {name: _Clock(spec) for name, (_, spec) in specs.items()}
        read: dict[str, int] = dict.fromkeys((f.source for f in self.files), 0)
        facts = []
        for file in self.files:
            number, spec = specs[file.source]
            n, fact = self._read(spec, number, file, clocks[file.source])
            read[file.source] += n
            facts.append(fact)
        self._refuse_nothing(read)
        self.pool.flush()
        drop = self._settle()
        changed = [problem for file in self.files if (problem := unchanged(file)) is not None]
        if changed:
            raise ScenarioError.collect(changed)
        self.quarantine.judge(last=True)
        self.quarantine.close()
        days_max = self.source.limits.days
        made = finish(self.part, self.pool, drop, self.context, self.secret, days_max=days_max)
        shutil.rmtree(self.part / "pool")
        counts = self.quarantine.counts(made["derived"])
        if not counts["applied"]:
            raise ScenarioError("no row can be applied", file=self.source.root.name,
                                found=str(counts["reasons"]), expected="events")  # fmt: skip
        return {
            **made, "counts": counts, "files": facts, "mapping": self.source.recording.digest,
            "gaps": self.gaps.found(made["start_ms"]),
        }  # fmt: skip

    def _read(
        self, spec: SourceSpec, number: int, file: InputFile, clock: _Clock
    ) -> tuple[int, dict]:
        """Read one file; return its rows and its facts for the manifest."""
        if spec.order == "file":
            clock.restart()
        digest = hashlib.sha256()
        n, last = 0, 0

        def on_bytes(chunk: bytes) -> None:
            digest.update(chunk)
            self._tell(len(chunk))

        for batch in self.source.batches(spec, file, on_bytes):
            self._take(spec, number, batch, clock)
            n += len(batch)
            last = int(batch.line[-1])
            self.quarantine.judge(last=False)
        if is_parquet(spec, file.path.name):
            with file.path.open("rb") as handle:
                while chunk := handle.read(1 << 20):
                    on_bytes(chunk)
        problem = unchanged(file)
        if problem is not None:
            raise ScenarioError.collect([problem])
        self.base.append(self.base[-1] + last + 1)
        sha = digest.hexdigest()
        return n, {"file": file.shown, "bytes": file.size, "sha256": sha, "rows": n}

    def _take(self, spec: SourceSpec, number: int, batch: Batch, clock: _Clock) -> None:
        rows = typed(spec, number, batch, self.context)
        rows.raw["ord"] = (self.base[-1] + batch.line).astype(np.uint64)
        behind = clock.late(rows) & rows.good
        if rows.event is not None:
            good = np.flatnonzero(rows.good)
            self.pool.add_ids(rows.raw[good], rows.event[good], behind[good])
        else:
            rows.give(behind, "late")
        applied = rows.raw[rows.good & ~behind]
        self.gaps.add(spec.name, applied["ts"])
        self.pool.add(applied)
        if spec.two_sided:
            self.pool.add(other_sides(applied, self.context.known))
        self.quarantine.rows_read += len(batch)
        self.quarantine.take(spec.name, batch.file.shown, batch.line, rows.reason, rows.found)

    def _tell(self, n_bytes: int) -> None:
        self._done += n_bytes
        if self._progress is not None:
            self._progress(self._done, self._all)

    def _refuse_nothing(self, read: dict[str, int]) -> None:
        nothing = [
            Problem("the files have no rows", path=f"sources.{name}.files",
                    file=next(f.shown for f in self.files if f.source == name),
                    found="a header alone", expected="rows")
            for name, n in read.items() if not n
        ]  # fmt: skip
        if nothing:
            raise ScenarioError.collect(nothing)

    def _settle(self) -> np.ndarray:
        """Decide duplicates, account for them; return the sorted `ord` of rows that are dropped."""
        dropped = []
        bases = np.array(self.base, np.uint64)
        for reason, ords in self.pool.settle():
            if not len(ords):
                continue
            plain = np.sort(ords & ~LATE_BIT)
            dropped.append(ords[ords < LATE_BIT])
            place = np.searchsorted(bases, plain, side="right") - 1
            for i in np.unique(place).tolist():
                file = self.files[i]
                line = (plain[place == i] - bases[i]).astype(np.int64)
                code = np.full(len(line), CODE[reason], np.uint8)
                self.quarantine.take(file.source, file.shown, line, code)
        return np.sort(np.concatenate(dropped)) if dropped else np.zeros(0, np.uint64)
