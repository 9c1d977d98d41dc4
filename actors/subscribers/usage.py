"""What people use: the rows of the events of a chunk, one compiled loop for each kind.

Which kind an event is cannot be guessed by a processor, and a wrong guess costs more than the
row; so events are sorted into lanes of one kind each, and every lane is a loop of few branches.
It owns where an event is served, what it uses and whether the network refuses it.  It must not
rate, decide or look at anything that another line does.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.acts import put
from actors.subscribers.place import ABROAD, serving_cell
from actors.subscribers.wants import BY_CART, BY_CATEGORY, BY_REFUSED, BY_RIVAL, BY_SLOW, wake
from sim.core.kernel import hot, kernel
from sim.core.quantiles import above, quantile

VOICE, SMS, DATA, LOCATION, VISIT = 0, 1, 2, 3, 4
"""Kinds of events, in the order of the lanes of a chunk."""
DEEP_PAGES = 10
"""Pages from which a visit means something to the visitor (assumption)."""
GONE = 255
"""Kind of a row that no network saw; it is taken out."""


@kernel
def serve(t, q, d, v, n, out):
    """Choose the cell of every event of a chunk; -1 abroad or where every candidate is down."""
    for x in range(n):
        row = v.row[x]
        spot = np.int64(v.spot[x])
        cell = np.int64(-1)
        if spot != ABROAD:
            cell = serving_cell(t, q, np.int64(out.sub[row]), spot, d.w3[v.at[x]])
        out.cell[row] = cell


@kernel
def row_wakes(s, t, seed, i, out, row, cause, c):
    """Let a row of use wake a need."""
    wake(s, t, seed, i, np.int64(out.sub[row]), cause, out.ts_ms[row] // 1000, c)


@hot
def put_use(s, t, seed, i, out, row, group, units, refused, load, c):
    """Write the row of a use, granted or refused by the network; abroad nothing is loaded."""
    out.code[row] = group
    out.ref[row] = 0
    out.units[row] = units
    if refused:
        out.kind[row] = m.BLOCKED
        c.blocked[group] += 1
        c.events[m.BLOCKED] += 1
        cell = out.cell[row]
        if cell >= 0:
            load[cell, 3] += 1
        lost = np.int64(t.blocked_cost_q)
        s.satisfaction_q[i] = max(np.int64(s.satisfaction_q[i]) - lost, 0)
        row_wakes(s, t, seed, i, out, row, BY_REFUSED, c)
        return
    out.kind[row] = m.USAGE
    c.events[m.USAGE] += 1
    c.asked_units[group] += units


@hot
def is_poor(t, seed, sub, epoch):
    """Return whether the radio of a line is poor in the hour of an epoch: a cheap keyed hash."""
    key = np.uint32(sub) * np.uint32(0x9E3779B1) + np.uint32(epoch >> 2) * np.uint32(0x85EBCA6B)
    key = np.uint32(key + np.uint32(seed & np.uint64(0xFFFFFFFF)))
    key = np.uint32(np.uint32(key ^ (key >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    return np.uint32(key ^ (key >> np.uint32(13))) < t.poor


@kernel
def put_calls(s, t, q, seed, lo, d, v, n, out, load, c):
    """Write the rows of calls: whom, how long (0 s unanswered), and whether a channel was free."""
    for y in range(n):
        x = v.lane[y, VOICE]
        row, w1, w2, w3 = v.row[x], d.w1[v.at[x]], d.w2[v.at[x]], d.w3[v.at[x]]
        low = w1 & np.uint32(0xFFFF)
        missed = (w1 >> np.uint32(8)) % np.uint32(1024) < t.missed
        seconds = np.int64(0) if missed else np.int64(quantile(t.call_s, w2))
        group = m.VOICE_ONNET + np.int64(low >= 36_000) + np.int64(low >= 64_800)
        refused = False
        if v.spot[x] == ABROAD:
            group = np.int64(m.ROAM_VOICE)
        else:
            cell = out.cell[row]
            refused = cell < 0
            if not refused:
                load[cell, 2] += 1
                at = v.at[x]
                refused = is_poor(t, seed, d.sub[at], d.epoch[at]) or (
                    w3 >> np.uint32(16)
                ) < np.uint32(q.voice_block_q[cell])
                if not refused:
                    load[cell, 1] += seconds
        i = np.int64(out.sub[row]) - lo
        put_use(s, t, seed, i, out, row, group, seconds, refused, load, c)


@kernel
def put_texts(s, t, seed, lo, v, n, out, load, c):
    """Write the rows of texts."""
    for y in range(n):
        x = v.lane[y, SMS]
        row = v.row[x]
        group, refused = np.int64(m.SMS), False
        if v.spot[x] == ABROAD:
            group = np.int64(m.ROAM_SMS)
        else:
            cell = out.cell[row]
            refused = cell < 0
            if not refused:
                load[cell, 2] += 1
        i = np.int64(out.sub[row]) - lo
        put_use(s, t, seed, i, out, row, group, np.int64(1), refused, load, c)


@kernel
def put_data(s, t, q, seed, lo, d, v, n, out, load, c):
    """Write the rows of slices of data sessions, in whole kilobytes; a full cell serves less."""
    share = t.data_group
    for y in range(n):
        x = v.lane[y, DATA]
        row, w1, w2, w3 = v.row[x], d.w1[v.at[x]], d.w2[v.at[x]], d.w3[v.at[x]]
        i = np.int64(out.sub[row]) - lo
        lane = above(share[0], share[1], share[2], np.uint32(w1 << np.uint32(16)))
        scale = np.int64(t.volume_q[s.volume[i]])
        kb = np.int64(quantile(t.slice_kb, w2)) * scale // 1024 * np.int64(t.group_q[lane]) // 1024
        group, refused, slow = m.DATA_GENERAL + lane, False, False
        if v.spot[x] == ABROAD:
            group, units = np.int64(m.ROAM_DATA), max(kb // 6, 1) * 1000
        else:
            units = max(kb, 1) * 1000
            cell = out.cell[row]
            refused = cell < 0
            if not refused:
                load[cell, 2] += 1
                served = np.int64(q.throughput_q[cell])
                if served < 65_535:
                    refused = served < 30_000 and (w3 >> np.uint32(8)) % np.uint32(8) == 0
                    units = max(units // 1000 * served // 65_535, 1) * 1000
                    slow = served < t.slow_q
                if is_poor(t, seed, d.sub[v.at[x]], d.epoch[v.at[x]]):
                    slow = True
                    refused = refused or (w3 >> np.uint32(8)) % np.uint32(4) == 0
                    units = max(units // 4000, 1) * 1000
                if not refused:
                    load[cell, 0] += units
        put_use(s, t, seed, i, out, row, group, units, refused, load, c)
        if slow and not refused:
            out.ref[row] = 1
            row_wakes(s, t, seed, i, out, row, BY_SLOW, c)


@kernel
def put_locations(d, v, n, out, c):
    """Write the rows of the phone's signalling; return how many no cell saw."""
    gone = 0
    for y in range(n):
        x = v.lane[y, LOCATION]
        row = v.row[x]
        lost = out.cell[row] < 0
        out.kind[row] = GONE if lost else m.LOCATION
        out.code[row] = m.HANDOVER if (d.w2[v.at[x]] >> np.uint32(31)) else m.UPDATE
        out.ref[row] = 0
        out.units[row] = 0
        gone += lost
    c.events[m.LOCATION] += n - gone
    return gone


@hot
def is_telling(ref, pages):
    """Return whether a visit means something to the visitor: a cart, or many pages of a kind."""
    return (ref >= m.VISIT_CART) & ((pages >= DEEP_PAGES) | (ref == m.VISIT_CART))


@kernel
def want_seen(s, t, seed, i, out, row, c):
    """Let what was seen in a telling visit wake a need."""
    cause = BY_CATEGORY
    if out.ref[row] == m.VISIT_CART:
        cause = BY_CART
    elif out.ref[row] == m.VISIT_RIVAL:
        cause = BY_RIVAL
    row_wakes(s, t, seed, i, out, row, cause, c)


@kernel
def put_visits(s, t, seed, lo, d, v, n, out, c):
    """Write the rows of visits to pages, apps and shops; return how many no cell served.

    Which kind of event it is comes from the upper bits of the first word; the pages of the visit
    come from the lower ones, which are free of it.
    """
    gone = 0
    levels = t.visit_kind
    for y in range(n):
        x = v.lane[y, VISIT]
        row = v.row[x]
        w2 = d.w2[v.at[x]]
        ref = np.int64(0)
        for k in range(levels.shape[0] - 1):
            ref += w2 > levels[k]
        lost = out.cell[row] < 0
        out.kind[row] = GONE if lost else m.VISIT
        out.code[row] = 0
        pages = np.int64(quantile(t.visit_pages, np.uint32(d.w1[v.at[x]] << np.uint32(16))))
        out.ref[row] = ref
        out.units[row] = pages
        gone += lost
        if is_telling(ref, pages) and not lost:
            want_seen(s, t, seed, np.int64(out.sub[row]) - lo, out, row, c)
    c.events[m.VISIT] += n - gone
    return gone


@kernel
def close_gaps(out, first, last):
    """Take rows that no network saw out of `first` to `last - 1`; return the new end."""
    n = first
    for k in range(first, last):
        if out.kind[k] == GONE:
            continue
        if n != k:
            put(out, n, out.sub[k], out.ts_ms[k], out.kind[k], out.code[k], out.ref[k],
                out.units[k], out.cell[k])  # fmt: skip
        n += 1
    return n
