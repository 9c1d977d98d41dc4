"""Contact policy agrees with a slow twin in plain Python, on any rules and any history."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import messages as m
from actors.billing.params import BillingParams
from actors.channels.params import Channel
from actors.profile import PROFILE
from actors.rtm import state as rtm
from actors.rtm.breaches import count_breaches
from actors.rtm.history import forget_old, mark_answered, remember_contact
from actors.rtm.outcomes import count_taken
from actors.rtm.params import SEGMENTS, Offer, RtmParams
from actors.rtm.policy import lists_of, pick_channel, policy
from actors.rtm.policy_tables import compile_policy
from actors.rtm.reach import EVERYBODY, NEEDS_APP
from actors.rtm.things import DATA, compile_things, note_thing
from sim.core.columns import Columns
from sim.core.errors import InvariantError
from sim.core.sparse import Sparse
from tests.factories import EVENTFUL, default_world, make_runtime, run_world, tiny_world
from tests.property.policy_twin import Contact, Line, Oracle

SEED = 1
LINES = 5
FIRST = 1_000
CHANNELS = [("mail", "text"), ("sms", "text"), ("push", "app"), ("agent", "call")]
FEES = (0, 30_000, 120_000)
ROOM = 4_096
NEED_OF = ("data", "roaming", "shopping", "money")
PACKS = ("data_pack", "roaming_pack")


def channels() -> list[Channel]:
    """Return channels of three kinds, two of one kind."""
    return [
        Channel.model_validate({
            "channel": name, "title": name, "kind": kind, "per_second": 1, "latency_median_ms": 1,
        })
        for name, kind in CHANNELS
    ]  # fmt: skip


def an_offer(name: str, values: dict[str, Any]) -> Offer:
    """Return an offer of the given category, treatments and policy."""
    return Offer.model_validate({
        "offer": name, "title": name, "group": "billing", "when": {"low_balance": {}},
        "product": {
            "kind": values["kind"], "data_mb": int(values["kind"] in PACKS),
            **values["lasts"].get(values["kind"], {}),
        },
        "truth": {"category": values["category"]},
        "treatments": [{"channel": CHANNELS[k][0]} for k in values["ways"]],
        "policy": values["policy"],
    })  # fmt: skip


caps = st.fixed_dictionaries({"contacts": st.integers(0, 4), "per_days": st.integers(1, 60)})
offers = st.lists(
    st.fixed_dictionaries({
        "kind": st.sampled_from(["data_pack", "coupon", "roaming_pack", "switch", "renewal"]),
        "lasts": st.fixed_dictionaries({
            "switch": st.fixed_dictionaries({
                "thing": st.sampled_from(["", "", "sim"]), "valid_days": st.integers(1, 40),
                "lasts_days": st.sampled_from([0, 3, 90]),
            }),
            "roaming_pack": st.fixed_dictionaries({
                "valid_days": st.integers(1, 40), "lasts_days": st.sampled_from([0, 2]),
            }),
        }),
        "category": st.sampled_from(NEED_OF),
        "ways": st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
        "policy": st.fixed_dictionaries({
            "cap": st.fixed_dictionaries(
                {"contacts": st.integers(0, 5), "per_days": st.integers(1, 60)}
            ),
            "service": st.booleans(),
            "priority": st.integers(0, 9),
            "repeat": st.fixed_dictionaries({
                "times": st.integers(0, 3), "per_days": st.integers(1, 40),
                "segment": st.dictionaries(
                    st.sampled_from(SEGMENTS), st.integers(0, 2), max_size=2
                ),
            }),
        }),
    }), min_size=1, max_size=4,
)  # fmt: skip
rules = st.fixed_dictionaries({
    "cap": st.fixed_dictionaries({"contacts": st.integers(0, 6), "per_days": st.integers(1, 60)}),
    "quiet": st.fixed_dictionaries({
        "from_h": st.sampled_from([0, 9, 21]), "to_h": st.sampled_from([0, 9, 21, 24]),
    }),
    "policy": st.fixed_dictionaries({
        "caps": st.lists(caps, max_size=2),
        "channels": st.dictionaries(
            st.sampled_from(["sms", "text", "push", "agent", "call"]),
            st.lists(caps, min_size=1, max_size=2), max_size=2,
        ),
        "reserve": st.fixed_dictionaries(
            {"contacts": st.integers(0, 2), "priority": st.integers(0, 9)}
        ),
        "value": st.fixed_dictionaries({
            "high_minor": st.sampled_from([0, 50_000, 100_000]), "more": st.integers(0, 2),
            "low_minor": st.sampled_from([-50_000, 0, 40_000]), "fewer": st.integers(0, 2),
        }),
        "fatigue": st.fixed_dictionaries({
            "ignored": st.integers(1, 3), "within_days": st.integers(1, 60),
            "fewer": st.integers(0, 2),
        }),
        "black_bars": st.sampled_from(["marketing", "everything"]),
        "grey": st.fixed_dictionaries({
            "share": st.sampled_from([0, 0.5, 1]), "channel_share": st.sampled_from([0, 0.5, 1]),
            "topic_share": st.sampled_from([0, 0.3]),
        }),
        "red": st.fixed_dictionaries({
            "share": st.sampled_from([0, 0.2]),
            "bars": st.sampled_from(["marketing", "everything"]),
        }),
    }),
})  # fmt: skip
steps = st.lists(
    st.tuples(
        st.integers(0, LINES - 1),
        st.integers(0, 3),
        st.integers(0, 95),
        st.sampled_from(
            ["ask", "ask", "ask", "hold", "answer", "accept", "flip", "earn", "own", "buy", "buy"]
        ),
        st.integers(0, 20),
    ),
    min_size=40,
    max_size=150,
)


class Bench:
    """The engine's policy over a few lines, beside the lines of the oracle."""

    def __init__(self, params: RtmParams, catalogue: list[Offer], tables: Any) -> None:
        self.params, self.offers = params, catalogue
        n = len(catalogue)
        ways = max(len(o.treatments) for o in catalogue)
        names = [name for name, _ in CHANNELS]
        reach = np.full((n, ways), -1, np.int64)
        for row, offer in enumerate(catalogue):
            for k, treatment in enumerate(offer.treatments):
                reach[row, k] = names.index(treatment.channel)
        contact = compile_policy(
            params,
            offers=catalogue,
            channels=channels(),
            tariffs=(),
            price_level=1.0,
            billing=BillingParams(vat=0.0),
        )
        self.t = tables._replace(
            seed=np.uint64(SEED),
            contact=contact._replace(tariff_minor=np.array(FEES, np.int64)),
            quiet_from_q=round(params.quiet.from_h * 4), quiet_to_q=round(params.quiet.to_h * 4),
            case_service=np.array([o.policy.service for o in catalogue]),
            case_cap=np.array([o.policy.cap.contacts for o in catalogue], np.int64),
            case_cap_days=np.array([o.policy.cap.per_days for o in catalogue], np.int64),
            case_need=np.array([NEED_OF.index(o.truth.category) for o in catalogue], np.int64),
            case_id=np.arange(n, dtype=np.uint32) + np.uint32(77),
            case_channels=reach,
            channel_needs=np.array([NEEDS_APP * (k == "app") for _, k in CHANNELS], np.int64),
            channel_reach=np.full(len(CHANNELS), EVERYBODY, np.uint32),
            channel_id=np.arange(len(CHANNELS), dtype=np.uint32),
        )  # fmt: skip
        self.profile, self.state = Columns(PROFILE, LINES), Columns(rtm.STATE, LINES)
        self.things = compile_things(catalogue, BillingParams())
        self.contacts, self.taken = Sparse(rtm.CONTACTS), Sparse(rtm.TAKEN)
        self.contacts.reserve(ROOM)
        self.taken.reserve(ROOM)
        self.state["recent_case"][:] = rtm.NO_CASE
        self.state["recent_channel"][:] = 255
        self.state["owned_day"][:] = -1000
        self.state["flags"][:] = rtm.ALIVE | rtm.CONSENT | rtm.APP
        self.profile["segment"][:] = np.arange(LINES) % len(SEGMENTS)
        self.profile["tariff"][:] = np.arange(LINES) % len(FEES)
        self.lines = [Line(FIRST + i, i % len(SEGMENTS), FEES[i % len(FEES)]) for i in range(LINES)]
        self.oracle = Oracle(SEED, params, catalogue, CHANNELS)

    @property
    def view(self) -> Any:
        """Return what the kernels see."""
        return rtm.engine_view(
            self.state,
            (
                *(self.contacts, self.taken, Sparse(rtm.HELD), Sparse(rtm.TRIAL)),
                Sparse(rtm.PARTICIPATION),
            ),
            FIRST,
        )

    def ask(self, i: int, case: int, day: int, quarter: int) -> tuple[str, int]:
        """Ask both for a candidate; they must agree on reason and channel."""
        p, s, t, sub = self.profile.view, self.view, self.t, FIRST + i
        reason = m.REASONS[policy(p, s, t, i, sub, case, day, quarter, *lists_of(t, sub))]
        way = -1
        if reason == "intended":
            way = int(pick_channel(p, s, t, i, sub, case, day))
        assert (reason, way) == self.oracle.answer(self.lines[i], case, day, quarter)
        return reason, way

    def flip(self, i: int, what: int) -> None:
        """Turn one of the flags of a line."""
        name, bit = (
            ("alive", rtm.ALIVE), ("consent", rtm.CONSENT), ("app", rtm.APP),
            ("black", rtm.BLACK), ("control", rtm.CONTROL),
        )[what % 5]  # fmt: skip
        line = self.lines[i]
        setattr(line, name, not getattr(line, name))
        self.state["flags"][i] ^= np.uint8(bit)


@pytest.fixture(scope="module")
def tables() -> Any:
    """Tables of a real world, whose rules of contact the tests replace."""
    return default_world().rtm.tables


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rules=rules, catalogue=offers, steps=steps, forget=st.booleans())
def test_every_rule_is_that_of_the_oracle(
    rules: dict[str, Any], catalogue: list[dict[str, Any]], steps: list[Any], forget: bool,
    tables: Any,
) -> None:  # fmt: skip
    """Reason and channel of each candidate agree through any sequence of contacts and answers.

    The oracle keeps every contact for ever; the engine forgets those that no cap counts.
    """
    params = RtmParams.model_validate(rules)
    made = [an_offer(f"offer_{k}", values) for k, values in enumerate(catalogue)]
    bench = Bench(params, made, tables)
    day = 0
    for i, case, quarter, what, more in steps:
        case %= len(made)
        line = bench.lines[i]
        if what in ("ask", "hold"):
            reason, way = bench.ask(i, case, day, quarter)
            if reason == "intended":
                held = what == "hold"
                remember_contact(bench.view, bench.t, i, case, way, day, held)
                line.contacts.append(Contact(case, way, day, held, held))
        elif what == "answer" or what == "accept":
            mark_answered(bench.view, i, case)
            told = [c for c in line.contacts if c.case == case and still(bench, c, day)]
            if told:
                told[-1].answered = True
            if what == "accept" and bench.t.contact.case_limits[case]:
                count_taken(bench.t, bench.view, FIRST + i, case, day)
                line.accepted.append((case, day))
        elif what == "flip":
            bench.flip(i, more)
        elif what == "buy":
            thing = bench.things.case_gives[case]
            if thing and thing != DATA:
                lasts = bench.things.case_days[case]
                note_thing(bench.view, i, FIRST + i, thing, day, lasts)
            line.bought.append((case, day))
        elif what == "earn":
            line.margin_minor += 10_000 * (more - 8)
            bench.state["margin_minor"][i] = line.margin_minor
        else:
            line.owned_day = day + more
            bench.state["owned_day"][i] = line.owned_day
        if quarter > 75:
            day += more % 5
            if forget:
                days = np.full(LINES, day, np.int64)
                forget_old(bench.state, bench.contacts, bench.t, FIRST, days)
    for i in range(LINES):
        for case in range(len(made)):
            bench.ask(i, case, day, 50)


def still(bench: Bench, contact: Contact, day: int) -> bool:
    """Return whether a contact matters to any rule: an answer to an older one changes nothing."""
    return day - contact.day < 61


STRICT = {
    "rtm.cap": {"contacts": 4, "per_days": 1},
    "rtm.quiet.from_h": 13,
    "rtm.quiet.to_h": 15,
    "rtm.policy.caps": [{"contacts": 5, "per_days": 2}],
    "rtm.policy.channels": {"call": [{"contacts": 1, "per_days": 1}]},
    "rtm.policy.value": {"high_minor": 60_000, "more": 0, "low_minor": 20_000, "fewer": 1},
    "rtm.policy.fatigue": {"ignored": 2, "within_days": 7, "fewer": 1},
    "rtm.policy.grey.share": 0.3,
    "rtm.policy.red.share": 0.1,
    "rtm.black_share": 0.1,
    "rtm.universal_control_percent": 0,
}
BUSY = {
    "unfinished_purchase": {
        "truth": {"b0": 6},
        "treatments": [{"channel": "call"}, {"channel": "push"}],
        "policy": {"cap": {"contacts": 15, "per_days": 1}, "repeat": {"times": 1, "per_days": 30}},
    },
    "low_balance_credit": {"when": {"low_balance": {"floor_minor": 20_000}}},
    "traffic_data_pack": {
        "truth": {"b0": 6},
        "treatments": [{"channel": "sms"}],
        "when": {"cart_visit": {"kind": 1}},
        "policy": {"cap": {"contacts": 15, "per_days": 1}},
    },
    "topup_autopay": {
        "truth": {"b0": 9},
        "eligible": {"tenure_days_min": 0},
        "when": {"cart_visit": {"kind": 0}},
        "treatments": [{"channel": "push"}],
        "policy": {"cap": {"contacts": 15, "per_days": 1}, "service": True},
    },
}
"""Offers that are made, taken and asked for again within a day."""
BREACHES = (
    "cap_breaches", "list_breaches", "quiet_breaches", "owned_breaches", "repeat_breaches",
)  # fmt: skip


def strict_world() -> Any:
    """Return an eventful world of two days with every rule of contact in force."""
    define = {
        kind: {name: dict(patch) for name, patch in patches.items()}
        for kind, patches in EVENTFUL["catalog.define"].items()
    }
    for name, patch in BUSY.items():
        define["offers"][name] = {**define["offers"].get(name, {}), **patch}
    more = {**EVENTFUL, **STRICT, "catalog.define": define}
    return tiny_world(subscribers=1_000, days=2.0, **more)


def test_no_rule_is_broken_in_a_run_and_each_is_used() -> None:
    """Every reason of contact policy occurs, and the second look at each message finds nothing."""
    run = run_world(strict_world())
    assert all(holds for *_, holds in run.audit)
    ended = dict(zip(m.REASONS, run.totals["decisions"].sum(axis=0).tolist(), strict=True))
    used = (
        "no_consent", "black_list", "red_list", "quiet_hours", "cool_down", "cap", "grey_list",
        "channel_cap", "repeat", "owned",
    )  # fmt: skip
    assert all(ended[reason] > 0 for reason in used), ended
    assert ended["intended"] > 500
    assert all(run.totals[name].sum() == 0 for name in BREACHES)
    candidates = run.totals["decisions"].sum()
    assert sum(ended.values()) == candidates


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"cap_contacts": np.array([15, 15])}, "cap_breaches"),
        ({"lane_contacts": np.array([15])}, "cap_breaches"),
        ({"grey": np.uint32(0)}, "list_breaches"),
        ({"red": np.uint32(0)}, "list_breaches"),
        ({"case_repeat": 0}, "repeat_breaches"),
        ("quiet", "quiet_breaches"),
        ({"case_barred_by": 0}, "owned_breaches"),
        ("black", "list_breaches"),
        ("consent", "list_breaches"),
    ],
)
def test_a_policy_that_forgets_a_rule_is_caught(
    change: Any, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine decides by other tables than those by which messages are looked at once more."""
    from actors.rtm import actor as role

    world = strict_world()
    true = world.rtm.tables
    tables = true
    if isinstance(change, dict):
        new = {k: getattr(true.contact, k) * 0 if k.startswith("case_") else v
               for k, v in change.items()}  # fmt: skip
        tables = true._replace(contact=true.contact._replace(**new))
    elif change == "quiet":
        tables = true._replace(quiet_from_q=0, quiet_to_q=0)

    def look_again(p: Any, s: Any, used: Any, *rest: Any) -> None:
        if change in ("black", "consent"):
            # What the engine believes was wiped out; the CRM and the opt-outs are as they were.
            flags = s.flags.copy()
            flags[:] = flags & ~np.uint8(rtm.CONSENT) if change == "consent" else flags
            s = s._replace(flags=flags)
        # Who calls is awake: for the agent's screen there are no quiet hours.
        screen = used is not tables
        told = true._replace(quiet_from_q=0, quiet_to_q=0) if screen else true
        count_breaches(p, s, told, *rest)

    monkeypatch.setattr(role, "count_breaches", look_again)
    made = dataclasses.replace(world, rtm=dataclasses.replace(world.rtm, tables=tables))

    def start(runtime: Any) -> Any:
        if change == "black":
            for host in runtime.hosts:
                for *_, engine in host.roles:
                    engine.columns["flags"][:] &= ~np.uint8(rtm.BLACK)
        return runtime

    with pytest.raises(InvariantError) as error:
        run_world(made, runtime=start(make_runtime(made)))
    words = {
        "cap_breaches": "past a cap", "list_breaches": "a list", "quiet_breaches": "quiet",
        "owned_breaches": "owned", "repeat_breaches": "repeats",
    }  # fmt: skip
    assert words[broken] in str(error.value)
