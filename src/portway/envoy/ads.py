"""The delta ADS server: holds the wanted state and brings every connected Envoy to it.

grpcio is used because it is the one complete HTTP/2 and gRPC implementation for asyncio that
also serves Unix sockets; a control stream carries a few messages per change, so its cost
per message does not matter.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import structlog
from envoy.service.discovery.v3 import discovery_pb2

from portway.envoy.ads_stream import Stream
from portway.envoy.resource import Key, Rejection, Resource

_log = structlog.get_logger(__name__)

_GRACE = 2.0  # seconds that streams have to end when the server stops
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_METHOD = "DeltaAggregatedResources"
_OPTIONS = (
    # Ten thousand routes or the versions of ten thousand clusters make large messages.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
    # Envoy's own keepalive pings must not count as misbehaviour.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Ads:
    """The wanted state and the Envoys that follow it.

    Nothing is sent before the first ``update``: an Envoy that carries traffic keeps what it
    has until the whole wanted state is known. All methods belong to the event loop's thread.

    ``on_rejected`` is told of every resource Envoy refuses, once per content; what Envoy had
    before stays in force, the content is not offered again (see ``retry``), and the callback
    may call ``update``. ``on_settled`` is called each time all connected Envoys have accepted
    everything (a refused cluster or secret aside, which nothing else depends on being new):
    what older routes alone needed may go then. ``patience`` is how many seconds a step of a push
    waits for an Envoy that does not answer, for instance because a new cluster waits for DNS.
    """

    def __init__(
        self,
        on_rejected: Callable[[Rejection], None],
        on_settled: Callable[[], None] | None = None,
        *,
        patience: float = 5.0,
    ) -> None:
        self._on_rejected = on_rejected
        self._on_settled = on_settled
        self._patience = patience
        self._wanted: dict[str, dict[str, Resource]] = {}
        self._last_good: dict[Key, Resource] = {}
        self._reported: dict[Key, str] = {}
        self._streams: set[Stream] = set()
        self._open = False
        self._settled = asyncio.Event()
        self._told = False
        self._server: grpc.aio.Server | None = None
        self._closing = asyncio.Event()

    async def start(self, path: Path) -> None:
        """Serve on a Unix socket, replacing what a dead process left there.

        Raises PermissionError when others may enter its directory, OSError when the socket
        cannot be made.
        """
        if stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
            raise PermissionError(f"{path.parent} must be accessible to its owner only (mode 0700)")
        server = grpc.aio.server(options=_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),)
        )
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise OSError(f"cannot serve ADS on {path}: {error}") from error
        await server.start()
        path.chmod(0o600)
        self._server = server

    async def stop(self) -> None:
        """Close all streams; Envoys keep serving what they have."""
        if self._server is not None:
            # Streams that end by themselves: grpcio prints a traceback of some that it cancels.
            self._closing.set()
            await self._server.stop(_GRACE)
            self._server = None

    def update(self, changed: Iterable[Resource], removed: Iterable[Key] = ()) -> None:
        """Change the wanted state; costs what changed, sends in the background.

        The first call says that the wanted state is complete (it may be empty).
        """
        news = [resource for resource in changed if self._replace(resource)]
        gone: list[Resource] = []
        for key in removed:
            old = self._wanted.get(key.type_url, {}).pop(key.name, None)
            if old is not None:
                self._last_good.pop(key, None)
                self._reported.pop(key, None)
                gone.append(old)
        if not self._open:
            self._open = True
            for stream in self._streams:
                stream.open()
        elif news or gone:
            for stream in self._streams:
                stream.update(news, gone)

    def retry(self, keys: Iterable[Key]) -> None:
        """Offer again what was refused, when the cause may be gone (a port in use)."""
        resources = [resource for key in keys if (resource := self.get(key)) is not None]
        for resource in resources:
            self._reported.pop(resource.key, None)
        for stream in self._streams:
            stream.retry(resources)

    @property
    def connected(self) -> bool:
        """Whether any Envoy is connected."""
        return bool(self._streams)

    @property
    def is_settled(self) -> bool:
        """Whether an Envoy is connected and all of them have acknowledged everything.

        Refused resources do not count: nothing more will come of them.
        """
        return bool(self._streams) and all(stream.settled for stream in self._streams)

    async def settled(self) -> None:
        """Wait until ``is_settled``."""
        while not self.is_settled:
            self._settled.clear()
            await self._settled.wait()

    def join(self, send: Callable[[discovery_pb2.DeltaDiscoveryResponse], None]) -> Stream:
        """A new stream that gets its responses by ``send``; the caller runs it."""
        stream = Stream(self, send, self._note_change, patience=self._patience)
        self._streams.add(stream)
        if self._open:
            stream.open()
        return stream

    def leave(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        self._streams.discard(stream)
        self._note_change()

    # What streams ask and tell (ads_stream.Store)

    def get(self, key: Key) -> Resource | None:
        """The wanted resource."""
        return self._wanted.get(key.type_url, {}).get(key.name)

    def all(self, type_url: str) -> Iterable[Resource]:
        """Every wanted resource of a type."""
        return self._wanted.get(type_url, {}).values()

    def last_good(self, key: Key) -> Resource | None:
        """What was wanted before, until the present content is accepted."""
        return self._last_good.get(key)

    def accepted(self, resource: Resource) -> None:
        """An Envoy took it."""
        if self._is_wanted(resource):
            self._last_good.pop(resource.key, None)
            self._reported.pop(resource.key, None)

    def refused(self, resource: Resource, message: str) -> None:
        """An Envoy refused it: report it, unless that was done or it was replaced since."""
        key = resource.key
        if not self._is_wanted(resource) or self._reported.get(key) == resource.version:
            return
        self._reported[key] = resource.version
        self._on_rejected(Rejection(key.type_url, (key.name,), message, resource.version))

    def _is_wanted(self, resource: Resource) -> bool:
        wanted = self.get(resource.key)
        return wanted is not None and wanted.version == resource.version

    def _replace(self, resource: Resource) -> bool:
        names = self._wanted.setdefault(resource.key.type_url, {})
        old = names.get(resource.key.name)
        if old is not None:
            if old.version == resource.version:
                return False
            if self._reported.get(resource.key) != old.version:
                self._last_good[resource.key] = old
        names[resource.key.name] = resource
        return True

    def _note_change(self) -> None:
        if self.is_settled:
            self._settled.set()
        else:
            self._settled.clear()
        in_force = bool(self._streams) and all(stream.in_force for stream in self._streams)
        told, self._told = self._told, in_force
        if in_force and not told and self._on_settled is not None:
            self._on_settled()

    async def _serve(
        self,
        requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        outbox: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()

        async def write() -> None:
            while True:
                await context.write(await outbox.get())

        async def read() -> None:
            async for request in requests:
                stream.receive(request)

        stream = self.join(outbox.put_nowait)
        try:
            async with asyncio.TaskGroup() as group:
                ends = [group.create_task(read()), group.create_task(self._closing.wait())]
                tasks = [*ends, group.create_task(write()), group.create_task(stream.run())]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        except* Exception as failure:
            _log.exception("an ADS stream failed; Envoy will reconnect", exc_info=failure)
            raise
        finally:
            self.leave(stream)
