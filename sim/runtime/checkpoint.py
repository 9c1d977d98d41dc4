"""Checkpoints: the state of a run at a tick border, written in two phases.

It owns the files (`tick-N/` with one `.npz` for each partition and one for the rest, each with
its SHA-256 in a manifest that is renamed into place last) and the re-cutting of lines onto other
partitions.  It must not know roles: it saves nested dicts of arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.core.errors import LimitError, ScenarioError
from sim.core.lazy import LazyList
from sim.core.partition import Partition

KEEP = 3
"""Checkpoints kept, the newest ones."""
KEEP_ONE_ABOVE = 4 << 30
"""Bytes of a checkpoint above which only the newest one is kept."""
MANIFEST = "checkpoint.json"
SEPARATOR = "/"


def flatten(value: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Return a nested dict of arrays as one flat dict with path names."""
    out: dict[str, np.ndarray] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            if not item:
                out[f"{name}{SEPARATOR}"] = np.zeros(0, np.uint8)
            out |= flatten(item, name + SEPARATOR)
        else:
            out[name] = np.asarray(item)
    return out


def unflatten(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the nested dict that `flatten` was given."""
    out: dict[str, Any] = {}
    for name, array in flat.items():
        *path, last = name.split(SEPARATOR)
        place = out
        for key in path:
            place = place.setdefault(key, {})
        if last:
            place[last] = array
    return out


def _write(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    temporary = path.with_suffix(".tmp")
    try:
        arrays: dict[str, Any] = dict(flatten(value))
        with temporary.open("wb") as handle:
            np.savez(handle, **arrays)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        wanted = sum(array.nbytes for array in flatten(value).values())
        raise LimitError(
            f"checkpoint {path} could not be written ({error.strerror}): {wanted:,} bytes are "
            f"wanted and {free:,} are free. "
            "The checkpoint before it is intact: make room and go on with --resume"
        ) from error
    temporary.rename(path)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def save(
    folder: Path,
    *,
    tick: int,
    run: dict[str, Any],
    partitions: Iterable[Mapping[str, Any]],
    rest: dict[str, Any],
) -> Path:
    """Write a checkpoint taken after `tick` and return its folder.

    Parameters
    ----------
    run : what the checkpoint belongs to: scenario hash, seed, schema hash
    partitions : snapshots of partitions: `first`, `last`, `roles`, `waiting`; taken one by one
    rest : everything else, nested dicts of arrays
    """
    target = folder / f"tick-{tick:08d}"
    temporary = folder / f".tick-{tick:08d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    parts = [_write(temporary / f"lines-{p['first']:010d}.npz", p) for p in partitions]
    parts.append(_write(temporary / "rest.npz", rest))
    text = json.dumps({"tick": tick, "run": run, "parts": parts}, indent=1, sort_keys=True)
    seal = hashlib.sha256(text.encode()).hexdigest()
    path = temporary / MANIFEST
    path.write_text(json.dumps({"seal": seal, "content": text}))
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    _forget(folder, sum(part["bytes"] for part in parts))
    return target


def _forget(folder: Path, n_bytes: int) -> None:
    kept = 1 if n_bytes > KEEP_ONE_ABOVE else KEEP
    for old in sorted(folder.glob("tick-*"))[:-kept]:
        shutil.rmtree(old, ignore_errors=True)


def _verify(path: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the manifest of a checkpoint all of whose parts verify, or None and the defect."""
    try:
        sealed = json.loads((path / MANIFEST).read_text())
        text = sealed["content"]
        if hashlib.sha256(text.encode()).hexdigest() != sealed["seal"]:
            return None, "its manifest is damaged"
        content = json.loads(text)
        parts = [(str(p["file"]), int(p["bytes"]), str(p["sha256"])) for p in content["parts"]]
        content = {**content, "run": dict(content["run"]), "tick": int(content["tick"])}
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        return None, f"its manifest cannot be read ({type(error).__name__})"
    for name, n_bytes, seal in parts:
        file = path / name
        if not file.is_file():
            return None, f"{name} is missing"
        if file.stat().st_size != n_bytes or _sha256(file) != seal:
            return None, f"{name} is damaged"
    return content, ""


class SavedPart(Mapping[str, Any]):
    """The content of one part file, read when it is asked for and not kept."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, key: str) -> Any:
        with np.load(self.path, allow_pickle=False) as data:
            names = [n for n in data.files if n.split(SEPARATOR, 1)[0] == key]
            return unflatten({name: data[name] for name in names})[key]

    def __iter__(self) -> Iterator[str]:
        with np.load(self.path, allow_pickle=False) as data:
            return iter(dict.fromkeys(name.split(SEPARATOR, 1)[0] for name in data.files))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def load(
    folder: Path, *, run: dict[str, Any]
) -> tuple[int, Sequence[Mapping[str, Any]], dict[str, Any], list[str]]:
    """Return (tick, partitions, rest, warnings) of the newest checkpoint of this run that verifies.

    Partitions are read from their files each time that they are looked at.  Raises
    `ScenarioError` where none does, or where it belongs to another run.
    """
    warnings: list[str] = []
    for path in sorted(folder.glob("tick-*"), reverse=True):
        content, defect = _verify(path)
        if content is None:
            warnings.append(f"checkpoint {path.name} is left out: {defect}")
            continue
        differing = sorted(k for k in run if content["run"].get(k) != run[k])
        if differing:
            raise ScenarioError(
                "the checkpoint belongs to another run; it differs in " + ", ".join(differing),
                file=path, found={k: content["run"].get(k) for k in differing},
                expected={k: run[k] for k in differing},
            )  # fmt: skip
        parts = {part["file"]: SavedPart(path / part["file"]) for part in content["parts"]}
        rest = dict(parts.pop("rest.npz"))
        return int(content["tick"]), [parts[k] for k in sorted(parts)], rest, warnings
    raise ScenarioError(
        "no checkpoint can be used" + "".join(f"; {w}" for w in warnings), file=folder,
        expected="a whole checkpoint; without one, start the run afresh",
    )  # fmt: skip


def recut(
    saved: Sequence[Mapping[str, Any]], partitions: Sequence[Partition]
) -> Sequence[dict[str, Any]]:
    """Return saved partitions cut along other borders, each when it is asked for.

    Columns under `state` have one row for each line; every other table has a `sub` column; numbers
    that stand alone are the same in every partition.
    """
    ordered = sorted(((int(p["first"]), int(p["last"]), p) for p in saved), key=lambda p: p[:2])

    def cut(index: int) -> dict[str, Any]:
        wanted = partitions[index]
        touching = [
            dict(part)
            for first, last, part in ordered
            if first < wanted.last and last > wanted.first
        ]
        return _cut(touching, wanted)

    return LazyList(len(partitions), cut)


def _cut(touching: Sequence[dict[str, Any]], partition: Partition) -> dict[str, Any]:
    roles = {
        name: {
            kind: _join([(part, part["roles"][name][kind]) for part in touching], partition, kind)
            for kind in touching[0]["roles"][name]
        }
        for name in touching[0]["roles"]
    }
    names = sorted({name for part in touching for name in part.get("waiting", {})})
    waiting = {}
    for name in names:
        tables = [(p, p["waiting"][name]) for p in touching if name in p.get("waiting", {})]
        rows = _join(tables, partition, "rows")
        if len(rows["sub"]):
            waiting[name] = rows
    return {"first": partition.first, "last": partition.last, "roles": roles, "waiting": waiting}


def _join(parts: list[tuple[dict[str, Any], Any]], partition: Partition, kind: str) -> Any:
    if not isinstance(parts[0][1], dict):
        return parts[0][1]
    out = {}
    for column in parts[0][1]:
        pieces = []
        for part, table in parts:
            array = table[column]
            if kind == "state":
                low = max(partition.first - int(part["first"]), 0)
                high = min(partition.last, int(part["last"])) - int(part["first"])
                pieces.append(array[low:high])
            else:
                inside = (table["sub"] >= partition.first) & (table["sub"] < partition.last)
                pieces.append(array[inside])
        out[column] = np.concatenate(pieces)
    return out
