"""Named filter chains delivered by ECDS and chosen per route, in the real Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)

from portway.envoy.messages import COMPOSITE, composite_extension, pack, run_chain
from portway.envoy.resource import FILTER, Key, Resource

from .envoy_rig import Rig, ads_source, connection, listener, load, private_dir, route_table, site


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with private_dir() as where:
        rig = Rig(where)
        try:
            yield rig
        finally:
            await rig.close()


def slot(name: str) -> hcm_pb2.HttpFilter:
    return hcm_pb2.HttpFilter(
        name=name,
        disabled=True,
        config_discovery=config_source_pb2.ExtensionConfigSource(
            config_source=ads_source(), type_urls=[COMPOSITE]
        ),
    )


def marking(*values: str) -> list[extension_pb2.TypedExtensionConfig]:
    """A chain that answers with these values of the header x-mark."""
    return [
        extension_pb2.TypedExtensionConfig(
            name=f"mark-{value}",
            typed_config=pack(
                header_mutation_pb2.HeaderMutation(
                    mutations=header_mutation_pb2.Mutations(
                        response_mutations=[
                            mutation_rules_pb2.HeaderMutation(
                                append=base_pb2.HeaderValueOption(
                                    header=base_pb2.HeaderValue(key="x-mark", value=value)
                                )
                            )
                        ]
                    )
                )
            ),
        )
        for value in values
    ]


def chains(**named: list[extension_pb2.TypedExtensionConfig]) -> Resource:
    return Resource.of(FILTER, "native0", composite_extension("native0", named))


def table(**chain_of: str) -> Resource:
    """Routes /a, /b, …, each through its chain to service "a"; the rest without one."""
    entries = []
    for name, chain in chain_of.items():
        route = route_components_pb2.Route(
            match=route_components_pb2.RouteMatch(path_separated_prefix=f"/{name}"),
            route=route_components_pb2.RouteAction(cluster="a"),
        )
        route.typed_per_filter_config["native0"].CopyFrom(run_chain(chain))
        entries.append(route)
    entries.append(
        route_components_pb2.Route(
            match=route_components_pb2.RouteMatch(prefix="/"),
            route=route_components_pb2.RouteAction(cluster="a"),
        )
    )
    return route_table("web", entries)


async def marks(port: int, path: str) -> tuple[int, list[str]]:
    """Status and x-mark headers of an answer, sorted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: site\r\nconnection: close\r\n\r\n".encode())
    lines = (await reader.read()).decode().split("\r\n")
    writer.close()
    found = [line.removeprefix("x-mark: ") for line in lines if line.startswith("x-mark: ")]
    return int(lines[0].split()[1]), sorted(found)


async def serve(rig: Rig, *resources: Resource) -> None:
    service = site(rig.port, "a", await rig.backend("one"))[2:]
    await rig.live([listener("web", rig.port, "web", [slot("native0")]), *service, *resources])


async def test_a_route_runs_the_chain_it_names(rig: Rig) -> None:
    await serve(
        rig, chains(one=marking("1"), two=marking("2", "3")), table(a="one", b="two", c="one")
    )
    assert not rig.rejections
    assert await marks(rig.port, "/a") == (200, ["1"])
    assert await marks(rig.port, "/b") == (200, ["2", "3"])
    assert await marks(rig.port, "/c") == (200, ["1"])
    assert await marks(rig.port, "/") == (200, [])


async def test_chains_change_under_load_on_the_same_connection(rig: Rig) -> None:
    await serve(rig, chains(one=marking("0")), table(a="one"))
    async with connection(rig.port) as kept, load(rig.port, path="/a") as seen:
        for turn in range(1, 30):
            await kept("/a", "site")
            await rig.apply([chains(one=marking(str(turn)))])
        assert await kept("/a", "site") == (200, "one")
    assert set(seen) == {"200"}
    assert await marks(rig.port, "/a") == (200, ["29"])


async def test_a_route_is_held_back_until_its_chain_is_accepted(rig: Rig) -> None:
    """Envoy runs no filter at all for a chain name it does not know: that must not be seen."""
    await serve(rig, chains(one=marking("1")), table(a="one"))
    nothing = extension_pb2.TypedExtensionConfig(name="bad", typed_config=pack(base_pb2.Node()))
    await rig.apply([chains(two=[nothing]), table(a="two")])
    assert [(each.type_url, each.names) for each in rig.rejections] == [(FILTER, ("native0",))]
    assert await marks(rig.port, "/a") == (200, ["1"])
    await rig.apply([chains(two=marking("2"))])
    assert await marks(rig.port, "/a") == (200, ["2"])


async def test_a_removed_filter_fails_closed(rig: Rig) -> None:
    await serve(rig, chains(one=marking("1")), table(a="one"))
    await rig.apply([], [Key(FILTER, "native0")])
    assert await marks(rig.port, "/a") == (500, [])
    assert await marks(rig.port, "/") == (200, [])
