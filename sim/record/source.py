"""The replay reader: from recorded files to ordered, typed, deduplicated rows, in bounded memory.

It owns the passes of reading: find and check every file, read each once into typed rows, settle
duplicates, sort by subscriber and time into a spool, and account for every row.  It must not know
how a mapping is written, nor what the twin does with a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from sim.record.source_spec import InputFile, Limits, Recording
from sim.record.source_spool import Spool


class Source:
    """The files of one recording.

    Usage: `Source(recording, root).spool(folder, secret=...)`; `check()` alone refuses bad files
    before anything is built or written.
    """

    def __init__(self, recording: Recording, root: Path, *, limits: Limits | None = None) -> None:
        """Take a recording and where its files are.

        Parameters
        ----------
        recording : what the files mean (`scenarios.replay.mapping.Mapping.recording()`)
        root : folder that the patterns of the recording start from, or the only file
        limits : for tests
        """
        raise NotImplementedError

    def check(self) -> tuple[InputFile, ...]:
        """Find all files, hold every header or schema against the recording; read no row.

        Raises one `ScenarioError` with all problems.
        """
        raise NotImplementedError

    def spool(
        self,
        folder: Path,
        *,
        secret: bytes,
        known: Iterable[str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Spool:
        """Read everything once and write a spool; complete or absent.

        A spool of the same files and recording that is there already is opened and not made again.

        Parameters
        ----------
        folder : of the spool; `<folder>.part` while it is made
        secret : at least 16 bytes, kept outside any run folder: the key of the pseudonyms
        known : ids (as they stand in the recording) that may be applied; others are quarantined as
            `unknown_subscriber`.  None admits all.
        on_progress : called with (bytes read, bytes in all)
        """
        raise NotImplementedError
