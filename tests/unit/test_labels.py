"""Container labels: Traefik's grammar, and what a wrong label disables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.edge.dynamic import (
    Domain,
    LabelServer,
    LoadBalancer,
    Middleware,
    Router,
    RouterTLS,
    Service,
)
from portway.edge.labels import ContainerOptions, decode_labels
from portway.edge.middlewares import (
    Chain,
    Headers,
    IPAllowList,
    RateLimit,
    RedirectRegex,
    StripPrefix,
)
from portway.edge.middlewares.source import IPStrategy


def errors(labels: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    return {key: [str(p) for p in found] for key, found in decode_labels(labels).errors.items()}


def problems(labels: Mapping[str, str]) -> list[str]:
    return [str(problem) for problem in decode_labels(labels).problems]


def test_the_usual_labels() -> None:
    decoded = decode_labels(
        {
            "com.docker.compose.service": "api",
            "maintainer": "someone",
            "traefik.enable": "true",
            "traefik.docker.network": "front",
            "traefik.http.routers.api.rule": "PathPrefix(`/api`)",
            "traefik.http.routers.api.entrypoints": "web, websecure",
            "traefik.http.routers.api.middlewares": "strip,limit@file",
            "traefik.http.services.api.loadbalancer.server.port": "8080",
            "traefik.http.middlewares.strip.stripprefix.prefixes": "/api",
        }
    )
    assert decoded.routers == {
        "api": Router(
            rule="PathPrefix(`/api`)",
            entry_points=["web", "websecure"],
            middlewares=["strip", "limit@file"],
        )
    }
    assert decoded.services == {
        "api": Service(load_balancer=LoadBalancer(server=LabelServer(port="8080")))
    }
    assert decoded.middlewares == {"strip": Middleware(strip_prefix=StripPrefix(prefixes=["/api"]))}
    assert decoded.options == ContainerOptions(enable=True, network="front")
    assert decoded.errors == {}
    assert decoded.problems == []


@pytest.mark.parametrize(
    ("labels", "middleware"),
    [
        (
            {"ratelimit.average": "100", "ratelimit.burst": "50", "ratelimit.period": "1m"},
            Middleware(rate_limit=RateLimit(average=100, burst=50, period=60.0)),  # type: ignore[arg-type]
        ),
        (
            {"ipwhitelist.sourcerange": "10.0.0.0/8,192.168.0.0/16"},
            Middleware(ip_white_list=IPAllowList(source_range=["10.0.0.0/8", "192.168.0.0/16"])),
        ),
        (
            {"ipallowlist.sourcerange": "1.2.3.4", "ipallowlist.ipstrategy": "true"},
            Middleware(
                ip_allow_list=IPAllowList(source_range=["1.2.3.4"], ip_strategy=IPStrategy())
            ),
        ),
        (
            {
                "headers.framedeny": "true",
                "headers.sslredirect": "true",
                "headers.stsSeconds": "31536000",
                "headers.contentTypeNosniff": "true",
            },
            Middleware(
                headers=Headers(
                    frame_deny=True,
                    ssl_redirect=True,
                    sts_seconds=31536000,
                    content_type_nosniff=True,
                )
            ),
        ),
        (
            {"headers.customrequestheaders.X-Script-Name": "test"},
            Middleware(headers=Headers(custom_request_headers={"X-Script-Name": "test"})),
        ),
        (
            {"chain.middlewares": "a,b , c@file"},
            Middleware(chain=Chain(middlewares=["a", "b", "c@file"])),
        ),
        (
            {"redirectregex.regex": "^a{1,2}$$", "redirectregex.replacement": "b"},
            Middleware(redirect_regex=RedirectRegex(regex="^a{1,2}$$", replacement="b")),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_middlewares(labels: dict[str, str], middleware: Middleware) -> None:
    prefixed = {f"traefik.http.middlewares.m.{key}": value for key, value in labels.items()}
    decoded = decode_labels(prefixed)
    assert decoded.errors == {}
    assert decoded.middlewares == {"m": middleware}


def test_our_prefix_means_the_same() -> None:
    rule = "http.routers.r.rule"
    both = {f"traefik.{rule}": "Host(`a`)", "portway.http.routers.r.priority": "5"}
    assert decode_labels(both).routers == {"r": Router(rule="Host(`a`)", priority=5)}
    agreeing = {f"traefik.{rule}": "Host(`a`)", f"portway.{rule}": "Host(`a`)"}
    assert decode_labels(agreeing).errors == {}
    assert errors({f"traefik.{rule}": "Host(`a`)", f"portway.{rule}": "Host(`b`)"}) == {
        ("router", "r"): [
            "traefik.http.routers.r.rule: differs from portway.http.routers.r.rule, "
            "which says the same thing; keep one"
        ]
    }


def test_names_keep_the_spelling_of_the_alphabetically_first_label() -> None:
    decoded = decode_labels(
        {
            "traefik.http.routers.web.rule": "Host(`a`)",
            "traefik.HTTP.Routers.Web.EntryPoints": "e",
            "traefik.http.routers.WEB.priority": "3",
        }
    )
    assert decoded.routers == {"Web": Router(rule="Host(`a`)", entry_points=["e"], priority=3)}


def test_elements_of_lists_are_ordered_by_their_keys_as_texts() -> None:
    base = "traefik.http.routers.r.tls.domains"
    decoded = decode_labels(
        {f"{base}[2].main": "two", f"{base}[10].main": "ten", f"{base}[2].sans": "a,b"}
    )
    assert decoded.routers["r"].tls == RouterTLS(
        domains=[Domain(main="ten"), Domain(main="two", sans=["a", "b"])]
    )


def test_a_list_element_may_hold_a_comma() -> None:
    decoded = decode_labels({"traefik.http.middlewares.m.stripprefixregex.regex[0]": "/a{1,2}"})
    options = decoded.middlewares["m"].strip_prefix_regex
    assert options is not None
    assert options.regex == ["/a{1,2}"]


@pytest.mark.parametrize(
    ("value", "tls"),
    [("true", RouterTLS()), ("True", RouterTLS()), ("false", None)],
)
def test_switches(value: str, tls: RouterTLS | None) -> None:
    decoded = decode_labels({"traefik.http.routers.r.tls": value})
    assert decoded.errors == {}
    assert decoded.routers["r"].tls == tls


def test_a_broken_label_disables_only_what_it_names() -> None:
    decoded = decode_labels(
        {
            "traefik.http.routers.good.rule": "Host(`a`)",
            "traefik.http.routers.bad.rule": "Host(`b`)",
            "traefik.http.routers.bad.ruel": "x",
            "traefik.http.middlewares.m.ratelimit.average": "x",
        }
    )
    assert set(decoded.errors) == {("router", "bad"), ("middleware", "m")}
    assert decoded.routers["good"] == Router(rule="Host(`a`)")
    assert decoded.routers["bad"] == Router(rule="Host(`b`)")
    assert decoded.problems == []


@pytest.mark.parametrize(
    ("label", "value", "owner", "message"),
    [
        ("http.routers.r.ruel", "x", "router", "field not found, node: ruel; did you mean rule?"),
        ("http.routers.r.priority", "high", "router", "'high' is not a whole number"),
        ("http.routers.r.tls", "maybe", "router", "tls cannot be a standalone element: 'maybe'"),
        ("http.routers.r.rule.x", "y", "router", "expected a text, not named entries"),
        ("http.routers.r", "x", "router", "r cannot be a standalone element: 'x' is not valid"),
        ("http.routers.r..rule", "x", "router", "invalid element: a name between two dots"),
        ("http.services.r.loadbalancer", "true", "service", "loadbalancer cannot be a standalone"),
        (
            "http.services.r.loadbalancer.servers[0].url",
            "http://x",
            "service",
            "field not found, node: servers; did you mean server?",
        ),
        (
            "http.services.r.loadbalancer.passhostheader",
            "yes",
            "service",
            "'yes' is not a boolean; write true or false",
        ),
        (
            "http.services.r.loadbalancer.healthcheck.interval",
            "fast",
            "service",
            "'fast' is not a duration; write seconds (30) or units (1m30s, 500ms)",
        ),
        (
            "http.services.r.loadbalancer.strategy",
            "random",
            "service",
            "'random' is not valid; write one of wrr, p2c, hrw, leasttime",
        ),
        ("http.middlewares.r.headers", "true", "middleware", "headers cannot be a standalone"),
        (
            "http.middlewares.r.striprefix.prefixes",
            "/a",
            "middleware",
            "field not found, node: striprefix; did you mean stripPrefix?",
        ),
        (
            "http.middlewares.r.stripprefix.prefixes[x]",
            "/a",
            "middleware",
            "invalid element: 'prefixes[x]'; write an index as prefixes[0]",
        ),
    ],
)
def test_an_error_belongs_to_its_object(label: str, value: str, owner: str, message: str) -> None:
    found = errors({f"traefik.{label}": value})
    assert list(found) == [(owner, "r")]
    (text,) = found[owner, "r"]
    assert text.startswith(f"traefik.{label}: {message}")


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        ("http.router.r.rule", "x", "field not found, node: router; did you mean routers?"),
        ("http", "x", "http cannot be a standalone element"),
        ("http.routers", "x", "routers cannot be a standalone element"),
        ("http.serverstransports.t.servername", "x", "serverstransports cannot be defined by"),
        ("htp.routers.r.rule", "x", "has no effect, node: htp; did you mean http?"),
        ("tcp.routers.r.rule", "x", "tcp is not supported yet; its labels have no effect"),
        ("udp.services.r.loadbalancer.server.port", "1", "udp is not supported yet"),
        ("tls.stores.default.defaultcertificate.certfile", "x", "tls is not supported yet"),
        ("docker.netwrk", "x", "field not found, node: netwrk; did you mean network?"),
        ("docker.allownonrunning", "x", "'x' is not a boolean; write true or false"),
        ("enable", "maybe", "'maybe' is not a boolean; write true or false"),
        ("enable.x", "true", "expected true or false, not named entries"),
    ],
)
def test_an_error_without_object_belongs_to_the_container(
    label: str, value: str, message: str
) -> None:
    (text,) = problems({f"traefik.{label}": value})
    assert text.startswith(f"traefik.{label}: {message}")
    assert errors({f"traefik.{label}": value}) == {}


def test_labels_of_constraints_and_other_tools_are_no_problem() -> None:
    labels = {"traefik.tags": "public", "traefik.constraint-label": "x", "traefik": "x", "": ""}
    assert problems({**labels, "traefik.swarm.network": "n", "org.traefik.http": "x"}) == []


@pytest.mark.parametrize(
    ("labels", "enable"),
    [
        ({}, None),
        ({"traefik.enable": "true"}, True),
        ({"traefik.enable": "false"}, False),
        ({"portway.enable": "true"}, True),
        ({"traefik.ENABLE": "true"}, True),
        # where it cannot be known what was meant, the container is not exposed
        ({"traefik.enable": "maybe"}, False),
        ({"traefik.enable": ""}, False),
        ({"TRAEFIK.enable": "false"}, False),
        ({"traefik.enable": "true", "portway.enable": "false"}, False),
    ],
)
def test_enable(labels: dict[str, str], enable: bool | None) -> None:
    assert decode_labels(labels).options.enable is enable


def test_a_prefix_in_capitals_is_an_error_on_the_object() -> None:
    labels = {"Traefik.http.routers.r.rule": "Host(`a`)"}
    assert errors(labels) == {
        ("router", "r"): ["Traefik.http.routers.r.rule: write traefik in lower case"]
    }
    assert decode_labels(labels).routers == {"r": Router()}


def test_container_options() -> None:
    decoded = decode_labels(
        {"traefik.docker.lbswarm": "true", "traefik.docker.allownonrunning": "true"}
    )
    assert decoded.options == ContainerOptions(None, "", True, True)


WORDS = (
    "traefik portway Traefik http tcp enable docker network routers services middlewares r R s "
    "rule tls domains[0] domains[1] domains[ main loadbalancer server servers port headers "
    "customrequestheaders X-A ratelimit average plugin chain middlewares[0] x"
)
segments = st.sampled_from(["", *WORDS.split()])


@given(
    st.dictionaries(
        st.lists(segments, min_size=1, max_size=8).map(".".join) | st.text(max_size=30),
        st.sampled_from(["true", "", "1", "a,b", "Host(`a`)"]) | st.text(max_size=10),
        max_size=10,
    )
)
def test_no_labels_crash_the_decoder(labels: dict[str, str]) -> None:
    decoded = decode_labels(labels)
    known = {
        *(("router", name) for name in decoded.routers),
        *(("service", name) for name in decoded.services),
        *(("middleware", name) for name in decoded.middlewares),
    }
    assert set(decoded.errors) <= known


def test_long_labels_are_bounded() -> None:
    (text,) = problems({"traefik." + ".".join("a" * 10_000): "1"})
    assert text.endswith("invalid element: more than 64 levels")
