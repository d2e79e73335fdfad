"""The pipeline on a real Envoy: order, answers on the way, errors, missing chains, delays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Change
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.rbac.v3.rbac_pb2 import RBAC as Rules
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import (
    HeaderMutation,
    Mutations,
)
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC

from portway.edge import pipeline
from portway.edge.middlewares import registry
from portway.edge.middlewares.step import Kind, Lua, Native, Step
from portway.envoy.messages import pack

from .envoy_static import Answer, Peer, echo, envoy
from .traefik_static import steps

SEEN = "x-order"

TEXT = """
step.mark = {
  request = function(h, p) h:headers():add("x-order", p.name) end,
  response = function(h, p) h:headers():add("x-order", p.name) end,
}
step.stop = {
  request = function(h, p)
    if h:headers():get("x-stop") == p.name then
      return reply(h, 403, {["x-by"] = p.name}, "stopped by " .. p.name)
    end
    h:headers():add("x-order", p.name)
  end,
  response = function(h, p) h:headers():add("x-order", p.name) end,
}
step.fail = {
  request = function(h, p) if h:headers():get("x-fail") == "request" then error("no") end end,
  response = function(h, p) if h:headers():get("x-fail") == "response" then error("no") end end,
}
step.hold = { request = function(h, p) delay(h, p.milliseconds) end }
"""


def native(name: str) -> Native:
    option = HeaderValueOption(header=HeaderValue(key=SEEN, value=name))
    mutations = Mutations(
        request_mutations=[Change(append=option)], response_mutations=[Change(append=option)]
    )
    return Native("mark", pack(HeaderMutation(mutations=mutations)))


def lua(name: str) -> Lua:
    return Lua("mark", {"name": name})


def stop(name: str) -> Lua:
    return Lua("stop", {"name": name}, rejects=True)


DENY = Native("deny", pack(RBAC(rules=Rules(action=Rules.ALLOW))))

ROUTES: dict[str, list[Step]] = {
    "none.test": [],
    "mixed.test": [native("a"), lua("b"), native("c"), native("d"), lua("e"), lua("f")],
    "lua-first.test": [
        lua("a"),
        native("b"),
        lua("c"),
        native("d"),
        lua("e"),
        native("f"),
        lua("g"),
    ],
    "stops.test": [lua("a"), stop("b"), lua("c"), native("d"), lua("e"), stop("f"), lua("g")],
    "denied.test": [lua("a"), DENY, lua("b")],
    "fails.test": [lua("a"), Lua("fail", {})],
    "unknown.test": [Lua("nonsense", {})],
    "same.test": [lua("x"), lua("x")],
    "joined.test": [lua("a"), Native("x", native("x").config, lua("b")), lua("c"), native("d")],
    "held.test": [Lua("hold", {"milliseconds": 5}, delays=True)],
}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with pytest.MonkeyPatch.context() as patch:
        test = Kind(lambda options: (), lambda options, place: (), TEXT)
        patch.setattr(registry, "KINDS", {**registry.KINDS, "test": test})
        with echo() as upstream, envoy(tmp_path_factory.mktemp("envoy"), upstream, ROUTES) as peer:
            yield peer


def order(answer: Answer) -> tuple[str, str]:
    """The marks of the request as the upstream saw them, and of the response."""
    request = "" if answer.seen is None else "".join(answer.seen.values(SEEN))
    return request, "".join(answer.values(SEEN))


@pytest.mark.parametrize(
    ("host", "request_order"),
    [
        ("none.test", ""),
        ("mixed.test", "abcdef"),
        ("lua-first.test", "abcdefg"),
        ("stops.test", "abcdefg"),
        ("same.test", "xx"),
        ("joined.test", "abcd"),
    ],
)
def test_requests_pass_in_the_order_written_and_responses_in_reverse(
    proxy: Peer, host: str, request_order: str
) -> None:
    assert order(proxy.ask(host, "/")) == (request_order, request_order[::-1])


@pytest.mark.parametrize(
    ("name", "response_order"),
    [
        ("b", "a"),
        ("f", "edcba"),
    ],
)
def test_an_answer_passes_only_the_steps_the_request_had_passed(
    proxy: Peer, name: str, response_order: str
) -> None:
    answer = proxy.ask("stops.test", "/", headers=[("X-Stop", name)])
    assert (answer.status, answer.body, answer.seen) == (403, f"stopped by {name}", None)
    assert answer.values("x-by") == [name]
    assert order(answer) == ("", response_order)


def test_an_answer_of_a_native_filter_passes_only_lua_steps_before_it(proxy: Peer) -> None:
    answer = proxy.ask("denied.test", "/")
    assert (answer.status, order(answer)) == (403, ("", "a"))


def test_upstream_failures_pass_all_steps(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        test = Kind(lambda options: (), lambda options, place: (), TEXT)
        patch.setattr(registry, "KINDS", {**registry.KINDS, "test": test})
        with echo() as gone:
            pass
        with envoy(tmp_path, gone, {"a.test": [stop("a"), lua("b")]}) as peer:
            answer = peer.ask("a.test", "/")
    assert (answer.status, order(answer)) == (503, ("", "ba"))


def test_an_error_in_a_request_answers_500(proxy: Peer) -> None:
    answer = proxy.ask("fails.test", "/", headers=[("X-Fail", "request")])
    assert (answer.status, answer.body, answer.seen) == (500, "Internal Server Error", None)
    assert proxy.ask("fails.test", "/").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_in_a_response_answers_500_without_what_the_upstream_said(
    proxy: Peer, method: str
) -> None:
    secret = ("X-Echo-Header", "x-secret: 1")
    fail = ("X-Echo-Header", "x-fail: response")
    answer = proxy.ask("fails.test", "/", method=method, headers=[secret, fail])
    assert answer.status == 500
    assert answer.body == ("" if method == "HEAD" else "Internal Server Error")
    assert answer.values("x-secret") == answer.values("x-echo") == []


def test_a_step_the_script_does_not_know_answers_500(proxy: Peer) -> None:
    assert proxy.ask("unknown.test", "/").status == 500


def test_a_delayed_request_arrives_without_the_headers_that_delay_it(proxy: Peer) -> None:
    sent = [("x-envoy-fault-delay-request", "600000")]
    sent += [("x-envoy-fault-delay-request-percentage", "100")]
    answer = proxy.ask("held.test", "/", headers=sent)
    assert answer.status == 200
    assert answer.seen is not None
    assert not [name for name, _ in answer.seen.headers if name.startswith("x-envoy-fault")]


def test_routes_answer_503_while_their_chains_are_refused(
    tmp_path: Path,
) -> None:
    broken = Native(
        "broken", pack(HeaderMutation(mutations=Mutations(request_mutations=[Change()])))
    )
    routes: dict[str, list[Step]] = {"native.test": [broken], "plain.test": []}
    with echo() as upstream, envoy(tmp_path, upstream, routes) as peer:
        answer = peer.ask("native.test", "/")
        assert (answer.status, answer.seen) == (503, None)
        assert peer.ask("plain.test", "/").status == 200


def test_a_regex_whose_native_part_is_missing_answers_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = pipeline.chain_resources({})
    monkeypatch.setattr(pipeline, "chain_resources", lambda chains: none)
    rewritten = steps([{"replacePathRegex": {"regex": "a", "replacement": "b"}}])
    with echo() as upstream, envoy(tmp_path, upstream, {"a.test": rewritten}) as peer:
        answer = peer.ask("a.test", "/a")
    assert (answer.status, answer.body) == (500, "Internal Server Error")
