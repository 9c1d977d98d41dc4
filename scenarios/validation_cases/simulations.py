"""One replication of each simulated model, on the compiled station of `sim.queueing.engine`.

It owns the lengths of runs, the removal of the warm-up and what is measured.  Times become whole
numbers of a millionth of the smaller of mean gap and mean service.  It must not judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scenarios.validation_cases.calculators import batch_sizes, centre_staff, service_laws
from scenarios.validation_cases.registry import (
    Draws,
    Unsupported,
    Values,
    quantile_of,
    simulation,
    tail_of,
)
from sim.queueing import engine
from sim.queueing.laws import Law

FINENESS = 1_000_000
"""Clock units in the smaller of mean gap and mean service."""
KEPT_MIN = 150_000
"""Fewest customers that a replication keeps."""
CUSTOMERS_MAX = 3_000_000
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Length:
    """Customers of a replication: dropped at its start, and in all."""

    warm: int
    n: int


def length(load: float, *, extra: float = 0.0) -> Length:
    """Return the customers of a replication, long against the queue's relaxation.

    Parameters
    ----------
    load : of one server, below 1
    extra : customers in a further memory of the queue, such as the servers that fill up
    """
    memory = load / (1 - math.sqrt(load)) ** 2 + extra
    warm = math.ceil(8 * memory) + 2000
    n = warm + max(KEPT_MIN, math.ceil(20 * memory))
    if n > CUSTOMERS_MAX:
        raise Unsupported(f"a replication would take {n:,} customers")
    return Length(warm, n)


@dataclass(frozen=True)
class Traffic:
    """A replication: whole times of a pool's customers, and what became of them."""

    unit: float
    warm: int
    servers: int
    arrival: np.ndarray
    service: np.ndarray
    patience: np.ndarray
    start: np.ndarray

    def figures(self, wanted: Sequence[str], target: float | None = None) -> dict[str, float]:
        """Return every figure that the kept customers give."""
        kept = slice(self.warm, None)
        start, service = self.start[kept], self.service[kept]
        arrival, patience = self.arrival[kept], self.patience[kept]
        span = float(arrival[-1] - arrival[0]) * self.unit
        n = len(arrival)
        served = start >= 0
        left = start == engine.LEFT
        wait = (start - arrival)[served] * self.unit
        stay = wait + service[served] * self.unit
        gave_up = patience[left] * self.unit
        work = float(service[served].sum()) * self.unit
        n_served = max(int(served.sum()), 1)
        queue_time = float(wait.sum() + gave_up.sum())
        out = {
            "P_wait": (float((wait > 0).sum()) + float(left.sum())) / n,
            "P_ab": float(left.sum()) / n,
            "P_block": float((start == engine.LOST).sum()) / n,
            "Wq": float(wait.mean()),
            "W": float(stay.mean()),
            "sd_Wq": float(wait.std()),
            "Lq": queue_time / span,
            "L": float(stay.sum()) / span,
            "W_served": float(wait.mean()),
            "Wq_acc": float(wait.mean()),
            "W_all": queue_time / n,
            "rho": work / (span * self.servers),
            "throughput": n_served / span,
        }
        out["util"] = out["occupancy"] = out["rho"]
        if target is not None:
            out["SL_T"] = float((wait <= target).sum()) / n
            out["P_T_gt"] = float((stay > target).sum()) / n_served
        for metric in wanted:
            share, x = quantile_of(metric), tail_of(metric, "P_Wq_gt_")
            if share is not None and metric.endswith(("_T", "_Wq")):
                of = stay if metric.endswith("_T") else wait
                out[metric] = float(np.quantile(of, share, method="inverted_cdf"))
            elif x is not None:
                # Half a unit: times are rounded to whole units.
                out[metric] = float((wait > x + self.unit / 2).sum()) / n_served
        return out


def arrivals(draws: Draws, gap: Law, n: int, unit: float) -> np.ndarray:
    """Return n rising whole moments."""
    return np.rint(np.cumsum(gap.sample(draws.uniform("gap", n))) / unit).astype(np.int64)


def whole(draws: Draws, purpose: str, law: Law, n: int, unit: float) -> np.ndarray:
    """Return n whole times of a law."""
    return np.rint(law.sample(draws.uniform(purpose, n)) / unit).astype(np.int64)


def fifo(
    draws: Draws,
    *,
    gap: Law,
    service: Law,
    servers: int,
    size: Length,
    patience: Law | None = None,
    places: int | None = None,
) -> Traffic:
    """Run one pool."""
    unit = min(gap.mean, service.mean) / FINENESS
    n = size.n
    at = arrivals(draws, gap, n, unit)
    work = whole(draws, "service", service, n, unit)
    wait = (
        np.full(n, engine.FOREVER)
        if patience is None
        else whole(draws, "patience", patience, n, unit)
    )
    start = np.empty(n, np.int64)
    room = engine.FOREVER if places is None else places
    engine.serve_fifo(at, work, wait, np.int64(room), np.zeros(servers, np.int64), start)
    return Traffic(unit, size.warm, servers, at, work, wait, start)


def _stable(load: float) -> float:
    if not 0 < load < 1:
        raise Unsupported(f"load {load:g}: no steady state")
    return load


def _pool(p: Values, draws: Draws, gap: Law, service: Law, servers: int) -> Traffic:
    load = _stable(service.mean / gap.mean / servers)
    return fifo(draws, gap=gap, service=service, servers=servers, size=length(load, extra=servers))


@simulation("M/M/1")
@simulation("M/M/c")
def pool(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Poisson calls on exponential servers."""
    gap, service = Law.exp(1 / p.rate("arrival_rate")), Law.exp(1 / p.rate("service_rate"))
    run = _pool(p, draws, gap, service, p.count("servers", 1))
    return run.figures(wanted, p.number("T") if "T" in p.told else None)


@simulation("M/G/1")
@simulation("M/D/1 waiting-time tail")
@simulation("M/D/c")
def any_service(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Poisson calls on any law of service."""
    gap = Law.exp(1 / p.rate("arrival_rate"))
    return _pool(p, draws, gap, p.law("service"), p.count("servers", 1)).figures(wanted)


@simulation("GI/M/1")
def any_arrivals(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Any law of gaps."""
    service = Law.exp(1 / p.rate("service_rate"))
    return _pool(p, draws, p.law("interarrival"), service, 1).figures(wanted)


@simulation("M^X/M/1")
def batches(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Poisson batches on one exponential server."""
    sizes, mu = batch_sizes(p), p.rate("service_rate")
    mean = sum(n * share for n, share in sizes.items())
    load = _stable(p.rate("batch_rate") * mean / mu)
    size = length(load, extra=20 * max(sizes))
    gap, service = Law.exp(1 / p.rate("batch_rate")), Law.exp(1 / mu)
    unit = min(gap.mean, service.mean) / FINENESS
    n_batches = math.ceil(size.n / mean)
    at = arrivals(draws, gap, n_batches, unit)
    names = np.array(sorted(sizes))
    borders = np.cumsum([sizes[int(n)] for n in names])
    u = draws.uniform("batch", n_batches)[:, 0]
    each = names[np.minimum(np.searchsorted(borders, u, side="right"), len(names) - 1)]
    at = np.repeat(at, each)
    work = whole(draws, "service", service, len(at), unit)
    start = np.empty(len(at), np.int64)
    forever = np.full(len(at), engine.FOREVER)
    engine.serve_fifo(at, work, forever, engine.FOREVER, np.zeros(1, np.int64), start)
    return Traffic(unit, size.warm, 1, at, work, forever, start).figures(wanted)


def _impatient(draws: Draws, rate: float, service: float, servers: int, patience: float) -> Traffic:
    if servers < 1:
        raise Unsupported("at least one server")
    memory = rate * (patience + service)
    size = Length(math.ceil(8 * memory) + 2000, math.ceil(28 * memory) + 2000 + KEPT_MIN)
    if size.n > CUSTOMERS_MAX:
        raise Unsupported(f"a replication would take {size.n:,} customers")
    return fifo(
        draws, gap=Law.exp(1 / rate), service=Law.exp(service), servers=servers, size=size,
        patience=Law.exp(patience),
    )  # fmt: skip


@simulation("M/M/c+M")
def erlang_a(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Callers who hang up."""
    run = _impatient(
        draws, p.rate("arrival_rate"), 1 / p.rate("service_rate"), p.count("servers"),
        1 / p.rate("abandonment_rate"),
    )  # fmt: skip
    return run.figures(wanted, p.number("T") if "T" in p.told else None)


@simulation("call centre Erlang A")
def centre_a(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Callers of a contact centre who hang up."""
    run = _impatient(
        draws, p.rate("arrival_rate_per_s"), p.rate("aht_s"), p.count("agents"),
        p.rate("mean_patience_s"),
    )  # fmt: skip
    return run.figures(wanted, p.number("T") if "T" in p.told else None)


@simulation("call centre Erlang C staffing")
def centre_c(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """The smallest pool that meets the target, run."""
    q = centre_staff(p)
    run = _pool(p, draws, Law.exp(1 / q.arrival_rate), Law.exp(1 / q.service_rate), q.servers)
    figures = run.figures(wanted, p.number("target_s"))
    return {
        "SL_at_min": figures["SL_T"],
        "P_wait_at_min": figures["P_wait"],
        "Wq_at_min_s": figures["Wq"],
        "occupancy_at_min": figures["rho"],
    }


def _limited(draws: Draws, rate: float, service: Law, servers: int, places: int) -> Traffic:
    if not 1 <= servers <= places:
        raise Unsupported("at least one server, and a place for each")
    memory = rate * service.mean + places**2
    size = Length(math.ceil(20 * memory) + 2000, math.ceil(20 * memory) + 2000 + 2 * KEPT_MIN)
    if size.n > CUSTOMERS_MAX:
        raise Unsupported(f"a replication would take {size.n:,} customers")
    return fifo(
        draws, gap=Law.exp(1 / rate), service=service, servers=servers, size=size, places=places
    )


@simulation("M/M/c/c (Erlang B)")
def loss(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """No waiting room."""
    c = p.count("servers")
    return _limited(draws, p.rate("offered_erlangs"), Law.exp(1.0), c, c).figures(wanted)


@simulation("M/G/c/c (insensitivity)")
def any_loss(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """No waiting room, any law of service."""
    c = p.count("servers")
    return _limited(draws, p.rate("arrival_rate"), p.law("service"), c, c).figures(wanted)


@simulation("M/M/c/K")
def limited(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """A waiting room with a limit."""
    run = _limited(
        draws, p.rate("arrival_rate"), Law.exp(1 / p.rate("service_rate")), p.count("servers"),
        p.count("capacity_in_system"),
    )  # fmt: skip
    return run.figures(wanted)


def _classes(
    draws: Draws, rates: Sequence[float], laws: Sequence[Law], servers: int
) -> dict[str, float]:
    """Run classes of priority on one pool."""
    total = sum(rates)
    service = sum(r * law.mean for r, law in zip(rates, laws, strict=True)) / total
    size = length(_stable(total * service / servers), extra=servers)
    unit = min(1 / total, min(law.mean for law in laws)) / FINENESS
    n = size.n
    at = arrivals(draws, Law.exp(1 / total), n, unit)
    borders = np.cumsum(rates) / total
    u = draws.uniform("class", n)[:, 0]
    klass = np.minimum(np.searchsorted(borders, u, side="right"), len(rates) - 1).astype(np.uint8)
    work = np.empty(n, np.int64)
    for k, law in enumerate(laws):
        mine = klass == k
        work[mine] = whole(draws, f"service {k}", law, int(mine.sum()), unit)
    start, queue = np.empty(n, np.int64), np.empty(n, np.int64)
    lines = np.empty((2, len(rates)), np.int64)
    engine.serve_classes(
        at, work, klass, queue, lines[0], lines[1], np.zeros(servers, np.int64), start
    )
    out: dict[str, float] = {}
    for k in range(len(rates)):
        mine = np.flatnonzero(klass[size.warm :] == k) + size.warm
        wait = (start[mine] - at[mine]) * unit
        out[f"Wq_{k + 1}"] = float(wait.mean())
        out[f"W_{k + 1}"] = float(wait.mean() + work[mine].mean() * unit)
    return out


@simulation("M/M/1 non-preemptive priority")
@simulation("M/M/c non-preemptive priority")
def classes(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Classes with one law of service."""
    rates = p.numbers("arrival_rates", most=200)
    service = Law.exp(1 / p.rate("service_rate"))
    return _classes(draws, rates, [service] * len(rates), p.count("servers", 1))


@simulation("M/G/1 non-preemptive priority")
def any_classes(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Classes with laws of their own."""
    return _classes(draws, p.numbers("arrival_rates", most=200), service_laws(p), 1)


@simulation("tandem M/M/1 (trigger, decision, channel)")
def tandem(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Queues in a row: who leaves one comes to the next."""
    lam, rates = p.rate("arrival_rate"), p.numbers("service_rates", most=20)
    size = length(_stable(lam / min(rates)))
    unit = min(1 / lam, 1 / max(rates)) / FINENESS
    first = at = arrivals(draws, Law.exp(1 / lam), size.n, unit)
    forever = np.full(size.n, engine.FOREVER)
    for k, mu in enumerate(rates):
        work = whole(draws, f"service {k}", Law.exp(1 / mu), size.n, unit)
        start = np.empty(size.n, np.int64)
        engine.serve_fifo(at, work, forever, engine.FOREVER, np.zeros(1, np.int64), start)
        at = start + work
    stay = (at - first)[size.warm :] * unit
    span = float(first[-1] - first[size.warm]) * unit
    out = {"W": float(stay.mean()), "L": float(stay.sum()) / span}
    for metric in wanted:
        share, x = quantile_of(metric), tail_of(metric, "P_T_gt_")
        if share is not None:
            out[metric] = float(np.quantile(stay, share, method="inverted_cdf"))
        elif x is not None:
            out[metric] = float((stay > x).mean())
    return out


@simulation("fork-join, 2 parallel M/M/1")
def fork_join(p: Values, wanted: Sequence[str], draws: Draws) -> Figures:
    """Two halves of each job, one for each server; the later one ends it."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate_each")
    size = length(_stable(lam / mu))
    unit = min(1 / lam, 1 / mu) / FINENESS
    at = arrivals(draws, Law.exp(1 / lam), size.n, unit)
    forever = np.full(size.n, engine.FOREVER)
    ends = np.zeros(size.n, np.int64)
    for side in range(2):
        work = whole(draws, f"service {side}", Law.exp(1 / mu), size.n, unit)
        start = np.empty(size.n, np.int64)
        engine.serve_fifo(at, work, forever, engine.FOREVER, np.zeros(1, np.int64), start)
        ends = np.maximum(ends, start + work)
    return {"W": float((ends - at)[size.warm :].mean()) * unit}
