"""What checkpoints cost: seconds per GB written and read back, and their share of a run.

Measured and written down, never asserted: `python -m pytest tests/bench/test_checkpoints.py`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from scenarios import load
from scenarios.world import build_world, load_geography
from sim.core.partition import assign_hosts, make_partitions
from sim.runtime import checkpoint
from sim.runtime.embedded import EmbeddedRuntime

RESULTS = Path(__file__).parent / "results"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("lines", [1_000_000, 5_000_000])
def test_cost_of_a_checkpoint(tmp_path: Path, lines: int) -> None:
    """Two hosts write and read all lines three times; the median counts."""
    loaded = load("city_day").with_(subscribers=lines, **{"population.donor_days": 0})
    world = build_world(loaded, load_geography(loaded))
    shares = assign_hosts(make_partitions(world.n_lines, 0), 2)
    runtime = EmbeddedRuntime(world.plan, shares, world.build, world.make_globals())
    written, read, n_bytes = [], [], 0
    before = psutil.Process().memory_info().rss
    peak = before
    for tick in range(3):
        began = time.monotonic()
        draft = checkpoint.Draft(tmp_path, tick, 1).open()
        parts, rest = runtime.save_to(draft)
        n_bytes = draft.commit(run={}, parts=parts, rest=rest)
        written.append(time.monotonic() - began)
        peak = max(peak, psutil.Process().memory_info().rss)
        began = time.monotonic()
        checkpoint.restore(tmp_path, run={}, apply=runtime.load_from)
        read.append(time.monotonic() - began)
    runtime.close()
    gb = n_bytes / 1e9
    found: dict[str, Any] = {
        "lines": lines, "bytes": n_bytes, "bytes_per_line": round(n_bytes / lines, 1),
        "write_s_per_gb": round(sorted(written)[1] / gb, 2),
        "read_s_per_gb": round(sorted(read)[1] / gb, 2),
        "memory_added_bytes": peak - before, "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"checkpoints-{lines}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))
