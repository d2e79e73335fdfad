"""The state of services' servers, as Envoy sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from portway.edge.runtime import ServiceInfo
from portway.edge.services.target import parse
from portway.envoy.admin import AdminError

Health = Callable[[], Awaitable[Mapping[tuple[str, str], bool]]]
"""Gives (cluster, server authority ``host:port``) → whether requests may go there."""

_FRESH = 1.0  # seconds for which an answer of Envoy is shown again

_log = structlog.get_logger(__name__)


class Servers:
    """Remembers Envoy's answer for a moment, so that pages of lists do not each ask again."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._known: Mapping[tuple[str, str], bool] = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def status(self, infos: Iterable[ServiceInfo]) -> dict[str, dict[str, str]]:
        """Service name → server URL → ``UP`` or ``DOWN``, for services that are in use.

        Servers without health check are UP, as in Traefik, and so is everything while Envoy
        does not answer.
        """
        used = [info for info in infos if info.used_by and info.status != "disabled"]
        known: Mapping[tuple[str, str], bool] = {}
        if any(i.config.load_balancer and i.config.load_balancer.health_check for i in used):
            known = await self._ask()
        found = {}
        for info in used:
            if info.config.load_balancer is not None:
                urls = [server.url for server in info.config.load_balancer.servers]
                found[info.name] = {
                    url: "UP" if known.get((info.name, parse(url).authority), True) else "DOWN"
                    for url in urls
                }
        return found

    async def _ask(self) -> Mapping[tuple[str, str], bool]:
        async with self._asking:
            if time.monotonic() >= self._until:
                try:
                    self._known = await self._health()
                except AdminError as error:
                    _log.warning("the state of servers is unknown", error=str(error))
                    self._known = {}
                self._until = time.monotonic() + _FRESH
            return self._known
