"""Every page of the dashboard renders on every kind of run, and on none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from dashboard import live, queries
from sim.record.store import RunInfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("ui")]

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
OVERVIEW, MAP, SUBSCRIBER = "views/overview.py", "views/map.py", "views/subscriber.py"
USE_CASES, ENGINE, LIVE = "views/use_cases.py", "views/engine.py", "views/live.py"
RUN_PAGES = (OVERVIEW, MAP, SUBSCRIBER, USE_CASES, ENGINE)
PAGES = (*RUN_PAGES, LIVE)


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for `twin list scenarios`, so that no page starts a process by itself."""
    monkeypatch.setattr(live, "shipped", lambda: [{"name": "city_day", "question": "Which?"}])


def opened(folder: Path, page: str) -> AppTest:
    """Open a page over a folder of runs."""
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.session_state["runs_dir"] = str(folder)
    app.run()
    return app if page == OVERVIEW else app.switch_page(page).run()


def texts(app: AppTest) -> str:
    """Return all that a page says in words."""
    kinds = (app.title, app.markdown, app.info, app.warning, app.error, app.success, app.caption,
             app.code, app.subheader)  # fmt: skip
    return "\n".join(str(element.value) for elements in kinds for element in elements)


def charts(app: AppTest) -> int:
    """Return how many figures stand on a page."""
    return len(app.get("plotly_chart"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "kind", ["nothing", "finished", "interrupted", "failed", "damaged", "running"]
)
def test_every_page_renders_on_every_kind_of_run(
    kind: str, page: str, request: pytest.FixtureRequest
) -> None:
    """No page ends in an exception; each has a title, a question, and the synthetic mark."""
    app = opened(request.getfixturevalue(kind), page)
    assert not app.exception, [e.value for e in app.exception]
    assert len(app.title) == 1
    assert "?" in app.markdown[0].value
    if kind != "nothing":
        assert "synthetic data" in texts(app)


@pytest.mark.parametrize("page", RUN_PAGES)
def test_without_runs_a_page_says_which_command_makes_one(nothing: Path, page: str) -> None:
    """The empty state names the folder and a command."""
    told = texts(opened(nothing, page))
    assert "There is no run in" in told
    assert f"twin run city_day --subscribers 50000 --out {nothing.resolve() / 'first'}" in told


@pytest.mark.parametrize("page", RUN_PAGES)
def test_a_damaged_run_is_an_error_without_a_trace(damaged: Path, page: str) -> None:
    """The sentence names the file that is missing, and no trace is shown."""
    app = opened(damaged, page)
    assert "kpis.json" in app.error[0].value
    assert "Traceback" not in texts(app)


@pytest.mark.parametrize("page", RUN_PAGES)
def test_a_run_that_ends_while_a_page_loads_is_shown_complete(
    finished: Path, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is renamed between the list and the first look into it: the page looks again."""
    folder = tmp_path / "runs"
    shutil.copytree(finished / "tiny", folder / "tiny.part")
    look = queries.key_of

    def renamed(info: RunInfo) -> queries.RunKey:
        part = folder / "tiny.part"
        if part.is_dir():
            part.rename(folder / "tiny")
        return look(info)

    app = opened(folder, page) if page != OVERVIEW else AppTest.from_file(
        str(APP), default_timeout=120)  # fmt: skip
    app.session_state["runs_dir"] = str(folder)
    monkeypatch.setattr(queries, "key_of", renamed)
    app.run()
    assert not app.exception and not app.error, [e.value for e in app.error]
    assert app.session_state["run_name"] == "tiny"


def test_a_failed_run_says_why(failed: Path) -> None:
    """The reason of the manifest stands on the page of the run and on that of live runs."""
    for page in (OVERVIEW, LIVE):
        assert any("main money, tick 4" in e.value for e in opened(failed, page).error)


def test_overview_of_a_finished_run_has_figures_curves_and_checks(finished: Path) -> None:
    """Eight headline figures, the sections of the report with their charts, the audit."""
    app = opened(finished, OVERVIEW)
    assert len(app.metric) == 8
    assert charts(app) >= 4
    assert "2 000 simulated lines" in texts(app).replace("\u202f", " ").replace("\\", "")
    assert any("checks of money" in e.value for e in app.success)


def test_overview_of_an_interrupted_run_shows_what_there_is(interrupted: Path) -> None:
    """Headline figures are missing and said to be; the curve so far is drawn."""
    app = opened(interrupted, OVERVIEW)
    assert "interrupted at 50" in app.warning[0].value
    assert not app.metric
    assert charts(app) == 1


def test_map_draws_hexes_cells_and_fences_and_no_map_service(finished: Path) -> None:
    """The deck has our own layers, and neither a style nor a provider to ask."""
    app = opened(finished, MAP)
    (deck,) = app.get("deck_gl_json_chart")
    told = deck.proto.json
    for layer in ("H3HexagonLayer", "ScatterplotLayer", "PolygonLayer", "TextLayer"):
        assert layer in told
    assert "mapProvider" not in told
    assert "://" not in told
    app.toggle(key="map-fences").set_value(False).run()
    assert "PolygonLayer" not in app.get("deck_gl_json_chart")[0].proto.json
    assert not app.exception


def test_use_cases_have_uplift_truth_and_a_funnel_of_their_own(finished: Path) -> None:
    """The table has interval, n and truth; a single use case has its funnel."""
    app = opened(finished, USE_CASES)
    table = app.dataframe[0].value
    assert {"uplift", "low", "high", "in truth", "treated n", "withheld n"} <= set(table.columns)
    assert len(table) == 22
    app.selectbox(key="cases-funnel-of").set_value("mall_coupon").run()
    assert not app.exception
    assert charts(app) == 4


@pytest.mark.parametrize("kind", ["finished", "interrupted"])
def test_a_subscriber_has_lanes_decisions_and_every_row(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Each line that can be picked has its lanes, whether something was decided or not."""
    app = opened(request.getfixturevalue(kind), SUBSCRIBER)
    picker = next(s for s in app.selectbox if s.label.startswith("Recorded line"))
    for told in (picker.options[0], picker.options[-1]):
        app.selectbox(key=picker.key).set_value(int(told.split()[1])).run()
        assert not app.exception
        assert charts(app) == 1
        assert len(app.dataframe) >= 1


def test_an_unknown_subscriber_gets_the_command_that_tells_its_day(finished: Path) -> None:
    """Outside the sample the page names `twin explain`, for text that is no number as well."""
    app = opened(finished, SUBSCRIBER)
    for typed, shown in (("99999999", "--sub 99999999"), ("<b>x", "--sub N")):
        app.text_input(key="sub-typed").set_value(typed).run()
        assert not app.exception
        assert shown in app.code[0].value


def test_live_shows_clock_rate_time_left_and_memory(running: Path) -> None:
    """The figures are those of `status.json`."""
    values = {m.label: m.value.replace("\u202f", " ") for m in opened(running, LIVE).metric}
    assert values["simulated"] == "25 %"
    assert values["events a second"] == "2.00 M"
    assert values["times real time"] == "720"
    assert values["time left"] == "2 min"
    assert values["memory, all processes"] == "500 MB"


def test_the_form_starts_a_run_as_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command carries what was typed, into the folder of runs; a refusal is shown."""
    refuse = "import sys; print('twin: refused'); sys.exit(2)"
    monkeypatch.setattr(live, "twin", lambda *a: [sys.executable, "-c", refuse, *a])
    started: list[live.Started] = []
    monkeypatch.setattr(live, "started", lambda: started)
    app = opened(tmp_path, LIVE)
    app.number_input(key="live-lines").set_value(1234)
    app.number_input(key="live-days").set_value(0.5)
    app.text_input(key="live-name").set_value("mine")
    next(b for b in app.button if b.label == "Start").click().run()
    (run,) = started
    assert run.command[3:] == ["run", "city_day", "--subscribers", "1234", "--days", "0.5",
                               "--out", str(tmp_path.resolve() / "mine")]  # fmt: skip
    run.process.wait(timeout=60)
    app.run()
    assert any("exit code 2" in e.value for e in app.error)
    assert any("twin: refused" in c.value for c in app.code)
    run.log.unlink()


@pytest.mark.parametrize("name", ["../up", "a/b", "", "x.part", ".hidden", "a" * 65, "--out"])
def test_a_name_cannot_leave_the_folder_of_runs(name: str, tmp_path: Path) -> None:
    """What is no plain name is refused before anything starts."""
    from sim.core.errors import ScenarioError

    with pytest.raises(ScenarioError, match="not a name"):
        live.start(tmp_path, scenario="city_day", subscribers=1, days=1.0, seed=None, name=name)


def test_pages_never_write_into_a_run(finished: Path) -> None:
    """Names, sizes and times of all files are the same after every page was opened."""

    def state() -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(finished.rglob("*"))
        }

    before = state()
    for page in PAGES:
        opened(finished, page)
    assert state() == before


def test_the_dashboard_does_not_import_the_models() -> None:
    """Neither actors, nor geo, nor the runtime are in the process of the pages."""
    program = (
        "import sys, dashboard.views.overview, dashboard.views.map, dashboard.views.use_cases, "
        "dashboard.views.subscriber, dashboard.views.live, dashboard.views.engine; "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('actors', 'geo', 'ray') "
        "or m.startswith(('sim.runtime', 'sim.control', 'sim.queueing'))]; "
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
