"""Deterministic schedules, run through the station of `sim.queueing.processes`.

It owns the translation of parameters into jobs, shifts and rooms.  Times become whole millionths,
so that sums of decimals are exact.  It must not hold any rule of service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scenarios.validation_cases.registry import Unsupported, Values, schedule
from scenarios.validation_cases.table import Value
from sim.queueing.processes import (
    HUNG_UP,
    PREEMPTED,
    SERVED,
    TURNED_AWAY,
    Group,
    Job,
    Station,
)
from sim.queueing.slots import slotted

UNIT = 1_000_000
"""Clock units in one unit of a case."""
JOBS_MAX = 100_000
FOREVER = 10**15
Figures = Mapping[str, Value]


def ticks(x: float) -> int:
    """Return a time in clock units."""
    return round(x * UNIT)


def told(x: int) -> float:
    """Return clock units as a time."""
    return x / UNIT


@dataclass
class Log:
    """What a station told: jobs by the way in which they ended, in the order of the ends."""

    served: list[Job] = field(default_factory=list)
    hung_up: list[tuple[Job, int]] = field(default_factory=list)
    turned_away: list[tuple[Job, int]] = field(default_factory=list)
    first_start: dict[int, int] = field(default_factory=dict)

    def __call__(self, job: Job, how: int, now: int) -> None:
        """Take one end."""
        if how == SERVED:
            self.served.append(job)
        elif how == HUNG_UP:
            self.hung_up.append((job, now))
        elif how == TURNED_AWAY:
            self.turned_away.append((job, now))
        elif how == PREEMPTED:
            self.first_start.setdefault(job.key, job.started)

    def by_start(self) -> list[Job]:
        """Return the served jobs in the order in which they were begun."""
        return sorted(self.served, key=lambda job: (job.started, job.key))

    def by_arrival(self) -> list[Job]:
        """Return the served jobs in the order in which they came."""
        return sorted(self.served, key=lambda job: job.key)


def play(groups: Sequence[Group], jobs: Sequence[tuple[Job, int]], **options: Any):
    """Return (station, log) after the jobs, up to and with `until`."""
    until = options.pop("until", FOREVER)
    if len(jobs) > JOBS_MAX:
        raise Unsupported(f"more than {JOBS_MAX:,} customers")
    log = Log()
    skills = 1 + max(skill for group in groups for skill in group.skills)
    station = Station(groups, n_skills=skills, on_end=log, **options)
    for job, at in jobs:
        station.offer(job, at)
    station.run(until + 1)  # what falls on the last moment counts
    return station, log


def spaced(p: Values, until: int) -> list[int]:
    """Return arrivals at equal distances, up to `until`."""
    gap = ticks(p.rate("interarrival"))
    if gap < 1 or until // gap > JOBS_MAX:
        raise Unsupported(f"more than {JOBS_MAX:,} customers")
    return list(range(gap, until + 1, gap))


def servers(p: Values) -> Group:
    """Return a group of so many servers."""
    return Group((0,), sizes=(p.count("servers", 1),))


def shifts(p: Values, **options: Any) -> Group:
    """Return a group whose shifts end at stated moments."""
    ends = [ticks(x) for x in p.numbers("shift_ends")]
    sizes = [int(n) for n in p.numbers("shift_sizes")]
    if len(ends) != len(sizes) or ends != sorted(set(ends)):
        raise Unsupported("parameters shift_ends, shift_sizes: one each for a shift, rising")
    return Group((0,), changes=(0, *ends[:-1]), sizes=tuple(sizes), **options)


def listed(p: Values, arrivals: str, services: str) -> list[tuple[Job, int]]:
    """Return jobs from lists of arrivals and services."""
    at, work = p.numbers(arrivals), p.numbers(services)
    if len(at) != len(work):
        raise Unsupported(f"parameters {arrivals}, {services}: one each for a customer")
    return [(Job(i + 1, 0, ticks(w)), ticks(a)) for i, (a, w) in enumerate(zip(at, work))]


@schedule("G/G/1 deterministic FIFO")
def fifo(p: Values, wanted: Sequence[str]) -> Figures:
    """Equal services."""
    work = ticks(p.rate("service"))
    jobs = [(Job(i + 1, 0, work), ticks(a)) for i, a in enumerate(p.numbers("arrivals"))]
    _, log = play([servers(p)], jobs, until=ticks(p.rate("until")))
    return {"service_end": [told(job.ends) for job in log.by_start()]}


@schedule("batch arrivals deterministic")
def batches(p: Values, wanted: Sequence[str]) -> Figures:
    """Batches, services in a cycle."""
    size, works = p.count("batch_size"), p.numbers("services_cyclic")
    moments = [ticks(a) for a in p.numbers("batch_times") for _ in range(size)]
    jobs = [(Job(i + 1, 0, ticks(works[i % len(works)])), a) for i, a in enumerate(moments)]
    _, log = play([servers(p)], jobs)
    done = log.by_start()
    return {
        "service_start": [told(job.started) for job in done],
        "waiting": [told(job.started - job.since) for job in done],
        "service_end": [told(job.ends) for job in done],
    }


@schedule("baulking deterministic")
def baulking(p: Values, wanted: Sequence[str]) -> Figures:
    """Who finds so many in the system goes away."""
    until, work = ticks(p.rate("until")), ticks(p.rate("service"))
    jobs = [(Job(i + 1, 0, work), a) for i, a in enumerate(spaced(p, until))]
    room = p.count("baulk_when_in_system_at_least")
    _, log = play([servers(p)], jobs, until=until, room=room)
    done = log.by_start()
    return {
        "baulk_times": [told(at) for _, at in log.turned_away],
        "served_arrivals": [told(job.since) for job in done],
        "waits": [told(job.started - job.since) for job in done],
        "service_end": [told(job.ends) for job in done],
    }


@schedule("reneging deterministic")
def reneging(p: Values, wanted: Sequence[str]) -> Figures:
    """Who has waited so long goes away."""
    until, work = ticks(p.rate("until")), ticks(p.rate("service"))
    patience = ticks(p.number("patience"))
    jobs = [(Job(i + 1, 0, work, patience=patience), a) for i, a in enumerate(spaced(p, until))]
    _, log = play([servers(p)], jobs, until=until)
    return {
        "renege_ids": [float(job.key) for job, _ in log.hung_up],
        "renege_arrivals": [told(job.since) for job, _ in log.hung_up],
        "renege_exits": [told(at) for _, at in log.hung_up],
    }


@schedule("slotted releases")
def slots(p: Values, wanted: Sequence[str]) -> Figures:
    """Services begin at slots."""
    moments, sizes = p.numbers("slots"), p.numbers("slot_sizes")

    def slot(k: int) -> tuple[int, int]:
        if k >= len(moments):
            raise Unsupported("the slots end before the customers do")
        return ticks(moments[k]), int(sizes[k])

    starts = slotted([ticks(a) for a in p.numbers("arrivals")], slot)
    return {"service_start": [told(s) for s in starts]}


@schedule("slotted releases, repeating")
def cyclic_slots(p: Values, wanted: Sequence[str]) -> Figures:
    """Services begin at slots that repeat; the last slot of the cycle is its period."""
    cycle, sizes = [ticks(x) for x in p.numbers("slots_cycle")], p.numbers("slot_sizes")
    if cycle[-1] <= 0 or max(sizes) < 1:
        raise Unsupported("parameter slots_cycle: a period above 0")

    def slot(k: int) -> tuple[int, int]:
        turn, at = divmod(k, len(cycle))
        return turn * cycle[-1] + cycle[at], int(sizes[at])

    starts = slotted([ticks(a) for a in p.numbers("arrivals")], slot)
    return {"service_start": [told(s) for s in starts]}


@schedule("shift ends, overtime")
def overtime(p: Values, wanted: Sequence[str]) -> Figures:
    """New people at each shift; the old ones finish what they have begun."""
    if p.told.get("preemption") is not False:
        raise Unsupported("parameter preemption: false only")
    station, _ = play(
        [shifts(p, handover="replace")], listed(p, "arrivals", "services"),
        until=ticks(p.rate("until")),
    )  # fmt: skip
    late = [told(x) for x in station.overtimes]
    return {"overtime": late, "mean_overtime": sum(late) / len(late)}


@schedule("priority deterministic")
def priority(p: Values, wanted: Sequence[str]) -> Figures:
    """Two classes, with and without breaking services off."""
    first, second = ticks(p.rate("service_class0")), ticks(p.rate("service_class1"))
    coming = sorted(
        [(ticks(a), 0, first) for a in p.numbers("class0_arrivals")]
        + [(ticks(a), 1, second) for a in p.numbers("class1_arrivals")]
    )
    out: dict[str, Value] = {}
    for name, how in (("nonpreemptive", "no"), ("preemptive_restart", "restart")):
        jobs = [(Job(i + 1, 0, work, rank), at) for i, (at, rank, work) in enumerate(coming)]
        _, log = play([servers(p)], jobs, preempt=how)
        done = log.by_arrival()
        out[f"{name}_waits"] = [told(job.started - job.since) for job in done]
        out[f"{name}_ends"] = [told(job.ends) for job in done]
    return out


@schedule("shift gap options")
def gap(p: Values, wanted: Sequence[str]) -> Figures:
    """A service that a gap between shifts breaks off."""
    works = [ticks(x) for x in p.numbers("services")]
    if len(works) < 2:
        raise Unsupported("parameter services: the second one is the new work")
    out: dict[str, Value] = {}
    for how in ("restart", "resume", "resample"):
        job = Job(1, 0, works[0])
        _, log = play(
            [shifts(p, at_end=how)], [(job, ticks(p.number("arrival")))],
            resample=lambda _: works[1],
        )  # fmt: skip
        if log.served:
            out[f"exit_{how}"] = told(log.served[0].ends)
    return out


@schedule("server utilisation")
@schedule("server utilisation with shifts")
def utilisation(p: Values, wanted: Sequence[str]) -> Figures:
    """Time worked over time on duty."""
    group = shifts(p, handover="replace") if "shift_ends" in p.told else servers(p)
    log = Log()
    station = Station([group], n_skills=1, on_end=log)
    for job, at in listed(p, "arrivals", "services"):
        station.offer(job, at)
    station.run(ticks(p.rate("until")))
    return {"utilisation": station.busy_time() / station.duty_time()}


@schedule("system capacity (two nodes share 5 places)")
def shared_room(p: Values, wanted: Sequence[str]) -> Figures:
    """Several queues, each with servers of its own, in one room."""
    gaps = [ticks(x) for x in p.numbers("interarrival", most=20)]
    sizes = [int(n) for n in p.numbers("servers", most=20)]
    until, work = ticks(p.rate("until")), ticks(p.rate("service"))
    if len(gaps) != len(sizes) or min(gaps) < 1 or until // min(gaps) > JOBS_MAX:
        raise Unsupported("parameters interarrival, servers: one each for a node")
    groups = [Group((node,), sizes=(n,)) for node, n in enumerate(sizes)]
    coming = sorted((at, node) for node, g in enumerate(gaps) for at in range(g, until + 1, g))
    jobs = [(Job(i + 1, node, work), at) for i, (at, node) in enumerate(coming)]
    _, log = play(groups, jobs, until=until, room=p.count("system_capacity"))
    # All who were begun, whether their service has ended or not.
    begun = log.by_start()
    return {
        "served_arrivals": [told(job.since) for job in begun],
        "service_start": [told(job.started) for job in begun],
        "first_10_rejections": [told(at) for _, at in log.turned_away[:10]],
    }
