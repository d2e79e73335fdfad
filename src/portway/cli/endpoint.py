"""Where the HTTP API is and how it is reached: from flags, environment and defaults."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from portway.cli.goflags import boolean

if TYPE_CHECKING:
    import ssl

DEFAULT_ADDRESS = "127.0.0.1:8500"


@dataclass(frozen=True)
class Settings:
    """What the flags and the environment say of requests."""

    address: str = DEFAULT_ADDRESS
    token: str = ""
    auth: str = ""  # user:password
    tls: bool = False
    verify: bool = True
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    query: tuple[tuple[str, str], ...] = ()  # parameters of every request

    @classmethod
    def merged(
        cls, flags: Mapping[str, str | None], environ: Mapping[str, str], *, stale: bool = False
    ) -> Settings:
        """Flags over environment over defaults; a file of a token over a token.

        Raises ValueError on a wrong boolean, OSError on a token file that cannot be read.
        """

        def given(flag: str, variable: str) -> str:
            value = flags.get(flag)
            return environ.get(variable, "") if value is None else value

        token = given("token", "CONSUL_HTTP_TOKEN")
        if path := given("token_file", "CONSUL_HTTP_TOKEN_FILE"):
            try:
                text = Path(path).read_text()
            except OSError as error:
                words = (error.strerror or "").lower()
                raise OSError(f"Error loading token file {path} : open {path}: {words}") from None
            token = text.strip() or token
        scope = {
            "dc": flags.get("datacenter") or "",
            "ns": given("namespace", "CONSUL_NAMESPACE"),
            "partition": given("partition", "CONSUL_PARTITION"),
        }
        ca_file, ca_path = given("ca_file", "CONSUL_CACERT"), given("ca_path", "CONSUL_CAPATH")
        certificate = given("client_cert", "CONSUL_CLIENT_CERT")
        key = given("client_key", "CONSUL_CLIENT_KEY")
        _check_files(ca_file, ca_path, certificate, key)
        query = [(name, value) for name, value in scope.items() if value]
        return cls(
            address=given("http_addr", "CONSUL_HTTP_ADDR") or DEFAULT_ADDRESS,
            token=token,
            auth=environ.get("CONSUL_HTTP_AUTH", ""),
            tls=_switch(environ, "CONSUL_HTTP_SSL", default=False),
            verify=_switch(environ, "CONSUL_HTTP_SSL_VERIFY", default=True),
            ca_file=ca_file,
            ca_path=ca_path,
            client_cert=certificate,
            client_key=key,
            tls_server_name=given("tls_server_name", "CONSUL_TLS_SERVER_NAME"),
            query=tuple([*query, ("stale", "")] if stale else query),
        )


def _check_files(ca_file: str, ca_path: str, certificate: str, key: str) -> None:
    """Raise ValueError or OSError on TLS files that cannot be used, even where TLS is not."""
    for path, what in ((ca_file, "Error loading CA File: open"), (ca_path, "lstat")):
        if path and (path == ca_file or not ca_file):
            try:
                Path(path).lstat()
            except OSError as error:
                raise OSError(f"{what} {path}: {(error.strerror or '').lower()}") from None
    if bool(certificate) != bool(key):
        raise ValueError("both client cert and client key must be provided")


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        return boolean(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a boolean; write true or false") from None


class Endpoint(NamedTuple):
    """Where to connect: a socket's path, or a name and port."""

    tls: bool
    name: str
    port: int
    path: str  # of a Unix socket
    host: str  # the Host header
    prefix: str  # of every path

    @property
    def url(self) -> str:
        """As the Go client's errors show it."""
        return f"{'https' if self.tls else 'http'}://{self.host}{self.prefix}"

    @property
    def dialled(self) -> str:
        """What is connected to, as Go's dialler names it."""
        return f"unix {self.path}" if self.path else f"tcp {self.name}:{self.port}"


def endpoint(settings: Settings) -> Endpoint:
    """The endpoint of an address: ``host:port``, ``http(s)://host:port/prefix``, ``unix:///path``.

    Raises ValueError on another scheme or no port number.
    """
    scheme, separator, rest = settings.address.partition("://")
    if not separator:
        scheme, rest = "https" if settings.tls else "http", settings.address
    if scheme == "unix":
        return Endpoint(settings.tls, "", 0, rest, "localhost", "")
    if scheme not in ("http", "https"):
        raise ValueError(f"Unknown protocol scheme: {scheme}")
    tls = scheme == "https" or settings.tls
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{settings.address}: the port is not a number up to 65535") from None
    name = parts.hostname or "127.0.0.1"
    if port is None:
        port = 443 if tls else 80
    host = parts.netloc.rpartition("@")[2] or name
    if host.startswith(":"):
        host = f"{name}{host}"
    return Endpoint(tls, name, port, "", host, parts.path.rstrip("/"))


def connection(
    where: Endpoint, settings: Settings, timeout: float | None
) -> http.client.HTTPConnection:
    """A connection, not yet open. Raises OSError on TLS files that cannot be used."""
    context = _tls(settings) if where.tls else None
    return _Connection(where, context, settings.tls_server_name, timeout)


class _Connection(http.client.HTTPConnection):
    """HTTP over TCP or a Unix socket, in TLS or not, with a server name of one's choice."""

    def __init__(
        self,
        where: Endpoint,
        context: ssl.SSLContext | None,
        server_name: str,
        timeout: float | None,
    ) -> None:
        super().__init__(where.name or "localhost", where.port or None, timeout=timeout)
        self._where = where
        self._context = context
        self._server_name = server_name or where.name or "localhost"

    def connect(self) -> None:
        sock = self._dial()
        if self._context is not None:
            try:
                sock = self._context.wrap_socket(sock, server_hostname=self._server_name)
            except BaseException:
                sock.close()
                raise
        self.sock = sock

    def _dial(self) -> socket.socket:
        if not self._where.path:
            sock = socket.create_connection((self._where.name, self._where.port), self.timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._where.path)
        except OSError:
            sock.close()
            raise
        return sock


def _tls(settings: Settings) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context(
        cafile=settings.ca_file or None, capath=settings.ca_path or None
    )
    if settings.ca_path:
        # OpenSSL looks certificates of a directory up by their hash; people name them freely.
        for path in sorted(Path(settings.ca_path).iterdir()):
            if path.is_file():
                context.load_verify_locations(path)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert, settings.client_key or None)
    return context
