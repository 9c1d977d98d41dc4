"""The small parts of the core: histograms, partitions, topology, registry, ticks, errors."""

from __future__ import annotations

import pickle
import types
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.actor import BillingActor
from actors.rtm.actor import RtmActor
from actors.subscribers.actor import SubscriberActor
from scenarios.world import TOPOLOGY
from sim.core import histogram
from sim.core.errors import (
    Interrupted,
    InvariantError,
    LimitError,
    Problem,
    ScenarioError,
    TwinError,
    nearest,
)
from sim.core.metrics import Metric, add_into, new_tally, reset
from sim.core.partition import assign_hosts, make_partitions
from sim.core.registry import Registry
from sim.core.ticks import Calendar, make_tick
from sim.core.topology import Edge, Topology, check_contracts

# --- histograms ------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=200), st.integers(0, 200))
def test_histograms_merge_in_any_order(values: list[int], cut: int) -> None:
    """Counts of two parts add up to the counts of the whole, and nothing is lost."""
    whole, first, second = (np.zeros(histogram.N_BUCKETS, np.int64) for _ in range(3))
    histogram.add(whole, np.array(values))
    histogram.add(first, np.array(values[:cut], np.int64))
    histogram.add(second, np.array(values[cut:], np.int64))
    assert np.array_equal(first + second, whole) and whole.sum() == len(values)


@given(st.lists(st.integers(1, 2_000_000_000), min_size=1, max_size=300))
def test_a_quantile_is_within_one_percent(values: list[int]) -> None:
    """Against the exact nearest rank: off by at most half a bucket, 1 % (or half a unit)."""
    counts = np.zeros(histogram.N_BUCKETS, np.int64)
    histogram.add(counts, np.array(values))
    shares = (0.01, 0.5, 0.9, 0.99, 1.0)
    ordered = sorted(values)
    for share, got in zip(shares, histogram.quantiles(counts, shares)):
        exact = ordered[max(1, int(np.ceil(share * len(values)))) - 1]
        assert got is not None and abs(got - exact) <= 0.0101 * exact + 0.5


@given(st.integers(0, 4_000_000_000))
def test_the_kernel_and_the_vectorised_bucket_agree(value: int) -> None:
    """Both find the last border that is not above the value."""
    counts = np.zeros(histogram.N_BUCKETS, np.int64)
    histogram.add(counts, np.array([value]))
    assert histogram.bucket_of(histogram.BORDERS, value) == int(np.argmax(counts))


def test_an_empty_histogram_has_no_quantiles() -> None:
    """None, not zero: nothing was measured."""
    counts = np.zeros(histogram.N_BUCKETS, np.int64)
    assert histogram.quantiles(counts, (0.5, 0.99)) == [None, None]
    assert histogram.share_below(counts, 100) is None


def test_the_share_below_a_limit_is_counted_in_whole_buckets() -> None:
    """Of 1..100, 49 lie below 50, up to the width of one bucket."""
    counts = np.zeros(histogram.N_BUCKETS, np.int64)
    histogram.add(counts, np.arange(1, 101))
    assert histogram.share_below(counts, 50) == pytest.approx(0.49, abs=0.015)


def test_tallies_have_the_shape_of_their_dimensions_and_add_up() -> None:
    """A metric without dimensions has one lane; a histogram adds its buckets; sums are copies."""
    labels = {"a": ("x", "y"), "b": ("p", "q", "r")}
    metrics = (
        Metric("plain", (), "1", ""),
        Metric("wide", ("a", "b"), "1", ""),
        Metric("late", ("a",), "ms", "", histogram=True),
    )
    tally = new_tally(metrics, labels)
    assert [tally[m.name].shape for m in metrics] == [(1,), (2, 3), (2, histogram.N_BUCKETS)]
    tally["plain"][0] = 3
    total: dict[str, np.ndarray] = {}
    add_into(total, tally)
    add_into(total, tally)
    reset(tally)
    assert total["plain"][0] == 6 and tally["plain"][0] == 0


# --- partitions and hosts ------------------------------------------------------------------------


@given(st.integers(1, 100_000), st.integers(0, 300), st.integers(1, 40))
def test_every_line_has_one_partition_and_every_partition_one_host(
    lines: int, wanted: int, n_hosts: int
) -> None:
    """Ranges are contiguous, never empty, of nearly equal size; hosts keep contiguous runs."""
    partitions = make_partitions(lines, wanted)
    assert [p.index for p in partitions] == list(range(len(partitions)))
    assert partitions[0].first == 0 and partitions[-1].last == lines
    assert all(a.last == b.first for a, b in zip(partitions, partitions[1:]))
    sizes = [p.n for p in partitions]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    assert len(partitions) == (min(wanted, lines) if wanted else -(-lines // 65_536))
    shares = assign_hosts(partitions, n_hosts)
    assert [p for share in shares for p in share] == list(partitions)
    assert 1 <= len(shares) <= min(n_hosts, len(partitions)) and all(shares)
    most = max(sum(p.n for p in share) for share in shares)
    assert most <= lines / min(n_hosts, len(partitions)) + 2 * max(sizes)


# --- topology ------------------------------------------------------------------------

ROLES = ("a", "b")


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        (Edge("b", "a", "M", "forward"), "cycle"),
        (Edge("a", "a", "M", "forward"), "cycle"),
        (Edge("a", "x", "M", "forward"), "role x does not exist"),
        (Edge("x", "a", "M", "gather"), "role x does not exist"),
        (Edge("a", "b", "M", "shout"), "kind shout does not exist"),
        (Edge("a", "b", "M", "feedback"), "earlier role"),
        (Edge("a", "g", "M", "forward"), "partition roles"),
        (Edge("g", "a", "M", "gather"), "global role"),
        (Edge("a", "b", "M", "reduce"), "global role"),
        (Edge("a", "g", "M", "scatter"), "leave a global role"),
        (Edge("a", "b", "M", "broadcast"), "leave a global role"),
    ],
)
def test_a_topology_refuses_an_edge_against_its_kind(edge: Edge, words: str) -> None:
    """Cycles, unknown ends and kinds, and directions that a kind forbids."""
    with pytest.raises(ScenarioError, match=words):
        Topology(ROLES, ("g",), (edge,)).check()


def test_a_topology_takes_every_kind_in_its_direction() -> None:
    """One edge of each kind that leads where it may."""
    edges = (
        Edge("a", "b", "M", "forward"), Edge("b", "a", "M", "feedback"),
        Edge("b", "b", "M", "feedback"), Edge("a", "g", "M", "gather"),
        Edge("g", "b", "M", "scatter"), Edge("a", "g", "M", "reduce"),
        Edge("g", "a", "M", "broadcast"), Edge("a", "recorder", "M", "record"),
    )  # fmt: skip
    topology = Topology(ROLES, ("g",), edges)
    assert topology.check() is topology


def test_the_roles_of_the_twin_fit_its_edges() -> None:
    """What each role consumes and produces travels on an edge, and a missing edge is noticed."""
    roles = (SubscriberActor, BillingActor, RtmActor)
    consumes = {r.role: r.consumes for r in roles}
    produces = {r.role: r.produces for r in roles}
    check_contracts(TOPOLOGY.check(), consumes, produces)
    for missing in ("Credit", "Rated", "Intent"):
        fewer = Topology(
            TOPOLOGY.roles, TOPOLOGY.global_roles,
            tuple(e for e in TOPOLOGY.edges if e.message != missing),
        )  # fmt: skip
        with pytest.raises(ScenarioError, match=missing):
            check_contracts(fewer, consumes, produces)


# --- registry ------------------------------------------------------------------------


def test_a_registry_keeps_names_apart_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries come sorted by name whatever the order of adding; a name twice is an error."""
    registry: Registry[int] = Registry("thing")
    assert registry.add("b", 2) == 2
    registry.add("a", 1)
    assert registry.items() == [("a", 1), ("b", 2)]
    assert registry["a"] == 1 and "b" in registry and "c" not in registry
    with pytest.raises(ValueError, match="thing a is registered twice"):
        registry.add("a", 3)


def test_two_names_of_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids key draws and records: a clash is told with the advice to rename."""
    monkeypatch.setattr("sim.core.registry.name_id", lambda name: 7)
    registry: Registry[int] = Registry("thing")
    registry.add("a", 1)
    with pytest.raises(ValueError, match="b and a share an id: rename one"):
        registry.add("b", 2)


def test_a_scan_imports_every_module_of_a_package() -> None:
    """The triggers of the package are all there, in the order of their names."""
    import actors.rtm.triggers as package

    assert isinstance(package, types.ModuleType)
    names = [name for name, _ in package.registry().items()]
    assert names == sorted(names) and len(names) >= 9
    assert package.registry() is package.registry()


# --- ticks ------------------------------------------------------------------------


def test_ticks_cover_a_run_and_know_local_days() -> None:
    """The last tick may be short; a region two hours ahead sees midnight eight quarters earlier."""
    calendar = Calendar(datetime(2026, 3, 6, 12), np.array([0, 8]))
    ticks = [
        make_tick(k, tick_ms=900_000, end_ms=86_400_000 - 1, calendar=calendar) for k in range(96)
    ]
    assert ticks[0].start_ms == 0 and ticks[-1].end_ms == 86_400_000 - 1
    assert all(a.end_ms == b.start_ms for a, b in zip(ticks, ticks[1:]))
    dawns = [(epoch, flags.tolist()) for tick in ticks for epoch, flags in tick.dawns]
    assert dawns == [(40, [0, 1]), (48, [1, 0])]
    assert ticks[39].weekdays.tolist() == [[4], [4]]
    assert ticks[40].weekdays.tolist() == [[4], [5]]
    assert ticks[48].weekdays.tolist() == [[5], [5]]
    assert calendar.clock(3_600_000) == "Fri 06 Mar 13:00"


@pytest.mark.parametrize("tick_s", [60, 300, 900, 1800, 3600])
def test_each_dawn_falls_into_one_tick_whatever_its_length(tick_s: int) -> None:
    """Three days have three local midnights in each region, each told once, at its epoch."""
    calendar = Calendar(datetime(2026, 3, 6, 23, 30), np.array([0, 4]), weekly=False)
    found = []
    for k in range(3 * 86_400 // tick_s):
        tick = make_tick(k, tick_ms=tick_s * 1000, end_ms=3 * 86_400_000, calendar=calendar)
        found += [(epoch, flags.tolist()) for epoch, flags in tick.dawns]
        assert (tick.weekdays == 2).all()
    assert found == [(2, [1, 0]), (94, [0, 1]), (98, [1, 0]), (190, [0, 1]), (194, [1, 0]),
                     (286, [0, 1])]  # fmt: skip


# --- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [(TwinError, 1), (ScenarioError, 2), (InvariantError, 3), (LimitError, 4), (Interrupted, 130)],
)
def test_each_error_of_the_family_has_its_exit_code(kind: type[TwinError], code: int) -> None:
    """The command line ends with the code of the class; all of them are `TwinError`."""
    assert kind.exit_code == code and issubclass(kind, TwinError)
    assert str(kind("what happened")) == "what happened"


def test_a_scenario_error_says_where_what_and_what_would_be_right() -> None:
    """File, line, path, found and expected stand in one line of text."""
    error = ScenarioError(
        "not a number", file="city.yaml", line=7, path="clock.days", found="'x'", expected="days"
    )
    assert str(error) == "city.yaml:7: clock.days: not a number; found 'x'; expected days"
    two = ScenarioError.collect([Problem("one"), Problem("two", file="a.yaml")])
    assert str(two) == "one\na.yaml: two" and len(two.problems) == 2


def test_an_invariant_error_names_tick_role_partition_and_values() -> None:
    """Only what is known is said."""
    error = InvariantError("the books do not balance", tick=3, role="billing", values={"d": 1})
    assert str(error) == "the books do not balance (tick 3, role billing, values {'d': 1})"
    assert str(InvariantError("x")) == "x"


@pytest.mark.parametrize(
    "error",
    [
        ScenarioError("a", file="f", line=1, path="p", found=3, expected="q"),
        ScenarioError.collect([Problem("one"), Problem("two")]),
        InvariantError("broken", tick=1, role="rtm", partition=0, values={"x": 2}),
        LimitError("full"),
        Interrupted("stopped"),
    ],
)
def test_an_error_survives_a_process_border(error: TwinError) -> None:
    """Type, text and parts are the same after pickling, as from a host in another process."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    for name in ("problems", "details"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_the_nearest_known_word_is_suggested() -> None:
    """A slip of the pen finds its word; nonsense finds none."""
    assert nearest("mall_cupon", ["mall_coupon", "low_balance"]) == "mall_coupon"
    assert nearest("xyz", ["mall_coupon"]) is None
