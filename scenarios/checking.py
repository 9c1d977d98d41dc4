"""Check files of unknown kind: scenarios, and entries of the catalogue.

It owns how a kind is told from the first key of a file, which files of a folder count, and what is
looked at without building: of a scenario also the files of its geography.  It must not print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geo.io import Folder
from geo.people import hexes_wanted
from geo.territory import LAYOUT_SEED, SETTLED_MAX, fence_names, read_inputs
from scenarios.api import LoadedScenario
from scenarios.backlog import problems_of
from scenarios.catalogue import Selection
from scenarios.crosscheck import no_such_fence, position_of
from scenarios.entries import CATALOG_DIR, KINDS
from scenarios.loader import LIBRARY_DIR, load_source, shipped
from scenarios.models import CatalogParams
from scenarios.validation import look, problem_at
from scenarios.yaml12 import Node, read_yaml, shown
from sim.core.errors import LimitError, Problem, ScenarioError, nearest

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
            found[LIBRARY_DIR / f"{path}.yaml" if str(path) in shipped() else path] = None
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


def check_file(
    path: Path, notes: list[str] | None = None, limits: list[str] | None = None
) -> list[Problem]:
    """Return the problems of one file.

    Parameters
    ----------
    notes : gets a sentence for each thing that is no mistake and that a reader should know
    limits : gets a sentence for each limit that a run would hit before it builds anything

    Raises
    ------
    LimitError : a limit, where `limits` is None
    """
    try:
        node = read_yaml(path)
        keys: Iterable[str] = node.value if isinstance(node.value, dict) else ()
        kind = next((kind for kind in KINDS.values() if kind.key in keys), None)
        if "scenario" in keys or "extends" in keys:
            return _geography_problems(load_source(path, ()), node, [] if notes is None else notes)
        if kind is None and "backlog" in keys:
            return problems_of(node, path.stem)[1]
        if kind is None:
            return [_unknown(node, keys)]
    except ScenarioError as error:
        return list(error.problems)
    except LimitError as error:
        if limits is None:
            raise
        limits.append(f"{shown(path)}: {error}")
        return []
    return _entry_problems(path, node, kind.folder)


def _geography_problems(loaded: LoadedScenario, node: Node, notes: list[str]) -> list[Problem]:
    """Return what a run would say of the files of its geography and the places of its timeline."""
    params = loaded.model.geography
    try:
        folder = read_inputs(params, loaded.folder)
    except ScenarioError as error:
        return list(error.problems)
    notes += folder.warnings
    named = {
        i: entry.near
        for i, entry in enumerate(loaded.model.timeline)
        if entry.do == "cell_outage" and position_of(entry.near) is None
    }
    found = []
    if not set(named.values()) <= {fence.name for fence in folder.fences}:
        known = fence_names(folder, params, LAYOUT_SEED)
        for i, near in named.items():
            if known is not None and near not in known:
                path = ("timeline", i, "near")
                message, expected = no_such_fence(near, known)
                found.append(problem_at(look(node, *path) or node, path, message, found=repr(near),
                                        expected=expected))  # fmt: skip
    return found or _outage_problems(loaded, folder, node)


def _outage_problems(loaded: LoadedScenario, folder: Folder, node: Node) -> list[Problem]:
    """Return what a run would say of outages without a cell, where their map is soon built."""
    timeline = loaded.model.timeline
    outages = [i for i, entry in enumerate(timeline) if entry.do == "cell_outage"]
    if not outages or hexes_wanted(folder, loaded.model.geography.resolution) > SETTLED_MAX:
        return []
    from scenarios.outages import cells_near
    from scenarios.world import load_geography

    geo = load_geography(loaded)
    found = []
    for i in outages:
        try:
            cells_near(geo, timeline[i], i)
        except ScenarioError as error:
            (told,) = error.problems
            path = ("timeline", i, "radius_m")
            place = look(node, *path) or look(node, *path[:2]) or node
            found.append(problem_at(place, path, told.message, found=told.found,
                                    expected=told.expected))  # fmt: skip
    return found


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
    chosen = {name: ("*",) if kind == name else () for name in ("quests", "campaigns")}
    params = CatalogParams.model_validate(chosen)
    selection = Selection(Node({"define": wrapped}, node.file), params, path.parent)
    selection.read()
    return [problem for problem in selection.problems if problem.file == node.file]
