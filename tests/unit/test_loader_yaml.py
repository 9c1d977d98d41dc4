"""The grammar of scenario files: YAML 1.2, and nothing that can bite."""

import os
import time
from pathlib import Path

import pytest

from scenarios.yaml12 import (
    DEPTH_MAX,
    FILE_BYTES_MAX,
    NODES_MAX,
    Node,
    dump_yaml,
    make_node,
    parse_value,
    parse_yaml,
    plain,
    read_yaml,
)
from sim.core.errors import ScenarioError


def read(text: str | bytes) -> object:
    """Return the plain data of a document."""
    data = text.encode() if isinstance(text, str) else text
    return plain(parse_yaml(data, file="x.yaml"))


@pytest.mark.fault("G3")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("NO", "NO"), ("yes", "yes"), ("y", "y"), ("off", "off"),
        ("18:00", "18:00"), ("09:00", "09:00"), ("21:00:30", "21:00:30"),
        ("012", 12), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("+7", 7), ("-3", -3),
        ("1e6", 1_000_000), ("1.5", 1.5), (".5", 0.5), ("2.", 2), ("1e-3", 0.001),
        ("~", None), ("null", None), ("", None), ("true", True), ("FALSE", False), ("tRue", "tRue"),
        ("2026-03-04", "2026-03-04"), ("2026-03-04T00:00", "2026-03-04T00:00"),
        ("'true'", "true"), ('"12"', "12"), ("=", "="), ("0b1", "0b1"), ("1,000", "1,000"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_the_core_schema_says(text: str, value: object):
    """G3: no word, hour or code is turned into something else."""
    got = read(f"key: {text}\n")
    assert got == {"key": value} and type(got["key"]) is type(value)  # pyright: ignore[reportIndexIssue] - a mapping


@pytest.mark.fault("G5", "G6")
@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (b"", "empty", None),
        (b"# only a comment\n", "empty", None),
        (b"a: 1\n---\nb: 2\n", "more than one document", 2),
        (b"a: 1\nb: &x 1\nc: *x\n", "anchors and aliases", 2),
        (b"a: 1\n<<: *x\n", "anchors and aliases", 2),
        (b"a: !!python/object/apply:os.system [ls]\n", "tags are not allowed", 1),
        (b"a: !include x\n", "tags are not allowed", 1),
        (b"a: !!binary aGk=\n", "tags are not allowed", 1),
        (b"%YAML 1.1\n---\na: 1\n", "directives", 2),
        (b"a:\n\tb: 1\n", "a tab cannot indent", 2),
        (b"a: 1\nb: \xff\n", "not a UTF-8 text", 2),
        ("a: 1\n".encode("utf-16"), "not a UTF-8 text", 1),
        (b"a: 1\nb: \x00\n", "not a printable character", 2),
        (b"a: 1\nb: [1, 2\nc: 3\n", "not YAML", 3),
        (b"a: .inf\n", "not a finite number", 1),
        (b"a: " + b"9" * 5000, "too long", 1),
        (b"? [a]\n: 1\n", "a key must be a plain name", 1),
        (b"a: 1\n3: 1\n", "a key must be a name", 2),
        (b"~: 1\n", "a key must be a name", 1),
        (b'a: "\\ud800"\n', "not a character", 1),
        (b'a: "\\UFFFFFFFF"\n', "not YAML", None),
    ],
)
def test_what_is_not_one_plain_document_is_refused(text: bytes, words: str, line: int | None):
    """G2, G5, G6 and their kind: one error, with the line."""
    with pytest.raises(ScenarioError) as caught:
        read(text)
    assert words in str(caught.value)
    assert caught.value.problems[0].line == line


@pytest.mark.fault("G5")
@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "a: &a [x]\n" + "".join(f"k{i}: &n{i} [*a, *a]\n" for i in range(9)),
        "".join(f"k{i}: [{', '.join(['1'] * 20)}]\n" for i in range(2000)),
        "x" * FILE_BYTES_MAX,
        "a: [" + "1, " * 60_000 + "]",
        "? " * 5000,
        "k:\n" * 3000,
        "'" * 30_001,
    ],
)
def test_a_bomb_is_refused_within_a_second(text: str):
    """G5: depth, number and size have limits; the clock is generous for a shared machine."""
    began = time.process_time()
    try:
        assert not isinstance(read(text), dict)
    except ScenarioError:
        pass
    assert time.process_time() - began < 3


def test_limits_have_a_legal_side():
    """The deepest legal document and the largest number of values are read."""
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert read(deep) is not None
    with pytest.raises(ScenarioError, match="nested too deeply"):
        read("[" + deep + "]")
    many = "[" + ",".join(["1"] * (NODES_MAX - 1)) + "]"
    assert len(read(many)) == NODES_MAX - 1  # pyright: ignore[reportArgumentType] - a list
    with pytest.raises(ScenarioError, match="too many values"):
        read("[" + many + ", 1]")


def test_files_are_regular_and_small(tmp_path: Path):
    """A folder, a device, a pipe, a missing and a large file are refused without being read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"a" * (FILE_BYTES_MAX + 1))
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "pipe", tmp_path / "no"):
        with pytest.raises(ScenarioError, match="regular file|cannot be read"):
            read_yaml(path)
    with pytest.raises(ScenarioError, match="too large"):
        read_yaml(tmp_path / "large")


def test_what_is_written_is_read_back():
    """Texts that look like something else, empties, unicode, small numbers."""
    data = {
        "a": {"b": "on", "c": "12:00", "d": "", "e": "it's", "h": {}, "n": None},
        "f": ["x", 1.5, 1e-7, None, True, -3, "* y", "&z", "!t", "- q", "a: b", "a #c", "null"],
        "g": [{"x": ["1", 1]}, {"y": {}}],
        "i": "a\u2028b\x7f\U0001f600\u0085\ufeff tail ",
        "on": "~",
        "12": ["012", "1e3", ".5", "0x1", "true", "=", "%", "@", "`", "|", ">"],
    }
    assert read(dump_yaml(data)) == data
    assert plain(make_node(data, file="x")) == data


def test_values_of_set_are_yaml():
    """`--set` takes lists, texts and a bare star."""
    cases = {"[a, b]": ["a", "b"], "18:00": "18:00", "*": "*", "": "", "{a: 1}": {"a": 1}}
    for text, value in cases.items():
        node = parse_value(text, file="--set")
        assert isinstance(node, Node) and node.line is None and plain(node) == value
    for value in (float("nan"), object(), {1: {2: float("inf")}}):
        with pytest.raises(ScenarioError):
            make_node(value, file="override")
