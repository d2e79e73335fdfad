"""loadBalancer services, compiled and carried by a real Envoy."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portway.config.options import Duration, Unsupported
from portway.edge.dynamic import (
    Certificate,
    ForwardingTimeouts,
    HealthCheck,
    LoadBalancer,
    ServersTransport,
)
from portway.edge.dynamic import (
    Server as ServerOptions,
)
from portway.edge.services import load_balancer
from tests.patience import PATIENCE

from .services_harness import Rig, Server, closed_port, eventually

NewServer = Callable[..., Server]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    tmp_path.chmod(0o700)
    rig = Rig(tmp_path)
    yield rig
    rig.stop()


@pytest.fixture
def server() -> Iterator[NewServer]:
    started = []

    def start(name: str, **options: Any) -> Server:
        started.append(Server(name, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def balancer(*servers: Server | str | ServerOptions, **options: Any) -> LoadBalancer:
    def listed(entry: Server | str | ServerOptions) -> ServerOptions:
        if isinstance(entry, ServerOptions):
            return entry
        return ServerOptions(url=entry if isinstance(entry, str) else entry.url())

    return LoadBalancer(servers=[listed(entry) for entry in servers], **options)


def serve(
    rig: Rig,
    options: LoadBalancer,
    transport: ServersTransport | None = None,
    **start: Any,
) -> None:
    assert load_balancer.problems(options) == []
    rig.set(load_balancer.compile("svc", options, transport))
    needs = load_balancer.route_needs(options, *([transport] if transport else []))
    rig.start(needs, **start)
    eventually(rig.active, "the cluster is usable")


def who_answers(rig: Rig, requests: int) -> Counter[str]:
    return Counter(rig.get().body for _ in range(requests))


class TestBalancing:
    def test_requests_follow_the_weights(self, rig: Rig, server: NewServer) -> None:
        a, b, c = server("a"), server("b"), server("c")
        serve(
            rig,
            balancer(
                ServerOptions(url=a.url(), weight=3),
                ServerOptions(url=b.url()),
                ServerOptions(url=c.url(), weight=0),
            ),
        )
        assert who_answers(rig, 80) == {"a": 60, "b": 20}

    def test_a_server_that_comes_or_goes_changes_only_the_endpoints(
        self, rig: Rig, server: NewServer
    ) -> None:
        a, b = server("a"), server("b")
        serve(rig, balancer(a))
        assert who_answers(rig, 4) == {"a": 4}
        both = load_balancer.compile("svc", balancer(a, b))
        assert both.cluster == load_balancer.compile("svc", balancer(a)).cluster
        rig.set(both)
        eventually(lambda: len(who_answers(rig, 4)) == 2, "the new server is used")
        rig.set(load_balancer.compile("svc", balancer(b)))
        eventually(lambda: who_answers(rig, 4) == {"b": 4}, "the old server is not used")

    @pytest.mark.parametrize("strategy", ["p2c", "leasttime"])
    def test_the_least_busy_server_is_preferred(
        self, rig: Rig, server: NewServer, strategy: str
    ) -> None:
        busy, idle = server("busy"), server("idle")
        serve(rig, balancer(busy, idle, strategy=strategy))
        busy.go_on.clear()
        with futures.ThreadPoolExecutor(40) as pool:
            waiting = []
            while sum(seen.path == "/wait" for seen in busy.seen) < 3:
                waiting.append(pool.submit(rig.get, "/wait"))
                futures.wait(waiting, timeout=0.1)
            answered = who_answers(rig, 320)
            busy.go_on.set()
        # Two servers drawn at random are both the busy one in a quarter of the cases.
        assert answered["idle"] > 200

    def test_hrw_keeps_a_client_on_its_server(self, rig: Rig, server: NewServer) -> None:
        servers = [server(name) for name in "abcd"]
        serve(rig, balancer(*servers, strategy="hrw"))
        (mine,) = who_answers(rig, 12)
        others = [one for one in servers if one.name != mine]
        rig.set(load_balancer.compile("svc", balancer(*servers[:2], *others[-1:], strategy="hrw")))
        gone = mine not in {one.name for one in [*servers[:2], *others[-1:]]}
        eventually(lambda: len(rig.hosts()) in (2, 3), "the endpoints are in force")
        assert len(who_answers(rig, 12)) == 1
        assert gone or set(who_answers(rig, 4)) == {mine}

    def test_a_service_without_servers_answers_503(self, rig: Rig) -> None:
        serve(rig, balancer())
        assert rig.get().status == 503

    def test_host_names_are_resolved(self, rig: Rig, server: NewServer) -> None:
        a, b = server("a"), server("b")
        serve(rig, balancer(a.url(host="localhost"), b))
        eventually(lambda: set(who_answers(rig, 6)) == {"a", "b"}, "both servers answer")


class TestRequests:
    def test_the_clients_host_is_passed(self, rig: Rig, server: NewServer) -> None:
        a = server("a")
        serve(rig, balancer(a))
        rig.get()
        assert a.seen[0].headers["Host"] == "site.test"

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_pass_host_header_false_sends_the_servers_authority(
        self, rig: Rig, server: NewServer, host: str
    ) -> None:
        a = server("a")
        serve(rig, balancer(a.url(host=host), pass_host_header=False))
        eventually(lambda: rig.get().status == 200, "the server answers")
        assert a.seen[-1].headers["Host"] == f"{host}:{a.port}"

    def test_preserve_path_puts_the_servers_path_in_front(
        self, rig: Rig, server: NewServer
    ) -> None:
        a = server("a")
        serve(rig, balancer(ServerOptions(url=a.url() + "/base/", preserve_path=True)))
        rig.get("/x?q=1")
        assert a.seen[0].path == "/base/x?q=1"

    def test_header_names_reach_the_server_in_canonical_case(
        self, rig: Rig, server: NewServer
    ) -> None:
        a = server("a")
        serve(rig, balancer(a))
        rig.get(headers={"x-custom-THING": "1"})
        assert {"Host", "X-Custom-Thing", "X-Forwarded-Proto"} <= set(a.seen[0].raw)

    def test_an_answer_that_begins_too_late_is_a_504(self, rig: Rig, server: NewServer) -> None:
        a = server("a")
        timeouts = ForwardingTimeouts(response_header_timeout=Duration(2))
        serve(rig, balancer(a), ServersTransport(forwarding_timeouts=timeouts))
        assert rig.get().status == 200
        a.delay = 6.0
        assert rig.get().status == 504
        eventually(lambda: len(a.seen) > 1, "the server saw it")
        assert len(a.seen) == 2, "it is not sent again"


class TestFailures:
    def test_another_server_is_tried_when_one_refuses(self, rig: Rig, server: NewServer) -> None:
        a = server("a")
        with closed_port() as port:
            serve(rig, balancer(a, f"http://127.0.0.1:{port}"), retry=True)
            assert {rig.get().status for _ in range(30)} == {200}

    def test_a_server_that_refuses_is_set_aside(self, rig: Rig, server: NewServer) -> None:
        a = server("a")
        with closed_port() as port:
            dead = f"127.0.0.1:{port}"
            serve(rig, balancer(a, f"http://{dead}"))
            eventually(
                lambda: rig.get() and rig.hosts()[dead].get("failed_outlier_check"), "it is ejected"
            )
            assert not rig.hosts()[f"127.0.0.1:{a.port}"].get("failed_outlier_check")
            back = Server("back", port=port)
            try:
                eventually(lambda: "back" in who_answers(rig, 4), "it returns")
            finally:
                back.stop()

    def test_a_server_set_aside_is_asked_when_the_others_refuse(self, rig: Rig) -> None:
        with closed_port() as one, closed_port() as two:
            serve(rig, balancer(*(f"http://127.0.0.1:{port}" for port in (one, two))), retry=True)

            def ejected() -> list[int]:
                rig.get()
                hosts = rig.hosts()
                flags = {port: hosts[f"127.0.0.1:{port}"] for port in (one, two)}
                return [port for port, flag in flags.items() if flag.get("failed_outlier_check")]

            (aside,) = eventually(ejected, "one is ejected")
            back = Server("back", port=aside)
            try:
                assert [rig.get().status for _ in range(10)] == [200] * 10
            finally:
                back.stop()

    @pytest.mark.parametrize("count", [1, 2, 3])
    @pytest.mark.parametrize("stats_exclude", ["", "cluster."])
    def test_ejection_leaves_at_least_half_of_the_servers(
        self, rig: Rig, count: int, stats_exclude: str
    ) -> None:
        """Above all a lone server is never ejected: its 502 must not become a 503."""
        with closed_port() as one, closed_port() as two, closed_port() as three:
            urls = [f"http://127.0.0.1:{port}" for port in (one, two, three)][:count]
            serve(rig, balancer(*urls), stats_exclude=stats_exclude)
            for _ in range(60):
                rig.get()
            ejected = [h for h in rig.hosts().values() if h.get("failed_outlier_check")]
            assert len(ejected) <= count // 2

    def test_answers_of_a_server_never_eject_it(self, rig: Rig, server: NewServer) -> None:
        a, b = server("a"), server("b")
        a.health = 503
        serve(rig, balancer(a, b))
        for _ in range(30):
            rig.get("/health")
        assert not any(host.get("failed_outlier_check") for host in rig.hosts().values())


def checked(*servers: Server | str, **options: Any) -> LoadBalancer:
    settings: dict[str, Any] = {"path": "/health", "interval": Duration(0.2)}
    return balancer(*servers, health_check=HealthCheck(**{**settings, **options}))


class TestHealthChecks:
    def test_one_failure_takes_a_server_out_and_one_success_brings_it_back(
        self, rig: Rig, server: NewServer
    ) -> None:
        a, b = server("a"), server("b")
        serve(rig, checked(a, b), stats_exclude="cluster.")
        eventually(lambda: set(who_answers(rig, 4)) == {"a", "b"}, "both are up")
        a.health = 500
        eventually(lambda: who_answers(rig, 6) == {"b": 6}, "a is out")
        b.health = 404
        eventually(lambda: rig.get().status == 503, "nobody is left: no panic routing")
        a.health = 302
        eventually(lambda: who_answers(rig, 6) == {"a": 6}, "a is back")

    def test_an_exact_status_can_be_demanded(self, rig: Rig, server: NewServer) -> None:
        a, b = server("a"), server("b")
        a.health = 201
        serve(rig, checked(a, b, status=201))
        eventually(lambda: who_answers(rig, 6) == {"a": 6}, "only the exact status counts")

    def test_probes_carry_what_was_configured(self, rig: Rig, server: NewServer) -> None:
        a, probed = server("a"), server("probed")
        serve(
            rig,
            checked(
                a,
                path="/health?deep=1",
                port=probed.port,
                method="HEAD",
                hostname="probe.test",
                headers={"X-Probe": "100%", "Host": "ignored"},
            ),
        )
        seen = eventually(lambda: probed.seen, "a probe arrives at the other port")[0]
        assert (seen.method, seen.path) == ("HEAD", "/health?deep=1")
        assert (seen.headers["Host"], seen.headers["X-Probe"]) == ("probe.test", "100%")
        assert rig.get().body == "a"

    def test_probes_say_the_servers_host_by_default(self, rig: Rig, server: NewServer) -> None:
        a = server("a")
        serve(rig, checked(a))
        assert eventually(lambda: a.seen, "a probe")[0].headers["Host"] == f"127.0.0.1:{a.port}"

    def test_servers_begin_up(self, rig: Rig, server: NewServer) -> None:
        """A new service answers before its first probe has: the provisional cluster serves
        until the checked one, which is behind it at once, has its results."""
        a = server("a")
        a.delay = 1.0
        compiled = load_balancer.compile("svc", checked(a))
        rig.set(compiled, provisional=True)
        rig.start()
        statuses = []
        done = threading.Event()

        def load() -> None:
            while not done.is_set():
                statuses.append(rig.get().status)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            rig.set(compiled)
            eventually(lambda: '"interval": "0.200s"' in active_cluster(rig), "checks are active")
        finally:
            done.set()
            thread.join()
        assert statuses
        assert set(statuses) == {200}


def active_cluster(rig: Rig) -> str:
    return rig.admin("/config_dump?resource=dynamic_active_clusters")


class Authority:
    """A certificate authority for one test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._sign(self._name, self._key, [], authority=True)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key files for host names, addresses or URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:60])])
        certificate = self._sign(subject, key, [_general_name(name) for name in names])
        base = self._directory / names[0].replace("/", "_")
        chain, private = base.with_suffix(".crt"), base.with_suffix(".key")
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return chain, private

    def server_context(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


PEER = "spiffe://site.test/backend"


class TestTLS:
    @pytest.mark.parametrize(
        ("names", "host", "options", "status"),
        [
            pytest.param(["localhost"], "localhost", {}, 200, id="name in the url"),
            pytest.param(["127.0.0.1"], "127.0.0.1", {}, 200, id="address in the url"),
            pytest.param(["other.test"], "127.0.0.1", {}, 502, id="another name"),
            pytest.param(["127.0.0.2"], "127.0.0.1", {}, 502, id="another address"),
            pytest.param(
                ["other.test"], "127.0.0.1", {"server_name": "other.test"}, 200, id="serverName"
            ),
            pytest.param(
                ["*.other.test"], "127.0.0.1", {"server_name": "a.other.test"}, 200, id="wildcard"
            ),
            pytest.param(
                ["other.test"],
                "127.0.0.1",
                {"insecure_skip_verify": True, "root_cas": []},
                200,
                id="insecureSkipVerify",
            ),
            pytest.param(["localhost"], "localhost", {"root_cas": []}, 502, id="system roots"),
            pytest.param([PEER], "127.0.0.1", {"peer_cert_uri": PEER}, 200, id="peerCertURI"),
            pytest.param(
                ["127.0.0.1"], "127.0.0.1", {"peer_cert_uri": PEER}, 502, id="peerCertURI missing"
            ),
            pytest.param(
                ["localhost"],
                "localhost",
                {
                    "min_version": Unsupported("VersionTLS12"),
                    "max_version": Unsupported("VersionTLS12"),
                    "cipher_suites": Unsupported(["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]),
                    "disable_http2": True,
                },
                200,
                id="versions and ciphers",
            ),
        ],
    )
    def test_servers_prove_who_they_are(
        self,
        rig: Rig,
        server: NewServer,
        authority: Authority,
        names: list[str],
        host: str,
        options: dict[str, Any],
        status: int,
    ) -> None:
        a = server("a", tls=authority.server_context(*names))
        transport = ServersTransport(**{"root_cas": [authority.pem], **options})
        serve(rig, balancer(a.url("https", host)), transport)
        eventually(rig.hosts, "the server is resolved")
        expected = {503, 502} if status == 502 else {200}  # the listener makes it a 502
        assert rig.get().status in expected
        assert bool(a.seen) == (status == 200)

    def test_server_names_are_sent_and_demanded_per_server(
        self, rig: Rig, server: NewServer, authority: Authority
    ) -> None:
        a = server("a", tls=authority.server_context("localhost"))
        b = server("b", tls=authority.server_context("127.0.0.1"))
        plain = server("plain")
        transport = ServersTransport(root_cas=[authority.pem])
        urls = [a.url("https", "localhost"), b.url("https"), plain.url()]
        serve(rig, balancer(*urls), transport)
        eventually(lambda: len(rig.hosts()) == 3, "all servers are resolved")
        assert who_answers(rig, 9) == {"a": 3, "b": 3, "plain": 3}

    def test_a_client_certificate_is_shown(
        self, rig: Rig, server: NewServer, authority: Authority
    ) -> None:
        context = authority.server_context("127.0.0.1")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
        a = server("a", tls=context)
        chain, key = authority.issue("client.test")
        files = Certificate(cert_file=str(chain), key_file=str(key))
        texts = Certificate(cert_file=chain.read_text(), key_file=key.read_text())
        second = authority.issue("another.test")[0]  # several roots, files and texts mixed
        roots = [str(second), authority.pem]
        serve(
            rig,
            balancer(a.url("https")),
            ServersTransport(root_cas=roots, certificates=[files]),
        )
        assert rig.get().status == 200
        rig.set(
            load_balancer.compile(
                "svc",
                balancer(a.url("https")),
                ServersTransport(root_cas=roots, certificates=[texts]),
            )
        )
        assert rig.get().status == 200

    @pytest.mark.parametrize("probe", ["https", "http"])
    def test_probes_may_use_another_scheme(
        self, rig: Rig, server: NewServer, authority: Authority, probe: str
    ) -> None:
        secure = server("secure", tls=authority.server_context("127.0.0.1"))
        plain = server("plain")
        served, probed = (plain, secure) if probe == "https" else (secure, plain)
        transport = ServersTransport(root_cas=[authority.pem])
        options = checked(
            served.url("http" if probe == "https" else "https"), scheme=probe, port=probed.port
        )
        serve(rig, options, transport)
        eventually(lambda: len(probed.seen) > 2, "probes arrive")
        assert rig.get().body == served.name
        probed.health = 500
        eventually(lambda: rig.get().status == 503, "probes count")


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every unary call with its request, and health checks as told."""

    def __init__(self) -> None:
        self.serving = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if handler_call_details.method == "/grpc.health.v1.Health/Check":
            status = b"\x08\x01" if self.serving else b"\x08\x02"  # SERVING, NOT_SERVING
            return grpc.unary_unary_rpc_method_handler(lambda request, context: status)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


@pytest.fixture
def echo() -> Iterator[tuple[Echo, grpc.Server]]:
    handler = Echo()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(handler,))
    yield handler, server
    server.stop(None)


def call(rig: Rig) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{rig.port}") as channel:
        answer: bytes = channel.unary_unary("/test.Echo/Say")(b"hello", timeout=PATIENCE)
        return answer


class TestHTTP2:
    def test_grpc_reaches_an_h2c_server(self, rig: Rig, echo: tuple[Echo, grpc.Server]) -> None:
        _, server = echo
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        serve(rig, balancer(f"h2c://127.0.0.1:{port}"))
        assert call(rig) == b"hello"

    def test_grpc_reaches_an_https_server_by_alpn(
        self, rig: Rig, echo: tuple[Echo, grpc.Server], authority: Authority
    ) -> None:
        _, server = echo
        chain, key = authority.issue("127.0.0.1")
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        options = balancer(
            f"https://127.0.0.1:{port}",
            health_check=HealthCheck(mode="grpc", scheme="https", interval=Duration(0.2)),
        )
        serve(rig, options, ServersTransport(root_cas=[authority.pem]))
        assert call(rig) == b"hello"

    def test_grpc_health_checks(self, rig: Rig, echo: tuple[Echo, grpc.Server]) -> None:
        handler, server = echo
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        options = balancer(
            f"h2c://127.0.0.1:{port}",
            health_check=HealthCheck(mode="grpc", interval=Duration(0.2)),
        )
        serve(rig, options)
        assert call(rig) == b"hello"
        handler.serving = False

        def refused() -> bool:
            try:
                call(rig)
            except grpc.RpcError as error:
                return bool(error.code() == grpc.StatusCode.UNAVAILABLE)
            return False

        eventually(refused, "a server that does not serve gets no calls")
        handler.serving = True
        eventually(lambda: not refused(), "it is back")


class TestUpgrades:
    @pytest.mark.parametrize("needed", [True, False])
    def test_a_websocket_reaches_a_server_that_prefers_http2(
        self, rig: Rig, authority: Authority, needed: bool
    ) -> None:
        """And it does not when the same cluster is used for everything."""
        context = authority.server_context("127.0.0.1")
        context.set_alpn_protocols(["h2", "http/1.1"])
        chosen: list[str | None] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with context.wrap_socket(connection, server_side=True) as tls:
                    chosen.append(tls.selected_alpn_protocol())
                    if chosen[-1] == "http/1.1":
                        assert b"websocket" in tls.recv(65536).lower()
                        tls.sendall(
                            b"HTTP/1.1 101 Switching Protocols\r\n"
                            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"
                        )
                        tls.recv(1)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=accept, daemon=True).start()
            options = balancer(f"https://127.0.0.1:{listener.getsockname()[1]}")
            transport = ServersTransport(root_cas=[authority.pem])
            rig.set(load_balancer.compile("svc", options, transport))
            needs = load_balancer.route_needs(options, transport)
            assert needs.upgrades
            rig.start(needs._replace(upgrades=needed))
            eventually(rig.active, "the cluster is usable")
            with socket.create_connection(("127.0.0.1", rig.port)) as client:
                client.settimeout(PATIENCE)
                client.sendall(
                    b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\n"
                    b"Upgrade: websocket\r\n\r\n"
                )
                answer = client.recv(65536)
                while needed and not answer.endswith(b"hello"):
                    answer += client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 101") is needed
        assert ("http/1.1" in chosen) is needed
