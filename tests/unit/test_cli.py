"""The command line: exit codes, messages, one JSON document, nothing heavy before it is needed."""

import io
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import scenarios
from scenarios import cli, cli_run
from scenarios.cli_common import find_run, moment_ms, table
from scenarios.cli_inspect import plain, render
from scenarios.progress import Bar, Lines, Silent, make_progress
from sim.core.errors import Interrupted, InvariantError, LimitError, ScenarioError

MANIFEST = {
    "status": "complete", "scenario": "city_day", "seed": 20260304, "subscribers": 1000,
    "cells": 300, "sim_seconds": 86_400, "events_total": 104_000, "events_per_second": 1.2e6,
    "sim_speed": 960.0, "peak_rss_bytes": 2**31, "state_digest": "ab" * 16,
    "audit": {"checks": 2976, "failures": 0}, "phases": {"run": 90.0},
}  # fmt: skip
UPLIFT = {"value": 5_000, "low": 1_000, "high": 9_000, "n": 90}
KPIS = {
    "funnel": {"trigger_hits": 1000, "eligible": 800, "sent": 300, "seen": 150, "accepted": 12},
    "latency_ms": {"decision": {"p50": 180, "p99": 640, "share_under_1s": 0.9997}},
    "use_cases": {
        "mall_coupon": {"sent": 10, "accepted": 1, "uplift": {**UPLIFT, "value": None, "n": 0}},
        "plan_limit_pack": {"sent": 100, "accepted": 9, "uplift": UPLIFT},
    },
    "network": {"busy_hour": 20, "cells_congested": 3, "blocked_share": 0.0004},
}


class FakeRunner(types.ModuleType):
    """Stands where the runner stands; notes what it was asked and makes a small run."""

    def __init__(self, folder: Path):
        super().__init__("scenarios.runner")
        self.folder = folder
        self.asked: dict = {}
        self.error: BaseException | None = None

    def run(self, loaded, **options):
        """Note the call; raise what is planted."""
        self.asked = {"loaded": loaded, **options}
        if self.error is not None:
            raise self.error
        options["progress"].phase("run")
        options["progress"].update(
            sim_ms=3_600_000, end_ms=86_400_000, events=10, memory_bytes=2**30, tick=4
        )
        return types.SimpleNamespace(path=self.folder, manifest=MANIFEST, kpis=KPIS)


@pytest.fixture
def runner(monkeypatch, tmp_path: Path) -> FakeRunner:
    """Put a fake in the place of the runner, and work in an empty folder."""
    fake = FakeRunner(tmp_path / "runs" / "city_day-1-abcd")
    monkeypatch.setitem(sys.modules, "scenarios.runner", fake)
    monkeypatch.setattr(scenarios, "runner", fake, raising=False)
    monkeypatch.chdir(tmp_path)
    return fake


def test_nothing_heavy_is_imported_with_the_command_line():
    """`twin --help` needs neither arrays nor frames nor kernels, and shows every command."""
    code = (
        "import sys, scenarios.cli as c\n"
        "code = c.run_cli(['--help'])\n"
        "heavy = {'numpy','numba','ray','pandas','pydantic','pyarrow','duckdb','geopandas',"
        "'shapely','h3','plotly','streamlit','simpy','ruamel.yaml'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    for command in ("run", "report", "explain", "check", "list"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["run", "report", "explain", "check", "list", "bench", "serve"])
def test_each_command_has_help_with_a_worked_example(command: str, capsys):
    """`--help` tells what the command does and shows one example."""
    assert cli.run_cli([command, "--help"]) == 0
    assert f"Example: twin {command}" in capsys.readouterr().out


def test_options_reach_the_scenario_and_the_runner(runner: FakeRunner, capsys):
    """Every option of `twin run` sets what its name says; `--set` is YAML; own options win."""
    code = cli.run_cli(
        "run city_day --subscribers 5000 --days 0.5 --seed 7 --runtime ray --partitions 3"
        " --hosts 2 --tick-s 300 --out here --watch 5 --watch 6 --set rtm.enabled=false"
        " --set seed=9 --resume --stop-at 6:00 --live 60".split()
    )
    assert code == 0
    model = runner.asked["loaded"].model
    assert (model.population.subscribers, model.clock.days, model.seed) == (5000, 0.5, 7)
    assert (model.placement.runtime, model.placement.partitions, model.placement.hosts) == (
        "ray", 3, 2,
    )  # fmt: skip
    assert model.clock.tick_s == 300 and model.rtm.enabled is False
    assert runner.asked["out"] == Path("here") and runner.asked["watch"] == (5, 6)
    assert runner.asked["resume"] is True and runner.asked["live"] == 60
    assert runner.asked["stop_at_ms"] == 6 * 3_600_000
    assert runner.asked["runs_dir"] == Path("runs")
    assert "try next:" in capsys.readouterr().out


def test_a_run_ends_with_a_summary_and_three_commands(runner: FakeRunner, capsys):
    """The dozen lines name scale, audit, funnel, latency, uplift with interval, and the folder."""
    assert cli.run_cli(["run", "city_day"]) == 0
    told = capsys.readouterr().out
    for words in ("1,000 subscribers, 1 day, complete", "104,000", "2,976 checks, 0 failures",
                  "1,000 hits", "p99 640 ms", "99.97 % under 1 s", "+50 [+10, +90]", "KZT",
                  "no data", "busy hour 20", "city_day-1-abcd"):  # fmt: skip
        assert words in told, words
    assert told.index("plan_limit_pack") < told.index("mall_coupon")
    tail = told[told.index("try next:") :].strip().splitlines()
    assert len(tail) == 4 and all(line.strip().startswith("twin ") for line in tail[1:])
    assert len(told[: told.index("try next:")].strip().splitlines()) <= 14


def test_an_empty_run_has_a_summary_too():
    """Nothing is known: `no data`, no exception."""
    told = cli_run.summary(Path("runs/x"), {}, {}, currency="RUB")
    assert "no data" in told and "none" in told


def test_json_is_one_document_and_quiet_is_a_line(runner: FakeRunner, capsys):
    """`--json` prints one document; `--quiet` the folder; neither anything else."""
    assert cli.run_cli(["run", "city_day", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["kpis"] == KPIS
    assert cli.run_cli(["run", "city_day", "--quiet"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{runner.folder}\n" and told.err == ""
    assert isinstance(runner.asked["progress"], Silent)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ScenarioError("bad", file="a.yaml", line=3), 2, "a.yaml:3: bad"),
        (InvariantError("money is gone", tick=9, role="billing"), 3, "tick 9, role billing"),
        (LimitError("too much memory"), 4, "too much memory"),
        (Interrupted("stopped; `--resume` goes on"), 130, "--resume"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_expected_failure_is_one_message_and_its_code(
    error: BaseException, code: int, words: str, runner: FakeRunner, capsys
):
    """Exit codes of the contract; no trace, nothing on standard output."""
    runner.error = error
    assert cli.run_cli(["run", "city_day"]) == code
    told = capsys.readouterr()
    assert words in told.err and "Traceback" not in told.err and told.out == ""


def test_an_unexpected_failure_is_one_sentence_and_a_log(runner: FakeRunner, capsys):
    """Exit 1; the trace stands in the folder of the run, or in the folder of runs."""
    runner.error = ZeroDivisionError("division by zero")
    assert cli.run_cli(["run", "city_day"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "ZeroDivisionError: division by zero" in told
    [log] = Path("runs").glob("error-*.log")
    assert "Traceback" in log.read_text("utf-8") and str(log) in told
    runner.error.run_folder = "runs/x.part"  # pyright: ignore[reportAttributeAccessIssue] - a mark
    assert cli.run_cli(["run", "city_day"]) == 1
    assert list(Path("runs/x.part").glob("error-*.log"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rn city_day", "Did you mean 'run'?"),
        ("run city_day --subscribrs 5", "--subscribers"),
        ("run city_day --sed 5", "--seed"),
        ("run city_day --resme", "--resume"),
        ("run", "SCENARIO"),
        ("run city_dya", "did you mean 'city_day'?"),
        ("run city_day --subscribers many", "--subscribers"),
        ("run city_day --subscribers 0", "--subscribers 0"),
        ("run city_day --set population.subscribrs=1", "did you mean 'subscribers'?"),
        ("run city_day --set nonsense", "path.to.key=value"),
        ("run city_day --watch 1000000", "from 0 to 999999"),
        ("run city_day --live 0", "--live"),
        ("run city_day --stop-at yesterday", "36h"),
        ("list offrs", "did you mean 'offers'?"),
        ("explain nothing --sub 1", "no such run"),
        ("report nothing", "no such run"),
        ("report nothing --format pdf", "pdf"),
        ("check missing.yaml", "missing.yaml"),
    ],
)
def test_wrong_input_is_exit_2_and_says_what_would_be_right(
    arguments: str, words: str, runner: FakeRunner, capsys
):
    """Misspelt commands, options, names and values are met with the nearest right one."""
    assert cli.run_cli(arguments.split()) == 2
    told = capsys.readouterr()
    assert words.lower() in told.err.lower() and "Traceback" not in told.err
    assert runner.asked == {}
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "kind", ["scenarios", "tariffs", "offers", "channels", "quests", "campaigns", "triggers",
             "geofences",
             "backlog", "attributes", "runs", "metrics", "messages"],
)  # fmt: skip
def test_every_kind_is_listed_as_a_table_and_as_json(kind: str, runner: FakeRunner, capsys):
    """Both forms name the same things."""
    assert cli.run_cli(["list", kind]) == 0
    text = capsys.readouterr().out
    assert cli.run_cli(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["name"] in text for row in rows)
    assert rows or text == "no runs\n"


def test_each_trigger_is_listed_with_its_meaning(runner: FakeRunner, capsys):
    """What it listens to, its condition in a sentence, its options."""
    assert cli.run_cli(["list", "triggers", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert all(len(row["meaning"]) > 20 and row["on"] for row in rows.values())
    low = rows["low_balance"]
    assert low["meaning"].startswith("Low balance: the main balance falls through a floor")
    assert low["on"] == "usage" and low["options"] == ["floor_minor=5000"]


def test_list_alone_names_all_kinds(runner: FakeRunner, capsys):
    """Without a kind: how many of each, and some names."""
    assert cli.run_cli(["list"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("city_day", "offers", "triggers", "backlog"))


def test_runs_are_listed_and_found_by_name(runner: FakeRunner, capsys):
    """Complete, interrupted and damaged ones; a name below `runs/` finds its folder."""
    for name, file, text in (("one-1-a", "manifest.json", json.dumps(MANIFEST)),
                             ("two-1-b.part", "status.json", '{"phase": "run"}'),
                             ("bad-1-c", "manifest.json", "[]")):  # fmt: skip
        folder = Path("runs") / name
        folder.mkdir(parents=True)
        (folder / file).write_text(text, "utf-8")
    assert cli.run_cli(["list", "runs", "--json"]) == 0
    rows = {row["name"]: row["status"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"one-1-a": "complete", "two-1-b.part": "run", "bad-1-c": "unknown"}
    assert find_run("one-1-a") == find_run("runs/one-1-a") == Path("runs/one-1-a")
    assert find_run("two-1-b") == Path("runs/two-1-b.part")
    with pytest.raises(ScenarioError, match="did you mean one-1-a"):
        find_run("one-1-b")


def test_check_tells_all_problems_of_all_files(runner: FakeRunner, capsys):
    """A folder with a good and two bad files: the good one is named, the problems are counted."""
    Path("a").mkdir()
    Path("a/good.yaml").write_text("scenario: x\ngeography: {folder: astana}\n")
    Path("a/bad.yaml").write_text("scenario: x\ngeography: {folder: astana}\nsed: 1\nclok: {}\n")
    Path("a/offer.yaml").write_text("ofer: x\n")
    assert cli.run_cli(["check", "a"]) == 2
    told = capsys.readouterr()
    assert told.out == "ok  a/good.yaml\n"
    assert "3 problems" in told.err and "`offer: NAME`" in told.err
    assert cli.run_cli(["check", "a", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert len(found["checked"]) == 3 and len(found["problems"]) == 3
    assert cli.run_cli(["check"]) == 0
    assert "mall_coupon.yaml" in capsys.readouterr().out


def test_check_reads_the_geography_and_places_of_the_timeline(runner: FakeRunner, capsys):
    """What a run would refuse after minutes is refused in seconds: files, hexes, invented fences.

    A mall that the geography invents is known by its name, one that it does not is not.
    """
    folder = Path("town")
    folder.mkdir()
    head = "name,lat,lon,population,region,utc_offset_h\n"
    (folder / "places.csv").write_text(head + "Alfa,51.0,71.0,160000,North,1\n", "utf-8")
    (folder / "towers.csv").write_text("lat,lon,position_kind\n51.0,71.x,mast\n", "utf-8")
    here = "geography: {folder: town, malls_per_100k: 2}\n"
    outage = "timeline: [{at_h: 1, do: cell_outage, near: NAME, radius_m: 5000, for_min: 9}]\n"
    Path("a.yaml").write_text(f"scenario: a\n{here}")
    assert cli.run_cli(["check", "a.yaml"]) == 2
    assert "towers.csv:2: lon: not a number; found '71.x'" in capsys.readouterr().err
    (folder / "towers.csv").unlink()
    for name, code in (("Alfa mall 1", 0), ("Alfa mall 9", 2), ("Alpha mal 2", 2)):
        Path("b.yaml").write_text(f"scenario: b\n{here}{outage.replace('NAME', name)}")
        assert cli.run_cli(["check", "b.yaml"]) == code
        told = capsys.readouterr().err
        if code:
            assert "b.yaml:3: timeline.0.near: no such fence, did you mean 'Alfa mall" in told
    Path("c.yaml").write_text("scenario: c\ngeography: {folder: twon}\n")
    Path("d.yaml").write_text("scenario: d\ngeography: {folder: town, residents_total: 9}\n")
    assert cli.run_cli(["check", "c.yaml", "d.yaml", "city_day"]) == 2
    told = capsys.readouterr()
    assert "c.yaml:2: geography.folder: no such geography folder" in told.err
    assert "fewer residents than the places have" in told.err and "city_day.yaml" in told.out
    assert "city_day.yaml\n    note" not in told.out
    Path("b.yaml").write_text(f"scenario: b\n{here}")
    assert cli.run_cli(["check", "b.yaml"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith("    note: town: sources.json does not say whose")
    noted = cli_run.summary(Path("runs/x"), {"notes": ["town: x"]}, {}, currency="RUB")
    assert "  note        town: x" in noted


def test_check_refuses_an_outage_of_nothing_and_tells_limits_as_a_run_does(
    runner: FakeRunner, capsys
):
    """No cell within 10 m of a field: exit 2.  Too many hexes: exit 4, as `twin run` ends; where
    an input is wrong besides, that comes first."""
    folder = Path("town")
    folder.mkdir()
    head = "name,lat,lon,population,region,utc_offset_h\n"
    (folder / "places.csv").write_text(head + "Alfa,51.0,71.0,160000,North,1\n", "utf-8")
    outage = "timeline: [{at_h: 1, do: cell_outage, near: '51.3,71.0', radius_m: 10, for_min: 9}]\n"
    Path("a.yaml").write_text(f"scenario: a\ngeography: {{folder: town}}\n{outage}")
    assert cli.run_cli(["check", "a.yaml"]) == 2
    told = capsys.readouterr().err
    assert "a.yaml:3: timeline.0.radius_m: an outage that reaches no cell" in told
    assert "found 10 m around 51.3,71.0" in told and "at least" in told
    Path("b.yaml").write_text("scenario: b\ngeography: {folder: russia, resolution: 10}\n")
    assert cli.run_cli(["check", "b.yaml"]) == 4
    told = capsys.readouterr()
    assert "b.yaml: " in told.err and "hexes of russia" in told.err and "ok" not in told.out
    assert cli.run_cli(["check", "b.yaml", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == [] and len(found["limits"]) == 1
    assert cli.run_cli(["check", "a.yaml", "b.yaml"]) == 2


@pytest.mark.parametrize(
    ("text", "hours"),
    [("36h", 36), ("1d12h", 36), ("90min", 1.5), ("90m", 1.5), ("30s", 1 / 120), ("2", 2),
     ("1.5d", 36), ("18:00", 12), ("6:00", 24), ("5:30", 23.5), ("2026-03-05T06:00", 24)],
)  # fmt: skip
def test_a_moment_is_read_from_the_start(text: str, hours: float):
    """The scenario starts at six in the morning; a time of day is its first time after that."""
    assert moment_ms(text, start="2026-03-04T06:00") == hours * 3_600_000


@pytest.mark.parametrize("text", ["", "0", "-5", "x", "25:00", "1e9d", "2026-03-04T05:00", "nan"])
def test_a_moment_before_the_start_is_none(text: str):
    """Nothing at or before the start, no nonsense."""
    with pytest.raises(ScenarioError):
        moment_ms(text, start="2026-03-04T06:00")


def test_progress_in_a_log_is_a_line_every_ten_seconds():
    """Phase, simulated clock, share, rate, time left, memory; a resumed run counts from itself."""
    now = [0.0]
    stream = io.StringIO()
    lines = Lines("2026-03-04T00:00", stream=stream, clock=lambda: now[0])
    lines.phase("run")
    for second in range(31):
        now[0] = float(second)
        lines.update(sim_ms=second * 1_440_000, end_ms=86_400_000, events=second * 2_000_000,
                     memory_bytes=3 * 2**30, tick=second)  # fmt: skip
    told = stream.getvalue().splitlines()
    assert len(told) == 3
    assert "Wed 03-04 12:00   50 %  2.00 M events/s  left 0:30  3.0 GiB" in told[2]


def test_progress_on_a_terminal_is_one_line_that_goes_away():
    """A bar is painted while it runs; silence is silent."""
    from rich.console import Console

    target = io.StringIO()
    console = Console(file=target, force_terminal=True, width=120)
    bar = Bar("2026-03-04T00:00", console=console)
    bar.phase("compile")
    bar.phase("run")
    bar.update(sim_ms=43_200_000, end_ms=86_400_000, events=100, memory_bytes=2**30, tick=1)
    bar.close()
    bar.close()
    assert "50 %" in target.getvalue()
    assert isinstance(make_progress(start="2026-03-04T00:00", quiet=True), Silent)
    assert isinstance(make_progress(start="2026-03-04T00:00", stream=io.StringIO()), Lines)


def test_a_day_is_told_with_every_decision_stage_by_stage():
    """Frames, records and missing parts alike; a line outside the sample is told as such."""
    import pandas as pd

    explanation = types.SimpleNamespace(
        __dataclass_fields__=dict.fromkeys(
            ("sub", "run", "recorded", "note", "profile", "day", "decisions")
        ),
        sub=7, run="one", recorded=False, note="", profile={"segment": "youth", "app": True},
        day=pd.DataFrame({"time": ["08:00", "09:00"], "what": ["call", "data"],
                          "minor": [1.0, float("nan")]}),
        decisions=[{"time": "09:00", "trigger": "mall_dwell", "outcome": "intended",
                    "stages": [("eligible", "yes", ""), {"a": "cap", "b": "ok", "c": "1 of 2"}]}],
    )  # fmt: skip
    told = render(explanation)
    for words in ("line 7 of one", "run again", "youth", "08:00", "mall_dwell  -> intended",
                  "1 of 2"):  # fmt: skip
        assert words in told
    assert json.dumps(plain(explanation), allow_nan=False)
    assert "nothing was recorded" in render({"sub": 1})


def test_a_table_aligns_numbers_to_the_right():
    """Columns are as wide as their widest cell."""
    text = table([{"a": "x", "n": 1234}, {"a": "long", "n": None}], ("a", "n"))
    assert text.splitlines() == ["a         n", "x     1,234", "long      -"]
