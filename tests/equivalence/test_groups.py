"""Roles apart give the numbers of roles together: groups in one process, here without Ray."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios import load
from scenarios.placing import ROLES
from scenarios.runner import run
from sim.control.timeline import Entry
from sim.core.partition import assign_hosts, make_partitions
from sim.runtime import checkpoint
from sim.runtime.paranoid import random_shares
from sim.runtime.split import plan_groups
from sim.runtime.split_local import ParanoidSplitRuntime, SplitRuntime
from tests.factories import Run, eventful_world, make_runtime, run_world, same_rows

LINES = 300
HOUR = 3_600_000
STORM = (
    Entry(6 * HOUR, "cell_outage", 5, 9 * HOUR),
    Entry(10 * HOUR, "channel_outage", 3, 12 * HOUR),
    Entry(13 * HOUR, "rtm_off", -1, 0),
    Entry(14 * HOUR, "rtm_on", -1, 0),
)
TABLES = ("activity", "account_events", "decisions", "truth", "deliveries", "credits", "detections")
CUTS = {
    "2 late": (("subscribers", "billing"), ("rtm",)),
    "2 early": (("subscribers",), ("billing", "rtm")),
    "3": (("subscribers",), ("billing",), ("rtm",)),
}


def stormy(**options: Any) -> Run:
    """Run an eventful day through outages and an hour without the engine."""
    return run_world(eventful_world(LINES), timeline=STORM, **options)


def groups_of(cut: str) -> Any:
    """Return the groups of a cut of the eventful world."""
    return plan_groups(eventful_world(LINES).plan, ROLES, CUTS[cut])


@pytest.fixture(scope="module")
def whole() -> Run:
    """Give the reference: all roles together, one partition, one host."""
    return stormy(partitions=1)


def assert_same(run: Run, other: Run) -> None:
    """Compare digests tick by tick and at the end, every count, and every recorded row."""
    assert run.digests == other.digests
    assert run.digest == other.digest
    assert run.totals.keys() == other.totals.keys()
    for name, array in run.totals.items():
        assert np.array_equal(array, other.totals[name]), name
    for name in TABLES:
        assert same_rows(run.rows(name), other.rows(name)), name
    assert run.samples.keys() == other.samples.keys()


def test_every_table_and_count_of_the_reference_is_filled(whole: Run) -> None:
    """Rows of every kind that crosses a border between groups are there to be lost."""
    for name in TABLES:
        assert len(whole.rows(name)["sub"]) > 0, name


@pytest.mark.parametrize("cut", CUTS)
def test_groups_change_nothing(whole: Run, cut: str) -> None:
    """Two cuts into two groups, and every role alone, on five partitions of two hosts."""
    found = stormy(kind=SplitRuntime, partitions=5, hosts=2, groups=groups_of(cut))
    assert_same(found, whole)


@pytest.mark.parametrize("piece_rows", [1, 200])
def test_the_size_of_pieces_changes_nothing(whole: Run, piece_rows: int) -> None:
    """A piece for every slice, or for a few: the same numbers as one for the whole tick."""
    found = stormy(
        kind=SplitRuntime, partitions=7, groups=groups_of("3"), piece_rows=piece_rows
    )  # fmt: skip
    assert_same(found, whole)


@pytest.mark.parametrize("malice", [1, 2])
def test_malice_between_groups_changes_nothing(whole: Run, malice: int) -> None:
    """Pieces go through bytes, hosts are rebuilt at random, blocks of others are sealed."""
    lines = eventful_world(LINES).n_lines
    shares = random_shares(lines, random.Random(malice), make_partitions, assign_hosts)
    groups = groups_of(list(CUTS)[malice])

    def kind(plan: Any, _: Any, build: Any, globals_: Any) -> ParanoidSplitRuntime:
        return ParanoidSplitRuntime(
            plan, shares, build, globals_, groups=groups, malice_seed=malice
        )  # fmt: skip

    assert_same(stormy(kind=kind), whole)


@pytest.mark.parametrize(("before", "after"), [("3", ""), ("", "3"), ("2 late", "2 early")])
def test_a_run_goes_on_under_other_groups(
    whole: Run, tmp_path: Path, before: str, after: str
) -> None:
    """A checkpoint on disk knows nothing of groups: saved under some, resumed under others."""

    def kind(cut: str) -> dict[str, Any]:
        return {"kind": SplitRuntime, "groups": groups_of(cut)} if cut else {}

    name = {"scenario": "tiny"}
    first = stormy(partitions=3, stop_ticks=60, **kind(before))
    ended = first.runtime
    draft = checkpoint.Draft(tmp_path, 59, 1).open()
    parts = [part for host in ended.hosts for part in host.save_to(draft)]
    rest = {"scattered": ended.scattered, "globals": ended.globals.snapshot()}
    draft.commit(run=name, parts=parts, rest=rest)
    world = eventful_world(LINES)
    runtime = make_runtime(world, partitions=4, hosts=2, **kind(after))
    checkpoint.restore(tmp_path, run=name, apply=runtime.load_from)
    second = stormy(runtime=runtime, first_tick=60)
    assert second.digest == whole.digest
    assert first.digests + second.digests == whole.digests


def test_kpis_of_a_whole_run_are_the_same_bytes(tmp_path: Path) -> None:
    """From the scenario file to `kpis.json`: the groups of the placement change no figure."""
    small = {"population.donor_days": 0, "days": 0.25, "subscribers": 2_000, "seed": 5}
    found = {}
    for name, cut in {"together": (("subscribers", "billing", "rtm"),), **CUTS}.items():
        loaded = load("city_day").with_(**small, **{"placement.groups": cut})
        done = run(loaded, out=tmp_path / name)
        assert done.manifest["groups"] == [list(group) for group in cut]
        found[name] = done.manifest["state_digest"], (done.path / "kpis.json").read_bytes()
    assert len(set(found.values())) == 1
