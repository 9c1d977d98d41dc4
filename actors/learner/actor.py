"""`LearnerActor`: one global role that sums lessons and says what to believe.

It owns the counts behind every belief and the estimate made from them.  It sums integers, so that
neither partitions nor the order of rows matter, and moves beliefs at full hours alone, whatever
the tick.  It must not know a line, nor the truth: a lesson is what the engine itself saw.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from actors import messages as m
from actors.learner.params import Learning
from actors.learner.prices import PriceBoard, PriceTables
from actors.learner.state import COUNT, END
from actors.metrics import LEARNER_METRICS
from actors.rtm.params import SEGMENTS, Offer
from sim.core import rng
from sim.core.actor import Rows
from sim.core.columns import Columns, Schema, take_rows
from sim.core.metrics import Tally, new_tally, reset
from sim.core.ticks import Tick

LearnerCounters = namedtuple(  # type: ignore[misc]  # names are data
    "LearnerCounters", [metric.name for metric in LEARNER_METRICS]
)

HOUR_MS = 3_600_000
COUNT_ONE = 1 << 20
"""One message in the counts, which fade in fixed point."""
ONE_Q = 1 << 16
"""A propensity of 1."""
SCALE_Q = 1 << 16
"""Fixed point of the law of a belief."""
WEAKEST = 0.3
"""Fewest acceptances behind a law: below it the cube of Wilson and Hilferty says nothing."""

ARMS = (m.LESSON_TREATED, m.LESSON_WITHHELD)
END_ONE = np.array([1 << 20, 1 << 10, 1], np.int64)[:, None, None, None]
"""One winner, one minor unit and one square in the sums of horizons, which fade in fixed point."""
SQUARE_SCALE = 256
"""`Lesson.squares` is the sum of (margin // 16) squared."""
GAIN_ONE = 64
"""One minor unit of a believed gain."""


class LearnerTables(NamedTuple):
    """What beliefs start from.

    Attributes
    ----------
    prior : (n_cases,) believed chance of acceptance
    value : (n_cases,) believed margin of one, minor units
    fade_q : share of every count that an hour takes, 1/2^20
    case_ids, channel_ids : uint64 name ids, for digests
    prices : of channels; None: there are none
    """

    learns: bool
    prior: np.ndarray
    value: np.ndarray
    prior_strength: float
    pooling: float
    fade_q: int
    case_ids: np.ndarray
    channel_ids: np.ndarray
    prices: PriceTables | None = None


def compile_tables(
    params: Learning, offers: Sequence[Offer], channels: Sequence[str], price_level: float = 1.0
) -> LearnerTables:
    """Return the tables of the learner."""
    fade = 1 - 0.5 ** (1 / (24 * params.forget_days)) if params.forget_days else 0.0
    cases = [rng.name_id("offer:" + o.offer) for o in offers]
    ways = [rng.name_id("channel:" + name) for name in channels]
    return LearnerTables(
        learns=params.enabled,
        prior=np.array([o.propensity for o in offers] or [0.0]),
        value=np.array([o.margin_minor * price_level for o in offers] or [0.0]),
        prior_strength=params.prior_strength,
        pooling=params.pooling,
        fade_q=round(fade * (1 << 20)),
        case_ids=np.array(cases or [0], np.uint64),
        channel_ids=np.array(ways or [0], np.uint64),
    )


def first_beliefs(tables: LearnerTables) -> dict[str, np.ndarray]:
    """Return what is believed before anything was learned."""
    return LearnerActor(
        tables,
        {
            "use_case": ("",) * len(tables.prior),
            "channel": ("",) * len(tables.channel_ids),
        },
    ).beliefs()


def law_of(mean: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the law of beliefs of a mean and a strength, as two integers each.

    A draw is mean x (centre + spread x z)^3 with z a standard normal score: the cube of Wilson and
    Hilferty (1931) for a gamma law, of the mean and variance of Beta(mean x n, (1 - mean) x n).  It
    takes no power or logarithm, is never negative, and is skewed as a small chance is.

    Parameters
    ----------
    mean : chances, strictly between 0 and 1
    n : messages behind them

    Returns
    -------
    centre_q, spread_q : int32, 1/65536
    """
    weight = np.maximum(mean * (n + 1) / (1 - mean), WEAKEST)
    centre = 1 - 1 / (9 * weight)
    spread = 1 / (3 * np.sqrt(weight))
    return tuple(np.rint(x * SCALE_Q).astype(np.int32) for x in (centre, spread))  # type: ignore[return-value]  # two of them


def gains(t: LearnerTables, ends: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a message is believed to add to the margin of a winner: mean and deviation.

    Treated less withheld: in the use case as a whole, drawn to the offer's own `propensity` x
    `margin_minor` by `prior_strength` winners, and in each segment, drawn to the use case by
    `pooling` winners.  Arms of unequal size count as n1 n2 / (n1 + n2) winners.

    Parameters
    ----------
    ends : (3, 2, n_cases, n_segments) winners, margin (minor) and squares, by arm

    Returns
    -------
    gain_q, gain_sd_q : (n_cases, n_segments) int64, 1/64 minor
    """
    prior = t.prior * t.value
    whole = ends.sum(axis=3, keepdims=True)
    case_n, case_gap = _gap(whole)
    case = (t.prior_strength * prior[:, None] + case_n * case_gap) / (t.prior_strength + case_n)
    n, gap = _gap(ends)
    gain = (t.pooling * case + n * gap) / (t.pooling + n)
    # The scatter of a winner's margin: from the arms, and before there are any from the offer.
    winners = whole[0].sum(axis=(0, 2))
    within = whole[2] * SQUARE_SCALE - whole[1] ** 2 / np.maximum(whole[0], 1)
    first = np.maximum(t.value**2 * t.prior * (1 - t.prior), 1)
    scatter = (t.prior_strength * first + np.maximum(within, 0).sum(axis=(0, 2))) / (
        t.prior_strength + winners
    )
    deviation = np.sqrt(scatter[:, None] / (t.pooling + n))
    return {
        "gain_q": np.rint(gain * GAIN_ONE).astype(np.int64),
        "gain_sd_q": np.rint(deviation * GAIN_ONE).astype(np.int64),
    }


def _gap(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return winners that a comparison of two arms is worth, and the difference of their means."""
    treated, withheld = ends[0]
    known = (treated >= 1) & (withheld >= 1)
    worth = np.where(known, treated * withheld / np.maximum(treated + withheld, 1), 0.0)
    means = ends[1] / np.maximum(ends[0], 1)
    return worth, np.where(known, means[0] - means[1], 0.0)


def faded(counts: np.ndarray, fade_q: int) -> np.ndarray:
    """Return floor(counts x fade_q / 2^20), in two parts that cannot overflow."""
    return (counts >> 20) * fade_q + ((counts & 0xFFFFF) * fade_q >> 20)


def shape_of(tables: LearnerTables) -> tuple[int, int, int, int]:
    """Return the shape of counts: messages and acceptances, use cases, segments, channels.

    There is one channel more, of which nothing is learned: for whoever asks by one of his own.
    """
    return 2, len(tables.prior), len(SEGMENTS), len(tables.channel_ids) + 1


class LearnerActor:
    """Counts of lessons and the beliefs made from them."""

    role: ClassVar[str] = "learner"
    consumes: ClassVar[tuple[Schema, ...]] = (m.LESSON,)

    def __init__(self, tables: LearnerTables, labels: dict[str, tuple[str, ...]]) -> None:
        self.tables = tables
        prices = tables.prices
        self.prices = PriceBoard(prices) if prices is not None and prices.enabled else None
        shape = shape_of(tables)
        self.counts = np.zeros(shape, np.int64)
        self.fresh = np.zeros(shape, np.int64)
        # Winners, margin and squares, by arm, use case and segment.
        self.ends = np.zeros((3, 2, len(tables.prior), len(SEGMENTS)), np.int64)
        self.fresh_ends = np.zeros_like(self.ends)
        self.hour = 0
        self._tally = new_tally(LEARNER_METRICS, labels)
        self._counters = LearnerCounters(**self._tally)
        self._beliefs = self._estimate()

    def on_tick(self, tick: Tick, lessons: Rows, channels: Tally | None = None) -> None:
        """Add the lessons of a tick, in any order; at a full hour, believe and price anew.

        Parameters
        ----------
        channels : what the channels counted in the tick
        """
        reset(self._tally)
        if self.prices is not None and channels is not None:
            lost = channels["channel_dropped"] + channels["channel_expired"]
            spent = int(channels["channel_cost_minor"].sum())
            self.prices.add(channels["channel_offered"], lost, channels["channel_busy_us"], spent)
        self._hear_answers(take_rows(lessons, np.flatnonzero(lessons["kind"] == m.LESSON_ANSWER)))
        for arm, kind in enumerate(ARMS):
            self._hear_ends(take_rows(lessons, np.flatnonzero(lessons["kind"] == kind)), arm)
        hour = tick.end_ms // HOUR_MS
        if hour == self.hour:
            return
        for _ in range(hour - self.hour):
            self.counts -= faded(self.counts, self.tables.fade_q)
            self.ends -= faded(self.ends, self.tables.fade_q)
        self.counts += self.fresh * COUNT_ONE
        self.ends += self.fresh_ends * END_ONE
        self.fresh[:] = 0
        self.fresh_ends[:] = 0
        self.hour = hour
        if self.prices is not None:
            self.prices.move()
            self._counters.price_hours_q[:] += self.prices.told()[:-1]
        self._beliefs = self._estimate()

    def _hear_answers(self, rows: Rows) -> None:
        at = tuple(rows[name].astype(np.int64) for name in ("use_case", "segment", "channel"))
        np.add.at(self.fresh[0], at, rows["n"])
        np.add.at(self.fresh[1], at, rows["yes"])
        np.add.at(self._counters.lessons_heard, at[0], rows["n"])

    def _hear_ends(self, rows: Rows, arm: int) -> None:
        at = tuple(rows[name].astype(np.int64) for name in ("use_case", "segment"))
        for k, name in enumerate(("n", "margin_minor", "squares")):
            np.add.at(self.fresh_ends[k, arm], at, rows[name])

    @property
    def moves(self) -> bool:
        """Return whether anything that it tells ever changes."""
        return self.tables.learns or self.prices is not None

    def beliefs(self) -> dict[str, np.ndarray]:
        """Return what the engine is to believe of chances and gains, and since which `hour`."""
        return self._beliefs

    def _estimate(self) -> dict[str, np.ndarray]:
        """Return beliefs: the use case as a whole, then each segment and channel drawn to it."""
        t = self.tables
        n, yes = self.counts / COUNT_ONE
        # Sums of integers, so that no order of adding can show.
        n_case, yes_case = self.counts.sum(axis=(2, 3)) / COUNT_ONE
        case = (t.prior_strength * t.prior + yes_case) / (t.prior_strength + n_case)
        mean = (t.pooling * case[:, None, None] + yes) / (t.pooling + n)
        mean = np.clip(mean, 1 / ONE_Q, 1 - 1 / ONE_Q)
        centre_q, spread_q = law_of(mean, t.pooling + n)
        return {
            "mean_q": np.rint(mean * ONE_Q).astype(np.int32),
            "centre_q": centre_q,
            "spread_q": spread_q,
            **gains(self.tables, self.ends / END_ONE),
            "price_q": np.zeros(shape_of(t)[-1], np.int64)
            if self.prices is None
            else self.prices.told(),
            "hour": np.array([self.hour], np.int64),
        }

    def tally(self) -> Tally:
        """Return the counters of the tick."""
        return self._tally

    def digest(self) -> int:
        """Return the order-free digest of all counts."""
        total = self.hour + (0 if self.prices is None else self.prices.digest())
        for table in (self.ends, self.fresh_ends):
            arm, case, segment = np.nonzero(table[0])
            held = Columns(END, len(case))
            held.ids = self.tables.case_ids
            for name, column in (("use_case", case), ("segment", segment), ("arm", arm)):
                held[name][:] = column
            held["n"][:], held["margin"][:], held["squares"][:] = table[:, arm, case, segment]
            names = self.tables.case_ids[case].astype(np.int64)
            total = total * 3 + held.digest((names << 5) + segment * 2 + arm)
        for table in (self.counts, self.fresh):
            case, segment, channel = np.nonzero(table[0])
            held = Columns(COUNT, len(case))
            held.ids = {"use_case": self.tables.case_ids, "channel": self.tables.channel_ids}
            for name, column in (("use_case", case), ("segment", segment), ("channel", channel)):
                held[name][:] = column
            held["n"][:], held["yes"][:] = table[:, case, segment, channel]
            # A row is known by its names, never by its place in the catalogue.
            names = self.tables.case_ids[case] << np.uint64(32) | self.tables.channel_ids[channel]
            total = total * 3 + held.digest(names.astype(np.int64) * 8 + segment)
        return total & 0xFFFFFFFFFFFFFFFF

    def snapshot(self) -> dict[str, Any]:
        """Return the counts and the hour."""
        return {
            "counts": self.counts.copy(), "fresh": self.fresh.copy(), "hour": np.array(self.hour),
            "ends": self.ends.copy(), "fresh_ends": self.fresh_ends.copy(),
            **({} if self.prices is None else {"prices": self.prices.snapshot()}),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name in ("counts", "fresh", "ends", "fresh_ends"):
            getattr(self, name)[...] = saved[name]
        if self.prices is not None:
            self.prices.restore(saved["prices"])
        self.hour = int(saved["hour"])
        self._beliefs = self._estimate()
