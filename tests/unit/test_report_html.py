"""The report: one file, no request, every section, also for an empty or unfinished run."""

import json
import re

import pandas as pd
import plotly.graph_objects as go
import pytest

from scenarios.report import document, figures, figures_places, markdown, report
from scenarios.report.words import (
    count,
    dig,
    milliseconds,
    money,
    percent,
    sentences,
    short,
    signed,
    size,
)
from sim.core.errors import ScenarioError
from sim.record.folder import RunFolder
from sim.record.store import open_run
from tests.unit.test_report_fake import fake_run, geography, recorder, samples, tally


@pytest.fixture(scope="module")
def run_path(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs"), ticks=40)


@pytest.fixture(scope="module")
def page(run_path) -> str:
    return report(run_path).read_text("utf-8")


def without_library(page: str) -> str:
    """Return the page without the text of the chart library."""
    head, _, rest = page.partition("<script>")
    _, _, tail = rest.partition("</script>")
    return head + tail


def test_the_page_asks_no_host_for_anything(page):
    """No script, style, image, font or frame is loaded, and the library is there just once."""
    own = without_library(page)
    assert not re.search(r"""(src|href|action|poster|data)\s*=\s*["']?\s*(https?:)?//""", own)
    assert not re.search(r"@import|url\(", own)
    assert "cdn" not in own
    assert page.count("plotly.js v") == 1
    assert '"showSendToCloud": false' in own or "showSendToCloud&#34;: false" in own
    assert 'showSendToCloud": true' not in own


def test_every_section_opens_with_its_question(page):
    """Each heading of a section asks something; the words of each reader are there."""
    own = without_library(page)
    headings = re.findall(r"<h2>(.*?)</h2>", own)
    assert len(headings) >= 13
    assert all(h.endswith("?") for h in headings if h != "What speaks against this run")
    for word in ("strategist", "engineer", "viewer", "CC BY 4.0", "data_80", "glossary"):
        assert word in own
    assert own.count('class="plotly-graph-div"') >= 12
    for name in ("day", "map", "funnel", "use-cases", "money", "channels", "latency", "geofences",
                 "quests", "busy-hour", "trust", "sources"):  # fmt: skip
        assert f'<section id="{name}">' in own


def test_no_number_is_broken(page):
    """No nan, None or unrendered template in what a person reads."""
    text = re.sub(r"<script.*?</script>", "", without_library(page), flags=re.S)
    text = re.sub(r"<[^>]+>", " ", text)
    for broken in ("nan", "None", "{{", "inf ", "undefined"):
        assert broken not in text.split("glossary")[0].replace("confine", "")


def test_what_comes_from_outside_is_escaped(tmp_path):
    """A title or an attribution cannot become a part of the page."""
    path = fake_run(tmp_path, ticks=4)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["title"] = "<script>alert(1)</script>"
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "checksums.json").unlink()
    assert "<script>alert(1)" not in report(path).read_text("utf-8")


def test_an_empty_run_has_a_report(tmp_path):
    """Nothing happened: every section says so, and nothing breaks."""
    path = fake_run(tmp_path, ticks=0)
    own = without_library(report(path).read_text("utf-8"))
    assert "Nothing happened in this run" in own
    assert "no rule was satisfied in this run" in own
    assert markdown(path).startswith("# A made-up day")


def test_an_unfinished_run_has_a_report_that_says_so(tmp_path):
    """Only parts, no KPIs yet; the report goes where it is told to."""
    folder = RunFolder.create(tmp_path, "x")
    made = recorder(folder.path)
    geography(made, folder)
    folder.write_status("run", sim_ms=1, sim_end_ms=4)
    for tick in range(3):
        made.on_tick(tick, tick * 900_000, tally(tick), samples(tick), {}, [])
    made.flush()
    folder.write_json("manifest.json", {"status": "interrupted", "sim_seconds": 2_700})
    out = report(tmp_path / "x", out=tmp_path / "r.html")
    assert out == tmp_path / "r.html"
    assert "not complete (interrupted, 25" in out.read_text("utf-8")


def test_a_folder_that_is_no_run_has_no_report(tmp_path):
    """One sentence, exit code 2."""
    with pytest.raises(ScenarioError) as error:
        report(tmp_path)
    assert error.value.exit_code == 2


def test_the_report_can_be_had_as_json_and_markdown(run_path):
    """The JSON document is plain data; the Markdown holds the tables."""
    found = json.loads(json.dumps(document(run_path), allow_nan=False))
    assert set(found) >= {"sentences", "kpis", "red_flags", "manifest", "busy_hour_cells", "audit"}
    assert len(found["sentences"]) >= 6
    text = markdown(run_path)
    assert "| use case |" in text
    assert "## Which use cases are worth it, and how sure is that?" in text
    widths = [line.count("|") for line in text.split("### All use cases")[1].splitlines()[2:9]]
    assert len(set(widths)) == 1


def test_sentences_are_made_from_the_numbers(run_path):
    """What is known is said with its number; what is not known is not said."""
    with open_run(run_path) as run:
        told = " ".join(sentences(run.manifest, run.kpis))
        assert short(run.kpis["funnel"]["trigger_hits"]) in told
        assert "within 1 s" in told
    assert sentences({}, {}) == []


def test_numbers_are_written_for_people():
    """Groups, units, signs, and a dash for what is not known."""
    thin = "\u202f"
    assert count(1234567) == f"1{thin}234{thin}567"
    assert short(4_458_267) == f"4.46{thin}M"
    assert short(117_628) == f"118{thin}k"
    assert short(0.5574) == "0.557"
    assert short(-26_900) == f"\u221226.9{thin}k"
    assert signed(12.0) == "+12" and signed(-0.0123, 2) == "\u22120.012"
    assert percent(0.12345, 2) == f"12.35{thin}%" or percent(0.12345, 2) == f"12.34{thin}%"
    assert money(150_000, "RUB", sign=True) == f"+1{thin}500{thin}RUB"
    assert milliseconds(882.4) == f"882{thin}ms" and milliseconds(9_690) == f"9.69{thin}s"
    assert milliseconds(363_000) == f"6.05{thin}min"
    assert size(3_200_000_000) == f"3.2{thin}GB"
    for write in (count, short, percent, milliseconds, size, signed):
        assert write(None) == "\u2013"
    assert dig({"a": {"b": 0}}, "a", "b") == 0 and dig({"a": None}, "a", "b") is None


def test_figures_are_pure_functions_of_their_data(run_path):
    """Axis titles with units, intervals where there are estimates, the one palette."""
    with open_run(run_path) as run:
        up = figures.uplift(run.kpis["use_cases"], "RUB")
        assert "RUB" in up.layout.xaxis.title.text
        marks = [t for t in up.data if t.name != "truth"]
        assert all(t.error_x.array is not None for t in marks)
        assert sum(len(t.y) for t in marks) == len(run.kpis["use_cases"])
        assert figures.funnel(run.kpis["funnel"]).data[0].x[0] == run.kpis["funnel"]["trigger_hits"]
        stages = figures.latency_stages(run.kpis["latency_ms"])
        assert stages.layout.xaxis.type == "log" and "ms" in stages.layout.xaxis.title.text
    assert figures.config(up)["showSendToCloud"] is False
    assert figures.config(up)["scrollZoom"] is False


def test_a_large_territory_is_gathered_before_it_is_drawn():
    """A million hexes and many cells become a picture that a browser can bear."""
    n = 60_000
    hexes = pd.DataFrame({
        "lat": [45 + i % 300 / 20 for i in range(n)], "lon": [30 + i // 300 / 4 for i in range(n)],
        "people": [1] * n,
    })  # fmt: skip
    cells = pd.DataFrame({
        "cell": range(20_000), "lat": 50.0, "lon": 40.0, "rat": 4,
        "util": [i / 20_000 for i in range(20_000)],
    })  # fmt: skip
    figure = figures_places.territory(hexes, cells, None)
    drawn = {trace.name: trace for trace in figure.data}
    people = drawn["people (darker: more)"]
    assert len(people.x) < n / 2
    assert sum(people.customdata) == n
    gathered = drawn["20,000 cells, gathered in squares"]
    assert len(gathered.x) == 1
    assert gathered.marker.color[0] == pytest.approx(50, abs=0.1)
    assert figures.config(figure)["scrollZoom"] is True


def test_a_territory_across_the_date_line_stays_in_one_piece():
    """Western longitudes are drawn past 180 degrees."""
    hexes = pd.DataFrame({"lat": [60.0, 65.0], "lon": [170.0, -172.0], "people": [5, 6]})
    figure = figures_places.territory(hexes, pd.DataFrame(), None)
    assert list(figure.data[0].x) == [170.0, 188.0]


@pytest.mark.parametrize("make", [
    lambda: figures.day_curve(pd.DataFrame(columns=["at", "kind", "per_second"])),
    lambda: figures.rates_over_time(pd.DataFrame(columns=["at", "what", "per_second"])),
    lambda: figures.funnel({}), lambda: figures.suppression({}),
    lambda: figures.uplift({}, "RUB"), lambda: figures.conversion({}),
    lambda: figures.channel_fate({}), lambda: figures.channel_wait({}),
    lambda: figures.latency_stages({}),
    lambda: figures.latency_curves(pd.DataFrame(columns=["what", "ms", "share"])),
    lambda: figures_places.territory(pd.DataFrame(), pd.DataFrame(), None),
    lambda: figures_places.cell_load([]), lambda: figures_places.geofences({}),
    lambda: figures_places.quests({}), lambda: figures_places.money({}, {}, "RUB"),
])  # fmt: skip
def test_a_figure_without_data_says_why_it_is_empty(make):
    """No exception, and a sentence in place of an empty frame."""
    figure = make()
    assert isinstance(figure, go.Figure)
    assert figure.layout.annotations[0].text
