"""Inbound decisions: a person asks, and the engine answers with offers for the agent's screen.

An inbound request is a hit of one more rule that opens every use case; `decide` itself, with its
eligibility, policy, arbitration and holdout, decides on it.  This module owns what differs (no
quiet hours, the channel of the asker) as tables, and the ranking of what policy allowed.  It must
not know how a request travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from actors import messages as m
from actors.rtm.arbitration import NO_CANDIDATE, NOBODY, SHUT, score_of
from actors.rtm.audience import eligible
from actors.rtm.decide import decide
from actors.rtm.experiments import held_out, switched_off
from actors.rtm.params import NEEDS
from sim.core import rng
from sim.core.kernel import kernel

RULE = "inbound"
"""Label of the rule, beside those of the triggers."""
DATA, AWAY, SHOP, TROUBLE = 1, 2, 4, 16 | 32
"""Bits of the needs that go together, in the order of `NEEDS`."""
SHOWN = np.unique([
    data | away | shop | trouble
    for data in (0, DATA) for away in (0, AWAY) for shop in (0, SHOP) for trouble in (0, TROUBLE)
])  # fmt: skip
"""Every set of needs of which a live profile can show signs, sorted."""
HEAVY_KB_PER_MB = 1250
"""A day's data shows a need from a quarter above the own norm on, kB for each MB of it."""


def inbound_tables(tables: Any, n_cases: int, *, channel: int | None = None) -> tuple[Any, int]:
    """Return the tables of a run with the inbound rule added, and the index of that rule.

    Parameters
    ----------
    tables : `RtmTables` of the run; not changed
    n_cases : use cases of the run
    channel : the channel by which whoever was asked answers; None adds one for it
    """
    n_rules = len(tables.rule_start) - 1
    bound = np.asarray(tables.rule_cases[: int(tables.rule_start[-1])], np.int64)
    cases = np.concatenate([bound, np.arange(n_cases, dtype=np.int64)])
    spoken = len(tables.channel_needs) if channel is None else channel
    found = tables._replace(
        rule_id=np.append(tables.rule_id[:n_rules], np.uint32(rng.name_id("rule:" + RULE))),
        rule_start=np.append(tables.rule_start, np.int64(len(cases))),
        rule_cases=cases if len(cases) else np.zeros(1, np.int64),
        # Whoever asks is awake, and is told by the one whom he asked: no quiet hours, and a
        # channel of its own that reaches everybody and costs no message.
        quiet_from_q=0,
        quiet_to_q=0,
        case_channels=np.full((len(tables.case_channels), 1), spoken, np.int64),
    )
    if channel is None:
        found = found._replace(
            channel_id=np.append(tables.channel_id, np.uint32(0)),
            channel_needs=np.append(tables.channel_needs, np.int64(0)),
            channel_reach=np.append(tables.channel_reach, rng.threshold(1.0)),
            channel_cost_minor=np.append(tables.channel_cost_minor, np.int64(0)),
            # The tables of contact policy hold that channel already.
        )
    return found, n_rules


def levers_of_calls(
    tables: Any, *, given: np.ndarray, factors: Mapping[str, Mapping[str, float]],
    doubt: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return (1 + n_reasons x n_shown, n_cases) levers: as they are, then for each kind of call.

    Whatever is sold is open to every caller.  What is given away (a gift, a credit, a service
    message) was made for an event that the caller need not have met: it is open where the reason
    names its category of need, and shut elsewhere.  Where nothing is open every use case is a
    candidate, for nobody.  Offers for needs of which neither the reason nor the live profile
    shows a sign lose priority.

    Parameters
    ----------
    tables : `RtmTables` of the run
    given : (n_offers,) bool, offers that give something away; what follows them is shut
    factors : reason -> category of need -> factor on the priority; 1 where not named
    doubt : (n_needs,) factors on offers for needs without a sign
    """
    plain = tables.levers_q[0]
    rows = [plain]
    for reason in m.CALL_REASONS:
        named = factors.get(reason, {})
        factor = np.array([named.get(need, 1.0) for need in NEEDS])[tables.case_need]
        fits = np.array([named.get(need, 0.0) > 0 for need in NEEDS])
        is_open = np.zeros(len(plain), np.bool_)
        is_open[: len(given)] = ~given | fits[tables.case_need[: len(given)]]
        mine = np.rint(plain * factor)
        for bits in SHOWN.tolist():
            known = fits | np.array([bits >> k & 1 for k in range(len(NEEDS))], np.bool_)
            levers = np.rint(mine * np.where(known, 1.0, doubt)[tables.case_need])
            rows.append(np.where(is_open, levers, SHUT) if is_open.any() else levers * 0 + NOBODY)
    return np.array(rows, np.int64)


def row_of_call(reason: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return (n,) uint16 rows of those levers.

    Parameters
    ----------
    reason : (n,) indices in `CALL_REASONS`
    shown : (n,) bits as `signs` returns them
    """
    at = 1 + reason.astype(np.int64) * len(SHOWN) + np.searchsorted(SHOWN, shown)
    return at.astype(np.uint16)


def signs(
    *, abroad: Any, fence_kind: Any, today_kb: Any, norm_mb: Any, owns_pack: Any, in_trouble: Any
) -> Any:
    """Return the needs, bits in the order of `NEEDS`, of which a live profile shows a sign.

    Written with `&` and comparisons, so that it takes scalars and arrays alike.

    Parameters
    ----------
    abroad : seen last outside the own network
    fence_kind : kind of the place believed to be in, 0 mall, 1 airport, 2 shop, -1 none
    today_kb, norm_mb : data used today, and the line's own norm of a day
    owns_pack : bought data is still valid
    in_trouble : uses were refused within the last day
    """
    data = (today_kb >= HEAVY_KB_PER_MB * norm_mb) & (today_kb > 0) & (owns_pack == 0)
    away = (abroad != 0) | (fence_kind == 1)
    shop = (fence_kind == 0) | (fence_kind == 2)
    trouble = in_trouble != 0
    return data * DATA | away * AWAY | shop * SHOP | trouble * TROUBLE


@kernel
def rank(p, t, i, sub, rule, ts_ms, quarter, reasons, winner, ranked, scores):
    """Rank what policy allowed by the priority of arbitration, the winner first.

    Parameters
    ----------
    reasons : (n_cases,) uint8, left by `decide` for the rule
    winner : the use case that won and is not withheld
    ranked, scores : (k,) int64, written: the best k use cases and their priorities

    Returns
    -------
    n : entries written; a use case that is withheld from the line is not among them
    """
    n = 0
    room = ranked.shape[0]
    for j in range(t.rule_start[rule], t.rule_start[rule + 1]):
        case = np.int64(t.rule_cases[j])
        if case != winner and reasons[case] != m.LOST_ARBITRATION:
            continue
        # Inbound, there is one channel for all: that of whoever was asked.
        way = t.case_channels[case, 0]
        score = np.int64(score_of(p, t, i, sub, case, way, ts_ms, quarter, 0, 0))
        at = n
        while at > 0 and (
            score > scores[at - 1]
            or (score == scores[at - 1] and t.case_id[case] < t.case_id[ranked[at - 1]])
        ):
            at -= 1
        if at >= room:
            continue
        if case != winner and (switched_off(t, sub, case) or held_out(t, sub, case)):
            continue
        for k in range(min(n, room - 1), at, -1):
            ranked[k] = ranked[k - 1]
            scores[k] = scores[k - 1]
        ranked[at] = case
        scores[at] = score
        n = min(n + 1, room)
    return n


@kernel
def answer(p, s, t, hits, foreseen, reasons, intents, ex, log, c, ranked, scores):
    """Decide on one inbound hit of a population that begins at line 0, and rank the offers.

    Parameters
    ----------
    hits : `Hit` columns; row 0 holds the line, the moment and the inbound rule
    foreseen : `NOT_FORESEEN`: no oracle answers
    reasons : (n_cases,) uint8 scratch
    intents, ex, log : columns with room for one row, written by `decide`
    ranked, scores : (k,) int64, written

    Returns
    -------
    n, n_eligible, n_allowed : offers ranked (0: nothing won, or the winner is withheld), and of
        the candidates those that were eligible and allowed
    """
    # A horizon is closed by the ticks of a run; here none passes, and none is kept.
    decide(p, s, t, 0, hits, 1, foreseen, reasons, intents, 0, ex, 0, log, c)
    rule = np.int64(hits.trigger[0])
    n_eligible = 0
    n_allowed = 0
    for j in range(t.rule_start[rule], t.rule_start[rule + 1]):
        reason = reasons[t.rule_cases[j]]
        if reason == NO_CANDIDATE:
            continue
        n_eligible += reason != m.NOT_ELIGIBLE
        n_allowed += reason == m.INTENDED or reason >= m.NO_GAIN
    if log.reason[0] != m.INTENDED:
        return 0, n_eligible, n_allowed
    sub = np.int64(hits.sub[0])
    quarters = hits.ts_ms[0] // 900_000 + t.region_shift_q[p.region[sub]] + t.start_quarter
    n = rank(
        p, t, sub, sub, rule, hits.ts_ms[0], quarters % 96, reasons, np.int64(log.use_case[0]),
        ranked, scores,
    )  # fmt: skip
    return n, n_eligible, n_allowed


@kernel
def groups_of(p, s, t, sub, ts_ms, member):
    """Mark the use cases to whose audience a line of a population from line 0 belongs.

    Parameters
    ----------
    member : (n_cases,) uint8, written: 1 where it belongs
    """
    quarters = ts_ms // 900_000 + t.region_shift_q[p.region[sub]] + t.start_quarter
    for case in range(member.shape[0]):
        member[case] = eligible(p, s, t, sub, case, quarters // 96)
