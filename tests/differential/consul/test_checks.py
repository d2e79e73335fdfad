"""Health checks against real targets: what becomes of them, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from .conftest import Play
from .targets import Targets, targets
from .world import World

RUNS_SCRIPTS = {"enable_script_checks": True, "check_output_max_size": 100}
_LONG_ENOUGH = 4.0  # seconds for results that the real one never has


@pytest.fixture(scope="module")
def aims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    with targets(tmp_path_factory.mktemp("targets")) as running:
        yield running


def run_all(
    ask: World,
    prefix: str,
    aims: Targets,
    definitions: Mapping[str, Mapping[str, Any]],
    *,
    never: Sequence[str] = (),
    differs: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Register checks, wait for their first results, and record them.

    Those of ``never`` have none with the real one.
    """
    for name, port in aims.ports.items():
        ask.names.add(str(port), f"{name} target")
    for name, definition in definitions.items():
        timeout = "400ms" if "silent" in name or "slow" in name else "10s"
        body = {"Name": f"{prefix}-{name}", "Interval": "1s", "Timeout": timeout, **definition}
        ask.put("agent/check/register", body)

    def ran(names: Iterable[str]) -> bool:
        checks = ask.get("agent/checks", record=False).json
        mine = [checks[f"{prefix}-{name}"] for name in names]
        return all(one["Output"] or one["Status"] != "critical" for one in mine)

    ask.until(lambda: ran(definitions.keys() - {*never}), "results of all checks")
    end = time.monotonic() + _LONG_ENOUGH
    while not ran(never) and time.monotonic() < end:
        time.sleep(0.05)
    ask.get(f'agent/checks?filter=CheckID matches "^{prefix}-"', differs=differs)
    for name in definitions:
        ask.put(f"agent/check/deregister/{prefix}-{name}", record=False)


def test_http(play: Play, aims: Targets) -> None:
    def scenario(ask: World) -> None:
        base = f"http://127.0.0.1:{aims.ports['http']}"
        run_all(
            ask,
            "dh",
            aims,
            {
                "fine": {"HTTP": f"{base}/"},
                "no-path": {"HTTP": base},
                "query": {"HTTP": f"{base}/?a=b&c=d%20e"},
                **{
                    f"status-{n}": {"HTTP": f"{base}/status/{n}"} for n in (201, 204, 400, 404, 429)
                },
                **{
                    f"status-{n}": {"HTTP": f"{base}/status/{n}"} for n in (500, 502, 503, 504, 304)
                },
                "redirect": {"HTTP": f"{base}/to/status/404"},
                "redirect-fine": {"HTTP": f"{base}/to/to/echo"},
                "stay": {"HTTP": f"{base}/to/echo", "DisableRedirects": True},
                "loop": {"HTTP": f"{base}/loop"},
                "away": {"HTTP": f"{base}/away"},
                "echo": {"HTTP": f"{base}/echo"},
                "post": {"HTTP": f"{base}/echo", "Method": "POST", "Body": "a body"},
                "post-redirect": {"HTTP": f"{base}/to/echo", "Method": "POST", "Body": "a body"},
                "put-empty": {"HTTP": f"{base}/echo", "Method": "PUT"},
                "head": {"HTTP": f"{base}/echo", "Method": "HEAD"},
                "purge": {"HTTP": f"{base}/echo", "Method": "PURGE"},
                "lower": {"HTTP": f"{base}/echo", "Method": "get"},
                "bad-method": {"HTTP": f"{base}/echo", "Method": "A B"},
                "headers": {
                    "HTTP": f"{base}/echo",
                    "Header": {
                        "Host": ["other.example"],
                        "User-Agent": ["mine"],
                        "Accept": ["a/b"],
                        "x-one": ["1", "2"],
                    },
                },
                "large": {"HTTP": f"{base}/body/800"},
                "larger": {"HTTP": f"{base}/body/8000", "OutputMaxSize": 64},
                "user": {"HTTP": f"http://me:secret@127.0.0.1:{aims.ports['http']}/echo"},
                "slow": {"HTTP": f"{base}/slow"},
                "gone": {"HTTP": f"{base}/gone"},
                "reset": {"HTTP": f"{base}/reset"},
                "garbage": {"HTTP": f"{base}/garbage"},
                "odd": {"HTTP": f"{base}/odd"},
                "bare": {"HTTP": f"{base}/bare"},
                "short": {"HTTP": f"{base}/short"},
                "refused": {"HTTP": f"http://127.0.0.1:{aims.ports['refused']}/x"},
                "refused-post": {
                    "HTTP": f"http://localhost:{aims.ports['refused']}/x",
                    "Method": "POST",
                },
                "silent": {"HTTP": f"http://127.0.0.1:{aims.ports['silent']}/x"},
                "no-host": {"HTTP": "http://nope.invalid/x"},
                "no-scheme": {"HTTP": "127.0.0.1:80"},
                "bad-scheme": {"HTTP": "ftp://127.0.0.1/"},
                "no-url": {"HTTP": "/x"},
                "bad-url": {"HTTP": "http://127.0.0.1:x/"},
                "bad-escape": {"HTTP": f"{base}/%zz"},
                "tls-to-plain": {"HTTP": f"https://127.0.0.1:{aims.ports['http']}/"},
                "tls": {"HTTP": f"https://127.0.0.1:{aims.ports['https']}/"},
                "tls-skip": {
                    "HTTP": f"https://127.0.0.1:{aims.ports['https']}/",
                    "TLSSkipVerify": True,
                },
                "tls-other": {
                    "HTTP": f"https://127.0.0.1:{aims.ports['https_other']}/",
                    "TLSServerName": "other.example",
                },
            },
            differs={
                "Checks": [
                    *(f"json.dh-{one}.Output" for one in ("larger", "user")),
                    "?json.dh-no-host.Output",  # not where a name server takes long
                ]
            },
        )

    play(scenario)


def test_tcp_and_udp(play: Play, aims: Targets) -> None:
    def scenario(ask: World) -> None:
        def at(name: str, host: str = "127.0.0.1") -> str:
            return f"{host}:{aims.ports[name]}"

        run_all(
            ask,
            "dt",
            aims,
            {
                "tcp": {"TCP": at("http")},
                "tcp-name": {"TCP": at("http", "localhost")},
                "tcp-no-host": {"TCP": at("http", "")},
                "tcp-refused": {"TCP": at("refused")},
                "tcp-refused-name": {"TCP": at("refused", "localhost")},
                "tcp-refused-v6": {"TCP": at("refused", "[::1]")},
                "tcp-silent": {"TCP": at("silent")},
                "tcp-unknown": {"TCP": "nope.invalid:80"},
                "tcp-no-port": {"TCP": "127.0.0.1"},
                "tcp-bad-port": {"TCP": "127.0.0.1:70000"},
                "tcp-named-port": {"TCP": "127.0.0.1:nope"},
                "tcp-colons": {"TCP": "1:2:3"},
                "tcp-tls": {"TCP": at("https"), "TCPUseTLS": True},
                "tcp-tls-skip": {"TCP": at("https"), "TCPUseTLS": True, "TLSSkipVerify": True},
                "tcp-tls-plain": {"TCP": at("http"), "TCPUseTLS": True, "TLSSkipVerify": True},
                "udp": {"UDP": at("udp")},
                "udp-silent": {"UDP": at("udp_silent")},
                "udp-refused": {"UDP": at("udp_refused")},
                "udp-unknown": {"UDP": "nope.invalid:80"},
                "udp-no-port": {"UDP": "127.0.0.1"},
                "grpc": {"GRPC": at("grpc")},
                "grpc-well": {"GRPC": at("grpc") + "/well"},
                "grpc-ill": {"GRPC": at("grpc") + "/ill"},
                "grpc-unknown": {"GRPC": at("grpc") + "/unknown"},
                "grpc-nope": {"GRPC": at("grpc") + "/nope"},
                "grpc-refused": {"GRPC": at("refused")},
                "grpc-silent": {"GRPC": at("silent")},
                "grpc-http": {"GRPC": at("http")},
                "grpc-closing": {"GRPC": at("closing")},
                "h2-closing": {"H2PING": at("closing"), "H2PingUseTLS": False},
                "tcp-tls-closing": {"TCP": at("closing"), "TCPUseTLS": True},
                "h2-no-port": {"H2PING": "127.0.0.1", "H2PingUseTLS": False},
                "h2-bad-port": {"H2PING": "127.0.0.1:70000", "H2PingUseTLS": False},
                "grpc-tls": {"GRPC": at("grpc"), "GRPCUseTLS": True},
                "grpc-no-port": {"GRPC": "127.0.0.1"},
                "h2": {"H2PING": at("grpc"), "H2PingUseTLS": False},
                "h2-tls": {"H2PING": at("https")},
                "h2-plain-http": {"H2PING": at("http"), "H2PingUseTLS": False},
                "h2-refused": {"H2PING": at("refused"), "H2PingUseTLS": False},
                "h2-silent": {"H2PING": at("silent"), "H2PingUseTLS": False},
                "h2-tls-to-plain": {"H2PING": at("grpc"), "TLSSkipVerify": True},
            },
            never=["udp-silent"],
            differs={
                "Checks": [
                    *(f"?json.dt-{one}-unknown.Output" for one in ("tcp", "udp")),
                    "json.dt-udp-refused.Output",
                ],
                "A UDP check that hears nothing": [
                    "json.dt-udp-silent.Output",
                    "json.dt-udp-silent.Status",
                ],
            },
        )

    play(scenario)


def test_scripts(play: Play, aims: Targets) -> None:
    def scenario(ask: World) -> None:
        def shell(text: str, **more: Any) -> dict[str, Any]:
            return {"Args": ["/bin/sh", "-c", text], **more}

        run_all(
            ask,
            "dx",
            aims,
            {
                "0": shell("echo well"),
                "0-silent": shell("exit 0"),
                "1": shell("echo careful >&2; exit 1"),
                "2": shell("echo bad; exit 2"),
                "127": shell("nope-nope"),
                "255": shell("echo all; exit 255"),
                "killed": shell("echo dying; kill -9 $$"),
                "mixed": shell("echo out; echo err >&2; echo out again"),
                "large": shell("seq 1 100"),
                "exactly": shell("printf %0100d 7"),
                "smaller": shell("seq 1 100", OutputMaxSize=20),
                "larger": shell("seq 1 100", OutputMaxSize=5000),
                "binary": shell(r"printf '\377\001x'"),
                "slow": shell("echo begun; sleep 5; echo done"),
                "slow-silent": shell("sleep 5"),
                "environment": shell("echo $0 $# $PWD; env | grep -c CONSUL"),
                "missing": {"Args": ["/nope/nope"]},
                "missing-word": {"Args": ["nope-nope-nope"]},
                "not-executable": {"Args": ["/etc/passwd"]},
                "directory": {"Args": ["/tmp"]},
                "stdin": shell("cat; echo end"),
            },
        )

    play(scenario, RUNS_SCRIPTS)
