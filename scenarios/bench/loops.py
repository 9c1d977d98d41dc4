"""Timing of the whole loop: some hours of a scenario, without recording, after a warm-up.

It owns how a loop is built and timed, and the clocks around each role.  It must not know what the
figures are compared with.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.books import CHECKS
from scenarios import load
from scenarios.equilibrium import equilibrium
from scenarios.world import World, build_world, digest_stride, load_geography
from sim.control.timeline import Timeline
from sim.core.partition import Partition, assign_hosts, make_partitions
from sim.record.manifest import tree_cpu_seconds
from sim.runtime.coordinator import Loop
from sim.runtime.embedded import EmbeddedRuntime, Runtime
from sim.runtime.host import Builder, Host, HostPlan

WARM_TICKS = 2
FIRST_TICK = 40
"""Quarters from midnight: timing starts at 10:00."""
CATCH_UP_TICKS = 2
"""Ticks before it in which lines make up for the skipped hours, untimed."""
SETTLE_LOOKS = 80
"""Half seconds that a cluster may take to come to rest."""


@dataclass(frozen=True)
class Span:
    """One timed piece of a loop.

    Attributes
    ----------
    cpu_s : CPU time, of all processes where the runtime has some
    roles : role -> {"cpu_s", "calls", "state_bytes"}, where roles were timed
    """

    lines: int
    hosts: int
    ticks: int
    events: int
    cpu_s: float
    wall_s: float
    state_bytes: int
    roles: dict[str, dict[str, float]] = field(default_factory=dict)
    intents: int = 0

    @property
    def ns_per_event(self) -> float:
        """Return CPU time per network event, ns."""
        return self.cpu_s / max(self.events, 1) * 1e9


class Forget:
    """Takes the record of a tick and keeps the number of messages handed to channels."""

    def __init__(self) -> None:
        self.intents = 0

    def on_tick(
        self, tick: int, start_ms: int, tally: Any, samples: Any, digests: Any, audit: Any
    ) -> None:
        """Count and forget."""
        self.intents += int(tally["intents"].sum())


class TimedRole:
    """A role behind a clock of its thread's CPU time; everything else is the role's own."""

    def __init__(self, role: Any) -> None:
        self._role = role
        self.cpu_s = 0.0
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the role has."""
        return getattr(self._role, name)

    def begin(self, *arguments: Any) -> Any:
        """Time it."""
        return self._timed(self._role.begin, arguments)

    def on_slice(self, *arguments: Any) -> Any:
        """Time it."""
        return self._timed(self._role.on_slice, arguments)

    def finish(self, *arguments: Any) -> Any:
        """Time it."""
        return self._timed(self._role.finish, arguments)

    def on_tick(self, *arguments: Any) -> Any:
        """Time it."""
        return self._timed(self._role.on_tick, arguments)

    def _timed(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        began = time.thread_time()
        try:
            return call(*arguments)
        finally:
            self.cpu_s += time.thread_time() - began
            self.calls += 1


class TimedHost(Host):
    """A host whose roles stand behind clocks: two readings for each call, none for each row."""

    def __init__(self, plan: HostPlan, partitions: Sequence[Partition], build: Builder) -> None:
        super().__init__(plan, partitions, build)
        self.roles = [tuple(TimedRole(role) for role in roles) for roles in self.roles]  # type: ignore[misc]  # stands for the role


class TimedRuntime(EmbeddedRuntime):
    """The embedded runtime with timed roles, the global ones too."""

    host_class = TimedHost

    def make_host(self, share: Sequence[Partition], build: Builder) -> Host:
        """Build one timed host."""
        return TimedHost(self.plan, share, build)

    def reset(self) -> None:
        """Set every clock to zero."""
        for _, role in self._clocks():
            role.cpu_s, role.calls = 0.0, 0

    def told(self) -> dict[str, dict[str, float]]:
        """Return CPU time, calls and bytes by role."""
        out: dict[str, dict[str, float]] = {}
        for name, role in self._clocks():
            mine = out.setdefault(name, {"cpu_s": 0.0, "calls": 0, "state_bytes": 0})
            mine["cpu_s"] += role.cpu_s
            mine["calls"] += role.calls
            if hasattr(role, "nbytes"):
                mine["state_bytes"] += role.nbytes()
        profile = sum(roles[0].profile.nbytes for host in self.hosts for roles in host.roles)  # type: ignore[attr-defined]  # roles of the twin have one
        out["profile"] = {"cpu_s": 0.0, "calls": 0, "state_bytes": profile}
        return out

    def time_globals(self) -> None:
        """Put clocks before the global roles."""
        for name in ("cells", "channels"):
            setattr(self.globals, name, TimedRole(getattr(self.globals, name)))

    def _clocks(self) -> list[tuple[str, Any]]:
        lines = [(r.role, r) for host in self.hosts for roles in host.roles for r in roles]
        both = [(name, getattr(self.globals, name)) for name in ("cells", "channels")]
        return [*lines, *both]


def make_world(scenario: str, lines: int, **options: Any) -> World:
    """Return the world of a library scenario, started in equilibrium."""
    loaded = load(scenario).with_(subscribers=lines, **options)
    geo = load_geography(loaded)
    return build_world(loaded, geo, donors=equilibrium(loaded, geo, hosts=2))


def make_runtime(world: World, *, hosts: int, kind: str = "embedded") -> Runtime:
    """Return a runtime of a world: `embedded`, `timed` or `ray`."""
    partitions = make_partitions(world.n_lines, 0)
    if len(partitions) < hosts:
        partitions = make_partitions(world.n_lines, hosts)
    shares = assign_hosts(partitions, hosts)
    if kind == "ray":
        from sim.runtime.ray_runtime import RayRuntime

        return RayRuntime(world, shares)
    made = TimedRuntime if kind == "timed" else EmbeddedRuntime
    runtime = made(world.plan, shares, world.build, world.make_globals())
    if isinstance(runtime, TimedRuntime):
        runtime.time_globals()
    return runtime


def span(world: World, *, hosts: int, ticks: int, kind: str = "embedded") -> Span:
    """Build the lines of a world, warm up, run some ticks from 10:00 on and return what they cost.

    The night is left out: a few ticks after midnight, then two untimed ones in which diaries and
    money catch up, then the timed ones.
    Nothing is recorded; the audit and the sparse digest of every tick are on, as in any run.
    """
    runtime = make_runtime(world, hosts=hosts, kind=kind)
    clock = tree_cpu_seconds if kind == "ray" else time.process_time
    try:
        sink = Forget()
        _loop(world, runtime, sink, WARM_TICKS).run()
        if kind == "ray":
            runtime.skip_to(FIRST_TICK - CATCH_UP_TICKS)  # type: ignore[attr-defined]  # a cluster's
        catching_up = _loop(world, runtime, sink, FIRST_TICK)
        catching_up.run(FIRST_TICK - CATCH_UP_TICKS)
        if isinstance(runtime, TimedRuntime):
            runtime.reset()
        if kind == "ray":
            _settle()
        sink.intents = 0
        timed = _loop(world, runtime, sink, FIRST_TICK + ticks)
        gc.collect()
        cpu, wall = clock(), time.perf_counter()
        timed.run(FIRST_TICK)
        cpu, wall = clock() - cpu, time.perf_counter() - wall
        return Span(
            world.n_lines, hosts, ticks, timed.events, cpu, wall, runtime.state_bytes(),
            runtime.told() if isinstance(runtime, TimedRuntime) else {}, sink.intents,
        )  # fmt: skip
    finally:
        runtime.close()


def _settle() -> None:
    """Wait until the processes of a cluster are at rest: they go on starting for some seconds."""
    for _ in range(SETTLE_LOOKS):
        before = tree_cpu_seconds()
        time.sleep(0.5)
        if tree_cpu_seconds() - before < 0.03:
            return


def _loop(world: World, runtime: Runtime, sink: Forget, stop_tick: int) -> Loop:
    return Loop(
        runtime, world.clock, Timeline([]), CHECKS, sink,
        digest_stride=digest_stride(world.scenario), stop_at_ms=stop_tick * world.clock.tick_ms,
    )  # fmt: skip
