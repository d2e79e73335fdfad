"""Go expressions for decoded values, written anew for what Envoy sees."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portway.rules import Request, normalize_path
from portway.rules.encoding import NEVER
from portway.rules.evaluation import found, matcher_holds
from portway.rules.pattern import Atom, characters, compile_bytes_pattern
from portway.rules.wire import (
    QUERY_END,
    authority_pattern,
    header_literal,
    header_pattern,
    path_literal,
    path_pattern,
    query_literal,
    query_pattern,
    target_pattern,
)

CLASSES = "[ab] [^a] [a-c1] [^/] [é-ü] [[:alpha:]] [|{}] \\. \\d \\w \\s \\S \\pL \\x20 (?i:A)"
ATOMS = st.sampled_from([*"ab1/ é%-x=", "[ a]", *CLASSES.split()])


def _inner(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.lists(parts, min_size=1, max_size=3).map("".join)
        | st.tuples(parts, parts).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "+?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        )
    )


BODIES = st.recursive(ATOMS, _inner, max_leaves=5)
PATTERNS = st.lists(
    st.tuples(st.sampled_from(["", "", "^"]), BODIES, st.sampled_from(["", "", "$"])).map("".join),
    min_size=1,
    max_size=2,
).map("|".join)
CHARACTERS = st.sampled_from([*"ab1/ é.-x|{}=c", "%2F", "%2f", "%20", "%C3%a9", "%61", "%7c"])
TEXTS = st.lists(CHARACTERS, max_size=5).map("".join)


def as_envoy_has_it(path: str) -> str:
    """Envoy decodes unreserved characters and encodes what may not stand in a path, but keeps
    the case of hexadecimal digits."""
    plain = re.sub("%61", "a", re.sub(r"[^!-~]|[|{}]", _encoded, path))
    return re.sub("/+", "/", plain)


def _encoded(one: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in one.group().encode())


def full_match(pattern: str, text: str) -> bool:
    """As Envoy matches: bytes, from end to end."""
    return compile_bytes_pattern(pattern).fullmatch(text.encode()) is not None


@settings(max_examples=500)
@given(PATTERNS, TEXTS, st.sampled_from(["", "?", "?a=/b", "?$"]))
def test_path_patterns(pattern: str, text: str, query: str) -> None:
    assume("%" not in pattern)  # see test_percent_signs
    path = "/" + text
    assume(not re.search(r"/\.{1,2}(/|$)", normalize_path(path) + path))
    # A class that matches a part of %2F only is left to test_percent_signs.
    assume("%2f" not in path.lower())
    wanted = matcher_holds("PathRegexp", (pattern,), Request(path=path))
    sent = as_envoy_has_it(path)
    assert full_match(path_pattern(pattern), sent) == wanted
    assert full_match(target_pattern(pattern), sent + query) == wanted


@settings(max_examples=300)
@given(TEXTS, TEXTS, st.booleans())
def test_path_literals(text: str, sent: str, prefix: bool) -> None:
    path, literal = f"/{sent}", f"/{text}"
    assume(not re.search(r"/\.{1,2}(/|$)", path))
    name = "PathPrefix" if prefix else "Path"
    wanted = matcher_holds(name, (literal,), Request(path=path))
    plain, pattern = path_literal(literal, prefix=prefix)
    seen = as_envoy_has_it(path)
    assert full_match(pattern + (".*" if prefix else ""), seen) == wanted
    assert full_match(pattern + (".*" if prefix else QUERY_END), f"{seen}?q=1") == wanted
    if plain is not None:
        assert (seen.startswith(plain) if prefix else seen == plain) == wanted


QUERY_TEXTS = st.lists(
    st.sampled_from([*"ab1/+.-|=&;c?", "%2F", "%20", "%c3%a9", "%61", "%zz", "%26", "q=", "&q="]),
    max_size=6,
).map("".join)


@settings(max_examples=500)
@given(PATTERNS, QUERY_TEXTS)
def test_query_patterns(pattern: str, query: str) -> None:
    request = Request(query=f"q={query}")
    wanted = matcher_holds("QueryRegexp", ("q", pattern), request)
    written = query_pattern("q", pattern, empty=found(pattern, b""))
    assert full_match(written, f"/x?q={query}") == wanted


@settings(max_examples=300)
@given(st.sampled_from(["", "a", "a b", "a+b", "é", "a&b", "=", "/", "%", "|", "a;c"]), QUERY_TEXTS)
def test_query_literals(value: str, query: str) -> None:
    wanted = matcher_holds("Query", ("q", value), Request(query=query))
    assert full_match(query_literal("q", value), f"/a?{query}") == wanted


@settings(max_examples=300)
@given(
    PATTERNS.filter(lambda p: p.isascii() and "%" not in p),
    st.text("abx1.-AB", min_size=1, max_size=6),
    st.sampled_from(["", ":80", ":1"]),
)
def test_host_patterns(pattern: str, host: str, port: str) -> None:
    assume(not found(pattern, b""))  # such a pattern matches every host
    wanted = matcher_holds("HostRegexp", (pattern,), Request(host=host + port))
    assert full_match(authority_pattern(pattern), host + port) == wanted


@settings(max_examples=300)
@given(PATTERNS, st.text("ab1/ .-x|", max_size=5))
def test_header_patterns(pattern: str, value: str) -> None:
    value = value.strip()
    wanted = found(pattern, value.encode())
    assert full_match(header_pattern("x-a", pattern), value) == wanted


@pytest.mark.parametrize(
    ("name", "joined", "matches"),
    [
        ("x-a", "v", True),
        ("x-a", "v,w", True),  # two lines
        ("x-a", "w,v", True),
        ("x-a", "u,v,w", True),
        ("x-a", "v,", True),
        ("x-a", "v, w", False),  # one line
        ("x-a", "w, v", False),
        ("x-a", "vw", False),
        ("x-a", "", False),
        ("cookie", "v", True),
        ("cookie", "v; w", False),
        ("cookie", "v,w", False),
    ],
)
def test_values_among_joined_lines(name: str, joined: str, matches: bool) -> None:
    assert full_match(header_literal(name, "v"), joined) is matches
    assert full_match(header_pattern(name, "^v$"), joined) is matches


@pytest.mark.parametrize("pattern", ["^é$", "^[é-ü]$", "^\\pL$", "^[^a]$", "^.+$"])
def test_header_patterns_beyond_ascii(pattern: str) -> None:
    assert full_match(header_pattern("x-a", pattern), "é")
    assert not full_match(header_pattern("x-a", pattern), "")


def test_percent_signs() -> None:
    assert full_match(path_pattern("^/a%2Fb$"), "/a%2fb")
    assert full_match(path_pattern("(?i)^/a%2fb$"), "/a%2Fb")
    assert NEVER in path_pattern("^/a%2fb$")  # hexadecimal digits are upper-case by then
    assert NEVER in path_pattern("^/a%20b$")  # and a space is decoded
    assert full_match(path_pattern("^/[^/]+/[^/]+$"), "/a%2fb/c")
    assert not full_match(path_pattern("^/[a-z]+$"), "/a%2fb")
    assert not full_match(path_pattern("^/[^/]+$"), "/a%2fb/c")
    assert not full_match(path_pattern("^/a.b$"), "/a%2Fb")  # three characters
    assert full_match(path_pattern("^/(?:a|.)+$"), "/a%2Fb")
    assert full_match(path_pattern("%"), "/a%3A")
    assert not full_match(path_pattern("%"), "/a%20")


@pytest.mark.parametrize("anchored", ["a^b", "a$b", "(a^)?b", "(^a)*b", "x(b$)+"])
def test_anchors_inside_are_refused(anchored: str) -> None:
    with pytest.raises(ValueError, match="at the ends of an expression only"):
        path_pattern(anchored)


@pytest.mark.parametrize(
    ("atom", "ranges"),
    [
        (Atom("a"), ((97, 97),)),
        (Atom("a", "i"), ((65, 65), (97, 97))),
        (Atom("k", "i"), ((75, 75), (107, 107), (0x212A, 0x212A))),
        (Atom("."), ((0, 9), (11, 0x10FFFF))),
        (Atom("[^\\x00-é]"), ((0xEA, 0x10FFFF),)),
    ],
)
def test_characters_of_an_atom(atom: Atom, ranges: tuple[tuple[int, int], ...]) -> None:
    assert characters(atom) == ranges
