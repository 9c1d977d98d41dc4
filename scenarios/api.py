"""A loaded scenario: what the command line, notebooks and studies hold in their hands.

It owns the effective description, its hash and its variants, and hands it to the runner.  It must
not know how a file is read, nor how a world is built.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.catalogue import Catalogue
from scenarios.models import Scenario
from scenarios.yaml12 import Node, dump_yaml

if TYPE_CHECKING:
    from scenarios.progress import Progress

GEO_DATA_DIR = Path(__file__).parent.parent / "geo" / "data"


def shipped_geographies() -> tuple[str, ...]:
    """Return the names of the shipped geographies, sorted; anything else is a path."""
    return tuple(sorted(path.parent.name for path in GEO_DATA_DIR.glob("*/places.csv")))


SHORT_KEYS = {
    "subscribers": "population.subscribers",
    "represents": "population.represents",
    "days": "clock.days",
    "tick_s": "clock.tick_s",
    "seed": "seed",
    "runtime": "placement.runtime",
    "partitions": "placement.partitions",
    "hosts": "placement.hosts",
    "ray_address": "placement.ray_address",
}
"""Options that have a name of their own, and the key that each one sets."""


@dataclass(frozen=True)
class Override:
    """One value set from outside: its path, its value, and how messages name it."""

    path: tuple[str, ...]
    node: Node


@dataclass(frozen=True)
class LoadedScenario:
    """A checked scenario with its selected catalogue.

    `model` is the effective form: every default written out, selections resolved to names, and
    every selected entry whole under `catalog.define`.
    """

    model: Scenario
    source: Path
    catalogue: Catalogue
    overrides: tuple[Override, ...] = field(default=(), repr=False)

    @property
    def folder(self) -> Path:
        """Return the folder from which relative paths of the scenario count."""
        return self.source.parent

    @property
    def name(self) -> str:
        """Return the name of the scenario."""
        return self.model.scenario

    def with_(self, **changes: Any) -> LoadedScenario:
        """Return the scenario with other values.

        Parameters
        ----------
        **changes : `subscribers`, `represents`, `days`, `tick_s`, `seed`, `runtime`, `partitions`,
            `hosts`, or any dotted key: `with_(**{"rtm.enabled": False})`. None changes nothing.
        """
        from scenarios.loader import load_source, overrides_of

        told = {SHORT_KEYS.get(k, k): v for k, v in changes.items() if v is not None}
        return load_source(self.source, self.overrides + overrides_of(told))

    def run(
        self,
        *,
        out: Path | str | None = None,
        runs_dir: Path | str = "runs",
        resume: bool = False,
        watch: Sequence[int] = (),
        stop_at_ms: int | None = None,
        progress: Progress | None = None,
        live: float | None = None,
    ) -> Any:
        """Run it and return the run: `path`, `manifest`, `kpis`, `metrics()`, `decisions()`.

        Parameters
        ----------
        out : the run folder itself; must not exist. Without it a name below `runs_dir` is made
        resume : go on from the newest interrupted run of this scenario, or of `out`
        watch : lines whose rows are kept besides the sample
        stop_at_ms : simulated ms from the start at which to stop as Ctrl-C does
        live : simulated over wall seconds; None runs as fast as it can
        """
        from scenarios import runner

        return runner.run(
            self,
            out=None if out is None else Path(out),
            runs_dir=Path(runs_dir),
            resume=resume,
            watch=tuple(watch),
            stop_at_ms=stop_at_ms,
            progress=progress,
            live=live,
        )

    def effective_yaml(self, *, folder: Path | None = None) -> str:
        """Return the effective scenario as YAML; loading it again gives an equal model.

        Parameters
        ----------
        folder : where the text will stand, so that a geography folder of one's own is found from
            there; by default beside the source
        """
        data = self.model.model_dump(mode="json")
        name = data["geography"]["folder"]
        if folder is not None and name not in shipped_geographies():
            there = os.path.relpath((self.folder / name).resolve(), folder.resolve())
            data["geography"]["folder"] = Path(there).as_posix()
        head = "# The effective scenario: every default and every catalogue entry written out.\n"
        return head + dump_yaml(data)

    def hash(self) -> str:
        """Return the SHA-256 of all that can change a number: 64 hex digits.

        Placement, recording, paths and titles are left out; the catalogue is in.
        """
        data = self.model.model_dump(mode="json", exclude={"placement", "record"})
        for key in ("title", "question"):
            data.pop(key)
        data["catalog"].pop("folder")
        if not data["population"]["pilot"]:
            data["population"].pop("pilot")
        data["geography"]["folder"] = self._geography_key(data["geography"]["folder"])
        text = json.dumps(_sorted(data), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _geography_key(self, name: str) -> str:
        """Return a shipped name as it is, and the digest of the files of any other folder."""
        if name in shipped_geographies():
            return name
        digest = hashlib.sha256()
        for path in sorted((self.folder / name).resolve().glob("*.*")):
            if path.is_file():
                digest.update(path.name.encode())
                with path.open("rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
        return digest.hexdigest()


def _sorted(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with the selected names sorted: their order means nothing."""
    result = dict(data)
    result["catalog"] = {
        key: sorted(value) if isinstance(value, list) else value
        for key, value in result["catalog"].items()
    }
    return result
