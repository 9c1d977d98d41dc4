"""A server of inbound decisions for tests: started as a user would, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

TOKEN = "a-token-of-tests-0123456789"
LINES = 2_000
SETTINGS = ("population.donor_days=0", "population.donors=500")


@dataclass
class Server:
    """A running server.

    Attributes
    ----------
    about : what it said at its start
    folder : of its journal
    """

    process: subprocess.Popen[str]
    about: dict[str, Any]
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        parts = urlsplit(self.about["url"])
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    @property
    def engine(self) -> int:
        """Return the process of the engine, or 0 between two of them."""
        return next((p.pid for p in psutil.Process(self.process.pid).children()), 0)

    def ask(
        self,
        path: str = "/v1/decisions",
        body: Any = None,
        *,
        method: str = "POST",
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        patient: bool = True,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer; a body that is no bytes is sent as JSON.

        A patient client asks again where it is told to: on a busy machine a server may be late.
        """
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        if not isinstance(body, bytes) and body is not None:
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            connection.request(method, path, body=body, headers={**sent, **(headers or {})})
            answer = connection.getresponse()
            told = {k.lower(): v for k, v in answer.headers.items()}
            found = answer.status, told, answer.read()
        finally:
            connection.close()
        if found[0] == 503 and patient:
            time.sleep(float(told["retry-after"]))
            return self.ask(
                path, body, method=method, token=token, headers={**sent, **(headers or {})}
            )
        return found

    def offers(self, line: int, **more: Any) -> tuple[int, Any]:
        """Return status and answer of a request for offers for a line."""
        headers = more.pop("headers", None)
        body = {"customer": {"identity": "line", "id": str(line)}, **more}
        status, _, told = self.ask(body=body, headers=headers)
        return status, json.loads(told)

    def stop(self) -> tuple[int, str]:
        """End it as Ctrl-C does, and return its exit code and what it said on standard error."""
        self.process.send_signal(signal.SIGINT)
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error


@contextmanager
def serving(folder: Path, *options: str, token: str | None = TOKEN) -> Iterator[Server]:
    """Start `twin serve` on a free port, and end it."""
    environment = {k: v for k, v in os.environ.items() if k != "TWIN_TOKEN"}
    if token is not None:
        environment["TWIN_TOKEN"] = token
    command = [
        sys.executable, "-c", "from scenarios.cli import main; main()", "serve", "city_day",
        "--subscribers", str(LINES),
        *(f"--set={setting}" for setting in SETTINGS), "--port", "0", "--json",
        "--out", str(folder), *options,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        lines = []
        while not lines or lines[-1].rstrip() != "}":
            line = process.stdout.readline()
            if not line:
                break
            lines.append(line)
        if not lines:
            _, error = process.communicate(timeout=10)
            raise AssertionError(f"the server did not start: {error}")
        yield Server(process, json.loads("".join(lines)), folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def wait_for(truth: Any, seconds: float) -> float:
    """Wait until something holds and return how long it took, s."""
    began = time.monotonic()
    while not truth():
        assert time.monotonic() - began < seconds, "it took too long"
        time.sleep(0.02)
    return time.monotonic() - began
