"""Read YAML 1.2 into nodes that remember file and line, and write it back.

It owns the grammar that scenarios and catalogues may use: one document of plain mappings, lists
and scalars by the core schema of YAML 1.2: `on`, `no` and `18:00` are texts and `012` is twelve.
It must not know what the keys mean.  Anchors, aliases, tags and directives are refused: none is
needed, and each has been the door of an attack.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sim.core.errors import Problem, ScenarioError

FILE_BYTES_MAX = 256 * 1024
"""Largest scenario or catalogue file, bytes; the largest shipped one has under 10 thousand."""
DEPTH_MAX = 24
"""Deepest nesting of mappings and lists; the deepest shipped file has 6."""
NODES_MAX = 20_000
"""Most values in a file."""
DIGITS_MAX = 25
"""Longest whole number, digits: more than 64 bits hold, so that ranges are told from nonsense."""
PROBLEMS_MAX = 100
"""Problems collected in one file before reading stops."""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PLAIN = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_./%()+-]| (?=[A-Za-z0-9_.(/%+-]))*")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_ESCAPED = re.compile(r"[\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff]")

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """One value with its place: a mapping, a list or a scalar.  Never changed once made."""

    value: dict[str, Node] | list[Node] | Scalar
    file: str
    line: int | None = None
    key_line: int | None = None
    text: str = ""

    @property
    def where(self) -> int | None:
        """Return the line to show: that of the key for a mapping or list, else of the value."""
        if isinstance(self.value, dict | list) and self.key_line is not None:
            return self.key_line
        return self.line


def shown(path: Path) -> str:
    """Return a path as a person reads it: from the working folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read_yaml(path: Path) -> Node:
    """Read one file; raise `ScenarioError` for anything that is not one plain document."""
    return parse_yaml(read_bytes(path), file=shown(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file of at most `FILE_BYTES_MAX` bytes."""
    file = shown(path)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ScenarioError("not a regular file", file=file, expected="a YAML file")
        with path.open("rb") as handle:
            data = handle.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(f"cannot be read: {reason}", file=file) from error
    if len(data) > FILE_BYTES_MAX:
        raise ScenarioError(
            "the file is too large", file=file,
            found=f"more than {FILE_BYTES_MAX} bytes" if info.st_size <= len(data)
            else f"{info.st_size} bytes",
            expected=f"at most {FILE_BYTES_MAX} bytes",
        )  # fmt: skip
    return data


def parse_yaml(data: bytes, *, file: str) -> Node:
    """Parse one document.

    Parameters
    ----------
    data : bytes, UTF-8, with or without a byte-order mark
    file : what messages call it
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(
            "not a UTF-8 text", file=file, line=data.count(b"\n", 0, error.start) + 1,
            found=f"byte 0x{data[error.start]:02x}", expected="UTF-8",
        ) from error  # fmt: skip
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        raise ScenarioError(
            "not a printable character", file=file, line=text.count("\n", 0, bad.start()) + 1,
            found=f"U+{ord(bad.group()):04X}", expected="text",
        )  # fmt: skip
    try:
        return _Builder(file).build(YAML(typ="safe", pure=True).parse(text))
    except YAMLError as error:
        raise _syntax_error(error, file, text) from error
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        # The scanner trips over a few malformed escapes and directives instead of refusing them.
        raise ScenarioError(f"not YAML: {error}", file=file, expected="YAML 1.2") from error


def _syntax_error(error: YAMLError, file: str, text: str) -> ScenarioError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = None if mark is None else mark.line + 1
    problem = getattr(error, "problem", None) or str(error).strip().split("\n")[0]
    lines = text.splitlines()
    here = lines[line - 1] if line is not None and line <= len(lines) else ""
    hint = "YAML 1.2: `key: value`, indented with spaces"
    if "\t" in here:
        hint = "spaces; a tab cannot indent"
    found = here.strip()[:60]
    return ScenarioError(f"not YAML: {problem}", file=file, line=line, found=found, expected=hint)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read."""

    value: dict[str, Node] | list[Node]
    line: int
    key: str | None = None
    key_line: int | None = None


class _Builder:
    """Turns parser events into nodes without recursion, so that depth is a count and no crash."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.n_nodes = 0

    def build(self, events: Iterator[Any]) -> Node:
        n_documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                n_documents += 1
                self._document(event, n_documents)
            elif isinstance(event, AliasEvent):
                self._stop(event, "anchors and aliases are not allowed", f"*{event.anchor}",
                           "the value itself, or `extends`; quote a text like *x")  # fmt: skip
            elif isinstance(event, ScalarEvent):
                self._check(event)
                self._scalar(event)
            elif isinstance(event, MappingStartEvent | SequenceStartEvent):
                self._check(event)
                self._open(event)
            elif isinstance(event, MappingEndEvent | SequenceEndEvent):
                self._close()
            if len(self.problems) >= PROBLEMS_MAX:
                break
        if self.problems:
            raise ScenarioError.collect(self.problems)
        if self.root is None:
            raise ScenarioError("the file is empty", file=self.file, expected="one YAML document")
        return self.root

    def _document(self, event: DocumentStartEvent, n_documents: int) -> None:
        if n_documents > 1:
            self._stop(event, "more than one document in the file", "---", "one document")
        if event.version not in (None, (1, 2)) or event.tags:
            self._stop(event, "directives are not allowed", "%", "a plain YAML 1.2 document")

    def _check(self, event: Any) -> None:
        self.n_nodes += 1
        if self.n_nodes > NODES_MAX:
            self._stop(event, "too many values", f"more than {NODES_MAX}", f"at most {NODES_MAX}")
        if event.anchor is not None:
            self._stop(event, "anchors and aliases are not allowed", f"&{event.anchor}",
                       "the value itself, or `extends`")  # fmt: skip
        if event.tag is not None:
            self._stop(event, "tags are not allowed", str(event.tag), "plain values")

    def _stop(self, event: Any, message: str, found: str, expected: str) -> None:
        self.problems.append(self._problem(event, message, found, expected))
        raise ScenarioError.collect(self.problems)

    def _problem(self, event: Any, message: str, found: str, expected: str) -> Problem:
        line = event.start_mark.line + 1
        return Problem(message, file=self.file, line=line, found=found[:80], expected=expected)

    def _open(self, event: Any) -> None:
        if len(self.stack) >= DEPTH_MAX:
            self._stop(event, "nested too deeply", f"more than {DEPTH_MAX} levels",
                       f"at most {DEPTH_MAX}")  # fmt: skip
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._stop(event, "a key must be a plain name", "a mapping or list", "a name")
        empty: dict[str, Node] | list[Node] = {} if isinstance(event, MappingStartEvent) else []
        self.stack.append(_Open(empty, event.start_mark.line + 1))

    def _close(self) -> None:
        done = self.stack.pop()
        self._put(done.value, line=done.line, text="")

    def _scalar(self, event: ScalarEvent) -> None:
        line = event.start_mark.line + 1
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            if event.style is None and not isinstance(_resolve(event.value), str):
                self.problems.append(
                    self._problem(event, "a key must be a name", event.value or "nothing", "a name")
                )
            if event.value in top.value:
                first = top.value[event.value].key_line
                self.problems.append(
                    self._problem(
                        event,
                        f"the key {event.value!r} stands twice",
                        "a second one",
                        f"one value; the first stands in line {first}",
                    )  # fmt: skip
                )
            top.key, top.key_line = event.value, line
            return
        value: Scalar = event.value
        if event.style is None:
            try:
                value = _resolve(event.value)
            except ValueError as error:
                self.problems.append(self._problem(event, str(error), event.value, "a number"))
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            self.problems.append(self._problem(event, "not a character", "a surrogate", "text"))
        self._put(value, line=line, text=event.value)

    def _put(self, value: Any, *, line: int, text: str) -> None:
        top = self.stack[-1] if self.stack else None
        if top is None:
            self.root = Node(value, self.file, line, None, text)
        elif isinstance(top.value, dict):
            assert top.key is not None
            top.value[top.key] = Node(value, self.file, line, top.key_line, text)
            top.key = None
        else:
            top.value.append(Node(value, self.file, line, None, text))


def _resolve(text: str) -> Scalar:
    """Return a plain scalar as the core schema of YAML 1.2 reads it."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    for pattern, base in ((_INT, 10), (_OCT, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            if len(text) > DIGITS_MAX:
                raise ValueError("the number is too long")
            return int(text[2:] if base != 10 else text, base)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("not a finite number")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("not a finite number")
        # 1e6 is a whole number to whoever writes it; a float field takes the int as well.
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return text


def parse_value(text: str, *, file: str) -> Node:
    """Parse the right side of `--set key=value`."""
    if text.strip() in ("", "*"):
        return Node(text.strip(), file, None, None, text)
    return replace_places(parse_yaml(text.encode("utf-8", "surrogatepass"), file=file), file=file)


def replace_places(node: Node, *, file: str) -> Node:
    """Return the node with another file and without lines."""
    value: Any = node.value
    if isinstance(value, dict):
        value = {key: replace_places(child, file=file) for key, child in value.items()}
    elif isinstance(value, list):
        value = [replace_places(child, file=file) for child in value]
    return Node(value, file, None, None, node.text)


def make_node(value: Any, *, file: str, depth: int = 0) -> Node:
    """Return plain Python data as nodes without lines; `file` names where it came from."""
    if depth > DEPTH_MAX:
        raise ScenarioError("nested too deeply", file=file, expected=f"at most {DEPTH_MAX}")
    if isinstance(value, Mapping):
        children = {
            str(key): make_node(child, file=file, depth=depth + 1) for key, child in value.items()
        }
        return Node(children, file, text="a mapping")
    if isinstance(value, list | tuple):
        return Node([make_node(child, file=file, depth=depth + 1) for child in value], file)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    finite = isinstance(value, str | int | bool | None) or (
        isinstance(value, float) and math.isfinite(value)
    )
    if not finite:
        raise ScenarioError(
            "not a value of a scenario", file=file, found=repr(value)[:80],
            expected="text, a finite number, true, false, a list or a mapping",
        )  # fmt: skip
    return Node(value, file, None, None, str(value))


def plain(node: Node) -> Any:
    """Return the node as plain dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def dump_yaml(data: Any) -> str:
    """Write plain data as YAML 1.2 that `parse_yaml` reads back as the same data."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Any, indent: str) -> list[str]:
    if not isinstance(data, dict) or not data:
        return [indent + _flow(data)]
    lines = []
    for key, value in data.items():
        head = f"{indent}{_text(str(key))}:"
        if isinstance(value, dict) and value:
            lines.append(head)
            lines.extend(_lines(value, indent + "  "))
        elif isinstance(value, list | tuple) and any(isinstance(v, dict) for v in value):
            lines.append(head)
            lines.extend(f"{indent}  - {_flow(item)}" for item in value)
        else:
            lines.append(f"{head} {_flow(value)}")
    return lines


def _flow(data: Any) -> str:
    if isinstance(data, dict):
        return "{" + ", ".join(f"{_text(str(k))}: {_flow(v)}" for k, v in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(_flow(v) for v in data) + "]"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    if isinstance(data, int | float):
        return repr(data)
    return _text(str(data))


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and isinstance(_resolve(text), str):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda m: f"\\u{ord(m.group()):04x}", quoted)
