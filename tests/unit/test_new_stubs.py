"""`twin new` writes a working stub of each kind with a test that passes, and overwrites nothing."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.checking import check_file
from scenarios.cli import run_cli
from scenarios.cli_new import DRAFTERS, is_checkout
from scenarios.entries import KINDS

PLACES = "name,lat,lon,population,region,utc_offset_h\nRiverton,52.45,13.29,182000,Riverland,1\n"
ENTRY_KINDS = sorted(kind.key for kind in KINDS.values())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder of a user, with a geography in it, as the current one."""
    (tmp_path / "town").mkdir()
    (tmp_path / "town/places.csv").write_text(PLACES, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def passes(*tests: Path, cwd: Path) -> None:
    """Run test files in a process of their own, with the project found from `cwd` or as it is."""
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={cwd}", *map(str, tests)]
    environment = {**os.environ, "PYTHONPATH": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_the_contract_can_be_begun() -> None:
    """Trigger, offer, channel, geofence, quest, scenario, tariff, campaign."""
    wanted = {
        "trigger", "offer", "channel", "geofence", "quest", "scenario", "tariff", "campaign",
    }  # fmt: skip
    assert set(DRAFTERS) == wanted and set(ENTRY_KINDS) < wanted


@pytest.mark.slow
def test_what_a_user_begins_is_right_and_its_tests_pass(here: Path, capsys) -> None:
    """One of each kind that needs no checkout: written, checked, and tested in another process."""
    for kind in ENTRY_KINDS:
        assert run_cli(["new", kind, f"my_{kind}"]) == 0
        stub = here / "mine" / f"{kind}s" / f"my_{kind}.yaml"
        assert [str(problem) for problem in check_file(stub)] == []
    assert run_cli(["new", "scenario", "my_study"]) == 0
    assert run_cli(["new", "geofence", "harbour_mall", "--dir", "town"]) == 0
    told = capsys.readouterr().out
    assert told.count("next:") == len(ENTRY_KINDS) + 2 and "twin check" in told
    assert run_cli(["check", "."]) == 0
    tests = sorted(here.rglob("test_*.py"))
    assert len(tests) == len(ENTRY_KINDS) + 2
    passes(*tests, cwd=here)


def copy_checkout(root: Path, to: Path) -> None:
    """Make a checkout whose code can be added to; what is only read is linked."""
    for name in ("sim", "geo", "dashboard"):
        (to / name).symlink_to(root / name)
    for name in ("actors", "scenarios"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "tests/unit").mkdir(parents=True)


@pytest.mark.slow
def test_a_trigger_and_a_shipped_offer_in_a_copy_of_the_project(root: Path, tmp_path: Path):
    """The trigger is found by the scan, an offer of the package can name it, both tests pass."""
    copy_checkout(root, tmp_path)
    assert is_checkout(tmp_path)
    assert run_cli(["new", "trigger", "dear_call", "--dir", str(tmp_path)]) == 0
    catalog = tmp_path / "scenarios/catalog"
    assert run_cli(["new", "offer", "calmer_calls", "--dir", str(catalog)]) == 0
    assert run_cli(["new", "scenario", "calls", "--dir", str(tmp_path / "scenarios/library")]) == 0
    offer = catalog / "offers/calmer_calls.yaml"
    text = offer.read_text("utf-8")
    offer.write_text(text.replace("allowance_used: {percent: 90}", "dear_call: {}"), "utf-8")
    tests = sorted((tmp_path / "tests/unit").glob("test_*.py"))
    assert [path.stem for path in tests] == [
        "test_offer_calmer_calls", "test_scenario_calls", "test_trigger_dear_call",
    ]  # fmt: skip
    passes(*tests, cwd=tmp_path)


def test_nothing_is_ever_overwritten(here: Path, capsys) -> None:
    """Again, beside a test of that name, or with a fence of that name: exit 2, no change."""
    commands = [
        ["new", "offer", "weekend_data"],
        ["new", "scenario", "my_study"],
        ["new", "geofence", "harbour_mall", "--dir", "town"],
    ]
    for command in commands:
        assert run_cli(command) == 0
    (here / "mine/tests/test_quest_walk.py").write_text("# mine\n", "utf-8")
    before = snapshot(here)
    for command in [*commands, ["new", "quest", "walk"]]:
        capsys.readouterr()
        assert run_cli(command) == 2
        assert "nothing was written" in capsys.readouterr().err
    assert snapshot(here) == before


def test_a_fence_is_added_and_the_others_stay_as_they_are(here: Path) -> None:
    """The text of a file is kept to the byte where that is possible, its meaning in any case."""
    assert run_cli(["new", "geofence", "north", "--dir", "town"]) == 0
    path = here / "town/fences.geojson"
    first = path.read_text("utf-8").splitlines()
    assert run_cli(["new", "geofence", "south", "--dir", "town"]) == 0
    second = path.read_text("utf-8").splitlines()
    assert second[:2] == [first[0], first[1] + ","] and len(second) == len(first) + 1
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "crs": ["x"]}), "utf-8")
    assert run_cli(["new", "geofence", "east", "--dir", "town"]) == 0
    data = json.loads(path.read_text("utf-8"))
    names = [feature["properties"]["name"] for feature in data["features"]]
    assert names == ["north", "south", "east"] and data["crs"] == ["x"]


def test_the_test_of_a_fence_that_was_renamed_says_so(here: Path) -> None:
    """It names the fence that it looks for and those that there are."""
    assert run_cli(["new", "geofence", "harbour", "--dir", "town"]) == 0
    [stub] = here.rglob("test_geofence_harbour.py")
    test = runpy.run_path(str(stub))["test_it_is_read_without_complaint"]
    test()
    path = here / "town/fences.geojson"
    path.write_text(path.read_text("utf-8").replace('"harbour"', '"marina"'), "utf-8")
    with pytest.raises(AssertionError, match="has no fence harbour but marina: where it was"):
        test()


WRONG = {
    "kind": ["new", "offr", "x"],
    "capital": ["new", "offer", "Weekend"],
    "path": ["new", "offer", "../weekend"],
    "python": ["new", "trigger", "import"],
    "shipped offer": ["new", "offer", "mall_coupon"],
    "shipped scenario": ["new", "scenario", "city_day"],
    "no geography": ["new", "geofence", "harbour"],
    "empty geography": ["new", "geofence", "harbour", "--dir", "empty"],
    "no checkout": ["new", "trigger", "dear_call", "--dir", "town"],
    "a file": ["new", "offer", "x", "--dir", "town/places.csv"],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_and_nothing_is_written(what: str, here: Path, capsys) -> None:
    """Exit 2 with what would be right."""
    (here / "empty").mkdir()
    before = snapshot(here)
    assert run_cli(WRONG[what]) == 2
    assert "expected" in capsys.readouterr().err
    assert snapshot(here) == before


def test_a_broken_file_of_fences_is_left_alone(here: Path, capsys) -> None:
    """Half a file is no reason to write another one over it."""
    path = here / "town/fences.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [', "utf-8")
    before = snapshot(here)
    assert run_cli(["new", "geofence", "harbour", "--dir", "town"]) == 2
    assert "not a file of fences" in capsys.readouterr().err
    assert snapshot(here) == before
