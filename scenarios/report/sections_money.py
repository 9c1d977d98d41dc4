"""The report's section on money: what lines paid, what the programme spent, what it takes to build.

It owns the columns of these tables.  It must not compute a figure that `kpis.json` does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.report import figures_places
from scenarios.report.parts import STRATEGIST, VIEWER, Section, Table
from scenarios.report.words import NONE, count, dig, money, percent, short
from sim.record.store import Run


def money_section(run: Run) -> Section:
    """Return where the money came from and where it went."""
    charging = dig(run.kpis, "charging") or {}
    currency = charging.get("currency") or ""
    cases = (dig(run.kpis, "use_cases") or {}).values()
    channels = (dig(run.kpis, "channels") or {}).values()
    spent = {
        "contacts": sum(c["cost_minor"] for c in channels),
        "bonus money given": charging.get("bonus_in_minor") or 0,
    }
    rows = [
        ("service revenue without VAT", money(charging.get("service_revenue_minor"), currency)),
        ("per line and 30 days", money(charging.get("arpu_minor_per_30_days"), currency)),
        ("recharges (cash, not revenue)",
         f"{count(charging.get('recharges'))} × "
         f"{money(charging.get('recharge_mean_minor'), currency)} = "
         f"{money(charging.get('recharge_minor'), currency)}"),
        ("products bought through use cases",
         money(sum(c["revenue_minor"] for c in cases) if cases else None, currency)),
        ("products bought without an offer, VAT included",
         money(charging.get("organic_minor"), currency)),
        ("uses denied for lack of money",
         f"{percent(charging.get('denied_share'), 2)} of {short(charging.get('rated'))} rows"),
        ("balances at the end", money(charging.get("main_balance_minor"), currency)),
    ]  # fmt: skip
    return Section(
        "money", "Where did the money come from, and where did it go?", (STRATEGIST, VIEWER),
        parts=[
            ("What lines paid, and what the programme spent",
             figures_places.money(charging, spent, currency)),
            ("Money in figures", Table(("what", "value"), rows)),
            *_costs(dig(run.kpis, "costs"), currency),
        ],
    )  # fmt: skip


def _costs(told: Mapping[str, Any] | None, currency: str) -> list[tuple[str, Table]]:
    """Return the cost ledger; nothing for a run that has none."""
    if not told:
        return []
    build, run, share = told["build"], told["run"], told["cep_profile_share"]
    whole = build["total_minor"]

    def row(words: str, minor: int | None, of: int | None = None) -> tuple[str, str, str]:
        part = None if not of or minor is None else minor / of
        return words, money(minor, currency), NONE if part is None else percent(part)

    rows = [
        row("build: event capture and triggers", build["cep_minor"], whole),
        row("build: profile in memory", build["profile_minor"], whole),
        row("build: use cases", build["use_cases_minor"], whole),
        *(row(f"run: {words}", run[f"{key}_minor"], run["total_minor"])
          for key, words in (("contacts", "contacts"), ("rewards", "gifts and rewards"),
                             ("products", "cost of products"), ("games", "rewards of games"),
                             ("platform", "platform"))),
        row("build, written off over the days of the run", told["written_off_minor"]),
        row("added by contacts, in truth", told["added_minor"]),
        row("left of it after games, platform and build", told["net_minor"]),
    ]  # fmt: skip
    low, high = percent(share["published_low"], 0), percent(share["published_high"], 0)
    note = (
        f"Event capture and profile take {percent(share['value'])} of what is built (published: "
        f"{low} to {high}). At the scale of the lines that the run stands for; prices of work are "
        "assumptions (`money.costs`), the work of a use case is what the workshop said."
    )
    if build["unpriced"]:
        note += f" {count(build['unpriced'])} use cases have no stated effort and are left out."
    return [("What the programme costs", Table(("what", "money", "share"), rows, note))]
