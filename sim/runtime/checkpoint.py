"""Checkpoints: the state of a run at a tick border, written in two phases.

Whoever holds lines writes their parts, one file for each partition and one array after another;
the coordinator writes the rest and then the manifest that names every part with its SHA-256, and
renames the folder into place.  What no manifest names does not exist.  This module owns folders
and manifests and the re-cutting of lines onto other partitions.  It must not know roles.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.core.errors import ScenarioError
from sim.core.partition import Partition
from sim.core.sparse import line_of
from sim.record.files import sync_folder
from sim.runtime.parts import Damaged, Part, Tree, flatten, read_tree, settle, write_arrays

KEEP = 3
"""Checkpoints kept, the newest ones."""
KEEP_ONE_ABOVE = 4 << 30
"""Bytes of a checkpoint above which only the newest one is kept, beside the one being written."""
MANIFEST = "checkpoint.json"


# --- writing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draft:
    """A checkpoint that is being written; it can be sent to whoever writes a part of it.

    Attributes
    ----------
    folder : of the checkpoints, on storage that every writer sees
    tick : the last one that the checkpoint contains
    epoch : of the attempt; a process of an earlier one writes into another folder
    """

    folder: Path
    tick: int
    epoch: int

    @property
    def path(self) -> Path:
        """Return the folder that holds the parts until the checkpoint is whole."""
        return self.folder / f".tick-{self.tick:08d}-{self.epoch:04d}.tmp"

    @property
    def final(self) -> Path:
        """Return the folder of the whole checkpoint."""
        return self.folder / f"tick-{self.tick:08d}"

    def open(self) -> Draft:
        """Make the folder for the parts, in place of whatever earlier attempts left half made."""
        for old in self.folder.glob(".tick-*.tmp"):
            shutil.rmtree(old, ignore_errors=True)
        self.path.mkdir(parents=True)
        return self

    def write_lines(
        self,
        partitions: Iterable[tuple[int, int, Iterator[tuple[str, np.ndarray]]]],
        *,
        label: str = "",
    ) -> list[Part]:
        """Write one part for each (first, last, arrays) of partitions and return what was written.

        Where several hosts hold different roles of the same lines, `label` tells their files apart.

        One array at a time is in memory besides the state, if the iterators make them so.  A file
        is forced to disk while the next one is written.
        """
        parts: list[Part] = []
        waiting: list[Future[None]] = []
        with ThreadPoolExecutor(1) as pool:
            for first, last, arrays in partitions:
                name = f"lines{label}-{self.tick:08d}-{self.epoch:04d}-{first:010d}.npys"
                parts.append(self._put(name, first, last, arrays, pool, waiting))
            for future in waiting:
                future.result()
        return parts

    def _put(
        self,
        name: str,
        first: int,
        last: int,
        arrays: Iterator[tuple[str, np.ndarray]],
        pool: ThreadPoolExecutor,
        waiting: list[Future[None]],
    ) -> Part:
        temporary = self.path / f".{name}.tmp"
        handle, out = write_arrays(temporary, arrays)
        waiting.append(pool.submit(settle, handle, temporary, self.path / name))
        return Part(name, first, last, out.bytes, out.digest.hexdigest())

    def commit(self, *, run: dict[str, Any], parts: Sequence[Part], rest: Tree) -> int:
        """Write the rest and the manifest, and give the checkpoint its name; return its bytes.

        Parameters
        ----------
        run : what the checkpoint belongs to: scenario hash, seed, schema hash
        parts : what the writers of lines answered
        rest : everything that belongs to no line
        """
        for part in parts:
            self._require(part)
        waiting: list[Future[None]] = []
        with ThreadPoolExecutor(1) as pool:
            name = f"rest-{self.tick:08d}-{self.epoch:04d}.npys"
            every = [*parts, self._put(name, -1, -1, flatten(rest), pool, waiting)]
        waiting[0].result()
        content = {
            "tick": self.tick,
            "epoch": self.epoch,
            "run": run,
            "parts": [asdict(part) for part in every],
        }
        text = json.dumps(content, indent=1, sort_keys=True)
        seal = hashlib.sha256(text.encode()).hexdigest()
        path = self.path / MANIFEST
        path.write_text(json.dumps({"seal": seal, "content": text}))
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
        sync_folder(self.path)
        shutil.rmtree(self.final, ignore_errors=True)
        self.path.rename(self.final)
        sync_folder(self.folder)
        n_bytes = sum(part.bytes for part in every)
        _forget(self.folder, n_bytes)
        return n_bytes

    def _require(self, part: Part) -> None:
        path = self.path / part.file
        found = path.stat().st_size if path.is_file() else None
        if found != part.bytes:
            raise ScenarioError(
                "a host wrote its part of a checkpoint where this process does not see it",
                file=path, found="nothing" if found is None else f"{found:,} bytes",
                expected=f"{part.bytes:,} bytes: runs on storage that every machine sees",
            )  # fmt: skip


def _forget(folder: Path, n_bytes: int) -> None:
    kept = 1 if n_bytes > KEEP_ONE_ABOVE else KEEP
    for old in sorted(folder.glob("tick-*"))[:-kept]:
        shutil.rmtree(old, ignore_errors=True)


def claim_epoch(path: Path) -> int:
    """Return a number above all that were ever claimed with this file: that of a new attempt.

    It is on disk before it is returned, so that what a killed attempt still writes can never bear
    the number of a later one.
    """
    try:
        epoch = int(path.read_text()) + 1
    except (OSError, ValueError):
        epoch = 1
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as handle:
        handle.write(str(epoch))
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)
    return epoch


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose manifest holds; it can be sent to whoever reads a part of it.

    Attributes
    ----------
    path : its folder
    tick, epoch : when, and in which attempt, it was taken
    lines : parts of partitions, in the order of lines
    other : the part of what belongs to no line
    """

    path: Path
    tick: int
    epoch: int
    lines: tuple[Part, ...]
    other: Part

    def rest(self) -> Tree:
        """Return what belongs to no line; raises `Damaged`."""
        return read_tree(self.path / self.other.file, self.other)

    def read(self, part: Part) -> Tree:
        """Return the lines of a part; raises `Damaged`."""
        tree = read_tree(self.path / part.file, part)
        return {"roles": {}, "waiting": {}} | tree | {"first": part.first, "last": part.last}

    def cut(self, partitions: Iterable[Partition]) -> Iterator[Tree]:
        """Give the state of each partition, read and verified one by one; raises `Damaged`.

        The partitions may be cut in another way than those that were saved.
        """
        held: dict[str, Tree] = {}
        for partition in partitions:
            touching = [
                part
                for part in self.lines
                if part.first < partition.last and part.last > partition.first
            ]
            held = {p.file: held[p.file] if p.file in held else self.read(p) for p in touching}
            yield cut_lines(_whole(held.values()), partition)


def _whole(trees: Iterable[Tree]) -> list[Tree]:
    """Return one tree for each range of lines; the roles of a range may lie in several files."""
    out: dict[tuple[int, int], Tree] = {}
    for tree in trees:
        lines = (tree["first"], tree["last"])
        known = out.get(lines)
        out[lines] = tree if known is None else {
            **known,
            "roles": known["roles"] | tree["roles"],
            "waiting": known["waiting"] | tree["waiting"],
        }  # fmt: skip
    return [out[lines] for lines in sorted(out)]


def restore(
    folder: Path, *, run: dict[str, Any], apply: Callable[[Saved], None]
) -> tuple[Saved, list[str]]:
    """Apply the newest checkpoint of this run that verifies; return it, and what was left out.

    Parameters
    ----------
    run : what the checkpoint must belong to
    apply : goes back to a checkpoint; raises `Damaged` where a part is not what was written, and
        is then called again with the checkpoint before it

    Raises
    ------
    ScenarioError : none verifies, or the newest that does belongs to another run
    """
    warnings: list[str] = []
    for path in sorted(folder.glob("tick-*"), reverse=True):
        try:
            saved = _open(path, run)
            apply(saved)
        except Damaged as error:
            warnings.append(f"checkpoint {path.name} is left out: {error}")
            continue
        return saved, warnings
    raise ScenarioError(
        "no checkpoint can be used" + "".join(f"; {w}" for w in warnings), file=folder,
        expected="a whole checkpoint; without one, start the run afresh",
    )  # fmt: skip


def _open(path: Path, run: dict[str, Any]) -> Saved:
    """Return a checkpoint after the seal of its manifest; its parts are looked for, not read."""
    try:
        sealed = json.loads((path / MANIFEST).read_text())
        text = sealed["content"]
        if hashlib.sha256(text.encode()).hexdigest() != sealed["seal"]:
            raise Damaged("its manifest is damaged")
        content = json.loads(text)
        parts = [
            Part(str(p["file"]), int(p["first"]), int(p["last"]), int(p["bytes"]), str(p["sha256"]))
            for p in content["parts"]
        ]
        lines = tuple(sorted((p for p in parts if p.first >= 0), key=lambda p: p.first))
        (other,) = (p for p in parts if p.first < 0)
        saved = Saved(path, int(content["tick"]), int(content["epoch"]), lines, other)
        told = dict(content["run"])
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        raise Damaged(f"its manifest cannot be read ({type(error).__name__})") from error
    for part in parts:
        file = path / part.file
        if not file.is_file():
            raise Damaged(f"{part.file} is missing")
        if file.stat().st_size != part.bytes:
            raise Damaged(f"{part.file} is damaged")
    differing = sorted(k for k in run if told.get(k) != run[k])
    if differing:
        raise ScenarioError(
            "the checkpoint belongs to another run; it differs in " + ", ".join(differing),
            file=path, found={k: told.get(k) for k in differing},
            expected={k: run[k] for k in differing},
        )  # fmt: skip
    return saved


def cut_lines(saved: Sequence[Tree], partition: Partition) -> Tree:
    """Return the lines of a partition out of saved partitions that hold them, in order.

    Columns under `state` have one row for each line; every other table has a column `sub`, or a
    `key` that holds the line (`sim.core.sparse`); numbers that stand alone are the same in every
    partition.
    """
    whole = saved[0]
    if len(saved) == 1 and (whole["first"], whole["last"]) == (partition.first, partition.last):
        return whole
    roles = {
        name: {
            kind: _join([(part, part["roles"][name][kind]) for part in saved], partition, kind)
            for kind in whole["roles"][name]
        }
        for name in whole["roles"]
    }
    waiting = {}
    for name in sorted({name for part in saved for name in part["waiting"]}):
        tables = [(p, p["waiting"][name]) for p in saved if name in p["waiting"]]
        rows = _join(tables, partition, "rows")
        if len(rows["sub"]):
            waiting[name] = rows
    return {"first": partition.first, "last": partition.last, "roles": roles, "waiting": waiting}


def _join(parts: list[tuple[Tree, Any]], partition: Partition, kind: str) -> Any:
    if not isinstance(parts[0][1], dict):
        return parts[0][1]
    if any(isinstance(value, dict) for value in parts[0][1].values()):
        return {
            name: _join([(part, tables[name]) for part, tables in parts], partition, name)
            for name in parts[0][1]
        }
    out = {}
    for column in parts[0][1]:
        pieces = []
        for part, table in parts:
            array = table[column]
            if kind == "state":
                low = max(partition.first - part["first"], 0)
                high = min(partition.last, part["last"]) - part["first"]
                pieces.append(array[low:high])
            else:
                subs = table["sub"] if "sub" in table else line_of(table["key"])
                pieces.append(array[(subs >= partition.first) & (subs < partition.last)])
        out[column] = np.concatenate(pieces)
    return out
