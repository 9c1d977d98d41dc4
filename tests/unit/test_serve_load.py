"""The open load: waits count from the moment a request was due, and refusals are told apart."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scenarios.serve.load import run_load


@contextmanager
def answering(answer: Callable[[int], bytes]) -> Iterator[str]:
    """Run a server that answers request k with `answer(k)`, which may stall all of it."""
    loop = asyncio.new_event_loop()
    count = iter(range(10**9))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(answer(next(count)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        time.sleep(0.05)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
RUDE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


def test_a_stall_is_felt_by_every_request_that_was_due_in_it() -> None:
    """One stall of half a second at 200 a second: about 100 waits are long, not one for each of
    the two connections, as a generator that waits for answers would find.
    """

    def answer(k: int) -> bytes:
        if k == 100:
            time.sleep(0.5)
        return OK

    with answering(answer) as url:
        load = run_load(url, "token", rate=200, seconds=2, lines=10, connections=2)
    assert load.statuses == {200: 400, -1: 0}
    assert 60 <= sum(wait > 100 for wait in load.waits_ms) <= 200
    assert load.percentile(0.9) > 150


def test_refusals_are_counted_by_status_and_by_their_courtesy() -> None:
    """Every third is refused politely, every third rudely; only served ones have waits."""
    with answering(lambda k: (OK, BUSY, RUDE)[k % 3]) as url:
        load = run_load(url, "token", rate=300, seconds=1, lines=10, connections=4)
    assert load.statuses == {200: 100, 429: 100, 503: 100, -1: 0}
    assert len(load.waits_ms) == 100 and len(load.refused_ms) == 200 and load.no_retry == 100
