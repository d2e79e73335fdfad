"""The comparison itself: it must be able to fail."""

from __future__ import annotations

from typing import Any

import pytest

from .case import Facts, Intended
from .facts import agrees, differences, explained, gather
from .upstream import Seen
from .wire import Answer

ANSWER = Answer(200, [("Content-Type", "application/json")], b'[{"name": "x", "port": ":8080"}]')
SEEN = Seen("a", "127.0.0.1", "GET", "/x", "HTTP/1.1", [("X-A", "1"), ("x-a", "2")], b"")


def test_facts_of_an_exchange() -> None:
    facts = gather(ANSWER, [SEEN], {8080: "ep:web"})
    assert facts["json.x.port"] == ":<ep:web>"
    assert facts["seen.header.x-a"] == ["1", "2"]
    assert facts["seen"] == 1
    assert "body" not in facts


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"status": 200}, {"status": 200}, {}),
        ({"status": 200, "body": "a"}, {"status": 200, "body": "b"}, {"body": ("a", "b")}),
        ({"status": 200}, {"status": 200, "header.x": "1"}, {"header.x": (None, "1")}),
        ({"status": 200, "body": "a"}, {"status": 404, "body": "b"}, {"status": (200, 404)}),
        ({"header-spelling.x": "X"}, {}, {}),
        ({"header-spelling.x": "X"}, {"header-spelling.x": "x"}, {"header-spelling.x": ("X", "x")}),
    ],
)
def test_differences(left: Facts, right: Facts, found: dict[str, tuple[Any, Any]]) -> None:
    assert differences(left, right) == found


@pytest.mark.parametrize(
    ("actual", "wanted", "agree"),
    [
        (200, 200, True),
        (200, 201, False),
        (None, None, True),
        ("", None, False),
        ("abc", "~a.*", True),
        ("xabc", "~a.*", False),
        (["a"], "*", True),
        (None, "*", False),
    ],
)
def test_agrees(actual: Any, wanted: Any, agree: bool) -> None:
    assert agrees(actual, wanted) is agree


def test_only_the_described_values_are_explained() -> None:
    one = Intended("entry", "~header\\..*", None, "text/plain")
    assert explained("header.content-type", (None, "text/plain"), [one]) == one
    assert explained("header.content-type", ("text/html", "text/plain"), [one]) is None
    assert explained("body", (None, "text/plain"), [one]) is None
