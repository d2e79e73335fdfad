"""Wrong configuration of every kind: one clear line each, naming source, key and remedy.

Static configuration that is wrong ends the program with exit code 1; a wrong dynamic file is
refused as a whole; a wrong label disables the object it names.
"""

# ruff: noqa: E501  (the tables read best with one case on a line)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from portway.cli import main
from portway.edge.dynamic_file import decode_dynamic
from portway.edge.labels import decode_labels

WEB = "entryPoints:\n  web:\n    address: ':8000'\n"
DEPRECATED = "incompatible deprecated install configuration option found"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def refusal(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line a start is refused with."""
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    (line,) = err.splitlines()
    return line


STATIC_FILES = [
    (WEB + "    adress: x\n", ":4: entryPoints.web.adress: field not found, node: adress; did you mean address?"),
    (WEB + "    http:\n      middleware: [a]\n", ":5: entryPoints.web.http.middleware: field not found, node: middleware; did you mean middlewares?"),
    (WEB + "    transport:\n      keepAliveMaxTime: soon\n", ":5: entryPoints.web.transport.keepAliveMaxTime: 'soon' is not a duration; write seconds (30) or units (1m30s, 500ms)"),
    (WEB + "    asDefault: yes\n", ":4: entryPoints.web.asDefault: 'yes' is not a boolean; write true or false"),
    (WEB + "    http:\n      maxHeaderBytes: 1MB\n", ":5: entryPoints.web.http.maxHeaderBytes: '1MB' is not a whole number"),
    (WEB + "    http:\n      encodedCharacters: {}\n", ":5: entryPoints.web.http.encodedCharacters: encodedCharacters cannot be a standalone element: nothing is set below it; set one of allowEncodedSlash, "),
    (WEB + "    http:\n      encodedCharacters:\n        allowEncodedSlash: false\n", ":5: entryPoints.web.http.encodedCharacters: refusing encoded characters is not supported yet, and they would pass"),
    (WEB + "    http:\n      aliasHeadersStrategy: reject\n", ":5: entryPoints.web.http.aliasHeadersStrategy: 'reject' is not supported yet, and headers would pass that it stops; write keep"),
    (WEB + "    http:\n      tls: {}\n", ":5: entryPoints.web.http.tls: TLS on entry points is not supported yet, and plain HTTP in its place would be unsafe"),
    (WEB + "    http3: {}\n", ":4: entryPoints.web.http3: HTTP/3 needs TLS, which is not supported yet"),
    (WEB + "    proxyProtocol:\n      insecure: true\n", ":4: entryPoints.web.proxyProtocol: PROXY protocol is not supported yet, and every client address would be wrong"),
    (WEB + "    forwardedHeaders:\n      trustedIPs: [10.0.0.0/33]\n", ":5: entryPoints.web.forwardedHeaders.trustedIPs: '10.0.0.0/33' is not an address or network; write 10.0.0.1 or 10.0.0.0/8"),
    (WEB + "    http:\n      redirections:\n        entryPoint:\n          to: websecure\n", ":7: entryPoints.web.http.redirections.entryPoint.to: 'to' references a non-existing entry point: websecure; valid here: web"),
    (WEB + "    http:\n      redirections:\n        entryPoint:\n          scheme: https\n", ":6: entryPoints.web.http.redirections.entryPoint: the entry point or the port is missing; set to=websecure or to=:443"),
    (WEB + "  web:\n    address: ':1'\n", ':4: mapping key "web" already defined at line 2'),
    (WEB + "  two:\n    address: '127.0.0.1:8000'\n", ":5: entryPoints.two.address: address 127.0.0.1:8000 is already taken by entry point web (:8000)"),
    ("entryPoints:\n  web: {}\n", ":2: entryPoints.web.address: the address is missing; write [host]:port"),
    ("entryPoints:\n  web: ':80'\n", ":2: entryPoints.web: web cannot be a standalone element: ':80' is not valid; set true, or one of address, "),
    ("entryPoints:\n  web:\n", ":1: entryPoints: entryPoints cannot be a standalone element: it is empty; add an entry or remove it"),
    ("entryPoints:\n  web:\n    address: ':80/sctp'\n", ":3: entryPoints.web.address: invalid protocol: sctp; write /tcp or /udp"),
    ("entryPoints:\n  dns:\n    address: ':53/udp'\n", ":3: entryPoints.dns.address: UDP entry points are not supported yet"),
    ("entryPoints:\n  web:\n    address: localhost\n", ":3: entryPoints.web.address: 'localhost' is not an address; write [host]:port, such as :80"),
    ("entryPoints:\n  web:\n    address: ':99999'\n", ":3: entryPoints.web.address: '99999' is not a port; write a number from 0 to 65535"),
    ("api:\n  basePath: 'foo bar'\n", ":2: api.basePath: API basePath must be a valid absolute URL path, not 'foo bar'; begin it with / and use letters, "),
    ("core:\n  defaultRuleSyntax: v4\n", ":2: core.defaultRuleSyntax: unsupported default rule syntax configuration: 'v4'; write v3"),
    ("providers:\n  precedence: [file, dokcer]\n", ':2: providers.precedence: provider "dokcer" is not a valid provider name; did you mean docker?'),
    ("providers:\n  dockre: {}\n", ":2: providers.dockre: field not found, node: dockre; did you mean docker?"),
    ("providers:\n  file:\n    watch: true\n", ":2: providers.file: set either filename or directory"),
    ("providers:\n  docker:\n    swarmMode: true\n", f":3: providers.docker.swarmMode: {DEPRECATED}: removed in v3; use providers.swarm"),
    ("providers:\n  marathon: {}\n", f":2: providers.marathon: {DEPRECATED}: removed in v3: this provider no longer exists; remove it"),
    ("providers:\n  docker:\n    tls:\n      caOptional: true\n", f":4: providers.docker.tls.caOptional: {DEPRECATED}: removed in v3: it is an option of servers"),
    ("pilot:\n  token: x\n", f":1: pilot: {DEPRECATED}: removed in v3; remove it"),
    ("tracing:\n  jaeger: {}\n", f":2: tracing.jaeger: {DEPRECATED}: removed in v3: this tracing backend no longer exists; use tracing.otlp"),
    ("experimental:\n  http3: true\n", f":2: experimental.http3: {DEPRECATED}: removed in v3: HTTP/3 is no longer experimental; remove it"),
    ("log:\n  format: xml\n", ":2: log.format: 'xml' is not valid; write one of common, json"),
    ("log: [a]\n", ":1: log: log cannot be a standalone element: a list was given; set one of level, "),
    ("global: {}\n", ":1: global: global cannot be a standalone element: nothing is set below it; set one of checkNewVersion, "),
    ("entryPoint:\n  web: {}\n", ": no valid configuration found in file; "),
    ("", ": no configuration found in file"),
    ("- a\n", ":1: not a configuration: expected keys with values at the top"),
    ("api:\n\tinsecure: true\n", ":2: not valid YAML: found character that cannot start any token while scanning for the next token; the line is indented with a tab, use spaces"),
    ("api: {insecure: true\n", ":1: not valid YAML: did not find expected ',' or '}' while parsing a flow mapping"),
    ("api: {}\n---\nping: {}\n", ":2: a second document starts here; write only one"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), STATIC_FILES)
def test_static_files(
    text: str, message: str, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "traefik.yml").write_text(text)
    assert refusal([], capsys).startswith(f"portway: traefik.yml{message}")


TOML = [
    ("[api]\nbasePth = '/x'\n", ":2: api.basePth: field not found, node: basePth; did you mean basePath?"),
    ("[entryPoints.web]\naddress = ':80/x'\n", ":2: entryPoints.web.address: invalid protocol: x; write /tcp or /udp"),
    ("[api]\ninsecure = maybe\n", ":2: not valid TOML: Invalid value"),
    ("[api]\n[api]\n", ":2: not valid TOML: Cannot declare ('api',) twice"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), TOML)
def test_static_toml_files(
    text: str, message: str, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "traefik.toml").write_text(text)
    assert refusal([], capsys).startswith(f"portway: traefik.toml{message}")


FLAGS = [
    (["--nope=1"], "--nope: field not found, node: nope; valid here: "),
    (["--entrypoint.web.address=:80"], "--entrypoint.web.address: field not found, node: entrypoint; did you mean entryPoints?"),
    (["--entrypoints.web.adress=:80"], "--entrypoints.web.adress: field not found, node: adress; did you mean address?"),
    (["--entrypoints.web=:80"], "--entrypoints.web: web cannot be a standalone element: ':80' is not valid; set true, or one of address, "),
    (["--entrypoints.web"], "--entrypoints.web: the address is missing; write [host]:port"),
    (["--entrypoints.web.address"], "--entrypoints.web.address: flag needs an argument"),
    (["--api.insecure", "true"], "true: unexpected argument; to give --api.insecure a value, write --api.insecure=true"),
    (["--api", "--", "extra"], "extra: unexpected argument"),
    (["---api"], "---api: bad flag syntax; write --name=value"),
    (["--=x"], "--=x: bad flag syntax; write --name=value"),
    (["--api.=x"], "--api.: invalid element: a name between two dots is missing"),
    (["--api.insecure=maybe"], "--api.insecure: 'maybe' is not a boolean; write true or false"),
    (["--api=foo"], "--api: api cannot be a standalone element: 'foo' is not valid; set true, or one of basePath, "),
    (["--ping.terminatingstatuscode=ok"], "--ping.terminatingstatuscode: 'ok' is not a whole number"),
    (["--providers.docker.swarmMode=true"], f"--providers.docker.swarmMode: {DEPRECATED}: removed in v3; use providers.swarm"),
    (["--pilot.token=x"], f"--pilot.token: {DEPRECATED}: removed in v3; remove it"),
    (["--entrypoints.web.address=:80", "--entrypoints.web.http.tls=true"], "--entrypoints.web.http.tls: TLS on entry points is not supported yet"),
    (["--entrypoints.web.address=:80", "--entrypoints.web.http.tls.domains[0].main=a"], "--entrypoints.web.http.tls.domains[0].main: TLS on entry points is not supported yet"),
    (["--entrypoints.web.address=:8080", "--api.insecure"], "entryPoints.traefik.address: address :8080 is already taken by entry point web (:8080)"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "message"), FLAGS)
def test_flags(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(argv, capsys).startswith(f"portway: flags: {message}")


FILES_BY_FLAG = [
    ("nope.yml", "nope.yml: cannot be read: No such file or directory"),
    ("conf.ini", "conf.ini: unsupported file extension; use .toml, .yaml, .yml or .json"),
    (".", ".: unsupported file extension"),
]


@pytest.mark.parametrize(("name", "message"), FILES_BY_FLAG)
def test_the_named_file_must_be_one(
    name: str, message: str, alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "conf.ini").write_text("a=1")
    assert refusal([f"--configFile={name}"], capsys).startswith(f"portway: {message}")


ENVIRONMENT = [
    ({"TRAEFIK_LOG_LEVL": "DEBUG"}, "TRAEFIK_LOG_LEVL: field not found, node: levl; did you mean level?"),
    ({"TRAEFIK_LOGLEVEL": "DEBUG"}, "TRAEFIK_LOGLEVEL: field not found, node: loglevel; valid here: "),
    ({"TRAEFIK_LOG": "DEBUG"}, "TRAEFIK_LOG: log cannot be a standalone element: 'DEBUG' is not valid; set true, or one of level, "),
    ({"TRAEFIK_API_INSECURE": "on"}, "TRAEFIK_API_INSECURE: 'on' is not a boolean; write true or false"),
    ({"TRAEFIK_ENTRYPOINTS_WEB_HTTP3": "true"}, "TRAEFIK_ENTRYPOINTS_WEB_HTTP3: HTTP/3 needs TLS"),
    ({"TRAEFIK_API__X": "1"}, "TRAEFIK_API__X: invalid element: a name between two dots is missing"),
    ({"TRAEFIK_LOG_LEVEL": "INFO", "PORTWAY_LOG_LEVEL": "WARN"}, "TRAEFIK_LOG_LEVEL: differs from PORTWAY_LOG_LEVEL, which says the same thing; keep one"),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "message"), ENVIRONMENT)
def test_environment(
    variables: Mapping[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refusal([], capsys).startswith(f"portway: environment: {message}")


HTTP = "http:\n  routers:\n    r:\n      rule: Host(`a`)\n      service: s\n"
DYNAMIC_FILES = [
    (HTTP + "      prio: 1\n", ":6: http.routers.r.prio: field not found, node: prio; did you mean priority?"),
    (HTTP + "      priority: high\n", ":6: http.routers.r.priority: 'high' is not a whole number"),
    (HTTP + "      entryPoints: {a: b}\n", ":6: http.routers.r.entryPoints: expected a list, not named entries"),
    (HTTP + "      tls: maybe\n", ":6: http.routers.r.tls: tls cannot be a standalone element: 'maybe' is not valid; set true, or one of options, certResolver, domains"),
    (HTTP + "  services:\n    s:\n      loadbalancer: {}\n", ":8: http.services.s.loadbalancer: loadbalancer cannot be a standalone element: nothing is set below it; set one of servers, "),
    (HTTP + "  services:\n    s:\n      loadBalancer:\n        servers: [http://x]\n", ":9: http.services.s.loadBalancer.servers[0]: servers[0] cannot be a standalone element: 'http://x' is not valid; set true, or one of url, "),
    (HTTP + "  services:\n    s:\n      loadBalancer:\n        servers:\n          - address: x\n", ":10: http.services.s.loadBalancer.servers[0].address: field not found, node: address; valid here: preservePath, url, weight"),
    (HTTP + "  services: {}\n", ":6: http.services: services cannot be a standalone element: it is empty; add an entry or remove it"),
    (HTTP + "  middlewares:\n    m:\n      rateLimit: {average: 1, period: 1 minute}\n", ":8: http.middlewares.m.rateLimit.period: '1 minute' is not a duration; write seconds (30) or units (1m30s, 500ms)"),
    (HTTP + "  middlewares:\n    m:\n      basicAuth:\n        user: [a]\n", ":9: http.middlewares.m.basicAuth.user: field not found, node: user; did you mean users?"),
    (HTTP + "      rule: again\n", ':6: mapping key "rule" already defined at line 4'),
    (HTTP + "      service: [\n", ':6: mapping key "service" already defined at line 5'),
    (HTTP + "      middlewares: [a\n", ":6: not valid YAML: did not find expected ',' or ']'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), DYNAMIC_FILES)
def test_dynamic_files(text: str, message: str) -> None:
    dynamic, problems = decode_dynamic(text, "dynamic.yml")
    assert dynamic is None
    (problem,) = problems
    assert str(problem).startswith(f"dynamic.yml{message}")


LABELS = [
    ("http.routers.r.ruel", "x", ("router", "r"), "field not found, node: ruel; did you mean rule?"),
    ("http.routers.r.entrypoint", "x", ("router", "r"), "field not found, node: entrypoint; did you mean entryPoints?"),
    ("http.routers.r.tls.domains", "a.example", ("router", "r"), "domains[0] cannot be a standalone element"),
    ("http.services.r.loadbalancer.port", "80", ("service", "r"), "field not found, node: port; valid here: "),
    ("http.services.r.loadbalancer.server.prt", "80", ("service", "r"), "field not found, node: prt; did you mean port?"),
    ("http.services.r.loadbalancer.healthcheck.interval", "x", ("service", "r"), "'x' is not a duration; write seconds (30) or units (1m30s, 500ms)"),
    ("http.middlewares.r.ratelimit.average", "x", ("middleware", "r"), "'x' is not a whole number"),
    ("http.middlewares.r.ratelimits.average", "1", ("middleware", "r"), "field not found, node: ratelimits; did you mean rateLimit?"),
    ("http.middlewares.r.headers.framedeny", "yes", ("middleware", "r"), "'yes' is not a boolean; write true or false"),
    ("http.middlewares.r.basicauth.users[a]", "x", ("middleware", "r"), "invalid element: 'users[a]'; write an index as users[0]"),
    ("http.middleware.r.basicauth.users", "x", None, "field not found, node: middleware; did you mean middlewares?"),
    ("enable", "yes", None, "'yes' is not a boolean; write true or false"),
    ("docker.nework", "x", None, "field not found, node: nework; did you mean network?"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "value", "owner", "message"), LABELS)
def test_labels(label: str, value: str, owner: tuple[str, str] | None, message: str) -> None:
    good = {"traefik.http.routers.good.rule": "Host(`a`)"}
    decoded = decode_labels({**good, f"traefik.{label}": value})
    found = decoded.problems if owner is None else decoded.errors[owner]  # type: ignore[index]
    (problem,) = found
    assert str(problem).startswith(f"traefik.{label}: {message}")
    assert decoded.routers["good"].rule == "Host(`a`)"
    assert ("router", "good") not in decoded.errors
