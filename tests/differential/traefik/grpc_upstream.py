"""A gRPC server without generated code: messages are plain bytes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Methods of ``test.Echo`` for every kind of call; keeps the metadata of the last one."""

    def __init__(self, port: int) -> None:
        """Listen on a loopback port that may be bound elsewhere, but not listened to."""
        self.metadata: dict[str, str] = {}
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def close(self) -> None:
        """Stop at once."""
        self._server.stop(0).wait()

    def service(self, details: Any) -> Any:
        """Find a method, as grpc asks for it."""
        self.metadata = dict(details.invocation_metadata)
        return {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(_unary),
            "/test.Echo/Refuse": grpc.unary_unary_rpc_method_handler(_refuse),
            "/test.Echo/Count": grpc.unary_stream_rpc_method_handler(_count),
            "/test.Echo/Chat": grpc.stream_stream_rpc_method_handler(_chat),
        }.get(details.method)


def _unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_trailing_metadata((("x-trailer", "end"),))
    return request[::-1]


def _refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: é")
    return b""


def _count(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield from (str(number).encode() for number in range(int(request)))


def _chat(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    for request in requests:
        yield request.upper()
