"""Connections to what is checked: addresses, TLS, and errors in the words of Go's ``net``.

People match on these texts (``dial tcp 10.0.0.1:80: connect: connection refused``). Unlike
Go's they never name the local port, so that the same failure has the same output every time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)

_AUTHORITY_UNKNOWN = frozenset((18, 19, 20, 21))  # X509_V_ERR_*
_EXPIRED = frozenset((9, 10))


class DialError(Exception):
    """No connection; the message is the output of the check."""


class DialTimeoutError(DialError):
    """No connection in time."""


class Address(NamedTuple):
    """Where to connect: a host name or IP address, and a port number or service name."""

    host: str
    port: str

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TLS(NamedTuple):
    """How to speak TLS on a connection; the name is sent (SNI) and verified."""

    context: ssl.SSLContext
    server_name: str


def split_address(text: str, network: str = "tcp") -> Address:
    """Read ``host:port`` or ``[v6]:port``. Raises DialError."""
    host, colon, port = text.rpartition(":")
    reason = ""
    if text.startswith("["):
        end = text.find("]")
        if end < 0:
            reason = "missing ']' in address"
        elif text[end + 1 : end + 2] != ":":
            reason = "missing port in address"
        host, port = text[1:end], text[end + 2 :]
    elif not colon:
        reason = "missing port in address"
    elif ":" in host:
        reason = "too many colons in address"
    if reason:
        raise DialError(f"dial {network}: address {text}: {reason}")
    return Address(host, port)


async def connect(
    factory: Callable[[], P], address: Address, end: float, tls: TLS | None = None
) -> tuple[asyncio.Transport, P]:
    """Connect before a moment of the loop's clock, trying every address of a name.

    Each gets its share of the time, so that one that is silent leaves some to the next. Raises
    DialError; of several failures that of the first address is told.
    """
    loop = asyncio.get_running_loop()
    targets = await resolve(address, "tcp", end)
    first_error: DialError | None = None
    for index, target in enumerate(targets):
        now = loop.time()
        share = (end - now) / (len(targets) - index)
        where = Address(target[0], str(target[1]))
        try:
            async with asyncio.timeout_at(now + share):
                return await loop.create_connection(
                    factory,
                    target[0],
                    target[1],
                    ssl=tls.context if tls else None,
                    server_hostname=tls.server_name or address.host if tls else None,
                )
        except TimeoutError:
            error: DialError = DialTimeoutError(f"dial tcp {where}: i/o timeout")
        except (OSError, ssl.SSLError) as problem:
            # A handshake that is cut off comes after the connection.
            reset = isinstance(problem, ConnectionResetError)
            doing = f"read tcp {where}: read: " if reset else f"dial tcp {where}: connect: "
            error = DialError(_failure(problem, doing))
        first_error = first_error or error
    assert first_error is not None
    raise first_error


async def resolve(address: Address, network: str, end: float) -> list[tuple[str, int]]:
    """The IP addresses and port numbers of an address, before a moment of the loop's clock.

    Raises DialError.
    """
    host = address.host or "localhost"  # as Go dials ":80"
    if _is_ip(host) and address.port.isdecimal() and int(address.port) < 65536:
        return [(host, int(address.port))]
    loop = asyncio.get_running_loop()
    if address.port.isdecimal() and int(address.port) > 65535:
        raise DialError(f"dial {network}: address {address.port}: invalid port")
    if not address.port.isdecimal():
        try:
            port = socket.getservbyname(address.port, network)
        except OSError:
            raise DialError(
                f"dial {network}: lookup {network}/{address.port}: unknown port"
            ) from None
        return await resolve(Address(host, str(port)), network, end)
    kind = socket.SOCK_STREAM if network == "tcp" else socket.SOCK_DGRAM
    try:
        async with asyncio.timeout_at(end):
            found = await loop.getaddrinfo(host, int(address.port), type=kind)
    except TimeoutError:
        raise DialError(f"dial {network}: lookup {host}: i/o timeout") from None
    except socket.gaierror as problem:
        unknown = problem.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
        reason = "no such host" if unknown else str(problem.strerror).lower()
        raise DialError(f"dial {network}: lookup {host}: {reason}") from None
    except (OSError, UnicodeError) as problem:  # a label too long for IDNA
        raise DialError(f"dial {network}: lookup {host}: {problem}") from None
    return [(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found]


def reason_of(problem: Exception) -> str:
    """An error of a socket or of TLS in Go's words."""
    return _failure(problem, "")


def _failure(problem: Exception, prefix: str) -> str:
    """``prefix`` is for errors of the socket: those of TLS come without the address."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        detail = str(problem.verify_message)
        if problem.verify_code in _AUTHORITY_UNKNOWN:
            detail = "certificate signed by unknown authority"
        elif problem.verify_code in _EXPIRED:
            detail = "certificate has expired or is not yet valid"
        return f"tls: failed to verify certificate: x509: {detail}"
    if isinstance(problem, ssl.SSLError):
        reason = problem.reason or "handshake failure"
        if reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING"):
            return "tls: first record does not look like a TLS handshake"
        return f"tls: {reason.replace('_', ' ').lower()}"
    if isinstance(problem, OSError) and problem.errno in errno.errorcode:
        return prefix + os.strerror(problem.errno or 0).lower()
    return prefix + str(problem) if str(problem) else "EOF"


def _is_ip(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return False
    return True
