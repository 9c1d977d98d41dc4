"""Things that last: what a line has by a purchase, and until when it is not offered again.

It owns what is the same thing, how long it lasts, and its memory among the acceptances of a line:
`TAKEN` by the name of the thing, with the first day without it.  Bought data alone has a column
(`owned_day`, the last day with it).  It must not know who is asked, nor why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from actors.billing.params import BillingParams
from actors.rtm.params import NEEDS, Offer
from sim.core import rng
from sim.core.kernel import kernel
from sim.core.sparse import find, key_of, put

OWN_PACK_DAYS = 7
"""Life of a pack that people get by themselves, days."""
PERIOD_DAYS = 30
NOTHING = ("", 0)
DATA = np.uint32(rng.name_id("thing:data"))
"""Name id of bought data."""


class ThingTables(NamedTuple):
    """What acceptances and own purchases give that lasts.

    Attributes
    ----------
    case_gives : (n_cases,) uint32, name id of the thing that an acceptance gives; 0 nothing
    case_days : (n_cases,) int64, days for which it lasts
    need_gives, need_days : the same of what people buy by themselves, by category of need
    """

    case_gives: np.ndarray
    case_days: np.ndarray
    need_gives: np.ndarray
    need_days: np.ndarray


def contract_days(billing: BillingParams) -> int:
    """Return the days from a renewal to the notice of the next one, a period before the end."""
    return max(billing.contract_periods - 1, 0) * PERIOD_DAYS


def thing_of(offer: Offer, billing: BillingParams) -> tuple[str, int]:
    """Return the name of the lasting thing that an acceptance gives and its days, or `NOTHING`."""
    product = offer.product
    days = product.lasts_days or product.valid_days
    if product.data_mb > 0 and offer.truth.category == "data":
        return "data", product.valid_days
    if product.kind in ("data_pack", "roaming_pack") and offer.truth.category == "roaming":
        return "roaming", days
    if product.kind == "renewal":
        return "renewal", contract_days(billing)
    if product.kind == "switch":
        return "switch:" + (product.thing or offer.offer), days
    return NOTHING


def _ids(things: Sequence[tuple[str, int]]) -> tuple[np.ndarray, np.ndarray]:
    names = [rng.name_id("thing:" + name) if name else 0 for name, _ in things]
    return np.array(names or [0], np.uint32), np.array([d for _, d in things] or [0], np.int64)


def compile_things(offers: Sequence[Offer], billing: BillingParams) -> ThingTables:
    """Return the tables of the things of a catalogue."""
    alone = {
        "data": ("data", OWN_PACK_DAYS),
        "roaming": ("roaming", OWN_PACK_DAYS),
        "renewal": ("renewal", contract_days(billing)),
    }
    return ThingTables(
        *_ids([thing_of(offer, billing) for offer in offers]),
        *_ids([alone.get(need, NOTHING) for need in NEEDS]),
    )


def gives_nothing(tables: ThingTables) -> ThingTables:
    """Return tables of the same shape by which nothing is remembered."""
    return tables._replace(
        case_gives=np.zeros_like(tables.case_gives), need_gives=np.zeros_like(tables.need_gives)
    )


@kernel
def note_thing(s, i, sub, thing, day, lasts):
    """Remember that a line has a thing from a day on; the table has room for one more."""
    until_day = day + lasts
    if thing == DATA:
        s.owned_day[i] = max(np.int64(s.owned_day[i]), until_day)
        return
    key = key_of(sub, thing)
    row = find(s.taken, key)
    if row < 0:
        row = put(s.taken, key)
        s.taken.times[row] = 0
        s.taken.day[row] = until_day
    s.taken.day[row] = max(np.int64(s.taken.day[row]), until_day)


@kernel
def has_thing(s, i, sub, thing, day):
    """Return whether a line has a thing on a day."""
    if thing == 0:
        return False
    if thing == DATA:
        return s.owned_day[i] >= day
    row = find(s.taken, key_of(sub, thing))
    return row >= 0 and day < s.taken.day[row]
