"""The mini loop in naive Ray: one actor per subscriber, one call per event.

A few lines only, for more hours: each actor is a process.
"""

from __future__ import annotations

import heapq
import os
import random

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import mini
import psutil
import ray
from line import Line, World
from told import options, tell


@ray.remote(num_cpus=0)
class Subscriber:
    """A line in a process of its own."""

    def __init__(self, gid: int, start: dict, seed: int) -> None:
        self.line = Line(gid, start)
        self.draws = random.Random(seed * 1_000_003 + gid)

    def event(self, minute: int) -> tuple:
        """Live one event; return (triggers, cell, request)."""
        seen = World(1)
        request = self.line.event(minute, self.draws.random, seen)
        return seen.triggers, self.line.cell, request

    def answer(self, sent: bool, minute: int, chance: int) -> bool:
        """Take the outcome of a request."""
        return self.line.answer(sent, minute, chance, self.draws.random)

    def memory(self) -> int:
        """Return the proportional set size of this process, bytes."""
        info = psutil.Process().memory_full_info()
        return getattr(info, "pss", info.rss)


def tree_cpu() -> float:
    """Return the CPU time of this process and all below it, s."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def main() -> None:
    """Run some hours of the same minute rates."""
    told = options(lines=20, hours=10)
    ray.init(address="local", include_dashboard=False, log_to_driver=False,
             num_cpus=max(2, os.cpu_count() or 2), object_store_memory=128 << 20)  # fmt: skip
    start = mini.start(told.lines, told.seed)
    actors = [Subscriber.remote(gid, start, told.seed) for gid in range(told.lines)]
    pss = sum(ray.get([a.memory.remote() for a in actors])) / told.lines
    draws = random.Random(told.seed)
    rates = [mini.RATES[int(k)] for k in start["kind"]]
    queue = [(draws.expovariate(rates[gid]), gid) for gid in range(told.lines)]
    heapq.heapify(queue)
    world = World(told.lines)

    def answer(gid: int, sent: bool, minute: int, chance: int) -> bool:
        return ray.get(actors[gid].answer.remote(sent, minute, chance))

    def run() -> dict[str, int]:
        for minute in range(told.hours * mini.MINUTES):
            calls = []
            while queue[0][0] < minute + 1:
                at, gid = queue[0]
                heapq.heapreplace(queue, (at + draws.expovariate(rates[gid]), gid))
                calls.append(actors[gid].event.remote(minute))
            for triggers, cell, request in ray.get(calls):
                world.events += 1
                world.triggers += triggers
                world.load[cell] += 1
                if request is not None:
                    world.requests.append(request)
            if (minute + 1) % mini.QUARTER_MIN == 0:
                world.close_quarter(answer)
        return {**world.counts(), "pss_bytes_per_line": int(pss)}

    tell("ray_actor_each", told.lines, run, packages=("ray",), cpu=tree_cpu)
    ray.shutdown()


if __name__ == "__main__":
    main()
