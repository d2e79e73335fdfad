"""The filter language: what holds for which object, and what is refused with which words."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portway.discovery.filter import FilterError, compile_filter
from portway.discovery.filter.parser import MAX_MATCHES, parse
from portway.discovery.filter.tree import And, Expression, Match, Not, Operator, Or
from portway.discovery.model import (
    Check,
    CheckRun,
    Connect,
    Node,
    Service,
    ServiceAddress,
    Weights,
    plain_proxy,
)


class Row(TypedDict):
    """What health/service filters."""

    Node: Node
    Service: Service
    Checks: list[Check]


def service(**changes: Any) -> Service:
    proxy = plain_proxy()
    made = Service(
        id="web-1",
        service="web",
        tags=["frontend", "v1.0"],
        address="10.0.0.7",
        tagged_addresses={"lan": ServiceAddress("10.0.0.7", 80)},
        meta={"env": "prod", "a b": "x", "empty": ""},
        port=80,
        weights=Weights(10, 1),
        enable_tag_override=False,
        proxy=proxy,
        connect=Connect(),
        peer_name="",
    )
    return msgspec.structs.replace(made, **changes)


def check(status: str, name: str = "c") -> Check:
    return msgspec.convert(
        {
            "Node": "n1",
            "CheckID": name,
            "Name": name,
            "Status": status,
            "Notes": "",
            "Output": "HTTP GET ok",
            "ServiceID": "web-1",
            "ServiceName": "web",
            "ServiceTags": ["frontend"],
            "Type": "http",
            "Interval": "10s",
            "Timeout": "",
            "ExposedPort": 0,
            "Definition": CheckRun(),
        },
        Check,
        from_attributes=True,
    )


def row(**changes: Any) -> Row:
    node = Node("id-1", "n1", "10.0.0.1", {"lan": "10.0.0.1"}, None)
    made = Row(Node=node, Service=service(), Checks=[check("passing", "a"), check("critical", "b")])
    made.update(changes)  # type: ignore[typeddict-item]
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("Service == web", True),
        ('Service == "web"', True),
        ("Service==`web`", True),
        ("Service != web", False),
        ("Service == we", False),
        ("service.web == 1 or Service == web", FilterError),
        ("Service contains e", True),
        ("e in Service", True),
        ('"" in Service', True),
        ("x not in Service", True),
        ('Service matches "^w.b$"', True),
        ("Service matches eb", True),
        ("Service not matches `^eb`", True),
        ("Service is empty", FilterError),
        ("Kind == ``", True),
        ('Kind == ""', True),
        ("Port == 80", True),
        ("Port != 80", False),
        ("Port == `0x50`", True),
        ("Port == `0120`", True),
        ("Port == -1", False),
        ("EnableTagOverride == false", True),
        ("EnableTagOverride != T", True),
        ("Weights.Passing == 10 and Weights.Warning == 1", True),
        ("frontend in Tags", True),
        ('"v1.0" in Tags', True),
        ("v1.0 in Tags", FilterError),
        ("Tags contains back", False),
        ("Tags not contains back", True),
        ("Tags is empty", False),
        ("Tags is not empty", True),
        ("env in Meta", True),
        ("Meta contains env", True),
        ("Meta.env == prod", True),
        ('Meta["env"] == prod', True),
        ("Meta[ `a b` ] == x", True),
        ("Meta.none == prod", False),
        ("Meta.none != prod", True),
        ("Meta.none is empty", FilterError),
        ("Meta.none matches x", True),
        ("Meta.none not matches x", True),
        ("x in Meta.none", False),
        ("x not in Meta.none", True),
        ("Meta.none contains x", False),
        ("Meta.none not matches `.*`", True),
        ("TaggedAddresses.lan.Port == 80", True),
        ('TaggedAddresses["lan"].Address == "10.0.0.7"', True),
        ("TaggedAddresses.wan.Port == 80", False),
        ("TaggedAddresses.wan.Port != 80", True),
        ("lan in TaggedAddresses", True),
        ("Proxy.DestinationServiceName == db", False),
        ("Proxy.Upstreams is empty", True),
        ("Proxy.Upstreams.DestinationName != db", False),  # no element, so no element that differs
        ("not Service == web", False),
        ("not not Service == web", True),
        ("not (Service == api or Port == 1)", True),
        ("Service == api or Port == 80 and Kind == ``", True),
        ("(Service == api or Port == 80) and Kind == mesh-gateway", FilterError),
        ("  (  Service  ==  web\n)\t", True),
        ("Service == web and (Port == 1 or (Port == 80 and not Port == 2))", True),
    ],
)
def test_services(text: str, expected: Any) -> None:
    if expected is FilterError:
        with pytest.raises(FilterError):
            compile_filter(text, Service)
    else:
        assert compile_filter(text, Service)(service()) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Node.Node == n1", True),
        ("Node.Meta is empty", True),
        ("Node.Meta.rack == a", False),
        ("Node.Meta.rack != a", True),
        ("a in Node.Meta", False),
        ("Node.TaggedAddresses.lan == `10.0.0.1`", True),
        ("Service.Service == web and frontend in Service.Tags", True),
        ("Checks.Status == critical", True),
        ("Checks.Status != passing", True),  # any element
        ("not Checks.Status == warning", True),
        ("Checks is not empty", True),
        ("frontend in Checks.ServiceTags", True),
        ("Node.Datacenter == dc1", True),
        ("Node.Datacenter matches `^dc[2-9]`", False),
    ],
)
def test_composite_rows(text: str, expected: bool) -> None:
    constants = ((Node, "Datacenter", "dc1"),)
    assert compile_filter(text, Row, constants)(row()) is expected


def test_a_map_is_filtered_by_any_key() -> None:
    passes = compile_filter("web.Port == 80 and api.Service != x", dict[str, Service])
    assert passes({"web": service()})
    assert not passes({"api": service()})


def test_absent_data_counts_as_zero_values() -> None:
    none = row(Service=None, Checks=None)
    assert compile_filter("Service.Port == 0 and Service.Tags is empty", Row)(none)
    assert compile_filter('Service.Service == ""', Row)(none)
    assert not compile_filter("Checks.Status != passing", Row)(none)


PREFIX = "Failed to create boolean expression evaluator: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Foo == 1", 'Selector "Foo" is not valid'),
        ("service == web", 'Selector "service" is not valid'),
        ("Meta.env.deep == 1", 'Selector "Meta.env.deep" is not valid'),
        ("Proxy.None.Deep == 1", 'Selector "Proxy.None" is not valid'),
        ("CreateIndex == 1", 'Selector "CreateIndex" is not valid'),
        ("ModifyIndex == 1", 'Selector "ModifyIndex" is not valid'),
        ("Ports is empty", 'Selector "Ports" is not valid'),
        ("Locality.Region == x", 'Selector "Locality" is not valid'),
        ("Proxy.Config.x == 1", 'Selector "Proxy.Config" is not valid'),
        ("Proxy.Upstreams.Config.x == 1", 'Selector "Proxy.Upstreams.Config" is not valid'),
        ("Tags.x == 1", 'Selector "Tags.x" is not valid'),
        ("Tags == x", 'Invalid match operator "Equal" for selector "Tags"'),
        ("Tags not matches x", 'Invalid match operator "Not Matches" for selector "Tags"'),
        ("Port is not empty", 'Invalid match operator "Is Not Empty" for selector "Port"'),
        ("8 not in Port", 'Invalid match operator "Not In" for selector "Port"'),
        ("Proxy is empty", 'Invalid match operator "Is Empty" for selector "Proxy"'),
        (
            "Port == web",
            'Failed to coerce value "web" for selector "Port": '
            'strconv.ParseInt: parsing "web": invalid syntax',
        ),
        (
            "Port == 9223372036854775808",
            'Failed to coerce value "9223372036854775808" for selector "Port": '
            'strconv.ParseInt: parsing "9223372036854775808": value out of range',
        ),
        (
            "EnableTagOverride == yes",
            'Failed to coerce value "yes" for selector "EnableTagOverride": '
            'strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (
            'Service matches "("',
            'Failed to compile regular expression "(": error parsing regexp: '
            "missing closing ): `(`",
        ),
        (
            " or ".join(["Port == 1"] * (MAX_MATCHES + 1)),
            "Number of match expressions (1001) exceeds the limit (1000)",
        ),
        ("(" * 65 + "Port == 1" + ")" * 65, "nested more than 64 levels deep"),
        ("not " * 65 + "Port == 1", "nested more than 64 levels deep"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text, Service)
    assert str(caught.value) == PREFIX + message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (" ", "1:2 (1)"),
        ("Port", "1:5 (4)"),
        ("Port ==", "1:8 (7)"),
        ("Port == 1 Port == 2", "1:11 (10)"),
        ("Port == 1or Port == 2", "1:9 (8)"),
        ("Service == web-1", "1:15 (14)"),
        ("(Port == 1", "1:11 (10)"),
        ("Port == 1)", "1:10 (9)"),
        ("Service == 'web'", "1:12 (11)"),
        ("Meta[env] == 1", "1:6 (5)"),
        ('Meta["env" == 1', "1:11 (10)"),
        ('Service == "web', "1:12 (11)"),
        ('Service == "\\q"', "1:12 (11)"),
        ('Service == "\\xff"', "1:12 (11)"),
        ("Port == 1 and\nPort = 2", "2:5 (18)"),
        ("Port==01", "1:7 (6)"),
        ("1 == Port", "1:2 (1)"),
        ("not(Port == 1)", "1:4 (3)"),
        ("Service == any and (Port == 1)or(Port == 2)", "1:31 (30)"),
    ],
)
def test_syntax_errors_name_the_place(text: str, place: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text, Service)
    assert str(caught.value).startswith(f"{PREFIX}{place}: no match found, expected: ")


def test_the_limit_is_inclusive() -> None:
    assert compile_filter(" or ".join(["Port == 80"] * MAX_MATCHES), Service)(service())


def test_words_of_the_grammar_are_ordinary_names() -> None:
    assert parse("not == 3") == Match(("not",), Operator.EQUAL, False, "3")
    assert parse("not in Tags") == Match(("Tags",), Operator.IN, False, "not")
    assert parse("not not in Tags") == Not(Match(("Tags",), Operator.IN, False, "not"))
    assert parse("in.contains == or") == Match(("in", "contains"), Operator.EQUAL, False, "or")
    assert parse('"\\u00e9\\n\\"\\x41" in a') == Match(("a",), Operator.IN, False, 'é\n"A')


def test_equal_filters_share_one_closure() -> None:
    assert compile_filter("Port == 1", Service) is compile_filter("Port == 1", Service)
    long = "Port == 1" + " " * 5000
    assert compile_filter(long, Service) is not compile_filter(long, Service)


# --- compiled closures against a naive interpreter of the tree -------------------------------


class Leaf(msgspec.Struct, rename="pascal"):
    word: str = ""
    number: int = 0
    flag: bool = False
    ratio: float = 0.0
    tags: list[str] = []
    meta: dict[str, str] = {}


class Root(msgspec.Struct, rename="pascal"):
    leaf: Leaf
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = {}
    lists: dict[str, list[int]] = {}


LEAF_SELECTORS = [
    ("Word",),
    ("Number",),
    ("Flag",),
    ("Ratio",),
    ("Tags",),
    ("Meta",),
    ("Meta", "a"),
]
SELECTORS = [
    *(("Leaf", *rest) for rest in LEAF_SELECTORS),
    *(("Leaves", *rest) for rest in LEAF_SELECTORS),
    *(("ByName", "a", *rest) for rest in LEAF_SELECTORS),
    ("Leaves",),
    ("ByName",),
    ("Lists", "b"),
]
WORDS = st.sampled_from(["", "a", "b", "ab", "0", "1", "true", "2.5"])
LEAVES = st.builds(
    Leaf,
    word=WORDS,
    number=st.integers(0, 2),
    flag=st.booleans(),
    ratio=st.sampled_from([0.0, 1.0, 2.5]),
    tags=st.lists(WORDS, max_size=2),
    meta=st.dictionaries(st.sampled_from("ab"), WORDS),
)
ROOTS = st.builds(
    Root,
    leaf=LEAVES,
    leaves=st.lists(LEAVES, max_size=2),
    by_name=st.dictionaries(st.sampled_from("ab"), LEAVES),
    lists=st.dictionaries(st.sampled_from("ab"), st.lists(st.integers(0, 2), max_size=2)),
)
MATCHES = st.builds(
    Match,
    selector=st.sampled_from(SELECTORS),
    operator=st.sampled_from(Operator),
    negated=st.booleans(),
    value=WORDS,
).map(lambda match: match._replace(value="") if match.operator is Operator.EMPTY else match)
TREES: st.SearchStrategy[Expression] = st.recursive(
    MATCHES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def written(tree: Expression) -> str:
    """The tree as text."""
    if isinstance(tree, Match):
        selector = tree.selector[0]
        for part in tree.selector[1:]:
            selector += f"[`{part}`]" if part in ("a", "b") else f".{part}"
        word = "not " if tree.negated else ""
        if tree.operator is Operator.EMPTY:
            return f"{selector} is {word}empty"
        if tree.operator is Operator.EQUAL:
            return f'{selector} {"!=" if tree.negated else "=="} "{tree.value}"'
        if tree.operator is Operator.IN:
            return f'"{tree.value}" {word}in {selector}'
        return f'{selector} {word}matches "{tree.value}"'
    if isinstance(tree, Not):
        return f"not ({written(tree.term)})"
    word = " and " if isinstance(tree, And) else " or "
    return word.join(f"({written(term)})" for term in tree.terms)


ABSENT = object()


def values(obj: Any, selector: tuple[str, ...]) -> list[Any]:
    """All values a selector reaches."""
    if isinstance(obj, list) and selector:
        return [value for item in obj for value in values(item, selector)]
    if not selector:
        return [obj]
    if isinstance(obj, dict):
        return values(obj[selector[0]], selector[1:]) if selector[0] in obj else [ABSENT]
    names = dict(zip(obj.__struct_encode_fields__, obj.__struct_fields__, strict=True))
    return values(getattr(obj, names[selector[0]]), selector[1:])


def holds(match: Match, value: Any) -> bool:
    if value is ABSENT:
        if match.operator is Operator.MATCHES:
            return True
        return match.negated is not (match.operator is Operator.EMPTY)

    def like(sample: Any) -> Any:
        if isinstance(sample, bool):
            return {"1": True, "true": True, "0": False}[match.value]
        return type(sample)(match.value)

    if match.operator is Operator.EMPTY:
        result = len(value) == 0
    elif match.operator is Operator.EQUAL:
        result = value == like(value)
    elif match.operator is Operator.MATCHES:
        result = match.value.replace(".", "") in value.replace(".", "")
    elif isinstance(value, list):
        result = any(item == like(item) for item in value)
    else:
        result = match.value in value
    return result is not match.negated


def naive(tree: Expression, obj: Any) -> bool:
    if isinstance(tree, Match):
        return any(holds(tree, value) for value in values(obj, tree.selector))
    if isinstance(tree, Not):
        return not naive(tree.term, obj)
    results = [naive(term, obj) for term in tree.terms]
    return all(results) if isinstance(tree, And) else any(results)


@given(TREES, ROOTS)
def test_closures_agree_with_a_naive_interpreter(tree: Expression, obj: Root) -> None:
    try:
        passes = compile_filter(written(tree), Root)
    except FilterError:
        return  # a comparison that makes no sense for its type
    assert passes(obj) is naive(tree, obj)


@given(TREES)
def test_what_is_written_is_read_back(tree: Expression) -> None:
    assert parse(written(tree)) == tree


TOKENS = st.sampled_from(
    ["Service", "Port", "Tags", "Meta", ".", "[", "]", '"', "`", "\\", "(", ")", " ", "\n", "==",
     "!=", "is", "empty", "not", "in", "contains", "matches", "and", "or", "1", "-", "0.5", "é",
     "\x00", "\ud800", "*", "[[:x:]]", "(?P<", "x{1001}"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(TOKENS, max_size=40).map("".join)))
@example("not " * 5000)
@example("(" * 5000)
@example("Port == 1 or " * 5000)
@example("a" * 70000)
@example('Service matches "' + "(a" * 200 + '"')
def test_any_text_is_compiled_or_refused(text: str) -> None:
    try:
        passes = compile_filter(text, Service)
    except FilterError as error:
        assert str(error).startswith(PREFIX)
    else:
        assert passes(service()) in (True, False)
