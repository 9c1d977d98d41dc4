"""A geography is built from files, conserves people, and is the same for the same inputs."""

import dataclasses
import json

import numpy as np
import pytest

from geo import bands, coarse, datasets, people, sites
from geo.fences import make_table
from geo.geography import (
    FENCE_AIRPORT,
    FENCE_MALL,
    SITE_ANCHORED,
    SITE_INDOOR,
    SITE_REAL_MAST,
    SITE_SYNTHETIC,
    Geography,
)
from geo.io import DATA_DIR, read_folder
from geo.params import GeoParams
from geo.serving import slot_chances
from geo.territory import build_geography, summary
from sim.core.errors import ScenarioError

TOWN = (
    "name,lat,lon,population,region,utc_offset_h\n"
    "Alfa,50.00,10.00,60000,North,1\n"
    "Beta,50.10,10.20,5000,North,1\n"
    "Gamma,50.30,10.00,1200,South,1.75\n"
    "Delta,50.32,10.10,300,South,2\n"
)


def build(folder="astana", *, subscribers=1_000_000, seed=1, cache=None, base=None, **params):
    """Build a geography with defaults."""
    return build_geography(
        GeoParams(folder=str(folder), **params),
        subscribers_represented=subscribers,
        seed=seed,
        cache_dir=cache,
        base_dir=base,
    )


@pytest.fixture(scope="module")
def astana() -> Geography:
    """The city of the default scenario."""
    return build()


@pytest.fixture
def town(tmp_path):
    """A folder with nothing but places."""
    folder = tmp_path / "town"
    folder.mkdir()
    (folder / "places.csv").write_text(TOWN, encoding="utf-8")
    return folder


def assert_same(a: Geography, b: Geography) -> None:
    """Every column is equal, bit for bit."""
    for field in dataclasses.fields(Geography):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert json.dumps(x) == json.dumps(y), field.name


def test_astana_has_the_counts_its_files_promise(astana):
    """1,544,142 people, 720 macro sites of 3 sectors, 103 on real pixels, 28 malls, NQZ."""
    assert astana.people == 1_544_142
    kinds = np.bincount(astana.site_kind, minlength=4)
    assert kinds[SITE_ANCHORED] == 103
    assert kinds[SITE_ANCHORED] + kinds[SITE_SYNTHETIC] == 720
    assert (astana.cell_fence < 0).sum() == 720 * 3
    assert (astana.fence_kind == FENCE_MALL).sum() == 28
    assert astana.fence_iata[int(np.flatnonzero(astana.fence_kind == FENCE_AIRPORT)[0])] == "NQZ"
    assert not astana.fence_synthetic.any()
    assert astana.region_tz_q.tolist() == [20]
    assert summary(astana)["cells"] == astana.n_cell


def test_every_column_has_the_shape_and_dtype_it_documents(astana):
    """Row counts agree and every index points at an existing row."""
    n_hex, n_cell, n_fence, n_spot = astana.n_hex, astana.n_cell, astana.n_fence, astana.n_spot
    assert n_spot == n_hex + n_fence == len(astana.spot_lat)
    assert astana.hex_id.dtype == np.uint64 and (np.diff(astana.hex_id.astype(object)) > 0).all()
    assert astana.hex_work.shape == (n_hex, 16) and astana.hex_leisure.shape == (n_hex, 8)
    assert astana.hex_mall.shape == (n_hex, 4) and astana.spot_cells.shape == (n_spot, 4)
    for column in (astana.hex_work, astana.hex_leisure, astana.spot_hex):
        assert column.min() >= 0 and column.max() < n_hex
    assert astana.spot_cells.min() >= 0 and astana.spot_cells.max() < n_cell
    assert astana.cell_site.max() == astana.n_site - 1 and (np.diff(astana.cell_site) >= 0).all()
    assert set(np.unique(astana.cell_rat)) <= {2, 3, 4, 5}
    assert astana.cell_capacity_kbps.min() > 0 and astana.cell_voice_erlang_q.min() > 0
    assert astana.cell_fence_start[-1] == len(astana.cell_fence_ix) == len(astana.cell_fence_p)
    assert astana.fence_hex_start[-1] == len(astana.fence_hex_ids)
    assert not astana.hex_people.flags.writeable


def test_serving_thresholds_rise_and_end_at_the_top(astana):
    """spot_cum is non-decreasing, ends at 65535, and unused slots can never be drawn."""
    cum = astana.spot_cum.astype(np.int64)
    assert (np.diff(cum, axis=1) >= 0).all()
    assert (cum[:, -1] == 65535).all()
    chance = slot_chances(astana.spot_cum)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    macro = astana.spot_cells[: astana.n_hex]
    assert (chance[: astana.n_hex, 0] > 0).all()
    repeats = macro[:, 1:] == macro[:, :1]
    assert (chance[: astana.n_hex, 1:][repeats] == 0).all()


def test_indoor_cells_serve_the_inside_of_their_fence(astana):
    """A fence with indoor cells is served by them in 90 %, airports have at least two."""
    chance = slot_chances(astana.spot_cum)
    for f in np.unique(astana.cell_fence[astana.cell_fence >= 0]):
        row = astana.n_hex + f
        own = astana.cell_fence[astana.spot_cells[row]] == f
        assert chance[row][own].sum() == pytest.approx(0.9, abs=1e-3)
        if astana.fence_kind[f] == FENCE_AIRPORT:
            assert (astana.cell_fence == f).sum() >= 2
        else:
            assert astana.fence_floor_m2[f] >= 10_000
    indoor = astana.site_kind[astana.cell_site] == SITE_INDOOR
    np.testing.assert_array_equal(indoor, astana.cell_fence >= 0)


def test_nobody_lives_on_the_airfield(astana):
    """Hexes inside the airport hold staff but no residents."""
    f = int(np.flatnonzero(astana.fence_kind == FENCE_AIRPORT)[0])
    row = astana.spot_hex[astana.n_hex + f]
    assert astana.hex_people[row] == 0 and astana.hex_jobs[row] > 0


def test_stated_posterior_is_the_precision_of_a_crowd(astana):
    """Two million phones placed by the stated prior: P(inside | cell) is found again, per fence."""
    inside = astana.fence_people_prior
    total = float(astana.people)
    outside = 0.5 * astana.hex_people + 0.5 * total * astana.hex_jobs / astana.hex_jobs.sum()
    outside *= (total - inside.sum()) / outside.sum()
    where = np.concatenate([outside, inside])
    rng = np.random.default_rng(5)
    spot = np.repeat(np.arange(astana.n_spot), rng.multinomial(2_000_000, where / where.sum()))
    u = rng.integers(0, 65536, size=len(spot))
    slot = (u[:, None] > astana.spot_cum[spot]).sum(axis=1)
    cell = astana.spot_cells[spot, slot]
    served = np.bincount(cell, minlength=astana.n_cell)
    n_tested = 0
    for c in np.flatnonzero(np.diff(astana.cell_fence_start)):
        rows = slice(astana.cell_fence_start[c], astana.cell_fence_start[c + 1])
        p_all = astana.cell_fence_p[rows] / 65535
        assert (np.diff(p_all) <= 0).all() and p_all.min() >= 0.4
        for f, p in zip(astana.cell_fence_ix[rows], p_all, strict=True):
            hits = (spot[cell == c] == astana.n_hex + f).sum()
            # Six standard deviations of a binomial share, plus one phone for the coarsest cells.
            bound = 6 * np.sqrt(p * (1 - p) / served[c]) + 1 / served[c] + 1 / 65535
            assert abs(hits / served[c] - p) <= bound
            n_tested += 1
    assert n_tested > 20


def test_same_inputs_give_identical_arrays_and_another_seed_does_not(town):
    """A geography is a pure function of folder, parameters, subscribers and seed."""
    first = build(town, subscribers=40_000)
    assert_same(first, build(town, subscribers=40_000))
    other = build(town, subscribers=40_000, seed=2)
    assert not np.array_equal(first.site_lat, other.site_lat)
    assert other.people == first.people


def test_the_cache_gives_identical_arrays_and_survives_damage(town, tmp_path):
    """A second build reads the file; a damaged file is rebuilt; a changed input misses it."""
    cache = tmp_path / "cache"
    first = build(town, subscribers=40_000, cache=cache)
    (stored,) = cache.iterdir()
    assert_same(first, build(town, subscribers=40_000, cache=cache))
    stored.write_bytes(stored.read_bytes()[:1000])
    assert_same(first, build(town, subscribers=40_000, cache=cache))
    (town / "places.csv").write_text(TOWN.replace("60000", "70000"), encoding="utf-8")
    changed = build(town, subscribers=40_000, cache=cache)
    assert changed.people == first.people + 10_000
    assert len(list(cache.iterdir())) == 2


def test_a_town_from_nothing_but_places_works(town):
    """Everything but the places is invented: sites, cells, malls, and clocks by region."""
    made = build(
        "town", subscribers=50_000, base=town.parent, malls_per_100k=10, mall_town_min=1000, shops=3
    )
    assert made.people == 66_500
    assert made.n_site >= 36 and (made.site_kind != SITE_REAL_MAST).all()
    assert made.region_names == ("North", "South (UTC+1.75)", "South (UTC+2)")
    assert made.region_tz_q.tolist() == [4, 7, 8]
    assert made.fence_synthetic.all() and made.n_fence >= 8
    assert len(set(made.fence_name)) == made.n_fence
    assert (made.hex_mall >= 0).any() and (made.hex_airport == -1).all()
    assert any("sources.json" in warning for warning in made.warnings)
    assert {row["licence"] for row in made.data_used} >= {"not stated", "ODbL 1.0"}
    per_place = np.bincount(made.hex_place, weights=made.hex_people, minlength=4)
    assert per_place.sum() == 66_500


def test_recorded_towers_come_first(town):
    """Masts keep their position, pixels move by half a pixel, and only then sites are invented.

    Sites are numbered along a curve in space, whatever their kind.
    """
    rows = ["lat,lon,position_kind", "50.0001,10.0001,mast", "50.01,10.01,pixel"]
    (town / "towers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    made = build(town, subscribers=20_000)
    (mast,) = np.flatnonzero(made.site_kind == SITE_REAL_MAST)
    (pixel,) = np.flatnonzero(made.site_kind == SITE_ANCHORED)
    assert (made.site_lat[mast], made.site_lon[mast]) == (50.0001, 10.0001)
    assert abs(made.site_lat[pixel] - 50.01) <= 0.005 and made.site_lat[pixel] != 50.01
    assert (made.site_kind == SITE_SYNTHETIC).sum() == 12 and made.n_site == 14
    few = build(town, subscribers=1_000)
    assert few.n_site == 1 and few.site_kind[0] != SITE_SYNTHETIC


def test_cells_max_limits_cells_and_says_so_when_nothing_fits(town):
    """Macro sites fill what indoor cells leave; no room at all is an input error."""
    made = build(town, subscribers=1_000_000, cells_max=100)
    assert 98 <= made.n_cell <= 100
    with pytest.raises(ScenarioError, match="no room"):
        sites.site_count(GeoParams(cells_max=3), 1000, n_indoor=2)
    with pytest.raises(ScenarioError, match="needs subscribers"):
        build(town, subscribers=0)


def test_coarse_grids_keep_the_capacity_of_the_network(town):
    """On r8 unused cells lend capacity to neighbours, and the total stays."""
    fine = build(town, subscribers=400_000, resolution=9)
    rough = build(town, subscribers=400_000, resolution=8)
    assert coarse.is_coarse(8) and not coarse.is_coarse(9)
    assert rough.cell_capacity_kbps.min() == 1
    network = (rough.cell_rat == 4).sum() * 45_000 + (rough.cell_rat == 2).sum() * 450
    network += (rough.cell_rat == 3).sum() * 9_000 + (rough.cell_rat == 5).sum() * 180_000
    assert rough.cell_capacity_kbps.sum() == network
    assert fine.people == rough.people


def test_apportion_conserves_every_group():
    """Largest remainders: whole numbers, exact sums, in proportion."""
    weight = np.array([1.0, 1.0, 1.0, 5.0, 5.0])
    group = np.array([0, 0, 0, 1, 1])
    got = people.apportion(weight, group, np.array([10, 7]))
    assert sorted(got[:3].tolist()) == [3, 3, 4] and sorted(got[3:].tolist()) == [3, 4]


def test_neighbours_agree_with_brute_force():
    """The banded index finds the same nearest points as all pairs."""
    rng = np.random.default_rng(2)
    lat, lon = rng.uniform(60, 61, 3000), rng.uniform(70, 73, 3000)
    rows, km = bands.nearest(
        lat[:200], lon[:200], bands.make_bands(lat, lon), k=5, radii_km=(50.0,)
    )
    dx = (lon[None] - lon[:200, None]) * np.cos(np.radians((lat[None] + lat[:200, None]) / 2))
    every = bands.KM_PER_DEG * np.hypot(dx, lat[None] - lat[:200, None])
    np.testing.assert_allclose(np.sort(every, axis=1)[:, :5], km, atol=1e-9)
    np.testing.assert_array_equal(np.argsort(every, axis=1)[:, 0], rows[:, 0])


def test_gravity_draws_follow_their_weights():
    """Two targets at equal distance with weights 1 : 3 are drawn 1 : 3."""
    points = bands.make_bands(np.array([50.1, 49.9]), np.array([10.0, 10.0]))
    u = np.random.default_rng(3).random(4000)
    drawn = bands.gravity_draws(
        np.full(4000, 50.0), np.full(4000, 10.0), points, np.array([1.0, 3.0]),
        k=4, radius_km=40.0, offset_km=1.5, exponent=1.75, u=u,
    )  # fmt: skip
    assert (drawn == 1).mean() == pytest.approx(0.75, abs=0.01)
    far = bands.gravity_draws(
        np.array([10.0]), np.array([10.0]), points, np.array([1.0, 3.0]),
        k=4, radius_km=40.0, offset_km=1.5, exponent=1.75, u=u[:1],
    )  # fmt: skip
    assert (far == -1).all()


def test_shipped_data_are_listed_with_licence_and_checksum():
    """`twin list data` has what it prints, and the folders agree with their sources."""
    listed = {row["name"]: row for row in datasets.list_datasets()}
    assert set(listed) == {"astana", "reference", "russia"}
    for row in listed.values():
        assert row["licence"] and row["attribution"] and row["origin"] and row["rows"] > 0
        assert len(row["sha256"]) == 64
        assert all((DATA_DIR / row["name"] / name).is_file() for name in row["files"])
    assert sum(row["bytes"] for row in listed.values()) < 5_000_000


def test_the_country_has_its_airports_towers_and_clocks():
    """Files of `russia` read clean: 88 airports, 12,293 pixels, clocks from UTC+2 to UTC+12."""
    folder = read_folder(DATA_DIR / "russia")
    table = make_table(list(folder.fences))
    assert (table.kind == FENCE_AIRPORT).sum() == 88
    assert len(folder.tower_lat) == 12_293
    assert folder.place_people.sum() > 117_000_000
    assert (folder.place_tz_q.min(), folder.place_tz_q.max()) == (8, 48)
    n_indoor = int(sites.indoor_plan(table, GeoParams())[0].sum())
    n_sites = sites.site_count(GeoParams(), 78_000_000, n_indoor=n_indoor)
    assert 150_000 * 0.98 <= n_sites * 3 + n_indoor <= 150_000


def test_the_files_of_the_howto_make_a_town(tmp_path):
    """The blocks of `docs/howto/add-a-town.md`, saved as it says, are a geography."""
    page = (DATA_DIR.parents[1] / "docs" / "howto" / "add-a-town.md").read_text(encoding="utf-8")
    blocks = [part.split("\n", 1)[1] for part in page.split("```")[1::2]]
    folder = tmp_path / "mytown"
    folder.mkdir()
    names = ("places.csv", "towers.csv", "fences.geojson", "sources.json")
    for name, block in zip(names, blocks, strict=False):
        (folder / name).write_text(block, encoding="utf-8")
    made = build("mytown", subscribers=60_000, base=tmp_path, malls_per_100k=1.8)
    assert made.people == 191_400
    assert made.fence_name[0] == "Harbour Mall" and not made.fence_synthetic[0]
    assert made.fence_synthetic[1:].all() and made.n_fence >= 3
    assert (made.site_kind == SITE_REAL_MAST).any()
    assert made.data_used[0]["licence"] == "CC BY 4.0"
