"""The measurements of inbound decisions: one decision in process, and a server under open load.

It owns a made-up catalogue of 900 offers, the server's process and the steps of the load.  It must
not know how a decision is taken.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from scenarios.bench.rows import Options
from scenarios.bench.table import Measured

OFFERS = 900
NO_ROOM = 255
"""The index that means "no use case" in the state of a run, whose catalogue has at most 255."""
STEPS = (2_000, 3_000, 4_000, 5_000)
"""Requests a second, tried upwards until the target is missed."""
P99_MS = 20.0
TOKEN = "benchmark-token-0123456789"


def widened(serving: Any, n: int) -> Any:
    """Return a state whose catalogue holds `n` offers: the real ones, varied by keyed draws.

    Parameters
    ----------
    serving : `Serving`; its state is taken over
    """
    from actors.metrics import RTM_METRICS
    from actors.rtm.actor import RtmCounters
    from actors.rtm.inbound import inbound_tables
    from sim.core import rng
    from sim.core.metrics import new_tally

    t, n_now = serving.tables, len(serving.offers)
    source = np.arange(n) % n_now
    words = rng.draws(1, "bench: a made-up offer", np.arange(n)).astype(np.int64)
    wide = {
        name: np.ascontiguousarray(getattr(t, name)[source])
        for name in t._fields
        if name.startswith("case_")
    }
    wide["case_id"] = words[:, 0].astype(np.uint32)
    wide["case_value_minor"] = wide["case_value_minor"] * (512 + words[:, 1] % 1024) // 1024
    wide["case_nobody"][NO_ROOM] = 1
    # Every column by use case, wherever it stands: kernels do not look at bounds.
    parts = {
        name: part._replace(**{
            column: np.ascontiguousarray(getattr(part, column)[source])
            for column in part._fields if column.startswith("case_")
        })
        for name in t._fields if hasattr(part := getattr(t, name), "_fields")
    }  # fmt: skip
    by_case = ("asks", "mean_q", "centre_q", "spread_q", "gain_q", "gain_sd_q")
    parts["belief"] = t.belief._replace(**{
        name: np.ascontiguousarray(getattr(t.belief, name)[source]) for name in by_case
    })  # fmt: skip
    rules = t._replace(
        **wide,
        **parts,
        levers_q=np.ascontiguousarray(t.levers_q[:, source]),
        rule_start=t.rule_start[:-1],
        rule_id=t.rule_id[:-1],
        channel_id=t.channel_id[:-1],
        channel_needs=t.channel_needs[:-1],
        channel_reach=t.channel_reach[:-1],
        channel_cost_minor=t.channel_cost_minor[:-1],
    )
    tables, rule = inbound_tables(rules, n)
    offers = tuple((f"{serving.offers[k][0]}_{i}", "", "") for i, k in enumerate(source))
    labels = {
        name: tuple(map(str, range(n if name == "use_case" else 64)))
        for metric in RTM_METRICS
        for name in metric.dims
    }
    return dataclasses.replace(
        serving, tables=tables, rule=rule, offers=offers,
        counters=RtmCounters(**new_tally(RTM_METRICS, labels)),
    )  # fmt: skip


def decision(options: Options) -> list[Measured]:
    """Time single decisions over 900 offers, from the line to the sealed record."""
    from scenarios import load
    from scenarios.serve.engine import Engine
    from scenarios.serve.state import build_serving

    lines = options.lines or 20_000
    n = 4_000 if options.quick else 20_000
    loaded = load("city_day").with_(
        subscribers=lines, **{"population.donor_days": 0, "population.donors": 500}
    )
    serving = widened(build_serving(loaded), OFFERS)
    engine = Engine(serving)
    waits, used = np.zeros(n), np.zeros(n)
    p99, cpu_p99, allowed = [], [], 0
    began, cpu = time.perf_counter(), time.process_time()
    for repeat in range(options.repeats or 5):
        for k in range(-500, n):
            sub = (k + repeat * n) * 7919 % lines
            at_cpu, at = time.thread_time_ns(), time.perf_counter_ns()
            record = engine.decide(sub, 12 * 3_600_000 + k, channel=0, limit=3)
            if k >= 0:
                waits[k] = (time.perf_counter_ns() - at) / 1000
                used[k] = (time.thread_time_ns() - at_cpu) / 1000
                allowed += int.from_bytes(record[38:40], "little")
        p99.append(float(np.percentile(waits, 99)))
        cpu_p99.append(float(np.percentile(used, 99)))
    return [Measured(
        "decision", p99, cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - began,
        note=f"{lines:,} lines; median {np.median(waits):.1f} us; p99 of CPU time "
        f"alone {np.median(cpu_p99):.1f} us; in the mean "
        f"{allowed / n / len(p99):.0f} of {OFFERS} offers were allowed and ranked",
        detail={"median_us": float(np.median(waits)), "cpu_p99_us": cpu_p99,
                "p999_us": float(np.percentile(waits, 99.9))},
    )]  # fmt: skip


def serve(options: Options) -> list[Measured]:
    """Load a server whose processes share one core; the generator has the others."""
    from scenarios.serve.load import Load, run_load

    lines = options.lines or 100_000
    seconds = 3.0 if options.quick else 10.0
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        reason = "the generator needs a core beside the server's"
        return [Measured(name, reason=reason) for name in ("serve_rate", "serve_p99")]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        process = _started(Path(folder) / "out", lines, cores[0])
        try:
            assert process.stdout is not None
            about = _about(process)
            os.sched_setaffinity(0, set(cores[1:]))
            url = about["url"]
            run_load(url, TOKEN, rate=500, seconds=2, lines=lines)
            cpu = _cpu_s(process.pid)
            at_target: list[Load] = [
                run_load(url, TOKEN, rate=STEPS[0], seconds=seconds, lines=lines)
                for _ in range(options.repeats or 3)
            ]
            cpu = _cpu_s(process.pid) - cpu
            best = 0.0
            steps = []
            for rate in STEPS:
                found = run_load(url, TOKEN, rate=rate, seconds=seconds, lines=lines)
                p99_ms = found.percentile(0.99)
                statuses = {str(k): v for k, v in found.statuses.items()}
                steps.append(
                    {"rate": rate, "served": found.rate, "p99_ms": p99_ms, "statuses": statuses}
                )
                if p99_ms > P99_MS or found.statuses[200] < rate * seconds:
                    break
                best = float(rate)
        finally:
            os.sched_setaffinity(0, set(cores))
            process.terminate()
            process.communicate(timeout=30)
    wall = time.perf_counter() - began
    late = max(load.late_ms for load in at_target)
    note = (
        f"{lines:,} lines, 64 connections, journal on; waits from the moment a request was due; "
        f"the generator was late by {late:.1f} ms at worst; "
        f"{cpu / sum(sum(x.statuses.values()) for x in at_target) * 1e6:.0f} us of CPU a request"
    )
    return [
        Measured("serve_rate", [best], wall_s=wall, note=f"highest of {STEPS} with every answer "
                 f"200 and p99 at most {P99_MS:g} ms", detail={"steps": steps}),
        Measured("serve_p99", [load.percentile(0.99) for load in at_target], cpu_s=cpu,
                 wall_s=wall, note=note,
                 detail={"p50_ms": at_target[-1].percentile(0.5),
                         "p999_ms": at_target[-1].percentile(0.999)}),
    ]  # fmt: skip


def _started(out: Path, lines: int, core: int) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-c",
        f"import os; os.sched_setaffinity(0, {{{core}}}); from scenarios.cli import main; main()",
        "serve", "city_day", "--subscribers", str(lines), "--set", "population.donor_days=0",
        "--set", "population.donors=500", "--port", "0", "--rate", "1000000", "--json",
        "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "TWIN_TOKEN": TOKEN}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a server and its engine, s."""
    import psutil

    front = psutil.Process(pid)
    return sum(sum(p.cpu_times()[:2]) for p in (front, *front.children()))


def _about(process: subprocess.Popen[str]) -> dict[str, Any]:
    text = ""
    while not text.endswith("}\n"):
        assert process.stdout is not None
        piece = process.stdout.readline()
        if not piece:
            raise OSError("the server did not start")
        text += piece
    return json.loads(text)
