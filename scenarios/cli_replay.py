"""The command `twin replay`: the same loop, driven by recorded events.

It owns the options of a replay.  It must not know how files are read or lines are bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scenarios import cli_common as common
from scenarios.cli_common import out
from scenarios.cli_run import next_steps, summary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "replay",
        epilog="Example: twin replay replay_sample --events my_cdrs/ --mapping my_mapping.yaml",
    )(replay)


def replay(
    scenario: Annotated[str, common.SCENARIO_ARGUMENT],
    events: Annotated[
        Path,
        typer.Option(
            "--events", help="Recorded events: a file, a folder, or a run with `record.tape`."
        ),
    ],
    mapping: Annotated[
        str, typer.Option("--mapping", help="Name of a shipped mapping, or path of a YAML file.")
    ] = "standard",
    subscribers: Annotated[int | None, common.SUBSCRIBERS] = None,
    days: Annotated[float | None, common.DAYS] = None,
    seed: Annotated[int | None, common.SEED] = None,
    runtime: Annotated[str | None, common.RUNTIME] = None,
    partitions: Annotated[int | None, common.PARTITIONS] = None,
    hosts: Annotated[int | None, common.HOSTS] = None,
    out_dir: Annotated[Path | None, common.OUT_DIR] = None,
    settings: Annotated[list[str] | None, common.SETTINGS] = None,
    resume: Annotated[bool, common.RESUME] = False,
    stop_at: Annotated[str | None, common.STOP_AT] = None,
    as_json: Annotated[bool, common.AS_JSON] = False,
    quiet: Annotated[bool, common.QUIET] = False,
) -> None:  # fmt: skip
    """Drive the loop by recorded events; whatever was not recorded stays simulated."""
    from scenarios.progress import make_progress
    from scenarios.replay.feed import open_feed
    from scenarios.replay.tape import tape_feed
    from scenarios.runner import run
    from sim.record.tape import tape_folder

    loaded = common.load_with(
        scenario, settings=settings or (), subscribers=subscribers, seed=seed, runtime=runtime,
        partitions=partitions, hosts=hosts,
    )  # fmt: skip
    progress = make_progress(start=loaded.model.clock.start, quiet=quiet)
    try:
        progress.phase("load")
        tape, spool = tape_folder(events), None
        if tape is None:
            feed = open_feed(events, mapping, bad_share_max=loaded.model.replay.bad_share_max)
            spool = feed.spool.folder
        else:
            feed = tape_feed(tape)
        loaded = feed.scenario(loaded, days=days)
        start = loaded.model.clock.start
        done = run(
            loaded, out=out_dir, runs_dir=Path("runs"), resume=resume, feed=feed,
            stop_at_ms=None if stop_at is None else common.moment_ms(stop_at, start=start),
            progress=progress,
        )  # fmt: skip
    finally:
        progress.close()
    if as_json:
        common.out_json({"run": str(done.path), "manifest": done.manifest, "kpis": done.kpis})
    elif quiet:
        out(str(done.path))
    else:
        out(summary(done.path, done.manifest, done.kpis, currency=loaded.model.money.currency))
        told = done.manifest["replay"]
        out(
            f"  replay      {told['subscribers']:,} subscribers; {told['rows_read']:,} rows read = "
            f"{told['applied']:,} applied + {told['quarantined']:,} left out; "
            f"{told['derived']:,} derived"
        )
        for line in _remarks(told, spool):
            out(line)
        out(next_steps(scenario, done))


def _remarks(told: dict[str, Any], spool: Path | None) -> list[str]:
    """Return what a reader should know of a recording: rows left out, sides that disagree."""
    lines = []
    if told["quarantined"]:
        reasons = ", ".join(f"{name} {n:,}" for name, n in told["reasons"].items())
        lines.append(f"  left out    {reasons}")
        if spool is not None:
            lines.append(f"              rows: {spool / 'quarantine.parquet'}")
    if told["placeless"]:
        lines.append(
            f"  no place    {told['placeless']:,} rows do not say where they were: their lines are "
            "where the twin has them"
        )
    sides = told["two_sides"]
    if sides["differ"] or sides["one_side"]:
        lines.append(
            f"  two sides   {sides['agree']:,} calls agree, {sides['differ']:,} differ in time or "
            f"length, {sides['one_side']:,} have one side alone"
        )
    if told["gaps"]:
        lines.append(
            f"  gaps        {len(told['gaps'])} spans without rows; no silence is seen there"
        )
    return lines
