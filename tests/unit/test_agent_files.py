"""What the agent keeps in its data directory."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from portway.agent.files import Files, StoredCheck, StoredService, TTLStates
from portway.discovery.api.decode import decode_tree
from portway.discovery.checks import TTLState
from portway.discovery.model import CheckDefinition, ServiceDefinition

SERVICE: dict[str, Any] = {
    "ID": "web/1",
    "Name": "web",
    "Kind": "connect-proxy",
    "Tags": ["a", "ü"],
    "Address": "10.0.0.1",
    "TaggedAddresses": {"wan": {"Address": "198.51.100.1", "Port": 80}},
    "Meta": {"version": "1"},
    "Port": 8080,
    "Ports": [{"Name": "http", "Port": 80, "Default": True}],
    "SocketPath": "/run/web",
    "Weights": {"Passing": 10, "Warning": 2},
    "Token": "secret",
    "EnableTagOverride": True,
    "Locality": {"Region": "eu", "Zone": "a"},
    "Proxy": {
        "DestinationServiceName": "db",
        "Config": {"deep": {"list": [1, "two", 3.5, None, True]}},
        "Upstreams": [{"DestinationName": "x", "LocalBindPort": 1, "Config": {"a": 1}}],
        "Expose": {
            "Checks": True,
            "Paths": [{"Path": "/p", "LocalPathPort": 1, "ListenerPort": 2}],
        },
        "MeshGateway": {"Mode": "local"},
        "TransparentProxy": {"OutboundListenerPort": 15001},
    },
    "Connect": {"Native": True},
}
CHECK: dict[str, Any] = {
    "CheckID": "c",
    "Name": "c",
    "ServiceID": "web/1",
    "HTTP": "http://127.0.0.1/",
    "Header": {"X-A": ["1", "2"]},
    "Interval": "1m30s",
    "Timeout": "500ms",
    "H2PingUseTLS": False,
    "DeregisterCriticalServiceAfter": "72h",
    "FailuresBeforeCritical": 3,
}


def service(**fields: Any) -> StoredService:
    definition = decode_tree(SERVICE | fields, ServiceDefinition)
    return StoredService(definition=definition, token="secret", parent="p")


def check() -> StoredCheck:
    return StoredCheck(check_id="c", definition=decode_tree(CHECK, CheckDefinition), token="t")


async def test_everything_of_a_definition_survives(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    await files.save([service(), check()])
    again = Files(str(tmp_path))
    assert await again.services() == [service()]
    assert await again.checks() == [check()]
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    files.forget_service("web/1")
    files.forget_service("web/1")
    files.forget_check("c")
    assert (await again.services(), await again.checks()) == ([], [])


async def test_all_or_nothing(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    await files.save([service()])
    (tmp_path / "checks").write_text("no directory")
    with pytest.raises(OSError, match="checks"):
        await files.save([service(Port=1), check()])
    assert [one.definition.port for one in await files.services()] == [8080]
    assert not list(tmp_path.rglob("*.tmp"))


async def test_states_of_ttl_checks(tmp_path: Path) -> None:
    states = TTLStates(str(tmp_path))
    assert states.load("c") is None
    state = TTLState("warning", "so so", 1.5)
    states.save("c", state)
    assert TTLStates(str(tmp_path)).load("c") == state
    # They lie below the checks and are none.
    assert await Files(str(tmp_path)).checks() == []
    states.remove("c")
    states.remove("c")
    assert states.load("c") is None


async def test_tokens(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert files.tokens() == {}
    await files.save_tokens({"default": "secret"})
    assert files.tokens() == {"default": "secret"}
    (tmp_path / "acl-tokens.json").write_text("{")
    assert files.tokens() == {}


async def test_without_a_directory_nothing_is_kept() -> None:
    files, states = Files(""), TTLStates("")
    await files.save([service(), check()])
    await files.save_tokens({"default": "secret"})
    files.forget_service("web/1")
    files.forget_check("c")
    states.save("c", TTLState("passing", "", 1.0))
    states.remove("c")
    assert (await files.services(), await files.checks(), files.tokens()) == ([], [], {})
    assert states.load("c") is None
