"""What keeps a server standing: the gate of requests, and the protocol that limits connections.

It owns how a limit is held.  It must not know what is served.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scenarios.serve.limits import (
    BURST_S,
    CONNECTIONS_MAX,
    HEAD_BYTES_MAX,
    HEAD_S,
    IN_FLIGHT_MAX,
    LAG_EVERY_S,
    LAG_MAX_S,
)

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
)
FULL_BODY = b'{"error":"too many connections"}'
HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)
HEAD_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Gate:
    """Lets requests in up to a rate, and none while the loop is late.

    Parameters
    ----------
    rate : requests a second
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.in_flight = 0
        self.shed = 0
        self.late = False
        self._room = max(rate * BURST_S, 1.0)
        self._left = self._room
        self._seen_s = time.monotonic()

    def refusal(self) -> int:
        """Return 0 and count the request in, or the status with which it is refused."""
        now = time.monotonic()
        self._left = min(self._room, self._left + (now - self._seen_s) * self.rate)
        self._seen_s = now
        status = 0
        if self.late or self.in_flight >= IN_FLIGHT_MAX:
            status = 503
        elif self._left < 1:
            status = 429
        if status:
            self.shed += 1
        else:
            self._left -= 1
            self.in_flight += 1
        return status

    def left(self) -> None:
        """Count a request out."""
        self.in_flight -= 1

    def watch(self, loop: asyncio.AbstractEventLoop, due_s: float | None = None) -> None:
        """Measure how late the loop is, again and again."""
        now = loop.time()
        if due_s is not None:
            self.late = now - due_s > LAG_MAX_S
        loop.call_later(LAG_EVERY_S, self.watch, loop, now + LAG_EVERY_S)


async def head_too_large(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request whose head is too large."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits on connections, and on time and size of a head."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = False
        """The head of a request has begun and not ended."""
        self._more_bytes = 0
        """Bytes that came since, after the piece in which it began."""
        self._new = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection where there is room, and begin to wait for a head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn declares it
        if len(self.connections) > CONNECTIONS_MAX:
            self.transport.write(FULL % (len(FULL_BODY), FULL_BODY))
            self.transport.close()
            return
        self._timer = self.loop.call_later(HEAD_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and hold an unfinished head to its time and size."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing() or self.parser is None:
            return
        if self._begun:
            if not self._new:
                self._more_bytes += len(data)
            self._new = False
            if self._more_bytes > HEAD_BYTES_MAX:
                self._refuse(HEAD_TOO_LARGE)
                return
        elif self.cycle is not None and not self.cycle.response_complete:
            return
        # A head has begun, or bytes came that begin nothing.
        if self._timer is None and self.timeout_keep_alive_task is None:
            self._timer = self.loop.call_later(HEAD_S, self._too_slow)

    def on_message_begin(self) -> None:
        """Enter a head."""
        self._begun = self._new = True
        self._more_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Leave the head: its time is up no more."""
        self._begun = False
        self._stop()
        if self.url.startswith(b"//"):
            # To the parser of addresses a host follows; to us it is a path that is not there.
            self.url = b"/." + self.url[1:]
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES_MAX:
            self.app = head_too_large
        super().on_headers_complete()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        # Where no request has begun, an answer would be taken for that of the next one.
        self._refuse(HEAD_TOO_SLOW if self._begun else b"")

    def _refuse(self, answer: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()
