"""The loops over bytes: fields of lines, numbers, moments, hashes, lateness, votes.

It owns every compiled loop of the replay reader; each writes a status for each row and raises
nothing.  It must not know files, mappings or reasons by name beyond the statuses below.
"""

from __future__ import annotations

import numpy as np

from sim.core.kernel import kernel
from sim.core.rng import mix64

OK, EMPTY, BAD, OVERFLOW = 0, 1, 2, 3
FEW, MANY, OPEN_QUOTE, STRAY_QUOTE, CONTROL, TOO_LONG = 1, 2, 3, 4, 5, 6
ESCAPED = 64
"""Bit of a line's status: some field holds a doubled quote."""
WINDOW = 15
"""Rows whose median is the clock of a source: seven outliers in a row do not move it."""
_BIG = 900_000_000_000_000_000


@kernel
def tokenize(data, n_bytes, delimiter, quote, line_max, begin, end, status, number, first, out):
    """Find the fields of each line; a quoted field ends in its line.

    Parameters
    ----------
    data : uint8; every line ends in LF, the last one at `n_bytes - 1`
    line_max : longest line, bytes
    begin, end : (rows, columns) int32, written: the bytes of each field, without quotes
    status : (rows,) uint8, written
    number : (rows,) int64, written: line number
    first : line number of the first line
    out : (3,) int64, written: lines seen, rows written, line that is too long or -1
    """
    n_columns = begin.shape[1]
    at, row, line = 0, 0, first
    out[2] = -1
    while at < n_bytes:
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
def decimals(data, begin, end, scale, point, thousands, out, status):
    """Read decimal numbers as whole multiples of 10**-scale, rounded half away from zero.

    Parameters
    ----------
    scale : digits that are kept, 0..9
    point, thousands : bytes; thousands 0: none
    out : (n,) int64, written
    status : (n,) uint8, written: `OK`, `EMPTY`, `BAD`, `OVERFLOW`
    """
    for i in range(begin.shape[0]):
        out[i] = 0
        at, stop = begin[i], end[i]
        if at >= stop:
            status[i] = EMPTY
            continue
        sign = 1
        if data[at] == 45 or data[at] == 43:
            sign = -1 if data[at] == 45 else 1
            at += 1
        value = np.int64(0)
        digits, kept, seen_point, up, state = 0, 0, False, False, OK
        power, power_at = 0, -1
        while at < stop:
            c = data[at]
            if c >= 48 and c <= 57:
                digits += 1
                if seen_point and kept >= scale + 0:
                    if kept == scale:
                        up = c >= 53
                    kept += 1
                else:
                    if value > _BIG:
                        state = OVERFLOW
                    else:
                        value = value * 10 + np.int64(c - 48)
                    if seen_point:
                        kept += 1
            elif c == point and not seen_point:
                seen_point = True
            elif c == thousands and thousands != 0 and digits > 0 and not seen_point:
                pass
            elif (c == 101 or c == 69) and digits > 0:
                power_at = at + 1
                break
            else:
                state = BAD
                break
            at += 1
        if power_at >= 0:
            # 1.5e+07: digits beyond `scale` may count; only forms without a loss are taken.
            negative = power_at < stop and data[power_at] == 45
            if power_at < stop and (data[power_at] == 43 or negative):
                power_at += 1
            if power_at >= stop or stop - power_at > 3:
                state = BAD
            for j in range(power_at, stop):
                if data[j] < 48 or data[j] > 57:
                    state = BAD
                power = power * 10 + np.int64(data[j]) - 48
            if negative:
                power = -power
        if digits == 0:
            state = BAD
        if state == OK and power_at >= 0:
            value, state = _raised(data, begin[i], power_at, scale, point, power)
        elif state == OK:
            for _ in range(scale - min(kept, scale)):
                if value > _BIG:
                    state = OVERFLOW
                value = value * 10
            if up:
                value += 1
        out[i] = sign * value if state == OK else 0
        status[i] = state


@kernel
def _raised(data, at, stop, scale, point, power):
    """Return digits with a power of ten as multiples of 10**-scale, and a status."""
    value = np.int64(0)
    shift = scale + power
    seen = False
    digits = 0
    for j in range(at, stop):
        c = data[j]
        if c == 101 or c == 69:
            break
        if c == point:
            seen = True
        elif c >= 48 and c <= 57:
            digits += 1
            if digits > 18:
                if not seen:
                    shift += 1
                continue
            value = value * 10 + np.int64(c - 48)
            if seen:
                shift -= 1
    while shift > 0 and value != 0:
        if value > _BIG:
            return np.int64(0), OVERFLOW
        value *= 10
        shift -= 1
    while shift < -1 and value != 0:
        value //= 10
        shift += 1
    if shift == -1:
        value = (value + 5) // 10
    return value, OK


@kernel
def moments(data, begin, end, codes, iso, out, offset, status):
    """Read dates and times by a pattern; milliseconds of the wall clock, and the offset told.

    Parameters
    ----------
    codes : (k,) int16, from `source_time.template`
    iso : 1: the time is optional, `T` or a blank divides, fractions and an offset may follow
    out : (n,) int64, written: wall clock as if it were UTC, ms
    offset : (n,) int32, written: minutes east of UTC, `-32768` where none is told
    status : (n,) uint8, written
    """
    for i in range(begin.shape[0]):
        out[i] = 0
        offset[i] = -32768
        at, stop = begin[i], end[i]
        if at >= stop:
            status[i] = EMPTY
            continue
        year, month, day, hour, minute, second, ms = 0, 0, 0, 0, 0, 0, 0
        state = OK
        zone = -32768
        for k in range(codes.shape[0]):
            code = codes[k]
            if iso and at >= stop and (k == 5 or k == 9):
                break
            if iso and k == 9 and (data[at] == 43 or data[at] == 45 or data[at] == 90):
                break
            if code >= 256:
                same = at < stop and data[at] == code - 256
                if not same and iso and k == 5:
                    same = at < stop and data[at] == 84
                if not same:
                    state = BAD
                    break
                at += 1
                continue
            if code == 9:
                zone, at = _offset(data, at, stop)
                if zone == -32768:
                    state = BAD
                    break
                continue
            wanted = 4 if code == 1 else (6 if code == 7 else 2)
            value, digits = 0, 0
            while digits < wanted and at < stop and data[at] >= 48 and data[at] <= 57:
                value = value * 10 + (data[at] - 48)
                at += 1
                digits += 1
            if digits == 0 or (code == 1 and digits < 4) or (iso and digits < 2):
                state = BAD
                break
            if code == 1:
                year = value
            elif code == 8:
                year = 1900 + value if value >= 69 else 2000 + value
            elif code == 2:
                month = value
            elif code == 3:
                day = value
            elif code == 4:
                hour = value
            elif code == 5:
                minute = value
            elif code == 6:
                second = value
            else:
                while digits < 3:
                    value *= 10
                    digits += 1
                while digits > 3:
                    value //= 10
                    digits -= 1
                ms = value
        if state == OK and iso and at < stop and (data[at] == 46 or data[at] == 44):
            at += 1
            digits = 0
            while at < stop and data[at] >= 48 and data[at] <= 57:
                if digits < 3:
                    ms = ms * 10 + (data[at] - 48)
                digits += 1
                at += 1
            if digits == 0 or digits > 9:
                state = BAD
            while digits < 3:
                ms *= 10
                digits += 1
        if state == OK and iso and at < stop:
            if data[at] == 32:
                at += 1
            zone, at = _offset(data, at, stop)
            if zone == -32768:
                state = BAD
        if state == OK and at != stop:
            state = BAD
        if state == OK:
            leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
            last = 31
            if month == 2:
                last = 29 if leap else 28
            elif month == 4 or month == 6 or month == 9 or month == 11:
                last = 30
            if month < 1 or month > 12 or day < 1 or day > last or year < 1:
                state = BAD
            if hour > 23 or minute > 59 or second > 59:
                state = BAD
        if state == OK:
            out[i] = _days(year, month, day) * 86_400_000 + np.int64(
                ((hour * 60 + minute) * 60 + second) * 1_000 + ms
            )
            offset[i] = zone
        status[i] = state


@kernel
def _offset(data, at, stop):
    if at < stop and data[at] == 90:
        return 0, at + 1
    if at >= stop or (data[at] != 43 and data[at] != 45):
        return -32768, at
    sign = -1 if data[at] == 45 else 1
    at += 1
    value, digits = 0, 0
    while at < stop and digits < 4:
        if data[at] >= 48 and data[at] <= 57:
            value = value * 10 + (data[at] - 48)
            digits += 1
        elif not (data[at] == 58 and digits == 2):
            return -32768, at
        at += 1
    if digits == 2:
        value *= 100
    elif digits != 4:
        return -32768, at
    minutes = (value // 100) * 60 + value % 100
    if minutes > 900 or value % 100 > 59:
        return -32768, at
    return sign * minutes, at


@kernel
def _days(year, month, day):
    """Return days since 1970-01-01 (Hinnant's civil calendar)."""
    y = np.int64(year) - (1 if month <= 2 else 0)
    era = y // 400
    yoe = y - era * 400
    shifted = month - 3 if month > 2 else month + 9
    doy = (153 * shifted + 2) // 5 + day - 1
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return era * 146_097 + doe - 719_468


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
