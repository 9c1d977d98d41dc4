"""The scenario: one description of a world, a clock, a catalogue and how to run them.

It owns the assembly of the roles' option models into one.  It must not know YAML, files or the
building of actors.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from actors.billing.params import BillingParams
from actors.cells.params import CellParams
from actors.contact_centre.params import ContactCentreParams
from actors.rtm.params import Code, RtmParams
from actors.subscribers.params import SubscriberParams
from geo.params import GeoParams
from sim.core.params import Params


class ClockParams(Params):
    """Simulated time."""

    start: str = Field(
        default="2026-03-04T00:00",
        description="start, local time of the region with most residents",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$",
    )
    days: float = Field(default=1.0, gt=0, le=400, description="length, days; may be fractional")
    tick_s: int = Field(
        default=900, ge=1, le=3600, description="tick, s; divides 900 or is a multiple of it"
    )
    weekly: bool = Field(default=True, description="false: every day is a Wednesday (calendar off)")


class PopulationParams(Params):
    """How many people, and who."""

    subscribers: int = Field(
        default=1_000_000, ge=1, le=200_000_000, description="simulated lines at the start"
    )
    represents: int = Field(
        default=0,
        ge=0,
        le=2_000_000_000,
        description="real lines that they stand for; 0: as many as are simulated",
    )
    smartphone_share: float = Field(default=0.86, ge=0, le=1, description="lines with a smartphone")
    device_4g_share: float = Field(
        default=0.88, ge=0, le=1, description="smartphones with 4G or better"
    )
    donors: int = Field(
        default=12_000,
        ge=500,
        le=200_000,
        description="lines of the pilot that finds the equilibrium of the start",
    )
    donor_days: int = Field(
        default=42, ge=0, le=365, description="length of that pilot, days; 0: no pilot"
    )
    pilot: dict[str, dict[str, Any]] = Field(
        default={},
        description="sections that the pilot takes instead of the scenario's own, such as `rtm` or "
        "`catalog`: the world before the start; `twin compare` lets B start from the world of A",
    )


class CostParams(Params):
    """Prices of the work behind the programme, for the cost ledger; they change no decision.

    The work of a use case stands in its offer (`initiative.workshop.person_months`).
    """

    cep_person_months: float = Field(
        default=70.0,
        ge=0,
        le=1e6,
        description="work on event capture and triggers, person-months; with the profile 120, "
        "split by assumption",
    )
    profile_person_months: float = Field(
        default=50.0, ge=0, le=1e6, description="work on the profile in memory, person-months"
    )
    person_month_minor: int = Field(
        default=40_000_000,
        ge=0,
        le=10**15,
        description="price of a person-month, minor units (assumption)",
    )
    run_per_person_month_minor: int = Field(
        default=4_000_000,
        ge=0,
        le=10**15,
        description="running the platform for 30 days, for each person-month that was built, minor "
        "units (assumption: that of the backlog)",
    )
    written_off_months: float = Field(
        default=36.0, gt=0, le=1200, description="time in which what was built is written off"
    )


class MoneyParams(Params):
    """Currency of the scenario."""

    currency: str = Field(default="RUB", min_length=3, max_length=3, description="ISO 4217 code")
    price_level: float = Field(
        default=1.0, gt=0, le=1000, description="factor on every price of the catalogue"
    )
    costs: CostParams = CostParams()


class Definitions(Params):
    """Catalogue entries written in the scenario itself, by kind and name.

    An entry that opens with its name key (`offer: NAME`) is a whole one and replaces any other of
    that name; without it, it is a patch of the shipped entry.  A loaded scenario holds every
    selected entry here, whole, so that its file alone gives the same run again.
    """

    tariffs: dict[str, dict[str, Any]] = Field(default={}, description="tariffs by name")
    offers: dict[str, dict[str, Any]] = Field(default={}, description="offers by name")
    channels: dict[str, dict[str, Any]] = Field(default={}, description="channels by name")
    quests: dict[str, dict[str, Any]] = Field(default={}, description="quests by name")
    campaigns: dict[str, dict[str, Any]] = Field(default={}, description="campaigns by name")


class CatalogParams(Params):
    """Which entries of the catalogue are live."""

    tariffs: tuple[str, ...] = Field(default=("*",), description="names, or * for all there are")
    offers: tuple[str, ...] = Field(default=("*",), description="names, or * for all there are")
    channels: tuple[str, ...] = Field(default=("*",), description="names, or * for all there are")
    quests: tuple[str, ...] = Field(default=(), description="names, or * for all there are")
    campaigns: tuple[str, ...] = Field(default=(), description="names, or * for all there are")
    initiatives: Literal["all_21", "launched_14"] | tuple[Code, ...] = Field(
        default="all_21",
        description="which of the 21 initiatives are live: all, the 14 that technical limits left, "
        "or their codes; offers of others are left out, offers of no initiative stay",
    )
    folder: str = Field(
        default="", description="folder of further entries, relative to the scenario file"
    )
    define: Definitions = Field(
        default=Definitions(), description="entries written here, and patches"
    )


class TimelineEntry(Params):
    """Something that happens at a stated moment."""

    at_h: float = Field(ge=0, description="hours from the start")
    do: Literal["cell_outage", "rtm_off", "rtm_on", "channel_outage", "stop"]
    near: str = Field(default="", description="cell_outage: name of a fence, or `lat,lon`")
    radius_m: float = Field(default=1_500, ge=10, le=200_000, description="cell_outage: reach, m")
    target: str = Field(default="", description="channel_outage: name of the channel")
    for_min: float = Field(default=60, ge=0, le=100_000, description="length, min")


class PlacementParams(Params):
    """Where the roles run: changes no number."""

    runtime: Literal["embedded", "ray", "paranoid"] = "embedded"
    partitions: int = Field(default=0, ge=0, le=65_536, description="0: one per 65,536 lines")
    hosts: int = Field(default=0, ge=0, le=4_096, description="0: one per core")
    groups: tuple[tuple[str, ...], ...] = Field(
        default=(("subscribers", "billing", "rtm"),),
        description="roles that share a host; two groups or more hand copies of rows to each other",
    )
    ray_address: str = Field(default="", description="address of a running cluster; empty: our own")
    answer_s: float = Field(
        default=600,
        gt=0,
        le=86_400,
        description="ray: a host that has not answered a call by then is taken for dead, s",
    )
    checkpoint_s: float = Field(
        default=-1, ge=-1, description="wall seconds between checkpoints; 0 none, -1 by runtime"
    )


class RecordParams(Params):
    """What a run writes: changes no number."""

    sample: float = Field(
        default=-1,
        ge=-1,
        le=1,
        description="share of lines whose rows are kept; -1: about 1,500 lines",
    )
    watch: tuple[int, ...] = Field(default=(), description="lines kept besides the sample")
    tape: bool = Field(
        default=False,
        description="also write every row that `twin replay` can put back, as Parquet in `tape/`",
    )
    digest_stride: int = Field(
        default=0,
        ge=0,
        description="per tick, digest one line in so many, in runs of 256; 0: about 1,000 lines",
    )
    line_digests: bool = Field(
        default=False,
        description="write `lines.parquet`: digest, margin and segment of every line at the end, "
        "so that `twin compare` can say whose day changed",
    )


class ReplayParams(Params):
    """How recorded events are taken (`twin replay`)."""

    bad_share_max: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="largest share of rows that may be left out for a fault of the file",
    )


class Targets(Params):
    """Gates on headline figures; a miss is exit 4."""

    decision_p99_ms: float | None = Field(
        default=None, gt=0, description="simulated p99 of a decision"
    )


class Scenario(Params):
    """One runnable description."""

    scenario: str = Field(description="name", pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    title: str = Field(default="", description="one line for people")
    question: str = Field(default="", description="the question that this scenario answers")
    seed: int = Field(default=20260304, ge=0, le=2**63 - 1, description="root of every draw")
    clock: ClockParams = ClockParams()
    population: PopulationParams = PopulationParams()
    money: MoneyParams = MoneyParams()
    geography: GeoParams
    subscribers: SubscriberParams = SubscriberParams()
    cells: CellParams = CellParams()
    billing: BillingParams = BillingParams()
    contact_centre: ContactCentreParams = ContactCentreParams()
    rtm: RtmParams = RtmParams()
    catalog: CatalogParams = CatalogParams()
    timeline: tuple[TimelineEntry, ...] = ()
    replay: ReplayParams = ReplayParams()
    targets: Targets = Targets()
    placement: PlacementParams = PlacementParams()
    record: RecordParams = RecordParams()
