"""Recorded rows in the place of drawn ones: what bound lines really did.

It owns the graft: drawn rows of recorded kinds are taken out of a slice, with everything that they
had counted, and recorded rows are put in; rows of a tape bring their own kind and are counted as
if they had been drawn.  All else of a bound line stays simulated.  It must not know where the
recorded rows come from.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.place import serving_cell, true_spot
from sim.core.kernel import hot, kernel
from sim.core.rng import mix64

VOICE, TEXT, DATA, TOPUP, PLACE = 0, 1, 2, 3, 4
"""Kinds of recorded rows, as in `Recorded.type`."""
INCOMING = 2
SILENT = np.uint32(0xFFFFFFFF)
"""Threshold of a count of events that no draw reaches (save one in 2**32, which is taken out)."""


def undrawn(tables):
    """Return the role's tables for lines that replay a tape: nothing is drawn only to be removed.

    What is planned, answered or due, and how people move, stays as it is.
    """
    return tables._replace(counts=np.full_like(tables.counts, SILENT))


@hot
def copy_row(out, n, rows, k):
    """Copy row `k` of any table with the columns of `Activity` to row `n`."""
    out.sub[n] = rows.sub[k]
    out.ts_ms[n] = rows.ts_ms[k]
    out.kind[n] = rows.kind[k]
    out.code[n] = rows.code[k]
    out.ref[n] = rows.ref[k]
    out.units[n] = rows.units[k]
    out.cell[n] = rows.cell[k]


@kernel
def kind_of(kind, code):
    """Return which recorded kind a drawn row stands for, or -1."""
    if kind == m.USAGE or kind == m.BLOCKED:
        if code == m.SMS or code == m.ROAM_SMS:
            return TEXT
        if code <= m.VOICE_INTL or code == m.ROAM_VOICE:
            return VOICE
        return DATA
    if kind == m.RECHARGE_START or kind == m.RECHARGE:
        return TOPUP
    if kind == m.LOCATION:
        return PLACE
    return -1


@kernel
def forget(out, k, load, c):
    """Take back everything that a drawn row had counted."""
    kind, code, cell, units = out.kind[k], out.code[k], out.cell[k], out.units[k]
    c.events[kind] -= 1
    if kind == m.USAGE:
        c.asked_units[code] -= units
    elif kind == m.BLOCKED:
        c.blocked[code] -= 1
    if cell >= 0 and (kind == m.USAGE or kind == m.BLOCKED):
        load[cell, 2] -= 1
        if kind == m.BLOCKED:
            load[cell, 3] -= 1
        elif code >= m.DATA_GENERAL and code <= m.DATA_MESSAGING:
            load[cell, 0] -= units
        elif code <= m.VOICE_INTL:
            load[cell, 1] -= units


@kernel
def thin(out, n, bound, mask, lo, load, c):
    """Remove the drawn rows of recorded kinds of bound lines; return the rows that are left.

    Parameters
    ----------
    bound : (n_lines,) bool, lines that a recorded subscriber is bound to
    mask : bits of the recorded kinds
    """
    kept = 0
    for k in range(n):
        which = kind_of(out.kind[k], out.code[k]) if bound[out.sub[k] - lo] else -1
        if which >= 0 and (mask >> which) & 1:
            forget(out, k, load, c)
            continue
        if kept != k:
            copy_row(out, kept, out, k)
        kept += 1
    return kept


@hot
def reaction(kind):
    """Return whether a row is an answer or a purchase, which no tape holds."""
    return (kind == m.PURCHASE) | (kind == m.RESPONSE)


@kernel
def thin_all(out, n, load, c):
    """Remove every row of the kinds that a tape holds; return the rows that are left."""
    kept = 0
    for k in range(n):
        if reaction(out.kind[k]):
            copy_row(out, kept, out, k)
            kept += 1
        else:
            forget(out, k, load, c)
    return kept


@kernel
def count_tape(
    s, p, t, lo, first_sub, last_sub, start_ms, end_ms, quarters, r, first, last, load, c
):
    """Count the rows `first` to `last - 1` of a tape as if they had been drawn in this tick.

    Parameters
    ----------
    first_sub, last_sub : lines of the slice, half-open
    start_ms, end_ms, quarters : of the tick
    r : `Replayed` columns of this partition, sorted by (sub, ts_ms)

    Returns
    -------
    wrong : first row that cannot be: its line, moment, kind, code or cell is out of range; or -1
    """
    epoch_0 = start_ms // 900_000
    n_cells = load.shape[0]
    seen_sub = np.int64(-1)
    seen_epoch = np.int64(-1)
    for k in range(first, last):
        sub, ts_ms, cell = np.int64(r.sub[k]), r.ts_ms[k], np.int64(r.cell[k])
        kind, code, units = np.int64(r.kind[k]), np.int64(r.code[k]), r.units[k]
        fits = (sub >= first_sub) & (sub < last_sub) & (ts_ms >= start_ms) & (ts_ms < end_ms)
        fits &= (kind <= m.RECHARGE) & (code <= m.ROAM_DATA) & (cell >= -1) & (cell < n_cells)
        if not (fits & (units >= 0)):
            return k
        c.events[kind] += 1
        if kind >= m.RECHARGE_START:
            continue
        epoch = ts_ms // 900_000
        if sub != seen_sub or epoch != seen_epoch:
            seen_sub = sub
            seen_epoch = epoch
            quarter = quarters[p.region[sub - lo], epoch - epoch_0]
            c.active_lines[quarter >> np.uint8(2)] += 1
        if kind == m.USAGE:
            c.asked_units[code] += units
            if cell >= 0:
                load[cell, 2] += 1
                if code <= m.VOICE_INTL:
                    load[cell, 1] += units
                elif code >= m.DATA_GENERAL and code <= m.DATA_MESSAGING:
                    load[cell, 0] += units
        elif kind == m.BLOCKED:
            c.blocked[code] += 1
            i = sub - lo
            lost = np.int64(t.blocked_cost_q)
            s.satisfaction_q[i] = max(np.int64(s.satisfaction_q[i]) - lost, 0)
            if cell >= 0:
                load[cell, 2] += 1
                load[cell, 3] += 1
    return -1


@kernel
def weave(out, n, r, first, last, topups_first):
    """Weave rows `first` to `last - 1` of `r` into the `n` rows of a slice; return their number.

    Both are sorted by (sub, ts_ms), and both keep their order.  Of one line and moment the rows of
    the slice come first; with `topups_first` a top-up comes before them, as where it is drawn.

    Parameters
    ----------
    out : `Activity` columns with room for all, written from the back
    r : columns as those of `Activity`, of other memory
    """
    i = np.int64(n) - 1
    k = np.int64(last) - 1
    at = i + (np.int64(last) - np.int64(first))
    while k >= first:
        later = False
        if i >= 0:
            if out.sub[i] != r.sub[k]:
                later = out.sub[i] > r.sub[k]
            elif out.ts_ms[i] != r.ts_ms[k]:
                later = out.ts_ms[i] > r.ts_ms[k]
            else:
                later = topups_first and (r.kind[k] == m.RECHARGE_START or r.kind[k] == m.RECHARGE)
        if later:
            copy_row(out, at, out, i)
            i -= 1
        else:
            copy_row(out, at, r, k)
            k -= 1
        at -= 1
    return n + (last - first)


@kernel
def write(out, n, sub, ts_ms, kind, code, units, cell, load, c):
    """Write one recorded row, count it, and return the next free row."""
    out.sub[n] = sub
    out.ts_ms[n] = ts_ms
    out.kind[n] = kind
    out.code[n] = code
    out.ref[n] = 0
    out.units[n] = units
    out.cell[n] = cell
    c.events[kind] += 1
    if kind == m.USAGE:
        c.asked_units[code] += units
        if cell >= 0:
            load[cell, 2] += 1
            if code == m.DATA_GENERAL:
                load[cell, 0] += units
            elif code == m.VOICE_ONNET:
                load[cell, 1] += units
    return n + 1


@kernel
def graft(s, p, t, q, seed, lo, r, first, last, out, n, load, c):
    """Append the recorded rows `first` to `last - 1` to a slice; return the new number of rows.

    Incoming calls and texts cost the line nothing: the network only sees where the phone is.  A
    row without a known cell is served where the line truly is.

    Parameters
    ----------
    r : `Recorded` columns of this partition
    """
    for k in range(first, last):
        sub = np.int64(r.sub[k])
        i = sub - lo
        ts_ms = r.ts_ms[k]
        cell = np.int64(r.cell[k])
        if cell < 0:
            spot = true_spot(s, t, i, sub, seed, p.region[i], ts_ms)
            if spot >= 0:
                word = np.uint32(mix64(np.uint64(ts_ms)) >> np.uint64(32))
                cell = serving_cell(t, q, sub, spot, word)
        kind = r.type[k]
        outgoing = r.direction[k] != INCOMING
        if kind == VOICE and outgoing:
            n = write(out, n, sub, ts_ms, m.USAGE, m.VOICE_ONNET, max(r.units[k], 0), cell, load, c)
        elif kind == TEXT and outgoing:
            n = write(out, n, sub, ts_ms, m.USAGE, m.SMS, max(r.units[k], 1), cell, load, c)
        elif kind == DATA:
            kb = max((r.units[k] + 999) // 1000, 1)
            n = write(out, n, sub, ts_ms, m.USAGE, m.DATA_GENERAL, kb * 1000, cell, load, c)
        elif kind == TOPUP:
            n = write(out, n, sub, ts_ms, m.RECHARGE_START, 0, r.amount_minor[k], cell, load, c)
            n = write(out, n, sub, ts_ms, m.RECHARGE, 0, r.amount_minor[k], cell, load, c)
        else:
            n = write(out, n, sub, ts_ms, m.LOCATION, m.UPDATE, 0, cell, load, c)
    return n
