"""The cost ledger: what the programme takes to build and to run, and the share of its foundation.

It owns the arithmetic of the ledger and the published share that it is held to (S0.29).  It must
not know how a contact or a reward is counted; no decision reads a figure of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scenarios.estimates import ratio, rounded
from scenarios.kpis_campaigns import is_campaign
from scenarios.kpis_cases import CaseInfo

PUBLISHED = (0.40, 0.60)
"""Event capture and in-memory profile over all work and investment: 40 to 60 %."""
MONTH_DAYS = 30


def costs(
    totals: Mapping[str, np.ndarray],
    *,
    prices: Any,
    price_level: float,
    cases: Mapping[str, Mapping[str, Any]],
    infos: Mapping[str, CaseInfo],
    games: Mapping[str, Mapping[str, Any]],
    added_minor: int | None,
    days: float,
    weight: float,
) -> dict[str, Any]:
    """Return `costs` of kpis.json, minor units, at the scale of the lines the run stands for.

    `build` is paid once, `run` is that of the days of the run, and `net_minor` what is left of the
    margin that contacts added once games, platform and the part of the build that is written off
    in these days are paid; contacts, rewards and products are within that margin already.

    Parameters
    ----------
    prices : `CostParams`, before the price level
    cases : figures of every use case, those of campaigns included
    games : figures of the quests
    added_minor : margin that contacts added to the simulated lines, by the direct truth
    weight : real lines for which one simulated line stands
    """
    month = days / MONTH_DAYS
    work = {
        name: infos[name].person_months for name in cases
        if name in infos and infos[name].person_months is not None
    }  # fmt: skip
    rate = prices.person_month_minor * price_level
    run_rate = prices.run_per_person_month_minor * price_level * month
    parts = {name: round((pm or 0) * rate) for name, pm in work.items()}
    build = {
        "cep_minor": round(prices.cep_person_months * rate),
        "profile_minor": round(prices.profile_person_months * rate),
        "use_cases_minor": sum(parts.values()),
    }
    foundation = build["cep_minor"] + build["profile_minor"]
    whole = sum(build.values())
    person_months = prices.cep_person_months + prices.profile_person_months
    person_months += sum(pm or 0 for pm in work.values())
    run = _run(totals, cases, infos, games, weight) | {
        "platform_minor": round(person_months * run_rate)
    }
    gone = month / prices.written_off_months
    written_off = round(whole * gone)
    net = None
    if added_minor is not None:
        added_minor = round(added_minor * weight)
        net = added_minor - run["games_minor"] - run["platform_minor"] - written_off
    part = ratio(foundation, whole)
    low, high = PUBLISHED
    return {
        "build": {
            **build,
            "total_minor": whole,
            "person_months": rounded(person_months),
            "unpriced": sum(name not in work and not is_campaign(name) for name in cases),
        },
        "cep_profile_share": {
            "value": rounded(part), "published_low": low, "published_high": high,
            "inside": None if part is None else low <= part <= high,
        },
        "run": {**run, "total_minor": sum(run.values())},
        "written_off_minor": written_off,
        "added_minor": added_minor,
        "net_minor": net,
        "use_cases": {
            name: {
                "person_months": rounded(pm), "build_minor": parts[name],
                "platform_minor": round((pm or 0) * run_rate),
                "written_off_minor": round(parts[name] * gone),
            }
            for name, pm in work.items()
        },
    }  # fmt: skip


def _run(
    totals: Mapping[str, np.ndarray],
    cases: Mapping[str, Mapping[str, Any]],
    infos: Mapping[str, CaseInfo],
    games: Mapping[str, Mapping[str, Any]],
    weight: float,
) -> dict[str, int]:
    """Return what the days of the run took, by what for; of games our part alone."""
    bought = sum(
        case["purchases"] * infos[name].unit_cost_minor
        for name, case in cases.items()
        if name in infos
    )
    spent = {
        "contacts": int(totals["contact_cost_minor"].sum()),
        "rewards": int(totals["reward_minor"].sum()),
        "products": bought,
        "games": sum(game["ours_minor"] for game in games.values()),
    }
    return {f"{name}_minor": round(minor * weight) for name, minor in spent.items()}
