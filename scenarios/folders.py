"""The folder of a run: how it is named, found complete, opened anew or gone on with.

It owns `Run`, what a complete run is to a caller.  It must not know how a run is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import ScenarioError
from sim.record.folder import RunFolder, resumable


@dataclass(frozen=True)
class Run:
    """A run that is complete.

    Attributes
    ----------
    path : its folder
    manifest, kpis : content of `manifest.json` and `kpis.json`
    """

    path: Path
    manifest: dict[str, Any]
    kpis: dict[str, Any]

    def metrics(self) -> Any:
        """Return `metrics.parquet` as a data frame."""
        from sim.record.store import open_run

        with open_run(self.path) as run:
            return run.metrics()

    def decisions(self) -> Any:
        """Return the recorded decisions as a data frame."""
        from sim.record.store import open_run

        with open_run(self.path) as run:
            return run.decisions()


def run_name(loaded: Any, feed: Any = None) -> str:
    """Return the name of a scenario's run folder."""
    replay = "" if feed is None else f"-replay-{feed.digest[:8]}"
    return f"{loaded.model.scenario}-s{loaded.model.seed}-{loaded.hash()[:8]}{replay}"


def finished(loaded: Any, out: Path | None, runs_dir: Path, feed: Any) -> Run | None:
    """Return the run that `--resume` finds complete already."""
    from sim.record.store import open_run

    path = out if out is not None else runs_dir / run_name(loaded, feed)
    parts = [path.with_name(path.name + ".part")] if out else resumable(runs_dir, path.name)
    if path.is_dir() and not any(part.is_dir() for part in parts):
        with open_run(path) as found:
            return Run(path, found.manifest, found.kpis)
    return None


def open_folder(
    loaded: Any, *, out: Path | None, runs_dir: Path, resume: bool, feed: Any
) -> RunFolder:
    """Open a new folder, or the interrupted one that `--resume` goes on with."""
    if not resume:
        if out is not None:
            return RunFolder.create(out.parent, out.name, exact=True)
        return RunFolder.create(runs_dir, run_name(loaded, feed))
    if out is not None:
        return RunFolder.resume(out)
    found = resumable(runs_dir, run_name(loaded, feed))
    if not found:
        raise ScenarioError(
            "there is no interrupted run of this scenario to resume",
            file=runs_dir,
            expected=f"a folder {run_name(loaded, feed)}.part",
        )
    return RunFolder.resume(found[0])
