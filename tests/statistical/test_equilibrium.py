"""The first day of a run is a day like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scenarios import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
LINES, DAYS, SEED = 20_000, 30, 1
BAND = 0.10
LATE = slice(23, 30)
ALPHA = 1e-3

DATED = ("quest_place",)
"""Rules that hang on the calendar: the shipped game is open on the first day alone."""


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Return hits by trigger and day of a month without a calendar."""
    out: Path = tmp_path_factory.mktemp("month") / "run"
    loaded = load("city_day").with_(
        subscribers=LINES, days=float(DAYS), seed=SEED, **{"clock.weekly": False}
    )
    frame = loaded.run(out=out).metrics()
    rows = frame[frame["metric"] == "trigger_hits"]
    day = rows["ts_ms"] // 86_400_000
    return {
        str(name): np.bincount(day[rows["d1"] == name], rows["value"][rows["d1"] == name], DAYS)
        for name in rows["d1"].unique()
    }


def test_every_trigger_fires_on_day_1_as_on_a_late_day(hits: dict[str, np.ndarray]) -> None:
    """No rate of day 1 lies outside 10 % of the late rate beyond chance.

    Hits of a day are close to Poisson.  Given the sum of day 1 and the last seven days, day 1 is
    binomial; the test rejects where even the nearer border of the band is refuted at 1e-3.
    """
    assert len(hits) >= 6
    told = {}
    for name, daily in hits.items():
        if name in DATED:
            continue
        first, late = int(daily[0]), int(daily[LATE].sum())
        days = LATE.stop - LATE.start
        low, high = (1 - BAND) / (1 - BAND + days), (1 + BAND) / (1 + BAND + days)
        total = first + late
        too_many = stats.binom.sf(first - 1, total, high)
        too_few = stats.binom.cdf(first, total, low)
        told[name] = (first, round(late / days, 1), round(float(min(too_many, too_few)), 5))
        assert min(too_many, too_few) > ALPHA, (name, told[name])


def test_the_equilibrium_check_would_see_a_cold_start(hits: dict[str, np.ndarray]) -> None:
    """A start at half the late rate, as without donors, is refuted for the frequent triggers."""
    frequent = [d for d in hits.values() if d[LATE].mean() > 100]
    assert frequent
    for daily in frequent:
        late = int(daily[LATE].sum())
        first = int(daily[LATE].mean() / 2)
        low = (1 - BAND) / (1 - BAND + 7)
        assert stats.binom.cdf(first, first + late, low) < ALPHA
