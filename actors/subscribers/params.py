"""Options of the subscriber role: who the people are, how they move, use, feel and leave.

It owns defaults and ranges, each with its source or the word *assumption*.  It must not know the
kernels that read the compiled form.
"""

from __future__ import annotations

from pydantic import Field

from sim.core.params import Params


class MobilityParams(Params):
    """The diary: work, leisure, malls, journeys."""

    employed_share: float = Field(
        default=0.60, ge=0, le=1, description="share of adults with a work place (assumption)"
    )
    work_start_h: float = Field(
        default=8.75, ge=0, le=24, description="mean start of work, local hour"
    )
    work_hours: float = Field(
        default=8.5, ge=1, le=16, description="mean length of a working day, h"
    )
    leisure_per_day: float = Field(
        default=0.45, ge=0, le=1, description="chance of a leisure outing on a day (assumption)"
    )
    mall_share_weekday: float = Field(
        default=0.16, ge=0, le=1, description="share of outings that go to a mall, Monday to Friday"
    )
    mall_share_weekend: float = Field(
        default=0.34, ge=0, le=1, description="share of outings that go to a mall, weekend"
    )
    journeys_per_1000_month: float = Field(
        default=9.0, ge=0, le=1000, description="flights abroad per 1,000 subscribers and 30 days"
    )
    abroad_days: float = Field(default=5.0, ge=0.5, le=60, description="median stay abroad, days")
    trips_per_1000_month: float = Field(
        default=25.0,
        ge=0,
        le=1000,
        description="journeys to another region per 1,000 subscribers and 30 days, by rail or "
        "road; none where the geography has one region (assumption)",
    )
    trip_days: float = Field(
        default=2.5, ge=0.5, le=60, description="median stay in another region, days (assumption)"
    )
    ping_pong: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="share of events of an unmoved phone served by another cell (10-25 %)",
    )


class UsageParams(Params):
    """What lines do in a day."""

    voice_per_day: float = Field(
        default=4.0, ge=0, le=200, description="call records per active day"
    )
    sms_per_day: float = Field(default=1.6, ge=0, le=200, description="text records per active day")
    data_per_day: float = Field(
        default=58.0, ge=0, le=500, description="data session slices per active day"
    )
    location_per_day: float = Field(
        default=40.0,
        ge=0,
        le=500,
        description="location and signalling events that reach the platform",
    )
    visit_per_day: float = Field(
        default=2.0,
        ge=0,
        le=100,
        description="visits of a shop or rival page, app or site, per day",
    )
    activity_sigma: float = Field(
        default=0.75, ge=0, le=3, description="log-sd of the activity of lines (heavy tail)"
    )
    burst_shape: float = Field(
        default=0.55,
        gt=0,
        le=100,
        description="gamma shape of the rate within an epoch; small is bursty, 100 is Poisson",
    )
    data_gb_month: float = Field(
        default=10.0, ge=0, le=1000, description="mean data volume of a line, GB a month"
    )
    data_sigma: float = Field(
        default=1.35, ge=0, le=3, description="log-sd of the data volume between lines"
    )
    call_median_s: float = Field(
        default=27.0, gt=0, le=3600, description="median answered call, s (Copenhagen set: 27 s)"
    )
    call_sigma: float = Field(
        default=1.45, ge=0, le=3, description="log-sd of call durations (Copenhagen set: 1.66)"
    )
    poor_hours: float = Field(
        default=0.0002,
        ge=0,
        le=1,
        description="share of the hours of a line in which its radio is poor (lift, basement, "
        "tunnel): calls and some data are refused, other data is slow (assumption)",
    )
    missed_share: float = Field(
        default=0.26, ge=0, le=1, description="calls without answer (Copenhagen set: 26 %)"
    )


class RechargeParams(Params):
    """How prepaid lines put money in."""

    delay_median_min: float = Field(
        default=90.0,
        gt=0,
        le=100_000,
        description="median delay from the notice to the recharge, min",
    )
    delay_sigma: float = Field(default=1.6, ge=0, le=4, description="log-sd of that delay")
    days_covered: float = Field(
        default=17.0, gt=0, le=120, description="days of spending that a typical recharge covers"
    )


class AnswerParams(Params):
    """How people see, answer and tire of messages (truth.md sections 1 to 5)."""

    effects: float = Field(
        default=1.0,
        ge=0,
        le=5,
        description="scale of every effect of a contact; 0 makes treated and control the same",
    )
    seen_share: float = Field(
        default=0.55,
        ge=0,
        le=1,
        description="chance that a delivered text is seen at full attention",
    )
    fatigue_per_contact: float = Field(
        default=0.30,
        ge=0,
        le=10,
        description="fatigue added by one seen, wholly irrelevant contact",
    )
    fatigue_half_life_days: float = Field(
        default=7.0, gt=0, le=365, description="half-life of fast fatigue, days (assumption)"
    )
    fatigue_weight: float = Field(
        default=1.1, ge=0, le=20, description="loss of utility per fatigue"
    )
    price_weight: float = Field(
        default=3.0, ge=0, le=100, description="loss of utility per price over a month's spending"
    )
    need_weight: float = Field(
        default=2.2, ge=0, le=20, description="utility of a full-strength need"
    )
    taste_weight: float = Field(
        default=0.55, ge=0, le=20, description="utility of one standard deviation of taste"
    )
    trust_weight: float = Field(
        default=0.35, ge=0, le=20, description="utility of trust at its maximum"
    )
    delay_median_min: float = Field(
        default=26.0,
        gt=0,
        le=10_000,
        description="median from send to answer, min (log-normal fit of four published points)",
    )
    delay_sigma: float = Field(default=2.75, ge=0, le=5, description="log-sd of that delay")
    opt_out_share: float = Field(
        default=0.0004,
        ge=0,
        le=1,
        description="opt-out per seen marketing contact at fatigue 1 (0.02-0.05 %, assumption)",
    )
    horizon_days: float = Field(
        default=0.25,
        gt=0,
        le=90,
        description="horizon of `uplift` and of the direct truth, days",
    )


class MeansParams(Params):
    """How a price enters utility, and what purchases leave behind (truth.md section 1)."""

    income_sigma: float = Field(
        default=0.30,
        ge=0,
        le=2,
        description="log-sd of income about a month's spending; 0: income is spending (assumption)",
    )
    sensitivity_sigma: float = Field(
        default=0.5, ge=0, le=2, description="log-sd of price sensitivity (assumption)"
    )
    sensitivity_arpu: float = Field(
        default=0.30,
        ge=0,
        le=1,
        description="correlation of price sensitivity with low spending (assumption)",
    )
    wallet_weight: float = Field(
        default=4.0,
        ge=0,
        le=100,
        description="loss of utility per wallet by which a purchase would exceed the wallet of "
        "30 days; 0: no wallet (assumption)",
    )
    wallet_headroom: float = Field(
        default=0.25,
        ge=0,
        le=10,
        description="median of what a line may spend in 30 days beyond its usual month, as a share "
        "of that (assumption)",
    )
    wallet_sigma: float = Field(
        default=0.25, ge=0, le=2, description="log-sd of the wallet (assumption)"
    )
    deal_learning: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="chance that a purchase at a discount teaches a line a step, of seven, of "
        "waiting for the next; 0: nobody waits for deals (assumption)",
    )
    deal_wait: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of purchases at list price that a line puts off once it has learnt all "
        "seven steps (assumption)",
    )
    deal_weight: float = Field(
        default=0.8,
        ge=0,
        le=20,
        description="utility that an offer without discount loses with such a line (assumption)",
    )
    deal_days: float = Field(
        default=90.0, gt=0, le=1000, description="mean life of a learnt step, days (assumption)"
    )


CAUSES: dict[str, tuple[str, float]] = {
    "allowance_80": ("data", 0.25),
    "allowance_100": ("data", 0.60),
    "allowance_ends": ("data", 0.10),
    "money_low": ("money", 0.35),
    "fee_short": ("money", 0.45),
    "topup": ("money", 0.30),
    "bill": ("loyalty", 0.15),
    "contract_ends": ("renewal", 0.50),
    "mall": ("shopping", 0.30),
    "own_shop": ("device", 0.03),
    "cart": ("device", 0.60),
    "rival": ("loyalty", 0.30),
    "category": ("partner", 0.25),
    "landed": ("partner", 0.30),
    "abroad": ("roaming", 0.30),
    "elsewhere": ("data", 0.20),
    "slow": ("device", 0.02),
    "refused": ("loyalty", 0.05),
    "returned": ("loyalty", 0.40),
}
"""What may wake a need: which, and with what chance (assumptions).

allowance_80, allowance_100, allowance_ends, money_low, fee_short, contract_ends: the account said
so; bill: it said that a fee failed, that nothing is left, or that the line is cut off; topup: a
top-up was begun; mall, own_shop: the person came to one; cart, rival, category: pages of one kind
were read at length (a cart however shortly); landed, abroad, elsewhere: a journey ended at home,
abroad, in another region; slow, refused: the network served badly; returned: a silence ended.
"""


class NeedParams(Params):
    """Wants that are alive for a while, and what becomes of them without any contact.

    A dictionary that names some entries leaves the others at their defaults.
    """

    woken_by: dict[str, float] = Field(
        default={cause: chance for cause, (_, chance) in CAUSES.items()},
        description="chance that a cause wakes its need, by cause; 0 for needs without causes",
    )

    organic_share: dict[str, float] = Field(
        default={
            "data": 0.16,
            "roaming": 0.32,
            "shopping": 0.06,
            "money": 0.05,
            "loyalty": 0.04,
            "device": 0.03,
            "renewal": 0.30,
            "partner": 0.05,
        },
        description="share of needs, by category, that people serve themselves at list price",
    )
    organic_delay_h: dict[str, float] = Field(
        default={
            "data": 7.0,
            "roaming": 6.0,
            "shopping": 0.8,
            "money": 5.0,
            "loyalty": 48.0,
            "device": 72.0,
            "renewal": 240.0,
            "partner": 2.0,
        },
        description="mean delay of the organic purchase, h",
    )
    decay_h: dict[str, float] = Field(
        default={
            "data": 20.0,
            "roaming": 16.0,
            "shopping": 1.2,
            "money": 10.0,
            "loyalty": 96.0,
            "device": 240.0,
            "renewal": 480.0,
            "partner": 4.0,
        },
        description="time constant of a need's strength, h",
    )
    spontaneous_per_day: dict[str, float] = Field(
        default={
            "data": 0.006,
            "roaming": 0.0,
            "shopping": 0.004,
            "money": 0.002,
            "loyalty": 0.002,
            "device": 0.002,
            "renewal": 0.0003,
            "partner": 0.004,
        },
        description="needs per line and day that no event announces",
    )


class LeaveParams(Params):
    """Hazard of leaving, and falling silent."""

    churn_month: float = Field(
        default=0.02, ge=0, le=0.5, description="base hazard of leaving, share of lines per 30 days"
    )
    dissatisfied_factor: float = Field(
        default=3.0,
        ge=1,
        le=20,
        description="factor on the hazard at satisfaction 0 against the middle",
    )
    silences_per_1000_month: float = Field(
        default=14.0,
        ge=0,
        le=1000,
        description="lines per 1,000 and 30 days that fall silent for long",
    )
    silence_days: float = Field(
        default=38.0, ge=1, le=365, description="median length of a long silence, days"
    )
    blocked_cost: float = Field(
        default=0.012, ge=0, le=1, description="satisfaction lost by a blocked call or slow session"
    )


class SubscriberParams(Params):
    """All options of the subscriber role."""

    mobility: MobilityParams = MobilityParams()
    usage: UsageParams = UsageParams()
    recharge: RechargeParams = RechargeParams()
    answers: AnswerParams = AnswerParams()
    means: MeansParams = MeansParams()
    needs: NeedParams = NeedParams()
    leaving: LeaveParams = LeaveParams()
