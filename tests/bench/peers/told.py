"""What a peer says of its run: one JSON object on standard output.

It owns the options of a peer and the clocks around its loop.  It must not know what is run.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def options(**defaults: Any) -> argparse.Namespace:
    """Return `--lines`, `--seed` and whatever else a peer knows."""
    parser = argparse.ArgumentParser()
    for name, value in ({"seed": 1} | defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def resident_bytes() -> int:
    """Return the largest resident size of this process so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def tell(
    name: str,
    lines: int,
    run: Callable[[], dict[str, int]],
    *,
    packages: tuple[str, ...] = (),
    before_bytes: int = 0,
    cpu: Callable[[], float] = time.process_time,
) -> None:
    """Run the loop between two clocks and print what it counted and cost.

    Parameters
    ----------
    run : returns `events`, `triggers`, `requested`, `sent`, `accepted`, `load`
    before_bytes : resident size before the lines were made
    cpu : clock of CPU time, s; of other processes too where the peer has some
    """
    gc.collect()
    cpu_s, wall_s = cpu(), time.perf_counter()
    counts = run()
    cpu_s, wall_s = cpu() - cpu_s, time.perf_counter() - wall_s
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    told = {
        "peer": name, "lines": lines, **counts, "cpu_s": cpu_s, "wall_s": wall_s,
        "cpu_ns_per_event": cpu_s / max(counts["events"], 1) * 1e9,
        "bytes_per_line": (resident_bytes() - before_bytes) / lines, "versions": versions,
    }  # fmt: skip
    sys.stdout.write(json.dumps(told) + "\n")
