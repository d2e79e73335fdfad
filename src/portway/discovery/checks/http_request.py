"""HTTP requests of checks as bytes, and where redirects lead: pure functions.

Rules are those of Go's ``net/http`` client, whose errors users see: redirects 301, 302 and 303
become GET without a body unless it was a HEAD, 307 and 308 repeat the request; credentials do
not follow to another site; at most ten requests.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from portway.discovery.checks.dial import Address

ACCEPT = "text/plain, text/*, */*"
MAX_REQUESTS = 10

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_PATH_SAFE = "/%:@!$&'()*+,;=~[]|^`\\{}\""
# Scheme, authority, path; what follows is not looked at.
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*).*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORT = re.compile(r":([^\]@:]+)$")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_PORTS = {"http": "80", "https": "443"}
_SECRET = frozenset(("authorization", "cookie", "cookie2", "www-authenticate"))
# Framing and the connection are ours.
_OURS = frozenset(("host", "content-length", "transfer-encoding", "trailer"))


class RequestError(Exception):
    """A request that cannot be made; the message is the output of the check."""


class MalformedError(RequestError):
    """A request that cannot even be written down: the message says it without the request."""


class Request(NamedTuple):
    """One request: where to send it, and what."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    """As configured; ``Host`` among them overrides the URL's."""
    body: str
    address: Address
    secure: bool
    user_agent: str
    wire: bytes


class Response(NamedTuple):
    """An answer, as far as it was read."""

    status: int
    reason: str
    location: str
    body: bytes


def build(
    method: str, url: str, headers: Sequence[tuple[str, str]], body: str, user_agent: str
) -> Request:
    """Make a request of its parts. Raises RequestError."""
    if not _TOKEN.fullmatch(method):
        raise MalformedError(f'net/http: invalid method "{method}"')
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise RequestError(f'net/http: invalid header field name "{name}"')
        if not _VALUE.fullmatch(value):
            raise RequestError(f'net/http: invalid header field value for "{name}"')
    parts, address = _target(url)
    given: dict[str, str] = {}
    for name, value in headers:
        given.setdefault(name.lower(), value)
    default_port = address.port == _PORTS[parts.scheme]
    host = str(Address(address.host, ""))[:-1] if default_port else str(address)
    lines = [f"{method} {_path(parts)} HTTP/1.1", f"Host: {given.get('host') or host}"]
    if not given.get("user-agent"):
        lines.append(f"User-Agent: {user_agent}")
    payload = body.encode(errors="replace")
    if payload or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(payload)}")
    for name, value in headers:
        key = name.lower()
        if key not in _OURS and (value or key not in ("user-agent", "accept")):
            lines.append(f"{name}: {value}")
    if not given.get("accept"):
        lines.append(f"Accept: {ACCEPT}")
    if parts.username is not None and "authorization" not in given:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    if "connection" not in given:
        lines.append("Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return Request(
        method,
        url,
        tuple(headers),
        body,
        address,
        parts.scheme == "https",
        user_agent,
        head.encode(errors="replace") + payload,
    )


def flat_headers(headers: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Configured headers as pairs, ordered by name."""
    return [(name, value) for name in sorted(headers) for value in headers[name]]


def redirected(request: Request, response: Response) -> Request | None:
    """The request a redirect asks for; None when the answer is to be taken as it is.

    Raises RequestError.
    """
    status, location = response.status, response.location
    if status not in (301, 302, 303, 307, 308) or not location:
        return None
    method, body = request.method, request.body
    if status in (301, 302, 303):
        method, body = ("HEAD" if method == "HEAD" else "GET"), ""
    try:
        url, absolute = urljoin(request.url, location), bool(urlsplit(location).scheme)
    except ValueError as problem:
        raise RequestError(f'failed to parse Location header "{location}": {problem}') from None
    headers = request.headers
    if absolute:
        headers = tuple(pair for pair in headers if pair[0].lower() != "host")
    if not _same_site(request.url, url):
        headers = tuple(pair for pair in headers if pair[0].lower() not in _SECRET)
    if not body:
        headers = tuple(pair for pair in headers if not pair[0].lower().startswith("content-"))
    return build(method, url, headers, body, request.user_agent)


def shown(url: str) -> str:
    """A URL without its password, for outputs."""
    if "@" not in url:
        return url
    return re.sub(r"(?<=://)([^/?#@:]*):[^/?#@]*(?=@)", r"\1:***", url, count=1)


def failed(method: str, url: str, reason: object) -> str:
    """The output of a request without an answer."""
    if isinstance(reason, MalformedError):
        return str(reason)
    return f'{method[:1]}{method[1:].lower()} "{shown(url)}": {reason}'


def _target(url: str) -> tuple[SplitResult, Address]:
    if wrong := _wrong(url):
        raise MalformedError(f'parse "{shown(url)}": {wrong}')
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except (ValueError, UnicodeError) as problem:
        raise MalformedError(f'parse "{shown(url)}": {problem}') from None
    if parts.scheme not in _PORTS:
        raise RequestError(f'unsupported protocol scheme "{parts.scheme}"')
    if not host:
        raise RequestError("http: no Host in request URL")
    if re.search(r"[\x00-\x20\x7f<>\"\\^`{|}]", host):
        raise MalformedError(f'parse "{shown(url)}": invalid character in host name')
    return parts, Address(host, _PORTS[parts.scheme] if port is None else str(port))


def _wrong(url: str) -> str:
    """What is wrong with the syntax of a URL, in Go's words; empty is nothing."""
    scheme, authority, path = _PARTS.fullmatch(url).groups()  # type: ignore[union-attr]
    if _CONTROL.search(url):
        return "net/url: invalid control character in URL"
    if not scheme and ":" in path.partition("/")[0]:
        missing = path.startswith(":")
        return (
            "missing protocol scheme"
            if missing
            else "first path segment in URL cannot contain colon"
        )
    port = _PORT.search(authority or "")
    if port and not port[1].isdecimal():
        return f'invalid port ":{port[1]}" after host'
    escape = _ESCAPE.search(path)
    return f'invalid URL escape "{escape[0]}"' if escape else ""


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    query = quote(parts.query, safe=_PATH_SAFE + "?")
    return f"{path}?{query}" if query else path


def _same_site(old: str, new: str) -> bool:
    """Whether credentials may follow: to the same host or one below it."""
    before, after = urlsplit(old).hostname or "", urlsplit(new).hostname or ""
    return after == before or after.endswith("." + before)
