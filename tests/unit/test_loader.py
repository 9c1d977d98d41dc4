"""The loader: names, paths, `extends`, overrides, the catalogue, and every complaint at once."""

import json
from pathlib import Path

import pytest

from scenarios import LoadedScenario, Scenario, load
from scenarios.checking import check_file, shipped_files
from scenarios.entries import triggers
from scenarios.loader import shipped
from sim.core.errors import ScenarioError

MINIMAL = "scenario: tiny\ngeography: {folder: astana}\n"
OFFER = """offer: {name}
title: An offer
group: billing
when: {{allowance_used: {{percent: 90}}}}
product: {{kind: data_pack, price_minor: 100, data_mb: 10}}
truth: {{category: data}}
treatments: [{{channel: sms}}]
"""


def write(folder: Path, text: str, name: str = "tiny.yaml") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def problems(path: Path, overrides=()) -> list[str]:
    """Return what the loader says of a bad input."""
    with pytest.raises(ScenarioError) as caught:
        load(path, overrides=overrides)
    assert caught.value.exit_code == 2
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_scenario_loads_and_its_effective_form_is_itself(name: str, tmp_path: Path):
    """Written out with every default and loaded again, model, catalogue and hash are equal."""
    loaded = load(name)
    again = load(write(tmp_path, loaded.effective_yaml()))
    assert isinstance(loaded, LoadedScenario) and isinstance(loaded.model, Scenario)
    assert again.model == loaded.model
    assert again.catalogue == loaded.catalogue
    assert again.hash() == loaded.hash() and len(loaded.hash()) == 64
    assert loaded.model.title and loaded.model.question


def test_every_shipped_file_is_right():
    """`twin check` finds nothing in the library and the catalogue."""
    assert [str(p) for path in shipped_files() for p in check_file(path)] == []


def test_the_catalogue_has_what_the_scenarios_promise():
    """Seven tariffs, 21 channels, 22 offers, one quest; sorted; shares as their notes say."""
    catalogue = load("city_day").catalogue
    assert [len(catalogue.of(k)) for k in ("tariffs", "channels", "offers", "quests")] == [
        7, 22, 22, 1,
    ]  # fmt: skip
    assert list(catalogue.offers) == sorted(catalogue.offers)
    people = [t for t in catalogue.tariffs.values() if t.segment != "m2m"]
    prepaid = sum(t.share for t in people if t.prepaid) / sum(t.share for t in people)
    machines = 1 - sum(t.share for t in people) / sum(t.share for t in catalogue.tariffs.values())
    assert prepaid == pytest.approx(0.62, abs=0.002)
    assert machines == pytest.approx(0.06, abs=0.002)


def test_options_of_triggers_are_written_out(tmp_path: Path):
    """An offer that gives no option of its trigger has their defaults in the effective form."""
    path = write(tmp_path, MINIMAL + "catalog: {folder: cat, offers: [thing]}\n")
    write(tmp_path / "cat/offers", OFFER.format(name="thing").replace("{percent: 90}", "{}"),
          "thing.yaml")  # fmt: skip
    default = triggers()["allowance_used"]().model_dump()
    assert load(path).catalogue.offers["thing"].when == {"allowance_used": default}


@pytest.mark.fault("G1")
def test_a_misspelt_key_is_named_with_line_and_nearest(tmp_path: Path):
    """G1: `subscribrs: 10` gives the line of the key and `subscribers`."""
    [told] = problems(write(tmp_path, MINIMAL + "population:\n  subscribrs: 10\n"))
    assert (
        ":4: population.subscribrs: unknown key 'subscribrs', did you mean 'subscribers'?" in told
    )


@pytest.mark.fault("G2")
def test_a_key_that_stands_twice_is_refused(tmp_path: Path):
    """G2: both lines are told."""
    [told] = problems(write(tmp_path, MINIMAL + "seed: 5\nclock: {days: 1}\nseed: 7\n"))
    assert ":5: the key 'seed' stands twice" in told and "line 3" in told


@pytest.mark.fault("G4", "G8")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clock: {tick_s: 0}", "a whole number from 1 to 3600 (tick, s;"),
        ("clock: {tick_s: 700}", "such as 450"),
        ("rtm: {consent_share: 1.2}", "from 0 to 1 (lines with marketing consent)"),
        ("clock: {days: -1}", "above 0 to 400 (length, days"),
        ("timeline: [{at_h: 1, do: cell_outage, near: '51.1,71.4', radius_m: 0.5}]", "reach, m"),
        ("clock: {days: true}", "found true; expected a number"),
        ("clock: {days: '1'}", "found '1'; expected a number"),
        ("seed: 1.5", "found 1.5; expected a whole number"),
        ("population: []", "a mapping of keys"),
        ("catalog: {offers: mall_coupon}", "a list [...], each text"),
        ("clock: {start: '2026-13-45T10:00'}", "not a date"),
        ("scenario2: x", "unknown key 'scenario2'"),
        ("seed: .nan", "not a finite number"),
        ("seed: 1e309", "not a finite number"),
        ("subscribers: {needs: {organic_share: {dat: 0.1}}}", "did you mean 'data'?"),
        ("subscribers: {needs: {decay_h: {data: 0}}}", "above 0 to 10000 (hours)"),
        ("placement: {groups: [[subscribers, biling]]}", "expected billing"),
        ("placement: {groups: [[subscribers], [billing, cells], [rtm]]}", "cells is global"),
        ("placement: {groups: [[subscribers, billing], [billing, rtm]]}", "stands twice"),
        ("placement: {groups: [[subscribers], [billing]]}", "nobody would run rtm"),
        ("placement: {groups: [[subscribers, rtm], [billing]]}", "breaks the forward edges"),
        ("placement: {groups: [[subscribers, billing], [], [rtm]]}", "a group without roles"),
        ("placement: {groups: []}", "nobody would run subscribers, billing, rtm"),
        ("placement: {runtime: rya}", "one of embedded, ray, paranoid"),
        ("geography: {folder: astna}", "astana"),
        ("rtm: {withhold: ['5/mall_cupon']}", "expected mall_coupon"),
        ("rtm: {withhold: ['99999999/mall_coupon']}", "SUB from 0 to 999999"),
        ("rtm: {withhold: [mall_coupon]}", "SUB/OFFER"),
        ("timeline: [{at_h: 1, do: channel_outage, target: smss}]", "expected sms"),
        ("timeline: [{at_h: 1, do: cell_outage, near: Khan Shatir}]", "did you mean 'Khan Shatyr'"),
        ("timeline: [{at_h: 1, do: cell_outage, near: '151.1,71.4'}]", "lat first"),
        ("timeline: [{at_h: 1, do: rtm_off, near: Khan Shatyr}]", "rtm_off has no place"),
        ("catalog: {tariffs: []}", "no tariff is selected"),
        ("catalog: {quests: [mall_explorr]}", "did you mean 'mall_explorer'?"),
        ("catalog: {folder: ../..}", "outside that of the scenario"),
        ("catalog: {folder: nothing}", "no such folder"),
        ("catalog: {define: {offers: {mall_cupon: {propensity: 0.1}}}}", "expected mall_coupon"),
        ("catalog: {define: {offers: {mall_coupon: {propensity: 2}}}}", "from 0 to 1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_place_unit_and_range(text: str, words: str, tmp_path: Path):
    """G4 and G8: line 3 of the file, what was found, what would be right, unit included."""
    base = MINIMAL if not text.startswith("geography") else "scenario: tiny\n\n"
    told = problems(write(tmp_path, base + text + "\n"))
    assert len(told) == 1
    assert "tiny.yaml:3: " in told[0] and words in told[0]


@pytest.mark.fault("G3")
def test_words_mean_what_they_say(tmp_path: Path):
    """G3: `NO` is a text, `1e6` a million, an unquoted date a date."""
    text = MINIMAL + "title: NO\nquestion: 18:00\nclock: {start: 2026-03-06T00:00}\nseed: 012\n"
    model = load(write(tmp_path, text + "population: {subscribers: 1e6}\n")).model
    assert (model.title, model.question, model.seed) == ("NO", "18:00", 12)
    assert model.clock.start == "2026-03-06T00:00"
    assert model.population.subscribers == 1_000_000


def test_extends_merges_deeply_and_replaces_lists(tmp_path: Path):
    """A child changes one key of a section and keeps the others; its list is the whole list."""
    write(tmp_path, MINIMAL + "clock: {days: 2, tick_s: 300}\ncatalog: {offers: [mall_coupon]}\n",
          "base.yaml")  # fmt: skip
    child = write(tmp_path, "extends: base.yaml\nscenario: child\nclock: {days: 3}\n"
                  "catalog: {offers: [return_gift]}\n")  # fmt: skip
    model = load(child).model
    assert (model.scenario, model.clock.days, model.clock.tick_s) == ("child", 3, 300)
    assert model.catalog.offers == ("return_gift",)
    assert load(write(tmp_path, "extends: city_day\nscenario: x\n")).model.money.currency == "KZT"


@pytest.mark.fault("G7", "F12")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: tiny.yaml", "circle"),
        ("extends: other.yaml", "tiny.yaml -> "),
        ("extends: missing.yaml", "no such scenario to extend"),
        ("extends: city_dya", "did you mean 'city_day'"),
        ("extends: ../secret.yaml", "outside the folder"),
        ("extends: /etc/hosts", "outside the folder"),
        ("extends: [a]", "a name or a path"),
        ('extends: "a\\0b"', ""),
    ],
)
def test_extends_that_leads_nowhere_is_refused_with_the_chain(
    text: str, words: str, tmp_path: Path
):
    """G7: itself, a circle, a missing file, a path that leaves the folder."""
    write(tmp_path, "extends: tiny.yaml\n", "sub/../other.yaml")
    write(tmp_path.parent, MINIMAL, "secret.yaml")
    told = problems(write(tmp_path, text + "\n" + MINIMAL))
    assert len(told) == 1 and words in told[0]


def test_a_long_chain_of_extends_is_refused(tmp_path: Path):
    """The chain is limited."""
    for i in range(20):
        write(tmp_path, f"extends: s{i + 1}.yaml\n" + MINIMAL, f"s{i}.yaml")
    write(tmp_path, MINIMAL, "s20.yaml")
    assert "too long" in problems(tmp_path / "s0.yaml")[0]
    assert load(tmp_path / "s15.yaml").name == "tiny"


@pytest.mark.fault("G9")
def test_all_faults_of_all_files_are_told_in_order(tmp_path: Path):
    """G9: thirteen faults in a scenario, its base and two offers, by file and line."""
    write(tmp_path, "scenario: base\ngeography: {folder: astana, resolution: 99}\nclok: {}\n"
          "rtm: {consent_share: 2}\n", "base.yaml")  # fmt: skip
    bad = OFFER.format(name="bad").replace("allowance_used", "allowance_usd")
    bad = bad.replace("channel: sms", "channel: sns").replace("data_mb: 10", "data_mb: -1")
    write(tmp_path / "cat/offers", bad, "bad.yaml")
    worse = OFFER.format(name="worse").replace("allowance_used", "allowance_usd")
    write(tmp_path / "cat/offers", worse.replace("channel: sms", "channel: sns"), "worse.yaml")
    scenario = write(
        tmp_path,
        "extends: base.yaml\nscenario: tiny\nsed: 1\npopulation: {subscribers: 0}\n"
        "catalog: {folder: cat, quests: [nothing]}\n"
        "timeline: [{at_h: -1, do: stop}, {at_h: 1, do: stp}]\n",
    )
    told = problems(scenario)
    assert len(told) == 13
    where = [line.split(": ")[0].rsplit(":", 1) for line in told]
    files = list(dict.fromkeys(name for name, _ in where))
    assert sorted(Path(f).name for f in files) == [
        "bad.yaml",
        "base.yaml",
        "tiny.yaml",
        "worse.yaml",
    ]
    for name in files:
        lines = [int(line) for file, line in where if file == name]
        assert lines == sorted(lines)


@pytest.mark.fault("G8")
def test_references_of_entries_are_told_together(tmp_path: Path):
    """G8: unknown trigger, unknown channel, a quest nobody can do, a channel without throughput."""
    write(tmp_path / "cat/offers",
          OFFER.format(name="lost").replace("allowance_used", "when_it_rains")
          .replace("channel: sms", "channel: smoke"), "lost.yaml")  # fmt: skip
    write(tmp_path / "cat/quests", "quest: far\ntitle: Far\n"
          "steps: [{do: enter_geofence, kind: mall, at_least: 500}]\n", "far.yaml")  # fmt: skip
    write(tmp_path / "cat/channels", "channel: mute\ntitle: Mute\nkind: text\nper_second: 0\n"
          "latency_median_ms: 1\n", "mute.yaml")  # fmt: skip
    told = problems(write(tmp_path, MINIMAL + "catalog: {folder: cat, quests: [far]}\n"))
    text = "\n".join(told)
    assert len(told) == 4
    for words in ("no such trigger", "no such channel", "nothing can fulfil", "per_second"):
        assert words in text


PRODUCTS = {
    "data_pack": ("price_minor: 100", "no data_mb"),
    "roaming_pack": ("price_minor: 100", "no data_mb"),
    "credit": ("price_minor: 100", "no credit_minor"),
    "gift": ("saved_minor: 100", "no data_mb and no bonus_minor"),
    "topup": ("saved_minor: 100", "no topup_minor"),
    "coupon": ("data_mb: 10", "kind data_pack or roaming_pack or gift or renewal or switch"),
    "switch": ("bonus_minor: 10", "kind gift or care"),
    "renewal": ("credit_minor: 10", "kind credit"),
    "care": ("topup_minor: 10", "kind topup"),
}
"""Kind of product -> a product of it without effect, and what the message says."""


@pytest.mark.fault("G4")
@pytest.mark.parametrize("kind", PRODUCTS)
def test_a_product_that_gives_nothing_or_ignores_an_amount_is_refused(tmp_path: Path, kind: str):
    """A top-up of nothing, a pack without data, a bonus that comes with no switch."""
    amount, words = PRODUCTS[kind]
    [told] = problems(write(tmp_path, MINIMAL + (
        "catalog:\n  offers: [mine]\n  define:\n    offers:\n      mine:\n"
        "        {offer: mine, title: Mine, group: geo, when: {mall_dwell: {}},\n"
        f"        product: {{kind: {kind}, {amount}}}, truth: {{category: data}},\n"
        "        treatments: [{channel: sms}]}\n"
    )))  # fmt: skip
    assert words in told


@pytest.mark.fault("F12")
def test_names_of_a_folder_clash_loudly_and_cannot_leave_it(tmp_path: Path):
    """A name that is shipped, a file named otherwise, a link that leads out."""
    path = write(tmp_path, MINIMAL + "catalog: {folder: cat}\n")
    write(tmp_path / "cat/offers", OFFER.format(name="mall_coupon"), "mall_coupon.yaml")
    write(tmp_path / "cat/offers", OFFER.format(name="this"), "that.yaml")
    outside = write(tmp_path / "elsewhere", OFFER.format(name="linked"), "linked.yaml")
    (tmp_path / "cat/offers/linked.yaml").symlink_to(outside)
    (tmp_path / "cat/offer").mkdir()
    text = "\n".join(problems(path))
    for words in ("is taken by a shipped entry", "differs from that of the file",
                  "leads out", "expected offers"):  # fmt: skip
        assert words in text


def test_an_entry_can_be_patched_and_defined_in_the_scenario(tmp_path: Path):
    """Without its name key it is a patch, with it a whole one; another trigger replaces `when`."""
    text = MINIMAL + (
        "catalog:\n  offers: [mall_coupon, mine]\n  define:\n    offers:\n"
        "      mall_coupon: {when: {airport_outbound: {}}, control: {local_percent: 0}}\n"
        "      mine: {offer: mine, title: Mine, group: geo, when: {mall_dwell: {}},\n"
        "        product: {kind: coupon}, truth: {category: data}, treatments: [{channel: sms}]}\n"
    )
    offers = load(write(tmp_path, text)).catalogue.offers
    assert offers["mall_coupon"].when == {"airport_outbound": {}}
    assert offers["mall_coupon"].control.local_percent == 0
    assert offers["mall_coupon"].product.price_minor == 20_000
    assert offers["mine"].title == "Mine"


def test_mappings_by_need_keep_their_other_defaults(tmp_path: Path):
    """One organic share is given; the seven others stay."""
    text = MINIMAL + "subscribers: {needs: {organic_share: {data: 0.5}}}\n"
    shares = load(write(tmp_path, text)).model.subscribers.needs.organic_share
    assert len(shares) == 8 and shares["data"] == 0.5 and shares["money"] == 0.05


@pytest.mark.fault("G10")
def test_legal_extremes_load(tmp_path: Path):
    """G10: no offers, one line, one tick, no control group."""
    text = MINIMAL + (
        "population: {subscribers: 1}\nclock: {days: 0.01, tick_s: 900}\n"
        "catalog: {offers: [], channels: [], quests: []}\nrtm: {universal_control_percent: 0}\n"
    )
    loaded = load(write(tmp_path, text))
    assert loaded.catalogue.offers == {} and loaded.model.population.subscribers == 1


def test_overrides_are_read_as_yaml_and_named_in_complaints(tmp_path: Path):
    """Texts and mappings; a wrong one is told with the option."""
    path = write(tmp_path, MINIMAL)
    loaded = load(path, overrides=["clock.days=2.5", "rtm.enabled=false", "title=on",
                                   "catalog.quests=[mall_explorer]"])  # fmt: skip
    assert loaded.model.clock.days == 2.5 and loaded.model.rtm.enabled is False
    assert loaded.model.title == "on" and loaded.model.catalog.quests == ("mall_explorer",)
    assert load(path, overrides={"clock.tick_s": 60}).model.clock.tick_s == 60
    [told] = problems(path, ["population.subscribrs=3"])
    assert told.startswith("--set population.subscribrs=3: ") and "'subscribers'" in told
    assert "no entry of a list" in problems(path, ["timeline=[]", "timeline.0.at_h=3"])[0]
    assert "has no keys" in problems(path, ["seed=1", "seed.x=3"])[0]
    for text in ("seed", "=3", "a..b=1", ".=1"):
        assert "path.to.key=value" in problems(path, [text])[0]


@pytest.mark.parametrize(
    "name", ["", "no_such", "../city_day", "a\0b", "x" * 5000, "/", ".", "~", "city_day\n"]
)
def test_a_name_with_tricks_finds_nothing(name: str):
    """Names are names; everything else must be a file that exists."""
    with pytest.raises(ScenarioError):
        load(name)


def test_variants_keep_what_they_do_not_touch():
    """`with_` lays values over earlier ones and leaves the original alone."""
    first = load("city_day", overrides=["rtm.enabled=false"])
    second = first.with_(subscribers=500, days=0.5, seed=3, **{"rtm.consent_share": 0.5})
    assert first.model.population.subscribers == 1_000_000
    assert second.model.population.subscribers == 500 and second.model.seed == 3
    assert second.model.rtm.enabled is False and second.model.rtm.consent_share == 0.5
    with pytest.raises(ScenarioError, match="out of range"):
        first.with_(days=0)
    with pytest.raises(ScenarioError, match="unknown key 'subscribrs'"):
        first.with_(subscribrs=1)


def test_the_hash_leaves_out_what_changes_no_number(tmp_path: Path):
    """Placement, recording, titles and paths are out; seed, options and catalogue are in."""
    base = load("city_day")
    same = base.with_(runtime="ray", partitions=7, hosts=2,
                      **{"record.sample": 0.5, "title": "x", "record.watch": [1]})  # fmt: skip
    assert same.hash() == base.hash()
    for change in ({"seed": 1}, {"days": 2}, {"rtm.consent_share": 0.5},
                   {"catalog.define.offers.mall_coupon.control.local_percent": 0},
                   {"catalog.quests": []},
                   {"geography.folder": "russia", "geography.malls_per_100k": 1}):  # fmt: skip
        assert base.with_(**change).hash() != base.hash(), change
    elsewhere = write(tmp_path / "deep", base.effective_yaml())
    assert load(elsewhere).hash() == base.hash()


def test_a_geography_of_ones_own_is_found_from_another_folder(tmp_path: Path):
    """The effective form names it from where it will stand; the hash is over its files."""
    write(tmp_path / "geo", "a\n1\n", "places.csv")
    path = write(tmp_path, "scenario: own\ngeography: {folder: geo}\n")
    loaded = load(path)
    run = tmp_path / "runs/one"
    again = load(write(run, loaded.effective_yaml(folder=run), "scenario.yaml"))
    assert again.model.geography.folder == "../../geo"
    before = loaded.hash()
    assert again.hash() == before
    write(tmp_path / "geo", "a\n2\n", "places.csv")
    assert load(path).hash() != before
    assert load(run).model == again.model


def test_the_effective_form_is_plain_data():
    """It holds no path of a machine and no value that JSON lacks."""
    loaded = load("city_day")
    json.dumps(loaded.model.model_dump(mode="json"), allow_nan=False)
    assert str(Path.cwd()) not in loaded.effective_yaml()
    assert loaded.model.catalog.folder == ""
