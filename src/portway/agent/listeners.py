"""The agent's interfaces: HTTP, HTTPS and DNS, opened and closed together."""

from __future__ import annotations

import socket
import ssl

import structlog

from portway.agent import tls
from portway.agent.config import AgentConfig, Listen
from portway.agent.sockets import listening
from portway.discovery.api import App, Limit, Listener, serve

log = structlog.get_logger("agent")


class Listeners:
    """The HTTP listeners. Sockets are bound first, so that a taken port is told at once."""

    def __init__(self, config: AgentConfig) -> None:
        """Bind everything. Raises OSError naming the address, or ssl.SSLError."""
        listen: Listen = config.listen
        self._limit = Limit(config.limits.http_max_conns_per_client)
        self.context: ssl.SSLContext | None = None
        if listen.https:
            self.context = tls.server_context(config.tls_https)
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        try:
            for bind in listen.http:
                self._sockets.append((listening(bind, config.unix_sockets), None))
            for bind in listen.https:
                self._sockets.append((listening(bind, config.unix_sockets), self.context))
        except OSError:
            self.close()
            raise
        self._running: list[Listener] = []

    def serve(self, app: App) -> None:
        """Answer on every socket."""
        self._running = [serve(app, sock, self._limit, context) for sock, context in self._sockets]

    def reconfigure(self, config: AgentConfig) -> None:
        """Read certificates anew and take over limits; listeners stay. Raises as at the start."""
        self._limit.most = config.limits.http_max_conns_per_client
        if self.context is not None:
            tls.load(self.context, config.tls_https)

    async def stop(self) -> None:
        """Close everything; requests in flight have a moment to finish."""
        for listener in self._running:
            await listener.stop()
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        for sock, _ in self._sockets:
            sock.close()
