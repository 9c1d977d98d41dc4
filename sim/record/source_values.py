"""The loops that read values: decimal numbers and moments, exactly, with a status for each.

It owns what counts as a number or a date in a recorded file.  It must not know columns or units.
"""

from __future__ import annotations

import numpy as np

from sim.core.kernel import kernel

OK, EMPTY, BAD, OVERFLOW = 0, 1, 2, 3
NO_OFFSET = -32768
_BIG = 90_000_000_000_000_000


@kernel
def decimals(data, begin, end, scale, point, thousands, out, status):
    """Read decimal numbers as whole multiples of 10**-scale, rounded half away from zero.

    Parameters
    ----------
    scale : digits that are kept, 0..9
    point, thousands : bytes; thousands 0: none, else it stands between groups of three digits
    out : (n,) int64, written
    status : (n,) uint8, written: `OK`, `EMPTY`, `BAD`, `OVERFLOW` (above about 9e17)
    """
    for i in range(begin.shape[0]):
        out[i] = 0
        at, stop = begin[i], end[i]
        if at >= stop:
            status[i] = EMPTY
            continue
        negative = data[at] == 45
        if negative or data[at] == 43:
            at += 1
        value, state = _decimal(data, at, stop, scale, point, thousands)
        status[i] = state
        if state == OK:
            out[i] = -value if negative else value


@kernel
def _decimal(data, at, stop, scale, point, thousands):
    """Return the whole multiple of 10**-scale that unsigned digits say, and a status."""
    value = np.int64(0)
    digits, shift = 0, scale
    seen_point, up = False, False
    group = -1  # digits since the last sign between thousands, -1 where there was none
    while at < stop:
        c = data[at]
        if c >= 48 and c <= 57:
            digits += 1
            group += 1 if group >= 0 and not seen_point else 0
            if value >= _BIG:  # the digit does not fit: remember whether it rounds up
                up = c >= 53 if shift == 0 else up
                shift += 0 if seen_point else 1
                if shift > 0:
                    return np.int64(0), OVERFLOW
            elif seen_point and shift == 0 and not _power_follows(data, at, stop):
                return value + (1 if c >= 53 else 0), _rest(data, at, stop)
            else:
                value = value * 10 + np.int64(c - 48)
                shift -= 1 if seen_point else 0
        elif c == point and not seen_point and (group < 0 or group == 3):
            seen_point = True
        elif (c == 101 or c == 69) and digits > 0:
            power, state = _power(data, at + 1, stop)
            if state != OK:
                return np.int64(0), state
            shift += power
            break
        elif c == thousands and thousands != 0 and _may_group(digits, group) and not seen_point:
            group = 0
        else:
            return np.int64(0), BAD
        at += 1
    if digits == 0 or (group >= 0 and group != 3):
        return np.int64(0), BAD
    return _shifted(value + (1 if up else 0), shift)


@kernel
def _may_group(digits, group):
    """Return whether a sign between thousands may stand here: after 1 to 3 digits, then after 3."""
    return group == 3 or (group < 0 and digits > 0 and digits <= 3)


@kernel
def _power_follows(data, at, stop):
    for j in range(at, stop):
        if data[j] == 101 or data[j] == 69:
            return True
    return False


@kernel
def _rest(data, at, stop):
    """Return whether only digits are left."""
    for j in range(at, stop):
        if data[j] < 48 or data[j] > 57:
            return BAD
    return OK


@kernel
def _power(data, at, stop):
    """Return the power of ten of `e+07`, and a status; three digits at most."""
    negative = at < stop and data[at] == 45
    if at < stop and (data[at] == 43 or negative):
        at += 1
    if at >= stop or stop - at > 3 or _rest(data, at, stop) != OK:
        return 0, BAD
    power = 0
    for j in range(at, stop):
        power = power * 10 + (np.int64(data[j]) - 48)
    return (-power if negative else power), OK


@kernel
def _shifted(value, shift):
    while shift > 0 and value != 0:
        if value >= _BIG:
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
    offset : (n,) int32, written: minutes east of UTC, `NO_OFFSET` where none is told
    status : (n,) uint8, written
    """
    for i in range(begin.shape[0]):
        out[i] = 0
        offset[i] = NO_OFFSET
        at, stop = begin[i], end[i]
        if at >= stop:
            status[i] = EMPTY
            continue
        wall, zone, state = _moment(data, at, stop, codes, iso)
        status[i] = state
        if state == OK:
            out[i] = wall
            offset[i] = zone


@kernel
def _moment(data, at, stop, codes, iso):
    year, month, day, hour, minute, second, ms = 0, 0, 0, 0, 0, 0, 0
    zone = NO_OFFSET
    for k in range(codes.shape[0]):
        code = codes[k]
        if iso and (k == 5 or k == 9) and _time_ends(data, at, stop, k):
            break
        if code >= 256:
            same = at < stop and (data[at] == code - 256 or (iso and k == 5 and data[at] == 84))
            if not same:
                return np.int64(0), zone, BAD
            at += 1
            continue
        if code == 9:
            zone, at = _offset(data, at, stop)
            if zone == NO_OFFSET:
                return np.int64(0), zone, BAD
            continue
        wanted = 4 if code == 1 else (6 if code == 7 else 2)
        value, digits, at = _digits(data, at, stop, wanted)
        if digits == 0 or (code == 1 and digits < 4) or (iso and digits < 2):
            return np.int64(0), zone, BAD
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
            ms = _thousandths(value, digits)
    if iso and at < stop and (data[at] == 46 or data[at] == 44):
        value, digits, at = _digits(data, at + 1, stop, 9)
        if digits == 0:
            return np.int64(0), zone, BAD
        ms = _thousandths(value, digits)
    if iso and at < stop:
        zone, at = _offset(data, at + 1 if data[at] == 32 else at, stop)
        if zone == NO_OFFSET:
            return np.int64(0), zone, BAD
    if at != stop or not _is_date(year, month, day) or hour > 23 or minute > 59 or second > 59:
        return np.int64(0), zone, BAD
    of_day = np.int64(((hour * 60 + minute) * 60 + second) * 1_000 + ms)
    return _days(year, month, day) * 86_400_000 + of_day, zone, OK


@kernel
def _time_ends(data, at, stop, k):
    """Return whether an ISO moment ends here: after its date, or before its seconds."""
    return at >= stop or (k == 9 and (data[at] == 43 or data[at] == 45 or data[at] == 90))


@kernel
def _digits(data, at, stop, wanted):
    """Return (value, digits, place after them) of at most `wanted` digits."""
    value, digits = 0, 0
    while digits < wanted and at < stop and data[at] >= 48 and data[at] <= 57:
        value = value * 10 + (np.int64(data[at]) - 48)
        at += 1
        digits += 1
    return value, digits, at


@kernel
def _thousandths(value, digits):
    """Return the first three digits of a fraction, as ms; the rest is cut off."""
    while digits < 3:
        value *= 10
        digits += 1
    while digits > 3:
        value //= 10
        digits -= 1
    return value


@kernel
def _is_date(year, month, day):
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    last = 31
    if month == 2:
        last = 29 if leap else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        last = 30
    return year >= 1 and month >= 1 and month <= 12 and day >= 1 and day <= last


@kernel
def _offset(data, at, stop):
    """Return (minutes east of UTC or `NO_OFFSET`, place after) of `Z`, `+05`, `+0545`, `+05:45`."""
    if at < stop and data[at] == 90:
        return 0, at + 1
    if at >= stop or (data[at] != 43 and data[at] != 45):
        return NO_OFFSET, at
    sign = -1 if data[at] == 45 else 1
    at += 1
    value, digits, after = _digits(data, at, stop, 4)
    if digits == 2:
        value *= 100
        colon = after < stop and data[after] == 58
        last, more, end = _digits(data, after + 1 if colon else after, stop, 2)
        if colon and more == 2:
            value, after = value + last, end
        elif colon:
            return NO_OFFSET, at
    elif digits != 4:
        return NO_OFFSET, at
    at = after
    minutes = (value // 100) * 60 + value % 100
    if minutes > 900 or value % 100 > 59:
        return NO_OFFSET, at
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
