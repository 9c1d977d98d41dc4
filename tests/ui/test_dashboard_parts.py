"""The parts of the dashboard that need no page: colours, hexes, lanes, stories, the command."""

import socket
from datetime import datetime
from pathlib import Path

import h3
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from dashboard import charts, figures, layers, stories
from scenarios import cli_dashboard
from scenarios import stages as way
from scenarios.cli import run_cli
from scenarios.report.figures import funnel

EMPTY = dict.fromkeys(("activity", "account_events", "decisions", "contacts"), pd.DataFrame())


@pytest.mark.parametrize("resolution", [8, 5, 0])
def test_parents_are_those_of_h3(resolution: int) -> None:
    """The bits give the same coarser cell as the library, pentagons included."""
    places = [(51.1, 71.4), (-33.9, 151.2), (64.7, -179.9), (0.0, 0.0)]
    ids = [h3.latlng_to_cell(lat, lon, 9) for lat, lon in places]
    ids += [h3.cell_to_center_child(p, 9) for p in h3.get_pentagons(3)]
    numbers = np.array([h3.str_to_int(i) for i in ids], np.uint64)
    wanted = [h3.str_to_int(h3.cell_to_parent(i, resolution)) for i in ids]
    assert layers.parents(numbers, resolution).tolist() == wanted


def test_many_hexes_are_gathered_without_losing_anybody() -> None:
    """At most as many as allowed are left, and people and lines add up."""
    cells = h3.grid_disk(h3.latlng_to_cell(51.1, 71.4, 9), 40)
    hexes = pd.DataFrame({"hex_id": np.array([h3.str_to_int(c) for c in cells], np.uint64),
                          "people": np.arange(len(cells)), "subscribers": 1})  # fmt: skip
    rows, resolution, own = layers.coarsened(hexes, at_most=500)
    assert (own, len(rows) <= 500, resolution < 9) == (9, True, True)
    assert rows["people"].sum() == hexes["people"].sum()
    assert rows["subscribers"].sum() == len(cells)


def test_a_dark_page_has_no_light_paper_and_no_dark_ink() -> None:
    """Colours of the report are changed wherever they stand; data stay as they were."""
    figure = funnel({"trigger_hits": 10, "eligible": 5})
    dark = charts.in_theme(figure, dark=True)
    told = dark.to_json().lower()
    assert "#22272e" not in told
    assert "#ffffff" not in told
    assert list(dark.data[0].x) == list(figure.data[0].x)


def test_csv_is_read_by_spreadsheets() -> None:
    """UTF-8 with its mark, a plain minus and plain spaces."""
    data = charts.csv(pd.DataFrame({"a": ["\u22121\u202f000"]}))
    assert data.decode("utf-8-sig").splitlines() == ["a", "-1 000"]


def test_texts_of_a_run_cannot_write_markdown() -> None:
    """Marks, formulas, tags and badges stay letters."""
    assert charts.escaped("$x$ [a](b) :red[c] <b>") == r"\$x\$ \[a\](b) \:red\[c\] \<b\>"


def test_a_line_without_rows_has_a_figure_that_says_so() -> None:
    """No lane is drawn of nothing."""
    assert not figures.lanes(EMPTY, "KZT").data


def test_a_day_is_told_stage_by_stage_with_its_truth() -> None:
    """The message is found by rule and use case, and the truth is that of both worlds."""
    decision = {"ts_ms": 1000, "trigger": "low_balance", "use_case": "credit",
                "reason": "intended", "n_candidates": 2, "n_eligible": 1, "n_allowed": 1,
                "priority_q": 6_400, "latency_ms": 170, "value": 90}  # fmt: skip
    contacts = pd.DataFrame([{
        "trigger_ms": 1000, "use_case": "credit", "channel": "sms", "status": "delivered",
        "sent_ms": 1300, "seen": 1, "accepts": 1, "need_q": 255, "fatigue_q": 512, "t1_ms": 5000,
        "t0_ms": -1, "y1_minor": 5000, "y0_minor": 0,
    }])  # fmt: skip
    message = way.message_of(decision, contacts)
    rows = stories.stages(decision, message, "KZT")
    stages = {row["stage"]: row["result"] for row in rows}
    meant = {row["stage"]: row["what it means"] for row in rows}
    assert stages["arbitration"] == "credit"
    assert meant["trigger"] == "the rule saw a balance of 0.90 KZT after the event"
    assert meant["arbitration"].startswith("priority 1.00 KZT")
    assert stages["channel"] == "sms"
    truth = dict(way.truth(message, str, "KZT"))
    assert truth["Effect of the contact"] == "+50.00 KZT"
    assert truth["Without it"] == "would not buy"
    assert way.message_of({**decision, "ts_ms": 1}, contacts) is None
    at = datetime(2026, 3, 4)
    rows = stories.day({**EMPTY, "decisions": pd.DataFrame([{**decision, "at": at}])})
    assert rows[0]["result"] == "intended"


def test_a_taken_port_is_exit_2_with_a_free_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the port and one that is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_cli(["dashboard", "--runs", str(tmp_path), "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert "the port is taken" in told
    assert str(port) in told


def test_a_file_is_no_folder_of_runs(tmp_path: Path) -> None:
    """It is refused before anything starts."""
    (tmp_path / "file").touch()
    assert run_cli(["dashboard", "--runs", str(tmp_path / "file")]) == 2


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and the name of the extra."""
    monkeypatch.setattr(cli_dashboard.importlib.util, "find_spec", lambda name: None)
    assert run_cli(["dashboard"]) == 2
    assert "operator-twin[dashboard]" in capsys.readouterr().err


def test_the_server_listens_on_the_loopback_and_tells_nobody(tmp_path: Path) -> None:
    """The flags that protect are given on the command line, where nothing overrides them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = " ".join(cli_dashboard.server(tmp_path, port))
    assert "--server.address 127.0.0.1" in command
    assert "--browser.gatherUsageStats false" in command
