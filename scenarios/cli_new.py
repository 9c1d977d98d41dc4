"""The command `twin new`: a working stub of one thing, and its test beside those of its peers.

It owns the kinds that can be begun, their places and their templates.  It must never overwrite
anything, and must not know what a stub means.
"""

from __future__ import annotations

import csv
import json
import keyword
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

import typer

from scenarios.cli_common import out
from sim.core.errors import ScenarioError, nearest

TEMPLATES_DIR = Path(__file__).parent / "templates"
PACKAGE_DIR = Path(__file__).parents[1]
SCHEMA_FILE = Path(__file__).parent / "schema" / "scenario.schema.json"
ENTRY_KINDS = {
    "offer": "offers", "channel": "channels", "quest": "quests", "tariff": "tariffs",
    "campaign": "campaigns",
}  # fmt: skip
USER_CATALOGUE = Path("mine")
FENCE_SIDE_M = 200
FENCES_BYTES_MAX = 16 * 1024 * 1024
METRES_PER_DEGREE = 111_320


@dataclass(frozen=True)
class Draft:
    """What will be written, and what to do then.

    Attributes
    ----------
    files : texts of new files by path; none of them may exist
    changed : texts of files that are there already and get an addition
    advice : lines that say what to do next
    """

    files: dict[Path, str]
    advice: list[str]
    changed: dict[Path, str]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new", epilog="Example: twin new offer weekend_data --dir mine")(new)


def new(
    kind: Annotated[str, typer.Argument(help="trigger, offer, channel, geofence, quest, campaign, "
                                        "scenario or tariff.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and _.",
                                        show_default=False)],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", show_default=False,
                     help="Where: a catalogue folder (default mine/), the folder of a scenario "
                     "(default here), of a geography, or a checkout of this project (triggers)."),
    ] = None,
) -> None:  # fmt: skip
    """Begin an entry of the catalogue, a trigger, a geofence or a scenario: a stub and its test."""
    if kind not in DRAFTERS:
        close = nearest(kind, DRAFTERS)
        hint = f", did you mean {close!r}?" if close else ""
        raise ScenarioError(
            f"no such kind{hint}", found=repr(kind), expected="one of " + ", ".join(DRAFTERS)
        )
    check_name(name)
    draft = DRAFTERS[kind](kind, name, folder)
    write(draft)
    out("next:")
    for line in draft.advice:
        out(f"  {line}")


def check_name(name: str) -> None:
    """Raise where a name would be refused later, or is a word of Python."""
    from scenarios.entries import NAME, NAME_WORDS

    if not NAME.fullmatch(name):
        raise ScenarioError("not a name", found=repr(name[:80]), expected=NAME_WORDS)
    if keyword.iskeyword(name):
        raise ScenarioError("a word of Python", found=repr(name), expected="another name")


def write(draft: Draft) -> None:
    """Write the files of a draft, or nothing where one of them exists."""
    for path in draft.files:
        if os.path.lexists(path):
            raise ScenarioError(
                "there is a file of this name already; nothing was written", file=str(path),
                expected="another name, or another --dir",
            )  # fmt: skip
    try:
        for path, text in draft.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as handle:
                handle.write(text)
            out(f"wrote {path}")
        for path, text in draft.changed.items():
            part = path.with_name(path.name + ".part")
            with part.open("x", encoding="utf-8") as handle:
                handle.write(text)
            os.replace(part, path)
            out(f"added to {path}")
    except OSError as error:
        where = str(error.filename or "")
        reason = error.strerror or str(error)
        raise ScenarioError(
            "cannot be written", file=where, found=reason, expected="a folder that can be written"
        ) from error


def fill(template: str, **words: Any) -> str:
    """Return a template with its words put in; a missing word is an error."""
    text = (TEMPLATES_DIR / f"{template}.tmpl").read_text("utf-8")
    return Template(text).substitute({key: str(value) for key, value in words.items()})


def title_of(name: str) -> str:
    """Return a name as a person would write it."""
    return name.replace("_", " ").strip().capitalize() or name


def is_checkout(folder: Path) -> bool:
    """Return whether a folder is a checkout of this project, with its tests."""
    parts = ("actors/rtm/triggers", "scenarios/catalog", "tests/unit")
    return all((folder / part).is_dir() for part in parts)


def place_test(target: Path, label: str, *, user_folder: Path) -> tuple[Path, int, str]:
    """Return the test's file, how many folders up its base is, and the target from there.

    In a checkout tests stand in `tests/unit`, elsewhere in `tests/` of the user's folder.
    """
    full = target.resolve()
    for base in full.parents:
        if is_checkout(base):
            below = full.relative_to(base).as_posix()
            return base / "tests/unit" / f"test_{label}.py", 2, below
    below = full.relative_to(user_folder.resolve()).as_posix()
    return user_folder / "tests" / f"test_{label}.py", 1, below


def nicely(path: Path) -> Path:
    """Return a path from here where it lies below, for messages."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def draft_entry(kind: str, name: str, folder: Path | None) -> Draft:
    """Return an offer, channel, quest, campaign or tariff in a catalogue folder."""
    from scenarios.entries import CATALOG_DIR, shipped_names

    plural = ENTRY_KINDS[kind]
    base = _folder(folder or USER_CATALOGUE)
    target = base / plural / f"{name}.yaml"
    if name in shipped_names(plural) and base.resolve() != CATALOG_DIR.resolve():
        raise ScenarioError(
            f"the name is taken by a shipped {kind}", found=name,
            expected=f"another name, or a patch under catalog.define.{plural}.{name}",
        )  # fmt: skip
    test, up, below = place_test(target, f"{kind}_{name}", user_folder=base)
    words = {"kind": kind, "name": name, "title": title_of(name), "folder": plural}
    files = {
        nicely(target): fill(f"{kind}.yaml", **words),
        nicely(test): fill(
            "test_entry.py",
            up=up,
            below=below,
            selected="*",
            **words,
        ),
    }
    advice = [f"twin check {nicely(target)}", f"python -m pytest {nicely(test)}"]
    if base.name == "catalog" and up == 2:
        advice.append(f'every scenario with `{plural}: ["*"]` has it from now on: results change')
    else:
        advice.append(
            f"select it in a scenario beside {base.name}/: "
            f"catalog: {{folder: {base.name}, {plural}: [{name}]}}"
        )
    return Draft(files, advice, {})


def draft_scenario(kind: str, name: str, folder: Path | None) -> Draft:
    """Return a scenario that extends the default one."""
    from scenarios.loader import LIBRARY_DIR, shipped

    base = _folder(folder or Path("."))
    if name in shipped() and base.resolve() != LIBRARY_DIR.resolve():
        raise ScenarioError(
            "the name is taken by a shipped scenario", found=name, expected="another name"
        )
    target = base / f"{name}.yaml"
    schema = Path(os.path.relpath(SCHEMA_FILE, base.resolve())).as_posix()
    test, up, below = place_test(target, f"scenario_{name}", user_folder=base)
    words = {"name": name, "title": title_of(name), "schema": schema}
    files = {
        nicely(target): fill("scenario.yaml", **words),
        nicely(test): fill("test_scenario.py", up=up, below=below, **words),
    }
    advice = [
        f"write its question into {nicely(target)}",
        f"twin check {nicely(target)}",
        f"python -m pytest {nicely(test)}",
        f"twin run {nicely(target)}",
    ]
    return Draft(files, advice, {})


def draft_trigger(kind: str, name: str, folder: Path | None) -> Draft:
    """Return a trigger: code, so it lives in a checkout."""
    base = _folder(folder or (Path(".") if is_checkout(Path(".")) else PACKAGE_DIR))
    if not is_checkout(base):
        raise ScenarioError(
            "a trigger is code of this project, and this is no checkout of it", file=str(base),
            expected="--dir with the folder that holds actors/, scenarios/ and tests/",
        )  # fmt: skip
    target = base / "actors/rtm/triggers" / f"{name}.py"
    test = base / "tests/unit" / f"test_trigger_{name}.py"
    words = {
        "name": name,
        "title": title_of(name),
        "classname": "".join(part.capitalize() for part in name.split("_")),
    }
    files = {
        nicely(target): fill("trigger.py", **words),
        nicely(test): fill("test_trigger.py", **words),
    }
    advice = [
        "twin list triggers",
        f"python -m pytest {nicely(test)} tests/property/test_triggers.py",
        f"name it in an offer: when: {{{name}: {{least_minor: 100}}}}  (twin new offer NAME)",
    ]
    return Draft(files, advice, {})


def draft_geofence(kind: str, name: str, folder: Path | None) -> Draft:
    """Return one feature in the `fences.geojson` of a geography."""
    if folder is None or not (folder / "places.csv").is_file():
        raise ScenarioError(
            "a geofence lies in a geography", file=None if folder is None else str(folder),
            expected="--dir with a folder that holds places.csv (docs/howto/add-a-town.md)",
        )  # fmt: skip
    lat, lon = centre_of(folder / "places.csv")
    feature = fill("geofence.json", name=name, ring=json.dumps(square(lat, lon))).strip()
    target = folder / "fences.geojson"
    user = folder.resolve().parent
    test, up, below = place_test(target, f"geofence_{name}", user_folder=user)
    files = {nicely(test): fill("test_geofence.py", name=name, up=up, below=below)}
    changed: dict[Path, str] = {}
    if target.exists():
        changed[nicely(target)] = with_feature(target, feature, name)
    else:
        whole = f'{{"type": "FeatureCollection", "features": [\n{feature}\n]}}\n'
        files = {nicely(target): whole, **files}
    advice = [
        f"draw its outline in {nicely(target)}: [longitude, latitude], first point again at the "
        "end; kind is mall, airport or shop",
        f"python -m pytest {nicely(test)}",
        f"twin check SCENARIO.yaml  with `geography: {{folder: {folder.name}}}` in it",
    ]
    return Draft(files, advice, changed)


def centre_of(places: Path) -> tuple[float, float]:
    """Return latitude and longitude of the largest place of a geography."""
    try:
        with places.open(encoding="utf-8-sig", newline="") as handle:
            rows = [(float(r["population"]), float(r["lat"]), float(r["lon"]))
                    for r in csv.DictReader(handle)]  # fmt: skip
        _, lat, lon = max(rows)
        if not (-85 <= lat <= 85 and -180 <= lon <= 180):
            raise ValueError(f"position {lat}, {lon}")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ScenarioError(
            "no place to put the fence at", file=str(places), found=str(error)[:80],
            expected="rows with name,lat,lon,population",
        ) from error  # fmt: skip
    return lat, lon


def square(lat: float, lon: float) -> list[list[float]]:
    """Return a closed ring of (lon, lat) around a point, sides of `FENCE_SIDE_M`."""
    up = FENCE_SIDE_M / 2 / METRES_PER_DEGREE
    side = up / math.cos(math.radians(lat))
    corners = ((-side, -up), (side, -up), (side, up), (-side, up), (-side, -up))
    return [[round(lon + dx, 6), round(lat + dy, 6)] for dx, dy in corners]


def with_feature(path: Path, feature: str, name: str) -> str:
    """Return the text of a fence file with one more feature; what is there stays as it is."""
    try:
        if path.stat().st_size > FENCES_BYTES_MAX:
            raise ValueError(f"more than {FENCES_BYTES_MAX} bytes")
        text = path.read_text("utf-8-sig")
        old = json.loads(text)
        names = [str(f["properties"]["name"]) for f in old["features"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ScenarioError(
            "not a file of fences", file=str(path), found=str(error)[:80],
            expected="a GeoJSON FeatureCollection; `twin check` of a scenario says what is wrong",
        ) from error  # fmt: skip
    if name in names:
        raise ScenarioError(
            "there is a fence of this name already; nothing was written", file=str(path),
            found=name, expected="another name",
        )  # fmt: skip
    wanted = {**old, "features": [*old["features"], json.loads(feature)]}
    cut = text.rfind("]")
    grown = text[:cut].rstrip() + (",\n" if names else "\n") + feature + "\n" + text[cut:]
    try:
        if json.loads(grown) == wanted:
            return grown
    except ValueError:
        pass  # something stands behind the features: write it anew
    return json.dumps(wanted, ensure_ascii=False, indent=1) + "\n"


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise ScenarioError("not a folder", file=str(path), expected="--dir with a folder")
    return path


Drafter = Callable[[str, str, Path | None], Draft]
DRAFTERS: dict[str, Drafter] = {
    "trigger": draft_trigger,
    "offer": draft_entry,
    "channel": draft_entry,
    "geofence": draft_geofence,
    "quest": draft_entry,
    "campaign": draft_entry,
    "scenario": draft_scenario,
    "tariff": draft_entry,
}
