"""Laws of a comparison, on whole runs of a few hundred subscribers with fixed seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenarios import load
from scenarios.cli import run_cli
from scenarios.compare import Options, compare
from scenarios.compare import people as compared
from scenarios.compare.estimate import by_replications, flat
from scenarios.compare.first import TABLES, rows_by_line
from sim.core.errors import ScenarioError
from sim.record.store import open_run

pytestmark = pytest.mark.slow

TINY = ("population.donor_days=0", "record.sample=1", "population.subscribers=400",
        "clock.days=0.75")  # fmt: skip
INERT = """
scenario: inert
extends: city_day
catalog:
  define:
    offers:
      nobody:
        offer: nobody
        title: For nobody
        group: geo
        when: {mall_dwell: {}}
        eligible: {segment: [mass], tenure_days_min: 65000}
        product: {kind: coupon, price_minor: 20000, list_price_minor: 25000, valid_days: 1,
                  partner_share: 0.05, unit_cost_minor: 100}
        propensity: 0.06
        margin_minor: 900
        truth: {category: shopping, b0: -3.7, match: 0.6, annoy: 1.4, place: true}
        treatments: [{channel: sms, template: none}]
        policy: {cap: {contacts: 1, per_days: 7}}
        control: {local_percent: 10}
"""


def options(out: Path, *only_b: str, **more: Any) -> Options:
    """Return options of a tiny comparison."""
    from scenarios.loader import set_option

    both = tuple(set_option(text) for text in TINY)
    return Options(both=both, only_b=tuple(set_option(t) for t in only_b), out=out, **more)


def kept(folder: Path) -> tuple[Path, Path]:
    """Return the folders of the first pair of runs."""
    a, b = sorted((folder / "runs").iterdir())
    return a, b


def test_a_scenario_compared_with_itself_does_not_differ(tmp_path: Path) -> None:
    """Every difference and every interval is exactly 0, and nobody's day changed; with one
    replication and with two."""
    for n in (1, 2):
        done = compare("city_day", "city_day", options(tmp_path / f"{n}", replications=n))
        told = done.document
        assert told["subscribers_changed"] == 0 and told["changed"] == []
        assert told["subscribers"]["changed_by_seed"] == [0] * n
        assert len(told["kpis"]) > 500
        for name, kpi in told["kpis"].items():
            assert (kpi["difference"], kpi["low"], kpi["high"]) == (0, 0, 0), (n, name, kpi)
        assert "not one of" in told["headline"]
        on_disk = json.loads((done.path / "compare.json").read_text("utf-8"))
        assert on_disk["kpis"] == told["kpis"]
        assert (done.path / "compare.html").stat().st_size > 1_000_000


def test_an_inert_campaign_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """An offer that nobody is eligible for moves no byte of anybody's state or recorded rows."""
    (tmp_path / "inert.yaml").write_text(INERT, "utf-8")
    done = compare("city_day", str(tmp_path / "inert.yaml"), options(tmp_path / "out"))
    told = done.document
    assert told["subscribers_changed"] == 0
    mine = {n: k for n, k in told["kpis"].items() if n.startswith("use_cases.nobody.")}
    assert mine and all(kpi["a"] is None for kpi in mine.values())
    assert all(mine[f"use_cases.nobody.{key}"]["b"] == 0 for key in ("sent", "won", "eligible"))
    a, b = kept(done.path)
    assert (a / "events" / "activity-0000.parquet").read_bytes() == (
        b / "events" / "activity-0000.parquet"
    ).read_bytes()
    assert (a / "contacts.parquet").read_bytes() == (b / "contacts.parquet").read_bytes()
    moved = [
        name for name, kpi in told["kpis"].items()
        if kpi["difference"] and not name.startswith(
            ("use_cases.nobody", "experiments.", "real_time.use_cases", "costs.build.unpriced")
        )
    ]  # fmt: skip
    assert moved == [], moved


def test_lines_are_the_state_digest_told_apart() -> None:
    """Summed over all lines, the digests are those of the line roles; cut and runtime change
    nothing."""
    from scenarios.lines import line_table
    from scenarios.placing import make_runtime
    from scenarios.world import build_world, load_geography
    from sim.core.ticks import make_tick

    loaded = load("city_day").with_(subscribers=300, days=0.5, **{"population.donor_days": 0})
    geo = load_geography(loaded)
    tables = []
    for partitions, kind in ((1, "embedded"), (3, "embedded"), (2, "paranoid")):
        told = loaded.with_(partitions=partitions, hosts=1, runtime=kind)
        world = build_world(told, geo)
        runtime, _, _ = make_runtime(world, told.model)
        for index in range(world.clock.n_ticks):
            tick = make_tick(
                index, tick_ms=world.clock.tick_ms, end_ms=world.clock.end_ms,
                calendar=world.clock.calendar,
            )  # fmt: skip
            runtime.tick(tick, (), None)
        table = line_table(world, runtime)
        others = world.make_globals().digest().keys()
        mine = {n: v for n, v in runtime.digest().items() if n not in others}
        assert int(table["digest"].sum(dtype=np.uint64)) == sum(mine.values()) & (2**64 - 1)
        assert len(np.unique(table["digest"])) == world.n_lines
        tables.append(table)
        runtime.close()
    for table in tables[1:]:
        for name, column in table.items():
            np.testing.assert_array_equal(column, tables[0][name])


def test_a_ban_of_one_subscriber_reaches_only_whom_it_can(tmp_path: Path) -> None:
    """One subscriber's one contact is withheld.  With slack cells and channels nobody else changes;
    the first event that differs is the decision about that contact."""
    first = compare("city_day", "city_day", options(tmp_path / "first"))
    a, _ = kept(first.path)
    with open_run(a) as run:
        rows = run.sql(
            "select sub, use_case from decisions where reason = 'intended' order by ts_ms, sub"
        )
    sub, case = int(rows["sub"].iloc[0]), str(rows["use_case"].iloc[0])
    done = compare(
        "city_day", "city_day", options(tmp_path / "ban", f"rtm.withhold=['{sub}/{case}']")
    )
    told = done.document
    a, b = kept(done.path)
    tables = [compared.read_lines(path) for path in (a, b)]
    assert tables[0] is not None and tables[1] is not None
    changed = compared.changed_lines(tables[0], tables[1]).tolist()
    assert sub in changed
    assert told["subscribers_changed"] == len(changed)
    # Whoever else changed was coupled through a channel or a cell; here their capacity is that of
    # 78 million lines for 400, and it is nobody.
    assert changed == [sub]
    (row,) = told["changed"]
    assert row["sub"] == sub
    assert "intended" in row["a"] and "switched_off" in row["b"], row
    assert case in row["a"]


def test_digests_miss_nobody_whose_rows_differ(tmp_path: Path) -> None:
    """Everybody who did, got or paid something else is counted as changed, and the sums over
    recorded lines are the figures of the run, where every line is recorded.

    A decision that ended in nothing is a row of the engine alone: it touches nobody's day.
    """
    done = compare("city_day", "city_day", options(tmp_path / "out", "rtm.enabled=false"))
    a, b = kept(done.path)
    tables = [compared.read_lines(path) for path in (a, b)]
    assert tables[0] is not None and tables[1] is not None
    changed = set(compared.changed_lines(tables[0], tables[1]).tolist())
    everybody = range(len(tables[0].digest))
    decisions = TABLES.index("decisions")
    days = [
        {
            sub: [row for row in rows if row.table != decisions]
            for sub, rows in rows_by_line(path, list(everybody)).items()
        }
        for path in (a, b)
    ]
    differ = {sub for sub in everybody if days[0].get(sub, []) != days[1].get(sub, [])}
    print(f"{len(differ)} lines differ by rows, {len(changed)} by state")
    assert differ and differ <= changed, sorted(differ - changed)
    for path in (a, b):
        with open_run(path) as run:
            sums = {name: values.sum() for name, values in compared.per_line(run).items()}
            told = flat(run.kpis)
        assert len(sums) > (30 if path == a else 10)
        wrong = {n: (told.get(n), value) for n, value in sums.items() if told.get(n) != value}
        assert wrong == {}
    assert done.document["kpis"]["lines.margin_minor"]["low"] is not None


def test_pairing_saves_at_least_five_times_the_variance(tmp_path: Path) -> None:
    """Six pairs of runs, with and without marketing: the paired difference of the money varies at
    least five times less than that of runs with seeds of their own, at the same cost."""
    done = compare(
        "city_day", "city_day", options(tmp_path / "out", "rtm.enabled=false", replications=6)
    )
    found = {
        name: done.document["basis"][name]["variance_reduction"]
        for name in ("charging.service_revenue_minor", "lines.margin_minor", "funnel.events",
                     "charging.recharge_minor")
    }  # fmt: skip
    print({name: None if v is None else round(v, 1) for name, v in found.items()})
    assert done.document["replications"] == 6
    for name in ("charging.service_revenue_minor", "lines.margin_minor", "funnel.events"):
        gain = found[name]
        assert gain is None or gain >= 5, (name, gain)
    assert found["lines.margin_minor"] is not None


def test_two_halves_of_the_same_do_not_differ_beyond_noise(tmp_path: Path) -> None:
    """A/A with seeds of their own: of figures paired at random, 95 % intervals cover 0 about as
    often as they say."""
    loaded = load("city_day").with_(
        subscribers=300, days=0.5,
        **{"population.donor_days": 0, "record.sample": 0},
    )  # fmt: skip
    runs = [flat(loaded.with_(seed=s).run(out=tmp_path / f"{s}").kpis) for s in range(1, 11)]
    names = [
        "charging.service_revenue_minor", "charging.recharge_minor", "funnel.events",
        "funnel.trigger_hits", "network.bytes", "network.events_by_kind.usage",
        "charging.usage_minor", "funnel.intended",
    ]  # fmt: skip
    covered = 0
    for name in names:
        pairs = [(runs[k][name], runs[k + 5][name]) for k in range(5)]
        found = by_replications(pairs)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0 <= found.high
    # Eight correlated figures: all missing at once is what a broken interval does.
    print(f"{covered} of {len(names)} intervals cover 0")
    assert covered >= 6


def test_a_missed_target_is_said_and_the_comparison_is_complete(
    tmp_path: Path, capsys: Any
) -> None:
    """Of two targets the wide one is reached and the narrow one not: exit 4, and a whole folder."""
    arguments = ["compare", "city_day", "city_day", "--replications", "4", "--quiet", "--json",
                 "--target-half-width", "lines.margin_minor=0.001",
                 "--target-half-width", "funnel.events=1e9",
                 "--set-b", "rtm.enabled=false", "--out", str(tmp_path / "narrow")]  # fmt: skip
    for text in TINY:
        arguments += ["--set", text]
    assert run_cli(arguments) == 4
    told = capsys.readouterr()
    narrow, wide = json.loads(told.out)["targets"]
    assert not narrow["reached"] and narrow["replications"] == 4
    assert wide["reached"]
    assert "lines.margin_minor: not reached" in told.err
    assert (tmp_path / "narrow" / "compare.html").is_file()


def test_the_first_event_is_found_for_lines_outside_the_sample(tmp_path: Path) -> None:
    """With nobody recorded, the changed lines are run again and tell their first difference."""
    from scenarios.loader import set_option

    asked = options(tmp_path / "out", "rtm.enabled=false", changed=5)
    both = (*asked.both, set_option("record.sample=0"))
    done = compare(
        "city_day", "city_day", Options(both=both, only_b=asked.only_b, out=asked.out, changed=5)
    )
    told = done.document["changed"]
    assert len(told) == min(5, done.document["subscribers_changed"])
    assert any(row["ts_ms"] is not None for row in told)
    assert not list((done.path).glob("*-watched*"))


@pytest.mark.fault("C8")
def test_finished_runs_are_compared_and_damaged_ones_refused(tmp_path: Path, capsys: Any) -> None:
    """Two finished runs, with and without their lines; a flipped bit is exit 2 with the file."""
    loaded = load("city_day").with_(
        subscribers=400, days=0.75, **{"population.donor_days": 0, "record.sample": 0.5}
    )
    a = loaded.run(out=tmp_path / "a").path
    b = loaded.with_(**{"rtm.enabled": False}).run(out=tmp_path / "b").path
    assert run_cli(["compare", str(a), str(b), "--json", "--out", str(tmp_path / "c")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told["subscribers_changed"], int) and told["subscribers_changed"] > 0
    assert set(told["kpis"]["funnel.events"]) == {"a", "b", "difference", "low", "high"}
    with open_run(a) as run:
        assert told["kpis"]["funnel.events"]["a"] == run.kpis["funnel"]["events"]

    short = loaded.with_(days=0.125).run(out=tmp_path / "short").path
    assert run_cli(["compare", str(a), str(short), "--quiet"]) == 2
    assert "clock.days" in capsys.readouterr().err

    hurt = tmp_path / "hurt"
    shutil.copytree(b, hurt)
    file = hurt / "metrics.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 4
    file.write_bytes(bytes(data))
    assert run_cli(["compare", str(a), str(hurt), "--quiet"]) == 2
    told_err = capsys.readouterr().err
    assert "metrics.parquet" in told_err and "damaged" in told_err
    (hurt / "kpis.json").unlink()
    assert run_cli(["compare", str(hurt), str(a), "--quiet"]) == 2
    assert "kpis.json" in capsys.readouterr().err
    with pytest.raises(ScenarioError, match="exists already"):
        compare(str(a), str(b), Options(out=tmp_path / "c"))
