"""``grpc``: a gRPC server says that it is serving (the gRPC health checking protocol).

The target is ``host:port`` for the server as a whole, or ``host:port/service``; with
``grpc_use_tls`` over verified TLS. Passing when ``grpc.health.v1.Health/Check`` answers
SERVING, critical when it answers anything else or nothing. Timeout 10 s.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from portway.discovery.checks.context import H2, Context
from portway.discovery.checks.dial import (
    TLS,
    Address,
    DialError,
    DialTimeoutError,
    connect,
    split_address,
)
from portway.discovery.checks.result import Result, critical, passing
from portway.discovery.model import CheckDefinition

if TYPE_CHECKING:
    from h2.connection import H2Connection
    from h2.events import Event

TIMEOUT = 10.0

_PATH = "/grpc.health.v1.Health/Check"
_SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CODES = (
    "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists"
    " PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented"
    " Internal Unavailable DataLoss Unauthenticated"
).split()


def request_message(service: str) -> bytes:
    """A framed ``HealthCheckRequest``: field 1 is the service."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def serving_status(data: bytes) -> str:
    """The status in a framed ``HealthCheckResponse``. Raises ValueError if it is none."""
    if len(data) < 5 or data[0] != 0 or len(data) != 5 + int.from_bytes(data[1:5], "big"):
        raise ValueError("not an uncompressed message")
    at, status = 5, 0
    while at < len(data):
        key, at = _read_varint(data, at)
        match key & 7:
            case 0:
                value, at = _read_varint(data, at)
                status = value if key >> 3 == 1 else status
            case 2:
                length, at = _read_varint(data, at)
                at += length
            case 1 | 5 as wire_type:
                at += 8 if wire_type == 1 else 4
            case wire_type:
                raise ValueError(f"wire type {wire_type}")
    if at > len(data):
        raise ValueError("unexpected EOF")
    return _SERVING[status] if status < len(_SERVING) else str(status)


def rpc_error(code: str, description: str) -> str:
    """An error as gRPC for Go prints it."""
    return f"rpc error: code = {code} desc = {description}"


class _Answer:
    """Collects the parts of the answer."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = bytearray()

    def take(self, event: Event) -> bool:
        from h2.events import (
            DataReceived,
            ResponseReceived,
            StreamEnded,
            StreamReset,
            TrailersReceived,
        )

        if isinstance(event, ResponseReceived | TrailersReceived):
            self.headers.update((str(name), str(value)) for name, value in event.headers or ())
        elif isinstance(event, DataReceived):
            self.data += event.data or b""
        elif isinstance(event, StreamReset):
            self.headers.setdefault("grpc-status", "14")
            self.headers.setdefault(
                "grpc-message", f"stream terminated by RST_STREAM, error code {event.error_code!s}"
            )
        return isinstance(event, StreamEnded | StreamReset)

    def judged(self, target: str) -> Result:
        http = self.headers.get(":status", "")
        status = self.headers.get("grpc-status", "")
        if not status.isdecimal():
            text = f"unexpected HTTP status code received from server: {http}"
            return critical(rpc_error("Unknown", text))
        if int(status) != 0:
            code = _CODES[int(status)] if int(status) < len(_CODES) else f"Code({status})"
            return critical(rpc_error(code, unquote(self.headers.get("grpc-message", ""))))
        try:
            serving = serving_status(bytes(self.data))
        except ValueError as error:
            text = f"grpc: failed to unmarshal the received message: {error}"
            return critical(rpc_error("Internal", text))
        if serving != "SERVING":
            return critical(f"gRPC {target} serving status: {serving}")
        return passing(f"gRPC check {target}: success")


async def run_once(definition: CheckDefinition, context: Context) -> Result:
    """Ask the server's health service."""
    from portway.discovery.checks.http2 import Http2, Http2Error

    target = definition.grpc
    where, _, service = target.partition("/")
    end = asyncio.get_running_loop().time() + (definition.timeout or TIMEOUT)
    answer = _Answer()
    try:
        address = split_address(where)
        tls = context.tls(definition, H2) if definition.grpc_use_tls else None
        ask = partial(_ask, address, service, tls)
        _, connection = await connect(partial(Http2, ask, answer.take), address, end, tls)
    except DialError as error:
        if isinstance(error, DialTimeoutError):
            text = "received context error while waiting for new LB policy update"
            return critical(rpc_error("DeadlineExceeded", f"{text}: context deadline exceeded"))
        handshake = str(error).startswith("tls:")
        doing = "authentication handshake failed" if handshake else "Error while dialing"
        return critical(_no_connection(f"transport: {doing}: {error}"))
    try:
        async with asyncio.timeout_at(end):
            await connection.answered
    except TimeoutError:
        return critical(rpc_error("DeadlineExceeded", "context deadline exceeded"))
    except Http2Error as error:
        if not connection.greeted:
            return critical(_no_connection(f"error reading server preface: {error}"))
        return critical(rpc_error("Unavailable", f"error reading from server: {error}"))
    finally:
        connection.close()
    return answer.judged(target)


def _no_connection(reason: str) -> str:
    return rpc_error("Unavailable", f'connection error: desc = "{reason}"')


def _ask(address: Address, service: str, tls: TLS | None, h2: H2Connection) -> None:
    stream = h2.get_next_available_stream_id()
    h2.send_headers(
        stream,
        [
            (":method", "POST"),
            (":scheme", "https" if tls else "http"),
            (":path", _PATH),
            (":authority", (tls and tls.server_name) or str(address)),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-portway"),
        ],
    )
    h2.send_data(stream, request_message(service), end_stream=True)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("varint is too long")
    raise ValueError("unexpected EOF")
