"""The command `twin prioritize`: what each use case is worth, and which to launch when.

It owns the options and what is printed.  It must not know how anything is valued.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

SCENARIO = "Name of a scenario, or path of a YAML file."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "prioritize",
        epilog="Example: twin prioritize megafon_2019 --subscribers 200000 --days 7 "
        "--only B1 --only B5 --only T2",
    )(prioritize)


def prioritize(
    scenario: Annotated[str, typer.Argument(help=SCENARIO)],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CODE", show_default=False,
                     help="Value this use case, and such others; repeat it. All live ones "
                     "otherwise."),
    ] = None,
    shares_only: Annotated[
        bool,
        typer.Option("--shares-only", help="Leave out first in, last in and the price of "
                     "contacts: a third of the runs."),
    ] = False,
    months: Annotated[int, typer.Option(min=1, max=120, help="Horizon of the plan, months.")] = 24,
    people: Annotated[
        float, typer.Option(min=0.1, help="Person-months that the teams can give in a month.")
    ] = 40.0,
    person_month: Annotated[
        float, typer.Option(min=0, help="Cost of a person-month, units of the currency "
                            "(assumption).")
    ] = 500_000.0,
    budget: Annotated[
        float | None,
        typer.Option(min=0, show_default=False, help="Money for building, units of the currency."),
    ] = None,
    foundation: Annotated[
        float,
        typer.Option(min=0, help="Person-months for event processing and profile, before anything "
                     "else."),
    ] = 120.0,
    discount: Annotated[
        float, typer.Option(min=0, max=1, help="Yearly rate of interest (assumption).")
    ] = 0.15,
    contacts: Annotated[
        float | None,
        typer.Option(min=0, show_default=False,
                     help="Contacts a month that all lines together may get."),
    ] = None,
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the study; must not exist.", show_default=False),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
    quiet: Annotated[bool, common.QUIET] = False,
) -> None:  # fmt: skip
    """Value every use case beside the others, and plan their launch.

    The same people live through worlds with other use cases live.  Shares of the joint value come
    from every order of launching; the plan is the best under the given limits.
    """
    from scenarios.loader import set_option
    from scenarios.prioritize import Options
    from scenarios.prioritize import prioritize as study
    from scenarios.prioritize.plan import Terms
    from scenarios.progress import make_progress

    named = {"subscribers": subscribers, "days": days, "seed": seed}
    terms = Terms(
        months=months, people=people, person_month=person_month,
        budget=math.inf if budget is None else budget, foundation=foundation,
        discount_year=discount, limits={} if contacts is None else {"contacts": contacts},
    )  # fmt: skip
    asked = Options(
        overrides=(*(set_option(text) for text in settings or ()), *common.named_overrides(named)),
        only=tuple(only or ()),
        shares_only=shares_only,
        terms=terms,
        out=out_dir,
    )
    done = study(scenario, asked, progress=lambda start: make_progress(start=start, quiet=quiet))
    if as_json:
        common.out_json({**done.document, "folder": os.fspath(done.path)})
    elif quiet:
        out(str(done.path))
    else:
        out(summary(done.document, done.path))


def summary(document: Mapping[str, Any], path: Path) -> str:
    """Return a study in a screen."""
    from scenarios.prioritize.words import days_of, month_money

    def money(told: Mapping[str, Any] | None) -> str:
        if told is None:
            return "-"
        text = f"{told['value'] / 100:+.3g}"
        if told["low"] is None:
            return text
        return text + f" ±{(told['high'] - told['low']) / 200:.2g}"

    rows = [
        {
            "rank": f"{row['rank']} ({row['rank_low']}-{row['rank_high']})",
            "use case": row["name"],
            "share": money(row["share"]), "first in": money(row["first_in"]),
            "last in": money(row["last_in"]), "contacts": f"{row['contacts']:,}",
            "a contact": "-" if row["minor_per_contact"] is None
            else f"{row['minor_per_contact'] / 100:,.2f}",
            "month, all lines": f"{month_money(document, row['share']['value']):,.0f}",
        }
        for row in document["use_cases"]
    ]  # fmt: skip
    lines = [document["headline"], ""]
    columns = ("rank", "use case", "share", "first in", "last in", "contacts", "a contact",
               "month, all lines")  # fmt: skip
    lines.append(common.table(rows, columns, indent="  "))
    lines += [
        f"  margin in {document['currency']} for 1,000 lines over {days_of(document)}, ± half of",
        "  the 95 % interval; rank with the places that hold 90 % of resamples",
        "",
    ]
    for start in document["plan"]["starts"]:
        paid = "never" if start["payback"] is None else f"month {start['payback']}"
        lines.append(
            f"  launch      {start['name']}: begun in month {start['begin'] + 1}, live from month "
            f"{start['live'] + 1}, worth {start['npv']:,.0f} today, paid back: {paid}"
        )
    lines += [f"  note        {caveat}" for caveat in document["caveats"]]
    lines += [f"  folder      {path}", f"  page        {path / 'prioritize.html'}"]
    return "\n".join(lines)
