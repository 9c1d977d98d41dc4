"""A server of inbound decisions from outside: what it answers, refuses and survives."""

import http.client
import json
import os
import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from scenarios.serve import journal
from scenarios.serve.load import run_load
from scenarios.serve.server import Options, listen
from tests.serving import LINES, TOKEN, Server, serving, wait_for

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent.parent / "golden" / "promo"
REQUEST = (GOLDEN / "request.xml").read_bytes()
XML = {"Content-Type": "application/xml"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that all tests of the module ask."""
    with serving(tmp_path_factory.mktemp("serve") / "out", "--rate", "100000") as found:
        yield found


def raw(server: Server, data: bytes, *, seconds: float = 5.0) -> bytes:
    """Send bytes and return all that comes back until the other side closes."""
    with socket.create_connection(server.address, timeout=seconds) as wire:
        wire.sendall(data)
        found = b""
        while piece := wire.recv(65_536):
            found += piece
        return found


@pytest.mark.fault("K1")
@pytest.mark.parametrize("path", ["/v1/decisions", "/request-promo"])
def test_without_the_token_nothing_is_answered(server: Server, path: str) -> None:
    """No token, a wrong one, a part of it, another scheme, the token in the address: 401."""
    tries = [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN}, {"Authorization": "Bearer"},
    ]  # fmt: skip
    for headers in tries:
        status, told, _ = server.ask(path, REQUEST, token=None, headers={**XML, **headers})
        assert status == 401 and told["www-authenticate"] == "Bearer"
    status, _, _ = server.ask(f"{path}?token={TOKEN}", REQUEST, token=None, headers=XML)
    assert status == 401
    twice = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Authorization: Bearer other\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert b" 401 " in raw(server, twice.encode()).split(b"\r\n")[0]


@pytest.mark.fault("K2")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_and_not_kept(server: Server, chunked: bool) -> None:
    """200 MB, with and without a length: 413, and the memory of the server stays flat."""
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    head = f"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: 200000000\r\n\r\n"
    piece = b" " * 1_000_000
    found = b""
    with socket.create_connection(server.address, timeout=10) as wire:
        wire.sendall(head.encode())
        try:
            for _ in range(200):
                wire.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        except OSError:
            pass
        try:
            found = wire.recv(4096)
        except OSError:
            found = b""
    # Where the refusal is lost to a reset, because more was under way, a short excess tells it.
    status, _, _ = server.ask(body=b" " * 65_537, headers={"Content-Type": "application/json"})
    assert status == 413 and (not found or b" 413 " in found.split(b"\r\n")[0])
    assert process.memory_info().rss - before < 20_000_000
    assert server.offers(1)[0] == 200


@pytest.mark.fault("K2")
def test_a_large_head_is_refused(server: Server) -> None:
    """A header of 20 kB and one without an end are refused; a body of the limit passes the gate."""
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    assert b" 431 " in raw(server, start + b"X: " + b"x" * 20_000 + b"\r\n\r\n").split(b"\r\n")[0]
    with socket.create_connection(server.address, timeout=5) as wire:
        wire.sendall(start)
        sent = 0
        try:
            while sent < 2_000_000:
                wire.sendall(b"X: " + b"x" * 10_000 + b"\r\n")
                sent += 10_000
                time.sleep(0.001)
        except OSError:
            pass
        assert sent < 2_000_000
    status, _, _ = server.ask(body=b" " * 65_536, headers={"Content-Type": "application/json"})
    assert status == 400


@pytest.mark.fault("K3")
def test_wrong_json_is_told_by_field_over_http(server: Server) -> None:
    """The refusal is JSON with one field; another Content-Type is 415."""
    status, headers, told = server.ask(body={"customer": {"identity": "line"}})
    assert status == 422 and headers["content-type"] == "application/json"
    assert json.loads(told).keys() == {"error"} and "customer.id" in json.loads(told)["error"]
    for body in (b"{", b"[" * 60_000, b'{"a":1,"a":2}', b'{"customer":NaN}'):
        status, _, told = server.ask(body=body, headers={"Content-Type": "application/json"})
        assert status == 400 and b"Traceback" not in told and b".py" not in told
    assert server.ask(body=b"{}", headers={"Content-Type": "text/plain"})[0] == 415


@pytest.mark.fault("K4")
def test_hostile_xml_costs_nothing_over_http(server: Server) -> None:
    """A document with entities is refused as XML in less than 50 ms, memory as before."""
    body = b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><r>&b;</r>'
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    cpu_s = sum(process.cpu_times()[:2])
    status, headers, told = server.ask("/request-promo", body, headers=XML)
    # The clock of a process ticks in hundredths of a second.
    assert sum(process.cpu_times()[:2]) - cpu_s <= 0.06 and status == 400
    assert headers["content-type"].startswith("application/xml")
    assert ElementTree.fromstring(told).tag == "error"
    assert process.memory_info().rss - before < 50_000_000


@pytest.mark.fault("K5")
def test_the_golden_request_gets_the_golden_answer(server: Server) -> None:
    """The content of S3.6 for the request of S3.5: receiver, parameters as they came, a message."""
    golden = ElementTree.fromstring((GOLDEN / "response.xml").read_bytes())
    texts = []
    for line in range(0, LINES, 50):
        number = str(79_123_456_000 + line).encode()
        body = REQUEST.replace(b"79123456789</customer>", number + b"</customer>")
        status, _, told = server.ask("/request-promo", body, headers=XML)
        tree = ElementTree.fromstring(told)
        assert status == 200 and tree.tag == golden.tag
        assert tree.get("receiver") == golden.get("receiver")
        assert [(p.get("name"), p.get("value")) for p in tree.iter("param")] == [
            (p.get("name"), p.get("value")) for p in golden.iter("param")
        ]
        assert tree.find("order-params").get("source") == "sms"
        messages = list(tree.iter("message"))
        assert len(messages) <= 1 and all(x.get("format") == "text" for x in messages)
        texts += [x.text for x in messages]
    assert texts and all(texts)
    status, _, told = server.ask("/request-promo", REQUEST.replace(b"phone", b"fax"), headers=XML)
    assert status == 422 and ElementTree.fromstring(told).tag == "error"


@pytest.mark.fault("K6")
@pytest.mark.timeout(60)
def test_a_slow_client_is_closed_and_disturbs_nobody(server: Server) -> None:
    """Half a head, no byte at all, stray line ends, a body that stops: closed within 10 s or so."""
    halves = [
        b"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\n", b"", b"\r\n\r\n",
        f"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 100\r\n\r\n{".encode(),
    ]  # fmt: skip
    began = time.monotonic()
    wires = [socket.create_connection(server.address, timeout=15) for _ in halves]
    for wire, half in zip(wires, halves, strict=True):
        wire.sendall(half)
    assert server.offers(2)[0] == 200
    for wire in wires:
        while wire.recv(4096):
            pass
        assert time.monotonic() - began < 11.5
        wire.close()


@pytest.mark.fault("K7")
def test_a_repeated_request_is_decided_once(server: Server) -> None:
    """The same key gets the same bytes and one record; with another content it is refused."""
    path = Path(server.about["journal"])
    headers = {"Idempotency-Key": "order-17"}
    body = {"customer": {"identity": "line", "id": "3"}}
    first = server.ask(body=body, headers=headers)
    n = len(journal.read(path))
    again = [server.ask(body=body, headers=headers) for _ in range(3)]
    spaced = b'{ "customer": {"id": "3", "identity": "line"} }'
    again.append(server.ask(body=spaced, headers={**headers, "Content-Type": "application/json"}))
    assert first[0] == 200 and all(a[0] == 200 and a[2] == first[2] for a in again)
    other = server.ask(body={**body, "limit": 1}, headers=headers)
    assert other[0] == 409
    assert len(journal.read(path)) == n
    assert server.ask(body=body, headers={"Idempotency-Key": "x" * 201})[0] == 400


@pytest.mark.fault("K7")
def test_a_request_repeated_at_one_time_is_decided_once(server: Server) -> None:
    """Twenty with one key at once: one answer for all, one decision."""
    found = []
    body = {"customer": {"identity": "line", "id": "5"}}

    def ask() -> None:
        found.append(server.ask(body=body, headers={"Idempotency-Key": "at-once"}))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({a[2] for a in found}) == 1 and {a[0] for a in found} == {200}


@pytest.mark.fault("K8")
def test_an_unknown_customer_looks_like_any_other(server: Server) -> None:
    """The empty answer has the fields of any answer, for each kind of query, and takes as long."""
    empty = next(
        told for line in range(LINES)
        if (told := server.offers(line)[1])["outcome"] == "none"
    )  # fmt: skip
    unknown = server.offers(LINES + 5_000)[1]
    assert {**unknown, "decision": 0, "at": ""} == {**empty, "decision": 0, "at": ""}
    for query in ("profile", "groups"):
        some, none = server.offers(7, query=query)[1], server.offers(10**9, query=query)[1]
        assert some.keys() == none.keys()
        if query == "profile":
            assert some["profile"].keys() == none["profile"].keys()
            assert not any(none["profile"].values())
        else:
            assert none["groups"] == []
    waits: dict[int, list[float]] = {0: [], 10**9: []}
    for k in range(300):
        for base in waits:
            began = time.perf_counter()
            server.offers(base + k)
            waits[base].append(time.perf_counter() - began)
    known_s, unknown_s = (statistics.median(w) for w in waits.values())
    assert abs(known_s - unknown_s) < 0.35 * known_s


@pytest.mark.fault("K10")
def test_looking_around_finds_nothing(server: Server) -> None:
    """No pages, no metrics, no other methods, no walks up, no foreign name."""
    for path in ("/", "/docs", "/openapi.json", "/metrics", "//..//", "/v1", "/v1/decisions/",
                 "/../etc/passwd", "/%2e%2e/", "/health/"):  # fmt: skip
        assert server.ask(path, method="GET")[0] == 404
    for method in ("TRACE", "GET", "PUT", "DELETE", "OPTIONS", "HEAD"):
        status, headers, _ = server.ask("/v1/decisions", method=method)
        assert status == 405 and headers["allow"] == "POST"
    assert server.ask("/health", method="TRACE")[0] == 405
    for host in ("example.com", "127.0.0.1.example.com", "localhost.example.com:80", ""):
        assert server.ask("/health", method="GET", headers={"Host": host})[0] == 421
    assert server.ask("/health", method="GET", headers={"Host": "localhost:1"})[0] == 200
    status, headers, told = server.ask("/health", method="GET", token=None)
    assert status == 200 and json.loads(told) == {"status": "ready"}
    assert "server" not in headers


def test_the_server_listens_on_this_machine_alone(server: Server) -> None:
    """Every listening socket of its processes is on a loopback address."""
    process = psutil.Process(server.process.pid)
    found = [
        c.laddr.ip for p in (process, *process.children(recursive=True))
        for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]  # fmt: skip
    assert found == ["127.0.0.1"]


def test_answers_do_not_wait_for_an_acknowledgement() -> None:
    """The socket names its protocol: only then does asyncio turn off Nagle's algorithm."""
    with listen(Options(port=0)) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_three_kinds_of_query_are_answered(server: Server) -> None:
    """Offers in the order of priority, at most as many as asked; a profile; target groups."""
    best = max((server.offers(line, limit=10)[1] for line in range(100, 160)),
               key=lambda told: len(told["offers"]))  # fmt: skip
    priorities = [offer["priority"] for offer in best["offers"]]
    assert len(priorities) > 1 and priorities == sorted(priorities, reverse=True)
    assert [offer["rank"] for offer in best["offers"]] == list(range(1, len(priorities) + 1))
    assert len(server.offers(170, limit=1)[1]["offers"]) <= 1
    profile = server.offers(8, query="profile")[1]["profile"]
    assert profile["segment"] and profile["tariff"] and isinstance(profile["tenure_days"], int)
    assert {"purchases", "contacts"} <= profile.keys()
    groups = server.offers(8, query="groups")[1]["groups"]
    assert isinstance(groups, list)
    told = {}
    for query in ("profile", "groups"):
        asked = (
            f'<request-promo sender="S" query="{query}">'
            '<customer identity="line">8</customer></request-promo>'
        ).encode()
        status, _, body = server.ask("/request-promo", asked, headers=XML)
        assert status == 200
        told[query] = ElementTree.fromstring(body)
    traits = {t.attrib["name"]: t.attrib["value"] for t in told["profile"].iter("trait")}
    assert traits["segment"] == profile["segment"]
    assert traits["tenure_days"] == str(profile["tenure_days"])
    assert [g.attrib["name"] for g in told["groups"].iter("group")] == groups


@pytest.mark.fault("K9")
@pytest.mark.fault("D7")
@pytest.mark.timeout(180)
def test_an_engine_that_dies_under_load_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    """Requests go on; refusals are 503 with Retry-After; back within 5 s; every answer is kept.

    Then three times the rate: what is let in is served, the rest is refused with Retry-After.
    """
    with serving(tmp_path / "out", "--rate", "150") as server:
        keys: dict[str, bytes] = {}
        statuses: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            k = 0
            while not stop.is_set():
                k += 1
                key = f"{threading.get_ident()}-{k}"
                try:
                    status, headers, told = server.ask(
                        body={"customer": {"identity": "line", "id": str(k % LINES)}},
                        headers={"Idempotency-Key": key},
                        patient=False,
                    )
                except (OSError, http.client.HTTPException):
                    status, headers, told = 0, {}, b""
                statuses.append(status)
                if status == 200:
                    keys[key] = told
                else:
                    assert status in (429, 503) and headers["retry-after"] == "1"
                time.sleep(0.01)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.7)
            pid = server.engine
            os.kill(pid, 9)

            def back(pid: int = pid) -> bool:
                status = server.ask("/health", method="GET", patient=False)[0]
                return status == 200 and server.engine not in (0, pid)

            assert wait_for(back, 5) < 5
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert 0 not in statuses and len(keys) > 50
        path = Path(server.about["journal"])
        kept = journal.read(path)
        assert len({r["key"].tobytes() for r in kept}) == len(kept) >= len(keys)
        for key, told in list(keys.items())[:20]:
            time.sleep(0.02)
            line = str(int(key.split("-")[1]) % LINES)
            again = server.ask(
                body={"customer": {"identity": "line", "id": line}},
                headers={"Idempotency-Key": key},
            )
            assert again[0] == 200 and again[2] == told
        load = run_load(server.about["url"], TOKEN, rate=450, seconds=6, lines=LINES)
        assert set(load.statuses) - {-1} <= {200, 429, 503} and load.statuses[-1] == 0
        assert load.no_retry == 0 and load.statuses[429] > 0
        assert 0.2 * 150 * 6 < load.statuses[200] < 1.3 * 150 * 6
        code, error = server.stop()
        assert code == 130 and "Traceback" not in error


def test_a_numbers_owner_appears_nowhere(tmp_path: Path) -> None:
    """A phone number that was asked for is in no file, no log line and no refusal (M1)."""
    number = "79123456789"
    with serving(tmp_path / "out", token=None) as server:
        token = server.about["token"]
        assert len(token) >= 32
        headers = {**XML, "Idempotency-Key": number}
        told = [
            server.ask("/request-promo", REQUEST, token=token, headers=headers),
            server.ask("/request-promo", REQUEST.replace(b"phone", number.encode()), token=token,
                       headers=XML),
            server.ask(body={"customer": {"identity": "phone", "id": number, number: 1}},
                       token=token),
            server.ask(f"/{number}", method="GET", token=token),
        ]  # fmt: skip
        assert [t[0] for t in told] == [200, 422, 422, 404]
        assert all(number.encode() not in t[2] for t in told[1:])
        code, error = server.stop()
        assert code == 130 and number not in error and token not in error
        files = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert {p.name for p in files} == {"decisions.journal", "serve.json"}
        for path in files:
            data = path.read_bytes()
            assert number.encode() not in data and token.encode() not in data
            assert int(number).to_bytes(8, "little") not in data


def test_a_journal_is_gone_on_with_and_docs_are_behind_the_token(tmp_path: Path) -> None:
    """--resume answers an old key with the old answer; --docs shows the API to the token alone."""
    headers = {"Idempotency-Key": "yesterday"}
    with serving(tmp_path / "out") as server:
        before = server.ask(body={"customer": {"identity": "line", "id": "9"}}, headers=headers)
        assert server.stop()[0] == 130
    with serving(tmp_path / "out", "--resume", "--docs") as server:
        again = server.ask(body={"customer": {"identity": "line", "id": "9"}}, headers=headers)
        assert before[0] == 200 and again[2] == before[2]
        assert server.ask("/docs", method="GET", token=None)[0] == 401
        assert server.ask("/openapi.json", method="GET", token=None)[0] == 401
        status, _, told = server.ask("/openapi.json", method="GET")
        assert status == 200 and set(json.loads(told)["paths"]) == {
            "/health", "/v1/decisions", "/request-promo",
        }  # fmt: skip
        page = server.ask("/docs", method="GET")[2].decode()
        assert not re.search(r"(src|href)=", page)
