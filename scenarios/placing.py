"""Where a run is placed: its runtime, its partitions, and what its timeline does to which cells.

It owns the step from a scenario's placement and timeline to a runtime and commands.  It must not
know how a run is saved or told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from actors.billing.actor import BillingActor
from actors.rtm.actor import RtmActor
from actors.subscribers.actor import SubscriberActor
from scenarios.outages import cells_near
from scenarios.world import World, n_joining
from sim.control.timeline import Entry
from sim.core.actor import Actor
from sim.core.errors import ScenarioError
from sim.core.partition import Partition, assign_hosts, make_partitions
from sim.runtime import ray_env
from sim.runtime.embedded import EmbeddedRuntime, Runtime
from sim.runtime.ray_actors import Fence
from sim.runtime.split import plan_groups
from sim.runtime.split_local import ParanoidSplitRuntime, SplitRuntime

ROLES: tuple[type[Actor], ...] = (SubscriberActor, BillingActor, RtmActor)
"""The roles of a partition, in forward order."""
LINE_BYTES = 175
"""Memory that a line takes: state, pools and what building it needs for a moment."""
PROFILE_BYTES = 9
"""Memory of a line's static profile, which every further group holds once more."""
FIXED_BYTES = 600 << 20
"""Memory of a run without lines."""


def check_fits(scenario: Any) -> None:
    """Refuse a population whose state cannot fit into the memory that is free, before building."""
    if scenario.record.line_digests and scenario.placement.runtime == "ray":
        raise ScenarioError(
            "lines can be told apart only where their state is in this process",
            path="record.line_digests", found="placement.runtime ray",
            expected="placement.runtime embedded: the numbers are the same",
        )  # fmt: skip
    lines = scenario.population.subscribers + n_joining(scenario)
    free = psutil.virtual_memory().available
    line_bytes = LINE_BYTES + (len(scenario.placement.groups) - 1) * PROFILE_BYTES
    wanted = FIXED_BYTES + lines * line_bytes
    if wanted > free:
        most = max(int((free - FIXED_BYTES) / line_bytes / 1.001), 0)
        raise ScenarioError(
            "the population does not fit into memory",
            path="population.subscribers",
            found=f"{lines:,} lines, which want {wanted / 2**30:.1f} GiB",
            expected=f"at most about {most:,} lines: {free / 2**30:.1f} GiB are free",
        )


def make_runtime(
    world: World,
    scenario: Any,
    *,
    built: Callable[[int], None] | None = None,
    run: str = "",
    epoch: int = 1,
) -> tuple[Runtime, int, int]:
    """Return (runtime, partitions, hosts) of a scenario's placement.

    Parameters
    ----------
    built : called with the lines of each partition once it is built, from the thread of its host;
        under `ray` hosts build in processes of their own, and nothing is told
    run, epoch : name of the run and number of the attempt, which fence processes of earlier ones
    """

    def build(partition: Partition) -> Sequence[Actor]:
        roles = world.build(partition)
        if built is not None:
            built(partition.n)
        return roles

    placement = scenario.placement
    hosts = placement.hosts or os.cpu_count() or 1
    partitions = make_partitions(world.n_lines, placement.partitions)
    if placement.partitions == 0 and len(partitions) < hosts:
        partitions = make_partitions(world.n_lines, hosts)
    shares = assign_hosts(partitions, hosts)
    made: Runtime
    if placement.runtime == "ray":
        ray_env.prepare(placement.ray_address)
    if len(placement.groups) > 1:
        made = _split_runtime(world, placement, shares, Fence(run, epoch))
    elif placement.runtime == "ray":
        from sim.runtime.ray_runtime import RayRuntime

        made = RayRuntime(
            world,
            shares,
            address=placement.ray_address,
            timeout_s=placement.answer_s,
            fence=Fence(run, epoch),
        )
    elif placement.runtime == "paranoid":
        from sim.runtime.paranoid import ParanoidRuntime

        made = ParanoidRuntime(world.plan, shares, build, world.make_globals())
    else:
        made = EmbeddedRuntime(world.plan, shares, build, world.make_globals())
    return made, len(partitions), len(shares)


def _split_runtime(
    world: World, placement: Any, shares: Sequence[Sequence[Partition]], fence: Fence
) -> Runtime:
    """Return a runtime whose hosts are cut into groups of roles."""
    groups = plan_groups(world.plan, ROLES, placement.groups)
    if placement.runtime == "ray":
        from sim.runtime.split_ray import SplitRayRuntime

        return SplitRayRuntime(
            world,
            shares,
            groups=groups,
            address=placement.ray_address,
            timeout_s=placement.answer_s,
            fence=fence,
        )
    kind = ParanoidSplitRuntime if placement.runtime == "paranoid" else SplitRuntime
    return kind(world.plan, shares, world.build, world.make_globals(), groups=groups)


def line_roles(roles: Sequence[Actor]) -> tuple[SubscriberActor, BillingActor, RtmActor]:
    """Return the roles of a partition as what they are, for who looks at lines from outside."""
    subscribers, billing, engine = roles
    assert isinstance(subscribers, SubscriberActor)
    assert isinstance(billing, BillingActor)
    assert isinstance(engine, RtmActor)
    return subscribers, billing, engine


def timeline_entries(world: World, scenario: Any) -> list[Entry]:
    """Return the commands of a scenario's timeline: places become cells, names indices."""
    out: list[Entry] = []
    for number, item in enumerate(scenario.timeline):
        at, until = (
            round(item.at_h * 3_600_000),
            round(item.at_h * 3_600_000 + item.for_min * 60_000),
        )
        if item.do == "cell_outage":
            if world.geo is None:
                raise ScenarioError("an outage needs the geography")
            for cell in cells_near(world.geo, item, number):
                out.append(Entry(at, "cell_outage", int(cell), until))
        elif item.do == "channel_outage":
            out.append(Entry(at, item.do, world.labels["channel"].index(item.target), until))
        else:
            out.append(Entry(at, item.do, 0, until))
    return out
