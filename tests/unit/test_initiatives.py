"""The 21 initiatives as use cases: all there, all different, and switched by one setting."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from actors import messages as m
from actors.billing.rating import give_notice
from actors.billing.state import NEVER_S, STATE
from actors.billing.tables import compile_tables
from actors.metrics import BILLING_METRICS
from actors.rtm.params import NEEDS, Code
from actors.subscribers.params import CAUSES
from scenarios import load
from scenarios.backlog import QUOTA
from scenarios.catalogue import shipped_entries
from sim.core.columns import Columns
from sim.core.errors import ScenarioError
from sim.core.metrics import new_tally

DROPPED = {"B6", "B7", "B8", "G6", "R1", "R2", "R3"}


def codes(catalogue: Any) -> Counter[str]:
    """Return how many offers of each initiative are live."""
    told = [offer.initiative for offer in catalogue.offers.values()]
    return Counter(found.code for found in told if found is not None)


def test_every_initiative_is_shipped_and_t2_has_two_branches_with_controls_of_their_own() -> None:
    """21 codes, 22 offers, 8/6/2/5 by group; each winner of each branch may be withheld."""
    offers = shipped_entries("offers")
    live = codes(load("megafon_2019").catalogue)
    assert set(live) == set(get_args(Code)) and len(live) == 21
    assert {code for code, n in live.items() if n > 1} == {"T2"} and live["T2"] == 2
    groups = {o.initiative.code: o.group for o in offers.values() if o.initiative}
    assert Counter(groups.values()) == QUOTA
    assert all(o.control.local_percent > 0 for o in offers.values())
    branches = [o.initiative.branch for o in offers.values() if o.initiative.code == "T2"]
    assert sorted(branches) == ["usage trend", "visited categories"]


def test_no_initiative_is_another_one() -> None:
    """No two share a rule with its options, nor product and truth together."""
    offers = shipped_entries("offers")
    for a, b in combinations(offers.values(), 2):
        assert json.dumps(a.when) != json.dumps(b.when), (a.offer, b.offer)
        assert (a.product, a.truth) != (b.product, b.truth), (a.offer, b.offer)
        assert a.margin_minor != b.margin_minor or a.propensity != b.propensity


def test_the_setting_says_which_are_live() -> None:
    """All by default; 14 without the seven that technical limits dropped; or codes."""
    assert set(codes(load("city_day").catalogue)) == set(get_args(Code))
    fourteen = codes(load("city_day", overrides=["catalog.initiatives=launched_14"]).catalogue)
    assert set(fourteen) == set(get_args(Code)) - DROPPED and len(fourteen) == 14
    some = load("city_day", overrides=["catalog.initiatives=[B1, T2]"]).catalogue
    assert sorted(some.offers) == ["partner_finance", "plan_limit_pack", "traffic_data_pack"]
    with pytest.raises(ScenarioError) as caught:
        load("city_day", overrides=["catalog.initiatives=[B9]"])
    assert "initiatives" in str(caught.value)


def test_an_offer_of_no_initiative_stays(tmp_path: Path) -> None:
    """The setting is about the 21; offers of your own are live as before."""
    path = tmp_path / "own.yaml"
    path.write_text(
        "scenario: own\nextends: bill_shock\ncatalog: {initiatives: [B1]}\n", encoding="utf-8"
    )
    assert set(load(path).catalogue.offers) == {"shock_pack", "shock_warning"}


def test_every_cause_wakes_a_need_that_there_is() -> None:
    """Categories fit a byte of bits, and no chance lies outside 0 to 1."""
    assert len(NEEDS) <= 8
    assert all(kind in NEEDS and 0 <= chance <= 1 for kind, chance in CAUSES.values())


@pytest.mark.parametrize(
    ("balance", "left_kb", "expected"),
    [
        (50_000, 10_240_000, [(m.ALLOWANCE_ENDS, 100)]),
        (50_000, 5_120_000, [(m.ALLOWANCE_ENDS, 50)]),
        (30_000, 0, [(m.ALLOWANCE_ENDS, 0), (m.FEE_SHORT, 10_000)]),
    ],
)
def test_two_days_before_the_fee_an_account_says_what_is_left_and_missing(
    balance: int, left_kb: int, expected: list[tuple[int, int]]
) -> None:
    """One notice at the exact moment, whatever spans it is asked for; none where a fee is due."""
    loaded = load("megafon_2019")
    tariffs = list(loaded.catalogue.tariffs.values())
    tariff = [t.tariff for t in tariffs].index("mass_prepaid")
    t = compile_tables(loaded.model.billing, tariffs=tariffs, offers=(), price_level=1)
    labels = {"account_kind": m.ACCOUNT_KINDS}
    metrics = [metric for metric in BILLING_METRICS if metric.name == "account_events"]
    from collections import namedtuple

    counters = namedtuple("Counters", ["account_events"])(**new_tally(metrics, labels))
    state, events = Columns(STATE, 1), Columns(m.ACCOUNT_EVENT, 8)
    state["life"][:] = m.ACTIVE
    state["balance_minor"][:] = balance
    state["data_left_kb"][:] = left_kb
    state["pack_s"][:] = NEVER_S
    state["cycle_s"][:] = 1_000_000
    at_s = 1_000_000 - t.notice_s
    n = 0
    for from_s, until_s in ((0, at_s - 1), (at_s, at_s + 899), (at_s + 900, 1_000_000)):
        n = give_notice(
            state.view, t, 0, 7, np.uint8(tariff), from_s, until_s, events.view, n, counters
        )
    found = list(zip(events["kind"][:n].tolist(), events["value"][:n].tolist(), strict=True))
    assert found == expected
    assert (events["ts_ms"][:n] == at_s * 1000).all() and (events["sub"][:n] == 7).all()
