"""Damaged scenarios and catalogue entries: refused in words, or right; never anything else."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenarios import load
from scenarios.checking import check_file
from scenarios.entries import CATALOG_DIR
from scenarios.loader import LIBRARY_DIR
from scenarios.yaml12 import dump_yaml, parse_yaml, plain
from sim.core.errors import ScenarioError

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
pytestmark = [pytest.mark.soak] if LONG else []
"""`make soak` asks for the mark and sets the profile: the same tests, ten times as long."""
EXAMPLES = 5_000 if LONG else 500
LIBRARY = sorted(LIBRARY_DIR.glob("*.yaml"))
BYTES_MAX = 32_000
"""Of the backlog the smallest file stands for all: the others are like it, and slow to read."""
ENTRIES = sorted(p for p in CATALOG_DIR.glob("*/*.yaml") if p.stat().st_size <= BYTES_MAX)
MUTATED = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
BITS = [
    b"\t", b"\n", b"  ", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!x ", b"!", b"|\n",
    b">\n", b"%YAML 1.1\n", b"---\n", b"...\n", b"#", b"'", b'"', b"\\", b"\x00", b"\xff", b"\xc3",
    b"? ", b"<<: ", b"~", b"null", b"true", b"-1", b"1e309", b".nan", b"0x1F", b"9" * 30, b"@",
    b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"..", b"/", b"extends: city_day\n", b"seed: 1\n",
]  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
    st.sampled_from(["", "*", "..", "../x", "/", "a" * 300, "5/mall_coupon", "mall_coupon", "1,2"]),
    st.lists(st.integers(-5, 5), max_size=3),
    st.dictionaries(st.sampled_from(["a", "do", "data_mb", "folder"]), st.integers(), max_size=2),
)


@st.composite
def damaged(draw, files: list[Path]) -> tuple[Path, bytes]:
    """Return a file and its bytes after one to four blows."""
    path = draw(st.sampled_from(files))
    data = path.read_bytes()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 40))
        blow = draw(st.sampled_from(["cut", "put", "flip", "double", "end"]))
        if blow == "cut":
            data = data[:at] + data[at + length :]
        elif blow == "put":
            data = data[:at] + draw(st.sampled_from(BITS)) + data[at:]
        elif blow == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif blow == "double":
            data = data[:at] + data[at : at + length] + data[at:]
        elif blow == "end":
            data = data[: max(at, 1)]
    return path, data


@st.composite
def altered(draw, files: list[Path]) -> tuple[Path, bytes]:
    """Return a file and its text after one value at any place was replaced by another."""
    path = draw(st.sampled_from(files))
    tree = plain(parse_yaml(path.read_bytes(), file=path.name))
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        deeper = isinstance(node[key], dict | list) and draw(st.booleans())
        if not deeper:
            node[key] = draw(VALUES)
            break
        node = node[key]
    return path, dump_yaml(tree).encode()


def verdict(path: Path) -> bool:
    """Return whether a scenario loads; a complaint has words and a place."""
    try:
        loaded = load(path)
    except ScenarioError as error:
        assert error.problems and all(p.message for p in error.problems)
        assert all(p.file for p in error.problems), error
        return False
    assert len(loaded.hash()) == 64
    return True


@pytest.mark.slow
@MUTATED
@given(example=st.one_of(damaged(LIBRARY), altered(LIBRARY)))
def test_a_damaged_scenario_is_refused_or_right(tmp_path: Path, example):
    """Whatever bytes a scenario has, loading it gives a scenario or a `ScenarioError`."""
    target = tmp_path / "scenario.yaml"
    target.write_bytes(example[1])
    if verdict(target):
        target.write_text(load(target).effective_yaml(), "utf-8")
        assert verdict(target)


@pytest.mark.slow
@MUTATED
@given(example=st.one_of(damaged(ENTRIES), altered(ENTRIES)))
def test_a_damaged_entry_is_refused_or_right(tmp_path: Path, example):
    """Whatever bytes an entry has, checking it gives a list of problems in that file."""
    path, data = example
    target = tmp_path / path.name
    target.write_bytes(data)
    for problem in check_file(target):
        assert problem.message and problem.file is not None


@pytest.mark.slow
@MUTATED
@given(example=damaged(ENTRIES))
def test_a_scenario_over_a_damaged_catalogue_is_refused_or_right(tmp_path: Path, example):
    """The damaged entry stands in the folder of a scenario, under a name of its own."""
    path, data = example
    folder = tmp_path / "cat" / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.yaml").write_bytes(data.replace(path.stem.encode(), b"own", 1))
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "scenario: x\ngeography: {folder: astana}\ncatalog: {folder: cat, quests: ['*']}\n"
    )
    verdict(scenario)
    (folder / "own.yaml").unlink()


@MUTATED
@given(
    path=st.lists(st.sampled_from(["clock", "days", "catalog", "offers", "define", "0", "x", ""]),
                  max_size=5),
    text=st.one_of(st.text(max_size=20), st.sampled_from([b.decode("latin-1") for b in BITS])),
)  # fmt: skip
def test_any_setting_is_refused_or_right(path: list[str], text: str):
    """`--set` with any key and any text gives a scenario or a `ScenarioError`."""
    try:
        load("city_day", overrides=[".".join(path) + "=" + text])
    except ScenarioError as error:
        assert error.problems
