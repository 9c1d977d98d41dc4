"""Decisions: from a satisfied rule to an intent, a ghost or a reason.

It owns the path of one decision and its record.  It must not know the truth, nor what a channel
can carry.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.rtm.arbitration import NO_CANDIDATE, candidates, choose, furthest, odds_q
from actors.rtm.experiments import held_out, open_experiment, switched_off
from actors.rtm.history import remember_contact
from actors.rtm.policy import pick_channel
from actors.rtm.state import CONTROL
from sim.core.histogram import bucket_of
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, mix64, stream

NOT_FORESEEN = np.zeros((1, 1), np.int64)
"""What decisions take that know no truth: all but those of the oracle."""
S_LATENCY = stream("latency of capture, profile and decision")


@kernel
def stages(t, sub, rule_id, ts_ms):
    """Draw how long capture, profile and decision take, ms."""
    a, b, d, _ = draw_cause(t.seed, S_LATENCY, sub, rule_id, ts_ms // 1000, ts_ms % 1000)
    capture = np.int64(quantile(t.capture_ms, a))
    return capture, np.int64(quantile(t.profile_ms, b)), np.int64(quantile(t.decide_ms, d))


@kernel
def latency(t, sub, rule_id, ts_ms, c):
    """Draw and count the latency of one decision, ms, stage by stage."""
    capture, profile, decide = stages(t, sub, rule_id, ts_ms)
    c.latency_capture_ms[bucket_of(t.borders, capture)] += 1
    c.latency_profile_ms[bucket_of(t.borders, profile)] += 1
    c.latency_decide_ms[bucket_of(t.borders, decide)] += 1
    c.latency_decision_ms[bucket_of(t.borders, capture + profile + decide)] += 1
    return capture + profile + decide


@kernel
def send_intent(s, t, i, sub, case, channel, ts_ms, decided_ms, score, out, n, c):
    """Write one `Intent` and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = decided_ms
    out.use_case[n] = case
    out.channel[n] = channel
    out.priority_q[n] = score
    out.trigger_ms[n] = ts_ms
    out.expires_ms[n] = decided_ms + t.case_expires_ms[case]
    out.key[n] = mix64(
        t.seed ^ (np.uint64(sub) << np.uint64(32)) ^ np.uint64(t.case_id[case]) ^ np.uint64(ts_ms)
    )
    c.intents[channel] += 1
    c.intended[case] += 1
    if s.flags[i] & CONTROL:
        c.control_contacts[0] += 1
    return n + 1


@kernel
def write_decision(
    out, n, sub, ts_ms, rule, case, reason, channel, score, counts, late, value, odds
):  # fmt: skip
    """Write one `Decision` row and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.trigger[n] = rule
    out.use_case[n] = case
    out.reason[n] = reason
    out.channel[n] = channel
    out.priority_q[n] = score
    out.n_candidates[n] = counts[0]
    out.n_eligible[n] = counts[1]
    out.n_allowed[n] = counts[2]
    out.latency_ms[n] = late
    out.value[n] = value
    out.chance_q[n] = odds
    return n + 1


@kernel
def count_candidates(t, first, last, reasons, on_screen, c):
    """Count what became of each candidate of a hit; those of an agent's screen also apart."""
    for j in range(first, last):
        case = t.rule_cases[j]
        if reasons[case] != NO_CANDIDATE:
            c.decisions[case, reasons[case]] += 1
            c.screen_candidates[case] += on_screen


@kernel
def decide(
    p, s, t, lo, hits, n_hits, foreseen, reasons, intents, n_intents, ex, n_ex, log, c
):  # fmt: skip
    """Decide on every hit of a slice, in canonical order.

    Parameters
    ----------
    hits, n_hits : rules satisfied, sorted by (sub, ts_ms)
    foreseen : (n_hits, n_cases) int64, minor, what each would add in truth; or `NOT_FORESEEN`
    reasons : (n_cases,) uint8 scratch
    intents, n_intents : `Intent` columns and their fill, written
    ex, n_ex : pool of running horizons and its fill, written
    log : `Decision` columns with room for n_hits rows, written

    Returns
    -------
    n_intents, n_ex : new fills
    """
    for k in range(n_hits):
        sub = np.int64(hits.sub[k])
        i = sub - lo
        ts_ms = hits.ts_ms[k]
        rule = np.int64(hits.trigger[k])
        quarters = ts_ms // 900_000 + t.region_shift_q[p.region[i]] + t.start_quarter
        day = quarters // 96
        c.trigger_hits[rule] += 1
        late = latency(t, sub, t.rule_id[rule], ts_ms, c)
        timed_out = late > t.timeout_ms > 0
        if timed_out:
            # Given up at that moment, and sent then, if anything is.
            late = np.int64(t.timeout_ms)
            c.timeouts[rule] += 1
        first, last = candidates(t, rule, hits.value[k])
        best, score, n_candidates, n_eligible, n_allowed = choose(
            p, s, t, i, sub, first, last, np.int64(hits.levers[k]), ts_ms, day, quarters % 96,
            timed_out, foreseen, k, reasons, c,
        )  # fmt: skip
        c.eligible_decisions[rule] += n_eligible > 0
        c.allowed_decisions[rule] += n_allowed > 0
        channel = 255
        case = best
        reason = m.INTENDED
        if best < 0:
            case = furthest(t, first, last, reasons)
            reason = reasons[case]
        else:
            way = pick_channel(p, s, t, i, sub, best, day)
            if switched_off(t, sub, best):
                reason = m.SWITCHED_OFF
            elif held_out(t, sub, best):
                reason = m.HOLDOUT
                c.ghosts[best] += 1
            else:
                channel = way
                n_intents = send_intent(
                    s, t, i, sub, best, channel, ts_ms, ts_ms + late, score, intents, n_intents, c
                )
            reasons[best] = reason
            if reason != m.SWITCHED_OFF:
                n_ex = open_experiment(
                    s, t, i, sub, best, 0 if reason == m.INTENDED else 1, ts_ms, ex, n_ex, c
                )
                # A withheld winner uses up its slot as a treated one does, so that the two
                # arms meet the same rules afterwards.
                remember_contact(s, t, i, best, way, day, reason != m.INTENDED)
        count_candidates(t, first, last, reasons, hits.levers[k] > 0, c)
        c.outcomes[rule, reason] += 1
        counts = (n_candidates, n_eligible, n_allowed)
        write_decision(
            log,
            k,
            sub,
            ts_ms,
            rule,
            case,
            reason,
            channel,
            score,
            counts,
            late,
            hits.value[k],
            odds_q(t, n_allowed) if best >= 0 else 0,
        )
    return n_intents, n_ex
