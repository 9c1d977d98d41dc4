"""What a run saves at a tick border, and how it goes back there.

It owns the content of a checkpoint beyond the lines: global roles, recorder, counts.  It must not
know how checkpoint files are written, nor why a run goes back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors import messages as m
from scenarios.outputs import geography_tables
from scenarios.world import World
from sim.record.folder import RunFolder
from sim.record.recorder import Recorder
from sim.runtime import checkpoint
from sim.runtime.embedded import Runtime


@dataclass
class Saver:
    """Saves and restores one run.

    Attributes
    ----------
    identity : what a checkpoint must belong to: scenario hash, seed, schema hash
    opening : stocks at the start of the run
    events, checks : counted before the newest restore
    """

    folder: RunFolder
    world: World
    runtime: Runtime
    recorder: Recorder
    identity: dict[str, Any]
    opening: dict[str, int] = field(default_factory=dict)
    events: int = 0
    checks: int = 0

    def save(self, tick: int, *, events: int, checks: int) -> None:
        """Write a checkpoint after `tick`; `events` and `checks` are those of the whole run."""
        state, kept = self.runtime.snapshot(), self.recorder.state()
        rest = {
            "globals": state["globals"],
            "scattered": state["scattered"],
            "recorder": {
                "totals": kept["totals"],
                "rows": {name: np.array(n) for name, n in kept["rows"].items()},
            },
            "numbers": {
                "recorder_version": np.array(kept["version"]),
                "events": np.array(events),
                "checks": np.array(checks),
            },
            "opening": {name: np.array(value) for name, value in self.opening.items()},
            "layout": np.frombuffer(kept["layout"].encode(), np.uint8),
        }
        checkpoint.save(
            self.folder.checkpoints,
            tick=tick,
            run=self.identity,
            partitions=state["partitions"],
            rest=rest,
        )

    def saved(self) -> bool:
        """Return whether there is any checkpoint."""
        return any(self.folder.checkpoints.glob("tick-*"))

    def resume(self) -> int:
        """Go back to the newest checkpoint, or to the start; return the first tick to run."""
        if not self.saved():
            # Stopped before the first checkpoint: the run begins afresh in the same folder.
            for part in (self.folder.path / "parts").glob("*"):
                part.unlink()
            geography_tables(self.world, self.recorder, self.folder)
            self.opening = self.runtime.ledger()
            return 0
        return self.go_back()

    def go_back(self) -> int:
        """Restore the newest checkpoint that verifies; return the first tick to run."""
        tick, parts, rest, warnings = checkpoint.load(self.folder.checkpoints, run=self.identity)
        for warning in warnings:
            logging.getLogger(__name__).warning(warning)
        partitions = [p for share in self.runtime.shares for p in share]
        self.runtime.restore({
            "partitions": checkpoint.recut(parts, partitions),
            "scattered": rest.get("scattered", {}),
            "globals": rest["globals"],
        })  # fmt: skip
        self.recorder.restore(
            {
                "version": int(rest["numbers"]["recorder_version"]), "tick": tick,
                "layout": bytes(rest["layout"]).decode(),
                "rows": {k: int(v) for k, v in rest["recorder"]["rows"].items()},
                "totals": rest["recorder"]["totals"],
            },
            tick,
        )  # fmt: skip
        self.events = int(rest["numbers"]["events"])
        self.checks = int(rest["numbers"]["checks"])
        self.opening = {k: int(v) for k, v in rest["opening"].items()}
        return tick + 1


def identity_of(loaded: Any, feed: Any = None) -> dict[str, Any]:
    """Return what a checkpoint of a scenario must belong to."""
    return {
        "scenario_hash": loaded.hash(),
        "seed": loaded.model.seed,
        "schema_hash": m.schema_hash(),
        "replay": "" if feed is None else feed.digest,
    }
