"""Hold a tree of nodes against an option model and say everything that is wrong with it.

It owns the translation of the model's complaints into problems with file, line, path, what was
found and what would be right, unit included.  It must not know any scenario or catalogue.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from scenarios.yaml12 import Node, plain
from sim.core.errors import Problem, nearest

Model = TypeVar("Model", bound=BaseModel)
Loc = tuple[str | int, ...]

_KEYS_SHOWN = 12
_TYPE_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def validate(
    model: type[Model], node: Node, *, prefix: Loc = ()
) -> tuple[Model | None, list[Problem]]:
    """Return the model of a tree, or None, and every problem.

    Parameters
    ----------
    node : tree of the options, as read
    prefix : where the tree stands in its file, for the paths in messages
    """
    if not isinstance(node.value, dict):
        return None, [problem_at(node, prefix, "wrong type", expected="a mapping of keys")]
    data = with_dict_defaults(model, plain(node))
    try:
        return model.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_context=True, include_input=False)
    return None, [_problem(model, node, complaint, prefix) for complaint in complaints]


def problem_at(
    node: Node, path: Loc, message: str, *, found: str | None = None, expected: str | None = None
) -> Problem:
    """Return a problem at the place of a node; `found` is its own text unless told."""
    return Problem(
        message,
        file=node.file,
        line=node.where,
        path=dotted(path) or None,
        found=describe(node) if found is None else found,
        expected=expected,
    )


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as it is written in `--set`."""
    return ".".join(str(part) for part in path)


def describe(node: Node) -> str:
    """Return what stands at a node, shortly."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "nothing"
    text = node.text or str(node.value)
    if len(text) > 60:
        text = text[:57] + "..."
    return repr(text) if isinstance(node.value, str) else text


def child_at(node: Node, path: Loc) -> tuple[Node, int]:
    """Return the deepest node on a path that exists, and how many parts of the path lead there."""
    for depth, part in enumerate(path):
        value = node.value
        if isinstance(value, dict) and isinstance(part, str) and part in value:
            node = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        else:
            return node, depth
    return node, len(path)


def look(node: Node, *path: str | int) -> Node | None:
    """Return the node at a path, or None."""
    found, depth = child_at(node, path)
    return found if depth == len(path) else None


def with_dict_defaults(model: type[BaseModel], data: Any) -> Any:
    """Fill mappings by name (`organic_share`) from their defaults, so that one may be given."""
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    for name, info in model.model_fields.items():
        if name not in filled:
            continue
        inner = _model_of(info.annotation)
        if inner is not None:
            filled[name] = with_dict_defaults(inner, filled[name])
        elif isinstance(info.default, dict) and isinstance(filled[name], dict):
            filled[name] = {**info.default, **filled[name]}
    return filled


def _problem(model: type[BaseModel], root: Node, complaint: Any, prefix: Loc) -> Problem:
    loc: Loc = tuple(complaint["loc"])
    kind: str = complaint["type"]
    node, depth = child_at(root, loc)
    path = prefix + loc
    if kind == "extra_forbidden":
        keys = tuple(_keys_at(model, loc[:-1]))
        close = nearest(str(loc[-1]), keys)
        message = f"unknown key {str(loc[-1])!r}"
        if close is not None:
            message += f", did you mean {close!r}?"
        shown = ", ".join(keys[:_KEYS_SHOWN]) + (", ..." if len(keys) > _KEYS_SHOWN else "")
        return Problem(
            message, file=node.file, line=node.key_line or node.line, path=dotted(path),
            found=str(loc[-1]), expected=close or f"one of {shown}",
        )  # fmt: skip
    info = field_at(model, loc)
    if kind == "missing":
        return problem_at(
            node, path, f"missing key {str(loc[-1])!r}", found="nothing", expected=expectation(info)
        )
    message = "wrong type" if kind.endswith(("_type", "_parsing", "_from_float")) else "wrong value"
    if kind.startswith(("greater_than", "less_than")):
        message = "out of range"
    elif kind in ("too_long", "too_short"):
        message = "too many entries" if kind == "too_long" else "too few entries"
    elif kind not in _KNOWN and message == "wrong value":
        message = str(complaint["msg"])
    return problem_at(node, prefix + loc[:depth], message, expected=expectation(info, loc))


_KNOWN = {"literal_error", "string_pattern_mismatch", "string_too_short", "string_too_long"}


def _keys_at(model: type[BaseModel], loc: Loc) -> Iterable[str]:
    inner = _type_at(model, loc)[0]
    return inner.model_fields if _is_model(inner) else ()


def field_at(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    """Return the nearest field on a path."""
    return _type_at(model, loc)[1]


def _type_at(model: type[BaseModel], loc: Loc) -> tuple[Any, FieldInfo | None]:
    """Return the type on a path and the last field that led there."""
    kind: Any = model
    info: FieldInfo | None = None
    for part in loc:
        if _is_model(kind):
            if part not in kind.model_fields:
                return kind, None
            info = kind.model_fields[part]
            kind = _no_none(kind.model_fields[part].annotation)
            continue
        arguments = typing.get_args(kind)
        origin = typing.get_origin(kind)
        if origin is dict and len(arguments) == 2:
            kind = _no_none(arguments[1])
        elif origin in (tuple, list) and arguments:
            kind = _no_none(arguments[0])
        else:
            return kind, info
    return kind, info


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _no_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [k for k in typing.get_args(kind) if k is not type(None)]
        return rest[0] if rest else kind
    return kind


def _model_of(kind: Any) -> type[BaseModel] | None:
    kind = _no_none(kind)
    return kind if _is_model(kind) else None


def expectation(info: FieldInfo | None, loc: Loc = ()) -> str | None:
    """Say what a field takes: type, range, and its description, which names the unit."""
    if info is None:
        return None
    kind = _no_none(info.annotation)
    if loc and isinstance(loc[-1], int) and typing.get_origin(kind) in (tuple, list):
        kind = typing.get_args(kind)[0]
    bounds = _range_words(info)
    if typing.get_origin(kind) in (tuple, list):
        words = _type_words(kind).replace("[...]", f"[...]{bounds}")
    else:
        words = _type_words(kind) + bounds
    if kind is not info.annotation and type(None) in typing.get_args(info.annotation):
        words += " or null"
    return f"{words} ({info.description})" if info.description else words


def _type_words(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(value) for value in typing.get_args(kind))
    if origin in (tuple, list):
        inner = typing.get_args(kind)[0]
        return f"a list [...], each {_type_words(inner)}"
    if origin is dict or _is_model(kind):
        return "a mapping of keys"
    return _TYPE_WORDS.get(kind, "a value")


def _range_words(info: FieldInfo) -> str:
    found = {}
    for rule in info.metadata:
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"):
            if getattr(rule, name, None) is not None:
                found[name] = getattr(rule, name)
    words = (
        ("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"),
        ("min_length", "of length at least"), ("max_length", "of length at most"),
        ("pattern", "of the form"),
    )  # fmt: skip
    return "".join(f" {word} {found[name]}" for name, word in words if name in found)
