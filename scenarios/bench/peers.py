"""The mini loop on our core and on its peers, in turn, each in a process of its own.

It owns the peers' environment (`.cache/peers`, made from their own lock), the comparison and the
check that all count the same.  The loops themselves stand in `tests/bench/peers`; where there is
no checkout there are none.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenarios.bench.rows import MILLION, Options
from scenarios.bench.table import Measured

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ("events", "triggers", "requested", "accepted")
DISPERSION = 1.1
"""Variance over mean of the counts of an hour; 400 seeds of 20,000 lines give at most 1.01."""
COMPARED_LINES_MIN = 2_000
"""Below, the channel's capacity is a handful of messages and its rounding decides."""


def folder() -> Path | None:
    """Return the folder of the peers, or None outside a checkout."""
    path = ROOT / "tests" / "bench" / "peers"
    return path if (path / "ours.py").is_file() else None


def environment(peers: Path) -> Path:
    """Return the Python of the peers' environment, made or brought up to date where needed.

    Raises
    ------
    OSError, subprocess.SubprocessError : it cannot be made, for lack of a network say
    """
    uv, place, lock = ROOT / ".cache/uv/bin/uv", ROOT / ".cache/peers", peers / "requirements.lock"
    python, stamp = place / "bin" / "python", place / ".lock"
    if python.exists() and stamp.is_file() and stamp.read_bytes() == lock.read_bytes():
        return python
    settings = os.environ | {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    index = os.environ.get("PIP_INDEX_URL") or _pip_index()
    if index:
        settings.setdefault("UV_DEFAULT_INDEX", index)
    for command in (
        ["venv", "-q", "--allow-existing", "--python", sys.executable, str(place)],
        ["pip", "sync", "-q", "--python", str(python), "--require-hashes", "--no-build", str(lock)],
    ):
        subprocess.run([str(uv), *command], env=settings, capture_output=True, timeout=900,
                       check=True, text=True)  # fmt: skip
    stamp.write_bytes(lock.read_bytes())
    return python


def _pip_index() -> str:
    """Return the index that pip would take: uv reads none of pip's configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else ""


def mini_loop(options: Options) -> list[Measured]:
    """Run the mini loop on every engine, in turn, and compare."""
    names = ("mini", "simpy", "numpy", "numpy_quarters", "mesa", "ray_naive", "peers_agree")
    peers = folder()
    if peers is None:
        return [Measured(n, reason="only in a checkout of the repository") for n in names]
    lines = options.lines or (200_000 if options.quick else MILLION)
    small = min(lines, 20_000 if options.quick else 50_000)
    plan: list[tuple[str, list[str]]] = [
        ("simpy", ["simpy_peer.py", "--lines", str(small)]),
        ("numpy", ["numpy_peer.py", "--lines", str(lines)]),
        ("numpy_quarters", ["numpy_peer.py", "--lines", str(lines), "--window", "15"]),
        ("mesa", ["mesa_peer.py", "--lines", str(small)]),
    ]
    runs: dict[str, list[dict[str, Any]]] = {"mini": []}
    failed: dict[str, str] = {}
    try:
        python = environment(peers)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        failed = {n: f"the peers' environment cannot be made: {_last(reason)}" for n, _ in plan}
        failed["ray_naive"] = failed["simpy"]
        plan, python = [], Path(sys.executable)
    for seed in range(1, 1 + (options.repeats or (3 if options.quick else 5))):
        ours = ["ours.py", "--lines", str(lines), "--seed", str(seed)]
        runs["mini"].append(_run(Path(sys.executable), peers, ours))
        for name, command in plan:
            if name not in failed:
                try:
                    told = _run(python, peers, [*command, "--seed", str(seed)])
                    runs.setdefault(name, []).append(told)
                except (subprocess.SubprocessError, ValueError) as error:
                    failed[name] = _last(getattr(error, "stderr", None) or str(error))
    if "ray_naive" not in failed:
        try:
            few = ["--lines", "4" if options.quick else "20", "--hours", "8"]
            runs["ray_naive"] = [_run(python, peers, ["ray_peer.py", *few])]
        except (subprocess.SubprocessError, ValueError) as error:
            failed["ray_naive"] = _last(getattr(error, "stderr", None) or str(error))
    return _compared(runs, failed, lines)


def _run(python: Path, peers: Path, command: Sequence[str]) -> dict[str, Any]:
    settings = os.environ | {"PYTHONPATH": os.pathsep.join((str(peers), str(ROOT)))}
    if python != Path(sys.executable):
        settings["PYTHONPATH"] = str(peers)
    done = subprocess.run(
        [str(python), str(peers / command[0]), *command[1:]], env=settings, capture_output=True,
        text=True, timeout=600, check=True,
    )  # fmt: skip
    return answer(done.stdout)


def answer(text: str) -> dict[str, Any]:
    """Return the JSON object that a peer printed; Ray's daemons may print around it.

    Raises
    ------
    ValueError : there is none
    """
    for told in reversed(text.splitlines()):
        if told.startswith('{"peer"'):
            return json.loads(told)
    raise ValueError(f"the peer told nothing but: {_last(text)}")


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["unknown"])[-1][:200]


def deviations(ours: Mapping[str, Any], peer: Mapping[str, Any]) -> dict[str, float]:
    """Return by how many standard deviations the counts per line of two runs differ.

    Counts are sums over nearly independent lines, with a variance of at most `DISPERSION` times
    their mean.  Both runs must be of the same hour.
    """
    out = {}
    for name in COUNTS:
        a, b, n, m = ours[name], peer[name], ours["lines"], peer["lines"]
        variance = DISPERSION * (a / n**2 + b / m**2)
        out[name] = abs(a / n - b / m) / math.sqrt(variance) if variance else 0.0
    return out


def _compared(
    runs: Mapping[str, list[dict[str, Any]]], failed: Mapping[str, str], lines: int
) -> list[Measured]:
    """Return the rows: ours, each peer's cost over ours, and the agreement of all counts."""
    ours = runs["mini"]
    base = statistics.median(run["cpu_ns_per_event"] for run in ours)
    detail = {
        name: {
            "ns_per_event": statistics.median(r["cpu_ns_per_event"] for r in told),
            "lines": told[0]["lines"], "events": told[0]["events"],
            "bytes_per_line": told[0].get("pss_bytes_per_line", told[0]["bytes_per_line"]),
            "versions": told[0]["versions"],
        }
        for name, told in runs.items() if told
    }  # fmt: skip
    out = [
        Measured(
            "mini", [run["cpu_ns_per_event"] for run in ours], cpu_s=sum(r["cpu_s"] for r in ours),
            wall_s=sum(r["wall_s"] for r in ours), indicative=lines != MILLION,
            detail={"peers": detail}, note=f"{lines:,} lines, one hour, one thread",
        )
    ]  # fmt: skip
    for name in ("simpy", "numpy", "numpy_quarters", "mesa", "ray_naive"):
        told = runs.get(name, [])
        if name in failed or not told:
            out.append(Measured(name, reason=failed.get(name, "not run")))
            continue
        row = Measured(
            name, [run["cpu_ns_per_event"] / base for run in told],
            cpu_s=sum(r["cpu_s"] for r in told), wall_s=sum(r["wall_s"] for r in told),
            indicative=lines != MILLION,
            note=f"{told[0]['lines']:,} lines, {detail[name]['ns_per_event']:,.0f} ns an event, "
            f"{detail[name]['bytes_per_line']:,.0f} bytes a line",
        )  # fmt: skip
        out.append(row)
    return [*out, _agreement(runs)]


def _agreement(runs: Mapping[str, list[dict[str, Any]]]) -> Measured:
    """Return the largest deviation of any peer's counts from ours, seed by seed."""
    worst: list[float] = []
    by: dict[str, dict[str, float]] = {}
    for name, told in runs.items():
        if name in ("mini", "ray_naive") or not told or told[0]["lines"] < COMPARED_LINES_MIN:
            continue
        found = [deviations(a, b) for a, b in zip(runs["mini"], told, strict=True)]
        by[name] = {count: max(f[count] for f in found) for count in COUNTS}
        worst += [max(f.values()) for f in found]
    if not worst:
        return Measured("peers_agree", reason="no peer was compared")
    return Measured(
        "peers_agree", [max(worst)], detail={"sigma": by},
        note=f"events, triggers, requests and acceptances of {', '.join(by)}: {len(worst)} runs; "
        "4.9 sigma is one chance in a million",
    )  # fmt: skip
