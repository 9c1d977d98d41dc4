"""The two sides of a comparison: what they are, and whether they can be compared.

It owns how a name becomes a side, the refusal of what has no common ground, and the common start.
It must not run anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenarios.api import LoadedScenario, Override
from scenarios.equilibrium import pilot_of
from scenarios.loader import load, shipped
from sim.core.errors import Problem, ScenarioError, nearest
from sim.record.store import open_run

SECTIONS = ("money", "subscribers", "cells", "billing", "rtm", "catalog")
"""Sections that the pilot of the start may take from the other side."""
MARKS = ("manifest.json", "status.json")
"""A folder that holds one of these is a run, or was meant to become one."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    letter : `a` or `b`
    told : what the user wrote
    loaded : the scenario
    run : a finished run of exactly this scenario; None: it is to be run
    manifest : of that run
    """

    letter: str
    told: str
    loaded: LoadedScenario
    run: Path | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def replayed(self) -> bool:
        """Return whether recorded events drove the run, so that it cannot be made again here."""
        return bool(self.manifest and self.manifest.get("replay"))


def make_side(
    letter: str, told: str, *, overrides: Sequence[str | Override], runs_dir: Path
) -> Side:
    """Return a side from the name of a scenario, a YAML file or a run folder.

    Values laid on a run folder make a new scenario of it: the finished run then serves only if
    they change nothing.
    """
    folder = run_folder(told, runs_dir)
    if folder is None:
        return Side(letter, told, _load(letter, told, overrides, runs_dir))
    manifest = _whole(folder)
    loaded = load(folder, overrides=list(overrides))
    same = loaded.hash() == manifest.get("scenario_hash")
    if manifest.get("replay") and not same:
        raise ScenarioError(
            "a replayed run is compared as it is: values cannot be laid on it", file=folder,
            expected="no --set, --subscribers, --days or --seed",
        )  # fmt: skip
    return Side(letter, told, loaded, folder if same else None, manifest if same else None)


def run_folder(told: str, runs_dir: Path) -> Path | None:
    """Return the run folder that a text names, or None where it can only be a scenario."""
    if told in shipped():
        return None
    for path in (Path(told), runs_dir / told, runs_dir / f"{told}.part"):
        try:
            if path.is_dir() and any((path / mark).is_file() for mark in MARKS):
                return path
        except (OSError, ValueError):
            continue
    return None


def _load(
    letter: str, told: str, overrides: Sequence[str | Override], runs_dir: Path
) -> LoadedScenario:
    path = Path(told)
    try:
        is_file = told in shipped() or (bool(told) and path.exists())
    except (OSError, ValueError):
        is_file = False
    if is_file:
        return load(told, overrides=list(overrides))
    runs = sorted(p.name for p in runs_dir.iterdir() if p.is_dir()) if runs_dir.is_dir() else []
    close = nearest(path.name, [*shipped(), *runs])
    raise ScenarioError(
        "no such scenario or run" + (f", did you mean {close}?" if close else ""),
        path=letter.upper(), found=repr(told),
        expected=f"one of {', '.join(shipped())}, the path of a YAML file, or a run folder",
    )  # fmt: skip


def _whole(folder: Path) -> dict[str, Any]:
    """Return the manifest of a complete run whose every byte is as it was written."""
    with open_run(folder) as run:
        if run.manifest.get("status") != "complete":
            state = run.manifest.get("status") or run.status.get("state") or "unknown"
            raise ScenarioError(
                "the run is not complete", file=folder, found=str(state),
                expected="a complete run; `twin run ... --resume` goes on with it",
            )  # fmt: skip
        wrong = run.verify()
        if wrong:
            raise ScenarioError.collect(
                Problem(
                    "a file of the run is damaged",
                    file=str(folder / name),
                    found="other bytes than the run wrote",
                    expected="restore it, or run again",
                )  # fmt: skip
                for name in wrong
            )
        return run.manifest


def check_comparable(a: Side, b: Side) -> None:
    """Refuse two sides that do not share people, time and random numbers; all reasons at once."""
    one, two = a.loaded.model, b.loaded.model
    pairs = [
        ("clock.start", one.clock.start, two.clock.start, "give both the same start"),
        ("clock.days", one.clock.days, two.clock.days, "--days N sets both"),
        ("population.subscribers", one.population.subscribers, two.population.subscribers,
         "--subscribers N sets both"),
        ("seed", one.seed, two.seed, "--seed N sets both: without a common seed nothing is paired"),
        ("money.currency", one.money.currency, two.money.currency, "one currency"),
    ]  # fmt: skip
    problems = [
        Problem("A and B cannot be compared", path=key, found=f"{x} and {y}", expected=how)
        for key, x, y, how in pairs
        if x != y
    ]
    if problems:
        raise ScenarioError.collect(problems)


def caveats_of(a: Side, b: Side) -> list[str]:
    """Return what a reader must know of two sides that can be compared, but are not alike."""
    one, two = a.loaded.model, b.loaded.model
    told = []
    if one.geography != two.geography:
        told.append("A and B have different geographies: the same line lives in another place.")
    if one.population.represents != two.population.represents:
        told.append(
            "A and B stand for different numbers of real lines: network and channels carry "
            "different loads."
        )
    if one.clock.tick_s != two.clock.tick_s:
        told.append(
            f"Ticks differ ({one.clock.tick_s} s and {two.clock.tick_s} s): coupled effects arrive "
            "at other moments."
        )
    for key in ("smartphone_share", "device_4g_share", "donors", "donor_days"):
        if getattr(one.population, key) != getattr(two.population, key):
            told.append(f"population.{key} differs: some lines are other people.")
    if a.manifest and b.manifest:
        for key in ("schema_hash", "git", "versions"):
            if a.manifest.get(key) != b.manifest.get(key):
                told.append(f"The two runs were made by different software ({key} differs).")
                break
    return told


def common_start(a: Side, b: Side) -> tuple[Side, list[str]]:
    """Return B with the starting state of A where it is still to be run, and what to say of it.

    The state at the start comes from a pilot run.  Where the sides differ, so would their pilots,
    and everybody would differ from the first moment on.  B starts from the world of A instead: the
    difference is that of a launch today.
    """
    if not a.loaded.model.population.donor_days or not b.loaded.model.population.donor_days:
        return b, []
    mine, theirs = (
        pilot_of(side.loaded).model.model_dump(mode="json", include=set(SECTIONS))
        for side in (b, a)
    )
    for data in (mine, theirs):
        data["catalog"]["folder"] = ""
    differing = [section for section in SECTIONS if mine[section] != theirs[section]]
    if not differing:
        return b, []
    own = "A and B each start from an equilibrium of their own, so that everybody may differ "
    if b.run is not None:
        return b, [own + "from the first moment on: B was run already."]
    if list(a.loaded.catalogue.tariffs) != list(b.loaded.catalogue.tariffs):
        return b, [own + "from the first moment on: their tariffs differ."]
    sections = {section: theirs[section] for section in differing}
    loaded = b.loaded.with_(**{"population.pilot": sections})
    return replace(b, loaded=loaded), [
        "B starts from the equilibrium of A: the difference is that of a launch at the start, not "
        "of two worlds that have lived apart for weeks."
    ]


def settings_that_differ(a: Side, b: Side) -> list[dict[str, str]]:
    """Return the keys of the scenarios whose values differ: `key`, `a`, `b`, as texts."""
    left_out = {"placement", "record", "scenario", "title", "question"}
    one, two = (
        _leaves(side.loaded.model.model_dump(mode="json", exclude=left_out)) for side in (a, b)
    )
    return [
        {"key": key, "a": one.get(key, "-"), "b": two.get(key, "-")}
        for key in dict.fromkeys([*one, *two])
        if one.get(key) != two.get(key) and not key.startswith("population.pilot")
    ]


def _leaves(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            out |= _leaves(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = str(value)
    return out
