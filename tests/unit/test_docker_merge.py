"""Merging what containers contribute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portway.edge.dynamic import LoadBalancer, Router, Server, Service
from portway.edge.providers.docker.merge import Contributor, Index, Ref, Share, merge

ROUTER, SERVICE = Ref("router", "r"), Ref("service", "s")


def server(url: str, container: str = "c", **state: bool) -> Contributor:
    balancer = LoadBalancer()
    return Contributor(
        container, Share(Service(load_balancer=balancer), (), Server(url=url)), **state
    )


def urls(*contributors: Contributor) -> list[str]:
    change, problems = merge(SERVICE, contributors)
    assert problems == ()
    assert change.errors == ()
    assert isinstance(change.value, Service)
    assert change.value.load_balancer is not None
    return [found.url for found in change.value.load_balancer.servers]


def test_servers_join_once_each_in_order_when_ready() -> None:
    found = urls(server("a"), server("b", ready=False), server("c"), server("a"))
    assert found == ["a", "c"]


def test_nobody_left_removes_the_object() -> None:
    assert merge(SERVICE, ())[0].value is None


def test_a_leaving_container_keeps_the_object_and_gives_no_server() -> None:
    assert urls(server("a", leaving=True)) == []
    assert urls(server("a", leaving=True), server("b")) == ["b"]


def test_unequal_definitions_are_a_conflict_that_says_where() -> None:
    one = Contributor("one", Share(Router(rule="Host(`a`)", priority=1)))
    two = Contributor("two", Share(Router(rule="Host(`b`)")))
    change, _ = merge(ROUTER, (one, one, two))
    assert change.value == one.share.value
    assert change.errors == (
        "HTTP router defined multiple times with different configurations: "
        "containers 'one' and 'two' differ in priority, rule",
    )
    assert merge(ROUTER, (one, two._replace(leaving=True)))[0].errors == ()


def test_service_settings_conflict_but_servers_do_not() -> None:
    other = Service(load_balancer=LoadBalancer(pass_host_header=False))
    change, _ = merge(SERVICE, (server("a"), Contributor("c2", Share(other))))
    assert "differ in loadBalancer.passHostHeader" in change.errors[0]


def test_one_containers_error_is_a_problem_while_others_define_the_object_well() -> None:
    broken = Contributor("bad", Share(Router(), ("port is missing",)))
    good = Contributor("good", Share(Router(rule="Host(`a`)")))
    change, problems = merge(ROUTER, (broken, good))
    assert change.value == good.share.value
    assert change.errors == ()
    assert problems == ("container 'bad': HTTP router 'r': port is missing",)
    change, problems = merge(ROUTER, (broken, broken))
    assert (change.errors, problems) == (("port is missing",), ())


SHARES = st.dictionaries(
    st.sampled_from([Ref("router", name) for name in "abc"]),
    st.sampled_from([Share(Router(priority=number)) for number in range(3)]),
)


@given(st.lists(st.tuples(st.sampled_from("xyz"), SHARES)))
def test_the_index_names_exactly_what_a_change_touches(
    steps: list[tuple[str, dict[Ref, Share]]],
) -> None:
    index = Index()
    model: dict[str, dict[Ref, Share]] = {}
    for container, shares in steps:
        before = model.get(container, {})
        model[container] = shares
        touched = index.put(container, shares)
        assert touched == {
            ref for ref in before.keys() | shares.keys() if before.get(ref) != shares.get(ref)
        }
        for ref in before.keys() | shares.keys():
            assert index.of_object(ref) == {c: s[ref] for c, s in model.items() if ref in s}
    assert set(index.refs()) == {ref for shares in model.values() for ref in shares}
