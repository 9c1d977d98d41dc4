"""Replications of queues in changing conditions: at a given time, in phases, with breakdowns,
with a choice of queue.

It owns how a condition becomes arrivals and clocks for the compiled station.  It must not judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from scenarios.validation_cases.registry import Draws, Unsupported, Values, simulation
from scenarios.validation_cases.simulations import (
    FINENESS,
    Length,
    Traffic,
    arrivals,
    fifo,
    length,
    whole,
)
from sim.queueing import engine
from sim.queueing.laws import Law

RUNS = 400
"""Runs from the start in one replication of a transient."""
CUSTOMERS_MAX = 3_000_000
Figures = Mapping[str, float]


@simulation("transient M/M/c(+M)")
def at_time(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Many runs from the stated start; the number in the system at the stated time.

    Those who are there at the start come first; what is left of an exponential service or
    patience has the law of a whole one.
    """
    lam, mu, c = p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers")
    theta, t, first = p.number("abandonment_rate", 0.0), p.rate("t"), p.count("initial_in_system")
    mean = lam * t
    most = math.ceil(mean + 9 * math.sqrt(mean) + 20)
    n = most + first
    runs = min(RUNS, CUSTOMERS_MAX // n)
    if runs < 2 or c < 1:
        raise Unsupported("a replication would take too many customers")
    unit = min(1 / lam, 1 / mu) / FINENESS
    gaps = np.rint(Law.exp(1 / lam).sample(draws.uniform("gap", runs * most)) / unit)
    at = np.zeros((runs, n), np.int64)
    at[:, first:] = np.cumsum(gaps.reshape(runs, most).astype(np.int64), axis=1)
    work = whole(draws, "service", Law.exp(1 / mu), runs * n, unit).reshape(runs, n)
    patience = np.full((runs, n), engine.FOREVER)
    if theta > 0:
        patience = whole(draws, "patience", Law.exp(1 / theta), runs * n, unit).reshape(runs, n)
    start = np.empty(n, np.int64)
    moment = round(t / unit)
    inside, busy = np.zeros(runs), np.zeros(runs)
    for k in range(runs):
        free = np.zeros(c, np.int64)
        engine.serve_fifo(at[k], work[k], patience[k], engine.FOREVER, free, start)
        came = at[k] <= moment
        served = came & (start >= 0)
        busy[k] = (served & (start <= moment) & (start + work[k] > moment)).sum()
        queued = (served & (start > moment)).sum()
        queued += (came & (start < 0) & (at[k] + patience[k] > moment)).sum()
        inside[k] = busy[k] + queued
    return {
        "EN": float(inside.mean()),
        "EQ": float((inside - busy).mean()),
        "P_all_busy": float((busy == c).mean()),
    }


def _phases(
    draws: Draws, stays: tuple[float, float], until: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (borders, phase of each span) of two phases that alternate, beyond `until`."""
    n = 2 * math.ceil(until / sum(stays) + 9 * math.sqrt(until / sum(stays) + 1) + 20)
    if n > CUSTOMERS_MAX:
        raise Unsupported("a replication would take too many phases")
    u = draws.uniform("phase", n)
    phase = np.arange(n) % 2
    spans = -np.array(stays)[phase] * np.log(u[:, 0])
    return np.concatenate([[0.0], np.cumsum(spans)]), phase


@simulation("MMPP(2)/M/c")
def modulated(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Arrivals of rate one on a clock that runs by the rate of the phase."""
    rates = np.array([p.rate("rate_high"), p.number("rate_low")])
    stays = (1 / p.rate("switch_high_to_low"), 1 / p.rate("switch_low_to_high"))
    mu, c = p.rate("service_rate"), p.count("servers")
    mean = float(rates @ stays) / sum(stays)
    load = mean / (c * mu)
    if not 0 < load < 1:
        raise Unsupported(f"load {load:g}: no steady state")
    size = length(load, extra=40 * mean * sum(stays))
    borders, phase = _phases(draws, stays, 1.3 * size.n / mean)
    clock = np.concatenate([[0.0], np.cumsum(np.diff(borders) * rates[phase])])
    due = np.cumsum(Law.exp(1.0).sample(draws.uniform("gap", size.n)))
    if due[-1] > clock[-1]:
        raise Unsupported("the phases end before the customers do")
    unit = min(1 / mean, 1 / mu) / FINENESS
    at = np.rint(np.interp(due, clock, borders) / unit).astype(np.int64)
    work = whole(draws, "service", Law.exp(1 / mu), size.n, unit)
    start, forever = np.empty(size.n, np.int64), np.full(size.n, engine.FOREVER)
    engine.serve_fifo(at, work, forever, engine.FOREVER, np.zeros(c, np.int64), start)
    return Traffic(unit, size.warm, c, at, work, forever, start).figures(wanted)


@simulation("M/M/1 with breakdowns")
def breakdowns(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """A server whose clock stands still while it is repaired: the station runs by that clock."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate")
    stays = (1 / p.rate("breakdown_rate"), 1 / p.rate("repair_rate"))
    load = lam / mu * sum(stays) / stays[0]
    if not 0 < load < 1:
        raise Unsupported(f"load {load:g}: no steady state")
    size = length(load, extra=40 * lam * sum(stays))
    gaps = Law.exp(1 / lam).sample(draws.uniform("gap", size.n))
    came = np.cumsum(gaps)
    borders, phase = _phases(draws, stays, 1.3 * float(came[-1]))
    up = np.concatenate([[0.0], np.cumsum(np.diff(borders) * (phase == 0))])
    unit = min(1 / lam, 1 / mu) / FINENESS
    at = np.rint(np.interp(came, borders, up) / unit).astype(np.int64)
    work = whole(draws, "service", Law.exp(1 / mu), size.n, unit)
    start, forever = np.empty(size.n, np.int64), np.full(size.n, engine.FOREVER)
    engine.serve_fifo(at, work, forever, engine.FOREVER, np.zeros(1, np.int64), start)
    ends = (start + work) * unit
    if ends[-1] > up[-1]:
        raise Unsupported("the phases end before the customers do")
    # The clock of the server stands still at its borders: leave out the spans of repair.
    live = np.concatenate([[True], np.diff(up) > 0])
    offset = np.searchsorted(up[live], ends, side="left") - 1
    begins = borders[:-1][phase == 0]
    begun = up[:-1][phase == 0]
    left = begins[offset] + (ends - begun[offset])
    stay = (left - came)[size.warm :]
    span = float(came[-1] - came[size.warm])
    return {
        "P_up": float(up[-1] / borders[-1]),
        "W": float(stay.mean()),
        "L": float(stay.sum()) / span,
    }


@simulation("two servers, routing")
def routing(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """One stream of customers, three ways to two servers."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate_each")
    if lam >= 2 * mu:
        raise Unsupported("no steady state")
    size = length(lam / (2 * mu))
    service = Law.exp(1 / mu)
    pooled = fifo(draws, gap=Law.exp(1 / lam), service=service, servers=2, size=size)
    unit = min(1 / lam, 1 / mu) / FINENESS
    at = arrivals(draws, Law.exp(1 / lam), size.n, unit)
    work = whole(draws, "service", service, size.n, unit)
    coin = (draws.uniform("coin", size.n)[:, 0] < 0.5).astype(np.uint8)
    wait = np.empty(size.n, np.int64)
    engine.serve_shortest(at, work, coin, np.zeros((2, size.n), np.int64), wait)
    mine = coin == 1
    start, forever = np.empty(int(mine.sum()), np.int64), np.full(int(mine.sum()), engine.FOREVER)
    engine.serve_fifo(at[mine], work[mine], forever, engine.FOREVER, np.zeros(1, np.int64), start)
    half = Length(size.warm // 2, len(start))
    split = Traffic(unit, half.warm, 1, at[mine], work[mine], forever, start)
    return {
        "Wq_pooled": pooled.figures([])["Wq"],
        "Wq_jsq": float(wait[size.warm :].mean()) * unit,
        "Wq_random_split": split.figures([])["Wq"],
    }
