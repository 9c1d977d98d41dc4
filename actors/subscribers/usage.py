"""What people do in a tick: one compiled loop over lines, window by window.

It owns the generation of `Activity` rows: planned acts, answers that are due, movement, and use.
It must not rate, decide or look at anything that another line does.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.diary import earliest_due
from actors.subscribers.place import (
    ABROAD,
    AT_AIRPORT_S,
    IN_FLIGHT,
    diary_spot,
    flight_spot,
    local_quarter,
    may_move,
    serving_cell,
    switch_ms,
)
from actors.subscribers.state import (
    LIFE_HERE,
    LIFE_MASK,
    LIFE_RESERVED,
    LONG_AGO_S,
    N_NEED_SLOTS,
    NEVER_S,
    TOPUP_OPEN,
)
from actors.subscribers.wants import FREE, bear_need, find_need, meet_need, organic_s
from sim.core.kernel import hot, kernel
from sim.core.quantiles import above, category, count, quantile
from sim.core.rng import below, draw, draw_cause, mix64, stream

S_COUNT = stream("number of events in an epoch")
S_EVENT = stream("one event")
S_RECHARGE = stream("sum of a top-up")
S_SHOP = stream("want to buy in a mall")

NEED_DATA, NEED_ROAMING, NEED_SHOPPING, NEED_MONEY, NEED_LOYALTY, NEED_DEVICE = 0, 1, 2, 3, 4, 5
EXTRAS = 16
"""Planned acts of one line in one tick, at most."""
KIND_VOICE, KIND_SMS, KIND_DATA, KIND_LOCATION, KIND_VISIT = 0, 1, 2, 3, 4


@hot
def put(out, n, sub, ts_ms, kind, code, ref, units, cell):
    """Write one row of `Activity` and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.kind[n] = kind
    out.code[n] = code
    out.ref[n] = ref
    out.units[n] = units
    out.cell[n] = cell
    return n + 1


@kernel
def recharge_sum(s, p, t, seed, i, sub, at_s):
    """Return the sum, minor units, of a top-up: some days of this line's spending, rounded."""
    a, _, _, _ = draw_cause(seed, S_RECHARGE, sub, np.uint32(0), at_s, 0)
    typical = np.int64(t.recharge_minor[p.tariff[i], s.activity[i]])
    sum_minor = typical * np.int64(quantile(t.recharge_spread_q, a)) // 1024
    step = np.int64(t.recharge_step_minor)
    return max((sum_minor + step // 2) // step, 1) * step


@kernel
def act_recharge(s, p, t, seed, i, sub, at_s, x, nx, c):
    """Begin a planned top-up, or complete one that was begun; return the next free extra."""
    if s.life[i] & TOPUP_OPEN:
        nx = put(
            x,
            nx,
            sub,
            at_s * 1000,
            m.RECHARGE,
            0,
            0,
            recharge_sum(s, p, t, seed, i, sub, at_s - 45),
            -1,
        )
        s.life[i] &= ~np.uint8(TOPUP_OPEN)
        s.recharge_s[i] = NEVER_S
    else:
        nx = put(
            x,
            nx,
            sub,
            at_s * 1000,
            m.RECHARGE_START,
            0,
            0,
            recharge_sum(s, p, t, seed, i, sub, at_s),
            -1,
        )
        s.life[i] |= TOPUP_OPEN
        s.recharge_s[i] = at_s + 45
    return nx


@kernel
def act_organic(s, t, seed, i, sub, start_s, end_s, x, nx, c):
    """Buy what people buy without any contact in this tick; return the next free extra."""
    for k in range(N_NEED_SLOTS):
        kind = s.need_kind[i, k]
        if kind == FREE:
            continue
        at = organic_s(t, seed, sub, kind, s.need_born_s[i, k])
        if start_s <= at < end_s:
            s.need_kind[i, k] = FREE
            s.need_born_s[i, k] = LONG_AGO_S
            c.organic_purchases[kind] += 1
            if t.organic_price_minor[kind] > 0:
                nx = put(
                    x,
                    nx,
                    sub,
                    at * 1000,
                    m.PURCHASE,
                    m.ORGANIC,
                    kind,
                    t.organic_price_minor[kind],
                    -1,
                )
    return nx


@kernel
def act_planned(s, p, t, seed, i, sub, start_s, end_s, x, nx, c):
    """Carry out everything of a line that is due in this tick; return the next free extra."""
    if s.life[i] & LIFE_MASK == LIFE_HERE:
        while s.recharge_s[i] < end_s and nx < EXTRAS - 4:
            nx = act_recharge(
                s, p, t, seed, i, sub, max(np.int64(s.recharge_s[i]), start_s), x, nx, c
            )
        nx = act_organic(s, t, seed, i, sub, start_s, end_s, x, nx, c)
        if start_s <= s.travel_s[i] < end_s:
            bear_need(s, t, seed, i, sub, NEED_ROAMING, np.int64(s.travel_s[i]), c)
            fence = t.hex_airport[s.home[i]]
            c.fence_enters[fence] += 1
            if AT_AIRPORT_S >= t.dwell_s[fence]:
                c.fence_dwells[fence] += 1
    s.due_s[i] = earliest_due(s, t, seed, i, sub, end_s)
    return nx


@kernel
def act_answer(s, i, due, d, x, nx, sub, t, c):
    """Give one due answer, if what it answers is still wanted; return the next free extra."""
    case = due.use_case[d]
    action = due.action[d]
    ts_ms = due.ts_ms[d]
    c.exposures_ended[0] += 1
    if s.life[i] & LIFE_MASK != LIFE_HERE:
        return nx
    if action == m.OPT_OUT:
        c.opted_out[case] += 1
        return put(x, nx, sub, ts_ms, m.RESPONSE, m.OPT_OUT, case, 0, -1)
    born = due.need_born_s[d]
    kind = t.case_need[case]
    if born != LONG_AGO_S:
        slot = find_need(s, t, i, kind, ts_ms // 1000)
        if slot < 0 or s.need_born_s[i, slot] != born:
            return nx
        meet_need(s, i, kind)
    c.accepted[case] += 1
    nx = put(x, nx, sub, ts_ms, m.RESPONSE, m.ACCEPT, case, 0, -1)
    if t.case_buys[case]:
        nx = put(x, nx, sub, ts_ms, m.PURCHASE, m.OFFERED, case, t.case_price_minor[case], -1)
    return nx


@kernel
def enter_place(s, t, q, seed, i, sub, epoch, quarter, before, now, at_ms, x, nx, c):
    """Tally a change of place, wake the want to shop, and let the network see the phone move."""
    if before >= t.n_hex:
        c.fence_exits[before - t.n_hex] += 1
    if now >= t.n_hex:
        fence = now - t.n_hex
        c.fence_enters[fence] += 1
        left = (np.int64(s.trip_to[i]) - quarter) * 900_000 - (at_ms - epoch * 900_000)
        if left >= t.dwell_s[fence] * 1000:
            c.fence_dwells[fence] += 1
        a, b, _, _ = draw(seed, S_SHOP, sub, epoch, 0)
        if t.fence_kind[fence] == 0 and a < t.shop_need:
            bear_need(s, t, seed, i, sub, NEED_SHOPPING, at_ms // 1000 + below(b, 1200), c)
    key = np.uint32(mix64(np.uint64(sub) ^ np.uint64(at_ms)) >> np.uint64(32))
    cell = serving_cell(t, q, sub, now, key)
    if cell >= 0 and nx < EXTRAS - 2:
        nx = put(x, nx, sub, at_ms, m.LOCATION, m.UPDATE, 0, 0, cell)
    return nx


@hot
def use_voice(t, load, cell, abroad, w1, w2):
    """Return (rating group, seconds) of a call."""
    low = w1 & np.uint32(0xFFFF)
    seconds = (
        np.int64(0)
        if (w1 >> np.uint32(8)) % np.uint32(1024) < t.missed
        else np.int64(quantile(t.call_s, w2))
    )
    if abroad:
        return m.ROAM_VOICE, seconds
    if low < 36_000:
        return m.VOICE_ONNET, seconds
    if low < 64_800:
        return m.VOICE_OFFNET, seconds
    return m.VOICE_INTL, seconds


@hot
def use_data(t, volume, abroad, w1, w2):
    """Return (rating group, bytes) of a data session slice, metered in whole kilobytes."""
    share = t.data_group
    group = above(share[0], share[1], share[2], np.uint32(w1 << np.uint32(16)))
    scale = np.int64(t.volume_q[volume])
    kb = np.int64(quantile(t.slice_kb, w2)) * scale // 1024 * np.int64(t.group_q[group]) // 1024
    if abroad:
        return m.ROAM_DATA, max(kb // 6, 1) * 1000
    return m.DATA_GENERAL + group, max(kb, 1) * 1000


@hot
def emit_event(s, t, q, i, sub, spot, ts_ms, kinds, w1, w2, w3, out, n, load, c):
    """Write the row of one event at a spot and return the next free row."""
    kind = above(kinds[0], kinds[1], kinds[2], w1) + np.int64(w1 > kinds[3])
    abroad = spot == ABROAD
    cell = np.int64(-1)
    if abroad:
        if kind == KIND_LOCATION or kind == KIND_VISIT or (w3 & np.uint32(3)) != 0:
            return n
    else:
        cell = serving_cell(t, q, sub, spot, w3)
    if kind == KIND_LOCATION:
        if cell < 0:
            return n
        code = m.HANDOVER if (w2 >> np.uint32(31)) else m.UPDATE
        c.events[m.LOCATION] += 1
        return put(out, n, sub, ts_ms, m.LOCATION, code, 0, 0, cell)
    if kind == KIND_VISIT:
        if cell < 0:
            return n
        c.events[m.VISIT] += 1
        ref = category(t.visit_kind, w2)
        return put(out, n, sub, ts_ms, m.VISIT, 0, ref, 0, cell)
    if kind == KIND_VOICE:
        group, units = use_voice(t, load, cell, abroad, w1, w2)
    elif kind == KIND_SMS:
        group, units = (m.ROAM_SMS if abroad else m.SMS), np.int64(1)
    else:
        group, units = use_data(t, s.volume[i], abroad, w1, w2)
    if not abroad:
        refused = cell < 0
        if not refused:
            load[cell, 2] += 1
            if kind == KIND_DATA:
                served = np.int64(q.throughput_q[cell])
                if served < 65_535:
                    refused = served < 30_000 and (w3 >> np.uint32(8)) % np.uint32(8) == 0
                    units = max(units // 1000 * served // 65_535, 1) * 1000
            elif kind == KIND_VOICE:
                refused = (w3 >> np.uint32(16)) < np.uint32(q.voice_block_q[cell])
        if refused:
            c.blocked[group] += 1
            c.events[m.BLOCKED] += 1
            if cell >= 0:
                load[cell, 3] += 1
            lost = np.int64(t.blocked_cost_q)
            s.satisfaction_q[i] = max(np.int64(s.satisfaction_q[i]) - lost, 0)
            return put(out, n, sub, ts_ms, m.BLOCKED, group, 0, units, cell)
        if kind == KIND_DATA:
            load[cell, 0] += units
        elif kind == KIND_VOICE:
            load[cell, 1] += units
    c.events[m.USAGE] += 1
    c.asked_units[group] += units
    return put(out, n, sub, ts_ms, m.USAGE, group, 0, units, cell)


@hot
def copy_extra(x, k, out, n, c):
    """Copy planned act `k` into the output and return the next free row."""
    c.events[x.kind[k]] += 1
    return put(out, n, x.sub[k], x.ts_ms[k], x.kind[k], x.code[k], x.ref[k], x.units[k], x.cell[k])


@kernel
def sort_extras(x, nx):
    """Sort the planned acts of one line by time; equal times keep their order."""
    for a in range(1, nx):
        b = a
        while b > 0 and x.ts_ms[b - 1] > x.ts_ms[b]:
            x.ts_ms[b - 1], x.ts_ms[b] = x.ts_ms[b], x.ts_ms[b - 1]
            x.kind[b - 1], x.kind[b] = x.kind[b], x.kind[b - 1]
            x.code[b - 1], x.code[b] = x.code[b], x.code[b - 1]
            x.ref[b - 1], x.ref[b] = x.ref[b], x.ref[b - 1]
            x.units[b - 1], x.units[b] = x.units[b], x.units[b - 1]
            x.cell[b - 1], x.cell[b] = x.cell[b], x.cell[b - 1]
            b -= 1


@hot
def draw_epoch(t, seed, s, i, sub, epoch, row, start_ms, end_ms, w):
    """Draw and sort the events of one line in one epoch that fall into the tick.

    Parameters
    ----------
    w : (words, 4) int64 scratch: moment, and three words of the event

    Returns
    -------
    n : number of events written to `w`
    """
    a, _, _, _ = draw(seed, S_COUNT, sub, epoch, 0)
    total = count(t.counts, row, a)
    n = 0
    base = epoch * 900_000
    for k in range(total):
        e0, e1, e2, e3 = draw(seed, S_EVENT, sub, epoch, k)
        ts = base + below(e0, 900_000)
        if ts < start_ms or ts >= end_ms:
            continue
        j = n
        while j > 0 and w[j - 1, 0] > ts:
            w[j, 0] = w[j - 1, 0]
            w[j, 1] = w[j - 1, 1]
            w[j, 2] = w[j - 1, 2]
            w[j, 3] = w[j - 1, 3]
            j -= 1
        w[j, 0] = ts
        w[j, 1] = np.int64(e1)
        w[j, 2] = np.int64(e2)
        w[j, 3] = np.int64(e3)
        n += 1
    return n


@hot
def live_epoch(
    s, p, t, q, seed, i, sub, epoch, start_ms, end_ms, weekday, w, x, nx, kx, out, n, load, c
):
    """Live one epoch of one line: place, movement, events and the planned acts among them.

    Returns
    -------
    n, nx, kx : next free row, planned acts, planned acts already written
    """
    region = p.region[i]
    quarter = local_quarter(t, region, epoch)
    machine = 1 if s.activity[i] == t.machine_class else 0
    row = np.int64(t.level[s.activity[i], weekday, quarter])
    events = draw_epoch(t, seed, s, i, sub, epoch, row, start_ms, end_ms, w)
    moves = may_move(s, i, quarter)
    if events == 0 and not moves:
        return n, nx, kx
    now = diary_spot(s, t, i, quarter)
    before = diary_spot(s, t, i, quarter - 1) if moves else now
    flying = s.travel_s[i] != NEVER_S
    change_ms = np.int64(-1)
    if before != now and not flying:
        change_ms = epoch * 900_000 + switch_ms(seed, sub, epoch)
        if start_ms <= change_ms < end_ms:
            nx = enter_place(
                s, t, q, seed, i, sub, epoch, quarter, before, now, change_ms, x, nx, c
            )
            sort_extras(x, nx)
    kinds = t.kinds[machine, 1 if weekday >= 5 else 0, quarter // 4]
    if events > 0:
        c.active_lines[quarter // 4] += 1
    for k in range(events):
        ts = w[k, 0]
        while kx < nx and x.ts_ms[kx] <= ts:
            n = copy_extra(x, kx, out, n, c)
            kx += 1
        spot = before if ts < change_ms else now
        if flying:
            place = flight_spot(s, t, i, sub, seed, ts // 1000)
            if place == IN_FLIGHT:
                continue
            if place != -3:
                spot = place
        n = emit_event(
            s,
            t,
            q,
            i,
            sub,
            spot,
            ts,
            kinds,
            np.uint32(w[k, 1]),
            np.uint32(w[k, 2]),
            np.uint32(w[k, 3]),
            out,
            n,
            load,
            c,
        )
    return n, nx, kx


@kernel
def join_or_wake(s, t, i, sub, start_s, end_s, x, nx):
    """Let a reserved line join when its moment has come; return the next free extra."""
    if start_s <= s.silent_s[i] < end_s:
        s.life[i] = LIFE_HERE
        cell = t.spot_cells[s.home[i], 0]
        nx = put(x, nx, sub, np.int64(s.silent_s[i]) * 1000, m.LOCATION, m.ATTACH, 0, 0, cell)
    return nx


@kernel
def generate(
    s,
    p,
    t,
    q,
    due,
    due_n,
    due_at,
    seed,
    lo,
    first,
    start_ms,
    end_ms,
    weekdays,
    w,
    x,
    out,
    capacity,
    load,
    c,
):
    """Write the rows of as many lines as fit, in canonical order.

    Parameters
    ----------
    s, p : state (mutated) and profile of the partition
    t : tables, `SubscriberTables`
    q : cell quality of the previous tick
    due : answers due in this tick, sorted by (sub, ts_ms); `due_n` of them, from `due_at` on
    lo : global id of the partition's first line
    first : local row of the first line to treat
    weekdays : (n_regions, n_epochs) uint8, local day of the week of each epoch of the tick
    w, x : scratch: words of an epoch, planned acts of a line
    out : `Activity` columns with room for `capacity` rows, written
    load : (n_cells, 4) int64, mutated: bytes, voice s, attempts, blocked

    Returns
    -------
    last, n, due_at : local row after the last line treated, rows written, answers consumed
    """
    n = 0
    n_lines = s.home.shape[0]
    epoch_0 = start_ms // 900_000
    epoch_1 = (end_ms - 1) // 900_000
    start_s = start_ms // 1000
    end_s = end_ms // 1000
    room = (epoch_1 - epoch_0 + 1) * (t.counts.shape[1] + 2) + EXTRAS
    i = first
    while i < n_lines and n + room <= capacity:
        sub = lo + i
        nx = 0
        kx = 0
        if s.due_s[i] < end_s:
            nx = act_planned(s, p, t, seed, i, sub, start_s, end_s, x, nx, c)
        while due_at < due_n and due.sub[due_at] == sub:
            if nx < EXTRAS - 3:
                nx = act_answer(s, i, due, due_at, x, nx, sub, t, c)
            due_at += 1
        life = s.life[i] & LIFE_MASK
        if life == LIFE_RESERVED:
            nx = join_or_wake(s, t, i, sub, start_s, end_s, x, nx)
        if nx > 1:
            sort_extras(x, nx)
        if life == LIFE_HERE and s.silent_s[i] < end_s:
            for epoch in range(epoch_0, epoch_1 + 1):
                from_ms = max(start_ms, np.int64(s.silent_s[i]) * 1000)
                if (epoch + 1) * 900_000 <= from_ms:
                    continue
                n, nx, kx = live_epoch(
                    s,
                    p,
                    t,
                    q,
                    seed,
                    i,
                    sub,
                    epoch,
                    from_ms,
                    end_ms,
                    weekdays[p.region[i], epoch - epoch_0],
                    w,
                    x,
                    nx,
                    kx,
                    out,
                    n,
                    load,
                    c,
                )
        while kx < nx:
            n = copy_extra(x, kx, out, n, c)
            kx += 1
        i += 1
    return i, n, due_at
