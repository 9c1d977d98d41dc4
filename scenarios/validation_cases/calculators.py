"""Formulas of queues by the words of a case file: single queues, pools, losses, priorities.

It owns the translation of parameters and metrics; the mathematics stands in `sim.queueing`.  It
must not simulate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scenarios.validation_cases.registry import (
    Unsupported,
    Values,
    formula,
    quantile_of,
    tail_of,
)
from scenarios.validation_cases.table import Value
from sim.queueing import chains, erlang, formulas
from sim.queueing.laws import Law

Figures = Mapping[str, Value]


def stay_quantiles(pool: erlang.Waiting, wanted: Sequence[str]) -> dict[str, Value]:
    """Return the wanted quantiles of wait and service together."""
    scale = 1 / pool.service_rate
    return {
        metric: formulas.quantile(pool.stays_longer, share, scale)
        for metric in wanted
        if metric.endswith("_T") and (share := quantile_of(metric)) is not None
    }


def _pool(p: Values) -> erlang.Waiting:
    return erlang.Waiting(p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers", 1))


@formula("M/M/1")
@formula("M/M/c")
def pool(p: Values, wanted: Sequence[str]) -> Figures:
    """Erlang C."""
    q = _pool(p)
    out: dict[str, Value] = {
        "rho": q.load,
        "util": q.load,
        "P_wait": q.wait_probability,
        "Wq": q.wait_mean,
        "W": q.wait_mean + 1 / q.service_rate,
        "Lq": q.arrival_rate * q.wait_mean,
        "L": q.arrival_rate * q.wait_mean + q.offered,
    }
    if "T" in p.told:
        out["SL_T"] = q.within(p.number("T"))
        out["P_T_gt"] = q.stays_longer(p.number("T"))
    return out | stay_quantiles(q, wanted)


@formula("M/M/c unstable")
def overloaded(p: Values, wanted: Sequence[str]) -> Figures:
    """A pool below its load."""
    q = _pool(p)
    growth = max(-q.spare_rate, 0.0)
    return {
        "stable": float(q.load < 1),
        "rho": q.load,
        "backlog_growth_per_time": growth,
        "backlog_after_15min": 900 * growth,
        "min_servers_stable": float(erlang.first_stable(q.offered)),
    }


def impatient(q: erlang.Impatient, target: float | None) -> dict[str, Value]:
    """Return the figures of Erlang A."""
    out: dict[str, Value] = {
        "P_wait": q.wait_probability,
        "P_ab": q.abandoned,
        "Lq": q.queue_mean,
        "W_served": q.wait_served,
        "W_all": q.wait_all,
        "occupancy": q.occupancy,
    }
    return out if target is None else out | {"SL_T": q.within(target)}


@formula("M/M/c+M")
def erlang_a(p: Values, wanted: Sequence[str]) -> Figures:
    """Erlang A."""
    q = erlang.Impatient(
        p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers"),
        abandonment_rate=p.rate("abandonment_rate"),
    )  # fmt: skip
    return impatient(q, p.number("T") if "T" in p.told else None)


@formula("call centre Erlang A")
def centre_a(p: Values, wanted: Sequence[str]) -> Figures:
    """Erlang A of a contact centre, in seconds."""
    q = erlang.Impatient(
        p.rate("arrival_rate_per_s"), 1 / p.rate("aht_s"), p.count("agents"),
        abandonment_rate=1 / p.rate("mean_patience_s"),
    )  # fmt: skip
    return impatient(q, p.number("T") if "T" in p.told else None)


def centre_staff(p: Values) -> erlang.Waiting:
    """Return the smallest pool that meets the target of a contact centre, in seconds."""
    rate = p.rate("contacts_per_day") * p.rate("busy_hour_share") / 3600
    mu = 1 / p.rate("aht_s")
    share = p.rate("target_SL")
    if share >= 1:
        raise Unsupported("parameter target_SL: below 1")
    agents = erlang.agents_for(rate, mu, share=share, target=p.number("target_s"))
    return erlang.Waiting(rate, mu, agents)


@formula("call centre Erlang C staffing")
def centre_c(p: Values, wanted: Sequence[str]) -> Figures:
    """Fewest agents, and what callers then meet."""
    q = centre_staff(p)
    return {
        "offered_erlangs": q.offered,
        "min_agents_80_20": float(q.servers),
        "SL_at_min": q.within(p.number("target_s")),
        "P_wait_at_min": q.wait_probability,
        "Wq_at_min_s": q.wait_mean,
        "occupancy_at_min": q.load,
    }


@formula("call centre overload regime")
def centre_overload(p: Values, wanted: Sequence[str]) -> Figures:
    """The load cut that moves a wait, many-server limit."""
    patience = p.rate("mean_patience_s")
    before = erlang.overload_for(p.number("wait_before_s"), patience)
    after = erlang.overload_for(p.number("wait_after_s"), patience)
    return {
        "rho_before": before,
        "rho_after": after,
        "load_reduction": 1 - after / before,
        "P_ab_before": 1 - 1 / before,
        "P_ab_after": 1 - 1 / after,
    }


@formula("volume arithmetic")
def volumes(p: Values, wanted: Sequence[str]) -> Figures:
    """Contacts of a day and a month, and the seats of outbound calls."""
    daily = p.rate("contacts_per_day") * p.rate("days")
    hours = p.rate("outbound_days") * p.rate("outbound_hours_per_day")
    per_hour = p.rate("outbound_per_month") / hours
    offered = per_hour * p.rate("outbound_aht_s") / 3600
    return {
        "monthly_from_daily": daily,
        "ratio_month_to_daily": p.rate("contacts_per_month") / daily,
        "outbound_per_hour": per_hour,
        "outbound_erlangs": offered,
        "outbound_seats": float(math.ceil(offered / p.rate("max_occupancy") - 1e-9)),
    }


def _loss(offered: float, servers: int) -> Figures:
    lost = erlang.erlang_b(servers, offered)
    return {"P_block": lost, "util": offered * (1 - lost) / servers}


@formula("M/M/c/c (Erlang B)")
def loss(p: Values, wanted: Sequence[str]) -> Figures:
    """Erlang B."""
    return _loss(p.rate("offered_erlangs"), p.count("servers"))


@formula("M/G/c/c (insensitivity)")
def any_loss(p: Values, wanted: Sequence[str]) -> Figures:
    """Erlang B, which does not depend on the law of service."""
    return _loss(p.rate("arrival_rate") * p.law("service").mean, p.count("servers"))


@formula("Erlang B dimensioning")
def loss_lines(p: Values, wanted: Sequence[str]) -> Figures:
    """Fewest lines for a loss."""
    lines = erlang.lines_for(p.rate("offered_erlangs"), p.rate("max_blocking"))
    return {"min_servers": float(lines)}


@formula("M/M/c/K")
def limited(p: Values, wanted: Sequence[str]) -> Figures:
    """A waiting room with a limit."""
    q = chains.Limited(
        p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers"),
        p.count("capacity_in_system"),
    )  # fmt: skip
    return {
        "P_block": q.lost,
        "throughput": q.throughput,
        "Lq": q.queue_mean,
        "Wq_acc": q.queue_mean / q.throughput,
    }


@formula("M/G/1")
def any_service(p: Values, wanted: Sequence[str]) -> Figures:
    """Pollaczek and Khinchine."""
    if p.count("servers", 1) != 1:
        raise Unsupported("one server only")
    rate, law = p.rate("arrival_rate"), p.law("service")
    wait, spread = formulas.any_service_wait(rate, law)
    stay = wait + law.mean
    return {
        "rho": rate * law.mean,
        "Wq": wait,
        "W": stay,
        "Lq": rate * wait,
        "L": rate * stay,
        "sd_Wq": spread,
    }


@formula("M/D/1 waiting-time tail")
@formula("M/D/c")
def constant_service(p: Values, wanted: Sequence[str]) -> Figures:
    """Crommelin's queue."""
    law = p.law("service")
    if law.kind != "det":
        raise Unsupported("constant service only")
    servers = p.count("servers", 1, most=200)
    q = chains.ConstantService(p.rate("arrival_rate"), law.mean, servers)
    out: dict[str, Value] = {
        "rho": p.rate("arrival_rate") * law.mean / servers,
        "P_wait": q.wait_probability,
        "Wq": q.wait_mean,
    }
    for metric in wanted:
        x, share = tail_of(metric, "P_Wq_gt_"), quantile_of(metric)
        if x is not None:
            out[metric] = q.waits_longer(x)
        elif share is not None and metric.endswith("_Wq"):
            out[metric] = formulas.quantile(q.waits_longer, share, law.mean)
    return out


def batch_sizes(p: Values) -> dict[int, float]:
    """Return batch size -> probability."""
    told = p.told.get("batch_pmf")
    try:
        sizes = {int(n): float(share) for n, share in told.items()}  # type: ignore[union-attr]  # checked by the exception
    except (AttributeError, TypeError, ValueError):
        raise Unsupported("parameter batch_pmf: sizes and their shares are needed") from None
    if not sizes or min(sizes) < 1 or max(sizes) > 10_000 or abs(sum(sizes.values()) - 1) > 1e-9:
        raise Unsupported("parameter batch_pmf: shares of sizes from 1 to 10,000 that sum to 1")
    return sizes


@formula("M^X/M/1")
def batches(p: Values, wanted: Sequence[str]) -> Figures:
    """Arrivals in batches."""
    sizes, mu = batch_sizes(p), p.rate("service_rate")
    rate = p.rate("batch_rate") * sum(n * share for n, share in sizes.items())
    inside = formulas.batch_in_system(p.rate("batch_rate"), sizes, mu)
    stay = inside / rate
    return {"rho": rate / mu, "Wq": stay - 1 / mu, "W": stay, "L": inside}


def _by_class(name: str, values: Sequence[float]) -> dict[str, Value]:
    return {f"{name}_{i + 1}": value for i, value in enumerate(values)}


@formula("M/M/1 non-preemptive priority")
@formula("M/M/c non-preemptive priority")
def classes(p: Values, wanted: Sequence[str]) -> Figures:
    """Cobham's pool."""
    mu = p.rate("service_rate")
    waits = formulas.priority_pool_waits(p.numbers("arrival_rates"), mu, p.count("servers", 1))
    return _by_class("Wq", waits) | _by_class("W", [wait + 1 / mu for wait in waits])


@formula("M/G/1 non-preemptive priority")
def any_classes(p: Values, wanted: Sequence[str]) -> Figures:
    """Cobham's queue with a law of service for each class."""
    laws = service_laws(p)
    waits = formulas.priority_waits(p.numbers("arrival_rates"), laws)
    stays = [wait + law.mean for wait, law in zip(waits, laws, strict=True)]
    return _by_class("Wq", waits) | _by_class("W", stays)


def service_laws(p: Values) -> list[Law]:
    """Return the law of service of each class."""
    told = p.told.get("services")
    if not isinstance(told, list) or len(told) != len(p.numbers("arrival_rates")):
        raise Unsupported("parameter services: one law for each class")
    try:
        return [Law.of(item) for item in told]
    except (ValueError, TypeError, AttributeError) as error:
        raise Unsupported(f"parameter services: {error}") from None


@formula("M/M/1 preemptive-resume priority")
def pushed_aside(p: Values, wanted: Sequence[str]) -> Figures:
    """Preemption: a class does not feel those below it."""
    return _by_class(
        "W", formulas.preemptive_stays(p.numbers("arrival_rates"), p.rate("service_rate"))
    )


@formula("GI/M/1")
def any_arrivals(p: Values, wanted: Sequence[str]) -> Figures:
    """The root of Kendall's equation."""
    mu = p.rate("service_rate")
    waits = formulas.any_arrival_root(p.law("interarrival"), mu)
    rate = mu * (1 - waits)
    out: dict[str, Value] = {"P_wait": waits, "Wq": waits / rate, "W": 1 / rate}
    for metric in wanted:
        share = quantile_of(metric)
        if share is not None and metric.endswith("_T"):
            out[metric] = -math.log(1 - share) / rate
    return out


@formula("G/G/c approximation")
def approximations(p: Values, wanted: Sequence[str]) -> Figures:
    """Approximations by two moments; not exact, and told apart in reports."""
    lam, mu, c = p.rate("arrival_rate"), p.rate("service_rate"), p.count("servers", 1)
    ca2, cs2 = p.number("ca2"), p.number("cs2")
    out: dict[str, Value] = {
        "Wq_VUT_Sakasegawa": formulas.sakasegawa_wait(lam / (c * mu), c, 1 / mu, ca2, cs2),
        "Wq_Allen_Cunneen": formulas.allen_cunneen_wait(lam, mu, c, ca2, cs2),
    }
    if c == 1:
        out["Wq_Kingman_upper_bound"] = formulas.kingman_bound(lam, mu, ca2, cs2)
    return out
