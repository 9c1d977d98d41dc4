"""The case file: rows of `case_id, model, parameters, metric, expected, tolerance`.

It owns the form of the file and what is wrong with one.  It must not know any model.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import Problem, ScenarioError

COLUMNS = ("case_id", "model", "parameters", "metric", "expected", "tolerance")
ROWS_MAX = 20_000
BYTES_MAX = 64 * 1024 * 1024
LIST_MAX = 10_000

Value = float | list[float]


@dataclass(frozen=True)
class Case:
    """One number that must be reproduced.

    Attributes
    ----------
    case_id : unique; `set_id` is the part before the colon
    model : the model in words; fixes how `parameters` is read
    expected : a number, or a list whose order matters
    tolerance : largest relative error of a simulation; 0: equal
    """

    case_id: str
    model: str
    parameters: Mapping[str, Any]
    metric: str
    expected: Value
    tolerance: float
    line: int

    @property
    def set_id(self) -> str:
        """Return the name of the parameter set."""
        return self.case_id.split(":", 1)[0]


def read_cases(path: Path) -> list[Case]:
    """Return the rows of a case file; raise `ScenarioError` with every defect that it has."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ScenarioError("the case file is too large", file=path, expected="at most 64 MiB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScenarioError(
            f"cannot be read: {error.strerror or 'no such file'}", file=path,
            expected="a CSV file of queueing cases",
        ) from None  # fmt: skip
    except UnicodeDecodeError:
        raise ScenarioError("not UTF-8 text", file=path, expected="a CSV file") from None
    return parse_cases(text, file=str(path))


def parse_cases(text: str, *, file: str) -> list[Case]:
    """Return the rows of a case file's text."""
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    problems: list[Problem] = []
    cases: list[Case] = []
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ScenarioError(
                "columns are missing", file=file, line=1, found=", ".join(missing),
                expected=", ".join(COLUMNS),
            )  # fmt: skip
        for row in reader:
            case = _case(row, file=file, line=reader.line_num, problems=problems)
            if case is not None:
                cases.append(case)
            if len(cases) > ROWS_MAX:
                raise ScenarioError("too many rows", file=file, expected=f"at most {ROWS_MAX:,}")
    except csv.Error as error:
        raise ScenarioError(f"not a CSV file: {error}", file=file, line=reader.line_num) from None
    first: dict[str, int] = {}
    for case in cases:
        if case.case_id in first:
            problems.append(
                Problem(f"the case stands in line {first[case.case_id]} too", file, case.line,
                        "case_id", case.case_id)
            )  # fmt: skip
        first.setdefault(case.case_id, case.line)
    if not cases and not problems:
        problems.append(Problem("no case in the file", file, expected="at least one row"))
    if problems:
        raise ScenarioError.collect(problems)
    return cases


def _case(row: Mapping[str, Any], *, file: str, line: int, problems: list[Problem]) -> Case | None:
    before = len(problems)

    def wrong(column: str, expected: str) -> None:
        found = repr(row[column])[:80]
        problems.append(Problem("wrong value", file, line, column, found, expected))

    texts = {name: (row[name] or "").strip() for name in COLUMNS}
    for name in ("case_id", "model", "metric"):
        if not texts[name]:
            wrong(name, "a text")
    parameters = _json(texts["parameters"])
    if not isinstance(parameters, dict):
        wrong("parameters", "a JSON object")
    expected = _json(texts["expected"])
    if isinstance(expected, list) and len(expected) <= LIST_MAX:
        right = all(_number(item) for item in expected)
    else:
        right = _number(expected)
    if not right:
        wrong("expected", "a finite number, or a list of such")
    tolerance = _json(texts["tolerance"])
    if not (_number(tolerance) and tolerance >= 0):
        wrong("tolerance", "a number from 0 on")
    if len(problems) > before:
        return None
    assert isinstance(parameters, dict)
    value = [float(x) for x in expected] if isinstance(expected, list) else float(expected)
    return Case(
        texts["case_id"], texts["model"], parameters, texts["metric"], value, float(tolerance), line
    )  # fmt: skip


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
