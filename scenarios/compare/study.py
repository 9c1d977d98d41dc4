"""The comparison itself: from two names to a document, a page and a folder.

It owns the order of the steps, the stopping rule and the document `compare.json`.  It must not
know how a run is made, nor how the page looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scenarios.api import Override
from scenarios.compare import estimate, people
from scenarios.compare.estimate import Difference, differences, enough
from scenarios.compare.first import clock, first_differences
from scenarios.compare.folder import close_folder, open_folder
from scenarios.compare.pairs import Outcome, Runs, watched
from scenarios.compare.sides import (
    Side,
    caveats_of,
    check_comparable,
    common_start,
    make_side,
    settings_that_differ,
)
from scenarios.compare.words import caveats, headline
from scenarios.progress import Progress, Silent
from scenarios.world import load_geography
from sim.core.errors import Interrupted, Problem, ScenarioError, nearest
from sim.record.files import write_json, write_text
from sim.record.store import open_run

REPLICATIONS_MAX = 1_000
TARGET_REPLICATIONS = 30
"""Replications at most where a target is given and their number is not."""
CHANGED_SHOWN = 20
PARTS = ("population", "network", "charging", "funnel", "latency_ms", "use_cases", "campaigns",
         "real_time", "channels", "contact_centre", "quests", "loyalty", "geofences", "triggers",
         "variants", "costs", "experiments", "satisfaction", "churn", "lines")  # fmt: skip
"""First words of the names of figures."""


@dataclass(frozen=True)
class Options:
    """What a comparison is asked for.

    Attributes
    ----------
    replications : pairs of runs; with targets, at most so many; None: 1, or 30 with targets
    both, only_a, only_b : values laid on both scenarios, or on one of them
    targets : figure -> half-width of its interval at which the sequence may stop
    changed : changed subscribers for whom the first difference is looked up
    out : folder of the comparison; None: a name below `runs_dir` is made
    """

    replications: int | None = None
    both: tuple[str | Override, ...] = ()
    only_a: tuple[str | Override, ...] = ()
    only_b: tuple[str | Override, ...] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    changed: int = CHANGED_SHOWN
    out: Path | None = None
    runs_dir: Path = Path("runs")

    @property
    def most(self) -> int:
        """Return the replications that are made at most."""
        return self.replications or (TARGET_REPLICATIONS if self.targets else 1)


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes
    ----------
    path : its folder: `compare.json`, `compare.html`, the first pair of runs
    document : content of `compare.json`
    """

    path: Path
    document: dict[str, Any]

    @property
    def missed(self) -> list[str]:
        """Return the targets that were not reached, as sentences."""
        return [t["says"] for t in self.document["targets"] if not t["reached"]]


def compare(
    a: str,
    b: str,
    options: Options | None = None,
    *,
    progress: Callable[[str], Progress] | None = None,
) -> Comparison:
    """Compare two scenarios or finished runs on common random numbers.

    Parameters
    ----------
    progress : makes what shows the progress, from the start of the scenario (local ISO time)

    Raises
    ------
    ScenarioError : a side does not exist, is damaged or shares no ground with the other
    """
    asked = options or Options()
    _check(asked)
    one, two, notes = sides_of(a, b, asked)
    shown = Silent() if progress is None else progress(one.loaded.model.clock.start)
    shown.phase("load")
    folder = open_folder(one, two, asked.out, asked.runs_dir)
    regions = _regions(one, two)
    runs = Runs(one, two, folder.part, regions=regions, progress=shown)
    try:
        pairs, reached = _sequence(runs, asked)
        document = _document(one, two, pairs, asked, notes, runs, regions, reached)
    except Interrupted as error:
        raise Interrupted(
            "interrupted; what is finished is kept: the same command goes on with it "
            f"({folder.part})"
        ) from error
    finally:
        runs.close()
        shown.close()
    write_json(folder.part / "compare.json", document)
    from scenarios.report.compare import page

    write_text(folder.part / "compare.html", page(document))
    return Comparison(close_folder(folder), document)


def sides_of(a: str, b: str, asked: Options) -> tuple[Side, Side, list[str]]:
    """Return both sides, checked, with a common start, and what is to be said of them."""
    problems: list[Problem] = []
    made: list[Side] = []
    for letter, told, own in (("a", a, asked.only_a), ("b", b, asked.only_b)):
        try:
            side = make_side(letter, told, overrides=(*asked.both, *own), runs_dir=asked.runs_dir)
            made.append(side)
        except ScenarioError as error:
            problems += [p for p in error.problems if p not in problems]
    if problems:
        raise ScenarioError.collect(problems)
    one, two = made
    check_comparable(one, two)
    if asked.most > 1 and (one.replayed or two.replayed):
        raise ScenarioError(
            "a replayed run has one realisation alone", path="--replications",
            found=asked.most, expected="1",
        )  # fmt: skip
    notes = caveats_of(one, two)
    two, more = common_start(one, two)
    return one, two, [*notes, *more]


def _check(asked: Options) -> None:
    problems = []
    if not 1 <= asked.most <= REPLICATIONS_MAX:
        problems.append(Problem(
            "out of range", path="--replications", found=str(asked.most),
            expected=f"1 to {REPLICATIONS_MAX}",
        ))  # fmt: skip
    for name, wanted in asked.targets.items():
        if not 0 < wanted < float("inf"):
            problems.append(Problem(
                "not a half-width", path="--target-half-width", found=f"{name}={wanted}",
                expected="a number above 0",
            ))  # fmt: skip
        if name.split(".")[0] not in PARTS:
            close = nearest(name.split(".")[0], PARTS)
            problems.append(Problem(
                "no such figure" + (f", did you mean {close}...?" if close else ""),
                path="--target-half-width", found=name,
                expected="a dotted name as in kpis.json, such as charging.recharge_minor",
            ))  # fmt: skip
    if asked.targets and asked.most < estimate.PAIRS_MIN:
        problems.append(Problem(
            "a target needs replications", path="--replications", found=str(asked.most),
            expected=f"at least {estimate.PAIRS_MIN}",
        ))  # fmt: skip
    if problems:
        raise ScenarioError.collect(problems)


def _sequence(runs: Runs, asked: Options) -> tuple[list[tuple[Outcome, Outcome]], bool]:
    """Return the pairs up to the target, and whether it was reached.

    Pairs count in the order of their seeds, so that the end does not depend on the cores.
    """
    pairs: list[tuple[Outcome, Outcome]] = []
    for pair in runs.pairs(asked.most):
        pairs.append(pair)
        if len(pairs) == 1:
            _check_targets(asked.targets, pair)
        a, b = [p[0].values for p in pairs], [p[1].values for p in pairs]
        if asked.targets and enough(a, b, asked.targets, len(pairs)):
            return pairs, True
    return pairs, not asked.targets


def _check_targets(targets: Mapping[str, float], pair: tuple[Outcome, Outcome]) -> None:
    known = [name for name in pair[0].values if name in pair[1].values]
    problems = []
    for name in targets:
        if name not in known:
            close = nearest(name, known)
            problems.append(Problem(
                "no such figure in both runs" + (f", did you mean {close}?" if close else ""),
                path="--target-half-width", found=name,
            ))  # fmt: skip
    if problems:
        raise ScenarioError.collect(problems)


def _regions(a: Side, b: Side) -> tuple[str, ...]:
    """Return the names of the regions, where both sides have the same map."""
    if a.loaded.model.geography != b.loaded.model.geography:
        return ()
    return tuple(load_geography(a.loaded).region_names)


def _document(
    one: Side,
    two: Side,
    pairs: Sequence[tuple[Outcome, Outcome]],
    asked: Options,
    notes: list[str],
    runs: Runs,
    regions: Sequence[str],
    reached: bool,
) -> dict[str, Any]:
    first_a, first_b = pairs[0]
    paths = (Path(first_a.path), Path(first_b.path))
    tables = [people.read_lines(path) for path in paths]
    single = len(pairs) == 1
    spreads: dict[str, estimate.LineSpread] = {}
    changed = np.zeros(0, np.int64)
    lines_a, lines_b = tables
    if lines_a is not None and lines_b is not None:
        changed = people.changed_lines(lines_a, lines_b)
        if single:
            spreads |= people.spreads(lines_a, lines_b, regions)
    if single and first_b.changed != 0:
        spreads |= people.sample_spreads(*paths, n_lines=min(first_a.lines, first_b.lines))
    found = differences(
        [p[0].values for p in pairs], [p[1].values for p in pairs], spreads=spreads,
        unchanged=all(pair[1].changed == 0 for pair in pairs),
    )  # fmt: skip
    people_told = _changed(one, two, changed, lines_a, asked, runs, regions, pairs[0])
    counts = [pair[1].changed for pair in pairs]
    document: dict[str, Any] = {
        "kpis": {
            name: {"a": d.a, "b": d.b, "difference": d.difference, "low": d.low, "high": d.high}
            for name, d in found.items()
        },
        "subscribers_changed": counts[0],
        "subscribers": {
            "compared": min(first_a.lines, first_b.lines),
            "changed_by_seed": counts,
            "groups": people.group_rows(lines_a, changed, regions) if lines_a is not None else [],
        },
        "changed": people_told,
        "basis": {
            name: {
                "estimator": d.estimator, "n": d.n, "beyond_noise": d.beyond_noise,
                "variance_reduction": d.reduction,
            }
            for name, d in found.items()
        },
        "a": _side(one, pairs, 0),
        "b": _side(two, pairs, 1),
        "settings": settings_that_differ(one, two),
        "direction": "difference = B - A",
        "estimand": "total effect of B against A on common random numbers: everything that "
        "follows from the difference, fatigue, crowding and displaced purchases included",
        "level": 0.95,
        "replications": len(pairs),
        "seeds": [pair[0].seed for pair in pairs],
        "days": one.loaded.model.clock.days,
        "currency": one.loaded.model.money.currency,
        "targets": _targets(asked, found, len(pairs), reached),
    }  # fmt: skip
    document["headline"] = headline(document)
    document["caveats"] = [*notes, *caveats(document)]
    return document


def _side(side: Side, pairs: Sequence[tuple[Outcome, Outcome]], at: int) -> dict[str, Any]:
    model, first = side.loaded.model, pairs[0][at]
    return {
        "told": side.told, "scenario": model.scenario, "title": model.title,
        "scenario_hash": first.scenario_hash, "state_digest": first.state_digest,
        "subscribers": model.population.subscribers,
        "run": str(side.run) if side.run is not None else None,
    }  # fmt: skip


def _targets(
    asked: Options, found: Mapping[str, Difference], n: int, reached: bool
) -> list[dict[str, Any]]:
    out = []
    for name, wanted in asked.targets.items():
        half = found[name].half_width
        ok = reached or (half is not None and half <= wanted)
        width = "no interval" if half is None else f"half-width {half:.6g}"
        says = f"{name}: {'reached' if ok else 'not reached'}: {width} after {n} replications, "
        out.append({
            "kpi": name, "wanted": wanted, "half_width": half, "replications": n, "reached": ok,
            "says": says + f"wanted {wanted:g}",
        })  # fmt: skip
    return out


def _changed(
    one: Side,
    two: Side,
    changed: np.ndarray,
    lines: people.Lines | None,
    asked: Options,
    runs: Runs,
    regions: Sequence[str],
    first: tuple[Outcome, Outcome],
) -> list[dict[str, Any]]:
    """Return some subscribers whose day changed, each with the first event that differs."""
    if not len(changed) or asked.changed == 0 or lines is None:
        return []
    paths = [Path(outcome.path) for outcome in first]
    kept = _recorded(paths, changed, len(lines.digest))
    if len(kept) >= min(asked.changed, len(changed)) or one.replayed or two.replayed:
        subs = _some(kept, asked.changed)
    else:
        subs = _some(changed, asked.changed)
        paths = watched(
            (one, two), subs, runs.folder, digests=[o.state_digest for o in first],
            progress=runs.progress,
        )  # fmt: skip
    told = []
    for found in first_differences(paths[0], paths[1], [int(sub) for sub in subs]):
        told.append({
            "sub": found.sub, **people.describe(lines, found.sub, regions),
            "ts_ms": found.ts_ms if found.ts_ms >= 0 else None,
            "time": clock(one.loaded.model.clock.start, found.ts_ms),
            "a": found.a, "b": found.b,
        })  # fmt: skip
    for path in paths:
        if path.name.endswith("-watched"):
            shutil.rmtree(path, ignore_errors=True)
    return sorted(told, key=lambda row: (row["ts_ms"] is None, row["ts_ms"], row["sub"]))


def _recorded(paths: Sequence[Path], changed: np.ndarray, n_lines: int) -> np.ndarray:
    """Return the changed lines whose rows both runs kept."""
    for path in paths:
        with open_run(path) as run:
            kept = people.sampled_lines(run, n_lines)
        changed = np.intersect1d(changed, kept)
    return changed


def _some(subs: np.ndarray, n: int) -> np.ndarray:
    """Return `n` of the lines at most, chosen by a hash: no neighbours, and always the same."""
    scattered = subs.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.sort(subs[np.argsort(scattered, kind="stable")][:n])
