"""The register of faults: rows by name, marks that name rows, and the line after a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest, faults


def test_the_register_has_the_rows_of_its_letters() -> None:
    """All rows of A, C, E, F, G, I and K, three of B, two of D, seven of H: 89 in all."""
    letters = [row[0] for row in faults.ROWS]
    counted = {letter: letters.count(letter) for letter in "ABCDEFGHIK"}
    assert counted == {
        "A": 13, "B": 3, "C": 11, "D": 2, "E": 12, "F": 12, "G": 10, "H": 7, "I": 9, "K": 10,
    }  # fmt: skip
    assert letters == sorted(letters) and all(faults.ROWS.values())


def test_a_row_counts_where_a_test_passed_and_none_failed() -> None:
    """One failure outweighs any number of passes; rows come in the order of the register."""
    handled, rest = faults.tally([("C2", True), ("C1", True), ("C2", False), ("G10", True)])
    assert handled == ["C1", "G10"]
    assert "C2" in rest and len(handled) + len(rest) == len(faults.ROWS)
    assert faults.tally([])[0] == []


class Reporter:
    """Stands where pytest's reporter stands."""

    def __init__(self, **stats: list[str]) -> None:
        self.stats = {
            category: [SimpleNamespace(user_properties=[("fault", row)]) for row in rows]
            for category, rows in stats.items()
        }
        self.lines: list[str] = []

    def write_line(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


@pytest.mark.parametrize(("whole", "keyword"), [(True, ""), (True, "some"), (False, "")])
def test_the_line_lists_what_is_missing_after_the_whole_suite_alone(
    whole: bool, keyword: str
) -> None:
    """`faults: handled n/total`, and the missing rows where everything had a chance to run."""
    source = pytest.Config.ArgsSource
    config: Any = SimpleNamespace(
        args_source=source.TESTPATHS if whole else source.ARGS,
        option=SimpleNamespace(keyword=keyword),
    )
    reporter = Reporter(passed=["C1", "C3"], xfailed=["C3"], skipped=["C4"])
    conftest.pytest_terminal_summary(reporter, config)
    (line,) = reporter.lines
    assert line.startswith("faults: handled 1/89")
    assert (", B7, C2, C3, C4" in line) == (whole and not keyword)
    silent = Reporter()
    conftest.pytest_terminal_summary(silent, config)
    assert silent.lines == []


def test_a_mark_that_names_no_row_is_an_error() -> None:
    """A slip in a mark would otherwise prove a row that does not exist."""
    item: Any = SimpleNamespace(
        path=conftest.ROOT / "tests" / "x.py", nodeid="x", user_properties=[],
        iter_markers=lambda _: [SimpleNamespace(args=("C1", "C99"))],
        get_closest_marker=lambda _: None,
    )  # fmt: skip
    with pytest.raises(pytest.UsageError, match="no row 'C99'"):
        conftest.pytest_collection_modifyitems([item])
