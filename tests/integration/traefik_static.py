"""The real Traefik with the same hosts and middlewares as :mod:`envoy_static`, to compare.

A *site* is a host's list of middlewares, each written as in a dynamic file, as
``{"stripPrefix": {"prefixes": ["/api"]}}``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from portway.config.options import Duration
from portway.edge.dynamic import Middleware
from portway.edge.middlewares import registry
from portway.edge.middlewares.step import Place, Step
from tests.ports import free_port

from .envoy_static import READY_HOST, Answer, Peer, echo, envoy, running

Site = Sequence[Mapping[str, Any]]


def available() -> bool:
    """Whether the real Traefik is installed."""
    return shutil.which("traefik") is not None


def steps(site: Site, *, tls: bool = False) -> list[Step]:
    """The steps of a site's middlewares; AssertionError when one is not valid."""
    found: list[Step] = []
    for number, definition in enumerate(site):
        middleware = msgspec.convert(definition, Middleware, strict=False, dec_hook=_option)
        _, problems = registry.check(middleware)
        assert not problems, problems
        place = Place(f"m{number}@file", "r@file", "web", tls)
        found += registry.steps(middleware, place)
    return found


def _option(kind: type, value: Any) -> Any:
    return Duration.parse(value) if kind is Duration else kind(value)


@contextlib.contextmanager
def traefik(
    directory: Path, upstream: int, sites: Mapping[str, Site], *, trusted: bool = False
) -> Iterator[Peer]:
    """Run Traefik with one router per host, and its middlewares in order."""
    port = free_port()
    routers: dict[str, Any] = {READY_HOST: _router(READY_HOST, [])}
    middlewares: dict[str, Any] = {}
    for host, site in sites.items():
        names = [f"{host}-{number}".replace(".", "-") for number in range(len(site))]
        middlewares.update(zip(names, site, strict=True))
        routers[host.replace(".", "-")] = _router(host, names)
    server = {"url": f"http://127.0.0.1:{upstream}"}
    http = {
        "routers": routers,
        "services": {"echo": {"loadBalancer": {"servers": [server]}}},
        **({"middlewares": middlewares} if middlewares else {}),
    }
    dynamic = directory / "dynamic.yml"  # JSON is YAML
    dynamic.write_text(json.dumps({"http": http}))
    command = [
        "traefik",
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--entrypoints.web.forwardedHeaders.insecure={str(trusted).lower()}",
        f"--providers.file.filename={dynamic}",
        "--log.level=ERROR",
    ]
    with running(command, directory / "traefik.log", port, READY_HOST) as peer:
        yield peer


class Row(NamedTuple):
    """A request to a site, to be made of both proxies."""

    site: Site
    path: str
    request: Mapping[str, Any] = {}  # what else Peer.ask takes; "port" is added to the host


class Pair(NamedTuple):
    """Both proxies with the same sites, one host per distinct site."""

    traefik: Peer
    portway: Peer
    hosts: Mapping[str, str]  # site, as JSON -> host

    def outcomes(self, row: Row) -> tuple[dict[str, object], dict[str, object]]:
        """What Traefik and what we make of a request."""
        request = dict(row.request)
        host = self.hosts[json.dumps(row.site)] + request.pop("port", "")
        theirs, ours = (peer.ask(host, row.path, **request) for peer in self[:2])
        return outcome(theirs), outcome(ours)


@contextlib.contextmanager
def pair(directory: Path, rows: Sequence[Row], *, trusted: bool = False) -> Iterator[Pair]:
    """Run both proxies with the sites of these rows."""
    sites = {json.dumps(row.site): row.site for row in rows}
    hosts = {key: f"h{number}.test" for number, key in enumerate(sites)}
    by_host = {hosts[key]: site for key, site in sites.items()}
    compiled = {host: steps(site) for host, site in by_host.items()}
    with (
        echo() as upstream,
        traefik(directory, upstream, by_host, trusted=trusted) as theirs,
        envoy(directory, upstream, compiled, trusted=trusted) as ours,
    ):
        yield Pair(theirs, ours, hosts)


def outcome(answer: Answer) -> dict[str, object]:
    """What must agree between Traefik and us about one exchange."""
    facts: dict[str, object] = {"status": answer.status}
    if answer.seen is None:
        facts["location"] = answer.values("location")
        facts["body"] = answer.body
        facts["nosniff"] = answer.values("x-content-type-options")
        # Envoy says text/plain of every body it sends itself, Go sometimes says nothing.
        facts["content-type"] = [t for t in answer.values("content-type") if t != "text/plain"]
    else:
        facts["target"] = answer.seen.target
        for name in ("x-forwarded-prefix", "x-replaced-path"):
            facts[name] = answer.seen.values(name)
    return facts


def _router(host: str, middlewares: Sequence[str]) -> dict[str, Any]:
    return {
        "rule": f"Host(`{host}`)",
        "service": "echo",
        "entryPoints": ["web"],
        "middlewares": list(middlewares),
    }
