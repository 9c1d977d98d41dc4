"""One group of rows in a process of its own: `python -m scenarios.bench FUNCTION FILE`.

Options come as JSON on standard input; the measurements go into the file.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from scenarios.bench.rows import GROUPS, Options


def main() -> None:
    """Measure and write."""
    function, path = sys.argv[1:]
    if function not in {group.function for group in GROUPS}:
        raise SystemExit(f"no such measurement: {function}")
    told = json.load(sys.stdin)
    options = Options(**told | {"growth": tuple(told["growth"])})
    module, name = function.split(":")
    found = getattr(importlib.import_module(f"scenarios.bench.{module}"), name)(options)
    Path(path).write_text(json.dumps([asdict(m) for m in found], allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
