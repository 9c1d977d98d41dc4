"""What a study found, as one document: `prioritize.json`.

It owns which estimate stands where, under which name and in which unit.  It must not know how a
run is made.  Money of use cases is margin in minor units for 1,000 lines over the horizon; money of
the plan is whole units of the currency for all lines that the scenario stands for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.rtm.lots import lots_of_lines
from scenarios.api import LoadedScenario
from scenarios.estimates import Estimate
from scenarios.prioritize import plan as planning
from scenarios.prioritize import worth
from scenarios.prioritize.players import Player
from scenarios.prioritize.runs import Kept, half_days
from scenarios.prioritize.words import caveats, headline

SCALE = 1_000
"""Lines for which values are given."""
MONTH_DAYS = 30.4375
HORIZON_DAYS = 90.0
MINOR = 100
SATISFACTION_ONE = 65_535
ESTIMANDS = {
    "share": "Shapley value, the mean of what it adds over all orders of launching; the shares sum "
    "to the joint value",
    "later": "the share at 90 days: what is added a day in the second half of the runs goes on",
    "first_in": "stand-alone value: it alone against nothing",
    "last_in": "what is lost if it alone is taken away",
    "joint": "all of them against nothing",
    "wow": "the same share of satisfaction at the end of the horizon, 1 is from worst to best",
}


@dataclass(frozen=True)
class Measured:
    """The runs of a study.

    Attributes
    ----------
    loaded, ground : the scenario as asked for, and as all arms have it
    order : (n_lots, n_players) int64
    along : the n + 1 runs along the orders
    further : the other runs by the names of their arms; empty where they were left out
    """

    loaded: LoadedScenario
    ground: LoadedScenario
    players: tuple[Player, ...]
    order: np.ndarray
    along: Sequence[Kept]
    further: Mapping[str, Kept]


def scaled(estimate: Estimate, factor: float) -> dict[str, Any]:
    """Return an estimate in another unit, as the document has it."""
    values = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if v is None else v * factor for v in values)
    return {"value": value, "low": low, "high": high, "n": estimate.n}


def document(measured: Measured, terms: planning.Terms) -> dict[str, Any]:
    """Return everything that a study found."""
    model = measured.loaded.model
    margins = np.array([kept.margin_minor for kept in measured.along])
    # Those who join in the course of the runs are lines as well.
    n_lines = model.population.subscribers
    lot = lots_of_lines(model.seed, margins.shape[1], len(measured.order))
    along = worth.contributions(margins, lot, measured.order)
    half = worth.contributions(
        np.array([kept.half_minor for kept in measured.along]), lot, measured.order
    )
    later = worth.carried_on(
        half, along, half_days=half_days(measured.ground), days=model.clock.days,
        horizon=max(HORIZON_DAYS, model.clock.days), seed=model.seed,
    )  # fmt: skip
    delight = worth.contributions(
        np.array([kept.satisfaction_q for kept in measured.along]), lot, measured.order
    )
    rows = _rows(measured, along, delight, later, model.seed)
    contacts = _price_of_contacts(measured)
    for row in rows:
        _judge(row, contacts)
    told: dict[str, Any] = {
        "scenario": model.scenario, "title": model.title, "seed": model.seed,
        "scenario_hash": measured.loaded.hash(), "subscribers": n_lines,
        "represents": model.population.represents or n_lines, "days": model.clock.days,
        "horizon_days": max(HORIZON_DAYS, model.clock.days), "currency": model.money.currency,
        "lots": len(measured.order), "level": 0.95,
        "runs": len(measured.along) + len(measured.further), "estimands": ESTIMANDS,
        "unit": f"margin, minor units for {SCALE:,} lines over {model.clock.days:g} days",
        "joint": scaled(worth.paired(margins[0], margins[-1]), SCALE),
        "use_cases": rows,
        "interactions": [
            {
                "one": measured.players[pair.one].name, "other": measured.players[pair.other].name,
                **scaled(pair.estimate, SCALE),
            }
            for pair in worth.interactions(along)
        ],
        "displacement": _displacement(measured),
        "contacts": contacts,
        "segments": _by_segment(measured, lot),
    }  # fmt: skip
    told["plan"] = _plan(told, measured.players, terms)
    told["headline"] = headline(told)
    told["caveats"] = caveats(told)
    return told


def _rows(
    measured: Measured,
    along: worth.Along,
    delight: worth.Along,
    later: Sequence[Estimate],
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row for each use case, the most valuable first."""
    nothing, everything = measured.along[0], measured.along[-1]
    values, wows = worth.shares(along), worth.shares(delight)
    ranges = worth.rank_ranges(along, seed)
    rows = []
    for j, player in enumerate(measured.players):
        alone = measured.further.get(f"alone-{player.name}")
        without = measured.further.get(f"without-{player.name}")
        rows.append({
            "name": player.name, "title": player.title, "group": player.group,
            "offers": list(player.offers), "share": scaled(values[j], SCALE),
            "first_in": None if alone is None else scaled(
                worth.paired(nothing.margin_minor, alone.margin_minor), SCALE),
            "last_in": None if without is None else scaled(
                worth.paired(without.margin_minor, everything.margin_minor), SCALE),
            "later": scaled(later[j], SCALE),
            "wow": scaled(wows[j], SCALE / SATISFACTION_ONE),
            "contacts": contacts_of(player, everything),
            "contacts_alone": None if alone is None else contacts_of(player, alone),
            "accepted": _count(player, everything, "accepted"),
            "person_months": player.person_months, "months": player.months,
            "believed_rub": player.believed_rub, "believed_wow": player.wow,
            "feeds": list(player.feeds), "rank_low": ranges[j][0], "rank_high": ranges[j][1],
        })  # fmt: skip
    rows.sort(key=lambda row: -row["share"]["value"])
    by_later = sorted(rows, key=lambda row: -row["later"]["value"])
    by_alone = sorted(rows, key=lambda row: -(row["first_in"] or row["share"])["value"])
    for rank, row in enumerate(rows, 1):
        row["rank"] = rank
        row["rank_later"] = by_later.index(row) + 1
        row["rank_alone"] = by_alone.index(row) + 1
    return rows


def _count(player: Player, kept: Kept, what: str) -> int:
    return int(sum(kept.values.get(f"use_cases.{name}.{what}", 0) for name in player.offers))


def contacts_of(player: Player, kept: Kept) -> int:
    """Return the contacts that a use case made in a run."""
    return _count(player, kept, "intended")


def _price_of_contacts(measured: Measured) -> dict[str, Any]:
    """Return what a contact more for everybody is worth, and a contact fewer costs."""
    model = measured.ground.model
    told: dict[str, Any] = {
        "cap": model.rtm.cap.contacts, "per_days": model.rtm.cap.per_days, "more": None,
        "fewer": None,
    }  # fmt: skip
    everything = measured.along[-1]
    for name, sign in (("more", 1), ("fewer", -1)):
        other = measured.further.get(f"cap-{name}")
        if other is None:
            continue
        contacts = sum(contacts_of(player, other) - contacts_of(player, everything)
                       for player in measured.players) * sign  # fmt: skip
        gained = worth.paired(everything.margin_minor, other.margin_minor)
        lines = gained.n
        told[name] = {
            "contacts": contacts,
            "margin": scaled(gained, SCALE),
            # Nothing is gained from a contact that nobody makes.
            "minor_per_contact": scaled(gained, sign * lines / contacts) if contacts else None,
        }
        if contacts and sign < 0:
            price = told[name]["minor_per_contact"]
            price["low"], price["high"] = price["high"], price["low"]
    return told


def _judge(row: dict[str, Any], contacts: Mapping[str, Any]) -> None:
    """Say what a contact of a use case earns, and whether that pays for the contact."""
    own = row["first_in"] if row["first_in"] is not None else row["share"]
    made = row["contacts_alone"] if row["first_in"] is not None else row["contacts"]
    n = own["n"]
    row["minor_per_contact"] = own["value"] * n / SCALE / made if made else None
    more = contacts["more"]
    price = 0.0
    if more is not None and more["minor_per_contact"] is not None:
        price = max(more["minor_per_contact"]["value"], 0.0)
    row["pays"] = None if row["minor_per_contact"] is None else row["minor_per_contact"] > price


def _displacement(measured: Measured) -> list[dict[str, Any]]:
    """Return whose contacts a use case takes: what the others gain once it is taken away."""
    everything = measured.along[-1]
    out = []
    for player in measured.players:
        without = measured.further.get(f"without-{player.name}")
        if without is None:
            continue
        gained = {
            other.name: contacts_of(other, without) - contacts_of(other, everything)
            for other in measured.players if other is not player
        }  # fmt: skip
        out.append({
            "name": player.name, "own": contacts_of(player, everything),
            "taken": {name: n for name, n in gained.items() if n},
        })  # fmt: skip
    return out


def _by_segment(measured: Measured, lot: np.ndarray) -> list[dict[str, Any]]:
    """Return the share of each use case in each segment, per 1,000 lines of it."""
    from scenarios.lines import segment_names

    segment = measured.along[0].segment
    out = []
    for code, name in enumerate(segment_names()):
        mine = segment == code
        if not mine.any():
            continue
        margins = np.array([kept.margin_minor[mine] for kept in measured.along])
        values = worth.shares(worth.contributions(margins, lot[mine], measured.order))
        out.append({
            "segment": name, "lines": int(mine.sum()),
            "shares": {p.name: scaled(v, SCALE)
                       for p, v in zip(measured.players, values, strict=True)},
        })  # fmt: skip
    return out


def _plan(
    told: Mapping[str, Any], players: Sequence[Player], terms: planning.Terms
) -> dict[str, Any]:
    """Return the launch plan, what each limit costs, and the frontier."""
    by_name = {player.name: player for player in players}
    days = told["horizon_days"]
    month = told["represents"] / SCALE / MINOR * MONTH_DAYS / days
    lines = told["subscribers"]
    works = [
        planning.Work(
            name=row["name"], value_month=row["later"]["value"] * month,
            person_months=by_name[row["name"]].person_months, months=by_name[row["name"]].months,
            wow=row["wow"]["value"],
            uses={"contacts": row["contacts"] * told["represents"] / lines * MONTH_DAYS
                  / told["days"]},
        )
        for row in told["use_cases"]
    ]  # fmt: skip
    best = planning.best_plan(works, terms)
    most = (terms.foundation + math.fsum(w.person_months for w in works)) * terms.person_month
    return {
        "terms": {
            "months": terms.months, "people": terms.people, "person_month": terms.person_month,
            "budget": terms.budget if math.isfinite(terms.budget) else None,
            "foundation": terms.foundation, "foundation_months": terms.foundation_months,
            "discount_year": terms.discount_year, "limits": dict(terms.limits),
        },
        "npv": best.npv, "cost": best.cost, "wow": best.wow,
        "starts": [vars(start) for start in best.starts],
        "left_out": [w.name for w in works if w.name not in best.names],
        "value_month": {w.name: w.value_month for w in works},
        "prices": planning.prices(works, terms, best),
        "frontier": [
            {"cost": p.cost, "npv": p.npv, "wow": p.wow, "names": list(p.names)}
            for p in planning.frontier(works, terms, most)
        ],
    }  # fmt: skip
