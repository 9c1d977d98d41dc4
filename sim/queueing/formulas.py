"""Closed forms of single queues, of bursts and of recoveries, each with its source.

It owns what has a formula: single servers of any service law, batches, priorities, processor
sharing, backlogs, approximations.  What needs a chain to be solved stands in `chains`.  Rates
are per unit of time and times are in that unit.  It must not simulate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sim.queueing.erlang import Unstable, erlang_c
from sim.queueing.laws import Law


def _stable(load: float) -> float:
    if load >= 1:
        raise Unstable(f"load {load:g} of one server")
    return load


def crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function meets 0 between two points, by bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return (low + high) / 2


def quantile(tail: Callable[[float], float], share: float, scale: float) -> float:
    """Return the time that is exceeded with probability `1 - share`; 0 where none need be waited.

    Parameters
    ----------
    tail : time -> probability of exceeding it, falling
    scale : any time of the right size
    """
    if tail(0.0) <= 1 - share:
        return 0.0
    high = scale
    while tail(high) > 1 - share:
        high *= 2
    return crossing(lambda t: tail(t) - (1 - share), 0.0, high)


def any_service_wait(arrival_rate: float, law: Law) -> tuple[float, float]:
    """Return mean and standard deviation of the wait in M/G/1 (Pollaczek 1930, Khinchine 1932)."""
    rest = 1 - _stable(arrival_rate * law.mean)
    mean = arrival_rate * law.moment(2) / (2 * rest)
    second = 2 * mean**2 + arrival_rate * law.moment(3) / (3 * rest)
    return mean, math.sqrt(second - mean**2)


def any_arrival_root(gap: Law, service_rate: float) -> float:
    """Return the probability that an arrival of GI/M/1 waits: the root of s = A*(mu(1 - s)).

    Source: Kendall (1953).  The wait of those who do is exponential of rate `mu(1 - s)`.
    """
    _stable(1 / (gap.mean * service_rate))
    return crossing(lambda s: gap.transform(service_rate * (1 - s)) - s, 0.0, 1 - 1e-12)


def batch_in_system(batch_rate: float, sizes: dict[int, float], service_rate: float) -> float:
    """Return the mean number in M^X/M/1 (Chaudhry and Templeton 1983)."""
    first = sum(n * p for n, p in sizes.items())
    second = sum(n * n * p for n, p in sizes.items())
    load = _stable(batch_rate * first / service_rate)
    return load / (1 - load) * (second + first) / (2 * first)


def priority_waits(rates: Sequence[float], laws: Sequence[Law]) -> list[float]:
    """Return the mean wait of each class of M/G/1, first class first (Cobham 1954)."""
    work = sum(rate * law.moment(2) for rate, law in zip(rates, laws, strict=True)) / 2
    return _cobham(work, [rate * law.mean for rate, law in zip(rates, laws, strict=True)])


def priority_pool_waits(rates: Sequence[float], service_rate: float, servers: int) -> list[float]:
    """Return the mean wait of each class of M/M/c with one law of service (Cobham 1954)."""
    loads = [rate / (servers * service_rate) for rate in rates]
    wait = erlang_c(servers, sum(rates) / service_rate)
    return _cobham(wait / (servers * service_rate), loads)


def _cobham(work: float, loads: Sequence[float]) -> list[float]:
    _stable(sum(loads))
    waits, before = [], 0.0
    for load in loads:
        waits.append(work / ((1 - before) * (1 - before - load)))
        before += load
    return waits


def preemptive_stays(rates: Sequence[float], service_rate: float) -> list[float]:
    """Return the mean time in system of each class of M/M/1, preemptive resume."""
    stays, before = [], 0.0
    _stable(sum(rates) / service_rate)
    for rate in rates:
        load = rate / service_rate
        stays.append(1 / service_rate / ((1 - before) * (1 - before - load)))
        before += load
    return stays


def sakasegawa_wait(load: float, servers: int, service: float, ca2: float, cs2: float) -> float:
    """Return the approximate wait of G/G/c (Sakasegawa 1977; Hopp and Spearman)."""
    power = math.sqrt(2 * (servers + 1)) - 1
    return (ca2 + cs2) / 2 * load**power / (servers * (1 - _stable(load))) * service


def allen_cunneen_wait(
    arrival_rate: float, service_rate: float, servers: int, ca2: float, cs2: float
) -> float:
    """Return the approximate wait of G/G/c (Allen and Cunneen)."""
    waits = erlang_c(servers, arrival_rate / service_rate)
    return (ca2 + cs2) / 2 * waits / (servers * service_rate - arrival_rate)


def kingman_bound(arrival_rate: float, service_rate: float, ca2: float, cs2: float) -> float:
    """Return Kingman's upper bound of the wait in G/G/1 (1962)."""
    rest = 1 - _stable(arrival_rate / service_rate)
    return arrival_rate * (ca2 / arrival_rate**2 + cs2 / service_rate**2) / (2 * rest)


def poisson_tail(mean: float, n: int) -> float:
    """Return the probability that a Poisson number exceeds `n`."""
    return 1 - math.fsum(
        math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(n + 1)
    )


def tandem_tail(rates: Sequence[float], t: float) -> float:
    """Return the probability that a sum of exponential times of distinct rates exceeds `t`."""
    total = 0.0
    for i, rate in enumerate(rates):
        share = math.prod(other / (other - rate) for j, other in enumerate(rates) if j != i)
        total += share * math.exp(-rate * t)
    return total


def drain(backlog: int, arrival_rate: float, service_rate: float) -> tuple[float, float]:
    """Return mean and standard deviation of the time until M/M/1 has worked off a backlog."""
    spare = service_rate - arrival_rate
    _stable(arrival_rate / service_rate)
    return backlog / spare, math.sqrt(backlog * (arrival_rate + service_rate) / spare**3)


def pool_drain(
    initial: int, until: int, arrival_rate: float, service_rate: float, servers: int
) -> float:
    """Return the mean time in which M/M/c falls from `initial` to `until` in the system."""
    _stable(arrival_rate / (servers * service_rate))
    step = 1 / (servers * service_rate - arrival_rate)
    total = max(initial - max(until, servers - 1), 0) * step
    for n in range(servers - 1, until, -1):
        step = (1 + arrival_rate * step) / (n * service_rate)
        total += step if n <= initial else 0.0
    return total


def burst(
    burst_rate: float, duration: float, after_rate: float, capacity: float
) -> dict[str, float]:
    """Return what a burst does to a fluid queue: backlog, recovery and delays.

    Returns
    -------
    figures : `peak_backlog`; `recovery_time` from the end of the burst until empty; `max_delay`;
        `mean_delay_of_affected`, the area under the backlog over those who came meanwhile
    """
    _stable(after_rate / capacity)
    peak = max(burst_rate - capacity, 0.0) * duration
    recovery = peak / (capacity - after_rate)
    came = burst_rate * duration + after_rate * recovery
    area = peak * (duration + recovery) / 2
    return {
        "peak_backlog": peak,
        "recovery_time": recovery,
        "max_delay": peak / capacity,
        "mean_delay_of_affected": area / came,
    }


def sinusoid(mean_rate: float, amplitude: float, period: float, service_rate: float):
    """Return (mean, peak, lag, at the arrivals' peak) of the number in M(t)/M/inf.

    Source: Eick, Massey and Whitt (1993), for the rate `a(1 + b sin(2 pi t / P))`.
    """
    turn = 2 * math.pi / period / service_rate
    mean = mean_rate / service_rate
    swing = mean * amplitude / math.sqrt(1 + turn**2)
    angle = math.atan(turn)
    return mean, mean + swing, angle / turn / service_rate, mean + swing * math.cos(angle)


def retrial_orbit(arrival_rate: float, service_rate: float, retry_rate: float) -> float:
    """Return the mean number between tries of M/M/1 with retries (Falin and Templeton 1997)."""
    load = _stable(arrival_rate / service_rate)
    return load**2 / (1 - load) + arrival_rate * load / (retry_rate * (1 - load))


def closed_network(demands: Sequence[float], think: float, users: int) -> tuple[float, float]:
    """Return (throughput, response time) of a closed network by exact mean value analysis."""
    queue = [0.0] * len(demands)
    rate = response = 0.0
    for n in range(1, users + 1):
        stays = [d * (1 + q) for d, q in zip(demands, queue, strict=True)]
        response = sum(stays)
        rate = n / (think + response)
        queue = [rate * stay for stay in stays]
    return rate, response
