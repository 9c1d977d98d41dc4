"""A made-up recording of a day for the replay row: keyed draws, written as CSV, replayed once.

It owns the making of the file and the clocks around reading and running.  It must not know what
the figures are compared with.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.core import rng

ROWS_PER_SUBSCRIBER = 50
KINDS = ("voice", "voice", "sms", "sms", "data", "data", "data", "topup")
HEAD = (
    "event_id,source,record_seq,event_type,event_time,subscriber_id,direction,counterpart_id,"
    "cell_key,duration_s,bytes_up,bytes_down,amount\n"
)


@dataclass(frozen=True)
class Replayed:
    """What a replay cost.

    Attributes
    ----------
    read_cpu_s : files to rows in order, with their index
    run_cpu_s : the ticks; building lines and writing the run folder are not in it
    wall_s : all of it
    """

    applied: int
    subscribers: int
    events: int
    read_cpu_s: float
    run_cpu_s: float
    wall_s: float


def write_recording(path: Path, rows: int) -> int:
    """Write a day of events as the twin's own table, in order of time; return the subscribers."""
    subscribers = max(rows // ROWS_PER_SUBSCRIBER, 1)
    words = rng.draws(1, "bench: a recorded row", np.arange(rows))
    second = np.sort((words[:, 0].astype(np.int64) * 86_400) >> 32)
    who = (words[:, 1].astype(np.int64) * subscribers) >> 32
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(HEAD)
        lines = []
        for k in range(rows):
            s, a = int(second[k]), int(words[k, 2])
            kind = KINDS[a & 7]
            size = a >> 8
            talk = kind in ("voice", "sms")
            lines.append(
                f"e{k},bench,,{kind},2026-03-04T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}"
                f"+05:00,77{int(who[k]):08d},{'mo' if talk else 'none'},"
                f"{f'78{size % 99_999:08d}' if talk else ''},,"
                f"{size % 300 if kind == 'voice' else ''},,"
                f"{1 + size % 9_000_000 if kind == 'data' else ''},"
                f"{200 if kind == 'topup' else ''}\n"
            )
            if len(lines) == 50_000:
                out.writelines(lines)
                lines.clear()
        out.writelines(lines)
    return subscribers


def run_replay(rows: int) -> Replayed:
    """Make a recording of some rows, read it and replay it on a city of as many lines."""
    from scenarios import load
    from scenarios.replay.feed import open_feed
    from scenarios.runner import run

    with tempfile.TemporaryDirectory(prefix="twin-bench-") as name:
        folder = Path(name)
        subscribers = write_recording(folder / "events.csv", rows)
        loaded = load("city_day").with_(
            subscribers=max(subscribers * 5 // 4, 1_000), **{"population.donor_days": 0}
        )
        began, cpu = time.perf_counter(), time.process_time()
        feed = open_feed(folder / "events.csv", "standard")
        read = time.process_time() - cpu
        done = run(feed.scenario(loaded, days=None), out=folder / "run", feed=feed)
        wall = time.perf_counter() - began
        told = done.manifest["replay"]
        return Replayed(
            told["applied"],
            told["subscribers"],
            done.manifest["events_total"],
            read,
            done.manifest["cpu_seconds"],
            wall,
        )
