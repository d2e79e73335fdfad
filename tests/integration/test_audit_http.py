"""The rules common to every endpoint (Consul's HTTP API, "API structure"), one row each."""

from __future__ import annotations

import gzip
import json
from typing import Any, NamedTuple

import pytest

from portway.discovery.acl import AclSettings
from portway.discovery.api import Settings
from tests.integration.discovery_rig import MANAGEMENT, Discovery, running

READ_HEADERS = {
    "X-Consul-KnownLeader": "true",
    "X-Consul-LastContact": "0",
    "X-Consul-Query-Backend": "blocking-query",
}
CONSISTENCY = {"X-Consul-Effective-Consistency"}
TELL_CONSISTENCY = ("/v1/catalog/", "/v1/health/", "/v1/query", "/v1/operator/usage")
"""The reads that say how consistent they are."""


class Row(NamedTuple):
    """A request and what its answer must have."""

    rule: str
    method: str
    path: str
    status: int
    body: str | None = None
    headers: dict[str, str] = {}
    sent: dict[str, str] = {}


ROUTING = [
    Row(
        "an unknown path below /v1/",
        "GET",
        "/v1/nope",
        404,
        "Invalid URL path: not a recognized HTTP API endpoint\n",
        {"Content-Type": "text/plain; charset=utf-8"},
    ),
    Row(
        "an unknown path elsewhere",
        "GET",
        "/kv/x",
        404,
        "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n",
    ),
    Row("Enterprise's paths", "GET", "/v1/operator/license", 404),
    Row("Enterprise's paths", "GET", "/v1/namespaces", 404),
    Row("a path with // is led to the clean one", "GET", "//v1/catalog/nodes?stale", 301),
    Row(
        "OPTIONS tells the methods",
        "OPTIONS",
        "/v1/kv/x",
        200,
        "",
        {"Allow": "OPTIONS,GET,PUT,DELETE"},
    ),
    Row("without asking for a token", "OPTIONS", "/v1/catalog/nodes?token=x", 200, ""),
    Row(
        "a wrong verb",
        "POST",
        "/v1/kv/x",
        405,
        "method POST not allowed",
        {"Allow": "OPTIONS,GET,PUT,DELETE"},
    ),
    Row("a wrong verb", "DELETE", "/v1/catalog/nodes", 405, "method DELETE not allowed"),
    Row("HEAD is a wrong verb", "HEAD", "/v1/catalog/nodes", 405, "", {"Allow": "OPTIONS,GET"}),
    Row("characters that cannot be printed", "GET", "/v1/kv/%01", 400),
    Row("bytes that are no text", "GET", "/v1/kv/a%FF", 400, "Bad Request: the path is not UTF-8"),
]


@pytest.mark.parametrize("row", ROUTING, ids=lambda row: f"{row.rule} {row.path}")
async def test_routing(discovery: Discovery, row: Row) -> None:
    await answers(discovery, row)


async def answers(discovery: Discovery, row: Row) -> None:
    """The row's request has the row's answer."""
    reply = await discovery.call(row.method, row.path, **row.sent)
    assert (reply.status, reply.text if row.body is not None else None) == (row.status, row.body)
    for name, value in row.headers.items():
        assert reply.headers.get(name) == value, name
    endpoint = reply.status not in (301, 404) and not reply.text.startswith("Bad Request")
    of_all = {"Vary": "Accept-Encoding", "X-Consul-Default-ACL-Policy": "allow"}
    if endpoint:
        assert of_all.items() <= dict(reply.headers).items()


async def test_where_a_path_is_led(discovery: Discovery) -> None:
    reply = await discovery.get("//v1/catalog/../catalog//nodes?stale&dc=dc1")
    assert (reply.status, reply.headers["Location"]) == (301, "/v1/catalog/nodes?stale&dc=dc1")
    assert (await discovery.get("//nope")).status == 301


QUERY = [
    Row(
        "stale and consistent",
        "GET",
        "?stale&consistent",
        400,
        "Cannot specify ?stale with ?consistent, conflicting semantics.",
    ),
    Row(
        "a value of a flag is not looked at",
        "GET",
        "?stale=false",
        200,
        None,
        {"X-Consul-Effective-Consistency": "stale"},
    ),
    Row(
        "cached and consistent",
        "GET",
        "?cached&consistent",
        400,
        "Cannot specify ?cached with ?consistent, conflicting semantics.",
    ),
    Row(
        "max_stale implies stale",
        "GET",
        "?max_stale=10s",
        200,
        None,
        {"X-Consul-Effective-Consistency": "stale"},
    ),
    Row("max_stale is a duration", "GET", "?max_stale=10", 400, 'Invalid max_stale value "10"'),
    Row(
        "consistent",
        "GET",
        "?consistent",
        200,
        None,
        {"X-Consul-Effective-Consistency": "consistent"},
    ),
    Row("the default", "GET", "", 200, None, READ_HEADERS),
    Row("another datacenter", "GET", "?dc=other", 500, "No path to datacenter"),
    Row("datacenter wins over dc", "GET", "?dc=other&datacenter=dc1", 200),
    Row("datacenter wins over dc", "GET", "?dc=dc1&datacenter=other", 500, "No path to datacenter"),
    Row("index is a number", "GET", "?index=x", 400, "Invalid index"),
    Row("wait is a duration", "GET", "?wait=5", 400, "Invalid wait time"),
    Row(
        "a namespace",
        "GET",
        "?ns=a",
        400,
        'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature',
    ),
    Row(
        "a partition",
        "GET",
        "?partition=a",
        400,
        'Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature',
    ),
    Row("an empty namespace is none", "GET", "?ns=&partition=", 200),
    Row(
        "a namespace in a header",
        "GET",
        "",
        400,
        'Invalid header: "X-Consul-Namespace" - Namespaces are a Consul Enterprise feature',
        {},
        {"X_Consul_Namespace": "a"},
    ),
    Row(
        "a partition in a header",
        "GET",
        "",
        400,
        'Invalid header: "X-Consul-Partition" - Partitions are a Consul Enterprise feature',
        {},
        {"X_Consul_Partition": "a"},
    ),
    Row(
        "Cache-Control that cannot be read",
        "GET",
        "",
        400,
        "Invalid Cache-Control header.",
        {},
        {"Cache_Control": "max-age=x"},
    ),
    Row(
        "Cache-Control that cannot be read",
        "GET",
        "",
        400,
        "Invalid Cache-Control header.",
        {},
        {"Cache_Control": "must-revalidate, stale-if-error=1s"},
    ),
    Row(
        "Cache-Control",
        "GET",
        "",
        200,
        None,
        {},
        {"Cache_Control": "max-age=5, must-revalidate, stale-if-error=10, no-store"},
    ),
]
LISTS = [
    "/v1/catalog/nodes",
    "/v1/health/state/any",
    "/v1/session/list",
    "/v1/kv/?keys",
    "/v1/query",
]


# Nodes are in no namespace, prepared queries in no partition either.
LOOK_AT_NEITHER: dict[str, tuple[str, ...]] = {
    "/v1/catalog/nodes": ("a namespace",),
    "/v1/query": ("a namespace", "a partition"),
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("row", QUERY, ids=lambda row: f"{row.rule} {row.path}")
async def test_parameters_of_every_read(discovery: Discovery, row: Row, path: str) -> None:
    joined = path + ("&" + row.path[1:] if "?" in path and row.path else row.path)
    headers = row.headers
    if not path.startswith(TELL_CONSISTENCY):
        headers = {name: value for name, value in headers.items() if name not in CONSISTENCY}
    if path in LOOK_AT_NEITHER and row.rule.startswith(LOOK_AT_NEITHER[path]):
        row = row._replace(status=200, body=None)
    await answers(discovery, row._replace(path=joined, headers=headers))


READS = [
    ("/v1/catalog/nodes", 200),
    ("/v1/catalog/services", 200),
    ("/v1/catalog/service/none", 200),
    ("/v1/catalog/connect/none", 200),
    ("/v1/catalog/node/none", 200),
    ("/v1/catalog/node-services/none", 200),
    ("/v1/catalog/gateway-services/none", 200),
    ("/v1/health/node/none", 200),
    ("/v1/health/checks/none", 200),
    ("/v1/health/state/critical", 200),
    ("/v1/health/service/none", 200),
    ("/v1/health/connect/none", 200),
    ("/v1/health/ingress/none", 200),
    ("/v1/kv/none", 404),
    ("/v1/kv/none?recurse", 404),
    ("/v1/kv/none?keys", 404),
    ("/v1/kv/none?raw", 404),
    ("/v1/session/list", 200),
    ("/v1/session/node/none", 200),
    ("/v1/session/info/none", 200),
    ("/v1/coordinate/nodes", 200),
    ("/v1/query", 200),
    ("/v1/config/service-defaults", 200),
    ("/v1/connect/intentions", 200),
    ("/v1/snapshot", 200),
    ("/v1/internal/ui/nodes", 200),
    ("/v1/internal/ui/services", 200),
    ("/v1/operator/usage", 200),
]


@pytest.mark.parametrize(("path", "status"), READS)
async def test_every_read_tells_of_itself(discovery: Discovery, path: str, status: int) -> None:
    """Index (never 0), contact and leader come together, on a 404 too; clients stop without."""
    reply = await discovery.get(path)
    assert reply.status == status
    assert reply.index >= 1
    assert {name: reply.headers[name] for name in READ_HEADERS} == READ_HEADERS
    consistency = "leader" if path.startswith(TELL_CONSISTENCY) else None
    assert reply.headers.get("X-Consul-Effective-Consistency") == consistency


@pytest.mark.parametrize(
    "path", ["/v1/status/leader", "/v1/status/peers", "/v1/catalog/datacenters", "/v1/event/list"]
)
async def test_these_are_no_such_reads(discovery: Discovery, path: str) -> None:
    reply = await discovery.get(path)
    assert reply.status == 200
    assert "X-Consul-KnownLeader" not in reply.headers
    assert ("X-Consul-Index" in reply.headers) == (path == "/v1/event/list")


CACHED = [
    "/v1/catalog/datacenters",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/connect/web",
    "/v1/health/service/web",
    "/v1/health/connect/web",
    "/v1/query/q/execute",
]
NOT_CACHED = ["/v1/catalog/nodes", "/v1/health/state/any", "/v1/health/node/n1", "/v1/kv/?keys"]


@pytest.mark.parametrize("path", [*CACHED, *NOT_CACHED])
async def test_cached_answers_say_so(discovery: Discovery, path: str) -> None:
    await discovery.call("POST", "/v1/query", {"Name": "q", "Service": {"Service": "web"}})
    plain = await discovery.get(path)
    cached = await discovery.get(path + ("&" if "?" in path else "?") + "cached")
    assert "X-Cache" not in plain.headers
    assert ("X-Cache" in cached.headers) == (path in CACHED)
    assert cached.headers.get("Age") == ("0" if path in CACHED else None)


async def test_caching_may_be_off() -> None:
    async with running(Settings(use_cache=False)) as discovery:
        for path in CACHED[:-1]:
            assert "X-Cache" not in (await discovery.get(f"{path}?cached")).headers


@pytest.mark.parametrize(
    ("accepts", "compressed"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, deflate", False),
        ("identity", False),
        ("*", False),
    ],
)
async def test_compression(discovery: Discovery, accepts: str, compressed: bool) -> None:
    for number in range(30):
        await discovery.register(Node=f"n{number}", Address="10.0.0.1")
    async with discovery.http.get(
        discovery.url + "/v1/catalog/nodes",
        headers={"Accept-Encoding": accepts},
        auto_decompress=False,
    ) as response:
        body = await response.read()
        assert (response.headers.get("Content-Encoding") == "gzip") == compressed
        assert response.headers["Vary"] == "Accept-Encoding"
    assert len(json.loads(gzip.decompress(body) if compressed else body)) == 30


async def test_small_bodies_are_not_compressed(discovery: Discovery) -> None:
    reply = await discovery.get("/v1/catalog/nodes", Accept_Encoding="gzip")
    assert "Content-Encoding" not in reply.headers


async def test_names_of_headers_have_capitals(discovery: Discovery) -> None:
    """HTTP does not care; ``grep`` does."""
    async with discovery.http.get(discovery.url + "/v1/kv/none") as response:
        names = [name.decode() for name, _ in response.raw_headers]
    assert {"Date", "Vary", "Content-Length", "X-Consul-Index", "X-Consul-KnownLeader"} <= {*names}
    assert not [name for name in names if name[0].islower()]


async def test_json_as_go_writes_it(discovery: Discovery) -> None:
    await discovery.register(Node="n1", Address="10.0.0.1", NodeMeta={"b": "<&>", "a": "\u2028"})
    plain = await discovery.get("/v1/catalog/node/n1")
    assert plain.headers["Content-Type"] == "application/json"
    assert '"Meta":{"a":"\\u2028","b":"\\u003c\\u0026\\u003e"}' in plain.text
    assert not plain.text.endswith("\n")
    for flag in ("pretty", "pretty=false"):
        pretty = await discovery.get(f"/v1/catalog/node/n1?{flag}")
        assert pretty.text.startswith('{\n    "Node": {\n        "ID": ""')
        assert '"b": "\\u003c\\u0026\\u003e"' in pretty.text
        assert pretty.text.endswith("}\n")


BODIES: list[tuple[str, str, Any, int, str]] = [
    ("names of fields have no case", "register", {"NODE": "n", "address": "1.1.1.1"}, 200, "true"),
    (
        "unknown fields",
        "register",
        {"Node": "n", "Address": "1.1.1.1", "Adress": ""},
        400,
        'Request decode failed: json: unknown field "Adress"',
    ),
    (
        "unknown fields below",
        "register",
        {"Node": "n", "Address": "1.1.1.1", "Service": {"Service": "a", "Foo": 1}},
        400,
        'Request decode failed: json: unknown field "Foo"',
    ),
    (
        "Enterprise's fields",
        "register",
        {"Node": "n", "Address": "1.1.1.1", "Namespace": "a"},
        400,
        'Request decode failed: json: unknown field "Namespace" - Namespaces are a Consul '
        "Enterprise feature",
    ),
    (
        "that are empty",
        "register",
        {"Node": "n", "Address": "1.1.1.1", "Namespace": ""},
        200,
        "true",
    ),
    (
        "snake_case of services and checks",
        "register",
        {
            "Node": "n",
            "Address": "1.1.1.1",
            "Service": {"Service": "a", "enable_tag_override": True, "tagged_addresses": {}},
            "Check": {"Name": "c", "service_id": "a"},
        },
        200,
        "true",
    ),
    ("no body at all", "register", b"", 400, "Request decode failed: EOF"),
    ("null is nothing", "register", b"null", 500, "Must provide node"),
    (
        "null leaves a field alone, and is empty in maps and lists",
        "register",
        {
            "Node": "n",
            "Address": "1.1.1.1",
            "NodeMeta": {"a": None},
            "Service": {"Service": "a", "Tags": [None], "Meta": None, "Proxy": None},
            "Check": None,
            "Checks": None,
        },
        200,
        "true",
    ),
    ("nothing to find it by", "deregister", {}, 500, "Must provide node"),
    ("what is not there", "deregister", {"Node": "none"}, 200, "true"),
]


@pytest.mark.parametrize(
    ("rule", "path", "body", "status", "text"), BODIES, ids=[row[0] for row in BODIES]
)
async def test_bodies(
    discovery: Discovery, rule: str, path: str, body: Any, status: int, text: str
) -> None:
    reply = await discovery.put(f"/v1/catalog/{path}", body)
    assert (reply.status, reply.text) == (status, text), rule


@pytest.mark.parametrize(
    ("query", "headers", "works"),
    [
        ("", {"X_Consul_Token": MANAGEMENT}, True),
        ("", {"Authorization": f"Bearer {MANAGEMENT}"}, True),
        ("", {"Authorization": f"bearer {MANAGEMENT}"}, True),
        (f"?token={MANAGEMENT}", {}, True),
        (f"?token={MANAGEMENT}", {"X_Consul_Token": "x"}, True),
        ("?token=x", {"X_Consul_Token": MANAGEMENT}, False),
        ("", {"X_Consul_Token": "x", "Authorization": f"Bearer {MANAGEMENT}"}, False),
        ("?token=", {"X_Consul_Token": "", "Authorization": f"Bearer {MANAGEMENT}"}, True),
    ],
)
async def test_which_token_counts(query: str, headers: dict[str, str], works: bool) -> None:
    """``?token`` before ``X-Consul-Token`` before ``Authorization``."""
    async with running(
        Settings(default_policy="deny"), AclSettings(enabled=True, default_allow=False)
    ) as discovery:
        reply = await discovery.get(f"/v1/operator/usage{query}", **headers)
        assert reply.headers["X-Consul-Default-ACL-Policy"] == "deny"
        assert reply.status == (200 if works else 403)
        assert works or reply.text == "ACL not found"


async def test_results_that_are_filtered() -> None:
    """Only who has a token is told that there is more."""
    async with running(
        Settings(default_policy="deny"), AclSettings(enabled=True, default_allow=False)
    ) as discovery:
        auth = {"X_Consul_Token": MANAGEMENT}
        await discovery.put("/v1/catalog/register", {"Node": "n", "Address": "1.1.1.1"}, **auth)
        made = (await discovery.put("/v1/acl/token", {}, **auth)).json
        weak = {"X_Consul_Token": made["SecretID"]}
        name = "X-Consul-Results-Filtered-By-ACLs"
        for sent, told in (({}, None), (weak, "true"), (auth, None)):
            assert (await discovery.get("/v1/catalog/nodes", **sent)).headers.get(name) == told


async def test_guards() -> None:
    """``block_endpoints``, ``allow_write_http_from``, ``response_headers`` and the filter."""
    settings = Settings(
        block_endpoints=("/v1/acl", "/v1/kv/secret"),
        allow_write_http_from=("10.0.0.0/8",),
        response_headers={"X-Mine": "a"},
        disable_unprintable_filter=True,
    )
    async with running(settings) as discovery:
        for path in ("/v1/acl/tokens", "/v1/kv/secret/a", "/v1/kv//secret/a", "/v1/kv/%2Fsecret"):
            blocked = await discovery.get(path)
            assert (blocked.status, blocked.text) == (
                403,
                "Endpoint is blocked by agent configuration",
            )
        write = await discovery.put("/v1/kv/x", b"1")
        assert (write.status, write.text) == (403, "Access is restricted")
        assert (await discovery.call("OPTIONS", "/v1/kv/x")).status == 200
        read = await discovery.get("/v1/kv/%01")
        assert (read.status, read.headers["X-Mine"]) == (404, "a")
        assert (await discovery.get("/v1/kv/%FF")).status == 400
