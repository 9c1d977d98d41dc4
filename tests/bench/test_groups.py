"""What it costs to place roles apart: CPU time and bytes per event.  Never asserted.

Six hours around noon; processes are those of the run and all that it started, Ray's own included.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenarios import load
from scenarios.equilibrium import equilibrium
from scenarios.placing import make_runtime
from scenarios.world import build_world, digest_stride, load_geography
from sim.control.timeline import Timeline
from sim.runtime.coordinator import Loop

RESULTS = Path(__file__).parent / "results"
TOGETHER = (("subscribers", "billing", "rtm"),)
PAIR = (("subscribers", "billing"), ("rtm",))
ALONE = (("subscribers",), ("billing",), ("rtm",))
WAYS = {
    "embedded": ("embedded", TOGETHER),
    "ray-1": ("ray", TOGETHER),
    "ray-2": ("ray", PAIR),
    "ray-3": ("ray", ALONE),
}
"""Name of a placement -> (runtime, groups); the number is that of groups."""


class Forget:
    """Takes the record of a tick and forgets it."""

    def on_tick(self, *_: Any) -> None:
        """Forget it."""


def processes() -> dict[int, tuple[float, int]]:
    """Return (CPU s, private bytes) of this process and of all below it, by id."""
    out = {}
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.NoSuchProcess:
            continue
        out[process.pid] = times.user + times.system, memory.rss - memory.shared
    return out


@pytest.mark.ray
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("lines", [200_000, 2_000_000])
@pytest.mark.parametrize("way", WAYS)
def test_cost_of_groups(lines: int, way: str) -> None:
    """Two hosts; after a warm-up of four ticks, from 10:00 to 16:00."""
    from actors.books import CHECKS

    kind, groups = WAYS[way]
    loaded = load("city_day").with_(
        subscribers=lines, runtime=kind, hosts=2, **{"placement.groups": groups}
    )
    geo = load_geography(loaded)
    world = build_world(loaded, geo, donors=equilibrium(loaded, geo, hosts=2))
    runtime, _, hosts = make_runtime(world, loaded.model)
    stride = digest_stride(world.scenario)

    def loop(stop_h: float) -> Loop:
        return Loop(runtime, world.clock, Timeline([]), CHECKS, Forget(), digest_stride=stride,
                    stop_at_ms=round(stop_h * 3_600_000))  # fmt: skip

    try:
        loop(1.0).run()
        carried = getattr(runtime, "pieces", 0), getattr(runtime, "piece_bytes", 0)
        timed, before, wall = loop(16.0), processes(), time.perf_counter()
        timed.run(40)
        wall, after = time.perf_counter() - wall, processes()
        pieces = getattr(runtime, "pieces", 0) - carried[0]
        n_bytes = getattr(runtime, "piece_bytes", 0) - carried[1]
        cpu = sum(now - before.get(pid, (0.0, 0))[0] for pid, (now, _) in after.items())
        load_average = Path("/proc/loadavg")
        found = {
            "lines": lines, "runtime": kind, "groups": len(groups), "hosts": hosts,
            "events": timed.events, "cpu_ns_per_event": round(cpu / timed.events * 1e9, 1),
            "events_per_wall_s": round(timed.events / wall),
            "pieces": pieces, "object_store_bytes_per_event": round(n_bytes / timed.events, 1),
            "state_bytes_per_line": round(runtime.state_bytes() / world.n_lines, 1),
            "private_mb": round(sum(size for _, size in after.values()) / 1e6),
            "private_mb_grown": round((sum(size for _, size in after.values())
                                       - sum(size for _, size in before.values())) / 1e6),
            "machine": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "load_average": load_average.read_text().split()[0] if load_average.exists() else None,
        }  # fmt: skip
    finally:
        runtime.close()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"groups-{way}-{lines}.json").write_text(json.dumps(found, indent=1) + "\n")
