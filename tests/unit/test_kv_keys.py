"""What a key may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.operations.kv_keys import clean, cut, key_problem

TRAVERSAL = "invalid key name, path traversal is not allowed"
SPACES = "invalid key name, leading/trailing spaces are not allowed"


@pytest.mark.parametrize(
    ("key", "problem", "cleaned"),
    [
        ("a", "", "a"),
        ("a/b/", "", "a/b/"),
        ("a//b", "", "a/b"),
        ("/a", "", "a"),
        ("./a", "", "a"),
        ("a/./b", "", "a/b"),
        ("a/.", "", "a"),
        (".", "", ""),
        ("/", "", ""),
        (".hidden/a..b/...", "", ".hidden/a..b/..."),
        ("a b", "", "a b"),
        ("schlüssel/鍵", "", "schlüssel/鍵"),
        ("../a", TRAVERSAL, None),
        ("a/../b", TRAVERSAL, None),
        ("a/..", TRAVERSAL, None),
        (" a", SPACES, None),
        ("a ", SPACES, None),
    ],
)
def test_rules(key: str, problem: str, cleaned: str | None) -> None:
    assert key_problem(key) == problem
    if cleaned is not None:
        assert clean(key) == cleaned


@given(st.text(alphabet="ab./", max_size=12))
def test_cleaning_is_final_and_leaves_no_empty_segment(key: str) -> None:
    once = clean(key)
    assert clean(once) == once
    assert not {"", "."} & set(once.removesuffix("/").split("/")) or not once


@pytest.mark.parametrize(
    ("prefix", "separator", "names"),
    [
        ("", "", ["a/b/c", "a/d", "e"]),
        ("", "/", ["a/", "e"]),
        ("a/", "/", ["a/b/", "a/d"]),
        ("a", "/", ["a/"]),
        ("a/b", "/", ["a/b/"]),
        ("", "/b/", ["a/b/", "a/d", "e"]),
    ],
)
def test_names_are_cut_after_the_separator(prefix: str, separator: str, names: list[str]) -> None:
    keys = [key for key in ["a/b/c", "a/d", "e"] if key.startswith(prefix)]
    if prefix == "a/b":
        names = ["a/b/"]
    assert cut(keys, prefix, separator) == names
