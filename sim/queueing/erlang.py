"""Erlang's formulas: loss (B), waiting (C), impatience (A), and the staffing that follows.

It owns the numbers that a contact centre or a pool of workers is sized by.  Recursions and log
space carry them to thousands of servers.  It must not know who calls, nor simulate anything.
Rates are per unit of time and times are in that unit; an overloaded queue raises `Unstable`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SERVERS_MAX = 1_000_000
"""Largest pool that a search for servers looks at."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


class Unstable(ValueError):
    """The offered load reaches the servers: there is no steady state to give a number of."""


def erlang_b(servers: int, offered: float) -> float:
    """Return the share of calls lost by `servers` lines under `offered` Erlang (Erlang 1917).

    The recursion B(k) = aB(k-1) / (k + aB(k-1)) is stable for any number of lines.
    """
    block = 1.0
    for k in range(1, servers + 1):
        block = offered * block / (k + offered * block)
    return block


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that a call waits; raise `Unstable` from `offered = servers` on."""
    if offered >= servers:
        raise Unstable(f"{offered:g} Erlang on {servers} servers")
    block = erlang_b(servers, offered)
    return block / (1 - offered / servers * (1 - block))


def fewest(meets: Callable[[int], bool], low: int) -> int:
    """Return the smallest number of servers from `low` on that meets a monotone target."""
    high = max(low, 1)
    while not meets(high):
        low, high = high + 1, 2 * high
        if high > SERVERS_MAX:
            raise Unstable(f"more than {SERVERS_MAX:,} servers")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle + 1, high)
    return low


def lines_for(offered: float, block_max: float) -> int:
    """Return the fewest lines that lose at most the share `block_max` (Erlang B)."""
    return fewest(lambda n: erlang_b(n, offered) <= block_max, 0)


def first_stable(offered: float) -> int:
    """Return the fewest servers with a load below one."""
    return math.floor(offered) + 1


@dataclass(frozen=True)
class Waiting:
    """M/M/c: Poisson calls, exponential service, `servers` agents, all callers wait.

    Attributes
    ----------
    arrival_rate, service_rate : per unit of time, the second of one server
    """

    arrival_rate: float
    service_rate: float
    servers: int

    @property
    def offered(self) -> float:
        """Return the offered load, Erlang."""
        return self.arrival_rate / self.service_rate

    @property
    def load(self) -> float:
        """Return the load of a server, 0..1 where stable."""
        return self.offered / self.servers

    @property
    def wait_probability(self) -> float:
        """Return the probability that a caller waits."""
        return erlang_c(self.servers, self.offered)

    @property
    def spare_rate(self) -> float:
        """Return the rate at which a full pool gains on its queue."""
        return self.servers * self.service_rate - self.arrival_rate

    @property
    def wait_mean(self) -> float:
        """Return the mean wait of all callers."""
        return self.wait_probability / self.spare_rate

    def within(self, target: float) -> float:
        """Return the share of callers answered within `target`."""
        return 1 - self.wait_probability * math.exp(-self.spare_rate * target)

    def stays_longer(self, t: float) -> float:
        """Return the probability that wait and service together exceed `t`."""
        wait, mu, spare = self.wait_probability, self.service_rate, self.spare_rate
        if math.isclose(spare, mu, rel_tol=1e-9):
            both = (1 + mu * t) * math.exp(-mu * t)
        else:
            both = (spare * math.exp(-mu * t) - mu * math.exp(-spare * t)) / (spare - mu)
        return (1 - wait) * math.exp(-mu * t) + wait * both

    @property
    def relaxation(self) -> float:
        """Return the time in which a disturbance fades, `1 / (c mu (1 - sqrt(load))**2)`."""
        return 1 / (self.servers * self.service_rate * (1 - math.sqrt(self.load)) ** 2)


def agents_for(arrival_rate: float, service_rate: float, *, share: float, target: float) -> int:
    """Return the fewest agents that answer `share` of the calls within `target` (Erlang C)."""
    offered = arrival_rate / service_rate
    if offered == 0:
        return 0

    def meets(n: int) -> bool:
        return n > offered and Waiting(arrival_rate, service_rate, n).within(target) >= share

    return fewest(meets, first_stable(offered))


class Impatient:
    """M/M/c+M: as M/M/c, and a waiting caller hangs up at a rate (Erlang A, Palm 1946).

    The offered wait of a caller who finds all servers busy has the density
    `p_c c mu exp(-c mu t + lam/theta (1 - exp(-theta t)))`: the sum over the queue lengths of
    hypoexponential waits whose rates are in arithmetic progression.
    """

    def __init__(
        self, arrival_rate: float, service_rate: float, servers: int, *, abandonment_rate: float
    ) -> None:
        if abandonment_rate <= 0:
            raise ValueError("patience must end: use Waiting where nobody hangs up")
        self.arrival_rate = arrival_rate
        self.service_rate = service_rate
        self.servers = servers
        self.theta = abandonment_rate
        self._solve()

    def _solve(self) -> None:
        lam, mu, c, theta = self.arrival_rate, self.service_rate, self.servers, self.theta
        below = np.log(lam / (mu * np.arange(1, c + 1)))
        n_queue = math.ceil(60 + max(0.0, (lam - c * mu) / theta) + 60 * math.sqrt(lam / theta + c))
        above = np.log(lam / (c * mu + theta * np.arange(1, n_queue + 1)))
        logs = np.concatenate([[0.0], np.cumsum(np.concatenate([below, above]))])
        weights = np.exp(logs - logs.max())
        self.law = weights / weights.sum()
        queue = self.law[c:]
        self.wait_probability = float(queue.sum())
        self.queue_mean = float((queue * np.arange(len(queue))).sum())
        self.abandoned = theta * self.queue_mean / lam
        self.wait_all = self.queue_mean / lam
        self.occupancy = lam * (1 - self.abandoned) / (c * mu)

    def _answered(self, until: float, power: int) -> float:
        """Return the integral of t**power over callers who wait and are answered by `until`."""
        lam, mu, c, theta = self.arrival_rate, self.service_rate, self.servers, self.theta
        panels = np.linspace(0, until, 801)
        half = np.diff(panels)[:, None] / 2
        t = panels[:-1, None] + half * (1 + _NODES)
        exponent = -c * mu * t + lam / theta * -np.expm1(-theta * t) - theta * t
        values = self.law[c] * c * mu * np.exp(exponent) * t**power
        return float((values * _WEIGHTS * half).sum())

    def within(self, target: float) -> float:
        """Return the share of all callers answered within `target`; who hang up count against."""
        return 1 - self.wait_probability + self._answered(target, 0)

    @property
    def wait_served(self) -> float:
        """Return the mean wait of those who are answered."""
        # Beyond this the density is below e**-40 of its largest value.
        spare = self.servers * self.service_rate
        drift = max(0.0, math.log(max(self.arrival_rate / spare, 1.0))) / self.theta
        width = 1 / math.sqrt(self.theta * spare) + 1 / max(spare - self.arrival_rate, self.theta)
        return self._answered(drift + 60 * width, 1) / (1 - self.abandoned)


def overload_wait(load: float, patience: float) -> float:
    """Return the offered wait of a large overloaded pool, `patience x ln(load)`, many-server limit.

    Source: Whitt, "Fluid models for multiserver queues with abandonments" (2006), exponential
    patience of the given mean.
    """
    return patience * math.log(load) if load > 1 else 0.0


def overload_for(wait: float, patience: float) -> float:
    """Return the load of a large pool whose offered wait is `wait`."""
    return math.exp(wait / patience)


def engset(sources: int, servers: int, offered_idle: float) -> tuple[float, float, float]:
    """Return (time congestion, call congestion, busy servers) of finitely many sources.

    Parameters
    ----------
    offered_idle : arrival rate of one idle source over the service rate
    """

    def law(n: int) -> np.ndarray:
        top = min(n, servers)
        weights = np.array([math.comb(n, k) * offered_idle**k for k in range(top + 1)])
        return weights / weights.sum()

    seen, met = law(sources), law(sources - 1)
    full = servers if sources > servers else servers + 1
    at = float(seen[full]) if full < len(seen) else 0.0
    lost = float(met[full]) if full < len(met) else 0.0
    return at, lost, float((seen * np.arange(len(seen))).sum())


def kaufman_roberts(
    capacity: int, offered: list[float], units: list[int]
) -> tuple[list[float], float]:
    """Return the loss of each class and the utilisation of a link that classes share.

    Source: Kaufman (1981), Roberts (1981).

    Parameters
    ----------
    offered : Erlang of each class
    units : capacity units that one call of the class takes
    """
    q = np.zeros(capacity + 1)
    q[0] = 1.0
    for n in range(1, capacity + 1):
        q[n] = sum(a * b * q[n - b] for a, b in zip(offered, units, strict=True) if b <= n) / n
        if q[n] > 1e200:
            q /= q[n]
    q /= q.sum()
    blocked = [float(q[capacity - b + 1 :].sum()) for b in units]
    busy = float((q * np.arange(capacity + 1)).sum())
    return blocked, busy / capacity
