"""Write the backlog anew: `python -m scenarios.backlog_make`.

It owns how ideas that were not chosen are combined out of families, every draw keyed by the name of
the idea.  The 21 initiatives are
taken from the shipped offers.  It must not look at any run: nothing here knows what pays.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

from actors.rtm.params import Offer
from scenarios.backlog import BACKLOG_DIR, N_IDEAS, QUOTA
from scenarios.backlog_families import AUDIENCES, CHANNELS, FITS, RULES, THINGS, Rule, Thing
from scenarios.catalogue import shipped_entries
from scenarios.yaml12 import dump_yaml
from sim.core import rng

SEED = 2018
"""Year of the workshop."""
SHARES = {"billing": 92, "geo": 68, "traffic": 24, "retention": 56}
"""Ideas by group, in the proportion of the 21 (assumption)."""
FUNCTIONS = (
    "marketing", "sales", "customer care", "network", "finance", "digital", "partners", "retail",
)  # fmt: skip
NEED_HOURS = {
    "data": 14, "roaming": 11, "shopping": 0.8, "money": 7, "loyalty": 67, "device": 166,
    "renewal": 333, "partner": 3,
}  # fmt: skip
"""Believed half-life of a need, h (assumption)."""


def _unit(*names: object) -> float:
    """Return a keyed draw from (0, 1)."""
    key = rng.name_id(":".join(str(name) for name in ("backlog", *names)))
    return (int(rng.draws(SEED, "idea", _one(key))[0, 0]) + 0.5) / 4294967296.0


def _one(value: int) -> Any:
    import numpy as np

    return np.array([value], np.int64)


def _normal(*names: object) -> float:
    return NormalDist().inv_cdf(_unit(*names))


def _scale(value: float, low: float, high: float) -> float:
    """Return a positive value on the raters' scale from 1 to 10, logarithmically."""
    share = math.log(max(value, low) / low) / math.log(high / low)
    return 1 + 9 * min(max(share, 0.0), 1.0)


def _ratings(key: str, *, net: float, wow: float, person_months: float, months: float,
             at_most: float | None) -> dict[str, Any]:  # fmt: skip
    """Return the scores of an idea; one that was not chosen stays below the last chosen one."""
    n = 3 + int(6 * _unit(key, "raters"))

    def noisy(name: str, value: float) -> dict[str, float]:
        sd = round(0.6 + 1.6 * _unit(key, name, "sd"), 1)
        told = value + sd / math.sqrt(n) * _normal(key, name)
        return {"mean": round(min(max(told, 1), 10), 1), "sd": sd}

    out: dict[str, Any] = {
        "value": noisy("value", _scale(max(net, 1), 5, 600)),
        "wow": noisy("wow", 2 * wow),
        "cost": noisy("cost", _scale(person_months, 2, 40)),
        "time": noisy("time", _scale(months, 1, 12)),
    }
    total = sum(out[k]["mean"] for k in ("value", "wow")) - sum(
        out[k]["mean"] for k in ("cost", "time")
    )
    if at_most is not None and total >= at_most:
        for name, low, high in (("value", 1, 10), ("wow", 1, 10), ("cost", 10, 1), ("time", 10, 1)):
            over = total - at_most + 0.1
            if over <= 0:
                break
            step = min(over, abs(out[name]["mean"] - low))
            out[name]["mean"] = round(out[name]["mean"] + math.copysign(step, low - high), 1)
            total -= step
    return {"raters": n, **out}


def _hidden(key: str, truth: dict[str, Any], person_months: float) -> dict[str, Any]:
    return {
        "truth": truth,
        "person_months": round(person_months * math.exp(0.35 * _normal(key, "effort")), 1),
        "feasible_draw": round(_unit(key, "feasible"), 3),
    }


def _initiative(offers: list[Offer], number: int) -> dict[str, Any]:
    """Return one of the 21 as an idea; its branches are its offers."""
    first = offers[0]
    told = first.initiative
    assert told is not None  # only offers of an initiative come here
    work, key = told.workshop, f"initiative {told.code}"
    eligible = first.eligible.model_dump(mode="json", exclude_defaults=True)
    legal = [name for name in ("location", "traffic") if name in told.feeds]
    return {
        "id": f"I{number:03d}",
        "title": first.title,
        "function": FUNCTIONS[int(len(FUNCTIONS) * _unit(key, "function"))],
        "group": first.group,
        "source": "S0.25 to S0.27" if told.code in STARRED else "workshop",
        "initiative": told.code,
        "offers": [offer.offer for offer in offers],
        "when": {name: dict(options) for name, options in first.when.items()},
        "freshness_s": first.policy.expires_min * 60,
        "fires": float(work.fires or 0),
        **({"eligible": eligible} if eligible else {}),
        "need": first.truth.category,
        "half_life_h": float(NEED_HOURS[first.truth.category]),
        "product": first.product.model_dump(mode="json", exclude_defaults=True),
        "propensity": first.propensity,
        "margin_minor": first.margin_minor,
        "contact": {"channels": [t.channel for t in first.treatments]},
        "prerequisites": {"feeds": list(told.feeds), "legal": legal},
        "ratings": _ratings(key, net=max(float(work.net_rub or 0), 20), wow=work.wow,
                            person_months=work.person_months, months=work.months, at_most=None),
        "effort": {
            "person_months": work.person_months, "months": work.months,
            "run_cost_rub_month": int(work.person_months * 40_000),
            "feasible": 0.9 if told.launched else 0.6,
        },
        "relations": {"conflicts": CONFLICTS.get(told.code, "none")},
        "hidden": _hidden(key, first.truth.model_dump(mode="json", exclude_defaults=True),
                          work.person_months),
        "outcome": {"stage": "launched", "month": 9.0} if told.launched
        else {"stage": "chosen", "drop_reason": "technical limits"},
    }  # fmt: skip


STARRED = ("B1", "B2", "B3", "B4", "G1", "G2", "G3", "G4", "G5", "T1", "T2")
"""Named in the source itself."""
CONFLICTS = {
    "B1": "allowance", "B6": "allowance", "T2": "allowance", "B2": "money", "B3": "money",
    "B5": "money", "B7": "money", "B8": "roaming", "G3": "journey", "G4": "journey",
    "G6": "journey", "G1": "mall", "G2": "mall", "G5": "mall", "R1": "quality", "R2": "quality",
    "R3": "leaving", "R5": "leaving", "R4": "care", "T1": "web", "B4": "return",
}  # fmt: skip


def _made(group: str, rule: Rule, thing: Thing, audience: int, number: int,
          at_most: float) -> dict[str, Any]:  # fmt: skip
    """Return one idea of the families."""
    words, eligible = AUDIENCES[audience]
    key = f"{group} {rule.words} {thing.words}{words}"
    person_months = round(2 + 9 * _unit(key, "work") + 2 * len(rule.legal), 1)
    months = round(max(1.0, person_months / 2.5 + _normal(key, "months") * 0.5), 1)
    fires = round(rule.fires * (0.35 if words else 1.0), 1)
    net = (
        fires
        * thing.propensity
        * 0.4
        * thing.margin_minor
        / 100
        * math.exp(0.5 * _normal(key, "net"))
    )
    channels = CHANNELS[int(len(CHANNELS) * _unit(key, "channels"))]
    if "app" in eligible:
        channels = ("sms",)
    truth = {
        "category": thing.need,
        "b0": max(round(thing.b0 + 0.8 * _normal(key, "b0"), 2), -20.0),
        "match": round(0.3 + 0.6 * _unit(key, "match"), 2),
        "relief": round(0.06 * thing.wow * _unit(key, "relief"), 2),
        "annoy": round(0.3 + 1.2 * _unit(key, "annoy"), 2),
    }
    return {
        "id": f"I{number:03d}",
        "title": (thing.words[0].upper() + thing.words[1:] + " at " + rule.words + words)[:90],
        "function": FUNCTIONS[int(len(FUNCTIONS) * _unit(key, "function"))],
        "group": group,
        "source": "workshop",
        "when": {rule.trigger: rule.options},
        "freshness_s": rule.freshness_s,
        "fires": fires,
        **({"eligible": eligible} if eligible else {}),
        "need": thing.need,
        "half_life_h": float(NEED_HOURS[thing.need]),
        "product": thing.product,
        "propensity": thing.propensity,
        "margin_minor": thing.margin_minor,
        "contact": {"channels": list(channels)},
        "prerequisites": {"feeds": list(rule.feeds), "legal": list(rule.legal)},
        "ratings": _ratings(key, net=net, wow=thing.wow, person_months=person_months,
                            months=months, at_most=at_most),
        "effort": {
            "person_months": person_months, "months": months,
            "run_cost_rub_month": int(person_months * 40_000),
            "feasible": round(0.4 + 0.55 * _unit(key, "chance"), 2),
        },
        "relations": {"conflicts": rule.conflicts},
        "hidden": _hidden(key, truth, person_months),
        "outcome": {"stage": "idea", "drop_reason": "rank"},
    }  # fmt: skip


def _total(ratings: dict[str, Any]) -> float:
    mean = {name: part["mean"] for name, part in ratings.items() if name != "raters"}
    return mean["value"] + mean["wow"] - mean["cost"] - mean["time"]


def make() -> dict[str, list[dict[str, Any]]]:
    """Return the ideas by group, the chosen ones first."""
    by_code: dict[str, list[Offer]] = {}
    for offer in shipped_entries("offers").values():
        if offer.initiative is not None:
            by_code.setdefault(offer.initiative.code, []).append(offer)
    for branches in by_code.values():
        branches.sort(key=lambda offer: offer.initiative.branch if offer.initiative else "",
                      reverse=True)  # fmt: skip
    out: dict[str, list[dict[str, Any]]] = {}
    number = 1
    for group, places in QUOTA.items():
        codes = [code for code in sorted(by_code) if by_code[code][0].group == group]
        if len(codes) != places:
            raise ValueError(f"{group} has {len(codes)} initiatives, not {places}")
        ideas = []
        for code in codes:
            ideas.append(_initiative(by_code[code], number))
            number += 1
        least = min(_total(idea["ratings"]) for idea in ideas)
        rows = [
            (rule, thing, audience)
            for rule in RULES[group]()
            for thing in FITS.get(rule.trigger, THINGS[group])
            for audience in range(len(AUDIENCES))
        ]
        rows.sort(key=lambda row: _unit(group, row[0].words, row[1].words, row[2], "order"))
        for rule, thing, audience in rows[: SHARES[group] - places]:
            ideas.append(_made(group, rule, thing, audience, number, least - 0.1))
            number += 1
        out[group] = ideas
    if number - 1 != N_IDEAS:
        raise ValueError(f"{number - 1} ideas, not {N_IDEAS}")
    return out


def texts() -> dict[str, str]:
    """Return the text of each file of the backlog by its name."""
    head = "# Made by `python -m scenarios.backlog_make`; edit that, not this.\n"
    return {
        group: head + dump_yaml({"backlog": group, "ideas": ideas})
        for group, ideas in make().items()
    }


def write(folder: Path = BACKLOG_DIR) -> None:
    """Write every file of the backlog."""
    folder.mkdir(exist_ok=True)
    for name, text in texts().items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")


if __name__ == "__main__":
    write()
