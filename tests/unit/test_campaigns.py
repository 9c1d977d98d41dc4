"""Campaigns: what they are made of, what a run does with them, and what is wrong with a file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.rtm.campaign_params import Campaign
from actors.rtm.campaign_tables import BLOCK_LINES
from actors.rtm.campaigns import shuffled
from actors.rtm.state import HIT
from scenarios import load
from scenarios.cli import run_cli
from scenarios.participation import Asked, broken
from sim.core.columns import Columns
from sim.core.errors import InvariantError, ScenarioError
from sim.record.store import open_run
from tests.campaigns import DATA, GIFT, HOUR_MS, NOBODY, STEPS, SURVEY, case_of, heard, scenario
from tests.factories import Run, run_world, same_rows, tiny_world


@pytest.fixture(scope="module")
def day() -> Run:
    """A day with two campaigns that exclude each other."""
    return run_world(tiny_world(subscribers=1_200, **scenario(DATA, GIFT)), partitions=3)


def test_each_order_of_a_block_is_a_permutation() -> None:
    """Whatever the key, every line of a block has one rank."""
    for key in np.random.default_rng(1).integers(0, 1 << 63, 40):
        places = {int(shuffled(rank, np.uint64(key))) for rank in range(BLOCK_LINES)}
        assert places == set(range(BLOCK_LINES))


def test_orders_of_two_keys_have_nothing_in_common() -> None:
    """Ranks under two keys are uncorrelated, and so are those of neighbours."""
    keys = np.random.default_rng(2).integers(0, 1 << 63, 60)
    orders = np.array(
        [[int(shuffled(rank, np.uint64(key))) for rank in range(BLOCK_LINES)] for key in keys]
    )
    between = np.corrcoef(orders)[np.triu_indices(len(keys), 1)]
    assert abs(between).max() < 0.25 and abs(between.mean()) < 0.02
    behind = [np.corrcoef(order[:-1], order[1:])[0, 1] for order in orders]
    assert abs(np.mean(behind)) < 0.2


def test_a_sub_group_is_a_use_case_with_its_own_price_and_channels(day: Run) -> None:
    """The discount is taken off the price; policy, truth and the rest are those of the offer."""
    tables, people = day.world.rtm.tables, day.world.subscribers.tables
    app, rest = case_of(day, "data_now:app"), case_of(day, "data_now:rest")
    base = case_of(day, "plan_limit_pack")
    assert people.case_price_minor[app] * 2 == people.case_price_minor[rest]
    assert people.case_price_minor[rest] == people.case_price_minor[base]
    names = day.world.labels["channel"]
    assert names[tables.case_channels[app, 0]] == "push"
    assert names[tables.case_channels[rest, 0]] == "sms"
    assert tables.case_need[app] == tables.case_need[base]
    assert tables.case_id[app] != tables.case_id[base]
    assert tables.case_value_minor[app] < tables.case_value_minor[rest]


def test_every_line_is_looked_at_once_in_the_hours(day: Run) -> None:
    """Those at the start and those that join; decisions lie between 10 and 18, and 9 and 20."""
    n = day.world.n_lines
    assert day.totals["campaign_looked"].tolist() == [n, n]
    rows = day.rows("decisions")
    app, rest = case_of(day, "data_now:app"), case_of(day, "data_now:rest")
    mine = np.isin(rows["use_case"], (app, rest))
    hours = rows["ts_ms"][mine] / HOUR_MS
    assert hours.min() >= 10 and hours.max() < 18 and mine.sum() > 200
    # Spread evenly: each hour has its eighth, within five standard deviations.
    by_hour = np.histogram(hours, bins=8, range=(10, 18))[0]
    assert abs(by_hour - mine.sum() / 8).max() < 5 * (mine.sum() / 8) ** 0.5
    assert len(np.unique(rows["sub"][mine])) == mine.sum()


def test_groups_and_audience_are_those_of_the_rules(day: Run) -> None:
    """Who has the app is in the first group, who has not in the second; the audience is exact."""
    world = day.world
    fits = day.totals["campaign_audience"]
    told = world.audiences["data_now"]
    assert told.lines.value is not None
    # Some of the audience leaves, falls out of a rule or joins before its slot.
    assert abs(fits[0] - told.lines.value) < 0.03 * told.lines.value
    assert told.lines.value == sum(g.value for g in told.groups.values() if g.value is not None)
    _, _, engine = world.build(_whole(world))
    rows = day.rows("decisions")
    from actors.rtm.state import APP

    for name, wanted in (("data_now:app", True), ("data_now:rest", False)):
        mine = rows["sub"][rows["use_case"] == case_of(day, name)]
        assert len(mine) > 30
        assert ((engine.columns["flags"][mine] & APP != 0) == wanted).all()


def _whole(world: Any) -> Any:
    from sim.core.partition import Partition

    return Partition(0, 0, world.n_lines)


def test_campaigns_go_the_way_of_any_decision(day: Run) -> None:
    """Openings are hits; policy, the local holdout and ghosts, both worlds and points follow."""
    t = day.totals
    rule = day.world.labels["trigger"].index("campaign")
    opened = int(t["campaign_audience"].sum() - t["campaign_barred"].sum())
    opened -= int(t["campaign_clashed"].sum())
    assert t["trigger_hits"][rule] == opened > 500
    gift = case_of(day, "gift_now:all")
    won = int(t["intended"][gift] + t["ghosts"][gift])
    assert 0.2 < t["ghosts"][gift] / won < 0.4
    assert t["decisions"][gift, m.UNIVERSAL_CONTROL] > 0
    assert t["decisions"][gift, m.NO_CONSENT] > 0
    assert t["truth_n"][gift] > 100 and t["accepted"][gift] > 10
    app = case_of(day, "data_now:app")
    assert t["campaign_points"][0] == 40 * heard(day, app) > 0
    assert t["campaign_breaches"].sum() == 0
    assert all(ok for *_, ok in day.audit)


def test_campaigns_that_exclude_each_other_share_no_line(day: Run) -> None:
    """Nobody takes part in both, though one names the other and not the other way round."""
    rows = day.rows("decisions")
    won = (rows["reason"] == m.INTENDED) | (rows["reason"] == m.HOLDOUT)
    cases = [case_of(day, name) for name in ("data_now:app", "data_now:rest")]
    data = set(rows["sub"][won & np.isin(rows["use_case"], cases)].tolist())
    gift = set(rows["sub"][won & (rows["use_case"] == case_of(day, "gift_now:all"))].tolist())
    assert len(data) > 100 < len(gift) and not data & gift
    assert day.totals["campaign_barred"].min() > 0


def test_no_cut_of_the_lines_changes_anything(day: Run) -> None:
    """Another number of partitions and of hosts: every digest and every decision is the same."""
    again = run_world(day.world, partitions=7, hosts=2)
    assert again.digest == day.digest and again.digests == day.digests
    assert same_rows(again.rows("decisions"), day.rows("decisions"))


def test_a_campaign_for_nobody_changes_nothing_else(day: Run) -> None:
    """Every other row and digest stays what it was, byte for byte."""
    world = tiny_world(subscribers=1_200, **scenario(DATA, GIFT, NOBODY))
    other = run_world(world, partitions=3)
    assert other.totals["campaign_audience"][2] == 0
    assert other.digest == day.digest
    for table in ("activity", "deliveries", "credits"):
        a, b = day.rows(table), other.rows(table)
        assert all(np.array_equal(a[name], b[name]) for name in a), table


def test_a_saved_partition_goes_on_as_if_nothing_had_been(day: Run) -> None:
    """Who has taken part is in the snapshot."""
    from tests.factories import make_runtime

    half = 12 * 4
    first = make_runtime(day.world, partitions=3)
    run_world(day.world, runtime=first, stop_ticks=half, partitions=3)
    saved = [[role.snapshot() for role in roles] for host in first.hosts for roles in host.roles]
    assert any(len(s[2]["Participation"]["key"]) for s in saved)
    table = first.hosts[0].roles[0][2]
    digest = table.campaigns.joined.digest()
    table.campaigns.joined.restore(saved[0][2]["Participation"])
    assert table.campaigns.joined.digest() == digest


def test_a_second_contact_is_counted_as_a_breach(day: Run) -> None:
    """The second look starts from the memory: a hit that the desk would never make is seen."""
    _, _, engine = day.world.build(_whole(day.world))
    engine._out = {schema.name: [] for schema in engine.produces}
    gift = case_of(day, "gift_now:all") - day.world.rtm.tables.campaign.first_case
    breaches = []
    for ts_ms in (11 * HOUR_MS, 40 * HOUR_MS):
        hits = Columns(HIT, 200)
        hits["sub"][:] = np.arange(200)
        hits["ts_ms"][:] = ts_ms
        hits["trigger"][:] = day.world.rtm.tables.campaign.rule
        hits["value"][:] = gift
        log = engine._decide(hits, 200, day.world.rtm.tables)
        sent = int((log["reason"] == m.INTENDED).sum())
        engine.campaigns.joined.reserve(200)
        engine.campaigns.note(engine.view, day.world.rtm.tables, log)
        breaches.append((sent, int(engine.tally()["campaign_breaches"].sum())))
    assert breaches[0][0] > 50 and breaches[0][1] == 0
    assert breaches[1][1] == breaches[1][0] > 50


CAMPAIGNS = {
    c["campaign"]: Campaign.model_validate(c)
    for c in (DATA, GIFT, STEPS, {**NOBODY, "participation": {"again_after_days": 5}})
}
RIGHT = [
    Asked(1, 40, 10 * HOUR_MS, "data_now:app"),
    Asked(2, 41, 10 * HOUR_MS, "gift_now:all"),
]
WRONG = {
    "a second time": ([*RIGHT, Asked(1, 44, 11 * HOUR_MS, "data_now:rest")], []),
    "excludes": ([*RIGHT, Asked(2, 44, 11 * HOUR_MS, "data_now:rest")], []),
    "outside the schedule": ([*RIGHT, Asked(3, 44, 20 * HOUR_MS, "gift_now:all")], []),
    "again after 0 days": (
        [Asked(4, 37, 9 * HOUR_MS, "nobody:all"), Asked(4, 39, 10 * HOUR_MS, "nobody:all")], [],
    ),
    "after an acceptance": ([Asked(5, 40, 10 * HOUR_MS, "nobody:all")], [(5, "nobody:all", 39)]),
    "a wave without a first contact": ([Asked(6, 44, 13 * HOUR_MS, "steps:all:2")], []),
    "a wave before its time": (
        [Asked(7, 40, 10 * HOUR_MS, "steps:all"), Asked(7, 44, 11 * HOUR_MS, "steps:all:2")], [],
    ),
    "a wave after the acceptance": (
        [Asked(8, 40, 10 * HOUR_MS, "steps:all"), Asked(8, 50, 13 * HOUR_MS, "steps:all:2")],
        [(8, "steps:all", 45)],
    ),
    "a wave for a line that is withheld": (
        [Asked(9, 40, 10 * HOUR_MS, "steps:all", withheld=True),
         Asked(9, 50, 13 * HOUR_MS, "steps:all:2")], [],
    ),
}  # fmt: skip


def test_the_plain_check_passes_what_is_right() -> None:
    """An acceptance that the engine hears of in the same tick comes too late to be minded."""
    told = [(1, "data_now:app", 44), (2, "gift_now:all", 41)]
    assert broken(RIGHT, told, CAMPAIGNS, weekday=0) == []


@pytest.mark.parametrize("words", WRONG)
def test_the_plain_check_finds_each_broken_rule(words: str) -> None:
    """One line asked against one rule is one finding, and it says which."""
    asked, accepted = WRONG[words]
    found = broken(asked, accepted, CAMPAIGNS, weekday=0)
    assert len(found) == 1 and words in found[0]


def test_a_rate_asks_so_many_an_hour() -> None:
    """Of an audience that needs longer than the day's hours a part is reached, at the rate."""
    slow = {**GIFT, "schedule": {**GIFT["schedule"], "rate_per_hour": 400}}
    options = scenario(slow, **{"population.represents": 12_000})
    world = tiny_world(subscribers=1_200, **options)
    run = run_world(world)
    # A sample of a tenth asks a tenth of 400 in each of 11 hours.
    assert abs(run.totals["campaign_audience"][0] - 440) < 5 * 440**0.5
    quick = {**GIFT, "schedule": {**GIFT["schedule"], "rate_per_hour": 1_000_000}}
    world = tiny_world(subscribers=1_200, **{**options, **scenario(quick)})
    run = run_world(world, stop_ticks=9 * 4 + 2)
    assert run.totals["campaign_looked"][0] == world.n_lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run with campaigns."""
    loaded = load("city_day", overrides=scenario(DATA, GIFT)).with_(
        subscribers=1_500, **{"population.donor_days": 0, "record.sample": 1.0}
    )
    return loaded.run(out=tmp_path_factory.mktemp("runs") / "run").path


def test_a_run_leaves_figures_tables_and_a_page_of_its_campaigns(folder: Path) -> None:
    """The same counts in `kpis.json`, Parquet, CSV and the report; use cases are left alone."""
    with open_run(folder) as run:
        told = run.kpis["campaigns"]
        rows = run.sql("SELECT * FROM campaigns ORDER BY campaign, sub_group")
        assert run.kpis["experiments"]["campaign_breaches"] == 0
        assert run.manifest["audit"]["failures"] == 0
        share = run.kpis["real_time"]
        use_cases = run.kpis["use_cases"]
    assert set(told) == {"data_now", "gift_now"} and set(told["data_now"]["groups"]) == {
        "app", "rest",
    }  # fmt: skip
    assert not any(":" in name for name in use_cases)
    for name, campaign in told.items():
        whole = rows[(rows["campaign"] == name) & (rows["sub_group"] == "all")]
        if name == "data_now":
            assert len(whole) == 1
        groups = campaign["groups"].values()
        for key in ("intended", "delivered", "seen", "accepted", "ghosts", "cost_minor"):
            assert campaign[key] == sum(group[key] for group in groups)
        assert campaign["intended"] + campaign["ghosts"] <= campaign["fitting"]
        assert campaign["uplift"]["n_withheld"] + campaign["uplift"]["n_treated"] >= 0
        assert campaign["true_uplift"] is not None
        assert campaign["audience"]["expected"] == campaign["audience"]["low"]
    contacts = sum(c["intended"] for c in told.values())
    assert share["contacts_campaigns"] == contacts and 0 <= share["share_of_contacts"] < 1
    with (folder / "campaigns.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert len(table) == len(rows) == 5
    assert sum(int(r["intended"]) for r in table) == 2 * contacts
    text = (folder / "report.html").read_text("utf-8")
    assert "What did campaigns reach" in text and "gift_now" in text


def test_the_recorded_decisions_hold_to_the_rules_and_a_broken_one_stops_the_run(
    folder: Path,
) -> None:
    """The check over a whole run passes; told of stricter rules, it finds who broke them."""
    from scenarios.participation import check_run

    overrides = {**scenario(DATA, GIFT), "population.donor_days": 0}
    loaded = load("city_day", overrides=overrides)
    world = tiny_world(subscribers=1_500, **scenario(DATA, GIFT))
    campaigns = loaded.catalogue.campaigns
    assert check_run(folder, world, campaigns) > 300
    gift = campaigns["gift_now"]
    late = gift.schedule.model_copy(update={"from_h": 12.0})
    stricter = {**campaigns, "gift_now": gift.model_copy(update={"schedule": late})}
    with pytest.raises(InvariantError, match="broken"):
        check_run(folder, world, stricter)


def test_the_size_of_an_audience_is_told_before_a_run(tmp_path: Path, monkeypatch, capsys):
    """`twin list campaigns --scenario` names each campaign with an interval."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        "scenario: s\nextends: city_day\npopulation: {subscribers: 30000, represents: 300000}\n"
        "catalog: {campaigns: ['*']}\n", "utf-8",
    )  # fmt: skip
    assert run_cli(["list", "campaigns", "--scenario", "s.yaml", "--json"]) == 0
    import json

    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == sorted(load("s.yaml").catalogue.campaigns)
    for row in rows:
        assert row["low"] < row["expected"] < row["high"] < 300_000 and row["asked"] == 16_384
    assert run_cli(["list", "offers", "--scenario", "s.yaml"]) == 2


def patched(**changes: Any) -> dict[str, Any]:
    """Return the gift with other values by dotted key with `__`."""
    out: dict[str, Any] = {**GIFT}
    for key, value in changes.items():
        head, _, tail = key.partition("__")
        out[head] = {**out.get(head, {}), tail: value} if tail else value
    return out


BAD = {
    "no such fact: 'tenure'": patched(audience="tenure > 5"),
    "cannot be read": patched(audience="prepaid and"),
    "no segment is called 'old'": patched(audience="segment in [old]"),
    "compares with a whole number": patched(audience="tenure_days > 1.5"),
    "have no order": patched(audience="segment > mass"),
    "needs a comparison": patched(audience="segment"),
    "no such offer": patched(groups=[{"group": "all", "offer": "return_gft"}]),
    "no such channel": patched(groups=[{"group": "a", "offer": "return_gift", "channels": ["x"]}]),
    "nothing is left for groups below": patched(
        groups=[{"group": "a", "offer": "return_gift"}, {"group": "b", "offer": "return_gift"}]
    ),
    "the name stands twice": patched(
        groups=[{"group": "a", "when": "app", "offer": "return_gift"},
                {"group": "a", "offer": "return_gift"}]
    ),
    "no hour is left": patched(schedule={"from_h": 12, "to_h": 12}),
    "rounds overlap": patched(schedule={"days": 9, "rounds": 2, "every_days": 8}),
    "no such campaign": patched(participation={"not_with": ["gift_now"]}),
    "a survey has no waves": {**SURVEY, "waves": [{"after_h": 1}]},
    "not a name": {**GIFT, "campaign": "Gift"},
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_a_wrong_campaign_is_refused_with_one_clear_message(words: str) -> None:
    """Told by path and what would be right."""
    campaign = BAD[words]
    name = campaign["campaign"]
    with pytest.raises(ScenarioError) as caught:
        load("city_day", overrides={
            "catalog.define": {"campaigns": {name: campaign}}, "catalog.campaigns": [name],
        })  # fmt: skip
    assert words in str(caught.value)
    assert "campaigns" in str(caught.value) or "override" in str(caught.value)


def test_a_rule_for_another_scenario_is_refused_where_its_names_are_missing() -> None:
    """Regions are known with the geography alone."""
    with pytest.raises(ScenarioError, match="no region is called"):
        tiny_world(**scenario(patched(audience="region == nowhere")))


def test_use_cases_are_not_more_than_their_numbers_allow() -> None:
    """`ENTRIES_MAX` and the limit on sub-groups keep them below 32,768."""
    from scenarios.catalogue import ENTRIES_MAX
    from scenarios.entries_campaigns import CASES_MAX

    assert CASES_MAX + ENTRIES_MAX < 1 << 15
