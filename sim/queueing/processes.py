"""One station on SimPy: queues by skill, groups of servers on shifts, patience, second calls.

It owns who is served when.  Every random quantity of a job (its work, its patience, its second
try) comes with the job, drawn by its key, so that the station itself is a pure function of its
jobs.  It must not draw, nor know who calls.

Times are integers of any one unit.  At one moment things happen in a fixed order: services end,
shifts change, callers hang up, callers come; within each by key.  All state is rows: `snapshot`
gives a table, and `restore` rebuilds the SimPy environment from it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import simpy

SERVED, HUNG_UP, TURNED_AWAY, PREEMPTED = 0, 1, 2, 3
"""How a job's stay ended; `PREEMPTED` is told of a service that was broken off."""
WAITING, SERVING, COMING, GONE = 0, 1, 2, 3
NEVER = -1
"""Patience of one who never hangs up."""
_DONE, _SHIFT, _HANG_UP, _COME = range(4)
"""Order of what happens at one moment."""


@dataclass(slots=True)
class Job:
    """One call, message or request.

    Attributes
    ----------
    key : unique; breaks every tie
    skill : queue that it joins
    priority : smaller is served first
    work : service time
    patience : longest wait; `NEVER` hangs up
    tags : integers of the caller's own, kept with the row
    since : moment at which it came, set by the station
    place : moment that orders it in its queue; kept by a preempted job
    started : start of the last service
    left_work : work still to be done, for a preempted job that goes on
    """

    key: int
    skill: int
    work: int
    priority: int = 0
    patience: int = NEVER
    tags: tuple[int, ...] = ()
    since: int = 0
    place: int = 0
    started: int = -1
    left_work: int = -1
    phase: int = WAITING
    group: int = -1
    crew: int = 0
    ends: int = 0


@dataclass(frozen=True)
class Group:
    """Servers of one kind.

    Attributes
    ----------
    skills : queues that they serve
    changes, sizes : moments from which there are so many servers; before the first there are none
    handover : `stay`: the number on duty changes; `replace`: the shift leaves and new people come
    at_end : what a shift's end does to a service for which nobody is left: `finish` in overtime,
        or break it off and later `resume`, `restart` or `resample` it
    """

    skills: tuple[int, ...]
    changes: tuple[int, ...] = (0,)
    sizes: tuple[int, ...] = (1,)
    handover: Literal["stay", "replace"] = "stay"
    at_end: Literal["finish", "resume", "restart", "resample"] = "finish"


@dataclass(slots=True)
class _Crew:
    """What a group has on duty now, and integrals over time."""

    size: int = 0
    crew: int = 0
    busy: dict[int, Job] = field(default_factory=dict)
    overtime: dict[int, Job] = field(default_factory=dict)
    next_change: int = 0
    at: int = 0
    busy_time: int = 0
    duty_time: int = 0

    def integrate(self, now: int) -> None:
        """Bring the integrals of busy servers and of servers on duty up to `now`."""
        span, self.at = now - self.at, now
        busy = len(self.busy) + len(self.overtime)
        self.busy_time += span * busy
        self.duty_time += span * (max(self.size, len(self.busy)) + len(self.overtime))


class _Due(simpy.Event):
    """A moment at which something happens, ordered by kind and key within the moment."""

    def __init__(
        self, env: simpy.Environment, at: int, rank: int, act: Callable[[simpy.Event], None]
    ) -> None:
        self.env = env
        self.callbacks = [act]
        self._value = None
        self._ok = True
        env.schedule(self, priority=rank, delay=at - int(env.now))  # type: ignore[arg-type]  # any number orders


Ended = Callable[[Job, int, int], None]
"""Told (job, how, moment) of every end."""


class Station:
    """Queues by skill in front of groups of servers."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        n_skills: int,
        on_end: Ended,
        on_come: Callable[[Job, int], None] | None = None,
        on_begin: Callable[[Job, int], None] | None = None,
        on_wait: Callable[[Job, int], None] | None = None,
        room: int | None = None,
        preempt: Literal["no", "resume", "restart"] = "no",
        resample: Callable[[Job], int] | None = None,
        start: int = 0,
    ) -> None:
        """Set up an empty station.

        Parameters
        ----------
        on_end : told (job, how, moment) of every end
        on_come : told (job, moment) when it comes, before anything is done about it
        on_begin : told (job, moment) when a service is begun for the first time
        on_wait : told (job, jobs of its skill that wait) before a newcomer waits; it may change
            the job's patience
        room : most jobs in the system; one that finds it full is turned away
        preempt : whether a job of higher priority breaks off a lower one's service
        resample : gives the work of a service that is begun anew, for `at_end="resample"`
        start : moment at which the clock begins
        """
        self.groups = tuple(groups)
        self.n_skills = n_skills
        self.on_end = on_end
        self.on_come = on_come
        self.on_begin = on_begin
        self.on_wait = on_wait
        self.room = room
        self.preempt = preempt
        self.resample = resample
        self.overtimes: list[int] = []
        self.routes = [
            [g for g, group in enumerate(self.groups) if skill in group.skills]
            for skill in range(n_skills)
        ]
        self._reset(start)
        for g, (crew, group) in enumerate(zip(self.crews, self.groups, strict=True)):
            crew.at = start
            begun = [k for k, at in enumerate(group.changes) if at <= start]
            if begun:
                crew.size = group.sizes[begun[-1]]
                crew.next_change = crew.crew = begun[-1] + 1
            self._plan_shift(g)

    def _reset(self, now: int) -> None:
        self.env = simpy.Environment(initial_time=now)
        self.crews = [_Crew() for _ in self.groups]
        self.queues: list[list[tuple[int, int, int]]] = [[] for _ in range(self.n_skills)]
        self.waiting: dict[int, Job] = {}
        self.coming: dict[int, Job] = {}
        self.n_waiting = [0] * self.n_skills
        self.n_serving = 0

    @property
    def now(self) -> int:
        """Return the station's clock."""
        return int(self.env.now)

    def offer(self, job: Job, at: int) -> None:
        """Let a job come at a moment not before now."""
        job.phase, job.ends = COMING, at
        self.coming[job.key] = job
        self._at(at, _COME, job.key, lambda _: self._come(job))

    def run(self, until: int) -> None:
        """Let everything happen that falls before `until`, and bring the integrals up to it."""
        if until > self.env.now:
            self.env.run(until=until)
        for crew in self.crews:
            crew.integrate(until)

    def busy_time(self) -> int:
        """Return server-time worked so far, overtime included."""
        return sum(crew.busy_time for crew in self.crews)

    def duty_time(self) -> int:
        """Return server-time on duty so far, overtime included."""
        return sum(crew.duty_time for crew in self.crews)

    # --- what happens -------------------------------------------------------------------------

    def _at(self, at: int, kind: int, key: int, act: Callable[[simpy.Event], None]) -> None:
        # SimPy itself stops a run at priority 0; ours come after it.
        _Due(self.env, at, ((kind + 1) << 72) + key, act)

    def _come(self, job: Job) -> None:
        now = self.now
        del self.coming[job.key]
        job.since = job.place = now
        if self.on_come is not None:
            self.on_come(job, now)
        if self.room is not None and len(self.waiting) + self.n_serving >= self.room:
            self.on_end(job, TURNED_AWAY, now)
            return
        group = self._idle_for(job.skill)
        if group is None and self.preempt != "no":
            group = self._push_aside(job)
        if group is not None:
            self._begin(job, group)
        else:
            if self.on_wait is not None:
                self.on_wait(job, self.n_waiting[job.skill])
            self._wait(job)

    def _wait(self, job: Job) -> None:
        job.phase = WAITING
        self.waiting[job.key] = job
        self.n_waiting[job.skill] += 1
        heapq.heappush(self.queues[job.skill], (job.priority, job.place, job.key))
        if job.patience != NEVER and job.started < 0:
            self._at(job.since + job.patience, _HANG_UP, job.key, lambda _: self._hang_up(job))

    def _hang_up(self, job: Job) -> None:
        if self.waiting.get(job.key) is job and job.started < 0:
            del self.waiting[job.key]
            self.n_waiting[job.skill] -= 1
            self.on_end(job, HUNG_UP, self.now)

    def _idle_for(self, skill: int) -> int | None:
        for g in self.routes[skill]:
            if len(self.crews[g].busy) < self.crews[g].size:
                return g
        return None

    def _push_aside(self, job: Job) -> int | None:
        """Break off the last begun service of the lowest class below the job's, if any."""
        below = [
            (other.priority, other.started, other.key, g)
            for g in self.routes[job.skill]
            for other in self.crews[g].busy.values()
            if other.priority > job.priority
        ]
        if not below:
            return None
        _, _, key, g = max(below)
        self._break_off(self.crews[g].busy[key], anew=self.preempt == "restart")
        return g

    def _break_off(self, job: Job, *, anew: bool) -> None:
        crew, now = self.crews[job.group], self.now
        crew.integrate(now)
        del crew.busy[job.key]
        self.n_serving -= 1
        job.left_work = -1 if anew else job.ends - now
        job.ends = -1
        self.on_end(job, PREEMPTED, now)
        self._wait(job)

    def _begin(self, job: Job, g: int) -> None:
        crew, now = self.crews[g], self.now
        crew.integrate(now)
        if job.started < 0 and self.on_begin is not None:
            self.on_begin(job, now)
        job.phase, job.group, job.crew, job.started = SERVING, g, crew.crew, now
        job.ends = now + (job.work if job.left_work < 0 else job.left_work)
        crew.busy[job.key] = job
        self.n_serving += 1
        self._plan_done(job)

    def _plan_done(self, job: Job) -> None:
        due = job.ends
        self._at(due, _DONE, job.key, lambda _: self._done(job, due))

    def _done(self, job: Job, due: int) -> None:
        if job.phase != SERVING or job.ends != due:
            return  # it was broken off
        crew = self.crews[job.group]
        crew.integrate(self.now)
        if crew.overtime.pop(job.key, None) is not None:
            self.overtimes.append(self.now - self._left_at(job))
        else:
            del crew.busy[job.key]
        self.n_serving -= 1
        job.phase = GONE
        self.on_end(job, SERVED, self.now)
        self._fill(job.group)

    def _left_at(self, job: Job) -> int:
        """Return when the shift that serves the job has ended."""
        return self.groups[job.group].changes[job.crew]

    def _fill(self, g: int) -> None:
        """Let idle servers of a group take who is next in line."""
        crew = self.crews[g]
        while len(crew.busy) < crew.size:
            job = self._next_for(self.groups[g].skills)
            if job is None:
                return
            self._begin(job, g)

    def _still_waits(self, entry: tuple[int, int, int]) -> bool:
        """Return whether an entry is of now: a caller who came again has another place."""
        job = self.waiting.get(entry[2])
        return job is not None and job.place == entry[1]

    def _next_for(self, skills: Sequence[int]) -> Job | None:
        best: tuple[int, int, int] | None = None
        where = -1
        for skill in skills:
            line = self.queues[skill]
            while line and not self._still_waits(line[0]):
                heapq.heappop(line)
            if line and (best is None or line[0] < best):
                best, where = line[0], skill
        if best is None:
            return None
        heapq.heappop(self.queues[where])
        self.n_waiting[where] -= 1
        return self.waiting.pop(best[2])

    # --- shifts -------------------------------------------------------------------------------

    def _plan_shift(self, g: int) -> None:
        crew, group = self.crews[g], self.groups[g]
        if crew.next_change < len(group.changes):
            self._at(group.changes[crew.next_change], _SHIFT, g, lambda _: self._shift(g))

    def _shift(self, g: int) -> None:
        crew, group = self.crews[g], self.groups[g]
        crew.integrate(self.now)
        idle = crew.size - len(crew.busy)
        crew.size = group.sizes[crew.next_change]
        crew.next_change += 1
        crew.crew = crew.next_change
        if group.handover == "replace" and group.at_end == "finish":
            self.overtimes += [0] * idle
            crew.overtime.update(crew.busy)
            crew.busy = {}
        elif group.at_end != "finish":
            keep = 0 if group.handover == "replace" else crew.size
            self._end_services(crew, group, keep=keep)
        self._plan_shift(g)
        self._fill(g)

    def _end_services(self, crew: _Crew, group: Group, *, keep: int) -> None:
        """Break off the services that were begun last, until so many are left."""
        last_first = sorted(crew.busy.values(), key=lambda job: (-job.started, -job.key))
        for job in last_first[: max(len(crew.busy) - keep, 0)]:
            if group.at_end == "resample":
                if self.resample is None:
                    raise ValueError("at_end is resample and no law of new work is given")
                job.work = self.resample(job)
            self._break_off(job, anew=group.at_end != "resume")

    # --- rows ---------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Return every job in the system or on its way to it, by key."""
        inside = [*self.waiting.values(), *self.coming.values()]
        for crew in self.crews:
            inside += [*crew.busy.values(), *crew.overtime.values()]
        return sorted(inside, key=lambda job: job.key)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Return the state as tables: one row for each job, one for each group, and the clock."""
        jobs = self.jobs()
        table: dict[str, Any] = {
            name: np.array([getattr(job, name) for job in jobs], np.int64) for name in _COLUMNS
        }
        table["key"] = np.array([job.key for job in jobs], np.uint64)
        width = max((len(job.tags) for job in jobs), default=0)
        table["tags"] = np.array([job.tags for job in jobs], np.int64).reshape(len(jobs), width)
        crews = [
            (c.size, c.crew, c.next_change, c.at, c.busy_time, c.duty_time) for c in self.crews
        ]
        table["crews"] = np.array(crews, np.int64).reshape(len(crews), 6)
        table["overtime"] = np.array(
            [job.key in self.crews[job.group].overtime if job.group >= 0 else False for job in jobs]
        ).astype(np.uint8)
        table["now"] = np.array([self.now], np.int64)
        return table

    def restore(self, saved: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot: a new environment with the same things due."""
        self._reset(int(saved["now"][0]))
        names = ("size", "crew", "next_change", "at", "busy_time", "duty_time")
        for crew, row in zip(self.crews, saved["crews"], strict=True):
            for name, value in zip(names, row, strict=True):
                setattr(crew, name, int(value))
        for i in range(len(saved["key"])):
            values = {name: int(saved[name][i]) for name in _COLUMNS}
            tags = tuple(int(tag) for tag in saved["tags"][i])
            job = Job(key=int(saved["key"][i]), tags=tags, **values)
            self._put_back(job, in_overtime=bool(saved["overtime"][i]))
        for g in range(len(self.groups)):
            self._plan_shift(g)

    def _put_back(self, job: Job, *, in_overtime: bool) -> None:
        if job.phase == WAITING:
            self._wait(job)
            return
        if job.phase == COMING:
            self.offer(job, job.ends)
            return
        crew = self.crews[job.group]
        (crew.overtime if in_overtime else crew.busy)[job.key] = job
        self.n_serving += 1
        self._plan_done(job)


_COLUMNS = tuple(f.name for f in fields(Job) if f.name not in ("key", "tags"))
