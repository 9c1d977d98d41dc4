"""Find and read the entries of the catalogue that a scenario selects.

It owns the search for names in the shipped folders, in the folder of the scenario and in the
scenario itself.  It must not know what an entry means, nor the engine that runs it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.billing.params import Tariff
from actors.channels.params import Channel
from actors.loyalty.params import Quest
from actors.rtm.campaign_params import Campaign
from actors.rtm.params import Offer
from scenarios import entries_campaigns  # noqa: F401  # enters its checks
from scenarios.entries import (
    CATALOG_DIR,
    ENTRY_CHECKS,
    KINDS,
    Kind,
    name_problems,
    shipped_names,
    trigger_options,
)  # fmt: skip
from scenarios.models import CatalogParams
from scenarios.validation import Loc, look, problem_at, validate
from scenarios.yaml12 import Node, read_yaml, shown
from sim.core.errors import Problem, ScenarioError, nearest

ENTRIES_MAX = 4_000
"""Most entries of one kind: use cases are 16-bit indices, and a decision over 900 is the target."""

TESTS = "tests"
"""Folder in which `twin new` puts the test of an entry: no kind of entry, and no mistake."""


@dataclass(frozen=True)
class Catalogue:
    """The selected entries by name, sorted by name."""

    tariffs: dict[str, Tariff] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    quests: dict[str, Quest] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Any]:
        """Return the entries of one kind, by the name of its folder."""
        return getattr(self, kind)


def read_entry(path: Path) -> Node:
    """Return the tree of one entry; read once as long as the file does not change."""
    try:
        info = path.stat()
    except (OSError, ValueError) as error:
        raise ScenarioError("cannot be read", file=shown(path), found=str(error)) from error
    return _read_cached(path, info.st_mtime_ns, info.st_size, info.st_ino)


@functools.lru_cache(maxsize=512)
def _read_cached(path: Path, mtime_ns: int, size: int, inode: int) -> Node:
    return read_yaml(path)


class Selection:
    """Reads what a scenario selects, collecting problems; one use."""

    def __init__(self, node: Node | None, params: CatalogParams, base: Path) -> None:
        self.node = node or Node({}, "")
        self.params = params
        self.base = base
        self.problems: list[Problem] = []
        self.nodes: dict[str, dict[str, Node]] = {kind: {} for kind in KINDS}
        self.models: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}

    def read(self) -> Catalogue:
        """Return the entries that are right; `problems` tells of the others."""
        folder = self._folder()
        for kind in KINDS.values():
            known = self._known(kind, folder)
            for name in self._selected(kind, known):
                self._take(kind, name, known[name])
        self._leave_out()
        for name in self.nodes["offers"]:
            self._fill_trigger(name)
        self._check_entries()
        return Catalogue(**{k: dict(sorted(v.items())) for k, v in self.models.items()})

    def _folder(self) -> Path | None:
        """Return the folder of further entries; it must lie below that of the scenario."""
        text = self.params.folder
        if not text:
            return None
        place = look(self.node, "folder") or self.node
        base = self.base.resolve()
        try:
            folder = (base / text).resolve()
            inside = folder.is_relative_to(base)
            there = inside and folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            inside, there = True, False
        if there:
            return folder
        self.problems.append(
            problem_at(
                place,
                ("catalog", "folder"),
                "no such folder" if inside else "the folder lies outside that of the scenario",
                found=repr(text),
                expected="a folder beside or below the scenario file",
            )  # fmt: skip
        )
        return None

    def _known(self, kind: Kind, folder: Path | None) -> dict[str, Path | Node]:
        """Return where each entry of a kind is: shipped, in the folder, or in the scenario."""
        known: dict[str, Path | Node] = {
            name: CATALOG_DIR / kind.folder / f"{name}.yaml" for name in shipped_names(kind.folder)
        }
        for path in self._files(folder, kind) if folder is not None else ():
            if path.stem in known:
                self.problems.append(
                    Problem(
                        f"the name {path.stem!r} is taken by a shipped entry",
                        file=shown(path),
                        path=kind.key,
                        found=path.stem,
                        expected="another name, or a patch under catalog.define",
                    )  # fmt: skip
                )
                continue
            known[path.stem] = path
        place: Loc = ("catalog", "define", kind.folder)
        defined = look(self.node, "define", kind.folder)
        if defined is not None and isinstance(defined.value, dict):
            for name, node in defined.value.items():
                self._define(kind, name, node, known, place + (name,))
        if len(known) > ENTRIES_MAX:
            raise ScenarioError(
                f"too many {kind.folder}", found=len(known), expected=f"at most {ENTRIES_MAX}"
            )
        return known

    def _define(
        self, kind: Kind, name: str, node: Node, known: dict[str, Path | Node], path: Loc
    ) -> None:
        if not isinstance(node.value, dict):
            return  # the model of the scenario has said so already
        if kind.key in node.value:
            known[name] = node
            return
        base = known.get(name)
        if base is None:
            close = nearest(name, known)
            self.problems.append(
                problem_at(
                    node,
                    path,
                    f"no {kind.key} of this name to patch",
                    found=name,
                    expected=close or f"a name, or a whole entry that opens with `{kind.key}:`",
                )  # fmt: skip
            )
            return
        try:
            tree = read_entry(base) if isinstance(base, Path) else base
        except ScenarioError as error:
            self.problems.extend(error.problems)
            return
        known[name] = merge(tree, node)

    def _files(self, folder: Path, kind: Kind) -> Iterable[Path]:
        sub = folder / kind.folder
        names = [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        if kind.folder == "tariffs":  # told once, not once a kind
            for name in sorted(set(names) - set(KINDS) - {TESTS}):
                if close := nearest(name, KINDS):
                    self.problems.append(
                        Problem(
                            "unknown folder of a catalogue",
                            file=shown(folder / name),
                            found=name,
                            expected=close,
                        )  # fmt: skip
                    )
        if not sub.is_dir():
            return
        for path in sorted(sub.iterdir()):
            if path.suffix not in (".yaml", ".yml") or path.name.startswith("."):
                continue
            if not path.resolve().is_relative_to(folder):
                self.problems.append(
                    Problem(
                        "the entry leads out of the catalogue's folder",
                        file=shown(path),
                        found="a link",
                        expected="a file in the folder",
                    )  # fmt: skip
                )
                continue
            yield path

    def _selected(self, kind: Kind, known: Mapping[str, Any]) -> list[str]:
        names: dict[str, None] = {}
        for i, name in enumerate(getattr(self.params, kind.folder)):
            if name == "*":
                names.update(dict.fromkeys(known))
            elif name in known:
                names[name] = None
            else:
                close = nearest(name, known)
                message = f"no {kind.key} of this name"
                message += f", did you mean {close!r}?" if close else ""
                self.problems.append(
                    problem_at(
                        look(self.node, kind.folder, i) or self.node,
                        ("catalog", kind.folder, i),
                        message,
                        found=repr(name[:60]),
                        expected=close or f"one of {', '.join(sorted(known)[:12]) or 'none'}",
                    )  # fmt: skip
                )
        return sorted(names)

    def _take(self, kind: Kind, name: str, source: Path | Node) -> None:
        try:
            node = read_entry(source) if isinstance(source, Path) else source
        except ScenarioError as error:
            self.problems.extend(error.problems)
            return
        model, problems = validate(kind.model, node)
        self.problems.extend(problems)
        self.problems.extend(name_problems(kind, node, name))
        self.nodes[kind.folder][name] = node
        if model is not None:
            self.models[kind.folder][name] = model

    def _leave_out(self) -> None:
        """Leave out the offers of initiatives that are not live."""
        live = self.params.initiatives
        if live == "all_21":
            return
        for name, offer in list(self.models["offers"].items()):
            told = offer.initiative
            if told and not (told.launched if live == "launched_14" else told.code in live):
                del self.models["offers"][name], self.nodes["offers"][name]

    def _fill_trigger(self, name: str) -> None:
        options, problems = trigger_options(self.nodes["offers"][name])
        self.problems.extend(problems)
        offer = self.models["offers"].get(name)
        if offer is not None and options is not None:
            when = {trigger: options for trigger in offer.when}
            self.models["offers"][name] = offer.model_copy(update={"when": when})

    def _check_entries(self) -> None:
        for check in ENTRY_CHECKS:
            self.problems.extend(check(self.nodes, self.models))


def merge(base: Node, over: Node, *, key: str = "") -> Node:
    """Return `base` with `over` laid on it: mappings deeply, everything else replaced.

    `when` of an offer holds one trigger: another trigger replaces the whole of it.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    if key == "when" and set(base.value) != set(over.value):
        return over
    merged = dict(base.value)
    for name, child in over.value.items():
        merged[name] = merge(merged[name], child, key=name) if name in merged else child
    return Node(merged, over.file, over.line, over.key_line, over.text)


def shipped_entries(kind: str) -> dict[str, Any]:
    """Return the shipped entries of a kind, sorted by name; raise on any problem in them."""
    everything = CatalogParams.model_validate({"quests": ("*",), "campaigns": ("*",)})
    selection = Selection(None, everything, CATALOG_DIR)
    catalogue = selection.read()
    if selection.problems:
        raise ScenarioError.collect(selection.problems)
    return catalogue.of(kind)
