"""Red flags: what a run must say against itself (`truth.md`, law 7, as far as one run can tell).

It owns the limits and the sentences.  It must not know how a figure was made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.estimates import Z

MARGIN_SHARE = (0.003, 0.03)
"""Joint margin of the programme over service revenue that is believable (assumption)."""
WINNING_SHARE = 15 / 21
"""Share of use cases that may win before it is too good to be true."""
BREACHES = {
    "cap_breaches": "past a contact cap",
    "list_breaches": "to lines without consent or on a black, grey or red list",
    "quiet_breaches": "out as marketing in quiet hours",
    "owned_breaches": "out for what the line owned",
    "repeat_breaches": "past a limit on repeats",
    "campaign_breaches": "against the rules of participation of a campaign",
}
"""Counters of broken rules of contact, and how to say it."""
INBOUND = "inbound"
"""The rule of an agent's screen, which waits for a call and is no trigger."""
RATIO_P = 1e-6
"""A split of arms less likely than this is broken."""
SAME = 0.01
"""Two estimates of different things that differ by less than this share are no coincidence."""
DRIFT_Z = 5.0
"""Standard errors by which two arms may differ where contacts cannot move anybody."""
RANKED_MIN = 5
"""Use cases below which a rank says nothing."""


def red_flags(kpis: Mapping[str, Any]) -> list[str]:
    """Return one sentence, with its numbers, for each thing that a reader must not overlook."""
    return [
        *_broken_rules(kpis), *_too_good(kpis), *_joint(kpis), *_drift(kpis), *_splits(kpis),
        *_funnel(kpis), *_silent(kpis), *_truth(kpis),
    ]  # fmt: skip


def _broken_rules(kpis: Mapping[str, Any]) -> list[str]:
    trials = kpis["experiments"]
    out = []
    if trials["control_contacts"]:
        out.append(
            f"{trials['control_contacts']:,} messages went to lines of the universal control "
            "(must be 0): every comparison with it is spoilt."
        )
    out += [
        f"{trials[name]:,} messages went {words} (must be 0)."
        for name, words in BREACHES.items()
        if trials[name]
    ]
    return out


def _too_good(kpis: Mapping[str, Any]) -> list[str]:
    trials = kpis["experiments"]
    out = []
    part = trials["local_margin_share_of_revenue"]
    low, high = MARGIN_SHARE
    if part is not None and not low <= part <= high:
        out.append(
            f"The use cases together add {part:.2%} of service revenue (sum of local effects, "
            f"n {trials['local_margin_minor']['n']:,}); believable is {low:.1%} to {high:.0%}."
        )
    known = sum(n for word, n in trials["verdicts"].items() if word != "unknown")
    winning = trials["verdicts"].get("above", 0)
    if known >= 5 and winning > WINNING_SHARE * known:
        out.append(
            f"{winning} of {known} use cases beat their control; about a third of tested ideas "
            "usually do not help, so more than 15 of 21 is too good to be true."
        )
    return out


def _joint(kpis: Mapping[str, Any]) -> list[str]:
    """Flag a joint value that is not believable, or that the local ones only repeat."""
    trials = kpis["experiments"]
    joint, local = trials["joint_margin_minor"], trials["local_margin_minor"]
    revenue = kpis["charging"]["service_revenue_minor"]
    if joint["value"] is None or trials["a_a"]:
        return []
    out = []
    low, high = MARGIN_SHARE
    if revenue > 0 and not (joint["low"] <= high * revenue and joint["high"] >= low * revenue):
        out.append(
            f"Against the universal control ({joint['n_control']:,} lines) the programme adds "
            f"{joint['value'] / revenue:.2%} of service revenue (95 %: "
            f"{joint['low'] / revenue:.2%} to {joint['high'] / revenue:.2%}); believable is "
            f"{low:.1%} to {high:.0%}."
        )
    known = sum(n for word, n in trials["verdicts"].items() if word != "unknown")
    near = local["value"] is not None and (
        abs(local["value"] - joint["value"]) <= SAME * abs(joint["value"])
    )
    if known >= RANKED_MIN and near and joint["value"]:
        out.append(
            f"The local effects of {known} use cases sum to the joint one within {SAME:.0%} "
            f"({local['value']:,} and {joint['value']:,} minor units): use cases that share "
            "people, needs and wallets do not add up."
        )
    return out


def _drift(kpis: Mapping[str, Any]) -> list[str]:
    """Flag a control that differs where nothing can make it differ, or is of another size."""
    trials = kpis["experiments"]
    out = []
    p = trials["control_share_p"]
    if p is not None and p < RATIO_P:
        out.append(
            f"{trials['control_share']:.2%} of lines are in the universal control where "
            f"{trials['universal_control_percent'] / 100:.2%} should be (p {p:.0e})."
        )
    if not trials["a_a"]:
        return out
    joint = trials["joint_margin_minor"]
    if joint["value"] is not None:
        gap = joint["value"] + trials["contact_spending_minor"]
        if abs(gap) > DRIFT_Z / Z * (joint["high"] - joint["low"]) / 2:
            out.append(
                f"No contact can move anybody here, yet lines outside the universal control earn "
                f"{gap:+,} minor units more than it does ({joint['n_control']:,} control lines): "
                "the control drifts."
            )
    for name, case in kpis["use_cases"].items():
        found = case["conversion"]
        n1, n0 = found["n_treated"], found["n_control"]
        if not n1 or not n0:
            continue
        p = (found["treated"] * n1 + found["control"] * n0) / (n1 + n0)
        error = math.sqrt(p * (1 - p) * (1 / n1 + 1 / n0))
        if error > 0 and abs(found["difference"]) > DRIFT_Z * error:
            out.append(
                f"No contact can move anybody here, yet {found['treated']:.2%} of {n1:,} treated "
                f"winners of {name} buy and {found['control']:.2%} of {n0:,} withheld ones: "
                "the control drifts."
            )
    return out


def stubborn_ranks(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return a red flag if the order of use cases ignores the response of people.

    Parameters
    ----------
    runs : value of each use case, by run; the runs differ in response parameters, by half and more
    """
    names = set.intersection(*(set(run) for run in runs)) if runs else set()
    if len(names) < RANKED_MIN or len(runs) < 2:
        return []
    orders = {tuple(sorted(names, key=lambda name: (-run[name], name))) for run in runs}
    if len(orders) > 1:
        return []
    return [
        f"The order of {len(names)} use cases is the same in all of {len(runs)} runs whose "
        "response parameters differ by half and more: the rank does not come from people's answers."
    ]


def _splits(kpis: Mapping[str, Any]) -> list[str]:
    return [
        f"Use case {name}: {arms['withheld_share']:.2%} of {arms['withheld_share_n']:,} winners "
        f"are withheld where {arms['withheld_share_expected']:.2%} should be "
        f"(p {arms['sample_ratio_p']:.0e}): the split of its arms is broken."
        for name, arms in kpis["experiments"]["arms"].items()
        if arms["sample_ratio_p"] is not None and arms["sample_ratio_p"] < RATIO_P
    ]


def _funnel(kpis: Mapping[str, Any]) -> list[str]:
    funnel = kpis["funnel"]
    ended = funnel["intended"] + sum(funnel["suppressed"].values())
    out = []
    if ended != funnel["trigger_hits"]:
        out.append(
            f"{funnel['trigger_hits']:,} decisions were opened but {ended:,} ended: the funnel "
            "does not add up."
        )
    steps = ("trigger_hits", "eligible", "allowed", "won", "intended", "sent", "delivered",
             "seen", "accepted")  # fmt: skip
    for before, after in zip(steps, steps[1:], strict=False):
        if funnel[after] > funnel[before]:
            out.append(
                f"The funnel widens from {before} ({funnel[before]:,}) to {after} "
                f"({funnel[after]:,})."
            )
    return out


def _silent(kpis: Mapping[str, Any]) -> list[str]:
    """Flag the rules that never fired, where the engine saw anything at all."""
    funnel = kpis["funnel"]
    own = {name: rule for name, rule in kpis["triggers"].items() if name != INBOUND}
    silent = [name for name, rule in own.items() if not rule["hits"] and not rule["held_back"]]
    if not silent or not funnel["rows_seen"]:
        return []
    return [
        f"{len(silent)} of {len(own)} triggers did not fire once in {funnel['rows_seen']:,} rows "
        f"that the engine saw, so that their use cases were never tried: {', '.join(silent)}."
    ]


def _truth(kpis: Mapping[str, Any]) -> list[str]:
    """Flag it where the direct truth lies outside the interval in far too many use cases."""
    judged = outside = 0
    for case in kpis["use_cases"].values():
        up, truth = case["uplift"], case["true_uplift"]
        if up["low"] is None or truth is None or min(up["n_treated"], up["n_withheld"]) < 30:
            continue
        judged += 1
        outside += not up["low"] <= truth <= up["high"]
    if judged >= 5 and outside > judged / 3:
        return [
            f"The direct truth lies outside the 95 % interval in {outside} of {judged} use cases "
            "(1 in 20 is expected): the control groups measure something else."
        ]
    return []
