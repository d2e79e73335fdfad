"""Requests that are wrong, over every endpoint: methods, paths, bodies, parameters."""

from __future__ import annotations

import pytest

from portway.discovery.api import all_routes

from .conftest import Play
from .world import World

# What the agent itself answers, with its methods.
_AGENT = {
    "GET": "self host version services service/x checks members health/service/id/x"
    " health/service/name/x",
    "PUT": "maintenance force-leave/x check/register check/deregister/x check/pass/x check/warn/x"
    " check/fail/x check/update/x service/register service/deregister/x service/maintenance/x"
    " token/x",
    "POST": "connect/authorize",
}
ENDPOINTS = {
    **{route.path: tuple(route.methods) for route in all_routes()},
    **{
        f"/v1/agent/{path}": (method,) for method, paths in _AGENT.items() for path in paths.split()
    },
}
_ANSWERS_AT_LENGTH = ("/v1/snapshot", "/v1/agent/self", "/v1/agent/host", "/v1/agent/version")
_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
FAMILIES = sorted({path.split("/")[2] for path in ENDPOINTS})

_REFUSED_EARLIER = {"Query strings with a `;` or a broken escape": ["status", "body"]}
_GONE = (
    *("/v1/acl/create", "/v1/acl/update", "/v1/acl/destroy/", "/v1/acl/info/", "/v1/acl/clone/"),
    *("/v1/acl/list", "/v1/acl/rules/translate", "/v1/acl/rules/translate/"),
)
_NOT_REAL = (
    *_GONE,
    "/v1/internal/service-virtual-ip",
    "/v1/operator/utilization",  # since 1.22
    "/v1/acl/bootstrap",
    "/v1/agent/join",
)


def _of(family: str) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (path, methods)
        for path, methods in sorted(ENDPOINTS.items())
        if path.split("/")[2] == family and not path.startswith(_NOT_REAL)
    ]


def _below(path: str) -> str:
    return path + "x" if path.endswith("/") else path


@pytest.mark.parametrize("family", FAMILIES)
def test_methods(family: str, play: Play) -> None:
    def scenario(ask: World) -> None:
        for path, methods in _of(family):
            if path == "/v1/query/":
                continue  # Consul's answers OPTIONS with a body, and does not name it
            for method in _METHODS:
                if method not in methods:
                    ask.ask(method, _below(path))
            ask.ask("OPTIONS", _below(path))
            if "GET" not in methods:
                ask.ask("HEAD", _below(path))

    play(scenario)


@pytest.mark.parametrize("family", FAMILIES)
def test_paths(family: str, play: Play) -> None:
    def scenario(ask: World) -> None:
        for path, methods in _of(family):
            if "GET" in methods and not path.endswith("/") and path + "/" not in ENDPOINTS:
                for more in ("/", "/x", "x"):
                    ask.get(path + more)

    play(scenario)


@pytest.mark.parametrize("family", FAMILIES)
def test_bodies(family: str, play: Play) -> None:
    def scenario(ask: World) -> None:
        for path, methods in _of(family):
            for method in set(methods) & {"PUT", "POST"}:
                if path in _BODIES_OF_ANY_KIND or path.startswith("/v1/peering"):
                    continue
                for body in ("", "{", " "):
                    ask.ask(method, _below(path), body)
                for body in ("[]", '"x"', "7"):
                    answer = ask.ask(method, _below(path), body, record=False)
                    ask.note(f"{method} {path} {body}", {"status": answer.status})

    play(scenario)


_BODIES_OF_ANY_KIND = ("/v1/kv/", "/v1/event/fire/", "/v1/snapshot")

PARAMETERS = (
    *("index=x", "index=-1", "index=1.5", "index=18446744073709551616", "wait=5", "wait=x"),
    *("stale&consistent", "cached&consistent", "max_stale=x", "dc=", "dc=dc1", "foo=bar"),
    *("ns=foo", "ns=", "partition=foo", "partition=default", "near=nope", "passing=x", "tag="),
    *("node-meta=a", "token=nope", "pretty"),
)


# Consul writes the refusal, and then the answer all the same.
_TELLS_TWICE = ("/v1/peering", "/v1/exported-services", "/v1/catalog/datacenters")


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_of_reads(family: str, play: Play) -> None:
    """The status of each, and the text where it is refused."""

    def scenario(ask: World) -> None:
        for path, methods in _of(family):
            if "GET" not in methods or path in _ANSWERS_AT_LENGTH:
                continue
            for parameters in PARAMETERS:
                what = f"{_below(path)}?{parameters}"
                answer = ask.get(what, record=False)
                tells = answer.status == 400 and not path.startswith(_TELLS_TWICE)
                said = answer.body.decode() if tells else ""
                ask.note(f"GET {what}", {"status": answer.status, "body": said})
            for parameters in ("a=%zz", "a;b"):
                ask.ask("GET", f"{_below(path)}?{parameters}", differs=_REFUSED_EARLIER)

    play(scenario)


def test_methods_that_http_does_not_know(play: Play) -> None:
    row = {"Methods that HTTP does not know": ["status", "body", "header.*"]}

    def scenario(ask: World) -> None:
        ask.ask("FOO", "/v1/kv/a", differs=row)

    play(scenario)


def test_the_access_control_of_the_past(play: Play) -> None:
    row = {"Endpoints of the access control before 1.4": ["status", "body", "header.*"]}

    def scenario(ask: World) -> None:
        for path in _GONE:
            method = "PUT"
            for route in all_routes():
                if route.path == path:
                    method = next(iter(route.methods))
            ask.ask(method, _below(path), differs=row)

    play(scenario)
