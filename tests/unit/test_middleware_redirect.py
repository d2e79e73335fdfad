"""Options of redirectScheme and redirectRegex."""

from __future__ import annotations

from typing import Any

import pytest

from portway.edge.middlewares import RedirectRegex, RedirectScheme, registry
from portway.edge.middlewares.step import Lua, Place


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "scheme: you must provide a target scheme, as https"),
        ({"scheme": "ht tp"}, "scheme 'ht tp' is not a URL scheme; write https or http"),
        ({"scheme": "https://"}, "scheme 'https://' is not a URL scheme; write https or http"),
        ({"scheme": "https", "port": "web"}, "port 'web' is not a port number; write 8443"),
        ({"scheme": "https", "port": ":443"}, "port ':443' is not a port number; write 8443"),
        ({"scheme": "https", "port": "70000"}, "port '70000' is not a port number; write 8443"),
    ],
)
def test_what_is_wrong_with_redirect_scheme(options: dict[str, Any], problem: str) -> None:
    problems = list(registry.KINDS["redirectScheme"].problems(RedirectScheme(**options)))
    assert problems == [problem]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"regex": "("}, "regex '(' is not a valid regular expression: missing ): ("),
        ({"regex": "(a)" * 10, "replacement": "$10"}, "replacement '$10' uses group 10"),
        ({"regex": "a", "replacement": "/b\n"}, "replacement '/b\\n' has a line break"),
    ],
)
def test_what_is_wrong_with_redirect_regex(options: dict[str, Any], problem: str) -> None:
    (found,) = registry.KINDS["redirectRegex"].problems(RedirectRegex(**options))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("scheme", "port", "shown"),
    [
        ("https", "", ""),
        ("https", "443", ""),
        ("https", "8443", ":8443"),
        ("https", "80", ":80"),
        ("http", "80", ""),
        ("http", "443", ":443"),
        ("ftp", "21", ":21"),
    ],
)
def test_default_ports_are_not_shown(scheme: str, port: str, shown: str) -> None:
    kind = registry.KINDS["redirectScheme"]
    place = Place("m@file", "r@file", "web", False)
    (step,) = kind.steps(RedirectScheme(scheme=scheme, port=port), place)
    assert isinstance(step, Lua)
    assert step.params["port"] == shown
