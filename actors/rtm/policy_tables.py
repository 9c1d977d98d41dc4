"""Contact policy, compiled once: caps, lists, repeats and how long a contact is remembered.

It owns the integer form of `rtm.cap`, `rtm.policy` and the contact rules of offers.  It must not
know a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from actors.billing.params import BillingParams, Tariff
from actors.channels.params import Channel
from actors.rtm.params import NEEDS, SEGMENTS, Cap, Offer, RtmParams
from actors.rtm.things import compile_things
from sim.core import rng


class PolicyTables(NamedTuple):
    """What contact policy reads.

    Attributes
    ----------
    cap_contacts, cap_days : (n_caps,) int64, caps on all marketing; `rtm.cap` is the first
    lane_of : (n_lanes, n_channels + 1) uint8, 1 where a cap of channels counts a channel; the last
        channel is that of one who asks himself
    lane_contacts, lane_days : (n_lanes,) int64
    case_keep_days : (n_cases,) int64, days for which caps on use cases and on all marketing count
    channel_keep_days : (n_channels + 1,) int64, days for which caps of channels count
    case_priority : (n_cases,) int64
    case_repeat : (n_cases, n_segments) int64, acceptances at most; 0 no limit
    case_limits : (n_cases,) bool, whether any segment has such a limit
    case_repeat_days : (n_cases,) int64
    case_barred_by : (n_cases,) uint32, name id of the thing whose owners are not asked; 0 none
    remembers : whether any acceptance or purchase is remembered by name (`TAKEN`)
    channel_kind : (n_channels + 1,) uint32, name id of the kind of channel; 0 none
    topic_id : (n_needs,) uint32, name id of a category
    tariff_minor : (n_tariffs,) int64, fee of 30 days without VAT
    reserve, reserve_priority : contacts kept back, and from which priority they are free
    high_minor, high_more, low_minor, low_fewer : caps by worth
    tired_from, tired_days, tired_fewer : caps by ignored contacts
    red, grey, grey_channel, grey_topic : uint32 thresholds
    black_all, red_all : whether the list bars service messages too
    """

    cap_contacts: np.ndarray
    cap_days: np.ndarray
    lane_of: np.ndarray
    lane_contacts: np.ndarray
    lane_days: np.ndarray
    case_keep_days: np.ndarray
    channel_keep_days: np.ndarray
    case_priority: np.ndarray
    case_repeat: np.ndarray
    case_limits: np.ndarray
    case_repeat_days: np.ndarray
    case_barred_by: np.ndarray
    remembers: bool
    channel_kind: np.ndarray
    topic_id: np.ndarray
    tariff_minor: np.ndarray
    reserve: int
    reserve_priority: int
    high_minor: int
    high_more: int
    low_minor: int
    low_fewer: int
    tired_from: int
    tired_days: int
    tired_fewer: int
    red: np.uint32
    grey: np.uint32
    grey_channel: np.uint32
    grey_topic: np.uint32
    black_all: bool
    red_all: bool


def _lanes(params: RtmParams, channels: Sequence[Channel]) -> tuple[np.ndarray, list[Cap]]:
    """Return which channels each cap of channels counts, and the caps."""
    rows: list[list[int]] = []
    caps: list[Cap] = []
    for name, limits in sorted(params.policy.channels.items()):
        for cap in limits:
            rows.append([int(name in (c.channel, c.kind)) for c in channels] + [0])
            caps.append(cap)
    shape = (max(len(rows), 1), len(channels) + 1)
    of = np.array(rows, np.uint8) if rows else np.zeros(shape, np.uint8)
    return of, caps


def _repeats(offers: Sequence[Offer]) -> np.ndarray:
    rows = [
        [o.policy.repeat.segment.get(name, o.policy.repeat.times) for name in SEGMENTS]
        for o in offers
    ]
    return np.array(rows or [[0] * len(SEGMENTS)], np.int64)


def compile_policy(
    params: RtmParams,
    *,
    offers: Sequence[Offer],
    channels: Sequence[Channel],
    tariffs: Sequence[Tariff],
    billing: BillingParams,
    price_level: float,
) -> PolicyTables:
    """Return the tables of contact policy.

    Parameters
    ----------
    billing : tax inside prices, and the length of contracts
    price_level : factor on every price of the catalogue
    """
    rules = params.policy
    caps = [params.cap, *rules.caps]
    lane_of, lane_caps = _lanes(params, channels)
    tired = rules.fatigue.within_days if rules.fatigue.fewer else 0
    marketing_days = max([cap.per_days for cap in caps] + [tired])
    keep = [max(o.policy.cap.per_days, 0 if o.policy.service else marketing_days) for o in offers]
    lane_days = np.array([c.per_days for c in lane_caps] or [0], np.int64)
    net = (1 - billing.vat) * price_level
    things = compile_things(offers, billing)
    return PolicyTables(
        cap_contacts=np.array([c.contacts for c in caps], np.int64),
        cap_days=np.array([c.per_days for c in caps], np.int64),
        lane_of=lane_of,
        lane_contacts=np.array([c.contacts for c in lane_caps] or [0], np.int64),
        lane_days=lane_days,
        case_keep_days=np.array(keep or [0], np.int64),
        channel_keep_days=(lane_of * lane_days[:, None]).max(axis=0),
        case_priority=np.array([o.policy.priority for o in offers] or [0], np.int64),
        case_repeat=_repeats(offers),
        case_limits=_repeats(offers).max(axis=1) > 0,
        case_repeat_days=np.array([o.policy.repeat.per_days for o in offers] or [0], np.int64),
        case_barred_by=things.case_gives,
        remembers=bool(
            _repeats(offers).any() or things.case_gives.any() or things.need_gives.any()
        ),
        channel_kind=np.array(
            [rng.name_id("kind of channel:" + c.kind) for c in channels] + [0], np.uint32
        ),
        topic_id=np.array([rng.name_id("topic:" + name) for name in NEEDS], np.uint32),
        tariff_minor=np.array(
            [round(t.fee_minor * net * 30 / t.period_days) for t in tariffs] or [0], np.int64
        ),
        reserve=rules.reserve.contacts,
        reserve_priority=rules.reserve.priority,
        high_minor=round(rules.value.high_minor * price_level),
        high_more=rules.value.more,
        low_minor=round(rules.value.low_minor * price_level),
        low_fewer=rules.value.fewer,
        tired_from=rules.fatigue.ignored,
        tired_days=rules.fatigue.within_days,
        tired_fewer=rules.fatigue.fewer,
        red=rng.threshold(rules.red.share),
        grey=rng.threshold(rules.grey.share),
        grey_channel=rng.threshold(rules.grey.channel_share),
        grey_topic=rng.threshold(rules.grey.topic_share),
        black_all=rules.black_bars == "everything",
        red_all=rules.red.bars == "everything",
    )
