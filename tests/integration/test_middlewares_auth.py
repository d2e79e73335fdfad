"""basicAuth on a real Envoy with the password checker behind it, next to the real Traefik."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from passlib.hash import apr_md5_crypt, md5_crypt

from portway.edge.middlewares import basic_auth
from portway.edge.middlewares.basic_auth import BasicAuth
from portway.edge.middlewares.step import Place
from portway.edge.passwords import Checker, handle_basic

from .envoy_static import Answer, Peer, echo, envoy
from .traefik_static import available, traefik

SHA = "{SHA}" + base64.b64encode(hashlib.sha1(b"pw").digest()).decode()
BCRYPT = bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode()
USERS = [
    f"bcrypt:{BCRYPT}",
    f"old:{BCRYPT.replace('$2b$', '$2a$')}",
    f"php:{BCRYPT.replace('$2b$', '$2y$')}",
    f"buggy:{BCRYPT.replace('$2b$', '$2x$')}",
    f"long:{bcrypt.hashpw(b'x' * 72, bcrypt.gensalt(4)).decode()}",
    f"apr:{apr_md5_crypt.hash('pw')}",
    f"md5:{md5_crypt.hash('pw')}",
    f"sha:{SHA}",
    f"é:{SHA}",
    f":{SHA}",
    "plain:pw",
    "ssha:{SSHA}pw",
    f"twice:{apr_md5_crypt.hash('other')}",
    f"twice:{SHA}",
]
SITES: dict[str, dict[str, Any]] = {
    "auth.test": {"users": USERS},
    "field.test": {"users": USERS, "headerField": "X-WebAuth-User"},
    "remove.test": {"users": USERS, "removeHeader": True, "headerField": "X-User"},
    "realm.test": {"users": USERS, "realm": 'The "inner" \\ realm'},
}


def basic(user: str, password: str) -> list[tuple[str, str]]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return [("Authorization", f"Basic {token}")]


class Control:
    """The control process's HTTP side: counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status: int | None = None  # an answer instead of the checker's
        self.loop = asyncio.new_event_loop()
        self.checker = Checker()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                headers = [(k.encode(), v.encode("latin-1")) for k, v in self.headers.items()]
                answer = asyncio.run_coroutine_threadsafe(
                    handle_basic(outer.checker, self.path, headers), outer.loop
                )
                status, given = (outer.status, []) if outer.status else answer.result()
                self.send_response_only(status)
                for name, value in given:
                    self.send_header(name.decode(), value.decode("latin-1"))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.threads = [
            threading.Thread(target=run, daemon=True)
            for run in (self.loop.run_forever, self.server.serve_forever)
        ]
        for thread in self.threads:
            thread.start()

    def cluster(self) -> Cluster:
        address = Address(
            socket_address=SocketAddress(
                address="127.0.0.1", port_value=self.server.server_address[1]
            )
        )
        endpoints = ClusterLoadAssignment(
            cluster_name=basic_auth.CLUSTER,
            endpoints=[{"lb_endpoints": [LbEndpoint(endpoint=Endpoint(address=address))]}],
        )
        cluster = Cluster(name=basic_auth.CLUSTER, type=Cluster.STATIC, load_assignment=endpoints)
        cluster.connect_timeout.seconds = 5
        return cluster

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        asyncio.run_coroutine_threadsafe(self.checker.close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self.threads:
            thread.join()
        self.loop.close()


def options(definition: dict[str, Any]) -> BasicAuth:
    return BasicAuth(
        users=definition.get("users", []),
        users_file=definition.get("usersFile", ""),
        realm=definition.get("realm", ""),
        remove_header=definition.get("removeHeader", False),
        header_field=definition.get("headerField", ""),
    )


def run(
    stack: ExitStack, directory: Path, upstream: int, sites: dict[str, dict[str, Any]]
) -> tuple[Peer, Control]:
    control = Control()
    stack.callback(control.close)
    routes = {}
    for host, definition in sites.items():
        middleware = options(definition)
        assert not basic_auth.KIND.problems(middleware)
        control.checker.register(*basic_auth.user_list(f"{host}@file", middleware))
        place = Place(f"{host}@file", "r@file", "web", tls=False)
        routes[host] = basic_auth.KIND.steps(middleware, place)
    proxy = stack.enter_context(envoy(directory, upstream, routes, clusters=[control.cluster()]))
    return proxy, control


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with echo() as port:
        yield port


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, upstream: int
) -> Iterator[tuple[Peer, Peer, Control]]:
    if not available():
        pytest.skip("the real Traefik is not installed")
    with ExitStack() as stack:
        ours, control = run(stack, tmp_path_factory.mktemp("ours"), upstream, SITES)
        rival = {host: [{"basicAuth": definition}] for host, definition in SITES.items()}
        theirs = stack.enter_context(traefik(tmp_path_factory.mktemp("theirs"), upstream, rival))
        yield ours, theirs, control


def token(text: bytes) -> str:
    return base64.b64encode(text).decode()


SHA_TOKEN = token(b"sha:pw")
GIVEN: list[Sequence[tuple[str, str]]] = [
    [],
    *(basic(user.split(":")[0], "pw") for user in USERS),
    *(basic(user.split(":")[0], "wrong") for user in USERS),
    basic("nobody", "pw"),
    basic("twice", "other"),
    basic("long", "x" * 72),
    basic("long", "x" * 80),
    basic("long", "x" * 71),
    basic("bcrypt", "pw\0"),
    basic("sha", ""),
    basic("sha", "pw:x"),
    [("Authorization", f"basic {SHA_TOKEN}")],
    [("Authorization", f"BASIC {SHA_TOKEN}")],
    [("Authorization", f"Basic  {SHA_TOKEN}")],
    [("Authorization", f"Basic {SHA_TOKEN} ")],
    [("Authorization", f"Basic\t{SHA_TOKEN}")],
    [("Authorization", f"Basic {SHA_TOKEN[:4]}\t{SHA_TOKEN[4:]}")],
    [("Authorization", f"Basic {SHA_TOKEN}=")],
    [("Authorization", f"Basic {SHA_TOKEN[:-1]}")],
    [("Authorization", f"Bearer {SHA_TOKEN}")],
    [("Authorization", "Basic")],
    [("Authorization", "Basic ")],
    [("Authorization", "Basic =")],
    [("Authorization", "Basic " + token(b"sha"))],
    [("Authorization", "Basic " + token(b"\xff\xfe:pw"))],
    [("Authorization", "Basic !"), ("Authorization", f"Basic {SHA_TOKEN}")],
]


def outcome(answer: Answer) -> dict[str, object]:
    shown = ("content-type", "www-authenticate", "content-length")
    seen = answer.seen
    return {
        "status": answer.status,
        "headers": None if seen else {name: answer.values(name) for name in shown},
        "body": None if seen else answer.body,
        "user": seen and [seen.values("x-webauth-user"), seen.values("x-user")],
        "authorization": seen and seen.values("authorization"),
    }


@pytest.mark.parametrize("given", GIVEN)
def test_as_traefik(pair: tuple[Peer, Peer, Control], given: Sequence[tuple[str, str]]) -> None:
    ours, theirs, _ = pair
    for _ in range(2):  # the second answer of ours comes from what the worker remembers
        assert outcome(ours.ask("auth.test", "/", headers=given)) == outcome(
            theirs.ask("auth.test", "/", headers=given)
        )


@pytest.mark.parametrize("host", SITES)
@pytest.mark.parametrize("password", ["pw", "wrong"])
@pytest.mark.parametrize("spoof", ["x-user", "X-WebAuth-User"])
def test_options_as_traefik(
    pair: tuple[Peer, Peer, Control], host: str, password: str, spoof: str
) -> None:
    ours, theirs, _ = pair
    given = [*basic("apr", password), (spoof, "root")]
    if SITES[host].get("headerField", "").lower() == spoof.lower():
        (user,) = ours.ask(host, "/", headers=[*basic("apr", "pw"), (spoof, "root")]).seen.values(  # type: ignore[union-attr]
            spoof
        )
        assert user == "apr"
    else:
        assert outcome(ours.ask(host, "/", headers=given)) == outcome(
            theirs.ask(host, "/", headers=given)
        )


@pytest.fixture
def alone(tmp_path: Path, upstream: int) -> Iterator[tuple[Peer, Control]]:
    with ExitStack() as stack:
        yield run(
            stack,
            tmp_path,
            upstream,
            {"a.test": SITES["remove.test"], "b.test": SITES["auth.test"]},
        )


def test_only_what_is_not_remembered_is_asked(alone: tuple[Peer, Control]) -> None:
    proxy, control = alone
    for _ in range(5):
        assert proxy.ask("a.test", "/", headers=basic("apr", "pw")).status == 200
    assert len(control.asked) == 1
    for _ in range(3):
        assert proxy.ask("a.test", "/", headers=basic("apr", "no")).status == 401
    assert len(control.asked) == 4  # only success is remembered
    assert proxy.ask("b.test", "/", headers=basic("apr", "pw")).status == 200
    assert len(control.asked) == 5  # for another list, too
    assert proxy.ask("a.test", "/").status == 401
    assert proxy.ask("a.test", "/", headers=[("Authorization", "Bearer x")]).status == 401
    assert (
        proxy.ask("a.test", "/", headers=[("Authorization", "Basic " + "x" * 9000)]).status == 401
    )
    assert len(control.asked) == 5


@pytest.mark.parametrize("status", [404, 500, 503, 204, 302])
def test_no_answer_lets_nobody_in(alone: tuple[Peer, Control], status: int) -> None:
    proxy, control = alone
    control.status = status
    answer = proxy.ask("a.test", "/", headers=basic("apr", "pw"))
    assert (answer.status, answer.seen) == (500, None)
    control.status = None
    assert proxy.ask("a.test", "/", headers=basic("apr", "pw")).status == 200


def test_a_forgotten_list_lets_nobody_new_in(alone: tuple[Peer, Control]) -> None:
    proxy, control = alone
    control.checker.forget(basic_auth.user_list("a.test@file", options(SITES["remove.test"])).id)
    assert proxy.ask("a.test", "/", headers=basic("apr", "pw")).status == 500


def test_without_the_control_process_only_the_remembered_get_in(
    alone: tuple[Peer, Control],
) -> None:
    proxy, control = alone
    assert proxy.ask("a.test", "/", headers=basic("apr", "pw")).status == 200
    control.server.shutdown()
    control.server.server_close()
    assert proxy.ask("a.test", "/", headers=basic("apr", "pw")).status == 200
    assert proxy.ask("a.test", "/", headers=basic("sha", "pw")).status == 500


def test_a_body_arrives_whole_after_the_question(alone: tuple[Peer, Control]) -> None:
    proxy, _ = alone
    body = "x" * 100_000
    answer = proxy.ask("a.test", "/", method="POST", headers=basic("apr", "pw"), body=body)
    assert answer.seen is not None and answer.seen.body == body
    assert answer.seen.values("authorization") == []
    assert answer.seen.values("x-user") == ["apr"]


def test_many_at_once(alone: tuple[Peer, Control]) -> None:
    proxy, _ = alone
    users = ["apr", "sha", "bcrypt", "plain", "nobody"] * 20

    def ask(user: str) -> tuple[str, int, list[str]]:
        answer = proxy.ask("a.test", "/", headers=basic(user, "pw"))
        return user, answer.status, answer.seen.values("x-user") if answer.seen else []

    with ThreadPoolExecutor(16) as threads:
        for user, status, named in threads.map(ask, users):
            known = user in ("apr", "sha", "bcrypt")
            assert (status, named) == ((200, [user]) if known else (401, []))


def test_envoy_never_learns_the_hashes() -> None:
    (step,) = basic_auth.KIND.steps(
        options(SITES["auth.test"]), Place("m@file", "r@file", "web", tls=False)
    )
    assert not any(user.partition(":")[2] in str(step) for user in USERS)
