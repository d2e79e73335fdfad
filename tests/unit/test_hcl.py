"""HCL 1 as Consul's files use it: what a text means, and what is said of a wrong one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.config.hcl import MAX_BYTES, MAX_DEPTH, HclError, parse_hcl, parse_json

MEANINGS: dict[str, Any] = {
    "": {},
    "\ufeff# only a comment": {},
    'a = "x"': {"a": "x"},
    '"quoted key" = 1': {"quoted key": 1},
    "a.b-c_d = true\nb = false": {"a.b-c_d": True, "b": False},
    "a = -1 b = 0x1f c = 010 d = 1.5e3 e = -0.25": {
        "a": -1,
        "b": 31,
        "c": 8,
        "d": 1500.0,
        "e": -0.25,
    },
    "a = 9223372036854775807": {"a": 2**63 - 1},
    "# x\n// y\n/* z\n*/ a = 1 # end": {"a": 1},
    "a = 1, b = 2\n": {"a": 1, "b": 2},
    'a = [1, "x", true, {b = 1}, [2],]': {"a": [1, "x", True, {"b": 1}, [2]]},
    "a = []": {"a": []},
    "a {}": {"a": {}},
    "a { b = 1 }": {"a": {"b": 1}},
    "a = { b = 1 }": {"a": {"b": 1}},
    "a { b = 1, c = 2 }": {"a": {"b": 1, "c": 2}},
    "a { b = 1 }\na { b = 2 }": {"a": [{"b": 1}, {"b": 2}]},
    "a { b = 1 }\na = [{ b = 2 }]\na { b = 3 }": {"a": [{"b": 1}, {"b": 2}, {"b": 3}]},
    "a = 1\na = 2": {"a": 2},
    'key "foo" { policy = "read" }': {"key": {"foo": {"policy": "read"}}},
    'key "foo" { policy = "read" }\nkey "bar" { policy = "write" }': {
        "key": [{"foo": {"policy": "read"}}, {"bar": {"policy": "write"}}]
    },
    'key_prefix "" { policy = "deny" }': {"key_prefix": {"": {"policy": "deny"}}},
    'a "b" c { d = 1 }': {"a": {"b": {"c": {"d": 1}}}},
    r'a = "tab\t quote\" back\\ \u00e9 \U0001f600 \x41 \101"': {
        "a": 'tab\t quote" back\\ é 😀 A A'
    },
    'a = "$x 5$ ${y("z")} ${"\n"}"': {"a": '$x 5$ ${y("z")} ${"\n"}'},
    "a = <<EOF\nx\n  y\nEOF\nb = 1": {"a": "x\n  y\n", "b": 1},
    "a = <<-EOF\n    x\n      y\n    EOF\n": {"a": "x\n  y\n"},
    "a = <<-EOF\nx\n    y\n    EOF": {"a": "x\n    y\n"},
    "a = [<<A\nx\nA\n, <<B\ny\nB\n]": {"a": ["x\n", "y\n"]},
    "a = 1\r\nb = 2\r\n": {"a": 1, "b": 2},
    ' {"a": [{"b": null}]}': {"a": [{"b": None}]},
    '{"a": {"b": 1}, "a": {"b": 2}}': {"a": [{"b": 1}, {"b": 2}]},
}

ERRORS = {
    "a": "f:1: expected '=' or '{' after the key 'a', found the end of the text",
    "\n\na =": "f:3: expected a value, found the end of the text",
    "a = b": "f:1: expected a value; texts are quoted: \"b\", found 'b'",
    "a = 10s": 'f:1: 10s is not a number; texts are quoted: "10s"',
    "a = 09": "f:1: 09 is not a number; 0 starts an octal one",
    'encrypt "secret"': "f:1: expected '=' or '{' after the key 'encrypt',"
    " found the end of the text",
    'encrypt = ["a" "secret"]': "f:1: expected ',' or ']', found a quoted text",
    "token = 8e1c0a3c-6a1d-4d8e": "f:1: 8e1c0a3c-6a1… is not a number; texts are quoted:"
    ' "8e1c0a3c-6a1…"',
    "a = 9223372036854775808": "f:1: 9223372036854775808 is out of range (64 bits)",
    "a = 1e999": "f:1: 1e999 is out of range",
    "a: 1": "f:1: ':' separates key and value only in JSON; write '='",
    'a = "x': 'f:1: this text has no end; write " on the same line',
    'a = "x\ny"': 'f:1: this text has no end; write " on the same line',
    'a = "${x"': "f:1: this ${ has no end; write }",
    'a = "${x} y': 'f:1: this text has no end; write "',
    r'a = "\q"': r"f:1: \q is not an escape",
    r'a = "\ud800"': r"f:1: \ud800 is not a character",
    "a = <<EOF\nx": "f:1: this heredoc has no end; write EOF on its own line",
    "a = << EOF\nx\nEOF": "f:1: expected a word and a line break after <<",
    "/* x": "f:1: this comment has no end; write */",
    "a {": "f:1: expected a key or '}', found the end of the text",
    "a { b = 1": "f:1: expected a key or '}', found the end of the text",
    "a = [1 2]": "f:1: expected ',' or ']', found '2'",
    "a = [1": "f:1: expected ',' or ']', found the end of the text",
    "}": "f:1: expected a key, found '}'",
    "1 = 2": "f:1: expected a key, found '1'",
    'a "b" = 1': "f:1: expected '{': a key with labels names a block, found '='",
    "a = 1\nb ~ 2": "f:2: '~' is not expected here",
    "a = \x1b": r"f:1: '\x1b' is not expected here",
    '{"a": 1,\n}': "f:2: not valid JSON: Illegal trailing comma before end of object",
    '{"a": NaN}': "f:1: not valid JSON: NaN is not a number",
    r'{"a": "\ud800"}': "f:1: not valid JSON: half of a surrogate pair",
    "a = " + "[" * 65: "f:1: more than 64 levels",
    "a " + '"b" ' * 70 + "{}": "f:1: more than 64 levels",
    '{"a": ' + "[" * 5000 + "]" * 5000 + "}": "f:1: more than 64 levels",
    "#" * (MAX_BYTES + 1): "f:1: the text is larger than 16 MiB",
    "a = \ud800": "f:1: the text is not UTF-8",
}


@pytest.mark.parametrize("text", MEANINGS)
def test_meaning(text: str) -> None:
    assert parse_hcl(text, "f") == MEANINGS[text]


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: repr(text[:30]))
def test_error(text: str) -> None:
    with pytest.raises(HclError) as caught:
        parse_hcl(text, "f")
    # The standard library words JSON errors differently from version to version.
    if "not valid JSON: Illegal trailing comma" in ERRORS[text]:
        assert str(caught.value).startswith("f:2: not valid JSON: ")
    else:
        assert str(caught.value) == ERRORS[text]


def test_json_files_hold_an_object() -> None:
    with pytest.raises(HclError, match=r"f:1: .*expected an object at the top"):
        parse_json("[]", "f")


_SCALAR = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
# HCL cannot tell a list of one object from a block, so lists of objects have two or more.
_TREE: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True), _SCALAR, max_size=4),
    lambda inner: st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        _SCALAR | st.lists(_SCALAR, max_size=3) | inner | st.lists(inner, min_size=2, max_size=3),
        max_size=4,
    ),
    max_leaves=12,
)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=True).replace("${", "$\\u007b")


def _pairs_joined(text: str) -> str:
    """A text literal with every character beyond the first plane as one escape."""
    return "".join(c if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text)


def _literal(text: str) -> str:
    body = "".join(_quote(c)[1:-1] if ord(c) < 0x10000 else c for c in text)
    return '"' + _pairs_joined(body).replace("${", "$\\u007b") + '"'


def _hcl(tree: dict[str, Any]) -> str:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines.append(f"{_literal(key)} {{\n{_hcl(value)}\n}}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{_literal(key)} {{\n{_hcl(item)}\n}}" for item in value]
        else:
            lines.append(f"{_literal(key)} = {_value(value)}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _literal(value) if isinstance(value, str) else repr(value)


@given(_TREE)
def test_hcl_says_what_json_says(tree: dict[str, Any]) -> None:
    assert parse_hcl(_hcl(tree), "f") == tree
    assert parse_json(json.dumps(tree), "f") == tree


@given(st.text(st.sampled_from('a1"{}[]=,$\\\n#/*<- é.'), max_size=40))
def test_no_text_does_anything_but_parse_or_fail(text: str) -> None:
    try:
        parse_hcl(text, "f")
    except HclError as error:
        assert "\n" not in str(error)


def test_depth_is_allowed_up_to_the_bound() -> None:
    deep = "a {" * (MAX_DEPTH - 1) + "}" * (MAX_DEPTH - 1)
    assert parse_hcl(deep, "f")
