"""Headline figures of use cases and of their experiments.

It owns the funnel of one use case, its money, its uplift against the local holdout beside the
direct truth, and the joint figures of all of them.  It must not know how a winner is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.messages import REASONS
from actors.metrics import ARMS
from scenarios.estimates import (
    Estimate,
    Sums,
    Z,
    difference_of_means,
    difference_of_shares,
    ratio,
    rounded,
    share,
    two_sided_p,
)
from scenarios.kpis_flags import BREACHES

SQUARE_SCALE = 256
"""`exp_y2` is the sum of (y // 16) squared."""
PER = 1_000
"""Uplift is per so many winners."""
WINNERS = ("intended", "holdout", "switched_off")
"""Where a winner of arbitration may end; `switched_off` occurs in paired proofs alone."""
ALLOWED = (*WINNERS, "lost_arbitration", "no_gain", "priced_out", "timed_out")
TREATED, WITHHELD = ARMS.index("treated"), ARMS.index("withheld")


@dataclass(frozen=True)
class CaseInfo:
    """What the catalogue says of a use case.

    Attributes
    ----------
    group : billing, geo, traffic or retention
    title : what a person reads
    service : service message, exempt from caps and consent
    revenue_share : our part of its price, without VAT (a coupon earns a commission)
    unit_cost_minor : cost of delivering it once
    saved_minor : what an acceptance saves or keeps for us besides its price
    buys : an acceptance is a purchase
    initiative, branch : which of the 21 initiatives it is, and which branch; empty: none
    local_percent : winners withheld, percent
    person_months : work that it takes after the foundation; None: not stated
    test, arm : test of variants and its arm; empty: none
    """

    group: str
    title: str = ""
    service: bool = False
    revenue_share: float = 1.0
    unit_cost_minor: int = 0
    saved_minor: int = 0
    buys: bool = True
    initiative: str = ""
    branch: str = ""
    local_percent: float = 10.0
    person_months: float | None = None
    test: str = ""
    arm: int = 0


def use_cases(
    totals: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    *,
    infos: Mapping[str, CaseInfo],
    horizon_days: float,
) -> dict[str, Any]:
    """Return `use_cases` of kpis.json: name -> funnel, money, uplift, truth, conversion, wow.

    `trigger_hits`, where the funnel begins, are `own_hits` of its trigger and `inbound_openings`,
    decisions for the screen of an agent whom the customer called.
    """
    return {
        name: _case(totals, i, infos.get(name, CaseInfo(group="")), horizon_days)
        for i, name in enumerate(labels["use_case"])
    }


def _case(
    totals: Mapping[str, np.ndarray], i: int, info: CaseInfo, horizon_days: float
) -> dict[str, Any]:
    def count(name: str) -> int:
        return int(totals[name][i])

    ended = {reason: int(totals["decisions"][i, r]) for r, reason in enumerate(REASONS)}
    hits = sum(ended.values())
    eligible = hits - ended["not_eligible"]
    bought = count("purchases")
    revenue = round(count("purchase_minor") * info.revenue_share)
    cost = count("contact_cost_minor") + count("reward_minor") + bought * info.unit_cost_minor
    saved = (bought if info.buys else count("accepted")) * info.saved_minor
    conversion = _conversion(totals, i)
    return {
        "group": info.group,
        "initiative": info.initiative,
        "branch": info.branch,
        "title": info.title,
        "service": info.service,
        "trigger_hits": hits,
        "own_hits": hits - count("screen_candidates"),
        "inbound_openings": count("screen_candidates"),
        "eligible": eligible,
        "allowed": sum(ended[r] for r in ALLOWED),
        "won": sum(ended[r] for r in WINNERS),
        "intended": ended["intended"],
        "sent": count("sent_by_case"),
        "delivered": count("delivered_by_case"),
        "seen": count("seen"),
        "clicked": count("clicked"),
        "accepted": count("accepted"),
        "replied": count("replied"),
        "incremental": _incremental(conversion),
        "suppressed": {r: n for r, n in ended.items() if r != "intended"},
        "opted_out": count("opted_out"),
        "purchases": bought,
        "revenue_minor": revenue,
        "cost_minor": cost,
        "saved_minor": saved,
        "margin_minor": revenue + saved - cost,
        "ghosts": count("ghosts"),
        "uplift": _uplift(totals, i, horizon_days),
        "true_uplift": _true_uplift(totals, i),
        "true_uplift_n": count("truth_n"),
        "conversion": conversion,
        "true_conversion": _true_conversion(totals, i),
        "acceptance": _acceptance(totals, i),
        "anyway": {
            "n": count("truth_anyway"),
            "of": count("truth_yes"),
            "margin_minor": count("truth_anyway_minor"),
        },
        "wow": rounded(ratio(count("wow_q"), eligible), 6),
        "wow_n": eligible,
    }


def arm(totals: Mapping[str, np.ndarray], i: int, which: int) -> Sums:
    """Return count, sum and sum of squares of the margin of one arm of one use case."""
    return Sums(
        n=int(totals["exp_n"][i, which]),
        total=int(totals["exp_y_minor"][i, which]),
        squares=int(totals["exp_y2"][i, which]) * SQUARE_SCALE,
    )


def _uplift(totals: Mapping[str, np.ndarray], i: int, horizon_days: float) -> dict[str, Any]:
    treated, withheld = arm(totals, i, TREATED), arm(totals, i, WITHHELD)
    found = difference_of_means(treated, withheld)
    return {
        "value": rounded(_times(found.value, PER), 3),
        "low": rounded(_times(found.low, PER), 3),
        "high": rounded(_times(found.high, PER), 3),
        "detectable": rounded(_times(found.detectable, PER), 3),
        "n": found.n,
        "n_treated": treated.n,
        "n_withheld": withheld.n,
        "horizon_days": horizon_days,
        "verdict": found.verdict,
    }


def _true_uplift(totals: Mapping[str, np.ndarray], i: int) -> float | None:
    gained = int(totals["truth_y1_minor"][i]) - int(totals["truth_y0_minor"][i])
    return rounded(_times(ratio(gained, int(totals["truth_n"][i])), PER), 3)


def _conversion(totals: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
    bought, n = totals["exp_bought"][i], totals["exp_n"][i]
    treated = share(int(bought[TREATED]), int(n[TREATED]))
    control = share(int(bought[WITHHELD]), int(n[WITHHELD]))
    gap = difference_of_shares(
        int(bought[TREATED]), int(n[TREATED]), int(bought[WITHHELD]), int(n[WITHHELD])
    )
    return {
        "treated": rounded(treated.value),
        "control": rounded(control.value),
        "difference": rounded(gap.value),
        "low": rounded(gap.low),
        "high": rounded(gap.high),
        "n_treated": treated.n,
        "n_control": control.n,
        "treated_low": rounded(treated.low),
        "treated_high": rounded(treated.high),
        "control_low": rounded(control.low),
        "control_high": rounded(control.high),
    }


def _true_conversion(totals: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
    n = int(totals["truth_n"][i])
    return {
        "with": rounded(ratio(int(totals["truth_bought1"][i]), n)),
        "without": rounded(ratio(int(totals["truth_bought0"][i]), n)),
        "n": n,
    }


def _acceptance(totals: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
    """Return the chance of acceptance of a delivered message: believed, observed, and the truth.

    Believed and observed are of the same trials: the belief is that at delivery.
    """
    n = int(totals["trials_settled"][i])
    observed = share(int(totals["trials_accepted"][i]), n)
    told = int(totals["truth_told"][i])
    believed = ratio(int(totals["trials_believed_q"][i]), n)
    return {
        "believed": None if believed is None else rounded(believed / 65_536),
        "observed": rounded(observed.value),
        "low": rounded(observed.low),
        "high": rounded(observed.high),
        "n": n,
        "true": rounded(ratio(int(totals["truth_yes"][i]), told)),
        "true_n": told,
    }


def _incremental(conversion: Mapping[str, Any]) -> float | None:
    """Return buyers that the contacts added among the treated: difference x treated."""
    gap = conversion["difference"]
    return None if gap is None else round(gap * conversion["n_treated"], 3)


def experiments(
    totals: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    *,
    cases: Mapping[str, Any],
    infos: Mapping[str, CaseInfo],
    horizon_days: float,
    service_revenue_minor: int,
    universal_control_percent: float,
    control_lines: int | None,
    a_a: bool = False,
) -> dict[str, Any]:
    """Return `experiments` of kpis.json: the health of the control groups and the joint sums."""
    local = _local_sum(totals)
    joint = _joint(totals)
    lines = [int(n) for n in totals["joint_n"]]
    control_p = two_sided_p(lines[WITHHELD], sum(lines), universal_control_percent / 100)
    gained = int(totals["truth_y1_minor"].sum()) - int(totals["truth_y0_minor"].sum())
    verdicts = [case["uplift"]["verdict"] for case in cases.values()]
    return {
        "estimand": "mean margin within the horizon, treated winners minus winners withheld by the "
        "local holdout (holdout: withhold)",
        "horizon_days": horizon_days,
        "universal_control_percent": universal_control_percent,
        "universal_control_lines": control_lines,
        "control_contacts": int(totals["control_contacts"].sum()),
        **{name: int(totals[name].sum()) for name in BREACHES},
        "verdicts": {word: verdicts.count(word) for word in sorted(set(verdicts))},
        "arms": {
            name: _arms(totals, i, infos.get(name, CaseInfo(group="")))
            for i, name in enumerate(labels["use_case"])
            if name in cases
        },
        "incremental": _joint_conversion(totals),
        "local_margin_minor": local,
        "local_margin_share_of_revenue": rounded(
            None if local["value"] is None else ratio(local["value"], service_revenue_minor)
        ),
        "joint_margin_minor": joint,
        "joint_margin_share_of_revenue": rounded(
            None if joint["value"] is None else ratio(joint["value"], service_revenue_minor)
        ),
        "lots": _lots(totals, labels["lot"]),
        "control_share": rounded(ratio(lines[WITHHELD], sum(lines))),
        "control_share_p": None if control_p is None else float(f"{control_p:.3g}"),
        "contact_spending_minor": int(totals["contact_cost_minor"].sum())
        + int(totals["reward_minor"].sum()),
        "a_a": a_a,
        "true_margin_minor": gained if int(totals["truth_n"].sum()) else None,
        "true_margin_n": int(totals["truth_n"].sum()),
        "anyway": {
            "n": int(totals["truth_anyway"].sum()),
            "of": int(totals["truth_yes"].sum()),
            "margin_minor": int(totals["truth_anyway_minor"].sum()),
        },
    }


def _arms(totals: Mapping[str, np.ndarray], i: int, info: CaseInfo) -> dict[str, Any]:
    opened = [int(v) for v in totals["exp_opened"][i]]
    ended = [int(v) for v in totals["exp_n"][i]]
    p = two_sided_p(opened[WITHHELD], sum(opened), info.local_percent / 100)
    return {
        "opened_treated": opened[TREATED],
        "opened_withheld": opened[WITHHELD],
        "ended_treated": ended[TREATED],
        "ended_withheld": ended[WITHHELD],
        "withheld_share": rounded(ratio(opened[WITHHELD], sum(opened))),
        "withheld_share_n": sum(opened),
        "withheld_share_expected": info.local_percent / 100,
        "sample_ratio_p": None if p is None else float(f"{p:.3g}"),
    }


def _local_sum(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the sum of local effects over the treated, minor units: not the joint value."""
    parts = [(arm(totals, i, TREATED), arm(totals, i, WITHHELD))
             for i in range(len(totals["exp_n"]))]  # fmt: skip
    known = [(a, difference_of_means(a, b)) for a, b in parts if a.n > 1 and b.n > 1]
    value = sum(a.n * e.value for a, e in known if e.value is not None)
    half = math.sqrt(sum((a.n * (e.high - e.low) / 2) ** 2 for a, e in known
                         if e.high is not None and e.low is not None))  # fmt: skip
    if not known:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {
        "value": round(value),
        "low": round(value - half),
        "high": round(value + half),
        "n": sum(e.n for _, e in known),
    }


def _joint(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what all contacts added to the lines outside the universal control, minor units.

    The margin of the run of a line outside, less that of one inside, times the lines outside.
    """
    out, inside = (
        Sums(int(totals["joint_n"][k]), int(totals["joint_y_minor"][k]),
             int(totals["joint_y2"][k]) * SQUARE_SCALE)
        for k in (TREATED, WITHHELD)
    )  # fmt: skip
    found = difference_of_means(out, inside)
    if found.value is None or found.low is None or found.high is None:
        return {"value": None, "low": None, "high": None, "n": found.n, "n_control": inside.n}
    return {
        "value": round(found.value * out.n),
        "low": round(found.low * out.n),
        "high": round(found.high * out.n),
        "n": found.n,
        "n_control": inside.n,
    }


def _lots(totals: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what 1,000 lines of each lot earned, and how much more than those of the first."""
    if len(names) < 2:
        return {}
    sums = [
        Sums(int(totals["lot_n"][k]), int(totals["lot_y_minor"][k]),
             int(totals["lot_y2"][k]) * SQUARE_SCALE)
        for k in range(len(names))
    ]  # fmt: skip
    out: dict[str, Any] = {}
    for name, mine in zip(names, sums, strict=True):
        found = difference_of_means(mine, sums[0])
        ends = (found.value, found.low, found.high) if mine is not sums[0] else (None,) * 3
        value, low, high = (rounded(None if x is None else x * 1_000, 1) for x in ends)
        out[name] = {
            "lines": mine.n,
            "margin_minor_1000": rounded(mine.mean * 1_000, 1) if mine.n else None,
            "over_first": {"value": value, "low": low, "high": high, "n": found.n},
        }
    return out


def _joint_conversion(totals: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the buyers that the contacts added over all use cases, with a normal interval."""
    value = variance = 0.0
    n_all = 0
    for bought, n in zip(totals["exp_bought"], totals["exp_n"], strict=True):
        treated, control = int(n[TREATED]), int(n[WITHHELD])
        if not treated or not control:
            continue
        p1, p0 = int(bought[TREATED]) / treated, int(bought[WITHHELD]) / control
        value += treated * (p1 - p0)
        variance += treated * p1 * (1 - p1) + treated**2 * p0 * (1 - p0) / control
        n_all += treated + control
    if not n_all:
        return {"value": None, "low": None, "high": None, "n": 0}
    half = Z * math.sqrt(variance)
    found = Estimate(value, value - half, value + half, n_all)
    return {"value": rounded(found.value, 1), "low": rounded(found.low, 1),
            "high": rounded(found.high, 1), "n": n_all}  # fmt: skip


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
