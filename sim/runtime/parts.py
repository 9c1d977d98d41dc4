"""A file of a checkpoint: nested dicts of arrays, hashed as they are written and read.

It owns the format and what is told where a file cannot be written or does not verify.  It must
not know what a checkpoint is made of.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sim.core.errors import LimitError, ScenarioError, TwinError

SEPARATOR = "/"
READ_BYTES = 1 << 18

Tree = dict[str, Any]
"""A nested dict whose leaves are arrays."""


class Damaged(TwinError):
    """A part of a checkpoint is not what its manifest says."""


@dataclass(frozen=True)
class Part:
    """A file of a checkpoint.

    Attributes
    ----------
    first, last : lines of a partition, half-open; both -1 for what belongs to no line
    bytes, sha256 : of the whole file
    """

    file: str
    first: int
    last: int
    bytes: int
    sha256: str


def flatten(value: Tree, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Give the arrays of a nested dict with their path names; an empty dict is a name with `/`."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            if not item:
                yield f"{name}{SEPARATOR}", np.zeros(0, np.uint8)
            yield from flatten(item, name + SEPARATOR)
        else:
            yield name, np.asarray(item)


def unflatten(flat: Iterable[tuple[str, np.ndarray]]) -> Tree:
    """Return the nested dict that `flatten` was given."""
    out: Tree = {}
    for name, array in flat:
        *path, last = name.split(SEPARATOR)
        place = out
        for key in path:
            place = place.setdefault(key, {})
        if last:
            place[last] = array
    return out


class Sealed:
    """A file that is hashed as it is written."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle
        self.digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.bytes += len(data)
        return self.handle.write(data)


def write_arrays(path: Path, pieces: Iterator[tuple[str, np.ndarray]]) -> tuple[BinaryIO, Sealed]:
    """Write pairs of a name and an array, each in the format of `.npy`; return the open file.

    A zip archive (`.npz`) would add a checksum of its own to every byte, which costs as much as
    SHA-256 does and proves less.
    """
    try:
        handle = path.open("wb")
    except OSError as error:
        raise _no_room(path, error, sum(a.nbytes for _, a in pieces)) from error
    out: Any = Sealed(handle)
    try:
        for name, array in pieces:
            for item in (np.frombuffer(name.encode(), np.uint8), array):
                np.lib.format.write_array(out, item, allow_pickle=False)
        handle.flush()
    except OSError as error:
        handle.close()
        raise _no_room(path, error, out.bytes + sum(a.nbytes for _, a in pieces)) from error
    return handle, out


def _no_room(path: Path, error: OSError, wanted: int) -> TwinError:
    """Return what to tell of a part that could not be written; it leaves no file behind."""
    path.unlink(missing_ok=True)
    if error.errno == errno.ENOENT:
        return ScenarioError(
            "the folder of the checkpoint is not there on the machine of a host", file=path.parent,
            expected="runs on storage that every machine of the cluster sees",
        )  # fmt: skip
    free = shutil.disk_usage(path.parent).free
    return LimitError(
        f"checkpoint {path} could not be written ({error.strerror}): at least {wanted:,} bytes are "
        f"wanted and {free:,} are free. "
        "The checkpoint before it is intact: make room and go on with --resume"
    )


def settle(handle: BinaryIO, temporary: Path, final: Path) -> None:
    """Force a written file to disk and give it its name."""
    n_bytes = handle.tell()
    try:
        with handle:
            os.fsync(handle.fileno())
        temporary.rename(final)
    except OSError as error:
        raise _no_room(temporary, error, n_bytes) from error


def read_tree(path: Path, part: Part) -> Tree:
    """Return the content of a part after its checksum; the arrays are the reader's own."""
    try:
        with path.open("rb") as handle:
            digest = hashlib.sha256()
            n = 0
            while piece := handle.read(READ_BYTES):
                digest.update(piece)
                n += len(piece)
            if n != part.bytes or digest.hexdigest() != part.sha256:
                raise Damaged(f"{part.file} is damaged")
            handle.seek(0)
            return unflatten(_arrays(handle, n))
    except OSError as error:
        raise Damaged(f"{part.file} cannot be read ({error.strerror})") from error


def _arrays(handle: BinaryIO, n_bytes: int) -> Iterator[tuple[str, np.ndarray]]:
    while handle.tell() < n_bytes:
        name = bytes(np.lib.format.read_array(handle, allow_pickle=False)).decode()
        yield name, np.lib.format.read_array(handle, allow_pickle=False)
