"""HTTP checks without a network: requests, redirects, and what is read of answers."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.checks.dial import Address
from portway.discovery.checks.http import judged
from portway.discovery.checks.http_exchange import MAX_HEAD, Exchange, ExchangeError
from portway.discovery.checks.http_expectation import expectation_of
from portway.discovery.checks.http_request import (
    Request,
    RequestError,
    Response,
    build,
    failed,
    flat_headers,
    redirected,
    shown,
)
from portway.discovery.checks.result import Result
from portway.discovery.model import CheckDefinition

AGENT = "Consul Health Check"
Pairs = list[tuple[str, str]]


def request(
    url: str = "http://h/", method: str = "GET", headers: Pairs | None = None, body: str = ""
) -> Request:
    return build(method, url, headers or [], body, AGENT)


def test_the_whole_request() -> None:
    assert request("http://10.0.0.1:8080/health?full=1").wire == (
        b"GET /health?full=1 HTTP/1.1\r\n"
        b"Host: 10.0.0.1:8080\r\n"
        b"User-Agent: Consul Health Check\r\n"
        b"Accept: text/plain, text/*, */*\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_a_request_with_a_body() -> None:
    made = request("https://h/", "POST", [("Content-Type", "application/json")], '{"a":"ä"}')
    assert b"\r\nContent-Length: 10\r\n" in made.wire
    assert made.wire.endswith('\r\n\r\n{"a":"ä"}'.encode())
    assert made.secure
    assert made.address == Address("h", "443")
    assert b"\r\nContent-Length: 0\r\n" in request(method="PUT").wire
    assert b"Content-Length" not in request(method="DELETE").wire


@pytest.mark.parametrize(
    ("url", "line", "host", "address"),
    [
        ("http://h", "GET / HTTP/1.1", "h", Address("h", "80")),
        ("http://h:80/", "GET / HTTP/1.1", "h", Address("h", "80")),
        ("https://h:443/", "GET / HTTP/1.1", "h", Address("h", "443")),
        ("https://h:80/", "GET / HTTP/1.1", "h:80", Address("h", "80")),
        ("http://[::1]:81/", "GET / HTTP/1.1", "[::1]:81", Address("::1", "81")),
        ("http://[::1]/", "GET / HTTP/1.1", "[::1]", Address("::1", "80")),
        ("http://h/a b?c d#e", "GET /a%20b?c%20d HTTP/1.1", "h", Address("h", "80")),
        ("http://h/%2f%20", "GET /%2f%20 HTTP/1.1", "h", Address("h", "80")),
        ("http://h?x=1", "GET /?x=1 HTTP/1.1", "h", Address("h", "80")),
        ("http://h/ü", "GET /%C3%BC HTTP/1.1", "h", Address("h", "80")),
        ("HTTP://H/", "GET / HTTP/1.1", "h", Address("h", "80")),
        ("http://bücher.example/", "GET / HTTP/1.1", "xn--bcher-kva.example",
         Address("xn--bcher-kva.example", "80")),
    ],
)  # fmt: skip
def test_urls(url: str, line: str, host: str, address: Address) -> None:
    made = request(url)
    assert made.wire.decode().split("\r\n")[:2] == [line, f"Host: {host}"]
    assert made.address == address


def test_configured_headers() -> None:
    headers = flat_headers(
        {
            "X-Many": ["1", "2"],
            "Host": ["other.example"],
            "user-agent": ["mine"],
            "Accept": ["application/json"],
            "Content-Length": ["77"],
            "Transfer-Encoding": ["chunked"],
        }
    )
    assert request(headers=headers).wire.decode().split("\r\n") == [
        "GET / HTTP/1.1",
        "Host: other.example",
        "Accept: application/json",
        "X-Many: 1",
        "X-Many: 2",
        "user-agent: mine",
        "Connection: close",
        "",
        "",
    ]


def test_credentials_of_the_url_become_a_header() -> None:
    made = request("http://user:p%40ss@h/")
    assert b"\r\nAuthorization: Basic dXNlcjpwQHNz\r\n" in made.wire
    assert made.wire.count(b"Host: h\r\n") == 1
    given = request("http://user:pass@h/", headers=[("Authorization", "Bearer t")])
    assert given.wire.count(b"Authorization") == 1


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"url": "ftp://h/"}, 'unsupported protocol scheme "ftp"'),
        ({"url": "h:80/x"}, 'unsupported protocol scheme "h"'),
        ({"url": "/health"}, 'unsupported protocol scheme ""'),
        ({"url": "http:///x"}, "http: no Host in request URL"),
        ({"url": "http://h:99999/"}, "Port out of range"),
        ({"url": "http://h:x/"}, "invalid port"),
        ({"url": "http://[::1/"}, "Invalid IPv6 URL"),
        ({"url": "http://a b/"}, "invalid character in host name"),
        ({"url": "http://" + "ä" * 80 + "/"}, "parse "),
        ({"method": "GE T"}, 'net/http: invalid method "GE T"'),
        ({"method": "GET\r\nX: y"}, "net/http: invalid method"),
        ({"headers": [("a b", "c")]}, 'net/http: invalid header field name "a b"'),
        ({"headers": [("", "c")]}, 'net/http: invalid header field name ""'),
        ({"headers": [("a", "b\r\nInjected: c")]}, 'invalid header field value for "a"'),
    ],
)
def test_requests_that_cannot_be_made(parts: dict[str, object], text: str) -> None:
    with pytest.raises(RequestError) as error:
        request(**parts)  # type: ignore[arg-type]
    assert text in str(error.value)


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_no_input_adds_lines(url: str, name: str, value: str) -> None:
    try:
        made = request("http://h/" + url, headers=[(name, value)])
    except RequestError:
        return
    head = made.wire.partition(b"\r\n\r\n")[0]
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert 4 <= head.count(b"\r\n") <= 5


def answer(status: int, location: str = "") -> Response:
    return Response(status, "Whatever", location, b"")


@pytest.mark.parametrize(
    ("status", "method", "following"),
    [
        (301, "GET", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (300, "GET", None),
        (304, "GET", None),
        (305, "GET", None),
        (200, "GET", None),
        (201, "POST", None),
    ],
)
def test_methods_after_redirects(status: int, method: str, following: str | None) -> None:
    sent = request("http://h/a/b", method, [("Content-Type", "x/y")], "body")
    next_one = redirected(sent, answer(status, "c"))
    if following is None:
        assert next_one is None
        return
    assert next_one is not None
    assert (next_one.method, next_one.url) == (following, "http://h/a/c")
    kept = status in (307, 308)
    assert next_one.body == ("body" if kept else "")
    assert (b"Content-Type" in next_one.wire) is kept


def test_a_redirect_to_nowhere_is_an_answer() -> None:
    assert redirected(request(), answer(302)) is None


@pytest.mark.parametrize(
    ("location", "url", "secrets", "host"),
    [
        ("/b", "http://h/b", True, "virtual"),
        ("//other/b", "http://other/b", False, "virtual"),
        ("http://h/b", "http://h/b", True, "h"),
        ("http://sub.h/b", "http://sub.h/b", True, "sub.h"),
        ("http://other/b", "http://other/b", False, "other"),
        ("https://h:8443/", "https://h:8443/", True, "h:8443"),
        ("http://xh/", "http://xh/", False, "xh"),
    ],
)
def test_what_follows_a_redirect(location: str, url: str, secrets: bool, host: str) -> None:
    headers = [("Authorization", "t"), ("Cookie", "c"), ("Host", "virtual"), ("X-Other", "o")]
    following = redirected(request("http://h/a", headers=headers), answer(302, location))
    assert following is not None
    assert following.url == url
    assert (b"Authorization: t" in following.wire) is secrets
    assert (b"Cookie: c" in following.wire) is secrets
    assert b"X-Other: o" in following.wire
    assert f"\r\nHost: {host}\r\n".encode() in following.wire


@pytest.mark.parametrize("location", ["ftp://h/", "http://[::1/", "http://h:99999/"])
def test_redirects_that_cannot_be_followed(location: str) -> None:
    with pytest.raises(RequestError):
        redirected(request(), answer(302, location))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://user:secret@h/x", "http://user:***@h/x"),
        ("http://user@h/x", "http://user@h/x"),
        ("http://h/x?a=b:c@d", "http://h/x?a=b:c@d"),
        ("http://h:80/@x", "http://h:80/@x"),
    ],
)
def test_passwords_are_not_shown(url: str, text: str) -> None:
    assert shown(url) == text
    assert failed("GET", url, "EOF") == f'Get "{text}": EOF'


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (200, "OK", ("passing", "200 OK")),
        (204, "No Content", ("passing", "204 No Content")),
        (299, "", ("passing", "299")),
        (429, "Too Many Requests", ("warning", "429 Too Many Requests")),
        (300, "x", ("critical", "300 x")),
        (404, "Not Found", ("critical", "404 Not Found")),
        (503, "No", ("critical", "503 No")),
    ],
)  # fmt: skip
def test_statuses(status: int, reason: str, expected: tuple[str, str]) -> None:
    result = judge(Response(status, reason, "", b"fine"), CheckDefinition(http="http://h/"))
    assert result == (expected[0], f"HTTP GET http://h/: {expected[1]} Output: fine")


def judge(response: Response, definition: CheckDefinition) -> Result:
    return judged("GET", "http://h/", response, expectation_of(definition), 4)


@pytest.mark.parametrize(
    ("statuses", "body", "answer", "expected"),
    [
        ([401], "", (401, b""), ("passing", "401 x Output: ")),
        ([401], "", (200, b""), ("critical", "200 x Output: ")),
        ([401, 200], "", (200, b""), ("passing", "200 x Output: ")),
        ([401], "", (429, b""), ("warning", "429 x Output: ")),
        ([429], "", (429, b""), ("passing", "429 x Output: ")),
        ([], '"state":"(up|ok)"', (200, b'{"state":"ok"}'), ("passing", '200 x Output: {"st')),
        ([], "up", (200, b"down"), ("critical", '200 x (body does not match "up") Output: down')),
        ([], "up", (503, b"up"), ("critical", "503 x Output: up")),
        ([503], "up", (503, b"up"), ("passing", "503 x Output: up")),
        ([429], "up", (429, b"no"), ("critical", '429 x (body does not match "up") Output: no')),
        ([], "ü", (200, "zurück".encode()), ("passing", "200 x Output: zur")),
        ([], "up", (200, b"\xff up"), ("passing", "200 x Output: \ufffd up")),
    ],
)
def test_expectations(
    statuses: list[int], body: str, answer: tuple[int, bytes], expected: tuple[str, str]
) -> None:
    definition = CheckDefinition(http="http://h/", expect_status=statuses, expect_body=body)
    result = judge(Response(answer[0], "x", "", answer[1]), definition)
    assert result == (expected[0], f"HTTP GET http://h/: {expected[1]}")


class Wire(asyncio.Transport):
    """A transport that notes what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True


def exchange(limit: int = 100, method: str = "GET") -> tuple[Exchange, Wire]:
    one, wire = Exchange(request(method=method), limit), Wire()
    one.connection_made(wire)
    return one, wire


async def feed(
    parts: list[bytes], *, limit: int = 100, method: str = "GET", ends: bool = False
) -> Response | str | None:
    """What comes of an answer in parts: the response, an error, or None when it waits for more."""
    one, wire = exchange(limit, method)
    for part in parts:
        one.data_received(part)
    if ends:
        one.connection_lost(None)
    if not one.answer.done():
        return None
    assert wire.aborted or ends
    try:
        return one.answer.result()
    except ExchangeError as error:
        return str(error)


OK = Response(200, "OK", "", b"fine\n")
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfine\n\r\n0\r\n\r\n"
BROKEN = "net/http: HTTP/1.x transport connection broken: malformed HTTP response"
HELLO = b"\x15\x03\x01\x00\x02"  # of TLS


@pytest.mark.parametrize(
    ("data", "ends", "expected"),
    [
        (SIZED, False, OK),
        (CHUNKED, False, OK),
        (b"HTTP/1.0 200 OK\r\n\r\nfine\n", True, OK),
        (b"HTTP/1.0 200 OK\r\n\r\nfine\n", False, None),
        # what a script around netcat sends
        (b"HTTP/1.1 200 OK\n\nfine\n", True, OK),
        # an interim answer is none
        (b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED, False, OK),
        (b"HTTP/1.1 103 Early Hints\r\nLocation: /x\r\n\r\n" + SIZED, False, OK),
        # a body that ends too early was an answer
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfine\n", True, OK),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, Response(204, "No Content", "", b"")),
        (b"HTTP/1.1 302 Found\r\nLOCATION: /x\r\nContent-Length: 0\r\n\r\n", False,
         Response(302, "Found", "/x", b"")),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", False, Response(200, "", "", b"")),
        (b"", True, "EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-", True, "EOF"),
        (b"SSH-2.0-OpenSSH_9\r\n", False, f'{BROKEN} "SSH-2.0-OpenSSH_9"'),
        (HELLO, False, rf'{BROKEN} "\x15\x03\x01\x00\x02"'),
        (b"HTTP/1.1 OK\r\n", False, f'{BROKEN.replace("response", "status code")} "OK"'),
    ],
)  # fmt: skip
async def test_answers(data: bytes, ends: bool, expected: Response | str | None) -> None:
    assert await feed([data], ends=ends) == expected
    if not isinstance(expected, str):
        every_byte = [data[i : i + 1] for i in range(len(data))]
        assert await feed(every_byte, ends=ends) == expected


async def test_a_head_request_has_no_body() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert await feed([data], method="HEAD") == Response(200, "OK", "", b"")


async def test_no_more_than_the_limit_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    assert await feed([head, b"x" * 99]) is None
    assert await feed([head, b"x" * 100]) == Response(200, "OK", "", b"x" * 100)
    assert await feed([head + b"x" * 5000]) == Response(200, "OK", "", b"x" * 100)


async def test_endless_headers_are_refused() -> None:
    parts = [b"HTTP/1.1 200 OK\r\n"] + [b"X-Filler: " + b"x" * 1000 + b"\r\n"] * 300
    assert await feed(parts) == f"server response headers exceeded {MAX_HEAD} bytes; aborted"


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_no_answer_raises_in_the_loop(parts: list[bytes], good_start: bool) -> None:
    start = [b"HTTP/1.1 200 OK\r\n"] if good_start else []
    result = asyncio.run(feed(start + parts, ends=True))
    assert result is not None
