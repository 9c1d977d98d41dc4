"""The parts of a comparison that need no run: paired intervals, first differences, words, page."""

import re

import numpy as np
import pytest

from actors.rtm.state import ANSWERED, NO_CASE
from scenarios import load
from scenarios.cli import run_cli
from scenarios.compare import Options
from scenarios.compare.estimate import (
    PAIRS_MIN,
    Difference,
    LineSpread,
    by_replications,
    differences,
    enough,
    flat,
    spread,
)
from scenarios.compare.first import First, Row, first_of, sentence
from scenarios.compare.pairs import Outcome
from scenarios.compare.sides import settings_that_differ
from scenarios.compare.study import _sequence, sides_of
from scenarios.compare.words import caveats, headline
from scenarios.equilibrium import _renamed, cache_key, pilot_of
from scenarios.loader import set_option
from scenarios.population import Donors
from scenarios.report.compare import page
from sim.core.errors import ScenarioError


def test_only_numbers_are_figures_and_truth_values_are_none():
    """Names are dotted; texts, nulls, lists and truth values are left out."""
    told = {"a": {"b": 1, "c": 2.5, "d": "x"}, "e": None, "f": True, "g": [1], "h": 0}
    assert flat(told) == {"a.b": 1, "a.c": 2.5, "h": 0}


def test_equal_replications_have_difference_and_interval_zero():
    """The interval of pairs that never differ is [0, 0], exactly, though the figures vary."""
    found = by_replications([(0.1, 0.1), (0.7, 0.7), (1e9, 1e9)])
    assert (found.difference, found.low, found.high, found.n) == (0, 0, 0, 3)
    assert not found.beyond_noise


def test_the_paired_interval_is_students():
    """Worked by hand: differences 1, 2, 3 have mean 2, sd 1, and t(2) = 4.303."""
    found = by_replications([(10, 11), (20, 22), (30, 33)])
    half = 4.303 / 3**0.5
    assert found.difference == 2
    assert found.half_width == pytest.approx(half, rel=0.01)
    assert found.low is not None and found.high is not None
    assert found.low + found.high == pytest.approx(4)
    # var 100 + var 121 unpaired against var 1 paired.
    assert found.reduction == pytest.approx(221)


def test_the_interval_of_replications_covers_the_truth():
    """Of 400 sets of 5 pairs with a true difference of 3, 95 % cover it (bounds at 1e-6)."""
    rng = np.random.Generator(np.random.PCG64(7))
    hits = 0
    for _ in range(400):
        base = rng.normal(0, 50, 5)
        pairs = list(zip(base, base + 3 + rng.normal(0, 1, 5), strict=True))
        found = by_replications(pairs)
        assert found.low is not None and found.high is not None
        hits += found.low <= 3 <= found.high
    assert 355 <= hits <= 398, hits


def test_one_replication_has_an_interval_only_where_lines_give_one():
    """A spread gives it; without one, and with too few changed lines, there is none."""
    a, b = {"x": 100, "y": 5, "z": 7}, {"x": 130, "y": 6, "z": 7}
    told = {
        "x": LineSpread(n=400, n_lines=400, changed=50, variance=4.0, unpaired=40.0),
        "y": LineSpread(n=400, n_lines=400, changed=3, variance=4.0, unpaired=40.0),
    }
    found = differences([a], [b], spreads=told)
    assert found["x"].low == pytest.approx(30 - 1.966 * 2 * 20, rel=0.01)
    assert found["x"].reduction == 10
    assert found["y"].low is None and found["z"].low is None
    assert differences([a], [a], unchanged=True)["z"] == Difference(
        7, 7, 0, 0, 0, 1, "no line differs"
    )


def test_a_sample_of_lines_speaks_for_all_of_them():
    """The spread of a sum grows with the root of all lines, that of a mean shrinks with it."""
    x = np.zeros(100)
    y = np.arange(100) % 2
    one, two = spread(x, y, n_lines=10_000), spread(x, y, n_lines=10_000, mean=True)
    wide = differences([{"f": 0}], [{"f": 5_000}], spreads={"f": one})["f"]
    thin = differences([{"f": 0}], [{"f": 0.5}], spreads={"f": two})["f"]
    assert wide.half_width is not None and thin.half_width is not None
    assert wide.half_width == pytest.approx(thin.half_width * 10_000)
    assert wide.estimator == "sampled lines"


def test_a_figure_of_one_side_alone_has_no_difference():
    """Its value is told, and the other side is null, not 0."""
    found = differences([{"x": 1}], [{"x": 1, "new": 4}])["new"]
    assert (found.a, found.b, found.difference, found.low) == (None, 4, None, None)


def test_a_figure_is_paired_over_the_seeds_that_have_it():
    """A share of nothing is absent in one replication: the others are paired, and n says so."""
    a, b = [{"s": 1.0}, {}, {"s": 3.0}, {"s": 5.0}], [{"s": 2.0}, {"s": 9.0}, {"s": 4.0}, {}]
    found = differences(a, b)["s"]
    assert (found.a, found.b, found.difference, found.n) == (2.0, 3.0, 1.0, 2)
    lone = differences([{"s": 1.0}, {}], [{"s": 1.0}, {}])["s"]
    assert (lone.difference, lone.low, lone.n) == (0, None, 1)


def test_a_target_stops_the_sequence_no_earlier_than_it_may():
    """Three equal pairs have width 0, but know nothing of their spread."""
    a, b = [{"x": i} for i in range(6)], [{"x": i + 2} for i in range(6)]
    assert not enough(a, b, {"x": 1.0}, PAIRS_MIN - 1)
    assert enough(a, b, {"x": 1.0}, PAIRS_MIN)
    assert not enough(a, [{"x": i * 7} for i in range(6)], {"x": 1.0}, 6)


class FakeRuns:
    """Gives pairs whose figure varies little, and counts how many were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def pairs(self, n: int):
        """Give up to `n` pairs."""
        for k in range(n):
            self.asked += 1
            yield tuple(
                Outcome(k, "h", 1, {"funnel.sent": 100 * k + k % 2 * side}, 0) for side in (0, 1)
            )


@pytest.mark.parametrize(("wanted", "made"), [(1e6, 4), (0.3, 14), (1e-9, 20)])
def test_the_sequence_ends_with_the_target_or_with_its_limit(wanted, made):
    """A wide target ends at the fourth pair, a narrow one when its interval is short enough."""
    runs = FakeRuns()
    asked = Options(replications=20, targets={"funnel.sent": wanted})
    pairs, reached = _sequence(runs, asked)  # pyright: ignore[reportArgumentType] - a fake
    assert len(pairs) == runs.asked
    assert reached == (len(pairs) < 20)
    assert len(pairs) == made


def row(ts_ms: int, table: int = 0, **said: str) -> Row:
    """Return a recorded row."""
    return Row(ts_ms, table, tuple(said.items()))


def test_the_first_difference_is_found_in_order_of_time():
    """A row that is missing, one that is new, one that says something else, and none at all."""
    one, two, three = row(1, kind="usage"), row(5, kind="usage"), row(9, kind="recharge")
    assert first_of(4, [one, two, three], [one, three]) == First(4, 5, "usage", "")
    assert first_of(4, [one, three], [one, two, three]) == First(4, 5, "", "usage")
    other = row(5, kind="usage", units="7")
    found = first_of(4, [one, two], [one, other])
    assert (found.ts_ms, found.a, found.b) == (5, "usage", "usage (units 7)")
    assert first_of(4, [one, two], [one, two]) == First(4, -1, "", "")


def test_rows_are_told_as_sentences():
    """A decision names its rule, candidate and reason; a message its channel and fate."""
    said = sentence(row(1, 2, trigger="low_balance", use_case="credit", reason="cap"))
    assert said == "low_balance fired: credit, cap"
    assert sentence(row(1, 3, use_case="gift", channel="sms", status="delivered")) == (
        "message gift by sms: delivered"
    )


def document(**changes: object) -> dict:
    """Return a comparison with one figure."""
    side = {"told": "city_day", "scenario": "city_day", "title": "<b>x</b>", "run": None,
            "scenario_hash": "ab" * 32, "state_digest": 1, "subscribers": 1000}  # fmt: skip
    return {
        "kpis": {
            "lines.margin_minor": {
                "a": 1000, "b": 900, "difference": -100, "low": -150, "high": -50,
            },
            "use_cases.mall_coupon.sent": {
                "a": 4, "b": None, "difference": None, "low": None, "high": None,
            },
        },
        "basis": {
            "lines.margin_minor": {
                "estimator": "replications", "n": 8, "beyond_noise": True,
                "variance_reduction": 40.0,
            },
            "use_cases.mall_coupon.sent": {
                "estimator": "", "n": 0, "beyond_noise": False, "variance_reduction": None,
            },
        },
        "subscribers_changed": 12,
        "subscribers": {"compared": 1000, "changed_by_seed": [12], "groups": [
            {"kind": "segment", "name": "mass", "lines": 1000, "changed": 12}]},
        "changed": [
            {"sub": 7, "segment": "mass", "region": "<script>", "ts_ms": 5, "time": "Wed 00:00",
             "a": "<img src=x>", "b": ""},
            {"sub": 8, "segment": "mass", "region": "", "ts_ms": None, "time": "", "a": "",
             "b": ""},
        ],
        "a": side, "b": {**side, "told": "city_day --set"}, "direction": "difference = B - A",
        "estimand": "total effect", "replications": 8, "seeds": [1, 8], "days": 1.0,
        "settings": [{"key": "rtm.cap.contacts", "a": "3", "b": "<u>1"}],
        "currency": "KZT", "targets": [], "caveats": ["so so"], "headline": "B is less.",
        "level": 0.95, **changes,
    }  # fmt: skip


def test_the_headline_says_what_b_makes_and_whom_it_touches():
    """Money with its interval, and the subscribers whose day changed."""
    told = headline(document())
    assert told.startswith("B makes 1 KZT (95 %: -2 to -0) less margin than A"), told
    assert "12 of 1,000 subscribers (1.2 %) have another day" in told
    same = document(subscribers_changed=0)
    same["basis"]["lines.margin_minor"]["beyond_noise"] = False
    assert headline(same) == "B is A: not one of 1,000 subscribers has another day."


def test_caveats_say_what_is_missing():
    """One replication, an unknown number of changed subscribers, and figures of one side."""
    told = " ".join(caveats(document(replications=1, subscribers_changed=None)))
    assert "One replication" in told and "record.line_digests=true" in told
    assert "1 figures have no difference" in told


def test_the_page_is_one_file_and_shows_names_as_text():
    """No request to any host, no markup from names, differences beyond noise first."""
    html = page(document())
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', outside)
    assert "<img src=x>" not in html and "&lt;img src=x&gt;" in html
    assert "no event differs: only what is remembered or felt" in html
    assert html.index("What differs beyond noise?") < html.index("Whose day changed?")
    empty = document(kpis={}, basis={}, changed=[], subscribers_changed=None)
    assert "Not known" in page(empty)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["city_dya", "city_day"], ["no such scenario or run", "did you mean city_day"]),
        (["city_day", "runs/none"], ["no such scenario or run", "runs/none"]),
        (["nothing", "nowhere"], ["2 problems", "nothing", "nowhere"]),
        (["city_day", "city_day", "--set-b", "clock.days=2"], ["clock.days", "1.0 and 2.0"]),
        (["city_day", "city_day", "--set-b", "population.subscribers=5", "--set-b", "seed=4"],
         ["2 problems", "--subscribers N sets both", "nothing is paired"]),
        (["city_day", "city_day", "--set-b", "rtm.enabledd=false"], ["rtm.enabledd"]),
        (["city_day", "city_day", "--set-a", "x"], ["--set-a", "path.to.key=value"]),
        (["city_day", "city_day", "--target-half-width", "chargin.x=1"], ["did you mean charging"]),
        (["city_day", "city_day", "--target-half-width", "funnel.sent"], ["KPI=VALUE"]),
        (["city_day", "city_day", "--target-half-width", "funnel.sent=0"], ["above 0"]),
        (["city_day", "city_day", "--target-half-width", "funnel.sent=9", "--replications", "2"],
         ["at least 4"]),
        (["city_day", "city_day", "--replications", "1001"], ["1 to 1000"]),
    ],
)  # fmt: skip
def test_wrong_input_is_one_message_and_exit_2(arguments, words, tmp_path, monkeypatch, capsys):
    """Nothing is run, nothing is written, and the message says what would be right."""
    monkeypatch.chdir(tmp_path)
    assert run_cli(["compare", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    for word in words:
        assert word in told.err, told.err
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


def test_b_starts_from_the_world_of_a(tmp_path):
    """What differs goes into B's pilot, so that both pilots are one; B itself stays as told."""
    asked = Options(
        both=(set_option("population.subscribers=1000"),),
        only_b=(set_option("rtm.cap.contacts=1"), set_option("subscribers.leaving.churn_month=0")),
        runs_dir=tmp_path,
    )
    a, b, notes = sides_of("city_day", "city_day", asked)
    assert set(b.loaded.model.population.pilot) == {"rtm", "subscribers"}
    assert b.loaded.model.rtm.cap.contacts == 1
    one, two = pilot_of(a.loaded), pilot_of(b.loaded)
    assert one.model == two.model
    assert cache_key(a.loaded, one) == cache_key(b.loaded, two)
    assert any("equilibrium of A" in note for note in notes)
    differing = {row["key"]: (row["a"], row["b"]) for row in settings_that_differ(a, b)}
    assert set(differing) == {"rtm.cap.contacts", "subscribers.leaving.churn_month"}
    assert differing["rtm.cap.contacts"][1] == "1"
    # The file of B alone gives the same scenario again.
    (tmp_path / "b.yaml").write_text(b.loaded.effective_yaml(folder=tmp_path), "utf-8")
    assert load(tmp_path / "b.yaml").hash() == b.loaded.hash()
    same, _, none = sides_of("city_day", "city_day", Options(runs_dir=tmp_path))
    assert none == [] and same.loaded.hash() == load("city_day").hash()


def test_remembered_use_cases_keep_their_names_in_another_catalogue(tmp_path):
    """A case that has another number in B is renumbered, one that B does not know is forgotten."""
    names = load("city_day").catalogue.offers
    left_out = [name for name in names if name not in ("mall_coupon",)]
    asked = Options(
        only_b=(set_option(f"catalog.offers={list(left_out)}"),), runs_dir=tmp_path,
    )  # fmt: skip
    _, b, _ = sides_of("city_day", "city_day", asked)
    none = np.zeros(0, np.int64)
    before = list(names)
    n = len(before)
    recent = np.array([[k, (k + 1) % n] for k in range(n)], np.uint16)
    channel = np.tile(np.array([1, 2 | ANSWERED], np.uint8), (n, 1))
    day = np.tile(np.array([7, 5], np.uint8), (n, 1))
    rtm = {"recent_case": recent, "recent_channel": channel, "recent_day": day}
    more = {
        "row": np.arange(n), "case": recent[:, 1], "channel": channel[:, 1], "day": day[:, 1],
    }  # fmt: skip
    donors = Donors(none, {}, {}, rtm, more, none)
    made = _renamed(donors, pilot_of(b.loaded), b.loaded)
    now = list(b.loaded.catalogue.offers)
    left = [
        [(before[c], w, d) for c, w, d in zip(recent[k], channel[k], day[k], strict=True)
         if before[c] != "mall_coupon"]
        for k in range(n)
    ]  # fmt: skip
    found = [
        [(now[c], w, d) for c, w, d in zip(*(made.rtm[name][k] for name in rtm), strict=True)
         if c != NO_CASE]
        for k in range(n)
    ]  # fmt: skip
    assert found == left
    gone = before.index("mall_coupon")
    assert (made.rtm["recent_case"][gone, 1] == NO_CASE) and len(left[gone]) == 1
    assert [now[c] for c in made.contacts["case"]] == [
        before[(k + 1) % n] for k in range(n) if (k + 1) % n != gone
    ]
    assert made.contacts["row"].tolist() == [k for k in range(n) if (k + 1) % n != gone]


def test_lines_are_not_told_apart_under_ray():
    """The key is refused before anything is built, with what would be right."""
    loaded = load("city_day").with_(subscribers=100, runtime="ray", **{"record.line_digests": True})
    with pytest.raises(ScenarioError, match="record.line_digests.*embedded"):
        loaded.run()
