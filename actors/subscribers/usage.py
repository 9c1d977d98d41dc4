"""What people do in a tick: one compiled loop over lines, window by window.

It owns the generation of `Activity` rows: movement and use, with planned acts among them.  It
must not rate, decide or look at anything that another line does.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.acts import (
    EXTRAS,
    act_answer,
    act_planned,
    copy_extra,
    join_or_wake,
    put,
    sort_extras,
)
from actors.subscribers.place import (
    ABROAD,
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
    NEVER_S,
)
from actors.subscribers.wants import bear_need
from sim.core.kernel import hot, kernel
from sim.core.quantiles import above, category, count, quantile
from sim.core.rng import below, draw, mix64, stream

S_COUNT = stream("number of events in an epoch")
S_EVENT = stream("one event")
S_SHOP = stream("want to buy in a mall")

NEED_SHOPPING = 2
KIND_VOICE, KIND_SMS, KIND_DATA, KIND_LOCATION, KIND_VISIT = 0, 1, 2, 3, 4


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
            s, t, q, i, sub, spot, ts, kinds, np.uint32(w[k, 1]), np.uint32(w[k, 2]),
            np.uint32(w[k, 3]), out, n, load, c,
        )  # fmt: skip
    return n, nx, kx


@kernel
def generate(
    s, p, t, q, due, due_n, due_at, seed, lo, first, start_ms, end_ms, weekdays, w, x, out,
    capacity, load, c,
):  # fmt: skip
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
                    s, p, t, q, seed, i, sub, epoch, from_ms, end_ms,
                    weekdays[p.region[i], epoch - epoch_0], w, x, nx, kx, out, n, load, c,
                )  # fmt: skip
        while kx < nx:
            n = copy_extra(x, kx, out, n, c)
            kx += 1
        i += 1
    return i, n, due_at
