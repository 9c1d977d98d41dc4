"""Checkpoints in memory for tests: saved from nested dicts, and read back whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.core.partition import Partition
from sim.runtime import checkpoint
from sim.runtime.parts import flatten


def save(
    folder: Path,
    *,
    tick: int,
    run: dict[str, Any],
    partitions: Sequence[dict[str, Any]],
    rest: dict[str, Any],
    epoch: int = 1,
) -> Path:
    """Write a checkpoint of snapshots of partitions and return its folder."""
    draft = checkpoint.Draft(folder, tick, epoch).open()
    parts = draft.write_lines(
        (p["first"], p["last"], flatten({k: p[k] for k in ("roles", "waiting") if p[k]}))
        for p in partitions
    )
    draft.commit(run=run, parts=parts, rest=rest)
    return draft.final


def load(
    folder: Path, *, run: dict[str, Any]
) -> tuple[int, list[dict[str, Any]], dict[str, Any], list[str]]:
    """Return (tick, partitions, rest, warnings) of the newest checkpoint that verifies."""
    found: dict[str, Any] = {}

    def apply(saved: checkpoint.Saved) -> None:
        found["parts"] = [saved.read(part) for part in saved.lines]
        found["rest"] = saved.rest()

    saved, warnings = checkpoint.restore(folder, run=run, apply=apply)
    return saved.tick, found["parts"], found["rest"], warnings


def recut(saved: Sequence[dict[str, Any]], partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    """Return saved partitions cut along other borders."""
    ordered = sorted(saved, key=lambda part: part["first"])
    return [
        checkpoint.cut_lines(
            [part for part in ordered if part["first"] < p.last and part["last"] > p.first], p
        )
        for p in partitions
    ]


def part_of(checkpoint_folder: Path, first: int) -> Path:
    """Return the file of the partition that begins with a line, or of the rest for -1."""
    content = json.loads((checkpoint_folder / checkpoint.MANIFEST).read_text())["content"]
    (name,) = (p["file"] for p in json.loads(content)["parts"] if p["first"] == first)
    return checkpoint_folder / name
