"""The Docker provider against a fake daemon, with real listeners behind its containers."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portway.edge.dynamic import Middleware
from portway.edge.providers.docker import DockerProvider, contribution, inventory, readiness
from portway.edge.providers.docker import provider as tuning
from portway.edge.static import Docker
from portway.edge.static.options import ClientTLS
from tests.integration.fake_docker import FakeContainer, FakeDocker
from tests.integration.provider_harness import Reported, running


class Server:
    """A TCP listener that can be opened and closed on one port."""

    def __init__(self) -> None:
        self.port = 0
        self.stays = False  # whether it holds connections open
        self._server: asyncio.Server | None = None

    async def open(self) -> Server:
        self._server = await asyncio.start_server(self._hang_up, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _hang_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stays:
            await reader.read()
        writer.close()

    def close(self) -> None:
        if self._server:
            self._server.close()
        self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Stage(NamedTuple):
    docker: FakeDocker
    servers: list[Server]

    async def server(self) -> Server:
        self.servers.append(server := await Server().open())
        return server

    def run(self, name: str, server: Server, **labels: str) -> FakeContainer:
        """A container behind ``server`` with a service of its own name."""
        return self.docker.run(name, **_container(server, labels))

    @asynccontextmanager
    async def watched(self, **settings: Any) -> AsyncGenerator[Reported, None]:
        options = Docker(endpoint=self.docker.endpoint, **settings)
        async with running(DockerProvider(options)) as reported:
            yield reported


def _container(server: Server, labels: dict[str, str]) -> dict[str, Any]:
    given = {key.replace("__", "."): value for key, value in labels.items()}
    return {"labels": given, "ip": "127.0.0.1", "ports": [f"{server.port}/tcp"]}


SERVICE = "traefik.http.services.app.loadbalancer.server.port"
RULE = "traefik.http.routers.app.rule"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with FakeDocker(tmp_path / "d.sock") as docker:
        stage = Stage(docker, [])
        yield stage
        for server in stage.servers:
            server.close()


def app(docker: FakeDocker, name: str, server: Server, **options: Any) -> FakeContainer:
    """One of several containers of the service "app"."""
    labels = {SERVICE: str(server.port), RULE: "Host(`app.test`)"}
    return docker.run(name, labels, ip="127.0.0.1", **options)


async def test_the_first_report_holds_what_runs_and_accepts(stage: Stage) -> None:
    one, two = await stage.server(), await stage.server()
    app(stage.docker, "one", one)
    app(stage.docker, "two", two)
    async with stage.watched() as reported:
        assert len(reported.reports) == 1
        assert sorted(reported.urls("app")) == sorted([one.url, two.url])
        assert reported.router("app").rule == "Host(`app.test`)"
        assert reported.problems == []


async def test_a_started_container_joins_when_it_accepts_and_leaves_with_its_stop_signal(
    stage: Stage,
) -> None:
    one, late = await stage.server(), await stage.server()
    late.close()
    app(stage.docker, "one", one)
    async with stage.watched() as reported:
        await stage.docker.followed()
        container = app(stage.docker, "late", late)
        await asyncio.sleep(0.1)
        assert reported.urls("app") == [one.url]
        await late.open()
        await reported.until(lambda: len(reported.urls("app")) == 2)
        asked = len(stage.docker.requests)
        stage.docker.kill(container, 15)
        await reported.until(lambda: reported.urls("app") == [one.url])
        assert len(stage.docker.requests) == asked, "a stop needs no question to the daemon"
        stage.docker.die(container)
        stage.docker.start_again(container)
        await reported.until(lambda: len(reported.urls("app")) == 2)


async def test_objects_stay_until_the_last_container_died(stage: Stage) -> None:
    server = await stage.server()
    container = app(stage.docker, "one", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.kill(container, 15)
        await reported.until(lambda: reported.urls("app") == [])
        assert reported.names("router") == ["app"]
        stage.docker.die(container)
        await reported.until(lambda: not reported.objects)


@pytest.mark.parametrize(
    ("stop_signal", "signal", "leaves"),
    [
        ("", 1, False),
        ("", 10, False),
        ("", 15, True),
        ("", 9, True),
        ("SIGQUIT", 3, True),
        ("", 3, False),
        ("SIGUSR1", 10, True),
        ("37", 37, True),
    ],
)
async def test_only_a_signal_that_stops_withdraws(
    stage: Stage, stop_signal: str, signal: int, leaves: bool
) -> None:
    server, other = await stage.server(), await stage.server()
    container = app(stage.docker, "one", server, stop_signal=stop_signal)
    witness = app(stage.docker, "two", other)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.kill(container, signal)
        stage.docker.kill(witness, 9)  # events are in order: when this one shows, both were seen
        await reported.until(lambda: other.url not in reported.urls("app"))
        assert (server.url not in reported.urls("app")) is leaves


async def test_a_container_that_ignores_its_stop_signal_returns(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "IGNORED_SIGNAL_AFTER", 0.2)
    server = await stage.server()
    container = app(stage.docker, "one", server, stop_timeout=0.1)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.kill(container, 15)
        await reported.until(lambda: reported.urls("app") == [])
        await reported.until(lambda: reported.urls("app") == [server.url])


async def test_pause_withdraws_and_unpause_returns(stage: Stage) -> None:
    server = await stage.server()
    container = app(stage.docker, "one", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.set_paused(container, True)
        await reported.until(lambda: reported.urls("app") == [])
        assert reported.names("service") == ["app"]
        stage.docker.set_paused(container, False)
        await reported.until(lambda: reported.urls("app") == [server.url])


async def test_health_decides_without_waiting_for_a_port(stage: Stage) -> None:
    closed = await stage.server()
    closed.close()
    container = app(stage.docker, "one", closed, health="starting")
    async with stage.watched() as reported:
        await stage.docker.followed()
        assert not reported.objects
        stage.docker.set_health(container, "healthy")
        await reported.until(lambda: reported.urls("app") == [closed.url])
        stage.docker.set_health(container, "unhealthy")
        await reported.until(lambda: not reported.objects)


async def test_allow_empty_services_keeps_unhealthy_containers_without_server(
    stage: Stage,
) -> None:
    server = await stage.server()
    app(stage.docker, "one", server, health="unhealthy")
    async with stage.watched(allow_empty_services=True) as reported:
        assert reported.urls("app") == []
        assert reported.names("router") == ["app"]


async def test_allownonrunning_keeps_the_service_without_server(stage: Stage) -> None:
    server = await stage.server()
    labels = {"traefik.docker.allownonrunning": "true", SERVICE: str(server.port)}
    container = stage.docker.run("one", labels, ip="127.0.0.1")
    async with stage.watched() as reported:
        await stage.docker.followed()
        assert reported.urls("app") == [server.url]
        stage.docker.die(container)
        await reported.until(lambda: reported.urls("app") == [])
        assert reported.names("router") == ["one"]
        stage.docker.remove(container)
        await reported.until(lambda: not reported.objects)
        stage.docker.run("two", labels, ip="127.0.0.1", status="created")
        await reported.until(lambda: reported.names("router") == ["two"])


async def test_conflicting_definitions_disable_the_object_for_everybody_and_heal(
    stage: Stage,
) -> None:
    server = await stage.server()
    app(stage.docker, "one", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        labels = {SERVICE: str(server.port), RULE: "Host(`other.test`)"}
        other = stage.docker.run("two", labels, ip="127.0.0.1")
        await reported.until(lambda: reported.errors("router", "app"))
        error = reported.errors("router", "app")
        assert error.startswith("HTTP router defined multiple times with different configurations")
        assert "'one'" in error
        assert "'two'" in error
        assert "rule" in error
        assert not reported.errors("service", "app")
        stage.docker.die(other)
        await reported.until(lambda: not reported.errors("router", "app"))


async def test_a_container_on_its_way_out_does_not_conflict_with_its_replacement(
    stage: Stage,
) -> None:
    server, other = await stage.server(), await stage.server()
    old = app(stage.docker, "old", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.kill(old, 15)
        labels = {SERVICE: str(other.port), RULE: "Host(`new.test`)"}
        stage.docker.run("new", labels, ip="127.0.0.1")
        await reported.until(lambda: reported.router("app").rule == "Host(`new.test`)")
        assert not reported.errors("router", "app")


async def test_a_broken_label_disables_what_it_names_and_nothing_else(stage: Stage) -> None:
    server = await stage.server()
    labels = {
        SERVICE: str(server.port),
        RULE: "Host(`app.test`)",
        "traefik.http.routers.app.service": "app",
        "traefik.http.routers.bad.rule": "Host(`bad.test`)",
        "traefik.http.routers.bad.service": "app",
        "traefik.http.routers.bad.prioritee": "7",
        "traefik.http.middlewares.add.addprefix.prefix": "/x",
    }
    stage.docker.run("one", labels, ip="127.0.0.1")
    async with stage.watched() as reported:
        assert "prioritee" in reported.errors("router", "bad")
        assert "priority" in reported.errors("router", "bad")
        assert not reported.errors("router", "app")
        assert reported.urls("app") == [server.url]
        assert isinstance(reported.objects["middleware", "add"].value, Middleware)


async def test_a_missing_port_is_shown_on_the_service(stage: Stage) -> None:
    stage.docker.run("one", {RULE: "Host(`app.test`)"}, ports=[])
    async with stage.watched() as reported:
        assert "port is missing" in reported.errors("service", "one")
        assert reported.router("app").service == "one"


async def test_rename_moves_the_default_objects(stage: Stage) -> None:
    server = await stage.server()
    container = stage.run("one", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        stage.docker.rename(container, "uno")
        await reported.until(lambda: reported.names("router") == ["uno"])
        assert reported.router("uno").rule == "Host(`uno`)"
        assert reported.names("service") == ["uno"]


async def test_connecting_to_the_wanted_network_changes_the_address(stage: Stage) -> None:
    server = await stage.server()
    labels = {SERVICE: str(server.port), "traefik.docker.network": "edge"}
    container = stage.docker.run("one", labels, networks={"inner": "127.0.0.2"})
    async with stage.watched() as reported:
        await stage.docker.followed()
        assert any("'edge'" in problem for problem in reported.problems)
        stage.docker.connect(container, "edge", "127.0.0.1")
        await reported.until(lambda: reported.urls("app") == [server.url])
        assert reported.problems == []


async def test_a_container_in_anothers_network_has_its_address(stage: Stage) -> None:
    server = await stage.server()
    host = stage.docker.run("host", {"traefik.enable": "false"}, ip="127.0.0.1")
    labels = {SERVICE: str(server.port)}
    mode = f"container:{host.id}"
    stage.docker.run("guest", labels, networks={}, network_mode=mode)
    async with stage.watched() as reported:
        assert reported.urls("app") == [server.url]


async def test_a_server_url_is_taken_as_it_is(stage: Stage) -> None:
    url = "http://10.255.255.1:9"
    stage.docker.run("one", {"traefik.http.services.app.loadbalancer.server.url": url})
    async with stage.watched() as reported:
        assert reported.urls("app") == [url]


async def test_only_wanted_containers_are_inspected(stage: Stage) -> None:
    server = await stage.server()
    labels = {"traefik.enable": "true", "env": "prod"}
    for name, given in {
        "yes": labels,
        "other-env": {**labels, "env": "test"},
        "silent": {"env": "prod"},
        "off": {"traefik.enable": "false", "env": "prod"},
    }.items():
        stage.docker.run(name, given, ip="127.0.0.1", ports=[f"{server.port}/tcp"])
    settings = {"exposed_by_default": False, "constraints": "Label(`env`, `prod`)"}
    async with stage.watched(**settings) as reported:
        assert reported.names("router") == ["yes"]
        inspected = [path for path in stage.docker.requests if path.startswith("/containers/")]
        assert len([path for path in inspected if path != "/containers/json"]) == 1


async def test_one_event_touches_one_container(stage: Stage) -> None:
    server = await stage.server()
    for number in range(20):
        stage.run(f"c{number}", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        await asyncio.sleep(0)
        before = len(reported.reports)
        asked = len(stage.docker.requests)
        stage.run("new", server)
        await reported.until(lambda: reported.urls("new"))
        changed = {c.name for report in reported.reports[before:] for c in report.changes}
        assert changed == {"new"}
        inspections = [path for path in stage.docker.requests[asked:] if "json" in path]
        assert len(inspections) == 1


async def test_an_endpoint_that_never_accepts_becomes_a_problem_that_clears(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "SILENT_AFTER", 0.05)
    server = await stage.server()
    server.close()
    app(stage.docker, "one", server)
    async with stage.watched() as reported:
        await reported.until(lambda: reported.problems)
        assert f"127.0.0.1:{server.port} accepts no connection" in reported.problems[0]
        await server.open()
        await reported.until(lambda: not reported.problems)
        assert reported.urls("app") == [server.url]


async def test_while_the_daemon_is_away_endpoints_are_watched_and_the_rest_keeps_serving(
    stage: Stage,
) -> None:
    one, two = await stage.server(), await stage.server()
    app(stage.docker, "one", one)
    app(stage.docker, "two", two)
    async with stage.watched() as reported:
        await stage.docker.shut_down()
        await reported.until(lambda: reported.problems)
        assert "Docker daemon unreachable since" in reported.problems[0]
        assert len(reported.urls("app")) == 2
        two.close()
        await reported.until(lambda: reported.urls("app") == [one.url])
        await two.open()
        await reported.until(lambda: len(reported.urls("app")) == 2)
        await stage.docker.start()
        await reported.until(lambda: not reported.problems)
        assert len(reported.urls("app")) == 2


async def test_what_happened_while_the_daemon_was_away_is_found_afterwards(stage: Stage) -> None:
    one, two, three = await stage.server(), await stage.server(), await stage.server()
    stays = app(stage.docker, "stays", one)
    goes = app(stage.docker, "goes", two)
    async with stage.watched() as reported:
        await stage.docker.shut_down()
        await reported.until(lambda: reported.problems)
        goes.status = "exited"
        app(stage.docker, "comes", three)
        seen = len(reported.reports)
        await stage.docker.start()
        await reported.until(lambda: sorted(reported.urls("app")) == sorted([one.url, three.url]))
        for report in reported.reports[seen:]:
            for change in report.changes:
                assert one.url in str(change.value), f"{stays.name} must not flicker"


async def test_a_restart_while_the_daemon_was_away_withdraws_nothing_that_accepts(
    stage: Stage,
) -> None:
    one, two = await stage.server(), await stage.server()
    containers = [app(stage.docker, "one", one), app(stage.docker, "two", two)]
    async with stage.watched() as reported:
        await stage.docker.shut_down()
        await reported.until(lambda: reported.problems)
        for container in containers:
            container.started_at = "2026-01-02T03:04:05.678Z"
        seen = len(reported.reports)
        await stage.docker.start()
        await reported.until(lambda: not reported.problems)
        app(stage.docker, "last", await stage.server())
        await reported.until(lambda: len(reported.urls("app")) == 3)
        for report in reported.reports[seen:]:
            for change in report.changes:
                assert one.url in str(change.value)
                assert two.url in str(change.value)


async def test_a_restart_while_the_daemon_was_away_withdraws_what_does_not_accept_yet(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await stage.server(), await stage.server()
    app(stage.docker, "one", one)
    restarted = app(stage.docker, "two", two)
    async with stage.watched() as reported:
        monkeypatch.setattr(readiness, "WATCH_INTERVAL", 3600.0)
        await stage.docker.shut_down()
        await reported.until(lambda: reported.problems)
        restarted.started_at = "2026-01-02T03:04:05.678Z"
        two.close()
        await stage.docker.start()
        await reported.until(lambda: reported.urls("app") == [one.url])
        await two.open()
        await reported.until(lambda: len(reported.urls("app")) == 2)


async def test_an_absent_daemon_is_reported_and_awaited(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "FIRST_REPORT_ABSENT", 0.1)
    await stage.docker.shut_down()
    server = await stage.server()
    stage.run("one", server)
    async with stage.watched() as reported:
        assert reported.reports[0].changes == []
        assert "unreachable" in reported.problems[0]
        await stage.docker.start()
        await reported.until(lambda: reported.urls("one") == [server.url])
        assert reported.problems == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"endpoint": "ssh://host"}, "ssh endpoints are not supported"),
        ({"endpoint": "/var/run/docker.sock"}, "write unix:///path"),
        ({"constraints": "Lable(`a`, `b`)"}, "column 1: unsupported function Lable"),
        ({"default_rule": "Host(`{{ normalise .Name }}`)"}, "did you mean 'normalize'?"),
    ],
)
async def test_options_that_cannot_work_are_standing_problems(
    stage: Stage, settings: dict[str, str], problem: str
) -> None:
    given: dict[str, Any] = {"endpoint": stage.docker.endpoint, **settings}
    options = Docker(**given)
    async with running(DockerProvider(options)) as reported:
        assert any(problem in text for text in reported.problems), reported.problems


async def test_an_unusable_default_rule_disables_only_routers_that_need_it(stage: Stage) -> None:
    server = await stage.server()
    app(stage.docker, "one", server)
    stage.run("two", server)
    async with stage.watched(default_rule="Host(`{{ .Nam }}`)") as reported:
        assert "no field .Nam" in reported.errors("router", "two")
        assert not reported.errors("router", "app")


async def test_without_watch_events_change_nothing(stage: Stage) -> None:
    server = await stage.server()
    container = stage.run("one", server)
    async with stage.watched(watch=False) as reported:
        assert reported.urls("one") == [server.url]
        stage.docker.kill(container, 9)
        stage.docker.die(container)
        await asyncio.sleep(0.1)
        assert reported.urls("one") == [server.url]


async def test_a_storm_of_events_ends_in_the_true_state(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.server()
    containers = [app(stage.docker, f"c{n}", server) for n in range(5)]
    async with stage.watched() as reported:
        await stage.docker.followed()
        moves: list[Callable[[FakeContainer], None]] = [
            stage.docker.stop,
            stage.docker.start_again,
            lambda c: stage.docker.kill(c, 15),
        ]
        for step in range(300):
            moves[(step * 7) % 3](containers[(step * 11) % 5])
            if step % 10 == 0:
                await asyncio.sleep(0.001)
        for container in containers:
            stage.docker.stop(container)
        await reported.until(lambda: not reported.objects)
        stage.docker.start_again(containers[0])
        await reported.until(lambda: reported.urls("app") == [server.url])


async def test_a_published_port_whose_proxy_hangs_up_is_not_ready(stage: Stage) -> None:
    """Docker's proxy takes connections before the container does."""
    hangs_up = await stage.server()
    options = {"bindings": {"80/tcp": ("127.0.0.1", str(hangs_up.port))}, "ports": ["80/tcp"]}
    stage.docker.run("one", {SERVICE: "80", RULE: "Host(`app.test`)"}, **options)
    async with stage.watched(use_bind_port_ip=True) as reported:
        assert reported.urls("app") == []
        hangs_up.close()
        hangs_up.stays = True
        await hangs_up.open()
        await reported.until(lambda: reported.urls("app") == [hangs_up.url])


async def test_a_container_that_cannot_be_understood_harms_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.server()

    def contribute(container: Any, *rest: Any) -> Any:
        if container.name == "bad":
            raise RuntimeError("a mistake of ours")
        return contribution.contribute(container, *rest)

    monkeypatch.setattr(inventory, "contribute", contribute)
    bad = stage.run("bad", server)
    async with stage.watched() as reported:
        await stage.docker.followed()
        assert "a mistake of ours" in reported.problems[0]
        stage.run("good", server)
        await reported.until(lambda: reported.urls("good"))
        assert reported.names("router") == ["good"]
        stage.docker.rename(bad, "better")
        await reported.until(lambda: reported.names("router") == ["better", "good"])
        assert reported.problems == []


async def test_a_tcp_endpoint_with_a_login(stage: Stage) -> None:
    server = await stage.server()
    stage.run("one", server)
    port = await stage.docker.listen_tcp()
    options = Docker(endpoint=f"tcp://127.0.0.1:{port}", username="me", password="secret")
    async with running(DockerProvider(options)) as reported:
        assert reported.urls("one") == [server.url]
        assert stage.docker.logins == {"Basic bWU6c2VjcmV0"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with cert.pem and key.pem for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return directory


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_tls_endpoint_with_a_client_certificate(
    stage: Stage, certificate: Path, as_text: bool
) -> None:
    server = await stage.server()
    stage.run("one", server)
    cert, key = certificate / "cert.pem", certificate / "key.pem"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cert)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    port = await stage.docker.listen_tcp(context)
    shown = [cert.read_text(), key.read_text()] if as_text else [str(cert), str(key)]
    tls = ClientTLS(ca=shown[0], cert=shown[0], key=shown[1])
    options = Docker(endpoint=f"tcp://127.0.0.1:{port}", tls=tls)
    async with running(DockerProvider(options)) as reported:
        assert reported.urls("one") == [server.url]


async def test_a_daemon_that_is_not_trusted_is_told(
    stage: Stage, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "FIRST_REPORT_ABSENT", 0.5)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    port = await stage.docker.listen_tcp(context)
    async with running(DockerProvider(Docker(endpoint=f"https://127.0.0.1:{port}"))) as reported:
        assert "certificate verify failed" in reported.problems[0]
    wrong = Docker(endpoint=f"https://127.0.0.1:{port}", tls=ClientTLS(ca="/nowhere/ca.pem"))
    async with running(DockerProvider(wrong)) as reported:
        assert "the TLS files of the Docker endpoint" in reported.problems[0]


async def test_a_stop_signal_that_overtakes_the_inspection_counts(stage: Stage) -> None:
    server, other = await stage.server(), await stage.server()
    app(stage.docker, "witness", other)
    async with stage.watched() as reported:
        await stage.docker.followed()
        container = app(stage.docker, "short", server)
        stage.docker.kill(container, 15)
        stage.run("later", server)
        await reported.until(lambda: reported.urls("later"))
        await asyncio.sleep(0.1)
        assert reported.urls("app") == [other.url]
        stage.docker.die(container)
        stage.docker.start_again(container)
        await reported.until(lambda: len(reported.urls("app")) == 2)
