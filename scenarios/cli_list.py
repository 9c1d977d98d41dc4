"""The commands that look at what there is: `twin list` and `twin check`.

It owns the kinds of things that can be listed and the check of files.  It must not know how they
are used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out, table
from sim.core.errors import LimitError, Problem, ScenarioError, nearest

FILES_MAX = 5_000
"""Files that one `twin check` reads."""

Lister = Callable[[Path], tuple[list[dict[str, Any]], tuple[str, ...]]]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("check", epilog="Example: twin check my_scenario.yaml")(check)
    app.command("list", epilog="Example: twin list offers")(list_kind)


def list_kind(
    kind: Annotated[
        str | None, typer.Argument(help="Kind to tell of; without it all kinds, with names.",
                                   show_default=False)
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs.")] = Path("runs"),
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", show_default=False,
                     help="With `campaigns`: those of this scenario, and the size of their "
                     "audiences."),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
) -> None:  # fmt: skip
    """List what there is: scenarios, catalogue entries, triggers, ideas, data, runs, metrics."""
    if kind is not None and kind not in LISTERS:
        close = nearest(kind, LISTERS)
        hint = f", did you mean {close!r}?" if close else ""
        raise ScenarioError(
            f"no such kind{hint}", found=repr(kind), expected="one of " + ", ".join(LISTERS)
        )
    if kind is None:
        found = {name: [row["name"] for row in lister(runs)[0]] for name, lister in LISTERS.items()}
        if as_json:
            common.out_json(found)
            return
        for name, names in found.items():
            out(f"{name:<10} {len(names):>4}  {_some(names)}")
        out("`twin list KIND` tells more of one kind.")
        return
    rows, columns = LISTERS[kind](runs) if scenario is None else _sized(kind, scenario)
    if as_json:
        common.out_json(rows)
    elif rows:
        out(table(rows, columns))
    else:
        out(f"no {kind}")


def _some(names: Sequence[str], width: int = 82) -> str:
    told = ""
    for i, name in enumerate(names):
        longer = f"{told}, {name}" if told else name
        if len(longer) > width and told:
            return f"{told}, and {len(names) - i} more"
        told = longer
    return told or "-"


def _scenarios(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from scenarios.loader import load, shipped

    rows = []
    for name in shipped():
        model = load(name).model
        rows.append(
            {
                "name": name,
                "title": model.title,
                "subscribers": model.population.subscribers,
                "days": f"{model.clock.days:g}",
                "geography": model.geography.folder,
                "question": model.question,
            }
        )
    return rows, ("name", "title", "subscribers", "days", "geography")


def _entries(kind: str, columns: tuple[str, ...]) -> Lister:
    def lister(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        from scenarios.catalogue import shipped_entries

        rows = []
        for name, entry in shipped_entries(kind).items():
            row = {"name": name, **entry.model_dump(mode="json")}
            if kind == "offers":
                row["trigger"] = next(iter(entry.when), "-")
                row["channels"] = [t.channel for t in entry.treatments]
                row["price_minor"] = entry.product.price_minor
                row["initiative"] = entry.initiative.code if entry.initiative else ""
            if kind == "quests":
                row["step"] = [f"{s.do} {s.at_least}" for s in entry.steps]
            if kind == "campaigns":
                row["sub_group"] = [f"{g.group}: {g.offer}" for g in entry.groups]
                row["days"] = f"{entry.schedule.from_day}+{entry.schedule.days}"
            rows.append(row)
        return rows, columns

    return lister


def _sized(kind: str, scenario: str) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the campaigns of a scenario with the expected size of their audiences."""
    if kind != "campaigns":
        raise ScenarioError("--scenario belongs to campaigns", found=kind, expected="campaigns")
    from scenarios.campaigns import sized_rows
    from scenarios.loader import load

    return sized_rows(load(scenario)), ("name", "title", "expected", "low", "high", "sub_groups")


def _triggers(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from actors.rtm.triggers import SIGNALS, registry
    from scenarios.entries import triggers

    known, rows = registry(), []
    for name, model in triggers().items():
        options = [f"{key}={info.default}" for key, info in model.model_fields.items()]
        described = [f"{key}: {info.description}" for key, info in model.model_fields.items()]
        rows.append(
            {
                "name": name,
                "on": SIGNALS[known[name].signal],
                "meaning": _meaning(known[name].expression),
                "options": options,
                "described": described,
            }
        )
    return rows, ("name", "on", "meaning", "options")


def _meaning(expression: Callable[..., Any]) -> str:
    """Return the condition of a trigger as one sentence: the first line of its module."""
    told = sys.modules[expression.__module__].__doc__ or expression.__doc__ or ""
    return told.strip().partition("\n")[0].rstrip(".")


def _backlog(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from scenarios.backlog import backlog, score

    rows = []
    for idea in backlog():
        rows.append(
            {
                "name": idea.id,
                **idea.model_dump(mode="json", exclude={"id", "hidden"}),
                "trigger": next(iter(idea.when)),
                "channels": list(idea.contact.channels),
                "score": round(score(idea), 1),
                "stage": idea.outcome.stage,
                "initiative": idea.initiative or "",
            }
        )
    columns = ("name", "title", "group", "trigger", "channels", "score", "stage", "initiative")
    return rows, columns


def _geofences(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    import json

    from scenarios.api import GEO_DATA_DIR

    rows = []
    for path in sorted(GEO_DATA_DIR.glob("*/fences.geojson")):
        for feature in json.loads(path.read_bytes())["features"]:
            told = feature["properties"]
            rows.append({"name": told["name"], "kind": told["kind"], "geography": path.parent.name})
    return rows, ("name", "kind", "geography")


def _data(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from geo.datasets import list_datasets

    return list_datasets(), ("name", "rows", "bytes", "licence", "origin")


def _runs(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    rows = []
    for name in common.run_names(runs):
        manifest = common.read_json(runs / name / "manifest.json") or {}
        status = common.read_json(runs / name / "status.json") or {}
        told = manifest.get("status") or status.get("status") or status.get("phase") or "unknown"
        rows.append(
            {
                "name": name,
                "status": str(told),
                "scenario": manifest.get("scenario") or status.get("scenario"),
                "subscribers": manifest.get("subscribers"),
                "events": manifest.get("events_total"),
                "wall_s": manifest.get("wall_seconds"),
            }
        )
    return rows, ("name", "status", "scenario", "subscribers", "events", "wall_s")


def _metrics(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from actors.metrics import ALL_METRICS

    rows = [
        {"name": m.name, "dims": list(m.dims), "unit": m.unit, "meaning": m.doc}
        for m in sorted(ALL_METRICS, key=lambda m: m.name)
    ]
    return rows, ("name", "dims", "unit", "meaning")


def _messages(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from actors.messages import SCHEMAS

    rows = [
        {
            "name": schema.name,
            "edge": schema.edge,
            "fields": [f"{f.name}:{f.dtype}" for f in schema.fields],
            "meaning": schema.doc,
        }
        for schema in SCHEMAS
    ]
    return rows, ("name", "edge", "meaning")


def _attributes(runs: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    from actors.rtm.attributes import attributes

    rows = [asdict(one) for one in attributes().values()]
    return rows, ("name", "unit", "freshness_s", "bytes")


LISTERS: dict[str, Lister] = {
    "scenarios": _scenarios,
    "tariffs": _entries("tariffs", ("name", "title", "segment", "prepaid", "share", "fee_minor")),
    "offers": _entries(
        "offers",
        ("name", "initiative", "title", "group", "trigger", "channels", "price_minor"),
    ),
    "channels": _entries(
        "channels", ("name", "title", "kind", "per_second", "servers", "cost_minor")
    ),
    "quests": _entries("quests", ("name", "title", "step", "reward_minor", "points")),
    "campaigns": _entries("campaigns", ("name", "title", "audience", "sub_group", "days")),
    "triggers": _triggers,
    "backlog": _backlog,
    "attributes": _attributes,
    "geofences": _geofences,
    "data": _data,
    "runs": _runs,
    "metrics": _metrics,
    "messages": _messages,
}


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Scenarios, catalogue entries, or folders of them; without any, all "
                       "that is shipped.", show_default=False),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
) -> None:  # fmt: skip
    """Check scenarios and catalogue entries, and say everything that is wrong with them."""
    from scenarios.checking import check_file, files_of, shipped_files
    from scenarios.yaml12 import shown

    problems: list[Problem] = []
    checked: list[str] = []
    notes: list[str] = []
    limits: list[str] = []
    for path in shipped_files() if not paths else files_of(paths, problems, files_max=FILES_MAX):
        told: list[str] = []
        hit = len(limits)
        found = check_file(path, told, limits)
        problems.extend(found)
        checked.append(shown(path))
        notes += told
        if not as_json and not found and len(limits) == hit:
            out("\n".join([f"ok  {shown(path)}", *(f"    note: {note}" for note in told)]))
    if as_json:
        listed = [asdict(problem) for problem in problems]
        common.out_json({"checked": checked, "problems": listed, "limits": limits, "notes": notes})
        if problems or limits:
            raise typer.Exit(2 if problems else LimitError.exit_code)
    elif problems:
        raise ScenarioError.collect(dict.fromkeys(problems))
    elif limits:
        raise LimitError("\n".join(limits))
    elif not checked:
        raise ScenarioError("nothing to check", expected="at least one .yaml file")
