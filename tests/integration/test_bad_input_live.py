"""Wrong configuration given to the running product: one clear message each, and nobody else
notices.

One edge gets every wrong file, object, rule and label of the tables at once, while a good
route is asked all the time; wrong static configuration ends processes of its own.
"""

# ruff: noqa: E501  (the tables read best with one case on a line)

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.patience import PATIENCE

from .edge import Edge, Load, backend, balanced, http_config, serving
from .services_harness import eventually

# Static configuration: every case is a process of its own.

STATIC: list[tuple[str, Sequence[str], Mapping[str, str], Mapping[str, str], str]] = [
    ("flag", ["--entrypoints.web.adress=:80"], {}, {}, "flags: --entrypoints.web.adress: field not found, node: adress; did you mean address?"),
    ("flag of v2", ["--providers.docker.swarmMode=true"], {}, {}, "flags: --providers.docker.swarmMode: incompatible deprecated install configuration option found: removed in v3; use providers.swarm"),
    ("value", ["--api.insecure=maybe"], {}, {}, "flags: --api.insecure: 'maybe' is not a boolean; write true or false"),
    ("same port twice", ["--entrypoints.a.address=:8000", "--entrypoints.b.address=:8000"], {}, {}, "flags: --entrypoints.b.address: address :8000 is already taken by entry point a (:8000)"),
    ("environment", [], {"TRAEFIK_LOG_LEVL": "DEBUG"}, {}, "environment: TRAEFIK_LOG_LEVL: field not found, node: levl; did you mean level?"),
    ("file", ["--configfile=p.yml"], {}, {"p.yml": "providers:\n  dockre: {}\n"}, "p.yml:2: providers.dockre: field not found, node: dockre; did you mean docker?"),
    ("file is not there", ["--configfile=nope.yml"], {}, {}, "nope.yml: cannot be read: No such file or directory"),
    ("file is not YAML", ["--configfile=p.yml"], {}, {"p.yml": "api: [\n"}, "p.yml:1: not valid YAML: did not find expected node content"),
    ("TOML", ["--configfile=p.toml"], {}, {"p.toml": "[api]\nbasePth = '/x'\n"}, "p.toml:2: api.basePth: field not found, node: basePth; did you mean basePath?"),
    ("address", ["--entrypoints.web.address=no-such-host.invalid:80"], {}, {}, "entryPoints.web.address: cannot listen on no-such-host.invalid:80: "),
    ("address of another machine", ["--entrypoints.web.address=192.0.2.1:80"], {}, {}, "entryPoints.web.address: cannot listen on 192.0.2.1:80: Cannot assign requested address"),
    ("log file", ["--log.filepath=/nonexistent/portway.log"], {}, {}, "log.filePath: /nonexistent/portway.log: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "environment", "files", "message"),
    [case[1:] for case in STATIC],
    ids=[case[0] for case in STATIC],
)
def test_static_configuration(
    flags: Sequence[str],
    environment: Mapping[str, str],
    files: Mapping[str, str],
    message: str,
    tmp_path: Path,
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "portway", *flags],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"portway: {message}")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("defaultrule=Host(`{{ .Name", "defaultRule: line 1, column 7: this {{ is never closed"),
        (
            "constraints=Label(`a`",
            "constraints: column 10: the expression ends where , is expected",
        ),
    ],
)
def test_options_of_a_provider_that_traefik_starts_with(
    flag: str, message: str, tmp_path: Path
) -> None:
    """As in Traefik the edge runs without what cannot work; it is a standing problem."""
    with serving(tmp_path, f"--providers.docker.{flag}", docker=True) as edge:
        (problem,) = edge.problems()
        assert problem.startswith(f"providers.docker.{message}")


def test_every_problem_of_the_static_configuration_is_a_line(tmp_path: Path) -> None:
    flags = ["--api.insecure=maybe", "--nope", "--entrypoints.web.adress=:80"]
    ended = subprocess.run(
        [sys.executable, "-m", "portway", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert sorted(line.split(": ")[2] for line in ended.stderr.splitlines()) == [
        "--api.insecure",
        "--entrypoints.web.adress",
        "--nope",
    ]


# Dynamic files that are refused as a whole: a standing problem of the provider.

ROUTER = "http:\n  routers:\n    r:\n      rule: Host(`x`)\n      service: s\n"
BALANCER = "http:\n  services:\n    s:\n      loadBalancer:\n        servers: [{url: http://a}]\n"
FILES = {
    "a wrong section": ("http:\n  routes:\n    r: {rule: Host(`x`)}\n", ":2: http.routes: field not found, node: routes; did you mean routers?"),
    "a wrong option": (ROUTER + "      prio: 1\n", ":6: http.routers.r.prio: field not found, node: prio; did you mean priority?"),
    "an unknown root": ("https:\n  routers: {}\n", ":1: https: unknown key, has no effect; did you mean http?"),
    "no YAML": ("http:\n  routers: [\n", ":2: not valid YAML: did not find expected node content"),
    "a tab": ("http:\n\trouters: {}\n", ":2: not valid YAML: found character that cannot start any token while scanning for the next token; the line is indented with a tab, use spaces"),
    "a text": ("hello\n", ":1: not a configuration: expected keys with values at the top"),
    "a list": ("- http\n", ":1: not a configuration: expected keys with values at the top"),
    "a text for a number": (ROUTER + "      priority: soon\n", ":6: http.routers.r.priority: 'soon' is not a whole number"),
    "a list for names": ("http:\n  routers:\n    - rule: Host(`x`)\n", ":2: http.routers: routers cannot be a standalone element: it needs named entries below it"),
    "nothing in a section": ("http:\n  routers: {}\n", ":2: http.routers: routers cannot be a standalone element: it is empty; add an entry or remove it"),
    "a name twice": (ROUTER + "      service: s\n", ':6: mapping key "service" already defined at line 5'),
    "two documents": (ROUTER + "---\nhttp: {}\n", ":6: a second document starts here; write only one"),
    "a server as text": ("http:\n  services:\n    s:\n      loadBalancer:\n        servers: [http://a]\n", ":5: http.services.s.loadBalancer.servers[0]: servers[0] cannot be a standalone element: 'http://a' is not valid; set true, or one of url, weight, preservePath"),
    "an unknown choice": (BALANCER + "        strategy: random\n", ":6: http.services.s.loadBalancer.strategy: 'random' is not valid; write one of wrr, p2c, hrw, leasttime"),
    "no duration": (BALANCER + "        healthCheck: {path: /, interval: often}\n", ":6: http.services.s.loadBalancer.healthCheck.interval: 'often' is not a duration; write seconds (30) or units (1m30s, 500ms)"),
    "an unknown template function": (ROUTER.replace("x", "{{ nofunc }}"), ":4: column 22: function 'nofunc' not defined"),
    "TLS": ("tls:\n  certificates:\n    - {certFile: a, keyFile: b}\n", ":1: tls: is not supported yet and has no effect"),
}  # fmt: skip

# Objects that are wrong by themselves: shown on the object.

MIDDLEWARES: dict[str, tuple[dict[str, Any], str]] = {
    "two types": ({"addPrefix": {"prefix": "/a"}, "stripPrefix": {"prefixes": ["/a"]}}, "a middleware has exactly one type, this one has 2 (addPrefix, stripPrefix)"),
    "not supported": ({"compress": {}}, "the middleware type compress is not supported; supported are addPrefix, "),
    "prefix": ({"addPrefix": {"prefix": ""}}, "addPrefix: prefix cannot be empty; write the path to add, as /api"),
    "users": ({"basicAuth": {"users": ["joe"]}}, "basicAuth: users[0] is not name:hash; write a line as htpasswd prints it"),
    "users file": ({"basicAuth": {"usersFile": "/nonexistent/users"}}, "basicAuth: usersFile /nonexistent/users: No such file or directory"),
    "no users": ({"basicAuth": {"realm": "x"}}, "basicAuth: no users found in users; write users as name:hash"),
    "range": ({"ipAllowList": {"sourceRange": ["10.0.0.0/33"]}}, "ipAllowList: sourceRange[0]: '10.0.0.0/33' is not an address or CIDR range; write 10.0.0.0/8 or 2001:db8::7"),
    "name as range": ({"ipWhiteList": {"sourceRange": ["localhost"]}}, "ipWhiteList: sourceRange[0]: 'localhost' is not an address or CIDR range"),
    "no range": ({"ipAllowList": {"rejectStatusCode": 404}}, "ipAllowList: sourceRange is empty; list the addresses or CIDR ranges to let in"),
    "status": ({"ipAllowList": {"sourceRange": ["::1"], "rejectStatusCode": 42}}, "ipAllowList: rejectStatusCode 42 is not a final HTTP status; write one as 403"),
    "regex": ({"redirectRegex": {"regex": "(", "replacement": "x"}}, "redirectRegex: regex '(' is not a valid regular expression: missing ): ("),
    "lookahead": ({"replacePathRegex": {"regex": "a(?=b)", "replacement": "x"}}, "replacePathRegex: regex 'a(?=b)' is not a valid regular expression: invalid perl operator: (?="),
    "regex in a list": ({"stripPrefixRegex": {"regex": ["/a", "["]}}, "stripPrefixRegex: regex[1] '[' is not a valid regular expression: missing ]: ["),
    "line break": ({"redirectRegex": {"regex": "a", "replacement": "/b\n"}}, "redirectRegex: replacement '/b\\n' has a line break"),
    "no scheme": ({"redirectScheme": {"port": "443"}}, "redirectScheme: scheme: you must provide a target scheme, as https"),
    "port": ({"redirectScheme": {"scheme": "https", "port": "web"}}, "redirectScheme: port 'web' is not a port number; write 8443"),
    "header name": ({"headers": {"customRequestHeaders": {"a b": "1"}}}, "headers: customRequestHeaders: 'a b' is not a header name, as X-Frame-Options is"),
    "header value": ({"headers": {"customResponseHeaders": {"X-A": "a\nb"}}}, "headers: customResponseHeaders.X-A 'a\\nb' cannot be a header's value"),
    "origins": ({"headers": {"accessControlAllowOriginListRegex": ["("]}}, "headers: accessControlAllowOriginListRegex[0] '(' is not a valid regular expression"),
    "member": ({"chain": {"middlewares": ["nope"]}}, 'middleware "nope@file" does not exist'),
    "period": ({"rateLimit": {"average": 1, "period": "-1s"}}, "rateLimit: period -1s is negative; write a duration as 1s or 1m"),
}  # fmt: skip

SERVICES: dict[str, tuple[dict[str, Any], str]] = {
    "no url": (balanced("nonsense"), "server url 'nonsense': the scheme is missing; write it as http://10.0.0.3:8080"),
    "scheme": (balanced("ftp://a"), "server url 'ftp://a': the scheme 'ftp' is not one of http, https, h2c"),
    "port": (balanced("http://a:99999"), "server url 'http://a:99999': Port out of range 0-65535"),
    "host": (balanced("http://a b"), "server url 'http://a b': 'a b' is not a host name or address"),
    "empty url": (balanced(""), "server url '': the scheme is missing"),
    "mixed": (balanced("h2c://a", "http://b"), "servers mix h2c and http URLs: split them into two services"),
    "not supported": ({"weighted": {"services": [{"name": "a", "weight": 1}]}}, "weighted services are not supported yet"),
    "two types": ({**balanced("http://a"), "mirroring": {"service": "a"}}, "a service has one type, this one has loadBalancer and mirroring: split it"),
    "transport": (balanced("https://a", serversTransport="nope"), 'the servers transport "nope@file" does not exist'),
    "probe's port": (balanced("http://a", healthCheck={"path": "/", "port": 70000}), "healthCheck.port: 70000 is not a port (1 to 65535)"),
    "probe's scheme": (balanced("http://a", healthCheck={"path": "/", "scheme": "ftp"}), "healthCheck.scheme: 'ftp' is not one of http, https, h2c"),
}  # fmt: skip

GOOD = {"rule": "Host(`x`)", "service": "good"}
ROUTERS: dict[str, tuple[dict[str, Any], str]] = {
    "service": ({**GOOD, "service": "nope"}, 'the service "nope@file" does not exist'),
    "no service": ({"rule": "Host(`x`)"}, "the service is missing on the router"),
    "no rule": ({"service": "good"}, "empty rule: write one such as Host(`example.com`)"),
    "middleware": ({**GOOD, "middlewares": ["nope"]}, 'middleware "nope@file" does not exist'),
    "middleware elsewhere": ({**GOOD, "middlewares": ["a@docker"]}, 'middleware "a@docker" does not exist'),
    "entry point": ({**GOOD, "entryPoints": ["wbe"]}, 'entryPoint "wbe" doesn\'t exist'),
    "priority": ({**GOOD, "priority": 2**63 - 1}, "the router priority 9223372036854775807 exceeds the max user-defined priority 9223372036854774807"),
    "TLS": ({**GOOD, "tls": {}}, "tls: TLS routers are not supported yet; remove tls to serve plain HTTP"),
    "old syntax": ({**GOOD, "ruleSyntax": "v2"}, "ruleSyntax 'v2' is not supported; write the rule in v3 syntax"),
}  # fmt: skip

RULES = {
    "Hots(`a`)": "column 1: unsupported function: Hots; did you mean `Host`?",
    "Host(`a`": "column 9: expected , or ) in argument list, found the end of the rule",
    "Host(a)": "column 6: expected a string between backticks, found `a`",
    "Host('a')": "column 6: single quotes do not make a string; use backticks: `value`",
    "Host(`a`) &&": "column 13: expected a matcher such as Host(`example.com`), found the end of the rule",
    "Host(`a`) & Path(`/`)": "column 11: expected &&, || or the end of the rule, found `&` (write &&)",
    "Host()": "column 1: no args for matcher Host; write Host(`example.com`)",
    "Host(`a`, `b`)": "column 1: unexpected number of parameters; got 2, expected one of [1] for Host: write Host(`a`) || Host(`b`)",
    "&& Host(`a`)": "column 1: expected a matcher such as Host(`example.com`), found `&&`",
    "Host(`a`) Path(`/`)": "column 11: expected &&, || or the end of the rule, found `Path`",
    "Path(`x`)": "column 6: path 'x' does not start with a '/'",
    "HostRegexp(`(`)": "column 12: compiling HostRegexp matcher: error parsing regexp: missing ): (",
    "Header(`X`)": "column 1: unexpected number of parameters; got 1, expected one of [2] for Header",
    "ClientIP(`1.2.3`)": "column 10: invalid CIDR address: 1.2.3",
    "Method(`GET`, `PUT`)": "column 1: unexpected number of parameters; got 2, expected one of [1] for Method: write Method(`GET`) || Method(`PUT`)",
    "!(Host(`a`)": "column 12: expected &&, || or ), found the end of the rule",
    "Headers(`X`, `y`)": "column 1: unsupported function: Headers; did you mean `Header`?",
    "Host(`ä`)": "column 6: invalid value 'ä' for Host matcher, non-ASCII characters are not allowed; write the xn-- form",
    "Host(`a": "column 6: raw string literal not terminated: the closing ` is missing",
}  # fmt: skip


class Label(NamedTuple):
    """A wrong label (``@`` is the container's name), where it shows and what it says."""

    label: str
    value: str
    kind: str  # routers, services or middlewares; "" for a standing problem of the provider
    message: str


LABELS = [
    Label("http.routers.@.ruel", "x", "routers", "traefik.http.routers.@.ruel: field not found, node: ruel; did you mean rule?"),
    Label("http.routers.@.priority", "high", "routers", "traefik.http.routers.@.priority: 'high' is not a whole number"),
    Label("http.routers.@.tls", "true", "routers", "tls: TLS routers are not supported yet"),
    Label("http.routers.@.middlewares", "nope", "routers", 'middleware "nope@docker" does not exist'),
    Label("http.routers.@.service", "nope", "routers", 'the service "nope@docker" does not exist'),
    Label("http.routers.@.entrypoints", "nope", "routers", 'entryPoint "nope" doesn\'t exist'),
    Label("http.routers.@.rule", "Host(`", "routers", "invalid rule 'Host(`': column 6: raw string literal not terminated"),
    Label("http.router.@.rule", "x", "", "traefik.http.router.@.rule: field not found, node: router; did you mean routers?"),
    Label("http.services.@.loadbalancer.server.prt", "80", "services", "traefik.http.services.@.loadbalancer.server.prt: field not found, node: prt; did you mean port?"),
    Label("http.services.@.loadbalancer.server.port", "http", "services", "'http' is not a port; write a number from 1 to 65535"),
    Label("http.services.@.loadbalancer.server.scheme", "ftp", "services", "server.scheme 'ftp' is unknown; write http, https or h2c"),
    Label("http.services.@.loadbalancer.passhostheader", "maybe", "services", "traefik.http.services.@.loadbalancer.passhostheader: 'maybe' is not a boolean; write true or false"),
    Label("http.services.@.loadbalancer.healthcheck.interval", "x", "services", "traefik.http.services.@.loadbalancer.healthcheck.interval: 'x' is not a duration; write seconds (30) or units (1m30s, 500ms)"),
    Label("http.services.@.weighted.services", "a", "services", "load-balancer is not defined: labels can only define loadBalancer services"),
    Label("http.middlewares.@.ratelimit.average", "x", "middlewares", "traefik.http.middlewares.@.ratelimit.average: 'x' is not a whole number"),
    Label("http.middlewares.@.ratelimits.average", "1", "middlewares", "traefik.http.middlewares.@.ratelimits.average: field not found, node: ratelimits; did you mean rateLimit?"),
    Label("http.middlewares.@.basicauth.user", "joe:x", "middlewares", "traefik.http.middlewares.@.basicauth.user: field not found, node: user; did you mean users?"),
    Label("http.middlewares.@.basicauth.users", "joe", "middlewares", "basicAuth: users[0] is not name:hash"),
    Label("http.middlewares.@.headers.framedeny", "yes", "middlewares", "traefik.http.middlewares.@.headers.framedeny: 'yes' is not a boolean; write true or false"),
    Label("http.middlewares.@.ipwhitelist.sourcerange", "10.0.0.0/99", "middlewares", "ipWhiteList: sourceRange[0]: '10.0.0.0/99' is not an address or CIDR range"),
    Label("enable", "maybe", "", "traefik.enable: 'maybe' is not a boolean; write true or false"),
    Label("docker.nework", "x", "", "traefik.docker.nework: field not found, node: nework; did you mean network?"),
    Label("tcp.routers.@.rule", "HostSNI(`*`)", "", "traefik.tcp.routers.@.rule: tcp is not supported yet; its labels have no effect"),
    Label("htpp.routers.@.rule", "x", "", "traefik.htpp.routers.@.rule: has no effect, node: htpp; did you mean http?"),
]  # fmt: skip


class Outcome(NamedTuple):
    """What the edge made of it all."""

    edge: Edge
    names: dict[tuple[str, str], str]  # table and case -> object or file
    load: Load


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    directory = tmp_path_factory.mktemp("bad")
    names: dict[tuple[str, str], str] = {}
    with backend("good") as server, serving(directory, docker=True) as edge:
        assert edge.docker is not None
        good = {"good": {"rule": "Host(`good.test`)", "service": "good"}}
        edge.write("aaa-good.yml", http_config(routers=good, services={"good": balanced(server)}))
        eventually(lambda: edge.status("good.test") == 200, "the good route is live")
        with Load(lambda _: edge.ask(host="good.test"), clients=2) as load:
            for number, (case, (text, _)) in enumerate(FILES.items()):
                names["files", case] = f"file-{number}.yml"
                edge.write(f"file-{number}.yml", text)
            tables: list[tuple[str, str, Mapping[str, Any]]] = [
                ("middlewares", "m", {case: given for case, (given, _) in MIDDLEWARES.items()}),
                ("services", "s", {case: given for case, (given, _) in SERVICES.items()}),
                ("routers", "r", {case: given for case, (given, _) in ROUTERS.items()}),
                ("routers", "rule", {rule: {"rule": rule, "service": "good"} for rule in RULES}),
            ]
            for kind, short, table in tables:
                objects = {}
                for number, (case, given) in enumerate(table.items()):
                    names[short, case] = f"{short}{number}"
                    objects[f"{short}{number}"] = given
                edge.write(f"objects-{short}.yml", http_config(**{kind: objects}))
            for number, wrong in enumerate(LABELS):
                names["labels", wrong.label] = name = f"c{number}"
                labels = {
                    f"traefik.http.routers.{name}-good.rule": f"Host(`{name}.good`)",
                    f"traefik.{wrong.label.replace('@', name)}": wrong.value,
                }
                edge.docker.run(name, server, labels)
            last = {"last": {"rule": "Host(`last.test`)", "service": "good"}}
            edge.write("zzz-last.yml", http_config(routers=last))
            eventually(lambda: edge.status("last.test") == 200, "what comes last is live")
            load.more()
            yield Outcome(edge, names, load)


@pytest.mark.parametrize("case", FILES)
def test_files(outcome: Outcome, case: str) -> None:
    path = outcome.edge.dynamic / outcome.names["files", case]
    found = eventually(
        lambda: [text for text in outcome.edge.problems() if text.startswith(f"{path}:")],
        "the problem is shown",
    )
    (problem,) = found
    assert problem.startswith(f"{path}{FILES[case][1]}")


def assert_disabled(outcome: Outcome, kind: str, short: str, case: str, message: str) -> None:
    name = f"{outcome.names[short, case]}@file"
    eventually(lambda: outcome.edge.state(kind, name) == "disabled", f"{name} is disabled")
    first, *others = outcome.edge.errors(kind, name)
    assert first.startswith(message)
    assert others in ([], ["no valid entryPoint for this router"])


@pytest.mark.parametrize("case", MIDDLEWARES)
def test_middlewares(outcome: Outcome, case: str) -> None:
    assert_disabled(outcome, "middlewares", "m", case, MIDDLEWARES[case][1])


@pytest.mark.parametrize("case", SERVICES)
def test_services(outcome: Outcome, case: str) -> None:
    assert_disabled(outcome, "services", "s", case, SERVICES[case][1])


@pytest.mark.parametrize("case", ROUTERS)
def test_routers(outcome: Outcome, case: str) -> None:
    assert_disabled(outcome, "routers", "r", case, ROUTERS[case][1])


@pytest.mark.parametrize("rule", RULES)
def test_rules(outcome: Outcome, rule: str) -> None:
    assert_disabled(outcome, "routers", "rule", rule, f"invalid rule {rule!r}: {RULES[rule]}")


@pytest.mark.parametrize("wrong", LABELS, ids=[wrong.label for wrong in LABELS])
def test_labels(outcome: Outcome, wrong: Label) -> None:
    edge, name = outcome.edge, outcome.names["labels", wrong.label]
    message = wrong.message.replace("@.", f"{name}.")
    if not wrong.kind:
        found = eventually(
            lambda: [text for text in edge.problems() if f"container '{name}'" in text],
            "the problem is shown",
        )
        assert found == [f"container '{name}': {message}"]
    else:
        shown = f"{name}@docker"
        eventually(lambda: edge.state(wrong.kind, shown) == "disabled", f"{name} is disabled")
        first, *others = edge.errors(wrong.kind, shown)
        assert first.startswith(message)
        assert others in ([], ["no valid entryPoint for this router"])


@pytest.mark.parametrize("wrong", LABELS, ids=[wrong.label for wrong in LABELS])
def test_other_routers_of_the_container_work(outcome: Outcome, wrong: Label) -> None:
    """Unless the label is about the service they share, or about the whole container."""
    edge, name = outcome.edge, outcome.names["labels", wrong.label]
    if wrong.label == "enable":
        assert edge.state("routers", f"{name}-good@docker") == "absent"
    elif wrong.kind == "services":
        assert edge.state("routers", f"{name}-good@docker") == "disabled"
        assert edge.status(f"{name}.good") == 404
    else:
        eventually(lambda: edge.status(f"{name}.good") == 200, "the other router is live")


def test_nobody_else_noticed(outcome: Outcome) -> None:
    outcome.load.more()
    assert set(outcome.load.statuses) == {200}
    assert outcome.edge.state("routers", "good@file") == "enabled"
    assert "Traceback" not in outcome.edge.log()


def test_the_command_shows_every_error(outcome: Outcome) -> None:
    command = [sys.executable, "-m", "portway", "routes", "--errors", "--json"]
    environment = {**os.environ, "PORTWAY_URL": f"http://127.0.0.1:{outcome.edge.admin}"}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    shown = json.loads(output.stdout)
    rows = {row["name"]: row["errors"] for row in shown["routers"]}
    for short, table in (("r", ROUTERS), ("rule", RULES)):
        for case in table:
            assert rows[f"{outcome.names[short, case]}@file"], case
    assert "good@file" not in rows
