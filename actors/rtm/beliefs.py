"""Beliefs: how likely an offer is taken, as the engine has it from its own outcomes.

It owns the mean and the draw of a belief, and the trials from which beliefs come: a delivered
message, and whether it was accepted in time.  It must not know the truth, nor decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from actors import messages as m
from actors.learner.params import Learning, Prices
from actors.rtm.params import Offer
from actors.rtm.state import TRIAL
from sim.core import quantiles
from sim.core.actor import Rows
from sim.core.columns import concat_rows, empty_rows
from sim.core.kernel import kernel
from sim.core.quantiles import quantile
from sim.core.rng import draw_cause, stream
from sim.core.sparse import Sparse, drop, find, key_of, put
from sim.core.ticks import Tick

S_EXPLORE = stream("what is believed of a candidate")
S_GAIN = stream("what a message is believed to add")
S_LOT = stream("priority by lot")
HOUR_MS = 3_600_000
ARRAYS = ("mean_q", "centre_q", "spread_q", "gain_q", "gain_sd_q", "price_q")
MODES = ("propensity", "uplift", "random", "oracle")
BY_PROPENSITY, BY_UPLIFT, AT_RANDOM, BY_ORACLE = range(4)


class BeliefTables(NamedTuple):
    """What is believed; the arrays have a row for each use case, segment and channel.

    Attributes
    ----------
    mode : one of `MODES`, what ranks candidates
    learns : False takes every propensity from its offer, and keeps no trial
    priced : a candidate must add more than its channel's price
    explores : a candidate competes with a draw from its belief, not with its mean
    asks : (n_cases,) an acceptance is possible
    window_s : time for an answer, s
    mean_q : int32 chances of acceptance, 1/65536
    centre_q, spread_q : int32 law of a draw, 1/65536: mean x (centre + spread x z)^3
    gain_q, gain_sd_q : (n_cases, n_segments) int64, margin that a message adds and how sure that
        is, 1/64 minor
    price_q : (n_channels + 1,) int64, price of a message in each channel, 1/64 minor
    normal_q : (1024,) quantiles of the standard normal law, 1/1024
    """

    mode: int
    learns: bool
    priced: bool
    explores: bool
    asks: np.ndarray
    window_s: int
    mean_q: np.ndarray
    centre_q: np.ndarray
    spread_q: np.ndarray
    gain_q: np.ndarray
    gain_sd_q: np.ndarray
    price_q: np.ndarray
    normal_q: np.ndarray


def compile_beliefs(
    params: Learning, prices: Prices, mode: str, offers: Sequence[Offer],
    start: Mapping[str, np.ndarray],
) -> BeliefTables:  # fmt: skip
    """Return the beliefs and prices at the start, as the learner gives them."""
    return BeliefTables(
        mode=MODES.index(mode),
        learns=params.enabled,
        priced=prices.enabled,
        explores=params.exploration == "thompson",
        asks=np.array([o.product.kind != "care" for o in offers] or [False], np.bool_),
        window_s=round(params.answer_hours * 3600),
        **{name: np.array(start[name]) for name in ARRAYS},
        normal_q=quantiles.normal_scores(1024),
    )


def renewed(tables: BeliefTables, told: Mapping[str, np.ndarray]) -> BeliefTables:
    """Return beliefs with the arrays that the learner broadcasts; they are copied."""
    return tables._replace(**{name: np.array(told[name]) for name in ARRAYS})


@kernel
def chance_q(t, p, i, sub, case, channel, ts_ms):
    """Return the chance of acceptance with which a candidate competes, 1/65536.

    With exploration it is a draw, keyed by the line, the use case and the moment.
    """
    b = t.belief
    if not b.learns:
        return np.int64(t.case_propensity_q[case, p.segment[i]])
    # The last one stands for every channel that is not the run's own, such as that of a server.
    way = min(channel, b.mean_q.shape[2] - 1)
    mean = np.int64(b.mean_q[case, p.segment[i], way])
    if not b.explores:
        return mean
    u, _, _, _ = draw_cause(t.seed, S_EXPLORE, sub, t.case_id[case], ts_ms // 1000, ts_ms % 1000)
    root = np.int64(b.centre_q[case, p.segment[i], way])
    root += np.int64(b.spread_q[case, p.segment[i], way]) * quantile(b.normal_q, u) // 1024
    root = max(root, 0)
    return min(mean * root // 65_536 * root // 65_536 * root // 65_536, 65_536)


@kernel
def gain_q(t, p, i, sub, case, ts_ms):
    """Return the margin that a message is believed to add, 1/64 minor; with exploration a draw."""
    b = t.belief
    mean = b.gain_q[case, p.segment[i]]
    if not b.explores:
        return mean
    u, _, _, _ = draw_cause(t.seed, S_GAIN, sub, t.case_id[case], ts_ms // 1000, ts_ms % 1000)
    return mean + b.gain_sd_q[case, p.segment[i]] * quantile(b.normal_q, u) // 1024


@kernel
def lot_q(t, sub, case, ts_ms):
    """Return a priority by lot, positive: the same chance for every candidate."""
    u, _, _, _ = draw_cause(t.seed, S_LOT, sub, t.case_id[case], ts_ms // 1000, ts_ms % 1000)
    return np.int64(u >> np.uint32(2)) + 1


@kernel
def open_trials(p, s, t, lo, d, c):
    """Begin a trial for each delivered message that can be accepted.

    A further message of the same offer within the window belongs to the same trial.

    Parameters
    ----------
    s : `EngineView` whose `trials` have room for a row of each delivery
    d : `Delivery` columns of the partition
    """
    b = t.belief
    for k in range(d.sub.shape[0]):
        case = np.int64(d.use_case[k])
        if d.status[k] != m.DELIVERED or not b.asks[case]:
            continue
        key = key_of(d.sub[k], t.case_id[case])
        if find(s.trials, key) >= 0:
            continue
        row = put(s.trials, key)
        way = np.int64(d.channel[k])
        s.trials.case[row] = case
        s.trials.channel[row] = way
        s.trials.due_s[row] = d.ts_ms[k] // 1000 + b.window_s
        s.trials.accepted[row] = 0
        mean = np.int64(b.mean_q[case, p.segment[d.sub[k] - lo], way])
        s.trials.believed_q[row] = min(mean, 65_535)
        c.trials_opened[case] += 1


@kernel
def mark_taken(t, s, sub, case):
    """Note that the offer of an open trial was accepted."""
    row = find(s.trials, key_of(sub, t.case_id[case]))
    if row >= 0:
        s.trials.accepted[row] = 1


@kernel
def close_trials(p, trials, lo, now_s, sums, c):
    """Settle the trials whose window is over.

    Parameters
    ----------
    sums : (2, n_cases, n_segments, n_channels) int64, added to: trials, and of these accepted
    """
    for row in range(trials.key.shape[0]):
        if trials.key[row] < 0 or trials.due_s[row] > now_s:
            continue
        case = np.int64(trials.case[row])
        segment = p.segment[(trials.key[row] >> 32) - lo]
        yes = np.int64(trials.accepted[row])
        sums[0, case, segment, trials.channel[row]] += 1
        sums[1, case, segment, trials.channel[row]] += yes
        c.trials_settled[case] += 1
        c.trials_accepted[case] += yes
        c.trials_believed_q[case] += trials.believed_q[row]
        drop(trials, row)


class Beliefs:
    """What a partition believes, and its trials under way.

    Attributes
    ----------
    trials : sparse table `TRIAL`
    ends : winners whose horizon ended in this tick, as `close_experiments` sums them
    hour : simulated hour of the beliefs; -1 asks for those of now
    """

    def __init__(self, tables: BeliefTables, ids: Mapping[str, np.ndarray]) -> None:
        self.tables = tables
        self.trials = Sparse(TRIAL, ids)
        self.ends = np.zeros((3, 2, *tables.gain_q.shape), np.int64)
        self.hour = -1

    def listen(self, told: Mapping[str, np.ndarray] | None) -> None:
        """Take over what the learner broadcasts, where it has moved; the arrays are copied."""
        if told is None or int(told["hour"][0]) == self.hour:
            return
        self.hour = int(told["hour"][0])
        self.tables = renewed(self.tables, told)

    def within(self, tables: Any) -> Any:
        """Return `RtmTables` with the beliefs of now."""
        moves = self.tables.learns or self.tables.priced
        return tables._replace(belief=self.tables) if moves else tables

    def reserve(self, more: int) -> bool:
        """Make room for trials; return whether any are kept."""
        if self.tables.learns:
            self.trials.reserve(more)
        return self.tables.learns

    def lessons(self, profile: Any, first: int, tick: Tick, counters: Any) -> Rows:
        """Return what a tick has taught, as `Lesson` rows: sums over the partition.

        Trials are settled at full hours, whatever the tick; horizons as they end.

        Parameters
        ----------
        profile : view of the profile of the partition, which begins at line `first`
        """
        parts = []
        if self.tables.learns and tick.end_ms // HOUR_MS != tick.start_ms // HOUR_MS:
            sums = np.zeros((2, *self.tables.mean_q.shape), np.int64)
            close_trials(profile, self.trials.view, first, tick.end_ms // 1000, sums, counters)
            case, segment, channel = np.nonzero(sums[0])
            n, yes = sums[:, case, segment, channel]
            parts.append(
                _rows(case, kind=m.LESSON_ANSWER, segment=segment, channel=channel, n=n, yes=yes)
            )
        for arm, kind in enumerate((m.LESSON_TREATED, m.LESSON_WITHHELD)):
            case, segment = np.nonzero(self.ends[0, arm])
            n, margin, squares = self.ends[:, arm, case, segment]
            parts.append(
                _rows(case, kind=kind, segment=segment, n=n, margin_minor=margin, squares=squares)
            )
        self.ends[:] = 0
        rows = concat_rows(m.LESSON, parts)
        rows["sub"][:], rows["ts_ms"][:] = first, tick.end_ms
        return rows


def _rows(case: np.ndarray, **columns: Any) -> Rows:
    """Return `Lesson` rows; what is not given is 0."""
    rows = {name: np.zeros(len(case), a.dtype) for name, a in empty_rows(m.LESSON).items()}
    for name, values in {"use_case": case, **columns}.items():
        rows[name][:] = values
    return rows
