"""The national scenario holds the published counts and the recipe of its network.

The geography of the country is built once (or read from the cache), then counted.
"""

import numpy as np
import pytest

from geo import bands
from geo.fences import read_footprints
from geo.geography import (
    FENCE_AIRPORT,
    FENCE_MALL,
    FENCE_SHOP,
    SITE_ANCHORED,
    SITE_INDOOR,
    SITE_REAL_MAST,
    SITE_SYNTHETIC,
    Geography,
)
from geo.io import DATA_DIR, read_folder
from geo.sites import PIXEL_JITTER_DEG
from scenarios import load
from scenarios.population import homes
from scenarios.world import build_world, load_geography, make_calendar
from sim.core.partition import Partition

CLASSES = (
    (1_000_000, 1 << 40, 29.3, 10_400),
    (250_000, 1_000_000, 27.7, 10_600),
    (50_000, 250_000, 25.3, 10_400),
    (0, 50_000, 63.6, 23_800),
)
"""(residents of a place from, to, million residents, sites) of the recipe: 146 M, 55,200 sites; its
small towns, villages and roads are taken together, since lists differ in what a town is."""


@pytest.fixture(scope="module")
def loaded():
    """The scenario as shipped."""
    return load("megafon_2019")


@pytest.fixture(scope="module")
def nation(loaded) -> Geography:
    """Its geography."""
    return load_geography(loaded)


@pytest.fixture(scope="module")
def world(loaded, nation):
    """Its world with a fifth of a million lines that stand for all."""
    return build_world(loaded.with_(subscribers=200_000), nation)


def test_the_scenario_is_the_published_operator(loaded, nation):
    """78 M lines, 150 thousand cells, 4,000 shops, 88 airports with their codes."""
    pop = loaded.model.population
    assert (pop.subscribers, pop.represents) == (78_000_000, 78_000_000)
    assert nation.n_cell == 150_000
    assert (nation.fence_kind == FENCE_SHOP).sum() == 4_000
    airports = nation.fence_kind == FENCE_AIRPORT
    assert airports.sum() == 88 and not nation.fence_synthetic[airports].any()
    codes = [nation.fence_iata[f] for f in np.flatnonzero(airports)]
    assert {"SVO", "DME", "VKO", "LED", "KHV"} <= set(codes)
    # 78 M on 150,000 stations: 520 lines each.
    assert pop.subscribers / nation.n_cell == pytest.approx(520, abs=1)


def test_every_tower_pixel_has_a_site_and_no_mast_is_claimed(nation):
    """12,293 sites stand within half a pixel of a recorded tower; the rest is marked made up."""
    folder = read_folder(DATA_DIR / "russia")
    kinds = np.bincount(nation.site_kind, minlength=4)
    assert kinds[SITE_ANCHORED] == len(folder.tower_lat) == 12_293
    assert kinds[SITE_REAL_MAST] == 0
    assert kinds[SITE_SYNTHETIC] > 35_000
    anchored = nation.site_kind == SITE_ANCHORED
    near, _ = bands.nearest(
        folder.tower_lat, folder.tower_lon,
        bands.make_bands(nation.site_lat[anchored], nation.site_lon[anchored]),
        k=1, radii_km=(1.0,),
    )  # fmt: skip
    assert (near >= 0).all()
    # In order of position, each site is its pixel's: the jitter keeps it within half a pixel.
    sites = np.sort(nation.site_lat[anchored]), np.sort(nation.site_lon[anchored])
    towers = np.sort(folder.tower_lat), np.sort(folder.tower_lon)
    for mine, theirs in zip(sites, towers, strict=True):
        assert np.abs(mine - theirs).max() <= PIXEL_JITTER_DEG + 1e-9
    assert (nation.cell_fence >= 0).sum() + 3 * (kinds.sum() - kinds[SITE_INDOOR]) == 150_000


def test_residents_are_those_of_the_country_and_its_places(nation):
    """146 M, of which 117.2 M in 4,849 listed places and the rest in hexes marked as villages."""
    assert nation.people == 146_000_000
    assert len(nation.place_names) == 4_849
    assert nation.place_people.sum() == 117_214_534
    villages = nation.hex_people[nation.hex_village]
    assert villages.sum() == 146_000_000 - 117_214_534
    # Moscow of the lists, with its own hexes only.
    moscow = nation.place_names.index("Moscow")
    own = (nation.hex_place == moscow) & ~nation.hex_village
    assert nation.hex_people[own].sum() == pytest.approx(11_514_330, rel=0.03)


def test_lines_follow_residents_and_a_share_by_region(nation, world):
    """Shares have a log-sd of 0.25 between regions; homes of lines follow them exactly."""
    people = np.bincount(nation.hex_region, weights=nation.hex_people, minlength=nation.n_region)
    lines = np.bincount(nation.hex_region, weights=nation.hex_lines, minlength=nation.n_region)
    assert lines.sum() == pytest.approx(people.sum(), rel=1e-6)
    # 83 regions: the standard deviation is known to 8 %; 4 of those are allowed.
    assert 0.17 < np.log(lines / people).std() < 0.33
    n = 200_000
    live = homes(world.seed, np.arange(n), world.population)
    found = np.bincount(nation.hex_region[live], minlength=nation.n_region)
    wanted = n * lines / lines.sum()
    chi2 = ((found - wanted) ** 2 / wanted).sum()
    assert chi2 < nation.n_region + 5 * np.sqrt(2 * nation.n_region), f"chi2 {chi2}, n {n}"


def test_sites_follow_the_classes_of_the_recipe(nation):
    """Sites by size of town are within a quarter of the recipe, scaled to the sites there are."""
    macro = np.flatnonzero(nation.site_kind != SITE_INDOOR)
    near, _ = bands.nearest(
        nation.site_lat[macro], nation.site_lon[macro],
        bands.make_bands(nation.hex_lat, nation.hex_lon), k=1, radii_km=(3.0, 30.0, 300.0, 2e4),
    )  # fmt: skip
    size = np.where(nation.hex_village, 0, nation.place_people[nation.hex_place])
    scale = len(macro) / sum(sites for *_, sites in CLASSES)
    for low, high, million, sites in CLASSES:
        found = int(((size[near[:, 0]] >= low) & (size[near[:, 0]] < high)).sum())
        residents = nation.hex_people[(size >= low) & (size < high)].sum() / 1e6
        assert residents == pytest.approx(million, rel=0.05), f"{low}: {residents} M"
        assert found == pytest.approx(sites * scale, rel=0.25), f"{low}: {found} sites"


def test_technologies_are_those_of_the_recipe(nation):
    """4G or 5G on about 95 % of macro cells, 5G on 1-5 % and in large towns only."""
    macro = nation.cell_fence < 0
    share = np.bincount(nation.cell_rat[macro], minlength=6) / macro.sum()
    assert 0.93 <= share[4] + share[5] <= 0.97
    assert 0.01 <= share[5] <= 0.05


def test_malls_follow_town_size_and_are_marked(nation):
    """About one per 100,000 residents of towns over 20,000; one is mapped, all others say so."""
    malls = nation.fence_kind == FENCE_MALL
    assert (malls & ~nation.fence_synthetic).sum() == 1
    towns = nation.place_people[nation.place_people >= 20_000].sum()
    assert malls.sum() == pytest.approx(towns / 1e5, rel=0.1)
    assert nation.fence_synthetic[nation.fence_kind == FENCE_SHOP].all()
    # Sizes are those of the real footprints, and none stands in a village.
    area, _ = read_footprints()
    made = malls & nation.fence_synthetic
    assert np.median(nation.fence_area_m2[made]) < np.quantile(area, 0.75)
    spots = nation.spot_hex[nation.n_hex :][made]
    assert nation.hex_village[spots].mean() < 0.02
    indoor = np.unique(nation.cell_fence[nation.cell_fence >= 0])
    large = np.flatnonzero(malls & (nation.fence_floor_m2 >= 10_000))
    assert set(large) <= set(indoor.tolist())
    airports = np.flatnonzero(nation.fence_kind == FENCE_AIRPORT)
    assert set(airports) <= set(indoor.tolist())


def test_most_airports_and_large_malls_can_be_found_from_the_network(nation):
    """The build says which cannot: a few Arctic airports, and malls without indoor cells."""
    seen = np.zeros(nation.n_fence, bool)
    seen[nation.cell_fence_ix] = True
    airports = nation.fence_kind == FENCE_AIRPORT
    large = (nation.fence_kind == FENCE_MALL) & (nation.fence_floor_m2 >= 10_000)
    assert seen[airports].sum() >= 80
    assert seen[large].mean() > 0.95
    assert any("airports are too small" in warning for warning in nation.warnings)


def test_the_clock_is_that_of_moscow_and_eleven_zones_follow(loaded, nation):
    """Midnight of the scenario is midnight in Moscow; Kamchatka is nine hours ahead."""
    calendar = make_calendar(loaded.model, nation)
    shift = dict(zip(nation.region_names, calendar.region_shift_q.tolist(), strict=True))
    assert nation.clock_tz_q == 12 and shift["Moscow"] == 0
    assert shift["Kaliningrad Oblast"] == -4 and shift["Kamchatka Krai"] == 36
    assert sorted(set(nation.region_tz_q.tolist())) == list(range(8, 49, 4))


def test_quiet_hours_and_diaries_go_by_the_clock_of_the_line(nation, world):
    """Both roles get the shift of the line's region, and the day of Kamchatka dawns first."""
    wanted = nation.region_tz_q.astype(int) - 12
    assert world.rtm.tables.region_shift_q.tolist() == wanted.tolist()
    assert world.subscribers.tables.region_shift_q.tolist() == wanted.tolist()
    profile = world.build(Partition(0, 0, 2_000))[0].profile
    live = homes(world.seed, np.arange(2_000), world.population)
    np.testing.assert_array_equal(profile["region"], nation.hex_region[live])
    kamchatka = nation.region_names.index("Kamchatka Krai")
    moscow = nation.region_names.index("Moscow")
    # 15:00 in Moscow is midnight in Kamchatka.
    assert world.clock.calendar.midnights(15 * 4)[kamchatka] == 1
    assert world.clock.calendar.midnights(96)[moscow] == 1


def test_nothing_that_all_hosts_share_grows_with_the_lines(loaded, nation, world):
    """Ten times the lines: what the world holds besides its plan of 1,500 sampled ones is alike."""

    def size(of) -> int:
        found = [getattr(of, name) for name in vars(of)] if hasattr(of, "__dict__") else []
        return sum(a.nbytes if isinstance(a, np.ndarray) else 0 for a in found)

    big = build_world(loaded.with_(subscribers=2_000_000), nation)
    for part in ("population", "cell_tables", "channel_tables", "subscribers", "billing", "rtm"):
        small, large = getattr(world, part), getattr(big, part)
        assert size(large) == size(small), part
        for name in ("tables", "profile"):
            if hasattr(small, name):
                assert size(getattr(large, name)) == size(getattr(small, name)), (part, name)
    assert len(big.plan.sampled) < 2_000


@pytest.mark.slow
def test_a_day_has_a_hundred_network_events_a_line(loaded, tmp_path):
    """200,000 lines that stand for 78 million, one day; memory as much as their state says."""
    done = loaded.with_(subscribers=200_000).run(out=tmp_path / "day")
    manifest = done.manifest
    assert manifest["events_total"] / 200_000 >= 100
    assert manifest["cells"] == 150_000
    assert manifest["state_bytes_per_subscriber"] <= 160
    # The evening peak of the country: its people live in eleven zones, most of them in Moscow's.
    assert done.kpis["network"]["busy_hour"] in range(17, 23)
