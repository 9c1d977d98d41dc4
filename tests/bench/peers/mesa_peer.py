"""The mini loop in Mesa: one agent per subscriber, all of them stepped every minute."""

from __future__ import annotations

import math
import random

import mesa
import mini
from line import Line, World
from told import options, resident_bytes, tell

DEEP = 12
"""Events of a line in a minute are cut there: at 0.21 a minute never met."""


def cumulative(rate: float) -> list[float]:
    """Return P(at most k events in a minute)."""
    total, term, out = 0.0, math.exp(-rate), []
    for k in range(DEEP):
        total += term
        out.append(total)
        term *= rate / (k + 1)
    return out


CUM = [cumulative(rate) for rate in mini.RATES]


class Subscriber(mesa.Agent):
    """A line as an agent."""

    def __init__(self, model: City, line: Line) -> None:
        super().__init__(model)
        self.line = line
        self.cum = CUM[line.kind]

    def step(self) -> None:
        """Live the events of a minute."""
        model = self.model
        u = model.draws.random()
        k = 0
        while k < DEEP and u >= self.cum[k]:
            k += 1
            request = self.line.event(model.minute, model.draws.random, model.world)
            if request is not None:
                model.world.requests.append(request)


class City(mesa.Model):
    """All lines and the minute."""

    def __init__(self, lines: list[Line], seed: int) -> None:
        super().__init__()
        self.draws = random.Random(seed)
        self.minute = 0
        self.world = World(len(lines))
        for line in lines:
            Subscriber(self, line)


def main() -> None:
    """Run one hour."""
    told = options(lines=20_000)
    before = resident_bytes()
    start = mini.start(told.lines, told.seed)
    lines = [Line(gid, start) for gid in range(told.lines)]
    city = City(lines, told.seed)

    def answer(gid: int, sent: bool, minute: int, chance: int) -> bool:
        return lines[gid].answer(sent, minute, chance, city.draws.random)

    def run() -> dict[str, int]:
        for minute in range(mini.MINUTES):
            city.minute = minute
            city.agents.do("step")
            if (minute + 1) % mini.QUARTER_MIN == 0:
                city.world.close_quarter(answer)
        return city.world.counts()

    tell("mesa", told.lines, run, packages=("mesa",), before_bytes=before)


if __name__ == "__main__":
    main()
