"""The folder of a comparison or a study: complete or absent, like that of a run.

It owns its name and its renaming.  It must not know what lies in it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scenarios.compare.sides import Side
from sim.core.errors import ScenarioError
from sim.record.folder import PART

TRIES_MAX = 1_000


@dataclass(frozen=True)
class Folder:
    """Where a study is made (`part`) and where it will be (`final`)."""

    part: Path
    final: Path


def open_folder(a: Side, b: Side, out: Path | None, runs_dir: Path) -> Folder:
    """Return the folder of a comparison; an unfinished one of the same name is gone on with."""
    text = f"{a.loaded.hash()} {b.loaded.hash()}"
    short = hashlib.sha256(text.encode()).hexdigest()[:8]
    seed = a.loaded.model.seed
    stem = f"compare-{a.loaded.name[:24]}-{b.loaded.name[:24]}-s{seed}-{short}"
    return open_named(out, runs_dir, stem)


def open_named(out: Path | None, runs_dir: Path, stem: str) -> Folder:
    """Return the folder that was asked for, or one of a name below `runs_dir`."""
    if out is not None:
        if out.exists():
            raise ScenarioError(
                "the folder exists already", file=out, expected="a new folder for --out"
            )
        return _made(out)
    for n in range(1, TRIES_MAX + 1):
        final = runs_dir / (stem if n == 1 else f"{stem}-{n}")
        if not final.exists():
            return _made(final)
    raise ScenarioError("too many of one name", file=runs_dir / stem)


def _made(final: Path) -> Folder:
    part = final.with_name(final.name + PART)
    try:
        part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError(
            f"the folder cannot be made: {error.strerror or error}", file=part,
            expected="a folder that can be written",
        ) from error  # fmt: skip
    return Folder(part, final)


def close_folder(folder: Folder) -> Path:
    """Rename a finished study and return its path."""
    os.rename(folder.part, folder.final)
    return folder.final
