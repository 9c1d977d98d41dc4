"""The compiled queue is the SimPy station: the same jobs give the same starts, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.queueing import engine
from sim.queueing.processes import HUNG_UP, NEVER, SERVED, TURNED_AWAY, Group, Job, Station

# Small whole numbers, so that things often happen at one moment.
GAP = st.integers(0, 6)
WORK = st.integers(0, 20)
PATIENCE = st.integers(0, 15)
JOBS = st.lists(st.tuples(GAP, WORK, PATIENCE, st.integers(0, 2)), min_size=1, max_size=60)


def by_station(jobs, servers, *, patient=True, classes=False, places=None):
    """Return the start of each job on the SimPy station, or how it ended without one."""
    starts = np.full(len(jobs), -9, np.int64)

    def ended(job, how, now):
        starts[job.key] = {
            SERVED: job.started, HUNG_UP: engine.LEFT, TURNED_AWAY: engine.LOST,
        }[how]  # fmt: skip

    station = Station([Group((0,), sizes=(servers,))], n_skills=1, on_end=ended, room=places)
    for k, (at, work, patience, rank) in enumerate(jobs):
        job = Job(k, 0, work, rank if classes else 0, NEVER if patient else patience)
        station.offer(job, at)
    station.run(10**6)
    return starts


def timed(drawn):
    """Return jobs with moments instead of gaps."""
    at = np.cumsum([job[0] for job in drawn])
    return [(int(a), *job[1:]) for a, job in zip(at, drawn, strict=True)]


def columns(jobs):
    return [np.array(column, np.int64) for column in zip(*jobs, strict=True)]


@settings(max_examples=200, deadline=None)
@given(JOBS, st.integers(1, 4))
def test_impatient_callers_start_when_the_station_says(drawn, servers):
    """First come, first served, with patience: starts and hang-ups are equal."""
    jobs = timed(drawn)
    at, work, patience, _ = columns(jobs)
    start = np.empty(len(jobs), np.int64)
    engine.serve_fifo(at, work, patience, engine.FOREVER, np.zeros(servers, np.int64), start)
    np.testing.assert_array_equal(start, by_station(jobs, servers, patient=False))


@settings(max_examples=200, deadline=None)
@given(JOBS, st.integers(1, 4), st.integers(0, 5))
def test_a_full_room_turns_the_same_callers_away(drawn, servers, more):
    """A limit of places: starts and refusals are equal."""
    jobs = timed(drawn)
    at, work, _, _ = columns(jobs)
    start = np.empty(len(jobs), np.int64)
    forever = np.full(len(jobs), engine.FOREVER)
    places = np.int64(servers + more)
    engine.serve_fifo(at, work, forever, places, np.zeros(servers, np.int64), start)
    np.testing.assert_array_equal(start, by_station(jobs, servers, places=servers + more))


@settings(max_examples=200, deadline=None)
@given(JOBS, st.integers(1, 4))
def test_classes_are_served_in_the_same_order(drawn, servers):
    """Priority without preemption: starts are equal."""
    jobs = timed(drawn)
    at, work, _, rank = columns(jobs)
    start, queue = np.empty(len(jobs), np.int64), np.empty(len(jobs), np.int64)
    lines = np.empty((2, 3), np.int64)
    engine.serve_classes(
        at, work, rank.astype(np.uint8), queue, lines[0], lines[1],
        np.zeros(servers, np.int64), start,
    )  # fmt: skip
    np.testing.assert_array_equal(start, by_station(jobs, servers, classes=True))


@settings(max_examples=100, deadline=None)
@given(JOBS, st.integers(1, 3), st.integers(0, 120), st.sampled_from(["finish", "resume"]))
def test_a_station_goes_on_from_its_rows(drawn, servers, cut, at_end):
    """Broken off anywhere and rebuilt from its table, a station ends every job as it would have."""
    jobs = timed(drawn)
    group = Group((0,), (0, 40, 70), (servers, 1, servers + 1), "stay", at_end)

    def station(log):
        return Station([group], n_skills=1, on_end=lambda *end: log.append(told(*end)))

    def told(job, how, now):
        return job.key, how, now, job.started, job.since

    whole: list = []
    straight = station(whole)
    parts: list = []
    first = station(parts)
    for one in (straight, first):
        for k, (at, work, patience, rank) in enumerate(jobs):
            one.offer(Job(k, 0, work, rank, patience, tags=(k, 7)), at)
    straight.run(10**4)
    first.run(cut)
    second = station(parts)
    second.restore(first.snapshot())
    second.run(10**4)
    assert parts == whole
    assert second.busy_time() == straight.busy_time()
    assert second.duty_time() == straight.duty_time()


def test_overload_is_told_and_not_a_number():
    """An overloaded queue has no steady state: the formulas say so."""
    from sim.queueing.erlang import Unstable, Waiting

    with pytest.raises(Unstable):
        _ = Waiting(10.0, 1.0, 10).wait_mean


def test_who_calls_again_has_lost_the_old_place():
    """A caller who hung up and came back waits behind those who came in between."""
    order: list = []
    station = Station(
        [Group((0,))], n_skills=1, on_end=lambda job, how, now: order.append((job.key, how, now))
    )
    station.offer(Job(1, 0, 100), 0)
    station.offer(Job(2, 0, 10, patience=5), 1)
    station.offer(Job(3, 0, 10), 7)
    station.run(8)
    station.offer(Job(2, 0, 10, patience=500), 9)
    station.run(1000)
    assert order == [(2, HUNG_UP, 6), (1, SERVED, 100), (3, SERVED, 110), (2, SERVED, 120)]
