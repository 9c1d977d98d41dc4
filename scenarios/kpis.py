"""The headline figures of a run: `kpis.json` from summed tallies.

It owns the definition of every figure: what is divided by what, with which interval, and what is
null because it does not exist.  It must not know how a role counts, nor how a figure is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.messages import REASONS
from scenarios.estimates import Estimate, ratio, rounded, share
from scenarios.kpis_campaigns import CampaignInfo, campaigns, is_campaign, real_time
from scenarios.kpis_cases import CaseInfo, experiments, use_cases
from scenarios.kpis_centre import contact_centre
from scenarios.kpis_costs import costs
from scenarios.kpis_flags import red_flags
from scenarios.kpis_loyalty import QuestInfo, loyalty, quests
from scenarios.kpis_triggers import triggers
from scenarios.kpis_variants import variants
from sim.core.histogram import quantiles, share_below

Labels = Mapping[str, tuple[str, ...]]
Totals = Mapping[str, np.ndarray]

HOUR_MS = 3_600_000
PER_TICK = (
    "events", "outcomes", "intents", "channel_sent", "cells_congested", "cells_down", "rated",
)  # fmt: skip
"""Metrics whose `Recorder.series(PER_TICK)` is wanted."""
PER_HOUR = (
    "events", "cell_bytes", "cell_attempts", "cell_blocked", "cells_congested", "prb_util_q",
)  # fmt: skip
"""Metrics whose `Recorder.series(PER_HOUR, every_ms=HOUR_MS)` is wanted."""
UTIL_ONE = 1000
"""`prb_util_q` at full load."""
SATISFACTION_ONE = 65_535
STAGES = ("capture", "profile", "decide", "channel")
PROMISE_MS = 1_000
"""The promise: decided within a second."""


@dataclass(frozen=True)
class Context:
    """What the figures need to know of a run besides its counts.

    Attributes
    ----------
    sim_ms : simulated time, ms
    tick_s : tick, s
    start_hour : local hour of the start, 0..24
    subscribers, represents : simulated lines, and real ones that they stand for (0: the same)
    cells : radio cells
    currency : ISO 4217
    vat : value-added tax inside prices, share
    horizon_days : horizon of uplift and direct truth
    universal_control_percent : lines withheld from everything, percent
    a_a : contacts cannot move anybody: the engine is off, or every effect is 0
    use_cases, quests : name -> what the catalogue says of it
    prices, price_level : `CostParams` of the ledger (None: there is none), factor on all prices
    channel_scale : `full` where channels carry the traffic of `represents` lines, else `sample`
    """

    sim_ms: int
    tick_s: int
    subscribers: int
    cells: int
    start_hour: float = 0.0
    represents: int = 0
    currency: str = "RUB"
    vat: float = 0.0
    horizon_days: float = 0.0
    universal_control_percent: float = 0.0
    a_a: bool = False
    use_cases: Mapping[str, CaseInfo] = field(default_factory=dict)
    quests: Mapping[str, QuestInfo] = field(default_factory=dict)
    campaigns: Mapping[str, CampaignInfo] = field(default_factory=dict)
    prices: Any = None
    price_level: float = 1.0
    channel_scale: str = "sample"

    @property
    def days(self) -> float:
        """Return the simulated days."""
        return self.sim_ms / 86_400_000


def kpis(
    totals: Totals,
    labels: Labels,
    *,
    context: Context,
    stocks: Mapping[str, int],
    per_tick: Mapping[str, np.ndarray],
    per_hour: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Return the content of `kpis.json`; what is not known is None, never 0.

    Parameters
    ----------
    totals : metric -> counts summed over the run, as declared in `actors.metrics`
    labels : dimension -> labels
    stocks : what there is at the end, all optional: `active`, `suspended`, `churned`, `reserved`
        (lines), `active_start`, `control` (lines of the universal control), `satisfaction_sum_q`
        over `active` lines (65535 each at most), `main_minor`, `bonus_minor`, `debt_minor`; any
        further key is passed on
    per_tick, per_hour : `Recorder.series` of `PER_TICK` and, by `HOUR_MS`, of `PER_HOUR`
    """
    t = _Counts(totals, labels)
    charging = _charging(t, context, stocks)
    every = use_cases(totals, labels, infos=context.use_cases, horizon_days=context.horizon_days)
    cases = {name: case for name, case in every.items() if not is_campaign(name)}
    told = campaigns(
        totals, labels, infos=context.campaigns, cases=every, horizon_days=context.horizon_days
    )
    trials = experiments(
        totals, labels, cases=cases, infos=context.use_cases, horizon_days=context.horizon_days,
        service_revenue_minor=charging["service_revenue_minor"],
        universal_control_percent=context.universal_control_percent,
        control_lines=stocks.get("control"),
        a_a=context.a_a,
    )  # fmt: skip
    games = quests(totals, labels, context.quests)
    ledger = None
    if context.prices is not None:
        ledger = costs(
            totals, prices=context.prices, price_level=context.price_level, cases=every,
            infos=context.use_cases, games=games, added_minor=trials["true_margin_minor"],
            days=context.days, weight=(context.represents or context.subscribers)
            / context.subscribers,
        )  # fmt: skip
    out: dict[str, Any] = {
        "population": _population(t, context, stocks),
        "network": _network(t, context, per_tick, per_hour),
        "charging": charging,
        "funnel": _funnel(t, trials),
        "latency_ms": _latency(t),
        "use_cases": cases,
        "campaigns": told,
        "real_time": real_time(cases, told),
        "channels": _channels(t, context),
        "contact_centre": contact_centre(totals, labels),
        "quests": games,
        "loyalty": loyalty(totals, games, stocks),
        "geofences": _geofences(t),
        "triggers": triggers(totals, labels),
        "variants": variants(totals, labels, context.use_cases),
        "costs": ledger,
        "experiments": trials,
        "satisfaction": _satisfaction(t, stocks),
        "churn": _churn(t, context),
    }
    out["red_flags"] = red_flags(out)
    return out


class _Counts:
    """Sums of totals by metric and label."""

    def __init__(self, totals: Totals, labels: Labels) -> None:
        self.totals = totals
        self.labels = labels

    def all(self, name: str) -> int:
        return int(self.totals[name].sum())

    def by(self, name: str, dim: str) -> dict[str, int]:
        values = self.totals[name]
        return {label: int(values[i]) for i, label in enumerate(self.labels[dim])}

    def one(self, name: str, dim: str, label: str) -> int:
        return int(self.totals[name][self.labels[dim].index(label)])


def percentiles(counts: np.ndarray, *shares: float, scale: float = 1.0) -> dict[str, Any]:
    """Return `p50`, `p999` and so on of a histogram, in its unit / scale, and its `n`."""
    names = ["p" + f"{s * 100:g}".replace(".", "") for s in shares]
    values = [None if v is None else rounded(v / scale) for v in quantiles(counts, shares)]
    return {**dict(zip(names, values, strict=True)), "n": int(counts.sum())}


def rate(name: str, estimate: Estimate) -> dict[str, Any]:
    """Return a share under its name, with interval and n beside it."""
    return {
        name: rounded(estimate.value),
        f"{name}_low": rounded(estimate.low),
        f"{name}_high": rounded(estimate.high),
        f"{name}_n": estimate.n,
    }


def _population(t: _Counts, context: Context, stocks: Mapping[str, int]) -> dict[str, Any]:
    real = context.represents or context.subscribers
    return {
        "subscribers": context.subscribers,
        "represents": real,
        "weight": rounded(ratio(real, context.subscribers)),
        "scale": {"channels": context.channel_scale, "everything_else": "sample"},
        "active_start": stocks.get("active_start"),
        "active": stocks.get("active"),
        "suspended": stocks.get("suspended"),
        "joined": t.one("account_events", "account_kind", "joined"),
        "churned": t.one("account_events", "account_kind", "churned"),
        "days": rounded(context.days),
        "stocks": {key: int(value) for key, value in stocks.items()},
    }


def _network(
    t: _Counts,
    context: Context,
    per_tick: Mapping[str, np.ndarray],
    per_hour: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    hours, ticks = per_hour["events"], per_tick["events"]
    attempts, blocked = t.all("cell_attempts"), t.all("cell_blocked")
    out: dict[str, Any] = {
        "busy_hour": None, "busy_hour_start_ms": None, "busy_hour_events": None,
        "busy_hour_events_per_second": None, "peak_events_per_second": None,
        "cells": context.cells, "cells_congested": None, "cells_congested_peak": None,
        "cells_down_peak": None,
        "prb_util": percentiles(np.zeros(1, np.int64), 0.5, 0.95, 0.99),
    }  # fmt: skip
    if len(hours) and hours.max() > 0:
        busy = int(np.argmax(hours))
        start_ms = busy * HOUR_MS
        inside = (per_tick["ts_ms"] >= start_ms) & (per_tick["ts_ms"] < start_ms + HOUR_MS)
        congested = per_tick["cells_congested"]
        length_s = min(HOUR_MS, context.sim_ms - start_ms) / 1000
        out |= {
            "busy_hour": int(context.start_hour + busy) % 24,
            "busy_hour_start_ms": start_ms,
            "busy_hour_events": int(hours[busy]),
            "busy_hour_events_per_second": rounded(ratio(int(hours[busy]), length_s), 3),
            "peak_events_per_second": rounded(int(ticks.max()) / context.tick_s, 3),
            "cells_congested": rounded(ratio(int(congested[inside].sum()), int(inside.sum())), 3),
            "cells_congested_peak": int(congested.max()),
            "cells_down_peak": int(per_tick["cells_down"].max()),
            "prb_util": percentiles(per_hour["prb_util_q"][busy], 0.5, 0.95, 0.99, scale=UTIL_ONE),
        }
    return {
        **out,
        "prb_util_whole_run": percentiles(t.totals["prb_util_q"], 0.5, 0.95, 0.99, scale=UTIL_ONE),
        **rate("blocked_share", share(blocked, attempts)),
        "bytes": t.all("cell_bytes"),
        "voice_s": t.all("cell_voice_s"),
        "events_by_kind": t.by("events", "activity_kind"),
        "peak_decisions_per_second": _peak(per_tick, "outcomes", context),
        "peak_messages_per_second": _peak(per_tick, "channel_sent", context),
        "peak_rated_per_second": _peak(per_tick, "rated", context),
    }


def _peak(per_tick: Mapping[str, np.ndarray], name: str, context: Context) -> float | None:
    values = per_tick[name]
    return rounded(int(values.max()) / context.tick_s, 3) if len(values) else None


def _charging(t: _Counts, context: Context, stocks: Mapping[str, int]) -> dict[str, Any]:
    results = t.by("rated", "result")
    main = {
        name: t.all(f"main_out_{name}_minor")
        for name in ("usage", "fee", "purchase", "credit_fee", "repaid")
    }
    service = sum(main[name] for name in ("usage", "fee", "purchase", "credit_fee"))
    net = round(service * (1 - context.vat))
    line_days = context.subscribers * context.days
    recharges = t.all("recharges")
    return {
        "currency": context.currency,
        "rated": sum(results.values()),
        "results": results,
        **rate("denied_share", share(results["denied"], sum(results.values()))),
        "recharges": recharges,
        "recharge_minor": t.all("main_in_recharge_minor"),
        "recharge_mean_minor": _whole(ratio(t.all("main_in_recharge_minor"), recharges)),
        "usage_minor": main["usage"],
        "usage_by_group_minor": t.by("charged_minor", "rating_group"),
        "fees_minor": main["fee"],
        "purchases_minor": main["purchase"],
        "purchases": t.all("purchases") + t.all("purchases_organic"),
        "purchases_failed": t.all("purchases_failed"),
        "organic_minor": t.all("organic_minor"),
        "credit_lent_minor": t.all("main_in_credit_minor"),
        "credit_fee_minor": main["credit_fee"],
        "credit_repaid_minor": main["repaid"],
        "bills_paid_minor": t.all("main_bill_paid_minor"),
        "bonus_in_minor": t.all("bonus_in_minor"),
        "bonus_used_minor": t.all("bonus_out_usage_minor"),
        "bonus_expired_minor": t.all("bonus_out_expired_minor"),
        "bonus_cancelled_minor": t.all("bonus_out_cancelled_minor"),
        "service_revenue_minor": net,
        "arpu_minor_per_30_days": _whole(ratio(net * 30, line_days)),
        "main_balance_minor": stocks.get("main_minor"),
        "bonus_balance_minor": stocks.get("bonus_minor"),
        "debt_minor": stocks.get("debt_minor"),
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _funnel(t: _Counts, trials: Mapping[str, Any]) -> dict[str, Any]:
    ended = t.totals["outcomes"].sum(axis=0)
    by_reason = {reason: int(ended[i]) for i, reason in enumerate(REASONS)}
    intended = by_reason.pop("intended")
    return {
        "events": t.all("events"),
        "trigger_hits": t.all("trigger_hits"),
        "eligible": t.all("eligible_decisions"),
        "allowed": t.all("allowed_decisions"),
        "won": intended + by_reason["holdout"] + by_reason["switched_off"],
        "intended": intended,
        "sent": t.all("sent_by_case"),
        "delivered": t.all("delivered_by_case"),
        "seen": t.all("seen"),
        "accepted": t.all("accepted"),
        "incremental": trials["incremental"]["value"],
        "incremental_low": trials["incremental"]["low"],
        "incremental_high": trials["incremental"]["high"],
        "incremental_n": trials["incremental"]["n"],
        "suppressed": by_reason,
        "hits_by_trigger": t.by("trigger_hits", "trigger"),
        "opted_out": t.all("opted_out"),
        "timeouts": t.all("timeouts"),
        "rows_seen": t.all("rows_seen"),
        "rows_lost": t.all("rows_lost"),
        "rows_late": t.all("rows_late"),
        "rows_too_late": t.all("rows_too_late"),
        "rows_twice": t.all("rows_twice"),
    }


def _latency(t: _Counts) -> dict[str, Any]:
    return {
        name: {
            **percentiles(t.totals[f"latency_{name}_ms"], 0.5, 0.95, 0.99, 0.999),
            "share_under_1s": rounded(share_below(t.totals[f"latency_{name}_ms"], PROMISE_MS)),
        }
        for name in ("decision", "event_to_send", *STAGES)
    }


def _channels(t: _Counts, context: Context) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for i, name in enumerate(t.labels["channel"]):
        n = {
            key: int(t.totals[f"channel_{key}"][i])
            for key in ("offered", "sent", "delivered", "failed", "expired", "dropped")
        }
        out[name] = {
            "offered": n["offered"],
            "admitted": n["sent"],
            "expired": n["expired"],
            "dropped": n["dropped"],
            "delivered": n["delivered"],
            "failed": n["failed"],
            "waiting": n["offered"] - n["sent"] - n["expired"] - n["dropped"],
            "placed": int(t.totals["channel_placed"][i]),
            "visits": int(t.totals["channel_visits"][i]),
            "presence_ms": percentiles(t.totals["channel_presence_ms"][i], 0.5, 0.99),
            "queue_ms": percentiles(t.totals["channel_queue_ms"][i], 0.5, 0.99),
            "utilisation": rounded(
                ratio(int(t.totals["channel_busy_us"][i]), context.sim_ms * 1000)
            ),
            "cost_minor": int(t.totals["channel_cost_minor"][i]),
            "price_minor": _whole(
                ratio(int(t.totals["price_hours_q"][i]) / 64, context.sim_ms / HOUR_MS)
            ),
        }
    return out


def _geofences(t: _Counts) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for i, name in enumerate(t.labels["fence"]):
        dwells, found, true = (
            int(t.totals[f"fence_{key}"][i]) for key in ("dwells", "detections", "true_detections")
        )
        delay_s = int(t.totals["fence_delay_s"][i])
        out[name] = {
            "enters": int(t.totals["fence_enters"][i]),
            "dwells": dwells,
            "exits": int(t.totals["fence_exits"][i]),
            "detected": found,
            "detected_true": true,
            **rate("precision", share(min(true, found), found)),
            # A stay may be believed twice: recall is of stays, so it is cut at one.
            **rate("recall", share(min(true, dwells), dwells)),
            "delay_s": rounded(ratio(delay_s, true), 1),
            "delay_s_n": true,
            "believed_enters": int(t.totals["fence_believed_enters"][i]),
            "believed_exits": int(t.totals["fence_believed_exits"][i]),
        }
    return out


def _satisfaction(t: _Counts, stocks: Mapping[str, int]) -> dict[str, Any]:
    total, n = stocks.get("satisfaction_sum_q"), stocks.get("active")
    mean = None if total is None or not n else total / n / SATISFACTION_ONE
    return {
        "mean": rounded(mean),
        "n": n,
        "moved_by_use_cases": rounded(t.all("wow_q") / 1000, 3),
        "blocked_uses": t.all("blocked"),
    }


def _churn(t: _Counts, context: Context) -> dict[str, Any]:
    left, n = t.all("left"), context.subscribers
    month = 30 / context.days if context.days else None
    shares = {
        key: value if key.endswith("_n") else None if month is None else rounded(value * month)
        for key, value in rate("left_per_month", share(left, n)).items()
    }
    return {
        "left": left,
        "fell_silent": t.all("fell_silent"),
        "recognised": t.one("account_events", "account_kind", "churned"),
        **shares,
    }
