"""One line of the mini loop as a Python object: what SimPy, Mesa and Ray visit.

It owns the state of a line and what an event does to it.  It must not know who calls it, nor when.
"""

from __future__ import annotations

import mini
import numpy as np

WEIGHTS = [[int(w) for w in row] for row in mini.WEIGHTS]
VALUES = [int(v) for v in mini.VALUES]
SIGMOID = [int(p) for p in mini.SIGMOID]
ELIGIBLE = [
    [[o for o in range(mini.N_OFFERS) if mini.ELIGIBLE[t, c, o]] for c in range(8)]
    for t in range(5)
]
V, T, D = mini.KIND_CUM


class Line:
    """A subscriber."""

    __slots__ = (
        "balance",
        "cell",
        "contact",
        "gid",
        "home",
        "kind",
        "last",
        "made",
        "pending",
        "used",
    )

    def __init__(self, gid: int, start: dict[str, np.ndarray]) -> None:
        self.gid = gid
        self.kind = int(start["kind"][gid])
        self.home = self.cell = int(start["home"][gid])
        self.balance = int(start["balance"][gid])
        self.used = int(start["used"][gid])
        self.last = int(start["last"][gid])
        self.contact = int(start["contact"][gid])
        self.made = 0
        self.pending = False

    def event(self, minute: int, random, world: World) -> tuple | None:
        """Live one event; return a request (minute, score, gid, chance) or None."""
        trigger = mini.T_NONE
        u = random()
        charge = 0
        if u >= D:
            place = self.home
            if random() >= mini.HOME_SHARE:
                place = (self.home + int(random() * mini.NEARBY)) % mini.N_CELLS
            if place != self.cell:
                self.cell = place
                if place % mini.FENCE_EVERY == 0:
                    trigger = mini.T_FENCE
        elif u >= T:
            before = self.used
            self.used += 1 + int(random() * mini.DATA_MAX)
            if before < mini.ALLOWANCE_NEAR <= self.used:
                trigger = mini.T_ALLOWANCE
            if self.used >= mini.ALLOWANCE:
                self.used -= mini.ALLOWANCE
                charge = mini.RENEWAL
        elif u >= V:
            charge = mini.TEXT_PRICE
        else:
            charge = mini.VOICE_PRICE * (1 + int(random() * mini.CALL_MAX))
        if charge:
            before = self.balance
            self.balance -= charge
            if self.balance < 0:
                self.balance += mini.TOPUP
            elif before >= mini.LOW > self.balance:
                trigger = mini.T_LOW
        if minute - self.last >= mini.SILENCE_MIN:
            trigger = mini.T_SILENCE
        self.last = minute
        world.load[self.cell] += 1
        world.events += 1
        if trigger == mini.T_NONE:
            return None
        world.triggers += 1
        if self.pending or minute - self.contact < mini.GAP_MIN or self.made >= mini.CONTACTS_MAX:
            return None
        return self.decide(minute, trigger)

    def decide(self, minute: int, trigger: int) -> tuple:
        """Return the request for the best eligible offer."""
        x = (
            self.balance >> 3, self.used >> 3, self.kind * 32, trigger * 64, (minute & 63) * 4,
            self.made * 64, self.cell & 255, 256,
        )  # fmt: skip
        best, chance = -1, 0
        for offer in ELIGIBLE[trigger][self.kind]:
            z = (sum(w * f for w, f in zip(WEIGHTS[offer], x)) >> 5) + mini.SIGMOID_SIZE // 2
            p = SIGMOID[min(max(z, 0), mini.SIGMOID_SIZE - 1)]
            if p * VALUES[offer] > best:
                best, chance = p * VALUES[offer], p
        self.pending = True
        return minute, best, self.gid, chance

    def answer(self, sent: bool, minute: int, chance: int, random) -> bool:
        """Take the outcome of a request; return whether the offer was accepted."""
        self.pending = False
        if not sent:
            return False
        self.contact = minute
        self.made += 1
        if random() >= chance / 65_536 * mini.ANSWER_SHARE:
            return False
        self.balance += mini.REWARD
        return True


class World:
    """What all lines share: counters, the load of the cells, the requests of a quarter."""

    def __init__(self, lines: int) -> None:
        self.capacity = mini.capacity(lines)
        self.load = [0] * mini.N_CELLS
        self.events = self.triggers = self.requested = self.sent = self.accepted = 0
        self.requests: list[tuple] = []

    def close_quarter(self, answer) -> None:
        """Arbitrate the requests of a quarter; `answer(gid, sent, minute, chance)` tells a line."""
        rows = self.requests
        self.requests = []
        self.requested += len(rows)
        made: dict[int, int] = {}
        for minute, _, gid, chance in sorted(rows, key=lambda r: (r[0], -r[1], r[2])):
            made[minute] = made.get(minute, 0) + 1
            sent = made[minute] <= self.capacity
            self.sent += sent
            self.accepted += answer(gid, sent, minute, chance)

    def counts(self) -> dict[str, int]:
        """Return what the loop counted."""
        return {
            "events": self.events, "triggers": self.triggers, "requested": self.requested,
            "sent": self.sent, "accepted": self.accepted, "load": sum(self.load),
        }  # fmt: skip
