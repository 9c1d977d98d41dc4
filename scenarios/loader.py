"""Read a scenario: find it, follow `extends`, lay overrides on it, check it, select its catalogue.

It owns the order of these steps and the rule that all problems of an input are reported at once,
before anything is built.  It must not know how a world is built or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.api import SHORT_KEYS, LoadedScenario, Override, shipped_geographies
from scenarios.catalogue import Catalogue, Selection, merge
from scenarios.crosscheck import check_scenario
from scenarios.entries import KINDS
from scenarios.models import CatalogParams, Definitions, Scenario
from scenarios.validation import look, problem_at, validate
from scenarios.yaml12 import Node, make_node, parse_value, read_yaml, shown
from sim.core.errors import Problem, ScenarioError, nearest

__all__ = ["SHORT_KEYS", "LoadedScenario", "load", "load_source", "overrides_of", "shipped"]

LIBRARY_DIR = Path(__file__).parent / "library"
EXTENDS_MAX = 8
"""Longest chain of `extends`."""
OVERRIDES_MAX = 1_000
"""Most values set from outside."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_SUFFIXES = (".yaml", ".yml")

Overrides = Mapping[str, Any] | Sequence[str | Override]


def load(name_or_path: str | Path, *, overrides: Overrides = ()) -> LoadedScenario:
    """Load a scenario by name (`city_day`), by path, or from a run folder.

    Parameters
    ----------
    name_or_path : name in the library, a YAML file, or a folder with a `scenario.yaml`
    overrides : values by dotted key, or texts `a.b=c` whose right side is read as YAML
    """
    return load_source(find_source(name_or_path), overrides_of(overrides))


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios of the library, sorted."""
    return tuple(sorted(path.stem for path in LIBRARY_DIR.glob("*.yaml")))


def find_source(name_or_path: str | Path) -> Path:
    """Return the file of a scenario."""
    text = str(name_or_path)
    if _NAME.fullmatch(text) and text in shipped():
        return LIBRARY_DIR / f"{text}.yaml"
    try:
        path = Path(text)
        if text and path.is_dir() and (path / "scenario.yaml").is_file():
            return path / "scenario.yaml"
        if text and path.exists() and not path.is_dir():
            return path
    except (OSError, ValueError):
        pass
    close = nearest(text, shipped())
    hint = f", did you mean {close!r}?" if close else ""
    raise ScenarioError(
        f"no such scenario{hint}",
        found=repr(text[:200]),
        expected=f"one of {', '.join(shipped())}, or the path of a YAML file",
    )


def overrides_of(overrides: Overrides) -> tuple[Override, ...]:
    """Return overrides as nodes; texts are read as YAML 1.2."""
    if len(overrides) > OVERRIDES_MAX:
        raise ScenarioError("too many overrides", expected=f"at most {OVERRIDES_MAX}")
    found = []
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            path = tuple(str(key).split("."))
            label = f"override {key}={value!r}"[:120]
            found.append(Override(path, make_node(value, file=label)))
        return tuple(found)
    for item in overrides:
        found.append(item if isinstance(item, Override) else set_option(item))
    return tuple(found)


def set_option(text: str, *, option: str = "--set") -> Override:
    """Return the override of `--set a.b=c`."""
    label = f"{option} {text}"[:120]
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not all(key.split(".")):
        raise ScenarioError("not a setting", file=label, found=text, expected="path.to.key=value")
    return Override(tuple(key.split(".")), parse_value(value, file=label))


def load_source(source: Path, overrides: tuple[Override, ...]) -> LoadedScenario:
    """Load the scenario of a file; raise one error with all its problems."""
    problems: list[Problem] = []
    tree = _extended(source, root=source, chain=(), problems=problems)
    broken_base = bool(problems)
    for override in overrides:
        try:
            tree = _replaced(tree, override.path, override)
        except ScenarioError as error:
            problems.extend(error.problems)
    model, wrong = validate(Scenario, tree)
    if broken_base:  # what the broken file would have given is not missing here
        wrong = [problem for problem in wrong if not problem.message.startswith("missing key")]
    problems.extend(wrong)
    partial = model or _partial(tree)
    catalogue, selection = _catalogue(tree, source, problems)
    if partial is not None:
        failed = {str(p.path).split(".")[0] for p in wrong} | ({"*"} if broken_base else set())
        problems.extend(check_scenario(tree, partial, catalogue, selection, source.parent, failed))
    if problems or model is None:
        raise ScenarioError.collect(in_order(problems))
    return LoadedScenario(_effective(model, catalogue), source, catalogue, overrides)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by file in the order of reading, then by line; each once."""
    files: dict[str | None, int] = {}
    for problem in problems:
        files.setdefault(problem.file, len(files))
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (files[p.file], p.line or 0))


def _extended(path: Path, *, root: Path, chain: tuple[Path, ...], problems: list[Problem]) -> Node:
    """Return the tree of a file laid on those that it extends.

    A defect of a file further down the chain is noted in `problems`, so that the rest can still be
    checked.
    """
    node = read_yaml(path)
    if not isinstance(node.value, dict):
        raise ScenarioError.collect(
            [problem_at(node, (), "not a scenario", expected="a mapping that opens `scenario:`")]
        )
    node = _from_root(node, path, root)
    told = node.value.get("extends") if isinstance(node.value, dict) else None
    if told is None:
        return node
    rest: dict[str, Node] = dict(node.value) if isinstance(node.value, dict) else {}
    rest.pop("extends")
    node = Node(rest, node.file, node.line, node.key_line, node.text)
    try:
        base = _base_of(told, path, root, chain + (path.resolve(),))
        below = _extended(base, root=root, chain=chain + (path.resolve(),), problems=problems)
    except ScenarioError as error:
        problems.extend(error.problems)
        return node
    return merge(below, node)


def _base_of(told: Node, path: Path, root: Path, chain: tuple[Path, ...]) -> Path:
    """Return the file that `extends` names: a shipped scenario, or one below the root's folder."""
    text = told.value
    if not isinstance(text, str) or not text:
        raise ScenarioError.collect(
            [problem_at(told, ("extends",), "wrong type", expected="a name or a path")]
        )
    if text in shipped():
        base = LIBRARY_DIR / f"{text}.yaml"
    else:
        base = _base_path(told, text, path, root)
    names = [shown(link) for link in chain] + [shown(base)]
    if base.resolve() in chain:
        raise ScenarioError.collect(
            [problem_at(told, ("extends",), "extends goes in a circle", found=" -> ".join(names),
                        expected="a chain that ends")]
        )  # fmt: skip
    if len(chain) > EXTENDS_MAX:
        raise ScenarioError.collect(
            [problem_at(told, ("extends",), "extends is too long", found=" -> ".join(names),
                        expected=f"at most {EXTENDS_MAX} files")]
        )  # fmt: skip
    return base


def _base_path(told: Node, text: str, path: Path, root: Path) -> Path:
    allowed = (root.parent.resolve(), LIBRARY_DIR.resolve())
    try:
        base = (path.parent / text).resolve()
        there = base.is_file()
    except (OSError, ValueError, RuntimeError):
        base, there = root, False
    if not any(base.is_relative_to(folder) for folder in allowed):
        message = "the file lies outside the folder of the scenario"
    elif base.suffix not in _SUFFIXES or not there:
        close = nearest(text, shipped())
        message = "no such scenario to extend" + (f", did you mean {close!r}?" if close else "")
    else:
        return base
    raise ScenarioError.collect(
        [
            problem_at(
                told, ("extends",), message,
                expected=f"one of {', '.join(shipped())}, or a YAML file beside this one",
            )
        ]
    )  # fmt: skip


def _from_root(node: Node, path: Path, root: Path) -> Node:
    """Return a tree whose relative folders count from the folder of the root scenario."""
    try:
        below = path.resolve().parent.relative_to(root.resolve().parent).as_posix()
    except ValueError:
        return node
    if below == ".":
        return node
    for key, sub in (("geography", "folder"), ("catalog", "folder")):
        place = look(node, key, sub)
        if place is None or not isinstance(place.value, str) or not place.value:
            continue
        if key == "geography" and place.value in shipped_geographies():
            continue
        moved = Node(f"{below}/{place.value}", place.file, place.line, place.key_line, place.text)
        node = _with_child(node, (key, sub), moved)
    return node


def _with_child(node: Node, path: tuple[str, ...], child: Node) -> Node:
    if not path:
        return child
    value: Any = node.value
    changed = dict(value)
    changed[path[0]] = _with_child(value[path[0]], path[1:], child)
    return Node(changed, node.file, node.line, node.key_line, node.text)


def _replaced(node: Node, path: tuple[str, ...], override: Override) -> Node:
    """Return the tree with the value at a path replaced; missing mappings are made."""
    if not path:
        return override.node
    key = path[0]
    value: Any = node.value
    if isinstance(value, list):
        if not key.isascii() or not key.isdigit() or int(key) >= len(value):
            raise _no_place(override, f"{key!r} is no entry of a list of {len(value)}")
        changed: Any = list(value)
        changed[int(key)] = _replaced(value[int(key)], path[1:], override)
    elif isinstance(value, dict):
        changed = dict(value)
        empty = Node({}, override.node.file)
        changed[key] = _replaced(value.get(key, empty), path[1:], override)
    else:
        raise _no_place(override, f"{key!r} stands below a value that has no keys")
    return Node(changed, node.file, node.line, node.key_line, node.text)


def _no_place(override: Override, message: str) -> ScenarioError:
    return ScenarioError(message, file=override.node.file, path=".".join(override.path))


def _partial(tree: Node) -> Scenario | None:
    """Return the scenario without its defective sections, so that the others can be checked."""
    value: Any = tree.value
    if not isinstance(value, dict):
        return None
    kept = {"scenario": Node("x", ""), "geography": Node({}, "")}
    for key, child in value.items():
        trial = {"scenario": kept["scenario"], "geography": kept["geography"], key: child}
        if key in Scenario.model_fields and validate(Scenario, Node(trial, ""))[0] is not None:
            kept[key] = child
    return validate(Scenario, Node(kept, ""))[0]


def _catalogue(
    tree: Node, source: Path, problems: list[Problem]
) -> tuple[Catalogue, Selection | None]:
    node = look(tree, "catalog") or Node({}, "")
    params, _ = validate(CatalogParams, node)
    if params is None:
        return Catalogue(), None
    selection = Selection(node, params, source.parent)
    catalogue = selection.read()
    problems.extend(selection.problems)
    return catalogue, selection


def _effective(model: Scenario, catalogue: Catalogue) -> Scenario:
    """Return the scenario with its selection resolved and every entry written out."""
    define = {
        kind: {name: entry.model_dump(mode="json") for name, entry in catalogue.of(kind).items()}
        for kind in KINDS
    }
    names = {kind: tuple(catalogue.of(kind)) for kind in KINDS}
    catalog = CatalogParams.model_validate({**names, "define": Definitions(**define)})
    return model.model_copy(update={"catalog": catalog})
