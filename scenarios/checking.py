"""Check files of unknown kind: scenarios, and entries of the catalogue.

It owns how a kind is told from the first key of a file, and which files of a folder count.  It
must not print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scenarios.backlog import problems_of
from scenarios.catalogue import Selection
from scenarios.entries import CATALOG_DIR, KINDS
from scenarios.loader import LIBRARY_DIR, load_source
from scenarios.models import CatalogParams
from scenarios.yaml12 import Node, read_yaml, shown
from sim.core.errors import Problem, ScenarioError, nearest

SUFFIXES = (".yaml", ".yml")


def shipped_files() -> list[Path]:
    """Return every shipped scenario and catalogue entry."""
    return sorted(LIBRARY_DIR.glob("*.yaml")) + sorted(CATALOG_DIR.glob("*/*.yaml"))


def files_of(paths: Sequence[Path], problems: list[Problem], *, files_max: int) -> list[Path]:
    """Return the files named, and those below the folders named; notes what is neither."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix in SUFFIXES and p.is_file())
            found.update(dict.fromkeys(inside))
        elif path.suffix in SUFFIXES or not path.exists():
            found[path] = None
        else:
            problems.append(
                Problem(
                    "not a scenario or catalogue entry",
                    file=shown(path),
                    found=path.suffix or "no suffix",
                    expected="a .yaml file",
                )  # fmt: skip
            )
        if len(found) > files_max:
            raise ScenarioError("too many files", found=len(found), expected=f"at most {files_max}")
    return list(found)


def check_file(path: Path) -> list[Problem]:
    """Return the problems of one file."""
    try:
        node = read_yaml(path)
        keys: Iterable[str] = node.value if isinstance(node.value, dict) else ()
        kind = next((kind for kind in KINDS.values() if kind.key in keys), None)
        if "scenario" in keys or "extends" in keys:
            load_source(path, ())
            return []
        if kind is None and "backlog" in keys:
            return problems_of(node, path.stem)[1]
        if kind is None:
            return [_unknown(node, keys)]
    except ScenarioError as error:
        return list(error.problems)
    return _entry_problems(path, node, kind.folder)


def _unknown(node: Node, keys: Iterable[str]) -> Problem:
    names = ["scenario", "backlog", *(kind.key for kind in KINDS.values())]
    close = next((c for key in keys if (c := nearest(key, names))), None)
    return Problem(
        "neither a scenario nor a catalogue entry", file=node.file, line=node.line,
        found=", ".join(list(keys)[:4]) or "no keys",
        expected=f"`{close}: NAME`" if close else "a first key such as " + ", ".join(names),
    )  # fmt: skip


def _entry_problems(path: Path, node: Node, kind: str) -> list[Problem]:
    """Return the problems of one entry among the shipped ones."""
    wrapped: Any = Node({kind: Node({path.stem: node}, node.file)}, node.file)
    params = CatalogParams.model_validate({"quests": ("*",) if kind == "quests" else ()})
    selection = Selection(Node({"define": wrapped}, node.file), params, path.parent)
    selection.read()
    return [problem for problem in selection.problems if problem.file == node.file]
