"""Config entries: reading them, what each kind refuses, and how they go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.config.hcl import parse_hcl
from portway.discovery.api.answer import encode
from portway.mesh.entries import (
    KINDS,
    AnyEntry,
    Entry,
    EntryError,
    check_chain,
    check_graph,
    decode_entry,
    decode_part,
    kind_name,
)

E = TypeVar("E", bound=Entry)


def entry(kind: str, name: str = "x", **fields: Any) -> Entry:
    named: dict[str, Any] = {} if kind == "mesh" else {"Name": name}
    return decode_entry({"Kind": kind, **named, **fields})


def shown(value: Entry) -> Any:
    return msgspec.json.decode(encode(value))


# What each kind shows of itself when nothing is given.
EMPTY: dict[str, dict[str, Any]] = {
    "service-defaults": {"Protocol": "", "TransparentProxy": {}, "MeshGateway": {}, "Expose": {}},
    "proxy-defaults": {
        "Config": None,
        "TransparentProxy": {},
        "MeshGateway": {},
        "Expose": {},
        "AccessLogs": {},
    },
    "service-router": {"Routes": None},
    "service-splitter": {"Splits": None},
    "service-resolver": {},
    "ingress-gateway": {"TLS": {"Enabled": False}, "Listeners": None},
    "terminating-gateway": {"Services": None},
    "service-intentions": {"Sources": None},
    "mesh": {"TransparentProxy": {"MeshDestinationsOnly": False}},
    "exported-services": {},
    "api-gateway": {"Listeners": None, "Status": {"Conditions": None}},
    "bound-api-gateway": {"Listeners": None},
    "http-route": {
        "Parents": None,
        "Rules": None,
        "Hostnames": None,
        "Status": {"Conditions": None},
    },
    "tcp-route": {"Parents": None, "Services": None, "Status": {"Conditions": None}},
    "inline-certificate": {"Certificate": "", "PrivateKey": ""},
    "file-system-certificate": {"Certificate": "", "PrivateKey": ""},
    "jwt-provider": {"ClockSkewSeconds": 30},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_empty_entry_of_each_kind(kind: str) -> None:
    named = {} if kind == "mesh" else {"Name": "x"}
    assert shown(entry(kind)) == {"Kind": kind, **named, **EMPTY[kind]}


GUIDES = {
    # Entries as HashiCorp's guides write them, and something that must come out of them.
    """
    Kind = "service-router"
    Name = "web"
    Routes = [
      {
        Match { HTTP { PathPrefix = "/admin" Methods = ["get"] } }
        Destination { Service = "admin" PrefixRewrite = "/" RequestTimeout = "15s" }
      },
      {
        Match {
          HTTP {
            Header = [{ Name = "x-debug" Exact = "1" }]
            QueryParam = [{ Name = "x" Present = true }]
          }
        }
        Destination { ServiceSubset = "canary" NumRetries = 5 RetryOnStatusCodes = [503, 504] }
      },
    ]
    """: ("Routes.0.Destination.RequestTimeout", "15s"),
    """
    kind = "service-splitter"
    name = "web"
    splits = [
      { weight = 99.5 service_subset = "v1" },
      { weight = 0.5 service_subset = "v2" request_headers { set { x-canary = "1" } } },
    ]
    """: ("Splits.1", {
        "Weight": 0.5,
        "ServiceSubset": "v2",
        "RequestHeaders": {"Set": {"x-canary": "1"}},
    }),
    """
    Kind = "service-resolver"
    Name = "web"
    ConnectTimeout = "0s"
    Failover = { "*" = { Datacenters = ["dc3", "dc4"] } }
    LoadBalancer = {
      Policy = "ring_hash"
      RingHashConfig { MinimumRingSize = 1024 }
      HashPolicies = [{ Field = "cookie" FieldValue = "sid" CookieConfig { TTL = "60s" } }]
    }
    """: ("LoadBalancer.HashPolicies.0.CookieConfig.TTL", 60_000_000_000),
    """
    Kind = "service-intentions"
    Name = "fort-knox"
    Sources = [
      { Name = "contractor-webapp" Permissions = [
          { Action = "allow" HTTP { Methods = ["GET", "head"] PathExact = "/healtz" } }
        ]
      },
      { Name = "*" Action = "deny" },
    ]
    """: ("Sources.0.Permissions.0.HTTP.Methods", ["GET", "HEAD"]),
    """
    Kind = "ingress-gateway"
    Name = "us-east-ingress"
    TLS { Enabled = true TLSMinVersion = "TLSv1_2" }
    Listeners = [{
      Port = 8080
      Protocol = "HTTP"
      Services = [{ Name = "api" Hosts = ["foo.example.com", "*.example.org"] }]
    }]
    """: ("Listeners.0.Protocol", "http"),
    """
    Kind = "terminating-gateway"
    Name = "us-west-gateway"
    Services = [{ Name = "billing" CAFile = "/etc/certs/ca.pem" SNI = "billing.service" }]
    """: ("Services.0", {"Name": "billing", "CAFile": "/etc/certs/ca.pem",
                         "SNI": "billing.service"}),
    """
    Kind = "proxy-defaults"
    Name = "global"
    Config { protocol = "http" envoy_prometheus_bind_addr = "0.0.0.0:9102" }
    AccessLogs { Enabled = true Type = "file" Path = "/var/log/envoy.log" }
    """: ("Config.protocol", "http"),
    """
    Kind = "mesh"
    TransparentProxy { MeshDestinationsOnly = true }
    TLS { Incoming { TLSMinVersion = "TLSv1_2" } }
    HTTP { SanitizeXForwardedClientCert = true }
    """: ("HTTP", {"SanitizeXForwardedClientCert": True}),
    """
    Kind = "exported-services"
    Name = "default"
    Services = [{ Name = "web" Consumers = [{ Peer = "cluster-02" }] }]
    """: ("Services.0.Consumers", [{"Peer": "cluster-02"}]),
    """
    Kind = "api-gateway"
    Name = "gw"
    Listeners = [{ Port = 8443 Name = "main" Protocol = "http"
      TLS = { Certificates = [{ Name = "cert" }] } }]
    """: ("Listeners.0.TLS.Certificates.0.Kind", "inline-certificate"),
    """
    Kind = "http-route"
    Name = "route"
    Parents = [{ Name = "gw" SectionName = "main" }]
    Rules = [{ Services = [{ Name = "web" }] Matches = [{ Method = "get" }] }]
    """: ("Rules.0.Matches.0.Path", {"Match": "prefix", "Value": "/"}),
    """
    Kind = "tcp-route"
    Name = "route"
    Parents = [{ Kind = "api-gateway" Name = "gw" }]
    Services = [{ Name = "db" }]
    """: ("Services", [{"Name": "db"}]),
    """
    Kind = "jwt-provider"
    Name = "okta"
    Issuer = "okta"
    JSONWebKeySet { Remote { URI = "https://okta.example.com/keys" CacheDuration = "30m" } }
    """: ("JSONWebKeySet.Remote.CacheDuration", 1_800_000_000_000),
    """
    Kind = "service-defaults"
    Name = "db"
    UpstreamConfig {
      Overrides = [{ Name = "cache" Limits { MaxConnections = 7 } MeshGateway { Mode = "local" } }]
      Defaults { ConnectTimeoutMs = 100 }
    }
    MaxRequestHeadersKB = 96
    EnvoyExtensions = [{ Name = "builtin/lua" Arguments { Script = "" } }]
    """: ("UpstreamConfig.Overrides.0.MeshGateway", {"Mode": "local"}),
}  # fmt: skip


@pytest.mark.parametrize("text", GUIDES)
def test_entries_of_guides_are_right_and_keep_what_they_say(text: str) -> None:
    made = decode_entry(parse_hcl(text, "guide.hcl"))
    made.check()
    path, wanted = GUIDES[text]
    node = shown(made)
    for step in path.split("."):
        node = node[int(step) if isinstance(node, list) else step]
    assert node == wanted
    stored = msgspec.msgpack.encode(made)
    assert msgspec.msgpack.decode(stored, type=AnyEntry) == made
    assert decode_entry(shown(made)) == made


def source(**fields: Any) -> dict[str, Any]:
    return {"Sources": [{"Name": "web", **fields}]}


def listener(**fields: Any) -> dict[str, Any]:
    services = [{"Name": "web"}]
    return {"Listeners": [{"Port": 80, "Protocol": "http", "Services": services, **fields}]}


def match(**fields: Any) -> dict[str, Any]:
    return {"Routes": [{"Match": {"HTTP": fields}}]}


def allow(**fields: Any) -> dict[str, Any]:
    return source(Permissions=[{"Action": "allow", **fields}])


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("service-defaults", {"Name": ""}, "Name is required"),
    ("service-defaults", {"Name": "*"}, "and not a wildcard"),
    ("service-defaults", {"Meta": {"k" * 129: ""}}, "exceeds maximum length 128"),
    ("service-defaults", {"Meta": {"k": "v" * 513}}, "exceeds maximum length 512"),
    ("service-defaults", {"Meta": dict.fromkeys(map(str, range(65)), "")}, "maximum element count"),
    ("service-defaults", {"BalanceInboundConnections": "x"}, "invalid value for balance_inbound"),
    ("service-defaults", {"MaxRequestHeadersKB": 0}, "MaxRequestHeadersKB must be greater than 0"),
    ("service-defaults", {"Destination": {"Port": 1}}, "must contain at least one valid address"),
    ("service-defaults", {"Destination": {"Addresses": ["a", "a"], "Port": 1}}, "Duplicate addr"),
    ("service-defaults", {"Destination": {"Addresses": ["*.a"], "Port": 1}}, "as an IP or Hostna"),
    ("service-defaults", {"Destination": {"Addresses": ["a"]}}, "Invalid Port number 0"),
    (
        "service-defaults",
        {"Destination": {"Addresses": ["a"], "Port": 1}, "UpstreamConfig": {}},
        "mutually exclusive",
    ),
    ("service-defaults", {"UpstreamConfig": {"Defaults": {"Name": "a"}}}, "Name must be empty"),
    ("service-defaults", {"UpstreamConfig": {"Overrides": [{}]}}, "override for :: Name is"),
    (
        "service-defaults",
        {"UpstreamConfig": {"Defaults": {"Limits": {"MaxConnections": -1}}}},
        "error in upstream defaults: 1 error occurred:\n\t* max connections cannot be negative",
    ),
    (
        "service-defaults",
        {"UpstreamConfig": {"Defaults": {"PassiveHealthCheck": {"MaxEjectionPercent": 101}}}},
        "must be a percentage between 0 and 100",
    ),
    ("service-defaults", {"RateLimits": {"InstanceLevel": {"RequestsMaxBurst": 1}}}, "Rate limit"),
    ("service-defaults", {"EnvoyExtensions": [{"Name": "builtin/lue"}]}, "is not a built-in"),
    ("proxy-defaults", {"Name": "x"}, 'only "global" is supported'),
    ("proxy-defaults", {"Name": "global", "AccessLogs": {"Type": "x"}}, "invalid access log type"),
    ("proxy-defaults", {"Name": "global", "AccessLogs": {"Type": "file"}}, "path must be specifi"),
    (
        "proxy-defaults",
        {"Name": "global", "AccessLogs": {"JSONFormat": "{}", "TextFormat": "x"}},
        "cannot specify both",
    ),
    ("proxy-defaults", {"Name": "global", "FailoverPolicy": {"Mode": "x"}}, "must be one of"),
    ("service-router", match(PathExact="a"), "PathExact doesn't start with '/'"),
    ("service-router", match(PathPrefix="a"), "PathPrefix doesn't start with '/'"),
    ("service-router", match(PathExact="/a", PathPrefix="/b"), "at most one of PathExact"),
    ("service-router", match(PathRegex="(?!a)"), "is not a valid regular expression"),
    ("service-router", match(Header=[{"Exact": "a"}]), "Header[0] missing required Name field"),
    ("service-router", match(Header=[{"Name": "a"}]), "should only contain one of Present"),
    ("service-router", match(Header=[{"Name": "a", "Exact": "b", "Regex": "c"}]), "only contain o"),
    (
        "service-router",
        match(Header=[{"Name": "a", "Present": True, "IgnoreCase": True}]),
        "when using IgnoreCase",
    ),
    ("service-router", match(QueryParam=[{"Exact": "b"}]), "QueryParam[0] missing required Name"),
    ("service-router", match(QueryParam=[{"Name": "a"}]), "only contain one of Present, Exact, or"),
    ("service-router", match(Methods=["FETCH"]), 'contains an invalid method "FETCH"'),
    ("service-router", match(Methods=["GET", "get"]), 'contains "GET" more than once'),
    ("service-router", {"Routes": [{"Destination": {"PrefixRewrite": "/"}}]}, "PrefixRewrite with"),
    ("service-router", {"Routes": [{"Destination": {"RetryOn": ["x"]}}]}, "invalid retry conditio"),
    ("service-splitter", {}, "no splits configured"),
    ("service-splitter", {"Splits": [{"Weight": 99}]}, "must be 100, not 99.0"),
    ("service-splitter", {"Splits": [{"Weight": 50}, {"Weight": 50}]}, "occurs more than once"),
    (
        "service-splitter",
        {"Splits": [{"Weight": 150}, {"Weight": -50, "Service": "a"}]},
        "must be from 0 to 100",
    ),
    ("service-resolver", {"DefaultSubset": "v1"}, 'DefaultSubset "v1" is not a valid subset'),
    ("service-resolver", {"Subsets": {"": {}}}, "empty name"),
    ("service-resolver", {"Subsets": {"V1": {}}}, 'Subset "V1" is invalid'),
    ("service-resolver", {"Subsets": {"v": {"Filter": "nope"}}}, "is not a valid expression"),
    ("service-resolver", {"Subsets": {"v": {"Filter": "Nope == 1"}}}, "is not a valid expression"),
    ("service-resolver", {"Redirect": {}}, "Redirect is empty"),
    ("service-resolver", {"Redirect": {"ServiceSubset": "v"}}, "defined without Redirect.Service"),
    ("service-resolver", {"Redirect": {"Peer": "p"}}, "Redirect.Peer defined without"),
    (
        "service-resolver",
        {"Redirect": {"Service": "a", "Peer": "p", "Datacenter": "dc2"}},
        "Redirect.Peer cannot be set with Redirect.Datacenter",
    ),
    (
        "service-resolver",
        {"Redirect": {"Service": "a"}, "Failover": {"*": {"Service": "b"}}},
        "cannot both be set",
    ),
    ("service-resolver", {"Redirect": {"SamenessGroup": "g"}}, "requires Consul Enterprise"),
    ("service-resolver", {"Failover": {"v9": {"Service": "a"}}}, 'Failover["v9"]: not a valid sub'),
    ("service-resolver", {"Failover": {"*": {}}}, "one of Service, ServiceSubset"),
    ("service-resolver", {"Failover": {"*": {"Datacenters": [""]}}}, "found empty datacenter"),
    (
        "service-resolver",
        {"Failover": {"*": {"Service": "a", "Targets": [{"Service": "b"}]}}},
        "Targets cannot be set with Service",
    ),
    (
        "service-resolver",
        {"Failover": {"*": {"Targets": [{"Peer": "p", "Datacenter": "dc2"}]}}},
        "Peer cannot be set with Datacenter",
    ),
    ("service-resolver", {"ConnectTimeout": "-1s"}, "Bad ConnectTimeout '-1s', must be >= 0"),
    ("service-resolver", {"LoadBalancer": {"Policy": "x"}}, '"x" is not supported'),
    (
        "service-resolver",
        {"LoadBalancer": {"Policy": "random", "RingHashConfig": {}}},
        'incompatible load balancing policy "random"',
    ),
    (
        "service-resolver",
        {"LoadBalancer": {"Policy": "random", "HashPolicies": [{"SourceIP": True}]}},
        "non-hash-based Policy",
    ),
    (
        "service-resolver",
        {"LoadBalancer": {"Policy": "maglev", "HashPolicies": [{"Field": "header"}]}},
        "without a FieldValue",
    ),
    (
        "service-resolver",
        {
            "LoadBalancer": {
                "Policy": "maglev",
                "HashPolicies": [
                    {
                        "Field": "cookie",
                        "FieldValue": "a",
                        "CookieConfig": {"Session": True, "TTL": "1s"},
                    }
                ],
            }
        },
        "a session cookie cannot have an associated TTL",
    ),
    ("service-intentions", {}, "At least one source is required"),
    ("service-intentions", {"Name": "we*"} | source(Action="allow"), "partial values"),
    ("service-intentions", {"Sources": [{"Action": "allow"}]}, "Sources[0].Name is required"),
    ("service-intentions", source(), "Sources[0].Action must be set to 'allow' or 'deny'"),
    ("service-intentions", source(Action="maybe"), "must be set to 'allow' or 'deny'"),
    ("service-intentions", source(Action="allow", Type="x"), "Type must be set to 'consul'"),
    ("service-intentions", source(Action="allow", Description="d" * 513), "exceeds maximum length"),
    ("service-intentions", source(Action="allow", SamenessGroup="g"), "Consul Enterprise feature"),
    (
        "service-intentions",
        {"Sources": [{"Name": "a", "Action": "allow"}, {"Name": "a", "Action": "deny"}]},
        'Sources[1] defines "a" more than once',
    ),
    (
        "service-intentions",
        source(Action="allow", Permissions=[{"Action": "allow", "HTTP": {"PathExact": "/"}}]),
        "Action must be omitted if Permissions are specified",
    ),
    ("service-intentions", allow(), "Permissions[0].HTTP is required"),
    ("service-intentions", allow(HTTP={}), "Permissions[0].HTTP should not be empty"),
    ("service-intentions", allow(HTTP={"PathExact": "a"}), "doesn't start with '/'"),
    ("service-intentions", allow(HTTP={"Methods": ["X"]}), "contains an invalid method"),
    ("service-intentions", {"Name": "*"} | allow(HTTP={"PathExact": "/"}), "wildcarded destinat"),
    ("service-intentions", source(Permissions=[{"HTTP": {}}]), "Action must be set to 'allow'"),
    (
        "service-intentions",
        source(Action="allow") | {"JWT": {"Providers": [{}]}},
        "JWT provider name is required",
    ),
    ("ingress-gateway", {"Listeners": [{"Port": 1}]}, "No service declared for listener with port"),
    ("ingress-gateway", listener(Protocol="udp"), "'udp' is an unsupported protocol"),
    ("ingress-gateway", listener(Services=[{}]), "Service name cannot be blank"),
    ("ingress-gateway", listener(Services=[{"Name": "a"}] * 2), "cannot be added multiple times"),
    (
        "ingress-gateway",
        {"Listeners": listener()["Listeners"] * 2},
        "port 80 declared on two listeners",
    ),
    (
        "ingress-gateway",
        listener(Protocol="tcp", Services=[{"Name": "a"}, {"Name": "b"}]),
        "Multiple services per listener are only supported for L7",
    ),
    ("ingress-gateway", listener(Protocol="tcp", Services=[{"Name": "*"}]), "Wildcard service"),
    (
        "ingress-gateway",
        listener(Protocol="tcp", Services=[{"Name": "a", "Hosts": ["h"]}]),
        "not supported for the tcp protocol",
    ),
    (
        "ingress-gateway",
        listener(Services=[{"Name": "*", "Hosts": ["h"]}]),
        "Associating hosts to a wildcard service",
    ),
    (
        "ingress-gateway",
        listener(Services=[{"Name": "a", "Hosts": ["h", "h"]}]),
        "Hosts must be unique",
    ),
    ("ingress-gateway", listener(Services=[{"Name": "a", "Hosts": ["a.*.b"]}]), "leftmost label"),
    (
        "ingress-gateway",
        {"TLS": {"Enabled": True}} | listener(Services=[{"Name": "a", "Hosts": ["*"]}]),
        "Host '*' is not allowed when TLS is enabled",
    ),
    (
        "ingress-gateway",
        listener(
            Protocol="tcp", Services=[{"Name": "a", "RequestHeaders": {"Add": {"a": "b"}}}]
        ),
        "request headers only valid for http, http2 and grpc protocols",
    ),
    (
        "ingress-gateway",
        {"TLS": {"SDS": {"CertResource": "c"}}} | listener(),
        "TLS.SDS.ClusterName is required",
    ),
    ("ingress-gateway", {"TLS": {"TLSMinVersion": "1.2"}}, "no matching TLS version found for 1.2"),
    (
        "ingress-gateway",
        {"TLS": {"TLSMinVersion": "TLSv1_3", "TLSMaxVersion": "TLSv1_2"}},
        "less than the configured min version",
    ),
    ("ingress-gateway", {"TLS": {"CipherSuites": ["x"]}}, "no matching Envoy TLS cipher suite"),
    ("terminating-gateway", {"Services": [{}]}, "Service name cannot be blank."),
    ("terminating-gateway", {"Services": [{"Name": "a"}] * 2}, "specified more than once"),
    ("terminating-gateway", {"Services": [{"Name": "a", "KeyFile": "k"}]}, "must have a CertFile"),
    ("mesh", {"Name": "mesh"}, 'invalid config key "Name"'),
    ("mesh", {"TLS": {"Incoming": {"TLSMinVersion": "x"}}}, "error in incoming"),
    ("exported-services", {}, 'exported-services Name must be "default"'),
    ("exported-services", {"Name": "default", "Services": [{}]}, "service name cannot be empty"),
    ("exported-services", {"Name": "default", "Services": [{"Name": "a"}]}, "at least one"),
    (
        "exported-services",
        {"Name": "default", "Services": [{"Name": "a", "Consumers": [{"Peer": "*"}]}]},
        "exporting to all peers (wildcard) is not supported",
    ),
    ("api-gateway", {}, "api gateway must have at least one listener"),
    ("api-gateway", {"Listeners": [{"Name": "A", "Port": 1}]}, 'listener name "A" is invalid'),
    ("api-gateway", {"Listeners": [{"Name": "a", "Port": 1}]}, "unsupported listener protocol"),
    ("api-gateway", {"Listeners": [{"Name": "a", "Protocol": "tcp"}]}, "port 0 not in the range"),
    (
        "api-gateway",
        {
            "Listeners": [
                {"Name": "a", "Port": 1, "Protocol": "tcp"},
                {"Name": "b", "Port": 1, "Protocol": "http"},
            ]
        },
        'listeners "a" and "b" cannot be merged',
    ),
    ("http-route", {"Hostnames": ["*.x"]}, "must not be a wildcard"),
    ("http-route", {"Parents": [{"Kind": "x"}]}, "must be 'api-gateway'"),
    ("http-route", {"Parents": [{"Name": "a"}] * 2}, "route parents must be unique"),
    ("http-route", {"Rules": [{"Matches": [{"Method": "X"}]}]}, "contains an invalid method"),
    (
        "http-route",
        {"Rules": [{"Matches": [{"Path": {"Match": "exact", "Value": "a"}}]}]},
        "Rule[0], Match[0], Path, exact type match doesn't start with '/'",
    ),
    ("tcp-route", {"Services": [{"Name": "a"}, {"Name": "b"}]}, "only supports one service"),
    ("inline-certificate", {"PrivateKey": "x"}, "failed to parse private key PEM"),
    ("file-system-certificate", {}, "certificate path is required"),
    ("jwt-provider", {}, "JSONWebKeySet is required"),
    ("jwt-provider", {"JSONWebKeySet": {}}, "exactly one of Local or Remote"),
    ("jwt-provider", {"JSONWebKeySet": {"Local": {}}}, "exactly one of String or filename"),
    ("jwt-provider", {"JSONWebKeySet": {"Local": {"JWKS": "?"}}}, "valid base64 encoded string"),
    ("jwt-provider", {"JSONWebKeySet": {"Remote": {}}}, "Remote JWKS URI is required"),
    ("jwt-provider", {"JSONWebKeySet": {"Remote": {"URI": "x"}}}, "Remote JWKS URI is invalid"),
    (
        "jwt-provider",
        {"JSONWebKeySet": {"Local": {"Filename": "f"}}, "Locations": [{}]},
        "must set exactly one of: JWT location header",
    ),
    (
        "jwt-provider",
        {"JSONWebKeySet": {"Local": {"Filename": "f"}}, "Forwarding": {}},
        "Header name required for forwarding config",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "text"), REFUSED)
def test_what_cannot_be_is_refused(kind: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(EntryError) as caught:
        entry(kind, **fields).check()
    assert text in str(caught.value)


def test_an_inline_certificate_must_fit_its_key() -> None:
    from portway.cli.tls.certificates import authority, issue, key_pem

    ca = authority("test", days=1, constraints=())
    one = issue(ca, "web", ["web.example"], [], days=1)
    other = issue(ca, "web", ["web.example"], [], days=1)
    fields = {"Certificate": one.certificate_pem, "PrivateKey": key_pem(one.key)}
    entry("inline-certificate", **fields).check()
    with pytest.raises(EntryError, match="private key does not match public key"):
        entry("inline-certificate", **fields | {"PrivateKey": key_pem(other.key)}).check()


class World:
    """Entries by kind and name, for checks of how they go together."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = {(type(one), one.name): one for one in entries}

    def get(self, kind: type[E], name: str) -> E | None:
        return cast("E | None", self.entries.get((kind, name)))

    def all(self, kind: type[E]) -> Iterable[E]:
        return [cast("E", one) for (cls, _), one in self.entries.items() if cls is kind]

    def reaching(self, service: str) -> Iterable[str]:
        return [
            name
            for (cls, name), one in self.entries.items()
            if service in one.reaches() and kind_name(cls) != "ingress-gateway"
        ]


def protocol(name: str, value: str, **fields: Any) -> Entry:
    return entry("service-defaults", name, Protocol=value, **fields)


def splitter(name: str, *services: str) -> Entry:
    splits = [{"Weight": 100 // len(services), "Service": service} for service in services]
    return entry("service-splitter", name, Splits=splits)


def redirect(name: str, service: str, **fields: Any) -> Entry:
    return entry("service-resolver", name, Redirect={"Service": service, **fields})


def router(name: str, **destination: Any) -> Entry:
    return entry("service-router", name, Routes=[{"Destination": destination}])


HTTP = entry("proxy-defaults", "global", Config={"protocol": "HTTP"})
V1 = entry("service-resolver", "b", Subsets={"v1": {}})
ACYCLIC = "detected circular reference"
TOGETHER: list[tuple[list[Entry], str]] = [
    # The last entry is the one that changed.
    ([splitter("a", "b")], 'chain "a" uses a protocol "tcp" that does not permit advanced'),
    ([router("a", Service="b")], 'chain "a" uses a protocol "tcp" that does not permit advanced'),
    ([HTTP, splitter("a", "b")], ""),
    ([HTTP, router("a", Service="b")], ""),
    ([protocol("a", "grpc"), splitter("a", "a")], ""),
    ([protocol("a", "http"), splitter("a", "a", "b")], 'service "b" has "tcp" which is not "http"'),
    ([HTTP, splitter("a", "b"), protocol("b", "grpc")], ""),
    ([HTTP, router("a", Service="b"), protocol("b", "grpc")], "uses inconsistent protocols"),
    ([HTTP, protocol("b", "grpc"), redirect("a", "b")], "uses inconsistent protocols"),
    ([HTTP, splitter("a", "b"), splitter("b", "a")], ACYCLIC),
    ([HTTP, splitter("a", "b"), splitter("b", "c"), splitter("c", "b", "d")], ACYCLIC),
    ([HTTP, splitter("a", "b", "c"), splitter("b", "d"), splitter("c", "d")], ""),
    ([redirect("a", "b"), redirect("b", "a")], "circular resolver redirect: [b.default.default"),
    ([redirect("a", "b"), redirect("b", "c")], ""),
    ([redirect("a", "b", ServiceSubset="v1")], 'service "b" does not have a subset named "v1"'),
    ([V1, redirect("a", "b", ServiceSubset="v1")], ""),
    ([redirect("a", "b", Peer="p")], ""),
    ([HTTP, router("a", Service="b", ServiceSubset="v1")], "does not have a subset named"),
    ([HTTP, V1, router("a", Service="b", ServiceSubset="v1")], ""),
    (
        [entry("service-resolver", "a", Failover={"*": {"Service": "b", "ServiceSubset": "x"}})],
        'service "b" does not have a subset named "x"',
    ),
    (
        [
            protocol("b", "http"),
            entry("service-resolver", "a", Failover={"*": {"Targets": [{"Service": "b"}]}}),
        ],
        "uses inconsistent protocols",
    ),
    (
        [protocol("a", "", ExternalSNI="x"), entry("service-resolver", "a", Subsets={"v": {}})],
        "has an external SNI set; cannot define subsets",
    ),
    (
        [entry("ingress-gateway", "g", **listener())],
        'service "web" has protocol "tcp", which does not match defined listener protocol "http"',
    ),
    ([HTTP, entry("ingress-gateway", "g", **listener())], ""),
    (
        [HTTP, entry("ingress-gateway", "g", **listener()), protocol("web", "grpc")],
        'service "web" has protocol "grpc", which does not match',
    ),
    (
        [
            protocol("x", "http"),
            entry("service-intentions", **allow(HTTP={"PathExact": "/"})),
            protocol("x", "tcp"),
        ],
        "incompatible with L7 intentions permissions",
    ),
    (
        [protocol("a", "http", MutualTLSMode="permissive")],
        "cannot set MutualTLSMode=permissive because AllowEnablingPermissiveMutualTLS=false",
    ),
    (
        [
            entry("mesh", "mesh", AllowEnablingPermissiveMutualTLS=True),
            protocol("a", "http", MutualTLSMode="permissive"),
        ],
        "",
    ),
    (
        [
            entry(
                "service-intentions",
                **source(Action="allow"),
                JWT={"Providers": [{"Name": "okta"}]},
            )
        ],
        "Referenced JWT Provider does not exist. Provider Name: okta",
    ),
]


@pytest.mark.parametrize(("entries", "text"), TOGETHER)
def test_entries_together(entries: list[Entry], text: str) -> None:
    changed = entries[-1]
    if not text:
        check_graph(World(entries), type(changed), changed.name)
        return
    with pytest.raises(EntryError) as caught:
        check_graph(World(entries), type(changed), changed.name)
    assert text in str(caught.value)


def test_a_long_way_through_many_entries_is_walked_once_each() -> None:
    """Splitters that meet again: without memory the walk would double at every step."""
    steps = 40
    entries = [
        splitter(f"{side}{step}", f"a{step + 1}", f"b{step + 1}")
        for step in range(steps)
        for side in "ab"
    ]
    entries.append(HTTP)
    check_graph(World(entries), type(entries[-1]), entries[-1].name)


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Name", "Routes", "Match", "HTTP", "Splits", "Weight", "Sources", "Services", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(KINDS)), trees)
def test_whatever_is_written_is_an_entry_or_refused(kind: str, tree: Any) -> None:
    body = tree if isinstance(tree, dict) else {"Name": "x", "Config": tree, "Services": tree}
    try:
        made = decode_entry({**body, "Kind": kind})
        made.check()
    except EntryError:
        return
    assert decode_entry(msgspec.json.decode(encode(made))) == made


def test_a_way_that_does_not_end_soon_is_refused() -> None:
    entries = [HTTP, *(splitter(f"s{step}", f"s{step + 1}") for step in range(5000))]
    with pytest.raises(EntryError, match="more than 256 splitters one after the other"):
        check_chain(World(entries), "s0")


def test_all_mistakes_of_a_part_are_named_at_once() -> None:
    with pytest.raises(EntryError) as caught:
        decode_part({"Weight": "a lot", "Service": {}}, KINDS["service-splitter"])
    assert 'invalid config key "Weight"' in str(caught.value)
    with pytest.raises(EntryError, match="2 error"):
        entry("service-splitter", Splits=[{"Weight": "a lot", "Service": {}}])
