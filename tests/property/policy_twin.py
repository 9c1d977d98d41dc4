"""Contact policy once more, in slow plain Python over a full log of contacts: the oracle.

It owns a line as a person would write it down: every contact and acceptance ever, and the options
of a scenario as they stand in its file.  It must not use a kernel or a compiled table of the
engine, save the keyed draws behind the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors.rtm.params import NEEDS, SEGMENTS, Offer, RtmParams
from sim.core import rng


@dataclass
class Contact:
    """A contact: use case, channel, local day, whether it was answered or held back."""

    case: int
    channel: int
    day: int
    answered: bool
    held: bool


@dataclass
class Line:
    """A line, and all that ever happened to it."""

    sub: int
    segment: int
    fee_minor: int
    margin_minor: int = 0
    alive: bool = True
    consent: bool = True
    app: bool = True
    black: bool = False
    control: bool = False
    owned_day: int = -1000
    contacts: list[Contact] = field(default_factory=list)
    accepted: list[tuple[int, int]] = field(default_factory=list)
    """(use case, day), in the order of time."""
    bought: list[tuple[int, int]] = field(default_factory=list)
    """(use case, day) of what lasts."""


def drawn(seed: int, name: str, sub: int, thing: str, share: float) -> bool:
    """Return whether a lasting trait of a line holds."""
    seed64, stream = rng.seed64(seed), rng.stream(name)
    name_id = rng.name_id(thing) if thing else 0
    word = rng.draw_cause(seed64, stream, sub, name_id, 0, 0)[0]
    return int(word) < int(rng.threshold(share))


class Oracle:
    """The rules of a scenario, asked one line and one offer at a time.

    Parameters
    ----------
    channels : (name, kind) of each channel
    """

    def __init__(
        self, seed: int, params: RtmParams, offers: list[Offer], channels: list[tuple[str, str]]
    ) -> None:
        self.seed = seed
        self.params = params
        self.offers = offers
        self.channels = channels

    def marketing(self, line: Line, day: int, days: int) -> list[Contact]:
        """Return the marketing contacts within the last days, today among them."""
        return [
            c for c in line.contacts
            if 0 <= day - c.day < days and not self.offers[c.case].policy.service
        ]  # fmt: skip

    def shift(self, line: Line, offer: Offer, day: int) -> int:
        """Return by how many contacts the caps of marketing move."""
        rules = self.params.policy
        out = 0
        worth = line.fee_minor + line.margin_minor * 30 // max(day + 1, 7)
        if worth >= rules.value.high_minor:
            out += rules.value.more
        elif worth < rules.value.low_minor:
            out -= rules.value.fewer
        tired = [
            c for c in self.marketing(line, day, rules.fatigue.within_days)
            if c.day < day and not c.answered and not c.held
        ]  # fmt: skip
        if len(tired) >= rules.fatigue.ignored:
            out -= rules.fatigue.fewer
        if offer.policy.priority < rules.reserve.priority:
            out -= rules.reserve.contacts
        return out

    def full(self, line: Line, cap: Any, day: int, shift: int, lane: str = "") -> bool:
        """Return whether a cap leaves no room for one more contact."""
        counted = [
            c for c in self.marketing(line, day, cap.per_days)
            if not lane or lane in self.channels[c.channel]
        ]  # fmt: skip
        return len(counted) >= max(cap.contacts + shift, 0)

    def repeated(self, line: Line, case: int, day: int) -> bool:
        """Return whether the line has accepted the offer as often as it may."""
        repeat = self.offers[case].policy.repeat
        most = repeat.segment.get(SEGMENTS[line.segment], repeat.times)
        if most == 0:
            return False
        begin, times = None, 0
        for other, when in line.accepted:
            if other == case:
                if begin is None or when - begin >= repeat.per_days:
                    begin, times = when, 0
                times += 1
        return begin is not None and day - begin < repeat.per_days and times >= most

    def lasting(self, case: int) -> tuple[tuple[str, str], int] | None:
        """Return what an acceptance gives that lasts, and for how many days; bought data aside."""
        offer = self.offers[case]
        product = offer.product
        days = product.lasts_days if product.lasts_days else product.valid_days
        if product.kind == "switch":
            return ("switch", product.thing or offer.offer), days
        if product.kind == "renewal":
            return ("renewal", ""), 23 * 30
        if product.kind != "coupon" and offer.truth.category == "roaming":
            return ("roaming", ""), days
        return None

    def owned(self, line: Line, case: int, day: int) -> bool:
        """Return whether the line still has what the offer gives, by whichever offer it came."""
        offer = self.offers[case]
        if offer.product.kind in ("data_pack", "roaming_pack") and offer.truth.category == "data":
            return line.owned_day >= day
        mine = self.lasting(case)
        if mine is None:
            return False
        for other, when in line.bought:
            theirs = self.lasting(other)
            if theirs is not None and theirs[0] == mine[0] and day < when + theirs[1]:
                return True
        return False

    def answer(self, line: Line, case: int, day: int, quarter: int) -> tuple[str, int]:
        """Return the reason of a candidate and, where it is `intended`, its channel."""
        offer, rules = self.offers[case], self.params.policy
        service = offer.policy.service
        quiet, hour = self.params.quiet, quarter / 4
        night = (
            quiet.from_h <= hour < quiet.to_h
            if quiet.from_h <= quiet.to_h
            else hour >= quiet.from_h or hour < quiet.to_h
        )
        grey = drawn(self.seed, "on the grey list", line.sub, "", rules.grey.share)
        shift = 0 if service else self.shift(line, offer, day)
        own = [c for c in line.contacts if c.case == case]
        recent = [c for c in own if 0 <= day - c.day < offer.policy.cap.per_days]
        caps = [self.params.cap, *rules.caps]
        checks: list[tuple[str, bool]] = [
            ("inactive", not line.alive),
            ("no_consent", not service and not line.consent),
            ("black_list", line.black and (not service or rules.black_bars == "everything")),
            (
                "red_list",
                drawn(self.seed, "on the red list", line.sub, "", rules.red.share)
                and (not service or rules.red.bars == "everything"),
            ),
            ("universal_control", line.control),
            ("quiet_hours", not service and night),
            ("repeat", self.repeated(line, case, day)),
            ("cool_down", len(recent) >= offer.policy.cap.contacts),
            ("cap", not service and any(self.full(line, cap, day, shift) for cap in caps)),
            ("owned", self.owned(line, case, day)),
            (
                "grey_list",
                grey and not service
                and self.averse(line, "topic:" + offer.truth.category, rules.grey.topic_share),
            ),
        ]  # fmt: skip
        for reason, holds in checks:
            if holds:
                return reason, -1
        return self.way(line, offer, day, shift, grey and not service)

    def averse(self, line: Line, thing: str, share: float) -> bool:
        """Return whether a grey line is averse to something."""
        return drawn(self.seed, "averse to a channel or a topic", line.sub, thing, share)

    def way(self, line: Line, offer: Offer, day: int, shift: int, grey: bool) -> tuple[str, int]:
        """Return the first channel that may be used, or the reason against all of them."""
        names = [name for name, _ in self.channels]
        reached, bearable = False, False
        for treatment in offer.treatments:
            channel = names.index(treatment.channel)
            name, kind = self.channels[channel]
            if kind == "app" and not line.app:
                continue
            reached = True
            share = self.params.policy.grey.channel_share
            if grey and self.averse(line, "kind of channel:" + kind, share):
                continue
            bearable = True
            caps = [
                (lane, cap)
                for lane, limits in self.params.policy.channels.items()
                if lane in (name, kind)
                for cap in limits
            ]
            if offer.policy.service or not any(
                self.full(line, cap, day, shift, lane) for lane, cap in caps
            ):
                return "intended", channel
        if not reached:
            return "no_channel", -1
        return ("channel_cap" if bearable else "grey_list"), -1


__all__ = ["NEEDS", "Contact", "Line", "Oracle"]
