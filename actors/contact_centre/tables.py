"""Tables of the contact centre, made once: calls of each quarter of an hour, times, agents.

It owns the staffing by Erlang C for the lines that the run stands for: pools are of full size,
because a tenth of the agents on a tenth of the calls is another, worse centre.  It must not run
a queue.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from actors.contact_centre.params import ContactCentreParams
from sim.core import quantiles, rng
from sim.core.ticks import DAY_MS
from sim.queueing.erlang import Waiting, agents_for
from sim.queueing.processes import Group

EPOCH_MS = rng.EPOCH_MS
SLOT_MS = 1_800_000
"""Length of a shift's step: staff is planned by half hours."""
QUARTERS = 96
LINES = ("care", "technical")
CARE, TECHNICAL = 0, 1


class CentreTables(NamedTuple):
    """What the contact centre reads.

    Attributes
    ----------
    counts : (192, 1024) int32, quantiles of the calls of a quarter: working days, then weekends
    row : (n_epochs,) int64, row of `counts` for each epoch of the run
    site : uint32 thresholds of the centre of a call
    lines, lines_real : simulated lines; lines that call
    more : whole phantoms of a caused call; `part` is the uint32 threshold of one more
    """

    seed: np.uint64
    counts: np.ndarray
    row: np.ndarray
    site: np.ndarray
    technical: np.uint32
    lines: int
    lines_real: int
    more: int
    part: np.uint32
    spread_ms: int
    work_ms: np.ndarray
    patience_ms: np.ndarray
    retry_ms: np.ndarray
    retry: np.uint32
    retries_max: int
    callback: np.uint32
    callback_ms: int
    handling_ms: float
    groups: tuple[Group, ...]
    n_skills: int
    lines_max: int


def exponential(mean: float) -> np.ndarray:
    """Return the quantile table of an exponential law, its own mean brought to `mean`."""
    shape = np.array([-math.log(1 - (i + 0.5) / quantiles.SIZE) for i in range(quantiles.SIZE)])
    return np.maximum(np.rint(shape / shape.mean() * mean), 1).astype(np.int64)


def poisson(mean: float) -> np.ndarray:
    """Return (1024,) int32 quantiles of a Poisson number."""
    if mean <= 0:
        return np.zeros(quantiles.SIZE, np.int32)
    top = math.ceil(mean + 12 * math.sqrt(mean) + 12)
    k = np.arange(top + 1)
    logs = k * math.log(mean) - mean - np.array([math.lgamma(i + 1) for i in k])
    below = np.cumsum(np.exp(logs))
    shares = (np.arange(quantiles.SIZE) + 0.5) / quantiles.SIZE
    return np.minimum(np.searchsorted(below, shares), top).astype(np.int32)


def compile_tables(
    p: ContactCentreParams, *, seed: int, start: str, days: float, weekly: bool, lines: int,
    lines_real: int,
) -> CentreTables:  # fmt: skip
    """Return the tables of a run.

    Parameters
    ----------
    start : local time of the start, ISO
    weekly : false where every day is a working day
    lines, lines_real : simulated lines at the start, and those that they stand for
    """
    begin = datetime.fromisoformat(start)
    n_epochs = math.ceil(days * DAY_MS / EPOCH_MS) + 1
    weight = lines_real / lines - 1
    technical = rng.threshold(p.technical_share)
    return CentreTables(
        seed=rng.seed64(seed),
        counts=np.stack(
            [
                poisson(
                    _rate(p, lines_real, hour=q / 4, weekend=weekend)
                    * (1 - p.deflected_share)
                    * EPOCH_MS
                    / 1000
                )
                for weekend in (False, True)
                for q in range(QUARTERS)
            ]
        ),
        row=np.array(
            [
                QUARTERS * _is_weekend(at, weekly) + at.hour * 4 + at.minute // 15
                for at in (begin + timedelta(milliseconds=EPOCH_MS * e) for e in range(n_epochs))
            ],
            np.int64,
        ),
        site=quantiles.cumulative(np.array([site.share for site in p.sites])),
        technical=technical,
        lines=lines,
        lines_real=lines_real,
        more=math.floor(weight),
        part=rng.threshold(weight - math.floor(weight)),
        spread_ms=p.phantom_spread_s * 1000,
        work_ms=np.maximum(
            quantiles.lognormal_mean(p.handling_s * p.handling_factor * 1000, p.handling_sigma), 1
        ),
        patience_ms=exponential(p.patience_s * 1000),
        retry_ms=exponential(p.retry_s * 1000),
        retry=rng.threshold(p.retry_share),
        retries_max=p.retries_max,
        callback=rng.threshold(p.callback_share),
        callback_ms=round(p.callback_wait_s * 1000),
        handling_ms=p.handling_s * p.handling_factor * 1000,
        groups=_groups(p, begin, days, weekly, lines_real),
        n_skills=len(p.sites) * len(LINES),
        lines_max=p.lines_max,
    )


def _rate(p: ContactCentreParams, lines: int, *, hour: float, weekend: bool) -> float:
    """Return the calls a second at a time of day."""
    total = sum(p.hours) or 1.0
    day = lines * p.calls_per_1000_day / 1000 * (p.weekend if weekend else 1.0)
    return day * p.hours[int(hour) % 24] / total / 3600


def _is_weekend(at: datetime, weekly: bool) -> bool:
    return weekly and at.weekday() >= 5


def _groups(
    p: ContactCentreParams, begin: datetime, days: float, weekly: bool, lines: int
) -> tuple[Group, ...]:
    """Return the groups of agents: of each centre those for care, then the technical ones.

    Staff is planned without the levers `handling_factor` and `deflected_share`: they act on the
    same agents.
    """
    shares = [site.share / sum(site.share for site in p.sites) for site in p.sites]
    n_slots = math.ceil(days * DAY_MS / SLOT_MS) + 1
    times = [begin + timedelta(milliseconds=SLOT_MS * k) for k in range(n_slots)]
    known: dict[float, int] = {}

    def staff(share: float, at: datetime) -> int:
        rate = share * _rate(p, lines, hour=at.hour, weekend=_is_weekend(at, weekly))
        if rate not in known:
            fewest = agents_for(rate, 1 / p.handling_s, share=p.target_share, target=p.target_s)
            # Somebody is always there, so that a call by night is answered at last.
            known[rate] = max(round(fewest * p.agents_scale), min(1, round(p.agents_scale)))
        return known[rate]

    groups = []
    every = range(len(p.sites))
    for site in every:
        own = every if p.shared_queue else (site,)
        care = tuple(k * len(LINES) + CARE for k in own)
        faults = tuple(k * len(LINES) + TECHNICAL for k in own)
        parts = ((care, 1 - p.technical_share), (faults + care, p.technical_share))
        for skills, part in parts:
            sizes = [staff(shares[site] * part, at) for at in times]
            keep = [k for k in range(n_slots) if k == 0 or sizes[k] != sizes[k - 1]]
            groups.append(
                Group(
                    skills,
                    changes=tuple(k * SLOT_MS for k in keep),
                    sizes=tuple(sizes[k] for k in keep),
                )
            )
    return tuple(groups)


def longest_memory_s(p: ContactCentreParams, *, calls_per_s: float) -> float:
    """Return the relaxation time of a pool that is staffed for a rate, s.

    An interval shorter than five times this is no steady state, and Erlang's formulas say nothing
    of it.
    """
    agents = agents_for(calls_per_s, 1 / p.handling_s, share=p.target_share, target=p.target_s)
    return Waiting(calls_per_s, 1 / p.handling_s, agents).relaxation
