"""The front's end of the wire: forks the engine, passes requests on, replaces an engine that dies.

It owns the engine process: it is forked from the state at the start, so that a new one needs only
the journal.  While there is none every request is refused at once.  It must not know HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from scenarios.serve.engine import ASK, CONFLICT, NO_KEY, READY, TOLD, serve_socket
from scenarios.serve.state import Serving

HUNG_S = 5.0
"""An engine that has not answered for so long is replaced."""
PAUSE_MAX_S = 2.0
"""Longest wait between two engines where they die at once."""
LOG = logging.getLogger(__name__)


class Unavailable(Exception):
    """There is no engine now, or it died before it answered."""


class Conflict(Exception):
    """The idempotency key came before, with another content."""


class Link(asyncio.Protocol):
    """One engine at a time, and the requests that wait for it.

    Parameters
    ----------
    serving : the state from which every engine begins; never changed here
    path : the journal
    """

    def __init__(self, serving: Serving, path: Path, *, always: bool) -> None:
        self.serving = serving
        self.path = path
        self.always = always
        self.ready = False
        self.restarts = 0
        self.pid = 0
        self.on_ready: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, tuple[float, asyncio.Future[bytes]]] = {}
        self._number = 0
        self._buffer = b""
        self._pause_s = 0.0
        self._began_s = 0.0
        self._closing = False
        self._out: list[bytes] = []

    async def open(self) -> None:
        """Start the first engine and the watch over it."""
        self._loop = asyncio.get_running_loop()
        await self._start()
        self._watch()

    async def close(self) -> None:
        """Let the engine see the end of its wire, and wait until it has synced its journal."""
        self._closing = True
        if self._transport is None:
            return
        self._transport.close()
        until_s = time.monotonic() + HUNG_S
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until_s:
                _kill(self.pid)
            await asyncio.sleep(0.01)

    async def ask(
        self, sub: int, query: int, channel: int, limit: int,
        *, key: bytes = NO_KEY, content: bytes = NO_KEY,
    ) -> bytes:  # fmt: skip
        """Return the engine's answer.

        Raises
        ------
        Unavailable, Conflict
        """
        if not self.ready or self._loop is None:
            raise Unavailable
        self._number = self._number % 0xFFFFFFFF + 1
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[self._number] = (time.monotonic(), future)
        if not self._out:
            # Requests of one round of the loop leave together.
            self._loop.call_soon(self._flush)
        self._out.append(ASK.pack(self._number, sub, query, channel, limit, key, content))
        return await future

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.write(b"".join(out))

    async def _start(self) -> None:
        assert self._loop is not None
        ours, theirs = socket.socketpair()
        self._began_s = time.monotonic()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _become_engine(theirs)
                serve_socket(theirs, self.serving, self.path, always=self.always)
                code = 0
            except BaseException:
                LOG.exception("the engine failed")
            finally:
                os._exit(code)
        self.pid = pid
        theirs.close()
        ours.setblocking(False)
        await self._loop.create_connection(lambda: self, sock=ours)

    # --- the protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Hand answers to those who wait."""
        data = self._buffer + data
        at = 0
        while len(data) - at >= TOLD.size:
            number, n_bytes, status = TOLD.unpack_from(data, at)
            end = at + TOLD.size + n_bytes
            if len(data) < end:
                break
            body = data[at + TOLD.size : end]
            at = end
            if status == READY:
                self.ready = True
                self.on_ready()
                continue
            _, future = self._waiting.pop(number, (0.0, None))
            if future is not None and not future.done():
                if status == CONFLICT:
                    future.set_exception(Conflict())
                else:
                    future.set_result(body)
        self._buffer = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Refuse those who wait, and start another engine."""
        self.ready = False
        self._transport = None
        self._out.clear()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(Unavailable())
        if self._closing:
            return
        _kill(self.pid)
        os.waitpid(self.pid, 0)
        self.restarts += 1
        lived_s = time.monotonic() - self._began_s
        self._pause_s = 0.0 if lived_s > 1 else min(max(2 * self._pause_s, 0.05), PAUSE_MAX_S)
        LOG.error("the engine ended; another one starts in %.2f s", self._pause_s)
        assert self._loop is not None
        self._loop.call_later(self._pause_s, self._again)

    def _again(self) -> None:
        if not self._closing and self._loop is not None:
            self._task = self._loop.create_task(self._try_again())

    async def _try_again(self) -> None:
        try:
            await self._start()
        except OSError as error:
            LOG.error("no engine could be started: %s", error.strerror)
            assert self._loop is not None
            self._loop.call_later(PAUSE_MAX_S, self._again)

    def _watch(self) -> None:
        """Replace an engine that hangs: the oldest request tells."""
        assert self._loop is not None
        oldest = next(iter(self._waiting.values()), None)
        if oldest is not None and time.monotonic() - oldest[0] > HUNG_S:
            LOG.error("the engine does not answer")
            _kill(self.pid)
        if not self._closing:
            self._loop.call_later(0.25, self._watch)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _become_engine(wire: socket.socket) -> None:
    """Leave everything of the front behind: its sockets, its signals, its loop."""
    signal.set_wakeup_fd(-1)
    # Ctrl-C reaches the whole group of processes: the front closes the wire when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kept = wire.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    wire.setblocking(True)
