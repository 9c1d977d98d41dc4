"""Recorded rows in the place of drawn ones: what bound lines really did.

It owns the graft: drawn rows of recorded kinds are taken out of a slice, with everything that they
had counted, and recorded rows are put in.  All else of a bound line stays simulated.  It must not
know where the recorded rows come from.
"""

from __future__ import annotations

import numpy as np

from actors import messages as m
from actors.subscribers.place import serving_cell, true_spot
from sim.core.kernel import kernel
from sim.core.rng import mix64

VOICE, TEXT, DATA, TOPUP, PLACE = 0, 1, 2, 3, 4
"""Kinds of recorded rows, as in `Recorded.type`."""
INCOMING = 2


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
            out.sub[kept] = out.sub[k]
            out.ts_ms[kept] = out.ts_ms[k]
            out.kind[kept] = out.kind[k]
            out.code[kept] = out.code[k]
            out.ref[kept] = out.ref[k]
            out.units[kept] = out.units[k]
            out.cell[kept] = out.cell[k]
        kept += 1
    return kept


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
