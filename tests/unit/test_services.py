"""loadBalancer services: what is accepted, what is said, and what does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from hypothesis import given
from hypothesis import strategies as st

from portway.config.options import Duration, Unsupported
from portway.edge import services
from portway.edge.dynamic import (
    Certificate,
    ForwardingTimeouts,
    HealthCheck,
    LoadBalancer,
    Server,
    ServersTransport,
    Service,
)
from portway.edge.runtime import ServiceInfo, TransportInfo
from portway.edge.services import load_balancer, target, transport
from portway.edge.static import options as static


def balancer(*urls: str, **options: Any) -> LoadBalancer:
    return LoadBalancer(servers=[Server(url=url) for url in urls], **options)


def cluster_of(balancer: LoadBalancer, options: ServersTransport | None = None) -> Cluster:
    return Cluster.FromString(load_balancer.compile("svc@file", balancer, options).cluster.body)


def endpoints_of(balancer: LoadBalancer) -> list[tuple[str, int, int]]:
    """(address, port, weight) of each endpoint, 0 for no weight."""
    compiled = load_balancer.compile("svc@file", balancer)
    assert compiled.endpoints is not None
    assignment = ClusterLoadAssignment.FromString(compiled.endpoints.body)
    return [
        (
            entry.endpoint.address.socket_address.address,
            entry.endpoint.address.socket_address.port_value,
            entry.load_balancing_weight.value,
        )
        for locality in assignment.endpoints
        for entry in locality.lb_endpoints
    ]


class TestServerURLs:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://10.0.0.1", ("http", "10.0.0.1", 80, "10.0.0.1", "", True)),
            ("https://10.0.0.1", ("https", "10.0.0.1", 443, "10.0.0.1", "", True)),
            ("h2c://10.0.0.1", ("h2c", "10.0.0.1", 80, "10.0.0.1", "", True)),
            ("http://10.0.0.1:8080/", ("http", "10.0.0.1", 8080, "10.0.0.1:8080", "/", True)),
            ("HTTP://Web.Test:81/a", ("http", "web.test", 81, "Web.Test:81", "/a", False)),
            ("http://[::1]:81", ("http", "::1", 81, "[::1]:81", "", True)),
            ("http://user:pw@web", ("http", "web", 80, "web", "", False)),
            ("http://1.2.3", ("http", "1.2.3", 80, "1.2.3", "", False)),
        ],
    )
    def test_parts(self, url: str, expected: tuple[Any, ...]) -> None:
        assert target.parse(url) == expected

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("", "scheme is missing"),
            ("10.0.0.1:80", "scheme is missing"),
            ("web:80", "scheme is missing"),
            ("ftp://10.0.0.1", "'ftp' is not one of http, https, h2c"),
            ("http://", "host is missing"),
            ("http://:80", "host is missing"),
            ("http://web:0", "port 0"),
            ("http://web:x", "write it as http://10.0.0.3:8080"),
            ("http://web:99999", "write it as http://10.0.0.3:8080"),
            ("http://[::1", "write it as http://10.0.0.3:8080"),
        ],
    )
    def test_a_bad_url_disables_the_service_and_says_what_would_be_right(
        self, url: str, says: str
    ) -> None:
        (problem,) = load_balancer.problems(balancer(url))
        assert says in problem
        assert repr(url) in problem

    @given(st.text())
    def test_no_text_breaks_the_reader(self, url: str) -> None:
        for problem in load_balancer.problems(balancer(url)):
            assert "write it as" in problem


class TestServers:
    def test_weights(self) -> None:
        servers = [
            Server(url="http://10.0.0.1:1"),
            Server(url="http://10.0.0.2:2", weight=3),
            Server(url="http://10.0.0.3:3", weight=0),
            Server(url="http://10.0.0.4:4", weight=-1),
        ]
        assert endpoints_of(LoadBalancer(servers=servers)) == [
            ("10.0.0.1", 1, 0),
            ("10.0.0.2", 2, 3),
        ]

    def test_p2c_ignores_weights(self) -> None:
        servers = [
            Server(url="http://10.0.0.1:1", weight=9),
            Server(url="http://10.0.0.2", weight=0),
        ]
        found = endpoints_of(LoadBalancer(servers=servers, strategy="p2c"))
        assert found == [("10.0.0.1", 1, 0), ("10.0.0.2", 80, 0)]

    def test_a_server_listed_twice_gets_both_shares(self) -> None:
        servers = [Server(url="http://10.0.0.1:1", weight=2), Server(url="http://10.0.0.1:1/x")]
        assert endpoints_of(LoadBalancer(servers=servers)) == [("10.0.0.1", 1, 3)]

    def test_host_names_are_resolved_by_the_cluster(self) -> None:
        compiled = load_balancer.compile("s", balancer("http://web.test", "http://10.0.0.1"))
        assert compiled.endpoints is None
        cluster = Cluster.FromString(compiled.cluster.body)
        assert cluster.type == Cluster.STRICT_DNS
        assert len(cluster.load_assignment.endpoints[0].lb_endpoints) == 2

    @given(st.lists(st.integers(1, 250), max_size=5), st.lists(st.integers(1, 250), max_size=5))
    def test_the_cluster_does_not_depend_on_which_servers_there_are(
        self, before: list[int], after: list[int]
    ) -> None:
        def compiled(numbers: list[int]) -> services.Compiled:
            urls = [f"http://10.0.0.{number}:80" for number in numbers]
            return load_balancer.compile("svc@docker", balancer(*urls))

        assert compiled(before).cluster == compiled(after).cluster

    def test_equal_configuration_has_equal_versions(self) -> None:
        options = balancer(
            "https://10.0.0.1", health_check=HealthCheck(path="/", headers={"B": "1", "A": "2"})
        )
        again = balancer(
            "https://10.0.0.1", health_check=HealthCheck(path="/", headers={"A": "2", "B": "1"})
        )
        assert load_balancer.compile("s", options) == load_balancer.compile("s", again)


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"middlewares": Unsupported(["auth"])}, "put them on its routers"),
            ({"health_check": HealthCheck()}, "healthCheck.path is empty"),
            ({"health_check": HealthCheck(path="http://x/y")}, "write the path only"),
            ({"health_check": HealthCheck(path="//x/y")}, "write the path only"),
            ({"health_check": HealthCheck(path="/", method="FETCH")}, "'FETCH' is not one of GET"),
            ({"health_check": HealthCheck(path="/", scheme="tcp")}, "'tcp' is not one of http"),
            ({"health_check": HealthCheck(path="/", port=70000)}, "70000 is not a port"),
            ({"health_check": HealthCheck(path="/", status=42)}, "42 is not an HTTP status"),
            ({"health_check": HealthCheck(mode="grpc")}, "give the servers the scheme h2c"),
        ],
    )
    def test_problems_of_options(self, options: dict[str, Any], says: str) -> None:
        (problem,) = load_balancer.problems(balancer("http://10.0.0.1", **options))
        assert says in problem

    def test_h2c_cannot_be_mixed(self) -> None:
        (problem,) = load_balancer.problems(balancer("h2c://10.0.0.1", "http://10.0.0.2"))
        assert problem == "servers mix h2c and http URLs: split them into two services"

    def test_preserved_paths_must_be_equal(self) -> None:
        servers = [
            Server(url="http://10.0.0.1/a/", preserve_path=True),
            Server(url="http://10.0.0.2/b", preserve_path=True),
        ]
        (problem,) = load_balancer.problems(LoadBalancer(servers=servers))
        assert "'/a', '/b'" in problem
        same = [Server(url=f"http://10.0.0.{n}/a", preserve_path=True) for n in (1, 2)]
        assert load_balancer.problems(LoadBalancer(servers=same)) == []
        assert load_balancer.route_needs(LoadBalancer(servers=same)).path_prefix == "/a"

    def test_weights_have_a_largest_sum(self) -> None:
        servers = [Server(url=f"http://10.0.0.{n}", weight=2**31) for n in (1, 2)]
        assert "add up" in load_balancer.problems(LoadBalancer(servers=servers))[0]

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"sticky": Unsupported({"cookie": {}})}, "sticky is not supported yet"),
            ({"passive_health_check": Unsupported({})}, "passiveHealthCheck is not supported yet"),
            ({"strategy": "leasttime"}, "leasttime is not supported yet"),
            ({"health_check": HealthCheck(path="/", interval=Duration(-1))}, "30s is used"),
            (
                {"health_check": HealthCheck(path="/", headers={"host": "x"})},
                "healthCheck.hostname",
            ),
        ],
    )
    def test_warnings(self, options: dict[str, Any], says: str) -> None:
        (warning,) = load_balancer.warnings(balancer("http://10.0.0.1", **options))
        assert says in warning

    def test_mixing_tls_and_plain_servers_costs_http2(self) -> None:
        (warning,) = load_balancer.warnings(balancer("http://10.0.0.1", "https://10.0.0.2"))
        assert "HTTP/1.1" in warning

    def test_a_plain_service_says_nothing(self) -> None:
        plain = balancer("http://10.0.0.1", "http://10.0.0.2")
        assert load_balancer.problems(plain) == load_balancer.warnings(plain) == []

    @pytest.mark.parametrize(
        ("service", "says"),
        [
            (Service(), "no type"),
            (Service(weighted=Unsupported({})), "weighted services are not supported yet"),
            (
                Service(load_balancer=LoadBalancer(), failover=Unsupported({})),
                "loadBalancer and failover",
            ),
        ],
    )
    def test_types_of_services(self, service: Service, says: str) -> None:
        (problem,) = services.problems(service)
        assert says in problem


class TestTransports:
    @pytest.mark.parametrize(
        ("options", "seconds"),
        [
            (ServersTransport(), 1),
            (ServersTransport(forwarding_timeouts=ForwardingTimeouts()), 1),
            (
                ServersTransport(forwarding_timeouts=ForwardingTimeouts(dial_timeout=Duration(7))),
                7,
            ),
            (
                ServersTransport(forwarding_timeouts=ForwardingTimeouts(dial_timeout=Duration(0))),
                86_400,
            ),
        ],
    )
    def test_dial_timeout(self, options: ServersTransport, seconds: int) -> None:
        assert cluster_of(balancer("http://10.0.0.1"), options).connect_timeout.seconds == seconds

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"spiffe": Unsupported({})}, "spiffe"),
            ({"min_version": Unsupported("TLS1.2")}, "'TLS1.2' is not one of VersionTLS10"),
            (
                {
                    "min_version": Unsupported("VersionTLS13"),
                    "max_version": Unsupported("VersionTLS12"),
                },
                "minVersion is above maxVersion",
            ),
            ({"cipher_suites": Unsupported(["AES"])}, "'AES' is not a cipher suite"),
            ({"root_cas": ["/nowhere/ca.pem"]}, "cannot read '/nowhere/ca.pem': No such file"),
            ({"root_cas": [""]}, "rootCAs is empty"),
            (
                {"certificates": [Certificate(cert_file="-----BEGIN CERTIFICATE-----")]},
                "certificates.keyFile is empty",
            ),
            (
                {"root_cas": ["-----BEGIN PRIVATE KEY-----"]},
                "the text holds no PEM block of type CERTIFICATE",
            ),
        ],
    )
    def test_problems(self, options: dict[str, Any], says: str) -> None:
        (problem,) = transport.problems(ServersTransport(**options))
        assert says in problem

    def test_a_key_is_never_repeated_in_a_problem(self, tmp_path: Path) -> None:
        key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
        pair = Certificate(cert_file=key, key_file=key)
        assert "c2VjcmV0" not in " ".join(transport.problems(ServersTransport(certificates=[pair])))

    def test_idle_connections_per_host_are_not_limited_and_that_is_said(self) -> None:
        (warning,) = transport.warnings(ServersTransport(max_idle_conns_per_host=5))
        assert "not honoured" in warning

    def test_the_static_default(self) -> None:
        unset = services.default_transport(static.ServersTransport())
        assert cluster_of(balancer("http://10.0.0.1"), unset).connect_timeout.seconds == 1
        chosen = static.ForwardingTimeouts(dial_timeout=Duration(5))
        options = services.default_transport(static.ServersTransport(forwarding_timeouts=chosen))
        assert cluster_of(balancer("http://10.0.0.1"), options).connect_timeout.seconds == 5

    def test_a_transport_without_provider_is_of_the_services_provider(self) -> None:
        named = ServersTransport(server_name="a.test")
        default = ServersTransport(server_name="default.test")
        transports = {
            "t@docker": TransportInfo("t@docker", named),
            "default@internal": TransportInfo("default@internal", default),
        }

        def used(wanted: str) -> str:
            service = Service(load_balancer=LoadBalancer(servers_transport=wanted))
            return services.transport_of("svc@docker", service, transports).server_name

        assert used("t") == used("t@docker") == "a.test"
        assert used("") == "default.test"


class TestRouteNeeds:
    def test_nothing_by_default(self) -> None:
        needs = load_balancer.route_needs(balancer("http://10.0.0.1/base"))
        assert needs == services.RouteNeeds()

    def test_each_need(self) -> None:
        options = balancer("http://10.0.0.1", pass_host_header=False, strategy="hrw")
        timeouts = ForwardingTimeouts(response_header_timeout=Duration(2))
        needs = load_balancer.route_needs(options, ServersTransport(forwarding_timeouts=timeouts))
        assert needs == services.RouteNeeds(True, True, "", 2.0, False)

    @pytest.mark.parametrize(
        ("url", "options", "separate"),
        [
            ("http://10.0.0.1", {}, False),
            ("h2c://10.0.0.1", {}, True),
            ("https://10.0.0.1", {}, True),
            ("https://10.0.0.1", {"disable_http2": True}, False),
        ],
    )
    def test_upgrades_go_apart_where_http2_may_be_spoken(
        self, url: str, options: dict[str, Any], separate: bool
    ) -> None:
        transport = ServersTransport(**options)
        assert load_balancer.route_needs(balancer(url), transport).upgrades is separate
        compiled = load_balancer.compile("svc@file", balancer(url), transport)
        assert (compiled.upgrades is not None) is separate
        if compiled.upgrades:
            sibling = Cluster.FromString(compiled.upgrades.body)
            assert sibling.name == "svc@file~upgrade"
            assert sibling.eds_cluster_config.service_name == "svc@file"

    def test_services_without_servers_compile(self) -> None:
        info = ServiceInfo("s@file", Service(load_balancer=LoadBalancer()))
        compiled = services.compile_service(info, {})
        assert compiled is not None
        assert compiled.provisional is None


class TestHealthChecks:
    def test_the_first_form_of_a_cluster_has_no_checks(self) -> None:
        compiled = load_balancer.compile(
            "s", balancer("http://10.0.0.1", health_check=HealthCheck(path="/h"))
        )
        assert compiled.provisional is not None
        assert not Cluster.FromString(compiled.provisional.body).health_checks
        (check,) = Cluster.FromString(compiled.cluster.body).health_checks
        assert (check.interval.seconds, check.timeout.seconds) == (30, 5)

    @pytest.mark.parametrize(
        ("options", "down"),
        [
            ({}, 2.0),
            ({"interval": Duration(0.5)}, 0.5),
            ({"unhealthy_interval": Duration(20)}, 20.0),
            ({"unhealthy_interval": Duration(-1)}, 30.0),
        ],
    )
    def test_servers_that_are_down_are_probed_often_unless_told_otherwise(
        self, options: dict[str, Any], down: float
    ) -> None:
        cluster = cluster_of(
            balancer("http://10.0.0.1", health_check=HealthCheck(path="/h", **options))
        )
        interval = cluster.health_checks[0].unhealthy_interval
        assert interval.seconds + interval.nanos / 1e9 == down

    @pytest.mark.parametrize(
        ("url", "path", "probed"),
        [
            ("http://10.0.0.1/base/", "/h?a=1", "/h?a=1"),
            ("http://10.0.0.1/base/", "h", "/base/h"),
            ("http://10.0.0.1", "h", "/h"),
        ],
    )
    def test_paths_are_relative_to_the_servers_url(self, url: str, path: str, probed: str) -> None:
        cluster = cluster_of(balancer(url, health_check=HealthCheck(path=path)))
        assert cluster.health_checks[0].http_health_check.path == probed
