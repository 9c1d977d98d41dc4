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
    confused: float = Field(
        default=0.005, ge=0, le=1,
        description="a marketing message was seen and no need for it was alive",
    )  # fmt: skip
    delay_median_min: float = Field(
        default=10, gt=0, le=10_000, description="median time until the call, min"
    )
    delay_sigma: float = Field(default=1.0, ge=0, le=4, description="sigma of its log-normal law")


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
    advice_share: float = Field(
        default=0.0, ge=0, le=1,
        description="lever: answered calls in which the agent voices a ranked suggestion",
    )  # fmt: skip
    advice_useful: float = Field(
        default=0.65, ge=0, le=1, description="of these, found useful (S1: 65 %; an input)"
    )
    advice_fits: float = Field(
        default=0.70, ge=0, le=1, description="of these, said to fit (S1: about 70 %; an input)"
    )
