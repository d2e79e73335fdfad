"""Reading YAML, JSON and TOML: values, lines, and errors that say where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.config import ParseError, Table, parse
from portway.config.text import MAX_BYTES


def error(text: str | bytes, *, toml: bool = False) -> str:
    with pytest.raises(ParseError) as caught:
        parse(text, "f", toml=toml)
    return str(caught.value.problem)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("12", 12),
        ("-5", -5),
        ("0x10", 16),
        ("0o17", 15),
        ("1_000", 1000),
        ("017", "017"),
        ("1.50", "1.50"),
        ("1e3", "1e3"),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("~", None),
        ("", None),
        ("null", None),
        ("2020-01-01", "2020-01-01"),
        ("12:30", "12:30"),
        ("9" * 50, "9" * 50),
        ("!!str 12", "12"),
        ("[a, 1]", ["a", 1]),
        ("{a: 1}", {"a": 1}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_yaml_values(written: str, value: Any) -> None:
    assert parse(f"key: {written}", "f") == {"key": value}


def test_json_is_yaml() -> None:
    assert parse('{"a":\n\t{"b": [1, "x", null]}}', "f") == {"a": {"b": [1, "x", None]}}


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert parse("1: a\ntrue: b\n~: c", "f") == {"1": "a", "true": "b", "~": "c"}


def test_lines_of_keys() -> None:
    tree = parse("a: 1\n\nb:\n  # note\n  c:\n    - d: 2\n      e: 3\n", "f")
    assert tree.at == {"a": 1, "b": 3}
    b: Any = tree["b"]
    assert b.at == {"c": 5}
    assert b["c"][0].at == {"d": 6, "e": 7}


def test_anchors_and_merge_keys() -> None:
    tree = parse("x: &x {k: 1, l: 2}\na:\n  <<: *x\n  k: 3\nb:\n  k: 4\n  <<: [*x, {m: 5}]\n", "f")
    assert tree["a"] == {"k": 3, "l": 2}
    assert tree["b"] == {"k": 4, "l": 2, "m": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n\tc: 1", "f:3: not valid YAML: found character that cannot start any token"),
        ("a: 'x", "f:1: not valid YAML: found unexpected end of stream"),
        ("a: [1", "f:1: not valid YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3", 'f:3: mapping key "a" already defined at line 1'),
        ("- a\n- b", "f:1: not a configuration: expected keys with values at the top"),
        ("just words", "f:1: not a configuration"),
        ("a: 1\n---\nb: 2", "f:2: a second document starts here; write only one"),
        ("a: !!binary x", "f:1: the YAML tag !!binary means nothing here"),
        ("a: !thing x", "f:1: the YAML tag !thing means nothing here"),
        ("? [a]\n: 1", "f:1: a key must be a text"),
        ("a: *b", "f:1: alias *b has no anchor before it"),
        ("a: &a\n  <<: *a", "f:2: alias *a has no anchor before it"),
        ("a:\n  <<: 1", "f:2: <<: expected a mapping or a list of mappings"),
        ("a: " + "[" * 100, "f:1: more than 64 levels"),
        ("a: \x00", "f: not valid YAML"),
        (b"a: 1\nb: \xff", "f:2: the file is not UTF-8 text"),
    ],
)
def test_yaml_errors(text: str | bytes, message: str) -> None:
    assert error(text).startswith(message)


def test_a_tab_is_named() -> None:
    assert error("a:\n\tb: 1").endswith("the line is indented with a tab, use spaces")


def test_empty_texts() -> None:
    assert parse("", "f") == {}
    assert parse("# only a comment", "f") == {}
    assert parse(b"\xef\xbb\xbfa: 1", "f") == {"a": 1}


def test_size_is_bounded() -> None:
    assert error("#" * (MAX_BYTES + 1)) == "f: the file is larger than 16 MiB"
    levels = [f"{name}: &{name} [{', '.join([f'*{prev}'] * 9)}]" for prev, name in PAIRS]
    assert error("a: &a [x]\n" + "\n".join(levels)) == "f: more than 2,000,000 values"


PAIRS = list(zip("abcdefghi", "bcdefghij", strict=True))


def test_toml_values_and_lines() -> None:
    tree = parse(
        "a = 1\n[b.c]\nd = 'x'\n[[e]]\nf = 1\n\n[[e]]\nf = 2\ng.h = 1979-05-27\n", "f", toml=True
    )
    assert tree == {
        "a": 1,
        "b": {"c": {"d": "x"}},
        "e": [{"f": 1}, {"f": 2, "g": {"h": "1979-05-27"}}],
    }
    assert tree.at == {"a": 1, "b": 2, "e": 4}
    b, e = tree["b"], tree["e"]
    assert isinstance(b, Table)
    assert isinstance(e, list)
    c, second = b["c"], e[1]
    assert isinstance(c, Table)
    assert isinstance(second, Table)
    assert c.at == {"d": 3}
    assert second.at == {"f": 8, "g": 9}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = x", "f:2: not valid TOML: Invalid value"),
        ("a = 1\nb = 'x", "f:2: not valid TOML: Expected"),
        ("a = 1\na = 2", "f:2: not valid TOML: Cannot overwrite a value"),
        ("[a]\nb = 1\n[a]\nc = 2", "f:3: not valid TOML: Cannot declare ('a',) twice"),
        ("a = " + "[" * 5000, "f: not valid TOML"),
    ],
)
def test_toml_errors(text: str, message: str) -> None:
    assert error(text, toml=True).startswith(message)


@given(
    st.one_of(st.text(), st.binary(), st.text(alphabet="ab:-[]{}&*<!|>\"'# \n\t,?")), st.booleans()
)
def test_no_text_crashes_the_parser(text: str | bytes, toml: bool) -> None:
    try:
        tree = parse(text, "f", toml=toml)
    except ParseError as caught:
        assert "\n" not in str(caught.problem)
    else:
        assert isinstance(tree, Table)
