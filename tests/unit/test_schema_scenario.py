"""The schema that editors read is current, complete, and fits what is shipped."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scenarios.loader import LIBRARY_DIR
from scenarios.schema import SCHEMA_FILE, scenario_schema, schema_text
from scenarios.yaml12 import plain, read_yaml

LIBRARY = sorted(LIBRARY_DIR.glob("*.yaml"))
SECTION = "a section; its own description stands at its model"


def test_the_committed_schema_is_current(regenerate: bool) -> None:
    """It equals what the models say now; `python -m scenarios.schema` writes it anew."""
    if regenerate:
        SCHEMA_FILE.write_text(schema_text(), "utf-8")
    assert SCHEMA_FILE.read_text("utf-8") == schema_text(), "run `python -m scenarios.schema`"


def test_everything_is_described() -> None:
    """Every key has words of its own or those of the section that it opens."""
    schema = scenario_schema()
    assert len(schema["$defs"]) > 20
    for name, part in {"Scenario": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            told = value.get("description") or (SECTION if "$ref" in str(value) else "")
            assert told, f"{name}.{key} has no description"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_a_shipped_scenario_names_the_schema_and_fits_it(path: Path) -> None:
    """Its first line leads from its own folder to the schema, and the schema accepts it."""
    told = re.fullmatch(
        r"# yaml-language-server: \$schema=(\S+)", path.read_text("utf-8").split("\n")[0]
    )
    assert told is not None
    assert (path.parent / told[1]).resolve() == SCHEMA_FILE.resolve()
    assert complaints(plain(read_yaml(path))) == []


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    """A misspelt key, a wrong type, a value out of range, a patch of an entry with a wrong key."""
    good: dict[str, Any] = {"scenario": "x", "extends": "city_day"}
    assert complaints(good) == []
    wrong = (
        {"population": {"subscriber": 5}}, {"clock": {"days": "long"}}, {"clock": {"days": 0}},
        {"catalog": {"define": {"offers": {"mall_coupon": {"control": {"percent": 5}}}}}},
        {"timeline": [{"at_h": 1, "do": "earthquake"}]},
    )  # fmt: skip
    for part in wrong:
        assert complaints({**good, **part}), part


def complaints(data: Any) -> list[str]:
    """Return what the schema says against a scenario."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(data)]
