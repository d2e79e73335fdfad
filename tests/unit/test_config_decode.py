"""The decoder: names, values, lists, maps and switches, from any source."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import field

from portway.config import (
    FILE_ONLY,
    LABEL_ONLY,
    Duration,
    Flat,
    Options,
    Problem,
    Unsupported,
    decode,
    grow,
    nearest,
)
from portway.edge.dynamic import Dynamic, Router
from portway.edge.static import Static


class Leaf(Options):
    name: str = ""
    count: int = 0


class Switch(Options):
    allow_empty = True
    depth: int = 7


class Thing(Options):
    text: str = ""
    flag: bool = False
    number: int = 0
    ratio: float = 0.0
    wait: Duration = Duration(1)
    mode: Literal["", "fast", "slow"] = ""
    maybe: int | None = None
    words: list[str] = []
    numbers: list[int] = []
    leaf: Leaf | None = None
    leaves: list[Leaf] = []
    named: dict[str, Leaf] = {}
    texts: dict[str, str] = {}
    switch: Switch | None = None
    later: Unsupported | None = None
    odd_name: str = field(default="", name="oddNAME")
    in_labels: Annotated[str, LABEL_ONLY] = ""
    in_files: Annotated[str, FILE_ONLY] = ""


def messages(tree: Any, **options: Any) -> list[str]:
    return [str(problem) for problem in decode(tree, Thing, "file.yml", **options).problems]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"text": "a"}, Thing(text="a")),
        ({"TEXT": "a"}, Thing(text="a")),
        ({"ODDname": "a"}, Thing(odd_name="a")),
        ({"text": 12}, Thing(text="12")),
        ({"text": True}, Thing(text="true")),
        ({"text": 1.5}, Thing(text="1.5")),
        ({"text": None}, Thing()),
        ({"flag": "true"}, Thing(flag=True)),
        ({"flag": "1"}, Thing(flag=True)),
        ({"flag": 1}, Thing(flag=True)),
        ({"flag": "F"}, Thing()),
        ({"number": "8080"}, Thing(number=8080)),
        ({"number": "-5"}, Thing(number=-5)),
        ({"number": "+5"}, Thing(number=5)),
        ({"ratio": "0.5"}, Thing(ratio=0.5)),
        ({"wait": 30}, Thing(wait=Duration(30))),
        ({"wait": "1m30s"}, Thing(wait=Duration(90))),
        ({"mode": "fast"}, Thing(mode="fast")),
        ({"maybe": "3"}, Thing(maybe=3)),
        ({"words": "a, b,"}, Thing(words=["a", "b", ""])),
        ({"words": ""}, Thing()),
        ({"words": [" a", "b,c", 3]}, Thing(words=["a", "b,c", "3"])),
        ({"words": 3}, Thing(words=["3"])),
        ({"numbers": "1,2"}, Thing(numbers=[1, 2])),
        ({"leaf": {"NAME": "a"}}, Thing(leaf=Leaf(name="a"))),
        ({"leaves": [{"count": 1}, {"count": 2}]}, Thing(leaves=[Leaf(count=1), Leaf(count=2)])),
        ({"leaves": [{}]}, Thing(leaves=[Leaf()])),
        ({"named": {"Ab": {"count": 1}, "c": {}}}, Thing(named={"Ab": Leaf(count=1), "c": Leaf()})),
        ({"named": {"a": "true"}}, Thing(named={"a": Leaf()})),
        ({"texts": {"X-A": 1, "X-B": None}}, Thing(texts={"X-A": "1"})),
        ({"switch": {}}, Thing(switch=Switch())),
        ({"switch": "true"}, Thing(switch=Switch())),
        ({"switch": "TRUE"}, Thing(switch=Switch())),
        ({"switch": False}, Thing()),
        ({"switch": "false"}, Thing()),
        ({"later": {"deep": [1]}}, Thing(later=Unsupported({"deep": [1]}))),
        ({"later": "false"}, Thing()),
        ({"later": None}, Thing()),
    ],
    ids=str,
)
def test_values(tree: Any, expected: Thing) -> None:
    decoding = decode(tree, Thing)
    assert decoding.problems == []
    assert decoding.value == expected


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"flag": "yes"}, "flag: 'yes' is not a boolean; write true or false"),
        ({"number": "1.5"}, "number: '1.5' is not a whole number"),
        ({"number": ""}, "number: '' is not a whole number"),
        ({"number": True}, "number: 'true' is not a whole number"),
        ({"number": "²"}, "number: '²' is not a whole number"),
        ({"number": str(2**63)}, f"number: '{2**63}' is out of range (64 bits)"),
        ({"ratio": "x"}, "ratio: 'x' is not a number"),
        ({"wait": "abc"}, "wait: 'abc' is not a duration; write seconds (30) or units"),
        ({"wait": "3000000h"}, "wait: '3000000h' is too long; the most is 2562047h"),
        ({"ratio": "nan"}, "ratio: 'nan' is not a number"),
        ({"mode": "warp"}, "mode: 'warp' is not valid; write one of fast, slow"),
        ({"text": ["a"]}, "text: expected a text, not a list"),
        ({"text": {"a": "b"}}, "text: expected a text, not named entries"),
        ({"words": {"a": "b"}}, "words: expected a list, not named entries"),
        ({"words": ["a", None]}, "words[1]: expected a value, not null"),
        ({"words": [["a"]]}, "words[0]: expected a text, not a list"),
        ({"txt": "a"}, "txt: field not found, node: txt; did you mean text?"),
        ({"leaf": {"nme": "a"}}, "leaf.nme: field not found, node: nme; did you mean name?"),
        ({"leaf": {"x": "a"}}, "leaf.x: field not found, node: x; valid here: count, name"),
        ({"leaf": {}}, "leaf: leaf cannot be a standalone element: nothing is set below it"),
        ({"leaf": "true"}, "leaf: leaf cannot be a standalone element: nothing is set below it"),
        ({"leaf": {"name": None}}, "leaf: leaf cannot be a standalone element"),
        ({"leaf": []}, "leaf: leaf cannot be a standalone element: a list was given"),
        ({"leaf": "a"}, "leaf: leaf cannot be a standalone element: 'a' is not valid; set one of"),
        ({"switch": "on"}, "switch: switch cannot be a standalone element: 'on' is not valid"),
        ({"named": {}}, "named: named cannot be a standalone element: it is empty"),
        ({"named": {"a": ":80"}}, "named.a: a cannot be a standalone element: ':80' is not valid"),
        ({"named": "a"}, "named: named cannot be a standalone element"),
        ({"leaves": "a"}, "leaves[0]: leaves[0] cannot be a standalone element"),
        ({"text": "a", "Text": "b"}, "Text: text is given twice"),
    ],
    ids=str,
)
def test_one_clear_message(tree: Any, expected: str) -> None:
    (message,) = messages(tree)
    assert message.startswith(f"file.yml: {expected}")


def test_all_problems_are_found_and_the_rest_is_decoded() -> None:
    decoding = decode({"text": "a", "flag": "x", "number": "y", "nope": 1}, Thing, "f")
    assert [problem.key for problem in decoding.problems] == ["flag", "number", "nope"]
    assert decoding.value == Thing(text="a")


def test_fields_of_labels_and_of_files() -> None:
    assert decode({"inLabels": "x"}, Thing, labels=True).value == Thing(in_labels="x")
    assert decode({"inFiles": "x"}, Thing).value == Thing(in_files="x")
    assert "field not found, node: inLabels" in messages({"inLabels": "x"})[0]
    assert "field not found, node: inFiles" in messages({"inFiles": "x"}, labels=True)[0]


def test_unsupported_options_are_reported_and_kept() -> None:
    decoding = decode({"later": {"a": 1}}, Thing, "f.yml")
    assert decoding.value.later == Unsupported({"a": 1})
    assert [str(problem) for problem in decoding.unsupported] == [
        "f.yml: later: is not supported yet and has no effect"
    ]


def test_dotted_keys_become_a_tree() -> None:
    flats = [
        Flat("Named.One.name", "a", "Named.One.name"),
        Flat("leaves[10].name", "ten", "leaves[10].name"),
        Flat("leaves[2].name", "two", "leaves[2].name"),
        Flat("named.ONE.count", "3", "named.ONE.count"),
        Flat("switch", "true", "switch"),
        Flat("switch.depth", "2", "switch.depth"),
        Flat("words[0]", "a,b", "words[0]"),
    ]
    tree, problems = grow(flats)
    assert problems == []
    assert decode(tree, Thing).value == Thing(
        named={"One": Leaf(name="a", count=3)},
        leaves=[Leaf(name="ten"), Leaf(name="two")],
        switch=Switch(depth=2),
        words=["a,b"],
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a..b", "invalid element: a name between two dots is missing"),
        ("", "invalid element: a name between two dots is missing"),
        ("a.", "invalid element: a name between two dots is missing"),
        ("a[x]", "invalid element: 'a[x]'; write an index as a[0]"),
        ("a[0", "invalid element: 'a[0'; write an index as a[0]"),
        ("[0].a", "invalid element: a name between two dots is missing"),
        (".".join("a" * 65), "invalid element: more than 64 levels"),
    ],
)
def test_keys_that_are_none(path: str, message: str) -> None:
    tree, problems = grow([Flat(path, "1", f"x.{path}")], "flags")
    assert tree == {}
    assert problems == [Problem("flags", None, f"x.{path}", message)]


def test_a_problem_names_the_flat_key_as_it_was_written() -> None:
    tree, _ = grow([Flat("leaf.nme", "1", "--Leaf.nme")])
    assert decode(tree, Thing, "flags").problems == [
        Problem("flags", None, "--Leaf.nme", "field not found, node: nme; did you mean name?")
    ]


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("a.yml", 3, "k", "bad"), "a.yml:3: k: bad"),
        (Problem("a.yml", None, "k", "bad"), "a.yml: k: bad"),
        (Problem("", None, "k", "bad"), "k: bad"),
        (Problem("a.yml", 3, "", "bad"), "a.yml:3: bad"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    assert str(problem) == line


def test_a_problem_stays_one_line_whatever_the_input() -> None:
    problem = Problem("", None, "a\n\x1b[2Jb" + "c" * 9000, "\ud800")
    assert str(problem).startswith(r"a\n\x1b[2Jbccc")
    assert str(problem).endswith(r"ccc…: \ud800")
    assert len(str(problem)) < 250


def test_nearest_name() -> None:
    assert nearest("adress", ["address", "http"]) == "; did you mean address?"
    assert nearest("zzz", ["b", "a"]) == "; valid here: a, b"
    assert nearest("zzz", []) == ""
    assert nearest("zz", [f"n{i:02}" for i in range(20)]).endswith("n11, …")


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["true", "false", "", "1", "10s", "a,b"]),
)


def keys(kind: type[Options]) -> st.SearchStrategy[str]:
    names = {"x", "[0]", ""}
    pending: list[Any] = [kind]
    seen = set()
    while pending:
        item = pending.pop()
        if not (isinstance(item, type) and issubclass(item, Options)) or item in seen:
            continue
        seen.add(item)
        for info in msgspec.structs.fields(item):
            names.add(info.encode_name)
            pending += _classes(info.type)
    return st.sampled_from(sorted(names))


def _classes(annotation: Any) -> list[Any]:
    inner = getattr(annotation, "__args__", ())
    return [annotation, *(found for part in inner for found in _classes(part))]


def trees(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)
        ),
        max_leaves=30,
    )


@pytest.mark.parametrize("kind", [Thing, Router, Dynamic, Static])
def test_no_tree_crashes_the_decoder(kind: type[Options]) -> None:
    @given(trees(keys(kind)), st.booleans())
    def check(tree: Any, labels: bool) -> None:
        decoding = decode(tree, kind, "f", labels=labels)
        assert isinstance(decoding.value, kind)
        for problem in decoding.problems:
            assert problem.message
            assert "\n" not in problem.message

    check()


def test_huge_numbers_do_not_crash() -> None:
    digits = "9" * (sys.get_int_max_str_digits() + 10)
    assert "out of range" in messages({"number": digits})[0]
    assert len(messages({"number": digits})[0]) < 300
    assert "duration" in messages({"wait": "9" * 400 + "h"})[0]
