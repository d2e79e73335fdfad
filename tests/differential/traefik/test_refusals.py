"""Options whose absence would make traffic less safe: Portway refuses to start without them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE

from .case import Setup
from .conftest import reference_command, subject_command
from .proxy import Proxy
from .upstream import Upstreams

ENTRY = "refused-options"
_ADDRESS = "127.0.0.1:<ep:web>"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # name: (the entry point beside "web", what the message must say)
    "tls": ({"address": "127.0.0.1:<ep:x>", "http": {"tls": {}}}, "entryPoints.x.http.tls"),
    "proxy-protocol": (
        {"address": "127.0.0.1:<ep:x>", "proxyProtocol": {"insecure": True}},
        "entryPoints.x.proxyProtocol",
    ),
    "encoded-characters": (
        {
            "address": "127.0.0.1:<ep:x>",
            "http": {"encodedCharacters": {"allowEncodedSlash": False}},
        },
        "encodedCharacters",
    ),
    "underscores": (
        {"address": "127.0.0.1:<ep:x>", "http": {"underscoreHeadersStrategy": "delete"}},
        "underscoreHeadersStrategy",
    ),
    "http3": ({"address": "127.0.0.1:<ep:x>", "http3": {}}, "entryPoints.x.http3"),
    "udp": ({"address": "127.0.0.1:<ep:x>/udp"}, "UDP"),
}


def _setup(entry_point: dict[str, Any]) -> Setup:
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "providers": {"file": {"directory": "<dir>/dynamic"}},
        "entryPoints": {"web": {"address": _ADDRESS}, "x": entry_point},
    }
    return Setup("refused", "file", static, {}, [], {})


@pytest.mark.parametrize("name", REFUSED)
def test_traefik_serves_and_portway_refuses(
    name: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    entry_point, message = REFUSED[name]
    setup = _setup(entry_point)
    marks = {f"port:{server}": str(port) for server, port in upstreams.ports.items()}
    Proxy(reference_command(), setup, tmp_path / "traefik", marks).close()
    with pytest.raises(RuntimeError, match="ended while starting") as refusal:
        Proxy(subject_command(), setup, tmp_path / "portway", marks).close()
    assert message in str(refusal.value)
    # The message names the file and line the option is written in.
    assert "static.yml:" in str(refusal.value)


def test_one_refusal_exits_with_an_error(tmp_path: Path) -> None:
    arguments = ["--entrypoints.web.address=:0", "--entrypoints.web.http.tls=true"]
    done = subprocess.run(
        [*subject_command(), *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "entrypoints.web.http.tls" in done.stderr.lower()
