"""What a server of inbound decisions reads and writes: strict JSON, strict XML, golden messages."""

import dataclasses
import json
import resource
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scenarios.serve.journal import RANKS_MAX
from scenarios.serve.wire import Refused, read_json, read_xml, write_known_xml, write_xml

GOLDEN = Path(__file__).parent.parent / "golden" / "promo"
REQUEST = (GOLDEN / "request.xml").read_bytes()
RESPONSE = (GOLDEN / "response.xml").read_text("utf-8")
GOOD = {"customer": {"identity": "phone", "id": "79123456789"}}


def refused(read, body: bytes) -> Refused:
    """Return the refusal of a body."""
    with pytest.raises(Refused) as caught:
        read(body)
    return caught.value


@pytest.mark.fault("K5")
def test_the_golden_request_is_read_and_its_golden_response_written() -> None:
    """Every value of S3.5 is found, and the response of S3.6 comes out to the byte."""
    asked = read_xml(REQUEST)
    assert (asked.identity, asked.number, asked.sender) == ("phone", "79123456789", "MEDIA.long")
    assert asked.objects == 1 and asked.source == "sms" and asked.query == "offers"
    assert dict(asked.params) == {
        "data": "198423", "operator": "Beeline", "isnn": "12345", "user_phone": "79123456789",
    }  # fmt: skip
    assert write_xml(asked, "MOMENT", ["OFFER"]).decode() == RESPONSE


@pytest.mark.fault("K5")
def test_markup_in_parameters_comes_back_as_text() -> None:
    """Values with markup are escaped in the answer, and reading it gives the same values."""
    value = "&lt;a href=&quot;x&quot;&gt;&amp;&#10;'"
    body = REQUEST.replace(b"198423", value.encode())
    asked = read_xml(body)
    assert asked.params[0] == ("data", '<a href="x">&\n\'')
    answer = write_xml(asked, "now", ["<b>&"])
    assert b"<a" not in answer and b"<b>" not in answer
    from xml.etree import ElementTree

    tree = ElementTree.fromstring(answer)
    assert tree.find("order-params/param").get("value") == asked.params[0][1]
    assert tree.find("messages/message").text == "<b>&"


@pytest.mark.fault("K5")
@pytest.mark.parametrize(
    ("old", "new", "status", "field"),
    [
        (b'<customer identity="phone">79123456789</customer>', b"", 422, "customer"),
        (b'identity="phone"', b'identity="passport"', 422, "customer@identity"),
        (b'identity="phone"', b"", 422, "customer@identity"),
        (b">79123456789<", b">+7 912<", 422, "customer"),
        (b">79123456789<", b"><", 422, "customer"),
        (b'sender="MEDIA.long"', b"", 422, "request-promo@sender"),
        (b'<param name="data"', b'<param nom="data"', 422, "param"),
        (b"<order-params", b"<extra/><order-params", 422, "request-promo"),
        (b"</request-promo>", b"", 400, "XML"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(old, new, status, field) -> None:
    """One defect at a time; the refusal names the field and repeats no value that was sent."""
    error = refused(read_xml, REQUEST.replace(old, new, 1))
    assert error.status == status and field in error.text
    assert "passport" not in error.text and "912" not in error.text


@pytest.mark.fault("K5")
def test_several_objects_ask_for_as_many_messages() -> None:
    """Ten objects are ten messages at most; an eleventh is refused."""
    one = b'<object code="12813" format="HREF.WAPPushSI" />'
    assert read_xml(REQUEST.replace(one, one * RANKS_MAX)).limit == RANKS_MAX
    assert refused(read_xml, REQUEST.replace(one, one * (RANKS_MAX + 1))).status == 422


LAUGHS = "".join(
    f'<!ENTITY l{k} "{"".join(f"&l{k - 1};" for _ in range(10))}">' for k in range(1, 10)
)
BOMB = f'<!DOCTYPE r [<!ENTITY l0 "ha">{LAUGHS}]><request-promo>&l9;</request-promo>'
HOSTILE = {
    "entities": BOMB,
    "quadratic": f'<!DOCTYPE r [<!ENTITY a "{"a" * 30_000}">]><r>{"&a;" * 9_000}</r>',
    "external": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
    "external subset": '<!DOCTYPE r SYSTEM "http://localhost/x.dtd"><r/>',
    "parameter": '<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><r/>',
    "plain doctype": "<!DOCTYPE request-promo><request-promo/>",
    "undeclared": "<request-promo>&x;</request-promo>",
    "deep": "<request-promo>" * 200_000,
    "deep known": '<request-promo sender="x">' + "<service>" * 200_000,
    "wide": '<request-promo sender="x"><service>' + '<object code="1"/>' * 3_000,
}


@pytest.mark.fault("K4")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused_at_once(name: str, encoding: str) -> None:
    """Below 50 ms and 50 MB, whatever the encoding; no file is named in the refusal."""
    body = HOSTILE[name].encode(encoding)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    error = refused(read_xml, body)
    assert time.process_time() - began < 0.05
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert error.status in (400, 422) and "passwd" not in error.text


@pytest.mark.fault("K3")
@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"\xff\xfe{}", 400, "JSON"),
        (b'{"customer": NaN}', 400, "NaN"),
        (b'{"limit": 1e999, "customer": {}}', 422, "limit"),
        (b'{"limit": 1, "limit": 2}', 400, "twice"),
        (b'{"customer": {"id": "1", "id": "2", "identity": "line"}}', 400, "twice"),
        (b"[" * 100_000, 400, "nested"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "nested"),
        (b'{"customer":' * 9 + b"1" + b"}" * 9, 400, "nested"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b"{}", 422, "customer"),
        (json.dumps({**GOOD, "limit": "3"}).encode(), 422, "limit"),
        (json.dumps({**GOOD, "limit": 3.0}).encode(), 422, "limit"),
        (json.dumps({**GOOD, "limit": True}).encode(), 422, "limit"),
        (json.dumps({**GOOD, "limit": 0}).encode(), 422, "limit"),
        (json.dumps({**GOOD, "limit": 10**4000}).encode(), 422, "limit"),
        (json.dumps({**GOOD, "query": "all"}).encode(), 422, "query"),
        (json.dumps({**GOOD, "channel": "sms"}).encode(), 422, "channel"),
        (json.dumps({**GOOD, "79123456789": 1}).encode(), 422, "(unknown key)"),
        (b'{"customer": {"identity": "phone", "id": 79123456789}}', 422, "customer.id"),
        (b'{"customer": {"identity": "phone", "id": "+79123456789"}}', 422, "customer.id"),
        ('{"customer": {"identity": "phone", "id": "٣"}}'.encode(), 422, "customer.id"),
        (b'{"customer": {"identity": "phone", "id": "1\\n"}}', 422, "customer.id"),
    ],
)
def test_wrong_json_is_refused_by_the_name_of_its_field(body, status, field) -> None:
    """4xx, the field named, and nothing that was sent repeated; no trace of the inside."""
    error = refused(read_json, body)
    assert (error.status, field in error.text) == (status, True), error.text
    assert "79123456789" not in error.text and "pydantic" not in error.text.lower()


def test_json_is_read_with_its_defaults() -> None:
    """What is not told is an agent who asks for three offers."""
    asked = read_json(json.dumps(GOOD).encode())
    assert (asked.query, asked.channel, asked.limit, asked.number) == (
        "offers", "agent", 3, "79123456789",
    )  # fmt: skip


@pytest.mark.parametrize("query", ["offers", "profile", "groups"])
def test_each_kind_of_query_is_asked_in_xml(query: str) -> None:
    """`request-promo@query` names it; without it the offers are asked for."""
    text = REQUEST
    asked = text.replace(b"sender=", f'query="{query}" sender='.encode())
    assert read_xml(asked) == dataclasses.replace(read_xml(text), query=query)
    with pytest.raises(Refused, match="query") as caught:
        read_xml(text.replace(b"sender=", b'query="all" sender='))
    assert caught.value.status == 422


def test_what_is_known_is_told_in_xml() -> None:
    """Traits, purchases, contacts and groups, with hostile names as text and parameters echoed."""
    question = dataclasses.replace(read_xml(REQUEST), query="profile")
    known = {
        "segment": "mass", "prepaid": True, "tariff": '"><x/>', "region": None,
        "purchases": [{"what": "pack", "valid_days": -3}],
        "contacts": [{"offer": "a & b", "days_ago": 2}],
    }  # fmt: skip
    tree = ElementTree.fromstring(write_known_xml(question, "2026-03-04 12:00:00", known))
    assert [param.attrib["value"] for param in tree.findall("order-params/param")] == [
        value for _, value in question.params
    ]
    traits = {t.attrib["name"]: t.attrib["value"] for t in tree.findall("customer/trait")}
    assert traits == {"segment": "mass", "prepaid": "true", "tariff": '"><x/>'}
    rows = [(row.tag, row.attrib) for row in tree.findall("customer/*") if row.tag != "trait"]
    assert rows == [
        ("purchase", {"what": "pack", "valid_days": "-3"}),
        ("contact", {"offer": "a & b", "days_ago": "2"}),
    ]
    groups = dataclasses.replace(question, query="groups")
    tree = ElementTree.fromstring(write_known_xml(groups, "now", ["b", "<a>"]))
    assert [group.attrib["name"] for group in tree.findall("groups/group")] == ["b", "<a>"]
