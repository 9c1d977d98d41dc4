"""Files of a run: JSON and text, written whole or not at all, and read with one clear message.

It owns how bytes reach the disk.  It must not know what the files are about.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from sim.core.errors import ScenarioError


def write_json(path: Path, obj: Any, *, indent: int | None = 2) -> None:
    """Write one JSON file, atomically and durably; NaN and infinity become null."""
    write_atomic(path, json_bytes(obj, indent=indent), sync=True)


def write_text(path: Path, text: str) -> None:
    """Write one text file, atomically and durably."""
    write_atomic(path, text.encode("utf-8"), sync=True)


def read_json(path: Path) -> Any:
    """Read one JSON file; a damaged or missing one is a `ScenarioError` that names it."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ScenarioError("a file of the run is missing", file=path) from None
    except (OSError, ValueError) as error:
        raise ScenarioError(
            "a file of the run cannot be read", file=path, found=str(error),
            expected="a JSON document",
        ) from None  # fmt: skip


def json_bytes(obj: Any, *, indent: int | None) -> bytes:
    text = json.dumps(plain(obj), indent=indent, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def plain(obj: Any) -> Any:
    """Return the object in the types that JSON knows; NumPy included, NaN and infinity null."""
    if isinstance(obj, dict):
        return {str(key): plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple | set | frozenset):
        return [plain(value) for value in obj]
    if hasattr(obj, "tolist"):
        return plain(obj.tolist())
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    if isinstance(obj, Path):
        return str(obj)
    return obj


def write_atomic(path: Path, data: bytes, *, sync: bool) -> None:
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temp.open("wb") as handle:
            handle.write(data)
            if sync:
                handle.flush()
                os.fsync(handle.fileno())
        os.replace(temp, path)
    except OSError:
        temp.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Force the names of a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
