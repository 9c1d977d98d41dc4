"""The case file: every exact number, the rules of a verdict, and what is wrong with a file."""

import json
from pathlib import Path

import pytest

from scenarios.cli import run_cli
from scenarios.validation_cases.registry import FORMULAS, SCHEDULES, Values
from scenarios.validation_cases.run import MODELS, validate_set
from scenarios.validation_cases.table import Case, parse_cases, read_cases
from scenarios.validation_cases.verdicts import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Sample,
    judge,
    t_quantile,
)
from sim.core.errors import ScenarioError

FILE = Path(__file__).parent.parent / "data" / "queueing" / "cases.csv"
ROWS = read_cases(FILE)
SETS: dict[str, list[Case]] = {}
for row in ROWS:
    SETS.setdefault(row.set_id, []).append(row)


def case(**told) -> Case:
    """Return a row of M/M/1 at load 0.5, or one that differs from it."""
    base = {
        "case_id": "X-01:Wq", "model": "M/M/1", "metric": "Wq", "expected": 1.0,
        "tolerance": 0.02, "line": 2,
        "parameters": {"arrival_rate": 0.5, "servers": 1, "service_rate": 1.0},
    }  # fmt: skip
    return Case(**(base | told))


@pytest.mark.parametrize("name", SETS)
def test_the_exact_number_is_reproduced(name):
    """Every row of the file has a formula or a schedule, and it gives the number to 1e-6."""
    rows = SETS[name]
    assert MODELS
    model = rows[0].model
    compute = SCHEDULES.get(model) or FORMULAS[model]
    found = compute(Values(rows[0].parameters), [one.metric for one in rows])
    for one in rows:
        verdict = judge(one, formula=found[one.metric], sample=None, schedule=model in SCHEDULES)
        assert verdict.verdict == PASS, (one.case_id, verdict.reason, one.expected, found)


def test_a_wrong_number_fails():
    """A formula that misses by one part in ten thousand is no pass, whatever the tolerance."""
    assert judge(case(expected=1.0001), formula=1.0, sample=None).verdict == FAIL
    assert judge(case(expected=1.0), formula=1.0, sample=None).verdict == PASS
    both = judge(case(expected=1.0), formula=1.1, sample=Sample((0.99, 1.01) * 12))
    assert both.verdict == FAIL


def test_a_simulation_passes_only_narrow_near_and_unbiased():
    """Too wide is inconclusive; outside the tolerance or beyond four errors fails."""
    near = Sample(tuple(1 + 0.001 * (-1) ** k for k in range(24)))
    assert judge(case(), formula=None, sample=near).verdict == PASS
    wide = Sample(tuple(1 + 0.2 * (-1) ** k for k in range(24)))
    assert judge(case(), formula=None, sample=wide).verdict == INCONCLUSIVE
    biased = Sample(tuple(1.01 + 0.001 * (-1) ** k for k in range(24)))
    assert judge(case(), formula=None, sample=biased).verdict == FAIL
    few = Sample((1.0, 1.0001))
    assert judge(case(), formula=None, sample=few).verdict == INCONCLUSIVE


def test_equal_means_equal():
    """Tolerance 0 wants the very number; lists want every entry in its place."""
    assert judge(case(expected=17.0, tolerance=0), formula=17.0, sample=None).verdict == PASS
    assert judge(case(expected=17.0, tolerance=0), formula=17.0000001, sample=None).verdict == FAIL
    order = case(expected=[1.0, 2.0], tolerance=1e-9)
    assert judge(order, formula=[1.0, 2.0], sample=None, schedule=True).verdict == PASS
    assert judge(order, formula=[2.0, 1.0], sample=None, schedule=True).verdict == FAIL
    assert judge(order, formula=[1.0], sample=None, schedule=True).verdict == FAIL


def test_what_nothing_covers_is_inconclusive_with_a_reason():
    """An unknown model, an unknown metric, a missing parameter, an overload: never a pass."""
    for odd in (
        case(model="M/M/1 on Mars"),
        case(metric="colour"),
        case(parameters={"arrival_rate": 0.5}),
        case(parameters={"arrival_rate": 2.0, "servers": 1, "service_rate": 1.0}),
        case(parameters={"arrival_rate": "x", "servers": 1, "service_rate": 1.0}),
        case(parameters={"arrival_rate": 0.5, "servers": 10**9, "service_rate": 1.0}),
    ):
        (verdict,) = validate_set([odd])
        assert verdict.verdict == INCONCLUSIVE, odd
        assert verdict.reason and verdict.estimate is None


def test_the_t_law_is_known():
    """Table values of Student's t: 99 % two-sided for 9 and 23 degrees."""
    assert t_quantile(0.995, 9) == pytest.approx(3.249836, abs=1e-5)
    assert t_quantile(0.995, 23) == pytest.approx(2.807336, abs=1e-5)


HEAD = "case_id,model,parameters,metric,expected,tolerance\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "columns are missing"),
        ("a,b\n1,2\n", "columns are missing"),
        (HEAD, "no case"),
        (HEAD + "A:x,M/M/1,{},Wq,one,0.1\n", "expected"),
        (HEAD + "A:x,M/M/1,[],Wq,1,0.1\n", "parameters"),
        (HEAD + 'A:x,M/M/1,"{""a"": 1",Wq,1,0.1\n', "parameters"),
        (HEAD + "A:x,M/M/1,{},Wq,1,-0.1\n", "tolerance"),
        (HEAD + "A:x,M/M/1,{},Wq,NaN,0.1\n", "expected"),
        (HEAD + "A:x,M/M/1,{},Wq,1,0.1\nA:x,M/M/1,{},Wq,1,0.1\n", "line 2"),
    ],
)
def test_a_bad_file_is_told_with_its_line(text, told):
    """Every defect of a case file is one message with file, line and column."""
    with pytest.raises(ScenarioError, match=told):
        parse_cases(text, file="f.csv")


def test_the_command_gives_each_row_its_verdict(tmp_path, capsys):
    """`--json` prints one document; a planted error of one row fails that row alone."""
    lines = FILE.read_text("utf-8").splitlines()
    kept = [line for line in lines[1:] if line.startswith(("CIW-05", "ERLBN", "CCVOL"))]
    path = tmp_path / "cases.csv"
    path.write_text("\n".join([lines[0], *kept]).replace(",17,", ",18,") + "\n", "utf-8")
    assert run_cli(["validate", "--cases", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    by_id = {one["case_id"]: one for one in told["rows"]}
    assert by_id.pop("ERLBN-01:min_servers")["verdict"] == "fail"
    assert {one["verdict"] for one in by_id.values()} == {"pass"}
    for one in told["rows"]:
        assert {"case_id", "verdict", "estimate", "low", "high"} <= set(one)
    assert run_cli(["validate", "--cases", str(path), "--strict", "--quiet"]) == 4


@pytest.mark.parametrize(
    "arguments", [[], ["--cases", "nowhere.csv"], ["--cases", str(FILE), "--only", "ZZ"]]
)
def test_wrong_input_of_the_command_is_exit_2(arguments):
    """No file, a missing file, a prefix that no row has."""
    assert run_cli(["validate", *arguments]) == 2
