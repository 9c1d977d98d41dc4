"""What a run saves at a tick border, and how it goes back there.

It owns the content of a checkpoint beyond the lines: global roles, recorder, counts.  It must not
know how checkpoint files are written, nor why a run goes back.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors import messages as m
from scenarios.outputs import opening_tables
from scenarios.world import World
from sim.record.folder import RunFolder
from sim.record.recorder import Recorder
from sim.runtime import checkpoint
from sim.runtime.embedded import Runtime
from sim.runtime.parts import Damaged

EPOCH_FILE = ".epoch"
"""Number of the newest attempt at a run, in its folder."""


@dataclass
class Saver:
    """Saves and restores one run.

    Attributes
    ----------
    identity : what a checkpoint must belong to: scenario hash, seed, schema hash
    opening : stocks at the start of the run
    events, checks : counted before the newest restore
    epoch : number of the attempt; each loss of a host and each resumption begins a new one
    n_saved, saved_bytes, save_s : checkpoints written by this process, their bytes and wall time
    """

    folder: RunFolder
    world: World
    runtime: Runtime
    recorder: Recorder
    identity: dict[str, Any]
    opening: dict[str, int] = field(default_factory=dict)
    events: int = 0
    checks: int = 0
    epoch: int = 1
    n_saved: int = 0
    saved_bytes: int = 0
    save_s: float = 0.0

    def save(self, tick: int, *, events: int, checks: int) -> None:
        """Write a checkpoint after `tick`; `events` and `checks` are those of the whole run."""
        began = time.monotonic()
        draft = checkpoint.Draft(self.folder.checkpoints.absolute(), tick, self.epoch).open()
        parts, state = self.runtime.save_to(draft)
        kept = self.recorder.state()
        rest = {
            **state,
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
        self.saved_bytes += draft.commit(run=self.identity, parts=parts, rest=rest)
        self.n_saved += 1
        self.save_s += time.monotonic() - began

    def account(self) -> dict[str, Any]:
        """Return what the checkpoints of this process have cost: number, bytes, wall seconds."""
        return {"n": self.n_saved, "bytes": self.saved_bytes, "seconds": round(self.save_s, 3)}

    def saved(self) -> bool:
        """Return whether there is any checkpoint."""
        return any(self.folder.checkpoints.glob("tick-*"))

    def resume(self) -> int:
        """Go back to the newest checkpoint, or to the start; return the first tick to run."""
        if not self.saved():
            # Stopped before the first checkpoint: the run begins afresh in the same folder.
            for part in (self.folder.path / "parts").glob("*"):
                part.unlink()
            opening_tables(self.world, self.recorder, self.folder)
            self.opening = self.runtime.ledger()
            return 0
        return self.go_back()

    def go_back(self) -> int:
        """Restore the newest checkpoint that verifies; return the first tick to run."""
        saved, warnings = checkpoint.restore(
            self.folder.checkpoints.absolute(), run=self.identity, apply=self._apply
        )
        for warning in warnings:
            logging.getLogger(__name__).warning(warning)
        tick, rest = saved.tick, saved.rest()
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

    def _apply(self, saved: checkpoint.Saved) -> None:
        try:
            self.runtime.load_from(saved)
        except Damaged:
            self.new_epoch()
            self.runtime.rebuild(self.epoch)
            raise

    def new_epoch(self) -> int:
        """Begin a new attempt: what an earlier one still writes can no longer be mistaken."""
        self.epoch = checkpoint.claim_epoch(self.folder.path / EPOCH_FILE)
        return self.epoch


def identity_of(loaded: Any, feed: Any = None) -> dict[str, Any]:
    """Return what a checkpoint of a scenario must belong to."""
    return {
        "scenario_hash": loaded.hash(),
        "seed": loaded.model.seed,
        "schema_hash": m.schema_hash(),
        "replay": "" if feed is None else feed.digest,
    }
