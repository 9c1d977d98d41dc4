"""Options of the contact centre: who calls, who answers, for how long, with how much patience.

It owns the model and the source of each default.  Figures of 2011 are those of the operator's
centres in `S1`: 230,000 contacts a day and 8 million a month for 71.3 million lines (the two
differ by 16 %: they count different contacts), seven centres, the largest with 100,000 a day.
"""

from __future__ import annotations

from pydantic import Field

from sim.core.params import Params

HOURS = (
    10, 6, 4, 3, 3, 5, 12, 25, 50, 75, 90, 95, 92, 90, 88, 85, 82, 80, 78, 75, 65, 50, 32, 18,
)  # fmt: skip


class CentreSite(Params):
    """One of the centres."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,40}$", description="name")
    share: float = Field(gt=0, le=1e9, description="its share of the calls, in any unit")


class CallCauses(Params):
    """Which events of the twin make a line call: shares of the events, all assumptions."""

    suspended: float = Field(default=0.10, ge=0, le=1, description="the line was suspended")
    fee_failed: float = Field(default=0.02, ge=0, le=1, description="a fee could not be paid")
    allowance_used: float = Field(
        default=0.003, ge=0, le=1, description="the data allowance was used up"
    )
    zero_balance: float = Field(
        default=0.002, ge=0, le=1, description="the main balance has come to nothing"
    )
    refused_use: float = Field(
        default=0.002, ge=0, le=1,
        description="a call was refused, or data starved: full cells, cells out of service",
    )  # fmt: skip
    confused: float = Field(
        default=0.005, ge=0, le=1,
        description="a marketing message was seen and no need for it was alive",
    )  # fmt: skip
    about_offer: float = Field(
        default=0.002, ge=0, le=1,
        description="a marketing message was seen: questions about the offer",
    )  # fmt: skip
    delay_median_min: float = Field(
        default=10, gt=0, le=10_000, description="median time until the call, min"
    )
    delay_sigma: float = Field(default=1.0, ge=0, le=4, description="sigma of its log-normal law")


class CallEffects(Params):
    """How a call moves satisfaction (0 to 1) and trust of the caller: all assumptions.

    One refused use costs 0.012 (`subscribers.leaving.blocked_cost`), which sets the scale. All of
    it is multiplied by `subscribers.answers.effects`.
    """

    free_wait_s: float = Field(default=60, ge=0, le=3600, description="wait that annoys nobody, s")
    wait_cost_per_min: float = Field(
        default=0.004, ge=0, le=1, description="satisfaction lost by a minute of wait beyond that"
    )
    wait_min_max: float = Field(
        default=15, ge=0, le=240, description="minutes of wait beyond which nothing more is lost"
    )
    abandoned_cost: float = Field(
        default=0.02, ge=0, le=1, description="satisfaction lost by hanging up in the queue"
    )
    turned_away_cost: float = Field(
        default=0.02, ge=0, le=1, description="satisfaction lost by finding every line taken"
    )
    answer_gain: float = Field(
        default=0.02, ge=0, le=1,
        description="share of the missing satisfaction that an answer restores",
    )  # fmt: skip
    useful_gain: float = Field(
        default=0.02, ge=0, le=1,
        description="share of the missing satisfaction that a useful suggestion restores besides",
    )  # fmt: skip


class ScreenParams(Params):
    """The agent's screen: offers ranked for the caller and the reason of the call (S1.4).

    The ranking is that of arbitration, with one factor for the reason of the call: what the
    engine believes such a caller needs.
    """

    channel: str = Field(
        default="agent",
        description="channel of the catalogue by which the agent speaks; where the scenario has "
        "none of this name there is no screen",
    )
    share: float = Field(
        default=0.5, ge=0, le=1,
        description="answered calls in which the agent voices the first suggestion (assumption)",
    )  # fmt: skip
    useful: float = Field(
        default=0.65, gt=0, lt=1,
        description="suggestions found useful at `relevance`; S1 publishes 65 %: an input",
    )  # fmt: skip
    fits: float = Field(
        default=0.70, gt=0, lt=1,
        description="suggestions said to fit at `relevance`; S1 publishes about 70 %: an input",
    )  # fmt: skip
    relevance: float = Field(
        default=0.02, ge=0, le=1,
        description="need alive times match of the offer, at which the two shares hold: about the "
        "mean of a default day, so that they come out there (calibrated)",
    )  # fmt: skip
    relevance_gain: float = Field(
        default=3.0, ge=0, le=20,
        description="growth of the log-odds of both from relevance 0 to 1 (assumption)",
    )  # fmt: skip
    doubt: dict[str, float] = Field(
        default={"data": 0.3, "roaming": 0.02, "shopping": 0.05, "money": 0.3, "loyalty": 0.2,
                 "device": 0.05},
        description="factor on the priority of offers by category of need, where neither the live "
        "profile shows a sign of it nor the reason of the call names it (assumption): the beliefs "
        "of the catalogue hold for people at the trigger of an offer, not for any caller",
    )  # fmt: skip
    reasons: dict[str, dict[str, float]] = Field(
        default={
            "bill_shock": {"money": 3.0, "data": 2.0},
            "no_service": {"device": 2.0, "loyalty": 3.0},
            "fault": {"device": 2.0, "loyalty": 2.0},
        },
        description="factor on the priority of offers by reason of the call and category of need: "
        "what the engine believes, 1 where not named (assumption)",
    )


class ContactCentreParams(Params):
    """The contact centre.

    Agents answer in two groups for each centre: `care` takes questions and bills, `technical`
    takes faults first and then the rest.
    """

    enabled: bool = Field(default=True, description="false: nobody can call")
    sites: tuple[CentreSite, ...] = Field(
        default=(
            CentreSite(name="nizhny_novgorod", share=100),
            CentreSite(name="samara", share=130 / 6),
            *(CentreSite(name=f"centre_{k}", share=130 / 6) for k in range(3, 8)),
        ),
        min_length=1, max_length=50,
        description="centres; the largest takes 100,000 of 230,000 contacts a day (S1)",
    )  # fmt: skip
    causes: CallCauses = CallCauses()
    calls_per_1000_day: float = Field(
        default=230_000 / 71_300, ge=0, le=1000,
        description="calls of 1,000 lines in a working day that no event of the twin causes (S1)",
    )  # fmt: skip
    hours: tuple[float, ...] = Field(
        default=HOURS, min_length=24, max_length=24,
        description="weight of each hour of the day (assumption: busy hour about 8 %)",
    )  # fmt: skip
    weekend: float = Field(
        default=0.75, ge=0, le=10, description="calls of a weekend day over a working day"
    )
    technical_share: float = Field(
        default=0.15, ge=0, le=1, description="of these calls, about a fault (assumption)"
    )
    handling_s: float = Field(
        default=240, gt=0, le=7200, description="mean handling time of a call, s (assumption)"
    )
    handling_sigma: float = Field(
        default=0.6, ge=0, le=3, description="sigma of its log-normal law (assumption)"
    )
    handling_factor: float = Field(
        default=1.0, gt=0, le=10,
        description="lever: handling time with ranked suggestions over without. The published "
        "wait of 4.5 and then 2.9 min needs 0.852 in an overloaded pool with 10 min of patience",
    )  # fmt: skip
    deflected_share: float = Field(
        default=0.0, ge=0, le=1,
        description="lever: share of these calls that self-service and timely messages prevent; "
        "the agents stay as many",
    )  # fmt: skip
    patience_s: float = Field(
        default=180, gt=0, le=86_400, description="mean patience of a caller, s (assumption)"
    )
    retry_share: float = Field(
        default=0.4, ge=0, le=1, description="callers who hung up and call again (assumption)"
    )
    retry_s: float = Field(
        default=600, gt=0, le=86_400, description="mean time until they do, s (assumption)"
    )
    retries_max: int = Field(default=3, ge=0, le=20, description="further calls of one caller")
    callback_wait_s: float = Field(
        default=120, gt=0, le=86_400,
        description="expected wait from which a call-back is offered, s (assumption)",
    )  # fmt: skip
    callback_share: float = Field(
        default=0.2, ge=0, le=1, description="callers who accept it and keep their place"
    )
    target_share: float = Field(
        default=0.8, gt=0, lt=1, description="staffing: calls to be answered within `target_s`"
    )
    target_s: float = Field(default=20, ge=0, le=3600, description="staffing: within so long, s")
    agents_scale: float = Field(
        default=1.0, ge=0, le=100,
        description="lever: agents on duty over the fewest that meet the target (Erlang C)",
    )  # fmt: skip
    shared_queue: bool = Field(
        default=False, description="lever: any centre answers calls to any other"
    )
    lines_max: int = Field(
        default=0, ge=0, le=10_000_000, description="most calls in all centres; 0 no limit"
    )
    phantom_spread_s: int = Field(
        default=900, ge=1, le=86_400,
        description="a caused call of a simulated line brings those of the lines that it stands "
        "for within so long, s",
    )  # fmt: skip
    screen: ScreenParams = ScreenParams()
    effects: CallEffects = CallEffects()
