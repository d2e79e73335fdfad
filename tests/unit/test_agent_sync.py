"""Anti-entropy: what the catalog is told, when, and what happens when it does not listen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.agent.link import Known, LinkError
from portway.agent.local import Local, LocalCheck, LocalService
from portway.agent.registration import register_check, register_service
from portway.agent.sync import Sync, interval_of, retry_of
from portway.agent.tokens import AgentTokens
from portway.config import Duration
from portway.discovery.acl import PermissionDeniedError
from portway.discovery.model import (
    PASSING,
    Check,
    CheckDefinition,
    Service,
    ServiceDefinition,
)
from tests.patience import PATIENCE

KINDS = ("default", "agent", "dns", "agent_recovery", "config_file_service_registration")
TOKENS = dict.fromkeys(KINDS, "") | {"agent": "agents", "default": "default"}


class Catalog:
    """A catalog that remembers what it was told, and may refuse."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self.told: list[Any] = []
        self.refusal: Exception | None = None
        self.open = asyncio.Event()
        """Writes wait until it is set."""
        self.open.set()
        self.writing = 0
        self.pauses = False
        self.asked = 0
        self._awaited: list[asyncio.Future[None]] = []

    async def put_node(self, token: str) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal

    async def known(self) -> Known:
        if self.refusal is not None:
            raise self.refusal
        return Known(dict(self.services), dict(self.checks))

    async def _written(self) -> None:
        self.writing += 1
        if self.pauses:
            await asyncio.sleep(0)
        await self.open.wait()
        self.writing -= 1
        if self.refusal is not None:
            raise self.refusal

    async def put(self, service: Service | None, checks: Sequence[Check], token: str) -> None:
        await self._written()
        ids = [check.check_id for check in checks]
        self.told.append((service.id if service else "", ids, token))
        if service is not None:
            self.services[service.id] = service
        self.checks.update({check.check_id: check for check in checks})
        for future in self._awaited:
            future.set_result(None)
        self._awaited.clear()

    async def told_of(self, output: str) -> None:
        """Wait until a check has this output."""
        async with asyncio.timeout(PATIENCE):
            while output not in [check.output for check in self.checks.values()]:
                future = asyncio.get_running_loop().create_future()
                self._awaited.append(future)
                await future

    async def remove(self, service_id: str, check_id: str, token: str) -> None:
        await self._written()
        self.told.append(("-", service_id or check_id, token))
        self.services.pop(service_id, None)
        self.checks.pop(check_id, None)
        for one in [
            one for one in self.checks.values() if service_id and one.service_id == service_id
        ]:
            del self.checks[one.check_id]


class World:
    def __init__(self, check_update_interval: float = 300.0) -> None:
        self.local = Local()
        self.catalog = Catalog()
        self.sync = Sync(
            self.local,
            self.catalog,
            AgentTokens(TOKENS, {}),
            check_update_interval=check_update_interval,
            nodes=lambda: 1,
        )

    def add(self, name: str, *, port: int = 0, **fields: Any) -> None:
        """Register a service with a check; ``fields`` are those of the local entry."""
        override = fields.pop("tag_override", False)
        definition = ServiceDefinition(
            name=name,
            port=port,
            enable_tag_override=override,
            check=CheckDefinition(ttl=Duration(10)),
        )
        made = register_service(definition, "n1")
        self.local.put_service(LocalService(service=made.service, **fields))
        for check, how in made.checks:
            self.local.put_check(LocalCheck(check=check, definition=how))

    def add_node_check(self, name: str) -> None:
        definition = CheckDefinition(name=name, ttl=Duration(10))
        check, how = register_check(definition, "n1", None)
        self.local.put_check(LocalCheck(check=check, definition=how))

    @staticmethod
    async def quiet() -> None:
        """Let everything go on that can."""
        for _ in range(100):
            await asyncio.sleep(0)

    def drop(self, name: str) -> None:
        for check_id in self.local.checks_of(name):
            self.local.drop_check(check_id)
        self.local.drop_service(name)


async def test_a_service_goes_with_its_checks_in_one_write() -> None:
    world = World()
    world.add("web")
    assert await world.sync.settle("web")
    assert world.catalog.told == [("web", ["service:web"], "default")]


@pytest.mark.parametrize(
    ("tokens", "fields", "used"),
    [
        ({}, {}, "default"),
        ({}, {"token": "own"}, "own"),
        ({}, {"source": "config"}, "default"),
        ({"config_file_service_registration": "files"}, {"source": "config"}, "files"),
        ({"config_file_service_registration": "files"}, {"source": "api"}, "default"),
        ({"config_file_service_registration": "files"}, {"source": "config", "token": "o"}, "o"),
    ],
)
async def test_whose_token_registers(
    tokens: dict[str, str], fields: dict[str, Any], used: str
) -> None:
    world = World()
    world.sync = Sync(
        world.local,
        world.catalog,
        AgentTokens(TOKENS | tokens, {}),
        check_update_interval=0,
        nodes=lambda: 1,
    )
    world.add("web", **fields)
    await world.sync.settle("web")
    assert [token for _, _, token in world.catalog.told] == [used]


async def test_whose_token_deregisters() -> None:
    world = World()
    world.add("web")
    world.add("db", token="own")
    await world.sync.settle("web", "db")
    world.catalog.told.clear()
    world.drop("web")
    world.drop("db")
    await world.sync.settle("web", "db")
    assert world.catalog.told == [("-", "web", "agents"), ("-", "db", "own")]


async def test_a_check_follows_its_service_s_token() -> None:
    world = World()
    world.add("web", token="own")
    await world.sync.settle("web")
    world.catalog.told.clear()
    world.sync.result("service:web", PASSING, "")
    await world.quiet()
    assert world.catalog.told == [("", ["service:web"], "own")]


async def test_a_full_comparison_repairs_everything() -> None:
    world = World()
    world.add("web")
    world.add_node_check("disk")
    stranger = register_service(ServiceDefinition(name="stranger"), "n1").service
    servers = register_service(ServiceDefinition(name="consul"), "n1").service
    strange_check, _ = register_check(CheckDefinition(name="odd", ttl=Duration(1)), "n1", None)
    world.catalog.services = {"stranger": stranger, "consul": servers}
    world.catalog.checks = {"odd": strange_check}
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
    assert world.local.checks["service:web"].check.service_tags == ["theirs"]
    assert world.catalog.told == []


async def test_a_failed_write_is_tried_again_by_the_next_comparison() -> None:
    world = World()
    world.add("web")
    world.catalog.refusal = LinkError("No cluster leader")
    assert not await world.sync.settle("web")
    assert not await world.sync.full()
    world.catalog.refusal = None
    assert await world.sync.full()
    assert set(world.catalog.services) == {"web"}


async def test_a_cancelled_write_is_not_taken_for_written() -> None:
    world = World()
    world.add("web")
    world.catalog.open.clear()
    asked = asyncio.create_task(world.sync.settle("web"))
    await world.quiet()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    world.catalog.open.set()
    assert await world.sync.settle("web")
    assert set(world.catalog.services) == {"web"}


async def test_a_denied_write_counts_as_done_until_the_next_comparison() -> None:
    world = World()
    world.add("web")
    world.catalog.refusal = PermissionDeniedError("no")
    assert await world.sync.settle("web")
    assert world.local.services["web"].in_sync
    world.catalog.refusal = None
    assert await world.sync.full()
    assert set(world.catalog.services) == {"web"}


async def test_a_removal_that_fails_is_kept() -> None:
    world = World()
    world.add("web")
    await world.sync.full()
    world.drop("web")
    world.catalog.refusal = LinkError("No cluster leader")
    assert not await world.sync.settle("web")
    world.catalog.refusal = None
    assert await world.sync.full()
    assert world.catalog.services == {}
    assert world.local.behind() == []


async def test_a_later_change_is_not_undone_by_an_earlier_one() -> None:
    world = World()
    world.catalog.open.clear()
    world.add("web", port=1)
    first = asyncio.create_task(world.sync.settle("web"))
    await world.quiet()
    world.add("web", port=2)
    second = asyncio.create_task(world.sync.settle("web"))
    third = asyncio.create_task(world.sync.settle("web"))
    await world.quiet()
    assert world.catalog.writing == 1
    world.catalog.open.set()
    assert all(await asyncio.gather(first, second, third))
    assert world.catalog.services["web"].port == 2
    assert [told[0] for told in world.catalog.told].count("web") == 2  # nothing left for the third


async def test_a_registration_during_the_removal_wins() -> None:
    world = World()
    world.add("web", port=1)
    await world.sync.full()
    world.catalog.open.clear()
    world.drop("web")
    removal = asyncio.create_task(world.sync.settle("web"))
    await world.quiet()
    world.add("web", port=2)
    registration = asyncio.create_task(world.sync.settle("web"))
    await world.quiet()
    world.catalog.open.set()
    await asyncio.gather(removal, registration)
    assert world.catalog.services["web"].port == 2
    assert set(world.catalog.checks) == {"service:web"}
    assert world.local.behind() == []


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("add", "drop", "fail", "status", "pause", "full")),
            st.sampled_from(("a", "b")),
        ),
        max_size=25,
    )
)
async def test_whatever_happens_meanwhile_the_catalog_ends_as_the_local_state(
    steps: list[tuple[str, str]],
) -> None:
    world = World(check_update_interval=0)
    world.catalog.pauses = True
    tasks = []
    for position, (what, name) in enumerate(steps):
        world.catalog.refusal = LinkError("lost") if what == "fail" else None
        if what == "add":
            world.add(name, port=position)
        elif what == "drop" and name in world.local.services:
            world.drop(name)
        elif what == "status":
            world.sync.result(f"service:{name}", PASSING, str(position))
        elif what == "full":
            tasks.append(asyncio.create_task(world.sync.full()))
        elif what == "pause":
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(world.sync.settle(name)))
    world.catalog.refusal = None
    await asyncio.gather(*tasks)
    while world.local.behind():  # what failed
        await world.sync.settle_all()
    await world.quiet()
    here = {key: entry.service for key, entry in world.local.services.items()}
    assert world.catalog.services == here
    statuses = {key: entry.check.output for key, entry in world.local.checks.items()}
    assert {key: check.output for key, check in world.catalog.checks.items()} == statuses


async def test_a_change_of_status_is_told_at_once() -> None:
    world = World()
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", PASSING, "ok")
    await world.quiet()
    assert world.catalog.checks["disk"].status == PASSING


async def test_why_a_new_check_fails_is_told_at_once() -> None:
    world = World()
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", "critical", "full")
    await world.quiet()
    assert world.catalog.checks["disk"].output == "full"
    world.sync.result("disk", "critical", "still full")
    await world.quiet()
    assert world.catalog.checks["disk"].output == "full"


async def test_a_change_of_output_alone_waits() -> None:
    world = World()
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", PASSING, "ok")
    await world.quiet()
    world.sync.result("disk", PASSING, "still ok")
    await world.quiet()
    assert world.catalog.checks["disk"].output == "ok"
    assert world.local.checks["disk"].check.output == "still ok"
    await world.sync.full()  # does not hurry it either
    assert world.catalog.checks["disk"].output == "ok"
    world.sync.result("disk", "critical", "gone")
    await world.quiet()
    assert world.catalog.checks["disk"].output == "gone"


async def test_output_that_waited_is_told_in_the_end() -> None:
    world = World(check_update_interval=0.01)
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", "critical", "words")
    await world.quiet()
    world.sync.result("disk", "critical", "new words")
    await world.catalog.told_of("new words")


async def test_output_is_told_at_once_without_an_interval() -> None:
    world = World(check_update_interval=0)
    world.add_node_check("disk")
    await world.sync.full()
    world.sync.result("disk", "critical", "new words")
    await world.quiet()
    assert world.catalog.checks["disk"].output == "new words"


async def test_a_catalog_that_refuses_is_not_asked_without_pause() -> None:
    world = World()
    world.add("web")
    world.catalog.refusal = LinkError("No cluster leader")
    running = asyncio.create_task(world.sync.run())
    for _ in range(1000):
        await asyncio.sleep(0)
    running.cancel()
    assert world.catalog.asked == 1


@pytest.mark.parametrize(
    ("nodes", "seconds"), [(1, 60), (128, 60), (129, 120), (256, 120), (512, 180), (8192, 420)]
)
def test_comparisons_are_rarer_in_large_clusters(nodes: int, seconds: float) -> None:
    assert interval_of(nodes) == seconds


def test_failures_are_followed_by_longer_pauses() -> None:
    assert [retry_of(failures) for failures in (1, 2, 3, 4, 5, 6, 50)] == [1, 2, 4, 8, 15, 15, 15]


def test_tokens_of_the_configuration_and_of_the_api() -> None:
    tokens = AgentTokens(TOKENS, {"dns": "kept"})
    assert (tokens.of_agent(), tokens.of_dns()) == ("agents", "kept")
    tokens.set("agent", "set", keep=False)
    tokens.set("default", "set", keep=True)
    tokens.reconfigure(TOKENS | {"dns": "new", "default": "new"})
    # Kept ones stay; what the configuration did not change stays too.
    assert (tokens["agent"], tokens["default"], tokens["dns"]) == ("set", "set", "kept")
    assert tokens.kept() == {"dns": "kept", "default": "set"}
    tokens.reconfigure(TOKENS | {"agent": "new"})
    assert tokens.of_agent() == "new"
    tokens.set("agent", "", keep=False)
    assert tokens.of_agent() == "set"  # the default
