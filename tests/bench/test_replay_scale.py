"""What a day as a tape costs: ns for each row written, ns for each event replayed, memory.

Measured and written down; what is asserted is that the replay is the recorded day.  By lines:
`python -m pytest tests/bench/test_replay_scale.py -k 10000000`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

SCENARIO = "megafon_2019"
RESULTS = Path(__file__).parent / "results"
CLOCKED = {
    "write": ("TapeWriter", ("open", "add", "end", "close")),
    "read": ("TapeReader", ("_read",)),
}
"""Class and methods whose CPU time is added up: `end` within `close` counts once."""


def one(mode: str, lines: int, folder: Path) -> dict[str, Any]:
    """Run a day in this process and return its cost: `plain`, `tape`, or `replay` of the tape."""
    from scenarios import load
    from scenarios.replay.tape import tape_feed
    from scenarios.runner import run
    from sim.record import tape_read

    spent = {
        name: clock(getattr(tape_read, kind), names) for name, (kind, names) in CLOCKED.items()
    }
    loaded = load(SCENARIO).with_(
        subscribers=lines, days=1.0, **{"record.tape": mode == "tape", "clock.tick_s": 900}
    )
    feed = None
    if mode == "replay":
        feed = tape_feed(folder / "tape" / "tape")
        loaded = feed.scenario(loaded, days=None)
    rss: list[int] = []
    began = time.monotonic()
    done = run(
        loaded, out=folder / mode, feed=feed,
        on_tick=lambda index, outcome, runtime: rss.append(psutil.Process().memory_info().rss),
    )  # fmt: skip
    told = done.manifest
    return {
        "cpu_s": told["cpu_seconds"], "run_s": told["phases"]["run"],
        "wall_s": time.monotonic() - began, "events": told["events_total"],
        "cells": told["cells"], "digest": told["state_digest"],
        "peak_bytes": told["peak_rss_bytes"], "rss_first_tick": rss[0],
        "rss_noon": rss[len(rss) // 2], "rss_last_tick": rss[-1],
        "events_by_kind": by_kind(done), "replay": told.get("replay"),
        **{f"{name}_cpu_s": seconds[0] for name, seconds in spent.items()},
    }  # fmt: skip


def by_kind(done: Any) -> dict[str, int]:
    """Return the events of a run by kind."""
    from sim.record.store import open_run

    with open_run(done.path) as found:
        table = found.sql(
            "select d1, sum(value)::bigint as n from metrics where metric = 'events' group by d1"
        )
    return {str(kind): int(n) for kind, n in zip(table["d1"], table["n"], strict=True)}


def clock(kind: type, names: tuple[str, ...]) -> list[float]:
    """Add up the CPU time of the threads in some methods of a class; nested calls count once."""
    total = [0.0]

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            outer = getattr(self, "_clocked", False)
            self._clocked = True
            began = time.thread_time()
            try:
                return method(self, *args)
            finally:
                if not outer:
                    total[0] += time.thread_time() - began
                    self._clocked = False

        return call

    for name in names:
        setattr(kind, name, timed(getattr(kind, name)))
    return total


@pytest.mark.timeout(0)
@pytest.mark.parametrize("lines", [200_000, 1_000_000, 10_000_000])
def test_cost_of_a_day_as_a_tape(tmp_path: Path, lines: int, root: Path) -> None:
    """A day alone, with its tape, and replayed from it, each in a process of its own."""
    load_before = os.getloadavg()[0]
    found: dict[str, dict[str, Any]] = {}
    for mode in ("plain", "tape", "replay"):
        text = subprocess.run(
            [sys.executable, str(Path(__file__)), mode, str(lines), str(tmp_path)],
            cwd=root, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
        found[mode] = json.loads(text.splitlines()[-1])
    plain, tape, replay = found["plain"], found["tape"], found["replay"]
    assert replay["digest"] == tape["digest"] == plain["digest"]
    assert replay["events_by_kind"] == tape["events_by_kind"] == plain["events_by_kind"]
    told = replay["replay"]
    rows = told["applied"]
    assert told["rows_read"] == rows
    n_bytes = sum(p.stat().st_size for p in (tmp_path / "tape" / "tape").glob("tick-*"))
    peaks = {mode: one["peak_bytes"] for mode, one in found.items()}
    out = {
        "scenario": SCENARIO, "lines": lines, "cells": plain["cells"], "rows": rows,
        "events": plain["events"], "bytes_per_row": round(n_bytes / rows, 2),
        "write_ns_per_row": round(tape["write_cpu_s"] / rows * 1e9, 1),
        "run_with_tape_over_run_alone": round(tape["cpu_s"] / plain["cpu_s"], 3),
        "read_ns_per_row": round(replay["read_cpu_s"] / rows * 1e9, 1),
        "replay_cpu_ns_per_event": round(replay["cpu_s"] / replay["events"] * 1e9, 1),
        "replay_wall_ns_per_event": round(replay["run_s"] / replay["events"] * 1e9, 1),
        "drawn_cpu_ns_per_event": round(plain["cpu_s"] / plain["events"] * 1e9, 1),
        "run_s": {mode: round(one["run_s"], 1) for mode, one in found.items()},
        "peak_bytes": peaks,
        "peak_bytes_per_line": {mode: round(peak / lines) for mode, peak in peaks.items()},
        "rss_by_tick": {
            mode: [one["rss_first_tick"], one["rss_noon"], one["rss_last_tick"]]
            for mode, one in found.items()
        },
        "events_by_kind": plain["events_by_kind"], "same_digest": True,
        "cores": os.cpu_count(), "load_before": load_before,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"replay-scale-{lines}.json").write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps(out))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(json.dumps(one(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
