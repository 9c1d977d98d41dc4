"""The contact centre: full size from a sample, exact time, books, resume, levers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from actors import messages as m
from actors.books import CHECKS
from actors.contact_centre.actor import ContactCentreActor
from actors.contact_centre.calls import in_epoch
from actors.contact_centre.params import CentreSite, ContactCentreParams
from actors.contact_centre.tables import compile_tables
from actors.metrics import SUBSCRIBER_METRICS
from scenarios import load
from scenarios.kpis_centre import contact_centre
from sim.core.columns import empty_rows, take_rows
from sim.core.metrics import add_into, new_tally
from sim.queueing.erlang import Impatient
from sim.record.audit import Auditor

HOUR_MS = 3_600_000
NO_CALLS = empty_rows(m.CALL)
SUBSCRIBER_LABELS = dict.fromkeys({d for metric in SUBSCRIBER_METRICS for d in metric.dims}, ()) | {
    "call_reason": m.CALL_REASONS,
    "call_result": m.CALL_RESULTS,
}
CENTRE_CHECKS = [c for c in CHECKS if c.name in ("calls waiting", "calls being answered")]


def params(**told) -> ContactCentreParams:
    """Return a busy day of two centres, the same at every hour."""
    base = {
        "sites": (CentreSite(name="east", share=2), CentreSite(name="west", share=1)),
        "hours": (1.0,) * 24,
    }
    return ContactCentreParams(**(base | told))


def labels(p: ContactCentreParams) -> dict[str, tuple[str, ...]]:
    names = tuple(site.name for site in p.sites) if p.enabled else ()
    return {"centre": names, "call_reason": m.CALL_REASONS}


def centre(p: ContactCentreParams, *, lines=1_000_000, real=1_000_000, seed=7):
    tables = compile_tables(
        p, seed=seed, start="2026-03-04T00:00", days=1.0, weekly=True, lines=lines,
        lines_real=real,
    )  # fmt: skip
    return ContactCentreActor(tables, labels(p), enabled=p.enabled)


class Run:
    """A centre and everything that it counted and told."""

    def __init__(self, actor, *, tick_ms=900_000):
        self.actor, self.tick_ms, self.at = actor, tick_ms, 0
        self.totals: dict[str, np.ndarray] = {}
        self.told: list = []
        self.auditor = Auditor(CENTRE_CHECKS, actor.ledger())

    def to(self, hours, calls=NO_CALLS):
        while self.at < hours * HOUR_MS:
            tick = SimpleNamespace(start_ms=self.at, end_ms=self.at + self.tick_ms)
            mine = (calls["ts_ms"] >= tick.start_ms) & (calls["ts_ms"] < tick.end_ms)
            rows = self.actor.on_tick(tick, take_rows(calls, mine))
            self.told += [tuple(int(a[i]) for a in rows.values()) for i in range(len(rows["sub"]))]
            add_into(self.totals, self.actor.tally())
            self.auditor.require(0, self.auditor.run(0, self.actor.tally(), self.actor.ledger()))
            self.at += self.tick_ms
        return self

    @property
    def kpis(self):
        none = new_tally(SUBSCRIBER_METRICS, SUBSCRIBER_LABELS)
        out = contact_centre({**none, **self.totals}, labels_of(self.actor))
        json.dumps(out, allow_nan=False)
        return out

    def mark(self):
        sums = {name: int(a.sum()) for name, a in self.totals.items()}
        return self.actor.digest(), sums, sorted(self.told)


def labels_of(actor):
    names = tuple(str(k) for k in range(actor.n_sites))
    return {"centre": names, "call_reason": m.CALL_REASONS}


def caused(n, *, at_ms=HOUR_MS, reason=m.BILL_SHOCK):
    rows = {name: a.copy() for name, a in empty_rows(m.CALL).items()}
    rows["sub"] = np.arange(n, dtype=np.int32) * 3
    rows["ts_ms"] = at_ms + np.arange(n, dtype=np.int64) * 1000
    rows["reason"] = np.full(n, reason, np.uint8)
    rows["key"] = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return rows


def test_the_books_of_calls_balance_on_every_tick():
    """Calls = answered + abandoned + turned away + waiting, with retries and a full house."""
    run = Run(centre(params(agents_scale=0.7, lines_max=12))).to(6)
    k = run.kpis
    assert k["calls"] == k["answered"] + k["abandoned"] + k["turned_away"] + k["waiting"]
    for name in ("abandoned", "turned_away", "retries", "called_back"):
        assert k[name] > 0, name
    assert len(CENTRE_CHECKS) == 2


@pytest.mark.parametrize("tick_ms", [60_000, 3_600_000])
def test_the_length_of_a_tick_changes_nothing(tick_ms):
    """Calls keep their exact times: one digest, one count, one list of outcomes."""
    calls = caused(20)
    whole = Run(centre(params(agents_scale=0.8), lines=100_000)).to(4, calls).mark()
    cut = Run(centre(params(agents_scale=0.8), lines=100_000), tick_ms=tick_ms).to(4, calls)
    assert cut.mark() == whole


def test_rows_may_come_in_any_order():
    """The order in which partitions hand over their calls does not matter."""
    calls = caused(40)
    order = np.random.default_rng(3).permutation(40)
    first = Run(centre(params(), lines=100_000)).to(2, calls).mark()
    assert Run(centre(params(), lines=100_000)).to(2, take_rows(calls, order)).mark() == first


def test_a_centre_goes_on_from_its_rows():
    """Saved in the middle of a queue and restored: the same end as without a break."""
    p = params(agents_scale=0.5)
    whole = Run(centre(p)).to(5)
    first = Run(centre(p)).to(2)
    assert first.actor.ledger()["calls_waiting"] > 0
    second = Run(centre(p))
    second.actor.restore(first.actor.snapshot())
    assert second.actor.digest() == first.actor.digest()
    second.at, second.totals, second.told = first.at, first.totals, first.told
    second.auditor = first.auditor
    assert second.to(5).mark() == whole.mark()


def test_a_sample_drives_a_full_size_centre():
    """A twentieth of the lines: the same calls, agents and waits; a twentieth of the outcomes."""
    full = Run(centre(params(), lines=1_000_000)).to(6)
    part = Run(centre(params(), lines=50_000)).to(6)
    assert part.kpis == full.kpis
    assert len(full.told) > 15 * len(part.told) > 0
    known = set(full.told)
    assert all(row in known for row in part.told)


def test_a_caused_call_brings_those_of_the_lines_that_it_stands_for():
    """Weight 20.5: forty calls become some 820, of which forty have a line of their own."""
    p = params(calls_per_1000_day=0.0, phantom_spread_s=900)
    run = Run(centre(p, lines=40_000, real=820_000)).to(4, caused(40))
    firsts = run.kpis["calls"] - run.kpis["retries"]
    assert 40 * 20 < firsts <= 40 * 21
    assert run.kpis["calls_by_reason"]["bill_shock"] == run.kpis["calls"]
    assert len({row[0] for row in run.told}) == 40


def test_nobody_calls_a_centre_that_is_switched_off():
    """`enabled: false`: no call, no figure."""
    run = Run(centre(params(enabled=False))).to(1)
    assert contact_centre(run.totals, labels(params(enabled=False))) == {"available": False}
    assert run.actor.ledger() == {"calls_waiting": 0, "calls_served": 0}


def test_staff_that_meets_the_target_meets_it():
    """Agents by Erlang C for 80 % in 20 s: impatient callers make it a little better."""
    p = params(handling_sigma=1.0, retry_share=0.0, callback_share=0.0)
    k = Run(centre(p, real=5_000_000, lines=5_000_000)).to(8).kpis
    assert 0.78 < k["service_level_20s"] < 0.97
    assert k["occupancy"] < 1


@pytest.mark.slow
def test_the_published_fall_of_the_wait_takes_15_percent_less_work():
    """Overload with ten minutes of patience: 4.5 min of wait become 2.9 by 14.8 % less handling.

    The many-server limit gives the load for each wait; exact Erlang A for the pool stands beside
    the run.  Steady hours only, and no second calls, so that the formula speaks of the same queue.
    """
    told = {
        "sites": (CentreSite(name="one", share=1),), "technical_share": 0.0, "patience_s": 600.0,
        "retry_share": 0.0, "callback_share": 0.0, "agents_scale": 1.0,
    }  # fmt: skip
    real = 36_000_000
    rate = real * params().calls_per_1000_day / 1000 / 86_400
    agents = round(rate * 240 / 1.568312185)
    waits = {}
    for factor in (1.0, 1 - 0.147856211):
        actor = centre(params(**told, handling_factor=factor), lines=real, real=real)
        size = max(actor.tables.groups[0].sizes)
        # One agent of the technical group is always there, and answers the rest.
        scale = (agents - 1) / size
        p = params(**told | {"agents_scale": scale}, handling_factor=factor)
        run = Run(centre(p, lines=real, real=real)).to(2)
        assert sum(g.sizes[0] for g in run.actor.tables.groups) == agents
        run.totals = {}
        waits[factor] = run.to(10).kpis["wait_s"]["mean"]
        exact = Impatient(rate, 1 / (240 * factor), agents, abandonment_rate=1 / 600)
        assert waits[factor] == pytest.approx(exact.wait_served, rel=0.08)
    before, after = waits.values()
    assert before / 60 == pytest.approx(4.5, rel=0.08)
    assert after / 60 == pytest.approx(2.9, rel=0.08)


def test_prevented_calls_leave_the_agents_as_many():
    """A tenth of the calls prevented: a tenth fewer come, to the same shifts."""
    whole, less = centre(params()), centre(params(deflected_share=0.1))
    assert whole.tables.groups == less.tables.groups
    n = [int(Run(actor).to(12).kpis["calls"]) for actor in (whole, less)]
    assert n[1] == pytest.approx(0.9 * n[0], abs=5 * n[0] ** 0.5)


def test_the_preset_of_2011_has_its_volume():
    """A10: 8 million requests a month of 30.4 days, seven centres, the largest 100,000 a day."""
    loaded = load("contact_centre_2011")
    p, days = loaded.model.contact_centre, 28
    lines = loaded.model.population.represents
    tables = compile_tables(
        p, seed=7, start=loaded.model.clock.start, days=days, weekly=loaded.model.clock.weekly,
        lines=lines, lines_real=lines,
    )  # fmt: skip
    total = sum(in_epoch(tables, epoch) for epoch in range(days * 96))
    assert total / days * 30.4 == pytest.approx(8e6, rel=0.005)
    assert len(p.sites) == 7
    share = max(site.share for site in p.sites) / sum(site.share for site in p.sites)
    assert total / days * share == pytest.approx(100_000, rel=0.01)


def test_the_tail_of_the_wait_belongs_to_the_smallest_queues():
    """A city of a million: faults, a seventh of the calls, make half of the longest waits and more.

    Only technical agents take faults, two or three at a centre, and they help with the rest.  One
    queue for all centres takes the tail away with the same agents.
    """
    p = ContactCentreParams()
    waits = []

    def note(actor):
        begun = actor.station.on_begin

        def told(job, now):
            waits.append((now - job.since, job.skill % 2))
            begun(job, now)

        actor.station.on_begin = told
        return actor

    for seed in range(3):
        Run(note(centre(p, seed=seed)), tick_ms=HOUR_MS).to(24)
    wait, skill = np.array(waits).T
    longest = wait >= np.quantile(wait, 0.99)
    assert skill.mean() < 0.2
    assert skill[longest].mean() > 0.5
    one = Run(centre(ContactCentreParams(shared_queue=True)), tick_ms=HOUR_MS).to(24).kpis
    assert one["wait_s"]["p99"] < 0.2 * np.quantile(wait, 0.99) / 1000


@pytest.mark.slow
def test_caused_calls_of_a_small_sample_give_the_waits_of_a_large_one():
    """A tenth of the simulated lines, each for ten times as many: the same mean wait.

    What 200,000 lines of 78 million make in two busy hours: some 16 callers who bring 389 others
    each, a seventh of all calls; against 160 who bring 38.  The means over seeds agree within four
    standard errors of their difference, and so do the shares of those who hang up.
    """
    p = params(calls_per_1000_day=64.0, agents_scale=1.2)
    real, means = 7_800_000, {}
    for lines, callers in ((20_000, 16), (200_000, 160)):
        found = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            rows = {name: a.copy() for name, a in empty_rows(m.CALL).items()}
            n = rng.poisson(callers)
            rows["sub"] = np.sort(rng.choice(lines, n, replace=False)).astype(np.int32)
            rows["ts_ms"] = rng.integers(0, 2 * HOUR_MS, n)
            rows["reason"] = np.full(n, m.BILL_SHOCK, np.uint8)
            rows["key"] = rng.integers(1, 2**63, n).astype(np.uint64)
            k = Run(centre(p, lines=lines, real=real, seed=seed)).to(2, rows).kpis
            found.append((k["wait_s"]["mean"], k["abandoned_share"]))
            assert k["calls_by_reason"]["bill_shock"] > 0.75 * real / lines * n
        means[lines] = np.array(found)
    small, large = means.values()
    error = np.hypot(small.std(axis=0, ddof=1), large.std(axis=0, ddof=1)) / len(small) ** 0.5
    assert (large.mean(axis=0) > 0).all()
    assert (np.abs(small.mean(axis=0) - large.mean(axis=0)) < 4 * error).all()
