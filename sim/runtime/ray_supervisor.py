"""A process that outlives the driver of a Ray cluster of our own and leaves nothing behind.

It watches which processes the cluster is made of, by process id and start time.  Once the driver
has ended, in whatever way, it ends those that are left and removes the temporary folder.  It owns
that folder and the note in it, from which a later start clears what a dead supervisor could not.
It must not import Ray, and never ends a process by its name.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

PREFIX = "twin-ray-"
NOTE = "owner.json"
POLL_S = 1.0
GRACE_S = 3.0
"""Time that processes get to end by themselves once the driver is gone, s."""
KILL_S = 20.0
"""Time within which every process must have ended once it was told to, s."""
FOLDER_LENGTH_MAX = 20
"""Longest path below which Ray can make its sockets, whose paths have a limit of 107."""

Identity = tuple[int, float]
"""Process id and start time, s since the epoch of Unix."""


def identity(process: psutil.Process) -> Identity:
    """Return what names a process for good: ids are used again."""
    return process.pid, process.create_time()


def find(who: Identity) -> psutil.Process | None:
    """Return the living process of an identity, or None."""
    try:
        process = psutil.Process(who[0])
        if process.create_time() == who[1] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except psutil.Error:
        pass
    return None


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the living processes below a process."""
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def end(processes: Iterable[Identity], *, grace_s: float = 0.0) -> list[Identity]:
    """End processes and all below them; return those that live after `KILL_S`.

    Parameters
    ----------
    grace_s : time that they get to end by themselves
    """
    left = {who for who in processes if find(who)}
    until = time.monotonic() + grace_s
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = {who for who in left if find(who)}
    until = time.monotonic() + KILL_S
    while left and time.monotonic() < until:
        for who in list(left):
            process = find(who)
            if process is None:
                continue
            for below in descendants(process):
                try:
                    left.add(identity(below))
                except psutil.Error:
                    continue
            try:
                process.kill()
            except psutil.Error:
                continue
        time.sleep(0.05)
        left = {who for who in left if find(who)}
    return sorted(left)


def _base() -> Path:
    base = Path(tempfile.gettempdir())
    return base if len(str(base)) <= FOLDER_LENGTH_MAX else Path("/tmp")


def sweep() -> None:
    """Clear what dead runs of this user left: their processes, and their temporary folders."""
    for folder in _base().glob(f"{PREFIX}*"):
        try:
            note = json.loads((folder / NOTE).read_text())
            owners = [(int(pid), float(start)) for pid, start in note["owners"]]
            processes = [(int(pid), float(start)) for pid, start in note["processes"]]
            mine = folder.stat().st_uid == os.getuid()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if mine and not any(find(who) for who in owners):
            end(processes)
            remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder into which a process that is ending may still write a last line."""
    until = time.monotonic() + GRACE_S
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > until:
            return
        time.sleep(0.05)


class Supervisor:
    """The driver's hold on its supervisor: the pipe that breaks when the driver ends.

    Attributes
    ----------
    folder : temporary folder of the cluster, removed by the supervisor; only its owner may read it
    """

    def __init__(self) -> None:
        """Start the supervisor; `watch` tells it of processes that it cannot find by itself."""
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base()))
        me = identity(psutil.Process())
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.folder), str(me[0]), repr(me[1])],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def watch(self, processes: Iterable[Identity]) -> None:
        """Name processes that belong to this run."""
        assert self.process.stdin is not None
        for who in processes:
            self.process.stdin.write(f"{json.dumps(who)}\n".encode())
        self.process.stdin.flush()

    def close(self) -> None:
        """Let it end what is left and remove the folder, and wait until it has."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(GRACE_S + KILL_S + 10)


class _Watch:
    """The other side: inside the supervisor."""

    def __init__(self, folder: Path, driver: Identity) -> None:
        self.folder = folder
        self.driver = driver
        self.seen: set[Identity] = set()
        self.noted = -1

    def look(self) -> None:
        """Find the processes of the cluster: below the driver, with our folder on their line."""
        driver = find(self.driver)
        for process in descendants(driver) if driver else []:
            try:
                if any(str(self.folder) in word for word in process.cmdline()[1:]):
                    if process.pid != os.getpid():
                        self.seen.add(identity(process))
            except psutil.Error:
                continue
        for who in list(self.seen):
            process = find(who)
            if process is None:
                self.seen.discard(who)
                continue
            for below in descendants(process):
                try:
                    self.seen.add(identity(below))
                except psutil.Error:
                    continue
        self._note()

    def _note(self) -> None:
        told = hash(frozenset(self.seen))
        if told == self.noted:
            return
        self.noted = told
        owners = [self.driver, identity(psutil.Process())]
        temporary = self.folder / f".{NOTE}"
        temporary.write_text(json.dumps({"owners": owners, "processes": sorted(self.seen)}))
        temporary.rename(self.folder / NOTE)

    def hear(self, text: bytes) -> None:
        """Take lines of (pid, start)."""
        for line in text.splitlines():
            pid, start = json.loads(line)
            self.seen.add((int(pid), float(start)))


def main(folder: str, pid: str, start: str) -> None:
    """Watch until the driver ends, then clear."""
    watch = _Watch(Path(folder), (int(pid), float(start)))
    pending = b""
    while True:
        try:
            watch.look()
        except OSError:
            pass  # a full disk keeps the note from being written, not the watch from going on
        ready, _, _ = select.select([0], [], [], POLL_S)
        if not ready:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            break
        whole, _, pending = (pending + data).rpartition(b"\n")
        watch.hear(whole)
    if not end(watch.seen, grace_s=GRACE_S):
        remove(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
