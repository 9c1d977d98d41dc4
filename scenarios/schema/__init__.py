"""The JSON Schema of the scenario file, for editors: completion, descriptions, units, ranges.

It owns how the option models become one schema that also fits a file which extends another one.
It must not check anything itself: `twin check` does, and says more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from scenarios.entries import KINDS
from scenarios.models import Scenario

SCHEMA_FILE = Path(__file__).parent / "scenario.schema.json"
DESCRIPTIONS = {
    ("Cap", "contacts"): "highest number of contacts",
    ("Cap", "per_days"): "in so many days",
    ("Channel", "channel"): "name",
    ("Channel", "title"): "what a person reads",
    ("Channel", "latency_sigma"): "log-sd of the transit time",
    ("Offer", "group"): "group of initiatives",
    ("Product", "kind"): "what is given",
    ("Quest", "quest"): "name",
    ("Quest", "title"): "what a person reads",
    ("QuestStep", "do"): "what to do",
    ("QuestStep", "kind"): "kind of geofence",
    ("Truth", "category"): "need that the offer meets",
    ("PlacementParams", "runtime"): "what carries the roles",
    ("PlacementParams", "groups"): "roles that share a host",
    ("QuietHours", "from_h"): "start, local hour",
    ("QuietHours", "to_h"): "end, local hour",
    ("TimelineEntry", "do"): "what happens",
    ("Scenario", "timeline"): "what happens at stated moments",
}
"""What the models leave to their names."""


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a scenario file as a JSON object.

    Nothing is required but a name: what is missing comes from `extends` or from defaults. Entries
    below `catalog.define` are whole ones or patches, so nothing is required of them either.
    """
    models = [Scenario, *(kind.model for kind in KINDS.values())]
    _, found = models_json_schema([(model, "validation") for model in models])
    parts: dict[str, Any] = found["$defs"]
    for name, part in parts.items():
        _describe(name, part)
    for kind in KINDS.values():
        parts[kind.model.__name__].pop("required", None)
        entries = parts["Definitions"]["properties"][kind.folder]
        entries["additionalProperties"] = {"$ref": f"#/$defs/{kind.model.__name__}"}
    top = parts.pop("Scenario")
    top["required"] = ["scenario"]
    extends = {"type": "string", "description": "shipped scenario, or a YAML file beside this one"}
    properties = {"scenario": top["properties"].pop("scenario"), "extends": extends}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Scenario of the digital twin of a mobile operator",
        **{key: value for key, value in top.items() if key not in ("title", "properties")},
        "properties": {**properties, **top["properties"]},
        "$defs": parts,
    }


def _describe(name: str, part: dict[str, Any]) -> None:
    """Give a description to what has none, and take out titles, which repeat the name."""
    for key, value in part.get("properties", {}).items():
        value.pop("title", None)
        told = DESCRIPTIONS.get((name, key))
        if told is not None and "description" not in value:
            value["description"] = told


def schema_text() -> str:
    """Return the text of the committed file."""
    return json.dumps(scenario_schema(), indent=1, ensure_ascii=False) + "\n"
