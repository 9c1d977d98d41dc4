"""Games against a slow twin of their rules: any quests, any deeds, cut into slices anywhere."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.loyalty.actor import LoyaltyActor, compile_tables
from actors.loyalty.params import Loyalty, Play, Prize, Quest, QuestStep, Tier
from actors.metrics import RTM_METRICS
from actors.profile import PROFILE
from actors.quest_tables import SLACK_M, compile_quests
from actors.rtm.actor import RtmCounters
from actors.rtm.loyalty import LoyaltyDesk
from actors.rtm.params import NEEDS, RtmParams
from actors.rtm.state import ALIVE, APP, CONSENT, DEED, HIT, STATE
from sim.core.actor import Inbox
from sim.core.columns import Block, Columns
from sim.core.metrics import new_tally
from sim.core.ticks import Tick
from tests.property.quest_twin import Deed, Purse, Twin

FIRST, LINES = 70, 4
HOUR_MS = 3_600_000
FENCES = [("mall", 0, 0), ("mall", 40_000, 0), ("mall", 0, 90_000), ("airport", 15_000, 5_000)]
CASES = ["data", "shopping"]
GEO: Any = types.SimpleNamespace(
    fence_lat=np.array([y / 111_320 for _, _, y in FENCES]),
    fence_lon=np.array([x / 111_320 for _, x, _ in FENCES]),
    fence_kind=np.array([("mall", "airport").index(k) for k, _, _ in FENCES], np.uint8),
)
OFFERS: Any = [types.SimpleNamespace(truth=types.SimpleNamespace(category=name)) for name in CASES]
LABELS = {"quest": ("a", "b", "c")}


def step(draw: Any) -> QuestStep:
    """Draw a step."""
    do = draw(st.sampled_from(
        ["enter_geofence", "visit_geofence", "use_data_mb", "talk_min", "send_sms", "buy",
         "recharge", "open_page"]
    ))  # fmt: skip
    return QuestStep(
        do=do,
        kind=draw(st.sampled_from(["mall", "airport"])),
        at_least=draw(st.integers(1, 4)),
        days_in_row=draw(st.sampled_from([1, 1, 1, 2, 3])),
        per_day_max=draw(st.sampled_from([0, 0, 1, 2])),
        category=draw(st.sampled_from(["any", "data", "shopping"])),
        caused=draw(st.sampled_from(["any", "own", "offer"])),
    )


@st.composite
def games(draw: Any) -> tuple[list[Quest], list[Deed], list[int]]:
    """Draw up to three quests, deeds in the order of line and time, and where slices are cut."""
    quests = []
    for k in range(draw(st.integers(1, 3))):
        opens = draw(st.integers(0, 30))
        quests.append(
            Quest(
                quest=LABELS["quest"][k], title="x", opens_h=opens, joins=1,
                closes_h=opens + draw(st.integers(1, 90)), ordered=draw(st.booleans()),
                steps=tuple(step(draw) for _ in range(draw(st.integers(1, 3)))),
                reward_minor=draw(st.integers(0, 500)), points=draw(st.integers(0, 300)),
                cashback=draw(st.sampled_from([0, 0.1, 1])), app=draw(st.booleans()),
                budget_minor=draw(st.sampled_from([0, 0, 300, 900])),
                rewards_max=draw(st.sampled_from([0, 0, 1, 3])),
                play=Play(),
            )
        )  # fmt: skip
    deeds = []
    for sub in range(FIRST, FIRST + LINES):
        moments = sorted(draw(st.lists(st.integers(0, 96 * 60 - 1), max_size=14)))
        for minute in moments:
            kind, code, ref, units = draw(st.sampled_from([
                (m.USAGE, m.DATA_VIDEO, 0, 1_600_000), (m.USAGE, m.VOICE_ONNET, 0, 61),
                (m.USAGE, m.SMS, 0, 2), (m.USAGE, m.ROAM_DATA, 0, 999_999),
                (m.PURCHASE, m.ORGANIC, 0, 900), (m.PURCHASE, m.ORGANIC, 2, 500),
                (m.PURCHASE, m.OFFERED, 0, 700), (m.PURCHASE, m.OFFERED, 1, 0),
                (m.RECHARGE, 0, 0, 10_000), (m.VISIT, 0, 1, 0), (m.LOCATION, 0, 0, 0),
            ]))  # fmt: skip
            place = draw(st.sampled_from([-1, -1, 0, 1, 2, 3]))
            deeds.append(Deed(sub, minute * 60_000, kind, code, ref, units, place))
    cuts = sorted(draw(st.lists(st.integers(0, 95), max_size=6)))
    return quests, deeds, cuts


def make_desk(quests: list[Quest], app: bool = True) -> tuple[LoyaltyDesk, Any]:
    """Return a desk over four lines that are all asked, and its counters."""
    up = Tier(tier="up", points=250, factor=1.5)
    params = RtmParams(
        loyalty=Loyalty(tiers=(up,), redeem_points=400, redeem_share=0.5, points_days=1)
    )
    tables = compile_quests(
        quests, params, GEO, seed=3, price_level=1.0, offers=OFFERS, rules=(), n_lines=LINES
    )
    state = Columns(STATE, LINES)
    state["flags"][:] = CONSENT | ALIVE | (APP if app else 0)
    counters = RtmCounters(**new_tally(RTM_METRICS, _labels(len(quests))))
    return LoyaltyDesk(tables, FIRST, Columns(PROFILE, LINES), state), counters


def _labels(n: int) -> dict[str, tuple[str, ...]]:
    names = {d for metric in RTM_METRICS for d in metric.dims}
    return {name: LABELS["quest"][:n] if name == "quest" else ("x",) for name in names}


def tick_of(start_h: int, end_h: int) -> Tick:
    """Return a tick of whole hours without a calendar."""
    quarter = np.zeros((1, 1), np.uint8)
    return Tick(start_h, start_h * HOUR_MS, end_h * HOUR_MS, quarter, quarter, ())


def fill(deeds: list[Deed]) -> Block:
    """Return the deeds of a tick as a block."""
    block = Block(DEED, max(len(deeds), 1))
    for k, deed in enumerate(deeds):
        for name in ("sub", "ts_ms", "day", "kind", "code", "ref", "units", "place"):
            block.columns[name][k] = getattr(deed, name)
    block.n = len(deeds)
    return block


@settings(max_examples=120, deadline=None)
@given(games())
def test_games_go_as_their_rules_say(case: tuple[list[Quest], list[Deed], list[int]]) -> None:
    """Steps, refusals, completions with their rewards and suspicion equal those of the twin.

    Four days of deeds are played tick by tick, with borders at any hour; at the end each quest has
    joined = completed + lapsed + open, and points earned = redeemed + expired + cancelled + owed.
    """
    quests, deeds, cuts = case
    desk, counters = make_desk(quests)
    twin = Twin(
        quests, FENCES, CASES, {j: set(range(FIRST, FIRST + LINES)) for j in range(len(quests))},
        Loyalty().speed_kmh_max, SLACK_M,
    )  # fmt: skip
    for deed in deeds:
        twin.act(deed)
    loyalty = LoyaltyActor(
        compile_tables(quests, seed=3, share=1.0, price_level=1.0, engine=desk.quests),
        {"quest": LABELS["quest"][: len(quests)]},
    )
    hits = Block(HIT, 1)
    claimed: list[tuple[int, ...]] = []
    grants: dict[str, np.ndarray] = {}
    purses = [Purse(q.budget_minor, q.rewards_max, {}) for q in quests]
    borders = sorted({0, 96, *cuts})
    for start, end in zip(borders, borders[1:], strict=False):
        tick = tick_of(start, end)
        made = desk.begin(tick, Inbox(rows={"Grant": grants} if grants else {}), True, counters)
        mine = [d for d in deeds if tick.start_ms <= d.ts_ms < tick.end_ms]
        claims, n_hits = desk.play(fill(mine), len(mine), hits, 0, tick.start_ms, counters)
        assert n_hits == 0 and not len(made.get("Claim", {"sub": ()})["sub"])
        desk.finish(tick, counters)
        rows = zip(*(claims[n].tolist() for n in ("sub", "ts_ms", "quest", "units", "suspect")))
        claimed += rows
        grants = loyalty.on_tick(tick, claims)
        _check_grants(claims, grants, purses)
    assert sorted(claimed) == sorted((*row[:4], int(row[4])) for row in twin.completed)
    assert counters.quest_steps.tolist() == twin.steps
    assert counters.deeds_refused.tolist() == twin.refused
    _check_books(desk, counters)


def _check_grants(claims: Any, grants: Any, purses: list[Purse]) -> None:
    """A cashier who serves the claims of a tick one by one, by time and key, says the same."""
    order = sorted(range(len(claims["sub"])), key=lambda k: (claims["ts_ms"][k], claims["key"][k]))
    wanted = []
    for k in order:
        quest, amount = int(claims["quest"][k]), int(claims["units"][k])
        given = purses[quest].serve(amount)
        kind = m.GIVE_REWARD if given else m.REFUSE_REWARD
        wanted.append((int(claims["sub"][k]), quest, kind, amount if given else 0))
    names = ("sub", "quest", "kind", "units")
    assert sorted(wanted) == sorted(zip(*(grants[n].tolist() for n in names)))


def _check_books(desk: LoyaltyDesk, c: Any) -> None:
    ledger = desk.ledger()
    over = c.quests_completed.sum() + c.quests_lapsed.sum()
    assert c.quests_joined.sum() == over + ledger["quests_open"]
    gone = c.points_redeemed.sum() + c.points_expired.sum() + c.points_cancelled.sum()
    assert c.points.sum() == gone + ledger["points_open"]
    assert c.claims_made.tolist() == c.quests_completed.tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.integers(0, 1)), max_size=60),
    st.integers(0, 3_000),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(1, 5),
)
def test_nothing_shared_is_ever_given_twice(
    asked: list[tuple[int, int, int]], budget: int, rewards: int, stock: int, n_ticks: int
) -> None:
    """However claims are spread over ticks, budget, stock and prizes are never past their limits.

    Whatever is left when something was refused is less than what was asked for; prizes are drawn
    with chance 1 here, so all are gone once as many claims were granted.
    """
    quest = Quest(
        quest="a", title="x", steps=(QuestStep(do="buy"),), budget_minor=budget,
        rewards_max=rewards,
        prizes=(Prize(prize="cup", stock=max(stock, 1), chance=1, cost_minor=7),),
    )  # fmt: skip
    desk, _ = make_desk([quest])
    actor = LoyaltyActor(
        compile_tables([quest], seed=3, share=1.0, price_level=1.0, engine=desk.quests),
        {"quest": ("a",)},
    )
    granted = refused = spent = prizes = honest = 0
    for index in range(n_ticks):
        part = asked[index::n_ticks]
        claims = Columns(m.CLAIM, len(part))
        for k, (sub, hundreds, suspect) in enumerate(part):
            claims["sub"][k], claims["ts_ms"][k] = sub, index * HOUR_MS + k
            claims["kind"][k], claims["units"][k] = m.ASK_REWARD, hundreds * 100
            claims["suspect"][k], claims["key"][k] = suspect, sub * 977 + k
        rows = actor.on_tick(tick_of(index, index + 1), claims.arrays)
        for kind, units, prize, suspect in zip(
            *(rows[n].tolist() for n in ("kind", "units", "prize_minor", "suspect"))
        ):
            granted += kind == m.GIVE_REWARD
            refused += kind == m.REFUSE_REWARD
            honest += kind == m.GIVE_REWARD and not suspect
            spent += units
            prizes += prize >= 0
            assert prize in (-1, 7) and not (suspect and prize >= 0)
    assert granted + refused == len(asked)
    assert not budget or spent <= budget
    assert not rewards or granted <= rewards
    assert prizes == min(honest, max(stock, 1))
    assert refused == 0 or budget or rewards
    again = LoyaltyActor(actor.tables, {"quest": ("a",)})
    again.restore(actor.snapshot())
    assert again.digest() == actor.digest()


def test_a_row_that_comes_late_counts_for_the_game_of_its_own_time() -> None:
    """A purchase of the first window that is told in the second does nothing for the second game.

    One of the second window that is told an hour late does, and the reward is asked for then.
    """
    quest = Quest(
        quest="a", title="x", steps=(QuestStep(do="buy"),), joins=1, app=False,
        opens_h=0, closes_h=4, every_h=6, times_max=3,
    )  # fmt: skip
    desk, counters = make_desk([quest])
    hits = Block(HIT, 1)
    for start in range(10):
        desk.begin(tick_of(start, start + 1), Inbox(), True, counters)
        late = {7: 3, 8: 7}.get(start)
        if late is not None:
            deeds = [Deed(FIRST, late * HOUR_MS, m.PURCHASE, m.ORGANIC, 0, 900, -1)]
            claims, _ = desk.play(fill(deeds), 1, hits, 0, start * HOUR_MS, counters)
            assert claims["ts_ms"].tolist() == ([] if late == 3 else [8 * HOUR_MS])
        desk.finish(tick_of(start, start + 1), counters)
    assert counters.quests_completed.tolist() == [1]


def test_a_quest_for_nobody_moves_nothing() -> None:
    """Without a tier nobody is asked: no rows, no claims, and the flags stay as they were."""
    quest = Quest(quest="a", title="x", steps=(QuestStep(do="buy"),), joins=1, tier_min="up")
    desk, counters = make_desk([quest])
    before = desk.state["flags"].copy()
    desk.begin(tick_of(0, 1), Inbox(), True, counters)
    assert len(desk.games) == 0 and np.array_equal(desk.state["flags"], before)


def test_the_names_of_needs_are_those_of_the_engine() -> None:
    """The twin names what was bought by the engine's own list."""
    assert set(CASES) <= set(NEEDS)
