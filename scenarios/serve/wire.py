"""What travels: the JSON of `/v1/decisions` and the XML of `/request-promo`, read strictly.

It owns both formats, in and out, and the errors that name a field and repeat no value.  It must not
know the engine, nor HTTP beyond a status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scenarios.serve.journal import RANKS_MAX
from scenarios.serve.limits import DEPTH_MAX, ELEMENTS_MAX

DIGITS = r"^[0-9]{1,15}$"


class Refused(Exception):
    """A request that cannot be served.

    Parameters
    ----------
    status : of HTTP
    text : what is wrong and where; repeats nothing that was sent
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Question:
    """A request, whichever way it came.

    Attributes
    ----------
    identity, number : `phone` or `line`, and its digits
    sender, source, params, objects : of the XML, to be repeated in its answer
    """

    identity: str
    number: str
    query: str = "offers"
    channel: str = "agent"
    limit: int = 3
    sender: str = ""
    source: str = ""
    params: tuple[tuple[str, str], ...] = ()
    objects: int = 0


# --- JSON ---------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Customer(_Strict):
    """Whom it is about."""

    identity: Literal["phone", "line"] = Field(description="kind of number")
    id: str = Field(pattern=DIGITS, description="digits of the number")


class Ask(_Strict):
    """Body of `POST /v1/decisions`."""

    customer: Customer
    query: Literal["offers", "profile", "groups"] = Field(
        default="offers", description="what is asked for"
    )
    channel: Literal["agent", "self_care", "service"] = Field(
        default="agent", description="who asks"
    )
    limit: int = Field(default=3, ge=1, le=RANKS_MAX, description="offers at most")


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused(400, "a key stands twice in one object")
    return found


def _no_constant(_: str) -> Any:
    raise Refused(400, "NaN and Infinity are no numbers of JSON")


def _depth(value: Any, left: int = DEPTH_MAX) -> None:
    if left == 0:
        raise Refused(400, f"nested deeper than {DEPTH_MAX}")
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, dict | list):
            _depth(part, left - 1)


def read_json(body: bytes) -> Question:
    """Return the question of a JSON body.

    Raises
    ------
    Refused : 400 is no JSON, 422 is not the JSON that is asked for
    """
    try:
        data = json.loads(body.decode(), object_pairs_hook=_no_twice, parse_constant=_no_constant)
    except RecursionError:
        raise Refused(400, f"nested deeper than {DEPTH_MAX}") from None
    except ValueError:
        raise Refused(400, "the body is no JSON in UTF-8") from None
    if isinstance(data, dict | list):
        _depth(data)
    try:
        asked = Ask.model_validate(data)
    except ValidationError as error:
        told = [
            f"{_place(part['loc'])}: {part['msg']}"
            for part in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Refused(422, "; ".join(told[:5])) from None
    return Question(
        asked.customer.identity, asked.customer.id, asked.query, asked.channel, asked.limit
    )


def _place(steps: tuple[int | str, ...]) -> str:
    """Return a path; a key that was sent and is not ours is shortened, and shows no number."""
    known = {"customer", "identity", "id", "query", "channel", "limit"}
    return ".".join(str(s) if s in known else "(unknown key)" for s in steps) or "body"


def write_json(data: Any) -> bytes:
    """Return a JSON body."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


# --- XML ----------------------------------------------------------------------------------------

_CHILDREN = {
    "": ("request-promo",),
    "request-promo": ("customer", "service", "order-params"),
    "service": ("object",),
    "order-params": ("param",),
}
_ATTRIBUTES = {
    "request-promo": {"dt": False, "sender": True, "query": False},
    "customer": {"identity": True},
    "service": {"name": False},
    "object": {"code": True, "format": False},
    "order-params": {"source": False},
    "param": {"name": True, "value": True},
}
"""Attribute -> whether it must be there."""
_ONCE = ("customer", "service", "order-params")
_QUERIES = ("offers", "profile", "groups")


@dataclass
class _Reader:
    """Collects a `request-promo`; anything that is not of it ends the reading."""

    path: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    sender: str = ""
    query: str = "offers"
    identity: str = ""
    number: str = ""
    source: str = ""
    params: list[tuple[str, str]] = field(default_factory=list)
    objects: int = 0
    elements: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Enter an element."""
        parent = self.path[-1] if self.path else ""
        if len(self.path) >= DEPTH_MAX:
            raise Refused(400, f"elements are nested deeper than {DEPTH_MAX}")
        self.elements += 1
        if self.elements > ELEMENTS_MAX:
            raise Refused(400, f"more than {ELEMENTS_MAX} elements")
        if name not in _CHILDREN.get(parent, ()):
            raise Refused(422, f"{parent or 'document'}: an element that is not known there")
        if name in _ONCE and name in self.seen:
            raise Refused(422, f"{name}: stands twice")
        self.seen.add(name)
        known = _ATTRIBUTES[name]
        if any(key not in known for key in attributes):
            raise Refused(422, f"{name}: an attribute that is not known there")
        for key, must in known.items():
            if must and key not in attributes:
                raise Refused(422, f"{name}@{key}: is missing")
        self.path.append(name)
        if name == "request-promo":
            self.sender = attributes["sender"]
            self.query = attributes.get("query", "offers")
            if self.query not in _QUERIES:
                raise Refused(422, "request-promo@query: expected offers, profile or groups")
        elif name == "customer":
            self.identity = attributes["identity"]
            if self.identity not in ("phone", "line"):
                raise Refused(422, "customer@identity: expected phone or line")
        elif name == "object":
            self.objects += 1
        elif name == "order-params":
            self.source = attributes.get("source", "")
        elif name == "param":
            self.params.append((attributes["name"], attributes["value"]))

    def end(self, _: str) -> None:
        """Leave an element."""
        self.path.pop()

    def text(self, text: str) -> None:
        """Take text, which only a customer has."""
        if self.path and self.path[-1] == "customer":
            self.number += text
        elif text.strip():
            raise Refused(422, f"{self.path[-1] if self.path else 'document'}: holds text")


def _no_doctype(*_: Any) -> None:
    raise Refused(400, "a document type is not taken")


def read_xml(body: bytes) -> Question:
    """Return the question of a `request-promo`.

    Raises
    ------
    Refused : 400 is no XML, or has a document type; 422 is not a request of this kind
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    # The first thing that a document type does is to end the reading: no entity is ever defined.
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.EntityDeclHandler = _no_doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise Refused(400, "the body is no well-formed XML") from None
    if "customer" not in reader.seen:
        raise Refused(422, "request-promo/customer: is missing")
    number = reader.number.strip()
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        raise Refused(422, "request-promo/customer: expected 1 to 15 digits")
    if reader.objects > RANKS_MAX:
        raise Refused(422, f"service/object: more than {RANKS_MAX}")
    return Question(
        reader.identity, number, reader.query, channel="service", limit=max(reader.objects, 1),
        sender=reader.sender, source=reader.source, params=tuple(reader.params),
        objects=reader.objects,
    )  # fmt: skip


def write_xml(question: Question, moment: str, texts: list[str]) -> bytes:
    """Return the `response-promo` to a question: its parameters repeated, and the messages."""
    messages = "".join(f'    <message format="text">{escape(text)}</message>\n' for text in texts)
    return _response(question, moment, f"  <messages>\n{messages}  </messages>\n")


def write_known_xml(question: Question, moment: str, known: Any) -> bytes:
    """Return the `response-promo` with what is known of a customer, or with his target groups.

    Parameters
    ----------
    known : answer of the engine: traits by name, some of them lists of rows; or a list of names
    """
    if question.query == "groups":
        rows = "".join(f"    <group name={quoteattr(name)} />\n" for name in known)
        return _response(question, moment, f"  <groups>\n{rows}  </groups>\n")
    told = []
    for name, value in known.items():
        if isinstance(value, list):
            tag = {"contacts": "contact", "purchases": "purchase"}[name]
            told += [f"    <{tag}{_attributes(row)} />\n" for row in value]
        elif value is not None:
            told.append(f"    <trait{_attributes({'name': name, 'value': value})} />\n")
    return _response(question, moment, f"  <customer>\n{''.join(told)}  </customer>\n")


def _attributes(row: dict[str, Any]) -> str:
    shown = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in row.items()}
    return "".join(f" {name}={quoteattr(value)}" for name, value in shown.items())


def _response(question: Question, moment: str, content: str) -> bytes:
    params = "".join(
        f"    <param name={quoteattr(name)} value={quoteattr(value)} />\n"
        for name, value in question.params
    )
    return (
        f"<response-promo receiver={quoteattr(question.sender)} dt={quoteattr(moment)}>\n"
        f"  <order-params source={quoteattr(question.source)}>\n{params}  </order-params>\n"
        f"{content}</response-promo>\n"
    ).encode()


def error_xml(text: str) -> bytes:
    """Return an error as XML."""
    return f"<error>{escape(text)}</error>\n".encode()
