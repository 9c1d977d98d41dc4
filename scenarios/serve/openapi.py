"""The description of the API, shown with `--docs` to whoever has the token.

It owns the text alone.  It must not serve it.
"""

from __future__ import annotations

import html
import json
from typing import Any

from scenarios.serve.limits import BODY_BYTES_MAX, KEY_BYTES_MAX
from scenarios.serve.wire import Ask

_REFUSALS = {
    "400": "not JSON or XML, nested too deep, or a wrong Idempotency-Key",
    "401": "no token, or a wrong one",
    "409": "the Idempotency-Key came before with another content",
    "413": f"more than {BODY_BYTES_MAX} bytes",
    "415": "another Content-Type",
    "422": "a field is missing, unknown or out of range: the answer names it",
    "429": "more requests a second than are let in; see Retry-After",
    "503": "the engine is starting, or too many requests at one time; see Retry-After",
}
_KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "the same key and content is answered alike, and decided once",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX},
}  # fmt: skip


def openapi() -> dict[str, Any]:
    """Return the description in the form of OpenAPI 3.1."""
    schema = Ask.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs", {})
    refusals = {code: {"description": text} for code, text in _REFUSALS.items()}
    answer = {
        "type": "object",
        "properties": {
            "query": {"const": "offers"},
            "decision": {"type": "integer", "description": "number of the decision"},
            "at": {"type": "string", "description": "simulated local time of the scenario"},
            "channel": {"type": "string"},
            "outcome": {"enum": ["offers", "none"]},
            "offers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "rank": {"type": "integer"}, "offer": {"type": "string"},
                        "title": {"type": "string"}, "group": {"type": "string"},
                        "priority": {"type": "integer"},
                    },
                },
            },
        },
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "Inbound decisions", "version": "1"},
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**parts, "Ask": schema, "Answer": answer},
        },
        "paths": {
            "/health": {"get": {
                "security": [], "summary": "ready or starting",
                "responses": {"200": {"description": "ready"}, "503": {"description": "starting"}},
            }},
            "/v1/decisions": {"post": {
                "summary": "Offers for a customer, his profile, or his target groups",
                "parameters": [_KEY],
                "requestBody": {"required": True, "content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Ask"}}}},
                "responses": {"200": {"description": "an answer", "content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Answer"}}}}, **refusals},
            }},
            "/request-promo": {"post": {
                "summary": "A request-promo of a service, answered by a response-promo",
                "parameters": [_KEY],
                "requestBody": {"required": True, "content": {"application/xml": {}}},
                "responses": {"200": {"description": "response-promo",
                                      "content": {"application/xml": {}}}, **refusals},
            }},
        },
    }  # fmt: skip


def docs_page() -> bytes:
    """Return the description as a page that asks no other host for anything."""
    text = html.escape(json.dumps(openapi(), indent=2))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Inbound decisions</title>"
        f"<h1>Inbound decisions</h1><pre>{text}</pre></html>"
    ).encode()
