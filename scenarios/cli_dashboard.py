"""The command `twin dashboard`: the pages over a folder of runs, on this machine only.

It owns the port, the address and what is said where the pages cannot start.  It must not import
the dashboard: a server of its own does.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from scenarios.cli_common import out

HOST = "127.0.0.1"
APP = Path(__file__).parent.parent / "dashboard" / "app.py"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard", epilog="Example: twin dashboard --runs runs --port 8501")(dashboard)


def dashboard(
    runs: Annotated[Path, typer.Option("--runs", help="Folder of runs.")] = Path("runs"),
    port: Annotated[
        int, typer.Option("--port", help="Port on this machine.", min=1, max=65_535)
    ] = 8501,
) -> None:
    """Show runs in a browser: overview, map, use cases, one subscriber, live. Ctrl-C ends it."""
    command = server(runs, port)
    out(f"dashboard of {runs.resolve()} at http://{HOST}:{port} (Ctrl-C ends it)")
    sys.stdout.flush()
    # The server takes the place of this process: a signal to it ends everything, nothing is left.
    os.execv(command[0], command)


def server(runs: Path, port: int) -> list[str]:
    """Return the command that serves the pages, after checking that it can.

    Raises
    ------
    ScenarioError : the extra is not installed, `runs` is not a folder, the port is taken
    """
    from sim.core.errors import ScenarioError

    if any(importlib.util.find_spec(name) is None for name in ("streamlit", "pydeck")):
        raise ScenarioError(
            "the dashboard is not installed", found="no Streamlit or no pydeck",
            expected="pip install 'operator-twin[dashboard]', or `make setup` in the project",
        )  # fmt: skip
    if runs.exists() and not runs.is_dir():
        raise ScenarioError("not a folder of runs", file=runs, expected="a folder")
    if not _is_free(port):
        raise ScenarioError(
            "the port is taken", file="--port", found=port,
            expected=f"a free port, for instance --port {_free_port()}",
        )  # fmt: skip
    # Flags win over a file in the reader's home; the rest stands in dashboard/.streamlit.
    return [
        sys.executable, "-m", "streamlit", "run", str(APP), "--server.address", HOST,
        "--server.port", str(port), "--server.headless", "true",
        "--browser.gatherUsageStats", "false", "--", "--runs", str(runs.resolve()),
    ]  # fmt: skip


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
