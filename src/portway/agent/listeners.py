"""The agent's HTTP and HTTPS interfaces, opened and closed together."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from portway.agent.config import AgentConfig, Bind
from portway.agent.sockets import close, listening
from portway.agent.tls import RenewableContext, server_context
from portway.discovery.api import MAX_HEAD, Limit, Listener, serve

_HANDSHAKE = 5.0  # seconds; there is no listener without a bound
_SLACK = 4096  # bytes that Go's server, and so Consul's, takes above the largest head


class Listeners:
    """The HTTP listeners. Sockets are bound first, so that a taken port is told at once."""

    def __init__(self, config: AgentConfig) -> None:
        """Bind everything. Raises OSError naming the address, or ssl.SSLError."""
        listen = config.listen
        limits = config.limits
        self._limit = Limit(
            limits.http_max_conns_per_client,
            (config.http_config.max_header_bytes or MAX_HEAD) + _SLACK,
            limits.https_handshake_timeout or _HANDSHAKE,
        )
        context = self.context_of(config)
        self._context = None if context is None else RenewableContext(context)
        self._sockets: list[tuple[socket.socket, Bind, ssl.SSLContext | None]] = []
        self._running: list[Listener] = []
        try:
            for bind in listen.http:
                self._sockets.append((listening(bind, config.unix_sockets), bind, None))
            for bind in listen.https:
                sock = listening(bind, config.unix_sockets)
                self._sockets.append((sock, bind, self._context))
        except OSError:
            self._close()
            raise

    def serve(self, app: Any) -> None:
        """Answer on every socket."""
        self._running = [
            serve(app, sock, self._limit, context) for sock, _, context in self._sockets
        ]

    @staticmethod
    def context_of(config: AgentConfig) -> ssl.SSLContext | None:
        """TLS as a configuration says, with the files as they are now.

        Raises OSError, of which ssl.SSLError is one.
        """
        return server_context(config.tls_https) if config.listen.https else None

    def reconfigure(self, config: AgentConfig, context: ssl.SSLContext | None) -> None:
        """Take over limits, and the ``context_of`` the configuration; listeners stay."""
        self._limit.most = config.limits.http_max_conns_per_client
        if self._context is not None and context is not None:
            self._context.current = context

    async def stop(self) -> None:
        """Close everything; requests in flight have a moment to finish."""
        for listener in self._running:
            await listener.stop()
        self._close()

    def _close(self) -> None:
        for sock, bind, _ in self._sockets:
            close(sock, bind)
