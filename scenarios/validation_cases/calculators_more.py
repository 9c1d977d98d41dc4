"""Formulas of sharing, bursts, networks, and of the methods around queues.

It owns the translation of parameters and metrics; the mathematics of queues stands in
`sim.queueing`, that of value and of fits in `methods`.  It must not simulate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scenarios.validation_cases import methods
from scenarios.validation_cases.registry import (
    Unsupported,
    Values,
    formula,
    quantile_of,
    tail_of,
)
from scenarios.validation_cases.table import Value
from sim.queueing import chains, erlang, formulas

Figures = Mapping[str, Value]


@formula("M/G/inf")
def servers_for_all(p: Values, wanted: Sequence[str]) -> Figures:
    """A Poisson number, whatever the law of service."""
    mean = p.rate("offered_erlangs")
    n = 0
    while formulas.poisson_tail(mean, n) > 0.01:
        n += 1
    tail = formulas.poisson_tail(mean, p.count("n0"))
    return {"mean_in_system": mean, "P_N_gt_n0": tail, "p99_N": float(n)}


@formula("M/M/1-PS")
def shared(p: Values, wanted: Sequence[str]) -> Figures:
    """Processor sharing: response in proportion to size (Kleinrock 1967)."""
    load = _load(p.rate("arrival_rate") / p.rate("service_rate"))
    out: dict[str, Value] = {"W": 1 / p.rate("service_rate") / (1 - load)}
    for metric in wanted:
        size = tail_of(metric.replace("size_0_", "size_0."), "T_of_job_size_")
        if size is not None:
            out[metric] = size / (1 - load)
    return out


def _load(load: float) -> float:
    if load >= 1:
        raise erlang.Unstable(f"load {load:g}")
    return load


@formula("cell as M/G/1-PS")
def cell(p: Values, wanted: Sequence[str]) -> Figures:
    """A radio cell shared by flows."""
    rate, size, speed = (
        p.rate("flow_arrival_rate_per_s"), p.rate("mean_flow_mbit"), p.rate("cell_capacity_mbps")
    )  # fmt: skip
    load = _load(rate * size / speed)
    flows = load / (1 - load)
    out: dict[str, Value] = {
        "prb_utilisation": load,
        "mean_active_flows": flows,
        "mean_flow_duration_s": flows / rate,
        "mean_flow_throughput_mbps": size * rate / flows,
    }
    for metric in wanted:
        floor = tail_of(metric.removesuffix("mbps"), "max_arrival_rate_for_")
        if floor is not None:
            out[metric] = (1 - floor / speed) * speed / size
    return out


@formula("capacitated processor sharing")
def shared_beyond(p: Values, wanted: Sequence[str]) -> Figures:
    """Full rate up to a limit: in number the chain of M/M/R."""
    lam, mu, limit = p.rate("arrival_rate"), p.rate("service_rate"), p.count("full_rate_limit")
    load = _load(lam / (limit * mu))
    n = limit + math.ceil(45 / -math.log(load)) + 10
    law = chains.Limited(lam, mu, limit, n).law
    out: dict[str, Value] = {"L": float(sum(k * x for k, x in enumerate(law)))}
    for k in range(min(n, 200)):
        out[f"P_N_{k}"] = float(law[k])
    return out


@formula("Kaufman-Roberts multirate loss")
def multirate(p: Values, wanted: Sequence[str]) -> Figures:
    """Classes of calls on one link."""
    offered, units = p.numbers("offered_erlangs"), [int(b) for b in p.numbers("units_per_call")]
    if len(offered) != len(units) or min(units) < 1:
        raise Unsupported("parameters offered_erlangs, units_per_call: one each for a class")
    lost, util = erlang.kaufman_roberts(p.count("capacity_units"), offered, units)
    return {f"P_block_{i + 1}": value for i, value in enumerate(lost)} | {"util": util}


@formula("Engset")
def few_sources(p: Values, wanted: Sequence[str]) -> Figures:
    """Finitely many sources."""
    time, call, carried = erlang.engset(
        p.count("sources", most=1000), p.count("servers", most=1000),
        p.rate("offered_per_idle_source"),
    )  # fmt: skip
    return {"time_congestion": time, "call_congestion": call, "carried": carried}


@formula("M(t)/M/inf sinusoidal")
def tide(p: Values, wanted: Sequence[str]) -> Figures:
    """Load that follows a daily wave, late and flattened."""
    figures = formulas.sinusoid(
        p.rate("mean_rate"), p.number("relative_amplitude"), p.rate("period"),
        p.rate("service_rate"),
    )  # fmt: skip
    return dict(zip(("mean", "peak", "lag", "at_arrival_peak"), figures, strict=True))


@formula("transient M/M/c(+M)")
def at_time(p: Values, wanted: Sequence[str]) -> Figures:
    """The law at a time, by uniformisation."""
    steps = (p.rate("arrival_rate") + p.count("servers") * p.rate("service_rate")) * p.rate("t")
    if steps > 2e6:
        raise Unsupported("the chain would take too many steps")
    return chains.at_time(
        p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers"),
        abandonment_rate=p.number("abandonment_rate", 0.0), initial=p.count("initial_in_system"),
        t=p.rate("t"),
    )  # fmt: skip


@formula("M/M/1 backlog recovery")
def drained(p: Values, wanted: Sequence[str]) -> Figures:
    """First passage to empty."""
    backlog = p.count("initial_backlog", most=10**12)
    mean, spread = formulas.drain(backlog, p.number("arrival_rate"), p.rate("service_rate"))
    return {"mean_drain_time": mean, "sd_drain_time": spread}


@formula("M/M/c backlog recovery")
def pool_drained(p: Values, wanted: Sequence[str]) -> Figures:
    """First passage down."""
    mean = formulas.pool_drain(
        p.count("initial_in_system", most=10**7), p.count("until_in_system", most=10**7),
        p.number("arrival_rate"), p.rate("service_rate"), p.count("servers"),
    )  # fmt: skip
    return {"mean_drain_time": mean}


@formula("fluid burst")
def burst(p: Values, wanted: Sequence[str]) -> Figures:
    """A burst on a fluid queue."""
    return formulas.burst(
        p.rate("burst_rate"), p.rate("burst_duration"), p.number("after_rate"),
        p.rate("service_capacity"),
    )  # fmt: skip


@formula("M/M/1 with breakdowns")
def breakdowns(p: Values, wanted: Sequence[str]) -> Figures:
    """A server that is up or under repair, busy or not."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate")
    fail, mend = p.rate("breakdown_rate"), p.rate("repair_rate")
    up = mend / (fail + mend)
    _load(lam / (mu * up))
    inside = chains.Phased([lam, lam], [mu, 0.0], [fail, mend], 1).system_mean
    return {"P_up": up, "L": inside, "W": inside / lam}


@formula("MMPP(2)/M/c")
def modulated(p: Values, wanted: Sequence[str]) -> Figures:
    """Arrivals that switch between two rates."""
    high, low = p.rate("rate_high"), p.number("rate_low")
    down, up = p.rate("switch_high_to_low"), p.rate("switch_low_to_high")
    mu, c = p.rate("service_rate"), p.count("servers", most=200)
    load = _load((high * up + low * down) / (up + down) / (c * mu))
    q = chains.Phased([high, low], [mu, mu], [down, up], c)
    return {"rho": load, "P_wait": q.wait_probability, "Wq": q.queue_mean / q.rate}


@formula("M/M/1 retrial")
def retrial(p: Values, wanted: Sequence[str]) -> Figures:
    """Blocked customers who try again."""
    lam = p.rate("arrival_rate")
    orbit = formulas.retrial_orbit(lam, p.rate("service_rate"), p.rate("retry_rate_per_customer"))
    return {"P_busy": lam / p.rate("service_rate"), "orbit": orbit, "W_orbit": orbit / lam}


@formula("tandem M/M/1 (trigger, decision, channel)")
def tandem(p: Values, wanted: Sequence[str]) -> Figures:
    """Queues in a row (Burke 1956)."""
    lam, rates = p.rate("arrival_rate"), p.numbers("service_rates", most=20)
    spare = [mu - lam for mu in rates]
    if min(spare) <= 0 or len(set(spare)) < len(spare):
        raise Unsupported("stable stages of distinct rates only")
    stay = sum(1 / s for s in spare)
    out: dict[str, Value] = {"W": stay, "L": lam * stay}
    for metric in wanted:
        share, x = quantile_of(metric), tail_of(metric, "P_T_gt_")
        if share is not None and metric.endswith("_T"):
            out[metric] = formulas.quantile(lambda t: formulas.tandem_tail(spare, t), share, stay)
        elif x is not None:
            out[metric] = formulas.tandem_tail(spare, x)
    return out


@formula("M/M/1 with Bernoulli retry")
def feedback(p: Values, wanted: Sequence[str]) -> Figures:
    """A share of the served come back at once (Jackson 1957)."""
    lam, back = p.rate("external_arrival_rate"), p.number("retry_probability")
    rate = lam / (1 - _load(back))
    load = _load(rate / p.rate("service_rate"))
    inside = load / (1 - load)
    return {"effective_rate": rate, "rho": load, "L": inside, "W": inside / lam}


@formula("closed load model (interactive)")
def closed(p: Values, wanted: Sequence[str]) -> Figures:
    """Users who wait for their answer, and what an open load would have met."""
    service = p.rate("service_time")
    rate, response = formulas.closed_network([service], p.number("think_time"), p.count("users"))
    return {
        "X": rate,
        "R": response,
        "U": rate * service,
        "W_open_same_throughput": 1 / (1 / service - rate),
    }


@formula("closed network MVA")
def closed_stations(p: Values, wanted: Sequence[str]) -> Figures:
    """Exact mean value analysis."""
    rate, response = formulas.closed_network(
        p.numbers("service_demands"), p.number("think_time"), p.count("users")
    )
    return {"X": rate, "R": response}


@formula("two servers, routing")
def routing(p: Values, wanted: Sequence[str]) -> Figures:
    """Random, shortest and shared queue."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate_each")
    split = erlang.Waiting(lam / 2, mu, 1).wait_mean
    return {
        "Wq_random_split": split,
        "Wq_jsq": chains.shortest_queue_wait(lam, mu),
        "Wq_pooled": erlang.Waiting(lam, mu, 2).wait_mean,
    }


@formula("fork-join, 2 parallel M/M/1")
def fork_join(p: Values, wanted: Sequence[str]) -> Figures:
    """Both halves of a job (Flatto and Hahn 1984)."""
    lam, mu = p.rate("arrival_rate"), p.rate("service_rate_each")
    load = _load(lam / mu)
    return {"W": (12 - load) / 8 / (mu - lam)}


@formula("barrier over n shards (exponential shard time, mean 1)")
def barrier(p: Values, wanted: Sequence[str]) -> Figures:
    """The slowest of n."""
    n = p.count("shards", most=10**6)
    return {
        "mean_barrier": p.rate("mean") * math.fsum(1 / k for k in range(1, n + 1)),
        "p99_barrier": -p.rate("mean") * math.log(-math.expm1(math.log(0.99) / n)),
    }


@formula("coordinated omission")
def omission(p: Values, wanted: Sequence[str]) -> Figures:
    """What one caller that waits records, and what an open load meets."""
    return methods.coordinated_omission(
        p.rate("request_rate"), p.rate("service_time"), p.rate("healthy_duration"),
        p.rate("stall_duration"), wanted,
    )  # fmt: skip


@formula("USL fit")
def scaling_fit(p: Values, wanted: Sequence[str]) -> Figures:
    """Least squares of the universal scalability law."""
    points = p.told.get("points")
    if not isinstance(points, list) or len(points) < 4:
        raise Unsupported("parameter points: at least four pairs")
    try:
        pairs = [(float(n), float(x)) for n, x in points]
    except (TypeError, ValueError):
        raise Unsupported("parameter points: pairs of numbers") from None
    return methods.usl_figures(*methods.usl_fit(pairs))


@formula("USL prediction")
def scaling(p: Values, wanted: Sequence[str]) -> Figures:
    """The universal scalability law at some sizes."""
    lam, sigma, kappa = p.rate("lam"), p.number("sigma"), p.number("kappa")
    out: dict[str, Value] = dict(methods.usl_figures(lam, sigma, kappa))
    for metric in wanted:
        at, efficient = tail_of(metric, "X_at_"), tail_of(metric, "efficiency_at_")
        if at is not None:
            out[metric] = methods.usl(at, lam, sigma, kappa)
        elif efficient is not None:
            out[metric] = methods.usl(efficient, lam, sigma, kappa) / (lam * efficient)
    return out


@formula("use-case value under shared contact capacity")
def contact_value(p: Values, wanted: Sequence[str]) -> Figures:
    """Optimum, shadow price, fair shares and last-in values."""
    value, most = p.numbers("value_per_contact", most=12), p.numbers("max_contacts", most=12)
    if len(value) != len(most):
        raise Unsupported("parameters value_per_contact, max_contacts: one each for a use case")
    return methods.contact_values(value, most, p.number("contact_capacity"))


@formula("OCBA allocation")
def allocation(p: Values, wanted: Sequence[str]) -> Figures:
    """Runs by optimal computing budget allocation."""
    if p.told.get("objective") != "largest mean":
        raise Unsupported("objective: largest mean only")
    means, sds = p.numbers("means", most=1000), p.numbers("sds", most=1000)
    if len(means) != len(sds):
        raise Unsupported("parameters means, sds: one each for an alternative")
    runs = methods.ocba(means, sds, p.rate("total_runs"))
    return {f"n_{i + 1}": n for i, n in enumerate(runs)}


@formula("MSER-5 truncation")
def warm_up(p: Values, wanted: Sequence[str]) -> Figures:
    """Truncation of a series that is given by its formula in words."""
    told = "x_i = 5.0+(10.0)*0.95**i+cos(2.399963229728653*i), i=0..n-1"
    if p.told.get("series") != told:
        raise Unsupported(f"series: only {told}")
    series = [5 + 10 * 0.95**i + math.cos(2.399963229728653 * i) for i in range(p.count("n"))]
    cut, mean = methods.mser(series, p.count("batch"))
    return {"truncated_batches": float(cut), "truncated_mean": mean}
