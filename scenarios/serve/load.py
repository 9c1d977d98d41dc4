"""Open load on a server: requests leave when they are due, whether or not answers come back.

It owns the schedule, the connections and the percentiles.  Every wait is measured from the moment
at which a request was due, not from when a busy connection let it go: a server that stalls cannot
hide its stall by slowing its clients.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """What a load met.

    Attributes
    ----------
    waits_ms : of answered requests (200), from due to answered, sorted
    statuses : answers by status; 0 are connections that broke
    no_retry : refusals without a Retry-After
    late_ms : how late the generator itself sent at worst: large, and the figures are its own
    """

    waits_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    no_retry: int = 0
    late_ms: float = 0.0
    wall_s: float = 0.0

    @property
    def rate(self) -> float:
        """Return served requests a second."""
        return len(self.waits_ms) / self.wall_s if self.wall_s else 0.0

    def percentile(self, share: float) -> float:
        """Return a percentile of the waits of served requests, ms; nan where there is none."""
        n = len(self.waits_ms)
        return self.waits_ms[min(n - 1, int(share * n))] if n else float("nan")


def request(url: str, token: str, sub: int) -> bytes:
    """Return a request for three offers for a line, as bytes."""
    body = json.dumps({"customer": {"identity": "line", "id": str(sub)}}).encode()
    head = (
        f"POST /v1/decisions HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Client(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, load: _Generator) -> None:
        self.load = load
        self.due_s = -1.0
        self.transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.load.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.due_s >= 0:
            self.load.answered(self.due_s, 0, retry=True)
            self.due_s = -1.0
        self.load.lost(self)

    def send(self, due_s: float, data: bytes) -> None:
        """Send a request that was due at a moment of the loop's clock."""
        assert self.transport is not None
        self.due_s = due_s
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        low = head.lower()
        n_bytes = int(low.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < n_bytes:
            return
        self._buffer = body[n_bytes:]
        due_s, self.due_s = self.due_s, -1.0
        self.load.answered(due_s, int(head[9:12]), retry=b"retry-after: " in low)
        self.load.free(self)


class _Generator:
    def __init__(self, url: str, requests: list[bytes], *, connections: int) -> None:
        self.loop = asyncio.get_running_loop()
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.requests = requests
        self.found = Load()
        self.wanted = connections
        self.idle: list[_Client] = []
        self.queue: list[tuple[float, bytes]] = []
        self.open = 0
        self.closing = False
        self.done = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def free(self, client: _Client) -> None:
        if self.queue:
            client.send(*self.queue.pop(0))
        else:
            self.idle.append(client)

    def lost(self, client: _Client) -> None:
        if client in self.idle:
            self.idle.remove(client)
        self.open -= 1
        if not self.closing:
            self.connect()

    def connect(self) -> None:
        self.open += 1
        task = self.loop.create_task(self._connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self) -> None:
        while not self.closing:
            try:
                await self.loop.create_connection(lambda: _Client(self), self.host, self.port)
                return
            except OSError:
                await asyncio.sleep(0.02)

    def answered(self, due_s: float, status: int, *, retry: bool) -> None:
        wait_ms = (self.loop.time() - due_s) * 1000
        self.done += 1
        self.found.statuses[status] += 1
        if status == 200:
            self.found.waits_ms.append(wait_ms)
        elif status:
            self.found.refused_ms.append(wait_ms)
            self.found.no_retry += not retry and status in (429, 503)

    async def run(self, rate: float, seconds: float) -> Load:
        for _ in range(self.wanted):
            self.connect()
        while len(self.idle) < self.wanted:
            await asyncio.sleep(0.01)
        n = round(rate * seconds)
        began = self.loop.time()
        sent = 0
        while sent < n:
            now = self.loop.time()
            while sent < n and began + sent / rate <= now:
                due_s = began + sent / rate
                self.found.late_ms = max(self.found.late_ms, (now - due_s) * 1000)
                data = self.requests[sent % len(self.requests)]
                if self.idle:
                    self.idle.pop().send(due_s, data)
                else:
                    self.queue.append((due_s, data))
                sent += 1
            await asyncio.sleep(max(began + sent / rate - self.loop.time(), 0))
        end = self.loop.time() + 10
        while self.done < n and self.loop.time() < end:
            await asyncio.sleep(0.01)
        self.found.wall_s = self.loop.time() - began
        self.found.statuses[-1] += n - self.done
        self.closing = True
        for client in self.idle:
            if client.transport is not None:
                client.transport.close()
        self.found.waits_ms.sort()
        self.found.refused_ms.sort()
        return self.found


def run_load(
    url: str, token: str, *, rate: float, seconds: float, lines: int, connections: int = 64
) -> Load:
    """Send requests at a fixed rate and return what came back.

    Parameters
    ----------
    rate : requests a second, evenly spread
    lines : customers 0 to `lines - 1` ask in a scattered order
    connections : kept open; a request that finds none free waits, and its wait counts
    """
    step = 7919
    requests = [request(url, token, k * step % lines) for k in range(min(lines, 20_000))]

    async def go() -> Load:
        return await _Generator(url, requests, connections=connections).run(rate, seconds)

    return asyncio.run(go())
