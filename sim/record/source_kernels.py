"""The loops of the replay reader over bytes and rows: fields, hashes, lateness, keys, votes.

It owns the compiled loops that are not about values; each writes a status or a mark for each row
and raises nothing.  It must not know files, mappings or reasons beyond the statuses below.
"""

from __future__ import annotations

import numpy as np

from sim.core.kernel import kernel
from sim.core.rng import mix64

FEW, MANY, OPEN_QUOTE, STRAY_QUOTE, CONTROL, TOO_LONG = 1, 2, 3, 4, 5, 6
ESCAPED = 64
"""Bit of a line's status: some field holds a doubled quote."""
WINDOW = 15
"""Rows whose median is the clock of a source: seven outliers in a row do not move it."""


@kernel
def tokenize(data, at, n_bytes, delimiter, quote, line_max, begin, end, status, number, first, out):
    """Find the fields of each line; a quoted field ends in its line.

    Parameters
    ----------
    data : uint8; every line ends in LF, the last one at `n_bytes - 1`
    at : byte to start at, the first of a line
    line_max : longest line, bytes
    begin, end : (rows, columns) int32, written: the bytes of each field, without quotes
    status : (rows,) uint8, written
    number : (rows,) int64, written: line number
    first : line number of the first line
    out : (4,) int64, written: lines seen, rows written, line that is too long or -1, and the byte
        to go on at where `begin` has no room for more rows
    """
    n_columns = begin.shape[1]
    row, line = 0, first
    out[2] = -1
    while at < n_bytes and row < begin.shape[0]:
        stop = at
        while data[stop] != 10:
            stop += 1
        after = stop + 1
        if stop - at > line_max:
            out[2] = line
            break
        if stop > at and data[stop - 1] == 13:
            stop -= 1
        if stop > at:
            status[row] = _fields(data, at, stop, delimiter, quote, begin[row], end[row], n_columns)
            number[row] = line
            row += 1
        line += 1
        at = after
    out[0] = line - first
    out[1] = row
    out[3] = at


@kernel
def _fields(data, at, stop, delimiter, quote, begin, end, n_columns):
    column = 0
    escaped = 0
    bad = 0
    while True:
        if at < stop and data[at] == quote:
            at += 1
            start = at
            while at < stop:
                if data[at] == quote:
                    if at + 1 < stop and data[at + 1] == quote:
                        escaped = ESCAPED
                        at += 1
                    else:
                        break
                elif data[at] == 0 or data[at] == 13:
                    bad = CONTROL
                at += 1
            if at >= stop:
                return OPEN_QUOTE
            finish = at
            at += 1
            if at < stop and data[at] != delimiter:
                return STRAY_QUOTE
        else:
            start = at
            while at < stop and data[at] != delimiter:
                if data[at] == quote:
                    bad = STRAY_QUOTE
                elif data[at] == 0 or data[at] == 13:
                    bad = CONTROL
                at += 1
            finish = at
        if column < n_columns:
            begin[column] = start
            end[column] = finish
        column += 1
        if at >= stop:
            break
        at += 1
    if bad:
        return bad
    if column < n_columns:
        return FEW
    if column > n_columns:
        return MANY
    return escaped


@kernel
def trim(data, begin, end):
    """Move the borders of each text inwards over blanks and tabs, in place."""
    for i in range(begin.shape[0]):
        a, b = begin[i], end[i]
        while a < b and (data[a] == 32 or data[a] == 9):
            a += 1
        while b > a and (data[b - 1] == 32 or data[b - 1] == 9):
            b -= 1
        begin[i] = a
        end[i] = b


@kernel
def hash_texts(data, begin, end, salt, out):
    """Write a 64-bit keyed hash of each text; 0 for the empty one.

    Not a cryptographic hash: it finds equal texts, nothing of it is ever written to a result.

    Parameters
    ----------
    salt : uint64
    out : (n,) uint64, written
    """
    for i in range(begin.shape[0]):
        n = end[i] - begin[i]
        if n <= 0:
            out[i] = np.uint64(0)
            continue
        h = mix64(salt ^ np.uint64(n))
        word = np.uint64(0)
        filled = 0
        for j in range(begin[i], end[i]):
            word = (word << np.uint64(8)) | np.uint64(data[j])
            filled += 1
            if filled == 8:
                h = mix64(h ^ word) + salt
                word = np.uint64(0)
                filled = 0
        h = mix64(h ^ word ^ (np.uint64(filled) << np.uint64(56)))
        out[i] = h if h != np.uint64(0) else np.uint64(1)


@kernel
def combine(into, other):
    """Mix a second hash into the first one, in place; (n,) uint64 both."""
    for i in range(into.shape[0]):
        into[i] = mix64(mix64(into[i]) ^ other[i])


@kernel
def late(ts, good, bound_ms, window, state, out):
    """Mark rows that are older than the clock of their source by more than a bound.

    The clock is the largest median of `WINDOW` neighbouring rows before this one: unlike a plain
    maximum, a single moment in the future does not make everything after it late.

    Parameters
    ----------
    ts : (n,) int64, ms, in the order of reading
    good : (n,) uint8, only these count
    window : (WINDOW,) int64, mutated: the last rows, oldest first
    state : (2,) int64, mutated: rows in the window, clock
    out : (n,) uint8, written
    """
    for i in range(ts.shape[0]):
        out[i] = 0
        if not good[i]:
            continue
        if ts[i] < state[1] - bound_ms:
            out[i] = 1
        n = state[0]
        if n == WINDOW:
            for j in range(WINDOW - 1):
                window[j] = window[j + 1]
            n -= 1
        window[n] = ts[i]
        state[0] = n + 1
        if state[0] == WINDOW and _above(window, state[1]) > WINDOW // 2:
            state[1] = _median(window, state[1])


@kernel
def _above(window, clock):
    n = 0
    for j in range(window.shape[0]):
        if window[j] > clock:
            n += 1
    return n


@kernel
def _median(window, clock):
    """Return the middle value, which lies above `clock`, without moving anything."""
    for j in range(window.shape[0]):
        below, same = 0, 0
        for k in range(window.shape[0]):
            if window[k] < window[j]:
                below += 1
            elif window[k] == window[j]:
                same += 1
        half = window.shape[0] // 2
        if below <= half and half < below + same:
            return window[j]
    return clock


@kernel
def contents(sub, ts, kind, direction, flags, units, amount, cell, peer, out):
    """Write a hash of the content of each row; uint64, equal for equal rows."""
    for i in range(sub.shape[0]):
        h = mix64(np.uint64(sub[i]) ^ np.uint64(0x5EED))
        codes = (np.uint64(kind[i]) << np.uint64(16)) | (np.uint64(direction[i]) << np.uint64(8))
        h = mix64(h ^ np.uint64(ts[i]))
        h = mix64(h ^ codes ^ np.uint64(flags[i]))
        h = mix64(h ^ np.uint64(units[i]))
        h = mix64(h ^ np.uint64(amount[i]))
        h = mix64(h ^ np.uint64(cell[i]))
        out[i] = mix64(h ^ np.uint64(peer[i]))


@kernel
def ranked(content, same, out):
    """Write a key for each row of a sorted piece: its content and its number among equals.

    Parameters
    ----------
    content : (n,) uint64
    same : (n,) uint8, 1 where the row equals the one before it
    out : (n,) uint64, written
    """
    rank = np.uint64(0)
    for i in range(content.shape[0]):
        rank = rank + np.uint64(1) if same[i] else np.uint64(0)
        out[i] = mix64(content[i] + rank * np.uint64(0x9E3779B97F4A7C15))


@kernel
def vote(sub, cell, candidate, lead, rows):
    """Count rows, and keep for each subscriber the cell that leads by majority vote.

    Parameters
    ----------
    candidate, lead : (n_subs,) int32, mutated (Boyer and Moore, 1981)
    rows : (n_subs,) int64, mutated
    """
    for i in range(sub.shape[0]):
        s = sub[i]
        rows[s] += 1
        if cell[i] < 0:
            continue
        if lead[s] == 0:
            candidate[s] = cell[i]
            lead[s] = 1
        elif candidate[s] == cell[i]:
            lead[s] += 1
        else:
            lead[s] -= 1
