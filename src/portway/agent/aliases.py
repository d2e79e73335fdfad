"""What alias checks follow: a local service, a local node, or those of another node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from portway.agent.local import Local
from portway.discovery.acl import AclError, Authorizer
from portway.discovery.checks.alias import AliasedCheck, AliasTarget
from portway.discovery.model import Check
from portway.discovery.state import Host, State, any_change

_REFRESH = 60.0  # seconds after which another node is looked at again without a change
_Changed = Callable[[AliasTarget], None]


class Aliases:
    """Follows targets for alias checks (``alias.WatchAlias``)."""

    def __init__(
        self, node: str, local: Local, state: State, authorizer_of: Callable[[str], Authorizer]
    ) -> None:
        """``authorizer_of`` says what the check of an ID may see. It may raise AclError."""
        self._node = node
        self._local = local
        self._state = state
        self._authorizer_of = authorizer_of
        self._followers: dict[str, dict[object, _Changed]] = {}
        """By the ID of the local service they follow."""
        local.listen(self._local_changed)

    def watch(
        self, check_id: str, node: str, service_id: str, changed: _Changed
    ) -> Callable[[], None]:
        """Call ``changed`` with the target now and after each change, until stopped."""
        loop = asyncio.get_running_loop()
        if node and node.lower() != self._node.lower():
            task = loop.create_task(self._follow(check_id, node, service_id, changed))
            return lambda: _cancel(task)
        key = object()
        self._followers.setdefault(service_id, {})[key] = changed
        loop.call_soon(self._tell, service_id, key)
        return partial(self._forget, service_id, key)

    def _forget(self, service_id: str, key: object) -> None:
        followers = self._followers.get(service_id, {})
        followers.pop(key, None)
        if not followers:
            self._followers.pop(service_id, None)

    def _local_changed(self, service_id: str) -> None:
        # A check of the node itself concerns everybody.
        for target in [service_id] if service_id else list(self._followers):
            for key in list(self._followers.get(target, ())):
                self._tell(target, key)

    def _tell(self, service_id: str, key: object) -> None:
        changed = self._followers.get(service_id, {}).get(key)
        if changed is None:
            return
        local = self._local
        entries = local.checks_of("") | (local.checks_of(service_id) if service_id else {})
        checks = _aliased(entry.check for entry in entries.values())
        changed(AliasTarget(self._node, checks, not service_id or service_id in local.services))

    async def _follow(self, check_id: str, node: str, service_id: str, changed: _Changed) -> None:
        catalog = self._state.catalog
        while True:
            reading = catalog.read_host(node)
            try:
                changed(self._seen(reading.value, node, service_id, self._authorizer_of(check_id)))
            except AclError as error:
                changed(AliasTarget(node, (), error=str(error)))
            await any_change(reading.topics, _REFRESH)

    @staticmethod
    def _seen(host: Host | None, node: str, service_id: str, authorizer: Authorizer) -> AliasTarget:
        """What of another node somebody may see."""
        if host is None or not authorizer.allows("node", "read", host.node.node):
            return AliasTarget(node, (), exists=False)
        instance = host.instances.get(service_id)
        if instance and not authorizer.allows("service", "read", instance.service.service):
            instance = None
        checks = [
            one
            for one in host.checks.values()
            if not one.service_id or (instance and one.service_id == service_id)
        ]
        return AliasTarget(node, _aliased(checks), not service_id or instance is not None)


def _aliased(checks: Iterable[Check]) -> list[AliasedCheck]:
    return [
        AliasedCheck(one.check_id, one.name, one.status, one.output, one.service_id)
        for one in checks
    ]


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
