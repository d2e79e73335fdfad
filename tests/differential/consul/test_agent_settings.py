"""What settings of an agent do: limits, addresses, outputs, times."""

from __future__ import annotations

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.patience import PATIENCE

from .conftest import MANAGEMENT, Play
from .facts import Facts
from .settled import settle
from .world import Answer, World

INDEXES = "Reads of one intention, and of whether one lets pass"
DEFAULT = "`default_intention_policy` in answers about intentions"
LISTS = "Empty lists in answers to prepared queries"
EMPTY = "Empty answers, in DNS"
LARGE = "Texts about what is too large"

NODE = {
    "Node": "far",
    "Address": "10.0.0.1",
    "TaggedAddresses": {"lan": "10.0.0.1", "wan": "192.0.2.1", "wan_ipv6": "2001:db8::1"},
    "Service": {
        "Service": "wide",
        "Port": 1,
        "Address": "10.0.0.2",
        "TaggedAddresses": {
            "lan": {"Address": "10.0.0.3", "Port": 2},
            "wan": {"Address": "192.0.2.3", "Port": 3},
        },
    },
}


@pytest.mark.parametrize("translate", [False, True])
def test_wan_addresses(play: Play, translate: bool) -> None:
    def scenario(ask: World) -> None:
        ask.put("catalog/register", NODE)
        for path in (
            *("catalog/nodes", "catalog/node/far", "catalog/node-services/far"),
            *("catalog/service/wide", "health/service/wide"),
        ):
            ask.get(path)
        query = ask.ask("POST", "query", {"Name": "wide", "Service": {"Service": "wide"}}).json[
            "ID"
        ]
        ask.get("query/wide/execute", differs={LISTS: ["json.Nodes.0.*"]})
        for name in ("wide.service.consul", "far.node.consul", "wide.query.consul"):
            for kind in ("A", "AAAA", "SRV"):
                ask.dig(name, kind, differs={EMPTY: ["?authority.0"]})
        ask.delete(f"query/{query}", record=False)
        ask.put("catalog/deregister", {"Node": "far"})

    config = {"translate_wan_addrs": translate, "advertise_addr_wan": "192.0.2.9"}
    play(scenario, config)


def test_times_of_blocking_queries(play: Play) -> None:
    def scenario(ask: World) -> None:
        for query in ("", "&wait=10m", "&wait=0s", "&wait=1ms"):
            ask.get(f"kv/none?index=1000000{query}")

    play(scenario, {"default_query_time": "1s", "max_query_time": "1s"})


def test_outputs(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.put("agent/check/register", {"Name": "quiet", "TTL": "1h"})
        ask.put("agent/check/pass/quiet?note=hush")
        ask.put("agent/check/update/quiet", {"Status": "warning", "Output": "hush"})
        ask.get("agent/checks", differs={"Checks": []})
        settle(ask)
        ask.get("health/node/node-1")
        ask.put("agent/check/deregister/quiet")

    play(scenario, {"discard_check_output": True})


def test_limits_of_sizes(play: Play) -> None:
    def scenario(ask: World) -> None:
        for size in (9, 10, 11):
            ask.put("kv/size", b"x" * size, differs={LARGE: ["?body"]})
        for size in (1, 11, 200):
            operations = [{"KV": {"Verb": "set", "Key": "size", "Value": "eHh4" * size}}]
            ask.put("txn", operations, differs={LARGE: ["?body"]})
        for ttl in ("1s", "2s", "3s", "10s"):
            ask.put("session/create", {"TTL": ttl})
        ask.delete("kv/size", record=False)

    limits = {"kv_max_value_size": 10, "txn_max_req_len": 100}
    play(scenario, {"limits": limits, "session_ttl_min": "2s"})


def test_limits_of_rates(play: Play) -> None:
    def scenario(ask: World) -> None:
        def burst(what: str, method: str, path: str) -> None:
            def one_of_many(_: int) -> Answer:
                return ask.ask(method, path, b"x", record=False)

            # Side by side: writes that wait for the disk one by one may be slower than the limit.
            with ThreadPoolExecutor(20) as threads:
                answers = list(threads.map(one_of_many, range(500)))
            refused = [one for one in answers if one.status != 200]
            assert refused
            facts: Facts = {
                "refused": sorted({f"{one.status} {one.body!r}" for one in refused}),
                "when": sorted({one.headers.get("Retry-After", "") for one in refused}),
            }
            ask.note(what, facts, differs={"Refusals for too many requests": ["when*"]})

        burst("writes", "PUT", "kv/rate")
        burst("reads", "GET", "kv/rate")

    rates = {"mode": "enforcing", "read_rate": 5, "write_rate": 5}
    play(scenario, {"limits": {"request_limits": rates}}, own=True)


def test_limits_of_connections(play: Play) -> None:
    def scenario(ask: World) -> None:
        address = ("127.0.0.1", ask.ports["http"])
        held = [socket.create_connection(address) for _ in range(3)]
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
        try:
            connection.request("GET", "/v1/agent/version")
            answer = connection.getresponse()
            fields: dict[str, Any] = {"status": answer.status, "body": answer.read().decode()}
            ask.note("one too many", fields)
        except ConnectionError:
            ask.note("one too many", {"status": "closed"})
        finally:
            connection.close()
            for one in held:
                one.close()

    play(scenario, {"limits": {"http_max_conns_per_client": 3}}, own=True)


def test_large_heads(play: Play) -> None:
    def scenario(ask: World) -> None:
        for size in (100, 3000, 9000):
            ask.get("agent/services", headers={"X-Large": "x" * size})

    play(scenario, {"http_config": {"max_header_bytes": 2000}})


def test_remote_execution_is_off(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.cli("exec", "-wait=300ms", "true")

    play(scenario, {"disable_remote_exec": True}, mixed=True)


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_default_of_intentions(play: Play, default: str) -> None:
    def scenario(ask: World) -> None:
        query = "connect/intentions/check?source=a&destination=b"
        ask.get(query, differs={INDEXES: ["header.*"], DEFAULT: ["?json.Allowed"]})
        ask.cli("intention", "check", "a", "b", differs={DEFAULT: ["?exit", "?out*"]})

    play(scenario, {"default_intention_policy": default})


def test_who_may_write(play: Play) -> None:
    def scenario(ask: World) -> None:
        ask.get("kv/who")
        ask.put("kv/who", "x")
        ask.delete("kv/who")
        ask.put("agent/check/register", {"Name": "who", "TTL": "1h"})
        ask.put("session/create")
        ask.get("health/state/any")
        ask.put("agent/reload")

    play(scenario, {"http_config": {"allow_write_http_from": ["192.0.2.0/24"]}})


def test_blocked_endpoints(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in ("agent/self", "agent/services", "agent/service/x", "agent/checks", "kv/a"):
            ask.get(path, record="self" not in path)
        ask.note("self", {"status": ask.get("agent/self", record=False).status})
        ask.put("agent/service/register", {"Name": "x"})

    blocked = ["/v1/agent/service", "/v1/agent/self", "/v1/kv/a"]
    play(scenario, {"http_config": {"block_endpoints": blocked}})


def test_headers_of_answers(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in ("agent/version", "kv/none", "nope", "status/leader"):
            answer = ask.get(path, record=False)
            ask.note(path, {"status": answer.status, "header": answer.headers.get("X-Own")})

    play(scenario, {"http_config": {"response_headers": {"X-Own": "own"}}})


def test_a_primary_datacenter_of_its_own(play: Play) -> None:
    def scenario(ask: World) -> None:
        for path in ("catalog/datacenters", "coordinate/datacenters", "catalog/nodes?dc=DC-7"):
            ask.get(path)
        ask.get("catalog/nodes?dc=dc-7")
        ask.dig("node-1.node.dc-7.consul")
        ask.dig("node-1.node.DC-7.consul")
        ask.cli("catalog", "datacenters")
        ask.cli("acl", "token", "list", "-format=json")

    acl = {"enabled": True, "tokens": {"initial_management": MANAGEMENT}}
    config = {"datacenter": "DC-7", "primary_datacenter": "dc-7", "acl": acl}
    play(scenario, config, token=MANAGEMENT)
