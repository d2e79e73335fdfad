"""The static configuration: sources, lookup, grammar, defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.config import Duration
from portway.edge.static import Address, Docker, EntryPoint, Loaded, Static, load
from portway.edge.static.options import PRECEDENCE


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty machine: ``etc``, ``home`` and ``cwd`` are below it."""
    for name in ("etc/traefik", "etc/portway", "home/.config", "xdg", "cwd"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def run(place: Path, argv: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Loaded:
    return load(list(argv), environ or {}, cwd=place / "cwd", etc=place / "etc")


def ok(place: Path, argv: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Static:
    loaded = run(place, argv, environ)
    assert loaded.problems == ()
    return loaded.static


def point_file(path: Path, name: str) -> None:
    path.write_text(f"entryPoints:\n  {name}:\n    address: ':80'\n")


def test_without_any_source_there_is_one_entry_point(place: Path) -> None:
    loaded = run(place)
    assert loaded.source == "defaults"
    assert loaded.static.entry_points == {"http": EntryPoint(address=":80")}
    assert loaded.static.providers.docker is None
    assert loaded.static.providers.precedence == list(PRECEDENCE)
    assert loaded.static.providers.providers_throttle_duration == Duration(2)
    assert loaded.static.log.level == "ERROR"
    assert loaded.static.api is None
    assert loaded.static.ping is None
    assert loaded.static.servers_transport.max_idle_conns_per_host == 200


def test_file_beats_flags_beats_environment(place: Path) -> None:
    environ = {"TRAEFIK_ENTRYPOINTS_ENV_ADDRESS": ":81"}
    flags = ["--entrypoints.flag.address=:82"]
    assert list(ok(place, (), environ).entry_points) == ["env"]
    assert list(ok(place, flags, environ).entry_points) == ["flag"]
    point_file(place / "cwd/traefik.yml", "file")
    loaded = run(place, flags, environ)
    assert list(loaded.static.entry_points) == ["file"]
    assert loaded.notices == (
        f"the flags --entrypoints.flag.address have no effect, because "
        f"{place}/cwd/traefik.yml is read instead",
    )


PLACES = [
    *(f"etc/traefik/traefik{suffix}" for suffix in (".toml", ".yaml", ".yml")),
    "xdg/traefik.yml",
    "home/.config/traefik.yaml",
    "cwd/traefik.yml",
    "etc/portway/portway.toml",
    "xdg/portway.yml",
    "home/.config/portway.yml",
    "cwd/portway.yml",
]


@pytest.mark.parametrize("index", range(len(PLACES)))
def test_the_first_file_found_is_read(place: Path, index: int) -> None:
    for number, name in enumerate(PLACES[index:]):
        path = place / name
        if path.suffix == ".toml":
            path.write_text(f"[entryPoints.e{number}]\naddress = ':80'\n")
        else:
            point_file(path, f"e{number}")
    environ = {"HOME": str(place / "home"), "XDG_CONFIG_HOME": str(place / "xdg")}
    loaded = run(place, (), environ)
    assert loaded.source == str(place / PLACES[index])
    assert list(loaded.static.entry_points) == ["e0"]


def test_config_file_names_the_file(place: Path) -> None:
    point_file(place / "cwd/traefik.yml", "found")
    point_file(place / "cwd/mine.yaml", "named")
    for flag in ("--configFile=mine.yaml", "--configfile=mine.yaml", "-CONFIGFILE=mine.yaml"):
        assert list(ok(place, [flag]).entry_points) == ["named"]
    assert list(ok(place, ["--configFile", "mine.yaml"]).entry_points) == ["named"]
    (place / "cwd/c.json").write_text('{"entryPoints": {"json": {"address": ":80"}}}')
    assert list(ok(place, ["--configFile=c.json"]).entry_points) == ["json"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--entrypoints.web.address=:80", "--api.insecure=true", "--log.level=DEBUG"],
        ["--entryPoints.web.Address", ":80", "--API.Insecure", "--log.LEVEL", "DEBUG"],
        ["-entrypoints.web.address=:80", "-api.insecure", "-log.level=DEBUG"],
        ["--entrypoints.web", "--entrypoints.web.address=:80", "--api", "--api.insecure",
         "--log.level=INFO", "--log.level=DEBUG"],
        ["--log.level=DEBUG", "--api.insecure", "--entrypoints.web.address=:80", "--"],
    ],
)  # fmt: skip
def test_spellings_of_flags(place: Path, argv: list[str]) -> None:
    static = ok(place, argv)
    assert static.entry_points == {
        "web": EntryPoint(address=":80"),
        "traefik": EntryPoint(address=":8080"),
    }
    assert static.api is not None
    assert static.api.insecure
    assert static.log.level == "DEBUG"


def test_the_command_of_a_compose_file(place: Path) -> None:
    loaded = run(
        place,
        [
            "--api.insecure=true",
            "--providers.docker=true",
            "--providers.docker.exposedbydefault=false",
            "--entrypoints.web.address=:80",
        ],
    )
    assert (loaded.problems, loaded.notices) == ((), ())
    assert list(loaded.static.entry_points) == ["web", "traefik"]
    assert loaded.static.providers.docker == Docker(exposed_by_default=False)


def test_naming_a_list_again_adds_to_it(place: Path) -> None:
    trusted = "--entrypoints.web.forwardedheaders.trustedips"
    static = ok(
        place,
        [
            "--entrypoints.web.address=:80",
            f"{trusted}=10.0.0.1",
            f"{trusted.upper()}=10.1.0.0/16,::1",
        ],
    )
    headers = static.entry_points["web"].forwarded_headers
    assert headers.trusted_ips == ["10.0.0.1", "10.1.0.0/16", "::1"]


def test_a_bare_switch_never_takes_the_next_argument(place: Path) -> None:
    static = ok(place, ["--entrypoints.web.asdefault", "--entrypoints.web.address", ":80"])
    assert static.entry_points == {"web": EntryPoint(address=":80", as_default=True)}
    static = ok(place, ["--providers.docker", "--api"])
    assert static.providers.docker == Docker()


def test_unsupported_options_take_values_too(place: Path) -> None:
    loaded = run(
        place,
        ["--metrics.prometheus", "--certificatesresolvers.le.acme.email", "a@b", "--accesslog"],
    )
    assert loaded.problems == ()
    assert loaded.notices == tuple(
        f"option {flag} (flags) is not supported yet and has no effect"
        for flag in (
            "--accesslog",
            "--certificatesresolvers.le.acme.email",
            "--metrics.prometheus",
        )
    )


def test_unsupported_options_of_a_file_are_told_with_their_line(place: Path) -> None:
    file = place / "cwd/traefik.yml"
    file.write_text("log:\n  level: INFO\n\nmetrics:\n  prometheus: {}\nfoo: 1\n")
    loaded = run(place)
    assert loaded.problems == ()
    assert loaded.notices[0].startswith(f"{file}:6: foo: unknown option, has no effect; valid here")
    assert loaded.notices[1:] == (
        f"option metrics.prometheus ({file} line 5) is not supported yet and has no effect",
    )


def test_the_environment(place: Path) -> None:
    static = ok(
        place,
        (),
        {
            "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":80",
            "traefik_entrypoints_WEB_http_middlewares": "a@file,b@file",
            "PORTWAY_LOG_LEVEL": "DEBUG",
            "TRAEFIK_PROVIDERS_DOCKER_EXPOSEDBYDEFAULT": "false",
            "TRAEFIK_FOO_BAR": "passed over",
            "HOME": "/nowhere",
        },
    )
    assert list(static.entry_points) == ["web"]
    assert static.entry_points["web"].http.middlewares == ["a@file", "b@file"]
    assert static.log.level == "DEBUG"
    assert static.providers.docker == Docker(exposed_by_default=False)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--api"], ["http"]),
        (["--api.insecure"], ["http", "traefik"]),
        (["--ping"], ["http", "traefik"]),
        (["--ping.manualrouting"], ["http"]),
        (["--ping.entrypoint=http"], ["http"]),
        (["--ping=false"], ["http"]),
        (["--ping", "--entrypoints.traefik.address=:9000"], ["traefik"]),
    ],
)
def test_default_entry_points(place: Path, argv: list[str], names: list[str]) -> None:
    points = ok(place, argv).entry_points
    assert list(points) == names
    assert points.get("http", EntryPoint(address=":80")).listen == Address("", 80)


def test_a_whole_file(place: Path) -> None:
    (place / "cwd/traefik.yml").write_text(
        """
entryPoints:
  web:
    address: ":80"
    asDefault: true
    transport:
      lifeCycle: {requestAcceptGraceTimeout: 5, graceTimeOut: 20s}
      respondingTimeouts:
        readTimeout: 1m
    http:
      redirections:
        entryPoint: {to: secure, permanent: false}
      sanitizePath: false
  secure:
    address: "[::1]:8443/tcp"
providers:
  docker:
    exposedByDefault: false
    useBindPortIP: true
    httpClientTimeout: 5
  file:
    directory: /etc/routes
  providersThrottleDuration: 500ms
  precedence: [file, docker]
api: {}
ping:
  entryPoint: web
serversTransport:
  rootCAs: [a.pem]
  forwardingTimeouts:
    dialTimeout: 5s
"""
    )
    static = ok(place)
    web = static.entry_points["web"]
    assert web.as_default
    assert web.transport.life_cycle.request_accept_grace_timeout == Duration(5)
    assert web.transport.life_cycle.grace_time_out == Duration(20)
    assert web.transport.responding_timeouts.read_timeout == Duration(60)
    assert web.transport.responding_timeouts.idle_timeout == Duration(180)
    assert not web.http.sanitize_path
    redirections = web.http.redirections
    assert redirections is not None
    assert redirections.entry_point is not None
    assert redirections.entry_point.to == "secure"
    assert redirections.entry_point.scheme == "https"
    assert not redirections.entry_point.permanent
    assert redirections.entry_point.priority == 9223372036854775806
    assert static.entry_points["secure"].listen == Address("::1", 8443)
    docker, file = static.providers.docker, static.providers.file
    assert docker == Docker(
        exposed_by_default=False, use_bind_port_ip=True, http_client_timeout=Duration(5)
    )
    assert file is not None
    assert file.directory == "/etc/routes"
    assert static.providers.precedence == ["file", "docker"]
    assert static.api is not None
    assert static.ping is not None
    assert static.ping.entry_point == "web"
    assert static.servers_transport.root_cas == ["a.pem"]
    assert static.servers_transport.forwarding_timeouts.dial_timeout == Duration(5)
    assert static.servers_transport.forwarding_timeouts.idle_conn_timeout == Duration(90)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":80", Address("", 80)),
        ("127.0.0.1:80/tcp", Address("127.0.0.1", 80)),
        ("[::]:443", Address("::", 443)),
        ("localhost:0", Address("localhost", 0)),
        (":53/UDP", Address("", 53, "udp")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":80/sctp", "invalid protocol: sctp; write /tcp or /udp"),
        (":80/", "invalid protocol: ; write /tcp or /udp"),
        ("localhost", "'localhost' is not an address; write [host]:port, such as :80"),
        ("80", "'80' is not an address"),
        ("::1:80", "'::1:80' is not an address"),
        ("[::x]:80", "'[::x]:80' is not an address"),
        ("http://a:80", "invalid protocol"),
        ("a b:80", "'a b:80' is not an address"),
        (":99999", "'99999' is not a port; write a number from 0 to 65535"),
        (":http", "'http' is not a port"),
        (":-1", "'-1' is not a port"),
        (":" + "9" * 5000, "is not a port"),
    ],
)
def test_wrong_addresses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Address.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (":80", ":80", True),
        (":80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        (":80", ":81", False),
        (":80", ":80/udp", False),
        (":0", ":0", False),
    ],
)
def test_clashing_addresses(one: str, other: str, clash: bool) -> None:
    assert Address.parse(one).clashes(Address.parse(other)) is clash
    assert Address.parse(other).clashes(Address.parse(one)) is clash


words = st.sampled_from(
    "--api --api.insecure --ping=false --entrypoints.web.address :80 --log.level=x -- - --- -x "
    "--entrypoints.web.http.tls.domains[0].main=a --entrypoints.a.b.c.d=1 --providers.docker=x "
    "--metrics.prometheus --a[=1 --. --= extra --entrypoints.web=true".split()
)


@given(st.lists(words | st.text(max_size=20), max_size=8))
def test_no_command_line_crashes(argv: list[str]) -> None:
    if any(word.lstrip("-").lower().startswith("configfile") for word in argv):
        return
    nowhere = Path("/nonexistent")
    loaded = load(argv, {}, nowhere, nowhere)
    assert all(str(problem) for problem in loaded.problems)


names = st.sampled_from(
    ["", *"LOG API PING LEVEL ENTRYPOINTS WEB ADDRESS HTTP TLS DOMAINS[0] X [0] [".split()]
)


@given(
    st.dictionaries(
        st.lists(names, max_size=6).map(lambda parts: "TRAEFIK_" + "_".join(parts)),
        st.sampled_from([":80", "true", "", "x"]),
        max_size=6,
    )
)
def test_no_environment_crashes(environ: dict[str, str]) -> None:
    nowhere = Path("/nonexistent")
    loaded = load([], environ, nowhere, nowhere)
    assert all(str(problem) for problem in loaded.problems)
