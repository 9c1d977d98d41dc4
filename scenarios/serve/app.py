"""The ASGI application: who may ask, what is let in, and how an answer is told.

It owns routes, the token, idempotency keys as they arrive, and the bodies of answers.  It must not
decide, nor write a phone number anywhere: beyond this module a customer is the number of a line.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from actors import messages as m
from scenarios.serve import wire
from scenarios.serve.engine import CHANNELS, NO_KEY, QUERIES
from scenarios.serve.guard import Gate
from scenarios.serve.journal import BODY, RANKS_MAX
from scenarios.serve.limits import BODY_BYTES_MAX, BODY_S, KEY_BYTES_MAX, RETRY_S
from scenarios.serve.link import Conflict, Link, Unavailable
from scenarios.serve.openapi import docs_page, openapi

JSON, XML = b"application/json", b"application/xml"
Headers = list[tuple[bytes, bytes]]
ALWAYS: Headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
PATHS = {"/health": "GET", "/v1/decisions": "POST", "/request-promo": "POST"}
DOCS = {"/docs": "GET", "/openapi.json": "GET"}


@dataclass(frozen=True)
class Settings:
    """What a server is told at its start.

    Attributes
    ----------
    token : what a request must bear
    first_number : phone number of line 0; line N has the number N higher
    hosts : names by which a request may call the server, without port
    docs : serve the page of the API
    """

    token: str
    first_number: int
    hosts: frozenset[str]
    docs: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP."""

    status: int
    body: bytes
    kind: bytes = JSON
    more: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """The application; called by the server for each request."""

    def __init__(self, link: Link, gate: Gate, settings: Settings) -> None:
        self.link = link
        self.gate = gate
        self.settings = settings
        self.clock = link.serving.clock
        self.offers = link.serving.offers
        self._paths = {**PATHS, **(DOCS if settings.docs else {})}
        self._token = self._digest(settings.token.encode())
        # Keyed with the token: whoever reads the journal cannot try numbers against it.
        self._secret = hashlib.blake2b(settings.token.encode(), person=b"journal").digest()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {}
        for name, value in scope["headers"]:
            # A header that stands twice is no header: none of ours may.
            headers[name] = b"" if name in headers else value
        found = self._stopped(scope, headers)
        if found is None:
            status = self.gate.refusal()
            if status:
                found = _shed(status, scope["path"])
            else:
                try:
                    found = await self._served(scope["path"], headers, receive)
                finally:
                    self.gate.left()
        head = [
            (b"content-type", found.kind),
            (b"content-length", str(len(found.body)).encode()),
            *ALWAYS,
            *found.more,
        ]
        await send({"type": "http.response.start", "status": found.status, "headers": head})
        await send({"type": "http.response.body", "body": found.body})

    # --- before anything is read ----------------------------------------------------------------

    def _stopped(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> Answer | None:
        """Return the answer to a request that gets no further, or to one that needs no body."""
        if _host_name(headers.get(b"host", b"")) not in self.settings.hosts:
            return _error(421, "this server has another name", close=True)
        path, method = scope["path"], scope["method"]
        wanted = self._paths.get(path)
        if wanted is None:
            return _error(404, "no such path")
        if method != wanted:
            return _error(405, f"expected {wanted}", more=((b"allow", wanted.encode()),), path=path)
        if path == "/health":
            body = {"status": "ready" if self.link.ready else "starting"}
            return Answer(200 if self.link.ready else 503, wire.write_json(body), more=_retry(
                not self.link.ready))  # fmt: skip
        if not self._has_token(headers.get(b"authorization", b"")):
            return _error(
                401, "expected Authorization: Bearer and the token", path=path,
                more=((b"www-authenticate", b"Bearer"),),
            )  # fmt: skip
        if path == "/openapi.json":
            return Answer(200, wire.write_json(openapi()))
        if path == "/docs":
            return Answer(200, docs_page(), b"text/html; charset=utf-8")
        return None

    @staticmethod
    def _digest(text: bytes) -> bytes:
        return hashlib.blake2b(text, digest_size=32).digest()

    def _has_token(self, value: bytes) -> bool:
        scheme, _, given = value.partition(b" ")
        # Digests have one length, so that not even the length of the token shows in time.
        same = hmac.compare_digest(self._digest(given.strip()), self._token)
        return same and scheme.lower() == b"bearer"

    # --- the two services -----------------------------------------------------------------------

    async def _served(
        self, path: str, headers: dict[bytes, bytes], receive: Callable[[], Awaitable[Any]]
    ) -> Answer:
        is_xml = path == "/request-promo"
        try:
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind not in ((b"", XML, b"text/xml") if is_xml else (b"", JSON)):
                expected = "application/xml" if is_xml else "application/json"
                raise wire.Refused(415, f"Content-Type: expected {expected}")
            key = _idempotency_key(headers)
            body = await _body(headers, receive)
            question = wire.read_xml(body) if is_xml else wire.read_json(body)
            return await self._answered(question, key, path, is_xml=is_xml)
        except wire.Refused as error:
            return _error(error.status, error.text, path=path, close=error.status in (408, 413))
        except Conflict:
            return _error(409, "Idempotency-Key: came before with another content", path=path)
        except Unavailable:
            return _error(503, "the engine is starting; ask again", path=path, more=_retry(True))

    async def _answered(
        self, question: wire.Question, key: bytes, path: str, *, is_xml: bool
    ) -> Answer:
        sub = self._line(question)
        query = QUERIES.index(question.query)
        named = [NO_KEY, NO_KEY]
        if key:
            # The content as understood: another order of keys or other spaces are no other content.
            named = [self._keyed(key), self._keyed(f"{path} {question!r}".encode())]
        told = await self.link.ask(
            sub, query, CHANNELS.index(question.channel), question.limit,
            key=named[0], content=named[1],
        )  # fmt: skip
        if query and is_xml:
            now = self.clock.text(self.clock.now_ms())
            body = wire.write_known_xml(question, now, json.loads(told))
            return Answer(200, body, XML + b"; charset=utf-8")
        if query:
            return Answer(
                200, wire.write_json({"query": question.query, question.query: json.loads(told)})
            )
        seq, ts_ms, reason, offers = _decision(told)
        moment = self.clock.text(ts_ms)
        if is_xml:
            texts = [self.offers[case][1] for case, _ in offers]
            return Answer(200, wire.write_xml(question, moment, texts), XML + b"; charset=utf-8")
        listed = [
            {
                "rank": rank, "offer": self.offers[case][0], "title": self.offers[case][1],
                "group": self.offers[case][2], "priority": score,
            }
            for rank, (case, score) in enumerate(offers, 1)
        ]  # fmt: skip
        # Why there is none is not told: an agent who knew the control group would treat it.
        return Answer(
            200,
            wire.write_json({
                "query": "offers", "decision": seq, "at": moment, "channel": question.channel,
                "outcome": "offers" if listed and reason == m.INTENDED else "none",
                "offers": listed,
            }),
        )  # fmt: skip

    def _line(self, question: wire.Question) -> int:
        """Return the line of a customer, or -1 where there is none."""
        number = int(question.number)
        sub = number - self.settings.first_number if question.identity == "phone" else number
        return sub if 0 <= sub < self.link.serving.n_lines else -1

    def _keyed(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=self._secret, digest_size=16).digest()


def _decision(record: bytes) -> tuple[int, int, int, list[tuple[int, int]]]:
    """Return number, moment, reason and (use case, priority) of a record."""
    values = BODY.unpack_from(record)
    n = values[6]
    ranked, scores = values[12 : 12 + n], values[12 + RANKS_MAX : 12 + RANKS_MAX + n]
    return values[0], values[1], values[5], list(zip(ranked, scores, strict=True))


def _idempotency_key(headers: dict[bytes, bytes]) -> bytes:
    key = headers.get(b"idempotency-key")
    if key is None:
        return b""
    if not 0 < len(key) <= KEY_BYTES_MAX or not all(32 < byte < 127 for byte in key):
        raise wire.Refused(
            400, f"Idempotency-Key: expected 1 to {KEY_BYTES_MAX} visible ASCII characters"
        )
    return key


async def _body(headers: dict[bytes, bytes], receive: Callable[[], Awaitable[Any]]) -> bytes:
    """Return the body of a request.

    Raises
    ------
    wire.Refused : it is too large, or comes too slowly
    """
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:12]) > BODY_BYTES_MAX:
        raise wire.Refused(413, f"body: more than {BODY_BYTES_MAX} bytes")
    message = await receive()
    body = message.get("body", b"")
    if message.get("more_body"):
        pieces = [body]
        size = len(body)
        try:
            async with asyncio.timeout(BODY_S):
                while message.get("more_body") and size <= BODY_BYTES_MAX:
                    message = await receive()
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
        except TimeoutError:
            raise wire.Refused(408, f"body: took more than {BODY_S:g} s") from None
        body = b"".join(pieces)
    if message["type"] == "http.disconnect":
        raise wire.Refused(400, "the client left")
    if len(body) > BODY_BYTES_MAX:
        raise wire.Refused(413, f"body: more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _host_name(value: bytes) -> str:
    """Return the name of a Host header without its port, in lower case."""
    text = value.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    return name if colon and port.isdigit() else text


def _retry(wanted: bool) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"retry-after", str(RETRY_S).encode()),) if wanted else ()


def _shed(status: int, path: str) -> Answer:
    text = "more requests a second than are let in" if status == 429 else "too much at one time"
    return _error(status, text, path=path, more=_retry(True))


def _error(
    status: int, text: str, *, path: str = "", close: bool = False,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:  # fmt: skip
    if close:
        more = (*more, (b"connection", b"close"))
    if path == "/request-promo":
        return Answer(status, wire.error_xml(text), XML + b"; charset=utf-8", more)
    return Answer(status, wire.write_json({"error": text}), JSON, more)
