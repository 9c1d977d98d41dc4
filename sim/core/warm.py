"""Compile every kernel once, so that the first run does not wait: `python -m sim.core.warm`.

It owns the call that set-up makes after an installation.  It must not keep anything.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run a tiny scenario in a process of its own and throw its folder away."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "from scenarios.cli import main; main()",
                "run",
                "city_day",
                "--subscribers",
                "2000",
                "--days",
                "1",
                "--quiet",
                "--out",
                str(Path(folder) / "warm"),
            ],
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
