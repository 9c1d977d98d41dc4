"""Any cut is equal: partitions, hosts, runtimes, slices and restarts change no number."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.control.timeline import Entry
from sim.core.partition import assign_hosts, make_partitions
from sim.runtime import checkpoint
from sim.runtime.embedded import EmbeddedRuntime
from sim.runtime.paranoid import ParanoidRuntime, random_shares
from tests import checkpoints
from tests.factories import (
    EVENTFUL,
    Run,
    eventful_world,
    make_runtime,
    run_world,
    same_rows,
    tiny_world,
)

LINES = 300
HOUR = 3_600_000
STORM = (
    Entry(6 * HOUR, "cell_outage", 5, 9 * HOUR),
    Entry(10 * HOUR, "channel_outage", 3, 12 * HOUR),
    Entry(13 * HOUR, "rtm_off", -1, 0),
    Entry(14 * HOUR, "rtm_on", -1, 0),
)
TABLES = ("activity", "account_events", "decisions", "truth")
RUN = {"scenario": "tiny", "seed": 1}


def stormy(world: Any, **options: Any) -> Run:
    """Run a world through outages and an hour without the engine."""
    return run_world(world, timeline=STORM, **options)


@pytest.fixture(scope="module")
def whole() -> Run:
    """Give the reference: one partition, one host."""
    return stormy(eventful_world(LINES), partitions=1)


def assert_same(run: Run, other: Run) -> None:
    """Compare digests tick by tick and at the end, every count, and every recorded row."""
    assert run.digests == other.digests
    assert run.digest == other.digest
    assert run.totals.keys() == other.totals.keys()
    for name, array in run.totals.items():
        assert np.array_equal(array, other.totals[name]), name
    for name in TABLES:
        assert same_rows(run.rows(name), other.rows(name)), name


def test_the_reference_run_has_something_to_compare(whole: Run) -> None:
    """An equivalence of empty tables would prove nothing: each table and each digest is filled."""
    for name in TABLES:
        assert len(whole.rows(name)["sub"]) > 0, name
    assert set(whole.digest) == {
        "SubscriberState", "BillingState", "RtmState", "Cells", "Channels", "ContactCentre",
        "Exposure", "Experiment", "Contacts", "Taken", "Caller", "Game", "Points", "Loyalty",
        "Held", "Waiting", "Once", "Judge", "Judge:truth", "Judge:real", "Trial", "Learner",
    }  # fmt: skip
    # What waits for its other half may be nothing at the end.
    assert all(digest for name, digest in whole.digest.items() if not name.startswith("Judge:"))
    for name in (
        "accepted",
        "opted_out",
        "blocked",
        "cells_down",
        "channel_dropped",
        "recharges",
        "purchases",
        "purchases_organic",
        "ghosts",
        "exp_n",
        "bonus_in_minor",
        "debt_in_minor",
        "quests_joined",
        "left",
        "fell_silent",
        "lifecycle",
        "fence_detections",
    ):
        assert whole.totals[name].sum() > 0, name


@pytest.mark.parametrize("partitions", [3, 7, 16])
def test_the_number_of_partitions_changes_nothing(whole: Run, partitions: int) -> None:
    """Same digests in each tick, same counts, same rows for 3, 7 and 16 partitions as for one."""
    assert_same(stormy(eventful_world(LINES), partitions=partitions), whole)


@pytest.mark.parametrize("partitions", [2, 7])
def test_the_number_of_hosts_changes_nothing(whole: Run, partitions: int) -> None:
    """Two hosts side by side give the numbers of one."""
    assert_same(stormy(eventful_world(LINES), partitions=partitions, hosts=2), whole)


@pytest.mark.parametrize("malice", [1, 2])
def test_malice_changes_nothing(whole: Run, malice: int) -> None:
    """The paranoid runtime, on random partitions and hosts, gives the numbers of the plain one."""
    shares = random_shares(
        eventful_world(LINES).n_lines, random.Random(malice), make_partitions, assign_hosts
    )

    def kind(plan: Any, _: Any, build: Any, globals_: Any) -> ParanoidRuntime:
        return ParanoidRuntime(plan, shares, build, globals_, malice_seed=malice)

    assert_same(stormy(eventful_world(LINES), kind=kind), whole)


def test_the_cut_into_slices_changes_nothing(whole: Run) -> None:
    """Blocks with room for a few lines only give the numbers of blocks that hold everyone."""
    world = eventful_world(LINES)
    small = replace(world, plan=replace(world.plan, slice_rows=256))
    assert_same(stormy(small, partitions=2), whole)


@pytest.mark.parametrize(("before", "after"), [(3, 7), (5, 1)])
def test_a_run_goes_on_from_a_checkpoint_on_another_cut(
    whole: Run, tmp_path: Path, before: int, after: int
) -> None:
    """Saved to disk at tick 60, read back, re-cut and restored, a run ends as one never stopped.

    Also the pools and waiting rows, which digests do not cover, are equal at the end.
    """
    world = eventful_world(LINES)
    first = stormy(world, partitions=before, stop_ticks=60)
    draft = checkpoint.Draft(tmp_path, 59, 1).open()
    ended = first.runtime
    parts = [part for host in ended.hosts for part in host.save_to(draft)]
    rest = {"scattered": ended.scattered, "globals": ended.globals.snapshot()}
    draft.commit(run=RUN, parts=parts, rest=rest)
    runtime = make_runtime(world, partitions=after, hosts=1)
    saved, warnings = checkpoint.restore(tmp_path, run=RUN, apply=runtime.load_from)
    assert (saved.tick, warnings) == (59, [])
    assert runtime.digest() == first.digest
    second = stormy(world, runtime=runtime, first_tick=60)
    assert second.digest == whole.digest
    assert first.digests + second.digests == whole.digests
    cut = checkpoints.recut(snapshot(second), make_partitions(world.n_lines, 1))
    wanted = snapshot(whole)
    for role in ("subscribers", "rtm"):
        assert_same_pool(cut[0]["roles"][role]["pool"], wanted[0]["roles"][role]["pool"])


def snapshot(run: Run) -> list[dict[str, Any]]:
    """Return the snapshots of all partitions."""
    return [part for host in run.runtime.hosts for part in host.snapshot()]


def assert_same_pool(pool: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Compare pools whose order means nothing."""
    rows = [sorted(zip(*(p[k].tolist() for k in sorted(p)))) for p in (pool, other)]
    assert rows[0] == rows[1]


def test_digests_of_the_shares_of_lines_add_up_to_the_whole() -> None:
    """Over all phases of a stride, the digests of a tick sum to the digest of every line."""
    run = stormy(eventful_world(LINES), partitions=3, hosts=2, stop_ticks=20)
    total: dict[str, int] = {}
    for phase in range(5):
        for host in run.runtime.hosts:
            for name, value in host.digest(5, phase).items():
                total[name] = (total.get(name, 0) + value) % 2**64
    assert total == {name: run.digest[name] for name in total}


def test_the_stride_of_digests_changes_no_number(whole: Run) -> None:
    """Digesting one line in seven leaves state and counts alone."""
    run = stormy(eventful_world(LINES), partitions=2, stride=7)
    assert run.digest == whole.digest
    assert run.digests != whole.digests


def test_the_same_seed_gives_the_same_run(whole: Run) -> None:
    """A world built anew in the same process gives the same numbers."""
    again = stormy(tiny_world(subscribers=LINES, **EVENTFUL), partitions=2, kind=EmbeddedRuntime)
    assert_same(again, whole)


def test_another_seed_gives_another_run(whole: Run) -> None:
    """Every role's digest moves with the seed."""
    other = stormy(tiny_world(subscribers=LINES, seed=1, **EVENTFUL), partitions=1)
    for name in ("SubscriberState", "BillingState", "RtmState", "Cells", "Channels"):
        assert other.digest[name] != whole.digest[name], name
