"""What is wrong, or refused by Envoy, is shown where it is wrong, and nothing else suffers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .edge import Edge, Load, Reply, backend, balanced, http_config, kill, serving
from .services_harness import Server, eventually

CONTROL_WITH_MISTAKES = "tests.integration.refusing_control"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with backend("one") as found:
        yield found


@pytest.fixture
def edge(tmp_path: Path, server: Server) -> Iterator[Edge]:
    """A Portway that makes mistakes, with a router that never changes."""
    with serving(tmp_path, module=CONTROL_WITH_MISTAKES) as found:
        stable = {"rule": "Host(`stable.test`)", "service": "stable"}
        found.write(
            "stable.yml",
            http_config(routers={"stable": stable}, services={"stable": balanced(server)}),
        )
        eventually(lambda: found.status("stable.test") == 200, "the stable router is live")
        yield found


def routers(*names: str, service: str = "stable", **options: Any) -> dict[str, Any]:
    """Routers for the host ``<name>.test``."""
    return {name: {"rule": f"Host(`{name}.test`)", "service": service, **options} for name in names}


def live(edge: Edge, name: str) -> None:
    """Wait until the router of that name answers."""
    eventually(lambda: edge.status(f"{name}.test") == 200, f"{name} is live")


def replace_control(edge: Edge) -> None:
    """Kill the control process and wait until its successor answers."""
    before = edge.processes().control
    kill(before)
    eventually(lambda: edge.control() not in (None, before), "there is a successor")
    eventually(lambda: edge.ask("/api/version", port=edge.admin).status == 200, "it answers")


def steady(edge: Edge) -> Load:
    """Load on the router that never changes."""
    return Load(lambda _: edge.ask(host="stable.test"), clients=2)


def assert_steady(load: Load) -> None:
    assert set(load.statuses) == {200}


def test_a_refused_router_is_disabled_and_the_others_go_live(edge: Edge) -> None:
    names = ["a", "b", "c", "refused-d", "e", "refused-f", "g"]
    with steady(edge) as load:
        edge.write("more.yml", http_config(routers=routers(*names)))
        for name in "abceg":
            live(edge, name)
        load.more()
    assert_steady(load)
    for name in ("refused-d", "refused-f"):
        assert edge.state("routers", f"{name}@file") == "disabled"
        (error,) = edge.errors("routers", f"{name}@file")
        assert error.startswith("refused by Envoy: ")
        assert "Status" in error
        assert edge.status(f"{name}.test") == 404
    assert edge.state("routers", "a@file") == "enabled"


def test_a_refused_change_leaves_what_was_there(edge: Edge) -> None:
    """A router that changes to what is refused is off; one that changes beside it is not."""
    edge.write("more.yml", http_config(routers=routers("a", "b")))
    live(edge, "b")
    with steady(edge) as load:
        changed = {**routers("a", priority=7), "b": {"rule": "Host(`c.test`)", "service": "stable"}}
        edge.write("more.yml", http_config(routers={**changed, **routers("refused")}))
        live(edge, "c")
        load.more()
    assert_steady(load)
    assert edge.status("b.test") == 404
    assert edge.state("routers", "refused@file") == "disabled"


def test_changes_get_through_after_a_refusal_and_a_mended_router_is_live(edge: Edge) -> None:
    edge.write("bad.yml", http_config(routers=routers("refused")))
    eventually(lambda: edge.state("routers", "refused@file") == "disabled", "it is disabled")
    edge.write("more.yml", http_config(routers=routers("later")))
    live(edge, "later")
    edge.write("bad.yml", http_config(routers=routers("mended")))
    live(edge, "mended")
    assert edge.state("routers", "refused@file") == "absent"


def test_a_refused_router_costs_nothing_when_the_control_process_is_killed(edge: Edge) -> None:
    """The successor offers all routers at once; what Envoy has stays until it knows better."""
    edge.write("more.yml", http_config(routers=routers("a", "refused", "z")))
    live(edge, "z")
    hosts = ("stable.test", "a.test", "z.test")
    with Load(lambda number: edge.ask(host=hosts[number % 3]), clients=3) as load:
        for _ in range(2):
            replace_control(edge)
            eventually(
                lambda: edge.state("routers", "refused@file") == "disabled", "it is found again"
            )
        edge.write("later.yml", http_config(routers=routers("later")))
        live(edge, "later")
        load.more()
    assert_steady(load)


def test_a_refused_router_at_the_start(edge: Edge) -> None:
    edge.write("more.yml", http_config(routers=routers("a", "refused", "b")))
    live(edge, "b")
    edge.signal(15)
    assert edge.exit_code() == 0
    edge.start()
    edge.wait_ready()
    live(edge, "b")
    assert edge.status("stable.test") == 200
    assert edge.state("routers", "refused@file") == "disabled"


def test_a_refused_service_is_disabled_with_its_routers(edge: Edge, server: Server) -> None:
    services = {"refused": balanced(server), "good": balanced(server)}
    both = {**routers("r", service="refused"), **routers("g", service="good")}
    with steady(edge) as load:
        edge.write("more.yml", http_config(routers=both, services=services))
        live(edge, "g")
        eventually(lambda: edge.state("services", "refused@file") == "disabled", "it is disabled")
        load.more()
    assert_steady(load)
    (error,) = edge.errors("services", "refused@file")
    assert error.startswith("refused by Envoy: ")
    assert "expected positive duration" in error.lower()
    assert "\n" not in error
    assert edge.state("routers", "r@file") == "disabled"
    eventually(lambda: edge.status("r.test") == 404, "its router is gone")
    edge.write(
        "more.yml", http_config(routers={**both, **routers("r", service="good")}, services=services)
    )
    live(edge, "r")


def mutation(name: str) -> dict[str, Any]:
    return {"headers": {"customRequestHeaders": {name: "1"}}}


def test_a_refused_filter_disables_its_middleware(edge: Edge, server: Server) -> None:
    middlewares = {
        "good": mutation("X-Good"),
        "bad": mutation("X-Refused"),
        "fine": mutation("X-Fine"),
    }
    three = {
        **routers("g", middlewares=["good"]),
        **routers("b", middlewares=["good", "bad"]),
        **routers("f", middlewares=["fine"]),
        **routers("plain"),
    }
    with steady(edge) as load:
        edge.write("more.yml", http_config(routers=three, middlewares=middlewares))
        for name in ("g", "f", "plain"):
            live(edge, name)
        load.more()
    assert_steady(load)
    assert edge.state("middlewares", "bad@file") == "disabled"
    (error,) = edge.errors("middlewares", "bad@file")
    assert error.startswith("refused by Envoy: ")
    assert edge.errors("routers", "b@file") == [f'invalid middleware "bad@file": {error}']
    assert edge.status("b.test") == 404
    assert edge.state("middlewares", "good@file") == "enabled"
    edge.ask("/g", host="g.test")
    assert next(s for s in reversed(server.seen) if s.path == "/g").headers["X-Good"] == "1"
    mended = {**middlewares, "bad": mutation("X-Mended")}
    edge.write("more.yml", http_config(routers=three, middlewares=mended))
    live(edge, "b")


def test_a_refused_filter_when_the_control_process_is_killed(edge: Edge) -> None:
    middlewares = {"good": mutation("X-Good"), "bad": mutation("X-Refused")}
    both = {**routers("g", middlewares=["good"]), **routers("b", middlewares=["bad"])}
    edge.write("more.yml", http_config(routers=both, middlewares=middlewares))
    live(edge, "g")
    with Load(lambda _: edge.ask(host="g.test"), clients=2) as load:
        replace_control(edge)
        edge.write("later.yml", http_config(routers=routers("later", middlewares=["good"])))
        live(edge, "later")
        assert edge.state("middlewares", "bad@file") == "disabled"
        load.more()
    assert_steady(load)


def test_a_mistake_of_ours_disables_one_router(edge: Edge) -> None:
    edge.write("more.yml", http_config(routers=routers("a", "mistake", "b")))
    live(edge, "b")
    assert edge.status("a.test") == 200
    (error,) = edge.errors("routers", "mistake@file")
    assert "ZeroDivisionError" in error


# Files


def test_a_half_written_file_changes_nothing(edge: Edge) -> None:
    """A file is rewritten in place, slowly: nothing but its old and its new content counts."""
    text = "http:\n  routers:\n    half:\n      rule: Host(`half.test`)\n      service: stable\n"
    edge.write("half.yml", text)
    live(edge, "half")
    whole = text.replace("half:", "whole:").replace("half.test", "half.test`) || Host(`whole.test")
    with Load(lambda _: edge.ask(host="half.test"), clients=2) as load:
        longest = 0.0
        for content in (whole, text) * 5:
            with (edge.dynamic / "half.yml").open("w") as file:
                for part in (content[at : at + 12] for at in range(0, len(content), 12)):
                    began = time.monotonic()
                    file.write(part)
                    file.flush()
                    time.sleep(0.02)
                    longest = max(longest, time.monotonic() - began)
        load.more()
    if longest > 0.3:
        pytest.skip("the machine stood still while the file was half-written")
    assert_steady(load)
    edge.write("half.yml", whole)
    live(edge, "whole")
    assert edge.problems() == []


def test_a_wrong_file_is_a_problem_and_its_last_good_content_serves(edge: Edge) -> None:
    edge.write("one.yml", http_config(routers=routers("one")))
    edge.write("two.yml", http_config(routers=routers("two")))
    eventually(lambda: edge.status("one.test") == edge.status("two.test") == 200, "both are live")
    edge.write("one.yml", "http:\n  routers:\n    one: [\n")
    (problem,) = eventually(edge.problems, "the problem is shown")
    assert "one.yml:" in problem
    edge.write("two.yml", http_config(routers=routers("three")))
    live(edge, "three")
    assert edge.status("one.test") == 200
    assert edge.status("two.test") == 404
    edge.remove("one.yml")
    eventually(lambda: edge.status("one.test") == 404, "the removed file is gone")
    assert edge.problems() == []


# Providers


def test_a_provider_without_its_source_is_a_problem(tmp_path: Path, server: Server) -> None:
    with serving(tmp_path, docker=True) as edge:
        assert edge.docker is not None
        edge.docker.run("web", server, {"traefik.http.routers.web.rule": "Host(`web.test`)"})
        live(edge, "web")
        edge.docker.vanish()
        (problem,) = eventually(edge.problems, "the problem is shown")
        assert "docker" in problem.lower()
        edge.write(
            "a.yml",
            http_config(routers=routers("a", service="a"), services={"a": balanced(server)}),
        )
        live(edge, "a")
        assert edge.status("web.test") == 200
        edge.docker.come_back()
        eventually(lambda: edge.problems() == [], "the problem is gone")
        assert edge.status("web.test") == 200


# References that come and go


def test_a_router_moves_between_services_without_a_loss(edge: Edge, server: Server) -> None:
    with backend("two") as other:
        services = {"one": balanced(server), "two": balanced(other)}
        edge.write("more.yml", http_config(routers=routers("r", service="one"), services=services))
        live(edge, "r")
        with Load(lambda _: edge.ask(host="r.test")) as load:
            for name, body in (("two", "two"), ("one", "one")) * 2:
                # The service that is left goes in the same change.
                kept = {name: services[name]}
                moved = http_config(routers=routers("r", service=name), services=kept)
                edge.write("more.yml", moved)
                eventually(lambda body=body: edge.ask(host="r.test").body == body, f"{body} serves")  # type: ignore[misc]
            load.more()
        assert_steady(load)


def test_a_service_that_goes_while_a_router_names_it(edge: Edge, server: Server) -> None:
    edge.write("router.yml", http_config(routers=routers("r", service="s")))
    edge.write("service.yml", http_config(services={"s": balanced(server)}))
    live(edge, "r")
    edge.remove("service.yml")
    eventually(lambda: edge.status("r.test") == 404, "the router is off")
    assert edge.errors("routers", "r@file") == ['the service "s@file" does not exist']
    edge.write("service.yml", http_config(services={"s": balanced(server)}))
    live(edge, "r")
    assert edge.errors("routers", "r@file") == []


def test_a_service_without_servers_answers_503(edge: Edge) -> None:
    empty = {"s": {"loadBalancer": {"passHostHeader": True}}}
    edge.write("more.yml", http_config(routers=routers("r", service="s"), services=empty))
    eventually(lambda: edge.status("r.test") == 503, "the route is there")
    assert edge.ask(host="r.test").body == "no available server\n"
    assert edge.state("routers", "r@file") == "enabled"


def test_middlewares_come_and_go_without_a_loss(edge: Edge) -> None:
    """The route's filters change with it; no answer is without those that were there before
    and after."""
    always = {"first": {"headers": {"customResponseHeaders": {"X-First": "1"}}}}
    second = {"second": {"headers": {"customResponseHeaders": {"X-Second": "1"}}}}
    one = http_config(routers=routers("r", middlewares=["first"]), middlewares=always)
    both = http_config(
        routers=routers("r", middlewares=["first", "second"]), middlewares={**always, **second}
    )
    edge.write("more.yml", one)
    live(edge, "r")

    def checked(_: int) -> Reply:
        answer = edge.ask(host="r.test")
        return answer if "x-first" in answer.headers else answer._replace(status=0)

    with Load(checked) as load:
        for content, wanted in ((both, True), (one, False)) * 3:
            edge.write("more.yml", content)
            eventually(
                lambda wanted=wanted: ("x-second" in edge.ask(host="r.test").headers) is wanted,  # type: ignore[misc]
                "the change is live",
            )
        load.more()
    assert_steady(load)
