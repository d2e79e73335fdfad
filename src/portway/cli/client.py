"""A small synchronous client of the HTTP API, on the standard library alone.

It honours the common flags and the ``CONSUL_*`` environment, and words its errors as Consul's
Go client does, since people's scripts look for them.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote, urlencode

from portway.cli.endpoint import Endpoint, Settings, connection, endpoint

_QUIET = 300.0  # seconds without a byte after which an answer is given up
_EXTRA = 16  # a blocking query may take one part in so many longer than it was asked to
_GRACE = 10.0  # seconds
_SAFE = "/-_.~!$&'()*+,;=:@"  # of a path, as Go's client leaves it

_REASONS = {
    socket.gaierror: "dial tcp: lookup {}: no such host",
    TimeoutError: "context deadline exceeded (no answer in time)",
    http.client.RemoteDisconnected: "EOF",
}

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]


class ApiError(Exception):
    """A request without an answer that can be used; the text is for the user."""


class StatusError(ApiError):
    """An answer whose status says it failed; ``code`` is the status, ``body`` its text."""

    def __init__(self, code: int, body: str) -> None:
        self.code = code
        self.body = body.strip()
        super().__init__(f"Unexpected response code: {code} ({self.body})")


@dataclass(frozen=True)
class Answer:
    """An answer that was read completely."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def index(self) -> int:
        """``X-Consul-Index``; 0 where there is none."""
        text = self.headers.get("X-Consul-Index", "0")
        return int(text) if text.isdecimal() else 0

    def json(self) -> Any:
        """The body, decoded. Raises ApiError if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError(f"the answer is not JSON: {error}") from None


class Client:
    """Requests to one agent. Not for several threads: each takes a ``copy``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._endpoint = endpoint(settings)
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None  # of the last request

    @classmethod
    def configured(cls, *, stale: bool = False, **flags: str | None) -> Client:
        """From the common flags, by their names; what is None is looked up in the environment.

        Raises ValueError or OSError on settings that cannot be: a scheme, a file.
        """
        return cls(Settings.merged(flags, os.environ, stale=stale))

    @property
    def address(self) -> str:
        """Where the API is, as messages name it."""
        return self._endpoint.url

    @property
    def token(self) -> str:
        """The ACL token; empty if there is none."""
        return self.settings.token

    def copy(self) -> Client:
        """A client of the same settings with a connection of its own."""
        return Client(self.settings)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """End a request that another thread waits for: it fails at once."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, params: Params = (), *, missing: Sequence[int] = ()) -> Answer:
        """``GET`` a path below ``/v1``; a status in ``missing`` is an answer, too."""
        return self.request("GET", path, params, accept=missing)

    def put(self, path: str, params: Params = (), body: Any = None) -> Answer:
        """``PUT``; the body is bytes as they are, or anything else as JSON; None is none."""
        return self.request("PUT", path, params, body)

    def post(self, path: str, params: Params = (), body: Any = None) -> Answer:
        """``POST``, as ``put``."""
        return self.request("POST", path, params, body)

    def delete(self, path: str, params: Params = ()) -> Answer:
        """``DELETE``."""
        return self.request("DELETE", path, params)

    def blocking(
        self,
        path: str,
        params: Params = (),
        *,
        index: int,
        wait: float = 0.0,
        missing: Sequence[int] = (),
    ) -> tuple[Answer, int]:
        """A blocking query: the answer and the index to ask with next.

        ``wait`` is in seconds; 0 leaves it to the server (5 minutes). The next index is 0 after
        one that went backwards, and never below 1 otherwise, as clients must have it.
        """
        query = [*_pairs(params), *([("index", index)] if index else ())]
        if wait:
            query.append(("wait", f"{round(wait * 1000)}ms"))
        patience = (wait or 600.0) * (1 + 1 / _EXTRA) + _GRACE
        answer = self.request("GET", path, query, accept=missing, timeout=patience)
        return answer, following(index, answer.index)

    def request(
        self,
        method: str,
        path: str,
        params: Params = (),
        body: Any = None,
        *,
        accept: Sequence[int] = (),
        timeout: float = _QUIET,
    ) -> Answer:
        """One request. Raises StatusError on a status that is neither 200 nor in ``accept``."""
        with self.stream(method, path, params, body, accept=accept, timeout=timeout) as response:
            try:
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._broken(method, path, params, error) from None
            return Answer(response.status, response.headers, content)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        params: Params = (),
        body: bytes | IO[bytes] | Any = None,
        *,
        accept: Sequence[int] = (),
        timeout: float | None = _QUIET,
    ) -> Iterator[http.client.HTTPResponse]:
        """As ``request``, with an answer still to be read; the body may be a file.

        ``timeout`` bounds each wait for bytes, in seconds; None waits for ever.
        """
        target = self._target(path, params)
        headers = {"Host": self._endpoint.host, "User-Agent": "Go-http-client/1.1", **self._auth()}
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "read"):
            headers["Content-Type"] = "application/json"
            body = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        link = self._link(timeout)
        try:
            # A server that refuses a body need not read it all: its answer says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                link.request(method, target, body, headers, encode_chunked=hasattr(body, "read"))
            self._socket = link.sock
            response = link.getresponse()
            if response.status != 200 and response.status not in accept:
                text = response.read(1 << 20).decode(errors="replace")
                raise StatusError(response.status, text)
        except StatusError:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._broken(method, path, params, error) from None
        except BaseException:  # an interrupt: the answer to come is nobody's
            self.close()
            raise
        try:
            yield response
        finally:
            if not response.isclosed() or response.will_close:
                self.close()

    def _link(self, timeout: float | None) -> http.client.HTTPConnection:
        """The open connection if it still is, else a new one."""
        held = self._connection
        if held is not None and (held.sock is None or _readable(held.sock)):
            self.close()
            held = None
        if held is None:
            held = self._connection = connection(self._endpoint, self.settings, timeout)
        held.timeout = timeout
        if held.sock is not None:
            held.sock.settimeout(timeout)
        return held

    def _target(self, path: str, params: Params) -> str:
        query = _pairs(params)
        named = {name for name, _ in query}
        if "consistent" in named:
            named.add("stale")  # the API refuses both
        for name, value in self.settings.query:
            if name not in named:
                query.append((name, value))
        given = [(name, value) for name, value in query if value is not None]
        text = urlencode(given, errors="surrogateescape")  # arguments need not be UTF-8
        below = quote(path, safe=_SAFE, errors="surrogateescape")
        target = f"{self._endpoint.prefix}/v1/{below}"
        return f"{target}?{text}" if text else target

    def _auth(self) -> dict[str, str]:
        headers = {}
        if self.settings.token:
            headers["X-Consul-Token"] = self.settings.token
        if self.settings.auth:
            import base64

            pair = base64.b64encode(self.settings.auth.encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return headers

    def _broken(self, method: str, path: str, params: Params, error: Exception) -> ApiError:
        url = (
            f"{self._endpoint.url}{self._target(path, params).removeprefix(self._endpoint.prefix)}"
        )
        return ApiError(f'{method.capitalize()} "{url}": {_reason(self._endpoint, error)}')


def following(asked: int, answered: int) -> int:
    """The index to ask with after ``answered`` came for ``asked``: from the start if it fell."""
    return 0 if answered < asked else max(1, answered)


def _pairs(params: Params) -> list[tuple[str, Any]]:
    pairs = params.items() if isinstance(params, Mapping) else params
    flat: list[tuple[str, Any]] = []
    for name, value in pairs:
        if isinstance(value, list | tuple):
            flat += [(name, one) for one in value]
        elif value is True:
            flat.append((name, ""))
        elif value is not False:
            flat.append((name, value))
    return flat


def _readable(sock: socket.socket) -> bool:
    """Whether the other end closed an idle connection (or said what nobody asked for)."""
    try:
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _reason(where: Endpoint, error: Exception) -> str:
    for kind, words in _REASONS.items():
        if isinstance(error, kind):
            return words.format(where.name)
    if getattr(error, "reason", "") == "WRONG_VERSION_NUMBER":
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, OSError) and error.strerror:
        words = error.strerror.lower()
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return f"dial {where.dialled}: connect: {words}"
        return words
    return str(error) or type(error).__name__
