"""The study itself: from a scenario to a ranking, a launch plan, a page and a file of numbers.

It owns the order of the steps and the folder.  It must not know an estimator, nor how the page
looks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.api import LoadedScenario, Override
from scenarios.compare.folder import Folder, close_folder, open_named
from scenarios.loader import load
from scenarios.prioritize.design import (
    Arm,
    alone_arms,
    cap_arms,
    last_arms,
    orders,
    prefix_arms,
)
from scenarios.prioritize.document import Measured, document
from scenarios.prioritize.plan import Terms
from scenarios.prioritize.players import Player, chosen, players_of
from scenarios.prioritize.runs import Runs, common_ground
from scenarios.progress import Progress, Silent
from sim.core.errors import Interrupted, ScenarioError
from sim.record.files import write_json, write_text


@dataclass(frozen=True)
class Options:
    """What a study is asked for.

    Attributes
    ----------
    overrides : values laid on the scenario
    only : use cases to be valued, by code or name; the rest is live for nobody
    shares_only : leave out the runs of first in, last in and of other contact caps
    terms : of the launch plan
    out : folder of the study; None: a name below `runs_dir` is made
    """

    overrides: tuple[str | Override, ...] = ()
    only: tuple[str, ...] = ()
    shares_only: bool = False
    terms: Terms = Terms()
    out: Path | None = None
    runs_dir: Path = Path("runs")


@dataclass(frozen=True)
class Study:
    """A finished study.

    Attributes
    ----------
    path : its folder: `prioritize.json`, `prioritize.html`
    document : content of `prioritize.json`
    """

    path: Path
    document: dict[str, Any]


def prioritize(
    scenario: str,
    options: Options | None = None,
    *,
    progress: Callable[[str], Progress] | None = None,
) -> Study:
    """Value every use case of a scenario beside the others, and plan their launch.

    Parameters
    ----------
    progress : makes what shows the progress, from the start of the scenario (local ISO time)

    Raises
    ------
    ScenarioError : the scenario is wrong, or has fewer than two live use cases
    """
    asked = options or Options()
    loaded = load(scenario, overrides=list(asked.overrides))
    if loaded.model.rtm.lots:
        raise ScenarioError(
            "the study deals the lots itself", path="rtm.lots",
            found=f"{len(loaded.model.rtm.lots)} lots", expected="a scenario without lots",
        )  # fmt: skip
    players = chosen(players_of(loaded.catalogue.offers.values()), asked.only)
    shown = Silent() if progress is None else progress(loaded.model.clock.start)
    shown.phase("load")
    folder = _folder(loaded, players, asked)
    try:
        measured = _measured(loaded, players, asked, folder.part, shown)
    except Interrupted as error:
        raise Interrupted(
            "interrupted; what is finished is kept: the same command goes on with it "
            f"({folder.part})"
        ) from error
    finally:
        shown.close()
    told = document(measured, asked.terms)
    write_text(folder.part / "scenario.yaml", loaded.effective_yaml(folder=folder.part))
    write_json(folder.part / "prioritize.json", told)
    from scenarios.report.prioritize import page

    write_text(folder.part / "prioritize.html", page(told))
    return Study(close_folder(folder), told)


def _measured(
    loaded: LoadedScenario,
    players: Sequence[Player],
    asked: Options,
    folder: Path,
    shown: Progress,
) -> Measured:
    """Make the runs of the design and read what they left."""
    names = [player.name for player in players]
    order = orders(len(names), loaded.model.seed)
    ground = common_ground(loaded)
    runs = Runs(ground, folder, progress=shown)
    along = prefix_arms(names, order)
    further: list[Arm] = []
    if not asked.shares_only:
        further = [*alone_arms(names), *last_arms(names), *cap_arms(names)]
    runs.make([*along, *further])
    return Measured(
        loaded=loaded,
        ground=ground,
        players=tuple(players),
        order=order,
        along=[runs.read(arm) for arm in along],
        further={arm.name: runs.read(arm) for arm in further},
    )


def _folder(loaded: LoadedScenario, players: Sequence[Player], asked: Options) -> Folder:
    """Return the folder of a study; an unfinished one of the same name is gone on with."""
    told = f"{loaded.hash()} {[p.name for p in players]} {asked.shares_only}"
    short = hashlib.sha256(told.encode()).hexdigest()[:8]
    stem = f"prioritize-{loaded.name[:32]}-s{loaded.model.seed}-{short}"
    return open_named(asked.out, asked.runs_dir, stem)
