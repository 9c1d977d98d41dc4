"""A server from its start to its end: socket, folder, journal, engine, and the word that it is up.

It owns the order in which they come and go.  It must not know what a request is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import json
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from scenarios.folders import run_name
from scenarios.serve import journal
from scenarios.serve.app import App, Settings
from scenarios.serve.engine import QUERIES, Engine
from scenarios.serve.guard import Gate, GuardedProtocol
from scenarios.serve.limits import IDLE_S, RATE
from scenarios.serve.link import Link
from scenarios.serve.state import Serving, build_serving
from sim.core.errors import Interrupted, LimitError, ScenarioError

HOST = "127.0.0.1"
FIRST_NUMBER = 79_123_456_000
"""Phone number of line 0: the one of the example in S3.5 is line 789."""
TOKEN_VARIABLE = "TWIN_TOKEN"
TOKEN_CHARACTERS_OPEN = 16
"""Shortest token with which a server listens beyond this machine."""


@dataclass(frozen=True)
class Options:
    """What a server is asked to be.

    Attributes
    ----------
    port : 0 takes a free one
    run : folder of a run from whose newest checkpoint it starts; None is the start
    out : its folder; must not exist unless it resumes; None makes a name below `runs_dir`
    always : sync the journal before each answer; else once a second
    """

    host: str = HOST
    port: int = 8080
    run: Path | None = None
    speed: float = 1.0
    rate: float = RATE
    out: Path | None = None
    runs_dir: Path = Path("runs")
    resume: bool = False
    always: bool = False
    docs: bool = False
    first_number: int = FIRST_NUMBER
    names: tuple[str, ...] = ()


def take_token(options: Options) -> tuple[str, bool]:
    """Return the token, and whether it was made here: `TWIN_TOKEN`, or 32 random bytes.

    Raises
    ------
    ScenarioError : it cannot travel in a header, or is too weak for the address
    """
    given = os.environ.get(TOKEN_VARIABLE, "")
    local = _is_loopback(options.host)
    if not given:
        if not local:
            raise ScenarioError(
                "an address beyond this machine needs a token of your own", file="--host",
                found=options.host, expected=f"the variable {TOKEN_VARIABLE}",
            )  # fmt: skip
        return secrets.token_urlsafe(32), True
    if not all(32 < ord(c) < 127 for c in given):
        raise ScenarioError(
            "a token that cannot stand in a header", file=TOKEN_VARIABLE,
            expected="visible ASCII characters",
        )  # fmt: skip
    if not local and len(given) < TOKEN_CHARACTERS_OPEN:
        raise ScenarioError(
            "too short for an address beyond this machine", file=TOKEN_VARIABLE,
            expected=f"at least {TOKEN_CHARACTERS_OPEN} characters",
        )  # fmt: skip
    return given, False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(options: Options) -> socket.socket:
    """Return the socket on which the server listens.

    Raises
    ------
    ScenarioError : the port is taken, or the address is not of this machine
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # With its protocol named, asyncio turns off Nagle's algorithm on every connection; otherwise
    # head and body, two writes, wait 40 ms for the delayed acknowledgement between them.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, options.port))
    except OSError as error:
        sock.close()
        raise ScenarioError(
            f"cannot listen there ({error.strerror})", file="--port",
            found=f"{options.host}:{options.port}", expected="a free port of this machine",
        ) from error  # fmt: skip
    return sock


def open_journal(options: Options, loaded: Any, serving: Serving) -> tuple[Path, Serving]:
    """Return the journal, new or gone on with, and the state with its clock where it stopped.

    Raises
    ------
    ScenarioError : the folder exists, or holds no journal of this world
    """
    folder = options.out or options.runs_dir / f"serve-{run_name(loaded)}"
    path = folder / journal.NAME
    if options.resume:
        if not path.is_file():
            raise ScenarioError(
                "there is no journal to resume", file=path,
                expected="the folder of an earlier twin serve",
            )  # fmt: skip
        records = journal.read(path, serving.identity)
        if len(records):
            clock = replace(serving.clock, first_ms=int(records["ts_ms"][-1]))
            serving = replace(serving, clock=clock)
        return path, serving
    if options.out is None:
        named, k = folder, 1
        while folder.exists():
            k += 1
            folder = named.with_name(f"{named.name}-{k}")
        path = folder / journal.NAME
    try:
        folder.mkdir(parents=True)
        journal.create(path, serving.identity)
        about = {"scenario": loaded.model.scenario, "start": loaded.model.clock.start,
                 "offers": [name for name, _, _ in serving.offers]}  # fmt: skip
        (folder / "serve.json").write_text(json.dumps(about, indent=2) + "\n")
    except FileExistsError as error:
        raise ScenarioError(
            "the folder exists already", file=folder, expected="a new folder, or --resume",
        ) from error  # fmt: skip
    except OSError as error:
        raise LimitError(f"no journal can be written at {folder}: {error.strerror}") from error
    return path, serving


def serve(
    loaded: Any,
    options: Options,
    *,
    ready: Callable[[dict[str, Any]], None] = lambda _: None,
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve decisions until a signal ends it.

    Parameters
    ----------
    ready : called once requests are answered, with `url`, `token`, `made` (the token was made
        here), `journal`, `pid`
    told : called with what is being done before

    Raises
    ------
    Interrupted : it was ended; what it answered stands in the journal
    """
    token, made = take_token(options)
    with listen(options) as sock:
        serving = build_serving(loaded, run=options.run, speed=options.speed, told=told)
        path, serving = open_journal(options, loaded, serving)
        told("compiling")
        warm(serving)
        link = Link(serving, path, always=options.always)
        gate = Gate(options.rate)
        host, port = sock.getsockname()[:2]
        names = {"127.0.0.1", "localhost", "[::1]", host, f"[{host}]", *options.names}
        settings = Settings(
            token, options.first_number, frozenset(n.lower() for n in names), options.docs
        )
        config = uvicorn.Config(
            App(link, gate, settings), http=GuardedProtocol, ws="none", lifespan="off",
            loop="asyncio", access_log=False, server_header=False, log_config=None,
            log_level="error",
            timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=3, backlog=2048,
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        link.on_ready = _once(lambda: ready({
            "url": f"http://{shown}:{port}", "token": token, "made": made, "journal": str(path),
            "pid": os.getpid(),
        }))  # fmt: skip
        # What was built is never collected, and its pages stay shared with every engine.
        gc.collect()
        gc.freeze()
        _Server(config, link, gate).run([sock])
    raise Interrupted(
        f"ended; every answered decision is in {path}: go on with --out {path.parent} --resume"
    )


def warm(serving: Serving) -> None:
    """Compile what a decision needs, on the row that is nobody's."""
    engine = Engine(serving)
    engine.decide(-1, serving.clock.now_ms(), channel=0, limit=1)
    engine.batch(iter([(1, -1, k, 0, 1, bytes(16), bytes(16)) for k in range(1, len(QUERIES))]))
    engine.restore(np.zeros(0, journal.RECORD))


def _once(call: Callable[[], None]) -> Callable[[], None]:
    done: list[bool] = []

    def first() -> None:
        if not done:
            done.append(True)
            call()

    return first


class _Server(uvicorn.Server):
    """Uvicorn with an engine behind it, and an orderly end on either signal."""

    def __init__(self, config: uvicorn.Config, link: Link, gate: Gate) -> None:
        super().__init__(config)
        self.link = link
        self.gate = gate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and start the engine."""
        await super().startup(sockets)
        self.gate.watch(asyncio.get_running_loop())
        await self.link.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is inside, then end the engine."""
        await super().shutdown(sockets)
        await self.link.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM alike, without raising the signal again afterwards."""
        before = {s: signal.signal(s, self.handle_exit) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
