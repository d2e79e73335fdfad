"""``/api/explain`` of a running edge says what the edge then does."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from portway.rules import Request

from .edge import Edge, backend, balanced, http_config, serving
from .rules_client import ask_all
from .rules_corpus import RULE_HOSTS as HOSTS
from .rules_corpus import random_request, random_rule
from .services_harness import eventually

ROUTERS = 80
REQUESTS = 250
PRIORITIES = (0, 0, 0, 1, 5, 5, 40)  # 0: the length of the rule; the others make ties


def named(name: str) -> dict[str, Any]:
    """A middleware by which an answer tells its router."""
    return {"headers": {"customResponseHeaders": {"X-Router": name}}}


def _rule(dice: random.Random) -> str:
    """A random rule; most are for one host, for others would hide all that come after them."""
    rule = random_rule(dice, depth=dice.choice([0, 1, 2]))
    return f"Host(`{dice.choice(HOSTS)}`) && {rule}" if dice.random() < 0.8 else rule


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Random routers, some of them broken or elsewhere, from files and from containers."""
    dice = random.Random(7)
    with (
        backend("one") as server,
        serving(tmp_path_factory.mktemp("explain"), docker=True) as found,
    ):
        assert found.docker is not None
        routers: dict[str, Any] = {}
        for number in range(ROUTERS):
            routers[f"r{number}"] = {
                "rule": _rule(dice),
                "priority": dice.choice(PRIORITIES),
                "service": "missing" if number % 16 == 3 else "s",
                "entryPoints": dice.choice([["web"], ["web"], ["web", "alt"], ["alt"]]),
                "middlewares": [f"r{number}"],
            }
        middlewares = {name: named(f"{name}@file") for name in routers}
        services = {"s": balanced(server)}
        found.write(
            "random.yml",
            http_config(routers=routers, middlewares=middlewares, services=services),
        )
        labels = {}
        for number in range(12):
            base = f"traefik.http.routers.c{number}"
            labels[f"{base}.rule"] = _rule(dice)
            labels[f"{base}.priority"] = str(dice.choice(PRIORITIES))
            labels[f"{base}.middlewares"] = f"c{number}"
            header = f"traefik.http.middlewares.c{number}.headers.customresponseheaders.X-Router"
            labels[header] = f"c{number}@docker"
        found.docker.run("random", server, labels)
        last = {
            "rule": "Host(`last.ready`)",
            "service": "random@docker",
            "priority": 10**9,
            "middlewares": ["last"],
        }
        found.write(
            "zzz.yml",
            http_config(routers={"last": last}, middlewares={"last": named("last@file")}),
        )
        asked = [Request(host="last.ready")] * 20
        everywhere = ["last@file"] * 20  # in all of Envoy's workers
        eventually(
            lambda: ask_all(found.web, asked, "X-Router") == everywhere, "everything is live"
        )
        yield found


def explained(edge: Edge, request: Request, point: str) -> dict[str, Any]:
    """The entry point's part of an explanation."""
    target = request.path + (f"?{request.query}" if request.query else "")
    parameters = [
        ("url", f"http://{request.host}{target}"),
        ("method", request.method),
        ("client_ip", request.client_ip),
        ("entryPoint", point),
        ("limit", "200"),
        *(("header", f"{name}:{value}") for name, value in request.headers),
    ]
    (found,) = edge.api("/api/explain?" + urlencode(parameters))["entryPoints"]
    return dict(found)


@pytest.mark.parametrize("point", ["web", "alt"])
def test_the_explained_router_is_the_one_that_answers(edge: Edge, point: str) -> None:
    dice = random.Random(point)
    requests = [random_request(dice) for _ in range(REQUESTS)]
    port = edge.web if point == "web" else edge.alt
    answers = ask_all(port, requests, "X-Router")
    differ = []
    hit = set()
    for request, answer in zip(requests, answers, strict=True):
        found = explained(edge, request, point)
        said = found["router"]["name"] if "router" in found else "HTTP/1.1 404 Not Found"
        hit.add(said)
        if said != answer:
            differ.append((request, said, answer))
    assert differ == []
    assert len(hit) > 8, "the requests reach too few routers to tell much"


def test_every_other_router_has_its_reason(edge: Edge) -> None:
    total = {router["name"]: router for router in edge.api("/api/http/routers?per_page=1000")}
    dice = random.Random(11)
    for request in (random_request(dice) for _ in range(30)):
        found = explained(edge, request, "web")
        chosen = found.get("router", {}).get("name")
        assert {other["name"] for other in found["others"]} == total.keys() - {chosen}
        for other in found["others"]:
            shown, reason = total[other["name"]], other["reason"]
            assert reason
            if shown["status"] == "disabled":
                assert reason == "disabled: " + "; ".join(shown["error"])
            elif "web" not in shown["using"]:
                assert reason.startswith("not attached to the entry point web, only to ")
            elif "the rule matches" in reason:
                assert chosen in reason
                assert total[chosen]["priority"] >= shown["priority"]


def test_a_change_is_explained_at_once(edge: Edge) -> None:
    request = Request(host="later.test")
    rule = {
        "rule": "Host(`later.test`)",
        "service": "s",
        "priority": 10**9,
        "middlewares": ["later"],
    }
    edge.write(
        "later.yml",
        http_config(routers={"later": rule}, middlewares={"later": named("later@file")}),
    )
    eventually(
        lambda: explained(edge, request, "web").get("router", {}).get("name") == "later@file",
        "it is explained",
    )
    eventually(
        lambda: ask_all(edge.web, [request], "X-Router") == ["later@file"], "it is what answers"
    )
    edge.remove("later.yml")
    eventually(
        lambda: explained(edge, request, "web").get("router", {}).get("name") != "later@file",
        "it is gone",
    )
    eventually(lambda: ask_all(edge.web, [request], "X-Router") != ["later@file"], "it is gone")


def test_the_hit_tells_all_that_a_request_meets(edge: Edge) -> None:
    found = explained(edge, Request(host="last.ready"), "web")["router"]
    assert (found["name"], found["provider"], found["service"]) == (
        "last@file",
        "file",
        "random@docker",
    )
    assert (found["rule"], found["priority"]) == ("Host(`last.ready`)", 10**9)
    assert len(found["servers"]) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "the parameter url is missing; write ?url=http://app.localhost/path"),
        ("url=ftp://a", "url 'ftp://a' is not one; write http://app.localhost/path"),
        ("url=http://a&entryPoint=wbe", "there is no entry point 'wbe'; there are: "),
        ("url=http://a&header=x", "header 'x' has no colon; write header=X-Name:value"),
        ("url=http://a&client_ip=me", "client_ip 'me' is not an IP address"),
        ("url=http://a&nope=1", "unknown parameter 'nope'; there are "),
    ],
)
def test_wrong_questions(edge: Edge, query: str, message: str) -> None:
    reply = edge.ask(f"/api/explain?{query}", port=edge.admin)
    assert reply.status == 400
    assert message in json.loads(reply.body)["message"]
