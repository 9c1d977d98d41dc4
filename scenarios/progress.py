"""Show how far a run is: phase, simulated clock, rate, time left, memory.

It owns what a person at a terminal sees on standard error, and the lines that a log gets instead.
It must not know what runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol, TextIO

LINE_EVERY_S = 10.0
"""Seconds between two lines where standard error is no terminal."""
PAINT_EVERY_S = 0.2
"""Shortest time between two paintings of the bar, s."""
BAR_WIDTH = 24


class Progress(Protocol):
    """What a run tells whoever watches it."""

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

    def phase(self, name: str) -> None:
        """Show nothing."""

    def update(
        self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int, tick: int
    ) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class _Watch:
    """Turns reports into one line of text."""

    def __init__(self, start: str, clock: Callable[[], float]) -> None:
        self.start = datetime.fromisoformat(start)
        self.clock = clock
        self.name = ""
        self.phase_began = clock()
        self.first: tuple[float, int, int] | None = None
        self.last: tuple[float, int, int, int, int] | None = None

    def begin(self, name: str) -> None:
        self.name, self.phase_began = name, self.clock()
        self.first = self.last = None

    def note(self, *, sim_ms: int, end_ms: int, events: int, memory_bytes: int) -> None:
        now = self.clock()
        if self.first is None:
            # A resumed run begins in the middle: rate and time left count from its first report.
            fresh = sim_ms * 20 <= end_ms
            self.first = (self.phase_began, 0, 0) if fresh else (now, sim_ms, events)
        self.last = (now, sim_ms, end_ms, events, memory_bytes)

    def share(self) -> float:
        if self.last is None or self.last[2] <= 0:
            return 0.0
        return min(self.last[1] / self.last[2], 1.0)

    def text(self) -> str:
        if self.last is None or self.first is None:
            return f"{self.name:<8} {_span(self.clock() - self.phase_began)}"
        now, sim_ms, end_ms, events, memory = self.last
        began, sim_0, events_0 = self.first
        wall = max(now - began, 1e-9)
        rate = (events - events_0) / wall
        done = sim_ms - sim_0
        left = _span(wall * (end_ms - sim_ms) / done) if done > 0 else "?"
        at = (self.start + timedelta(milliseconds=sim_ms)).strftime("%a %m-%d %H:%M")
        return (
            f"{self.name:<5} {at}  {100 * self.share():3.0f} %  {_short(rate)} events/s"
            f"  left {left}  {memory / 2**30:.1f} GiB"
        )


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
        self.watch.note(sim_ms=sim_ms, end_ms=end_ms, events=events, memory_bytes=memory_bytes)
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
        self.watch.note(sim_ms=sim_ms, end_ms=end_ms, events=events, memory_bytes=memory_bytes)
        now = self.watch.clock()
        if self.started and now - self.painted >= PAINT_EVERY_S:
            self.painted = now
            self.live.refresh()

    def _line(self) -> Any:
        full = round(BAR_WIDTH * self.watch.share())
        bar = "█" * full + "·" * (BAR_WIDTH - full)
        return self._text(f"{bar} {self.watch.text()}", no_wrap=True, overflow="ellipsis")

    def close(self) -> None:
        """Take the line away; the summary follows."""
        if self.started:
            self.started = False
            self.live.stop()


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
