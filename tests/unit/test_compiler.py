"""The compiler: which resources a change makes, and that it makes no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from portway.edge import services
from portway.edge.aggregate import Aggregator, EntryPointModel
from portway.edge.compile import compiler as compiler_module
from portway.edge.compile import router as router_module
from portway.edge.compile.compiler import Compiler, Delta
from portway.edge.dynamic import HealthCheck, Middleware, Router, ServersTransport, Service
from portway.edge.middlewares import AddPrefix, Headers
from portway.edge.pipeline import Chain
from portway.edge.providers import internal
from portway.edge.providers.provider import Change, Report
from portway.edge.static import API, EntryPoint, Ping, Static
from portway.envoy.messages import COMPOSITE
from portway.envoy.resource import CLUSTER, ENDPOINTS, FILTER, ROUTES, Key, Resource

from .test_aggregate import report, router, service

Chains = Mapping[str, Mapping[str, Chain]]


class Edge:
    """Aggregation and compilation, and what Envoy holds by the pushes so far."""

    def __init__(self, *points: str, inherited: Chains = MappingProxyType({})) -> None:
        names = points or ("web", "traefik")
        self.aggregator = Aggregator([EntryPointModel(name) for name in names])
        self.compiler = Compiler(self.aggregator, dict.fromkeys(names, True))
        self.compiler.inherit(inherited)
        self.held: dict[Key, bytes] = {}
        self.take(self.compiler.update(self.aggregator.apply([])))

    def apply(self, *reports: Report) -> Delta:
        return self.take(self.compiler.update(self.aggregator.apply(reports)))

    def settled(self) -> Delta:
        return self.take(self.compiler.settled())

    def take(self, delta: Delta) -> Delta:
        self.held.update({resource.key: resource.body for resource in delta.changed})
        for key in delta.removed:
            del self.held[key]
        return delta

    def routes(self, host: str = "a.test", point: str = "web") -> dict[str, Route]:
        config = RouteConfiguration.FromString(self.held[Key(ROUTES, point)])
        for found in config.virtual_hosts:
            if found.name == host:
                return {route.name: route for route in found.routes}
        return {}

    def cluster(self, name: str = "s@file") -> Cluster:
        return Cluster.FromString(self.held[Key(CLUSTER, name)])

    def chains(self) -> set[bytes]:
        """Names of all filter chains in all slots."""
        found: set[bytes] = set()
        for key, body in self.held.items():
            if key.type_url == FILTER:
                content = TypedExtensionConfig.FromString(body).typed_config
                assert content.type_url == COMPOSITE
                found |= set(re.findall(rb"[0-9a-f]{24}", content.value))
        return found


def keys(resources: list[Resource]) -> set[tuple[str, str]]:
    return {(resource.key.type_url, resource.key.name) for resource in resources}


MUTATION = Middleware(headers=Headers(custom_request_headers={"X-A": "1"}))
SERVERS = ("http://10.0.0.1", "http://10.0.0.2")


# Proportional to the change


def test_a_server_that_comes_is_one_endpoint_resource() -> None:
    edge = Edge()
    routers: dict[str, Any] = {f"r{n}": router(f"Host(`{n}.test`)") for n in range(300)}
    edge.apply(report("file", s=service(), s2=service(), **routers))
    delta = edge.apply(report(s=service(*SERVERS)))
    assert keys(delta.changed) == {(ENDPOINTS, "s@file")}
    assert delta.removed == []
    (resource,) = delta.changed
    (locality,) = ClusterLoadAssignment.FromString(resource.body).endpoints
    assert len(locality.lb_endpoints) == 2


def test_only_routers_that_changed_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    routers: dict[str, Any] = {f"r{n}": router(f"Host(`{n}.test`)") for n in range(100)}
    edge.apply(report("file", s=service(), **routers))
    compiled = []
    original = router_module.compile_router

    def counting(info: Any, *rest: Any) -> Any:
        compiled.append(info.name)
        return original(info, *rest)

    monkeypatch.setattr(compiler_module, "compile_router", counting)
    edge.apply(report(s=service(*SERVERS)))
    assert compiled == []
    edge.apply(report(r7=router("Host(`7.test`)", priority=3)))
    assert compiled == ["r7@file"]


def test_nothing_is_pushed_for_nothing() -> None:
    edge = Edge()
    edge.apply(report(r=router(middlewares=["m"]), s=service(), m=MUTATION))
    assert edge.apply(report(r=router(middlewares=["m"]), s=service(), m=MUTATION)) == Delta([], [])
    edge.settled()
    assert edge.settled() == Delta([], [])


def test_a_router_that_comes_is_one_route_table() -> None:
    edge = Edge("web", "alt")
    edge.apply(report(r=router(), s=service()))
    delta = edge.apply(report(r2=router("Host(`b.test`)", entry_points=["alt"])))
    assert keys(delta.changed) == {(ROUTES, "alt")}


def test_two_control_processes_make_the_same_resources() -> None:
    reports = [
        report(r=router(middlewares=["m"]), s=service()),
        report(r2=router("Host(`b.test`)", "s2"), m=MUTATION, s2=service("https://10.0.0.3")),
        report(r3=router("PathPrefix(`/`)"), s=service(*SERVERS)),
    ]
    one, other = Edge(), Edge()
    for each in reports:
        one.apply(each)
    other.apply(*reversed(reports[1:]), reports[0], reports[2])
    assert one.held == other.held


# Services and routes


def test_a_router_without_its_service_has_no_route() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service()))
    assert edge.routes()["r@file"].route.cluster == "s@file"
    delta = edge.apply(report(s=None))
    assert delta.removed == [Key(CLUSTER, "s@file"), Key(ENDPOINTS, "s@file")]
    assert edge.routes() == {}
    edge.apply(report(s=service()))
    assert edge.routes()["r@file"].route.cluster == "s@file"


def test_a_router_that_moves_to_another_service_is_one_route_table() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service(), s2=service()))
    delta = edge.apply(report(r=router(service="s2")))
    assert keys(delta.changed) == {(ROUTES, "web")}
    assert edge.routes()["r@file"].route.cluster == "s2@file"


def test_a_service_without_servers_keeps_its_route() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service()))
    empty = Service(load_balancer=services_without_servers())
    delta = edge.apply(report(s=empty))
    assert keys(delta.changed) == {(ENDPOINTS, "s@file")}
    assert "r@file" in edge.routes()


def services_without_servers() -> Any:
    balancer = service().load_balancer
    assert balancer is not None
    return type(balancer)()


def test_servers_that_speak_http2_have_a_second_cluster_for_upgrades() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service("h2c://10.0.0.1")))
    assert set(edge.held) >= {Key(CLUSTER, "s@file"), Key(CLUSTER, "s@file~upgrade")}
    action = edge.routes()["r@file"].route
    assert action.HasField("inline_cluster_specifier_plugin")
    delta = edge.apply(report(s=service("http://10.0.0.1")))
    assert Key(CLUSTER, "s@file~upgrade") in delta.removed
    assert edge.routes()["r@file"].route.cluster == "s@file"
    edge.apply(report(s=service("h2c://10.0.0.1")))
    edge.apply(report(r=None, s=None))
    assert not [key for key in edge.held if key.name.startswith("s@file")]


def test_a_disabled_service_is_no_cluster() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service("nonsense")))
    assert Key(CLUSTER, "s@file") not in edge.held
    assert edge.routes() == {}


def test_the_static_transport_is_that_of_services_that_name_none() -> None:
    edge = Edge()
    insecure = msgspec.structs.replace(Static().servers_transport, insecure_skip_verify=True)
    static = Static(servers_transport=insecure)
    https = {
        "s": service("https://10.0.0.1"),
        "s2": service("https://10.0.0.1", servers_transport="t"),
    }
    edge.apply(report("file", t=ServersTransport(), **https))
    before = edge.cluster("s2@file")
    assert edge.cluster().transport_socket == before.transport_socket
    delta = edge.apply(internal.report(static))
    assert {
        resource.key.name for resource in delta.changed if resource.key.type_url == CLUSTER
    } == {
        "s@file",
        "s@file~upgrade",
    }
    assert edge.cluster("s2@file") == before


def test_a_default_static_transport_changes_nothing() -> None:
    plain, static = Edge(), Edge()
    static.apply(internal.report(Static()))
    for edge in (plain, static):
        edge.apply(report(s=service("https://10.0.0.1"), s2=service()))
    for name in ("s@file", "s@file~upgrade", "s2@file"):
        assert plain.cluster(name) == static.cluster(name)


def test_health_checks_come_when_the_cluster_serves() -> None:
    edge = Edge()
    checked = service(health_check=HealthCheck(path="/health"))
    edge.apply(report(r=router(), s=checked))
    assert not edge.cluster().health_checks
    edge.apply(report(s=service(*SERVERS, health_check=HealthCheck(path="/health"))))
    assert not edge.cluster().health_checks
    delta = edge.settled()
    assert keys(delta.changed) == {(CLUSTER, "s@file")}
    assert edge.cluster().health_checks
    assert edge.settled() == Delta([], [])
    edge.apply(report(s=service(health_check=HealthCheck(path="/other"))))
    assert edge.cluster().health_checks[0].http_health_check.path == "/other"


def test_clusters_for_upgrades_wait_for_their_health_checks_too() -> None:
    edge = Edge()
    edge.apply(report(s=service("h2c://10.0.0.1", health_check=HealthCheck(path="/health"))))
    assert not edge.cluster("s@file~upgrade").health_checks
    edge.settled()
    assert edge.cluster("s@file~upgrade").health_checks


# Internal services


def test_internal_services_answer_without_a_cluster() -> None:
    edge = Edge()
    points = {"web": EntryPoint(address=":80"), "traefik": EntryPoint(address=":8080")}
    edge.apply(internal.report(Static(entry_points=points, api=API(insecure=True), ping=Ping())))
    edge.apply(report(r=router(service="noop@internal")))
    internal_routes = edge.routes("*", "traefik")
    assert internal_routes["ping@internal"].direct_response.status == 200
    assert internal_routes["api@internal"].route.cluster == "portway-api"
    assert edge.routes()["r@file"].direct_response.status == 418
    assert not [key for key in edge.held if key.type_url == CLUSTER]
    edge.compiler.ping_status = 503
    names = edge.aggregator.routers_to("ping@internal")
    edge.take(edge.compiler.update(edge.aggregator.apply([])._replace(routers=names)))
    assert edge.routes("*", "traefik")["ping@internal"].direct_response.status == 503


# Filter chains


def test_chains_are_shared_by_content_and_dropped_when_no_route_names_them() -> None:
    edge = Edge()
    edge.apply(
        report(
            r=router(middlewares=["m"]),
            r2=router("Host(`b.test`)", middlewares=["m2"]),
            s=service(),
            m=MUTATION,
            m2=MUTATION,
        )
    )
    (chain,) = edge.chains()
    edge.settled()
    edge.apply(report(r=None))
    edge.settled()
    assert edge.chains() == {chain}
    edge.apply(report(r2=router("Host(`b.test`)")))
    assert edge.chains() == {chain}, "routes in force may name it until all is accepted"
    edge.settled()
    assert edge.chains() == set()


def test_chains_of_a_predecessor_are_offered_until_routes_are_accepted() -> None:
    old = Edge()
    old.apply(report(r=router(middlewares=["m"]), s=service(), m=MUTATION))
    new = Edge(inherited=old.compiler.chains)
    new.apply(
        report(r=router(), s=service(), m=MUTATION, r2=router(middlewares=["m2"]), m2=MUTATION)
    )
    assert new.chains() == old.chains()
    new.apply(report(r2=None))
    assert new.chains() == old.chains()
    new.settled()
    assert new.chains() == set()


def test_refused_filters_are_expelled_with_their_chains_and_name_their_middlewares() -> None:
    edge = Edge()
    bad = Middleware(headers=Headers(custom_request_headers={"X-B": "2"}))
    edge.apply(
        report(
            r=router(middlewares=["m", "m2"]),
            r2=router("Host(`b.test`)", middlewares=["m"]),
            s=service(),
            m=MUTATION,
            m2=bad,
            m3=bad,
        )
    )
    good, culprit = sorted(
        edge.compiler.suspects("native0"), key=lambda each: b"X-B" in each.SerializeToString()
    )
    assert edge.compiler.expel("native0", [culprit]) == {"m2@file"}
    edge.take(edge.compiler.update(edge.aggregator.refuse("middleware", "m2@file", "no")))
    assert len(edge.chains()) == 1
    assert edge.compiler.suspects("native0") == [good]
    assert edge.routes() == {}
    assert "r2@file" in edge.routes("b.test")
    edge.settled()
    edge.apply(report(m2=MUTATION))
    assert "r@file" in edge.routes()


# Containment


def test_a_router_that_cannot_be_compiled_is_disabled_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = router_module.compile_router

    def failing(info: Any, *rest: Any) -> Any:
        if info.name == "r@file":
            raise ZeroDivisionError("our mistake")
        return original(info, *rest)

    monkeypatch.setattr(compiler_module, "compile_router", failing)
    edge = Edge("web", "alt")
    edge.apply(report(r=router(), r2=router("Host(`b.test`)"), s=service()))
    info = edge.aggregator.runtime.routers["r@file"]
    assert info.status == "disabled"
    assert len(info.errors) == 1
    assert "our mistake" in info.errors[0]
    assert "r2@file" in edge.routes("b.test")


def test_a_rule_with_too_many_alternatives_disables_its_router() -> None:
    edge = Edge("web", "alt")
    many = " && ".join(f"(Header(`X-{n}`, `1`) || Header(`Y-{n}`, `1`))" for n in range(12))
    edge.apply(report(r=router(many), r2=router(), s=service()))
    info = edge.aggregator.runtime.routers["r@file"]
    assert (info.status, len(info.errors)) == ("disabled", 1)
    assert set(edge.routes()) == {"r2@file"}


def test_a_service_that_cannot_be_compiled_is_disabled_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = services.compile_service

    def failing(info: Any, *rest: Any) -> Any:
        if info.name == "s@file":
            raise ZeroDivisionError("our mistake")
        return original(info, *rest)

    monkeypatch.setattr(services, "compile_service", failing)
    edge = Edge()
    edge.apply(report(r=router(), r2=router("Host(`b.test`)", "s2"), s=service(), s2=service()))
    info = edge.aggregator.runtime.services["s@file"]
    assert info.status == "disabled"
    assert "our mistake" in info.errors[0]
    assert Key(CLUSTER, "s2@file") in edge.held
    assert "r2@file" in edge.routes("b.test")


def test_paths_of_servers_come_after_all_middlewares() -> None:
    edge = Edge()
    balancer = service().load_balancer
    assert balancer is not None
    server = type(balancer.servers[0])(url="http://10.0.0.1/base", preserve_path=True)
    with_path = Service(load_balancer=type(balancer)(servers=[server]))
    prefix = Middleware(add_prefix=AddPrefix(prefix="/x"))
    edge.apply(report(r=router(middlewares=["m"]), m=prefix, s=with_path))
    assert edge.routes()["r@file"].typed_per_filter_config["lua0"].value.index(
        b"/x"
    ) < edge.routes()["r@file"].typed_per_filter_config["lua0"].value.index(b"/base")


def test_fresh_routers_are_those_changed_since_everything_was_accepted() -> None:
    edge = Edge("web", "alt")
    edge.apply(report(r=router(entry_points=["web"]), r2=router(), s=service()))
    assert edge.compiler.fresh == {"web": {"r@file", "r2@file"}, "alt": {"r2@file"}}
    edge.settled()
    edge.apply(report(r=router(entry_points=["web"], priority=3), s=service(*SERVERS)))
    assert edge.compiler.fresh == {"web": {"r@file"}, "alt": set()}


def test_a_router_is_not_changed_by_the_fields_that_routes_do_not_show() -> None:
    edge = Edge()
    edge.apply(report(r=router(), s=service()))
    shown = Router(rule="Host(`a.test`)", service="s", entry_points=["web"])
    change = Change("router", "r", shown)
    assert edge.apply(Report("file", [change])) == Delta([], [])
