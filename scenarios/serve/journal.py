"""The journal: every decision of a server, written before it is answered.

It owns the file: a sealed head that says to what it belongs, then records of one fixed size, each
with a CRC-32, only ever appended.  A record holds numbers and keyed hashes, never a phone number.
It must not know how a decision is taken.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from sim.core.errors import ScenarioError

RANKS_MAX = 10
"""Offers of one answer, at most."""
HEAD_BYTES = 512
NAME = "decisions.journal"

RECORD = np.dtype([
    ("seq", "<u8"), ("ts_ms", "<i8"), ("sub", "<i8"), ("day", "<i4"),
    ("channel", "u1"), ("reason", "u1"), ("n_ranked", "u1"), ("known", "u1"),
    ("contact", "<i2"), ("n_candidates", "<u2"), ("n_eligible", "<u2"), ("n_allowed", "<u2"),
    ("ranked", "<i2", (RANKS_MAX,)), ("scores", "<i4", (RANKS_MAX,)),
    ("key", "V16"), ("content", "V16"), ("crc", "<u4"),
])  # fmt: skip
"""One decision: number, simulated moment, line, its local day, channel, `messages.REASONS` code,
offers ranked, whether the customer is known, the use case remembered as a contact (-1 none),
counts, the ranking, keyed hashes of the idempotency key (zeros: none) and of the content, and the
CRC-32 of all before it."""
BODY_BYTES = RECORD.itemsize - 4
BODY = struct.Struct(f"<QqqiBBBBhHHH{RANKS_MAX}h{RANKS_MAX}i16s16s")
"""The same fields without the checksum."""


class Journal:
    """An open journal, appended to by one process.

    Parameters
    ----------
    path : the file, made by `create`
    always : sync to the disk before each answer; else the caller says when, by `sync`
    """

    def __init__(self, path: Path, *, always: bool) -> None:
        self.path = path
        self.always = always
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._dirty = False

    def append(self, records: bytes) -> None:
        """Write whole records; when this returns they survive the end of this process.

        Raises
        ------
        OSError : they could not be written; a part of one may stand at the end
        """
        data = memoryview(records)
        while data:
            data = data[os.write(self._file, data) :]
        self._dirty = True
        if self.always:
            self.sync()

    def sync(self) -> None:
        """Make what was written survive the loss of power."""
        if self._dirty:
            self._dirty = False
            os.fdatasync(self._file)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._file)


def sealed(*values: int | bytes) -> bytes:
    """Return a record of the values of `BODY`, with its checksum."""
    body = BODY.pack(*values)
    return body + zlib.crc32(body).to_bytes(4, "little")


def create(path: Path, identity: dict[str, str]) -> None:
    """Make an empty journal that belongs to `identity`: scenario, checkpoint."""
    content = json.dumps(identity, sort_keys=True)
    text = json.dumps({"journal": 1, "crc": zlib.crc32(content.encode()), "of": content})
    head = text.encode().ljust(HEAD_BYTES - 1) + b"\n"
    if len(head) != HEAD_BYTES:
        raise ValueError("the identity is too long for the head of a journal")
    # Only its owner reads it: it says who was offered what.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, head)
        os.fsync(file)
    finally:
        os.close(file)


def read(path: Path, identity: dict[str, str] | None = None, *, verify: bool = True) -> np.ndarray:
    """Return the records of a journal, (n,) of `RECORD`, after cutting a torn end off the file.

    Parameters
    ----------
    identity : what it must belong to; None takes any
    verify : False trusts the checksums: for the process that wrote it under this server

    Raises
    ------
    ScenarioError : it is no journal, belongs to something else, or is damaged before its end
    """
    try:
        data = np.memmap(path, np.uint8, "r")
        head = json.loads(bytes(data[:HEAD_BYTES]))
        content = str(head["of"])
        sound = zlib.crc32(content.encode()) == head["crc"] and len(data) >= HEAD_BYTES
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError("not a journal of decisions", file=path) from error
    if not sound:
        raise ScenarioError("the head of the journal is damaged", file=path)
    if identity is not None and json.loads(content) != identity:
        raise ScenarioError(
            "the journal belongs to another world", file=path, found=content,
            expected=json.dumps(identity, sort_keys=True),
        )  # fmt: skip
    n = (len(data) - HEAD_BYTES) // RECORD.itemsize
    whole = HEAD_BYTES + n * RECORD.itemsize
    records = data[HEAD_BYTES:whole].view(RECORD)
    if len(data) != whole:
        os.truncate(path, whole)
    sound_up_to = _sound(records) if verify else n
    if sound_up_to < n:
        # Records that were being written when the machine stopped, and were not synced.
        if any(_is_sound(records, k) for k in range(sound_up_to + 1, n)):
            raise ScenarioError(
                "the journal is damaged", file=path,
                found=f"a wrong checksum in record {sound_up_to} of {n}, and sound ones behind it",
                expected="an untouched file; start afresh without --resume",
            )  # fmt: skip
        os.truncate(path, HEAD_BYTES + sound_up_to * RECORD.itemsize)
    return records[:sound_up_to]


def _is_sound(records: np.ndarray, k: int) -> bool:
    record = records[k]
    return zlib.crc32(record.tobytes()[:BODY_BYTES]) == record["crc"] and record["seq"] == k


def _sound(records: np.ndarray) -> int:
    """Return how many records are sound before the first that is not."""
    return next((k for k in range(len(records)) if not _is_sound(records, k)), len(records))
