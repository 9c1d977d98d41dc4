"""The run folder: complete or absent.

It owns the name of a run on disk, the lock that says who writes, the status file that terminals
and dashboards read, and the last rename that makes a run complete.  It must not know what the
files of a run mean.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from sim.core.errors import ScenarioError, TwinError
from sim.record.files import (
    json_bytes,
    read_json,
    sync_folder,
    write_atomic,
    write_json,
    write_text,
)

PART = ".part"
LOCK_FILE = ".lock"
OWNER_FILE = ".owner.json"
STATUS_FILE = "status.json"
MANIFEST_FILE = "manifest.json"
CHECKSUMS_FILE = "checksums.json"
CHECKPOINTS = "checkpoints"
PARTS = "parts"
PAGES = ("report.html",)
"""Files that `twin report` makes anew from the results: they may change in a complete run."""

STATUS_INTERVAL_S = 0.5
"""Shortest time between two writings of the status: at most twice a second."""
NAME_TRIES_MAX = 1_000
"""Runs of one name that may lie side by side (`-2`, `-3`, ...)."""

_TOKEN = uuid.uuid4().hex
"""Names this process.  Record locks do not exclude a process from itself; the token does."""


class RunFolder:
    """One run on disk: `<name>.part` while it is written, `<name>` once it is complete.

    Attributes
    ----------
    path : where the files are now; changes when the run is completed
    name : final name of the folder, without `.part`
    """

    def __init__(self, path: Path, name: str, *, exact: bool, lock: int) -> None:
        self.path = path
        self.name = name
        self._exact = exact
        self._lock: int | None = lock
        self._status: dict[str, Any] = {}
        self._written_s = -math.inf

    # --- life ---------------------------------------------------------------------------------

    @classmethod
    def create(cls, parent: str | Path, name: str, *, exact: bool = False) -> RunFolder:
        """Make a new `<name>.part` under `parent` and lock it.

        Parameters
        ----------
        parent : folder of runs; made where it does not exist
        name : wanted name.  Where `<name>` or `<name>.part` exists, `-2`, `-3`, ... is appended:
            a folder is never reused, and an interrupted run stays there to be resumed.
        exact : the name was given (`--out DIR` is `create(DIR.parent, DIR.name, exact=True)`);
            an existing folder is then a `ScenarioError`
        """
        parent = Path(parent)
        _make_parent(parent)
        for n in range(1, NAME_TRIES_MAX + 1):
            tried = name if n == 1 else f"{name}-{n}"
            part = parent / f"{tried}{PART}"
            if _claim(part, parent / tried):
                folder = cls(part, tried, exact=exact, lock=_take_lock(part))
                (part / CHECKPOINTS).mkdir()
                return folder
            if exact:
                break
        raise _taken(parent, name, exact=exact)

    @classmethod
    def resume(cls, path: str | Path) -> RunFolder:
        """Lock an interrupted or killed run again; accepts `<name>` and `<name>.part`."""
        path = Path(path)
        part = path if path.name.endswith(PART) else path.with_name(path.name + PART)
        if not part.is_dir():
            done = path.is_dir()
            raise ScenarioError(
                "this run is complete: there is nothing to resume" if done
                else "there is no interrupted run here",
                file=path, expected=f"a folder {part.name}",
            )  # fmt: skip
        if is_live(part):
            raise ScenarioError("another process is writing this run", file=part)
        (part / CHECKPOINTS).mkdir(exist_ok=True)
        return cls(part, part.name.removesuffix(PART), exact=True, lock=_take_lock(part))

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / CHECKPOINTS

    def complete(self, *, exit_code: int = 0, keep_checkpoints: bool = False) -> Path:
        """Remove parts, write checksums, rename, release the lock; return the final path.

        Parameters
        ----------
        exit_code : told to whoever watches: 4 where the run is whole but missed a target
        keep_checkpoints : False where they were but a safety net: a national one takes 11 GB
        """
        if not keep_checkpoints:
            for saved in self.checkpoints.glob("*"):
                shutil.rmtree(saved, ignore_errors=True)
        # Files, and whole folders of checkpoints, that a kill or a full disk left half written.
        for rest in sorted(self.path.rglob(".*.tmp")):
            if rest.is_dir():
                shutil.rmtree(rest, ignore_errors=True)
            else:
                rest.unlink(missing_ok=True)
        shutil.rmtree(self.path / PARTS, ignore_errors=True)
        self._finish_status("complete", exit_code=exit_code)
        self.write_json(CHECKSUMS_FILE, _checksums(self.path))
        final = self.path.with_name(self.name)
        if final.exists():
            raise _taken(final.parent, self.name, exact=True)
        os.rename(self.path, final)
        sync_folder(final.parent)
        self.path = final
        self._release()
        return final

    def started(self, manifest: dict[str, Any] | None) -> None:
        """Write what is known when the first tick begins, so that a watcher sees which."""
        if manifest is not None:
            self.write_json(MANIFEST_FILE, manifest)

    def interrupted(self, manifest: dict[str, Any] | None = None) -> Path:
        """Leave the `.part` to be resumed; its manifest says `interrupted`."""
        return self._leave("interrupted", manifest, None, exit_code=130)

    def failed(self, error: BaseException | str, manifest: dict[str, Any] | None = None) -> Path:
        """Leave the `.part` as evidence; its manifest says `failed` and why."""
        code = int(getattr(error, "exit_code", 1))
        reason = str(error)
        if isinstance(error, BaseException) and not isinstance(error, TwinError):
            # What Python says of a KeyError is the key alone.
            reason = f"{type(error).__name__}: {error}" if reason else type(error).__name__
        return self._leave("failed", manifest, reason, exit_code=code)

    # --- files --------------------------------------------------------------------------------

    def write_json(self, name: str, obj: Any, *, indent: int | None = 2) -> Path:
        """Write one JSON file, atomically and durably; NaN and infinity become null."""
        path = self.path / name
        write_json(path, obj, indent=indent)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """Write one text file, atomically and durably."""
        path = self.path / name
        write_text(path, text)
        return path

    def write_status(
        self,
        phase: str,
        sim_ms: int = 0,
        sim_end_ms: int = 0,
        events: int = 0,
        rate: float | None = None,
        eta_s: float | None = None,
        memory_bytes: int | None = None,
        recoveries: int = 0,
        part: tuple[int, int, str] | None = None,
        phase_s: float | None = None,
        start: str | None = None,
        force: bool = False,
    ) -> bool:
        """Write `status.json` at most twice a second; return whether it was written.

        Parameters
        ----------
        phase : `load`, `build`, `compile`, `run`, `write`
        sim_ms, sim_end_ms : simulated clock and its end, ms since the start of the scenario
        events : network events so far
        rate : network events per wall second
        eta_s : wall seconds that are left, None where nobody can tell
        memory_bytes : memory of all processes, bytes
        recoveries : times that a host was lost and restored
        part : done, total and their noun, where a phase is counted in something else than
            simulated time, such as `(65_536, 1_000_000, "lines")`
        phase_s : wall seconds since the phase began
        start : start of the scenario, local ISO time, to which `sim_ms` is added
        force : write it even if the last one is younger than half a second
        """
        self._status = {
            "state": "running",
            "phase": phase,
            "sim_ms": int(sim_ms),
            "sim_end_ms": int(sim_end_ms),
            "share": round(sim_ms / sim_end_ms, 6) if sim_end_ms else None,
            "events": int(events),
            "events_per_second": rate,
            "eta_s": eta_s,
            "memory_bytes": None if memory_bytes is None else int(memory_bytes),
            "recoveries": int(recoveries),
            "phase_s": phase_s,
            "phase_part": None
            if part is None
            else {"done": int(part[0]), "total": int(part[1]), "of": part[2]},
            "start": start,
        }
        now = time.monotonic()
        if not force and now - self._written_s < STATUS_INTERVAL_S:
            return False
        self._written_s = now
        self._put_status()
        return True

    # --- inside -------------------------------------------------------------------------------

    def _put_status(self) -> None:
        document = {**self._status, "pid": os.getpid(), "updated_unix_s": round(time.time(), 3)}
        write_atomic(self.path / STATUS_FILE, json_bytes(document, indent=None), sync=False)

    def _finish_status(self, state: str, error: str | None = None, *, exit_code: int = 0) -> None:
        self._status = {**self._status, "state": state, "eta_s": None, "exit_code": exit_code}
        if error is not None:
            self._status["error"] = error
        self._put_status()

    def _leave(
        self, status: str, manifest: dict[str, Any] | None, error: str | None, *, exit_code: int
    ) -> Path:
        path = self.path / MANIFEST_FILE
        known = manifest if manifest is not None else (read_json(path) if path.exists() else {})
        document = {**known, "status": status}
        if error is not None:
            document["error"] = error
        # The disk that stopped the run may be too full to say so: the lock goes all the same, and
        # the folder then looks like that of a killed run, which can be resumed too.
        try:
            self.write_json(MANIFEST_FILE, document)
            self._finish_status(status, error, exit_code=exit_code)
        except OSError as full:
            logging.getLogger(__name__).warning("%s: state %s not told: %s", path, status, full)
        finally:
            self._release()
        return self.path

    def _release(self) -> None:
        # Names go first, the lock last: whoever opens the old file in between finds it held.
        (self.path / OWNER_FILE).unlink(missing_ok=True)
        (self.path / LOCK_FILE).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def is_live(part: str | Path) -> bool:
    """Return whether a process, this one included, is writing the folder right now."""
    part = Path(part)
    if _owner(part) == _TOKEN:
        return True
    try:
        lock = os.open(part / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def resumable(parent: str | Path, name: str) -> list[Path]:
    """Return the parts of this name, `-2` and so on included, that no process is writing.

    The youngest comes first.
    """
    parts = [
        path
        for path in Path(parent).glob(f"{_escape(name)}*{PART}")
        if _is_copy(path.name.removesuffix(PART), name) and not is_live(path)
    ]
    return sorted(parts, key=lambda path: (-path.stat().st_mtime_ns, path.name))


def _claim(part: Path, final: Path) -> bool:
    # mkdir decides between two runs that start together; the final name is looked at afterwards,
    # since the other run may have become complete in between.
    try:
        part.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise _not_writable(part, error) from None
    if final.exists():
        part.rmdir()
        return False
    return True


def _make_parent(parent: Path) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(
            "the folder of runs cannot be made", file=parent, found=error.strerror,
            expected="a folder that can be written",
        ) from None  # fmt: skip


def _not_writable(part: Path, error: OSError) -> ScenarioError:
    return ScenarioError(
        "the run folder cannot be made or written", file=part, found=error.strerror,
        expected="a folder that can be written",
    )  # fmt: skip


def _taken(parent: Path, name: str, *, exact: bool) -> ScenarioError:
    if not exact:
        return ScenarioError(
            "too many runs of one name", file=parent / name, found=NAME_TRIES_MAX,
            expected="fewer; remove some, or give --out",
        )  # fmt: skip
    if (parent / name).exists():
        return ScenarioError(
            "the output folder exists, and a folder is never reused", file=parent / name,
            expected="a name that is free",
        )  # fmt: skip
    return ScenarioError(
        "an unfinished run has this name", file=parent / f"{name}{PART}",
        expected="a free name, or --resume to go on with it",
    )  # fmt: skip


def _take_lock(part: Path) -> int:
    # Record locks (lockf), not flock: they belong to the process, so that worker processes which
    # were forked from it and outlive a kill -9 do not hold the folder.
    try:
        lock = os.open(part / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _not_writable(part, error) from None
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ScenarioError("another process is writing this run", file=part) from None
    owner = {"token": _TOKEN, "pid": os.getpid(), "host": socket.gethostname()}
    write_atomic(part / OWNER_FILE, json_bytes(owner, indent=None), sync=False)
    return lock


def _owner(part: Path) -> str | None:
    try:
        return json.loads((part / OWNER_FILE).read_text("utf-8"))["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_copy(found: str, name: str) -> bool:
    rest = found.removeprefix(name)
    return rest == "" or (rest.startswith("-") and rest[1:].isdigit())


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "[]*?" else c for c in name)


def _checksums(root: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every result file; what only serves the run itself is left out."""
    out: dict[str, dict[str, Any]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.name.startswith(".") or name.startswith(CHECKPOINTS + "/"):
            continue
        # The parts of a tape have their checksums in its index, made while they were written.
        if name in (STATUS_FILE, CHECKSUMS_FILE, *PAGES) or name.startswith("tape/tick-"):
            continue
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        out[name] = {"bytes": path.stat().st_size, "sha256": digest}
    return out
