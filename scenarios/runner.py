"""One run: from a loaded scenario to a complete run folder.

It owns the phases (load, build, compile, run, write), the signals that interrupt a run, its
checkpoints and its resumption.  It must not know what a tick does.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors import messages as m
from actors.books import CHECKS
from actors.metrics import ALL_METRICS
from scenarios.equilibrium import equilibrium
from scenarios.folders import Run, finished, open_folder, run_name
from scenarios.lines import line_table
from scenarios.outages import check_outages
from scenarios.outputs import decode_map, notes_of, opening_tables, recorded_tables, run_context
from scenarios.outputs_campaigns import write_campaigns
from scenarios.participation import check_run
from scenarios.placing import check_fits, make_runtime, timeline_entries
from scenarios.recovery import Recovery
from scenarios.replay.tape import start_tape
from scenarios.saving import EPOCH_FILE, Saver, identity_of
from scenarios.telling import Teller
from scenarios.world import World, build_world, digest_stride, load_geography
from sim.control.timeline import Timeline
from sim.core.errors import Interrupted, LimitError, TwinError
from sim.record.folder import RunFolder
from sim.record.manifest import Manifest, MemoryMeter
from sim.record.recorder import Recorder
from sim.record.tape import TAPE, seal
from sim.runtime.checkpoint import claim_epoch
from sim.runtime.coordinator import Loop
from sim.runtime.embedded import Runtime

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RAY_CHECKPOINT_S = 120.0
"""Wall seconds between checkpoints under `ray`, where a node may be lost."""
SAVE_SHARE = 0.05
"""Largest share of the wall time that checkpoints may take by default."""
MASK = 0xFFFFFFFFFFFFFFFF


def run(
    loaded: Any,
    *,
    out: Path | None = None,
    runs_dir: Path = Path("runs"),
    resume: bool = False,
    watch: Sequence[int] = (),
    stop_at_ms: int | None = None,
    progress: Any = None,
    live: float | None = None,
    feed: Any = None,
    on_tick: Callable[[int, Any, Runtime], None] | None = None,
) -> Run:
    """Run a scenario and return the complete run.

    Parameters
    ----------
    out : the run folder itself; must not exist, except to be resumed
    resume : go on from the newest interrupted run of this scenario, or of `out`
    watch : lines whose rows are kept besides the sample
    stop_at_ms : simulated ms at which to stop as Ctrl-C does
    live : simulated over wall seconds
    feed : `Feed` of recorded rows that drive bound lines (`twin replay`)
    on_tick : called after each tick with (index, outcome, runtime): for studies and proofs

    Raises
    ------
    Interrupted : stopped, and saved
    ScenarioError : the input is wrong, or there is nothing to resume
    """
    if watch:
        known = loaded.model.record.watch
        loaded = loaded.with_(**{"record.watch": sorted({*known, *watch})})
    check_fits(loaded.model)
    job = _Job(loaded, progress, stop_at_ms=stop_at_ms, live=live, on_tick=on_tick, feed=feed)
    done = finished(loaded, out, runs_dir, feed) if resume else None
    if done is not None:
        return done
    folder = open_folder(loaded, out=out, runs_dir=runs_dir, resume=resume, feed=feed)
    try:
        done = job.run(folder, resume=resume)
    except Interrupted:
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            folder.failed(error, job.manifest_now("failed"))
            raise
        folder.interrupted(job.manifest_now("interrupted"))
        raise LimitError(
            f"the disk is full: {shutil.disk_usage(folder.path).free:,} bytes are free; make room "
            f"and go on with --resume ({folder.path})"
        ) from error
    except BaseException as error:
        folder.failed(error, job.manifest_now("failed"))
        error.run_folder = folder.path  # type: ignore[attr-defined]  # read by the command line
        raise
    # Out of reach of what marks a run as failed: its results are whole, only a gate was missed.
    if job.missed:
        raise LimitError(f"{job.missed}; the run is complete: {done.path}")
    return done


@contextmanager
def signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask for a stop; a second SIGINT ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(130)
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Job:
    """The phases of one run."""

    def __init__(
        self,
        loaded: Any,
        progress: Any,
        *,
        stop_at_ms: int | None,
        live: float | None,
        on_tick: Callable[[int, Any, Runtime], None] | None,
        feed: Any = None,
    ) -> None:
        self.feed = feed
        self.loaded = loaded
        self.scenario = loaded.model
        self.progress = progress
        self.stop_at_ms = stop_at_ms
        self.live = live or 0.0
        self.on_tick = on_tick
        self.stop = threading.Event()
        self.meter = MemoryMeter()
        self.manifest: Manifest | None = None
        self.loop: Loop | None = None
        self.phases: dict[str, float] = {}
        self.cpu_s = 0.0
        self.state_bytes = 0.0
        self.done_ms = 0
        self.teller: Teller | None = None
        self.saver: Saver | None = None
        self.recovery: Recovery | None = None
        self.missed = ""
        self.asked = 0

    def run(self, folder: RunFolder, *, resume: bool) -> Run:
        """Run every phase into an open folder."""
        clock = self.scenario.clock
        teller = self.teller = Teller(
            folder,
            progress=self.progress,
            meter=self.meter,
            start=clock.start,
            end_ms=getattr(self.feed, "end_ms", None) or round(clock.days * 86_400_000),
        )
        with self.meter, signals(self.stop):
            world = self._build(folder, teller, resume=resume)
            began = time.monotonic()
            epoch = claim_epoch(folder.path / EPOCH_FILE)
            runtime, n_partitions, n_hosts = make_runtime(
                world,
                self.scenario,
                built=lambda lines: teller.part(lines, world.n_lines, "lines"),
                run=folder.name,
                epoch=epoch,
            )
            try:
                self._phase_took("build", began)
                # Ray puts handlers of its own in the place of ours when it starts.
                with signals(self.stop):
                    return self._run(
                        folder, world, runtime, n_partitions, n_hosts, epoch=epoch, resume=resume
                    )
            finally:
                runtime.close()

    def _build(self, folder: RunFolder, teller: Teller, *, resume: bool) -> World:
        teller.phase("build")
        began = time.monotonic()
        if not resume:
            folder.write_text("scenario.yaml", self.loaded.effective_yaml(folder=folder.path))
        geo = load_geography(self.loaded)
        check_outages(geo, self.scenario)
        self._phase_took("build", began)
        teller.phase("compile")
        began = time.monotonic()
        # The pilot compiles every kernel before the clock of the run starts.
        donors = equilibrium(
            self.loaded,
            geo,
            hosts=os.cpu_count() or 1,
            done=lambda hours, of: teller.part(hours, of, "hours of the pilot"),
        )
        self._phase_took("compile", began)
        teller.phase("build")
        began = time.monotonic()
        world = build_world(self.loaded, geo, donors=donors)
        if self.feed is not None:
            world = self.feed.bind(world)
        if self.scenario.record.tape:
            world = start_tape(world, self.loaded, folder)
        self._phase_took("build", began)
        return world

    def _run(
        self,
        folder: RunFolder,
        world: World,
        runtime: Runtime,
        n_partitions: int,
        n_hosts: int,
        *,
        epoch: int,
        resume: bool,
    ) -> Run:
        scenario = self.scenario
        recorder = Recorder(
            folder.path,
            metrics=ALL_METRICS,
            labels=world.labels,
            tables=recorded_tables(),
            decode=decode_map(world.labels),
            tick_s=scenario.clock.tick_s,
        )
        self.state_bytes = runtime.state_bytes() / world.n_lines
        self._open_manifest(world, n_partitions, n_hosts)
        first = 0
        saver = self.saver = Saver(
            folder,
            world,
            runtime,
            recorder,
            identity_of(self.loaded, self.feed),
            runtime.ledger(),
            epoch=epoch,
        )
        if resume:
            first = saver.resume()
        else:
            opening_tables(world, recorder, folder)
        save_s = scenario.placement.checkpoint_s
        by_default = save_s < 0
        if by_default:
            save_s = RAY_CHECKPOINT_S if scenario.placement.runtime == "ray" else 0.0
        self.loop = Loop(
            runtime,
            world.clock,
            Timeline(timeline_entries(world, scenario)),
            CHECKS,
            recorder,
            digest_stride=digest_stride(scenario),
            save=self._save,
            save_every_s=save_s,
            save_share=SAVE_SHARE if by_default else 1.0,
            stop=self.stop.is_set,
            stop_at_ms=self.stop_at_ms,
            watch=self._watch,
            on_tick=None
            if self.on_tick is None
            else (
                lambda index, outcome: self.on_tick(index, outcome, runtime)  # type: ignore[misc]  # checked above
            ),
            source=None if self.feed is None else self.feed.source,
            speed=self.live,
            events=saver.events,
        )
        assert self.teller is not None
        folder.started(self.manifest_now("running"))
        self.teller.phase("run")
        began, cpu = time.monotonic(), self.meter.cpu_seconds()
        self.recovery = Recovery(
            self.loop, saver, lambda: Timeline(timeline_entries(world, scenario))
        )
        complete = self.recovery.run(first)
        self._phase_took("run", began)
        self.cpu_s = self.meter.cpu_seconds() - cpu
        if not complete:
            folder.interrupted(self.manifest_now("interrupted"))
            raise Interrupted(
                f"interrupted at {world.clock.calendar.clock(self.done_ms)}; the state is saved. "
                f"Go on with the same command and --resume ({folder.path})"
            )
        return self._write(folder, world, runtime, recorder)

    def _save(self, tick: int) -> None:
        assert self.loop is not None and self.saver is not None
        self.saver.save(
            tick, events=self.loop.events, checks=self.saver.checks + self.loop.n_checks
        )

    def _write(self, folder: RunFolder, world: World, runtime: Runtime, recorder: Recorder) -> Run:
        assert self.teller is not None
        self.teller.phase("write")
        began = time.monotonic()
        digest = (
            sum(
                int(value) * (index * 2 + 1)
                for index, (_, value) in enumerate(sorted(runtime.digest().items()))
            )
            & MASK
        )
        recorder.finish()
        if self.scenario.record.tape:
            seal(folder.path / TAPE)
        if self.scenario.record.line_digests:
            recorder.write_table("lines", line_table(world, runtime))
        assert self.saver is not None
        kpis = run_context(world, self.loaded, recorder, runtime.ledger(), self.saver.opening)
        folder.write_json("kpis.json", kpis)
        write_campaigns(recorder, folder, kpis["campaigns"])
        self.asked = check_run(folder.path, world, self.loaded.catalogue.campaigns)
        self._phase_took("write", began)
        folder.write_json("manifest.json", self.manifest_now("complete", digest=digest))
        began = time.monotonic()
        from scenarios.report import report

        report(folder.path)
        self._phase_took("write", began)
        manifest = self.manifest_now("complete", digest=digest)
        assert manifest is not None
        folder.write_json("manifest.json", manifest)
        self.missed = self._missed_target(kpis)
        (folder.path / EPOCH_FILE).unlink(missing_ok=True)
        path = folder.complete(
            exit_code=LimitError.exit_code if self.missed else 0,
            # Asked for: `serve --from` goes on from them.
            keep_checkpoints=self.scenario.placement.checkpoint_s > 0,
        )
        if self.progress is not None:
            self.progress.close()
        return Run(path, manifest, kpis)

    def _missed_target(self, kpis: dict[str, Any]) -> str:
        """Return what to say of a target that was missed; empty where none was."""
        wanted = self.scenario.targets.decision_p99_ms
        found = kpis["latency_ms"]["decision"]["p99"]
        if wanted is None or found is None or found <= wanted:
            return ""
        return f"target missed: p99 of a decision is {found:g} ms, wanted at most {wanted:g} ms"

    # --- telling ------------------------------------------------------------------------------

    def _recoveries(self) -> int:
        return self.recovery.recoveries if self.recovery else 0

    def _phase_took(self, phase: str, began: float) -> None:
        self.phases[phase] = self.phases.get(phase, 0.0) + time.monotonic() - began

    def _watch(self, done: int, sim_ms: int, events: int) -> None:
        assert self.teller is not None
        self.done_ms = sim_ms
        self.teller.tick(sim_ms=sim_ms, events=events, done=done, recoveries=self._recoveries())

    def _open_manifest(self, world: World, n_partitions: int, n_hosts: int) -> None:
        scenario = self.scenario
        self.manifest = Manifest(
            scenario=scenario.scenario,
            scenario_hash=self.loaded.hash(),
            seed=scenario.seed,
            runtime=scenario.placement.runtime,
            partitions=n_partitions,
            hosts=n_hosts,
            subscribers=scenario.population.subscribers,
            cells=world.plan.n_cells,
            tick_s=scenario.clock.tick_s,
            data=world.geo.data_used if world.geo else (),
            code_root=Path(__file__).parent.parent,
            extra={
                "title": scenario.title,
                "question": scenario.question,
                "start": scenario.clock.start,
                "schema_hash": m.schema_hash(),
                "represents": scenario.population.represents or scenario.population.subscribers,
                "groups": [list(group) for group in scenario.placement.groups],
                "sampled_lines": len(world.plan.sampled),
                "lines": world.n_lines,
                "notes": notes_of(world, scenario.geography.folder),
                **({} if self.feed is None else {"replay": self.feed.account()}),
            },
        )

    def manifest_now(self, status: str, *, digest: int | None = None) -> dict[str, Any] | None:
        """Return the manifest with what is known now, or None before the world is built."""
        if self.manifest is None:
            return None
        self.manifest.phases.update(self.phases)
        before = self.saver.checks if self.saver else 0
        checks = before + (self.loop.n_checks if self.loop else 0) + self.asked
        return self.manifest.build(
            status,
            sim_seconds=self.done_ms / 1000,
            events_total=self.loop.events if self.loop else 0,
            cpu_seconds=self.cpu_s,
            peak_bytes=self.meter.sample(exact=True) and self.meter.peak_bytes,
            state_bytes_per_subscriber=round(self.state_bytes, 1),
            state_digest=digest,
            audit={"checks": checks, "failures": 0},
            recoveries=self._recoveries(),
            extra={"checkpoints": self.saver.account()} if self.saver else None,
        )


__all__ = ["Run", "TwinError", "run", "run_name"]
