"""Anti-entropy: what the catalog is told, when, and what happens when it does not listen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from portway.agent.link import Known, LinkError
from portway.agent.local import Local, LocalCheck, LocalService
from portway.agent.registration import register_check, register_service
from portway.agent.sync import Sync, interval_of
from portway.config import Duration
from portway.discovery.acl import PermissionDeniedError
from portway.discovery.model import (
    PASSING,
    Check,
    CheckDefinition,
    Node,
    Service,
    ServiceDefinition,
)

NODE = Node(id="", node="n1", address="127.0.0.1", tagged_addresses=None, meta=None)


class Catalog:
    """A catalog that remembers what it was told, and may refuse."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self.told: list[Any] = []
        self.refusal: Exception | None = None

    async def known(self) -> Known:
        if self.refusal is not None:
            raise self.refusal
        return Known(NODE, dict(self.services), dict(self.checks))

    async def put(self, service: Service | None, checks: Sequence[Check], token: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        ids = [check.check_id for check in checks]
        self.told.append((service.id if service else "", ids, token))
        if service is not None:
            self.services[service.id] = service
        self.checks.update({check.check_id: check for check in checks})

    async def remove(self, service_id: str, check_id: str, token: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.told.append(("-", service_id or check_id))
        self.services.pop(service_id, None)
        self.checks.pop(check_id, None)


class World:
    def __init__(self, check_update_interval: float = 300.0) -> None:
        self.local = Local()
        self.catalog = Catalog()
        self.sync = Sync(
            self.local,
            self.catalog,
            token=lambda: "agent-token",
            check_update_interval=check_update_interval,
            nodes=lambda: 1,
        )

    def add(self, name: str, *, token: str = "", tag_override: bool = False) -> None:
        definition = ServiceDefinition(
            name=name,
            enable_tag_override=tag_override,
            check=CheckDefinition(ttl=Duration(10)),
        )
        made = register_service(definition, "n1")
        self.local.put_service(
            LocalService(service=made.service, definition=definition, token=token)
        )
        for check, how in made.checks:
            self.local.put_check(LocalCheck(check=check, definition=how))

    def add_node_check(self, name: str) -> None:
        definition = CheckDefinition(name=name, ttl=Duration(10))
        check, how = register_check(definition, "n1", None)
        self.local.put_check(LocalCheck(check=check, definition=how))


async def test_a_service_goes_with_its_checks_in_one_write() -> None:
    world = World()
    world.add("web")
    assert await world.sync.push_service("web")
    assert world.catalog.told == [("web", ["service:web"], "agent-token")]


async def test_the_service_s_own_token_is_used() -> None:
    world = World()
    world.add("web", token="own")
    await world.sync.push_service("web")
    # The check has no token of its own and follows its service, in a write of its own.
    assert world.catalog.told == [("web", [], "own"), ("", ["service:web"], "own")]


async def test_a_full_comparison_repairs_everything() -> None:
    world = World()
    world.add("web")
    world.add_node_check("disk")
    stranger = register_service(ServiceDefinition(name="stranger"), "n1").service
    servers = register_service(ServiceDefinition(name="consul"), "n1").service
    world.catalog.services = {"stranger": stranger, "consul": servers}
    assert await world.sync.full()
    assert set(world.catalog.services) == {"web", "consul"}
    assert set(world.catalog.checks) == {"service:web", "disk"}
    world.catalog.told.clear()
    assert await world.sync.full()
    assert world.catalog.told == []


async def test_what_others_changed_is_changed_back() -> None:
    world = World()
    world.add("web")
    await world.sync.full()
    other = register_service(ServiceDefinition(name="web", port=99), "n1").service
    world.catalog.services["web"] = other
    await world.sync.full()
    assert world.catalog.services["web"].port == 0


async def test_tags_of_the_catalog_win_when_the_service_says_so() -> None:
    world = World()
    world.add("web", tag_override=True)
    await world.sync.full()
    definition = ServiceDefinition(name="web", tags=["theirs"], enable_tag_override=True)
    world.catalog.services["web"] = register_service(definition, "n1").service
    world.catalog.told.clear()
    await world.sync.full()
    assert world.local.services["web"].service.tags == ["theirs"]
    assert world.catalog.told == []


async def test_a_failed_write_is_tried_again_by_the_next_comparison() -> None:
    world = World()
    world.add("web")
    world.catalog.refusal = LinkError("No cluster leader")
    assert not await world.sync.push_service("web")
    assert not await world.sync.full()
    world.catalog.refusal = None
    assert await world.sync.full()
    assert set(world.catalog.services) == {"web"}


async def test_a_denied_write_counts_as_done_until_the_next_comparison() -> None:
    world = World()
    world.add("web")
    world.catalog.refusal = PermissionDeniedError("no")
    assert await world.sync.push_service("web")
    assert world.local.services["web"].in_sync


async def test_a_removal_that_fails_is_kept() -> None:
    world = World()
    world.add("web")
    await world.sync.full()
    for check_id in world.local.checks_of("web"):
        world.local.drop_check(check_id)
    world.local.drop_service("web")
    world.catalog.refusal = LinkError("No cluster leader")
    assert not await world.sync.push_removals()
    world.catalog.refusal = None
    assert await world.sync.full()
    assert world.catalog.services == {}


async def test_a_change_of_status_is_told_at_once() -> None:
    world = World()
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", PASSING, "ok")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.catalog.checks["disk"].status == PASSING


async def test_a_change_of_output_alone_waits() -> None:
    world = World()
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", PASSING, "ok")
    await asyncio.sleep(0.01)
    world.sync.result("disk", PASSING, "still ok")
    await asyncio.sleep(0.01)
    assert world.catalog.checks["disk"].output == "ok"
    assert world.local.checks["disk"].check.output == "still ok"
    await world.sync.full()  # does not hurry it either
    assert world.catalog.checks["disk"].output == "ok"
    world.sync.result("disk", "critical", "gone")
    await asyncio.sleep(0.01)
    assert world.catalog.checks["disk"].output == "gone"


async def test_output_is_told_at_once_without_an_interval() -> None:
    world = World(check_update_interval=0)
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", "critical", "new words")
    await asyncio.sleep(0.01)
    assert world.catalog.checks["disk"].output == "new words"


@pytest.mark.parametrize(
    ("nodes", "seconds"), [(1, 60), (128, 60), (129, 120), (256, 120), (512, 180), (8192, 420)]
)
def test_comparisons_are_rarer_in_large_clusters(nodes: int, seconds: float) -> None:
    assert interval_of(nodes) == seconds
