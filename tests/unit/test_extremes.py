"""What is too large to fit is refused; what is as small as it may be runs: rows D2 and G10."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scenarios import load
from scenarios.placing import check_fits
from scenarios.runner import run
from sim.core.errors import ScenarioError
from sim.record.store import open_run

GIB = 1 << 30
TINY = {"population.donor_days": 0, "record.sample": 1.0}


@pytest.mark.fault("D2")
def test_ten_billion_lines_are_refused_with_the_largest_number() -> None:
    """The range of the option ends it, before any memory is asked for."""
    with pytest.raises(ScenarioError, match="from 1 to 200000000") as caught:
        load("city_day").with_(subscribers=10_000_000_000)
    assert caught.value.exit_code == 2


@pytest.mark.fault("D2")
def test_lines_that_do_not_fit_into_memory_are_refused_with_the_number_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes wanted, bytes there, the largest number; that number passes, and nothing is written."""
    monkeypatch.setattr(
        "scenarios.placing.psutil",
        SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=4 * GIB)),
    )
    loaded = load("city_day").with_(subscribers=150_000_000)
    with pytest.raises(
        ScenarioError, match=r"want .* GiB.*at most about .* lines: 4.0 GiB"
    ) as caught:
        run(loaded, out=tmp_path / "run")
    assert caught.value.exit_code == 2 and list(tmp_path.iterdir()) == []
    told = caught.value.problems[0].expected or ""
    most = int(told.split("about ")[1].split(" lines")[0].replace(",", ""))
    check_fits(loaded.with_(subscribers=most).model)
    with pytest.raises(ScenarioError):
        check_fits(loaded.with_(subscribers=most + most // 100).model)


@pytest.mark.fault("D2")
def test_ten_million_cells_are_refused_with_the_number_that_fits() -> None:
    """By the limit itself, and where there is none by what the represented lines ask for."""
    with pytest.raises(ScenarioError, match="from 3 to 1000000"):
        load("city_day", overrides=["geography.cells_max=10000000"])
    many = ["geography.cells_max=null", "population.represents=2000000000",
            "geography.sites_per_million=1700"]  # fmt: skip
    with pytest.raises(ScenarioError, match=r"10,200,000 cells.*at most 1,000,000") as caught:
        load("city_day", overrides=many)
    assert "at most 196,078,431 lines" in str(caught.value)
    fits = load("city_day", overrides=[*many[:1], "population.represents=196078431", many[2]])
    assert fits.model.geography.cells_max is None


EXTREMES: dict[str, dict[str, Any]] = {
    "no offers": {"catalog.offers": [], "catalog.quests": []},
    "one subscriber": {"subscribers": 1, "population.represents": 1_000},
    "one cell": {"geography.cells_max": 3, "geography.sectors": 1, "geography.sites_per_million": 1,
                 "geography.indoor_min_m2": 1e12, "geography.folder": "town", "catalog.quests": []},
    "one tick": {"days": 900 / 86_400},
    "no control group": {"rtm.universal_control_percent": 0},
    "all at once": {"subscribers": 1, "days": 900 / 86_400, "catalog.offers": [],
                    "catalog.quests": [], "catalog.channels": [],
                    "rtm.universal_control_percent": 0},
}  # fmt: skip


def refuse(word: str) -> float:
    """Take no word for a number that JSON does not know."""
    raise AssertionError(f"{word} stands in a file of the run")


@pytest.mark.slow
@pytest.mark.fault("G10")
@pytest.mark.parametrize("what", list(EXTREMES))
def test_what_is_as_small_as_it_may_be_runs_and_has_null_for_what_it_lacks(
    tmp_path: Path, what: str
) -> None:
    """The run completes, its books balance, its report is made, and no figure is NaN."""
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "places.csv").write_text(
        "name,lat,lon,population,region,utc_offset_h\nAlfa,51,71,900,North,5\n", "utf-8"
    )
    (tmp_path / "scenario.yaml").write_text("extends: city_day\nscenario: extreme\n", "utf-8")
    options = {"subscribers": 50, "days": 0.1, **TINY, **EXTREMES[what]}
    done = run(load(tmp_path / "scenario.yaml").with_(**options), out=tmp_path / "run")
    assert done.manifest["audit"]["failures"] == 0
    for name in ("kpis.json", "manifest.json"):
        json.loads((done.path / name).read_text("utf-8"), parse_constant=refuse)
    assert (done.path / "report.html").stat().st_size > 100_000
    with open_run(done.path) as found:
        assert found.verify() == []
    kpis = done.kpis
    if what == "one cell":
        assert done.manifest["cells"] == 1
    if what in ("one tick", "all at once"):
        assert done.manifest["sim_seconds"] == 900
    if what in ("no offers", "all at once"):
        assert kpis["use_cases"] == {} and kpis["funnel"]["sent"] == 0
        assert kpis["latency_ms"]["decision"]["p99"] is None
    if what == "no control group":
        for case in kpis["use_cases"].values():
            uplift = case["uplift"]
            assert uplift["n"] or uplift["value"] is None
