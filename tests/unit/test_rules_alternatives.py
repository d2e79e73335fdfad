"""Rules as alternatives, and alternatives as Envoy route matches."""

from __future__ import annotations

import random

import pytest
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, RouteMatch
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.rules import (
    Alternative,
    Literal,
    Request,
    RuleError,
    alternatives,
    evaluate,
    is_unconditional,
    parse,
    route_match,
)
from portway.rules.evaluation import matcher_holds
from portway.rules.host import host_matches
from tests.integration import rules_corpus as corpus


def written(alternative: Alternative) -> str:
    """An alternative in short, its literals in alphabetical order."""
    literals = sorted(
        f"{'!' if lit.negated else ''}{lit.name}({','.join(lit.args)})"
        for lit in alternative.literals
    )
    return " ".join([f"@{alternative.host}"] * (alternative.host is not None) + literals)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`A.test.`)", ["@a.test"]),
        ("Host(`a`) || Host(`b`)", ["@a", "@b"]),
        ("(Host(`a`) || Host(`b`)) && Path(`/`)", ["@a Path(/)", "@b Path(/)"]),
        ("Host(`a`) && Host(`b`)", []),
        ("Host(`a`) && !Host(`a`)", []),
        ("Host(`a`) && !Host(`b`)", ["@a"]),
        ("Host(`x.a`) && Host(`*.a`) && HostRegexp(`^x`)", ["@x.a"]),
        ("Host(`x.a`) && HostRegexp(`^y`)", []),
        ("Host(`*`)", [""]),
        ("!Host(`*`)", []),
        ("HostRegexp(`.*`)", [""]),
        ("Host(`a`) || Host(`*`)", [""]),
        ("Host(`::1`)", ["Host(::1)"]),
        ("Host(`**.a`)", []),
        ("PathPrefix(`/`) && Method(`get`)", ["Method(GET)"]),
        ("Method(`GET`) || Method(`post`)", ["Method(GET,POST)"]),
        ("(Method(`GET`) || Method(`PUT`)) && !Method(`GET`)", ["Method(PUT)"]),
        ("Method(`GET`) && Method(`POST`)", []),
        ("ClientIP(`::1`) || ClientIP(`10.0.0.0/8`)", ["ClientIP(::1,10.0.0.0/8)"]),
        ("Path(`/a`) && PathPrefix(`/b`)", []),
        ("Path(`/a`) && PathPrefix(`/`) && PathRegexp(`a$`)", ["Path(/a)"]),
        ("Path(`/a`) && !PathRegexp(`a$`)", []),
        ("PathPrefix(`/a`) && PathPrefix(`/ab`)", ["PathPrefix(/ab)"]),
        ("PathPrefix(`/a`) && PathPrefix(`/b`)", []),
        ("PathPrefix(`/a`) && !PathPrefix(`/`)", []),
        ("PathPrefix(`/a`) && !PathPrefix(`/b`)", ["PathPrefix(/a)"]),
        ("PathPrefix(`/a`) && !PathPrefix(`/ab`)", ["!PathPrefix(/ab) PathPrefix(/a)"]),
        ("Path(`/a?b`)", []),
        ("Header(`Host`, `a`) || Path(`/`)", ["Path(/)"]),
        ("Path(`/a`) || Path(`/a`) && Method(`GET`)", ["Path(/a)"]),
        ("!(Host(`a`) && Path(`/x`))", ["!Host(a)", "!Path(/x)"]),
        ("!(Host(`a`) || Path(`/x`))", ["!Host(a) !Path(/x)"]),
        (
            "!HeaderRegexp(`X-A`, `^$`)",
            ["!HeaderRegexp(x-a,^$) HeaderRegexp(x-a)", "!HeaderRegexp(x-a)"],
        ),
    ],
)
def test_alternatives(rule: str, expected: list[str]) -> None:
    assert [written(alternative) for alternative in alternatives(parse(rule))] == expected


def test_too_many_alternatives_are_refused() -> None:
    either = " || ".join(f"Path(`/{n}`)" for n in range(30))
    both = f"({either}) && ({either.replace('Path', 'PathPrefix').replace('/', '/x')})"
    assert len(alternatives(parse(f"Host(`a`) && ({either})"))) == 30
    assert alternatives(parse(both)) == ()  # contradictions do not count
    queries = either.replace("Path(`/", "Query(`q")
    with pytest.raises(RuleError, match="more than 512 alternatives"):
        alternatives(parse(f"({either}) && ({queries})"))


def test_intricate_rules_are_refused() -> None:
    either = " || ".join(f"Path(`/{n}`)" for n in range(100))
    with pytest.raises(RuleError, match="too intricate"):
        alternatives(parse(" && ".join([f"({either})", f"({either} || Method(`A`))"] * 15)))
    none = parse(" && ".join(f"!Host(`{n}`)" for n in range(3000)))
    (alternative,) = alternatives(none)
    assert len(alternative.literals) == 3000


@settings(max_examples=300)
@given(st.integers(0, 1 << 32))
def test_alternatives_say_what_the_rule_says(seed: int) -> None:
    dice = random.Random(seed)
    rule = parse(corpus.random_rule(dice))
    found = alternatives(rule)
    for _ in range(20):
        request = corpus.random_request(dice)
        assert any(holds(one, request) for one in found) == evaluate(rule, request), rule.text


def holds(alternative: Alternative, request: Request) -> bool:
    """Whether an alternative matches, literal by literal."""
    if alternative.host and not host_matches(alternative.host, request.canonical_host):
        return False
    return all(literal_holds(literal, request) for literal in alternative.literals)


def literal_holds(literal: Literal, request: Request) -> bool:
    if literal.name == "HeaderRegexp" and len(literal.args) == 1:
        return bool(request.header(literal.args[0])) != literal.negated
    if literal.name in ("Method", "ClientIP"):
        any_of = any(matcher_holds(literal.name, (arg,), request) for arg in literal.args)
        return any_of != literal.negated
    return matcher_holds(literal.name, literal.args, request) != literal.negated


def compiled(rule: str, host: str | None) -> RouteMatch | None:
    (alternative,) = alternatives(parse(rule))
    return route_match(alternative, host)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`a`)", {"prefix": "/"}),
        ("Host(`a`) && PathPrefix(`/`)", {"prefix": "/"}),
        ("Host(`a`) && PathPrefix(`/api`)", {"prefix": "/api"}),
        ("Host(`a`) && Path(`/x:y`)", {"path": "/x:y"}),
        ("Host(`a`) && Path(`/x y`)", {"path": "/x%20y"}),
        ("Host(`a`) && Path(`/x|y`)", {"safe_regex": {"regex": "/x%7[Cc]y"}}),
        ("Host(`a`) && PathPrefix(`/%2F`)", {"safe_regex": {"regex": "/%2[Ff].*"}}),
        ("Host(`a`) && PathRegexp(`^/v[0-9]+`)", {"safe_regex": {"regex": "/v[0-9].*"}}),
        ("Host(`a`) && PathRegexp(`^/x$|^/y`)", {"safe_regex": {"regex": "(?:/x|/y.*)"}}),
    ],
)
def test_native_path_forms(rule: str, expected: dict[str, object]) -> None:
    match = compiled(rule, "a")
    assert match is not None
    assert MessageToDict(match, preserving_proto_field_name=True) == expected
    assert is_unconditional(match) is (expected == {"prefix": "/"})


def header(rule: str) -> HeaderMatcher:
    match = compiled(rule, None)
    assert match is not None
    assert not is_unconditional(match)
    (found,) = match.headers
    return found


def test_headers_of_a_match() -> None:
    assert header("Method(`get`)").string_match.exact == "GET"
    inverted = header("!PathPrefix(`/x`)")
    assert (inverted.name, inverted.string_match.prefix) == (":path", "/x")
    assert inverted.invert_match
    assert inverted.treat_missing_header_as_empty
    assert header("Host(`*.a.test`)").name == ":authority"
    assert header("Query(`q`, `1`)").name == ":path"
    assert header("Header(`X-A`, `1`)").name == "x-a"


def test_cheap_checks_stand_before_expressions() -> None:
    match = compiled("Query(`q`) && PathPrefix(`/a`) && PathRegexp(`b`) && !Method(`GET`)", None)
    assert match is not None
    assert match.HasField("safe_regex")
    kinds = [one.string_match.WhichOneof("match_pattern") for one in match.headers]
    assert kinds == ["exact", "prefix", "safe_regex"]


def test_a_path_stands_before_expressions_too() -> None:
    match = compiled("Path(`/a`) && Query(`q`)", None)
    assert match is not None
    assert match.path == "/a"
    assert match.headers[0].string_match.prefix == "/a"
    assert match.headers[1].string_match.HasField("safe_regex")


def test_client_addresses_are_filter_state() -> None:
    match = compiled("!ClientIP(`::ffff:10.0.0.1`)", None)
    assert match is not None
    (state,) = match.filter_state
    assert state.key == "portway.client_ip"
    (found,) = state.address_match.ranges
    assert (found.address_prefix, found.prefix_len.value) == ("10.0.0.1", 32)
    # invert_match = true; the field is newer than these classes.
    assert state.address_match.SerializeToString().endswith(b"\x10\x01")


@pytest.mark.parametrize(
    ("rule", "host", "possible"),
    [
        ("Host(`a`)", "a", True),
        ("Host(`a`)", "b", False),
        ("Host(`a`)", None, False),
        ("Host(`*.a`)", "x.a", True),
        ("Host(`*.a`)", "a", False),
        ("Host(`*.a`)", None, True),
        ("!Host(`a`)", "a", False),
        ("!Host(`a`)", "b", True),
        ("HostRegexp(`^b`)", "a", False),
        ("Path(`/`)", "a", True),
    ],
)
def test_virtual_hosts_where_a_match_is_possible(
    rule: str, host: str | None, possible: bool
) -> None:
    match = compiled(rule, host)
    assert (match is not None) is possible
    if match is not None and host is not None:
        assert not any(one.name == ":authority" for one in match.headers)


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        ("Path(`/`)", None),
        ("Method(`GET`)", {"GET"}),
        ("Method(`GET`) || Method(`POST`)", {"GET", "POST"}),
        ("!Method(`GET`)", {"!GET"}),
    ],
)
def test_conditions_on_the_method(rule: str, taken: set[str] | None) -> None:
    (alternative,) = alternatives(parse(rule))
    assert methods(route_match(alternative, None)) == taken


def methods(match: RouteMatch | None) -> set[str] | None:
    """The methods a match takes: none, some, all but some (``!``), or None for all."""
    if match is None:
        return set()
    if not match.headers:
        return None
    (found,) = match.headers
    assert found.name == ":method"
    value = found.string_match.exact or found.string_match.safe_regex.regex
    return {f"!{value}"} if found.invert_match else set(value.split("|"))
