"""The mini loop in SimPy: one process per subscriber, events in continuous time."""

from __future__ import annotations

import random

import mini
import simpy
from line import Line, World
from told import options, resident_bytes, tell


def life(env: simpy.Environment, line: Line, draws: random.Random, world: World):
    """Live one line: wait for the next event, live it, ask where it is due."""
    rate = mini.RATES[line.kind]
    while True:
        yield env.timeout(draws.expovariate(rate))
        request = line.event(int(env.now), draws.random, world)
        if request is not None:
            world.requests.append(request)


def main() -> None:
    """Run one hour."""
    told = options(lines=20_000)
    draws = random.Random(told.seed)
    before = resident_bytes()
    start = mini.start(told.lines, told.seed)
    lines = [Line(gid, start) for gid in range(told.lines)]
    world = World(told.lines)
    env = simpy.Environment()
    for line in lines:
        env.process(life(env, line, draws, world))

    def answer(gid: int, sent: bool, minute: int, chance: int) -> bool:
        return lines[gid].answer(sent, minute, chance, draws.random)

    def run() -> dict[str, int]:
        for end in range(mini.QUARTER_MIN, mini.MINUTES + 1, mini.QUARTER_MIN):
            env.run(until=end)
            world.close_quarter(answer)
        return world.counts()

    tell("simpy", told.lines, run, packages=("simpy",), before_bytes=before)


if __name__ == "__main__":
    main()
