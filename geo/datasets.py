"""List the data sets that the package ships and say what a geography was built from.

This module owns checksums, row counts and licence notes of data files, read from the `sources.json`
beside them. `twin list data` and the run manifest print what it returns. It must not know how a
file is used.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from geo.io import DATA_DIR, Folder

FOLDER_FILES = ("places.csv", "towers.csv", "fences.geojson", "sources.json")
"""Files that a geography folder may hold; anything else in it is ignored."""

FOOTPRINTS = "mall_footprints.csv"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def count_rows(path: Path) -> int:
    """Return data rows of a CSV file or features of a GeoJSON file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".geojson":
        return len(json.loads(text)["features"])
    return max(0, sum(1 for line in text.splitlines() if line.strip()) - 1)


def list_datasets() -> list[dict[str, Any]]:
    """Return every shipped data set, sorted by name.

    Returns
    -------
    One dict per folder: name, files, origin, licence, attribution, rows, bytes, sha256 (of the
    files' checksums in order), and `parts`: one dict per source with file, name, origin, licence,
    attribution, note, rows, sha256.
    """
    found = []
    for sources in sorted(DATA_DIR.glob("*/sources.json")):
        folder = sources.parent
        entries = json.loads(sources.read_text(encoding="utf-8"))
        parts = [
            {
                **entry,
                "rows": count_rows(folder / entry["file"]),
                "sha256": sha256_of(folder / entry["file"]),
            }
            for entry in entries
        ]
        files = sorted({entry["file"] for entry in entries})
        sums = "".join(sha256_of(folder / name) for name in files)
        found.append(
            {
                "name": folder.name,
                "files": files,
                "origin": _joined(entries, "origin"),
                "licence": _joined(entries, "licence"),
                "attribution": _joined(entries, "attribution"),
                "rows": sum(count_rows(folder / name) for name in files),
                "bytes": sum((folder / name).stat().st_size for name in files),
                "sha256": hashlib.sha256(sums.encode()).hexdigest(),
                "parts": parts,
            }
        )
    return found


def _joined(entries: list[dict[str, str]], key: str) -> str:
    """Return the distinct values of a key in order, joined."""
    return "; ".join(dict.fromkeys(entry[key] for entry in entries if entry[key]))


def data_used(folder: Folder, *, synthetic_malls: bool) -> tuple[dict[str, str], ...]:
    """Return {name, file, licence, attribution, sha256} for every file and source read."""
    used = []
    for name in FOLDER_FILES[:3]:
        path = folder.path / name
        if not path.is_file():
            continue
        checksum = sha256_of(path)
        stated = [entry for entry in folder.sources if entry["file"] == name]
        for entry in stated or [{"name": name, "licence": "not stated", "attribution": ""}]:
            used.append(
                {
                    "name": entry["name"],
                    "file": f"{folder.path.name}/{name}",
                    "licence": entry["licence"],
                    "attribution": entry["attribution"],
                    "sha256": checksum,
                }
            )
    if synthetic_malls:
        reference = DATA_DIR / "reference"
        for entry in json.loads((reference / "sources.json").read_text(encoding="utf-8")):
            used.append(
                {
                    "name": entry["name"],
                    "file": f"reference/{entry['file']}",
                    "licence": entry["licence"],
                    "attribution": entry["attribution"],
                    "sha256": sha256_of(reference / entry["file"]),
                }
            )
    return tuple(used)
