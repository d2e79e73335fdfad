"""Requests that are wrong, over every endpoint: methods, paths, bodies, parameters."""

from __future__ import annotations

import json

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
_NOT_REAL = (
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
    row = {"Requests that are not HTTP/1.0 or 1.1": ["status", "body", "header.*"]}

    def scenario(ask: World) -> None:
        ask.ask("FOO", "/v1/kv/a", differs=row)

    play(scenario)


# Endpoint and fields: of texts, numbers, booleans, lists, maps.
FIELDS = {
    "agent/service/register": "ID Name Address Namespace|Port|EnableTagOverride|Tags Checks"
    "|Meta Weights TaggedAddresses Check Proxy Connect",
    "agent/check/register": "ID Name Notes HTTP Method TCP Interval TTL Status|SuccessBeforePassing"
    " OutputMaxSize|TLSSkipVerify DisableRedirects|ScriptArgs|Header",
    "catalog/register": "ID Node Address Datacenter||SkipNodeUpdate|Checks"
    "|TaggedAddresses NodeMeta Service Check",
    "catalog/deregister": "Node ServiceID CheckID Datacenter||||",
    "session/create": "Name Node Behavior LockDelay TTL|||Checks NodeChecks ServiceChecks|",
    "query": "Name Session||||Service DNS Template",
    "config": "Kind Name Protocol||||MeshGateway Meta",
}
_VALUES = ("x", 7, True, ["x"], {"a": "b"}, None, 1.5, -1)
_NO_DELAYS = (True, ["x"], {"a": "b"}, -1)
_OWN = (0, 1, 2, 3, 4)  # which of the values have the type of the group


@pytest.mark.parametrize("endpoint", FIELDS)
def test_types_of_fields(endpoint: str, play: Play) -> None:
    """Values of another type are refused by all that Consul refuses them at."""
    method = "POST" if endpoint == "query" else "PUT"

    def scenario(ask: World) -> None:
        for own, fields in zip(_OWN, FIELDS[endpoint].split("|"), strict=True):
            for field in fields.split():
                for number, value in enumerate(_VALUES):
                    if number == own:
                        continue
                    body = {"Node": "types"} if endpoint.startswith("catalog") else {}
                    answer = ask.ask(method, f"/v1/{endpoint}", body | {field: value}, record=False)
                    what = f"{method} {endpoint} {field}: {json.dumps(value)}"
                    looser = field == "LockDelay" and value in _NO_DELAYS
                    named = {"Bodies": ["status"]} if looser else {}
                    ask.note(what, {"status": answer.status}, differs=named)
                    if answer.status == 200 and endpoint == "session/create":
                        ask.put(f"session/destroy/{answer.json['ID']}", record=False)
        if endpoint == "catalog/register":
            ask.put("catalog/deregister", {"Node": "types"}, record=False)

    play(scenario)
