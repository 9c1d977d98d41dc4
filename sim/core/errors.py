"""The error family of the twin.

It owns the exceptions that cross module borders, and the exit code that each one means at the
command line.  It must not know any role, file format or command.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class TwinError(Exception):
    """Any failure that the twin can explain in a sentence."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One defect of an input: where it is, what was found, what would be right."""

    message: str
    file: str | None = None
    line: int | None = None
    path: str | None = None
    found: str | None = None
    expected: str | None = None

    def __str__(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where += f":{self.line}"
        parts = [part for part in (where, self.path, self.message) if part]
        text = ": ".join(parts)
        if self.found is not None:
            text += f"; found {self.found}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        return text


class ScenarioError(TwinError):
    """The input is wrong: a scenario, a catalogue entry, a data file, an option (exit 2)."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        line: int | None = None,
        path: str | None = None,
        found: object = None,
        expected: object = None,
        problems: Iterable[Problem] = (),
    ) -> None:
        collected = tuple(problems)
        if not collected:
            collected = (
                Problem(
                    message,
                    file=None if file is None else str(file),
                    line=line,
                    path=path,
                    found=None if found is None else str(found),
                    expected=None if expected is None else str(expected),
                ),
            )
        self.problems: tuple[Problem, ...] = collected
        super().__init__("\n".join(str(problem) for problem in collected))

    @classmethod
    def collect(cls, problems: Iterable[Problem]) -> ScenarioError:
        """Make one error out of every problem that an input has."""
        found = tuple(problems)
        return cls(found[0].message if found else "bad input", problems=found)

    def __reduce__(self):  # so that it survives a process border
        return (_rebuild_scenario_error, (self.problems,))


def _rebuild_scenario_error(problems: tuple[Problem, ...]) -> ScenarioError:
    return ScenarioError.collect(problems)


class InvariantError(TwinError):
    """Something that must always hold does not: never caught, never a warning (exit 3)."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        tick: int | None = None,
        role: str | None = None,
        partition: int | None = None,
        values: object = None,
    ) -> None:
        self.details = {"tick": tick, "role": role, "partition": partition, "values": values}
        self.reason = message
        where = ", ".join(f"{k} {v}" for k, v in self.details.items() if v is not None)
        super().__init__(f"{message} ({where})" if where else message)

    def __reduce__(self):  # so that it survives a process border
        return (_rebuild_invariant_error, (self.reason, self.details))


def _rebuild_invariant_error(message: str, details: dict) -> InvariantError:
    return InvariantError(message, **details)


class LimitError(TwinError):
    """A budget, a limit or a gate was hit (exit 4)."""

    exit_code = 4


class HostLost(TwinError):
    """A process that held lines has died or does not answer: go back to the last checkpoint."""


class Interrupted(TwinError):
    """A person or a scheduler asked the run to stop; its state is saved (exit 130)."""

    exit_code = 130


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that looks most like `word`, or None."""
    hits = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return hits[0] if hits else None
