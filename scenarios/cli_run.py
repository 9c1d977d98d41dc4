"""The command `twin run`, and the summary that follows a run.

It owns the options of a run and the dozen lines that say what happened.  It must not know how a
run is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out

TOP_USE_CASES = 4

FUNNEL = (
    ("trigger_hits", "hits"), ("eligible", "eligible"), ("allowed", "allowed"), ("won", "won"),
    ("sent", "sent"), ("seen", "seen"), ("accepted", "accepted"),
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", epilog="Example: twin run city_day --subscribers 50000 --days 0.5")(run)


def run(
    scenario: Annotated[str, common.SCENARIO_ARGUMENT],
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    runtime: Annotated[str | None, common.RUNTIME] = None,
    partitions: Annotated[int | None, common.PARTITIONS] = None,
    hosts: Annotated[int | None, common.HOSTS] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Join the Ray cluster there; needs --runtime ray and RAY_AUTH_TOKEN.",
                     metavar="HOST:PORT", show_default=False),
    ] = None,
    tick_s: Annotated[
        int | None, typer.Option(help="Tick in seconds.", show_default=False)
    ] = None,
    out_dir: Annotated[Path | None, common.OUT_DIR] = None,
    watch: Annotated[
        list[int] | None,
        typer.Option(help="Keep every row of this line; repeat it.", metavar="SUB",
                     show_default=False),
    ] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    resume: Annotated[bool, common.RESUME] = False,
    stop_at: Annotated[str | None, common.STOP_AT] = None,
    live: Annotated[
        float | None,
        typer.Option(help="Simulated over wall seconds; 1 is real time.", metavar="SPEED",
                     show_default=False),
    ] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
    quiet: Annotated[bool, common.QUIET] = False,
) -> None:  # fmt: skip
    """Run a scenario once: the whole loop, measured, recorded, with a report."""
    from scenarios.progress import make_progress

    loaded = common.load_with(
        scenario, settings=settings or (), subscribers=subscribers, days=days, seed=seed,
        runtime=runtime, partitions=partitions, hosts=hosts, tick_s=tick_s,
    )  # fmt: skip
    _check(loaded, watch=watch or [], live=live)
    start = loaded.model.clock.start
    progress = make_progress(start=start, quiet=quiet)
    try:
        done = loaded.run(
            out=out_dir,
            resume=resume,
            watch=watch or (),
            stop_at_ms=None if stop_at is None else common.moment_ms(stop_at, start=start),
            progress=progress,
            live=live,
        )
    finally:
        progress.close()
    if as_json:
        common.out_json({"run": str(done.path), "manifest": done.manifest, "kpis": done.kpis})
    elif quiet:
        out(str(done.path))
    else:
        currency = loaded.model.money.currency
        out(summary(done.path, done.manifest, done.kpis, currency=currency))
        out(next_steps(scenario, done))


def _check(loaded: Any, *, watch: list[int], live: float | None) -> None:
    from sim.core.errors import Problem, ScenarioError

    n = loaded.model.population.subscribers
    problems = [
        Problem("no such line", file="--watch", found=str(sub), expected=f"from 0 to {n - 1}")
        for sub in watch
        if not 0 <= sub < n
    ]
    if live is not None and not 0 < live <= 1e6:
        problems.append(
            Problem(
                "out of range",
                file="--live",
                found=str(live),
                expected="above 0 to 1000000 simulated seconds a second",
            )  # fmt: skip
        )
    if problems:
        raise ScenarioError.collect(problems)


def summary(
    path: Path, manifest: Mapping[str, Any], kpis: Mapping[str, Any], *, currency: str
) -> str:
    """Return a dozen lines about a run; what is not known is left out or `no data`."""
    lines = [_title(manifest)]
    events, rate = manifest.get("events_total"), manifest.get("events_per_second")
    wall = _part(manifest, "phases").get("run", manifest.get("wall_seconds"))
    lines.append(
        f"  events      {_count(events)} in {_fixed(wall)} s, {_count(rate)} a second,"
        f" {_fixed(manifest.get('sim_speed'), 0)} times real time,"
        f" {_fixed((manifest.get('peak_rss_bytes') or 0) / 2**30)} GiB"
    )
    audit = _part(manifest, "audit")
    digest = str(manifest.get("state_digest") or "-")[:16]
    failures = audit.get("failures")
    failures = len(failures) if isinstance(failures, list | tuple) else failures
    lines.append(
        f"  audit       {_count(audit.get('checks'))} checks, {_count(failures)} failures;"
        f" digest {digest}"
    )
    funnel = _part(kpis, "funnel")
    lines.append(
        "  funnel      " + ", ".join(f"{_count(funnel.get(key))} {word}" for key, word in FUNNEL)
    )
    decision = _part(_part(kpis, "latency_ms"), "decision")
    share = decision.get("share_under_1s")
    under = "no data" if share is None else f"{100 * _number(share):.2f} %"
    lines.append(
        f"  decisions   p50 {_count(decision.get('p50'))} ms, p99 {_count(decision.get('p99'))} ms,"
        f" {under} under 1 s"
    )
    lines.extend(_use_cases(_part(kpis, "use_cases"), currency))
    network = _part(kpis, "network")
    if network:
        lines.append(
            f"  network     busy hour {network.get('busy_hour', '-')},"
            f" {_count(network.get('cells_congested'))} of {_count(manifest.get('cells'))} cells"
            f" congested, {_percent(network.get('blocked_share'))} blocked"
        )
    lines += [f"  note        {note}" for note in manifest.get("notes") or []]
    lines.append(f"  folder      {path}")
    if (path / "report.html").is_file():
        lines.append(f"  report      {path / 'report.html'}")
    return "\n".join(lines)


def _title(manifest: Mapping[str, Any]) -> str:
    days = _number(manifest.get("sim_seconds")) / 86_400
    return (
        f"{manifest.get('scenario', 'run')}, seed {manifest.get('seed', '-')}:"
        f" {_count(manifest.get('subscribers'))} subscribers, {days:g}"
        f" {'day' if days == 1 else 'days'}, {manifest.get('status', 'complete')}"
    )


def _use_cases(cases: Mapping[str, Any], currency: str) -> list[str]:
    """Return the use cases with most winners: uplift of margin with its interval."""
    rows = []
    for name, case in cases.items():
        uplift = case.get("uplift") if isinstance(case, Mapping) else None
        n = _number(uplift.get("n")) if isinstance(uplift, Mapping) else 0
        rows.append((-n, name, case, uplift if isinstance(uplift, Mapping) else {}))
    if not rows:
        return ["  use cases   none"]
    lines = [f"  use cases   uplift of margin per 1,000 winners, {currency}, interval at 95 %"]
    for _, name, case, uplift in sorted(rows, key=lambda row: row[:2])[:TOP_USE_CASES]:
        value, low, high = (uplift.get(key) for key in ("value", "low", "high"))
        told = "no data"
        if value is not None:
            told = f"{_number(value) / 100:+,.0f}"
            if low is not None and high is not None:
                told += f" [{_number(low) / 100:+,.0f}, {_number(high) / 100:+,.0f}]"
        lines.append(
            f"    {name:<22} {told:<28} {_count(case.get('sent'))} sent,"
            f" {_count(case.get('accepted'))} accepted"
        )
    return lines


def next_steps(scenario: str, done: Any) -> str:
    """Return three commands to try next."""
    sub = _somebody(done)
    return "\n".join(
        (
            "try next:",
            f"  twin explain {done.path} --sub {sub}",
            f"  twin run {scenario} --seed 2 --set rtm.cap.contacts=1",
            "  twin list offers",
        )
    )


def _somebody(done: Any) -> int:
    """Return a recorded line to which something was sent, else any recorded line, else 0."""
    try:
        rows = done.decisions()
        sent = rows[rows["reason"].astype(str) == "intended"]
        chosen = sent if len(sent) else rows
        return int(chosen["sub"].iloc[0]) if len(chosen) else 0
    except (AttributeError, KeyError, TypeError, ValueError, OSError):
        return 0


def _part(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _count(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "no data"


def _fixed(value: Any, digits: int = 1) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "no data"


def _percent(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("value", value.get("share"))
    return f"{100 * value:.2f} %" if isinstance(value, int | float) else "no data"
