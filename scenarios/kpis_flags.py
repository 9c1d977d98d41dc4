"""Red flags: what a run must say against itself (`truth.md`, law 7, as far as one run can tell).

It owns the limits and the sentences.  It must not know how a figure was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
}
"""Counters of broken rules of contact, and how to say it."""
RATIO_P = 1e-6
"""A split of arms less likely than this is broken."""


def red_flags(kpis: Mapping[str, Any]) -> list[str]:
    """Return one sentence, with its numbers, for each thing that a reader must not overlook."""
    return [
        *_broken_rules(kpis), *_too_good(kpis), *_splits(kpis), *_funnel(kpis), *_truth(kpis),
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
