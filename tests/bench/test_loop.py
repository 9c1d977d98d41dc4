"""How fast the whole loop is: CPU time per event, bytes per line.  Never asserted."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import pytest

from scenarios import load
from scenarios.equilibrium import equilibrium
from scenarios.world import build_world, digest_stride, load_geography
from sim.control.timeline import Timeline
from sim.core.partition import assign_hosts, make_partitions
from sim.runtime.coordinator import Loop
from sim.runtime.embedded import EmbeddedRuntime

RESULTS = Path(__file__).parent / "results"


class Forget:
    """Takes the record of a tick and forgets it."""

    def on_tick(self, *_: Any) -> None:
        """Forget it."""


@pytest.mark.parametrize("lines", [100_000, 1_000_000])
@pytest.mark.parametrize("hosts", [1, 2])
def test_cpu_time_per_event_of_the_whole_loop(lines: int, hosts: int) -> None:
    """Six hours around noon, full catalogue of the day, after a warm-up of two ticks."""
    from actors.books import CHECKS

    loaded = load("city_day").with_(subscribers=lines)
    geo = load_geography(loaded)
    world = build_world(loaded, geo, donors=equilibrium(loaded, geo, hosts=2))
    shares = assign_hosts(make_partitions(world.n_lines, 0), hosts)
    runtime = EmbeddedRuntime(world.plan, shares, world.build, world.make_globals())
    stride = digest_stride(world.scenario)

    def loop(stop_h: float) -> Loop:
        return Loop(runtime, world.clock, Timeline([]), CHECKS, Forget(), digest_stride=stride,
                    stop_at_ms=round(stop_h * 3_600_000))  # fmt: skip

    loop(0.5).run()
    timed = loop(16.0)
    cpu, wall = time.process_time(), time.perf_counter()
    timed.run(40)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    found = {
        "lines": lines, "hosts": hosts, "events": timed.events,
        "cpu_ns_per_event": round(cpu / timed.events * 1e9, 1),
        "events_per_wall_s": round(timed.events / wall),
        "state_bytes_per_line": round(runtime.state_bytes() / world.n_lines, 1),
        "machine": platform.processor() or platform.machine(), "python": platform.python_version(),
        "load_average": Path("/proc/loadavg").read_text().split()[0]
        if Path("/proc/loadavg").exists() else None,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    name = RESULTS / f"loop-{lines}-{hosts}.json"
    name.write_text(json.dumps(found, indent=1) + "\n")
    runtime.close()
