"""The mini loop in vectorised NumPy: every minute, or every quarter of an hour, over all lines.

A tick of a minute draws one number per line and finds who has events.  A window of a quarter draws
waiting times until every line is past the end: NumPy at its best, since lines are looked at less
often.  In both, the k-th events of all lines are treated together, in rounds.
"""

from __future__ import annotations

import math

import mini
import numpy as np
from told import options, resident_bytes, tell

DEEP = 12


class Lines:
    """The state of all lines as arrays, and what an event does to many of them."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.draws = np.random.Generator(np.random.SFC64(seed))
        for name, array in mini.start(n, seed).items():
            setattr(self, name, array)
        self.cell = self.home.copy()
        self.made = np.zeros(n, np.uint8)
        self.pending = np.zeros(n, bool)
        self.load = np.zeros(mini.N_CELLS, np.int64)
        self.requests: list[tuple[np.ndarray, ...]] = []
        self.events = self.triggers = self.requested = self.sent = self.accepted = 0

    def event(self, who: np.ndarray, minute: np.ndarray | int) -> None:
        """Live one event of each of some lines.

        Parameters
        ----------
        who : (k,) rows, each at most once
        minute : (k,) minutes, or one for all
        """
        draws = self.draws
        u = draws.random(len(who), dtype=np.float32)
        amount = draws.random(len(who), dtype=np.float32)
        trigger = np.zeros(len(who), np.uint8)
        charge = np.zeros(len(who), np.int32)
        voice, text, data = mini.KIND_CUM
        charge[:] = np.where(
            u < voice, mini.VOICE_PRICE * (1 + (amount * mini.CALL_MAX).astype(np.int32)), 0
        )
        charge[(u >= voice) & (u < text)] = mini.TEXT_PRICE
        self._data(who, np.flatnonzero((u >= text) & (u < data)), amount, trigger, charge)
        self._move(who, np.flatnonzero(u >= data), amount, trigger)
        paid = np.flatnonzero(charge)
        rows = who[paid]
        before = self.balance[rows]
        after = before - charge[paid]
        trigger[paid[(before >= mini.LOW) & (after < mini.LOW) & (after >= 0)]] = mini.T_LOW
        after[after < 0] += mini.TOPUP
        self.balance[rows] = after
        trigger[minute - self.last[who] >= mini.SILENCE_MIN] = mini.T_SILENCE
        self.last[who] = minute
        self.load += np.bincount(self.cell[who], minlength=mini.N_CELLS)
        self.events += len(who)
        hit = np.flatnonzero(trigger)
        self.triggers += len(hit)
        if len(hit):
            self._ask(who[hit], trigger[hit], minute if np.isscalar(minute) else minute[hit])

    def _data(self, who, at, amount, trigger, charge) -> None:
        rows = who[at]
        before = self.used[rows]
        after = before + 1 + (amount[at] * mini.DATA_MAX).astype(np.int32)
        trigger[at[(before < mini.ALLOWANCE_NEAR) & (after >= mini.ALLOWANCE_NEAR)]] = (
            mini.T_ALLOWANCE
        )
        full = after >= mini.ALLOWANCE
        charge[at[full]] = mini.RENEWAL
        after[full] -= mini.ALLOWANCE
        self.used[rows] = after

    def _move(self, who, at, amount, trigger) -> None:
        rows = who[at]
        home = self.home[rows].astype(np.int32)
        away = amount[at] >= mini.HOME_SHARE
        step = ((amount[at] - mini.HOME_SHARE) * (mini.NEARBY / (1 - mini.HOME_SHARE))).astype(
            np.int32
        )
        place = np.where(away, (home + step) % mini.N_CELLS, home)
        moved = place != self.cell[rows]
        trigger[at[moved & (place % mini.FENCE_EVERY == 0)]] = mini.T_FENCE
        self.cell[rows] = place

    def _ask(self, who, trigger, minute) -> None:
        free = (
            ~self.pending[who]
            & (minute - self.contact[who] >= mini.GAP_MIN)
            & (self.made[who] < mini.CONTACTS_MAX)
        )
        who, trigger = who[free], trigger[free].astype(np.int32)
        minute = np.full(len(who), minute) if np.isscalar(minute) else minute[free]
        x = np.stack([
            self.balance[who] >> 3, self.used[who] >> 3, self.kind[who].astype(np.int32) * 32,
            trigger * 64, (minute & 63) * 4, self.made[who].astype(np.int32) * 64,
            self.cell[who].astype(np.int32) & 255, np.full(len(who), 256),
        ], axis=1)  # fmt: skip
        z = (x @ mini.WEIGHTS.T >> 5) + mini.SIGMOID_SIZE // 2
        p = mini.SIGMOID[np.clip(z, 0, mini.SIGMOID_SIZE - 1)]
        score = np.where(mini.ELIGIBLE[trigger, self.kind[who]] > 0, p * mini.VALUES, -1)
        best = score.argmax(axis=1)
        at = np.arange(len(who))
        self.pending[who] = True
        self.requests.append((minute, score[at, best], who, p[at, best]))

    def close_quarter(self) -> None:
        """Arbitrate the requests of a quarter and take the answers."""
        if not self.requests:
            return
        minute, score, gid, chance = (np.concatenate(c) for c in zip(*self.requests, strict=True))
        self.requests = []
        self.pending[gid] = False
        sent = mini.grant(minute, score, gid, mini.capacity(self.n))
        rows = gid[sent]
        self.contact[rows] = minute[sent]
        self.made[rows] += 1
        yes = self.draws.random(len(rows)) < chance[sent] / 65_536 * mini.ANSWER_SHARE
        self.balance[rows[yes]] += mini.REWARD
        self.requested += len(gid)
        self.sent += len(rows)
        self.accepted += int(yes.sum())

    def counts(self) -> dict[str, int]:
        """Return what the loop counted."""
        return {
            "events": self.events, "triggers": self.triggers, "requested": self.requested,
            "sent": self.sent, "accepted": self.accepted, "load": int(self.load.sum()),
        }  # fmt: skip


def minute_ticks(lines: Lines) -> dict[str, int]:
    """Run the hour in ticks of a minute: one uniform per line tells how many events it has."""
    cum = np.array([
        np.cumsum([math.exp(-r) * r**k / math.factorial(k) for k in range(DEEP)])
        for r in mini.RATES
    ])  # fmt: skip
    none = cum[lines.kind, 0].astype(np.float32)
    for minute in range(mini.MINUTES):
        u = lines.draws.random(lines.n, dtype=np.float32)
        who = np.flatnonzero(u >= none)
        # Single precision decides who has events; how many, a second draw within that tail.
        tail = lines.draws.random(len(who))
        first = cum[lines.kind[who], 0]
        u = first + tail * (1 - first)
        k = 1
        while len(who):
            lines.event(who, minute)
            more = u >= cum[lines.kind[who], k]
            who, u, k = who[more], u[more], k + 1
        if (minute + 1) % mini.QUARTER_MIN == 0:
            lines.close_quarter()
    return lines.counts()


def quarter_windows(lines: Lines) -> dict[str, int]:
    """Run the hour in windows of a quarter: waiting times until every line is past the end."""
    wait = (1 / np.array(mini.RATES, np.float32))[lines.kind]
    for begin in range(0, mini.MINUTES, mini.QUARTER_MIN):
        who = np.arange(lines.n)
        at = lines.draws.standard_exponential(lines.n, dtype=np.float32) * wait
        while True:
            inside = np.flatnonzero(at < mini.QUARTER_MIN)
            if len(inside) == 0:
                break
            who, at = who[inside], at[inside]
            lines.event(who, begin + at.astype(np.int32))
            at += lines.draws.standard_exponential(len(who), dtype=np.float32) * wait[who]
        lines.close_quarter()
    return lines.counts()


def main() -> None:
    """Run one hour."""
    told = options(lines=1_000_000, window=1)
    before = resident_bytes()
    lines = Lines(told.lines, told.seed)
    run, name = (minute_ticks, "numpy") if told.window == 1 else (quarter_windows, "numpy_quarters")
    tell(name, told.lines, lambda: run(lines), packages=("numpy",), before_bytes=before)


if __name__ == "__main__":
    main()
