"""Which contents of a file count, and which file's definition does."""

from __future__ import annotations

from pathlib import Path

import pytest

from portway.edge.dynamic import Router
from portway.edge.providers.file.definitions import Definitions
from portway.edge.providers.file.reading import (
    EMPTIED,
    REMOVED,
    UNFINISHED,
    Key,
    decode,
    patience,
)
from portway.edge.providers.provider import Object

OLD = b"http:\n  routers: {}\n"


@pytest.mark.parametrize(
    ("old", "new", "refused", "seconds"),
    [
        (None, OLD, False, 0.0),
        (None, b"", False, 0.0),
        (None, b"http: [", True, UNFINISHED),
        (OLD, OLD + b"tls: {}\n", False, 0.0),
        (OLD, b"", False, EMPTIED),
        (OLD, b" \n", False, EMPTIED),
        (OLD, OLD[:8], True, EMPTIED),
        (OLD, OLD[:6], False, EMPTIED),
        (OLD, b"http: {}", False, UNFINISHED),
        (OLD, b"http: [\n", True, UNFINISHED),
        (OLD.rstrip(), b"http: {}", False, 0.0),
        (OLD, None, False, REMOVED),
        (None, None, False, 0.0),
    ],
)
def test_how_long_a_content_must_stand(
    old: bytes | None, new: bytes | None, refused: bool, seconds: float
) -> None:
    assert patience(old, new, refused) == seconds


def router(rule: str) -> dict[Key, Object]:
    return {("router", "r"): Router(rule=rule)}


def test_the_first_file_by_name_defines_an_object() -> None:
    definitions = Definitions()
    key: Key = ("router", "r")
    first, second, third = Path("/c/a/z.yml"), Path("/c/a.yml"), Path("/c/b.yml")
    assert definitions.put(third, router("3")) == {key}
    assert definitions.put(second, router("2")) == {key}
    assert definitions.put(first, router("1")) == {key}
    assert definitions.value(key) == Router(rule="1")
    assert [text.partition(":")[0] for text in definitions.duplicates(key)] == [
        "/c/a.yml",
        "/c/b.yml",
    ]
    assert definitions.put(first, router("1")) == set()
    assert definitions.put(first, {}) == {key}
    assert definitions.value(key) == Router(rule="2")
    definitions.put(second, {})
    definitions.put(third, {})
    assert definitions.value(key) is None
    assert definitions.duplicates(key) == ()


def test_a_template_error_names_file_and_line() -> None:
    found = decode(Path("dyn.yml"), b"http:\n  routers:\n    {{ lowwer `x` }}: {}\n")
    assert found.objects is None
    assert found.problems == (
        "dyn.yml:3: column 8: function 'lowwer' not defined; did you mean 'lower'?",
    )


def test_text_that_is_not_utf8_is_refused() -> None:
    assert decode(Path("a.yml"), b"{{ `\xff` }}").problems == ("a.yml: the file is not UTF-8 text",)
