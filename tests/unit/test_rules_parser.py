"""The grammar of rules, and what is said about rules that cannot be read."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.rules import And, Matcher, Not, Or, RuleError, parse
from portway.rules.matchers import MAX_ARGUMENT
from portway.rules.parser import MAX_DEPTH, MAX_LENGTH
from tests.integration import rules_corpus as corpus

A, B, C = (Matcher("Host", (name,)) for name in "abc")


def bare(node: object) -> object:
    """The tree without columns, to compare."""
    match node:
        case Matcher():
            return Matcher(node.name, node.args)
        case Not():
            return Not(bare(node.term))  # type: ignore[arg-type]
        case And() | Or():
            return type(node)(tuple(bare(term) for term in node.terms))  # type: ignore[misc]
    raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("Host(`a`)", A),
        ('Host("a")', A),
        ("  Host ( `a` , )\n", A),
        ("HOST(`a`)", A),
        ("host(`a`)", A),
        ("hostregexp(`a`)", Matcher("HostRegexp", ("a",))),
        ("Hostregexp(`a`)", Matcher("HostRegexp", ("a",))),
        ("CLIENTIP(`::1`)", Matcher("ClientIP", ("::1",))),
        ("Host(`a`) || Host(`b`) && Host(`c`)", Or((A, And((B, C))))),
        ("(Host(`a`) || Host(`b`)) && Host(`c`)", And((Or((A, B)), C))),
        ("Host(`a`) && Host(`b`) && Host(`c`)", And((A, B, C))),
        ("!Host(`a`) && Host(`b`)", And((Not(A), B))),
        ("!(Host(`a`) || !Host(`b`))", Not(Or((A, Not(B))))),
        ("((Host(`a`)))", A),
        ("Host(`a`)\n  || Host(`b`) // either\n  /* or */ || Host(`c`)", Or((A, B, C))),
        ("Header(`X`, `v`)", Matcher("Header", ("X", "v"))),
        ("Query(`q`)", Matcher("Query", ("q",))),
        (r'Path("/\"\\\x41\u00e9\101")', Matcher("Path", ('/"\\AéA',))),
        (r"PathRegexp(`\d\\`)", Matcher("PathRegexp", ("\\d\\\\",))),
        ("Path(`/a\r\nb`)", Matcher("Path", ("/a\nb",))),  # Go drops \r from raw strings
    ],
)
def test_trees(text: str, tree: object) -> None:
    assert bare(parse(text).tree) == tree


def test_matchers_know_their_columns() -> None:
    tree = parse("!Host(`a`) && Path(`/`)")
    assert isinstance(tree.tree, And)
    first, second = tree.tree.terms
    assert isinstance(first, Not)
    assert isinstance(first.term, Matcher)
    assert isinstance(second, Matcher)
    assert (first.term.column, second.column) == (2, 15)


def test_priority_counts_bytes_and_domains_are_positive_hosts_in_order() -> None:
    rule = parse("Host(`B.test`) || !Host(`c`) || !(!Host(`a`) || Host(`d`)) || Path(`/é`)")
    assert rule.priority == len(rule.text) + 1
    assert rule.domains == ("b.test", "a")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "expected a matcher such as Host(`example.com`), found the end of the rule"),
        ("Host(`a`) && Hots(`b`)", 14, "unsupported function: Hots; did you mean `Host`?"),
        ("Headers(`a`, `b`)", 1, "unsupported function: Headers; did you mean `Header`?"),
        ("PathPrefixes(`/`)", 1, "unsupported function: PathPrefixes; did you mean `PathPrefix`?"),
        ("foo.Host(`a`)", 1, "unsupported function: foo.Host"),
        ("Zzzz(`a`)", 1, "unsupported function: Zzzz; the matchers are Host, HostRegexp, Path"),
        ("Host", 5, "expected ( after Host, found the end of the rule"),
        ("Host(`a`", 9, "expected , or ) in argument list, found the end of the rule"),
        ("Host(`a` `b`)", 10, "expected , or ) in argument list, found `b`"),
        ("Host(`a", 6, "raw string literal not terminated"),
        ('Host("a', 6, "string literal not terminated"),
        ('Host("a\\q")', 8, "unknown escape sequence"),
        ("Host('a')", 6, "single quotes do not make a string; use backticks: `value`"),
        ("Host(a)", 6, "expected a string between backticks, found `a`"),
        ("Method(1)", 8, "expected a string between backticks, found `1`"),
        ("Host()", 1, "no args for matcher Host; write Host(`example.com`)"),
        ("Host(``)", 6, "empty args for matcher Host"),
        ("Query(`q`, ``)", 12, "empty args for matcher Query"),
        (
            "Host(`a`,`b`)",
            1,
            "unexpected number of parameters; got 2, expected one of [1] for Host: "
            "write Host(`a`) || Host(`b`)",
        ),
        ("Header(`X`)", 1, "unexpected number of parameters; got 1, expected one of [2]"),
        ("Query(`a`,`b`,`c`)", 1, "got 3, expected one of [1 2] for Query"),
        ("Path(`a`)", 6, "path 'a' does not start with a '/'"),
        ("PathPrefix(`a`)", 12, "path 'a' does not start with a '/'"),
        ("Host(`é`)", 6, "for Host matcher, non-ASCII characters are not allowed; write the xn--"),
        ("HostRegexp(`é`)", 12, "non-ASCII characters are not allowed"),
        ("PathRegexp(`(`)", 12, "compiling PathRegexp matcher: error parsing regexp: missing )"),
        ("HeaderRegexp(`X`, `[`)", 19, "error parsing regexp: missing ]: ["),
        ("PathRegexp(`(?=a)`)", 12, "error parsing regexp: invalid perl operator: (?="),
        ("PathRegexp(`\\C`)", 12, "invalid escape sequence: \\C"),
        ("QueryRegexp(`q`, `a(^b)*`)", 18, "^ and $ are supported at the ends of an expression"),
        ("ClientIP(`10.0.0.0/33`)", 10, "invalid CIDR address: 10.0.0.0/33"),
        ("ClientIP(`x`)", 10, "invalid CIDR address: x"),
        ("ClientIP(`10.0.0.0/255.0.0.0`)", 10, "invalid CIDR address"),
        (
            "Host(`a`) & Host(`b`)",
            11,
            "expected &&, || or the end of the rule, found `&` (write &&)",
        ),
        ("Host(`a`) | Host(`b`)", 11, "(write ||)"),
        ("Host(`a`) Host(`b`)", 11, "found `Host`"),
        ("Host(`a`) and Host(`b`)", 11, "found `and`"),
        ("Host(`a`) &&", 13, "expected a matcher such as Host(`example.com`)"),
        ("(Host(`a`)", 11, "expected &&, || or ), found the end of the rule"),
        ("Host(`a`))", 10, "expected &&, || or the end of the rule, found `)`"),
        ("Host(`a`);", 10, "found `;`"),
        ("Host(`a`) \u00a0", 11, "illegal character U+00A0"),
        ("Host(`a`) \ud800", 11, "not valid Unicode text"),
        ("!" * (MAX_DEPTH + 1) + "Host(`a`)", MAX_DEPTH + 1, "nested more than 64 levels deep"),
        ("(" * 9999, MAX_DEPTH + 1, "nested more than 64 levels deep"),
        (f"Path(`/{'a' * MAX_ARGUMENT}`)", 6, "the value has 4097 characters; at most 4096"),
        (" " * (MAX_LENGTH + 1), 1, "the rule has 65537 characters; at most 65536"),
        (
            "PathRegexp(`" + "(" * 60 + "a" + ")" * 60 + "`)",
            12,
            "more than 50 groups in each other",
        ),
        ("PathRegexp(`(.{1000}){1000}`)", 12, "error parsing regexp"),
    ],
)
def test_errors_say_what_and_where(text: str, column: int, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.column == column
    assert str(caught.value) == f"column {column}: {caught.value.message}"


def test_long_chains_are_not_deep() -> None:
    rule = parse(" || ".join(["Host(`a`)"] * 4000))
    assert isinstance(rule.tree, Or)
    assert len(rule.tree.terms) == 4000


@given(st.text(max_size=200) | st.text('Host()&|!`"\\ ,/PathRegexp*[]{}?^$.abc0', max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text)
    except RuleError as error:
        assert 1 <= error.column <= len(text) + 1


@given(st.integers(0, 1 << 32), st.data())
def test_no_damaged_rule_breaks_the_parser(seed: int, data: st.DataObject) -> None:
    text = corpus.random_rule(random.Random(seed))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    inserted = data.draw(st.text('()&|!`"\\,*[]{}?^$', max_size=3))
    try:
        parse(text[:start] + inserted + text[end:])
    except RuleError as error:
        assert str(error)


@given(st.integers(0, 1 << 32))
def test_a_tree_written_out_reads_as_the_same_tree(seed: int) -> None:
    tree = parse(corpus.random_rule(random.Random(seed))).tree
    text = str(tree)
    if "\n" not in text:
        assert bare(parse(text).tree) == bare(tree)
