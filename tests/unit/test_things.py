"""What lasts: which purchases are remembered as what, for how long, and what they bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors import messages as m
from actors.rtm import state as rtm
from actors.rtm.outcomes import take_purchase
from actors.rtm.params import NEEDS
from actors.rtm.things import compile_things, contract_days, has_thing
from scenarios import load
from sim.core.columns import Columns
from sim.core.errors import ScenarioError
from sim.core.sparse import Sparse
from tests.factories import default_world

DAY, LINE = 100, 3
NEVER = -1_000


def cases() -> tuple[str, ...]:
    """Return the names of use cases, by number."""
    return default_world().labels["use_case"]


class Bench:
    """The engine's memory of a few lines that have bought nothing yet."""

    def __init__(self) -> None:
        self.tables = default_world().rtm.tables
        self.state, self.taken = Columns(rtm.STATE, 5), Sparse(rtm.TAKEN)
        self.state["owned_day"][:] = NEVER
        self.taken.reserve(20)
        others = (Sparse(rtm.HELD), Sparse(rtm.TRIAL), Sparse(rtm.PARTICIPATION))
        tables = (Sparse(rtm.CONTACTS), self.taken, *others)
        self.view = rtm.engine_view(self.state, tables, 0)

    def buy(self, ref: int, *, code: int = m.OFFERED, result: int = 0, day: int = DAY) -> None:
        """Take a purchase of a use case, or of a need by oneself."""
        take_purchase(self.tables, self.view, LINE, LINE, day, code, np.int64(ref), 0, result)

    def barred(self, name: str, day: int, line: int = LINE) -> bool:
        """Return whether an offer is held back because the line has what it gives."""
        thing = self.tables.contact.case_barred_by[cases().index(name)]
        return bool(has_thing(self.view, line, line, thing, day))


DATA = ("plan_limit_pack", "traffic_data_pack", "regional_pack", "allowance_rollover")
"""Offers that give data: none is made to who still has some, whichever it came by."""
LASTS: list[tuple[str, int, tuple[str, ...]]] = [
    ("airport_roaming_pack", 7, ("airport_roaming_pack", "roaming_day_pack")),
    ("roaming_day_pack", 1, ("airport_roaming_pack", "roaming_day_pack")),
    ("topup_autopay", 3_650, ("topup_autopay",)),
    ("bill_shock_cap", 365, ("bill_shock_cap",)),
    ("allowance_rollover", 31, DATA),
    ("contract_renewal", 690, ("contract_renewal",)),
    ("plan_limit_pack", 31, DATA),
    ("mall_coupon", 0, ()),
]
"""What is bought, days until it may be offered again, and the offers that it bars."""


@pytest.mark.parametrize(("bought", "days", "bars"), LASTS)
def test_what_is_bought_bars_what_gives_the_same_until_it_has_ended(
    bought: str, days: int, bars: tuple[str, ...]
) -> None:
    """Those offers and no others, on the day of the purchase and the last one, for that line."""
    bench = Bench()
    bench.buy(cases().index(bought))
    for name in cases():
        assert bench.barred(name, DAY) == (name in bars), name
        assert not bench.barred(name, DAY + days + (days == 0)), name
        assert not bench.barred(name, DAY, line=2)
    assert all(bench.barred(name, DAY + days - 1) for name in bars)


def test_what_people_get_by_themselves_counts_and_what_was_refused_does_not() -> None:
    """Their own roaming pack bars ours for a week; a purchase without money bars nothing."""
    bench = Bench()
    bench.buy(cases().index("topup_autopay"), result=m.DENIED)
    bench.buy(NEEDS.index("roaming"), code=m.ORGANIC, result=m.DENIED)
    assert not any(bench.barred(name, DAY) for name in cases())
    bench.buy(NEEDS.index("roaming"), code=m.ORGANIC)
    assert bench.barred("roaming_day_pack", DAY + 6) and not bench.barred(
        "roaming_day_pack", DAY + 7
    )
    assert not bench.barred("plan_limit_pack", DAY), "a pack for abroad is no data at home"
    bench.buy(NEEDS.index("data"), code=m.ORGANIC)
    assert bench.barred("plan_limit_pack", DAY + 7)


def test_a_shorter_purchase_takes_nothing_away() -> None:
    """A day pack bought within the week of another pack leaves the week as it was."""
    bench = Bench()
    bench.buy(cases().index("airport_roaming_pack"))
    bench.buy(cases().index("roaming_day_pack"), day=DAY + 2)
    assert bench.barred("roaming_day_pack", DAY + 6)
    assert len(bench.taken) == 1


def test_offers_of_one_thing_share_it_and_a_campaign_has_that_of_its_offer() -> None:
    """Two switches of one thing bar each other; so do a campaign and its offer."""
    thing: dict[str, Any] = {"product": {"thing": "autopay"}}
    loaded = load("city_day", overrides={
        "catalog.define": {"offers": {"topup_autopay": thing, "bill_shock_cap": thing}},
    })  # fmt: skip
    from scenarios.campaigns import campaign_offers

    offers = list(loaded.catalogue.offers.values())
    gives = compile_things(offers, loaded.model.billing).case_gives
    names = [o.offer for o in offers]
    assert gives[names.index("topup_autopay")] == gives[names.index("bill_shock_cap")] != 0
    # Four of the others give data, and two a pack for abroad.
    assert len({int(x) for x in gives if x}) == int((gives > 0).sum()) - 1 - 3 - 1
    plan = {"campaign": "cards", "title": "t", "groups": [{"group": "a", "offer": "topup_autopay"}]}
    loaded = load("city_day", overrides={
        "catalog.define": {"campaigns": {"cards": plan}}, "catalog.campaigns": ["cards"],
    })  # fmt: skip
    [mine] = campaign_offers(loaded.catalogue)
    both = [loaded.catalogue.offers["topup_autopay"], mine]
    gives = compile_things(both, loaded.model.billing).case_gives
    assert gives[0] == gives[1] != 0
    assert contract_days(loaded.model.billing) == 690


@pytest.mark.parametrize("key", ["thing", "lasts_days"])
def test_what_lasts_belongs_to_what_can(key: str) -> None:
    """A coupon is used up: to give it a life is refused with the kinds that have one."""
    value = "sim" if key == "thing" else 9
    with pytest.raises(ScenarioError, match="would be ignored.*kind switch"):
        load("city_day", overrides={
            "catalog.define": {"offers": {"mall_coupon": {"product": {key: value}}}},
        })  # fmt: skip
