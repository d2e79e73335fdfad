"""Aggregation: what becomes of reports, and that nothing more is touched than must be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.config.options import Unsupported
from portway.edge.aggregate import MAX_USER_PRIORITY, Aggregator, Dirty, EntryPointModel
from portway.edge.dynamic import (
    LoadBalancer,
    Middleware,
    Router,
    Server,
    ServersTransport,
    Service,
)
from portway.edge.middlewares import (
    AddPrefix,
    BasicAuth,
    Chain,
    RateLimit,
    StripPrefix,
    registry,
)
from portway.edge.providers.provider import Change, Kind, Object, Report
from portway.edge.runtime import Runtime

POINTS = (EntryPointModel("web"), EntryPointModel("traefik"))
NONE = Dirty.none()


def aggregator(*points: EntryPointModel, precedence: tuple[str, ...] = ()) -> Aggregator:
    return Aggregator(points or POINTS, precedence)


def report(provider: str = "file", /, **objects: Object | None) -> Report:
    """``report(r=Router(), s=None)``: objects to set or to remove, by their names."""
    return Report(provider, [change(name, value) for name, value in objects.items()])


def state(core: Aggregator, name: str) -> str:
    """The status of a router."""
    return core.runtime.routers[f"{name}@file"].status


def change(name: str, value: Object | None, *errors: str) -> Change:
    """The kind of a removal is that of the name: routers are r…, services s… and so on."""
    kinds: dict[object, Kind] = {
        Router: "router",
        Service: "service",
        Middleware: "middleware",
        ServersTransport: "serversTransport",
        "r": "router",
        "s": "service",
        "m": "middleware",
        "t": "serversTransport",
    }
    return Change(kinds[type(value) if value is not None else name[0]], name, value, errors)


def router(rule: str = "Host(`a.test`)", service: str = "s", **options: Any) -> Router:
    return Router(rule=rule, service=service, **options)


def service(*urls: str, **options: Any) -> Service:
    servers = [Server(url=url) for url in urls or ("http://10.0.0.1",)]
    return Service(load_balancer=LoadBalancer(servers=servers, **options))


PREFIX = Middleware(add_prefix=AddPrefix(prefix="/x"))
STRIP = Middleware(strip_prefix=StripPrefix(prefixes=["/x"]))


def chain(*names: str) -> Middleware:
    return Middleware(chain=Chain(middlewares=list(names)))


# References


def test_a_router_is_enabled_when_all_that_it_names_is_there() -> None:
    core = aggregator()
    dirty = core.apply([report(r=router(middlewares=["m"]), s=service(), m=PREFIX)])
    assert dirty == Dirty({"r@file"}, {"s@file"}, {"m@file"})
    info = core.runtime.routers["r@file"]
    assert (info.status, info.errors, info.using) == ("enabled", [], ["web"])
    assert (info.service, info.config.middlewares) == ("s@file", ["m@file"])
    assert core.runtime.services["s@file"].used_by == ["r@file"]
    assert core.runtime.middlewares["m@file"].used_by == ["r@file"]


@pytest.mark.parametrize(
    ("missing", "text"),
    [("s", 'the service "s@file" does not exist'), ("m", 'middleware "m@file" does not exist')],
)
def test_what_is_missing_disables_and_mends_when_it_appears(missing: str, text: str) -> None:
    objects: dict[str, Object] = {"r": router(middlewares=["m"]), "s": service(), "m": PREFIX}
    late = objects.pop(missing)
    core = aggregator()
    core.apply([report("file", **objects)])
    assert state(core, "r") == "disabled"
    assert core.runtime.routers["r@file"].errors == [text]
    dirty = core.apply([report("file", **{missing: late})])
    assert dirty.routers == {"r@file"}
    assert state(core, "r") == "enabled"
    assert core.runtime.services["s@file"].used_by == ["r@file"]
    dirty = core.apply([report("file", **{missing: None})])
    assert dirty.routers == {"r@file"}
    assert core.runtime.routers["r@file"].errors == [text]


def test_references_cross_providers_by_their_full_name() -> None:
    core = aggregator()
    core.apply([report("docker", r=router(service="s@file", middlewares=["m@file"]))])
    assert core.runtime.routers["r@docker"].errors
    core.apply([report("file", s=service(), m=PREFIX)])
    assert core.runtime.routers["r@docker"].status == "enabled"
    assert core.runtime.services["s@file"].used_by == ["r@docker"]


def test_a_service_that_goes_while_routers_name_it_and_returns() -> None:
    core = aggregator()
    core.apply([report(r1=router(), r2=router(), s=service())])
    assert core.apply([report(s=None)]).routers == {"r1@file", "r2@file"}
    assert core.runtime.services == {}
    core.apply([report(s=service("http://10.0.0.2"))])
    assert {info.status for info in core.runtime.routers.values()} == {"enabled"}
    assert core.runtime.services["s@file"].used_by == ["r1@file", "r2@file"]


def test_a_router_that_moves_to_another_service() -> None:
    core = aggregator()
    core.apply([report(r=router(), s=service(), s2=service())])
    dirty = core.apply([report(r=router(service="s2"))])
    assert dirty == Dirty({"r@file"}, set(), set())
    assert core.runtime.services["s@file"].used_by == []
    assert core.runtime.services["s2@file"].used_by == ["r@file"]


def test_objects_disabled_by_their_provider_say_so_to_their_users() -> None:
    core = aggregator()
    core.apply(
        [
            Report(
                "docker",
                [
                    change("r", router(middlewares=["m"])),
                    change("s", service(), "no port"),
                    change("m", PREFIX, "label is wrong"),
                ],
            )
        ]
    )
    assert core.runtime.services["s@docker"].status == "disabled"
    assert core.runtime.middlewares["m@docker"].errors == ["label is wrong"]
    assert core.runtime.routers["r@docker"].errors == [
        'invalid middleware "m@docker": label is wrong',
        "no port",
    ]


# Only what must be


def test_an_equal_report_changes_nothing() -> None:
    core = aggregator()
    first = report(r=router(middlewares=["m"]), s=service(), m=PREFIX)
    core.apply([first])
    infos = dict(core.runtime.routers)
    assert core.apply([first]) == NONE
    assert core.runtime.routers["r@file"] is infos["r@file"]


def test_a_server_that_comes_touches_no_router() -> None:
    core = aggregator()
    routers: dict[str, Object] = {f"r{n}": router(f"Host(`{n}.test`)") for n in range(50)}
    core.apply([report("file", s=service(), **routers)])
    before = dict(core.runtime.routers)
    dirty = core.apply([report(s=service("http://10.0.0.1", "http://10.0.0.2"))])
    assert dirty == Dirty(set(), {"s@file"}, set())
    assert all(core.runtime.routers[name] is info for name, info in before.items())
    assert len(core.runtime.services["s@file"].used_by) == 50


@pytest.mark.parametrize(
    "changed",
    [
        service("http://10.0.0.1", pass_host_header=False),
        service("h2c://10.0.0.1"),
        service("nonsense"),
        service(strategy="hrw"),
    ],
)
def test_a_service_that_needs_other_routes_touches_its_routers(changed: Service) -> None:
    core = aggregator()
    core.apply([report(r=router(), r2=router(service="s2"), s=service(), s2=service())])
    assert core.apply([report(s=changed)]).routers == {"r@file"}


def test_a_transport_touches_its_services_and_what_they_need() -> None:
    core = aggregator()
    core.apply([report(r=router(), s=service(servers_transport="t"), s2=service())])
    assert core.runtime.services["s@file"].errors == [
        'the servers transport "t@file" does not exist'
    ]
    assert state(core, "r") == "disabled"
    dirty = core.apply([report(t=ServersTransport(server_name="x"))])
    assert dirty == Dirty({"r@file"}, {"s@file"}, set())
    assert state(core, "r") == "enabled"
    dirty = core.apply([report(t=ServersTransport(server_name="y"))])
    assert dirty == Dirty(set(), {"s@file"}, set())


def test_the_default_transport_touches_services_that_name_none() -> None:
    core = aggregator()
    core.apply([report(s=service(), s2=service(servers_transport="t"), t=ServersTransport())])
    default = Change("serversTransport", "default", ServersTransport(insecure_skip_verify=True))
    assert core.apply([Report("internal", [default])]).services == {"s@file"}


# Middlewares


def test_a_chain_is_replaced_by_its_members_in_order() -> None:
    core = aggregator()
    core.apply([report(r=router(middlewares=["m1", "m2", "m1"]), s=service(), m1=PREFIX, m3=STRIP)])
    core.apply([report(m2=chain("m3", "m4"), m4=chain("m1"))])
    assert state(core, "r") == "enabled"
    flat, problems = core.flatten(core.runtime.routers["r@file"].config.middlewares)
    assert [info.name for info in flat] == ["m1@file", "m3@file", "m1@file", "m1@file"]
    assert problems == []


def test_a_member_of_a_chain_reaches_the_routers_of_the_chain() -> None:
    core = aggregator()
    core.apply([report(r=router(middlewares=["m1"]), s=service(), m1=chain("m2"))])
    assert state(core, "r") == "disabled"
    dirty = core.apply([report(m2=chain("m3"), m3=PREFIX)])
    assert dirty.routers == {"r@file"}
    assert state(core, "r") == "enabled"
    assert core.apply([report(m3=STRIP)]).routers == {"r@file"}


def test_members_of_a_chain_belong_to_the_provider_of_the_chain() -> None:
    core = aggregator()
    core.apply([report("file", m=chain("m2"), m2=PREFIX)])
    core.apply([report("docker", r=router(middlewares=["m@file"]), s=service())])
    assert core.runtime.routers["r@docker"].status == "enabled"


@pytest.mark.parametrize("chains", [{"m": ("m",)}, {"m": ("m2",), "m2": ("m3",), "m3": ("m",)}])
def test_a_chain_within_itself_is_refused(chains: dict[str, tuple[str, ...]]) -> None:
    core = aggregator()
    objects = {name: chain(*members) for name, members in chains.items()}
    core.apply([report("file", r=router(middlewares=["m"]), r2=router(), s=service(), **objects)])
    (error,) = core.runtime.routers["r@file"].errors
    assert error.startswith("could not instantiate middleware m@file: recursion detected in m@file")
    assert state(core, "r2") == "enabled"
    core.apply([report(m=PREFIX)])
    assert state(core, "r") == "enabled"


def test_a_notice_is_a_warning_and_disables_nothing() -> None:
    core = aggregator()
    hopeless = Middleware(basic_auth=BasicAuth(users=["joe:plain"]))
    core.apply([report(r=router(middlewares=["m"]), s=service(), m=hopeless)])
    info = core.runtime.middlewares["m@file"]
    assert info.status == "warning"
    assert info.errors == registry.notices(hopeless) != []
    assert state(core, "r") == "enabled"


def test_a_warning_of_a_service_disables_nothing() -> None:
    core = aggregator()
    core.apply([report(r=router(), s=service(sticky=Unsupported(True)))])
    assert core.runtime.services["s@file"].status == "warning"
    assert core.runtime.services["s@file"].errors
    assert state(core, "r") == "enabled"


def test_a_check_that_fails_disables_only_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    check = registry.check

    def failing(middleware: Middleware) -> tuple[str, list[str]]:
        if middleware == STRIP:
            raise ZeroDivisionError("our mistake")
        return check(middleware)

    monkeypatch.setattr(registry, "check", failing)
    core = aggregator()
    core.apply(
        [
            report(
                r=router(middlewares=["m"]),
                r2=router(middlewares=["m2"]),
                s=service(),
                m=STRIP,
                m2=PREFIX,
            )
        ]
    )
    assert state(core, "r") == "disabled"
    assert "our mistake" in core.runtime.middlewares["m@file"].errors[0]
    assert state(core, "r2") == "enabled"


# Rules, priorities, options


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (router("Hots(`a`)"), "invalid rule 'Hots(`a`)': "),
        (router(""), "empty rule"),
        (router(priority=MAX_USER_PRIORITY + 1), "exceeds the max user-defined priority"),
        (router(rule_syntax="v2"), "ruleSyntax 'v2' is not supported"),
        (router(entry_points=["wbe"]), 'entryPoint "wbe" doesn\'t exist'),
        (router(service=""), "the service is missing on the router"),
    ],
)
def test_wrong_routers(wrong: Router, text: str) -> None:
    core = aggregator()
    core.apply([report(r=wrong, r2=router(), s=service())])
    info = core.runtime.routers["r@file"]
    assert info.status == "disabled"
    assert any(text in error for error in info.errors)
    assert state(core, "r2") == "enabled"


def test_routers_are_tried_by_priority_then_provider_then_name() -> None:
    core = aggregator(precedence=("file", "docker"))
    long = "Host(`aaaaaaaaaa.test`)"
    core.apply(
        [
            report("docker", r1=router(), s=service()),
            report(
                "file",
                r2=router(),
                r1=router(),
                r3=router(long),
                r4=router(priority=-1),
                s=service(),
            ),
            report("internal", r9=router(priority=14), s=service()),
        ]
    )
    names = [info.name for info in sorted(core.runtime.routers.values(), key=core.order)]
    assert names == ["r3@file", "r9@internal", "r1@file", "r2@file", "r1@docker", "r4@file"]
    assert core.runtime.routers["r3@file"].priority == len(long)


# Entry points


def points_of(core: Aggregator) -> dict[str, list[str]]:
    return {info.name: info.using for info in core.runtime.routers.values()}


def test_entry_points_by_default() -> None:
    core = aggregator(EntryPointModel("web"), EntryPointModel("alt"), EntryPointModel("traefik"))
    core.apply([report(r=router(), s=service())])
    assert points_of(core) == {"r@file": ["alt", "web"]}
    core = aggregator(EntryPointModel("web"), EntryPointModel("alt", as_default=True))
    core.apply([report(r=router(), s=service())])
    assert points_of(core) == {"r@file": ["alt"]}


def test_an_unknown_entry_point_beside_a_known_one_is_a_warning() -> None:
    core = aggregator()
    core.apply([report(r=router(entry_points=["web", "wbe"]), s=service())])
    info = core.runtime.routers["r@file"]
    assert (info.status, info.using) == ("warning", ["web"])
    assert info.errors == ['entryPoint "wbe" doesn\'t exist']
    assert info.config.entry_points == ["web", "wbe"]


WITH_MODEL = (
    EntryPointModel("web", middlewares=("m@file",), has_model=True),
    EntryPointModel("alt"),
)
BOTH = ["web", "alt"]


def test_middlewares_of_the_entry_point_come_first() -> None:
    core = aggregator(*WITH_MODEL)
    alone = router(entry_points=["web"], middlewares=["m2"])
    core.apply([report(r=alone, s=service(), m=PREFIX, m2=STRIP)])
    assert points_of(core) == {"r@file": ["web"]}
    assert core.runtime.routers["r@file"].config.middlewares == ["m@file", "m2@file"]


def test_a_router_has_a_copy_for_an_entry_point_with_options() -> None:
    core = aggregator(*WITH_MODEL)
    core.apply([report(r=router(entry_points=BOTH), s=service(), m=PREFIX)])
    assert points_of(core) == {"web-r@file": ["web"], "r@file": ["alt"]}
    assert core.runtime.routers["web-r@file"].config.middlewares == ["m@file"]
    assert core.runtime.routers["r@file"].config.middlewares == []
    assert core.runtime.services["s@file"].used_by == ["r@file", "web-r@file"]
    dirty = core.apply([report(r=router(entry_points=["alt"]))])
    assert dirty.routers == {"r@file", "web-r@file"}
    assert points_of(core) == {"r@file": ["alt"]}
    assert core.runtime.middlewares["m@file"].used_by == []


def test_a_middleware_of_the_entry_point_belongs_to_the_provider_of_the_router() -> None:
    point = EntryPointModel("web", middlewares=("m",), has_model=True)
    core = aggregator(point)
    core.apply([report("docker", r=router(), s=service())])
    assert core.runtime.routers["r@docker"].errors == ['middleware "m@docker" does not exist']
    core.apply([report("docker", m=PREFIX)])
    assert core.runtime.routers["r@docker"].status == "enabled"


def test_a_copy_never_takes_the_name_of_another_router() -> None:
    core = aggregator(*WITH_MODEL)
    core.apply([report(r=router(entry_points=BOTH), s=service(), m=PREFIX)])
    core.apply([Report("file", [change("web-r", router("Host(`b.test`)", entry_points=["alt"]))])])
    assert points_of(core) == {"r~web@file": ["web"], "r@file": ["alt"], "web-r@file": ["alt"]}
    core.apply([Report("file", [Change("router", "web-r", None)])])
    assert points_of(core) == {"web-r@file": ["web"], "r@file": ["alt"]}
    core.apply([report(r=None)])
    assert points_of(core) == {}


# What Envoy refuses


def test_a_refused_router_is_disabled_until_something_about_it_changes() -> None:
    core = aggregator()
    core.apply([report(r=router(middlewares=["m"]), r2=router(), s=service(), m=PREFIX)])
    assert core.refuse("router", "r@file", "not like this").routers == {"r@file"}
    info = core.runtime.routers["r@file"]
    assert (info.status, info.errors) == ("disabled", ["refused by Envoy: not like this"])
    core.apply([report(s=service("http://10.0.0.2"), r2=router("Host(`c.test`)"))])
    assert state(core, "r") == "disabled"
    core.apply([report(m=STRIP)])
    assert state(core, "r") == "enabled"


def test_copies_of_a_router_are_refused_one_by_one() -> None:
    core = aggregator(*WITH_MODEL)
    core.apply([report(r=router(entry_points=BOTH), s=service(), m=PREFIX)])
    core.refuse("router", "web-r@file", "no")
    states = {info.name: info.status for info in core.runtime.routers.values()}
    assert states == {"web-r@file": "disabled", "r@file": "enabled"}
    core.refuse("router", "r@file", "no")
    assert {info.status for info in core.runtime.routers.values()} == {"disabled"}
    core.apply([report(r=router(entry_points=BOTH, priority=7))])
    assert {info.status for info in core.runtime.routers.values()} == {"enabled"}


def test_a_refused_service_disables_its_routers() -> None:
    core = aggregator()
    core.apply([report(r=router(), r2=router(service="s2"), s=service(), s2=service())])
    assert core.refuse("service", "s@file", "no").routers == {"r@file"}
    assert core.runtime.services["s@file"].errors == ["refused by Envoy: no"]
    assert state(core, "r") == "disabled"
    core.apply([report(s=service("http://10.0.0.2"))])
    assert state(core, "r") == "enabled"


def test_a_refused_middleware_disables_its_routers() -> None:
    core = aggregator()
    core.apply([report(r=router(middlewares=["m"]), r2=router(), s=service(), m=PREFIX)])
    assert core.refuse("middleware", "m@file", "no") == Dirty({"r@file"}, set(), {"m@file"})
    assert core.runtime.routers["r@file"].errors == [
        'invalid middleware "m@file": refused by Envoy: no'
    ]
    core.apply([report(m=STRIP)])
    assert state(core, "r") == "enabled"


def test_what_is_gone_cannot_be_refused() -> None:
    core = aggregator()
    for kind in ("router", "service", "middleware"):
        assert core.refuse(kind, "x@file", "no") == NONE
    core.apply([report(s=service())])
    assert core.runtime.services["s@file"].status == "enabled"


def test_standing_problems_are_those_of_the_last_report_that_had_any() -> None:
    core = aggregator()
    core.apply([Report("file", problems=["a.yml:1: wrong"])])
    core.apply([report(s=service())])
    assert core.runtime.problems == {"file": ["a.yml:1: wrong"]}
    core.apply([Report("file", problems=[])])
    assert core.runtime.problems == {"file": []}


# Whatever the way, the same end

_NAMES = {"r": "router", "s": "service", "m": "middleware", "t": "serversTransport"}
_VALUES: dict[str, st.SearchStrategy[Object | None]] = {
    "r": st.builds(
        lambda service, middlewares, points: router(
            service=service, middlewares=middlewares, entry_points=points
        ),
        st.sampled_from(["s1", "s2"]),
        st.lists(st.sampled_from(["m1", "m2", "m3"]), max_size=2),
        st.sampled_from([[], ["web"], ["alt"], ["web", "alt"], ["nope"]]),
    ),
    "s": st.sampled_from(
        [service(), service("h2c://a"), service("bad"), service(servers_transport="t1")]
    ),
    "m": st.sampled_from(
        [PREFIX, STRIP, chain("m1", "m2"), chain("m3"), Middleware(rate_limit=RateLimit(average=1))]
    ),
    "t": st.sampled_from([ServersTransport(), ServersTransport(server_name="x")]),
}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from("rrsmt"))
    name = draw(
        st.sampled_from(
            ["r1", "r2", "web-r1"] if kind == "r" else [f"{kind}{n}" for n in (1, 2, 3)]
        )
    )
    value = draw(st.none() | _VALUES[kind])
    return Change(_NAMES[kind], name, value)  # type: ignore[arg-type]


def as_data(runtime: Runtime) -> Any:
    return msgspec.to_builtins(runtime, builtin_types=(Unsupported,))


@settings(max_examples=300)
@given(st.lists(st.lists(changes(), max_size=4), max_size=12))
def test_a_history_of_changes_ends_where_its_outcome_would_begin(
    history: list[list[Change]],
) -> None:
    stepwise = aggregator(*WITH_MODEL)
    outcome: dict[tuple[Kind, str], Change] = {}
    for batch in history:
        stepwise.apply([Report("file", batch)])
        outcome.update({(each.kind, each.name): each for each in batch})
    at_once = aggregator(*WITH_MODEL)
    at_once.apply([Report("file", [each for each in outcome.values() if each.value is not None])])
    assert as_data(stepwise.runtime) == as_data(at_once.runtime)
