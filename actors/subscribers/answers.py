"""What people make of a message: both worlds of a contact, at once and from the same draws.

It owns utility, fatigue, trust, the choice to accept and its moment (truth.md section 3).  It must
not know why the message was sent.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.means import price_loss_q, waits
from actors.subscribers.place import true_spot
from actors.subscribers.state import LIFE_HERE, LIFE_MASK, LONG_AGO_S, NEVER_S
from actors.subscribers.truth import promised, tell_truth
from actors.subscribers.wants import decay_q, find_need, organic_s
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw, draw_cause, stream

S_SEEN = stream("a message is seen")
S_ANSWER = stream("answer to a message")
S_REPLY = stream("answers a question")
S_TASTE = stream("lasting taste")
FATIGUE_MAX = 60_000


@kernel
def fatigue_at(s, t, i, now_s):
    """Return the fatigue of a line at a moment, 1/1024."""
    age = now_s - np.int64(s.fatigue_h[i]) * 3600
    return np.int64(s.fatigue_q[i]) * decay_q(t, max(age, 0), t.fatigue_tau_s) // 1024


@kernel
def taste_q(t, seed, sub, kind):
    """Return the lasting taste for a category, 1/1024 standard deviations."""
    a, _, _, _ = draw(seed, S_TASTE, sub, 0, kind)
    return np.int64(quantile(t.normal_q, a))


@kernel
def utility_q(s, p, t, seed, i, sub, case, need_q, fatigue_q, noise):
    """Return the utility of accepting, 1/1024 logit units.

    Parameters
    ----------
    need_q : strength of the need at the moment of the answer, 1/1024
    fatigue_q : fatigue at the moment of sending, 1/1024
    noise : uint32, turned into logistic noise
    """
    kind = t.case_need[case]
    u = np.int64(t.case_b0_q[case])
    u += np.int64(t.need_w_q) * need_q // 1024 * np.int64(t.case_match_q[case]) // 1024
    u += np.int64(t.taste_w_q) * taste_q(t, seed, sub, kind) // 1024
    u -= price_loss_q(s, p, t, seed, i, sub, case)
    u -= np.int64(t.fatigue_w_q) * fatigue_q // 1024
    u += np.int64(t.trust_w_q) * np.int64(s.trust_q[i]) // 127
    return u + np.int64(quantile(t.logit_q, noise))


@kernel
def feel(s, t, i, case, channel, need_q, now_s, c):
    """Move fatigue, trust and satisfaction after a message was seen."""
    old = fatigue_at(s, t, i, now_s)
    satisfaction = np.int64(s.satisfaction_q[i])
    if t.case_service[case]:
        gain = np.int64(t.case_relief_q[case]) * (65_535 - satisfaction) // 1024
        satisfaction += gain * t.effects_q // 1024
        s.trust_q[i] = min(np.int64(s.trust_q[i]) + 4 * t.effects_q // 1024, 127)
    else:
        irrelevance = 1024 - need_q * np.int64(t.case_match_q[case]) // 1024
        added = (
            np.int64(t.fatigue_add_q)
            * irrelevance
            // 1024
            * np.int64(t.case_annoy_q[case])
            // 1024
            * np.int64(t.channel_annoy_q[channel])
            // 1024
        )
        old = min(old + added * t.effects_q // 1024, FATIGUE_MAX)
        if need_q > 300:
            gain = (
                np.int64(t.case_relief_q[case]) * need_q // 1024 * (65_535 - satisfaction) // 1024
            )
            satisfaction += gain * t.effects_q // 1024
        else:
            loss = (satisfaction >> 9) * t.effects_q // 1024
            satisfaction -= loss
            if t.effects_q > 0:
                s.trust_q[i] = max(np.int64(s.trust_q[i]) - 1, -127)
    c.wow_q[case] += (satisfaction - np.int64(s.satisfaction_q[i])) * 1000 // 65_536
    s.satisfaction_q[i] = max(min(satisfaction, 65_535), 0)
    # Written only where something moved, so that a world without effects is untouched.
    if t.effects_q > 0:
        s.fatigue_q[i] = old
        s.fatigue_h[i] = now_s // 3600


@kernel
def same_place(s, p, t, seed, i, sub, case, sent_ms, answer_ms):
    """Return whether an offer bound to a place still finds the person there."""
    if not t.case_place[case]:
        return True
    if answer_ms - sent_ms > 6 * 3_600_000:
        return False
    here = true_spot(s, t, i, sub, seed, p.region[i], sent_ms)
    there = true_spot(s, t, i, sub, seed, p.region[i], answer_ms)
    return here == there


@kernel
def both_worlds(
    s, p, t, seed, i, sub, case, channel, status, sent_ms, trigger_ms, floor_ms, ex, n_old, n_ex
):  # fmt: skip
    """Work out both worlds of one message and change nothing.

    Parameters
    ----------
    sent_ms : moment of sending; the message is evaluated at this moment
    floor_ms : start of the tick: no consequence is earlier
    ex, n_old, n_ex : pool of answers to come, see `promised`

    Returns
    -------
    seen, accepts, t0_ms, own_minor, t1_ms, born_s, need_q, fatigue_q, utility_q, opts_out_draw
    """
    kind = t.case_need[case]
    now_s = sent_ms // 1000
    name = t.case_id[case]
    key_s = trigger_ms // 1000
    slot = find_need(s, t, i, kind, now_s)
    born = np.int64(LONG_AGO_S)
    t0_ms = np.int64(-1)
    own_minor = np.int64(t.organic_margin_minor[kind])
    need_now = np.int64(0)
    if slot >= 0:
        born = np.int64(s.need_born_s[i, slot])
        need_now = decay_q(t, now_s - born, t.need_tau_s[kind])
        at = organic_s(t, seed, sub, kind, born)
        alone = at != NEVER_S and not waits(s, t, seed, i, sub, kind, born)
        if alone and at * 1000 >= floor_ms:
            t0_ms = at * 1000
        # Without this message an earlier one, whose answer is still to come, may serve the need.
        k = promised(t, ex, n_old, n_ex, sub, kind, born)
        if k >= 0 and (t0_ms < 0 or ex.ts_ms[k] < t0_ms):
            t0_ms = ex.ts_ms[k]
            own_minor = np.int64(t.case_margin_minor[ex.use_case[k]])
    fatigue = fatigue_at(s, t, i, now_s)
    a, b, d, _ = draw_cause(seed, S_SEEN, sub, name, key_s, 0)
    g, _, _, _ = draw_cause(seed, S_ANSWER, sub, name, key_s, 1)
    attention = np.int64(t.seen_q) * np.int64(t.channel_attention_q[channel]) // 1024
    attention = attention * 1024 // (1024 + fatigue)
    seen = status == m.DELIVERED and np.int64(a >> np.uint32(16)) < attention
    answer_ms = sent_ms + np.int64(quantile(t.answer_ms, b)) * 1024 // np.int64(
        t.channel_speed_q[channel]
    )
    t1_ms = max(answer_ms, floor_ms)
    accepts = False
    u = np.int64(0)
    if seen:
        age = t1_ms // 1000 - born
        need_then = np.int64(0) if slot < 0 else decay_q(t, age, t.need_tau_s[kind])
        u = utility_q(s, p, t, seed, i, sub, case, need_then, fatigue, d)
        expired = slot >= 0 and age >= 5 * np.int64(t.need_tau_s[kind])
        accepts = (
            u > 0
            and t.effects_q > 0
            and not expired
            and t1_ms <= sent_ms + t.case_valid_ms[case]
            and (t0_ms < 0 or t1_ms < t0_ms)
            and same_place(s, p, t, seed, i, sub, case, sent_ms, t1_ms)
        )
    return seen, accepts, t0_ms, own_minor, t1_ms, born, need_now, fatigue, u, g


@kernel
def reply_to(s, t, seed, i, sub, case, key_s, now_s):
    """Return the number of the answer that a person gives to a question, or -1.

    The answer is that of the category liked most: lasting taste, a need that is alive, and chance.
    """
    first, last = t.reply_start[case], t.reply_start[case + 1]
    best = np.int64(-1)
    if last == first or t.effects_q == 0:
        return best
    a, _, _, _ = draw_cause(seed, S_REPLY, sub, t.case_id[case], key_s, 0)
    if a >= t.case_reply[case]:
        return best
    most = np.int64(-1 << 40)
    for k in range(first, last):
        kind = t.reply_need[k]
        _, b, _, _ = draw_cause(seed, S_REPLY, sub, t.case_id[case], key_s, k - first + 1)
        liking = taste_q(t, seed, sub, kind) + np.int64(quantile(t.logit_q, b)) // 4
        slot = find_need(s, t, i, kind, now_s)
        if slot >= 0:
            liking += decay_q(t, now_s - np.int64(s.need_born_s[i, slot]), t.need_tau_s[kind])
        if liking > most:
            most, best = liking, k - first
    return best


@kernel
def hear(
    s, p, t, seed, i, sub, case, channel, status, sent_ms, trigger_ms, floor_ms, truth, r,
    ex, n_old, n_ex, c,
):  # fmt: skip
    """Work out both worlds of one message and keep the answer that will be given.

    Parameters
    ----------
    sent_ms, floor_ms : see `both_worlds`
    truth, r : `Truth` columns and the row to write
    ex, n_old, n_ex : pool of answers, its fill at the start of the tick, and its fill now, of
        which the new one is returned
    """
    seen, accepts, t0_ms, own_minor, t1_ms, born, need_now, fatigue, u, g = both_worlds(
        s, p, t, seed, i, sub, case, channel, status, sent_ms, trigger_ms, floor_ms, ex, n_old, n_ex
    )
    if seen:
        c.seen[case] += 1
        if u > -1024:
            c.clicked[case] += 1
        feel(s, t, i, case, channel, need_now, sent_ms // 1000, c)
        opts_out = (
            not t.case_service[case]
            and np.int64(g) * 1024 < np.int64(t.opt_out) * fatigue * t.effects_q // 1024
        )
        reply = reply_to(s, t, seed, i, sub, case, trigger_ms // 1000, sent_ms // 1000)
        if accepts or opts_out or reply >= 0:
            ex.sub[n_ex] = sub
            ex.use_case[n_ex] = case
            ex.action[n_ex] = m.ACCEPT if accepts else (m.OPT_OUT if opts_out else m.REPLY)
            ex.need_born_s[n_ex] = born if accepts or opts_out else reply
            ex.ts_ms[n_ex] = t1_ms
            n_ex += 1
            c.exposures_made[0] += 1
    tell_truth(t, case, channel, status, sent_ms, accepts, t0_ms, own_minor, t1_ms, truth, r, c)
    truth.sub[r] = sub
    truth.seen[r] = seen
    truth.need_q[r] = need_now * 255 // 1024
    truth.fatigue_q[r] = fatigue
    return n_ex


@kernel
def hear_all(s, p, t, seed, lo, d, n, floor_ms, truth, ex, n_ex, c):
    """Work out the messages that arrived, in canonical order.

    Parameters
    ----------
    d : `Delivery` columns, n rows of this partition, sorted by (sub, ts_ms)
    truth : `Truth` columns with room for n rows, written
    ex, n_ex : pool of answers, sorted by line, with room for n more, and its fill

    Returns
    -------
    n_truth, n_ex : rows written and new fill; the new answers stand at the end, sorted by line
    """
    r = 0
    n_old = n_ex
    for k in range(n):
        i = d.sub[k] - lo
        if s.life[i] & LIFE_MASK != LIFE_HERE:
            c.exposures_lost[0] += 1
            c.truth_n[d.use_case[k]] += 1
            continue
        n_ex = hear(
            s,
            p,
            t,
            seed,
            i,
            np.int64(d.sub[k]),
            np.int64(d.use_case[k]),
            np.int64(d.channel[k]),
            d.status[k],
            d.sent_ms[k],
            d.trigger_ms[k],
            floor_ms,
            truth,
            r,
            ex,
            n_old,
            n_ex,
            c,
        )
        r += 1
    return r, n_ex


@kernel
def take_due(ex, n_ex, end_ms, due):
    """Move the answers that are due before `end_ms` out of the pool, which keeps its order.

    Returns
    -------
    n_ex, n_due : new fill of the pool, rows written to `due` (unsorted)
    """
    kept = 0
    n_due = 0
    for k in range(n_ex):
        if ex.ts_ms[k] < end_ms:
            due.sub[n_due] = ex.sub[k]
            due.use_case[n_due] = ex.use_case[k]
            due.action[n_due] = ex.action[k]
            due.need_born_s[n_due] = ex.need_born_s[k]
            due.ts_ms[n_due] = ex.ts_ms[k]
            n_due += 1
        else:
            ex.sub[kept] = ex.sub[k]
            ex.use_case[kept] = ex.use_case[k]
            ex.action[kept] = ex.action[k]
            ex.need_born_s[kept] = ex.need_born_s[k]
            ex.ts_ms[kept] = ex.ts_ms[k]
            kept += 1
    return kept, n_due
