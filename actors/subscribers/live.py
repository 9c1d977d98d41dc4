"""What people do in a tick: chunks of lines, each counted, lived line by line, and then written.

It owns the generation of `Activity` rows in canonical order: movement and use, with planned acts
among them.  It must not rate, decide or look at anything that another line does.
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
from actors.subscribers.chunk import CHUNK, count_events, draw_events, sort_events
from actors.subscribers.place import (
    ABROAD,
    IN_FLIGHT,
    diary_spot,
    flight_spot,
    may_move,
    serving_cell,
    switch_ms,
)
from actors.subscribers.state import EVENT_KINDS, LIFE_HERE, LIFE_MASK, LIFE_RESERVED, NEVER_S
from actors.subscribers.usage import (
    DATA,
    LOCATION,
    SMS,
    VISIT,
    VOICE,
    close_gaps,
    put_calls,
    put_data,
    put_locations,
    put_texts,
    put_visits,
    serve,
)
from actors.subscribers.wants import BY_MALL, BY_OWN_SHOP, wake
from sim.core.kernel import hot, kernel
from sim.core.quantiles import above
from sim.core.rng import below, draw, mix64, stream

S_SHOP = stream("delay of the want to buy in a mall")
N_KINDS = len(EVENT_KINDS)


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
        if t.fence_kind[fence] == 0:
            b, _, _, _ = draw(seed, S_SHOP, sub, epoch, 0)
            wake(s, t, seed, i, sub, BY_MALL, at_ms // 1000 + below(b, 1200), c)
        if t.fence_own_shop[fence]:
            wake(s, t, seed, i, sub, BY_OWN_SHOP, at_ms // 1000, c)
    key = np.uint32(mix64(np.uint64(sub) ^ np.uint64(at_ms)) >> np.uint64(32))
    cell = serving_cell(t, q, sub, now, key)
    if cell >= 0 and nx < EXTRAS - 2:
        nx = put(x, nx, sub, at_ms, m.LOCATION, m.UPDATE, 0, 0, cell)
    return nx


@hot
def kind_of_event(t, machine, weekend, quarter, word):
    """Return the kind of an event, by who, when and a draw."""
    kinds = t.kinds[machine, weekend, quarter >> 2]
    return above(kinds[0], kinds[1], kinds[2], word) + np.int64(word > kinds[3])


@hot
def put_event(d, v, at, sub, spot, kind, out, n, n_events, lanes):
    """Give an event its row, and its place in the lane of its kind."""
    out.sub[n] = sub
    out.ts_ms[n] = d.ts_ms[at]
    v.row[n_events] = n
    v.spot[n_events] = spot
    v.at[n_events] = at
    v.lane[lanes[kind], kind] = n_events
    lanes[kind] += 1


@hot
def live_quietly(
    s, p, t, lo, epoch_0, quarters, weekdays, d, first, last, v, out, n, n_events, lanes
):
    """Give rows to the events of lines that are not busy: they are where their diary says.

    Returns
    -------
    n, n_events : next free row and event
    """
    for x in range(first, last):
        at = d.order[x]
        sub = np.int64(d.sub[at])
        i = sub - lo
        e = np.int64(d.epoch[at]) - epoch_0
        region = p.region[i]
        quarter = np.int64(quarters[region, e])
        machine = np.int64(s.activity[i] == t.machine_class)
        weekend = np.int64(weekdays[region, e] >= 5)
        kind = kind_of_event(t, machine, weekend, quarter, d.w1[at])
        put_event(d, v, at, sub, diary_spot(s, t, i, quarter), kind, out, n, n_events, lanes)
        n += 1
        n_events += 1
    return n, n_events


@hot
def live_epoch(
    s, t, q, seed, i, sub, epoch, quarter, weekend, start_ms, end_ms, first, last,
    d, v, x, nx, kx, out, n, n_events, lanes, c,
):  # fmt: skip
    """Live one epoch of a busy line: place, movement, and rows for events and planned acts.

    Returns
    -------
    n, n_events, nx, kx : next free row and event, planned acts, planned acts already written
    """
    while first < last and d.ts_ms[d.order[first]] < start_ms:
        first += 1
    while first < last and d.ts_ms[d.order[last - 1]] >= end_ms:
        last -= 1
    moves = may_move(s, i, quarter)
    if first == last and not moves:
        return n, n_events, nx, kx
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
    machine = 1 if s.activity[i] == t.machine_class else 0
    if first < last:
        c.active_lines[quarter >> 2] += 1
    for y in range(first, last):
        at = d.order[y]
        ts = d.ts_ms[at]
        while kx < nx and x.ts_ms[kx] <= ts:
            n = copy_extra(x, kx, out, n, c)
            kx += 1
        spot = before if ts < change_ms else now
        kind = kind_of_event(t, machine, weekend, quarter, d.w1[at])
        if flying:
            place = flight_spot(s, t, i, sub, seed, ts // 1000)
            if place == IN_FLIGHT:
                continue
            if place != -3:
                spot = place
            if spot == ABROAD and (kind >= LOCATION or (d.w3[at] & np.uint32(3)) != 0):
                continue
        put_event(d, v, at, sub, spot, kind, out, n, n_events, lanes)
        n_events += 1
        n += 1
    return n, n_events, nx, kx


@kernel
def live_busily(
    s, p, t, q, due, due_n, due_at, seed, lo, first, j, epoch_0, n_epochs, quarters, weekdays,
    start_ms, end_ms, lines, d, v, x, out, n, n_events, lanes, c,
):  # fmt: skip
    """Live the tick of a busy line of a chunk, planned acts and answers among its events.

    Returns
    -------
    n, n_events, due_at : next free row and event, answers consumed
    """
    start_s = start_ms // 1000
    end_s = end_ms // 1000
    i = first + j
    sub = lo + i
    nx = 0
    kx = 0
    if s.due_s[i] < end_s:
        nx = act_planned(s, p, t, seed, i, sub, start_s, end_s, x, nx, c)
    while due_at < due_n and due.sub[due_at] == sub:
        if nx < EXTRAS - 3:
            nx = act_answer(s, p, seed, i, due, due_at, x, nx, sub, t, c)
        due_at += 1
    life = s.life[i] & LIFE_MASK
    if life == LIFE_RESERVED:
        nx = join_or_wake(s, t, i, sub, start_s, end_s, x, nx)
    if nx > 1:
        sort_extras(x, nx)
    if life == LIFE_HERE and s.silent_s[i] < end_s:
        from_ms = max(start_ms, np.int64(s.silent_s[i]) * 1000)
        region = p.region[i]
        for e in range(n_epochs):
            epoch = epoch_0 + e
            if (epoch + 1) * 900_000 <= from_ms:
                continue
            at = j * n_epochs + e
            weekend = 1 if weekdays[region, e] >= 5 else 0
            n, n_events, nx, kx = live_epoch(
                s, t, q, seed, i, sub, epoch, np.int64(quarters[region, e]), weekend, from_ms,
                end_ms, lines.first[at], lines.first[at + 1], d, v, x, nx, kx, out, n, n_events,
                lanes, c,
            )  # fmt: skip
    while kx < nx:
        n = copy_extra(x, kx, out, n, c)
        kx += 1
    return n, n_events, due_at


@kernel
def live_lines(
    s, p, t, q, due, due_n, due_at, seed, lo, first, size, n_busy, epoch_0, n_epochs, quarters,
    weekdays, start_ms, end_ms, lines, d, v, x, out, n, lanes, c,
):  # fmt: skip
    """Live the lines of a chunk in their order; rows of events get their line and moment only.

    Returns
    -------
    n, n_events, due_at : next free row, events that happen, answers consumed
    """
    n_events = 0
    done = 0
    for a in range(n_busy + 1):
        j = np.int64(lines.busy[a]) if a < n_busy else size
        n, n_events = live_quietly(
            s, p, t, lo, epoch_0, quarters, weekdays, d, lines.first[done * n_epochs],
            lines.first[j * n_epochs], v, out, n, n_events, lanes,
        )  # fmt: skip
        if a < n_busy:
            n, n_events, due_at = live_busily(
                s, p, t, q, due, due_n, due_at, seed, lo, first, j, epoch_0, n_epochs, quarters,
                weekdays, start_ms, end_ms, lines, d, v, x, out, n, n_events, lanes, c,
            )  # fmt: skip
        done = j + 1
    return n, n_events, due_at


@kernel
def mark_answers(due, due_n, due_at, first_sub, size, lines):
    """Mark the lines of a chunk that have an answer due."""
    for j in range(size):
        lines.wake[j] = 0
    k = due_at
    while k < due_n and due.sub[k] < first_sub + size:
        lines.wake[due.sub[k] - first_sub] = 1
        k += 1


@kernel
def generate(
    s, p, t, q, due, due_n, due_at, seed, lo, first, start_ms, end_ms, quarters, weekdays,
    lines, d, v, x, lanes, out, capacity, load, c,
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
    quarters, weekdays : (n_regions, n_epochs) uint8, local quarter of the day and day of the week
        of each epoch of the tick
    lines, d, v, x : scratch: lines, draws and events of a chunk; planned acts of a line
    lanes : (5,) int64 scratch, events of each kind
    out : `Activity` columns with room for `capacity` rows, written
    load : (n_cells, 4) int64, mutated: bytes, voice s, attempts, blocked

    Returns
    -------
    last, n, due_at : local row after the last line treated, rows written, answers consumed
    """
    n = 0
    n_lines = s.home.shape[0]
    epoch_0 = start_ms // 900_000
    n_epochs = (end_ms - 1) // 900_000 - epoch_0 + 1
    line_room = n_epochs * t.counts.shape[1] + EXTRAS
    chunk = max(min(CHUNK // n_epochs, capacity // line_room), 1)
    room = chunk * line_room
    i = first
    while i < n_lines and n + room <= capacity:
        size = min(chunk, n_lines - i)
        mark_answers(due, due_n, due_at, lo + i, size, lines)
        n_busy, n_two, n_many = count_events(
            s, p, t, seed, lo, i, size, epoch_0, n_epochs, quarters, weekdays, start_ms, end_ms,
            lines, d, c,
        )  # fmt: skip
        draw_events(seed, d, lines.first[size * n_epochs])
        sort_events(d, lines, lines.first[size * n_epochs], n_two, n_many)
        for kind in range(N_KINDS):
            lanes[kind] = 0
        begun = n
        n, n_events, due_at = live_lines(
            s, p, t, q, due, due_n, due_at, seed, lo, i, size, n_busy, epoch_0, n_epochs, quarters,
            weekdays, start_ms, end_ms, lines, d, v, x, out, n, lanes, c,
        )  # fmt: skip
        serve(t, q, d, v, n_events, out)
        put_calls(s, t, q, seed, lo, d, v, lanes[VOICE], out, load, c)
        put_texts(s, t, seed, lo, v, lanes[SMS], out, load, c)
        put_data(s, t, q, seed, lo, d, v, lanes[DATA], out, load, c)
        gone = put_locations(d, v, lanes[LOCATION], out, c)
        gone += put_visits(s, t, seed, lo, d, v, lanes[VISIT], out, c)
        if gone > 0:
            n = close_gaps(out, begun, n)
        i += size
    return i, n, due_at
