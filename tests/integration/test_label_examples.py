"""The labels of the common guides work as written, on containers of a (fake) Docker daemon."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .edge import Edge, Reply, backend, basic, serving
from .services_harness import Server, eventually

# What `htpasswd -nb admin password` prints in each of its forms; compose files double the $.
APR1 = "$apr1$ruca84Hq$eOjmGl0tt8AtBUoet99KP/"
BCRYPT = "$2y$05$72zO2F4uDyzzdXTswgpzfufJVT2dnQeqtjM6PbRvw0gAsIl/64FiC"
SHA1 = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="


class Site:
    """An edge with containers."""

    def __init__(self, edge: Edge, server: Server) -> None:
        self.edge, self.server = edge, server
        self.count = 0

    def run(self, *labels: str, chain: str = "") -> str:
        """Start a container with these labels (``key=value``, below ``traefik.``) and with a
        router that uses the middlewares of ``chain``; returns the host that reaches it.

        ``~`` in a label stands for a name that no other container uses.
        """
        assert self.edge.docker is not None
        self.count += 1
        name = f"c{self.count}"
        host = f"{name}.test"
        found = {
            f"traefik.http.routers.{name}.rule": f"Host(`{host}`)",
            f"traefik.http.routers.{name}-live.rule": f"Host(`{name}.live`)",
        }
        if chain:
            found[f"traefik.http.routers.{name}.middlewares"] = chain.replace("~", name)
        for label in labels:
            key, _, value = label.partition("=")
            found[f"traefik.{key.replace('~', name)}"] = value.replace("~", name)
        self.edge.docker.run(name, self.server, found)
        eventually(lambda: self.edge.status(f"{name}.live") == 200, "the container is live")
        assert self.edge.errors("routers", f"{name}@docker") == []
        return host

    def ask(self, host: str, target: str = "/", **options: Any) -> Reply:
        return self.edge.ask(target, host=host, **options)

    def seen(self, host: str) -> list[str]:
        """The paths of requests for a host that reached its container."""
        return [seen.path for seen in self.server.seen if seen.headers["Host"] == host]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    trust = "--entrypoints.web.forwardedheaders.trustedips=127.0.0.1/32"
    with (
        backend("whoami") as server,
        serving(tmp_path_factory.mktemp("labels"), trust, docker=True) as edge,
    ):
        yield Site(edge, server)


def middleware(label: str) -> str:
    """A label of the middleware that is named after its container."""
    return f"http.middlewares.~.{label}"


# The four classics


@pytest.mark.parametrize("digest", [APR1, BCRYPT, SHA1], ids=["apr1", "bcrypt", "sha1"])
def test_basicauth_users(site: Site, digest: str) -> None:
    host = site.run(middleware(f"basicauth.users=admin:{digest}"), chain="~")
    refused = site.ask(host)
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="traefik"'
    assert site.ask(host, headers=basic("admin", "wrong")).status == 401
    assert site.ask(host, headers=basic("root", "password")).status == 401
    assert site.seen(host) == []
    assert site.ask(host, headers=basic("admin", "password")).status == 200


def test_basicauth_has_several_users_and_a_realm(site: Site) -> None:
    host = site.run(
        middleware(f"basicauth.users=admin:{APR1},joe:{SHA1}"),
        middleware("basicauth.realm=Staff only"),
        middleware("basicauth.removeheader=true"),
        chain="~",
    )
    assert site.ask(host).headers["www-authenticate"] == 'Basic realm="Staff only"'
    for user in ("admin", "joe"):
        assert site.ask(host, headers=basic(user, "password")).status == 200
    assert "Authorization" not in site.server.seen[-1].headers


@pytest.mark.parametrize("kind", ["ipwhitelist", "ipallowlist"])
def test_source_ranges(site: Site, kind: str) -> None:
    wanted = middleware(f"{kind}.sourcerange=10.0.0.0/8,192.168.0.0/16")
    host = site.run(wanted, chain="~")
    refused = site.ask(host)
    assert (refused.status, refused.body) == (403, "Forbidden")
    assert site.seen(host) == []
    local = site.run(middleware(f"{kind}.sourcerange=10.0.0.0/8,127.0.0.1/32"), chain="~")
    assert site.ask(local).status == 200


def test_source_ranges_behind_a_trusted_proxy(site: Site) -> None:
    host = site.run(
        middleware("ipallowlist.sourcerange=10.0.0.0/8,192.168.0.0/16"),
        middleware("ipallowlist.ipstrategy.depth=1"),
        chain="~",
    )
    assert site.ask(host, headers={"X-Forwarded-For": "1.2.3.4, 10.9.8.7"}).status == 200
    assert site.ask(host, headers={"X-Forwarded-For": "10.9.8.7, 1.2.3.4"}).status == 403


def test_ratelimit_average_and_burst(site: Site) -> None:
    host = site.run(
        middleware("ratelimit.average=1"),
        middleware("ratelimit.period=1h"),
        middleware("ratelimit.burst=50"),
        chain="~",
    )
    statuses = [site.ask(host, "/limited").status for _ in range(60)]
    assert statuses == [200] * 50 + [429] * 10
    refused = site.ask(host, "/limited")
    assert refused.body == "Too Many Requests"
    assert int(refused.headers["retry-after"]) > 60
    assert len(site.seen(host)) == 50


def test_ratelimit_100_a_second_with_burst_50(site: Site) -> None:
    """As written in guides: what exceeds it is refused, and the bucket fills up again."""
    host = site.run(
        middleware("ratelimit.average=100"), middleware("ratelimit.burst=50"), chain="~"
    )
    statuses: list[int] = []

    def client() -> None:
        statuses.extend(site.ask(host, "/many").status for _ in range(60))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 50
    assert site.seen(host).count("/many") == statuses.count(200)
    eventually(lambda: site.ask(host).status == 200, "the bucket fills up")


SECURITY = (
    middleware("headers.framedeny=true"),
    middleware("headers.sslredirect=true"),
    middleware("headers.stsSeconds=31536000"),
    middleware("headers.stsIncludeSubdomains=true"),
    middleware("headers.stsPreload=true"),
    middleware("headers.contentTypeNosniff=true"),
    middleware("headers.browserXssFilter=true"),
    middleware("headers.referrerPolicy=no-referrer"),
)


def test_security_headers(site: Site) -> None:
    host = site.run(*SECURITY, chain="~")
    answer = site.ask(host)
    assert answer.status == 200
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-xss-protection"] == "1; mode=block"
    assert answer.headers["referrer-policy"] == "no-referrer"
    # Strict-Transport-Security means something on TLS only.
    assert "strict-transport-security" not in answer.headers


def test_sslredirect_is_noted_where_it_is_written(site: Site) -> None:
    """As in Traefik 3 the option has no effect; redirections are the entry point's matter."""
    host = site.run(*SECURITY, chain="~")
    name = host.removesuffix(".test")
    (note,) = site.edge.errors("middlewares", f"{name}@docker")
    assert "sslRedirect has no effect" in note
    assert site.edge.state("middlewares", f"{name}@docker") == "warning"
    assert site.edge.state("routers", f"{name}@docker") == "enabled"


def test_strict_transport_security_on_request(site: Site) -> None:
    host = site.run(*SECURITY, middleware("headers.forceSTSHeader=true"), chain="~")
    answer = site.ask(host)
    assert answer.headers["strict-transport-security"] == (
        "max-age=31536000; includeSubDomains; preload"
    )


# In the order written


def named(name: str, label: str) -> str:
    return f"http.middlewares.~-{name}.{label}"


PREFIX = named("prefix", "addprefix.prefix=/added")
STRIP = named("strip", "stripprefix.prefixes=/added")
REWRITE = (
    named("rewrite", "replacepathregex.regex=^/x(.*)"),
    named("rewrite", "replacepathregex.replacement=/rewritten$1"),
)
AUTH = named("auth", f"basicauth.users=admin:{APR1}")
ALLOW = named("allow", "ipallowlist.sourcerange=10.0.0.0/8")
LIMIT = (
    named("limit", "ratelimit.average=1"),
    named("limit", "ratelimit.period=1h"),
    named("limit", "ratelimit.burst=1"),
)
FRAME = named("frame", "headers.framedeny=true")
REDIRECT = (
    named("redirect", "redirectregex.regex=^http://([^/]+)/added/(.*)"),
    named("redirect", "redirectregex.replacement=http://${1}/to/${2}"),
)


def path_of(site: Site, host: str, target: str) -> str:
    site.ask(host, target)
    return site.seen(host)[-1]


def location(site: Site, host: str) -> str | None:
    return site.ask(host, "/x").headers.get("location")


ORDERS: list[tuple[tuple[str, ...], str, str, Callable[[Site, str], Any], Any, Any]] = [
    (
        (PREFIX, *REWRITE),
        "~-prefix",
        "~-rewrite",
        lambda site, host: path_of(site, host, "/x/y"),
        "/added/x/y",
        "/added/rewritten/y",
    ),
    (
        (AUTH, ALLOW),
        "~-auth",
        "~-allow",
        lambda site, host: site.ask(host).status,
        401,
        403,
    ),
    (
        (AUTH, FRAME),
        "~-auth",
        "~-frame",
        lambda site, host: site.ask(host).headers.get("x-frame-options"),
        None,
        "DENY",
    ),
    (
        (ALLOW, FRAME),
        "~-allow",
        "~-frame",
        lambda site, host: site.ask(host).headers.get("x-frame-options"),
        None,
        "DENY",
    ),
    (
        (AUTH, *LIMIT),
        "~-auth",
        "~-limit",
        lambda site, host: [site.ask(host).status for _ in range(3)],
        [401, 401, 401],
        [401, 429, 429],
    ),
    (
        (PREFIX, *REDIRECT),
        "~-prefix",
        "~-redirect",
        location,
        "http://{host}/to/x",
        None,
    ),
]


@pytest.mark.parametrize(
    ("labels", "one", "other", "effect", "in_order", "reversed_order"),
    ORDERS,
    ids=[f"{order[1][2:]} and {order[2][2:]}" for order in ORDERS],
)
def test_middlewares_run_in_the_order_written(
    site: Site,
    labels: tuple[str, ...],
    one: str,
    other: str,
    effect: Callable[[Site, str], Any],
    in_order: Any,
    reversed_order: Any,
) -> None:
    for chain, expected in ((f"{one},{other}", in_order), (f"{other},{one}", reversed_order)):
        host = site.run(*labels, chain=chain)
        wanted = expected.format(host=host) if isinstance(expected, str) else expected
        assert effect(site, host) == wanted, chain


def test_strip_after_and_before_add(site: Site) -> None:
    """Twice the same two, told apart by a path that only one order leaves alone."""
    add_then_strip = site.run(PREFIX, STRIP, chain="~-prefix,~-strip")
    assert path_of(site, add_then_strip, "/y") == "/y"
    strip_then_add = site.run(PREFIX, STRIP, chain="~-strip,~-prefix")
    assert path_of(site, strip_then_add, "/added/y") == "/added/y"
    assert path_of(site, strip_then_add, "/y") == "/added/y"


def test_a_chain_of_all_classics_as_one_router_uses_them(site: Site) -> None:
    labels = (
        named("auth", f"basicauth.users=admin:{APR1}"),
        named("lan", "ipwhitelist.sourcerange=10.0.0.0/8,127.0.0.0/8"),
        named("limit", "ratelimit.average=100"),
        named("limit", "ratelimit.burst=50"),
        named("secure", "headers.framedeny=true"),
        named("secure", "headers.contentTypeNosniff=true"),
        named("strip", "stripprefix.prefixes=/app"),
    )
    written = "~-secure,~-lan,~-limit,~-auth,~-strip"
    host = site.run(*labels, chain=written)
    refused = site.ask(host, "/app/x")
    assert (refused.status, refused.headers["x-frame-options"]) == (401, "DENY")
    answer = site.ask(host, "/app/x", headers=basic("admin", "password"))
    assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
    assert site.seen(host)[-1] == "/x"
    assert site.server.seen[-1].headers["X-Forwarded-Prefix"] == "/app"


def test_the_chain_middleware_runs_its_members_in_order(site: Site) -> None:
    labels = (AUTH, ALLOW, FRAME)
    first = site.run(
        *labels, named("all", "chain.middlewares=~-frame,~-auth,~-allow"), chain="~-all"
    )
    answer = site.ask(first)
    assert (answer.status, answer.headers["x-frame-options"]) == (401, "DENY")
    second = site.run(
        *labels, named("all", "chain.middlewares=~-allow,~-auth,~-frame"), chain="~-all"
    )
    answer = site.ask(second)
    assert (answer.status, "x-frame-options" in answer.headers) == (403, False)


def test_htpasswd_prints_what_these_tests_use(tmp_path: Path) -> None:
    """The digests above, held against OpenSSL."""
    command = ["openssl", "passwd", "-apr1", "-salt", "ruca84Hq", "password"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == APR1
