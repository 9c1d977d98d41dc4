"""Headline figures of campaigns, and the share of what is real time.

It owns the funnel of a campaign over its sub-groups and waves, and its uplift: the local holdout
is cut at the first wave, so the effect of a whole sequence is that on the winners of the first.
It must not know how a line is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.messages import REASONS
from actors.rtm.campaign_params import MARK
from scenarios.estimates import Estimate, Sums, difference_of_means, ratio, rounded
from scenarios.kpis_cases import PER, TREATED, WITHHELD, arm

SUMMED = (
    "trigger_hits", "eligible", "allowed", "won", "intended", "sent", "delivered", "seen",
    "clicked", "replied", "accepted", "opted_out", "purchases", "revenue_minor", "cost_minor",
    "saved_minor", "margin_minor", "ghosts",
)  # fmt: skip
"""Figures of a use case that add up over sub-groups and waves."""


def is_campaign(case: str) -> bool:
    """Return whether the use case of a name belongs to a campaign."""
    return MARK in case


@dataclass(frozen=True)
class CampaignInfo:
    """What the catalogue and the sample say of a campaign.

    Attributes
    ----------
    title : what a person reads
    cases : use cases of each sub-group, wave by wave
    expected : lines of the audience, estimated before the run
    """

    title: str = ""
    cases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    expected: Estimate | None = None


def campaigns(
    totals: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    *,
    infos: Mapping[str, CampaignInfo],
    cases: Mapping[str, Mapping[str, Any]],
    horizon_days: float,
) -> dict[str, Any]:
    """Return `campaigns` of kpis.json: name -> audience, funnel, money, uplift, sub-groups.

    Parameters
    ----------
    cases : figures of the use cases of campaigns, as of any use case
    """
    number = {name: i for i, name in enumerate(labels["use_case"])}
    out: dict[str, Any] = {}
    for i, name in enumerate(labels.get("campaign", ())):
        info = infos.get(name, CampaignInfo())
        mine = {g: [(c, number[c], cases[c]) for c in told] for g, told in info.cases.items()}
        flat = [case for told in mine.values() for case in told]
        out[name] = {
            "title": info.title,
            "audience": _expected(info.expected),
            "looked": int(totals["campaign_looked"][i]),
            "fitting": int(totals["campaign_audience"][i]),
            "barred": int(totals["campaign_barred"][i]),
            "clashed": int(totals["campaign_clashed"][i]),
            **_sums(totals, flat, [told[0] for told in mine.values()], horizon_days),
            "points": int(totals["campaign_points"][i]),
            "groups": {
                group: {
                    **_sums(totals, told, told[:1], horizon_days),
                    "waves": [
                        {"use_case": name, **{key: case[key] for key in SUMMED}}
                        for name, _, case in told
                    ],
                }
                for group, told in mine.items()
            },
        }
    return out


def _expected(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {"expected": None, "low": None, "high": None, "n": 0}
    whole = [None if x is None else round(x) for x in (found.value, found.low, found.high)]
    return {"expected": whole[0], "low": whole[1], "high": whole[2], "n": found.n}


Case = tuple[str, int, Mapping[str, Any]]


def _sums(
    totals: Mapping[str, np.ndarray], cases: Sequence[Case], first: Sequence[Case], days: float
) -> dict[str, Any]:
    """Return sums over use cases, and the effect on the winners of the first wave."""
    ended = {r: sum(int(totals["decisions"][i, k]) for _, i, _ in cases)
             for k, r in enumerate(REASONS) if r != "intended"}  # fmt: skip
    return {
        **{key: sum(case[key] for _, _, case in cases) for key in SUMMED},
        "suppressed": ended,
        "uplift": _uplift(totals, [i for _, i, _ in first], days),
        "true_uplift": _true(totals, [i for _, i, _ in cases], [i for _, i, _ in first]),
        "true_uplift_n": sum(int(totals["truth_n"][i]) for _, i, _ in first),
    }


def _uplift(totals: Mapping[str, np.ndarray], cases: Sequence[int], days: float) -> dict[str, Any]:
    """Return the effect per 1,000 winners; one share is withheld in all groups, so arms add up."""
    arms = []
    for which in (TREATED, WITHHELD):
        parts = [arm(totals, i, which) for i in cases]
        arms.append(
            Sums(
                n=sum(p.n for p in parts),
                total=sum(p.total for p in parts),
                squares=sum(p.squares for p in parts),
            )
        )
    found = difference_of_means(*arms)
    scaled = [None if x is None else rounded(x * PER, 3)
              for x in (found.value, found.low, found.high, found.detectable)]  # fmt: skip
    return {
        "value": scaled[0], "low": scaled[1], "high": scaled[2], "detectable": scaled[3],
        "n": found.n, "n_treated": arms[0].n, "n_withheld": arms[1].n, "horizon_days": days,
        "verdict": found.verdict,
    }  # fmt: skip


def _true(
    totals: Mapping[str, np.ndarray], cases: Sequence[int], first: Sequence[int]
) -> float | None:
    """Return the direct truth of all waves per 1,000 treated winners of the first."""
    gained = sum(int(totals["truth_y1_minor"][i] - totals["truth_y0_minor"][i]) for i in cases)
    found = ratio(gained, sum(int(totals["truth_n"][i]) for i in first))
    return None if found is None else rounded(found * PER, 3)


def real_time(
    cases: Mapping[str, Mapping[str, Any]], told: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the share of what is opened by events, beside what is opened by a schedule.

    Parameters
    ----------
    cases : use cases opened by triggers
    told : campaigns
    """
    live = [case for case in cases.values() if case["trigger_hits"] > 0]
    run = [campaign for campaign in told.values() if campaign["looked"] > 0]
    by_event = sum(case["intended"] for case in live)
    by_plan = sum(campaign["intended"] for campaign in run)
    return {
        "use_cases": len(live),
        "campaigns": len(run),
        "share_of_campaigns": rounded(ratio(len(live), len(live) + len(run))),
        "contacts_real_time": by_event,
        "contacts_campaigns": by_plan,
        "share_of_contacts": rounded(ratio(by_event, by_event + by_plan)),
    }
