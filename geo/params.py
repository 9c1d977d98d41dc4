"""Say which geography a scenario uses and how its network is laid out.

This module owns `GeoParams`: every knob of the geography with its default, unit and source. It
is assembled by scenarios and read once by `geo.territory.build_geography`. It must not know files,
arrays or subscribers.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GeoParams(BaseModel):
    """Knobs of the geography; letters in brackets: V verified, C computed, A assumed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(
        default="astana",
        min_length=1,
        description="geography folder: a shipped name (astana, russia) or a path relative to the "
        "scenario file",
    )
    resolution: int = Field(
        default=9,
        ge=5,
        le=10,
        description="H3 resolution of the hexes people move between: 9 town, 8 country",
    )
    residents_total: int = Field(
        default=0,
        ge=0,
        le=400_000_000,
        description="residents of the whole territory: those that no place of the folder has live "
        "in made-up villages around small places and recorded towers; 0: nobody besides",
    )
    market_share_sigma: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="sd of the logarithm of the operator's share of the residents of a region, "
        "drawn by the region's name; no open figure by region (A)",
    )
    sites_per_million: int = Field(
        default=720,
        ge=1,
        le=20_000,
        description="macro sites per million subscribers represented; 78 M / 55,000 sites = 705 "
        "(C)",
    )
    cells_max: int | None = Field(
        default=150_000,
        ge=3,
        le=1_000_000,
        description="upper limit of radio cells, indoor ones included; null for none",
    )
    sectors: int = Field(default=3, ge=1, le=6, description="sectors (cells) per macro site")
    cell_capacity_mbps: float = Field(
        default=45.0,
        gt=0,
        le=10_000,
        description="Mbit/s, sum of user throughput of an LTE cell at full load, 30-60 (A); other "
        "technologies scale from it",
    )
    range_km: float = Field(
        default=10.0, gt=0, le=100, description="km, farthest a macro cell is preferred (V mobloc)"
    )
    path_loss_exponent: float = Field(
        default=3.75, ge=2, le=6, description="path-loss exponent: 3.5 open, 4 dense (V mobloc)"
    )
    shadowing_db: float = Field(
        default=8.0, ge=0, le=20, description="dB, sd of log-normal shadowing per (hex, site) (V)"
    )
    reselection_db: float = Field(
        default=2.0,
        ge=0,
        le=50,
        description="dB by which a weaker cell loses a factor e of its chance to serve, on top of "
        "signal dominance; 0 is plain mobloc. Set so that an unmoved phone that "
        "draws afresh changes cell in 26 % of events in Astana; 10-25 % is wanted (A)",
    )
    indoor_min_m2: float = Field(
        default=10_000,
        ge=0,
        description="m2 of floor from which a mall has indoor cells of its own",
    )
    indoor_share: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of phones inside a fence that its indoor cells serve (C 0.88-0.9)",
    )
    indoor_leak_m: float = Field(
        default=120.0,
        ge=0,
        le=1_000,
        description="m around a fence in which its indoor cells also serve passers-by",
    )
    indoor_leak_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of phones within indoor_leak_m that the indoor cells serve; set so that "
        "mall precision falls in 0.6-0.9 (C)",
    )
    malls_per_100k: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="synthetic malls per 100,000 residents in towns without real ones; Astana has "
        "1.8 (C)",
    )
    mall_town_min: int = Field(
        default=20_000, ge=0, description="residents from which a town gets synthetic malls"
    )
    shops: int = Field(
        default=0, ge=0, le=10_000, description="synthetic own-brand shops, by residents"
    )
    mall_presence: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="share of residents who are in a mall at a daytime moment: the crowd prior of "
        "geofence detection (A)",
    )
    airport_presence: float = Field(
        default=0.002,
        ge=0,
        le=0.5,
        description="share of an airport's catchment who are in it at a daytime moment (A)",
    )
    shop_presence: float = Field(
        default=0.0005, ge=0, le=0.5, description="the same for shops, all together (A)"
    )
    fence_p_min: float = Field(
        default=0.4,
        gt=0,
        lt=1,
        description="lowest P(inside fence | serving cell) at which a cell counts for a fence",
    )
