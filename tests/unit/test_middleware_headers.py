"""The headers middleware, without Envoy: what is checked, and which form it takes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from portway.edge import pipeline
from portway.edge.middlewares import headers
from portway.edge.middlewares.headers import Headers
from portway.edge.middlewares.step import Lua, Native, Place, Step

PLACE = Place("m@file", "r@file", "web", tls=False)
TLS = PLACE._replace(tls=True)
CLASSIC = Headers(
    frame_deny=True, ssl_redirect=True, sts_seconds=315360000, content_type_nosniff=True
)


def compiled(options: Headers, place: Place = PLACE) -> Sequence[Step]:
    assert not headers.KIND.problems(options)
    return headers.KIND.steps(options, place)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Headers(), ["headers configuration not valid"]),
        (Headers(custom_request_headers={"X Bad": "v"}), ["customRequestHeaders", "'X Bad'"]),
        (
            Headers(custom_response_headers={":status": "200"}),
            ["customResponseHeaders", "':status'"],
        ),
        (Headers(custom_response_headers={"X": "a\nb"}), ["customResponseHeaders.X", "newline"]),
        (Headers(content_security_policy="a\r\nb"), ["contentSecurityPolicy", "newline"]),
        (Headers(hosts_proxy_headers=["X Host"]), ["hostsProxyHeaders[0]", "'X Host'"]),
        (Headers(ssl_proxy_headers={"": "on"}), ["sslProxyHeaders", "''"]),
        (
            Headers(access_control_allow_origin_list_regex=["a", "("]),
            ["accessControlAllowOriginListRegex[1]", "'('"],
        ),
        (Headers(access_control_allow_methods=["GET\n"]), ["accessControlAllowMethods"]),
    ],
)
def test_problems(options: Headers, words: list[str]) -> None:
    (problem,) = headers.KIND.problems(options)
    assert all(word in problem for word in words)


def test_options_without_effect_are_accepted_and_noticed() -> None:
    options = Headers(
        ssl_redirect=True,
        ssl_temporary_redirect=True,
        ssl_host="a",
        ssl_force_host=True,
        feature_policy="x",
        custom_request_headers={"Connection": "close", "X-A": "1"},
    )
    assert not headers.KIND.problems(options)
    assert [notice.split(" has no effect")[0] for notice in headers.KIND.notices(options)] == [
        "sslRedirect",
        "sslTemporaryRedirect",
        "sslHost",
        "sslForceHost",
        "featurePolicy",
        "customRequestHeaders.Connection",
    ]
    assert not headers.KIND.notices(Headers(frame_deny=True))


def test_what_is_fixed_needs_no_lua() -> None:
    for options in (
        CLASSIC,
        Headers(custom_request_headers={"X-A": "1", "X-B": ""}),
        Headers(content_security_policy="default-src 'self'"),
        Headers(sts_seconds=5, force_sts_header=True),
    ):
        (step,) = compiled(options)
        assert isinstance(step, Native)


@pytest.mark.parametrize(
    "options",
    [
        Headers(custom_request_headers={"Host": "a.test"}),
        Headers(custom_request_headers={"X-Forwarded-For": "1.1.1.1"}),
        Headers(allowed_hosts=["a.test"]),
        Headers(content_security_policy="script-src $NONCE"),
        Headers(sts_seconds=5, ssl_proxy_headers={"X-Proto": "https"}),
        Headers(access_control_allow_origin_list=["*"]),
        Headers(add_vary_header=True),
    ],
)
def test_what_depends_on_the_request_is_lua(options: Headers) -> None:
    (step,) = compiled(options)
    assert isinstance(step, Lua)
    assert step.rejects == bool(options.allowed_hosts or "cors" in step.params)


def test_tls_is_known_from_the_entry_point() -> None:
    options = Headers(sts_seconds=5, ssl_proxy_headers={"X-Proto": "https"})
    (step,) = compiled(options, TLS)
    assert isinstance(step, Native)


@pytest.mark.parametrize(
    "options",
    [
        Headers(ssl_redirect=True),
        Headers(sts_seconds=5),
        Headers(is_development=True, allowed_hosts=["a"], sts_seconds=5, force_sts_header=True),
        Headers(custom_request_headers={"Content-Length": "1"}),
    ],
)
def test_nothing_to_do_is_no_step(options: Headers) -> None:
    assert not compiled(options)


def test_fixed_headers_between_lua_steps_join_them() -> None:
    (native,) = compiled(CLASSIC)
    lua = Lua("other", {})
    alone = pipeline.arrange([lua, native])
    joined = pipeline.arrange([lua, native, lua])
    assert any(name.startswith("native") for name in alone.per_filter_config)
    assert not any(name.startswith("native") for name in joined.per_filter_config)


def test_origin_patterns_are_matched_natively_in_front() -> None:
    match, step = compiled(Headers(access_control_allow_origin_list_regex=[r"^https://a\.test$"]))
    assert isinstance(match, Native) and isinstance(step, Lua)
    assert rb"^https://a\.test$" in match.config.value
    assert "none" in step.params["cors"]["regex"]
    assert step.params["cors"]["regex"]["none"] is False


def test_a_custom_origin_is_matched_in_advance() -> None:
    for origin, matches in (("https://a.test", True), ("https://b.test", False)):
        *_, step = compiled(
            Headers(
                access_control_allow_origin_list_regex=["//a"],
                custom_request_headers={"Origin": origin},
            )
        )
        assert isinstance(step, Lua)
        assert step.params["cors"]["regex"]["custom"] is matches
