"""Games by the book: dictionaries and lists, one deed after another, no tables and no kernels.

It shares with the engine only the codes of messages and the lottery of who joins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from actors import messages as m
from actors.loyalty.params import Quest
from actors.rtm.params import NEEDS


@dataclass
class Deed:
    """What a line did: see `actors.rtm.state.DEED`."""

    sub: int
    ts_ms: int
    kind: int
    code: int = 0
    ref: int = 0
    units: int = 0
    place: int = -1

    @property
    def day(self) -> int:
        """Return the day (the twin lives where local time is the scenario's)."""
        return self.ts_ms // 86_400_000


@dataclass
class Game:
    """One line in one quest."""

    done: set[int] = field(default_factory=set)
    total: dict[int, int] = field(default_factory=dict)
    places: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    daily: dict[int, dict[int, int]] = field(default_factory=dict)
    times: dict[tuple[int, int], int] = field(default_factory=dict)
    over: bool = False


class Twin:
    """All lines and quests of a partition.

    Parameters
    ----------
    fences : (kind, x, y) of each geofence, m
    needs : category of each use case
    joined : quest -> lines that play
    """

    def __init__(
        self, quests: list[Quest], fences: list[tuple[str, int, int]], needs: list[str],
        joined: dict[int, set[int]], speed_kmh: float, slack_m: int,
    ) -> None:  # fmt: skip
        self.quests = quests
        self.fences = fences
        self.needs = needs
        self.games = {(j, sub): Game() for j, subs in joined.items() for sub in subs}
        self.last: dict[int, tuple[int, int]] = {}
        self.suspects: set[int] = set()
        self.speed_m_s = speed_kmh / 3.6
        self.slack_m = slack_m
        self.steps = [0] * len(quests)
        self.refused = [0] * len(quests)
        self.completed: list[tuple[int, int, int, int, bool]] = []

    def act(self, deed: Deed) -> None:
        """Let one deed count for every game of its line."""
        if deed.place >= 0:
            self._look(deed)
        for j, quest in enumerate(self.quests):
            game = self.games.get((j, deed.sub))
            open_ms, close_ms = quest.opens_h * 3_600_000, quest.closes_h * 3_600_000
            if game is None or game.over or not open_ms <= deed.ts_ms < close_ms:
                continue
            for k in range(len(quest.steps)):
                if k in game.done:
                    continue
                self._step(j, game, k, deed)
                if quest.ordered:
                    break
            if len(game.done) == len(quest.steps):
                game.over = True
                paid = deed.units if deed.kind == m.PURCHASE else 0
                amount = quest.reward_minor + paid * round(quest.cashback * 1024) // 1024
                suspect = deed.sub in self.suspects
                self.completed.append((deed.sub, deed.ts_ms, j, amount, suspect))

    def _step(self, j: int, game: Game, k: int, deed: Deed) -> None:
        step = self.quests[j].steps[k]
        amount = self._amount(step, deed)
        if amount <= 0:
            return
        if step.per_day_max:
            n = game.times.get((k, deed.day), 0)
            if n >= step.per_day_max:
                self.refused[j] += 1
                return
            game.times[k, deed.day] = n + 1
        if step.do == "enter_geofence":
            seen = game.places.setdefault(k, set())
            mark = (deed.day if step.days_in_row > 1 else 0, deed.place)
            if mark in seen:
                return
            seen.add(mark)
            amount = 1
        daily = game.daily.setdefault(k, {})
        daily[deed.day] = daily.get(deed.day, 0) + amount
        if self._enough(step, daily, deed.day):
            game.done.add(k)
            self.steps[j] += 1

    def _enough(self, step, daily: dict[int, int], day: int) -> bool:
        wanted = step.at_least * {"use_data_mb": 1000, "talk_min": 60}.get(step.do, 1)
        if step.days_in_row == 1:
            return sum(daily.values()) >= wanted
        days = range(day - step.days_in_row + 1, day + 1)
        return all(daily.get(x, 0) >= wanted for x in days)

    def _amount(self, step, deed: Deed) -> int:
        if step.do in ("enter_geofence", "visit_geofence"):
            return int(deed.place >= 0 and self.fences[deed.place][0] == step.kind)
        if deed.kind == m.USAGE:
            name = m.RATING_GROUPS[deed.code]
            if step.do == "use_data_mb":
                return deed.units // 1000 if "data" in name else 0
            if step.do == "talk_min":
                return deed.units if "voice" in name else 0
            return deed.units if step.do == "send_sms" and "sms" in name else 0
        if step.do == "buy" and deed.kind == m.PURCHASE and deed.units > 0:
            offered = deed.code == m.OFFERED
            category = self.needs[deed.ref] if offered else NEEDS[deed.ref]
            if step.category not in ("any", category):
                return 0
            return int(step.caused in ("any", "offer" if offered else "own"))
        kinds = {"recharge": m.RECHARGE, "open_page": m.VISIT}
        return int(step.do in kinds and deed.kind == kinds[step.do])

    def _look(self, deed: Deed) -> None:
        if deed.sub in self.last:
            before, at_s = self.last[deed.sub]
            _, x0, y0 = self.fences[before]
            _, x1, y1 = self.fences[deed.place]
            reach = self.speed_m_s * max(deed.ts_ms // 1000 - at_s, 0) + self.slack_m
            if before != deed.place and math.hypot(x1 - x0, y1 - y0) > reach:
                self.suspects.add(deed.sub)
        self.last[deed.sub] = (deed.place, deed.ts_ms // 1000)


class Purse:
    """Budget, stock and prizes of one quest: a cashier who serves claims one by one."""

    def __init__(self, budget: int, rewards: int, prizes: dict[str, int]) -> None:
        self.budget = budget or 10**18
        self.rewards = rewards or 10**18
        self.left = dict(prizes)

    def serve(self, amount: int) -> bool:
        """Return whether a claim is granted."""
        if amount > self.budget or self.rewards == 0:
            return False
        self.budget -= amount
        self.rewards -= 1
        return True
