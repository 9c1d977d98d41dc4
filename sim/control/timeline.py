"""The control plane: a SimPy environment that turns timeline entries into commands.

It owns what happens to the world at stated moments, such as an outage or the end of the run.  It
emits commands and never touches columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import simpy


@dataclass(frozen=True)
class Entry:
    """One thing to happen.

    Attributes
    ----------
    at_ms : moment, ms since the start
    verb, target, until_ms : the command
    """

    at_ms: int
    verb: str
    target: int
    until_ms: int


class Timeline:
    """Entries, advanced tick by tick."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._env = simpy.Environment()
        self._due: list[tuple[str, int, int]] = []
        for entry in sorted(entries, key=lambda e: (e.at_ms, e.verb, e.target)):
            self._env.process(self._happen(entry))

    def advance(self, end_ms: int) -> tuple[tuple[str, int, int], ...]:
        """Return the commands that fall before `end_ms` and were not returned yet."""
        if end_ms > self._env.now:
            self._env.run(until=end_ms)
        commands, self._due = tuple(self._due), []
        return commands

    def _happen(self, entry: Entry):  # a SimPy process
        yield self._env.timeout(entry.at_ms)
        self._due.append((entry.verb, entry.target, entry.until_ms))
