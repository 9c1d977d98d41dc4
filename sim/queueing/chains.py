"""Queues whose numbers come from a chain that is solved, not from one formula.

It owns birth-death chains, constant service in a pool, phases of arrivals or of breakdowns, two
queues side by side, and the law at a given time.  Every result is a truncated chain whose cut-off
mass is far below 1e-9.  It must not simulate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim.queueing.erlang import Unstable


def birth_death(births: np.ndarray, deaths: np.ndarray) -> np.ndarray:
    """Return the stationary law of a chain on 0..n.

    Parameters
    ----------
    births : (n,) float, rate from k to k + 1
    deaths : (n,) float, rate from k + 1 to k
    """
    logs = np.concatenate([[0.0], np.cumsum(np.log(births) - np.log(deaths))])
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


@dataclass(frozen=True)
class Limited:
    """M/M/c/K: Poisson arrivals that find `places` taken, servers included, are lost."""

    arrival_rate: float
    service_rate: float
    servers: int
    places: int

    @property
    def law(self) -> np.ndarray:
        """Return (places + 1,) the law of the number in the system."""
        n = np.arange(1, self.places + 1)
        births = np.full(self.places, self.arrival_rate)
        return birth_death(births, self.service_rate * np.minimum(n, self.servers))

    @property
    def lost(self) -> float:
        """Return the share of arrivals that are lost."""
        return float(self.law[-1])

    @property
    def queue_mean(self) -> float:
        """Return the mean number waiting."""
        law = self.law
        return float((law * np.maximum(np.arange(len(law)) - self.servers, 0)).sum())

    @property
    def throughput(self) -> float:
        """Return the rate of those let in."""
        return self.arrival_rate * (1 - self.lost)


class ConstantService:
    """M/D/c: Poisson arrivals, constant service (Crommelin 1932; Franx 2001 for the wait).

    The wait's law is a sum of positive terms, so that nothing cancels.
    """

    def __init__(self, arrival_rate: float, service: float, servers: int) -> None:
        load = arrival_rate * service / servers
        if load >= 1:
            raise Unstable(f"load {load:g} of {servers} servers")
        self.arrival_rate, self.service, self.servers = arrival_rate, service, servers
        self._law(arrival_rate * service, load)

    def _law(self, mean: float, load: float) -> None:
        c = self.servers
        n = c + math.ceil(45 / (2 * (1 - load) / load)) + 12 * math.ceil(math.sqrt(mean)) + 40
        k = np.arange(n + 1)
        logs = k * math.log(mean) - mean - np.array([math.lgamma(i + 1) for i in k])
        poisson = np.exp(logs)
        move = np.zeros((n + 1, n + 1))
        for i in range(n + 1):
            stay = max(i - c, 0)  # who is left of i after a service time
            move[i, stay:] = poisson[: n + 1 - stay]
        system = move.T - np.eye(n + 1)
        system[-1, :] = 1.0
        right = np.zeros(n + 1)
        right[-1] = 1.0
        self.law = np.linalg.solve(system, right)
        self.cumulative = np.cumsum(self.law)

    @property
    def wait_probability(self) -> float:
        """Return the probability that an arrival waits."""
        return float(1 - self.cumulative[self.servers - 1])

    @property
    def wait_mean(self) -> float:
        """Return the mean wait."""
        over = np.maximum(np.arange(len(self.law)) - self.servers, 0)
        return float((self.law * over).sum()) / self.arrival_rate

    def waits_longer(self, x: float) -> float:
        """Return the probability that the wait exceeds `x`."""
        k = math.floor(x / self.service + 1e-12) + 1
        mean = self.arrival_rate * (k * self.service - x)
        top = k * self.servers - 1
        total = 0.0
        for j in range(top + 1):
            # So many in the queue at most: those in service come on top.
            at = min(self.servers + top - j, len(self.cumulative) - 1)
            log = (j * math.log(mean) if j else 0.0) - mean - math.lgamma(j + 1)
            total += float(self.cumulative[at]) * math.exp(log)
        return max(1 - total, 0.0)


class Phased:
    """A pool of servers whose arrivals or services change with two hidden phases.

    Parameters
    ----------
    arrivals : (2,) arrival rate in each phase
    services : (2,) service rate of one server in each phase
    switch : (2,) rate of leaving each phase
    servers : how many
    """

    def __init__(
        self, arrivals: list[float], services: list[float], switch: list[float], servers: int
    ) -> None:
        a, s = np.diag(arrivals), np.diag(services)
        turn = np.array([[-switch[0], switch[0]], [switch[1], -switch[1]]])
        self.arrivals = np.array(arrivals)
        up, down = a, servers * s
        local = turn - a - down
        self.servers = servers
        self.rest = self._rest(up, local, down)
        self.boundary = self._boundary(a, s, turn)

    @staticmethod
    def _rest(up: np.ndarray, local: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Return R of the matrix-geometric tail, the least solution (Neuts 1981)."""
        rest = np.zeros((2, 2))
        for _ in range(200_000):
            new = -(up + rest @ rest @ down) @ np.linalg.inv(local)
            if np.abs(new - rest).max() < 1e-15:
                return new
            rest = new
        raise Unstable("the queue of the phases has no steady state")

    def _boundary(self, a: np.ndarray, s: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Return (servers + 1, 2) the law below and at the level where all servers work."""
        c = self.servers
        n = 2 * (c + 1)
        q = np.zeros((n, n))
        for level in range(c + 1):
            here = slice(2 * level, 2 * level + 2)
            q[here, here] = turn - a - min(level, c) * s
            if level < c:
                q[here, 2 * level + 2 : 2 * level + 4] = a
            if level:
                q[here, 2 * level - 2 : 2 * level] = level * s
        last = slice(2 * c, 2 * c + 2)
        q[last, last] += self.rest @ (c * s)
        tail = np.linalg.inv(np.eye(2) - self.rest)
        weights = np.ones(n)
        weights[last] = tail.sum(axis=1)
        system = q.T.copy()
        system[-1, :] = weights
        right = np.zeros(n)
        right[-1] = 1.0
        return np.linalg.solve(system, right).reshape(c + 1, 2)

    @property
    def rate(self) -> float:
        """Return the mean arrival rate."""
        return float((self._phase_law() * self.arrivals).sum())

    def _phase_law(self) -> np.ndarray:
        tail = np.linalg.inv(np.eye(2) - self.rest)
        return self.boundary[:-1].sum(axis=0) + self.boundary[-1] @ tail

    @property
    def wait_probability(self) -> float:
        """Return the share of arrivals that find all servers busy."""
        tail = np.linalg.inv(np.eye(2) - self.rest)
        return float((self.boundary[-1] @ tail * self.arrivals).sum()) / self.rate

    @property
    def queue_mean(self) -> float:
        """Return the mean number waiting."""
        tail = np.linalg.inv(np.eye(2) - self.rest)
        return float((self.boundary[-1] @ self.rest @ tail @ tail).sum())

    @property
    def system_mean(self) -> float:
        """Return the mean number in the system."""
        tail = np.linalg.inv(np.eye(2) - self.rest)
        below = (self.boundary.sum(axis=1)[:-1] * np.arange(self.servers)).sum()
        busy = self.servers * float((self.boundary[-1] @ tail).sum())
        return float(below) + busy + self.queue_mean


def at_time(
    arrival_rate: float,
    service_rate: float,
    servers: int,
    *,
    abandonment_rate: float,
    initial: int,
    t: float,
) -> dict[str, float]:
    """Return the law of M/M/c(+M) at a time, by uniformisation.

    Returns
    -------
    figures : `EN`, `EQ` mean number in the system and waiting, `P_all_busy`
    """
    reach = arrival_rate * t + 12 * math.sqrt(arrival_rate * t + 1) + 20
    if abandonment_rate == 0 and arrival_rate < servers * service_rate:
        load = arrival_rate / (servers * service_rate)
        reach = min(reach, servers + 45 / -math.log(load) + 12 * math.sqrt(servers))
    n = math.ceil(max(initial, servers) + reach)
    k = np.arange(n + 1)
    births = np.full(n + 1, arrival_rate)
    births[-1] = 0.0
    deaths = service_rate * np.minimum(k, servers) + abandonment_rate * np.maximum(k - servers, 0)
    top = float((births + deaths).max())
    law = np.zeros(n + 1)
    law[initial] = 1.0
    mean = top * t
    total = np.zeros(n + 1)
    for step in range(math.ceil(mean + 10 * math.sqrt(mean) + 40)):
        log = (step * math.log(mean) if step else 0.0) - mean - math.lgamma(step + 1)
        if log > -80:
            total += math.exp(log) * law
        moved = law * (1 - (births + deaths) / top)
        moved[1:] += law[:-1] * births[:-1] / top
        moved[:-1] += law[1:] * deaths[1:] / top
        law = moved
    queue = np.maximum(k - servers, 0)
    return {
        "EN": float((total * k).sum()),
        "EQ": float((total * queue).sum()),
        "P_all_busy": float(total[servers:].sum()),
    }


def shortest_queue_wait(arrival_rate: float, service_rate: float, *, most: int = 40) -> float:
    """Return the mean wait where arrivals join the shorter of two queues, ties at random.

    The chain of both lengths is cut at `most` each.
    """
    side = most + 1
    q = np.zeros((side * side, side * side))
    for x in range(side):
        for y in range(side):
            here = x * side + y
            toward = []
            if x <= y and x < most:
                toward.append((here + side, arrival_rate / (2 if x == y else 1)))
            if y <= x and y < most:
                toward.append((here + 1, arrival_rate / (2 if x == y else 1)))
            if x:
                toward.append((here - side, service_rate))
            if y:
                toward.append((here - 1, service_rate))
            for there, rate in toward:
                q[here, there] += rate
                q[here, here] -= rate
    system = q.T.copy()
    system[-1, :] = 1.0
    right = np.zeros(side * side)
    right[-1] = 1.0
    law = np.linalg.solve(system, right).reshape(side, side)
    n = np.arange(side)
    in_system = float((law * (n[:, None] + n[None, :])).sum())
    return in_system / arrival_rate - 1 / service_rate
