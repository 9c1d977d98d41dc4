"""The sections of the report: each opens with the question it answers.

It owns which figure and which table answer which question for whom.  It must not know HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from scenarios.report import (
    data,
    figures,
    figures_learning,
    figures_places,
    sections_campaigns,
)
from scenarios.report.parts import ENGINEER, STRATEGIST, VIEWER, Section, Table
from scenarios.report.sections_centre import advice_rows, centre_rows, reason_rows
from scenarios.report.sections_money import money_section
from scenarios.report.sections_variants import variant_tables
from scenarios.report.words import (
    MINOR,
    NONE,
    count,
    dig,
    label,
    milliseconds,
    money,
    percent,
    short,
    signed,
    size,
)
from sim.record.store import Run


def sections(run: Run, only: Collection[str] | None = None) -> list[Section]:
    """Return the sections of the report, or `only` those of these names, in reading order."""
    makers: dict[str, Callable[[Run], Section]] = {
        "day": _day, "map": _map, "funnel": _funnel, "use-cases": _cases,
        **({"campaigns": _campaigns} if _part(run, "campaigns") else {}), "money": money_section,
        "channels": _channels, "latency": _latency, "geofences": _geofences, "triggers": _triggers,
        "quests": _quests, "contact-centre": _centre, "busy-hour": _busy_hour,
    }  # fmt: skip
    return [make(run) for name, make in makers.items() if only is None or name in only]


def _currency(run: Run) -> str:
    return dig(run.kpis, "charging", "currency") or ""


def _part(run: Run, name: str) -> Mapping[str, Any]:
    return dig(run.kpis, name) or {}


def _day(run: Run) -> Section:
    kinds = dig(run.kpis, "network", "events_by_kind") or {}
    total, hits = sum(kinds.values()), dig(run.kpis, "funnel", "trigger_hits")
    return Section(
        "day", "When was it busy?", (VIEWER, ENGINEER),
        parts=[
            (f"Network events a second, n = {count(total)}", figures.day_curve(data.events(run))),
            (f"Decisions and messages a second, n = {count(hits)} decisions",
             figures.rates_over_time(data.rates(run))),
        ],
    )  # fmt: skip


def _map(run: Run) -> Section:
    places = data.cells(run)
    hexes = data.hexes(run)
    people = sum(hexes["people"].tolist()) if not hexes.empty else None
    figure = figures_places.territory(hexes, places, data.fences(run))
    return Section(
        "map", "Where was it?", (VIEWER, ENGINEER),
        says=["Grey hexes are residents; dots are radio cells, coloured by their load in the busy "
              "hour; red outlines are geofences. Drag to move, scroll to zoom, click the legend to "
              "hide a layer."],
        parts=[(f"{count(people)} people, {count(len(places))} cells, "
                f"{count(len(_part(run, 'geofences')))} geofences", figure)],
    )  # fmt: skip


def _funnel(run: Run) -> Section:
    funnel = _part(run, "funnel")
    hits = funnel.get("trigger_hits")
    says = []
    if funnel.get("incremental") is not None:
        says.append(
            f"{count(funnel['accepted'])} offers were accepted. Against control, contacts added "
            f"{count(funnel['incremental'])} buyers [{count(funnel['incremental_low'])} to "
            f"{count(funnel['incremental_high'])} at 95 %, n = {count(funnel['incremental_n'])} "
            "winners]: the others would have bought anyway, or only bought earlier or cheaper."
        )
    if funnel.get("rows_seen"):
        lost = funnel["rows_lost"] / (funnel["rows_seen"] + funnel["rows_lost"])
        says.append(f"The engine never saw {percent(lost, 2)} of the rows: lost in capture.")
    return Section(
        "funnel", "What became of each satisfied rule, and why did so many get nothing?",
        (STRATEGIST, VIEWER), says=says,
        parts=[
            (f"From the satisfied rule to the yes, n = {count(hits)} decisions",
             figures.funnel(funnel)),
            ("Why decisions ended without a message (orange: withheld as control)",
             figures.suppression(funnel.get("suppressed") or {})),
        ],
    )  # fmt: skip


def _cases(run: Run) -> Section:
    cases, currency = _part(run, "use_cases"), _currency(run)
    horizon = dig(run.kpis, "experiments", "horizon_days")
    says = []
    if horizon:
        says.append(
            f"Estimand: margin within {horizon * 24:g} hours of the decision, treated winners "
            "less winners withheld by lot, per 1,000 winners; Welch's intervals at 95 %. The "
            "diamond is the direct truth, which only a twin can know; it leaves out what comes "
            "later (fatigue, purchases moved forward, effects on others). Local effects do not add "
            "up to the joint value. Could show: the true effect that as many winners show in four "
            "of five repetitions."
        )
    rows = [
        (f"{name}\n{c['title']}" if c.get("title") else name, label(c["group"]), count(c["won"]),
         f"{count(c['accepted'])}\n{figures_learning.anyway(c)}",
         f"{_interval(c['uplift'])}\n{_verdict(c)}",
         signed(_major(c["true_uplift"])), _points(c["conversion"]),
         short(_major(c["margin_minor"])), signed(c["wow"], 2))
        for name, c in sorted(cases.items(), key=lambda i: -(i[1]["uplift"]["value"] or -1e18))
    ]  # fmt: skip
    head = (
        "use case", "group", "winners", "accepted\nanyway", f"uplift per 1,000, {currency}",
        "in truth", "treated buy / withheld buy", f"booked margin, {currency}", "wow",
    )  # fmt: skip
    note = "Booked margin: revenue of accepted offers without VAT less contacts and rewards; it "
    note += "counts buyers that would have bought anyway. Anyway: the share of all yes whose sayer "
    note += "would have bought without the message, which the twin alone can know. Wow: "
    note += "satisfaction per 1,000 eligible."
    return Section(
        "use-cases", "Which use cases are worth it, and how sure is that?", (STRATEGIST,), says,
        [
            ("Uplift against control", figures.uplift(cases, currency)),
            ("Who buys within the horizon", figures.conversion(cases)),
            *figures_learning.parts(cases),
            ("All use cases, best first", Table(head, rows, note, text_columns=2)),
            *variant_tables(run),
        ],
    )  # fmt: skip


def _campaigns(run: Run) -> Section:
    rows, says = sections_campaigns.campaign_rows(run)
    table = Table(sections_campaigns.HEAD, rows, sections_campaigns.NOTE)
    return Section(
        "campaigns", "What did campaigns reach, and were they worth it?", (STRATEGIST,), says,
        [("Campaigns, most contacts first", table)],
    )  # fmt: skip


def _verdict(case: Mapping[str, Any]) -> str:
    found = case["uplift"]
    words = figures.VERDICT_WORDS[found["verdict"]]
    if found["verdict"] != "not significant" or found.get("detectable") is None:
        return words
    return f"{words} (could show ±{short(_major(found['detectable']))})"


def _major(minor: float | None) -> float | None:
    return None if minor is None else minor / MINOR


def _interval(found: Mapping[str, Any]) -> str:
    value = signed(_major(found["value"]))
    if found["low"] is None:
        return value
    return f"{value} [{short(_major(found['low']))}; {short(_major(found['high']))}]"


def _points(found: Mapping[str, Any]) -> str:
    if found["difference"] is None:
        return NONE
    return (
        f"{percent(found['treated'])} of {short(found['n_treated'])} / "
        f"{percent(found['control'])} of {short(found['n_control'])}"
    )


def _channels(run: Run) -> Section:
    channels, currency = _part(run, "channels"), _currency(run)
    rows = [
        (label(n), count(c["offered"]), count(c["admitted"]), count(c["delivered"]),
         count(c["expired"] + c["dropped"]), milliseconds(c["queue_ms"]["p50"]),
         milliseconds(c["queue_ms"]["p99"]), percent(c["utilisation"]),
         money(c["cost_minor"], currency))
        for n, c in channels.items()
    ]  # fmt: skip
    head = ("channel", "offered", "sent", "delivered", "too late or turned away",
            "wait p50", "wait p99", "utilisation", "cost")  # fmt: skip
    scale = dig(run.kpis, "population", "scale", "channels")
    return Section(
        "channels", "Where did the messages go, how late, and at what cost?",
        (STRATEGIST, ENGINEER),
        parts=[
            ("What became of the messages offered", figures.channel_fate(channels)),
            ("How long messages waited", figures.channel_wait(channels)),
            ("Channels in figures",
             Table(head, rows, f"Figures of channels are at {scale} scale." if scale else "")),
        ],
    )  # fmt: skip


def _centre(run: Run) -> Section:
    head, rows = centre_rows(run)
    return Section(
        "contact-centre", "Who called, how long did they wait, and did the agent's advice help?",
        (ENGINEER, STRATEGIST),
        says=["Calls and agents are those of all lines that the run stands for; suggestions and "
              "satisfaction are those of the simulated lines."],
        parts=[
            ("Centres in figures; waits are those of answered callers", Table(head, rows)),
            ("Why they called", Table(("reason", "calls", "caused in the twin"), reason_rows(run))),
            ("What agents suggested", Table(("what", "value"), advice_rows(run))),
        ],
    )  # fmt: skip


def _latency(run: Run) -> Section:
    latency = _part(run, "latency_ms")
    curve = data.latency_curve(run, {
        "latency_decision_ms": "decided", "latency_event_to_send_ms": "sent",
    })  # fmt: skip
    n = dig(latency, "decision", "n")
    return Section(
        "latency", "Where do the milliseconds go, and is the promise of one second kept?",
        (ENGINEER,),
        says=["Simulated times, from the moment at which the rule was satisfied (after a dwell, "
              "not before). Percentiles of stages do not add up to the percentile of the whole."],
        parts=[
            (f"Stages and the whole way, n = {count(n)} decisions",
             figures.latency_stages(latency)),
            ("Through within a time", figures.latency_curves(curve)),
        ],
    )  # fmt: skip


def _triggers(run: Run) -> Section:
    rows = [
        (name, count(t["hits"]), count(t["held_back"]), percent(t["precision"]),
         percent(t["recall"]), count(t["recall_n"]),
         NONE if t["delay_s"] is None else f"{t['delay_s']:.1f} s", percent(t["need_precision"]),
         count(t["need_precision_n"]))
        for name, t in sorted(_part(run, "triggers").items())
    ]  # fmt: skip
    head = (
        "trigger", "hits", "held back", "precision", "recall", "n", "acted after", "at a need",
        "n of these",
    )  # fmt: skip
    return Section(
        "triggers", "Does the engine notice what it should, and in time?", (STRATEGIST, ENGINEER),
        says=["Precision and recall: hits of judged lines against the same rule on a feed without "
              "losses and delays. At a need: a want of the category was alive, which only the twin "
              "knows; a rule may be right and still find nobody who wants anything."],
        parts=[("Triggers in figures", Table(head, rows))],
    )  # fmt: skip


def _geofences(run: Run) -> Section:
    fences = _part(run, "geofences")
    shown = sorted(fences.items(), key=lambda item: -item[1]["dwells"])[:15]
    rows = [
        (label(n), count(f["enters"]), count(f["dwells"]), count(f.get("exits")),
         count(f["detected"]), percent(f["precision"]), percent(f["recall"]),
         NONE if f["delay_s"] is None else f"{f['delay_s'] / 60:.1f} min")
        for n, f in shown
    ]  # fmt: skip
    head = (
        "geofence",
        "entered",
        "stayed",
        "left",
        "believed",
        "precision",
        "recall",
        "noticed after",
    )
    note = f"The {len(shown)} most visited of {len(fences)}." if len(fences) > len(shown) else ""
    return Section(
        "geofences", "Does the engine know who is really there?", (STRATEGIST, ENGINEER),
        says=["A cell covers more than a mall: the engine guesses from the serving cells, and the "
              "twin knows the truth."],
        parts=[
            ("Precision and recall, 95 % intervals", figures_places.geofences(fences)),
            ("Geofences in figures", Table(head, rows, note)),
        ],
    )  # fmt: skip


def _money_of(run: Run, minor: int | None) -> str:
    return money(minor, _currency(run))


def _quests(run: Run) -> Section:
    games = _part(run, "quests")
    rows = [
        (label(n), count(q["joined"]), count(q["steps"]), count(q["completed"]),
         _rate(q, "completion"), count(q["points"]), count(q.get("rewards_refused")),
         count(q["rewards_cancelled"]), _money_of(run, q.get("invoice_minor")),
         _money_of(run, q.get("ours_minor")))
        for n, q in games.items()
    ]  # fmt: skip
    head = ("quest", "joined", "steps done", "completed", "completion", "points", "refused",
            "taken back", "partner pays", "we pay")  # fmt: skip
    note = "Refused: budget or stock was at its end. What we pay is rewards and prizes, no more."
    return Section(
        "quests", "Is the game working, and who pays for it?", (STRATEGIST, VIEWER),
        parts=[("Quests", figures_places.quests(games)), *(
            [("Quests in figures", Table(head, rows, note))] if rows else []
        ), *_loyalty(run)],
    )  # fmt: skip


def _loyalty(run: Run) -> list[tuple[str, Table]]:
    """Return the books of points and bonus money: what was given, and where it is now."""
    told = _part(run, "loyalty")
    if not told or not told["points"]["earned"] and not told["bonus"]["rewards_minor"]:
        return []
    points, bonus = told["points"], told["bonus"]
    rows = [
        ("loyalty points", count(points["earned"]), count(points["redeemed"]),
         count(points["expired"]), count(points["cancelled"]), count(points["liability"])),
        ("bonus money", _money_of(run, bonus["rewards_minor"] + bonus["with_recharges_minor"]),
         *(_money_of(run, bonus[f"{key}_minor"])
           for key in ("used", "expired", "cancelled", "liability"))),
    ]  # fmt: skip
    head = ("book", "given", "used", "expired", "taken back", "owed at the end")
    note = "Bonus money owed at the end includes what lines had at the start."
    return [("What rewards became", Table(head, rows, note))]


def _rate(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return NONE
    low, high = percent(row[f"{name}_low"]), percent(row[f"{name}_high"])
    return f"{percent(row[name])} [{low} to {high}]"


def _busy_hour(run: Run) -> Section:
    network = _part(run, "network")
    weight = dig(run.kpis, "population", "weight") or 1
    table = data.cells(run)
    known = table["util"].tolist() if "util" in table else []
    util = [u for u in known if u == u]
    needs = {
        "network events": network.get("peak_events_per_second"),
        "rated rows (charging)": network.get("peak_rated_per_second"),
        "decisions": network.get("peak_decisions_per_second"),
        "messages sent": network.get("peak_messages_per_second"),
    }
    real = count(dig(run.kpis, "population", "represents"))
    head = ("size for", "this run, a second", f"{real} lines, a second")
    rows = [
        (what, short(rate), short(rate * weight) if rate is not None else NONE)
        for what, rate in needs.items()
    ]
    tick = dig(run.manifest, "tick_s")
    top = [
        (f"{row['cell']:.0f}", row.get("rat") or NONE, percent(row["util"]), size(row["bytes"]),
         percent(row["blocked_share"], 2), _place(row))
        for row in data.fullest(table)
    ]  # fmt: skip
    says = []
    if util:
        over = [f"{sum(u >= mark for u in util)} above {mark:.0%}" for mark in (0.7, 0.8, 0.9)]
        says.append(f"Of {count(len(util))} cells, {', '.join(over)} in their busiest tick of the "
                    "busy hour.")  # fmt: skip
    return Section(
        "busy-hour", "What must be sized for the busy hour, and which cells are full?",
        (ENGINEER,), says,
        [
            (f"Largest rates, as means of a tick of {tick} s (bursts inside a tick are higher)",
             Table(head, rows)),
            ("How full cells are", figures_places.cell_load(util)),
            ("The fullest cells", Table(
                ("cell", "type", "in use", "data in the hour", "refused or starved", "place"), top
            )),
        ],
    )  # fmt: skip


def _place(row: Mapping[str, Any]) -> str:
    if row.get("lat") is None:
        return NONE
    return f"{row['lat']:.3f}, {row['lon']:.3f}"
