"""Anti-entropy end to end: whatever happens to the catalog, it ends as the agent says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from portway.agent import sync
from portway.agent.api import agent_routes
from portway.agent.config import load
from portway.agent.logs import Log
from portway.agent.own_api import Answer, OwnApi
from portway.agent.runtime import Runtime
from portway.discovery.api import App, Context, all_routes
from portway.discovery.checks import reaper, validation
from portway.store import StoreFullError
from tests.patience import until

MANAGEMENT = "11111111-2222-4333-8444-555555555555"


class World:
    """An agent in this process, asked by its API."""

    def __init__(self, runtime: Runtime, log: list[dict[str, Any]]) -> None:
        async def reload() -> None:
            raise AssertionError("nobody reloads")

        context = Context(runtime.server, runtime.resolver, runtime.settings)
        self.runtime = runtime
        self.log = log
        self.token = ""
        app = App((*all_routes(), *agent_routes(runtime, reload)), context)
        self._api = OwnApi(app, lambda: self.token)

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return await self._api.call(method, path, list(query.items()), data)

    async def done(self, path: str, body: Any = None, **query: str) -> None:
        answer = await self.call("PUT", path, body, **query)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body.decode()}"

    async def json(self, path: str, **query: str) -> Any:
        answer = await self.call("GET", path, **query)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body.decode()}"
        return json.loads(answer.body)

    def catalog(self) -> dict[str, int]:
        """ID → port of the catalog's services on this node."""
        host = self.runtime.server.state.catalog.host("n1")
        instances = {} if host is None else host.instances
        return {key: one.service.port for key, one in sorted(instances.items()) if key != "consul"}

    def checks(self) -> dict[str, tuple[str, str]]:
        """ID → status and output of the catalog's checks on this node."""
        host = self.runtime.server.state.catalog.host("n1")
        assert host is not None
        return {
            key: (check.status, check.output)
            for key, check in sorted(host.checks.items())
            if key != "serfHealth"
        }

    def local(self) -> dict[str, int]:
        services = self.runtime.local.services
        return {key: entry.service.port for key, entry in sorted(services.items())}

    def logged(self, text: str) -> int:
        return sum(text in line["@message"] for line in self.log)


Start = Callable[..., Awaitable[World]]


@asynccontextmanager
async def world(*argv: str, **config: Any) -> AsyncIterator[World]:
    log = Log("DEBUG")
    log.install()
    lines: list[dict[str, Any]] = []
    log.sinks.append(lambda severity, fields: lines.append(fields))
    arguments = argv or ("-dev",)
    loaded = load([*arguments, "-node=n1", "-hcl", json.dumps(config)])
    runtime = Runtime(loaded.config, log)
    await runtime.start()
    try:
        yield World(runtime, lines)
    finally:
        await runtime.stop()
        structlog.reset_defaults()


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def test_a_service_that_was_taken_out_of_the_catalog_comes_back(here: World) -> None:
    await here.done("agent/service/register", {"Name": "web", "Port": 1, "Check": {"TTL": "1h"}})
    await here.done("catalog/deregister", {"Node": "n1", "ServiceID": "web"})
    assert here.catalog() == {}
    assert await here.runtime.sync.full()
    assert here.catalog() == {"web": 1}
    assert set(here.checks()) == {"service:web"}


async def test_what_the_agent_does_not_know_goes(here: World) -> None:
    foreign = {"Node": "n1", "Address": "127.0.0.1", "Service": {"Service": "foreign", "Port": 1}}
    check = {"Name": "strange", "Status": "passing"}
    await here.done("catalog/register", foreign | {"Check": check})
    elsewhere = {"Node": "n2", "Address": "10.0.0.2", "Service": {"Service": "theirs"}}
    await here.done("catalog/register", elsewhere)
    assert await here.runtime.sync.full()
    assert here.catalog() == {}
    assert here.checks() == {}
    found = await here.json("catalog/services")
    assert found == {"consul": [], "theirs": []}
    assert "serfHealth" in [check["CheckID"] for check in await here.json("health/node/n1")]


async def test_the_node_comes_back_with_everything_on_it(here: World) -> None:
    await here.done("agent/service/register", {"Name": "web", "Port": 1})
    await here.done("catalog/deregister", {"Node": "n1"})
    assert here.catalog() == {}
    assert await here.runtime.sync.full()
    assert here.catalog() == {"web": 1}
    checks = await here.json("health/node/n1")
    assert [(check["CheckID"], check["Status"]) for check in checks] == [("serfHealth", "passing")]
    assert "consul" in await here.json("catalog/services")


async def test_a_restored_snapshot_is_corrected_by_itself(here: World) -> None:
    empty = await here.call("GET", "snapshot")
    await here.done("agent/service/register", {"Name": "web", "Port": 1})
    answer = await here._api.call("PUT", "snapshot", (), empty.body)
    assert answer.status == 200
    await until(lambda: here.catalog() == {"web": 1}, "the service in the restored catalog")


async def test_tags_of_the_catalog_win_where_the_service_says_so(here: World) -> None:
    body = {"Name": "web", "Tags": ["mine"], "EnableTagOverride": True, "Check": {"TTL": "1h"}}
    await here.done("agent/service/register", body)
    changed = {"ID": "web", "Service": "web", "Tags": ["theirs"], "EnableTagOverride": True}
    node = {"Node": "n1", "Address": "127.0.0.1"}
    await here.done("catalog/register", node | {"Service": changed})
    await here.runtime.sync.full()
    assert (await here.json("agent/service/web"))["Tags"] == ["theirs"]
    assert (await here.json("catalog/service/web"))[0]["ServiceTags"] == ["theirs"]
    assert (await here.json("agent/checks"))["service:web"]["ServiceTags"] == ["theirs"]
    # Another field is put right, and the tags stay.
    await here.done("catalog/register", node | {"Service": changed | {"Port": 99}})
    await here.runtime.sync.full()
    shown = (await here.json("catalog/service/web"))[0]
    assert (shown["ServiceTags"], shown["ServicePort"]) == (["theirs"], 0)


async def test_tags_of_a_client_are_not_lost_while_the_store_refuses(here: World) -> None:
    body = {"Name": "web", "Tags": ["old"], "EnableTagOverride": True}
    await here.done("agent/service/register", body)
    commit = here.runtime.store.commit

    async def full(conditions: Any, operations: Any) -> Any:
        raise StoreFullError("there is no room")

    here.runtime.store.commit = full  # type: ignore[method-assign]
    await here.done("agent/service/register", body | {"Tags": ["new"]})
    here.runtime.store.commit = commit  # type: ignore[method-assign]
    await here.runtime.sync.full()
    assert (await here.json("catalog/service/web"))[0]["ServiceTags"] == ["new"]
    assert (await here.json("agent/service/web"))["Tags"] == ["new"]


async def test_output_alone_waits_and_a_status_does_not(here: World) -> None:
    await here.done("agent/check/register", {"Name": "ttl", "TTL": "1h"})
    await here.done("agent/check/pass/ttl", note="one")
    assert here.checks() == {"ttl": ("passing", "one")}
    await here.done("agent/check/pass/ttl", note="two")
    await here.runtime.sync.full()
    assert here.checks() == {"ttl": ("passing", "one")}
    assert (await here.json("agent/checks"))["ttl"]["Output"] == "two"
    await here.done("agent/check/warn/ttl", note="three")
    assert here.checks() == {"ttl": ("warning", "three")}


async def test_output_is_told_in_the_end() -> None:
    async with world(check_update_interval="50ms") as here:
        await here.done("agent/check/register", {"Name": "ttl", "TTL": "1h", "Status": "passing"})
        await here.done("agent/check/pass/ttl", note="one")
        await until(lambda: here.checks() == {"ttl": ("passing", "one")}, "the output")


async def test_many_registrations_at_once_end_the_same_everywhere(tmp_path: Path) -> None:
    """200 clients register and deregister five services, each with a check, all at once."""
    async with world("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1") as here:
        dice = random.Random(1)

        async def client(number: int) -> None:
            name = f"s{number % 5}"
            if dice.random() < 0.3:
                await here.call("PUT", f"agent/service/deregister/{name}")
            sidecar: Any = {"SidecarService": {}} if number % 2 else None
            body = {"Name": name, "Port": number + 1, "Check": {"TTL": "1h"}, "Connect": sidecar}
            await here.done("agent/service/register", body)
            if dice.random() < 0.3:
                await here.call("PUT", f"agent/check/pass/service:{name}")
            if dice.random() < 0.3:
                await here.call("PUT", f"agent/service/deregister/{name}")

        await asyncio.gather(*(client(number) for number in range(200)))
        assert here.catalog() == here.local()

        def statuses() -> dict[str, tuple[str, str]]:
            checks = here.runtime.local.checks
            return {key: (its.check.status, its.check.output) for key, its in checks.items()}

        await until(
            lambda: here.checks() == statuses() and here.runtime.local.behind() == [],
            "checks that ran meanwhile to be told of",
        )
        ports = [port for name, port in here.local().items() if name.endswith("-sidecar-proxy")]
        assert len(ports) == len(set(ports)), "sidecars have ports of their own"
        services, checks = here.local(), set(statuses())
    async with world("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1") as here:
        assert here.local() == services, "and so does the disk"
        assert set(here.runtime.local.checks) == checks


async def test_a_store_without_room_loses_nothing_and_heals(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_PAUSE", 0.05)
    await here.done("agent/service/register", {"Name": "old", "Port": 1, "Check": {"TTL": "1h"}})
    store = here.runtime.store
    commit = store.commit

    async def full(conditions: Any, operations: Any) -> Any:
        raise StoreFullError("there is no room")

    store.commit = full  # type: ignore[method-assign]
    # The agent's own state is what counts: the calls succeed.
    await here.done("agent/service/register", {"Name": "new", "Port": 2, "Check": {"TTL": "1h"}})
    await here.done("agent/service/register", {"Name": "old", "Port": 3})
    await here.done("agent/check/pass/service:old", note="fine")
    await here.done("agent/service/register", {"Name": "brief", "Port": 4})
    await here.done("agent/service/deregister/brief")
    refused = await here.call("PUT", "kv/k", "v")
    assert (refused.status, b"there is no room" in refused.body) == (500, True)
    assert here.catalog() == {"old": 1}
    assert here.local() == {"new": 2, "old": 3}
    assert here.logged("Syncing failed") > 0
    store.commit = commit  # type: ignore[method-assign]
    await until(lambda: here.catalog() == {"new": 2, "old": 3}, "the catalog")
    await until(lambda: here.checks()["service:old"] == ("passing", "fine"), "the check")
    await until(lambda: here.runtime.local.behind() == [], "everything")


async def test_a_disk_that_refuses_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with world("-server", "-bootstrap", f"-data-dir={tmp_path}", "-bind=127.0.0.1") as here:
        await here.done("agent/service/register", {"Name": "old", "Port": 1})
        services = tmp_path / "services"
        moved = services.rename(tmp_path / "aside")
        services.write_text("no directory")
        for path, body in (
            ("agent/service/register", {"Name": "new", "Port": 2}),
            ("agent/service/register", {"Name": "old", "Port": 3}),
        ):
            refused = await here.call("PUT", path, body)
            assert refused.status == 500
            assert b"cannot be kept in the data directory" in refused.body
        assert here.local() == here.catalog() == {"old": 1}
        services.unlink()
        moved.rename(services)
        await here.done("agent/service/register", {"Name": "old", "Port": 3})
        assert here.catalog() == {"old": 3}


async def test_a_service_that_is_critical_for_too_long_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reaper, "SWEEP_INTERVAL", 0.05)
    monkeypatch.setattr(validation, "MIN_DEREGISTER_AFTER", 0.01)
    async with world() as here:
        after = "10ms"
        checks: dict[str, dict[str, str]] = {
            "bad": {"TTL": "1h", "DeregisterCriticalServiceAfter": after},
            "fine": {"TTL": "1h", "DeregisterCriticalServiceAfter": after, "Status": "passing"},
            "patient": {"TTL": "1h", "DeregisterCriticalServiceAfter": "1h"},
            "for-ever": {"TTL": "1h"},
        }
        for name, check in checks.items():
            sidecar: Any = {"SidecarService": {}} if name == "bad" else None
            body = {"Name": name, "Port": 1, "Check": check, "Connect": sidecar}
            await here.done("agent/service/register", body)
            await here.done(f"agent/check/{'pass' if name == 'fine' else 'fail'}/service:{name}")
        await until(lambda: "bad" not in here.catalog(), "its removal")
        await until(lambda: set(here.local()) == {"fine", "patient", "for-ever"}, "the rest")
        assert set(here.catalog()) == {"fine", "patient", "for-ever"}
        await here.done("agent/check/fail/service:fine")
        await until(lambda: set(here.catalog()) == {"patient", "for-ever"}, "the second")
        assert here.logged("Deregistered service after its check was critical") == 2


ACL = {"enabled": True, "default_policy": "deny"}


def acl(**tokens: str) -> dict[str, Any]:
    return {"acl": ACL | {"tokens": {"initial_management": MANAGEMENT, **tokens}}}


async def test_without_a_token_registrations_are_denied_and_tried_again() -> None:
    """The configuration's own service: local at once, in the catalog when it may be."""
    service = {"service": {"name": "web", "port": 1, "check": {"ttl": "1h"}}}
    async with world(**acl(), **service) as here:
        await until(lambda: here.logged("Registration blocked by ACLs") > 0, "a denial")
        assert (here.local(), here.catalog()) == ({"web": 1}, {})
        await here.runtime.sync.full()
        assert here.logged("Registration blocked by ACLs") > 1
        here.token = MANAGEMENT
        # The servers' own service and node need no token.
        assert set(await here.json("catalog/services")) == {"consul"}
        await here.done("agent/token/default", {"Token": MANAGEMENT})
        await here.runtime.sync.full()
        assert here.catalog() == {"web": 1}
        assert set(here.checks()) == {"service:web"}
        assert not [line for line in here.log if MANAGEMENT in str(line)], "no secret in the log"


@pytest.mark.parametrize("kind", ["default", "config_file_service_registration"])
async def test_tokens_of_the_configuration_register_its_services(kind: str) -> None:
    service = {"service": {"name": "web", "port": 1}}
    async with world(**acl(**{kind: MANAGEMENT}), **service) as here:
        await until(lambda: here.catalog() == {"web": 1}, "the service")


async def test_the_agent_s_token_removes_but_does_not_register() -> None:
    service = {"service": {"name": "web", "port": 1}}
    async with world(**acl(agent=MANAGEMENT), **service) as here:
        await until(lambda: here.logged("Registration blocked by ACLs") > 0, "a denial")
        here.token = MANAGEMENT
        foreign = {"Service": "foreign", "ID": "foreign"}
        node = {"Node": "n1", "Address": "127.0.0.1"}
        await here.done("catalog/register", node | {"Service": foreign})
        await here.runtime.sync.full()
        assert here.catalog() == {}


async def test_a_registration_is_synced_with_the_token_it_came_with() -> None:
    async with world(**acl()) as here:
        here.token = MANAGEMENT
        policy = {"Name": "web", "Rules": 'service "web" { policy = "write" }'}
        await here.done("acl/policy", policy)
        made = await here.call("PUT", "acl/token", {"Policies": [{"Name": "web"}]})
        own = json.loads(made.body)
        here.token = own["SecretID"]
        await here.done(
            "agent/service/register", {"Name": "web", "Port": 1, "Check": {"TTL": "1h"}}
        )
        await here.done("agent/check/pass/service:web")
        assert here.catalog() == {"web": 1}
        assert here.checks() == {"service:web": ("passing", "")}
        for body in (
            {"Name": "db"},
            {"Name": "web", "Connect": {"SidecarService": {}}},
            {"Name": "web", "Kind": "connect-proxy", "Proxy": {"DestinationServiceName": "db"}},
        ):
            refused = await here.call("PUT", "agent/service/register", {"Port": 2} | body)
            assert refused.status == 403
            assert own["AccessorID"].encode() in refused.body
        assert here.local() == {"web": 1}
        # The token ends; what it registered stays until somebody else takes it away.
        here.token = MANAGEMENT
        await here.call("DELETE", f"acl/token/{own['AccessorID']}")
        await here.done("catalog/deregister", {"Node": "n1", "ServiceID": "web"})
        await here.runtime.sync.full()
        assert (here.local(), here.catalog()) == ({"web": 1}, {})
        assert here.logged("Registration blocked by ACLs") > 0
        assert not [line for line in here.log if own["SecretID"] in str(line)]


async def test_the_recovery_token_manages_the_agent() -> None:
    async with world(**acl(agent_recovery="recover-me")) as here:
        here.token = "recover-me"
        assert (await here.json("agent/self"))["Config"]["NodeName"] == "n1"
        await here.done("agent/token/agent_recovery", {"Token": "another"})
        assert (await here.call("GET", "agent/self")).status == 403
        here.token = "another"
        assert (await here.call("GET", "agent/self")).status == 200
        assert (await here.json("catalog/services")) == {}
        assert (await here.call("PUT", "kv/k", "v")).status == 403
