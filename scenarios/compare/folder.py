"""The folder of a comparison: complete or absent, like that of a run.

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
    """Where a comparison is made (`part`) and where it will be (`final`)."""

    part: Path
    final: Path


def open_folder(a: Side, b: Side, out: Path | None, runs_dir: Path) -> Folder:
    """Return the folder of a comparison; an unfinished one of the same name is gone on with."""
    if out is not None:
        if out.exists():
            raise ScenarioError(
                "the folder exists already", file=out, expected="a new folder for --out"
            )
        return _made(out)
    text = f"{a.loaded.hash()} {b.loaded.hash()}"
    short = hashlib.sha256(text.encode()).hexdigest()[:8]
    seed = a.loaded.model.seed
    stem = f"compare-{a.loaded.name[:24]}-{b.loaded.name[:24]}-s{seed}-{short}"
    for n in range(1, TRIES_MAX + 1):
        final = runs_dir / (stem if n == 1 else f"{stem}-{n}")
        if not final.exists():
            return _made(final)
    raise ScenarioError("too many comparisons of one name", file=runs_dir / stem)


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
    """Rename a finished comparison and return its path."""
    os.rename(folder.part, folder.final)
    return folder.final
