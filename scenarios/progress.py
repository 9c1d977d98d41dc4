"""Show how far a run is: phase, simulated clock, rate, time left, memory.

It owns what a person at a terminal sees on standard error, and the lines that a log gets instead.
It must not know what runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TextIO

LINE_EVERY_S = 10.0
"""Seconds between two lines where standard error is no terminal."""
PAINT_EVERY_S = 0.2
"""Shortest time between two paintings of the bar, s."""
BAR_WIDTH = 24


class Progress(Protocol):
    """What a run tells whoever watches it."""

    def part(self, *, done: int, total: int, of: str, memory_bytes: int) -> None:
        """Say how much of a phase is done that is not counted in simulated time."""
        ...

    def phase(self, name: str) -> None:
        """Say that a phase begins: `load`, `build`, `compile`, `run`, `write`."""
        ...

    def update(
        self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int, tick: int
    ) -> None:
        """Say where the run is: simulated ms, events so far, resident bytes, ticks done."""
        ...

    def close(self) -> None:
        """Say that nothing more will come."""
        ...


class Silent:
    """Shows nothing."""

    def part(self, *, done: int, total: int, of: str, memory_bytes: int) -> None:
        """Show nothing."""

    def phase(self, name: str) -> None:
        """Show nothing."""

    def update(
        self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int, tick: int
    ) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Now:
    """Where a run is, as both the run itself and a reader of its status file know it.

    Attributes
    ----------
    phase : `load`, `build`, `compile`, `run`, `write`
    spent_s : wall seconds of the phase
    share : 0..1, how much of the phase is done; None where nobody can tell
    at : simulated clock, or what is counted, in words; empty where neither is known
    rate : network events per wall second, None outside phase `run`
    left_s : wall seconds that are left of the phase, None where nobody can tell
    memory_bytes : memory of all processes, None where it was not looked at
    """

    phase: str
    spent_s: float
    share: float | None = None
    at: str = ""
    rate: float | None = None
    left_s: float | None = None
    memory_bytes: int | None = None

    def text(self) -> str:
        """Return the line that every terminal shows."""
        if self.share is None:
            return f"{self.phase:<8} {_span(self.spent_s)}"
        words = [f"{self.phase:<5} {self.at}", f"{100 * self.share:3.0f} %"]
        if self.rate is not None:
            words.append(f"{_short(self.rate)} events/s")
        words.append("left " + ("?" if self.left_s is None else _span(self.left_s)))
        if self.memory_bytes is not None:
            words.append(f"{self.memory_bytes / 2**30:.1f} GiB")
        return "  ".join(words)


def clock_text(start: datetime, sim_ms: int) -> str:
    """Return the simulated clock of a run that began at `start`."""
    return (start + timedelta(milliseconds=sim_ms)).strftime("%a %m-%d %H:%M")


def part_text(done: int, total: int, of: str) -> str:
    """Return how many of something are done."""
    if total < 100_000:
        return f"{done:,} of {total:,} {of}"
    return f"{_short(done)} of {_short(total)} {of}"


class _Watch:
    """Turns reports into what is known now."""

    def __init__(self, start: str, clock: Callable[[], float]) -> None:
        self.start = datetime.fromisoformat(start)
        self.clock = clock
        self.name = ""
        self.phase_began = clock()
        self.first: tuple[float, int, int] | None = None
        self.last: tuple[float, int, int, int, int] | None = None
        self.counted: str | None = None

    def begin(self, name: str) -> None:
        self.name, self.phase_began = name, self.clock()
        self.first = self.last = self.counted = None

    def note(self, *, done: int, total: int, events: int, memory_bytes: int,
             counted: str | None = None) -> None:  # fmt: skip
        """Note simulated ms of all, or how many of something `counted` are done."""
        now = self.clock()
        if self.first is None or self.counted != counted:
            # A resumed run begins in the middle: rate and time left count from its first report.
            fresh = counted is None and done * 20 <= total
            self.first = (self.phase_began, 0, 0) if fresh else (now, done, events)
        self.counted = counted
        self.last = (now, done, total, events, memory_bytes)

    def now(self) -> Now:
        spent = self.clock() - self.phase_began
        if self.last is None or self.first is None or self.last[2] <= 0:
            return Now(self.name, spent)
        at, done, total, events, memory = self.last
        began, done_0, events_0 = self.first
        wall = max(at - began, 1e-9)
        fresh = done - done_0
        return Now(
            self.name,
            spent,
            share=min(done / total, 1.0),
            at=clock_text(self.start, done)
            if self.counted is None
            else part_text(done, total, self.counted),
            rate=(events - events_0) / wall if self.counted is None else None,
            left_s=wall * (total - done) / fresh if fresh > 0 else None,
            memory_bytes=memory or None,
        )

    def text(self) -> str:
        return self.now().text()


class Lines:
    """Writes a line every ten seconds: for logs and pipes."""

    def __init__(
        self, start: str, *, stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic, every_s: float = LINE_EVERY_S,
    ) -> None:  # fmt: skip
        self.stream = stream if stream is not None else sys.stderr
        self.every_s = every_s
        self.watch = _Watch(start, clock)
        self.written = clock()

    def phase(self, name: str) -> None:
        """Begin a phase; its first line comes when ten seconds have passed."""
        self.watch.begin(name)
        self._write()

    def update(
        self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int, tick: int
    ) -> None:
        """Note where the run is, and write it when it is time."""
        self.watch.note(done=sim_ms, total=end_ms, events=events, memory_bytes=memory_bytes)
        self._write()

    def part(self, *, done: int, total: int, of: str, memory_bytes: int) -> None:
        """Note how much of a phase is done, and write it when it is time."""
        self.watch.note(done=done, total=total, events=0, memory_bytes=memory_bytes, counted=of)
        self._write()

    def _write(self) -> None:
        now = self.watch.clock()
        if now - self.written >= self.every_s:
            self.written = now
            self.stream.write(self.watch.text() + "\n")
            self.stream.flush()

    def close(self) -> None:
        """Write nothing more."""


class Bar:
    """Paints one line on a terminal, again and again."""

    def __init__(
        self, start: str, *, console: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self.watch = _Watch(start, clock)
        self.painted = 0.0
        self._text = Text
        # The thread of rich repaints, so that the seconds of a long compilation are seen to pass.
        self.live = Live(
            console=console or Console(stderr=True), get_renderable=self._line,
            refresh_per_second=4, transient=True,
        )  # fmt: skip
        self.started = False

    def phase(self, name: str) -> None:
        """Begin a phase."""
        self.watch.begin(name)
        if not self.started:
            self.started = True
            self.live.start()

    def update(
        self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int, tick: int
    ) -> None:
        """Note where the run is, and paint it when it is time."""
        self.watch.note(done=sim_ms, total=end_ms, events=events, memory_bytes=memory_bytes)
        self._paint()

    def part(self, *, done: int, total: int, of: str, memory_bytes: int) -> None:
        """Note how much of a phase is done, and paint it when it is time."""
        self.watch.note(done=done, total=total, events=0, memory_bytes=memory_bytes, counted=of)
        self._paint()

    def _paint(self) -> None:
        now = self.watch.clock()
        if self.started and now - self.painted >= PAINT_EVERY_S:
            self.painted = now
            self.live.refresh()

    def _line(self) -> Any:
        return self._text(painted(self.watch.now()), no_wrap=True, overflow="ellipsis")

    def close(self) -> None:
        """Take the line away; the summary follows."""
        if self.started:
            self.started = False
            self.live.stop()


def painted(now: Now) -> str:
    """Return a bar and the line behind it."""
    full = round(BAR_WIDTH * (now.share or 0.0))
    return "█" * full + "·" * (BAR_WIDTH - full) + " " + now.text()


def make_progress(*, start: str, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Return the progress that fits standard error: a bar, lines, or nothing."""
    target = stream if stream is not None else sys.stderr
    if quiet:
        return Silent()
    if stream is None and target.isatty():
        return Bar(start)
    return Lines(start, stream=target)


def _span(seconds: float) -> str:
    seconds = int(max(seconds, 0))
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}"


def _short(number: float) -> str:
    for size, word in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.2f}{word}"
    return f"{number:.0f}"
