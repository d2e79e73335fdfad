"""What alias checks follow: a local service, a local node, or those of another node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from portway.agent.local import Local
from portway.discovery.checks.alias import AliasedCheck, AliasTarget
from portway.discovery.model import Check
from portway.discovery.state import State, Topic, any_change

_REFRESH = 60.0  # seconds after which another node is looked at again without a change


class Aliases:
    """Follows targets for alias checks (``alias.WatchAlias``)."""

    def __init__(self, node: str, local: Local, state: State) -> None:
        self._node = node
        self._local = local
        self._state = state
        self._followers: dict[object, tuple[str, Callable[[AliasTarget], None]]] = {}
        local.listen(self._changed)

    def watch(
        self, node: str, service_id: str, changed: Callable[[AliasTarget], None]
    ) -> Callable[[], None]:
        """Call ``changed`` with the target now and after each change, until stopped."""
        loop = asyncio.get_running_loop()
        if node and node.lower() != self._node.lower():
            task = loop.create_task(self._follow(node, service_id, changed))
            return lambda: _cancel(task)
        key = object()
        self._followers[key] = (service_id, changed)
        loop.call_soon(self._tell, key)
        return lambda: _forget(self._followers, key)

    def _changed(self, service_id: str) -> None:
        for key, (target, _) in list(self._followers.items()):
            if service_id in ("", target):
                self._tell(key)

    def _tell(self, key: object) -> None:
        if key not in self._followers:
            return
        service_id, changed = self._followers[key]
        checks = [
            _aliased(entry.check)
            for entry in self._local.checks.values()
            if entry.check.service_id in ("", service_id)
        ]
        exists = not service_id or service_id in self._local.services
        changed(AliasTarget(self._node, checks, exists))

    async def _follow(
        self, node: str, service_id: str, changed: Callable[[AliasTarget], None]
    ) -> None:
        catalog = self._state.catalog
        while True:
            host = catalog.host(node)
            topics: tuple[Topic, ...] = (catalog.checks.topic, catalog.services.topic)
            if host is None:
                changed(AliasTarget(node, (), exists=False))
            else:
                checks = [_aliased(check) for check in host.checks.values()]
                exists = not service_id or service_id in host.instances
                changed(AliasTarget(node, checks, exists))
            await any_change(topics, _REFRESH)


def _aliased(check: Check) -> AliasedCheck:
    return AliasedCheck(check.check_id, check.name, check.status, check.output, check.service_id)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _forget(
    followers: dict[object, tuple[str, Callable[[AliasTarget], None]]], key: object
) -> None:
    followers.pop(key, None)
