"""Options of the RTM role: use cases, contact policy, arbitration, control groups.

It owns the catalogue model of offers and the rules of contact.  It must not know the
latent state; the `truth` part of an offer is handed to the subscriber role alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from actors.learner.params import Learning, Prices
from actors.loyalty.params import Loyalty
from actors.rtm.variants import Arm
from sim.core.params import Params

SEGMENTS = ("mass", "youth", "premium", "business", "m2m")
NEEDS = (
    "data", "roaming", "shopping", "money", "loyalty", "device", "renewal", "partner",
)  # fmt: skip
"""Categories of needs; at most eight, for `bought` holds a bit of each."""
GROUPS = ("billing", "geo", "traffic", "retention")
SOURCES = ("usage", "location", "visit", "blocked", "recharge_start")
"""Sources of rows that may be lost, late or come twice; other rows come from our own books."""
WINDOW_DAYS_MAX = 60
"""Longest window of a cap, days: a contact is remembered by its day modulo 256."""


class Eligible(Params):
    """Who may get an offer; every part that is given must hold."""

    nobody: bool = Field(default=False, description="true makes the offer inert")
    prepaid: bool | None = Field(default=None, description="prepaid only, postpaid only, or both")
    segment: tuple[Literal["mass", "youth", "premium", "business", "m2m"], ...] = Field(
        default=("mass", "youth", "premium", "business"), description="segments"
    )
    tenure_days_min: int = Field(default=0, ge=0, description="shortest time with us, days")
    smartphone: bool | None = Field(default=None, description="smartphones only, or others only")
    app: bool | None = Field(default=None, description="with our app only, or without")
    lte: bool | None = Field(default=None, description="phones of 4G or better only, or others")
    variant: Arm | None = Field(
        default=None, description="one arm of a test of variants; none: everybody"
    )


class Product(Params):
    """What a person gets, and what it costs."""

    kind: Literal[
        "data_pack", "roaming_pack", "coupon", "credit", "gift", "renewal", "care", "switch",
        "topup",
    ] = Field(
        description="what it is; `switch`: a change that the person agrees to, such as autopay, a "
        "cap, another SIM; `topup`: the person puts `topup_minor` in; `care`: a message, nothing "
        "to accept"
    )  # fmt: skip
    price_minor: int = Field(default=0, ge=0, description="price of the offer, minor units")
    list_price_minor: int = Field(
        default=0, ge=0, description="what it costs without the offer, minor"
    )
    data_mb: int = Field(default=0, ge=0, description="data that it gives, MB")
    bonus_minor: int = Field(default=0, ge=0, description="bonus money that it gives, minor units")
    credit_minor: int = Field(default=0, ge=0, description="main balance lent, minor units")
    topup_minor: int = Field(default=0, ge=0, description="what a person puts in, minor units")
    saved_minor: int = Field(
        default=0,
        description="what an acceptance saves or keeps for us besides its price, minor units: "
        "commission, cost of carriage, expected margin of 12 months x fall of the churn hazard, "
        "less revenue that it displaces",
    )
    valid_days: int = Field(default=7, ge=1, le=365, description="life of what it gives, days")
    partner_share: float = Field(
        default=1.0, ge=0, le=1, description="our share of the price (coupons: commission)"
    )
    unit_cost_minor: int = Field(default=0, ge=0, description="cost of delivering it, minor units")
    thing: str = Field(
        default="",
        pattern=r"^[a-z0-9_]{0,40}$",
        description="what a `switch` changes, where several offers change the same: who has it is "
        "not asked again by any of them; empty: the offer by itself",
    )
    lasts_days: int = Field(
        default=0, ge=0, le=10_000,
        description="days for which a `switch` or a roaming pack is not offered to who has it; 0: "
        "its life, `valid_days`",
    )  # fmt: skip


class Truth(Params):
    """What people make of it: read by the subscriber role, never by the engine."""

    category: Literal[
        "data", "roaming", "shopping", "money", "loyalty", "device", "renewal", "partner"
    ]
    b0: float = Field(
        default=-3.0, ge=-20, le=20, description="utility with no need, taste or fatigue"
    )
    match: float = Field(default=0.8, ge=0, le=1, description="fit of the offer to the need")
    relief: float = Field(
        default=0.0, ge=0, le=1, description="satisfaction gained by a helpful message or gift"
    )
    annoy: float = Field(
        default=1.0, ge=0, le=5, description="factor on fatigue when it is irrelevant"
    )
    place: bool = Field(default=False, description="worthless when the person has left the place")


class TreatmentParams(Params):
    """The offer as shown in one channel."""

    channel: str = Field(description="name of a channel")
    template: str = Field(default="default", description="name of the text")


class Cap(Params):
    """Highest number of contacts in a time."""

    contacts: int = Field(default=1, ge=0, le=15, description="contacts, at most")
    per_days: int = Field(
        default=7, ge=1, le=WINDOW_DAYS_MAX, description="in so many days, today among them"
    )


class Repeat(Params):
    """How often a line may take part in one offer: acceptances, not contacts."""

    times: int = Field(default=0, ge=0, le=1_000, description="acceptances, at most; 0: no limit")
    per_days: int = Field(
        default=30, ge=1, le=400, description="within so many days of the first of them"
    )
    segment: dict[Literal["mass", "youth", "premium", "business", "m2m"], int] = Field(
        default={}, description="another number of times for a segment; 0: no limit"
    )


class OfferPolicy(Params):
    """Contact rules of one offer."""

    cap: Cap = Cap()
    lever: float = Field(default=1.0, ge=0, le=100, description="business lever in arbitration")
    priority: int = Field(
        default=5, ge=0, le=9, description="rank for contacts kept back (`rtm.policy.reserve`)"
    )
    repeat: Repeat = Repeat()
    service: bool = Field(
        default=False,
        description="service message: exempt from caps of marketing, quiet hours, marketing "
        "consent and the grey and red lists",
    )
    expires_min: int = Field(default=240, ge=1, le=10_080, description="life of the message, min")


class Control(Params):
    """Sticky holdout of one offer, cut after arbitration."""

    local_percent: float = Field(
        default=10.0, ge=0, le=100, description="winners withheld, percent"
    )


Code = Literal[
    "B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "G1", "G2", "G3", "G4", "G5", "G6", "T1", "T2",
    "R1", "R2", "R3", "R4", "R5",
]  # fmt: skip
"""Codes of the 21 initiatives: billing, geo, traffic, retention and service quality."""


class Workshop(Params):
    """What a workshop believed of an initiative: for reports, never read by a kernel."""

    fires: float | None = Field(
        default=None, ge=0, description="believed fires per 1,000 lines and month"
    )
    points: float | None = Field(
        default=None, description="believed conversion that the contact adds, percentage points"
    )
    net_rub: float | None = Field(
        default=None, description="believed margin, RUB per 1,000 lines and month"
    )
    wow: int = Field(default=3, ge=1, le=5, description="customer wow, 1 to 5")
    person_months: float = Field(default=0, ge=0, description="effort after the foundation")
    months: float = Field(default=0, ge=0, description="calendar time after the foundation")


class Initiative(Params):
    """Which of the 21 initiatives an offer belongs to, and what was believed of it."""

    code: Code = Field(description="code; the offers of one code are branches of one use case")
    branch: str = Field(default="", description="branch of the use case, with its own control")
    launched: bool = Field(
        default=True, description="false: one of the seven that technical limits dropped"
    )
    feeds: tuple[str, ...] = Field(default=(), description="data feeds that it needs first")
    workshop: Workshop = Workshop()


class Offer(Params):
    """One use case of the catalogue: trigger, audience, product, treatments, rules."""

    offer: str = Field(description="name")
    title: str = Field(description="what a person reads")
    group: Literal["billing", "geo", "traffic", "retention"]
    when: dict[str, dict[str, Any]] = Field(description="trigger name and its options")
    eligible: Eligible = Eligible()
    product: Product
    propensity: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="believed chance of acceptance: what the engine starts from",
    )
    margin_minor: int = Field(
        default=0, description="believed margin of an acceptance, minor units"
    )
    truth: Truth
    treatments: tuple[TreatmentParams, ...] = Field(min_length=1)
    policy: OfferPolicy = OfferPolicy()
    control: Control = Control()
    initiative: Initiative | None = Field(
        default=None, description="which of the 21 initiatives it is; none: an offer of your own"
    )

    def names(self) -> tuple[str, ...]:
        """Return the names by which a lot may call it: its own, and its initiative's code."""
        return (self.offer,) if self.initiative is None else (self.offer, self.initiative.code)


BUYING_KINDS = ("data_pack", "roaming_pack", "coupon", "renewal", "switch")
"""Kinds of products whose acceptance is a purchase."""
OWN_KINDS = ("data_pack", "roaming_pack", "renewal")
"""Kinds of products that people also get by themselves, at list price."""


def organic_cost_minor(product: Product) -> int:
    """Return what it costs us when people get a product by themselves, less what it saves us.

    The cost of a renewal is that of the present, which comes with the offer alone.
    """
    cost = 0 if product.kind == "renewal" else product.unit_cost_minor
    return cost - product.saved_minor


def organic_product(offers: Sequence[Offer], category: str) -> Product | None:
    """Return what people get by themselves for a need: the cheapest list price, or None."""
    own = [
        o.product for o in offers
        if o.truth.category == category and o.product.kind in OWN_KINDS and not o.eligible.nobody
        and (o.product.list_price_minor > 0 or o.product.saved_minor > 0)
    ]  # fmt: skip
    return min(own, key=lambda product: product.list_price_minor, default=None)


class QuietHours(Params):
    """No marketing from `from_h` to `to_h`, local time of the subscriber."""

    from_h: float = Field(default=21.0, ge=0, le=24)
    to_h: float = Field(default=9.0, ge=0, le=24)


class ByValue(Params):
    """Contacts more or less by what a line is worth, as the engine believes it.

    Worth is the fee of its tariff without VAT, and the running margin made a month.
    """

    high_minor: int = Field(
        default=80_000, description="from this worth a month, minor units, a line is of high value"
    )
    more: int = Field(default=0, ge=0, le=15, description="contacts more for it, in every window")
    low_minor: int = Field(
        default=10_000, description="below this worth a month, minor units, of low value"
    )
    fewer: int = Field(default=0, ge=0, le=15, description="contacts fewer for it")


class ByFatigue(Params):
    """Contacts fewer for a line that ignores them: what the engine takes for fatigue."""

    ignored: int = Field(
        default=3, ge=1, le=15, description="ignored marketing contacts that make a line tired"
    )
    within_days: int = Field(
        default=14, ge=1, le=WINDOW_DAYS_MAX, description="so many days are looked back"
    )
    fewer: int = Field(
        default=0, ge=0, le=15, description="contacts fewer for a tired line, in every window"
    )


class Reserve(Params):
    """Contacts of each window kept back for offers of high priority."""

    contacts: int = Field(default=0, ge=0, le=15, description="kept back; 0: none")
    priority: int = Field(
        default=8, ge=0, le=9, description="offers of at least this priority may use them"
    )


class GreyList(Params):
    """Lines averse to some channels or topics, as the CRM knows: marketing spares them there."""

    share: float = Field(default=0.02, ge=0, le=1, description="lines on it (assumption)")
    channel_share: float = Field(
        default=0.5, ge=0, le=1, description="of these, averse to one kind of channel (assumption)"
    )
    topic_share: float = Field(
        default=0.3, ge=0, le=1, description="of these, averse to one category (assumption)"
    )


class RedList(Params):
    """Protected lines."""

    share: float = Field(default=0.002, ge=0, le=1, description="lines on it (assumption)")
    bars: Literal["marketing", "everything"] = Field(
        default="marketing", description="marketing: only service messages; everything: none"
    )


class ContactPolicy(Params):
    """Contact rules beyond `rtm.cap` and `rtm.quiet`; all but lists leave service messages out."""

    caps: tuple[Cap, ...] = Field(
        default=(), description="caps on all marketing, each beside `rtm.cap`"
    )
    channels: dict[str, tuple[Cap, ...]] = Field(
        default={},
        description="caps on marketing in one channel or one kind of channel, by its name",
    )
    reserve: Reserve = Reserve()
    value: ByValue = ByValue()
    fatigue: ByFatigue = ByFatigue()
    black_bars: Literal["marketing", "everything"] = Field(
        default="everything", description="what the black list bars: all messages, or marketing"
    )
    grey: GreyList = GreyList()
    red: RedList = RedList()


class Source(Params):
    """What becomes of the rows of one source on their way to the engine."""

    loss: float | None = Field(
        default=None, ge=0, le=1, description="share that never arrives; null: the common one"
    )
    late: float = Field(
        default=0.0, ge=0, le=1, description="share that comes late and out of order"
    )
    twice: float = Field(default=0.0, ge=0, le=1, description="share that comes twice")
    late_median_s: float = Field(
        default=600.0, gt=0, description="median delay of late rows and second copies, s"
    )
    late_sigma: float = Field(default=1.0, ge=0, le=4, description="log-sd of that delay")


class Capture(Params):
    """How late and how lossy the engine sees events."""

    loss: float = Field(default=0.001, ge=0, le=1, description="share of rows that never arrive")
    sources: dict[Literal["usage", "location", "visit", "blocked", "recharge_start"], Source] = (
        Field(default={}, description="sources with a loss, delay or copies of their own")
    )
    late_limit_min: float = Field(
        default=1_440.0, ge=0, le=14_400, description="a row later than this is dropped, min"
    )
    judged: float = Field(
        default=1 / 256,
        ge=0,
        le=1,
        description="share of lines whose triggers are judged against a perfect feed",
    )
    delay_median_ms: float = Field(default=120.0, ge=0, description="median delay of capture, ms")
    delay_sigma: float = Field(default=0.7, ge=0, le=4, description="log-sd of that delay")
    profile_ms: float = Field(default=6.0, ge=0, description="median profile look-up, ms")
    decide_ms: float = Field(default=35.0, ge=0, description="median decision, ms")


class Dwell(Params):
    """Geofence rules on observed cells."""

    mall_min: float = Field(
        default=10.0, ge=0, le=240, description="dwell before a mall trigger, min"
    )
    airport_min: float = Field(default=5.0, ge=0, le=240, description="dwell before airports, min")
    exit_min: float = Field(
        default=20.0, ge=1, le=240, description="time outside that ends a visit"
    )


class Timeout(Params):
    """A decision that takes too long is given up: the fallback, or nothing."""

    ms: int = Field(
        default=0,
        ge=0,
        le=600_000,
        description="longest time from the event to the decision, ms; 0: any",
    )
    fallback: str = Field(
        default="",
        description="offer that is sent then, where it is a candidate and policy allows it; empty: "
        "none",
    )


class RtmParams(Params):
    """All options of the RTM role."""

    enabled: bool = Field(
        default=True, description="false: nothing is decided, everything else runs"
    )
    cap: Cap = Cap(contacts=2, per_days=7)
    quiet: QuietHours = QuietHours()
    policy: ContactPolicy = ContactPolicy()
    universal_control_percent: float = Field(
        default=5.0, ge=0, le=100, description="lines withheld from everything"
    )
    consent_share: float = Field(
        default=0.86, ge=0, le=1, description="lines with marketing consent"
    )
    app_share: float = Field(
        default=0.34, ge=0, le=1, description="lines with our app and push allowed"
    )
    black_share: float = Field(default=0.01, ge=0, le=1, description="lines on the black list")
    capture: Capture = Capture()
    dwell: Dwell = Dwell()
    loyalty: Loyalty = Loyalty()
    learning: Learning = Learning()
    prices: Prices = Prices()
    timeout: Timeout = Timeout()
    arbitration: Literal["propensity", "uplift", "random", "oracle"] = Field(
        default="propensity",
        description="what ranks candidates: propensity x value; the margin that a message adds, as "
        "learned from winners withheld by lot; chance; or the truth, which no operator can have",
    )
    lots: tuple[tuple[str, ...], ...] = Field(
        default=(),
        max_length=4_096,
        description="lots into which lines fall by hash, each with the offers, or the codes of "
        "initiatives, that are live in it; none: everything is live for everybody",
    )
    withhold: tuple[str, ...] = Field(
        default=(), description="decisions switched off one by one, `SUB/OFFER`: for paired proofs"
    )
