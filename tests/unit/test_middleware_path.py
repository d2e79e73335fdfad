"""Options of the path middlewares, regular expressions, and the middleware registry."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from portway.config.options import Unsupported
from portway.edge.dynamic import Middleware
from portway.edge.middlewares import go_regexp, registry
from portway.edge.middlewares.step import Lua, Native, Place

PLACE = Place("m@file", "r@file", "web", False)


def middleware(**types: Any) -> Middleware:
    return msgspec.convert(types, Middleware, strict=False)


@pytest.mark.parametrize(
    ("types", "problem"),
    [
        ({}, "a middleware needs one type; valid types are addPrefix, basicAuth, chain"),
        (
            {"addPrefix": {"prefix": "/a"}, "stripPrefix": {}},
            "a middleware has exactly one type, this one has 2 (addPrefix, stripPrefix)",
        ),
        ({"addPrefix": {}}, "addPrefix: prefix cannot be empty"),
        (
            {"replacePathRegex": {"regex": "(a", "replacement": "b"}},
            "replacePathRegex: regex '(a' is not a valid regular expression: missing ): (a",
        ),
        (
            {"stripPrefixRegex": {"regex": ["/a", "*"]}},
            "stripPrefixRegex: regex[1] '*' is not a valid regular expression:"
            " no argument for repetition operator: *",
        ),
        (
            {"stripPrefixRegex": {"regex": ["a(?=b)"]}},
            "stripPrefixRegex: regex[0] 'a(?=b)' is not a valid regular expression:"
            " invalid perl operator: (?=",
        ),
        (
            {"replacePathRegex": {"regex": "(.)" * 10, "replacement": "${10}"}},
            "uses group 10; at most 9 can be referred to",
        ),
    ],
)
def test_what_is_wrong_is_said(types: dict[str, Any], problem: str) -> None:
    _, problems = registry.check(middleware(**types))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    "types",
    [
        {"addPrefix": {"prefix": "/a"}},
        {"stripPrefix": {"prefixes": ["/a"]}},
        {"stripPrefix": {}},
        {"stripPrefixRegex": {"regex": ["/[a-z]+", r"/\d{2}"]}},
        {"replacePath": {"path": "/a"}},
        {"replacePathRegex": {"regex": "(?i)^/a(?P<n>.)", "replacement": "/$n"}},
        {"chain": {"middlewares": ["a", "b@file"]}},
    ],
)
def test_valid_options_have_no_problems(types: dict[str, Any]) -> None:
    assert registry.check(middleware(**types)) == (next(iter(types)), [])


def test_a_deprecated_option_is_noticed() -> None:
    old = middleware(stripPrefix={"prefixes": ["/a"], "forceSlash": True})
    assert registry.check(old) == ("stripPrefix", [])
    assert registry.notices(old) == ["stripPrefix: forceSlash is deprecated; leave it out"]


def test_the_type_is_told_even_when_it_is_not_supported() -> None:
    name, problems = registry.check(Middleware(compress=Unsupported({"encodings": ["br"]})))
    assert name == "compress"
    assert problems == [
        f"the middleware type compress is not supported; supported are {', '.join(registry.KINDS)}"
    ]


def test_a_chain_names_its_members_and_has_no_steps() -> None:
    chain = middleware(chain={"middlewares": ["b", "a@docker"]})
    assert list(registry.references(chain)) == ["b", "a@docker"]
    assert list(registry.steps(chain, PLACE)) == []
    assert list(registry.references(middleware(addPrefix={"prefix": "/"}))) == []


def test_a_regex_is_run_natively_before_the_lua_step_that_uses_it() -> None:
    rewrite = middleware(replacePathRegex={"regex": "a", "replacement": "b"})
    strip = middleware(stripPrefixRegex={"regex": ["/a", "/b"]})
    kinds = [type(step) for step in registry.steps(rewrite, PLACE)]
    assert kinds == [Native, Native, Lua]
    assert [type(step) for step in registry.steps(strip, PLACE)] == [Lua, Native, Lua]


def test_every_type_in_the_script_is_defined_once() -> None:
    script = registry.script()
    for name in registry.KINDS:
        if name not in ("chain", "ipWhiteList"):
            assert script.count(f"step.{name} = ") == 1, name


@pytest.mark.parametrize(
    ("pattern", "template", "expected"),
    [
        ("(a)(b)", "$1$2", r"\1\2"),
        ("(a)(b)", "${1}x$2", r"\1x\2"),
        ("(a)", "$1x", ""),  # the longest name: group "1x" does not exist
        ("(a)", "$10", ""),
        ("(a)", "$0", r"\0"),
        ("(?P<n>a)", "-$n-${n}-", r"-\1-\1-"),
        ("(?P<n>a)", "$nn", ""),
        ("(a)", "$$1", "$1"),
        ("(a)", "a$", "a$"),
        ("(a)", "a$ b", "a$ b"),
        ("(a)", "${", "${"),
        ("(a)", "${1", "${1"),
        ("(a)", "$01", ""),
        ("(a)", r"\1", r"\\1"),
    ],
)
def test_go_replacements_in_re2_words(pattern: str, template: str, expected: str) -> None:
    assert go_regexp.rewrite(pattern, template) == expected


@given(st.text(alphabet="$ab12{}\\ é", max_size=12))
def test_every_replacement_is_one_that_re2_takes(template: str) -> None:
    rewrite = go_regexp.rewrite("(a)(?P<b>b)", template)
    plain = template.replace("$", "")
    # RE2 takes one digit after a backslash (its binding for Python would take two).
    assert re.fullmatch(r"(?:[^\\]|\\[0-2\\])*", rewrite)
    assert go_regexp.rewrite("(a)(?P<b>b)", plain) == plain.replace("\\", "\\\\")


@pytest.mark.parametrize("pattern", ["a", "a|b", "(?i)a", r"\Qa(b", r"\Qa\E", "(?P<n>a)", ""])
def test_an_enclosed_pattern_is_one_group(pattern: str) -> None:
    assert re2.compile(go_regexp.enclosed(pattern)).groups == re2.compile(pattern).groups + 1
